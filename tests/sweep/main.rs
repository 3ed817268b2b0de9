//! Random timelines: every feature, label and history against a slow reference that is written from the
//! definitions, over the plain list of the events known at the cut-off.

mod activity;
mod affinity;
mod cadence;
mod cases;
mod clock;
mod decay;
mod declared;
mod first_order;
mod labels;
mod pace;
mod purchases;
mod recency;
mod response;
mod roles;
mod selection;
mod sequence;
mod sessions;
mod unfinished;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use bellwether::config::{Config, TargetKind};
use bellwether::events::batch::order_hash;
use bellwether::events::{EventBatch, Ids, Labels, NO_LABEL};
use bellwether::features::{FeatureTable, Group, Plan, RowKey, RowRequest, Sweep, slug, slugs};
use bellwether::labels::{Labeller, Target};
use bellwether::time::{DAY_MICROS, Day, Horizon};
use bellwether::timeline::{Budget, Event, History, Timeline, TimelineBuilder, Timelines};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

/// Features are rounded to f32 once: half a unit in the last place is 6e-8 of the value.
const F32_ROUNDING: f64 = 1.2e-7;
/// Sums of a few hundred amounts in another order, as a part of the largest sum on the way.
const SUM_ROUNDING: f64 = 1e-12;
/// Differences of numbers of days, each up to 1e5 and rounded to f64.
const DAYS_ROUNDING: f64 = 1e-10;
/// Below this f32 has no more full digits.
const SMALLEST: f64 = 1e-37;

/// Monday, 2024-01-01: the days of random events count from here.
const MONDAY: Day = Day(19_723);
const CUSTOMERS: [&str; 3] = ["7", "anna", "ßeta"];
const EVENTS: [&str; 6] = ["purchase", "view", "play", "email open", "event", "active day"];
/// Events with a role; what each means is in `roles.rs`.
const ROLES: [&str; 9] =
    ["Email Sent", "sms", "email open", "email-click", "Add to cart", "basket", "checkout", "TRIAL", "payment failed"];
/// More than the plan may hold, two of them with one slug.
const CATEGORIES: [&str; 6] = ["Ski", "ski", "Schuhe & Söckchen", "wine", "0", "zinc"];
const CHANNELS: [&str; 4] = ["web", "app", "shop", "Web"];
const DEVICES: [&str; 3] = ["phone", "tablet", "desk"];
const CAMPAIGNS: [&str; 3] = ["spring", "autumn", "Spring"];

#[derive(Debug, Clone, PartialEq)]
struct Line {
    customer: &'static str,
    time: i64,
    received: i32,
    event: &'static str,
    category: Option<&'static str>,
    channel: Option<&'static str>,
    device: Option<&'static str>,
    campaign: Option<&'static str>,
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
    let event = prop_oneof![4 => Just("purchase"), 5 => select(EVENTS.to_vec()), 5 => select(ROLES.to_vec())];
    let missing = |names: &'static [&'static str]| prop_oneof![1 => Just(None), 3 => select(names).prop_map(Some)];
    let who_and_when = (select(CUSTOMERS.to_vec()), day_offset(), instant, late);
    let what = (event, missing(&CATEGORIES), missing(&CHANNELS), missing(&["A", "B", "C"]));
    let by = (missing(&DEVICES), prop_oneof![2 => Just(None), 1 => select(&CAMPAIGNS[..]).prop_map(Some)]);
    (who_and_when, what, by, money, quantity).prop_map(|(who_and_when, what, by, money, quantity)| {
        let ((customer, offset, instant, late), (event, category, channel, order)) = (who_and_when, what);
        let (device, campaign) = by;
        let day = MONDAY.0 + offset;
        let value = if matches!(event, "purchase" | "play" | "basket") { money } else { f64::NAN };
        let time = i64::from(day) * DAY_MICROS + instant;
        let received = day + late;
        Line { customer, time, received, event, category, channel, device, campaign, value, quantity, order }
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
    config.features.windows = vec![1, 7, 14, 30, 60, 90, 365];
    config.features.max_event_types = 5;
    config.features.max_categories = 4;
    config.features.max_channels = 2;
    config.features.max_contact_points = 12;
    config.features.max_transitions = 9;
    config.features.max_category_columns = if order_event == "play" { 60 } else { 300 };
    config
}

fn coded<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Labels {
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
        customer: Ids::Texts(lines.iter().map(|line| Some(line.customer)).collect()),
        time: lines.iter().map(|line| line.time).collect(),
        received: any(&|line| line.received != line.day()).then(|| lines.iter().map(|line| line.received).collect()),
        event: coded(lines.iter().map(|line| Some(line.event))),
        category: any(&|line| line.category.is_some()).then(|| coded(lines.iter().map(|line| line.category))),
        channel: any(&|line| line.channel.is_some()).then(|| coded(lines.iter().map(|line| line.channel))),
        device: any(&|line| line.device.is_some()).then(|| coded(lines.iter().map(|line| line.device))),
        campaign: any(&|line| line.campaign.is_some()).then(|| coded(lines.iter().map(|line| line.campaign))),
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
    timelines_within(Budget::default(), lines, rows)
}

/// So small that every round is put aside, and partitions are cut.
const TINY_BUDGET: Budget = Budget { bytes: Some(1_000), folder: None };

fn timelines_within(budget: Budget, lines: &[Line], rows: usize) -> Timelines {
    let batches: Vec<EventBatch> = lines.chunks(rows).map(batch).collect();
    let mut builder = TimelineBuilder::within(budget);
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
    let table = FeatureTable::build(timelines, &Sweep::new(plan, timelines), &requests(as_ofs)).unwrap();
    let row = |(index, key): (usize, &RowKey)| {
        let id = id_of(timelines, key);
        (
            (id.to_string(), as_ofs[key.request as usize]),
            table.values.row(index).iter().map(|value| value.to_bits()).collect(),
        )
    };
    table.keys.iter().enumerate().map(row).collect()
}

/// The customer of a row.
fn id_of(timelines: &Timelines, key: &RowKey) -> &'static str {
    let id = timelines.part(key.partition as usize).unwrap().id(key.customer as usize).to_string();
    CUSTOMERS.into_iter().find(|&customer| customer == id).expect("one of ours")
}

