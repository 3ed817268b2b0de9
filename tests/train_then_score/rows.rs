//! A row for everybody who is known, and what stands in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, UInt16Type};
use bellwether::config::TargetKind;

use super::shop::{LEAN, Row, Scores, TARGETS, config, fit, read, run, shop, write_parquet};

#[test]
fn the_columns_are_those_of_the_contract() {
    let scores = &shop().scores;
    let found: Vec<&str> = scores.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let text = DataType::Utf8;
    let wanted = [
        ("customer_id", text.clone()),
        ("as_of", DataType::Date32),
        ("status", text.clone()),
        ("lifecycle_stage", text.clone()),
        ("churn_probability_90d", DataType::Float64),
        ("churn_percentile", DataType::UInt8),
        ("churn_permille", DataType::UInt16),
        ("churn_percentile_in_stage", DataType::UInt8),
        ("churn_band", text.clone()),
        ("alive_probability", DataType::Float64),
        ("predicted_orders_90d", DataType::Float64),
        ("predicted_value_90d", DataType::Float64),
        ("predicted_value_low_90d", DataType::Float64),
        ("predicted_value_high_90d", DataType::Float64),
        ("value_percentile", DataType::UInt8),
        ("value_permille", DataType::UInt16),
        ("value_tier", text.clone()),
        ("expected_next_order_date", DataType::Date32),
        ("average_days_between_orders", DataType::Float64),
        ("churn_factor", DataType::Float64),
        ("value_at_risk_90d", DataType::Float64),
        ("holdout", DataType::Boolean),
        ("excluded_until", DataType::Date32),
        ("bundle_id", text),
        ("schema_version", DataType::Int32),
    ];
    for (name, data_type) in wanted {
        assert_eq!(*scores.column(name).data_type(), data_type, "{name}");
    }
    for name in ["reasons", "value_reasons"] {
        let DataType::List(item) = scores.column(name).data_type() else { panic!("`{name}` is a list") };
        let DataType::Struct(fields) = item.data_type() else { panic!("`{name}` holds structs") };
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["feature", "value", "effect", "direction", "text"], "the contract's four first");
    }
    let categories = found.iter().filter(|name| name.starts_with("purchase_probability_") && name.ends_with("_30d"));
    assert_eq!(categories.count(), 7);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "no name twice");
    let features: Vec<&str> = shop().fitted.bundle.manifest.features.iter().map(|f| f.name.as_str()).collect();
    assert!(features.iter().all(|name| found.contains(name)));
}

#[test]
fn intervals_and_what_is_at_risk_stand_beside_the_value() {
    let base = shop();
    let of = |name: &str| base.scores.numbers(name);
    let (value, low, high) = (of("predicted_value_90d"), of("predicted_value_low_90d"), of("predicted_value_high_90d"));
    let (churn, risk) = (of("churn_probability_90d"), of("value_at_risk_90d"));
    let mut widths = BTreeSet::new();
    for row in 0..value.len() {
        let value = value[row].expect("everybody has a value");
        let (low, high) = (low[row].unwrap(), high[row].unwrap());
        assert!(low <= high, "{low} {value} {high}");
        widths.insert((high - low).to_bits());
        // p · v / (1 − p), where at least a twentieth stays
        let expected = churn[row].map(|p| p * value / (1.0 - p).max(0.05));
        assert_eq!(risk[row], expected);
    }
    assert!(widths.len() > 100, "each customer has an interval of their own");
    let value = base.fitted.bundle.report.targets.iter().find(|report| report.name == "predicted_value_90d").unwrap();
    // 80 % within three standard errors of a share of so many customers, and of what the interval was learned from, which is
    // an earlier window: the shop sells a few per cent more or less in each.
    let error = (0.16 * (2.0 / value.rows as f64)).sqrt();
    assert!((value.coverage.unwrap() - 0.8).abs() < 3.0 * error + 0.03, "{:?} of {}", value.coverage, value.rows);
}

