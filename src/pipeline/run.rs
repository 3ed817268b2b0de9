//! The nightly job: a bundle and events become a dated partition of scores; or one for each of many days.

use std::path::PathBuf;
use std::str::FromStr;

use super::places::Places;
use super::reading::{Reading, read_timelines, read_with};
use super::{day_after, stored};
use crate::bundle::Bundle;
use crate::config::{Config, GatesConfig};
use crate::error::{Error, ExitCode, Explain};
use crate::events::{Events, ReadSummary, Role};
use crate::features::AttributeKind;
use crate::lists::{ListFiles, Lists};
use crate::progress::Observer;
use crate::scores::categories::CategoryOptions;
use crate::scores::diff::Rescored;
use crate::scores::realised::{self, Realised, RealisedOptions};
use crate::scores::{self, ScoreFormat, ScoreManifest, ScoreOptions, Volume};
use crate::segments::Segments;
use crate::time::{Day, TimeError};
use crate::timeline::{Budget, TimelineStore, Timelines};

/// What `run` is asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// `models/<name>` or `models/<name>/<bundle_id>`.
    pub bundle: PathBuf,
    /// Files, folders or globs of events.
    pub events: Vec<String>,
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: Vec<String>,
    /// First day of the predicted windows; the day after the last event when absent.
    pub as_of: Option<Day>,
    /// Folder of the partitions.
    pub out: PathBuf,
    /// Whether every feature is a column, too.
    pub with_features: bool,
    /// Format of the data file.
    pub format: ScoreFormat,
    /// Days before `as_of` that may be without events; those of the gates when absent.
    pub max_gap: Option<u16>,
    /// What must hold before a partition is written; the limits of the bundle when absent.
    pub gates: Option<GatesConfig>,
    /// Whether it is written all the same; the manifest says so.
    pub force: bool,
    /// Lists of customers; those of the bundle's settings where none is named.
    pub lists: ListFiles,
    /// Folder of the memberships of former days, for figures by segment.
    pub memberships: Option<PathBuf>,
    /// Where unusable rows are kept; below `out` when absent.
    pub rejects: Option<PathBuf>,
    /// Criteria that the columns must be able to express; checked before anything is read.
    pub segments: Option<Segments>,
    /// What timelines may take.
    pub budget: Budget,
    /// Which rows the long table of categories has.
    pub categories: CategoryOptions,
    /// Folder of the timeline store; events are read whole without one.
    pub store: Option<PathBuf>,
}

impl RunOptions {
    fn open_store(&self) -> Result<Option<TimelineStore>, Error> {
        let Some(folder) = self.store.as_deref() else { return Ok(None) };
        stored::refuse_remote(&self.events)?;
        TimelineStore::open(folder).map(Some)
    }

    fn lock(&self, observer: &dyn Observer) -> Result<Places, Error> {
        let places = Places::lock(&self.out, self.memberships.as_deref(), observer)?;
        Ok(places.with_rejects(self.rejects.as_deref())?)
    }

    /// The same on folders of this machine.
    fn within(&self, places: &Places) -> Self {
        Self {
            out: places.scores.folder().into(),
            memberships: places.memberships.as_ref().map(|folder| folder.folder().to_path_buf()),
            rejects: places.rejects.as_ref().map(|file| file.path.clone()),
            ..self.clone()
        }
    }

    fn read_lists(&self, bundle: &Bundle) -> Result<Lists, Error> {
        let config = &bundle.manifest.config;
        Lists::read(&self.lists.or(&config.lists), &config.zone())
    }

    /// What can be told before anything is read.
    fn check(&self, bundle: &Bundle) -> Result<(), Error> {
        let Some(segments) = &self.segments else { return Ok(()) };
        if self.format != ScoreFormat::Parquet {
            return Err(SegmentsNeedParquet.into());
        }
        Ok(segments.check(&scores::columns(bundle, self.with_features))?)
    }
}

/// Segments are asked of a format that cannot be searched.
#[derive(Debug, thiserror::Error)]
#[error("segments are evaluated over Parquet scores")]
struct SegmentsNeedParquet;

impl Explain for SegmentsNeedParquet {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was scored and nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["leave `--format` out, or write the other format to another folder, without `--segments`".into()]
    }
}

