//! Real data, where it is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{TRAIN, done, shop};

fn dataset(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {name} is not there");
    None
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
