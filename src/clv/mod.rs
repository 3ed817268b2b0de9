//! The buy-till-you-die models side by side: `bellwether-train clv`.
//!
//! Customers come from events, or from a ready table of frequency, recency and T. With events the models are fitted on
//! the time before a holdout and judged in it; what is foreseen of each customer comes from a fit on all of it. BG/BB counts
//! periods with an order and sBG contracts, so that their figures cannot stand beside those of the others: each is asked
//! for alone, and has a report of its own.

mod contracts;
mod covariates;
mod csv_table;
mod customers;
mod error;
mod judge;
mod models;
mod opportunities;
mod periods;
mod population;
mod spend;
mod table;
mod text;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use crate::config::Config;
use crate::error::Error;
use crate::models::btyd::{FitAccount, SpendModel};
use crate::progress::Observer;
use crate::storage;
use crate::time::Day;
use crate::timeline::Budget;

pub use contracts::{Contracts, ContractsPeriod};
pub use covariates::Covariates;
pub use error::ClvError;
pub use judge::Holdout;
pub use models::ClvModel;
pub use opportunities::Period;
pub use periods::{Periods, PeriodsHoldout};
pub use spend::SpendLine;

use customers::Best;
use population::Population;

/// The unit of the times of a table, and of printed parameters and likelihoods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Days
    Days,
    /// Weeks of seven days
    Weeks,
}

impl TimeUnit {
    fn days(self) -> f64 {
        match self {
            Self::Days => 1.0,
            Self::Weeks => 7.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Weeks => "weeks",
        }
    }
}

/// Where customers come from.
#[derive(Debug, Clone)]
pub enum ClvSource {
    /// Events.
    Events(EventsSource),
    /// A CSV table with the columns of the package lifetimes; for BG/BB of opportunities, for sBG of contracts.
    Table(PathBuf),
}

/// Events, and what of them is kept for judging.
#[derive(Debug, Clone)]
pub struct EventsSource {
    /// Files, folders, globs or hive partitions.
    pub events: Vec<String>,
    /// How to read them.
    pub config: Box<Config>,
    /// The first day that must not be seen; the day after the last event when absent.
    pub as_of: Option<Day>,
    /// Days before `as_of` that the models are judged in; a third of the time seen, at most a year, when absent.
    pub holdout_days: Option<u16>,
    /// File for rows that cannot be used.
    pub rejects: PathBuf,
    /// What timelines may take.
    pub budget: Budget,
}

