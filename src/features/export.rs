//! Feature tables as files, for any other tool.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Date32Array, Float32Array, Float64Array, RecordBatch, StringBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;
use serde::Serialize;

use super::catalogue::Feature;
use super::sweep::{Computed, Sweep, Walker};
use crate::config::Config;
use crate::error::Error;
use crate::events::Digits;
use crate::progress::Observer;
use crate::sink::{FileFormat, Sink};
use crate::storage::{self, PartitionWriter};
use crate::time::Day;
use crate::timeline::{CustomerId, Part, Partition, SpillError, Timelines};

/// What is written, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportOptions<'a> {
    /// The file; `None` writes nothing.
    pub(crate) out: Option<&'a Path>,
    /// Days of the rows, ascending, each once.
    pub(crate) as_ofs: &'a [Day],
    /// Doubles instead of single-precision floats.
    pub(crate) is_double: bool,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Exported {
    pub(crate) rows: u64,
    pub(crate) rows_by_as_of: Vec<(Day, u64)>,
}

/// Batches that there are at a time for each thread: half of them are built while the others are written.
const BATCHES_AHEAD: usize = 16;

/// Rows of a batch at most: a core's own cache holds them while they are built.
const BATCH_ROWS: usize = 1024;

/// Bytes of a batch, about: wide rows make shorter ones.
const BATCH_BYTES: usize = 1 << 20;

/// Batches of a round for each thread where none is kept.
const ROUND_OF_NOTHING: usize = 64;

/// Rows of a batch of so many columns, but for those of a customer at more days than that.
fn batch_rows(width: usize, is_double: bool) -> usize {
    (BATCH_BYTES / (value_bytes(is_double) * width.max(1))).clamp(1, BATCH_ROWS)
}

fn value_bytes(is_double: bool) -> usize {
    if is_double { size_of::<f64>() } else { size_of::<f32>() }
}

/// Bytes that an export of so many rows takes beside the timelines: batches that are being built, and the row group that
/// is being encoded.
pub(crate) fn export_bytes(width: usize, most_rows: usize, options: &ExportOptions, format: FileFormat) -> usize {
    let row = value_bytes(options.is_double) * width + ROW_BYTES;
    let rows = batch_rows(width, options.is_double).max(options.as_ofs.len());
    let ahead = (BATCHES_AHEAD * rayon::current_num_threads()).max(1);
    let group = if format == FileFormat::Parquet { PartitionWriter::GROUP_ROWS } else { 0 };
    row * ((ahead * rows).min(most_rows) + group.min(most_rows))
}

/// Bytes of a row beside its values: the id and the day.
const ROW_BYTES: usize = 32;

/// Writes the features of everyone who is known at each day: rows by the customer's stable hash, then by day.
/// Memory: 16 batches of 1 MiB a thread, one encoded row group, and what the timelines take.
pub(crate) fn export(
    timelines: &Timelines,
    sweep: &Sweep,
    features: &[Feature],
    config: &Config,
    options: ExportOptions,
    observer: &dyn Observer,
) -> Result<Exported, Error> {
    let Some(out) = options.out else {
        return write(timelines, sweep, features, config, options, None, observer);
    };
    let format = FileFormat::of_path(out)?;
    let schema = schema(features, config, options.is_double);
    let metadata =
        [("bellwether.timezone", config.timezone.as_str()), ("bellwether.currency", config.currency.as_str())];
    storage::replace_file(out, |path| {
        let mut sink = Sink::create(format, path, &schema, &metadata)?;
        let exported = write(timelines, sweep, features, config, options, Some(&mut sink), observer)?;
        sink.finish()?;
        Ok(exported)
    })
}

fn schema(features: &[Feature], config: &Config, is_double: bool) -> SchemaRef {
    let data_type = if is_double { DataType::Float64 } else { DataType::Float32 };
    let mut fields =
        vec![Field::new("customer_id", DataType::Utf8, false), Field::new("as_of", DataType::Date32, false)];
    fields.extend(features.iter().map(|feature| feature_field(feature, config, data_type.clone())));
    Arc::new(Schema::new(fields))
}

