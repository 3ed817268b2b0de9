//! Where the bytes of events come from: a file of this machine or an object of a store.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::source::EventFile;
use crate::error::FileError;
use crate::storage::location::Location;
use crate::storage::remote::{Bucket, Chunks, Object, Stream};

/// Something that can be read from its first byte, or in ranges, any number of times.
pub(crate) enum Input<'a> {
    File(&'a Path),
    Object(Bucket, Object),
}

impl<'a> Input<'a> {
    /// What is at a path or address; its size, and what its store calls its content. `listed` is what is known of it.
    pub fn find(path: &'a Path, listed: Option<Object>) -> Result<(Self, u64, Option<String>), FileError> {
        let Some(place) = Location::of(path) else {
            let size = std::fs::metadata(path).map_err(FileError::at("read", path))?.len();
            return Ok((Self::File(path), size, None));
        };
        let bucket = Bucket::of(&place)?;
        let found = match listed {
            Some(object) => Some(object),
            None => bucket.find(&place.key)?,
        };
        let Some(object) = found else {
            return Err(FileError::at("read", path)(std::io::ErrorKind::NotFound.into()));
        };
        let (size, e_tag) = (object.size, object.e_tag.clone());
        Ok((Self::Object(bucket, object), size, e_tag))
    }

    /// The same bytes as were found before: an object that was replaced meanwhile is refused.
    pub fn of(file: &'a EventFile) -> Result<Self, FileError> {
        let Some(place) = Location::of(&file.path) else { return Ok(Self::File(&file.path)) };
        let bucket = Bucket::of(&place)?;
        let object = Object { key: place.key, size: file.size, e_tag: file.e_tag.clone(), version: None };
        Ok(Self::Object(bucket, object))
    }

    /// All of its bytes.
    pub fn stream(&self) -> Result<Box<dyn Read + Send>, FileError> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).map_err(FileError::at("read", *path))?),
            Self::Object(bucket, object) => Box::new(Stream::new(bucket.clone(), object.clone())),
        })
    }

    /// Its bytes for Parquet. Each call opens a file anew: handles that share a position cannot be read side by side.
    pub fn ranges(self) -> Result<Ranges, FileError> {
        Ok(match self {
            Self::File(path) => Ranges::File(File::open(path).map_err(FileError::at("read", path))?),
            Self::Object(bucket, object) => Ranges::Object(Chunks::new(bucket, object)),
        })
    }
}

/// What Parquet is read from.
pub(crate) enum Ranges {
    File(File),
    Object(Chunks),
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Object(chunks) => chunks.len(),
        }
    }
}

impl ChunkReader for Ranges {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Box<dyn Read>, ParquetError> {
        Ok(match self {
            Self::File(file) => Box::new(file.get_read(start)?),
            Self::Object(chunks) => Box::new(chunks.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(chunks) => chunks.get_bytes(start, length),
        }
    }
}
