//! GGom/NBD: lifetimes with a hazard that grows with age, at a level that differs across customers.
//!
//! BG = Bemmaor & Glady (2012), "Modeling Purchasing Behavior with Sudden 'Death': A Flexible Customer Lifetime Model",
//! Management Science 58(5), 1012-1021. Lifetimes are Gompertz with rate `b` and a level ~ Gamma(s, beta):
//! S(t) = (1 + (e^(b t) − 1) / beta)^−s. As `b` goes to 0 with beta / b held, this is Pareto/NBD.

use std::f64::consts::{PI, TAU};

use super::nbd::{Lifetime, Nbd};
use super::power_integral::{SIXTEEN, panels};
use crate::math::quadrature::legendre;
use crate::math::{Jet, Number};

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

/// A panel as wide as this share of the distance to the nearest singularity is integrated to rounding.
const OF_DISTANCE: f64 = 0.5;

/// Beyond this `e^(b t)` is not formed.
const LARGE: f64 = 300.0;

/// `ln ((beta + e^(b t) − 1) / beta)`, without the difference of two logarithms where `b t` is ordinary.
fn ln_level_grown<N: Number>(b: N, beta: N, t: f64) -> N {
    let grown = b * t;
    if grown.value() < LARGE { (grown.exp_m1() / beta).ln_1p() } else { ln_young(b, beta, t) + grown - beta.ln() }
}

/// `ln` of the level at `end` over that at `time`, earlier.
fn ln_risen<N: Number>(b: N, beta: N, time: f64, end: f64) -> N {
    let rest = b * (end - time);
    if rest.value() < LARGE {
        (rest.exp_m1() * (-ln_young(b, beta, time)).exp()).ln_1p()
    } else {
        ln_young(b, beta, end) - ln_young(b, beta, time) + rest
    }
}

/// `ln` of (1 + u / a)^−m f(t_x + u) / S(T), T = t_x + length.
fn ln_leaving<N: Number>(u: f64, (t_x, length): (f64, f64), [a, m, b, s, beta]: [N; 5]) -> N {
    let young = ln_young(b, beta, t_x + u);
    (b * s).ln() - young + s * ln_risen(b, beta, t_x + u, t_x + length) - m * (N::constant(u) / a).ln_1p()
}

impl Gompertz {
    /// Distance from `u` to the nearest singularity of survival, where e^(b u) = 1 − beta: a pair at ±π / b beside the
    /// age at which the hazard is half grown. Where beta < 1 one lies on the negative axis, no nearer than the scale, which
    /// the logarithm moves away, and the next at ±2 π / b.
    fn distance(self, u: f64) -> f64 {
        let along = u - (1.0 - self.beta).abs().ln() / self.b;
        along.hypot(if self.beta < 1.0 { TAU } else { PI } / self.b)
    }

    /// Nodes in `(0, length)` for an integrand that varies over `scale`, and with the survival, and whose logarithm is
    /// `ln_f`.
    fn nodes(self, scale: f64, length: f64, ln_f: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut nodes = Vec::new();
        let depth = |w: f64| -ln_f(scale * w.exp_m1()) - w;
        let widest =
            |w: f64| (OF_DISTANCE * self.distance(scale * w.exp_m1()) / (scale * w.exp())).ln_1p().min(SIXTEEN.width);
        panels((length / scale).ln_1p(), SIXTEEN.width, depth, widest, |left, width| {
            nodes.extend(legendre(left, left + width).map(|(w, weight)| {
                let u = scale * w.exp_m1();
                (u, weight * (scale + u))
            }));
        });
        nodes
    }

    /// Nodes for the chance of having left in `(t_x, t_x + length)`: time since t_x, weight, logarithm of the integrand.
    fn nodes_of_leaving(p: [f64; 5], t_x: f64, length: f64, m: f64) -> Vec<(f64, f64, f64)> {
        let [_, alpha, b, s, beta] = p;
        let a = alpha + t_x;
        let left = Self { b, s, beta }.after(t_x);
        let ln_value = |u: f64| ln_leaving(u, (t_x, length), [a, m, b, s, beta]);
        let nodes = left.nodes(a.min(left.smooth_within()), length, ln_value);
        nodes.into_iter().map(|(u, weight)| (u, weight, ln_value(u))).collect()
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
        let (length, m, a) = (t - t_x, r + x, alpha + t_x);
        let nodes = Self::nodes_of_leaving(p.map(|number| number.value()), t_x, length, m.value());
        let peak = nodes.iter().map(|node| node.2).fold(f64::NEG_INFINITY, f64::max);
        let grown = m * (N::constant(length) / a).ln_1p() + peak;
        if !N::CARRIES {
            let sum: f64 = nodes.into_iter().map(|(_, weight, ln_value)| weight * (ln_value - peak).exp()).sum();
            return grown + sum.ln();
        }
        let sum = nodes.into_iter().fold(N::constant(0.0), |sum, (u, weight, _)| {
            sum + (ln_leaving(u, (t_x, length), [a, m, b, s, beta]) - peak).exp() * weight
        });
        grown + sum.ln()
    }

