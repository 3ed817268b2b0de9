//! Declared features and numeric extras against a second, slow reading of what they say.

use bellwether::config::{Aggregate, DeclaredFeature};
use bellwether::events::{ColumnKind, Conditions, Extra, ExtraValues};

use super::*;

/// A survey score that comes with some events.
fn score(line: &Line) -> f64 {
    if line.quantity.is_nan() { f64::NAN } else { f64::from(line.quantity) * 2.0 - 3.0 }
}

/// Predicates, and what they mean.
type Condition = (&'static str, fn(&Line) -> bool);
const CONDITIONS: [Condition; 4] = [
    ("category = 'wine'", |line| line.category == Some("wine")),
    ("value > 20 OR channel IS NULL", |line| line.value > 20.0 || line.channel.is_none()),
    ("\"score\" >= 0 AND event <> 'view'", |line| score(line) >= 0.0 && line.event != "view"),
    ("browser IN ('phone', 'desk')", |line| matches!(line.device, Some("phone" | "desk"))),
];

const AGGREGATES: [Aggregate; 10] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Last,
    Aggregate::First,
    Aggregate::Distinct,
    Aggregate::DaysSince,
    Aggregate::Streak,
];

fn declaration() -> impl Strategy<Value = DeclaredFeature> {
    let numbers = select(vec!["value", "quantity", "score"]);
    let any = select(vec!["value", "quantity", "score", "category", "channel", "browser", "order_id", "campaign"]);
    let event = prop_oneof![2 => Just(None), 3 => select(EVENTS.to_vec()).prop_map(Some), 1 => Just(Some("never"))];
    let condition = prop_oneof![Just(None), (0..CONDITIONS.len()).prop_map(Some)];
    let window = prop_oneof![2 => Just(None), 3 => select(vec![1u16, 7, 30, 365, 60_000]).prop_map(Some)];
    (select(AGGREGATES.to_vec()), event, numbers, any, condition, window).prop_map(
        |(agg, event, number, any, condition, window_days)| {
            let value = match agg {
                Aggregate::Distinct => Some(any),
                Aggregate::Count if any == "score" => Some(any),
                Aggregate::Count | Aggregate::DaysSince | Aggregate::Streak => None,
                _ => Some(number),
            };
            let condition = if agg == Aggregate::Streak { condition.or(Some(0)) } else { condition };
            DeclaredFeature {
                name: String::new(),
                agg,
                event: event.map(str::to_string),
                value: value.map(str::to_string),
                condition: condition.map(|index| CONDITIONS[index].0.to_string()),
                window_days,
            }
        },
    )
}

/// A value as a text that is equal where values are.
fn told(line: &Line, column: &str) -> Option<String> {
    let number = |value: f64| (!value.is_nan()).then(|| value.to_string());
    match column {
        "value" => number(line.value),
        "quantity" => number(f64::from(line.quantity)),
        "score" => number(score(line)),
        "category" => line.category.map(str::to_string),
        "channel" => line.channel.map(str::to_string),
        "browser" => line.device.map(str::to_string),
        "campaign" => line.campaign.map(str::to_string),
        "order_id" => line.order.map(str::to_string),
        other => panic!("{other}"),
    }
}

