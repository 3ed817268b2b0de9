//! From raw feature columns to what a linear model can take: finite, of one scale, without missing values.
//!
//! For each feature, over its present values:
//! - it is *heavy-tailed* when its skewness (m₃ / m₂^1.5) is beyond ±1 and sign(x) · ln(1 + |x|) has a smaller one; then
//!   the logarithm takes its place (`ln_1p` makes 0 stay 0, and refunds mirror spend);
//! - the mean is subtracted and the result divided by the standard deviation (population, divisor n);
//! - a missing value becomes 0, the mean after the transform, and where 0.5 % to 99.5 % of the rows miss it, a further
//!   column holds 1 for them and 0 for the rest. Features that are missing together share that column.
//!
//! Constant features are dropped. Values first, in the order of the features, then indicators in the same order.

mod of_blocks;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CHUNK_ROWS, FitError, find_value};

pub use of_blocks::BlockPreparation;

/// Beyond this skewness a column may be transformed; an exponential has 2, a normal 0, a uniform 0.
const HEAVY_SKEWNESS: f64 = 1.0;

/// An indicator column needs at least this share of the rows on either side: below it there is little to learn, and a
/// column that is nearly constant gets a wild coefficient.
const MIN_INDICATOR_SHARE: f64 = 0.005;

/// How one feature becomes one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueColumn {
    /// Which feature, from 0.
    pub feature: usize,
    /// Whether sign(x) · ln(1 + |x|) takes the place of x.
    pub logarithm: bool,
    /// Mean after that.
    pub mean: f64,
    /// Standard deviation after that, above 0.
    pub deviation: f64,
}

/// What was learned about the features; applied to any rows with the same features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredPreparation")]
pub struct Preparation {
    features: usize,
    values: Vec<ValueColumn>,
    /// Features whose missing values have a column.
    indicators: Vec<usize>,
}

/// As read from a file, before its columns are known to be those of its features.
#[derive(Deserialize)]
struct StoredPreparation {
    features: usize,
    values: Vec<ValueColumn>,
    indicators: Vec<usize>,
}

impl TryFrom<StoredPreparation> for Preparation {
    type Error = &'static str;

    fn try_from(StoredPreparation { features, values, indicators }: StoredPreparation) -> Result<Self, Self::Error> {
        let usable = |column: &ValueColumn| column.feature < features && column.deviation > 0.0;
        if !values.iter().all(usable) || indicators.iter().any(|feature| *feature >= features) {
            return Err("a prepared column has no feature or no scale");
        }
        Ok(Self { features, values, indicators })
    }
}

impl Preparation {
    /// Learns from n × p `features`, `NaN` where missing.
    ///
    /// # Errors
    /// [`FitError::NonFinite`] for the first infinity, [`FitError::NoUsableFeatures`] when no column is left,
    /// [`FitError::NoRows`] without rows.
    pub fn fit(features: ArrayView2<f32>) -> Result<Self, FitError> {
        let (n, p) = features.dim();
        if n == 0 {
            return Err(FitError::NoRows);
        }
        refuse_infinities(features)?;
        let mut columns = vec![Column::default(); p];
        let parts: Vec<Vec<Column>> = features
            .axis_chunks_iter(Axis(0), CHUNK_ROWS)
            .into_par_iter()
            .map(|rows| (0..p).map(|feature| Column::of(rows.column(feature).iter().copied())).collect())
            .collect();
        for part in parts {
            for (column, part) in columns.iter_mut().zip(part) {
                column.merge(&part);
            }
        }
        let values: Vec<ValueColumn> = columns.iter().enumerate().filter_map(|(i, column)| column.value(i)).collect();
        let least = MIN_INDICATOR_SHARE * n as f64;
        let candidates: Vec<usize> = (0..p)
            .filter(|&i| {
                let present = columns[i].raw.count;
                present >= least && n as f64 - present >= least && present < n as f64 && present > 0.0
            })
            .collect();
        let indicators = distinct_patterns(features, &candidates);
        if values.is_empty() && indicators.is_empty() {
            return Err(FitError::NoUsableFeatures { features: p });
        }
        Ok(Self { features: p, values, indicators })
    }

