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
use crate::math::quadrature::Node;

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
        let (reached, few) = self.reached();
        let roots = self.roots();
        let steepness = (self.shape + f64::from(self.k)) * self.u + f64::from(self.k);
        beta_mean(a, b, steepness, steepness, |p, z| self.orders(&reached, few, &roots, p, z))
    }

    /// The mean by a rule for the distribution of p.
    pub(super) fn mean_by_rule(&self, rule: &[Node]) -> f64 {
        if self.u == 0.0 {
            return 0.0;
        }
        let (reached, few) = self.reached();
        let roots = self.roots();
        rule.iter().map(|&(p, weight)| weight * self.orders(&reached, few, &roots, p, 1.0 - p)).sum()
    }

    /// P(the i-th order is reached) for the short sums, and whether these hold all that there is, whatever p.
    fn reached(&self) -> (Vec<f64>, bool) {
        let ticks = NegativeBinomial { shape: self.shape, u: self.u };
        let (k, stage) = (u64::from(self.k), u64::from(self.stage));
        let (first, end) = (k - stage, k * ORDERS - stage); // ticks of the first order, and of the last
        let counts = ticks.probabilities(first, end);
        // From the last: a tail and what lies before it.
        let mut reached = vec![0.0; ORDERS as usize];
        let mut tail = ticks.at_least(end);
        reached[ORDERS as usize - 1] = tail;
        for (i, of_order) in counts.chunks(k as usize).enumerate().rev() {
            tail += of_order.iter().sum::<f64>();
            reached[i] = tail;
        }
        // Of few ticks at wild rates, those of the wildest are more than the short sum holds.
        let few = self.shape * self.u < FEW_TICKS && reached[reached.len() - 1] < f64::EPSILON * reached[0];
        (reached, few)
    }

    /// The expected orders of those who leave with chance p = 1 − z.
    fn orders(&self, reached: &[f64], few: bool, roots: &[Root], p: f64, z: f64) -> f64 {
        if few || z < UNLIKELY_TO_STAY { sum(reached, z) } else { self.by_roots(roots, p, z) }
    }

    /// The formula of the module at p = 1 − z, for z that is not small. A root and its conjugate give the same real part.
    fn by_roots(&self, roots: &[Root], p: f64, z: f64) -> f64 {
        let k = f64::from(self.k);
        let ln_v = (-p).ln_1p() / k;
        let v = ln_v.exp();
        let s = -ln_v.exp_m1(); // 1 − v on the real axis
        let mut total = if s == 0.0 { self.shape * self.u } else { self.real(s) };
        for root in roots {
            let (re, im) = (1.0 - v * root.cos, -v * root.sin); // s = 1 − v e^(i angle)
            if root.sin == 0.0 {
                total += root.power_cos * self.real(re);
                continue;
            }
            // (1 + u s)^−shape
            let (base, across) = (1.0 + self.u * re, self.u * im);
            let size = (-0.5 * self.shape * (base * base + across * across).ln()).exp();
            let (sin, cos) = (-self.shape * across.atan2(base)).sin_cos();
            let (top_re, top_im) = (1.0 - size * cos, -size * sin);
            let norm = re * re + im * im;
            let (h_re, h_im) = ((top_re * re + top_im * im) / norm, (top_im * re - top_re * im) / norm);
            total += 2.0 * (root.power_cos * h_re - root.power_sin * h_im);
        }
        let v_power = (f64::from(self.stage + 1) * ln_v).exp();
        (v_power * total / (k * z)).max(0.0)
    }

    /// H on the real axis, `s > 0`.
    fn real(&self, s: f64) -> f64 {
        -(-self.shape * (self.u * s).ln_1p()).exp_m1() / s
    }

    /// The roots of unity in the upper half, but 1 itself.
    fn roots(&self) -> Vec<Root> {
        let root = |l: u32| {
            if 2 * l == self.k {
                let power_cos = if self.stage.is_multiple_of(2) { -1.0 } else { 1.0 };
                return Root { cos: -1.0, sin: 0.0, power_cos, power_sin: 0.0 };
            }
            let angle = std::f64::consts::TAU * f64::from(l) / f64::from(self.k);
            let (power_sin, power_cos) = (f64::from(self.stage + 1) * angle).sin_cos();
            Root { cos: angle.cos(), sin: angle.sin(), power_cos, power_sin }
        };
        (1..=self.k / 2).map(root).collect()
    }
}

/// A k-th root of unity, and its power `stage + 1`.
struct Root {
    cos: f64,
    sin: f64,
    power_cos: f64,
    power_sin: f64,
}

/// Σ z^(i − 1) P(the i-th order is reached), Horner's way.
fn sum(reached: &[f64], z: f64) -> f64 {
    reached.iter().rev().fold(0.0, |sum, probability| sum * z + probability)
}
