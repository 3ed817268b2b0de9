//! What is minimised: loss of a raw score s and a label y, its derivatives, and how a score becomes a prediction.
//!
//! ```text
//! logistic    ln(1 + e^s) - y s                                    y in [0, 1]   prediction 1 / (1 + e^-s)
//! Poisson     e^s - y s                                            y >= 0        prediction e^s
//! Tweedie     e^((2-p) s) / (2-p) - y e^((1-p) s) / (1-p)          y >= 0        prediction e^s, power 1 < p < 2
//! gamma       y e^-s + s                                           y > 0         prediction e^s
//! squared     (s - y)^2 / 2                                                      prediction s
//! quantile    (alpha - [y < s]) (y - s)                                          prediction s, 0 < alpha < 1
//! ```
//!
//! Each is a negative log-likelihood up to terms without s, or the loss of its name.

use serde::{Deserialize, Serialize};

use super::Targets;
use crate::models::{FitError, check_classes, check_length, check_weights};

/// The loss that trees are fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// A probability, from labels 0 and 1 (or probabilities).
    Logistic,
    /// A mean count, log link.
    Poisson,
    /// A mean amount with many zeros, log link; variance ~ mean^power.
    Tweedie {
        /// Between 1 and 2.
        power: f64,
    },
    /// A mean positive amount, log link.
    Gamma,
    /// A mean.
    Squared,
    /// A quantile.
    Quantile {
        /// The share of labels below it, between 0 and 1.
        alpha: f64,
    },
}

/// Newton steps that the constant of a logistic model with offsets is given; it converges quadratically, mostly in 5.
const MAX_STEPS: usize = 100;

impl Objective {
    /// The loss of a raw score.
    pub fn loss(self, score: f64, label: f64) -> f64 {
        match self {
            Self::Logistic => score.max(0.0) + (-score.abs()).exp().ln_1p() - label * score,
            Self::Poisson => score.exp() - label * score,
            Self::Tweedie { power: p } => {
                ((2.0 - p) * score).exp() / (2.0 - p) - label * ((1.0 - p) * score).exp() / (1.0 - p)
            }
            Self::Gamma => label * (-score).exp() + score,
            Self::Squared => (score - label).powi(2) / 2.0,
            Self::Quantile { alpha } => {
                let over = label - score;
                if over < 0.0 { (alpha - 1.0) * over } else { alpha * over }
            }
        }
    }

    /// First and second derivative of the loss by the score. The second of the quantile loss, which is 0, is given as 1.
    #[inline]
    pub fn derivatives(self, score: f64, label: f64) -> (f64, f64) {
        match self {
            Self::Logistic => {
                let p = 1.0 / (1.0 + (-score).exp());
                (p - label, p * (1.0 - p))
            }
            Self::Poisson => {
                let mean = score.exp();
                (mean - label, mean)
            }
            Self::Tweedie { power: p } => {
                let (a, b) = (label * ((1.0 - p) * score).exp(), ((2.0 - p) * score).exp());
                (b - a, (2.0 - p) * b - (1.0 - p) * a)
            }
            Self::Gamma => {
                let ratio = label * (-score).exp();
                (1.0 - ratio, ratio)
            }
            Self::Squared => (score - label, 1.0),
            Self::Quantile { alpha } => (if score < label { -alpha } else { 1.0 - alpha }, 1.0),
        }
    }

    /// The prediction of a raw score.
    pub fn prediction(self, score: f64) -> f64 {
        match self {
            Self::Logistic => 1.0 / (1.0 + (-score).exp()),
            Self::Poisson | Self::Tweedie { .. } | Self::Gamma => score.exp(),
            Self::Squared | Self::Quantile { .. } => score,
        }
    }

    /// A Newton step, made shorter where the loss is exponential and the step leads where its curvature is much higher.
    ///
    /// The best step of a leaf is ln(1 + step) for Poisson and, with the sign turned, for gamma; Tweedie is bounded by both.
    pub(super) fn damped(self, step: f64) -> f64 {
        match self {
            Self::Poisson if step > 0.0 => step.ln_1p(),
            Self::Gamma if step < 0.0 => -(-step).ln_1p(),
            Self::Tweedie { .. } => step.abs().ln_1p().copysign(step),
            _ => step,
        }
    }

