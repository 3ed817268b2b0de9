//! The feature engine alone: events become a file of features.

use std::path::PathBuf;

use serde::Serialize;

use super::places::{Destination, finish_all};
use super::{Reading, day_after, read_timelines};
use crate::config::Config;
use crate::error::Error;
use crate::features::{ExportOptions, Plan, Sweep, export, export_bytes};
use crate::lists::{ListFiles, Lists};
use crate::progress::Observer;
use crate::report::format;
use crate::sink::FileFormat;
use crate::time::Day;
use crate::timeline::Budget;

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
    }
    let mut out = Destination::of(&options.out)?;
    let mut rejects = options.rejects.as_deref().map(Destination::of).transpose()?;
    let here = BuildOptions {
        out: out.path.clone(),
        rejects: rejects.as_ref().map(|rejects| rejects.path.clone()),
        ..options.clone()
    };
    let heard = rejects.iter().fold(out.folder.observer(observer), |heard, rejects| heard.and(&rejects.folder));
    let done = build_here(&here, &heard);
    let built = finish_all(rejects.iter_mut().chain([&mut out]), done, observer)?;
    Ok(Built { file: built.file.map(|file| out.folder.address(&file)), ..built })
}

/// The same into a file of this machine.
fn build_here(options: &BuildOptions, observer: &dyn Observer) -> Result<Built, Error> {
    let mut as_ofs = options.as_ofs.clone();
    as_ofs.sort_unstable();
    as_ofs.dedup();
    let rejects = options.rejects.clone().unwrap_or_else(|| options.out.with_file_name("rejects.ndjson"));
    let last = as_ofs.last().copied();
    let config = &options.config;
    let lists = Lists::read(&ListFiles::default().or(&config.lists), &config.zone())?;
    let reading = Reading {
        attributes: &options.attributes,
        as_of: last,
        rejects: Some(&rejects),
        ..Reading::new(&options.events, config, &lists, &options.budget).without_fingerprints()
    };
    let (timelines, _) = read_timelines(&reading, observer)?;
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
    if let Some(out) = export_options.out {
        let rows = timelines.customers() * as_ofs.len();
        let bytes = export_bytes(features.len(), rows, &export_options, FileFormat::of_path(out)?);
        options.budget.check_after("features while they are written", bytes as f64, timelines.held())?;
    }
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
