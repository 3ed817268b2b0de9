//! When the history of an event begins.
//!
//! Sign-ups are often imported from years before the first order, and a wrong clock puts a few orders long before all others.
//! A cut-off in such years would have nobody to learn from, so cut-offs lie where the events that targets are about have begun.

use std::collections::BTreeMap;

use crate::time::Day;
use crate::timeline::{SpillError, Timelines};

/// An event has begun when this share of its occurrences has happened,
const BEGUN: f64 = 1.0 / 200.0;
/// or so many days before: the first weeks of a shop are quiet.
const QUIET_DAYS: i32 = 28;

/// The first day of each event type.
pub(super) struct Beginnings {
    /// One for each code; `None` of a type that never happened.
    by_kind: Vec<Option<Day>>,
    first_day: Day,
}

impl Beginnings {
    /// Of all event types.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub(super) fn of(timelines: &Timelines) -> Result<Self, SpillError> {
        let kinds = timelines.vocabularies.event.names().len();
        let empty = || vec![BTreeMap::<Day, u64>::new(); kinds];
        let counted = timelines.fold_parts(
            empty,
            |mut days, partition| {
                for customer in 0..partition.customers() {
                    for event in partition.timeline(customer).events {
                        if let Some(days) = days.get_mut(usize::from(event.kind)) {
                            *days.entry(event.day()).or_insert(0) += 1;
                        }
                    }
                }
                days
            },
            |mut one, other| {
                for (one, other) in one.iter_mut().zip(other) {
                    other.into_iter().for_each(|(day, count)| *one.entry(day).or_insert(0) += count);
                }
                one
            },
        )?;
        Ok(Self { by_kind: counted.iter().map(begun).collect(), first_day: timelines.first_day })
    }

    /// The day on which an event type began; of one that never happened, the day of the first event of any type.
    pub(super) fn day(&self, timelines: &Timelines, event: &str) -> Day {
        let kind = timelines.vocabularies.event.code(event);
        kind.and_then(|kind| self.by_kind[kind as usize]).unwrap_or(self.first_day)
    }
}

/// The first day with an occurrence that is at most [`QUIET_DAYS`] before the one by which a [`BEGUN`] share has happened.
fn begun(days: &BTreeMap<Day, u64>) -> Option<Day> {
    let all: u64 = days.values().sum();
    let mut seen = 0;
    let sure = days.iter().find_map(|(&day, count)| {
        seen += count;
        (seen as f64 >= BEGUN * all as f64).then_some(day)
    })?;
    days.range(sure.plus(-QUIET_DAYS)..).next().map(|(&day, _)| day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stragglers_of_a_wrong_clock_are_no_beginning() {
        let steady: BTreeMap<Day, u64> = (100..200).map(|day| (Day(day), 10)).collect();
        assert_eq!(begun(&steady), Some(Day(100)));
        let with_stragglers: BTreeMap<Day, u64> = steady.into_iter().chain([(Day(-9000), 2), (Day(3), 2)]).collect();
        assert_eq!(begun(&with_stragglers), Some(Day(100)));
        let quiet: BTreeMap<Day, u64> = with_stragglers.into_iter().chain([(Day(80), 1)]).collect();
        assert_eq!(begun(&quiet), Some(Day(80)));
        assert_eq!(begun(&BTreeMap::new()), None);
    }

    #[test]
    fn a_few_occurrences_begin_with_the_first() {
        assert_eq!(begun(&BTreeMap::from([(Day(5), 1), (Day(90), 3)])), Some(Day(5)));
    }
}
