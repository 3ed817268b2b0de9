//! What do survey scores and other numbers that come with events say?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::NumberColumn;

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    for number in &plan.numbers {
        let (name, slug) = (&number.name, &number.slug);
        let missing = "missing without one";
        declarations.family("numbers", &[name]);
        declarations.add(format!("{slug}_count"), Unit::Count, format!("Events with a `{name}`, to date."));
        declarations.add(format!("mean_{slug}"), Unit::Number, format!("Mean `{name}` to date; {missing}."));
        declarations.add(format!("smallest_{slug}"), Unit::Number, format!("Smallest `{name}` to date; {missing}."));
        declarations.add(format!("largest_{slug}"), Unit::Number, format!("Largest `{name}` to date; {missing}."));
        declarations.family("numbers", &["ts", name]);
        declarations.add(format!("last_{slug}"), Unit::Number, format!("Newest `{name}`; {missing}."));
        declarations.add(
            format!("{slug}_change"),
            Unit::Number,
            format!("Newest `{name}` minus the one before; missing below two."),
        );
        declarations.add(
            format!("days_since_last_{slug}"),
            Unit::Days,
            format!("From the last event with a `{name}` to `as_of`; {missing}."),
        );
    }
}

/// Where the timelines keep the plan's numbers; `None` where tonight's data lack the column.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<Option<usize>>);

impl Columns {
    pub(super) fn new(plan: &Plan, numbers: &[NumberColumn]) -> Self {
        Self(plan.numbers.iter().map(|number| position(&number.name, numbers)).collect())
    }
}

/// Where timelines keep a number.
pub(super) fn position(name: &str, numbers: &[NumberColumn]) -> Option<usize> {
    numbers.iter().position(|number| number.name == name && !number.is_text)
}

#[derive(Clone, Copy)]
struct Seen {
    count: u64,
    sum: f64,
    smallest: f64,
    largest: f64,
    last: f64,
    before: f64,
    time: i64,
}

impl Seen {
    const NOTHING: Self =
        Self { count: 0, sum: 0.0, smallest: f64::NAN, largest: f64::NAN, last: f64::NAN, before: f64::NAN, time: 0 };
}

#[derive(Default)]
pub(super) struct State(Vec<Seen>);

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.0.clear();
        self.0.resize(plan.numbers.len(), Seen::NOTHING);
    }

    #[inline]
    pub(super) fn observe(&mut self, columns: &Columns, step: &Step) {
        for (seen, column) in self.0.iter_mut().zip(&columns.0) {
            let Some(value) = column.map(|column| step.numbers()[column]).filter(|value| !value.is_nan()) else {
                continue;
            };
            seen.count += 1;
            seen.sum += value;
            seen.smallest = seen.smallest.min(value);
            seen.largest = seen.largest.max(value);
            seen.before = std::mem::replace(&mut seen.last, value);
            seen.time = step.event.time;
        }
    }

    pub(super) fn emit(&self, as_of: Day, row: &mut Row) {
        for seen in &self.0 {
            row.push(seen.count as f64);
            row.push(seen.sum / seen.count as f64); // 0/0 = missing
            row.push(seen.smallest);
            row.push(seen.largest);
            row.push(seen.last);
            row.push(seen.last - seen.before);
            let days = (as_of.start_micros() - seen.time) as f64 / DAY_MICROS as f64;
            row.push(if seen.count == 0 { f64::NAN } else { days });
        }
    }
}
