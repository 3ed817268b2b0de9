//! Timelines larger than memory: what has grown is put aside on disk, and comes back a partition at a time.
//!
//! One unnamed temporary file holds it all. It has no entry in any folder, so the system frees it when the process
//! ends, however that happens: a killed run leaves nothing behind. Every time memory is full, each partition adds a
//! block of its customers and a block of its events; both are compressed with zstd.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytesize::ByteSize;
use rayon::prelude::*;

use super::attributes::Attributes;
use super::budget::Budget;
use super::codec::{self, Damaged};
use super::event::{EventColumns, Shape};
use super::growing::Growing;
use super::sort::{Recode, sort_timelines};
use super::store::StoreError;
use super::{PARTITIONS, Partition};
use crate::error::{ExitCode, Explain};

/// A partition being loaded takes this many times its events: the bytes of a block, its events, the merged ones, and
/// the compressed bytes.
const LOADING_FACTOR: f64 = 3.5;

/// Timelines on disk that cannot be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// The disk does not take or give back what was put aside.
    #[error("{}: cannot {action} the temporary file of timelines that memory does not hold", folder.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Folder of the temporary file.
        folder: PathBuf,
        /// Bytes in the file so far.
        bytes: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A store of timelines that cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Explain for SpillError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Disk { .. } => ExitCode::Usage,
            Self::Store(error) => error.exit_code(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Disk { bytes, .. } => vec![
                format!("It holds {} so far.", ByteSize(*bytes).display().iec()),
                "The temporary file is gone; nothing else was written.".into(),
            ],
            Self::Store(error) => error.details(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Disk { .. } => vec![
                "make room there, or name a folder on another disk with `--spill-dir`".into(),
                "with more memory (`--memory`) less is put aside".into(),
            ],
            Self::Store(error) => error.hints(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Section {
    offset: u64,
    stored: usize,
    raw: usize,
}

/// What one partition put aside at one time.
#[derive(Debug, Clone, Copy)]
struct Block {
    customers: Section,
    n_customers: usize,
    events: Section,
    n_events: usize,
    shape: Shape,
}

/// The file while it is written.
pub(super) struct Spill {
    file: File,
    end: u64,
    folder: PathBuf,
    loaded_bytes: f64,
    /// Of each partition, in the order of the files.
    blocks: Vec<Vec<Block>>,
}

/// Partitions that are compressed before the next are, so that what waits for the disk stays small.
const COMPRESSED_AT_ONCE: usize = 32;

/// Fast: what is put aside is read back within seconds.
const ZSTD_LEVEL: i32 = 1;

impl Spill {
    pub(super) fn create(budget: &Budget) -> Result<Self, SpillError> {
        let folder = budget.folder();
        let file = tempfile::tempfile_in(&folder).map_err(|source| SpillError::Disk {
            action: "create",
            folder: folder.clone(),
            bytes: 0,
            source,
        })?;
        Ok(Self { file, end: 0, folder, loaded_bytes: budget.loaded_bytes(), blocks: vec![Vec::new(); PARTITIONS] })
    }

    /// Adds what has grown, which is empty afterwards.
    pub(super) fn append(&mut self, growing: &mut [Growing], shape: Shape) -> Result<(), SpillError> {
        let failed = |bytes: u64| {
            let folder = self.folder.clone();
            move |source| SpillError::Disk { action: "write", folder, bytes, source }
        };
        for (chunk, growing) in growing.chunks_mut(COMPRESSED_AT_ONCE).enumerate() {
            let compressor = || zstd::bulk::Compressor::new(ZSTD_LEVEL);
            let pack_one = |compressor: &mut io::Result<zstd::bulk::Compressor<'static>>, growing: &mut Growing| {
                let Growing { customers, events, owners, .. } = std::mem::take(growing);
                if customers.len() == 0 {
                    return Ok(None);
                }
                let ids = codec::encode_customers(&customers);
                let rows = codec::encode_events(&events, &owners);
                let counts = (customers.len(), owners.len(), ids.len(), rows.len());
                let compressor = compressor.as_mut().map_err(|error| io::Error::from(error.kind()))?;
                Ok(Some((compressor.compress(&ids)?, compressor.compress(&rows)?, counts)))
            };
            let packed: Vec<io::Result<Option<_>>> = growing.par_iter_mut().map_init(compressor, pack_one).collect();
            for (index, packed) in packed.into_iter().enumerate() {
                let Some((ids, rows, counts)) = packed.map_err(failed(self.end))? else { continue };
                let (n_customers, n_events, raw_ids, raw_rows) = counts;
                let mut section = |bytes: &[u8], raw: usize| {
                    self.file.write_all(bytes).map_err(failed(self.end))?;
                    let section = Section { offset: self.end, stored: bytes.len(), raw };
                    self.end += bytes.len() as u64;
                    Ok::<Section, SpillError>(section)
                };
                let (customers, events) = (section(&ids, raw_ids)?, section(&rows, raw_rows)?);
                let block = Block { customers, n_customers, events, n_events, shape };
                self.blocks[chunk * COMPRESSED_AT_ONCE + index].push(block);
            }
        }
        Ok(())
    }

    /// Ready to be read. A partition that is too large for its share of memory is cut by further bits of the hash.
    pub(super) fn finish(self, recode: Recode, shape: Shape, attributes: Option<Attributes>) -> Spilled {
        let events: Vec<usize> =
            self.blocks.iter().map(|blocks| blocks.iter().map(|block| block.n_events).sum()).collect();
        let (parts, at_once) = cut(&events, shape, self.loaded_bytes);
        Spilled {
            file: Mutex::new(self.file),
            bytes: self.end,
            folder: self.folder,
            blocks: self.blocks,
            parts,
            at_once,
            recode,
            shape,
            attributes,
            rooms: Mutex::default(),
        }
    }
}

/// The parts of partitions of so many events that can be loaded into so many bytes by all threads together, and how many
/// of them side by side.
pub(super) fn cut(events: &[usize], shape: Shape, loaded_bytes: f64) -> (Vec<PartOf>, usize) {
    let event_bytes = (shape.event_bytes() + 4) as f64;
    let threads = rayon::current_num_threads() as f64;
    let mut parts = Vec::new();
    let mut largest = 0.0f64;
    for (partition, &n) in events.iter().enumerate() {
        let bytes = n as f64 * event_bytes * LOADING_FACTOR;
        let mut bits = 0;
        while bits < MOST_BITS && bytes / f64::from(1u32 << bits) * threads > loaded_bytes {
            bits += 1;
        }
        // Cutting costs a pass over the blocks each time: threads may as well take turns before that.
        while bits > 0 && bytes / f64::from(1u32 << (bits - 1)) <= loaded_bytes {
            bits -= 1;
        }
        largest = largest.max(bytes / f64::from(1u32 << bits));
        parts.extend((0..1u32 << bits).map(|cut| PartOf { partition, cut, bits }));
    }
    let at_once = if largest > 0.0 { (loaded_bytes / largest).clamp(1.0, threads) as usize } else { 1 };
    (parts, at_once)
}

/// A partition is cut into at most 2^16 parts; a single customer is never cut.
const MOST_BITS: u32 = 16;

/// A part of a partition: the customers whose next `bits` bits of the hash are `cut`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartOf {
    pub(super) partition: usize,
    pub(super) cut: u32,
    pub(super) bits: u32,
}

impl PartOf {
    /// The whole of a partition.
    pub(super) fn whole(partition: usize) -> Self {
        Self { partition, cut: 0, bits: 0 }
    }

    /// The smallest part that holds a hash.
    pub(super) fn around(hash: u64) -> Self {
        let below = 64 - PARTITIONS.trailing_zeros() - MOST_BITS;
        let cut = (hash >> below) as u32 & ((1 << MOST_BITS) - 1);
        Self { partition: super::partition_of(hash), cut, bits: MOST_BITS }
    }

    /// Hashes of its customers, from the lowest to the highest.
    pub(super) fn range(self) -> std::ops::RangeInclusive<u64> {
        let prefix = (self.partition as u64) << MOST_BITS | u64::from(self.cut) << (MOST_BITS - self.bits);
        let below = 64 - PARTITIONS.trailing_zeros() - MOST_BITS;
        let first = prefix << below;
        first..=first | (u64::MAX >> (PARTITIONS.trailing_zeros() + self.bits))
    }

    pub(super) fn holds(self, hash: u64) -> bool {
        let below = hash << PARTITIONS.trailing_zeros();
        self.bits == 0 || below >> (64 - self.bits) == u64::from(self.cut)
    }
}

/// Room for a partition while it is loaded; serves one after another, because fresh memory takes its time.
#[derive(Default)]
struct Room {
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// Events of a block, then those that are being sorted.
    events: EventColumns,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

/// Timelines on disk.
pub(super) struct Spilled {
    file: Mutex<File>,
    bytes: u64,
    folder: PathBuf,
    blocks: Vec<Vec<Block>>,
    parts: Vec<PartOf>,
    /// Parts that memory holds side by side.
    at_once: usize,
    recode: Recode,
    shape: Shape,
    attributes: Option<Attributes>,
    /// As many as parts were loaded side by side.
    rooms: Mutex<Vec<Room>>,
}

impl std::fmt::Debug for Spilled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spilled({} bytes, {} parts)", self.bytes, self.parts.len())
    }
}

