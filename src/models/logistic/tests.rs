use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;

/// Knuth's MMIX generator, as in tests/reference/logistic.py.
struct Lcg(u64);

impl Lcg {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `data` of tests/reference/logistic.py.
fn reference(rows: usize) -> (Array2<f64>, Vec<bool>, Vec<f64>) {
    let mut lcg = Lcg(7);
    let mut features = Array2::zeros((rows, 3));
    let (mut labels, mut weights) = (Vec::new(), Vec::new());
    for mut x in features.rows_mut() {
        x.mapv_inplace(|_| 4.0 * lcg.uniform() - 2.0);
        let z: f64 = 0.75 * x[0] - 1.25 * x[1] - 1.0;
        labels.push(lcg.uniform() < 1.0 / (1.0 + (-z).exp()));
        weights.push(0.5 + (4.0 * lcg.uniform()).floor() * 0.25);
    }
    (features, labels, weights)
}

/// Correlated columns with a known signal, `positive` of the labels true.
fn correlated(rows: usize, columns: usize, shift: f64) -> (Array2<f64>, Vec<bool>) {
    let mut lcg = Lcg(rows as u64 + 11);
    let mut features = Array2::zeros((rows, columns));
    let mut labels = Vec::new();
    for mut x in features.rows_mut() {
        let common = 3.4 * (lcg.uniform() - 0.5);
        x.mapv_inplace(|_| 0.8 * common + 2.0 * (lcg.uniform() - 0.5));
        let z: f64 = x.iter().enumerate().map(|(j, x)| x * (0.9 * j as f64).sin() * 0.5).sum::<f64>() + shift;
        labels.push(lcg.uniform() < 1.0 / (1.0 + (-z).exp()));
    }
    (features, labels)
}

fn exact(solver: Solver, alpha: f64) -> PenalisedLogistic {
    PenalisedLogistic { alpha, max_iterations: 1000, gradient_tolerance: 1e-8, solver }
}

/// A gradient of 1e-8 per row over a curvature of at least 0.1 per row: so far may a coefficient be off. A line search
/// compares values, and those do not change in double precision below a gradient of about 1e-9.
const COEFFICIENTS: f64 = 1e-7;
/// The objective is flat at its minimum: its error is the square of the coefficients', so only rounding is left.
const OBJECTIVE: f64 = 1e-13;

#[test] // 40 digits by tests/reference/logistic.py (mpmath 1.4.1), confirmed by scikit-learn 1.9.1
fn agrees_with_high_precision_newton() {
    let (features, labels, weights) = reference(400);
    assert_eq!(labels.iter().filter(|label| **label).count(), 141);
    assert_eq!(weights.iter().sum::<f64>(), 354.25);
    let plain = [0.767_606_483_427_009_3, -1.235_939_685_810_579, 0.039_810_507_498_150_93, -0.941_490_944_071_336_8];
    let free = [0.805_280_179_411_951_4, -1.295_504_859_441_001_3, 0.042_485_781_535_189, -0.968_317_453_447_144_2];
    let weighted = [0.816_596_484_377_914, -1.291_290_679_571_504, 0.043_688_713_226_304_57, -0.954_436_722_805_881_5];
    let cases = [
        (Solver::Linfa, 2.0, None, plain, -180.917_628_382_596_4, 183.035_979_879_464_4),
        (Solver::Parallel, 2.0, None, plain, -180.917_628_382_596_4, 183.035_979_879_464_4),
        (Solver::Linfa, 0.0, None, free, -180.816_195_247_121_7, 180.816_195_247_121_7),
        (Solver::Parallel, 0.0, None, free, -180.816_195_247_121_7, 180.816_195_247_121_7),
        (Solver::Auto, 2.0, Some(&weights[..]), weighted, -158.636_743_744_942_3, 160.972_913_886_052_3),
    ];
    for (solver, alpha, weights, expected, ln_likelihood, objective) in cases {
        let settings = exact(solver, alpha);
        let model = settings.fit_rows(features.view(), &labels, weights).unwrap();
        assert!(model.fit.stop.converged(), "{solver:?}: {:?}", model.fit);
        let got: Vec<f64> = model.coefficients.iter().copied().chain([model.intercept]).collect();
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < COEFFICIENTS, "{solver:?}, alpha {alpha}: {got} {expected}");
        }
        assert!((settings.objective(&model) / objective - 1.0).abs() < OBJECTIVE, "{solver:?}, alpha {alpha}");
        // The likelihood alone is not flat there, so it moves with the coefficients.
        assert!((model.fit.ln_likelihood / ln_likelihood - 1.0).abs() < COEFFICIENTS);
    }
}

