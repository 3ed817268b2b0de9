//! The timeline store: coded, sorted timelines on disk, so that a nightly run reads only the files that are new.
//!
//! ```text
//! DIR/_store.json            the manifest: files of events, segments, and a seal over both
//! DIR/_segment-N.timelines   partitions of sorted timelines, event ids, and what became of the rows of each file
//! ```
//! **The store repeats what the events say, and nothing else.** A file of events is in it whole, with rows that are not
//! known yet, and each segment remembers of every file what became of its rows, by the day from which on they are known
//! ([`crate::events::ledger`]). So timelines, counts and rejects can be told for any `as_of`, and are those of a reading of
//! the files, byte for byte. What the coding depends on beside the files (settings, column mapping, extras and conditions of
//! the bundle, id map, forgotten customers) is the store's *reading*; under another one the store is built anew.
//!
//! **A commit is one rename.** New segments are written beside the old ones and synced, then the manifest takes the place
//! of the former one. Segments that no manifest names (a run was killed, a disk was full) are removed when the store is
//! next opened. So after a crash the store holds the old state or the new one.
//!
//! **Segments shrink geometrically.** A night adds a small one. When the newest segments together are as large as a third
//! of the one before them they are merged with it, so that there are few to be read and every event is written about
//! `log(history / night)` times in its life.
//!
//! **Every byte is checked when it is read**: see [`segment`].

mod block;
mod error;
mod manifest;
mod segment;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::attributes::Attributes;
use super::budget::Budget;
use super::build::TimelineError;
use super::partition_of;
use super::spill::SpillError;
use super::{CustomerId, NumberColumn, PARTITIONS, Partition, Store, Timelines};
use crate::error::{Error, FileError};
use crate::events::ledger::FileLedger;
use crate::storage::{self, RunLock};
use crate::time::Day;
use manifest::Manifest;
use segment::{Bytes, Segment};

pub use error::StoreError;
pub(crate) use manifest::{Stat, StoredFile, nanoseconds};
pub use verify::StoreState;
pub(crate) use view::{KnownAt, View};
pub(crate) use write::Additions;

/// The newest segments are merged with the one before when they are larger than this share of it.
const MERGED_SHARE: f64 = 1.0 / 3.0;

/// Bytes of memory that a customer takes beside the events.
const CUSTOMER_BYTES: usize = 48;

/// A folder of timelines, for one process at a time.
#[derive(Debug)]
pub struct TimelineStore {
    folder: PathBuf,
    manifest: Option<Manifest>,
    segments: Vec<Arc<Segment>>,
    lock: RunLock,
}

