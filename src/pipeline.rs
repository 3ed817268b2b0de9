//! The two jobs, start to end: events become a bundle; a bundle and events become scores.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

mod backtest;
mod explain;
mod places;
mod run;
mod stored;

use crate::bundle::{Bundle, ColumnNote, CustomerFilter, Manifest};
use crate::config::Config;
use crate::error::{Error, ExitCode, Explain, Reason};
use crate::events::{Events, ExtraColumn, ExtraKind, ReadLimit, ReadSummary, Role};
use crate::features::{AttributeKind, ExportOptions, Feature, Inputs, Plan, Sweep, export, unheard_events};
use crate::lists::{Applied, ListFiles, Lists};
use crate::progress::Observer;
use crate::report::{self, Fact, Report, format};
use crate::scores::drift::Sample;
use crate::sink::FileFormat;
use crate::storage::{self, Workplace};
use crate::time::Day;
use crate::timeline::{
    Attributes, AttributesBuilder, Budget, TimelineBuilder, TimelineError, TimelineStore, Timelines,
};
use crate::training::{self, OrdersChoice};

pub use backtest::{Backtest, BacktestOptions, BacktestRow, backtest};
pub use explain::{ExplainError, ExplainOptions, explain};
pub use run::{Days, DaysError, JudgeOptions, RunOptions, backfill, judge, rescore, run};

/// What `fit` is asked to do.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Files, folders or globs of events.
    pub events: Vec<String>,
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: Vec<String>,
    /// Settings.
    pub config: Config,
    /// The first day that must not be seen; the day after the last event when absent.
    pub as_of: Option<Day>,
    /// `models/<name>`.
    pub out: PathBuf,
    /// Where unusable rows are kept; below `out` when absent.
    pub rejects: Option<PathBuf>,
    /// Folder for the rows that the targets are trained and judged on, when they are wanted.
    pub export_features: Option<PathBuf>,
    /// Do all the work and write nothing.
    pub dry_run: bool,
    /// What timelines may take.
    pub budget: Budget,
    /// Lists of customers; those of the settings where none is named.
    pub lists: ListFiles,
}

/// The day that is meant when none is said, told on stderr.
fn day_after(timelines: &Timelines, observer: &dyn Observer) -> Day {
    let day = timelines.last_day.plus(1);
    observer.note(&format!("as_of = {day}, the day after the last event; another with --as-of"));
    day
}

