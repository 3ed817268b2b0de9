//! BG/BB: customers who at each of n opportunities may act once (a yearly donation, a monthly issue, an event).
//!
//! FHS = Fader, Hardie & Shang (2010), "Customer-Base Analysis in a Discrete-Time Noncontractual Setting", Marketing
//! Science 29(6), 1086-1108. Symbols are the paper's: those alive act with chance p ~ Beta(alpha, beta) and leave before
//! each opportunity with chance θ ~ Beta(gamma, delta).

#[cfg(test)]
mod tests;

use rand::{Rng, RngCore};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::fitting::{ENOUGH, Fitted, Prior, Search, search};
use super::{BtydError, checked_parameter};
use crate::math::special::logistic_of_minus;
use crate::math::{Expansion, Jet, Number, ln_beta_ratio, ln_gamma};

const NAME: &str = "BG/BB";

/// Most opportunities of a history, and most periods of a horizon: sums run over each of them.
pub const MOST_PERIODS: u32 = 1_000_000;

/// What one customer did at `n` opportunities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opportunities {
    x: u32,
    t_x: u32,
    n: u32,
}

impl Opportunities {
    /// Acted at `x` of `n` opportunities, the last time at the `t_x`-th.
    ///
    /// # Errors
    /// Unless `x <= t_x <= n <= 1,000,000` and `t_x` is 0 exactly where `x` is.
    pub fn new(x: u32, t_x: u32, n: u32) -> Result<Self, BtydError> {
        let broken = if n > MOST_PERIODS {
            Some("n is at most 1,000,000 opportunities")
        } else if t_x > n {
            Some("`t_x` is at most n opportunities")
        } else if x > t_x {
            Some("`x` is at most `t_x`: one act to an opportunity")
        } else if (x == 0) != (t_x == 0) {
            Some("`t_x` is 0 exactly where `x` is 0")
        } else {
            None
        };
        match broken {
            None => Ok(Self { x, t_x, n }),
            Some(rule) => Err(BtydError::BadHistory { x: x.into(), t_x: t_x.into(), t: n.into(), rule }),
        }
    }

    /// `(x, t_x, n)`.
    pub fn counts(&self) -> (u32, u32, u32) {
        (self.x, self.t_x, self.n)
    }
}

/// Population parameters `alpha`, `beta`, `gamma` and `delta`, without units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Letters", into = "Letters")]
pub struct BgBb {
    alpha: f64,
    beta: f64,
    gamma: f64,
    delta: f64,
}

/// The stored form, checked on the way in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letters {
    alpha: f64,
    beta: f64,
    gamma: f64,
    delta: f64,
}

impl TryFrom<Letters> for BgBb {
    type Error = BtydError;

    fn try_from(stored: Letters) -> Result<Self, BtydError> {
        Self::new([stored.alpha, stored.beta, stored.gamma, stored.delta])
    }
}

impl From<BgBb> for Letters {
    fn from(model: BgBb) -> Self {
        let [alpha, beta, gamma, delta] = model.parameters();
        Self { alpha, beta, gamma, delta }
    }
}

impl BgBb {
    /// Names of the parameters, as the paper writes them.
    pub const LETTERS: [&'static str; 4] = ["alpha", "beta", "gamma", "delta"];

    /// The model at `[alpha, beta, gamma, delta]`.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    pub fn new(parameters: [f64; 4]) -> Result<Self, BtydError> {
        for (name, value) in Self::LETTERS.into_iter().zip(parameters) {
            checked_parameter(NAME, name, value)?;
        }
        let [alpha, beta, gamma, delta] = parameters;
        Ok(Self { alpha, beta, gamma, delta })
    }

    /// `[alpha, beta, gamma, delta]`.
    pub fn parameters(&self) -> [f64; 4] {
        [self.alpha, self.beta, self.gamma, self.delta]
    }

    /// The maximum-likelihood model of a population: histories with the number of customers that share each.
    ///
    /// # Errors
    /// When there are no customers, none had an opportunity, or no maximum was found even with the prior.
    pub fn fit(population: &[(Opportunities, f64)]) -> Result<Fitted<Self>, BtydError> {
        let customers = population.iter().map(|&(_, count)| count).sum::<f64>() as u64;
        if customers == 0 {
            return Err(BtydError::NoCustomers { model: NAME });
        }
        if population.iter().all(|(history, _)| history.n == 0) {
            return Err(BtydError::NoTime { model: NAME, customers });
        }
        let active: f64 = population.iter().filter(|(history, _)| history.x > 0).map(|&(_, count)| count).sum();
        let start = |p: [f64; 4]| p.map(f64::ln).to_vec();
        let task = Search {
            model: NAME,
            customers,
            enough: active as u64 >= ENOUGH,
            starts: vec![start([1.0, 1.0, 0.5, 3.0]), start([0.5, 2.0, 1.0, 1.0]), start([3.0, 1.0, 2.0, 20.0])],
            prior: Prior { centre: start([1.0, 1.0, 0.5, 3.0]), deviation: 1.5 },
        };
        let expand = |point: &[f64]| {
            let p: [Jet<4>; 4] = std::array::from_fn(|i| Jet::exp_of_parameter(i, point[i]));
            let sum = population
                .iter()
                .fold(Jet::constant(0.0), |sum, &(history, count)| sum + ln_likelihood(p, history) * count);
            Expansion {
                value: sum.value,
                gradient: sum.gradient.to_vec(),
                hessian: sum.hessian.iter().map(|row| row.to_vec()).collect(),
            }
        };
        let found = search(&task, &expand, None::<fn(&[f64]) -> Expansion>)?;
        let values: [f64; 4] = std::array::from_fn(|i| found.fit.params[i].exp());
        let likelihood = found.fit.ln_likelihood;
        Ok(found.fitted(Self::new(values)?, &values, likelihood, customers))
    }

