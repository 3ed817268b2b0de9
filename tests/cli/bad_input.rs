//! Events that cannot be used, or that look better than they are.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use bellwether::storage::PartitionWriter;
use serde_json::Value;

use super::{SCORE, TRAIN, date, done, fitted, refused, run, same_tree, shop, tree};

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
