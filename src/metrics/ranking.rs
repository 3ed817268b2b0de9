//! Does the score put the right customers first? Ranking metrics, decile table and rank columns.
//!
//! Pairwise metrics (`roc_auc`, `average_precision`, `ks`) treat equal scores as one step. Tables that cut the list at a row (`lift_at`,
//! deciles) break ties by row order, as kds and a stable sort do. Counts are integers, so pairwise metrics have the
//! same bits in every row order.
//!
//! Fawcett (2006), "An introduction to ROC analysis", Pattern Recognition Letters 27, 861-874. The reference
//! implementations are scikit-learn, SciPy and kds; each function names its own.

use serde::{Deserialize, Serialize};

use super::order::Order;

/// Labels in the order of their score, ready for every ranking metric.
#[derive(Debug, Clone)]
pub struct RankedLabels {
    pub(crate) order: Order,
    pub(crate) labels: Vec<bool>,
}

/// Pairwise metrics of one pass; `None` without both classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Rows with weight.
    pub rows: u64,
    /// Rows whose label is true.
    pub positives: u64,
    /// See [`roc_auc`].
    pub roc_auc: Option<f64>,
    /// See [`average_precision`].
    pub average_precision: Option<f64>,
    /// See [`ks`].
    pub ks: Option<f64>,
}

impl RankedLabels {
    /// Sorts once. `None` when a score is NaN.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn new(labels: &[bool], scores: &[f64]) -> Option<Self> {
        assert_eq!(labels.len(), scores.len(), "one score for each label");
        let order = Order::descending(scores)?;
        let labels = order.arrange(labels);
        Some(Self { order, labels })
    }

    /// All pairwise metrics.
    pub fn measure(&self) -> Ranking {
        self.measure_weighted(|_| 1)
    }

    /// The metrics of a table in which the row at position `i` stands `weight(i)` times.
    pub(crate) fn measure_weighted(&self, weight: impl Fn(usize) -> u64) -> Ranking {
        let (mut positives, mut rows) = (0, 0);
        for (i, &label) in self.labels.iter().enumerate() {
            rows += weight(i);
            positives += weight(i) * u64::from(label);
        }
        let negatives = rows - positives;
        let pairs = u128::from(positives) * u128::from(negatives);
        let (mut above, mut below) = (0, 0); // positives and negatives so far
        let (mut tied_positives, mut tied_negatives) = (0, 0);
        let mut half_wins: u128 = 0; // 2 for a pair in the right order, 1 for a tie
        let mut precision = 0.0;
        let mut gap: u128 = 0; // pairs · |F₊ − F₋|
        for (i, (&label, &last)) in self.labels.iter().zip(&self.order.last_of_tie).enumerate() {
            tied_positives += weight(i) * u64::from(label);
            tied_negatives += weight(i) * u64::from(!label);
            if !last {
                continue;
            }
            half_wins += u128::from(tied_negatives) * u128::from(2 * above + tied_positives);
            above += tied_positives;
            below += tied_negatives;
            // A step without positives adds 0; no branch, because it would be a coin toss at every row.
            precision += tied_positives as f64 * (above as f64 / (above + below).max(1) as f64);
            let (high, low) = (u128::from(above) * u128::from(negatives), u128::from(below) * u128::from(positives));
            gap = gap.max(high.abs_diff(low));
            (tied_positives, tied_negatives) = (0, 0);
        }
        let both = |value: f64| (pairs > 0).then_some(value);
        Ranking {
            rows,
            positives,
            roc_auc: both(half_wins as f64 / (2 * pairs) as f64),
            average_precision: both(precision / positives as f64),
            ks: both(gap as f64 / pairs as f64),
        }
    }

    /// See [`lift_at`].
    pub fn lift_at(&self, share: f64) -> Option<f64> {
        self.lift_at_weighted(share, &self.measure(), |_| 1)
    }

    pub(crate) fn lift_at_weighted(&self, share: f64, totals: &Ranking, weight: impl Fn(usize) -> u64) -> Option<f64> {
        let k = rows_in_share(totals.rows, share);
        if k == 0 || totals.positives == 0 {
            return None;
        }
        let (mut taken, mut hits) = (0, 0);
        for (i, &label) in self.labels.iter().enumerate() {
            let take = weight(i).min(k - taken);
            taken += take;
            hits += take * u64::from(label);
            if taken == k {
                break;
            }
        }
        Some((hits as f64 / k as f64) / (totals.positives as f64 / totals.rows as f64))
    }

    /// See [`decile_table`]; `scores` in row order.
    pub(crate) fn decile_table(&self, scores: &[f64]) -> Vec<Decile> {
        let totals = self.measure();
        let (rows, positives) = (totals.rows, totals.positives);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let mut table = Vec::with_capacity(10);
        let mut before = 0;
        for (decile, positions) in decile_positions(self.labels.len()) {
            let found = self.labels[positions.clone()].iter().filter(|&&label| label).count() as u64;
            before += found;
            let seen = positions.end as u64;
            let cumulative = share(before, positives);
            let ks = share(seen - before, rows - positives).zip(cumulative).map(|(below, above)| above - below);
            let mean = super::mean(self.order.rows[positions.clone()].iter().map(|&row| scores[row as usize]));
            table.push(Decile {
                decile,
                rows: positions.len() as u64,
                actual: found as f64,
                mean_actual: found as f64 / positions.len() as f64,
                mean_predicted: mean,
                cumulative_rows: seen as f64 / rows as f64,
                cumulative_share: cumulative,
                lift: cumulative.map(|found| found / (seen as f64 / rows as f64)),
                ks,
            });
        }
        table
    }
}

