//! What has a customer done in the last days, weeks and months, compared with before?

use super::catalogue::{Declarations, Kind, Plan, Unit};
use super::sweep::{Marks, Row};
use crate::time::Day;
use crate::timeline::Event;

/// Windows compared with the time of the same length before them, where both are configured.
fn trends(windows: &[u16]) -> impl Iterator<Item = (usize, usize)> + '_ {
    windows.iter().enumerate().filter_map(|(short, days)| {
        let long = windows.iter().position(|&other| u32::from(other) == 2 * u32::from(*days))?;
        Some((short, long))
    })
}

/// Windows compared with the next longer one, and with the one of three times their length: a month with a quarter.
fn ratios(windows: &[u16]) -> impl Iterator<Item = (usize, usize)> + '_ {
    windows.iter().enumerate().flat_map(move |(short, days)| {
        let is_compared = move |long: usize| long == short + 1 || u32::from(windows[long]) == 3 * u32::from(*days);
        (short + 1..windows.len()).filter(move |&long| is_compared(long)).map(move |long| (short, long))
    })
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let order = &plan.kinds[0];
    let of_orders = ["ts", "event", "value", "order_id"];
    for days in &plan.windows {
        declarations.family("windows", &of_orders);
        declarations.add(format!("{}s_{days}d", order.slug), Unit::Count, format!("Orders in the last {days} days."));
        declarations.family("windows", &["ts", "event", "value"]);
        let note = format!("Order lines in the last {days} days.");
        declarations.add(format!("order_lines_{days}d"), Unit::Count, note);
        if order.has_money {
            let note = format!("Sum of `value` of `{}` in the last {days} days.", order.event);
            declarations.add(format!("spend_{days}d"), Unit::Money, note);
        }
        declarations.family("windows", &["ts"]);
        let note = format!("Events of any kind in the last {days} days.");
        declarations.add(format!("events_{days}d"), Unit::Count, note);
        let note = format!("Days with any event in the last {days}.");
        declarations.add(format!("active_days_{days}d"), Unit::Count, note);
        for kind in &plan.kinds[1..] {
            declarations.family("windows", &["ts", "event"]);
            let note = format!("`{}` events in the last {days} days.", kind.event);
            declarations.add(format!("{}s_{days}d", kind.slug), Unit::Count, note);
            if kind.has_money {
                declarations.family("windows", &["ts", "event", "value"]);
                let note = format!("Sum of `value` of `{}` in the last {days} days.", kind.event);
                declarations.add(format!("{}_value_{days}d", kind.slug), Unit::Money, note);
            }
        }
    }
    for (short, _) in trends(&plan.windows) {
        let days = plan.windows[short];
        let note = format!("of the last {days} days minus those of the {days} days before.");
        declarations.family("windows", &of_orders);
        declarations.add(format!("{}s_trend_{days}d", order.slug), Unit::Count, format!("Orders {note}"));
        declarations.add(format!("active_days_trend_{days}d"), Unit::Count, format!("Days with any event {note}"));
        if order.has_money {
            declarations.add(format!("spend_trend_{days}d"), Unit::Money, format!("Spend {note}"));
        }
    }
    for (short, long) in ratios(&plan.windows) {
        let (short, long) = (plan.windows[short], plan.windows[long]);
        let note = format!("of the last {short} days ÷ a {short}-day share of those of the last {long}, 1 at least.");
        let name = |what: &str| format!("{what}_ratio_{short}d_{long}d");
        declarations.family("windows", &["ts"]);
        declarations.add(name("events"), Unit::Ratio, format!("Events {note}"));
        declarations.family("windows", &of_orders);
        declarations.add(name(&format!("{}s", order.slug)), Unit::Ratio, format!("Orders {note}"));
        if order.has_money {
            declarations.add(name("spend"), Unit::Ratio, format!("Spend {note}"));
        }
    }
}

/// What is counted of every window.
#[derive(Clone, Copy, Default)]
struct Totals {
    orders: u32,
    order_lines: u32,
    events: u32,
    active_days: u32,
}

/// What is counted of every kind of event; the order event's count is not used.
#[derive(Clone, Copy, Default)]
struct OfKind {
    count: u32,
    value: f64,
}

/// One row of counters for each window, filled by looking back from `as_of`.
#[derive(Default)]
pub(super) struct State {
    totals: Vec<Totals>,
    /// Window × kind.
    kinds: Vec<OfKind>,
    /// Of the events looked back over so far.
    so_far: Vec<OfKind>,
    /// Number of features before those that compare windows, and whether any of them is wanted: without, of the kinds of
    /// events the order event alone counts.
    of_windows: usize,
    wants_windows: bool,
    trends: Vec<Compared>,
    ratios: Vec<Compared>,
}

/// Two windows that are compared.
struct Compared {
    short: usize,
    long: usize,
    /// Length of the short one in that of the long one.
    part: f64,
    /// Whether any feature of the comparison is wanted.
    is_wanted: bool,
}

