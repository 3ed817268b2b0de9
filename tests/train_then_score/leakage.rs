//! What happens, or becomes known, at or after `as_of` changes no byte of a fit and of its scores.

use std::fs;

use bellwether::time::DAY_MICROS;

use super::shop::{LEAN, Row, config, fit, lean, run, shop, write_parquet};

/// Everything that could make itself felt, at these times.
fn planted(customers: &[&str], time: i64, received: i64) -> Vec<Row> {
    let base = Row { time, received, ..Row::new("", bellwether::time::Day(0), "purchase", None) };
    let category = |name: &str| Some(name.to_string());
    let mut rows = Vec::new();
    for customer in customers {
        let row = Row { customer: (*customer).to_string(), ..base.clone() };
        rows.push(Row { value: Some(1e9), category: category("yachts"), order: category("big"), ..row.clone() });
        rows.push(Row { value: Some(-1e9), event: "return".into(), ..row.clone() });
        rows.push(Row { event: "cancel".into(), channel: category("fax"), ..row.clone() });
        rows.push(Row { event: "view".into(), category: category("handbags"), quantity: Some(1e6), ..row.clone() });
        for event in ["cart", "checkout", "payment failed", "email_send", "email_open", "email_click"] {
            let (channel, campaign) = (category("fax"), category("spam"));
            rows.push(Row { event: event.into(), value: Some(3.0), channel, campaign, ..row.clone() });
        }
        rows.push(Row { value: Some(0.01), category: category("ski"), campaign: category("spam"), ..row });
    }
    rows
}

#[test]
fn what_is_planted_in_the_future_changes_no_byte() {
    let base = shop();
    let instant = base.as_of.start_micros();
    let mut known: Vec<&str> = base.known.iter().map(|row| row.customer.as_str()).collect();
    known.dedup();
    let customers: Vec<&str> = known.into_iter().step_by(5).chain(["a newcomer", "zz", "1"]).collect();
    let mut rows: Vec<Row> = base.future.clone();
    assert!(rows.iter().any(|row| row.time < instant), "some rows of the shop are late");
    // Exactly at the instant, a year later, and before but received at the instant or later.
    for (time, received) in [
        (instant, instant),
        (instant, instant - DAY_MICROS), // a clock that runs ahead
        (instant + 365 * DAY_MICROS, instant + 365 * DAY_MICROS),
        (instant - 1, instant),
        (instant - 100 * DAY_MICROS, instant + DAY_MICROS),
    ] {
        rows.extend(planted(&customers, time, received));
    }
    let left_out = rows.len() as u64;
    // Among the known rows and not only behind them.
    rows.extend(base.known.iter().cloned());
    rows.sort_by_key(|row| row.received);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.parquet");
    write_parquet(&events, &rows);

    let models = folder.path().join("models");
    let fitted = fit(&events, &lean(), Some(base.as_of), &models).unwrap();
    let (manifest, partition) = run(&models, &events, Some(base.as_of), &folder.path().join("scores")).unwrap();

    let ours = &fitted.bundle.manifest;
    let theirs = &base.fitted.bundle.manifest;
    assert_eq!(ours.bundle_id, theirs.bundle_id);
    let bundle = fitted.folder.unwrap();
    let same = |name: &str| fs::read(bundle.join(name)).unwrap() == fs::read(base.bundle.join(name)).unwrap();
    assert!(same("parameters.json"));
    let part = "part-00000.parquet";
    assert!(fs::read(partition.join(part)).unwrap() == fs::read(base.partition.join(part)).unwrap());

    // The manifests tell what was left out, and differ in nothing else but the hashes of what was read.
    let mut data = ours.data.clone();
    assert_eq!((data.future_rows, data.rows), (left_out, left_out + theirs.data.rows));
    data.future_rows = theirs.data.future_rows;
    data.rows = theirs.data.rows;
    data.files.clone_from(&theirs.data.files);
    assert_eq!(serde_json::to_value(&data).unwrap(), serde_json::to_value(&theirs.data).unwrap());
    assert_eq!(ours.columns, theirs.columns);
    assert_eq!(ours.splits, theirs.splits);
    assert_eq!((ours.customers, &ours.warnings), (theirs.customers, &theirs.warnings));
    assert_eq!(fitted.bundle.report.targets, base.fitted.bundle.report.targets);
    let without = |manifest: &bellwether::scores::ScoreManifest| {
        let mut value = serde_json::to_value(manifest).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.remove("data").unwrap();
        fields.remove("bundle_hash").unwrap();
        fields.remove("seal").unwrap(); // of all of it
        value
    };
    assert_eq!(without(&manifest), without(&base.manifest));
}

#[test]
fn a_row_that_may_be_seen_does_change_the_scores() {
    // The counterpart of the test above: one microsecond and one day earlier, the same rows are history.
    let base = shop();
    let instant = base.as_of.start_micros();
    let mut rows = base.known.clone();
    rows.extend(planted(&["a newcomer"], instant - 1, instant - 1));
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.parquet");
    write_parquet(&events, &rows);
    let (manifest, _) = run(&base.models, &events, Some(base.as_of), &folder.path().join("scores")).unwrap();
    assert_eq!(manifest.rows, base.manifest.rows + 1);
    assert_ne!(manifest.files, base.manifest.files);
}

#[test]
fn the_judged_fit_knows_nothing_of_the_window_that_judges_it() {
    // Within the test window everything changes that no churn or order label reads: money, categories, units,
    // kinds of events. The shipped parameters move; what was chosen and every figure of the judgement must not.
    let base = shop();
    let cut_off = base.fitted.bundle.manifest.splits["churn"].test;
    let is_inside = |row: &&mut Row| row.time >= cut_off.start_micros();
    let mut rows = base.known.clone();
    let mut changed = 0;
    for row in rows.iter_mut().filter(is_inside) {
        changed += 1;
        if row.event == "purchase" {
            row.value = row.value.map(|value| 50.0 * value + 1.0);
            row.quantity = Some(9.0);
        } else if row.event == "view" {
            row.event = "wish".into();
        }
        row.category = row.category.as_ref().map(|_| "yachts".into());
        row.channel = Some("fax".into());
    }
    assert!(changed > 1000, "{changed}");
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.parquet");
    write_parquet(&events, &rows);
    // The categories of the last month are gone, so these targets alone.
    let config = config(&format!(
        "{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = 90\neligible = \"purchases >= 1\"\n\
         [target.orders]\nkind = \"count\"\nhorizon_days = 90\n"
    ));
    let other = fit(&events, &config, Some(base.as_of), &folder.path().join("models")).unwrap();
    let same = fit(&base.events, &config, Some(base.as_of), &folder.path().join("same")).unwrap();
    assert_eq!(other.bundle.parameters.plans, same.bundle.parameters.plans, "the catalogue is frozen at the cut-off");
    // Spend is fitted to the newest: the counterpart that shows that the change was seen.
    assert!(other.bundle.parameters.occurrences != same.bundle.parameters.occurrences);
    assert_eq!(other.bundle.report.targets.len(), 2);
    for (other, same) in other.bundle.report.targets.iter().zip(&same.bundle.report.targets) {
        assert_eq!(other, same);
        assert_eq!(other.cut_off, cut_off);
        assert!(other.models.len() >= 2);
    }
}