/// One row of a decile table. Decile 1 holds the highest scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decile {
    /// 1 to 10.
    pub decile: u8,
    /// Customers in it.
    pub rows: u64,
    /// Positives, or the sum of the actual amounts.
    pub actual: f64,
    /// `actual / rows`: the rate of positives, or the mean amount.
    pub mean_actual: f64,
    /// Mean of the score.
    pub mean_predicted: f64,
    /// Share of all customers in this decile and those above, 0 to 1.
    pub cumulative_rows: f64,
    /// Share of all positives, or of the whole amount, in this decile and those above; kds's cumulative % / 100.
    pub cumulative_share: Option<f64>,
    /// `cumulative_share / cumulative_rows`.
    pub lift: Option<f64>,
    /// Cumulative share of positives minus that of negatives; kds's KS / 100. Not defined for amounts.
    pub ks: Option<f64>,
}

/// Positions of each decile of `n` sorted rows: position i (from 0) is in decile ⌊10·i/n⌋ + 1, which is kds's
/// `np.linspace(1, 11, n, False, dtype=int)`. Fewer than ten rows leave deciles out.
pub(crate) fn decile_positions(n: usize) -> impl Iterator<Item = (u8, std::ops::Range<usize>)> {
    let start = move |decile: usize| (decile * n).div_ceil(10);
    (0..10).map(move |d| (d as u8 + 1, start(d)..start(d + 1))).filter(|(_, positions)| !positions.is_empty())
}

/// Rows in the best `share` of `n`: ⌊n·share⌋, where a product that misses a whole number by rounding counts as whole.
pub(crate) fn rows_in_share(n: u64, share: f64) -> u64 {
    let exact = n as f64 * share;
    ((exact * (1.0 + 4.0 * f64::EPSILON)).floor() as u64).min(n)
}

/// Chance that a random positive scores above a random negative, a tie counting one half:
/// (Σ over pairs of 1\[s₊ > s₋\] + ½·1\[s₊ = s₋\]) / (n₊·n₋). scikit-learn `roc_auc_score`.
///
/// `None` without both classes or with a NaN score.
///
/// # Panics
/// When the slices differ in length.
pub fn roc_auc(labels: &[bool], scores: &[f64]) -> Option<f64> {
    RankedLabels::new(labels, scores)?.measure().roc_auc
}

