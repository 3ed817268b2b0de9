//! Counts, overlaps, and movements since the last date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use arrow::array::{Array, Float32Array, Float64Array, RecordBatch, StringArray, UInt8Array};
use bellwether::segments::Segments;
use bellwether::storage::fingerprint;

use super::{DATE, FOUR, Shop, batch, column, day, many, segments, six};

#[test]
fn counts_overlaps_and_the_rest_add_up() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let counts = shop.evaluate(FOUR).unwrap();
    let expected = [
        ("a", "buyers"),
        ("a", "at risk"),
        ("b", "low"),
        ("c", "buyers"),
        ("d", "buyers"),
        ("d", "low"),
        ("e", "rest"),
        ("f", "at risk"),
    ];
    assert_eq!(shop.read(DATE), expected.map(|(id, name)| (id.to_string(), name.to_string())));
    assert_eq!((counts.customers, counts.memberships, counts.in_no_segment), (6, 8, 0));
    assert_eq!(counts.segments.iter().map(|segment| segment.customers).collect::<Vec<_>>(), [3, 1, 2, 2]);
    assert_eq!(counts.overlaps, [[3, 0, 1, 1], [0, 1, 0, 0], [1, 0, 2, 0], [1, 0, 0, 2]]);
    assert_eq!(counts.previous, None);
    assert_eq!(counts.scores_hash, fingerprint(&shop.scores(DATE).join("manifest.json")).unwrap());
    let file = shop.root.path().join("segments.toml");
    fs::write(&file, FOUR).unwrap();
    assert_eq!(counts.segments_hash, fingerprint(&file).unwrap());
    assert_eq!(Segments::load(&file).unwrap(), segments(FOUR));

    let manifest = fs::read(shop.out().join(format!("as_of={DATE}/manifest.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["as_of"], DATE);
    let first = serde_json::json!({
        "name": "buyers", "where": "purchases >= 1", "priority": 5, "campaign": "thanks", "duration_days": 14,
        "customers": 3, "entries": null, "exits": null, "redefined": null,
    });
    assert_eq!(manifest["segments"][0], first);
    assert_eq!(manifest["segments"][1]["otherwise"], true);
    assert_eq!(manifest["overlaps"][0], serde_json::json!([3, 0, 1, 1]));

    let text = counts.to_text();
    assert!(text.starts_with("segments of 2026-08-21: 6 customers\n"), "{text}");
    let row = text.lines().find(|line| line.contains("buyers")).unwrap();
    let cells: Vec<&str> = row.split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells, ["", "buyers", "3", "50.0 %", "", "", "thanks", "5", ""], "{text}");
    assert!(text.contains("no earlier date"));
}

#[test]
fn without_otherwise_the_rest_is_counted() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let counts = shop.evaluate("[[segment]]\nname='it'\nwhere='churn_percentile >= 80'").unwrap();
    assert_eq!((counts.customers, counts.in_no_segment, counts.memberships), (6, 4, 2));
    let counts = shop.evaluate("[[segment]]\nname='all'\notherwise=true").unwrap();
    assert_eq!((counts.in_no_segment, counts.segments[0].customers), (0, 6));
}

#[test]
fn no_customers_are_no_fault() {
    let shop = Shop::new();
    shop.write(DATE, &[six().slice(0, 0)], 2);
    let counts = shop.evaluate(FOUR).unwrap();
    assert_eq!((counts.customers, counts.memberships), (0, 0));
    assert!(shop.read(DATE).is_empty());
    assert!(counts.to_text().contains("0 customers"));
}

#[test]
fn entries_and_exits_are_since_the_newest_complete_date() {
    let shop = Shop::new();
    let run = |date: &str, customers: &[(&str, f64)], toml: &str| {
        let ids = StringArray::from_iter_values(customers.iter().map(|(id, _)| id));
        let values = Float64Array::from_iter_values(customers.iter().map(|(_, value)| *value));
        let columns = vec![("customer_id", Arc::new(ids) as _), ("predicted_value_90d", Arc::new(values) as _)];
        shop.write(date, &[batch(columns)], 2);
        shop.evaluate_at(date, toml, 2).unwrap()
    };
    let then = "
        [[segment]]\nname='dear'\nwhere='predicted_value_90d >= 10'
        [[segment]]\nname='gone'\nwhere='true'
        [[segment]]\nname='rest'\nwhere='predicted_value_90d < 5'\n";
    let now = "
        [[segment]]\nname='rest'\nwhere='predicted_value_90d < 6'
        [[segment]]\nname='fresh'\nwhere='true'
        [[segment]]\nname='dear'\nwhere='predicted_value_90d >= 10'\n";
    run("2026-08-01", &[("z", 99.0)], then);
    run("2026-08-10", &[("b", 10.0), ("c", 1.0), ("d", 20.0), ("e", 1.0), ("x", 1.0), ("y", 30.0)], then);
    // A date in between that is not complete does not count, nor do later ones.
    run("2026-08-15", &[("z", 99.0)], then);
    fs::remove_file(shop.out().join("as_of=2026-08-15/manifest.json")).unwrap();
    run("2026-09-01", &[("z", 99.0)], then);
    // b stays dear; c moves from rest to dear; d leaves dear; e stays in rest; a is new and dear; x and y are gone.
    let today = [("a", 11.0), ("b", 12.0), ("c", 13.0), ("d", 7.0), ("e", 2.0), ("f", 8.0)];
    let counts = run(DATE, &today, now);
    let previous = counts.previous.as_ref().unwrap();
    assert_eq!((previous.as_of, previous.dropped.as_slice()), (day("2026-08-10"), &["gone".to_string()][..]));
    let moved = |name: &str| {
        let count = counts.segments.iter().find(|count| count.segment.name == name).unwrap();
        (count.customers, count.entries, count.exits, count.redefined)
    };
    assert_eq!(moved("dear"), (3, Some(2), Some(2), Some(false)));
    assert_eq!(moved("rest"), (1, Some(0), Some(2), Some(true)));
    assert_eq!(moved("fresh"), (6, None, None, None));
    let text = counts.to_text();
    for line in ["Entries and exits are since 2026-08-10.", "differ from then: rest.", "no longer declared: gone."] {
        assert!(text.contains(line), "{text}");
    }
    // A rerun of the same date compares with the same previous one, not with itself.
    assert_eq!(run(DATE, &today, now), counts);
}

