//! Are the probabilities right? Losses, calibration errors and the bins of a reliability diagram.
//!
//! Binned errors: Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
//! binning", AAAI 29; the bins are those of TorchMetrics `CalibrationError` unless the name says otherwise.
//! Every function returns `None` where it is undefined: without rows, or with a value outside [0, 1].
//! All of them panic when the slices differ in length.

use serde::{Deserialize, Serialize};

use super::order::{Order, Sum};

/// Probabilities are kept this far from 0 and 1 in [`log_loss`]: scikit-learn's choice for 64-bit floats.
const LOG_LOSS_EPSILON: f64 = f64::EPSILON;
/// Two-sided 95 % point of the normal distribution, for the intervals of observed rates.
const Z_95: f64 = 1.959_963_984_540_054;

/// What one pass over the rows gathers; rows may carry whole-number weights.
#[derive(Debug, Clone)]
pub(crate) struct CalibrationSums {
    rows: u64,
    positives: u64,
    probability: Sum,
    log_loss: Sum,
    squares: Sum,
    bins: Vec<BinSums>,
}

#[derive(Debug, Clone, Copy, Default)]
struct BinSums {
    rows: u64,
    positives: u64,
    probability: f64,
}

/// One row, its share of every sum computed once for many passes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CalibrationRow {
    probability: f64,
    log_loss: f64,
    square: f64,
    label: bool,
    bin: u32,
}

impl CalibrationRow {
    /// `edges` as from [`uniform_edges`]; the probability must be in [0, 1].
    pub fn new(label: bool, probability: f64, edges: &[f64]) -> Self {
        let kept = probability.clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON);
        let error = probability - f64::from(u8::from(label));
        Self {
            probability,
            log_loss: -(if label { kept } else { 1.0 - kept }).ln(),
            square: error * error,
            label,
            bin: left_closed_bin(edges, probability) as u32,
        }
    }
}

impl CalibrationSums {
    /// Sums of a table in which row `i` stands `weight(i)` times; `bins` as in [`uniform_edges`].
    pub fn of(rows: &[CalibrationRow], bins: usize, weight: impl Fn(usize) -> u64) -> Self {
        let mut sums = Self {
            rows: 0,
            positives: 0,
            probability: Sum::default(),
            log_loss: Sum::default(),
            squares: Sum::default(),
            bins: vec![BinSums::default(); bins + 1],
        };
        for (i, row) in rows.iter().enumerate() {
            let times = weight(i);
            let factor = times as f64;
            sums.rows += times;
            sums.positives += times * u64::from(row.label);
            sums.probability.add(factor * row.probability);
            sums.log_loss.add(factor * row.log_loss);
            sums.squares.add(factor * row.square);
            let bin = &mut sums.bins[row.bin as usize];
            bin.rows += times;
            bin.positives += times * u64::from(row.label);
            bin.probability += factor * row.probability;
        }
        sums
    }

    pub fn log_loss(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.log_loss.get() / self.rows as f64)
    }

    pub fn brier(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.squares.get() / self.rows as f64)
    }

    pub fn ece(&self) -> Option<f64> {
        (self.rows > 0).then(|| {
            let gaps = self.bins.iter().map(|bin| (bin.positives as f64 - bin.probability).abs());
            gaps.sum::<f64>() / self.rows as f64
        })
    }

    pub fn mce(&self) -> Option<f64> {
        self.gaps().map(|(_, gap)| gap.abs()).max_by(f64::total_cmp)
    }

    pub fn rmsce(&self) -> Option<f64> {
        let squares: f64 = self.gaps().map(|(rows, gap)| rows / self.rows as f64 * gap * gap).sum();
        (self.rows > 0).then(|| squares.sqrt())
    }

    pub fn calibration_ratio(&self) -> Option<f64> {
        let expected = self.probability.get();
        (expected > 0.0).then(|| self.positives as f64 / expected)
    }

    /// Rows and accuracy − confidence of each bin that has rows.
    fn gaps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bins.iter().filter(|bin| bin.rows > 0).map(|bin| {
            let rows = bin.rows as f64;
            (rows, (bin.positives as f64 - bin.probability) / rows)
        })
    }
}

/// Edges of `bins` bins of equal width, `bins + 1` numbers: k·(1/bins) in 64-bit floats, which is what
/// `numpy.linspace(0, 1, bins + 1)` holds (so 0.3 lies below the edge 3·0.1).
pub fn uniform_edges(bins: usize) -> Vec<f64> {
    let step = 1.0 / bins as f64;
    (0..bins).map(|k| k as f64 * step).chain([1.0]).collect()
}

