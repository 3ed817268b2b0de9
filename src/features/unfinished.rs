//! What has a customer begun and not finished, and does it keep failing?

use super::catalogue::{Declarations, Plan, Unit};
use super::roles::{BEGINS_NOTHING, MOST_UNFINISHED, RoleSet};
use super::sweep::{Marks, Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::Event;

/// An order finishes what began less than this many days before it.
const FINISH_DAYS: i64 = 7;
const FINISH_MICROS: i64 = FINISH_DAYS * DAY_MICROS;

fn told(events: &[String]) -> String {
    events.iter().map(|event| format!("`{event}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    for begin in &plan.roles.begins {
        let (slug, events) = (&begin.slug, told(&begin.events));
        declarations.family("unfinished", &["ts", "event"]);
        declarations.add(format!("open_{slug}s"), Unit::Count, format!("Events {events} since the last order."));
        let missing = "missing when none is open";
        for (which, end) in [("oldest", "first"), ("newest", "last")] {
            declarations.add(
                format!("days_since_{which}_open_{slug}"),
                Unit::Days,
                format!("From the {end} event {events} since the last order to `as_of`; {missing}."),
            );
        }
        declarations.add(
            format!("{slug}_finish_share_{FINISH_DAYS}d"),
            Unit::Share,
            format!(
                "Share of the events {events} that an order followed within {FINISH_DAYS} days, among those at least \
                 {FINISH_DAYS} days old; missing without one."
            ),
        );
        if begin.has_money {
            declarations.family("unfinished", &["ts", "event", "value"]);
            declarations.add(
                format!("open_{slug}_value"),
                Unit::Money,
                format!("Sum of `value` of the events {events} since the last order."),
            );
        }
    }
    if !plan.roles.failure.is_empty() {
        let events = told(&plan.roles.failure);
        declarations.family("unfinished", &["ts", "event"]);
        declarations.add(
            "failures_in_a_row",
            Unit::Count,
            format!("Failures ({events}) since the last order, whatever else happened in between."),
        );
        declarations.add("longest_failures_in_a_row", Unit::Count, "Most failures between two orders, to date.");
        declarations.add(
            "days_since_any_failure",
            Unit::Days,
            "From the last failure to `as_of`; missing without one.",
        );
    }
}

/// What began and is not finished, of one kind of beginning.
#[derive(Default)]
struct Begun {
    /// Times of those since the last order.
    open: Vec<i64>,
    open_value: f64,
    all: u64,
    /// Those that an order has followed in time.
    finished: u64,
}

/// Beginnings until the next order, and failures in a row.
#[derive(Default)]
pub(super) struct State {
    begun: Vec<Begun>,
    streak: u64,
    longest_streak: u64,
    last_failure: Option<i64>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.begun.resize_with(plan.roles.begins.len(), Begun::default);
        for begun in &mut self.begun {
            begun.open.clear();
            begun.open_value = 0.0;
            begun.all = 0;
            begun.finished = 0;
        }
        self.streak = 0;
        self.longest_streak = 0;
        self.last_failure = None;
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        let time = step.event.time;
        if step.is_order_line {
            for begun in self.begun.iter_mut().filter(|begun| !begun.open.is_empty()) {
                let too_old = begun.open.partition_point(|&begin| time - begin >= FINISH_MICROS);
                begun.finished += (begun.open.len() - too_old) as u64;
                begun.open.clear();
                begun.open_value = 0.0;
            }
            self.streak = 0;
        }
        if let Some(begun) = self.begun.get_mut(step.begins as usize) {
            begun.open.push(time);
            begun.open_value += step.money();
            begun.all += 1;
        }
        if step.roles.has(RoleSet::FAILURE) {
            self.streak += 1;
            self.longest_streak = self.longest_streak.max(self.streak);
            self.last_failure = Some(time);
        }
    }

    /// Of each beginning: how many are too young at `as_of` to be judged, and how many of them are finished.
    fn young(&self, as_of: Day, events: &[Event], marks: &[Marks]) -> [(u64, u64); MOST_UNFINISHED] {
        let mut young = [(0, 0); MOST_UNFINISHED];
        if self.begun.iter().all(|begun| begun.all == 0) {
            return young;
        }
        let mut order_after = None;
        for (event, marks) in events.iter().zip(marks).rev() {
            if as_of.start_micros() - event.time >= FINISH_MICROS {
                break;
            }
            if marks.is_order_line {
                order_after = Some(event.time);
            } else if marks.begins != BEGINS_NOTHING {
                let (young, finished) = &mut young[marks.begins as usize];
                *young += 1;
                *finished += u64::from(order_after.is_some()); // both are younger than the time to finish
            }
        }
        young
    }

    pub(super) fn emit(&self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        let since = |time: Option<&i64>| {
            time.map_or(f64::NAN, |&time| (as_of.start_micros() - time) as f64 / DAY_MICROS as f64)
        };
        let young = self.young(as_of, events, marks);
        for ((begin, begun), (young, young_finished)) in plan.roles.begins.iter().zip(&self.begun).zip(young) {
            row.push(begun.open.len() as f64);
            row.push(since(begun.open.first()));
            row.push(since(begun.open.last()));
            row.push((begun.finished - young_finished) as f64 / (begun.all - young) as f64); // 0/0 = missing
            if begin.has_money {
                row.push(begun.open_value);
            }
        }
        if !plan.roles.failure.is_empty() {
            row.push(self.streak as f64);
            row.push(self.longest_streak as f64);
            row.push(since(self.last_failure.as_ref()));
        }
    }
}
