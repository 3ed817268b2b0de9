//! What an operator's tools read: logs as JSON, metrics for Prometheus, and exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::shop::{SCORE, TRAIN, done, json, run, shop};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_json_log_has_one_object_a_line_and_says_the_same() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let line = shop.line(day, "--out scores").replace("--quiet", "");
    let text = done(SCORE, here, &line);
    let logged = done(SCORE, here, &format!("{line} --log json"));
    assert_eq!(logged.out, text.out, "the result is the same");
    let log = lines(&logged.err);
    assert!(log.iter().all(|line| line["level"].is_string() && line["event"].is_string()), "{}", logged.err);
    let stages: Vec<&str> =
        log.iter().filter(|line| line["event"] == "stage").map(|line| line["message"].as_str().unwrap()).collect();
    for stage in ["reading events", "scoring", "writing scores"] {
        assert!(stages.contains(&stage), "{stages:?}");
        assert!(text.err.contains(stage), "{}", text.err);
    }
    let scored = log.iter().find(|line| line["event"] == "scored").unwrap();
    assert_eq!((&scored["as_of"], &scored["gates"]), (&day.to_string().into(), &"passed".into()));
    assert_eq!(scored["partition"], format!("scores/as_of={day}"));

    // Warnings and errors are lines, too, even when the rest is quiet.
    let late = shop.line(shop.day(640), "--out scores --max-gap 0 --log json").replace(&shop.events(), "nowhere.csv");
    let ended = run(SCORE, here, &late);
    assert_eq!(ended.code, Some(2));
    let log = lines(&ended.err);
    assert_eq!((log.len(), &log[0]["level"], &log[0]["exit_code"]), (1, &"error".into(), &2.into()));
    let ended = run(TRAIN, here, "fit --events nowhere.csv --log json --quiet");
    assert_eq!(lines(&ended.err)[0]["level"], "error");
}

/// Samples by name and labels; the text must be what Prometheus reads.
fn samples(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind, "gauge");
            assert!(types.insert(name.to_string(), ()).is_none(), "{name} twice");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(types.contains_key(name), "no type of {name}");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_'), "{name}");
            assert!(samples.insert(series.to_string(), value.parse().unwrap()).is_none(), "{series} twice");
        }
    }
    samples
}

#[test]
fn metrics_are_those_of_the_manifest_or_tell_why_there_is_none() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let file = here.join("bellwether.prom");
    done(SCORE, here, &shop.line(day, "--out scores --metrics bellwether.prom"));
    let metrics = samples(&file);
    let manifest = json(&here.join(format!("scores/as_of={day}/manifest.json")));
    assert_eq!(metrics["bellwether_run_exit_code"], 0.0);
    let as_of = format!("bellwether_partition_as_of_timestamp_seconds{{bundle_id=\"{}\"}}", shop.bundle_id());
    assert_eq!(metrics[&as_of], f64::from(day.0) * 86_400.0);
    for (status, rows) in manifest["rows_by_status"].as_object().unwrap() {
        assert_eq!(Some(metrics[&format!("bellwether_rows{{status=\"{status}\"}}")]), rows.as_f64());
    }
    assert_eq!(Some(metrics["bellwether_expected_churners"]), manifest["expected_churners"].as_f64());
    let mean = metrics["bellwether_prediction_mean{column=\"churn_probability_60d\"}"];
    assert_eq!(Some(mean), manifest["means"]["churn_probability_60d"].as_f64());
    assert_eq!(metrics["bellwether_gate_missed{gate=\"max_gap_days\"}"], 0.0);
    assert_eq!(metrics["bellwether_gate_limit{gate=\"max_age_days\"}"], 400.0);

    let gates = "[gates]\nmax_age_days = 5\n";
    fs::write(here.join("gates.toml"), gates).unwrap();
    let ended = run(SCORE, here, &shop.line(day.plus(6), "--out scores --gates gates.toml --metrics bellwether.prom"));
    assert_eq!(ended.code, Some(5), "{}", ended.err);
    let metrics = samples(&file);
    assert_eq!(metrics["bellwether_run_exit_code"], 5.0);
    assert_eq!(metrics["bellwether_run_refused{reason=\"bundle_too_old\"}"], 1.0);
    assert_eq!(metrics["bellwether_run_refused_figure{name=\"max_age_days\"}"], 6.0);
    assert_eq!(metrics["bellwether_run_refused_figure{name=\"max_age_days_limit\"}"], 5.0);

    let ended = run(SCORE, here, &shop.line(day, "--out scores --metrics nowhere/x.prom"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("nowhere"), "{}", ended.err);
}
