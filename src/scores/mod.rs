//! Scores: one dated partition with a row and a status for every customer.
//!
//! `scores/as_of=D/` holds `part-00000.parquet` (rows sorted by `customer_id`), `distributions.json` (what the next
//! night's drift is measured against) and `manifest.json`, which is written last: its presence means *complete*. A rerun
//! replaces the partition whole, and the same inputs give the same bytes at any thread count. `realised.json` comes to
//! it when its windows have passed. `scores/category_scores/as_of=D/` holds the scores by group as a long table.

mod accounts;
pub mod categories;
mod columns;
pub mod diff;
pub mod drift;
pub mod explain;
pub mod forget;
mod gates;
mod manifest;
mod partitions;
mod predict;
pub mod realised;
mod reasons;
pub(crate) mod row;
mod schema;
mod stages;
mod volume;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{GatesConfig, TargetKind};
use crate::features::RowRequest;
use crate::lists::Exclusions;
use rayon::prelude::*;

use crate::bundle::Bundle;
use crate::error::{Error, ExitCode, Explain, FileError, Reason};
use crate::events::ReadSummary;
use crate::progress::Observer;
use crate::storage::{self, PartitionWriter};
use crate::time::Day;
use crate::timeline::Timelines;

use categories::CategoryOptions;
use drift::{Distributions, Sample};
use gates::{Check, Former, GatesMissed, before_scoring};
use predict::{BasisPlans, PartitionScores, Predictor};

pub use crate::sink::FileFormat as ScoreFormat;
pub use gates::{Gate, Verdict};
pub use manifest::{ColumnDrift, Drift, Gates, GatesVerdict, Known, ScoreManifest};
pub use partitions::partitions;
pub use schema::SCHEMA_VERSION;

pub(crate) use volume::Volume;

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
    /// What must hold before the partition is written.
    pub gates: GatesConfig,
    /// Whether it is written all the same.
    pub force: bool,
    /// Who is left alone, and until when.
    pub exclusions: Exclusions,
    /// Which rows the long table of categories has.
    pub categories: CategoryOptions,
}

/// The columns of a bundle's score file.
pub fn columns(bundle: &Bundle, with_features: bool) -> arrow::datatypes::SchemaRef {
    let features = if with_features { bundle.parameters.catalogue.features() } else { Vec::new() };
    schema::schema(&bundle.parameters, &bundle.manifest.config.currency, &features)
}

/// Bytes that a column takes of each customer, and the reasons for all predictions.
const COLUMN_BYTES: usize = 10;
const REASON_BYTES: usize = 112;

