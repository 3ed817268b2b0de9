//! A file that is written piece by piece and appears whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::temporary::{Kind, Temporary, recover};
use super::{parent_of, refuse_remote, sync_folder};
use crate::error::FileError;

/// A file that is being written beside its target, and takes its place when it is done; dropped before that, it is gone.
/// A killed run's is cleared by [`recover`].
#[derive(Debug)]
pub(crate) struct PendingFile {
    temporary: Temporary,
    file: File,
    target: PathBuf,
}

impl PendingFile {
    /// An empty one beside `target`, whose folder is created when it is missing.
    pub(crate) fn create(target: &Path) -> Result<Self, FileError> {
        refuse_remote(target)?;
        let parent = parent_of(target);
        fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
        recover(&parent)?;
        let (temporary, file) = Temporary::create(target, Kind::File)?;
        Ok(Self { temporary, file, target: target.into() })
    }

    /// Puts what was written in the place of the target.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary.path, &self.target)?;
        self.temporary.done = true;
        sync_folder(&parent_of(&self.target))
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
