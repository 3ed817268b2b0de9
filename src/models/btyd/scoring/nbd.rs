//! Scores of Pareto/NBD and GGom/NBD from one function of time for each number of orders.
//!
//! Let R(t) be the chance that somebody of age t with x orders leaves before the next order, at rates Gamma(r + x, alpha + t),
//! and N(t, t') the chance that neither has come by t':
//!
//! ```text
//! N(t, t') = ((alpha + t) / (alpha + t'))^(r + x) S(t') / S(t),   R(t) = P(leaves before t') + N(t, t') R(t').
//! ```
//!
//! The odds of having left in (t_x, T) against being alive are (R(t_x) − N R(T)) / N with N = N(t_x, T), and the chance of an
//! order by T + h is 1 − R(T) − N (1 − R(T + h)) with N = N(T, T + h): two differences that cancel only where the result
//! hardly differs from certainty. ln R is kept as Chebyshev series in the logarithm of age.

use std::sync::OnceLock;

use super::super::discounted::discounted;
use super::super::nbd::{Known, Lifetime, Nbd};
use super::super::{BtydError, LARGEST, OrdersProcess, Rfm};
use super::{KEPT, OrdersScorer, Outlook};
use crate::math::chebyshev::{Pieces, Series};
use crate::math::special::logistic_of_minus;

pub(super) struct NbdScorer<L: Lifetime<K>, const K: usize> {
    model: Nbd<L, K>,
    horizon: f64,
    /// Age is seen as ln (1 + t / unit).
    unit: f64,
    /// ln R by the number of orders; made when first asked for.
    leaving: Box<[OnceLock<Pieces>]>,
    /// Expected life in the horizon by age, where it is no closed form.
    life: Pieces,
}

/// Ages that series are made for: up to e^24 times the unit.
const PIECES: usize = 24;

/// Absolute error of ln R, and relative error of an expected life, at the ends of a piece.
const TOLERANCE: f64 = 1e-12;

/// R is reckoned up to here, beyond every age and horizon, lest an integral be infinite.
const END: f64 = 4.0 * LARGEST;

/// Chances that must add up to 1 do so within this.
const ALL: f64 = 1e-11;

/// Beyond odds of e^30 what R(T) <= 1 takes off is nothing.
const CERTAIN: f64 = 30.0;

impl<L: Lifetime<K>, const K: usize> NbdScorer<L, K> {
    pub(super) fn new(model: Nbd<L, K>, horizon: f64) -> Self {
        let parameters = model.parameters();
        Self {
            model,
            horizon,
            unit: parameters[1].min(L::of(&parameters).smooth_within()),
            leaving: (0..KEPT).map(|_| OnceLock::new()).collect(),
            life: Pieces::new(PIECES),
        }
    }

    fn seen(&self, t: f64) -> f64 {
        (t / self.unit).ln_1p()
    }

    /// ln R at an age, of customers with as many orders; `None` where there is no series.
    fn ln_leaving(&self, x: f64, t: f64) -> Option<f64> {
        let pieces = self.leaving.get(x as usize)?.get_or_init(|| Pieces::new(PIECES));
        let parameters = self.model.parameters();
        let ln_leaving = |seen: f64| {
            let t = self.unit * seen.exp_m1();
            L::of(&parameters).after(t).ln_leaves_first(parameters[0] + x, parameters[1] + t, END - t)
        };
        // Who neither leaves nor orders first has done neither by the end: an integral that is not followed well, of a
        // lifetime that ends for all at once, gives itself away.
        let adds_up = |seen: f64| {
            let t = self.unit * seen.exp_m1();
            let (life, shape, scale) = (L::of(&parameters).after(t), parameters[0] + x, parameters[1] + t);
            let neither = (life.ln_survives(END - t) - shape * ((END - t) / scale).ln_1p()).exp();
            let all = ln_leaving(seen).exp() + life.share_with_order(shape, scale, END - t) + neither;
            (all - 1.0).abs() <= ALL
        };
        let make = |from: f64, to: f64| {
            let followed = adds_up(from) && adds_up(0.5 * (from + to)) && adds_up(to);
            followed.then(|| Series::new(from, to, [ln_leaving(from), ln_leaving(to)], TOLERANCE, ln_leaving))?
        };
        pieces.at(self.seen(t), make)
    }

    fn mean_life(&self, t: f64) -> f64 {
        let lifetime = L::of(&self.model.parameters());
        let of_age = |t: f64| lifetime.after(t).mean_life(self.horizon);
        if L::MEAN_LIFE_IS_CLOSED {
            return of_age(t);
        }
        let make = |from: f64, to: f64| {
            let of_seen = |seen: f64| of_age(self.unit * seen.exp_m1());
            let ends = [of_seen(from), of_seen(to)];
            Series::new(from, to, ends, TOLERANCE * ends[0].min(ends[1]), of_seen)
        };
        self.life.at(self.seen(t), make).unwrap_or_else(|| of_age(t))
    }

    /// Being alive, and of those who are the chance of an order in the horizon.
    fn alive_and_share(&self, history: &Rfm) -> Option<(f64, f64)> {
        let (x, t_x, t) = (history.x(), history.t_x(), history.t());
        let [r, alpha] = [self.model.parameters()[0], self.model.parameters()[1]];
        let ln_r = self.ln_leaving(x, t)?;
        let r_now = ln_r.exp();
        let later = t + self.horizon;
        let lifetime = L::of(&self.model.parameters());
        let ln_neither = |from: f64, to: f64| {
            lifetime.after(from).ln_survives(to - from) - (r + x) * ((to - from) / (alpha + from)).ln_1p()
        };
        let alive = if t > t_x {
            let ln_first = self.ln_leaving(x, t_x)? - ln_neither(t_x, t);
            if ln_first > CERTAIN {
                logistic_of_minus(ln_first)
            } else {
                1.0 / (1.0 + (ln_first.exp() - r_now).max(0.0))
            }
        } else {
            1.0
        };
        let ln_neither = ln_neither(t, later);
        let left_later = (self.ln_leaving(x, later)? + ln_neither).exp();
        let share = -ln_neither.exp_m1() - (r_now - left_later);
        Some((alive, share.clamp(0.0, 1.0)))
    }
}

impl<L: Lifetime<K>, const K: usize> OrdersScorer for NbdScorer<L, K> {
    fn outlook(&self, history: &Rfm) -> Outlook {
        let found = if self.horizon > 0.0 { self.alive_and_share(history) } else { None };
        let (alive, share, life) = match found {
            Some((alive, share)) => (alive, share, self.mean_life(history.t())),
            None => {
                let known: Known<L> = self.model.at_t(history);
                if known.alive == 0.0 {
                    return Outlook { alive: 0.0, no_order: 1.0, expected_orders: 0.0 };
                }
                let (share, life) = known.outlook(self.horizon);
                (known.alive, share, life)
            }
        };
        let [r, alpha] = [self.model.parameters()[0], self.model.parameters()[1]];
        let rate = (r + history.x()) / (alpha + history.t());
        Outlook { alive, no_order: 1.0 - alive * share, expected_orders: alive * rate * life }
    }

    fn discounted(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError> {
        let known = self.model.at_t(history);
        let orders = known.shape / known.scale;
        discounted(
            |days| if known.alive == 0.0 { 0.0 } else { known.alive * orders * known.left.mean_life(days) },
            rate,
        )
    }

    fn median(&self, history: &Rfm) -> Option<f64> {
        self.model.median_to_next_order(history)
    }
}
