//! Timelines as segments hold them: loaded a partition at a time, each customer's events of all segments in one order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::block::{decode_events, decode_owners};
use super::segment::{Block, Bytes, Names, Segment};
use crate::time::Day;
use crate::timeline::attributes::Attributes;
use crate::timeline::build::{NARROW_LIMIT, TimelineError};
use crate::timeline::customer::{CustomerId, Customers};
use crate::timeline::event::{EventColumns, Shape};
use crate::timeline::sort::Sorter;
use crate::timeline::spill::{PartOf, SpillError, cut};
use crate::timeline::{NO_CATEGORY, NO_CODE, PARTITIONS, Partition, Vocabularies, Vocabulary};

/// Which events of a store are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownAt {
    /// The day.
    pub(crate) as_of: Day,
    /// Days before it that are left to settle.
    pub(crate) settle_days: u16,
}

/// Code in a segment → code in the view; `u32::MAX` for what is not known yet.
struct Recode {
    /// Of event, category, channel, device and campaign; `None` where codes stay as they are.
    to: [Option<Vec<u32>>; 5],
}

/// Segments seen as one, at a day or whole.
pub(crate) struct View {
    segments: Vec<Arc<Segment>>,
    recodes: Vec<Recode>,
    /// Of each segment, whether all of its events are known.
    all_known: Vec<bool>,
    known_at: Option<KnownAt>,
    shape: Shape,
    attributes: Option<Attributes>,
    parts: Vec<PartOf>,
    at_once: usize,
    /// As many as parts were loaded side by side.
    rooms: Mutex<Vec<Room>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} segments, {} parts)", self.segments.len(), self.parts.len())
    }
}

/// Buffers for a partition while it is loaded.
#[derive(Default)]
struct Room {
    bytes: Bytes,
    runs: Vec<Run>,
    sorter: Sorter,
}

/// Timelines of one block.
#[derive(Default)]
struct Run {
    customers: Customers,
    starts: Vec<usize>,
    events: EventColumns,
    /// The first customer that is not merged yet.
    head: usize,
}

impl View {
    /// Of segments that were written for the same columns. Parts are cut so that all that are loaded side by side fit into
    /// `loaded_bytes`.
    pub(super) fn new(
        segments: Vec<Arc<Segment>>,
        known_at: Option<KnownAt>,
        attributes: Option<Attributes>,
        loaded_bytes: f64,
    ) -> Result<(Self, Vocabularies), TimelineError> {
        let vocabulary = |column: usize| {
            let is_known = |from: i32| known_at.is_none_or(|known| from <= known.as_of.0);
            let of_segment = |segment: &Arc<Segment>| {
                let Names { names, known_from } = &segment.footer.names[column];
                let known = names.iter().zip(known_from).filter(|(_, from)| is_known(**from));
                known.map(|(name, _)| name.clone()).collect::<Vec<String>>()
            };
            let names: BTreeSet<String> = segments.iter().flat_map(of_segment).collect();
            Vocabulary::of_sorted(names.into_iter().collect())
        };
        let [event, category, channel, device, campaign] = std::array::from_fn(vocabulary);
        let narrow = [("event", &event), ("channel", &channel), ("device", &device), ("campaign", &campaign)];
        if let Some((column, _)) = narrow.into_iter().find(|(_, names)| names.names().len() >= NARROW_LIMIT) {
            return Err(TimelineError::TooManyNames { column, limit: NARROW_LIMIT - 1 });
        }
        let vocabularies = Vocabularies { event, category, channel, device, campaign };
        let recodes = segments.iter().map(|segment| Recode::new(&segment.footer.names, &vocabularies)).collect();
        let all_known = |segment: &Arc<Segment>| match (known_at, segment.footer.known_from) {
            (Some(known), Some(from)) => from <= known.as_of.0,
            _ => true,
        };
        // A segment without events has no columns to speak of.
        let shapes = segments.iter().filter(|segment| segment.footer.n_events() > 0);
        let shapes = shapes.map(|segment| segment.footer.shape());
        let both = |a: Shape, b: Shape| Shape {
            details: a.details || b.details,
            numbers: a.numbers.max(b.numbers),
            conditions: a.conditions || b.conditions,
        };
        let shape = shapes.reduce(both).unwrap_or_default();
        let mut events = vec![0; PARTITIONS];
        for block in segments.iter().flat_map(|segment| &segment.footer.blocks) {
            events[block.partition % PARTITIONS] += block.n_events;
        }
        let (parts, at_once) = cut(&events, shape, loaded_bytes);
        let all_known = segments.iter().map(all_known).collect();
        let rooms = Mutex::default();
        let view = Self { segments, recodes, all_known, known_at, shape, attributes, parts, at_once, rooms };
        Ok((view, vocabularies))
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Bytes that stay in memory.
    pub(crate) fn beside(&self) -> usize {
        self.attributes.as_ref().map_or(0, Attributes::bytes)
    }

    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Sorted timelines of a part.
    pub(crate) fn load(&self, part: usize) -> Result<Partition, SpillError> {
        self.load_and_count(self.parts[part]).map(|(partition, _)| partition)
    }

    /// Each partition whole, and how many of its customers have attributes.
    pub(super) fn load_whole(&self, partition: usize) -> Result<(Partition, usize), SpillError> {
        self.load_and_count(PartOf::whole(partition))
    }

    /// Sorted timelines of a part, and how many of its customers have attributes.
    pub(super) fn load_and_count(&self, part: PartOf) -> Result<(Partition, usize), SpillError> {
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let mut partition = self.load_in(part, &mut room)?;
        rooms().push(room);
        let described = self.attributes.as_ref().map_or(0, |attributes| partition.attach(attributes));
        Ok((partition, described))
    }

    /// The timeline of one customer, or of nobody, and how many have attributes.
    pub(super) fn load_customer(&self, id: CustomerId) -> Result<(Partition, usize), SpillError> {
        let hash = id.hash();
        // A part with so many bits holds few others: nobody is kept whose hash is another.
        let part = PartOf::around(hash);
        let loaded = self.load_in(part, &mut Room::default())?;
        let is_asked = |customer: &usize| loaded.hash(*customer) == hash && loaded.id(*customer) == id;
        let mut partition = match (0..loaded.customers()).find(is_asked) {
            Some(customer) => loaded.some(customer..customer + 1),
            None => Partition { starts: vec![0], ..Partition::default() },
        };
        let described = self.attributes.as_ref().map_or(0, |attributes| partition.attach(attributes));
        Ok((partition, described))
    }

    /// The parts into which the view is cut.
    pub(super) fn part_of(&self, part: usize) -> PartOf {
        self.parts[part]
    }

    fn load_in(&self, part: PartOf, room: &mut Room) -> Result<Partition, SpillError> {
        let Room { bytes, runs, sorter } = room;
        let mut n_runs = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            for block in segment.footer.blocks.iter().filter(|block| block.partition == part.partition) {
                // A part is a range of hashes: blocks that end before it, or begin after it, have nothing of it.
                if part.range().end() < &block.hashes.0 || part.range().start() > &block.hashes.1 {
                    continue;
                }
                if runs.len() == n_runs {
                    runs.push(Run::default());
                }
                self.read(at, block, part, bytes, &mut runs[n_runs])?;
                n_runs += usize::from(!runs[n_runs].starts.is_empty() && runs[n_runs].customers.len() > 0);
            }
        }
        let runs = &mut runs[..n_runs];
        if let [run] = runs {
            let Run { customers, starts, events, .. } = std::mem::take(run);
            return Ok(Partition { customers, starts, events, ..Partition::default() });
        }
        Ok(merged(runs, self.shape, sorter))
    }

