//! How much memory a run may take, how it is shared out, and what becomes of a run that cannot do with it.

use std::path::PathBuf;

use bytesize::ByteSize;

use crate::error::{ExitCode, Explain};

/// How much memory timelines may take, and where the rest goes.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// Bytes of the whole process; `None`: as many as there are.
    pub bytes: Option<u64>,
    /// Folder of the temporary file; the system's when absent.
    pub folder: Option<PathBuf>,
}

/// Share of the budget that is planned with; the rest is for blocks being compressed and for what the allocator keeps.
const PLANNED_SHARE: f64 = 0.7;

/// Bytes of the program itself, of pages being decoded, and of what the allocator keeps of batches that are done.
const PROGRAM_BYTES: usize = 80 << 20;

/// Share of the budget that timelines may take while they grow, however much else there is: less would be put aside
/// in blocks too small to be worth it.
const LEAST_SHARE: f64 = 0.125;

/// Share of the budget that loaded partitions may take, all threads together.
const LOADED_SHARE: f64 = 0.4;

/// Share of the budget for rows that are being decoded and grouped.
const READING_SHARE: f64 = 0.125;

/// Bytes of a row between the page it is decoded from and the partition it is appended to, with every column of ours.
const READ_ROW_BYTES: f64 = 256.0;

/// Rows of a piece at least: below that every piece would mostly be skipping.
const LEAST_PIECE_ROWS: usize = 1 << 14;

/// Share of the budget that what is kept beside timelines may take while they are read.
const BESIDE_SHARE: f64 = 0.3;

impl Budget {
    /// Less than this cannot be kept: the program, batches being decoded and blocks being compressed take about half of it.
    pub const LEAST: ByteSize = ByteSize::mib(256);

    /// Bytes that timelines may grow to beside so many others: what is being read and grouped, and kept anyway.
    pub(super) fn growing_bytes(&self, others: usize) -> Option<usize> {
        let budget = self.bytes? as f64;
        let planned = (budget * PLANNED_SHARE) as usize;
        Some(planned.saturating_sub(others + PROGRAM_BYTES).max((budget * LEAST_SHARE) as usize))
    }

    /// What can be kept: less than [`Self::LEAST`] cannot.
    fn kept(&self) -> Option<u64> {
        self.bytes.map(|bytes| bytes.max(Self::LEAST.as_u64()))
    }

    pub(super) fn loaded_bytes(&self) -> f64 {
        self.bytes.map_or(f64::INFINITY, |bytes| bytes as f64 * LOADED_SHARE)
    }

    /// Rows that each thread may decode at a time; `None`: as many as are fastest. A power of two.
    pub(crate) fn piece_rows(&self) -> Option<usize> {
        let bytes = self.bytes? as f64 * READING_SHARE / rayon::current_num_threads() as f64;
        let rows = ((bytes / READ_ROW_BYTES) as usize).max(LEAST_PIECE_ROWS);
        Some(1 << rows.ilog2())
    }

    /// Whether so many ids of events can be told apart, which were met in `share` of the data.
    ///
    /// # Errors
    /// When they, or those of the rest, would take too much.
    pub(crate) fn check_ids(&self, ids: usize, share: f64) -> Result<(), TooLittleMemory> {
        let at_end = if share < LEAST_TOLD { ids } else { (ids as f64 / share.min(1.0)) as usize };
        self.check_beside("the ids of events", set_bytes(at_end) as f64)
    }

    /// Whether what stays in memory beside timelines while they are read leaves them enough.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check_beside(&self, what: &'static str, bytes: f64) -> Result<(), TooLittleMemory> {
        let Some(budget) = self.kept() else { return Ok(()) };
        if bytes <= budget as f64 * BESIDE_SHARE {
            return Ok(());
        }
        Err(TooLittleMemory { what, bytes: bytes as u64, budget, least: (bytes / BESIDE_SHARE) as u64 })
    }

    /// Whether so much may be needed at once for what is made of timelines, beside what they hold themselves.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check_after(&self, what: &'static str, bytes: f64, held: Held) -> Result<(), TooLittleMemory> {
        let Some(budget) = self.kept() else { return Ok(()) };
        let fixed = bytes + PROGRAM_BYTES as f64;
        let least = match held {
            Held::All(held) => fixed + held as f64,
            Held::Loaded { beside } => (fixed + beside as f64) / (1.0 - LOADED_SHARE),
        };
        if least <= budget as f64 {
            return Ok(());
        }
        Err(TooLittleMemory { what, bytes: bytes as u64, budget, least: least as u64 })
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Less of the data tells too little of the rest.
const LEAST_TOLD: f64 = 0.02;

