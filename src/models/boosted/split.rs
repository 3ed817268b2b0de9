//! The best question about a feature, from its histogram.
//!
//! With G and H the sums of gradients and hessians and T(G) the gradient drawn towards 0 by `l1`, a leaf's best value and
//! what it gains are (Chen & Guestrin 2016, eq. 5 and 6; LightGBM's scale, without the half)
//!
//! ```text
//! value = -T(G) / (H + l2)        gain = T(G)^2 / (H + l2)        gain of a split = left + right - parent
//! ```
//!
//! Missing values are tried on both sides. Categories are sorted by G / (H + 10) and the first k or the last k parted from
//! the others (Fisher 1958; many against many, as LightGBM does), with 10 added to `l2`; those without a code of their
//! own stay with the others.

use super::bins::{CODES, Coding, MISSING};
use super::histogram::{Bin, Scale};
use super::objective::Objective;

/// Added to the hessian of a category when categories are sorted, and to `l2` in the gain, as LightGBM's `cat_smooth` and
/// `cat_l2`: a category with few rows is neither first nor last by chance alone.
const CATEGORY_SMOOTHING: f64 = 10.0;

/// Categories on the smaller side of a split at most, as LightGBM's `max_cat_threshold`.
const MAX_CATEGORIES: usize = 32;

/// Up to this many categories each is parted from all others; sorting would gain nothing.
const ONE_AGAINST_REST: usize = 4;

/// What a gain must exceed in proportion to the parent's, so that rounding of equal sides is no gain.
const RELATIVE_GAIN: f64 = 1e-12;

/// What holds for all splits of a round.
pub(super) struct Rules<'a> {
    pub(super) objective: Objective,
    pub(super) l1: f64,
    pub(super) l2: f64,
    pub(super) min_gain: f64,
    pub(super) min_rows: i64,
    pub(super) min_hessian: f64,
    pub(super) gradients: Scale,
    pub(super) hessians: Scale,
    /// Of each column; empty where nothing is constrained.
    pub(super) monotone: &'a [i8],
}

/// Least and largest value of the leaves below a node, as monotone constraints above it want.
pub(super) type Bounds = [f64; 2];

pub(super) const UNBOUNDED: Bounds = [f64::NEG_INFINITY, f64::INFINITY];

/// Codes that go left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CodeSet([u64; 4]);

impl CodeSet {
    pub(super) fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    #[inline]
    pub(super) fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] >> (code & 63) & 1 == 1
    }

    pub(super) fn table(&self) -> [bool; CODES] {
        std::array::from_fn(|code| self.contains(code as u8))
    }
}

/// A question that could be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) gain: f64,
    /// The gain of both sides, the parent's not taken off: among questions about one leaf this is compared, without rounding.
    pub(super) sides: f64,
    /// Index among the features with codes.
    pub(super) feature: usize,
    /// Last code on the left; `None` for categories.
    pub(super) last: Option<u8>,
    pub(super) missing_left: bool,
    pub(super) codes: CodeSet,
    pub(super) left: Bin,
}

