//! Fitting common to the models: with no prior where the data carry a maximum, with a weak one where they do not.

use serde::{Deserialize, Serialize};

use super::BtydError;
use crate::math::newton::{climb, covariance};
use crate::math::{Expansion, Fit, Stop, maximise};

/// With fewer customers that came back than this the prior is used from the start: four parameters of so few
/// customers are noise even where the likelihood has a maximum.
pub(super) const ENOUGH: u64 = 20;

/// A parameter that has run this far from the scale of the data, either way, is not determined by them: BG/NBD with
/// `a` and `b` in the thousands is a model without differences in dropout.
const FURTHEST: f64 = 1e4;

/// A fitted model with the account of its fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted<P> {
    /// The model.
    pub params: P,
    /// Log-likelihood of the data in nats, without the prior, in the units of the data.
    pub ln_likelihood: f64,
    /// Iterations of the winning start.
    pub iterations: u64,
    /// Norm of the gradient per customer, over the logarithms of the parameters.
    pub gradient_norm: f64,
    /// How the optimiser stopped.
    pub stop: Stop,
    /// Whether a weak prior held the parameters, because the data alone do not: few customers, or a likelihood that
    /// is flat or rises forever.
    pub shrunk: bool,
    /// Customers fitted on.
    pub customers: u64,
    /// Standard error of each parameter, in the order of the model's letters and in their units: from the Hessian at
    /// the maximum. `None` where the likelihood is flat there, and where the prior held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors: Option<Vec<f64>>,
}

/// A normal prior on the logarithms of the parameters, worth about one customer.
pub(super) struct Prior {
    /// Centre of each.
    pub centre: Vec<f64>,
    /// Standard deviation of each.
    pub deviation: f64,
}

impl Prior {
    /// Adds the log-density, up to a constant, to the gradient, and returns it.
    fn add(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let mut total = 0.0;
        for ((x, centre), slope) in point.iter().zip(&self.centre).zip(gradient) {
            let z = (x - centre) / self.deviation;
            total -= 0.5 * z * z;
            *slope -= z / self.deviation;
        }
        total
    }

    /// The log-density added to an expansion.
    fn add_to(&self, mut expansion: Expansion, point: &[f64]) -> Expansion {
        expansion.value += self.add(point, &mut expansion.gradient);
        for (i, row) in expansion.hessian.iter_mut().enumerate() {
            row[i] -= 1.0 / (self.deviation * self.deviation);
        }
        expansion
    }
}

/// A likelihood to be climbed over logarithms of scaled parameters.
pub(super) struct Search {
    pub model: &'static str,
    pub customers: u64,
    /// Whether there are customers enough to do without the prior.
    pub enough: bool,
    pub starts: Vec<Vec<f64>>,
    pub prior: Prior,
}

/// The summit of a [`Search`].
pub(super) struct Found {
    pub fit: Fit,
    pub shrunk: bool,
    /// Standard deviations of the coordinates.
    pub deviations: Option<Vec<f64>>,
}

impl Found {
    /// The account of the fit of a model at `values`, whose logarithms were searched up to constants.
    pub(super) fn fitted<P>(self, params: P, values: &[f64], ln_likelihood: f64, customers: u64) -> Fitted<P> {
        let Fit { iterations, gradient_norm, stop, .. } = self.fit;
        let standard_errors = self.deviations.map(|deviations| {
            // d p = p d ln p, exactly at a maximum, where the gradient is 0.
            values.iter().zip(deviations).map(|(value, deviation)| value * deviation).collect()
        });
        let shrunk = self.shrunk;
        Fitted { params, ln_likelihood, iterations, gradient_norm, stop, shrunk, customers, standard_errors }
    }
}

/// The highest point from any of the starts, without the prior where the data determine all parameters, with it
/// elsewhere. `sketch`, the likelihood of fewer histories that stand for all, makes the choice among starts cheap.
///
/// # Errors
/// When there is no maximum even with the prior.
pub(super) fn search(
    task: &Search,
    whole: &dyn Fn(&[f64]) -> Expansion,
    sketch: Option<impl Fn(&[f64]) -> Expansion>,
) -> Result<Found, BtydError> {
    let observations = task.customers.max(1) as f64;
    let highest = |objective: &dyn Fn(&[f64]) -> Expansion, starts: &[Vec<f64>]| {
        let climbs = starts.iter().filter_map(|start| climb(objective, observations, start, FURTHEST.ln()));
        climbs.fold(None, |best: Option<(Fit, Expansion)>, next| match best {
            Some(held) if held.0.ln_likelihood >= next.0.ln_likelihood => Some(held),
            _ => Some(next),
        })
    };
    // The covariance at a maximum that the objective determines; `None` where it is none, flat or far from the scale.
    let determined = |(fit, end): &(Fit, Expansion)| {
        let is_near = fit.params.iter().all(|x| x.abs() < FURTHEST.ln());
        (fit.stop.is_maximum() && is_near).then(|| covariance(&end.hessian)).flatten()
    };
    let mut starts = task.starts.clone();
    let mut free_starts = task.enough.then(|| starts.clone());
    if let Some(sketch) = &sketch {
        let held = |point: &[f64]| task.prior.add_to(sketch(point), point);
        if let Some((fit, _)) = highest(&held, &starts) {
            starts = vec![fit.params];
        }
        // What runs away or is flat over histories that stand for all is so over all of them: that long way is not gone.
        free_starts = free_starts.and_then(|_| {
            let found = highest(sketch, &starts)?;
            determined(&found).map(|_| vec![found.0.params])
        });
    }
    if let Some(free_starts) = free_starts
        && let Some(found) = highest(whole, &free_starts)
        && let Some(covariance) = determined(&found)
    {
        let fit = found.0;
        let deviations: Vec<f64> = (0..fit.params.len()).map(|i| covariance[i][i].sqrt()).collect();
        return Ok(Found { fit, shrunk: false, deviations: Some(deviations) });
    }
    let held = |point: &[f64]| task.prior.add_to(whole(point), point);
    // A sketch chooses a start and has no say in whether there is a maximum.
    let from_all = || (starts != task.starts).then(|| highest(&held, &task.starts)).flatten();
    let is_maximum = |found: &Option<(Fit, Expansion)>| found.as_ref().is_some_and(|(fit, _)| fit.stop.is_maximum());
    let found = Some(highest(&held, &starts)).filter(is_maximum).unwrap_or_else(from_all);
    let stop = found.as_ref().map(|(fit, _)| fit.stop);
    match found.filter(|(fit, _)| fit.stop.is_maximum()) {
        Some((mut fit, _)) => {
            fit.ln_likelihood = whole(&fit.params).value;
            Ok(Found { fit, shrunk: true, deviations: None })
        }
        None => Err(BtydError::NoMaximum { model: task.model, customers: task.customers, stop }),
    }
}

