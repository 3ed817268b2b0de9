//! Parquet: row groups in pieces of a fixed number of rows, each decoded on its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use crate::events::error::EventsError;
use crate::events::input::{Input, Ranges};
use crate::events::schema::CellType;
use crate::events::source::EventFile;
use crate::guard::guarded;
use crate::storage::remote::Chunks;

/// Rows of a batch, whatever the machine, so that batches are the same everywhere.
const BATCH_ROWS: usize = 1 << 17;
/// Rows of a piece, which one thread decodes batch by batch: as many as most writers put into a row group.
/// Pieces of a longer row group skip the pages before theirs, and read its dictionaries again. Where memory is bounded,
/// pieces are smaller.
pub(crate) const PIECE_ROWS: usize = 8 * BATCH_ROWS;

/// Bytes at the end of an object that are fetched for its index.
const INDEX_BYTES: u64 = 256 << 10;

/// An opened Parquet file: its index, and how its columns are to be decoded.
#[derive(Debug, Clone)]
pub(crate) struct ParquetFile {
    metadata: ArrowReaderMetadata,
}

/// Rows of one row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub row_group: usize,
    /// Rows of the row group before the piece.
    pub skip: usize,
    pub rows: usize,
    /// Number of the first row within the file, from 1.
    pub first_row: u64,
}

fn damaged(file: &EventFile) -> impl Fn(ParquetError) -> EventsError {
    |source| EventsError::DamagedParquet { path: file.path.clone(), bytes: file.size, source: Box::new(source) }
}