/// Bytes that the scores of so many customers take, about: predictions, reasons, and the row group that is being written.
pub(crate) fn bytes(bundle: &Bundle, customers: usize, with_features: bool) -> usize {
    let predictions = COLUMN_BYTES * columns(bundle, false).fields().len() + REASON_BYTES;
    let row = size_of::<f64>() * columns(bundle, with_features).fields().len();
    customers * predictions + customers.min(PartitionWriter::GROUP_ROWS) * row
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

/// Scores every customer known at `options.as_of` and writes the partition, if the gates allow it.
///
/// Memory: the timelines, about 8 bytes × score columns a customer, with features 4 bytes × features a customer, and
/// the features of one partition a thread.
///
/// # Errors
/// Nobody to score; a gate that is missed and not forced; a model that refuses its rows (a fault of ours); a folder that
/// cannot be written.
pub fn score(
    bundle: &Bundle,
    timelines: &Timelines,
    data: ReadSummary,
    options: &ScoreOptions,
    warnings: Vec<String>,
    observer: &dyn Observer,
) -> Result<(ScoreManifest, PathBuf), Error> {
    let volume = Volume::at(timelines, options.as_of)?;
    score_known(bundle, timelines, data, &volume, options, warnings, observer)
}

/// [`score`], where the volume at the day is known.
pub(crate) fn score_known(
    bundle: &Bundle,
    timelines: &Timelines,
    data: ReadSummary,
    volume: &Volume,
    options: &ScoreOptions,
    mut warnings: Vec<String>,
    observer: &dyn Observer,
) -> Result<(ScoreManifest, PathBuf), Error> {
    let as_of = options.as_of;
    let mut checks = before_scoring(&options.gates, bundle, timelines, volume);
    judged(&checks, options)?;
    observer.stage("scoring");
    let parameters = &bundle.parameters;
    let basis = BasisPlans::new(parameters);
    let request = RowRequest { as_of, share: 1.0 };
    let predictor = Predictor::new(parameters, &basis, timelines, &options.exclusions, request, options.with_features)?;
    let predictor = predictor.with_reasons(&bundle.manifest.config.currency)?;
    let parts: Vec<PartitionScores> = timelines.map_parts(|index, part| predictor.part(index, part))?;
    let table = write::Table::new(bundle, parts, predictor.tellers(), options.with_features);
    if table.rows() == 0 {
        return Err(ScoreError::NoPopulation { as_of }.into());
    }
    observer.stage("looking for drift");
    let sample = Sample::of_scores(parameters, timelines, table.parts(), as_of, volume.customers)?;
    let last = last_partition(&options.out, as_of, observer)?;
    let former = Former {
        training: bundle.distributions.as_ref(),
        last: last.as_ref().map(|(distributions, bundle_id)| (distributions, bundle_id.as_str())),
    };
    let bundle_id = &bundle.manifest.bundle_id;
    let (drift, drift_checks) = gates::drift(&options.gates, &sample, &former, bundle_id);
    checks.extend(drift_checks);
    let verdict = judged(&checks, options)?;
    for missed in checks.iter().filter(|check| check.is_missed()) {
        let warning = format!("Written by --force: {}.", missed.gate.note);
        observer.warn(&warning);
        warnings.push(warning);
    }
    let totals = table.totals();
    let expected = |kind: TargetKind| {
        let targets = parameters.targets.iter().map(|fitted| &fitted.target);
        let first = targets.filter(|target| target.kind == kind && !target.per_group).flat_map(|t| t.columns()).next();
        first.and_then(|column| totals.get(&column).copied())
    };
    let (expected_churners, expected_value) = (expected(TargetKind::Absence), expected(TargetKind::Amount));
    let distributions = sample.distributions();
    observer.stage("writing scores");
    std::fs::create_dir_all(&options.out).map_err(FileError::at("create the folder", &options.out))?;
    storage::recover(&options.out)?;
    storage::recover(&options.out.join(categories::FOLDER))?;
    let target = options.out.join(format!("as_of={as_of}"));
    let realised = realised::summary(&options.out, as_of)?;
    let manifest = storage::replace_folder(&target, |folder: &Path| {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(FileError::at("write", &path))
        };
        let name = options.format.file_name();
        let rows = || {
            table.write(&folder.join(name), options.format, as_of)?;
            write(drift::FILE, &distributions.to_json())?;
            let mut files = BTreeMap::new();
            for name in [name, drift::FILE] {
                files.insert(name.to_string(), storage::fingerprint(&folder.join(name))?);
            }
            let mut manifest = ScoreManifest {
                as_of,
                bundle_id: bundle_id.clone(),
                schema_version: SCHEMA_VERSION,
                bundle_hash: bundle.fingerprint(),
                config_hash: blake3::hash(bundle.manifest.config.to_toml().as_bytes()).to_hex().to_string(),
                data,
                known: Known { events: volume.events, last_day: volume.last_day },
                rows: table.rows() as u64,
                rows_by_status: table.count_by(|scores| &scores.statuses),
                rows_by_stage: table.count_by(|scores| &scores.stages),
                means: table.means(),
                expected_churners,
                expected_value,
                totals,
                with_features: options.with_features,
                targets: parameters.targets.iter().map(|fitted| fitted.target.clone()).collect(),
                drift,
                gates: Gates { verdict, checks: checks.into_iter().map(|check| check.gate).collect() },
                estimates: table.estimates(),
                realised,
                forgotten: 0,
                files,
                warnings,
                complete: true,
                seal: String::new(),
            };
            write(manifest::MANIFEST, &manifest.sealed())?;
            Ok(manifest)
        };
        // The two take their places after all that a full disk can stop.
        table.replace_categories(&options.out, as_of, options.format, options.categories, rows)
    })?;
    Ok((manifest, target))
}

