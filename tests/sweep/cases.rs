//! Single cases, by hand.

use super::labels::target;
use super::*;

/// Rows of one customer's lines at one cut-off, by feature.
pub fn features_of(lines: &[Line], as_of: Day) -> BTreeMap<String, f32> {
    let timelines = timelines(lines, 100_000);
    let plan = Plan::new(&timelines, &config("purchase"), as_of).unwrap();
    let requests = requests(&[as_of]);
    let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines), &requests).unwrap();
    assert_eq!(table.keys.len(), 1);
    plan.features().into_iter().map(|feature| feature.name).zip(table.values.row(0).iter().copied()).collect()
}

pub fn purchase(offset: i32, instant: i64, order: Option<&'static str>, value: f64) -> Line {
    let day = MONDAY.0 + offset;
    Line {
        customer: "anna",
        time: i64::from(day) * DAY_MICROS + instant,
        received: day,
        event: "purchase",
        category: None,
        channel: None,
        device: None,
        campaign: None,
        value,
        quantity: f32::NAN,
        order,
    }
}

#[test] // by hand: Monday 2024-01-01 to Saturday 2024-01-06, asked on Monday 2024-01-08
fn a_small_history_by_hand() {
    let hour = DAY_MICROS / 24;
    let lines = [
        purchase(0, 9 * hour, Some("A"), 10.0),
        purchase(0, 10 * hour, Some("B"), 30.0),
        purchase(0, 11 * hour, Some("A"), 5.0), // A again: 15 in all, and B still began last
        purchase(1, 0, None, -4.0),             // a refund is no order
        purchase(2, 6 * hour, None, 20.0),
        purchase(5, 18 * hour, Some("A"), 40.0), // another day: another order
        purchase(7, 0, None, 1e6),               // exactly at the cut-off: future
    ];
    let row = features_of(&lines, MONDAY.plus(7));
    let expected = [
        ("tenure_days", 6.625),
        ("days_since_last_order", 1.25),
        ("purchases", 4.0),
        ("order_days", 3.0),
        ("order_lines", 5.0),
        ("units", 5.0),
        ("spend", 101.0),
        ("refunds", 4.0),
        ("average_order_value", 26.25),
        ("largest_order_value", 40.0),
        ("first_order_value", 15.0),
        ("last_order_value", 40.0),
        ("repeat_order_value", 30.0),
        ("average_days_between_orders", 2.5),
        ("median_days_between_orders", 2.5),
        ("last_days_between_orders", 3.0),
        ("gap_trend", 1.2),
        ("usual_gap_days", 2.5), // the base is this customer
        ("churn_factor", 0.5),
        ("events", 6.0),
        ("active_days", 4.0),
        ("weekend_share", 1.0 / 6.0),
        ("purchases_7d", 4.0),
        ("purchases_1d", 0.0),
        ("spend_30d", 101.0),
        ("purchases_trend_7d", 4.0),
        ("gross_spend", 105.0),
        ("refund_share", 4.0 / 105.0),
        ("refund_lines", 1.0),
        ("lines_per_order", 1.25),
        ("units_per_order", 1.25),
        ("days_from_first_to_last_order", 5.375),
        ("days_until_expected_order", 1.25),
        // By tests/reference/features.py, as far as "events_slope_28d".
        ("order_clumpiness", 0.047_180_468_885_216_84),
        ("gap_local_variation", 0.12),
        ("gap_slope", 1.0),
        ("average_gap_days", 1.343_75),
        ("gap_spread_days", 1.435_347_119_747_229_2),
        ("gap_spread_ratio", 1.068_165_298_416_542_6),
        ("events_decayed_7d", 3.481_886_939_946_781_8),
        ("purchases_decayed_7d", 2.429_842_183_109_875_7),
        ("events_decayed_30d", 5.268_292_368_199_447),
        ("purchases_decayed_30d", 3.547_074_643_952_467),
        ("events_decayed_90d", 5.744_328_217_183_509),
        ("purchases_decayed_90d", 3.841_970_605_458_253_6),
        ("events_slope_28d", 1.8),
        ("order_lines_7d", 5.0),
        ("events_ratio_7d_14d", 2.0),
        ("purchases_ratio_1d_7d", 0.0),
        ("spend_ratio_14d_30d", 101.0 / (101.0 * 14.0 / 30.0)),
        ("events_day_1", 0.0),
        ("events_day_2", 1.0),
        ("purchases_day_7", 2.0),
        ("hour_share_night", 1.0 / 6.0),
        ("hour_share_morning", 4.0 / 6.0),
        ("hour_share_afternoon", 0.0),
        ("hour_share_evening", 1.0 / 6.0),
        ("weekday_share_monday", 0.5),
        ("weekday_share_saturday", 1.0 / 6.0),
        ("sessions", 6.0),
        ("sessions_7d", 6.0),
        ("events_per_session", 1.0),
        ("order_session_share", 5.0 / 6.0),
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected, "{name}");
    }
}

#[test] // sessions end after more than thirty minutes, and not at midnight
fn sessions_by_hand() {
    let minute = DAY_MICROS / 1440;
    let line = |minutes: i64, event: &'static str| Line { event, ..purchase(0, minutes * minute, None, f64::NAN) };
    let lines = [
        line(60, "view"),
        line(90, "view"), // thirty minutes are not more than thirty
        line(121, "view"),
        line(1439, "view"),
        line(1441, "purchase"), // the next day, the same session
        line(1449, "play"),
    ];
    let row = features_of(&lines, MONDAY.plus(9));
    let expected = [
        ("sessions", 3.0),
        ("sessions_7d", 0.0), // begun on the day before
        ("sessions_30d", 3.0),
        ("events_per_session", 2.0),
        ("minutes_per_session", 40.0 / 3.0),
        ("last_session_events", 3.0),
        ("last_session_minutes", 10.0),
        ("kinds_per_session", 5.0 / 3.0),
        ("last_session_kinds", 3.0),
        ("order_session_share", 1.0 / 3.0),
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected, "{name}");
    }
}

