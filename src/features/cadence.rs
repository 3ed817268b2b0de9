//! In what rhythm does a customer order, and is the next order overdue?

use super::catalogue::{Declarations, Plan, Unit};
use super::moments::Moments;
use super::sweep::{Row, Step};
use super::tables::x_ln_x;
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
    declarations.add(
        "days_until_expected_order",
        Unit::Days,
        "`usual_gap_days` minus days since the last order, negative when it is overdue; missing without an order.",
    );
    declarations.add(
        "gap_slope",
        Unit::Days,
        "Days by which each gap is longer than the one before: slope of the least-squares line; missing below two gaps.",
    );
    declarations.add(
        "gap_local_variation",
        Unit::Ratio,
        "Regularity of the gaps, free of slow trends: 0 is a clock, 1 as irregular as chance, up to 3 in bursts \
         (Shinomoto, Shima & Tanji 2003); missing below two gaps.",
    );
    declarations.add(
        "order_clumpiness",
        Unit::Share,
        "0 when the days with an order are spread evenly from the first event to `as_of`, towards 1 when they are \
         bunched (Zhang, Bradlow & Small 2015, entropy); missing without an order.",
    );
    let below_two = "missing below two";
    let note = format!("Mean time between successive order lines, in days; {below_two}.");
    declarations.add("average_gap_days", Unit::Days, note);
    let note =
        format!("Standard deviation of the times between successive order lines, 0 of a single one; {below_two}.");
    declarations.add("gap_spread_days", Unit::Days, note);
    let note = "`gap_spread_days` ÷ `average_gap_days`; missing below two, and when all are of one instant.";
    declarations.add("gap_spread_ratio", Unit::Ratio, note);
}

/// Features of the gaps between days with an order; those between order lines follow.
const OF_DAYS: usize = 13;

/// Gaps between days with an order, and between order lines.
#[derive(Default)]
pub(super) struct State {
    /// Whether any feature of the days is wanted, and any of the lines.
    wants: [bool; 2],
    /// First day with any event: the first on which an order was possible.
    known_since: Option<Day>,
    first_day: Option<Day>,
    last_day: Day,
    last_time: i64,
    gaps: Vec<i32>,
    /// Sum of squared gaps: exact, as is all that the spread is made of but its root.
    squares: i64,
    /// Sum of gap × its position: exact, too.
    by_position: i64,
    local_variation: f64,
    /// Sum of gap × ln gap.
    surprise: f64,
    line_gaps: Moments,
    sorted: Vec<i32>,
}

impl State {
    /// `wanted` tells it of every feature of the family.
    pub(super) fn new(wanted: &[bool]) -> Self {
        let (days, lines) = wanted.split_at(OF_DAYS);
        Self { wants: [days.contains(&true), lines.contains(&true)], ..Self::default() }
    }

    pub(super) fn reset(&mut self) {
        self.known_since = None;
        self.first_day = None;
        self.gaps.clear();
        self.squares = 0;
        self.by_position = 0;
        self.local_variation = 0.0;
        self.surprise = 0.0;
        self.line_gaps = Moments::default();
    }

    /// The first event that is observed, of any kind, was on that day or earlier.
    pub(super) fn know_since(&mut self, day: Day) {
        self.known_since.get_or_insert(day);
    }

    /// Events of the order event's kind alone.
    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if !step.is_order_line {
            return;
        }
        if self.first_day.is_none() {
            self.first_day = Some(step.day);
        } else {
            if self.wants[1] {
                self.line_gaps.add((step.event.time - self.last_time) as f64 / DAY_MICROS as f64);
            }
            if step.begins_order_day && self.wants[0] {
                self.add_gap(step.day.since(self.last_day));
            }
        }
        self.last_day = step.day;
        self.last_time = step.event.time;
    }

    fn add_gap(&mut self, gap: i32) {
        if let Some(&before) = self.gaps.last() {
            let change = f64::from(gap - before) / (f64::from(gap) + f64::from(before));
            self.local_variation += change * change;
        }
        let wide = i64::from(gap);
        self.by_position += wide * self.gaps.len() as i64;
        self.squares += wide * wide;
        self.surprise += x_ln_x(gap as usize);
        self.gaps.push(gap);
    }

    fn usual_gap(&self, plan: &Plan) -> f64 {
        let Some(first) = self.first_day else { return f64::NAN };
        let span = f64::from(self.last_day.since(first));
        (span + plan.base_gap_days) / (self.gaps.len() as f64 + 1.0)
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, row: &mut Row) {
        if self.wants[0] {
            self.emit_days(plan, as_of, row);
        } else {
            row.skip(OF_DAYS);
        }
        let spread = self.line_gaps.population_deviation();
        row.push(self.line_gaps.mean);
        row.push(spread);
        row.push(spread / self.line_gaps.mean);
    }

    fn emit_days(&mut self, plan: &Plan, as_of: Day, row: &mut Row) {
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
        row.push(usual - since);
        row.push(self.slope());
        row.push(if n < 2.0 { f64::NAN } else { 3.0 * self.local_variation / (n - 1.0) });
        row.push(self.clumpiness(as_of));
    }

    /// Slope of the least-squares line through the gaps in their order.
    fn slope(&self) -> f64 {
        let n = self.gaps.len() as i64;
        let Some(first) = self.first_day.filter(|_| n > 1) else { return f64::NAN };
        let span = i64::from(self.last_day.since(first));
        let n_cubed = n as f64 * (n as f64 * n as f64 - 1.0);
        6.0 * (2 * self.by_position - (n - 1) * span) as f64 / n_cubed
    }

    /// Entropy measure of Zhang, Bradlow & Small (2015), Marketing Science 34(2), 195-208: `H = 1 + Σ x ln x / ln (n + 1)`
    /// over the n + 1 intervals that n days with an order cut from N possible days, each divided by N + 1.
    fn clumpiness(&self, as_of: Day) -> f64 {
        let (Some(known_since), Some(first)) = (self.known_since, self.first_day) else { return f64::NAN };
        let before = first.since(known_since) + 1;
        let after = as_of.since(self.last_day);
        let whole = (as_of.since(known_since) + 1) as usize;
        let surprise = self.surprise + x_ln_x(before as usize) + x_ln_x(after as usize);
        let intervals = self.gaps.len() + 2;
        let most = x_ln_x(intervals) / intervals as f64;
        1.0 + (surprise - x_ln_x(whole)) / whole as f64 / most
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