#[test]
fn predictions_carry_unit_horizon_and_label() {
    let scores = &shop().scores;
    let note = |column: &str, key: &str| {
        let schema = scores.batch.schema_ref();
        schema.field_with_name(column).unwrap().metadata().get(key).unwrap_or_else(|| panic!("{column}: {key}")).clone()
    };
    for (column, unit, days, label) in [
        ("churn_probability_90d", "probability", "90", "no order in the 90 days from as_of"),
        ("predicted_orders_90d", "count", "90", "number of orders in the 90 days from as_of"),
        ("predicted_value_90d", "money", "90", "sum of value of `purchase` in the 90 days from as_of"),
        (
            "purchase_probability_shoes_30d",
            "probability",
            "30",
            "at least one order in category `shoes` in the 30 days from as_of",
        ),
    ] {
        let found = ["unit", "horizon_days", "label", "event"].map(|key| note(column, key));
        assert_eq!(found, [unit, days, label, "purchase"], "{column}");
    }
    assert_eq!(note("average_days_between_orders", "unit"), "days");
    // These two stand among the scores of every file.
    let is_score = |name: &str| ["average_days_between_orders", "churn_factor"].contains(&name);
    for feature in shop().fitted.bundle.manifest.features.iter().filter(|feature| !is_score(&feature.name)) {
        assert_eq!(note(&feature.name, "note"), feature.note);
        assert_eq!(note(&feature.name, "unit"), feature.unit.name());
    }
}

/// Customers with what was known of their orders: days with one, ascending.
fn order_days(known: &[Row]) -> BTreeMap<&str, BTreeSet<i32>> {
    let mut days: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for row in known {
        let days = days.entry(&row.customer).or_default();
        if row.event == "purchase" && row.value.is_none_or(|value| value >= 0.0) {
            days.insert(bellwether::time::Day::of_wall(row.time).0);
        }
    }
    days
}

#[test]
fn everybody_known_has_one_row_and_nobody_else() {
    let base = shop();
    let orders = order_days(&base.known);
    let ids = base.scores.ids();
    assert!(ids.iter().eq(orders.keys()), "sorted, once each, exactly those with an event");
    assert!(base.future.iter().any(|row| !orders.contains_key(row.customer.as_str())), "some came later");
    assert_eq!(base.manifest.rows, ids.len() as u64);

    let first: HashMap<&str, i64> = base.known.iter().fold(HashMap::new(), |mut first, row| {
        let time = first.entry(row.customer.as_str()).or_insert(row.time);
        *time = row.time.min(*time);
        first
    });
    let statuses = base.scores.text("status");
    let day = bellwether::time::DAY_MICROS;
    for (id, status) in ids.iter().zip(&statuses) {
        let is_new = base.as_of.start_micros() - first[id] < day;
        let wanted = if orders[id].is_empty() || is_new { "prior_only" } else { "scored" };
        assert_eq!(*status, Some(wanted), "{id}");
    }
    for (status, count) in &base.manifest.rows_by_status {
        assert_eq!(statuses.iter().filter(|found| **found == Some(status)).count() as u64, *count, "{status}");
    }
    assert_eq!(base.manifest.rows_by_stage.values().sum::<u64>(), base.manifest.rows);
    let dates = base.scores.column("as_of").as_primitive::<Date32Type>();
    assert!(dates.values().iter().all(|&date| date == base.as_of.0));
    let bundle_ids = base.scores.text("bundle_id");
    assert!(bundle_ids.iter().all(|id| *id == Some(base.fitted.bundle.manifest.bundle_id.as_str())));
}

#[test]
fn a_prediction_is_null_exactly_where_the_customer_is_not_eligible() {
    let base = shop();
    let orders = order_days(&base.known);
    let has_order: Vec<bool> = base.scores.ids().iter().map(|id| !orders[id].is_empty()).collect();
    let twice: Vec<bool> = base.scores.ids().iter().map(|id| orders[id].len() > 1).collect();
    assert!(has_order.contains(&true) && has_order.contains(&false));
    let everybody = vec![true; has_order.len()];
    let nulls = |name: &str, known: &[bool]| {
        let column = base.scores.column(name);
        let found: Vec<bool> = (0..column.len()).map(|row| column.is_valid(row)).collect();
        assert_eq!(found, known, "{name}");
    };
    for name in [
        "churn_probability_90d",
        "churn_percentile",
        "churn_permille",
        "churn_percentile_in_stage",
        "churn_band",
        "alive_probability",
        "churn_factor",
        "spend_percentile",
        "reasons",
    ] {
        nulls(name, &has_order);
    }
    for name in [
        "predicted_orders_90d",
        "predicted_value_90d",
        "value_percentile",
        "value_permille",
        "value_tier",
        "top_categories",
        "value_reasons",
        "lifecycle_stage",
        "holdout",
    ] {
        nulls(name, &everybody);
    }
    nulls("average_days_between_orders", &twice);
    for field in base.scores.batch.schema_ref().fields() {
        if field.name().starts_with("purchase_probability_") {
            nulls(field.name(), &everybody);
        }
        if field.name().contains("probability") && *field.data_type() == DataType::Float64 {
            let inside = |value: f64| (0.0..=1.0).contains(&value);
            assert!(base.scores.numbers(field.name()).into_iter().flatten().all(inside), "{}", field.name());
        }
    }
    // Sums and means of the manifest are those of the file.
    for (column, total) in &base.manifest.totals {
        let values: Vec<f64> = base.scores.numbers(column).into_iter().flatten().collect();
        let sum: f64 = values.iter().sum();
        assert!((sum - total).abs() <= 1e-9 * sum.abs().max(1.0), "{column}: {sum}, {total}"); // another order of adding
        let mean = base.manifest.means[column].unwrap();
        assert!((mean * values.len() as f64 - total).abs() <= 1e-9 * total.abs().max(1.0), "{column}");
    }
}

