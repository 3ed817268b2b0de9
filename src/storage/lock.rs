//! One run at a time in a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::swap::is_same;
use crate::error::{Error, ExitCode, Explain, FileError};

/// Name of the file that is locked.
pub(super) const NAME: &str = ".lock";

/// The right to write into a folder, until it is dropped or its process ends, however that happens.
///
/// It is the system's advisory lock on `FOLDER/.lock`, which names the process. A file that a killed run has left
/// behind is locked by nobody, so that the next run takes it over: nothing ever has to be removed by hand.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    file: File,
    /// Whether the folder was made for the lock: it goes again when nothing has come into it.
    made_folder: bool,
}

/// Another run writes into the folder.
#[derive(Debug, thiserror::Error)]
#[error("another run is writing to {}", folder.display())]
pub(super) struct Busy {
    pub(super) folder: PathBuf,
    pub(super) holder: String,
}

impl Explain for Busy {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        let holder = if self.holder.is_empty() { "a process that has not yet said its name" } else { &self.holder };
        vec![format!("It is {holder}. Nothing was read and nothing was written.")]
    }

    fn hints(&self) -> Vec<String> {
        vec!["wait until it has ended, or write to another folder; a lock ends with its process".into()]
    }
}

impl RunLock {
    /// Takes the right to write into `folder`, which is made when it is missing.
    ///
    /// # Errors
    /// Another run has it; a folder that cannot be written. Where a file system has no locks, there is no protection
    /// but also no refusal.
    pub fn acquire(folder: &Path) -> Result<Self, Error> {
        super::refuse_remote(folder)?;
        let made_folder = !folder.exists();
        fs::create_dir_all(folder).map_err(FileError::at("create the folder", folder))?;
        let path = folder.join(NAME);
        loop {
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = opened.map_err(FileError::at("lock", folder))?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // may be locked for reading, too
                return Err(Busy { folder: folder.into(), holder: holder.trim().into() }.into());
            }
            // Its former owner may have removed it between our opening and our locking.
            let is_current =
                fs::metadata(&path).is_ok_and(|named| file.metadata().is_ok_and(|ours| is_same(&ours, &named)));
            if is_current {
                let text = format!("process {}\n", std::process::id());
                let write = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
                let lock = Self { path, file, made_folder };
                write.map_err(FileError::at("lock", folder))?;
                return Ok(lock);
            }
        }
    }
}

impl RunLock {
    /// When the lock was taken, by the clock of the file system; `None` when it does not tell.
    pub(crate) fn taken_at(&self) -> Option<std::time::SystemTime> {
        self.file.metadata().and_then(|found| found.modified()).ok()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // while it is locked: nobody else has it
        let _ = self.file.unlock();
        if self.made_folder
            && let Some(folder) = self.path.parent()
        {
            let _ = fs::remove_dir(folder); // refused when there is anything in it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let scores = folder.path().join("scores");
        let first = RunLock::acquire(&scores).unwrap();
        let error = RunLock::acquire(&scores).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage);
        assert!(error.to_string().contains("another run is writing to"), "{error}");
        let who = format!("process {}", std::process::id());
        assert!(error.explain().details()[0].contains(&who), "{:?}", error.explain().details());
        drop(first);
        assert!(!scores.exists(), "an empty folder goes with the lock that made it");
        let second = RunLock::acquire(&scores).unwrap();
        fs::write(scores.join("part"), "kept").unwrap();
        drop(second);
        assert_eq!(fs::read_dir(&scores).unwrap().count(), 1);
    }

    #[test]
    fn the_lock_of_a_dead_run_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "process 4194305, which is no more, and a longer text than ours").unwrap();
        let lock = RunLock::acquire(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
        assert_eq!(text, format!("process {}\n", std::process::id()));
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn of_many_that_try_at_once_one_has_it_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 200 {
                        if let Ok(lock) = RunLock::acquire(folder.path()) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }
}
