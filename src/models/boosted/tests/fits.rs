use ndarray::{Array1, Array2, Axis};

use super::*;

fn mean_loss(objective: Objective, scores: &Array1<f64>, labels: &[f64]) -> f64 {
    scores.iter().zip(labels).map(|(score, label)| objective.loss(*score, *label)).sum::<f64>() / labels.len() as f64
}

#[test]
fn derivatives_are_those_of_the_loss() {
    for objective in OBJECTIVES {
        for score in [-3.1, -0.7, 0.2, 1.9] {
            for label in [0.0, 1.0, 0.3, 4.0] {
                if (objective == Objective::Gamma && label == 0.0) || (objective == Objective::Logistic && label > 1.0)
                {
                    continue;
                }
                let (gradient, hessian) = objective.derivatives(score, label);
                let step = 1e-5;
                let rise = (objective.loss(score + step, label) - objective.loss(score - step, label)) / (2.0 * step);
                // Central differences: an error of step^2 times the third derivative, which is below 100 here.
                assert!((gradient - rise).abs() < 1e-7, "{objective:?} at {score}, {label}: {gradient} and {rise}");
                if !matches!(objective, Objective::Quantile { .. }) {
                    let at = |score| objective.derivatives(score, label).0;
                    let rise = (at(score + step) - at(score - step)) / (2.0 * step);
                    assert!((hessian - rise).abs() < 1e-7, "{objective:?} at {score}, {label}: {hessian} and {rise}");
                }
            }
        }
    }
}

#[test]
fn the_constant_has_the_least_loss_with_weights_and_offsets() {
    let rows = rows(400);
    let weights: Vec<f64> = (0..400).map(|row| (row % 4) as f64 / 2.0).collect();
    let offset: Vec<f64> = (0..400).map(|row| uniform(row + 99) - 0.3).collect();
    for objective in OBJECTIVES {
        let labels = labels(objective, &rows);
        for targets in [
            Targets::of(&labels),
            Targets::of(&labels).weighted(&weights),
            Targets::of(&labels).weighted(&weights).offset_by(&offset),
        ] {
            let constant = objective.constant(&targets);
            let loss = |shift: f64| -> f64 {
                let one =
                    |row| targets.weight(row) * objective.loss(constant + shift + targets.offset_of(row), labels[row]);
                (0..400).map(one).sum()
            };
            for shift in [1e-3, -1e-3] {
                assert!(loss(shift) >= loss(0.0), "{objective:?}");
            }
        }
    }
}

#[test]
fn every_objective_learns_and_a_round_is_no_worse_on_its_rows() {
    let (train, test) = (rows(4000), rows(6000).slice_move(ndarray::s![4000.., ..]));
    for objective in OBJECTIVES {
        let y = labels(objective, &train);
        let all = labels(objective, &rows(6000));
        let held_out = &all[4000..];
        let model = settings(objective)
            .fit_rows(train.view(), Targets::of(&y), Some((test.view(), Targets::of(held_out))))
            .unwrap();
        let losses = model.validation_losses();
        assert_eq!(losses.len(), 41);
        let constant = mean_loss(objective, &Array1::from_elem(2000, model.constant()), held_out);
        assert!((losses[0] - constant).abs() < 1e-12 * constant.abs());
        let last = mean_loss(objective, &model.raw(test.view()).unwrap(), held_out);
        assert!((losses[40] - last).abs() < 1e-12 * last.abs().max(1.0), "{objective:?}: codes and values part ways");
        // The model that draws the labels has this loss; a third of what is above it must be gone.
        let truth = |mean: f64| match objective {
            Objective::Logistic | Objective::Poisson | Objective::Gamma => Some(mean.ln()),
            Objective::Squared => Some(mean),
            Objective::Quantile { alpha } => Some(mean + 2.0 * (alpha - 0.5)),
            Objective::Tweedie { .. } => None,
        };
        if objective != Objective::Poisson
            && let Some(scores) =
                test.rows().into_iter().map(|row| truth(mean_of(row))).collect::<Option<Array1<f64>>>()
        {
            let best = mean_loss(objective, &scores, held_out);
            assert!(last - best < (losses[0] - best) / 2.0, "{objective:?}: {} {last} {best}", losses[0]);
        }
        assert!(last < losses[0]);
        let scores = model.raw(train.view()).unwrap();
        let mut before = mean_loss(objective, &Array1::from_elem(4000, model.constant()), &y);
        for rounds in [1, 5, 20, 40] {
            let shorter = settings(objective);
            let model = BoostedTrees { rounds, ..shorter }.fit_rows(train.view(), Targets::of(&y), None).unwrap();
            let now = mean_loss(objective, &model.raw(train.view()).unwrap(), &y);
            assert!(now < before, "{objective:?} after {rounds}");
            before = now;
        }
        assert_eq!(mean_loss(objective, &scores, &y), before);
    }
}

