//! `bellwether-train build`: feature tables for other tools, declared features, and timelines larger than memory.

#[path = "build/attributes.rs"]
mod attributes;
#[path = "build/discount.rs"]
mod discount;
#[path = "common/tables.rs"]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type};
use bellwether::config::Config;
use bellwether::events::{EventBatch, Ids, Labels};
use bellwether::features::{FeatureTable, Plan, RowRequest, Sweep};
use bellwether::lists::{ListFiles, Lists};
use bellwether::pipeline::{self, BuildOptions, Built, FitOptions, Reading, RunOptions};
use bellwether::progress::Silent;
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::{DAY_MICROS, Day};
use bellwether::timeline::{Budget, TimelineBuilder, Timelines, customer_hash};
use tables::read;
use tempfile::TempDir;

/// Tells a test that runs itself again which folder to use.
const CHILD: &str = "BELLWETHER_BUILD_TEST_FOLDER";

fn shop(folder: &Path, customers: u64) -> String {
    let settings = Simulation { customers, days: 200, late_share: 0.05, ..Simulation::default() };
    simulate(&settings, &folder.join("shop"), &|_| ()).unwrap();
    folder.join("shop/events").display().to_string()
}

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("test.toml")).unwrap()
}

fn options(events: &str, config: &Config, out: &Path, days: &[&str]) -> BuildOptions {
    BuildOptions {
        attributes: Vec::new(),
        events: vec![events.to_string()],
        config: config.clone(),
        as_ofs: days.iter().map(|day| day.parse().unwrap()).collect(),
        out: out.to_path_buf(),
        is_double: false,
        rejects: None,
        dry_run: false,
        budget: Budget::default(),
    }
}

/// So little that all is put aside again and again, and read back in many parts.
fn tiny(folder: Option<PathBuf>) -> Budget {
    Budget { bytes: Some(100_000), folder }
}

#[test]
fn a_row_for_everyone_known_at_each_day_with_unit_and_definition() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 300);
    let out = root.path().join("made/features.parquet");
    let lean = config("currency = \"EUR\"\n[features]\nwindows = [7, 30]\nmax_categories = 5\n");
    let built = pipeline::build(&options(&events, &lean, &out, &["2024-05-01", "2024-03-01"]), &Silent).unwrap();
    assert_eq!(built.file.as_deref(), Some(out.as_path()));
    assert!(!built.is_spilled);

    // The same rows, from the library.
    let days: Vec<Day> = ["2024-03-01", "2024-05-01"].iter().map(|day| day.parse().unwrap()).collect();
    let last = Some(days[1]);
    let (events, lists, budget) = ([events], Lists::default(), Budget::default());
    let reading = Reading { as_of: last, ..Reading::new(&events, &lean, &lists, &budget) };
    let (timelines, _) = pipeline::read_timelines(&reading, &Silent).unwrap();
    let plan = Plan::new(&timelines, &lean, days[0]).unwrap();
    let requests: Vec<RowRequest> = days.iter().map(|&as_of| RowRequest { as_of, share: 1.0 }).collect();
    let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines), &requests).unwrap();

    let written = read(&out);
    let features = plan.features();
    assert_eq!((built.rows, built.features), (table.keys.len() as u64, features.len()));
    assert_eq!(written.num_rows(), table.keys.len());
    let counts: BTreeMap<Day, u64> =
        (0..2).map(|r| (days[r], table.keys.iter().filter(|key| key.request == r as u32).count() as u64)).collect();
    assert_eq!(built.rows_by_as_of, counts);
    assert!(counts[&days[0]] > 50 && counts[&days[0]] < counts[&days[1]], "{counts:?}");
    let schema = written.schema();
    assert_eq!((schema.field(0).name().as_str(), schema.field(1).name().as_str()), ("customer_id", "as_of"));
    let (ids, dates) = (written.column(0).as_string::<i32>(), written.column(1).as_primitive::<Date32Type>());
    for (row, key) in table.keys.iter().enumerate() {
        let part = timelines.part(key.partition as usize).unwrap();
        assert_eq!(ids.value(row), part.id(key.customer as usize).to_string());
        assert_eq!(dates.value(row), days[key.request as usize].0);
    }
    for (index, feature) in features.iter().enumerate() {
        let field = schema.field(index + 2);
        assert_eq!(*field.name(), feature.name);
        assert_eq!(field.metadata()["description"], feature.note);
        let unit = if feature.unit.name() == "money" { "EUR" } else { feature.unit.name() };
        assert_eq!(field.metadata()["unit"], unit);
        let column = written.column(index + 2).as_primitive::<Float32Type>();
        for row in 0..table.keys.len() {
            let expected = table.values[[row, index]];
            assert_eq!(column.is_null(row), expected.is_nan(), "{}", feature.name);
            assert!(expected.is_nan() || column.value(row).to_bits() == expected.to_bits(), "{}", feature.name);
        }
    }

    // Doubles round to the same floats.
    let double = BuildOptions { is_double: true, ..options("", &lean, &root.path().join("double.parquet"), &[]) };
    let double =
        BuildOptions { events: vec![root.path().join("shop/events").display().to_string()], as_ofs: days, ..double };
    pipeline::build(&double, &Silent).unwrap();
    let doubles = read(&double.out);
    assert_eq!(doubles.schema().field(2).data_type(), &DataType::Float64);
    for index in 2..written.num_columns() {
        let (single, double) =
            (written.column(index).as_primitive::<Float32Type>(), doubles.column(index).as_primitive::<Float64Type>());
        assert!((0..written.num_rows()).all(|row| single.value(row) == double.value(row) as f32));
    }
}

