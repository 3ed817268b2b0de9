//! Rolling-origin evaluation: what `fit` would have said at earlier days, each judged on the window that followed its test
//! cut-off (Tashman 2000, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16, 437-450).

use serde::Serialize;

use super::{FitOptions, fit};
use crate::error::{Error, Reason};
use crate::metrics::MetricValue;
use crate::progress::Observer;
use crate::report::{Role, TargetReport, format};
use crate::time::{Day, Window};

/// What `backtest` is asked to do.
#[derive(Debug, Clone)]
pub struct BacktestOptions {
    /// As `fit` is asked; nothing is written.
    pub fit: FitOptions,
    /// Trials, the newest at the `as_of` of the fit.
    pub cutoffs: usize,
    /// Days from one trial back to the one before.
    pub step_days: u16,
}

/// One model of one score column at one cut-off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestRow {
    /// Score column.
    pub column: String,
    /// Target by category that it is one column of.
    pub group: Option<String>,
    /// First day that the trial did not see at all.
    pub as_of: Day,
    /// First day after the history that the judged predictions saw.
    pub cut_off: Day,
    /// Days in which the outcome was observed.
    pub window: Window,
    /// Customers judged.
    pub customers: u64,
    /// Model.
    pub model: String,
    /// Its part: what `fit` chose, another candidate, or a baseline.
    pub role: Role,
    /// Metrics with their intervals.
    pub metrics: Vec<MetricValue>,
}

/// All trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// By column, then cut-off (newest first), then model.
    pub rows: Vec<BacktestRow>,
    /// Days at which the history was too short for a trial.
    pub too_early: Vec<Day>,
}

/// Fits at several days, each with what was known before it alone, and keeps how the models did.
///
/// Every trial reads the events anew up to its day, so that none can know of a later one.
///
/// # Errors
/// As [`fit`] at the newest day. Earlier days at which the history is too short are told in the result.
pub fn backtest(options: &BacktestOptions, observer: &dyn Observer) -> Result<Backtest, Error> {
    let mut rows: Vec<BacktestRow> = Vec::new();
    let mut too_early = Vec::new();
    let mut newest = options.fit.as_of;
    for trial in 0..options.cutoffs {
        let as_of = newest.map(|newest| newest.plus(-(trial as i32) * i32::from(options.step_days)));
        let about = as_of.map_or("the newest day".to_string(), |day| day.to_string());
        observer.note(&format!("trial {} of {}: {about}", trial + 1, options.cutoffs));
        let fitted = match fit(FitOptions { as_of, dry_run: true, ..options.fit.clone() }, observer) {
            Ok(fitted) => fitted,
            Err(error) if trial > 0 && is_too_early(&error) => {
                too_early.extend(as_of);
                break; // still earlier days have still less
            }
            Err(error) => return Err(error),
        };
        let manifest = &fitted.bundle.manifest;
        newest = newest.or(Some(manifest.as_of));
        let of_target = |target: &TargetReport| {
            let one = |model: &crate::report::ModelRow| BacktestRow {
                column: target.name.clone(),
                group: target.group.clone(),
                as_of: manifest.as_of,
                cut_off: target.cut_off,
                window: target.window,
                customers: target.rows,
                model: model.model.clone(),
                role: model.role,
                metrics: model.metrics.clone(),
            };
            target.models.iter().map(one).collect::<Vec<_>>()
        };
        rows.extend(fitted.bundle.report.targets.iter().flat_map(of_target));
    }
    let mut columns: Vec<String> = Vec::new();
    for row in &rows {
        if !columns.contains(&row.column) {
            columns.push(row.column.clone());
        }
    }
    // Stable: cut-offs and models stay as they came.
    rows.sort_by_key(|row| columns.iter().position(|column| *column == row.column));
    Ok(Backtest { rows, too_early })
}

fn is_too_early(error: &Error) -> bool {
    let reasons = [
        Reason::NotEnoughHistory,
        Reason::NoScoringData,
        Reason::NoEligibleRows,
        Reason::NoTargetEvent,
        Reason::SingleClass,
        Reason::NotEnoughPopulation,
    ];
    error.explain().reason().is_some_and(|reason| reasons.contains(&reason))
}

/// Metrics of the table, of probabilities and of amounts.
const OF_PROBABILITIES: [&str; 5] = ["roc_auc", "average_precision", "log_loss", "brier", "ece_10"];
const OF_AMOUNTS: [&str; 5] = ["gini_normalized", "spearman", "mae", "rmse", "value_ratio"];

impl Backtest {
    /// For a terminal: one table for each column that stands alone, one line for each target by category.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for rows in self.rows.chunk_by(|a, b| a.column == b.column).filter(|rows| rows[0].group.is_none()) {
            text += &format!("\n{}\n", rows[0].column);
            let has = |name: &str| rows[0].metrics.iter().any(|metric| metric.name == name);
            let names = if has("roc_auc") { OF_PROBABILITIES } else { OF_AMOUNTS };
            let mut table = format::table(&[&["cut-off", "customers", "model"], &names[..]].concat());
            for row in rows {
                let mut cells = vec![row.cut_off.to_string(), format::count(row.customers), row.named()];
                cells.extend(names.iter().map(|name| row.cell(name)));
                table.add_row(cells);
            }
            table.lines().for_each(|line| text += &format!(" {}\n", line.trim_end()));
        }
        for (group, cut_off, columns, mean) in self.groups() {
            text += &format!("\n{group}, cut-off {cut_off}: mean ROC AUC {} of {columns} columns", format::plain(mean));
        }
        for day in &self.too_early {
            text += &format!("\nno trial at {day} or before: the history is too short");
        }
        text.trim_start().to_string()
    }

    /// Targets by category: the mean area under the curve of the chosen models at each cut-off.
    fn groups(&self) -> Vec<(String, Day, usize, Option<f64>)> {
        let mut found: std::collections::BTreeMap<(String, std::cmp::Reverse<Day>), Vec<f64>> =
            std::collections::BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.role == Role::Chosen) {
            let Some(group) = &row.group else { continue };
            let area = row.metrics.iter().find(|metric| metric.name == "roc_auc").and_then(|metric| metric.value);
            found.entry((group.clone(), std::cmp::Reverse(row.cut_off))).or_default().extend(area);
        }
        let mean = |areas: &[f64]| (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64);
        found.into_iter().map(|((group, day), areas)| (group, day.0, areas.len(), mean(&areas))).collect()
    }
}

impl BacktestRow {
    fn named(&self) -> String {
        match self.role {
            Role::Chosen => format!("> {}", self.model),
            Role::Candidate => format!("  {}", self.model),
            Role::Baseline => format!("  {} (baseline)", self.model),
        }
    }

    /// "0.831 (0.81–0.85)".
    fn cell(&self, name: &str) -> String {
        let Some(metric) = self.metrics.iter().find(|metric| metric.name == name) else {
            return format::plain(None);
        };
        let number = if matches!(name, "mae" | "rmse") { format::amount } else { format::plain };
        match (metric.low, metric.high) {
            (Some(low), Some(high)) => {
                format!("{} ({}–{})", number(metric.value), number(Some(low)), number(Some(high)))
            }
            _ => number(metric.value),
        }
    }
}
