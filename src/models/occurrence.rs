//! How often an event will occur and what it will bring: buy-till-you-die for customers who have done it,
//! the experience of similar newcomers for those who never have.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::btyd::{BtydError, BtydModel, Histories, OrdersModel, Rfm, Scorer, Spend};
use crate::features::is_order_line;
use crate::time::Day;
use crate::timeline::{Event, History, SpillError, Timeline, Timelines, Vocabularies};

/// What an occurrence model is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Event.
    pub event: String,
    /// Whether it is the order event: refunds do not count, and lines of one order are one.
    pub is_order: bool,
    /// Only in this category.
    pub category: Option<String>,
}

/// A subject made ready for the codes of one set of timelines.
pub struct SubjectReader {
    kind: Option<u32>,
    category: Option<Option<u32>>,
    is_order: bool,
}

impl Subject {
    /// Reads histories from timelines with these vocabularies.
    pub fn reader(&self, vocabularies: &Vocabularies) -> SubjectReader {
        SubjectReader {
            kind: vocabularies.event.code(&self.event),
            category: self.category.as_ref().map(|category| vocabularies.category.code(category)),
            is_order: self.is_order,
        }
    }

    /// Histories of everyone who is known to have done it, at `as_of`.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn histories(&self, timelines: &Timelines, as_of: Day) -> Result<Vec<History>, SpillError> {
        let reader = self.reader(&timelines.vocabularies);
        let histories = timelines.map_parts(|_, partition| {
            let of = |customer| reader.history(partition.timeline(customer), as_of);
            Ok::<Vec<History>, SpillError>((0..partition.customers()).filter_map(of).collect())
        })?;
        Ok(histories.concat())
    }
}

impl SubjectReader {
    /// What is known at `as_of`; `None` for a customer who has never done it.
    pub fn history(&self, timeline: Timeline, as_of: Day) -> Option<History> {
        History::of(timeline, as_of, self.is_order, |event| self.counts(event))
    }

    /// The days with an occurrence known at `as_of`, ascending.
    pub fn days(&self, timeline: Timeline, as_of: Day) -> Vec<Day> {
        let known = timeline.known_at(as_of).map(|index| &timeline.events[index]);
        let mut days: Vec<Day> = known.filter(|event| self.counts(event)).map(Event::day).collect();
        days.dedup();
        days
    }

    fn counts(&self, event: &Event) -> bool {
        Some(u32::from(event.kind)) == self.kind
            && self.category.is_none_or(|category| Some(event.category) == category)
            && (!self.is_order || is_order_line(event))
    }
}

fn rfm(history: &History, as_of: Day) -> Result<Rfm, BtydError> {
    Rfm::new(history.repeats(), history.recency(), history.age(as_of))
}

/// The fitted model of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OccurrenceModel {
    /// What it is about.
    pub subject: Subject,
    /// Days with an occurrence, and money of such a day.
    pub btyd: BtydModel,
    /// Occurrences on a day with one: several orders may fall on a day.
    pub occurrences_per_day: f64,
    /// Mean money of a day with one: what the next is worth where nobody has ever repeated.
    pub mean_day_value: f64,
    #[serde(skip)]
    scorers: Scorers,
}

/// Scorers by horizon: what customers share is computed once, however many parts they come in. No part of the model: a
/// copy has its own, and equality does not look at it.
#[derive(Default)]
struct Scorers(Mutex<Vec<(i32, Arc<Scorer>)>>);

impl Scorers {
    fn at(&self, btyd: &BtydModel, horizon_days: i32) -> Result<Arc<Scorer>, BtydError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, scorer)) = held.iter().find(|(days, _)| *days == horizon_days) {
            return Ok(Arc::clone(scorer));
        }
        let scorer = Arc::new(btyd.scorer(f64::from(horizon_days))?);
        held.push((horizon_days, Arc::clone(&scorer)));
        Ok(scorer)
    }
}

impl Clone for Scorers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Scorers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Scorers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scorers")
    }
}

/// What is expected of one customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// Probability of still being a customer.
    pub alive: f64,
    /// Probability of no occurrence in the horizon.
    pub none: f64,
    /// Expected occurrences in the horizon.
    pub occurrences: f64,
    /// Expected money in the horizon.
    pub value: f64,
}

