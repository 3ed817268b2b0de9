//! Timelines: each customer's coded events in time order, in partitions by a stable hash of the customer.
//!
//! A partition is the unit of everything: of parallel work, of memory and of distribution. Customers
//! never meet across partitions.

mod build;
mod history;
mod orders;
mod vocabulary;

use crate::time::{DAY_MICROS, Day};

pub use build::{TimelineBuilder, TimelineError};
pub use history::History;
pub use orders::OrdersOfDay;
pub use vocabulary::{Vocabularies, Vocabulary};

/// Number of partitions; a power of two, so that the top bits of the hash name one.
pub const PARTITIONS: usize = 256;

/// Code of a missing `event`, `channel`, `device` or `campaign`.
pub const NO_CODE: u16 = u16::MAX;

/// Code of a missing category.
pub const NO_CATEGORY: u32 = u32::MAX;

/// One coded event, 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Wall time in microseconds.
    pub time: i64,
    /// Money, signed; NaN where there is none.
    pub value: f64,
    /// Hash of the order id, 0 where there is none: compared only within one customer's day.
    pub order: u64,
    /// Hash of the product, 0 where there is none.
    pub product: u32,
    /// Code in [`Vocabularies::category`], or [`NO_CATEGORY`].
    pub category: u32,
    /// Units; NaN where there are none.
    pub quantity: f32,
    /// Day on which it was received.
    pub received: i32,
    /// Code in [`Vocabularies::event`], or [`NO_CODE`].
    pub kind: u16,
    /// Code in [`Vocabularies::channel`], or [`NO_CODE`].
    pub channel: u16,
    /// Code in [`Vocabularies::device`], or [`NO_CODE`].
    pub device: u16,
    /// Code in [`Vocabularies::campaign`], or [`NO_CODE`].
    pub campaign: u16,
}

const _: () = assert!(size_of::<Event>() == 48);

impl Event {
    /// The day on which it happened.
    pub fn day(&self) -> Day {
        Day::of_wall(self.time)
    }

    /// Whether it is known at the start of `as_of`: it happened before, and was received before.
    pub fn is_known_at(&self, as_of: Day) -> bool {
        self.time < as_of.start_micros() && self.received < as_of.0
    }

    /// Whether it arrived on a later day than it happened.
    pub fn is_late(&self) -> bool {
        i64::from(self.received) > self.time.div_euclid(DAY_MICROS)
    }
}

/// Customers of one partition with their events.
#[derive(Debug, Default)]
pub struct Partition {
    ids: Vec<u8>,
    id_ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Events of customer `c` are `events[starts[c]..starts[c + 1]]`.
    starts: Vec<usize>,
    events: Vec<Event>,
}

impl Partition {
    /// Number of customers.
    pub fn customers(&self) -> usize {
        self.hashes.len()
    }

    /// Id of a customer, as in the input.
    pub fn id(&self, customer: usize) -> &str {
        let start = if customer == 0 { 0 } else { self.id_ends[customer - 1] };
        std::str::from_utf8(&self.ids[start..self.id_ends[customer]]).expect("ids come from Arrow strings")
    }

    /// Stable hash of a customer's id (XXH3, 64 bits): the key of every sample and split.
    pub fn hash(&self, customer: usize) -> u64 {
        self.hashes[customer]
    }

    /// Events of a customer, oldest first.
    pub fn events(&self, customer: usize) -> &[Event] {
        &self.events[self.starts[customer]..self.starts[customer + 1]]
    }
}

/// Every customer's timeline.
#[derive(Debug)]
pub struct Timelines {
    /// By the top bits of the customer's hash.
    pub partitions: Vec<Partition>,
    /// What the codes mean.
    pub vocabularies: Vocabularies,
    /// Day of the first event.
    pub first_day: Day,
    /// Day of the last event.
    pub last_day: Day,
}

impl Timelines {
    /// Number of customers.
    pub fn customers(&self) -> usize {
        self.partitions.iter().map(Partition::customers).sum()
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.partitions.iter().map(|partition| partition.events.len()).sum()
    }
}

/// Stable hash of a customer id.
pub fn customer_hash(id: &str) -> u64 {
    twox_hash::XxHash3_64::oneshot(id.as_bytes())
}

/// A second hash of a customer, independent of the partition it is in (finaliser of SplitMix64, Steele et
/// al. 2014), for samples, folds and hold-outs: `salt` tells them apart.
pub fn sample_hash(hash: u64, salt: u64) -> u64 {
    let mut z = hash ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// [`sample_hash`] as a fraction in `[0, 1)`.
pub fn sample_fraction(hash: u64, salt: u64) -> f64 {
    (sample_hash(hash, salt) >> 11) as f64 / (1u64 << 53) as f64
}
