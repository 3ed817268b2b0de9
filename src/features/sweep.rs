//! The sweep: one walk over a timeline, oldest to newest, that emits the row of every cut-off as it passes it.

use super::boundaries::Boundaries;
use super::catalogue::Plan;
use super::{activity, affinity, cadence, clock, decay, first_order, pace, purchases, recency, sessions, windows};
use crate::time::Day;
use crate::timeline::{Detail, Event, EventColumns, NO_CATEGORY, NO_CODE, Timeline, Vocabularies, Vocabulary};

/// An event with its codes translated into the plan's.
pub(super) struct Step<'a> {
    pub(super) event: &'a Event,
    detail: Detail,
    pub(super) day: Day,
    /// Index into the plan's kinds, or their number: some other kind. The order event is 0.
    pub(super) kind: usize,
    /// Index into the plan's categories, or their number: some other or none.
    pub(super) category: usize,
    pub(super) has_category: bool,
    /// Index into the plan's channels, or their number: some other or none.
    pub(super) channel: usize,
    /// A line of an order: the order event, and no refund.
    pub(super) is_order_line: bool,
    pub(super) begins_day: bool,
    /// First order line of its day.
    pub(super) begins_order_day: bool,
    pub(super) begins_order: bool,
    /// Position of an order line's order among those of its day.
    pub(super) order_of_day: usize,
}

impl Step<'_> {
    /// Money; 0 where there is none.
    pub(super) fn money(&self) -> f64 {
        if self.event.value.is_nan() { 0.0 } else { self.event.value }
    }

    /// Hash of the order id, 0 where there is none.
    pub(super) fn order(&self) -> u64 {
        self.detail.order
    }

    /// Hash of the product, 0 where there is none.
    pub(super) fn product(&self) -> u32 {
        self.detail.product
    }

    /// Units; NaN where there are none.
    pub(super) fn quantity(&self) -> f32 {
        self.detail.quantity
    }

    /// Code of the device, or [`NO_CODE`].
    pub(super) fn device(&self) -> u16 {
        self.detail.device
    }

    /// Code of the campaign, or [`NO_CODE`].
    pub(super) fn campaign(&self) -> u16 {
        self.detail.campaign
    }
}

/// What looking back needs to know of an event that has been walked over.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) day: Day,
    pub(super) kind: u16,
    pub(super) category: u16,
    pub(super) is_order_line: bool,
    pub(super) begins_order: bool,
    pub(super) begins_day: bool,
}

/// One row while it is filled.
pub(super) struct Row<'a> {
    values: &'a mut [f32],
    next: usize,
}

impl Row<'_> {
    pub(super) fn push(&mut self, value: f64) {
        self.values[self.next] = value as f32;
        self.next += 1;
    }
}

/// A plan made ready for the codes of one set of timelines.
pub struct Sweep<'a> {
    plan: &'a Plan,
    kind_of: Vec<u16>,
    category_of: Vec<u16>,
    channel_of: Vec<u16>,
    width: usize,
}

fn translation<'n>(vocabulary: &Vocabulary, names: impl ExactSizeIterator<Item = &'n str>) -> Vec<u16> {
    let mut to = vec![names.len() as u16; vocabulary.names().len()];
    for (index, name) in names.enumerate() {
        if let Some(code) = vocabulary.code(name) {
            to[code as usize] = index as u16;
        }
    }
    to
}

impl<'a> Sweep<'a> {
    /// A sweep that emits the plan's features for timelines with these vocabularies.
    pub fn new(plan: &'a Plan, vocabularies: &Vocabularies) -> Self {
        Self {
            plan,
            kind_of: translation(&vocabularies.event, plan.kinds.iter().map(|kind| kind.event.as_str())),
            category_of: translation(&vocabularies.category, plan.categories.iter().map(|group| group.name.as_str())),
            channel_of: translation(&vocabularies.channel, plan.channels.iter().map(|group| group.name.as_str())),
            width: plan.features().len(),
        }
    }