#[test]
fn the_columns_of_several_days_know_nothing_of_what_came_after_the_first() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 200);
    let build = |days: &[&str], name: &str| {
        let out = root.path().join(name);
        pipeline::build(&options(&events, &Config::default(), &out, days), &Silent).unwrap();
        read(&out)
    };
    let (alone, together) = (build(&["2024-03-01"], "a.parquet"), build(&["2024-03-01", "2024-06-01"], "b.parquet"));
    assert_eq!(alone.schema(), together.schema());
    let day: Day = "2024-03-01".parse().unwrap();
    let of_day: Vec<u32> = {
        let dates = together.column(1).as_primitive::<Date32Type>();
        (0..together.num_rows() as u32).filter(|&row| dates.value(row as usize) == day.0).collect()
    };
    let same = arrow::compute::take_record_batch(&together, &UInt32Array::from(of_day)).unwrap();
    assert_eq!(same, alone);
}

#[test]
fn features_come_as_csv_and_ndjson_and_other_endings_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 60);
    let few = config("[features]\ninclude = [\"tenure_days\", \"spend\", \"last_order_value\"]\n");
    let build = |name: &str| pipeline::build(&options(&events, &few, &root.path().join(name), &[]), &Silent);
    build("f.csv").unwrap();
    let text = fs::read_to_string(root.path().join("f.csv")).unwrap();
    assert!(text.starts_with("customer_id,as_of,tenure_days,spend,last_order_value\n"), "{text}");
    assert!(text.lines().any(|line| line.ends_with(',')), "who never ordered has an empty cell");
    build("f.ndjson").unwrap();
    let lines = fs::read_to_string(root.path().join("f.ndjson")).unwrap();
    assert_eq!(lines.lines().count() + 1, text.lines().count());
    let error = build("f.xlsx").unwrap_err();
    assert!(error.to_text().contains("hint: name it `….parquet`"), "{}", error.to_text());
    let names: BTreeSet<String> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["f.csv", "f.ndjson", "shop"].map(String::from).into());
}

