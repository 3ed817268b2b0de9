//! Batches of events become partitions of sorted timelines.
//!
//! Each round of batches is grouped by partition in parallel over batches, then appended in parallel over
//! partitions, batch after batch in file order: no locks, and the same result at any thread count.
//! Memory is bounded by 52 bytes an event, the ids, and one partition's copy a thread while sorting.

use hashbrown::HashTable;
use rayon::prelude::*;

use super::vocabulary::Translated;
use super::{Event, NO_CATEGORY, NO_CODE, PARTITIONS, Partition, Timelines, Vocabularies, Vocabulary, customer_hash};
use crate::error::{ExitCode, Explain, Reason};
use crate::events::EventBatch;
use crate::events::batch::Digits;
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
}

impl Explain for TimelineError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::DataRejected
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Empty => Some(Reason::EmptyAfterCleaning),
            Self::TooManyNames { .. } => None,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Empty => vec!["`bellwether-train check --events …` tells what became of every row".into()],
            Self::TooManyNames { column, .. } => vec![format!(
                "an identifier may have been taken for `{column}`; set `[events.columns] {column} = \"…\"`, or \"\" to leave it out"
            )],
        }
    }
}

/// Names that fit into 16 bits beside the code of a missing one.
const NARROW_LIMIT: usize = u16::MAX as usize;

#[derive(Default)]
struct Growing {
    partition: Partition,
    /// Customer of each event.
    owners: Vec<u32>,
    table: HashTable<u32>,
}

impl Growing {
    fn customer(&mut self, id: &str, hash: u64) -> u32 {
        let partition = &mut self.partition;
        let found = self.table.find(hash, |&c| partition.hashes[c as usize] == hash && partition.id(c as usize) == id);
        if let Some(&customer) = found {
            return customer;
        }
        let customer = partition.hashes.len() as u32;
        partition.hashes.push(hash);
        partition.ids.extend_from_slice(id.as_bytes());
        partition.id_ends.push(partition.ids.len());
        let hashes = &partition.hashes;
        self.table.insert_unique(hash, customer, |&c| hashes[c as usize]);
        customer
    }
}

/// One batch with its rows grouped by partition.
struct Grouped<'a> {
    batch: &'a EventBatch,
    hashes: Vec<u64>,
    rows: Vec<u32>,
    starts: [u32; PARTITIONS + 1],
}

fn partition_of(hash: u64) -> usize {
    (hash >> (64 - PARTITIONS.trailing_zeros())) as usize
}

impl<'a> Grouped<'a> {
    fn new(batch: &'a EventBatch) -> Self {
        let hashes: Vec<u64> = {
            let mut digits = Digits::default();
            (0..batch.len()).map(|row| customer_hash(batch.customer.text(row, &mut digits))).collect()
        };
        let mut starts = [0u32; PARTITIONS + 1];
        for &hash in &hashes {
            starts[partition_of(hash) + 1] += 1;
        }
        for p in 0..PARTITIONS {
            starts[p + 1] += starts[p];
        }
        let mut next = starts;
        let mut rows = vec![0u32; hashes.len()];
        for (row, &hash) in hashes.iter().enumerate() {
            let slot = &mut next[partition_of(hash)];
            rows[*slot as usize] = row as u32;
            *slot += 1;
        }
        Self { batch, hashes, rows, starts }
    }
}

struct Columns<'a> {
    event: Translated<'a>,
    category: Translated<'a>,
    channel: Translated<'a>,
    device: Translated<'a>,
    campaign: Translated<'a>,
}

/// Collects batches into timelines.
pub struct TimelineBuilder {
    growing: Vec<Growing>,
    vocabularies: Vocabularies,
}

impl Default for TimelineBuilder {
    fn default() -> Self {
        Self { growing: (0..PARTITIONS).map(|_| Growing::default()).collect(), vocabularies: Vocabularies::default() }
    }
}

