//! Intervals of amounts that hold what they promise: split-conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018,
//! "Distribution-Free Predictive Inference for Regression", JASA 113(523), 1094-1111).
//!
//! What customers spent is compared with what was predicted of them, on rows that the model did not learn from: actual ÷ predicted,
//! within groups of similar predictions, because small predictions miss by more. An interval is two of those ratios. Where many
//! spend nothing it begins at 0 and ends where the wanted share is reached; elsewhere both tails are the same. Many customers
//! at exactly 0 make intervals of small predictions hold more than they should; the level of all is set so that the share over
//! *all* customers is the wanted one. A prediction is a mean: where most spend nothing and a few much, it may lie beyond its interval.

use serde::{Deserialize, Serialize};

use super::{FitError, check_length};

/// Groups of similar predictions at most.
const MOST_GROUPS: usize = 20;
/// Rows of a group at least.
const LEAST_ROWS: usize = 50;
/// Levels that are tried, in steps of 1/200 from 0.
const LEVELS: usize = 200;

/// Intervals around predicted amounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Share of customers that the intervals are to hold.
    pub share: f64,
    /// Ascending by prediction; at least one.
    groups: Vec<Group>,
}

/// Customers with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Group {
    /// Their mean prediction.
    centre: f64,
    /// Ends of the interval of a prediction of 1.
    low: f64,
    high: f64,
}

/// Ratios of one group, ascending.
struct Ratios {
    centre: f64,
    ratios: Vec<f64>,
}

impl Ratios {
    /// Ends at a level: the whole lower tail where enough of it is 0 or less, else both.
    fn ends(&self, level: f64) -> (f64, f64) {
        let tail = (1.0 - level) / 2.0;
        let nothing = self.ratios.partition_point(|&ratio| ratio <= 0.0) as f64 / self.ratios.len() as f64;
        if nothing > tail {
            (0f64.min(self.quantile(0.0)), self.quantile(level))
        } else {
            (self.quantile(tail), self.quantile(1.0 - tail))
        }
    }

    /// The smallest ratio that at least `share` of the others do not exceed, one row more being still to come.
    fn quantile(&self, share: f64) -> f64 {
        let n = self.ratios.len();
        let rank = (share * (n as f64 + 1.0)).ceil() as usize;
        self.ratios[rank.clamp(1, n) - 1]
    }
}

impl Intervals {
    /// Intervals that hold `share` of these rows: predictions, which are positive or 0, and what came true. The rows must be such
    /// that the model has not learned from them.
    ///
    /// # Errors
    /// Lengths that differ, no rows, or a number that is not finite.
    pub fn fit(predicted: &[f64], actual: &[f64], share: f64) -> Result<Self, FitError> {
        check_length("actual amounts", predicted.len(), actual.len())?;
        for (row, (&one, &other)) in predicted.iter().zip(actual).enumerate() {
            if let Some(value) = [one, other].into_iter().find(|value| !value.is_finite()) {
                return Err(FitError::NonFinite { row, column: 0, value });
            }
        }
        let mut order: Vec<usize> = (0..predicted.len()).filter(|&row| predicted[row] > 0.0).collect();
        if order.is_empty() {
            return Err(FitError::NoRows);
        }
        order.sort_by(|&a, &b| predicted[a].total_cmp(&predicted[b]).then(a.cmp(&b)));
        let count = (order.len() / LEAST_ROWS).clamp(1, MOST_GROUPS);
        let groups: Vec<Ratios> = (0..count)
            .map(|group| {
                let rows = &order[group * order.len() / count..(group + 1) * order.len() / count];
                let mut ratios: Vec<f64> = rows.iter().map(|&row| actual[row] / predicted[row]).collect();
                ratios.sort_unstable_by(f64::total_cmp);
                Ratios { centre: rows.iter().map(|&row| predicted[row]).sum::<f64>() / rows.len() as f64, ratios }
            })
            .collect();
        let at = |level: usize| {
            let of_group = |group: &Ratios| {
                let (low, high) = group.ends(level as f64 / LEVELS as f64);
                Group { centre: group.centre, low, high }
            };
            Self { share, groups: groups.iter().map(of_group).collect() }
        };
        let holds = |intervals: &Self| intervals.coverage(predicted, actual) >= share;
        let found = (0..LEVELS).map(at).find(holds);
        Ok(found.unwrap_or_else(|| at(LEVELS)))
    }

