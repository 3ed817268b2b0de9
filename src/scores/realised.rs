//! Later proof: what was predicted, held against what happened, once the windows have passed.
//!
//! `realised.json` stands beside the partition that it judges and is made by the next run that knows the windows whole.
//! Until then there is an [`Estimate`]: what calibrated probabilities say about themselves.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::accounts;
use super::columns::{numbers, texts};
use super::manifest::ScoreManifest;
use super::partitions::partitions;
use crate::config::TargetKind;
use crate::error::{Error, ExitCode, Explain, FileError};
use crate::labels::{Labeller, Target};
use crate::metrics::{
    BootstrapOptions, Decile, Evaluated, MetricValue, ReliabilityBin, evaluate_binary, evaluate_ranking, evaluate_value,
};
use crate::progress::Observer;
use crate::storage;
use crate::time::{Day, Window};
use crate::timeline::{SpillError, Timelines, customer_hash};

/// Name of the file.
pub const FILE: &str = "realised.json";

/// Resamples behind the intervals of a column that stands alone.
const RESAMPLES: usize = 200;

/// A stage or a segment of fewer customers tells nothing but who is in it.
const LEAST_ROWS: usize = 20;

/// `realised.json`: how one partition turned out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Realised {
    /// The partition.
    pub as_of: Day,
    /// The bundle that made it.
    pub bundle_id: String,
    /// Rows whose customer is no longer in the events: left out.
    pub unknown_rows: u64,
    /// One for each prediction column whose window has passed.
    pub columns: Vec<RealisedColumn>,
    /// Whether the windows of all columns have passed.
    pub complete: bool,
}

/// How one column turned out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealisedColumn {
    /// Column name.
    pub column: String,
    /// The label in one sentence.
    pub label: String,
    /// What was asked.
    pub kind: TargetKind,
    /// In which days.
    pub window: Window,
    /// The first day that was not known when this was found.
    pub known_until: Day,
    /// Of everybody.
    pub all: Outcome,
    /// The transparent baseline, for absences of an order: the ROC AUC of `churn_factor`.
    pub baseline_roc_auc: Option<f64>,
    /// Reliability diagram; empty for amounts and counts.
    pub reliability: Vec<ReliabilityBin>,
    /// Decile table, best first: `lift` is that of each decile.
    pub deciles: Vec<Decile>,
    /// By lifecycle stage; empty for one of many categories.
    pub stages: BTreeMap<String, Outcome>,
    /// By segment, where memberships of the day are kept; empty for one of many categories.
    pub segments: BTreeMap<String, Outcome>,
}

/// What was foreseen of some customers and what they did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Customers with a prediction.
    pub rows: u64,
    /// Sum of what happened: positives, orders, value.
    pub actual: f64,
    /// Sum of what was predicted.
    pub predicted: f64,
    /// Named as in the report of a bundle.
    pub metrics: Vec<MetricValue>,
}

impl Outcome {
    /// A metric by name, where it is defined.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name)?.value
    }
}

/// One line of a manifest about an earlier partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealisedSummary {
    /// The earlier partition.
    pub as_of: Day,
    /// Customers judged.
    pub rows: u64,
    /// Sum of what happened.
    pub actual: f64,
    /// Sum of what was predicted.
    pub predicted: f64,
    /// Of probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Of probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brier: Option<f64>,
    /// Of probabilities: what happened ÷ what was predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_ratio: Option<f64>,
    /// Of amounts and counts: what was predicted ÷ what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_ratio: Option<f64>,
    /// Of amounts and counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
}

impl RealisedSummary {
    fn new(as_of: Day, column: &RealisedColumn) -> Self {
        let all = &column.all;
        Self {
            as_of,
            rows: all.rows,
            actual: all.actual,
            predicted: all.predicted,
            roc_auc: all.value("roc_auc"),
            brier: all.value("brier"),
            calibration_ratio: all.value("calibration_ratio"),
            value_ratio: all.value("value_ratio"),
            mae: all.value("mae"),
        }
    }
}

