//! Discounted orders of any model, from its expected orders.

use super::BtydError;
use crate::math::quadrature::legendre;

/// Times below e^-30 = 1e-13 of the time constant of discounting hold less than that share of the sum, for expected
/// orders never fall with time; beyond e^3.8 = 45 of them e^-45 is left.
const FROM: f64 = -30.0;
const TO: f64 = 3.8;

/// Panels in the logarithm of time: sixteen nodes follow a power law to rounding over this width, and the exponential at
/// its end, too.
const PANELS: u32 = 20;

/// `∫ e^(−rate t) dE(t)` with `E` the expected orders up to t: by parts `∫ e^−v E(v / rate) dv`, in the logarithm of v.
pub(super) fn discounted(expected_orders: impl Fn(f64) -> f64, rate: f64) -> Result<f64, BtydError> {
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(BtydError::BadRate { rate });
    }
    let width = (TO - FROM) / f64::from(PANELS);
    let panel = |panel: u32| {
        let left = FROM + f64::from(panel) * width;
        let term = |(y, weight): (f64, f64)| {
            let v = y.exp();
            weight * v * (-v).exp() * expected_orders(v / rate)
        };
        legendre(left, left + width).map(term).sum::<f64>()
    };
    Ok((0..PANELS).map(panel).sum())
}
