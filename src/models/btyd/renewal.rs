//! Expected orders where an order is every k-th tick (the CNBD-k models), and after each the customer may leave.
//!
//! Of a customer in stage j who stays after each order with chance z = 1 − p, M ticks in a time t make
//! Σ_{i >= 1} z^(i − 1) [M >= k i − j] orders. With the k-th roots of unity ω and v = z^(1/k) ω, and rates of
//! Gamma(shape, scale), u = t / scale, the sum is
//!
//! ```text
//! E = 1 / (k z) Σ_ω v^(j + 1) H(1 − v),   H(s) = (1 − (1 + u s)^−shape) / s,
//! ```
//!
//! which is the one of BG/NBD for k = 1. Where it would cancel (few ticks, or p near 1) the sum over i is taken as it
//! stands, which is short there. RPS give an approximation instead; this is exact.

use super::beta_mean::beta_mean;
use super::negative_binomial::NegativeBinomial;

/// A customer in stage `stage` of `k`, at rates Gamma(`shape`), over `u` scales of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewal {
    pub k: u32,
    pub stage: u32,
    pub shape: f64,
    pub u: f64,
}

/// With fewer expected ticks than this the sum over orders is short.
const FEW_TICKS: f64 = 2.0;

/// Below this chance to stay the sum over orders is short: 0.5^60 is nothing.
const UNLIKELY_TO_STAY: f64 = 0.5;

/// Orders that the short sums hold: [`UNLIKELY_TO_STAY`] to this power is below rounding, and so is the probability of
/// so many orders from [`FEW_TICKS`] where rates do not differ wildly.
const ORDERS: u64 = 60;

impl Renewal {
    /// The mean over p ~ Beta(a, b).
    pub(super) fn mean_orders(&self, a: f64, b: f64) -> f64 {
        if self.u == 0.0 {
            return 0.0;
        }
        let ticks = NegativeBinomial { shape: self.shape, u: self.u };
        let (k, stage) = (u64::from(self.k), u64::from(self.stage));
        // P(the i-th order is reached), from the last: a tail and what lies before it.
        let mut reached = vec![0.0; ORDERS as usize];
        let mut tail = ticks.at_least(k * ORDERS - stage);
        for i in (1..=ORDERS).rev() {
            reached[i as usize - 1] = tail;
            if i > 1 {
                tail += ticks.between(k * (i - 1) - stage, k * i - stage);
            }
        }
        // Of few ticks at wild rates, those of the wildest are more than the short sum holds.
        let few = self.shape * self.u < FEW_TICKS && reached[reached.len() - 1] < f64::EPSILON * reached[0];
        let orders = |p: f64, z: f64| {
            if few || z < UNLIKELY_TO_STAY { sum(&reached, z) } else { self.by_roots(p, z) }
        };
        let steepness = (self.shape + f64::from(self.k)) * self.u + f64::from(self.k);
        beta_mean(a, b, steepness, steepness, orders)
    }

    /// The formula of the module at p = 1 − z, for z that is not small.
    fn by_roots(&self, p: f64, z: f64) -> f64 {
        let k = f64::from(self.k);
        let ln_v = (-p).ln_1p() / k;
        let (v, power) = (ln_v.exp(), f64::from(self.stage + 1));
        let s = -ln_v.exp_m1(); // 1 − v on the real axis
        let real = if s == 0.0 { self.shape * self.u } else { -(-self.shape * (self.u * s).ln_1p()).exp_m1() / s };
        let mut total = (power * ln_v).exp() * real;
        for l in 1..self.k {
            let angle = std::f64::consts::TAU * f64::from(l) / k;
            let (one_less, other) = (1.0 - v * angle.cos(), -v * angle.sin()); // s = 1 − v e^(i angle)
            // (1 + u s)^−shape
            let (re, im) = (1.0 + self.u * one_less, self.u * other);
            let (size, turn) = ((-self.shape * re.hypot(im).ln()).exp(), -self.shape * im.atan2(re));
            let (top_re, top_im) = (1.0 - size * turn.cos(), -size * turn.sin());
            let norm = one_less * one_less + other * other;
            let (h_re, h_im) =
                ((top_re * one_less + top_im * other) / norm, (top_im * one_less - top_re * other) / norm);
            let v_power = (power * ln_v).exp();
            let (w_re, w_im) = (v_power * (power * angle).cos(), v_power * (power * angle).sin());
            total += w_re * h_re - w_im * h_im;
        }
        (total / (k * z)).max(0.0)
    }
}

/// Σ z^(i − 1) P(the i-th order is reached), Horner's way.
fn sum(reached: &[f64], z: f64) -> f64 {
    reached.iter().rev().fold(0.0, |sum, probability| sum * z + probability)
}