/// What probabilities say about themselves: expected figures, if each customer with probability `p` has the outcome with
/// probability `p`, independently of the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows with a probability.
    pub rows: u64,
    /// Expected positives: `Σ p`.
    pub expected_positives: f64,
    /// Expected pairs of a positive and a negative in the right order, ties half, ÷ expected pairs. `None` where all are
    /// certain.
    pub estimated_roc_auc: Option<f64>,
    /// `Σ p (1 − p) / n`.
    pub estimated_brier: f64,
}

impl Estimate {
    /// Of these probabilities; NaN is none. `None` without any.
    pub fn of(probabilities: &[f64]) -> Option<Self> {
        let mut known: Vec<f64> = probabilities.iter().copied().filter(|p| !p.is_nan()).collect();
        known.sort_unstable_by(f64::total_cmp);
        let (mut positives, mut negatives, mut variance, mut ordered) = (0.0, 0.0, 0.0, 0.0);
        for equal in known.chunk_by(|a, b| a == b) {
            let (n, p) = (equal.len() as f64, equal[0]);
            let own = n * p * (1.0 - p);
            // Each above all that are lower; among equals half of the pairs, nobody with themselves.
            ordered += n * p * negatives + 0.5 * (n * p * n * (1.0 - p) - own);
            positives += n * p;
            negatives += n * (1.0 - p);
            variance += own;
        }
        let pairs = positives * negatives - variance;
        (!known.is_empty()).then(|| Self {
            rows: known.len() as u64,
            expected_positives: positives,
            estimated_roc_auc: (pairs > 0.0).then(|| ordered / pairs),
            estimated_brier: variance / known.len() as f64,
        })
    }
}

/// Where proof is looked for.
#[derive(Debug, Clone)]
pub struct RealisedOptions {
    /// Folder of the partitions.
    pub scores: PathBuf,
    /// Folder of the memberships, if there is one.
    pub memberships: Option<PathBuf>,
    /// The first day that is not known: windows must end by it.
    pub known_until: Day,
}

/// Writes `realised.json` beside every partition that has a column whose window has passed and is not judged yet, and
/// returns those that were written, oldest first. Partitions of releases that kept no targets are left out; damaged ones
/// are told and left out, too: they are no reason to be without tonight's.
///
/// # Errors
/// A partition beside which nothing can be written; timelines on disk that cannot be read back.
pub fn update(
    options: &RealisedOptions,
    timelines: &Timelines,
    observer: &dyn Observer,
) -> Result<Vec<Realised>, Error> {
    let mut written = Vec::new();
    for (as_of, partition) in partitions(&options.scores)?.into_iter().filter(|(day, _)| *day < options.known_until) {
        match update_one(as_of, &partition, options, timelines, observer) {
            Ok(realised) => written.extend(realised),
            Err(UpdateError::Damaged(error)) => observer.warn(&format!("{error}: the partition is not judged")),
            Err(UpdateError::Other(error)) => return Err(error),
        }
    }
    Ok(written)
}

/// Days of the partitions that [`update`] would judge: those of which it reads the rows. Damaged ones are left to it.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn unjudged(scores: &Path, known_until: Day) -> Result<Vec<Day>, FileError> {
    let days = partitions(scores)?.into_iter().filter(|(day, _)| *day < known_until);
    Ok(days.filter(|(day, path)| matches!(Due::of(*day, path, known_until), Ok(Some(_)))).map(|(day, _)| day).collect())
}

/// What of a partition can be judged now and was not before.
struct Due {
    manifest: ScoreManifest,
    former: Option<Realised>,
    targets: Vec<Target>,
    /// Whether the windows of all targets have passed.
    is_last: bool,
}

