//! Days, dates and windows: the only home of date arithmetic.
//!
//! Inside bellwether a moment is *wall time*: microseconds since 1970-01-01 00:00 on the clock of the
//! configured time zone, so that a day always begins at a multiple of [`DAY_MICROS`]. Everything is
//! half-open: a window holds its start and not its end, and an event exactly at `as_of` is future.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ExitCode, Explain};

/// Microseconds in a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A day that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimeError {
    /// Not a date.
    #[error("`{text}` is no date: write it as in `2026-08-21`")]
    BadDate {
        /// What was written.
        text: String,
    },
    /// Not a time zone.
    #[error("`{text}` is no time zone")]
    BadZone {
        /// What was written.
        text: String,
    },
    /// A horizon outside 1 to 730 days.
    #[error("`horizon_days` must be 1 to 730, got {days}")]
    BadHorizon {
        /// What was written.
        days: i64,
    },
}

impl Explain for TimeError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            // As in a container that holds one program and nothing else.
            Self::BadZone { .. } if jiff::tz::db().is_definitively_empty() => {
                vec![
                    "this machine has no time zone database: install the package `tzdata`, or copy `/usr/share/zoneinfo` of \
                     another machine and name it in `TZDIR`"
                        .into(),
                ]
            }
            Self::BadZone { .. } => {
                vec!["use a name of the time zone database, such as `UTC` or `Europe/Vienna`".into()]
            }
            Self::BadDate { .. } | Self::BadHorizon { .. } => Vec::new(),
        }
    }
}

/// A calendar day in the configured time zone, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub i32);

impl Day {
    /// The day of a wall time in microseconds.
    pub fn of_wall(micros: i64) -> Self {
        Self(micros.div_euclid(DAY_MICROS) as i32)
    }

    /// Wall time of the day's first instant, in microseconds.
    pub fn start_micros(self) -> i64 {
        i64::from(self.0) * DAY_MICROS
    }

    /// The day `days` later (earlier when negative).
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// Days from `earlier` to this day.
    pub fn since(self, earlier: Self) -> i32 {
        self.0 - earlier.0
    }

    /// Year, month (1 to 12) and day of the month (1 to 31).
    pub fn civil(self) -> (i16, i8, i8) {
        let date = self.date();
        (date.year(), date.month(), date.day())
    }

    /// Day of the week, 0 = Monday.
    pub fn weekday(self) -> usize {
        (self.0 + 3).rem_euclid(7) as usize // 1970-01-01 was a Thursday
    }

    fn date(self) -> Date {
        // A span of more days than this is refused; dates saturate long before, at the years -9999 and 9999.
        let span = jiff::Span::new().days(i64::from(self.0).clamp(-7_000_000, 7_000_000));
        Date::constant(1970, 1, 1).saturating_add(span)
    }

    /// The day of a civil date; `None` when there is no such date.
    pub fn from_civil(year: i16, month: i8, day: i8) -> Option<Self> {
        let date = Date::new(year, month, day).ok()?;
        Some(Self(Date::constant(1970, 1, 1).until(date).ok()?.get_days()))
    }
}

/// A wall time in microseconds as people write it: the date, and the time to the second unless it is midnight.
pub fn wall_text(micros: i64) -> String {
    let day = Day::of_wall(micros);
    let seconds = (micros - day.start_micros()) / 1_000_000;
    if micros == day.start_micros() {
        return day.to_string();
    }
    format!("{day} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.date(), f)
    }
}

impl FromStr for Day {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::BadDate { text: text.to_string() };
        if text.len() != 10 {
            return Err(bad()); // a date-time would parse as a date and lose its time
        }
        let date: Date = text.parse().map_err(|_| bad())?;
        Self::from_civil(date.year(), date.month(), date.day()).ok_or_else(bad)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Length of a label window in days, 1 to 730.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Horizon(u16);

impl Horizon {
    /// # Errors
    /// Outside 1 to 730 days.
    pub fn new(days: i64) -> Result<Self, TimeError> {
        if (1..=730).contains(&days) { Ok(Self(days as u16)) } else { Err(TimeError::BadHorizon { days }) }
    }