impl TimelineStore {
    /// Opens a store, which is made when it is missing, and removes what killed runs have left in it.
    ///
    /// # Errors
    /// Another run uses it; a folder of something else; damage; another release's format.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let lock = RunLock::acquire(folder)?;
        storage::recover(folder)?;
        let manifest = Manifest::load(folder)?;
        let mut orphans = Vec::new();
        for entry in fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
            let entry = entry.map_err(FileError::at("read the folder", folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_named = manifest.iter().flat_map(|manifest| &manifest.segments).any(|segment| segment.name == name);
            if is_segment_name(&name) {
                if !is_named {
                    orphans.push(entry.path());
                }
            } else if manifest.is_none() && !name.starts_with('.') {
                return Err(StoreError::Foreign { folder: folder.into(), found: name }.into());
            }
        }
        for orphan in orphans {
            fs::remove_file(&orphan).map_err(FileError::at("remove what a killed run left", &orphan))?;
        }
        let entries = manifest.iter().flat_map(|manifest| &manifest.segments);
        let segments = entries.map(|entry| Segment::open(folder, entry).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.into(), manifest, segments, lock })
    }

    /// Opens a store that is there.
    ///
    /// # Errors
    /// As [`TimelineStore::open`]; a folder that holds none.
    pub fn open_existing(folder: &Path) -> Result<Self, Error> {
        match folder.join(manifest::NAME).is_file() {
            true => Self::open(folder),
            false => Err(StoreError::Missing { folder: folder.into() }.into()),
        }
    }

    /// Empties the store.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn clear(self) -> Result<(), Error> {
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::at("remove", path)),
        };
        // Without it, whatever else is there belongs to nothing.
        remove(&self.folder.join(manifest::NAME))?;
        self.segments.iter().try_for_each(|segment| remove(&segment.path))?;
        storage::sync_folder(&self.folder).map_err(FileError::at("write the folder", &self.folder))?;
        Ok(())
    }

    /// What the coding depends on beside the files; `None` of an empty store.
    pub(crate) fn reading(&self) -> Option<&str> {
        self.manifest.as_ref().map(|manifest| manifest.reading.as_str())
    }

    /// The files that are in it, in the order of reading.
    pub(crate) fn files(&self) -> &[StoredFile] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.files)
    }

    /// When this process took the store, in nanoseconds since 1970 by the clock of its file system; `None` when it does not
    /// tell.
    pub(crate) fn taken_at(&self) -> Option<i64> {
        self.lock.taken_at().map(nanoseconds)
    }

    /// Whether what the store keeps of events with the same id is what was known at a day.
    pub(crate) fn is_sure_at(&self, as_of: Option<Day>) -> bool {
        let unsure = self.manifest.iter().flat_map(|manifest| &manifest.unsure);
        as_of.is_none_or(|day| unsure.into_iter().all(|&(from, to)| !(from..to).contains(&day.0)))
    }

    /// What became of the rows of each file, by its number.
    pub(crate) fn ledgers(&self) -> BTreeMap<u32, &FileLedger> {
        self.segments.iter().flat_map(|segment| &segment.footer.ledgers).map(|(&number, of)| (number, of)).collect()
    }

    /// Of these event ids, ascending, those that are in the store, each with the day from which on its event is known.
    ///
    /// # Errors
    /// A segment that cannot be read.
    pub(crate) fn find_ids(&self, ids: &[u128]) -> Result<BTreeMap<u128, i32>, StoreError> {
        let blocks = self.segments.iter().flat_map(|segment| segment.footer.ids.iter().map(move |of| (segment, of)));
        let find = |(segment, block): (&Arc<Segment>, &segment::IdBlock)| {
            let shard = |id: &u128| write::shard_of(*id);
            let asked = &ids[ids.partition_point(|id| shard(id) < block.shard)..];
            let asked = &asked[..asked.partition_point(|id| shard(id) == block.shard)];
            if asked.is_empty() {
                return Ok(Vec::new());
            }
            let known = read_ids(segment, block, &mut Bytes::default())?;
            let found = asked.iter().filter_map(|id| {
                let at = known.binary_search_by_key(id, |(known, _)| *known).ok()?;
                Some(known[at])
            });
            Ok(found.collect())
        };
        let blocks: Vec<_> = blocks.collect();
        let found: Vec<Vec<(u128, i32)>> = blocks.into_par_iter().map(find).collect::<Result<_, StoreError>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Timelines of what is known at a day, or of everything: in memory, when that holds them, and otherwise read from the
    /// store whenever they are needed.
    ///
    /// # Errors
    /// No event; too many distinct names; a segment that cannot be read.
    pub(crate) fn timelines(
        &self,
        known_at: Option<KnownAt>,
        attributes: Option<Attributes>,
        budget: &Budget,
    ) -> Result<Timelines, TimelineError> {
        let segments = self.segments.clone();
        let attribute_columns = attributes.as_ref().map_or(Vec::new(), |all| all.columns().to_vec());
        let described = attributes.as_ref().map_or(0, Attributes::customers);
        let attribute_bytes = attributes.as_ref().map_or(0, Attributes::bytes);
        let (view, vocabularies) = View::new(segments, known_at, attributes, budget.loaded_bytes())?;
        let is_in_memory = budget.growing_bytes(attribute_bytes).is_none_or(|limit| self.bytes_in_memory() <= limit);
        let (store, counts) = if is_in_memory {
            let load = |partition: usize| {
                let (partition, described) = view.load_whole(partition)?;
                let counts = Counts::of(&partition, described);
                Ok((partition, counts))
            };
            let loaded: Vec<_> = (0..PARTITIONS).into_par_iter().map(load).collect::<Result<_, SpillError>>()?;
            let (partitions, counts): (Vec<Partition>, Vec<Counts>) = loaded.into_iter().unzip();
            (Store::Memory(partitions), counts)
        } else {
            let count = |part: usize| {
                view.load_and_count(view.part_of(part)).map(|(partition, described)| Counts::of(&partition, described))
            };
            let mut counts = Vec::new();
            for start in (0..view.parts()).step_by(view.at_once()) {
                let stretch = start..(start + view.at_once()).min(view.parts());
                counts.extend(stretch.into_par_iter().map(count).collect::<Result<Vec<_>, SpillError>>()?);
            }
            (Store::Stored(Box::new(view)), counts)
        };
        let counts = counts.into_iter().reduce(Counts::and).unwrap_or_default();
        let (first, last) = counts.times.ok_or(TimelineError::Empty)?;
        Ok(Timelines {
            store,
            vocabularies,
            numbers: self.number_columns(),
            attributes: attribute_columns,
            without_events: described - counts.described,
            first_day: Day::of_wall(first),
            last_day: Day::of_wall(last),
            n_customers: counts.customers,
            n_events: counts.events,
        })
    }

    /// The timeline of one customer, whose attributes alone are given. One partition is read.
    ///
    /// # Errors
    /// As [`TimelineStore::timelines`]: no event of the customer is known; a segment that cannot be read.
    pub(crate) fn timelines_of(
        &self,
        customer: &str,
        known_at: Option<KnownAt>,
        attributes: Option<Attributes>,
    ) -> Result<Timelines, TimelineError> {
        let columns = attributes.as_ref().map_or(Vec::new(), |all| all.columns().to_vec());
        let described = attributes.as_ref().map_or(0, Attributes::customers);
        let (view, vocabularies) = View::new(self.segments.clone(), known_at, attributes, f64::INFINITY)?;
        let id = CustomerId::of(customer);
        let (partition, found) = view.load_customer(id)?;
        let counts = Counts::of(&partition, found);
        let (first, last) = counts.times.ok_or(TimelineError::Empty)?;
        let mut partitions: Vec<Partition> = (0..PARTITIONS).map(|_| Partition::default()).collect();
        partitions[partition_of(id.hash())] = partition;
        Ok(Timelines {
            store: Store::Memory(partitions),
            vocabularies,
            numbers: self.number_columns(),
            attributes: columns,
            without_events: described - found,
            first_day: Day::of_wall(first),
            last_day: Day::of_wall(last),
            n_customers: counts.customers,
            n_events: counts.events,
        })
    }

    fn number_columns(&self) -> Vec<NumberColumn> {
        let of_events = self.segments.iter().find(|segment| segment.footer.n_events() > 0);
        of_events.map_or(Vec::new(), |segment| segment.footer.number_columns())
    }

    /// Bytes that all timelines take in memory.
    fn bytes_in_memory(&self) -> usize {
        let of = |segment: &Arc<Segment>| {
            let each = segment.footer.shape().event_bytes();
            let bytes = |block: &segment::Block| block.n_events * each + block.n_customers * CUSTOMER_BYTES;
            segment.footer.blocks.iter().map(bytes).sum::<usize>()
        };
        self.segments.iter().map(of).sum()
    }
}

