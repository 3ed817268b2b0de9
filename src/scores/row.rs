//! One customer's row of a score file, whatever its format.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use hashbrown::HashMap;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::file::metadata::RowGroupMetaData;

use super::manifest::ScoreManifest;
use crate::error::FileError;
use crate::guard::guarded;

const ID: &str = "customer_id";

/// A row by column.
pub(crate) enum ScoreRow {
    /// A batch of one row.
    Batch(RecordBatch),
    /// Cells as they are written; an empty one is none.
    Cells(HashMap<String, String>),
}

impl ScoreRow {
    /// That of a customer in a partition; `None` where they have none. Of Parquet only the row group that can hold the
    /// id is read, for rows are in order of it.
    pub(crate) fn find(partition: &Path, manifest: &ScoreManifest, customer: &str) -> Result<Option<Self>, FileError> {
        for name in manifest.files.keys().filter(|name| name.starts_with("part-")) {
            let path = partition.join(name);
            let failed = |source| FileError { action: "read", path: path.clone(), source };
            let row = match path.extension().and_then(|extension| extension.to_str()) {
                Some("parquet") => {
                    guarded(|| in_parquet(&path, customer), std::io::Error::other).map(|found| found.map(Self::Batch))
                }
                Some("csv") => in_csv(&path, customer).map(|found| found.map(Self::Cells)),
                _ => in_ndjson(&path, customer).map(|found| found.map(Self::Cells)),
            };
            if let Some(row) = row.map_err(failed)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// A number; `None` where there is none, or no such column.
    pub(crate) fn number(&self, column: &str) -> Option<f64> {
        match self {
            Self::Batch(batch) => {
                let number = cast(batch.column_by_name(column)?, &DataType::Float64).ok()?;
                number.is_valid(0).then(|| number.as_primitive::<Float64Type>().value(0))
            }
            Self::Cells(cells) => cells.get(column)?.parse().ok(),
        }
    }

    /// The words of a column of reasons; `None` where there are none, or no such column.
    pub(crate) fn reasons(&self, column: &str) -> Option<Vec<String>> {
        match self {
            Self::Batch(batch) => {
                let list = batch.column_by_name(column)?.as_list_opt::<i32>()?;
                let reasons = list.is_valid(0).then(|| list.value(0))?;
                let words = reasons.as_struct_opt()?.column_by_name("text")?.as_string_opt::<i32>()?;
                Some(words.iter().flatten().map(str::to_string).collect())
            }
            Self::Cells(cells) => words(cells.get(column)?),
        }
    }

    /// A text, or anything else as one.
    pub(crate) fn text(&self, column: &str) -> Option<String> {
        match self {
            Self::Batch(batch) => {
                let text = cast(batch.column_by_name(column)?, &DataType::Utf8).ok()?;
                text.is_valid(0).then(|| text.as_string::<i32>().value(0).to_string())
            }
            Self::Cells(cells) => cells.get(column).cloned(),
        }
    }
}

/// The words of an array of reasons, as JSON.
fn words(reasons: &str) -> Option<Vec<String>> {
    let reasons: Vec<serde_json::Value> = serde_json::from_str(reasons).ok()?;
    Some(reasons.iter().filter_map(|reason| reason["text"].as_str().map(str::to_string)).collect())
}

/// Whether a row group can hold an id, as far as its statistics tell.
fn may_hold(group: &RowGroupMetaData, column: usize, customer: &[u8]) -> bool {
    let Some(statistics) = group.column(column).statistics() else { return true };
    statistics.min_bytes_opt().is_none_or(|least| least <= customer)
        && statistics.max_bytes_opt().is_none_or(|most| customer <= most)
}

fn in_parquet(path: &Path, customer: &str) -> std::io::Result<Option<RecordBatch>> {
    let open = || -> std::io::Result<_> { Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?) };
    let builder = open()?;
    let leaves = builder.parquet_schema().columns();
    let leaf = leaves.iter().position(|leaf| leaf.path().string() == ID);
    let leaf = leaf.ok_or_else(|| std::io::Error::other(format!("it has no column `{ID}`")))?;
    let groups = builder.metadata().row_groups();
    let candidates: Vec<usize> =
        (0..groups.len()).filter(|&group| may_hold(&groups[group], leaf, customer.as_bytes())).collect();
    for group in candidates {
        let builder = open()?;
        let mask = ProjectionMask::leaves(builder.parquet_schema(), [leaf]);
        let mut before = 0;
        for batch in builder.with_row_groups(vec![group]).with_projection(mask).build()? {
            let batch = batch.map_err(std::io::Error::other)?;
            let ids = cast(batch.column(0), &DataType::Utf8).map_err(std::io::Error::other)?;
            if let Some(place) = ids.as_string::<i32>().iter().position(|id| id == Some(customer)) {
                let only = RowSelection::from(vec![RowSelector::skip(before + place), RowSelector::select(1)]);
                let mut rows = open()?.with_row_groups(vec![group]).with_row_selection(only).build()?;
                return rows.next().transpose().map_err(std::io::Error::other);
            }
            before += batch.num_rows();
        }
    }
    Ok(None)
}

fn in_csv(path: &Path, customer: &str) -> std::io::Result<Option<HashMap<String, String>>> {
    let mut reader = csv::Reader::from_path(path)?;
    let header = reader.headers()?.clone();
    let place = header.iter().position(|name| name == ID);
    let place = place.ok_or_else(|| std::io::Error::other(format!("it has no column `{ID}`")))?;
    for record in reader.into_records() {
        let record = record?;
        if &record[place] == customer {
            let cells = header.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
            return Ok(Some(cells.map(|(name, cell)| (name.to_string(), cell.to_string())).collect()));
        }
    }
    Ok(None)
}

fn in_ndjson(path: &Path, customer: &str) -> std::io::Result<Option<HashMap<String, String>>> {
    use serde_json::Value;
    let text = std::fs::read_to_string(path)?;
    for line in text.lines() {
        let row: serde_json::Map<String, Value> = serde_json::from_str(line)?;
        if row.get(ID).and_then(Value::as_str) == Some(customer) {
            let cell = |(name, value): (String, Value)| {
                let cell = match value {
                    Value::Null => return None,
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Some((name, cell))
            };
            return Ok(Some(row.into_iter().filter_map(cell).collect()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use crate::storage::PartitionWriter;

    #[test]
    fn a_row_is_found_in_whichever_row_group_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-00000.parquet");
        let rows = 2 * PartitionWriter::GROUP_ROWS + 1000;
        // Every other id, in order; long ones, so that statistics are cut short.
        let id = |n: usize| format!("{:0>80}", 2 * n);
        let ids = Arc::new(StringArray::from_iter_values((0..rows).map(id))) as ArrayRef;
        let numbers = Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64))) as ArrayRef;
        let batch = RecordBatch::try_from_iter([(ID, ids), ("n", numbers)]).unwrap();
        let mut writer = PartitionWriter::create(&path, batch.schema(), &[]).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let group = PartitionWriter::GROUP_ROWS;
        for n in [0, 1, group - 1, group, group + 1, 2 * group - 1, 2 * group, rows - 1] {
            let row = ScoreRow::Batch(in_parquet(&path, &id(n)).unwrap().unwrap());
            assert_eq!((row.number("n"), row.text(ID)), (Some(n as f64), Some(id(n))));
            assert_eq!((row.number("none"), row.text("none")), (None, None));
        }
        for stranger in ["", "zzz", &format!("{:0>80}", 1), &format!("{:0>80}", 2 * group + 1)] {
            assert!(in_parquet(&path, stranger).unwrap().is_none(), "{stranger}");
        }
    }
}
