//! Reading events in rounds: a few stretches at a time, decoded side by side, handed on in file order.
//!
//! Stretches are the same whatever the number of threads, so batches, sums and rejects are, too.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::batch::EventBatch;
use super::columns;
use super::decode::{Decoded, Plan, retain};
use super::error::EventsError;
use super::formats::delimited::{self, Delimiter, Lines, Row, Stretch};
use super::formats::parquet::Piece;
use super::formats::{self, ndjson};
use super::open::{Access, Events, damaged, wanted};
use super::rejects::{Reject, RejectCount, RejectReason, Rejects, shortened};
use super::rows::RowDecoder;
use super::schema::Role;
use super::source::EventFile;
use crate::error::FileError;
use crate::time::Day;

/// Which events are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadLimit {
    /// Events that happened or were received on this day or later are left out; `None`: nothing is.
    pub as_of: Option<Day>,
    /// So are those of the last days before it.
    pub settle_days: u16,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFingerprint {
    /// Its name, as in [`super::source::EventFile::name`].
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// BLAKE3 of these bytes, in hexadecimal digits.
    pub blake3: String,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadSummary {
    /// Rows in the files.
    pub rows: u64,
    /// Rows that became events.
    pub used: u64,
    /// Rows without a customer: left out.
    pub anonymous_rows: u64,
    /// Their money.
    pub anonymous_value: f64,
    /// Rows at or after `as_of`, or received then: left out.
    pub future_rows: u64,
    /// Rows in the days left to settle: left out.
    pub settling_rows: u64,
    /// Events whose event column is empty: used, without a name.
    pub unnamed_rows: u64,
    /// Unusable rows by reason.
    pub rejects: BTreeMap<RejectReason, RejectCount>,
    /// Where the unusable rows are kept, when there are any and a file was asked for.
    #[serde(skip)]
    pub rejects_file: Option<PathBuf>,
    /// Wall time of the first used event, in microseconds; `None` without one.
    pub first_time: Option<i64>,
    /// Of the last.
    pub last_time: Option<i64>,
    /// The files, in the order of reading.
    pub files: Vec<FileFingerprint>,
}

impl ReadSummary {
    /// Number of unusable rows.
    pub fn rejected(&self) -> u64 {
        self.rejects.values().map(|count| count.rows).sum()
    }

    /// Rows that were judged: all but those left out for their time.
    pub fn judged(&self) -> u64 {
        self.rows - self.future_rows - self.settling_rows
    }

    /// Unusable rows among those judged, 0 to 1.
    pub fn reject_share(&self) -> f64 {
        self.rejected() as f64 / self.judged().max(1) as f64
    }
}

/// A stretch before it is decoded.
enum Raw {
    Piece { file: usize, piece: Piece },
    Text { file: usize, stretch: Stretch },
}

/// The file that is being cut into stretches.
enum Open {
    Pieces { file: usize, pieces: std::vec::IntoIter<Piece> },
    Text { file: usize, lines: Lines },
}

/// Cuts the files into stretches, one file after the other.
struct Cutter<'a> {
    events: &'a Events,
    next_file: usize,
    open: Option<Open>,
    /// Bytes read of text files.
    bytes: Arc<AtomicU64>,
}

impl Cutter<'_> {
    /// The next `n` stretches; fewer at the end.
    fn cut(&mut self, n: usize) -> Result<Vec<Raw>, EventsError> {
        let mut stretches = Vec::with_capacity(n);
        while stretches.len() < n {
            let next = match &mut self.open {
                Some(Open::Pieces { file, pieces }) => pieces.next().map(|piece| Raw::Piece { file: *file, piece }),
                Some(Open::Text { file, lines }) => lines.stretch()?.map(|stretch| Raw::Text { file: *file, stretch }),
                None => {
                    if self.next_file == self.events.files.len() {
                        break;
                    }
                    self.open = Some(self.open_next()?);
                    continue;
                }
            };
            match next {
                Some(raw) => stretches.push(raw),
                None => self.open = None,
            }
        }
        Ok(stretches)
    }

    fn open_next(&mut self) -> Result<Open, EventsError> {
        let file = self.next_file;
        self.next_file += 1;
        let delimiter = match &self.events.access[file] {
            Access::Parquet(parquet) => return Ok(Open::Pieces { file, pieces: parquet.pieces().into_iter() }),
            Access::Delimited(delimiter) => Some(*delimiter),
            Access::Ndjson => None,
        };
        let EventFile { path, compression, .. } = &self.events.files[file];
        let reader = formats::unpacked(path, *compression, &self.bytes)?;
        Ok(Open::Text { file, lines: Lines::new(reader, path.clone(), delimiter) })
    }
}

