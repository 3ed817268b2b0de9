//! Orders at Gamma-distributed rates over a lifetime that nobody sees end: what Pareto/NBD and GGom/NBD share.
//!
//! A customer orders at rate λ ~ Gamma(r, alpha) until the end of a lifetime with survival S and density f. With x
//! orders, the last at t_x, seen up to T, the likelihood is
//!
//! ```text
//! Γ(r + x) / Γ(r) · alpha^r · [ (alpha + T)^−(r + x) S(T) + ∫ (alpha + τ)^−(r + x) f(τ) dτ ],   τ in (t_x, T),
//! ```
//!
//! Schmittlein, Morrison & Colombo (1987), Management Science 33(1), 1-24; Fader & Hardie (2005), "A Note on Deriving
//! the Pareto/NBD Model and Related Expressions"; Bemmaor & Glady (2012), Management Science 58(5), 1012-1021. The
//! second term is positive and is integrated as it stands. Those alive at T have rates Gamma(r + x, alpha + T) and what
//! is left of their lifetimes has a distribution of the same family.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use rand::RngCore;
use rand_distr::{Distribution, Exp1, Gamma};
use serde::{Deserialize, Serialize};

use super::fitting::Fitted;
use super::negative_binomial::NegativeBinomial;
use super::peaked::integral_of_peak;
use super::population::{Population, Recipe, Row, Terms, alive_or_left};
use super::simulated::Orders;
use super::{BtydError, Histories, LONGEST_MEDIAN_DAYS, OrdersProcess, Rfm, checked_parameter};
use crate::math::special::logistic_of_minus;
use crate::math::{Jet, Number};

/// A distribution of lifetimes, with the two parameters of the rates before its own: `[r, alpha, ...]`.
pub trait Lifetime<const K: usize>: Copy + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Name of the model.
    const NAME: &'static str;
    /// Names of the parameters, as the papers write them.
    const LETTERS: [&'static str; K];
    /// Power of time in each parameter.
    const POWERS: [i32; K];

    /// The distribution at the parameters of the model.
    fn of(parameters: &[f64; K]) -> Self;
    /// Where a fit begins, given the repeat orders of a customer in the unit of time.
    fn starts(orders_per_unit: f64) -> Vec<[f64; K]>;
    /// `ln S(t)`.
    fn ln_survival<N: Number>(parameters: [N; K], t: f64) -> N;
    /// `ln` of the odds of having left in `(t_x, T)`, `T > t_x`, against being alive.
    fn ln_odds_left<N: Number>(parameters: [N; K], x: f64, t_x: f64, t: f64) -> N;
    /// `ln S(t)` and, where `t > t_x`, `ln` of the odds of having left, with their derivatives over the parameters. Written
    /// out where it is what most of a fit consists of.
    fn expanded(parameters: [f64; K], x: f64, t_x: f64, t: f64) -> (Jet<K>, Option<Jet<K>>) {
        let p = std::array::from_fn(|i| Jet::parameter(i, parameters[i]));
        (Self::ln_survival(p, t), (t > t_x).then(|| Self::ln_odds_left(p, x, t_x, t)))
    }
    /// What is left of the lifetimes of those who live at `t`.
    fn after(self, t: f64) -> Self;
    /// `ln S(t)` of this distribution.
    fn ln_survives(self, t: f64) -> f64;
    /// `ln f(t)`.
    fn ln_density(self, t: f64) -> f64;
    /// Time within which survival and hazard are smooth: their nearest singularity lies further away.
    fn smooth_within(self) -> f64;
    /// Whether [`Self::mean_life`] is a formula rather than an integral.
    const MEAN_LIFE_IS_CLOSED: bool;
    /// Expected life up to `t`: the integral of S.
    fn mean_life(self, t: f64) -> f64;
    /// `ln` of the probability of an end before `t`, and before an order, at rates Gamma(`shape`, `scale`), `t > 0`.
    fn ln_leaves_first(self, shape: f64, scale: f64, t: f64) -> f64;
    /// Probability of an order before `t`, and before the end, at rates Gamma(`shape`, `scale`), `t > 0`.
    fn share_with_order(self, shape: f64, scale: f64, t: f64) -> f64;
    /// A lifetime drawn by its survival, which is uniform in (0, 1].
    fn at_survival(self, survival: f64) -> f64;
}

/// A model at its `K` parameters `[r, alpha, ...]`, in the unit of time; days after a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>", into = "BTreeMap<String, f64>")]
#[serde(bound = "")]
pub struct Nbd<L: Lifetime<K>, const K: usize> {
    parameters: [f64; K],
    lifetime: PhantomData<L>,
}

impl<L: Lifetime<K>, const K: usize> TryFrom<BTreeMap<String, f64>> for Nbd<L, K> {
    type Error = BtydError;

