//! The programs as a user types them: what they print and where, how they end, what they leave behind.

#[path = "cli/clv.rs"]
mod clv;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use assert_cmd::assert::OutputAssertExt;
use bellwether::storage::PartitionWriter;
use serde_json::Value;
use tempfile::TempDir;

const TRAIN: &str = env!("CARGO_BIN_EXE_bellwether-train");
const SCORE: &str = env!("CARGO_BIN_EXE_bellwether-score");

/// How a command ended.
#[derive(Debug, PartialEq)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not one JSON value: {error}\n{}", self.out))
    }
}

/// Runs a program in `folder`, with a line split at blanks.
fn run(program: &str, folder: &Path, line: &str) -> Ended {
    let assert = Command::new(program).current_dir(folder).args(line.split_whitespace()).assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ended = Ended { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!ended.out.contains('\x1b') && !ended.err.contains('\x1b'), "colour codes in a pipe: {ended:?}");
    ended
}

fn done(program: &str, folder: &Path, line: &str) -> Ended {
    let ended = run(program, folder, line);
    assert_eq!(ended.code, 0, "{line}\n{}", ended.err);
    ended
}

/// Every file and folder below `folder`, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(tree(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn same_tree(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{what}: other files");
    for (path, bytes) in before {
        assert!(after[path] == *bytes, "{what}: {} changed", path.display());
    }
}

/// A command that must be refused: with this code and reason, in these words, with a hint, as text and as JSON,
/// and with every byte below `folder` as it was.
fn refused(program: &str, folder: &Path, line: &str, code: i32, reason: Option<&str>, words: &[&str]) {
    let before = tree(folder);
    let text = run(program, folder, line);
    assert_eq!(text.code, code, "{line}\n{text:?}");
    assert_eq!(text.out, "", "{line}: nothing but results on stdout");
    let at = text.err.find("error: ").unwrap_or_else(|| panic!("{line}\n{}", text.err));
    let message = &text.err[at..];
    for word in words {
        assert!(message.contains(word), "{line}: no `{word}` in\n{message}");
    }
    assert!(message.contains("\nhint: "), "{line}: no hint in\n{message}");
    let untouched = ["Nothing", "nothing", "No bundle", "No partition", "No memberships"];
    assert!(untouched.iter().any(|word| message.contains(word)), "{line}: what is untouched?\n{message}");
    assert!(message.contains(&format!("(exit code {code}: ")), "{line}\n{message}");

    let json = run(program, folder, &format!("{line} --json --quiet"));
    assert_eq!(json.code, code, "{line} --json");
    let error = json.json();
    assert_eq!(error["exit_code"], code, "{line}");
    assert_eq!(error["reason"].as_str(), reason, "{line}");
    assert!(message.starts_with(&format!("error: {}\n", error["error"].as_str().unwrap())), "{line}");
    assert_ne!(error["hints"].as_array().unwrap().len(), 0, "{line}");
    if code == 3 || code == 5 {
        assert!(reason.is_some() && message.contains(reason.unwrap()), "{line}");
    }
    same_tree(&before, &tree(folder), line);
}

/// A command line that cannot be understood: exit code 2 before anything is done.
fn misused(program: &str, line: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let text = run(program, folder.path(), line);
    assert_eq!((text.code, text.out.as_str()), (2, ""), "{line}\n{}", text.err);
    for word in words {
        assert!(text.err.contains(word), "{line}: no `{word}` in\n{}", text.err);
    }
    assert!(text.err.contains("--help"), "{line}: what to type next?\n{}", text.err);
    let json = run(program, folder.path(), &format!("{line} --json"));
    assert_eq!((json.code, json.json()["exit_code"].as_i64()), (2, Some(2)), "{line} --json");
    assert!(text.err.contains(json.json()["error"].as_str().unwrap()), "{line}\n{}", text.err);
    assert!(tree(folder.path()).is_empty(), "{line}: something was written");
}

/// Day `day` of 2024, whose first is 0.
fn date(day: usize) -> String {
    bellwether::time::Day(19_723 + day as i32).to_string()
}

/// Events of a small shop over the year 2024: `customers` with one to nine orders and gaps of 5 to 44 days.
fn shop(customers: usize) -> String {
    let mut csv = String::from("customer_id,ts,value\n");
    for customer in 0..customers {
        for order in 0..=customer % 9 {
            let day = (customer * 7 + order * (5 + customer % 40)) % 365;
            writeln!(csv, "c{customer},{},{}", date(day), (customer * 13 + order * 7) % 50 + 1).unwrap();
        }
    }
    csv
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// A folder of one's own with `shop.csv`, a bundle in `models` and the partition of 2024-12-31 in `scores`.
fn fitted() -> TempDir {
    static FITTED: OnceLock<TempDir> = OnceLock::new();
    let fitted = FITTED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shop.csv"), shop(300)).unwrap();
        done(TRAIN, folder.path(), "fit --events shop.csv --out models");
        done(SCORE, folder.path(), "run --bundle models --events shop.csv --out scores");
        folder
    });
    let own = tempfile::tempdir().unwrap();
    copy(fitted.path(), own.path());
    own
}

fn bundle(folder: &Path) -> PathBuf {
    let id = fs::read_to_string(folder.join("models/current")).unwrap();
    folder.join("models").join(id.trim())
}

fn dataset(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {name} is not there");
    None
}

// ---------------------------------------------------------------------------------------------- help

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

// ------------------------------------------------------------------------------------ bad input

