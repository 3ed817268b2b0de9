//! Random timelines: every feature, label and history against a slow reference that is written from the
//! definitions, over the plain list of the events known at the cut-off.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::StringViewArray;
use bellwether::config::{Config, TargetKind};
use bellwether::events::batch::order_hash;
use bellwether::events::{EventBatch, Ids, Labels, NO_LABEL};
use bellwether::features::{FeatureTable, Group, Plan, RowRequest, Sweep, slug, slugs};
use bellwether::labels::{Labeller, Target};
use bellwether::time::{DAY_MICROS, Day, Horizon};
use bellwether::timeline::{Event, History, TimelineBuilder, Timelines};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

/// Features are rounded to f32 once: half a unit in the last place is 6e-8 of the value.
const F32_ROUNDING: f64 = 1.2e-7;
/// Sums of a few hundred amounts in another order, as a part of the largest sum on the way.
const SUM_ROUNDING: f64 = 1e-12;

/// Monday, 2024-01-01: the days of random events count from here.
const MONDAY: Day = Day(19_723);
const CUSTOMERS: [&str; 3] = ["7", "anna", "ßeta"];
const EVENTS: [&str; 6] = ["purchase", "view", "play", "email open", "event", "active day"];
/// More than the plan may hold, two of them with one slug.
const CATEGORIES: [&str; 6] = ["Ski", "ski", "Schuhe & Söckchen", "wine", "0", "zinc"];
const CHANNELS: [&str; 4] = ["web", "app", "shop", "Web"];

#[derive(Debug, Clone, PartialEq)]
struct Line {
    customer: &'static str,
    time: i64,
    received: i32,
    event: &'static str,
    category: Option<&'static str>,
    channel: Option<&'static str>,
    value: f64,
    quantity: f32,
    order: Option<&'static str>,
}

impl Line {
    fn day(&self) -> i32 {
        self.time.div_euclid(DAY_MICROS) as i32
    }

    fn is_known_at(&self, as_of: Day) -> bool {
        self.time < i64::from(as_of.0) * DAY_MICROS && self.received.max(self.day()) < as_of.0
    }

    fn money(&self) -> f64 {
        if self.value.is_nan() { 0.0 } else { self.value }
    }

    fn is_order_line(&self, order_event: &str) -> bool {
        self.event == order_event && (self.value.is_nan() || self.value >= 0.0)
    }
}

