//! One customer's event as the sweep sees it, and columns of many: what the data lack takes no room.

use std::ops::Range;

use super::attributes::AttributesOfCustomer;
use super::{NO_CATEGORY, NO_CODE};
use crate::time::{DAY_MICROS, Day};

/// What every event has, 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Wall time in microseconds.
    pub time: i64,
    /// Money, signed; NaN where there is none.
    pub value: f64,
    /// Code in [`Vocabularies::category`](super::Vocabularies::category), or [`NO_CATEGORY`].
    pub category: u32,
    /// Code in [`Vocabularies::event`](super::Vocabularies::event), or [`NO_CODE`].
    pub kind: u16,
    /// Code in [`Vocabularies::channel`](super::Vocabularies::channel), or [`NO_CODE`].
    pub channel: u16,
}

const _: () = assert!(size_of::<Event>() == 24);

impl Default for Event {
    fn default() -> Self {
        Self { time: 0, value: f64::NAN, category: NO_CATEGORY, kind: NO_CODE, channel: NO_CODE }
    }
}

impl Event {
    /// The day on which it happened.
    #[inline]
    pub fn day(&self) -> Day {
        Day::of_wall(self.time)
    }
}

/// What only some data tell of an event, 24 bytes; kept when any file has one of these columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detail {
    /// Hash of the order id, 0 where there is none: compared only within one customer's day.
    pub order: u64,
    /// Hash of the product, 0 where there is none.
    pub product: u32,
    /// Units; NaN where there are none.
    pub quantity: f32,
    /// Day on which it was received, never before the day of the event.
    pub received: i32,
    /// Code in [`Vocabularies::device`](super::Vocabularies::device), or [`NO_CODE`].
    pub device: u16,
    /// Code in [`Vocabularies::campaign`](super::Vocabularies::campaign), or [`NO_CODE`].
    pub campaign: u16,
}

const _: () = assert!(size_of::<Detail>() == 24);

impl Detail {
    /// Of an event that happened on `day` and tells nothing more.
    pub fn none(day: Day) -> Self {
        Self { order: 0, product: 0, quantity: f32::NAN, received: day.0, device: NO_CODE, campaign: NO_CODE }
    }
}

/// Events of one customer, oldest first: a view of [`EventColumns`].
#[derive(Debug, Clone, Copy)]
pub struct Timeline<'a> {
    /// What every event has.
    pub events: &'a [Event],
    details: &'a [Detail],
    numbers: &'a [f64],
    n_numbers: usize,
    conditions: &'a [u64],
    attributes: AttributesOfCustomer<'a>,
}

impl<'a> Timeline<'a> {
    pub(super) fn with(self, attributes: AttributesOfCustomer<'a>) -> Self {
        Self { attributes, ..self }
    }

