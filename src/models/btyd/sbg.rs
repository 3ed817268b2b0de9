//! Shifted-beta-geometric: how long contracts are renewed.
//!
//! FH = Fader & Hardie (2007), "How to Project Customer Retention", Journal of Interactive Marketing 21(1), 76-90; (2010),
//! "Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring Heterogeneity", Marketing Science 29(1),
//! 85-93. Symbols are the papers': at the end of each period a customer cancels with chance θ ~ Beta(alpha, beta).

use rand::{Rng, RngCore};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::bg_bb::{MOST_PERIODS, discounted};
use super::fitting::{ENOUGH, Fitted, Prior, Search, search};
use super::{BtydError, checked_parameter};
use crate::math::{Expansion, Jet, Number, ln_beta_ratio};

const NAME: &str = "sBG";

/// Population parameters `alpha` and `beta`, without units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Letters", into = "Letters")]
pub struct ShiftedBetaGeometric {
    alpha: f64,
    beta: f64,
}

/// The stored form, checked on the way in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letters {
    alpha: f64,
    beta: f64,
}

impl TryFrom<Letters> for ShiftedBetaGeometric {
    type Error = BtydError;

    fn try_from(stored: Letters) -> Result<Self, BtydError> {
        Self::new([stored.alpha, stored.beta])
    }
}

impl From<ShiftedBetaGeometric> for Letters {
    fn from(model: ShiftedBetaGeometric) -> Self {
        let [alpha, beta] = model.parameters();
        Self { alpha, beta }
    }
}

/// Customers of one age: how many cancelled at its end, and how many were last seen, still paying, after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Contracts {
    /// Periods since the start, from 1.
    pub period: u32,
    /// Who cancelled at the end of this period.
    pub cancelled: f64,
    /// Who renewed at the end of this period, and of whom no more is known.
    pub renewed: f64,
}

impl ShiftedBetaGeometric {
    /// Names of the parameters, as the papers write them.
    pub const LETTERS: [&'static str; 2] = ["alpha", "beta"];

    /// The model at `[alpha, beta]`.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    pub fn new(parameters: [f64; 2]) -> Result<Self, BtydError> {
        for (name, value) in Self::LETTERS.into_iter().zip(parameters) {
            checked_parameter(NAME, name, value)?;
        }
        let [alpha, beta] = parameters;
        Ok(Self { alpha, beta })
    }

    /// `[alpha, beta]`.
    pub fn parameters(&self) -> [f64; 2] {
        [self.alpha, self.beta]
    }

    /// The maximum-likelihood model of a population.
    ///
    /// # Errors
    /// When a count is negative or not finite, a period is not 1 to 1,000,000, nobody is counted, or no maximum was found
    /// even with the prior.
    pub fn fit(population: &[Contracts]) -> Result<Fitted<Self>, BtydError> {
        let valid = |count: f64| count.is_finite() && count >= 0.0;
        for contracts in population {
            let Contracts { period, cancelled, renewed } = *contracts;
            if !(1..=MOST_PERIODS).contains(&period) || !valid(cancelled) || !valid(renewed) {
                return Err(BtydError::BadContracts { period, cancelled, renewed });
            }
        }
        let total = |count: fn(&Contracts) -> f64| population.iter().map(count).sum::<f64>();
        let (cancelled, renewed) = (total(|c| c.cancelled), total(|c| c.renewed));
        let customers = (cancelled + renewed) as u64;
        if customers == 0 {
            return Err(BtydError::NoCustomers { model: NAME });
        }
        let start = |alpha: f64, beta: f64| vec![alpha.ln(), beta.ln()];
        let task = Search {
            model: NAME,
            customers,
            enough: cancelled as u64 >= ENOUGH,
            starts: vec![start(1.0, 3.0), start(0.3, 0.5), start(3.0, 20.0)],
            prior: Prior { centre: start(1.0, 3.0), deviation: 1.5 },
        };
        let expand = |point: &[f64]| {
            let p: [Jet<2>; 2] = std::array::from_fn(|i| Jet::exp_of_parameter(i, point[i]));
            let sum = population.iter().fold(Jet::constant(0.0), |sum, contracts| {
                sum + ln_cancels(p, contracts.period) * contracts.cancelled
                    + ln_renews(p, contracts.period) * contracts.renewed
            });
            Expansion {
                value: sum.value,
                gradient: sum.gradient.to_vec(),
                hessian: sum.hessian.iter().map(|row| row.to_vec()).collect(),
            }
        };
        let found = search(&task, &expand, None::<fn(&[f64]) -> Expansion>)?;
        let values: [f64; 2] = std::array::from_fn(|i| found.fit.params[i].exp());
        let likelihood = found.fit.ln_likelihood;
        Ok(found.fitted(Self::new(values)?, &values, likelihood, customers))
    }

