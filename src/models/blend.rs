//! Blends: the convex combination of several models' scores that loses least.
//!
//! Probabilities are combined on the scale of log odds (a logarithmic opinion pool: Genest & Zidek 1986, "Combining
//! Probability Distributions", Statistical Science 1(1), 114-148), amounts and counts on their own. Weights are at least 0 and
//! sum to 1, so that a blend of models that are right on average has no slope or level of its own to get wrong in another season
//! (Breiman 1996, "Stacked Regressions", Machine Learning 24, 49-64, on why the weights must not be negative).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CHUNK_ROWS, FitError, check_length};

/// Sweeps over all pairs of members at most; a handful is usual.
const MOST_SWEEPS: usize = 60;
/// Halvings of each line search.
const HALVINGS: usize = 30;
/// The search ends when a sweep moves no weight by more.
const TOLERANCE: f64 = 1e-6;
/// A member that would have less than this is left out: it would cost time each night and change nothing.
const LEAST_WEIGHT: f64 = 0.02;
/// Log odds are taken of probabilities that are at least so far from 0 and 1.
const MARGIN: f64 = 1e-9;
/// Amounts are at least this share of their mean where their logarithm is taken.
const LEAST_SHARE: f64 = 1e-6;

/// Models whose scores are combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blend<M> {
    /// Those with a weight; at least one.
    pub members: Vec<Member<M>>,
}

/// A model and what it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member<M> {
    /// Above 0; the weights of a blend sum to 1.
    pub weight: f64,
    /// The model.
    pub model: M,
}

impl<M> Blend<M> {
    /// One model alone.
    pub fn only(model: M) -> Self {
        Self { members: vec![Member { weight: 1.0, model }] }
    }

    /// Probabilities of rows, combined as log odds; `of` gives those of one member, `log_odds_of` their log odds.
    ///
    /// # Errors
    /// Those of `of` and `log_odds_of`.
    pub fn probabilities<E>(
        &self,
        of: impl Fn(&M) -> Result<Vec<f64>, E>,
        log_odds_of: impl Fn(&M) -> Result<Vec<f64>, E>,
    ) -> Result<Vec<f64>, E> {
        match &self.members[..] {
            [one] => of(&one.model),
            members => {
                let scores = combined(members, |model| Ok(log_odds_of(model)?.into_iter().map(limited).collect()))?;
                Ok(scores.into_iter().map(probability_of).collect())
            }
        }
    }

    /// Amounts of rows; `of` gives those of one member.
    ///
    /// # Errors
    /// Those of `of`.
    pub fn amounts<E>(&self, of: impl Fn(&M) -> Result<Vec<f64>, E>) -> Result<Vec<f64>, E> {
        match &self.members[..] {
            [one] => of(&one.model),
            members => combined(members, of),
        }
    }
}

fn combined<M, E>(members: &[Member<M>], of: impl Fn(&M) -> Result<Vec<f64>, E>) -> Result<Vec<f64>, E> {
    let mut sums: Vec<f64> = Vec::new();
    for member in members {
        let scores = of(&member.model)?;
        sums.resize(scores.len(), 0.0);
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += member.weight * score);
    }
    Ok(sums)
}

/// ln(p / (1 − p)), of a p that is kept 1e-9 away from 0 and 1.
pub fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(MARGIN, 1.0 - MARGIN);
    p.ln() - (-p).ln_1p()
}

/// Log odds as a blend takes them: those of a probability that is kept 1e-9 away from 0 and 1.
pub fn limited(score: f64) -> f64 {
    score.clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)
}

/// ln((1 − 1e-9) / 1e-9).
const MOST_LOG_ODDS: f64 = 20.723_265_835_946_411;

