//! One customer explained, from old partitions, a bundle and the customer's own events.

mod error;

use std::path::{Path, PathBuf};

use super::reading::{Reading, read_any};
use super::run::{is_read_once, missing_attributes};
use super::stored;
use crate::bundle::Bundle;
use crate::error::Error;
use crate::labels::Target;
use crate::lists::{ListFiles, Lists};
use crate::progress::Observer;
use crate::scores::explain::{Change, Explanation, HistoryRow, Look, Looks, features, predictions, reasons};
use crate::scores::row::ScoreRow;
use crate::scores::{ScoreManifest, partitions};
use crate::storage::Workplace;
use crate::time::{Day, Zone};
use crate::timeline::{Budget, TimelineStore, Timelines};

pub use error::ExplainError;

/// What `explain` is asked to do.
#[derive(Debug, Clone)]
pub struct ExplainOptions {
    /// The customer, under the present name or a former one.
    pub customer: String,
    /// The day; that of the newest partition when absent.
    pub as_of: Option<Day>,
    /// Another day: why predictions have changed between the two.
    pub against: Option<Day>,
    /// Folder of the partitions.
    pub scores: PathBuf,
    /// `models/<name>`, where the bundles of the partitions are found, or one bundle; without it, what the partitions say
    /// is told.
    pub bundle: Option<PathBuf>,
    /// Files, folders or globs of events; only the customer's are kept.
    pub events: Vec<String>,
    /// The same of what is known of customers beside their events; the one of the settings when empty.
    pub attributes: Vec<String>,
    /// Lists of customers; those of the bundle's settings where none is named.
    pub lists: ListFiles,
    /// Folder of a timeline store, which takes new files of events but is not made or built anew; events are read whole
    /// without one.
    pub store: Option<PathBuf>,
    /// Score columns to take apart; all that stand alone when empty.
    pub columns: Vec<String>,
}

/// A partition, and the customer's row of it.
struct Written {
    day: Day,
    manifest: ScoreManifest,
    row: Option<ScoreRow>,
}

/// The bundle of a day: the one that made its partition, or the one in use.
fn bundle_of(folder: &Path, day: Day, made_by: Option<String>) -> Result<Bundle, Error> {
    let Some(made_by) = made_by else { return Ok(Bundle::load(folder)?) };
    // `models/NAME`, or another bundle of it.
    let beside = folder.parent().map(|parent| parent.join(&made_by));
    for candidate in [Some(folder.join(&made_by)), beside].into_iter().flatten() {
        if candidate.join("manifest.json").is_file() {
            return Ok(Bundle::load(&candidate)?);
        }
    }
    let bundle = Bundle::load(folder)?;
    if bundle.manifest.bundle_id == made_by {
        return Ok(bundle);
    }
    Err(ExplainError::NoBundle { day, made_by, folder: folder.into() }.into())
}

/// A bundle with what it looks at.
struct Source<'a> {
    bundle: &'a Bundle,
    lists: Lists,
    options: &'a ExplainOptions,
    customer: &'a str,
}

