//! The optimiser front: L-BFGS of `argmin` from several starts, in a form that always ends, never takes a
//! non-finite value for an answer, and says how it stopped.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error as ArgminError, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::Array1;
use serde::{Deserialize, Serialize};

/// At most so many iterations a start.
pub const MOST_ITERATIONS: u64 = 200;

/// At most so many evaluations a start. argmin's line search has no limit of its own.
const MOST_EVALUATIONS: u64 = 1000;

/// The walls: no coordinate goes further from 0. Coordinates are logarithms of scaled parameters, and e^23 is 1e10.
const WALL: f64 = 23.0;

/// Converged: the gradient of the objective per observation, which is of the order of 1, has a norm below this.
pub(super) const GRADIENT_TOLERANCE: f64 = 1e-9;

/// A run ends when so many evaluations in a row have not lowered the cost by more than [`ROUNDING`] of itself: what
/// goes on then is a line search in the noise of the last digits.
const MOST_IDLE: u64 = 20;

/// See [`MOST_IDLE`].
const ROUNDING: f64 = 1e-15;

/// Near enough where rounding lets the objective rise no further: its values of order 1 to 10 per observation are
/// known to 1e-15, so the step left is about 1e-7.
pub(super) const STALLED_TOLERANCE: f64 = 1e-6;

/// Corrections that L-BFGS remembers; more than the models have parameters.
const MEMORY: usize = 7;

/// L-BFGS is started afresh where it stalls, which clears its memory, at most so often.
const MOST_RESTARTS: u32 = 3;

/// How an optimisation stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The gradient vanished.
    Converged,
    /// The gradient is small, and rounding lets the objective rise no further.
    Stalled,
    /// The objective is flat or rises forever: the limit of iterations or evaluations was met, or the line search
    /// found nothing, with a gradient that is not small.
    Unfinished,
}

impl Stop {
    /// Whether the point is a maximum, as far as `f64` can tell.
    pub fn is_maximum(self) -> bool {
        matches!(self, Self::Converged | Self::Stalled)
    }
}

/// What an optimisation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The best point seen, in the coordinates of the objective.
    pub params: Vec<f64>,
    /// The objective there.
    pub ln_likelihood: f64,
    /// Iterations of the start that won.
    pub iterations: u64,
    /// Norm of the gradient, per observation, at `params`.
    pub gradient_norm: f64,
    /// How it stopped.
    pub stop: Stop,
}

/// The highest point of `objective` that L-BFGS reaches from any of the `starts`; `None` where it is finite at no
/// start.
///
/// `objective(point, gradient)` returns a log-likelihood over `observations` and writes its gradient. A value or
/// gradient that is not finite is taken as a wall, from which the line search turns back.
pub fn maximise(objective: &dyn Fn(&[f64], &mut [f64]) -> f64, observations: f64, starts: &[Vec<f64>]) -> Option<Fit> {
    let mut best: Option<Fit> = None;
    for start in starts {
        let Some(fit) = from_start(objective, observations, start) else { continue };
        let better = match &best {
            None => true,
            Some(held) => fit.ln_likelihood > held.ln_likelihood,
        };
        if better {
            best = Some(fit);
        }
    }
    best
}

