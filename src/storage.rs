//! Files and folders that appear whole or not at all, and the one way Parquet is written ([`PartitionWriter`]).
//!
//! A reader sees the old content or the new one, never half of either. Work in progress lies beside its
//! target, `NAME`, under names that tell what they are:
//!
//! | name | what it is | what [`recover`] does when its run has died |
//! |---|---|---|
//! | `.NAME.tmp-PID-N` | a file or folder being built, or one being deleted | removes it |
//! | `.NAME.old-PID-N` | the former folder `NAME`, moved aside a moment before the new one moves in | renames it back when `NAME` is missing, removes it otherwise |
//!
//! On Linux, and on file systems that can do it, the new folder and the former one change places in one step, so that
//! `NAME` is never missing and there is no `.old`.
//!
//! So the rule of recovery is: *a run that was killed has changed nothing, unless its new folder is already in
//! place.* A live run holds an advisory lock on its files in progress; what is locked is left alone, so
//! several runs may share a folder. Where a file system has no locks, leftovers count as dead.
//!
//! Folders in object stores are worked in through a [`Workplace`].

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::FileError;

mod exchange;
pub(crate) mod location;
mod lock;
mod partition;
mod pending;
pub(crate) mod remote;
mod scratch;
pub(crate) mod seal;
mod swap;
mod temporary;
mod whole;
mod workplace;

pub use location::is_remote;
pub use lock::RunLock;
pub use partition::PartitionWriter;
pub(crate) use pending::PendingFile;
use swap::swap_in;
pub use temporary::recover;
use temporary::{Kind, Temporary};
pub(crate) use whole::{read_text, read_whole};
pub use workplace::{Addressed, Workplace};

/// Writes a file that appears with all of its content or not at all: a temporary beside it is filled, flushed,
/// synced and renamed over `path`. An existing file is replaced. The parent folder must exist.
///
/// # Errors
/// What `write` or the system says, for instance that the disk is full; then the temporary is gone and a former
/// file is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), FileError> {
    refuse_remote(path)?;
    let parent = parent_of(path);
    recover(&parent)?;
    let (mut temporary, file) = Temporary::create(path, Kind::File)?;
    let mut writer = BufWriter::new(file);
    write(&mut writer).and_then(|()| writer.flush()).map_err(FileError::at("write", path))?;
    writer.get_ref().sync_all().map_err(FileError::at("write", path))?;
    fs::rename(&temporary.path, path).map_err(FileError::at("move the new file to", path))?;
    temporary.done = true;
    sync_folder(&parent).map_err(FileError::at("write the folder", &parent))
}

/// Builds a folder aside and puts it in the place of `target` whole; returns what `build` returns.
///
/// `build` gets an empty folder beside `target`. When it succeeds everything in the folder is synced, the two folders
/// change places, and the former one is removed. Where the system cannot do that in one step, the former is renamed
/// aside and the new one renamed in: between the two, for an instant, there is no `target`, and a run killed just
/// then is undone by the next (see [`recover`], which this calls first). Missing parent folders are created.
///
/// # Errors
/// Those of `build` and of the system; then everything built is removed and the former folder stays.
pub fn replace_folder<T, E: From<FileError>>(target: &Path, build: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    refuse_remote(target)?;
    let parent = parent_of(target);
    fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
    recover(&parent)?;
    if fs::symlink_metadata(target).is_ok_and(|found| found.is_file()) {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(FileError { action: "replace the folder", path: target.into(), source }.into());
    }
    let (mut temporary, lock) = Temporary::create(target, Kind::Folder)?;
    let result = build(&temporary.path)?;
    sync_tree(&temporary.path).map_err(FileError::at("write the folder", target))?;
    swap_in(&temporary.path, target).map_err(FileError::at("replace the folder", target))?;
    temporary.done = true;
    drop(lock);
    Ok(result)
}

/// Fills a file that appears with all of its content or not at all, as [`write_atomic`] does; `build` is given the
/// path of the temporary.
///
/// # Errors
/// Those of `build` and of the system; then the temporary is gone and a former file is untouched.
pub fn replace_file<T, E: From<FileError>>(target: &Path, build: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    refuse_remote(target)?;
    let parent = parent_of(target);
    fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
    recover(&parent)?;
    if fs::symlink_metadata(target).is_ok_and(|found| found.is_dir()) {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(FileError { action: "replace the file", path: target.into(), source }.into());
    }
    let (mut temporary, file) = Temporary::create(target, Kind::File)?;
    let result = build(&temporary.path)?;
    file.sync_all().map_err(FileError::at("write", target))?;
    fs::rename(&temporary.path, target).map_err(FileError::at("move the new file to", target))?;
    temporary.done = true;
    sync_folder(&parent).map_err(FileError::at("write", target))?;
    Ok(result)
}

/// The blake3 hash of a file's bytes, 64 lower-case hexadecimal digits, read in small pieces.
///
/// # Errors
/// When the file cannot be read.
pub fn fingerprint(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::at("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(FileError::at("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Refuses an address in an object store: what writes files knows those of this machine, and a [`Workplace`] stands
/// before it where both are meant. Also to be asked before a long work whose result could not be written.
///
/// # Errors
/// An address.
pub fn refuse_remote(path: &Path) -> Result<(), FileError> {
    if !is_remote(path) {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::Unsupported, "it is an address in an object store");
    Err(FileError { action: "write", path: path.into(), source })
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    ignore_missing(if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Makes renames in a folder lasting, where the system can do so.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
