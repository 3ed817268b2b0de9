//! Stretches of batches, coded and grouped by partition.

use super::customer::CustomerId;
use super::event::{Detail, Event, EventColumns, Shape};
use super::growing::Growing;
use super::vocabulary::Translated;
use super::{PARTITIONS, partition_of};
use crate::events::{EventBatch, ExtraValues, Ids};
use crate::time::Day;

/// A text among the numeric extras: 53 bits of its hash, which a double holds exactly. Good for telling texts apart.
fn text_number(text: &str) -> f64 {
    (twox_hash::XxHash3_64::oneshot(text.as_bytes()) >> 11) as f64
}

/// Rows that are grouped together: few enough for a core's own cache.
pub(super) const GROUPED_ROWS: usize = 1 << 14;

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

/// So many of them are fetched from memory together.
const LINE_OF_CODED: usize = 64 / size_of::<Coded>();

/// A stretch of a batch coded, its rows grouped by partition. Its buffers serve one round after another.
pub(super) struct Grouped {
    /// First row of the stretch, and the row after its last.
    pub(super) stretch: std::ops::Range<usize>,
    coded: Vec<Coded>,
    /// Row of the batch of each, where more than that is asked of it.
    rows: Vec<u32>,
    /// What else is known of the events.
    beside: EventColumns,
    starts: [u32; PARTITIONS + 1],
    /// Of the first event and the last.
    pub(super) times: Option<(i64, i64)>,
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
pub(super) struct Codes<'a> {
    pub(super) event: Translated<'a>,
    pub(super) category: Translated<'a>,
    pub(super) channel: Translated<'a>,
    pub(super) device: Translated<'a>,
    pub(super) campaign: Translated<'a>,
}

impl Grouped {
    /// `hashes` is room for those of the stretch.
    pub(super) fn fill(&mut self, batch: &EventBatch, codes: &Codes, shape: Shape, hashes: &mut Vec<u64>) {
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

    pub(super) fn bytes(&self) -> usize {
        size_of::<Coded>() * self.coded.capacity() + 4 * self.rows.capacity() + self.beside.capacity_bytes()
    }

    /// Rows of a partition.
    pub(super) fn len_of(&self, partition: usize) -> usize {
        (self.starts[partition + 1] - self.starts[partition]) as usize
    }

    pub(super) fn append_to(&self, growing: &mut Growing, batch: &EventBatch, partition: usize) {
        let slots = self.starts[partition] as usize..self.starts[partition + 1] as usize;
        let coded = &self.coded[slots.clone()];
        // Asked for all at once, the memory answers once.
        std::hint::black_box(coded.iter().step_by(LINE_OF_CODED).fold(0, |seen, coded| seen | coded.id));
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

pub(super) fn has_details(batch: &EventBatch) -> bool {
    batch.order.is_some()
        || batch.product.is_some()
        || batch.quantity.is_some()
        || batch.received.is_some()
        || batch.device.is_some()
        || batch.campaign.is_some()
}