/// The column of a feature, which tells what it is.
pub(crate) fn feature_field(feature: &Feature, config: &Config, data_type: DataType) -> Field {
    let unit = match feature.unit {
        super::Unit::Money if !config.currency.is_empty() => config.currency.clone(),
        unit => unit.name().to_string(),
    };
    let notes = [
        ("unit", unit),
        ("description", feature.note.clone()),
        ("family", feature.family.clone()),
        ("columns", feature.columns.join(", ")),
    ];
    let notes: HashMap<String, String> = notes.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    Field::new(&feature.name, data_type, true).with_metadata(notes)
}

fn write(
    timelines: &Timelines,
    sweep: &Sweep,
    features: &[Feature],
    config: &Config,
    options: ExportOptions,
    mut sink: Option<&mut Sink>,
    observer: &dyn Observer,
) -> Result<Exported, Error> {
    let schema = schema(features, config, options.is_double);
    let mut rows = vec![0u64; options.as_ofs.len()];
    let of_batch = (batch_rows(sweep.width(), options.is_double) / options.as_ofs.len().max(1)).max(1);
    let of_round = match sink {
        Some(_) => (BATCHES_AHEAD / 2 * rayon::current_num_threads()).max(1),
        None => ROUND_OF_NOTHING * rayon::current_num_threads(),
    };
    let total = timelines.customers() as u64;
    let mut done = 0;
    let walkers = Mutex::new(Vec::new());
    let walkers = || walkers.lock().unwrap_or_else(PoisonError::into_inner);
    let keeps = sink.is_some();
    for stretch in timelines.stretches() {
        let parts: Vec<Part> =
            stretch.into_par_iter().map(|index| timelines.part(index)).collect::<Result<_, SpillError>>()?;
        let customers = |part| {
            let n = Partition::customers(part);
            (0..n).step_by(of_batch).map(move |start| (part, start..(start + of_batch).min(n)))
        };
        let pieces: Vec<(&Partition, Range<usize>)> = parts.iter().flat_map(|part| customers(part)).collect();
        let build = |(part, customers): &(&Partition, Range<usize>)| {
            let mut walker = walkers().pop().unwrap_or_else(|| sweep.walker());
            let built = batch(part, customers.clone(), &mut walker, sweep.width(), &schema, options);
            walkers().push(walker);
            (keeps.then_some(built.0), built.1)
        };
        let mut take = |built: Vec<(Option<RecordBatch>, Vec<u64>)>| {
            let mut batches = Vec::with_capacity(built.len());
            for (batch, counts) in built {
                rows.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                batches.extend(batch);
            }
            sink.as_mut().map_or(Ok(()), |sink| sink.write_all(&batches))
        };
        let mut built = Vec::new();
        for pieces in pieces.chunks(of_round) {
            // One at a time, so that no thread waits for the last of a long run of another.
            let (next, taken) = rayon::join(
                || pieces.par_iter().with_max_len(1).map(build).collect(),
                || take(std::mem::take(&mut built)),
            );
            taken?;
            built = next;
            done += pieces.iter().map(|(_, customers)| customers.len() as u64).sum::<u64>();
            observer.advance(done, total);
        }
        take(built)?;
    }
    Ok(Exported { rows: rows.iter().sum(), rows_by_as_of: options.as_ofs.iter().copied().zip(rows).collect() })
}

/// Rows that are turned into columns together: few enough for a core's own cache.
const TILE_ROWS: usize = 32;

/// Columns while they are filled.
struct Columns {
    ids: StringBuilder,
    as_ofs: Vec<i32>,
    values: Values,
}

enum Values {
    Single(Turned<f32>),
    Double(Turned<f64>),
}

/// Rows that become columns, a tile at a time.
struct Turned<T> {
    /// Rows that are not in the columns yet.
    tile: Vec<T>,
    columns: Vec<Vec<T>>,
}

impl<T: Copy> Turned<T> {
    fn new(width: usize, rows: usize) -> Self {
        let columns = (0..width).map(|_| Vec::with_capacity(rows)).collect();
        Self { tile: Vec::with_capacity(TILE_ROWS * width), columns }
    }

    fn push(&mut self, row: Computed, of: impl Fn(f64) -> T) {
        row.append_to(&mut self.tile, of);
        if self.tile.len() == TILE_ROWS * self.columns.len() {
            self.turn();
        }
    }

