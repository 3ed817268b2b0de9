//! Batches of events become partitions of sorted timelines.
//!
//! Each round of batches is coded and grouped by partition in parallel over batches, then appended in parallel
//! over partitions, batch after batch in file order: no locks, and the same result at any thread count.
//! Memory is bounded by 28 bytes an event (52 with details), the ids, and one partition's copy a thread while
//! sorting; with a [`Budget`], by that.

use hashbrown::HashTable;
use rayon::prelude::*;

use super::attributes::Attributes;
use super::budget::Budget;
use super::customer::{CustomerId, Customers};
use super::event::{Detail, Event, EventColumns, Shape};
use super::sort::{Recode, sort_timelines};
use super::spill::{Spill, SpillError};
use super::vocabulary::Translated;
use super::{NumberColumn, PARTITIONS, Store, Timelines, Vocabularies, Vocabulary};
use crate::error::{ExitCode, Explain, Reason};
use crate::events::{EventBatch, Extra, ExtraValues, Ids};
use crate::time::Day;

/// What keeps events from becoming timelines.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// No usable event.
    #[error("no usable event is left")]
    Empty,
    /// A column of names has more distinct values than fit.
    #[error("column `{column}` has more than {limit} distinct values")]
    TooManyNames {
        /// Which.
        column: &'static str,
        /// How many fit.
        limit: usize,
    },
    /// Timelines could not be put aside on disk.
    #[error(transparent)]
    Spill(#[from] SpillError),
}

impl Explain for TimelineError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Empty | Self::TooManyNames { .. } => ExitCode::DataRejected,
            Self::Spill(error) => error.exit_code(),
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Empty => Some(Reason::EmptyAfterCleaning),
            Self::TooManyNames { .. } => None,
            Self::Spill(error) => error.reason(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Empty | Self::TooManyNames { .. } => Vec::new(),
            Self::Spill(error) => error.details(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Empty => vec!["`bellwether-train check --events …` tells what became of every row".into()],
            Self::TooManyNames { column, .. } => vec![format!(
                "an identifier may have been taken for `{column}`; set `[events.columns] {column} = \"…\"`, or \"\" to leave it out"
            )],
            Self::Spill(error) => error.hints(),
        }
    }
}

/// Names that fit into 16 bits beside the code of a missing one.
pub(super) const NARROW_LIMIT: usize = u16::MAX as usize;

/// Customers and events of one partition, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Growing {
    pub(super) customers: Customers,
    pub(super) events: EventColumns,
    /// Customer of each event.
    pub(super) owners: Vec<u32>,
    /// Hash and position of each customer; the position of a text is marked.
    pub(super) table: HashTable<(u64, u32)>,
}

/// The hash by which the table of one partition goes. It tells entries apart by its highest bits before it looks at them,
/// and finds their place by its lowest: of a partition's customers the highest bits are the same, and so they take some
/// from below.
#[inline]
fn in_table(hash: u64) -> u64 {
    hash ^ hash << 40
}

impl Growing {
    /// Position of a customer, who is new or known.
    #[inline]
    pub(super) fn customer(&mut self, id: CustomerId, hash: u64) -> u32 {
        if let Some(customer) = self.known(id, hash) {
            return customer;
        }
        let customer = self.customers.len() as u32;
        let mark = if matches!(id, CustomerId::Text(_)) { IS_TEXT } else { 0 };
        self.customers.push(id, hash);
        self.table.insert_unique(in_table(hash), (hash, customer | mark), |&(hash, _)| in_table(hash));
        customer
    }

    /// Position of a customer who is known.
    #[inline]
    pub(super) fn known(&self, id: CustomerId, hash: u64) -> Option<u32> {
        let found = match id {
            // Different numbers have different hashes.
            CustomerId::Number(_) => self.table.find(in_table(hash), |&(other, c)| other == hash && c & IS_TEXT == 0),
            CustomerId::Text(text) => {
                let is_called = |c: u32| c & IS_TEXT != 0 && self.customers.is_text((c & !IS_TEXT) as usize, text);
                self.table.find(in_table(hash), |&(other, c)| other == hash && is_called(c))
            }
        };
        found.map(|&(_, customer)| customer & !IS_TEXT)
    }

    /// Walks over the table in its own order, which the processor foresees: those who are looked up next are at hand then.
    fn fetch(&self) {
        std::hint::black_box(self.table.iter().fold(0, |seen, &(_, customer)| seen | customer));
    }

