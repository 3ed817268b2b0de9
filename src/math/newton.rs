//! Newton's method with Levenberg's damping, for likelihoods that give their Hessian: a handful of steps, always an
//! end, and always a word on how it ended.

use super::optimise::Stop;
use super::optimise::{Fit, GRADIENT_TOLERANCE, MOST_ITERATIONS, STALLED_TOLERANCE};

/// A value, its gradient and its Hessian at a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The value.
    pub value: f64,
    /// First derivatives.
    pub gradient: Vec<f64>,
    /// Second derivatives, row by row.
    pub hessian: Vec<Vec<f64>>,
}

impl Expansion {
    /// Zero, with `n` coordinates.
    pub fn zero(n: usize) -> Self {
        Self { value: 0.0, gradient: vec![0.0; n], hessian: vec![vec![0.0; n]; n] }
    }

    fn is_finite(&self) -> bool {
        self.value.is_finite() && self.gradient.iter().chain(self.hessian.iter().flatten()).all(|x| x.is_finite())
    }

    fn gradient_norm(&self) -> f64 {
        self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
    }
}

/// The longest step of a coordinate, which is a logarithm: a factor of e² on a parameter.
const LONGEST_STEP: f64 = 2.0;

/// Damping is in units of the largest curvature; beyond this a step moves nothing.
const MOST_DAMPING: f64 = 1e12;

/// Steps that promise less than this share of the value cannot be told from rounding.
const ROUNDING: f64 = 1e-16;

/// A step is taken where so much of each diagonal is left by the others: more than rounding.
const SOLVABLE: f64 = 8.0 * f64::EPSILON;

/// A coordinate of which less than this is its own is not determined beside the others: its correlation with them is
/// 0.999,999,999,5.
const DETERMINED: f64 = 1e-9;

/// Climbs from `start`: the summit found with the expansion there; `None` where the objective is not finite at the
/// start. A value that is not finite is a wall; a climb ends where a coordinate is `furthest` or more from 0, or after 200
/// iterations.
pub fn climb(
    objective: &dyn Fn(&[f64]) -> Expansion,
    observations: f64,
    start: &[f64],
    furthest: f64,
) -> Option<(Fit, Expansion)> {
    let mut point = start.to_vec();
    let mut here = objective(&point);
    if !here.is_finite() {
        return None;
    }
    let mut damping = 0.0_f64;
    let mut iterations = 0;
    let inside = |point: &[f64]| point.iter().all(|x| x.abs() < furthest);
    while iterations < MOST_ITERATIONS
        && here.gradient_norm() > GRADIENT_TOLERANCE * observations
        && (iterations == 0 || inside(&point))
    {
        iterations += 1;
        let Some((step, promise)) = damped_step(&here, &mut damping) else { break };
        let there: Vec<f64> = point.iter().zip(&step).map(|(x, s)| (x + s).clamp(-furthest, furthest)).collect();
        let seen = objective(&there);
        let hopeless = promise <= ROUNDING * here.value.abs();
        // Where only rounding is left to win, the flatter point is the better one.
        let better = seen.is_finite()
            && if hopeless { seen.gradient_norm() < here.gradient_norm() } else { seen.value > here.value };
        if better {
            (point, here) = (there, seen);
            damping = if damping < 1e-6 { 0.0 } else { 0.1 * damping };
        } else if hopeless || damping > MOST_DAMPING {
            break;
        } else {
            damping = (10.0 * damping).max(1e-3);
        }
    }
    let gradient_norm = here.gradient_norm() / observations;
    let stop = if gradient_norm <= GRADIENT_TOLERANCE {
        Stop::Converged
    } else if gradient_norm <= STALLED_TOLERANCE {
        Stop::Stalled
    } else {
        Stop::Unfinished
    };
    Some((Fit { params: point, ln_likelihood: here.value, iterations, gradient_norm, stop }, here))
}

/// The step of `(damping · D − H) step = gradient` and the gain that the quadratic promises. Damping is raised until
/// the matrix is positive definite.
fn damped_step(here: &Expansion, damping: &mut f64) -> Option<(Vec<f64>, f64)> {
    let n = here.gradient.len();
    let largest = (0..n).map(|i| here.hessian[i][i].abs()).fold(0.0, f64::max);
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let root = loop {
        let mut matrix: Vec<Vec<f64>> = here.hessian.iter().map(|row| row.iter().map(|h| -h).collect()).collect();
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] += *damping * unit;
        }
        match cholesky(&matrix, SOLVABLE) {
            Some(root) => break root,
            None if *damping > MOST_DAMPING => return None,
            None => *damping = (10.0 * *damping).max(1e-4),
        }
    };
    let mut step = solve(&root, &here.gradient);
    let longest = step.iter().fold(0.0_f64, |longest, s| longest.max(s.abs()));
    let share = (LONGEST_STEP / longest).min(1.0);
    let promise = 0.5 * share * step.iter().zip(&here.gradient).map(|(s, g)| s * g).sum::<f64>();
    for s in &mut step {
        *s *= share;
    }
    Some((step, promise))
}