/// Σₖ (Rₖ − Rₖ₋₁)·Pₖ over distinct scores, descending, without interpolation; P precision, R recall.
/// scikit-learn `average_precision_score`.
///
/// `None` without both classes or with a NaN score.
///
/// # Panics
/// When the slices differ in length.
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Option<f64> {
    RankedLabels::new(labels, scores)?.measure().average_precision
}

/// Kolmogorov-Smirnov distance of the scores of positives and negatives: the maximum over distinct scores of |F₊ − F₋|.
/// SciPy `ks_2samp`. The value read off a decile table is another number, [`ks_decile`].
///
/// `None` without both classes or with a NaN score.
///
/// # Panics
/// When the slices differ in length.
pub fn ks(labels: &[bool], scores: &[f64]) -> Option<f64> {
    RankedLabels::new(labels, scores)?.measure().ks
}

/// Rate of positives among the best ⌊n·share⌋ rows ÷ rate of positives; ties by row order. kds and scikit-plot.
///
/// `None` without positives, without a row in the share, or with a NaN score.
///
/// # Panics
/// When the slices differ in length.
pub fn lift_at(labels: &[bool], scores: &[f64], share: f64) -> Option<f64> {
    RankedLabels::new(labels, scores)?.lift_at(share)
}

/// Share of all positives among the best ⌊n·share⌋ rows; ties by row order.
///
/// `None` as for [`lift_at`].
///
/// # Panics
/// When the slices differ in length.
pub fn gain_at(labels: &[bool], scores: &[f64], share: f64) -> Option<f64> {
    let ranked = RankedLabels::new(labels, scores)?;
    let k = rows_in_share(labels.len() as u64, share) as usize;
    let positives = labels.iter().filter(|&&label| label).count();
    let found = ranked.labels[..k].iter().filter(|&&label| label).count();
    (k > 0 && positives > 0).then(|| found as f64 / positives as f64)
}

/// kds `decile_table`: rows by descending score, ties by row order, cut into ten; non-empty deciles only.
///
/// `None` with a NaN score.
///
/// # Panics
/// When the slices differ in length.
pub fn decile_table(labels: &[bool], scores: &[f64]) -> Option<Vec<Decile>> {
    Some(RankedLabels::new(labels, scores)?.decile_table(scores))
}

/// Largest KS of a decile table, as kds prints it (÷ 100).
pub fn ks_decile(table: &[Decile]) -> Option<f64> {
    table.iter().filter_map(|row| row.ks).max_by(f64::total_cmp)
}

/// Rank of each score from 1 to 100, 100 = highest: max(1, ⌈100 · count(score ≤ this) / n⌉), equal scores equal.
///
/// NaN is not ranked: it gets 0 and does not count in n.
pub fn percentiles(scores: &[f64]) -> Vec<u8> {
    let mut ranks = vec![0; scores.len()];
    rank(scores, 100, |row, rank| ranks[row] = rank as u8);
    ranks
}

/// Rank of each score from 1 to 1000, as [`percentiles`].
pub fn permilles(scores: &[f64]) -> Vec<u16> {
    let mut ranks = vec![0; scores.len()];
    rank(scores, 1000, |row, rank| ranks[row] = rank as u16);
    ranks
}

/// Both [`percentiles`] and [`permilles`], for the cost of one.
pub fn percentiles_and_permilles(scores: &[f64]) -> (Vec<u8>, Vec<u16>) {
    let (mut percentiles, mut permilles) = (vec![0; scores.len()], vec![0; scores.len()]);
    let n = scores.iter().filter(|score| !score.is_nan()).count() as u64;
    // With as many parts as rows, a rank is how many do not exceed the score.
    rank(scores, n, |row, not_above| {
        percentiles[row] = rank_of(100, not_above, n) as u8;
        permilles[row] = rank_of(1000, not_above, n) as u16;
    });
    (percentiles, permilles)
}

