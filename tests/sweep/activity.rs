//! What was done to date.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, .. } = view;
    all.add("events", known.len() as f64);
    all.add("active_days", days(known));
    for kind in &plan.kinds[1..] {
        all.add(format!("{}s", kind.slug), of_event(known, &kind.event).len() as f64);
    }
    let is_weekend = |line: &&&Line| (line.day() - MONDAY.0).rem_euclid(7) >= 5;
    let n = known.len() as f64;
    all.add("weekend_share", known.iter().filter(is_weekend).count() as f64 / n);
    for channel in &plan.channels {
        let by = known.iter().filter(|line| line.channel == Some(&channel.name)).count();
        all.add(format!("channel_share_{}", channel.slug), by as f64 / n);
    }
}
