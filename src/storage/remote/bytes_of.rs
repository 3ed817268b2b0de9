//! The bytes of one object: in a stream, or in the ranges that Parquet asks for.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::task::JoinHandle;

use super::{Bucket, Object, REQUEST_BYTES, runtime};
use crate::error::FileError;

/// The first request of a stream: who looks at the first bytes alone shall not pay for more.
const FIRST_BYTES: u64 = 64 << 10;

/// What is fetched beyond what was asked for, of ranges that nobody has named before.
const WINDOW_BYTES: u64 = 256 << 10;

/// An object from its first byte to its last; the next bytes come while the present ones are used.
pub(crate) struct Stream {
    bucket: Bucket,
    object: Object,
    /// What is there and not yet read.
    here: Bytes,
    /// The end of what is there, and the length of the last request.
    end: u64,
    length: u64,
    coming: Option<JoinHandle<Result<Bytes, FileError>>>,
}

impl Stream {
    pub fn new(bucket: Bucket, object: Object) -> Self {
        Self { bucket, object, here: Bytes::new(), end: 0, length: FIRST_BYTES / 2, coming: None }
    }

    /// Asks for the bytes after those that are there.
    fn ask(&mut self) -> Option<JoinHandle<Result<Bytes, FileError>>> {
        if self.end == self.object.size {
            return None;
        }
        self.length = (2 * self.length).min(REQUEST_BYTES);
        let range = self.end..(self.end + self.length).min(self.object.size);
        self.end = range.end;
        let (bucket, object) = (self.bucket.clone(), self.object.clone());
        Some(runtime().spawn(async move { bucket.one_range(&object, range).await }))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            let is_first = self.end == 0;
            let Some(coming) = self.coming.take().or_else(|| self.ask()) else { return Ok(0) };
            let came = runtime().block_on(coming).map_err(io::Error::other)?;
            self.here = came.map_err(|error| error.source)?;
            if !is_first {
                self.coming = self.ask();
            }
        }
        let n = self.here.len().min(buffer.len());
        self.here.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

/// Ranges of an object, fetched before they are used, or when they are.
#[derive(Clone)]
pub(crate) struct Chunks {
    bucket: Bucket,
    object: Arc<Object>,
    blocks: Arc<Mutex<Blocks>>,
}

/// A stretch of bytes and where it begins.
type Block = (u64, Bytes);

#[derive(Default)]
struct Blocks {
    here: Vec<Block>,
    coming: Option<JoinHandle<Result<Vec<Block>, FileError>>>,
}

impl Chunks {
    pub fn new(bucket: Bucket, object: Object) -> Self {
        Self { bucket, object: Arc::new(object), blocks: Arc::default() }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends for ranges that will be read, all at once, and does not wait for them.
    pub fn send_for(&self, ranges: Vec<Range<u64>>) {
        let (bucket, object) = (self.bucket.clone(), Arc::clone(&self.object));
        let coming = runtime().spawn(async move {
            let fetched = bucket.ranges_now(&object, &ranges).await?;
            Ok(ranges.iter().map(|range| range.start).zip(fetched).collect())
        });
        self.blocks().coming = Some(coming);
    }

    /// Waits for what was sent for.
    pub fn arrive(&self) -> Result<(), FileError> {
        let Some(coming) = self.blocks().coming.take() else { return Ok(()) };
        let stopped = |error| FileError::at("read", self.bucket.address(&self.object.key))(io::Error::other(error));
        let came = runtime().block_on(coming).map_err(stopped)??;
        self.blocks().here.extend(came);
        Ok(())
    }

    /// The bytes from `start` on that are there: at least `least` of them, unless the object ends before.
    fn from(&self, start: u64, least: u64) -> io::Result<Bytes> {
        let end = (start + least).min(self.object.size);
        let mut blocks = self.blocks();
        let found = blocks.here.iter().find(|(first, block)| *first <= start && end <= first + block.len() as u64);
        if let Some((first, block)) = found {
            return Ok(block.slice((start - first) as usize..));
        }
        let range = start..end.max(start + WINDOW_BYTES).min(self.object.size);
        let fetched = self.bucket.ranges(&self.object, std::slice::from_ref(&range)).map_err(|error| error.source)?;
        let block = fetched.into_iter().next().unwrap_or_default();
        blocks.here.push((start, block.clone()));
        Ok(block)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.object.size
    }
}

impl ChunkReader for Chunks {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<ChunkRead, ParquetError> {
        Ok(ChunkRead { chunks: self.clone(), at: start, here: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start, length as u64)?;
        match bytes.len() < length {
            true => Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.object.size))),
            false => Ok(bytes.slice(..length)),
        }
    }
}

/// An object from some byte on.
pub(crate) struct ChunkRead {
    chunks: Chunks,
    at: u64,
    here: Bytes,
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() && self.at < self.chunks.object.size {
            self.here = self.chunks.from(self.at, 1)?;
            self.at += self.here.len() as u64;
        }
        let n = self.here.len().min(buffer.len());
        self.here.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
