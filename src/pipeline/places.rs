//! The folders and files that a job works in, wherever they are.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, FileError};
use crate::progress::Observer;
use crate::scores::realised;
use crate::storage::{self, Addressed, Workplace};
use crate::time::Day;

/// Partitions of scores, locked; memberships of segments, if they are looked at; and where rejected rows go, if that is not
/// beside the partitions.
pub(super) struct Places {
    pub scores: Workplace,
    pub memberships: Option<Workplace>,
    pub rejects: Option<Destination>,
}

/// Whether a file tells of rows rather than holding them: every night looks at these files of every partition.
fn is_account(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    name.contains('/') && file.ends_with(".json") && !file.starts_with("part-")
}

impl Places {
    pub fn lock(scores: &Path, memberships: Option<&Path>, observer: &dyn Observer) -> Result<Self, Error> {
        let scores = Workplace::lock(scores, is_account, observer)?;
        let memberships = memberships.map(|folder| Workplace::open(folder, |_| false)).transpose()?;
        Ok(Self { scores, memberships, rejects: None })
    }

    /// The same with a file for rejected rows.
    pub fn with_rejects(self, named: Option<&Path>) -> Result<Self, FileError> {
        Ok(Self { rejects: named.map(Destination::of).transpose()?, ..self })
    }

    /// An observer that hears of addresses instead of files here.
    pub fn observer<'a>(&self, inner: &'a dyn Observer) -> Addressed<'a> {
        let heard = self.scores.observer(inner);
        self.rejects.iter().fold(heard, |heard, rejects| heard.and(&rejects.folder))
    }

    /// Sends what has changed, the partitions last; after a failure the rejected rows alone.
    pub fn finish<T>(&mut self, done: Result<T, Error>, observer: &dyn Observer) -> Result<T, Error> {
        let done = finish_all(&mut self.rejects, done, observer);
        self.scores.finish(done, observer)
    }

    /// Fetches the rows of the partitions that can be judged when everything before `known_until` is known.
    pub fn fetch_unjudged(&mut self, known_until: Day) -> Result<(), FileError> {
        if !self.scores.is_remote() && self.memberships.as_ref().is_none_or(|folder| !folder.is_remote()) {
            return Ok(());
        }
        let days = realised::unjudged(self.scores.folder(), known_until)?;
        let folders: Vec<String> = days.iter().map(|day| format!("as_of={day}")).collect();
        let is_due =
            |name: &str| name.split_once('/').is_some_and(|(folder, _)| folders.iter().any(|due| due == folder));
        self.scores.fetch(is_due)?;
        self.memberships.as_mut().map_or(Ok(()), |folder| folder.fetch(is_due))
    }
}

/// A file that is to be written, wherever it is.
pub(super) struct Destination {
    /// Where it is written on this machine.
    pub path: PathBuf,
    /// What holds it.
    pub folder: Workplace,
}

/// Sends files, and what was written beside them, whatever has become of the work; or gives the error of the work, told
/// with addresses.
pub(super) fn finish_all<'a, T>(
    files: impl IntoIterator<Item = &'a mut Destination>,
    done: Result<T, Error>,
    observer: &dyn Observer,
) -> Result<T, Error> {
    files.into_iter().fold(done, |done, file| file.folder.finish(done, observer))
}

impl Destination {
    pub fn of(named: &Path) -> Result<Self, FileError> {
        let refused = |kind: io::ErrorKind| FileError { action: "write", path: named.into(), source: kind.into() };
        if !storage::is_remote(named) {
            return Ok(Self { path: named.into(), folder: Workplace::to_write(Path::new("."))? });
        }
        let (folder, name) =
            named.parent().zip(named.file_name()).ok_or_else(|| refused(io::ErrorKind::IsADirectory))?;
        if !storage::is_remote(folder) {
            return Err(refused(io::ErrorKind::IsADirectory)); // a bucket
        }
        if name.to_string_lossy().starts_with('.') {
            return Err(refused(io::ErrorKind::InvalidFilename)); // what is on its way is called so
        }
        let folder = Workplace::to_write(folder)?;
        Ok(Self { path: folder.folder().join(name), folder })
    }
}
