//! The one way Parquet is written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use crate::error::FileError;

/// Writes one Parquet file whose bytes depend on schema, metadata and rows alone, however the rows come in
/// batches. Columns are encoded side by side.
///
/// zstd level 1; [`PartitionWriter::GROUP_ROWS`] rows a row group, which bounds the memory of writer and reader:
/// one row group of encoded columns. It writes in place: put it into a folder of [`replace_folder`].
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// # use bellwether::storage::PartitionWriter;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("part-00000.parquet");
/// let column = Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", column)])?;
/// let mut writer = PartitionWriter::create(&path, batch.schema(), &[("made_by", "an example")])?;
/// writer.write(&batch)?;
/// assert_eq!(writer.finish()?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PartitionWriter {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Number of Parquet columns of each field.
    leaves: Vec<usize>,
    /// Columns of the row group that is being written, and its rows so far.
    columns: Vec<ArrowColumnWriter>,
    group_rows: usize,
    /// Rows that do not fill a batch yet, in the pieces in which they came.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    rows: u64,
}

impl PartitionWriter {
    /// Rows of a row group.
    pub const GROUP_ROWS: usize = 8 * Self::BATCH_ROWS;
    /// Pages end at batches, so batches have one size whatever the caller's have.
    const BATCH_ROWS: usize = 8192;

    /// A writer of an empty file with key-value metadata; metadata of columns belong into `schema`.
    ///
    /// # Errors
    /// When the file cannot be created or a column has a type that Parquet lacks.
    pub fn create(path: &Path, schema: SchemaRef, metadata: &[(&str, &str)]) -> Result<Self, FileError> {
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| at(path)(error))?;
        let pairs = metadata.iter().map(|&(key, value)| KeyValue::new(key.to_string(), value.to_string())).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(Self::GROUP_ROWS))
            .set_key_value_metadata(Some(pairs));
        for column in leaves(&schema, |_, _| true).into_iter().filter(|column| column.parts().len() > 1) {
            // Nobody skips pages of lists by the least and the greatest of their entries, which take as long to find as the rest of a text.
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
        }
        for column in leaves(&schema, has_no_dictionary) {
            properties = properties.set_column_dictionary_enabled(column, false);
        }
        let file = File::create(path).map_err(FileError::at("create", path))?;
        let (file, groups) = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties.build()))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|error| at(path)(error))?;
        let mut leaves = vec![0; schema.fields().len()];
        let columns = file.schema_descr();
        (0..columns.num_columns()).for_each(|leaf| leaves[columns.get_column_root_idx(leaf)] += 1);
        Ok(Self {
            path: path.into(),
            file,
            groups,
            columns: Vec::new(),
            leaves,
            group_rows: 0,
            waiting: Vec::new(),
            waiting_rows: 0,
            schema,
            rows: 0,
        })
    }

    /// Adds rows; the batch must have the writer's schema.
    ///
    /// # Errors
    /// When the system cannot write, or the schema differs.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.write_all(std::slice::from_ref(batch))
    }

    /// Adds the rows of several batches; the more of them at a time, the less do columns wait for each other.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_all(&mut self, batches: &[RecordBatch]) -> Result<(), FileError> {
        let mut whole = Vec::new();
        for batch in batches {
            let fields = batch.schema_ref().fields();
            let is_alike = |(a, b): (&Arc<Field>, &Arc<Field>)| a.data_type().equals_datatype(b.data_type());
            if fields.len() != self.leaves.len() || !fields.iter().zip(self.schema.fields()).all(is_alike) {
                let differs = ArrowError::SchemaError("the batch has other columns than the file".to_string());
                return Err(at(&self.path)(differs.into()));
            }
            self.rows += batch.num_rows() as u64;
            let mut rest = batch.clone();
            while self.waiting_rows + rest.num_rows() >= Self::BATCH_ROWS {
                let missing = Self::BATCH_ROWS - self.waiting_rows;
                self.waiting.push(rest.slice(0, missing));
                rest = rest.slice(missing, rest.num_rows() - missing);
                whole.push(std::mem::take(&mut self.waiting));
                self.waiting_rows = 0;
            }
            if rest.num_rows() > 0 {
                self.waiting_rows += rest.num_rows();
                self.waiting.push(rest);
            }
        }
        self.encode(&whole).map_err(at(&self.path))
    }

    /// Writes what is left and the footer, syncs, and returns the number of rows.
    ///
    /// # Errors
    /// When the system cannot write.
    pub fn finish(mut self) -> Result<u64, FileError> {
        if self.waiting_rows > 0 {
            let rest = std::mem::take(&mut self.waiting);
            self.encode(&[rest]).map_err(at(&self.path))?;
        }
        self.close_group().map_err(at(&self.path))?;
        let file = self.file.into_inner().map_err(at(&self.path))?;
        file.sync_all().map_err(FileError::at("write", &self.path))?;
        Ok(self.rows)
    }

    /// Encodes batches, each in the pieces in which it came, row group by row group.
    fn encode(&mut self, mut batches: &[Vec<RecordBatch>]) -> Result<(), ParquetError> {
        while !batches.is_empty() {
            let room = (Self::GROUP_ROWS - self.group_rows).div_ceil(Self::BATCH_ROWS);
            let (of_group, rest) = batches.split_at(room.min(batches.len()));
            batches = rest;
            self.encode_in_group(of_group)?;
            if self.group_rows >= Self::GROUP_ROWS {
                self.close_group()?;
            }
        }
        Ok(())
    }

    /// Encodes batches of one row group, their columns side by side.
    fn encode_in_group(&mut self, batches: &[Vec<RecordBatch>]) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            self.columns = self.groups.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        let mut rest = self.columns.as_mut_slice();
        let mut columns = Vec::with_capacity(self.leaves.len());
        for (&leaves, field) in self.leaves.iter().zip(self.schema.fields()) {
            let (writers, after) = rest.split_at_mut(leaves);
            columns.push((field, writers));
            rest = after;
        }
        columns.into_par_iter().with_max_len(1).enumerate().try_for_each(|(column, (field, writers))| {
            let leaves = |pieces: &Vec<RecordBatch>| match pieces.as_slice() {
                [whole] => compute_leaves(field, whole.column(column)), // what comes in whole batches is not copied
                pieces => {
                    let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece.column(column).as_ref()).collect();
                    compute_leaves(field, &concat(&pieces)?)
                }
            };
            let batches = batches.iter().map(leaves).collect::<Result<Vec<_>, _>>()?;
            writers
                .par_iter_mut()
                .with_max_len(1)
                .enumerate()
                .try_for_each(|(leaf, writer)| batches.iter().try_for_each(|leaves| writer.write(&leaves[leaf])))
        })?;
        self.group_rows += batches.iter().flatten().map(RecordBatch::num_rows).sum::<usize>();
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let columns = std::mem::take(&mut self.columns);
        if columns.is_empty() {
            return Ok(());
        }
        self.group_rows = 0;
        let chunks = columns.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }
}

