//! New segments: of files that were read, and of older segments.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use rayon::prelude::*;

use super::block::{encode_events, encode_ids, encode_owners};
use super::manifest::Manifest;
use super::segment::{Block, Bytes, Footer, IdBlock, Names, Packed, Segment, SegmentEntry, SegmentWriter, pack};
use super::{MERGED_SHARE, PARTITIONS, StoredFile, TimelineStore, View, read_ids, segment_name};
use crate::error::{Error, FileError};
use crate::events::ledger::FileLedger;
use crate::storage;
use crate::time::Day;
use crate::timeline::budget::Budget;
use crate::timeline::event::EventColumns;
use crate::timeline::spill::SpillError;
use crate::timeline::{NO_CATEGORY, NO_CODE, Partition, Store, Timelines, Vocabularies};

/// Parts that are encoded before they are written, so that what waits for the disk stays small.
const ENCODED_AT_ONCE: usize = 32;

/// Events of a block at most, but for a single customer's: a block is decoded whole.
const BLOCK_EVENTS: usize = 1 << 20;

/// Shards of the event ids: a power of two.
const SHARDS: usize = 256;

pub(super) fn shard_of(id: u128) -> usize {
    (id >> (128 - SHARDS.trailing_zeros())) as usize
}

/// Files of events that were read for the store.
pub(crate) struct Additions {
    /// Their events; `None` where there is none.
    pub(crate) timelines: Option<Timelines>,
    /// What became of their rows, by their numbers.
    pub(crate) ledgers: BTreeMap<u32, FileLedger>,
    /// Ids of the events, and the day from which each is known.
    pub(crate) ids: Vec<(u128, i32)>,
    /// Days at which an event that was read earlier was known later than one with the same id.
    pub(crate) unsure: Vec<(i32, i32)>,
}

/// The first day at which the events of each name are known, and at which all are.
struct KnownFrom {
    names: [Vec<i32>; 5],
    all: Option<i32>,
}

impl KnownFrom {
    fn new(vocabularies: &Vocabularies) -> Self {
        let Vocabularies { event, category, channel, device, campaign } = vocabularies;
        let all = [event, category, channel, device, campaign];
        Self { names: all.map(|vocabulary| vec![i32::MAX; vocabulary.names().len()]), all: None }
    }

