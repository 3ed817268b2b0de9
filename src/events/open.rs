//! Opening events: files, their columns, and one mapping for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::columns;
use super::decode::{FileLayout, LABEL_ROLES, Plan, PlannedExtra, Source, TimeStyles};
use super::detect;
use super::error::EventsError;
use super::extras::{self, ExtraColumn, ExtraKind, Seen};
use super::formats::delimited::{self, Delimiter, Lines, Row, Stretch};
use super::formats::parquet::{PIECE_ROWS, ParquetFile, cell_type};
use super::formats::{self, Format, ndjson};
use super::input::Input;
use super::mapping::Mapping;
use super::numbers;
use super::reader::ReadLimit;
use super::schema::{CellType, Column, N_ROLES, Role, normalised};
use super::source::{self, EventFile, Found};
use super::times::{self, Detected};
use crate::config::{AttributesConfig, Config, nearest};
use crate::storage::is_remote;

/// Rows that the mapping is detected from.
const SAMPLE_ROWS: usize = 1000;
/// Rows in which a date is looked for that tells month from day.
const DATE_ORDER_ROWS: usize = 500_000;

/// How a file's rows are got at.
#[derive(Debug)]
pub(crate) enum Access {
    Parquet(ParquetFile),
    Delimited(Delimiter),
    Ndjson,
}

/// Column and value of attributes that have always held: the first day that can be read.
const ALWAYS: (&str, &str) = ("valid_from", "1900-01-01");

/// Events that were found and understood, ready to be read any number of times.
#[derive(Debug)]
pub struct Events {
    pub(crate) files: Vec<EventFile>,
    pub(crate) access: Vec<Access>,
    pub(crate) layouts: Vec<FileLayout>,
    extras: Vec<ExtraColumn>,
    pub(crate) mapping: Mapping,
    pub(crate) config: Config,
    times: TimeStyles,
    received: TimeStyles,
}

/// A file's columns and first cells.
struct Inspected {
    access: Access,
    columns: Vec<Column>,
    has_rows: bool,
}

impl Inspected {
    fn for_extras<'a>(&'a self, file: &'a EventFile) -> Seen<'a> {
        let is_typed = matches!(self.access, Access::Parquet(_));
        Seen { file, columns: &self.columns, is_typed, is_sparse: matches!(self.access, Access::Ndjson) }
    }
}

impl Events {
    /// Events of files, folders and patterns, mapped as `config` says and as the first rows suggest.
    ///
    /// # Errors
    /// Nothing there, files of another kind or damaged, columns that cannot be mapped (see
    /// [`EventsError`]). Only the first rows are looked at; the rest is judged by
    /// [`Events::reader`].
    pub fn open(specs: &[String], config: &Config) -> Result<Self, EventsError> {
        Self::open_with(specs, &mut config.clone(), |_, _, _| {})
    }

    /// Attributes as events that happen when they begin to hold, with every other column as an extra; whether the
    /// files tell that time. Where they do not, it is the earliest that there is.
    ///
    /// # Errors
    /// As [`Events::open`].
    pub fn open_attributes(specs: &[String], config: &Config) -> Result<(Self, bool), EventsError> {
        let AttributesConfig { customer_id, valid_from, .. } = &config.attributes;
        let mut read = Config { timezone: config.timezone.clone(), ..Config::default() };
        read.events.max_reject_share = config.events.max_reject_share;
        for role in Role::ALL.into_iter().filter(|role| !matches!(role, Role::CustomerId | Role::Ts)) {
            read.events.columns.insert(role.name().into(), String::new());
        }
        if !customer_id.is_empty() {
            read.events.columns.insert(Role::CustomerId.name().into(), customer_id.clone());
        }
        let mut has_validity = true;
        let events = Self::open_with(specs, &mut read, |files, columns, config| {
            let is_it =
                |name: &str| if valid_from.is_empty() { normalised(name) == "validfrom" } else { name == valid_from };
            let found = columns.iter().find(|column| is_it(&column.name)).map(|column| column.name.clone());
            has_validity = found.is_some() || !valid_from.is_empty();
            if !has_validity {
                let always = (ALWAYS.0.to_string(), Some(ALWAYS.1.to_string()));
                files.iter_mut().for_each(|file| file.partition.push(always.clone()));
            }
            let column = found.or((!valid_from.is_empty()).then(|| valid_from.clone()));
            config.events.columns.insert(Role::Ts.name().into(), column.unwrap_or_else(|| ALWAYS.0.into()));
        })?;
        Ok((events, has_validity))
    }

