//! How often has a customer ordered, and what was it worth?

use super::catalogue::{Declarations, Plan, Unit};
use super::moments::Moments;
use super::sweep::{Row, Step};

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
    declarations.family("purchases", &["ts", "event", "order_id"]);
    declarations.add("lines_per_order", Unit::Ratio, "Mean number of lines of an order; missing without one.");
    declarations.family("purchases", &["ts", "event", "order_id", "quantity"]);
    declarations.add("units_per_order", Unit::Ratio, "Mean number of units of an order; missing without one.");
    if order.has_money {
        declarations.family("purchases", &["event", "value"]);
        declarations.add("spend", Unit::Money, format!("Sum of `value` of `{event}` to date, refunds deducted."));
        declarations.add(
            "refunds",
            Unit::Money,
            format!("Sum of negative `value` of `{event}` to date, as a positive sum."),
        );
        let note = format!("Sum of `value` of order lines of `{event}` to date, before refunds.");
        declarations.add("gross_spend", Unit::Money, note);
        declarations.add("refund_share", Unit::Ratio, "`refunds` ÷ `gross_spend`; missing without gross spend.");
        declarations.add("refund_lines", Unit::Count, format!("`{event}` events with a negative `value`, to date."));
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
    if let Some(column) = &plan.discount {
        let of = "sign ignored; missing where the data lack the column";
        declarations.family("purchases", &["event", "value", column]);
        declarations.add("discount", Unit::Money, format!("Sum of `{column}` of order lines to date, {of}."));
        declarations.add(
            "discounted_line_share",
            Unit::Share,
            format!("Share of order lines with a `{column}` other than 0; missing without a line."),
        );
        declarations.family("purchases", &["ts", "event", "value", "order_id", column]);
        let note = "`discount` ÷ number of orders; missing without one.";
        declarations.add("average_order_discount", Unit::Money, note);
        if order.has_money {
            let note = "`discount` ÷ (`gross_spend` + `discount`): share of the price before discount, where `value` is \
                        the price after it; missing without either.";
            declarations.add("discount_share", Unit::Share, note);
        }
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

/// Order lines grouped into orders as they pass.
#[derive(Default)]
pub(super) struct State {
    lines: u64,
    refund_lines: u64,
    units: f64,
    spend: f64,
    gross_spend: f64,
    refunds: f64,
    first_day_spend: f64,
    discount: f64,
    discounted_lines: u64,
    order_days: u64,
    /// Orders of the last day with one, still open: lines of one order may come one after another.
    open: Vec<f64>,
    closed: Moments,
    largest: f64,
    first_value: f64,
    /// Money of each kind of event; none where only orders have any.
    kind_values: Vec<f64>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        let mut open = std::mem::take(&mut self.open);
        let mut kind_values = std::mem::take(&mut self.kind_values);
        open.clear();
        kind_values.clear();
        if plan.kinds[1..].iter().any(|kind| kind.has_money) {
            kind_values.resize(plan.kinds.len(), 0.0);
        }
        *self = Self { open, kind_values, largest: f64::NAN, first_value: f64::NAN, ..Self::default() };
    }

    /// Whether other events than orders have a feature.
    pub(super) fn counts_others(&self) -> bool {
        !self.kind_values.is_empty()
    }

    /// Any event.
    #[inline]
    pub(super) fn observe_other(&mut self, step: &Step) {
        if let Some(sum) = self.kind_values.get_mut(step.kind as usize) {
            *sum += step.money();
        }
    }

    /// Events of the order event's kind alone. `discount` is the position of the discount among the numbers of the
    /// timelines.
    #[inline]
    pub(super) fn observe(&mut self, discount: Option<usize>, step: &Step) {
        let value = step.money();
        self.spend += value;
        if !step.is_order_line {
            self.refunds -= value;
            self.refund_lines += 1;
            return;
        }
        self.gross_spend += value;
        if let Some(discount) = discount.map(|at| step.numbers()[at].abs()).filter(|discount| *discount > 0.0) {
            self.discount += discount;
            self.discounted_lines += 1;
        }
        if step.begins_order_day {
            self.close();
            self.order_days += 1;
        }
        self.lines += 1;
        let quantity = step.quantity();
        self.units += if quantity.is_nan() { 1.0 } else { f64::from(quantity) };
        if self.order_days == 1 {
            self.first_day_spend += value;
        }
        if step.begins_order {
            self.open.push(value);
        } else {
            self.open[step.order_of_day as usize] += value;
        }
    }

    fn close(&mut self) {
        if self.closed.n == 0
            && let Some(&first) = self.open.first()
        {
            self.first_value = first;
        }
        for value in self.open.drain(..) {
            self.closed.add(value);
            self.largest = self.largest.max(value);
        }
    }

    /// Mean money of the days with an order after the first such day.
    fn repeat_value(&self) -> f64 {
        let repeats = self.order_days.saturating_sub(1);
        if repeats == 0 { f64::NAN } else { (self.gross_spend - self.first_day_spend) / repeats as f64 }
    }

    pub(super) fn emit(&self, plan: &Plan, has_discount: bool, row: &mut Row) {
        let (mut orders, mut largest) = (self.closed, self.largest);
        for &value in &self.open {
            orders.add(value);
            largest = largest.max(value);
        }
        let n = orders.n as f64;
        row.push(n);
        row.push(self.order_days as f64);
        row.push(self.lines as f64);
        row.push(self.units);
        row.push(if orders.n == 0 { f64::NAN } else { self.lines as f64 / n });
        row.push(if orders.n == 0 { f64::NAN } else { self.units / n });
        if plan.kinds[0].has_money {
            let first =
                if self.closed.n > 0 { self.first_value } else { self.open.first().copied().unwrap_or(f64::NAN) };
            row.push(self.spend);
            row.push(self.refunds);
            row.push(self.gross_spend);
            row.push(if self.gross_spend > 0.0 { self.refunds / self.gross_spend } else { f64::NAN });
            row.push(self.refund_lines as f64);
            row.push(orders.mean);
            row.push(orders.deviation());
            row.push(largest);
            row.push(first);
            row.push(self.open.last().copied().unwrap_or(f64::NAN));
            row.push(self.repeat_value());
        }
        if plan.discount.is_some() {
            let discount = if has_discount { self.discount } else { f64::NAN };
            let lines = if has_discount { self.discounted_lines as f64 } else { f64::NAN };
            row.push(discount);
            row.push(lines / self.lines as f64); // 0/0 = missing
            row.push(discount / n);
            if plan.kinds[0].has_money {
                row.push(discount / (self.gross_spend + discount));
            }
        }
        for (kind, sum) in plan.kinds.iter().zip(&self.kind_values).skip(1) {
            if kind.has_money {
                row.push(*sum);
            }
        }
    }
}
