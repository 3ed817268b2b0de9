//! Amounts and counts: who is worth most (ranking), and is the level right (errors, totals). Kept apart, because a
//! model can be good at one and poor at the other.
//!
//! Rows are ranked by descending prediction; where the order inside equal predictions matters (Gini, top share, deciles),
//! it is row order. Every function returns `None` where it is undefined (no rows, a value that is not finite, a total
//! that is not above 0 where one divides by it) and panics when the slices differ in length.

use super::order::{Order, Sum, ascending_key, groups};
use super::ranking::{Decile, decile_positions, rows_in_share};

/// Largest amount either way: squares and sums of squares of amounts within it are finite, so no metric overflows.
pub const LARGEST: f64 = 1e100;

/// Actual and predicted amounts in the order of the prediction, ready for every metric.
#[derive(Debug, Clone)]
pub struct RankedValues {
    pub(crate) order: Order,
    actual: Vec<f64>,
    predicted: Vec<f64>,
    /// Group of equal actual amounts at each position, ascending.
    actual_group: Vec<u32>,
    /// Amount of each group.
    group_value: Vec<f64>,
}

/// All metrics of one pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueMetrics {
    /// Rows with weight.
    pub rows: u64,
    /// Sum of the actual amounts.
    pub total: f64,
    /// See [`gini_normalized`].
    pub gini_normalized: Option<f64>,
    /// See [`spearman`].
    pub spearman: Option<f64>,
    /// See [`mae`].
    pub mae: Option<f64>,
    /// See [`rmse`].
    pub rmse: Option<f64>,
    /// See [`mae_normalized`].
    pub mae_normalized: Option<f64>,
    /// See [`rmse_normalized`].
    pub rmse_normalized: Option<f64>,
    /// See [`value_ratio`].
    pub value_ratio: Option<f64>,
    /// See [`top_share`] with 0.1.
    pub top_10_value_share: Option<f64>,
}

impl RankedValues {
    /// Sorts once. `None` when a number is NaN or beyond [`LARGEST`].
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn new(actual: &[f64], predicted: &[f64]) -> Option<Self> {
        assert_eq!(actual.len(), predicted.len(), "one prediction for each amount");
        if !actual.iter().chain(predicted).all(|number| number.abs() <= LARGEST) {
            return None;
        }
        let order = Order::descending(predicted)?;
        let (group_of, n_groups) = groups(actual.iter().map(|&amount| ascending_key(amount)));
        let mut group_value = vec![0.0; n_groups];
        for (&group, &amount) in group_of.iter().zip(actual) {
            group_value[group as usize] = amount;
        }
        let actual_group = order.arrange(&group_of);
        Some(Self {
            actual: order.arrange(actual),
            predicted: order.arrange(predicted),
            order,
            actual_group,
            group_value,
        })
    }

    /// All metrics.
    pub fn measure(&self) -> ValueMetrics {
        self.measure_weighted(|_| 1)
    }

    /// The metrics of a table in which the row at position `i` stands `weight(i)` times.
    pub(crate) fn measure_weighted(&self, weight: impl Fn(usize) -> u64) -> ValueMetrics {
        let mut group_weight = vec![0u64; self.group_value.len()];
        let (mut total, mut predicted, mut absolute, mut squares) =
            (Sum::default(), Sum::default(), Sum::default(), Sum::default());
        let mut rows = 0;
        let mut gains = Gains::default();
        for (i, (&v, &p)) in self.actual.iter().zip(&self.predicted).enumerate() {
            let times = weight(i);
            let factor = times as f64;
            rows += times;
            total.add(factor * v);
            predicted.add(factor * p);
            absolute.add(factor * (v - p).abs());
            squares.add(factor * (v - p) * (v - p));
            gains.add(v, factor);
            group_weight[self.actual_group[i] as usize] += times;
        }
        let mut best = Gains::default();
        for (&v, &times) in self.group_value.iter().zip(&group_weight).rev() {
            best.add(v, times as f64);
        }
        let (n, total) = (rows as f64, total.get());
        let some = |value: f64| (rows > 0).then_some(value);
        let of_total = |value: f64| (total > 0.0).then_some(value);
        let (mae, rmse) = (some(absolute.get() / n), some((squares.get() / n).sqrt()));
        let best = of_total(best.gini(n, total)).filter(|&best| best > GINI_OF_EQUALS);
        ValueMetrics {
            rows,
            total,
            gini_normalized: best.map(|best| gains.gini(n, total) / best),
            spearman: self.spearman(rows, &group_weight, &weight),
            mae,
            rmse,
            mae_normalized: mae.and_then(|mae| of_total(mae * n / total)),
            rmse_normalized: rmse.and_then(|rmse| of_total(rmse * n / total)),
            value_ratio: of_total(predicted.get() / total),
            top_10_value_share: self.top_share_weighted(0.1, rows, total, &weight),
        }
    }