    fn try_from(stored: BTreeMap<String, f64>) -> Result<Self, BtydError> {
        if let Some(letter) = stored.keys().find(|letter| !L::LETTERS.contains(&letter.as_str())) {
            return Err(BtydError::UnknownLetter { model: L::NAME, letter: letter.clone() });
        }
        // A parameter that is missing is NaN, which is refused by name.
        Self::new(L::LETTERS.map(|letter| stored.get(letter).copied().unwrap_or(f64::NAN)))
    }
}

impl<L: Lifetime<K>, const K: usize> From<Nbd<L, K>> for BTreeMap<String, f64> {
    fn from(model: Nbd<L, K>) -> Self {
        L::LETTERS.into_iter().map(String::from).zip(model.parameters).collect()
    }
}

impl<L: Lifetime<K>, const K: usize> Nbd<L, K> {
    /// Names of the parameters, as the papers write them.
    pub const LETTERS: [&'static str; K] = L::LETTERS;

    /// The model at `[r, alpha, ...]`, in the order of [`Self::LETTERS`].
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    pub fn new(parameters: [f64; K]) -> Result<Self, BtydError> {
        for (name, value) in L::LETTERS.into_iter().zip(parameters) {
            checked_parameter(L::NAME, name, value)?;
        }
        Ok(Self { parameters, lifetime: PhantomData })
    }

    /// The parameters, in the order of [`Self::LETTERS`].
    pub fn parameters(&self) -> [f64; K] {
        self.parameters
    }

    /// The maximum-likelihood model of a population, in days.
    ///
    /// # Errors
    /// When there are no customers, all ordered first on the last day, or no maximum was found even with the prior.
    pub fn fit(histories: &Histories) -> Result<Fitted<Self>, BtydError> {
        let recipe = Recipe { model: L::NAME, powers: L::POWERS, starts: L::starts, regularity: 1 };
        recipe.fit(&NbdTerms::<L>(PhantomData), histories, Self::new)
    }

    /// Log-likelihood of a whole population, in nats.
    pub fn total_ln_likelihood(&self, histories: &Histories) -> f64 {
        Population::new(histories, 1.0).value(&NbdTerms::<L>(PhantomData), self.parameters)
    }

    /// What is known of a customer at `T`.
    pub(super) fn at_t(&self, history: &Rfm) -> Known<L> {
        let (x, t_x, t) = (history.x(), history.t_x(), history.t());
        let [r, alpha] = [self.parameters[0], self.parameters[1]];
        let alive = if t > t_x { logistic_of_minus(L::ln_odds_left(self.parameters, x, t_x, t)) } else { 1.0 };
        Known { alive, shape: r + x, scale: alpha + t, left: L::of(&self.parameters).after(t) }
    }

    /// The median time to the next order.
    pub(super) fn median(known: &Known<L>) -> Option<f64> {
        let Known { alive, shape, scale, left } = *known;
        if alive <= 0.5 {
            return None;
        }
        let goal = 0.5 / alive;
        // Without an end of life it would be this, which is too early. The probability of an order is concave in time,
        // so that each step of Newton's method ends before the median, and they never turn back.
        let mut days = scale * (-(-goal).ln_1p() / shape).exp_m1();
        for _ in 0..MOST_STEPS {
            if days > LONGEST_MEDIAN_DAYS {
                return None;
            }
            let missing = goal - left.share_with_order(shape, scale, days);
            let ln_density = (shape / scale).ln() - (shape + 1.0) * (days / scale).ln_1p() + left.ln_survives(days);
            let step = missing / ln_density.exp();
            if step.is_nan() || step <= 1e-12 * days {
                return Some(days);
            }
            days += step;
        }
        Some(days)
    }
}

/// Newton's method doubles the digits at each step; the limit is there for densities that underflow.
const MOST_STEPS: usize = 100;

/// A customer at `T`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<L> {
    pub alive: f64,
    /// Of the rates of those alive.
    pub shape: f64,
    pub scale: f64,
    /// Of their lives.
    pub left: L,
}

impl<L> Known<L> {
    /// Probability of an order in the horizon, of those alive, and their expected life in it.
    pub(super) fn outlook<const K: usize>(&self, horizon: f64) -> (f64, f64)
    where
        L: Lifetime<K>,
    {
        if horizon == 0.0 {
            return (0.0, 0.0);
        }
        let share = self.left.share_with_order(self.shape, self.scale, horizon).min(1.0);
        (share, self.left.mean_life(horizon))
    }
}