    fn look_at(&mut self, events: &EventColumns, settle_days: u16) {
        let timeline = events.timeline();
        for (at, event) in timeline.events.iter().enumerate() {
            let detail = timeline.detail(at);
            let from = detail.received.max(event.day().0 + i32::from(settle_days)) + 1;
            self.all = self.all.max(Some(from));
            let narrow = |code: u16| if code == NO_CODE { NO_CATEGORY } else { u32::from(code) };
            let (kind, channel) = (narrow(event.kind), narrow(event.channel));
            let (device, campaign) = (narrow(detail.device), narrow(detail.campaign));
            for (names, code) in self.names.iter_mut().zip([kind, event.category, channel, device, campaign]) {
                if let Some(known) = names.get_mut(code as usize) {
                    *known = from.min(*known);
                }
            }
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.all = self.all.max(other.all);
        for (names, others) in self.names.iter_mut().zip(other.names) {
            names.iter_mut().zip(others).for_each(|(name, other)| *name = other.min(*name));
        }
        self
    }
}

/// A part of a partition, compressed.
struct Encoded {
    partition: usize,
    hashes: (u64, u64),
    owners: Packed,
    n_customers: usize,
    events: Packed,
    n_events: usize,
}

impl Encoded {
    fn of(part: &Partition) -> std::io::Result<Self> {
        let last = part.customers() - 1;
        Ok(Self {
            partition: crate::timeline::partition_of(part.hash(0)),
            hashes: (part.hash(0), part.hash(last)),
            owners: pack(&encode_owners(part))?,
            n_customers: part.customers(),
            events: pack(&encode_events(&part.events))?,
            n_events: part.events.len(),
        })
    }
}

/// Stretches of customers with so many events that a block holds them.
fn stretches(part: &Partition) -> Vec<std::ops::Range<usize>> {
    let mut stretches = Vec::new();
    let mut start = 0;
    while start < part.customers() {
        let most = part.starts[start] + BLOCK_EVENTS;
        let end = part.starts[start..].partition_point(|&at| at <= most) + start - 1;
        stretches.push(start..end.max(start + 1));
        start = end.max(start + 1);
    }
    stretches
}

fn encode(part: &Partition) -> std::io::Result<Vec<Encoded>> {
    match stretches(part).as_slice() {
        [] => Ok(Vec::new()),
        [_] => Ok(vec![Encoded::of(part)?]),
        many => many.iter().map(|stretch| Encoded::of(&part.some(stretch.clone()))).collect(),
    }
}

/// Writes the events of timelines as blocks.
fn write_events(
    writer: &mut SegmentWriter,
    timelines: &Timelines,
    settle_days: u16,
    footer: &mut Footer,
) -> Result<(), SpillError> {
    let mut known_from = KnownFrom::new(&timelines.vocabularies);
    for stretch in timelines.stretches() {
        for start in stretch.clone().step_by(ENCODED_AT_ONCE) {
            let one = |index: usize| {
                let part = timelines.part(index)?;
                let mut known_from = KnownFrom::new(&timelines.vocabularies);
                known_from.look_at(&part.events, settle_days);
                Ok((encode(&part), known_from, part.events.shape()))
            };
            let indices = start..(start + ENCODED_AT_ONCE).min(stretch.end);
            let encoded: Vec<_> = indices.into_par_iter().map(one).collect::<Result<_, SpillError>>()?;
            for (encoded, of_part, shape) in encoded {
                known_from = known_from.and(of_part);
                footer.details |= shape.details;
                footer.conditions |= shape.conditions;
                let encoded = encoded.map_err(|error| writer.failed(error)).map_err(super::StoreError::from)?;
                for one in encoded {
                    let section = |writer: &mut SegmentWriter, packed| writer.section(packed);
                    let owners = section(writer, &one.owners).map_err(super::StoreError::from)?;
                    let events = section(writer, &one.events).map_err(super::StoreError::from)?;
                    let Encoded { partition, hashes, n_customers, n_events, .. } = one;
                    footer.blocks.push(Block { partition, hashes, owners, n_customers, events, n_events });
                }
            }
        }
    }
    footer.numbers = timelines.numbers.iter().map(|column| (column.name.clone(), column.is_text)).collect();
    let Vocabularies { event, category, channel, device, campaign } = &timelines.vocabularies;
    let mut of_column = known_from.names.into_iter();
    footer.names = [event, category, channel, device, campaign].map(|vocabulary| {
        let known_from = of_column.next().expect("as many as vocabularies");
        Names { names: vocabulary.names().to_vec(), known_from }
    });
    footer.known_from = known_from.all;
    Ok(())
}

/// Writes ids of a shard, ascending.
fn write_ids(
    writer: &mut SegmentWriter,
    shard: usize,
    ids: &[(u128, i32)],
    footer: &mut Footer,
) -> Result<(), FileError> {
    if ids.is_empty() {
        return Ok(());
    }
    let packed = pack(&encode_ids(ids)).map_err(|error| writer.failed(error))?;
    let section = writer.section(&packed)?;
    footer.ids.push(IdBlock { shard, ids: section, n: ids.len() });
    Ok(())
}

impl TimelineStore {
    /// Adds files that were read: `files` are all that are in the store then, in the order of reading. With `anew`,
    /// whatever was in it before is replaced.
    ///
    /// # Errors
    /// A disk that does not take them; then the store is what it was.
    pub(crate) fn add(
        &mut self,
        reading: &str,
        files: Vec<StoredFile>,
        additions: Additions,
        settle_days: u16,
        anew: bool,
    ) -> Result<(), Error> {
        let Additions { timelines, ledgers, mut ids, unsure } = additions;
        let former = self.manifest.clone().filter(|_| !anew);
        let next_segment = self.manifest.as_ref().map_or(0, |manifest| manifest.next_segment);
        let mut manifest = former.unwrap_or_else(|| Manifest::empty(reading.into(), next_segment));
        manifest.files = files;
        manifest.unsure.extend(unsure);
        manifest.unsure.sort_unstable();
        manifest.unsure.dedup();
        let mut segments = if anew { Vec::new() } else { self.segments.clone() };
        if !ledgers.is_empty() {
            let mut footer = Footer { ledgers, ..Footer::default() };
            let mut writer = SegmentWriter::create(&self.folder.join(segment_name(manifest.next_segment)))?;
            if let Some(timelines) = &timelines {
                write_events(&mut writer, timelines, settle_days, &mut footer)?;
            }
            ids.par_sort_unstable();
            for of_shard in ids.chunk_by(|(a, _), (b, _)| shard_of(*a) == shard_of(*b)) {
                write_ids(&mut writer, shard_of(of_shard[0].0), of_shard, &mut footer)?;
            }
            let entry = writer.finish(&footer)?;
            manifest.next_segment += 1;
            manifest.segments.push(entry);
        }
        drop(timelines);
        if let Some(entry) = manifest.segments.last().filter(|_| manifest.segments.len() > segments.len()) {
            segments.push(Arc::new(Segment::open(&self.folder, entry)?));
        }
        self.commit(manifest, segments)
    }

