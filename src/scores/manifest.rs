//! `manifest.json` of a partition: what was read, what was written, and whether it can be trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accounts;
use super::gates::Gate;
use super::realised::{Estimate, RealisedSummary};
use crate::error::FileError;
use crate::events::ReadSummary;
use crate::labels::Target;
use crate::report::format::count;
use crate::storage::seal;
use crate::time::Day;

/// `manifest.json` of a partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreManifest {
    /// First day of the predicted windows.
    pub as_of: Day,
    /// The bundle that made the predictions.
    pub bundle_id: String,
    /// Version of the meaning of the columns.
    pub schema_version: i32,
    /// BLAKE3 of the bundle's manifest.
    pub bundle_hash: String,
    /// BLAKE3 of the settings.
    pub config_hash: String,
    /// What was read.
    pub data: ReadSummary,
    /// Events known at `as_of`, and the day of the last.
    #[serde(default)]
    pub known: Known,
    /// Rows in all.
    pub rows: u64,
    /// Rows by status.
    pub rows_by_status: BTreeMap<String, u64>,
    /// Rows by lifecycle stage.
    pub rows_by_stage: BTreeMap<String, u64>,
    /// Mean of each prediction over the rows that have it.
    pub means: BTreeMap<String, Option<f64>>,
    /// Sum of each prediction over the rows that have it: expected churners, orders and value.
    pub totals: BTreeMap<String, f64>,
    /// Sum of the first churn probability: how many customers are expected to leave.
    #[serde(default)]
    pub expected_churners: Option<f64>,
    /// Sum of the first predicted amount.
    #[serde(default)]
    pub expected_value: Option<f64>,
    /// Whether feature columns were written.
    pub with_features: bool,
    /// Every target, so that what happened can be held against it later.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// How far each column has moved.
    #[serde(default)]
    pub drift: Drift,
    /// What had to hold.
    #[serde(default)]
    pub gates: Gates,
    /// What the probabilities themselves say about how good they are, by column: an estimate, which holds as far as they
    /// are calibrated, until the windows have passed.
    #[serde(default)]
    pub estimates: BTreeMap<String, Estimate>,
    /// How the newest predictions whose windows have passed turned out, by column.
    #[serde(default)]
    pub realised: BTreeMap<String, RealisedSummary>,
    /// Rows that were taken out by `forget` after they had been written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// Name and BLAKE3 of each data file.
    pub files: BTreeMap<String, String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Always true: the file is written last.
    pub complete: bool,
    /// BLAKE3 of all of the file that stands before it.
    #[serde(default)]
    pub seal: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was known at the start of the day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Events.
    pub events: u64,
    /// Day of the last of them.
    pub last_day: Option<Day>,
}

/// How far each column has moved, as the population stability index.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Day of the population that the bundle was fitted to; `None` when the bundle does not keep it.
    pub training_as_of: Option<Day>,
    /// Day of the partition before; `None` when there is none.
    pub last_as_of: Option<Day>,
    /// Predictions and features by name.
    pub columns: BTreeMap<String, ColumnDrift>,
}

/// Population stability index of one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// Against the population of the fit.
    pub training: Option<f64>,
    /// Against the last partition.
    pub last: Option<f64>,
}

/// What had to hold before the partition was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// `passed`, or `forced` when one was missed and `--force` was given.
    pub verdict: GatesVerdict,
    /// Each of them.
    pub checks: Vec<Gate>,
}

/// Of all gates together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatesVerdict {
    /// None was missed.
    #[default]
    Passed,
    /// One was missed, and the partition was written by `--force`.
    Forced,
}

impl ScoreManifest {
    /// That of a partition, whose presence says that it is complete.
    ///
    /// # Errors
    /// No manifest, or one that cannot be read or understood, or is not what was written.
    pub fn load(partition: &Path) -> Result<Self, FileError> {
        let path = partition.join(MANIFEST);
        let gone = || FileError { action: "read", path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        accounts::read_sealed(&path, |manifest: &Self| &manifest.seal)?.ok_or_else(gone)
    }

    /// The path of a data file beside the manifest.
    ///
    /// # Errors
    /// One that cannot be read, or is not what was written: nobody is to draw conclusions from it.
    pub(super) fn sound(&self, partition: &Path, name: &str) -> Result<PathBuf, FileError> {
        accounts::sound(partition, name, &self.files)
    }

    /// As a file, sealed.
    pub(super) fn sealed(&mut self) -> Vec<u8> {
        seal::sealed(self, |manifest| &mut manifest.seal)
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        use std::fmt::Write;
        const COLUMNS: usize = 16;
        let mut text = format!("{} rows at {} by bundle {}\n", count(self.rows), self.as_of, self.bundle_id);
        for (what, counts) in [("status", &self.rows_by_status), ("stage", &self.rows_by_stage)] {
            let counts: Vec<String> = counts.iter().map(|(name, rows)| format!("{name} {}", count(*rows))).collect();
            let _ = writeln!(text, "  by {what}: {}", counts.join(", "));
        }
        let width = self.means.keys().take(COLUMNS).map(|column| column.chars().count()).max().unwrap_or(0);
        let _ = writeln!(text, "  {:<width$}  {:>10}  {:>14}", "", "mean", "sum");
        for (column, mean) in self.means.iter().take(COLUMNS) {
            let mean = mean.map_or("–".to_string(), |mean| format!("{mean:.4}"));
            let _ = writeln!(text, "  {column:<width$}  {mean:>10}  {:>14.2}", self.totals[column]);
        }
        if self.means.len() > COLUMNS {
            let _ = writeln!(text, "  … {} more in manifest.json", self.means.len() - COLUMNS);
        }
        text
    }
}

/// Name of the file.
pub(super) const MANIFEST: &str = "manifest.json";