impl ParquetFile {
    pub fn open(file: &EventFile) -> Result<Self, EventsError> {
        let bytes = Input::of(file)?.ranges()?;
        if let Ranges::Object(chunks) = &bytes {
            // Most indices are in it whole.
            chunks.send_for(std::iter::once(file.size.saturating_sub(INDEX_BYTES)..file.size).collect());
            chunks.arrive()?;
        }
        let load = || ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new());
        let plain = guarded(load, ParquetError::General).map_err(damaged(file))?;
        Self { metadata: plain }.decoding_labels(file, &[])
    }

    /// The leaf of a column that is no structure.
    fn leaf(&self, at: usize) -> Option<usize> {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let is_plain = schema.root_schema().get_fields().get(at)?.is_primitive();
        (0..schema.num_columns()).find(|&leaf| is_plain && schema.get_column_root_idx(leaf) == at)
    }

    /// A column's type and what the index says of its values in a row group.
    pub fn statistics(&self, row_group: usize, at: usize) -> Option<(&DataType, &Statistics)> {
        let column = self.metadata.metadata().row_group(row_group).column(self.leaf(at)?);
        Some((self.metadata.schema().field(at).data_type(), column.statistics()?))
    }

    /// Whether every page of a column is written with a dictionary, as far as the file's index tells.
    pub fn is_all_dictionary(&self, at: usize) -> bool {
        let metadata = self.metadata.metadata();
        let Some(leaf) = self.leaf(at) else { return false };
        metadata.row_groups().iter().all(|group| {
            let mask = group.column(leaf).page_encoding_stats_mask();
            mask.is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY))
        })
    }

    /// The same file, with the columns `labels` as dictionaries and other text as views.
    pub fn decoding_labels(self, file: &EventFile, labels: &[usize]) -> Result<Self, EventsError> {
        let parquet_schema = self.metadata.metadata().file_metadata().schema_descr();
        let text =
            |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fields: Vec<Arc<Field>> = self
            .metadata
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| {
                let is_text = match field.data_type() {
                    DataType::Dictionary(_, values) => text(values),
                    other => text(other),
                };
                let is_int96 = matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _))
                    && parquet_schema.root_schema().get_fields().get(at).is_some_and(|column| {
                        column.is_primitive() && column.get_physical_type() == PhysicalType::INT96
                    });
                let wanted = if is_text && labels.contains(&at) {
                    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
                } else if is_text {
                    DataType::Utf8View // points into the decoded pages
                } else if is_int96 {
                    // Nanoseconds end in 2262: a date like 9999-12-31 would come out as some day of 1816.
                    DataType::Timestamp(TimeUnit::Microsecond, None)
                } else {
                    return Arc::clone(field);
                };
                Arc::new(field.as_ref().clone().with_data_type(wanted))
            })
            .collect();
        let schema = Schema::new_with_metadata(fields, self.metadata.schema().metadata().clone());
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let make = || ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options);
        let metadata = guarded(make, ParquetError::General).map_err(damaged(file))?;
        Ok(Self { metadata })
    }

    /// Name and type of the columns.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.metadata.schema().fields().iter().map(|field| (field.name().as_str(), field.data_type()))
    }

    pub fn n_rows(&self) -> u64 {
        self.metadata.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as u64).sum()
    }

    /// The file in pieces of at most so many rows, in order.
    pub fn pieces(&self, most_rows: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut first_row = 1;
        for (row_group, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let n_rows = group.num_rows().max(0) as usize;
            for skip in (0..n_rows).step_by(most_rows) {
                let rows = most_rows.min(n_rows - skip);
                pieces.push(Piece { row_group, skip, rows, first_row: first_row + skip as u64 });
            }
            first_row += n_rows as u64;
        }
        pieces
    }

    fn mask(&self, wanted: &[usize]) -> ProjectionMask {
        ProjectionMask::roots(self.metadata.metadata().file_metadata().schema_descr(), wanted.iter().copied())
    }

    /// Sends for the columns `wanted` of a piece, if they are in an object store, without waiting for them.
    pub fn ahead(&self, file: &EventFile, piece: Piece, wanted: &[usize]) -> Result<Option<Chunks>, EventsError> {
        let Ranges::Object(chunks) = Input::of(file)?.ranges()? else { return Ok(None) };
        let group = self.metadata.metadata().row_group(piece.row_group);
        // Who reads most of a row group gets its columns at once; who looks at its first rows, as far as they go.
        if piece.rows >= (group.num_rows().max(0) as usize).min(PIECE_ROWS) / 2 {
            let mask = self.mask(wanted);
            let columns = (0..group.num_columns()).filter(|&leaf| mask.leaf_included(leaf));
            let ranges =
                columns.map(|leaf| group.column(leaf).byte_range()).map(|(start, length)| start..start + length);
            chunks.send_for(ranges.collect());
        }
        Ok(Some(chunks))
    }

    /// The columns `wanted` of a piece, in the file's order, in batches.
    pub fn read<'a>(&self, file: &'a EventFile, piece: Piece, wanted: &[usize]) -> Result<Batches<'a>, EventsError> {
        let ahead = self.ahead(file, piece, wanted)?;
        if let Some(chunks) = &ahead {
            chunks.arrive()?;
        }
        self.batches(file, piece, wanted, ahead.as_ref())
    }

    /// All batches of a piece that was sent for, where it is in an object store. Columns are decoded side by side.
    pub fn read_ahead(
        &self,
        file: &EventFile,
        piece: Piece,
        wanted: &[usize],
        ahead: Option<Chunks>,
    ) -> Result<Vec<RecordBatch>, EventsError> {
        if let Some(chunks) = &ahead {
            chunks.arrive()?;
        }
        if wanted.len() < 2 {
            return self.batches(file, piece, wanted, ahead.as_ref())?.collect();
        }
        let column = |&at: &usize| {
            let mut batches = Vec::new();
            let fault = match self.batches(file, piece, &[at], ahead.as_ref()) {
                Ok(mut of_file) => {
                    of_file.find_map(|batch| batch.map(|batch| batches.push(Arc::clone(batch.column(0)))).err())
                }
                Err(error) => Some(error),
            };
            (batches, fault)
        };
        let columns: Vec<(Vec<ArrayRef>, Option<EventsError>)> =
            wanted.par_iter().with_max_len(1).map(column).collect();
        let n = columns.iter().map(|(batches, _)| batches.len()).min().unwrap_or(0);
        // What is damaged first, row by row, is told.
        let (columns, faults): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let lengths = columns.iter().map(Vec::len);
        if let Some((_, fault)) =
            lengths.zip(faults).find_map(|(length, fault)| Some(length).zip(fault).filter(|found| found.0 == n))
        {
            return Err(fault);
        }
        let schema = self.metadata.schema().project(wanted).map(Arc::new);
        let schema = schema.map_err(|error| damaged(file)(error.into()))?;
        let mut columns: Vec<std::vec::IntoIter<ArrayRef>> = columns.into_iter().map(Vec::into_iter).collect();
        let batch = |_| {
            let arrays = columns.iter_mut().filter_map(Iterator::next).collect();
            RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| damaged(file)(error.into()))
        };
        (0..n).map(batch).collect()
    }

    fn batches<'a>(
        &self,
        file: &'a EventFile,
        piece: Piece,
        wanted: &[usize],
        ahead: Option<&Chunks>,
    ) -> Result<Batches<'a>, EventsError> {
        let bytes = match ahead {
            Some(chunks) => Ranges::Object(chunks.clone()),
            None => Input::of(file)?.ranges()?,
        };
        let mask = self.mask(wanted);
        let group_rows = self.metadata.metadata().row_group(piece.row_group).num_rows().max(0) as usize;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, self.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![piece.row_group])
            .with_batch_size(piece.rows.clamp(1, BATCH_ROWS));
        if piece.rows < group_rows {
            let selection = RowSelection::from(vec![RowSelector::skip(piece.skip), RowSelector::select(piece.rows)]);
            builder = builder.with_row_selection(selection);
        }
        let reader = guarded(|| builder.build(), ParquetError::General).map_err(damaged(file))?;
        Ok(Batches { reader, file, piece, n_rows: 0 })
    }
}