    /// Decodes a block: its known events in the view's codes.
    fn read(&self, at: usize, block: &Block, part: PartOf, bytes: &mut Bytes, run: &mut Run) -> Result<(), SpillError> {
        let segment = &self.segments[at];
        segment.read(block.owners, bytes)?;
        let owners = decode_owners(&bytes.raw, block.n_customers, block.n_events);
        (run.customers, run.starts) = owners.map_err(|_| segment.garbled(block.owners))?;
        run.head = 0;
        segment.read(block.events, bytes)?;
        let decoded = decode_events(&bytes.raw, block.n_events, segment.footer.shape(), &mut run.events);
        decoded.map_err(|_| segment.garbled(block.events))?;
        run.events.widen(self.shape);
        let is_within = |hash: u64| part.range().contains(&hash);
        if !self.all_known[at] || !is_within(block.hashes.0) || !is_within(block.hashes.1) {
            let known_at = self.known_at.filter(|_| !self.all_known[at]);
            run.keep(known_at, is_within);
        }
        self.recodes[at].apply(&mut run.events).ok_or_else(|| segment.garbled(block.events))?;
        Ok(())
    }
}

impl Run {
    /// Keeps the customers within, and of their events those that are known; who has none is not known either.
    fn keep(&mut self, known_at: Option<KnownAt>, is_within: impl Fn(u64) -> bool) {
        let (before, received) = known_at.map_or((i64::MAX, i32::MAX), |KnownAt { as_of, settle_days }| {
            (as_of.plus(-i32::from(settle_days)).start_micros(), as_of.0)
        });
        let mut customers = Customers::default();
        let mut starts = vec![0];
        let mut kept = EventColumns::default();
        kept.reset(self.events.shape(), 0);
        for customer in 0..self.customers.len() {
            if !is_within(self.customers.hashes[customer]) {
                continue;
            }
            let timeline = self.events.slice(self.starts[customer]..self.starts[customer + 1]);
            let is_known =
                |event: usize| timeline.events[event].time < before && timeline.detail(event).received < received;
            let mut event = 0;
            while event < timeline.len() {
                let start = event;
                while event < timeline.len() && is_known(event) {
                    event += 1;
                }
                let stretch = self.starts[customer] + start..self.starts[customer] + event;
                kept.extend(self.events.slice(stretch));
                event += 1;
            }
            if kept.len() > starts[starts.len() - 1] {
                customers.extend(&self.customers, customer..customer + 1);
                starts.push(kept.len());
            }
        }
        (self.customers, self.starts, self.events) = (customers, starts, kept);
    }
}

