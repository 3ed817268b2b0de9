//! One battery for every estimator: what `bellwether::models` promises of all of them.

use bellwether::error::Explain;
use bellwether::models::boosted::{ManyModel, ManyTargets};
use bellwether::models::calibrate::CalibrationChoice;
use bellwether::models::{
    Binned, BoostedModel, BoostedTrees, Calibration, FitError, Isotonic, IsotonicModel, LogisticModel,
    PenalisedLogistic, Preparation, ReadableTree, Solver, Targets, TreeModel,
};
use linfa::dataset::{DatasetBase, Pr};
use linfa::prelude::{BinaryClassification, Predict, SingleTargetRegression};
use linfa::traits::Fit;
use ndarray::{Array1, Array2};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Rows, labels and keys as any estimator gets them.
#[derive(Clone)]
struct Data {
    features: Array2<f32>,
    labels: Vec<bool>,
    keys: Vec<u64>,
}

/// Knuth's MMIX generator.
struct Lcg(u64);

impl Lcg {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Data {
    /// Six columns in (0, 1), of which the first is the chance of the label.
    fn new(rows: usize) -> Self {
        let mut lcg = Lcg(17 + rows as u64);
        let features = Array2::from_shape_simple_fn((rows, 6), || lcg.uniform() as f32);
        let labels = features.column(0).iter().map(|chance| lcg.uniform() < f64::from(*chance)).collect();
        Self { features, labels, keys: (0..rows as u64).map(|key| key / 2).collect() }
    }

    fn wide(&self) -> Array2<f64> {
        self.features.mapv(f64::from)
    }

    fn scores(&self) -> Vec<f64> {
        self.features.column(0).iter().map(|score| f64::from(*score)).collect()
    }
}

trait Estimator: Sync {
    type Model: Serialize + DeserializeOwned + PartialEq + Send + std::fmt::Debug;
    const NAME: &'static str;
    const TAKES_MISSING: bool = false;
    const NEEDS_LABELS: bool = true;
    /// Whether what it predicts are probabilities.
    const PROBABILITIES: bool = true;
    fn fit(&self, data: &Data) -> Result<Self::Model, FitError>;
    fn predict(model: &Self::Model, data: &Data) -> Result<Vec<f64>, FitError>;
}

struct Logistic(Solver);

impl Estimator for Logistic {
    type Model = LogisticModel;
    const NAME: &'static str = "logistic";

    fn fit(&self, data: &Data) -> Result<LogisticModel, FitError> {
        let settings = PenalisedLogistic { solver: self.0, ..Default::default() };
        settings.fit_rows(data.wide().view(), &data.labels, None)
    }

    fn predict(model: &LogisticModel, data: &Data) -> Result<Vec<f64>, FitError> {
        Ok(model.probabilities(data.wide().view())?.to_vec())
    }
}

struct Tree;

impl Estimator for Tree {
    type Model = TreeModel;
    const NAME: &'static str = "tree";
    const TAKES_MISSING: bool = true;

    fn fit(&self, data: &Data) -> Result<TreeModel, FitError> {
        ReadableTree { max_sample: 2000, ..Default::default() }.fit_rows(data.features.view(), &data.labels, &data.keys)
    }

    fn predict(model: &TreeModel, data: &Data) -> Result<Vec<f64>, FitError> {
        Ok(model.probabilities(data.features.view())?.to_vec())
    }
}

struct Boosted;

impl Data {
    fn numbers(&self) -> Vec<f64> {
        self.labels.iter().map(|label| f64::from(u8::from(*label))).collect()
    }
}

impl Estimator for Boosted {
    type Model = BoostedModel;
    const NAME: &'static str = "boosted";
    const TAKES_MISSING: bool = true;

    fn fit(&self, data: &Data) -> Result<BoostedModel, FitError> {
        let settings = BoostedTrees { rounds: 20, min_rows_per_leaf: 2, row_fraction: 0.8, ..Default::default() };
        settings.fit_rows(data.features.view(), Targets::of(&data.numbers()), None)
    }

    fn predict(model: &BoostedModel, data: &Data) -> Result<Vec<f64>, FitError> {
        Ok(model.predict(data.features.view())?.to_vec())
    }
}

/// Two outputs, of which the second is the first the other way round.
struct ManyBoosted;

impl Estimator for ManyBoosted {
    type Model = ManyModel;
    const NAME: &'static str = "boosted, many outputs";
    const TAKES_MISSING: bool = true;