/// `max(1, ceil(parts · count(score ≤ this) / n))` among those with a score, as the contract has it.
fn ranks(values: &[Option<f64>], parts: usize) -> Vec<Option<usize>> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let rank = |value: f64| {
        let below = known.iter().filter(|&&other| other <= value).count();
        (parts * below).div_ceil(known.len()).max(1)
    };
    values.iter().map(|value| value.map(rank)).collect()
}

#[test]
fn ranks_follow_the_contracts_formula() {
    let scores = &shop().scores;
    let percentiles = |name: &str| -> Vec<Option<usize>> {
        scores.percentiles(name).into_iter().map(|rank| rank.map(usize::from)).collect()
    };
    let permilles = |name: &str| -> Vec<Option<usize>> {
        scores.column(name).as_primitive::<UInt16Type>().iter().map(|rank| rank.map(usize::from)).collect()
    };
    for (name, column) in [("churn", "churn_probability_90d"), ("value", "predicted_value_90d")] {
        let values = scores.numbers(column);
        assert_eq!(percentiles(&format!("{name}_percentile")), ranks(&values, 100), "{name}");
        assert_eq!(permilles(&format!("{name}_permille")), ranks(&values, 1000), "{name}");
    }
    let (values, stages) = (scores.numbers("churn_probability_90d"), scores.text("lifecycle_stage"));
    let mut in_stage = vec![None; values.len()];
    for stage in stages.iter().collect::<BTreeSet<_>>() {
        let rows: Vec<usize> = (0..values.len()).filter(|&row| stages[row] == *stage).collect();
        let of_stage: Vec<Option<f64>> = rows.iter().map(|&row| values[row]).collect();
        for (row, rank) in rows.into_iter().zip(ranks(&of_stage, 100)) {
            in_stage[row] = rank;
        }
    }
    assert_eq!(percentiles("churn_percentile_in_stage"), in_stage);
    let spend: Vec<Option<f64>> =
        scores.numbers("spend").into_iter().zip(&values).map(|(spend, churn)| churn.and(spend)).collect();
    assert_eq!(percentiles("spend_percentile"), ranks(&spend, 100));
}

#[test]
fn bands_and_tiers_begin_at_the_cuts_of_the_bundle() {
    let base = shop();
    let parameters = &base.fitted.bundle.parameters;
    for (kind, names, label, column) in [
        (TargetKind::Absence, &["low", "medium", "high"][..], "churn_band", "churn_probability_90d"),
        (TargetKind::Amount, &["low", "medium", "high", "top"], "value_tier", "predicted_value_90d"),
    ] {
        let fitted = parameters.targets.iter().find(|fitted| fitted.target.kind == kind).unwrap();
        let cuts: Vec<f64> = serde_json::from_value(serde_json::to_value(&fitted.cuts).unwrap()).unwrap();
        assert_eq!(cuts.len(), names.len() - 1);
        assert!(cuts.is_sorted());
        let name = |value: f64| names[cuts.iter().filter(|&&cut| value >= cut).count()];
        let wanted: Vec<Option<&str>> = base.scores.numbers(column).into_iter().map(|value| value.map(name)).collect();
        assert_eq!(base.scores.text(label), wanted, "{label}");
        assert_eq!(wanted.iter().flatten().collect::<BTreeSet<_>>().len(), names.len(), "each {label} occurs");
    }
    let configured = config(&format!("{LEAN}{TARGETS}[scores]\nchurn_band_medium = 0.3\nchurn_band_high = 0.6\n"));
    assert_eq!(configured.scores.churn_band_high, 0.6);
}

