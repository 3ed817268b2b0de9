use ndarray::{Array2, Axis};

use super::*;

/// Labels of `outputs` that depend on the columns in different ways, and one that repeats the first.
fn many_labels(features: &Array2<f32>, outputs: usize) -> Array2<f32> {
    Array2::from_shape_fn((features.nrows(), outputs), |(row, output)| {
        let output = if output + 1 == outputs { 0 } else { output };
        let x = features.row(row);
        let signal = match output % 4 {
            0 => 3.0 * x[0] - 2.0,
            1 => 2.0 - 4.0 * x[1],
            2 => {
                if x[2] == 2.0 {
                    1.0
                } else {
                    -2.0
                }
            }
            _ => {
                if x[3].is_nan() {
                    1.0
                } else {
                    -1.5
                }
            }
        };
        let p = 1.0 / (1.0 + f64::from(-signal).exp());
        f32::from(u8::from(uniform((row * 64 + output) as u64 + 31) < p))
    })
}

#[test]
fn each_output_learns_what_is_its_own() {
    let features = rows(6000);
    let labels = many_labels(&features, 13);
    let binned = Binned::fit(features.view(), &[], 255, None).unwrap();
    let (early, late): (Vec<f64>, Vec<f64>) =
        (0..6000).map(|row| if row < 4000 { (1.0, 0.0) } else { (0.0, 1.0) }).unzip();
    let train = ManyTargets { labels: labels.view(), weights: Some(&early) };
    let test = ManyTargets { labels: labels.view(), weights: Some(&late) };
    let settings = BoostedTrees { rounds: 150, max_leaves: 8, early_stopping_rounds: Some(15), ..Default::default() };
    let model = settings.fit_many(&binned, train, Some((&binned, test))).unwrap();
    assert_eq!((model.outputs(), model.columns()), (13, 5));
    let raw = model.raw(features.view()).unwrap();
    for output in 0..13 {
        let losses = &model.validation_losses()[output];
        let rounds = model.rounds()[output];
        let least = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
        assert_eq!(rounds, least);
        // A single model of the same settings is at most a little better.
        let y: Vec<f64> = labels.column(output).iter().map(|y| f64::from(*y)).collect();
        let targets = Targets::of(&y);
        let alone =
            settings.fit_binned(&binned, targets.weighted(&early), Some((&binned, targets.weighted(&late)))).unwrap();
        let alone = alone.validation_losses().iter().copied().fold(f64::INFINITY, f64::min);
        assert!(
            losses[rounds] - alone < 0.1 * (losses[0] - alone),
            "{output}: {} {} {alone}",
            losses[0],
            losses[rounds]
        );
        // What was measured on codes in 32 bits is what the model says of values in 64.
        let loss: f64 =
            (4000..6000).map(|row| Objective::Logistic.loss(raw[[row, output]], y[row])).sum::<f64>() / 2000.0;
        assert!((loss - losses[rounds]).abs() < 1e-5, "{loss} {}", losses[rounds]);
        // The output as a model of its own.
        let one = model.output(output).unwrap();
        assert_eq!(one.trees().len(), rounds);
        let scores = one.raw(features.view()).unwrap();
        assert!(scores.iter().zip(raw.column(output)).all(|(a, b)| (a - b).abs() < 1e-12));
    }
    assert!(model.rounds().iter().any(|rounds| *rounds != model.rounds()[0]), "each stops for itself");
    assert!(model.output(13).is_none());
    assert_eq!(model.output(0).unwrap().constant(), model.output(12).unwrap().constant(), "the labels are the same");
    let predicted = model.predict(features.view()).unwrap();
    assert_eq!(predicted[[5, 3]], Objective::Logistic.prediction(raw[[5, 3]]));
    let text = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<ManyModel>(&text).unwrap(), model);
    assert!(serde_json::from_str::<ManyModel>(&text.replacen("\"columns\":5", "\"columns\":2", 1)).is_err());
    assert!(serde_json::from_str::<ManyModel>(&text.replacen("\"constants\":[", "\"constants\":[0.5,", 1)).is_err());
}

#[test]
fn one_output_of_many_is_as_good_as_a_single_model() {
    for objective in [Objective::Logistic, Objective::Poisson, Objective::Squared] {
        let features = rows(3000);
        let y = labels(objective, &features);
        let wide = Array2::from_shape_fn((3000, 1), |(row, _)| y[row] as f32);
        let y: Vec<f64> = wide.iter().map(|y| f64::from(*y)).collect();
        let binned = Binned::fit(features.view(), &[2], 255, None).unwrap();
        let settings = settings(objective);
        let many = settings.fit_many(&binned, ManyTargets { labels: wide.view(), weights: None }, None).unwrap();
        let single = settings.fit_binned(&binned, Targets::of(&y), None).unwrap();
        let loss = |scores: &ndarray::Array1<f64>| -> f64 {
            scores.iter().zip(&y).map(|(score, y)| objective.loss(*score, *y)).sum::<f64>()
        };
        let constant = loss(&ndarray::Array1::from_elem(3000, single.constant()));
        let (a, b) = (
            loss(&many.raw(features.view()).unwrap().column(0).to_owned()),
            loss(&single.raw(features.view()).unwrap()),
        );
        assert!((constant - a) > 0.8 * (constant - b), "{objective:?}: {constant} {a} {b}");
        assert_eq!(many.rounds(), [40]);
    }
}

