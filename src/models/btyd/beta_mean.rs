//! The expectation that BG/NBD and MBG/NBD share: orders before a Beta-distributed dropout coin falls.
//!
//! A customer who orders at rate λ and leaves after each order with chance p makes (1 − e^(−λpt)) / p orders in
//! a time t: Fader, Hardie & Lee (2005), Marketing Science 24(2), eq. (7) before mixing. Over λ ~ Gamma(shape, scale)
//! and p ~ Beta(a, b) that is
//!
//! ```text
//! M(a, b, shape, u) = E_p [ (1 − (1 + p u)^−shape) / p ],   u = t / scale,
//! ```
//!
//! an integral of a positive function without a pole. The closed forms of the papers, with ₂F₁, subtract two large
//! numbers and divide by a − 1.

use std::sync::OnceLock;

use crate::math::quadrature::{Node, beta_rule, legendre};

/// The integrand is followed until it has fallen by e^-40 = 4e-18 from its peak.
const NEGLIGIBLE: f64 = 40.0;

/// The power-law ends are integrated in closed form, to first order, over a piece so short that the second order is
/// the square of this.
const END: f64 = 1e-7;

/// Widest panel in the logit of p: the integrand is analytic within ±π/2 of the axis, which 16 nodes on a panel of
/// this width turn into an error near 3.1^-32 = 2e-16.
const PANEL: f64 = 2.0;

/// A peaked Beta density is near a normal one; 16 nodes follow it to rounding over so many standard deviations.
const PANEL_DEVIATIONS: f64 = 2.5;

/// `(1 − (1 + p u)^−shape) / p` for `p > 0`.
fn orders(p: f64, shape: f64, u: f64) -> f64 {
    -(-shape * (p * u).ln_1p()).exp_m1() / p
}

/// `M(a, b, shape, u)` for positive `a`, `b`, `shape` and `u >= 0`: Gauss-Legendre on panels in the logit of p, with
/// closed ends, and the density normalised by the same sum. Right to 1e-11 for parameters from 1e-3 to 1e4 and
/// histories of any size (golden points; the tests here), in 10 to 30 µs.
pub(super) fn mean_orders(a: f64, b: f64, shape: f64, u: f64) -> f64 {
    if u == 0.0 {
        return 0.0;
    }
    let at_zero = shape * u; // of `orders`, its largest value, at p = 0
    let at_one = orders(1.0, shape, u); // its smallest
    let ln_density = |z: f64| {
        let far = (-z.abs()).exp().ln_1p(); // ln p = min(z, 0) − far, ln (1 − p) = −max(z, 0) − far
        a * (z.min(0.0) - far) - b * (z.max(0.0) + far)
    };
    // Where the ends begin. Below `p_low` and below `q_high` = 1 − p the factors beside the power are straight lines.
    let p_slope = 0.5 * (shape + 1.0) * u;
    let p_low = END / f64::max(1.0, b).max(p_slope);
    let q_slope = 1.0 - a - (shape * u * (-(shape + 1.0) * u.ln_1p()).exp() - at_one) / at_one;
    let q_high = END / f64::max(1.0, a).max(shape * u / (1.0 + u)).max(q_slope.abs());
    let (z_low, z_high) = (p_low.ln() - (-p_low).ln_1p(), (-q_high).ln_1p() - q_high.ln());
    let mode = (a.ln() - b.ln()).clamp(z_low, z_high);
    let peak = ln_density(mode);
    let from = cut(&ln_density, mode, z_low, peak - NEGLIGIBLE - (at_zero / at_one).ln());
    let to = cut(&ln_density, mode, z_high, peak - NEGLIGIBLE);

    let (mut sum, mut mass) = (0.0, 0.0);
    if from == z_low {
        let power = (a * p_low.ln() - peak).exp();
        sum += at_zero * power * (1.0 / a - (b - 1.0 + p_slope) * p_low / (a + 1.0));
        mass += power * (1.0 / a - (b - 1.0) * p_low / (a + 1.0));
    }
    if to == z_high {
        let power = (b * q_high.ln() - peak).exp();
        sum += at_one * power * (1.0 / b + q_slope * q_high / (b + 1.0));
        mass += power * (1.0 / b - (a - 1.0) * q_high / (b + 1.0));
    }
    let deviation = ((a + b) / (a * b)).sqrt();
    let panels = ((to - from) / PANEL.min(PANEL_DEVIATIONS * deviation)).ceil().max(1.0);
    let width = (to - from) / panels;
    for panel in 0..panels as u32 {
        let left = from + f64::from(panel) * width;
        for (z, weight) in legendre(left, left + width) {
            let density = weight * (ln_density(z) - peak).exp();
            mass += density;
            sum += density * orders(1.0 / (1.0 + (-z).exp()), shape, u);
        }
    }
    sum / mass
}

