//! How often has a customer ordered, and what was it worth?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::timeline::OrdersOfDay;

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let order = &plan.kinds[0];
    let event = &order.event;
    declarations.add(
        format!("{}s", order.slug),
        Unit::Count,
        format!("Orders to date: lines of `{event}` that share an order id, or a day where there is none, are one."),
    );
    declarations.add("order_days", Unit::Count, "Days with an order, to date.");
    declarations.add("order_lines", Unit::Count, "Order lines to date.");
    declarations.add("units", Unit::Count, "Units ordered to date; a line without a quantity is one.");
    if order.has_money {
        declarations.add("spend", Unit::Money, format!("Sum of `value` of `{event}` to date, refunds deducted."));
        declarations.add(
            "refunds",
            Unit::Money,
            format!("Sum of negative `value` of `{event}` to date, as a positive sum."),
        );
        declarations.add("average_order_value", Unit::Money, "Mean value of an order; missing without one.");
        declarations.add(
            "order_value_spread",
            Unit::Money,
            "Standard deviation of the value of an order; missing below two.",
        );
        declarations.add("largest_order_value", Unit::Money, "Missing without an order.");
        declarations.add("first_order_value", Unit::Money, "Missing without an order.");
        declarations.add("last_order_value", Unit::Money, "Missing without an order.");
        declarations.add(
            "repeat_order_value",
            Unit::Money,
            "Mean value of the days with an order after the first such day; missing without one.",
        );
    }
    for kind in plan.kinds[1..].iter().filter(|kind| kind.has_money) {
        declarations.add(
            format!("{}_value", kind.slug),
            Unit::Money,
            format!("Sum of `value` of `{}` to date.", kind.event),
        );
    }
}

/// Order lines grouped into orders as they pass.
#[derive(Default)]
pub(super) struct State {
    lines: u64,
    units: f64,
    spend: f64,
    refunds: f64,
    first_day_spend: f64,
    order_days: u64,
    last_day: Option<i64>,
    /// Orders of the last day with one, still open: lines of one order may come one after another.
    open: Vec<f64>,
    orders_of_day: OrdersOfDay,
    closed: u64,
    closed_sum: f64,
    closed_squares: f64,
    closed_largest: f64,
    first_value: f64,
    kind_values: Vec<f64>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        let mut open = std::mem::take(&mut self.open);
        let mut kind_values = std::mem::take(&mut self.kind_values);
        let mut orders_of_day = std::mem::take(&mut self.orders_of_day);
        open.clear();
        orders_of_day.clear();
        kind_values.clear();
        kind_values.resize(plan.kinds.len(), 0.0);
        *self = Self { open, orders_of_day, kind_values, closed_largest: f64::NEG_INFINITY, ..Self::default() };
    }

    /// Returned: whether the event begins an order.
    pub(super) fn observe(&mut self, step: &Step) -> bool {
        let event = step.event;
        let value = if event.value.is_nan() { 0.0 } else { event.value };
        if step.kind != 0 {
            if let Some(sum) = self.kind_values.get_mut(step.kind) {
                *sum += value;
            }
            return false;
        }
        self.spend += value;
        if !step.is_order_line {
            self.refunds -= value;
            return false;
        }
        let day = i64::from(step.day.0);
        if self.last_day != Some(day) {
            self.close();
            self.order_days += 1;
            self.last_day = Some(day);
        }
        self.lines += 1;
        self.units += if event.quantity.is_nan() { 1.0 } else { f64::from(event.quantity) };
        if self.order_days == 1 {
            self.first_day_spend += value;
        }
        let (position, begins) = self.orders_of_day.position(event.order);
        if begins {
            self.open.push(value);
        } else {
            self.open[position] += value;
        }
        begins
    }

    fn close(&mut self) {
        if self.closed == 0
            && let Some(&first) = self.open.first()
        {
            self.first_value = first;
        }
        for value in self.open.drain(..) {
            self.closed += 1;
            self.closed_sum += value;
            self.closed_squares += value * value;
            self.closed_largest = self.closed_largest.max(value);
        }
        self.orders_of_day.clear();
    }

    /// Orders to date.
    fn orders(&self) -> u64 {
        self.closed + self.open.len() as u64
    }

    /// Mean money of the days with an order after the first such day.
    fn repeat_value(&self) -> f64 {
        let repeats = self.order_days.saturating_sub(1);
        if repeats == 0 { f64::NAN } else { (self.spend + self.refunds - self.first_day_spend) / repeats as f64 }
    }

    pub(super) fn emit(&self, plan: &Plan, row: &mut Row) {
        let orders = self.orders();
        row.push(orders as f64);
        row.push(self.order_days as f64);
        row.push(self.lines as f64);
        row.push(self.units);
        if plan.kinds[0].has_money {
            let n = orders as f64;
            let (mut sum, mut squares, mut largest) = (self.closed_sum, self.closed_squares, self.closed_largest);
            for &value in &self.open {
                sum += value;
                squares += value * value;
                largest = largest.max(value);
            }
            let missing = |value: f64, known: bool| if known { value } else { f64::NAN };
            let first = if self.closed > 0 { self.first_value } else { self.open.first().copied().unwrap_or(f64::NAN) };
            row.push(self.spend);
            row.push(self.refunds);
            row.push(missing(sum / n, orders > 0));
            row.push(missing(((squares - sum * sum / n).max(0.0) / (n - 1.0)).sqrt(), orders > 1));
            row.push(missing(largest, orders > 0));
            row.push(first);
            row.push(self.open.last().copied().unwrap_or(f64::NAN));
            row.push(self.repeat_value());
        }
        for (kind, sum) in plan.kinds.iter().zip(&self.kind_values).skip(1) {
            if kind.has_money {
                row.push(*sum);
            }
        }
    }
}
