//! Everything a report says about one model on one table: metrics, intervals, reliability, deciles.

use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapOptions, Intervals, intervals};
use super::calibration::{CalibrationRow, CalibrationSums, ReliabilityBin, reliability, uniform_edges};
use super::ranking::{Decile, RankedLabels};
use super::value::{LARGEST, RankedValues, ValueMetrics};
use super::{MetricError, MetricValue};

/// Bins of `ece_10` and points of a reliability diagram.
const BINS: usize = 10;

const RANKING: [&str; 4] = ["roc_auc", "average_precision", "ks", "lift_at_10"];
const BINARY: [&str; 8] =
    ["roc_auc", "average_precision", "ks", "lift_at_10", "log_loss", "brier", "ece_10", "calibration_ratio"];
const VALUE: [&str; 8] = [
    "gini_normalized",
    "spearman",
    "mae",
    "rmse",
    "mae_normalized",
    "rmse_normalized",
    "value_ratio",
    "top_10_value_share",
];

/// How one model did on one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// In the order of [`super::METRICS`].
    pub metrics: Vec<MetricValue>,
    /// Points of the reliability diagram; empty for amounts and for scores that are no probabilities.
    pub reliability: Vec<ReliabilityBin>,
    /// Decile table, best first; empty without rows.
    pub deciles: Vec<Decile>,
    /// What stands behind the intervals; `None` when there are none.
    pub intervals: Option<Intervals>,
}

/// Evaluates probabilities of an outcome: ranking and calibration metrics.
///
/// One row per customer and cut-off: `labels` (whether it happened), `probabilities` (0 to 1), `keys` (the customer; rows with equal
/// keys are resampled together). Time: one sort, then one pass per resample (see
/// [`super::bootstrap::affordable_resamples`]). Memory: about 60 bytes a row, and 8 more for each thread.
///
/// # Errors
/// Columns of different length, a probability outside [0, 1], a level outside (0, 1).
pub fn evaluate_binary(
    labels: &[bool],
    probabilities: &[f64],
    keys: &[u64],
    options: &BootstrapOptions,
) -> Result<Evaluated, MetricError> {
    check(labels.len(), "probability", probabilities, keys, options)?;
    require("probability", probabilities, "0 to 1", |p| (0.0..=1.0).contains(&p))?;
    let ranked = RankedLabels::new(labels, probabilities).expect("checked above");
    let edges = uniform_edges(BINS);
    let rows: Vec<CalibrationRow> = ranked
        .order
        .rows
        .iter()
        .map(|&row| CalibrationRow::new(labels[row as usize], probabilities[row as usize], &edges))
        .collect();
    let measure = |weights: Option<&[u32]>| match weights {
        None => binary_metrics(&ranked, &rows, |_| 1),
        Some(weights) => binary_metrics(&ranked, &rows, |i| u64::from(weights[i])),
    };
    let (metrics, intervals) = with_intervals(BINARY, &ranked.order.rows, keys, options, measure);
    Ok(Evaluated {
        metrics,
        reliability: reliability(labels, probabilities, BINS).unwrap_or_default(),
        deciles: ranked.decile_table(probabilities),
        intervals,
    })
}

/// Evaluates a score that is no probability (a baseline such as `churn_factor`): ranking metrics alone.
///
/// Columns and cost as [`evaluate_binary`]; `scores` are any finite numbers, higher = more likely.
///
/// # Errors
/// Columns of different length, a score that is not finite, a level outside (0, 1).
pub fn evaluate_ranking(
    labels: &[bool],
    scores: &[f64],
    keys: &[u64],
    options: &BootstrapOptions,
) -> Result<Evaluated, MetricError> {
    check(labels.len(), "score", scores, keys, options)?;
    require("score", scores, "a finite number", f64::is_finite)?;
    let ranked = RankedLabels::new(labels, scores).expect("checked above");
    let measure = |weights: Option<&[u32]>| match weights {
        None => ranking_metrics(&ranked, |_| 1),
        Some(weights) => ranking_metrics(&ranked, |i| u64::from(weights[i])),
    };
    let (metrics, intervals) = with_intervals(RANKING, &ranked.order.rows, keys, options, measure);
    Ok(Evaluated { metrics, reliability: Vec::new(), deciles: ranked.decile_table(scores), intervals })
}

/// Evaluates predicted amounts or counts: ranking and level.
///
/// Columns and cost as [`evaluate_binary`]; `actual` and `predicted` in the unit of the target.
///
/// # Errors
/// Columns of different length, a number that is not finite (or beyond 1e100), a level outside (0, 1).
pub fn evaluate_value(
    actual: &[f64],
    predicted: &[f64],
    keys: &[u64],
    options: &BootstrapOptions,
) -> Result<Evaluated, MetricError> {
    check(actual.len(), "prediction", predicted, keys, options)?;
    for (column, numbers) in [("actual", actual), ("prediction", predicted)] {
        require(column, numbers, "a number between -1e100 and 1e100", |number| number.abs() <= LARGEST)?;
    }
    let ranked = RankedValues::new(actual, predicted).expect("checked above");
    let measure = |weights: Option<&[u32]>| match weights {
        None => value_metrics(&ranked.measure()),
        Some(weights) => value_metrics(&ranked.measure_weighted(|i| u64::from(weights[i]))),
    };
    let (metrics, intervals) = with_intervals(VALUE, &ranked.order.rows, keys, options, measure);
    Ok(Evaluated { metrics, reliability: Vec::new(), deciles: ranked.decile_table(), intervals })
}

