//! How does a customer respond to messages, and does it order without them?

use super::catalogue::{Declarations, Plan, Unit};
use super::codes::CodeSet;
use super::roles::RoleSet;
use super::sweep::{Marks, Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::NO_CODE;

/// Windows of the counts and of the later rates, in days.
const WINDOWS: [i32; 2] = [30, 90];

/// Messages of the base that a customer's own rates begin with: the strength of a Beta prior whose mean is the
/// base's rate.
const PRIOR_SENDS: f64 = 10.0;

/// An order less than this many days after a message is prompted by it.
const PROMPT_DAYS: i64 = 3;

/// Messages sent, opened and clicked.
const STAGES: [(RoleSet, &str); 3] = [(RoleSet::SEND, "sent"), (RoleSet::OPEN, "opened"), (RoleSet::CLICK, "clicked")];

fn events_of(plan: &Plan, stage: usize) -> &[String] {
    [&plan.roles.send, &plan.roles.open, &plan.roles.click][stage]
}

/// Whether opens and clicks can be set against messages.
fn has_rate(plan: &Plan, stage: usize) -> bool {
    stage > 0 && !plan.roles.send.is_empty() && !events_of(plan, stage).is_empty()
}

fn has_messages(plan: &Plan) -> bool {
    (0..STAGES.len()).any(|stage| !events_of(plan, stage).is_empty())
}

fn has_responses(plan: &Plan) -> bool {
    !plan.roles.open.is_empty() || !plan.roles.click.is_empty()
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let roles = &plan.roles;
    declarations.family("response", &["ts", "event"]);
    for (stage, (_, name)) in STAGES.iter().enumerate() {
        let events = events_of(plan, stage);
        if events.is_empty() {
            continue;
        }
        let events = events.iter().map(|event| format!("`{event}`")).collect::<Vec<_>>().join(", ");
        declarations.add(
            format!("messages_{name}"),
            Unit::Count,
            format!("Messages {name} to date (events {events})."),
        );
        for days in WINDOWS {
            declarations.add(
                format!("messages_{name}_{days}d"),
                Unit::Count,
                format!("Messages {name} in the last {days} days (events {events})."),
            );
        }
    }
    for (stage, name) in [(1, "open"), (2, "click")] {
        if has_rate(plan, stage) {
            let what = STAGES[stage].1;
            let drawn = format!(
                "drawn to the rate of the whole base as if {PRIOR_SENDS} more had been answered like that; above 1 where \
                 one message counts several times."
            );
            let note = format!("Messages {what} for each one sent to date, {drawn}");
            declarations.add(format!("message_{name}_rate"), Unit::Ratio, note);
            let days = WINDOWS[1];
            let note = format!("The same of the last {days} days, {drawn}");
            declarations.add(format!("message_{name}_rate_{days}d"), Unit::Ratio, note);
        }
    }
    if has_responses(plan) {
        declarations.add(
            "days_since_last_response",
            Unit::Days,
            "From the last message opened or clicked to `as_of`; missing without one.",
        );
        declarations.add("never_responded", Unit::Share, "1 when no message was ever opened or clicked, else 0.");
        if !roles.send.is_empty() {
            let note = "Messages sent since the last one was opened or clicked, or ever.";
            declarations.add("messages_since_last_response", Unit::Count, note);
        }
    }
    if !roles.send.is_empty() {
        declarations.add(
            format!("orders_after_message_{PROMPT_DAYS}d"),
            Unit::Count,
            format!("Orders that began less than {PROMPT_DAYS} days after a message was sent."),
        );
    }
    if roles.responses_name_campaigns {
        declarations.family("response", &["ts", "event", "campaign"]);
        let note = "Different campaigns with a message opened or clicked, to date.";
        declarations.add("campaigns_responded", Unit::Count, note);
    }
    if has_messages(plan) || roles.orders_name_campaigns {
        let prompted = format!(
            "that began less than {PROMPT_DAYS} days after a message was sent, opened or clicked, or whose first line \
             names a campaign"
        );
        declarations.family("response", &["ts", "event", "campaign"]);
        declarations.add("prompted_orders", Unit::Count, format!("Orders {prompted}."));
        declarations.add("unprompted_orders", Unit::Count, "All other orders.");
        declarations.add(
            "prompted_order_share",
            Unit::Share,
            format!("Share of the orders {prompted}; missing without an order."),
        );
    }
}

/// What was sent, what came back, and the orders after it.
#[derive(Default)]
pub(super) struct State {
    counts: [u64; STAGES.len()],
    in_window: [[u64; WINDOWS.len()]; STAGES.len()],
    last_send: Option<i64>,
    last_response: Option<i64>,
    sends_since_response: u64,
    orders: u64,
    orders_after_send: u64,
    prompted: u64,
    campaigns: CodeSet,
}

fn is_soon(time: i64, message: Option<i64>) -> bool {
    message.is_some_and(|message| time - message < PROMPT_DAYS * DAY_MICROS)
}

impl State {
    pub(super) fn reset(&mut self) {
        let mut campaigns = std::mem::take(&mut self.campaigns);
        campaigns.clear();
        *self = Self { campaigns, ..Self::default() };
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        let time = step.event.time;
        if step.roles.has(RoleSet::MESSAGE) {
            for (count, (role, _)) in self.counts.iter_mut().zip(STAGES) {
                *count += u64::from(step.roles.has(role));
            }
            if step.roles.has(RoleSet::SEND) {
                self.last_send = Some(time);
                self.sends_since_response += 1;
            }
            if step.roles.has(RoleSet::RESPONSE) {
                self.last_response = Some(time);
                self.sends_since_response = 0;
                if step.campaign() != NO_CODE {
                    self.campaigns.add(step.campaign());
                }
            }
        }
        if step.begins_order {
            let after_send = is_soon(time, self.last_send);
            let prompted = after_send || is_soon(time, self.last_response) || step.campaign() != NO_CODE;
            self.orders += 1;
            self.orders_after_send += u64::from(after_send);
            self.prompted += u64::from(prompted);
        }
    }

    /// Looks back over the longest window, if there is anything to find.
    fn fill_windows(&mut self, as_of: Day, marks: &[Marks]) {
        self.in_window = Default::default();
        if self.counts == [0; STAGES.len()] {
            return;
        }
        for marks in marks.iter().rev() {
            let age = as_of.since(marks.day);
            if age > WINDOWS[WINDOWS.len() - 1] {
                break;
            }
            if marks.roles.has(RoleSet::MESSAGE) {
                for (counts, (role, _)) in self.in_window.iter_mut().zip(STAGES) {
                    for (count, days) in counts.iter_mut().zip(WINDOWS) {
                        *count += u64::from(age <= days && marks.roles.has(role));
                    }
                }
            }
        }
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, marks: &[Marks], row: &mut Row) {
        let roles = &plan.roles;
        if has_messages(plan) {
            self.fill_windows(as_of, marks);
        }
        for stage in (0..STAGES.len()).filter(|&stage| !events_of(plan, stage).is_empty()) {
            row.push(self.counts[stage] as f64);
            self.in_window[stage].iter().for_each(|&count| row.push(count as f64));
        }
        for (stage, base) in [(1, roles.open_rate), (2, roles.click_rate)] {
            if has_rate(plan, stage) {
                let rate =
                    |answers: u64, sends: u64| (answers as f64 + PRIOR_SENDS * base) / (sends as f64 + PRIOR_SENDS);
                row.push(rate(self.counts[stage], self.counts[0]));
                row.push(rate(self.in_window[stage][1], self.in_window[0][1]));
            }
        }
        if has_responses(plan) {
            let since = |time: i64| (as_of.start_micros() - time) as f64 / DAY_MICROS as f64;
            row.push(self.last_response.map_or(f64::NAN, since));
            row.push(f64::from(u8::from(self.last_response.is_none())));
            if !roles.send.is_empty() {
                row.push(self.sends_since_response as f64);
            }
        }
        if !roles.send.is_empty() {
            row.push(self.orders_after_send as f64);
        }
        if roles.responses_name_campaigns {
            row.push(self.campaigns.len() as f64);
        }
        if has_messages(plan) || roles.orders_name_campaigns {
            row.push(self.prompted as f64);
            row.push((self.orders - self.prompted) as f64);
            row.push(self.prompted as f64 / self.orders as f64); // 0/0 = missing
        }
    }
}