#[test]
fn dates_alone_tell_neither_hours_nor_sessions() {
    let lines = [purchase(0, 0, None, 1.0), purchase(3, 0, None, 1.0)];
    let row = features_of(&lines, MONDAY.plus(7));
    assert!(row.keys().all(|name| !name.contains("session") && !name.contains("hour")), "{:?}", row.keys());
    assert_eq!(row["weekday_share_thursday"], 0.5);
    let row = features_of(&[purchase(0, 1, None, 1.0)], MONDAY.plus(7));
    assert!(row.contains_key("sessions") && row.contains_key("hour_share_night"));
}

#[test] // as evenly as can be: 0; ordered on three days in a row of a hundred: nearly 1
fn clumpiness_goes_from_even_to_bunched() {
    let known_since = Line { event: "view", ..purchase(0, 0, None, f64::NAN) };
    let of = |days: [i32; 3], as_of: i32| {
        let lines: Vec<Line> =
            days.iter().map(|&day| purchase(day, 0, None, 1.0)).chain([known_since.clone()]).collect();
        features_of(&lines, MONDAY.plus(as_of))["order_clumpiness"]
    };
    assert!(of([4, 9, 14], 19).abs() < 1e-6);
    assert!(of([0, 1, 2], 1_000) > 0.98);
}

#[test] // a clock has no spread, and equal orders have none: exactly, whatever the amount
fn equal_orders_at_equal_gaps_have_no_spread() {
    for value in [19.99, 0.1, 1_234_567.89] {
        let lines: Vec<Line> = (0..50).map(|index| purchase(index * 7, 0, None, value)).collect();
        let row = features_of(&lines, MONDAY.plus(400));
        assert_eq!(row["order_value_spread"], 0.0, "{value}");
        assert_eq!((row["spread_days_between_orders"], row["gap_variation"]), (0.0, 0.0));
        assert_eq!((row["gap_spread_days"], row["gap_spread_ratio"], row["gap_local_variation"]), (0.0, 0.0, 0.0));
        assert_eq!((row["average_gap_days"], row["gap_slope"]), (7.0, 0.0));
    }
}

#[test] // the spread of small differences between large amounts survives: 1e9 - 1, 1e9, 1e9 + 1
fn a_small_spread_of_large_orders_is_kept() {
    let lines: Vec<Line> = (0..3).map(|index| purchase(index, 0, None, 1e9 + f64::from(index - 1))).collect();
    assert_eq!(features_of(&lines, MONDAY.plus(3))["order_value_spread"], 1.0);
}

#[test]
fn a_million_orders_of_one_customer_on_one_day() {
    const ORDERS: usize = 1_000_000;
    let ids: Vec<String> = (0..ORDERS).map(|order| format!("order {order}")).collect();
    let start = MONDAY.start_micros();
    // Two lines each, far apart, so that every order is open until the end of the day.
    let batch = EventBatch {
        customer: Ids::Texts((0..2 * ORDERS).map(|_| Some("anna")).collect()),
        time: (0..2 * ORDERS as i64).map(|line| start + line * 40_000).collect(),
        received: None,
        event: coded((0..2 * ORDERS).map(|_| Some("purchase"))),
        category: Some(coded((0..2 * ORDERS).map(|_| Some("wine")))),
        channel: None,
        device: None,
        campaign: None,
        value: Some((0..2 * ORDERS).map(|line| if line < ORDERS { 1.0 } else { 2.0 }).collect()),
        quantity: None,
        product: None,
        order: Some(ids.iter().chain(&ids).map(|id| order_hash(id)).collect()),
        extras: Vec::new(),
        conditions: Vec::new(),
    };
    let mut builder = TimelineBuilder::default();
    builder.append(&[batch]).expect("few names");
    let timelines = builder.finish().expect("an event");
    let as_ofs: Vec<Day> = (1..9).map(|days| MONDAY.plus(days)).collect();
    let plan = Plan::new(&timelines, &config("purchase"), as_ofs[0]).unwrap();
    let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines), &requests(&as_ofs)).unwrap();
    assert_eq!(table.keys.len(), as_ofs.len());
    let features = plan.features();
    let value = |name: &str, row: usize| {
        table.values[[row, features.iter().position(|feature| feature.name == name).expect("a feature")]]
    };
    for row in 0..as_ofs.len() {
        assert_eq!(value("purchases", row), ORDERS as f32);
        assert_eq!(value("average_order_value", row), 3.0);
        assert_eq!(value("largest_order_value", row), 3.0);
        assert_eq!(value("order_value_spread", row), 0.0);
        assert_eq!(value("order_lines", row), 2.0 * ORDERS as f32);
        assert_eq!(value("purchases_7d", row), if row < 7 { ORDERS as f32 } else { 0.0 });
    }
    let target = target(TargetKind::Count, "purchase", true, 1, &["wine"]);
    let labeller = Labeller::new(&target, &timelines.vocabularies);
    let of_anna = |timeline: Timeline| {
        let mut label = [0.0];
        labeller.label(timeline, MONDAY, &mut label);
        (label, History::of(timeline, as_ofs[0], true, |_| true).expect("orders"))
    };
    let (label, history) = with_timeline(&timelines, "anna", of_anna).expect("she is there");
    assert_eq!(label, [ORDERS as f32]);
    assert_eq!((history.occurrences, history.days), (ORDERS as u32, 1));
}