    pub(super) fn bytes(&self) -> usize {
        self.customers.capacity_bytes()
            + self.events.capacity_bytes()
            + 4 * self.owners.capacity()
            + self.table.allocation_size()
    }
}

/// Marks the position of a customer whose id is a text.
const IS_TEXT: u32 = 1 << 31;

/// A text among the numeric extras: 53 bits of its hash, which a double holds exactly. Good for telling texts apart.
fn text_number(text: &str) -> f64 {
    (twox_hash::XxHash3_64::oneshot(text.as_bytes()) >> 11) as f64
}

pub(super) fn partition_of(hash: u64) -> usize {
    (hash >> (64 - PARTITIONS.trailing_zeros())) as usize
}

/// Rows that are grouped together: few enough for a core's own cache.
const GROUPED_ROWS: usize = 1 << 14;

/// Partitions are not quite even.
const HEADROOM: f64 = 1.1;

/// An estimate from the first rows may be far off.
const MOST_EXPECTED: f64 = 1000.0;

/// Ids of texts that are fetched together, so that the memory answers for all of them at once.
const FETCHED_IDS: usize = 32;

/// A row of a batch, coded. All of it in one place: so many partitions are written to in turn that a core's nearest cache
/// holds one end of each, but not several.
#[derive(Clone, Copy, Default)]
struct Coded {
    /// The customer's id where ids are numbers, the hash of it where they are texts.
    id: u64,
    event: Event,
}

/// A stretch of a batch coded, its rows grouped by partition. Its buffers serve one round after another.
struct Grouped {
    /// First row of the stretch, and the row after its last.
    stretch: std::ops::Range<usize>,
    coded: Vec<Coded>,
    /// Row of the batch of each, where more than that is asked of it.
    rows: Vec<u32>,
    /// What else is known of the events.
    beside: EventColumns,
    starts: [u32; PARTITIONS + 1],
    /// Of the first event and the last.
    times: Option<(i64, i64)>,
}

impl Default for Grouped {
    fn default() -> Self {
        Self {
            stretch: 0..0,
            coded: Vec::new(),
            rows: Vec::new(),
            beside: EventColumns::default(),
            starts: [0; PARTITIONS + 1],
            times: None,
        }
    }
}

/// Codes of a batch in the builder's vocabularies.
struct Codes<'a> {
    event: Translated<'a>,
    category: Translated<'a>,
    channel: Translated<'a>,
    device: Translated<'a>,
    campaign: Translated<'a>,
}

impl Grouped {
    /// `hashes` is room for those of the stretch.
    fn fill(&mut self, batch: &EventBatch, codes: &Codes, shape: Shape, hashes: &mut Vec<u64>) {
        let stretch = self.stretch.clone();
        let n = stretch.len();
        hashes.clear();
        match &batch.customer {
            Ids::Integers(ids) => {
                hashes.extend(ids[stretch.clone()].iter().map(|&id| CustomerId::of_number(id).hash()));
            }
            Ids::Texts(ids) => {
                hashes.extend(stretch.clone().map(|row| CustomerId::of(ids.value(row)).hash()));
            }
        }
        self.starts.fill(0);
        for &hash in hashes.iter() {
            self.starts[partition_of(hash) + 1] += 1;
        }
        for p in 0..PARTITIONS {
            self.starts[p + 1] += self.starts[p];
        }
        let mut next = self.starts;
        // Written once in their order, these places are at hand when they are written to in no order: twice as fast.
        self.coded.clear();
        self.coded.resize(n, Coded::default());
        let (numbers, is_text) = match &batch.customer {
            Ids::Integers(ids) => (&ids[stretch.clone()], false),
            Ids::Texts(_) => (&[][..], true),
        };
        let asks_more = is_text || shape != Shape::default();
        self.rows.resize(if asks_more { n } else { 0 }, 0);
        self.beside.reset_beside(shape, n);
        let times = &batch.time[stretch.clone()];
        let values = batch.value.as_ref().map(|values| &values[stretch.clone()]);
        let [kinds, categories, channels] =
            [&codes.event, &codes.category, &codes.channel].map(|codes| codes.of(stretch.clone()));
        let (coded, rows) = (&mut self.coded[..n], self.rows.as_mut_slice());
        for (index, (&hash, &time)) in hashes.iter().zip(times).enumerate() {
            let next = &mut next[partition_of(hash)];
            let slot = *next as usize;
            *next += 1;
            let event = Event {
                time,
                value: values.map_or(f64::NAN, |values| values[index]),
                category: categories.wide(index),
                kind: kinds.narrow(index),
                channel: channels.narrow(index),
            };
            coded[slot] = Coded { id: if is_text { hash } else { numbers[index] as u64 }, event };
            if asks_more {
                rows[slot] = (stretch.start + index) as u32;
            }
        }
        let range = times.iter().fold((i64::MAX, i64::MIN), |(first, last), &time| (first.min(time), last.max(time)));
        self.times = (n > 0).then_some(range);
        if shape.details {
            self.fill_details(batch, codes);
        }
        for (column, extra) in batch.extras.iter().enumerate() {
            let numbers = self.beside.numbers.iter_mut().skip(column).step_by(shape.numbers);
            match &extra.values {
                ExtraValues::Numbers(values) => {
                    numbers.zip(&self.rows).for_each(|(number, &row)| *number = values[row as usize]);
                }
                ExtraValues::Labels(labels) => {
                    let codes: Vec<f64> = labels.names.iter().map(|name| text_number(name)).collect();
                    numbers.zip(&self.rows).for_each(|(number, &row)| {
                        *number = codes.get(labels.codes[row as usize] as usize).copied().unwrap_or(f64::NAN);
                    });
                }
            }
        }
        self.beside.conditions.fill(0); // the buffer served another stretch before
        for (condition, holds) in batch.conditions.iter().enumerate() {
            for (bits, &row) in self.beside.conditions.iter_mut().zip(&self.rows) {
                *bits |= u64::from(holds[row as usize]) << condition;
            }
        }
    }

