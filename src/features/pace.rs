//! Is a customer speeding up or slowing down: by single days, by weeks, and against a year ago?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Marks, Row};
use crate::time::Day;
use crate::timeline::Event;

/// Single days with columns.
const DAYS: usize = 7;
/// Numbers of weeks over which a slope is laid.
const SLOPES: [usize; 2] = [4, 12];
const WEEKS: usize = SLOPES[1];
const YEAR: i32 = 365;
const MONTH: i32 = 30;

fn has_last_year(plan: &Plan) -> bool {
    plan.history_days > YEAR
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let order = &plan.kinds[0];
    let orders = format!("{}s", order.slug);
    let of_orders = ["ts", "event", "value", "order_id"];
    for day in 1..=DAYS {
        let when = if day == 1 { "the last day".to_string() } else { format!("day {day} counted back from the last") };
        declarations.family("pace", &["ts"]);
        declarations.add(format!("events_day_{day}"), Unit::Count, format!("Events on {when} before `as_of`."));
        declarations.family("pace", &of_orders);
        declarations.add(format!("{orders}_day_{day}"), Unit::Count, format!("Orders on {when} before `as_of`."));
    }
    for weeks in SLOPES {
        let days = 7 * weeks;
        let note = format!("a week, per week, over the last {weeks} weeks: slope of the least-squares line.");
        declarations.family("pace", &["ts"]);
        declarations.add(format!("events_slope_{days}d"), Unit::Count, format!("Change of events {note}"));
        declarations.family("pace", &of_orders);
        declarations.add(format!("{orders}_slope_{days}d"), Unit::Count, format!("Change of orders {note}"));
        if order.has_money {
            declarations.add(format!("spend_slope_{days}d"), Unit::Money, format!("Change of spend {note}"));
        }
    }
    if has_last_year(plan) {
        declarations.family("pace", &of_orders);
        for (name, note) in [
            ("last_year_next_30d", "in the 30 days that follow `as_of` a year (365 days) ago"),
            ("last_year_past_30d", "in the 30 days before `as_of` a year (365 days) ago"),
        ] {
            declarations.add(format!("{orders}_{name}"), Unit::Count, format!("Orders {note}."));
            if order.has_money {
                declarations.add(format!("spend_{name}"), Unit::Money, format!("Spend {note}."));
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Totals {
    events: u32,
    orders: u32,
    spend: f64,
}

impl Totals {
    fn add(&mut self, marks: &Marks, spend: f64) {
        self.events += 1;
        self.orders += u32::from(marks.begins_order);
        self.spend += spend;
    }
}

/// Slope of the least-squares line through values at 0, 1, … n − 1, newest first and so reversed.
fn slope(newest_first: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = newest_first.len() as f64;
    let twice_from_mean = |position: usize| (n - 1.0) - 2.0 * position as f64;
    let sum: f64 = newest_first.enumerate().map(|(position, value)| twice_from_mean(position) * value).sum();
    6.0 * sum / (n * (n * n - 1.0))
}

/// Filled by looking back from `as_of`.
#[derive(Default)]
pub(super) struct State {
    days: [Totals; DAYS],
    weeks: [Totals; WEEKS],
    /// The month that follows a year ago, and the one before.
    last_year: [Totals; 2],
}

impl State {
    fn fill(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks]) {
        *self = Self::default();
        let longest = if has_last_year(plan) { YEAR + MONTH } else { 7 * WEEKS as i32 };
        for (event, marks) in events.iter().zip(marks).rev() {
            let age = as_of.since(marks.day);
            if age > longest {
                break;
            }
            let spend = if marks.kind == 0 && !event.value.is_nan() { event.value } else { 0.0 };
            if let Some(day) = self.days.get_mut(age as usize - 1) {
                day.add(marks, spend);
            }
            if let Some(week) = self.weeks.get_mut((age as usize - 1) / 7) {
                week.add(marks, spend);
            }
            if age > YEAR - MONTH {
                self.last_year[usize::from(age > YEAR)].add(marks, spend);
            }
        }
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        self.fill(plan, as_of, events, marks);
        let has_money = plan.kinds[0].has_money;
        for day in &self.days {
            row.push(f64::from(day.events));
            row.push(f64::from(day.orders));
        }
        for weeks in SLOPES {
            let weeks = &self.weeks[..weeks];
            row.push(slope(weeks.iter().map(|week| f64::from(week.events))));
            row.push(slope(weeks.iter().map(|week| f64::from(week.orders))));
            if has_money {
                row.push(slope(weeks.iter().map(|week| week.spend)));
            }
        }
        if has_last_year(plan) {
            for month in &self.last_year {
                row.push(f64::from(month.orders));
                if has_money {
                    row.push(month.spend);
                }
            }
        }
    }
}
