//! What the events known at a day hold: counted once, to choose the columns of a catalogue.

use hashbrown::HashMap;

use super::sweep::is_order_line;
use crate::time::Day;
use crate::timeline::{Event, NO_CATEGORY, NO_CODE, Partition, SpillError, Timeline, Timelines};

/// Pairs are counted in a table of at most this many cells, in a map beyond.
const MOST_CELLS: usize = 1 << 16;

/// How often each kind of event occurs with each code of another column, such as the category.
pub(super) enum Pairs {
    /// Kind × code. A tally has one more of each, for events without.
    Table { codes: usize, counts: Vec<u64> },
    /// Those that occur.
    Map(HashMap<(u16, u32), u64>),
}

impl Pairs {
    pub(super) fn new(kinds: usize, codes: usize) -> Self {
        if kinds.saturating_mul(codes) <= MOST_CELLS {
            Self::Table { codes, counts: vec![0; kinds * codes] }
        } else {
            Self::Map(HashMap::new())
        }
    }

    pub(super) fn take(&mut self, kind: u16, code: u32) {
        match self {
            Self::Table { codes, counts } => counts[kind as usize * *codes + code as usize] += 1,
            Self::Map(counts) => *counts.entry((kind, code)).or_default() += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Table { counts, .. }, Self::Table { counts: more, .. }) => {
                counts.iter_mut().zip(more).for_each(|(sum, count)| *sum += count);
            }
            (Self::Map(counts), Self::Map(more)) => {
                more.into_iter().for_each(|(pair, count)| *counts.entry(pair).or_default() += count);
            }
            _ => unreachable!("made for the same vocabularies"),
        }
    }

    /// How often a kind occurs with a code.
    pub(super) fn count(&self, kind: u16, code: u32) -> u64 {
        match self {
            Self::Table { codes, counts } => counts[kind as usize * codes + code as usize],
            Self::Map(counts) => counts.get(&(kind, code)).copied().unwrap_or(0),
        }
    }

    /// Those that occur, in no order.
    pub(super) fn counted(&self) -> Vec<((u16, u32), u64)> {
        match self {
            Self::Table { codes, counts } => {
                let pair = |cell: usize| ((cell / codes) as u16, (cell % codes) as u32);
                let occurs = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                occurs.map(|(cell, &count)| (pair(cell), count)).collect()
            }
            Self::Map(counts) => counts.iter().map(|(&pair, &count)| (pair, count)).collect(),
        }
    }
}

pub(super) struct Tally {
    pub(super) kinds: Vec<u64>,
    /// Kinds of which any event has money. One more tells it of events without a kind, and the last, which tells nothing, is
    /// written to for events without money.
    pub(super) money: Vec<bool>,
    /// Kinds of which any event names a campaign.
    pub(super) campaign: Vec<bool>,
    pub(super) categories: Vec<u64>,
    pub(super) channels: Vec<u64>,
    pub(super) pairs: Pairs,
    /// Gaps between a customer's days with an order, and their days.
    pub(super) gaps: u64,
    pub(super) gap_days: i64,
    /// Whether any event has a time of day.
    pub(super) has_times: bool,
    pub(super) first_day: Option<Day>,
    /// Numeric extras that any event has.
    pub(super) numbers: Vec<bool>,
    /// Of each attribute, how many customers have each of its texts.
    pub(super) attributes: Vec<Vec<u64>>,
    /// Room for the times of one customer's order lines.
    order_times: Vec<i64>,
}

impl Tally {
    fn new(timelines: &Timelines) -> Self {
        let vocabularies = &timelines.vocabularies;
        let kinds = vocabularies.event.names().len();
        let categories = vocabularies.category.names().len();
        Self {
            kinds: vec![0; kinds],
            money: vec![false; kinds + 2],
            campaign: vec![false; kinds],
            categories: vec![0; categories],
            channels: vec![0; vocabularies.channel.names().len()],
            pairs: Pairs::new(kinds + 1, categories + 1),
            gaps: 0,
            gap_days: 0,
            has_times: false,
            first_day: None,
            numbers: vec![false; timelines.numbers.len()],
            attributes: timelines.attributes.iter().map(|attribute| vec![0; attribute.texts.len()]).collect(),
            order_times: Vec::new(),
        }
    }