    fn fill_details(&mut self, batch: &EventBatch, codes: &Codes) {
        let [devices, campaigns] = [&codes.device, &codes.campaign].map(|codes| codes.of(0..batch.len()));
        for (detail, &row) in self.beside.details.iter_mut().zip(&self.rows) {
            let row = row as usize;
            let day = Day::of_wall(batch.time[row]).0;
            *detail = Detail {
                order: batch.order.as_ref().map_or(0, |order| order[row]),
                product: batch.product.as_ref().map_or(0, |product| product[row]),
                quantity: batch.quantity.as_ref().map_or(f32::NAN, |quantity| quantity[row]),
                // A clock that runs behind would make an event known before it happened.
                received: batch.received.as_ref().map_or(day, |received| received[row].max(day)),
                device: devices.narrow(row),
                campaign: campaigns.narrow(row),
            };
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Coded>() * self.coded.capacity() + 4 * self.rows.capacity() + self.beside.capacity_bytes()
    }

    /// Rows of a partition.
    fn len_of(&self, partition: usize) -> usize {
        (self.starts[partition + 1] - self.starts[partition]) as usize
    }

    fn append_to(&self, growing: &mut Growing, batch: &EventBatch, partition: usize) {
        let slots = self.starts[partition] as usize..self.starts[partition + 1] as usize;
        let coded = &self.coded[slots.clone()];
        growing.owners.reserve(coded.len());
        match &batch.customer {
            Ids::Integers(_) => {
                for coded in coded {
                    let id = CustomerId::of_number(coded.id as i64);
                    let customer = growing.customer(id, id.hash());
                    growing.owners.push(customer);
                }
            }
            Ids::Texts(ids) => {
                for (coded, rows) in coded.chunks(FETCHED_IDS).zip(self.rows[slots.clone()].chunks(FETCHED_IDS)) {
                    let mut fetched = [CustomerId::Number(0); FETCHED_IDS];
                    for (id, &row) in fetched.iter_mut().zip(rows) {
                        *id = CustomerId::of(ids.value(row as usize));
                    }
                    for (&id, coded) in fetched.iter().zip(coded) {
                        let customer = growing.customer(id, coded.id);
                        growing.owners.push(customer);
                    }
                }
            }
        }
        growing.events.extend_beside(coded.iter().map(|coded| coded.event), &self.beside, slots);
    }
}

fn has_details(batch: &EventBatch) -> bool {
    batch.order.is_some()
        || batch.product.is_some()
        || batch.quantity.is_some()
        || batch.received.is_some()
        || batch.device.is_some()
        || batch.campaign.is_some()
}

/// Collects batches into timelines.
#[derive(Default)]
pub struct TimelineBuilder {
    growing: Vec<Growing>,
    grouped: Vec<Grouped>,
    vocabularies: Vocabularies,
    numbers: Vec<NumberColumn>,
    shape: Shape,
    n_events: u64,
    times: Option<(i64, i64)>,
    budget: Budget,
    spill: Option<Spill>,
    attributes: Option<Attributes>,
    /// Bytes that are kept elsewhere, and count against the budget.
    beside: usize,
}

impl TimelineBuilder {
    /// Timelines that are put aside on disk, partition by partition, when they outgrow the budget.
    pub fn within(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// What is known of customers beside their events. It stays in memory.
    pub fn with_attributes(mut self, attributes: Option<Attributes>) -> Self {
        self.attributes = attributes;
        self
    }

    /// Tells how many bytes are kept elsewhere: they count against the budget.
    pub fn set_beside(&mut self, bytes: usize) {
        self.beside = bytes;
    }

    /// Appends batches that follow all earlier ones in file order. All of a builder's batches have the same extras
    /// and conditions.
    ///
    /// # Errors
    /// More than 65,534 distinct events, channels, devices or campaigns; a disk that does not take what is put aside.
    pub fn append(&mut self, batches: &[EventBatch]) -> Result<(), TimelineError> {
        let Some(first) = batches.first() else { return Ok(()) };
        self.growing.resize_with(PARTITIONS, Growing::default);
        if self.n_events == 0 {
            let column = |extra: &Extra| NumberColumn {
                name: extra.name.to_string(),
                is_text: matches!(extra.values, ExtraValues::Labels(_)),
            };
            self.numbers = first.extras.iter().map(column).collect();
            self.shape.numbers = self.numbers.len();
            self.shape.conditions = !first.conditions.is_empty();
        }
        if !self.shape.details && batches.iter().any(has_details) {
            self.shape.details = true;
            self.growing.par_iter_mut().for_each(|growing| growing.events.widen(self.shape));
        }
        let vocabularies = &mut self.vocabularies;
        let codes: Vec<Codes> = batches
            .iter()
            .map(|batch| Codes {
                event: Translated::new(&mut vocabularies.event, Some(&batch.event)),
                category: Translated::new(&mut vocabularies.category, batch.category.as_ref()),
                channel: Translated::new(&mut vocabularies.channel, batch.channel.as_ref()),
                device: Translated::new(&mut vocabularies.device, batch.device.as_ref()),
                campaign: Translated::new(&mut vocabularies.campaign, batch.campaign.as_ref()),
            })
            .collect();
        let fits = |column, vocabulary: &Vocabulary| {
            let fits = vocabulary.names().len() < NARROW_LIMIT;
            if fits { Ok(()) } else { Err(TimelineError::TooManyNames { column, limit: NARROW_LIMIT - 1 }) }
        };
        fits("event", &vocabularies.event)?;
        fits("channel", &vocabularies.channel)?;
        fits("device", &vocabularies.device)?;
        fits("campaign", &vocabularies.campaign)?;

        let stretches: Vec<(usize, std::ops::Range<usize>)> = batches
            .iter()
            .enumerate()
            .flat_map(|(index, batch)| {
                let n = batch.len();
                (0..n).step_by(GROUPED_ROWS).map(move |start| (index, start..(start + GROUPED_ROWS).min(n)))
            })
            .collect();
        if self.grouped.len() < stretches.len() {
            self.grouped.resize_with(stretches.len(), Grouped::default);
        }
        let shape = self.shape;
        let grouped = &mut self.grouped[..stretches.len()];
        grouped.par_iter_mut().zip(&stretches).for_each_init(Vec::new, |hashes, (grouped, (index, stretch))| {
            grouped.stretch = stretch.clone();
            grouped.fill(&batches[*index], &codes[*index], shape, hashes);
        });
        let grouped = &*grouped;
        self.growing.par_iter_mut().enumerate().for_each(|(p, growing)| {
            if grouped.iter().map(|grouped| grouped.len_of(p)).sum::<usize>() > growing.customers.len() {
                growing.fetch();
            }
            for (grouped, (index, _)) in grouped.iter().zip(&stretches) {
                grouped.append_to(growing, &batches[*index], p);
            }
        });
        for (low, high) in grouped.iter().filter_map(|grouped| grouped.times) {
            self.times = Some(self.times.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
        }
        self.n_events += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let others = self.beside
            + self.attributes.as_ref().map_or(0, Attributes::bytes)
            + batches.iter().map(EventBatch::bytes).sum::<usize>()
            + self.grouped.iter().map(Grouped::bytes).sum::<usize>();
        if let Some(limit) = self.budget.growing_bytes(others)
            && self.growing.iter().map(Growing::bytes).sum::<usize>() > limit
        {
            self.put_aside()?;
        }
        Ok(())
    }

    /// Makes room for `times` as many events as these first batches hold, so that nothing is moved while they come. Room
    /// that is not used costs no memory. With a budget there is none to make.
    pub fn expect(&mut self, first: &[EventBatch], times: f64) {
        if self.budget.bytes.is_some() {
            return;
        }
        let Some(batch) = first.first() else { return };
        let shape = Shape {
            details: first.iter().any(has_details),
            numbers: batch.extras.len(),
            conditions: !batch.conditions.is_empty(),
        };
        let rows: usize = first.iter().map(EventBatch::len).sum();
        let each = (rows as f64 * (times * HEADROOM).clamp(1.0, MOST_EXPECTED)) as usize / PARTITIONS;
        self.growing.resize_with(PARTITIONS, Growing::default);
        self.growing.par_iter_mut().for_each(|growing| {
            growing.owners.reserve(each);
            growing.events.reserve(each, shape);
        });
    }

    /// Moves all that has grown to disk.
    fn put_aside(&mut self) -> Result<(), SpillError> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create(&self.budget)?,
        };
        spill.append(&mut self.growing, self.shape)?;
        self.spill = Some(spill);
        Ok(())
    }

