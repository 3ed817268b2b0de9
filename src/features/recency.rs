//! Since when is a customer known, and how long ago did each thing happen last?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::Event;

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    declarations.family("recency", &["ts"]);
    declarations.add("tenure_days", Unit::Days, "From the first event of any kind to `as_of`.");
    declarations.add("days_since_last_event", Unit::Days, "From the last event of any kind to `as_of`.");
    declarations.family("recency", &["ts", "event", "value"]);
    declarations.add("days_since_first_order", Unit::Days, "From the first order to `as_of`; missing without one.");
    declarations.add("days_since_last_order", Unit::Days, "From the last order to `as_of`; missing without one.");
    let note = "From the first order line to the last: how long orders have been seen; missing without one.";
    declarations.add("days_from_first_to_last_order", Unit::Days, note);
    declarations.family("recency", &["ts", "event"]);
    for kind in &plan.kinds[1..] {
        let name = format!("days_since_last_{}", kind.slug);
        declarations.add(name, Unit::Days, format!("From the last `{}` to `as_of`; missing without one.", kind.event));
    }
}

/// Features before those of the kinds of events.
const OF_ALL: usize = 5;

/// Times in microseconds; `None` until it happens.
#[derive(Default)]
pub(super) struct State {
    /// Whether any feature of a kind of event is wanted.
    wants_kinds: bool,
    first: Option<i64>,
    last: i64,
    first_order: Option<i64>,
    last_order: Option<i64>,
    last_of_kind: Vec<Option<i64>>,
}

impl State {
    /// `wanted` tells it of every feature of the family.
    pub(super) fn new(wanted: &[bool]) -> Self {
        Self { wants_kinds: wanted[OF_ALL..].contains(&true), ..Self::default() }
    }

    pub(super) fn reset(&mut self, plan: &Plan) {
        self.first = None;
        self.first_order = None;
        self.last_order = None;
        if self.wants_kinds {
            self.last_of_kind.clear();
            self.last_of_kind.resize(plan.kinds.len(), None);
        }
    }

    /// All events that are observed together, oldest first.
    pub(super) fn observe_all(&mut self, events: &[Event]) {
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            self.first.get_or_insert(first.time);
            self.last = last.time;
        }
    }

    /// Events of the order event's kind alone.
    #[inline]
    pub(super) fn observe_order(&mut self, step: &Step) {
        if step.is_order_line {
            self.first_order.get_or_insert(step.event.time);
            self.last_order = Some(step.event.time);
        }
    }

    /// Whether events of each kind are to be observed.
    pub(super) fn observes_kinds(&self) -> bool {
        self.wants_kinds
    }

    /// Any event.
    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if let Some(slot) = self.last_of_kind.get_mut(step.kind as usize) {
            *slot = Some(step.event.time);
        }
    }

    pub(super) fn emit(&self, plan: &Plan, as_of: Day, row: &mut Row) {
        let since = |time: Option<i64>| match time {
            Some(time) => (as_of.start_micros() - time) as f64 / DAY_MICROS as f64,
            None => f64::NAN,
        };
        row.push(since(self.first));
        row.push(since(Some(self.last)));
        row.push(since(self.first_order));
        row.push(since(self.last_order));
        row.push(since(self.first_order) - since(self.last_order));
        if !self.wants_kinds {
            row.skip(plan.kinds.len() - 1);
            return;
        }
        for &time in &self.last_of_kind[1..] {
            row.push(since(time));
        }
    }
}