/// What `fit` did.
pub struct FitResult {
    /// The bundle, with its report.
    pub bundle: Bundle,
    /// Where it was written; `None` after a dry run.
    pub folder: Option<PathBuf>,
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

/// Attributes that may be seen at `as_of`, and the account of their rows.
fn read_attributes(
    specs: &[String],
    config: &Config,
    as_of: Option<Day>,
    rejects: Option<&Path>,
    lists: &Lists,
    observer: &dyn Observer,
) -> Result<(Attributes, ReadSummary), Error> {
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
    let mut reader = table.reader(ReadLimit { as_of, settle_days: 0 }, rejects.as_deref())?.with_extras(&names)?;
    let mut builder = AttributesBuilder::new(columns.clone(), has_validity);
    while let Some(mut batches) = reader.next_round()? {
        for batch in &mut batches {
            lists.apply(batch);
            builder.append(batch);
        }
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

/// Reads all that may be seen at `as_of` into timelines; rows that cannot be used go to `rejects`, events
/// of the forgotten nowhere. `attributes` are files
/// of what is known of customers beside their events; without any, the one of the settings is taken. `numbers` names the
/// numeric extras that a bundle looks at; without it, those of the data are taken.
///
/// # Errors
/// Events that cannot be read, too many unusable rows, nothing before `as_of`.
pub fn read_timelines(
    specs: &[String],
    attributes: &[String],
    config: &Config,
    as_of: Option<Day>,
    rejects: Option<&Path>,
    numbers: Option<&[String]>,
    lists: &Lists,
    budget: &Budget,
    observer: &dyn Observer,
) -> Result<(Timelines, ReadSummary), Error> {
    read_timelines_with(None, specs, attributes, config, as_of, rejects, numbers, lists, budget, observer)
}

/// What became of the rows, and how the timelines come of them.
struct Reading {
    summary: ReadSummary,
    applied: Applied,
    timelines: Box<dyn FnOnce() -> Result<Timelines, TimelineError>>,
}

/// As [`read_timelines`]. With a store, of the files only those are read that it does not hold yet.
fn read_timelines_with(
    store: Option<&mut TimelineStore>,
    specs: &[String],
    attributes: &[String],
    config: &Config,
    as_of: Option<Day>,
    rejects: Option<&Path>,
    numbers: Option<&[String]>,
    lists: &Lists,
    budget: &Budget,
    observer: &dyn Observer,
) -> Result<(Timelines, ReadSummary), Error> {
    let (timelines, summary) =
        read_any(store, specs, attributes, config, as_of, rejects, numbers, lists, budget, observer)?;
    Ok((timelines.expect("only of one customer there may be nothing"), summary))
}

/// As [`read_timelines_with`]; of the one customer whom the lists may name, `None` without an event.
fn read_any(
    store: Option<&mut TimelineStore>,
    specs: &[String],
    attributes: &[String],
    config: &Config,
    as_of: Option<Day>,
    rejects: Option<&Path>,
    numbers: Option<&[String]>,
    lists: &Lists,
    budget: &Budget,
    observer: &dyn Observer,
) -> Result<(Option<Timelines>, ReadSummary), Error> {
    let events = Events::open(specs, config)?;
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
    let attributes = attribute_files(attributes, config);
    let attributes = match attributes.is_empty() {
        true => None,
        false => Some(read_attributes(&attributes, config, as_of, rejects, lists, observer)?),
    };
    let (attributes, described) = attributes.unzip();
    observer.stage("reading events");
    let limit = ReadLimit { as_of, settle_days: config.events.settle_days };
    let request = stored::Request { events: &events, inputs: &inputs, lists, limit, rejects, budget, observer };
    let stored = match store {
        Some(store) => stored::read(&request, store, attributes)?,
        None => Err(attributes),
    };
    let Reading { mut summary, applied, timelines } = match stored {
        Ok(reading) => reading,
        Err(attributes) => read_all(&request, attributes)?,
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

/// Reads every file.
fn read_all(request: &stored::Request, attributes: Option<Attributes>) -> Result<Reading, Error> {
    let stored::Request { events, inputs, lists, limit, rejects, budget, observer } = *request;
    let mut reader = events.reader(limit, rejects)?.with_extras(&inputs.extras)?;
    let mut builder = TimelineBuilder::within(budget.clone()).with_attributes(attributes);
    let mut is_first = true;
    let mut applied = Applied::default();
    while let Some(mut batches) = reader.next_round()? {
        let changes: Vec<Applied> = batches.par_iter_mut().map(|batch| lists.apply(batch)).collect();
        changes.into_iter().for_each(|change| applied.add(change));
        batches.retain(|batch| !batch.is_empty());
        batches.par_iter_mut().try_for_each(|batch| inputs.conditions.mark(batch))?;
        let (done, total) = reader.progress();
        if std::mem::take(&mut is_first) && done > 0 {
            builder.expect(&batches, total as f64 / done as f64);
        }
        builder.append(&batches)?;
        observer.advance(done, total);
    }
    Ok(Reading { summary: reader.finish()?, applied, timelines: Box::new(move || builder.finish()) })
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

/// Events → timelines → features and labels → fitted targets → a bundle on disk.
///
/// # Errors
/// Whatever keeps a bundle from being made; nothing is written then.
pub fn fit(options: FitOptions, observer: &dyn Observer) -> Result<FitResult, Error> {
    for path in options.rejects.iter().chain(&options.export_features) {
        storage::refuse_remote(path)?;
    }
    let mut models = Workplace::open(&options.out, |_| false)?;
    let done = fit_here(FitOptions { out: models.folder().into(), ..options }, &models.observer(observer));
    let done = models.finish(done, observer)?;
    Ok(FitResult { folder: done.folder.map(|folder| models.address(&folder)), ..done })
}

/// The same into a folder of this machine.
fn fit_here(options: FitOptions, observer: &dyn Observer) -> Result<FitResult, Error> {
    let rejects = options.rejects.clone().unwrap_or_else(|| options.out.join("rejects.ndjson"));
    let lists = Lists::read(&options.lists.or(&options.config.lists), &options.config.zone())?;
    let (timelines, data) = read_timelines(
        &options.events,
        &options.attributes,
        &options.config,
        options.as_of,
        Some(&rejects),
        None,
        &lists,
        &options.budget,
        observer,
    )?;
    let as_of = options.as_of.unwrap_or_else(|| day_after(&timelines, observer));
    let rows_to = options.export_features.as_deref().filter(|_| !options.dry_run);
    let trained = training::train(&options.config, &timelines, as_of, rows_to, observer)?;
    for warning in report::together(&trained.warnings) {
        observer.warn(&warning);
    }
    let report = Report {
        bundle: String::new(),
        as_of,
        currency: options.config.currency.clone(),
        data: facts(&timelines, &data).into_iter().chain(trained.orders.iter().map(OrdersChoice::fact)).collect(),
        targets: trained.targets,
        rules: trained.rules,
        features: trained.features,
        warnings: trained.warnings.clone(),
    };
    let targets = trained.parameters.targets.iter().map(|fitted| &fitted.target);
    let mut columns = Vec::new();
    for target in targets {
        for (index, column) in target.columns().into_iter().enumerate() {
            let label = target.sentence(target.per_group.then_some(index));
            columns.push(ColumnNote { column, label, horizon_days: target.horizon.days() });
        }
    }
    let manifest = Manifest {
        kind: String::new(),
        format: 0,
        bellwether_version: String::new(),
        bundle_id: String::new(),
        as_of,
        features: trained.parameters.catalogue.features(),
        splits: trained.splits,
        columns,
        customers: timelines.customers() as u64,
        data,
        warnings: trained.warnings,
        files: std::collections::BTreeMap::new(),
        seal: String::new(),
        config: options.config,
    };
    observer.stage("describing the population");
    let sample = Sample::of_fit(&trained.parameters, &timelines, as_of, timelines.customers() as u64)?;
    let bundle = Bundle {
        manifest,
        distributions: Some(sample.distributions()),
        customers: Some(CustomerFilter::of(&timelines)?),
        parameters: trained.parameters,
        report,
    };
    if options.dry_run {
        return Ok(FitResult { bundle, folder: None });
    }
    observer.stage("writing the bundle");
    let (bundle, folder) = bundle.save(&options.out)?;
    Ok(FitResult { bundle, folder: Some(folder) })
}

/// The catalogue of some events, as [`fit`] would make it at `as_of` (the day after the last event when absent).
///
/// # Errors
/// Events that cannot be read, nothing before `as_of`, a pattern of `[features]` that matches nothing.
pub fn catalogue(
    events: &[String],
    attributes: &[String],
    config: &Config,
    as_of: Option<Day>,
    budget: &Budget,
    observer: &dyn Observer,
) -> Result<Vec<Feature>, Error> {
    let lists = Lists::read(&ListFiles::default().or(&config.lists), &config.zone())?;
    let (timelines, _) = read_timelines(events, attributes, config, as_of, None, None, &lists, budget, observer)?;
    let as_of = as_of.unwrap_or_else(|| day_after(&timelines, observer));
    let plan = Plan::new(&timelines, config, as_of)?;
    plan.check_selection()?;
    Ok(plan.features())
}

/// What `build` is asked to do.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Files, folders or globs of events.
    pub events: Vec<String>,
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: Vec<String>,
    /// Settings.
    pub config: Config,
    /// First days that must not be seen; the day after the last event when empty.
    pub as_ofs: Vec<Day>,
    /// File of the features.
    pub out: PathBuf,
    /// Doubles instead of single-precision floats.
    pub is_double: bool,
    /// Where unusable rows are kept; beside `out` when absent.
    pub rejects: Option<PathBuf>,
    /// Whether all the work is done and nothing written.
    pub dry_run: bool,
    /// What timelines may take.
    pub budget: Budget,
}

/// Features that were built.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// The file; `None` after a dry run.
    pub file: Option<PathBuf>,
    /// Rows: customers × days at which they were known.
    pub rows: u64,
    /// Rows of each day.
    pub rows_by_as_of: std::collections::BTreeMap<Day, u64>,
    /// Feature columns.
    pub features: usize,
    /// Customers in the events that were read.
    pub customers: u64,
    /// Events that were read.
    pub events: u64,
    /// Whether timelines were put aside on disk.
    pub is_spilled: bool,
}

impl Built {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let days: Vec<String> =
            self.rows_by_as_of.iter().map(|(day, rows)| format!("{} at {day}", format::count(*rows))).collect();
        let mut text = format!(
            "{} features of {} customers, {} events: {} rows, {}",
            self.features,
            format::count(self.customers),
            format::count(self.events),
            format::count(self.rows),
            days.join(", "),
        );
        if let Some(file) = &self.file {
            text.push_str(&format!("\nfeatures: {}", file.display()));
        }
        text
    }
}

/// Events → timelines → a file of features, one row for each customer known at each day.
///
/// # Errors
/// Events that cannot be read, nothing before the last of the days, a pattern of `[features]` that matches nothing, a
/// file that cannot be written.
pub fn build(options: &BuildOptions, observer: &dyn Observer) -> Result<Built, Error> {
    if !options.dry_run {
        FileFormat::of_path(&options.out)?;
        storage::refuse_remote(&options.out)?;
    }
    let mut as_ofs = options.as_ofs.clone();
    as_ofs.sort_unstable();
    as_ofs.dedup();
    let rejects = options.rejects.clone().unwrap_or_else(|| options.out.with_file_name("rejects.ndjson"));
    let last = as_ofs.last().copied();
    let config = &options.config;
    let lists = Lists::read(&ListFiles::default().or(&config.lists), &config.zone())?;
    let (timelines, _) = read_timelines(
        &options.events,
        &options.attributes,
        config,
        last,
        Some(&rejects),
        None,
        &lists,
        &options.budget,
        observer,
    )?;
    if as_ofs.is_empty() {
        as_ofs.push(day_after(&timelines, observer));
    }
    observer.stage("choosing columns");
    // Columns of what was not yet known at the first day would tell its rows of the future.
    let plan = Plan::new(&timelines, &options.config, as_ofs[0])?;
    plan.check_selection()?;
    let features = plan.features();
    let sweep = Sweep::new(&plan, &timelines);
    observer.stage("building features");
    let export_options = ExportOptions {
        out: (!options.dry_run).then_some(options.out.as_path()),
        as_ofs: &as_ofs,
        is_double: options.is_double,
    };
    let exported = export(&timelines, &sweep, &features, &options.config, export_options, observer)?;
    Ok(Built {
        file: (!options.dry_run).then(|| options.out.clone()),
        rows: exported.rows,
        rows_by_as_of: exported.rows_by_as_of.into_iter().collect(),
        features: features.len(),
        customers: timelines.customers() as u64,
        events: timelines.events() as u64,
        is_spilled: timelines.is_spilled(),
    })
}

fn facts(timelines: &Timelines, data: &ReadSummary) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { name: name.to_string(), value };
    let mut facts = vec![
        fact("customers", format::count(timelines.customers() as u64)),
        fact("events", format::count(data.used)),
        fact("first event", timelines.first_day.to_string()),
        fact("last event", timelines.last_day.to_string()),
    ];
    if data.anonymous_rows > 0 {
        facts.push(fact("rows without a customer, left out", format::count(data.anonymous_rows)));
    }
    if data.future_rows > 0 {
        facts.push(fact("events at or after as_of, left out", format::count(data.future_rows)));
    }
    facts
}
