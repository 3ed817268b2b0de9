//! Gamma-Gamma: what an order of a customer is worth.
//!
//! FH = Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value", note 025; Fader, Hardie & Lee (2005),
//! Journal of Marketing Research 42, 415-430. Order values of one customer are Gamma(p, ν) with ν ~ Gamma(q, gamma)
//! across customers, independent of how often they order.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::fitting::{ENOUGH, Fitted, Prior, Search, search};
use super::spend::Spend;
use super::{BtydError, checked_parameter};
use crate::math::{Expansion, digamma, ln_gamma, ln_gamma_ratio, trigamma};

const NAME: &str = "Gamma-Gamma";

/// Customers to a chunk; chunks are added in order.
const CHUNK: usize = 4096;

/// More customers than these are searched on so many representatives first, and climbed whole from the best point.
const REPRESENTATIVES: usize = 256;

/// Population parameters `p`, `q` and `gamma` (in money).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Letters", into = "Letters")]
pub struct GammaGamma {
    p: f64,
    q: f64,
    gamma: f64,
}

/// The stored form, checked on the way in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letters {
    p: f64,
    q: f64,
    gamma: f64,
}

impl TryFrom<Letters> for GammaGamma {
    type Error = BtydError;

    fn try_from(stored: Letters) -> Result<Self, BtydError> {
        Self::new([stored.p, stored.q, stored.gamma])
    }
}

impl From<GammaGamma> for Letters {
    fn from(model: GammaGamma) -> Self {
        let [p, q, gamma] = model.parameters();
        Self { p, q, gamma }
    }
}

impl GammaGamma {
    /// The model at `[p, q, gamma]`.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    pub fn new(parameters: [f64; 3]) -> Result<Self, BtydError> {
        for (name, value) in ["p", "q", "gamma"].into_iter().zip(parameters) {
            checked_parameter(NAME, name, value)?;
        }
        let [p, q, gamma] = parameters;
        Ok(Self { p, q, gamma })
    }

    /// `[p, q, gamma]`.
    pub fn parameters(&self) -> [f64; 3] {
        [self.p, self.q, self.gamma]
    }

    /// The maximum-likelihood model over the customers with repeat orders of a positive mean value; others are not
    /// the model's and are passed over.
    ///
    /// # Errors
    /// When there is no such customer, or no maximum was found even with the prior.
    pub fn fit(spends: &[Spend]) -> Result<Fitted<Self>, BtydError> {
        let likelihood = Likelihood::new(spends);
        let customers = likelihood.rows.len() as u64;
        if customers == 0 {
            return Err(BtydError::NoCustomers { model: NAME });
        }
        let start = |p: f64, q: f64| vec![p.ln(), q.ln(), ((q - 1.0) / p).ln()]; // a population mean of 1
        let task = Search {
            model: NAME,
            customers,
            enough: customers >= ENOUGH,
            starts: vec![start(4.0, 4.0), start(1.0, 2.0), start(20.0, 12.0)],
            prior: Prior { centre: start(4.0, 4.0), deviation: 1.0 },
        };
        let few = (likelihood.rows.len() > REPRESENTATIVES).then(|| likelihood.represented(REPRESENTATIVES));
        let sketch = few.as_ref().map(|few| |point: &[f64]| few.expand(point));
        let found = search(&task, &|point| likelihood.expand(point), sketch)?;
        let [p, q, gamma] = exponentials(&found.fit.params);
        let values = [p, q, gamma * likelihood.unit];
        let ln_likelihood = found.fit.ln_likelihood - customers as f64 * likelihood.unit.ln();
        Ok(found.fitted(Self::new(values)?, &values, ln_likelihood, customers))
    }

    /// Log-likelihood in nats of a mean of `mean > 0` over `x >= 1` orders: FH eq. (1a), without its differences of
    /// powers.
    pub fn ln_likelihood(&self, x: f64, mean: f64) -> f64 {
        let Self { p, q, gamma } = *self;
        let (by_prior, by_data) = shares(gamma, x * mean, (x * mean).ln());
        ln_gamma_ratio(p * x, q) - ln_gamma(q) - mean.ln() - p * x * by_prior - q * by_data
    }

    /// Mean value of an order over the population, FH eq. (3); `None` where it is infinite, `q <= 1`.
    pub fn population_mean(&self) -> Option<f64> {
        (self.q > 1.0).then(|| self.p * self.gamma / (self.q - 1.0))
    }

    /// Expected mean value of an order of a customer whose `x` repeat orders had this mean, FH eq. (5); `None` where
    /// it is infinite, `p x + q <= 1`. A negative mean counts as 0, the least the model knows.
    pub fn expected_mean(&self, x: f64, mean: f64) -> Option<f64> {
        if x == 0.0 {
            return self.population_mean();
        }
        let Self { p, q, gamma } = *self;
        let weight = p * x + q - 1.0;
        (weight > 0.0).then(|| p * (gamma + x * mean.max(0.0)) / weight)
    }
}

