use ndarray::{Array1, Array2, Axis};

use super::*;

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
    let offset: Vec<f64> = (0..3000).map(uniform).collect();
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
