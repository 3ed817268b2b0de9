//! BG/BB: customers who may act once in each period, from events or a table of opportunities.

use rayon::prelude::*;
use serde::Serialize;

use super::csv_table::CsvTable;
use super::customers::quoted;
use super::error::ClvError;
use super::population::{self, Seen};
use super::{ClvModel, ClvOptions, ClvSource, Period, write};
use crate::error::Error;
use crate::metrics::ranking::roc_auc;
use crate::models::btyd::{BgBb, BtydError, FitAccount, Opportunities};
use crate::progress::Observer;
use crate::time::Day;
use crate::timeline::SpillError;

/// The report of BG/BB.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Periods {
    /// First day that the fit did not see; absent for a table.
    pub calibration_end: Option<Day>,
    /// The period, in words.
    pub period: String,
    /// Customers fitted on.
    pub customers: u64,
    /// Those of them who acted again.
    pub repeat_buyers: u64,
    /// Periods in which they did.
    pub acts: f64,
    /// Opportunities of the customer who had the most.
    pub most_opportunities: u32,
    /// Parameters and how the fit went.
    #[serde(flatten)]
    pub account: FitAccount,
    /// Bayesian information criterion; not to be compared with those of orders in continuous time.
    pub bic: f64,
    /// How it did in the holdout.
    pub holdout: Option<PeriodsHoldout>,
    /// Where what is foreseen of each customer was written.
    pub written: Option<std::path::PathBuf>,
}

/// Periods of the holdout with an order, foreseen and come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeriodsHoldout {
    /// Complete periods of the holdout.
    pub periods: u32,
    /// Expected periods with an order, of all customers.
    pub expected_acts: f64,
    /// Those that came.
    pub actual_acts: f64,
    /// Mean absolute error of a customer.
    pub mae: f64,
    /// Root of the mean squared error of it.
    pub rmse: f64,
    /// Chance that one who acted had a lower probability of no act than one who did not; `None` where all did, or nobody.
    pub roc_auc: Option<f64>,
    /// The same with the probability of being alive: no churn score.
    pub roc_auc_of_alive: Option<f64>,
}

/// Customers with their opportunities.
struct Sample {
    ids: Vec<String>,
    histories: Vec<Opportunities>,
    /// Customers that each row stands for.
    counts: Vec<f64>,
}

impl Sample {
    /// Distinct histories with their customers, ordered.
    fn distinct(&self) -> Vec<(Opportunities, f64)> {
        let mut rows: Vec<(Opportunities, f64)> =
            self.histories.iter().copied().zip(self.counts.iter().copied()).collect();
        rows.sort_by_key(|row| row.0);
        rows.chunk_by(|one, other| one.0 == other.0)
            .map(|same| (same[0].0, same.iter().map(|row| row.1).sum()))
            .collect()
    }
}

/// What customers did later, by customer.
struct Later {
    periods: u32,
    acts: Vec<f64>,
}

pub(super) fn fit(options: &ClvOptions, observer: &dyn Observer) -> Result<Periods, Error> {
    let period = options.period;
    let (sample, whole, later, end) = match &options.source {
        ClvSource::Table(path) => (from_table(&CsvTable::read(path)?)?, None, None, None),
        ClvSource::Events(source) => {
            let seen = population::open(source, observer)?;
            let (sample, later) = counted(&seen, period, seen.end)?;
            let whole = counted(&seen, period, seen.as_of)?.0;
            (sample, Some(whole), later, Some(seen.end))
        }
    };
    if sample.ids.is_empty() {
        return Err(ClvError::Nobody.into());
    }
    observer.stage("fitting");
    let distinct = sample.distinct();
    let no_fit = |source: BtydError| ClvError::NoModel { reasons: vec![format!("BG/BB: {source}")] };
    let fitted = BgBb::fit(&distinct).map_err(no_fit)?;
    let letters = BgBb::LETTERS.into_iter().zip(fitted.params.parameters());
    let parameters = letters.map(|(letter, value)| (letter.to_string(), value, 0)).collect();
    let account = FitAccount::new(ClvModel::BgBb.name().to_string(), &fitted, parameters);
    let holdout = later.map(|later| judge(&fitted.params, &sample, &later)).transpose()?;
    if let Some(path) = &options.out {
        observer.stage("foreseeing each customer");
        let whole = whole.as_ref().unwrap_or(&sample);
        let fitted = BgBb::fit(&whole.distinct()).map_err(no_fit)?;
        write(path, &foreseen(&fitted.params, whole, options)?)?;
    }
    let total = |of: &dyn Fn(Opportunities) -> f64| distinct.iter().map(|&(h, count)| count * of(h)).sum::<f64>();
    Ok(Periods {
        calibration_end: end,
        period: period.to_string(),
        customers: account.customers,
        repeat_buyers: total(&|history| f64::from(u8::from(history.counts().0 > 0))) as u64,
        acts: total(&|history| f64::from(history.counts().0)),
        most_opportunities: distinct.iter().map(|row| row.0.counts().2).max().unwrap_or(0),
        bic: account.bic(0),
        account,
        holdout,
        written: options.out.clone(),
    })
}

