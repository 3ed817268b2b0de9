//! The account of a reading.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fingerprints::FileFingerprint;
use super::rejects::{RejectCount, RejectReason};

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadSummary {
    /// Rows in the files.
    pub rows: u64,
    /// Rows that became events.
    pub used: u64,
    /// Rows without a customer: left out.
    pub anonymous_rows: u64,
    /// Their money.
    pub anonymous_value: f64,
    /// Rows at or after `as_of`, or received then: left out.
    pub future_rows: u64,
    /// Rows in the days left to settle: left out.
    pub settling_rows: u64,
    /// Events whose event column is empty: used, without a name.
    pub unnamed_rows: u64,
    /// Cells of columns beside ours that are missing because they hold no finite number or no text, by
    /// column; their rows are used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_faults: BTreeMap<String, u64>,
    /// Unusable rows by reason.
    pub rejects: BTreeMap<RejectReason, RejectCount>,
    /// Where the unusable rows are kept, when there are any and a file was asked for.
    #[serde(skip)]
    pub rejects_file: Option<PathBuf>,
    /// Wall time of the first used event, in microseconds; `None` without one.
    pub first_time: Option<i64>,
    /// Of the last.
    pub last_time: Option<i64>,
    /// The files, in the order of reading.
    pub files: Vec<FileFingerprint>,
}

impl ReadSummary {
    /// Number of unusable rows.
    pub fn rejected(&self) -> u64 {
        self.rejects.values().map(|count| count.rows).sum()
    }

    /// Rows that were judged: all but those left out for their time.
    pub fn judged(&self) -> u64 {
        self.rows - self.future_rows - self.settling_rows
    }

    /// Unusable rows among those judged, 0 to 1.
    pub fn reject_share(&self) -> f64 {
        self.rejected() as f64 / self.judged().max(1) as f64
    }
}
