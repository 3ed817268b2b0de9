//! Customers who are left alone for a while.

use std::path::Path;

use hashbrown::HashMap;

use super::{ALLOCATION_BYTES, ListError, table, text_bytes};
use crate::time::{DAY_MICROS, Day, Zone};

/// The last day that can be written: an exclusion without an end.
const FOR_EVER: Day = Day(2_932_896); // 9999-12-31

/// Stretches in which customers are left alone.
#[derive(Debug, Clone, Default)]
pub struct Exclusions {
    /// First day and the first day after, by customer.
    stretches: HashMap<String, Vec<(Day, Day)>>,
}

impl Exclusions {
    /// Reads `customer_id`, `from`, `to`: `[from, to)`. Without `from` it holds since ever, without `to` for ever; a time
    /// within a day counts as its end, so that nobody is contacted too early.
    pub(super) fn read(path: &Path, zone: &Zone) -> Result<Self, ListError> {
        let mut stretches: HashMap<String, Vec<(Day, Day)>> = HashMap::new();
        for row in table::read(path, ["customer_id"], ["from", "to"])? {
            let up = |time: i64| Day::of_wall(time.saturating_add(DAY_MICROS - 1));
            let from = row.time(1, zone)?.map_or(Day(i32::MIN), Day::of_wall);
            let to = row.time(2, zone)?.map_or(FOR_EVER, up);
            if to < from {
                return Err(row.out_of_order(2));
            }
            stretches.entry(row.needed(0)?.to_string()).or_default().push((from, to));
        }
        Ok(Self { stretches })
    }

    /// The first day on which a customer may be contacted again; `None` when they may be at `as_of`. Stretches that
    /// follow one another without a day between them are one.
    pub fn until(&self, customer: &str, as_of: Day) -> Option<Day> {
        let stretches = self.stretches.get(customer)?;
        let mut until = as_of;
        // Each round adds the stretches that begin before the end of those that are known to hold.
        loop {
            let holds = stretches.iter().filter(|(from, to)| *from <= until && *to > until).map(|(_, to)| *to).max();
            match holds {
                Some(to) => until = to,
                None => return (until > as_of).then_some(until),
            }
        }
    }

    /// Bytes that the list takes.
    pub(super) fn bytes(&self) -> usize {
        let of_stretches =
            |stretches: &Vec<(Day, Day)>| size_of::<(Day, Day)>() * stretches.capacity() + ALLOCATION_BYTES;
        let each = |(customer, stretches)| text_bytes(customer) + of_stretches(stretches);
        self.stretches.allocation_size() + self.stretches.iter().map(each).sum::<usize>()
    }

    /// Whether nobody is left alone.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_holds_from_its_first_day_to_the_day_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exclusions.csv");
        let text = "Customer ID,campaign,from,to\na,spring,2026-03-01,2026-03-10\na,more,2026-03-10T00:00:00Z,2026-03-12\n\
                    b,,,2026-03-05 18:30:00\nc,,2026-03-04,\n7,,2026-03-02,2026-03-03\n";
        std::fs::write(&path, text).unwrap();
        let exclusions = Exclusions::read(&path, &Zone::named("UTC").unwrap()).unwrap();
        let day = |day: &str| day.parse::<Day>().unwrap();
        let until = |customer: &str, at: &str| exclusions.until(customer, day(at)).map(|day| day.to_string());
        assert_eq!(until("a", "2026-02-28"), None);
        assert_eq!(until("a", "2026-03-01").as_deref(), Some("2026-03-12"), "two stretches that follow one another");
        assert_eq!(until("a", "2026-03-11").as_deref(), Some("2026-03-12"));
        assert_eq!(until("a", "2026-03-12"), None, "half-open");
        assert_eq!(until("b", "1999-01-01").as_deref(), Some("2026-03-06"), "to the end of the day");
        assert_eq!(until("c", "2026-03-04").as_deref(), Some("9999-12-31"));
        assert_eq!(until("7", "2026-03-02").as_deref(), Some("2026-03-03"));
        assert_eq!(until("nobody", "2026-03-02"), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exclusions.csv");
        for (text, words) in [
            ("customer_id,from,to\na,soon,2026-03-10\n", "row 1: `from` is \"soon\""),
            ("customer_id,from,to\nb,,\na,2026-03-10,2026-03-09\n", "row 2: `to` is \"2026-03-09\""),
            ("customer_id,from,to\n,2026-03-10,2026-03-19\n", "row 1: `customer_id` is \"\""),
            ("from,to\n2026-03-10,2026-03-19\n", "no column `customer_id`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Exclusions::read(&path, &Zone::named("UTC").unwrap()).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