#[test]
fn a_weight_of_two_is_a_row_twice_and_of_zero_none() {
    let full = rows(1500);
    let take: Vec<usize> = (0..1500).flat_map(|row| vec![row; row % 3]).collect();
    let repeated = full.select(Axis(0), &take);
    for objective in OBJECTIVES {
        // No two questions may gain the same, or rounding decides: labels of two or few values are drawn apart a little, and
        // the gradients of the quantile loss have two values whatever the labels, so only its first question is compared.
        let y = labels(objective, &full).into_iter().enumerate();
        let y: Vec<f64> = y.map(|(row, y)| 0.9 * y + 0.05 + 0.01 * uniform(row as u64)).collect();
        let alone = matches!(objective, Objective::Quantile { .. });
        let (rounds, max_leaves) = if alone { (1, 2) } else { (10, 31) };
        let weights: Vec<f64> = (0..1500).map(|row| (row % 3) as f64).collect();
        let repeated_labels: Vec<f64> = take.iter().map(|row| y[*row]).collect();
        // Least rows count rows, not weights, and cut points rows: so neither may decide here.
        let settings =
            BoostedTrees { rounds, max_leaves, min_rows_per_leaf: 1, min_hessian_per_leaf: 5.0, ..settings(objective) };
        let binned = Binned::fit(full.view(), &[], 60, None).unwrap();
        let weighted = settings.fit_binned(&binned, Targets::of(&y).weighted(&weights), None).unwrap();
        let twice = binned.more(repeated.view()).unwrap();
        let twice = settings.fit_binned(&twice, Targets::of(&repeated_labels), None).unwrap();
        let (a, b) = (weighted.raw(full.view()).unwrap(), twice.raw(full.view()).unwrap());
        let apart = a.iter().zip(&b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
        // Fixed point of 30 bits, on another scale.
        assert!(apart < 1e-6, "{objective:?}: {apart}");
    }
}

#[test]
fn zero_weight_rows_may_hold_anything() {
    let mut features = rows(600);
    let mut y = labels(Objective::Logistic, &features);
    let mut weights = vec![1.0; 600];
    let model = settings(Objective::Logistic);
    let kept: Vec<usize> = (0..600).filter(|row| row % 5 != 0).collect();
    let kept_labels: Vec<f64> = kept.iter().map(|row| y[*row]).collect();
    let expected = model.fit_rows(features.select(Axis(0), &kept).view(), Targets::of(&kept_labels), None).unwrap();
    for row in (0..600).step_by(5) {
        weights[row] = 0.0;
        y[row] = -7.0;
        features[[row, 0]] = 1e6;
    }
    let got = model.fit_rows(features.view(), Targets::of(&y).weighted(&weights), None).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn offsets_are_where_the_scores_start() {
    let features = rows(3000);
    for objective in [Objective::Logistic, Objective::Poisson, Objective::Squared, Objective::Gamma] {
        let y = labels(objective, &features);
        let offset: Vec<f64> = features.column(0).iter().map(|x| 1.5 * f64::from(*x)).collect();
        let settings = BoostedTrees { rounds: 5, ..settings(objective) };
        let model = settings.fit_rows(features.view(), Targets::of(&y).offset_by(&offset), None).unwrap();
        let predicted = model.predict_with_offset(features.view(), &offset).unwrap();
        let raw = model.raw(features.view()).unwrap();
        for row in 0..3000 {
            assert_eq!(predicted[row], objective.prediction(raw[row] + offset[row]));
        }
        if objective != Objective::Squared {
            // The offset holds all that the first column says: there is little left to ask about it.
            let importance = model.importance();
            let plain = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap().importance();
            assert!(importance[0].gain < 0.2 * plain[0].gain, "{objective:?}");
        }
    }
    let y = labels(Objective::Squared, &features);
    // With a squared loss, an offset is the same as other labels.
    let offset: Vec<f64> = (0..3000).map(|row| uniform(row)).collect();
    let less: Vec<f64> = y.iter().zip(&offset).map(|(y, o)| y - o).collect();
    let settings = settings(Objective::Squared);
    let a = settings.fit_rows(features.view(), Targets::of(&y).offset_by(&offset), None).unwrap();
    let b = settings.fit_rows(features.view(), Targets::of(&less), None).unwrap();
    let apart = (a.raw(features.view()).unwrap() - b.raw(features.view()).unwrap()).mapv(f64::abs);
    assert!(apart.iter().all(|apart| *apart < 1e-6));
}

#[test]
fn early_stopping_keeps_the_best_round() {
    let (train, y) = (rows(300), labels(Objective::Logistic, &rows(300)));
    let all = rows(1300);
    let (test, held_out) = (all.slice(ndarray::s![300.., ..]), labels(Objective::Logistic, &all));
    let held_out = &held_out[300..];
    let long = BoostedTrees { rounds: 200, min_rows_per_leaf: 5, ..Default::default() };
    let validation = Some((test, Targets::of(held_out)));
    let all_rounds = long.fit_rows(train.view(), Targets::of(&y), validation).unwrap();
    let losses = all_rounds.validation_losses();
    assert_eq!((losses.len(), all_rounds.trees().len()), (201, 200));
    let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
    assert!(best > 0 && best < 150, "{best}: the case is of no use");
    let stopping = BoostedTrees { early_stopping_rounds: Some(30), ..long.clone() };
    let stopped = stopping.fit_rows(train.view(), Targets::of(&y), validation).unwrap();
    assert_eq!(stopped.trees(), &all_rounds.trees()[..best]);
    assert_eq!(stopped.validation_losses(), &losses[..=best + 30]);
    // The same rows binned once, parted by weights.
    let both = labels(Objective::Logistic, &all);
    let in_train: Vec<f64> = (0..1300).map(|row| f64::from(u8::from(row < 300))).collect();
    let in_test: Vec<f64> = in_train.iter().map(|weight| 1.0 - weight).collect();
    let binned = Binned::fit(all.view(), &[], 255, Some(&in_train)).unwrap();
    let targets = Targets::of(&both);
    let shared =
        stopping.fit_binned(&binned, targets.weighted(&in_train), Some((&binned, targets.weighted(&in_test)))).unwrap();
    assert_eq!(shared.trees(), stopped.trees());
}

#[test]
fn results_are_the_same_at_any_number_of_threads() {
    let features = rows(150_000);
    let y = labels(Objective::Poisson, &features);
    let settings =
        BoostedTrees { rounds: 4, row_fraction: 0.7, feature_fraction: 0.6, seed: 9, ..settings(Objective::Poisson) };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let targets = Targets::of(&y);
            settings.fit_rows(features.view(), targets, Some((features.view(), targets))).unwrap()
        })
    };
    let one = run(1);
    for threads in [2, 5] {
        let other = run(threads);
        assert_eq!(other, one);
        assert_eq!(serde_json::to_string(&other).unwrap(), serde_json::to_string(&one).unwrap());
    }
}