/// TorchMetrics: `searchsorted(edges, p, side="right") − 1`: left-closed, 1 in a bin of its own.
fn left_closed_bin(edges: &[f64], probability: f64) -> usize {
    edges.partition_point(|&edge| edge <= probability) - 1
}

/// scikit-learn: `searchsorted(edges[1:-1], p)`: right-closed, 0 in the first bin.
fn right_closed_bin(edges: &[f64], probability: f64) -> usize {
    edges[1..edges.len() - 1].partition_point(|&edge| edge < probability)
}

fn all_probabilities(labels: &[bool], probabilities: &[f64]) -> bool {
    assert_eq!(labels.len(), probabilities.len(), "one probability for each label");
    !labels.is_empty() && probabilities.iter().all(|p| (0.0..=1.0).contains(p))
}

fn sums(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<CalibrationSums> {
    if bins == 0 || !all_probabilities(labels, probabilities) {
        return None;
    }
    let edges = uniform_edges(bins);
    let rows: Vec<_> =
        labels.iter().zip(probabilities).map(|(&label, &p)| CalibrationRow::new(label, p, &edges)).collect();
    Some(CalibrationSums::of(&rows, bins, |_| 1))
}

/// −mean\[y ln p + (1 − y) ln(1 − p)\] in nats, p kept within [ε, 1 − ε] with ε = 2⁻⁵². scikit-learn `log_loss`.
pub fn log_loss(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    sums(labels, probabilities, 1)?.log_loss()
}

/// mean (p − y)². scikit-learn `brier_score_loss`; Brier (1950), Monthly Weather Review 78, 1-3.
pub fn brier(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    sums(labels, probabilities, 1)?.brier()
}

/// Expected calibration error: Σ_b (n_b/n)·|observed rate − mean probability| over left-closed bins of equal width, p = 1
/// in a bin of its own. TorchMetrics `CalibrationError(n_bins=bins, norm="l1")`. `None` for 0 bins, too.
pub fn ece(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<f64> {
    sums(labels, probabilities, bins)?.ece()
}

/// [`ece`] with ten bins, the contract's `ece_10`.
pub fn ece_10(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    ece(labels, probabilities, 10)
}

/// Expected calibration error over the right-closed bins of scikit-learn `calibration_curve(strategy="uniform")`.
pub fn ece_right_closed(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<f64> {
    if bins == 0 || !all_probabilities(labels, probabilities) {
        return None;
    }
    let edges = uniform_edges(bins);
    let mut gaps = vec![0.0; bins];
    for (&label, &p) in labels.iter().zip(probabilities) {
        gaps[right_closed_bin(&edges, p)] += f64::from(u8::from(label)) - p;
    }
    Some(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / labels.len() as f64)
}

/// Maximum calibration error: the largest |observed rate − mean probability| of the bins of [`ece`].
/// TorchMetrics, norm "max".
pub fn mce(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<f64> {
    sums(labels, probabilities, bins)?.mce()
}

/// sqrt(Σ_b (n_b/n)(observed rate − mean probability)²) over the bins of [`ece`]. TorchMetrics, norm "l2".
pub fn rmsce(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<f64> {
    sums(labels, probabilities, bins)?.rmsce()
}

/// Σy / Σp: above 1, more happened than was predicted. `None` when Σp is 0.
pub fn calibration_ratio(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    sums(labels, probabilities, 1)?.calibration_ratio()
}

/// z = Σ(y − p)(1 − 2p) / sqrt(Σ(1 − 2p)²p(1 − p)), standard normal when the probabilities are right.
/// Spiegelhalter (1986), "Probabilistic prediction in patient management and clinical trials", Statistics in Medicine 5, 421-433.
///
/// `None` when the denominator is 0 (every p is 0, ½ or 1).
pub fn spiegelhalter_z(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    if !all_probabilities(labels, probabilities) {
        return None;
    }
    let (mut deviation, mut variance) = (Sum::default(), Sum::default());
    for (&label, &p) in labels.iter().zip(probabilities) {
        let slope = 1.0 - 2.0 * p;
        deviation.add((f64::from(u8::from(label)) - p) * slope);
        variance.add(slope * slope * p * (1.0 - p));
    }
    (variance.get() > 0.0).then(|| deviation.get() / variance.get().sqrt())
}

/// One point of a reliability diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Customers in it.
    pub rows: u64,
    /// Smallest probability in it.
    pub lowest: f64,
    /// Largest probability in it.
    pub highest: f64,
    /// Mean probability.
    pub mean_predicted: f64,
    /// Share of positives.
    pub observed: f64,
    /// Lower end of the 95 % Wilson score interval of `observed`.
    pub observed_low: f64,
    /// Upper end of it.
    pub observed_high: f64,
}

/// Points of a reliability diagram: at most `bins` groups of nearly equal size by ascending probability. Equal
/// probabilities stay together, so there are fewer groups than `bins` when the model says few different things.
///
/// Groups of equal size rather than equal width: where all probabilities are small, equal widths put everyone into
/// one group. Intervals: Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22, 209-212.
pub fn reliability(labels: &[bool], probabilities: &[f64], bins: usize) -> Option<Vec<ReliabilityBin>> {
    if bins == 0 || !all_probabilities(labels, probabilities) {
        return None;
    }
    let order = Order::descending(probabilities)?;
    let n = labels.len();
    let mut table = Vec::with_capacity(bins);
    let (mut start, mut part) = (0, 1);
    for end in 1..=n {
        if !order.last_of_tie[end - 1] || end * bins < part * n {
            continue;
        }
        let rows = &order.rows[start..end];
        let at = |i: usize| probabilities[rows[i] as usize];
        let positives = rows.iter().filter(|&&row| labels[row as usize]).count();
        let (low, high) = wilson(positives as f64, rows.len() as f64);
        table.push(ReliabilityBin {
            rows: rows.len() as u64,
            lowest: at(rows.len() - 1),
            highest: at(0),
            mean_predicted: super::mean((0..rows.len()).map(at)),
            observed: positives as f64 / rows.len() as f64,
            observed_low: low,
            observed_high: high,
        });
        part = end * bins / n + 1;
        start = end;
    }
    table.reverse();
    Some(table)
}

/// 95 % Wilson score interval of a rate.
fn wilson(positives: f64, rows: f64) -> (f64, f64) {
    let rate = positives / rows;
    let z2 = Z_95 * Z_95;
    let centre = rate + z2 / (2.0 * rows);
    let half = Z_95 * (rate * (1.0 - rate) / rows + z2 / (4.0 * rows * rows)).sqrt();
    let scale = 1.0 + z2 / rows;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // the documented example of TorchMetrics `CalibrationError`
    fn calibration_errors_are_those_of_torchmetrics() {
        let (y, p) = ([false, false, true, true, true], [0.25, 0.25, 0.55, 0.75, 0.75]);
        assert!((ece(&y, &p, 2).unwrap() - 0.29).abs() < 1e-15);
        assert!((mce(&y, &p, 2).unwrap() - 0.316_666_666_7).abs() < 1e-10);
        assert!((rmsce(&y, &p, 2).unwrap() - 0.291_833_285_7).abs() < 1e-10);
    }

    #[test]
    fn certainty_has_a_bin_of_its_own_and_a_finite_loss() {
        assert_eq!(left_closed_bin(&uniform_edges(10), 1.0), 10);
        assert_eq!(right_closed_bin(&uniform_edges(10), 0.0), 0);
        assert_eq!(right_closed_bin(&uniform_edges(10), 1.0), 9);
        let loss = log_loss(&[false], &[1.0]).unwrap();
        assert!((loss - 36.043_653_389_117_15).abs() < 1e-12); // -ln(2^-52) = 52 ln 2
    }

    #[test]
    fn what_is_undefined_is_none() {
        assert_eq!(brier(&[], &[]), None);
        assert_eq!(log_loss(&[true], &[1.5]), None);
        assert_eq!(ece(&[true], &[f64::NAN], 10), None);
        assert_eq!(ece(&[true], &[0.5], 0), None);
        assert_eq!(calibration_ratio(&[true], &[0.0]), None);
        assert_eq!(spiegelhalter_z(&[true, false], &[0.5, 1.0]), None);
        assert_eq!(reliability(&[], &[], 10), None);
    }

    #[test]
    fn reliability_groups_hold_every_row_once_and_keep_ties_together() {
        let p: Vec<f64> = (0..103).map(|i| f64::from(i / 4) / 30.0).collect();
        let y: Vec<bool> = (0..103).map(|i| i % 3 == 0).collect();
        let table = reliability(&y, &p, 10).unwrap();
        assert!(table.len() <= 10 && table.len() > 5);
        assert_eq!(table.iter().map(|bin| bin.rows).sum::<u64>(), 103);
        assert!(table.windows(2).all(|pair| pair[0].highest < pair[1].lowest));
        assert_eq!(reliability(&y, &[0.2; 103], 10).unwrap().len(), 1);
    }

    #[test] // statsmodels 0.15.0, proportion_confint(15, 40, method="wilson")
    fn rates_have_wilson_intervals() {
        let (low, high) = wilson(15.0, 40.0);
        assert!((low - 0.242_229_791_672_332_7).abs() < 1e-15, "{low}");
        assert!((high - 0.529_675_608_626_989).abs() < 1e-15, "{high}");
        assert_eq!(wilson(0.0, 5.0).0, 0.0);
    }
}
