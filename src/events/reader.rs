//! Reading events in rounds: a few stretches at a time, decoded side by side, handed on in file order.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashSet;
use rayon::prelude::*;

use super::batch::EventBatch;
use super::decode::{Decoded, Moment, Plan, retain};
use super::error::EventsError;
use super::exact::ExactSum;
use super::fingerprints::{FileFingerprint, Fingerprints};
use super::formats::parquet::PIECE_ROWS;
use super::open::Events;
use super::rejects::{Reject, RejectReason, Rejects, shortened};
use super::schema::Role;
use super::stretches::{Cutter, Raw, decode};
use super::summary::ReadSummary;
use crate::time::Day;

/// Which events are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadLimit {
    /// Events that happened or were received on this day or later are left out; `None`: nothing is.
    pub as_of: Option<Day>,
    /// So are those of the last days before it.
    pub settle_days: u16,
}

/// Reads events once, in rounds.
pub struct EventReader<'a> {
    rounds: Rounds<'a>,
    ids: HashSet<u128>,
    account: Account,
}

/// Decodes some of the files, in rounds, and takes their fingerprints.
pub(crate) struct Rounds<'a> {
    events: &'a Events,
    pub(crate) plan: Plan,
    cutter: Cutter<'a>,
    pending: Option<Vec<Raw>>,
    fingerprints: Fingerprints<'a>,
    piece_bytes: u64,
    total_bytes: u64,
}

/// What has become of rows so far.
pub(crate) struct Account {
    pub(crate) rejects: Rejects,
    pub(crate) extra_faults: Vec<u64>,
    pub(crate) rows: u64,
    pub(crate) used: u64,
    pub(crate) anonymous_rows: u64,
    pub(crate) anonymous_value: ExactSum,
    pub(crate) future_rows: u64,
    pub(crate) settling_rows: u64,
    pub(crate) unnamed_rows: u64,
    pub(crate) times: Option<(i64, i64)>,
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
        let rounds = Rounds::new(self, (0..self.files.len()).collect(), self.plan(limit, is_checked));
        Ok(EventReader { rounds, ids: HashSet::new(), account: Account::new(rejects, 0)? })
    }
}

impl<'a> Rounds<'a> {
    /// Of the files at these positions, in this order.
    pub(crate) fn new(events: &'a Events, files: Vec<usize>, plan: Plan) -> Self {
        let read = || files.iter().map(|&file| &events.files[file]);
        Self {
            events,
            plan,
            fingerprints: Fingerprints::new(read()),
            piece_bytes: 0,
            total_bytes: read().map(|file| file.size).sum(),
            cutter: Cutter::new(events, files),
            pending: None,
        }
    }

    /// The next few stretches, decoded, in file order; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Decoded>>, EventsError> {
        let threads = rayon::current_num_threads();
        let now = match self.pending.take() {
            Some(stretches) => stretches,
            None => self.cutter.cut(&self.plan, threads)?,
        };
        if now.is_empty() {
            self.pending = Some(now);
            return Ok(None);
        }
        // While the others decode these stretches, one thread cuts the next ones off the file and goes on
        // with the fingerprints.
        let (events, plan, cutter, fingerprints) = (self.events, &self.plan, &mut self.cutter, &mut self.fingerprints);
        let is_decoded = AtomicBool::new(false);
        let (decoded, next) = rayon::join(
            || {
                let decoded = now.into_par_iter().map(|raw| decode(events, plan, raw)).collect::<Vec<_>>();
                is_decoded.store(true, Ordering::Relaxed);
                decoded
            },
            || {
                let next = cutter.cut(plan, threads)?;
                fingerprints.advance(&is_decoded).map(|()| next)
            },
        );
        let mut round = Vec::new();
        for stretch in decoded {
            let (bytes, parts) = stretch?;
            self.piece_bytes += bytes;
            round.extend(parts);
        }
        self.pending = Some(next?);
        Ok(Some(round))
    }

    /// Bytes of the files that are done, and in all.
    pub(crate) fn progress(&self) -> (u64, u64) {
        ((self.piece_bytes + self.cutter.text_bytes()).min(self.total_bytes), self.total_bytes)
    }

    /// Fingerprints of the files, in their order.
    pub(crate) fn finish(self) -> Result<Vec<FileFingerprint>, EventsError> {
        self.fingerprints.finish()
    }
}

