use proptest::prelude::*;

use super::*;

/// Knuth's MMIX generator, as in tests/reference/isotonic.py.
struct Lcg(u64);

impl Lcg {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `data` of tests/reference/isotonic.py: scores with ties, labels, weights.
fn reference(rows: usize) -> (Vec<f64>, Vec<bool>, Vec<f64>) {
    let mut lcg = Lcg(3);
    let mut data = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let score = (40.0 * lcg.uniform()).floor() / 40.0;
        data.0.push(score);
        data.1.push(lcg.uniform() < 0.1 + 0.7 * score * score);
        data.2.push(0.5 + 0.25 * (4.0 * lcg.uniform()).floor());
    }
    data
}

include!("reference_values.in");

/// Sums of a few hundred quarters and a division.
const TOLERANCE: f64 = 1e-14;

#[test] // tests/reference/isotonic.py: scikit-learn's IsotonicRegression gives the steps, numpy their weighted centres
fn steps_agree_with_scikit_learn() {
    let (scores, labels, weights) = reference(300);
    let n = weights.iter().sum::<f64>();
    for (weights, expected, scale) in [(None, &PLAIN[..], 1.0), (Some(&weights[..]), &WEIGHTED[..], 300.0 / n)] {
        let model = Isotonic.fit_rows(&scores, &labels, weights).unwrap();
        assert_eq!(model.blocks().len(), expected.len());
        for (block, [share, centre, weight]) in model.blocks().iter().zip(expected) {
            assert!((block.share - share).abs() < TOLERANCE, "{block:?} {share}");
            assert!((block.centre - centre).abs() < TOLERANCE, "{block:?} {centre}");
            assert!((block.weight - weight * scale).abs() < 300.0 * TOLERANCE, "{block:?} {weight}");
        }
    }
}

#[test]
fn between_centres_the_line_is_straight_and_beyond_them_flat() {
    // Steps: (0.1, 0.2) 0 of 2, (0.3, 0.5) 1 of 2, (0.6, 0.8) 2 of 2.
    let scores = [0.1, 0.2, 0.3, 0.5, 0.6, 0.8];
    let model = Isotonic.fit_rows(&scores, &[false, false, true, false, true, true], None).unwrap();
    let shares: Vec<f64> = model.blocks().iter().map(|block| block.share).collect();
    assert_eq!(shares, [0.0, 0.5, 1.0]);
    let (low, high) = (0.5 / 3.0, 2.5 / 3.0); // (k + 1/2) / (n + 1)
    for (score, expected) in
        [(-5.0, low), (0.1, low), (0.15, low), (0.4, 0.5), (0.275, (low + 0.5) / 2.0), (0.7, high), (9.0, high)]
    {
        assert!((model.probability(score) - expected).abs() < TOLERANCE, "{score}: {}", model.probability(score));
    }
    assert!(model.probability(0.31) < model.probability(0.49), "ranked inside a step");
    assert!(model.probability(f64::NAN).is_nan());
}

#[test]
fn a_shrunk_end_does_not_pass_its_neighbour() {
    // One row with 0 would be 1/4, but the 100 rows beside it have 1/100.
    let mut scores = vec![0.0];
    let mut labels = vec![false];
    for row in 0..100 {
        scores.push(0.5);
        labels.push(row == 0);
    }
    let model = Isotonic.fit_rows(&scores, &labels, None).unwrap();
    assert_eq!(model.blocks()[0].probability, 0.005);
    assert_eq!(model.blocks()[1].probability, 0.01);
}

#[test]
fn a_reversed_score_is_one_step() {
    let model = Isotonic.fit_rows(&[0.9, 0.8, 0.1, -0.0, 0.0], &[false, false, true, true, false], None).unwrap();
    let [block] = model.blocks() else { panic!("one block: {model:?}") };
    assert_eq!((block.share, block.probability, block.weight), (0.4, 0.4, 5.0));
}