#[test]
fn a_budget_changes_no_byte_of_features_bundles_or_scores() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 700);
    let lean = config(
        "[features]\nwindows = [7, 30, 90]\nmax_categories = 5\n[training]\ncutoffs = 2\nbootstrap_resamples = 10\n\
         [target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n\
         [target.value]\nkind = \"amount\"\nhorizon_days = 30\n\
         [target.buys]\nkind = \"presence\"\nper = \"category\"\ntop = 3\nhorizon_days = 14\n",
    );
    let mut found: Vec<(Vec<u8>, String, Vec<u8>)> = Vec::new();
    for (name, budget) in [("memory", Budget::default()), ("disk", tiny(None))] {
        let folder = root.path().join(name);
        let build = BuildOptions { budget: budget.clone(), ..options(&events, &lean, &folder.join("f.parquet"), &[]) };
        let Built { is_spilled, .. } = pipeline::build(&build, &Silent).unwrap();
        assert_eq!(is_spilled, name == "disk");
        let fit = FitOptions {
            export_features: None,
            attributes: Vec::new(),
            events: vec![events.clone()],
            config: lean.clone(),
            as_of: Some("2024-07-01".parse().unwrap()),
            out: folder.join("models"),
            rejects: None,
            dry_run: false,
            budget: budget.clone(),
            lists: ListFiles::default(),
        };
        let fitted = pipeline::fit(fit, &Silent).unwrap();
        let run = RunOptions {
            as_of: Some("2024-07-01".parse().unwrap()),
            with_features: true,
            budget,
            ..RunOptions::new(folder.join("models"), vec![events.clone()], folder.join("scores"))
        };
        let (_, scores) = pipeline::run(&run, &Silent).unwrap();
        found.push((
            fs::read(folder.join("f.parquet")).unwrap(),
            fitted.bundle.manifest.bundle_id,
            fs::read(scores.join("part-00000.parquet")).unwrap(),
        ));
    }
    assert_eq!(found[0].1, found[1].1, "bundles");
    assert!(found[0].0 == found[1].0, "features");
    assert!(found[0].2 == found[1].2, "scores");
}

/// `n` purchases of each customer, in this order.
fn batch(customers: &[String], n: usize) -> EventBatch {
    let rows = customers.len() * n;
    EventBatch {
        customer: Ids::Texts((0..rows).map(|row| Some(customers[row % customers.len()].as_str())).collect()),
        time: (0..rows as i64).rev().map(|row| 19_800 * DAY_MICROS + row * 7_000_000).collect(),
        received: None,
        event: Labels { codes: vec![0; rows], names: vec!["purchase".into()] },
        category: Some(Labels {
            codes: (0..rows as u32).collect(),
            names: (0..rows).map(|row| format!("category {row}")).collect(),
        }),
        channel: None,
        device: None,
        campaign: None,
        value: Some((0..rows).map(|row| row as f64).collect()),
        quantity: None,
        product: None,
        order: None,
        extras: Vec::new(),
        conditions: Vec::new(),
    }
}

fn rows(timelines: &Timelines) -> (Vec<String>, Vec<u32>) {
    let config = config("[features]\ninclude = [\"order_lines\", \"spend\", \"tenure_days\"]\n");
    let plan = Plan::new(timelines, &config, Day(20_000)).unwrap();
    let request = RowRequest { as_of: Day(20_000), share: 1.0 };
    let table = FeatureTable::build(timelines, &Sweep::new(&plan, timelines), &[request]).unwrap();
    let id = |key: &bellwether::features::RowKey| {
        timelines.part(key.partition as usize).unwrap().id(key.customer as usize).to_string()
    };
    (table.keys.iter().map(id).collect(), table.values.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn customers_of_one_partition_only_ids_of_any_length_and_many_categories() {
    // The first byte of the hash is the partition.
    let skewed: Vec<String> = (0..)
        .map(|n| format!("{n}-{}", "x".repeat(n % 300)))
        .filter(|id| customer_hash(id) >> 56 == 9)
        .take(900)
        .collect();
    let long = ["Ω".repeat(5_000), "7".to_string(), "-3".to_string(), String::from(" ")];
    let batches = [batch(&skewed, 40), batch(&long, 3), batch(&skewed[..1], 100_000), batch(&skewed, 1)];
    let build = |budget: Budget| {
        let mut builder = TimelineBuilder::within(budget);
        batches.iter().for_each(|batch| builder.append(std::slice::from_ref(batch)).unwrap());
        builder.finish().unwrap()
    };
    let (memory, disk) = (build(Budget::default()), build(tiny(None)));
    assert!(disk.is_spilled() && disk.parts() > 256, "one partition is cut: {}", disk.parts());
    assert_eq!(memory.customers(), 904);
    assert_eq!((disk.customers(), disk.events()), (memory.customers(), memory.events()));
    assert_eq!(memory.vocabularies.category.names().len(), 100_000);
    assert_eq!(rows(&disk), rows(&memory));
}

#[test]
fn more_names_than_fit_are_refused_by_column() {
    let ids = ["a".to_string()];
    let mut batch = batch(&ids, 65_535);
    batch.event = Labels { codes: (0..65_535).collect(), names: (0..65_535).map(|n| n.to_string()).collect() };
    let error = TimelineBuilder::default().append(&[batch]).unwrap_err();
    assert_eq!(error.to_string(), "column `event` has more than 65534 distinct values");
}

#[test]
fn a_place_that_takes_nothing_is_named() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 200);
    let missing = root.path().join("no such folder");
    let build = BuildOptions {
        attributes: Vec::new(),
        budget: tiny(Some(missing.clone())),
        ..options(&events, &Config::default(), &root.path().join("f.parquet"), &[])
    };
    let text = pipeline::build(&build, &Silent).unwrap_err().to_text();
    assert!(text.contains(&format!("{}: cannot create the temporary file", missing.display())), "{text}");
    assert!(text.contains("--spill-dir"), "{text}");
    assert!(!root.path().join("f.parquet").exists());
}

