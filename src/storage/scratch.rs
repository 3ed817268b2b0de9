//! Private folders for as long as a process lives.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::swap::is_same;
use crate::error::FileError;

/// What names of the folders begin with; nothing else is called so.
const PREFIX: &str = "bellwether-fetched-";

/// An empty folder among the temporary ones, which goes when this is dropped. A killed run leaves it behind: whoever makes
/// the next one removes it.
///
/// A live run holds an advisory lock on its folder. Where a file system has no locks, nobody can tell whether a run lives,
/// and leftovers stay.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Removed before the lock ends.
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// A new one, after those of dead runs are removed.
    ///
    /// # Errors
    /// A temporary folder (`TMPDIR`) that cannot be written.
    pub(super) fn new() -> Result<Self, FileError> {
        Self::new_in(&std::env::temp_dir())
    }

    fn new_in(parent: &Path) -> Result<Self, FileError> {
        let failed = FileError::at("create a temporary folder in", parent);
        let scratch = match Self::create(parent) {
            Ok(scratch) => scratch,
            Err(error) => return Err(failed(error)),
        };
        scratch.remove_dead(parent);
        Ok(scratch)
    }

    fn create(parent: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // not yet locked, it looked dead
                opened => opened?,
            };
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => continue, // the same: another run is about to remove it
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if fs::symlink_metadata(folder.path()).is_ok() {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes what dead runs of the same user have left. What cannot be removed stays: it is in nobody's way but for the
    /// room that it takes.
    fn remove_dead(&self, parent: &Path) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(PREFIX)
                && path != self.path()
                && let Some(_lock) = self.lock_of_dead(&path)
            {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }

    /// The lock on a folder whose run is dead.
    fn lock_of_dead(&self, path: &Path) -> Option<File> {
        let found = fs::symlink_metadata(path).ok().filter(|found| found.is_dir() && self.is_ours(found))?;
        let file = File::open(path).ok()?;
        file.try_lock().ok()?;
        // A link may have taken its place since it was looked at.
        file.metadata().is_ok_and(|opened| is_same(&opened, &found)).then_some(file)
    }

    /// Whether something belongs to the user of this process.
    #[cfg(unix)]
    fn is_ours(&self, found: &fs::Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.path()).is_ok_and(|ours| ours.uid() == found.uid())
    }

    #[cfg(not(unix))]
    fn is_ours(&self, _: &fs::Metadata) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_dead_runs_have_left_goes_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let here = parent.path();
        let dead = here.join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("as_of=2026-08-21")).unwrap();
        fs::write(dead.join("as_of=2026-08-21/part-00000.parquet"), "rows").unwrap();
        let live = Scratch::new_in(here).unwrap();
        assert_eq!(names(here), [live.path()], "the dead one is gone");
        // Of another name, a file, and a link to a folder elsewhere.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("kept"), "").unwrap();
        fs::create_dir(here.join("bellwether-other")).unwrap();
        fs::write(here.join(format!("{PREFIX}file")), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(elsewhere.path(), here.join(format!("{PREFIX}link"))).unwrap();
        let before = names(here);
        let second = Scratch::new_in(here).unwrap();
        assert!(live.path().is_dir() && second.path() != live.path());
        drop(second);
        assert_eq!(names(here), before);
        assert!(elsewhere.path().join("kept").is_file());
        drop(live);
        assert_eq!(names(here).len(), before.len() - 1);
        assert!(Scratch::new_in(&here.join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn runs_that_begin_at_once_do_not_take_each_other_for_dead() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let scratch = Scratch::new_in(parent.path()).unwrap();
                        fs::write(scratch.path().join("file"), "").unwrap();
                        assert!(scratch.path().join("file").is_file());
                    }
                });
            }
        });
        assert!(names(parent.path()).is_empty());
    }
}
