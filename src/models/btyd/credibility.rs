//! Credibility: what an order of a customer is worth where money may be zero or negative (returns, a casino).
//!
//! Bühlmann & Straub (1970), "Glaubwürdigkeit für Schadensätze"; Bühlmann & Gisler (2005), *A Course in Credibility
//! Theory and its Applications*, section 4.2: the best linear estimate of a customer's mean is
//! `(x m + k mu) / (x + k)`, k being the variance of the orders of one customer over that among customers. Only the
//! means of customers are known here, so k is the maximum of a normal likelihood, m ~ N(mu, tau² (1 + k / x)).

use serde::{Deserialize, Serialize};

use super::BtydError;
use super::fitting::{ENOUGH, Fitted, Prior, fit_or_shrink};
use super::spend::Spend;

const NAME: &str = "credibility";

/// The prior's k: a mean of ten orders counts as much as the population's.
const PRIOR_ORDERS: f64 = 10.0;

/// Least deviation among customers, as a share of the mean's size, that is told from none.
const LEAST_DEVIATION: f64 = 1e-9;

/// The population mean and how many orders weigh as much as it does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credibility {
    mu: f64,
    k: f64,
}

impl Credibility {
    /// The most likely model over the customers with repeat orders.
    ///
    /// # Errors
    /// When there is no such customer, or no maximum was found even with the prior.
    pub fn fit(spends: &[Spend]) -> Result<Fitted<Self>, BtydError> {
        let mut rows: Vec<(f64, f64)> =
            spends.iter().filter(|spend| spend.x() > 0.0).map(|spend| (spend.x(), spend.mean())).collect();
        let customers = rows.len() as u64;
        let Some(&(first, _)) = rows.first() else {
            return Err(BtydError::NoCustomers { model: NAME });
        };
        rows.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        // One order count tells nothing of how the spread of means falls with it.
        let enough = customers >= ENOUGH && rows.iter().any(|&(x, _)| x != first);
        let objective = |point: &[f64], gradient: &mut [f64]| {
            let profile = Profile::at(&rows, point[0].exp());
            gradient[0] = profile.by_ln_k;
            profile.ln_likelihood
        };
        let prior = Prior { centre: vec![PRIOR_ORDERS.ln()], deviation: 1.0 };
        let starts = [vec![0.0], vec![PRIOR_ORDERS.ln()], vec![-3.0]];
        let (fit, shrunk) = fit_or_shrink(NAME, &objective, customers, enough, &starts, &prior)?;
        let k = fit.params[0].exp();
        Ok(Fitted {
            params: Self { mu: Profile::at(&rows, k).mu, k },
            ln_likelihood: fit.ln_likelihood,
            iterations: fit.iterations,
            gradient_norm: fit.gradient_norm,
            stop: fit.stop,
            shrunk,
            customers,
            standard_errors: None,
        })
    }

    /// Mean value of an order over the population.
    pub fn population_mean(&self) -> f64 {
        self.mu
    }

    /// How many orders of a customer weigh as much as the population mean.
    pub fn orders_to_trust(&self) -> f64 {
        self.k
    }

    /// Expected mean value of an order of a customer whose `x` repeat orders had this mean.
    pub fn expected_mean(&self, x: f64, mean: f64) -> f64 {
        if x == 0.0 { self.mu } else { (x * mean + self.k * self.mu) / (x + self.k) }
    }
}

/// The likelihood at `k`, maximised over mu and tau, which have closed forms.
struct Profile {
    mu: f64,
    ln_likelihood: f64,
    by_ln_k: f64,
}

