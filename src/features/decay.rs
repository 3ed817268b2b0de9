//! What has a customer done, the more recent the more it counts?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use super::tables::{HALF_LIVES, fading};
use crate::time::Day;

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let order = &plan.kinds[0];
    for half_life in HALF_LIVES {
        let weight = format!("each weighing 2^(−age/{half_life}), age in whole days");
        declarations.family("decay", &["ts"]);
        declarations.add(format!("events_decayed_{half_life}d"), Unit::Count, format!("Events to date, {weight}."));
        declarations.family("decay", &["ts", "event", "value", "order_id"]);
        let note = format!("Orders to date, {weight}.");
        declarations.add(format!("{}s_decayed_{half_life}d", order.slug), Unit::Count, note);
        if order.has_money {
            declarations.family("decay", &["ts", "event", "value"]);
            let note = format!("Sum of `value` of `{}` to date, refunds deducted, {weight}.", order.event);
            declarations.add(format!("spend_decayed_{half_life}d"), Unit::Money, note);
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Faded {
    events: f64,
    orders: f64,
    spend: f64,
}

/// Sums as they stood on the last day with an event, for each half-life.
#[derive(Default)]
pub(super) struct State {
    last_day: Day,
    faded: [Faded; HALF_LIVES.len()],
}

impl State {
    pub(super) fn reset(&mut self) {
        self.faded = Default::default();
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if step.begins_day {
            let days = step.day.since(self.last_day);
            self.last_day = step.day;
            if self.faded[0].events > 0.0 {
                for (faded, left) in self.faded.iter_mut().zip(fading(days)) {
                    faded.events *= left;
                    faded.orders *= left;
                    faded.spend *= left;
                }
            }
        }
        let orders = f64::from(step.begins_order);
        let spend = if step.kind == 0 { step.money() } else { 0.0 };
        for faded in &mut self.faded {
            faded.events += 1.0;
            faded.orders += orders;
            faded.spend += spend;
        }
    }

    pub(super) fn emit(&self, plan: &Plan, as_of: Day, row: &mut Row) {
        for (faded, left) in self.faded.iter().zip(fading(as_of.since(self.last_day))) {
            row.push(faded.events * left);
            row.push(faded.orders * left);
            if plan.kinds[0].has_money {
                row.push(faded.spend * left);
            }
        }
    }
}