#[test]
fn both_solvers_reach_the_same_optimum() {
    // The second case has `true` as the more frequent class, which linfa turns around; default settings, too.
    for (rows, columns, shift, settings) in [
        (2000, 12, -1.5, exact(Solver::Auto, 1.0)),
        (2000, 12, 1.5, exact(Solver::Auto, 1.0)),
        (500, 30, 0.0, exact(Solver::Auto, 10.0)),
        (3000, 20, -2.5, PenalisedLogistic::default()),
    ] {
        let (features, labels) = correlated(rows, columns, shift);
        let fit = |solver| PenalisedLogistic { solver, ..settings }.fit_rows(features.view(), &labels, None).unwrap();
        let (linfa, parallel) = (fit(Solver::Linfa), fit(Solver::Parallel));
        let (a, b) = (settings.objective(&linfa), settings.objective(&parallel));
        assert!((a / b - 1.0).abs() < 1e-8, "{a} {b}");
        // Gradient tolerance per row over the least curvature per row, 0.01 here.
        let tolerance = 100.0 * settings.gradient_tolerance;
        for (a, b) in linfa.coefficients.iter().zip(&parallel.coefficients) {
            assert!((a - b).abs() < tolerance, "{a} {b}");
        }
        assert!((linfa.intercept - parallel.intercept).abs() < tolerance);
        assert_eq!(linfa.fit.iterations, None);
        assert!(parallel.fit.iterations.unwrap() > 0);
        let auto = settings.fit_rows(features.view(), &labels, None).unwrap();
        assert_eq!(auto, linfa, "few rows go to linfa");
    }
}

#[test]
fn a_tie_of_the_classes_keeps_its_orientation() {
    for labels in [[true, false, true, false], [false, true, false, true]] {
        let features =
            Array2::from_shape_fn((4, 1), |(row, _)| if labels[row] { 1.0 } else { -1.0 + 0.1 * row as f64 });
        for solver in [Solver::Linfa, Solver::Parallel] {
            let settings = exact(solver, 1.0);
            let model = settings.fit_rows(features.view(), &labels, None).unwrap();
            assert!(model.coefficients[0] > 0.5, "{solver:?} {model:?}");
            let again = settings.fit_from(&model, features.view(), &labels, None).unwrap();
            assert!((again.coefficients[0] - model.coefficients[0]).abs() < COEFFICIENTS, "{solver:?} {again:?}");
        }
    }
}

#[test]
fn integer_weights_are_repeated_rows() {
    let (features, labels, _) = reference(120);
    let times: Vec<usize> = (0..120).map(|row| row % 4).collect();
    let repeated: Vec<usize> = (0..120).flat_map(|row| vec![row; times[row]]).collect();
    let weights: Vec<f64> = times.iter().map(|times| *times as f64).collect();
    let settings = exact(Solver::Parallel, 0.7);
    let weighted = settings.fit_rows(features.view(), &labels, Some(&weights)).unwrap();
    let labels: Vec<bool> = repeated.iter().map(|row| labels[*row]).collect();
    let plain = settings.fit_rows(features.select(Axis(0), &repeated).view(), &labels, None).unwrap();
    assert!((settings.objective(&weighted) / settings.objective(&plain) - 1.0).abs() < OBJECTIVE);
    for (a, b) in weighted.coefficients.iter().zip(&plain.coefficients) {
        assert!((a - b).abs() < COEFFICIENTS);
    }
}

