//! How does a customer visit: how often, how long, how deeply?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::Day;

/// Windows of the counts of sessions, in days.
const WINDOWS: [i32; 2] = [7, 30];

const MINUTE_MICROS: i64 = 60_000_000;

/// Dates alone tell no sessions.
fn is_possible(plan: &Plan) -> bool {
    plan.has_times
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    if !is_possible(plan) {
        return;
    }
    let gap = plan.session_minutes;
    declarations.family("sessions", &["ts"]);
    let note = format!("Sessions to date: more than {gap} minutes without an event begin another.");
    declarations.add("sessions", Unit::Count, note);
    for days in WINDOWS {
        let note = format!("Sessions that began in the last {days} days.");
        declarations.add(format!("sessions_{days}d"), Unit::Count, note);
    }
    declarations.add("events_per_session", Unit::Ratio, "Mean number of events of a session.");
    declarations.add("minutes_per_session", Unit::Minutes, "Mean time from first to last event of a session.");
    declarations.add("last_session_events", Unit::Count, "Events of the last session.");
    declarations.add("last_session_minutes", Unit::Minutes, "From first to last event of the last session.");
    declarations.family("sessions", &["ts", "event"]);
    let note = "Mean number of different kinds of events of a session, rare kinds counted as one.";
    declarations.add("kinds_per_session", Unit::Ratio, note);
    let note = "Different kinds of events of the last session, rare kinds counted as one.";
    declarations.add("last_session_kinds", Unit::Count, note);
    declarations.family("sessions", &["ts", "event", "value"]);
    declarations.add("order_session_share", Unit::Share, "Share of the sessions with an order line in all sessions.");
}

/// Sessions that have passed, and the open one: at any instant that is the last.
#[derive(Default)]
pub(super) struct State {
    /// Day on which each session began.
    begins: Vec<Day>,
    events: u64,
    /// Time within sessions, in microseconds.
    within: i64,
    kinds: u64,
    with_order: u64,
    began: i64,
    last: i64,
    last_events: u32,
    last_kinds: u32,
    has_order: bool,
    /// The session that saw a kind last, counted over all customers: nothing to reset.
    seen: Vec<u64>,
    session: u64,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.begins.clear();
        self.events = 0;
        self.within = 0;
        self.kinds = 0;
        self.with_order = 0;
        self.seen.resize(plan.kinds.len() + 1, 0); // one more for all kinds without columns
    }

    #[inline]
    pub(super) fn observe(&mut self, plan: &Plan, step: &Step) {
        let time = step.event.time;
        let longest = i64::from(plan.session_minutes) * MINUTE_MICROS;
        if self.begins.is_empty() || time - self.last > longest {
            self.begins.push(step.day);
            self.began = time;
            self.last_events = 0;
            self.last_kinds = 0;
            self.has_order = false;
            self.session += 1;
        } else {
            self.within += time - self.last;
        }
        self.last = time;
        self.events += 1;
        self.last_events += 1;
        if self.seen[step.kind as usize] != self.session {
            self.seen[step.kind as usize] = self.session;
            self.kinds += 1;
            self.last_kinds += 1;
        }
        if step.is_order_line && !self.has_order {
            self.has_order = true;
            self.with_order += 1;
        }
    }

    pub(super) fn emit(&self, plan: &Plan, as_of: Day, row: &mut Row) {
        if !is_possible(plan) {
            return;
        }
        let n = self.begins.len() as f64;
        let minutes = |micros: i64| micros as f64 / MINUTE_MICROS as f64;
        row.push(n);
        for days in WINDOWS {
            let before = self.begins.partition_point(|&day| as_of.since(day) > days);
            row.push((self.begins.len() - before) as f64);
        }
        row.push(self.events as f64 / n);
        row.push(minutes(self.within) / n);
        row.push(f64::from(self.last_events));
        row.push(minutes(self.last - self.began));
        row.push(self.kinds as f64 / n);
        row.push(f64::from(self.last_kinds));
        row.push(self.with_order as f64 / n);
    }
}
