//! Gates: quiet on healthy data, and each fires on what it is for.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use bellwether::bundle::Bundle;
use bellwether::report::Role;
use bellwether::time::DAY_MICROS;
use serde_json::Value;

use super::shop::{Ended, SCORE, done, json, run, shop, tree};

/// Refused with exit code 5, this reason and these words; nothing is written, and the JSON has figure and limit.
fn missed(here: &Path, line: &str, reason: &str, gate: &str, words: &[&str]) -> Ended {
    let before = tree(&here.join("scores"));
    let ended = run(SCORE, here, line);
    assert_eq!(ended.code, Some(5), "{line}\n{}", ended.err);
    for word in words.iter().chain(&[reason, "hint: ", "`--force`", "No partition was written", "exit code 5"]) {
        assert!(ended.err.contains(word), "no `{word}` in {}", ended.err);
    }
    let error = run(SCORE, here, &format!("{line} --json")).json();
    assert_eq!((error["exit_code"].as_i64(), error["reason"].as_str()), (Some(5), Some(reason)));
    let figure = |name: &str| error["figures"][name].as_f64().unwrap_or_else(|| panic!("{name} in {error}"));
    assert!((figure(gate) - figure(&format!("{gate}_limit"))).abs() > 1e-9, "{error}");
    assert!(tree(&here.join("scores")) == before, "{line}");
    ended
}

fn gate<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    let checks = manifest["gates"]["checks"].as_array().unwrap();
    checks.iter().find(|gate| gate["name"] == name).unwrap_or_else(|| panic!("{name} in {checks:?}"))
}

/// Events with their values times `factor`, and without those for which `leaves_out` holds.
fn altered(batch: RecordBatch, factor: f64, leaves_out: impl Fn(&str, i64) -> bool) -> RecordBatch {
    let times = batch.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
    let kinds = super::shop::texts(&batch, "event");
    let keep: BooleanArray =
        (0..batch.num_rows()).map(|row| Some(!leaves_out(kinds[row].as_deref().unwrap(), times.value(row)))).collect();
    let values: Float64Array =
        batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().unary(|v| v * factor);
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let is_value = field.name() == "value";
        (field.name().clone(), if is_value { Arc::new(values.clone()) as ArrayRef } else { column.clone() })
    });
    filter_record_batch(&RecordBatch::try_from_iter(columns).unwrap(), &keep).unwrap()
}

#[test]
fn no_gate_fires_on_two_healthy_months() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (first, last) = (shop.fitted_at(), shop.day(super::shop::FITTED + 60));
    let line = format!(
        "run --quiet --bundle {} --events {} --backfill {first}..{last} --out scores --json",
        shop.models().display(),
        shop.events()
    );
    let told = done(SCORE, here, &line).json();
    let nights = told.as_array().unwrap();
    assert_eq!(nights.len(), 61);
    for (night, told) in nights.iter().enumerate() {
        let manifest = &told["manifest"];
        assert_eq!(manifest["gates"]["verdict"], "passed");
        let checks = manifest["gates"]["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 8, "{checks:?}");
        // All are looked at, from the second night on.
        for gate in checks.iter().filter(|_| night > 0) {
            assert_eq!(gate["verdict"], "passed", "night {night}: {gate}");
        }
        // Expected churners are the sum of the probabilities, and columns have their drift.
        assert_eq!(manifest["expected_churners"], manifest["totals"]["churn_probability_60d"]);
        assert_eq!(manifest["expected_value"], manifest["totals"]["predicted_value_60d"]);
        let drift = manifest["drift"]["columns"].as_object().unwrap();
        assert!(drift["churn_probability_60d"]["training"].is_number());
        assert!(drift["days_since_last_order"]["training"].is_number());
        assert_eq!(drift["days_since_last_order"]["last"].is_number(), night > 0);
    }
    // On the day of the fit nothing has moved since the fit: the same customers, the same values.
    let first = nights[0]["manifest"]["drift"]["columns"].as_object().unwrap();
    for (column, drift) in first {
        assert!(drift["training"].as_f64().unwrap() < 1e-12, "{column}: {drift}");
    }
}

#[test]
fn events_that_stop_too_early_miss_a_gate() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let last = shop.day(420);
    let cut = last.start_micros();
    let events = shop.changed(&here.join("events"), |batch| altered(batch, 1.0, |_, time| time >= cut));
    let line = |day: i32, more: &str| shop.line(shop.day(day), more).replace(&shop.events(), &events);
    let as_of = format!("`--as-of {last}`");
    missed(
        here,
        &line(423, "--out scores"),
        "no_recent_data",
        "max_gap_days",
        &["the 3 days before the scoring date have no events", &as_of, "`--max-gap 3`"],
    );
    missed(here, &line(423, "--out scores --max-gap 2"), "no_recent_data", "max_gap_days", &["--max-gap 3"]);
    done(SCORE, here, &line(423, "--out scores --max-gap 3"));
    let manifest = json(&here.join(format!("scores/as_of={}/manifest.json", shop.day(423))));
    assert_eq!(manifest["gates"]["verdict"], "passed");
    // Settings may allow it, too, in the place of those that the bundle keeps.
    fs::write(here.join("gates.toml"), "[gates]\nmax_gap_days = 3\n").unwrap();
    done(SCORE, here, &line(423, "--out scores --gates gates.toml"));
}

