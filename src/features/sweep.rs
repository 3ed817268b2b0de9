//! The sweep: one walk over a timeline, oldest to newest, that emits the row of every cut-off as it passes it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::boundaries::Boundaries;
use super::catalogue::Plan;
use super::contact::PointCodes;
use super::roles::{RoleCodes, RoleSet};
use super::{
    activity, affinity, attributes, cadence, clock, decay, declared, first_order, interest, numbers, pace, purchases,
    recency, response, sequence, sessions, unfinished, windows,
};
use crate::time::Day;
use crate::timeline::{Detail, Event, EventColumns, NO_CATEGORY, Timeline, Timelines, Vocabulary};

/// What every family needs to know of an event: its codes translated into the plan's, and what it begins.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) day: Day,
    /// Position of an order line's order among those of its day.
    pub(super) order_of_day: u32,
    /// Index into the plan's kinds, or their number: some other kind. The order event is 0.
    pub(super) kind: u16,
    /// Index into the plan's categories, or their number: some other or none.
    pub(super) category: u16,
    /// Index into the plan's channels, or their number: some other or none.
    pub(super) channel: u16,
    /// Index into the plan's contact points, or their number: some other.
    pub(super) point: u8,
    /// Index into the plan's beginnings, or `BEGINS_NOTHING`.
    pub(super) begins: u8,
    pub(super) roles: RoleSet,
    pub(super) has_category: bool,
    /// A line of an order: the order event, and no refund.
    pub(super) is_order_line: bool,
    pub(super) begins_day: bool,
    /// First order line of its day.
    pub(super) begins_order_day: bool,
    pub(super) begins_order: bool,
}

/// An event as families observe it.
pub(super) struct Step<'a> {
    pub(super) event: &'a Event,
    timeline: Timeline<'a>,
    index: usize,
    marks: &'a Marks,
}

impl std::ops::Deref for Step<'_> {
    type Target = Marks;

    #[inline(always)]
    fn deref(&self) -> &Marks {
        self.marks
    }
}

impl Step<'_> {
    /// Money; 0 where there is none.
    pub(super) fn money(&self) -> f64 {
        if self.event.value.is_nan() { 0.0 } else { self.event.value }
    }

    fn detail(&self) -> Detail {
        self.timeline.detail(self.index)
    }

    /// Hash of the order id, 0 where there is none.
    pub(super) fn order(&self) -> u64 {
        self.detail().order
    }

    /// Hash of the product, 0 where there is none.
    pub(super) fn product(&self) -> u32 {
        self.detail().product
    }

    /// Units; NaN where there are none.
    pub(super) fn quantity(&self) -> f32 {
        self.detail().quantity
    }

    /// Code of the channel, or [`NO_CODE`].
    pub(super) fn channel_code(&self) -> u16 {
        self.event.channel
    }

    /// Code of the device, or [`NO_CODE`].
    pub(super) fn device(&self) -> u16 {
        self.detail().device
    }

    /// Code of the campaign, or [`NO_CODE`].
    pub(super) fn campaign(&self) -> u16 {
        self.detail().campaign
    }

    /// The numeric extras, NaN where there is none.
    pub(super) fn numbers(&self) -> &[f64] {
        self.timeline.numbers(self.index)
    }

    /// Which declared conditions hold, one bit each.
    pub(super) fn conditions(&self) -> u64 {
        self.timeline.conditions(self.index)
    }
}

/// One row while it is filled.
pub(super) struct Row<'a> {
    values: &'a mut [f64],
    next: usize,
}

impl Row<'_> {
    #[inline]
    pub(super) fn push(&mut self, value: f64) {
        self.values[self.next] = value;
        self.next += 1;
    }

    /// The places of the next features, all of which are to be filled.
    #[inline]
    pub(super) fn places(&mut self, features: usize) -> &mut [f64] {
        let start = self.next;
        self.next += features;
        &mut self.values[start..self.next]
    }

    /// Leaves out features that nobody wants.
    #[inline]
    pub(super) fn skip(&mut self, features: usize) {
        self.next += features;
    }
}

/// The features of one row, as they were computed.
#[derive(Clone, Copy)]
pub(super) struct Computed<'a> {
    values: &'a [f64],
    /// Which of them are wanted; `None`: all.
    wanted: Option<&'a [usize]>,
}