#[test]
fn what_cannot_be_calibrated_is_named() {
    let fit = |scores: &[f64], labels: &[bool], weights: Option<&[f64]>| Isotonic.fit_rows(scores, labels, weights);
    assert!(matches!(fit(&[], &[], None), Err(FitError::NoRows)));
    assert!(matches!(fit(&[0.1, 0.2], &[true, true], None), Err(FitError::SingleClass { rows: 2, label: true })));
    assert!(matches!(fit(&[0.1, f64::NAN], &[true, false], None), Err(FitError::NonFinite { row: 1, .. })));
    assert!(matches!(fit(&[0.1], &[true, false], None), Err(FitError::LengthMismatch { .. })));
    assert!(matches!(fit(&[0.1, 0.2], &[true, false], Some(&[1.0])), Err(FitError::LengthMismatch { .. })));
    assert!(matches!(fit(&[0.1, 0.2], &[true, false], Some(&[1.0, -1.0])), Err(FitError::BadWeight { row: 1, .. })));
    assert!(matches!(fit(&[0.1, 0.2], &[true, false], Some(&[0.0, 0.0])), Err(FitError::NoRows)));
    let choice = Calibration::choose(&[0.1, 1.2], &[true, false], &[1, 2], None);
    assert!(matches!(choice, Err(FitError::NotAProbability { row: 1, .. })));
    assert!(matches!(
        Calibration::choose(&[0.1, 0.2], &[true, false], &[1], None),
        Err(FitError::LengthMismatch { what: "keys", .. })
    ));
}

#[test]
fn the_choice_depends_on_what_there_is_to_learn() {
    let mut lcg = Lcg(5);
    let mut rows = |n: usize, truth: fn(f64) -> f64| -> (Vec<f64>, Vec<bool>) {
        let row = |_| {
            let p = lcg.uniform();
            (p, lcg.uniform() < truth(p))
        };
        (0..n).map(row).unzip()
    };
    let keys: Vec<u64> = (0..20_000).collect();

    // Honest scores of 300 customers: five times fewer steps than rows cannot beat the truth.
    let (scores, labels) = rows(300, |p| p);
    let choice = Calibration::choose(&scores, &labels, &keys[..300], None).unwrap();
    assert_eq!(choice.calibration, Calibration::Identity, "{choice:?}");
    assert!(choice.held_out_log_loss(CalibrationKind::Isotonic).unwrap() > choice.identity_log_loss);
    assert_eq!(choice.rows, 300);

    // Overconfident scores of 20,000.
    let (scores, labels) = rows(20_000, |p| 0.3 + 0.2 * p);
    let choice = Calibration::choose(&scores, &labels, &keys, None).unwrap();
    assert_ne!(choice.kind, CalibrationKind::Identity);
    // The entropy of the truth, averaged over p: no calibration can be better but by luck.
    let entropy = |q: f64| -q * q.ln() - (1.0 - q) * (1.0 - q).ln();
    let least = (0..1000).map(|i| entropy(0.3 + 0.2 * (f64::from(i) + 0.5) / 1000.0)).sum::<f64>() / 1000.0;
    // The standard error of a mean log loss is about 0.2 / sqrt(20,000) = 0.0014.
    assert!((choice.log_loss() - least).abs() < 0.005, "{choice:?} {least}");
    for score in [0.1, 0.5, 0.9] {
        assert!((choice.calibration.probability(score) - (0.3 + 0.2 * score)).abs() < 0.05);
    }
}

#[test]
fn what_holds_in_one_window_only_is_not_learned() {
    let mut lcg = Lcg(9);
    // Four windows of which one is a Christmas: the level is off there, and nowhere else.
    let (mut scores, mut labels, mut windows) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..8000 {
        let (window, p) = (row % 4, lcg.uniform());
        scores.push(p);
        labels.push(lcg.uniform() < if window == 3 { p * p } else { p });
        windows.push(window);
    }
    let keys: Vec<u64> = (0..8000).collect();
    let by_customer = Calibration::choose(&scores, &labels, &keys, None).unwrap();
    assert_ne!(by_customer.kind, CalibrationKind::Identity, "customers cannot tell: {by_customer:?}");
    let by_window = Calibration::choose(&scores, &labels, &keys, Some(&windows)).unwrap();
    assert_eq!(by_window.kind, CalibrationKind::Identity, "{by_window:?}");
    // What is wrong in every window is.
    let labels: Vec<bool> = scores.iter().map(|&p| lcg.uniform() < 0.3 + 0.4 * p).collect();
    let everywhere = Calibration::choose(&scores, &labels, &keys, Some(&windows)).unwrap();
    assert_ne!(everywhere.kind, CalibrationKind::Identity, "{everywhere:?}");
}

