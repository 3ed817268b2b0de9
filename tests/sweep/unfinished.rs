//! The reference of what is begun and not finished, and of failures in a row.

use super::cases::{features_of, purchase};
use super::roles::is_one_of;
use super::*;

const WEEK: i64 = 7 * DAY_MICROS;

pub fn reference(all: &mut Reference, view: &View) {
    let (plan, known, end) = (view.plan, in_order(view.known), view.as_of.start_micros());
    let since = |line: Option<&&Line>| view.since(line.map(|line| line.time));
    let is_order = |line: &Line| line.is_order_line(&plan.kinds[0].event);
    let last_order = known.iter().rposition(|line| is_order(line));
    let after_order = &known[last_order.map_or(0, |position| position + 1)..];
    for begin in &plan.roles.begins {
        let slug = &begin.slug;
        let open: Vec<&Line> = after_order.iter().copied().filter(|line| is_one_of(line, &begin.events)).collect();
        all.add(format!("open_{slug}s"), open.len() as f64);
        all.add(format!("days_since_oldest_open_{slug}"), since(open.first()));
        all.add(format!("days_since_newest_open_{slug}"), since(open.last()));
        let mut judged = 0;
        let mut finished = 0;
        for (position, line) in known.iter().enumerate() {
            if is_one_of(line, &begin.events) && line.time + WEEK <= end {
                judged += 1;
                let in_time = |later: &&Line| is_order(later) && later.time < line.time + WEEK;
                finished += i32::from(known[position..].iter().any(in_time));
            }
        }
        let share = if judged == 0 { f64::NAN } else { f64::from(finished) / f64::from(judged) };
        all.add(format!("{slug}_finish_share_7d"), share);
        if begin.has_money {
            let value = open.iter().map(|line| line.money()).sum();
            let gross: f64 = open.iter().map(|line| line.money().abs()).sum();
            all.add_any(&format!("open_{slug}_value"), vec![value], gross * SUM_ROUNDING);
        }
    }
    if !plan.roles.failure.is_empty() {
        let fails = |line: &&&Line| is_one_of(line, &plan.roles.failure);
        let runs = known.split(|line| is_order(line)).map(|run| run.iter().filter(fails).count());
        let runs: Vec<usize> = runs.collect();
        all.add("failures_in_a_row", *runs.last().expect("at least one") as f64);
        all.add("longest_failures_in_a_row", *runs.iter().max().expect("at least one") as f64);
        all.add("days_since_any_failure", since(known.iter().rfind(fails)));
    }
}

#[test] // by hand: asked on day 20 what became of the carts of days 0, 3, 9, 14 and 18
fn carts_by_hand() {
    let hour = DAY_MICROS / 24;
    let line = |event, offset, instant, value| Line { event, ..purchase(offset, instant, None, value) };
    let lines = [
        line("basket", 0, 0, 5.0),      // ordered on day 6: finished
        line("Add to cart", 3, 0, 1.0), // the same
        purchase(6, 23 * hour, None, 9.0),
        line("basket", 9, 0, 7.0), // ordered a week later to the microsecond: too late
        purchase(16, 0, None, f64::NAN),
        line("basket", 16, 0, 2.0), // another of the same instant, but before the order: finished, too young to count
        line("basket", 18, 0, 3.5),
        line("Add to cart", 19, 12 * hour, f64::NAN),
        line("payment failed", 1, 0, f64::NAN),
        line("payment failed", 2, 0, f64::NAN),
        line("payment failed", 19, 0, f64::NAN),
    ];
    let row = features_of(&lines, MONDAY.plus(20));
    let expected = [
        ("open_carts", 2.0),
        ("open_cart_value", 3.5),
        ("days_since_oldest_open_cart", 2.0),
        ("days_since_newest_open_cart", 0.5),
        ("cart_finish_share_7d", 2.0 / 3.0),
        ("failures_in_a_row", 1.0),
        ("longest_failures_in_a_row", 2.0),
        ("days_since_any_failure", 1.0),
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected, "{name}");
    }
}
