//! Reading events in rounds: a few stretches at a time, decoded side by side, handed on in file order.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashSet;
use rayon::prelude::*;

use super::batch::EventBatch;
use super::decode::{Decoded, Plan, retain};
use super::error::EventsError;
use super::fingerprints::Fingerprints;
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
    events: &'a Events,
    plan: Plan,
    cutter: Cutter<'a>,
    pending: Option<Vec<Raw>>,
    rejects: Rejects,
    fingerprints: Fingerprints<'a>,
    extra_faults: Vec<u64>,
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
            cutter: Cutter::new(self),
            pending: None,
            rejects: Rejects::open(rejects)?,
            fingerprints: Fingerprints::new(&self.files),
            extra_faults: Vec::new(),
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
    /// The same reading, with these of the [`Events::extras`] in every batch, in that order. No other column
    /// that is mapped to none of ours is read.
    ///
    /// # Errors
    /// A name that is not among them.
    pub fn with_extras<S: AsRef<str>>(mut self, names: &[S]) -> Result<Self, EventsError> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.plan.extras = self.events.planned_extras(&names)?;
        self.extra_faults = vec![0; names.len()];
        Ok(self)
    }

    /// The batches of the next few stretches, in file order, none of them empty; `None` at the end.
    /// Each is of at most 131,072 rows or about 4 MiB of text; together they are of about a million rows, or
    /// 8 MiB of text, for each thread.
    ///
    /// # Errors
    /// A file that cannot be read on. Unusable rows are no error here.
    pub fn next_round(&mut self) -> Result<Option<Vec<EventBatch>>, EventsError> {
        let round = self.next_decoded()?;
        Ok(round.map(|round| round.into_iter().map(|decoded| decoded.batch).collect()))
    }

    /// As [`EventReader::next_round`], with what `check` needs beside the batches.
    pub(crate) fn next_decoded(&mut self) -> Result<Option<Vec<Decoded>>, EventsError> {
        let n_pieces = rayon::current_num_threads();
        loop {
            let now = match self.pending.take() {
                Some(stretches) => stretches,
                None => self.cutter.cut(&self.plan, n_pieces)?,
            };
            if now.is_empty() {
                self.pending = Some(now);
                return Ok(None);
            }
            // While the others decode these stretches, one thread cuts the next ones off the file and goes on
            // with the fingerprints.
            let (events, plan, cutter, fingerprints) =
                (self.events, &self.plan, &mut self.cutter, &mut self.fingerprints);
            let is_decoded = AtomicBool::new(false);
            let (decoded, next) = rayon::join(
                || {
                    let decoded = now.into_par_iter().map(|raw| decode(events, plan, raw)).collect::<Vec<_>>();
                    is_decoded.store(true, Ordering::Relaxed);
                    decoded
                },
                || {
                    let next = cutter.cut(plan, n_pieces)?;
                    fingerprints.advance(&is_decoded).map(|()| next)
                },
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
        ((self.piece_bytes + self.cutter.text_bytes()).min(total), total)
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
        if let Some((low, high)) = part.times {
            self.times = Some(self.times.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
        }
        for &(extra, _) in &part.extra_faults {
            self.extra_faults[extra] += 1;
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
        let as_of = self.plan.as_of;
        let summary = self.finish_any()?;
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

    /// As [`EventReader::finish`], for rows of which none may be left.
    pub(crate) fn finish_any(self) -> Result<ReadSummary, EventsError> {
        let max_share = self.events.config.events.max_reject_share;
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
        Ok(summary)
    }

    /// The summary, whatever the number of rejects.
    pub(crate) fn summary(self) -> Result<ReadSummary, EventsError> {
        let files = self.fingerprints.finish()?;
        let faults = self.plan.extras.iter().zip(self.extra_faults).filter(|(_, faults)| *faults > 0);
        let extra_faults = faults.map(|(extra, faults)| (extra.name.to_string(), faults)).collect();
        let (rejects, rejects_file) = self.rejects.close()?;
        Ok(ReadSummary {
            rows: self.rows,
            used: self.used,
            anonymous_rows: self.anonymous_rows,
            anonymous_value: self.anonymous_value,
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
