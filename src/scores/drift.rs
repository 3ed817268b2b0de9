//! Drift: how far the distribution of a column has moved, as the population stability index.
//!
//! A column is kept as the counts of its values in ten bins, whose ends are the deciles at the time of keeping; missing
//! values are a bin of their own. With shares `e_i` then and `a_i` now,
//!
//! ```text
//! PSI = Σ_i (a_i − e_i) ln(a_i / e_i)
//! ```
//!
//! (Siddiqi 2006, *Credit Risk Scorecards*, ch. 8: below 0.1 nothing to speak of, above 0.25 a major shift). Where nothing
//! has changed, PSI is about `(1/n + 1/m) χ²` with one degree of freedom fewer than bins, for `n` and `m` customers
//! (Yurdakul & Naranjo 2020, *Journal of Risk Model Validation* 14(4)): below its 99.9 % quantile drift is noise.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::accounts;
use super::predict::{BasisPlans, PartitionScores, Predictor};
use crate::bundle::Parameters;
use crate::error::{Error, FileError};
use crate::features::{FeatureTable, RowRequest, Sweep};
use crate::lists::Exclusions;
use crate::time::Day;
use crate::timeline::Timelines;

/// Name of the file, in bundles and in partitions.
pub const FILE: &str = "distributions.json";

/// Customers whose values are looked at, by a stable hash: of so many, noise moves PSI by a thousandth.
const MOST_CUSTOMERS: f64 = 20_000.0;

const BINS: usize = 10;

/// Chance that a column which has not changed looks as if it had.
const NOISE_LEVEL: f64 = 0.999;

/// Values of one column in bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Where a bin ends, ascending; a value equal to it is inside. The last bin has no end.
    ends: Vec<f64>,
    /// Values in each bin, one more than ends.
    counts: Vec<u64>,
    /// Rows without a value.
    missing: u64,
}

impl Distribution {
    /// Of these values; what is not finite is missing.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut missing = 0;
        let mut known: Vec<f64> = values
            .filter(|value| {
                missing += u64::from(!value.is_finite());
                value.is_finite()
            })
            .collect();
        known.sort_unstable_by(f64::total_cmp);
        let last = |bin: usize| (bin * known.len() / BINS).checked_sub(1).map(|place| known[place]);
        let mut ends: Vec<f64> = (1..BINS).filter_map(last).collect();
        ends.dedup();
        if ends.last() == known.last() {
            ends.pop(); // a bin beyond the largest value would never hold one
        }
        let mut counts = vec![0; ends.len() + 1];
        known.iter().for_each(|&value| counts[bin(&ends, value)] += 1);
        Self { ends, counts, missing }
    }

    fn rows(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.missing
    }

    /// The population stability index of these values against the distribution, and what noise alone reaches. Each bin is
    /// counted half a row fuller than it is, so that an empty one does not make it infinite. `None` without rows.
    pub fn psi(&self, values: impl Iterator<Item = f64>) -> Option<Psi> {
        let mut now = vec![0u64; self.counts.len() + 1];
        for value in values {
            let bin = if value.is_finite() { bin(&self.ends, value) } else { self.counts.len() };
            now[bin] += 1;
        }
        let then: Vec<u64> = self.counts.iter().copied().chain([self.missing]).collect();
        let (n, m) = (self.rows(), now.iter().sum::<u64>());
        if n == 0 || m == 0 {
            return None;
        }
        // A bin that is empty both times is none: most columns are never missing.
        let pairs: Vec<(u64, u64)> = then.into_iter().zip(now).filter(|&(then, now)| then + now > 0).collect();
        let bins = pairs.len() as f64;
        let share = |count: u64, rows: u64| (count as f64 + 0.5) / (rows as f64 + 0.5 * bins);
        let term = |&(then, now): &(u64, u64)| {
            let (e, a) = (share(then, n), share(now, m));
            (a - e) * (a / e).ln()
        };
        let noise = match ChiSquared::new(bins - 1.0) {
            Ok(law) if bins > 1.0 => law.inverse_cdf(NOISE_LEVEL) * (1.0 / n as f64 + 1.0 / m as f64),
            _ => 0.0,
        };
        Some(Psi { value: pairs.iter().map(term).sum(), noise })
    }
}

