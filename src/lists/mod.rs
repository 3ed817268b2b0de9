//! Lists of customers beside the events: who is to be forgotten, who is left alone for a while, and who goes by another
//! name (contract §2).
//!
//! | list | columns | what it does |
//! |---|---|---|
//! | `forget` | `customer_id` | events of these customers are not read, by `fit` and by `run` |
//! | `exclusions` | `customer_id`, `from`, `to`, `campaign` | in `[from, to)` the row's status is `excluded`, and `excluded_until` is `to` |
//! | `id_map` | `alias`, `customer_id`, `from` | an event of the alias at or after `from` is the customer's |

mod error;
mod exclusions;
mod id_map;
mod scrub;
mod table;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::config::ListsConfig;
use crate::error::Error;
use crate::events::ledger::Fate;
use crate::events::{EventBatch, ReadSummary};
use crate::time::Zone;

pub use error::ListError;
pub use exclusions::Exclusions;
pub use id_map::IdMap;
pub(crate) use scrub::scrub;
pub use scrub::scrub_file;

/// Where the lists are; an absent one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFiles {
    /// Customers to be forgotten.
    pub forget: Option<PathBuf>,
    /// Customers who are left alone for a while.
    pub exclusions: Option<PathBuf>,
    /// Customers who go by another name.
    pub id_map: Option<PathBuf>,
}

/// The lists of a run.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// Ids that are to be forgotten.
    pub forget: HashSet<String>,
    /// Who is left alone, and when.
    pub exclusions: Exclusions,
    /// Who goes by another name.
    pub id_map: IdMap,
    /// The one customer whose events are wanted; everybody's when absent.
    pub only: Option<String>,
}

/// What lists did to events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that were given to another id.
    pub mapped: u64,
    /// Events that were left out.
    pub forgotten: u64,
    /// Events of others than the one customer who is wanted.
    pub others: u64,
}

impl Applied {
    pub(crate) fn add(&mut self, other: Self) {
        self.mapped += other.mapped;
        self.forgotten += other.forgotten;
        self.others += other.others;
    }
}

impl ListFiles {
    /// Those that are named here, and of the others those of the settings.
    #[must_use]
    pub fn or(&self, config: &ListsConfig) -> Self {
        let or = |named: &Option<PathBuf>, set: &str| {
            named.clone().or_else(|| (!set.is_empty()).then(|| PathBuf::from(set)))
        };
        Self {
            forget: or(&self.forget, &config.forget),
            exclusions: or(&self.exclusions, &config.exclusions),
            id_map: or(&self.id_map, &config.id_map),
        }
    }
}

impl Lists {
    /// Reads CSV, TSV, NDJSON or Parquet, by the name of the file. Times without an offset are read in `zone`.
    ///
    /// # Errors
    /// A file that cannot be read, a missing column, a row that cannot be understood: nothing is passed over.
    pub fn read(files: &ListFiles, zone: &Zone) -> Result<Self, Error> {
        Ok(Self {
            forget: files.forget.as_deref().map(forgotten).transpose()?.unwrap_or_default(),
            exclusions: files
                .exclusions
                .as_deref()
                .map(|path| Exclusions::read(path, zone))
                .transpose()?
                .unwrap_or_default(),
            id_map: files.id_map.as_deref().map(|path| IdMap::read(path, zone)).transpose()?.unwrap_or_default(),
            only: None,
        })
    }

    /// Gives events to the customers to whom they belong and takes out those of the forgotten.
    pub fn apply(&self, batch: &mut EventBatch) -> Applied {
        self.apply_noting(batch, |_, _, _| {})
    }

