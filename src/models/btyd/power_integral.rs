//! The integral behind Pareto/NBD, positive and without a pole:
//!
//! ```text
//! I = ∫ (1 + u / A)^−m (1 + u / B)^−n du   over u in (0, L).
//! ```
//!
//! Schmittlein, Morrison & Colombo (1987), Management Science 33(1), 1-24, write it as a difference of
//! two hypergeometric functions, which cancels. Here it is summed over panels in w = ln (1 + u / C) with C the smaller
//! of A and B: the integrand is then an exponential whose slope changes slowly, and its nearest singularity lies at an
//! imaginary distance of π.

use crate::math::Number;
use crate::math::quadrature::{LEGENDRE_8, LEGENDRE_16, Node};

/// Eight nodes are exact to 1e-14 over a panel of this width and fall of the logarithm; sixteen over these.
const EIGHT: Limits = Limits { width: 1.5, fall: 4.0 };

/// See [`EIGHT`].
pub(super) const SIXTEEN: Limits = Limits { width: 3.0, fall: 14.0 };

pub(super) struct Limits {
    pub width: f64,
    fall: f64,
}

/// What is left after the integrand has fallen by e^-42 = 6e-19 from its peak is nothing.
const NEGLIGIBLE: f64 = 42.0;

/// On panels narrower than this powers may be so high that e^w − 1 needs all of its digits; on wider ones the fall allows
/// no more than 14 / 0.01 of them, which multiply rounding to 1e-13.
const NARROW: f64 = 0.01;

/// Panels at most; a guard, for the widths double.
const MOST_PANELS: usize = 4000;

/// `ln I` with its derivatives over `[m, A, n, B]`, at `m > 0`, `n > 0` and `length > 0`.
pub(super) fn ln_power_integral<N: Number>(m: N, a: N, n: N, b: N, length: f64) -> N {
    let kernel = Kernel { m: m.value(), a: a.value(), n: n.value(), b: b.value() };
    if N::CARRIES {
        let (value, gradient, hessian) = kernel.expanded(length);
        N::compose([m, a, n, b], value, || (gradient, hessian))
    } else {
        // The integrand is 1 at u = 0 and falls: the sum neither overflows nor vanishes.
        let mut sum = 0.0;
        kernel.panels(length, |Point { weight, ln_value, .. }| sum += weight * ln_value.exp());
        N::constant(sum.ln())
    }
}

/// `ln I` with its gradient and Hessian over `[m, A, n, B]`.
pub(super) fn ln_power_integral_expanded(
    m: f64,
    a: f64,
    n: f64,
    b: f64,
    length: f64,
) -> (f64, [f64; 4], [[f64; 4]; 4]) {
    Kernel { m, a, n, b }.expanded(length)
}

struct Kernel {
    m: f64,
    a: f64,
    n: f64,
    b: f64,
}

/// The integrand at one node.
struct Point {
    u: f64,
    /// `ln (1 + u / A)` and `ln (1 + u / B)`.
    ln_a: f64,
    ln_b: f64,
    /// Logarithm of the integrand.
    ln_value: f64,
    /// Weight in u of the node.
    weight: f64,
}

impl Kernel {
    fn expanded(&self, length: f64) -> (f64, [f64; 4], [[f64; 4]; 4]) {
        let mut moments = Moments::default();
        self.panels(length, |node| moments.add(self, node));
        moments.ln_integral()
    }