/// 1 / (1 + e^−z).
pub fn probability_of(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Weights of the blend of probabilities with the least log loss: at least 0, sum 1, one for each member.
///
/// `members` holds the probabilities of the same rows by each member.
///
/// # Errors
/// No member, no rows, or lengths that differ.
pub fn weights_of_probabilities(members: &[Vec<f64>], labels: &[bool]) -> Result<Vec<f64>, FitError> {
    let scores: Vec<Vec<f64>> = members.iter().map(|member| member.iter().map(|&p| log_odds(p)).collect()).collect();
    least_loss(&scores, labels.len(), |row, z| probability_of(z) - f64::from(u8::from(labels[row])))
}

/// Weights of the blend of expected amounts (or counts) with the least Poisson deviance, which asks for means that are right
/// whatever the spread, and does not change with the currency: at least 0, sum 1, one for each member.
///
/// # Errors
/// No member, no rows, or lengths that differ.
pub fn weights_of_amounts(members: &[Vec<f64>], labels: &[f64]) -> Result<Vec<f64>, FitError> {
    let mean = labels.iter().map(|label| label.max(0.0)).sum::<f64>() / labels.len().max(1) as f64;
    if mean == 0.0 {
        // Nothing was ever observed: no member is better than another.
        return Ok(vec![1.0 / members.len().max(1) as f64; members.len()]);
    }
    let least = LEAST_SHARE * mean;
    least_loss(members, labels.len(), |row, z| 1.0 - labels[row].max(0.0) / z.max(least))
}

/// The mean Poisson deviance of expected amounts, halved and without the terms that the expectations have no part in: what
/// [`weights_of_amounts`] makes least. Lower is better; only differences mean anything.
pub fn deviance_of_amounts(expected: &[f64], labels: &[f64]) -> f64 {
    let mean = labels.iter().map(|label| label.max(0.0)).sum::<f64>() / labels.len().max(1) as f64;
    let least = LEAST_SHARE * mean;
    let of = |(&expected, &label): (&f64, &f64)| {
        let z = expected.max(least);
        if label > 0.0 { z - label * z.ln() } else { z }
    };
    expected.iter().zip(labels).map(of).sum::<f64>() / labels.len().max(1) as f64
}

/// The least of a loss that is convex in the blended score; `slope` is its derivative there.
///
/// Weight moves between two members at a time, to where the loss along that line is least: coordinate descent on pairs, which on
/// a simplex stops nowhere but at the least of a smooth convex function.
fn least_loss(
    members: &[Vec<f64>],
    rows: usize,
    slope: impl Fn(usize, f64) -> f64 + Sync,
) -> Result<Vec<f64>, FitError> {
    if members.is_empty() || rows == 0 {
        return Err(FitError::NoRows);
    }
    for member in members {
        check_length("scores of a member", rows, member.len())?;
    }
    let count = members.len();
    let mut weights = vec![1.0 / count as f64; count];
    let mut blended: Vec<f64> = (0..rows).map(|row| blend(members, &weights, row)).collect();
    for _ in 0..MOST_SWEEPS {
        let mut moved: f64 = 0.0;
        for one in 0..count {
            for other in one + 1..count {
                let (from, to) = (&members[one], &members[other]);
                // d loss / d t where t of the weight goes from one to the other.
                let derivative = |t: f64| {
                    let chunk = |start: usize| {
                        let end = (start + CHUNK_ROWS).min(rows);
                        let of_row = |row: usize| {
                            let difference = to[row] - from[row];
                            slope(row, blended[row] + t * difference) * difference
                        };
                        (start..end).map(of_row).sum::<f64>()
                    };
                    let starts: Vec<usize> = (0..rows).step_by(CHUNK_ROWS).collect();
                    starts.into_par_iter().map(chunk).collect::<Vec<f64>>().into_iter().sum::<f64>()
                };
                let (mut low, mut high) = (-weights[other], weights[one]);
                let step = if derivative(0.0) == 0.0 {
                    0.0 // the least already, or members that are the same
                } else if derivative(low) >= 0.0 {
                    low
                } else if derivative(high) <= 0.0 {
                    high
                } else {
                    for _ in 0..HALVINGS {
                        let middle = (low + high) / 2.0;
                        if derivative(middle) > 0.0 { high = middle } else { low = middle }
                    }
                    (low + high) / 2.0
                };
                if step != 0.0 {
                    weights[one] = (weights[one] - step).max(0.0);
                    weights[other] = (weights[other] + step).max(0.0);
                    blended.iter_mut().enumerate().for_each(|(row, z)| *z += step * (to[row] - from[row]));
                    moved = moved.max(step.abs());
                }
            }
        }
        if moved < TOLERANCE {
            break;
        }
    }
    Ok(pruned(weights))
}

fn blend(members: &[Vec<f64>], weights: &[f64], row: usize) -> f64 {
    members.iter().zip(weights).map(|(member, weight)| member[row] * weight).sum()
}

/// Without the members that hardly count, and again of sum 1.
fn pruned(weights: Vec<f64>) -> Vec<f64> {
    let kept: Vec<f64> = weights.iter().map(|&weight| if weight < LEAST_WEIGHT { 0.0 } else { weight }).collect();
    let sum: f64 = kept.iter().sum();
    kept.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    /// Log odds of the truth, and labels drawn from it.
    fn truth(rows: usize) -> (Vec<f64>, Vec<bool>) {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let odds: Vec<f64> = (0..rows).map(|_| random.random_range(-3.0..3.0)).collect();
        let labels = odds.iter().map(|&z| random.random_bool(probability_of(z))).collect();
        (odds, labels)
    }

    #[test]
    fn a_member_that_knows_the_truth_gets_all_the_weight() {
        let (odds, labels) = truth(4000);
        let right: Vec<f64> = odds.iter().map(|&z| probability_of(z)).collect();
        let timid = odds.iter().map(|&z| probability_of(0.2 * z)).collect();
        let wrong = odds.iter().map(|&z| probability_of(-z)).collect();
        let weights = weights_of_probabilities(&[timid, right, wrong], &labels).unwrap();
        assert!(weights[1] > 0.95 && weights[2] == 0.0, "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test] // z = w·2t + (1 − w)·0 = t at w = 1/2: the blend of a bold member and one that says nothing is the truth
    fn weights_are_those_that_give_the_truth_back() {
        let (odds, labels) = truth(200_000);
        let bold = odds.iter().map(|&z| probability_of(2.0 * z)).collect();
        let mute = vec![0.5; odds.len()];
        let weights = weights_of_probabilities(&[bold, mute], &labels).unwrap();
        assert!((weights[0] - 0.5).abs() < 0.01, "{weights:?}");
    }

    #[test] // Labels are w·a + (1 − w)·b exactly: the deviance is least where the blend equals them.
    fn amounts_are_blended_on_their_own_scale() {
        let a: Vec<f64> = (0..500).map(|i| 1.0 + f64::from(i % 17)).collect();
        let b: Vec<f64> = (0..500).map(|i| 2.0 + f64::from(i % 13)).collect();
        let labels: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.3 * a + 0.7 * b).collect();
        let weights = weights_of_amounts(&[a, b], &labels).unwrap();
        assert!((weights[0] - 0.3).abs() < 1e-5, "{weights:?}");
    }

    #[test] // d/dz (z − y ln z) = 1 − y/z: of one expectation for all the deviance is least at the mean of the labels.
    fn the_deviance_is_least_at_the_mean() {
        let labels = [0.0, 3.0, 10.0, 0.0, 7.0];
        let at = |z: f64| deviance_of_amounts(&[z; 5], &labels);
        assert!(at(4.0) < at(3.9) && at(4.0) < at(4.1));
        assert!((at(4.0) - (4.0 - 4.0 * 4f64.ln())).abs() < 1e-12, "z − mean · ln z");
    }

    #[test]
    fn members_that_are_the_same_share_and_nothing_observed_is_no_error() {
        let same = vec![0.3, 0.6, 0.2, 0.9];
        let weights = weights_of_probabilities(&[same.clone(), same], &[false, true, false, true]).unwrap();
        assert_eq!(weights, [0.5, 0.5]);
        assert_eq!(weights_of_amounts(&[vec![1.0], vec![2.0]], &[0.0]).unwrap(), [0.5, 0.5]);
        assert!(matches!(weights_of_probabilities(&[], &[]), Err(FitError::NoRows)));
        assert!(matches!(weights_of_amounts(&[vec![1.0]], &[1.0, 2.0]), Err(FitError::LengthMismatch { .. })));
    }
}
