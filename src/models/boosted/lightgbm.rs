//! LightGBM's text format, read and written: a model that was trained in Python is scored here, and ours there.
//!
//! The format is that of versions v3 and v4, as `save_model` writes it. It has no constant: it is in the leaves of the first tree. Thresholds and
//! leaves are written with 17 digits, so they are the same numbers on both sides. What the format has and we have not is refused by
//! name: several classes or outputs, linear leaves, averaged (random forest) trees, a sigmoid of another steepness.

mod read;
mod write;

use crate::error::{ExitCode, Explain};

/// Why a text is not taken as a LightGBM model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LightGbmError {
    /// It does not start as such a file does.
    #[error("no LightGBM model: the text starts with `{found}`, expected `tree`")]
    NotAModel {
        /// Its first line.
        found: String,
    },
    /// A version of the format that we do not know.
    #[error("LightGBM format `{found}` is not known; v3 and v4 are")]
    UnknownVersion {
        /// The version.
        found: String,
    },
    /// An objective that we do not have.
    #[error("LightGBM objective `{found}` is not known")]
    UnknownObjective {
        /// The objective, with its parameters.
        found: String,
    },
    /// Something that the format allows and our trees do not.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// A line that must be there.
    #[error("{}`{key}` is missing", place(.tree))]
    MissingKey {
        /// The tree, from 0; `None` for the head of the file and its parameters.
        tree: Option<usize>,
        /// What the line should start with.
        key: &'static str,
    },
    /// A value that cannot be understood, or a list of another length than the number of leaves says.
    #[error("{}`{key}` is `{found}`", place(.tree))]
    BadValue {
        /// The tree, from 0; `None` for the head of the file and its parameters.
        tree: Option<usize>,
        /// What the line starts with.
        key: &'static str,
        /// The rest of it.
        found: String,
    },
    /// Nodes that do not hang together as a tree.
    #[error("tree {tree}: the nodes are no tree")]
    NoTree {
        /// The tree, from 0.
        tree: usize,
    },
}

fn place(tree: &Option<usize>) -> String {
    tree.map(|tree| format!("tree {tree}: ")).unwrap_or_default()
}

impl Explain for LightGbmError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::BundleUnusable
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownObjective { .. } => {
                vec![format!("these can be read: {}", KNOWN_OBJECTIVES.join(", "))]
            }
            _ => Vec::new(),
        }
    }
}

const KNOWN_OBJECTIVES: [&str; 8] =
    ["binary", "cross_entropy", "poisson", "tweedie", "gamma", "regression", "regression_l1", "quantile"];

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_ZERO: u8 = 1 << 2;
const MISSING_NAN: u8 = 2 << 2;
