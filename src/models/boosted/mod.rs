//! Gradient boosted trees on histograms, the model that is most often the most accurate.
//!
//! Features are cut into at most 255 bins each ([`Binned`]), derivatives of the loss are summed by bin in whole numbers, and trees grow leaf by leaf
//! (Friedman 2001; Chen & Guestrin 2016; Ke et al. 2017). What is fitted is an [`Objective`]; the settings
//! are [`BoostedTrees`], and what comes out is a [`BoostedModel`]. The same rows and settings give the same bits at any number
//! of threads, because sums of whole numbers do not depend on their order.
//!
//! Missing values (`NaN`) are taken: each split learns where they go. A column that never varies is in no tree, and of
//! columns that are the same only the first one is.
//!
//! ```
//! use bellwether::models::boosted::{BoostedTrees, Targets};
//! use ndarray::Array2;
//!
//! let rows = Array2::from_shape_fn((1000, 2), |(row, column)| ((row * (7 + column)) % 100) as f32);
//! let labels: Vec<f64> = rows.rows().into_iter().map(|row| f64::from(u8::from(row[0] > 30.0))).collect();
//! let model = BoostedTrees::default().fit_rows(rows.view(), Targets::of(&labels), None)?;
//! let probabilities = model.predict(rows.view())?;
//! assert!(probabilities.iter().zip(&labels).all(|(p, label)| (p - label).abs() < 0.05));
//! # Ok::<(), bellwether::models::FitError>(())
//! ```

mod bins;
mod contributions;
mod cuts;
mod fit;
mod forest;
mod grow;
mod grown;
mod histogram;
mod lightgbm;
mod many;
mod model;
mod objective;
mod partition;
mod predict;
mod sketch;
mod split;
mod tree;

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, ArrayView2, Axis, Data, Ix1, Ix2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CHUNK_ROWS, FitError, find_value};

pub use bins::Binned;
pub use forest::{Answers, Forest};
pub use lightgbm::LightGbmError;
pub use many::{ManyForest, ManyModel, ManyTargets};
pub use model::{BoostedModel, Importance};
pub use objective::Objective;
pub use tree::{Child, Leaf, Missing, Question, Split, Tree};

/// Settings of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoostedTrees {
    /// The loss.
    pub objective: Objective,
    /// Trees at most.
    pub rounds: usize,
    /// Share of each tree's step that is taken, above 0 and at most 1.
    pub learning_rate: f64,
    /// Leaves of a tree at most, 1 to 65,536.
    pub max_leaves: usize,
    /// Questions on the way to a leaf at most; `None` for no limit.
    pub max_depth: Option<usize>,
    /// Rows of a leaf at least, at least 1.
    pub min_rows_per_leaf: usize,
    /// Sum of the hessians in a leaf at least.
    pub min_hessian_per_leaf: f64,
    /// Penalty on the magnitude of a leaf's value.
    pub l1: f64,
    /// Penalty on half its square.
    pub l2: f64,
    /// Gain of a split at least.
    pub min_gain: f64,
    /// Share of the rows that each tree is grown on, drawn anew for each; above 0 and at most 1.
    pub row_fraction: f64,
    /// Share of the features that each tree may ask about, drawn anew for each; above 0 and at most 1.
    pub feature_fraction: f64,
    /// Of the draws of rows and features.
    pub seed: u64,
    /// Stop when the validation loss has not fallen for so many rounds, and keep the trees up to its lowest; `None` to keep all.
    pub early_stopping_rounds: Option<usize>,
    /// For each column: 1 where the prediction must not fall as the feature rises, -1 where it must not rise, 0 where it may do
    /// either. Empty for none. Missing values are not bound by it.
    pub monotone: Vec<i8>,
    /// Bins of the values of a feature at most, 2 to 255. Only for rows that are not binned yet.
    pub max_bins: u16,
    /// Columns that hold categories as whole numbers. Only for rows that are not binned yet.
    pub categorical: Vec<usize>,
}

