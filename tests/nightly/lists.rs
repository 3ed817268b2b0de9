//! Lists of customers: the forgotten, the excluded, and those who go by another name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use super::shop::{SCORE, TRAIN, done, json, read, run, shop, texts, tree};

fn ids(partition: &Path) -> Vec<String> {
    texts(&read(&partition.join("part-00000.parquet")), "customer_id").into_iter().map(Option::unwrap).collect()
}

/// Every third customer of a partition.
fn some(partition: &Path) -> BTreeSet<String> {
    ids(partition).into_iter().step_by(3).collect()
}

#[test]
fn the_forgotten_leave_every_place_and_other_rows_keep_their_bytes() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("segments.toml"), "[[segment]]\nname = \"all\"\notherwise = true\n").unwrap();
    let days = [0, 1].map(|days| shop.fitted_at().plus(days));
    for day in days {
        done(SCORE, here, &shop.line(day, "--out scores --with-features --segments segments.toml"));
    }
    // Judged, so that there is a file beside the rows; in other formats, too.
    for format in ["csv", "ndjson"] {
        done(SCORE, here, &shop.line(days[0], &format!("--out {format} --format {format}")));
    }
    let first = here.join(format!("scores/as_of={}", days[0]));
    let (all, gone) = (ids(&first), some(&first));
    let list: String = gone.iter().map(|id| format!("{id}\n")).collect();
    fs::write(here.join("forget.csv"), format!("customer_id\n{list}")).unwrap();
    let (named, other) = (gone.first().unwrap(), all.iter().find(|id| !gone.contains(*id)).unwrap());
    let reject = |row: u32, id: &str| {
        let found = format!("{id},broken");
        format!(
            "{{\"file\":\"a\",\"row\":{row},\"reason\":\"malformed_line\",\"column\":null,\"found\":\"{found}\"}}\n"
        )
    };
    fs::write(here.join("scores/rejects.ndjson"), reject(1, named) + &reject(2, other)).unwrap();

    let before: BTreeMap<_, _> =
        days.iter().map(|day| (*day, read(&here.join(format!("scores/as_of={day}/part-00000.parquet"))))).collect();
    let long_of = |day| read(&here.join(format!("scores/category_scores/as_of={day}/part-00000.parquet")));
    let long_before: BTreeMap<_, _> = days.iter().map(|day| (*day, long_of(day))).collect();
    // What a killed run has left of them goes, too.
    let leftover = here.join(format!("scores/category_scores/.as_of={}.tmp-1-0", days[0]));
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join("part-00000.parquet"), named.as_bytes()).unwrap();
    let text_before = ["csv", "ndjson"].map(|format| {
        fs::read_to_string(here.join(format!("{format}/as_of={}/part-00000.{format}", days[0]))).unwrap()
    });
    let line = format!("forget --forget forget.csv --scores scores --models {}", shop.models().display());
    let told = done(SCORE, here, &line);
    assert!(told.out.contains("trained with them") && told.out.contains(&shop.bundle_id()), "{}", told.out);
    let gone_later = |id: &Option<String>| gone.contains(id.as_ref().unwrap());
    for day in days {
        let partition = here.join(format!("scores/as_of={day}"));
        let before = &before[&day];
        let keep: BooleanArray = texts(before, "customer_id").iter().map(|id| Some(!gone_later(id))).collect();
        let after = read(&partition.join("part-00000.parquet"));
        assert_eq!(after, filter_record_batch(before, &keep).unwrap(), "{day}: rows, order, columns, metadata");
        let manifest = json(&partition.join("manifest.json"));
        assert_eq!(manifest["rows"].as_u64(), Some(after.num_rows() as u64));
        assert_eq!(manifest["forgotten"].as_u64(), Some((before.num_rows() - after.num_rows()) as u64));
        let hash = bellwether::storage::fingerprint(&partition.join("part-00000.parquet")).unwrap();
        assert_eq!(manifest["files"]["part-00000.parquet"], hash);
        let total: f64 = super::shop::numbers(&after, "predicted_value_60d").into_iter().flatten().sum();
        assert!((manifest["totals"]["predicted_value_60d"].as_f64().unwrap() / total - 1.0).abs() < 1e-12);
        let long = here.join(format!("scores/category_scores/as_of={day}"));
        let rows = read(&long.join("part-00000.parquet"));
        let keep: BooleanArray =
            texts(&long_before[&day], "customer_id").iter().map(|id| Some(!gone_later(id))).collect();
        assert_eq!(rows, filter_record_batch(&long_before[&day], &keep).unwrap(), "{day}: the long table");
        let of_long = json(&long.join("manifest.json"));
        let gone_rows = long_before[&day].num_rows() - rows.num_rows();
        assert!(gone_rows > 0 && of_long["forgotten"].as_u64() == Some(gone_rows as u64), "{of_long}");
        assert_eq!(of_long["rows"].as_u64(), Some(rows.num_rows() as u64));
        let hash = bellwether::storage::fingerprint(&long.join("part-00000.parquet")).unwrap();
        assert_eq!(of_long["files"]["part-00000.parquet"], hash);
        let members = read(&here.join(format!("segments/as_of={day}/memberships.parquet")));
        assert_eq!(members.num_rows(), after.num_rows());
        // What segments are evaluated over is sound.
        done(SCORE, here, &format!("segment --scores scores --segments segments.toml --as-of {day} --out again"));
    }
    // No file anywhere has one of the ids: as bytes, in texts; decoded, in Parquet.
    for (path, bytes) in tree(&here.join("scores")).into_iter().chain(tree(&here.join("segments"))) {
        if path.extension().is_some_and(|extension| extension == "parquet") {
            continue; // seen above
        }
        let text = String::from_utf8(bytes).unwrap();
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').collect();
        if path.ends_with("rejects.ndjson") {
            assert!(!words.contains(named.as_str()) && text.contains(&reject(2, other)), "{text}");
        }
    }
    for (format, before) in ["csv", "ndjson"].into_iter().zip(text_before) {
        done(SCORE, here, &format!("forget --forget forget.csv --scores {format}"));
        let after = fs::read_to_string(here.join(format!("{format}/as_of={}/part-00000.{format}", days[0]))).unwrap();
        let is_gone = |line: &str| {
            let id = if format == "csv" {
                line.split(',').next().unwrap().trim_matches('"').to_string()
            } else {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["customer_id"].as_str().unwrap().to_string()
            };
            gone.contains(&id)
        };
        let expected: String = before.split_inclusive('\n').filter(|line| !is_gone(line)).collect();
        assert!(after == expected, "{format}");
        assert!(after.len() < before.len());
    }
    // A second time there is nothing left to forget.
    let told = done(SCORE, here, &format!("{line} --json")).json();
    assert!(told["partitions"].as_object().unwrap().is_empty() && told["rejects"] == 0, "{told}");
    assert!(told["categories"].as_object().unwrap().is_empty() && !leftover.exists(), "{told}");
    assert_eq!(told["trained_with"][0]["customers"].as_u64(), Some(gone.len() as u64));
}

