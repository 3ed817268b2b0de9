//! `_store.json`: which files of events are in the store, and which segments hold them. It is written last, and in one
//! step, so that a store is always what its manifest says.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::segment::SegmentEntry;
use crate::error::FileError;
use crate::events::FileFingerprint;
use crate::storage::{self, seal};

/// Name of the manifest. What begins so is never taken for events, wherever the store lies.
pub(super) const NAME: &str = "_store.json";

const KIND: &str = "bellwether timeline store";

/// Of the manifest and of everything that it names.
const FORMAT: u32 = 2;

/// What the system says of a file; as long as none of it changes, nor does the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat {
    pub(crate) bytes: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// The same of the change of anything about the file, which nobody can set; 0 where the system does not tell.
    changed: i64,
    inode: u64,
}

impl Stat {
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn of(path: &Path) -> Result<Self, FileError> {
        let found = std::fs::metadata(path).map_err(FileError::at("look at", path))?;
        let modified = found.modified().map_or(0, nanoseconds);
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            (found.ctime().saturating_mul(1_000_000_000).saturating_add(found.ctime_nsec()), found.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (0, 0);
        Ok(Self { bytes: found.len(), modified, changed, inode })
    }
}

pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}

/// A file of events that is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    /// By which segments name it.
    pub(crate) number: u32,
    /// Where it was when it was read, without links.
    pub(crate) path: String,
    /// Columns that its folders tell.
    pub(crate) partition: Vec<(String, Option<String>)>,
    pub(crate) stat: Stat,
    /// Whether it had rested for a while before it was read, so that a later change shows in its times.
    pub(crate) is_settled: bool,
    pub(crate) fingerprint: FileFingerprint,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    kind: String,
    format: u32,
    /// What the coding of events depends on beside their files.
    pub(crate) reading: String,
    /// Files of events, in the order of reading.
    pub(crate) files: Vec<StoredFile>,
    /// Days at which an event that was read earlier was known later than one with the same id: what is kept of the two
    /// is not what was known then.
    pub(crate) unsure: Vec<(i32, i32)>,
    pub(super) segments: Vec<SegmentEntry>,
    /// Number of the next segment.
    pub(super) next_segment: u32,
    /// BLAKE3 of all that stands before it.
    seal: String,
}

impl Manifest {
    /// Of a store that holds nothing; segments are numbered from `next_segment`, so that no name comes twice.
    pub(super) fn empty(reading: String, next_segment: u32) -> Self {
        Self {
            kind: KIND.into(),
            format: FORMAT,
            reading,
            files: Vec::new(),
            unsure: Vec::new(),
            segments: Vec::new(),
            next_segment,
            seal: String::new(),
        }
    }

    fn sealed(&self) -> Vec<u8> {
        seal::sealed(&mut self.clone(), |manifest| &mut manifest.seal)
    }

    /// The manifest of a folder; `None` when there is none.
    ///
    /// # Errors
    /// Damage; another release's format.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(NAME);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(FileError::at("read", &path))?,
        };
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            format: u32,
        }
        let manifest: Option<Self> = serde_json::from_slice(&bytes).ok();
        match manifest {
            // Written anew it must be what it is: so that no byte of it goes unchecked.
            Some(manifest) if manifest.kind == KIND && manifest.format == FORMAT && manifest.sealed() == bytes => {
                Ok(Some(manifest))
            }
            _ => match serde_json::from_slice::<Head>(&bytes) {
                Ok(head) if head.kind == KIND && head.format != FORMAT => {
                    Err(StoreError::Format { path, found: head.format, known: FORMAT })
                }
                _ => Err(StoreError::damaged(&path, "it is not what was written")),
            },
        }
    }

    /// Puts this manifest in the place of a former one, in one step.
    pub(super) fn save(&self, folder: &Path) -> Result<(), FileError> {
        storage::write_atomic(&folder.join(NAME), |file| file.write_all(&self.sealed()))
    }
}
