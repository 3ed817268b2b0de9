//! At what hours, and on which days of the week, is a customer active?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::DAY_MICROS;

/// Quarters of the day.
const HOURS: [(&str, &str); 4] = [
    ("night", "0:00 to 6:00"),
    ("morning", "6:00 to 12:00"),
    ("afternoon", "12:00 to 18:00"),
    ("evening", "18:00 to 24:00"),
];

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    declarations.family("clock", &["ts"]);
    if plan.has_times {
        for (name, hours) in HOURS {
            let note = format!("Share of all events from {hours} in the configured time zone.");
            declarations.add(format!("hour_share_{name}"), Unit::Share, note);
        }
    }
    for name in WEEKDAYS {
        let day = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        declarations.add(format!("weekday_share_{name}"), Unit::Share, format!("Share of all events on a {day}."));
    }
}

/// Events by quarter of the day and by day of the week.
#[derive(Default)]
pub(super) struct State {
    hours: [u32; HOURS.len()],
    weekdays: [u32; WEEKDAYS.len()],
    weekday: usize,
}

impl State {
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if step.begins_day {
            self.weekday = step.day.weekday();
        }
        self.weekdays[self.weekday] += 1;
        let quarter = (step.event.time - step.day.start_micros()) / (DAY_MICROS / HOURS.len() as i64);
        self.hours[quarter as usize] += 1;
    }

    pub(super) fn emit(&self, plan: &Plan, row: &mut Row) {
        let all = f64::from(self.weekdays.iter().sum::<u32>());
        if plan.has_times {
            self.hours.iter().for_each(|&count| row.push(f64::from(count) / all));
        }
        self.weekdays.iter().for_each(|&count| row.push(f64::from(count) / all));
    }
}