#[test]
fn a_warm_start_ends_at_the_same_optimum() {
    let (features, labels) = correlated(4000, 15, -1.0);
    let other: Vec<bool> = labels.iter().enumerate().map(|(row, label)| label ^ (row % 400 == 0)).collect();
    let settings = PenalisedLogistic { solver: Solver::Parallel, ..Default::default() };
    let first = settings.fit_rows(features.view(), &labels, None).unwrap();
    let cold = settings.fit_rows(features.view(), &other, None).unwrap();
    let warm = settings.fit_from(&first, features.view(), &other, None).unwrap();
    assert!(warm.fit.stop.converged() && cold.fit.stop.converged());
    assert!((settings.objective(&warm) / settings.objective(&cold) - 1.0).abs() < 1e-8);
    let again = settings.fit_from(&cold, features.view(), &other, None).unwrap();
    assert_eq!(again.fit.iterations, Some(0), "already there");
    assert_eq!(again.coefficients, cold.coefficients);
    let narrow = features.slice(ndarray::s![.., ..3]);
    assert!(matches!(
        settings.fit_from(&first, narrow, &labels, None),
        Err(FitError::WrongWidth { expected: 15, got: 3 })
    ));
}

#[test]
fn separable_data_have_a_named_result() {
    let features = array![[-2.0], [-1.0], [1.0], [2.0]];
    let labels = [false, false, true, true];
    for solver in [Solver::Linfa, Solver::Parallel] {
        let free = PenalisedLogistic { alpha: 0.0, solver, ..Default::default() };
        let model = free.fit_rows(features.view(), &labels, None).unwrap();
        assert_eq!(model.fit.stop, StopReason::Separated, "{solver:?}");
        assert!(!model.fit.stop.converged());
        assert!(model.coefficients[0].is_finite());
        let penalised = PenalisedLogistic { solver, ..Default::default() };
        let model = penalised.fit_rows(features.view(), &labels, None).unwrap();
        assert_eq!(model.fit.stop, StopReason::GradientTolerance, "{solver:?}");
    }
}

#[test]
fn odd_shapes_are_fitted() {
    for solver in [Solver::Linfa, Solver::Parallel] {
        let settings = exact(solver, 1.0);
        // Three rows; more columns than rows; the same column twice; a constant column.
        let wide = Array2::from_shape_fn((3, 8), |(row, column)| ((row * 5 + column * 3) % 7) as f64 - 3.0);
        let model = settings.fit_rows(wide.view(), &[true, false, false], None).unwrap();
        assert!(model.fit.stop.converged(), "{solver:?} {:?}", model.fit);
        let (features, labels, _) = reference(300);
        let twice = ndarray::concatenate![Axis(1), features, features, Array2::zeros((300, 1))];
        let model = settings.fit_rows(twice.view(), &labels, None).unwrap();
        assert!(model.fit.stop.converged());
        for j in 0..3 {
            assert!((model.coefficients[j] - model.coefficients[j + 3]).abs() < COEFFICIENTS, "shared evenly");
        }
        assert_eq!(model.coefficients[6], 0.0);
    }
}

#[test]
fn unscaled_columns_end_with_a_name_and_never_with_nan() {
    let (mut features, labels, _) = reference(300);
    features.column_mut(1).mapv_inplace(|x| x * 4e5);
    let model = PenalisedLogistic::default().fit_rows(features.view(), &labels, None).unwrap();
    assert!(model.coefficients.iter().all(|w| w.is_finite()) && model.fit.gradient_norm.is_finite(), "{model:?}");
    assert!(model.fit.ln_likelihood > -208.0, "better than a coin, 300 ln 2");
    let linfa = PenalisedLogistic { solver: Solver::Linfa, ..Default::default() };
    let model = linfa.fit_rows(features.view(), &labels, None).unwrap();
    assert!(model.coefficients.iter().all(|w| w.is_finite()) && model.fit.gradient_norm.is_finite(), "{model:?}");
    features[[7, 1]] = 1e7;
    let error = PenalisedLogistic::default().fit_rows(features.view(), &labels, None).unwrap_err();
    assert!(matches!(error, FitError::OutOfScale { row: 7, column: 1, .. }), "{error}");
}