/// The mean of a positive function `f(p, 1 − p)` of `p ~ Beta(a, b)` that is flat within 1e-13 of itself over 1e-13 of
/// the inverse steepness from each end, and smooth in the logit of p: the quadrature of [`mean_orders`], with plainer
/// ends.
pub(super) fn beta_mean(a: f64, b: f64, steep_at_zero: f64, steep_at_one: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    const FLAT: f64 = 1e-13;
    let ln_density = |z: f64| {
        let far = (-z.abs()).exp().ln_1p();
        a * (z.min(0.0) - far) - b * (z.max(0.0) + far)
    };
    let p_low = FLAT / f64::max(1.0, b).max(steep_at_zero);
    let q_high = FLAT / f64::max(1.0, a).max(steep_at_one);
    let (z_low, z_high) = (p_low.ln(), -q_high.ln());
    let (at_zero, at_one) = (f(0.0, 1.0), f(1.0, 0.0));
    let mode = (a.ln() - b.ln()).clamp(z_low, z_high);
    let peak = ln_density(mode);
    // Where f is far larger at one end than at the other, that end counts for longer.
    let contrast = |end: f64, other: f64| if end > other && other > 0.0 { (end / other).ln() } else { 0.0 };
    let from = cut(&ln_density, mode, z_low, peak - NEGLIGIBLE - contrast(at_zero, at_one));
    let to = cut(&ln_density, mode, z_high, peak - NEGLIGIBLE - contrast(at_one, at_zero));
    let (mut sum, mut mass) = (0.0, 0.0);
    if from == z_low {
        let power = (a * p_low.ln() - peak).exp() / a;
        (sum, mass) = (sum + at_zero * power, mass + power);
    }
    if to == z_high {
        let power = (b * q_high.ln() - peak).exp() / b;
        (sum, mass) = (sum + at_one * power, mass + power);
    }
    let deviation = ((a + b) / (a * b)).sqrt();
    let panels = ((to - from) / PANEL.min(PANEL_DEVIATIONS * deviation)).ceil().max(1.0);
    let width = (to - from) / panels;
    for panel in 0..panels as u32 {
        let left = from + f64::from(panel) * width;
        for (z, weight) in legendre(left, left + width) {
            let density = weight * (ln_density(z) - peak).exp();
            mass += density;
            sum += density * f(1.0 / (1.0 + (-z).exp()), 1.0 / (1.0 + z.exp()));
        }
    }
    sum / mass
}

