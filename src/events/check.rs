//! `check`: what the events hold, what is wrong with them, what can be learned from them.

mod tally;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use self::tally::{MOST_NAMES, NameTally, Tally};
use super::error::EventsError;
use super::formats::{Compression, Format};
use super::open::Events;
use super::reader::ReadLimit;
use super::summary::ReadSummary;
use crate::config::{Config, Per, TargetKind};
use crate::features::ExtraUse;
use crate::split;
use crate::time::{DAY_MICROS, Day, Horizon};

/// Listed of anything that may be long.
const TOP: usize = 10;

/// A file, as the report lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedFile {
    /// Its name.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// How its rows are written.
    pub format: Format,
    /// How its bytes are packed.
    pub compression: Compression,
}

/// Events of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventCount {
    /// What happened; empty where the event column is.
    pub name: String,
    /// How often.
    pub rows: u64,
    /// Sum of its money; `None` without a value column.
    pub value: Option<f64>,
}

/// A value of a column and its number of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameCount {
    /// The value.
    pub name: String,
    /// Events that have it.
    pub rows: u64,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// Our name of the column.
    pub column: &'static str,
    /// Different values; of more than 50,000, only these are told apart.
    pub distinct: usize,
    /// Events without one.
    pub missing: u64,
    /// The most frequent ten.
    pub top: Vec<NameCount>,
}

/// Values of one column that differ only in case or blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spelling {
    /// Our name of the column.
    pub column: &'static str,
    /// The ways in which it is written, the most frequent first.
    pub names: Vec<NameCount>,
}

/// The money of all events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Money {
    /// Events with money.
    pub rows: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest amount.
    pub min: f64,
    /// The middle amount, within 1 %.
    pub median_approximate: f64,
    /// The largest amount.
    pub max: f64,
    /// Share of the amounts below zero, 0 to 1.
    pub negative_share: f64,
}

/// Orders: events of `order_event` with the same `order_id`, or of the same customer and day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Orders {
    /// How many.
    pub orders: u64,
    /// Customers who have one.
    pub customers: u64,
    /// Orders for each of these customers.
    pub per_customer: f64,
    /// Share of these customers with more than one, 0 to 1.
    pub repeat_share: f64,
    /// Order ids that belong to several customers.
    pub conflicting: u64,
    /// One of these ids.
    pub conflicting_example: Option<String>,
}

/// Days in a row without any event, between the first and the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First day without.
    pub first: Day,
    /// Last day without.
    pub last: Day,
    /// How many.
    pub days: i32,
}

/// Events that equal an earlier one in every mapped column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// How many repeat an earlier one.
    pub rows: u64,
    /// File and row of the first that does.
    pub first: Option<(String, u64)>,
    /// Events that were compared.
    pub compared: u64,
}

/// Whether a target can be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetCheck {
    /// Its name in the configuration.
    pub name: String,
    /// Its horizon there.
    pub horizon_days: i32,
    /// The longest horizon that the history allows; 0: none.
    pub longest_horizon_days: i32,
    /// Why it cannot be learned as configured; `None` when it can.
    pub obstacle: Option<String>,
}

/// What the events hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The files.
    pub files: Vec<CheckedFile>,
    /// Which column is which.
    pub mapping: Vec<String>,
    /// What becomes of the columns that are none of ours.
    pub extras: Vec<ExtraUse>,
    /// What became of the rows.
    pub summary: ReadSummary,
    /// Different customers.
    pub customers: u64,
    /// Wall time of the first event.
    pub first: Option<String>,
    /// Of the last.
    pub last: Option<String>,
    /// Days from the first to the last, both counted.
    pub history_days: i32,
    /// Events by kind, the most frequent first.
    pub events: Vec<EventCount>,
    /// The label columns and the products.
    pub names: Vec<Names>,
    /// The money; `None` without any.
    pub money: Option<Money>,
    /// The orders; `None` without any.
    pub orders: Option<Orders>,
    /// The five longest gaps.
    pub gaps: Vec<Gap>,
    /// Repeated rows.
    pub duplicates: Duplicates,
    /// Events received on a day before the one on which they happened.
    pub received_early: u64,
    /// Values that are probably one.
    pub spellings: Vec<Spelling>,
    /// What can be learned.
    pub targets: Vec<TargetCheck>,
    /// What a person should look at.
    pub warnings: Vec<String>,
    /// What would stop a run.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// What would stop `fit`: too many unusable rows, no event left, no order, nothing to learn.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Reads all events and reports on them. Too many unusable rows are a problem of the report here,
/// not an error.
///
/// Remembers eight to sixteen bytes for each event, customer and order.
///
/// # Errors
/// Files that cannot be read on.
pub fn check(events: &Events, config: &Config) -> Result<CheckReport, EventsError> {
    let mut reader = events.reader_keeping(ReadLimit::default(), None, true)?;
    let mut tally = Tally::default();
    while let Some(round) = reader.next_decoded()? {
        for part in &round {
            tally.take(part, events, &config.events.order_event);
        }
    }
    let summary = reader.summary()?;
    Ok(tally.report(events, config, summary))
}