#[test]
fn draws_follow_the_seed_and_their_share() {
    let features = rows(5000);
    let y = labels(Objective::Logistic, &features);
    let fit = |seed, row_fraction, feature_fraction| {
        let settings = BoostedTrees { rounds: 5, seed, row_fraction, feature_fraction, ..Default::default() };
        settings.fit_rows(features.view(), Targets::of(&y), None).unwrap()
    };
    assert_eq!(fit(1, 0.5, 1.0), fit(1, 0.5, 1.0));
    assert_ne!(fit(1, 0.5, 1.0), fit(2, 0.5, 1.0));
    assert_eq!(fit(1, 1.0, 1.0), fit(2, 1.0, 1.0));
    let half = fit(1, 0.5, 1.0);
    let roots: Vec<u64> = half.trees().iter().map(|tree| tree.splits()[0].rows).collect();
    // Half of 5000 with a standard deviation of 35.
    assert!(roots.iter().all(|rows| rows.abs_diff(2500) < 150), "{roots:?}");
    assert!(roots.windows(2).any(|pair| pair[0] != pair[1]));
    for tree in fit(1, 1.0, 0.4).trees() {
        let mut asked: Vec<usize> = tree.splits().iter().map(|split| split.feature).collect();
        asked.sort_unstable();
        asked.dedup();
        assert!(asked.len() <= 2, "{asked:?}");
    }
}

