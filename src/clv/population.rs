//! Customers to learn from, and what they did later.

use super::EventsSource;
use super::covariates::Described;
use super::error::ClvError;
use crate::error::Error;
use crate::lists::{ListFiles, Lists};
use crate::models::btyd::{BtydError, Histories, Rfm, Spend};
use crate::models::occurrence::{Subject, SubjectReader};
use crate::pipeline::{Reading, read_timelines};
use crate::progress::Observer;
use crate::time::Day;
use crate::timeline::{History, Partition, SpillError, Timelines};

/// Histories of customers up to a day, in the order of the timelines or of the table.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub ids: Vec<String>,
    pub rfms: Vec<Rfm>,
    /// Mean of repeat orders, where there are any of known value.
    pub means: Vec<Option<f64>>,
    /// Sum of the logarithms of the days between neighbouring orders; unknown of a table.
    pub ln_gaps: Option<f64>,
    /// What may shift orders and leaving; of a table that was asked for it.
    pub covariates: Option<Described>,
}

impl Sample {
    pub(super) fn histories(&self) -> Histories {
        let histories = Histories::new(&self.rfms);
        match self.ln_gaps {
            Some(sum) => histories.with_ln_gaps(sum),
            None => histories,
        }
    }

    /// Money of those with repeat orders; nobody's where there is no money at all.
    pub(super) fn spends(&self) -> Result<Vec<Spend>, BtydError> {
        let known = self.rfms.iter().zip(&self.means).filter_map(|(history, mean)| Some((history.x(), (*mean)?)));
        let spends: Vec<Spend> = known.map(|(x, mean)| Spend::new(x, mean)).collect::<Result<_, _>>()?;
        Ok(if spends.iter().all(|spend| spend.mean() == 0.0) { Vec::new() } else { spends })
    }
}

/// What the customers of a calibration did in the days after it.
#[derive(Debug)]
pub(super) struct Later {
    pub days: u16,
    /// Days with an order.
    pub orders: Vec<f64>,
    pub values: Vec<f64>,
    /// Day of the first order of each customer, from the first of all.
    pub starts: Vec<f64>,
    /// Repeat orders of all of them up to the end of each week, from the first day of all.
    pub by_week: Vec<(f64, f64)>,
}

/// Customers with their holdout.
#[derive(Debug)]
pub(super) struct Population {
    pub calibration: Sample,
    /// All that was seen, where that is more than the calibration.
    pub later: Option<Sample>,
    pub calibration_end: Option<Day>,
    pub holdout: Option<Later>,
}

impl Population {
    /// All that is known.
    pub(super) fn whole(&self) -> &Sample {
        self.later.as_ref().unwrap_or(&self.calibration)
    }
}

/// A holdout takes this part of the time seen unless told.
const HOLDOUT_PART: i32 = 3;

/// A holdout is no longer than this unless told.
const LONGEST_HOLDOUT: i32 = 365;

/// Without being told, a holdout is only taken from a history of so many days.
const LEAST_DAYS: i32 = 30;

/// One customer with an order.
struct Customer {
    id: String,
    history: History,
    /// Days with an order, ascending.
    days: Vec<Day>,
    /// What was known at the end of the calibration.
    before: Option<History>,
}

/// Events as read, and the days that part them.
pub(super) struct Seen {
    pub timelines: Timelines,
    pub reader: SubjectReader,
    /// The first order of all.
    pub first: Day,
    /// The first day that the calibration does not see.
    pub end: Day,
    pub as_of: Day,
    pub holdout_days: u16,
}

/// Reads events; the last `holdout_days` before `as_of` are kept for judging.
pub(super) fn open(source: &EventsSource, observer: &dyn Observer) -> Result<Seen, Error> {
    let EventsSource { events, config, rejects, budget, .. } = source;
    let lists = Lists::read(&ListFiles::default().or(&config.lists), &config.zone())?;
    let reading = Reading {
        as_of: source.as_of,
        rejects: Some(rejects),
        ..Reading::new(events, config, &lists, budget).without_fingerprints()
    };
    let (timelines, _) = read_timelines(&reading, observer)?;
    let as_of = source.as_of.unwrap_or_else(|| {
        let day = timelines.last_day.plus(1);
        observer.note(&format!("as_of is {day}, the day after the last event"));
        day
    });
    let subject = Subject { event: config.events.order_event.clone(), is_order: true, category: None };
    let reader = subject.reader(&timelines.vocabularies);
    let first = first_order(&timelines, &reader, as_of)?.ok_or(ClvError::Nobody)?;
    let seen = as_of.since(first);
    let holdout_days = match source.holdout_days {
        Some(days) => days,
        None if seen < LEAST_DAYS => {
            observer.note(&format!("{seen} days of orders are too few for a holdout"));
            0
        }
        None => (seen / HOLDOUT_PART).min(LONGEST_HOLDOUT) as u16,
    };
    let end = as_of.plus(-i32::from(holdout_days));
    Ok(Seen { timelines, reader, first, end, as_of, holdout_days })
}