#[test]
fn the_five_most_probable_categories_stand_in_order() {
    let base = shop();
    let target = base.fitted.bundle.parameters.targets.iter().find(|fitted| fitted.target.per_group).unwrap();
    let groups: Vec<(&str, Vec<Option<f64>>)> = target
        .target
        .groups
        .iter()
        .map(|group| (group.name.as_str(), base.scores.numbers(&format!("purchase_probability_{}_30d", group.slug))))
        .collect();
    let lists = base.scores.column("top_categories").as_list::<i32>();
    for row in 0..base.scores.batch.num_rows() {
        let entries = lists.value(row);
        let entries = entries.as_struct();
        let names = entries.column_by_name("category").unwrap().as_string::<i32>();
        let values = entries.column_by_name("probability").unwrap().as_primitive::<Float64Type>();
        assert_eq!(entries.len(), 5);
        assert!(values.values().is_sorted_by(|a, b| a >= b), "row {row}");
        let mut left = groups.clone();
        for entry in 0..5 {
            let place = left.iter().position(|(name, _)| *name == names.value(entry)).expect("each once");
            let (_, column) = left.remove(place);
            assert_eq!(column[row], Some(values.value(entry)), "row {row}");
        }
        let least = values.value(4);
        assert!(left.iter().all(|(_, column)| column[row].unwrap() <= least), "row {row}");
    }
}

/// Hold-out by customer.
fn holdout(scores: &Scores) -> BTreeMap<&str, bool> {
    let column: &BooleanArray = scores.column("holdout").as_boolean();
    scores.ids().into_iter().zip(column.values().iter()).collect()
}

#[test]
fn a_twentieth_is_held_out_and_stays_so() {
    let base = shop();
    let held_out = holdout(&base.scores);
    let n = held_out.len() as f64;
    let share = held_out.values().filter(|&&held_out| held_out).count() as f64 / n;
    assert!((share - 0.05).abs() < 4.0 * (0.05 * 0.95 / n).sqrt(), "{share}"); // 4 standard errors
    // Another day, and only some of the events.
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.parquet");
    let rows: Vec<Row> = base.known.iter().filter(|row| row.event != "view").cloned().collect();
    write_parquet(&events, &rows);
    let (manifest, partition) =
        run(&base.models, &events, Some(base.as_of.plus(-100)), &folder.path().join("scores")).unwrap();
    let earlier = Scores::read(&partition);
    let earlier = holdout(&earlier);
    assert!(manifest.rows > 500 && manifest.rows < base.manifest.rows);
    assert!(earlier.iter().all(|(id, held)| held_out[id] == *held));
}

#[test]
fn another_target_changes_no_column_of_the_others() {
    let base = shop();
    // In front of, between and behind the others, with the kinds that share models with them.
    let more = "[target.active]\nkind = \"presence\"\nevent = \"view\"\nhorizon_days = 14\n\
                [target.month]\nkind = \"amount\"\nhorizon_days = 30\n\
                [target.half]\nkind = \"amount\"\nhorizon_days = 150\n\
                [target.clicks]\nkind = \"count\"\nevent = \"email_click\"\nhorizon_days = 60\n\
                [target.zeal]\nkind = \"absence\"\nhorizon_days = 45\neligible = \"purchases >= 2\"\n";
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fit(&base.events, &config(&format!("{LEAN}{TARGETS}{more}")), Some(base.as_of), &models).unwrap();
    let (_, partition) = run(&models, &base.events, Some(base.as_of), &folder.path().join("scores")).unwrap();
    let batch = read(&partition.join("part-00000.parquet"));
    // A longer horizon than any other: its test window begins earliest, and its catalogue is frozen earliest.
    let added = [
        "predicted_half_150d",
        "active_probability_14d",
        "predicted_month_30d",
        "predicted_clicks_60d",
        "zeal_probability_45d",
    ];
    for name in added {
        assert!(batch.column_by_name(name).is_some(), "{name}");
    }
    for (field, column) in base.scores.batch.schema_ref().fields().iter().zip(base.scores.batch.columns()) {
        let other = batch.column_by_name(field.name()).unwrap_or_else(|| panic!("no `{}`", field.name()));
        if field.name() != "bundle_id" {
            assert!(other.to_data() == column.to_data(), "`{}` changed", field.name());
        }
    }
}