/// Rank of a score from 1 to `parts`, when `not_above` of `n` scores are not above it.
pub(crate) fn rank_of(parts: u64, not_above: u64, n: u64) -> u64 {
    (parts * not_above).div_ceil(n).max(1)
}

fn rank(scores: &[f64], parts: u64, mut put: impl FnMut(usize, u64)) {
    let (rows, ranked): (Vec<usize>, Vec<f64>) =
        scores.iter().copied().enumerate().filter(|(_, score)| !score.is_nan()).unzip();
    let order = Order::descending(&ranked).expect("NaN was left out");
    let n = ranked.len() as u64;
    let mut not_above = n; // count(score ≤ this)
    for (i, (&position, &last)) in order.rows.iter().zip(&order.last_of_tie).enumerate() {
        put(rows[position as usize], rank_of(parts, not_above, n));
        if last {
            not_above = n - 1 - i as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ranks_at_once_are_each_of_them() {
        let nan = f64::NAN;
        let tied: Vec<f64> = (0..2357).map(|row| f64::from(row * 7919 % 401) / 7.0).collect();
        for scores in [vec![], vec![nan], vec![1.0], vec![0.3, nan, 0.3, -1.0, f64::INFINITY, 0.0, -0.0], tied] {
            assert_eq!(percentiles_and_permilles(&scores), (percentiles(&scores), permilles(&scores)));
        }
    }

    #[test] // SQL CUME_DIST·100
    fn percentiles_of_equal_scores_are_equal() {
        assert_eq!(percentiles(&[0.1, 0.2, 0.2, 0.4]), [25, 75, 75, 100]);
        assert_eq!(permilles(&[0.4, 0.2, 0.1, 0.2]), [1000, 750, 250, 750]);
        assert_eq!(percentiles(&[0.5; 7]), [100; 7]);
        assert_eq!(percentiles(&[]), Vec::<u8>::new());
    }

    #[test]
    fn nan_is_not_ranked_and_does_not_count() {
        assert_eq!(percentiles(&[f64::NAN, 3.0, f64::NAN, 1.0]), [0, 100, 0, 50]);
        assert_eq!(permilles(&[f64::NAN]), [0]);
    }

    #[test]
    fn the_lowest_of_many_is_one_and_rounding_is_exact() {
        let scores: Vec<f64> = (0..1000).map(f64::from).collect();
        let ranks = percentiles(&scores);
        assert_eq!((ranks[0], ranks[9], ranks[10], ranks[999]), (1, 1, 2, 100)); // 100·10/1000 is exactly 1
        assert_eq!(permilles(&scores)[..3], [1, 2, 3]);
    }

    #[test]
    fn what_is_undefined_is_none() {
        assert_eq!(roc_auc(&[true, true], &[0.1, 0.2]), None);
        assert_eq!(average_precision(&[false, false], &[0.1, 0.2]), None);
        assert_eq!(ks(&[], &[]), None);
        assert_eq!(roc_auc(&[true, false], &[f64::NAN, 0.2]), None);
        assert_eq!(lift_at(&[true, false, true], &[0.1, 0.2, 0.3], 0.1), None); // no row in the share
        assert_eq!(lift_at(&[false; 20], &[0.5; 20], 0.1), None);
        assert!(decile_table(&[], &[]).unwrap().is_empty());
    }

    #[test]
    fn a_share_is_a_whole_number_of_rows_in_spite_of_rounding() {
        assert_eq!(rows_in_share(100, 0.29), 29); // 28.999999999999996 in f64
        assert_eq!(rows_in_share(39, 0.1), 3);
        assert_eq!(rows_in_share(10, 1.0), 10);
    }
}
