//! Segments over score partitions that the tests build themselves.

#[path = "segments/counts.rs"]
mod counts;
#[path = "segments/partitions.rs"]
mod partitions;
#[path = "segments/predicates.rs"]
mod predicates;
#[path = "segments/scale.rs"]
mod scale;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, RecordBatch, StringArray,
    UInt8Array,
};
use bellwether::segments::{SegmentCounts, Segments, SegmentsError, evaluate};
use bellwether::time::Day;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

const DATE: &str = "2026-08-21";

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// A shop's folders.
struct Shop {
    root: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn scores(&self, date: &str) -> PathBuf {
        self.root.path().join("scores").join(format!("as_of={date}"))
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("segments")
    }

    fn memberships(&self, date: &str) -> PathBuf {
        self.out().join(format!("as_of={date}")).join("memberships.parquet")
    }

    /// One part file for each batch, in row groups of `group_rows`.
    fn write(&self, date: &str, batches: &[RecordBatch], group_rows: usize) {
        let folder = self.scores(date);
        fs::create_dir_all(&folder).unwrap();
        for (number, batch) in batches.iter().enumerate() {
            let file = File::create(folder.join(format!("part-{number:05}.parquet"))).unwrap();
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(batch).unwrap();
            writer.close().unwrap();
        }
        let manifest = serde_json::json!({ "as_of": date, "complete": true });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }

    fn evaluate(&self, toml: &str) -> Result<SegmentCounts, SegmentsError> {
        self.evaluate_at(DATE, toml, 2)
    }

    fn evaluate_at(&self, date: &str, toml: &str, threads: usize) -> Result<SegmentCounts, SegmentsError> {
        evaluate(&segments(toml), &self.scores(date), &self.out(), day(date), threads)
    }

    /// (customer, segment) in the order of the file.
    fn read(&self, date: &str) -> Vec<(String, String)> {
        let file = File::open(self.memberships(date)).unwrap();
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            assert_eq!(batch.num_columns(), 2);
            let (ids, names): (&StringArray, &StringArray) = (column(&batch, "customer_id"), column(&batch, "segment"));
            rows.extend((0..ids.len()).map(|row| (ids.value(row).to_string(), names.value(row).to_string())));
        }
        rows
    }
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> &'a A {
    batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
}

fn segments(toml: &str) -> Segments {
    Segments::parse(toml, Path::new("segments.toml")).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn text<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from_iter((0..N).map(|row| (values[row] != "-").then_some(values[row]))))
}

/// Six customers with every type of score and feature; NaN stands for null.
fn six() -> RecordBatch {
    let number = |values: [f64; 6]| Float64Array::from_iter(values.map(|value| (!value.is_nan()).then_some(value)));
    let dates = |days: [Option<i32>; 6]| Arc::new(Date32Array::from(days.to_vec())) as ArrayRef;
    let (none, today) = (f64::NAN, day(DATE).0);
    let percentiles = [Some(80), Some(50), None, Some(1), None, Some(100)];
    let purchases = [Some(3.0), Some(0.0), Some(1.0), Some(2.0), None, Some(0.0)];
    let holdout = [Some(false), Some(true), Some(false), None, Some(true), Some(false)];
    batch(vec![
        ("customer_id", text(["a", "b", "c", "d", "e", "f"])),
        ("as_of", dates([Some(today); 6])),
        ("status", text(["scored", "scored", "prior_only", "scored", "not_applicable", "excluded"])),
        ("churn_probability_90d", Arc::new(number([0.9, 0.25, none, 0.0, none, 1.0]))),
        ("churn_percentile", Arc::new(UInt8Array::from(percentiles.to_vec()))),
        ("churn_band", text(["high", "low", "-", "low", "-", "high"])),
        ("predicted_value_90d", Arc::new(number([250.0, 10.0, 3.5, none, none, 0.0]))),
        (
            "expected_next_order_date",
            dates([Some(today + 3), Some(today + 30), None, Some(today), Some(today - 1), None]),
        ),
        ("holdout", Arc::new(BooleanArray::from(holdout.to_vec()))),
        ("purchases", Arc::new(Float32Array::from(purchases.to_vec()))),
        ("schema_version", Arc::new(Int32Array::from(vec![1; 6]))),
    ])
}

const FOUR: &str = "
[[segment]]
name = 'buyers'
where = 'purchases >= 1'
priority = 5
campaign = 'thanks'
duration_days = 14
[[segment]]
name = 'rest'
otherwise = true
[[segment]]
name = 'at risk'
where = 'churn_percentile >= 80'
[[segment]]
name = 'low'
where = \"churn_band = 'low'\"
";

/// Customers `start` and following, whose columns are simple functions of their number.
fn many(start: usize, rows: usize, columns: usize) -> RecordBatch {
    let range = || start..start + rows;
    let ids = StringArray::from_iter_values(range().map(|row| format!("customer-{row:08}")));
    let percentile = UInt8Array::from_iter(range().map(|row| (row % 11 != 0).then_some((row * 7919 % 100) as u8 + 1)));
    let mut all: Vec<(String, ArrayRef)> =
        vec![("customer_id".into(), Arc::new(ids)), ("churn_percentile".into(), Arc::new(percentile))];
    for column in 0..columns.saturating_sub(2) {
        let value = |row: usize| (row.wrapping_mul(2_654_435_761).wrapping_add(column * 40_503) >> 7) % 1000;
        all.push(if column % 4 == 0 {
            let values = range().map(|row| (value(row) > 50).then(|| value(row) as f64 / 999.0 + row as f64 * 1e-9));
            (format!("score_{column}"), Arc::new(Float64Array::from_iter(values)))
        } else {
            let values = range().map(|row| (value(row) % 40) as f32);
            (format!("feature_{column}"), Arc::new(Float32Array::from_iter_values(values)))
        });
    }
    RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}
