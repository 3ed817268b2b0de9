//! Pareto/NBD: lifetimes end at rates that are Gamma-distributed across customers.
//!
//! Sources: [`super::nbd`]. Lifetimes are Pareto of the second kind, S(t) = (1 + t / beta)^−s.

use super::nbd::{Lifetime, Nbd};
use super::power_integral::ln_power_integral;
use crate::math::Number;

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

    fn after(self, t: f64) -> Self {
        Self { beta: self.beta + t, ..self }
    }

    fn ln_survives(self, t: f64) -> f64 {
        -self.s * (t / self.beta).ln_1p()
    }

    fn ln_density(self, t: f64) -> f64 {
        (self.s / self.beta).ln() - (self.s + 1.0) * (t / self.beta).ln_1p()
    }

    /// `beta / (s − 1) (1 − (1 + t / beta)^−(s − 1))`, whose limit at `s = 1` is a logarithm.
    fn mean_life(self, t: f64) -> f64 {
        let (power, grown) = (self.s - 1.0, (t / self.beta).ln_1p());
        self.beta * if power == 0.0 { grown } else { -(-power * grown).exp_m1() / power }
    }

    /// The density of the next order, `shape / scale (1 + u / scale)^−(shape + 1)`, over those still alive.
    fn share_with_order(self, shape: f64, scale: f64, t: f64) -> f64 {
        ((shape / scale).ln() + ln_power_integral(shape + 1.0, scale, self.s, self.beta, t)).exp()
    }

    fn at_survival(self, survival: f64) -> f64 {
        self.beta * (-survival.ln() / self.s).exp_m1()
    }
}