    /// Number of features in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A walker with buffers of its own; one a thread.
    pub fn walker(&self) -> Walker<'_> {
        Walker {
            sweep: self,
            boundaries: Boundaries::default(),
            recency: recency::State::default(),
            purchases: purchases::State::default(),
            cadence: cadence::State::default(),
            first_order: first_order::State::default(),
            activity: activity::State::default(),
            windows: windows::State::default(),
            pace: pace::State::default(),
            decay: decay::State::default(),
            clock: clock::State::default(),
            sessions: sessions::State::default(),
            affinity: affinity::State::default(),
            marks: Vec::new(),
            known: EventColumns::default(),
            row: vec![0.0; self.width],
        }
    }

    fn step<'e>(&self, timeline: Timeline<'e>, index: usize) -> Step<'e> {
        let event = &timeline.events[index];
        // An event without a name is known to have happened, as some other kind.
        let kind = self.kind_of.get(event.kind as usize).map_or(self.plan.kinds.len(), |&kind| kind as usize);
        let has_category = event.category != NO_CATEGORY;
        Step {
            event,
            detail: timeline.detail(index),
            day: event.day(),
            kind,
            category: if has_category {
                self.category_of[event.category as usize] as usize
            } else {
                self.plan.categories.len()
            },
            has_category,
            channel: if event.channel == NO_CODE {
                self.plan.channels.len()
            } else {
                self.channel_of[event.channel as usize] as usize
            },
            is_order_line: kind == 0 && is_order_line(event),
            begins_day: false,
            begins_order_day: false,
            begins_order: false,
            order_of_day: 0,
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
    recency: recency::State,
    purchases: purchases::State,
    cadence: cadence::State,
    first_order: first_order::State,
    activity: activity::State,
    windows: windows::State,
    pace: pace::State,
    decay: decay::State,
    clock: clock::State,
    sessions: sessions::State,
    affinity: affinity::State,
    marks: Vec<Marks>,
    known: EventColumns,
    row: Vec<f32>,
}

impl Walker<'_> {
    /// Calls `emit` with the index of a cut-off and its row, for each of `as_ofs` (ascending) at which
    /// anything is known of the customer.
    pub fn walk(&mut self, timeline: Timeline, as_ofs: &[Day], mut emit: impl FnMut(usize, &[f32])) {
        if timeline.has_late() {
            // What is known is no longer a prefix: each cut-off walks over its own events.
            for (index, &as_of) in as_ofs.iter().enumerate() {
                let mut known = std::mem::take(&mut self.known);
                known.keep_known(timeline, as_of);
                self.walk_in_time(known.timeline(), &[as_of], |_, row| emit(index, row));
                self.known = known;
            }
        } else {
            self.walk_in_time(timeline, as_ofs, emit);
        }
    }

    fn walk_in_time(&mut self, timeline: Timeline, as_ofs: &[Day], mut emit: impl FnMut(usize, &[f32])) {
        let plan = self.sweep.plan;
        self.boundaries.reset();
        self.recency.reset(plan);
        self.purchases.reset(plan);
        self.cadence.reset();
        self.first_order.reset();
        self.activity.reset(plan);
        self.decay.reset();
        self.clock.reset();
        self.sessions.reset(plan);
        self.affinity.reset(plan);
        self.marks.clear();
        let mut passed = 0;
        for (index, &as_of) in as_ofs.iter().enumerate() {
            let end = as_of.start_micros();
            while passed < timeline.len() && timeline.events[passed].time < end {
                self.observe(timeline, passed);
                passed += 1;
            }
            if passed > 0 {
                self.fill_row(as_of, &timeline.events[..passed]);
                emit(index, &self.row);
            }
        }
    }

    fn observe(&mut self, timeline: Timeline, index: usize) {
        let plan = self.sweep.plan;
        let mut step = self.sweep.step(timeline, index);
        self.boundaries.mark(&mut step);
        self.recency.observe(&step);
        self.purchases.observe(&step);
        self.cadence.observe(&step);
        self.first_order.observe(&step);
        self.activity.observe(&step);
        self.decay.observe(&step);
        self.clock.observe(&step);
        self.sessions.observe(plan, &step);
        self.affinity.observe(plan, &step);
        self.marks.push(Marks {
            day: step.day,
            kind: step.kind as u16,
            category: step.category as u16,
            is_order_line: step.is_order_line,
            begins_order: step.begins_order,
            begins_day: step.begins_day,
        });
    }

    fn fill_row(&mut self, as_of: Day, events: &[Event]) {
        let plan = self.sweep.plan;
        let mut row = Row { values: &mut self.row, next: 0 };
        self.recency.emit(as_of, &mut row);
        self.purchases.emit(plan, &mut row);
        self.cadence.emit(plan, as_of, &mut row);
        self.first_order.emit(plan, &mut row);
        self.activity.emit(&mut row);
        self.windows.emit(plan, as_of, events, &self.marks, &mut row);
        self.pace.emit(plan, as_of, events, &self.marks, &mut row);
        self.decay.emit(plan, as_of, &mut row);
        self.clock.emit(plan, &mut row);
        self.sessions.emit(plan, as_of, &mut row);
        self.affinity.emit(plan, as_of, events, &self.marks, &mut row);
        debug_assert_eq!(row.next, row.values.len(), "every declared feature is emitted");
    }
}