/// The same cases in every run, and no file of failures beside the test.
fn settings() -> ProptestConfig {
    ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

// ---- random events ----

fn day_offset() -> impl Strategy<Value = i32> {
    prop_oneof![
        5 => -30..30, // dense: several orders a day
        3 => -400..60,
        2 => select(vec![-8, -7, -6, -1, 0, 1, 89, 90, 91]), // the edges of windows
        1 => select(vec![-20_000, -19_724, -3_000, -1_500, 900]), // years apart, and before 1970
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let instant = prop_oneof![
        select(vec![0, 1, DAY_MICROS / 2, DAY_MICROS - 1]), // the same instants again and again
        0..DAY_MICROS,
    ];
    let late = prop_oneof![8 => Just(0), 1 => 1..40, 1 => -3..0];
    let money = prop_oneof![
        6 => (0..20_000i64).prop_map(|cents| cents as f64 / 100.0),
        2 => (-9_000..0i64).prop_map(|cents| cents as f64 / 100.0),
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(1e7),
        2 => Just(19.99),
    ];
    let quantity = prop_oneof![Just(f32::NAN), (0..9u8).prop_map(f32::from), Just(0.25)];
    let event = prop_oneof![4 => Just("purchase"), 5 => select(EVENTS.to_vec())];
    let missing = |names: &'static [&'static str]| prop_oneof![1 => Just(None), 3 => select(names).prop_map(Some)];
    let who_and_when = (select(CUSTOMERS.to_vec()), day_offset(), instant, late);
    let what = (event, missing(&CATEGORIES), missing(&CHANNELS), missing(&["A", "B", "C"]));
    (who_and_when, what, money, quantity).prop_map(|(who_and_when, what, money, quantity)| {
        let ((customer, offset, instant, late), (event, category, channel, order)) = (who_and_when, what);
        let day = MONDAY.0 + offset;
        let value = if matches!(event, "purchase" | "play") { money } else { f64::NAN };
        let time = i64::from(day) * DAY_MICROS + instant;
        Line { customer, time, received: day + late, event, category, channel, value, quantity, order }
    })
}

/// Few events, and many.
fn lines() -> impl Strategy<Value = Vec<Line>> {
    prop_oneof![prop::collection::vec(line(), 1..12), prop::collection::vec(line(), 40..200)]
}

fn as_ofs() -> impl Strategy<Value = Vec<Day>> {
    prop::collection::btree_set(prop_oneof![-40..40, -420..120, Just(0), Just(1), Just(1_000)], 1..5)
        .prop_map(|offsets| offsets.into_iter().map(|offset| MONDAY.plus(offset)).collect())
}

fn config(order_event: &str) -> Config {
    let mut config = Config::default();
    config.events.order_event = order_event.to_string();
    config.features.windows = vec![1, 7, 14, 30, 60, 365];
    config.features.max_event_types = 5;
    config.features.max_categories = 4;
    config.features.max_channels = 2;
    config
}

fn labels<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Labels {
    let mut labels = Labels::default();
    for name in names {
        let code = name.map_or(NO_LABEL, |name| {
            let found = labels.names.iter().position(|known| known == name);
            found.unwrap_or_else(|| {
                labels.names.push(name.to_string());
                labels.names.len() - 1
            }) as u32
        });
        labels.codes.push(code);
    }
    labels
}

/// Columns that no line fills are left out, as of a file that lacks them.
fn batch(lines: &[Line]) -> EventBatch {
    let any = |has: &dyn Fn(&Line) -> bool| lines.iter().any(has);
    EventBatch {
        customer: Ids::Texts(StringViewArray::from_iter_values(lines.iter().map(|line| line.customer))),
        time: lines.iter().map(|line| line.time).collect(),
        received: any(&|line| line.received != line.day()).then(|| lines.iter().map(|line| line.received).collect()),
        event: labels(lines.iter().map(|line| Some(line.event))),
        category: any(&|line| line.category.is_some()).then(|| labels(lines.iter().map(|line| line.category))),
        channel: any(&|line| line.channel.is_some()).then(|| labels(lines.iter().map(|line| line.channel))),
        device: None,
        campaign: None,
        value: any(&|line| !line.value.is_nan()).then(|| lines.iter().map(|line| line.value).collect()),
        quantity: any(&|line| !line.quantity.is_nan()).then(|| lines.iter().map(|line| line.quantity).collect()),
        product: None,
        order: any(&|line| line.order.is_some())
            .then(|| lines.iter().map(|line| line.order.map_or(0, order_hash)).collect()),
        extras: Vec::new(),
        conditions: Vec::new(),
    }
}

/// Timelines of batches of `rows` lines, two batches a round.
fn timelines(lines: &[Line], rows: usize) -> Timelines {
    let batches: Vec<EventBatch> = lines.chunks(rows).map(batch).collect();
    let mut builder = TimelineBuilder::default();
    for round in batches.chunks(2) {
        builder.append(round).expect("few names");
    }
    builder.finish().expect("an event")
}

fn requests(as_ofs: &[Day]) -> Vec<RowRequest> {
    as_ofs.iter().map(|&as_of| RowRequest { as_of, share: 1.0 }).collect()
}

/// Rows by customer and cut-off, as bits: NaN equals NaN.
fn bits(timelines: &Timelines, plan: &Plan, as_ofs: &[Day]) -> BTreeMap<(String, Day), Vec<u32>> {
    let table = FeatureTable::build(timelines, &Sweep::new(plan, &timelines.vocabularies), &requests(as_ofs));
    let row = |(index, key): (usize, &bellwether::features::RowKey)| {
        let id = timelines.partitions[key.partition as usize].id(key.customer as usize).to_string();
        ((id, as_ofs[key.request as usize]), table.values.row(index).iter().map(|value| value.to_bits()).collect())
    };
    table.keys.iter().enumerate().map(row).collect()
}

fn events_of<'a>(timelines: &'a Timelines, id: &str) -> &'a [Event] {
    let found = timelines.partitions.iter().find_map(|partition| {
        (0..partition.customers())
            .find(|&customer| partition.id(customer) == id)
            .map(|customer| partition.events(customer))
    });
    found.unwrap_or_default()
}