fn read_ids(segment: &Segment, block: &segment::IdBlock, room: &mut Bytes) -> Result<Vec<(u128, i32)>, StoreError> {
    segment.read(block.ids, room)?;
    block::decode_ids(&room.raw, block.n).map_err(|_| segment.garbled(block.ids))
}

/// Name of a segment.
fn segment_name(number: u32) -> String {
    format!("_segment-{number:06}.timelines")
}

fn is_segment_name(name: &str) -> bool {
    let number = name.strip_prefix("_segment-").and_then(|rest| rest.strip_suffix(".timelines"));
    number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What is in a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    customers: usize,
    events: usize,
    /// Customers with attributes.
    described: usize,
    times: Option<(i64, i64)>,
}

impl Counts {
    fn of(partition: &Partition, described: usize) -> Self {
        let times = partition.events.events.iter().map(|event| event.time);
        let times = times.fold(None, |range: Option<(i64, i64)>, time| {
            Some(range.map_or((time, time), |(first, last)| (first.min(time), last.max(time))))
        });
        Self { customers: partition.customers(), events: partition.events.len(), described, times }
    }

    fn and(self, other: Self) -> Self {
        let times = match (self.times, other.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        Self {
            customers: self.customers + other.customers,
            events: self.events + other.events,
            described: self.described + other.described,
            times,
        }
    }
}
