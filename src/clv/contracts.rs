//! sBG: contracts that are renewed or cancelled at the end of each period, from a table.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::csv_table::CsvTable;
use super::error::ClvError;
use super::{ClvModel, ClvOptions, write};
use crate::error::Error;
use crate::models::btyd::{BtydError, Contracts as Count, FitAccount, ShiftedBetaGeometric};
use crate::progress::Observer;

/// The report of sBG.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contracts {
    /// Contracts fitted on.
    pub contracts: u64,
    /// Those of them that were cancelled.
    pub cancelled: f64,
    /// The period, in words.
    pub period: String,
    /// Parameters and how the fit went.
    #[serde(flatten)]
    pub account: FitAccount,
    /// Bayesian information criterion.
    pub bic: f64,
    /// The periods seen, and as many more.
    pub periods: Vec<ContractsPeriod>,
    /// Where the periods were written.
    pub written: Option<std::path::PathBuf>,
}

/// A period of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ContractsPeriod {
    /// Renewals so far.
    pub period: u32,
    /// Share of contracts that outlived it (Kaplan-Meier where some were seen for less); absent beyond the periods seen.
    pub observed_survival: Option<f64>,
    /// The model's.
    pub survival: f64,
    /// Probability of cancelling at the end of the next period, of those still there: the churn score.
    pub churn_probability: f64,
    /// Renewals to come of one of them, discounted.
    pub discounted_renewals: f64,
}

/// Projected periods at most.
const MOST_PROJECTED: u32 = 120;

pub(super) fn fit(path: &Path, options: &ClvOptions, observer: &dyn Observer) -> Result<Contracts, Error> {
    let counts = read(path)?;
    observer.stage("fitting");
    let no_fit = |source: BtydError| ClvError::NoModel { reasons: vec![format!("sBG: {source}")] };
    let fitted = ShiftedBetaGeometric::fit(&counts).map_err(no_fit)?;
    let letters = ShiftedBetaGeometric::LETTERS.into_iter().zip(fitted.params.parameters());
    let parameters = letters.map(|(letter, value)| (letter.to_string(), value, 0)).collect();
    let account = FitAccount::new(ClvModel::Sbg.name().to_string(), &fitted, parameters);
    let observed = kaplan_meier(&counts);
    let seen = observed.len() as u32;
    let rate = options.period.rate(options.yearly_rate);
    let of_period = |period: u32| {
        Ok::<_, BtydError>(ContractsPeriod {
            period,
            observed_survival: if period == 0 { Some(1.0) } else { observed.get(period as usize - 1).copied() },
            survival: fitted.params.survival(period),
            churn_probability: fitted.params.churn_probability(period, 1),
            discounted_renewals: fitted.params.discounted_renewals(period, rate)?,
        })
    };
    let last = seen.saturating_mul(2).min(seen.max(MOST_PROJECTED));
    let periods: Vec<ContractsPeriod> = (0..=last).map(of_period).collect::<Result<_, _>>()?;
    if let Some(out) = &options.out {
        let mut text = "renewals,observed_survival,survival,churn_probability,discounted_renewals\n".to_string();
        for row in &periods {
            let observed = super::customers::or_nothing(row.observed_survival);
            let (survival, churn, renewals) = (row.survival, row.churn_probability, row.discounted_renewals);
            text.push_str(&format!("{},{observed},{survival},{churn},{renewals}\n", row.period));
        }
        write(out, &text)?;
    }
    Ok(Contracts {
        contracts: account.customers,
        cancelled: counts.iter().map(|count| count.cancelled).sum(),
        period: options.period.to_string(),
        bic: account.bic(0),
        account,
        periods,
        written: options.out.clone(),
    })
}

/// Reads a table of contracts: `periods, cancelled` with a row for each (`cancelled` is 1 where it ended after so many
/// periods, 0 where it was renewed so often and is still there; `customers` counts contracts of one kind), or the curve
/// of cohorts, `period, active` from period 0 on with a `cohort` where there are several.
fn read(path: &Path) -> Result<Vec<Count>, ClvError> {
    let table = CsvTable::read(path)?;
    let counts = match (table.place(&["periods", "duration"]), table.place(&["cancelled", "churned"])) {
        (Some(periods), Some(cancelled)) => of_contracts(&table, periods, cancelled)?,
        _ => of_cohorts(&table)?,
    };
    if counts.iter().all(|count| count.cancelled + count.renewed == 0.0) {
        return Err(ClvError::Nobody);
    }
    Ok(counts)
}

