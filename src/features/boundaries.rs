//! Where days and orders begin: walked over once, so that every family agrees on it.

use super::sweep::Marks;
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
    #[inline]
    pub(super) fn mark(&mut self, marks: &mut Marks, order: impl FnOnce() -> u64) {
        marks.begins_day = self.last_day.replace(marks.day) != Some(marks.day);
        if !marks.is_order_line {
            return;
        }
        marks.begins_order_day = self.last_order_day.replace(marks.day) != Some(marks.day);
        if marks.begins_order_day {
            self.orders_of_day.clear();
        }
        let (position, is_new) = self.orders_of_day.position(order());
        (marks.order_of_day, marks.begins_order) = (position as u32, is_new);
    }
}
