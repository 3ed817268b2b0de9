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

use super::bins::{BinnedFeature, CODES, MISSING};
use super::cuts::Coding;
use super::histogram::{Bin, Scale, Sums};
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

/// How sums are judged: what a side of a question is worth, and whether it may be one.
pub(super) trait Criterion: Sync {
    /// What histograms hold.
    type Sums: Sums;

    /// The gain of both sides; `None` where one is too small or a constraint is hurt. `smoothing` is added to `l2`.
    fn sides(&self, left: Self::Sums, right: Self::Sums, smoothing: f64, bounds: Bounds, direction: i8) -> Option<f64>;
    /// The gain of the leaf as it is.
    fn parent(&self, total: Self::Sums, bounds: Bounds) -> f64;
    /// By what categories are sorted.
    fn order(&self, category: Self::Sums) -> f64;
    /// What decides where missing values go when there were none.
    fn weight(&self, sums: Self::Sums) -> f64;
    /// The value of a leaf, before the learning rate.
    fn value(&self, sums: Self::Sums, bounds: Bounds) -> f64;
    /// Rows of a leaf at least.
    fn min_rows(&self) -> i64;
    /// What a gain must exceed.
    fn min_gain(&self) -> f64;
    /// Whether, and in which sense, the prediction may only rise with a column.
    fn direction(&self, column: usize) -> i8;
}

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
pub(super) struct Candidate<S> {
    pub(super) gain: f64,
    /// The gain of both sides, the parent's not taken off: among questions about one leaf this is compared, without rounding.
    pub(super) sides: f64,
    /// Index among the features with codes.
    pub(super) feature: usize,
    /// Last code on the left; `None` for categories.
    pub(super) last: Option<u8>,
    pub(super) missing_left: bool,
    pub(super) codes: CodeSet,
    pub(super) left: S,
}

impl Rules<'_> {
    fn shrunk(&self, gradient: f64) -> f64 {
        (gradient.abs() - self.l1).max(0.0).copysign(gradient)
    }

    #[inline]
    fn gain(&self, gradient: f64, hessian: f64, smoothing: f64) -> f64 {
        let shrunk = self.shrunk(gradient);
        shrunk * shrunk / (hessian + self.l2 + smoothing)
    }

    #[inline]
    fn real(&self, sums: Bin) -> (f64, f64) {
        (self.gradients.real(sums.gradient), self.hessians.real(sums.hessian))
    }

    /// What a leaf gains with another value than its best.
    fn gain_at(&self, value: f64, sums: Bin) -> f64 {
        let (gradient, hessian) = self.real(sums);
        -(2.0 * gradient * value + (hessian + self.l2) * value * value + 2.0 * self.l1 * value.abs())
    }
}

impl Criterion for Rules<'_> {
    type Sums = Bin;

    #[inline(always)] // called for each bin of each leaf
    fn sides(&self, left: Bin, right: Bin, smoothing: f64, bounds: Bounds, direction: i8) -> Option<f64> {
        if left.rows < self.min_rows || right.rows < self.min_rows {
            return None;
        }
        let [(left_gradient, left_hessian), (right_gradient, right_hessian)] = [self.real(left), self.real(right)];
        if left_hessian < self.min_hessian || right_hessian < self.min_hessian {
            return None;
        }
        if self.monotone.is_empty() {
            let left = self.gain(left_gradient, left_hessian, smoothing);
            return Some(left + self.gain(right_gradient, right_hessian, smoothing));
        }
        let values = [self.value(left, bounds), self.value(right, bounds)];
        let hurt = f64::from(direction) * (values[1] - values[0]) < 0.0;
        (!hurt).then(|| self.gain_at(values[0], left) + self.gain_at(values[1], right))
    }

    fn parent(&self, total: Bin, bounds: Bounds) -> f64 {
        if self.monotone.is_empty() {
            let (gradient, hessian) = self.real(total);
            self.gain(gradient, hessian, 0.0)
        } else {
            self.gain_at(self.value(total, bounds), total)
        }
    }

    fn order(&self, category: Bin) -> f64 {
        let (gradient, hessian) = self.real(category);
        gradient / (hessian + CATEGORY_SMOOTHING)
    }

    fn weight(&self, sums: Bin) -> f64 {
        self.hessians.real(sums.hessian)
    }

    fn value(&self, sums: Bin, bounds: Bounds) -> f64 {
        let (gradient, hessian) = self.real(sums);
        let step = -self.shrunk(gradient) / (hessian + self.l2);
        let step = if step.is_finite() { step } else { 0.0 }; // no curvature at all: nothing is known
        self.objective.damped(step).clamp(bounds[0], bounds[1])
    }

    fn min_rows(&self) -> i64 {
        self.min_rows
    }

    fn min_gain(&self) -> f64 {
        self.min_gain
    }

    fn direction(&self, column: usize) -> i8 {
        self.monotone.get(column).copied().unwrap_or(0)
    }
}