    fn fit(&self, data: &Data) -> Result<ManyModel, FitError> {
        let settings = BoostedTrees { rounds: 10, min_rows_per_leaf: 2, ..Default::default() };
        let outputs = |(row, output): (usize, usize)| if data.labels[row] == (output == 0) { 1.0f32 } else { 0.0 };
        let labels = Array2::from_shape_fn((data.labels.len(), 2), outputs);
        let rows = Binned::fit(data.features.view(), &[], 255, None);
        // An output's fault is told with its number; the battery asks for the fault itself.
        let targets = ManyTargets { labels: labels.view(), weights: None };
        match rows.and_then(|rows| settings.fit_many(&rows, targets, None)) {
            Err(FitError::Output { source, .. }) => Err(*source),
            other => other,
        }
    }

    fn predict(model: &ManyModel, data: &Data) -> Result<Vec<f64>, FitError> {
        Ok(model.predict(data.features.view())?.iter().copied().collect())
    }
}

struct Prepare;

impl Estimator for Prepare {
    type Model = Preparation;
    const NAME: &'static str = "preparation";
    const TAKES_MISSING: bool = true;
    const NEEDS_LABELS: bool = false;
    const PROBABILITIES: bool = false;

    fn fit(&self, data: &Data) -> Result<Preparation, FitError> {
        Preparation::fit(data.features.view())
    }

    fn predict(model: &Preparation, data: &Data) -> Result<Vec<f64>, FitError> {
        Ok(model.apply(data.features.view())?.iter().copied().collect())
    }
}

struct Steps;

impl Estimator for Steps {
    type Model = IsotonicModel;
    const NAME: &'static str = "isotonic";

    fn fit(&self, data: &Data) -> Result<IsotonicModel, FitError> {
        Isotonic.fit_rows(&data.scores(), &data.labels, None)
    }

    fn predict(model: &IsotonicModel, data: &Data) -> Result<Vec<f64>, FitError> {
        Calibration::Isotonic(model.clone()).probabilities(Array1::from(data.scores()).view()).map(|p| p.to_vec())
    }
}

struct Chosen;

impl Estimator for Chosen {
    type Model = CalibrationChoice;
    const NAME: &'static str = "calibration";

    fn fit(&self, data: &Data) -> Result<CalibrationChoice, FitError> {
        Calibration::choose(&data.scores(), &data.labels, &data.keys, None)
    }

    fn predict(model: &CalibrationChoice, data: &Data) -> Result<Vec<f64>, FitError> {
        model.calibration.probabilities(Array1::from(data.scores()).view()).map(|p| p.to_vec())
    }
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn battery<E: Estimator>(estimator: &E) {
    survives_json_bit_for_bit(estimator);
    gives_the_same_bytes_at_any_number_of_threads(estimator);
    leaves_its_inputs_alone(estimator);
    refuses_what_it_does_not_take(estimator);
    names_a_single_class(estimator);
    copes_with_tiny_data(estimator);
    refuses_lengths_that_differ(estimator);
}

fn survives_json_bit_for_bit<E: Estimator>(estimator: &E) {
    let data = Data::new(5000);
    let model = estimator.fit(&data).unwrap();
    let text = serde_json::to_string(&model).unwrap();
    let loaded: E::Model = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded, model, "{}", E::NAME);
    assert_eq!(serde_json::to_string(&loaded).unwrap(), text, "{}", E::NAME);
    let (before, after) = (E::predict(&model, &data).unwrap(), E::predict(&loaded, &data).unwrap());
    assert_eq!(bits(&before), bits(&after), "{}", E::NAME);
    assert!(before.iter().all(|p| p.is_finite() && (!E::PROBABILITIES || (*p > 0.0 && *p < 1.0))), "{}", E::NAME);
}

fn gives_the_same_bytes_at_any_number_of_threads<E: Estimator>(estimator: &E) {
    let data = Data::new(5000);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = estimator.fit(&data).unwrap();
            (serde_json::to_string(&model).unwrap(), bits(&E::predict(&model, &data).unwrap()))
        })
    };
    let one = run(1);
    for threads in [1, 2, 7] {
        assert!(run(threads) == one, "{} with {threads} threads", E::NAME);
    }
}

fn leaves_its_inputs_alone<E: Estimator>(estimator: &E) {
    let data = Data::new(800);
    let before = data.clone();
    let model = estimator.fit(&data).unwrap();
    let text = serde_json::to_string(&model).unwrap();
    let first = E::predict(&model, &data).unwrap();
    let second = E::predict(&model, &data).unwrap();
    assert_eq!(bits(&first), bits(&second), "{}", E::NAME);
    assert_eq!(serde_json::to_string(&model).unwrap(), text, "{}", E::NAME);
    assert!(data.features == before.features && data.labels == before.labels && data.keys == before.keys);
}