impl Source<'_> {
    /// The timelines of the customer as far as they reach at `as_of`; `None` without an event. And the rows that were read.
    fn read(
        &self,
        as_of: Day,
        store: Option<&mut TimelineStore>,
        observer: &dyn Observer,
    ) -> Result<(Option<Timelines>, u64), Error> {
        let lists = Lists { only: Some(self.customer.to_string()), ..self.lists.clone() };
        let numbers = self.bundle.parameters.numbers();
        let budget = Budget::default();
        let reading = Reading {
            attributes: &self.options.attributes,
            as_of: Some(as_of),
            numbers: Some(&numbers),
            ..Reading::new(&self.options.events, &self.bundle.manifest.config, &lists, &budget).without_fingerprints()
        };
        let (timelines, summary) = read_any(store, &reading, observer)?;
        if let Some(timelines) = &timelines {
            missing_attributes(self.bundle, timelines).iter().for_each(|warning| observer.warn(warning));
        }
        Ok((timelines, summary.rows))
    }

    fn look(&self, timelines: Option<&Timelines>, as_of: Day) -> Result<Option<Look>, Error> {
        let Some(timelines) = timelines else { return Ok(None) };
        let wants = |target: &Target, column: &str| {
            let asked = &self.options.columns;
            if asked.is_empty() { !target.per_group } else { asked.iter().any(|name| name == column) }
        };
        Look::new(self.bundle, timelines, &self.lists.exclusions, as_of, &wants)
    }

    /// At several days, in order; events are read once where what is known at a day can be told from later timelines.
    fn looks(
        &self,
        days: &[Day],
        mut store: Option<&mut TimelineStore>,
        observer: &dyn Observer,
    ) -> Result<(Vec<Option<Look>>, u64), Error> {
        let last = *days.last().expect("a day at least");
        if is_read_once(&self.options.events, &self.bundle.manifest.config)? {
            let (timelines, rows) = self.read(last, store, observer)?;
            let looks = days.iter().map(|day| self.look(timelines.as_ref(), *day)).collect::<Result<_, _>>()?;
            return Ok((looks, rows));
        }
        let mut looks = Vec::new();
        let mut most = 0;
        for &day in days {
            let (timelines, rows) = self.read(day, store.as_deref_mut(), observer)?;
            looks.push(self.look(timelines.as_ref(), day)?);
            most = most.max(rows);
        }
        Ok((looks, most))
    }
}

/// Every partition up to the later of the days that are asked about, with the customer's row, and the days beyond. One of these
/// days must be sound; another one that is damaged is told and passed over.
fn written(
    scores: &Path,
    asked: [Day; 2],
    customer: &str,
    observer: &dyn Observer,
) -> Result<(Vec<Written>, Vec<Day>), Error> {
    let mut found = Vec::new();
    let mut beyond = Vec::new();
    for (day, path) in partitions(scores)? {
        if day > asked[1] {
            beyond.push(day);
            continue;
        }
        let one = ScoreManifest::load(&path).and_then(|manifest| {
            let row = ScoreRow::find(&path, &manifest, customer)?;
            Ok(Written { day, manifest, row })
        });
        match one {
            Ok(one) => found.push(one),
            Err(error) if asked.contains(&day) => return Err(error.into()),
            Err(error) => observer.warn(&format!("{error}: this partition is passed over")),
        }
    }
    Ok((found, beyond))
}

/// The first of later partitions that knows a customer.
fn first_row(scores: &Path, later: &[Day], customer: &str) -> Option<Day> {
    let knows = |day: &&Day| {
        let path = scores.join(format!("as_of={day}"));
        let found = ScoreManifest::load(&path).and_then(|manifest| ScoreRow::find(&path, &manifest, customer));
        matches!(found, Ok(Some(_)))
    };
    later.iter().find(knows).copied()
}

/// The bundles of one or two days, `None` without any; and what they see.
struct Bundles {
    /// Of the later day.
    later: Bundle,
    /// Of the earlier day, when it is another one.
    earlier: Option<Bundle>,
}

impl Bundles {
    fn of(&self, is_earlier: bool) -> &Bundle {
        self.earlier.as_ref().filter(|_| is_earlier).unwrap_or(&self.later)
    }

    /// What is seen on the two days, or on the later one alone; and the rows of events that were read.
    fn look(
        &self,
        options: &ExplainOptions,
        customer: &str,
        from: Option<Day>,
        to: Day,
        observer: &dyn Observer,
    ) -> Result<(Looks, u64), Error> {
        let source =
            |bundle| Ok::<_, Error>(Source { bundle, lists: lists_of(options, Some(bundle))?, options, customer });
        let open = |folder: &Path| {
            stored::refuse_remote(&options.events)
                .map_err(Error::from)
                .and_then(|()| TimelineStore::open_existing(folder))
        };
        let mut store = options.store.as_deref().map(open).transpose()?;
        let mut store = store.as_mut();
        let later = source(&self.later)?;
        let Some(from) = from else {
            let (mut looks, rows) = later.looks(&[to], store, observer)?;
            return Ok((Looks { before: None, between: looks.pop().flatten(), after: None }, rows));
        };
        let earlier = self.earlier.as_ref().map(source).transpose()?;
        let (mut looks, rows) =
            earlier.as_ref().unwrap_or(&later).looks(&[from, to], store.as_deref_mut(), observer)?;
        let (between, before) = (looks.pop().flatten(), looks.pop().flatten());
        let after = match earlier {
            Some(_) => Some(later.looks(&[to], store, observer)?.0.pop().flatten()),
            None => None,
        };
        Ok((Looks { before, between, after }, rows))
    }
}

