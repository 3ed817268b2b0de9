//! What can keep the models from being compared.

use std::path::PathBuf;

use clap::ValueEnum;

use super::ClvModel;
use crate::error::{ExitCode, Explain, Reason};
use crate::models::btyd::BtydError;

/// Customers or wishes that a comparison cannot take. Rows count from 1, below the header.
#[derive(Debug, thiserror::Error)]
pub enum ClvError {
    /// A file that is no table.
    #[error("{}: no CSV table", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: csv::Error,
    },
    /// A column that is not there.
    #[error("{}: there is no column `{column}`", path.display())]
    NoColumn {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// The columns that there are.
        found: Vec<String>,
    },
    /// A cell that holds no number.
    #[error("{}, row {row}: `{column}` is {found:?}, expected a number", path.display())]
    NoNumber {
        /// Which file.
        path: PathBuf,
        /// Which row.
        row: u64,
        /// Which column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// A cell that holds no whole number.
    #[error("{}, row {row}: `{column}` is {found}, expected a whole number from 0", path.display())]
    NoCount {
        /// Which file.
        path: PathBuf,
        /// Which row.
        row: u64,
        /// Which column.
        column: String,
        /// What it holds.
        found: f64,
    },
    /// A column that cannot be a covariate.
    #[error("the covariate `{column}` {rule}")]
    BadCovariate {
        /// Which column.
        column: String,
        /// What is wrong with it.
        rule: String,
    },
    /// A row that no contracts can have.
    #[error("row {row}: {rule}")]
    BadContract {
        /// Which row.
        row: u64,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// A row that is no history.
    #[error("{}, row {row}: no history of a customer", path.display())]
    BadRow {
        /// Which file.
        path: PathBuf,
        /// Which row.
        row: u64,
        /// Which rule it breaks; times in days.
        #[source]
        source: BtydError,
    },
    /// Nobody.
    #[error("there is no customer with an order")]
    Nobody,
    /// A holdout as long as the history.
    #[error("a holdout of {holdout_days} days leaves nobody to learn from")]
    HoldoutTooLong {
        /// How long.
        holdout_days: u16,
        /// How long the history is.
        days: i32,
    },
    /// A regular model for a table.
    #[error("{} needs the days between orders, which a table of frequency, recency and T does not hold", model.name())]
    NeedsEvents {
        /// Which model.
        model: ClvModel,
    },
    /// A model that covariates cannot shift.
    #[error("{} takes no covariates", model.name())]
    NoCovariates {
        /// Which model.
        model: ClvModel,
    },
    /// A model beside others whose figures mean something else.
    #[error("the figures of {} cannot stand beside those of other models", model.name())]
    Alone {
        /// Which model.
        model: ClvModel,
    },
    /// A model for events that needs a table.
    #[error("{} needs a table of contracts", model.name())]
    NeedsTable {
        /// Which model.
        model: ClvModel,
    },
    /// A rate that does not discount.
    #[error("the discount rate of a year must be above 0 and finite, got {rate}")]
    BadRate {
        /// What was given.
        rate: f64,
    },
    /// Every model failed.
    #[error("no model could be fitted")]
    NoModel {
        /// Why not, one line a model.
        reasons: Vec<String>,
    },
}

impl Explain for ClvError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::HoldoutTooLong { .. }
            | Self::NeedsEvents { .. }
            | Self::NoCovariates { .. }
            | Self::Alone { .. }
            | Self::NeedsTable { .. }
            | Self::BadRate { .. } => ExitCode::Usage,
            _ => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Unreadable { .. }
            | Self::NoColumn { .. }
            | Self::NoNumber { .. }
            | Self::NoCount { .. }
            | Self::BadCovariate { .. }
            | Self::BadContract { .. }
            | Self::BadRow { .. } => Some(Reason::UnreadableEvents),
            Self::Nobody => Some(Reason::NoPopulation),
            Self::NoModel { .. } => Some(Reason::NotEnoughPopulation),
            _ => None,
        }
    }

    fn details(&self) -> Vec<String> {
        let mut details = match self {
            Self::NoColumn { found, .. } => vec![format!("columns: {}", found.join(", "))],
            Self::HoldoutTooLong { days, .. } => vec![format!("the events span {days} days")],
            Self::NoModel { reasons } => reasons.clone(),
            _ => Vec::new(),
        };
        details.push("Nothing was written.".into());
        details
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreadable { .. } | Self::NoColumn { .. } => {
                "`bellwether-train clv --help` tells the columns of each table; of repeat orders they are \
                 ` customer_id,frequency,recency,T,monetary_value`; the first and last may be left out"
                    .into()
            }
            Self::NoNumber { .. } | Self::NoCount { .. } => {
                "write numbers with a decimal point, and without separators".into()
            }
            Self::BadRow { .. } => {
                "`frequency` counts repeat orders, `recency` is the time from the first to the last, `T` that to today"
                    .into()
            }
            Self::Nobody => "`bellwether-train check --events …` prints what the data hold".into(),
            Self::HoldoutTooLong { .. } => "use a shorter `--holdout-days`, or 0 for none".into(),
            Self::NeedsEvents { model } => format!("leave out `--model {}`, or give `--events`", flag(*model)),
            Self::BadCovariate { .. } => {
                "leave it out of the covariates, or out of the table the rows that lack it".into()
            }
            Self::BadContract { .. } => {
                "a table of contracts has `periods,cancelled`, one of cohorts `cohort,period,active`".into()
            }
            Self::NoCovariates { .. } => "`--model bg-nbd`, `mbg-nbd` and `pareto-nbd` take them".into(),
            Self::Alone { model } => format!("ask for it alone: `--model {}`", flag(*model)),
            Self::NeedsTable { model } => {
                format!("`--model {} --table contracts.csv`, with the columns `periods,cancelled`", flag(*model))
            }
            Self::BadRate { .. } => "`--yearly-rate 0.1` is ten percent a year".into(),
            Self::NoModel { .. } => "a longer history, or more customers, may determine one".into(),
        };
        vec![hint]
    }
}

/// A model as the command line calls it.
fn flag(model: ClvModel) -> String {
    model.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}