#[test]
fn limits_of_leaves_hold() {
    let features = rows(3000);
    let y = labels(Objective::Logistic, &features);
    let settings = BoostedTrees {
        rounds: 5,
        max_leaves: 9,
        max_depth: Some(4),
        min_rows_per_leaf: 37,
        min_hessian_per_leaf: 9.5,
        ..Default::default()
    };
    let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    for tree in model.trees() {
        assert!(tree.leaves().len() <= 9 && tree.depth() <= 4 && tree.depth() > 1);
        assert!(tree.leaves().iter().all(|leaf| leaf.rows >= 37 && leaf.hessian >= 9.5));
        assert_eq!(tree.leaves().iter().map(|leaf| leaf.rows).sum::<u64>(), 3000);
    }
    let high = BoostedTrees { min_gain: 1e9, ..settings.clone() };
    let stumps = high.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    assert!(stumps.trees().is_empty());
    assert!(stumps.raw(features.view()).unwrap().iter().all(|score| *score == stumps.constant()));
    let values = |settings: BoostedTrees| {
        let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
        model.trees()[0].leaves().iter().map(|leaf| leaf.value.abs()).sum::<f64>()
    };
    let free = values(settings.clone());
    assert!(values(BoostedTrees { l2: 100.0, ..settings.clone() }) < free);
    assert!(values(BoostedTrees { l1: 20.0, ..settings }) < free);
}

#[test]
fn a_leaf_is_a_newton_step() {
    // Two values, one question: the leaves are -T(G) / (H + l2) by hand.
    let features = Array2::from_shape_fn((40, 1), |(row, _)| if row < 16 { 0.0 } else { 1.0 });
    let y: Vec<f64> = (0..40).map(|row| if row < 16 { 3.0 } else { -1.0 }).collect();
    let settings = BoostedTrees {
        objective: Objective::Squared,
        rounds: 1,
        min_rows_per_leaf: 1,
        learning_rate: 0.5,
        l1: 2.0,
        l2: 4.0,
        ..Default::default()
    };
    let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    let constant = (16.0 * 3.0 - 24.0) / 40.0;
    let gradients = [16.0 * (constant - 3.0), 24.0 * (constant + 1.0)];
    let expected = [0.5 * (-gradients[0] - 2.0) / 20.0, -0.5 * (gradients[1] - 2.0) / 28.0];
    let [tree] = model.trees() else { panic!("{} trees", model.trees().len()) };
    for (leaf, expected) in tree.leaves().iter().zip(expected) {
        assert!((leaf.value - expected).abs() < 1e-8, "{} and {expected}", leaf.value);
    }
    assert_eq!(tree.splits()[0].question, Question::AtMost(0.5));
    let gain = (gradients[0].abs() - 2.0).powi(2) / 20.0 + (gradients[1].abs() - 2.0).powi(2) / 28.0;
    assert!((tree.splits()[0].gain - gain).abs() < 1e-6);
}

#[test]
fn missing_values_find_their_side() {
    let n = 2000;
    let features = Array2::from_shape_fn((n, 1), |(row, _)| if row % 4 == 0 { f32::NAN } else { (row % 97) as f32 });
    for high_is_missing in [true, false] {
        let y: Vec<f64> = features
            .column(0)
            .iter()
            .map(|x| if x.is_nan() { f64::from(u8::from(high_is_missing)) } else { f64::from(u8::from(*x > 50.0)) })
            .collect();
        let settings = BoostedTrees { objective: Objective::Squared, rounds: 60, ..Default::default() };
        let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
        let predicted = model.predict(features.view()).unwrap();
        assert!(predicted.iter().zip(&y).all(|(p, y)| (p - y).abs() < 0.01));
        assert_eq!(model.trees()[0].leaves().len(), 2, "one question is enough");
    }
    // Only whether it is missing tells.
    let y: Vec<f64> = features.column(0).iter().map(|x| f64::from(u8::from(x.is_nan()))).collect();
    let model = BoostedTrees { max_leaves: 2, rounds: 90, objective: Objective::Squared, ..Default::default() }
        .fit_rows(features.view(), Targets::of(&y), None)
        .unwrap();
    assert!(model.predict(features.view()).unwrap().iter().zip(&y).all(|(p, y)| (p - y).abs() < 0.01));
}

