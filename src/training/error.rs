//! Why a target cannot be fitted.

use crate::error::{ExitCode, Explain, Reason};
use crate::models::FitError;
use crate::models::btyd::BtydError;
use crate::timeline::SpillError;

/// A target that cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// Nobody is eligible at any training cut-off.
    #[error("target `{target}`: no customer is eligible at any training cut-off")]
    NoEligibleRows {
        /// Which target.
        target: String,
    },
    /// Every label is the same.
    #[error("target `{target}`: all {rows} training labels are {label}")]
    SingleClass {
        /// Which target.
        target: String,
        /// Number of labels.
        rows: u64,
        /// What they are.
        label: &'static str,
    },
    /// An amount of an event without money.
    #[error("target `{target}` is an amount, and `{event}` carries no money")]
    NoMoney {
        /// Which target.
        target: String,
        /// Its event.
        event: String,
    },
    /// A model refused the rows.
    #[error("target `{target}` cannot be fitted")]
    Fit {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: FitError,
    },
    /// An occurrence model refused the histories.
    #[error("the occurrences of `{event}` cannot be modelled")]
    Occurrences {
        /// Of which event.
        event: String,
        /// Why.
        #[source]
        source: BtydError,
    },
    /// Timelines on disk cannot be read back.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Figures of the report cannot be computed.
    #[error("target `{target}` cannot be judged")]
    Judge {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: crate::metrics::MetricError,
    },
}

impl Explain for TrainingError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Fit { source, .. } => source.exit_code(),
            Self::Occurrences { source, .. } => source.exit_code(),
            Self::Judge { .. } => ExitCode::Bug,
            Self::Spill(source) => source.exit_code(),
            _ => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::NoEligibleRows { .. } => Some(Reason::NoEligibleRows),
            Self::SingleClass { .. } => Some(Reason::SingleClass),
            Self::NoMoney { .. } => Some(Reason::NoTargetEvent),
            Self::Fit { source, .. } => source.reason(),
            Self::Occurrences { source, .. } => source.reason(),
            Self::Judge { .. } => None,
            Self::Spill(source) => source.reason(),
        }
    }

    fn details(&self) -> Vec<String> {
        let mut details = match self {
            Self::Spill(source) => source.details(),
            _ => Vec::new(),
        };
        details.push("No bundle was written; a former one is untouched.".into());
        details
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEligibleRows { target } => {
                vec![format!("loosen `[target.{target}] eligible`, or take a shorter horizon")]
            }
            Self::SingleClass { target, .. } => {
                vec![format!("another `horizon_days` of `[target.{target}]` may tell customers apart")]
            }
            Self::NoMoney { .. } => vec!["map the column that holds money: `[events.columns] value = \"…\"`".into()],
            Self::Fit { source, .. } => source.hints(),
            Self::Occurrences { source, .. } => source.hints(),
            Self::Judge { .. } => Vec::new(),
            Self::Spill(source) => source.hints(),
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::SingleClass { rows, .. } => vec![("rows", *rows)],
            Self::Fit { source, .. } => source.counts(),
            Self::Occurrences { source, .. } => source.counts(),
            _ => Vec::new(),
        }
    }
}