/// Where, between `mode` and `end`, the concave log-density has fallen to `level`; `end` if it has not even there.
fn cut(ln_density: &dyn Fn(f64) -> f64, mode: f64, end: f64, level: f64) -> f64 {
    if ln_density(end) >= level {
        return end;
    }
    let (mut inside, mut outside) = (mode, end);
    while (outside - inside).abs() > 0.5 {
        let middle = 0.5 * (inside + outside);
        if ln_density(middle) >= level {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

/// Sizes of Gauss rules that are tried, smallest first.
const RULES: [usize; 12] = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48];

/// Relative error that a rule may have at the upper end of its octave; inside it is at most twice that.
const RULE_TOLERANCE: f64 = 2e-11;

/// Octaves of `u`: rule `k` serves `u <= 2^(k + LOWEST_OCTAVE)`, the first serves everything below.
const LOWEST_OCTAVE: i32 = -16;

/// See [`LOWEST_OCTAVE`].
const OCTAVES: usize = 32;

/// `M(a, b, shape, u)` for one `a`, `b` and `shape` and many `u`, by the smallest Gauss rule for the Beta weight that
/// is good enough for the octave of `u`; ten times faster than [`mean_orders`] where customers are ordinary.
///
/// As a function of p, `orders` is completely monotone, so the error of a Gauss rule is positive and grows with t:
/// it is checked at the upper end of an octave and holds below. M is concave in t, so it halves at most.
pub(super) struct Rules {
    a: f64,
    b: f64,
    shape: f64,
    octaves: [OnceLock<Option<Box<[Node]>>>; OCTAVES],
}

impl Rules {
    pub(super) fn new(a: f64, b: f64, shape: f64) -> Self {
        Self { a, b, shape, octaves: [const { OnceLock::new() }; OCTAVES] }
    }

    /// `M(a, b, shape, u)`. The same bits whoever asks first: a rule depends on its octave alone.
    pub(super) fn mean(&self, u: f64) -> f64 {
        if u == 0.0 {
            return 0.0;
        }
        // The exponent field of a float is its octave: u <= 2^(e + 1).
        let exponent = (u.to_bits() >> 52) as i32 - 1022;
        let octave = (exponent - LOWEST_OCTAVE).max(0) as usize;
        match self.octaves.get(octave).map(|rule| rule.get_or_init(|| self.choose(octave))) {
            Some(Some(rule)) => rule.iter().map(|&(p, weight)| weight * orders(p, self.shape, u)).sum(),
            _ => mean_orders(self.a, self.b, self.shape, u),
        }
    }

    fn choose(&self, octave: usize) -> Option<Box<[Node]>> {
        let u = 2f64.powi(octave as i32 + LOWEST_OCTAVE);
        let want = mean_orders(self.a, self.b, self.shape, u);
        RULES.iter().find_map(|&n| {
            let rule = beta_rule(self.a, self.b, n)?;
            // A node that rounding has put outside the interval belongs to a rule too large for these parameters.
            let inside = rule.iter().all(|&(p, _)| p > 0.0 && p < 1.0);
            let got: f64 = rule.iter().map(|&(p, weight)| weight * orders(p, self.shape, u)).sum();
            (inside && (got - want).abs() <= RULE_TOLERANCE * want).then(|| rule.into_boxed_slice())
        })
    }
}

#[cfg(test)]
#[allow(clippy::excessive_precision)] // all digits of the source
mod tests {
    use super::*;

    /// [`mean_orders`] against 40 digits.
    const EXACT: f64 = 1e-11;

    #[test] // mpmath 1.4.1, 40 digits: quad over the logit of p of the integral in the module's head
    fn the_integral_agrees_with_high_precision_values() {
        for (a, b, shape, u, want) in [
            (0.793, 2.426, 0.243, 8.83552333484368, 1.1967231933208169),
            (0.793, 4.426, 2.243, 0.9012339973194066, 1.68739930580531293),
            (1.0, 2.5, 0.5, 7.8, 1.88542854846120046),
            (0.793, 20002.426, 20000.243, 0.2, 3716.18447774314682),
            (0.4, 0.81, 0.1, 7.3, 0.442095965772591517),
            (0.05, 50.0, 2.0, 780.0, 1356.97101313235893),
            (0.05, 50.0, 2.0, 20000000.0, 21096175.598251959),
            (0.003, 0.01, 0.25, 10.0, 2.01799584804786719),
            (1222.8, 9043.8, 1.5, 3.0, 3.08672810394724838),
            (30.0, 2.0, 10.0, 0.7, 1.06188104283239697),
        ] {
            let got = mean_orders(a, b, shape, u);
            assert!((got / want - 1.0).abs() < EXACT, "M({a}, {b}, {shape}, {u}) = {got:e}, not {want:e}");
        }
    }

    #[test]
    fn rules_agree_with_the_integral_at_every_octave() {
        for (a, b, shape) in [
            (0.793, 2.426, 0.243),
            (0.793, 4.426, 2.243),
            (0.793, 502.426, 500.243),
            (0.003, 0.01, 0.25),
            (0.05, 50.0, 2.0),
            (30.0, 2.0, 10.0),
            (1222.8, 9043.8, 1.5),
        ] {
            let rules = Rules::new(a, b, shape);
            for k in -60..60 {
                for fraction in [1.0, 1.37, 1.999_999] {
                    let u = fraction * 2f64.powi(k);
                    let (got, want) = (rules.mean(u), mean_orders(a, b, shape, u));
                    assert!((got / want - 1.0).abs() < 6e-11, "({a}, {b}, {shape}, {u:e}): {got:e}, not {want:e}");
                }
            }
            assert!(rules.octaves[16].get().unwrap().is_some(), "no rule for u = 1 at ({a}, {b}, {shape})");
        }
    }

    #[test]
    fn nothing_is_ordered_in_no_time_and_never_more_than_the_rate_allows() {
        assert_eq!(mean_orders(0.8, 2.4, 0.25, 0.0), 0.0);
        assert_eq!(Rules::new(0.8, 2.4, 0.25).mean(0.0), 0.0);
        for a in [1e-12, 1e-3, 1.0, 1e3, 1e8] {
            for b in [1e-12, 1e-3, 1.0, 2e4, 1e12] {
                for shape in [1e-12, 0.25, 2e4, 1e7] {
                    for u in [1e-200, 1e-20, 1e-3, 1.0, 1e8, 1e19] {
                        let got = mean_orders(a, b, shape, u);
                        let inside = got >= 0.0 && got <= shape * u * (1.0 + 1e-9);
                        assert!(inside, "M({a:e}, {b:e}, {shape:e}, {u:e}) = {got:e}");
                        // Jensen: the function is convex in p, whose mean is a / (a + b).
                        let least = orders(a / (a + b), shape, u);
                        assert!(got >= least * (1.0 - 1e-9), "M({a:e}, {b:e}, {shape:e}, {u:e}) = {got:e} < {least:e}");
                    }
                }
            }
        }
    }
}
