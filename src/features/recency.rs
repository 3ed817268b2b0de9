//! Since when is a customer known, and how long ago did each thing happen last?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::{DAY_MICROS, Day};

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

/// Times in microseconds; `None` until it happens.
#[derive(Default)]
pub(super) struct State {
    first: Option<i64>,
    last: i64,
    first_order: Option<i64>,
    last_order: Option<i64>,
    last_of_kind: Vec<Option<i64>>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.first = None;
        self.first_order = None;
        self.last_order = None;
        self.last_of_kind.clear();
        self.last_of_kind.resize(plan.kinds.len(), None);
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        let time = step.event.time;
        self.first.get_or_insert(time);
        self.last = time;
        if step.is_order_line {
            self.first_order.get_or_insert(time);
            self.last_order = Some(time);
        }
        if let Some(slot) = self.last_of_kind.get_mut(step.kind as usize) {
            *slot = Some(time);
        }
    }

    pub(super) fn emit(&self, as_of: Day, row: &mut Row) {
        let since = |time: Option<i64>| match time {
            Some(time) => (as_of.start_micros() - time) as f64 / DAY_MICROS as f64,
            None => f64::NAN,
        };
        row.push(since(self.first));
        row.push(since(Some(self.last)));
        row.push(since(self.first_order));
        row.push(since(self.last_order));
        row.push(since(self.first_order) - since(self.last_order));
        for &time in &self.last_of_kind[1..] {
            row.push(since(time));
        }
    }
}
