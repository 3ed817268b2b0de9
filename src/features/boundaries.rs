//! Where days and orders begin: walked over once, so that every family agrees on it.

use super::sweep::Step;
use crate::time::Day;
use crate::timeline::OrdersOfDay;

/// The day, and the orders of the day, that are still open.
#[derive(Default)]
pub(super) struct Boundaries {
    last_day: Option<Day>,
    last_order_day: Option<Day>,
    orders_of_day: OrdersOfDay,
}

impl Boundaries {
    pub(super) fn reset(&mut self) {
        self.last_day = None;
        self.last_order_day = None;
    }

    /// Fills in what an event begins.
    pub(super) fn mark(&mut self, step: &mut Step) {
        step.begins_day = self.last_day.replace(step.day) != Some(step.day);
        if !step.is_order_line {
            return;
        }
        step.begins_order_day = self.last_order_day.replace(step.day) != Some(step.day);
        if step.begins_order_day {
            self.orders_of_day.clear();
        }
        (step.order_of_day, step.begins_order) = self.orders_of_day.position(step.order());
    }
}