/// What `of` makes of a customer's timeline; `None` of one who is not there.
fn with_timeline<T>(timelines: &Timelines, id: &str, of: impl Fn(Timeline) -> T) -> Option<T> {
    (0..timelines.parts()).find_map(|index| {
        let part = timelines.part(index).unwrap();
        let customer = (0..part.customers()).find(|&customer| part.id(customer).to_string() == id)?;
        Some(of(part.timeline(customer)))
    })
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
    let mut pairs = Vec::new();
    let mut columns = 0;
    for category in 0..categories.len() {
        let with: Vec<usize> = (0..kinds.len()).filter(|&kind| together(&(kind, category))).collect();
        let of_kind = |&kind: &usize| 3 + 2 * usize::from(kind == 0) + 2 * usize::from(plan.kinds[kind].has_money);
        columns += with.iter().map(of_kind).sum::<usize>() + usize::from(kinds.len() > 1);
        columns += if with.first() == Some(&0) { 2 + usize::from(with.len() > 1) } else { 0 };
        if columns > config.features.max_category_columns {
            break;
        }
        pairs.extend(with.iter().map(|&kind| (kind as u16, category as u16)));
    }
    assert_eq!(plan.pairs, pairs);
    assert_eq!(plan.has_times, known.iter().any(|line| line.time.rem_euclid(DAY_MICROS) != 0));
    let first = known.iter().map(|line| line.day()).min();
    assert_eq!(plan.history_days, first.map_or(0, |first| plan.frozen_at.0 - first));
    let gaps: Vec<f64> = CUSTOMERS.iter().flat_map(|id| gaps(&of_customer(&known, id), order_event)).collect();
    let base = if gaps.is_empty() { 30.0 } else { gaps.iter().sum::<f64>() / gaps.len() as f64 };
    assert!((plan.base_gap_days / base - 1.0).abs() < 1e-12, "{} against {base}", plan.base_gap_days);
    roles::check_plan(plan, &known);
    sequence::check_plan(plan, &known, config);
}

fn of_customer<'a>(lines: &[&'a Line], id: &str) -> Vec<&'a Line> {
    lines.iter().copied().filter(|line| line.customer == id).collect()
}

/// By time, and at one instant by every other column in turn, missing ones last: what comes first in a timeline.
fn in_order<'a>(lines: &[&'a Line]) -> Vec<&'a Line> {
    let name = |name: Option<&'static str>| (name.is_none(), name);
    let key = |line: &Line| {
        let order = line.order.map_or(0, order_hash);
        let names = [line.category, line.channel, line.device, line.campaign].map(name);
        (line.time, line.event, order, names, line.received.max(line.day()))
    };
    let mut lines = lines.to_vec();
    lines.sort_by(|a, b| {
        let money = || a.value.total_cmp(&b.value).then(a.quantity.total_cmp(&b.quantity));
        key(a).cmp(&key(b)).then_with(money)
    });
    lines
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

/// Slope of the least-squares line through values at 0, 1, 2, …
fn slope(values: &[f64]) -> f64 {
    let positions: Vec<f64> = (0..values.len()).map(|position| position as f64).collect();
    let (x_mean, y_mean) = (mean(&positions), mean(values));
    let both = positions.iter().zip(values).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>();
    both / positions.iter().map(|x| (x - x_mean).powi(2)).sum::<f64>()
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

/// What a family's reference looks at: one customer's known events.
struct View<'a> {
    plan: &'a Plan,
    known: &'a [&'a Line],
    as_of: Day,
    /// Lines of the order event, refunds among them.
    paid: Vec<&'a Line>,
    /// Order lines: those without refunds.
    bought: Vec<&'a Line>,
    /// Sum of all money that went anywhere: what sums of it may be off by is a part of this.
    gross: f64,
}