    /// Hands every node of the quadrature to `add`.
    fn panels(&self, length: f64, mut add: impl FnMut(Point)) {
        let a_is_smaller = self.a <= self.b;
        let (c, d, m_c, m_d) =
            if a_is_smaller { (self.a, self.b, self.m, self.n) } else { (self.b, self.a, self.n, self.m) };
        let whole = (length / c).ln_1p();
        let share = c / d;
        // The slope of −ln integrand in w rises from the first to the second of these.
        let (slope_first, slope_last) = (m_c - 1.0 + m_d * share, m_c + m_d - 1.0);
        let depth = |w: f64| (m_c - 1.0) * w + m_d * (share * w.exp_m1()).ln_1p();
        let mut rule = |left: f64, width: f64, nodes: &[Node]| {
            let centre = left + 0.5 * width;
            let at_centre = centre.exp(); // 1 + u / C there
            for &(node, weight) in nodes {
                let away = 0.5 * width * node;
                let grown = if width < NARROW {
                    [(centre - away).exp_m1(), (centre + away).exp_m1()]
                } else {
                    let factor = away.exp(); // of both nodes of the pair
                    [at_centre / factor - 1.0, at_centre * factor - 1.0]
                };
                for (w, grown) in [(centre - away, grown[0]), (centre + away, grown[1])] {
                    let (ln_c, ln_d) = (w, (share * grown).ln_1p());
                    let (ln_a, ln_b) = if a_is_smaller { (ln_c, ln_d) } else { (ln_d, ln_c) };
                    let ln_value = -m_c * ln_c - m_d * ln_d;
                    add(Point { u: c * grown, ln_a, ln_b, ln_value, weight: 0.5 * width * weight * c * (1.0 + grown) });
                }
            }
        };
        let steepest = slope_first.abs().max(slope_last.abs());
        if whole <= EIGHT.width && steepest * whole <= EIGHT.fall {
            return rule(0.0, whole, &LEGENDRE_8);
        }
        if whole <= SIXTEEN.width && steepest * whole <= SIXTEEN.fall {
            return rule(0.0, whole, &LEGENDRE_16);
        }
        let first = SIXTEEN.width.min(SIXTEEN.fall / slope_first.abs());
        panels(whole, first, depth, |_| SIXTEEN.width, |left, width| rule(left, width, &LEGENDRE_16));
    }
}

/// Divides `(0, whole)` into panels over which sixteen nodes follow an integrand whose logarithm is `−depth`, from 0 to
/// where nothing is left of it. Widths double from `first` up to `widest` at the left of a panel, and are halved where
/// the depth moves too much.
pub(super) fn panels(
    whole: f64,
    first: f64,
    depth: impl Fn(f64) -> f64,
    widest: impl Fn(f64) -> f64,
    mut rule: impl FnMut(f64, f64),
) {
    let (mut left, mut depth_left) = (0.0, depth(0.0));
    let (mut least, mut width) = (depth_left, first);
    for _ in 0..MOST_PANELS {
        width = width.min(whole - left).min(widest(left));
        let right = left + width;
        let (depth_middle, depth_right) = (depth(0.5 * (left + right)), depth(right));
        let lowest = depth_left.min(depth_right).min(depth_middle);
        let highest = depth_left.max(depth_right).max(depth_middle);
        if highest - lowest > SIXTEEN.fall && width > 1e-12 * right {
            width *= 0.5;
            continue;
        }
        rule(left, width);
        least = least.min(lowest);
        if right >= whole || (depth_right > depth_left && depth_right - least > NEGLIGIBLE) {
            return;
        }
        (left, depth_left) = (right, depth_right);
        width *= 2.0;
    }
}

/// Sums over the nodes of the integrand times the derivatives of its logarithm over `[m, A, n, B]`.
#[derive(Default)]
struct Moments {
    sum: f64,
    slopes: [f64; 4],
    curvatures: [[f64; 4]; 4],
}

impl Moments {
    fn add(&mut self, kernel: &Kernel, point: Point) {
        let Point { u, ln_a, ln_b, ln_value, weight } = point;
        let value = weight * ln_value.exp();
        let (beyond_a, beyond_b) = (1.0 / (kernel.a + u), 1.0 / (kernel.b + u));
        let (of_a, of_b) = (u * beyond_a / kernel.a, u * beyond_b / kernel.b);
        let slopes = [-ln_a, kernel.m * of_a, -ln_b, kernel.n * of_b];
        self.sum += value;
        for i in 0..4 {
            let weighed = value * slopes[i];
            self.slopes[i] += weighed;
            for j in i..4 {
                self.curvatures[i][j] += weighed * slopes[j];
            }
        }
        self.curvatures[0][1] += value * of_a;
        self.curvatures[1][1] -= value * slopes[1] * (1.0 / kernel.a + beyond_a);
        self.curvatures[2][3] += value * of_b;
        self.curvatures[3][3] -= value * slopes[3] * (1.0 / kernel.b + beyond_b);
    }

    /// Value, gradient and Hessian of the logarithm of the sum.
    fn ln_integral(&self) -> (f64, [f64; 4], [[f64; 4]; 4]) {
        let gradient = self.slopes.map(|slope| slope / self.sum);
        let mut hessian = [[0.0; 4]; 4];
        for i in 0..4 {
            for j in i..4 {
                hessian[i][j] = self.curvatures[i][j] / self.sum - gradient[i] * gradient[j];
                hessian[j][i] = hessian[i][j];
            }
        }
        (self.sum.ln(), gradient, hessian)
    }
}
