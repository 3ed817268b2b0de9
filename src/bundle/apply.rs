//! Fitted models applied to rows: the same code judges a fit and scores customers.

use ndarray::{ArrayView1, ArrayView2};

use super::parameters::{ExpectedModel, FittedColumn, ProbabilityModel};
use crate::config::TargetKind;
use crate::models::FitError;
use crate::models::blend::{Blend, log_odds, probability_of};
use crate::models::occurrence::TenurePrior;

/// Rows as the models of one target see them.
#[derive(Debug, Clone, Copy)]
pub struct ModelRows<'a> {
    /// Features, and after them what the occurrence model foresees; NaN = missing.
    pub columns: ArrayView2<'a, f32>,
    /// The same as logistic models take them.
    pub prepared: Option<ArrayView2<'a, f64>>,
    /// Rows × outputs: log odds by the boosted trees that the columns of a target share.
    pub shared: Option<ArrayView2<'a, f64>>,
    /// First column of what the occurrence model foresees.
    pub foresight: Option<usize>,
    /// Days since each customer was first seen.
    pub tenure: &'a [f32],
    /// What the target asks.
    pub kind: TargetKind,
}

/// Places after the first column of [`crate::models::occurrence_features`].
pub(super) const NONE: usize = 1;
pub(super) const COUNT: usize = 2;
pub(super) const VALUE: usize = 3;

/// A model of orders knows nothing of moves, deaths or errors in the data: what it is sure of is at most so sure.
const FORESEEN_MARGIN: f64 = 1e-3;

/// A foreseen probability as a member of a blend has it.
pub(super) fn foreseen_as(probability: f64) -> f64 {
    probability.clamp(FORESEEN_MARGIN, 1.0 - FORESEEN_MARGIN)
}

impl<'a> ModelRows<'a> {
    /// What the occurrence model foresees of each row, NaN for a customer who has never done it.
    ///
    /// # Panics
    /// Without an occurrence model; a target that has none has no model that asks.
    fn foreseen(&self, place: usize) -> ArrayView1<'a, f32> {
        let first = self.foresight.expect("a model that looks ahead comes with what is foreseen");
        self.columns.index_axis_move(ndarray::Axis(1), first + place)
    }

    fn foreseen_probability(&self, prior: &TenurePrior) -> Vec<f64> {
        let is_absence = self.kind == TargetKind::Absence;
        let one = |(none, &tenure): (&f32, &f32)| {
            let none = f64::from(*none);
            let probability = if is_absence { none } else { 1.0 - none };
            foreseen_as(if none.is_nan() { prior.mean(tenure) } else { probability })
        };
        self.foreseen(NONE).iter().zip(self.tenure).map(one).collect()
    }

    fn foreseen_quantity(&self, prior: &TenurePrior) -> Vec<f64> {
        let place = if self.kind == TargetKind::Amount { VALUE } else { COUNT };
        let one = |(expected, &tenure): (&f32, &f32)| {
            if expected.is_nan() { prior.mean(tenure) } else { f64::from(*expected) }
        };
        self.foreseen(place).iter().zip(self.tenure).map(one).collect()
    }
}