    /// Log-likelihood of a population in nats: FH (2007), appendix B.
    pub fn ln_likelihood(&self, population: &[Contracts]) -> f64 {
        let p = self.parameters();
        let of_one = |c: &Contracts| ln_cancels(p, c.period) * c.cancelled + ln_renews(p, c.period) * c.renewed;
        population.iter().map(of_one).sum()
    }

    /// P(a contract is cancelled at the end of this period, from 1), FH (2007) eq. (5).
    pub fn cancels(&self, period: u32) -> f64 {
        ln_cancels(self.parameters(), period.max(1)).exp()
    }

    /// S(period): P(a contract outlives so many periods), FH (2007) eq. (6).
    pub fn survival(&self, period: u32) -> f64 {
        ln_beta_ratio(self.alpha, self.beta, f64::from(period)).exp()
    }

    /// Probability of renewal at the end of a period, from 1, of those who are there: FH (2007) eq. (8).
    pub fn retention(&self, period: u32) -> f64 {
        let before = f64::from(period.max(1) - 1);
        (self.beta + before) / (self.alpha + self.beta + before)
    }

    /// Probability of cancelling within `periods` of a customer who has renewed `renewals` times: the churn score.
    pub fn churn_probability(&self, renewals: u32, periods: u32) -> f64 {
        -ln_beta_ratio(self.alpha, self.beta + f64::from(renewals), f64::from(periods)).exp_m1()
    }

    /// Expected renewals within the next `periods` of a customer who has renewed `renewals` times.
    ///
    /// # Errors
    /// When there are more than 1,000,000 periods.
    pub fn expected_renewals(&self, renewals: u32, periods: u32) -> Result<f64, BtydError> {
        if periods > MOST_PERIODS {
            return Err(BtydError::BadPeriods { periods });
        }
        Ok(self.survival_from(renewals).take(periods as usize).sum())
    }

    /// Renewals to come of a customer who has renewed `renewals` times, each discounted by `rate` a period: FH (2010)
    /// eq. (6). Times the price it is the discounted expected residual lifetime value.
    ///
    /// # Errors
    /// When the rate is not 1e-4 to 1e4: below, the sum runs over more periods than a history can hold.
    pub fn discounted_renewals(&self, renewals: u32, rate: f64) -> Result<f64, BtydError> {
        discounted(self.survival_from(renewals), rate)
    }

    fn survival_from(&self, renewals: u32) -> impl Iterator<Item = f64> {
        let (alpha, beta) = (self.alpha, self.beta + f64::from(renewals));
        (0..MOST_PERIODS).scan(1.0, move |alive, i| {
            *alive *= (beta + f64::from(i)) / (alpha + beta + f64::from(i));
            Some(*alive)
        })
    }

    /// The period at whose end a customer of the model cancels; `None` where that is after `periods`.
    pub fn simulate(&self, periods: u32, mut random: &mut dyn RngCore) -> Option<u32> {
        let theta = Beta::new(self.alpha, self.beta).expect("checked parameters").sample(&mut random);
        (1..=periods).find(|_| random.random::<f64>() < theta)
    }
}