impl<'a> View<'a> {
    fn new(plan: &'a Plan, known: &'a [&'a Line], as_of: Day) -> Self {
        let paid = of_event(known, &plan.kinds[0].event);
        let bought = paid.iter().copied().filter(|line| line.value.is_nan() || line.value >= 0.0).collect();
        Self { plan, known, as_of, paid, bought, gross: known.iter().map(|line| line.money().abs()).sum() }
    }

    /// Slug of the order event.
    fn order(&self) -> &'a str {
        &self.plan.kinds[0].slug
    }

    fn has_money(&self) -> bool {
        self.plan.kinds[0].has_money
    }

    fn since(&self, time: Option<i64>) -> f64 {
        time.map_or(f64::NAN, |time| (self.as_of.start_micros() - time) as f64 / DAY_MICROS as f64)
    }

    /// Days since the first of some lines.
    fn since_first(&self, lines: &[&Line]) -> f64 {
        self.since(lines.iter().map(|line| line.time).min())
    }

    /// Days since the last of some lines.
    fn since_last(&self, lines: &[&Line]) -> f64 {
        self.since(lines.iter().map(|line| line.time).max())
    }

    fn within(&self, lines: &[&'a Line], days: u16) -> Vec<&'a Line> {
        within(lines, self.as_of, days)
    }
}

/// Number of days on which some lines are.
fn days(lines: &[&Line]) -> f64 {
    lines.iter().map(|line| line.day()).collect::<BTreeSet<i32>>().len() as f64
}

/// Sum of money.
fn sum(lines: &[&Line]) -> f64 {
    lines.iter().map(|line| line.money()).sum()
}

/// Every feature of one customer from the plain list of its known events.
fn reference(plan: &Plan, known: &[&Line], as_of: Day) -> Reference {
    let mut all = Reference::default();
    let view = View::new(plan, known, as_of);
    recency::reference(&mut all, &view);
    purchases::reference(&mut all, &view);
    cadence::reference(&mut all, &view);
    first_order::reference(&mut all, &view);
    activity::reference(&mut all, &view);
    windows::reference(&mut all, &view);
    pace::reference(&mut all, &view);
    decay::reference(&mut all, &view);
    clock::reference(&mut all, &view);
    sessions::reference(&mut all, &view);
    affinity::reference(&mut all, &view);
    unfinished::reference(&mut all, &view);
    response::reference(&mut all, &view);
    sequence::reference(&mut all, &view);
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
        let plan = Plan::new(&timelines, &config, as_ofs[frozen % as_ofs.len()]).unwrap();
        check_plan(&plan, &lines, &config);
        let features: Vec<String> = plan.features().into_iter().map(|feature| feature.name).collect();
        let sweep = Sweep::new(&plan, &timelines);
        let table = FeatureTable::build(&timelines, &sweep, &requests(&as_ofs)).unwrap();
        let mut rows = BTreeSet::new();
        for (key, values) in table.keys.iter().zip(table.values.outer_iter()) {
            let as_of = as_ofs[key.request as usize];
            let id = id_of(&timelines, key);
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
        let plan = Plan::new(&whole, &config, frozen_at).unwrap();
        let together = bits(&whole, &plan, &as_ofs);

        let shuffled = timelines(&shuffled, rows);
        prop_assert_eq!(&Plan::new(&shuffled, &config, frozen_at).unwrap(), &plan);
        prop_assert_eq!(&bits(&shuffled, &plan, &as_ofs), &together, "the order of lines and files does not matter");

        let spilled = timelines_within(TINY_BUDGET, &lines, rows);
        prop_assert!(spilled.is_spilled() || lines.len() < 20);
        prop_assert_eq!(spilled.customers(), whole.customers());
        prop_assert_eq!(&Plan::new(&spilled, &config, frozen_at).unwrap(), &plan);
        prop_assert_eq!(&bits(&spilled, &plan, &as_ofs), &together, "nor does it matter where timelines are kept");

        let sweep = Sweep::new(&plan, &whole);
        let table = FeatureTable::build(&whole, &sweep, &requests(&as_ofs)).unwrap();
        let other = FeatureTable::build(&shuffled, &Sweep::new(&plan, &shuffled), &requests(&as_ofs)).unwrap();
        prop_assert_eq!(&other.keys, &table.keys, "nor does it order the rows");
        let mut parts = (Vec::new(), Vec::new());
        for index in 0..whole.parts() {
            let part = FeatureTable::build_part(index, &whole.part(index).unwrap(), &sweep, &requests(&as_ofs));
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
            let of_history = Plan::new(&whole, &config, as_of).unwrap();
            prop_assert_eq!(Plan::new(&later, &config, as_of).unwrap(), of_history, "nor the catalogue");
        }
    }
}