// ---- the reference of the plan ----

fn count<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut names: Vec<&str> = counts.keys().copied().collect();
    names.sort_by_key(|name| std::cmp::Reverse(counts[name])); // stable: equal counts stay in order of name
    names
}

fn check_plan(plan: &Plan, lines: &[Line], config: &Config) {
    let order_event = config.events.order_event.as_str();
    let known: Vec<&Line> = lines.iter().filter(|line| line.is_known_at(plan.frozen_at)).collect();
    let mut kinds = vec![order_event];
    kinds.extend(count(known.iter().map(|line| line.event)).into_iter().filter(|&event| event != order_event));
    kinds.truncate(config.features.max_event_types);
    let names: Vec<&str> = plan.kinds.iter().map(|kind| kind.event.as_str()).collect();
    assert_eq!(names, kinds);
    for kind in &plan.kinds {
        let has_money = known.iter().any(|line| line.event == kind.event && line.money() != 0.0);
        assert_eq!(kind.has_money, has_money, "{}", kind.event);
    }
    let mut categories = count(known.iter().filter_map(|line| line.category));
    categories.truncate(config.features.max_categories);
    assert_eq!(plan.categories, slugs(categories.iter().copied()));
    let mut channels = count(known.iter().filter_map(|line| line.channel));
    channels.truncate(config.features.max_channels);
    assert_eq!(plan.channels, slugs(channels.iter().copied()));
    let together = |&(kind, category): &(usize, usize)| {
        known.iter().any(|line| line.event == kinds[kind] && line.category == Some(categories[category]))
    };
    let pairs = (0..kinds.len()).flat_map(|kind| (0..categories.len()).map(move |category| (kind, category)));
    let pairs: Vec<(u16, u16)> =
        pairs.filter(together).map(|(kind, category)| (kind as u16, category as u16)).collect();
    assert_eq!(plan.pairs, pairs);
    let gaps: Vec<f64> = CUSTOMERS.iter().flat_map(|id| gaps(&of_customer(&known, id), order_event)).collect();
    let base = if gaps.is_empty() { 30.0 } else { gaps.iter().sum::<f64>() / gaps.len() as f64 };
    assert!((plan.base_gap_days / base - 1.0).abs() < 1e-12, "{} against {base}", plan.base_gap_days);
}

fn of_customer<'a>(lines: &[&'a Line], id: &str) -> Vec<&'a Line> {
    lines.iter().copied().filter(|line| line.customer == id).collect()
}

// ---- the reference of the features ----

/// Days between successive days with an order.
fn gaps(known: &[&Line], order_event: &str) -> Vec<f64> {
    let days: BTreeSet<i32> =
        known.iter().filter(|line| line.is_order_line(order_event)).map(|line| line.day()).collect();
    let days: Vec<i32> = days.into_iter().collect();
    days.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// One order: its first instant and its value.
struct Order {
    begins: i64,
    value: f64,
}

/// Lines of one day that share an order id, or have none, are one order.
fn orders(lines: &[&Line]) -> Vec<Order> {
    let mut orders: BTreeMap<(i32, Option<&str>), Order> = BTreeMap::new();
    for line in lines {
        let order = orders.entry((line.day(), line.order)).or_insert(Order { begins: i64::MAX, value: 0.0 });
        order.begins = order.begins.min(line.time);
        order.value += line.money();
    }
    orders.into_values().collect()
}

fn of_event<'a>(lines: &[&'a Line], event: &str) -> Vec<&'a Line> {
    lines.iter().copied().filter(|line| line.event == event).collect()
}

fn in_category<'a>(lines: &[&'a Line], category: &Group) -> Vec<&'a Line> {
    lines.iter().copied().filter(|line| line.category == Some(&category.name)).collect()
}

fn within<'a>(lines: &[&'a Line], as_of: Day, days: u16) -> Vec<&'a Line> {
    lines.iter().copied().filter(|line| line.day() >= as_of.0 - i32::from(days)).collect()
}