impl Spilled {
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Bytes that stay in memory.
    pub(super) fn beside(&self) -> usize {
        self.attributes.as_ref().map_or(0, Attributes::bytes)
    }

    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    fn failed(&self, source: io::Error) -> SpillError {
        SpillError::Disk { action: "read back", folder: self.folder.clone(), bytes: self.bytes, source }
    }

    /// Reads a section into `raw` of a room.
    fn read(&self, section: Section, room: &mut Room) -> Result<(), SpillError> {
        let Room { stored, raw, decompressor, .. } = room;
        stored.resize(section.stored, 0);
        let mut read = || {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(section.offset))?;
            file.read_exact(stored)?;
            drop(file);
            if decompressor.is_none() {
                *decompressor = Some(zstd::bulk::Decompressor::new()?);
            }
            let decompressor = decompressor.as_mut().expect("just made");
            raw.clear();
            raw.reserve(section.raw);
            decompressor.decompress_to_buffer(stored, raw).map(|_| ())
        };
        read().map_err(|source| self.failed(source))
    }

    /// What `of` makes of a room, which is one that served before where there is one.
    fn with_room<T>(&self, of: impl FnOnce(&mut Room) -> Result<T, SpillError>) -> Result<T, SpillError> {
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let made = of(&mut room);
        rooms().push(room);
        made
    }

    fn damaged(&self, _: Damaged) -> SpillError {
        self.failed(io::Error::new(io::ErrorKind::InvalidData, "a block is not what was written"))
    }

    /// Sorted timelines of a part.
    pub(super) fn load(&self, part: usize) -> Result<Partition, SpillError> {
        self.with_room(|room| self.load_in(self.parts[part], room))
    }

    fn load_in(&self, part: PartOf, room: &mut Room) -> Result<Partition, SpillError> {
        let mut growing = Growing::default();
        for block in &self.blocks[part.partition] {
            self.read(block.customers, room)?;
            let ids = codec::decode_customers(&room.raw, block.n_customers);
            let ids = ids.map_err(|damaged| self.damaged(damaged))?;
            let known_as = |customer: usize| {
                let hash = ids.hashes[customer];
                part.holds(hash).then(|| growing.customer(ids.id(customer), hash))
            };
            let to: Vec<Option<u32>> = (0..ids.len()).map(known_as).collect();
            self.read(block.events, room)?;
            let rows = codec::Rows { bytes: &room.raw, n: block.n_events, stored: block.shape, wanted: self.shape };
            let appended = rows.append_to(&mut growing, &to, &mut room.events);
            appended.map_err(|damaged| self.damaged(damaged))?;
        }
        let mut partition = sort_timelines(growing, &self.recode, &mut room.events);
        if let Some(attributes) = &self.attributes {
            partition.attach(attributes);
        }
        Ok(partition)
    }

    /// Number of distinct customers, and of those with attributes: only their ids are read.
    pub(super) fn count_customers(&self) -> Result<(usize, usize), SpillError> {
        let count = |blocks: &Vec<Block>| {
            let mut growing = Growing::default();
            for block in blocks {
                let ids = self.with_room(|room| {
                    self.read(block.customers, room)?;
                    let ids = codec::decode_customers(&room.raw, block.n_customers);
                    ids.map_err(|damaged| self.damaged(damaged))
                })?;
                for customer in 0..ids.len() {
                    growing.customer(ids.id(customer), ids.hashes[customer]);
                }
            }
            let described = self.attributes.as_ref().map_or(0, |attributes| attributes.of(&growing.customers).1);
            Ok((growing.customers.len(), described))
        };
        self.blocks.par_iter().map(count).try_reduce(|| (0, 0), |a, b| Ok((a.0 + b.0, a.1 + b.1)))
    }
}
