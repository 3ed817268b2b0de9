//! Later proof: the figures of `realised.json` are those of the events themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bellwether::time::{DAY_MICROS, Day};
use serde_json::Value;

use super::shop::{Event, HORIZON, SCORE, done, json, numbers, read, shop, texts, tree};

/// Orders of each customer in `[day, day + horizon)`: distinct order ids, and the money of purchase events.
fn happened(events: &[Event], day: Day, horizon: i32) -> BTreeMap<String, (BTreeSet<String>, f64)> {
    let (start, end) = (day.start_micros(), day.plus(horizon).start_micros());
    let mut orders: BTreeMap<String, (BTreeSet<String>, f64)> = BTreeMap::new();
    let inside = events.iter().filter(|event| event.event == "purchase" && (start..end).contains(&event.time));
    for event in inside {
        let entry = orders.entry(event.customer.clone()).or_default();
        if !event.value.is_nan() {
            entry.1 += event.value;
        }
        if event.value.is_nan() || event.value > 0.0 {
            let day = event.time.div_euclid(DAY_MICROS);
            entry.0.insert(format!("{day} {}", event.order.clone().unwrap_or_default()));
        }
    }
    orders
}

/// Pairs in the right order, ties half.
fn auc(labels: &[bool], scores: &[f64]) -> f64 {
    let (mut ordered, mut pairs) = (0.0, 0.0);
    for i in (0..labels.len()).filter(|&i| labels[i]) {
        for j in (0..labels.len()).filter(|&j| !labels[j]) {
            pairs += 1.0;
            ordered += if scores[i] > scores[j] {
                1.0
            } else if scores[i] == scores[j] {
                0.5
            } else {
                0.0
            };
        }
    }
    ordered / pairs
}

fn metric(outcome: &Value, name: &str) -> f64 {
    let metrics = outcome["metrics"].as_array().unwrap();
    let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("{name}"));
    metric["value"].as_f64().unwrap()
}