    /// Appends the rows of the tile to the columns.
    fn turn(&mut self) {
        let width = self.columns.len();
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.extend(self.tile.chunks_exact(width).map(|row| row[at]));
        }
        self.tile.clear();
    }

    fn finish(mut self) -> Vec<Vec<T>> {
        self.turn();
        self.columns
    }
}

impl Columns {
    /// With room for so many rows.
    fn new(width: usize, rows: usize, is_double: bool) -> Self {
        let values = match is_double {
            true => Values::Double(Turned::new(width, rows)),
            false => Values::Single(Turned::new(width, rows)),
        };
        Self { ids: StringBuilder::new(), as_ofs: Vec::with_capacity(rows), values }
    }

    fn push(&mut self, id: CustomerId, as_of: Day, row: Computed) {
        match id {
            CustomerId::Number(number) => self.ids.append_value(Digits::default().of(number)),
            CustomerId::Text(text) => self.ids.append_value(text),
        }
        self.as_ofs.push(as_of.0);
        match &mut self.values {
            Values::Single(values) => values.push(row, |value| value as f32),
            Values::Double(values) => values.push(row, |value| value),
        }
    }

    fn finish(mut self, schema: &SchemaRef) -> RecordBatch {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.ids.finish()), Arc::new(Date32Array::from(self.as_ofs))];
        match self.values {
            Values::Single(values) => arrays.extend(values.finish().into_iter().map(|values| {
                let nulls = nulls(&values, |value| value.is_nan());
                Arc::new(Float32Array::new(values.into(), nulls)) as ArrayRef
            })),
            Values::Double(values) => arrays.extend(values.finish().into_iter().map(|values| {
                let nulls = nulls(&values, |value| value.is_nan());
                Arc::new(Float64Array::new(values.into(), nulls)) as ArrayRef
            })),
        }
        RecordBatch::try_new(Arc::clone(schema), arrays).expect("one array for each field")
    }
}

fn nulls<T: Copy>(values: &[T], is_missing: impl Fn(T) -> bool) -> Option<NullBuffer> {
    // Without a way out of the loop, several values are looked at together.
    let any = values.iter().fold(false, |any, &value| any | is_missing(value));
    any.then(|| NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |row| !is_missing(values[row]))))
}

/// Rows of some customers of a part, and how many there are of each day.
fn batch(
    part: &Partition,
    customers: Range<usize>,
    walker: &mut Walker,
    width: usize,
    schema: &SchemaRef,
    options: ExportOptions,
) -> (RecordBatch, Vec<u64>) {
    let mut counts = vec![0u64; options.as_ofs.len()];
    let mut columns = Columns::new(width, customers.len() * options.as_ofs.len(), options.is_double);
    for customer in customers {
        walker.walk_unpicked(part.timeline(customer), options.as_ofs, |request, row| {
            counts[request] += 1;
            columns.push(part.id(customer), options.as_ofs[request], row);
        });
    }
    (columns.finish(schema), counts)
}

/// The ending of a file's name is none that can be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: the ending does not say how the file is to be written", path.display())]
pub(crate) struct UnknownEnding {
    path: std::path::PathBuf,
}

impl crate::error::Explain for UnknownEnding {
    fn exit_code(&self) -> crate::error::ExitCode {
        crate::error::ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was read and nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["name it `….parquet`, `….csv` or `….ndjson`".into()]
    }
}

impl FileFormat {
    /// By the ending of the name.
    pub(crate) fn of_path(path: &Path) -> Result<Self, UnknownEnding> {
        match path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl") => Ok(Self::Ndjson),
            _ => Err(UnknownEnding { path: path.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_whatever_their_numbers() {
        for (width, rows) in [(1, 1), (8, 32), (7, 33), (9, 31), (102, 70), (16, 0)] {
            let mut turned = Turned::<f32>::new(width, rows);
            let cell = |row: usize, column: usize| (1000 * row + column) as f64;
            for row in 0..rows {
                let row: Vec<f64> = (0..width).map(|column| cell(row, column)).collect();
                turned.push(Computed::all(&row), |value| value as f32);
            }
            let columns = turned.finish();
            assert_eq!(columns.len(), width);
            for (at, column) in columns.iter().enumerate() {
                let wanted: Vec<f32> = (0..rows).map(|row| cell(row, at) as f32).collect();
                assert_eq!(column, &wanted, "column {at} of {width}, {rows} rows");
            }
        }
    }
}