impl Due {
    /// `None` when that is nothing.
    fn of(as_of: Day, partition: &Path, known_until: Day) -> Result<Option<Self>, FileError> {
        if is_complete(partition)? {
            return Ok(None);
        }
        let manifest = ScoreManifest::load(partition)?;
        let has_passed = |target: &&Target| Window::after(as_of, target.horizon).end <= known_until;
        if !manifest.targets.iter().any(|target| has_passed(&target)) {
            return Ok(None);
        }
        let former = load(partition)?;
        let is_judged = |target: &&Target| {
            let columns = former.iter().flat_map(|former| &former.columns);
            columns.map(|judged| &judged.column).any(|column| target.columns().contains(column))
        };
        let passed = manifest.targets.iter().filter(has_passed).count();
        // What was judged once stays as it is: a rerun of an old day finds what it found then.
        let targets: Vec<Target> =
            manifest.targets.iter().filter(has_passed).filter(|target| !is_judged(target)).cloned().collect();
        let is_last = passed == manifest.targets.len();
        Ok((!targets.is_empty()).then_some(Self { manifest, former, targets, is_last }))
    }
}

/// Why a partition is not judged.
enum UpdateError {
    /// What is there cannot be read or understood.
    Damaged(FileError),
    Other(Error),
}

impl<E: Into<Error>> From<E> for UpdateError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// What is now known of a partition and was not before; `None` when that is nothing.
fn update_one(
    as_of: Day,
    partition: &Path,
    options: &RealisedOptions,
    timelines: &Timelines,
    observer: &dyn Observer,
) -> Result<Option<Realised>, UpdateError> {
    let due = Due::of(as_of, partition, options.known_until).map_err(UpdateError::Damaged)?;
    let Some(Due { manifest, former, targets, is_last }) = due else { return Ok(None) };
    let new: Vec<&Target> = targets.iter().collect();
    let Some(part) = manifest.files.keys().find(|name| name.starts_with("part-")) else { return Ok(None) };
    observer.stage(&format!("judging {}", partition.display()));
    let rows =
        manifest.sound(partition, part).and_then(|part| Rows::read(&part, &new)).map_err(UpdateError::Damaged)?;
    let memberships = options.memberships.as_ref().map(|folder| folder.join(format!("as_of={as_of}")));
    let segments = memberships.map(|folder| members(&folder, &rows.ids)).transpose().map_err(UpdateError::Damaged)?;
    let mut realised = judge(&rows, &manifest, &new, &segments.unwrap_or_default(), timelines, options.known_until)?;
    realised.complete = is_last;
    let order: Vec<String> = manifest.targets.iter().flat_map(Target::columns).collect();
    realised.columns.extend(former.into_iter().flat_map(|former| former.columns));
    realised.columns.sort_by_key(|judged| order.iter().position(|column| *column == judged.column));
    let mut json = serde_json::to_vec_pretty(&realised).expect("our own types have JSON forms");
    json.push(b'\n');
    storage::write_atomic(&partition.join(FILE), |file| file.write_all(&json))?;
    Ok(Some(realised))
}

/// What a partition says of its rows.
struct Rows {
    ids: Vec<String>,
    stages: Vec<Option<String>>,
    /// Of each column of the targets that are judged.
    predictions: Vec<Vec<f64>>,
    churn_factor: Vec<f64>,
}

impl Rows {
    fn read(part: &Path, targets: &[&Target]) -> Result<Self, FileError> {
        let columns = targets.iter().flat_map(|target| target.columns());
        Ok(Self {
            ids: texts(part, "customer_id")?.into_iter().map(Option::unwrap_or_default).collect(),
            stages: texts(part, "lifecycle_stage")?,
            predictions: columns.map(|column| numbers(part, &column)).collect::<Result<_, _>>()?,
            churn_factor: numbers(part, "churn_factor")?,
        })
    }
}

/// Whether all columns of a partition are judged: asked every night of every partition, so that nothing else is read.
fn is_complete(partition: &Path) -> Result<bool, FileError> {
    #[derive(Deserialize)]
    struct Complete {
        complete: bool,
    }
    Ok(accounts::read::<Complete>(&partition.join(FILE))?.is_some_and(|realised| realised.complete))
}

