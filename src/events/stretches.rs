//! Stretches of files: what one thread decodes at a time.
//!
//! They are the same whatever the number of threads, so batches, sums and rejects are, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::columns;
use super::decode::{Decoded, Newness, Plan, nothing};
use super::error::EventsError;
use super::formats::delimited::{self, Delimiter, Lines, Row, Stretch};
use super::formats::parquet::{PIECE_ROWS, ParquetFile, Piece};
use super::formats::{self, ndjson};
use super::input::Input;
use super::open::{Access, Events, damaged, wanted};
use super::rows::RowDecoder;
use super::skips;
use super::source::EventFile;
use crate::storage::remote::Chunks;

/// Rows of a round for each thread at most. Columns of a piece are decoded side by side: half a piece is work enough.
const ROUND_ROWS: usize = PIECE_ROWS / 2;

/// A stretch before it is decoded.
pub(crate) enum Raw {
    Piece {
        file: usize,
        piece: Piece,
        /// What of it is on its way from an object store.
        ahead: Option<Chunks>,
    },
    /// A piece of which no row is known yet.
    Unknown {
        file: usize,
        piece: Piece,
        newness: Newness,
    },
    Text {
        file: usize,
        stretch: Stretch,
    },
}

impl Raw {
    /// Work and memory that it takes, in rows of Parquet.
    fn weight(&self, plan: &Plan) -> usize {
        match self {
            Self::Piece { piece, .. } => piece.rows,
            Self::Unknown { .. } => 1,
            Self::Text { .. } => plan.piece_rows.min(ROUND_ROWS / 2), // 4 MiB of lines take their time
        }
    }
}

/// The file that is being cut into stretches.
enum Open {
    Pieces { pieces: std::vec::IntoIter<Raw> },
    Text { file: usize, lines: Lines },
}

/// Cuts the files into stretches, one file after the other.
pub(crate) struct Cutter<'a> {
    events: &'a Events,
    /// Positions of the files that are still to be cut.
    files: std::vec::IntoIter<usize>,
    open: Option<Open>,
    /// Of text files, as far as they have been read.
    bytes: Arc<AtomicU64>,
}

impl<'a> Cutter<'a> {
    /// Of the files at these positions, in this order.
    pub fn new(events: &'a Events, files: Vec<usize>) -> Self {
        Self { events, files: files.into_iter(), open: None, bytes: Arc::default() }
    }

    /// Bytes read of text files.
    pub fn text_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The next stretches, for so many threads to decode; fewer at the end.
    pub fn cut(&mut self, plan: &Plan, threads: usize) -> Result<Vec<Raw>, EventsError> {
        let mut stretches = Vec::new();
        let mut weight = 0;
        while weight < threads * plan.piece_rows.min(ROUND_ROWS) {
            let next = match &mut self.open {
                Some(Open::Pieces { pieces }) => match pieces.next() {
                    Some(Raw::Piece { file, piece, .. }) => {
                        let wanted = wanted(&self.events.layouts[file], plan);
                        let ahead = parquet(self.events, file).ahead(&self.events.files[file], piece, &wanted)?;
                        Some(Raw::Piece { file, piece, ahead })
                    }
                    other => other,
                },
                Some(Open::Text { file, lines }) => lines.stretch()?.map(|stretch| Raw::Text { file: *file, stretch }),
                None => {
                    let Some(file) = self.files.next() else { break };
                    self.open = Some(self.open(file, plan)?);
                    continue;
                }
            };
            match next {
                Some(raw) => {
                    weight += raw.weight(plan);
                    stretches.push(raw);
                }
                None => self.open = None,
            }
        }
        Ok(stretches)
    }

