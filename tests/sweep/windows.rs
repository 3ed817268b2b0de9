//! What was done lately, and compared with before.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, paid, bought, gross, as_of } = view;
    let (order, end) = (view.order(), as_of.0);
    let slack = gross * SUM_ROUNDING;
    for &window in &plan.windows {
        all.add(format!("{order}s_{window}d"), orders(&view.within(bought, window)).len() as f64);
        all.add(format!("order_lines_{window}d"), view.within(bought, window).len() as f64);
        if view.has_money() {
            all.add_any(&format!("spend_{window}d"), vec![sum(&view.within(paid, window))], slack);
        }
        all.add(format!("events_{window}d"), view.within(known, window).len() as f64);
        all.add(format!("active_days_{window}d"), days(&view.within(known, window)));
        for kind in &plan.kinds[1..] {
            let events = view.within(&of_event(known, &kind.event), window);
            all.add(format!("{}s_{window}d", kind.slug), events.len() as f64);
            if kind.has_money {
                all.add_any(&format!("{}_value_{window}d", kind.slug), vec![sum(&events)], slack);
            }
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
    let adjacent = plan.windows.windows(2).map(|pair| (pair[0], pair[1]));
    let threefold = plan.windows.iter().map(|&days| (days, 3 * days)).filter(|(_, long)| plan.windows.contains(long));
    let compared: BTreeSet<(u16, u16)> = adjacent.chain(threefold).collect();
    for (short, long) in compared {
        let ratio =
            |value: &dyn Fn(u16) -> f64| value(short) / (value(long) * f64::from(short) / f64::from(long)).max(1.0);
        let name = |what: &str| format!("{what}_ratio_{short}d_{long}d");
        all.add(name("events"), ratio(&|days| view.within(known, days).len() as f64));
        all.add(name(&format!("{order}s")), ratio(&|days| orders(&view.within(bought, days)).len() as f64));
        if view.has_money() {
            all.add_any(&name("spend"), vec![ratio(&|days| sum(&view.within(paid, days)))], slack);
        }
    }
}