/// What is wrong with events in the same way for `fit` and for `run`.
#[test]
fn unusable_events_are_refused_and_leave_former_work_as_it_was() {
    let folder = fitted();
    let here = folder.path();
    let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
    write("empty.csv", "");
    write("headers.csv", "customer_id,ts,value\n");
    fs::create_dir(here.join("nothing")).unwrap();
    write("nothing/readme.md", "no events");
    write("missing.csv", "customer_id,value\na,1\n");
    write("doubled.csv", "customer_id,ts,ts\na,2024-01-01,2024-01-01\n");
    write("texts.csv", "customer_id,ts,value\na,2024-01-01,much\nb,2024-01-02,little\n");
    write("times.csv", "customer_id,ts,value\na,soon,1\nb,later,2\n");
    write("year1.csv", &shop(300).replace(",2024-", ",0001-"));
    write("year9999.csv", &shop(300).replace(",2024-", ",9999-"));
    let columns: [(&str, ArrayRef); 3] = [
        ("customer_id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("ts", Arc::new(StringArray::from(vec!["2024-01-01", "2024-01-02"]))),
        ("value", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = here.join("cut.parquet");
    let mut writer = PartitionWriter::create(&path, batch.schema(), &[]).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();

    let cases: [(&str, i32, Option<&str>, &[&str]); 12] = [
        ("empty.csv", 3, Some("empty_after_cleaning"), &["empty.csv: the file is empty", "Nothing was written"]),
        ("headers.csv", 3, Some("empty_after_cleaning"), &["no rows", "headers.csv"]),
        ("nothing", 2, None, &["nothing: the folder holds no events", "readme.md", "parquet, csv"]),
        ("shopp.csv", 2, None, &["shopp.csv: no such file or folder", "did you mean `shop.csv`?"]),
        ("*.tsv", 2, None, &["no file matches `*.tsv`"]),
        ("missing.csv", 3, Some("unreadable_events"), &["missing.csv", "`ts`", "`customer_id` and `value`"]),
        ("doubled.csv", 3, Some("unreadable_events"), &["doubled.csv: column `ts` is there 2 times"]),
        ("texts.csv", 3, Some("unreadable_events"), &["texts.csv: column `value`", "`much`", "needs a number"]),
        ("times.csv", 3, Some("unreadable_events"), &["times.csv", "`soon`", "time_format"]),
        ("year1.csv", 3, Some("unreadable_events"), &["year1.csv", "1900 to 2200", "`0001-"]),
        ("year9999.csv", 3, Some("unreadable_events"), &["year9999.csv", "1900 to 2200", "`9999-"]),
        ("cut.parquet", 3, Some("unreadable_events"), &["cut.parquet: damaged Parquet file", "bytes", "cut short"]),
    ];
    for (events, code, reason, words) in cases {
        refused(TRAIN, here, &format!("fit --events {events} --out models"), code, reason, words);
        refused(SCORE, here, &format!("run --bundle models --events {events} --out scores"), code, reason, words);
        refused(TRAIN, here, &format!("fit --events {events} --out new/models"), code, reason, words);
        refused(TRAIN, here, &format!("check --events {events}"), code, reason, words);
    }
}

#[test]
fn milliseconds_read_as_seconds_are_noticed() {
    let folder = fitted();
    let here = folder.path();
    let mut csv = String::from("customer_id,ts,value\n");
    for row in 0..500u64 {
        writeln!(csv, "c{},{},3", row % 30, (1_704_067_200 + row * 8640) * 1000).unwrap();
    }
    fs::write(here.join("millis.csv"), csv).unwrap();
    fs::write(here.join("seconds.toml"), "[events]\ntime_format = \"s\"\n").unwrap();
    let words = ["millis.csv", "1900 to 2200", "2024-01-01", "`time_format`"];
    let line = "fit --events millis.csv --config seconds.toml --out models";
    refused(TRAIN, here, line, 3, Some("unreadable_events"), &words);
    let checked = done(TRAIN, here, "check --events millis.csv"); // and left alone, the unit is found
    assert!(checked.out.contains("milliseconds") && checked.out.contains("2024-01-01 00:00:00"), "{}", checked.out);
}

/// What only training can notice.
#[test]
fn events_that_teach_nothing_are_refused_with_a_reason() {
    let folder = fitted();
    let here = folder.path();
    let mut alike = String::from("customer_id,ts,value\n");
    for customer in 0..200 {
        for day in (0..360).step_by(10) {
            writeln!(alike, "c{customer},{},5", date(day)).unwrap();
        }
    }
    fs::write(here.join("alike.csv"), alike).unwrap();
    let line = "fit --events alike.csv --out models";
    refused(TRAIN, here, line, 3, Some("single_class"), &["target `churn`", "labels are", "No bundle was written"]);

    // Nobody cancels within any training window: there is no positive label.
    let events: String = shop(300)
        .lines()
        .skip(1)
        .fold("customer_id,ts,value,event\n".into(), |csv: String, line| csv + line + ",purchase\n");
    fs::write(here.join("cancel.csv"), events + "c1,2024-01-01,,cancel\n").unwrap();
    let target =
        |event: &str| format!("[target.leaves]\nkind = \"presence\"\nevent = \"{event}\"\nhorizon_days = 30\n");
    fs::write(here.join("cancel.toml"), target("cancel")).unwrap();
    let line = "fit --events cancel.csv --config cancel.toml --out models";
    refused(TRAIN, here, line, 3, Some("single_class"), &["target `leaves`", "labels are"]);
    fs::write(here.join("refund.toml"), target("refund")).unwrap();
    let line = "fit --events cancel.csv --config refund.toml --out models";
    refused(TRAIN, here, line, 3, Some("no_target_event"), &["`refund`"]);

    let nothing = &["nothing is known before 2023-01-01", "all 1491 usable rows are later", "--as-of"];
    let line = "fit --events shop.csv --as-of 2023-01-01 --out models";
    refused(TRAIN, here, line, 3, Some("no_scoring_data"), nothing);
    let line = "run --bundle models --events shop.csv --as-of 2023-01-01 --out scores";
    refused(SCORE, here, line, 3, Some("no_scoring_data"), nothing);
    let line = "fit --events shop.csv --as-of 2024-01-06 --out models";
    refused(TRAIN, here, line, 3, Some("not_enough_history"), &["5 days of history"]);
}

#[test]
fn money_that_is_no_number_is_kept_among_the_rejects() {
    let folder = fitted();
    let here = folder.path();
    let bad = "c1,2024-05-05,NaN\nc2,2024-05-05,inf\nc3,2024-05-05,-inf\n";
    fs::write(here.join("some.csv"), shop(300) + bad).unwrap();
    fs::write(here.join("many.csv"), shop(300) + &bad.repeat(20)).unwrap();

    let ended = done(TRAIN, here, "fit --events some.csv --out other --rejects kept/rejects.ndjson");
    assert!(ended.err.contains("3 of 1494 rows are unusable and kept in kept/rejects.ndjson"), "{}", ended.err);
    let kept = fs::read_to_string(here.join("kept/rejects.ndjson")).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|row| row["reason"] == "non_finite_value" && row["file"] == "some.csv"), "{kept:?}");
    assert_eq!([&kept[0]["found"], &kept[1]["found"], &kept[2]["found"]], ["NaN", "inf", "-inf"]);
    // They taught nothing: without them the bundle is the same.
    assert_eq!(
        fs::read(here.join("other/current")).unwrap(),
        fs::read(here.join("models/current")).unwrap(),
        "the bundle's name is the hash of its content"
    );

    for (program, line) in [
        (TRAIN, "fit --events many.csv --out models --rejects kept/many.ndjson"),
        (SCORE, "run --bundle models --events many.csv --out scores --rejects kept/many.ndjson"),
    ] {
        let before = (tree(&here.join("models")), tree(&here.join("scores")));
        let ended = run(program, here, &format!("{line} --json"));
        assert_eq!(ended.code, 3, "{}", ended.err);
        let error = ended.json();
        assert_eq!(error["reason"], "too_many_rejects");
        assert_eq!((&error["counts"]["rejected"], &error["counts"]["rows"]), (&60.into(), &1551.into()));
        assert_eq!(error["counts"]["non_finite_value"], 60);
        assert!(ended.err.contains("kept/many.ndjson") && ended.err.contains("max_reject_share"), "{}", ended.err);
        assert_eq!(fs::read_to_string(here.join("kept/many.ndjson")).unwrap().lines().count(), 60);
        same_tree(&before.0, &tree(&here.join("models")), line);
        same_tree(&before.1, &tree(&here.join("scores")), line);
    }
    let checked = run(TRAIN, here, "check --events many.csv");
    assert_eq!(checked.code, 3);
    assert!(checked.out.contains("problem: 60 of 1551 rows are unusable"), "{}", checked.out);
}

#[test]
fn check_reports_repeated_rows_and_clocks_that_differ() {
    let here = tempfile::tempdir().unwrap();
    let events = shop(300);
    let again: String = events.lines().skip(1).take(20).fold(String::new(), |text, line| text + line + "\n");
    fs::write(here.path().join("twice.csv"), events.clone() + &again).unwrap();
    let report = done(TRAIN, here.path(), "check --events twice.csv --json").json();
    assert_eq!(report["duplicates"]["rows"], 20);
    let text = done(TRAIN, here.path(), "check --events twice.csv").out;
    assert!(text.contains("20 events equal an earlier one in every mapped column"), "{text}");
    assert!(!text.contains("clocks"), "{text}");

    let received: String = events
        .lines()
        .enumerate()
        .map(|(row, line)| match row {
            0 => format!("{line},received_at\n"),
            _ => format!("{line},{}\n", line.split(',').nth(1).unwrap()),
        })
        .collect();
    fs::write(here.path().join("clocks.csv"), received + "early,2024-12-20,5,2024-06-01\n").unwrap();
    let report = done(TRAIN, here.path(), "check --events clocks.csv --json").json();
    assert_eq!(report["received_early"], 1);
    let text = done(TRAIN, here.path(), "check --events clocks.csv").out;
    assert!(text.contains("1 events were received on a day before they happened"), "{text}");
}

#[test]
fn an_event_received_before_it_happened_is_not_known_before_it_happened() {
    let folder = fitted();
    let here = folder.path();
    let header = "customer_id,ts,value,received_at\n";
    let rows: String = shop(300).lines().skip(1).fold(String::new(), |text, line| {
        let day = line.split(',').nth(1).unwrap();
        format!("{text}{line},{day}\n")
    });
    fs::write(here.join("clean.csv"), format!("{header}{rows}")).unwrap();
    fs::write(here.join("skewed.csv"), format!("{header}{rows}early,2024-12-20,5,2024-06-01\n")).unwrap();
    let part = |events: &str, out: &str, as_of: &str| {
        let line = format!("run --bundle models --events {events} --out {out} --as-of {as_of} --max-gap 30 --json");
        let rows = done(SCORE, here, &line).json()["manifest"]["rows"].as_u64().unwrap();
        (rows, fs::read(here.join(format!("{out}/as_of={as_of}/part-00000.parquet"))).unwrap())
    };
    assert!(part("clean.csv", "a", "2024-12-20") == part("skewed.csv", "b", "2024-12-20"), "seen before its time");
    assert_eq!(part("skewed.csv", "b", "2024-12-21").0, part("clean.csv", "a", "2024-12-21").0 + 1);
}

#[test]
fn one_customer_with_a_million_events_is_no_obstacle() {
    let here = tempfile::tempdir().unwrap();
    let mut csv = shop(300);
    csv.reserve(30_000_000);
    for event in 0..1_000_000 {
        writeln!(csv, "whale,{} {:02}:{:02}:00,1", date(event / 2800), event % 24, event / 24 % 60).unwrap();
    }
    fs::write(here.path().join("shop.csv"), csv).unwrap();
    done(TRAIN, here.path(), "fit --events shop.csv --out models");
    let scored = done(SCORE, here.path(), "run --bundle models --events shop.csv --json").json();
    assert_eq!(scored["manifest"]["rows"], 301);
    assert_eq!(scored["manifest"]["data"]["used"], 1_001_491);
}

// ------------------------------------------------------------------------- configuration, bundles, paths

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

#[test]
fn a_bundle_that_cannot_be_trusted_is_refused_by_name() {
    let score = "run --bundle models --events shop.csv --out scores";
    let damaged = |name: &str, damage: &dyn Fn(Vec<u8>) -> Vec<u8>, words: &[&str]| {
        let folder = fitted();
        let path = bundle(folder.path()).join(name);
        fs::write(&path, damage(fs::read(&path).unwrap())).unwrap();
        refused(SCORE, folder.path(), score, 4, None, words);
    };
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "no {from}");
            text.replacen(from, to, 1).into_bytes()
        }
    };
    damaged("parameters.json", &|bytes| [bytes, b" ".to_vec()].concat(), &["parameters.json: damaged", "again"]);
    damaged("parameters.json", &|bytes| bytes[..bytes.len() / 2].to_vec(), &["parameters.json: damaged"]);
    damaged("report.json", &|_| Vec::new(), &["report.json: damaged"]);
    damaged("manifest.json", &|bytes| bytes[..100].to_vec(), &["manifest.json: cannot be understood"]);
    damaged("manifest.json", &replace("\"format\": 1", "\"format\": 99"), &["format 99", "up to 1", "release"]);
    damaged("manifest.json", &replace("bellwether bundle", "another thing"), &["not a bellwether bundle"]);
    damaged("manifest.json", &replace("\"customers\": 300", "\"customers\": 301"), &["manifest.json: damaged"]);

    let folder = fitted();
    fs::remove_file(bundle(folder.path()).join("parameters.json")).unwrap();
    refused(SCORE, folder.path(), score, 4, None, &["parameters.json: cannot read"]);
    fs::write(folder.path().join("models/current"), "2024-12-31-gone\n").unwrap();
    refused(SCORE, folder.path(), score, 4, None, &["2024-12-31-gone: no bundle", "bellwether-train fit"]);
    let line = "run --bundle nowhere --events shop.csv --out scores";
    refused(SCORE, folder.path(), line, 4, None, &["nowhere: no bundle", "bellwether-train fit"]);
}