fn of_contracts(table: &CsvTable, periods: usize, cancelled: usize) -> Result<Vec<Count>, ClvError> {
    let customers = table.place(&["customers", "custs", "weights"]);
    let mut by_period: BTreeMap<u32, Count> = BTreeMap::new();
    for row in 0..table.rows() {
        let (period, ended) = (table.count(row, periods)?, table.count(row, cancelled)?);
        let number = customers.map_or(Ok(1.0), |at| table.count(row, at).map(f64::from))?;
        // A contract that has not come to the end of its first period tells nothing.
        if ended > 1 || (period == 0 && ended == 1) {
            let rule = "`cancelled` is 0 or 1, and 1 only after the first period";
            return Err(ClvError::BadContract { row: row as u64 + 1, rule });
        }
        if period == 0 {
            continue;
        }
        let count = by_period.entry(period).or_insert(Count { period, cancelled: 0.0, renewed: 0.0 });
        *(if ended == 1 { &mut count.cancelled } else { &mut count.renewed }) += number;
    }
    Ok(by_period.into_values().collect())
}

fn of_cohorts(table: &CsvTable) -> Result<Vec<Count>, ClvError> {
    let period = table.needed(&["period", "year", "month", "week"])?;
    let active = table.needed(&["active", "survivors", "customers"])?;
    let cohort = table.place(&["cohort"]);
    let mut curves: BTreeMap<String, Vec<(u32, f64, usize)>> = BTreeMap::new();
    for row in 0..table.rows() {
        let name = cohort.map_or(String::new(), |at| table.text(row, at).to_string());
        curves.entry(name).or_default().push((table.count(row, period)?, table.number(row, active)?, row));
    }
    let mut counts = Vec::new();
    for mut curve in curves.into_values() {
        curve.sort_by_key(|point| point.0);
        for (i, &(period, active, row)) in curve.iter().enumerate() {
            let bad = |rule| Err(ClvError::BadContract { row: row as u64 + 1, rule });
            if period != i as u32 {
                return bad("the periods of a cohort are 0, 1, 2 and so on, each once");
            }
            if !(0.0..=if i == 0 { f64::MAX } else { curve[i - 1].1 }).contains(&active) {
                return bad("the active of a cohort never become more, nor less than 0");
            }
            if i > 0 {
                counts.push(Count { period, cancelled: curve[i - 1].1 - active, renewed: 0.0 });
            }
        }
        if let Some(last) = counts.last_mut().filter(|_| curve.len() > 1) {
            last.renewed = curve[curve.len() - 1].1;
        }
    }
    Ok(counts)
}

/// Share that outlived periods 1, 2 and so on, up to the last in which anybody was seen.
fn kaplan_meier(counts: &[Count]) -> Vec<f64> {
    let mut ends: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for count in counts {
        let (cancelled, all) = ends.entry(count.period).or_default();
        *cancelled += count.cancelled;
        *all += count.cancelled + count.renewed;
    }
    let last = ends.keys().last().copied().unwrap_or(0);
    let mut at_risk: f64 = ends.values().map(|(_, all)| all).sum();
    let mut survival = 1.0;
    let mut after = |period: u32| {
        let (cancelled, all) = ends.get(&period).copied().unwrap_or_default();
        if cancelled > 0.0 {
            survival *= 1.0 - cancelled / at_risk;
        }
        at_risk -= all;
        survival
    };
    (1..=last).map(&mut after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Count>, ClvError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contracts.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn curves_and_contracts_tell_the_same() {
        let curve = read_text("period,active\n0,10\n1,7\n2,6\n").unwrap();
        let contracts = read_text("duration,cancelled,customers\n1,1,3\n2,1,1\n2,0,6\n0,0,5\n").unwrap();
        assert_eq!(curve, contracts);
        assert_eq!(curve[1], Count { period: 2, cancelled: 1.0, renewed: 6.0 });
        assert!(kaplan_meier(&curve).iter().zip([0.7, 0.6]).all(|(got, want)| (got - want).abs() < 1e-15));
        // Half of the second cohort was seen for one period only.
        let cohorts = read_text("cohort,period,active\na,0,10\na,1,7\na,2,6\nb,1,8\nb,0,10\n").unwrap();
        let survival = kaplan_meier(&cohorts); // 1 − 5/20, then of 7 at risk one leaves
        assert!((survival[0] - 0.75).abs() < 1e-15 && (survival[1] - 0.75 * 6.0 / 7.0).abs() < 1e-15, "{survival:?}");
    }

    #[test]
    fn what_no_contracts_can_be_is_named() {
        for (text, words) in [
            ("period,active\n0,10\n2,7\n", "row 2: the periods"),
            ("period,active\n0,10\n1,11\n", "row 2: the active"),
            ("duration,cancelled\n3,2\n", "row 1: `cancelled`"),
            ("duration,cancelled\n0,0\n", "no customer"),
            ("period,active\n1.5,3\n", "row 1: `period` is 1.5"),
            ("age,left\n1,1\n", "no column `period`"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
