//! Batches of events become partitions of sorted timelines.
//!
//! Each round of batches is coded and grouped by partition in parallel over batches, then appended in parallel
//! over partitions, batch after batch in file order: no locks, and the same result at any thread count.
//! Memory is bounded by 28 bytes an event (52 with details), the ids, and one partition's copy a thread while
//! sorting; with a [`Budget`], by that.

use rayon::prelude::*;

use super::attributes::Attributes;
use super::budget::Budget;
use super::event::{EventColumns, Shape};
use super::grouped::{Codes, GROUPED_ROWS, Grouped, has_details};
use super::growing::Growing;
use super::sort::{Recode, sort_timelines};
use super::spill::{Spill, SpillError};
use super::vocabulary::Translated;
use super::{NumberColumn, PARTITIONS, Store, Timelines, Vocabularies, Vocabulary};
use crate::error::{ExitCode, Explain, Reason};
use crate::events::{EventBatch, Extra, ExtraValues};
use crate::time::Day;

/// What keeps events from becoming timelines.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// No usable event.
    #[error("no usable event is left")]
    Empty,
    /// A column of names has more distinct values than fit.
    #[error("column `{column}` has more than {limit} distinct values")]
    TooManyNames {
        /// Which.
        column: &'static str,
        /// How many fit.
        limit: usize,
    },
    /// Timelines could not be put aside on disk.
    #[error(transparent)]
    Spill(#[from] SpillError),
}

impl Explain for TimelineError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Empty | Self::TooManyNames { .. } => ExitCode::DataRejected,
            Self::Spill(error) => error.exit_code(),
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Empty => Some(Reason::EmptyAfterCleaning),
            Self::TooManyNames { .. } => None,
            Self::Spill(error) => error.reason(),
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Empty | Self::TooManyNames { .. } => Vec::new(),
            Self::Spill(error) => error.details(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Empty => vec!["`bellwether-train check --events …` tells what became of every row".into()],
            Self::TooManyNames { column, .. } => vec![format!(
                "an identifier may have been taken for `{column}`; set `[events.columns] {column} = \"…\"`, or \"\" to leave it out"
            )],
            Self::Spill(error) => error.hints(),
        }
    }
}

/// Names that fit into 16 bits beside the code of a missing one.
pub(super) const NARROW_LIMIT: usize = u16::MAX as usize;

/// Partitions are not quite even.
const HEADROOM: f64 = 1.1;

/// An estimate from the first rows may be far off.
const MOST_EXPECTED: f64 = 1000.0;

/// Collects batches into timelines.
#[derive(Default)]
pub struct TimelineBuilder {
    growing: Vec<Growing>,
    grouped: Vec<Grouped>,
    vocabularies: Vocabularies,
    numbers: Vec<NumberColumn>,
    shape: Shape,
    n_events: u64,
    times: Option<(i64, i64)>,
    budget: Budget,
    spill: Option<Spill>,
    attributes: Option<Attributes>,
    /// Bytes that are kept elsewhere, and count against the budget.
    beside: usize,
}

