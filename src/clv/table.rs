//! A ready table, as the users of lifetimes, BTYD and CLVTools have it.

use std::path::Path;

use super::error::ClvError;
use super::population::{Population, Sample};
use crate::models::btyd::Rfm;

/// Reads `customer_id, frequency, recency, T, monetary_value` from CSV; times are in units of `unit` days. Names are read
/// in any case; other columns are passed over. Without an id a customer is the number of the row; a `monetary_value` is
/// the mean of repeat orders, and is not read where there are none.
pub(super) fn read(path: &Path, unit: f64) -> Result<Population, ClvError> {
    let unreadable = |source| ClvError::Unreadable { path: path.into(), source };
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
    let names = table.headers().map_err(unreadable)?.clone();
    let at = |name: &str| names.iter().position(|held| held.eq_ignore_ascii_case(name));
    let needed = |column: &'static str| {
        let missing =
            || ClvError::NoColumn { path: path.into(), column, found: names.iter().map(String::from).collect() };
        at(column).ok_or_else(missing)
    };
    let (frequency, recency, age) = (needed("frequency")?, needed("recency")?, needed("T")?);
    let (id, money) = (at("customer_id"), at("monetary_value"));
    let mut sample = Sample::default();
    for (record, row) in table.records().zip(1..) {
        let record = record.map_err(unreadable)?;
        let number = |at: usize, column: &'static str| {
            let found = &record[at];
            let no_number = || ClvError::NoNumber { path: path.into(), row, column, found: found.into() };
            found.parse::<f64>().map_err(|_| no_number())
        };
        let x = number(frequency, "frequency")?;
        let (t_x, t) = (number(recency, "recency")? * unit, number(age, "T")? * unit);
        let history = Rfm::new(x, t_x, t).map_err(|source| ClvError::BadRow { path: path.into(), row, source })?;
        let mean = match money {
            Some(at) if x > 0.0 && !record[at].is_empty() => Some(number(at, "monetary_value")?),
            _ => None,
        };
        sample.ids.push(id.map_or_else(|| row.to_string(), |at| record[at].to_string()));
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
        read(&path, 7.0)
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
