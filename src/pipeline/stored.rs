//! Reading with a timeline store: files that are in it are not read again, new ones are added to it.
//!
//! The result is that of a reading of all files. Where the store cannot promise that, it is built anew from the files, or
//! left aside for once; either is told.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rayon::prelude::*;

use super::reading::Outcome;
use crate::error::{Error, ExitCode, FileError};
use crate::events::decode::{Decoded, Plan};
use crate::events::ledger::{Fates, FileLedger};
use crate::events::reader::{Rounds, remove_repeated};
use crate::events::{EventBatch, EventFile, Events, FileFingerprint, ReadLimit, Role};
use crate::features::Inputs;
use crate::lists::{Applied, Lists};
use crate::progress::Observer;
use crate::storage;
use crate::timeline::{
    Additions, Attributes, Budget, KnownAt, Stat, StoreError, StoredFile, TimelineBuilder, TimelineError,
    TimelineStore, set_bytes,
};

/// A file must have rested so long before it is read, or its bytes are compared the next time: times of files may be as
/// coarse as that.
const RESTED_NANOSECONDS: i64 = 2_000_000_000;

/// What is needed for a reading, whether there is a store or not.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) events: &'a Events,
    pub(super) inputs: &'a Inputs,
    pub(super) lists: &'a Lists,
    pub(super) limit: ReadLimit,
    pub(super) rejects: Option<&'a std::path::Path>,
    pub(super) budget: &'a Budget,
    pub(super) observer: &'a dyn Observer,
}

/// Refuses events in an object store: a store of timelines knows files of this machine.
pub(super) fn refuse_remote(events: &[String]) -> Result<(), StoreError> {
    match events.iter().find(|events| storage::is_remote(events)) {
        Some(events) => Err(StoreError::RemoteEvents { events: events.clone() }),
        None => Ok(()),
    }
}

/// What is known of the files that are asked for before any is read.
struct Listing<'a> {
    files: &'a [EventFile],
    stats: Vec<Stat>,
    /// Of each, the file of the store that it is.
    known: Vec<Option<StoredFile>>,
}

/// Reads the new files into the store, and tells what a reading of all of them would tell; gives the attributes back when
/// only such a reading can tell. For the one customer whom the lists may name, the store is never built anew.
pub(super) fn read(
    request: &Request,
    store: &mut TimelineStore,
    attributes: Option<Attributes>,
) -> Result<Result<Outcome, Option<Attributes>>, Error> {
    let Request { events, inputs, limit, observer, .. } = *request;
    let only = request.lists.only.as_deref();
    let everybody = only.map(|_| Lists { only: None, ..request.lists.clone() });
    let request = &Request { lists: everybody.as_ref().unwrap_or(request.lists), ..*request };
    let left_aside = match catch_up(request, store, only.is_none()) {
        Ok(None) => None,
        Ok(Some(why)) => Some(format!("the store is left as it is, and all events are read: {why}")),
        // What is wrong with events that nobody may know of yet is not to be told now.
        Err(error) if error.exit_code() == ExitCode::DataRejected => {
            observer.warn(&format!("the store is left aside and all events are read: {error}"));
            return Ok(Err(attributes));
        }
        Err(error) => return Err(error),
    };
    let left_aside = left_aside.or_else(|| {
        let why = "events with the same id came in another order than they were known: all events are read";
        (!store.is_sure_at(limit.as_of)).then(|| why.into())
    });
    if let Some(why) = left_aside {
        observer.note(&why);
        return Ok(Err(attributes));
    }
    observer.stage("loading timelines");
    let known_at = limit.as_of.map(|as_of| KnownAt { as_of, settle_days: limit.settle_days });
    let timelines = match only {
        None => store.timelines(known_at, attributes, request.budget),
        Some(customer) => store.timelines_of(customer, known_at, attributes),
    };
    let timelines = match timelines {
        Err(TimelineError::Spill(error)) => return Err(error.into()), // before anything is written
        timelines => timelines,
    };
    let ledgers = store.ledgers();
    let files = store.files().iter().map(|file| (ledgers[&file.number], file.fingerprint.clone()));
    let (summary, Fates { mapped, forgotten }) = events.tell(files, limit, request.rejects, &inputs.extras)?;
    let of_customer = timelines.as_ref().map_or(0, |timelines| timelines.events() as u64);
    let others = only.map_or(0, |_| summary.used - forgotten - of_customer);
    Ok(Ok(Outcome { summary, applied: Applied { mapped, forgotten, others }, timelines: Box::new(move || timelines) }))
}

