//! Scores of BG/NBD, MBG/NBD and the CNBD-k models: expected orders by Gauss rules for the chance to leave, and where
//! orders are regular by Chebyshev series over the logarithm of time, for each number of orders.

use std::sync::OnceLock;

use super::super::beta_geometric::{BetaGeometric, Known};
use super::super::beta_mean::Rules;
use super::super::discounted::discounted;
use super::super::renewal::Renewal;
use super::super::{BtydError, OrdersProcess, Rfm};
use super::{KEPT, OrdersScorer, Outlook};
use crate::math::chebyshev::{Pieces, Series};
use crate::math::quadrature::beta_rule;

pub(super) struct BetaGeometricScorer<const AT_ZERO: bool> {
    model: BetaGeometric<AT_ZERO>,
    horizon: f64,
    /// By the number of orders; made when first asked for.
    rules: Box<[OnceLock<Box<Rules>>]>,
    regular: Box<[OnceLock<Box<[Pieces]>>]>,
}

/// Series are made for times of e^LEAST scales up to e^(LEAST + PIECES).
const LEAST: f64 = -40.0;

/// See [`LEAST`].
const PIECES: usize = 64;

/// Sizes of Gauss rules that a series is made by, smallest first.
const RULES: [usize; 4] = [8, 16, 32, 64];

/// Error of a series at the ends of a piece, relative to the smaller of them.
const TOLERANCE: f64 = 2e-11;

/// What part of it the Gauss rule may have.
const OF_RULE: f64 = 0.25;

impl<const AT_ZERO: bool> BetaGeometricScorer<AT_ZERO> {
    pub(super) fn new(model: BetaGeometric<AT_ZERO>, horizon: f64) -> Self {
        let (rules, regular) = if model.regularity() == 1 { (KEPT, 0) } else { (0, KEPT) };
        Self {
            model,
            horizon,
            rules: (0..rules).map(|_| OnceLock::new()).collect(),
            regular: (0..regular).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The rules of customers with as many orders, where there are any.
    fn rules(&self, history: &Rfm, known: &Known) -> Option<&Rules> {
        let rules = self.rules.get(history.x() as usize)?;
        Some(rules.get_or_init(|| Box::new(Rules::new(self.model.parameters()[2], known.b, known.shape))))
    }

    /// Expected orders in a time of those alive, where orders are regular: the stages since the last order are weighed one
    /// by one.
    fn regular_orders(&self, history: &Rfm, known: &Known, days: f64) -> f64 {
        let ([_, _, a, _], k) = (self.model.parameters(), self.model.regularity());
        let Some(pieces) = self.regular.get(history.x() as usize) else {
            return self.model.orders_of_alive(a, history, known, days);
        };
        let pieces = pieces.get_or_init(|| (0..k).map(|_| Pieces::new(PIECES)).collect());
        let u = days / known.scale;
        let ln_u = u.ln();
        let (mut sum, mut weights, mut weight) = (0.0, 0.0, 1.0);
        for (stage, pieces) in (0..k).zip(pieces) {
            let at = |u: f64| Renewal { k, stage, shape: known.shape + f64::from(stage), u };
            let make = |from: f64, to: f64| series(a, known.b, [from, to], |place| at((place + LEAST).exp()));
            let orders = pieces.at(ln_u - LEAST, make).unwrap_or_else(|| at(u).mean_orders(a, known.b));
            sum += weight * orders;
            weights += weight;
            weight *= self.model.next_stage(history, known, stage);
        }
        sum / weights
    }
}

/// Expected orders over a piece. As a function of the chance to leave they are completely monotone, so that the error of a
/// Gauss rule is positive, and smaller for a shorter time.
fn series(a: f64, b: f64, [from, to]: [f64; 2], at: impl Fn(f64) -> Renewal) -> Option<Series> {
    let ends = [at(from).mean_orders(a, b), at(to).mean_orders(a, b)];
    let tolerance = TOLERANCE * ends[0].min(ends[1]);
    let good = |n: usize| {
        let rule = beta_rule(a, b, n)?;
        let inside = rule.iter().all(|&(p, _)| p > 0.0 && p < 1.0);
        let near = |place: f64, want: f64| (at(place).mean_by_rule(&rule) - want).abs() <= OF_RULE * tolerance;
        (inside && near(from, ends[0]) && near(to, ends[1])).then_some(rule)
    };
    match RULES.into_iter().find_map(good) {
        Some(rule) => Series::new(from, to, ends, tolerance, |place| at(place).mean_by_rule(&rule)),
        None => Series::new(from, to, ends, tolerance, |place| at(place).mean_orders(a, b)),
    }
}

impl<const AT_ZERO: bool> OrdersScorer for BetaGeometricScorer<AT_ZERO> {
    fn outlook(&self, history: &Rfm) -> Outlook {
        let known = self.model.at_t(history);
        let alive = known.alive;
        let share = self.model.share_with_order(history, &known, self.horizon);
        let expected_orders = match self.rules(history, &known) {
            _ if alive == 0.0 || self.horizon == 0.0 => 0.0,
            Some(rules) => alive * rules.mean(self.horizon / known.scale),
            None if self.model.regularity() > 1 => alive * self.regular_orders(history, &known, self.horizon),
            None => self.model.expected_orders(history, self.horizon),
        };
        Outlook { alive, no_order: 1.0 - alive * share, expected_orders }
    }

    fn discounted(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError> {
        let known = self.model.at_t(history);
        match self.rules(history, &known) {
            Some(rules) => Ok(known.alive * discounted(|days| rules.mean(days / known.scale), rate)?),
            None if self.model.regularity() > 1 && known.alive > 0.0 => {
                Ok(known.alive * discounted(|days| self.regular_orders(history, &known, days), rate)?)
            }
            None => self.model.discounted_orders(history, rate),
        }
    }

    fn median(&self, history: &Rfm) -> Option<f64> {
        self.model.median_to_next_order(history)
    }
}
