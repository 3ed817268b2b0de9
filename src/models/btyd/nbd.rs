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
    /// Expected life up to `t`: the integral of S.
    fn mean_life(self, t: f64) -> f64;
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
    /// Probability of an order in the horizon, of those alive, and their expected orders.
    pub(super) fn outlook<const K: usize>(&self, horizon: f64) -> (f64, f64)
    where
        L: Lifetime<K>,
    {
        if horizon == 0.0 {
            return (0.0, 0.0);
        }
        let share = self.left.share_with_order(self.shape, self.scale, horizon).min(1.0);
        (share, self.shape / self.scale * self.left.mean_life(horizon))
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
        if known.alive == 0.0 { 0.0 } else { known.alive * known.outlook(horizon).1 }
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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::super::population::assert_derivatives;
    use super::super::{GgomNbd, ParetoNbd};
    use super::*;

    /// Parameters; x, t_x, T and a horizon; ln L, P(alive), expected orders, those of a new customer, P(no order):
    /// tests/reference/ggom_nbd.py.
    #[allow(clippy::excessive_precision)] // all digits of the source
    const GGOM_VALUES: [([f64; 5], [f64; 4], [f64; 5]); 20] = [
        (
            [0.553, 10.578, 0.0002, 0.603, 0.0026],
            [0.0, 0.0, 38.86, 39.0],
            [
                -0.538067356143215698,
                0.316416840442150227,
                0.115164777246511594,
                1.25551464742206919,
                0.925519437316996712,
            ],
        ),
        (
            [0.553, 10.578, 0.0002, 0.603, 0.0026],
            [2.0, 30.43, 38.86, 39.0],
            [
                -9.50619605196817493,
                0.872656234748096255,
                1.46632068699318034,
                1.25551464742206919,
                0.404128127265599963,
            ],
        ),
        (
            [0.553, 10.578, 0.0002, 0.603, 0.0026],
            [1.0, 1.71, 38.86, 0.001],
            [
                -4.47999978701998765,
                0.182340579412777843,
                5.727846302995728e-6,
                0.0000522771010758290259,
                0.999994272301587421,
            ],
        ),
        (
            [0.553, 10.578, 0.0002, 0.603, 0.0026],
            [26.0, 30.86, 31.0, 520.0],
            [
                -39.0825554073024295,
                0.997983653805350159,
                122.354564541174189,
                5.70603177035852287,
                0.0231089895794102405,
            ],
        ),
        (
            [0.553, 10.578, 0.0002, 0.603, 0.0026],
            [400.0, 5.0, 6.0, 10.0],
            [
                891.949828972671945,
                1.11649992614884039e-8,
                2.35947533788812184e-6,
                0.435139217182769674,
                0.999999988849666444,
            ],
        ),
        (
            [0.8, 6.0, 0.05, 0.7, 0.4],
            [0.0, 0.0, 38.86, 39.0],
            [
                -0.713204552945214403,
                0.0587297531051669846,
                0.0216280017966892743,
                2.01954643918864366,
                0.98612331628917921,
            ],
        ),
        (
            [0.8, 6.0, 0.05, 0.7, 0.4],
            [2.0, 30.43, 38.86, 39.0],
            [
                -10.3613228402302162,
                0.651068466737380674,
                0.839175754766408044,
                2.01954643918864366,
                0.636130219036593354,
            ],
        ),
        (
            [0.8, 6.0, 0.05, 0.7, 0.4],
            [1.0, 1.71, 38.86, 0.001],
            [
                -3.82348954810350606,
                0.0234892150174945414,
                9.4248278076361873e-7,
                0.00013332750031595164,
                0.999999057546631412,
            ],
        ),
        (
            [0.8, 6.0, 0.05, 0.7, 0.4],
            [26.0, 30.86, 31.0, 520.0],
            [
                -36.5093721407916905,
                0.994104923291582296,
                19.4394829533867025,
                2.54503328948161734,
                0.0593768877540158424,
            ],
        ),
        (
            [0.8, 6.0, 0.05, 0.7, 0.4],
            [400.0, 5.0, 6.0, 10.0],
            [
                1032.81282808610002,
                3.7204760816460176e-13,
                9.47745596505168992e-11,
                0.944872067086082063,
                0.999999999999628654,
            ],
        ),
        (
            [1.5, 20.0, 0.3, 2.0, 50.0],
            [0.0, 0.0, 38.86, 39.0],
            [
                -0.576506108228790774,
                6.58794313105481949e-8,
                2.7989315221543802e-9,
                0.763229623826935399,
                0.999999997381770879,
            ],
        ),
        (
            [1.5, 20.0, 0.3, 2.0, 50.0],
            [2.0, 30.43, 38.86, 39.0],
            [
                -18.4577840057051668,
                0.00415796581106194507,
                0.000412192543336393938,
                0.763229623826935399,
                0.999633404323598674,
            ],
        ),
        (
            [1.5, 20.0, 0.3, 2.0, 50.0],
            [1.0, 1.71, 38.86, 0.001],
            [
                -3.58440477197918411,
                3.39887063113673547e-8,
                1.44319215325025847e-12,
                0.0000749995499576972162,
                0.999999999998556851,
            ],
        ),
        (
            [1.5, 20.0, 0.3, 2.0, 50.0],
            [26.0, 30.86, 31.0, 520.0],
            [
                -51.303962332806219,
                0.916892865251038319,
                0.826463186322071146,
                0.763229645311366633,
                0.569109486243264709,
            ],
        ),
        (
            [1.5, 20.0, 0.3, 2.0, 50.0],
            [400.0, 5.0, 6.0, 10.0],
            [
                709.848580194903543,
                0.0000429696075260392023,
                0.00353626709886119299,
                0.626286775910728912,
                0.999957216742631968,
            ],
        ),
        (
            [0.3, 2.0, 1.5, 0.05, 0.01],
            [0.0, 0.0, 38.86, 39.0],
            [
                -0.365544166324321925,
                0.0251143554608333523,
                0.00232663742657277916,
                1.50969740664854806,
                0.998225327020797715,
            ],
        ),
        (
            [0.3, 2.0, 1.5, 0.05, 0.01],
            [2.0, 30.43, 38.86, 39.0],
            [
                -11.630501527177285,
                0.457824194479024008,
                0.325171140578841799,
                1.50969740664854806,
                0.823410599837060238,
            ],
        ),
        (
            [0.3, 2.0, 1.5, 0.05, 0.01],
            [1.0, 1.71, 38.86, 0.001],
            [
                -4.31802422249929384,
                0.00960030890747194418,
                3.05431560850573796e-7,
                0.000149464698032571411,
                0.999999694577035147,
            ],
        ),
        (
            [0.3, 2.0, 1.5, 0.05, 0.01],
            [26.0, 30.86, 31.0, 520.0],
            [
                -36.4131688437396793,
                0.98895465924570687,
                10.5088919346109456,
                1.59495216663667074,
                0.0988797531988438329,
            ],
        ),
        (
            [0.3, 2.0, 1.5, 0.05, 0.01],
            [400.0, 5.0, 6.0, 10.0],
            [1209.23063831346745, 4.31243849726263966e-21, 1.5180537832355344e-18, 0.84452398613244151, 1.0],
        ),
    ];

    fn history(x: f64, t_x: f64, t: f64) -> Rfm {
        Rfm::new(x, t_x, t).unwrap()
    }

    fn sample() -> Histories {
        let customers: Vec<Rfm> = (0..300)
            .map(|i| {
                let (x, t) = (f64::from(i * i % 7), f64::from(50 + i % 90));
                history(x, if x == 0.0 { 0.0 } else { f64::from(i % 50 + 1) }, t)
            })
            .chain([history(0.0, 0.0, 0.0), history(3.0, 70.0, 70.0), history(400.0, 5.0, 90.0)])
            .collect();
        Histories::new(&customers)
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let histories = sample();
        let points = [[-0.6, 0.4, -0.5, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 2.0, 4.0], [-2.0, 2.0, 1.0, -2.0]];
        assert_derivatives(&NbdTerms::<super::super::pareto_nbd::Pareto>(PhantomData), &histories, &points);
        let points = [[-0.6, 0.4, 0.1, -0.5, 0.5], [0.0, 0.0, -3.0, 0.0, -2.0], [1.0, -1.0, 1.5, 1.0, 3.0]];
        assert_derivatives(&NbdTerms::<super::super::ggom_nbd::Gompertz>(PhantomData), &histories, &points);
    }

    #[test]
    fn the_total_is_the_sum_over_customers() {
        let histories = sample();
        let model = ParetoNbd::new([0.6, 40.0, 0.9, 30.0]).unwrap();
        let summed: f64 = histories.rows().iter().map(|(h, count)| count * model.ln_likelihood(h)).sum();
        assert!((model.total_ln_likelihood(&histories) / summed - 1.0).abs() < 1e-13);
    }

    #[test] // mpmath 1.4.1, 40 digits
    fn ggom_agrees_with_high_precision_values() {
        for (p, [x, t_x, t, horizon], [ln_likelihood, alive, orders, of_new, none]) in GGOM_VALUES {
            let model = GgomNbd::new(p).unwrap();
            let customer = history(x, t_x, t);
            for (got, want, what) in [
                (model.ln_likelihood(&customer), ln_likelihood, "ln L"),
                (model.alive_probability(&customer), alive, "alive"),
                (model.expected_orders(&customer, horizon), orders, "orders"),
                (model.expected_orders_of_new(horizon), of_new, "orders of new"),
                (model.no_order_probability(&customer, horizon), none, "no order"),
            ] {
                let near = (got - want).abs() <= (1e-11 * want.abs()).max(1e-15);
                assert!(near, "{p:?}, {customer:?}, {what}: {got:e}, not {want:e}");
            }
        }
    }

    #[test] // Bemmaor & Glady (2012), section 2: b to 0 with beta / b held
    fn ggom_without_ageing_is_pareto() {
        let pareto = ParetoNbd::new([0.553, 10.578, 0.606, 11.669]).unwrap();
        let b = 1e-9;
        let ggom = GgomNbd::new([0.553, 10.578, b, 0.606, 11.669 * b]).unwrap();
        for (x, t_x, t) in [(0.0, 0.0, 38.86), (2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (400.0, 5.0, 6.0)] {
            let customer = history(x, t_x, t);
            for (one, other) in [
                (ggom.ln_likelihood(&customer), pareto.ln_likelihood(&customer)),
                (ggom.alive_probability(&customer), pareto.alive_probability(&customer)),
                (ggom.expected_orders(&customer, 39.0), pareto.expected_orders(&customer, 39.0)),
                (ggom.no_order_probability(&customer, 39.0), pareto.no_order_probability(&customer, 39.0)),
                (ggom.count_probability(&customer, 39.0, 3), pareto.count_probability(&customer, 39.0, 3)),
            ] {
                // The difference is of the order of b times the time.
                assert!((one / other - 1.0).abs() < 1e-6, "{customer:?}: {one} {other}");
            }
        }
    }

    #[test]
    fn by_the_median_half_have_ordered() {
        let pareto = ParetoNbd::new([0.553, 10.578, 0.606, 11.669]).unwrap();
        let ggom = GgomNbd::new([0.8, 6.0, 0.05, 0.7, 0.4]).unwrap();
        let models: [&dyn OrdersProcess; 2] = [&pareto, &ggom];
        for model in models {
            let mut found = 0;
            for (x, t_x, t) in [(2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (132.0, 200.0, 200.0), (9.0, 38.0, 39.0)] {
                let customer = history(x, t_x, t);
                let Some(median) = model.median_to_next_order(&customer) else { continue };
                let none = model.no_order_probability(&customer, median);
                assert!((none - 0.5).abs() < 1e-10, "{customer:?}: {none} at {median}");
                found += 1;
            }
            assert!(found >= 3);
            assert_eq!(model.median_to_next_order(&history(1.0, 1.71, 38.86)), None); // hardly alive
        }
        assert_eq!(pareto.median_to_next_order(&history(0.0, 0.0, 0.0)), None); // never half
    }

    /// Everything that is foreseen of a new customer, against 400,000 simulated ones.
    #[test]
    fn what_is_foreseen_is_what_comes() {
        let pareto = ParetoNbd::new([0.8, 6.0, 0.7, 15.0]).unwrap();
        let ggom = GgomNbd::new([0.8, 6.0, 0.05, 0.7, 0.4]).unwrap();
        let models: [&dyn OrdersProcess; 2] = [&pareto, &ggom];
        for model in models {
            let mut random = ChaCha8Rng::seed_from_u64(1987);
            let n = 400_000;
            let orders: Vec<f64> = (0..n).map(|_| model.simulate(60.0, &mut random).x()).collect();
            let mean = orders.iter().sum::<f64>() / f64::from(n);
            let want = model.expected_orders_of_new(60.0);
            // Five standard errors of a mean whose deviation is about twice itself.
            assert!((mean / want - 1.0).abs() < 0.02, "{mean}, foreseen {want}");
            let mut total = 0.0;
            for count in 0..300 {
                let probability = model.count_probability_of_new(60.0, count);
                let seen = orders.iter().filter(|&&x| x == f64::from(count)).count() as f64 / f64::from(n);
                assert!((seen - probability).abs() < 5.0 * (probability / f64::from(n)).sqrt() + 1e-5, "{count}");
                total += f64::from(count) * probability;
            }
            assert!((total / want - 1.0).abs() < 1e-3, "{total}, foreseen {want}");
        }
    }

    #[test]
    fn data_that_carry_no_maximum_are_shrunk_and_say_so() {
        let silent: Vec<Rfm> = (0..1000).map(|i| history(0.0, 0.0, f64::from(1 + i % 300))).collect();
        let three = vec![history(2.0, 30.0, 90.0), history(0.0, 0.0, 40.0), history(1.0, 3.0, 60.0)];
        let same = vec![history(4.0, 90.0, 100.0); 500];
        for (name, customers) in [("silent", silent), ("three", three), ("same", same)] {
            let histories = Histories::new(&customers);
            let pareto = ParetoNbd::fit(&histories).unwrap();
            assert!(pareto.shrunk && pareto.stop.is_maximum(), "{name}: {pareto:?}");
            let ggom = GgomNbd::fit(&histories).unwrap();
            assert!(ggom.shrunk && ggom.stop.is_maximum(), "{name}: {ggom:?}");
        }
        assert!(matches!(ParetoNbd::fit(&Histories::default()), Err(BtydError::NoCustomers { .. })));
        let today = Histories::new(&[history(0.0, 0.0, 0.0); 9]);
        assert!(matches!(GgomNbd::fit(&today), Err(BtydError::NoTime { customers: 9, .. })));
    }

    #[test]
    fn parameters_are_stored_bit_for_bit_and_checked_on_the_way_in() {
        let model = ParetoNbd::new([0.1 + 0.2, 4.413_602_019_013_504, 0.792_922_017_225_597_6, 1e-12]).unwrap();
        let stored = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<ParetoNbd>(&stored).unwrap(), model);
        for damaged in [
            r#"{"r":-1.0,"alpha":1.0,"s":1.0,"beta":1.0}"#,
            r#"{"r":1.0,"alpha":1.0,"s":1.0}"#,
            r#"{"r":1.0,"alpha":1.0,"s":1.0,"beta":1.0,"b":1.0}"#,
        ] {
            assert!(serde_json::from_str::<ParetoNbd>(damaged).is_err(), "{damaged}");
        }
    }
}
