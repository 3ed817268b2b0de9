//! Columns of a table that shift how often customers order and how soon they leave: static covariates, as CLVTools has
//! them.

use super::ClvModel;
use super::csv_table::CsvTable;
use super::error::ClvError;
use super::population::Sample;
use crate::models::btyd::covariates::{Described as Customer, Linked, WithCovariates};
use crate::models::btyd::{BgNbd, BtydError, FitAccount, Fitted, MbgNbd, OrdersProcess, ParetoNbd};

/// Names of columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covariates {
    /// What may shift how often customers order: `trans` of CLVTools.
    pub of_orders: Vec<String>,
    /// What may shift how soon they leave: `life` of CLVTools.
    pub of_leaving: Vec<String>,
}

/// A column of words has at most so many of them.
const MOST_LEVELS: usize = 20;

/// Covariates of each customer, by row.
#[derive(Debug)]
pub(super) struct Described {
    names: [Vec<String>; 2],
    rows: Vec<[Vec<f64>; 2]>,
}

impl Covariates {
    /// What the table holds of them; `None` where none is asked for.
    pub(super) fn describe(&self, table: &CsvTable) -> Result<Option<Described>, ClvError> {
        if self.of_orders.is_empty() && self.of_leaving.is_empty() {
            return Ok(None);
        }
        let mut described = Described { names: Default::default(), rows: vec![Default::default(); table.rows()] };
        for (process, columns) in [&self.of_orders, &self.of_leaving].into_iter().enumerate() {
            for column in columns {
                for (name, values) in numbers(table, column)? {
                    described.names[process].push(name);
                    described.rows.iter_mut().zip(values).for_each(|(row, value)| row[process].push(value));
                }
            }
        }
        Ok(Some(described))
    }
}

/// A column of numbers as it is; one of words as a column for each of them but the first in the alphabet, 1 where a row has
/// it.
fn numbers(table: &CsvTable, column: &str) -> Result<Vec<(String, Vec<f64>)>, ClvError> {
    let place = table.needed(&[column])?;
    let cells: Vec<&str> = (0..table.rows()).map(|row| table.text(row, place)).collect();
    let refused = |rule: String| ClvError::BadCovariate { column: column.to_string(), rule };
    if let Some(row) = cells.iter().position(|cell| cell.is_empty()) {
        return Err(refused(format!("must be known of every customer; row {} is empty", row + 1)));
    }
    let mut levels = cells.clone();
    levels.sort_unstable();
    levels.dedup();
    if levels.len() < 2 {
        return Err(refused("is the same for all customers, and tells nothing".into()));
    }
    if levels.iter().all(|level| level.parse::<f64>().is_ok_and(f64::is_finite)) {
        let values = (0..table.rows()).map(|row| table.number(row, place)).collect::<Result<_, _>>()?;
        return Ok(vec![(column.to_string(), values)]);
    }
    if levels.len() > MOST_LEVELS {
        return Err(refused(format!("holds {} different words, more than {MOST_LEVELS}", levels.len())));
    }
    let of_level = |level: &str| cells.iter().map(|&cell| f64::from(u8::from(cell == level))).collect();
    Ok(levels[1..].iter().map(|level| (format!("{column}.{level}"), of_level(level))).collect())
}

/// A fit of whatever model.
pub(super) enum DescribedFit {
    BetaGeometric(Fitted<WithCovariates<BgNbd>>),
    Modified(Fitted<WithCovariates<MbgNbd>>),
    Pareto(Fitted<WithCovariates<ParetoNbd>>),
}

/// Fits a model that takes covariates, in days.
pub(super) fn fit(model: ClvModel, sample: &Sample, described: &Described) -> Result<DescribedFit, BtydError> {
    let customer = |(&history, [orders, leaving]): (_, &[Vec<f64>; 2])| Customer {
        history,
        orders: orders.clone(),
        leaving: leaving.clone(),
    };
    let customers: Vec<Customer> = sample.rfms.iter().zip(&described.rows).map(customer).collect();
    Ok(match model {
        ClvModel::BgNbd => DescribedFit::BetaGeometric(WithCovariates::fit(&customers)?),
        ClvModel::MbgNbd => DescribedFit::Modified(WithCovariates::fit(&customers)?),
        _ => DescribedFit::Pareto(WithCovariates::fit(&customers)?),
    })
}

impl DescribedFit {
    /// The model of a customer, by row of the table.
    pub(super) fn of(&self, described: &Described, row: usize) -> Result<Box<dyn OrdersProcess>, BtydError> {
        let [orders, leaving] = &described.rows[row];
        Ok(match self {
            Self::BetaGeometric(fitted) => Box::new(fitted.params.of(orders, leaving)?),
            Self::Modified(fitted) => Box::new(fitted.params.of(orders, leaving)?),
            Self::Pareto(fitted) => Box::new(fitted.params.of(orders, leaving)?),
        })
    }

    /// Parameters, those of a customer whose covariates are 0 first, errors and how the fit went; in days.
    pub(super) fn account(&self, described: &Described) -> FitAccount {
        match self {
            Self::BetaGeometric(fitted) => account(fitted, described, ClvModel::BgNbd, &BgNbd::LETTERS, [0, 1, 0, 0]),
            Self::Modified(fitted) => account(fitted, described, ClvModel::MbgNbd, &MbgNbd::LETTERS, [0, 1, 0, 0]),
            Self::Pareto(fitted) => account(fitted, described, ClvModel::ParetoNbd, &ParetoNbd::LETTERS, [0, 1, 0, 1]),
        }
    }
}

fn account<M: Linked>(
    fitted: &Fitted<WithCovariates<M>>,
    described: &Described,
    model: ClvModel,
    letters: &[&'static str; 4],
    powers: [i32; 4],
) -> FitAccount {
    let (base, orders, leaving) = fitted.params.coefficients();
    let own = letters.iter().zip(base).zip(powers).map(|((letter, value), power)| (letter.to_string(), value, power));
    let named = |process: &str, names: &[String], values: &[f64]| {
        names.iter().zip(values).map(|(name, &value)| (format!("{process}.{name}"), value, 0)).collect::<Vec<_>>()
    };
    let of_orders = named("trans", &described.names[0], orders);
    let of_leaving = named("life", &described.names[1], leaving);
    let name = format!("{} with covariates", model.name());
    FitAccount::new(name, fitted, own.chain(of_orders).chain(of_leaving).collect())
}