    /// The same events, of the customer of another timeline.
    pub fn of_the_same<'b>(self, other: Timeline<'b>) -> Timeline<'b>
    where
        'a: 'b,
    {
        Timeline { attributes: other.attributes, ..self }
    }

    /// What is known of the customer at the start of `as_of`: a value for each of
    /// [`Timelines::attributes`](super::Timelines::attributes), a code for text, NaN where there is none.
    pub fn attributes_at(&self, as_of: Day) -> Option<&'a [f64]> {
        self.attributes.at(as_of)
    }

    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What else is known of an event.
    #[inline]
    pub fn detail(&self, index: usize) -> Detail {
        self.details.get(index).copied().unwrap_or_else(|| Detail::none(self.events[index].day()))
    }

    /// The numeric extras of an event, in the order of [`Timelines::numbers`](super::Timelines::numbers); NaN where there is none.
    #[inline]
    pub fn numbers(&self, index: usize) -> &'a [f64] {
        &self.numbers[index * self.n_numbers..(index + 1) * self.n_numbers]
    }

    /// Which declared conditions hold of an event, one bit each.
    #[inline]
    pub fn conditions(&self, index: usize) -> u64 {
        self.conditions.get(index).copied().unwrap_or(0)
    }

    /// Whether an event is known at the start of `as_of`: it happened before, and was received before.
    #[inline]
    pub fn is_known_at(&self, index: usize, as_of: Day) -> bool {
        self.events[index].time < as_of.start_micros() && self.details.get(index).is_none_or(|d| d.received < as_of.0)
    }

    /// Number of events that happened before the start of `as_of`, known then or not.
    #[inline]
    pub fn before(&self, as_of: Day) -> usize {
        self.before_from(0, as_of)
    }

    /// The same, where it is known that the first `passed` did.
    #[inline]
    pub(crate) fn before_from(&self, passed: usize, as_of: Day) -> usize {
        let end = as_of.start_micros();
        match self.events.last() {
            Some(last) if last.time >= end => passed + self.events[passed..].partition_point(|event| event.time < end),
            _ => self.len(),
        }
    }

    /// Positions of the events known at the start of `as_of`, oldest first.
    #[inline]
    pub fn known_at(self, as_of: Day) -> impl Iterator<Item = usize> {
        (0..self.before(as_of)).filter(move |&i| self.details.get(i).is_none_or(|detail| detail.received < as_of.0))
    }

    /// Whether more is known of events than [`Event`] tells.
    #[inline]
    pub fn has_details(&self) -> bool {
        !self.details.is_empty()
    }

    /// Whether any event arrived on a later day than it happened.
    #[inline]
    pub fn has_late(&self) -> bool {
        let is_late =
            |(event, detail): (&Event, &Detail)| i64::from(detail.received) > event.time.div_euclid(DAY_MICROS);
        self.events.iter().zip(self.details).any(is_late)
    }
}

/// Events side by side. Columns that the data lack are empty.
#[derive(Debug, Default, Clone)]
pub struct EventColumns {
    pub(super) events: Vec<Event>,
    /// One for each event, or none at all.
    pub(super) details: Vec<Detail>,
    /// `n_numbers` for each event.
    pub(super) numbers: Vec<f64>,
    pub(super) n_numbers: usize,
    /// One for each event, or none at all.
    pub(super) conditions: Vec<u64>,
}

/// Which columns there are beside the events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) details: bool,
    pub(super) numbers: usize,
    pub(super) conditions: bool,
}

impl Shape {
    /// Bytes of one event.
    pub(super) fn event_bytes(self) -> usize {
        24 + if self.details { 24 } else { 0 } + 8 * self.numbers + if self.conditions { 8 } else { 0 }
    }
}

/// Room that is kept is not doubled to hold a little more.
fn resize_exactly<T: Clone>(column: &mut Vec<T>, n: usize, value: T) {
    column.reserve_exact(n.saturating_sub(column.len()));
    column.resize(n, value);
}

impl EventColumns {
    /// Room for `n` events, all of which are to be filled: what stood there before may still do.
    pub(super) fn reset(&mut self, shape: Shape, n: usize) {
        resize_exactly(&mut self.events, n, Event::default());
        self.reset_beside(shape, n);
    }

    /// The same of the columns beside the events alone.
    pub(super) fn reset_beside(&mut self, shape: Shape, n: usize) {
        resize_exactly(&mut self.details, if shape.details { n } else { 0 }, Detail::none(Day(0)));
        self.n_numbers = shape.numbers;
        resize_exactly(&mut self.numbers, n * shape.numbers, f64::NAN);
        resize_exactly(&mut self.conditions, if shape.conditions { n } else { 0 }, 0);
    }

    pub(super) fn reserve(&mut self, more: usize, shape: Shape) {
        self.events.reserve(more);
        self.details.reserve(if shape.details { more } else { 0 });
        self.numbers.reserve(more * shape.numbers);
        self.conditions.reserve(if shape.conditions { more } else { 0 });
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Makes room for details, which say nothing of the events so far.
    pub(super) fn widen(&mut self, shape: Shape) {
        if shape.details && self.details.len() < self.events.len() {
            self.details.extend(self.events[self.details.len()..].iter().map(|event| Detail::none(event.day())));
        }
        self.n_numbers = shape.numbers;
        self.numbers.resize(self.events.len() * shape.numbers, f64::NAN);
        if shape.conditions {
            self.conditions.resize(self.events.len(), 0);
        }
    }

    /// A view of some of the events.
    pub(super) fn slice(&self, range: Range<usize>) -> Timeline<'_> {
        let of = |column: usize| if column == 0 { 0..0 } else { range.clone() };
        Timeline {
            events: &self.events[range.clone()],
            details: &self.details[of(self.details.len())],
            numbers: &self.numbers[range.start * self.n_numbers..range.end * self.n_numbers],
            n_numbers: self.n_numbers,
            conditions: &self.conditions[of(self.conditions.len())],
            attributes: AttributesOfCustomer::default(),
        }
    }

