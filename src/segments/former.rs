//! The memberships of the previous date, read in step with today's.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::counts::{Manifest, Previous, SegmentCounts};
use super::error::SegmentsError;
use crate::error::FileError;
use crate::guard::guarded;
use crate::time::Day;

/// The former partition, at one of its rows.
pub(super) struct Former {
    path: PathBuf,
    rows: ParquetRecordBatchReader,
    batch: Option<(StringArray, StringArray)>,
    row: usize,
    /// Today's position of each former segment; `None` for one that is no longer declared.
    positions: HashMap<String, Option<u16>>,
    /// The customer before the present row's, for the check of the order.
    last: String,
}

impl Former {
    /// Opens the newest complete date before `counts.as_of` below `folder` and notes it in `counts`; `None` when
    /// there is none. A date without `manifest.json` is not complete.
    pub(super) fn open(folder: &Path, counts: &mut SegmentCounts) -> Result<Option<Self>, SegmentsError> {
        let Some((path, manifest)) = newest_before(folder, counts.as_of)? else { return Ok(None) };
        let mut positions: HashMap<String, Option<u16>> = HashMap::new();
        let mut dropped = Vec::new();
        for former in &manifest.segments {
            let position = counts.segments.iter().position(|count| count.segment.name == former.name);
            match position {
                None => dropped.push(former.name.clone()),
                Some(position) => {
                    let count = &mut counts.segments[position];
                    count.redefined = Some(count.segment.predicate() != former.predicate.as_deref());
                    count.entries = Some(0);
                    count.exits = Some(0);
                }
            }
            positions.insert(former.name.clone(), position.map(|position| position as u16));
        }
        counts.previous = Some(Previous { as_of: manifest.as_of, dropped });

        let path = path.join("memberships.parquet");
        let file = File::open(&path).map_err(FileError::at("read the former memberships", &path))?;
        let damaged = |problem: String| SegmentsError::FormerDamaged { path: path.clone(), problem };
        let rows = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file), ParquetError::General);
        let rows = rows.map_err(|error| damaged(error.to_string()))?;
        let mask = ProjectionMask::columns(rows.parquet_schema(), ["customer_id", "segment"]);
        let rows = guarded(|| rows.with_projection(mask).build(), ParquetError::General);
        let rows = rows.map_err(|error| damaged(error.to_string()))?;
        let mut former = Self { path: path.clone(), rows, batch: None, row: 0, positions, last: String::new() };
        former.next_batch()?;
        Ok(Some(former))
    }

    /// Counts the exits of former customers before `id` (of all when `None`), then the entries and exits of `id`,
    /// who is in `today` (positions, ascending). Must be called with ascending ids.
    pub(super) fn step(
        &mut self,
        id: Option<&str>,
        today: &[u16],
        counts: &mut SegmentCounts,
    ) -> Result<(), SegmentsError> {
        let mut were = [0_u64; super::criteria::MAX_SEGMENTS.div_ceil(64)];
        while let Some((ids, names)) = &self.batch {
            let former = ids.value(self.row);
            let order = id.map_or(Ordering::Less, |id| former.cmp(id));
            if order == Ordering::Greater {
                break;
            }
            let name = names.value(self.row);
            let Some(position) = self.positions.get(name) else {
                return Err(self.damaged(format!("`{name}` is not in its manifest")));
            };
            if let Some(position) = *position {
                let stays = order == Ordering::Equal && today.contains(&position);
                if stays {
                    were[usize::from(position) / 64] |= 1 << (position % 64);
                } else if let Some(exits) = &mut counts.segments[usize::from(position)].exits {
                    *exits += 1;
                }
            }
            self.advance()?;
        }
        for &position in today {
            let was = were[usize::from(position) / 64] >> (position % 64) & 1 == 1;
            if let (false, Some(entries)) = (was, &mut counts.segments[usize::from(position)].entries) {
                *entries += 1;
            }
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), SegmentsError> {
        let Some((ids, _)) = &self.batch else { return Ok(()) };
        let (rows, id) = (ids.len(), ids.value(self.row));
        if self.row + 1 < rows {
            self.row += 1;
            if id <= ids.value(self.row) {
                return Ok(());
            }
            let id = id.to_string();
            return Err(self.damaged(format!("`{id}` is out of order")));
        }
        self.last = id.to_string();
        self.next_batch()
    }

    fn next_batch(&mut self) -> Result<(), SegmentsError> {
        self.row = 0;
        self.batch = None;
        loop {
            let next = guarded(|| self.rows.next().transpose().map_err(ParquetError::from), ParquetError::General);
            let batch = match next {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.damaged(error.to_string())),
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let (Some(ids), Some(names)) = (text(&batch, "customer_id"), text(&batch, "segment")) else {
                return Err(self.damaged("`customer_id` and `segment` must be text without nulls".into()));
            };
            if ids.value(0) < self.last.as_str() {
                let id = ids.value(0).to_string();
                return Err(self.damaged(format!("`{id}` is out of order")));
            }
            self.batch = Some((ids, names));
            return Ok(());
        }
    }

    fn damaged(&self, problem: String) -> SegmentsError {
        SegmentsError::FormerDamaged { path: self.path.clone(), problem }
    }
}

fn text(batch: &RecordBatch, column: &str) -> Option<StringArray> {
    let column = batch.column_by_name(column)?.as_any().downcast_ref::<StringArray>()?;
    (column.null_count() == 0).then(|| column.clone())
}

/// The newest complete partition `as_of=…` below `folder` before `as_of`.
fn newest_before(folder: &Path, as_of: Day) -> Result<Option<(PathBuf, Manifest)>, SegmentsError> {
    let mut dates = dates(folder)?;
    dates.retain(|&(date, _)| date < as_of);
    dates.sort();
    for (date, path) in dates.into_iter().rev() {
        let manifest = path.join("manifest.json");
        let text = match std::fs::read(&manifest) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            text => text.map_err(FileError::at("read", &manifest))?,
        };
        let damaged = |problem: String| SegmentsError::FormerDamaged { path: manifest.clone(), problem };
        let read: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if read.as_of != date {
            return Err(damaged(format!("it is of {}", read.as_of)));
        }
        if read.complete {
            return Ok(Some((path, read)));
        }
    }
    Ok(None)
}

/// The folders `as_of=YYYY-MM-DD` below `folder`, in no order; none when it does not exist.
pub(super) fn dates(folder: &Path) -> Result<Vec<(Day, PathBuf)>, FileError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::at("read the folder", folder))?,
    };
    let mut dates = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read the folder", folder))?;
        let name = entry.file_name();
        if let Some(date) = name.to_str().and_then(|name| name.strip_prefix("as_of=")?.parse().ok()) {
            dates.push((date, entry.path()));
        }
    }
    Ok(dates)
}