impl<'a> Computed<'a> {
    /// A row of which every feature is wanted.
    #[cfg(test)]
    pub(super) fn all(values: &'a [f64]) -> Self {
        Self { values, wanted: None }
    }

    /// Appends what `of` makes of each feature that is wanted.
    #[inline]
    pub(super) fn append_to<T>(self, to: &mut Vec<T>, of: impl Fn(f64) -> T) {
        match self.wanted {
            None => to.extend(self.values.iter().map(|&value| of(value))),
            Some(wanted) => to.extend(wanted.iter().map(|&index| of(self.values[index]))),
        }
    }
}

/// Calls a method of every family that is computed.
macro_rules! each {
    ($walker:expr, $($family:ident.$method:ident($($argument:expr),*);)+) => {
        $(if let Some(family) = &mut $walker.$family {
            family.$method($($argument),*);
        })+
    };
}

/// Shows every family that is computed the same steps, one family after the other: what a family keeps stays at hand.
macro_rules! each_step {
    ($walker:expr, $steps:expr, $step:ident; $($family:ident.$method:ident($($argument:expr),*);)+) => {
        $(if let Some(family) = &mut $walker.$family {
            for $step in $steps {
                family.$method($($argument),*);
            }
        })+
    };
}

/// What the plan makes of a kind of event.
#[derive(Clone, Copy)]
struct OfKind {
    kind: u16,
    roles: RoleSet,
    begins: u8,
}

/// A plan made ready for the codes of one set of timelines.
pub struct Sweep<'a> {
    plan: &'a Plan,
    /// By code; the last is of an event without a name, which is known to have happened, as some other kind.
    of_kind: Vec<OfKind>,
    /// The plan's index by code; the last, one more than the highest, is of an event without one.
    category_of: Vec<u16>,
    channel_of: Vec<u16>,
    /// Families with a feature that is wanted; the others are not computed.
    families: BTreeSet<String>,
    /// Number of features of these families.
    computed: usize,
    /// Family of each of these features, and whether it is wanted.
    wants: Vec<(String, bool)>,
    /// Which of them are wanted; `None`: all.
    wanted: Option<Vec<usize>>,
    /// `None` when no family asks for contact points.
    point_codes: Option<PointCodes>,
    sequence: sequence::Tables,
    numbers: numbers::Columns,
    /// Where the timelines keep the discount; `None` where there is none.
    discount: Option<usize>,
    attributes: attributes::Columns,
    declared: declared::Compiled,
}

/// What each code of a vocabulary is among `names`: their number where it is none of them, or where there is no code, which
/// the last tells.
fn translation<'n>(vocabulary: &Vocabulary, names: impl ExactSizeIterator<Item = &'n str>) -> Vec<u16> {
    let mut to = vec![names.len() as u16; vocabulary.names().len() + 1];
    for (index, name) in names.enumerate() {
        if let Some(code) = vocabulary.code(name) {
            to[code as usize] = index as u16;
        }
    }
    to
}

