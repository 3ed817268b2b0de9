//! Chebyshev series of smooth functions that are dear to evaluate and asked for a million times.
//!
//! A function of y >= 0 is kept over pieces of width 1, each a series made when somebody first asks for it, whatever the
//! order in which they are asked for: the bits of a value depend on y alone. A piece over which no series is good enough
//! says so, and the caller evaluates the function itself.

use std::f64::consts::FRAC_PI_2;
use std::sync::OnceLock;

/// Lengths of series that are tried, shortest first. A function whose nearest singularity lies at an imaginary distance of
/// π, as that of a power of 1 + t in ln (1 + t) does, loses a factor of 12.6 with each term over a piece.
const LENGTHS: [usize; 3] = [14, 26, 48];

/// A function over `[0, pieces)`.
pub struct Pieces {
    pieces: Box<[OnceLock<Option<Series>>]>,
}

impl Pieces {
    /// Nothing is evaluated yet.
    pub fn new(pieces: usize) -> Self {
        Self { pieces: (0..pieces).map(|_| OnceLock::new()).collect() }
    }

    /// The function at `y`; `make` gives the series over the piece `[from, to]`, which must depend on these two alone.
    /// `None` beyond the last piece, for a `y` that is negative or no number, and where there is no series.
    pub fn at(&self, y: f64, make: impl FnOnce(f64, f64) -> Option<Series>) -> Option<f64> {
        if y.is_nan() || y < 0.0 {
            return None;
        }
        let piece = y as usize; // saturates
        let from = piece as f64;
        let series = self.pieces.get(piece)?.get_or_init(|| make(from, from + 1.0)).as_ref()?;
        Some(series.at(2.0 * (y - from) - 1.0))
    }
}

/// A polynomial on [-1, 1] by its Chebyshev coefficients.
pub struct Series {
    coefficients: Box<[f64]>,
}

impl Series {
    /// The series of `f` over `[from, to]`, right to about `tolerance`: the shortest that meets the given values at both
    /// ends, where interpolation is at its worst, and whose last terms are below it. `None` where the longest does not.
    pub fn new(from: f64, to: f64, ends: [f64; 2], tolerance: f64, f: impl Fn(f64) -> f64) -> Option<Self> {
        LENGTHS.into_iter().find_map(|n| {
            let series = Self::interpolated(n, |x| f(0.5 * (from + to) + 0.5 * (to - from) * x));
            let near = |x: f64, want: f64| (series.at(x) - want).abs() <= tolerance;
            let last = series.coefficients[n - 2..].iter().map(|c| c.abs()).sum::<f64>();
            // A NaN anywhere compares false.
            (last <= tolerance && near(-1.0, ends[0]) && near(1.0, ends[1])).then_some(series)
        })
    }

    /// Through the values at the `n` zeros of the next polynomial.
    fn interpolated(n: usize, f: impl Fn(f64) -> f64) -> Self {
        let cosines: Vec<f64> = (0..4 * n).map(|i| (FRAC_PI_2 * i as f64 / n as f64).cos()).collect();
        let values: Vec<f64> = (0..n).map(|j| f(cosines[2 * j + 1])).collect();
        let coefficient = |k: usize| {
            let sum: f64 = values.iter().zip(0..).map(|(v, j)| v * cosines[(2 * j + 1) * k % (4 * n)]).sum();
            sum * if k == 0 { 1.0 } else { 2.0 } / n as f64
        };
        Self { coefficients: (0..n).map(coefficient).collect() }
    }

    /// Clenshaw's recurrence (1955), Mathematical Tables and Other Aids to Computation 9, 118-120.
    fn at(&self, x: f64) -> f64 {
        let (mut one, mut two) = (0.0, 0.0);
        for &c in self.coefficients[1..].iter().rev() {
            (one, two) = (c + 2.0 * x * one - two, one);
        }
        self.coefficients[0] + x * one - two
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(f: impl Fn(f64) -> f64 + Copy, tolerance: f64) -> impl Fn(f64, f64) -> Option<Series> {
        move |from, to| Series::new(from, to, [f(from), f(to)], tolerance, f)
    }

    #[test]
    fn smooth_functions_are_met_to_the_tolerance() {
        let functions: [fn(f64) -> f64; 4] = [
            f64::exp,
            |y| (-3.0 * y.exp_m1().ln_1p()).exp(),
            |y| (5.0 * y).sin(),
            |y| 1.0 / (1.0 + (y - 1.5) * (y - 1.5)),
        ];
        for (i, f) in functions.into_iter().enumerate() {
            let pieces = Pieces::new(4);
            for k in 0..400 {
                let y = 0.009_973 * f64::from(k);
                let got = pieces.at(y, of(f, 1e-12)).expect("smooth");
                assert!((got - f(y)).abs() < 2e-12, "function {i} at {y}: {got:e}, not {:e}", f(y));
            }
        }
    }

    #[test]
    fn what_is_not_smooth_has_no_series() {
        let pieces = Pieces::new(3);
        let corner = |y: f64| (y - 1.3).abs();
        assert!(pieces.at(0.5, of(corner, 1e-12)).is_some());
        assert!(pieces.at(1.5, of(corner, 1e-12)).is_none());
        assert!(pieces.at(2.5, of(|_| f64::NAN, 1e-12)).is_none());
        for outside in [-1e-9, 3.0, f64::INFINITY, f64::NAN] {
            assert!(pieces.at(outside, of(corner, 1e-12)).is_none(), "{outside}");
        }
    }

    #[test]
    fn a_piece_is_made_once() {
        let (pieces, made) = (Pieces::new(2), std::cell::Cell::new(0));
        for y in [1.1, 1.9, 1.0] {
            let make = |from: f64, to: f64| {
                made.set(made.get() + 1);
                of(f64::sqrt, 1e-9)(from, to)
            };
            let got = pieces.at(y, make).unwrap();
            assert!((got - y.sqrt()).abs() < 1e-9);
        }
        assert_eq!(made.get(), 1);
    }
}