/// Names of the segments of each customer, by plain loops over the columns.
fn plain(batch: &RecordBatch) -> BTreeMap<String, Vec<&'static str>> {
    let (ids, percentile): (&StringArray, &UInt8Array) =
        (column(batch, "customer_id"), column(batch, "churn_percentile"));
    let (score_0, score_4): (&Float64Array, &Float64Array) = (column(batch, "score_0"), column(batch, "score_4"));
    let (feature_1, feature_2): (&Float32Array, &Float32Array) =
        (column(batch, "feature_1"), column(batch, "feature_2"));
    let mut all = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let mut names = Vec::new();
        if percentile.is_valid(row) && percentile.value(row) > 90 {
            names.push("one");
        }
        if score_0.is_valid(row) && score_0.value(row) >= 0.5 && feature_1.value(row) >= 20.0 {
            names.push("two");
        }
        if (1.0..=3.0).contains(&feature_2.value(row)) || score_4.is_null(row) {
            names.push("three");
        }
        if names.is_empty() {
            names.push("rest");
        }
        all.insert(ids.value(row).to_string(), names);
    }
    all
}

#[test]
fn memberships_and_movements_agree_with_plain_loops() {
    let shop = Shop::new();
    let (then, now) = (many(500, 20_000, 24), many(0, 23_000, 24));
    // Yesterday's customer n had the columns of customer n + 500, so that many move.
    let mut columns = then.columns().to_vec();
    columns[0] = Arc::new(StringArray::from_iter_values((300..20_300).map(|row| format!("customer-{row:08}"))));
    let then = RecordBatch::try_new(then.schema(), columns).unwrap();
    let toml = "
        [[segment]]\nname='one'\nwhere='churn_percentile > 90'
        [[segment]]\nname='two'\nwhere='score_0 >= 0.5 AND NOT feature_1 < 20'
        [[segment]]\nname='three'\nwhere='feature_2 IN (1, 2, 3) OR score_4 IS NULL'
        [[segment]]\nname='rest'\notherwise=true\n";
    shop.write("2026-08-20", std::slice::from_ref(&then), 3000);
    shop.write(DATE, std::slice::from_ref(&now), 3000);
    shop.evaluate_at("2026-08-20", toml, 3).unwrap();
    let counts = shop.evaluate_at(DATE, toml, 3).unwrap();

    let (then, now) = (plain(&then), plain(&now));
    let expected: Vec<(String, String)> =
        now.iter().flat_map(|(id, names)| names.iter().map(|name| (id.clone(), name.to_string()))).collect();
    assert!(shop.read(DATE) == expected);
    let has = |all: &BTreeMap<String, Vec<&str>>, id: &str, name: &str| {
        all.get(id).is_some_and(|names| names.contains(&name))
    };
    let ids: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    for (position, count) in counts.segments.iter().enumerate() {
        let name = count.segment.name.as_str();
        let tally = |test: &dyn Fn(&str) -> bool| ids.iter().filter(|id| test(id)).count() as u64;
        assert_eq!(count.customers, tally(&|id| has(&now, id, name)));
        assert_eq!(count.entries, Some(tally(&|id| has(&now, id, name) && !has(&then, id, name))));
        assert_eq!(count.exits, Some(tally(&|id| !has(&now, id, name) && has(&then, id, name))));
        assert!(count.entries > Some(100) && count.exits > Some(100), "{count:?}");
        for (other, second) in counts.segments.iter().enumerate() {
            let both = tally(&|id| has(&now, id, name) && has(&now, id, &second.segment.name));
            assert_eq!(counts.overlaps[position][other], both, "{name} and {}", second.segment.name);
        }
    }
}
