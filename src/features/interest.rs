//! How often does a customer come across each category, whatever the event?

use super::affinity::blocks;
use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Marks, Row};

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    blocks(plan).for_each(|block| declare_category(plan, block, declarations));
}

/// The column of one category. With one kind of event it would repeat that kind's.
pub(super) fn declare_category(plan: &Plan, block: &[(u16, u16)], declarations: &mut Declarations) {
    if plan.kinds.len() > 1 {
        let category = &plan.categories[block[0].1 as usize];
        declarations.family("interest", &["category"]);
        let note = format!("Events of any kind in category `{}` to date.", category.name);
        declarations.add(format!("events_category_{}", category.slug), Unit::Count, note);
    }
}

/// One counter for each category, and one for events in no other.
#[derive(Default)]
pub(super) struct State {
    counts: Vec<u32>,
    /// Categories with a column.
    columns: Vec<usize>,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        if self.columns.is_empty() && plan.kinds.len() > 1 {
            self.columns = blocks(plan).map(|block| block[0].1 as usize).collect();
        }
        self.counts.clear();
        self.counts.resize(plan.categories.len() + 1, 0);
    }

    /// All events that are observed together.
    pub(super) fn observe_all(&mut self, marks: &[Marks]) {
        for marks in marks {
            self.counts[marks.category as usize] += 1;
        }
    }

    pub(super) fn emit(&self, row: &mut Row) {
        for &category in &self.columns {
            row.push(f64::from(self.counts[category]));
        }
    }
}
