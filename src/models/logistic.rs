//! Penalised logistic regression.
//!
//! P(true | x) = 1 / (1 + exp(-(b + w·x))), fitted by minimising
//!
//! ```text
//! Σ_i v_i · ln(1 + exp(-y_i (b + w·x_i)))  +  alpha / 2 · ‖w‖²        y_i = +1 for true, -1 for false
//! ```
//!
//! with row weights `v_i` (1 without any) and an intercept `b` that is not penalised: the objective of linfa-logistic
//! (`logistic_loss` in its `lib.rs`), and of scikit-learn's `LogisticRegression` with `C = 1 / alpha`. The penalty is
//! on the scale of the features, so these should be standardised, as [`Preparation`](super::Preparation) does.

mod pass;
mod precondition;
mod solve;

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, ArrayView1, ArrayView2, ArrayViewMut1, Axis, Data, Ix1, Ix2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CHUNK_ROWS, FitError, FitSummary, StopReason, check_classes, check_length, check_weights, find_value};
use pass::Rows;
use solve::{Task, penalised};

/// Rows up to which [`Solver::Auto`] takes linfa-logistic.
pub const LINFA_MAX_ROWS: usize = 50_000;

/// Cells (rows × columns) up to which [`Solver::Auto`] takes linfa-logistic. With collinear columns, and features have
/// many, its iterations are counted in hundreds: 50,000 × 137 took it 13 s, the parallel solver 0.1 s to the same optimum.
pub const LINFA_MAX_CELLS: usize = 1_000_000;

/// Magnitude up to which [`Solver::Auto`] takes linfa-logistic. Its line search has a shortest step, which is too long
/// for wide columns.
const LINFA_MAX_MAGNITUDE: f64 = 1e3;

/// Largest magnitude of a feature. A standardised one stays below √n; squares of gradients stay far from overflow.
const MAX_MAGNITUDE: f64 = 1e6;

/// Log odds at which a fit starts at most: one in 5e8. Weights of 1e-300 beside ones of 1 would give it 690.
const LARGEST_START: f64 = 20.0;

/// Who solves it. All solve the same objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// linfa-logistic for at most [`LINFA_MAX_ROWS`] rows and [`LINFA_MAX_CELLS`] cells without weights and within
    /// ±1000, else the parallel solver.
    #[default]
    Auto,
    /// linfa-logistic; takes no row weights and does not tell its iterations.
    Linfa,
    /// Our pass over all rows in parallel, driven by argmin's L-BFGS in preconditioned coordinates.
    Parallel,
}

/// Settings of a fit.
///
/// ```
/// use bellwether::models::PenalisedLogistic;
/// use linfa::prelude::*;
/// use linfa::dataset::{DatasetBase, Pr};
/// use ndarray::{Array1, Array2};
///
/// let features = Array2::from_shape_fn((200, 2), |(row, column)| ((row * (column + 3)) % 17) as f64 / 8.0 - 1.0);
/// let labels = Array1::from_shape_fn(200, |row| features[[row, 0]] + 0.5 * features[[row, 1]] > 0.3 || row % 7 == 0);
/// let data = DatasetBase::new(features, labels);
///
/// let model = PenalisedLogistic::default().fit(&data)?;
/// let probabilities = model.predict(&data);
///
/// let auc = probabilities.mapv(|p| Pr::new(p as f32)).roc(data.targets().as_slice().unwrap())?.area_under_curve();
/// assert!(auc > 0.8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PenalisedLogistic {
    /// Strength of the penalty, at least 0.
    pub alpha: f64,
    /// Iterations of L-BFGS at most, at least 1.
    pub max_iterations: u64,
    /// Converged when the gradient's Euclidean norm, per unit of row weight, is below this. Above 0.
    pub gradient_tolerance: f64,
    /// Who solves it.
    pub solver: Solver,
}