impl Default for BoostedTrees {
    /// LightGBM's.
    fn default() -> Self {
        Self {
            objective: Objective::Logistic,
            rounds: 100,
            learning_rate: 0.1,
            max_leaves: 31,
            max_depth: None,
            min_rows_per_leaf: 20,
            min_hessian_per_leaf: 1e-3,
            l1: 0.0,
            l2: 0.0,
            min_gain: 0.0,
            row_fraction: 1.0,
            feature_fraction: 1.0,
            seed: 0,
            early_stopping_rounds: None,
            monotone: Vec::new(),
            max_bins: 255,
            categorical: Vec::new(),
        }
    }
}

/// What is to be learned from rows.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// One for each row.
    pub labels: &'a [f64],
    /// One for each row, or 1 for all. A row of weight 2 counts as two; one of weight 0 is not there, whatever its label.
    pub weights: Option<&'a [f64]>,
    /// Raw scores that are known beforehand, one for each row, or 0 for all; the model adds to them. They are on the scale of the raw score:
    /// log odds for probabilities, ln of an expected count or amount where the link is the logarithm.
    pub offset: Option<&'a [f64]>,
}

impl<'a> Targets<'a> {
    /// Labels, without weights or offsets.
    pub fn of(labels: &'a [f64]) -> Self {
        Self { labels, weights: None, offset: None }
    }