    /// The n × q matrix of `features` in the order of [`names`](Self::names): finite, no missing values.
    ///
    /// # Errors
    /// [`FitError::WrongWidth`], and [`FitError::NonFinite`] for the first infinity.
    pub fn apply(&self, features: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        if features.ncols() != self.features {
            return Err(FitError::WrongWidth { expected: self.features, got: features.ncols() });
        }
        refuse_infinities(features)?;
        let mut out = Array2::zeros((features.nrows(), self.n_columns()));
        let chunks = features.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter();
        out.axis_chunks_iter_mut(Axis(0), CHUNK_ROWS).into_par_iter().zip(chunks).for_each(|(mut out, rows)| {
            for (mut out, row) in out.rows_mut().into_iter().zip(rows.rows()) {
                for (out, column) in out.iter_mut().zip(&self.values) {
                    *out = column.standardised(row[column.feature]);
                }
                for (out, feature) in out.iter_mut().skip(self.values.len()).zip(&self.indicators) {
                    *out = f64::from(u8::from(row[*feature].is_nan()));
                }
            }
        });
        Ok(out)
    }

    /// The preparation made ready for many blocks of rows.
    pub fn for_blocks(&self) -> BlockPreparation<'_> {
        BlockPreparation::new(self)
    }

    /// Columns of the prepared matrix.
    pub fn n_columns(&self) -> usize {
        self.values.len() + self.indicators.len()
    }

    /// The value columns; they are the first columns of the prepared matrix.
    pub fn values(&self) -> &[ValueColumn] {
        &self.values
    }

    /// Features whose indicator columns follow the value columns; each stands for all features missing with it.
    pub fn indicators(&self) -> &[usize] {
        &self.indicators
    }

    /// Names of the prepared columns: a feature's own, and `NAME_missing` for its indicator.
    ///
    /// # Errors
    /// [`FitError::WrongWidth`] when there is not one name for each feature.
    pub fn names(&self, features: &[String]) -> Result<Vec<String>, FitError> {
        if features.len() != self.features {
            return Err(FitError::WrongWidth { expected: self.features, got: features.len() });
        }
        let values = self.values.iter().map(|column| features[column.feature].clone());
        let indicators = self.indicators.iter().map(|feature| format!("{}_missing", features[*feature]));
        Ok(values.chain(indicators).collect())
    }
}

impl ValueColumn {
    /// The prepared number of a raw one: 0 when missing.
    pub fn standardised(&self, raw: f32) -> f64 {
        if raw.is_nan() {
            return 0.0;
        }
        let raw = f64::from(raw);
        ((if self.logarithm { signed_ln(raw) } else { raw }) - self.mean) / self.deviation
    }
}

const KNOWN_LOGARITHMS: usize = 1024;

/// ln(1 + n), as it is computed of any other number.
static LOGARITHMS: LazyLock<[f64; KNOWN_LOGARITHMS]> = LazyLock::new(|| std::array::from_fn(|n| (1.0 + n as f64).ln()));

/// sign(x) · ln(1 + |x|).
fn signed_ln(x: f64) -> f64 {
    let size = x.abs();
    // Most numbers are counts, and most of those are small.
    let whole = size as usize;
    if whole < KNOWN_LOGARITHMS && whole as f64 == size {
        return LOGARITHMS[whole].copysign(x);
    }
    // `ln_1p` takes three times as long, and only small numbers need it: 1 + x drops their last digits.
    let logarithm = if size < 1e-3 { size.ln_1p() } else { (1.0 + size).ln() };
    logarithm.copysign(x)
}

fn refuse_infinities(features: ArrayView2<f32>) -> Result<(), FitError> {
    match find_value(features, f32::is_infinite) {
        Some((row, column, value)) => Err(FitError::NonFinite { row, column, value: value.into() }),
        None => Ok(()),
    }
}

/// Count, mean and central moment sums Σ(x - mean)² and Σ(x - mean)³.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    second: f64,
    third: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        if values.is_empty() {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / count;
        let (mut second, mut third) = (0.0, 0.0);
        for value in values {
            let d = value - mean;
            second += d * d;
            third += d * d * d;
        }
        Self { count, mean, second, third }
    }

    /// Pébay (2008), "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order Statistical
    /// Moments", Sandia report SAND2008-6212, eqs. (1.4), (2.1) and (2.2) for p = 2 and 3.
    fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let (na, nb) = (self.count, other.count);
        let n = na + nb;
        let d = other.mean - self.mean;
        self.third += other.third
            + d * d * d * (na * nb / n) * ((na - nb) / n)
            + 3.0 * d * (na / n * other.second - nb / n * self.second);
        self.second += other.second + d * d * (na * nb / n);
        self.mean += d * (nb / n);
        self.count = n;
    }

    fn deviation(&self) -> f64 {
        (self.second / self.count).sqrt()
    }

    fn skewness(&self) -> f64 {
        self.third / self.count / self.deviation().powi(3)
    }
}

/// What is gathered about one feature.
#[derive(Debug, Clone, Copy)]
struct Column {
    raw: Moments,
    logarithm: Moments,
    least: f32,
    greatest: f32,
}

