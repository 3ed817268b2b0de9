//! Calibration: scores to probabilities that keep their word.
//!
//! Three kinds are there: [isotonic](Isotonic) regression, and the curves of [Platt scaling and beta calibration](Sigmoid).
//! [`Calibration::choose`] takes one only where it is better on rows that it has not seen, and by more than chance: a
//! calibration that has learned one season by heart is worse than none in the next.

mod isotonic;
mod sigmoid;

use linfa::traits::PredictInplace;
use ndarray::{Array1, ArrayBase, ArrayView1, Data, Ix1};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{FitError, check_classes, check_length, mix};

pub use isotonic::{Block, Isotonic, IsotonicModel};
pub use sigmoid::{Sigmoid, SigmoidModel};

/// Folds of customers behind [`Calibration::choose`].
const FOLDS: u64 = 5;

/// So many windows are enough to be folds of their own.
const LEAST_WINDOWS: usize = 3;

/// Probabilities that are passed through are kept this far from 0 and 1: a log loss of at most 21 for any one row.
const IDENTITY_MARGIN: f64 = 1e-9;

fn check_finite(scores: &[f64]) -> Result<(), FitError> {
    match scores.iter().position(|score| !score.is_finite()) {
        Some(row) => Err(FitError::NonFinite { row, column: 0, value: scores[row] }),
        None => Ok(()),
    }
}

fn check_probabilities(scores: &[f64]) -> Result<(), FitError> {
    check_finite(scores)?;
    match scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
        Some(row) => Err(FitError::NotAProbability { row, value: scores[row] }),
        None => Ok(()),
    }
}

/// How scores become probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// The score is the probability, kept in [1e-9, 1 - 1e-9].
    Identity,
    /// Centred isotonic regression.
    Isotonic(IsotonicModel),
    /// Platt scaling or beta calibration.
    Sigmoid(SigmoidModel),
}

/// What can be fitted to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationKind {
    /// Nothing.
    Identity,
    /// A slope and a level of the log odds.
    Platt,
    /// Three numbers.
    Beta,
    /// As many steps as the rows ask for.
    Isotonic,
}

impl CalibrationKind {
    /// Those that must be better than nothing, from the stiffest to the most supple.
    const FITTED: [Self; 3] = [Self::Platt, Self::Beta, Self::Isotonic];

    /// As the report says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "as it is",
            Self::Platt => "Platt",
            Self::Beta => "beta",
            Self::Isotonic => "isotonic",
        }
    }

    /// The calibration of probabilities to labels.
    ///
    /// # Errors
    /// A score outside 0 to 1, lengths that differ; but for the identity: no rows, one class only.
    pub fn fit(self, scores: &[f64], labels: &[bool]) -> Result<Calibration, FitError> {
        check_length("labels", scores.len(), labels.len())?;
        check_probabilities(scores)?;
        Ok(match self {
            Self::Identity => Calibration::Identity,
            Self::Platt => Calibration::Sigmoid(Sigmoid::Platt.fit_rows(scores, labels)?),
            Self::Beta => Calibration::Sigmoid(Sigmoid::Beta.fit_rows(scores, labels)?),
            Self::Isotonic => Calibration::Isotonic(Isotonic.fit_rows(scores, labels, None)?),
        })
    }
}

/// A calibration and the figures that it was chosen by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationChoice {
    /// What was chosen.
    pub kind: CalibrationKind,
    /// It, fitted on all rows.
    pub calibration: Calibration,
    /// Rows that were judged.
    pub rows: u64,
    /// Mean log loss of the scores as they are, in nats per row.
    pub identity_log_loss: f64,
    /// Mean log loss of each other kind on rows that it has not seen; `None` where a fold leaves one class to learn from.
    pub held_out: Vec<(CalibrationKind, Option<f64>)>,
}

impl CalibrationChoice {
    /// Log loss of the chosen kind on rows that it has not seen.
    pub fn log_loss(&self) -> f64 {
        self.held_out_log_loss(self.kind).unwrap_or(self.identity_log_loss)
    }

    /// Log loss of a kind on rows that it has not seen.
    pub fn held_out_log_loss(&self, kind: CalibrationKind) -> Option<f64> {
        self.held_out.iter().find(|(one, _)| *one == kind).and_then(|(_, loss)| *loss)
    }
}

