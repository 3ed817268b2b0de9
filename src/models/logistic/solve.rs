//! The two solvers of one objective: linfa-logistic, and preconditioned L-BFGS over the parallel pass.

use std::cell::{Cell, RefCell};

use argmin::core::{CostFunction, Error, Executor, Gradient, State, TerminationReason, TerminationStatus};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, ArrayView1, ArrayView2};

use super::pass::{Loss, Rows};
use super::precondition::Factor;
use crate::models::{FitError, StopReason};

/// Corrections that L-BFGS remembers; linfa-logistic uses the same number.
const MEMORY: usize = 10;

/// Passes allowed per iteration on average. A line search needs one or two; this ends one that cannot succeed.
const PASSES_PER_ITERATION: u64 = 20;

/// What both solvers are asked for.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub rows: Rows<'a>,
    pub alpha: f64,
    pub max_iterations: u64,
    /// On the gradient's norm per unit of row weight.
    pub gradient_tolerance: f64,
    /// Coefficients, then intercept.
    pub initial: &'a [f64],
}

/// Where a solver ended: coefficients, then intercept.
pub(super) struct Solution {
    pub point: Vec<f64>,
    pub iterations: Option<u64>,
    pub stop: StopReason,
}

/// The objective per unit of row weight, so that step lengths and tolerances mean the same for 3 rows and 3 million.
struct Objective<'a> {
    task: Task<'a>,
    scale: f64,
    /// argmin moves in the round coordinates of this factor.
    factor: &'a Factor,
    passes: Cell<u64>,
    /// argmin asks for value and gradient apart, and for the last gradient twice; one pass gives both.
    last: RefCell<Option<Evaluation>>,
}

/// Value and gradient at a point, all in round coordinates and per unit of row weight.
struct Evaluation {
    point: Array1<f64>,
    value: f64,
    gradient: Array1<f64>,
}

impl Objective<'_> {
    fn at<T>(&self, point: &Array1<f64>, read: impl Fn(f64, &Array1<f64>) -> T) -> Result<T, Error> {
        let mut last = self.last.borrow_mut();
        if let Some(known) = last.as_ref()
            && known.point == point
        {
            return Ok(read(known.value, &known.gradient));
        }
        if self.passes.get() > PASSES_PER_ITERATION * (self.task.max_iterations + 5) {
            return Err(Error::msg("too many passes over the data"));
        }
        self.passes.set(self.passes.get() + 1);
        let coefficients = self.factor.to_point(&point.to_vec());
        let (value, gradient) = penalised(&self.task, &self.task.rows.loss(&coefficients), &coefficients);
        let (value, gradient) = (value * self.scale, Array1::from(self.factor.gradient(&gradient)) * self.scale);
        if !value.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            return Err(Error::msg("the objective is not finite"));
        }
        let answer = read(value, &gradient);
        *last = Some(Evaluation { point: point.clone(), value, gradient });
        Ok(answer)
    }
}

/// Adds alpha / 2 · ‖coefficients‖² to a loss.
pub(super) fn penalised(task: &Task, loss: &Loss, point: &[f64]) -> (f64, Vec<f64>) {
    let coefficients = &point[..task.rows.width];
    let squares: f64 = coefficients.iter().map(|w| w * w).sum();
    let mut gradient = loss.gradient.clone();
    for (slope, w) in gradient.iter_mut().zip(coefficients) {
        *slope += task.alpha * w;
    }
    (loss.value + 0.5 * task.alpha * squares, gradient)
}

impl CostFunction for Objective<'_> {
    type Param = Array1<f64>;
    type Output = f64;

    fn cost(&self, point: &Array1<f64>) -> Result<f64, Error> {
        self.at(point, |value, _| value)
    }
}

impl Gradient for Objective<'_> {
    type Param = Array1<f64>;
    type Gradient = Array1<f64>;

    fn gradient(&self, point: &Array1<f64>) -> Result<Array1<f64>, Error> {
        self.at(point, |_, gradient| gradient.clone())
    }
}

/// L-BFGS with the line search of Moré & Thuente (1994), driven by argmin.
pub(super) fn parallel(task: Task) -> Result<Solution, FitError> {
    let library = |error: Error| FitError::Library { library: "argmin", source: error.into() };
    let factor = Factor::of(&task.rows, task.alpha, task.initial);
    // argmin's smallest step is 1.5e-8; MIN_POSITIVE leaves it to the data.
    let search = MoreThuenteLineSearch::new().with_bounds(f64::MIN_POSITIVE, f64::INFINITY).map_err(library)?;
    let solver = LBFGS::new(search, MEMORY)
        .with_tolerance_grad(task.gradient_tolerance / factor.norm())
        // Stop on equal values only: argmin's default, a fall of 2e-16, is met while coefficients still move by 1e-8.
        .and_then(|solver| solver.with_tolerance_cost(f64::MIN_POSITIVE))
        .map_err(library)?;
    let scale = 1.0 / task.rows.total_weight();
    let objective = Objective { task, scale, factor: &factor, passes: Cell::new(0), last: RefCell::new(None) };
    let initial = Array1::from(factor.to_round(task.initial));
    let result = Executor::new(objective, solver)
        .configure(|state| state.param(initial).max_iters(task.max_iterations))
        .timer(false)
        .ctrlc(false)
        .run()
        .map_err(library)?;
    let state = result.state;
    let stop = match state.get_termination_status() {
        TerminationStatus::Terminated(TerminationReason::SolverConverged) => StopReason::NoFurtherDecrease,
        TerminationStatus::Terminated(TerminationReason::MaxItersReached) => StopReason::MaxIterations,
        _ => StopReason::LineSearch,
    };
    let point = state
        .get_best_param()
        .filter(|_| state.get_iter() > 0) // what was given comes back as it was
        .map_or_else(|| task.initial.to_vec(), |best| factor.to_point(&best.to_vec()));
    Ok(Solution { point, iterations: Some(state.get_iter()), stop })
}

/// linfa-logistic's fit, turned so that the coefficients are those of `true`.
pub(super) fn linfa(task: Task) -> Result<Solution, FitError> {
    let shape = |error| FitError::Library { library: "ndarray", source: Box::new(error) };
    let Rows { features, width, labels, .. } = task.rows;
    let features = ArrayView2::from_shape((labels.len(), width), features).map_err(shape)?;
    let data = DatasetBase::new(features, ArrayView1::from(labels));
    let fitted = LogisticRegression::default()
        .alpha(task.alpha)
        .max_iterations(task.max_iterations)
        // Its tolerance is on the gradient of the whole sum.
        .gradient_tolerance(task.gradient_tolerance * task.rows.total_weight())
        .initial_params(initial_for_linfa(task))
        .fit(&data)
        .map_err(|error| FitError::Library { library: "linfa-logistic", source: error.to_string().into() })?;
    // It calls the more frequent class positive, whatever it is; ours is always `true`.
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let point = fitted.params().iter().chain([&fitted.intercept()]).map(|w| sign * w).collect();
    Ok(Solution { point, iterations: None, stop: StopReason::Unreported })
}

/// The starting point in linfa's own orientation: it is positive for the more frequent class, on a tie for the first row's.
fn initial_for_linfa(task: Task) -> Array1<f64> {
    let labels = task.rows.labels;
    let positives = labels.iter().filter(|label| **label).count();
    let true_is_positive = match (2 * positives).cmp(&labels.len()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => labels.first().copied().unwrap_or(true),
    };
    let sign = if true_is_positive { 1.0 } else { -1.0 };
    task.initial.iter().map(|w| sign * w).collect()
}