/// What a feature may be: more than one value where orders begin at the same instant.
struct Expected {
    values: Vec<f64>,
    slack: f64,
}

#[derive(Default)]
struct Reference(BTreeMap<String, Expected>);

impl Reference {
    fn add_any(&mut self, name: &str, values: Vec<f64>, slack: f64) {
        let mut unique = name.to_string();
        let mut number = 1;
        while self.0.contains_key(&unique) {
            number += 1;
            unique = format!("{name}_{number}");
        }
        self.0.insert(unique, Expected { values, slack });
    }

    fn add(&mut self, name: impl AsRef<str>, value: f64) {
        self.add_any(name.as_ref(), vec![value], 0.0);
    }
}

/// Every feature of one customer from the plain list of its known events.
fn reference(plan: &Plan, known: &[&Line], as_of: Day) -> Reference {
    let mut all = Reference::default();
    let order_event = plan.kinds[0].event.as_str();
    let order = plan.kinds[0].slug.as_str();
    let end = as_of.0;
    let since = |time: Option<i64>| {
        time.map_or(f64::NAN, |time| (i64::from(end) * DAY_MICROS - time) as f64 / DAY_MICROS as f64)
    };
    let first = |lines: &[&Line]| since(lines.iter().map(|line| line.time).min());
    let last = |lines: &[&Line]| since(lines.iter().map(|line| line.time).max());
    let days = |lines: &[&Line]| lines.iter().map(|line| line.day()).collect::<BTreeSet<i32>>().len() as f64;
    let sum = |lines: &[&Line]| lines.iter().map(|line| line.money()).sum::<f64>();
    let gross: f64 = known.iter().map(|line| line.money().abs()).sum();
    let paid = of_event(known, order_event);
    let bought: Vec<&Line> = paid.iter().copied().filter(|line| line.value.is_nan() || line.value >= 0.0).collect();

    // recency
    all.add("tenure_days", first(known));
    all.add("days_since_last_event", last(known));
    all.add("days_since_first_order", first(&bought));
    all.add("days_since_last_order", last(&bought));
    for kind in &plan.kinds[1..] {
        all.add(format!("days_since_last_{}", kind.slug), last(&of_event(known, &kind.event)));
    }

    // purchases
    let placed = orders(&bought);
    let values: Vec<f64> = placed.iter().map(|order| order.value).collect();
    all.add(format!("{order}s"), placed.len() as f64);
    all.add("order_days", days(&bought));
    all.add("order_lines", bought.len() as f64);
    let units = |line: &&Line| if line.quantity.is_nan() { 1.0 } else { f64::from(line.quantity) };
    all.add("units", bought.iter().map(units).sum());
    let has_money = plan.kinds[0].has_money;
    if has_money {
        all.add_any("spend", vec![sum(&paid)], gross * SUM_ROUNDING);
        let refunds: Vec<&Line> = paid.iter().copied().filter(|line| line.value < 0.0).collect();
        all.add("refunds", -sum(&refunds));
        all.add("average_order_value", mean(&values));
        all.add_any("order_value_spread", vec![deviation(&values)], gross * SUM_ROUNDING);
        all.add("largest_order_value", largest(&values));
        let beginning = |time: Option<i64>| -> Vec<f64> {
            let at = placed.iter().filter(|order| Some(order.begins) == time).map(|order| order.value);
            if time.is_some() { at.collect() } else { vec![f64::NAN] }
        };
        all.add_any("first_order_value", beginning(placed.iter().map(|order| order.begins).min()), 0.0);
        all.add_any("last_order_value", beginning(placed.iter().map(|order| order.begins).max()), 0.0);
        let first_day = bought.iter().map(|line| line.day()).min();
        let later: Vec<&Line> = bought.iter().copied().filter(|line| Some(line.day()) > first_day).collect();
        let repeat = if later.is_empty() { f64::NAN } else { sum(&later) / days(&later) };
        all.add_any("repeat_order_value", vec![repeat], gross * SUM_ROUNDING);
    }
    for kind in plan.kinds[1..].iter().filter(|kind| kind.has_money) {
        all.add_any(&format!("{}_value", kind.slug), vec![sum(&of_event(known, &kind.event))], gross * SUM_ROUNDING);
    }

    // cadence
    let gaps = gaps(known, order_event);
    let last_gap = gaps.last().copied().unwrap_or(f64::NAN);
    all.add("average_days_between_orders", mean(&gaps));
    all.add("median_days_between_orders", median(&gaps));
    all.add_any("spread_days_between_orders", vec![deviation(&gaps)], SUM_ROUNDING);
    all.add("longest_days_between_orders", largest(&gaps));
    all.add("last_days_between_orders", last_gap);
    all.add("gap_trend", last_gap / mean(&gaps));
    all.add_any("gap_variation", vec![deviation(&gaps) / mean(&gaps)], SUM_ROUNDING);
    let usual = (gaps.iter().sum::<f64>() + plan.base_gap_days) / (gaps.len() + 1) as f64;
    all.add("usual_gap_days", if bought.is_empty() { f64::NAN } else { usual });
    all.add("churn_factor", last(&bought) / usual);

    // activity
    all.add("events", known.len() as f64);
    all.add("active_days", days(known));
    for kind in &plan.kinds[1..] {
        all.add(format!("{}s", kind.slug), of_event(known, &kind.event).len() as f64);
    }
    let is_weekend = |line: &&&Line| (line.day() - MONDAY.0).rem_euclid(7) >= 5;
    let n = known.len() as f64;
    all.add("weekend_share", known.iter().filter(is_weekend).count() as f64 / n);
    for channel in &plan.channels {
        let by = known.iter().filter(|line| line.channel == Some(&channel.name)).count();
        all.add(format!("channel_share_{}", channel.slug), by as f64 / n);
    }
    for &window in &plan.windows {
        all.add(format!("{order}s_{window}d"), orders(&within(&bought, as_of, window)).len() as f64);
        if has_money {
            all.add_any(&format!("spend_{window}d"), vec![sum(&within(&paid, as_of, window))], gross * SUM_ROUNDING);
        }
        all.add(format!("active_days_{window}d"), days(&within(known, as_of, window)));
        for kind in &plan.kinds[1..] {
            all.add(
                format!("{}s_{window}d", kind.slug),
                within(&of_event(known, &kind.event), as_of, window).len() as f64,
            );
        }
    }
    for &window in plan.windows.iter().filter(|&window| plan.windows.contains(&(window * 2))) {
        let split = i64::from(end - i32::from(window)) * DAY_MICROS;
        let change = |value: &dyn Fn(&[&Line]) -> f64, lines: &[&Line]| {
            let earlier: Vec<&Line> = lines.iter().copied().filter(|line| line.time < split).collect();
            value(&within(lines, as_of, window)) - value(&within(&earlier, as_of, window * 2))
        };
        all.add(format!("{order}s_trend_{window}d"), change(&|lines| orders(lines).len() as f64, &bought));
        all.add(format!("active_days_trend_{window}d"), change(&days, known));
        if has_money {
            all.add_any(&format!("spend_trend_{window}d"), vec![change(&sum, &paid)], gross * SUM_ROUNDING);
        }
    }

    // affinity
    if plan.pairs.is_empty() {
        return all;
    }
    let with_columns: Vec<&Group> = plan
        .pairs
        .iter()
        .filter(|&&(kind, _)| kind == 0)
        .map(|&(_, category)| &plan.categories[category as usize])
        .collect();
    let lines_with_category = bought.iter().filter(|line| line.category.is_some()).count() as f64;
    let bought_in: Vec<f64> = with_columns.iter().map(|category| in_category(&bought, category).len() as f64).collect();
    let is_rare =
        |line: &&&Line| line.category.is_some_and(|name| with_columns.iter().all(|category| category.name != name));
    let different = bought_in.iter().filter(|&&lines| lines > 0.0).count();
    let rare = bought.iter().filter(is_rare).count();
    all.add("categories_bought", (different + usize::from(rare > 0)) as f64);
    let share = |lines: f64| if lines_with_category == 0.0 { f64::NAN } else { lines / lines_with_category };
    all.add("favourite_category_share", share(bought_in.iter().copied().fold(0.0, f64::max)));
    for &(kind, category) in &plan.pairs {
        let (is_order, kind) = (kind == 0, &plan.kinds[kind as usize]);
        let category = &plan.categories[category as usize];
        let name = format!("{}s_category_{}", kind.slug, category.slug);
        let counted = if is_order {
            in_category(&bought, category)
        } else {
            in_category(&of_event(known, &kind.event), category)
        };
        all.add(&name, counted.len() as f64);
        for days in [7, 90] {
            all.add(format!("{name}_{days}d"), within(&counted, as_of, days).len() as f64);
        }
        if is_order {
            all.add(format!("days_since_last_order_category_{}", category.slug), last(&counted));
            all.add(format!("order_share_category_{}", category.slug), share(counted.len() as f64));
        }
        if kind.has_money {
            let money = if is_order { "spend".to_string() } else { format!("{}_value", kind.slug) };
            let paid = in_category(&of_event(known, &kind.event), category);
            let name = format!("{money}_category_{}", category.slug);
            all.add_any(&name, vec![sum(&paid)], gross * SUM_ROUNDING);
            all.add_any(&format!("{name}_7d"), vec![sum(&within(&paid, as_of, 7))], gross * SUM_ROUNDING);
        }
    }
    all
}