    /// All of the events.
    pub fn timeline(&self) -> Timeline<'_> {
        self.slice(0..self.len())
    }

    /// Appends events that have the same columns.
    pub(super) fn extend(&mut self, from: Timeline<'_>) {
        self.n_numbers = from.n_numbers;
        self.events.extend_from_slice(from.events);
        self.details.extend_from_slice(from.details);
        self.numbers.extend_from_slice(from.numbers);
        self.conditions.extend_from_slice(from.conditions);
    }

    /// Appends events whose other columns stand in `range` of `beside`.
    pub(super) fn extend_beside(&mut self, events: impl Iterator<Item = Event>, beside: &Self, range: Range<usize>) {
        let n = beside.n_numbers;
        let of = |column: usize| if column == 0 { 0..0 } else { range.clone() };
        self.n_numbers = n;
        self.events.extend(events);
        self.details.extend_from_slice(&beside.details[of(beside.details.len())]);
        self.numbers.extend_from_slice(&beside.numbers[range.start * n..range.end * n]);
        self.conditions.extend_from_slice(&beside.conditions[of(beside.conditions.len())]);
    }

    /// Copies each event to its slot in `to`, which has the same columns and as many events; `event` and `detail` are
    /// what becomes of them.
    pub(super) fn scatter(
        &self,
        slots: &[u32],
        to: &mut Self,
        event: impl Fn(&Event) -> Event,
        detail: impl Fn(&Detail) -> Detail,
    ) {
        for (from, &slot) in self.events.iter().zip(slots) {
            to.events[slot as usize] = event(from);
        }
        for (from, &slot) in self.details.iter().zip(slots) {
            to.details[slot as usize] = detail(from);
        }
        let n = self.n_numbers;
        if n > 0 {
            for (from, &slot) in self.numbers.chunks_exact(n).zip(slots) {
                to.numbers[slot as usize * n..(slot as usize + 1) * n].copy_from_slice(from);
            }
        }
        for (&from, &slot) in self.conditions.iter().zip(slots) {
            to.conditions[slot as usize] = from;
        }
    }

    /// Puts event `from` of `other`, which has the same columns, in place `to`.
    pub(super) fn put(&mut self, to: usize, other: &Self, from: usize) {
        self.events[to] = other.events[from];
        if !other.details.is_empty() {
            self.details[to] = other.details[from];
        }
        let n = self.n_numbers;
        if n > 0 {
            self.numbers[to * n..(to + 1) * n].copy_from_slice(&other.numbers[from * n..(from + 1) * n]);
        }
        if !other.conditions.is_empty() {
            self.conditions[to] = other.conditions[from];
        }
    }

    /// Takes the place of these columns' content: the events of `timeline` that are known at `as_of`.
    pub fn keep_known(&mut self, timeline: Timeline<'_>, as_of: Day) {
        self.events.clear();
        self.details.clear();
        self.numbers.clear();
        self.conditions.clear();
        self.n_numbers = timeline.n_numbers;
        for index in timeline.known_at(as_of) {
            self.events.push(timeline.events[index]);
            self.details.extend(timeline.details.get(index));
            self.numbers.extend_from_slice(timeline.numbers(index));
            self.conditions.extend(timeline.conditions.get(index));
        }
    }

    pub(super) fn shape(&self) -> Shape {
        Shape { details: !self.details.is_empty(), numbers: self.n_numbers, conditions: !self.conditions.is_empty() }
    }

    /// Bytes that are set aside.
    pub(super) fn capacity_bytes(&self) -> usize {
        24 * (self.events.capacity() + self.details.capacity())
            + 8 * (self.numbers.capacity() + self.conditions.capacity())
    }
}