    /// `prepare` may change the settings, and what the folders tell of the files, when their columns are known.
    fn open_with(
        specs: &[String],
        config: &mut Config,
        prepare: impl FnOnce(&mut [EventFile], &[Column], &mut Config),
    ) -> Result<Self, EventsError> {
        check_settings(config)?;
        let resolved = source::resolve(specs)?;
        let mut files = each(resolved.files, |found| formats::identify(found, &config.events))?;
        let mut inspected = Vec::new();
        let mut rest = files.iter();
        for file in rest.by_ref() {
            inspected.push(inspect(file, config, SAMPLE_ROWS)?);
            if inspected.iter().any(|seen: &Inspected| seen.has_rows) {
                break;
            }
        }
        // Later files are only asked for their columns.
        inspected.extend(each(rest.collect(), |file| inspect(file, config, 1))?);
        let Some(first) = inspected.iter().position(|seen| seen.has_rows) else {
            return Err(EventsError::NoRows { files: files.into_iter().map(|file| file.path).collect() });
        };
        let mut columns = inspected[first].columns.clone();
        prepare(&mut files, &columns, config);
        for (key, value) in &files[first].partition {
            if !columns.iter().any(|column| column.name == *key) {
                columns.push(Column {
                    name: key.clone(),
                    cell_type: CellType::Text,
                    type_name: "told by the folder".into(),
                    cells: value.iter().cloned().collect(),
                });
            }
        }
        let mut mapping = detect::detect(&columns, &config.events, &config.timezone, &files[first].path)?;
        if !resolved.skipped.is_empty() {
            mapping.warnings.push(format!("files of other kinds are left out: {}", resolved.skipped.join(", ")));
        }
        if !resolved.repeated.is_empty() {
            mapping
                .warnings
                .push(format!("files named more than once are read once: {}", resolved.repeated.join(", ")));
        }
        let mut layouts = Vec::new();
        for (index, seen) in inspected.iter().enumerate() {
            layouts.push(layout(index, &files, first, seen, &mapping)?);
        }
        let seen: Vec<Seen> = inspected.iter().zip(&files).map(|(seen, file)| seen.for_extras(file)).collect();
        let extras = extras::find(&seen, &mut layouts, &mapping);
        let mut access = Vec::new();
        for (seen, (layout, file)) in inspected.into_iter().zip(layouts.iter().zip(&files)) {
            access.push(match seen.access {
                Access::Parquet(parquet) => {
                    let labels = LABEL_ROLES.into_iter().chain([Role::Event]);
                    let labels = labels.filter_map(|role| column_of(layout, role));
                    let texts = extras.iter().zip(&layout.extras).filter(|(extra, _)| extra.kind == ExtraKind::Text);
                    let texts = texts.filter_map(|(_, source)| column_at(source));
                    let hashed = [Role::Product, Role::OrderId].into_iter().filter_map(|role| column_of(layout, role));
                    let hashed = hashed.filter(|&at| parquet.is_all_dictionary(at));
                    let labels: Vec<usize> = labels.chain(texts).chain(hashed).collect();
                    Access::Parquet(parquet.decoding_labels(file, &labels)?)
                }
                other => other,
            });
        }
        let mut events = Self {
            files,
            access,
            layouts,
            extras,
            mapping,
            config: config.clone(),
            times: TimeStyles::default(),
            received: TimeStyles::default(),
        };
        events.times = events.time_styles(Role::Ts, first)?;
        events.received = events.time_styles(Role::ReceivedAt, first)?;
        Ok(events)
    }

    /// The mapping that was configured or detected.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The files, in the order of reading.
    pub fn files(&self) -> &[EventFile] {
        &self.files
    }

    /// The columns that are mapped to none of ours, in the order of the files: a reading brings those that
    /// it asks for (see [`super::reader::EventReader::with_extras`]).
    pub fn extras(&self) -> &[ExtraColumn] {
        &self.extras
    }

    /// What the events of these files depend on beside their bytes and folders, as one text.
    pub(crate) fn of_reading(&self, plan: &Plan) -> String {
        let mut settings = self.config.events.clone();
        settings.max_reject_share = 0.0; // decides about the whole, not about a row
        let columns: Vec<(Role, &str)> =
            self.mapping.columns.iter().map(|(&role, mapped)| (role, mapped.column.as_str())).collect();
        format!("{settings:?} {} {columns:?} {}", self.config.timezone, plan.of_reading())
    }

