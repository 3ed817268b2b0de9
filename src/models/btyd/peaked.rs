//! Integrals of functions of time that rise to one peak and fall again, which may be a sharp one.

use crate::math::quadrature::legendre;

/// What is left after the integrand has fallen by e^-42 = 6e-19 from its peak is nothing.
const NEGLIGIBLE: f64 = 42.0;

/// Steps of a search over ln t, each of which shortens the bracket to 0.62 of itself: enough for a width of 700 to 1e-9.
const SEARCH_STEPS: usize = 60;

/// The widest panel in ln t, half the distance to the singularity of a power of 1 + t on each side.
const PANEL: f64 = 1.5;

/// A concave logarithm falls by 42 within 42 times the width over which it falls by 1; the limit is a guard.
const MOST_PANELS: f64 = 400.0;

/// The least time looked at, as a share of the whole: its logarithm.
const LEAST: f64 = -700.0;

/// `∫ e^(ln_f(t)) dt` over `t` in `(0, whole)`, for a function with one peak in ln t: sixteen nodes on panels so wide
/// that the logarithm moves by about 1 near the peak.
pub(super) fn integral_of_peak(ln_f: impl Fn(f64) -> f64, whole: f64) -> f64 {
    let end = whole.ln();
    let ln_g = |y: f64| ln_f(y.exp()) + y; // dt = t dy
    // The peak, by golden section.
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let (mut low, mut high) = (end + LEAST, end);
    for _ in 0..SEARCH_STEPS {
        let (one, other) = (high - golden * (high - low), low + golden * (high - low));
        // Where both underflow to nothing, the peak is later: orders take time.
        if ln_g(one) > ln_g(other) { high = other } else { low = one }
    }
    let mode = 0.5 * (low + high);
    let peak = ln_g(mode).max(ln_g(end));
    if !peak.is_finite() {
        return 0.0;
    }
    // Where it has fallen by `depth` from the peak, on the way from the mode to `bound`.
    let fallen = |bound: f64, depth: f64| {
        if ln_g(bound) > peak - depth {
            return bound;
        }
        let (mut inside, mut outside) = (mode, bound);
        for _ in 0..SEARCH_STEPS {
            let middle = 0.5 * (inside + outside);
            if ln_g(middle) > peak - depth {
                inside = middle
            } else {
                outside = middle
            }
            if (outside - inside).abs() < 1e-3 * (inside - mode).abs() {
                break;
            }
        }
        outside
    };
    let (from, to) = (fallen(end + LEAST, NEGLIGIBLE), fallen(end, NEGLIGIBLE));
    let near = (fallen(end, 1.0) - fallen(end + LEAST, 1.0)).max(1e-9);
    let panels = ((to - from) / near.min(PANEL)).ceil().clamp(1.0, MOST_PANELS);
    let width = (to - from) / panels;
    let rule = |left: f64, width: f64| -> f64 {
        legendre(left, left + width).map(|(y, weight)| weight * (ln_g(y) - peak).exp()).sum()
    };
    let mut sum = 0.0;
    for panel in 0..panels as u32 {
        let left = from + f64::from(panel) * width;
        sum += refined(&rule, left, width, rule(left, width), MOST_HALVINGS);
    }
    sum * peak.exp()
}

/// A panel is halved where its halves tell otherwise, at most so often: a lifetime that ends all of a sudden is a corner.
const MOST_HALVINGS: u32 = 12;

/// Halves agree with their whole when they differ by less than this; the integral, over its peak, is of the order of 1.
const AGREED: f64 = 1e-14;

fn refined(rule: &dyn Fn(f64, f64) -> f64, left: f64, width: f64, whole: f64, halvings: u32) -> f64 {
    let half = 0.5 * width;
    let (first, second) = (rule(left, half), rule(left + half, half));
    if halvings == 0 || (first + second - whole).abs() <= AGREED * (first + second).max(1.0) {
        return first + second;
    }
    refined(rule, left, half, first, halvings - 1) + refined(rule, left + half, half, second, halvings - 1)
}
