//! Events, and what is known of customers beside them, become timelines.

use std::path::Path;

use rayon::prelude::*;

use super::stored;
use crate::config::Config;
use crate::error::{Error, ExitCode, Explain, Reason};
use crate::events::{EventBatch, EventReader, Events, ExtraColumn, ExtraKind, ReadLimit, ReadSummary, Role};
use crate::features::{AttributeKind, Inputs, unheard_events};
use crate::lists::{Applied, Lists};
use crate::progress::Observer;
use crate::time::Day;
use crate::timeline::{
    Attributes, AttributesBuilder, Budget, TimelineBuilder, TimelineError, TimelineStore, Timelines, set_bytes,
};

/// Which events are read, and how.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Files, folders or globs of events.
    pub events: &'a [String],
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: &'a [String],
    /// Settings.
    pub config: &'a Config,
    /// The first day that must not be seen; all is read when absent.
    pub as_of: Option<Day>,
    /// File for rows that cannot be used; kept nowhere when absent.
    pub rejects: Option<&'a Path>,
    /// Names of the numeric extras that a bundle looks at; those of the data are taken when absent.
    pub numbers: Option<&'a [String]>,
    /// Lists of customers; events of the forgotten go nowhere.
    pub lists: &'a Lists,
    /// What timelines may take.
    pub budget: &'a Budget,
    /// Whether fingerprints of the files are taken; without, the summary names no file.
    pub has_fingerprints: bool,
}

impl<'a> Reading<'a> {
    /// All of some events, as the settings say.
    pub fn new(events: &'a [String], config: &'a Config, lists: &'a Lists, budget: &'a Budget) -> Self {
        Self {
            events,
            attributes: &[],
            config,
            as_of: None,
            rejects: None,
            numbers: None,
            lists,
            budget,
            has_fingerprints: true,
        }
    }

    /// The same, for who keeps no account of the files.
    pub fn without_fingerprints(self) -> Self {
        Self { has_fingerprints: false, ..self }
    }
}

/// No event before the day that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("no event happened before {as_of}")]
struct NothingBefore {
    as_of: Day,
    future_rows: u64,
}

impl Explain for NothingBefore {
    fn exit_code(&self) -> ExitCode {
        ExitCode::DataRejected
    }

    fn reason(&self) -> Option<Reason> {
        Some(Reason::NoScoringData)
    }

    fn details(&self) -> Vec<String> {
        vec![format!("{} events happened on or after it. Nothing was written.", self.future_rows)]
    }

    fn hints(&self) -> Vec<String> {
        vec!["take a later `--as-of`; `bellwether-train check --events …` prints the dates".into()]
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("future_rows", self.future_rows)]
    }
}

/// Files of attributes: those that were named, or the one of the settings.
fn attribute_files(named: &[String], config: &Config) -> Vec<String> {
    let path = &config.attributes.path;
    if named.is_empty() && !path.is_empty() { vec![path.clone()] } else { named.to_vec() }
}

/// A reading that holds no more rows at a time than the budget allows, with fingerprints of its files or without.
fn within<'a>(reader: EventReader<'a>, budget: &Budget, has_fingerprints: bool) -> EventReader<'a> {
    let reader = if has_fingerprints { reader } else { reader.without_fingerprints() };
    match budget.piece_rows() {
        Some(rows) => reader.in_pieces_of(rows),
        None => reader,
    }
}