#[test]
fn runs_and_fits_with_the_list_do_not_know_the_forgotten() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    done(SCORE, here, &shop.line(day, "--out all"));
    let all = here.join(format!("all/as_of={day}"));
    let gone = some(&all);
    let lines: String = gone.iter().map(|id| format!("{{\"customer_id\": \"{id}\"}}\n")).collect();
    fs::write(here.join("forget.ndjson"), lines).unwrap();
    let ended = done(SCORE, here, &shop.line(day, "--out without --forget forget.ndjson").replace("--quiet", ""));
    assert!(ended.err.contains("events of forgotten customers are left out"), "{}", ended.err);
    let without = here.join(format!("without/as_of={day}"));
    let kept: Vec<String> = ids(&all).into_iter().filter(|id| !gone.contains(id)).collect();
    assert_eq!(ids(&without), kept);
    // Others are scored as ever: only ranks look at everybody.
    let probabilities = |partition: &Path| {
        let rows = read(&partition.join("part-00000.parquet"));
        let ids = texts(&rows, "customer_id").into_iter().map(Option::unwrap);
        ids.zip(super::shop::numbers(&rows, "churn_probability_60d")).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (probabilities(&all), probabilities(&without));
    assert!(after.iter().all(|(id, probability)| before[id] == *probability));

    // A fit that never saw them, by its settings this time, says so when it is asked.
    let config = fs::read_to_string(shop.config()).unwrap() + "\n[lists]\nforget = \"forget.ndjson\"\n";
    fs::write(here.join("forget.toml"), config).unwrap();
    let fit = format!("fit --quiet --events {} --config forget.toml --as-of {day} --out models", shop.events());
    done(TRAIN, here, &fit);
    let line = "forget --forget forget.ndjson --scores without --models models";
    let told = done(SCORE, here, &format!("{line} --json")).json();
    assert_eq!(told["trained_with"].as_array().unwrap().len(), 0, "{told}");
    assert!(done(SCORE, here, line).out.contains("no bundle that was asked was trained with them"));
    // The settings of the bundle hold in a run, too.
    let line = shop.line(day, "--out settings").replace(&shop.models().display().to_string(), "models");
    done(SCORE, here, &line);
    assert_eq!(ids(&here.join(format!("settings/as_of={day}"))), kept);
}

