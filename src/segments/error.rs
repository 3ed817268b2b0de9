//! Why segments cannot be read, planned or evaluated.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::error::{ExitCode, Explain, FileError, Reason};
use crate::predicate::{PredicateProblem, show};

/// Segments that cannot be used, or a partition that they cannot be evaluated over.
#[derive(Debug, thiserror::Error)]
pub enum SegmentsError {
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML.
    #[error("{}: not valid TOML", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that nothing reads.
    #[error("{}: {place}: unknown key `{key}`", path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Which segment, or the whole file.
        place: String,
        /// The key.
        key: String,
        /// The most similar known key.
        nearest: Option<String>,
    },
    /// A value that breaks a rule.
    #[error("{}: {place}: `{key}` must be {rule}, got {got}", path.display())]
    BadValue {
        /// Which file.
        path: PathBuf,
        /// Which segment, or the whole file.
        place: String,
        /// The key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        got: String,
    },
    /// Two segments of one name, or two that catch everyone else.
    #[error("{}: segments {first} and {second} {both}", path.display())]
    Twice {
        /// Which file.
        path: PathBuf,
        /// Number of the first, from 1.
        first: usize,
        /// Number of the second.
        second: usize,
        /// What both do.
        both: String,
    },
    /// A segment without a criterion, or with two.
    #[error("{}: segment `{segment}` {problem}", path.display())]
    Criterion {
        /// Which file.
        path: PathBuf,
        /// Name of the segment.
        segment: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A predicate that cannot be planned over the columns at hand.
    #[error("segment `{segment}`: {problem}")]
    Predicate {
        /// Name of the segment.
        segment: String,
        /// The predicate as written.
        predicate: String,
        /// What is wrong with it.
        problem: PredicateProblem,
    },
    /// A predicate that failed on some row.
    #[error("segment `{segment}`: the predicate fails on some row")]
    Evaluation {
        /// Name of the segment.
        segment: String,
        /// The predicate as written.
        predicate: String,
        /// What failed.
        #[source]
        source: Box<DataFusionError>,
    },
    /// There is no such score partition.
    #[error("{}: there are no scores of this date", path.display())]
    NoPartition {
        /// The folder that is missing.
        path: PathBuf,
        /// The newest complete date beside it.
        newest: Option<String>,
    },
    /// A score partition that is not complete, or not what it says.
    #[error("{}: the score partition {problem}", path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A Parquet file that cannot be read.
    #[error("{}: damaged Parquet file", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A former partition of memberships that cannot be compared with.
    #[error("{}: the former memberships are damaged: {problem}", path.display())]
    FormerDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A fault of bellwether's own.
    #[error("segments cannot be evaluated")]
    Fault(#[source] Box<DataFusionError>),
}

impl Explain for SegmentsError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            // Scores that a former step left incomplete or that are damaged are rejected input, not wrong usage:
            // the command is right, and will be once that step has been repeated.
            Self::Unusable { .. } | Self::Damaged { .. } | Self::FormerDamaged { .. } => ExitCode::DataRejected,
            Self::Fault(_) => ExitCode::Bug,
            _ => ExitCode::Usage,
        }
    }

    fn reason(&self) -> Option<Reason> {
        (self.exit_code() == ExitCode::DataRejected).then_some(Reason::NoScoringData)
    }

    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Self::Predicate { predicate, problem, .. } = self {
            lines.extend(show(predicate, problem));
        }
        if let Self::Evaluation { predicate, .. } = self {
            lines.push(format!("where = \"{predicate}\""));
        }
        lines.push("No memberships were written.".into());
        lines
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::UnknownKey { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownKey { .. } => vec![
                "a segment has `name`, `where` or `otherwise`, and optionally `priority`, `campaign`, `duration_days`"
                    .into(),
            ],
            Self::Criterion { .. } => {
                vec!["write `where = \"churn_percentile >= 80\"`, or `otherwise = true` for everyone else".into()]
            }
            Self::Predicate { problem, .. } => problem.hints(),
            Self::Evaluation { .. } => {
                vec!["to divide safely, use `nullif(divisor, 0)`; to convert safely, `try_cast(… AS …)`".into()]
            }
            Self::NoPartition { newest: Some(newest), .. } => {
                vec![format!("the newest complete scores are of `--as-of {newest}`")]
            }
            Self::NoPartition { .. } | Self::Unusable { .. } | Self::Damaged { .. } => {
                vec!["run `bellwether-score run` for this date first".into()]
            }
            Self::FormerDamaged { path, .. } => {
                let folder = path.parent().unwrap_or(path);
                vec![format!("remove `{}`, or segment its date again", folder.display())]
            }
            _ => Vec::new(),
        }
    }
}
