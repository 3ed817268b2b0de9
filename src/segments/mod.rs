//! Segments: who meets a criterion over score and feature columns today.
//!
//! Criteria are SQL predicates in `segments.toml` (contract §5), planned and evaluated by DataFusion as one
//! projection of boolean columns in one streaming pass over a score partition. Only the columns that some
//! predicate names are read. A predicate is a pure function of its row and true, false or null; null, as in SQL,
//! is not true, and a customer for whom it is null is not in the segment. Missing values must therefore be stored
//! as nulls: to SQL, NaN is a number, and larger than any other. Names of columns are lower-case; unquoted names
//! are read as such however they are written. Text, numbers, dates and truth values are not compared with each
//! other, but text written out, as in `as_of < '2026-08-01'`, becomes what it is compared with. A single-precision
//! column is compared with `0.1` in double precision, where its own 0.1 is a little more.
//!
//! The output, `as_of=D/`, has `memberships.parquet` (`customer_id`, `segment`; by customer, then by the order of
//! `segments.toml`) and `manifest.json`, whose presence means *complete*. The same scores and criteria give the
//! same bytes at any number of threads.

mod counts;
mod criteria;
mod error;
mod former;
mod predicate;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::{Error, FileError};
use crate::progress::Observer;
use crate::storage::{self, PartitionWriter, Workplace, fingerprint, replace_folder, write_atomic};
use crate::time::Day;
use former::Former;
use scan::{Chunk, Parts, Scan};

pub use crate::predicate::PredicateProblem;
pub use counts::{Previous, SegmentCount, SegmentCounts};
pub use criteria::{Criterion, MAX_SEGMENTS, Segment, Segments};
pub use error::SegmentsError;

/// Memberships collected before they are written.
const BATCH_ROWS: usize = 8192;

/// Evaluates `segments` over the score partition `partition` (a folder `as_of=D` with `part-*.parquet`, sorted by
/// `customer_id`, and `manifest.json`) and writes the folder `as_of=D` below `out`, replacing a former one whole.
///
/// Returns what was counted, entries and exits against the newest complete earlier date below `out`. Memory is
/// bounded whatever the number of customers: a row group of the needed columns for each thread, a row group of
/// memberships, and the square of the number of segments.
///
/// # Errors
/// A predicate that cannot be planned or fails on a row; a partition that is missing, incomplete, of another date,
/// unsorted or damaged; former memberships that are damaged; a folder that cannot be written. Nothing is written
/// then, and what was there stays.
pub fn evaluate(
    segments: &Segments,
    partition: &Path,
    out: &Path,
    as_of: Day,
    threads: usize,
) -> Result<SegmentCounts, SegmentsError> {
    let scores_hash = check_complete(partition, as_of)?;
    let scan = Scan::new(segments, Parts::open(partition)?)?;
    storage::recover(out)?; // also of other dates, or one killed midway could be missed as the previous one
    let mut counts = SegmentCounts::empty(segments, as_of, scores_hash);
    let former = Former::open(out, &mut counts)?;
    replace_folder(&out.join(format!("as_of={as_of}")), |folder| {
        let mut memberships = Memberships::create(folder, partition, segments, counts, former)?;
        scan.run(threads, |chunk| memberships.add(chunk))?;
        let counts = memberships.finish()?;
        let path = folder.join("manifest.json");
        let manifest = counts.to_manifest().map_err(|error| FileError {
            action: "write",
            path: path.clone(),
            source: error.into(),
        })?;
        write_atomic(&path, |file| std::io::Write::write_all(file, &manifest))?;
        Ok(counts)
    })
}

/// [`evaluate`] over the partition of a day in the folder of partitions `scores`; that folder and `out` may be in object
/// stores.
///
/// # Errors
/// As [`evaluate`]; a store that cannot be read or written.
pub fn update(
    segments: &Segments,
    scores: &Path,
    out: &Path,
    as_of: Day,
    threads: usize,
    observer: &dyn Observer,
) -> Result<SegmentCounts, Error> {
    let day = format!("as_of={as_of}");
    let (partition, manifest) = (format!("{day}/"), format!("{day}/manifest.json"));
    let mut scores = Workplace::open(scores, |name| name.starts_with(&partition))?;
    if !scores.is_listed(&manifest) {
        scores.fetch(|name| name.ends_with("/manifest.json"))?; // what there is instead is told
    }
    let mut out = Workplace::open(out, |name| name.ends_with("/manifest.json"))?;
    if out.is_remote() {
        let former = former::dates(out.folder())?.into_iter().map(|(date, _)| date).filter(|date| *date < as_of).max();
        let former = former.map(|date| format!("as_of={date}/memberships.parquet"));
        out.fetch(|name| Some(name) == former.as_deref())?;
    }
    let done = evaluate(segments, &scores.folder().join(&day), out.folder(), as_of, threads);
    out.finish(done.map_err(|error| scores.explain(error.into())), observer)
}

