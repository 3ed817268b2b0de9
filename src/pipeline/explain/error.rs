//! Customers who cannot be explained.

use std::path::PathBuf;

use crate::error::{ExitCode, Explain, Reason};
use crate::time::Day;

/// A customer who cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// On the list of those who are to be forgotten.
    #[error("the customer is on the list of those who are to be forgotten")]
    Forgotten,
    /// Nobody of that name.
    #[error("no customer `{customer}` is known before {as_of}")]
    Unknown {
        /// What was asked for.
        customer: String,
        /// The day.
        as_of: Day,
        /// Partitions that were searched.
        partitions: u64,
        /// Rows of events that were read, where there were any to read.
        rows: Option<u64>,
        /// The first partition that knows them, later.
        first_row: Option<Day>,
    },
    /// No day.
    #[error("{}: no partition, and no day is named", scores.display())]
    NoDay {
        /// The folder.
        scores: PathBuf,
    },
    /// Nothing to look at.
    #[error("{}: no scores of {day}", scores.display())]
    NoPartition {
        /// The folder.
        scores: PathBuf,
        /// The day.
        day: Day,
        /// The days that are there.
        days: Vec<Day>,
    },
    /// Twice the same day.
    #[error("both days are {day}")]
    SameDay {
        /// It.
        day: Day,
    },
    /// No such column.
    #[error("`{column}` is not a prediction of the bundle")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// The most similar one.
        nearest: Option<String>,
        /// All of them.
        columns: Vec<String>,
    },
    /// The bundle that made a partition is not where it was looked for.
    #[error("the scores of {day} were made by {made_by}, which is not in {}", folder.display())]
    NoBundle {
        /// The day.
        day: Day,
        /// The bundle of the partition.
        made_by: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
}

impl Explain for ExplainError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Forgotten | Self::Unknown { .. } => ExitCode::DataRejected,
            Self::NoBundle { .. } => ExitCode::BundleUnusable,
            _ => ExitCode::Usage,
        }
    }

    fn reason(&self) -> Option<Reason> {
        (self.exit_code() == ExitCode::DataRejected).then_some(Reason::NoScoringData)
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Unknown { partitions, rows, .. } => {
                let rows = rows.map_or("no events (`--bundle` and `--events` name them)".to_string(), |rows| {
                    format!("{rows} rows of events")
                });
                vec![format!("Searched: {partitions} partitions and {rows}. Ids are compared letter by letter.")]
            }
            Self::Forgotten => vec!["Nothing was looked for.".into()],
            _ => Vec::new(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { first_row: Some(day), .. } => {
                vec![format!("the customer is known from `--as-of {day}` on")]
            }
            Self::Unknown { .. } => {
                vec!["write the id as it stands in the events; another name of a customer needs `--id-map`".into()]
            }
            Self::Forgotten => vec!["`bellwether-score forget` takes them out of what is already written".into()],
            Self::NoDay { .. } => {
                vec!["name the folder of the partitions with `--scores`, or a day with `--as-of`".into()]
            }
            Self::NoPartition { days, .. } => {
                let there = match (days.first(), days.last()) {
                    (Some(first), Some(last)) => {
                        format!("{} partitions are there, from {first} to {last}", days.len())
                    }
                    _ => "`bellwether-score run` writes one".to_string(),
                };
                vec![there, "with `--bundle` and `--events` any day can be explained".into()]
            }
            Self::SameDay { .. } => vec!["name an earlier day with `--against`".into()],
            Self::NoColumn { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::NoColumn { columns, .. } => {
                vec![format!("there are {}", columns.iter().take(5).cloned().collect::<Vec<_>>().join(", "))]
            }
            Self::NoBundle { made_by, .. } => {
                vec![format!("name the folder that holds it, `models/NAME` of `models/NAME/{made_by}`")]
            }
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Unknown { partitions, rows, .. } => {
                let rows = rows.map(|rows| ("rows", rows));
                [("partitions", *partitions)].into_iter().chain(rows).collect()
            }
            _ => Vec::new(),
        }
    }
}
