//! Scores: one dated partition with a row and a status for every customer.
//!
//! `scores/as_of=D/` holds `part-00000.parquet` (rows sorted by `customer_id`) and `manifest.json`, which is
//! written last: its presence means *complete*. A rerun replaces the partition whole, and the same inputs give
//! the same bytes at any thread count.

mod predict;
mod schema;
mod stages;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::bundle::Bundle;
use crate::error::{Error, ExitCode, Explain, FileError, Reason};
use crate::events::ReadSummary;
use crate::progress::Observer;
use crate::report::format::count;
use crate::storage;
use crate::time::Day;
use crate::timeline::Timelines;

use predict::{BasisPlans, PartitionScores, Predictor};

pub use crate::sink::FileFormat as ScoreFormat;
pub use schema::SCHEMA_VERSION;

/// What scoring is asked to write.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Folder of the partitions.
    pub out: PathBuf,
    /// First day of the predicted windows.
    pub as_of: Day,
    /// Whether every feature is a column, too.
    pub with_features: bool,
    /// Format of the data file.
    pub format: ScoreFormat,
}

/// `manifest.json` of a partition.
#[derive(Debug, Clone, Serialize)]
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
    /// Whether feature columns were written.
    pub with_features: bool,
    /// Name and BLAKE3 of each data file.
    pub files: BTreeMap<String, String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Always true: the file is written last.
    pub complete: bool,
}

impl ScoreManifest {
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

/// The columns of a bundle's score file.
pub fn columns(bundle: &Bundle, with_features: bool) -> arrow::datatypes::SchemaRef {
    let features = if with_features { bundle.parameters.catalogue.features() } else { Vec::new() };
    schema::schema(&bundle.parameters, &bundle.manifest.config.currency, &features)
}

/// Scoring that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Nobody is known before the day.
    #[error("no customer is known before {as_of}")]
    NoPopulation {
        /// The day.
        as_of: Day,
    },
}

impl Explain for ScoreError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::DataRejected
    }

    fn reason(&self) -> Option<Reason> {
        Some(Reason::NoPopulation)
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was written; former partitions are untouched.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["take a later `--as-of`, or events that begin earlier".into()]
    }
}

/// Scores every customer known at `options.as_of` and writes the partition.
///
/// Memory: the timelines, about 8 bytes × score columns a customer, with features 4 bytes × features a customer, and
/// the features of one partition a thread.
///
/// # Errors
/// Nobody to score, a model that refuses its rows (a fault of ours), a folder that cannot be written.
pub fn score(
    bundle: &Bundle,
    timelines: &Timelines,
    data: ReadSummary,
    options: &ScoreOptions,
    warnings: Vec<String>,
    observer: &dyn Observer,
) -> Result<(ScoreManifest, PathBuf), Error> {
    observer.stage("scoring");
    let parameters = &bundle.parameters;
    let basis = BasisPlans::new(parameters);
    let predictor = Predictor::new(parameters, &basis, timelines, options)?;
    let partitions: Vec<PartitionScores> = timelines.map_parts(|index, part| predictor.part(index, part))?;
    let table = write::Table::new(bundle, partitions, options.with_features);
    if table.rows() == 0 {
        return Err(ScoreError::NoPopulation { as_of: options.as_of }.into());
    }
    observer.stage("writing scores");
    std::fs::create_dir_all(&options.out).map_err(FileError::at("create the folder", &options.out))?;
    storage::recover(&options.out)?;
    let target = options.out.join(format!("as_of={}", options.as_of));
    let manifest = storage::replace_folder(&target, |folder: &Path| {
        let name = options.format.file_name();
        let path = folder.join(name);
        table.write(&path, options.format, options.as_of)?;
        let files = BTreeMap::from([(name.to_string(), storage::fingerprint(&path)?)]);
        let manifest = ScoreManifest {
            as_of: options.as_of,
            bundle_id: bundle.manifest.bundle_id.clone(),
            schema_version: SCHEMA_VERSION,
            bundle_hash: bundle.fingerprint(),
            config_hash: blake3::hash(bundle.manifest.config.to_toml().as_bytes()).to_hex().to_string(),
            data,
            rows: table.rows() as u64,
            rows_by_status: table.count_by(|scores| &scores.statuses),
            rows_by_stage: table.count_by(|scores| &scores.stages),
            means: table.means(),
            totals: table.totals(),
            with_features: options.with_features,
            files,
            warnings,
            complete: true,
        };
        let path = folder.join("manifest.json");
        let mut json = serde_json::to_vec_pretty(&manifest).expect("our own types have JSON forms");
        json.push(b'\n');
        std::fs::write(&path, json).map_err(FileError::at("write", &path))?;
        Ok::<ScoreManifest, FileError>(manifest)
    })?;
    Ok((manifest, target))
}
