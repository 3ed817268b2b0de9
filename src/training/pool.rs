//! Predictions of rows by fits that have not seen them: what blends are weighed and probabilities calibrated by.
//!
//! Rows of the validation cut-off are later than all that the judged fit has learned from. One window is one season, though;
//! so every training window has a say, too: its customers are predicted by fits to other customers.

use crate::models::FitError;
use crate::models::blend::{log_odds, probability_of, weights_of_probabilities};
use crate::models::calibrate::{Calibration, CalibrationChoice};
use crate::timeline::sample_fraction;

/// Predictions by several members of a blend, with what came true.
#[derive(Default, Clone)]
pub(super) struct Pool {
    /// Probabilities, one list for each member.
    pub(super) members: Vec<Vec<f64>>,
    pub(super) labels: Vec<bool>,
    /// Customers.
    pub(super) keys: Vec<u64>,
    /// Label windows.
    pub(super) windows: Vec<u32>,
}

impl Pool {
    /// Adds rows of one fit.
    pub(super) fn add(&mut self, members: Vec<Vec<f64>>, labels: &[bool], keys: &[u64], windows: &[u32]) {
        self.members.resize(members.len(), Vec::new());
        self.members.iter_mut().zip(members).for_each(|(all, new)| all.extend(new));
        self.labels.extend_from_slice(labels);
        self.keys.extend_from_slice(keys);
        self.windows.extend_from_slice(windows);
    }

    /// Weights of the members with the least log loss.
    pub(super) fn weights(&self) -> Result<Vec<f64>, FitError> {
        weights_of_probabilities(&self.members, &self.labels)
    }

    /// The blend of the rows.
    pub(super) fn blended(&self, weights: &[f64]) -> Vec<f64> {
        blended(&self.members, weights)
    }

    /// The calibration of the blend that holds across windows.
    pub(super) fn calibration(&self, weights: &[f64]) -> Result<CalibrationChoice, FitError> {
        Calibration::choose(&self.blended(weights), &self.labels, &self.keys, Some(&self.windows))
    }
}

/// Folds of customers among the training rows.
const FOLDS: u64 = 3;
/// Training rows that are predicted by fits to other customers: enough to weigh and to calibrate.
const MOST_POOLED: usize = 30_000;
/// Salts of the customers of the pool and of its folds.
const POOL_SALT: u64 = 4;
const FOLD_SALT: u64 = 5;

/// Training rows of one fold of customers, and those of the others.
pub(super) struct Fold {
    pub(super) inside: Vec<usize>,
    pub(super) outside: Vec<usize>,
}

/// Folds of the training rows of these customers.
pub(super) fn folds(hashes: &[u64]) -> impl Iterator<Item = Fold> + use<'_> {
    let share = MOST_POOLED as f64 / hashes.len() as f64;
    (0..FOLDS).map(move |fold| {
        let is_pooled = |row: &usize| sample_fraction(hashes[*row], POOL_SALT) < share;
        let is_inside = |row: &usize| (sample_fraction(hashes[*row], FOLD_SALT) * FOLDS as f64) as u64 == fold;
        let (inside, outside) = (0..hashes.len()).filter(is_pooled).partition(is_inside);
        Fold { inside, outside }
    })
}

/// Probabilities of rows by all members, combined with these weights.
pub(super) fn blended(members: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let rows = members.first().map_or(0, Vec::len);
    let counted: Vec<(&Vec<f64>, f64)> =
        members.iter().zip(weights).filter(|(_, weight)| **weight > 0.0).map(|(m, &w)| (m, w)).collect();
    if let [(only, _)] = counted[..] {
        return only.clone();
    }
    let one = |row: usize| probability_of(counted.iter().map(|(member, weight)| weight * log_odds(member[row])).sum());
    (0..rows).map(one).collect()
}