    /// The columns of these names, in that order.
    pub(crate) fn planned_extras(&self, names: &[&str]) -> Result<Vec<PlannedExtra>, EventsError> {
        let planned = |name: &&str| {
            let at = self.extras.iter().position(|extra| *extra.name == **name);
            let at = at.ok_or_else(|| EventsError::NoSuchExtra {
                column: (*name).into(),
                nearest: nearest(name, self.extras.iter().map(|extra| &*extra.name)),
                columns: self.extras.iter().map(|extra| extra.name.to_string()).collect(),
            })?;
            let ExtraColumn { name, kind, decimal_comma, .. } = &self.extras[at];
            let is_number = *kind != ExtraKind::Text;
            Ok(PlannedExtra { at, name: Arc::clone(name), is_number, decimal_comma: *decimal_comma })
        };
        names.iter().map(planned).collect()
    }

    /// What the decoders need to know.
    pub(crate) fn plan(&self, limit: ReadLimit, is_checked: bool) -> Plan {
        let has = |role: Role| self.mapping.columns.contains_key(&role) && role != Role::UnitPrice;
        Plan {
            used: Role::ALL.map(has),
            is_price_times_quantity: self.mapping.value_is_price_times_quantity,
            order_event: self.config.events.order_event.clone(),
            negative_event: self.config.events.negative_event.clone(),
            zone: self.config.zone(),
            times: self.times.clone(),
            received: self.received.clone(),
            decimal_comma: Role::ALL.map(|role| self.mapping.decimal_comma.contains(&role)),
            as_of: limit.as_of,
            settle_days: limit.settle_days,
            keeps_rows: is_checked || has(Role::EventId),
            keeps_texts: is_checked,
            keeps_moments: false,
            piece_rows: PIECE_ROWS,
            extras: Vec::new(),
        }
    }

    /// How a role's times are written in files of each class: text, and numbers in Parquet. Of each
    /// class, the first file that has cells decides for all.
    fn time_styles(&mut self, role: Role, first: usize) -> Result<TimeStyles, EventsError> {
        let mut styles = TimeStyles::default();
        if !self.mapping.has(role) {
            return Ok(styles);
        }
        let detected = self.mapping.time_styles.get(&role).map(|found| &found.style);
        if let Some(style) = detect::configured_style(&self.config.events.time_format)
            && detected.is_none_or(|detected| *detected == style)
        {
            return Ok(TimeStyles { text: Some(style.clone()), number: Some(style) });
        }
        let order = std::iter::once(first).chain((0..self.files.len()).filter(|&index| index != first));
        for index in order {
            let Some(is_number) = self.time_class(index, role) else { continue };
            let known = if is_number { &mut styles.number } else { &mut styles.text };
            if known.is_some() {
                continue;
            }
            let mut found = match (index == first, self.mapping.time_styles.get(&role)) {
                (true, Some(found)) => Some(found.clone()),
                _ => self.detect_times(index, role, SAMPLE_ROWS, |_| true)?,
            };
            if found.as_ref().is_some_and(|found| found.is_ambiguous) {
                let decided = self.detect_times(index, role, DATE_ORDER_ROWS, |found| !found.is_ambiguous)?;
                match decided {
                    Some(decided) if !decided.is_ambiguous => found = Some(decided),
                    _ => {
                        let column = self.layouts[index].column(role).unwrap_or_default();
                        let style = found.as_ref().map(|found| found.style.to_string()).unwrap_or_default();
                        self.mapping.warnings.push(format!(
                            "`{column}` is read as {style}, though no date tells which is which; if it is wrong, set `time_format`, \
                             for instance \"%d/%m/%Y %H:%M\", under `[events]`"
                        ));
                    }
                }
            }
            if let Some(found) = found {
                if index == first
                    && let Some(mapped) = self.mapping.columns.get_mut(&role)
                {
                    mapped.style = Some(found.style.to_string());
                }
                let known = if is_number { &mut styles.number } else { &mut styles.text };
                *known = Some(found.style);
            }
        }
        Ok(styles)
    }

