//! What can be wrong with histories, money and parameters.

use crate::error::{ExitCode, Explain, Reason};
use crate::math::Stop;

/// A history, a parameter or a data set that the buy-till-you-die models cannot take.
#[derive(Debug, thiserror::Error)]
pub enum BtydError {
    /// A population parameter outside its range.
    #[error("{model}: parameter `{name}` must be {rule}, got {found}")]
    BadParameter {
        /// Which model.
        model: &'static str,
        /// The paper's letter.
        name: &'static str,
        /// What it has to be.
        rule: &'static str,
        /// What it was.
        found: f64,
    },
    /// A stored model has a parameter that the model does not know.
    #[error("{model} has no parameter `{letter}`")]
    UnknownLetter {
        /// Which model.
        model: &'static str,
        /// What was found.
        letter: String,
    },
    /// Numbers that no purchase history can have.
    #[error("a history of x = {x}, t_x = {t_x}, T = {t} days breaks the rule: {rule}")]
    BadHistory {
        /// Repeat order-days.
        x: f64,
        /// Days from first to last order.
        t_x: f64,
        /// Days from first order to `as_of`.
        t: f64,
        /// Which rule.
        rule: &'static str,
    },
    /// Numbers that no spending can have.
    #[error("a mean value of {mean} over {x} repeat orders breaks the rule: {rule}")]
    BadSpend {
        /// Repeat order-days.
        x: f64,
        /// Mean value of them.
        mean: f64,
        /// Which rule.
        rule: &'static str,
    },
    /// A horizon that is not a length of time.
    #[error("the horizon must be 0 to 10,000,000 days, got {days}")]
    BadHorizon {
        /// What was given.
        days: f64,
    },
    /// A rate that does not discount.
    #[error("the discount rate must be above 0 and finite, got {rate}")]
    BadRate {
        /// What was given.
        rate: f64,
    },
    /// A discount rate per period for which a sum over periods does not end.
    #[error("the discount rate of a period must be 0.0001 to 10,000, got {rate}")]
    BadPeriodRate {
        /// What was given.
        rate: f64,
    },
    /// More periods than are summed over.
    #[error("at most 1,000,000 periods can be looked ahead, got {periods}")]
    BadPeriods {
        /// What was given.
        periods: u32,
    },
    /// Counts that no contracts can have.
    #[error(
        "contracts of period {period} cannot be {cancelled} cancelled and {renewed} renewed: periods count from 1 to 1,000,000, customers from 0"
    )]
    BadContracts {
        /// Periods since the start.
        period: u32,
        /// Who cancelled.
        cancelled: f64,
        /// Who renewed.
        renewed: f64,
    },
    /// A table with another number of columns.
    #[error("{model} takes the columns {expected}, got {found} columns")]
    BadColumns {
        /// Which model.
        model: &'static str,
        /// Their names.
        expected: &'static str,
        /// How many there were.
        found: usize,
    },
    /// Customers with different numbers of covariates.
    #[error("{model}: a customer has {found} covariates of a kind of which there are {expected}")]
    BadCovariates {
        /// Which model.
        model: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// As many histories as mean values are scored together.
    #[error("{histories} histories and {values} mean values do not belong together")]
    UnequalLengths {
        /// How many histories.
        histories: usize,
        /// How many mean values.
        values: usize,
    },
    /// Nobody to learn from.
    #[error("{model}: there is no customer to learn from")]
    NoCustomers {
        /// Which model.
        model: &'static str,
    },
    /// Every customer is of the last day: no time in which anybody could have bought again.
    #[error("{model}: all {customers} customers ordered first on the last day, so nothing was observed of them")]
    NoTime {
        /// Which model.
        model: &'static str,
        /// How many.
        customers: u64,
    },
    /// A regular model is fitted to histories whose gaps between orders are not known.
    #[error("{model}: the days between neighbouring orders are not known")]
    NoGaps {
        /// Which model.
        model: &'static str,
    },
    /// The optimiser found no maximum even with the weak prior.
    #[error("{model}: no maximum of the likelihood was found over {customers} customers ({stop:?})")]
    NoMaximum {
        /// Which model.
        model: &'static str,
        /// How many.
        customers: u64,
        /// How the optimiser stopped; `None` where the likelihood is finite at no start.
        stop: Option<Stop>,
    },
    /// The linfa contract asks for it.
    #[error("the data set is not usable")]
    Linfa(#[from] linfa::Error),
}

impl Explain for BtydError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadHorizon { .. } | Self::BadRate { .. } | Self::BadPeriodRate { .. } | Self::BadPeriods { .. } => {
                ExitCode::Usage
            }
            Self::BadParameter { .. } | Self::UnknownLetter { .. } => ExitCode::BundleUnusable,
            Self::BadColumns { .. } | Self::BadCovariates { .. } | Self::UnequalLengths { .. } | Self::Linfa(_) => {
                ExitCode::Bug
            }
            Self::BadHistory { .. }
            | Self::BadSpend { .. }
            | Self::BadContracts { .. }
            | Self::NoCustomers { .. }
            | Self::NoTime { .. }
            | Self::NoGaps { .. }
            | Self::NoMaximum { .. } => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::NoCustomers { .. } => Some(Reason::NoPopulation),
            Self::NoTime { .. } => Some(Reason::NotEnoughHistory),
            Self::NoMaximum { .. } => Some(Reason::NotEnoughPopulation),
            _ => None,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::NoTime { .. } => vec!["A rate needs time: days between a first order and `as_of`.".into()],
            _ => Vec::new(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoTime { .. } => vec!["use a later `--as-of`".into()],
            Self::NoGaps { .. } => vec!["fit it to events; a table of x, t_x and T does not hold the gaps".into()],
            _ => Vec::new(),
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::NoCustomers { .. } => vec![("customers", 0)],
            Self::NoTime { customers, .. } | Self::NoMaximum { customers, .. } => vec![("customers", *customers)],
            _ => Vec::new(),
        }
    }
}