impl OccurrenceModel {
    /// Fitted to everything known at `as_of` ([`Subject::histories`]) with this model of the order process; needs no label
    /// window.
    ///
    /// # Errors
    /// When nobody has done it, or the likelihood has no maximum even with a prior.
    pub fn fit(orders: OrdersModel, subject: &Subject, histories: &[History], as_of: Day) -> Result<Self, BtydError> {
        let rfms: Vec<Rfm> = histories.iter().map(|history| rfm(history, as_of)).collect::<Result<_, _>>()?;
        let value: f64 = histories.iter().map(|history| history.value).sum();
        // Without any money there is nothing to model, and zeros are no prices.
        let repeaters = histories.iter().filter(|history| history.days > 1 && value != 0.0);
        let money: Vec<Spend> =
            repeaters.map(|history| Spend::new(history.repeats(), history.repeat_value())).collect::<Result<_, _>>()?;
        let btyd = orders.fit(&Histories::new(&rfms), &money)?;
        let (occurrences, days) =
            histories.iter().fold((0u64, 0u64), |(o, d), h| (o + u64::from(h.occurrences), d + u64::from(h.days)));
        let days = days.max(1) as f64;
        let subject = subject.clone();
        let (occurrences_per_day, mean_day_value) = (occurrences as f64 / days, value / days);
        Ok(Self { subject, btyd, occurrences_per_day, mean_day_value, scorers: Scorers::default() })
    }

    /// Expectations for histories known at `as_of`, in their order.
    ///
    /// # Errors
    /// A history beyond the range of the model.
    pub fn expect(&self, histories: &[History], as_of: Day, horizon_days: i32) -> Result<Vec<Expectation>, BtydError> {
        let scorer = self.scorer(horizon_days)?;
        let one = |history: &History| {
            let repeat_value = (history.days > 1).then(|| history.repeat_value());
            Ok(self.expectation(&scorer, &rfm(history, as_of)?, repeat_value))
        };
        histories.iter().map(one).collect()
    }

    /// What customers share at a horizon, made when first asked for.
    pub(super) fn scorer(&self, horizon_days: i32) -> Result<Arc<Scorer>, BtydError> {
        self.scorers.at(&self.btyd, horizon_days)
    }

    pub(super) fn expectation(&self, scorer: &Scorer, history: &Rfm, repeat_value: Option<f64>) -> Expectation {
        let score = scorer.score(history, repeat_value);
        Expectation {
            alive: score.alive_probability,
            none: score.no_order_probability,
            occurrences: score.expected_orders * self.occurrences_per_day,
            value: score.expected_value.unwrap_or(score.expected_orders * self.mean_day_value),
        }
    }

    /// Median days to the next occurrence, for histories known at `as_of`, in their order; `None` beyond the model's
    /// range.
    ///
    /// # Errors
    /// A history beyond the range of the model.
    pub fn days_to_next(&self, histories: &[History], as_of: Day) -> Result<Vec<Option<f64>>, BtydError> {
        let process = self.btyd.orders.process();
        let one = |history: &History| Ok(process.median_to_next_order(&rfm(history, as_of)?));
        histories.iter().map(one).collect()
    }
}

/// Tenure in days at which cohorts of newcomers are told apart.
const TENURE_EDGES: [f32; 4] = [7.0, 30.0, 90.0, 180.0];

/// A cohort is drawn to the mean of all as if this many more customers had shown it.
const PRIOR_ROWS: f64 = 50.0;

/// What customers who had never done it did in their label windows, by tenure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenurePrior {
    means: [f64; TENURE_EDGES.len() + 1],
}

impl TenurePrior {
    /// From the tenure in days and the label of each such customer. Without any, `fallback` for all.
    pub fn fit(rows: impl Iterator<Item = (f32, f64)>, fallback: f64) -> Self {
        let mut sums = [(0.0, 0.0); TENURE_EDGES.len() + 1];
        for (tenure, label) in rows {
            let (count, sum) = &mut sums[cohort(tenure)];
            *count += 1.0;
            *sum += label;
        }
        let (count, sum) = sums.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        let mean = if count == 0.0 { fallback } else { sum / count };
        Self { means: sums.map(|(count, sum)| (sum + PRIOR_ROWS * mean) / (count + PRIOR_ROWS)) }
    }

    /// The cohort's mean label.
    pub fn mean(&self, tenure_days: f32) -> f64 {
        self.means[cohort(tenure_days)]
    }
}

fn cohort(tenure: f32) -> usize {
    TENURE_EDGES.partition_point(|&edge| edge <= tenure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cohorts_are_drawn_to_the_mean_of_all() {
        let rows = (0..100).map(|_| (3.0, 1.0)).chain((0..300).map(|_| (400.0, 0.0)));
        let prior = TenurePrior::fit(rows, 0.5);
        // All: 100/400 = 1/4. Youngest: (100 + 50/4) / 150. A cohort that nobody was in: the mean.
        assert_eq!(prior.mean(6.9), 112.5 / 150.0);
        assert_eq!(prior.mean(7.0), 0.25);
        assert_eq!(prior.mean(400.0), 12.5 / 350.0);
        assert_eq!(TenurePrior::fit(std::iter::empty(), 0.5).mean(1.0), 0.5);
    }
}
