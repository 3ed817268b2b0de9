//! The reference of messages, responses and prompted orders.

use super::cases::{features_of, purchase};
use super::roles::is_one_of;
use super::*;

const THREE_DAYS: i64 = 3 * DAY_MICROS;

/// The lines that begin an order: the first of a day with their order id, or without any.
pub fn beginnings<'a>(plan: &Plan, known: &[&'a Line]) -> Vec<&'a Line> {
    let mut seen = BTreeSet::new();
    let is_order = |line: &&Line| line.is_order_line(&plan.kinds[0].event);
    known.iter().copied().filter(is_order).filter(|line| seen.insert((line.day(), line.order))).collect()
}

pub fn reference(all: &mut Reference, view: &View) {
    let (plan, known, as_of) = (view.plan, in_order(view.known), view.as_of);
    let roles = &plan.roles;
    let of = |events: &[String]| -> Vec<(usize, &Line)> {
        known.iter().copied().enumerate().filter(|(_, line)| is_one_of(line, events)).collect()
    };
    let (sends, opens, clicks) = (of(&roles.send), of(&roles.open), of(&roles.click));
    let recent = |lines: &[(usize, &Line)], days: i32| {
        lines.iter().filter(|(_, line)| line.day() >= as_of.0 - days).count() as f64
    };
    for (name, events, lines) in
        [("sent", &roles.send, &sends), ("opened", &roles.open, &opens), ("clicked", &roles.click, &clicks)]
    {
        if !events.is_empty() {
            all.add(format!("messages_{name}"), lines.len() as f64);
            all.add(format!("messages_{name}_30d"), recent(lines, 30));
            all.add(format!("messages_{name}_90d"), recent(lines, 90));
        }
    }
    for (name, events, lines, base) in
        [("open", &roles.open, &opens, roles.open_rate), ("click", &roles.click, &clicks, roles.click_rate)]
    {
        if !events.is_empty() && !roles.send.is_empty() {
            // The mean of Beta(10 p + answers, 10 (1 - p) + messages - answers).
            let rate = |answers: f64, sends: f64| (10.0 * base + answers) / (10.0 + sends);
            all.add(format!("message_{name}_rate"), rate(lines.len() as f64, sends.len() as f64));
            all.add(format!("message_{name}_rate_90d"), rate(recent(lines, 90), recent(&sends, 90)));
        }
    }
    let responses: Vec<(usize, &Line)> = opens.iter().chain(&clicks).copied().collect();
    let last = responses.iter().max_by_key(|(position, _)| *position);
    if !roles.open.is_empty() || !roles.click.is_empty() {
        all.add("days_since_last_response", view.since(last.map(|(_, line)| line.time)));
        all.add("never_responded", if responses.is_empty() { 1.0 } else { 0.0 });
        if !roles.send.is_empty() {
            let unanswered = sends.iter().filter(|(position, _)| last.is_none_or(|(last, _)| position > last)).count();
            all.add("messages_since_last_response", unanswered as f64);
        }
    }
    if roles.responses_name_campaigns {
        let campaigns: BTreeSet<&str> = responses.iter().filter_map(|(_, line)| line.campaign).collect();
        all.add("campaigns_responded", campaigns.len() as f64);
    }
    let orders = beginnings(plan, &known);
    let follows = |order: &Line, messages: &[(usize, &Line)]| {
        let position = known.iter().position(|line| std::ptr::eq(*line, order)).expect("one of them");
        messages.iter().any(|(earlier, line)| *earlier < position && order.time < line.time + THREE_DAYS)
    };
    if !roles.send.is_empty() {
        all.add("orders_after_message_3d", orders.iter().filter(|order| follows(order, &sends)).count() as f64);
    }
    let has_messages = ![&roles.send, &roles.open, &roles.click].iter().all(|events| events.is_empty());
    if has_messages || roles.orders_name_campaigns {
        let is_prompted =
            |order: &&&Line| follows(order, &sends) || follows(order, &responses) || order.campaign.is_some();
        let (all_orders, prompted) = (orders.len() as f64, orders.iter().filter(is_prompted).count() as f64);
        all.add("prompted_orders", prompted);
        all.add("unprompted_orders", all_orders - prompted);
        all.add("prompted_order_share", if orders.is_empty() { f64::NAN } else { prompted / all_orders });
    }
}

#[test] // by hand: four messages, one opened and clicked, three orders; asked on day 100
fn responses_by_hand() {
    let line = |event, offset, campaign| Line { event, campaign, ..purchase(offset, 0, None, f64::NAN) };
    let lines = [
        line("sms", 0, Some("spring")),
        line("email open", 1, Some("spring")),
        line("email-click", 1, Some("spring")),
        line("purchase", 3, None), // three days after the message, but two after the open
        line("Email Sent", 20, Some("autumn")),
        line("purchase", 22, None),
        line("sms", 80, None),
        line("purchase", 90, None), // nobody asked
        line("sms", 99, None),
    ];
    let row = features_of(&lines, MONDAY.plus(100));
    let expected = [
        ("messages_sent", 4.0),
        ("messages_sent_30d", 2.0),
        ("messages_sent_90d", 3.0),
        ("messages_opened_90d", 0.0),
        ("message_open_rate", 0.25), // the base is this customer: 1 of 4
        ("message_open_rate_90d", 2.5 / 13.0),
        ("days_since_last_response", 99.0),
        ("never_responded", 0.0),
        ("messages_since_last_response", 3.0),
        ("orders_after_message_3d", 1.0),
        ("campaigns_responded", 1.0),
        ("prompted_orders", 2.0),
        ("unprompted_orders", 1.0),
        ("prompted_order_share", 2.0 / 3.0),
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected as f32, "{name}");
    }
}
