//! How many events are known at a day, and on how many customer-days each type came week by week.
//!
//! A customer counts once a day for each type, so that one robot with a million events neither makes a week usual nor, when
//! it stops, empties one.

use crate::time::Day;
use crate::timeline::{Partition, SpillError, Timelines};

/// Weeks whose events say what is usual.
pub(super) const USUAL_WEEKS: usize = 8;

/// Customer-days of a type that a usual week has at least: of 30, chance leaves fewer than 6 once in forty million weeks.
const LEAST_USUAL: u64 = 30;

/// Days before `as_of` that may be without events and are still looked behind.
const MOST_GAP: usize = 35;

const DAYS: usize = 7 * (USUAL_WEEKS + 1) + MOST_GAP;

/// What was known at the start of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// The day.
    pub(crate) as_of: Day,
    /// Customers with an event.
    pub(crate) customers: u64,
    /// Events.
    pub(crate) events: u64,
    /// Day of the last of them.
    pub(crate) last_day: Option<Day>,
    /// Of each type of event, customers who had it so many days before `as_of`; the first is the day before.
    by_age: Vec<[u64; DAYS]>,
}

/// An event type that comes every week, and its last week.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Week<'a> {
    pub(super) event: &'a str,
    /// Customer-days in the last seven days.
    pub(super) now: u64,
    /// Median of the weeks before.
    pub(super) usual: f64,
}

impl Volume {
    /// What `timelines` know at `as_of`.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub(crate) fn at(timelines: &Timelines, as_of: Day) -> Result<Self, SpillError> {
        let kinds = timelines.vocabularies.event.names().len();
        let empty = || Self { as_of, customers: 0, events: 0, last_day: None, by_age: vec![[0; DAYS]; kinds] };
        let count = |mut volume: Self, part: &Partition| {
            // Of each type, whose day was counted last: events of a customer come in order of time.
            let mut counted: Vec<Option<(usize, Day)>> = vec![None; kinds];
            for customer in 0..part.customers() {
                let timeline = part.timeline(customer);
                let before = volume.events;
                for event in timeline.known_at(as_of).map(|index| &timeline.events[index]) {
                    let day = event.day();
                    volume.events += 1;
                    volume.last_day = volume.last_day.max(Some(day));
                    let age = (as_of.since(day) - 1) as usize;
                    let kind = usize::from(event.kind);
                    if let Some(last) = counted.get_mut(kind)
                        && let Some(count) = volume.by_age[kind].get_mut(age)
                        && last.replace((customer, day)) != Some((customer, day))
                    {
                        *count += 1;
                    }
                }
                volume.customers += u64::from(volume.events > before);
            }
            volume
        };
        let add = |mut a: Self, b: Self| {
            a.customers += b.customers;
            a.events += b.events;
            a.last_day = a.last_day.max(b.last_day);
            for (a, b) in a.by_age.iter_mut().zip(&b.by_age) {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            }
            a
        };
        timelines.fold_parts(empty, count, add)
    }

    /// Days before `as_of` without an event.
    pub(super) fn gap(&self) -> i32 {
        self.last_day.map_or(0, |last| self.as_of.since(last) - 1)
    }

    /// The event types that are usual, with the seven days up to the last event (up to `as_of` when the events end more
    /// than five weeks before): enough of them in the median of the eight weeks before, and no week of these below
    /// `ratio` of that median, so that a monthly mailing is no usual event.
    pub(super) fn usual<'a>(&self, timelines: &'a Timelines, ratio: f64) -> Vec<Week<'a>> {
        let skipped = usize::try_from(self.gap()).ok().filter(|gap| *gap <= MOST_GAP).unwrap_or(0);
        let names = timelines.vocabularies.event.names();
        let week = |(event, days): (&'a String, &[u64; DAYS])| {
            let mut weeks = days[skipped..].chunks_exact(7).take(USUAL_WEEKS + 1).map(|week| week.iter().sum::<u64>());
            let now = weeks.next()?;
            let mut before: Vec<u64> = weeks.collect();
            before.sort_unstable();
            let usual = (before[USUAL_WEEKS / 2 - 1] + before[USUAL_WEEKS / 2]) as f64 / 2.0;
            let is_usual = usual >= LEAST_USUAL as f64 && before[0] as f64 >= ratio * usual;
            is_usual.then_some(Week { event, now, usual })
        };
        names.iter().zip(&self.by_age).filter_map(week).collect()
    }
}
