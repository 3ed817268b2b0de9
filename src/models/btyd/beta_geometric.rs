//! The Beta-geometric family: BG/NBD, MBG/NBD, and BG/CNBD-k and MBG/CNBD-k for customers who order at regular times.
//!
//! FHL = Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
//! Marketing Science 24(2), 275-284. BDF = Batislam, Denizel & Filiztekin (2007), International Journal of Research in
//! Marketing 24(3), 201-209. RPS = Reutterer, Platzer & Schröder (2021), "Leveraging purchase regularity for predicting
//! customer behavior the easy way", International Journal of Research in Marketing 38(1), 194-215. Symbols are the
//! papers': a customer's stages tick at rate λ ~ Gamma(r, alpha), every k-th is an order (k = 1 in all but the CNBD-k
//! models), and after each order they leave with chance p ~ Beta(a, b); in the modified (M) models after the first
//! order, too, so that a customer without a repeat order may have left.

use rand::RngCore;
use rand_distr::{Beta, Distribution, Exp1, Gamma};
use serde::{Deserialize, Serialize};

use super::beta_mean::mean_orders;
use super::fitting::Fitted;
use super::negative_binomial::NegativeBinomial;
use super::population::{Population, Recipe, Row, Terms, alive_or_left};
use super::renewal::Renewal;
use super::{BtydError, Histories, LONGEST_MEDIAN_DAYS, OrdersProcess, Rfm, checked_parameter, median_by_bisection};
use crate::math::special::logistic_of_minus;
use crate::math::{Jet, Number, ln_beta_ratio, ln_gamma};

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

    /// Weights of the stages 0 to k − 1 that somebody alive at `T` may be in since the last order.
    fn stages(&self, history: &Rfm, known: &Known) -> Vec<f64> {
        let y = (history.t() - history.t_x()) / known.scale;
        let mut weights = vec![1.0];
        for j in 1..self.k {
            let last = weights[weights.len() - 1];
            weights.push(last * (known.shape + f64::from(j) - 1.0) / f64::from(j) * y);
        }
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    /// Expected orders of those alive at `T`, whose chance to leave is Beta(`a`, b of `known`).
    fn orders_of_alive(&self, a: f64, history: &Rfm, known: &Known, horizon: f64) -> f64 {
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

/// The log-likelihood of the family.
pub(super) struct BetaGeometricTerms<const AT_ZERO: bool> {
    pub k: u32,
}

impl<const AT_ZERO: bool> BetaGeometricTerms<AT_ZERO> {
    /// `ln` of the odds of having left after the last order against being alive in stage 0; `None` where nobody can
    /// have left: only a repeat order can be followed by leaving in the models that are not modified.
    fn ln_odds_left<N: Number>(&self, [r, alpha, a, b]: [N; 4], row: &Row) -> Option<N> {
        let coins = row.x + f64::from(u8::from(AT_ZERO)); // thrown so far
        if coins == 0.0 {
            return None;
        }
        let shape = r + f64::from(self.k) * row.x;
        Some((a / (b + (coins - 1.0))).ln() + shape * silent(alpha, row))
    }

    /// `ln` of the weight of all stages 0 to k − 1 against stage 0, of those alive after `x` orders and a silence of
    /// this share `y` of alpha + T.
    fn ln_stages<N: Number>(&self, r: N, x: f64, y: N) -> N {
        let mut sum = N::constant(0.0); // the weight less 1: Σ (r + k x)_j y^j / j!, inside out
        for j in (1..self.k).rev() {
            let factor = (r + (f64::from(self.k) * x + f64::from(j) - 1.0)) * y * (1.0 / f64::from(j));
            sum = factor * (sum + 1.0);
        }
        sum.ln_1p()
    }
}

/// `ln ((alpha + T) / (alpha + t_x))`.
fn silent<N: Number>(alpha: N, row: &Row) -> N {
    (N::constant(row.t - row.t_x) / (alpha + row.t_x)).ln_1p()
}

impl<const AT_ZERO: bool> Terms<4> for BetaGeometricTerms<AT_ZERO> {
    fn of_count<N: Number>(&self, [r, _, a, b]: [N; 4], x: f64) -> N {
        let coins = x + f64::from(u8::from(AT_ZERO)); // survived by those alive
        // ln (B(a, b + coins) / B(a, b)), with its derivatives
        let value = ln_beta_ratio(a.value(), b.value(), coins);
        let stayed = N::compose([a, b], value, || {
            let both = (a + b).ln_gamma_ratio_slopes(coins);
            let of_b = b.ln_gamma_ratio_slopes(coins);
            ([-both.0, of_b.0 - both.0], [[-both.1, -both.1], [-both.1, of_b.1 - both.1]])
        });
        r.ln_gamma_ratio(f64::from(self.k) * x) + stayed - x * ln_gamma(f64::from(self.k))
    }

    fn of_times<N: Number>(&self, p: [N; 4], row: &Row) -> N {
        let [r, alpha, ..] = p;
        let stages = f64::from(self.k) * row.x;
        let grown = (N::constant(row.t) / alpha).ln_1p();
        let value = -(alpha.ln() * stages) - (r + stages) * grown;
        let ln_odds = self.ln_odds_left(p, row);
        if self.k == 1 {
            return ln_odds.map_or(value, |ln_odds| value + ln_odds.softplus());
        }
        let ln_stages = self.ln_stages(r, row.x, N::constant(row.t - row.t_x) / (alpha + row.t));
        value + ln_stages + ln_odds.map_or(N::constant(0.0), |ln_odds| (ln_odds - ln_stages).softplus())
    }

    /// Written out where k = 1: this is what most of a fit consists of.
    fn times_expanded(&self, p: [f64; 4], row: &Row) -> Jet<4> {
        if self.k > 1 {
            return self.of_times(std::array::from_fn(|i| Jet::parameter(i, p[i])), row);
        }
        let ([r, alpha, a, b], &Row { x, t_x, t, .. }) = (p, row);
        let shape = r + x;
        let (at_zero, at_last, at_end) = (1.0 / alpha, 1.0 / (alpha + t_x), 1.0 / (alpha + t));
        let grown = (t * at_zero).ln_1p();
        let mut base = Jet::<4>::constant(-x * alpha.ln() - shape * grown);
        let by_alpha = at_end - at_zero; // of `grown`
        base.gradient = [-grown, -x * at_zero - shape * by_alpha, 0.0, 0.0];
        base.hessian[0][1] = -by_alpha;
        base.hessian[1][0] = -by_alpha;
        base.hessian[1][1] = x * at_zero * at_zero - shape * (at_zero * at_zero - at_end * at_end);
        let coins = x + f64::from(u8::from(AT_ZERO));
        if coins == 0.0 {
            return base;
        }
        let stays = 1.0 / (b + (coins - 1.0));
        let silent = ((t - t_x) * at_last).ln_1p();
        let by_alpha = at_end - at_last; // of `silent`
        let mut ln_odds = Jet::<4>::constant((a * stays).ln() + shape * silent);
        ln_odds.gradient = [silent, shape * by_alpha, 1.0 / a, -stays];
        ln_odds.hessian[0][1] = by_alpha;
        ln_odds.hessian[1][0] = by_alpha;
        ln_odds.hessian[1][1] = shape * (at_last * at_last - at_end * at_end);
        ln_odds.hessian[2][2] = -1.0 / (a * a);
        ln_odds.hessian[3][3] = stays * stays;
        alive_or_left(base, &ln_odds)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::super::population::assert_derivatives;
    use super::*;

    fn history(x: f64, t_x: f64, t: f64) -> Rfm {
        Rfm::new(x, t_x, t).unwrap()
    }

    fn sample() -> Histories {
        let customers: Vec<Rfm> = (0..400)
            .map(|i| {
                let (x, t) = (f64::from(i * i % 7), f64::from(50 + i % 90));
                history(x, if x == 0.0 { 0.0 } else { f64::from(i % 50 + 1) }, t)
            })
            .collect();
        Histories::new(&customers)
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let histories = sample();
        let points = [[-1.4, 0.4, -0.2, 0.9], [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, -3.0, -2.5], [-3.0, 2.0, 3.0, 4.0]];
        for k in [1, 2, 5] {
            assert_derivatives(&BetaGeometricTerms::<false> { k }, &histories, &points);
            assert_derivatives(&BetaGeometricTerms::<true> { k }, &histories, &points);
        }
    }

    #[test]
    fn the_total_is_the_sum_over_customers() {
        let histories = sample();
        let model = MbgNbd::new([0.6, 40.0, 0.9, 3.0]).unwrap();
        let summed: f64 = histories.rows().iter().map(|(h, count)| count * model.ln_likelihood(h)).sum();
        assert!((model.total_ln_likelihood(&histories) / summed - 1.0).abs() < 1e-13);
        let regular = MbgNbd::regular(3, [0.6, 40.0, 0.9, 3.0]).unwrap();
        let more = regular.total_ln_likelihood(&sample().with_ln_gaps(5.0)) - regular.total_ln_likelihood(&histories);
        assert!((more - 10.0).abs() < 1e-9, "(k - 1) times the sum of ln gaps, not {more}");
    }

    #[test]
    fn by_the_median_half_have_ordered() {
        let model = BgNbd::new([0.243, 4.414, 0.793, 2.426]).unwrap();
        let regular = MbgNbd::regular(3, [0.8, 2.0, 0.8, 2.4]).unwrap();
        let customer = history(9.0, 36.0, 38.0);
        let median = regular.median_to_next_order(&customer).unwrap();
        assert!((regular.no_order_probability(&customer, median) - 0.5).abs() < 1e-9, "{median}");
        for (x, t_x, t) in [(2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (132.0, 200.0, 200.0), (0.0, 0.0, 10.0)] {
            let customer = history(x, t_x, t);
            let median = model.median_to_next_order(&customer).unwrap();
            let none = model.no_order_probability(&customer, median);
            assert!((none - 0.5).abs() < 1e-13, "{customer:?}: {none} at {median}");
        }
        assert_eq!(model.median_to_next_order(&history(1.0, 1.71, 38.86)), None); // alive with 0.21
        assert_eq!(model.median_to_next_order(&history(0.0, 0.0, 1e4)), None); // alive, but beyond the range
    }

    /// Customers of a model, observed for 180 to 360 days.
    fn simulated(model: &impl OrdersProcess, n: u32) -> Histories {
        let mut random = ChaCha8Rng::seed_from_u64(2005);
        let customers: Vec<Rfm> = (0..n).map(|i| model.simulate(f64::from(180 + i % 181), &mut random)).collect();
        Histories::new(&customers)
    }

    #[test]
    fn the_parameters_that_made_the_data_come_back() {
        let truth = [0.6, 20.0, 0.8, 2.4];
        let histories = simulated(&MbgNbd::new(truth).unwrap(), 40_000);
        let fitted = MbgNbd::fit(&histories).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk, "{fitted:?}");
        let errors = fitted.standard_errors.clone().unwrap();
        for ((got, true_value), error) in fitted.params.parameters().into_iter().zip(truth).zip(errors) {
            assert!((got - true_value).abs() < 4.0 * error && error < 0.1 * true_value, "{fitted:?}");
        }
        let total = fitted.params.total_ln_likelihood(&histories);
        assert!((total / fitted.ln_likelihood - 1.0).abs() < 1e-12, "{total} {fitted:?}");
        // No other parameters are more likely, the true ones among them.
        assert!(total > MbgNbd::new(truth).unwrap().total_ln_likelihood(&histories));
    }

    /// Everything that is foreseen of a new customer, against 400,000 simulated ones.
    #[test]
    fn what_is_foreseen_is_what_comes() {
        let p = [0.8, 6.0, 0.7, 2.0];
        let models: [&dyn OrdersProcess; 4] = [
            &BgNbd::new(p).unwrap(),
            &MbgNbd::new(p).unwrap(),
            &BgNbd::regular(3, p).unwrap(),
            &MbgNbd::regular(2, p).unwrap(),
        ];
        for model in models {
            let mut random = ChaCha8Rng::seed_from_u64(8);
            let n = 400_000;
            let orders: Vec<f64> = (0..n).map(|_| model.simulate(60.0, &mut random).x()).collect();
            let mean = orders.iter().sum::<f64>() / f64::from(n);
            let want = model.expected_orders_of_new(60.0);
            // Five standard errors of a mean whose deviation is about twice itself.
            assert!((mean / want - 1.0).abs() < 0.02, "{mean}, foreseen {want}");
            let mut total = 0.0;
            for count in 0..200 {
                let probability = model.count_probability_of_new(60.0, count);
                let seen = orders.iter().filter(|&&x| x == f64::from(count)).count() as f64 / f64::from(n);
                assert!((seen - probability).abs() < 5.0 * (probability / f64::from(n)).sqrt() + 1e-5, "{count}");
                total += f64::from(count) * probability;
            }
            assert!((total / want - 1.0).abs() < 1e-3, "{total}, foreseen {want}");
        }
    }

    /// Orders of regular customers by two routes: roots of unity, and the sum over the probabilities of counts.
    #[test]
    fn regular_orders_are_the_mean_of_their_counts() {
        for k in [2, 3, 6] {
            let model = MbgNbd::regular(k, [0.9, 1.2, 0.6, 3.0]).unwrap();
            for (x, t_x, t, horizon) in
                [(0.0, 0.0, 4.0, 1.0), (3.0, 9.0, 11.0, 6.0), (12.0, 30.0, 30.5, 0.01), (7.0, 20.0, 21.0, 30.0)]
            {
                let customer = history(x, t_x, t);
                let counts = (1..4000).map(|n| f64::from(n) * model.count_probability(&customer, horizon, n as u32));
                let (want, got) = (counts.sum::<f64>(), model.expected_orders(&customer, horizon));
                assert!((got / want - 1.0).abs() < 1e-9, "k {k}, {customer:?}, {horizon}: {got:e}, not {want:e}");
                let none = model.count_probability(&customer, horizon, 0);
                assert!((none - model.no_order_probability(&customer, horizon)).abs() < 1e-12, "k {k}, {customer:?}");
            }
        }
        // One stage to an order is the plain model.
        let (plain, regular) = (
            MbgNbd::new([0.9, 1.2, 0.6, 3.0]).unwrap(),
            super::super::renewal::Renewal { k: 1, stage: 0, shape: 2.9, u: 3.0 },
        );
        let want = mean_orders(plain.a, 4.0, 2.9, 3.0);
        assert!((regular.mean_orders(plain.a, 4.0) / want - 1.0).abs() < 1e-11);
    }

    #[test]
    fn data_that_carry_no_maximum_are_shrunk_and_say_so() {
        let silent: Vec<Rfm> = (0..1000).map(|i| history(0.0, 0.0, f64::from(1 + i % 300))).collect();
        let three = vec![history(2.0, 30.0, 90.0), history(0.0, 0.0, 40.0), history(1.0, 3.0, 60.0)];
        let same = vec![history(4.0, 90.0, 100.0); 500];
        let steady = vec![history(30.0, 100.0, 100.0); 500];
        for (name, customers) in [("silent", silent), ("three", three), ("same", same), ("steady", steady)] {
            let fitted = BgNbd::fit(&Histories::new(&customers)).unwrap();
            assert!(fitted.shrunk && fitted.stop.is_maximum(), "{name}: {fitted:?}");
            let (orders, none) = (
                fitted.params.expected_orders(&customers[0], 90.0),
                fitted.params.no_order_probability(&customers[0], 90.0),
            );
            assert!(orders.is_finite() && none <= 1.0 && fitted.standard_errors.is_none(), "{name}: {fitted:?}");
        }
    }

    #[test]
    fn nobody_and_no_time_are_errors_by_name() {
        assert!(matches!(BgNbd::fit(&Histories::default()), Err(BtydError::NoCustomers { .. })));
        let today = Histories::new(&[history(0.0, 0.0, 0.0); 9]);
        assert!(matches!(BgNbd::fit(&today), Err(BtydError::NoTime { customers: 9, .. })));
    }

    #[test]
    fn parameters_are_stored_bit_for_bit_and_checked_on_the_way_in() {
        let model = BgNbd::new([0.1 + 0.2, 4.413_602_019_013_504, 0.792_922_017_225_597_6, 1e-12]).unwrap();
        let stored = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<BgNbd>(&stored).unwrap(), model);
        assert!(serde_json::from_str::<BgNbd>(r#"{"r":-1.0,"alpha":1.0,"a":1.0,"b":1.0}"#).is_err());
        assert!(matches!(BgNbd::new([1.0, f64::NAN, 1.0, 1.0]), Err(BtydError::BadParameter { name: "alpha", .. })));
    }

    #[test]
    fn regularity_needs_gaps_and_a_sensible_k() {
        let histories = sample();
        assert!(matches!(MbgNbd::fit_regular(2, &histories), Err(BtydError::NoGaps { .. })));
        assert!(MbgNbd::fit_regular(2, &sample().with_ln_gaps(100.0)).is_ok());
        assert!(matches!(MbgNbd::fit_regular(0, &histories), Err(BtydError::BadParameter { name: "k", .. })));
        assert!(matches!(BgNbd::regular(13, [1.0; 4]), Err(BtydError::BadParameter { name: "k", .. })));
        let stored = serde_json::to_string(&MbgNbd::regular(2, [1.0; 4]).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<MbgNbd>(&stored).unwrap().regularity(), 2);
    }
}