/// Number of features of one window.
fn of_window(plan: &Plan) -> usize {
    let has_money = |kind: &Kind| usize::from(kind.has_money);
    let others: usize = plan.kinds[1..].iter().map(|kind| 1 + has_money(kind)).sum();
    4 + has_money(&plan.kinds[0]) + others
}

/// Number of features of two windows that are compared.
fn of_comparison(plan: &Plan) -> usize {
    2 + usize::from(plan.kinds[0].has_money)
}

impl State {
    /// `wanted` tells it of every feature of the family.
    pub(super) fn new(plan: &Plan, wanted: &[bool]) -> Self {
        let of_windows = plan.windows.len() * of_window(plan);
        let (windows, comparisons) = wanted.split_at(of_windows);
        let mut wanted = comparisons.chunks_exact(of_comparison(plan)).map(|wanted| wanted.contains(&true));
        let mut compared = |(short, long): (usize, usize)| Compared {
            short,
            long,
            part: f64::from(plan.windows[short]) / f64::from(plan.windows[long]),
            is_wanted: wanted.next().expect("every comparison has as many features"),
        };
        Self {
            of_windows,
            wants_windows: windows.contains(&true),
            trends: trends(&plan.windows).map(&mut compared).collect(),
            ratios: ratios(&plan.windows).map(&mut compared).collect(),
            ..Self::default()
        }
    }

    fn width(&self, plan: &Plan) -> usize {
        if self.wants_windows { plan.kinds.len() } else { 1 }
    }

    /// Looks back over the events before `as_of`, newest first, as far as the longest window: each window is what has
    /// been seen when its end is passed.
    fn fill(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks]) {
        let width = self.width(plan);
        self.totals.clear();
        self.kinds.clear();
        self.so_far.clear();
        self.so_far.resize(width, OfKind::default());
        let mut totals = Totals::default();
        let mut spend = 0.0;
        let mut rest = events.iter().zip(marks).rev();
        let mut next = rest.next();
        for &days in &plan.windows {
            while let Some((event, marks)) = next
                && as_of.since(marks.day) <= i32::from(days)
            {
                totals.orders += u32::from(marks.begins_order);
                totals.order_lines += u32::from(marks.is_order_line);
                totals.events += 1;
                totals.active_days += u32::from(marks.begins_day);
                let value = if event.value.is_nan() { 0.0 } else { event.value };
                if width == 1 {
                    // Without a jump that nobody foresees; a sum that begins with 0 is never -0, so that + 0 changes
                    // nothing.
                    spend += if marks.kind == 0 { value } else { 0.0 };
                } else if let Some(of) = self.so_far.get_mut(marks.kind as usize) {
                    of.count += 1;
                    of.value += value;
                }
                next = rest.next();
            }
            self.totals.push(totals);
            if width == 1 {
                self.kinds.push(OfKind { count: 0, value: spend });
            } else {
                self.kinds.extend_from_slice(&self.so_far);
            }
        }
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        self.fill(plan, as_of, events, marks);
        let has_money = plan.kinds[0].has_money;
        let width = self.width(plan);
        let spend = |window: usize| self.kinds[window * width].value;
        if !self.wants_windows {
            row.skip(self.of_windows);
        }
        for (window, totals) in self.totals.iter().enumerate().filter(|_| self.wants_windows) {
            row.push(f64::from(totals.orders));
            row.push(f64::from(totals.order_lines));
            if has_money {
                row.push(spend(window));
            }
            row.push(f64::from(totals.events));
            row.push(f64::from(totals.active_days));
            for (kind, of) in plan.kinds.iter().zip(&self.kinds[window * width..]).skip(1) {
                row.push(f64::from(of.count));
                if kind.has_money {
                    row.push(of.value);
                }
            }
        }
        for &Compared { short, long, is_wanted, .. } in &self.trends {
            if !is_wanted {
                row.skip(of_comparison(plan));
                continue;
            }
            let change =
                |of: fn(&Totals) -> u32| 2.0 * f64::from(of(&self.totals[short])) - f64::from(of(&self.totals[long]));
            row.push(change(|totals| totals.orders));
            row.push(change(|totals| totals.active_days));
            if has_money {
                row.push(2.0 * spend(short) - spend(long));
            }
        }
        for &Compared { short, long, part, is_wanted } in &self.ratios {
            if !is_wanted {
                row.skip(of_comparison(plan));
                continue;
            }
            let ratio = |of: &dyn Fn(usize) -> f64| of(short) / (of(long) * part).max(1.0);
            row.push(ratio(&|window| f64::from(self.totals[window].events)));
            row.push(ratio(&|window| f64::from(self.totals[window].orders)));
            if has_money {
                row.push(ratio(&spend));
            }
        }
    }
}