impl Default for PenalisedLogistic {
    fn default() -> Self {
        // At 1e-6 the objective is exact to about 1e-9 of itself and probabilities to about 1e-5.
        Self { alpha: 1.0, max_iterations: 200, gradient_tolerance: 1e-6, solver: Solver::Auto }
    }
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogisticModel {
    /// One for each column, in log odds of `true` per unit of the column.
    pub coefficients: Vec<f64>,
    /// Log odds of `true` where every column is 0.
    pub intercept: f64,
    /// How the fit ended.
    pub fit: FitSummary,
}

impl PenalisedLogistic {
    /// The model of n × p `features` (finite, within ±1e6) and n `labels`; `weights` of the rows are at least 0.
    ///
    /// # Errors
    /// Bad settings; no rows, columns or weight; lengths that differ; one class only; a value that is not finite or
    /// out of scale; weights with [`Solver::Linfa`].
    pub fn fit_rows(
        &self,
        features: ArrayView2<f64>,
        labels: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<LogisticModel, FitError> {
        self.fit_at(None, features, labels, weights)
    }

    /// The same, starting from the solution of a similar problem, for instance of another label of the same rows.
    ///
    /// # Errors
    /// As [`fit_rows`](Self::fit_rows), and when `initial` has another width.
    pub fn fit_from(
        &self,
        initial: &LogisticModel,
        features: ArrayView2<f64>,
        labels: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<LogisticModel, FitError> {
        if initial.coefficients.len() != features.ncols() {
            return Err(FitError::WrongWidth { expected: initial.coefficients.len(), got: features.ncols() });
        }
        let point: Vec<f64> = initial.coefficients.iter().copied().chain([initial.intercept]).collect();
        self.fit_at(Some(point), features, labels, weights)
    }

    /// The minimised objective of a model fitted with these settings.
    pub fn objective(&self, model: &LogisticModel) -> f64 {
        let squares: f64 = model.coefficients.iter().map(|w| w * w).sum();
        0.5 * self.alpha * squares - model.fit.ln_likelihood
    }

    fn fit_at(
        &self,
        initial: Option<Vec<f64>>,
        features: ArrayView2<f64>,
        labels: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<LogisticModel, FitError> {
        self.check()?;
        check_length("labels", features.nrows(), labels.len())?;
        if let Some(weights) = weights {
            check_length("weights", features.nrows(), weights.len())?;
            check_weights(weights)?;
        }
        check_classes(labels, weights)?;
        if features.ncols() == 0 {
            return Err(FitError::NoUsableFeatures { features: 0 });
        }
        if let Some((row, column, value)) = find_value(features, |x: f64| x.is_nan() || x.abs() > MAX_MAGNITUDE) {
            return Err(if value.is_finite() {
                FitError::OutOfScale { row, column, value, limit: MAX_MAGNITUDE }
            } else {
                FitError::NonFinite { row, column, value }
            });
        }
        let linfa = match self.solver {
            Solver::Linfa if weights.is_some() => {
                return Err(FitError::WeightsUnsupported { estimator: "linfa-logistic" });
            }
            Solver::Linfa => true,
            Solver::Parallel => false,
            Solver::Auto => {
                let small = weights.is_none() && labels.len() <= LINFA_MAX_ROWS && features.len() <= LINFA_MAX_CELLS;
                small && find_value(features, |x: f64| x.abs() > LINFA_MAX_MAGNITUDE).is_none()
            }
        };
        let features = features.as_standard_layout();
        let rows = Rows {
            features: features.as_slice().expect("a standard layout is contiguous"),
            width: features.ncols(),
            labels,
            weights,
        };
        let initial = initial.unwrap_or_else(|| base_rate(&rows));
        let task = Task {
            rows,
            alpha: self.alpha,
            max_iterations: self.max_iterations,
            gradient_tolerance: self.gradient_tolerance,
            initial: &initial,
        };
        let solution = if linfa { solve::linfa(task)? } else { solve::parallel(task)? };

        // Neither library's word is taken for how good the point is: one more pass tells.
        let loss = rows.loss(&solution.point);
        let (_, gradient) = penalised(&task, &loss, &solution.point);
        let norm = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt() / rows.total_weight();
        let stop = if self.alpha == 0.0 && loss.separated {
            StopReason::Separated
        } else if norm <= self.gradient_tolerance {
            StopReason::GradientTolerance
        } else {
            solution.stop
        };
        let mut coefficients = solution.point;
        let intercept = coefficients.pop().expect("width + 1 numbers");
        let fit = FitSummary { ln_likelihood: -loss.value, iterations: solution.iterations, gradient_norm: norm, stop };
        Ok(LogisticModel { coefficients, intercept, fit })
    }

    fn check(&self) -> Result<(), FitError> {
        let require = |ok, name, rule, got| if ok { Ok(()) } else { Err(FitError::BadParameter { name, rule, got }) };
        require(self.alpha.is_finite() && self.alpha >= 0.0, "alpha", "a finite number of at least 0", self.alpha)?;
        let tolerance = self.gradient_tolerance;
        require(tolerance.is_finite() && tolerance > 0.0, "gradient_tolerance", "a finite number above 0", tolerance)?;
        require(self.max_iterations > 0, "max_iterations", "at least 1", self.max_iterations as f64)
    }
}

/// The optimum without any features, where a fit starts: coefficients of 0 and the log odds of the labels.
fn base_rate(rows: &Rows) -> Vec<f64> {
    let weight = |row: usize| rows.weights.map_or(1.0, |weights| weights[row]);
    let positive: f64 = (0..rows.labels.len()).filter(|&row| rows.labels[row]).map(weight).sum();
    let negative: f64 = (0..rows.labels.len()).filter(|&row| !rows.labels[row]).map(weight).sum();
    let mut point = vec![0.0; rows.width + 1];
    point[rows.width] = (positive / negative).ln().clamp(-LARGEST_START, LARGEST_START);
    point
}

impl LogisticModel {
    /// P(true) of each row of n × p `features`.
    ///
    /// # Errors
    /// Another width than at fitting, or a value that is not finite.
    pub fn probabilities(&self, features: ArrayView2<f64>) -> Result<Array1<f64>, FitError> {
        if features.ncols() != self.coefficients.len() {
            return Err(FitError::WrongWidth { expected: self.coefficients.len(), got: features.ncols() });
        }
        if let Some((row, column, value)) = find_value(features, |x: f64| !x.is_finite()) {
            return Err(FitError::NonFinite { row, column, value });
        }
        let mut probabilities = Array1::zeros(features.nrows());
        self.fill(features, probabilities.view_mut());
        Ok(probabilities)
    }

    /// Log odds of each row of n × p `features`.
    ///
    /// # Errors
    /// As [`probabilities`](Self::probabilities).
    pub fn log_odds(&self, features: ArrayView2<f64>) -> Result<Array1<f64>, FitError> {
        if features.ncols() != self.coefficients.len() {
            return Err(FitError::WrongWidth { expected: self.coefficients.len(), got: features.ncols() });
        }
        if let Some((row, column, value)) = find_value(features, |x: f64| !x.is_finite()) {
            return Err(FitError::NonFinite { row, column, value });
        }
        let of_row = |row: ArrayView1<f64>| {
            let product: f64 = row.iter().zip(&self.coefficients).map(|(x, w)| x * w).sum();
            product + self.intercept
        };
        Ok(features.rows().into_iter().map(of_row).collect())
    }

    fn fill(&self, features: ArrayView2<f64>, mut out: ArrayViewMut1<f64>) {
        let chunks = features.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter();
        out.axis_chunks_iter_mut(Axis(0), CHUNK_ROWS).into_par_iter().zip(chunks).for_each(|(mut out, rows)| {
            for (probability, row) in out.iter_mut().zip(rows.rows()) {
                let product: f64 = row.iter().zip(&self.coefficients).map(|(x, w)| x * w).sum();
                *probability = 1.0 / (1.0 + (-(product + self.intercept)).exp());
            }
        });
    }
}

impl<D: Data<Elem = f64>, L: Data<Elem = bool>> Fit<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>, FitError>
    for PenalisedLogistic
{
    type Object = LogisticModel;

    /// As [`fit_rows`](PenalisedLogistic::fit_rows), with the data set's own weights where it has any.
    fn fit(&self, data: &DatasetBase<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>>) -> Result<LogisticModel, FitError> {
        let labels = data.targets().to_vec();
        let weights: Option<Vec<f64>> = data.weights().map(|weights| weights.iter().map(|v| f64::from(*v)).collect());
        self.fit_rows(data.records().view(), &labels, weights.as_deref())
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for LogisticModel {
    /// P(true) of each row.
    ///
    /// # Panics
    /// When the width or the number of rows differs, as linfa's own models do.
    fn predict_inplace(&self, features: &ArrayBase<D, Ix2>, probabilities: &mut Array1<f64>) {
        assert_eq!(features.ncols(), self.coefficients.len(), "columns at fitting and now");
        assert_eq!(features.nrows(), probabilities.len(), "rows and targets");
        self.fill(features.view(), probabilities.view_mut());
    }

    fn default_target(&self, features: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(features.nrows())
    }
}

#[cfg(test)]
mod tests;