fn exponentials(point: &[f64]) -> [f64; 3] {
    std::array::from_fn(|i| point[i].exp())
}

/// `ln (1 + gamma / spent)` and `ln (1 + spent / gamma)`: one logarithm, of the smaller share.
fn shares(gamma: f64, spent: f64, ln_spent: f64) -> (f64, f64) {
    let ln_ratio = gamma.ln() - ln_spent;
    if spent < gamma {
        let by_data = (spent / gamma).ln_1p();
        (by_data + ln_ratio, by_data)
    } else {
        let by_prior = (gamma / spent).ln_1p();
        (by_prior, by_prior - ln_ratio)
    }
}

/// The log-likelihood of a population over `ln [p, q, gamma]`, with money divided by its mean.
struct Likelihood {
    unit: f64,
    /// Sorted by x and mean.
    rows: Vec<Row>,
    /// Distinct x with the number of customers.
    counts: Vec<(f64, f64)>,
    /// Sum of the logarithms of the means.
    ln_means: f64,
}

/// Customers of equal x and nearly equal means.
#[derive(Clone, Copy)]
struct Row {
    x: f64,
    /// x times the mean.
    spent: f64,
    ln_spent: f64,
    customers: f64,
}

/// What FH eq. (1a) is made of beside the Gamma functions, and its derivatives, over all rows: Σ x ln (1 + gamma /
/// spent), Σ ln (1 + spent / gamma), and with g = 1 / (gamma + spent) Σ x g, Σ g, Σ x g² and Σ g².
type Sums = [f64; 6];

impl Likelihood {
    fn new(spends: &[Spend]) -> Self {
        let mut means: Vec<(f64, f64)> = spends
            .iter()
            .filter(|spend| spend.x() > 0.0 && spend.mean() > 0.0)
            .map(|spend| (spend.x(), spend.mean()))
            .collect();
        means.par_sort_unstable_by_key(|&(x, mean)| (x.to_bits(), mean.to_bits())); // positive: bits sort as values do
        let unit = means.iter().map(|&(_, mean)| mean).sum::<f64>() / means.len().max(1) as f64;
        let row = |&(x, mean): &(f64, f64)| {
            let spent = x * (mean / unit);
            Row { x, spent, ln_spent: spent.ln(), customers: 1.0 }
        };
        Self::of(means.iter().map(row).collect(), unit)
    }

    fn of(rows: Vec<Row>, unit: f64) -> Self {
        let mut counts: Vec<(f64, f64)> = Vec::new();
        let mut ln_means = 0.0;
        for row in &rows {
            ln_means += row.customers * (row.ln_spent - row.x.ln());
            match counts.last_mut() {
                Some((held, count)) if *held == row.x => *count += row.customers,
                _ => counts.push((row.x, row.customers)),
            }
        }
        Self { unit, rows, counts, ln_means }
    }

    /// About `n` rows that stand for all: of each run of neighbours the middle one, with the customers of the run.
    fn represented(&self, n: usize) -> Self {
        let run = self.rows.len().div_ceil(n).max(1);
        let of_run = |run: &[Row]| {
            let customers = run.iter().map(|row| row.customers).sum();
            Row { customers, ..run[run.len() / 2] }
        };
        Self::of(self.rows.chunks(run).map(of_run).collect(), self.unit)
    }

    fn expand(&self, point: &[f64]) -> Expansion {
        let [p, q, gamma] = exponentials(point);
        let add = |sums: Sums, more: Sums| -> Sums { std::array::from_fn(|i| sums[i] + more[i]) };
        let chunk = |rows: &[Row]| {
            rows.iter().fold([0.0; 6], |sums, &Row { x, spent, ln_spent, customers }| {
                let (by_prior, by_data) = shares(gamma, spent, ln_spent);
                let g = 1.0 / (gamma + spent);
                add(sums, [x * by_prior, by_data, x * g, g, x * g * g, g * g].map(|term| customers * term))
            })
        };
        let parts: Vec<Sums> = self.rows.par_chunks(CHUNK).map(chunk).collect();
        let [prior, data, x_g, g, x_gg, gg] = parts.into_iter().fold([0.0; 6], add);
        let customers: f64 = self.counts.iter().map(|&(_, count)| count).sum();
        let mut value = -self.ln_means - p * prior - q * data;
        let (mut by_p, mut by_q) = (-prior, -data);
        let (mut by_pp, mut by_pq, mut by_qq) = (0.0, 0.0, 0.0);
        // Σ spent / (gamma (gamma + spent)) = Σ 1 / gamma − g
        let spent_g = customers / gamma - g;
        let by_gamma = q * spent_g - p * x_g;
        let by_gamma_gamma = p * x_gg + q * (gg - customers / (gamma * gamma));
        for &(x, count) in &self.counts {
            let (top, top_slope) = (digamma(p * x + q), trigamma(p * x + q));
            value += count * (ln_gamma_ratio(p * x, q) - ln_gamma(q));
            by_p += count * x * (top - digamma(p * x));
            by_q += count * (top - digamma(q));
            by_pp += count * x * x * (top_slope - trigamma(p * x));
            by_pq += count * x * top_slope;
            by_qq += count * (top_slope - trigamma(q));
        }
        let values = [p, q, gamma];
        let slopes = [by_p, by_q, by_gamma];
        let curvatures = [[by_pp, by_pq, -x_g], [by_pq, by_qq, spent_g], [-x_g, spent_g, by_gamma_gamma]];
        // over the logarithms
        let gradient: Vec<f64> = (0..3).map(|i| values[i] * slopes[i]).collect();
        let of_logs =
            |i: usize, j: usize| values[i] * values[j] * curvatures[i][j] + if i == j { gradient[i] } else { 0.0 };
        let hessian = (0..3).map(|i| (0..3).map(|j| of_logs(i, j)).collect()).collect();
        Expansion { value, gradient, hessian }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, Gamma};