#[test]
fn events_that_stop_too_early_are_not_scored() {
    let folder = fitted();
    let here = folder.path();
    let line = "run --bundle models --events shop.csv --out scores --as-of 2025-01-03";
    let words = ["the 3 days before the scoring date", "last event 2024-12-30", "--as-of 2024-12-31", "--max-gap 3"];
    refused(SCORE, here, line, 5, Some("no_recent_data"), &words);
    refused(SCORE, here, &format!("{line} --max-gap 2"), 5, Some("no_recent_data"), &words);
    let ended = done(SCORE, here, &format!("{line} --max-gap 3"));
    assert!(ended.err.contains("warning: The events stop 3 days before as_of"), "{}", ended.err);
    assert!(here.join("scores/as_of=2025-01-03/manifest.json").is_file());
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("file"), "in the way").unwrap();
    fs::write(here.join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n").unwrap();
    let words = ["file", "because: ", "a file is where a folder is needed"];
    for (program, line) in [
        (TRAIN, "fit --events shop.csv --out file"),
        (TRAIN, "fit --events shop.csv --out file/models"),
        (SCORE, "run --bundle models --events shop.csv --out file"),
        (SCORE, "run --bundle models --events shop.csv --out scores --segments segments.toml --segments-out file"),
    ] {
        refused(program, here, line, 2, None, &words);
    }
    let line = "simulate --customers 10 --days 30 --out file";
    refused(TRAIN, here, line, 2, None, &["file: is no folder", "name a new or empty folder"]);
    let line = "segment --scores scores --segments nowhere.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &["nowhere.toml: cannot read the segments", "check the path"]);
    fs::create_dir(here.join("folder")).unwrap();
    let line = "run --bundle models --events shop.csv --out scores --rejects folder";
    refused(SCORE, here, line, 2, None, &["folder: cannot write the rejects file"]);
}