impl Rules<'_> {
    fn shrunk(&self, gradient: f64) -> f64 {
        (gradient.abs() - self.l1).max(0.0).copysign(gradient)
    }

    fn gain(&self, gradient: f64, hessian: f64, l2: f64) -> f64 {
        let shrunk = self.shrunk(gradient);
        shrunk * shrunk / (hessian + l2)
    }

    /// The value of a leaf, before the learning rate.
    pub(super) fn value(&self, sums: Bin, bounds: Bounds) -> f64 {
        let (gradient, hessian) = (self.gradients.real(sums.gradient), self.hessians.real(sums.hessian));
        let step = -self.shrunk(gradient) / (hessian + self.l2);
        let step = if step.is_finite() { step } else { 0.0 }; // no curvature at all: nothing is known
        self.objective.damped(step).clamp(bounds[0], bounds[1])
    }

    /// What a leaf gains with another value than its best.
    fn gain_at(&self, value: f64, sums: Bin) -> f64 {
        let (gradient, hessian) = (self.gradients.real(sums.gradient), self.hessians.real(sums.hessian));
        -(2.0 * gradient * value + (hessian + self.l2) * value * value + 2.0 * self.l1 * value.abs())
    }

    /// Replaces `best` where a question about `feature` gains more.
    pub(super) fn search(
        &self,
        feature: usize,
        column: usize,
        coding: &Coding,
        bins: &[Bin],
        total: Bin,
        bounds: Bounds,
        best: &mut Option<Candidate>,
    ) {
        let direction = self.monotone.get(column).copied().unwrap_or(0);
        match coding {
            Coding::Cuts(_) => self.search_cuts(feature, bins, total, bounds, direction, best),
            Coding::Categories(_) => self.search_categories(feature, bins, total, bounds, best),
        }
    }

    fn least_gain(&self, parent: f64) -> f64 {
        parent + self.min_gain.max(RELATIVE_GAIN * parent.abs())
    }

    /// The gain of both sides; `None` where one is too small or a constraint is hurt.
    #[inline]
    fn sides(&self, left: Bin, right: Bin, l2: f64, bounds: Bounds, direction: i8) -> Option<f64> {
        if left.rows < self.min_rows || right.rows < self.min_rows {
            return None;
        }
        let (left_hessian, right_hessian) = (self.hessians.real(left.hessian), self.hessians.real(right.hessian));
        if left_hessian < self.min_hessian || right_hessian < self.min_hessian {
            return None;
        }
        if self.monotone.is_empty() {
            return Some(
                self.gain(self.gradients.real(left.gradient), left_hessian, l2)
                    + self.gain(self.gradients.real(right.gradient), right_hessian, l2),
            );
        }
        let values = [self.value(left, bounds), self.value(right, bounds)];
        let hurt = f64::from(direction) * (values[1] - values[0]) < 0.0;
        (!hurt).then(|| self.gain_at(values[0], left) + self.gain_at(values[1], right))
    }

    fn parent(&self, total: Bin, bounds: Bounds) -> f64 {
        if self.monotone.is_empty() {
            self.gain(self.gradients.real(total.gradient), self.hessians.real(total.hessian), self.l2)
        } else {
            self.gain_at(self.value(total, bounds), total)
        }
    }

    fn search_cuts(
        &self,
        feature: usize,
        bins: &[Bin],
        total: Bin,
        bounds: Bounds,
        direction: i8,
        best: &mut Option<Candidate>,
    ) {
        let missing = bins[usize::from(MISSING)];
        let parent = self.parent(total, bounds);
        let mut highest = self.least_gain(parent).max(best.map_or(f64::NEG_INFINITY, |best| best.sides));
        let mut found = None;
        let mut left = Bin::default();
        for (code, bin) in bins.iter().enumerate().skip(1) {
            if bin.rows == 0 {
                continue;
            }
            left = left + *bin;
            let right = total - left;
            if right.rows < self.min_rows {
                break;
            }
            if let Some(gain) = self.sides(left, right, self.l2, bounds, direction)
                && gain > highest
            {
                highest = gain;
                found = Some((code as u8, false, left));
            }
            if missing.rows > 0
                && let Some(gain) = self.sides(left + missing, right - missing, self.l2, bounds, direction)
                && gain > highest
            {
                highest = gain;
                found = Some((code as u8, true, left + missing));
            }
        }
        let Some((last, missing_left, left)) = found else { return };
        // Where nothing was missing, a missing value will go with the heavier side.
        let missing_left = if missing.rows == 0 { 2 * left.hessian >= total.hessian } else { missing_left };
        let mut codes = CodeSet::default();
        (1..=last).for_each(|code| codes.insert(code));
        if missing_left {
            codes.insert(MISSING);
        }
        *best = Some(Candidate {
            gain: highest - parent,
            sides: highest,
            feature,
            last: Some(last),
            missing_left,
            codes,
            left,
        });
    }

    fn search_categories(
        &self,
        feature: usize,
        bins: &[Bin],
        total: Bin,
        bounds: Bounds,
        best: &mut Option<Candidate>,
    ) {
        let mut present: Vec<u8> = (1..bins.len()).filter(|code| bins[*code].rows > 0).map(|code| code as u8).collect();
        let parent = self.parent(total, bounds);
        let mut highest = self.least_gain(parent).max(best.map_or(f64::NEG_INFINITY, |best| best.sides));
        let mut found: Option<(Vec<u8>, Bin)> = None;
        let mut consider = |codes: &[u8], left: Bin, l2: f64| {
            if let Some(gain) = self.sides(left, total - left, l2, bounds, 0)
                && gain > highest
            {
                highest = gain;
                found = Some((codes.to_vec(), left));
            }
        };
        if present.len() <= ONE_AGAINST_REST {
            for code in &present {
                consider(&[*code], bins[usize::from(*code)], self.l2);
            }
        } else {
            let ratio = |code: u8| {
                let bin = bins[usize::from(code)];
                self.gradients.real(bin.gradient) / (self.hessians.real(bin.hessian) + CATEGORY_SMOOTHING)
            };
            present.sort_by(|a, b| ratio(*a).total_cmp(&ratio(*b)).then(a.cmp(b)));
            for _ in 0..2 {
                let mut left = Bin::default();
                // Beyond half of the categories it is the other end's turn, unless there are rows without one to be parted from.
                let most = if bins[usize::from(MISSING)].rows > 0 { present.len() } else { present.len().div_ceil(2) };
                let most = most.min(MAX_CATEGORIES);
                for taken in 1..=most {
                    left = left + bins[usize::from(present[taken - 1])];
                    consider(&present[..taken], left, self.l2 + CATEGORY_SMOOTHING);
                }
                present.reverse();
            }
        }
        let Some((left_codes, left)) = found else { return };
        let mut codes = CodeSet::default();
        left_codes.iter().for_each(|code| codes.insert(*code));
        *best = Some(Candidate {
            gain: highest - parent,
            sides: highest,
            feature,
            last: None,
            missing_left: false,
            codes,
            left,
        });
    }
}
