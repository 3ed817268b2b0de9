//! A ready table, as the users of lifetimes, BTYD and CLVTools have it.

use std::path::Path;

use super::covariates::Covariates;
use super::csv_table::CsvTable;
use super::error::ClvError;
use super::population::{Population, Sample};
use crate::models::btyd::Rfm;

/// Reads `customer_id, frequency, recency, T, monetary_value` from CSV; times are in units of `unit` days. Names are read
/// in any case; columns that are not asked for are passed over. Without an id a customer is the number of the row; a
/// `monetary_value` is the mean of repeat orders, and is not read where there are none.
pub(super) fn read(path: &Path, unit: f64, covariates: &Covariates) -> Result<Population, ClvError> {
    let table = CsvTable::read(path)?;
    let (frequency, recency) = (table.needed(&["frequency"])?, table.needed(&["recency"])?);
    let (age, id, money) = (table.needed(&["T"])?, table.place(&["customer_id"]), table.place(&["monetary_value"]));
    let mut sample = Sample { covariates: covariates.describe(&table)?, ..Sample::default() };
    for row in 0..table.rows() {
        let x = table.number(row, frequency)?;
        let (t_x, t) = (table.number(row, recency)? * unit, table.number(row, age)? * unit);
        let history = Rfm::new(x, t_x, t).map_err(|source| table.bad_row(row, source))?;
        let mean = match money {
            Some(at) if x > 0.0 && !table.text(row, at).is_empty() => Some(table.number(row, at)?),
            _ => None,
        };
        sample.ids.push(id.map_or_else(|| (row + 1).to_string(), |at| table.text(row, at).to_string()));
        sample.rfms.push(history);
        sample.means.push(mean);
    }
    if sample.rfms.is_empty() {
        return Err(ClvError::Nobody);
    }
    Ok(Population { calibration: sample, later: None, calibration_end: None, holdout: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Population, ClvError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rfm.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, 7.0, &Covariates::default())
    }

    #[test]
    fn tables_are_read_in_their_unit() {
        let read =
            read_text("CustomerName,T,recency,Frequency,monetary_value\nann,10,4.5,2,9.5\nbob, 3 ,0,0,0\n").unwrap();
        assert_eq!(read.calibration.ids, ["1", "2"]);
        assert_eq!(read.calibration.rfms[0], Rfm::new(2.0, 31.5, 70.0).unwrap());
        assert_eq!(read.calibration.means, [Some(9.5), None]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, words) in [
            ("frequency,recency\n1,2\n", "no column `T`"),
            ("frequency,recency,T\n1,x,9\n", "row 1: `recency` is \"x\""),
            ("frequency,recency,T\n0,0,9\n1,10,9\n", "row 2: no history"),
            ("frequency,recency,T\n", "no customer"),
            ("frequency,recency,T\n1,2\n", "no CSV table"),
        ] {
            let error = read_text(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
