//! Where features are cut into bins.
//!
//! A numeric feature is cut at about equal numbers of rows, after the greedy rule of LightGBM (Ke et al. 2017, `GreedyFindBin`):
//! a value that alone fills a bin has one to itself, the others share what is left. Code 0 is "missing"; the values of
//! code b, from 1 on, are at most cut b and above cut b - 1. A categorical feature has a code for each of its most frequent
//! categories, and code 0 for all others. Features that tell nothing (one value, or none at all) have no codes.

use ndarray::ArrayView1;

use crate::models::mix;

/// Rows that cut points are found on at most: a bin of 1/255 then holds 392 ± 20 of them.
const SAMPLE_ROWS: usize = 100_000;

/// How the values of a feature become codes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Coding {
    /// Ascending upper ends of all bins but the last.
    Cuts(Vec<f32>),
    /// Ascending categories; the code is the place in the list plus 1.
    Categories(Vec<u32>),
}

impl Coding {
    /// Codes in use, with that of missing values.
    pub(super) fn codes(&self) -> usize {
        match self {
            Self::Cuts(cuts) => cuts.len() + 2,
            Self::Categories(categories) => categories.len() + 1,
        }
    }
}

/// The category of a value, as LightGBM takes it: cut to a whole number. `None` where missing or negative.
pub(super) fn category(value: f64) -> Option<u32> {
    (value > -1.0 && value < f64::from(i32::MAX)).then_some(value as u32)
}

/// Rows that the cut points are found on: all with a weight, or one of each stretch of equal length, drawn by a stable hash.
pub(super) fn sample(rows: usize, weights: Option<&[f64]>) -> Vec<u32> {
    let counted: Vec<u32> =
        (0..rows as u32).filter(|row| weights.is_none_or(|weights| weights[*row as usize] > 0.0)).collect();
    if counted.len() <= SAMPLE_ROWS {
        return counted;
    }
    let start = |piece: usize| piece * counted.len() / SAMPLE_ROWS;
    (0..SAMPLE_ROWS)
        .map(|piece| {
            let length = start(piece + 1) - start(piece);
            counted[start(piece) + (mix(piece as u64) % length as u64) as usize]
        })
        .collect()
}

/// Ascending values of the sample with their counts, and how many are missing.
fn distinct(values: ArrayView1<f32>, sample: &[u32]) -> (Vec<(f32, usize)>, usize) {
    // Floats as whole numbers of the same order: these are sorted faster. Adding 0 makes -0 a 0.
    let key = |value: f32| {
        let bits = (value + 0.0).to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    };
    let value = |key: u32| f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key });
    let mut keys: Vec<u32> =
        sample.iter().map(|row| values[*row as usize]).filter(|value| !value.is_nan()).map(key).collect();
    keys.sort_unstable();
    let runs = keys.chunk_by(|a, b| a == b).map(|run| (value(run[0]), run.len())).collect();
    (runs, sample.len() - keys.len())
}

pub(super) fn cuts_of(values: ArrayView1<f32>, sample: &[u32], max_bins: usize) -> Option<Coding> {
    let (distinct, missing) = distinct(values, sample);
    let varies = distinct.len() > 1 || (distinct.len() == 1 && missing > 0);
    varies.then(|| Coding::Cuts(cuts_between(&distinct, max_bins)))
}

/// At most `max_bins` - 1 cuts between `distinct` values with their counts.
fn cuts_between(distinct: &[(f32, usize)], max_bins: usize) -> Vec<f32> {
    if distinct.len() <= max_bins {
        return distinct.windows(2).map(|pair| between(pair[0].0, pair[1].0)).collect();
    }
    let total: usize = distinct.iter().map(|(_, count)| count).sum();
    let alone = |count: usize| count * max_bins >= total;
    let (mut bins, mut rows) = (max_bins, total);
    for (_, count) in distinct.iter().filter(|(_, count)| alone(*count)) {
        bins -= 1;
        rows -= count;
    }
    let (mut cuts, mut filled) = (Vec::with_capacity(max_bins - 1), 0);
    for pair in distinct.windows(2) {
        let [(value, count), (next, next_count)] = [pair[0], pair[1]];
        let mean = rows as f64 / bins.max(1) as f64;
        filled += count;
        let full = filled as f64 >= mean || (alone(next_count) && filled as f64 >= (mean / 2.0).max(1.0));
        if alone(count) || full {
            cuts.push(between(value, next));
            if cuts.len() == max_bins - 1 {
                break;
            }
            if !alone(count) {
                bins = bins.saturating_sub(1);
                rows -= filled;
            }
            filled = 0;
        }
    }
    cuts
}

/// The middle of two numbers; the lower one where there is none between.
fn between(low: f32, high: f32) -> f32 {
    let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
    if low < middle && middle < high { middle } else { low }
}

/// The most frequent categories; of equally frequent ones the lowest.
pub(super) fn categories_of(values: ArrayView1<f32>, sample: &[u32], max_bins: usize) -> Option<Coding> {
    let mut known: Vec<u32> = sample.iter().filter_map(|row| category(values[*row as usize].into())).collect();
    let missing = sample.len() - known.len();
    known.sort_unstable();
    let mut counts: Vec<(usize, u32)> = known.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    if counts.is_empty() || (counts.len() == 1 && missing == 0) {
        return None;
    }
    counts.sort_by_key(|(count, category)| (std::cmp::Reverse(*count), *category));
    let mut categories: Vec<u32> = counts.into_iter().take(max_bins).map(|(_, category)| category).collect();
    categories.sort_unstable();
    Some(Coding::Categories(categories))
}