/// What a comparison is asked.
#[derive(Debug, Clone)]
pub struct ClvOptions {
    /// Customers.
    pub source: ClvSource,
    /// Which models; all of orders in continuous time that the source allows when empty.
    pub models: Vec<ClvModel>,
    /// Columns of a table that may shift how often customers order, and how soon they leave.
    pub covariates: Covariates,
    /// Unit of time.
    pub unit: TimeUnit,
    /// The period of BG/BB and sBG.
    pub period: Period,
    /// Days that are looked ahead for each customer.
    pub horizon_days: u16,
    /// Discount rate of a year, of lifetime value.
    pub yearly_rate: f64,
    /// CSV file for what is foreseen of each customer by the best model.
    pub out: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Comparison {
    /// The models of orders in continuous time, side by side.
    Orders(Clv),
    /// BG/BB.
    Periods(Periods),
    /// sBG.
    Contracts(Contracts),
}

impl Comparison {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        match self {
            Self::Orders(clv) => clv.to_text(),
            Self::Periods(periods) => periods.to_text(),
            Self::Contracts(contracts) => contracts.to_text(),
        }
    }
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clv {
    /// First day that the fits did not see; absent for a table.
    pub calibration_end: Option<Day>,
    /// Days of the holdout; absent for a table, or where the time seen is too short.
    pub holdout_days: Option<u16>,
    /// Customers fitted on.
    pub customers: u64,
    /// Those of them who came back.
    pub repeat_buyers: u64,
    /// Their repeat orders: days with one.
    pub repeat_orders: f64,
    /// Unit of time of parameters and likelihoods.
    pub unit: TimeUnit,
    /// The models, in order of BIC.
    pub models: Vec<ModelLine>,
    /// Models that could not be fitted, and why.
    pub failed: Vec<Failed>,
    /// The spend model; absent where no repeat order has a value.
    pub spend: Option<SpendLine>,
    /// Where what is foreseen of each customer was written.
    pub written: Option<PathBuf>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelLine {
    /// Parameters and how the fit went, in the unit of the comparison.
    #[serde(flatten)]
    pub account: FitAccount,
    /// Bayesian information criterion: the lower the better.
    pub bic: f64,
    /// How it did in the holdout.
    pub holdout: Option<Holdout>,
}

/// A model that has no fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// Which.
    pub model: String,
    /// Why.
    pub reason: String,
}

/// Fits and compares the models.
///
/// # Errors
/// Customers that cannot be read, a holdout that leaves nothing to learn from, models that a table cannot feed or that
/// stand alone, no model that could be fitted, a file that cannot be written.
pub fn compare(options: &ClvOptions, observer: &dyn Observer) -> Result<Comparison, Error> {
    if !(options.yearly_rate > 0.0 && options.yearly_rate.is_finite()) {
        return Err(ClvError::BadRate { rate: options.yearly_rate }.into());
    }
    let rejects = match &options.source {
        ClvSource::Events(source) => Some(&source.rejects),
        ClvSource::Table(_) => None,
    };
    for path in rejects.into_iter().chain(&options.out) {
        storage::refuse_remote(path)?;
    }
    match options.models.iter().find(|model| !model.is_continuous()) {
        None => Ok(Comparison::Orders(orders(options, observer)?)),
        Some(&model) if options.models.len() > 1 => Err(ClvError::Alone { model }.into()),
        Some(ClvModel::BgBb) => Ok(Comparison::Periods(periods::fit(options, observer)?)),
        Some(&model) => match &options.source {
            ClvSource::Table(path) => Ok(Comparison::Contracts(contracts::fit(path, options, observer)?)),
            ClvSource::Events(_) => Err(ClvError::NeedsTable { model }.into()),
        },
    }
}

/// The models of orders in continuous time.
fn orders(options: &ClvOptions, observer: &dyn Observer) -> Result<Clv, Error> {
    let population = match &options.source {
        ClvSource::Events(source) => population::from_events(source, observer)?,
        ClvSource::Table(path) => table::read(path, options.unit.days(), &options.covariates)?,
    };
    let models = asked(options, &population)?;
    let sample = &population.calibration;
    let histories = sample.histories();
    observer.stage("fitting");
    let (mut fits, mut failed) = (Vec::new(), Vec::new());
    let mut add = |name: String, line: Result<(Best, ModelLine), crate::models::btyd::BtydError>| match line {
        Ok(fit) => fits.push(fit),
        Err(reason) => failed.push(Failed { model: name, reason: reason.to_string() }),
    };
    for model in models {
        let line = model.fit(sample).and_then(|fitted| judge::line(&fitted, &population, options.unit));
        add(model.name().to_string(), line.map(|line| (Best::Plain(model), line)));
        if let Some(described) = sample.covariates.as_ref().filter(|_| model.takes_covariates()) {
            let line = covariates::fit(model, sample, described).map(|fitted| {
                let account = fitted.account(described).in_units(options.unit.days(), histories.totals().0);
                let line = ModelLine { bic: account.bic(0), account, holdout: None };
                (Best::Described(Box::new(fitted)), line)
            });
            add(format!("{} with covariates", model.name()), line);
        }
    }
    fits.sort_by(|one, other| one.1.bic.total_cmp(&other.1.bic));
    let Some((best, _)) = fits.first() else {
        let reasons = failed.into_iter().map(|failed| format!("{}: {}", failed.model, failed.reason)).collect();
        return Err(ClvError::NoModel { reasons }.into());
    };
    let spend = SpendModel::fit(&sample.spends()?)?;
    if let Some(path) = &options.out {
        observer.stage("foreseeing each customer");
        write(path, &customers::foreseen(best, population.whole(), options)?)?;
    }
    Ok(Clv {
        calibration_end: population.calibration_end,
        holdout_days: population.holdout.as_ref().map(|holdout| holdout.days),
        customers: histories.customers(),
        repeat_buyers: histories.repeat_buyers(),
        repeat_orders: histories.totals().0,
        unit: options.unit,
        models: fits.into_iter().map(|(_, line)| line).collect(),
        failed,
        spend: spend.as_ref().map(spend::spend_line),
        written: options.out.clone(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(storage::write_atomic(path, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// The models to fit: those asked for, or all that the source allows; with covariates, those that take them.
fn asked(options: &ClvOptions, population: &Population) -> Result<Vec<ClvModel>, ClvError> {
    let with_covariates = population.calibration.covariates.is_some();
    let fed = |model: &ClvModel| !model.needs_gaps() || population.calibration.ln_gaps.is_some();
    if options.models.is_empty() {
        let wanted =
            |model: &ClvModel| model.is_continuous() && fed(model) && (!with_covariates || model.takes_covariates());
        return Ok(ClvModel::value_variants().iter().copied().filter(wanted).collect());
    }
    if let Some(&model) = options.models.iter().find(|model| !fed(model)) {
        return Err(ClvError::NeedsEvents { model });
    }
    match options.models.iter().find(|model| with_covariates && !model.takes_covariates()) {
        Some(&model) => Err(ClvError::NoCovariates { model }),
        None => Ok(options.models.clone()),
    }
}