    fn open(&self, file: usize, plan: &Plan) -> Result<Open, EventsError> {
        let delimiter = match &self.events.access[file] {
            Access::Parquet(parquet) => {
                let layout = &self.events.layouts[file];
                let raw = |piece: Piece| match skips::newness(plan, layout, parquet, piece.row_group) {
                    Some(newness) => Raw::Unknown { file, piece, newness },
                    None => Raw::Piece { file, piece, ahead: None },
                };
                let pieces: Vec<Raw> = parquet.pieces(plan.piece_rows).into_iter().map(raw).collect();
                return Ok(Open::Pieces { pieces: pieces.into_iter() });
            }
            Access::Delimited(delimiter) => Some(*delimiter),
            Access::Ndjson => None,
        };
        let found = &self.events.files[file];
        let EventFile { path, compression, .. } = found;
        let reader = formats::unpacked(&Input::of(found)?, path, *compression, &self.bytes)?;
        Ok(Open::Text { file, lines: Lines::new(reader, path.clone(), delimiter) })
    }
}

/// The events of a stretch, and the bytes of a Parquet file that it stands for.
pub(crate) fn decode(events: &Events, plan: &Plan, raw: Raw) -> Result<(u64, Vec<Decoded>), EventsError> {
    match raw {
        Raw::Unknown { file: index, piece, newness } => {
            let mut part = nothing(index);
            part.rows = piece.rows as u64;
            match newness {
                Newness::Future => part.future = part.rows,
                Newness::Settling => part.settling = part.rows,
                Newness::Known => unreachable!("what is known is decoded"),
            }
            Ok((share(events, index, piece), vec![part]))
        }
        Raw::Piece { file: index, piece, ahead } => {
            let (file, layout) = (&events.files[index], &events.layouts[index]);
            let wanted = wanted(layout, plan);
            let batches = parquet(events, index).read_ahead(file, piece, &wanted, ahead)?;
            let first_rows = batches
                .iter()
                .scan(piece.first_row, |next, batch| Some(std::mem::replace(next, *next + batch.num_rows() as u64)));
            let first_rows: Vec<u64> = first_rows.collect();
            let part = |(batch, first_row)| {
                columns::decode(plan, layout, batch, &wanted, first_row).map_err(|source| damaged(file, source))
            };
            let parts = batches.into_par_iter().zip(first_rows).with_max_len(1).map(part).collect::<Result<_, _>>()?;
            Ok((share(events, index, piece), parts))
        }
        Raw::Text { file: index, stretch } => {
            let layout = &events.layouts[index];
            let mut rows = RowDecoder::new(plan, layout);
            match &events.access[index] {
                Access::Delimited(delimiter) => {
                    let mut is_header = events.config.events.header && stretch.first_line == 1;
                    decode_delimited(&stretch, *delimiter, &mut is_header, layout.columns.len(), &mut rows);
                }
                _ => {
                    let read = wanted(layout, plan);
                    let names: Vec<Option<&str>> = layout
                        .columns
                        .iter()
                        .enumerate()
                        .map(|(at, name)| read.contains(&at).then_some(name.as_str()))
                        .collect();
                    ndjson::rows(&stretch, &names, |line, row| match row {
                        ndjson::Row::Cells(cells) => rows.row(line, cells),
                        ndjson::Row::Malformed(text) => rows.malformed(line, text),
                    });
                }
            }
            Ok((0, vec![rows.finish()]))
        }
    }
}

fn parquet(events: &Events, index: usize) -> &ParquetFile {
    match &events.access[index] {
        Access::Parquet(parquet) => parquet,
        _ => unreachable!("only Parquet files are cut into pieces"),
    }
}

/// Bytes of a file that a piece stands for.
fn share(events: &Events, index: usize, piece: Piece) -> u64 {
    let share = piece.rows as f64 / parquet(events, index).n_rows().max(1) as f64;
    (events.files[index].size as f64 * share) as u64
}

fn decode_delimited(
    stretch: &Stretch,
    delimiter: Delimiter,
    is_header: &mut bool,
    n_columns: usize,
    rows: &mut RowDecoder,
) {
    delimited::rows(stretch, delimiter, n_columns, |line, row| {
        if std::mem::take(is_header) {
            return;
        }
        match row {
            Row::Cells(cells) => rows.row(line, cells),
            Row::Malformed(text) => rows.malformed(line, text),
        }
    });
}
