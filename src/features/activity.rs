//! What has a customer done to date, when and by which channel?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};

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
}

/// Counts to date.
#[derive(Default)]
pub(super) struct State {
    /// Whether more than the number of events is wanted.
    wants_more: bool,
    events: u64,
    active_days: u64,
    weekend: u64,
    is_weekend: bool,
    kinds: Vec<u64>,
    channels: Vec<u64>,
}

impl State {
    /// `wanted` tells it of every feature of the family.
    pub(super) fn new(wanted: &[bool]) -> Self {
        Self { wants_more: wanted[1..].contains(&true), ..Self::default() }
    }

    pub(super) fn reset(&mut self, plan: &Plan) {
        self.events = 0;
        if !self.wants_more {
            return;
        }
        self.active_days = 0;
        self.weekend = 0;
        self.kinds.clear();
        self.kinds.resize(plan.kinds.len(), 0);
        self.channels.clear();
        self.channels.resize(plan.channels.len(), 0);
    }

    /// So many events are observed together.
    pub(super) fn observe_all(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// Whether events are to be observed one by one, too.
    pub(super) fn observes_each(&self) -> bool {
        self.wants_more
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if let Some(count) = self.kinds.get_mut(step.kind as usize) {
            *count += 1;
        }
        if let Some(count) = self.channels.get_mut(step.channel as usize) {
            *count += 1;
        }
        if step.begins_day {
            self.active_days += 1;
            self.is_weekend = step.day.weekday() >= 5;
        }
        self.weekend += u64::from(self.is_weekend);
    }

    pub(super) fn emit(&self, plan: &Plan, row: &mut Row) {
        row.push(self.events as f64);
        if !self.wants_more {
            row.skip(plan.kinds.len() + plan.channels.len() + 1);
            return;
        }
        row.push(self.active_days as f64);
        for &count in &self.kinds[1..] {
            row.push(count as f64);
        }
        let all = self.events as f64;
        row.push(self.weekend as f64 / all);
        for &count in &self.channels {
            row.push(count as f64 / all);
        }
    }
}