fn targets(
    config: &Config,
    events: &[EventCount],
    has_value: bool,
    names: &[Names],
    history_days: i32,
) -> Vec<TargetCheck> {
    let longest = split::longest_horizon(history_days, &config.training).map_or(0, Horizon::days);
    let usual = split::default_horizon(history_days, &config.training).days();
    let n_categories = names.iter().find(|names| names.column == "category").map_or(0, |names| names.distinct);
    let mut wanted: Vec<(String, TargetKind, String, bool, i32)> = Vec::new();
    let order_event = &config.events.order_event;
    for (name, target) in &config.target {
        let event = target.event.clone().unwrap_or_else(|| order_event.clone());
        wanted.push((name.clone(), target.kind, event, target.per == Some(Per::Category), target.horizon_days.days()));
    }
    if wanted.is_empty() {
        for (name, kind) in
            [("churn", TargetKind::Absence), ("orders", TargetKind::Count), ("value", TargetKind::Amount)]
        {
            wanted.push((name.into(), kind, order_event.clone(), false, usual));
        }
        wanted.push(("categories".into(), TargetKind::Presence, order_event.clone(), true, usual.min(30)));
    }
    let check = |(name, kind, event, is_per_category, horizon_days): (String, TargetKind, String, bool, i32)| {
        let found = events.iter().find(|count| count.name == event);
        let obstacle = if found.is_none() {
            Some(format!("there is no event `{event}`"))
        } else if kind == TargetKind::Amount && !has_value {
            Some("there is no value column".into())
        } else if kind == TargetKind::Amount && found.is_some_and(|count| count.value == Some(0.0)) {
            Some(format!("the events `{event}` bring no money"))
        } else if is_per_category && n_categories == 0 {
            Some("there are no categories".into())
        } else if horizon_days > longest {
            Some(format!("the history of {history_days} days is too short for a horizon of {horizon_days} days"))
        } else {
            None
        };
        TargetCheck { name, horizon_days, longest_horizon_days: longest, obstacle }
    };
    wanted.into_iter().map(check).collect()
}

fn problems(report: &CheckReport, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let (summary, max_share) = (&report.summary, config.events.max_reject_share);
    if summary.reject_share() > max_share {
        problems.push(format!(
            "{} of {} rows are unusable ({:.4} %), more than the {:.4} % that `max_reject_share` allows",
            summary.rejected(),
            summary.judged(),
            summary.reject_share() * 100.0,
            max_share * 100.0
        ));
    }
    if summary.used == 0 {
        problems.push("no usable event of a customer is left".into());
        return problems;
    }
    let order_event = &config.events.order_event;
    if !report.events.iter().any(|count| count.name == *order_event) {
        let names: Vec<String> = report.events.iter().take(TOP).map(|count| format!("`{}`", count.name)).collect();
        problems.push(format!(
            "there is no event `{order_event}`, only {}: set `order_event` under `[events]`",
            names.join(", ")
        ));
    }
    if report.targets.iter().all(|target| target.obstacle.is_some()) {
        problems.push("no target can be learned as configured".into());
    }
    problems
}

fn warnings(report: &CheckReport, names: &BTreeMap<&'static str, NameTally>) -> Vec<String> {
    let mut warnings = Vec::new();
    let summary = &report.summary;
    if summary.unnamed_rows > 0 {
        warnings.push(format!("{} events have no name: their event column is empty", summary.unnamed_rows));
    }
    if let Some(count) = summary.rejects.get(&super::rejects::RejectReason::UnreadableText) {
        warnings.push(format!(
            "{} rows hold text that is not UTF-8; if the file is in another code, convert it, for instance with `iconv -f WINDOWS-1252 -t UTF-8`",
            count.rows
        ));
    }
    for spelling in &report.spellings {
        let ways: Vec<String> =
            spelling.names.iter().map(|count| format!("`{}` ({})", count.name, count.rows)).collect();
        warnings.push(format!("{}: written in {} ways: {}", spelling.column, ways.len(), ways.join(", ")));
    }
    for (column, _) in names.iter().filter(|(_, tally)| tally.untold > 0) {
        warnings.push(format!("{column}: only the first {MOST_NAMES} different values are told apart"));
    }
    if let Some(orders) = report.orders.as_ref().filter(|orders| orders.conflicting > 0) {
        let example = orders.conflicting_example.as_deref().unwrap_or_default();
        warnings
            .push(format!("{} order ids belong to several customers, for instance `{example}`", orders.conflicting));
    }
    if report.duplicates.rows > 0 {
        warnings.push(format!(
            "{} events equal an earlier one in every mapped column; they are kept",
            report.duplicates.rows
        ));
    }
    if report.received_early > 0 {
        warnings.push(format!(
            "{} events were received on a day before they happened: clocks differ, or the columns are swapped",
            report.received_early
        ));
    }
    if let (Some(first), Some(last)) = (summary.first_time, summary.last_time)
        && last < 60 * DAY_MICROS
        && first >= 0
    {
        warnings.push("all times lie in the first weeks of 1970: the unit of the time column is probably wrong".into());
    }
    warnings
}

/// `2024-03-01 10:15:00`.
fn wall_text(wall: i64) -> String {
    let seconds = wall.rem_euclid(DAY_MICROS) / 1_000_000;
    format!("{} {:02}:{:02}:{:02}", Day::of_wall(wall), seconds / 3600, seconds / 60 % 60, seconds % 60)
}
