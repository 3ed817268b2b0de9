//! In what rhythm does a customer order, and is the next order overdue?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::time::{DAY_MICROS, Day};

pub(super) fn declare(_: &Plan, declarations: &mut Declarations) {
    declarations.family("cadence", &["ts", "event", "value"]);
    let below_two = "missing below two days with an order";
    declarations.add(
        "average_days_between_orders",
        Unit::Days,
        format!("Mean gap between days with an order; {below_two}."),
    );
    declarations.add("median_days_between_orders", Unit::Days, format!("Median gap; {below_two}."));
    declarations.add(
        "spread_days_between_orders",
        Unit::Days,
        "Standard deviation of the gaps; missing below two gaps.",
    );
    declarations.add("longest_days_between_orders", Unit::Days, format!("Longest gap; {below_two}."));
    declarations.add("last_days_between_orders", Unit::Days, format!("Gap before the last order; {below_two}."));
    declarations.add(
        "gap_trend",
        Unit::Ratio,
        format!("Last gap ÷ mean gap: above 1 the customer slows down; {below_two}."),
    );
    declarations.add("gap_variation", Unit::Ratio, "Spread ÷ mean of the gaps: 0 is a clock; missing below two gaps.");
    declarations.add(
        "usual_gap_days",
        Unit::Days,
        "Own mean gap, drawn to the base's as if one more gap of that length had been seen; missing without an order.",
    );
    declarations.add(
        "churn_factor",
        Unit::Ratio,
        "Days since the last order ÷ `usual_gap_days`; missing without an order.",
    );
}

/// Gaps between days with an order.
#[derive(Default)]
pub(super) struct State {
    first_day: Option<Day>,
    last_day: Day,
    last_time: i64,
    gaps: Vec<i32>,
    /// Sum of squared gaps: exact, as is all that the spread is made of but its root.
    squares: i64,
    sorted: Vec<i32>,
}

impl State {
    pub(super) fn reset(&mut self) {
        self.first_day = None;
        self.gaps.clear();
        self.squares = 0;
    }

    pub(super) fn observe(&mut self, step: &Step) {
        if !step.is_order_line {
            return;
        }
        match self.first_day {
            None => self.first_day = Some(step.day),
            Some(_) if step.day != self.last_day => {
                let gap = step.day.since(self.last_day);
                self.gaps.push(gap);
                self.squares += i64::from(gap) * i64::from(gap);
            }
            Some(_) => {}
        }
        self.last_day = step.day;
        self.last_time = step.event.time;
    }

    fn usual_gap(&self, plan: &Plan) -> f64 {
        let Some(first) = self.first_day else { return f64::NAN };
        let span = f64::from(self.last_day.since(first));
        (span + plan.base_gap_days) / (self.gaps.len() as f64 + 1.0)
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, row: &mut Row) {
        let n = self.gaps.len() as f64;
        let span = self.first_day.map_or(f64::NAN, |first| f64::from(self.last_day.since(first)));
        let mean = if self.gaps.is_empty() { f64::NAN } else { span / n };
        let spread = self.spread();
        let last = self.gaps.last().map_or(f64::NAN, |&gap| f64::from(gap));
        row.push(mean);
        row.push(self.median());
        row.push(spread);
        row.push(self.gaps.iter().max().map_or(f64::NAN, |&gap| f64::from(gap)));
        row.push(last);
        row.push(last / mean);
        row.push(spread / mean);
        let usual = self.usual_gap(plan);
        row.push(usual);
        let since = (as_of.start_micros() - self.last_time) as f64 / DAY_MICROS as f64;
        row.push(since / usual); // missing without an order, because `usual` is
    }

    /// Standard deviation of the gaps.
    fn spread(&self) -> f64 {
        let n = self.gaps.len() as i128;
        let Some(first) = self.first_day.filter(|_| n > 1) else { return f64::NAN };
        let span = i128::from(self.last_day.since(first));
        ((n * i128::from(self.squares) - span * span) as f64 / (n * (n - 1)) as f64).sqrt()
    }

    fn median(&mut self) -> f64 {
        let n = self.gaps.len();
        if n == 0 {
            return f64::NAN;
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.gaps);
        let (below, &mut upper, _) = self.sorted.select_nth_unstable(n / 2);
        if n % 2 == 1 {
            return f64::from(upper);
        }
        let lower = below.iter().max().copied().unwrap_or(upper);
        (f64::from(lower) + f64::from(upper)) / 2.0
    }
}