/// Refuses a partition that is not there, not complete or of another date; returns the hash of its manifest.
fn check_complete(partition: &Path, as_of: Day) -> Result<String, SegmentsError> {
    if !partition.is_dir() {
        let dates = partition.parent().map(former::dates).transpose()?.unwrap_or_default();
        let complete = dates.into_iter().filter(|(_, path)| path.join("manifest.json").is_file());
        let newest = complete.map(|(date, _)| date).max().map(|date| date.to_string());
        return Err(SegmentsError::NoPartition { path: partition.into(), newest });
    }
    let path = partition.join("manifest.json");
    let unusable = |problem: String| SegmentsError::Unusable { path: partition.into(), problem };
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(unusable("has no `manifest.json`: it is not complete".into()));
        }
        text => text.map_err(FileError::at("read", &path))?,
    };
    let manifest: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| unusable(format!("has an unreadable `manifest.json`: {error}")))?;
    if manifest["complete"] != true {
        return Err(unusable("is not complete, says its `manifest.json`".into()));
    }
    if manifest["as_of"].as_str() != Some(as_of.to_string().as_str()) {
        return Err(unusable(format!("is of {}, not of {as_of}, says its `manifest.json`", manifest["as_of"])));
    }
    Ok(fingerprint(&path)?)
}

/// Writes and counts, customer by customer.
struct Memberships<'a> {
    partition: &'a Path,
    segments: &'a Segments,
    counts: SegmentCounts,
    former: Option<Former>,
    writer: PartitionWriter,
    schema: Arc<Schema>,
    ids: StringBuilder,
    names: StringBuilder,
    buffered: usize,
    last: Option<String>,
}

impl<'a> Memberships<'a> {
    fn create(
        folder: &Path,
        partition: &'a Path,
        segments: &'a Segments,
        counts: SegmentCounts,
        former: Option<Former>,
    ) -> Result<Self, FileError> {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![text("customer_id"), text("segment")]));
        let path: PathBuf = folder.join("memberships.parquet");
        let as_of = counts.as_of.to_string();
        let metadata = [
            ("as_of", as_of.as_str()),
            ("segments_hash", counts.segments_hash.as_str()),
            ("scores_hash", counts.scores_hash.as_str()),
        ];
        let writer = PartitionWriter::create(&path, Arc::clone(&schema), &metadata)?;
        let (ids, names) = (StringBuilder::new(), StringBuilder::new());
        Ok(Self { partition, segments, counts, former, writer, schema, ids, names, buffered: 0, last: None })
    }

    fn add(&mut self, chunk: &Chunk) -> Result<(), SegmentsError> {
        for row in 0..chunk.ids.len() {
            let id = chunk.ids.value(row);
            let before = if row == 0 { self.last.as_deref() } else { Some(chunk.ids.value(row - 1)) };
            if let Some(before) = before.filter(|before| *before >= id) {
                let problem = if before == id {
                    format!("has customer `{id}` twice")
                } else {
                    format!("is not sorted by `customer_id`: `{id}` comes after `{before}`")
                };
                return Err(SegmentsError::Unusable { path: self.partition.into(), problem });
            }
            self.count(id, chunk.of(row))?;
        }
        if let Some(end) = chunk.ids.len().checked_sub(1) {
            self.last = Some(chunk.ids.value(end).to_string());
        }
        Ok(())
    }

    fn count(&mut self, id: &str, today: &[u16]) -> Result<(), SegmentsError> {
        let counts = &mut self.counts;
        counts.customers += 1;
        counts.in_no_segment += u64::from(today.is_empty());
        counts.memberships += today.len() as u64;
        for (index, &first) in today.iter().enumerate() {
            let row = &mut counts.overlaps[usize::from(first)];
            for &second in &today[index..] {
                row[usize::from(second)] += 1;
            }
            self.ids.append_value(id);
            self.names.append_value(&self.segments.list()[usize::from(first)].name);
            self.buffered += 1;
        }
        if let Some(former) = &mut self.former {
            former.step(Some(id), today, counts)?;
        }
        if self.buffered >= BATCH_ROWS { self.flush().map_err(SegmentsError::from) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.buffered = 0;
        let columns = vec![Arc::new(self.ids.finish()) as _, Arc::new(self.names.finish()) as _];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("two columns of equal length");
        self.writer.write(&batch)
    }

    fn finish(mut self) -> Result<SegmentCounts, SegmentsError> {
        self.flush()?;
        self.writer.finish()?;
        if let Some(former) = &mut self.former {
            former.step(None, &[], &mut self.counts)?;
        }
        let counts = &mut self.counts;
        for first in 0..counts.segments.len() {
            counts.segments[first].customers = counts.overlaps[first][first];
            for second in first + 1..counts.segments.len() {
                counts.overlaps[second][first] = counts.overlaps[first][second];
            }
        }
        Ok(self.counts)
    }
}
