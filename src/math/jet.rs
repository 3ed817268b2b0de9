//! Numbers that carry their first and second derivatives: a log-likelihood is written once, and its gradient and
//! Hessian follow by the chain rule, exactly.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::special::{digamma, ln_gamma, ln_gamma_ratio, logistic_of_minus, trigamma};

/// What a formula needs of a number, be it an `f64` or a [`Jet`].
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
{
    /// Whether derivatives are carried, and so have to be reckoned.
    const CARRIES: bool;

    /// A number that depends on no parameter.
    fn constant(value: f64) -> Self;

    /// The value.
    fn value(&self) -> f64;

    /// A function of several numbers from its value, gradient and Hessian there; `derivatives` is called only where
    /// they are carried.
    fn compose<const M: usize>(
        inputs: [Self; M],
        value: f64,
        derivatives: impl FnOnce() -> ([f64; M], [[f64; M]; M]),
    ) -> Self;

    /// A function of this number from its value and its first and second derivative.
    fn chain(self, value: f64, derivatives: impl FnOnce() -> (f64, f64)) -> Self {
        Self::compose([self], value, || {
            let (first, second) = derivatives();
            ([first], [[second]])
        })
    }

    /// Natural logarithm.
    fn ln(self) -> Self {
        let x = self.value();
        self.chain(x.ln(), || (1.0 / x, -1.0 / (x * x)))
    }

    /// `ln (1 + x)`.
    fn ln_1p(self) -> Self {
        let x = self.value();
        let slope = 1.0 / (1.0 + x);
        self.chain(x.ln_1p(), || (slope, -slope * slope))
    }

    /// `e^x`.
    fn exp(self) -> Self {
        let value = self.value().exp();
        self.chain(value, || (value, value))
    }

    /// `e^x − 1`.
    fn exp_m1(self) -> Self {
        let value = self.value().exp_m1();
        self.chain(value, || (value + 1.0, value + 1.0))
    }

    /// `ln Γ(x)`.
    fn ln_gamma(self) -> Self {
        let x = self.value();
        self.chain(ln_gamma(x), || (digamma(x), trigamma(x)))
    }

    /// `ln Γ(x + n) − ln Γ(x)`.
    fn ln_gamma_ratio(self, n: f64) -> Self {
        let x = self.value();
        self.chain(ln_gamma_ratio(x, n), || self.ln_gamma_ratio_slopes(n))
    }

    /// First and second derivative of [`Self::ln_gamma_ratio`].
    fn ln_gamma_ratio_slopes(&self, n: f64) -> (f64, f64) {
        let x = self.value();
        (digamma(x + n) - digamma(x), trigamma(x + n) - trigamma(x))
    }

    /// `ln (1 + e^x)`.
    fn softplus(self) -> Self {
        let x = self.value();
        self.chain(super::softplus(x), || {
            let slope = logistic_of_minus(-x);
            (slope, slope * logistic_of_minus(x))
        })
    }
}

impl Number for f64 {
    const CARRIES: bool = false;

    fn constant(value: f64) -> Self {
        value
    }

    fn value(&self) -> f64 {
        *self
    }

    fn compose<const M: usize>(_: [Self; M], value: f64, _: impl FnOnce() -> ([f64; M], [[f64; M]; M])) -> Self {
        value
    }
}

/// A value with its gradient and Hessian over `N` parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jet<const N: usize> {
    /// The value.
    pub value: f64,
    /// First derivatives.
    pub gradient: [f64; N],
    /// Second derivatives, symmetric.
    pub hessian: [[f64; N]; N],
}

impl<const N: usize> Jet<N> {
    /// The parameter at `index`, over which the derivatives are.
    pub fn parameter(index: usize, value: f64) -> Self {
        let mut jet = Self::constant(value);
        jet.gradient[index] = 1.0;
        jet
    }

    /// The parameter at `index`, given by its logarithm, over which the derivatives are.
    pub fn exp_of_parameter(index: usize, ln: f64) -> Self {
        let mut jet = Self::constant(ln.exp());
        jet.gradient[index] = jet.value;
        jet.hessian[index][index] = jet.value;
        jet
    }
}

impl<const N: usize> Number for Jet<N> {
    const CARRIES: bool = true;

    fn constant(value: f64) -> Self {
        Self { value, gradient: [0.0; N], hessian: [[0.0; N]; N] }
    }

    fn value(&self) -> f64 {
        self.value
    }