    /// Exact in integers up to the last division: with doubled centred ranks d = 2·rank − (n + 1),
    /// rho = Σ d_v d_v̂ / sqrt(Σ d_v² · Σ d_v̂²).
    fn spearman(&self, rows: u64, group_weight: &[u64], weight: impl Fn(usize) -> u64) -> Option<f64> {
        // A group of w rows after c others has the average rank c + (w + 1)/2, so d = 2c + w − n.
        let doubled = |before: u64, times: u64| (2 * before + times) as i64 - rows as i64;
        let (mut before, mut actual_squares) = (0, 0i128);
        let mut actual_rank = Vec::with_capacity(group_weight.len());
        for &times in group_weight {
            let d = doubled(before, times);
            actual_squares += i128::from(times) * i128::from(d) * i128::from(d);
            actual_rank.push(d);
            before += times;
        }
        let (mut above, mut times, mut ranks) = (0, 0, 0i128);
        let (mut products, mut predicted_squares) = (0i128, 0i128);
        for (i, &last) in self.order.last_of_tie.iter().enumerate() {
            times += weight(i);
            ranks += i128::from(weight(i)) * i128::from(actual_rank[self.actual_group[i] as usize]);
            if last {
                let d = i128::from(-doubled(above, times)); // positions descend
                products += d * ranks;
                predicted_squares += i128::from(times) * d * d;
                above += times;
                (times, ranks) = (0, 0);
            }
        }
        let scale = (actual_squares as f64).sqrt() * (predicted_squares as f64).sqrt();
        (scale > 0.0).then(|| (products as f64 / scale).clamp(-1.0, 1.0))
    }

    fn top_share_weighted(&self, share: f64, rows: u64, total: f64, weight: impl Fn(usize) -> u64) -> Option<f64> {
        let k = rows_in_share(rows, share);
        if k == 0 || total <= 0.0 {
            return None;
        }
        let (mut taken, mut held) = (0, Sum::default());
        for (i, &v) in self.actual.iter().enumerate() {
            let take = weight(i).min(k - taken);
            taken += take;
            held.add(take as f64 * v);
            if taken == k {
                break;
            }
        }
        Some(held.get() / total)
    }

    /// Decile table by descending prediction, cut as [`super::ranking::decile_table`]; `ks` is not defined for amounts.
    pub(crate) fn decile_table(&self) -> Vec<Decile> {
        let n = self.actual.len();
        let mut all = Sum::default();
        self.actual.iter().for_each(|&v| all.add(v));
        let mut before = Sum::default();
        decile_positions(n)
            .map(|(decile, positions)| {
                let mut sum = Sum::default();
                self.actual[positions.clone()].iter().for_each(|&v| sum.add(v));
                before.add(sum.get());
                let cumulative_rows = positions.end as f64 / n as f64;
                let cumulative = (all.get() > 0.0).then(|| before.get() / all.get());
                Decile {
                    decile,
                    rows: positions.len() as u64,
                    actual: sum.get(),
                    mean_actual: sum.get() / positions.len() as f64,
                    mean_predicted: super::mean(self.predicted[positions].iter().copied()),
                    cumulative_rows,
                    cumulative_share: cumulative,
                    lift: cumulative.map(|held| held / cumulative_rows),
                    ks: None,
                }
            })
            .collect()
    }
}

/// A Gini below this is rounding: all amounts are equal and nothing can be ranked.
const GINI_OF_EQUALS: f64 = 1e-12;

/// Σᵢ cumᵢ, the area under the cumulative amounts.
#[derive(Debug, Clone, Copy, Default)]
struct Gains {
    cumulative: Sum,
    area: Sum,
}

impl Gains {
    /// `times` rows of the amount `v`: the j-th of them adds cum + j·v.
    #[inline]
    fn add(&mut self, v: f64, times: f64) {
        self.area.add(times * self.cumulative.get() + v * times * (times + 1.0) / 2.0);
        self.cumulative.add(times * v);
    }

    fn gini(&self, n: f64, total: f64) -> f64 {
        (self.area.get() / total - (n + 1.0) / 2.0) / n
    }
}

fn measured(actual: &[f64], predicted: &[f64]) -> Option<ValueMetrics> {
    Some(RankedValues::new(actual, predicted)?.measure())
}

/// G(v, v̂) / G(v, v) with G(a, b) = (Σᵢ cumᵢ/total − (n + 1)/2) / n, rows by descending b, then by row. The variant of Kaggle
/// and of Crystalvalue `_gini`; those of causalml and google/lifetime_value differ in the third digit.
///
/// `None` when all amounts are equal, too.
pub fn gini_normalized(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.gini_normalized
}

/// Pearson correlation of average ranks. SciPy `spearmanr`. `None` when either side is constant, too.
pub fn spearman(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.spearman
}

/// mean |v − v̂|, in the unit of the amounts. scikit-learn `mean_absolute_error`.
pub fn mae(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.mae
}

/// sqrt(mean (v − v̂)²), in the unit of the amounts. scikit-learn `root_mean_squared_error`.
pub fn rmse(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.rmse
}

/// [`mae`] ÷ mean v. Crystalvalue and google/lifetime_value.
pub fn mae_normalized(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.mae_normalized
}

