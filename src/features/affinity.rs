//! Which categories does a customer look at, buy and spend on?

use super::catalogue::{Declarations, Plan, Unit};
use super::interest;
use super::sweep::{Marks, Row, Step};
use super::tables::{HALF_LIVES, fading, x_ln_x};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::Event;

/// Windows of the counts by category, in days.
const WINDOWS: [i32; 2] = [7, 90];
/// Orders of the longer window are compared with those of the time of the same length before it.
const LONGEST: i32 = 2 * WINDOWS[1];
/// Position of the half-life of the decayed share.
const SEASON: usize = 2;

/// Kinds and categories that have columns, category after category.
pub(super) fn blocks(plan: &Plan) -> impl Iterator<Item = &[(u16, u16)]> {
    plan.pairs.chunk_by(|a, b| a.1 == b.1)
}

/// Whether a category is among what is ordered, and among what is done without ordering.
fn is_ordered_and_browsed(block: &[(u16, u16)]) -> (bool, bool) {
    (block.iter().any(|&(kind, _)| kind == 0), block.iter().any(|&(kind, _)| kind != 0))
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    if plan.pairs.is_empty() {
        return;
    }
    declarations.family("affinity", &["event", "category", "value"]);
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
    declarations.add(
        "order_category_entropy",
        Unit::Ratio,
        "Entropy, in nats, of the categories of order lines, rare ones counted as one: 0 when all are of one category; \
         missing without such a line.",
    );
    declarations.add(
        "categories_browsed_never_bought",
        Unit::Count,
        "Categories with events other than orders and refunds, but without an order line, to date; rare ones left out.",
    );
    for block in blocks(plan) {
        declare_category(plan, block, declarations);
    }
}

/// Columns of one category: what each kind of event does in it, then all of them together.
fn declare_category(plan: &Plan, block: &[(u16, u16)], declarations: &mut Declarations) {
    for &(kind, category) in block {
        declare_pair(plan, kind, category, declarations);
    }
    let category = &plan.categories[block[0].1 as usize];
    let (name, slug) = (&category.name, &category.slug);
    let (is_ordered, is_browsed) = is_ordered_and_browsed(block);
    declarations.family("affinity", &["ts", "event", "category", "value"]);
    if is_ordered {
        let half_life = HALF_LIVES[SEASON];
        let note = format!(
            "Share of category `{name}` in all order lines with a category, each weighing 2^(−age/{half_life}), age in \
             whole days; missing without such a line."
        );
        declarations.add(format!("order_share_category_{slug}_decayed_{half_life}d"), Unit::Share, note);
        let days = WINDOWS[1];
        let note =
            format!("Order lines in category `{name}` of the last {days} days minus those of the {days} days before.");
        declarations.add(format!("{}s_category_{slug}_trend_{days}d", plan.kinds[0].slug), Unit::Count, note);
    }
    if is_ordered && is_browsed {
        let note =
            format!("Events in category `{name}` to date while nothing of it was ever ordered, 0 once something was.");
        declarations.add(format!("browsed_never_bought_category_{slug}"), Unit::Count, note);
    }
}

fn declare_pair(plan: &Plan, kind_index: u16, category: u16, declarations: &mut Declarations) {
    let (kind, category) = (&plan.kinds[kind_index as usize], &plan.categories[category as usize]);
    let slug = &category.slug;
    let events = format!("`{}` events in category `{}`", kind.event, category.name);
    let what = if kind_index == 0 { format!("Order lines in category `{}`", category.name) } else { events.clone() };
    declarations.family("affinity", &["ts", "event", "category", "value"]);
    declarations.add(format!("{}s_category_{slug}", kind.slug), Unit::Count, format!("{what} to date."));
    for days in WINDOWS {
        let name = format!("{}s_category_{slug}_{days}d", kind.slug);
        declarations.add(name, Unit::Count, format!("{what} in the last {days} days."));
    }
    if kind_index == 0 {
        let note = format!("From the last order line in category `{}` to `as_of`; missing without one.", category.name);
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
        let note = format!("Sum of `value` of {events} to date{refunds}.");
        declarations.add(format!("{money}_category_{slug}"), Unit::Money, note);
        let note = format!("Sum of `value` of {events} in the last {} days{refunds}.", WINDOWS[0]);
        declarations.add(format!("{money}_category_{slug}_{}d", WINDOWS[0]), Unit::Money, note);
    }
}

/// Leaves out the least frequent categories, so that what is left has at most so many columns; a category has all of
/// its columns or none.
pub(super) fn limit_columns(plan: &mut Plan, most: usize) {
    let mut columns = 0;
    let kept = blocks(plan).take_while(|block| {
        let mut declarations = Declarations::default();
        declare_category(plan, block, &mut declarations);
        interest::declare_category(plan, block, &mut declarations);
        columns += declarations.len();
        columns <= most
    });
    let kept = kept.map(<[_]>::len).sum();
    plan.pairs.truncate(kept);
}

#[derive(Clone, Copy, Default)]
struct Pair {
    count: u32,
    in_window: [u32; WINDOWS.len()],
    value: f64,
    value_in_window: f64,
    last: Option<i64>,
}

#[derive(Clone, Copy, Default)]
struct OfCategory {
    events: u32,
    /// Of the order event's kind: lines, and refunds.
    order_events: u32,
    order_lines: u32,
    decayed: Decayed,
    /// Order lines of the longer window, and before it as far back again.
    latest: u32,
    earlier: u32,
}