/// Calls `measure` with a function that scores everybody from feature columns that are there already, and writes the data file
/// of the partition: applying models, reasons, ranks and Parquet, as [`score`] does. It returns the rows. What this takes is what
/// `benches/score.rs` reports.
///
/// Memory: the feature columns of all customers.
///
/// # Errors
/// Timelines that cannot be read back, a reference customer beyond the range of a model.
pub fn from_columns<R>(
    bundle: &Bundle,
    timelines: &Timelines,
    options: &ScoreOptions,
    measure: impl FnOnce(&dyn Fn() -> Result<usize, Error>) -> R,
) -> Result<R, Error> {
    let parameters = &bundle.parameters;
    let basis = BasisPlans::new(parameters);
    let request = RowRequest { as_of: options.as_of, share: 1.0 };
    let predictor = Predictor::new(parameters, &basis, timelines, &options.exclusions, request, options.with_features)?;
    let predictor = predictor.with_reasons(&bundle.manifest.config.currency)?;
    let columns =
        timelines.map_parts(|index, part| Ok::<_, crate::timeline::SpillError>(predictor.columns(index, part)))?;
    std::fs::create_dir_all(&options.out).map_err(FileError::at("create the folder", &options.out))?;
    Ok(measure(&|| {
        let parts = columns
            .par_iter()
            .with_max_len(1)
            .map(|known| predictor.scores(known))
            .collect::<Result<Vec<_>, Error>>()?;
        let table = write::Table::new(bundle, parts, predictor.tellers(), options.with_features);
        table.write(&options.out.join(options.format.file_name()), options.format, options.as_of)?;
        Ok(table.rows())
    }))
}

/// Whether the gates that are known before anything is scored let a run go on.
///
/// # Errors
/// A gate that is missed and not forced.
pub(crate) fn check_gates(
    bundle: &Bundle,
    timelines: &Timelines,
    volume: &Volume,
    options: &ScoreOptions,
) -> Result<(), Error> {
    judged(&before_scoring(&options.gates, bundle, timelines, volume), options).map(|_| ())
}

/// Whether the run may go on: nothing was missed, or it is forced.
fn judged(checks: &[Check], options: &ScoreOptions) -> Result<GatesVerdict, Error> {
    match GatesMissed::of(checks, &options.out) {
        None => Ok(GatesVerdict::Passed),
        Some(_) if options.force => Ok(GatesVerdict::Forced),
        Some(missed) => Err(missed.into()),
    }
}

/// The distributions of the newest partition before `as_of` that keeps them, and the bundle that made it. A damaged one is
/// told and passed over.
fn last_partition(
    out: &Path,
    as_of: Day,
    observer: &dyn Observer,
) -> Result<Option<(Distributions, String)>, FileError> {
    for (_, path) in partitions(out)?.into_iter().rev().filter(|(day, _)| *day < as_of) {
        let found = Distributions::load(&path).and_then(|distributions| match distributions {
            None => Ok(None),
            Some(distributions) => {
                let manifest = ScoreManifest::load(&path)?;
                manifest.sound(&path, drift::FILE)?;
                Ok(Some((distributions, manifest.bundle_id)))
            }
        });
        match found {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {} // of an earlier release
            Err(error) => observer.warn(&format!("{error}: drift is not measured against this partition")),
        }
    }
    Ok(None)
}