    use super::super::fitting::assert_expansion;
    use super::*;

    /// Customers of the model itself.
    fn spends(n: u32) -> Vec<Spend> {
        let [p, q, gamma] = TRUTH;
        let mut random = ChaCha8Rng::seed_from_u64(25);
        let rates = Gamma::new(q, 1.0 / gamma).unwrap();
        (0..n)
            .map(|i| {
                let x = f64::from(1 + i % 5);
                // The mean of x Gamma(p, rate) values is Gamma(p x, rate x).
                let mean = Gamma::new(p * x, 1.0 / (x * rates.sample(&mut random))).unwrap().sample(&mut random);
                Spend::new(x, mean).unwrap()
            })
            .collect()
    }

    const TRUTH: [f64; 3] = [6.25, 3.74, 15.44];

    #[test]
    fn the_parameters_that_made_the_data_come_back() {
        let fitted = GammaGamma::fit(&spends(20_000)).unwrap();
        assert!(!fitted.shrunk && fitted.stop.is_maximum(), "{fitted:?}");
        for (got, truth) in fitted.params.parameters().into_iter().zip(TRUTH) {
            // Four standard errors: golden's at 9,450 customers are 6, 2.5 and 9 %.
            assert!((got / truth - 1.0).abs() < 0.25, "{fitted:?}");
        }
        let base = fitted.params.population_mean().unwrap();
        assert!((base / 35.219 - 1.0).abs() < 0.02, "{base}"); // p gamma / (q - 1)
    }

    #[test]
    fn the_gradient_agrees_with_differences() {
        let likelihood = Likelihood::new(&spends(300));
        let points = [[1.8, 1.3, -0.5], [0.0, 0.0, 0.0], [3.0, -2.0, 2.0], [-2.0, 4.0, -3.0]];
        assert_expansion(&|p| likelihood.expand(p), &points.map(|p| p.to_vec()));
    }

    #[test]
    fn the_fit_tells_its_likelihood_in_money() {
        let spends = spends(300);
        let fitted = GammaGamma::fit(&spends).unwrap();
        let summed: f64 = spends.iter().map(|spend| fitted.params.ln_likelihood(spend.x(), spend.mean())).sum();
        assert!((fitted.ln_likelihood / summed - 1.0).abs() < 1e-12, "{fitted:?}, not {summed}");
    }

    #[test]
    fn few_customers_are_shrunk_and_say_so() {
        for n in [1, 2, 3, 10] {
            let fitted = GammaGamma::fit(&spends(n)).unwrap();
            assert!(fitted.shrunk && fitted.params.population_mean().is_some(), "{fitted:?}");
        }
        // Order values without any spread: p rises forever, faster than a weak prior holds it.
        let equal = vec![Spend::new(2.0, 9.99).unwrap(); 100];
        assert!(matches!(GammaGamma::fit(&equal), Err(BtydError::NoMaximum { customers: 100, .. })));
        assert!(matches!(GammaGamma::fit(&[]), Err(BtydError::NoCustomers { .. })));
        assert!(matches!(GammaGamma::fit(&[Spend::new(3.0, 0.0).unwrap()]), Err(BtydError::NoCustomers { .. })));
    }

    #[test]
    fn an_infinite_mean_is_none() {
        let model = GammaGamma::new([0.5, 0.4, 10.0]).unwrap();
        assert_eq!((model.population_mean(), model.expected_mean(0.0, 0.0)), (None, None));
        assert_eq!(model.expected_mean(1.0, 5.0), None);
        let exists = model.expected_mean(2.0, 5.0).unwrap(); // 0.5 * (10 + 2 * 5) / (0.5 * 2 + 0.4 - 1)
        assert!((exists - 25.0).abs() < 1e-12, "{exists}");
    }
}