    /// Merges the newest segments when they have become many or large, and says how many.
    ///
    /// # Errors
    /// A segment that cannot be read; a disk that does not take the merged one. Then the store is what it was.
    pub(crate) fn compact(&mut self, settle_days: u16, budget: &Budget) -> Result<usize, Error> {
        let Some(manifest) = &self.manifest else { return Ok(0) };
        let weight = |entry: &SegmentEntry| (entry.events + entry.ids + 1) as f64;
        let mut first = manifest.segments.len().saturating_sub(1);
        let mut newer: f64 = manifest.segments.last().map_or(0.0, weight);
        while first > 0 && newer >= weight(&manifest.segments[first - 1]) * MERGED_SHARE {
            first -= 1;
            newer += weight(&manifest.segments[first]);
        }
        let merged = manifest.segments.len() - first;
        if merged < 2 {
            return Ok(0);
        }
        let mut manifest = manifest.clone();
        let name = segment_name(manifest.next_segment);
        let mut writer = SegmentWriter::create(&self.folder.join(&name))?;
        let old = &self.segments[first..];
        let ledgers = old.iter().flat_map(|segment| segment.footer.ledgers.clone()).collect();
        let mut footer = Footer { ledgers, ..Footer::default() };
        if old.iter().any(|segment| segment.footer.n_events() > 0) {
            let with_events = old.iter().find(|segment| segment.footer.n_events() > 0);
            let numbers = with_events.map_or(Vec::new(), |segment| segment.footer.number_columns());
            let (view, vocabularies) = View::new(old.to_vec(), None, None, budget.loaded_bytes())?;
            let timelines = Timelines {
                store: Store::Stored(Box::new(view)),
                vocabularies,
                numbers,
                attributes: Vec::new(),
                without_events: 0,
                // Nobody asks for these of timelines that are only written.
                first_day: Day::default(),
                last_day: Day::default(),
                n_customers: 0,
                n_events: 0,
            };
            write_events(&mut writer, &timelines, settle_days, &mut footer)?;
        }
        let mut room = Bytes::default();
        for shard in 0..SHARDS {
            let mut ids = Vec::new();
            for segment in old {
                for block in segment.footer.ids.iter().filter(|block| block.shard == shard) {
                    ids.extend(read_ids(segment, block, &mut room)?);
                }
            }
            ids.sort_unstable();
            write_ids(&mut writer, shard, &ids, &mut footer)?;
        }
        let entry = writer.finish(&footer)?;
        manifest.next_segment += 1;
        manifest.segments.truncate(first);
        manifest.segments.push(entry);
        let mut segments = self.segments[..first].to_vec();
        segments.push(Arc::new(Segment::open(&self.folder, &manifest.segments[first])?));
        self.commit(manifest, segments)?;
        Ok(merged)
    }

    /// Makes a manifest the store's, and removes the segments that it no longer names.
    fn commit(&mut self, manifest: Manifest, segments: Vec<Arc<Segment>>) -> Result<(), Error> {
        storage::sync_folder(&self.folder).map_err(FileError::at("write the folder", &self.folder))?;
        let committed = manifest.save(&self.folder);
        if let Err(error) = committed {
            let is_old =
                |name: &String| self.manifest.iter().flat_map(|old| &old.segments).any(|old| old.name == *name);
            for entry in manifest.segments.iter().filter(|entry| !is_old(&entry.name)) {
                let _ = fs::remove_file(self.folder.join(&entry.name)); // what stays goes when the store is next opened
            }
            return Err(error.into());
        }
        let former = std::mem::take(&mut self.segments);
        let gone = former.iter().filter(|old| !segments.iter().any(|segment| segment.path == old.path));
        for segment in gone {
            let _ = fs::remove_file(&segment.path); // what stays goes when the store is next opened
        }
        self.segments = segments;
        self.manifest = Some(manifest);
        Ok(())
    }
}

const _: () = assert!(SHARDS.is_power_of_two() && PARTITIONS.is_power_of_two());