#[test]
fn columns_that_tell_nothing_do_no_harm() {
    let plain = rows(2000);
    let y = labels(Objective::Logistic, &plain);
    let settings = BoostedTrees { rounds: 10, ..Default::default() };
    let expected = settings.fit_rows(plain.view(), Targets::of(&y), None).unwrap();
    let mut wide = Array2::zeros((2000, 9));
    for (to, from) in [(1, 0), (2, 1), (4, 2), (5, 3), (6, 4), (7, 0), (8, 3)] {
        wide.column_mut(to).assign(&plain.column(from)); // 0 is constant, 3 missing, 7 and 8 are there twice
    }
    wide.column_mut(3).fill(f32::NAN);
    let model = settings.fit_rows(wide.view(), Targets::of(&y), None).unwrap();
    assert_eq!(model.raw(wide.view()).unwrap(), expected.raw(plain.view()).unwrap());
    let importance = model.importance();
    assert!([0, 3, 7, 8].iter().all(|column| importance[*column] == Importance::default()));
    assert_eq!(Binned::fit(wide.view(), &[], 255, None).unwrap().usable(), [1, 2, 4, 5, 6, 7, 8]);
    let empty = Array2::from_shape_fn((50, 2), |(_, column)| if column == 0 { 3.0 } else { f32::NAN });
    let error = settings.fit_rows(empty.view(), Targets::of(&y[..50]), None).unwrap_err();
    assert!(matches!(error, FitError::NoUsableFeatures { features: 2 }));
}

#[test]
fn few_rows_and_few_positives_give_a_model() {
    let features = rows(1000);
    for n in [2, 10, 39] {
        let few = features.slice(ndarray::s![..n, ..]);
        let y: Vec<f64> = (0..n).map(|row| f64::from(u8::from(row == 0))).collect();
        let model = BoostedTrees::default().fit_rows(few, Targets::of(&y), None).unwrap();
        assert!(model.trees().is_empty(), "fewer than twice 20 rows are one leaf");
        assert!((model.predict(features.view()).unwrap()[0] - 1.0 / n as f64).abs() < 1e-12);
    }
    let y: Vec<f64> = (0..1000).map(|row| f64::from(u8::from(row < 2))).collect();
    let model = BoostedTrees::default().fit_rows(features.view(), Targets::of(&y), None).unwrap();
    let predicted = model.predict(features.view()).unwrap();
    assert!(predicted.iter().all(|p| *p > 0.0 && *p < 1.0));
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let features = rows(100);
    let ones = vec![1.0; 100];
    let fit = |objective, labels: &[f64]| {
        settings(objective).fit_rows(features.view(), Targets::of(labels), None).unwrap_err()
    };
    assert!(matches!(fit(Objective::Logistic, &ones), FitError::SingleClass { rows: 100, label: true }));
    assert!(matches!(fit(Objective::Poisson, &[0.0; 100]), FitError::SingleClass { rows: 100, label: false }));
    let mut bad = ones.clone();
    bad[7] = -1.0;
    for objective in [Objective::Logistic, Objective::Poisson, Objective::Tweedie { power: 1.5 }, Objective::Gamma] {
        assert!(matches!(fit(objective, &bad), FitError::BadLabel { row: 7, .. }), "{objective:?}");
    }
    bad[7] = f64::NAN;
    for objective in OBJECTIVES {
        assert!(matches!(fit(objective, &bad), FitError::BadLabel { row: 7, .. }), "{objective:?}");
    }
    assert!(matches!(fit(Objective::Gamma, &[0.0; 100]), FitError::BadLabel { row: 0, .. }));
    assert!(matches!(fit(Objective::Tweedie { power: 2.0 }, &ones), FitError::BadParameter { name: "power", .. }));
    assert!(matches!(fit(Objective::Quantile { alpha: 0.0 }, &ones), FitError::BadParameter { name: "alpha", .. }));
    let mut infinite = features.clone();
    infinite[[31, 2]] = f32::NEG_INFINITY;
    let y = labels(Objective::Logistic, &features);
    let model = settings(Objective::Logistic);
    let error = model.fit_rows(infinite.view(), Targets::of(&y), None).unwrap_err();
    assert!(matches!(error, FitError::NonFinite { row: 31, column: 2, .. }));
    let fitted = model.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    assert!(matches!(fitted.raw(infinite.view()), Err(FitError::NonFinite { row: 31, column: 2, .. })));
    assert!(matches!(
        fitted.raw(features.slice(ndarray::s![.., ..3])),
        Err(FitError::WrongWidth { expected: 5, got: 3 })
    ));
    let offset = vec![f64::INFINITY; 100];
    let error = model.fit_rows(features.view(), Targets::of(&y).offset_by(&offset), None).unwrap_err();
    assert!(matches!(error, FitError::BadOffset { row: 0, .. }));
    let weights = vec![0.0; 100];
    let error = model.fit_rows(features.view(), Targets::of(&y).weighted(&weights), None).unwrap_err();
    assert!(matches!(error, FitError::NoRows));
    let binned = Binned::fit(features.view(), &[], 255, None).unwrap();
    let other = Binned::fit(rows(90).view(), &[], 9, None).unwrap();
    let error = model.fit_binned(&binned, Targets::of(&y), Some((&other, Targets::of(&y[..90])))).unwrap_err();
    assert!(matches!(error, FitError::OtherCutPoints));
    let error =
        BoostedTrees { learning_rate: 0.0, ..model }.fit_rows(features.view(), Targets::of(&y), None).unwrap_err();
    assert!(matches!(error, FitError::BadParameter { name: "learning_rate", .. }));
    let far = settings(Objective::Gamma).fit_rows(features.view(), Targets::of(&ones).offset_by(&[-800.0; 100]), None);
    assert!(matches!(far, Err(FitError::Diverged { round: 0 })));
}