/// Attributes that may be seen at `as_of`, and the account of their rows.
fn read_attributes(
    specs: &[String],
    reading: &Reading,
    observer: &dyn Observer,
) -> Result<(Attributes, ReadSummary), Error> {
    let Reading { config, as_of, rejects, lists, budget, has_fingerprints, .. } = *reading;
    let (table, has_validity) = Events::open_attributes(specs, config)?;
    observer.stage("reading attributes");
    let kind = |extra: &ExtraColumn| match extra.kind {
        ExtraKind::Number => AttributeKind::Number,
        ExtraKind::Bool => AttributeKind::Flag,
        ExtraKind::Text => AttributeKind::Text,
    };
    let columns: Vec<(String, AttributeKind)> =
        table.extras().iter().map(|extra| (extra.name.to_string(), kind(extra))).collect();
    let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
    observer.note(&format!(
        "attributes: customer_id = `{}`, {}; {}",
        table.mapping().columns.get(&Role::CustomerId).map_or("", |mapped| mapped.column.as_str()),
        match table.mapping().columns.get(&Role::Ts) {
            Some(mapped) if has_validity => format!("each row holds from `{}` on", mapped.column),
            _ => "there is no `valid_from`: rows are taken to have held always, whatever was known then".into(),
        },
        names.iter().map(|name| name.as_str()).collect::<Vec<&str>>().join(", "),
    ));
    for note in table.extras().iter().filter_map(|extra| extra.note.as_ref()) {
        observer.note(note);
    }
    let rejects = rejects.map(|path| path.with_file_name("rejects-attributes.ndjson"));
    let reader = table.reader(ReadLimit { as_of, settle_days: 0 }, rejects.as_deref())?.with_extras(&names)?;
    let mut reader = within(reader, budget, has_fingerprints);
    let mut builder = AttributesBuilder::new(columns.clone(), has_validity);
    while let Some(mut batches) = reader.next_round()? {
        for batch in &mut batches {
            lists.apply(batch);
            builder.append(batch);
        }
        let (done, total) = reader.progress();
        let at_end = builder.bytes_to_finish() as f64 * (total as f64 / done.max(1) as f64).max(1.0);
        budget.check_beside("the attributes", at_end)?;
    }
    let mut summary = reader.finish_any()?;
    lists.scrub(&mut summary)?;
    for rejected in summary.rejects.values() {
        observer.warn(&format!("attributes: {rejected}: unusable, left out"));
    }
    for (column, faults) in &summary.extra_faults {
        observer.warn(&format!("attributes: {faults} cells of `{column}` cannot be read: taken as missing"));
    }
    if summary.anonymous_rows > 0 {
        observer.note(&format!("attributes: {} rows have no customer: left out", summary.anonymous_rows));
    }
    let attributes = builder.finish()?;
    if attributes.repeated() > 0 {
        observer.note(&format!("attributes: {} rows say what another says: left out", attributes.repeated()));
    }
    Ok((attributes, summary))
}

/// Reads all that may be seen at `as_of` into timelines.
///
/// # Errors
/// Events that cannot be read, too many unusable rows, nothing before `as_of`.
pub fn read_timelines(reading: &Reading, observer: &dyn Observer) -> Result<(Timelines, ReadSummary), Error> {
    read_with(None, reading, observer)
}

/// As [`read_timelines`]. With a store, of the files only those are read that it does not hold yet.
pub(super) fn read_with(
    store: Option<&mut TimelineStore>,
    reading: &Reading,
    observer: &dyn Observer,
) -> Result<(Timelines, ReadSummary), Error> {
    let (timelines, summary) = read_any(store, reading, observer)?;
    Ok((timelines.expect("only of one customer there may be nothing"), summary))
}

/// What became of the rows, and how the timelines come of them.
pub(super) struct Outcome {
    pub(super) summary: ReadSummary,
    pub(super) applied: Applied,
    pub(super) timelines: Box<dyn FnOnce() -> Result<Timelines, TimelineError>>,
}

/// As [`read_with`]; of the one customer whom the lists may name, `None` without an event. For one customer a store takes
/// new files, too, but it is not built anew.
pub(super) fn read_any(
    store: Option<&mut TimelineStore>,
    reading: &Reading,
    observer: &dyn Observer,
) -> Result<(Option<Timelines>, ReadSummary), Error> {
    let Reading { config, as_of, rejects, numbers, lists, budget, has_fingerprints, .. } = *reading;
    budget.check_beside("the lists of customers", lists.bytes() as f64)?;
    let events = Events::open(reading.events, config)?;
    observer.note(&events.mapping().note());
    for warning in &events.mapping().warnings {
        observer.warn(warning);
    }
    let inputs = Inputs::new(config, &events, numbers)?;
    for number in numbers.unwrap_or_default().iter().filter(|number| !inputs.extras.contains(number)) {
        observer
            .warn(&format!("the bundle looks at the numbers of `{number}`, which these events lack: they are missing"));
    }
    for note in events.extras().iter().filter_map(|extra| extra.note.as_ref()) {
        observer.note(note);
    }
    let attributes = attribute_files(reading.attributes, config);
    let attributes = match attributes.is_empty() {
        true => None,
        false => Some(read_attributes(&attributes, reading, observer)?),
    };
    let (attributes, described) = attributes.unzip();
    observer.stage("reading events");
    let limit = ReadLimit { as_of, settle_days: config.events.settle_days };
    let request = stored::Request { events: &events, inputs: &inputs, lists, limit, rejects, budget, observer };
    let stored = match store {
        Some(store) => stored::read(&request, store, attributes)?,
        None => Err(attributes),
    };
    let Outcome { mut summary, applied, timelines } = match stored {
        Ok(outcome) => outcome,
        Err(attributes) => read_all(&request, has_fingerprints, attributes)?,
    };
    summary.files.extend(described.into_iter().flat_map(|described| described.files));
    summary.used -= applied.forgotten + applied.others;
    lists.scrub(&mut summary)?;
    left_out(&summary, observer);
    if applied.mapped > 0 {
        observer.note(&format!("{} events are given to other customers by the id map", applied.mapped));
    }
    if applied.forgotten > 0 {
        observer.note(&format!("{} events of forgotten customers are left out", applied.forgotten));
    }
    if lists.only.is_some() && summary.used == 0 {
        return Ok((None, summary));
    }
    if summary.used == 0
        && let Some(as_of) = as_of
        && summary.future_rows > 0
    {
        return Err(NothingBefore { as_of, future_rows: summary.future_rows }.into());
    }
    observer.stage("sorting timelines");
    let timelines = timelines()?;
    if lists.only.is_some() {
        return Ok((Some(timelines), summary)); // what one customer lacks says nothing of the data
    }
    if timelines.without_events > 0 {
        observer.note(&format!(
            "{} customers with attributes have no event before as_of: they get no row",
            timelines.without_events
        ));
    }
    for (feature, event) in unheard_events(&config.feature, &timelines) {
        observer.warn(&format!("declared feature `{feature}`: there is no `{event}` event"));
    }
    Ok((Some(timelines), summary))
}