/// Devices are written to, never replaced or removed; a link stands for them, so that a fault would cost only the link.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_a_device_stays_a_device() {
    use std::os::unix::fs::symlink;
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("some.csv"), shop(300) + "c1,2024-05-05,NaN\n").unwrap();
    symlink("/dev/full", here.join("full")).unwrap();
    symlink("/dev/null", here.join("null")).unwrap();
    let line = "run --bundle models --events some.csv --out scores --rejects full";
    refused(SCORE, here, line, 2, None, &["full: cannot write the rejects file", "No space left", "make room"]);
    for events in ["some.csv", "shop.csv"] {
        done(SCORE, here, &format!("run --bundle models --events {events} --out scores --rejects null"));
    }
    for name in ["full", "null"] {
        let link = fs::symlink_metadata(here.join(name)).unwrap();
        assert!(link.is_symlink(), "{name} was replaced");
    }
}

#[test]
fn misspelt_and_missing_columns_of_criteria_are_told_before_anything_is_scored() {
    let folder = fitted();
    let here = folder.path();
    let criteria = |file: &str, predicate: &str| {
        let text = format!("[[segment]]\nname = \"leaving\"\nwhere = \"{predicate}\"\n");
        fs::write(here.join(file), text).unwrap();
    };
    criteria("misspelt.toml", "churn_percentle >= 80");
    criteria("history.toml", "churn_percentile >= 80 AND purchases >= 2");
    let words = ["segment `leaving`", "unknown column `churn_percentle`", "did you mean `churn_percentile`?"];
    // Events that do not exist, and still the criterion is what is told: nothing was read before.
    let line =
        "run --bundle models --events nowhere.csv --out new --segments misspelt.toml --segments-out new/segments";
    refused(SCORE, here, line, 2, None, &words);
    let line = "segment --scores scores --segments misspelt.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &words);

    let line = "segment --scores scores --segments history.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &["unknown column `purchases`", "--with-features"]);
    let line = "segment --scores scores --segments history.toml --as-of 2024-12-30";
    refused(SCORE, here, line, 2, None, &["no scores of this date", "--as-of 2024-12-31"]);

    // The hint works.
    done(SCORE, here, "run --bundle models --events shop.csv --out scores --with-features");
    let ended = done(SCORE, here, "segment --scores scores --segments history.toml --as-of 2024-12-31");
    assert!(
        ended.out.contains("leaving") && ended.out.ends_with("segments: segments/as_of=2024-12-31\n"),
        "{}",
        ended.out
    );
}

