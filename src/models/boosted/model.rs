//! The fitted model.

use ndarray::{Array1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::tree::Tree;
use super::{Objective, first_infinity};
use crate::models::{FitError, check_length};

/// A fitted sum of trees. Its raw score is a constant plus one leaf of each tree (plus a row's offset, where there is one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredModel")]
pub struct BoostedModel {
    pub(super) objective: Objective,
    pub(super) columns: usize,
    pub(super) constant: f64,
    pub(super) trees: Vec<Tree>,
    pub(super) validation_losses: Vec<f64>,
}

/// As read from a file, before it is known that the trees ask about existing columns.
#[derive(Deserialize)]
struct StoredModel {
    objective: Objective,
    columns: usize,
    constant: f64,
    trees: Vec<Tree>,
    validation_losses: Vec<f64>,
}

impl TryFrom<StoredModel> for BoostedModel {
    type Error = &'static str;

    fn try_from(stored: StoredModel) -> Result<Self, Self::Error> {
        let StoredModel { objective, columns, constant, trees, validation_losses } = stored;
        if trees.iter().flat_map(Tree::splits).any(|split| split.feature >= columns) {
            return Err("a tree asks about a column that there is not");
        }
        Ok(Self { objective, columns, constant, trees, validation_losses })
    }
}

/// How much the splits about a column did.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Importance {
    /// Sum of the gains of its splits.
    pub gain: f64,
    /// Number of its splits.
    pub splits: u64,
}

impl BoostedModel {
    /// One model whose raw score is the mean of theirs: fits that differ in their seeds alone make different mistakes, which
    /// cancel out (Breiman 1996, "Bagging predictors"). It has no validation losses.
    ///
    /// # Panics
    /// Without models, or where they differ in objective or columns.
    #[must_use]
    pub fn mean_of(models: Vec<Self>) -> Self {
        let share = 1.0 / models.len() as f64;
        let (objective, columns) = (models[0].objective, models[0].columns);
        assert!(models.iter().all(|model| model.objective == objective && model.columns == columns));
        let constant = models.iter().map(|model| model.constant).sum::<f64>() * share;
        let mut trees: Vec<Tree> = models.into_iter().flat_map(|model| model.trees).collect();
        trees.iter_mut().for_each(|tree| tree.scale(share));
        Self { objective, columns, constant, trees, validation_losses: Vec::new() }
    }

    /// What the trees were fitted to.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The raw score before any tree.
    pub fn constant(&self) -> f64 {
        self.constant
    }

    /// The trees, in the order of the rounds.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Mean loss on the validation rows: entry r is after r rounds, entry 0 that of the constant. With early stopping the
    /// rounds after the best are here, too, though their trees are not in the model. Empty without validation rows.
    pub fn validation_losses(&self) -> &[f64] {
        &self.validation_losses
    }

    /// Raw scores of n × p `rows` (`NaN` where missing), without offsets.
    ///
    /// # Errors
    /// Another width than at fitting, or an infinity.
    pub fn raw(&self, rows: ArrayView2<f32>) -> Result<Array1<f64>, FitError> {
        self.check(rows)?;
        let mut scores = vec![self.constant; rows.nrows()];
        self.add_trees(rows, &mut scores);
        Ok(Array1::from(scores))
    }

    /// Predictions of n × p `rows`: a probability, a mean or a quantile, as the objective says.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn predict(&self, rows: ArrayView2<f32>) -> Result<Array1<f64>, FitError> {
        let mut scores = self.raw(rows)?;
        scores.par_mapv_inplace(|score| self.objective.prediction(score));
        Ok(scores)
    }

    /// Predictions where each row has an offset: a raw score that was known beforehand, as in [`Targets`](super::Targets).
    ///
    /// # Errors
    /// As [`raw`](Self::raw), or other than one offset for each row.
    pub fn predict_with_offset(&self, rows: ArrayView2<f32>, offset: &[f64]) -> Result<Array1<f64>, FitError> {
        check_length("offsets", rows.nrows(), offset.len())?;
        let mut scores = self.raw(rows)?;
        scores.iter_mut().zip(offset).for_each(|(score, offset)| *score = self.objective.prediction(*score + offset));
        Ok(scores)
    }

    /// Gain and number of splits of each column.
    pub fn importance(&self) -> Vec<Importance> {
        let mut importance = vec![Importance::default(); self.columns];
        for split in self.trees.iter().flat_map(Tree::splits) {
            importance[split.feature].gain += split.gain;
            importance[split.feature].splits += 1;
        }
        importance
    }

    pub(super) fn check(&self, rows: ArrayView2<f32>) -> Result<(), FitError> {
        if rows.ncols() != self.columns {
            return Err(FitError::WrongWidth { expected: self.columns, got: rows.ncols() });
        }
        first_infinity(rows)
    }
}
