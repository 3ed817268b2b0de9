//! Percentile bootstrap intervals of every metric of a target at once.
//!
//! Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13. A resample draws as many customers as there
//! are, with replacement; all rows of a customer move together, because they are not independent. A resample is not a new
//! table but a weight for each row, so that the rows are sorted once and each resample is one pass over them.
//!
//! Resample `b` has its own generator, ChaCha8 with the seed and stream `b`, and intervals come from sorted values: the
//! result does not depend on the number of threads.

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::order::groups;

/// Rows × resamples are kept below this: a second or two on one core. Resamples give way, and the result says so.
pub const MAX_ROW_VISITS: usize = 50_000_000;
/// Share of the resamples in which a metric must be defined to have an interval: with fewer, the interval would be about the lucky ones.
const MIN_DEFINED: f64 = 0.9;
/// With fewer customers than this, resamples repeat each other and their spread says nothing.
const MIN_CUSTOMERS: usize = 10;

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapOptions {
    /// Resamples wanted; 0 makes no intervals.
    pub resamples: usize,
    /// Coverage, above 0 and below 1.
    pub level: f64,
    /// Seeds every draw.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self { resamples: 200, level: 0.95, seed: 1 }
    }
}

/// What stands behind the intervals of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Coverage.
    pub level: f64,
    /// Resamples made.
    pub resamples: u64,
    /// Resamples wanted; more than were made when the table is large (see [`MAX_ROW_VISITS`]).
    pub requested: u64,
    /// Customers, the unit that is drawn.
    pub customers: u64,
}

/// Resamples for `rows` rows: as wanted, while rows × resamples ≤ [`MAX_ROW_VISITS`], but never fewer than
/// leave a value beyond either end of the interval (40 at 95 %), unless fewer were wanted.
pub fn affordable_resamples(rows: usize, options: &BootstrapOptions) -> usize {
    let floor = (2.0 / (1.0 - options.level)).ceil() as usize;
    options.resamples.min((MAX_ROW_VISITS / rows.max(1)).max(floor))
}

/// Low and high end of each metric that `measure` returns, or `None` where too few resamples define it.
///
/// `keys` names the customer of each position; `measure` gets one weight for each position and always returns metrics
/// in the same order, `METRICS` of them. The second value is `None` where no resample was made (none wanted, or fewer than ten customers).
pub(crate) fn intervals<const METRICS: usize>(
    keys: impl Iterator<Item = u64>,
    options: &BootstrapOptions,
    measure: impl Fn(&[u32]) -> [Option<f64>; METRICS] + Sync,
) -> ([Option<(f64, f64)>; METRICS], Option<Intervals>) {
    let (customer_of, customers) = groups(keys);
    let resamples = affordable_resamples(customer_of.len(), options);
    if resamples == 0 || customers < MIN_CUSTOMERS {
        return ([None; METRICS], None);
    }
    let draw = Uniform::new(0, customers as u32).expect("there are customers");
    let buffers = || (vec![0u32; customers], vec![0u32; customer_of.len()]);
    let values: Vec<[Option<f64>; METRICS]> = (0..resamples)
        .into_par_iter()
        .map_init(buffers, |(times, weights), resample| {
            let mut random = ChaCha8Rng::seed_from_u64(options.seed);
            random.set_stream(resample as u64);
            times.fill(0);
            for _ in 0..customers {
                times[draw.sample(&mut random) as usize] += 1;
            }
            for (weight, &customer) in weights.iter_mut().zip(&customer_of) {
                *weight = times[customer as usize];
            }
            measure(weights)
        })
        .collect();
    let ends = std::array::from_fn(|metric| {
        let mut defined: Vec<f64> = values.iter().filter_map(|resample| resample[metric]).collect();
        if (defined.len() as f64) < MIN_DEFINED * resamples as f64 {
            return None;
        }
        defined.sort_by(f64::total_cmp);
        let tail = (1.0 - options.level) / 2.0;
        Some((quantile(&defined, tail), quantile(&defined, 1.0 - tail)))
    });
    let made = Intervals {
        level: options.level,
        resamples: resamples as u64,
        requested: options.resamples as u64,
        customers: customers as u64,
    };
    (ends, Some(made))
}