/// Replaces `best` where a question about `feature` gains more.
pub(super) fn search<C: Criterion>(
    rules: &C,
    feature: usize,
    binned: &BinnedFeature,
    bins: &[C::Sums],
    total: C::Sums,
    bounds: Bounds,
    best: &mut Option<Candidate<C::Sums>>,
) {
    let parent = rules.parent(total, bounds);
    let least = parent + rules.min_gain().max(RELATIVE_GAIN * parent.abs());
    let least = least.max(best.as_ref().map_or(f64::NEG_INFINITY, |best| best.sides));
    let found = match binned.coding {
        Coding::Cuts(_) => search_cuts(rules, bins, total, bounds, rules.direction(binned.column), least),
        Coding::Categories(_) => search_categories(rules, bins, total, bounds, least),
    };
    if let Some(found) = found {
        *best = Some(Candidate { gain: found.sides - parent, feature, ..found });
    }
}

fn search_cuts<C: Criterion>(
    rules: &C,
    bins: &[C::Sums],
    total: C::Sums,
    bounds: Bounds,
    direction: i8,
    mut highest: f64,
) -> Option<Candidate<C::Sums>> {
    let missing = bins[usize::from(MISSING)];
    let mut found = None;
    let mut left = C::Sums::default();
    for (code, bin) in bins.iter().enumerate().skip(1) {
        if bin.rows() == 0 {
            continue;
        }
        left = left + *bin;
        let right = total - left;
        if right.rows() < rules.min_rows() {
            break;
        }
        if let Some(gain) = rules.sides(left, right, 0.0, bounds, direction)
            && gain > highest
        {
            highest = gain;
            found = Some((code as u8, false, left));
        }
        if missing.rows() > 0
            && let Some(gain) = rules.sides(left + missing, right - missing, 0.0, bounds, direction)
            && gain > highest
        {
            highest = gain;
            found = Some((code as u8, true, left + missing));
        }
    }
    let (last, missing_left, left) = found?;
    // Where nothing was missing, a missing value will go with the heavier side.
    let missing_left = if missing.rows() == 0 { 2.0 * rules.weight(left) >= rules.weight(total) } else { missing_left };
    let mut codes = CodeSet::default();
    (1..=last).for_each(|code| codes.insert(code));
    if missing_left {
        codes.insert(MISSING);
    }
    Some(Candidate { gain: 0.0, sides: highest, feature: 0, last: Some(last), missing_left, codes, left })
}

fn search_categories<C: Criterion>(
    rules: &C,
    bins: &[C::Sums],
    total: C::Sums,
    bounds: Bounds,
    mut highest: f64,
) -> Option<Candidate<C::Sums>> {
    let mut present: Vec<u8> = (1..bins.len()).filter(|code| bins[*code].rows() > 0).map(|code| code as u8).collect();
    let mut found: Option<(Vec<u8>, C::Sums)> = None;
    let mut consider = |codes: &[u8], left: C::Sums, smoothing: f64| {
        if let Some(gain) = rules.sides(left, total - left, smoothing, bounds, 0)
            && gain > highest
        {
            highest = gain;
            found = Some((codes.to_vec(), left));
        }
    };
    if present.len() <= ONE_AGAINST_REST {
        for code in &present {
            consider(&[*code], bins[usize::from(*code)], 0.0);
        }
    } else {
        let order = |code: u8| rules.order(bins[usize::from(code)]);
        present.sort_by(|a, b| order(*a).total_cmp(&order(*b)).then(a.cmp(b)));
        // Beyond half of the categories it is the other end's turn, unless there are rows without one to be parted from.
        let most = if bins[usize::from(MISSING)].rows() > 0 { present.len() } else { present.len().div_ceil(2) };
        for _ in 0..2 {
            let mut left = C::Sums::default();
            for taken in 1..=most.min(MAX_CATEGORIES) {
                left = left + bins[usize::from(present[taken - 1])];
                consider(&present[..taken], left, CATEGORY_SMOOTHING);
            }
            present.reverse();
        }
    }
    let (left_codes, left) = found?;
    let mut codes = CodeSet::default();
    left_codes.iter().for_each(|code| codes.insert(*code));
    Some(Candidate { gain: 0.0, sides: highest, feature: 0, last: None, missing_left: false, codes, left })
}