/// The batches of a piece.
pub(crate) struct Batches<'a> {
    reader: ParquetRecordBatchReader,
    file: &'a EventFile,
    piece: Piece,
    n_rows: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, EventsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { reader, file, piece, n_rows } = self;
        match guarded(|| reader.next().transpose().map_err(ParquetError::from), ParquetError::General) {
            Ok(Some(batch)) => {
                *n_rows += batch.num_rows();
                Some(Ok(batch))
            }
            Err(source) => Some(Err(damaged(file)(source))),
            Ok(None) if *n_rows == piece.rows => None,
            Ok(None) => {
                let problem = format!("row group {} gave {n_rows} of {} rows", piece.row_group, piece.rows);
                *n_rows = piece.rows; // told once
                Some(Err(damaged(file)(ParquetError::General(problem))))
            }
        }
    }
}

/// What a column holds.
pub(crate) fn cell_type(data_type: &DataType) -> CellType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => CellType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => CellType::Text, // old writers do not say UTF-8
        DataType::FixedSizeBinary(16) => CellType::Text,                                   // a UUID
        DataType::Dictionary(_, values) => cell_type(values),
        DataType::Boolean => CellType::Bool,
        DataType::Null => CellType::Null,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => CellType::Time,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            CellType::Decimal
        }
        other if other.is_integer() => CellType::Integer,
        other if other.is_floating() => CellType::Decimal,
        _ => CellType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_sorted_by_what_they_can_be() {
        assert_eq!(cell_type(&DataType::UInt8), CellType::Integer);
        assert_eq!(cell_type(&DataType::Float16), CellType::Decimal);
        assert_eq!(
            cell_type(&DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))),
            CellType::Text
        );
        assert_eq!(cell_type(&DataType::Time64(TimeUnit::Microsecond)), CellType::Other);
        assert_eq!(cell_type(&DataType::FixedSizeBinary(5)), CellType::Other);
    }
}