impl TimelineBuilder {
    /// Appends batches that follow all earlier ones in file order.
    ///
    /// # Errors
    /// More than 65,535 distinct events, channels, devices or campaigns.
    pub fn append(&mut self, batches: &[EventBatch]) -> Result<(), TimelineError> {
        let grouped: Vec<Grouped> = batches.par_iter().map(Grouped::new).collect();
        let vocabularies = &mut self.vocabularies;
        let columns: Vec<Columns> = batches
            .iter()
            .map(|batch| Columns {
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
        self.growing.par_iter_mut().enumerate().for_each(|(p, growing)| {
            for (grouped, columns) in grouped.iter().zip(&columns) {
                append_batch(growing, grouped, columns, p);
            }
        });
        Ok(())
    }

    /// Sorts every timeline.
    ///
    /// # Errors
    /// When there is no event at all.
    pub fn finish(mut self) -> Result<Timelines, TimelineError> {
        let recode = Recode {
            kind: self.vocabularies.event.sort(),
            category: self.vocabularies.category.sort(),
            channel: self.vocabularies.channel.sort(),
            device: self.vocabularies.device.sort(),
            campaign: self.vocabularies.campaign.sort(),
        };
        let partitions: Vec<Partition> =
            self.growing.into_par_iter().map(|growing| sort_timelines(growing, &recode)).collect();
        let range = partitions
            .par_iter()
            .flat_map_iter(|partition| &partition.events)
            .map(|event| (event.time, event.time))
            .reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (first, last) = range.ok_or(TimelineError::Empty)?;
        Ok(Timelines {
            partitions,
            vocabularies: self.vocabularies,
            first_day: Day::of_wall(first),
            last_day: Day::of_wall(last),
        })
    }
}

fn append_batch(growing: &mut Growing, grouped: &Grouped, columns: &Columns, p: usize) {
    let batch = grouped.batch;
    let rows = &grouped.rows[grouped.starts[p] as usize..grouped.starts[p + 1] as usize];
    growing.partition.events.reserve(rows.len());
    growing.owners.reserve(rows.len());
    let mut digits = Digits::default();
    for &row in rows {
        let row = row as usize;
        let customer = growing.customer(batch.customer.text(row, &mut digits), grouped.hashes[row]);
        let day = Day::of_wall(batch.time[row]).0;
        growing.owners.push(customer);
        growing.partition.events.push(Event {
            time: batch.time[row],
            value: batch.value.as_ref().map_or(f64::NAN, |value| value[row]),
            order: batch.order.as_ref().map_or(0, |order| order[row]),
            product: batch.product.as_ref().map_or(0, |product| product[row]),
            category: columns.category.wide(row),
            quantity: batch.quantity.as_ref().map_or(f32::NAN, |quantity| quantity[row]),
            // A clock that runs behind would make an event known before it happened.
            received: batch.received.as_ref().map_or(day, |received| received[row].max(day)),
            kind: columns.event.narrow(row),
            channel: columns.channel.narrow(row),
            device: columns.device.narrow(row),
            campaign: columns.campaign.narrow(row),
        });
    }
}

/// New codes by old code, after the vocabularies have been sorted.
struct Recode {
    kind: Vec<u32>,
    category: Vec<u32>,
    channel: Vec<u32>,
    device: Vec<u32>,
    campaign: Vec<u32>,
}

impl Recode {
    fn apply(&self, mut event: Event) -> Event {
        let narrow = |to: &[u32], code: u16| if code == NO_CODE { NO_CODE } else { to[code as usize] as u16 };
        event.kind = narrow(&self.kind, event.kind);
        event.channel = narrow(&self.channel, event.channel);
        event.device = narrow(&self.device, event.device);
        event.campaign = narrow(&self.campaign, event.campaign);
        if event.category != NO_CATEGORY {
            event.category = self.category[event.category as usize];
        }
        event
    }
}

/// Every field takes part, so that the order of a timeline does not depend on the order of the files.
fn in_order(a: &Event, b: &Event) -> std::cmp::Ordering {
    let rest = |e: &Event| (e.kind, e.order, e.category, e.product, e.channel, e.device, e.campaign, e.received);
    a.time
        .cmp(&b.time)
        .then_with(|| rest(a).cmp(&rest(b)))
        .then_with(|| a.value.total_cmp(&b.value))
        .then_with(|| a.quantity.total_cmp(&b.quantity))
}

/// Sorts customers by hash and each one's events by time, so that the order of the files decides nothing.
fn sort_timelines(growing: Growing, recode: &Recode) -> Partition {
    let Growing { partition: unsorted, owners, .. } = growing;
    let customers = unsorted.customers();
    let mut order: Vec<u32> = (0..customers as u32).collect();
    order.sort_unstable_by_key(|&c| (unsorted.hashes[c as usize], unsorted.id(c as usize)));
    let mut partition = Partition::default();
    let mut place = vec![0u32; customers];
    for (new, &old) in order.iter().enumerate() {
        place[old as usize] = new as u32;
        partition.hashes.push(unsorted.hashes[old as usize]);
        partition.ids.extend_from_slice(unsorted.id(old as usize).as_bytes());
        partition.id_ends.push(partition.ids.len());
    }
    let mut starts = vec![0usize; customers + 1];
    for &owner in &owners {
        starts[place[owner as usize] as usize + 1] += 1;
    }
    for c in 0..customers {
        starts[c + 1] += starts[c];
    }
    let mut next = starts.clone();
    let mut sorted = unsorted.events.clone();
    for (event, &owner) in unsorted.events.iter().zip(&owners) {
        let slot = &mut next[place[owner as usize] as usize];
        sorted[*slot] = recode.apply(*event);
        *slot += 1;
    }
    for c in 0..customers {
        let timeline = &mut sorted[starts[c]..starts[c + 1]];
        if !timeline.is_sorted_by(|a, b| in_order(a, b).is_le()) {
            timeline.sort_unstable_by(in_order);
        }
    }
    partition.starts = starts;
    partition.events = sorted;
    partition
}
