//! What has a customer done lately, compared with before?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Marks, Row, Step};
use crate::time::Day;
use crate::timeline::Event;

/// Windows compared with the time of the same length before them, where both are configured.
fn trends(windows: &[u16]) -> impl Iterator<Item = (usize, usize)> + '_ {
    windows.iter().enumerate().filter_map(|(short, days)| {
        let long = windows.iter().position(|&other| u32::from(other) == 2 * u32::from(*days))?;
        Some((short, long))
    })
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    declarations.family("activity", &["ts"]);
    declarations.add("events", Unit::Count, "Events of any kind to date.");
    declarations.add("active_days", Unit::Count, "Days with any event, to date.");
    declarations.family("activity", &["event"]);
    for kind in &plan.kinds[1..] {
        declarations.add(format!("{}s", kind.slug), Unit::Count, format!("`{}` events to date.", kind.event));
    }
    declarations.family("activity", &["ts"]);
    declarations.add("weekend_share", Unit::Share, "Share of all events on a Saturday or Sunday.");
    declarations.family("activity", &["channel"]);
    for channel in &plan.channels {
        let note = format!("Share of all events that came by channel `{}`.", channel.name);
        declarations.add(format!("channel_share_{}", channel.slug), Unit::Share, note);
    }
    let order = &plan.kinds[0];
    declarations.family("activity", &["ts", "event", "value", "order_id"]);
    for days in &plan.windows {
        declarations.add(format!("{}s_{days}d", order.slug), Unit::Count, format!("Orders in the last {days} days."));
        if order.has_money {
            let note = format!("Sum of `value` of `{}` in the last {days} days.", order.event);
            declarations.add(format!("spend_{days}d"), Unit::Money, note);
        }
        declarations.add(
            format!("active_days_{days}d"),
            Unit::Count,
            format!("Days with any event in the last {days}."),
        );
        for kind in &plan.kinds[1..] {
            let note = format!("`{}` events in the last {days} days.", kind.event);
            declarations.add(format!("{}s_{days}d", kind.slug), Unit::Count, note);
        }
    }
    for (short, _) in trends(&plan.windows) {
        let days = plan.windows[short];
        let note = format!("of the last {days} days minus those of the {days} days before.");
        declarations.add(format!("{}s_trend_{days}d", order.slug), Unit::Count, format!("Orders {note}"));
        declarations.add(format!("active_days_trend_{days}d"), Unit::Count, format!("Days with any event {note}"));
        if order.has_money {
            declarations.add(format!("spend_trend_{days}d"), Unit::Money, format!("Spend {note}"));
        }
    }
}

/// Counts to date, and one row of counters for each window that is filled by looking back from `as_of`.
#[derive(Default)]
pub(super) struct State {
    events: u64,
    active_days: u64,
    last_day: Option<Day>,
    weekend: u64,
    kinds: Vec<u64>,
    channels: Vec<u64>,
    /// Per window: orders, active days, then each kind but the order event.
    counts: Vec<u32>,
    spend: Vec<f64>,
    /// The first window that holds an age in days.
    window_of_age: Vec<u8>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        self.events = 0;
        self.active_days = 0;
        self.last_day = None;
        self.weekend = 0;
        self.kinds.clear();
        self.kinds.resize(plan.kinds.len(), 0);
        self.channels.clear();
        self.channels.resize(plan.channels.len(), 0);
        if self.window_of_age.is_empty() {
            let longest = plan.windows.last().copied().unwrap_or(0);
            self.window_of_age =
                (0..=longest).map(|age| plan.windows.partition_point(|&days| days < age) as u8).collect();
        }
    }

    /// Returned: whether the event is the first of its day.
    pub(super) fn observe(&mut self, step: &Step) -> bool {
        self.events += 1;
        if let Some(count) = self.kinds.get_mut(step.kind) {
            *count += 1;
        }
        if let Some(count) = self.channels.get_mut(step.channel) {
            *count += 1;
        }
        self.weekend += u64::from(step.day.weekday() >= 5);
        let begins_day = self.last_day != Some(step.day);
        self.active_days += u64::from(begins_day);
        self.last_day = Some(step.day);
        begins_day
    }

    /// Looks back over the events before `as_of`, newest first, as far as the longest window.
    fn fill_windows(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks]) {
        let width = plan.kinds.len() + 1;
        self.counts.clear();
        self.counts.resize(width * plan.windows.len(), 0);
        self.spend.clear();
        self.spend.resize(plan.windows.len(), 0.0);
        for (event, marks) in events.iter().zip(marks).rev() {
            let age = as_of.since(event.day()) as usize;
            let Some(&window) = self.window_of_age.get(age) else { break };
            let counts = &mut self.counts[window as usize * width..][..width];
            counts[0] += u32::from(marks.begins_order);
            counts[1] += u32::from(marks.begins_day);
            let kind = marks.kind as usize;
            if kind == 0 {
                self.spend[window as usize] += if event.value.is_nan() { 0.0 } else { event.value };
            } else if kind < plan.kinds.len() {
                counts[kind + 1] += 1;
            }
        }
        for window in 1..plan.windows.len() {
            let (before, after) = self.counts.split_at_mut(window * width);
            let shorter = &before[(window - 1) * width..];
            after[..width].iter_mut().zip(shorter).for_each(|(longer, shorter)| *longer += shorter);
            self.spend[window] += self.spend[window - 1];
        }
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        row.push(self.events as f64);
        row.push(self.active_days as f64);
        for &count in &self.kinds[1..] {
            row.push(count as f64);
        }
        let all = self.events as f64;
        row.push(self.weekend as f64 / all);
        for &count in &self.channels {
            row.push(count as f64 / all);
        }
        self.fill_windows(plan, as_of, events, marks);
        let has_money = plan.kinds[0].has_money;
        let width = plan.kinds.len() + 1;
        for (window, counts) in self.counts.chunks_exact(width).enumerate() {
            row.push(f64::from(counts[0]));
            if has_money {
                row.push(self.spend[window]);
            }
            for &count in &counts[1..] {
                row.push(f64::from(count));
            }
        }
        for (short, long) in trends(&plan.windows) {
            let change = |column: usize| {
                let count = |window: usize| f64::from(self.counts[window * width + column]);
                2.0 * count(short) - count(long)
            };
            row.push(change(0));
            row.push(change(1));
            if has_money {
                row.push(2.0 * self.spend[short] - self.spend[long]);
            }
        }
    }
}
