//! The JSON files of a partition, which tell of its rows.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::FileError;

/// What a file says; `None` when it is not there.
///
/// # Errors
/// A file that cannot be read or understood.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(FileError::at("read", path))?,
    };
    // Without the kind of its own, so that it counts as damage wherever it breaks off.
    let damaged = |error: serde_json::Error| FileError::damaged(path, error);
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}