/// Of score files level 3 takes a fifth more of the time of writing, and saves 4 % of the bytes.
const ZSTD_LEVEL: i32 = 1;

/// Units of single-precision numbers that repeat.
const REPEATING_UNITS: [&str; 3] = ["count", "flag", "number"];

/// Whether the values of a column, which may be of an entry of a list, hardly ever repeat: a dictionary of them takes as long to build as
/// all the rest, and more room than it saves.
fn has_no_dictionary(field: &Field, is_of_entry: bool) -> bool {
    let repeats = || field.metadata().get("unit").is_none_or(|unit| REPEATING_UNITS.contains(&unit.as_str()));
    match field.data_type() {
        DataType::Float64 => true,
        // Ranks.
        DataType::UInt32 => true,
        // The values of reasons, and feature columns of money, days and the like.
        DataType::Float32 => is_of_entry || !repeats(),
        DataType::Utf8 => field.name() == "customer_id",
        _ => false,
    }
}

/// The Parquet columns that are `wanted`, which is told whether a field is of an entry of a list.
fn leaves(schema: &SchemaRef, wanted: impl Fn(&Field, bool) -> bool) -> Vec<ColumnPath> {
    fn walk(field: &Field, mut path: Vec<String>, wanted: &dyn Fn(&Field, bool) -> bool, found: &mut Vec<ColumnPath>) {
        path.push(field.name().clone());
        match field.data_type() {
            DataType::List(item) => {
                path.push("list".to_string()); // as Parquet calls the level between
                walk(item, path, wanted, found);
            }
            DataType::Struct(fields) => fields.iter().for_each(|field| walk(field, path.clone(), wanted, found)),
            _ if wanted(field, path.len() > 1) => found.push(ColumnPath::new(path)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    schema.fields().iter().for_each(|field| walk(field, Vec::new(), &wanted, &mut found));
    found
}

/// Keeps the kind of the system's answer (a full disk, say) that parquet wraps.
fn at(path: &Path) -> impl FnOnce(ParquetError) -> FileError {
    let path = path.to_path_buf();
    move |error| {
        let source = match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(system) => *system,
                Err(other) => io::Error::other(other),
            },
            other => io::Error::other(other),
        };
        FileError { action: "write", path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn parquet_bytes_do_not_depend_on_batches() {
        use arrow::array::{Array, ArrayRef, Float64Array, ListArray, StringArray, StructArray};
        use arrow::buffer::OffsetBuffer;
        let folder = tempfile::tempdir().unwrap();
        let rows = 100_000;
        let ids = StringArray::from_iter_values((0..rows).map(|row| format!("customer-{row:07}")));
        let scores = Float64Array::from_iter((0..rows).map(|row| (row % 7 != 0).then_some(f64::from(row).sqrt())));
        // Up to two reasons a row, and null where there is no score.
        let lengths = (0..rows).map(|row| if row % 7 == 0 { 0 } else { row as usize % 3 });
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let told = 0..*offsets.last().unwrap();
        let reason =
            |name: &str, values: ArrayRef| (Arc::new(Field::new(name, values.data_type().clone(), false)), values);
        let reasons = StructArray::from(vec![
            reason("feature", Arc::new(StringArray::from_iter_values(told.clone().map(|n| format!("f{}", n % 40))))),
            reason("effect", Arc::new(Float64Array::from_iter_values(told.map(|n| f64::from(n).cbrt())))),
        ]);
        let item = Arc::new(Field::new("item", reasons.data_type().clone(), false));
        let reasons = ListArray::new(item, offsets, Arc::new(reasons), scores.nulls().cloned());
        let columns =
            [("customer_id", Arc::new(ids) as ArrayRef), ("reasons", Arc::new(reasons)), ("score", Arc::new(scores))];
        let all = RecordBatch::try_from_iter(columns).unwrap();
        let files = [1000, 8192, 70_000, 100_000].map(|size| {
            let path = folder.path().join(format!("{size}.parquet"));
            let metadata = [("as_of", "2026-08-21"), ("bundle_id", "b")];
            let mut writer = PartitionWriter::create(&path, all.schema(), &metadata).unwrap();
            let starts = (0..all.num_rows()).step_by(size);
            let batches: Vec<RecordBatch> =
                starts.map(|start| all.slice(start, size.min(all.num_rows() - start))).collect();
            // One by one, or several at a time.
            batches[..batches.len() / 2].iter().for_each(|batch| writer.write(batch).unwrap());
            writer.write_all(&batches[batches.len() / 2..]).unwrap();
            assert_eq!(writer.finish().unwrap(), 100_000);
            fs::read(path).unwrap()
        });
        assert!(files.iter().all(|file| file == &files[0]));

        let file = File::open(folder.path().join("1000.parquet")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(pairs.contains(&KeyValue::new("as_of".to_string(), "2026-08-21".to_string())));
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(arrow::compute::concat_batches(&all.schema(), &read).unwrap(), all);
    }

    #[test]
    fn other_columns_are_refused() {
        use arrow::array::{ArrayRef, Float32Array, Float64Array};
        let batch = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
        let doubles = || Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
        let folder = tempfile::tempdir().unwrap();
        let schema = batch(vec![("a", doubles())]).schema();
        let mut writer = PartitionWriter::create(&folder.path().join("some.parquet"), schema, &[]).unwrap();
        writer.write(&batch(vec![("a", Arc::new(Float32Array::from(vec![1.0])))])).unwrap_err();
        writer.write(&batch(vec![("a", doubles()), ("b", doubles())])).unwrap_err();
        writer.write(&batch(vec![("a", doubles())])).unwrap();
        assert_eq!(writer.finish().unwrap(), 1);
    }

    #[test]
    fn numbers_that_do_not_repeat_have_no_dictionary() {
        use arrow::array::{
            Array, ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, StringArray, StructArray,
        };
        use arrow::buffer::OffsetBuffer;
        use arrow::datatypes::Schema;
        let n = 50;
        let numbers = || (0..n).map(|row| f64::from(row % 3));
        let fields = [("word", DataType::Utf8), ("effect", DataType::Float64), ("value", DataType::Float32)];
        let entries = StructArray::new(
            fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, false)).collect(),
            vec![
                Arc::new(StringArray::from(vec!["raises"; n as usize])),
                Arc::new(Float64Array::from_iter_values(numbers())),
                Arc::new(Float32Array::from_iter_values(numbers().map(|number| number as f32))),
            ],
            None,
        );
        let item = Arc::new(Field::new("item", entries.data_type().clone(), false));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths(vec![1; n as usize]), Arc::new(entries), None);
        let feature = || Arc::new(Float32Array::from_iter_values(numbers().map(|number| number as f32)));
        let columns: [(&str, Option<&str>, ArrayRef); 7] = [
            ("customer_id", None, Arc::new(StringArray::from(vec!["c"; n as usize]))),
            ("count", None, Arc::new(Int32Array::from_iter_values((0..n).map(|row| row % 3)))),
            ("score", None, Arc::new(Float64Array::from_iter_values(numbers()))),
            ("feature", None, feature()),
            ("orders", Some("count"), feature()),
            ("spend", Some("USD"), feature()),
            ("reasons", None, Arc::new(lists)),
        ];
        let field = |&(name, unit, ref column): &(&str, Option<&str>, ArrayRef)| {
            let metadata = unit.into_iter().map(|unit| ("unit".to_string(), unit.to_string())).collect();
            Field::new(name, column.data_type().clone(), false).with_metadata(metadata)
        };
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<Field>>());
        let arrays = columns.into_iter().map(|(_, _, column)| column).collect();
        let batch = RecordBatch::try_new(Arc::new(schema), arrays).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.parquet");
        let mut writer = PartitionWriter::create(&path, batch.schema(), &[]).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let file = File::open(path).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let columns = reader.metadata().row_group(0).columns().iter();
        let with_dictionary: Vec<String> = columns
            .filter(|column| column.dictionary_page_offset().is_some())
            .map(|column| column.column_path().string())
            .collect();
        assert_eq!(with_dictionary, ["count", "feature", "orders", "reasons.list.item.word"]);
    }
}