// --------------------------------------------------------------------------------- what is printed

#[test]
fn results_go_to_stdout_and_everything_else_to_stderr() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n").unwrap();

    let fit = done(TRAIN, here, "fit --events shop.csv --out new");
    let id = fs::read_to_string(here.join("new/current")).unwrap();
    assert!(fit.out.contains("churn_probability_90d") && fit.out.contains("roc_auc"), "{}", fit.out);
    assert!(fit.out.ends_with(&format!("bundle: new/{0}\nreport: new/{0}/report.html\n", id.trim())), "{}", fit.out);
    assert!(fit.err.contains("columns: ") && fit.err.contains("as named: customer_id, value"), "{}", fit.err);
    assert!(fit.err.contains("target churn: no order in the 90 days from as_of"), "{}", fit.err);
    // What it says to type next works when typed.
    let (_, next) = fit.err.split_once("\nnext:\n  bellwether-score ").unwrap();
    assert_eq!(next, "run --bundle new --events shop.csv --as-of 2024-12-31\n");
    let scored = done(SCORE, here, next);
    assert!(scored.out.ends_with("scores: scores/as_of=2024-12-31\n"), "{}", scored.out);

    let everything = [
        (TRAIN, "fit --events shop.csv --out new"),
        (TRAIN, "fit --events shop.csv --out dry --dry-run"),
        (TRAIN, "check --events shop.csv"),
        (TRAIN, "clv --events shop.csv --model mbg-nbd --model pareto-nbd --out customers.csv"),
        (TRAIN, "simulate --customers 20 --days 40 --out simulated"),
        (SCORE, "run --bundle models --events shop.csv --out scores"),
        (SCORE, "run --bundle models --events shop.csv --out scores --segments segments.toml"),
        (SCORE, "segment --scores scores --segments segments.toml --as-of 2024-12-31"),
    ];
    for (program, line) in everything {
        let loud = done(program, here, line);
        let quiet = done(program, here, &format!("{line} --quiet"));
        assert_eq!(quiet.err, "", "{line} --quiet");
        assert_eq!(quiet.out, loud.out, "{line}: --quiet changes no result");
        assert!(!loud.out.is_empty() && loud.out.ends_with('\n'), "{line}");
        let json = done(program, here, &format!("{line} --json")).json();
        assert!(json.is_object(), "{line} --json");
    }
    assert!(!here.join("dry").join("current").exists(), "a dry run writes no bundle");
    let json = done(SCORE, here, &format!("{} --json", everything[6].1)).json();
    assert_eq!(json["partition"], "scores/as_of=2024-12-31");
    assert_eq!((&json["manifest"]["rows"], &json["segments"]["customers"]), (&300.into(), &300.into()));
    let json = done(TRAIN, here, "fit --events shop.csv --out new --json").json();
    assert_eq!(json["bundle"], format!("new/{}", id.trim()));
}

#[test]
fn fit_prints_and_writes_the_same_at_any_number_of_threads() {
    let folder = fitted();
    let one = done(TRAIN, folder.path(), "fit --events shop.csv --out new --threads 1");
    let bundle = tree(&folder.path().join("new"));
    let two = done(TRAIN, folder.path(), "fit --events shop.csv --out new --threads 2");
    assert_eq!(one.out, two.out);
    same_tree(&bundle, &tree(&folder.path().join("new")), "fit");
}

#[test]
fn the_demo_runs_every_stage_and_its_commands_work_when_typed() {
    let here = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--customers", "400", "--root", "a shop"];
    let demo = Command::new(TRAIN).current_dir(here.path()).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8(demo.stdout).unwrap(), String::from_utf8(demo.stderr).unwrap());
    assert!(demo.status.success(), "{err}");
    for stage in ["simulating", "reading", "building", "fitting churn", "writing the bundle", "scoring", "segmenting"] {
        assert!(err.contains(stage), "no {stage} in\n{err}");
    }
    assert_eq!(err.matches("columns: ").count(), 1, "the mapping once\n{err}");
    let (report, rest) = out.split_once("\nWhere everything is:\n").unwrap();
    for result in ["churn_probability_90d", "by status: ", "everyone-else"] {
        assert!(report.contains(result), "no {result} in\n{report}");
    }
    let (places, next) = rest.split_once("\nWhat to type next:\n").unwrap();
    let mut place = BTreeMap::new();
    for line in places.lines() {
        let (what, path) = line.trim().split_once(' ').unwrap();
        let path = here.path().join(path.trim());
        assert!(path.exists(), "{line}");
        place.insert(what.to_string(), path);
    }
    let (scores, segments) = (tree(&place["scores"]), tree(&place["segments"]));

    fs::write(here.path().join("shop.csv"), shop(300)).unwrap();
    let programs = Path::new(TRAIN).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut typed = 0;
    for command in next.lines().map(|line| line.trim().replace("YOUR_EVENTS", "shop.csv")) {
        let ended = Command::new("sh").arg("-c").arg(&command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
        typed += 1;
    }
    assert_eq!(typed, 4);
    same_tree(&scores, &tree(&place["scores"]), "run again");
    same_tree(&segments, &tree(&place["segments"]), "segment again");
    assert!(here.path().join("models/shop/current").is_file());
}