/// Days from the first to the last, both included, as in `2026-08-01..2026-08-21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Day,
    /// The last.
    pub last: Day,
}

impl Days {
    /// One after another.
    pub fn iter(self) -> impl Iterator<Item = Day> {
        (self.first.0..=self.last.0).map(Day)
    }
}

/// What is written where days are asked for.
#[derive(Debug, thiserror::Error)]
pub enum DaysError {
    /// Not two dates.
    #[error("`{text}` is no stretch of days: write it as in `2026-08-01..2026-08-21`")]
    Form {
        /// What was written.
        text: String,
    },
    /// One of them is no date.
    #[error(transparent)]
    Date(#[from] TimeError),
    /// The wrong way round.
    #[error("{first} is later than {last}")]
    Backwards {
        /// The first.
        first: Day,
        /// The last.
        last: Day,
    },
}

impl FromStr for Days {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, DaysError> {
        let (first, last) = text.split_once("..").ok_or_else(|| DaysError::Form { text: text.into() })?;
        let (first, last) = (first.parse()?, last.parse()?);
        if first > last { Err(DaysError::Backwards { first, last }) } else { Ok(Self { first, last }) }
    }
}

impl RunOptions {
    /// Settings that everything else is the default of: no lists, no segments, the gates of the bundle.
    pub fn new(bundle: PathBuf, events: Vec<String>, out: PathBuf) -> Self {
        Self {
            bundle,
            events,
            attributes: Vec::new(),
            as_of: None,
            out,
            with_features: false,
            format: ScoreFormat::default(),
            max_gap: None,
            gates: None,
            force: false,
            lists: ListFiles::default(),
            memberships: None,
            rejects: None,
            segments: None,
            budget: Budget::default(),
            categories: CategoryOptions::default(),
            store: None,
        }
    }
}

/// Bundle + events → a dated partition of scores; and `realised.json` beside every older partition whose windows have
/// passed.
///
/// # Errors
/// Another run in the same folder; a bundle that cannot be used; events or lists that cannot be read; a gate that is missed
/// and not forced; criteria that the columns cannot express; nobody to score; a folder that cannot be written.
pub fn run(options: &RunOptions, observer: &dyn Observer) -> Result<(ScoreManifest, PathBuf), Error> {
    let bundle = Bundle::load(&options.bundle)?;
    options.check(&bundle)?;
    let mut places = options.lock(observer)?;
    let here = options.within(&places);
    let heard = places.observer(observer);
    let done = run_here(&here, &bundle, &mut places, &heard);
    let (manifest, partition) = places.finish(done, observer)?;
    Ok((manifest, places.scores.address(&partition)))
}

fn run_here(
    options: &RunOptions,
    bundle: &Bundle,
    places: &mut Places,
    observer: &dyn Observer,
) -> Result<(ScoreManifest, PathBuf), Error> {
    let lists = options.read_lists(bundle)?;
    let mut store = options.open_store()?;
    let (timelines, data) = read(options, bundle, &lists, options.as_of, store.as_mut(), observer)?;
    let as_of = options.as_of.unwrap_or_else(|| day_after(&timelines, observer));
    score_day(options, bundle, places, &timelines, data, &lists, as_of, observer)
}

/// A partition for each of the days, in order, as it would have been given then: by the newest bundle of the folder that
/// saw nothing at or after the day (or by the one bundle that is named), from what was known at the day.
///
/// Events are read once for each bundle; once for each day where rows have an `event_id` or `settle_days` is set, because
/// what is left out of the reading then depends on the day. The predictions are those of [`run`] on the day, byte for
/// byte. What a day could not have known is told by `received_at` alone: without it, an event is known when it happens.
///
/// # Errors
/// As [`run`]; then the days before it are written and the others are as they were. A day before the first bundle.
pub fn backfill(
    options: &RunOptions,
    days: Days,
    observer: &dyn Observer,
) -> Result<Vec<(ScoreManifest, PathBuf)>, Error> {
    let folders: Vec<(Day, PathBuf)> = days
        .iter()
        .map(|day| Bundle::folder_at(&options.bundle, day).map(|folder| (day, folder)))
        .collect::<Result<_, _>>()?;
    let mut places: Option<Places> = None;
    let mut store = None;
    let mut written = Vec::new();
    for days in folders.chunk_by(|a, b| a.1 == b.1) {
        let bundle = Bundle::load(&days[0].1)?;
        options.check(&bundle)?;
        let places = match &mut places {
            Some(places) => places,
            none => {
                let locked = none.insert(options.lock(observer)?);
                store = options.open_store()?;
                locked
            }
        };
        let here = options.within(places);
        let heard = places.observer(observer);
        let lists = options.read_lists(&bundle)?;
        let stretches = if is_read_once(&options.events, &bundle.manifest.config)? { days.len() } else { 1 };
        for days in days.chunks(stretches) {
            let last = days.last().map(|(day, _)| *day);
            let timelines = read(&here, &bundle, &lists, last, store.as_mut(), &heard);
            let (timelines, data) = places.finish(timelines, observer)?;
            for (day, _) in days {
                observer.stage(&format!("scoring {day}"));
                let done = score_day(&here, &bundle, places, &timelines, data.clone(), &lists, *day, &heard);
                let (manifest, partition) = places.finish(done, observer)?;
                written.push((manifest, places.scores.address(&partition)));
            }
        }
    }
    Ok(written)
}

/// Whether what is known at a day can be told from timelines that reach further.
pub(super) fn is_read_once(events: &[String], config: &Config) -> Result<bool, Error> {
    let has_ids = Events::open(events, config)?.mapping().has(Role::EventId);
    Ok(!has_ids && config.events.settle_days == 0)
}

fn read(
    options: &RunOptions,
    bundle: &Bundle,
    lists: &Lists,
    as_of: Option<Day>,
    store: Option<&mut TimelineStore>,
    observer: &dyn Observer,
) -> Result<(Timelines, ReadSummary), Error> {
    let rejects = options.rejects.clone().unwrap_or_else(|| options.out.join("rejects.ndjson"));
    let numbers = bundle.parameters.numbers();
    let reading = Reading {
        attributes: &options.attributes,
        as_of,
        rejects: Some(&rejects),
        numbers: Some(&numbers),
        ..Reading::new(&options.events, &bundle.manifest.config, lists, &options.budget)
    };
    read_with(store, &reading, observer)
}

fn score_day(
    options: &RunOptions,
    bundle: &Bundle,
    places: &mut Places,
    timelines: &Timelines,
    data: ReadSummary,
    lists: &Lists,
    as_of: Day,
    observer: &dyn Observer,
) -> Result<(ScoreManifest, PathBuf), Error> {
    let config = &bundle.manifest.config;
    let mut gates = options.gates.clone().unwrap_or_else(|| config.gates.clone());
    gates.max_gap_days = options.max_gap.unwrap_or(gates.max_gap_days);
    let mut warnings = missing_attributes(bundle, timelines);
    let volume = Volume::at(timelines, as_of)?;
    let last = volume.last_day.unwrap_or(timelines.last_day);
    let gap = as_of.since(last) - 1 - i32::from(config.events.settle_days);
    if gap > 0 && (options.force || gap <= i32::from(gates.max_gap_days)) {
        warnings.push(format!(
            "The events stop {gap} days before as_of: the last is of {last}. These days look like silence and raise churn."
        ));
    }
    let fitted_to = bundle.manifest.as_of;
    if fitted_to > as_of {
        warnings.push(format!(
            "The bundle was fitted to events up to {fitted_to} and has seen what it predicts here: these scores prove nothing."
        ));
    }
    for warning in &warnings {
        observer.warn(warning);
    }
    let judged = RealisedOptions {
        scores: options.out.clone(),
        memberships: options.memberships.clone(),
        // Days that may yet be filled prove nothing.
        known_until: as_of
            .plus(-i32::from(config.events.settle_days))
            .min(last.plus(1 + i32::from(gates.max_gap_days))),
    };
    let score = ScoreOptions {
        out: options.out.clone(),
        as_of,
        with_features: options.with_features,
        format: options.format,
        gates,
        force: options.force,
        exclusions: lists.exclusions.clone(),
        categories: options.categories,
    };
    let bytes = scores::bytes(bundle, timelines.customers(), score.with_features);
    options.budget.check_after("predictions of all customers", bytes as f64, timelines.held())?;
    scores::check_gates(bundle, timelines, &volume, &score)?; // before anything is written beside old partitions
    places.fetch_unjudged(judged.known_until)?;
    realised::update(&judged, timelines, observer)?;
    scores::score_known(bundle, timelines, data, &volume, &score, warnings, observer)
}

/// Attributes that a bundle looks at and that are not given, or are something else now.
pub(super) fn missing_attributes(bundle: &Bundle, timelines: &Timelines) -> Vec<String> {
    let is_text = |kind| kind == AttributeKind::Text;
    let mut warnings = Vec::new();
    for attribute in &bundle.parameters.catalogue.attributes {
        let found = timelines.attributes.iter().find(|column| column.name == attribute.column);
        match found {
            Some(column) if is_text(column.kind) == is_text(attribute.kind) => {}
            Some(_) => warnings.push(format!(
                "The bundle looks at the attribute `{}`, which was text when it was fitted and is numbers now, or the \
                 reverse: it is missing.",
                attribute.column
            )),
            None => warnings.push(format!(
                "The bundle looks at the attribute `{}`, which is not given (`--attributes`): it is missing.",
                attribute.column
            )),
        }
    }
    warnings
}

/// What old partitions are held against.
#[derive(Debug, Clone)]
pub struct JudgeOptions {
    /// Bundle whose settings say how events are read.
    pub bundle: PathBuf,
    /// Files, folders or globs of events.
    pub events: Vec<String>,
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: Vec<String>,
    /// The first day that must not be seen; the day after the last event when absent.
    pub as_of: Option<Day>,
    /// Folder of the partitions.
    pub scores: PathBuf,
    /// Folder of the memberships, for figures by segment.
    pub memberships: Option<PathBuf>,
    /// Lists of customers; those of the bundle's settings where none is named.
    pub lists: ListFiles,
    /// What timelines may take.
    pub budget: Budget,
}

impl JudgeOptions {
    fn read(&self, observer: &dyn Observer) -> Result<(Bundle, Timelines), Error> {
        let bundle = Bundle::load(&self.bundle)?;
        let config = &bundle.manifest.config;
        let lists = Lists::read(&self.lists.or(&config.lists), &config.zone())?;
        let numbers = bundle.parameters.numbers();
        let reading = Reading {
            attributes: &self.attributes,
            as_of: self.as_of,
            numbers: Some(&numbers),
            ..Reading::new(&self.events, config, &lists, &self.budget).without_fingerprints()
        };
        let (timelines, _) = read_timelines(&reading, observer)?;
        Ok((bundle, timelines))
    }
}

/// Writes `realised.json` beside every partition with a column whose window has passed and is not judged yet, and returns
/// those that were written. No partition is scored.
///
/// # Errors
/// Another run in the same folder; a bundle or events that cannot be read; partitions that cannot be read or written.
pub fn judge(options: &JudgeOptions, observer: &dyn Observer) -> Result<Vec<Realised>, Error> {
    let mut places = Places::lock(&options.scores, options.memberships.as_deref(), observer)?;
    let heard = places.scores.observer(observer);
    let done = judge_here(options, &mut places, &heard);
    places.scores.finish(done, observer)
}

fn judge_here(options: &JudgeOptions, places: &mut Places, observer: &dyn Observer) -> Result<Vec<Realised>, Error> {
    let (bundle, timelines) = options.read(observer)?;
    let as_of = options.as_of.unwrap_or_else(|| day_after(&timelines, observer));
    let settling = i32::from(bundle.manifest.config.events.settle_days);
    let judged = RealisedOptions {
        scores: places.scores.folder().into(),
        memberships: places.memberships.as_ref().map(|folder| folder.folder().to_path_buf()),
        known_until: as_of.plus(-settling).min(timelines.last_day.plus(1)),
    };
    places.fetch_unjudged(judged.known_until)?;
    realised::update(&judged, &timelines, observer)
}

/// What a bundle says of a day, writing nothing: for telling apart what data and what models have changed.
///
/// # Errors
/// A bundle or events that cannot be read.
pub fn rescore(options: &JudgeOptions, as_of: Day, observer: &dyn Observer) -> Result<Rescored, Error> {
    let (bundle, timelines) = options.read(observer)?;
    observer.stage("scoring by the earlier bundle");
    Rescored::new(&bundle, &timelines, as_of)
}