/// [`rmse`] ÷ mean v. google/lifetime_value.
pub fn rmse_normalized(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.rmse_normalized
}

/// Σv̂ / Σv: above 1, more was predicted than came.
pub fn value_ratio(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.value_ratio
}

/// Share of Σv held by the ⌊n·share⌋ rows of highest v̂; ties by row order. `None` without a row in the share, too.
pub fn top_share(actual: &[f64], predicted: &[f64], share: f64) -> Option<f64> {
    let ranked = RankedValues::new(actual, predicted)?;
    let totals = ranked.measure();
    ranked.top_share_weighted(share, totals.rows, totals.total, |_| 1)
}

/// [`top_share`] of the best tenth, the contract's `top_10_value_share`.
pub fn top_10_value_share(actual: &[f64], predicted: &[f64]) -> Option<f64> {
    measured(actual, predicted)?.top_10_value_share
}

/// How far the mean prediction of one tenth of the customers is off.
#[derive(Debug, Clone, PartialEq)]
pub struct DecileError {
    /// Customers in it.
    pub rows: u64,
    /// Mean of the actual amounts.
    pub mean_actual: f64,
    /// Mean of the predictions.
    pub mean_predicted: f64,
    /// |mean v̂ − mean v| / mean v; `None` where mean v is not above 0.
    pub error: Option<f64>,
}

/// google/lifetime_value `decile_stats`: groups of `pandas.qcut(v̂, 10)`, lowest predictions first. Edges are the type 7
/// quantiles of v̂, groups are right-closed; where edges coincide (pandas raises) the groups between them are empty and left out.
pub fn decile_errors(actual: &[f64], predicted: &[f64]) -> Option<Vec<DecileError>> {
    let ranked = RankedValues::new(actual, predicted)?;
    let n = ranked.predicted.len();
    let ascending = |i: usize| ranked.predicted[n - 1 - i];
    let mut start = 0;
    let mut table = Vec::with_capacity(10);
    for decile in 1..=10 {
        let mut end = n;
        if decile < 10 && n > 0 {
            let (whole, tenths) = (decile * (n - 1) / 10, decile * (n - 1) % 10);
            let edge = super::between(ascending(whole), ascending((whole + 1).min(n - 1)), tenths as f64 / 10.0);
            end = start;
            while end < n && ascending(end) <= edge {
                end += 1;
            }
        }
        if end == start {
            continue;
        }
        let positions = n - end..n - start;
        let mean_actual = super::mean(ranked.actual[positions.clone()].iter().copied());
        let mean_predicted = super::mean(ranked.predicted[positions].iter().copied());
        let error = (mean_actual > 0.0).then(|| (mean_predicted - mean_actual).abs() / mean_actual);
        table.push(DecileError { rows: (end - start) as u64, mean_actual, mean_predicted, error });
        start = end;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undefined_is_none() {
        let nothing = RankedValues::new(&[], &[]).unwrap().measure();
        assert_eq!((nothing.mae, nothing.spearman, nothing.gini_normalized), (None, None, None));
        let no_spend = RankedValues::new(&[0.0; 20], &[1.0; 20]).unwrap().measure();
        assert_eq!(no_spend.mae, Some(1.0));
        assert_eq!((no_spend.value_ratio, no_spend.mae_normalized, no_spend.top_10_value_share), (None, None, None));
        assert_eq!(no_spend.gini_normalized, None);
        assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(gini_normalized(&[0.1; 7], &[3.0, 2.0, 1.0, 5.0, 6.0, 7.0, 8.0]), None);
        assert_eq!(mae(&[f64::INFINITY], &[1.0]), None);
        assert_eq!(mae(&[1.0], &[f64::NAN]), None);
        let largest = RankedValues::new(&[LARGEST; 20], &[-LARGEST; 20]).unwrap().measure();
        assert!((largest.rmse.unwrap() / (2.0 * LARGEST) - 1.0).abs() < 1e-15);
        assert!(decile_errors(&[], &[]).unwrap().is_empty());
    }

    #[test]
    fn a_perfect_order_has_gini_and_spearman_one_and_its_reverse_minus_one() {
        let v: Vec<f64> = (0..57).map(|i| f64::from(i * i)).collect();
        let reverse: Vec<f64> = v.iter().map(|v| -v).collect();
        let metrics = RankedValues::new(&v, &v).unwrap().measure();
        assert!((metrics.gini_normalized.unwrap() - 1.0).abs() < 1e-14);
        assert_eq!((metrics.spearman, metrics.mae, metrics.value_ratio), (Some(1.0), Some(0.0), Some(1.0)));
        assert_eq!(spearman(&v, &reverse), Some(-1.0));
    }

    #[test]
    fn coinciding_decile_edges_leave_groups_out_and_lose_no_row() {
        let predicted: Vec<f64> = (0..40).map(|i| if i < 25 { 0.0 } else { f64::from(i) }).collect();
        let table = decile_errors(&[1.0; 40], &predicted).unwrap();
        assert_eq!(table.iter().map(|row| row.rows).sum::<u64>(), 40);
        assert_eq!(table[0].rows, 25);
    }
}