/// Type 7 quantile of ascending numbers (Hyndman & Fan 1996; NumPy's default).
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let position = share * (ascending.len() - 1) as f64;
    let whole = position.floor() as usize;
    let next = ascending[(whole + 1).min(ascending.len() - 1)];
    super::between(ascending[whole], next, position - whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> impl Fn(&[u32]) -> [Option<f64>; 1] + Sync {
        move |weights| {
            let rows: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            let sum: f64 = weights.iter().zip(values).map(|(&w, v)| f64::from(w) * v).sum();
            [(rows > 0.0).then(|| sum / rows)]
        }
    }

    #[test] // the standard error of a mean is known: s/sqrt(n)
    fn the_interval_of_a_mean_has_the_normal_width() {
        let values: Vec<f64> = (0..2000).map(|i| f64::from(i % 101)).collect();
        let options = BootstrapOptions { resamples: 4000, ..Default::default() };
        let ([ends], made) = intervals(0..2000, &options, mean_of(&values));
        let (low, high) = ends.unwrap();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2000.0;
        let half = 1.959_964 * (variance / 2000.0).sqrt();
        // 4000 resamples place a 2.5 % point within about 3 % of the half width (two standard errors).
        assert!(((high - low) / (2.0 * half) - 1.0).abs() < 0.06, "{low} {high} {half}");
        assert!(((high + low) / 2.0 - mean).abs() < 0.06 * half);
        assert_eq!(made.unwrap().resamples, 4000);
    }

    #[test] // each customer twice: as wide as the table without the copies, wider than 2n independent rows
    fn rows_of_a_customer_move_together() {
        let values: Vec<f64> = (0..500).map(|i| f64::from(i % 37)).collect();
        let twice: Vec<f64> = values.iter().chain(&values).copied().collect();
        let options = BootstrapOptions::default();
        let ([once], _) = intervals(0..500, &options, mean_of(&values));
        let ([together], made) = intervals((0..500).chain(0..500), &options, mean_of(&twice));
        assert_eq!(once, together);
        assert_eq!(made.unwrap().customers, 500);
        let ([apart], _) = intervals(0..1000, &options, mean_of(&twice));
        let width = |ends: Option<(f64, f64)>| ends.map(|(low, high)| high - low).unwrap();
        assert!(width(apart) < 0.85 * width(together)); // 1/sqrt(2), with sampling error
    }

    #[test]
    fn the_same_bits_at_any_thread_count_and_other_bits_with_another_seed() {
        let values: Vec<f64> = (0..300).map(|i| f64::from(i).sin()).collect();
        let run = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = BootstrapOptions { seed, ..Default::default() };
            pool.install(|| intervals(0..300, &options, mean_of(&values)).0)
        };
        assert_eq!(run(1, 7), run(5, 7));
        assert_ne!(run(1, 7), run(1, 8));
    }

    #[test]
    fn large_tables_get_fewer_resamples_but_enough_for_two_tails() {
        let options = BootstrapOptions::default();
        assert_eq!(affordable_resamples(1000, &options), 200);
        assert_eq!(affordable_resamples(500_000, &options), 100);
        assert_eq!(affordable_resamples(10_000_000, &options), 40);
        assert_eq!(affordable_resamples(10_000_000, &BootstrapOptions { resamples: 5, ..options }), 5);
    }

    #[test]
    fn a_metric_that_is_often_undefined_and_a_handful_of_customers_have_no_interval() {
        let seldom = |weights: &[u32]| [(weights[0] > 0).then_some(1.0)]; // defined in about 63 % of the resamples
        assert_eq!(intervals(0..100, &BootstrapOptions::default(), seldom).0, [None]);
        let values = [1.0; 9];
        assert_eq!(intervals(0..9, &BootstrapOptions::default(), mean_of(&values)), ([None], None));
    }

    #[test] // numpy.quantile([1, 2, 4, 8], [0, .025, .5, 1])
    fn quantiles_interpolate() {
        let numbers = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&numbers, share)), [1.0, 3.0, 8.0]);
        assert!((quantile(&numbers, 0.025) - 1.075).abs() < 1e-15);
    }
}
