//! A CSV table whose columns are found by name, in any case.

use std::path::{Path, PathBuf};

use super::error::ClvError;
use crate::storage;

/// A table in memory.
pub(super) struct CsvTable {
    path: PathBuf,
    names: csv::StringRecord,
    rows: Vec<csv::StringRecord>,
}

impl CsvTable {
    pub(super) fn read(path: &Path) -> Result<Self, ClvError> {
        let unreadable = |source| ClvError::Unreadable { path: path.into(), source };
        let bytes = storage::read_whole(path, "read the table").map_err(|error| unreadable(error.source.into()))?;
        let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
        let names = table.headers().map_err(unreadable)?.clone();
        let rows = table.records().collect::<Result<_, _>>().map_err(unreadable)?;
        Ok(Self { path: path.into(), names, rows })
    }

    /// The place of the column that has one of these names, the first of them that is there.
    pub(super) fn place(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.names.iter().position(|held| held.eq_ignore_ascii_case(name)))
    }

    /// As [`Self::place`]; without such a column an error that calls it by its first name.
    pub(super) fn needed(&self, names: &[&str]) -> Result<usize, ClvError> {
        let missing = || ClvError::NoColumn {
            path: self.path.clone(),
            column: names[0].to_string(),
            found: self.names.iter().map(String::from).collect(),
        };
        self.place(names).ok_or_else(missing)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A cell; rows count from 0.
    pub(super) fn text(&self, row: usize, place: usize) -> &str {
        &self.rows[row][place]
    }

    /// A cell that holds a number.
    pub(super) fn number(&self, row: usize, place: usize) -> Result<f64, ClvError> {
        let found = self.text(row, place);
        found.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| ClvError::NoNumber {
            path: self.path.clone(),
            row: row as u64 + 1,
            column: self.names[place].to_string(),
            found: found.into(),
        })
    }

    /// A cell that holds a whole number from 0.
    pub(super) fn count(&self, row: usize, place: usize) -> Result<u32, ClvError> {
        let number = self.number(row, place)?;
        if (0.0..=f64::from(u32::MAX)).contains(&number) && number.fract() == 0.0 {
            return Ok(number as u32);
        }
        Err(ClvError::NoCount {
            path: self.path.clone(),
            row: row as u64 + 1,
            column: self.names[place].to_string(),
            found: number,
        })
    }

    /// What is wrong with a row.
    pub(super) fn bad_row(&self, row: usize, source: crate::models::btyd::BtydError) -> ClvError {
        ClvError::BadRow { path: self.path.clone(), row: row as u64 + 1, source }
    }
}