/// Reads events once, in rounds.
pub struct EventReader<'a> {
    events: &'a Events,
    plan: Plan,
    cutter: Cutter<'a>,
    pending: Option<Vec<Raw>>,
    rejects: Rejects,
    ids: HashSet<u128>,
    piece_bytes: u64,
    rows: u64,
    used: u64,
    anonymous_rows: u64,
    anonymous_value: f64,
    future_rows: u64,
    settling_rows: u64,
    unnamed_rows: u64,
    times: Option<(i64, i64)>,
}

impl Events {
    /// Starts a reading. Unusable rows are kept in `rejects`, when given: a file of JSON lines that
    /// appears when the reading ends, and only if there are any.
    ///
    /// # Errors
    /// When the rejects file cannot be written.
    pub fn reader(&self, limit: ReadLimit, rejects: Option<&Path>) -> Result<EventReader<'_>, EventsError> {
        self.reader_keeping(limit, rejects, false)
    }

    /// As [`Events::reader`], with what only `check` needs of the events when `is_checked`.
    pub(crate) fn reader_keeping(
        &self,
        limit: ReadLimit,
        rejects: Option<&Path>,
        is_checked: bool,
    ) -> Result<EventReader<'_>, EventsError> {
        Ok(EventReader {
            events: self,
            plan: self.plan(limit, is_checked),
            cutter: Cutter { events: self, next_file: 0, open: None, bytes: Arc::default() },
            pending: None,
            rejects: Rejects::open(rejects)?,
            ids: HashSet::new(),
            piece_bytes: 0,
            rows: 0,
            used: 0,
            anonymous_rows: 0,
            anonymous_value: 0.0,
            future_rows: 0,
            settling_rows: 0,
            unnamed_rows: 0,
            times: None,
        })
    }
}