    /// With these weights.
    pub fn weighted(self, weights: &'a [f64]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// With these offsets.
    pub fn offset_by(self, offset: &'a [f64]) -> Self {
        Self { offset: Some(offset), ..self }
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    fn offset_of(&self, row: usize) -> f64 {
        self.offset.map_or(0.0, |offset| offset[row])
    }
}

impl BoostedTrees {
    /// The model of n × p `rows` (`NaN` where missing) and their targets. The losses on the `validation` rows are kept, and
    /// stop the fit where [`early_stopping_rounds`](Self::early_stopping_rounds) says so.
    ///
    /// # Errors
    /// Bad settings, lengths or widths that differ, an infinity, labels that the objective does not take, no rows, no feature that varies, labels
    /// of one class only (or only zeros, where a mean must be positive).
    pub fn fit_rows(
        &self,
        rows: ArrayView2<f32>,
        targets: Targets,
        validation: Option<(ArrayView2<f32>, Targets)>,
    ) -> Result<BoostedModel, FitError> {
        self.check(rows.ncols())?;
        self.objective.check(&targets, rows.nrows())?;
        self.objective.check_varies(&targets)?;
        let binned = Binned::fit(rows, &self.categorical, self.max_bins, targets.weights)?;
        let validation = match validation {
            Some((rows, targets)) => Some((binned.more(rows)?, targets)),
            None => None,
        };
        self.fit_binned(&binned, targets, validation.as_ref().map(|(rows, targets)| (rows, *targets)))
    }

    /// As [`fit_rows`](Self::fit_rows), for rows that are binned already: fits on the same rows share them. The validation
    /// rows must have been binned by the same cut points; they may be the same rows with other weights.
    ///
    /// # Errors
    /// As [`fit_rows`](Self::fit_rows), or [`FitError::OtherCutPoints`].
    pub fn fit_binned(
        &self,
        binned: &Binned,
        targets: Targets,
        validation: Option<(&Binned, Targets)>,
    ) -> Result<BoostedModel, FitError> {
        // On a thread of the pool: from outside, every parallel step would have to wait for one.
        rayon::scope(|_| fit::fit(self, binned, targets, validation))
    }

    /// One model of several outputs on rows that are binned already: each round's tree serves all outputs, and is found on a
    /// sketch of their gradients, so that hundreds of outputs take little longer than a few. All outputs share the objective.
    /// With validation rows and [`early_stopping_rounds`](Self::early_stopping_rounds) each output has as many rounds as are best for it. Gains and [`min_gain`](Self::min_gain) are
    /// per row instead of per hessian here.
    ///
    /// # Errors
    /// As [`fit_binned`](Self::fit_binned), a fault of one output's labels with its number ([`FitError::Output`]), and
    /// [`FitError::ManyUnsupported`] for the quantile loss and for monotone constraints.
    pub fn fit_many(
        &self,
        binned: &Binned,
        targets: ManyTargets,
        validation: Option<(&Binned, ManyTargets)>,
    ) -> Result<ManyModel, FitError> {
        rayon::scope(|_| many::fit(self, binned, targets, validation))
    }

    fn check(&self, columns: usize) -> Result<(), FitError> {
        let require = |ok, name, rule, got| if ok { Ok(()) } else { Err(FitError::BadParameter { name, rule, got }) };
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let penalty = |value: f64| value.is_finite() && value >= 0.0;
        const SHARE: &str = "above 0 and at most 1";
        const PENALTY: &str = "a finite number of at least 0";
        require(share(self.learning_rate), "learning_rate", SHARE, self.learning_rate)?;
        require(share(self.row_fraction), "row_fraction", SHARE, self.row_fraction)?;
        require(share(self.feature_fraction), "feature_fraction", SHARE, self.feature_fraction)?;
        require(penalty(self.l1), "l1", PENALTY, self.l1)?;
        require(penalty(self.l2), "l2", PENALTY, self.l2)?;
        require(penalty(self.min_gain), "min_gain", PENALTY, self.min_gain)?;
        require(penalty(self.min_hessian_per_leaf), "min_hessian_per_leaf", PENALTY, self.min_hessian_per_leaf)?;
        let leaves = self.max_leaves;
        require((1..=65_536).contains(&leaves), "max_leaves", "1 to 65536", leaves as f64)?;
        require(self.min_rows_per_leaf > 0, "min_rows_per_leaf", "at least 1", self.min_rows_per_leaf as f64)?;
        require(self.early_stopping_rounds != Some(0), "early_stopping_rounds", "at least 1", 0.0)?;
        let directions = self.monotone.len();
        require(directions == 0 || directions == columns, "monotone", "as many as columns", directions as f64)?;
        let wrong = self.monotone.iter().find(|direction| !(-1..=1).contains(*direction));
        require(wrong.is_none(), "monotone", "-1, 0 or 1", wrong.map_or(0.0, |direction| (*direction).into()))
    }
}

/// Refuses infinities; rows are passed over quickly as long as there is none.
fn first_infinity(rows: ArrayView2<f32>) -> Result<(), FitError> {
    let infinite = rows.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter().any(|rows| {
        rows.rows().into_iter().any(|row| match row.as_slice() {
            Some(row) => row.iter().fold(false, |infinite, value| infinite | value.is_infinite()),
            None => row.iter().any(|value| value.is_infinite()),
        })
    });
    match infinite.then(|| find_value(rows, f32::is_infinite)).flatten() {
        Some((row, column, value)) => Err(FitError::NonFinite { row, column, value: value.into() }),
        None => Ok(()),
    }
}

/// What a data set of linfa may have as targets.
pub trait Label: Copy {
    /// As a number: 1 for true.
    fn number(self) -> f64;
}

impl Label for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Label for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl<D, L> Fit<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>, FitError> for BoostedTrees
where
    D: Data<Elem = f32>,
    L: Data,
    L::Elem: Label,
{
    type Object = BoostedModel;

    /// As [`fit_rows`](BoostedTrees::fit_rows), with the data set's own weights where it has any.
    fn fit(&self, data: &DatasetBase<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>>) -> Result<BoostedModel, FitError> {
        let labels: Vec<f64> = data.targets().iter().map(|label| label.number()).collect();
        let weights: Option<Vec<f64>> = data.weights().map(|weights| weights.iter().map(|v| f64::from(*v)).collect());
        let targets = Targets { labels: &labels, weights: weights.as_deref(), offset: None };
        self.fit_rows(data.records().view(), targets, None)
    }
}

impl<D: Data<Elem = f32>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for BoostedModel {
    /// Predictions of each row; an infinity counts as a very large number.
    ///
    /// # Panics
    /// When the width or the number of rows differs, as linfa's own models do.
    fn predict_inplace(&self, features: &ArrayBase<D, Ix2>, predictions: &mut Array1<f64>) {
        assert_eq!(features.ncols(), self.columns, "columns at fitting and now");
        assert_eq!(features.nrows(), predictions.len(), "rows and targets");
        let mut scores = vec![self.constant; features.nrows()];
        self.add_trees(features.view(), &mut scores);
        predictions.iter_mut().zip(scores).for_each(|(to, score)| *to = self.objective.prediction(score));
    }

    fn default_target(&self, features: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(features.nrows())
    }
}

#[cfg(test)]
mod tests;
