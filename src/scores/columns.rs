//! Single columns of a score file, whatever its format.

use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::FileError;
use crate::guard::guarded;

/// A column as arrays of `to`, one for each batch.
fn arrays(path: &Path, column: &str, to: &DataType) -> Result<Vec<ArrayRef>, FileError> {
    let failed = |source: std::io::Error| FileError { action: "read", path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.into()))?;
    let Ok(index) = builder.schema().index_of(column) else {
        return Err(FileError::damaged(path, format!("it has no column `{column}`")));
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    let reader = builder.with_projection(mask).build().map_err(|error| failed(error.into()))?;
    reader
        .map(|batch| {
            batch.and_then(|batch| cast(batch.column(0), to)).map_err(|error| failed(std::io::Error::other(error)))
        })
        .collect()
}

/// Cells of a column of CSV or NDJSON; an empty or absent one is none.
fn cells(path: &Path, column: &str) -> Result<Vec<Option<String>>, FileError> {
    let failed = |source: std::io::Error| FileError { action: "read", path: path.into(), source };
    let absent = || failed(std::io::Error::other(format!("it has no column `{column}`")));
    if path.extension().is_some_and(|extension| extension == "csv") {
        let mut reader = csv::Reader::from_path(path).map_err(|error| failed(error.into()))?;
        let header = reader.headers().map_err(|error| failed(error.into()))?;
        let place = header.iter().position(|name| name == column).ok_or_else(absent)?;
        let cell = |record: csv::StringRecord| Some(record[place].to_string()).filter(|cell| !cell.is_empty());
        return reader.into_records().map(|record| record.map(cell).map_err(|error| failed(error.into()))).collect();
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let cell = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).map_err(|error| failed(error.into()))?;
        Ok(match &row[column] {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    };
    text.lines().map(cell).collect()
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// Numbers of a column, NaN for null.
pub(super) fn numbers(path: &Path, column: &str) -> Result<Vec<f64>, FileError> {
    if !is_parquet(path) {
        let failed = |cell: &str| FileError {
            action: "read",
            path: path.into(),
            source: std::io::Error::other(format!("`{column}` holds `{cell}`, which is no number")),
        };
        let number = |cell: Option<String>| match cell {
            None => Ok(f64::NAN),
            Some(cell) => cell.parse::<f64>().map_err(|_| failed(&cell)),
        };
        return cells(path, column)?.into_iter().map(number).collect();
    }
    let mut values = Vec::new();
    for array in guarded(|| arrays(path, column, &DataType::Float64), |why| FileError::damaged(path, why))? {
        values.extend(array.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)));
    }
    Ok(values)
}

/// Texts of a column.
pub(super) fn texts(path: &Path, column: &str) -> Result<Vec<Option<String>>, FileError> {
    if !is_parquet(path) {
        return cells(path, column);
    }
    let mut values = Vec::new();
    for array in guarded(|| arrays(path, column, &DataType::Utf8), |why| FileError::damaged(path, why))? {
        values.extend(array.as_string::<i32>().iter().map(|value| value.map(str::to_string)));
    }
    Ok(values)
}
