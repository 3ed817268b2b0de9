//! Logarithms and powers of whole numbers of days, looked up instead of computed for every event.

use std::sync::LazyLock;

/// Half-lives of what fades, in days: a week, a month, a season.
pub(super) const HALF_LIVES: [u16; 3] = [7, 30, 90];

/// Eleven years: nearly every number of days that a timeline holds.
const LENGTH: usize = 4096;

static X_LN_X: LazyLock<Vec<f64>> = LazyLock::new(|| (0..LENGTH).map(|x| exact_x_ln_x(x as f64)).collect());

static FADING: LazyLock<Vec<[f64; HALF_LIVES.len()]>> =
    LazyLock::new(|| (0..LENGTH).map(|days| exact_fading(days as f64)).collect());

fn exact_x_ln_x(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x * x.ln() }
}

fn exact_fading(days: f64) -> [f64; HALF_LIVES.len()] {
    HALF_LIVES.map(|half_life| (-days / f64::from(half_life)).exp2())
}

/// `x ln x`, 0 at 0: the summand of an entropy.
pub(super) fn x_ln_x(x: usize) -> f64 {
    X_LN_X.get(x).copied().unwrap_or_else(|| exact_x_ln_x(x as f64))
}

/// What is left after so many days, `2^(−days / half-life)`, for each half-life.
pub(super) fn fading(days: i32) -> [f64; HALF_LIVES.len()] {
    FADING.get(days as usize).copied().unwrap_or_else(|| exact_fading(f64::from(days)))
}
