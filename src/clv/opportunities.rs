//! Periods of the calendar with one opportunity each, and what customers made of them.

use std::fmt;
use std::str::FromStr;

use crate::models::btyd::{BtydError, Opportunities};
use crate::time::Day;

/// A period in which a customer may act, or a contract is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
    /// So many days, counted back from the end of the calibration.
    Days(u16),
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "year" => Ok(Self::Year),
            days => match days.parse::<u16>() {
                Ok(days @ 1..=3650) => Ok(Self::Days(days)),
                _ => Err("write `week`, `month`, `year`, or a number of days from 1 to 3650".into()),
            },
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Year => f.write_str("year"),
            Self::Days(days) => write!(f, "{days} days"),
        }
    }
}

/// The first Monday after 1970-01-01, a Thursday, is the 5th.
const MONDAY: i32 = 4;

impl Period {
    /// Number of the period that a day is in; `end` is the first day after the calibration.
    fn number(self, day: Day, end: Day) -> i32 {
        let (year, month, _) = day.civil();
        match self {
            Self::Week => (day.0 - MONDAY).div_euclid(7),
            Self::Month => 12 * i32::from(year) + i32::from(month) - 1,
            Self::Year => i32::from(year),
            Self::Days(days) => day.since(end).div_euclid(i32::from(days)),
        }
    }

    /// Mean length in days.
    pub(super) fn days(self) -> f64 {
        match self {
            Self::Week => 7.0,
            Self::Month => 365.25 / 12.0,
            Self::Year => 365.25,
            Self::Days(days) => f64::from(days),
        }
    }

    /// The discount rate of a period, given that of a year.
    pub(super) fn rate(self, yearly: f64) -> f64 {
        (self.days() / 365.25 * yearly.ln_1p()).exp_m1()
    }

    /// The complete periods between the one of a customer's first order and `end`, and those with an order. The period that
    /// `end` cuts belongs to what comes later.
    pub(super) fn opportunities(self, days: &[Day], end: Day) -> Result<Opportunities, BtydError> {
        let Some(&first) = days.first() else { return Opportunities::new(0, 0, 0) };
        let (first, end_number) = (self.number(first, end), self.number(end, end));
        let acted = self.acted(days, end, first + 1..end_number);
        let n = (end_number - first - 1).max(0) as u32;
        Opportunities::new(acted.len() as u32, acted.last().map_or(0, |&last| (last - first) as u32), n)
    }

    /// Complete periods from `end` to `as_of`.
    pub(super) fn ahead(self, end: Day, as_of: Day) -> u32 {
        (self.number(as_of, end) - self.number(end, end)).max(0) as u32
    }

    /// In how many of them somebody acted on these days.
    pub(super) fn acts_ahead(self, days: &[Day], end: Day, as_of: Day) -> u32 {
        self.acted(days, end, self.number(end, end)..self.number(as_of, end)).len() as u32
    }

    /// Numbers of the periods in a range that hold one of the days, which ascend.
    fn acted(self, days: &[Day], end: Day, range: std::ops::Range<i32>) -> Vec<i32> {
        let numbers = days.iter().map(|&day| self.number(day, end));
        let mut acted: Vec<i32> = numbers.filter(|number| range.contains(number)).collect();
        acted.dedup();
        acted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(dates: &[&str]) -> Vec<Day> {
        dates.iter().map(|date| date.parse().unwrap()).collect()
    }

    fn counts(period: Period, dates: &[&str], end: &str) -> (u32, u32, u32) {
        period.opportunities(&days(dates), end.parse().unwrap()).unwrap().counts()
    }

    #[test]
    fn opportunities_are_the_complete_periods_after_the_first() {
        let orders = ["2025-01-10", "2025-01-31", "2025-02-01", "2025-02-28", "2025-04-02", "2025-05-03"];
        // February to April; May is cut, and belongs to what comes later.
        assert_eq!(counts(Period::Month, &orders, "2025-05-10"), (2, 3, 3));
        assert_eq!(counts(Period::Month, &orders, "2025-05-01"), (2, 3, 3));
        assert_eq!(counts(Period::Month, &orders[..1], "2025-01-20"), (0, 0, 0));
        assert_eq!(counts(Period::Year, &orders, "2026-01-01"), (0, 0, 0));
        assert_eq!(counts(Period::Year, &["2022-12-31", "2024-06-01"], "2025-01-01"), (1, 2, 2));
        // 2025-01-06 is a Monday.
        assert_eq!(
            counts(Period::Week, &["2025-01-05", "2025-01-06", "2025-01-12", "2025-01-13"], "2025-01-20"),
            (2, 2, 2)
        );
        assert_eq!(counts(Period::Days(10), &["2025-01-01", "2025-01-12", "2025-01-21"], "2025-01-31"), (2, 2, 2));
        assert_eq!(counts(Period::Days(10), &["1969-12-01", "1970-01-02"], "1970-01-05"), (1, 3, 3));
    }

    #[test]
    fn what_comes_later_is_counted_from_the_period_that_was_cut() {
        let (end, as_of): (Day, Day) = ("2025-05-10".parse().unwrap(), "2025-08-01".parse().unwrap());
        assert_eq!(Period::Month.ahead(end, as_of), 3); // May, June, July
        let orders = days(&["2025-04-30", "2025-05-03", "2025-05-20", "2025-07-31"]);
        assert_eq!(Period::Month.acts_ahead(&orders, end, as_of), 2);
        assert_eq!(Period::Week.ahead(end, end), 0);
    }

    #[test]
    fn periods_are_words_or_days() {
        assert_eq!("Month".parse(), Ok(Period::Month));
        assert_eq!("14".parse(), Ok(Period::Days(14)));
        assert!("0".parse::<Period>().is_err() && "fortnight".parse::<Period>().is_err());
        assert!((Period::Year.rate(0.1) - 0.1).abs() < 1e-15);
        assert!(((1.0 + Period::Month.rate(0.1)).powi(12) - 1.1).abs() < 1e-14);
    }
}
