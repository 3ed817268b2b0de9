//! The buy-till-you-die models side by side: `bellwether-train clv`.
//!
//! Customers come from events, or from a ready table of frequency, recency and T. With events the models are fitted on
//! the time before a holdout and judged in it; what is foreseen of each customer comes from a fit on all of it.

mod error;
mod judge;
mod population;
mod table;
mod text;

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use crate::config::Config;
use crate::error::Error;
use crate::models::btyd::{BtydError, BtydModel, FitAccount, OrdersFit, OrdersModel, Rfm, SpendModel, WhyCredibility};
use crate::progress::Observer;
use crate::storage;
use crate::time::Day;

pub use error::ClvError;
pub use judge::Holdout;
use population::{Population, Sample};

/// A model that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClvModel {
    /// BG/NBD: nobody leaves before the first repeat order
    BgNbd,
    /// MBG/NBD: some leave after the first order
    MbgNbd,
    /// BG/CNBD-k: BG/NBD with orders at regular times; needs events
    BgCnbd,
    /// MBG/CNBD-k: MBG/NBD with orders at regular times; needs events
    MbgCnbd,
    /// Pareto/NBD: customers leave at any time
    ParetoNbd,
    /// GGom/NBD: the older a customer, the sooner they leave
    GgomNbd,
}

/// The k that are tried for orders at regular times; BTYDplus looks no further either.
const REGULARITIES: [u32; 5] = [2, 3, 4, 5, 6];

/// More customers than these are told to take long with a regular model.
const MANY: usize = 2000;

impl ClvModel {
    /// Fits it; of the regular models the k of the highest likelihood.
    fn fit(self, sample: &Sample) -> Result<OrdersFit, BtydError> {
        let histories = sample.histories();
        let best_of = |model: fn(u32) -> OrdersModel| {
            let fits = REGULARITIES.iter().map(|&k| model(k).fit_orders(&histories));
            let mut best: Option<OrdersFit> = None;
            for fit in fits {
                let fit = fit?;
                let better = best.as_ref().is_none_or(|b| fit.account().ln_likelihood > b.account().ln_likelihood);
                if better {
                    best = Some(fit);
                }
            }
            Ok(best.expect("some k is tried"))
        };
        match self {
            Self::BgNbd => OrdersModel::BgNbd.fit_orders(&histories),
            Self::MbgNbd => OrdersModel::MbgNbd.fit_orders(&histories),
            Self::ParetoNbd => OrdersModel::ParetoNbd.fit_orders(&histories),
            Self::GgomNbd => OrdersModel::GgomNbd.fit_orders(&histories),
            Self::BgCnbd => best_of(OrdersModel::BgCnbd),
            Self::MbgCnbd => best_of(OrdersModel::MbgCnbd),
        }
    }

    /// The name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Self::BgNbd => "BG/NBD",
            Self::MbgNbd => "MBG/NBD",
            Self::BgCnbd => "BG/CNBD-k",
            Self::MbgCnbd => "MBG/CNBD-k",
            Self::ParetoNbd => "Pareto/NBD",
            Self::GgomNbd => "GGom/NBD",
        }
    }

    fn needs_gaps(self) -> bool {
        matches!(self, Self::BgCnbd | Self::MbgCnbd)
    }
}

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
    Events {
        /// Files, folders, globs or hive partitions.
        events: Vec<String>,
        /// How to read them.
        config: Box<Config>,
        /// The first day that must not be seen; the day after the last event when absent.
        as_of: Option<Day>,
        /// Days before `as_of` that the models are judged in; a third of the time seen, at most a year, when absent.
        holdout_days: Option<u16>,
        /// File for rows that cannot be used.
        rejects: PathBuf,
    },
    /// A CSV table with the columns of the package lifetimes.
    Table(PathBuf),
}

