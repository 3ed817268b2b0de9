//! How did a customer begin?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};

/// Categories, and channels, that have a column: the most frequent.
const MOST: usize = 10;

fn most(groups: &[super::Group]) -> &[super::Group] {
    &groups[..groups.len().min(MOST)]
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    let rest = "0 when it was not; missing without an order";
    declarations.family("first_order", &["ts", "event", "value", "category"]);
    for category in most(&plan.categories) {
        let note = format!("1 when the first order line was in category `{}`, {rest}.", category.name);
        declarations.add(format!("first_order_category_{}", category.slug), Unit::Flag, note);
    }
    declarations.family("first_order", &["ts", "event", "value", "channel"]);
    for channel in most(&plan.channels) {
        let note = format!("1 when the first order line came by channel `{}`, {rest}.", channel.name);
        declarations.add(format!("first_order_channel_{}", channel.slug), Unit::Flag, note);
    }
}

/// Category and channel of the first order line.
#[derive(Default)]
pub(super) struct State {
    first: Option<(usize, usize)>,
}

impl State {
    pub(super) fn reset(&mut self) {
        self.first = None;
    }

    #[inline]
    pub(super) fn observe(&mut self, step: &Step) {
        if step.is_order_line {
            self.first.get_or_insert((step.category as usize, step.channel as usize));
        }
    }

    pub(super) fn emit(&self, plan: &Plan, row: &mut Row) {
        let is = |first: Option<usize>, index: usize| first.map_or(f64::NAN, |first| f64::from(first == index));
        for index in 0..most(&plan.categories).len() {
            row.push(is(self.first.map(|(category, _)| category), index));
        }
        for index in 0..most(&plan.channels).len() {
            row.push(is(self.first.map(|(_, channel)| channel), index));
        }
    }
}