/// In the order of [`RANKING`].
fn ranking_metrics(ranked: &RankedLabels, weight: impl Fn(usize) -> u64 + Copy) -> [Option<f64>; 4] {
    let totals = ranked.measure_weighted(weight);
    [totals.roc_auc, totals.average_precision, totals.ks, ranked.lift_at_weighted(0.1, &totals, weight)]
}

/// In the order of [`BINARY`].
fn binary_metrics(
    ranked: &RankedLabels,
    rows: &[CalibrationRow],
    weight: impl Fn(usize) -> u64 + Copy,
) -> [Option<f64>; 8] {
    let [auc, precision, ks, lift] = ranking_metrics(ranked, weight);
    let sums = CalibrationSums::of(rows, BINS, weight);
    [auc, precision, ks, lift, sums.log_loss(), sums.brier(), sums.ece(), sums.calibration_ratio()]
}

/// In the order of [`VALUE`].
fn value_metrics(metrics: &ValueMetrics) -> [Option<f64>; 8] {
    [
        metrics.gini_normalized,
        metrics.spearman,
        metrics.mae,
        metrics.rmse,
        metrics.mae_normalized,
        metrics.rmse_normalized,
        metrics.value_ratio,
        metrics.top_10_value_share,
    ]
}

/// Metrics of the table itself, and their intervals over its resamples.
fn with_intervals<const METRICS: usize>(
    names: [&str; METRICS],
    rows: &[u32],
    keys: &[u64],
    options: &BootstrapOptions,
    measure: impl Fn(Option<&[u32]>) -> [Option<f64>; METRICS] + Sync,
) -> (Vec<MetricValue>, Option<Intervals>) {
    let values = measure(None);
    let keys = rows.iter().map(|&row| keys[row as usize]);
    let (ends, intervals) = intervals(keys, options, |weights| measure(Some(weights)));
    let metrics = (0..METRICS).map(|i| {
        let ends = ends[i].filter(|_| values[i].is_some());
        MetricValue { name: names[i].into(), value: values[i], low: ends.map(|e| e.0), high: ends.map(|e| e.1) }
    });
    (metrics.collect(), intervals)
}

fn check(
    expected: usize,
    column: &'static str,
    numbers: &[f64],
    keys: &[u64],
    options: &BootstrapOptions,
) -> Result<(), MetricError> {
    for (column, found) in [(column, numbers.len()), ("key", keys.len())] {
        if found != expected {
            return Err(MetricError::Length { column, found, expected });
        }
    }
    let level = options.level;
    if level > 0.0 && level < 1.0 { Ok(()) } else { Err(MetricError::BadLevel { level }) }
}

