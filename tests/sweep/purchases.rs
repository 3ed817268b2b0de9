//! How often, and what it was worth.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, paid, bought, gross, .. } = view;
    let slack = gross * SUM_ROUNDING;
    let placed = orders(bought);
    let values: Vec<f64> = placed.iter().map(|order| order.value).collect();
    all.add(format!("{}s", view.order()), placed.len() as f64);
    all.add("order_days", days(bought));
    all.add("order_lines", bought.len() as f64);
    let units = |line: &&Line| if line.quantity.is_nan() { 1.0 } else { f64::from(line.quantity) };
    all.add("units", bought.iter().map(units).sum());
    let of_an_order = |sum: f64| if placed.is_empty() { f64::NAN } else { sum / placed.len() as f64 };
    all.add("lines_per_order", of_an_order(bought.len() as f64));
    all.add("units_per_order", of_an_order(bought.iter().map(units).sum()));
    if view.has_money() {
        all.add_any("spend", vec![sum(paid)], slack);
        let refunds: Vec<&Line> = paid.iter().copied().filter(|line| line.value < 0.0).collect();
        all.add("refunds", -sum(&refunds));
        all.add("gross_spend", sum(bought));
        let gross_spend = sum(bought);
        all.add("refund_share", if gross_spend == 0.0 { f64::NAN } else { -sum(&refunds) / gross_spend });
        all.add("refund_lines", refunds.len() as f64);
        all.add("average_order_value", mean(&values));
        all.add_any("order_value_spread", vec![deviation(&values)], slack);
        all.add("largest_order_value", largest(&values));
        let beginning = |time: Option<i64>| -> Vec<f64> {
            let at = placed.iter().filter(|order| Some(order.begins) == time).map(|order| order.value);
            if time.is_some() { at.collect() } else { vec![f64::NAN] }
        };
        all.add_any("first_order_value", beginning(placed.iter().map(|order| order.begins).min()), 0.0);
        all.add_any("last_order_value", beginning(placed.iter().map(|order| order.begins).max()), 0.0);
        let first_day = bought.iter().map(|line| line.day()).min();
        let later: Vec<&Line> = bought.iter().copied().filter(|line| Some(line.day()) > first_day).collect();
        let repeat = if later.is_empty() { f64::NAN } else { sum(&later) / days(&later) };
        all.add_any("repeat_order_value", vec![repeat], slack);
    }
    for kind in plan.kinds[1..].iter().filter(|kind| kind.has_money) {
        all.add_any(&format!("{}_value", kind.slug), vec![sum(&of_event(known, &kind.event))], slack);
    }
}
