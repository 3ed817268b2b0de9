//! Why: the reasons beside a prediction are those of the models that made it, and those of the night are nearly the exact ones.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};
use bellwether::bundle::{Bundle, Contributions, Detail, FittedTarget, TargetRows};
use bellwether::config::TargetKind;
use bellwether::features::{FeatureTable, Lexicon, RowRequest, Sweep};
use bellwether::lists::Lists;
use bellwether::pipeline::{Reading, read_timelines};
use bellwether::progress::Silent;
use bellwether::timeline::{Budget, History, Timelines};

use super::shop::{Scores, Trial, run, shop};

const COLUMNS: [(&str, &str, TargetKind); 2] = [
    ("reasons", "churn_probability_90d", TargetKind::Absence),
    ("value_reasons", "predicted_value_90d", TargetKind::Amount),
];

fn target(base: &Trial, kind: TargetKind) -> &FittedTarget {
    let targets = &base.fitted.bundle.parameters.targets;
    targets.iter().find(|fitted| fitted.target.kind == kind && !fitted.target.per_group).unwrap()
}

fn timelines(base: &Trial) -> Timelines {
    let events = [base.events.display().to_string()];
    let rejects = base.folder.path().join("reasons.ndjson");
    let config = &base.fitted.bundle.manifest.config;
    let (none, budget) = (Lists::default(), Budget::default());
    let reading =
        Reading { as_of: Some(base.as_of), rejects: Some(&rejects), ..Reading::new(&events, config, &none, &budget) };
    read_timelines(&reading, &Silent).unwrap().0
}

/// Contributions to the first column of a target, by customer.
fn contributions(
    base: &Trial,
    timelines: &Timelines,
    kind: TargetKind,
    detail: Detail,
) -> BTreeMap<String, (Contributions, usize)> {
    let (parameters, fitted) = (&base.fitted.bundle.parameters, target(base, kind));
    let sweep = Sweep::new(&parameters.plans[fitted.plan], timelines);
    let place = sweep_place(base, fitted, "tenure_days");
    let mut all = BTreeMap::new();
    for index in 0..timelines.parts() {
        let part = timelines.part(index).unwrap();
        let table = FeatureTable::build_part(index, &part, &sweep, &[RowRequest { as_of: base.as_of, share: 1.0 }]);
        let histories = |model: usize| -> Vec<Option<History>> {
            let reader = parameters.occurrences[model].subject.reader(&timelines.vocabularies);
            table.keys.iter().map(|key| reader.history(part.timeline(key.customer as usize), base.as_of)).collect()
        };
        let tenure: Vec<f32> = table.view().column(place).to_vec();
        let rows = TargetRows::new(parameters, fitted, table.view(), &tenure, &histories, base.as_of).unwrap();
        let found = fitted.contributions(parameters, 0, &rows, &histories, detail).unwrap();
        for (row, key) in table.keys.iter().enumerate() {
            all.insert(part.id(key.customer as usize).to_string(), (found.clone(), row));
        }
    }
    all
}

fn sweep_place(base: &Trial, fitted: &FittedTarget, name: &str) -> usize {
    let features = base.fitted.bundle.parameters.plans[fitted.plan].features();
    features.iter().position(|feature| feature.name == name).unwrap()
}

