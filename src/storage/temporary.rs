//! Files and folders that are being built beside their targets, and what killed runs have left of them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::swap::retire;
use super::{ignore_missing, parent_of, remove};
use crate::error::FileError;

/// Clears `parent` of what killed runs left there, by the rule in the docs of [`crate::storage`]. A missing folder is fine.
///
/// # Errors
/// When the folder cannot be read or a leftover neither removed nor renamed.
pub fn recover(parent: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::at("read the folder", parent))?,
    };
    let mut leftovers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read the folder", parent))?;
        if let Some(leftover) = Leftover::parse(&entry.file_name()) {
            leftovers.push((entry.path(), leftover));
        }
    }
    // Several former folders of one name can only come of outside meddling; the newest returns.
    let changed = |path: &Path| fs::symlink_metadata(path).and_then(|found| found.modified()).ok();
    leftovers.sort_by_cached_key(|(path, _)| (std::cmp::Reverse(changed(path)), path.clone()));
    for (path, leftover) in leftovers {
        let _lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // another run was quicker
            Err(_) => None,
            Ok(file) => match file.try_lock() {
                Err(TryLockError::WouldBlock) => continue, // its run lives
                Ok(()) | Err(TryLockError::Error(_)) => Some(file),
            },
        };
        let target = parent.join(&leftover.name);
        if leftover.is_old && fs::symlink_metadata(&target).is_err() {
            match ignore_missing(fs::rename(&path, &target)) {
                Err(_) if fs::symlink_metadata(&target).is_ok() => {} // a run was quicker to put its own there
                renamed => renamed.map_err(FileError::at("bring back", &target))?,
            }
        } else if leftover.is_old {
            retire(&path, &target).map_err(FileError::at("remove the leftover", &path))?;
        } else {
            remove(&path).map_err(FileError::at("remove the leftover", &path))?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// Removed on drop unless `done`, so that errors and panics leave nothing behind.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    pub(super) done: bool,
}

impl Temporary {
    /// A new, locked file or folder beside `target`. The lock lasts as long as the returned handle.
    pub(super) fn create(target: &Path, kind: Kind) -> Result<(Self, File), FileError> {
        let create = |path: &Path| match kind {
            Kind::File => OpenOptions::new().write(true).create_new(true).open(path),
            Kind::Folder => fs::create_dir(path).and_then(|()| match File::open(path) {
                // Not yet locked, it looked dead to another run's `recover`; the next one has another number.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::ErrorKind::AlreadyExists.into()),
                opened => opened,
            }),
        };
        let failed = FileError::at("create a temporary beside", target);
        loop {
            let path = sibling(target, "tmp");
            match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // of a dead run with our number
                Err(error) => return Err(failed(error)),
                Ok(handle) => {
                    let temporary = Self { path, done: false };
                    let _ = handle.lock(); // refused where there are no locks
                    // Before it was locked, it may have looked dead to another run's `recover`.
                    if fs::symlink_metadata(&temporary.path).is_ok() {
                        return Ok((temporary, handle));
                    }
                }
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            let _ = remove(&self.path); // what cannot be removed now is a leftover for `recover`
        }
    }
}

/// `.NAME.tmp-PID-N` or `.NAME.old-PID-N`, new with every call.
pub(super) fn sibling(target: &Path, what: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or(OsStr::new("folder")));
    name.push(format!(".{what}-{}-{count}", std::process::id()));
    parent_of(target).join(name)
}

struct Leftover {
    name: String,
    is_old: bool,
}

impl Leftover {
    fn parse(file_name: &OsStr) -> Option<Self> {
        let (name, suffix) = file_name.to_str()?.strip_prefix('.')?.rsplit_once('.')?;
        let (what, numbers) = suffix.split_once('-')?;
        let (process, count) = numbers.split_once('-')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let ours = !name.is_empty() && matches!(what, "tmp" | "old") && is_number(process) && is_number(count);
        ours.then(|| Self { name: name.to_string(), is_old: what == "old" })
    }
}