/// Customers by hash and id, as [`crate::timeline::sort::sort_timelines`] has them, and each one's events by time.
fn merged(runs: &mut [Run], shape: Shape, sorter: &mut Sorter) -> Partition {
    let mut partition = Partition { starts: vec![0], ..Partition::default() };
    let (n, text) =
        runs.iter().fold((0, 0), |(n, text), run| (n + run.customers.len(), text + run.customers.text.len()));
    partition.customers.reserve(n, text);
    partition.starts.reserve(n);
    partition.events.reset(shape, 0);
    partition.events.reserve(runs.iter().map(|run| run.events.len()).sum(), shape);
    let mut of_one: Vec<usize> = Vec::new();
    loop {
        // The runs that have the next customer.
        of_one.clear();
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| run.head < run.customers.len()) {
            let order = of_one.first().map_or(std::cmp::Ordering::Less, |&first: &usize| {
                let (other, one) = (&runs[first], run);
                let by_hash = one.customers.hashes[one.head].cmp(&other.customers.hashes[other.head]);
                by_hash.then_with(|| {
                    let text = |run: &Run| run.customers.id(run.head).to_string();
                    text(one).cmp(&text(other))
                })
            });
            match order {
                std::cmp::Ordering::Less => {
                    of_one.clear();
                    of_one.push(at);
                }
                std::cmp::Ordering::Equal => of_one.push(at),
                std::cmp::Ordering::Greater => {}
            }
        }
        let Some(&first) = of_one.first() else { return partition };
        let start = partition.events.len();
        if of_one.len() == 1 {
            // And all that follow in this run before any other run has one.
            let others = runs.iter().enumerate().filter(|(at, run)| *at != first && run.head < run.customers.len());
            let next = others.map(|(_, run)| run.customers.hashes[run.head]).min();
            let run = &mut runs[first];
            let hashes = &run.customers.hashes[run.head..];
            let n = next.map_or(hashes.len(), |next| hashes.partition_point(|&hash| hash < next)).max(1);
            let stretch = run.head..run.head + n;
            partition.customers.extend(&run.customers, stretch.clone());
            let from = run.starts[stretch.start];
            partition.events.extend(run.events.slice(from..run.starts[stretch.end]));
            partition.starts.extend(run.starts[stretch.start + 1..=stretch.end].iter().map(|end| end - from + start));
            run.head += n;
            continue;
        }
        let run = &runs[first];
        partition.customers.extend(&run.customers, run.head..run.head + 1);
        for &at in &of_one {
            let run = &mut runs[at];
            partition.events.extend(run.events.slice(run.starts[run.head]..run.starts[run.head + 1]));
            run.head += 1;
        }
        let end = partition.events.len();
        sorter.sort(&mut partition.events, start..end);
        partition.starts.push(end);
    }
}

impl Recode {
    fn new(names: &[Names; 5], vocabularies: &Vocabularies) -> Self {
        let Vocabularies { event, category, channel, device, campaign } = vocabularies;
        let mut all = [event, category, channel, device, campaign].into_iter().zip(names);
        let to = std::array::from_fn(|_| {
            let (vocabulary, Names { names, .. }) = all.next().expect("five of each");
            let is_same = names.len() <= vocabulary.names().len() && vocabulary.names()[..names.len()] == names[..];
            let code = |name: &String| vocabulary.code(name).unwrap_or(u32::MAX);
            (!is_same).then(|| names.iter().map(code).collect())
        });
        Self { to }
    }

    /// `None` when a code stands for nothing that is known.
    fn apply(&self, events: &mut EventColumns) -> Option<()> {
        fn wide(to: &Option<Vec<u32>>, code: &mut u32) -> bool {
            match to {
                Some(to) if *code != NO_CATEGORY => match to.get(*code as usize) {
                    Some(&new) if new != u32::MAX => {
                        *code = new;
                        true
                    }
                    _ => false,
                },
                _ => true,
            }
        }
        fn narrow(to: &Option<Vec<u32>>, code: &mut u16) -> bool {
            let mut long = if *code == NO_CODE { NO_CATEGORY } else { u32::from(*code) };
            let is_known = wide(to, &mut long);
            *code = if long == NO_CATEGORY { NO_CODE } else { long as u16 };
            is_known
        }
        let [kind, category, channel, device, campaign] = &self.to;
        let mut are_known = true;
        if kind.is_some() || category.is_some() || channel.is_some() {
            for event in &mut events.events {
                are_known &= narrow(kind, &mut event.kind);
                are_known &= wide(category, &mut event.category);
                are_known &= narrow(channel, &mut event.channel);
            }
        }
        if device.is_some() || campaign.is_some() {
            for detail in &mut events.details {
                are_known &= narrow(device, &mut detail.device);
                are_known &= narrow(campaign, &mut detail.campaign);
            }
        }
        are_known.then_some(())
    }
}
