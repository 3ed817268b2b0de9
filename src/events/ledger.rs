//! What became of the rows of a file, kept so that it can be told again for any `as_of` without reading the file.
//!
//! A row becomes known on one day and stays known. So it is enough to count by that day; of rejects, each is kept.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decode::{Decoded, Moment};
use super::error::EventsError;
use super::exact::ExactSum;
use super::fingerprints::FileFingerprint;
use super::open::Events;
use super::reader::{Account, ReadLimit};
use super::rejects::{Reject, RejectReason};
use super::summary::ReadSummary;
use crate::time::Day;

/// What lists did to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was given to another customer.
    Mapped,
    /// It is of a customer who is to be forgotten.
    Forgotten,
}

/// The rows of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileLedger {
    rows: u64,
    /// Rows with a readable time by the day on which they happened.
    by_day: BTreeMap<i32, u64>,
    /// What became of these rows by the first day at which they are known.
    by_known: BTreeMap<i32, Counts>,
    /// In the order of reading.
    rejects: Vec<KeptReject>,
}

/// Rows that become known on the same day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    rows: u64,
    used: u64,
    unnamed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    anonymous: u64,
    anonymous_value: ExactSum,
    #[serde(skip_serializing_if = "is_zero")]
    mapped: u64,
    #[serde(skip_serializing_if = "is_zero")]
    forgotten: u64,
    /// By extra.
    extra_faults: Vec<u64>,
    /// First and last time of the used ones.
    times: Option<(i64, i64)>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A reject without its file, whose name may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptReject {
    /// `None`: its time cannot be read, so that it is known always.
    known_from: Option<i32>,
    row: u64,
    reason: RejectReason,
    column: Option<String>,
    found: String,
}

/// What lists did to the events that are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    pub mapped: u64,
    pub forgotten: u64,
}

impl FileLedger {
    fn counts(&mut self, moment: Moment, settle_days: u16) -> &mut Counts {
        self.by_known.entry(moment.known_from(settle_days)).or_default()
    }

    fn happened(&mut self, moment: Moment, settle_days: u16) -> &mut Counts {
        *self.by_day.entry(moment.day).or_default() += 1;
        let counts = self.counts(moment, settle_days);
        counts.rows += 1;
        counts
    }

    /// Counts a stretch that was decoded for no `as_of`, before repeated events are taken out of it.
    pub(crate) fn unnamed(&mut self, part: &Decoded, settle_days: u16) {
        if part.unnamed == 0 {
            return;
        }
        for event in (0..part.batch.len()).filter(|&event| part.batch.event.codes[event] == super::NO_LABEL) {
            self.counts(part.batch.moment(event), settle_days).unnamed += 1;
        }
    }

    /// Counts the same stretch after that, and takes its rejects.
    pub(crate) fn take(&mut self, part: &mut Decoded, n_extras: usize, settle_days: u16) {
        self.rows += part.rows;
        for &(moment, money) in &part.anonymous_moments {
            let counts = self.happened(moment, settle_days);
            counts.anonymous += 1;
            counts.anonymous_value.add(money);
        }
        for (reject, moment) in part.rejects.drain(..).zip(part.reject_moments.drain(..)) {
            if let Some(moment) = moment {
                self.happened(moment, settle_days);
            }
            let Reject { file: _, row, reason, column, found } = reject;
            let known_from = moment.map(|moment| moment.known_from(settle_days));
            self.rejects.push(KeptReject { known_from, row, reason, column, found });
        }
        // Events of one day mostly follow each other: one look-up for many.
        let mut event = 0;
        while event < part.batch.len() {
            let moment = part.batch.moment(event);
            let start = event;
            while event < part.batch.len() && part.batch.moment(event) == moment {
                event += 1;
            }
            let n = (event - start) as u64;
            *self.by_day.entry(moment.day).or_default() += n;
            let counts = self.counts(moment, settle_days);
            counts.rows += n;
            counts.used += n;
            for &time in &part.batch.time[start..event] {
                counts.times = Some(counts.times.map_or((time, time), |(low, high)| (low.min(time), high.max(time))));
            }
        }
        for &(extra, event) in &part.extra_faults {
            let counts = self.counts(part.batch.moment(event), settle_days);
            counts.extra_faults.resize(n_extras, 0);
            counts.extra_faults[extra] += 1;
        }
    }

