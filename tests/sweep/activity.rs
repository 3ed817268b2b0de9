//! What was done to date, and lately.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, paid, bought, gross, as_of } = view;
    let (order, end) = (view.order(), as_of.0);
    let slack = gross * SUM_ROUNDING;
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
    for &window in &plan.windows {
        all.add(format!("{order}s_{window}d"), orders(&view.within(bought, window)).len() as f64);
        if view.has_money() {
            all.add_any(&format!("spend_{window}d"), vec![sum(&view.within(paid, window))], slack);
        }
        all.add(format!("active_days_{window}d"), days(&view.within(known, window)));
        for kind in &plan.kinds[1..] {
            let events = view.within(&of_event(known, &kind.event), window);
            all.add(format!("{}s_{window}d", kind.slug), events.len() as f64);
        }
    }
    for &window in plan.windows.iter().filter(|&window| plan.windows.contains(&(window * 2))) {
        let split = i64::from(end - i32::from(window)) * DAY_MICROS;
        let change = |value: &dyn Fn(&[&Line]) -> f64, lines: &[&Line]| {
            let earlier: Vec<&Line> = lines.iter().copied().filter(|line| line.time < split).collect();
            value(&within(lines, *as_of, window)) - value(&within(&earlier, *as_of, window * 2))
        };
        all.add(format!("{order}s_trend_{window}d"), change(&|lines| orders(lines).len() as f64, bought));
        all.add(format!("active_days_trend_{window}d"), change(&days, known));
        if view.has_money() {
            all.add_any(&format!("spend_trend_{window}d"), vec![change(&sum, paid)], slack);
        }
    }
}