impl ProbabilityModel {
    /// As reports call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Logistic(_) => "penalised logistic regression",
            Self::Boosted(_) => "boosted trees",
            Self::Shared { .. } => "boosted trees of all categories",
            Self::Occurrence { .. } => "buy till you die",
            Self::Rate(_) => "base rate",
        }
    }

    /// Probabilities of rows, before any calibration.
    ///
    /// # Errors
    /// Rows of another width than at fitting, or an infinity.
    pub fn scores(&self, rows: &ModelRows) -> Result<Vec<f64>, FitError> {
        Ok(match self {
            Self::Logistic(model) => {
                let prepared = rows.prepared.expect("a logistic model comes with its preparation");
                model.probabilities(prepared)?.to_vec()
            }
            Self::Boosted(model) => model.predict(rows.columns)?.to_vec(),
            Self::Shared { .. } => self.log_odds(rows)?.into_iter().map(probability_of).collect(),
            Self::Occurrence { prior } => rows.foreseen_probability(prior),
            Self::Rate(rate) => vec![*rate; rows.columns.nrows()],
        })
    }

    /// Log odds of rows, before any calibration.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn log_odds(&self, rows: &ModelRows) -> Result<Vec<f64>, FitError> {
        Ok(match self {
            Self::Logistic(model) => {
                model.log_odds(rows.prepared.expect("a logistic model comes with its preparation"))?.to_vec()
            }
            Self::Boosted(model) => model.raw(rows.columns)?.to_vec(),
            Self::Shared { output } => {
                rows.shared.expect("an output comes with the trees that it is of").column(*output).to_vec()
            }
            Self::Occurrence { .. } | Self::Rate(_) => self.scores(rows)?.into_iter().map(log_odds).collect(),
        })
    }
}

/// ln of what is foreseen, which counts as at least `least`: the offset of boosted trees that correct it.
pub fn offset_of(foreseen: &[f64], least: f64) -> Vec<f64> {
    foreseen.iter().map(|value| value.max(least).ln()).collect()
}

impl ExpectedModel {
    /// As reports call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Occurrence { .. } => "buy till you die",
            Self::Boosted(_) => "boosted trees",
            Self::Corrected { .. } => "buy till you die, corrected by boosted trees",
            Self::TwoPart { .. } => "boosted trees in two parts",
            Self::Mean(_) => "mean",
        }
    }

    /// Expectations of rows.
    ///
    /// # Errors
    /// Rows of another width than at fitting, or an infinity.
    pub fn scores(&self, rows: &ModelRows) -> Result<Vec<f64>, FitError> {
        Ok(match self {
            Self::Occurrence { prior } => rows.foreseen_quantity(prior),
            Self::Boosted(model) => model.predict(rows.columns)?.to_vec(),
            Self::Corrected { model, least, prior } => {
                let offset = offset_of(&rows.foreseen_quantity(prior), *least);
                model.predict_with_offset(rows.columns, &offset)?.to_vec()
            }
            Self::TwoPart { occurs, amount } => {
                let amounts = amount.predict(rows.columns)?;
                occurs.predict(rows.columns)?.iter().zip(&amounts).map(|(p, amount)| p * amount).collect()
            }
            Self::Mean(mean) => vec![*mean; rows.columns.nrows()],
        })
    }
}

impl Blend<ProbabilityModel> {
    /// Probabilities of rows, before any calibration.
    ///
    /// # Errors
    /// As [`ProbabilityModel::scores`].
    pub fn scores(&self, rows: &ModelRows) -> Result<Vec<f64>, FitError> {
        self.probabilities(|model| model.scores(rows), |model| model.log_odds(rows))
    }
}

impl Blend<ExpectedModel> {
    /// Expectations of rows.
    ///
    /// # Errors
    /// As [`ExpectedModel::scores`].
    pub fn scores(&self, rows: &ModelRows) -> Result<Vec<f64>, FitError> {
        self.amounts(|model| model.scores(rows))
    }
}

impl FittedColumn {
    /// The score column of rows; `None` of a column that needs histories, which are not in the rows.
    ///
    /// # Errors
    /// As [`ProbabilityModel::scores`].
    pub fn scores(&self, rows: &ModelRows) -> Result<Option<Vec<f64>>, FitError> {
        Ok(match self {
            Self::Probability { model, calibration } => {
                let scores = model.scores(rows)?;
                Some(scores.into_iter().map(|score| calibration.probability(score)).collect())
            }
            Self::Expected { model, level, .. } => {
                Some(model.scores(rows)?.into_iter().map(|score| score * level).collect())
            }
            Self::Occurrence { .. } => None,
        })
    }
}