fn check_row(features: &[String], values: &[f32], reference: &Reference, whose: &str) -> Result<(), TestCaseError> {
    let names: BTreeSet<&String> = features.iter().collect();
    prop_assert_eq!(names, reference.0.keys().collect(), "the catalogue and the reference have the same features");
    for (name, &value) in features.iter().zip(values) {
        let Expected { values: expected, slack } = &reference.0[name];
        let value = f64::from(value);
        let agrees = |&expected: &f64| {
            expected.is_nan() && value.is_nan() || (value - expected).abs() <= expected.abs() * F32_ROUNDING + slack
        };
        prop_assert!(expected.iter().any(agrees), "{}: {} is {}, expected {:?}", whose, name, value, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn every_feature_is_what_its_note_says(
        lines in lines(), as_ofs in as_ofs(), frozen in 0..5usize, order_event in select(vec!["purchase", "play"]),
    ) {
        let config = config(order_event);
        let timelines = timelines(&lines, 16);
        let plan = Plan::new(&timelines, &config, as_ofs[frozen % as_ofs.len()]);
        check_plan(&plan, &lines, &config);
        let features: Vec<String> = plan.features().into_iter().map(|feature| feature.name).collect();
        let sweep = Sweep::new(&plan, &timelines.vocabularies);
        let table = FeatureTable::build(&timelines, &sweep, &requests(&as_ofs));
        let mut rows = BTreeSet::new();
        for (key, values) in table.keys.iter().zip(table.values.outer_iter()) {
            let as_of = as_ofs[key.request as usize];
            let id = timelines.partitions[key.partition as usize].id(key.customer as usize);
            let known: Vec<&Line> =
                lines.iter().filter(|line| line.customer == id && line.is_known_at(as_of)).collect();
            let reference = reference(&plan, &known, as_of);
            check_row(&features, values.as_slice().expect("contiguous"), &reference, &format!("{id} at {as_of}"))?;
            rows.insert((id, as_of));
        }
        let mut expected = BTreeSet::new();
        for &as_of in &as_ofs {
            expected.extend(lines.iter().filter(|line| line.is_known_at(as_of)).map(|line| (line.customer, as_of)));
        }
        prop_assert_eq!(rows, expected, "one row for each customer of whom something is known");
    }

    #[test]
    fn rows_depend_on_nothing_but_the_known_events(
        (lines, shuffled) in lines().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
        as_ofs in as_ofs(), planted in prop::collection::vec(line(), 1..30), frozen in 0..5usize, rows in 1..64usize,
    ) {
        let config = config("purchase");
        let whole = timelines(&lines, 1_000);
        let frozen_at = as_ofs[frozen % as_ofs.len()];
        let plan = Plan::new(&whole, &config, frozen_at);
        let together = bits(&whole, &plan, &as_ofs);

        let shuffled = timelines(&shuffled, rows);
        prop_assert_eq!(&Plan::new(&shuffled, &config, frozen_at), &plan);
        prop_assert_eq!(&bits(&shuffled, &plan, &as_ofs), &together, "the order of lines and files does not matter");

        let sweep = Sweep::new(&plan, &whole.vocabularies);
        let table = FeatureTable::build(&whole, &sweep, &requests(&as_ofs));
        let other = FeatureTable::build(&shuffled, &Sweep::new(&plan, &shuffled.vocabularies), &requests(&as_ofs));
        prop_assert_eq!(&other.keys, &table.keys, "nor does it order the rows");
        let mut parts = (Vec::new(), Vec::new());
        for partition in 0..whole.partitions.len() {
            let part = FeatureTable::build_partition(&whole, &sweep, partition, &requests(&as_ofs));
            parts.0.extend(part.keys);
            parts.1.extend(part.values.iter().map(|value| value.to_bits()));
        }
        prop_assert_eq!(&parts.0, &table.keys);
        prop_assert_eq!(&parts.1, &table.values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>());

        for &as_of in &as_ofs {
            let alone = bits(&whole, &plan, &[as_of]);
            let same: BTreeMap<_, _> = together.iter().filter(|((_, day), _)| *day == as_of).collect();
            prop_assert_eq!(&alone.iter().collect::<BTreeMap<_, _>>(), &same, "one cut-off alone or with others");

            // At the instant of the cut-off and later, or before it and received from it on; new names among them.
            let mut with_future = lines.clone();
            with_future.extend(planted.iter().enumerate().map(|(index, line)| {
                let mut line = line.clone();
                line.event = if index % 3 == 0 { "a new event" } else { line.event };
                line.category = if index % 4 == 0 { Some("a new category") } else { line.category };
                if index % 2 == 0 {
                    line.received = line.received.max(as_of.0 + index as i32 % 3);
                } else {
                    line.time = as_of.start_micros() + index as i64 / 2 * 1_000_003;
                }
                line
            }));
            let later = timelines(&with_future, 50);
            prop_assert_eq!(&bits(&later, &plan, &[as_of]), &alone, "the future changes no byte");
            let of_history = Plan::new(&whole, &config, as_of);
            prop_assert_eq!(Plan::new(&later, &config, as_of), of_history, "nor the catalogue");
        }
    }
}

// ---- labels and histories ----

fn target(kind: TargetKind, event: &str, is_order: bool, horizon: i64, groups: &[&str]) -> Target {
    Target {
        name: "test".into(),
        kind,
        event: event.into(),
        is_order,
        horizon: Horizon::new(horizon).expect("1 to 730"),
        eligible: None,
        groups: groups.iter().map(|name| Group { name: (*name).into(), slug: slug(name) }).collect(),
        per_group: !groups.is_empty(),
    }
}

/// The label of one customer, one category or all, from what happened in `[as_of, as_of + horizon)`.
fn label(target: &Target, lines: &[&Line], as_of: Day, category: Option<&str>) -> f64 {
    let end = as_of.0 + target.horizon.days();
    let inside: Vec<&Line> = lines
        .iter()
        .copied()
        .filter(|line| line.event == target.event && (as_of.0..end).contains(&line.day()))
        .filter(|line| category.is_none() || line.category == category)
        .collect();
    let counted: Vec<&Line> =
        inside.iter().copied().filter(|line| !target.is_order || (line.value.is_nan() || line.value >= 0.0)).collect();
    match target.kind {
        TargetKind::Absence => f64::from(counted.is_empty()),
        TargetKind::Presence => f64::from(!counted.is_empty()),
        TargetKind::Amount => inside.iter().map(|line| line.money()).sum(),
        TargetKind::Count if target.is_order => orders(&counted).len() as f64,
        TargetKind::Count => counted.len() as f64,
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn every_label_is_what_happened_in_its_window(
        lines in lines(), as_ofs in as_ofs(), horizon in select(vec![1i64, 7, 30, 365]),
        event in select(vec!["purchase", "play", "view", "never seen"]), is_order in any::<bool>(),
    ) {
        let timelines = timelines(&lines, 16);
        let plan = Plan::new(&timelines, &config("purchase"), as_ofs[0]);
        let requests = requests(&as_ofs);
        let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines.vocabularies), &requests);
        for kind in [TargetKind::Absence, TargetKind::Presence, TargetKind::Amount, TargetKind::Count] {
            for groups in [&[][..], &["ski", "not in the data", "wine"], &CATEGORIES] {
                let target = target(kind, event, is_order, horizon, groups);
                let labeller = Labeller::new(&target, &timelines.vocabularies);
                let labels = labeller.label_rows(&timelines, &requests, &table.keys);
                prop_assert_eq!(labels.len(), table.keys.len() * groups.len().max(1));
                for (key, labels) in table.keys.iter().zip(labels.chunks_exact(labeller.width())) {
                    let as_of = as_ofs[key.request as usize];
                    let id = timelines.partitions[key.partition as usize].id(key.customer as usize);
                    let own: Vec<&Line> = lines.iter().filter(|line| line.customer == id).collect();
                    let gross: f64 = own.iter().map(|line| line.money().abs()).sum();
                    for (position, &got) in labels.iter().enumerate() {
                        let expected = label(&target, &own, as_of, groups.get(position).copied());
                        let slack = if kind == TargetKind::Amount { gross * SUM_ROUNDING } else { 0.0 };
                        prop_assert!(
                            (f64::from(got) - expected).abs() <= expected.abs() * F32_ROUNDING + slack,
                            "{:?} of {} in {:?} at {}: {} for {}", kind, event, groups.get(position), as_of, got, expected,
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_history_is_the_days_on_which_it_happened(
        lines in lines(), as_ofs in as_ofs(), event in select(vec!["purchase", "play", "view"]), by_order in any::<bool>(),
    ) {
        let timelines = timelines(&lines, 16);
        let code = timelines.vocabularies.event.code(event);
        let counts = |event: &Event| Some(u32::from(event.kind)) == code && !(by_order && event.value < 0.0);
        for id in CUSTOMERS {
            let own: Vec<&Line> = lines.iter().filter(|line| line.customer == id && line.event == event).collect();
            for &as_of in &as_ofs {
                let got = History::of(events_of(&timelines, id), as_of, by_order, counts);
                let known: Vec<&Line> = own
                    .iter()
                    .copied()
                    .filter(|line| line.is_known_at(as_of) && !(by_order && line.value < 0.0))
                    .collect();
                let days: BTreeSet<i32> = known.iter().map(|line| line.day()).collect();
                let Some(&first) = days.first() else {
                    prop_assert_eq!(got, None);
                    continue;
                };
                let got = got.expect("something happened");
                let sum = |lines: &mut dyn Iterator<Item = &&Line>| lines.map(|line| line.money()).sum::<f64>();
                let occurrences = if by_order { orders(&known).len() } else { known.len() };
                prop_assert_eq!((got.first, got.last), (Day(first), Day(*days.last().expect("not empty"))));
                prop_assert_eq!((got.days, got.occurrences), (days.len() as u32, occurrences as u32));
                let gross: f64 = known.iter().map(|line| line.money().abs()).sum();
                let (value, of_first) =
                    (sum(&mut known.iter()), sum(&mut known.iter().filter(|line| line.day() == first)));
                prop_assert!((got.value - value).abs() <= gross * SUM_ROUNDING);
                prop_assert!((got.first_day_value - of_first).abs() <= gross * SUM_ROUNDING);
                prop_assert_eq!(got.repeats(), days.len() as f64 - 1.0);
                prop_assert_eq!(got.recency(), f64::from(got.last.0 - first));
                prop_assert_eq!(got.age(as_of), f64::from(as_of.0 - first));
                let later = if days.len() < 2 { 0.0 } else { (value - of_first) / (days.len() - 1) as f64 };
                prop_assert!((got.repeat_value() - later).abs() <= gross * SUM_ROUNDING);
            }
        }
    }
}

// ---- single cases ----

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
        customer: Ids::Texts(StringViewArray::from_iter_values((0..2 * ORDERS).map(|_| "anna"))),
        time: (0..2 * ORDERS as i64).map(|line| start + line * 40_000).collect(),
        received: None,
        event: labels((0..2 * ORDERS).map(|_| Some("purchase"))),
        category: Some(labels((0..2 * ORDERS).map(|_| Some("wine")))),
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