fn lists_of(options: &ExplainOptions, bundle: Option<&Bundle>) -> Result<Lists, Error> {
    match bundle {
        Some(bundle) => {
            let config = &bundle.manifest.config;
            Lists::read(&options.lists.or(&config.lists), &config.zone())
        }
        None => Lists::read(&options.lists, &Zone::named("UTC").expect("known everywhere")),
    }
}

/// The columns that are to be taken apart.
fn wanted(asked: &[String], targets: &[Target]) -> Result<Vec<String>, ExplainError> {
    let all: Vec<String> = targets.iter().flat_map(Target::columns).collect();
    match asked.iter().find(|column| !all.contains(column)) {
        Some(column) => Err(ExplainError::NoColumn {
            column: column.clone(),
            nearest: crate::config::nearest(column, all.iter().map(String::as_str)),
            columns: all,
        }),
        None if asked.is_empty() => {
            Ok(targets.iter().filter(|target| !target.per_group).flat_map(Target::columns).collect())
        }
        None => Ok(asked.to_vec()),
    }
}

/// What a person should know of what is told.
fn notes(customer: &str, as_of: Day, look: Option<&Look>, written: Option<&Written>, reads: bool) -> Vec<String> {
    let row = written.and_then(|written| written.row.as_ref());
    let differing = look.zip(row).map(|(look, row)| look.differs_from(row)).unwrap_or_default();
    let mut notes = Vec::new();
    if reads && look.is_none() {
        notes.push(format!("The events know nothing of `{customer}` before {as_of}: the partition alone speaks."));
    }
    if let Some(first) = differing.first() {
        notes.push(format!(
            "{} predictions, `{first}` first, are not those of the partition of {as_of}: events, lists or attributes \
             are not what they were when it was written.",
            differing.len()
        ));
    }
    match (look, row, written) {
        (Some(_), None, Some(_)) => notes.push(format!("The partition of {as_of} has no row of `{customer}`.")),
        (Some(_), None, None) => notes.push(format!("There is no partition of {as_of}: ranks are not known.")),
        _ => {}
    }
    notes
}

/// Explains a customer.
///
/// Memory: the customer's own events, and blocks of those of others while they are read.
///
/// # Errors
/// Nobody of that name, or somebody who is to be forgotten; a day of which nothing is there; a bundle, events or lists that
/// cannot be read.
pub fn explain(options: &ExplainOptions, observer: &dyn Observer) -> Result<Explanation, Error> {
    // Of an object store the partitions are fetched; the long tables of categories say nothing more.
    let scores = Workplace::open(&options.scores, |name| name.starts_with("as_of="))?;
    let here = ExplainOptions { scores: scores.folder().into(), ..options.clone() };
    explain_here(&here, &scores.observer(observer)).map_err(|error| scores.explain(error))
}