    fn expanded(p: [f64; 5], x: f64, t_x: f64, t: f64) -> (Jet<5>, Option<Jet<5>>) {
        let jets = std::array::from_fn(|i| Jet::parameter(i, p[i]));
        let survival = Self::ln_survival(jets, t);
        if t <= t_x {
            return (survival, None);
        }
        let [r, alpha, b, s, beta] = p;
        let (m, a, length) = (r + x, alpha + t_x, t - t_x);
        // Of the level l = beta + e^(b t) − 1 at a time: e^(b t) / l and 1 / l.
        let shares = |time: f64| {
            let grown = (-ln_young(b, beta, time)).exp();
            (grown, grown * (-b * time).exp())
        };
        let (end, end_less) = shares(t);
        let nodes = Self::nodes_of_leaving(p, t_x, length, m);
        let peak = nodes.iter().map(|node| node.2).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut slopes, mut curvatures) = (0.0, [0.0; 5], [[0.0; 5]; 5]);
        for (u, weight, ln_value) in nodes {
            let (time, value) = (t_x + u, weight * (ln_value - peak).exp());
            let (now, less) = shares(time);
            let risen = ln_risen(b, beta, time, t);
            let of_a = u / (a * (a + u));
            // First and second derivatives of ln f over [r, alpha, b, s, beta].
            let first = [
                -(u / a).ln_1p(),
                m * of_a,
                1.0 / b + time - (1.0 + s) * time * now + s * t * end,
                1.0 / s + risen,
                s * end_less - (1.0 + s) * less,
            ];
            let half = beta - 1.0;
            let second = [
                (0, 1, of_a),
                (1, 1, -m * of_a * (1.0 / a + 1.0 / (a + u))),
                (2, 2, -1.0 / (b * b) + half * (s * t * t * end * end_less - (1.0 + s) * time * time * now * less)),
                (2, 3, t * end - time * now),
                (2, 4, (1.0 + s) * time * now * less - s * t * end * end_less),
                (3, 3, -1.0 / (s * s)),
                (3, 4, end_less - less),
                (4, 4, (1.0 + s) * less * less - s * end_less * end_less),
            ];
            sum += value;
            for i in 0..5 {
                slopes[i] += value * first[i];
                for j in i..5 {
                    curvatures[i][j] += value * first[i] * first[j];
                }
            }
            for (i, j, bend) in second {
                curvatures[i][j] += value * bend;
            }
        }
        let mut odds = Jet::constant(peak + sum.ln());
        odds.gradient = slopes.map(|slope| slope / sum);
        for i in 0..5 {
            for j in i..5 {
                odds.hessian[i][j] = curvatures[i][j] / sum - odds.gradient[i] * odds.gradient[j];
                odds.hessian[j][i] = odds.hessian[i][j];
            }
        }
        // m ln (1 + length / a)
        let (grown, by_a) = ((length / a).ln_1p(), 1.0 / (a + length) - 1.0 / a);
        odds.value += m * grown;
        odds.gradient[0] += grown;
        odds.gradient[1] += m * by_a;
        odds.hessian[0][1] += by_a;
        odds.hessian[1][0] += by_a;
        odds.hessian[1][1] += m * (1.0 / (a * a) - 1.0 / ((a + length) * (a + length)));
        (survival, Some(odds))
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

    fn smooth_within(self) -> f64 {
        self.beta.min(1.0) / self.b
    }

    const MEAN_LIFE_IS_CLOSED: bool = false;

    fn mean_life(self, t: f64) -> f64 {
        if t == 0.0 { 0.0 } else { self.integral(self.smooth_within(), t, |u| self.ln_survives(u)) }
    }

    fn ln_leaves_first(self, shape: f64, scale: f64, t: f64) -> f64 {
        let ln_f = |u: f64| self.ln_density(u) - shape * (u / scale).ln_1p();
        // The density may be far above or below 1: it is taken in units of its value at 0.
        let at_zero = ln_f(0.0);
        at_zero + self.integral(self.smooth_within().min(scale), t, |u| ln_f(u) - at_zero).ln()
    }

    fn share_with_order(self, shape: f64, scale: f64, t: f64) -> f64 {
        let ln_f = |u: f64| self.ln_survives(u) - (shape + 1.0) * (u / scale).ln_1p();
        shape / scale * self.integral(self.smooth_within().min(scale), t, ln_f)
    }

    fn at_survival(self, survival: f64) -> f64 {
        (self.beta * (-survival.ln() / self.s).exp_m1()).ln_1p() / self.b
    }
}
