//! Fitting common to the models: with no prior where the data carry a maximum, with a weak one where they do not.

use serde::{Deserialize, Serialize};

use super::BtydError;
use crate::math::{Fit, Stop, maximise};

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
