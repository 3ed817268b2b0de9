//! The JSON files of a partition, which tell of its rows.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::manifest::MANIFEST;
use crate::error::FileError;
use crate::storage::{self, seal};

/// What a file says; `None` when it is not there.
///
/// # Errors
/// A file that cannot be read or understood.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    read_bytes(path)?.map(|bytes| parsed(path, &bytes)).transpose()
}

/// The same of a file whose last field is a seal.
///
/// # Errors
/// As [`read`]; a file that is not what was sealed.
pub(super) fn read_sealed<T: DeserializeOwned>(
    path: &Path,
    seal_of: impl Fn(&T) -> &str,
) -> Result<Option<T>, FileError> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    let account: T = parsed(path, &bytes)?;
    seal::check(&bytes, seal_of(&account)).map_err(|broken| FileError::damaged(path, broken))?;
    Ok(Some(account))
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).map_err(FileError::at("read", path)),
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, FileError> {
    // Without the kind of its own, so that it counts as damage wherever it breaks off.
    serde_json::from_slice(bytes).map_err(|error| FileError::damaged(path, error))
}

/// The path of a data file of a folder whose manifest has these `files`, by name and BLAKE3.
///
/// # Errors
/// One that cannot be read, or is not what was written: nobody is to draw conclusions from it.
pub(super) fn sound(folder: &Path, name: &str, files: &BTreeMap<String, String>) -> Result<PathBuf, FileError> {
    let path = folder.join(name);
    let found = storage::fingerprint(&path)?;
    match files.get(name) {
        Some(written) if *written == found => Ok(path),
        written => {
            let written = written.map_or("nothing", String::as_str);
            Err(FileError::damaged(path, format!("its hash is {found}, but {MANIFEST} has {written}")))
        }
    }
}
