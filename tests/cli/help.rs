//! Help, settings and the catalogue: what is understood, and what is told of what is not.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{SCORE, TRAIN, bundle, done, fitted, misused, refused, run, same_tree, tree};

#[test]
fn every_command_has_help_with_examples_and_just_these_flags() {
    let common = ["help", "json", "log", "quiet", "threads", "version"];
    let commands: [(&str, &str, &[&str]); 17] = [
        (TRAIN, "", &[]),
        (
            TRAIN,
            "fit",
            &[
                "as-of",
                "attributes",
                "budget",
                "config",
                "dry-run",
                "events",
                "export-features",
                "forget",
                "id-map",
                "memory",
                "out",
                "print-config",
                "rejects",
                "spill-dir",
                "trials",
            ],
        ),
        (
            TRAIN,
            "build",
            &["as-of", "attributes", "config", "double", "dry-run", "events", "memory", "out", "rejects", "spill-dir"],
        ),
        (
            TRAIN,
            "backtest",
            &[
                "as-of",
                "attributes",
                "config",
                "cutoffs",
                "events",
                "forget",
                "id-map",
                "memory",
                "rejects",
                "spill-dir",
                "step-days",
            ],
        ),
        (TRAIN, "check", &["config", "events"]),
        (TRAIN, "features", &["as-of", "attributes", "bundle", "config", "events", "memory", "spill-dir"]),
        (
            TRAIN,
            "clv",
            &[
                "as-of",
                "config",
                "covariates",
                "events",
                "holdout-days",
                "horizon-days",
                "leave-covariates",
                "memory",
                "model",
                "order-covariates",
                "out",
                "period",
                "rejects",
                "spill-dir",
                "table",
                "unit",
                "yearly-rate",
            ],
        ),
        (TRAIN, "simulate", &["customers", "days", "dirty-share", "late-share", "out", "seed", "start"]),
        (TRAIN, "demo", &["customers", "root"]),
        (SCORE, "", &[]),
        (
            SCORE,
            "run",
            &[
                "as-of",
                "attributes",
                "backfill",
                "bundle",
                "category-lift",
                "category-top",
                "events",
                "exclusions",
                "force",
                "forget",
                "format",
                "gates",
                "id-map",
                "max-gap",
                "memory",
                "metrics",
                "out",
                "rejects",
                "segments",
                "segments-out",
                "spill-dir",
                "store",
                "with-features",
            ],
        ),
        (SCORE, "segment", &["as-of", "out", "scores", "segments"]),
        (
            SCORE,
            "realised",
            &["as-of", "bundle", "events", "forget", "html", "id-map", "memory", "scores", "segments-out", "spill-dir"],
        ),
        (
            SCORE,
            "diff",
            &[
                "attributes",
                "bundle",
                "column",
                "events",
                "forget",
                "from",
                "id-map",
                "memory",
                "scores",
                "spill-dir",
                "to",
                "top",
            ],
        ),
        (
            SCORE,
            "explain",
            &[
                "against",
                "as-of",
                "attributes",
                "bundle",
                "column",
                "customer",
                "events",
                "exclusions",
                "features",
                "forget",
                "id-map",
                "scores",
                "store",
                "top",
            ],
        ),
        (SCORE, "forget", &["forget", "models", "rejects", "scores", "segments-out", "store"]),
        (SCORE, "store", &["memory", "spill-dir", "store"]),
    ];
    let here = tempfile::tempdir().unwrap();
    for (program, command, own) in commands {
        let help = done(program, here.path(), &format!("{command} --help"));
        assert_eq!(help.err, "", "help goes to stdout");
        let name = Path::new(program).file_stem().unwrap().to_str().unwrap();
        assert!(help.out.contains(&format!("\nExamples:\n  {name} {command}")), "{}", help.out);
        let (flags, examples) = help.out.split_once("\nExamples:").unwrap();
        let mut found: Vec<&str> = flags
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-') && line.contains("--")) // possible values are listed after one dash
            .map(|line| line.split_once("--").unwrap().1.split([' ', '.']).next().unwrap())
            .collect();
        found.sort_unstable();
        let mut expected = [&common[..], own].concat();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name} {command}");
        if command.is_empty() {
            for code in 0..=5 {
                assert!(examples.contains(&format!("{code} ")), "exit code {code} in {examples}");
            }
        }
        for line in help.out.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert_eq!(done(program, here.path(), &format!("{command} -h")).err, "");
        let version = done(program, here.path(), &format!("{command} --version")).out;
        let dash = if command.is_empty() { "" } else { "-" };
        assert_eq!(version, format!("{name}{dash}{command} {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert!(tree(here.path()).is_empty(), "help writes nothing");
}

#[test]
fn the_examples_in_the_help_are_understood() {
    let here = tempfile::tempdir().unwrap(); // where none of the files is: refused, but not for the flags
    for (program, commands) in [
        (TRAIN, &["", "fit", "backtest", "check", "features", "build", "clv"][..]),
        (SCORE, &["", "run", "segment", "realised", "diff", "explain", "forget", "store"]),
    ] {
        let name = Path::new(program).file_stem().unwrap().to_str().unwrap();
        for command in commands {
            let help = done(program, here.path(), &format!("{command} --help")).out;
            let (_, examples) = help.split_once("\nExamples:\n").unwrap();
            let mut tried = 0;
            for line in examples.lines().filter_map(|line| line.trim().strip_prefix(name)) {
                let line = line.split("   ").next().unwrap().split(" > ").next().unwrap().replace('\'', "");
                if line.trim() == "demo" {
                    continue; // tried below
                }
                let ended = run(program, here.path(), &line);
                assert!(!ended.err.contains("Usage:"), "{line}\n{}", ended.err);
                tried += 1;
            }
            assert!(tried >= 2, "{help}");
        }
    }
}

#[test]
fn wrong_flags_and_dates_end_with_code_2_and_say_what_was_meant() {
    misused(TRAIN, "fit", &["--events"]);
    misused(TRAIN, "fitt --events shop.csv", &["fitt", "'fit'"]);
    misused(TRAIN, "fit --events shop.csv --asof 2024-12-31", &["--asof", "'--as-of'"]);
    misused(TRAIN, "fit --events shop.csv --as-of 2024-13-01", &["2024-13-01", "no date", "2026-08-21"]);
    misused(TRAIN, "fit --events shop.csv --as-of 2023-02-29", &["2023-02-29", "no date"]);
    misused(TRAIN, "fit --events shop.csv --as-of 31.12.2024", &["31.12.2024", "no date"]);
    misused(TRAIN, "build --events shop.csv --memory lots", &["--memory", "`lots` is no size", "1GiB"]);
    misused(TRAIN, "build --events shop.csv --memory 64MiB", &["--memory", "at least 256.0 MiB"]);
    misused(TRAIN, "build --events shop.csv --spill-dir tmp", &["--memory"]);
    misused(TRAIN, "fit --events shop.csv --threads 0", &["--threads", "1..=1024"]);
    misused(TRAIN, "simulate --customers many", &["--customers", "many"]);
    misused(SCORE, "run --events shop.csv", &["--bundle"]);
    misused(SCORE, "run --bundle models --events shop.csv --max-gap -1", &["-1"]);
    misused(SCORE, "segment --segments segments.toml", &["--as-of"]);
    let here = tempfile::tempdir().unwrap();
    for program in [TRAIN, SCORE] {
        let ended = run(program, here.path(), "");
        assert_eq!((ended.code, ended.out.as_str()), (2, ""));
        assert!(ended.err.contains("Examples:"), "without a command: the help, on stderr");
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let here = tempfile::tempdir().unwrap();
    for (line, key) in [
        ("simulate --customers 0 --out shop", "customers"),
        ("simulate --customers 10 --days 0 --out shop", "days"),
        ("simulate --customers 10 --late-share 5 --out shop", "late_share"),
    ] {
        let ended = run(TRAIN, here.path(), line);
        assert_eq!(ended.code, 2, "{line}");
        assert!(ended.err.contains(&format!("`{key}` must be ")), "{line}\n{}", ended.err);
    }
    assert!(tree(here.path()).is_empty());
}

#[test]
fn print_config_is_the_manual_and_is_read_back() {
    let here = tempfile::tempdir().unwrap();
    let manual = done(TRAIN, here.path(), "fit --print-config").out;
    assert!(manual.contains("max_reject_share = 0.01") && manual.contains("# "), "{manual}");
    fs::write(here.path().join("shop.toml"), manual.replace("cutoffs = 6", "cutoffs = 4")).unwrap();
    let merged = done(TRAIN, here.path(), "fit --print-config --config shop.toml").out;
    assert!(merged.contains("cutoffs = 4"), "{merged}");
}

#[test]
fn features_are_listed_of_a_manual_of_events_and_of_a_bundle() {
    let folder = fitted();
    let here = folder.path();
    let before = tree(here);
    let list = |line: &str| -> Vec<Value> { done(TRAIN, here, line).json().as_array().unwrap().clone() };
    let names = |features: &[Value]| -> Vec<String> {
        features.iter().map(|feature| feature["name"].as_str().unwrap().to_string()).collect()
    };

    let manual = list("features --json");
    let find = |name: &str| manual.iter().find(|feature| feature["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(find("<kind>s_category_<category>_7d")["family"], "affinity");
    assert_eq!(find("channel_share_<channel>")["unit"], "share");
    assert_eq!(find("spend_90d")["columns"], serde_json::json!(["ts", "event", "value"]));
    assert!(find("tenure_days")["note"].as_str().unwrap().contains("first event"));
    let printed = done(TRAIN, here, "features").out;
    for name in names(&manual) {
        assert_eq!(printed.lines().filter(|line| line.split_whitespace().next() == Some(&name)).count(), 1, "{name}");
    }
    assert!(printed.ends_with(&format!("\n{} features\n", manual.len())), "{printed}");

    let of_bundle = list("features --bundle models --json");
    let manifest: Value = serde_json::from_slice(&fs::read(bundle(here).join("manifest.json")).unwrap()).unwrap();
    assert_eq!(Value::Array(of_bundle.clone()), manifest["features"]);
    // The shop has one kind of event and dates alone.
    assert!(names(&of_bundle).iter().all(|name| !name.contains("session") && !name.contains('<')));
    let as_of = manifest["as_of"].as_str().unwrap();
    assert_eq!(list(&format!("features --events shop.csv --as-of {as_of} --json --quiet")), of_bundle);

    fs::write(here.join("few.toml"), "[features]\ninclude = [\"spend_*\"]\nexclude = [\"*_trend_*\"]").unwrap();
    let few = names(&list("features --events shop.csv --config few.toml --json"));
    let wanted = |name: &String| name.starts_with("spend_") && !name.contains("_trend_");
    assert_eq!(few, names(&of_bundle).into_iter().filter(wanted).collect::<Vec<String>>());
    fs::remove_file(here.join("few.toml")).unwrap();
    same_tree(&before, &tree(here), "features");

    fs::write(here.join("odd.toml"), "[features]\ninclude = [\"spent_90d\"]").unwrap();
    refused(
        TRAIN,
        here,
        "features --events shop.csv --config odd.toml",
        2,
        None,
        &["\"spent_90d\"", "`[features] include`", "did you mean `spend_90d`?"],
    );
    fs::write(here.join("odd.toml"), "[features]\ninclude = [\"[\"]").unwrap();
    let error = run(TRAIN, here, "features --events shop.csv --config odd.toml");
    assert!(error.code == 2 && error.err.contains("`features.include` must be patterns"), "{}", error.err);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("shop.toml"), "[events]\norder_evnt = \"sale\"\n").unwrap();
    let words = ["shop.toml: unknown key `events.order_evnt`", "Nothing was", "did you mean `events.order_event`?"];
    for command in ["fit --out models", "check"] {
        let (command, out) = command.split_once(' ').unwrap_or((command, ""));
        refused(TRAIN, here, &format!("{command} --events shop.csv --config shop.toml {out}"), 2, None, &words);
    }
    let missing = &["shop.tom", "cannot read the configuration"];
    refused(TRAIN, here, "fit --events shop.csv --config shop.tom --out models", 2, None, missing);
}
