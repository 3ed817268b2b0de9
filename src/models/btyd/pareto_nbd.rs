//! Pareto/NBD: lifetimes end at rates that are Gamma-distributed across customers.
//!
//! Sources: [`super::nbd`]. Lifetimes are Pareto of the second kind, S(t) = (1 + t / beta)^−s.

use super::nbd::{Lifetime, Nbd};
use super::power_integral::{ln_power_integral, ln_power_integral_expanded};
use crate::math::{Jet, Number};

/// Pareto/NBD at `[r, alpha, s, beta]`: rates Gamma(r, alpha), ends at rates Gamma(s, beta). `alpha` and `beta` are in
/// the unit of time.
pub type ParetoNbd = Nbd<Pareto, 4>;

/// Pareto lifetimes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pareto {
    s: f64,
    beta: f64,
}

impl Lifetime<4> for Pareto {
    const NAME: &'static str = "Pareto/NBD";
    const LETTERS: [&'static str; 4] = ["r", "alpha", "s", "beta"];
    const POWERS: [i32; 4] = [0, 1, 0, 1];

    fn of(&[_, _, s, beta]: &[f64; 4]) -> Self {
        Self { s, beta }
    }

    fn starts(orders: f64) -> Vec<[f64; 4]> {
        let start = |r: f64, s: f64, beta: f64| [r, r / orders, s, beta];
        vec![start(0.6, 0.6, 0.5), start(2.0, 0.5, 2.0), start(1.0, 2.0, 5.0)]
    }

    fn ln_survival<N: Number>([_, _, s, beta]: [N; 4], t: f64) -> N {
        -(s * (N::constant(t) / beta).ln_1p())
    }

    fn ln_odds_left<N: Number>([r, alpha, s, beta]: [N; 4], x: f64, t_x: f64, t: f64) -> N {
        let (a, b, m, length) = (alpha + t_x, beta + t_x, r + x, t - t_x);
        let grown = m * (N::constant(length) / a).ln_1p() + s * (N::constant(length) / b).ln_1p();
        (s / b).ln() + grown + ln_power_integral(m, a, s + 1.0, b, length)
    }

    fn expanded([r, alpha, s, beta]: [f64; 4], x: f64, t_x: f64, t: f64) -> (Jet<4>, Option<Jet<4>>) {
        let (at_zero, at_end) = (1.0 / beta, 1.0 / (beta + t));
        let grown = (t * at_zero).ln_1p();
        let mut survival = Jet::<4>::constant(-s * grown);
        survival.gradient = [0.0, 0.0, -grown, s * (at_zero - at_end)];
        survival.hessian[2][3] = at_zero - at_end;
        survival.hessian[3][2] = at_zero - at_end;
        survival.hessian[3][3] = -s * (at_zero * at_zero - at_end * at_end);
        if t <= t_x {
            return (survival, None);
        }
        let (a, b, m, length) = (alpha + t_x, beta + t_x, r + x, t - t_x);
        let (of_a, of_b, end_a) = (1.0 / a, 1.0 / b, 1.0 / (alpha + t));
        let (grown_a, grown_b) = ((length * of_a).ln_1p(), (length * of_b).ln_1p());
        let (value, gradient, hessian) = ln_power_integral_expanded(m, a, s + 1.0, b, length);
        let mut odds = Jet::<4> { value: value + (s * of_b).ln() + m * grown_a + s * grown_b, gradient, hessian };
        let (by_a, by_b) = (end_a - of_a, at_end - of_b);
        odds.gradient[0] += grown_a;
        odds.gradient[1] += m * by_a;
        odds.gradient[2] += 1.0 / s + grown_b;
        odds.gradient[3] += s * by_b - of_b;
        for (i, j, bend) in [(0, 1, by_a), (1, 0, by_a), (2, 3, by_b), (3, 2, by_b)] {
            odds.hessian[i][j] += bend;
        }
        odds.hessian[1][1] += m * (of_a * of_a - end_a * end_a);
        odds.hessian[2][2] -= 1.0 / (s * s);
        odds.hessian[3][3] += s * (of_b * of_b - at_end * at_end) + of_b * of_b;
        (survival, Some(odds))
    }

    fn after(self, t: f64) -> Self {
        Self { beta: self.beta + t, ..self }
    }

    fn ln_survives(self, t: f64) -> f64 {
        -self.s * (t / self.beta).ln_1p()
    }

    fn ln_density(self, t: f64) -> f64 {
        (self.s / self.beta).ln() - (self.s + 1.0) * (t / self.beta).ln_1p()
    }

    fn smooth_within(self) -> f64 {
        self.beta
    }

    const MEAN_LIFE_IS_CLOSED: bool = true;

    /// `beta / (s − 1) (1 − (1 + t / beta)^−(s − 1))`, whose limit at `s = 1` is a logarithm.
    fn mean_life(self, t: f64) -> f64 {
        let (power, grown) = (self.s - 1.0, (t / self.beta).ln_1p());
        self.beta * if power == 0.0 { grown } else { -(-power * grown).exp_m1() / power }
    }

    /// The density of the end, `s / beta (1 + u / beta)^−(s + 1)`, over those without an order.
    fn ln_leaves_first(self, shape: f64, scale: f64, t: f64) -> f64 {
        (self.s / self.beta).ln() + ln_power_integral(shape, scale, self.s + 1.0, self.beta, t)
    }

    /// The density of the next order, `shape / scale (1 + u / scale)^−(shape + 1)`, over those still alive.
    fn share_with_order(self, shape: f64, scale: f64, t: f64) -> f64 {
        ((shape / scale).ln() + ln_power_integral(shape + 1.0, scale, self.s, self.beta, t)).exp()
    }

    fn at_survival(self, survival: f64) -> f64 {
        self.beta * (-survival.ln() / self.s).exp_m1()
    }
}
