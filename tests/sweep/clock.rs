//! Hours and days of the week.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let n = view.known.len() as f64;
    if view.plan.has_times {
        for (name, from) in [("night", 0), ("morning", 6), ("afternoon", 12), ("evening", 18)] {
            let hour = |line: &Line| line.time.rem_euclid(DAY_MICROS) as f64 / 3_600e6;
            let inside =
                view.known.iter().filter(|line| hour(line) >= f64::from(from) && hour(line) < f64::from(from + 6));
            all.add(format!("hour_share_{name}"), inside.count() as f64 / n);
        }
    }
    let weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    for (index, name) in weekdays.into_iter().enumerate() {
        let on = view.known.iter().filter(|line| (line.day() - MONDAY.0).rem_euclid(7) == index as i32).count();
        all.add(format!("weekday_share_{name}"), on as f64 / n);
    }
}