fn explain_here(options: &ExplainOptions, observer: &dyn Observer) -> Result<Explanation, Error> {
    let scores = &options.scores;
    let days: Vec<Day> = partitions(scores)?.into_iter().map(|(day, _)| day).collect();
    let as_of = options.as_of.or(days.last().copied()).ok_or_else(|| ExplainError::NoDay { scores: scores.clone() })?;
    if options.against == Some(as_of) {
        return Err(ExplainError::SameDay { day: as_of }.into());
    }
    let from = options.against.map(|against| against.min(as_of));
    let to = options.against.map_or(as_of, |against| against.max(as_of));
    let asked = [from.unwrap_or(to), to];
    for day in asked {
        if options.bundle.is_none() && !days.contains(&day) {
            return Err(ExplainError::NoPartition { scores: scores.clone(), day, days }.into());
        }
    }
    let bundle_at = |folder: &Path, day: Day| -> Result<Bundle, Error> {
        let manifest = days.contains(&day).then(|| ScoreManifest::load(&scores.join(format!("as_of={day}"))));
        bundle_of(folder, day, manifest.transpose()?.map(|manifest| manifest.bundle_id))
    };
    let bundles = match &options.bundle {
        None => None,
        Some(folder) => {
            let later = bundle_at(folder, to)?;
            let earlier = from.map(|from| bundle_at(folder, from)).transpose()?;
            let is_another = |bundle: &Bundle| bundle.manifest.bundle_id != later.manifest.bundle_id;
            Some(Bundles { earlier: earlier.filter(is_another), later })
        }
    };
    let bundle = bundles.as_ref().map(|bundles| bundles.of(as_of < to));
    let lists = lists_of(options, bundle)?;
    // Whoever has the name at the end of the history.
    let customer = lists.id_map.customer(&options.customer, as_of.start_micros() - 1).to_string();
    if [&options.customer, &customer].into_iter().any(|id| lists.forget.contains(id)) {
        return Err(ExplainError::Forgotten.into());
    }
    observer.stage("looking through the partitions");
    let (written, beyond) = written(scores, asked, &customer, observer)?;
    let at = |day: Day| written.iter().find(|written| written.day == day);
    let row_at = |day: Day| at(day).and_then(|written| written.row.as_ref());
    let row = row_at(as_of);
    let targets: Vec<Target> = match (bundle, at(as_of)) {
        (Some(bundle), _) => bundle.parameters.targets.iter().map(|fitted| fitted.target.clone()).collect(),
        (None, written) => written.map(|written| written.manifest.targets.clone()).unwrap_or_default(),
    };
    let columns = wanted(&options.columns, &targets)?;
    let seen = bundles.as_ref().map(|bundles| bundles.look(options, &customer, from, to, observer)).transpose()?;
    let (looks, rows) = seen.unzip();
    let look = looks.as_ref().and_then(|looks| if as_of < to { looks.before.as_ref() } else { looks.last() });
    if look.is_none() && row.is_none() {
        return Err(ExplainError::Unknown {
            first_row: first_row(scores, &beyond, &customer),
            customer: options.customer.clone(),
            as_of,
            partitions: written.len() as u64,
            rows,
        }
        .into());
    }
    let mut told = Vec::new();
    if customer != options.customer {
        told.push(format!("`{}` is a name of `{customer}`, by the id map.", options.customer));
    }
    told.extend(notes(&customer, as_of, look, at(as_of), bundle.is_some()));
    let change = from.map(|from| {
        let made_by = |day: Day| match (at(day), &bundles) {
            (Some(written), _) => written.manifest.bundle_id.clone(),
            (None, Some(bundles)) => bundles.of(day < to).manifest.bundle_id.clone(),
            (None, None) => String::new(), // refused above
        };
        let nothing = Looks { before: None, between: None, after: None };
        let looks = looks.as_ref().unwrap_or(&nothing);
        let rows = (row_at(from), row_at(to));
        let columns = columns.iter().map(|column| looks.change(column, rows)).collect();
        Change { from, to, bundles: (made_by(from), made_by(to)), columns }
    });
    let of_partition = |written: &Written| {
        let ScoreManifest { bundle_id, targets, .. } = &written.manifest;
        Some(HistoryRow::new(written.day, bundle_id, targets, written.row.as_ref()?))
    };
    let text = |column: &str| look.map(|look| &look.row).or(row).and_then(|row| row.text(column));
    let all: Vec<&Target> = targets.iter().collect();
    Ok(Explanation {
        as_of,
        bundle_id: text("bundle_id").unwrap_or_default(),
        is_in_partition: row.is_some(),
        status: text("status"),
        lifecycle_stage: text("lifecycle_stage"),
        holdout: text("holdout").map(|text| text == "true"),
        excluded_until: text("excluded_until"),
        timeline: look.map(|look| look.timeline.clone()),
        predictions: look.map(|look| &look.row).or(row).map_or_else(Vec::new, |shown| predictions(&all, shown, row)),
        reasons: look.map(|look| &look.row).or(row).map(reasons).unwrap_or_default(),
        features: look.map(|look| look.features.clone()).or(row.map(features)).unwrap_or_default(),
        contributions: look.map_or_else(Vec::new, Look::parts),
        history: written.iter().filter_map(of_partition).collect(),
        change,
        notes: told,
        customer_id: customer,
    })
}