#[test]
fn extreme_settings_end_with_a_name() {
    let (features, labels, _) = reference(200);
    for solver in [Solver::Linfa, Solver::Parallel] {
        for alpha in [1e-300, 1e12] {
            let model = PenalisedLogistic { alpha, solver, ..Default::default() };
            let model = model.fit_rows(features.view(), &labels, None).unwrap();
            assert!(model.coefficients.iter().all(|w| w.is_finite()), "{solver:?}, {alpha}: {model:?}");
            assert!(alpha < 1.0 || model.coefficients.iter().all(|w| w.abs() < 1e-6), "{solver:?}: {model:?}");
        }
    }
    // Sums of such weights overflow, or their reciprocals do.
    for weight in [f64::MAX, 5e-324] {
        let answer = PenalisedLogistic::default().fit_rows(features.view(), &labels, Some(&[weight; 200]));
        match answer {
            Ok(model) => assert!(model.coefficients.iter().all(|w| w.is_finite()), "{model:?}"),
            Err(error) => assert!(matches!(error, FitError::Library { .. }), "{error}"),
        }
    }
}

#[test]
fn one_iteration_is_not_called_converged() {
    let (features, labels) = correlated(1000, 10, 0.0);
    for solver in [Solver::Linfa, Solver::Parallel] {
        let settings = PenalisedLogistic { max_iterations: 1, solver, ..Default::default() };
        let model = settings.fit_rows(features.view(), &labels, None).unwrap();
        assert!(!model.fit.stop.converged(), "{:?}", model.fit);
    }
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let settings = PenalisedLogistic::default();
    let features = array![[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]];
    let labels = [true, false, true];
    let fit = |labels: &[bool], weights: Option<&[f64]>| settings.fit_rows(features.view(), labels, weights);
    assert!(matches!(fit(&[true; 3], None), Err(FitError::SingleClass { rows: 3, label: true })));
    assert!(matches!(fit(&[true, false], None), Err(FitError::LengthMismatch { what: "labels", rows: 3, got: 2 })));
    assert!(matches!(fit(&labels, Some(&[0.0; 3])), Err(FitError::NoRows)));
    assert!(matches!(fit(&labels, Some(&[1.0, 0.0, 1.0])), Err(FitError::SingleClass { rows: 2, label: true })));
    assert!(matches!(fit(&labels, Some(&[1.0, -1.0, 1.0])), Err(FitError::BadWeight { row: 1, .. })));
    assert!(matches!(fit(&labels, Some(&[1.0, 1.0, f64::NAN])), Err(FitError::BadWeight { row: 2, .. })));
    let linfa = PenalisedLogistic { solver: Solver::Linfa, ..settings };
    assert!(matches!(
        linfa.fit_rows(features.view(), &labels, Some(&[1.0; 3])),
        Err(FitError::WeightsUnsupported { .. })
    ));
    let none = Array2::<f64>::zeros((3, 0));
    assert!(matches!(settings.fit_rows(none.view(), &labels, None), Err(FitError::NoUsableFeatures { .. })));
    for (alpha, gradient_tolerance, max_iterations) in
        [(-1.0, 1e-6, 9), (f64::NAN, 1e-6, 9), (1.0, 0.0, 9), (1.0, f64::INFINITY, 9), (1.0, 1e-6, 0)]
    {
        let settings = PenalisedLogistic { alpha, gradient_tolerance, max_iterations, ..settings };
        let error = settings.fit_rows(features.view(), &labels, None).unwrap_err();
        assert!(matches!(error, FitError::BadParameter { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever small table comes: a finite model whose gradient is really that small, or a named refusal.
    #[test]
    fn small_tables_never_panic(
        rows in prop::collection::vec((prop::collection::vec(-3i32..4, 3), any::<bool>(), 0u8..3), 1..14),
        alpha in prop::sample::select(vec![0.0, 0.01, 1.0]),
        linfa in any::<bool>(),
    ) {
        let features = Array2::from_shape_fn((rows.len(), 3), |(i, j)| f64::from(rows[i].0[j]));
        let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
        let solver = if linfa { Solver::Linfa } else { Solver::Parallel };
        let settings = PenalisedLogistic { alpha, solver, ..Default::default() };
        match settings.fit_rows(features.view(), &labels, (!linfa).then_some(&weights[..])) {
            Ok(model) => {
                prop_assert!(model.coefficients.iter().all(|w| w.is_finite()) && model.intercept.is_finite());
                prop_assert!(model.fit.gradient_norm.is_finite() && model.fit.ln_likelihood <= 0.0);
                prop_assert!(alpha == 0.0 || model.fit.stop.converged(), "{:?}", model.fit);
            }
            Err(error) => prop_assert!(matches!(error, FitError::SingleClass { .. } | FitError::NoRows), "{error}"),
        }
    }
}