/// What each idea adds, the strongest first.
fn ideas(base: &Trial, fitted: &FittedTarget, found: &Contributions, row: usize) -> Vec<(String, f64)> {
    let lexicon = Lexicon::new(&base.fitted.bundle.parameters.plans[fitted.plan], "");
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (source, contribution) in found.sources.iter().zip(found.contributions.row(row)) {
        *sums.entry(lexicon.words(source, None).idea).or_default() += contribution;
    }
    let mut sums: Vec<(String, f64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    sums
}

#[test]
fn reasons_are_what_the_models_that_predicted_add() {
    let base = shop();
    let timelines = timelines(base);
    for (column, prediction, kind) in COLUMNS {
        let fitted = target(base, kind);
        let lexicon = Lexicon::new(&base.fitted.bundle.parameters.plans[fitted.plan], "");
        let lists = base.scores.column(column).as_list::<i32>();
        let (ids, predictions) = (base.scores.ids(), base.scores.numbers(prediction));
        let known = contributions(base, &timelines, kind, Detail::Approximate);
        for row in (0..ids.len()).step_by(7) {
            assert_eq!(
                lists.is_valid(row),
                predictions[row].is_some(),
                "{column}, {}: null as the prediction is",
                ids[row]
            );
            if predictions[row].is_none() {
                continue;
            }
            let (found, place) = &known[ids[row]];
            let want = ideas(base, fitted, found, *place);
            let entries = lists.value(row);
            let entries = entries.as_struct();
            let names: Vec<&str> = entries.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["feature", "value", "effect", "direction", "text"]);
            let text = |name: &str| entries.column_by_name(name).unwrap().as_string::<i32>();
            let effects = entries.column_by_name("effect").unwrap().as_primitive::<Float64Type>();
            let values = entries.column_by_name("value").unwrap().as_primitive::<Float32Type>();
            assert_eq!(entries.len(), 3, "{column}, {}", ids[row]);
            let mut seen = BTreeSet::new();
            for entry in 0..entries.len() {
                let (name, effect) = (text("feature").value(entry), effects.value(entry));
                let source = found.sources.iter().position(|source| source.name == name).expect("a source");
                let idea = lexicon.words(&found.sources[source], None).idea;
                let (_, sum) = want.iter().find(|(other, _)| *other == idea).unwrap();
                // Rounded to four digits after the point, and one more for sums in another order.
                assert!((effect - sum).abs() < 6e-5, "{column}, {}: {idea} {effect} {sum}", ids[row]);
                assert!(
                    (effect.abs() - want[entry].1.abs()).abs() < 2e-4,
                    "{column}, {}: the strongest come first",
                    ids[row]
                );
                // Silence has one name, whichever feature tells it.
                let speaks = found.contributions[[*place, source]] * effect > 0.0;
                assert!(speaks || name == "days_since_last_order", "{column}: {name} speaks as its idea does");
                assert_eq!(text("direction").value(entry), if effect > 0.0 { "raises" } else { "lowers" });
                let value = found.values[[*place, source]];
                assert_eq!(values.is_valid(entry), !value.is_nan());
                let told = if value.is_nan() { 0.0 } else { values.value(entry) - value };
                assert_eq!(told, 0.0, "{column}, {}: {name}", ids[row]);
                assert!(!text("text").value(entry).is_empty());
                assert!(seen.insert(idea), "{column}, {}: one reason says one thing", ids[row]);
            }
        }
    }
}

#[test]
fn reasons_of_the_night_are_nearly_the_exact_ones() {
    let base = shop();
    let timelines = timelines(base);
    for (column, _, kind) in COLUMNS {
        let fitted = target(base, kind);
        let [fast, exact] =
            [Detail::Approximate, Detail::Exact].map(|detail| contributions(base, &timelines, kind, detail));
        let (mut first, mut shared, mut signs, mut rows) = (0.0, 0.0, 0.0, 0.0);
        for (id, (found, row)) in fast.iter().step_by(5) {
            let (other, other_row) = &exact[id];
            let (got, want) = (ideas(base, fitted, found, *row), ideas(base, fitted, other, *other_row));
            rows += 1.0;
            first += f64::from(u8::from(want[..3].iter().any(|(idea, _)| *idea == got[0].0)));
            for (idea, effect) in &got[..3] {
                let exactly = want.iter().find(|(other, _)| other == idea).unwrap().1;
                signs += f64::from(u8::from(exactly * effect > 0.0)) / 3.0;
                shared += f64::from(u8::from(want[..3].iter().any(|(other, _)| other == idea))) / 3.0;
            }
        }
        let [first, shared, signs] = [first, shared, signs].map(|sum| sum / rows);
        // The exact ones tell apart what a buy-till-you-die model makes of recency, frequency, tenure and money; of the night they
        // are one or two. Of some thirty ideas, three by chance would share a tenth.
        assert!(first > 0.75 && shared > 0.5 && signs > 0.85, "{column}: {first} {shared} {signs}");
    }
}

#[test]
fn a_bundle_without_a_reference_predicts_the_same_and_has_reasons() {
    let base = shop();
    let mut bundle = Bundle::load(&base.models).unwrap();
    assert!(bundle.parameters.targets.iter().all(|fitted| fitted.reference.is_some()));
    bundle.parameters.targets.iter_mut().for_each(|fitted| fitted.reference = None);
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = bundle.save(&folder.path().join("models")).unwrap();
    let parameters = std::fs::read_to_string(path.join("parameters.json")).unwrap();
    assert!(!parameters.contains("\"reference\""), "as an earlier release wrote it");
    let (_, partition) = run(&path, &base.events, Some(base.as_of), &folder.path().join("scores")).unwrap();
    let scores = Scores::read(&partition);
    for (column, prediction, _) in COLUMNS {
        assert_eq!(scores.numbers(prediction), base.scores.numbers(prediction), "explaining changes no prediction");
        let lists = scores.column(column).as_list::<i32>();
        assert_eq!(lists.null_count(), base.scores.column(column).null_count());
        let told = (0..lists.len()).filter(|&row| lists.value_length(row) > 0).count();
        assert_eq!(told, lists.len() - lists.null_count(), "{column}");
    }
}
