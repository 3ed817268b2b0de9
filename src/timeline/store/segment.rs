//! Segments: files that are written once and read whole.
//!
//! ```text
//! MAGIC │ block │ block │ … │ footer
//! ```
//! A block is compressed with zstd; the footer says where each lies and what its hash is (XXH3, 64 bits), and the store's
//! manifest knows the length of the file and the hash of the footer (BLAKE3). So every byte is accounted for: one that
//! changed, or is missing, is found before anything is made of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::error::FileError;
use crate::events::ledger::FileLedger;
use crate::timeline::NumberColumn;
use crate::timeline::event::Shape;

const MAGIC: &[u8; 16] = b"bellwether segm\n";

/// Fast: a night's events are written every night, and all of them are read.
const ZSTD_LEVEL: i32 = 1;

/// Where compressed bytes lie, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) at: u64,
    pub(super) stored: usize,
    pub(super) raw: usize,
    hash: u64,
}

/// Sorted timelines of a partition, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) partition: usize,
    /// Lowest and highest hash of its customers.
    pub(super) hashes: (u64, u64),
    pub(super) owners: Section,
    pub(super) n_customers: usize,
    pub(super) events: Section,
    pub(super) n_events: usize,
}

/// Event ids whose highest bits name a shard, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdBlock {
    pub(super) shard: usize,
    pub(super) ids: Section,
    pub(super) n: usize,
}

/// The strings of one column, and the first day at which each is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    pub(super) known_from: Vec<i32>,
}

/// What a segment holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) details: bool,
    pub(super) numbers: Vec<(String, bool)>,
    pub(super) conditions: bool,
    /// Of event, category, channel, device and campaign.
    pub(super) names: [Names; 5],
    /// The day from which on all events are known.
    pub(super) known_from: Option<i32>,
    pub(super) blocks: Vec<Block>,
    pub(super) ids: Vec<IdBlock>,
    /// By number of the file in the manifest.
    pub(super) ledgers: BTreeMap<u32, FileLedger>,
}

impl Footer {
    pub(super) fn shape(&self) -> Shape {
        Shape { details: self.details, numbers: self.numbers.len(), conditions: self.conditions }
    }

    pub(super) fn number_columns(&self) -> Vec<NumberColumn> {
        let column = |(name, is_text): &(String, bool)| NumberColumn { name: name.clone(), is_text: *is_text };
        self.numbers.iter().map(column).collect()
    }

    pub(super) fn n_events(&self) -> usize {
        self.blocks.iter().map(|block| block.n_events).sum()
    }
}

/// A segment as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Where the footer begins, its size before compression, and its BLAKE3.
    footer_at: u64,
    footer_raw: usize,
    footer_blake3: String,
    pub(super) events: usize,
    pub(super) ids: usize,
}

/// Bytes as they are in the file, and how many there were before compression.
pub(super) struct Packed {
    bytes: Vec<u8>,
    raw: usize,
}

/// Compresses the bytes of a section.
pub(super) fn pack(raw: &[u8]) -> io::Result<Packed> {
    Ok(Packed { bytes: zstd::bulk::compress(raw, ZSTD_LEVEL)?, raw: raw.len() })
}

/// A segment while it is written; dropped before it is done, it is gone.
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: BufWriter<File>,
    at: u64,
    is_done: bool,
}

impl SegmentWriter {
    pub(super) fn create(path: &Path) -> Result<Self, FileError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(FileError::at("create", path))?;
        let mut writer =
            Self { path: path.into(), file: BufWriter::with_capacity(1 << 20, file), at: 0, is_done: false };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// What the system said while this segment was made.
    pub(super) fn failed(&self, source: io::Error) -> FileError {
        FileError { action: "write", path: self.path.clone(), source }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(FileError::at("write", &self.path))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn section(&mut self, packed: &Packed) -> Result<Section, FileError> {
        let Packed { bytes, raw } = packed;
        let hash = twox_hash::XxHash3_64::oneshot(bytes);
        let section = Section { at: self.at, stored: bytes.len(), raw: *raw, hash };
        self.write(bytes)?;
        Ok(section)
    }

    /// Writes the footer; the segment is on the disk then, and nobody knows of it yet.
    pub(super) fn finish(mut self, footer: &Footer) -> Result<SegmentEntry, FileError> {
        let raw = serde_json::to_vec(footer).expect("our own types have JSON forms");
        let packed = pack(&raw).map_err(|error| self.failed(error))?;
        let footer_at = self.at;
        self.write(&packed.bytes)?;
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(|error| self.failed(error))?;
        self.is_done = true;
        Ok(SegmentEntry {
            name: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: self.at,
            footer_at,
            footer_raw: raw.len(),
            footer_blake3: blake3::hash(&packed.bytes).to_hex().to_string(),
            events: footer.n_events(),
            ids: footer.ids.iter().map(|block| block.n).sum(),
        })
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = std::fs::remove_file(&self.path); // what stays is no part of the store, and goes when it is next opened
        }
    }
}