fn refuses_what_it_does_not_take<E: Estimator>(estimator: &E) {
    let good = Data::new(3000);
    let model = estimator.fit(&good).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut data = good.clone();
        data.features[[2500, 0]] = bad;
        data.features[[2600, 0]] = bad;
        let answers = [estimator.fit(&data).err(), E::predict(&model, &data).err()];
        for error in answers {
            if bad.is_nan() && E::TAKES_MISSING {
                assert!(error.is_none(), "{}: {error:?}", E::NAME);
            } else {
                assert!(
                    matches!(error, Some(FitError::NonFinite { row: 2500, column: 0, .. })),
                    "{} on {bad}: {error:?}",
                    E::NAME
                );
            }
        }
        if bad.is_nan() && E::TAKES_MISSING {
            let predicted = E::predict(&estimator.fit(&data).unwrap(), &data).unwrap();
            assert!(predicted.iter().all(|p| p.is_finite()), "{}", E::NAME);
        }
    }
}

fn names_a_single_class<E: Estimator>(estimator: &E) {
    if !E::NEEDS_LABELS {
        return;
    }
    for label in [false, true] {
        let mut data = Data::new(500);
        data.labels.fill(label);
        let error = estimator.fit(&data).unwrap_err();
        assert!(matches!(error, FitError::SingleClass { rows: 500, label: l } if l == label), "{}: {error}", E::NAME);
        assert_eq!(error.reason().unwrap().code(), "single_class");
        assert_eq!(error.counts()[0], ("rows", 500));
    }
}

fn copes_with_tiny_data<E: Estimator>(estimator: &E) {
    let full = Data::new(500);
    for rows in 0..12 {
        for start in [0, 20, 40, 60, 80] {
            let range = start..start + rows;
            let data = Data {
                features: full.features.slice(ndarray::s![range.clone(), ..]).to_owned(),
                labels: full.labels[range.clone()].to_vec(),
                keys: full.keys[range].to_vec(),
            };
            match estimator.fit(&data) {
                Ok(model) => {
                    let predicted = E::predict(&model, &full).unwrap();
                    assert!(predicted.iter().all(|p| p.is_finite()), "{} on {rows} rows", E::NAME);
                    assert!(!E::PROBABILITIES || predicted.iter().all(|p| (0.0..=1.0).contains(p)));
                }
                Err(FitError::NoRows) => assert_eq!(rows, 0, "{}", E::NAME),
                Err(FitError::SingleClass { .. }) => {
                    assert!(data.labels.iter().all(|label| *label == data.labels[0]), "{}", E::NAME);
                }
                Err(FitError::NoUsableFeatures { .. }) => assert_eq!(rows, 1, "{}", E::NAME),
                Err(error) => panic!("{} on {rows} rows: {error}", E::NAME),
            }
        }
    }
}

fn refuses_lengths_that_differ<E: Estimator>(estimator: &E) {
    if !E::NEEDS_LABELS {
        return;
    }
    let mut data = Data::new(500);
    data.labels.pop();
    let error = estimator.fit(&data).unwrap_err();
    assert!(matches!(error, FitError::LengthMismatch { what: "labels", rows: 500, got: 499 }), "{}: {error}", E::NAME);
}

#[test]
fn logistic_by_linfa() {
    battery(&Logistic(Solver::Linfa));
}

#[test]
fn logistic_in_parallel() {
    battery(&Logistic(Solver::Parallel));
}

#[test]
fn readable_tree() {
    battery(&Tree);
}

#[test]
fn boosted_trees() {
    battery(&Boosted);
}

#[test]
fn boosted_trees_of_many_outputs() {
    battery(&ManyBoosted);
}

#[test]
fn preparation() {
    battery(&Prepare);
}

#[test]
fn isotonic() {
    battery(&Steps);
}

#[test]
fn chosen_calibration() {
    battery(&Chosen);
}

/// Area under the curve by linfa's own metric.
fn auc(probabilities: &Array1<f64>, labels: &Array1<bool>) -> f64 {
    let probabilities = probabilities.mapv(|p| Pr::new(p as f32));
    f64::from(probabilities.roc(labels.as_slice().unwrap()).unwrap().area_under_curve())
}