impl<'a> Sweep<'a> {
    /// A sweep that emits the plan's features for these timelines.
    ///
    /// # Panics
    /// When the timelines lack a numeric extra that a declared feature is about: they were read for another plan.
    pub fn new(plan: &'a Plan, timelines: &Timelines) -> Self {
        let vocabularies = &timelines.vocabularies;
        let mut features = plan.everything();
        let names: BTreeSet<String> = plan.features().into_iter().map(|feature| feature.name).collect();
        let families: BTreeSet<String> = features
            .iter()
            .filter(|feature| names.contains(&feature.name))
            .map(|feature| feature.family.clone())
            .collect();
        features.retain(|feature| families.contains(&feature.family));
        let wanted: Vec<usize> = (0..features.len()).filter(|&index| names.contains(&features[index].name)).collect();
        let wanted = (wanted.len() < features.len()).then_some(wanted);
        let declared = match families.contains("declared") {
            true => declared::Compiled::new(plan, vocabularies, &timelines.numbers),
            false => declared::Compiled::default(),
        };
        let roles = RoleCodes::new(&plan.roles, vocabularies.event.names());
        let of_kind = |(code, kind): (usize, u16)| {
            let (roles, begins) = roles.of(code as u16);
            OfKind { kind, roles, begins }
        };
        let kinds = translation(&vocabularies.event, plan.kinds.iter().map(|kind| kind.event.as_str()));
        Self {
            plan,
            declared,
            of_kind: kinds.into_iter().enumerate().map(of_kind).collect(),
            category_of: translation(&vocabularies.category, plan.categories.iter().map(|group| group.name.as_str())),
            channel_of: translation(&vocabularies.channel, plan.channels.iter().map(|group| group.name.as_str())),
            point_codes: families.contains("sequence").then(|| PointCodes::new(&plan.contacts, vocabularies)),
            sequence: sequence::Tables::new(&plan.contacts),
            numbers: numbers::Columns::new(plan, &timelines.numbers),
            discount: plan.discount.as_deref().and_then(|name| numbers::position(name, &timelines.numbers)),
            attributes: attributes::Columns::new(plan, &timelines.attributes),
            families,
            computed: features.len(),
            wants: features.into_iter().map(|feature| (feature.family, names.contains(&feature.name))).collect(),
            wanted,
        }
    }

    /// Number of features in a row.
    pub fn width(&self) -> usize {
        self.wanted.as_ref().map_or(self.computed, Vec::len)
    }

    /// Whether each feature of a family is wanted; `None` when none is.
    fn wants_of(&self, family: &str) -> Option<Vec<bool>> {
        let wanted = self.wants.iter().filter(|(of, _)| of == family).map(|&(_, is_wanted)| is_wanted);
        self.families.contains(family).then(|| wanted.collect())
    }

    /// The state of a family whose features are wanted.
    fn state<State: Default>(&self, family: &str) -> Option<State> {
        self.families.contains(family).then(State::default)
    }

    /// A walker with buffers of its own; one a thread.
    pub fn walker(&self) -> Walker<'_> {
        Walker {
            sweep: self,
            boundaries: Boundaries::default(),
            recency: self.wants_of("recency").map(|wanted| recency::State::new(&wanted)),
            purchases: self.state("purchases"),
            cadence: self.wants_of("cadence").map(|wanted| cadence::State::new(&wanted)),
            first_order: self.state("first_order"),
            activity: self.wants_of("activity").map(|wanted| activity::State::new(&wanted)),
            windows: self.wants_of("windows").map(|wanted| windows::State::new(self.plan, &wanted)),
            pace: self.state("pace"),
            decay: self.state("decay"),
            clock: self.state("clock"),
            sessions: self.state("sessions"),
            affinity: self.state("affinity"),
            interest: self.state("interest"),
            unfinished: self.state("unfinished"),
            response: self.state("response"),
            sequence: self.state("sequence"),
            numbers: self.state("numbers"),
            attributes: self.state("attributes"),
            declared: self.state("declared"),
            marks: Vec::new(),
            orders: Vec::new(),
            known: EventColumns::default(),
            row: vec![0.0; self.computed],
            picked: Vec::new(),
        }
    }

    fn codes(&self) -> Codes<'_> {
        let Self { of_kind, category_of, channel_of, point_codes, .. } = self;
        Codes { of_kind, category_of, channel_of, points: point_codes.as_ref() }
    }
}

/// What the plan makes of the codes of events.
#[derive(Clone, Copy)]
struct Codes<'s> {
    of_kind: &'s [OfKind],
    category_of: &'s [u16],
    channel_of: &'s [u16],
    points: Option<&'s PointCodes>,
}

impl Codes<'_> {
    /// What the plan makes of an event; what it begins is not known yet.
    #[inline(always)]
    fn marks(self, event: &Event) -> Marks {
        // What is lacking has the highest code of all: cut down to the last there is.
        let OfKind { kind, roles, begins } = self.of_kind[(event.kind as usize).min(self.of_kind.len() - 1)];
        Marks {
            day: event.day(),
            order_of_day: 0,
            kind,
            category: self.category_of[(event.category as usize).min(self.category_of.len() - 1)],
            channel: self.channel_of[(event.channel as usize).min(self.channel_of.len() - 1)],
            point: self.points.map_or(0, |points| points.of(event.kind, event.channel) as u8),
            begins,
            roles,
            has_category: event.category != NO_CATEGORY,
            is_order_line: kind == 0 && is_order_line(event),
            begins_day: false,
            begins_order_day: false,
            begins_order: false,
        }
    }
}