fn column<'a>(realised: &'a Value, name: &str) -> &'a Value {
    let columns = realised["columns"].as_array().unwrap();
    columns.iter().find(|column| column["column"] == name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn the_next_run_after_a_window_judges_it_by_what_happened() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let criteria = "[[segment]]\nname = \"likely\"\nwhere = \"churn_percentile >= 60\"\n";
    fs::write(here.join("segments.toml"), criteria).unwrap();
    done(SCORE, here, &shop.line(day, "--out scores --segments segments.toml"));
    let partition = here.join(format!("scores/as_of={day}"));
    let written = tree(&partition);
    let realised = partition.join("realised.json");

    // Windows of 30 days have passed, those of 60 have not.
    done(SCORE, here, &shop.line(day.plus(29), "--out scores"));
    assert!(!realised.exists());
    done(SCORE, here, &shop.line(day.plus(30), "--out scores"));
    let partly = json(&realised);
    assert_eq!(partly["complete"], false);
    assert_eq!(partly["columns"].as_array().unwrap().len(), 3, "three categories");
    done(SCORE, here, &shop.line(day.plus(HORIZON), "--out scores"));
    let found = json(&realised);
    assert_eq!(found["complete"], true);
    assert_eq!(found["columns"].as_array().unwrap().len(), 6);
    // What was judged first stays as it was, in the order of the columns.
    for judged in partly["columns"].as_array().unwrap() {
        assert_eq!(column(&found, judged["column"].as_str().unwrap()), judged);
    }
    let mut beside = tree(&partition);
    beside.remove(std::path::Path::new("realised.json")).unwrap();
    assert!(beside == written, "the partition itself is as it was");

    let rows = read(&partition.join("part-00000.parquet"));
    let ids: Vec<String> = texts(&rows, "customer_id").into_iter().map(Option::unwrap).collect();
    let stages = texts(&rows, "lifecycle_stage");
    let known_at = day.plus(HORIZON).start_micros();
    let events: Vec<Event> =
        shop.all_events().into_iter().filter(|event| event.time.max(event.received) < known_at).collect();
    let outcomes = happened(&events, day, HORIZON);
    let bought = |id: &String| outcomes.get(id).is_some_and(|(orders, _)| !orders.is_empty());
    let probabilities = numbers(&rows, "churn_probability_60d");
    let factors = numbers(&rows, "churn_factor");
    let judge = |include: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..ids.len()).filter(|&row| probabilities[row].is_some() && include(row)).collect();
        let labels: Vec<bool> = rows.iter().map(|&row| !bought(&ids[row])).collect();
        let scores: Vec<f64> = rows.iter().map(|&row| probabilities[row].unwrap()).collect();
        (rows, labels, scores)
    };
    let agrees = |outcome: &Value, include: &dyn Fn(usize) -> bool| {
        let (rows, labels, scores) = judge(include);
        assert_eq!(outcome["rows"].as_u64(), Some(rows.len() as u64));
        let positives = labels.iter().filter(|label| **label).count() as f64;
        assert_eq!(outcome["actual"].as_f64(), Some(positives));
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        close(outcome["predicted"].as_f64().unwrap(), scores.iter().sum());
        let squares = labels.iter().zip(&scores).map(|(&label, p)| (p - f64::from(u8::from(label))).powi(2));
        close(metric(outcome, "brier"), squares.sum::<f64>() / rows.len() as f64);
        close(metric(outcome, "calibration_ratio"), positives / scores.iter().sum::<f64>());
        if positives > 0.0 && positives < rows.len() as f64 {
            close(metric(outcome, "roc_auc"), auc(&labels, &scores));
        }
    };
    let churn = column(&found, "churn_probability_60d");
    agrees(&churn["all"], &|_| true);
    let by_stage = churn["stages"].as_object().unwrap();
    assert!(by_stage.len() >= 3, "{:?}", by_stage.keys());
    for (stage, outcome) in by_stage {
        agrees(outcome, &|row| stages[row].as_deref() == Some(stage));
    }
    let percentiles = numbers(&rows, "churn_percentile");
    agrees(&churn["segments"]["likely"], &|row| percentiles[row].is_some_and(|percentile| percentile >= 60.0));
    let (rows_of_all, labels, _) = judge(&|_| true);
    let factor: Vec<f64> = rows_of_all.iter().map(|&row| factors[row].unwrap()).collect();
    assert!((churn["baseline_roc_auc"].as_f64().unwrap() - auc(&labels, &factor)).abs() < 1e-9);
    assert_eq!(churn["deciles"].as_array().unwrap().len(), 10);
    assert!(metric(&churn["all"], "roc_auc") > 0.6, "the model knows something");

    let value = column(&found, "predicted_value_60d");
    let predicted = numbers(&rows, "predicted_value_60d");
    let spent = |id: &String| outcomes.get(id).map_or(0.0, |(_, value)| *value);
    let errors = ids.iter().zip(&predicted).map(|(id, predicted)| (predicted.unwrap() - spent(id)).abs());
    let mae = errors.sum::<f64>() / ids.len() as f64;
    assert!((metric(&value["all"], "mae") / mae - 1.0).abs() < 1e-6, "labels are single-precision");
    let orders = column(&found, "predicted_orders_60d");
    let count: usize = ids.iter().map(|id| outcomes.get(id).map_or(0, |(orders, _)| orders.len())).sum();
    assert_eq!(orders["all"]["actual"].as_f64(), Some(count as f64));

    // The manifest of the run that found it has the summary; the first had an estimate, named so.
    let last = json(&here.join(format!("scores/as_of={}/manifest.json", day.plus(HORIZON))));
    let summary = &last["realised"]["churn_probability_60d"];
    assert_eq!(summary["as_of"], day.to_string());
    assert_eq!(summary["roc_auc"].as_f64().unwrap(), metric(&churn["all"], "roc_auc"));
    assert_eq!(last["realised"]["predicted_value_60d"]["mae"].as_f64().unwrap(), metric(&value["all"], "mae"));
    let first = json(&partition.join("manifest.json"));
    assert!(first["realised"].as_object().unwrap().is_empty());
    let estimate = &first["estimates"]["churn_probability_60d"];
    let known: Vec<f64> = probabilities.iter().flatten().copied().collect();
    let brier = known.iter().map(|p| p * (1.0 - p)).sum::<f64>() / known.len() as f64;
    assert!((estimate["estimated_brier"].as_f64().unwrap() - brier).abs() < 1e-12);
    let auc = estimate["estimated_roc_auc"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&auc), "{auc}");

    // A rerun of the old day replaces it whole; the proof is made again by the next run.
    done(SCORE, here, &shop.line(day, "--out scores --segments segments.toml"));
    assert!(tree(&partition) == written);
    done(SCORE, here, &shop.line(day.plus(HORIZON), "--out scores"));
    assert_eq!(column(&json(&realised), "churn_probability_60d")["all"], churn["all"]);
}