impl Calibration {
    /// The kind with the least log loss on rows that it has not seen, if that is below the log loss of the scores
    /// themselves, which are probabilities, by more than two standard errors; else the identity.
    ///
    /// `keys` tell customers apart, so that no customer is judged by a fit that saw them: five folds. Where `windows`
    /// tells three or more label windows apart, they are the folds instead: what holds in one window must hold in the others.
    ///
    /// # Errors
    /// Lengths that differ, a score outside 0 to 1, no rows, one class only.
    pub fn choose(
        scores: &[f64],
        labels: &[bool],
        keys: &[u64],
        windows: Option<&[u32]>,
    ) -> Result<CalibrationChoice, FitError> {
        check_length("labels", scores.len(), labels.len())?;
        check_length("keys", scores.len(), keys.len())?;
        check_probabilities(scores)?;
        check_classes(labels, None)?;
        let mut of_rows: Vec<u64> = keys.iter().map(|&key| mix(key) % FOLDS).collect();
        if let Some(windows) = windows {
            check_length("windows", scores.len(), windows.len())?;
            let mut distinct = windows.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            if distinct.len() >= LEAST_WINDOWS {
                of_rows = windows.iter().map(|&window| u64::from(window)).collect();
            }
        }
        let mut folds = of_rows.clone();
        folds.sort_unstable();
        folds.dedup();
        let losses = |calibration: &Self, fold: u64| {
            let inside = (0..scores.len()).filter(|&row| of_rows[row] == fold);
            inside.map(|row| log_loss(calibration.probability(scores[row]), labels[row])).sum::<f64>()
        };
        let identity: Vec<f64> = folds.iter().map(|&fold| losses(&Self::Identity, fold)).collect();
        let n = scores.len() as f64;
        let mut held_out = Vec::new();
        let mut best: Option<(f64, CalibrationKind)> = None;
        for kind in CalibrationKind::FITTED {
            let of_fold = |&fold: &u64| {
                let outside = (0..scores.len()).filter(|&row| of_rows[row] != fold);
                let train: (Vec<f64>, Vec<bool>) = outside.map(|row| (scores[row], labels[row])).unzip();
                let fitted = kind.fit(&train.0, &train.1).ok()?; // refused for one class or no rows only
                Some(losses(&fitted, fold))
            };
            let sums: Option<Vec<f64>> = folds.par_iter().map(of_fold).collect();
            let loss = sums.as_ref().map(|sums| sums.iter().sum::<f64>() / n);
            held_out.push((kind, loss));
            if let (Some(sums), Some(loss)) = (sums, loss)
                && is_more_than_chance(&identity, &sums)
                && best.is_none_or(|(least, _)| loss < least)
            {
                best = Some((loss, kind));
            }
        }
        let kind = best.map_or(CalibrationKind::Identity, |(_, kind)| kind);
        Ok(CalibrationChoice {
            kind,
            calibration: kind.fit(scores, labels)?,
            rows: scores.len() as u64,
            identity_log_loss: identity.iter().sum::<f64>() / n,
            held_out,
        })
    }

    /// The probability of one score, inside (0, 1) and never falling as the score rises; `NaN` of `NaN`.
    pub fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Identity => within(score),
            Self::Isotonic(model) => model.probability(score),
            Self::Sigmoid(model) => model.probability(score),
        }
    }

    /// The probabilities of scores.
    ///
    /// # Errors
    /// [`FitError::NonFinite`] (column 0) for the first score that is not finite.
    pub fn probabilities(&self, scores: ArrayView1<f64>) -> Result<Array1<f64>, FitError> {
        match scores.iter().position(|score| !score.is_finite()) {
            Some(row) => Err(FitError::NonFinite { row, column: 0, value: scores[row] }),
            None => Ok(scores.mapv(|score| self.probability(score))),
        }
    }
}

/// Whether what a calibration saves in the folds is, on average, more than twice its standard error.
fn is_more_than_chance(before: &[f64], after: &[f64]) -> bool {
    let folds = before.len() as f64;
    let saved: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
    let mean = saved.iter().sum::<f64>() / folds;
    let variance = saved.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (folds - 1.0).max(1.0);
    mean > 2.0 * (variance / folds).sqrt()
}

fn within(score: f64) -> f64 {
    score.clamp(IDENTITY_MARGIN, 1.0 - IDENTITY_MARGIN)
}

fn log_loss(probability: f64, label: bool) -> f64 {
    if label { -probability.ln() } else { -(-probability).ln_1p() }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix1>, Array1<f64>> for Calibration {
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

#[cfg(test)]
mod tests;