impl Profile {
    fn at(rows: &[(f64, f64)], k: f64) -> Self {
        let n = rows.len() as f64;
        let (mut weights, mut weighted) = (0.0, 0.0);
        for &(x, mean) in rows {
            let weight = x / (x + k); // 1 / (1 + k / x)
            weights += weight;
            weighted += weight * mean;
        }
        let mu = weighted / weights;
        let (mut squares, mut by_k_squares, mut ln_weights, mut by_k_weights) = (0.0, 0.0, 0.0, 0.0);
        for &(x, mean) in rows {
            let weight = x / (x + k);
            let square = weight * (mean - mu) * (mean - mu);
            squares += square;
            by_k_squares += square / (x + k);
            ln_weights += weight.ln();
            by_k_weights += 1.0 / (x + k);
        }
        let least = LEAST_DEVIATION * mu.abs().max(LEAST_DEVIATION);
        let variance = (squares / n).max(least * least);
        let ln_likelihood = -0.5 * (n * (std::f64::consts::TAU * variance).ln() + squares / variance - ln_weights);
        let by_ln_k = 0.5 * k * (by_k_squares / variance - by_k_weights);
        Self { mu, ln_likelihood, by_ln_k }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fitting::assert_gradient;
    use super::*;

    /// Customers whose means are 20 plus one of two levels ± a deviation that falls with the root of x.
    fn spends(between: f64, within: f64) -> Vec<Spend> {
        let mut spends = Vec::new();
        for x in [1.0, 4.0, 16.0] {
            for side in [-1.0, 1.0] {
                for noise in [-1.0, 1.0] {
                    let spend = Spend::new(x, 20.0 + side * between + noise * within / f64::sqrt(x)).unwrap();
                    spends.extend([spend; 50]);
                }
            }
        }
        spends
    }

    #[test]
    fn the_gradient_agrees_with_differences() {
        let rows: Vec<_> = spends(30.0, 60.0).iter().map(|spend| (spend.x(), spend.mean())).collect();
        let objective = |point: &[f64], gradient: &mut [f64]| {
            let profile = Profile::at(&rows, point[0].exp());
            gradient[0] = profile.by_ln_k;
            profile.ln_likelihood
        };
        assert_gradient(&objective, &[vec![0.0], vec![2.0], vec![-4.0]]);
    }

    #[test] // the variances are between² + within² / x exactly, so the likelihood is highest at their ratio
    fn the_ratio_of_variances_is_found() {
        let fitted = Credibility::fit(&spends(30.0, 60.0)).unwrap();
        assert!((fitted.params.orders_to_trust() / 4.0 - 1.0).abs() < 1e-6, "{fitted:?}");
        assert!((fitted.params.population_mean() - 20.0).abs() < 1e-9, "{fitted:?}");
        assert!((fitted.params.expected_mean(4.0, -80.0) - -30.0).abs() < 1e-4);
        assert_eq!(fitted.params.expected_mean(0.0, 1e9), fitted.params.population_mean());
        assert!(!fitted.shrunk);
    }

    #[test]
    fn few_or_equal_customers_are_shrunk_to_the_base() {
        let one = Credibility::fit(&[Spend::new(1.0, -50.0).unwrap()]).unwrap();
        assert!(one.shrunk && (one.params.population_mean() + 50.0).abs() < 1e-9);
        let two = Credibility::fit(&[Spend::new(1.0, -50.0).unwrap(), Spend::new(2.0, 250.0).unwrap()]).unwrap();
        let trusted = two.params.expected_mean(1.0, -50.0);
        assert!(two.shrunk && (trusted - two.params.population_mean()).abs() < 50.0, "{two:?} {trusted}");
        for equal in [0.0, 7.0, -1e12] {
            let fitted = Credibility::fit(&vec![Spend::new(3.0, equal).unwrap(); 40]).unwrap();
            assert!(fitted.shrunk && (fitted.params.expected_mean(3.0, equal) - equal).abs() <= 1e-9 * equal.abs());
            assert!(fitted.ln_likelihood.is_finite(), "{fitted:?}");
        }
        assert!(matches!(Credibility::fit(&[]), Err(BtydError::NoCustomers { .. })));
    }
}