/// A count as it stood on its last day.
#[derive(Clone, Copy, Default)]
struct Decayed {
    count: f64,
    day: Day,
}

impl Decayed {
    fn at(&self, day: Day) -> f64 {
        if self.count > 0.0 { self.count * fading(day.since(self.day))[SEASON] } else { 0.0 }
    }

    fn add(&mut self, day: Day) {
        self.count = self.at(day) + 1.0;
        self.day = day;
    }
}

/// One counter for each pair of kind and category, and for each category.
#[derive(Default)]
pub(super) struct State {
    /// Index into `pairs` by kind × category, or `u16::MAX`.
    pair_of: Vec<u16>,
    pairs: Vec<Pair>,
    categories: Vec<OfCategory>,
    /// Order lines with a category.
    order_lines: u32,
    decayed: Decayed,
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
        self.categories.clear();
        let with_columns = plan.pairs.last().map_or(0, |&(_, category)| category as usize + 1);
        self.categories.resize(with_columns, OfCategory::default());
        self.order_lines = 0;
        self.rare_lines = 0;
        self.decayed = Decayed::default();
    }

    fn pair(&mut self, plan: &Plan, kind: usize, category: usize) -> Option<&mut Pair> {
        if kind >= plan.kinds.len() || category >= plan.categories.len() {
            return None;
        }
        let index = self.pair_of[kind * plan.categories.len() + category];
        self.pairs.get_mut(index as usize)
    }

    #[inline]
    pub(super) fn observe(&mut self, plan: &Plan, step: &Step) {
        if !step.has_category {
            return;
        }
        let value = step.money();
        let counts = step.kind != 0 || step.is_order_line;
        let pair = self.pair(plan, step.kind as usize, step.category as usize);
        let is_rare = pair.is_none();
        if let Some(pair) = pair {
            if counts {
                pair.count += 1;
                pair.last = Some(step.event.time);
            }
            pair.value += value; // refunds too: spend in a category is net
        }
        if let Some(category) = self.categories.get_mut(step.category as usize) {
            category.events += 1;
            category.order_events += u32::from(step.kind == 0);
            if step.is_order_line {
                category.order_lines += 1;
                category.decayed.add(step.day);
            }
        }
        if step.is_order_line {
            self.order_lines += 1;
            self.rare_lines += u32::from(is_rare);
            self.decayed.add(step.day);
        }
    }

    /// Looks back over the events before `as_of`, newest first.
    fn fill_windows(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks]) {
        for pair in &mut self.pairs {
            pair.in_window = [0; WINDOWS.len()];
            pair.value_in_window = 0.0;
        }
        for category in &mut self.categories {
            (category.latest, category.earlier) = (0, 0);
        }
        for (event, marks) in events.iter().zip(marks).rev() {
            let age = as_of.since(marks.day);
            if age > LONGEST {
                break;
            }
            if marks.is_order_line
                && let Some(category) = self.categories.get_mut(marks.category as usize)
            {
                *(if age <= WINDOWS[1] { &mut category.latest } else { &mut category.earlier }) += 1;
            }
            if age <= WINDOWS[1]
                && let Some(pair) = self.pair(plan, marks.kind as usize, marks.category as usize)
            {
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
    }

    pub(super) fn emit(&mut self, plan: &Plan, as_of: Day, events: &[Event], marks: &[Marks], row: &mut Row) {
        if plan.pairs.is_empty() {
            return;
        }
        self.fill_windows(plan, as_of, events, marks);
        let lines = f64::from(self.order_lines); // 0/0 = missing
        let mut bought = usize::from(self.rare_lines > 0);
        let mut favourite = 0;
        let mut surprise = x_ln_x(self.rare_lines as usize);
        for (&(kind, _), pair) in plan.pairs.iter().zip(&self.pairs) {
            if kind == 0 {
                bought += usize::from(pair.count > 0);
                favourite = favourite.max(pair.count);
                surprise += x_ln_x(pair.count as usize);
            }
        }
        let only_browsed = self.categories.iter().filter(|of| of.events > of.order_events && of.order_lines == 0);
        row.push(bought as f64);
        row.push(f64::from(favourite) / lines);
        let entropy = (x_ln_x(self.order_lines as usize) - surprise) / lines;
        row.push(if entropy < 0.0 { 0.0 } else { entropy }); // rounding may take it just below
        row.push(only_browsed.count() as f64);
        let mut pairs = self.pairs.iter();
        for block in blocks(plan) {
            for (&(kind, _), pair) in block.iter().zip(&mut pairs) {
                row.push(f64::from(pair.count));
                for count in pair.in_window {
                    row.push(f64::from(count));
                }
                if kind == 0 {
                    let since = |time| (as_of.start_micros() - time) as f64 / DAY_MICROS as f64;
                    row.push(pair.last.map_or(f64::NAN, since));
                    row.push(f64::from(pair.count) / lines);
                }
                if plan.kinds[kind as usize].has_money {
                    row.push(pair.value);
                    row.push(pair.value_in_window);
                }
            }
            let of = &self.categories[block[0].1 as usize];
            let (is_ordered, is_browsed) = is_ordered_and_browsed(block);
            if is_ordered {
                // At the last order line's day: at `as_of` both sides may have faded to nothing.
                row.push(of.decayed.at(self.decayed.day) / self.decayed.count);
                row.push(f64::from(of.latest) - f64::from(of.earlier));
            }
            if is_ordered && is_browsed {
                let others = if of.order_lines == 0 { of.events - of.order_events } else { 0 };
                row.push(f64::from(others));
            }
        }
    }
}