/// Bytes that a set of so many 128-bit ids takes when it last grows: a power of two of slots, seven eighths of them in use
/// at most, and the former half as many beside them.
pub(crate) fn set_bytes(ids: usize) -> usize {
    let slots = (ids * 8 / 7).next_power_of_two().max(8);
    17 * (slots + slots / 2)
}

/// What timelines hold of memory while something is made of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    /// They are in memory, and take so many bytes.
    All(usize),
    /// A few partitions at a time, and so many bytes beside them.
    Loaded {
        /// Bytes that stay in memory.
        beside: usize,
    },
}

/// What has to be in memory takes more than it may.
#[derive(Debug, thiserror::Error)]
#[error("{what} take {}, which is too much for `--memory {}`", mebibytes(*bytes), mebibytes(*budget))]
pub struct TooLittleMemory {
    what: &'static str,
    bytes: u64,
    budget: u64,
    least: u64,
}

/// Whole mebibytes, rounded up, as `--memory` takes them.
fn mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

impl Explain for TooLittleMemory {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["They cannot be put aside on disk. Nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("give `--memory {}` or more", mebibytes(self.least))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(mebibytes: u64) -> Budget {
        Budget { bytes: Some(mebibytes << 20), folder: None }
    }

    /// The `--memory` that an error says to give.
    fn advised(error: &TooLittleMemory) -> Budget {
        let hint = error.hints().remove(0);
        let size = hint.split('`').nth(1).unwrap().strip_prefix("--memory ").unwrap();
        Budget { bytes: Some(size.parse::<ByteSize>().unwrap().as_u64()), folder: None }
    }

    #[test]
    fn what_is_refused_fits_into_what_is_advised_and_not_into_less() {
        let refuses = |check: &dyn Fn(&Budget) -> Result<(), TooLittleMemory>| {
            let error = check(&budget(512)).unwrap_err();
            let enough = advised(&error);
            assert!(check(&enough).is_ok(), "{error}");
            let less = Budget { bytes: enough.bytes.map(|bytes| bytes - (2 << 20)), folder: None };
            assert!(check(&less).is_err(), "{error}");
            assert!(error.to_string().ends_with("for `--memory 512MiB`"), "{error}");
            assert_eq!(error.exit_code(), ExitCode::Usage);
        };
        refuses(&|budget| budget.check_beside("the attributes", 200e6));
        refuses(&|budget| budget.check_after("features", 300e6, Held::Loaded { beside: 0 }));
        refuses(&|budget| budget.check_after("features", 200e6, Held::Loaded { beside: 100_000_000 }));
        refuses(&|budget| budget.check_after("features", 300e6, Held::All(200_000_000)));
        // Ids in half of the data: twice as many in the end.
        refuses(&|budget| budget.check_ids(3_000_000, 0.5));
        assert!(budget(512).check_ids(3_000_000, 1.0).is_ok());
        assert!(budget(512).check_ids(30_000, 0.001).is_ok(), "that early nothing is told");
        for check in [Budget::default().check_beside("all", 1e15), Budget::default().check_ids(1 << 40, 1.0)] {
            assert!(check.is_ok(), "no limit");
        }
        assert!(budget(1).check_beside("the attributes", 50e6).is_ok(), "the least is kept in any case");
    }

    #[test]
    fn pieces_grow_with_the_budget_and_shrink_with_threads() {
        let rows = |mebibytes: u64, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| budget(mebibytes).piece_rows().unwrap())
        };
        assert_eq!((rows(256, 2), rows(512, 2), rows(1024, 2)), (1 << 16, 1 << 17, 1 << 18));
        assert_eq!((rows(512, 4), rows(256, 64)), (1 << 16, LEAST_PIECE_ROWS));
        assert_eq!(Budget::default().piece_rows(), None);
    }

    #[test]
    fn a_set_of_ids_takes_no_more_than_is_counted() {
        let mut ids = hashbrown::HashSet::new();
        for id in 0..40_000u128 {
            ids.insert(id);
            assert!(ids.allocation_size() <= set_bytes(ids.len()), "{}", ids.len());
        }
        assert!(set_bytes(40_000) < 3 * ids.allocation_size(), "but not much less");
    }
}