/// A segment that can be read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    file: Mutex<File>,
    pub(super) footer: Footer,
}

/// Room for the bytes of a section; serves one after another.
#[derive(Default)]
pub(super) struct Bytes {
    stored: Vec<u8>,
    pub(super) raw: Vec<u8>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl Segment {
    /// # Errors
    /// A file that is missing, is not as long as it was, or whose footer is another.
    pub(super) fn open(folder: &Path, entry: &SegmentEntry) -> Result<Self, StoreError> {
        let path = folder.join(&entry.name);
        let damaged = |what: String| StoreError::damaged(&path, what);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("the file is gone".into())),
            file => file.map_err(FileError::at("read", &path))?,
        };
        let found = file.metadata().map_err(FileError::at("read", &path))?.len();
        if found != entry.bytes {
            return Err(damaged(format!("it has {found} bytes and had {}", entry.bytes)));
        }
        let mut read = |at: u64, n: u64| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            (&mut file).take(n).read_to_end(&mut bytes).map(|_| bytes)
        };
        let magic = read(0, MAGIC.len() as u64).map_err(FileError::at("read", &path))?;
        if magic != MAGIC {
            return Err(damaged("its first bytes are not those of a segment".into()));
        }
        let bytes = read(entry.footer_at, entry.bytes.saturating_sub(entry.footer_at));
        let bytes = bytes.map_err(FileError::at("read", &path))?;
        if blake3::hash(&bytes).to_hex().as_str() != entry.footer_blake3 {
            return Err(damaged("its footer has changed since it was written".into()));
        }
        let footer = zstd::bulk::decompress(&bytes, entry.footer_raw).ok();
        let footer: Option<Footer> = footer.and_then(|json| serde_json::from_slice(&json).ok());
        let footer = footer.ok_or_else(|| damaged("its footer cannot be understood".into()))?;
        let segment = Self { file: Mutex::new(file), footer, path };
        if segment.covered() != Some(entry.footer_at) {
            return Err(StoreError::damaged(&segment.path, "its footer does not account for all of its bytes"));
        }
        Ok(segment)
    }

    /// Every section, in the order of the file.
    pub(super) fn sections(&self) -> Vec<Section> {
        let blocks = self.footer.blocks.iter().flat_map(|block| [block.owners, block.events]);
        let mut sections: Vec<Section> = blocks.chain(self.footer.ids.iter().map(|block| block.ids)).collect();
        sections.sort_by_key(|section| section.at);
        sections
    }

    /// Where the sections end, when they follow each other without gaps.
    fn covered(&self) -> Option<u64> {
        let next = |at: u64, section: &Section| (section.at == at).then(|| at + section.stored as u64);
        self.sections().iter().try_fold(MAGIC.len() as u64, next)
    }

    /// What is found when a block is not what its own lengths say.
    pub(super) fn garbled(&self, section: Section) -> StoreError {
        StoreError::damaged(&self.path, format!("the block at byte {} cannot be understood", section.at))
    }

    /// Reads a section into `room.raw`.
    pub(super) fn read(&self, section: Section, room: &mut Bytes) -> Result<(), StoreError> {
        let Bytes { stored, raw, decompressor } = room;
        stored.resize(section.stored, 0);
        let mut read = || {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(section.at))?;
            file.read_exact(stored)
        };
        read().map_err(FileError::at("read", &self.path))?;
        if twox_hash::XxHash3_64::oneshot(stored) != section.hash {
            let what = format!("the block at byte {} has changed since it was written", section.at);
            return Err(StoreError::damaged(&self.path, what));
        }
        if decompressor.is_none() {
            *decompressor = Some(zstd::bulk::Decompressor::new().map_err(FileError::at("decompress", &self.path))?);
        }
        let decompressor = decompressor.as_mut().expect("just made");
        raw.clear();
        raw.reserve(section.raw);
        match decompressor.decompress_to_buffer(stored, raw) {
            Ok(n) if n == section.raw => Ok(()),
            _ => Err(self.garbled(section)),
        }
    }
}