#[test]
fn the_excluded_are_told_and_scored_all_the_same() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    done(SCORE, here, &shop.line(day, "--out plain"));
    let plain = read(&here.join(format!("plain/as_of={day}/part-00000.parquet")));
    let all = ids(&here.join(format!("plain/as_of={day}")));
    let (first, second, third) = (&all[0], &all[1], &all[2]);
    let list = format!(
        "customer_id,from,to,campaign\n{first},{},{},spring\n{second},{},{},over\n{third},{},,for ever\n",
        day.plus(-3),
        day.plus(4),
        day.plus(-9),
        day,
        day
    );
    fs::write(here.join("exclusions.csv"), list).unwrap();
    done(SCORE, here, &shop.line(day, "--out scores --exclusions exclusions.csv"));
    let rows = read(&here.join(format!("scores/as_of={day}/part-00000.parquet")));
    let (status, until) = (texts(&rows, "status"), texts(&rows, "excluded_until"));
    let plain_status = texts(&plain, "status");
    assert_eq!(until[0], Some(day.plus(4).to_string()));
    assert_eq!(until[2].as_deref(), Some("9999-12-31"));
    for row in 0..all.len() {
        let is_excluded = row == 0 || row == 2;
        assert_eq!(until[row].is_some(), is_excluded, "{}", all[row]);
        let expected = if is_excluded { Some("excluded".to_string()) } else { plain_status[row].clone() };
        assert_eq!(status[row], expected, "{}", all[row]);
    }
    // Every other column is as it was.
    for (field, column) in plain.schema().fields().iter().zip(plain.columns()) {
        if !["status", "excluded_until"].contains(&field.name().as_str()) {
            assert_eq!(rows.column_by_name(field.name()).unwrap(), column, "{}", field.name());
        }
    }
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let place = names.iter().position(|name| name == "excluded_until").unwrap();
    assert_eq!((names[place - 1].as_str(), names[place + 1].as_str()), ("holdout", "bundle_id"));
    let manifest = json(&here.join(format!("scores/as_of={day}/manifest.json")));
    assert_eq!(manifest["rows_by_status"]["excluded"], 2);

    fs::write(here.join("exclusions.csv"), "customer_id,from,to\nc1,soon,\n").unwrap();
    let before = tree(&here.join("scores"));
    let ended = run(SCORE, here, &shop.line(day, "--out scores --exclusions exclusions.csv"));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    for words in ["exclusions.csv, row 1: `from` is \"soon\"", "unreadable_list", "hint: correct the row"] {
        assert!(ended.err.contains(words), "{}", ended.err);
    }
    assert!(tree(&here.join("scores")) == before);
    let ended = run(SCORE, here, &shop.line(day, "--out scores --exclusions nowhere.csv"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
}

#[test]
fn events_of_another_name_are_the_customers_from_its_day() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = |n: usize| bellwether::time::Day(19_723 + n as i32).to_string();
    // 200 customers in one shop under one name each; in the other, half of them change cards in the middle of the year.
    let (mut one, mut two, mut map) = (String::new(), String::new(), String::from("alias,customer_id,from\n"));
    for header in [&mut one, &mut two] {
        header.push_str("customer_id,ts,value\n");
    }
    for customer in 0..200usize {
        let changes = customer % 2 == 0;
        if changes {
            map.push_str(&format!("{},c{customer},{}\n", 5000 + customer, day(180)));
        }
        for order in 0..=customer % 9 {
            let at = (customer * 7 + order * (5 + customer % 40)) % 365;
            let value = (customer * 13 + order * 7) % 50 + 1;
            let card = if changes && at >= 180 { (5000 + customer).to_string() } else { format!("c{customer}") };
            one.push_str(&format!("c{customer},{},{value}\n", day(at)));
            two.push_str(&format!("{card},{},{value}\n", day(at)));
        }
    }
    fs::write(here.join("one.csv"), one).unwrap();
    fs::write(here.join("two.csv"), two).unwrap();
    fs::write(here.join("map.csv"), map).unwrap();
    done(TRAIN, here, "fit --quiet --events one.csv --out one");
    let ended = done(TRAIN, here, "fit --events two.csv --id-map map.csv --out two");
    assert!(ended.err.contains("events are given to other customers by the id map"), "{}", ended.err);
    let parameters = |models: &str| {
        let id = fs::read_to_string(here.join(models).join("current")).unwrap();
        fs::read(here.join(models).join(id.trim()).join("parameters.json")).unwrap()
    };
    assert!(parameters("one") == parameters("two"));
    let line =
        |events: &str, more: &str| format!("run --quiet --bundle one --events {events} --as-of 2024-12-31 {more}");
    done(SCORE, here, &line("one.csv", "--out scores-one"));
    done(SCORE, here, &line("two.csv", "--out scores-two --id-map map.csv"));
    done(SCORE, here, &line("two.csv", "--out scores-apart"));
    let part = |out: &str| fs::read(here.join(out).join("as_of=2024-12-31/part-00000.parquet")).unwrap();
    assert!(part("scores-one") == part("scores-two"), "as if nobody had changed names");
    assert!(part("scores-one") != part("scores-apart"));
}

#[test]
fn lists_that_the_memory_does_not_hold_are_refused_with_a_size_that_does() {
    const IDS: usize = 1_500_000;
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let list: String = (0..IDS).map(|id| format!("nobody of the name of {id:07}\n")).collect();
    fs::write(here.join("forget.csv"), format!("customer_id\n{list}")).unwrap();
    let within =
        |size: &str| run(SCORE, here, &shop.line(shop.fitted_at(), &format!("--forget forget.csv --memory {size}")));
    let refused = within("256MiB");
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("the lists of customers take "), "{}", refused.err);
    assert!(!here.join("scores").exists(), "nothing is written");
    let advised = refused.err.split("--memory ").last().unwrap().split('`').next().unwrap();
    assert_eq!(within(advised).code, Some(0), "{advised}");
    assert!(here.join("scores").is_dir());
}