    /// Refuses settings, lengths and labels that the loss is not defined for.
    pub(super) fn check(self, targets: &Targets, rows: usize) -> Result<(), FitError> {
        match self {
            Self::Tweedie { power } if !(power > 1.0 && power < 2.0) => {
                return Err(FitError::BadParameter { name: "power", rule: "between 1 and 2", got: power });
            }
            Self::Quantile { alpha } if !(alpha > 0.0 && alpha < 1.0) => {
                return Err(FitError::BadParameter { name: "alpha", rule: "between 0 and 1", got: alpha });
            }
            _ => {}
        }
        check_length("labels", rows, targets.labels.len())?;
        if let Some(weights) = targets.weights {
            check_length("weights", rows, weights.len())?;
            check_weights(weights)?;
        }
        if let Some(offset) = targets.offset {
            check_length("offsets", rows, offset.len())?;
            if let Some(row) = offset.iter().position(|value| !value.is_finite()) {
                return Err(FitError::BadOffset { row, value: offset[row] });
            }
        }
        let (rule, good): (_, fn(f64) -> bool) = match self {
            Self::Logistic => ("0 to 1", |y| (0.0..=1.0).contains(&y)),
            Self::Poisson | Self::Tweedie { .. } => ("a finite number of at least 0", |y| y.is_finite() && y >= 0.0),
            Self::Gamma => ("a finite number above 0", |y| y.is_finite() && y > 0.0),
            Self::Squared | Self::Quantile { .. } => ("a finite number", f64::is_finite),
        };
        let counts = |row: &usize| targets.weight(*row) > 0.0;
        let mut rows = (0..rows).filter(counts);
        match rows.find(|row| !good(targets.labels[*row])) {
            Some(row) => Err(FitError::BadLabel { row, value: targets.labels[row], rule }),
            None => Ok(()),
        }
    }

    /// Refuses labels that have no best constant score: one class only, or zeros only.
    pub(super) fn check_varies(self, targets: &Targets) -> Result<(), FitError> {
        let counted = || (0..targets.labels.len()).filter(|row| targets.weight(*row) > 0.0);
        let rows = counted().count();
        if rows == 0 {
            return Err(FitError::NoRows);
        }
        match self {
            Self::Logistic if counted().all(|row| matches!(targets.labels[row], 0.0 | 1.0)) => {
                let labels: Vec<bool> = targets.labels.iter().map(|label| *label > 0.5).collect();
                check_classes(&labels, targets.weights).map(|_| ())
            }
            Self::Poisson | Self::Tweedie { .. } if counted().all(|row| targets.labels[row] == 0.0) => {
                Err(FitError::SingleClass { rows, label: false })
            }
            _ => Ok(()),
        }
    }

    /// The constant that, added to the offsets, has the least loss.
    pub(super) fn constant(self, targets: &Targets) -> f64 {
        let rows = || (0..targets.labels.len()).filter(|row| targets.weight(*row) > 0.0);
        // Sums of two functions of label and offset over all rows, in their order.
        let sums = |f: &dyn Fn(f64, f64) -> (f64, f64)| {
            rows().fold((0.0, 0.0), |(a, b), row| {
                let (x, y) = f(targets.labels[row], targets.offset_of(row));
                (a + targets.weight(row) * x, b + targets.weight(row) * y)
            })
        };
        match self {
            Self::Logistic => {
                let (positive, all) = sums(&|y, _| (y, 1.0));
                let mut score = (positive / (all - positive)).ln();
                if targets.offset.is_none() {
                    return score;
                }
                let shift = targets.offset.map_or(0.0, |offset| offset.iter().sum::<f64>() / offset.len() as f64);
                score -= shift;
                for _ in 0..MAX_STEPS {
                    let (gradient, hessian) = sums(&|y, o| self.derivatives(score + o, y));
                    let step = (gradient / hessian.max(f64::MIN_POSITIVE)).clamp(-2.0, 2.0);
                    score -= step;
                    if step.abs() < 1e-12 {
                        break;
                    }
                }
                score
            }
            Self::Poisson => ratio_ln(sums(&|y, o| (y, o.exp()))),
            Self::Tweedie { power: p } => ratio_ln(sums(&|y, o| (y * ((1.0 - p) * o).exp(), ((2.0 - p) * o).exp()))),
            Self::Gamma => ratio_ln(sums(&|y, o| (y * (-o).exp(), 1.0))),
            Self::Squared => {
                let (total, weight) = sums(&|y, o| (y - o, 1.0));
                total / weight
            }
            Self::Quantile { alpha } => {
                let over = rows().map(|row| (targets.labels[row] - targets.offset_of(row), targets.weight(row)));
                quantile(over.collect(), alpha)
            }
        }
    }
}

fn ratio_ln((above, below): (f64, f64)) -> f64 {
    (above / below).ln()
}

/// The least value up to which a share `alpha` of all weight lies. `values` are not empty.
pub(super) fn quantile(mut values: Vec<(f64, f64)>, alpha: f64) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in &values {
        below += weight;
        if below >= alpha * total {
            return *value;
        }
    }
    values[values.len() - 1].0
}