impl TimelineBuilder {
    /// Timelines that are put aside on disk, partition by partition, when they outgrow the budget.
    pub fn within(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// What is known of customers beside their events. It stays in memory.
    pub fn with_attributes(mut self, attributes: Option<Attributes>) -> Self {
        self.attributes = attributes;
        self
    }

    /// Tells how many bytes are kept elsewhere: they count against the budget.
    pub fn set_beside(&mut self, bytes: usize) {
        self.beside = bytes;
    }

    /// Appends batches that follow all earlier ones in file order. All of a builder's batches have the same extras
    /// and conditions.
    ///
    /// # Errors
    /// More than 65,534 distinct events, channels, devices or campaigns; a disk that does not take what is put aside.
    pub fn append(&mut self, batches: &[EventBatch]) -> Result<(), TimelineError> {
        let Some(first) = batches.first() else { return Ok(()) };
        self.growing.resize_with(PARTITIONS, Growing::default);
        if self.n_events == 0 {
            let column = |extra: &Extra| NumberColumn {
                name: extra.name.to_string(),
                is_text: matches!(extra.values, ExtraValues::Labels(_)),
            };
            self.numbers = first.extras.iter().map(column).collect();
            self.shape.numbers = self.numbers.len();
            self.shape.conditions = !first.conditions.is_empty();
        }
        if !self.shape.details && batches.iter().any(has_details) {
            self.shape.details = true;
            self.growing.par_iter_mut().for_each(|growing| growing.events.widen(self.shape));
        }
        let vocabularies = &mut self.vocabularies;
        let codes: Vec<Codes> = batches
            .iter()
            .map(|batch| Codes {
                event: Translated::new(&mut vocabularies.event, Some(&batch.event)),
                category: Translated::new(&mut vocabularies.category, batch.category.as_ref()),
                channel: Translated::new(&mut vocabularies.channel, batch.channel.as_ref()),
                device: Translated::new(&mut vocabularies.device, batch.device.as_ref()),
                campaign: Translated::new(&mut vocabularies.campaign, batch.campaign.as_ref()),
            })
            .collect();
        let fits = |column, vocabulary: &Vocabulary| {
            let fits = vocabulary.names().len() < NARROW_LIMIT;
            if fits { Ok(()) } else { Err(TimelineError::TooManyNames { column, limit: NARROW_LIMIT - 1 }) }
        };
        fits("event", &vocabularies.event)?;
        fits("channel", &vocabularies.channel)?;
        fits("device", &vocabularies.device)?;
        fits("campaign", &vocabularies.campaign)?;

        let stretches: Vec<(usize, std::ops::Range<usize>)> = batches
            .iter()
            .enumerate()
            .flat_map(|(index, batch)| {
                let n = batch.len();
                (0..n).step_by(GROUPED_ROWS).map(move |start| (index, start..(start + GROUPED_ROWS).min(n)))
            })
            .collect();
        if self.grouped.len() < stretches.len() {
            self.grouped.resize_with(stretches.len(), Grouped::default);
        }
        let shape = self.shape;
        let grouped = &mut self.grouped[..stretches.len()];
        grouped.par_iter_mut().zip(&stretches).for_each_init(Vec::new, |hashes, (grouped, (index, stretch))| {
            grouped.stretch = stretch.clone();
            grouped.fill(&batches[*index], &codes[*index], shape, hashes);
        });
        let grouped = &*grouped;
        self.growing.par_iter_mut().enumerate().for_each(|(p, growing)| {
            if 2 * grouped.iter().map(|grouped| grouped.len_of(p)).sum::<usize>() > growing.customers.len() {
                growing.fetch();
            }
            for (grouped, (index, _)) in grouped.iter().zip(&stretches) {
                grouped.append_to(growing, &batches[*index], p);
            }
        });
        for (low, high) in grouped.iter().filter_map(|grouped| grouped.times) {
            self.times = Some(self.times.map_or((low, high), |(first, last)| (first.min(low), last.max(high))));
        }
        self.n_events += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let others = self.beside
            + self.attributes.as_ref().map_or(0, Attributes::bytes)
            + batches.iter().map(EventBatch::bytes).sum::<usize>()
            + self.grouped.iter().map(Grouped::bytes).sum::<usize>();
        if let Some(limit) = self.budget.growing_bytes(others)
            && self.growing.iter().map(Growing::bytes).sum::<usize>() > limit
        {
            self.put_aside()?;
        }
        Ok(())
    }

    /// Makes room for `times` as many events as these first batches hold, so that nothing is moved while they come. Room
    /// that is not used costs no memory. With a budget there is none to make.
    pub fn expect(&mut self, first: &[EventBatch], times: f64) {
        if self.budget.bytes.is_some() {
            return;
        }
        let Some(batch) = first.first() else { return };
        let shape = Shape {
            details: first.iter().any(has_details),
            numbers: batch.extras.len(),
            conditions: !batch.conditions.is_empty(),
        };
        let rows: usize = first.iter().map(EventBatch::len).sum();
        let each = (rows as f64 * (times * HEADROOM).clamp(1.0, MOST_EXPECTED)) as usize / PARTITIONS;
        self.growing.resize_with(PARTITIONS, Growing::default);
        self.growing.par_iter_mut().for_each(|growing| {
            growing.owners.reserve(each);
            growing.events.reserve(each, shape);
        });
    }

    /// Moves all that has grown to disk.
    fn put_aside(&mut self) -> Result<(), SpillError> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create(&self.budget)?,
        };
        spill.append(&mut self.growing, self.shape)?;
        self.spill = Some(spill);
        Ok(())
    }

    /// Sorts every timeline.
    ///
    /// # Errors
    /// When there is no event at all; a disk that fails.
    pub fn finish(mut self) -> Result<Timelines, TimelineError> {
        let (first, last) = self.times.ok_or(TimelineError::Empty)?;
        let recode = Recode {
            kind: self.vocabularies.event.sort(),
            category: self.vocabularies.category.sort(),
            channel: self.vocabularies.channel.sort(),
            device: self.vocabularies.device.sort(),
            campaign: self.vocabularies.campaign.sort(),
        };
        drop(self.grouped);
        let (columns, described) =
            self.attributes.as_ref().map_or((Vec::new(), 0), |all| (all.columns().to_vec(), all.customers()));
        let mut with_attributes = 0;
        let (store, n_customers) = if self.spill.is_some() {
            self.grouped = Vec::new();
            let mut spill = self.spill.take().expect("just seen");
            spill.append(&mut self.growing, self.shape)?;
            drop(self.growing);
            let spilled = spill.finish(recode, self.shape, self.attributes.take());
            let n_customers;
            (n_customers, with_attributes) = spilled.count_customers()?;
            (Store::Spilled(Box::new(spilled)), n_customers)
        } else {
            let sort = |room: &mut EventColumns, growing: Growing| sort_timelines(growing, &recode, room);
            let mut partitions: Vec<super::Partition> =
                self.growing.into_par_iter().map_init(EventColumns::default, sort).collect();
            if let Some(attributes) = self.attributes.take() {
                with_attributes = partitions.par_iter_mut().map(|partition| partition.attach(&attributes)).sum();
            }
            let n_customers = partitions.iter().map(super::Partition::customers).sum();
            (Store::Memory(partitions), n_customers)
        };
        Ok(Timelines {
            store,
            vocabularies: self.vocabularies,
            numbers: self.numbers,
            attributes: columns,
            without_events: described - with_attributes,
            first_day: Day::of_wall(first),
            last_day: Day::of_wall(last),
            n_customers,
            n_events: self.n_events as usize,
        })
    }
}
