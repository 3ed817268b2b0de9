//! Estimators, and the contract that all of them keep.
//!
//! - `fit` borrows data and returns a new, fitted value; only that value can predict. Nothing that went in is changed.
//! - Predicting is pure: the same model and rows give the same numbers, and the model is not changed.
//! - A fitted value is serialisable, and its floats survive JSON bit for bit, so a loaded model predicts the same bytes.
//! - The same input gives the same bytes at any number of threads: parallel sums run over chunks of a fixed number of
//!   rows and are added in the order of the rows. Nothing reads a clock, and nothing is random.
//! - Missing values are `NaN`. What takes them says so ([`Preparation`], [`ReadableTree`], [`BoostedTrees`]); everything else refuses them
//!   with [`FitError::NonFinite`], which names the cell. Infinities are refused everywhere.
//! - Data from which nothing can be learned are a named [`FitError`], never a panic, a hang or a model full of `NaN`.
//!
//! Estimators implement [`linfa::traits::Fit`] on datasets of rows and `bool` labels, fitted models implement
//! [`linfa::traits::PredictInplace`] and give the probability of `true`. linfa's `predict` cannot fail: there a wrong
//! width is a panic, and a `NaN` where none is taken is answered with `NaN`. The checked way in is each model's own
//! `probabilities`. `tests/model_contract.rs` holds every estimator to this page.

pub mod blend;
pub mod blocks;
pub mod boosted;
pub mod btyd;
pub mod calibrate;
pub mod interval;
pub mod logistic;
pub mod occurrence;
pub mod occurrence_features;
pub mod occurrence_inputs;
pub mod prepare;
pub mod tree;

use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ExitCode, Explain, Reason};

pub use boosted::{Binned, BoostedModel, BoostedTrees, Objective, Targets};
pub use calibrate::{Calibration, CalibrationChoice, CalibrationKind, Isotonic, IsotonicModel, Sigmoid, SigmoidModel};
pub use logistic::{LogisticModel, PenalisedLogistic, Solver};
pub use prepare::{BlockPreparation, Preparation};
pub use tree::{ReadableTree, Rule, TreeModel};