    /// Whether a role's times are numbers in a file, or text; `None` when their type tells all.
    fn time_class(&self, index: usize, role: Role) -> Option<bool> {
        match (&self.access[index], self.layouts[index].source(role)) {
            (_, Source::Absent | Source::Constant(None)) => None,
            (Access::Parquet(file), Source::Column(at)) => {
                match file.columns().nth(*at).map(|(_, kind)| cell_type(kind))? {
                    CellType::Text => Some(false),
                    CellType::Integer | CellType::Decimal => Some(true),
                    _ => None,
                }
            }
            _ => Some(false),
        }
    }

    /// The style of a role's cells in a file, from so many rows or until `enough`.
    fn detect_times(
        &self,
        index: usize,
        role: Role,
        most_rows: usize,
        enough: impl Fn(&Detected) -> bool,
    ) -> Result<Option<Detected>, EventsError> {
        let file = &self.files[index];
        let at = match self.layouts[index].source(role) {
            Source::Column(at) => *at,
            Source::Constant(Some(text)) => return Ok(times::detect(&[text])),
            Source::Constant(None) | Source::Absent => return Ok(None),
        };
        let mut last = None;
        let mut n_rows = 0;
        let mut take = |cells: Vec<String>| {
            n_rows += cells.len().max(1);
            if let Some(found) = times::detect(&cells) {
                last = Some(found);
            }
            n_rows >= most_rows || last.as_ref().is_some_and(&enough)
        };
        match &self.access[index] {
            Access::Parquet(parquet) => {
                'pieces: for piece in parquet.pieces(PIECE_ROWS) {
                    for batch in parquet.read(file, piece, &[at])? {
                        if take(columns::sample(batch?.column(0)).map_err(|source| damaged(file, source))?) {
                            break 'pieces;
                        }
                    }
                }
            }
            Access::Delimited(delimiter) => {
                let mut lines = lines(file, Some(*delimiter))?;
                let n_columns = self.layouts[index].columns.len();
                let mut is_header = self.config.events.header;
                while let Some(stretch) = lines.lines(most_rows.clamp(1, 65_536))? {
                    let mut cells = Vec::new();
                    delimited::rows(&stretch, *delimiter, n_columns, |_, row| {
                        if !std::mem::take(&mut is_header)
                            && let Row::Cells(row) = row
                        {
                            cells.extend(cell_text(row.get(at)));
                        }
                    });
                    if take(cells) {
                        break;
                    }
                }
            }
            Access::Ndjson => {
                let mut lines = lines(file, None)?;
                while let Some(stretch) = lines.lines(most_rows.clamp(1, 65_536))? {
                    let name = self.layouts[index].columns[at].as_str();
                    let mut cells = Vec::new();
                    ndjson::rows(&stretch, &[Some(name)], |_, row| {
                        if let ndjson::Row::Cells(row) = row {
                            cells.extend(cell_text(row.get(0)));
                        }
                    });
                    if take(cells) {
                        break;
                    }
                }
            }
        }
        Ok(last)
    }
}

/// Files that are asked at a time where answers are long in coming.
const AT_ONCE: usize = 16;

/// Something done with each file; with many at once when they are in object stores.
fn each<T: Far + Send, U: Send>(
    files: Vec<T>,
    work: impl Fn(T) -> Result<U, EventsError> + Sync + Send,
) -> Result<Vec<U>, EventsError> {
    if files.len() > 1
        && files.iter().any(Far::is_far)
        && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build()
    {
        // The first error in the order of the files, whichever came first.
        return pool.install(|| files.into_par_iter().map(work).collect::<Vec<_>>()).into_iter().collect();
    }
    files.into_iter().map(work).collect()
}

/// Files that may be in an object store.
trait Far {
    fn is_far(&self) -> bool;
}

impl Far for Found {
    fn is_far(&self) -> bool {
        is_remote(&self.path)
    }
}

impl Far for &EventFile {
    fn is_far(&self) -> bool {
        is_remote(&self.path)
    }
}

pub(crate) fn damaged(file: &EventFile, source: impl std::error::Error + Send + Sync + 'static) -> EventsError {
    EventsError::DamagedParquet { path: file.path.clone(), bytes: file.size, source: Box::new(source) }
}

/// Lines of a text file; where quotes may hold line feeds, its delimiter is needed.
fn lines(file: &EventFile, delimiter: Option<Delimiter>) -> Result<Lines, EventsError> {
    let reader = formats::unpacked(&Input::of(file)?, &file.path, file.compression, &Arc::default())?;
    Ok(Lines::new(reader, file.path.clone(), delimiter))
}

