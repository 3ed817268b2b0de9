//! Timelines: each customer's coded events in time order, in partitions by a stable hash of the customer.
//!
//! A partition is the unit of everything: of parallel work, of memory and of distribution. Customers
//! never meet across partitions.

mod attributes;
mod budget;
mod build;
mod codec;
mod customer;
mod event;
mod grouped;
mod growing;
mod history;
mod orders;
mod sort;
mod spill;
mod store;
mod vocabulary;

use rayon::prelude::*;

use crate::time::Day;

use attributes::AttributesOfPart;
use customer::Customers;
use spill::Spilled;
use store::View;

pub use attributes::{AttributeColumn, Attributes, AttributesBuilder, ConflictingRows};
pub use budget::{Budget, TooLittleMemory};
pub(crate) use budget::{Held, set_bytes};
pub use build::{TimelineBuilder, TimelineError};
pub use customer::{CustomerId, customer_hash};
pub use event::{Detail, Event, EventColumns, Timeline};
pub use history::History;
pub use orders::OrdersOfDay;
pub use spill::SpillError;
pub(crate) use store::{Additions, KnownAt, Stat, StoredFile};
pub use store::{StoreError, StoreState, TimelineStore};
pub use vocabulary::{Vocabularies, Vocabulary};

/// Number of partitions; a power of two, so that the top bits of the hash name one.
pub const PARTITIONS: usize = 256;

/// Partition of a customer's hash.
fn partition_of(hash: u64) -> usize {
    (hash >> (64 - PARTITIONS.trailing_zeros())) as usize
}

/// Code of a missing `event`, `channel`, `device` or `campaign`.
pub const NO_CODE: u16 = u16::MAX;

/// Code of a missing category.
pub const NO_CATEGORY: u32 = u32::MAX;

/// Customers of one partition, or of a part of it, with their events.
#[derive(Debug, Default)]
pub struct Partition {
    customers: Customers,
    /// Events of customer `c` are `events[starts[c]..starts[c + 1]]`.
    starts: Vec<usize>,
    events: EventColumns,
    attributes: AttributesOfPart,
}

impl Partition {
    /// Number of customers.
    pub fn customers(&self) -> usize {
        self.customers.len()
    }

    /// Id of a customer, as in the input.
    pub fn id(&self, customer: usize) -> CustomerId<'_> {
        self.customers.id(customer)
    }

    /// Stable hash of a customer's id (64 bits): the key of every sample and split.
    pub fn hash(&self, customer: usize) -> u64 {
        self.customers.hashes[customer]
    }

    fn bytes(&self) -> usize {
        let starts = 8 * self.starts.len();
        self.customers.capacity_bytes() + starts + self.events.capacity_bytes() + self.attributes.bytes()
    }

    /// Keeps what is known of the customers beside their events; of how many anything is.
    fn attach(&mut self, attributes: &Attributes) -> usize {
        let (of_part, found) = attributes.of(&self.customers);
        self.attributes = of_part;
        found
    }

    /// Some of the customers, without their attributes.
    fn some(&self, stretch: std::ops::Range<usize>) -> Self {
        let mut some = Self::default();
        some.customers.extend(&self.customers, stretch.clone());
        let from = self.starts[stretch.start];
        some.starts = self.starts[stretch.start..=stretch.end].iter().map(|at| at - from).collect();
        some.events.extend(self.events.slice(from..self.starts[stretch.end]));
        some
    }

    /// Events of a customer, oldest first.
    pub fn timeline(&self, customer: usize) -> Timeline<'_> {
        let timeline = self.events.slice(self.starts[customer]..self.starts[customer + 1]);
        timeline.with(self.attributes.of(customer))
    }
}

#[derive(Debug)]
enum Store {
    Memory(Vec<Partition>),
    Spilled(Box<Spilled>),
    Stored(Box<View>),
}

/// A partition that is in memory, or was loaded for as long as this is held.
#[derive(Debug)]
pub enum Part<'a> {
    /// In memory anyway.
    Kept(&'a Partition),
    /// Read back from disk.
    Loaded(Box<Partition>),
}

impl std::ops::Deref for Part<'_> {
    type Target = Partition;

    fn deref(&self) -> &Partition {
        match self {
            Self::Kept(partition) => partition,
            Self::Loaded(partition) => partition,
        }
    }
}

/// A column of the data that is none of ours, kept as a number with each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberColumn {
    /// As the files call it.
    pub name: String,
    /// Whether the numbers stand for texts: good for nothing but telling them apart.
    pub is_text: bool,
}

/// Every customer's timeline, in parts that ascend by the customers' hashes.
#[derive(Debug)]
pub struct Timelines {
    store: Store,
    /// What the codes mean.
    pub vocabularies: Vocabularies,
    /// The extras that events carry as numbers.
    pub numbers: Vec<NumberColumn>,
    /// What is known of customers beside their events.
    pub attributes: Vec<AttributeColumn>,
    /// Customers with attributes and without an event.
    pub without_events: usize,
    /// Day of the first event.
    pub first_day: Day,
    /// Day of the last event.
    pub last_day: Day,
    n_customers: usize,
    n_events: usize,
}