/// Maximises `ln_likelihood` over logarithms of scaled parameters. Returns the fit and whether the prior was needed.
///
/// # Errors
/// When there is no maximum even with the prior.
pub(super) fn fit_or_shrink(
    model: &'static str,
    ln_likelihood: &dyn Fn(&[f64], &mut [f64]) -> f64,
    customers: u64,
    enough: bool,
    starts: &[Vec<f64>],
    prior: &Prior,
) -> Result<(Fit, bool), BtydError> {
    let observations = customers.max(1) as f64;
    if enough {
        let free = maximise(ln_likelihood, observations, starts);
        if let Some(fit) = free
            && fit.stop.is_maximum()
            && fit.params.iter().all(|x| x.abs() < FURTHEST.ln())
        {
            return Ok((fit, false));
        }
    }
    let penalised = |point: &[f64], gradient: &mut [f64]| {
        let value = ln_likelihood(point, gradient);
        value + prior.add(point, gradient)
    };
    let found = maximise(&penalised, observations, starts);
    let stop = found.as_ref().map(|fit| fit.stop);
    match found.filter(|fit| fit.stop.is_maximum()) {
        Some(mut fit) => {
            fit.ln_likelihood = ln_likelihood(&fit.params, &mut vec![0.0; fit.params.len()]);
            Ok((fit, true))
        }
        None => Err(BtydError::NoMaximum { model, customers, stop }),
    }
}

/// Panics unless the gradient of an expansion agrees with central differences of its values at each point, and the
/// Hessian with those of the gradient.
#[cfg(test)]
pub(super) fn assert_expansion(objective: &dyn Fn(&[f64]) -> Expansion, points: &[Vec<f64>]) {
    const STEP: f64 = 1e-5; // error of the difference: STEP² of truncation, 1e-16 / STEP of rounding, both about 1e-10
    const TOLERANCE: f64 = 1e-7;
    for point in points {
        let here = objective(point);
        let near = |got: f64, want: f64, what: &str| {
            let size = got.abs().max(1e-3 * here.value.abs()).max(1.0);
            assert!((got - want).abs() < TOLERANCE * size, "at {point:?}, {what}: {got}, but the difference is {want}");
        };
        for i in 0..point.len() {
            let at = |shift: f64| {
                let mut moved = point.clone();
                moved[i] += shift;
                objective(&moved)
            };
            let (up, down) = (at(STEP), at(-STEP));
            near(here.gradient[i], (up.value - down.value) / (2.0 * STEP), &format!("slope {i}"));
            for j in 0..point.len() {
                let difference = (up.gradient[j] - down.gradient[j]) / (2.0 * STEP);
                near(here.hessian[i][j], difference, &format!("curvature {i} {j}"));
            }
        }
    }
}

/// Panics unless `gradient` of the objective agrees with central differences at each point.
#[cfg(test)]
pub(super) fn assert_gradient(objective: &dyn Fn(&[f64], &mut [f64]) -> f64, points: &[Vec<f64>]) {
    const STEP: f64 = 1e-5; // error of the difference: STEP² of truncation, 1e-16 / STEP of rounding, both about 1e-10
    const TOLERANCE: f64 = 1e-7;
    for point in points {
        let mut gradient = vec![0.0; point.len()];
        let value = objective(point, &mut gradient);
        for i in 0..point.len() {
            let at = |shift: f64| {
                let mut moved = point.clone();
                moved[i] += shift;
                objective(&moved, &mut vec![0.0; point.len()])
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let size = gradient[i].abs().max(1e-3 * value.abs()).max(1.0);
            assert!(
                (gradient[i] - difference).abs() < TOLERANCE * size,
                "at {point:?}, coordinate {i}: gradient {} but difference {difference}",
                gradient[i]
            );
        }
    }
}
