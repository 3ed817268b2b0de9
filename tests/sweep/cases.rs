//! Single cases, by hand.

use super::labels::target;
use super::*;

/// Rows of one customer's lines at one cut-off, by feature.
fn features_of(lines: &[Line], as_of: Day) -> BTreeMap<String, f32> {
    let timelines = timelines(lines, 100_000);
    let plan = Plan::new(&timelines, &config("purchase"), as_of);
    let requests = requests(&[as_of]);
    let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines.vocabularies), &requests);
    assert_eq!(table.keys.len(), 1);
    plan.features().into_iter().map(|feature| feature.name).zip(table.values.row(0).iter().copied()).collect()
}

fn purchase(offset: i32, instant: i64, order: Option<&'static str>, value: f64) -> Line {
    let day = MONDAY.0 + offset;
    Line {
        customer: "anna",
        time: i64::from(day) * DAY_MICROS + instant,
        received: day,
        event: "purchase",
        category: None,
        channel: None,
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
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected, "{name}");
    }
}

#[test] // a clock has no spread, and equal orders have none: exactly, whatever the amount
fn equal_orders_at_equal_gaps_have_no_spread() {
    for value in [19.99, 0.1, 1_234_567.89] {
        let lines: Vec<Line> = (0..50).map(|index| purchase(index * 7, 0, None, value)).collect();
        let row = features_of(&lines, MONDAY.plus(400));
        assert_eq!(row["order_value_spread"], 0.0, "{value}");
        assert_eq!((row["spread_days_between_orders"], row["gap_variation"]), (0.0, 0.0));
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
        customer: StringArray::from_iter_values((0..2 * ORDERS).map(|_| "anna")),
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
        order: Some(StringArray::from_iter_values(ids.iter().chain(&ids))),
    };
    let mut builder = TimelineBuilder::default();
    builder.append(&[batch]).expect("few names");
    let timelines = builder.finish().expect("an event");
    let as_ofs: Vec<Day> = (1..9).map(|days| MONDAY.plus(days)).collect();
    let plan = Plan::new(&timelines, &config("purchase"), as_ofs[0]);
    let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines.vocabularies), &requests(&as_ofs));
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
    let mut label = [0.0];
    let events = events_of(&timelines, "anna");
    Labeller::new(&target, &timelines.vocabularies).label(events, MONDAY, &mut label);
    assert_eq!(label, [ORDERS as f32]);
    let history = History::of(events, as_ofs[0], true, |_| true).expect("orders");
    assert_eq!((history.occurrences, history.days), (ORDERS as u32, 1));
}
