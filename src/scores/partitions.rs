//! The partitions of a folder.

use std::path::{Path, PathBuf};

use super::manifest::MANIFEST;
use crate::error::FileError;
use crate::time::Day;

/// The complete partitions of a folder, oldest first. A folder that is not there has none.
///
/// # Errors
/// A folder that cannot be read.
pub fn partitions(folder: &Path) -> Result<Vec<(Day, PathBuf)>, FileError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::at("read the folder", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(FileError::at("read the folder", folder))?.path();
        let day = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("as_of="));
        if let Some(day) = day.and_then(|day| day.parse().ok())
            && path.join(MANIFEST).is_file()
        {
            found.push((day, path));
        }
    }
    found.sort();
    Ok(found)
}