impl Timelines {
    /// Number of customers.
    pub fn customers(&self) -> usize {
        self.n_customers
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.n_events
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        match &self.store {
            Store::Memory(partitions) => partitions.len(),
            Store::Spilled(spilled) => spilled.parts(),
            Store::Stored(view) => view.parts(),
        }
    }

    /// What they hold of memory while something is made of them.
    pub(crate) fn held(&self) -> Held {
        match &self.store {
            Store::Memory(partitions) => Held::All(partitions.iter().map(Partition::bytes).sum()),
            Store::Spilled(spilled) => Held::Loaded { beside: spilled.beside() },
            Store::Stored(view) => Held::Loaded { beside: view.beside() },
        }
    }

    /// Whether they are on disk.
    pub fn is_spilled(&self) -> bool {
        !matches!(self.store, Store::Memory(_))
    }

    /// A part.
    ///
    /// # Errors
    /// When it is on disk and cannot be read back.
    pub fn part(&self, index: usize) -> Result<Part<'_>, SpillError> {
        match &self.store {
            Store::Memory(partitions) => Ok(Part::Kept(&partitions[index])),
            Store::Spilled(spilled) => Ok(Part::Loaded(Box::new(spilled.load(index)?))),
            Store::Stored(view) => Ok(Part::Loaded(Box::new(view.load(index)?))),
        }
    }

    /// Numbers of the parts in stretches whose parts memory holds side by side.
    pub fn stretches(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let at_once = match &self.store {
            Store::Memory(_) => usize::MAX,
            Store::Spilled(spilled) => spilled.at_once(),
            Store::Stored(view) => view.at_once(),
        };
        let parts = self.parts();
        (0..parts).step_by(at_once.min(parts.max(1))).map(move |start| start..start.saturating_add(at_once).min(parts))
    }

    /// What `of` makes of each part, in order. Parts run side by side as far as threads and memory go.
    ///
    /// # Errors
    /// The first of `of`, or of a part that cannot be read back.
    pub fn map_parts<T: Send, E: From<SpillError> + Send>(
        &self,
        of: impl Fn(usize, &Partition) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        let mut results = Vec::with_capacity(self.parts());
        for stretch in self.stretches() {
            let one = |index: usize| of(index, &*self.part(index)?);
            // One at a time: the last of a long run of parts would keep one thread at work and the others waiting.
            results.extend(stretch.into_par_iter().with_max_len(1).map(one).collect::<Result<Vec<T>, E>>()?);
        }
        Ok(results)
    }

    /// All parts folded into one value. Where a part goes is not determined, so `fold` and `merge` must not care: they
    /// add whole numbers, or take the smallest.
    ///
    /// # Errors
    /// A part that cannot be read back.
    pub fn fold_parts<T: Send>(
        &self,
        empty: impl Fn() -> T + Sync + Send,
        fold: impl Fn(T, &Partition) -> T + Sync + Send,
        merge: impl Fn(T, T) -> T + Sync + Send,
    ) -> Result<T, SpillError> {
        let mut all = empty();
        for stretch in self.stretches() {
            let one = stretch
                .into_par_iter()
                .try_fold(&empty, |folded, index| Ok::<T, SpillError>(fold(folded, &*self.part(index)?)))
                .try_reduce(&empty, |a, b| Ok(merge(a, b)))?;
            all = merge(all, one);
        }
        Ok(all)
    }

    /// What `of` makes of each key, in order; keys ascend by part. A part is loaded once.
    ///
    /// # Errors
    /// A part that cannot be read back.
    pub fn map_keys<K: Sync, T: Send>(
        &self,
        keys: &[K],
        part_of: impl Fn(&K) -> usize + Sync,
        of: impl Fn(&Partition, &K) -> T + Sync,
    ) -> Result<Vec<T>, SpillError> {
        let by_part: Vec<&[K]> = keys.chunk_by(|a, b| part_of(a) == part_of(b)).collect();
        let at_once = self.stretches().next().map_or(1, |stretch| stretch.len());
        let mut results = Vec::with_capacity(keys.len());
        for parts in by_part.chunks(at_once.max(1)) {
            let one = |keys: &&[K]| {
                let part = self.part(part_of(&keys[0]))?;
                Ok(keys.iter().map(|key| of(&part, key)).collect::<Vec<T>>())
            };
            let mapped: Vec<Vec<T>> = parts.par_iter().map(one).collect::<Result<_, SpillError>>()?;
            results.extend(mapped.into_iter().flatten());
        }
        Ok(results)
    }
}

/// A second hash of a customer, independent of the partition it is in (finaliser of SplitMix64, Steele et
/// al. 2014), for samples, folds and hold-outs: `salt` tells them apart.
#[inline]
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