impl EventReader<'_> {
    /// The same reading, with these of the [`Events::extras`] in every batch, in that order. No other column
    /// that is mapped to none of ours is read.
    ///
    /// # Errors
    /// A name that is not among them.
    pub fn with_extras<S: AsRef<str>>(mut self, names: &[S]) -> Result<Self, EventsError> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.rounds.plan.extras = self.rounds.events.planned_extras(&names)?;
        self.account.extra_faults = vec![0; names.len()];
        Ok(self)
    }

    /// The same reading, with so many rows of Parquet files at most decoded at a time by each thread: less memory, a little
    /// more work. What is read is the same.
    pub fn in_pieces_of(mut self, rows: usize) -> Self {
        self.rounds.plan.piece_rows = rows.clamp(1, PIECE_ROWS);
        self
    }

    /// The same reading without fingerprints of its files: the summary names no file, and no byte is read only to be
    /// hashed.
    pub fn without_fingerprints(mut self) -> Self {
        self.rounds.fingerprints = Fingerprints::new([]);
        self
    }

    /// Number of ids of events that were met, by which repeated ones are known.
    pub fn ids(&self) -> usize {
        self.ids.len()
    }

    /// The batches of the next few stretches, in file order, none of them empty; `None` at the end.
    /// Each is of at most 131,072 rows or about 4 MiB of text; together they are of about half a million rows,
    /// or 8 MiB of text, for each thread, unless pieces are made smaller.
    ///
    /// # Errors
    /// A file that cannot be read on. Unusable rows are no error here.
    pub fn next_round(&mut self) -> Result<Option<Vec<EventBatch>>, EventsError> {
        let round = self.next_decoded()?;
        Ok(round.map(|round| round.into_iter().map(|decoded| decoded.batch).collect()))
    }

    /// As [`EventReader::next_round`], with what `check` needs beside the batches.
    pub(crate) fn next_decoded(&mut self) -> Result<Option<Vec<Decoded>>, EventsError> {
        while let Some(parts) = self.rounds.next()? {
            let mut round = Vec::new();
            for mut part in parts {
                self.take(&mut part)?;
                if !part.batch.is_empty() {
                    round.push(part);
                }
            }
            if !round.is_empty() {
                return Ok(Some(round));
            }
        }
        Ok(None)
    }

    /// Bytes of the files that are done, and in all.
    pub fn progress(&self) -> (u64, u64) {
        self.rounds.progress()
    }

    /// Counts a stretch, takes out repeated events and hands its rejects on.
    fn take(&mut self, part: &mut Decoded) -> Result<(), EventsError> {
        remove_repeated(part, self.rounds.events, |id, _| self.ids.insert(id));
        let account = &mut self.account;
        account.rows += part.rows;
        account.anonymous_rows += part.anonymous;
        account.anonymous_value.merge(&part.anonymous_value);
        account.future_rows += part.future;
        account.settling_rows += part.settling;
        account.unnamed_rows += part.unnamed;
        account.used += part.batch.len() as u64;
        if let Some((low, high)) = part.times {
            account.times = Some(account.times.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
        }
        for &(extra, _) in &part.extra_faults {
            account.extra_faults[extra] += 1;
        }
        for reject in part.rejects.drain(..) {
            account.rejects.add(reject)?;
        }
        Ok(())
    }

    /// What became of the rows, with the rejects file in its place.
    ///
    /// # Errors
    /// More unusable rows than `max_reject_share` allows; no event left; files that cannot be read
    /// again for their fingerprints.
    pub fn finish(self) -> Result<ReadSummary, EventsError> {
        let (as_of, max_share) = (self.rounds.plan.as_of, self.rounds.events.config.events.max_reject_share);
        self.summary()?.judged_by(max_share)?.with_events(as_of)
    }

    /// As [`EventReader::finish`], for rows of which none may be left.
    pub(crate) fn finish_any(self) -> Result<ReadSummary, EventsError> {
        let max_share = self.rounds.events.config.events.max_reject_share;
        self.summary()?.judged_by(max_share)
    }

    /// The summary, whatever the number of rejects.
    pub(crate) fn summary(self) -> Result<ReadSummary, EventsError> {
        let names: Vec<_> = self.rounds.plan.extras.iter().map(|extra| extra.name.clone()).collect();
        let files = self.rounds.finish()?;
        self.account.close(&names, files)
    }
}