/// `ln P(T = period)`.
fn ln_cancels<N: Number>([alpha, beta]: [N; 2], period: u32) -> N {
    let before = f64::from(period - 1);
    ln_renews([alpha, beta], period - 1) + alpha.ln() - (alpha + beta + before).ln()
}

/// `ln S(period)`.
fn ln_renews<N: Number>([alpha, beta]: [N; 2], period: u32) -> N {
    let n = f64::from(period);
    beta.ln_gamma_ratio(n) - (alpha + beta).ln_gamma_ratio(n)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_parameters_that_made_the_data_come_back() {
        let truth = [0.67, 3.8];
        let model = ShiftedBetaGeometric::new(truth).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(2007);
        let population: Vec<Contracts> = (0..20_000)
            .map(|_| match model.simulate(8, &mut random) {
                Some(period) => Contracts { period, cancelled: 1.0, renewed: 0.0 },
                None => Contracts { period: 8, cancelled: 0.0, renewed: 1.0 },
            })
            .collect();
        let fitted = ShiftedBetaGeometric::fit(&population).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk, "{fitted:?}");
        let errors = fitted.standard_errors.unwrap();
        for ((got, want), error) in fitted.params.parameters().into_iter().zip(truth).zip(errors) {
            assert!((got - want).abs() < 4.0 * error && error < 0.1 * want, "{got}, {want}, {error}");
        }
    }

    #[test]
    fn chances_add_up() {
        let model = ShiftedBetaGeometric::new([0.67, 3.8]).unwrap();
        let gone: f64 = (1..=30).map(|period| model.cancels(period)).sum();
        assert!((gone + model.survival(30) - 1.0).abs() < 1e-13);
        let retained: f64 = (1..=30).map(|period| model.retention(period)).product();
        assert!((retained / model.survival(30) - 1.0).abs() < 1e-13);
        assert!((model.churn_probability(4, 3) + model.survival(7) / model.survival(4) - 1.0).abs() < 1e-13);
        let renewals = (1..=5).map(|i| model.survival(4 + i) / model.survival(4)).sum::<f64>();
        assert!((model.expected_renewals(4, 5).unwrap() / renewals - 1.0).abs() < 1e-13);
    }

    #[test] // mpmath 1.4.1, 30 digits: quad over theta of (1 - theta) / (d + theta) and its Beta density
    fn discounted_renewals_agree_with_high_precision_values() {
        for (parameters, renewals, rate, want) in [
            ([0.67, 3.8], 0, 0.1, 4.9107827308411444),
            ([0.67, 3.8], 4, 0.01, 27.217122572930947),
            ([3.0, 20.0], 2, 0.5, 1.4434627439705032),
        ] {
            let got = ShiftedBetaGeometric::new(parameters).unwrap().discounted_renewals(renewals, rate).unwrap();
            assert!((got / want - 1.0).abs() < 1e-11, "{parameters:?}, {renewals}, {rate}: {got}, not {want}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_tells_nothing_is_shrunk() {
        let contracts = |period, cancelled, renewed| Contracts { period, cancelled, renewed };
        for bad in [contracts(0, 1.0, 0.0), contracts(1, -1.0, 0.0), contracts(1, 1.0, f64::NAN)] {
            assert!(matches!(ShiftedBetaGeometric::fit(&[bad]), Err(BtydError::BadContracts { .. })), "{bad:?}");
        }
        assert!(matches!(ShiftedBetaGeometric::fit(&[]), Err(BtydError::NoCustomers { .. })));
        // One period: alpha and beta cannot be told apart. Nobody cancelled: nothing is known of it.
        assert!(ShiftedBetaGeometric::fit(&[contracts(1, 100.0, 900.0)]).unwrap().shrunk);
        assert!(ShiftedBetaGeometric::fit(&[contracts(3, 0.0, 900.0)]).unwrap().shrunk);
        let stored = serde_json::to_string(&ShiftedBetaGeometric::new([0.1 + 0.2, 1.0]).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<ShiftedBetaGeometric>(&stored).unwrap().parameters()[0], 0.1 + 0.2);
    }
}
