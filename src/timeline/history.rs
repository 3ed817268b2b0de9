//! Histories: a timeline reduced to what the buy-till-you-die models see.

use super::{Event, OrdersOfDay, Timeline};
use crate::time::Day;

/// Occurrences of one event before `as_of`, by day: customers of these models act at most once a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Day of the first occurrence.
    pub first: Day,
    /// Day of the last occurrence.
    pub last: Day,
    /// Days with one.
    pub days: u32,
    /// Occurrences: orders of the order event, rows of any other.
    pub occurrences: u32,
    /// Money of the first day with one.
    pub first_day_value: f64,
    /// Money of all of them.
    pub value: f64,
}

impl History {
    /// What is known at `as_of` of the events that `counts` accepts; `None` without one.
    ///
    /// With `by_order`, rows of one day that share an order id are one occurrence.
    pub fn of(timeline: Timeline, as_of: Day, by_order: bool, counts: impl Fn(&Event) -> bool) -> Option<Self> {
        let mut history: Option<Self> = None;
        let mut orders_of_day = OrdersOfDay::default();
        for index in timeline.known_at(as_of) {
            let event = &timeline.events[index];
            if !counts(event) {
                continue;
            }
            let day = event.day();
            let value = if event.value.is_nan() { 0.0 } else { event.value };
            let history = history.get_or_insert(Self {
                first: day,
                last: Day(i32::MIN),
                days: 0,
                occurrences: 0,
                first_day_value: 0.0,
                value: 0.0,
            });
            if history.last != day {
                history.last = day;
                history.days += 1;
                orders_of_day.clear();
            }
            if !by_order || orders_of_day.position(timeline.detail(index).order).1 {
                history.occurrences += 1;
            }
            history.value += value;
            if history.days == 1 {
                history.first_day_value += value;
            }
        }
        history
    }

    /// Repeat days `x`.
    pub fn repeats(&self) -> f64 {
        f64::from(self.days - 1)
    }

    /// `t_x`: days from the first to the last.
    pub fn recency(&self) -> f64 {
        f64::from(self.last.since(self.first))
    }

    /// `T`: days from the first to `as_of`.
    pub fn age(&self, as_of: Day) -> f64 {
        f64::from(as_of.since(self.first))
    }

    /// Mean money of the repeat days; 0 without one.
    pub fn repeat_value(&self) -> f64 {
        if self.days < 2 { 0.0 } else { (self.value - self.first_day_value) / self.repeats() }
    }
}