    /// Log-likelihood of one history in nats, of the order of acts: FHS eq. (5).
    pub fn ln_likelihood(&self, history: Opportunities) -> f64 {
        ln_likelihood(self.parameters(), history)
    }

    /// Probability of having been alive at the last opportunity, FHS eq. (10) less its last step.
    pub fn alive_probability(&self, history: Opportunities) -> f64 {
        match ln_odds_left(self.parameters(), history) {
            Some(ln_odds) => logistic_of_minus(ln_odds),
            None => 1.0,
        }
    }

    /// Probability of being alive at the next opportunity, n + 1: FHS eq. (10), and their table 6.
    pub fn alive_at_next(&self, history: Opportunities) -> f64 {
        self.alive_probability(history) * self.stays(history.n, 1)
    }

    /// P(alive `periods` after `n`), given alive at `n`: B(gamma, delta + n + periods) / B(gamma, delta + n).
    fn stays(&self, n: u32, periods: u32) -> f64 {
        ln_beta_ratio(self.gamma, self.delta + f64::from(n), f64::from(periods)).exp()
    }

    /// Chances of being alive 1, 2, 3 ... periods after `n`, given alive at `n`.
    fn survival(&self, n: u32) -> impl Iterator<Item = f64> {
        let (gamma, delta) = (self.gamma, self.delta + f64::from(n));
        (0..MOST_PERIODS).scan(1.0, move |alive, i| {
            *alive *= (delta + f64::from(i)) / (gamma + delta + f64::from(i));
            Some(*alive)
        })
    }

    /// Expected acts at the next `periods` opportunities: FHS eq. (13), as the sum it stands for.
    ///
    /// # Errors
    /// When there are more than 1,000,000 periods.
    pub fn expected_orders(&self, history: Opportunities, periods: u32) -> Result<f64, BtydError> {
        check_periods(periods)?;
        let p = (self.alpha + f64::from(history.x)) / (self.alpha + self.beta + f64::from(history.n));
        let lived: f64 = self.survival(history.n).take(periods as usize).sum();
        Ok(self.alive_probability(history) * p * lived)
    }

    /// Expected acts of a new customer at the first `periods` opportunities: FHS eq. (9).
    ///
    /// # Errors
    /// When there are more than 1,000,000 periods.
    pub fn expected_orders_of_new(&self, periods: u32) -> Result<f64, BtydError> {
        self.expected_orders(Opportunities { x: 0, t_x: 0, n: 0 }, periods)
    }

    /// Probability of no act at the next `periods` opportunities.
    ///
    /// # Errors
    /// When there are more than 1,000,000 periods.
    pub fn no_order_probability(&self, history: Opportunities, periods: u32) -> Result<f64, BtydError> {
        check_periods(periods)?;
        // The likelihood of the same history, silent for longer, over that of this one.
        let later = Opportunities { n: history.n + periods, ..history };
        let none = (self.ln_likelihood(later) - self.ln_likelihood(history)).exp();
        // Who has left does nothing: a difference of logarithms of a million terms may round below that.
        Ok(none.max(1.0 - self.alive_probability(history)).min(1.0))
    }

    /// Probability of exactly `x` acts of a new customer at `n` opportunities: FHS eq. (7).
    ///
    /// # Errors
    /// When there are more than 1,000,000 opportunities.
    pub fn count_probability_of_new(&self, n: u32, x: u32) -> Result<f64, BtydError> {
        check_periods(n)?;
        if x > n {
            return Ok(0.0);
        }
        let acts = |of: u32| {
            let (i, x) = (f64::from(of), f64::from(x));
            let choices = ln_gamma(i + 1.0) - ln_gamma(x + 1.0) - ln_gamma(i - x + 1.0);
            choices + ln_beta_ratio_both(self.alpha, self.beta, x, i - x)
        };
        let lived = (acts(n) + ln_beta_ratio(self.gamma, self.delta, f64::from(n))).exp();
        let left = |i: u32| (acts(i) + ln_beta_ratio_both(self.gamma, self.delta, 1.0, f64::from(i))).exp();
        Ok(lived + (x..n).map(left).sum::<f64>())
    }

