//! The Beta-geometric family: BG/NBD, MBG/NBD, and BG/CNBD-k and MBG/CNBD-k for customers who order at regular times.
//!
//! FHL = Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
//! Marketing Science 24(2), 275-284. BDF = Batislam, Denizel & Filiztekin (2007), International Journal of Research in
//! Marketing 24(3), 201-209. RPS = Reutterer, Platzer & Schröder (2021), "Leveraging purchase regularity for predicting
//! customer behavior the easy way", International Journal of Research in Marketing 38(1), 194-215. Symbols are the
//! papers': a customer's stages tick at rate λ ~ Gamma(r, alpha), every k-th is an order (k = 1 in all but the CNBD-k
//! models), and after each order they leave with chance p ~ Beta(a, b); in the modified (M) models after the first
//! order, too, so that a customer without a repeat order may have left.

mod terms;
#[cfg(test)]
mod tests;

use rand::RngCore;
use rand_distr::{Beta, Distribution, Exp1, Gamma};
use serde::{Deserialize, Serialize};

use super::beta_mean::mean_orders;
use super::fitting::Fitted;
use super::negative_binomial::NegativeBinomial;
use super::population::{Population, Recipe, Row, Terms};
use super::renewal::Renewal;
use super::{BtydError, Histories, LONGEST_MEDIAN_DAYS, OrdersProcess, Rfm, checked_parameter, median_by_bisection};
use crate::math::ln_beta_ratio;
use crate::math::special::logistic_of_minus;
pub(super) use terms::BetaGeometricTerms;

/// The largest k: beyond it a shop's customers order by the calendar.
pub const MOST_REGULAR: u32 = 12;

/// Population parameters `r`, `alpha` (in the unit of time; days after a fit), `a` and `b`, and the regularity k.
/// `AT_ZERO` says whether a customer may leave after the first order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Letters", into = "Letters")]
pub struct BetaGeometric<const AT_ZERO: bool> {
    r: f64,
    alpha: f64,
    a: f64,
    b: f64,
    k: u32,
}

/// BG/NBD, or BG/CNBD-k: nobody leaves before the first repeat order.
pub type BgNbd = BetaGeometric<false>;

/// MBG/NBD, or MBG/CNBD-k: some leave after their first order.
pub type MbgNbd = BetaGeometric<true>;

/// The stored form, checked on the way in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letters {
    r: f64,
    alpha: f64,
    a: f64,
    b: f64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    k: u32,
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_one(k: &u32) -> bool {
    *k == 1
}

impl<const AT_ZERO: bool> TryFrom<Letters> for BetaGeometric<AT_ZERO> {
    type Error = BtydError;

    fn try_from(stored: Letters) -> Result<Self, BtydError> {
        Self::regular(stored.k, [stored.r, stored.alpha, stored.a, stored.b])
    }
}

impl<const AT_ZERO: bool> From<BetaGeometric<AT_ZERO>> for Letters {
    fn from(model: BetaGeometric<AT_ZERO>) -> Self {
        let BetaGeometric { r, alpha, a, b, k } = model;
        Self { r, alpha, a, b, k }
    }
}

impl<const AT_ZERO: bool> BetaGeometric<AT_ZERO> {
    /// Names of the parameters, as the papers write them.
    pub const LETTERS: [&'static str; 4] = ["r", "alpha", "a", "b"];

    const NAME: &'static str = if AT_ZERO { "MBG/NBD" } else { "BG/NBD" };

    /// The model at `[r, alpha, a, b]` with k = 1.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    pub fn new(parameters: [f64; 4]) -> Result<Self, BtydError> {
        Self::regular(1, parameters)
    }

    /// The model at `k` and `[r, alpha, a, b]`.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12, or `k` where it is not 1 to [`MOST_REGULAR`].
    pub fn regular(k: u32, parameters: [f64; 4]) -> Result<Self, BtydError> {
        for (name, value) in Self::LETTERS.into_iter().zip(parameters) {
            checked_parameter(Self::NAME, name, value)?;
        }
        if !(1..=MOST_REGULAR).contains(&k) {
            let (name, rule, found) = ("k", "1 to 12", f64::from(k));
            return Err(BtydError::BadParameter { model: Self::NAME, name, rule, found });
        }
        let [r, alpha, a, b] = parameters;
        Ok(Self { r, alpha, a, b, k })
    }

    /// `[r, alpha, a, b]`.
    pub fn parameters(&self) -> [f64; 4] {
        [self.r, self.alpha, self.a, self.b]
    }

    /// Stages to an order, k.
    pub fn regularity(&self) -> u32 {
        self.k
    }

    /// The maximum-likelihood model of a population, in days, with k = 1.
    ///
    /// # Errors
    /// When there are no customers, all ordered first on the last day, or no maximum was found even with the prior.
    pub fn fit(histories: &Histories) -> Result<Fitted<Self>, BtydError> {
        Self::fit_regular(1, histories)
    }