    fn compose<const M: usize>(
        inputs: [Self; M],
        value: f64,
        derivatives: impl FnOnce() -> ([f64; M], [[f64; M]; M]),
    ) -> Self {
        let (slopes, curvatures) = derivatives();
        let mut jet = Self::constant(value);
        for (m, input) in inputs.iter().enumerate() {
            let mut bent = [0.0; N]; // Σ over the others of the curvature times their gradient
            for (other, curvature) in inputs.iter().zip(curvatures[m]) {
                for i in 0..N {
                    bent[i] += curvature * other.gradient[i];
                }
            }
            for i in 0..N {
                jet.gradient[i] += slopes[m] * input.gradient[i];
                for j in 0..N {
                    jet.hessian[i][j] += slopes[m] * input.hessian[i][j] + input.gradient[i] * bent[j];
                }
            }
        }
        jet
    }
}

impl<const N: usize> Add for Jet<N> {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.value += other.value;
        for i in 0..N {
            self.gradient[i] += other.gradient[i];
            for j in 0..N {
                self.hessian[i][j] += other.hessian[i][j];
            }
        }
        self
    }
}

impl<const N: usize> Neg for Jet<N> {
    type Output = Self;

    fn neg(self) -> Self {
        self * -1.0
    }
}

impl<const N: usize> Sub for Jet<N> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl<const N: usize> Mul for Jet<N> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let mut jet = Self::constant(self.value * other.value);
        for i in 0..N {
            jet.gradient[i] = self.value * other.gradient[i] + other.value * self.gradient[i];
            for j in 0..N {
                jet.hessian[i][j] = self.value * other.hessian[i][j]
                    + other.value * self.hessian[i][j]
                    + self.gradient[i] * other.gradient[j]
                    + self.gradient[j] * other.gradient[i];
            }
        }
        jet
    }
}

impl<const N: usize> Div for Jet<N> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let inverse = 1.0 / other.value;
        self * other.chain(inverse, || (-inverse * inverse, 2.0 * inverse * inverse * inverse))
    }
}

impl<const N: usize> Add<f64> for Jet<N> {
    type Output = Self;

    fn add(mut self, other: f64) -> Self {
        self.value += other;
        self
    }
}

impl<const N: usize> Sub<f64> for Jet<N> {
    type Output = Self;

    fn sub(mut self, other: f64) -> Self {
        self.value -= other;
        self
    }
}

impl<const N: usize> Mul<f64> for Jet<N> {
    type Output = Self;

    fn mul(mut self, other: f64) -> Self {
        self.value *= other;
        for i in 0..N {
            self.gradient[i] *= other;
            for j in 0..N {
                self.hessian[i][j] *= other;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation of the trait, in one formula.
    fn formula<N: Number>(x: N, y: N) -> N {
        let sum = (x * y + 0.3).ln() - (x / y).ln_1p() * 2.0;
        let gammas = x.ln_gamma() + y.ln_gamma_ratio(3.5) - x.ln_gamma_ratio(2.0);
        sum * gammas + (x - y).softplus() + (-x).exp() * (y * 0.1).exp_m1() - 1.0
    }

    #[test]
    fn derivatives_agree_with_differences() {
        const STEP: f64 = 1e-4; // second differences: truncation STEP², rounding 1e-16 / STEP², both about 1e-8
        for (x, y) in [(0.4, -0.3), (1.5, 0.2), (-1.0, 1.0)] {
            let at = |x: f64, y: f64| formula(x.exp(), y.exp());
            let jet = formula(Jet::<2>::exp_of_parameter(0, x), Jet::<2>::exp_of_parameter(1, y));
            assert_eq!(jet.value, at(x, y));
            let first = |dx: f64, dy: f64| (at(x + dx, y + dy) - at(x - dx, y - dy)) / (2.0 * STEP);
            let second = |dx: f64, dy: f64| (at(x + dx, y + dy) - 2.0 * at(x, y) + at(x - dx, y - dy)) / (STEP * STEP);
            let mixed = 0.5 * (second(STEP, STEP) - second(STEP, 0.0) - second(0.0, STEP));
            let size = 1.0 + jet.value.abs();
            for (got, want) in [
                (jet.gradient[0], first(STEP, 0.0)),
                (jet.gradient[1], first(0.0, STEP)),
                (jet.hessian[0][0], second(STEP, 0.0)),
                (jet.hessian[1][1], second(0.0, STEP)),
                (jet.hessian[0][1], mixed),
                (jet.hessian[1][0], mixed),
            ] {
                assert!((got - want).abs() < 1e-6 * size.max(want.abs()), "({x}, {y}): {got}, not {want}");
            }
        }
    }
}