#[test]
fn many_outputs_are_the_same_at_any_number_of_threads_and_follow_the_seed() {
    let features = rows(70_000);
    let labels = many_labels(&features, 7);
    let binned = Binned::fit(features.view(), &[], 255, None).unwrap();
    let run = |threads: usize, seed: u64| {
        let settings = BoostedTrees { rounds: 4, row_fraction: 0.8, feature_fraction: 0.7, seed, ..Default::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let targets = ManyTargets { labels: labels.view(), weights: None };
        pool.install(|| settings.fit_many(&binned, targets, Some((&binned, targets))).unwrap())
    };
    let one = run(1, 0);
    assert_eq!(run(3, 0), one);
    assert_ne!(run(1, 1), one);
}

#[test]
fn a_label_that_is_missing_says_nothing() {
    let features = rows(2000);
    let mut with_missing = many_labels(&features, 2);
    // The second output is about every other row only; fitted on those rows alone, its constant is the same.
    (0..2000).step_by(2).for_each(|row| with_missing[[row, 1]] = f32::NAN);
    let binned = Binned::fit(features.view(), &[], 255, None).unwrap();
    let settings = BoostedTrees { rounds: 10, ..Default::default() };
    let model = settings.fit_many(&binned, ManyTargets { labels: with_missing.view(), weights: None }, None).unwrap();
    let odd: Vec<usize> = (1..2000).step_by(2).collect();
    let rate = with_missing.column(1).select(Axis(0), &odd).mean().unwrap();
    let constant = model.output(1).unwrap().constant();
    assert!((1.0 / (1.0 + (-constant).exp()) - f64::from(rate)).abs() < 1e-6);
    assert!(model.raw(features.view()).unwrap().iter().all(|score| score.is_finite()));
}

#[test]
fn faults_of_an_output_are_told_with_its_number() {
    let features = rows(200);
    let binned = Binned::fit(features.view(), &[], 255, None).unwrap();
    let good = many_labels(&features, 3);
    let settings = BoostedTrees { rounds: 3, ..Default::default() };
    let fit = |settings: &BoostedTrees, labels: &Array2<f32>| {
        settings.fit_many(&binned, ManyTargets { labels: labels.view(), weights: None }, None)
    };
    let mut one_class = good.clone();
    one_class.column_mut(1).fill(0.0);
    let error = fit(&settings, &one_class).unwrap_err();
    assert_eq!(error.to_string(), "output 1: all 200 labels are false");
    assert_eq!(crate::error::Explain::reason(&error).unwrap().code(), "single_class");
    let mut bad = good.clone();
    bad[[9, 2]] = 2.0;
    assert!(matches!(fit(&settings, &bad), Err(FitError::Output { output: 2, .. })));
    let quantile = BoostedTrees { objective: Objective::Quantile { alpha: 0.5 }, ..settings.clone() };
    assert!(matches!(fit(&quantile, &good), Err(FitError::ManyUnsupported { .. })));
    let monotone = BoostedTrees { monotone: vec![1, 0, 0, 0, 0], ..settings.clone() };
    assert!(matches!(fit(&monotone, &good), Err(FitError::ManyUnsupported { .. })));
    assert!(matches!(fit(&settings, &Array2::zeros((200, 0))), Err(FitError::BadParameter { name: "labels", .. })));
    assert!(matches!(
        fit(&settings, &good.slice(ndarray::s![..9, ..]).to_owned()),
        Err(FitError::LengthMismatch { .. })
    ));
}

#[test]
fn trees_made_ready_for_blocks_tell_the_same() {
    use crate::models::blocks::{BLOCK, Blocks};
    let features = rows(300);
    let labels = many_labels(&features, 11);
    let binned = Binned::fit(features.view(), &[2], 255, None).unwrap();
    let settings = BoostedTrees { rounds: 9, min_rows_per_leaf: 3, ..Default::default() };
    let model = settings.fit_many(&binned, ManyTargets { labels: labels.view(), weights: None }, None).unwrap();
    let want = model.raw(features.view()).unwrap();
    let (forest, blocks) = (model.forest(), Blocks::of(features.view()));
    let (mut leaves, mut answers) = (vec![77; 3], vec![[3; BLOCK]]);
    for first in (0..300).step_by(BLOCK) {
        let sight = blocks.sight(first, &[]);
        let mut scores = vec![5.0; sight.rows() * 11];
        forest.raw(&sight, &mut scores, &mut leaves, &mut answers);
        let want: Vec<f64> = (first..first + sight.rows()).flat_map(|row| want.row(row).to_vec()).collect();
        assert_eq!(scores, want, "the same bits");
    }
}