    /// Counts what lists did to an event.
    pub(crate) fn suffer(&mut self, moment: Moment, settle_days: u16, fate: Fate) {
        let counts = self.counts(moment, settle_days);
        match fate {
            Fate::Mapped => counts.mapped += 1,
            Fate::Forgotten => counts.forgotten += 1,
        }
    }

    /// The last day before `as_of` on which a row happened.
    pub(crate) fn last_day(&self, as_of: Option<Day>) -> Option<Day> {
        let known = self.by_day.range(..as_of.map_or(i32::MAX, |day| day.0));
        known.last().map(|(&day, _)| Day(day))
    }

    /// Rows that happened before a day.
    pub(crate) fn rows_before(&self, day: Day) -> u64 {
        self.by_day.range(..day.0).map(|(_, rows)| rows).sum()
    }

    /// Adds what a reading at `limit` says of the file.
    fn tell(&self, name: &str, limit: ReadLimit, account: &mut Account, fates: &mut Fates) -> Result<(), EventsError> {
        account.rows += self.rows;
        let is_known = |from: i32| limit.as_of.is_none_or(|as_of| from <= as_of.0);
        for counts in self.by_known.iter().filter(|(from, _)| is_known(**from)).map(|(_, counts)| counts) {
            account.used += counts.used;
            account.unnamed_rows += counts.unnamed;
            account.anonymous_rows += counts.anonymous;
            account.anonymous_value.merge(&counts.anonymous_value);
            fates.mapped += counts.mapped;
            fates.forgotten += counts.forgotten;
            for (sum, faults) in account.extra_faults.iter_mut().zip(&counts.extra_faults) {
                *sum += faults;
            }
            if let Some((low, high)) = counts.times {
                account.times =
                    Some(account.times.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
            }
        }
        if let Some(as_of) = limit.as_of {
            let unknown: u64 = self.by_known.iter().filter(|(from, _)| !is_known(**from)).map(|(_, of)| of.rows).sum();
            let settling = as_of.plus(-i32::from(limit.settle_days)).0..as_of.0;
            let settling: u64 = self.by_day.range(settling).map(|(_, rows)| rows).sum();
            account.settling_rows += settling;
            account.future_rows += unknown - settling;
        }
        for reject in self.rejects.iter().filter(|reject| reject.known_from.is_none_or(is_known)) {
            let KeptReject { known_from: _, row, reason, column, found } = reject.clone();
            account.rejects.add(Reject { file: name.into(), row, reason, column, found })?;
        }
        Ok(())
    }
}

impl Events {
    /// The summary that a reading of all files at `limit` gives, from the files' ledgers and fingerprints in their order;
    /// the rejects file in its place.
    ///
    /// # Errors
    /// As [`super::EventReader::finish`].
    pub(crate) fn tell<'a>(
        &self,
        ledgers: impl IntoIterator<Item = (&'a FileLedger, FileFingerprint)>,
        limit: ReadLimit,
        rejects: Option<&Path>,
        extras: &[String],
    ) -> Result<(ReadSummary, Fates), EventsError> {
        let mut account = Account::new(rejects, extras.len())?;
        let mut fates = Fates::default();
        let mut files = Vec::new();
        for (ledger, fingerprint) in ledgers {
            ledger.tell(&fingerprint.name, limit, &mut account, &mut fates)?;
            files.push(fingerprint);
        }
        let summary = account.close(extras, files)?.judged_by(self.config.events.max_reject_share)?;
        Ok((summary.with_events(limit.as_of)?, fates))
    }
}