/// The lower root of a symmetric matrix; `None` where less than the share `least` of a diagonal is its own.
fn cholesky(matrix: &[Vec<f64>], least: f64) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    let mut root = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let rest = matrix[i][j] - (0..j).map(|k| root[i][k] * root[j][k]).sum::<f64>();
            if i == j {
                let is_positive = rest > least * matrix[i][i].abs();
                root[i][i] = if is_positive { rest.sqrt() } else { return None };
            } else {
                root[i][j] = rest / root[j][j];
            }
        }
    }
    Some(root)
}

/// Solves `root rootᵀ x = right`.
fn solve(root: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let mut x = right.to_vec();
    for i in 0..n {
        x[i] = (x[i] - (0..i).map(|k| root[i][k] * x[k]).sum::<f64>()) / root[i][i];
    }
    for i in (0..n).rev() {
        x[i] = (x[i] - (i + 1..n).map(|k| root[k][i] * x[k]).sum::<f64>()) / root[i][i];
    }
    x
}

/// The covariance of the coordinates at a maximum, the inverse of minus the Hessian; `None` where that is not positive
/// definite: in some direction the objective is flat.
pub fn covariance(hessian: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let matrix: Vec<Vec<f64>> = hessian.iter().map(|row| row.iter().map(|h| -h).collect()).collect();
    let root = cholesky(&matrix, DETERMINED)?;
    let n = hessian.len();
    let column = |i: usize| solve(&root, &(0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>());
    Some((0..n).map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::super::jet::Jet;
    use super::*;

    fn expansion<const N: usize>(jet: Jet<N>) -> Expansion {
        Expansion {
            value: jet.value,
            gradient: jet.gradient.to_vec(),
            hessian: jet.hessian.iter().map(|row| row.to_vec()).collect(),
        }
    }

    #[test]
    fn rosenbrock_is_climbed_from_any_start() {
        let rosenbrock = |point: &[f64]| {
            let [x, y] = [0, 1].map(|i| Jet::<2>::exp_of_parameter(i, point[i]));
            let (u, v) = (x * -1.0 + 1.0, y - x * x);
            expansion(-(u * u + v * v * 100.0))
        };
        for start in [[-1.2, 1.0], [3.0, -3.0], [2.0, 2.0], [0.0, 0.0]] {
            let (fit, _) = climb(&rosenbrock, 1.0, &start, 23.0).unwrap();
            assert_eq!(fit.stop, Stop::Converged, "{start:?}: {fit:?}");
            assert!(fit.params.iter().all(|x| x.abs() < 1e-8) && fit.iterations < 100, "{start:?}: {fit:?}");
        }
    }

    #[test]
    fn what_rises_forever_or_is_flat_ends_and_says_so() {
        let rising = |point: &[f64]| Expansion { value: point[0], gradient: vec![1.0], hessian: vec![vec![0.0]] };
        let (fit, end) = climb(&rising, 1.0, &[0.0], 23.0).unwrap();
        assert!(fit.params[0] <= 23.0 && fit.params[0] > 1.0 && fit.stop == Stop::Unfinished, "{fit:?}");
        assert_eq!(covariance(&end.hessian), None);
        let flat = |_: &[f64]| Expansion { value: 7.0, ..Expansion::zero(1) };
        assert_eq!(climb(&flat, 1.0, &[0.5], 23.0).unwrap().0.params, [0.5]);
        let nothing = |_: &[f64]| Expansion { value: f64::NAN, ..Expansion::zero(1) };
        assert!(climb(&nothing, 1.0, &[0.0], 23.0).is_none());
        let lying = |point: &[f64]| Expansion {
            value: (1e3 * point[0]).sin(),
            gradient: vec![-1.0],
            hessian: vec![vec![-1.0]],
        };
        assert_eq!(climb(&lying, 1.0, &[0.1], 23.0).unwrap().0.stop, Stop::Unfinished);
    }

    #[test]
    fn the_covariance_is_the_inverse() {
        // [[4, 2], [2, 3]] has the inverse [[3, -2], [-2, 4]] / 8.
        let got = covariance(&[vec![-4.0, -2.0], vec![-2.0, -3.0]]).unwrap();
        for (got, want) in got.iter().flatten().zip([0.375, -0.25, -0.25, 0.5]) {
            assert!((got - want).abs() < 1e-15, "{got:?}");
        }
    }
}
