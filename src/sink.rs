//! Where rows of scores and features go: Parquet, or CSV or NDJSON with the same names.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::csv::{Writer as CsvWriter, WriterBuilder};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::json::LineDelimitedWriter;
use clap::ValueEnum;

use crate::error::FileError;
use crate::storage::PartitionWriter;

/// Format of a file of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// Apache Parquet, zstd: types, units and labels in the file. What segments are evaluated over.
    #[default]
    Parquet,
    /// Comma-separated, with a header; a missing value is an empty cell, a list (`top_categories`, `reasons`) is JSON.
    Csv,
    /// One JSON object a line; a missing value is left out.
    Ndjson,
}

impl FileFormat {
    /// Name of the data file of a score partition.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Parquet => "part-00000.parquet",
            Self::Csv => "part-00000.csv",
            Self::Ndjson => "part-00000.ndjson",
        }
    }
}

/// An open file of rows.
pub(crate) enum Sink {
    Parquet(Box<PartitionWriter>),
    Csv { path: PathBuf, writer: Box<CsvWriter<BufWriter<File>>> },
    Ndjson { path: PathBuf, writer: Box<LineDelimitedWriter<BufWriter<File>>> },
}

fn failed(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> FileError {
    let path = path.to_path_buf();
    move |error| {
        let source = match error {
            arrow::error::ArrowError::IoError(_, source) => source,
            other => io::Error::other(other),
        };
        FileError { action: "write", path, source }
    }
}

impl Sink {
    pub(crate) fn create(
        format: FileFormat,
        path: &Path,
        schema: &SchemaRef,
        metadata: &[(&str, &str)],
    ) -> Result<Self, FileError> {
        let file = || File::create(path).map(BufWriter::new).map_err(FileError::at("create", path));
        let path = path.to_path_buf();
        Ok(match format {
            FileFormat::Parquet => Self::Parquet(Box::new(PartitionWriter::create(&path, schema.clone(), metadata)?)),
            FileFormat::Csv => {
                Self::Csv { writer: Box::new(WriterBuilder::new().with_header(true).build(file()?)), path }
            }
            FileFormat::Ndjson => Self::Ndjson { writer: Box::new(LineDelimitedWriter::new(file()?)), path },
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.write_all(std::slice::from_ref(batch))
    }

    pub(crate) fn write_all(&mut self, batches: &[RecordBatch]) -> Result<(), FileError> {
        match self {
            Self::Parquet(writer) => writer.write_all(batches),
            Self::Csv { path, writer } => {
                let mut batches = batches.iter();
                batches.try_for_each(|batch| writer.write(&flat(batch)?)).map_err(failed(path))
            }
            Self::Ndjson { path, writer } => {
                batches.iter().try_for_each(|batch| writer.write(batch)).map_err(failed(path))
            }
        }
    }

    /// Writes what is left and syncs.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        let sync = |path: PathBuf, mut buffer: BufWriter<File>| {
            buffer.flush().and_then(|()| buffer.get_ref().sync_all()).map_err(FileError::at("write", path))
        };
        match self {
            Self::Parquet(writer) => writer.finish().map(|_| ()),
            Self::Csv { path, writer } => sync(path, writer.into_inner()),
            Self::Ndjson { path, mut writer } => {
                writer.finish().map_err(failed(&path))?;
                sync(path, writer.into_inner())
            }
        }
    }
}

/// The batch with every list as JSON text: a cell of CSV holds no list.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match column.as_list_opt::<i32>() {
            Some(list) => {
                fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
                columns.push(Arc::new((0..list.len()).map(|row| list_json(list, row)).collect::<StringArray>()));
            }
            None => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A row of a list of structs as JSON text, fields in their order; a missing one is left out, as in NDJSON.
fn list_json(list: &ListArray, row: usize) -> Option<String> {
    list.is_valid(row).then(|| {
        let entries = list.value(row);
        let entries: &StructArray = entries.as_struct();
        let cell = |column: &ArrayRef, i: usize| -> Option<serde_json::Value> {
            column.is_valid(i).then(|| match column.data_type() {
                DataType::Float64 => column.as_primitive::<Float64Type>().value(i).into(),
                // The shortest digits that tell it from its neighbours.
                DataType::Float32 => {
                    let digits = column.as_primitive::<Float32Type>().value(i).to_string();
                    digits.parse::<f64>().map_or(serde_json::Value::Null, Into::into)
                }
                _ => column.as_string::<i32>().value(i).into(),
            })
        };
        let entry = |i: usize| {
            let cells = entries.fields().iter().zip(entries.columns()).filter_map(|(field, column)| {
                let name = serde_json::Value::from(field.name().as_str());
                Some(format!("{name}:{}", cell(column, i)?))
            });
            format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
        };
        format!("[{}]", (0..entries.len()).map(entry).collect::<Vec<_>>().join(","))
    })
}