/// Brings the store to the state of the files; why that cannot be done when it may not be built anew.
fn catch_up(request: &Request, store: &mut TimelineStore, may_rebuild: bool) -> Result<Option<String>, Error> {
    let Request { events, observer, .. } = *request;
    let reading = of_reading(request)?;
    let listing = Listing::of(events, store)?;
    let mut anew = store.reading().is_some_and(|former| former != reading).then(|| {
        "settings, columns, declared features, or lists of customers are not those that it was built with".to_string()
    });
    if anew.is_none() {
        anew = listing.contradiction(store, request);
    }
    if anew.is_none() {
        if let Some(additions) = ingest(request, store, &listing)? {
            return commit(request, store, &reading, listing, additions, false).map(|()| None);
        }
        anew = Some("a new file has events with ids of files that come after it".into());
    }
    if !may_rebuild {
        return Ok(anew);
    }
    let why = anew.expect("just set");
    observer.note(&format!("the timeline store is built anew: {why}"));
    let listing = Listing { known: vec![None; listing.files.len()], ..listing };
    let additions = ingest(request, store, &listing)?.expect("there are no other files that could come after");
    commit(request, store, &reading, listing, additions, true).map(|()| None)
}

/// What the store's content depends on beside the files, as a hash.
fn of_reading(request: &Request) -> Result<String, Error> {
    let Request { events, inputs, lists, .. } = *request;
    let plan = plan(request)?;
    let predicates: Vec<&str> = inputs.conditions.predicates().collect();
    let text = format!("{} {predicates:?} {}", events.of_reading(&plan), lists.of_reading());
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// To decode all rows, known or not.
fn plan(request: &Request) -> Result<Plan, Error> {
    let Request { events, inputs, limit, budget, .. } = *request;
    let names: Vec<&str> = inputs.extras.iter().map(String::as_str).collect();
    let mut plan = events.plan(ReadLimit { as_of: None, ..limit }, false);
    plan.extras = events.planned_extras(&names)?;
    plan.keeps_moments = true;
    plan.piece_rows = budget.piece_rows().unwrap_or(plan.piece_rows);
    Ok(plan)
}

impl<'a> Listing<'a> {
    /// Looks for the files among those of the store: by what the system says of them, and where that differs by their
    /// bytes.
    fn of(events: &'a Events, store: &TimelineStore) -> Result<Self, Error> {
        let files = events.files();
        let mut left: Vec<Option<&StoredFile>> = store.files().iter().map(Some).collect();
        let by_path: HashMap<&str, usize> =
            store.files().iter().enumerate().map(|(at, file)| (file.path.as_str(), at)).collect();
        let mut known = Vec::new();
        let mut stats = Vec::new();
        for file in files {
            let stat = Stat::of(&file.path)?;
            let at = by_path.get(resting_place(file)?.as_str()).copied();
            let same = at.and_then(|at| {
                left[at].take_if(|known| known.is_settled && known.stat == stat && known.partition == file.partition)
            });
            known.push(same.cloned());
            stats.push(stat);
        }
        for (at, file) in files.iter().enumerate().filter(|(at, _)| known[*at].is_none()).collect::<Vec<_>>() {
            let is_like = |of: &StoredFile| of.fingerprint.bytes == stats[at].bytes && of.partition == file.partition;
            if !left.iter().flatten().any(|of| is_like(of)) {
                continue;
            }
            let blake3 = storage::fingerprint(&file.path)?;
            let same = left.iter_mut().find_map(|of| of.take_if(|of| is_like(of) && of.fingerprint.blake3 == blake3));
            known[at] = same.cloned();
        }
        Ok(Self { files, stats, known })
    }

    /// Why the store is not a part of what the files say; `None` when it is.
    fn contradiction(&self, store: &TimelineStore, request: &Request) -> Option<String> {
        let is_left = |file: &&StoredFile| !self.known.iter().flatten().any(|known| known.number == file.number);
        if let Some(file) = store.files().iter().find(is_left) {
            return Some(format!("{} is gone or has changed since it was read", file.path));
        }
        let has_ids = request.events.mapping().has(Role::EventId);
        let order = |file: &StoredFile| store.files().iter().position(|other| other.number == file.number);
        let is_in_order = self.known.iter().flatten().map(order).is_sorted();
        // Of events with the same id the one that is read first is kept.
        (has_ids && !is_in_order).then(|| "its files come in another order, and events have ids".into())
    }

    /// The files as the store is to know them.
    fn stored(
        self,
        store: &TimelineStore,
        first_number: u32,
        mut read: BTreeMap<u32, FileFingerprint>,
    ) -> Result<Vec<StoredFile>, Error> {
        let mut number = first_number;
        let mut all = Vec::new();
        for ((file, stat), known) in self.files.iter().zip(self.stats).zip(self.known) {
            let (number, fingerprint) = match known {
                Some(known) => (known.number, FileFingerprint { name: file.name.clone(), ..known.fingerprint }),
                None => {
                    number += 1;
                    (number - 1, read.remove(&(number - 1)).expect("every new file was read"))
                }
            };
            let rested = |taken: i64| stat.modified.saturating_add(RESTED_NANOSECONDS) <= taken;
            all.push(StoredFile {
                number,
                path: resting_place(file)?,
                partition: file.partition.clone(),
                stat,
                is_settled: store.taken_at().is_some_and(rested),
                fingerprint,
            });
        }
        Ok(all)
    }
}

/// Where a file is, without links.
fn resting_place(file: &EventFile) -> Result<String, FileError> {
    let path = std::fs::canonicalize(&file.path).map_err(FileError::at("find", &file.path))?;
    Ok(path.to_string_lossy().into_owned())
}

/// The number of the first file that is not in the store yet.
fn next_number(store: &TimelineStore) -> u32 {
    store.files().iter().map(|file| file.number + 1).max().unwrap_or(0)
}

/// What was read of the new files.
struct Ingested {
    additions: Additions,
    fingerprints: BTreeMap<u32, FileFingerprint>,
}

/// Reads the files that are not in the store; `None` when one of them has an event that is in the store, in a file that
/// comes after it.
fn ingest(request: &Request, store: &TimelineStore, listing: &Listing) -> Result<Option<Ingested>, Error> {
    let Request { events, inputs, lists, limit: ReadLimit { settle_days, .. }, budget, observer, .. } = *request;
    let new: Vec<usize> = (0..listing.files.len()).filter(|&at| listing.known[at].is_none()).collect();
    let is_anew = listing.known.iter().all(Option::is_none);
    let last_known = listing.known.iter().rposition(Option::is_some);
    let first_number = if is_anew { 0 } else { next_number(store) };
    let numbers: HashMap<usize, u32> = new.iter().copied().zip(first_number..).collect();
    let mut ledgers: BTreeMap<u32, FileLedger> =
        numbers.values().map(|&number| (number, FileLedger::default())).collect();
    let mut ids: HashMap<u128, i32> = HashMap::new();
    let mut unsure = Vec::new();
    let mut builder = TimelineBuilder::within(budget.clone());
    let listed = lists.bytes();
    let mut is_first = true;
    let mut rounds = Rounds::new(events, new.clone(), plan(request)?);
    while let Some(mut parts) = rounds.next()? {
        let stored = if is_anew { BTreeMap::new() } else { stored_ids(store, &parts)? };
        for part in &mut parts {
            let number = numbers[&part.file];
            let ledger = ledgers.get_mut(&number).expect("every new file has one");
            ledger.unnamed(part, settle_days);
            let known_from: Vec<i32> = part
                .event_ids
                .iter()
                .flat_map(|_| (0..part.batch.len()).map(|event| part.batch.moment(event).known_from(settle_days)))
                .collect();
            let mut comes_before = false;
            let file = part.file;
            remove_repeated(part, events, |id, event| {
                let from = known_from[event];
                let first = stored.get(&id).copied();
                comes_before |= first.is_some() && last_known.is_some_and(|last| file < last);
                let Some(first) = first.or_else(|| ids.get(&id).copied()) else {
                    ids.insert(id, from);
                    return true;
                };
                if from < first {
                    unsure.push((from, first));
                }
                false
            });
            if comes_before {
                return Ok(None);
            }
            ledger.take(part, inputs.extras.len(), settle_days);
        }
        let apply = |part: &mut Decoded| {
            let mut fates = Vec::new();
            lists.apply_noting(&mut part.batch, |batch, event, fate| fates.push((batch.moment(event), fate)));
            (numbers[&part.file], fates)
        };
        for (number, fates) in parts.par_iter_mut().map(apply).collect::<Vec<_>>() {
            let ledger = ledgers.get_mut(&number).expect("every new file has one");
            fates.into_iter().for_each(|(moment, fate)| ledger.suffer(moment, settle_days, fate));
        }
        let mut batches: Vec<EventBatch> = parts.into_iter().map(|part| part.batch).collect();
        batches.retain(|batch| !batch.is_empty());
        batches.par_iter_mut().try_for_each(|batch| inputs.conditions.mark(batch))?;
        let (done, total) = rounds.progress();
        if std::mem::take(&mut is_first) && done > 0 {
            builder.expect(&batches, total as f64 / done as f64);
        }
        // They take twice as much as in a set: when each is known is kept, too.
        budget.check_ids(2 * ids.len(), done as f64 / total.max(1) as f64)?;
        builder.set_beside(listed + set_bytes(2 * ids.len()));
        builder.append(&batches)?;
        observer.advance(done, total);
    }
    let fingerprints = new.iter().map(|file| numbers[file]).zip(rounds.finish()?).collect();
    let timelines = match builder.finish() {
        Err(TimelineError::Empty) => None,
        timelines => Some(timelines?),
    };
    let additions = Additions { timelines, ledgers, ids: ids.into_iter().collect(), unsure };
    Ok(Some(Ingested { additions, fingerprints }))
}

/// Of the event ids of a round, those that are in the store.
fn stored_ids(store: &TimelineStore, parts: &[Decoded]) -> Result<BTreeMap<u128, i32>, Error> {
    let ids = parts.iter().filter_map(|part| part.event_ids.as_ref()).flat_map(|(ids, _)| ids.iter().copied());
    let mut ids: Vec<u128> = ids.filter(|&id| id != 0).collect();
    ids.par_sort_unstable();
    Ok(store.find_ids(&ids)?)
}

fn commit(
    request: &Request,
    store: &mut TimelineStore,
    reading: &str,
    listing: Listing,
    ingested: Ingested,
    anew: bool,
) -> Result<(), Error> {
    let Ingested { additions, fingerprints } = ingested;
    let Request { events, limit, budget, observer, .. } = *request;
    let (n_new, n_all) = (additions.ledgers.len(), listing.files.len());
    let n_events = additions.timelines.as_ref().map_or(0, |timelines| timelines.events());
    let ended = store.ledgers().values().filter_map(|ledger| ledger.last_day(limit.as_of)).max().filter(|_| !anew);
    let late = ended.map_or(0, |day| additions.ledgers.values().map(|ledger| ledger.rows_before(day)).sum::<u64>());
    let first_number = if anew { 0 } else { next_number(store) };
    let files = listing.stored(store, first_number, fingerprints)?;
    if n_new == 0 && files == store.files() && store.reading().is_some() {
        return Ok(());
    }
    if !events.mapping().has(Role::EventId) {
        doubled(&files, additions.ledgers.keys(), observer);
    }
    observer.stage("adding to the store");
    store.add(reading, files, additions, limit.settle_days, anew)?;
    if n_new > 0 {
        let was = n_all - n_new;
        observer.note(&format!("{n_new} new files with {n_events} events are added to the store, which had {was}"));
    }
    if let Some(ended) = ended.filter(|_| late > 0) {
        observer.note(&format!("{late} of the new rows are late: they happened before {ended}, where the store ended"));
    }
    let merged = store.compact(limit.settle_days, budget)?;
    if merged > 0 {
        observer.note(&format!("{merged} segments of the store are merged into one"));
    }
    Ok(())
}

/// Tells of new files that are copies of others: without ids nothing else shows that their events come twice.
fn doubled<'a>(files: &[StoredFile], new: impl Iterator<Item = &'a u32>, observer: &dyn Observer) {
    let mut first: HashMap<&str, &StoredFile> = HashMap::new();
    let new: Vec<u32> = new.copied().collect();
    for file in files {
        match first.get(file.fingerprint.blake3.as_str()) {
            Some(other) if new.contains(&file.number) || new.contains(&other.number) => {
                observer.warn(&format!("{} has the same bytes as {}: its events count twice", file.path, other.path))
            }
            Some(_) => {}
            None => {
                first.insert(&file.fingerprint.blake3, file);
            }
        }
    }
}