/// What a comparison is asked.
#[derive(Debug, Clone)]
pub struct ClvOptions {
    /// Customers.
    pub source: ClvSource,
    /// Which models; all that the source allows when empty.
    pub models: Vec<ClvModel>,
    /// Unit of time.
    pub unit: TimeUnit,
    /// Days that are looked ahead for each customer.
    pub horizon_days: u16,
    /// Discount rate of a year, of lifetime value.
    pub yearly_rate: f64,
    /// CSV file for what is foreseen of each customer by the best model.
    pub out: Option<PathBuf>,
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

/// What orders are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpendLine {
    /// Gamma-Gamma, or credibility.
    pub model: &'static str,
    /// Letters, values and standard errors.
    pub parameters: Vec<(&'static str, f64, Option<f64>)>,
    /// Log-likelihood in nats.
    pub ln_likelihood: f64,
    /// Customers fitted on.
    pub customers: u64,
    /// Expected value of an order of a customer of whom nothing is known.
    pub population_mean: f64,
    /// Why it is not Gamma-Gamma.
    pub because: Option<&'static str>,
}

/// Fits and compares the models.
///
/// # Errors
/// Customers that cannot be read, a holdout that leaves nothing to learn from, models that a table cannot feed, no model
/// that could be fitted, a file that cannot be written.
pub fn compare(options: &ClvOptions, observer: &dyn Observer) -> Result<Clv, Error> {
    if !(options.yearly_rate > 0.0 && options.yearly_rate.is_finite()) {
        return Err(ClvError::BadRate { rate: options.yearly_rate }.into());
    }
    let population = match &options.source {
        ClvSource::Events { events, config, as_of, holdout_days, rejects } => {
            population::from_events(events, config, *as_of, *holdout_days, rejects, observer)?
        }
        ClvSource::Table(path) => table::read(path, options.unit.days())?,
    };
    let models = asked(options, &population)?;
    let sample = &population.calibration;
    let histories = sample.histories();
    observer.stage("fitting");
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    for model in models {
        match model.fit(sample) {
            Ok(orders) => lines.push((model, judge::line(&orders, &population, options.unit)?)),
            Err(reason) => failed.push(Failed { model: model.name().to_string(), reason: reason.to_string() }),
        }
    }
    lines.sort_by(|one, other| one.1.bic.total_cmp(&other.1.bic));
    let Some(&(best, _)) = lines.first() else {
        let reasons = failed.into_iter().map(|failed| format!("{}: {}", failed.model, failed.reason)).collect();
        return Err(ClvError::NoModel { reasons }.into());
    };
    let spend = SpendModel::fit(&sample.spends()?)?;
    let written = match &options.out {
        Some(path) => {
            observer.stage("foreseeing each customer");
            let whole = population.whole();
            if best.needs_gaps() && whole.rfms.len() > MANY {
                observer.warn(&format!(
                    "the exact expectations of {} take some 50 ms a customer; `--model mbg-nbd --model pareto-nbd` \
                     leaves the regular models out",
                    best.name()
                ));
            }
            let model = BtydModel { orders: best.fit(whole)?, spend: SpendModel::fit(&whole.spends()?)? };
            let text = foreseen(&model, whole, options)?;
            storage::write_atomic(path, |file| std::io::Write::write_all(file, text.as_bytes()))?;
            Some(path.clone())
        }
        None => None,
    };
    Ok(Clv {
        calibration_end: population.calibration_end,
        holdout_days: population.holdout.as_ref().map(|holdout| holdout.days),
        customers: histories.customers(),
        repeat_buyers: histories.repeat_buyers(),
        repeat_orders: histories.totals().0,
        unit: options.unit,
        models: lines.into_iter().map(|(_, line)| line).collect(),
        failed,
        spend: spend.as_ref().map(spend_line),
        written,
    })
}

/// The models to fit: those asked for, or all that the source allows.
fn asked(options: &ClvOptions, population: &Population) -> Result<Vec<ClvModel>, ClvError> {
    let possible = |model: &ClvModel| !model.needs_gaps() || population.calibration.ln_gaps.is_some();
    if options.models.is_empty() {
        return Ok(ClvModel::value_variants().iter().copied().filter(possible).collect());
    }
    match options.models.iter().find(|model| !possible(model)) {
        Some(&model) => Err(ClvError::NeedsEvents { model }),
        None => Ok(options.models.clone()),
    }
}

fn spend_line(spend: &SpendModel) -> SpendLine {
    let population_mean = spend.base();
    match spend {
        SpendModel::GammaGamma { fitted, .. } => {
            let errors = |i: usize| fitted.standard_errors.as_ref().map(|errors| errors[i]);
            let parameters = ["p", "q", "gamma"].into_iter().zip(fitted.params.parameters()).enumerate();
            SpendLine {
                model: "Gamma-Gamma",
                parameters: parameters.map(|(i, (letter, value))| (letter, value, errors(i))).collect(),
                ln_likelihood: fitted.ln_likelihood,
                customers: fitted.customers,
                population_mean,
                because: None,
            }
        }
        SpendModel::Credibility { fitted, because } => SpendLine {
            model: "credibility",
            parameters: vec![
                ("mu", fitted.params.population_mean(), None),
                ("k", fitted.params.orders_to_trust(), None),
            ],
            ln_likelihood: fitted.ln_likelihood,
            customers: fitted.customers,
            population_mean,
            because: Some(match because {
                WhyCredibility::NotPositive { .. } => "many customers have a mean value of zero or below",
                WhyCredibility::HeavyTail => "the tail of Gamma-Gamma would be too heavy to have a believable mean",
                WhyCredibility::NoMaximum => "the likelihood of Gamma-Gamma has no maximum",
            }),
        },
    }
}

/// What is foreseen of each customer, as CSV; times in the unit asked for.
fn foreseen(model: &BtydModel, sample: &Sample, options: &ClvOptions) -> Result<String, Error> {
    use rayon::prelude::*;
    let horizon = options.horizon_days;
    let scorer = model.scorer(f64::from(horizon))?;
    // The continuous rate of a day that makes the yearly one.
    let rate = options.yearly_rate.ln_1p() / 365.25;
    let unit = options.unit.days();
    let mut text = format!(
        "customer_id,frequency,recency,T,monetary_value,alive_probability,no_order_probability_{horizon}d,\
         predicted_orders_{horizon}d,predicted_value_{horizon}d,discounted_orders,discounted_value\n"
    );
    let row = |(id, (history, mean)): (&String, (&Rfm, &Option<f64>))| -> Result<String, BtydError> {
        let score = scorer.score(history, *mean);
        let (orders, value) = scorer.lifetime(history, *mean, rate)?;
        let or_nothing = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        Ok(format!(
            "{},{},{},{},{},{},{},{},{},{},{}\n",
            quoted(id),
            history.x(),
            history.t_x() / unit,
            history.t() / unit,
            or_nothing(*mean),
            score.alive_probability,
            score.no_order_probability,
            score.expected_orders,
            or_nothing(score.expected_value),
            orders,
            or_nothing(value),
        ))
    };
    let rows: Vec<String> = sample
        .ids
        .par_iter()
        .zip(sample.rfms.par_iter().zip(&sample.means))
        .map(row)
        .collect::<Result<_, BtydError>>()?;
    text.extend(rows);
    Ok(text)
}

/// An id as CSV takes it.
fn quoted(id: &str) -> String {
    if id.contains([',', '"', '\n', '\r']) { format!("\"{}\"", id.replace('"', "\"\"")) } else { id.to_string() }
}