#[test]
fn the_history_is_printed_and_drawn() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (first, last) = (shop.fitted_at(), shop.fitted_at().plus(2));
    let line = format!(
        "run --quiet --bundle {} --events {} --backfill {first}..{last} --out scores",
        shop.models().display(),
        shop.events()
    );
    done(SCORE, here, &line);
    let told = done(SCORE, here, "realised --scores scores").out;
    assert!(told.contains("No window of any partition has passed"), "{told}");
    assert!(told.contains("Estimates, not proof") && told.contains("ROC AUC about"), "{told}");

    // Judged without a run, and the same as a run would have found.
    let by_hand = format!(
        "realised --quiet --scores scores --bundle {} --events {} --as-of {} --html history.html",
        shop.models().display(),
        shop.events(),
        last.plus(HORIZON)
    );
    let told = done(SCORE, here, &by_hand).out;
    for day in 0..=2 {
        assert!(told.contains(&first.plus(day).to_string()), "{told}");
    }
    for words in ["churn_probability_60d: no order in the 60 days", "ROC AUC", "baseline", "calibration", "value ratio"]
    {
        assert!(told.contains(words), "no {words} in {told}");
    }
    assert!(told.contains("  stage active") && told.contains("lift of the best 10 %"), "{told}");
    assert!(!told.contains("Estimates"), "all is known: {told}");
    let page = fs::read_to_string(here.join("history.html")).unwrap();
    assert!(page.matches("<svg").count() >= 8, "{} plots", page.matches("<svg").count());
    assert!(!page.contains("<script") && page.ends_with("</html>\n"));
    let by_hand = json(&here.join(format!("scores/as_of={first}/realised.json")));
    fs::remove_file(here.join(format!("scores/as_of={first}/realised.json"))).unwrap();
    done(SCORE, here, &shop.line(last.plus(HORIZON), "--out scores"));
    let by_run = json(&here.join(format!("scores/as_of={first}/realised.json")));
    assert_eq!(by_hand, by_run);
    let json = done(SCORE, here, "realised --scores scores --json").json();
    assert_eq!(json["realised"].as_array().unwrap().len(), 3);
}

/// Nights of a year.
const NIGHTS: i32 = 365;

/// A year of nights on a bundle that is not refitted: every gate is quiet, and what was predicted is what happened.
#[test]
fn a_year_of_nights_keeps_its_word() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("gates.toml"), "[gates]\nmax_age_days = 0\n").unwrap();
    let (first, last) = (shop.fitted_at(), shop.day(super::shop::FITTED + NIGHTS - 1));
    let line = format!(
        "run --quiet --bundle {} --events {} --backfill {first}..{last} --out scores",
        shop.models().display(),
        shop.events()
    );
    done(SCORE, here, &line);
    // The night after the last window judges all that the nights themselves could not yet.
    done(SCORE, here, &shop.line(last.plus(HORIZON), "--out scores --gates gates.toml"));
    let (mut ratios, mut aucs) = (Vec::new(), Vec::new());
    for night in 0..NIGHTS {
        let realised = json(&here.join(format!("scores/as_of={}/realised.json", first.plus(night))));
        let churn = column(&realised, "churn_probability_60d");
        aucs.push([metric(&churn["all"], "roc_auc"), churn["baseline_roc_auc"].as_f64().unwrap()]);
        ratios.push(metric(&churn["all"], "calibration_ratio"));
    }
    // Some 500 buyers and a rate of about 0.7: one night has a standard error of 3 %, and nights within 60 days share their
    // customers' outcomes, so that the mean over a year has about 1.5 %.
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    assert!((mean - 1.0).abs() < 0.08, "{mean}: {ratios:?}");
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 0.2), "{ratios:?}");
    let [auc, baseline] = [0, 1].map(|which| aucs.iter().map(|pair| pair[which]).sum::<f64>() / aucs.len() as f64);
    eprintln!("over a year: calibration {mean:.3}, ROC AUC {auc:.3}, baseline {baseline:.3}");
    assert!(auc > 0.6 && auc > baseline - 0.02, "{auc} {baseline}");
}