/// Orders of everybody, and what came in the holdout.
pub(super) fn from_events(source: &EventsSource, observer: &dyn Observer) -> Result<Population, Error> {
    let Seen { timelines, reader, first, end, as_of, holdout_days } = open(source, observer)?;
    let seen = as_of.since(first);
    let customers = customers(&timelines, &reader, end, as_of)?;
    let whole = sample(customers.iter().map(|customer| (customer, &customer.history)), as_of)?;
    if holdout_days == 0 {
        return Ok(Population { calibration: whole, later: None, calibration_end: Some(as_of), holdout: None });
    }
    let known = || customers.iter().filter_map(|customer| Some((customer, customer.before.as_ref()?)));
    let calibration = sample(known(), end)?;
    if calibration.rfms.is_empty() {
        return Err(ClvError::HoldoutTooLong { holdout_days, days: seen }.into());
    }
    let count_from = |customer: &Customer, day: Day| customer.days.iter().filter(|&&held| held >= day).count() as f64;
    // Repeat orders by the end of each week.
    let weeks = 1..=seen / DAYS_IN_WEEK;
    let by_week = weeks.map(|week| {
        let day = first.plus(week * DAYS_IN_WEEK);
        let repeats = |customer: &Customer| customer.days.partition_point(|&held| held < day).saturating_sub(1) as f64;
        (f64::from(week * DAYS_IN_WEEK), known().map(|(customer, _)| repeats(customer)).sum())
    });
    let holdout = Later {
        days: holdout_days,
        orders: known().map(|(customer, _)| count_from(customer, end)).collect(),
        values: known().map(|(customer, before)| customer.history.value - before.value).collect(),
        starts: known().map(|(_, before)| f64::from(before.first.since(first))).collect(),
        by_week: by_week.collect(),
    };
    Ok(Population { calibration, later: Some(whole), calibration_end: Some(end), holdout: Some(holdout) })
}

const DAYS_IN_WEEK: i32 = 7;

/// The day of the first order of all.
fn first_order(timelines: &Timelines, reader: &SubjectReader, as_of: Day) -> Result<Option<Day>, SpillError> {
    let firsts = timelines.map_parts(|_, part| {
        let first = |c: usize| reader.history(part.timeline(c), as_of).map(|history| history.first);
        Ok::<_, SpillError>((0..part.customers()).filter_map(first).min())
    })?;
    Ok(firsts.into_iter().flatten().min())
}

/// Everybody with an order before `as_of`, in the order of the timelines.
fn customers(timelines: &Timelines, reader: &SubjectReader, end: Day, as_of: Day) -> Result<Vec<Customer>, SpillError> {
    let of_part = |_: usize, part: &Partition| {
        let one = |c: usize| {
            let timeline = part.timeline(c);
            let history = reader.history(timeline, as_of)?;
            let (days, before) = (reader.days(timeline, as_of), reader.history(timeline, end));
            Some(Customer { id: part.id(c).to_string(), history, days, before })
        };
        Ok::<Vec<Customer>, SpillError>((0..part.customers()).filter_map(one).collect())
    };
    Ok(timelines.map_parts(of_part)?.into_iter().flatten().collect())
}

fn sample<'a>(known: impl Iterator<Item = (&'a Customer, &'a History)>, as_of: Day) -> Result<Sample, BtydError> {
    let mut sample = Sample::default();
    let mut ln_gaps = 0.0;
    for (customer, history) in known {
        sample.ids.push(customer.id.clone());
        sample.rfms.push(Rfm::new(history.repeats(), history.recency(), history.age(as_of))?);
        sample.means.push((history.days > 1).then(|| history.repeat_value()));
        let days = customer.days.iter().filter(|&&day| day < as_of);
        let later = days.clone().skip(1);
        ln_gaps += days.zip(later).map(|(day, next)| f64::from(next.since(*day)).ln()).sum::<f64>();
    }
    sample.ln_gaps = Some(ln_gaps);
    Ok(sample)
}