/// What is known of a partition; `None` when it is not judged yet.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn load(partition: &Path) -> Result<Option<Realised>, FileError> {
    accounts::read(&partition.join(FILE))
}

/// No partition to be told of.
#[derive(Debug, thiserror::Error)]
#[error("{}: no partition is there", scores.display())]
struct NoPartition {
    scores: PathBuf,
}

impl Explain for NoPartition {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was judged and nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["name the folder of the partitions with `--scores`; `bellwether-score run` writes them".into()]
    }
}

/// What became of each partition below a folder that is judged, and what the others say of themselves until then.
#[derive(Debug, Default)]
pub struct Proof {
    /// What is judged, oldest first.
    pub realised: Vec<Realised>,
    /// Day, column and estimate of what is not.
    pub estimates: Vec<(Day, String, Estimate)>,
}

impl Proof {
    /// Of all partitions of a folder; damaged ones are told and passed over.
    ///
    /// # Errors
    /// A folder that cannot be read, or without any partition.
    pub fn of(scores: &Path, observer: &dyn Observer) -> Result<Self, Error> {
        let all = partitions(scores)?;
        if all.is_empty() {
            return Err(NoPartition { scores: scores.into() }.into());
        }
        let mut proof = Self::default();
        for (day, partition) in all {
            let of_partition = load(&partition).and_then(|realised| Ok((realised, ScoreManifest::load(&partition)?)));
            let (realised, manifest) = match of_partition {
                Ok(found) => found,
                Err(error) => {
                    observer.warn(&format!("{error}: the partition is passed over"));
                    continue;
                }
            };
            let is_judged = |column: &str| {
                realised.iter().flat_map(|realised| &realised.columns).any(|judged| judged.column == column)
            };
            let open = manifest.estimates.into_iter().filter(|(column, _)| !is_judged(column));
            proof.estimates.extend(open.map(|(column, estimate)| (day, column, estimate)));
            proof.realised.extend(realised);
        }
        Ok(proof)
    }
}

/// The newest figures of each column among the partitions of a folder that are older than `before`, back to the first that
/// is judged whole.
///
/// # Errors
/// A file that cannot be read or understood.
pub(super) fn summary(scores: &Path, before: Day) -> Result<BTreeMap<String, RealisedSummary>, FileError> {
    let mut newest = BTreeMap::new();
    for (as_of, partition) in partitions(scores)?.into_iter().rev().filter(|(day, _)| *day < before) {
        // One that is damaged was told of when it was looked at for judging.
        let Some(realised) = load(&partition).ok().flatten() else { continue };
        // What a later run has found was not known before.
        let known = |column: &&RealisedColumn| column.known_until <= before;
        for column in realised.columns.iter().filter(known) {
            newest.entry(column.column.clone()).or_insert_with(|| RealisedSummary::new(as_of, column));
        }
        if realised.complete && realised.columns.iter().all(|column| known(&column)) {
            break;
        }
    }
    Ok(newest)
}

/// The label of every row of each target; NaN where the customer is not in the timelines any more. Row-major by target
/// column.
fn labels_of(
    ids: &[String],
    targets: &[&Target],
    timelines: &Timelines,
    as_of: Day,
) -> Result<Vec<Vec<f32>>, SpillError> {
    let rows: HashMap<u64, u32> = ids.iter().zip(0..).map(|(id, row)| (customer_hash(id), row)).collect();
    let labellers: Vec<Labeller> =
        targets.iter().map(|target| Labeller::new(target, &timelines.vocabularies)).collect();
    let width: usize = labellers.iter().map(Labeller::width).sum();
    let found: Vec<Vec<(u32, Vec<f32>)>> = timelines.map_parts(|_, part| {
        let mut found = Vec::new();
        for customer in 0..part.customers() {
            let Some(&row) = rows.get(&part.hash(customer)) else { continue };
            if part.id(customer).to_string() != ids[row as usize] {
                continue; // another customer of the same hash
            }
            let mut labels = vec![0.0; width];
            let mut rest = labels.as_mut_slice();
            for labeller in &labellers {
                let (own, after) = rest.split_at_mut(labeller.width());
                labeller.label(part.timeline(customer), as_of, own);
                rest = after;
            }
            found.push((row, labels));
        }
        Ok::<_, SpillError>(found)
    })?;
    let mut columns = vec![vec![f32::NAN; ids.len()]; width];
    for (row, labels) in found.into_iter().flatten() {
        columns.iter_mut().zip(labels).for_each(|(column, label)| column[row as usize] = label);
    }
    Ok(columns)
}

