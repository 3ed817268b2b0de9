//! *Isotonic regression* finds the non-decreasing step function of the score with the least weighted squared error,
//! by pooling adjacent violators (PAV): Barlow, Bartholomew, Bremner & Brunk (1972), "Statistical Inference under Order
//! Restrictions", ch. 1. Rows with the same score are one point from the start.
//!
//! The steps would give many customers the same probability and lose the ranking inside a step. *Centred* isotonic
//! regression (Oron & Flournoy 2017, "Centered Isotonic Regression: Point and Interval Estimation for Dose-Response
//! Studies", Statistics in Biopharmaceutical Research 9(3), 258-267) puts each step's value at the weighted mean of its
//! scores and draws straight lines between; beyond the outer centres it is constant.
//!
//! A probability of 0 or 1 can be refuted by one customer, so an outer step whose rows all agree gets
//! (k + 1/2) / (n + 1) for k of n rows, but at most half way towards its neighbour, so that the order stays.

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix1};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check_finite;
use crate::models::{FitError, check_classes, check_length, check_weights};

/// One step of the isotonic regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Weighted mean of its scores.
    pub centre: f64,
    /// Sum of its weights, scaled so that the mean weight of a row is 1.
    pub weight: f64,
    /// Weighted share of positive labels, the step's value under PAV.
    pub share: f64,
    /// The probability at the centre: `share`, shrunk where that is 0 or 1.
    pub probability: f64,
}

/// Settings of isotonic regression; there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Isotonic;

/// A fitted isotonic regression: at least one block, centres and probabilities strictly
/// increasing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredIsotonic")]
pub struct IsotonicModel {
    blocks: Vec<Block>,
}

/// As read from a file, before it is known to keep the promises above.
#[derive(Deserialize)]
struct StoredIsotonic {
    blocks: Vec<Block>,
}

impl TryFrom<StoredIsotonic> for IsotonicModel {
    type Error = &'static str;

    fn try_from(stored: StoredIsotonic) -> Result<Self, Self::Error> {
        let blocks = stored.blocks;
        let rising = |a: &Block, b: &Block| a.centre < b.centre && a.probability < b.probability;
        let inside = |block: &Block| block.centre.is_finite() && block.probability > 0.0 && block.probability < 1.0;
        if blocks.is_empty() || !blocks.iter().all(inside) || !blocks.is_sorted_by(rising) {
            return Err("the steps of an isotonic regression do not rise inside (0, 1)");
        }
        Ok(Self { blocks })
    }
}

/// A score with its weight and weighted share of positives.
#[derive(Debug, Clone, Copy)]
struct Pool {
    score: f64,
    weight: f64,
    positive: f64,
    least: f64,
    greatest: f64,
}

impl Pool {
    fn share(&self) -> f64 {
        self.positive / self.weight
    }

    fn absorb(&mut self, other: &Self) {
        let weight = self.weight + other.weight;
        self.score += (other.score - self.score) * (other.weight / weight);
        self.weight = weight;
        self.positive += other.positive;
        self.greatest = other.greatest;
        // Between its own scores whatever the rounding, so that centres stay in order.
        self.score = self.score.clamp(self.least, self.greatest);
    }
}

