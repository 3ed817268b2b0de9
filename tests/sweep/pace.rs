//! Single days, weeks, and a year ago.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, paid, bought, gross, as_of } = view;
    let order = view.order();
    let slack = gross * SUM_ROUNDING;
    let on = |lines: &[&'_ Line], from: i32, to: i32| -> Vec<usize> {
        let inside = |line: &Line| (from..to).contains(&(line.day() - as_of.0));
        (0..lines.len()).filter(|&index| inside(lines[index])).collect()
    };
    let count = |from: i32, to: i32| on(known, from, to).len() as f64;
    let count_orders = |from: i32, to: i32| {
        let lines: Vec<&Line> = on(bought, from, to).into_iter().map(|index| bought[index]).collect();
        orders(&lines).len() as f64
    };
    let spend = |from: i32, to: i32| on(paid, from, to).into_iter().map(|index| paid[index].money()).sum::<f64>();
    for day in 1..=7 {
        all.add(format!("events_day_{day}"), count(-day, 1 - day));
        all.add(format!("{order}s_day_{day}"), count_orders(-day, 1 - day));
    }
    for weeks in [4, 12] {
        let days = 7 * weeks;
        let weekly = |of: &dyn Fn(i32, i32) -> f64| -> Vec<f64> {
            (0..weeks).map(|week| of(7 * week - days, 7 * (week + 1) - days)).collect()
        };
        all.add_any(&format!("events_slope_{days}d"), vec![slope(&weekly(&count))], SUM_ROUNDING);
        all.add_any(&format!("{order}s_slope_{days}d"), vec![slope(&weekly(&count_orders))], SUM_ROUNDING);
        if view.has_money() {
            all.add_any(&format!("spend_slope_{days}d"), vec![slope(&weekly(&spend))], slack);
        }
    }
    if plan.history_days > 365 {
        for (name, from) in [("next", -365), ("past", -395)] {
            all.add(format!("{order}s_last_year_{name}_30d"), count_orders(from, from + 30));
            if view.has_money() {
                all.add_any(&format!("spend_last_year_{name}_30d"), vec![spend(from, from + 30)], slack);
            }
        }
    }
}