fn bin(ends: &[f64], value: f64) -> usize {
    ends.partition_point(|&end| end < value)
}

/// A population stability index, and what it reaches by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Psi {
    /// The index.
    pub value: f64,
    /// Its 99.9 % quantile where nothing has changed.
    pub noise: f64,
}

impl Psi {
    /// Whether it is beyond the limit, and beyond chance.
    pub fn is_beyond(self, limit: f64) -> bool {
        self.value > limit && self.value > self.noise
    }
}

/// The columns of a population at a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distributions {
    /// The day.
    pub as_of: Day,
    /// Customers looked at.
    pub customers: u64,
    /// Predictions by column name.
    pub predictions: BTreeMap<String, Distribution>,
    /// Features by name.
    pub features: BTreeMap<String, Distribution>,
}

/// Values of the sampled customers at a day: what [`Distributions`] are made of and compared with.
pub(crate) struct Sample {
    as_of: Day,
    customers: u64,
    predictions: Vec<(String, Vec<f64>)>,
    features: Vec<(String, Vec<f64>)>,
}

/// The rows that are looked at when so many customers are known.
fn request(as_of: Day, customers: u64) -> RowRequest {
    RowRequest { as_of, share: (MOST_CUSTOMERS / customers.max(1) as f64).min(1.0) }
}

fn prediction_columns(parameters: &Parameters) -> Vec<String> {
    parameters.targets.iter().flat_map(|fitted| fitted.target.columns()).collect()
}

impl Sample {
    /// What a fit predicts at the day at which it ends. `customers` are known there.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back; a model that refuses its rows.
    pub(crate) fn of_fit(
        parameters: &Parameters,
        timelines: &Timelines,
        as_of: Day,
        customers: u64,
    ) -> Result<Self, Error> {
        let basis = BasisPlans::new(parameters);
        let nobody = Exclusions::default();
        let predictor = Predictor::new(parameters, &basis, timelines, &nobody, request(as_of, customers), false)?;
        let parts = timelines.map_parts(|index, part| predictor.part(index, part))?;
        Self::of_scores(parameters, timelines, &parts, as_of, customers)
    }

    /// Of scores that were just made.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub(super) fn of_scores(
        parameters: &Parameters,
        timelines: &Timelines,
        parts: &[PartitionScores],
        as_of: Day,
        customers: u64,
    ) -> Result<Self, Error> {
        let request = request(as_of, customers);
        let values = |column: usize| -> Vec<f64> {
            let of_part = |scores: &PartitionScores| {
                let rows = scores.hashes.iter().zip(&scores.predictions[column]);
                rows.filter(|(hash, _)| request.wants(**hash)).map(|(_, &value)| value).collect::<Vec<f64>>()
            };
            parts.iter().flat_map(of_part).collect()
        };
        let predictions: Vec<(String, Vec<f64>)> = prediction_columns(parameters)
            .into_par_iter()
            .enumerate()
            .map(|(column, name)| (name, values(column)))
            .collect();
        let table = FeatureTable::build(timelines, &Sweep::new(&parameters.catalogue, timelines), &[request])?;
        let features = parameters.catalogue.features().into_par_iter().enumerate().map(|(column, feature)| {
            (feature.name, table.values.column(column).iter().map(|&value| f64::from(value)).collect())
        });
        Ok(Self { as_of, customers: table.keys.len() as u64, predictions, features: features.collect() })
    }

    /// Their distributions.
    pub(crate) fn distributions(&self) -> Distributions {
        let of = |columns: &[(String, Vec<f64>)]| -> BTreeMap<String, Distribution> {
            let one = |(name, values): &(String, Vec<f64>)| (name.clone(), Distribution::of(values.iter().copied()));
            columns.par_iter().map(one).collect()
        };
        Distributions {
            as_of: self.as_of,
            customers: self.customers,
            predictions: of(&self.predictions),
            features: of(&self.features),
        }
    }

    /// Drift against former distributions: of predictions, and of features; columns that are in both.
    pub(super) fn drift(&self, former: &Distributions) -> (BTreeMap<String, Psi>, BTreeMap<String, Psi>) {
        let of = |columns: &[(String, Vec<f64>)], former: &BTreeMap<String, Distribution>| {
            let one = |(name, values): &(String, Vec<f64>)| {
                Some((name.clone(), former.get(name)?.psi(values.iter().copied())?))
            };
            columns.par_iter().filter_map(one).collect::<BTreeMap<String, Psi>>()
        };
        (of(&self.predictions, &former.predictions), of(&self.features, &former.features))
    }
}