    /// The same; each event to which something is done is noted, while it is still in the batch.
    pub(crate) fn apply_noting(
        &self,
        batch: &mut EventBatch,
        mut note: impl FnMut(&EventBatch, usize, Fate),
    ) -> Applied {
        let mut changed = Vec::new();
        let mapped = self.id_map.apply(batch, |event| changed.push(event));
        let mut applied = Applied { mapped, forgotten: 0, others: 0 };
        changed.into_iter().for_each(|event| note(batch, event, Fate::Mapped));
        if !self.forget.is_empty() {
            let mut digits = crate::events::Digits::default();
            let keep: Vec<bool> =
                (0..batch.len()).map(|row| !self.forget.contains(batch.customer.text(row, &mut digits))).collect();
            applied.forgotten = keep.iter().filter(|keep| !**keep).count() as u64;
            if applied.forgotten > 0 {
                let forgotten = (0..keep.len()).filter(|&event| !keep[event]);
                forgotten.for_each(|event| note(batch, event, Fate::Forgotten));
                batch.retain(&keep);
            }
        }
        if let Some(only) = &self.only {
            let mut digits = crate::events::Digits::default();
            let keep: Vec<bool> = (0..batch.len()).map(|row| batch.customer.text(row, &mut digits) == only).collect();
            applied.others = keep.iter().filter(|keep| !**keep).count() as u64;
            batch.retain(&keep);
        }
        applied
    }

    /// Bytes that the lists take.
    pub(crate) fn bytes(&self) -> usize {
        let forgotten =
            size_of::<String>() * self.forget.capacity() + self.forget.iter().map(text_bytes).sum::<usize>();
        forgotten + self.exclusions.bytes() + self.id_map.bytes()
    }

    /// What the reading of events depends on, as one text: whoever goes by another name or is forgotten.
    pub(crate) fn of_reading(&self) -> String {
        let mut forgotten: Vec<&String> = self.forget.iter().collect();
        forgotten.sort();
        format!("{forgotten:?} {:?}", self.id_map.entries())
    }

    /// Takes what rejected rows say of the forgotten out of an account and its file.
    ///
    /// # Errors
    /// A file of rejects that cannot be written again.
    pub(crate) fn scrub(&self, summary: &mut ReadSummary) -> Result<(), Error> {
        if self.forget.is_empty() {
            return Ok(());
        }
        for count in summary.rejects.values_mut() {
            scrub(&mut count.first, &self.forget);
        }
        if let Some(path) = summary.rejects_file.as_ref().filter(|path| path.is_file()) {
            scrub_file(path, &self.forget)?;
        }
        Ok(())
    }
}

/// Bytes that an allocation takes beside what is kept in it.
const ALLOCATION_BYTES: usize = 16;

/// Bytes of a text, beside the place that points to it.
fn text_bytes(text: &String) -> usize {
    text.capacity() + ALLOCATION_BYTES
}

/// The ids of a `forget` list.
///
/// # Errors
/// As [`Lists::read`].
pub fn forgotten(path: &Path) -> Result<HashSet<String>, ListError> {
    let mut ids = HashSet::new();
    for row in table::read(path, ["customer_id"], [])? {
        ids.insert(row.needed(0)?.to_string());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_lists_the_more_they_take() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |rows: usize| {
            let file = |name: &str, header: &str, row: &dyn Fn(usize) -> String| {
                let path = folder.path().join(name);
                let rows: Vec<String> = (0..rows).map(row).collect();
                std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
                Some(path)
            };
            let files = [
                ListFiles {
                    forget: file("forget.csv", "customer_id", &|row| format!("customer {row:020}")),
                    ..ListFiles::default()
                },
                ListFiles {
                    exclusions: file("exclusions.csv", "customer_id,from,to", &|row| format!("{row:020},2026-03-01,")),
                    ..ListFiles::default()
                },
                ListFiles {
                    id_map: file("id_map.csv", "alias,customer_id", &|row| format!("{row:020},customer {row:020}")),
                    ..ListFiles::default()
                },
            ];
            files.map(|files| Lists::read(&files, &Zone::named("UTC").unwrap()).unwrap().bytes())
        };
        let (few, many) = (bytes(10), bytes(10_000));
        for (list, least) in [(0, 29 + 24), (1, 20 + 24 + 24 + 8), (2, 20 + 29 + 24 + 24 + 32)] {
            assert!(few[list] >= 10 * least && few[list] < 10 * 8 * least, "{few:?}");
            assert!(many[list] >= 10_000 * least && many[list] < 10_000 * 8 * least, "{many:?}");
        }
        assert_eq!(Lists::default().bytes(), 0);
    }
}