    /// Share of rows whose actual amount is within their interval.
    pub fn coverage(&self, predicted: &[f64], actual: &[f64]) -> f64 {
        let inside = |(&predicted, &actual): (&f64, &f64)| {
            let (low, high) = self.around(predicted);
            low <= actual && actual <= high
        };
        predicted.iter().zip(actual).filter(|&pair| inside(pair)).count() as f64 / predicted.len().max(1) as f64
    }

    /// The ends of the interval of a prediction; both `NaN` of `NaN`.
    pub fn around(&self, predicted: f64) -> (f64, f64) {
        let next = self.groups.partition_point(|group| group.centre <= predicted);
        let (low, high) = match (next.checked_sub(1).map(|before| self.groups[before]), self.groups.get(next)) {
            (Some(before), Some(after)) => {
                let way = (predicted - before.centre) / (after.centre - before.centre);
                (before.low + way * (after.low - before.low), before.high + way * (after.high - before.high))
            }
            (Some(only), None) => (only.low, only.high),
            (None, Some(only)) => (only.low, only.high),
            (None, None) => (1.0, 1.0),
        };
        (predicted * low, predicted * high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Gamma};

    /// Amounts that are 0 with a probability that falls as the prediction rises, and gamma else: the prediction is the mean.
    fn shop(rows: usize, nothing: impl Fn(f64) -> f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..rows)
            .map(|_| {
                let predicted: f64 = random.random_range(1.0..200.0);
                let none = nothing(predicted);
                let spend = Gamma::new(2.0, predicted / (1.0 - none) / 2.0).unwrap();
                (predicted, if random.random_bool(none) { 0.0 } else { spend.sample(&mut random) })
            })
            .unzip()
    }

    #[test] // Standard error of a share of 4,000: 0.0063, and 0.0045 of what was learned from 8,000.
    fn new_rows_are_held_as_promised() {
        let rules: [fn(f64) -> f64; 4] =
            [|_| 0.0, |_| 0.4, |p| 0.9 - p / 250.0, |p| if p < 100.0 { 0.95 } else { 0.2 }];
        for nothing in rules {
            let (predicted, actual) = shop(8000, nothing, 1);
            let intervals = Intervals::fit(&predicted, &actual, 0.8).unwrap();
            let (predicted, actual) = shop(4000, nothing, 2);
            let coverage = intervals.coverage(&predicted, &actual);
            assert!((coverage - 0.8).abs() < 0.025, "{coverage}");
            for &predicted in &predicted {
                let (low, high) = intervals.around(predicted);
                assert!(0.0 <= low && low <= high, "{low} {predicted} {high}");
            }
        }
    }

    #[test] // Gamma(2) with mean 1 has its 10 % and 90 % quantiles at 0.2659 and 1.9449 (scipy 1.17.1: gamma.ppf([.1, .9], 2, scale=.5))
    fn without_zeros_both_tails_are_the_same() {
        let (predicted, actual) = shop(40_000, |_| 0.0, 3);
        let intervals = Intervals::fit(&predicted, &actual, 0.8).unwrap();
        let (low, high) = intervals.around(100.0);
        assert!((low - 26.6).abs() < 3.0 && (high - 194.5).abs() < 8.0, "{low} {high}");
    }

    #[test]
    fn few_rows_and_no_rows() {
        let intervals = Intervals::fit(&[10.0, 20.0, 30.0], &[0.0, 25.0, 90.0], 0.8).unwrap();
        assert_eq!(intervals.around(20.0), (0.0, 60.0), "three rows: all that was seen");
        assert!(intervals.around(f64::NAN).0.is_nan());
        assert!(matches!(Intervals::fit(&[], &[], 0.8), Err(FitError::NoRows)));
        assert!(matches!(Intervals::fit(&[0.0], &[1.0], 0.8), Err(FitError::NoRows)));
        assert!(matches!(Intervals::fit(&[1.0], &[f64::NAN], 0.8), Err(FitError::NonFinite { row: 0, .. })));
    }
}
