//! The long table of categories: every figure is found again in the score file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use serde_json::Value;

use super::shop::{SCORE, done, json, numbers, read, run, shop, texts, tree};

/// The rows of a long table, as they stand in it.
struct Row {
    customer: String,
    group: String,
    score: f64,
    lift: f64,
    in_customer: u64,
    in_group: u64,
    percentile: u64,
    permille: u64,
    audience: Option<u64>,
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let all = |name: &str| numbers(batch, name);
    let (scores, lifts, audience) = (all("probability"), all("lift"), all("audience_rank"));
    let whole = |name: &str| all(name).into_iter().map(|n| n.unwrap() as u64).collect::<Vec<u64>>();
    let ranks = ["rank_in_customer", "rank_in_group", "percentile_in_group", "permille_in_group"].map(whole);
    let (ids, groups) = (texts(batch, "customer_id"), texts(batch, "group"));
    let row = |i: usize| Row {
        customer: ids[i].clone().unwrap(),
        group: groups[i].clone().unwrap(),
        score: scores[i].unwrap(),
        lift: lifts[i].unwrap(),
        in_customer: ranks[0][i],
        in_group: ranks[1][i],
        percentile: ranks[2][i],
        permille: ranks[3][i],
        audience: audience[i].map(|rank| rank as u64),
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Score column of each group, by name, in the order of the file.
fn columns(scores: &RecordBatch) -> Vec<(String, String)> {
    let fields = scores.schema().fields().clone();
    let of_group =
        fields.iter().filter_map(|field| Some((field.metadata().get("group")?.clone(), field.name().clone())));
    of_group.collect()
}

fn long_table(here: &Path, out: &str, day: impl std::fmt::Display) -> (RecordBatch, Value) {
    let folder = here.join(format!("{out}/category_scores/as_of={day}"));
    (read(&folder.join("part-00000.parquet")), json(&folder.join("manifest.json")))
}

#[test]
fn ranks_lifts_and_audiences_are_those_of_the_score_file() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    done(SCORE, here, &shop.line(day, "--out plain"));
    let everybody = texts(&read(&here.join(format!("plain/as_of={day}/part-00000.parquet"))), "customer_id");
    let left_alone: BTreeSet<String> = everybody.into_iter().flatten().step_by(7).collect();
    let list: String = left_alone.iter().map(|id| format!("{id},,\n")).collect();
    fs::write(here.join("exclusions.csv"), format!("customer_id,from,to\n{list}")).unwrap();
    let line = shop.line(day, "--out scores --exclusions exclusions.csv --category-top 1 --category-lift 1.5");
    let told = done(SCORE, here, &line).out;
    assert!(told.contains("audiences: ") && told.contains("scores/category_scores/as_of="), "{told}");

    let scores = read(&here.join(format!("scores/as_of={day}/part-00000.parquet")));
    let (long, manifest) = long_table(here, "scores", day);
    let ids: Vec<String> = texts(&scores, "customer_id").into_iter().map(Option::unwrap).collect();
    let (holdout, until) = (texts(&scores, "holdout"), texts(&scores, "excluded_until"));
    let is_free = |i: usize| holdout[i].as_deref() == Some("false") && until[i].is_none();
    let columns = columns(&scores);
    assert_eq!(columns.len(), 3);
    let values: Vec<Vec<Option<f64>>> = columns.iter().map(|(_, column)| numbers(&scores, column)).collect();
    let found = rows(&long);
    assert_eq!(found.len() as u64, manifest["rows"].as_u64().unwrap());
    assert_eq!(manifest["audiences"].as_array().unwrap().len(), 3);
    let mut start = 0;
    for (place, (group, column)) in columns.iter().enumerate() {
        let audience = &manifest["audiences"][place];
        let known: Vec<(usize, f64)> =
            (0..ids.len()).filter_map(|i| values[place][i].map(|score| (i, score))).collect();
        let base = known.iter().map(|(_, score)| score).sum::<f64>() / known.len() as f64;
        let close = |found: &Value, expected: f64| {
            let found = found.as_f64().unwrap_or_else(|| panic!("{group}: {found}"));
            assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{group}: {found} {expected}");
        };
        assert_eq!((audience["group"].as_str(), audience["column"].as_str()), (Some(&**group), Some(&**column)));
        close(&audience["base"], base);
        // Who stands where, counted one by one.
        let mut ranked = known.clone();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(ids[a.0].cmp(&ids[b.0])));
        let free: Vec<(usize, f64)> = ranked.iter().copied().filter(|(i, _)| is_free(*i)).collect();
        let mut expected = Vec::new();
        for &(i, score) in &ranked {
            let others = (0..columns.len()).map(|other| (values[other][i].unwrap(), other));
            let in_customer =
                1 + others.filter(|(other, at)| *other > score || (*other == score && *at < place)).count();
            if in_customer == 1 || score >= 1.5 * base {
                expected.push((i, score, in_customer));
            }
        }
        let part = &found[start..start + expected.len()];
        start += expected.len();
        assert!(expected.len() > 20, "{group}: the shop is too small");
        let n = known.len() as u64;
        for (row, (i, score, in_customer)) in part.iter().zip(&expected) {
            assert_eq!((&row.customer, &row.group, row.score), (&ids[*i], group, *score));
            assert_eq!(row.in_customer, *in_customer as u64);
            assert!((row.lift - score / base).abs() < 1e-9, "{} {}", row.lift, score / base);
            let above = known.iter().filter(|(_, other)| other > score).count() as u64;
            assert_eq!(row.in_group, above + 1);
            assert_eq!(row.percentile, (100 * (n - above)).div_ceil(n));
            assert_eq!(row.permille, (1000 * (n - above)).div_ceil(n));
            let place = free.iter().position(|(other, _)| other == i).map(|place| place as u64 + 1);
            assert_eq!(row.audience, place, "{}", row.customer);
        }
        // Nobody who is to be left alone is counted.
        let count = |name: &str| audience[name].as_u64().unwrap() as usize;
        assert_eq!(count("customers"), known.len());
        assert_eq!(count("addressable"), free.len());
        let is_held = |(i, _): &&(usize, f64)| holdout[*i].as_deref() == Some("true");
        assert_eq!(count("held_out"), known.iter().filter(is_held).count());
        assert_eq!(count("excluded"), known.len() - free.len() - count("held_out"));
        assert!(count("held_out") > 0 && count("excluded") > 20);
        let total: f64 = free.iter().map(|(_, score)| score).sum();
        close(&audience["expected"], total);
        let check = |best: &Value, customers: usize| {
            assert_eq!(best["customers"].as_u64(), Some(customers as u64), "{group}: {best}");
            let sum: f64 = free[..customers].iter().map(|(_, score)| score).sum();
            close(&best["expected"], sum);
            close(&best["mean"], sum / customers as f64);
            close(&best["lift"], sum / customers as f64 / base);
            close(&best["captured"], sum / total);
            close(&best["least"], free[customers - 1].1);
        };
        let worthwhile = free.iter().filter(|(_, score)| *score >= 1.5 * base).count();
        assert!(worthwhile > 0);
        check(&audience["suggested"], worthwhile);
        // Whoever is suggested has a row.
        assert_eq!(
            part.iter().filter(|row| row.audience.is_some_and(|rank| rank <= worthwhile as u64)).count(),
            worthwhile
        );
        let half = (1..).find(|&n| free[..n].iter().map(|(_, score)| score).sum::<f64>() >= total / 2.0).unwrap();
        check(&audience["half"], half);
        for percent in [1, 2, 5, 10, 20, 50] {
            check(&audience["top_percent"][percent.to_string()], (percent * free.len()).div_ceil(100));
        }
    }
    assert_eq!(start, found.len(), "nothing else is in the table");
    let named = |name: &str| texts(&long, name).into_iter().map(Option::unwrap).collect::<BTreeSet<String>>();
    assert_eq!(named("target"), BTreeSet::from(["buys".to_string()]));
    assert_eq!(named("event"), BTreeSet::from(["purchase".to_string()]));
    assert_eq!(named("bundle_id"), BTreeSet::from([shop.bundle_id()]));
    assert_eq!(named("as_of"), BTreeSet::from([day.to_string()]));
    assert!(numbers(&long, "horizon_days").iter().all(|days| *days == Some(30.0)));
    assert!(numbers(&long, "predicted").iter().all(Option::is_none), "nothing but probabilities");
}