/// P(n orders in `horizon`) at rates Gamma(`shape`, `scale`): of those who live through it, and of those who do not.
fn count_probability<L: Lifetime<K>, const K: usize>(shape: f64, scale: f64, life: L, horizon: f64, n: u32) -> f64 {
    if horizon == 0.0 {
        return f64::from(u8::from(n == 0));
    }
    let ln_count = |t: f64| NegativeBinomial { shape, u: t / scale }.ln_probability(u64::from(n));
    let lived = (ln_count(horizon) + life.ln_survives(horizon)).exp();
    lived + integral_of_peak(|t| ln_count(t) + life.ln_density(t), horizon)
}

impl<L: Lifetime<K>, const K: usize> OrdersProcess for Nbd<L, K> {
    fn ln_likelihood(&self, history: &Rfm) -> f64 {
        NbdTerms::<L>(PhantomData).ln_likelihood(self.parameters, history)
    }

    fn alive_probability(&self, history: &Rfm) -> f64 {
        self.at_t(history).alive
    }

    fn alive_probability_after(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        known.alive * known.left.ln_survives(horizon).exp()
    }

    /// One less the probability that those alive order before they leave.
    fn no_order_probability(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        1.0 - known.alive * known.outlook(horizon).0
    }

    /// Orders at the mean rate of those alive over their expected life.
    fn expected_orders(&self, history: &Rfm, horizon: f64) -> f64 {
        let known = self.at_t(history);
        if known.alive == 0.0 { 0.0 } else { known.alive * known.shape / known.scale * known.left.mean_life(horizon) }
    }

    fn expected_orders_of_new(&self, horizon: f64) -> f64 {
        self.parameters[0] / self.parameters[1] * L::of(&self.parameters).mean_life(horizon)
    }

    fn count_probability_of_new(&self, horizon: f64, n: u32) -> f64 {
        count_probability(self.parameters[0], self.parameters[1], L::of(&self.parameters), horizon, n)
    }

    fn count_probability(&self, history: &Rfm, horizon: f64, n: u32) -> f64 {
        let Known { alive, shape, scale, left } = self.at_t(history);
        let of_left = if n == 0 { 1.0 - alive } else { 0.0 };
        of_left + alive * count_probability(shape, scale, left, horizon, n)
    }

    fn median_to_next_order(&self, history: &Rfm) -> Option<f64> {
        Self::median(&self.at_t(history))
    }

    fn simulate(&self, t: f64, mut random: &mut dyn RngCore) -> Rfm {
        let [r, alpha] = [self.parameters[0], self.parameters[1]];
        let rate = Gamma::new(r, 1.0 / alpha).expect("checked parameters").sample(&mut random);
        let end = L::of(&self.parameters).at_survival(1.0 - rand::Rng::random::<f64>(&mut random));
        let mut orders = Orders::new(t);
        let mut now = 0.0;
        loop {
            let gap: f64 = Distribution::<f64>::sample(&Exp1, &mut random) / rate;
            now += gap;
            if now >= end || !orders.add(gap) {
                return orders.history();
            }
        }
    }
}

/// The log-likelihood of the family.
pub(super) struct NbdTerms<L>(PhantomData<L>);

impl<L> Default for NbdTerms<L> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<L: Lifetime<K>, const K: usize> Terms<K> for NbdTerms<L> {
    fn of_count<N: Number>(&self, p: [N; K], x: f64) -> N {
        p[0].ln_gamma_ratio(x)
    }

    fn of_times<N: Number>(&self, p: [N; K], &Row { x, t_x, t, .. }: &Row) -> N {
        let [r, alpha] = [p[0], p[1]];
        let lived = L::ln_survival(p, t) - alpha.ln() * x - (r + x) * (N::constant(t) / alpha).ln_1p();
        if t > t_x { lived + L::ln_odds_left(p, x, t_x, t).softplus() } else { lived }
    }

    fn times_expanded(&self, p: [f64; K], &Row { x, t_x, t, .. }: &Row) -> Jet<K> {
        let [r, alpha] = [p[0], p[1]];
        let (mut base, ln_odds) = L::expanded(p, x, t_x, t);
        let (at_zero, at_end) = (1.0 / alpha, 1.0 / (alpha + t));
        let (grown, by_alpha) = ((t * at_zero).ln_1p(), at_end - at_zero);
        base.value -= x * alpha.ln() + (r + x) * grown;
        base.gradient[0] -= grown;
        base.gradient[1] -= x * at_zero + (r + x) * by_alpha;
        base.hessian[0][1] -= by_alpha;
        base.hessian[1][0] -= by_alpha;
        base.hessian[1][1] += x * at_zero * at_zero - (r + x) * (at_zero * at_zero - at_end * at_end);
        match ln_odds {
            Some(ln_odds) => alive_or_left(base, &ln_odds),
            None => base,
        }
    }
}
