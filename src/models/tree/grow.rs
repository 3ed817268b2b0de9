//! Growing: linfa-trees, one question at a time.
//!
//! Each node's question is the root of a tree of depth 1 that linfa-trees fits on the node's own rows. Asked for the
//! whole tree at once, it would prune every branch whose leaves have the same more frequent class (so nearly all of
//! them where few customers are positive), overlook thresholds in deeper nodes (it skips a value when the last row
//! with that value, in the order of the whole sample, lies in another branch), and visit all rows at every node. The
//! split that it found stays readable at a root that it has pruned.
//!
//! It is given dense ranks in place of values: these have no `NaN`, no scale (it takes values closer than 1e-5 for
//! equal) and a place for missing values.

use std::collections::VecDeque;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_trees::{DecisionTree, SplitQuality};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::{Question, ReadableTree, Split};
use crate::models::FitError;

/// Columns that linfa-trees gets at a time; the groups are searched in parallel.
const GROUP_COLUMNS: usize = 8;

/// Least chi-square (1 degree of freedom) of a question. One fixed question reaches 15 by chance once in 9,000; a
/// search over many thresholds of many features more often, yet most questions about noise are refused.
const MIN_CHI_SQUARE: f64 = 15.0;

/// linfa-trees wants a least decrease of the Gini impurity above its epsilon; chi-square decides instead.
const MIN_DECREASE: f64 = 1e-9;

/// A feature of the sample in ranks.
struct Ranked {
    /// Ascending, without duplicates.
    values: Vec<f32>,
    /// Rank of each row: its place in `values` plus 1; a missing value has 0, or `values.len() + 1`.
    ranks: Vec<f64>,
    /// Whether the sample misses any.
    missing: bool,
    /// Whether missing values have rank 0.
    missing_is_low: bool,
}

/// The entries of `values` at `rows`.
pub(super) fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row]).collect()
}

/// Splits of the nodes in breadth-first order; `None` at leaves.
pub(super) fn grow(
    settings: &ReadableTree,
    sample: ArrayView2<f32>,
    labels: &[bool],
) -> Result<Vec<Option<Split>>, FitError> {
    let features: Vec<Ranked> = (0..sample.ncols())
        .into_par_iter()
        .map(|feature| Ranked::of(&sample.column(feature).to_vec(), labels))
        .collect();
    let mut ranks = Array2::zeros(sample.dim());
    for (mut column, feature) in ranks.columns_mut().into_iter().zip(&features) {
        column.iter_mut().zip(&feature.ranks).for_each(|(to, from)| *to = *from);
    }
    let mut nodes = vec![None];
    let mut waiting = VecDeque::from([(0usize, 0usize, (0..labels.len()).collect::<Vec<_>>())]);
    while let Some((at, depth, rows)) = waiting.pop_front() {
        if depth >= settings.max_depth {
            continue;
        }
        let Some((feature, cut)) = best_question(settings, &ranks, labels, &rows)? else { continue };
        let (yes, no): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&row| ranks[[row, feature]] <= cut);
        let ranked = &features[feature];
        let split = ranked.split(feature, &yes, &no, nodes.len());
        nodes[at] = Some(split);
        // "Is missing" is asked with the missing on the yes side, wherever their rank is.
        let (yes, no) =
            if split.question == Question::IsMissing && !ranked.missing_is_low { (no, yes) } else { (yes, no) };
        waiting.push_back((nodes.len(), depth + 1, yes));
        waiting.push_back((nodes.len() + 1, depth + 1, no));
        nodes.extend([None, None]);
    }
    Ok(nodes)
}

/// Feature and rank up to which the answer is yes; the lowest feature among equally good ones.
fn best_question(
    settings: &ReadableTree,
    ranks: &Array2<f64>,
    labels: &[bool],
    rows: &[usize],
) -> Result<Option<(usize, f64)>, FitError> {
    let labels = ndarray::Array1::from(pick(labels, rows));
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let n = rows.len() as f64;
    if rows.len() < 2 * settings.min_leaf_rows || positives == 0.0 || positives == n {
        return Ok(None);
    }
    let here = ranks.select(Axis(0), rows);
    let groups: Vec<usize> = (0..ranks.ncols()).step_by(GROUP_COLUMNS).collect();
    let found: Vec<Option<(usize, f64, f64)>> = groups
        .into_par_iter()
        .map(|start| {
            let end = (start + GROUP_COLUMNS).min(ranks.ncols());
            let data = DatasetBase::new(here.slice(s![.., start..end]), labels.view());
            let stump = DecisionTree::params()
                .split_quality(SplitQuality::Gini)
                .max_depth(Some(1))
                .min_weight_leaf(settings.min_leaf_rows as f32)
                .min_impurity_decrease(MIN_DECREASE)
                .fit(&data)
                .map_err(|source| FitError::Library { library: "linfa-trees", source: Box::new(source) })?;
            let (feature, cut, decrease) = stump.root_node().split();
            Ok((decrease > 0.0).then_some((start + feature, cut, decrease)))
        })
        .collect::<Result<_, FitError>>()?;
    let mut best: Option<(usize, f64, f64)> = None;
    for question in found.into_iter().flatten() {
        if best.is_none_or(|best| question.2 > best.2) {
            best = Some(question);
        }
    }
    // The Gini impurity falls by 2p(1-p) · φ², and chi-square is n · φ².
    let share = positives / n;
    let strong = |decrease: f64| n * decrease / (2.0 * share * (1.0 - share)) >= MIN_CHI_SQUARE;
    Ok(best.filter(|best| strong(best.2)).map(|(feature, cut, _)| (feature, cut)))
}