#[test]
fn one_positive_cannot_be_cross_validated() {
    let scores: Vec<f64> = (0..40).map(|row| f64::from(row) / 50.0).collect();
    let labels: Vec<bool> = (0..40).map(|row| row == 30).collect();
    let keys: Vec<u64> = (0..40).collect();
    let choice = Calibration::choose(&scores, &labels, &keys, None).unwrap();
    assert_eq!(
        (&choice.calibration, choice.held_out_log_loss(CalibrationKind::Isotonic)),
        (&Calibration::Identity, None)
    );
}

#[test]
fn rows_of_one_customer_share_a_fold() {
    // All rows of one customer: every other fold is empty, and its own leaves nothing to learn from.
    let (scores, labels, _) = reference(100);
    let choice = Calibration::choose(&scores, &labels, &[77; 100], None).unwrap();
    assert_eq!(choice.held_out_log_loss(CalibrationKind::Isotonic), None);
}

/// Isotonic regression by its minimax formula (Barlow et al. 1972, eq. 1.9): max over i <= k of min over j >= k of the
/// mean of i..=j.
fn minimax(points: &[(f64, f64)]) -> Vec<f64> {
    let mean = |i: usize, j: usize| {
        let (weight, positive) = points[i..=j].iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        positive / weight
    };
    (0..points.len())
        .map(|k| {
            (0..=k)
                .map(|i| (k..points.len()).map(|j| mean(i, j)).fold(f64::INFINITY, f64::min))
                .fold(f64::NEG_INFINITY, f64::max)
        })
        .collect()
}

proptest! {
    #[test]
    fn pav_is_the_minimax_solution(rows in prop::collection::vec((0u8..12, any::<bool>(), 1u8..5), 2..40)) {
        let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
        let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
        prop_assume!(labels.contains(&true) && labels.contains(&false));
        let model = Isotonic.fit_rows(&scores, &labels, Some(&weights)).unwrap();

        let mut points: Vec<(f64, f64)> = vec![(0.0, 0.0); 12];
        for row in &rows {
            points[usize::from(row.0)].0 += f64::from(row.2);
            points[usize::from(row.0)].1 += f64::from(row.2) * f64::from(u8::from(row.1));
        }
        let known: Vec<(f64, f64)> = points.into_iter().filter(|point| point.0 > 0.0).collect();
        let mut expected = minimax(&known);
        expected.dedup_by(|a, b| (*a - *b).abs() < 1e-12);
        let shares: Vec<f64> = model.blocks().iter().map(|block| block.share).collect();
        prop_assert_eq!(shares.len(), expected.len());
        for (share, expected) in shares.iter().zip(&expected) {
            prop_assert!((share - expected).abs() < 1e-12);
        }

        // The weighted mean is that of the labels.
        let total: f64 = weights.iter().sum();
        let positive: f64 = weights.iter().zip(&labels).filter(|(_, label)| **label).map(|(w, _)| w).sum();
        let blocks: f64 = model.blocks().iter().map(|block| block.weight * block.share).sum();
        prop_assert!((blocks / rows.len() as f64 - positive / total).abs() < 1e-12);
    }

    #[test]
    fn probabilities_rise_and_stay_inside(
        rows in prop::collection::vec((-1e3f64..1e3, any::<bool>(), 0.0f64..3.0), 2..60),
        probes in prop::collection::vec(-2e3f64..2e3, 2..40),
    ) {
        let scores: Vec<f64> = rows.iter().map(|row| row.0).collect();
        let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let weights: Vec<f64> = rows.iter().map(|row| row.2).collect();
        let Ok(model) = Isotonic.fit_rows(&scores, &labels, Some(&weights)) else { return Ok(()) };
        for pair in model.blocks().windows(2) {
            prop_assert!(pair[0].centre < pair[1].centre && pair[0].share < pair[1].share);
            prop_assert!(pair[0].probability < pair[1].probability);
        }
        let mut probes = probes;
        probes.extend(&scores);
        probes.sort_by(f64::total_cmp);
        let probabilities: Vec<f64> = probes.iter().map(|score| model.probability(*score)).collect();
        prop_assert!(probabilities.iter().all(|p| *p > 0.0 && *p < 1.0));
        prop_assert!(probabilities.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