fn require(
    column: &'static str,
    numbers: &[f64],
    expected: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), MetricError> {
    match numbers.iter().position(|&number| !holds(number)) {
        Some(row) => Err(MetricError::BadValue { column, row, found: numbers[row], expected }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_INTERVALS: BootstrapOptions = BootstrapOptions { resamples: 0, level: 0.95, seed: 1 };

    /// Uniform in [0, 1): the finaliser of SplitMix64.
    fn number(i: usize) -> f64 {
        let z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn the_names_are_those_of_the_catalogue_in_its_order() {
        let all: Vec<&str> = crate::metrics::METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!([BINARY, VALUE].concat(), all);
        assert_eq!(RANKING, BINARY[..4]);
    }

    #[test]
    fn every_interval_holds_its_value_on_an_ordinary_table() {
        let n = 3000;
        let keys: Vec<u64> = (0..n as u64).collect();
        let p: Vec<f64> = (0..n).map(number).collect();
        let y: Vec<bool> = (0..n).map(|i| number(i + 77_777) < p[i]).collect();
        let binary = evaluate_binary(&y, &p, &keys, &BootstrapOptions::default()).unwrap();
        let v: Vec<f64> = (0..n).map(|i| if y[i] { 100.0 * number(i + 5555) } else { 0.0 }).collect();
        let value = evaluate_value(&v, &p, &keys, &BootstrapOptions::default()).unwrap();
        for metric in binary.metrics.iter().chain(&value.metrics) {
            let (low, value, high) = (metric.low.unwrap(), metric.value.unwrap(), metric.high.unwrap());
            // A resample always looks less calibrated than the table it comes from, so ece_10 may lie outside.
            assert!((low < value || metric.name == "ece_10") && value < high, "{metric:?}");
        }
        assert_eq!(binary.deciles.len(), 10);
        assert_eq!(binary.reliability.len(), 10);
        assert_eq!(binary.intervals.unwrap().resamples, 200);
    }

    #[test]
    fn the_same_bits_at_any_thread_count() {
        let n = 20_000;
        let keys: Vec<u64> = (0..n as u64).map(|i| i / 2).collect();
        let p: Vec<f64> = (0..n).map(|i| (number(i) * 1000.0).floor() / 1000.0).collect();
        let y: Vec<bool> = (0..n).map(|i| number(i + n) < p[i]).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = BootstrapOptions { resamples: 30, ..Default::default() };
            pool.install(|| {
                let value = evaluate_value(
                    &p,
                    &keys.iter().map(|&key| number(key as usize)).collect::<Vec<_>>(),
                    &keys,
                    &options,
                );
                (evaluate_binary(&y, &p, &keys, &options).unwrap(), value.unwrap())
            })
        };
        assert_eq!(run(1), run(4));
    }

    #[test]
    fn one_class_and_no_rows_leave_the_undefined_out() {
        let keys: Vec<u64> = (0..20).collect();
        let one = evaluate_binary(&[false; 20], &[0.25; 20], &keys, &BootstrapOptions::default()).unwrap();
        assert_eq!(one.metrics[0], MetricValue { name: "roc_auc".into(), value: None, low: None, high: None });
        assert_eq!(one.metrics[5].value, Some(0.0625));
        let none = evaluate_binary(&[], &[], &[], &BootstrapOptions::default()).unwrap();
        assert!(none.metrics.iter().all(|metric| metric.value.is_none() && metric.low.is_none()));
        assert!(none.deciles.is_empty() && none.intervals.is_none());
        let none = evaluate_value(&[], &[], &[], &BootstrapOptions::default()).unwrap();
        assert!(none.metrics.iter().all(|metric| metric.value.is_none()));
    }

    #[test]
    fn a_table_that_cannot_be_evaluated_is_refused_with_its_facts() {
        let bad = evaluate_binary(&[true, false], &[0.5, 1.25], &[1, 2], &NO_INTERVALS).unwrap_err();
        assert_eq!(bad.to_string(), "row 1: `probability` is 1.25, expected 0 to 1");
        let bad = evaluate_ranking(&[true, false], &[0.5, f64::NAN], &[1, 2], &NO_INTERVALS).unwrap_err();
        assert_eq!(bad.to_string(), "row 1: `score` is NaN, expected a finite number");
        let bad = evaluate_value(&[1.0], &[1.0], &[1, 2], &NO_INTERVALS).unwrap_err();
        assert_eq!(bad, MetricError::Length { column: "key", found: 2, expected: 1 });
        let level = BootstrapOptions { level: 1.0, ..NO_INTERVALS };
        assert_eq!(evaluate_value(&[1.0], &[1.0], &[1], &level).unwrap_err(), MetricError::BadLevel { level: 1.0 });
    }

    /// Rows of the table in which row `i` stands `weights[i]` times, copies beside each other.
    fn replicate<T: Copy>(values: &[T], weights: &[u32]) -> Vec<T> {
        values.iter().zip(weights).flat_map(|(&value, &times)| std::iter::repeat_n(value, times as usize)).collect()
    }

    fn same(weighted: &[Option<f64>], replicated: &[Option<f64>]) {
        for (i, pair) in weighted.iter().zip(replicated).enumerate() {
            match pair {
                (None, None) => {}
                // Sums of the same terms, added one by one or times a weight.
                (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "metric {i}: {a} and {b}"),
                other => panic!("metric {i}: {other:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_weight_is_as_good_as_copies_of_the_row(
            rows in proptest::collection::vec((proptest::bool::ANY, 0u8..=10, 0u8..8, 0u32..5), 1..80)
        ) {
            let y: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let p: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 10.0).collect();
            let v: Vec<f64> = rows.iter().map(|row| f64::from(row.2) * 2.5 - 5.0).collect();
            let weights: Vec<u32> = rows.iter().map(|row| row.3).collect();
            let (many_y, many_p, many_v) = (replicate(&y, &weights), replicate(&p, &weights), replicate(&v, &weights));

            let ranked = RankedLabels::new(&y, &p).unwrap();
            let in_order = ranked.order.arrange(&weights);
            let edges = uniform_edges(BINS);
            let sums_of = |y: &[bool], p: &[f64]| -> Vec<CalibrationRow> {
                y.iter().zip(p).map(|(&y, &p)| CalibrationRow::new(y, p, &edges)).collect()
            };
            let rows = sums_of(&ranked.order.arrange(&y), &ranked.order.arrange(&p));
            let copies = RankedLabels::new(&many_y, &many_p).unwrap();
            same(
                &binary_metrics(&ranked, &rows, |i| u64::from(in_order[i])),
                &binary_metrics(&copies, &sums_of(&many_y, &many_p), |_| 1),
            );

            let ranked = RankedValues::new(&v, &p).unwrap();
            let in_order = ranked.order.arrange(&weights);
            same(
                &value_metrics(&ranked.measure_weighted(|i| u64::from(in_order[i]))),
                &value_metrics(&RankedValues::new(&many_v, &many_p).unwrap().measure()),
            );
        }
    }
}