impl Ranked {
    fn of(column: &[f32], labels: &[bool]) -> Self {
        let mut values: Vec<f32> =
            column.iter().copied().filter(|value| !value.is_nan()).map(|value| value + 0.0).collect();
        values.sort_unstable_by(f32::total_cmp);
        let middle = values.get(values.len() / 2).copied();
        values.dedup();
        let missing = values.is_empty() || column.iter().any(|value| value.is_nan());
        let missing_is_low = middle.is_none_or(|middle| low_is_closer(column, labels, middle));
        let for_missing = if missing_is_low { 0 } else { values.len() + 1 };
        let rank = |value: &f32| {
            if value.is_nan() { for_missing } else { values.partition_point(|known| known <= value) }
        };
        let ranks = column.iter().map(|value| rank(value) as f64).collect();
        Self { values, ranks, missing, missing_is_low }
    }

    /// The question that parts the rows `yes` from the rows `no`, which have higher ranks.
    fn split(&self, feature: usize, yes: &[usize], no: &[usize], next: usize) -> Split {
        let highest = yes.iter().map(|&row| self.ranks[row]).fold(0.0, f64::max) as usize;
        let lowest = no.iter().map(|&row| self.ranks[row]).fold(f64::INFINITY, f64::min) as usize;
        let question = if highest == 0 || lowest > self.values.len() {
            Question::IsMissing
        } else {
            let threshold = short_threshold(self.values[highest - 1].into(), self.values[lowest - 1].into());
            let missing_is_yes = if self.missing { self.missing_is_low } else { yes.len() >= no.len() };
            Question::AtMost { threshold, missing_is_yes }
        };
        Split { feature, question, missing_rows: 0, yes: next, no: next + 1 }
    }
}

/// Whether the share of positives among the missing is closer to that of the values up to the median than to that of
/// the values above it. Ties, and halves without rows, are low.
fn low_is_closer(column: &[f32], labels: &[bool], median: f32) -> bool {
    let share = |inside: &dyn Fn(f32) -> bool| {
        let chosen = column.iter().zip(labels).filter(|(value, _)| inside(**value));
        let (n, k) = chosen.fold((0.0, 0.0), |(n, k), (_, label)| (n + 1.0, k + f64::from(u8::from(*label))));
        (n > 0.0).then(|| k / n)
    };
    let (Some(missing), Some(low), Some(high)) =
        (share(&|value| value.is_nan()), share(&|value| value <= median), share(&|value| value > median))
    else {
        return true;
    };
    (missing - low).abs() <= (missing - high).abs()
}

/// A number in [`low`, `high`) with few decimal digits, near their middle: 63 for 63 and 64, 0.3 for 0.12 and 0.49.
fn short_threshold(low: f64, high: f64) -> f64 {
    let exponent = (high - low).log10().floor() as i32;
    let step = 10f64.powi(exponent);
    let middle = low + (high - low) / 2.0;
    let near = (middle / step).round();
    [near, near - 1.0, (low / step).ceil()]
        .into_iter()
        .filter_map(|steps| format!("{steps:.0}e{exponent}").parse::<f64>().ok())
        .find(|threshold| (low..high).contains(threshold))
        .map_or(low, |threshold| threshold + 0.0) // no -0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thresholds_are_short() {
        for (low, high, expected) in [
            (63.0, 64.0, 63.0),
            (0.0, 1.0, 0.0),
            (60.0, 70.0, 60.0),
            (63.0, 70.0, 67.0),
            (0.123, 0.491, 0.3),
            (-3.0, -2.0, -3.0),
            (-0.4, 0.4, 0.0),
            (1e-30, 3e-30, 2e-30),
        ] {
            assert_eq!(short_threshold(low, high), expected, "{low} {high}");
        }
    }

    proptest! {
        #[test]
        fn thresholds_part_the_values(a in any::<f32>(), b in any::<f32>()) {
            prop_assume!(a.is_finite() && b.is_finite() && a != b);
            let (low, high) = (f64::from(a.min(b)), f64::from(a.max(b)));
            let threshold = short_threshold(low, high);
            prop_assert!(low <= threshold && threshold < high, "{low} {threshold} {high}");
        }
    }

    #[test]
    fn ranks_leave_a_place_for_missing_values() {
        let column = [5.0, f32::NAN, 2.0, 5.0, 9.0, 2.0];
        // The missing row is positive, as the high values are.
        let high = Ranked::of(&column, &[false, true, false, false, true, false]);
        assert_eq!((high.ranks, high.missing_is_low), (vec![2.0, 4.0, 1.0, 2.0, 3.0, 1.0], false));
        let low = Ranked::of(&column, &[false, false, false, false, true, false]);
        assert_eq!((low.ranks, low.missing_is_low), (vec![2.0, 0.0, 1.0, 2.0, 3.0, 1.0], true));
    }
}
