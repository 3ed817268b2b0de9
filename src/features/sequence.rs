//! In what order do things happen: where does a customer go next, on what, and how unusual is that?

use super::catalogue::{Declarations, Plan, Unit};
use super::contact::Contacts;
use super::sweep::{Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::NO_CODE;

/// The last step is told apart among this many contact points.
const LAST_STEPS: usize = 8;

/// Transitions that count as the latest.
const LATEST: usize = 20;

/// Index of a transition without a column.
const NO_COLUMN: u16 = u16::MAX;

fn told(plan: &Plan, point: usize) -> String {
    let point = &plan.contacts.points[point];
    match &point.channel {
        Some(channel) => format!("`{}` by `{channel}`", point.event),
        None => format!("`{}`", point.event),
    }
}

fn has_channels(plan: &Plan) -> bool {
    plan.channels.len() > 1
}

fn declare_switches(declarations: &mut Declarations, column: &str) {
    declarations.family("sequence", &["ts", "event", column]);
    let change = format!("steps whose {column} differs from that of the step before, of those with a {column}");
    declarations.add(format!("{column}_switches"), Unit::Count, format!("Number of {change}, to date."));
    declarations.add(
        format!("{column}_switch_share"),
        Unit::Share,
        format!("Share of {change} and a step before; missing below two steps."),
    );
    declarations.add(
        format!("average_days_to_switch_{column}"),
        Unit::Days,
        format!("Mean time from the last step on one {column} to the first on another; missing without a switch."),
    );
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let contacts = &plan.contacts;
    if !contacts.has_ways() {
        return;
    }
    declarations.family("sequence", &["ts", "event", "channel"]);
    let rare = "an event by a channel, rare ones counted as one; further lines of an order are no step";
    declarations.add("contact_points", Unit::Count, format!("Different contact points to date: {rare}."));
    declarations.add(
        "days_since_newest_contact_point",
        Unit::Days,
        "From the first step at the contact point that came to be used last, to `as_of`.",
    );
    declarations.add(
        "loop_share",
        Unit::Share,
        "Share of the transitions that stay at the same contact point; missing below two steps.",
    );
    declarations.add(
        "back_and_forth_share",
        Unit::Share,
        "Share of three steps in a row that go elsewhere and come back; missing below three steps.",
    );
    for point in 0..contacts.points.len().min(LAST_STEPS) {
        let name = format!("last_step_{}", contacts.points[point].slug);
        declarations.add(name, Unit::Share, format!("1 when the last step is {}, else 0.", told(plan, point)));
    }
    for &(from, to) in &contacts.columns {
        let (from, to) = (from as usize, to as usize);
        declarations.add(
            format!("transition_share_{}_to_{}", contacts.points[from].slug, contacts.points[to].slug),
            Unit::Share,
            format!(
                "Share of the customer's transitions that go from {} to {}; missing below two steps.",
                told(plan, from),
                told(plan, to)
            ),
        );
    }
    declarations.add(
        "path_surprise",
        Unit::Ratio,
        format!(
            "Mean of −ln p over the last {LATEST} transitions, where p is how probable the next contact point is after \
             this one in the whole base; missing below two steps."
        ),
    );
    declarations.add(
        "path_surprise_change",
        Unit::Ratio,
        "The same minus the mean over all transitions; missing below two steps.",
    );
    if has_channels(plan) {
        declare_switches(declarations, "channel");
    }
    if contacts.has_devices {
        declare_switches(declarations, "device");
    }
}

/// The plan's tables made ready for a sweep.
pub(super) struct Tables {
    states: usize,
    /// By transition.
    surprises: Vec<f64>,
    /// Column of each transition, or [`NO_COLUMN`].
    column_of: Vec<u16>,
}

impl Tables {
    pub(super) fn new(contacts: &Contacts) -> Self {
        let states = contacts.states();
        let mut column_of = vec![NO_COLUMN; states * states];
        for (column, &(from, to)) in contacts.columns.iter().enumerate() {
            column_of[from as usize * states + to as usize] = column as u16;
        }
        Self { states, surprises: contacts.surprises(), column_of }
    }
}

/// Changes of a code between steps that have one.
#[derive(Default)]
struct Switches {
    last: Option<(u16, i64)>,
    chances: u64,
    count: u64,
    micros: i64,
}

impl Switches {
    fn observe(&mut self, code: u16, time: i64) {
        if code == NO_CODE {
            return;
        }
        if let Some((last, before)) = self.last.replace((code, time)) {
            self.chances += 1;
            if last != code {
                self.count += 1;
                self.micros += time - before;
            }
        }
    }

    fn emit(&self, row: &mut Row) {
        row.push(self.count as f64);
        row.push(self.count as f64 / self.chances as f64); // 0/0 = missing
        row.push(self.micros as f64 / DAY_MICROS as f64 / self.count as f64);
    }
}

/// The steps so far.
#[derive(Default)]
pub(super) struct State {
    steps: u64,
    last: usize,
    /// The contact point before the last.
    second_last: usize,
    /// One bit for each contact point that was used: the configuration allows 100 and the nameless one.
    used: u128,
    newest: i64,
    loops: u64,
    returns: u64,
    columns: Vec<u32>,
    latest: [f64; LATEST],
    surprise: f64,
    channels: Switches,
    devices: Switches,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        let mut columns = std::mem::take(&mut self.columns);
        columns.clear();
        columns.resize(plan.contacts.columns.len(), 0);
        *self = Self { columns, ..Self::default() };
    }

    #[inline]
    pub(super) fn observe(&mut self, tables: &Tables, step: &Step) {
        if tables.surprises.is_empty() || step.is_order_line && !step.begins_order {
            return;
        }
        let (time, point) = (step.event.time, step.point as usize);
        let bit = 1 << point;
        if self.used & bit == 0 {
            self.used |= bit;
            self.newest = time;
        }
        if self.steps > 0 {
            let transition = self.last * tables.states + point;
            let surprise = tables.surprises[transition];
            self.latest[(self.steps - 1) as usize % LATEST] = surprise;
            self.surprise += surprise;
            self.loops += u64::from(self.last == point);
            if self.steps > 1 {
                self.returns += u64::from(self.second_last == point && self.last != point);
            }
            if let Some(count) = self.columns.get_mut(tables.column_of[transition] as usize) {
                *count += 1;
            }
        }
        self.second_last = self.last;
        self.last = point;
        self.steps += 1;
        self.channels.observe(step.channel_code(), time);
        self.devices.observe(step.device(), time);
    }

    pub(super) fn emit(&self, plan: &Plan, as_of: Day, row: &mut Row) {
        let contacts = &plan.contacts;
        if !contacts.has_ways() {
            return;
        }
        let transitions = self.steps - 1; // the first event of all is a step
        let share = |count: u64| count as f64 / transitions as f64; // 0/0 = missing
        row.push(f64::from(self.used.count_ones()));
        row.push((as_of.start_micros() - self.newest) as f64 / DAY_MICROS as f64);
        row.push(share(self.loops));
        row.push(self.returns as f64 / self.steps.saturating_sub(2) as f64);
        for point in 0..contacts.points.len().min(LAST_STEPS) {
            row.push(f64::from(u8::from(self.last == point)));
        }
        for &count in &self.columns {
            row.push(share(u64::from(count)));
        }
        let latest = &self.latest[..LATEST.min(transitions as usize)];
        let surprise = latest.iter().sum::<f64>() / latest.len() as f64;
        row.push(surprise);
        row.push(surprise - self.surprise / transitions as f64);
        if has_channels(plan) {
            self.channels.emit(row);
        }
        if contacts.has_devices {
            self.devices.emit(row);
        }
    }
}
