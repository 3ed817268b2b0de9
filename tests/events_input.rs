//! Formats, mappings and limits on small files, and every kind of bad input with its exit code.

#[path = "events_input/dress.rs"]
mod dress;
#[path = "events_input/refused.rs"]
mod refused;
#[path = "events_input/unusable.rs"]
mod unusable;

use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Field, Schema};
use bellwether::config::Config;
use bellwether::events::batch::{Digits, order_hash, product_hash};
use bellwether::events::{EventBatch, Events, EventsError, NO_LABEL, ReadLimit, ReadSummary, RejectReason};
use bellwether::time::Day;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("test.toml")).unwrap()
}

/// Lenient about rejects, for tests that look at them.
fn lenient(text: &str) -> Config {
    let mut config = config(text);
    config.events.max_reject_share = 1.0;
    config
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Products and orders of these tests: batches keep their hashes only.
const HASHED: [&str; 3] = ["p1", "line\nfeed", "o1"];

/// Events as lines of text: what the batches hold, whatever their boundaries.
fn lines(batches: &[EventBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let label = |labels: &Option<bellwether::events::Labels>, row: usize| match labels {
            Some(labels) if labels.codes[row] != NO_LABEL => labels.names[labels.codes[row] as usize].clone(),
            _ => "-".into(),
        };
        let mut digits = Digits::default();
        let text = |hash: u64, of: &dyn Fn(&str) -> u64| match hash {
            0 => "-",
            hash => HASHED.into_iter().find(|text| of(text) == hash).expect("the hash of a text of these tests"),
        };
        for row in 0..batch.len() {
            let seconds = batch.time[row].rem_euclid(86_400_000_000) / 1_000_000;
            lines.push(format!(
                "{} {}+{seconds} {} {} {} {} {} {}",
                batch.customer.text(row, &mut digits),
                Day::of_wall(batch.time[row]),
                label(&Some(batch.event.clone()), row),
                batch.value.as_ref().map_or(f64::NAN, |values| values[row]),
                batch.quantity.as_ref().map_or(f32::NAN, |values| values[row]),
                label(&batch.category, row),
                text(batch.product.as_ref().map_or(0, |hashes| hashes[row].into()), &|text| product_hash(text).into()),
                text(batch.order.as_ref().map_or(0, |hashes| hashes[row]), &order_hash),
            ));
        }
    }
    lines
}

fn read_with(specs: &[String], config: &Config, limit: ReadLimit) -> Result<(Vec<String>, ReadSummary), EventsError> {
    let events = Events::open(specs, config)?;
    let mut reader = events.reader(limit, None)?;
    let mut batches = Vec::new();
    while let Some(round) = reader.next_round()? {
        assert!(round.iter().all(|batch| !batch.is_empty()));
        batches.extend(round);
    }
    let (done, total) = reader.progress();
    assert!(done <= total && total > 0);
    Ok((lines(&batches), reader.finish()?))
}

fn read(spec: &str, config: &Config) -> Result<(Vec<String>, ReadSummary), EventsError> {
    read_with(&[spec.to_string()], config, ReadLimit::default())
}

fn rejects(summary: &ReadSummary) -> Vec<(RejectReason, u64, u64, Option<&str>, &str)> {
    let count = |count: &'_ bellwether::events::RejectCount| (count.reason, count.rows, count.first.row);
    summary
        .rejects
        .values()
        .map(|one| (count(one).0, count(one).1, count(one).2, one.first.column.as_deref(), one.first.found.as_str()))
        .collect()
}

fn write_parquet(folder: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>, group_rows: usize) -> String {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(1000)
        .build();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.display().to_string()
}

fn texts(cells: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

const CSV: &str = "customer_id,ts,event,value,quantity,category,product,order_id\n\
    1,2024-03-01 10:15:00,purchase,2.5,1,shoes,p1,o1\n\
    2,2024-03-01,view,,,\"ski, alpine\",\"line\nfeed\",\n\
    ,2024-03-02,purchase,7,1,,,\n\
    3,2024-03-03 00:00:01,return,-2.5,-1,shoes,p1,o1\n";

/// Parquet has no seconds: the writer keeps them as milliseconds.
fn cast_to_millis(seconds: TimestampSecondArray) -> ArrayRef {
    let millis = seconds.values().iter().map(|second| second * 1000);
    Arc::new(TimestampMillisecondArray::from_iter_values(millis))
}
