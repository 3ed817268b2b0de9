//! Small tables of text cells, from any of the formats that a list may have.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ListError;
use crate::guard::guarded;
use crate::storage;
use crate::time::{Day, Zone};

/// One row: the cells that were asked for, needed ones first. An empty cell is none.
pub(super) struct Row {
    path: Arc<PathBuf>,
    names: Arc<Vec<&'static str>>,
    number: u64,
    cells: Vec<Option<String>>,
}

impl Row {
    fn bad(&self, column: usize, expected: &'static str) -> ListError {
        ListError::BadCell {
            path: self.path.to_path_buf(),
            row: self.number,
            column: self.names[column],
            found: self.cells[column].clone().unwrap_or_default(),
            expected,
        }
    }

    /// A cell that must not be empty.
    pub(super) fn needed(&self, column: usize) -> Result<&str, ListError> {
        self.cells[column].as_deref().ok_or_else(|| self.bad(column, "an id"))
    }

    /// A cell as wall time in microseconds: a date, or a time with or without an offset.
    pub(super) fn time(&self, column: usize, zone: &Zone) -> Result<Option<i64>, ListError> {
        let Some(text) = self.cells[column].as_deref() else { return Ok(None) };
        if let Ok(day) = text.parse::<Day>() {
            return Ok(Some(day.start_micros()));
        }
        let bad = || self.bad(column, "a date or a time, such as 2026-08-21 or 2026-08-21T09:30:00");
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return zone.wall_of_utc(instant.as_microsecond()).map(Some).ok_or_else(bad);
        }
        let civil: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
        let wall = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
        Ok(Some(wall.timestamp().as_microsecond()))
    }

    pub(super) fn out_of_order(&self, column: usize) -> ListError {
        self.bad(column, "a time after `from`")
    }
}

/// `customer_id`, `CustomerID` and `customer id` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The rows of a file. `needed` columns must be there, `wanted` ones may be; other columns are passed over.
pub(super) fn read<const N: usize, const W: usize>(
    path: &Path,
    needed: [&'static str; N],
    wanted: [&'static str; W],
) -> Result<Vec<Row>, ListError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let bytes = storage::read_whole(path, "read the list")?;
    let names: Arc<Vec<&'static str>> = Arc::new(needed.into_iter().chain(wanted).collect());
    let table = Table { path: Arc::new(path.into()), n_needed: N, names };
    match extension.as_str() {
        "csv" => table.delimited(&bytes, b','),
        "tsv" => table.delimited(&bytes, b'\t'),
        "ndjson" | "jsonl" => table.ndjson(&bytes),
        "parquet" => guarded(|| table.parquet(bytes), |why| table.damaged(why)),
        _ => Err(ListError::Format { path: path.into() }),
    }
}

struct Table {
    path: Arc<PathBuf>,
    n_needed: usize,
    names: Arc<Vec<&'static str>>,
}

impl Table {
    fn damaged(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ListError {
        ListError::Damaged { path: self.path.to_path_buf(), source: source.into() }
    }

    fn row(&self, number: u64, cells: Vec<Option<String>>) -> Row {
        let trimmed = |cell: Option<String>| cell.map(|cell| cell.trim().to_string()).filter(|cell| !cell.is_empty());
        Row {
            path: Arc::clone(&self.path),
            names: Arc::clone(&self.names),
            number,
            cells: cells.into_iter().map(trimmed).collect(),
        }
    }

    /// Where each name is among the columns of the file.
    fn places(&self, found: &[String]) -> Result<Vec<Option<usize>>, ListError> {
        let mut places = Vec::new();
        for (index, &name) in self.names.iter().enumerate() {
            let place = found.iter().position(|column| plain(column) == plain(name));
            if place.is_none() && index < self.n_needed {
                return Err(ListError::NoColumn { path: self.path.to_path_buf(), column: name, found: found.to_vec() });
            }
            places.push(place);
        }
        Ok(places)
    }

    fn delimited(&self, bytes: &[u8], delimiter: u8) -> Result<Vec<Row>, ListError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
        let header = reader.headers().map_err(|error| self.damaged(error))?.clone();
        let found: Vec<String> =
            header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_string()).collect();
        let places = self.places(&found)?;
        let mut rows = Vec::new();
        for (record, number) in reader.records().zip(1..) {
            let record = record.map_err(|error| self.damaged(error))?;
            let cell = |place: &Option<usize>| place.and_then(|place| record.get(place)).map(str::to_string);
            rows.push(self.row(number, places.iter().map(cell).collect()));
        }
        Ok(rows)
    }

    fn ndjson(&self, bytes: &[u8]) -> Result<Vec<Row>, ListError> {
        let mut rows = Vec::new();
        for (line, number) in bytes.lines().zip(1..) {
            let line = line.map_err(|error| self.damaged(error))?;
            if line.trim().is_empty() {
                continue;
            }
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&line).map_err(|error| self.damaged(error))?;
            let (found, values): (Vec<String>, Vec<serde_json::Value>) = object.into_iter().unzip();
            let cell = |place: Option<usize>| match &values[place?] {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            rows.push(self.row(number, self.places(&found)?.into_iter().map(cell).collect()));
        }
        Ok(rows)
    }

    fn parquet(&self, bytes: Bytes) -> Result<Vec<Row>, ListError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| self.damaged(error))?;
        let found: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let places = self.places(&found)?;
        let mut rows = Vec::new();
        for batch in builder.build().map_err(|error| self.damaged(error))? {
            let batch = batch.map_err(|error| self.damaged(error))?;
            let column =
                |place: &Option<usize>| place.map(|place| cast(batch.column(place), &DataType::Utf8)).transpose();
            let columns: Vec<_> =
                places.iter().map(column).collect::<Result<_, _>>().map_err(|error| self.damaged(error))?;
            for row in 0..batch.num_rows() {
                let cell = |column: &Option<arrow::array::ArrayRef>| {
                    let column = column.as_ref()?.as_string::<i32>();
                    (!column.is_null(row)).then(|| column.value(row).to_string())
                };
                rows.push(self.row(rows.len() as u64 + 1, columns.iter().map(cell).collect()));
            }
        }
        Ok(rows)
    }
}
