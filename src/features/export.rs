//! Feature tables as files, for any other tool.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float32Array, Float64Array, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;
use serde::Serialize;

use super::catalogue::Feature;
use super::sweep::{Sweep, Walker};
use crate::config::Config;
use crate::error::Error;
use crate::progress::Observer;
use crate::sink::{FileFormat, Sink};
use crate::storage;
use crate::time::Day;
use crate::timeline::{Partition, SpillError, Timelines};

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

/// Batches that are built side by side before they are written, for each thread.
const BATCHES_AHEAD: usize = 2;

/// Rows of a batch at most; a part of the timelines with more rows gives several.
const BATCH_ROWS: usize = 8192;

/// Writes the features of everyone who is known at each day: rows by the customer's stable hash, then by day.
/// Memory: two batches of 8,192 rows a thread, one encoded row group, and what the timelines take.
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
    fields.extend(features.iter().map(|feature| {
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
        Field::new(&feature.name, data_type.clone(), true).with_metadata(notes)
    }));
    Arc::new(Schema::new(fields))
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
    for stretch in timelines.stretches() {
        let ahead = (BATCHES_AHEAD * rayon::current_num_threads()).max(1);
        for start in stretch.clone().step_by(ahead) {
            let some = start..(start + ahead).min(stretch.end);
            let build = |index: usize| {
                let part = timelines.part(index)?;
                Ok(batches(&part, sweep, &schema, options))
            };
            let built: Vec<(Vec<RecordBatch>, Vec<u64>)> =
                some.clone().into_par_iter().map(build).collect::<Result<_, SpillError>>()?;
            for (batches, counts) in built {
                rows.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                if let Some(sink) = &mut sink {
                    batches.iter().try_for_each(|batch| sink.write(batch))?;
                }
            }
            observer.advance(some.end as u64, timelines.parts() as u64);
        }
    }
    Ok(Exported { rows: rows.iter().sum(), rows_by_as_of: options.as_ofs.iter().copied().zip(rows).collect() })
}

/// Columns while they are filled.
struct Columns {
    ids: Vec<String>,
    as_ofs: Vec<i32>,
    values: Values,
}

enum Values {
    Single(Vec<Vec<f32>>),
    Double(Vec<Vec<f64>>),
}

impl Columns {
    fn new(width: usize, is_double: bool) -> Self {
        let values = match is_double {
            true => Values::Double(vec![Vec::new(); width]),
            false => Values::Single(vec![Vec::new(); width]),
        };
        Self { ids: Vec::new(), as_ofs: Vec::new(), values }
    }

    fn push(&mut self, row: &[f64]) {
        match &mut self.values {
            Values::Single(columns) => columns.iter_mut().zip(row).for_each(|(to, &value)| to.push(value as f32)),
            Values::Double(columns) => columns.iter_mut().zip(row).for_each(|(to, &value)| to.push(value)),
        }
    }

    fn finish(self, schema: &SchemaRef) -> RecordBatch {
        let nulls =
            |missing: Vec<bool>| missing.contains(&true).then(|| missing.iter().map(|&missing| !missing).collect());
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(self.ids)), Arc::new(Date32Array::from(self.as_ofs))];
        match self.values {
            Values::Single(columns) => arrays.extend(columns.into_iter().map(|values| {
                let nulls: Option<NullBuffer> = nulls(values.iter().map(|value| value.is_nan()).collect());
                Arc::new(Float32Array::new(values.into(), nulls)) as ArrayRef
            })),
            Values::Double(columns) => arrays.extend(columns.into_iter().map(|values| {
                let nulls: Option<NullBuffer> = nulls(values.iter().map(|value| value.is_nan()).collect());
                Arc::new(Float64Array::new(values.into(), nulls)) as ArrayRef
            })),
        }
        RecordBatch::try_new(Arc::clone(schema), arrays).expect("one array for each field")
    }
}

/// Rows of a part in batches, and how many there are of each day.
fn batches(
    part: &Partition,
    sweep: &Sweep,
    schema: &SchemaRef,
    options: ExportOptions,
) -> (Vec<RecordBatch>, Vec<u64>) {
    let mut counts = vec![0u64; options.as_ofs.len()];
    let mut walker: Walker = sweep.walker();
    let mut batches = Vec::new();
    let mut columns = Columns::new(sweep.width(), options.is_double);
    for customer in 0..part.customers() {
        let mut id: Option<String> = None;
        walker.walk(part.timeline(customer), options.as_ofs, |request, row| {
            counts[request] += 1;
            if options.out.is_some() {
                columns.ids.push(id.get_or_insert_with(|| part.id(customer).to_string()).clone());
                columns.as_ofs.push(options.as_ofs[request].0);
                columns.push(row);
            }
        });
        if columns.ids.len() >= BATCH_ROWS {
            let full = std::mem::replace(&mut columns, Columns::new(sweep.width(), options.is_double));
            batches.push(full.finish(schema));
        }
    }
    if !columns.ids.is_empty() {
        batches.push(columns.finish(schema));
    }
    (batches, counts)
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