/// Why a model could not be fitted or applied. Rows and columns count from 0.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// No row at all, or none with a weight.
    #[error("no rows to learn from")]
    NoRows,
    /// Inputs that belong to the same rows differ in length.
    #[error("{rows} rows of features, but {got} {what}")]
    LengthMismatch {
        /// What differs: "labels", "weights", "keys".
        what: &'static str,
        /// Rows of features.
        rows: usize,
        /// Entries of the other input.
        got: usize,
    },
    /// A model is applied to rows of another width than it was fitted on.
    #[error("fitted on {expected} columns, got {got}")]
    WrongWidth {
        /// Columns at fitting.
        expected: usize,
        /// Columns now.
        got: usize,
    },
    /// Every label with a weight is the same.
    #[error("all {rows} labels are {label}")]
    SingleClass {
        /// Rows with a weight.
        rows: usize,
        /// The label that all of them have.
        label: bool,
    },
    /// Fewer positive labels than asked for.
    #[error("{found} positive labels, at least {needed} are needed")]
    NotEnoughPositives {
        /// Positive labels.
        found: usize,
        /// What was asked for.
        needed: usize,
    },
    /// Every feature is constant or missing.
    #[error("none of {features} features varies")]
    NoUsableFeatures {
        /// Features that were looked at.
        features: usize,
    },
    /// An infinity, or a missing value where none is taken.
    #[error("row {row}, column {column}: {value} is no finite number")]
    NonFinite {
        /// Row of the first such value.
        row: usize,
        /// Its column.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A value too large for a solver that expects standardised features.
    #[error("row {row}, column {column}: {value} is beyond ±{limit}")]
    OutOfScale {
        /// Row of the first such value.
        row: usize,
        /// Its column.
        column: usize,
        /// The value.
        value: f64,
        /// Largest magnitude that is taken.
        limit: f64,
    },
    /// A weight that is negative or not finite.
    #[error("row {row}: weight {value} is not a finite number of at least 0")]
    BadWeight {
        /// Row of the first such weight.
        row: usize,
        /// The weight.
        value: f64,
    },
    /// A label that the loss is not defined for.
    #[error("row {row}: label {value} is not {rule}")]
    BadLabel {
        /// Row of the first such label.
        row: usize,
        /// The label.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// An offset that is not finite.
    #[error("row {row}: offset {value} is no finite number")]
    BadOffset {
        /// Row of the first such offset.
        row: usize,
        /// The offset.
        value: f64,
    },
    /// Validation rows whose codes mean something else than those of the training rows.
    #[error("the validation rows were binned by other cut points than the training rows")]
    OtherCutPoints,
    /// Scores or labels so large that their derivatives are beyond every number.
    #[error("round {round}: a derivative of the loss is beyond every finite number")]
    Diverged {
        /// Rounds that had gone well.
        round: usize,
    },
    /// The labels of one of several outputs.
    #[error("output {output}: {source}")]
    Output {
        /// Which one, from 0.
        output: usize,
        /// What is wrong with it.
        #[source]
        source: Box<FitError>,
    },
    /// Something that a model of several outputs cannot do.
    #[error("a model of several outputs does not take {what}")]
    ManyUnsupported {
        /// What it is.
        what: &'static str,
    },
    /// Row weights were given to an estimator that has none.
    #[error("{estimator} does not take row weights")]
    WeightsUnsupported {
        /// Which estimator.
        estimator: &'static str,
    },
    /// A score that should be a probability.
    #[error("row {row}: {value} is no probability")]
    NotAProbability {
        /// Row of the first such score.
        row: usize,
        /// The score.
        value: f64,
    },
    /// A setting outside its range.
    #[error("`{name}` must be {rule}, got {got}")]
    BadParameter {
        /// Which setting.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        got: f64,
    },
    /// A library refused what we had checked.
    #[error("{library} could not fit")]
    Library {
        /// Which one.
        library: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<linfa::Error> for FitError {
    fn from(source: linfa::Error) -> Self {
        Self::Library { library: "linfa", source: Box::new(source) }
    }
}

impl Explain for FitError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadParameter { .. } => ExitCode::Usage,
            Self::Output { source, .. } => source.exit_code(),
            Self::LengthMismatch { .. }
            | Self::WrongWidth { .. }
            | Self::OutOfScale { .. }
            | Self::BadWeight { .. }
            | Self::BadOffset { .. }
            | Self::OtherCutPoints
            | Self::ManyUnsupported { .. }
            | Self::WeightsUnsupported { .. }
            | Self::NotAProbability { .. }
            | Self::Library { .. } => ExitCode::Bug, // the pipeline hands these in, no user can
            _ => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::NoRows => Some(Reason::NotEnoughPopulation),
            Self::Output { source, .. } => source.reason(),
            Self::SingleClass { .. } => Some(Reason::SingleClass),
            Self::NotEnoughPositives { .. } => Some(Reason::NotEnoughPositives),
            Self::NoUsableFeatures { .. } => Some(Reason::NoUsableFeatures),
            _ => None,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::SingleClass { label: false, .. } => vec!["It never happened to anyone in the label window.".into()],
            Self::SingleClass { label: true, .. } => vec!["It happened to everyone in the label window.".into()],
            Self::NonFinite { .. } => {
                vec!["Missing values are written as NaN; an infinity is a fault of the data.".into()]
            }
            _ => Vec::new(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::SingleClass { .. } => {
                vec!["another `horizon_days` or `eligible` rule may divide the customers".into()]
            }
            Self::NotEnoughPositives { .. } => {
                vec!["a longer `horizon_days` or more history gives more of them".into()]
            }
            _ => Vec::new(),
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match *self {
            Self::SingleClass { rows, label } => {
                vec![("rows", rows as u64), ("positives", if label { rows as u64 } else { 0 })]
            }
            Self::NotEnoughPositives { found, needed } => vec![("positives", found as u64), ("needed", needed as u64)],
            Self::NoUsableFeatures { features } => vec![("features", features as u64)],
            _ => Vec::new(),
        }
    }
}

/// Why a solver stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The gradient fell below its tolerance.
    GradientTolerance,
    /// The objective did not fall any further in double precision.
    NoFurtherDecrease,
    /// The allowed number of iterations was used up.
    MaxIterations,
    /// No step along the search direction lowered the objective.
    LineSearch,
    /// Without a penalty, a plane parts the classes: the likelihood has no maximum, its supremum lies at infinity.
    Separated,
    /// The gradient is above its tolerance and the library does not tell why it stopped.
    Unreported,
}

impl StopReason {
    /// Whether the result is the optimum that was asked for.
    pub fn converged(self) -> bool {
        matches!(self, Self::GradientTolerance | Self::NoFurtherDecrease)
    }
}

/// How an iterative fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    /// Log-likelihood of the rows in nats, without any penalty.
    pub ln_likelihood: f64,
    /// Iterations of the solver; `None` when its library does not tell.
    pub iterations: Option<u64>,
    /// Euclidean norm of the gradient of the objective per unit of row weight.
    pub gradient_norm: f64,
    /// Why it stopped.
    pub stop: StopReason,
}

