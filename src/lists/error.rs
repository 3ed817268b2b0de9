//! Lists that cannot be used.

use std::path::PathBuf;

use crate::error::{ExitCode, Explain, FileError, Reason};

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A format that is not read.
    #[error("{}: a list is CSV, TSV, NDJSON or Parquet, and its name says which", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// Not what its name says.
    #[error("{}: cannot be understood", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A column is missing.
    #[error("{}: no column `{column}`, but {}", path.display(), found.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What is missing.
        column: &'static str,
        /// What is there.
        found: Vec<String>,
    },
    /// A cell cannot be understood.
    #[error("{}, row {row}: `{column}` is {found:?}, expected {expected}", path.display())]
    BadCell {
        /// The file.
        path: PathBuf,
        /// Data row, from 1.
        row: u64,
        /// Its column.
        column: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// An alias that leads back to itself.
    #[error("{}: `{alias}` is an alias of itself", path.display())]
    Circle {
        /// The file.
        path: PathBuf,
        /// The alias.
        alias: String,
    },
}

impl Explain for ListError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(_) | Self::Format { .. } => ExitCode::Usage,
            _ => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        (self.exit_code() == ExitCode::DataRejected).then_some(Reason::UnreadableList)
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was read and nothing was written: a list that is half understood would spare nobody.".into()]
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Format { .. } => "name it `.csv`, `.tsv`, `.ndjson` or `.parquet`",
            Self::NoColumn { .. } => {
                "the columns are `customer_id` (forget); `customer_id, from, to` (exclusions); `alias, customer_id, from` (id_map)"
            }
            Self::Circle { .. } => "let every alias lead to one customer",
            _ => "correct the row and run again",
        };
        vec![hint.into()]
    }
}