/// A cell worth learning from.
fn cell_text(cell: Option<&[u8]>) -> Option<String> {
    let cell = cell?.trim_ascii();
    (!numbers::is_missing(cell)).then(|| String::from_utf8_lossy(cell).into_owned())
}

fn column_of(layout: &FileLayout, role: Role) -> Option<usize> {
    column_at(layout.source(role))
}

fn column_at(source: &Source) -> Option<usize> {
    match source {
        Source::Column(at) => Some(*at),
        _ => None,
    }
}

fn check_settings(config: &Config) -> Result<(), EventsError> {
    let events = &config.events;
    let bad = |key: &str, rule, got: String| Err(EventsError::BadSetting { key: key.into(), rule, got });
    if !events.header && events.names.is_empty() {
        return bad("events.names", "the columns in order, since `header` is false", "[]".into());
    }
    if events.header && !events.names.is_empty() {
        return bad("events.names", "empty unless `header` is false", format!("{:?}", events.names));
    }
    Ok(())
}

/// A file's columns, with cells of its first rows.
fn inspect(file: &EventFile, config: &Config, n_rows: usize) -> Result<Inspected, EventsError> {
    match file.format {
        Format::Parquet => inspect_parquet(file, n_rows),
        Format::Delimited => inspect_delimited(file, config, n_rows),
        // Objects may differ in their keys, so a single one does not tell the columns.
        Format::Ndjson => inspect_ndjson(file),
    }
}

fn inspect_parquet(file: &EventFile, n_rows: usize) -> Result<Inspected, EventsError> {
    let parquet = ParquetFile::open(file)?;
    let has_rows = parquet.n_rows() > 0;
    let mut columns: Vec<Column> = parquet
        .columns()
        .map(|(name, kind)| Column {
            name: name.to_string(),
            cell_type: cell_type(kind),
            type_name: kind.to_string(),
            cells: Vec::new(),
        })
        .collect();
    let piece = parquet.pieces(PIECE_ROWS).into_iter().find(|piece| piece.rows > 0);
    if let Some(mut piece) = piece.filter(|_| n_rows > 1) {
        piece.rows = piece.rows.min(n_rows);
        for (at, column) in columns.iter_mut().enumerate().filter(|(_, column)| column.cell_type != CellType::Other) {
            // One by one: a damaged column that nothing asks for does no harm, any other is met again.
            let Ok(batches) = parquet.read(file, piece, &[at]) else { continue };
            for batch in batches.map_while(Result::ok) {
                column.cells.extend(columns::sample(batch.column(0)).map_err(|source| damaged(file, source))?);
            }
        }
    }
    for column in &mut columns {
        column.cells.retain(|cell| !numbers::is_missing(cell.trim().as_bytes()));
    }
    Ok(Inspected { access: Access::Parquet(parquet), columns, has_rows })
}

fn text_columns(names: Vec<String>) -> Vec<Column> {
    let column = |name| Column { name, cell_type: CellType::Text, type_name: "text".into(), cells: Vec::new() };
    names.into_iter().map(column).collect()
}

fn inspect_delimited(file: &EventFile, config: &Config, n_rows: usize) -> Result<Inspected, EventsError> {
    let start = lines(file, None)?.lines(50)?;
    let start = start.unwrap_or(Stretch { bytes: Vec::new(), first_line: 1 });
    let delimiter = delimited::delimiter(&config.events, &formats::ending(&file.path), &start)?;
    let mut lines = lines(file, Some(delimiter))?;
    let Some(stretch) = lines.lines(n_rows + 1)? else {
        return Err(EventsError::EmptyFile { path: file.path.clone() });
    };
    let head = delimited::first_row(&stretch, delimiter);
    if head.is_empty() {
        return Err(EventsError::EmptyFile { path: file.path.clone() }); // nothing but empty lines
    }
    let names: Vec<String> = if config.events.header {
        head.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_string()).collect()
    } else {
        let expected = config.events.names.len();
        if head.len() != expected {
            return Err(EventsError::NameCount { path: file.path.clone(), found: head.len(), expected });
        }
        config.events.names.clone()
    };
    let mut columns = text_columns(names);
    let mut n_read = 0;
    delimited::rows(&stretch, delimiter, columns.len(), |_, row| {
        n_read += 1;
        if let Row::Cells(row) = row
            && (n_read > 1 || !config.events.header)
        {
            for (column, cell) in columns.iter_mut().zip(row.iter()) {
                column.cells.extend(cell_text(Some(cell)));
            }
        }
    });
    // The header alone may be all that the first lines hold when it is followed by empty ones.
    let has_rows = n_read > usize::from(config.events.header)
        || lines.lines(1)?.is_some_and(|more| !more.bytes.trim_ascii().is_empty());
    Ok(Inspected { access: Access::Delimited(delimiter), columns, has_rows })
}