/// Whether an event of the order event's kind is a line of an order: refunds are not.
pub(crate) fn is_order_line(event: &Event) -> bool {
    event.value.is_nan() || event.value >= 0.0
}

/// Walks over timelines, one after another.
pub struct Walker<'a> {
    sweep: &'a Sweep<'a>,
    boundaries: Boundaries,
    recency: Option<recency::State>,
    purchases: Option<purchases::State>,
    cadence: Option<cadence::State>,
    first_order: Option<first_order::State>,
    activity: Option<activity::State>,
    windows: Option<windows::State>,
    pace: Option<pace::State>,
    decay: Option<decay::State>,
    clock: Option<clock::State>,
    sessions: Option<sessions::State>,
    affinity: Option<affinity::State>,
    interest: Option<interest::State>,
    unfinished: Option<unfinished::State>,
    response: Option<response::State>,
    sequence: Option<sequence::State>,
    numbers: Option<numbers::State>,
    attributes: Option<attributes::State>,
    declared: Option<declared::State>,
    marks: Vec<Marks>,
    /// Positions of the events that were observed last and are of the order event's kind.
    orders: Vec<usize>,
    known: EventColumns,
    /// Features of all families that are computed.
    row: Vec<f64>,
    /// Room for those that are wanted, where not all are.
    picked: Vec<f64>,
}

