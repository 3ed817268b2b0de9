//! The reference of the events with a role: what the names of random events mean, written down by hand.

use super::*;
use bellwether::features::Begin;

/// Events of [`ROLES`] in the order of their names, by what they mean.
const SENDS: [&str; 2] = ["Email Sent", "sms"];
const OPENS: [&str; 1] = ["email open"];
const CLICKS: [&str; 1] = ["email-click"];
const CARTS: [&str; 2] = ["Add to cart", "basket"];
const BEGINS: [(&str, &str); 2] = [("checkout", "checkout"), ("trial", "TRIAL")];
const FAILURES: [&str; 1] = ["payment failed"];

pub fn check_plan(plan: &Plan, known: &[&Line]) {
    let count = |event: &str| known.iter().filter(|line| line.event == event).count();
    let seen = |events: &[&'static str]| -> Vec<String> {
        events.iter().filter(|event| count(event) > 0).map(|event| (*event).to_string()).collect()
    };
    let roles = &plan.roles;
    assert_eq!(roles.send, seen(&SENDS));
    assert_eq!(roles.open, seen(&OPENS));
    assert_eq!(roles.click, seen(&CLICKS));
    assert_eq!(roles.failure, seen(&FAILURES));
    let has_money = |events: &[String]| known.iter().any(|line| is_one_of(line, events) && line.money() != 0.0);
    let begin = |slug: &str, events: Vec<String>| Begin { slug: slug.into(), has_money: has_money(&events), events };
    let mut begins = vec![begin("cart", seen(&CARTS))];
    let mut others = BEGINS.to_vec();
    others.sort_by_key(|(_, event)| std::cmp::Reverse(count(event)));
    begins.extend(others.into_iter().map(|(slug, event)| begin(slug, seen(&[event]))));
    begins.retain(|begin| !begin.events.is_empty());
    assert_eq!(roles.begins, begins);

    let total = |events: &[String]| known.iter().filter(|line| is_one_of(line, events)).count() as f64;
    let rate = |events: &[String]| if roles.send.is_empty() { 0.0 } else { total(events) / total(&roles.send) };
    assert_eq!((roles.open_rate, roles.click_rate), (rate(&roles.open), rate(&roles.click)));
    let names_campaign = |events: &[String]| known.iter().any(|l| is_one_of(l, events) && l.campaign.is_some());
    assert_eq!(roles.responses_name_campaigns, names_campaign(&roles.open) || names_campaign(&roles.click));
    assert_eq!(roles.orders_name_campaigns, names_campaign(&[plan.kinds[0].event.clone()]));
}

pub fn is_one_of(line: &Line, events: &[String]) -> bool {
    events.iter().any(|event| event == line.event)
}
