//! The two jobs, start to end: events become a bundle; a bundle and events become scores.

use std::path::PathBuf;

mod backtest;
mod build;
mod explain;
mod places;
mod reading;
mod run;
mod stored;

use crate::bundle::{Bundle, ColumnNote, CustomerFilter, Manifest};
use crate::config::Config;
use crate::error::Error;
use crate::events::ReadSummary;
use crate::features::{Feature, Plan};
use crate::lists::{ListFiles, Lists};
use crate::progress::Observer;
use crate::report::{self, Fact, Report, format};
use crate::scores::drift::Sample;
use crate::storage::{Addressed, Workplace};
use crate::time::Day;
use crate::timeline::{Budget, Timelines};
use crate::training::{self, OrdersChoice};

use places::{Destination, finish_all};

pub use backtest::{Backtest, BacktestOptions, BacktestRow, backtest};
pub use build::{BuildOptions, Built, build};
pub use explain::{ExplainError, ExplainOptions, explain};
pub use reading::{Reading, read_timelines};
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

/// Events → timelines → features and labels → fitted targets → a bundle on disk.
///
/// # Errors
/// Whatever keeps a bundle from being made; nothing is written then.
pub fn fit(options: FitOptions, observer: &dyn Observer) -> Result<FitResult, Error> {
    let mut models = Workplace::to_write(&options.out)?;
    let mut rows = options.export_features.as_deref().map(Workplace::to_write).transpose()?;
    let mut rejects = options.rejects.as_deref().map(Destination::of).transpose()?;
    let here = FitOptions {
        out: models.folder().into(),
        export_features: rows.as_ref().map(|rows| rows.folder().into()),
        rejects: rejects.as_ref().map(|rejects| rejects.path.clone()),
        ..options
    };
    let beside = rejects.iter().map(|rejects| &rejects.folder).chain(&rows);
    let done = fit_here(here, &beside.fold(models.observer(observer), Addressed::and));
    // The bundle is sent last: who finds it finds what belongs to it.
    let done = finish_all(&mut rejects, done, observer);
    let done = rows.iter_mut().fold(done, |done, rows| rows.finish(done, observer));
    let done = models.finish(done, observer)?;
    Ok(FitResult { folder: done.folder.map(|folder| models.address(&folder)), ..done })
}

/// The same into a folder of this machine.
fn fit_here(options: FitOptions, observer: &dyn Observer) -> Result<FitResult, Error> {
    let rejects = options.rejects.clone().unwrap_or_else(|| options.out.join("rejects.ndjson"));
    let lists = Lists::read(&options.lists.or(&options.config.lists), &options.config.zone())?;
    let reading = Reading {
        attributes: &options.attributes,
        as_of: options.as_of,
        rejects: Some(&rejects),
        ..Reading::new(&options.events, &options.config, &lists, &options.budget)
    };
    let (timelines, data) = read_timelines(&reading, observer)?;
    let as_of = options.as_of.unwrap_or_else(|| day_after(&timelines, observer));
    let rows_to = options.export_features.as_deref().filter(|_| !options.dry_run);
    let trained = training::train(&options.config, &timelines, as_of, rows_to, &options.budget, observer)?;
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
    let reading = Reading { attributes, as_of, ..Reading::new(events, config, &lists, budget).without_fingerprints() };
    let (timelines, _) = read_timelines(&reading, observer)?;
    let as_of = as_of.unwrap_or_else(|| day_after(&timelines, observer));
    let plan = Plan::new(&timelines, config, as_of)?;
    plan.check_selection()?;
    Ok(plan.features())
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
