//! GGom/NBD: lifetimes with a hazard that grows with age, at a level that differs across customers.
//!
//! BG = Bemmaor & Glady (2012), "Modeling Purchasing Behavior with Sudden 'Death': A Flexible Customer Lifetime Model",
//! Management Science 58(5), 1012-1021. Lifetimes are Gompertz with rate `b` and a level ~ Gamma(s, beta):
//! S(t) = (1 + (e^(b t) − 1) / beta)^−s. As `b` goes to 0 with beta / b held, this is Pareto/NBD.

use super::nbd::{Lifetime, Nbd};
use super::power_integral::{SIXTEEN, panels};
use crate::math::Number;
use crate::math::quadrature::legendre;

/// GGom/NBD at `[r, alpha, b, s, beta]`. `alpha` is in the unit of time and `b` is a rate; the others have no unit.
pub type GgomNbd = Nbd<Gompertz, 5>;

/// Gamma-Gompertz lifetimes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gompertz {
    b: f64,
    s: f64,
    beta: f64,
}

/// From here on `e^(b t)` is split off, lest it overflow; below, `e^(b t) − 1` keeps its digits.
const GROWN: f64 = 1.0;

/// `ln (beta + e^(b t) − 1) − b t`, the logarithm of what the level of the hazard is of its limit.
fn ln_young<N: Number>(b: N, beta: N, t: f64) -> N {
    let grown = b * t;
    if grown.value() < GROWN { (beta + grown.exp_m1()).ln() - grown } else { ((beta - 1.0) * (-grown).exp()).ln_1p() }
}

/// Beyond this `e^(b t)` is not formed.
const LARGE: f64 = 300.0;

/// `ln ((beta + e^(b t) − 1) / beta)`, without the difference of two logarithms where `b t` is ordinary.
fn ln_level_grown<N: Number>(b: N, beta: N, t: f64) -> N {
    let grown = b * t;
    if grown.value() < LARGE { (grown.exp_m1() / beta).ln_1p() } else { ln_young(b, beta, t) + grown - beta.ln() }
}

/// The first panel, in ln (1 + time / its scale); wider ones follow.
const FIRST_PANEL: f64 = 1.0;

impl Gompertz {
    /// Time within which survival and hazard are smooth: their nearest singularity lies further away.
    fn scale(self) -> f64 {
        self.beta.min(1.0) / self.b
    }

    /// Distance from `u` to the nearest singularity of survival, where e^(b u) = 1 − beta: one on the negative axis, or a
    /// pair at ±π / b beside the age at which the hazard is half grown.
    fn distance(self, u: f64) -> f64 {
        let along = u - (1.0 - self.beta).abs().ln() / self.b;
        if self.beta < 1.0 { along } else { along.hypot(std::f64::consts::PI / self.b) }
    }

    /// Nodes in `(0, length)` for an integrand that varies over `scale`, and with the survival, and whose logarithm is
    /// `ln_f`.
    fn nodes(self, scale: f64, length: f64, ln_f: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut nodes = Vec::new();
        let depth = |w: f64| -ln_f(scale * w.exp_m1()) - w;
        // A panel as wide as its distance to the singularity.
        let widest = |w: f64| (self.distance(scale * w.exp_m1()) / (scale * w.exp())).ln_1p().min(SIXTEEN.width);
        panels((length / scale).ln_1p(), FIRST_PANEL, depth, widest, |left, width| {
            nodes.extend(legendre(left, left + width).map(|(w, weight)| {
                let u = scale * w.exp_m1();
                (u, weight * (scale + u))
            }));
        });
        nodes
    }

    fn integral(self, scale: f64, length: f64, ln_f: impl Fn(f64) -> f64) -> f64 {
        self.nodes(scale, length, &ln_f).into_iter().map(|(u, weight)| weight * ln_f(u).exp()).sum()
    }
}

impl Lifetime<5> for Gompertz {
    const NAME: &'static str = "GGom/NBD";
    const LETTERS: [&'static str; 5] = ["r", "alpha", "b", "s", "beta"];
    const POWERS: [i32; 5] = [0, 1, -1, 0, 0];

    fn of(&[_, _, b, s, beta]: &[f64; 5]) -> Self {
        Self { b, s, beta }
    }

    fn starts(orders: f64) -> Vec<[f64; 5]> {
        let start = |r: f64, b: f64, s: f64, beta: f64| [r, r / orders, b, s, beta];
        vec![start(0.6, 0.5, 0.6, 0.5), start(1.0, 1.0, 1.0, 3.0), start(0.6, 0.05, 0.6, 0.05)]
    }

    fn ln_survival<N: Number>([_, _, b, s, beta]: [N; 5], t: f64) -> N {
        -(s * ln_level_grown(b, beta, t))
    }

    fn ln_odds_left<N: Number>(p: [N; 5], x: f64, t_x: f64, t: f64) -> N {
        let [r, alpha, b, s, beta] = p;
        let (length, m) = (t - t_x, r + x);
        // ln of (1 + u / (alpha + t_x))^−(r + x) f(t_x + u) / S(T)
        fn ln_f<N: Number>(u: f64, (t_x, length): (f64, f64), [a, m, b, s, beta]: [N; 5]) -> N {
            let young = ln_young(b, beta, t_x + u);
            // ln of the level at T over that at t_x + u
            let rest = b * (length - u);
            let risen = if rest.value() < LARGE {
                (rest.exp_m1() * (-young).exp()).ln_1p()
            } else {
                ln_young(b, beta, t_x + length) - young + rest
            };
            (b * s).ln() - young + s * risen - m * (N::constant(u) / a).ln_1p()
        }
        let a = alpha + t_x;
        let (times, numbers) = ((t_x, length), [a, m, b, s, beta]);
        let plain = numbers.map(|number| number.value());
        let ln_value = |u: f64| ln_f(u, times, plain);
        let left = Self { b: plain[2], s: plain[3], beta: plain[4] }.after(t_x);
        let nodes = left.nodes(a.value().min(left.scale()), length, ln_value);
        let peak = nodes.iter().map(|&(u, _)| ln_value(u)).fold(f64::NEG_INFINITY, f64::max);
        let sum = nodes
            .into_iter()
            .fold(N::constant(0.0), |sum, (u, weight)| sum + (ln_f(u, times, numbers) - peak).exp() * weight);
        m * (N::constant(length) / a).ln_1p() + sum.ln() + peak
    }

    /// The level of those alive at `t` is Gamma(s, beta + e^(b t) − 1), and their hazard has grown by e^(b t).
    fn after(self, t: f64) -> Self {
        Self { beta: 1.0 + (self.beta - 1.0) * (-self.b * t).exp(), ..self }
    }

    fn ln_survives(self, t: f64) -> f64 {
        -self.s * ln_level_grown(self.b, self.beta, t)
    }

    fn ln_density(self, t: f64) -> f64 {
        (self.b * self.s).ln() - ln_young(self.b, self.beta, t) + self.ln_survives(t)
    }

    fn mean_life(self, t: f64) -> f64 {
        if t == 0.0 { 0.0 } else { self.integral(self.scale(), t, |u| self.ln_survives(u)) }
    }

    fn share_with_order(self, shape: f64, scale: f64, t: f64) -> f64 {
        let ln_f = |u: f64| self.ln_survives(u) - (shape + 1.0) * (u / scale).ln_1p();
        shape / scale * self.integral(self.scale().min(scale), t, ln_f)
    }

    fn at_survival(self, survival: f64) -> f64 {
        (self.beta * (-survival.ln() / self.s).exp_m1()).ln_1p() / self.b
    }
}