impl Distributions {
    /// As a file.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("our own types have JSON forms");
        bytes.push(b'\n');
        bytes
    }

    /// Those of a folder; `None` where there are none.
    ///
    /// # Errors
    /// A file that is there and cannot be read or understood.
    pub fn load(folder: &Path) -> Result<Option<Self>, FileError> {
        accounts::read(&folder.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_that_of_the_formula() {
        // Ten equal bins of 1 to 1000; then 300 values in the first, 100 in the second and so on.
        // Python: e = [100.5 / 1005] * 10; a = [(c + .5) / 1005 for c in
        // [300, 100, 100, 100, 100, 100, 100, 50, 30, 20]]; sum((a - e) * log(a / e) for a, e in zip(a, e))
        let then = Distribution::of((1..=1000).map(f64::from));
        assert_eq!(then.counts, [100; 10]);
        let now = [300, 100, 100, 100, 100, 100, 100, 50, 30, 20];
        let values = now.iter().enumerate().flat_map(|(bin, &count)| vec![100.0 * bin as f64 + 50.0; count]);
        let psi = then.psi(values).unwrap();
        assert!((psi.value - 0.461_806_990_285_076_77).abs() < 1e-12, "{psi:?}");
        assert!(psi.is_beyond(0.25));
        // 27.877 is the 99.9 % quantile of χ² with 9 degrees of freedom in every printed table.
        assert!((psi.noise - 27.877 * (1.0 / 1000.0 + 1.0 / 1000.0)).abs() < 1e-5, "{psi:?}");
    }

    #[test]
    fn nothing_changes_without_a_change() {
        let values = || (0..5000).map(|n| f64::from(n * 7919 % 5003));
        let psi = Distribution::of(values()).psi(values()).unwrap();
        assert_eq!(psi.value, 0.0);
        assert!(!psi.is_beyond(0.0));
    }

    #[test]
    fn missing_values_and_ties_are_bins() {
        let mostly_zero = |missing: usize| {
            let zero = std::iter::repeat_n(0.0, 900 - missing).chain((1..=100).map(f64::from));
            zero.chain(std::iter::repeat_n(f64::NAN, missing))
        };
        let then = Distribution::of(mostly_zero(0));
        assert_eq!(then.ends, [0.0]);
        assert_eq!(then.counts, [900, 100]);
        assert!(then.psi(mostly_zero(0)).unwrap().value < 1e-12);
        assert!(then.psi(mostly_zero(500)).unwrap().is_beyond(0.25), "half of the column has gone");
        let constant = Distribution::of([3.0; 50].into_iter());
        assert_eq!((constant.ends.len(), constant.counts.as_slice()), (0, &[50][..]));
        assert_eq!(constant.psi([3.0; 20].into_iter()).unwrap().value, 0.0);
        assert!(constant.psi(std::iter::empty()).is_none());
    }

    #[test]
    fn few_customers_are_not_enough_for_a_verdict() {
        let then = Distribution::of((0..20).map(f64::from));
        let psi = then.psi((0..20).map(|n| f64::from(n * n % 23))).unwrap();
        assert!(!psi.is_beyond(0.1), "{psi:?}");
    }
}
