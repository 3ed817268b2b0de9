//! What can go wrong while a shop is made up.

use std::path::PathBuf;

use crate::error::{ExitCode, Explain, FileError};

/// A simulation that could not be made. The former content of the folder is untouched.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A setting outside its range.
    #[error("`{key}` must be {rule}, got {got}")]
    OutOfRange {
        /// The setting.
        key: String,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        got: String,
    },
    /// The folder holds something else.
    #[error("{}: holds files that are no earlier simulation", path.display())]
    NotASimulation {
        /// The folder.
        path: PathBuf,
        /// One of the files or folders in it.
        found: String,
    },
    /// The path names something that is no folder.
    #[error("{}: is no folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Parquet file could not be written.
    #[error("{}: cannot write Parquet", path.display())]
    Parquet {
        /// The file, in the temporary folder.
        path: PathBuf,
        /// What the writer said.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

impl SimulateError {
    /// For `map_err`: names the file beside the writer's answer.
    pub(super) fn parquet(path: &std::path::Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Parquet { path, source }
    }
}

impl Explain for SimulateError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::OutOfRange { .. } => vec!["Nothing was written.".into()],
            Self::NotASimulation { found, .. } => {
                vec![format!("It holds `{found}`, which only its owner may remove. Nothing was written.")]
            }
            Self::NotAFolder { .. } => vec!["Nothing was written.".into()],
            Self::File(error) => error.details(),
            Self::Parquet { .. } => {
                vec!["The files made so far were removed; what stood there before is untouched.".into()]
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotASimulation { .. } | Self::NotAFolder { .. } => {
                vec!["name a new or empty folder, such as `--out datasets/demo`".into()]
            }
            Self::File(error) if crate::storage::is_remote(&error.path) => error.hints(),
            Self::File(_) | Self::Parquet { .. } => {
                vec!["check that the folder beside `--out` may be written and that the disk has room".into()]
            }
            Self::OutOfRange { .. } => Vec::new(),
        }
    }
}