fn judge(
    rows: &Rows,
    manifest: &ScoreManifest,
    targets: &[&Target],
    segments: &BTreeMap<String, HashSet<usize>>,
    timelines: &Timelines,
    known_until: Day,
) -> Result<Realised, Error> {
    let as_of = manifest.as_of;
    let Rows { ids, stages, churn_factor: factor, predictions } = rows;
    let labels = labels_of(ids, targets, timelines, as_of)?;
    let keys: Vec<u64> = ids.iter().map(|id| customer_hash(id)).collect();
    let mut labels = labels.into_iter().zip(predictions);
    let mut columns = Vec::new();
    let mut unknown = HashSet::new();
    for target in targets {
        for (index, column) in target.columns().into_iter().enumerate() {
            let (actual, predicted) = labels.next().expect("one for each column");
            unknown.extend((0..ids.len()).filter(|&row| actual[row].is_nan()));
            let known: Vec<usize> =
                (0..ids.len()).filter(|&row| !actual[row].is_nan() && !predicted[row].is_nan()).collect();
            let measure =
                |rows: &[usize], resamples: usize| outcome(target, rows, &actual, predicted, &keys, resamples);
            let (all, evaluated) = measure(&known, if target.per_group { 0 } else { RESAMPLES })?;
            let slice = |members: &dyn Fn(usize) -> bool| {
                let rows: Vec<usize> = known.iter().copied().filter(|&row| members(row)).collect();
                (rows.len() >= LEAST_ROWS).then(|| measure(&rows, 0).map(|(outcome, _)| outcome)).transpose()
            };
            let mut by_stage = BTreeMap::new();
            let mut by_segment = BTreeMap::new();
            if !target.per_group {
                let names: HashSet<&str> = stages.iter().flatten().map(String::as_str).collect();
                for name in names {
                    if let Some(outcome) = slice(&|row| stages[row].as_deref() == Some(name))? {
                        by_stage.insert(name.to_string(), outcome);
                    }
                }
                for (name, members) in segments {
                    if let Some(outcome) = slice(&|row| members.contains(&row))? {
                        by_segment.insert(name.clone(), outcome);
                    }
                }
            }
            let is_churn = target.kind == TargetKind::Absence && target.is_order && !target.per_group;
            let with_factor = |row: &&usize| !factor[**row].is_nan();
            let of_factor: Vec<usize> = known.iter().filter(with_factor).copied().collect();
            let baseline = (is_churn && !of_factor.is_empty()).then(|| {
                let labels: Vec<bool> = of_factor.iter().map(|&row| actual[row] > 0.5).collect();
                let scores: Vec<f64> = of_factor.iter().map(|&row| factor[row]).collect();
                let keys: Vec<u64> = of_factor.iter().map(|&row| keys[row]).collect();
                evaluate_ranking(&labels, &scores, &keys, &bootstrap(0))
            });
            let baseline = baseline.transpose()?.and_then(|evaluated| evaluated.metrics[0].value);
            columns.push(RealisedColumn {
                column,
                label: target.sentence(target.per_group.then_some(index)),
                kind: target.kind,
                window: Window::after(as_of, target.horizon),
                known_until,
                all,
                baseline_roc_auc: baseline,
                reliability: evaluated.reliability,
                deciles: evaluated.deciles,
                stages: by_stage,
                segments: by_segment,
            });
        }
    }
    Ok(Realised {
        as_of,
        bundle_id: manifest.bundle_id.clone(),
        unknown_rows: unknown.len() as u64,
        columns,
        complete: false,
    })
}

