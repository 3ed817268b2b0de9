use ndarray::{Array1, Array2, ArrayView1};

use super::*;
use crate::models::blocks::{BLOCK, Blocks};

/// Files of LightGBM 4.7.0 with its own predictions for some rows; tests/reference/lightgbm_files.py made them.
const FILES: [(&str, &str, &str); 7] = [
    ("binary", include_str!("../lightgbm_files/binary.txt"), include_str!("../lightgbm_files/binary.json")),
    ("poisson", include_str!("../lightgbm_files/poisson.txt"), include_str!("../lightgbm_files/poisson.json")),
    ("tweedie", include_str!("../lightgbm_files/tweedie.txt"), include_str!("../lightgbm_files/tweedie.json")),
    ("gamma", include_str!("../lightgbm_files/gamma.txt"), include_str!("../lightgbm_files/gamma.json")),
    ("quantile", include_str!("../lightgbm_files/quantile.txt"), include_str!("../lightgbm_files/quantile.json")),
    (
        "zero_as_missing",
        include_str!("../lightgbm_files/zero_as_missing.txt"),
        include_str!("../lightgbm_files/zero_as_missing.json"),
    ),
    ("no_missing", include_str!("../lightgbm_files/no_missing.txt"), include_str!("../lightgbm_files/no_missing.json")),
];

/// What LightGBM says of rows.
#[derive(serde::Deserialize)]
struct Said {
    rows: Vec<Vec<Option<f32>>>,
    raw: Vec<f64>,
    predictions: Vec<f64>,
    contributions: Vec<Vec<f64>>,
}

fn close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{what}: {got} and {expected}");
}

#[test]
fn files_of_lightgbm_predict_what_it_predicts() {
    for (name, text, said) in FILES {
        let said: Said = serde_json::from_str(said).unwrap();
        let rows =
            Array2::from_shape_fn((said.rows.len(), 4), |(row, column)| said.rows[row][column].unwrap_or(f32::NAN));
        let model = BoostedModel::from_lightgbm(text).unwrap();
        let (raw, predicted) = (model.raw(rows.view()).unwrap(), model.predict(rows.view()).unwrap());
        let contributions = model.contributions(rows.view()).unwrap();
        for row in 0..said.rows.len() {
            close(raw[row], said.raw[row], name);
            close(predicted[row], said.predictions[row], name);
            for (got, expected) in contributions.row(row).iter().zip(&said.contributions[row]) {
                close(*got, *expected, name);
            }
        }
        // Written by us and read again it is the same model, and its JSON as well.
        let names: Vec<String> = (0..4).map(|column| format!("a column {column}")).collect();
        let again = BoostedModel::from_lightgbm(&model.to_lightgbm(&names).unwrap()).unwrap();
        assert_eq!(again, model, "{name}");
        assert_eq!(serde_json::from_str::<BoostedModel>(&serde_json::to_string(&model).unwrap()).unwrap(), model);
    }
    let objectives = FILES.map(|(_, text, _)| BoostedModel::from_lightgbm(text).unwrap().objective());
    assert_eq!(objectives[2], Objective::Tweedie { power: 1.4 });
    assert_eq!(objectives[4], Objective::Quantile { alpha: 0.8 });
}

#[test]
fn our_models_survive_the_format() {
    let features = rows(1500);
    for objective in OBJECTIVES {
        for rounds in [0, 25] {
            let y = labels(objective, &features);
            let settings = BoostedTrees { rounds, categorical: vec![2], ..settings(objective) };
            let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
            let names: Vec<String> = (0..5).map(|column| format!("f{column}")).collect();
            let read = BoostedModel::from_lightgbm(&model.to_lightgbm(&names).unwrap()).unwrap();
            assert_eq!(read.objective(), objective);
            let (ours, theirs) = (model.raw(features.view()).unwrap(), read.raw(features.view()).unwrap());
            ours.iter().zip(&theirs).for_each(|(ours, theirs)| close(*theirs, *ours, "read again"));
            assert!(model.to_lightgbm(&names[..3]).is_err());
        }
    }
}

