//! In what rhythm.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, bought, .. } = view;
    let gaps = gaps(known, &plan.kinds[0].event);
    let last_gap = gaps.last().copied().unwrap_or(f64::NAN);
    all.add("average_days_between_orders", mean(&gaps));
    all.add("median_days_between_orders", median(&gaps));
    all.add_any("spread_days_between_orders", vec![deviation(&gaps)], SUM_ROUNDING);
    all.add("longest_days_between_orders", largest(&gaps));
    all.add("last_days_between_orders", last_gap);
    all.add("gap_trend", last_gap / mean(&gaps));
    all.add_any("gap_variation", vec![deviation(&gaps) / mean(&gaps)], SUM_ROUNDING);
    let usual = (gaps.iter().sum::<f64>() + plan.base_gap_days) / (gaps.len() + 1) as f64;
    all.add("usual_gap_days", if bought.is_empty() { f64::NAN } else { usual });
    all.add("churn_factor", view.since_last(bought) / usual);
}