/// Refuses labels with fewer than `needed` positives or without a negative.
///
/// # Errors
/// [`FitError::NoRows`], [`FitError::NotEnoughPositives`], or [`FitError::SingleClass`] when all are the same.
pub fn require_positives(labels: &[bool], needed: usize) -> Result<(), FitError> {
    let positives = check_classes(labels, None)?;
    if positives < needed { Err(FitError::NotEnoughPositives { found: positives, needed }) } else { Ok(()) }
}

/// Number of positive labels among the rows with a weight, when both classes are there.
fn check_classes(labels: &[bool], weights: Option<&[f64]>) -> Result<usize, FitError> {
    let counts = |row: &usize| weights.is_none_or(|weights| weights[*row] > 0.0);
    let (mut rows, mut positives) = (0, 0);
    for row in (0..labels.len()).filter(counts) {
        rows += 1;
        positives += usize::from(labels[row]);
    }
    match positives {
        _ if rows == 0 => Err(FitError::NoRows),
        0 => Err(FitError::SingleClass { rows, label: false }),
        _ if positives == rows => Err(FitError::SingleClass { rows, label: true }),
        _ => Ok(positives),
    }
}

fn check_length(what: &'static str, rows: usize, got: usize) -> Result<(), FitError> {
    if rows == got { Ok(()) } else { Err(FitError::LengthMismatch { what, rows, got }) }
}

fn check_weights(weights: &[f64]) -> Result<(), FitError> {
    match weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        Some(row) => Err(FitError::BadWeight { row, value: weights[row] }),
        None => Ok(()),
    }
}

/// Rows in a unit of parallel work. Part of the results: sums are taken inside a chunk first.
const CHUNK_ROWS: usize = 1024;

/// The first value in row order that `bad` marks, as (row, column, value).
fn find_value<T: Copy + Send + Sync>(rows: ArrayView2<T>, bad: impl Fn(T) -> bool + Sync) -> Option<(usize, usize, T)> {
    rows.axis_chunks_iter(ndarray::Axis(0), CHUNK_ROWS).into_par_iter().enumerate().find_map_first(|(chunk, rows)| {
        let (place, value) = rows.indexed_iter().find(|(_, value)| bad(**value))?;
        Some((chunk * CHUNK_ROWS + place.0, place.1, *value))
    })
}

/// A stable pseudo-random number of a key: the finaliser of splitmix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195).
fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // Steele, Lea & Flood's reference program with seed 1234567, as printed at rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    fn mix_is_splitmix64() {
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(mix(1_234_567u64.wrapping_add(0x9e37_79b9_7f4a_7c15)), 3_203_168_211_198_807_973);
    }

    #[test]
    fn labels_are_counted_by_weight() {
        assert_eq!(check_classes(&[true, false, true], None).unwrap(), 2);
        let error = check_classes(&[true, false], Some(&[1.0, 0.0])).unwrap_err();
        assert!(matches!(error, FitError::SingleClass { rows: 1, label: true }));
        assert!(matches!(check_classes(&[], None), Err(FitError::NoRows)));
        let error = require_positives(&[true, false, false], 2).unwrap_err();
        assert_eq!(error.to_string(), "1 positive labels, at least 2 are needed");
        assert_eq!(error.reason(), Some(Reason::NotEnoughPositives));
        assert_eq!(error.exit_code(), ExitCode::DataRejected);
    }

    #[test]
    fn the_first_bad_value_is_named_whatever_the_chunk() {
        let mut rows = ndarray::Array2::<f64>::zeros((5000, 3));
        assert!(find_value(rows.view(), |x| x.is_nan()).is_none());
        rows[[4000, 1]] = f64::NAN;
        rows[[3000, 2]] = f64::NAN;
        assert!(matches!(find_value(rows.view(), |x| x.is_nan()), Some((3000, 2, _))));
    }
}
