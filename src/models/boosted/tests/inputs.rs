use ndarray::Array2;

use super::*;

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