#[test]
fn the_commands_of_the_readme_work_when_typed() {
    let here = tempfile::tempdir().unwrap();
    done(TRAIN, here.path(), "demo --customers 500 --quiet");
    fs::create_dir(here.path().join("data")).unwrap();
    for entry in fs::read_dir(here.path().join("datasets/demo/events")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, here.path().join("data").join(path.file_name().unwrap())).unwrap();
    }
    let customer = |n: u32| {
        let orders = format!("{n},{},{}.0,{}.0,{}.5", n % 4, n % 4 * (9 + n % 3), 40 + n % 20, 10 + n % 7);
        format!("{orders},{},{}\n", n % 5 % 2, ["web", "shop", "app"][(n % 7 % 3) as usize])
    };
    let table: String = (0..300).map(customer).collect();
    let columns = "customer_id,frequency,recency,T,monetary_value,gender,channel";
    fs::write(here.path().join("rfm.csv"), format!("{columns}\n{table}")).unwrap();
    fs::write(here.path().join("contracts.csv"), "periods,cancelled,customers\n1,1,30\n2,1,20\n3,1,9\n3,0,80\n")
        .unwrap();
    fs::write(here.path().join("forget.csv"), "customer_id\nc00000003\n").unwrap();
    fs::write(here.path().join("attributes.csv"), "customer_id,age,valid_from\nnobody,50,2024-01-01\n").unwrap();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let programs = Path::new(TRAIN).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut typed = 0;
    // Those about object stores are typed in `object_store.rs`, where there is one.
    let is_local = |line: &&str| line.starts_with("bellwether-") && !line.contains("s3://");
    for command in blocks.flat_map(str::lines).filter(is_local) {
        let ended = Command::new("sh").arg("-c").arg(command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
        typed += 1;
    }
    assert!(typed >= 12, "{typed} commands");
    assert!(here.path().join("features.parquet").is_file());
    // What schedules run, on the day that the simulated shop ends: the shell takes it apart as they do.
    let samples = readme.lines().filter_map(|line| line.split_once("bellwether-score run --bundle models/demo"));
    let scheduled: Vec<String> = samples
        .filter(|(before, _)| before.contains("ExecStart=") || before.contains("* * *") || before.contains("exec "))
        .map(|(_, rest)| rest.trim_end_matches('\'').replace("%%F", "%F").replace("\\%F", "%F"))
        .collect();
    assert_eq!(scheduled.len(), 3, "{scheduled:?}");
    for rest in scheduled {
        let dated = rest.replace("$(date +%F)", "2025-06-24");
        assert_ne!(dated, rest, "a day is given");
        let command = format!("bellwether-score run --bundle models/demo{dated}");
        let ended = Command::new("sh").arg("-c").arg(&command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert!(here.path().join("bellwether.prom").is_file());
}

// -------------------------------------------------------------------------------- killed runs

/// A run killed while it writes: the old partition stays, and the next run clears up.
#[cfg(unix)]
#[test]
fn a_killed_run_changes_nothing_and_the_next_one_clears_up() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("large.csv"), shop(12_000)).unwrap();
    let with_features = "run --bundle models --events large.csv --with-features --quiet";
    done(SCORE, here, &format!("{with_features} --out undisturbed"));
    let old = tree(&here.join("scores"));
    let leftovers = || {
        let entries = fs::read_dir(here.join("scores")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".as_of=2024-12-31.tmp-")).count()
    };
    let mut caught = 0;
    for _ in 0..20 {
        let arguments = format!("{with_features} --out scores");
        let mut child = Command::new(SCORE)
            .current_dir(here)
            .args(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while leftovers() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        caught = leftovers();
        if caught > 0 {
            break;
        }
        copy_back(&old, &here.join("scores")); // it was too quick to be caught
    }
    assert!(caught > 0, "no run was caught while writing");
    let part = here.join("scores/as_of=2024-12-31");
    let of_old = |path: &Path| old.get(path).cloned();
    for (path, bytes) in tree(&part) {
        assert!(of_old(&path) == Some(bytes), "{} changed", path.display());
    }
    assert!(part.join("manifest.json").is_file());

    done(SCORE, here, &format!("{with_features} --out scores"));
    assert_eq!(leftovers(), 0, "the killed run's leftovers are cleared");
    let (again, undisturbed) = (tree(&part), tree(&here.join("undisturbed/as_of=2024-12-31")));
    assert!(again.values().eq(undisturbed.values()), "as if nothing had happened");
    assert!(!again.values().eq(old.range(part..).skip(1).map(|(_, bytes)| bytes)), "and not the old one");
}

#[cfg(unix)]
fn copy_back(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
    for (path, bytes) in files {
        if path.extension().is_some_and(|extension| extension == "parquet" || extension == "json") {
            fs::write(path, bytes).unwrap();
        } else {
            fs::create_dir_all(path).unwrap();
        }
    }
}