#[test]
fn texts_that_are_no_model_are_refused_by_name() {
    let (_, good, _) = FILES[0];
    let read = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        BoostedModel::from_lightgbm(&good.replacen(from, to, 1)).unwrap_err()
    };
    let error = read("objective=binary sigmoid:1", "objective=lambdarank");
    assert_eq!(error, LightGbmError::UnknownObjective { found: "lambdarank".into() });
    assert_eq!(error.to_string(), "LightGBM objective `lambdarank` is not known");
    assert!(crate::error::Explain::hints(&error)[0].contains("poisson"));
    assert!(matches!(read("sigmoid:1", "sigmoid:2"), LightGbmError::Unsupported { .. }));
    assert!(matches!(read("num_class=1", "num_class=3"), LightGbmError::Unsupported { .. }));
    assert!(matches!(read("is_linear=0", "is_linear=1"), LightGbmError::Unsupported { .. }));
    assert!(matches!(read("label_index=0", "average_output"), LightGbmError::Unsupported { .. }));
    assert!(matches!(read("version=v4", "version=v9"), LightGbmError::UnknownVersion { .. }));
    assert!(matches!(read("tree\n", "{\"learner\":{}}\n"), LightGbmError::NotAModel { .. }));
    assert!(matches!(BoostedModel::from_lightgbm(""), Err(LightGbmError::NotAModel { .. })));
    assert!(matches!(read("left_child=-1 2 -2 -3", "left_child=-1 0 -2 -3"), LightGbmError::NoTree { tree: 0 }));
    assert!(matches!(read("left_child=-1 2 -2 -3", "left_child=-1 9 -2 -3"), LightGbmError::NoTree { tree: 0 }));
    let short = read("left_child=-1 2 -2 -3", "left_child=-1 2 -2");
    assert_eq!(short.to_string(), "tree 0: `left_child` is `-1 2 -2`");
    assert!(matches!(read("split_feature=1 0", "split_feature=7 0"), LightGbmError::BadValue { tree: Some(0), .. }));
    assert!(matches!(read("num_leaves=5", "num_leaves=x"), LightGbmError::BadValue { key: "num_leaves", .. }));
    assert!(matches!(read("num_leaves=5", "num_leaves=0"), LightGbmError::BadValue { .. }));
    assert!(matches!(read("leaf_count", "leaf_number"), LightGbmError::MissingKey { key: "leaf_count", .. }));
    assert!(matches!(read("cat_boundaries=0 1", "cat_boundaries=1 0"), LightGbmError::BadValue { .. }));
    let (_, tweedie, _) = FILES[2];
    let error = BoostedModel::from_lightgbm(tweedie.split("\nparameters:").next().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "`tweedie_variance_power` is missing");
}

/// The expected score of a tree when only the columns in `known` are known: each other question is answered both ways, by shares of rows.
fn expected(tree: &Tree, at: Child, row: ArrayView1<f32>, known: usize) -> f64 {
    let rows_at = |child| match child {
        Child::Split(at) => tree.splits()[at].rows as f64,
        Child::Leaf(at) => tree.leaves()[at].rows as f64,
    };
    let split = match at {
        Child::Leaf(leaf) => return tree.leaves()[leaf].value,
        Child::Split(split) => &tree.splits()[split],
    };
    let below = split.children.map(|child| expected(tree, child, row, known));
    if known >> split.feature & 1 == 1 {
        below[usize::from(!split.is_left(row[split.feature].into()))]
    } else {
        let rows = split.children.map(rows_at);
        (rows[0] * below[0] + rows[1] * below[1]) / (rows[0] + rows[1])
    }
}