    /// In days.
    pub fn days(self) -> i32 {
        i32::from(self.0)
    }
}

impl<'de> Deserialize<'de> for Horizon {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Days `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First day inside.
    pub start: Day,
    /// First day after.
    pub end: Day,
}

impl Window {
    /// The label window of `horizon` at `as_of`.
    pub fn after(as_of: Day, horizon: Horizon) -> Self {
        Self { start: as_of, end: as_of.plus(horizon.days()) }
    }

    /// Whether a wall time lies inside.
    pub fn holds(self, micros: i64) -> bool {
        self.start.start_micros() <= micros && micros < self.end.start_micros()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// The time zone in which days begin.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: TimeZone,
    is_utc: bool,
}

impl Zone {
    /// # Errors
    /// When the name is not in the time zone database.
    pub fn named(name: &str) -> Result<Self, TimeError> {
        let zone = TimeZone::get(name).map_err(|_| TimeError::BadZone { text: name.to_string() })?;
        Ok(Self { zone, is_utc: name.eq_ignore_ascii_case("utc") })
    }

    /// Whether wall time is UTC.
    pub fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// Wall time of an instant given in microseconds since the epoch, UTC; `None` beyond years -9999 to 9999.
    pub fn wall_of_utc(&self, micros: i64) -> Option<i64> {
        if self.is_utc {
            return Some(micros);
        }
        let instant = jiff::Timestamp::from_microsecond(micros).ok()?;
        micros.checked_add(i64::from(self.zone.to_offset(instant).seconds()) * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_is_a_date_and_a_time_unless_it_is_midnight() {
        let day: Day = "1969-12-31".parse().unwrap();
        assert_eq!(wall_text(day.start_micros()), "1969-12-31");
        assert_eq!(wall_text(day.start_micros() + 1), "1969-12-31 00:00:00");
        assert_eq!(wall_text(-1), "1969-12-31 23:59:59");
        assert_eq!(wall_text(13 * 3_600_000_000 + 62_000_000), "1970-01-01 13:01:02");
    }

    #[test]
    fn days_round_trip_and_know_their_weekday() {
        let day: Day = "1998-01-01".parse().unwrap();
        assert_eq!(day, Day(10_227)); // python: (date(1998,1,1) - date(1970,1,1)).days
        assert_eq!(day.to_string(), "1998-01-01");
        assert_eq!(day.weekday(), 3); // a Thursday
        assert_eq!(Day(-1).to_string(), "1969-12-31");
        assert_eq!(Day(-719_162).to_string(), "0001-01-01");
        assert_eq!(Day(2_932_896).to_string(), "9999-12-31");
        assert_eq!(Day(i32::MAX).to_string(), "9999-12-31");
        assert!("1998-01-01T00:00".parse::<Day>().is_err());
        assert!("1998-02-30".parse::<Day>().is_err());
    }

    #[test]
    fn a_window_is_half_open() {
        let window = Window::after(Day(10), Horizon::new(5).unwrap());
        assert!(window.holds(Day(10).start_micros()));
        assert!(window.holds(Day(15).start_micros() - 1));
        assert!(!window.holds(Day(15).start_micros()));
        assert!(!window.holds(Day(10).start_micros() - 1));
    }

    #[test]
    fn the_day_of_an_instant_depends_on_the_zone() {
        let zone = Zone::named("America/New_York").unwrap();
        // 2024-07-01 03:30 UTC is 2024-06-30 23:30 in New York.
        let utc = 1_719_804_600_000_000;
        assert_eq!(Day::of_wall(zone.wall_of_utc(utc).unwrap()).to_string(), "2024-06-30");
        assert!(Zone::named("Mars/Olympus").is_err());
    }
}