/// Some of the events, and how far the reading has come with them.
struct Round {
    batches: Vec<EventBatch>,
    /// Ids of events met so far.
    ids: usize,
    /// Bytes read so far, and in all.
    done: u64,
    total: u64,
    is_first: bool,
}

/// Reads every file.
fn read_all(
    request: &stored::Request,
    has_fingerprints: bool,
    attributes: Option<Attributes>,
) -> Result<Outcome, Error> {
    let stored::Request { events, inputs, lists, limit, rejects, budget, observer } = *request;
    let reader = events.reader(limit, rejects)?.with_extras(&inputs.extras)?;
    let mut reader = within(reader, budget, has_fingerprints);
    let mut builder = TimelineBuilder::within(budget.clone()).with_attributes(attributes);
    let listed = lists.bytes();
    let mut applied = Applied::default();
    let mut append = |round: Round| -> Result<(), Error> {
        let Round { mut batches, ids, done, total, is_first } = round;
        let changes: Vec<Applied> = batches.par_iter_mut().map(|batch| lists.apply(batch)).collect();
        changes.into_iter().for_each(|change| applied.add(change));
        batches.retain(|batch| !batch.is_empty());
        batches.par_iter_mut().try_for_each(|batch| inputs.conditions.mark(batch))?;
        if is_first && done > 0 {
            builder.expect(&batches, total as f64 / done as f64);
        }
        budget.check_ids(ids, done as f64 / total.max(1) as f64)?;
        builder.set_beside(listed + set_bytes(ids));
        builder.append(&batches)?;
        observer.advance(done, total);
        Ok(())
    };
    let mut next = |is_first: bool| -> Result<Option<Round>, Error> {
        let batches = reader.next_round()?;
        let (done, total) = reader.progress();
        Ok(batches.map(|batches| Round { batches, ids: reader.ids(), done, total, is_first }))
    };
    // While a round is appended the next is decoded, so that no thread waits for another; but not where memory is bounded,
    // and one round is all it holds.
    let mut round = next(true)?;
    while let Some(now) = round {
        let (appended, following) = match budget.bytes {
            None => rayon::join(|| append(now), || next(false)),
            Some(_) => (append(now), next(false)),
        };
        appended?;
        round = following?;
    }
    Ok(Outcome { summary: reader.finish()?, applied, timelines: Box::new(move || builder.finish()) })
}

/// No row is dropped in silence.
fn left_out(summary: &ReadSummary, observer: &dyn Observer) {
    let rows = summary.rows;
    for rejected in summary.rejects.values() {
        observer.warn(&format!("{rejected}: unusable, left out"));
    }
    if let Some(path) = &summary.rejects_file {
        let rejected = summary.rejected();
        observer.note(&format!("{rejected} of {rows} rows are unusable and kept in {}", path.display()));
    }
    for (column, faults) in &summary.extra_faults {
        observer.warn(&format!("{faults} cells of `{column}` cannot be read: taken as missing"));
    }
    if summary.anonymous_rows > 0 {
        let (count, worth) = (summary.anonymous_rows, summary.anonymous_value);
        let share = count as f64 / rows.max(1) as f64 * 100.0;
        observer.note(&format!("{count} of {rows} rows ({share:.1} %), worth {worth:.2}, have no customer: left out"));
    }
    if summary.future_rows > 0 {
        observer
            .note(&format!("{} of {rows} rows happen, or arrive, at or after as_of: left out", summary.future_rows));
    }
}
