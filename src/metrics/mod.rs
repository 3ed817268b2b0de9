//! How good a prediction was: ranking, calibration and value metrics with bootstrap intervals (contract §8).
//!
//! A name always carries its variant, and [`METRICS`] says what each one is. A metric that is undefined on some rows (one class, no
//! spend, equal scores) is `None` and stays missing to the last cell of a report; no function here returns NaN.

pub mod bootstrap;
pub mod calibration;
mod evaluate;
pub(crate) mod order;
pub mod ranking;
pub mod value;

use serde::{Deserialize, Serialize};

use crate::error::{ExitCode, Explain};

pub use bootstrap::{BootstrapOptions, Intervals};
pub use calibration::ReliabilityBin;
pub use evaluate::{Evaluated, evaluate_binary, evaluate_ranking, evaluate_value};
pub use ranking::Decile;

/// One metric of one model on one table, with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Name with its variant, as in [`METRICS`].
    pub name: String,
    /// `None` where it is undefined.
    pub value: Option<f64>,
    /// Low end of the interval.
    pub low: Option<f64>,
    /// High end of the interval.
    pub high: Option<f64>,
}

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The larger the better.
    Higher,
    /// The smaller the better.
    Lower,
    /// The closer to 1 the better.
    NearOne,
}

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// None: a share, a ratio or a correlation.
    None,
    /// That of the target: money or events.
    Target,
}

/// What a metric name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name in reports and JSON.
    pub name: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Unit.
    pub unit: Unit,
    /// One sentence for a reader who does not know it.
    pub note: &'static str,
}

const fn metric(name: &'static str, better: Better, unit: Unit, note: &'static str) -> Metric {
    Metric { name, better, unit, note }
}

/// Every metric of a report, in its order.
pub const METRICS: &[Metric] = &[
    metric(
        "roc_auc",
        Better::Higher,
        Unit::None,
        "Chance that a random customer with the outcome scores above a random one without; 0.5 is guessing.",
    ),
    metric(
        "average_precision",
        Better::Higher,
        Unit::None,
        "Precision averaged over recall; guessing gives the share of positives.",
    ),
    metric(
        "ks",
        Better::Higher,
        Unit::None,
        "Largest distance between the score distributions of customers with and without the outcome; guessing gives 0.",
    ),
    metric(
        "lift_at_10",
        Better::Higher,
        Unit::None,
        "Rate of positives among the best-scored tenth, divided by the overall rate; guessing gives 1.",
    ),
    metric("log_loss", Better::Lower, Unit::None, "Mean surprise at what happened, in nats."),
    metric("brier", Better::Lower, Unit::None, "Mean squared difference of probability and outcome (0 or 1)."),
    metric(
        "ece_10",
        Better::Lower,
        Unit::None,
        "Mean gap between predicted and observed rate over ten probability bins of equal width (TorchMetrics bins). \
         Resamples add noise of their own, so its interval lies high.",
    ),
    metric(
        "calibration_ratio",
        Better::NearOne,
        Unit::None,
        "Positives that came, divided by the sum of the probabilities.",
    ),
    metric(
        "gini_normalized",
        Better::Higher,
        Unit::None,
        "How much of the best possible concentration of value the ranking reaches; guessing gives 0 (Kaggle variant).",
    ),
    metric("spearman", Better::Higher, Unit::None, "Correlation of predicted and actual ranks; guessing gives 0."),
    metric("mae", Better::Lower, Unit::Target, "Mean absolute error."),
    metric("rmse", Better::Lower, Unit::Target, "Root of the mean squared error; large misses weigh more."),
    metric("mae_normalized", Better::Lower, Unit::None, "Mean absolute error divided by the actual mean."),
    metric("rmse_normalized", Better::Lower, Unit::None, "Root mean squared error divided by the actual mean."),
    metric("value_ratio", Better::NearOne, Unit::None, "Predicted total divided by the actual total."),
    metric(
        "top_10_value_share",
        Better::Higher,
        Unit::None,
        "Share of the actual total that came from the tenth with the highest predictions; guessing gives 0.1.",
    ),
];

/// The catalogue entry of a name.
pub fn metric_named(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// A table that cannot be evaluated; always a fault of the caller.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MetricError {
    /// Columns of different length.
    #[error("`{column}` has {found} rows where the labels have {expected}")]
    Length {
        /// Which column.
        column: &'static str,
        /// Its rows.
        found: usize,
        /// Rows of the labels.
        expected: usize,
    },
    /// A number that is none.
    #[error("row {row}: `{column}` is {found}, expected {expected}")]
    BadValue {
        /// Which column.
        column: &'static str,
        /// Where, from 0.
        row: usize,
        /// What is there.
        found: f64,
        /// What should be.
        expected: &'static str,
    },
    /// A coverage that no interval has.
    #[error("the interval level must be above 0 and below 1, got {level}")]
    BadLevel {
        /// What was asked for.
        level: f64,
    },
}

impl Explain for MetricError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Bug
    }
}

/// Mean of at least one number.
fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = numbers.len() as f64;
    let mut sum = order::Sum::default();
    numbers.for_each(|number| sum.add(number));
    sum.get() / n
}

/// The point at `share` of the way from `a` to `b`, exact at both ends and when they are equal (as NumPy interpolates quantiles).
fn between(a: f64, b: f64, share: f64) -> f64 {
    if share < 0.5 { a + (b - a) * share } else { b - (b - a) * (1.0 - share) }
}
