//! Since when, and how long ago.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, bought, .. } = view;
    all.add("tenure_days", view.since_first(known));
    all.add("days_since_last_event", view.since_last(known));
    all.add("days_since_first_order", view.since_first(bought));
    all.add("days_since_last_order", view.since_last(bought));
    all.add_any(
        "days_from_first_to_last_order",
        vec![view.since_first(bought) - view.since_last(bought)],
        DAYS_ROUNDING,
    );
    for kind in &plan.kinds[1..] {
        all.add(format!("days_since_last_{}", kind.slug), view.since_last(&of_event(known, &kind.event)));
    }
}