fn expected(feature: &DeclaredFeature, known: &[&Line], as_of: Day) -> f64 {
    let holds = |line: &&&Line| {
        let condition = feature.condition.as_ref().map(|text| CONDITIONS.iter().find(|c| c.0 == text).unwrap().1);
        condition.is_none_or(|condition| condition(line))
    };
    let in_window = |line: &&&Line| {
        feature.window_days.is_none_or(|days| line.time >= (i64::from(as_of.0) - i64::from(days)) * DAY_MICROS)
    };
    let of_event = |line: &&&Line| feature.event.as_ref().is_none_or(|event| line.event == event);
    let events: Vec<&Line> = known.iter().filter(of_event).filter(in_window).copied().collect();
    if feature.agg == Aggregate::Streak {
        return events.iter().rev().take_while(|line| holds(line)).count() as f64;
    }
    let events: Vec<&Line> = events.iter().filter(holds).copied().collect();
    if feature.agg == Aggregate::DaysSince {
        let last = events.iter().map(|line| line.time).max();
        return last.map_or(f64::NAN, |time| (i64::from(as_of.0) * DAY_MICROS - time) as f64 / DAY_MICROS as f64);
    }
    let Some(column) = &feature.value else { return events.len() as f64 };
    let values: Vec<String> = events.iter().filter_map(|line| told(line, column)).collect();
    match feature.agg {
        Aggregate::Count => return values.len() as f64,
        Aggregate::Distinct => return values.iter().collect::<BTreeSet<_>>().len() as f64,
        _ => {}
    }
    let values: Vec<f64> = values.iter().map(|value| value.parse().unwrap()).collect();
    let Some((&first, &last)) = values.first().zip(values.last()) else {
        return if feature.agg == Aggregate::Sum { 0.0 } else { f64::NAN };
    };
    match feature.agg {
        Aggregate::Sum => values.iter().sum(),
        Aggregate::Mean => values.iter().sum::<f64>() / values.len() as f64,
        Aggregate::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregate::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Last => last,
        Aggregate::First => first,
        other => panic!("{other:?}"),
    }
}

fn rich_timelines(lines: &[Line], conditions: &Conditions, budget: Budget) -> Timelines {
    let mut builder = TimelineBuilder::within(budget);
    for lines in lines.chunks(16) {
        let mut batch = batch(lines);
        let browser = ExtraValues::Labels(coded(lines.iter().map(|line| line.device)));
        batch.extras = vec![
            Extra { name: "score".into(), values: ExtraValues::Numbers(lines.iter().map(score).collect()) },
            Extra { name: "browser".into(), values: browser },
        ];
        conditions.mark(&mut batch).unwrap();
        builder.append(&[batch]).unwrap();
    }
    builder.finish().unwrap()
}

fn columns() -> Vec<(String, ColumnKind)> {
    let text = ["event", "category", "channel", "browser"].map(|name| (name.to_string(), ColumnKind::Text));
    let number = ["value", "score"].map(|name| (name.to_string(), ColumnKind::Number));
    text.into_iter().chain(number).collect()
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn declared_features_are_what_they_say(
        mut lines in lines(), as_ofs in as_ofs(), mut declared in prop::collection::vec(declaration(), 1..12),
        is_spilled in any::<bool>(),
    ) {
        // Of events at one instant the order is the timeline's own; which is newest is not for the reference to say.
        lines.sort_by_key(|line| (line.time, line.customer));
        lines.dedup_by_key(|line| (line.time, line.customer));
        for (index, feature) in declared.iter_mut().enumerate() {
            feature.name = format!("declared_{index}");
        }
        let mut config = config("purchase");
        config.feature = declared.clone();
        let conditions = Conditions::new(&bellwether::config::conditions(&declared), &columns()).unwrap();
        let budget = if is_spilled { TINY_BUDGET } else { Budget::default() };
        let timelines = rich_timelines(&lines, &conditions, budget);
        let plan = Plan::new(&timelines, &config, as_ofs[0]).unwrap();
        prop_assert!(plan.check_selection().is_ok());
        let features = plan.features();
        let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines), &requests(&as_ofs)).unwrap();
        for (key, values) in table.keys.iter().zip(table.values.outer_iter()) {
            let (as_of, id) = (as_ofs[key.request as usize], id_of(&timelines, key));
            let known: Vec<&Line> =
                lines.iter().filter(|line| line.customer == id && line.is_known_at(as_of)).collect();
            let gross: f64 = known.iter().map(|line| line.money().abs()).sum();
            let value = |name: &str| {
                f64::from(values[features.iter().position(|feature| feature.name == name).expect("a feature")])
            };
            let agrees = |got: f64, expected: f64, slack: f64| {
                expected.is_nan() && got.is_nan() || (got - expected).abs() <= expected.abs() * F32_ROUNDING + slack
            };
            for feature in &declared {
                let (got, expected) = (value(&feature.name), expected(feature, &known, as_of));
                prop_assert!(
                    agrees(got, expected, gross * SUM_ROUNDING + DAYS_ROUNDING),
                    "{:?} of {} at {}: {} for {}", feature, id, as_of, got, expected,
                );
            }
            if plan.numbers.is_empty() {
                continue; // nobody had a score when the plan was frozen
            }
            let of = |agg: Aggregate| {
                let feature = DeclaredFeature {
                    name: String::new(), agg, event: None, value: Some("score".into()), condition: None, window_days: None,
                };
                expected(&feature, &known, as_of)
            };
            let scores: Vec<(i64, f64)> =
                known.iter().map(|line| (line.time, score(line))).filter(|(_, score)| !score.is_nan()).collect();
            let change = match scores.as_slice() {
                [.., (_, before), (_, last)] => last - before,
                _ => f64::NAN,
            };
            let days = scores.last().map_or(f64::NAN, |(time, _)| {
                (i64::from(as_of.0) * DAY_MICROS - time) as f64 / DAY_MICROS as f64
            });
            for (name, expected) in [
                ("score_count", scores.len() as f64),
                ("mean_score", of(Aggregate::Mean)),
                ("smallest_score", of(Aggregate::Min)),
                ("largest_score", of(Aggregate::Max)),
                ("last_score", of(Aggregate::Last)),
                ("score_change", change),
                ("days_since_last_score", days),
            ] {
                prop_assert!(agrees(value(name), expected, DAYS_ROUNDING), "{} of {} at {}", name, id, as_of);
            }
        }
    }
}

