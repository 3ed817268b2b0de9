//! The five criteria that every release must be able to express (contract, section 5), against the events themselves.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use bellwether::segments::{Segments, evaluate};

use super::shop::{Row, Trial, read, shop};

const CRITERIA: &str = r#"
[[segment]]
name = "new-browsed-handbags"
where = "tenure_days < 7 AND purchases = 0 AND views_category_handbags >= 1"
[[segment]]
name = "spent-never-responded"
where = "spend > 500 AND email_opens = 0 AND email_clicks = 0"
[[segment]]
name = "lost-at-poker"
where = "plays_category_poker_7d >= 1 AND play_value_category_poker_7d < 0 AND predicted_value_90d > 200"
[[segment]]
name = "likely-to-churn-skiers"
where = "churn_percentile >= 80 AND purchases_category_ski >= 2"
[[segment]]
name = "top-spenders-gone-quiet"
where = "spend_percentile > 90 AND days_since_last_order > 60"
"#;

fn customers(base: &Trial, wanted: impl Fn(&str, &[&Row]) -> bool) -> BTreeSet<&str> {
    let mut by_customer: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &base.known {
        by_customer.entry(&row.customer).or_default().push(row);
    }
    by_customer.into_iter().filter(|(id, rows)| wanted(id, rows)).map(|(id, _)| id).collect()
}

fn count(rows: &[&Row], wanted: impl Fn(&Row) -> bool) -> usize {
    rows.iter().filter(|row| wanted(row)).count()
}

/// In cents, so that a sum of nothing is nothing.
fn money(rows: &[&Row], wanted: impl Fn(&Row) -> bool) -> i64 {
    rows.iter().filter(|row| wanted(row)).filter_map(|row| row.value).map(|value| (100.0 * value).round() as i64).sum()
}

#[test]
fn the_five_criteria_find_whom_the_events_tell() {
    let base = shop();
    let as_of = base.as_of;
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("segments.toml");
    std::fs::write(&toml, CRITERIA).unwrap();
    let segments = Segments::load(&toml).unwrap();
    let out = folder.path().join("segments");
    std::fs::create_dir(&out).unwrap();
    let counts = evaluate(&segments, &base.partition, &out, as_of, 2).unwrap();
    assert_eq!(counts.customers, base.manifest.rows);
    let memberships = read(&out.join(format!("as_of={as_of}")).join("memberships.parquet"));
    let text = |name: &str| memberships.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (ids, names) = (text("customer_id"), text("segment"));
    let found = |segment: &str| -> BTreeSet<&str> {
        (0..ids.len()).filter(|&row| names.value(row) == segment).map(|row| ids.value(row)).collect()
    };

    let is = |row: &Row, event: &str, category: &str| row.event == event && row.category.as_deref() == Some(category);
    let purchases = |rows: &[&Row]| count(rows, |row| row.event == "purchase");
    let value = base.scores.by_customer("predicted_value_90d");
    let churn = base.scores.by_customer("churn_percentile");
    let spent = |rows: &[&Row]| money(rows, |row| row.event == "purchase");

    let new = customers(base, |_, rows| {
        rows.iter().any(|row| row.event == "register" && row.age(as_of) < 7.0)
            && purchases(rows) == 0
            && count(rows, |row| is(row, "view", "handbags")) > 0
    });
    let unmoved = customers(base, |_, rows| {
        let responses = count(rows, |row| row.event == "email_open" || row.event == "email_click");
        spent(rows) > 50_000 && responses == 0
    });
    let lost = customers(base, |id, rows| {
        let recent = |row: &Row| is(row, "play", "poker") && row.age(as_of) <= 7.0;
        count(rows, recent) > 0 && money(rows, recent) < 0 && value[id].unwrap() > 200.0
    });
    let skiers = customers(base, |id, rows| {
        churn[id].is_some_and(|percentile| percentile >= 80.0) && count(rows, |row| is(row, "purchase", "ski")) >= 2
    });
    // The top tenth of those who ever ordered, by the formula of percentiles.
    let mut spends: BTreeMap<&str, i64> = BTreeMap::new();
    for row in base.known.iter().filter(|row| row.event == "purchase") {
        *spends.entry(&row.customer).or_default() += (100.0 * row.value.unwrap()).round() as i64;
    }
    let is_top = |spent: i64| 100 * spends.values().filter(|&&other| other <= spent).count() > 90 * spends.len();
    let quiet = customers(base, |_, rows| {
        let last = rows.iter().filter(|row| row.event == "purchase").map(|row| row.age(as_of)).min_by(f64::total_cmp);
        last.is_some_and(|age| age > 60.0) && is_top(spent(rows))
    });
    for (segment, wanted) in [
        ("new-browsed-handbags", new),
        ("spent-never-responded", unmoved),
        ("lost-at-poker", lost),
        ("likely-to-churn-skiers", skiers),
        ("top-spenders-gone-quiet", quiet),
    ] {
        assert!(!wanted.is_empty(), "{segment} is empty: the test would tell nothing");
        assert!(wanted.len() < base.manifest.rows as usize / 2, "{segment}");
        assert_eq!(found(segment), wanted, "{segment}");
    }
}
