//! Which categories does a customer look at, buy and spend on?

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Marks, Row, Step};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::Event;

/// Windows of the counts by category, in days.
const WINDOWS: [i32; 2] = [7, 90];

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    if plan.pairs.is_empty() {
        return;
    }
    declarations.family("affinity", &["ts", "event", "category", "value"]);
    declarations.add(
        "categories_bought",
        Unit::Count,
        "Different categories ordered to date, rare ones counted as one.",
    );
    declarations.add(
        "favourite_category_share",
        Unit::Share,
        "Share of the most frequent category in all order lines with a category, rare ones left out of the choice; \
         missing without such a line.",
    );
    for &(kind, category) in &plan.pairs {
        let (kind_index, kind, category) = (kind, &plan.kinds[kind as usize], &plan.categories[category as usize]);
        let slug = &category.slug;
        let events = format!("`{}` events in category `{}`", kind.event, category.name);
        let what =
            if kind_index == 0 { format!("Order lines in category `{}`", category.name) } else { events.clone() };
        declarations.add(format!("{}s_category_{slug}", kind.slug), Unit::Count, format!("{what} to date."));
        for days in WINDOWS {
            let name = format!("{}s_category_{slug}_{days}d", kind.slug);
            declarations.add(name, Unit::Count, format!("{what} in the last {days} days."));
        }
        if kind_index == 0 {
            let note =
                format!("From the last order line in category `{}` to `as_of`; missing without one.", category.name);
            declarations.add(format!("days_since_last_order_category_{slug}"), Unit::Days, note);
            let note = format!(
                "Share of category `{}` in all order lines with a category; missing without such a line.",
                category.name
            );
            declarations.add(format!("order_share_category_{slug}"), Unit::Share, note);
        }
        if kind.has_money {
            let refunds = if kind_index == 0 { ", refunds deducted" } else { "" };
            let money = if kind_index == 0 { "spend".to_string() } else { format!("{}_value", kind.slug) };
            declarations.add(
                format!("{money}_category_{slug}"),
                Unit::Money,
                format!("Sum of `value` of {events} to date{refunds}."),
            );
            let note = format!("Sum of `value` of {events} in the last {} days{refunds}.", WINDOWS[0]);
            declarations.add(format!("{money}_category_{slug}_{}d", WINDOWS[0]), Unit::Money, note);
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Pair {
    count: u32,
    in_window: [u32; WINDOWS.len()],
    value: f64,
    value_in_window: f64,
    last: Option<i64>,
}

/// One counter for each pair of kind and category.
#[derive(Default)]
pub(super) struct State {
    /// Index into `pairs` by kind × category, or `u16::MAX`.
    pair_of: Vec<u16>,
    pairs: Vec<Pair>,
    /// Order lines with a category.
    order_lines: u32,
    /// Those in a category without columns.
    rare_lines: u32,
}

impl State {
    pub(super) fn reset(&mut self, plan: &Plan) {
        let categories = plan.categories.len();
        if self.pair_of.is_empty() {
            self.pair_of = vec![u16::MAX; plan.kinds.len() * categories];
            for (index, &(kind, category)) in plan.pairs.iter().enumerate() {
                self.pair_of[kind as usize * categories + category as usize] = index as u16;
            }
        }
        self.pairs.clear();
        self.pairs.resize(plan.pairs.len(), Pair::default());
        self.order_lines = 0;
        self.rare_lines = 0;
    }

    fn pair(&mut self, plan: &Plan, kind: usize, category: usize) -> Option<&mut Pair> {
        if kind >= plan.kinds.len() || category >= plan.categories.len() {
            return None;
        }
        let index = self.pair_of[kind * plan.categories.len() + category];
        self.pairs.get_mut(index as usize)
    }

    pub(super) fn observe(&mut self, plan: &Plan, step: &Step) {
        if step.has_category && (step.kind != 0 || step.is_order_line) {
            let pair = self.pair(plan, step.kind, step.category);
            let is_rare = pair.is_none();
            if let Some(pair) = pair {
                pair.count += 1;
                pair.last = Some(step.event.time);
            }
            if step.kind == 0 {
                self.order_lines += 1;
                self.rare_lines += u32::from(is_rare);
            }
        }
        let value = step.event.value;
        if !value.is_nan()
            && let Some(pair) = self.pair(plan, step.kind, step.category)
        {
            pair.value += value; // refunds too: spend in a category is net
        }
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        if plan.pairs.is_empty() {
            return;
        }
        for pair in &mut self.pairs {
            pair.in_window = [0; WINDOWS.len()];
            pair.value_in_window = 0.0;
        }
        for (event, marks) in events.iter().zip(marks).rev() {
            let age = as_of.since(event.day());
            if age > WINDOWS[WINDOWS.len() - 1] {
                break;
            }
            if let Some(pair) = self.pair(plan, marks.kind as usize, marks.category as usize) {
                if marks.kind != 0 || marks.is_order_line {
                    for (count, days) in pair.in_window.iter_mut().zip(WINDOWS) {
                        *count += u32::from(age <= days);
                    }
                }
                if age <= WINDOWS[0] && !event.value.is_nan() {
                    pair.value_in_window += event.value;
                }
            }
        }
        let order_pairs = || plan.pairs.iter().zip(&self.pairs).filter(|((kind, _), _)| *kind == 0);
        let bought = order_pairs().filter(|(_, pair)| pair.count > 0).count() + usize::from(self.rare_lines > 0);
        row.push(bought as f64);
        let lines = f64::from(self.order_lines); // 0/0 = missing
        let favourite = order_pairs().map(|(_, pair)| pair.count).max().unwrap_or(0);
        row.push(f64::from(favourite) / lines);
        for (&(kind, _), pair) in plan.pairs.iter().zip(&self.pairs) {
            row.push(f64::from(pair.count));
            for count in pair.in_window {
                row.push(f64::from(count));
            }
            if kind == 0 {
                row.push(pair.last.map_or(f64::NAN, |time| (as_of.start_micros() - time) as f64 / DAY_MICROS as f64));
                row.push(f64::from(pair.count) / lines);
            }
            if plan.kinds[kind as usize].has_money {
                row.push(pair.value);
                row.push(pair.value_in_window);
            }
        }
    }
}