    /// The maximum-likelihood model of a population at this `k`.
    ///
    /// # Errors
    /// As [`Self::fit`], and where `k` is not 1 to [`MOST_REGULAR`], or is above 1 while the gaps between orders are
    /// unknown ([`Histories::with_ln_gaps`]).
    pub fn fit_regular(k: u32, histories: &Histories) -> Result<Fitted<Self>, BtydError> {
        Self::regular(k, [1.0; 4])?;
        let terms = BetaGeometricTerms::<AT_ZERO> { k };
        Self::recipe(k).fit(&terms, histories, |p| Self::regular(k, p))
    }

    pub(super) fn recipe(k: u32) -> Recipe<4> {
        Recipe {
            model: Self::NAME,
            powers: [0, 1, 0, 0],
            starts: |orders| {
                let start = |r: f64, a: f64, b: f64| [r, r / orders, a, b];
                vec![start(0.5, 1.0, 3.0), start(2.0, 0.2, 2.0), start(0.2, 2.0, 8.0)]
            },
            regularity: k,
        }
    }

    /// Log-likelihood of a whole population, in nats: FHL section 4.2, with the gaps of the orders where k > 1 and
    /// they are known.
    pub fn total_ln_likelihood(&self, histories: &Histories) -> f64 {
        let gaps = (f64::from(self.k) - 1.0) * histories.ln_gaps().unwrap_or(0.0);
        Population::new(histories, 1.0).value(&self.terms(), self.parameters()) + gaps
    }

    pub(super) fn terms(&self) -> BetaGeometricTerms<AT_ZERO> {
        BetaGeometricTerms { k: self.k }
    }

    /// What is known of a customer at `T`: the chance of being alive, and the rates of those who are.
    pub(super) fn at_t(&self, history: &Rfm) -> Known {
        let row = Row::of(history);
        let terms = self.terms();
        let ln_odds = terms.ln_odds_left(self.parameters(), &row).unwrap_or(f64::NEG_INFINITY);
        let silence = (row.t - row.t_x) / (self.alpha + row.t);
        let ln_stages = terms.ln_stages(self.r, row.x, silence);
        Known {
            alive: logistic_of_minus(ln_odds - ln_stages),
            shape: self.r + f64::from(self.k) * history.x(),
            scale: self.alpha + history.t(),
            b: self.b + history.x() + f64::from(u8::from(AT_ZERO)),
        }
    }

    /// Of the orders of somebody at the start: the share of those who stay after the first, and their `b`.
    fn new_customer(&self) -> (f64, f64) {
        if AT_ZERO { (self.b / (self.a + self.b), self.b + 1.0) } else { (1.0, self.b) }
    }

    /// The weight of the stage after `stage`, over that of `stage`, of somebody alive at `T`: stages since the last order.
    pub(super) fn next_stage(&self, history: &Rfm, known: &Known, stage: u32) -> f64 {
        let y = (history.t() - history.t_x()) / known.scale;
        (known.shape + f64::from(stage)) / (f64::from(stage) + 1.0) * y
    }

    /// Weights of the stages 0 to k − 1 that somebody alive at `T` may be in since the last order.
    fn stages(&self, history: &Rfm, known: &Known) -> Vec<f64> {
        let mut weights = vec![1.0];
        for stage in 0..self.k - 1 {
            weights.push(weights[stage as usize] * self.next_stage(history, known, stage));
        }
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    /// Expected orders of those alive at `T`, whose chance to leave is Beta(`a`, b of `known`).
    pub(super) fn orders_of_alive(&self, a: f64, history: &Rfm, known: &Known, horizon: f64) -> f64 {
        let u = horizon / known.scale;
        if self.k == 1 {
            return mean_orders(a, known.b, known.shape, u);
        }
        let of_stage = |(j, weight): (usize, f64)| {
            weight * Renewal { k: self.k, stage: j as u32, shape: known.shape + j as f64, u }.mean_orders(a, known.b)
        };
        self.stages(history, known).into_iter().enumerate().map(of_stage).sum()
    }

    /// Probability of an order in the horizon of those alive at `T`.
    pub(super) fn share_with_order(&self, history: &Rfm, known: &Known, horizon: f64) -> f64 {
        let ln_none = -known.shape * (horizon / known.scale).ln_1p();
        if self.k == 1 {
            return -ln_none.exp_m1();
        }
        // The stages since the last order go on to T + horizon without the k-th.
        let silence = history.t() - history.t_x();
        let terms = self.terms();
        let at = |silence: f64, total: f64| terms.ln_stages(self.r, history.x(), silence / total);
        let ln_stages = at(silence + horizon, known.scale + horizon) - at(silence, known.scale);
        (-(ln_none + ln_stages).exp_m1()).max(0.0)
    }

    /// The median time to the next order of a customer alive with this probability, where k = 1 in closed form.
    pub(super) fn median(&self, history: &Rfm, known: &Known) -> Option<f64> {
        if known.alive <= 0.5 {
            return None;
        }
        if self.k > 1 {
            return median_by_bisection(|days| known.alive * self.share_with_order(history, known, days));
        }
        // 1 - alive (1 - (1 + m / (alpha + T))^-(r + x)) = 1/2, solved for m.
        let days = known.scale * (-(-0.5 / known.alive).ln_1p() / known.shape).exp_m1();
        (days <= LONGEST_MEDIAN_DAYS).then_some(days)
    }

    /// P(n orders in a time of `u` scales) from a stage, with a chance to leave of Beta(a, b): FHL eq. (8), RPS eq. (9).
    fn count_from_stage(&self, stage: u32, shape: f64, u: f64, b: f64, n: u32) -> f64 {
        let ticks = NegativeBinomial { shape, u };
        let (k, n_orders) = (u64::from(self.k), f64::from(n));
        let to_nth = (k * u64::from(n)).saturating_sub(u64::from(stage));
        let to_next = k * (u64::from(n) + 1) - u64::from(stage);
        let stayed = ln_beta_ratio(self.a, b, n_orders).exp() * ticks.between(to_nth, to_next);
        if n == 0 {
            return stayed;
        }
        let left =
            self.a / (self.a + b) * ln_beta_ratio(self.a + 1.0, b, n_orders - 1.0).exp() * ticks.at_least(to_nth);
        stayed + left
    }
}

/// A customer at `T`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub alive: f64,
    /// Of the rates of those alive.
    pub shape: f64,
    pub scale: f64,
    /// Of the chances to leave of those alive, Beta(a, b).
    pub b: f64,
}