/// A table of opportunities, as the users of BTYD have it: one row a customer, or a history with its customers.
fn from_table(table: &CsvTable) -> Result<Sample, ClvError> {
    let x = table.needed(&["frequency", "x"])?;
    let (t_x, n) = (table.needed(&["recency", "t_x", "t.x"])?, table.needed(&["T", "n", "n.cal", "periods"])?);
    let (id, count) = (table.place(&["customer_id"]), table.place(&["customers", "custs", "weights"]));
    let mut sample = Sample { ids: Vec::new(), histories: Vec::new(), counts: Vec::new() };
    for row in 0..table.rows() {
        let history = Opportunities::new(table.count(row, x)?, table.count(row, t_x)?, table.count(row, n)?);
        sample.histories.push(history.map_err(|source| table.bad_row(row, source))?);
        sample.ids.push(id.map_or_else(|| (row + 1).to_string(), |at| table.text(row, at).to_string()));
        sample.counts.push(count.map_or(Ok(1.0), |at| table.count(row, at).map(f64::from))?);
    }
    Ok(sample)
}

/// Opportunities of everybody who had ordered before `end`, and what they did in the complete periods from then on.
fn counted(seen: &Seen, period: Period, end: Day) -> Result<(Sample, Option<Later>), Error> {
    let ahead = period.ahead(end, seen.as_of);
    let rows = seen.timelines.map_parts(|_, part| {
        let one = |c: usize| {
            let timeline = part.timeline(c);
            let known = seen.reader.days(timeline, end);
            if known.is_empty() {
                return None;
            }
            let acts = period.acts_ahead(&seen.reader.days(timeline, seen.as_of), end, seen.as_of);
            Some((part.id(c).to_string(), period.opportunities(&known, end), acts))
        };
        Ok::<Vec<_>, SpillError>((0..part.customers()).filter_map(one).collect())
    })?;
    let mut sample = Sample { ids: Vec::new(), histories: Vec::new(), counts: Vec::new() };
    let mut acts = Vec::new();
    for (id, history, later) in rows.into_iter().flatten() {
        sample.ids.push(id);
        sample.histories.push(history?);
        sample.counts.push(1.0);
        acts.push(f64::from(later));
    }
    Ok((sample, (ahead > 0).then_some(Later { periods: ahead, acts })))
}

fn judge(model: &BgBb, sample: &Sample, later: &Later) -> Result<PeriodsHoldout, BtydError> {
    let foreseen: Vec<[f64; 3]> = sample
        .histories
        .par_iter()
        .map(|&history| {
            let expected = model.expected_orders(history, later.periods)?;
            Ok([expected, -model.no_order_probability(history, later.periods)?, model.alive_at_next(history)])
        })
        .collect::<Result<_, BtydError>>()?;
    let n = foreseen.len() as f64;
    let errors = || foreseen.iter().zip(&later.acts).map(|(foreseen, actual)| foreseen[0] - actual);
    let acted: Vec<bool> = later.acts.iter().map(|&acts| acts > 0.0).collect();
    let column = |i: usize| foreseen.iter().map(|row| row[i]).collect::<Vec<f64>>();
    Ok(PeriodsHoldout {
        periods: later.periods,
        expected_acts: column(0).iter().sum(),
        actual_acts: later.acts.iter().sum(),
        mae: errors().map(f64::abs).sum::<f64>() / n,
        rmse: (errors().map(|error| error * error).sum::<f64>() / n).sqrt(),
        roc_auc: roc_auc(&acted, &column(1)),
        roc_auc_of_alive: roc_auc(&acted, &column(2)),
    })
}

/// What is foreseen of each customer, as CSV.
fn foreseen(model: &BgBb, sample: &Sample, options: &ClvOptions) -> Result<String, Error> {
    let periods = (f64::from(options.horizon_days) / options.period.days()).floor().max(1.0) as u32;
    let rate = options.period.rate(options.yearly_rate);
    let mut text = format!(
        "customer_id,x,t_x,n,customers,alive_probability,no_act_probability_{periods}p,predicted_acts_{periods}p,\
         discounted_acts\n"
    );
    let row = |i: usize| -> Result<String, BtydError> {
        let history = sample.histories[i];
        let (x, t_x, n) = history.counts();
        Ok(format!(
            "{},{x},{t_x},{n},{},{},{},{},{}\n",
            quoted(&sample.ids[i]),
            sample.counts[i],
            model.alive_at_next(history),
            model.no_order_probability(history, periods)?,
            model.expected_orders(history, periods)?,
            model.discounted_orders(history, rate)?,
        ))
    };
    let rows: Vec<String> = (0..sample.ids.len()).into_par_iter().map(row).collect::<Result<_, BtydError>>()?;
    text.extend(rows);
    Ok(text)
}
