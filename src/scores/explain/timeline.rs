//! What a customer has done, in short.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::features::is_order_line;
use crate::time::{Day, wall_text};
use crate::timeline::{OrdersOfDay, Timeline, Vocabularies, Vocabulary};

/// The newest orders and events that are told.
const NEWEST: usize = 5;

/// What is known of a customer at the start of a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineSummary {
    /// Events.
    pub events: u64,
    /// Time of the first, on the clock of the configured time zone.
    pub first: String,
    /// Time of the last.
    pub last: String,
    /// Days from the first event to the day.
    pub tenure_days: i32,
    /// Events by kind, the most frequent first.
    pub kinds: Vec<KindSummary>,
    /// Orders in all.
    pub orders: u64,
    /// The newest orders, newest first.
    pub last_orders: Vec<OrderSummary>,
    /// The newest events of any kind, newest first.
    pub last_events: Vec<EventSummary>,
}

/// Events of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindSummary {
    /// Name; `None` of events without one.
    pub event: Option<String>,
    /// How many.
    pub events: u64,
    /// Day of the first.
    pub first: Day,
    /// Day of the last.
    pub last: Day,
    /// Sum of their money; `None` where none has any.
    pub value: Option<f64>,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderSummary {
    /// Its day.
    pub day: Day,
    /// Its lines.
    pub lines: u64,
    /// Their money together; `None` where none has any.
    pub value: Option<f64>,
    /// Their categories, in order of name.
    pub categories: Vec<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventSummary {
    /// Its time, on the clock of the configured time zone.
    pub time: String,
    /// Its name.
    pub event: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Its channel.
    pub channel: Option<String>,
    /// Its money.
    pub value: Option<f64>,
}

/// The name of a code; `None` of the codes that stand for none, which are beyond any vocabulary.
fn name(vocabulary: &Vocabulary, code: u32) -> Option<String> {
    vocabulary.names().get(code as usize).cloned()
}

fn add(sum: &mut Option<f64>, value: f64) {
    if !value.is_nan() {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
}

impl TimelineSummary {
    /// Of a timeline, as it is known at `as_of`; `None` of nothing.
    pub fn of(timeline: Timeline, vocabularies: &Vocabularies, order_event: &str, as_of: Day) -> Option<Self> {
        let known: Vec<usize> = timeline.known_at(as_of).collect();
        let (first, last) = (timeline.events[*known.first()?], timeline.events[*known.last()?]);
        let order_kind = vocabularies.event.code(order_event);
        let mut kinds: BTreeMap<u16, KindSummary> = BTreeMap::new();
        let mut orders: Vec<OrderSummary> = Vec::new();
        let mut of_day = OrdersOfDay::default();
        let mut begun: Option<(Day, usize)> = None;
        for &index in &known {
            let event = &timeline.events[index];
            let day = event.day();
            let kind = kinds.entry(event.kind).or_insert_with(|| KindSummary {
                event: name(&vocabularies.event, event.kind.into()),
                events: 0,
                first: day,
                last: day,
                value: None,
            });
            kind.events += 1;
            kind.last = day;
            add(&mut kind.value, event.value);
            if Some(u32::from(event.kind)) != order_kind || !is_order_line(event) {
                continue;
            }
            let first_of_day = match begun {
                Some((on, first)) if on == day => first,
                _ => {
                    of_day.clear();
                    orders.len()
                }
            };
            begun = Some((day, first_of_day));
            let (position, is_new) = of_day.position(timeline.detail(index).order);
            if is_new {
                orders.push(OrderSummary { day, lines: 0, value: None, categories: Vec::new() });
            }
            let order = &mut orders[first_of_day + position];
            order.lines += 1;
            add(&mut order.value, event.value);
            order.categories.extend(name(&vocabularies.category, event.category));
        }
        let mut kinds: Vec<KindSummary> = kinds.into_values().collect();
        kinds.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.event.cmp(&b.event)));
        let n_orders = orders.len() as u64;
        let mut last_orders: Vec<OrderSummary> = orders.into_iter().rev().take(NEWEST).collect();
        for order in &mut last_orders {
            order.categories.sort_unstable();
            order.categories.dedup();
        }
        let event = |&index: &usize| {
            let event = &timeline.events[index];
            EventSummary {
                time: wall_text(event.time),
                event: name(&vocabularies.event, event.kind.into()),
                category: name(&vocabularies.category, event.category),
                channel: name(&vocabularies.channel, event.channel.into()),
                value: Some(event.value).filter(|value| !value.is_nan()),
            }
        };
        Some(Self {
            events: known.len() as u64,
            first: wall_text(first.time),
            last: wall_text(last.time),
            tenure_days: as_of.since(first.day()),
            kinds,
            orders: n_orders,
            last_orders,
            last_events: known.iter().rev().take(NEWEST).map(event).collect(),
        })
    }
}