impl Isotonic {
    /// The calibration of finite `scores` to `labels`; `weights` of the rows are at least 0.
    ///
    /// # Errors
    /// Lengths that differ, a score that is not finite (column 0), a bad weight, no rows, one class only.
    pub fn fit_rows(self, scores: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<IsotonicModel, FitError> {
        check_length("labels", scores.len(), labels.len())?;
        if let Some(weights) = weights {
            check_length("weights", scores.len(), weights.len())?;
            check_weights(weights)?;
        }
        check_finite(scores)?;
        check_classes(labels, weights)?;
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let mut order: Vec<usize> = (0..scores.len()).filter(|&row| weight(row) > 0.0).collect();
        // By row inside a tie, so that sums have one order. Adding 0 makes -0 the same score as 0.
        order.par_sort_unstable_by(|&a, &b| (scores[a] + 0.0).total_cmp(&(scores[b] + 0.0)).then(a.cmp(&b)));
        let scale = order.len() as f64 / order.iter().map(|&row| weight(row)).sum::<f64>();

        let mut points: Vec<Pool> = Vec::new();
        for &row in &order {
            let (score, weight) = (scores[row] + 0.0, weight(row));
            let positive = if labels[row] { weight } else { 0.0 };
            match points.last_mut() {
                Some(last) if last.score == score => {
                    last.weight += weight;
                    last.positive += positive;
                }
                _ => points.push(Pool { score, weight, positive, least: score, greatest: score }),
            }
        }
        // Scaled last: sums of whole weights are exact, and so is the comparison of shares that are equal.
        Ok(IsotonicModel { blocks: shrink_ends(&pool_adjacent_violators(points), scale) })
    }
}

/// Merges neighbours until the shares rise strictly.
fn pool_adjacent_violators(points: Vec<Pool>) -> Vec<Pool> {
    let mut blocks: Vec<Pool> = Vec::new();
    for point in points {
        blocks.push(point);
        while let [.., before, last] = &mut blocks[..]
            && before.share() >= last.share()
        {
            before.absorb(&last.clone());
            blocks.pop();
        }
    }
    blocks
}

/// Blocks with weights times `scale` and probabilities inside (0, 1).
fn shrink_ends(pools: &[Pool], scale: f64) -> Vec<Block> {
    let shares: Vec<f64> = pools.iter().map(|pool| pool.share().clamp(0.0, 1.0)).collect();
    let block = |i: usize, pool: &Pool| {
        let (share, weight) = (shares[i], pool.weight * scale);
        let shrunk = 0.5 / (weight + 1.0);
        // A share of 0 can only be the first, one of 1 only the last; with both classes there, each has a neighbour.
        let probability = if share == 0.0 {
            shrunk.min(shares.get(i + 1).map_or(0.5, |next| next / 2.0))
        } else if share == 1.0 {
            1.0 - shrunk.min(i.checked_sub(1).map_or(0.5, |before| (1.0 - shares[before]) / 2.0))
        } else {
            share
        };
        Block { centre: pool.score, weight, share, probability }
    };
    pools.iter().enumerate().map(|(i, pool)| block(i, pool)).collect()
}

impl IsotonicModel {
    /// The steps, from the lowest score to the highest.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The probability of one score, inside (0, 1) and never falling as the score rises; `NaN` of `NaN`.
    pub fn probability(&self, score: f64) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let next = self.blocks.partition_point(|block| block.centre <= score);
        let Some(before) = next.checked_sub(1).map(|i| self.blocks[i]) else {
            return self.blocks[0].probability;
        };
        let Some(after) = self.blocks.get(next) else {
            return before.probability;
        };
        let way = (score - before.centre) / (after.centre - before.centre);
        let probability = before.probability + way * (after.probability - before.probability);
        probability.min(after.probability) // rounding may step over the end of the line
    }
}

impl<D: Data<Elem = f64>, L: Data<Elem = bool>> Fit<ArrayBase<D, Ix1>, ArrayBase<L, Ix1>, FitError> for Isotonic {
    type Object = IsotonicModel;

    /// As [`fit_rows`](Isotonic::fit_rows), with the data set's own weights where it has any.
    fn fit(&self, data: &DatasetBase<ArrayBase<D, Ix1>, ArrayBase<L, Ix1>>) -> Result<IsotonicModel, FitError> {
        let weights: Option<Vec<f64>> = data.weights().map(|weights| weights.iter().map(|v| f64::from(*v)).collect());
        self.fit_rows(&data.records().to_vec(), &data.targets().to_vec(), weights.as_deref())
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix1>, Array1<f64>> for IsotonicModel {
    /// P(true) of each score.
    ///
    /// # Panics
    /// When the numbers of scores and targets differ, as linfa's own models do.
    fn predict_inplace(&self, scores: &ArrayBase<D, Ix1>, probabilities: &mut Array1<f64>) {
        assert_eq!(scores.len(), probabilities.len(), "scores and targets");
        probabilities.zip_mut_with(scores, |probability, score| *probability = self.probability(*score));
    }

    fn default_target(&self, scores: &ArrayBase<D, Ix1>) -> Array1<f64> {
        Array1::zeros(scores.len())
    }
}