    /// Sorts every timeline.
    ///
    /// # Errors
    /// When there is no event at all; a disk that fails.
    pub fn finish(mut self) -> Result<Timelines, TimelineError> {
        let (first, last) = self.times.ok_or(TimelineError::Empty)?;
        let recode = Recode {
            kind: self.vocabularies.event.sort(),
            category: self.vocabularies.category.sort(),
            channel: self.vocabularies.channel.sort(),
            device: self.vocabularies.device.sort(),
            campaign: self.vocabularies.campaign.sort(),
        };
        drop(self.grouped);
        let (columns, described) =
            self.attributes.as_ref().map_or((Vec::new(), 0), |all| (all.columns().to_vec(), all.customers()));
        let mut with_attributes = 0;
        let (store, n_customers) = if self.spill.is_some() {
            self.grouped = Vec::new();
            let mut spill = self.spill.take().expect("just seen");
            spill.append(&mut self.growing, self.shape)?;
            drop(self.growing);
            let spilled = spill.finish(recode, self.shape, self.attributes.take());
            let n_customers;
            (n_customers, with_attributes) = spilled.count_customers()?;
            (Store::Spilled(Box::new(spilled)), n_customers)
        } else {
            let sort = |room: &mut EventColumns, growing: Growing| sort_timelines(growing, &recode, room);
            let mut partitions: Vec<super::Partition> =
                self.growing.into_par_iter().map_init(EventColumns::default, sort).collect();
            if let Some(attributes) = self.attributes.take() {
                with_attributes = partitions.par_iter_mut().map(|partition| partition.attach(&attributes)).sum();
            }
            let n_customers = partitions.iter().map(super::Partition::customers).sum();
            (Store::Memory(partitions), n_customers)
        };
        Ok(Timelines {
            store,
            vocabularies: self.vocabularies,
            numbers: self.numbers,
            attributes: columns,
            without_events: described - with_attributes,
            first_day: Day::of_wall(first),
            last_day: Day::of_wall(last),
            n_customers,
            n_events: self.n_events as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bits_tell_the_customers_of_a_partition_apart() {
        let hashes = (0..100_000).map(|number| CustomerId::of_number(number).hash());
        let tags: std::collections::BTreeSet<u64> =
            hashes.filter(|&hash| partition_of(hash) == 77).map(|hash| in_table(hash) >> 57).collect();
        assert!(tags.len() > 100, "{} of 128 for 391 customers or so", tags.len());
    }

    #[test]
    fn a_number_is_no_text_of_the_same_hash() {
        let mut growing = Growing::default();
        let (number, text) = (CustomerId::of_number(7), CustomerId::of("seven"));
        let hash = number.hash();
        assert_eq!((growing.known(number, hash), growing.customer(text, hash)), (None, 0));
        assert_eq!((growing.known(number, hash), growing.customer(number, hash)), (None, 1));
        assert_eq!((growing.known(number, hash), growing.known(text, hash)), (Some(1), Some(0)));
    }
}