fn bootstrap(resamples: usize) -> BootstrapOptions {
    BootstrapOptions { resamples, level: 0.95, seed: 1 }
}

fn outcome(
    target: &Target,
    rows: &[usize],
    actual: &[f32],
    predicted: &[f64],
    keys: &[u64],
    resamples: usize,
) -> Result<(Outcome, Evaluated), Error> {
    let happened: Vec<f64> = rows.iter().map(|&row| f64::from(actual[row])).collect();
    let predicted: Vec<f64> = rows.iter().map(|&row| predicted[row]).collect();
    let keys: Vec<u64> = rows.iter().map(|&row| keys[row]).collect();
    let evaluated = if target.is_probability() {
        let labels: Vec<bool> = happened.iter().map(|&label| label > 0.5).collect();
        evaluate_binary(&labels, &predicted, &keys, &bootstrap(resamples))?
    } else {
        evaluate_value(&happened, &predicted, &keys, &bootstrap(resamples))?
    };
    let outcome = Outcome {
        rows: rows.len() as u64,
        actual: happened.iter().sum(),
        predicted: predicted.iter().sum(),
        metrics: evaluated.metrics.clone(),
    };
    Ok((outcome, evaluated))
}

/// The rows of each segment; none where there are no memberships of the day.
fn members(folder: &Path, ids: &[String]) -> Result<BTreeMap<String, HashSet<usize>>, FileError> {
    let path = folder.join("memberships.parquet");
    let mut members: BTreeMap<String, HashSet<usize>> = BTreeMap::new();
    if !folder.join("manifest.json").is_file() || !path.is_file() {
        return Ok(members);
    }
    for (id, segment) in texts(&path, "customer_id")?.into_iter().zip(texts(&path, "segment")?) {
        let (Some(id), Some(segment)) = (id, segment) else { continue };
        if let Ok(row) = ids.binary_search(&id) {
            members.entry(segment).or_default().insert(row); // rows are in order of the id
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_expectation_over_all_outcomes() {
        // Every outcome of four customers, with its probability: pairs in the right order ÷ pairs, both in expectation.
        let p = [0.9, 0.4, 0.4, 0.2];
        let (mut ordered, mut pairs, mut brier, mut positives) = (0.0, 0.0, 0.0, 0.0);
        for outcome in 0..16u32 {
            let has = |i: usize| outcome >> i & 1 == 1;
            let chance: f64 = (0..4).map(|i| if has(i) { p[i] } else { 1.0 - p[i] }).product();
            for i in (0..4).filter(|&i| has(i)) {
                positives += chance;
                for j in (0..4).filter(|&j| !has(j)) {
                    pairs += chance;
                    ordered += chance
                        * if p[i] > p[j] {
                            1.0
                        } else if p[i] == p[j] {
                            0.5
                        } else {
                            0.0
                        };
                }
            }
            brier += chance * (0..4).map(|i| (p[i] - f64::from(u8::from(has(i)))).powi(2)).sum::<f64>() / 4.0;
        }
        let estimate = Estimate::of(&[0.4, f64::NAN, 0.9, 0.2, 0.4]).unwrap();
        assert_eq!(estimate.rows, 4);
        assert!((estimate.estimated_roc_auc.unwrap() - ordered / pairs).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.estimated_brier - brier).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.expected_positives - positives).abs() < 1e-12, "{estimate:?}");
        assert_eq!(Estimate::of(&[1.0, 0.0]).unwrap().estimated_roc_auc, Some(1.0));
        assert_eq!(Estimate::of(&[1.0, 1.0]).unwrap().estimated_roc_auc, None);
        assert_eq!(Estimate::of(&[f64::NAN]), None);
    }
}