impl Walker<'_> {
    /// Calls `emit` with the index of a cut-off and its row, for each of `as_ofs` (ascending) at which
    /// anything is known of the customer.
    pub fn walk(&mut self, timeline: Timeline, as_ofs: &[Day], mut emit: impl FnMut(usize, &[f64])) {
        let mut picked = std::mem::take(&mut self.picked);
        self.walk_unpicked(timeline, as_ofs, |index, row| match row.wanted {
            None => emit(index, row.values),
            Some(_) => {
                picked.clear();
                row.append_to(&mut picked, |value| value);
                emit(index, &picked);
            }
        });
        self.picked = picked;
    }

    /// The same, with rows from which the wanted features are still to be picked.
    pub(super) fn walk_unpicked(&mut self, timeline: Timeline, as_ofs: &[Day], mut emit: impl FnMut(usize, Computed)) {
        if timeline.has_late() {
            // What is known is no longer a prefix: each cut-off walks over its own events.
            for (index, &as_of) in as_ofs.iter().enumerate() {
                let mut known = std::mem::take(&mut self.known);
                known.keep_known(timeline, as_of);
                self.walk_in_time(known.timeline().of_the_same(timeline), &[as_of], |_, row| emit(index, row));
                self.known = known;
            }
        } else {
            self.walk_in_time(timeline, as_ofs, emit);
        }
    }

    fn walk_in_time(&mut self, timeline: Timeline, as_ofs: &[Day], mut emit: impl FnMut(usize, Computed)) {
        let plan = self.sweep.plan;
        self.boundaries.reset();
        each!(self,
            recency.reset(plan);
            purchases.reset(plan);
            cadence.reset();
            first_order.reset();
            activity.reset(plan);
            decay.reset();
            clock.reset();
            sessions.reset(plan);
            affinity.reset(plan);
            interest.reset(plan);
            unfinished.reset(plan);
            response.reset();
            sequence.reset(plan);
            numbers.reset(plan);
            declared.reset(&self.sweep.declared);
        );
        self.marks.clear();
        let mut passed = 0;
        for (index, &as_of) in as_ofs.iter().enumerate() {
            let end = timeline.before_from(passed, as_of);
            if end > passed {
                self.observe(timeline, passed..end);
            }
            passed = end;
            if passed > 0 {
                self.fill_row(as_of, timeline, passed);
                emit(index, Computed { values: &self.row, wanted: self.sweep.wanted.as_deref() });
            }
        }
    }

    /// Shows the families events that follow those they have seen.
    fn observe(&mut self, timeline: Timeline, new: Range<usize>) {
        let plan = self.sweep.plan;
        let (codes, boundaries) = (self.sweep.codes(), &mut self.boundaries);
        self.orders.resize(new.len(), 0);
        let (orders, mut n_orders) = (self.orders.as_mut_slice(), 0);
        // All that is done for every event goes without a jump that nobody foresees.
        let mut last_day = boundaries.last_day();
        let marked = |(index, event)| {
            let mut marks = codes.marks(event);
            marks.begins_day = last_day.replace(marks.day) != Some(marks.day);
            orders[n_orders] = index;
            n_orders += usize::from(marks.kind == 0);
            marks
        };
        self.marks.extend(new.clone().zip(&timeline.events[new.clone()]).map(marked));
        boundaries.pass(last_day);
        self.orders.truncate(n_orders);
        for &index in &self.orders {
            boundaries.mark(&mut self.marks[index], || timeline.detail(index).order);
        }
        let (events, marks) = (&timeline.events[new.clone()], &self.marks[new.clone()]);
        let of = |(index, (event, marks))| Step { event, timeline, index, marks };
        let steps = || new.clone().zip(events.iter().zip(marks)).map(of);
        // Most events are no orders: who asks about these alone is not shown the others.
        let (all_marks, orders) = (&self.marks, &self.orders);
        let of_order = |&index: &usize| of((index, (&timeline.events[index], &all_marks[index])));
        let order_steps = || orders.iter().map(of_order);
        if let (Some(cadence), Some(first)) = (&mut self.cadence, marks.first()) {
            cadence.know_since(first.day);
        }
        each!(self,
            recency.observe_all(events);
            activity.observe_all(events.len());
            interest.observe_all(marks);
        );
        each_step!(self, order_steps(), step;
            recency.observe_order(&step);
            purchases.observe(self.sweep.discount, &step);
            cadence.observe(&step);
            first_order.observe(&step);
        );
        if let Some(purchases) = &mut self.purchases
            && purchases.counts_others()
        {
            steps().for_each(|step| purchases.observe_other(&step));
        }
        if let Some(declared) = &mut self.declared
            && self.sweep.declared.keeps_events()
        {
            steps().for_each(|step| declared.observe(&self.sweep.declared, &step));
        }
        if let Some(recency) = &mut self.recency
            && recency.observes_kinds()
        {
            steps().for_each(|step| recency.observe(&step));
        }
        if let Some(activity) = &mut self.activity
            && activity.observes_each()
        {
            steps().for_each(|step| activity.observe(&step));
        }
        each_step!(self, steps(), step;
            decay.observe(&step);
            clock.observe(&step);
            sessions.observe(plan, &step);
            affinity.observe(plan, &step);
            unfinished.observe(&step);
            response.observe(&step);
            sequence.observe(&self.sweep.sequence, &step);
            numbers.observe(&self.sweep.numbers, &step);
        );
    }

    fn fill_row(&mut self, as_of: Day, timeline: Timeline, passed: usize) {
        let plan = self.sweep.plan;
        let events = &timeline.events[..passed];
        let mut row = Row { values: &mut self.row, next: 0 };
        each!(self,
            recency.emit(plan, as_of, &mut row);
            purchases.emit(plan, self.sweep.discount.is_some(), &mut row);
            cadence.emit(plan, as_of, &mut row);
            first_order.emit(plan, &mut row);
            activity.emit(plan, &mut row);
            windows.emit(plan, as_of, events, &self.marks, &mut row);
            pace.emit(plan, as_of, events, &self.marks, &mut row);
            decay.emit(plan, as_of, &mut row);
            clock.emit(plan, &mut row);
            sessions.emit(plan, as_of, &mut row);
            affinity.emit(plan, as_of, events, &self.marks, &mut row);
            interest.emit(&mut row);
            unfinished.emit(plan, as_of, events, &self.marks, &mut row);
            response.emit(plan, as_of, &self.marks, &mut row);
            sequence.emit(plan, as_of, &mut row);
            numbers.emit(as_of, &mut row);
            attributes.emit(&self.sweep.attributes, timeline.attributes_at(as_of), &mut row);
            declared.emit(&self.sweep.declared, as_of, events, &mut row);
        );
        assert_eq!(row.next, row.values.len(), "every declared feature is emitted");
    }
}