/// Takes out the events whose id is not new, and makes rejects of them. `is_new` is asked about each event with an id, in
/// order: its id, and its position.
pub(crate) fn remove_repeated(part: &mut Decoded, events: &Events, mut is_new: impl FnMut(u128, usize) -> bool) {
    let Some((ids, texts)) = &part.event_ids else { return };
    let keep: Vec<bool> = ids.iter().enumerate().map(|(event, &id)| id == 0 || is_new(id, event)).collect();
    if keep.iter().all(|&keep| keep) {
        return;
    }
    let layout = &events.layouts[part.file];
    let mut rejects: Vec<(Reject, Option<Moment>)> = Vec::new();
    for row in (0..keep.len()).filter(|&row| !keep[row]) {
        let reject = Reject {
            file: layout.name.clone(),
            row: part.row_numbers[row],
            reason: RejectReason::RepeatedEventId,
            column: layout.column(Role::EventId),
            found: shortened(texts.value(row).as_bytes()),
        };
        rejects.push((reject, Some(part.batch.moment(row))));
    }
    let moments = part.reject_moments.drain(..).chain(std::iter::repeat(None));
    rejects.splice(0..0, part.rejects.drain(..).zip(moments));
    rejects.sort_by_key(|(reject, _)| reject.row);
    (part.rejects, part.reject_moments) = rejects.into_iter().unzip();
    retain(part, &keep);
}

impl Account {
    /// Of nothing yet. Rejects are kept in the file, when there is one.
    pub(crate) fn new(rejects: Option<&Path>, n_extras: usize) -> Result<Self, EventsError> {
        Ok(Self {
            rejects: Rejects::open(rejects)?,
            extra_faults: vec![0; n_extras],
            rows: 0,
            used: 0,
            anonymous_rows: 0,
            anonymous_value: ExactSum::default(),
            future_rows: 0,
            settling_rows: 0,
            unnamed_rows: 0,
            times: None,
        })
    }

    /// The summary, with the rejects file in its place.
    pub(crate) fn close(
        self,
        extras: &[impl ToString],
        files: Vec<FileFingerprint>,
    ) -> Result<ReadSummary, EventsError> {
        let faults = extras.iter().zip(self.extra_faults).filter(|(_, faults)| *faults > 0);
        let extra_faults = faults.map(|(extra, faults)| (extra.to_string(), faults)).collect();
        let (rejects, rejects_file) = self.rejects.close()?;
        Ok(ReadSummary {
            rows: self.rows,
            used: self.used,
            anonymous_rows: self.anonymous_rows,
            anonymous_value: self.anonymous_value.value(),
            future_rows: self.future_rows,
            settling_rows: self.settling_rows,
            unnamed_rows: self.unnamed_rows,
            extra_faults,
            rejects,
            rejects_file,
            first_time: self.times.map(|(first, _)| first),
            last_time: self.times.map(|(_, last)| last),
            files,
        })
    }
}

impl ReadSummary {
    /// # Errors
    /// More unusable rows than `max_share` allows.
    pub(crate) fn judged_by(self, max_share: f64) -> Result<Self, EventsError> {
        if self.reject_share() > max_share {
            return Err(EventsError::TooManyRejects {
                rejected: self.rejected(),
                rows: self.judged(),
                max_share,
                by_reason: self.rejects.into_values().collect(),
                kept: self.rejects_file,
            });
        }
        Ok(self)
    }

    /// # Errors
    /// No event left.
    pub(crate) fn with_events(self, as_of: Option<Day>) -> Result<Self, EventsError> {
        if self.used > 0 {
            return Ok(self);
        }
        let left_out = self.future_rows + self.settling_rows;
        match as_of {
            Some(as_of) if left_out > 0 => Err(EventsError::NothingBefore {
                as_of,
                rows: left_out,
                future: self.future_rows,
                settling: self.settling_rows,
            }),
            _ => Err(EventsError::NothingLeft {
                rows: self.rows,
                rejected: self.rejected(),
                anonymous: self.anonymous_rows,
                kept: self.rejects_file,
            }),
        }
    }
}