/// Runs a test of this file again, in a shell that has been prepared.
#[cfg(unix)]
fn again(test: &str, folder: &Path, prepare: &str) -> std::process::Output {
    let command = format!("{prepare} exec \"$0\" --exact {test} --ignored --nocapture");
    let me = std::env::current_exe().unwrap();
    Command::new("sh").arg("-c").arg(command).arg(me).env(CHILD, folder).output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    // No file may grow beyond 64 blocks of 512 or 1,024 bytes: the system's answer is that of a full disk.
    let ended = again("child_fills_the_disk", root.path(), "trap '' XFSZ; ulimit -f 64;");
    let printed = String::from_utf8_lossy(&ended.stderr);
    assert!(printed.contains("CHILD SAW: ") && ended.status.success(), "{printed}");
    assert!(printed.contains("cannot write the temporary file"), "{printed}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
#[ignore = "run by a_full_disk_is_told_and_leaves_nothing"]
fn child_fills_the_disk() {
    let folder = PathBuf::from(std::env::var_os(CHILD).expect("set by the parent"));
    let ids: Vec<String> = (0..3_000).map(|n| format!("customer {n}")).collect();
    let mut builder = TimelineBuilder::within(tiny(Some(folder)));
    let error = (0..50).find_map(|_| builder.append(&[batch(&ids, 4)]).err()).expect("the disk is full");
    eprintln!("CHILD SAW: {}", bellwether::error::Error::from(error).to_text());
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let ended = again("child_is_killed", root.path(), "");
    let printed = String::from_utf8_lossy(&ended.stderr);
    assert!(printed.contains("CHILD HAS PUT ASIDE") && !ended.status.success(), "{printed}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
#[ignore = "run by a_killed_run_leaves_nothing_behind"]
fn child_is_killed() {
    let folder = PathBuf::from(std::env::var_os(CHILD).expect("set by the parent"));
    let ids: Vec<String> = (0..3_000).map(|n| format!("customer {n}")).collect();
    let mut builder = TimelineBuilder::within(tiny(Some(folder)));
    builder.append(&[batch(&ids, 4)]).unwrap();
    eprintln!("CHILD HAS PUT ASIDE");
    std::process::abort();
}

// ---- declared features, from files ----

const EVENTS: &str = "\
customer_id,ts,event,value,category,score,browser
anna,2024-01-01T10:00:00,purchase,10,ski,,firefox
anna,2024-01-05T10:00:00,login,,,3,firefox
anna,2024-01-20T10:00:00,purchase,30,wine,5,chrome
anna,2024-01-21T10:00:00,purchase,4,ski,,
ben,2024-01-02T10:00:00,login,,,1,safari
ben,2024-02-02T10:00:00,purchase,99,ski,1,safari
";

const DECLARED: &str = "\
[[feature]]
name = \"ski_spend\"
agg = \"sum\"
event = \"purchase\"
value = \"value\"
where = \"category = 'ski'\"
[[feature]]
name = \"last_score\"
agg = \"last\"
value = \"score\"
[[feature]]
name = \"browsers_10d\"
agg = \"distinct\"
value = \"browser\"
window_days = 10
[[feature]]
name = \"big_in_a_row\"
agg = \"streak\"
event = \"purchase\"
where = \"value >= 5\"
[features]
max_numbers = 0
include = [\"ski_spend\", \"last_score\", \"browsers_10d\", \"big_in_a_row\"]
";

fn declared(root: &TempDir) -> (String, Config) {
    let path = root.path().join("events.csv");
    fs::write(&path, EVENTS).unwrap();
    (path.display().to_string(), config(DECLARED))
}

#[test]
fn declared_features_read_columns_that_are_none_of_ours() {
    let root = tempfile::tempdir().unwrap();
    let (events, config) = declared(&root);
    let out = root.path().join("f.csv");
    pipeline::build(&options(&events, &config, &out, &["2024-01-22"]), &Silent).unwrap();
    let text = fs::read_to_string(&out).unwrap();
    let rows: BTreeSet<&str> = text.lines().skip(1).collect();
    assert!(text.starts_with("customer_id,as_of,ski_spend,last_score,browsers_10d,big_in_a_row\n"), "{text}");
    assert_eq!(rows, ["anna,2024-01-22,14.0,5.0,1.0,0.0", "ben,2024-01-22,0.0,1.0,0.0,0.0"].into(), "{text}");
}

#[test]
fn declarations_that_the_data_cannot_meet_are_refused_before_anything_is_read() {
    let root = tempfile::tempdir().unwrap();
    let (events, _) = declared(&root);
    for (fields, expected) in [
        ("agg = 'sum'\nvalue = 'scor'", &["the events have no column `scor`", "hint: did you mean `score`?"][..]),
        ("agg = 'mean'\nvalue = 'browser'", &["the column `browser` holds text, which has no mean"]),
        (
            "agg = 'sum'\nvalue = 'quantity'",
            &["the events have no column `quantity`", "columns of the events: value, "],
        ),
        ("agg = 'count'\nwhere = \"categry = 'ski'\"", &["unknown column `categry`", "did you mean `category`?"]),
        ("agg = 'count'\nwhere = 'value >'", &["not a valid SQL predicate"]),
        ("agg = 'count'\nwhere = 'value + 1'", &["must be true or false"]),
    ] {
        let config = config(&format!("[[feature]]\nname = 'mine'\n{fields}\n"));
        let text = pipeline::build(&options(&events, &config, &root.path().join("f.csv"), &[]), &Silent)
            .unwrap_err()
            .to_text();
        for words in expected {
            assert!(text.contains(words), "{text}");
        }
        assert!(text.contains("exit code 2"), "{text}");
    }
    assert!(!root.path().join("f.csv").exists());
}

/// Keeps what it is warned of.
#[derive(Default)]
struct Warned(std::sync::Mutex<Vec<String>>);

impl bellwether::progress::Observer for Warned {
    fn stage(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_string());
    }
}

#[test]
fn numbers_of_a_bundle_that_the_events_lack_are_told() {
    let root = tempfile::tempdir().unwrap();
    let (events, config) = declared(&root);
    let (warned, numbers) = (Warned::default(), ["score".to_string(), "gone".to_string()]);
    let (events, lists, budget) = ([events], Lists::default(), Budget::default());
    let reading = Reading { numbers: Some(&numbers), ..Reading::new(&events, &config, &lists, &budget) };
    pipeline::read_timelines(&reading, &warned).unwrap();
    let warnings = warned.0.into_inner().unwrap();
    assert_eq!(warnings, ["the bundle looks at the numbers of `gone`, which these events lack: they are missing"]);
}

#[test]
fn windows_longer_than_the_history_hold_all_of_it() {
    let root = tempfile::tempdir().unwrap();
    let (events, _) = declared(&root);
    let long = config("[features]\nwindows = [30, 60000]\ninclude = [\"spend\", \"spend_60000d\"]\nmax_numbers = 0\n");
    let out = root.path().join("f.csv");
    pipeline::build(&options(&events, &long, &out, &["2024-03-01"]), &Silent).unwrap();
    let text = fs::read_to_string(&out).unwrap();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[2], cells[3], "{text}");
    }
}
