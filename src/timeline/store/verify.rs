//! A look at a store: what it holds, and whether every byte of it is what was written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use rayon::prelude::*;
use serde::Serialize;

use super::segment::{Bytes, Segment};
use super::{Counts, TimelineStore, View};
use crate::error::Error;
use crate::report::format::count;
use crate::time::Day;
use crate::timeline::budget::Budget;
use crate::timeline::spill::SpillError;

/// What a store holds.
#[derive(Debug, Clone, Serialize)]
pub struct StoreState {
    /// Its folder.
    pub store: PathBuf,
    /// Files of events.
    pub files: usize,
    /// Events, known or not.
    pub events: usize,
    /// Customers with an event.
    pub customers: usize,
    /// Day of the first event.
    pub first_day: Option<Day>,
    /// Day of the last event.
    pub last_day: Option<Day>,
    /// Event ids that are remembered.
    pub event_ids: usize,
    /// Segments.
    pub segments: usize,
    /// Bytes of all segments.
    pub bytes: u64,
}

impl StoreState {
    /// Reads all of a store, so that damage is found.
    ///
    /// # Errors
    /// As [`TimelineStore::open`]; a byte that is not what was written.
    pub fn of(folder: &Path, budget: &Budget) -> Result<Self, Error> {
        if !folder.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(crate::error::FileError { action: "open the store", path: folder.into(), source }.into());
        }
        let store = TimelineStore::open(folder)?;
        let check = |segment: &Arc<Segment>| {
            let ids = segment.footer.ids.par_iter().map(|block| block.ids);
            ids.map_init(Bytes::default, |room, section| segment.read(section, room)).collect::<Result<(), _>>()
        };
        store.segments.iter().try_for_each(check)?;
        let (view, _) = View::new(store.segments.clone(), None, None, budget.loaded_bytes())?;
        let mut counts = Counts::default();
        for start in (0..view.parts()).step_by(view.at_once()) {
            let stretch = start..(start + view.at_once()).min(view.parts());
            let one = |part| view.load_and_count(view.part_of(part)).map(|(part, none)| Counts::of(&part, none));
            let all: Vec<Counts> = stretch.into_par_iter().map(one).collect::<Result<_, SpillError>>()?;
            counts = all.into_iter().fold(counts, Counts::and);
        }
        let entries = || store.manifest.iter().flat_map(|manifest| &manifest.segments);
        Ok(Self {
            store: folder.into(),
            files: store.files().len(),
            events: counts.events,
            customers: counts.customers,
            first_day: counts.times.map(|(first, _)| Day::of_wall(first)),
            last_day: counts.times.map(|(_, last)| Day::of_wall(last)),
            event_ids: entries().map(|entry| entry.ids).sum(),
            segments: store.segments.len(),
            bytes: entries().map(|entry| entry.bytes).sum(),
        })
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let day = |day: Option<Day>| day.map_or("–".to_string(), |day| day.to_string());
        format!(
            "{} files, {} events of {} customers, {} to {}\n{} in {} segments, every byte as it was written",
            count(self.files as u64),
            count(self.events as u64),
            count(self.customers as u64),
            day(self.first_day),
            day(self.last_day),
            ByteSize(self.bytes).display().iec(),
            self.segments,
        )
    }
}