#[test]
fn numbers_are_those_of_numeric_columns_known_when_the_plan_was_frozen() {
    let line = |offset: i32, quantity: f32| Line {
        customer: "anna",
        time: i64::from(MONDAY.0 + offset) * DAY_MICROS,
        received: MONDAY.0 + offset,
        event: "purchase",
        category: None,
        channel: None,
        device: Some("phone"),
        campaign: None,
        value: 1.0,
        quantity,
        order: None,
    };
    let none = Conditions::new(&[], &columns()).unwrap();
    let timelines = rich_timelines(&[line(0, f32::NAN), line(10, 4.0)], &none, Budget::default());
    let names = |frozen_at: Day, config: &Config| {
        let plan = Plan::new(&timelines, config, frozen_at).unwrap();
        plan.numbers.iter().map(|number| number.name.clone()).collect::<Vec<_>>()
    };
    let mut config = config("purchase");
    assert_eq!(names(MONDAY.plus(10), &config), Vec::<String>::new(), "the first score came later");
    assert_eq!(names(MONDAY.plus(11), &config), ["score"], "text is no number");
    config.features.max_numbers = 0;
    assert_eq!(names(MONDAY.plus(11), &config), Vec::<String>::new());
}

#[test]
fn a_declared_feature_may_not_take_the_name_of_another() {
    let none = Conditions::new(&[], &columns()).unwrap();
    let lines = [Line {
        customer: "anna",
        time: i64::from(MONDAY.0) * DAY_MICROS,
        received: MONDAY.0,
        event: "purchase",
        category: None,
        channel: None,
        device: None,
        campaign: None,
        value: 1.0,
        quantity: 1.0,
        order: None,
    }];
    let timelines = rich_timelines(&lines, &none, Budget::default());
    let mut config = config("purchase");
    let count = |name: &str| DeclaredFeature {
        name: name.into(),
        agg: Aggregate::Count,
        event: None,
        value: None,
        condition: None,
        window_days: None,
    };
    config.feature = vec![count("my_events"), count("tenure_days")];
    let error = Plan::new(&timelines, &config, MONDAY.plus(1)).unwrap().check_selection().unwrap_err();
    assert_eq!(error.to_string(), "the declared feature `tenure_days` has the name of a feature that is there anyway");
}