    /// Counts the events known at `frozen_at`.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub(super) fn of(timelines: &Timelines, order_kind: Option<u32>, frozen_at: Day) -> Result<Self, SpillError> {
        let order_kind = order_kind.map_or(NO_CODE, |code| code as u16);
        let of_part = |mut tally: Self, partition: &Partition| {
            for customer in 0..partition.customers() {
                tally.take(partition.timeline(customer), order_kind, frozen_at);
            }
            tally
        };
        Ok(timelines.fold_parts(|| Self::new(timelines), of_part, Self::add)?.total())
    }

    /// What the pairs tell of each kind and each category; where they are many, that is counted by itself.
    fn total(mut self) -> Self {
        if let Pairs::Table { codes, counts } = &self.pairs {
            for (row, counts) in counts.chunks_exact(*codes).enumerate() {
                if let Some(kind) = self.kinds.get_mut(row) {
                    *kind = counts.iter().sum();
                }
                self.categories.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        self
    }

    fn take(&mut self, timeline: Timeline, order_kind: u16, frozen_at: Day) {
        let events = &timeline.events[..timeline.before(frozen_at)];
        if !self.has_times {
            self.has_times = (0..events.len()).any(|index| {
                events[index].time != events[index].day().start_micros() && timeline.is_known_at(index, frozen_at)
            });
        }
        let first = if timeline.has_details() || !self.numbers.is_empty() {
            self.take_details(&timeline, events, frozen_at);
            let known = || (0..events.len()).filter(|&index| timeline.is_known_at(index, frozen_at));
            self.count(known().map(|index| &events[index]), order_kind);
            known().next().map(|index| &events[index])
        } else {
            self.count(events.iter(), order_kind);
            events.first()
        };
        if let Some(first) = first.map(Event::day) {
            let values = timeline.attributes_at(frozen_at).unwrap_or_default();
            for (counts, value) in self.attributes.iter_mut().zip(values).filter(|(counts, _)| !counts.is_empty()) {
                if !value.is_nan() {
                    counts[*value as usize] += 1;
                }
            }
            self.first_day = Some(self.first_day.map_or(first, |day| day.min(first)));
        }
    }

    /// Sees which campaigns and numbers there are.
    fn take_details(&mut self, timeline: &Timeline, events: &[Event], frozen_at: Day) {
        for (index, event) in events.iter().enumerate().filter(|&(index, _)| timeline.is_known_at(index, frozen_at)) {
            if let Some(names_campaign) = self.campaign.get_mut(event.kind as usize) {
                *names_campaign |= timeline.detail(index).campaign != NO_CODE;
            }
            for (seen, number) in self.numbers.iter_mut().zip(timeline.numbers(index)) {
                *seen |= !number.is_nan();
            }
        }
    }

    /// Counts what every event of one customer has, without a jump that nobody foresees. The code of what it lacks is above
    /// all others.
    #[inline(always)]
    fn count<'e>(&mut self, events: impl Iterator<Item = &'e Event> + Clone, order_kind: u16) {
        if !self.channels.is_empty() {
            for event in events.clone() {
                if let Some(count) = self.channels.get_mut(event.channel as usize) {
                    *count += 1;
                }
            }
        }
        self.order_times.resize(self.order_times.len().max(events.clone().count()), 0);
        let (order_times, mut n_orders) = (self.order_times.as_mut_slice(), 0);
        let (money, without_kind) = (self.money.as_mut_slice(), self.kinds.len());
        let mut count = |event: &Event| {
            let kind = (event.kind as usize).min(without_kind);
            money[if event.value.abs() > 0.0 { kind } else { without_kind + 1 }] = true;
            order_times[n_orders] = event.time;
            n_orders += usize::from((event.kind == order_kind) & is_order_line(event));
            kind
        };
        match &mut self.pairs {
            Pairs::Table { codes, counts } => {
                let (codes, counts) = (*codes, counts.as_mut_slice());
                for event in events {
                    counts[count(event) * codes + (event.category as usize).min(codes - 1)] += 1;
                }
            }
            pairs @ Pairs::Map(_) => {
                for event in events {
                    if let Some(of_kind) = self.kinds.get_mut(count(event)) {
                        *of_kind += 1;
                    }
                    if event.category != NO_CATEGORY {
                        self.categories[event.category as usize] += 1;
                        if event.kind != NO_CODE {
                            pairs.take(event.kind, event.category);
                        }
                    }
                }
            }
        }
        if order_kind != NO_CODE {
            let days = self.order_times[..n_orders].iter().map(|&time| Day::of_wall(time));
            let gaps = days.clone().zip(days.skip(1)).map(|(last, day)| i64::from(day.since(last)));
            for gap in gaps.filter(|&gap| gap != 0) {
                self.gaps += 1;
                self.gap_days += gap;
            }
        }
    }

    fn add(mut self, other: Self) -> Self {
        let sum = |to: &mut Vec<u64>, from: Vec<u64>| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        sum(&mut self.kinds, other.kinds);
        sum(&mut self.categories, other.categories);
        sum(&mut self.channels, other.channels);
        let any = |to: &mut Vec<bool>, from: Vec<bool>| to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
        any(&mut self.money, other.money);
        any(&mut self.campaign, other.campaign);
        any(&mut self.numbers, other.numbers);
        self.attributes.iter_mut().zip(other.attributes).for_each(|(to, from)| sum(to, from));
        self.pairs.add(other.pairs);
        self.gaps += other.gaps;
        self.gap_days += other.gap_days;
        self.has_times |= other.has_times;
        self.first_day = [self.first_day, other.first_day].into_iter().flatten().min();
        self
    }
}