// ------------------------------------------------------------------------------- buy till you die

#[test]
fn clv_takes_a_table_and_writes_what_it_foresees_of_each_customer() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut table = String::from("customer_id,frequency,recency,T,monetary_value\n");
    for i in 0..600 {
        let x = if i % 2 == 0 { 0 } else { 1 + i * i % 5 };
        let (age, mean) = (20 + i % 30, if x == 0 { 0 } else { 10 + i * 7 % 40 });
        let recency = if x == 0 { 0 } else { 1 + i * 3 % (age - 1) };
        table.push_str(&format!("\"customer, {i}\",{x},{recency},{age},{mean}\n"));
    }
    fs::write(here.join("rfm.csv"), &table).unwrap();
    let line = "clv --table rfm.csv --unit weeks --horizon-days 70 --out customers.csv";
    let ended = done(TRAIN, here, line);
    for word in ["MBG/NBD", "BG/NBD", "Pareto/NBD", "GGom/NBD", "Gamma-Gamma", "times in weeks"] {
        assert!(ended.out.contains(word), "{word} in {}", ended.out);
    }
    assert!(!ended.out.contains("CNBD"), "a table holds no gaps: {}", ended.out);
    let json = done(TRAIN, here, &format!("{line} --json")).json();
    assert_eq!((&json["customers"], &json["repeat_buyers"]), (&600.into(), &300.into()));
    let bics: Vec<f64> =
        json["models"].as_array().unwrap().iter().map(|model| model["bic"].as_f64().unwrap()).collect();
    assert!(bics.len() == 4 && bics.is_sorted(), "{bics:?}");
    let mut written = csv::Reader::from_path(here.join("customers.csv")).unwrap();
    let names = written.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|held| held == name).unwrap();
    let columns =
        ["alive_probability", "no_order_probability_70d", "predicted_orders_70d", "predicted_value_70d"].map(at);
    let (mut rows, lifetime) = (0, at("discounted_value"));
    for row in written.records() {
        let row = row.unwrap();
        assert_eq!(&row[0], format!("customer, {rows}"), "the customers keep their order");
        let [alive, none, orders, value] = columns.map(|column| row[column].parse::<f64>().unwrap());
        assert!((0.0..=1.0).contains(&alive) && (1.0 - alive..=1.0).contains(&none), "{row:?}");
        // Ten weeks of a lifetime, at ten percent a year off.
        assert!(orders >= 1.0 - none - 1e-12 && value > 0.0, "{row:?}");
        assert!(row[lifetime].parse::<f64>().unwrap() > 0.95 * value, "{row:?}");
        rows += 1;
    }
    assert_eq!(rows, 600);
    // The same bytes at any number of threads.
    let bytes = fs::read(here.join("customers.csv")).unwrap();
    done(TRAIN, here, &format!("{line} --threads 1"));
    assert!(fs::read(here.join("customers.csv")).unwrap() == bytes);

    refused(
        TRAIN,
        here,
        "clv --table rfm.csv --model mbg-cnbd",
        2,
        None,
        &["needs the days between orders", "--events"],
    );
    refused(TRAIN, here, "clv --table rfm.csv --yearly-rate 0", 2, None, &["above 0"]);
    fs::write(here.join("bad.csv"), "frequency,recency,T\n1,9,8\n").unwrap();
    let reason = Some("unreadable_events");
    refused(TRAIN, here, "clv --table bad.csv", 3, reason, &["row 1", "t_x"]);
    fs::write(here.join("bad.csv"), "frequency,recency\n1,9\n").unwrap();
    refused(TRAIN, here, "clv --table bad.csv", 3, reason, &["no column `T`", "frequency, recency"]);
    misused(TRAIN, "clv", &["--events"]);
    misused(TRAIN, "clv --table rfm.csv --events shop.csv", &["cannot be used with"]);
}

/// Published for BG/NBD and Pareto/NBD on half a year after 1997: areas of 0.7882 and 0.7998. T is a day longer here,
/// for `as_of` is the day after the last one seen.
#[test]
fn clv_on_all_of_cdnow() {
    let Some(path) = dataset("cdnow/events_full.parquet") else { return };
    let here = tempfile::tempdir().unwrap();
    let ended = Command::new(TRAIN)
        .current_dir(here.path())
        .args(["clv", "--json", "--as-of", "1998-07-01", "--holdout-days", "181", "--unit", "weeks"])
        .args(["--model", "bg-nbd", "--model", "mbg-nbd", "--model", "pareto-nbd", "--events"])
        .arg(path)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let json: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&json["customers"], &json["calibration_end"]), (&23_570.into(), &"1998-01-01".into()));
    for (model, auc, total_error) in
        [("BG/NBD", 0.7882, -0.0281), ("MBG/NBD", 0.7931, -0.0583), ("Pareto/NBD", 0.7998, 0.0133)]
    {
        let line = json["models"].as_array().unwrap().iter().find(|line| line["model"] == model).unwrap();
        let holdout = |name: &str| line["holdout"][name].as_f64().unwrap();
        assert!((holdout("roc_auc") - auc).abs() < 1e-3, "{model}: {}", holdout("roc_auc"));
        let error = holdout("expected_orders") / holdout("actual_orders") - 1.0;
        assert!((error - total_error).abs() < 0.01, "{model}: {error}");
        assert!(holdout("tracking_error") < 0.03, "{model}");
        assert!(model != "BG/NBD" || (holdout("roc_auc_of_alive") - 0.3207).abs() < 2e-3, "{line}");
    }
}

// ------------------------------------------------------------------------------------- real data

