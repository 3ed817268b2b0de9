//! The folders of scores and memberships that a nightly job works in, wherever they are.

use std::path::Path;

use crate::error::{Error, FileError};
use crate::progress::Observer;
use crate::scores::realised;
use crate::storage::Workplace;
use crate::time::Day;

/// Partitions of scores, locked, and memberships of segments, if they are looked at.
pub(super) struct Places {
    pub scores: Workplace,
    pub memberships: Option<Workplace>,
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
        Ok(Self { scores, memberships })
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
