//! Fingerprints of the files that are read, taken while other threads decode.
//!
//! Of an object in a store it is what the store calls the content, its entity tag, which the reading was held to: hashing
//! the bytes would mean fetching all of them, where columns that nobody asks for are never fetched. It changes with every
//! writing of other content, and stays while nobody writes; the same content elsewhere may have another.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::EventsError;
use super::source::EventFile;
use crate::error::FileError;
use crate::storage::is_remote;

/// Bytes hashed between two looks at whether to go on.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks at a time: the thread that hashes may be one that decoding waits for.
const MOST_CHUNKS: usize = 64;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFingerprint {
    /// Its name, as in [`super::source::EventFile::name`].
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// BLAKE3 of these bytes, in hexadecimal digits; empty of an object in a store.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blake3: String,
    /// What the object store calls the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
}

/// Fingerprints of files in the making, one file after the other.
pub(crate) struct Fingerprints<'a> {
    files: Vec<&'a EventFile>,
    done: Vec<FileFingerprint>,
    /// The file after those that are done.
    open: Option<Hashing<'a>>,
}

struct Hashing<'a> {
    file: &'a EventFile,
    reader: Option<File>,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl<'a> Hashing<'a> {
    fn start(file: &'a EventFile) -> Result<Self, EventsError> {
        let open = || File::open(&file.path).map_err(FileError::at("read", &file.path));
        let reader = (!is_remote(&file.path)).then(open).transpose()?;
        Ok(Self { file, reader, hasher: blake3::Hasher::new(), buffer: vec![0; CHUNK_BYTES] })
    }

    /// Hashes a chunk; the fingerprint when it was the last.
    fn step(&mut self) -> Result<Option<FileFingerprint>, EventsError> {
        let n = match &mut self.reader {
            Some(reader) => reader.read(&mut self.buffer).map_err(FileError::at("read", &self.file.path))?,
            None => 0,
        };
        self.hasher.update(&self.buffer[..n]);
        Ok((n == 0).then(|| FileFingerprint {
            name: self.file.name.clone(),
            bytes: self.file.size,
            blake3: self.reader.as_ref().map(|_| self.hasher.finalize().to_hex().to_string()).unwrap_or_default(),
            e_tag: self.file.e_tag.clone(),
        }))
    }

    fn finish(mut self) -> Result<FileFingerprint, EventsError> {
        loop {
            if let Some(done) = self.step()? {
                return Ok(done);
            }
        }
    }
}

impl<'a> Fingerprints<'a> {
    pub fn new(files: impl IntoIterator<Item = &'a EventFile>) -> Self {
        Self { files: files.into_iter().collect(), done: Vec::new(), open: None }
    }

    /// Goes on for a while, or until told to stop.
    pub fn advance(&mut self, stop: &AtomicBool) -> Result<(), EventsError> {
        for _ in 0..MOST_CHUNKS {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if self.open.is_none() {
                let Some(file) = self.files.get(self.done.len()) else { return Ok(()) };
                self.open = Some(Hashing::start(file)?);
            }
            if let Some(open) = &mut self.open
                && let Some(done) = open.step()?
            {
                self.done.push(done);
                self.open = None;
            }
        }
        Ok(())
    }

    /// All of them, in the order of the files.
    pub fn finish(self) -> Result<Vec<FileFingerprint>, EventsError> {
        let Self { files, mut done, open } = self;
        let n_started = done.len() + usize::from(open.is_some());
        let rest = files[n_started..].par_iter().map(|&file| Hashing::start(file)?.finish());
        let (first, rest) =
            rayon::join(|| open.map(Hashing::finish).transpose(), || rest.collect::<Result<Vec<_>, _>>());
        done.extend(first?);
        done.extend(rest?);
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::formats::{Compression, Format};

    #[test]
    fn fingerprints_are_those_of_whole_files_wherever_they_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<Vec<u8>> =
            [0, 5, CHUNK_BYTES, 3 * CHUNK_BYTES + 7].map(|n| (0..n).map(|at| (at % 251) as u8).collect()).into();
        let files: Vec<EventFile> = contents
            .iter()
            .enumerate()
            .map(|(index, content)| {
                let path = folder.path().join(index.to_string());
                std::fs::write(&path, content).unwrap();
                EventFile {
                    path,
                    name: index.to_string(),
                    format: Format::Delimited,
                    compression: Compression::None,
                    partition: Vec::new(),
                    size: content.len() as u64,
                    e_tag: None,
                }
            })
            .collect();
        let wanted: Vec<String> = contents.iter().map(|content| blake3::hash(content).to_hex().to_string()).collect();
        let found = |fingerprints: Fingerprints| -> Vec<String> {
            fingerprints.finish().unwrap().into_iter().map(|print| print.blake3).collect()
        };
        assert_eq!(found(Fingerprints::new(&files)), wanted);
        let mut whole = Fingerprints::new(&files);
        whole.advance(&AtomicBool::new(false)).unwrap();
        assert_eq!(whole.done.len(), files.len());
        assert_eq!(found(whole), wanted);
        let mut stopped = Fingerprints::new(&files[3..]);
        stopped.open = Some(Hashing::start(&files[3]).unwrap());
        assert_eq!(stopped.open.as_mut().unwrap().step().unwrap(), None);
        assert_eq!(found(stopped), wanted[3..]);
    }
}