#[test] // Shapley (1953): the mean over all orders of what a player adds, by all 2^5 coalitions
fn contributions_are_shapley_values() {
    let features = rows(800);
    let factorial = |n: usize| (1..=n).product::<usize>() as f64;
    for objective in [Objective::Logistic, Objective::Gamma] {
        let y = labels(objective, &features);
        let settings = BoostedTrees { rounds: 6, max_leaves: 12, categorical: vec![2], ..settings(objective) };
        let model = settings.fit_rows(features.view(), Targets::of(&y), None).unwrap();
        let some = features.slice(ndarray::s![..25, ..]);
        let contributions = model.contributions(some).unwrap();
        let raw = model.raw(some).unwrap();
        for (at, row) in some.rows().into_iter().enumerate() {
            let value =
                |known| -> f64 { model.trees().iter().map(|tree| expected(tree, tree.root(), row, known)).sum() };
            for column in 0..5 {
                let mut shapley = 0.0;
                for others in (0usize..32).filter(|others| others >> column & 1 == 0) {
                    let size = others.count_ones() as usize;
                    let share = factorial(size) * factorial(4 - size) / factorial(5);
                    shapley += share * (value(others | 1 << column) - value(others));
                }
                close(contributions[[at, column]], shapley, "a SHAP value");
            }
            close(contributions[[at, 5]], model.constant() + value(0), "the expected score");
            close(contributions.row(at).sum(), raw[at], "the sum");
        }
        let approximate = model.approximate_contributions(some).unwrap();
        for at in 0..25 {
            close(approximate.row(at).sum(), raw[at], "the sum of the approximate ones");
            close(approximate[[at, 5]], contributions[[at, 5]], "the expected score");
        }
        assert!(approximate != contributions);
    }
}

#[test]
fn approximate_contributions_follow_the_path() {
    // A tree of two questions: the means of the nodes are taken from the rows by hand.
    let (_, text, _) = FILES[1];
    let model = BoostedModel::from_lightgbm(text).unwrap();
    let row = Array2::from_elem((1, 4), 0.2f32);
    let got = model.approximate_contributions(row.view()).unwrap();
    let mut by_hand = Array1::<f64>::zeros(5);
    for tree in model.trees() {
        by_hand[4] += expected(tree, tree.root(), row.row(0), 0);
        let mut at = tree.root();
        while let Child::Split(split) = at {
            let split = &tree.splits()[split];
            let next = split.children[usize::from(!split.is_left(0.2f32.into()))];
            by_hand[split.feature] += expected(tree, next, row.row(0), 0) - expected(tree, at, row.row(0), 0);
            at = next;
        }
    }
    got.row(0).iter().zip(&by_hand).for_each(|(got, by_hand)| close(*got, *by_hand, "a contribution"));
}

#[test]
fn damaged_models_are_refused() {
    let features = rows(500);
    let y = labels(Objective::Logistic, &features);
    let model =
        BoostedTrees { rounds: 2, ..Default::default() }.fit_rows(features.view(), Targets::of(&y), None).unwrap();
    let good = serde_json::to_string(&model).unwrap();
    let damaged = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        serde_json::from_str::<BoostedModel>(&good.replacen(from, to, 1)).is_err()
    };
    assert!(serde_json::from_str::<BoostedModel>(&good).unwrap() == model);
    assert!(damaged("\"columns\":5", "\"columns\":1"));
    assert!(damaged("\"left\":[", "\"left\":[0,"));
    assert!(damaged("\"leaf_rows\":[", "\"leaf_rows\":[1,"));
    let left = &good[good.find("\"left\":[").unwrap()..];
    let left = &left[..left.find(']').unwrap()];
    assert!(damaged(left, &left.replacen("[1", "[0", 1)), "a loop");
}

#[test]
fn importance_counts_splits_and_gains() {
    let features = rows(1000);
    let y = labels(Objective::Squared, &features);
    let model = settings(Objective::Squared).fit_rows(features.view(), Targets::of(&y), None).unwrap();
    let importance = model.importance();
    let splits: usize = model.trees().iter().map(|tree| tree.splits().len()).sum();
    assert_eq!(importance.iter().map(|column| column.splits).sum::<u64>(), splits as u64);
    assert!([0, 1, 2, 3].iter().all(|column| importance[*column].gain > importance[4].gain), "{importance:?}");
}