impl EventReader<'_> {
    /// The batches of the next few stretches, in file order, none of them empty; `None` at the end.
    /// At most two batches a thread, each of about 131,072 rows or 4 MiB of text.
    ///
    /// # Errors
    /// A file that cannot be read on. Unusable rows are no error here.
    pub fn next_round(&mut self) -> Result<Option<Vec<EventBatch>>, EventsError> {
        let round = self.next_decoded()?;
        Ok(round.map(|round| round.into_iter().map(|decoded| decoded.batch).collect()))
    }

    /// As [`EventReader::next_round`], with what `check` needs beside the batches.
    pub(crate) fn next_decoded(&mut self) -> Result<Option<Vec<Decoded>>, EventsError> {
        let n_stretches = 2 * rayon::current_num_threads();
        loop {
            let now = match self.pending.take() {
                Some(stretches) => stretches,
                None => self.cutter.cut(n_stretches)?,
            };
            if now.is_empty() {
                self.pending = Some(now);
                return Ok(None);
            }
            // One thread cuts the next stretches off the file while the others decode these.
            let (events, plan, cutter) = (self.events, &self.plan, &mut self.cutter);
            let (decoded, next) = rayon::join(
                || now.into_par_iter().map(|raw| decode(events, plan, raw)).collect::<Vec<_>>(),
                || cutter.cut(n_stretches),
            );
            let mut round = Vec::new();
            for stretch in decoded {
                let (bytes, parts) = stretch?;
                self.piece_bytes += bytes;
                for mut part in parts {
                    self.take(&mut part)?;
                    if !part.batch.is_empty() {
                        round.push(part);
                    }
                }
            }
            self.pending = Some(next?);
            if !round.is_empty() {
                return Ok(Some(round));
            }
        }
    }

    /// Bytes of the files that are done, and in all.
    pub fn progress(&self) -> (u64, u64) {
        let total: u64 = self.events.files.iter().map(|file| file.size).sum();
        ((self.piece_bytes + self.cutter.bytes.load(Ordering::Relaxed)).min(total), total)
    }

    /// Counts a stretch, takes out repeated events and hands its rejects on.
    fn take(&mut self, part: &mut Decoded) -> Result<(), EventsError> {
        self.remove_repeated(part);
        self.rows += part.rows;
        self.anonymous_rows += part.anonymous;
        self.anonymous_value += part.anonymous_value;
        self.future_rows += part.future;
        self.settling_rows += part.settling;
        self.unnamed_rows += part.unnamed;
        self.used += part.batch.len() as u64;
        for &time in &part.batch.time {
            self.times = Some(self.times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        }
        for reject in part.rejects.drain(..) {
            self.rejects.add(reject)?;
        }
        Ok(())
    }

    fn remove_repeated(&mut self, part: &mut Decoded) {
        let Some((ids, texts)) = &part.event_ids else { return };
        let keep: Vec<bool> = ids.iter().map(|&id| id == 0 || self.ids.insert(id)).collect();
        if keep.iter().all(|&keep| keep) {
            return;
        }
        let layout = &self.events.layouts[part.file];
        for row in (0..keep.len()).filter(|&row| !keep[row]) {
            part.rejects.push(Reject {
                file: layout.name.clone(),
                row: part.row_numbers[row],
                reason: RejectReason::RepeatedEventId,
                column: layout.column(Role::EventId),
                found: shortened(texts.value(row).as_bytes()),
            });
        }
        part.rejects.sort_by_key(|reject| reject.row);
        retain(part, &keep);
    }

    /// What became of the rows, with the rejects file in its place.
    ///
    /// # Errors
    /// More unusable rows than `max_reject_share` allows; no event left; files that cannot be read
    /// again for their fingerprints.
    pub fn finish(self) -> Result<ReadSummary, EventsError> {
        let max_share = self.events.config.events.max_reject_share;
        let as_of = self.plan.as_of;
        let summary = self.summary()?;
        if summary.reject_share() > max_share {
            return Err(EventsError::TooManyRejects {
                rejected: summary.rejected(),
                rows: summary.judged(),
                max_share,
                by_reason: summary.rejects.into_values().collect(),
                kept: summary.rejects_file,
            });
        }
        if summary.used > 0 {
            return Ok(summary);
        }
        let left_out = summary.future_rows + summary.settling_rows;
        match as_of {
            Some(as_of) if left_out > 0 => Err(EventsError::NothingBefore {
                as_of,
                rows: left_out,
                future: summary.future_rows,
                settling: summary.settling_rows,
            }),
            _ => Err(EventsError::NothingLeft {
                rows: summary.rows,
                rejected: summary.rejected(),
                anonymous: summary.anonymous_rows,
                kept: summary.rejects_file,
            }),
        }
    }

    /// The summary, whatever the number of rejects.
    pub(crate) fn summary(self) -> Result<ReadSummary, EventsError> {
        let files = self.events.files.par_iter().map(fingerprint).collect::<Result<Vec<_>, _>>()?;
        let (rejects, rejects_file) = self.rejects.close()?;
        Ok(ReadSummary {
            rows: self.rows,
            used: self.used,
            anonymous_rows: self.anonymous_rows,
            anonymous_value: self.anonymous_value,
            future_rows: self.future_rows,
            settling_rows: self.settling_rows,
            unnamed_rows: self.unnamed_rows,
            rejects,
            rejects_file,
            first_time: self.times.map(|(first, _)| first),
            last_time: self.times.map(|(_, last)| last),
            files,
        })
    }
}

fn fingerprint(file: &EventFile) -> Result<FileFingerprint, EventsError> {
    let mut hasher = blake3::Hasher::new();
    let handle = File::open(&file.path).map_err(FileError::at("read", &file.path))?;
    hasher.update_reader(handle).map_err(FileError::at("read", &file.path))?;
    Ok(FileFingerprint { name: file.name.clone(), bytes: file.size, blake3: hasher.finalize().to_hex().to_string() })
}

/// The events of a stretch, and the bytes of a Parquet file that it stands for.
fn decode(events: &Events, plan: &Plan, raw: Raw) -> Result<(u64, Vec<Decoded>), EventsError> {
    match raw {
        Raw::Piece { file: index, piece } => {
            let (file, layout) = (&events.files[index], &events.layouts[index]);
            let Access::Parquet(parquet) = &events.access[index] else {
                unreachable!("only Parquet files are cut into pieces")
            };
            let wanted = wanted(layout);
            let mut first_row = piece.first_row;
            let mut parts = Vec::new();
            for batch in parquet.read(file, piece, &wanted)? {
                let part = columns::decode(plan, layout, &batch, &wanted, first_row);
                parts.push(part.map_err(|source| damaged(file, source))?);
                first_row += batch.num_rows() as u64;
            }
            let share = piece.rows as f64 / parquet.n_rows().max(1) as f64;
            Ok(((file.size as f64 * share) as u64, parts))
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
                    let read = wanted(layout);
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
