//! How often has a customer ordered, and what was it worth?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::timeline::OrdersOfDay;

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let order = &plan.kinds[0];
    let event = &order.event;
    declarations.family("purchases", &["ts", "event", "order_id"]);
    declarations.add(
        format!("{}s", order.slug),
        Unit::Count,
        format!(
            "Orders to date: lines of `{event}` of one day that share an order id, or have none, are one; \
             refunds are none."
        ),
    );
    declarations.family("purchases", &["ts", "event"]);
    declarations.add("order_days", Unit::Count, "Days with an order, to date.");
    declarations.add("order_lines", Unit::Count, "Order lines to date.");
    declarations.family("purchases", &["event", "quantity"]);
    declarations.add("units", Unit::Count, "Units ordered to date; a line without a quantity is one unit.");
    if order.has_money {
        declarations.family("purchases", &["event", "value"]);
        declarations.add("spend", Unit::Money, format!("Sum of `value` of `{event}` to date, refunds deducted."));
        declarations.add(
            "refunds",
            Unit::Money,
            format!("Sum of negative `value` of `{event}` to date, as a positive sum."),
        );
        declarations.family("purchases", &["ts", "event", "value", "order_id"]);
        declarations.add("average_order_value", Unit::Money, "Mean value of an order; missing without one.");
        declarations.add(
            "order_value_spread",
            Unit::Money,
            "Standard deviation of the value of an order; missing below two.",
        );
        declarations.add("largest_order_value", Unit::Money, "Largest value of an order; missing without one.");
        declarations.add("first_order_value", Unit::Money, "Value of the first order; missing without one.");
        declarations.add("last_order_value", Unit::Money, "Value of the order that began last; missing without one.");
        declarations.add(
            "repeat_order_value",
            Unit::Money,
            "Mean value of the days with an order after the first such day; missing without one.",
        );
    }
    declarations.family("purchases", &["event", "value"]);
    for kind in plan.kinds[1..].iter().filter(|kind| kind.has_money) {
        declarations.add(
            format!("{}_value", kind.slug),
            Unit::Money,
            format!("Sum of `value` of `{}` to date.", kind.event),
        );
    }
}

/// Values of orders: mean and spread by Welford (1962), Technometrics 4(3), 419-420, because sums of squares
/// lose the spread of orders that hardly differ.
#[derive(Clone, Copy)]
struct OrderValues {
    n: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
    largest: f64,
}

impl Default for OrderValues {
    fn default() -> Self {
        Self { n: 0, mean: f64::NAN, squares: 0.0, largest: f64::NAN }
    }
}

impl OrderValues {
    fn add(&mut self, value: f64) {
        self.n += 1;
        if self.n == 1 {
            self.mean = value;
        }
        let from_mean = value - self.mean;
        self.mean += from_mean / self.n as f64;
        self.squares += from_mean * (value - self.mean);
        self.largest = self.largest.max(value);
    }

    /// Standard deviation.
    fn spread(&self) -> f64 {
        if self.n < 2 { f64::NAN } else { (self.squares / (self.n - 1) as f64).sqrt() }
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
    closed: OrderValues,
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
        *self = Self { open, orders_of_day, kind_values, ..Self::default() };
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
        let quantity = step.quantity();
        self.units += if quantity.is_nan() { 1.0 } else { f64::from(quantity) };
        if self.order_days == 1 {
            self.first_day_spend += value;
        }
        let (position, begins) = self.orders_of_day.position(step.order());
        if begins {
            self.open.push(value);
        } else {
            self.open[position] += value;
        }
        begins
    }

    fn close(&mut self) {
        if self.closed.n == 0
            && let Some(&first) = self.open.first()
        {
            self.first_value = first;
        }
        for value in self.open.drain(..) {
            self.closed.add(value);
        }
        self.orders_of_day.clear();
    }

    /// Mean money of the days with an order after the first such day.
    fn repeat_value(&self) -> f64 {
        let repeats = self.order_days.saturating_sub(1);
        if repeats == 0 { f64::NAN } else { (self.spend + self.refunds - self.first_day_spend) / repeats as f64 }
    }

    pub(super) fn emit(&self, plan: &Plan, row: &mut Row) {
        let mut orders = self.closed;
        self.open.iter().for_each(|&value| orders.add(value));
        row.push(orders.n as f64);
        row.push(self.order_days as f64);
        row.push(self.lines as f64);
        row.push(self.units);
        if plan.kinds[0].has_money {
            let first =
                if self.closed.n > 0 { self.first_value } else { self.open.first().copied().unwrap_or(f64::NAN) };
            row.push(self.spend);
            row.push(self.refunds);
            row.push(orders.mean);
            row.push(orders.spread());
            row.push(orders.largest);
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