#[test]
fn an_event_type_that_stops_coming_misses_a_gate() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.day(440);
    // Of the views of the last week all but the first hours are missing: that feed has stopped, everything else goes on.
    let cut = day.start_micros() - 7 * DAY_MICROS + DAY_MICROS / 4;
    let events =
        shop.changed(&here.join("events"), |batch| altered(batch, 1.0, |kind, time| kind == "view" && time >= cut));
    let line = shop.line(day, "--out scores").replace(&shop.events(), &events);
    missed(here, &line, "volume_collapsed", "min_volume_ratio", &["`view` came on", "in a usual week"]);
    let ended = done(SCORE, here, &format!("{line} --force"));
    assert!(ended.err.contains("warning: Written by --force: `view` came"), "{}", ended.err);
    let manifest = json(&here.join(format!("scores/as_of={day}/manifest.json")));
    assert_eq!(manifest["gates"]["verdict"], "forced");
    assert_eq!(gate(&manifest, "min_volume_ratio")["verdict"], "missed");
    assert!(manifest["warnings"].to_string().contains("Written by --force"), "{}", manifest["warnings"]);
}

#[test]
fn another_currency_misses_a_gate() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.day(402);
    done(SCORE, here, &shop.line(day.plus(-1), "--out scores"));
    let events = shop.changed(&here.join("events"), |batch| altered(batch, 100.0, |_, _| false));
    let line = shop.line(day, "--out scores").replace(&shop.events(), &events);
    let words = ["`predicted_value_60d` has moved most since the fit: PSI", "train anew"];
    missed(here, &line, "drifted", "max_psi", &words);
    done(SCORE, here, &format!("{line} --force"));
    let manifest = json(&here.join(format!("scores/as_of={day}/manifest.json")));
    for against in ["max_psi", "max_psi_since_last"] {
        assert_eq!(gate(&manifest, against)["verdict"], "missed", "{against}");
    }
    let drift = &manifest["drift"]["columns"];
    assert!(drift["spend"]["last"].as_f64().unwrap() > 1.0, "{}", drift["spend"]);
    assert!(drift["orders"]["last"].as_f64().is_none_or(|psi| psi < 0.1), "{}", drift["orders"]);
}

#[test]
fn old_bundles_and_bad_models_miss_a_gate() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.day(411);
    fs::write(here.join("gates.toml"), "[gates]\nmax_age_days = 10\n").unwrap();
    let words = ["the bundle has seen nothing of the last 11 days", "train anew"];
    missed(here, &shop.line(day, "--out scores --gates gates.toml"), "bundle_too_old", "max_age_days", &words);
    done(SCORE, here, &shop.line(day.plus(-1), "--out scores --gates gates.toml"));
    fs::write(here.join("gates.toml"), "[gates]\nmax_age = 10\n").unwrap();
    let ended = run(SCORE, here, &shop.line(day, "--out scores --gates gates.toml"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("unknown key `gates.max_age`"), "{}", ended.err);

    // A bundle whose model of churn was judged worse than the baseline, beyond doubt.
    let mut bundle = Bundle::load(&shop.models()).unwrap();
    let churn = bundle.report.targets.iter_mut().find(|target| target.name == "churn_probability_60d").unwrap();
    for model in churn.models.iter_mut().filter(|model| model.role == Role::Chosen) {
        let auc = model.metrics.iter_mut().find(|metric| metric.name == "roc_auc").unwrap();
        (auc.value, auc.low, auc.high) = (Some(0.55), Some(0.53), Some(0.57));
    }
    bundle.save(&here.join("bad")).unwrap();
    let line = shop.line(day, "--out scores").replace(&shop.models().display().to_string(), "bad");
    let words = ["the model of `churn_probability_60d` is worse than a baseline", "roc_auc of the model 0.5500"];
    missed(here, &line, "worse_than_baseline", "max_below_baseline", &words);
    // Both at once are told at once.
    fs::write(here.join("gates.toml"), "[gates]\nmax_age_days = 10\n").unwrap();
    let words = ["; one gate more missed", "worse_than_baseline", "11 days"];
    missed(here, &format!("{line} --gates gates.toml"), "bundle_too_old", "max_age_days", &words);
}

/// Settings and files that a release before this one did not know.
#[test]
fn a_bundle_of_an_earlier_release_is_scored_without_drift() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut bundle = Bundle::load(&shop.models()).unwrap();
    (bundle.distributions, bundle.customers) = (None, None);
    let (_, path) = bundle.save(&here.join("models")).unwrap();
    let manifest = path.join("manifest.json");
    let mut text = fs::read_to_string(&manifest).unwrap();
    for table in ["gates", "lists"] {
        let start = text.find(&format!("    \"{table}\": {{")).unwrap();
        let end = start + text[start..].find("    }").unwrap() + "    }".len();
        text.replace_range(start..end, "");
    }
    // The commas around what was taken out.
    let text = text.replace(",\n,\n", "").replace(",\n\n  }", "\n  }");
    let content = text[..text.find("  \"seal\": \"").unwrap()].to_string();
    let seal = blake3::hash(content.as_bytes()).to_hex();
    fs::write(&manifest, format!("{content}  \"seal\": \"{seal}\"\n}}\n")).unwrap();
    let day = shop.fitted_at();
    let line = shop.line(day, "--out scores").replace(&shop.models().display().to_string(), "models");
    done(SCORE, here, &line);
    let manifest = json(&here.join(format!("scores/as_of={day}/manifest.json")));
    assert_eq!(gate(&manifest, "max_psi")["verdict"], "not_applicable");
    assert_eq!(gate(&manifest, "max_psi")["note"], "the bundle keeps no distributions");
    assert_eq!(gate(&manifest, "max_age_days")["limit"], 400.0, "the defaults");
    fs::write(here.join("forget.csv"), "customer_id\nnobody\n").unwrap();
    let told = done(SCORE, here, "forget --forget forget.csv --scores scores --models models");
    assert!(told.out.contains("of an earlier release: it does not say"), "{}", told.out);
}