impl<const AT_ZERO: bool> OrdersProcess for BetaGeometric<AT_ZERO> {
    /// FHL eq. (6), BDF eq. (3), RPS eq. (5) without the gaps, which are the same for all parameters.
    fn ln_likelihood(&self, history: &Rfm) -> f64 {
        self.terms().ln_likelihood(self.parameters(), history)
    }

    /// FHL eq. (8) at a horizon of 0, Fader & Hardie note 009 (2005); BDF eq. (5); RPS eq. (7).
    fn alive_probability(&self, history: &Rfm) -> f64 {
        self.at_t(history).alive
    }

    /// Those who leave do so at an order: a p-weighted mean of orders, which is a mean over Beta(a + 1, b).
    fn alive_probability_after(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        let leaving = self.a / (self.a + known.b) * self.orders_of_alive(self.a + 1.0, history, &known, horizon);
        known.alive * (1.0 - leaving).max(0.0)
    }

    /// Those who left order nothing; those alive order nothing while stages fall short of an order. Leaving has no part
    /// in it, for it can only follow an order.
    fn no_order_probability(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        1.0 - known.alive * self.share_with_order(history, &known, horizon)
    }

    /// FHL eq. (10) as an integral: [`super::beta_mean`]; where k > 1, [`super::renewal`].
    fn expected_orders(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        if known.alive == 0.0 {
            return 0.0;
        }
        known.alive * self.orders_of_alive(self.a, history, &known, horizon)
    }

    /// FHL eq. (9) as an integral; BDF eq. (6).
    fn expected_orders_of_new(&self, horizon: f64) -> f64 {
        let (stay, b) = self.new_customer();
        let u = horizon / self.alpha;
        stay * if self.k == 1 {
            mean_orders(self.a, b, self.r, u)
        } else {
            Renewal { k: self.k, stage: 0, shape: self.r, u }.mean_orders(self.a, b)
        }
    }

    fn count_probability_of_new(&self, horizon: f64, n: u32) -> f64 {
        let (stay, b) = self.new_customer();
        let left_at_once = if n == 0 { 1.0 - stay } else { 0.0 };
        left_at_once + stay * self.count_from_stage(0, self.r, horizon / self.alpha, b, n)
    }

    fn count_probability(&self, history: &Rfm, horizon: f64, n: u32) -> f64 {
        let known = self.at_t(history);
        let u = horizon / known.scale;
        let of_stage =
            |(j, weight): (usize, f64)| weight * self.count_from_stage(j as u32, known.shape + j as f64, u, known.b, n);
        let of_alive: f64 = self.stages(history, &known).into_iter().enumerate().map(of_stage).sum();
        let left = if n == 0 { 1.0 - known.alive } else { 0.0 };
        left + known.alive * of_alive
    }

    fn median_to_next_order(&self, history: &Rfm) -> Option<f64> {
        self.median(history, &self.at_t(history))
    }

    fn simulate(&self, t: f64, mut random: &mut dyn RngCore) -> Rfm {
        let rate = Gamma::new(self.r, 1.0 / self.alpha).expect("checked parameters").sample(&mut random);
        let p = Beta::new(self.a, self.b).expect("checked parameters").sample(&mut random);
        let mut leaves = || rand::Rng::random::<f64>(&mut random) < p;
        let mut alive = !(AT_ZERO && leaves());
        let mut orders = super::simulated::Orders::new(t);
        while alive {
            let stages: f64 = (0..self.k).map(|_| Distribution::<f64>::sample(&Exp1, &mut random)).sum();
            if !orders.add(stages / rate) {
                break;
            }
            alive = rand::Rng::random::<f64>(&mut random) >= p;
        }
        orders.history()
    }
}