fn from_start(objective: &dyn Fn(&[f64], &mut [f64]) -> f64, observations: f64, start: &[f64]) -> Option<Fit> {
    let trail = RefCell::new(Trail { best: None, last: None, evaluations: 0, idle: 0 });
    let problem = Walled { objective, observations, trail: &trail };
    problem.evaluate(&Array1::from(start.to_vec())).ok()?;
    let mut iterations = 0;
    for _ in 0..=MOST_RESTARTS {
        let from = trail.borrow().best.as_ref()?.clone();
        if from.gradient_norm() <= GRADIENT_TOLERANCE || iterations >= MOST_ITERATIONS {
            break;
        }
        let line_search = MoreThuenteLineSearch::new().with_bounds(1e-15, 100.0).ok()?;
        let solver = LBFGS::new(line_search, MEMORY)
            .with_tolerance_grad(GRADIENT_TOLERANCE)
            .and_then(|solver| solver.with_tolerance_cost(0.0))
            .ok()?;
        let point = from.point.clone();
        trail.borrow_mut().idle = 0;
        let run = Executor::new(Walled { objective, observations, trail: &trail }, solver)
            .configure(|state| state.param(point).max_iters(MOST_ITERATIONS - iterations))
            .ctrlc(false)
            .timer(false)
            .run();
        // An error (limit of evaluations, a direction that is not one of descent) ends the run, not the search:
        // the trail holds the best point.
        iterations += run.map_or(1, |result| result.state.iter.max(1));
        let trail = trail.borrow();
        let held = trail.best.as_ref()?;
        // A restart from where only rounding moves would move nothing.
        if from.cost - held.cost <= ROUNDING * from.cost.abs() || trail.evaluations >= MOST_EVALUATIONS {
            break;
        }
    }
    let held = trail.into_inner().best?;
    let gradient_norm = held.gradient_norm();
    let stop = if gradient_norm <= GRADIENT_TOLERANCE {
        Stop::Converged
    } else if gradient_norm <= STALLED_TOLERANCE {
        Stop::Stalled
    } else {
        Stop::Unfinished
    };
    let params = held.point.to_vec();
    Some(Fit { ln_likelihood: -held.cost * observations, params, iterations, gradient_norm, stop })
}

/// One evaluation.
#[derive(Clone)]
struct Step {
    point: Array1<f64>,
    cost: f64,
    gradient: Array1<f64>,
}

impl Step {
    fn gradient_norm(&self) -> f64 {
        self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
    }
}

/// What was evaluated. It outlives a run, because argmin gives nothing back after an error.
struct Trail {
    best: Option<Step>,
    last: Option<Step>,
    evaluations: u64,
    /// Evaluations since the last one that was better by more than rounding.
    idle: u64,
}

/// The objective as argmin wants it: a cost per observation, within the walls.
struct Walled<'a> {
    objective: &'a dyn Fn(&[f64], &mut [f64]) -> f64,
    observations: f64,
    trail: &'a RefCell<Trail>,
}

impl Walled<'_> {
    /// Value and gradient in one pass; argmin asks for them one after the other, at the same point.
    fn evaluate(&self, point: &Array1<f64>) -> Result<Step, ArgminError> {
        let mut trail = self.trail.borrow_mut();
        if let Some(last) = trail.last.as_ref().filter(|last| last.point == *point) {
            return Ok(last.clone());
        }
        trail.evaluations += 1;
        trail.idle += 1;
        if trail.evaluations > MOST_EVALUATIONS || trail.idle > MOST_IDLE {
            return Err(ArgminError::msg("limit of evaluations"));
        }
        let inside: Vec<f64> = point.iter().map(|x| x.clamp(-WALL, WALL)).collect();
        let mut gradient = vec![0.0; inside.len()];
        let mut cost = -(self.objective)(&inside, &mut gradient) / self.observations;
        let mut gradient: Array1<f64> = gradient.into_iter().map(|g| -g / self.observations).collect();
        if !cost.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            if trail.best.is_none() {
                return Err(ArgminError::msg("not finite at the start"));
            }
            // Far above any cost, and small enough for the line search to reckon with.
            cost = 1e10;
            gradient.fill(0.0);
        }
        for ((x, held), slope) in point.iter().zip(&inside).zip(gradient.iter_mut()) {
            let beyond = x - held;
            if beyond != 0.0 {
                cost += beyond * beyond;
                *slope = 2.0 * beyond;
            }
        }
        let step = Step { point: point.clone(), cost, gradient };
        if trail.best.as_ref().is_none_or(|best| step.cost < best.cost - ROUNDING * best.cost.abs()) {
            trail.idle = 0;
        }
        // At equal cost, which is where rounding ends the climb, the flatter point is the better one.
        let better = trail.best.as_ref().is_none_or(|best| {
            step.cost < best.cost || (step.cost == best.cost && step.gradient_norm() < best.gradient_norm())
        });
        if better && point.iter().all(|x| x.abs() <= WALL) || trail.best.is_none() {
            trail.best = Some(step.clone());
        }
        trail.last = Some(step.clone());
        Ok(step)
    }
}

