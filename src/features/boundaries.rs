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

    /// The day of the last event so far.
    pub(super) fn last_day(&self) -> Option<Day> {
        self.last_day
    }

    /// Further events were walked over, the last of them on that day.
    pub(super) fn pass(&mut self, last_day: Option<Day>) {
        self.last_day = last_day;
    }

    /// Fills in what an event of the order event's kind begins of orders.
    #[inline]
    pub(super) fn mark(&mut self, marks: &mut Marks, order: impl FnOnce() -> u64) {
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