impl Default for Column {
    fn default() -> Self {
        let none = Moments::default();
        Self { raw: none, logarithm: none, least: f32::INFINITY, greatest: f32::NEG_INFINITY }
    }
}

impl Column {
    fn of(values: impl Iterator<Item = f32>) -> Self {
        let present: Vec<f32> = values.filter(|value| !value.is_nan()).collect();
        let mut raw: Vec<f64> = present.iter().map(|value| f64::from(*value)).collect();
        let plain = Moments::of(&raw);
        raw.iter_mut().for_each(|value| *value = signed_ln(*value));
        Self {
            raw: plain,
            logarithm: Moments::of(&raw),
            least: present.iter().copied().fold(f32::INFINITY, f32::min),
            greatest: present.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.raw.merge(&other.raw);
        self.logarithm.merge(&other.logarithm);
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }

    /// The column of a feature that varies.
    fn value(&self, feature: usize) -> Option<ValueColumn> {
        if self.least >= self.greatest {
            return None; // all the same, or all missing
        }
        let skewness = self.raw.skewness().abs();
        let logarithm = skewness > HEAVY_SKEWNESS && self.logarithm.skewness().abs() < skewness;
        let moments = if logarithm { self.logarithm } else { self.raw };
        let deviation = moments.deviation();
        // Subnormal values may vary and still have squares that are 0.
        (deviation > 0.0).then_some(ValueColumn { feature, logarithm, mean: moments.mean, deviation })
    }
}

/// Of the candidate features, the first of each pattern of missing rows.
fn distinct_patterns(features: ArrayView2<f32>, candidates: &[usize]) -> Vec<usize> {
    let patterns: Vec<Vec<u64>> = candidates
        .par_iter()
        .map(|&feature| {
            let column: Vec<bool> = features.column(feature).iter().map(|value| value.is_nan()).collect();
            column.chunks(64).map(|bits| bits.iter().rev().fold(0, |word, bit| word << 1 | u64::from(*bit))).collect()
        })
        .collect();
    let mut first: BTreeMap<&[u64], usize> = BTreeMap::new();
    for (pattern, feature) in patterns.iter().zip(candidates) {
        first.entry(pattern).or_insert(*feature);
    }
    let mut indicators: Vec<usize> = first.into_values().collect();
    indicators.sort_unstable();
    indicators
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    const NAN: f32 = f32::NAN;

    #[test] // scipy.stats.skew([1, 2, 2, 3, 40]) = 1.49, of np.log1p 1.34; its np.mean and np.std (scipy 1.17.1)
    fn a_heavy_tail_is_logged_and_standardised() {
        let features = array![[1.0f32, 1.0], [2.0, 2.0], [2.0, 3.0], [3.0, 4.0], [40.0, 5.0]];
        let preparation = Preparation::fit(features.view()).unwrap();
        let [heavy, even] = preparation.values() else { panic!("two columns") };
        assert!(heavy.logarithm && !even.logarithm);
        assert!((heavy.mean - LN_MEAN).abs() < 1e-15 && (heavy.deviation - LN_DEVIATION).abs() < 1e-15);
        assert_eq!((even.mean, even.deviation), (3.0, 2.0f64.sqrt()));
        let prepared = preparation.apply(features.view()).unwrap();
        for column in prepared.columns() {
            assert!(column.sum().abs() < 1e-14);
            assert!((column.mapv(|x| x * x).sum() / 5.0 - 1.0).abs() < 1e-14);
        }
    }
    const LN_MEAN: f64 = 1.598_047_637_144_072_6;
    const LN_DEVIATION: f64 = 1.080_555_341_749_223_5;

    #[test]
    fn missing_values_become_the_mean_and_an_indicator_that_is_shared() {
        let features = array![
            [1.0, NAN, 7.0, NAN, 5.0],
            [2.0, 4.0, 7.0, 1.0, 5.0],
            [3.0, 6.0, NAN, 2.0, 5.0],
            [4.0, 8.0, 7.0, 9.0, 5.0]
        ];
        let preparation = Preparation::fit(features.view()).unwrap();
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        // b and d are missing together; c is constant where known, but that it is unknown says something.
        assert_eq!(preparation.names(&names).unwrap(), ["a", "b", "d", "b_missing", "c_missing"]);
        let prepared = preparation.apply(features.view()).unwrap();
        assert_eq!(prepared.column(3), array![1.0, 0.0, 0.0, 0.0]);
        assert_eq!(prepared.column(4), array![0.0, 0.0, 1.0, 0.0]);
        assert_eq!(prepared[[0, 1]], 0.0);
        assert!(preparation.names(&names[..2]).is_err());
    }

    #[test]
    fn rare_missing_values_have_no_indicator() {
        for (missing, expected) in [(0, 0), (4, 0), (5, 1), (500, 1), (995, 1), (996, 0)] {
            let features = Array2::from_shape_fn((1000, 1), |(row, _)| if row < missing { NAN } else { row as f32 });
            let preparation = Preparation::fit(features.view()).unwrap();
            assert_eq!(preparation.indicators().len(), expected, "{missing} of 1000");
        }
    }

    #[test]
    fn what_cannot_be_prepared_is_named() {
        let infinite = array![[1.0f32, 2.0], [NAN, f32::NEG_INFINITY]];
        let error = Preparation::fit(infinite.view()).unwrap_err();
        assert_eq!(error.to_string(), "row 1, column 1: -inf is no finite number");
        let fitted = Preparation::fit(array![[1.0f32, 2.0], [2.0, 3.0]].view()).unwrap();
        assert!(matches!(fitted.apply(infinite.view()), Err(FitError::NonFinite { row: 1, column: 1, .. })));
        assert!(matches!(fitted.apply(array![[1.0f32]].view()), Err(FitError::WrongWidth { expected: 2, got: 1 })));
        let flat = array![[1.0f32, NAN], [1.0, NAN]];
        assert!(matches!(Preparation::fit(flat.view()), Err(FitError::NoUsableFeatures { features: 2 })));
        assert!(matches!(Preparation::fit(Array2::zeros((0, 2)).view()), Err(FitError::NoRows)));
        assert!(matches!(Preparation::fit(Array2::zeros((2, 0)).view()), Err(FitError::NoUsableFeatures { .. })));
    }

    #[test]
    fn a_block_is_prepared_as_its_rows_are() {
        use crate::models::blocks::{ABREAST, BLOCK, Blocks};
        let cell = |(row, column): (usize, usize)| match (row * 7 + column * 3) % 11 {
            0 => NAN,
            1 => -(row as f32) / 3.0,
            2 => 1e-4 * row as f32,
            3 => 5000.0 + row as f32,
            n => (n * row / 40) as f32,
        };
        let features = Array2::from_shape_fn((150, 5), cell);
        let preparation = Preparation::fit(features.view()).unwrap();
        assert!(preparation.values().iter().any(|column| column.logarithm) && !preparation.indicators().is_empty());
        let want = preparation.apply(features.view()).unwrap();
        let (blocks, n, prepared) = (Blocks::of(features.view()), preparation.n_columns(), preparation.for_blocks());
        let mut out = vec![[3.0; ABREAST]; 7];
        for first in (0..150).step_by(BLOCK) {
            let sight = blocks.sight(first, &[]);
            prepared.apply(&sight, &mut out);
            for lane in 0..sight.rows() {
                let got = (0..n).map(|column| out[lane / ABREAST * n + column][lane % ABREAST]);
                assert!(got.eq(want.row(first + lane).iter().copied()), "row {}", first + lane);
            }
        }
    }

    #[test]
    fn extreme_magnitudes_stay_finite() {
        let features = array![[f32::MAX, f32::MIN_POSITIVE, 1e-45], [f32::MIN, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let preparation = Preparation::fit(features.view()).unwrap();
        assert!(preparation.apply(features.view()).unwrap().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_view_that_is_not_contiguous_is_read_right() {
        let wide = Array2::from_shape_fn((3000, 6), |(row, column)| ((row * (column + 2)) % 101) as f32);
        let narrow = wide.slice(ndarray::s![..;3, ..;2]);
        let owned = narrow.to_owned();
        assert_eq!(Preparation::fit(narrow).unwrap(), Preparation::fit(owned.view()).unwrap());
        let preparation = Preparation::fit(narrow).unwrap();
        assert_eq!(preparation.apply(narrow).unwrap(), preparation.apply(owned.view()).unwrap());
    }

    proptest! {
        /// Merged moments against one pass over everything.
        #[test]
        fn merged_moments_are_those_of_the_whole(
            values in prop::collection::vec(-100.0f64..100.0, 2..60),
            cut in 0usize..60,
        ) {
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut merged = Moments::of(left);
            merged.merge(&Moments::of(right));
            let whole = Moments::of(&values);
            // Rounding of sums of at most 60 numbers of at most 200³.
            prop_assert!((merged.mean - whole.mean).abs() < 1e-11);
            prop_assert!((merged.second - whole.second).abs() < 1e-8);
            prop_assert!((merged.third - whole.third).abs() < 1e-5);
            prop_assert_eq!(merged.count, whole.count);
        }
    }
}