#[test]
fn linfa_data_sets_fit_predict_and_are_judged() {
    let Data { features, labels, .. } = Data::new(4000);
    let labels = Array1::from(labels);
    // P(label | x) = x with x uniform: AUC = 5/6 (E over a positive with density 2x and a negative with 2(1-x)).
    let expected = 5.0 / 6.0;
    let tolerance = 0.03; // four standard errors of an AUC of 4000 rows, and of 32 leaves instead of a line

    let data = DatasetBase::new(features.mapv(f64::from), labels.clone());
    let logistic = PenalisedLogistic::default().fit(&data).unwrap();
    assert!((auc(&logistic.predict(&data), &labels) - expected).abs() < tolerance);
    // Views and whole data sets are taken, too, and give the same.
    let seen = PenalisedLogistic::default().fit(&data.view()).unwrap();
    assert_eq!(seen, logistic);
    assert_eq!(logistic.predict(data.records()), logistic.predict(&data));
    let as_numbers = labels.mapv(|label| f64::from(u8::from(label)));
    let brier = logistic.predict(&data).mean_squared_error(&as_numbers).unwrap();
    assert!((brier - 1.0 / 6.0).abs() < 0.02, "E[x (1 - x)] of a uniform x: {brier}");

    let data = DatasetBase::new(features.clone(), labels.clone());
    let tree = ReadableTree::default().fit(&data).unwrap();
    assert!((auc(&tree.predict(&data), &labels) - expected).abs() < tolerance);

    let settings = BoostedTrees { rounds: 30, max_leaves: 8, ..Default::default() };
    let boosted = settings.fit(&data).unwrap();
    let predicted: Array1<f64> = Predict::predict(&boosted, &data);
    assert!((auc(&predicted, &labels) - expected).abs() < tolerance);
    assert_eq!(predicted, boosted.predict(data.records().view()).unwrap());
    // Targets may be numbers, too.
    let numbers = DatasetBase::new(features.clone(), as_numbers.clone());
    assert_eq!(settings.fit(&numbers).unwrap(), boosted);

    let data = DatasetBase::new(features.column(0).mapv(f64::from), labels.clone());
    let isotonic = Isotonic.fit(&data).unwrap();
    assert!((auc(&isotonic.predict(&data), &labels) - expected).abs() < tolerance);
    let calibration = Calibration::Isotonic(isotonic);
    assert!((auc(&calibration.predict(data.records()), &labels) - expected).abs() < tolerance);
}

#[test]
fn weights_of_a_linfa_data_set_count() {
    let Data { features, labels, .. } = Data::new(600);
    let weights: Vec<f32> = (0..600).map(|row| (row % 3) as f32).collect();
    let wide = features.mapv(f64::from);
    let data = DatasetBase::new(wide.clone(), Array1::from(labels.clone())).with_weights(Array1::from(weights.clone()));
    let model = PenalisedLogistic::default().fit(&data).unwrap();
    let weights: Vec<f64> = weights.iter().map(|weight| f64::from(*weight)).collect();
    assert_eq!(model, PenalisedLogistic::default().fit_rows(wide.view(), &labels, Some(&weights)).unwrap());
    let plain = PenalisedLogistic::default().fit_rows(wide.view(), &labels, None).unwrap();
    assert_ne!(model.coefficients, plain.coefficients);

    let data = DatasetBase::new(features, Array1::from(labels)).with_weights(Array1::ones(600));
    let refused = ReadableTree::default().fit(&data);
    assert!(matches!(refused, Err(FitError::WeightsUnsupported { .. })));
}

#[test]
fn a_damaged_model_is_refused_when_it_is_read() {
    let data = Data::new(2000);
    let damage = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        text.replacen(from, to, 1)
    };
    let tree = serde_json::to_string(&Tree.fit(&data).unwrap()).unwrap();
    assert!(serde_json::from_str::<TreeModel>(&damage(tree.clone(), "\"yes\":1", "\"yes\":0")).is_err(), "a loop");
    assert!(serde_json::from_str::<TreeModel>(&damage(tree.clone(), "\"no\":2", "\"no\":999")).is_err());
    assert!(serde_json::from_str::<TreeModel>(&damage(tree, "\"feature\":0", "\"feature\":6")).is_err());
    assert!(serde_json::from_str::<TreeModel>(r#"{"features":1,"nodes":[]}"#).is_err());
    assert!(serde_json::from_str::<IsotonicModel>(r#"{"blocks":[]}"#).is_err());
    let steps = serde_json::to_string(&Steps.fit(&data).unwrap()).unwrap();
    assert!(serde_json::from_str::<IsotonicModel>(&damage(steps, "\"centre\":0.", "\"centre\":9.")).is_err());
    let preparation = serde_json::to_string(&Prepare.fit(&data).unwrap()).unwrap();
    assert!(serde_json::from_str::<Preparation>(&damage(preparation, "\"features\":6", "\"features\":5")).is_err());
}