#[test]
fn every_customer_has_their_best_groups_in_the_same_bytes_whoever_counts() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let trees = ["1", "2", "5"].map(|threads| {
        done(SCORE, here, &shop.line(day, &format!("--out scores --threads {threads}")));
        tree(&here.join("scores/category_scores"))
    });
    assert_eq!(trees[0].len(), 2);
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    // Three groups, and five best of each: everybody's every group.
    let (long, manifest) = long_table(here, "scores", day);
    let scores = read(&here.join(format!("scores/as_of={day}/part-00000.parquet")));
    assert_eq!(long.num_rows(), 3 * scores.num_rows());
    let mut best: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for row in rows(&long) {
        best.entry(row.customer).or_default().push((row.in_customer, row.group));
    }
    assert!(best.values_mut().all(|groups| {
        groups.sort();
        groups.iter().map(|(rank, _)| *rank).eq(1..=3)
    }));
    // The same order as `top_categories` of the score file.
    done(SCORE, here, &shop.line(day, "--out text --format ndjson"));
    let text = fs::read_to_string(here.join(format!("text/as_of={day}/part-00000.ndjson"))).unwrap();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let named = row["top_categories"].as_array().unwrap().iter().map(|entry| entry["category"].as_str().unwrap());
        assert!(named.eq(best[row["customer_id"].as_str().unwrap()].iter().map(|(_, group)| group.as_str())));
    }
    let text = fs::read_to_string(here.join(format!("text/category_scores/as_of={day}/part-00000.ndjson"))).unwrap();
    assert_eq!(text.lines().count(), long.num_rows());
    let files = manifest["files"].as_object().unwrap();
    for (name, hash) in files {
        let path = here.join(format!("scores/category_scores/as_of={day}/{name}"));
        assert_eq!(hash.as_str().unwrap(), bellwether::storage::fingerprint(&path).unwrap());
    }

    // A run that is refused leaves what was there; so does one whose gates are missed.
    let before = tree(&here.join("scores"));
    for line in [
        shop.line(day, "--out scores --category-lift 0.5"),
        shop.line(shop.day(839), "--out scores --max-gap 0").replace("--as-of", "--backfill x --as-of"),
    ] {
        let ended = run(SCORE, here, &line);
        assert_eq!(ended.code, Some(2), "{}", ended.err);
    }
    assert!(tree(&here.join("scores")) == before);
    // A rerun with other settings replaces it whole.
    done(SCORE, here, &shop.line(day, "--out scores --category-top 0 --category-lift 3"));
    let (fewer, manifest) = long_table(here, "scores", day);
    assert!(fewer.num_rows() < long.num_rows() && rows(&fewer).iter().all(|row| row.lift >= 3.0));
    assert_eq!((manifest["top"].as_u64(), manifest["lift"].as_f64()), (Some(0), Some(3.0)));
}

#[test]
fn a_bundle_without_groups_leaves_no_table_of_another_one() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    done(SCORE, here, &shop.line(day, "--out scores"));
    let config = fs::read_to_string(shop.config()).unwrap();
    let (single, _) = config.split_once("[target.buys]").unwrap();
    fs::write(here.join("single.toml"), single).unwrap();
    let fit = format!("fit --quiet --events {} --config single.toml --as-of {day} --out models", shop.events());
    done(super::shop::TRAIN, here, &fit);
    let line =
        |out: &str| shop.line(day, &format!("--out {out}")).replace(&shop.models().display().to_string(), "models");
    done(SCORE, here, &line("fresh"));
    assert!(!here.join("fresh/category_scores").exists());
    done(SCORE, here, &line("scores"));
    let (long, manifest) = long_table(here, "scores", day);
    assert_eq!((long.num_rows(), manifest["rows"].as_u64()), (0, Some(0)));
    assert_ne!(manifest["bundle_id"].as_str(), Some(shop.bundle_id().as_str()));
}