#[test]
fn one_class_among_validation_rows_is_a_loss_like_any_other() {
    let features = rows(500);
    let y = labels(Objective::Logistic, &features);
    let settings = BoostedTrees { early_stopping_rounds: Some(3), ..settings(Objective::Logistic) };
    for label in [0.0, 1.0] {
        let held_out = vec![label; 500];
        let model =
            settings.fit_rows(features.view(), Targets::of(&y), Some((features.view(), Targets::of(&held_out))));
        assert!(model.unwrap().validation_losses().iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn cuts_are_between_values_and_about_equally_full() {
    let many = Array2::from_shape_fn((20_000, 2), |(row, column)| {
        let u = uniform(row as u64);
        if column == 0 {
            (8.0 * u).exp() as f32
        } else if u < 0.5 {
            0.0
        } else {
            u as f32
        }
    });
    let binned = Binned::fit(many.view(), &[], 100, None).unwrap();
    for column in 0..2 {
        let cuts = binned.cuts(column).unwrap();
        assert!(cuts.len() <= 99 && cuts.len() >= 95, "{}", cuts.len());
        assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
        let mut counts = vec![0; cuts.len() + 1];
        many.column(column).iter().for_each(|value| counts[cuts.partition_point(|cut| cut < value)] += 1);
        let first = usize::from(column == 1); // half of the rows are 0: they have a bin for themselves
        assert!(column == 0 || counts[0] == many.column(1).iter().filter(|value| **value == 0.0).count());
        let mean = counts[first..].iter().sum::<usize>() as f64 / (counts.len() - first) as f64;
        assert!(counts[first..].iter().all(|count| (*count as f64 - mean).abs() <= 0.1 * mean), "{counts:?}");
    }
    let few = Array2::from_shape_fn((300, 1), |(row, _)| [-0.0, 1.0, 0.0, 4.0][row % 4]);
    let binned = Binned::fit(few.view(), &[], 255, None).unwrap();
    assert_eq!(binned.cuts(0).unwrap(), [0.5, 2.5]);
}

#[test]
fn constrained_columns_only_rise_or_fall() {
    let features = rows(3000);
    for objective in OBJECTIVES {
        // The labels rise with column 0, fall with column 1, and column 4 is noise.
        let y = labels(objective, &features);
        for monotone in [vec![1, -1, 0, 0, 1], vec![-1, 1, 0, 0, -1]] {
            let settings = BoostedTrees { monotone: monotone.clone(), ..settings(objective) };
            let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
            for column in [0, 1, 4] {
                // From 0 to 1 in a hundred steps, as to the other columns like each of sixty rows.
                let sweep = Array2::from_shape_fn((60 * 101, 5), |(at, other)| {
                    if other == column { (at % 101) as f32 / 100.0 } else { features[[at / 101, other]] }
                });
                let scores = model.raw(sweep.view()).unwrap();
                for scores in scores.as_slice().unwrap().chunks(101) {
                    for pair in scores.windows(2) {
                        let rise = f64::from(monotone[column]) * (pair[1] - pair[0]);
                        assert!(rise >= -1e-12, "{objective:?}, column {column}: {rise}");
                    }
                }
            }
        }
        let free = settings(objective).fit_rows(features.view(), Targets::of(&y), None).unwrap();
        let sweep = Array2::from_shape_fn((101, 5), |(step, at)| if at == 4 { step as f32 / 100.0 } else { 0.5 });
        let scores = free.raw(sweep.view()).unwrap();
        assert!(scores.as_slice().unwrap().windows(2).any(|pair| pair[0] > pair[1]), "the constraint was at work");
    }
    let bad = BoostedTrees { monotone: vec![2, 0, 0, 0, 0], ..Default::default() };
    let y = labels(Objective::Logistic, &features);
    let error = bad.fit_rows(features.view(), Targets::of(&y), None).unwrap_err();
    assert!(matches!(error, FitError::BadParameter { name: "monotone", .. }));
}

#[test]
fn categories_are_parted_by_what_they_do_not_by_their_number() {
    // Twenty categories whose effect has nothing to do with their order, and some rows without one.
    let n = 6000;
    let effect = |category: u64| if uniform(category + 7) < 0.5 { -1.0 } else { 1.0 };
    let features = Array2::from_shape_fn((n, 2), |(row, column)| {
        let u = uniform((2 * row + column) as u64);
        if column == 1 || u > 0.95 { [f32::NAN, u as f32][column] } else { (u * 20.0 / 0.95).floor() as f32 * 3.0 }
    });
    let y: Vec<f64> = features.column(0).iter().map(|c| if c.is_nan() { 3.0 } else { effect(*c as u64) }).collect();
    let settings = BoostedTrees {
        objective: Objective::Squared,
        rounds: 1,
        learning_rate: 1.0,
        max_leaves: 3,
        ..Default::default()
    };
    let with = BoostedTrees { categorical: vec![0], ..settings.clone() };
    let model = with.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    let predicted = model.predict(features.view()).unwrap();
    assert!(predicted.iter().zip(&y).all(|(p, y)| (p - y).abs() < 1e-6), "two questions part the three groups");
    assert!(model.trees()[0].splits().iter().all(|split| matches!(split.question, Question::OneOf(_))));
    let without = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap().predict(features.view()).unwrap();
    assert!(without.iter().zip(&y).any(|(p, y)| (p - y).abs() > 0.3));
    // One that was never seen goes with those without one.
    let unseen = model.predict(ndarray::array![[f32::NAN, 0.5], [1.0, 0.5], [600.0, 0.5], [-4.0, 0.5]].view()).unwrap();
    assert!(unseen.iter().all(|p| *p == unseen[0]) && (unseen[0] - 3.0).abs() < 1e-6, "{unseen}");
    // Codes and values agree on every row, also with more categories than bins, numeric columns beside them, and noise.
    let many = Array2::from_shape_fn((n, 2), |(row, column)| {
        let u = uniform((3 * row + column) as u64);
        if column == 0 { (u * u * 900.0).floor() as f32 } else { u as f32 }
    });
    let y: Vec<f64> = many.rows().into_iter().map(|row| effect(row[0] as u64) + f64::from(row[1])).collect();
    let settings =
        BoostedTrees { objective: Objective::Squared, categorical: vec![0], max_bins: 40, ..Default::default() };
    let targets = Targets::of(&y);
    let model = settings.fit_rows(many.view(), targets, Some((many.view(), targets))).unwrap();
    let loss = mean_loss(Objective::Squared, &model.raw(many.view()).unwrap(), &y);
    let last = *model.validation_losses().last().unwrap();
    assert!((loss - last).abs() < 1e-12, "{loss} {last}");
    assert!(last < 0.8 * model.validation_losses()[0]);
    let error = BoostedTrees { categorical: vec![2], ..settings }.fit_rows(many.view(), targets, None).unwrap_err();
    assert!(matches!(error, FitError::BadParameter { name: "categorical", .. }));
}