/// The figures are those of the READMEs beside the files.
#[test]
fn check_finds_what_is_known_of_real_files() {
    let here = tempfile::tempdir().unwrap();
    let check = |name: &str, config: &str| {
        let path = dataset(name)?;
        fs::write(here.path().join("shop.toml"), config).unwrap();
        let program = Command::new(TRAIN)
            .current_dir(here.path())
            .args(["check", "--json", "--config", "shop.toml", "--events"])
            .arg(path)
            .output()
            .unwrap();
        assert!(program.status.success(), "{name}\n{}", String::from_utf8_lossy(&program.stderr));
        Some(serde_json::from_slice::<Value>(&program.stdout).unwrap())
    };
    if let Some(coffee) = check("coffee_vending/coffee_original.csv", "") {
        assert_eq!(coffee["summary"]["rows"], 3636);
        assert_eq!(coffee["summary"]["anonymous_rows"], 89);
        assert_eq!((&coffee["customers"], &coffee["orders"]["orders"]), (&1316.into(), &2756.into()));
        assert_eq!((&coffee["first"], &coffee["last"]), (&"2024-03-01 10:15:00".into(), &"2025-03-23 18:11:00".into()));
        let spelt = coffee["spellings"].as_array().unwrap().iter().map(|ways| ways["names"].as_array().unwrap().len());
        assert_eq!(spelt.max(), Some(7), "Cortado in seven ways");
    }
    if let Some(retail) = check("online_retail/online_retail_raw_first_50k.csv.gz", "") {
        assert_eq!(
            (&retail["summary"]["rows"], &retail["summary"]["anonymous_rows"]),
            (&50_000.into(), &17_881.into())
        );
        let mapping = retail["mapping"].to_string();
        assert!(mapping.contains("`UnitPrice` × `Quantity`"), "{mapping}");
    }
    if let Some(homegoods) = check("homegoods_ru/homegoods_original.csv", "") {
        assert_eq!((&homegoods["summary"]["used"], &homegoods["customers"]), (&7474.into(), &2451.into()));
        assert_eq!(homegoods["orders"]["conflicting"], 29);
        assert_eq!(homegoods["money"]["max"], 675_000.0);
        assert_eq!(homegoods["last"], "2020-01-31 15:00:00");
    }
    let cdnow = "[events]\nheader = false\ndelimiter = \"whitespace\"\nnames = [\"customer_id\", \"sample\", \"ts\", \"quantity\", \"value\"]\n";
    if let Some(cdnow) = check("cdnow/CDNOW_sample.txt", cdnow) {
        assert_eq!((&cdnow["summary"]["used"], &cdnow["customers"]), (&6919.into(), &2357.into()));
        assert_eq!(cdnow["orders"]["orders"], 6696);
        assert_eq!((&cdnow["first"], &cdnow["last"]), (&"1997-01-01 00:00:00".into(), &"1998-06-30 00:00:00".into()));
    }
}

/// A history too short for the default horizons: `check` and `fit` say the same.
#[test]
fn fit_learns_what_check_says_can_be_learned() {
    let here = tempfile::tempdir().unwrap();
    let short: String = shop(300)
        .lines()
        .filter(|line| line.starts_with("customer") || line.split(',').nth(1).unwrap() < "2024-02-20")
        .fold(String::new(), |text, line| text + line + "\n");
    fs::write(here.path().join("short.csv"), short).unwrap();
    let checked = done(TRAIN, here.path(), "check --events short.csv --json").json();
    let target = &checked["targets"][0];
    assert_eq!(
        (&target["name"], &target["horizon_days"], &target["obstacle"]),
        (&"churn".into(), &30.into(), &Value::Null)
    );
    let fitted = done(TRAIN, here.path(), "fit --events short.csv --json").json();
    assert_eq!(fitted["report"]["targets"][0]["name"], "predicted_orders_30d");
    assert!(fitted["report"]["warnings"].to_string().contains("too short for the usual horizon: 30 days are used"));
}

#[test]
fn scores_come_as_csv_and_ndjson_with_the_same_names_and_values() {
    let here = fitted();
    let run = |format: &str| {
        done(SCORE, here.path(), &format!("run --bundle models --events shop.csv --out {format} --format {format}"));
        let partition = here.path().join(format).join("as_of=2024-12-31");
        assert!(fs::read_to_string(partition.join("manifest.json")).unwrap().contains("\"complete\": true"));
        partition.join(format!("part-00000.{format}"))
    };
    let parquet = fs::File::open(run("parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap();
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let column = batches[0].column_by_name("churn_probability_90d").unwrap();
    let churn = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(column).value(0);

    let csv = fs::read_to_string(run("csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap().split(',').collect::<Vec<_>>(), names);
    let place = names.iter().position(|name| name == "churn_probability_90d").unwrap();
    let first: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(first[place].parse::<f64>().unwrap(), churn, "bit for bit");
    assert_eq!(lines.count() + 1, rows);

    let ndjson = fs::read_to_string(run("ndjson")).unwrap();
    let first: Value = serde_json::from_str(ndjson.lines().next().unwrap()).unwrap();
    assert_eq!(first["churn_probability_90d"].as_f64().unwrap(), churn);
    assert!(first.as_object().unwrap().keys().all(|name| names.contains(name)));
    assert_eq!(ndjson.lines().count(), rows);
}

#[test]
fn segments_of_another_format_are_refused_before_anything_is_scored() {
    let here = fitted();
    fs::write(here.path().join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n")
        .unwrap();
    let output = assert_cmd::Command::new(SCORE)
        .current_dir(here.path())
        .args("run --bundle models --events shop.csv --out other --format csv --segments segments.toml".split(' '))
        .assert()
        .code(2);
    let told = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(told.contains("segments are evaluated over Parquet scores") && told.contains("hint: "), "{told}");
    assert!(!here.path().join("other").exists());
}