#[test]
fn trees_made_ready_for_many_rows_tell_the_same() {
    let rows = rows(300);
    let mut models: Vec<(BoostedModel, Array2<f32>)> = OBJECTIVES
        .map(|objective| {
            let labels = labels(objective, &rows);
            (settings(objective).fit_rows(rows.view(), Targets::of(&labels), None).unwrap(), rows.clone())
        })
        .into();
    // Categories, and zeros that count as missing, are asked about in another way.
    for (_, text, said) in FILES {
        let said: Said = serde_json::from_str(said).unwrap();
        let model = BoostedModel::from_lightgbm(text).unwrap();
        let cell = |(row, column): (usize, usize)| said.rows[row][column].unwrap_or(f32::NAN);
        let rows = Array2::from_shape_fn((said.rows.len(), 4), cell);
        models.push((model, rows));
    }
    // Many leaves: as many as a word of 32 bits has, more than that, and more than any word has.
    for max_leaves in [32, 50, 64, 90] {
        let labels = labels(Objective::Squared, &rows);
        let large = BoostedTrees { max_leaves, min_rows_per_leaf: 1, rounds: 5, ..settings(Objective::Squared) };
        let model = large.fit_rows(rows.view(), Targets::of(&labels), None).unwrap();
        assert_eq!(model.trees().iter().map(|tree| tree.leaves().len()).max(), Some(max_leaves));
        models.push((model, rows.clone()));
    }
    for (model, rows) in models {
        let (forest, mut answers) = (model.forest(), vec![[3; BLOCK]]);
        let blocks = Blocks::of(rows.view());
        let want = model.approximate_contributions(rows.view()).unwrap();
        let raw = model.raw(rows.view()).unwrap();
        for first in (0..rows.nrows()).step_by(BLOCK) {
            let sight = blocks.sight(first, &[]);
            let (mut scores, mut alone, mut changes) = ([0.0; BLOCK], [0.0; BLOCK], vec![[7.0; BLOCK]; 3]);
            forest.raw(&sight, &mut scores, Some(&mut changes), &mut answers);
            forest.raw(&sight, &mut alone, None, &mut answers);
            for (lane, row) in (first..rows.nrows()).enumerate().take(BLOCK) {
                assert_eq!((scores[lane], alone[lane]), (raw[row], raw[row]), "the same bits");
                let mut got = vec![0.0; model.columns()];
                let found = forest.columns().iter().zip(&changes);
                found.for_each(|(&column, changes)| got[column as usize] = changes[lane]);
                for (column, got) in got.into_iter().enumerate() {
                    close(got, want[[row, column]], "a contribution");
                }
                close(want[[row, model.columns()]], model.expected(), "what contributions start from");
            }
        }
    }
}

#[test]
fn the_mean_of_models_scores_as_they_do_in_the_mean() {
    let rows = rows(400);
    let y = labels(Objective::Poisson, &rows);
    let fit = |seed| {
        let settings = BoostedTrees { seed, row_fraction: 0.7, ..settings(Objective::Poisson) };
        settings.fit_rows(rows.view(), Targets::of(&y), None).unwrap()
    };
    let models: Vec<BoostedModel> = (1..4).map(fit).collect();
    let raw: Vec<Vec<f64>> = models.iter().map(|model| model.raw(rows.view()).unwrap().to_vec()).collect();
    assert!(raw[0] != raw[1], "other seeds see other rows");
    let expected = models.iter().map(BoostedModel::expected).sum::<f64>() / 3.0;
    let mean = BoostedModel::mean_of(models);
    let got = mean.raw(rows.view()).unwrap();
    for row in 0..400 {
        close(got[row], (raw[0][row] + raw[1][row] + raw[2][row]) / 3.0, "a mean");
    }
    close(mean.expected(), expected, "what contributions start from");
}