fn inspect_ndjson(file: &EventFile) -> Result<Inspected, EventsError> {
    let stretch = lines(file, None)?.lines(SAMPLE_ROWS)?.unwrap_or(Stretch { bytes: Vec::new(), first_line: 1 });
    let mut columns = text_columns(ndjson::keys(&stretch));
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let wanted: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
    let mut is_nested = vec![false; names.len()];
    let mut n_read = 0;
    ndjson::rows(&stretch, &wanted, |_, row| {
        n_read += 1;
        if let ndjson::Row::Cells(row) = row {
            for (at, column) in columns.iter_mut().enumerate() {
                is_nested[at] |= row.is_unusable(at);
                column.cells.extend(cell_text(row.get(at)));
            }
        }
    });
    for (column, is_nested) in columns.iter_mut().zip(is_nested) {
        if is_nested && column.cells.iter().all(|cell| cell == "[...]") {
            column.cell_type = CellType::Other;
            column.type_name = "list or object".into();
            column.cells.clear();
        }
    }
    Ok(Inspected { access: Access::Ndjson, columns, has_rows: n_read > 0 })
}

/// Where a file keeps each role.
fn layout(
    index: usize,
    files: &[EventFile],
    first: usize,
    seen: &Inspected,
    mapping: &Mapping,
) -> Result<FileLayout, EventsError> {
    let file = &files[index];
    let mut columns: Vec<String> = seen.columns.iter().map(|column| column.name.clone()).collect();
    let mut sources = [const { Source::Absent }; N_ROLES];
    for (&role, mapped) in &mapping.columns {
        let mut places = columns.iter().enumerate().filter(|(_, name)| **name == mapped.column).map(|(at, _)| at);
        let (found, more) = (places.next(), places.count());
        if more > 0 {
            return Err(EventsError::DoubledColumn {
                path: file.path.clone(),
                column: mapped.column.clone(),
                times: more + 1,
            });
        }
        let partition = file.partition.iter().find(|(key, _)| *key == mapped.column);
        let is_sparse = matches!(seen.access, Access::Ndjson) && !matches!(role, Role::CustomerId | Role::Ts);
        sources[role as usize] = match (found, partition) {
            (Some(at), _) => {
                let column = &seen.columns.get(at);
                if let Some(column) = column
                    && !column.cell_type.can_be(role.kind())
                {
                    return Err(EventsError::WrongType {
                        path: file.path.clone(),
                        column: column.name.clone(),
                        role,
                        found: format!("of type {}", column.type_name),
                        expected: role.expected(),
                    });
                }
                Source::Column(at)
            }
            (None, Some((_, value))) => Source::Constant(value.clone()),
            // Objects leave out what they do not have, and later ones may have it.
            (None, None) if is_sparse || (!seen.has_rows && seen.columns.is_empty()) => {
                columns.push(mapped.column.clone());
                Source::Column(columns.len() - 1)
            }
            (None, None) => {
                return Err(EventsError::LacksColumn {
                    path: file.path.clone(),
                    column: mapped.column.clone(),
                    role,
                    first: files[first].path.clone(),
                    columns,
                });
            }
        };
    }
    Ok(FileLayout { index, name: file.name.clone(), columns, sources, extras: Vec::new() })
}

/// The file columns that a reading needs, ascending.
pub(crate) fn wanted(layout: &FileLayout, plan: &Plan) -> Vec<usize> {
    let ours = Role::ALL.into_iter().filter_map(|role| column_of(layout, role));
    let extras = plan.extras.iter().filter_map(|extra| column_at(&layout.extras[extra.at]));
    let wanted: BTreeSet<usize> = ours.chain(extras).collect();
    wanted.into_iter().collect()
}