impl CostFunction for Walled<'_> {
    type Param = Array1<f64>;
    type Output = f64;

    fn cost(&self, point: &Self::Param) -> Result<f64, ArgminError> {
        Ok(self.evaluate(point)?.cost)
    }
}

impl Gradient for Walled<'_> {
    type Param = Array1<f64>;
    type Gradient = Array1<f64>;

    fn gradient(&self, point: &Self::Param) -> Result<Self::Gradient, ArgminError> {
        Ok(self.evaluate(point)?.gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrock_is_climbed_from_any_start() {
        let rosenbrock = |p: &[f64], g: &mut [f64]| {
            let (u, v) = (1.0 - p[0], p[1] - p[0] * p[0]);
            g[0] = 2.0 * u + 400.0 * v * p[0];
            g[1] = -200.0 * v;
            -(u * u + 100.0 * v * v)
        };
        for start in [vec![-1.2, 1.0], vec![5.0, -5.0], vec![0.0, 0.0], vec![1.0, 1.0]] {
            let fit = maximise(&rosenbrock, 1.0, std::slice::from_ref(&start)).unwrap();
            assert_eq!(fit.stop, Stop::Converged, "{start:?}: {fit:?}");
            // The gradient tolerance over the smallest curvature, 0.4.
            assert!(fit.params.iter().all(|x| (x - 1.0).abs() < 1e-9), "{start:?}: {fit:?}");
            assert!(fit.iterations <= MOST_ITERATIONS);
        }
    }

    #[test]
    fn the_best_of_several_starts_wins() {
        // Two hills of heights 1 and 2, at -3 and 3.
        let hills = |p: &[f64], g: &mut [f64]| {
            let (low, high) = ((-(p[0] + 3.0).powi(2)).exp(), 2.0 * (-(p[0] - 3.0).powi(2)).exp());
            g[0] = -2.0 * (p[0] + 3.0) * low - 2.0 * (p[0] - 3.0) * high;
            low + high
        };
        let fit = maximise(&hills, 1.0, &[vec![-2.5], vec![3.5], vec![-3.5]]).unwrap();
        assert!((fit.params[0] - 3.0).abs() < 1e-6 && fit.stop.is_maximum(), "{fit:?}");
    }

    #[test]
    fn an_objective_that_rises_forever_ends_at_the_wall_and_says_so() {
        let fit = maximise(
            &|p, g| {
                g[0] = 1.0;
                p[0]
            },
            1.0,
            &[vec![0.0]],
        )
        .unwrap();
        assert!(fit.params[0] <= WALL && fit.params[0] > 1.0, "{fit:?}");
        assert_eq!(fit.stop, Stop::Unfinished);
    }

    #[test]
    fn a_flat_objective_is_a_maximum_where_it_started() {
        let fit = maximise(
            &|_, g| {
                g[0] = 0.0;
                7.0
            },
            1.0,
            &[vec![0.5]],
        )
        .unwrap();
        assert_eq!((fit.params, fit.ln_likelihood, fit.stop), (vec![0.5], 7.0, Stop::Converged));
    }

    #[test]
    fn values_that_are_not_finite_are_walls() {
        // ln x + ln (2 - x), NaN outside (0, 2): the maximum is at 1.
        let log = |p: &[f64], g: &mut [f64]| {
            g[0] = 1.0 / p[0] - 1.0 / (2.0 - p[0]);
            p[0].ln() + (2.0 - p[0]).ln()
        };
        let fit = maximise(&log, 1.0, &[vec![-1.0], vec![0.01], vec![1.99]]).unwrap();
        assert!((fit.params[0] - 1.0).abs() < 1e-9, "{fit:?}");
        assert_eq!(maximise(&|_, _| f64::NAN, 1.0, &[vec![0.0]]), None);
        assert_eq!(maximise(&|_, _| f64::INFINITY, 1.0, &[vec![0.0]]), None);
        assert_eq!(maximise(&log, 1.0, &[]), None);
    }

    #[test]
    fn a_gradient_that_lies_cannot_make_it_hang() {
        let fit = maximise(
            &|p, g| {
                g[0] = -1.0;
                (1e3 * p[0]).sin()
            },
            1.0,
            &[vec![0.1]],
        )
        .unwrap();
        assert_eq!(fit.stop, Stop::Unfinished);
    }
}