    /// Acts from the next opportunity on, each discounted by `rate` a period: DERT, FHS eq. (14).
    ///
    /// # Errors
    /// When the rate is not 1e-4 to 1e4: below, the sum runs over more periods than a history can hold.
    pub fn discounted_orders(&self, history: Opportunities, rate: f64) -> Result<f64, BtydError> {
        let p = (self.alpha + f64::from(history.x)) / (self.alpha + self.beta + f64::from(history.n));
        Ok(self.alive_probability(history) * p * discounted(self.survival(history.n), rate)?)
    }

    /// The history of a customer of the model at `n` opportunities.
    ///
    /// # Errors
    /// When there are more than 1,000,000 opportunities.
    pub fn simulate(&self, n: u32, mut random: &mut dyn RngCore) -> Result<Opportunities, BtydError> {
        check_periods(n)?;
        let p = Beta::new(self.alpha, self.beta).expect("checked parameters").sample(&mut random);
        let theta = Beta::new(self.gamma, self.delta).expect("checked parameters").sample(&mut random);
        let mut history = Opportunities { x: 0, t_x: 0, n };
        for opportunity in 1..=n {
            if random.random::<f64>() < theta {
                break;
            }
            if random.random::<f64>() < p {
                (history.x, history.t_x) = (history.x + 1, opportunity);
            }
        }
        Ok(history)
    }
}

fn check_periods(periods: u32) -> Result<(), BtydError> {
    if periods <= MOST_PERIODS { Ok(()) } else { Err(BtydError::BadPeriods { periods }) }
}

/// `Σ survival_i / (1 + rate)^i` until what is left is less than 1e-16 of it.
pub(super) fn discounted(survival: impl Iterator<Item = f64>, rate: f64) -> Result<f64, BtydError> {
    const NOTHING: f64 = 1e-16;
    if !(1e-4..=1e4).contains(&rate) {
        return Err(BtydError::BadPeriodRate { rate });
    }
    let (mut sum, mut discount) = (0.0, 1.0);
    for alive in survival {
        discount /= 1.0 + rate;
        sum += alive * discount;
        // Survival never rises, so the rest is less than a geometric series.
        if alive * discount <= NOTHING * sum * rate {
            break;
        }
    }
    Ok(sum)
}

/// `ln (B(a + i, b + j) / B(a, b))`.
fn ln_beta_ratio_both(a: f64, b: f64, i: f64, j: f64) -> f64 {
    ln_beta_ratio(b, a, i) + ln_beta_ratio(a + i, b, j)
}

/// `ln (B(a + i, b + j) / B(a, b))` of numbers, by Gamma functions.
fn ln_beta_ratio_of<N: Number>(a: N, b: N, i: f64, j: f64) -> N {
    a.ln_gamma_ratio(i) + b.ln_gamma_ratio(j) - (a + b).ln_gamma_ratio(i + j)
}

/// `ln` of the likelihood of having lived to the end.
fn ln_lived<N: Number>([alpha, beta, gamma, delta]: [N; 4], Opportunities { x, n, .. }: Opportunities) -> N {
    let (x, n) = (f64::from(x), f64::from(n));
    ln_beta_ratio_of(alpha, beta, x, n - x) + ln_beta_ratio_of(gamma, delta, 0.0, n)
}

/// `ln` of the odds of having left after the last act against having lived to the end: the sum of FHS eq. (5), from its
/// last term, `left before n`, back to `left after t_x` by ratios of neighbours. `None` where the last act was at n.
fn ln_odds_left<N: Number>(p: [N; 4], history: Opportunities) -> Option<N> {
    let [alpha, beta, gamma, delta] = p;
    let Opportunities { x, t_x, n } = history;
    if t_x == n {
        return None;
    }
    let (acts, all) = (f64::from(x), f64::from(n));
    // Of the last term over having lived: the chance to act was not taken once less, the coin fell.
    let mut ln_term =
        (alpha + beta + (all - 1.0)).ln() - (beta + (all - 1.0 - acts)).ln() + gamma.ln() - (delta + (all - 1.0)).ln();
    let mut sum = N::constant(0.0);
    let first = ln_term;
    let mut scale = 0.0; // the sum is of terms over e^(first + scale), lest they overflow
    for i in (t_x..n).rev() {
        let above = ln_term.value() - first.value() - scale;
        if above > 100.0 {
            sum = sum * (-above).exp();
            scale += above;
        }
        sum = sum + (ln_term - first - scale).exp();
        if i > t_x {
            let i = f64::from(i);
            // From i to i − 1.
            ln_term = ln_term + (alpha + beta + (i - 1.0)).ln() - (beta + (i - 1.0 - acts)).ln()
                + (gamma + delta + i).ln()
                - (delta + (i - 1.0)).ln();
        }
    }
    Some(first + sum.ln() + scale)
}

fn ln_likelihood<N: Number>(p: [N; 4], history: Opportunities) -> N {
    let lived = ln_lived(p, history);
    ln_odds_left(p, history).map_or(lived, |ln_odds| lived + ln_odds.softplus())
}
