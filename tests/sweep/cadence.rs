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
    let until = if bought.is_empty() { f64::NAN } else { usual - view.since_last(bought) };
    all.add_any("days_until_expected_order", vec![until], DAYS_ROUNDING);
    all.add_any("gap_slope", vec![slope(&gaps)], SUM_ROUNDING * largest(&gaps).max(1.0));
    let variation: Vec<f64> =
        gaps.windows(2).map(|pair| 3.0 * ((pair[0] - pair[1]) / (pair[0] + pair[1])).powi(2)).collect();
    all.add_any("gap_local_variation", vec![mean(&variation)], SUM_ROUNDING);
    all.add_any("order_clumpiness", vec![clumpiness(view)], SUM_ROUNDING);
    let mut times: Vec<i64> = bought.iter().map(|line| line.time).collect();
    times.sort_unstable();
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / DAY_MICROS as f64).collect();
    let spread = (gaps.iter().map(|gap| (gap - mean(&gaps)).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
    // Rounding of the mean, squared and under the root again, where all gaps are nearly equal.
    let slack = SUM_ROUNDING * largest(&gaps).max(1.0);
    all.add_any("average_gap_days", vec![mean(&gaps)], slack);
    all.add_any("gap_spread_days", vec![spread], slack);
    all.add_any("gap_spread_ratio", vec![spread / mean(&gaps)], slack);
}

/// Zhang, Bradlow & Small (2015), entropy: intervals between days with an order, as shares of the days from the first
/// event to the day of `as_of`.
fn clumpiness(view: &View) -> f64 {
    let days: BTreeSet<i32> = view.bought.iter().map(|line| line.day()).collect();
    let Some(first_possible) = view.known.iter().map(|line| line.day()).min() else { return f64::NAN };
    let mut ends: Vec<i32> = vec![first_possible - 1];
    ends.extend(&days);
    ends.push(view.as_of.0);
    let whole = f64::from(view.as_of.0 - (first_possible - 1));
    let shares: Vec<f64> = ends.windows(2).map(|pair| f64::from(pair[1] - pair[0]) / whole).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    if days.is_empty() {
        return f64::NAN;
    }
    1.0 + shares.iter().map(|share| share * share.ln()).sum::<f64>() / (shares.len() as f64).ln()
}
