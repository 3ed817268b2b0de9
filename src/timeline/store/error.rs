//! What keeps a store from being used.

use std::path::{Path, PathBuf};

use crate::cli::shell;
use crate::error::{ExitCode, Explain, FileError};

/// A store that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Bytes that are not those that were written.
    #[error("the timeline store is damaged: {}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by another release.
    #[error("{} was written in format {found}; this release reads format {known}", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A folder of something else.
    #[error("{} is no timeline store: it holds `{found}`", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        found: String,
    },
    /// A folder without a store, where one is to be read.
    #[error("{}: no timeline store is there", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// Events whose files are not on this machine.
    #[error("a timeline store is made of files on this machine; {events} is in an object store")]
    RemoteEvents {
        /// As they were named.
        events: String,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StoreError {
    /// For `map_err`: a file that is not what was written.
    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}

impl Explain for StoreError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Damaged { .. } | Self::Format { .. } => {
                vec![
                    "The store only repeats what the events say. No scores and nothing of the store were written."
                        .into(),
                ]
            }
            Self::Foreign { .. } | Self::Missing { .. } | Self::RemoteEvents { .. } => {
                vec!["Nothing was read and nothing was written.".into()]
            }
            Self::File(error) => error.details(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let folder = |path: &Path| shell(path.parent().unwrap_or(path));
        match self {
            Self::Damaged { path, .. } | Self::Format { path, .. } => {
                vec![format!("`rm -r {}`: the next run with `--store` builds it again from `--events`", folder(path))]
            }
            Self::Foreign { .. } => vec!["name a folder that is empty or not there yet".into()],
            Self::Missing { .. } => {
                vec!["name the folder that `bellwether-score run --store` keeps, or leave `--store` out".into()]
            }
            Self::RemoteEvents { .. } => {
                vec!["leave `--store` out, or copy each day's new files to this machine and name their folder".into()]
            }
            Self::File(error) => error.hints(),
        }
    }
}
