//! What fades.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { known, paid, bought, gross, as_of, .. } = view;
    for half_life in [7, 30, 90] {
        let weight = |day: i32| 0.5f64.powf(f64::from(as_of.0 - day) / f64::from(half_life));
        let placed: Vec<i32> = orders(bought).iter().map(|order| Day::of_wall(order.begins).0).collect();
        let events = known.iter().map(|line| weight(line.day())).sum();
        all.add_any(&format!("events_decayed_{half_life}d"), vec![events], SMALLEST);
        let orders = placed.iter().map(|&day| weight(day)).sum();
        all.add_any(&format!("{}s_decayed_{half_life}d", view.order()), vec![orders], SMALLEST);
        if view.has_money() {
            let spend = paid.iter().map(|line| line.money() * weight(line.day())).sum();
            all.add_any(&format!("spend_decayed_{half_life}d"), vec![spend], gross * SUM_ROUNDING);
        }
    }
}
