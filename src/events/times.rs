//! Moments as files write them, read as wall time (see [`crate::time`]).

mod calendar;

use std::fmt;

use serde::Serialize;

use self::calendar::Cursor;
use crate::time::{DAY_MICROS, Day, Zone};

/// Unit of a count since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Epoch {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
    /// Billionths of a second.
    Nanoseconds,
}

impl Epoch {
    const ALL: [Self; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    /// The plural noun.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    fn micros(self, count: i64) -> Option<i64> {
        match self {
            Self::Nanoseconds => Some(count.div_euclid(1000)),
            _ => count.checked_mul(1_000_000 / self.per_second()),
        }
    }
}

/// Where the year stands and, where it stands last, which of the numbers before it is the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// 2024-12-31, and nothing else.
    YearFirst,
    /// 12/31/2024.
    MonthFirst,
    /// 31/12/2024.
    DayFirst,
}

/// How a column writes its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeStyle {
    /// Text with the year first, ISO 8601 among it, or last in the order told; months by name in any order.
    Calendar(DateOrder),
    /// yyyymmdd, yyyymmddhh, yyyymmddhhmm or yyyymmddhhmmss.
    Digits,
    /// A count since 1970.
    Epoch(Epoch),
    /// strftime, from the configuration.
    Pattern(String),
}

impl fmt::Display for TimeStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(DateOrder::YearFirst) => f.write_str("dates, year first"),
            Self::Calendar(DateOrder::MonthFirst) => f.write_str("dates, month before day"),
            Self::Calendar(DateOrder::DayFirst) => f.write_str("dates, day before month"),
            Self::Digits => f.write_str("digits as in yyyymmdd"),
            Self::Epoch(epoch) => write!(f, "{} since 1970 UTC", epoch.name()),
            Self::Pattern(pattern) => write!(f, "`{pattern}`"),
        }
    }
}

/// Why a time is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFault {
    /// No time, or none in the column's style.
    Unreadable,
    /// Before 1900 or from 2200 on.
    OutOfRange,
}

/// First and first-beyond plausible day: 1900-01-01 and 2200-01-01.
const FIRST_DAY: i32 = -25_567;
const END_DAY: i32 = 84_006;

/// `wall` when it lies in 1900 to 2200.
pub fn in_range(wall: i64) -> Result<i64, TimeFault> {
    let days = wall.div_euclid(DAY_MICROS);
    if (i64::from(FIRST_DAY)..i64::from(END_DAY)).contains(&days) { Ok(wall) } else { Err(TimeFault::OutOfRange) }
}

/// What a text tells: a wall time, or an instant where it carries an offset. Both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Wall(i64),
    Instant(i64),
}

/// Reads the times of one column.
#[derive(Debug, Clone)]
pub struct TimeReader {
    style: TimeStyle,
    zone: Zone,
    /// The date read last and its day: neighbours in a log share it.
    last: ((i32, u32, u32), i64),
}

impl TimeReader {
    /// For a column of that style; times without an offset are of `zone`.
    pub fn new(style: TimeStyle, zone: Zone) -> Self {
        Self { style, zone, last: ((1970, 1, 1), 0) }
    }

    /// Where times without an offset are read.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether numbers are a count since 1970, so that a greater number is a later time.
    pub(crate) fn is_count(&self) -> bool {
        matches!(self.style, TimeStyle::Epoch(_))
    }

    /// Wall time of a text.
    ///
    /// # Errors
    /// In another style, or outside 1900 to 2200.
    pub fn text(&mut self, text: &[u8]) -> Result<i64, TimeFault> {
        let text = text.trim_ascii();
        let moment = match &self.style {
            TimeStyle::Calendar(order) => {
                let order = *order;
                self.calendar(text, order).ok_or(TimeFault::Unreadable)?
            }
            TimeStyle::Pattern(pattern) => by_pattern(pattern, text).ok_or(TimeFault::Unreadable)?,
            TimeStyle::Digits | TimeStyle::Epoch(_) => {
                let text = std::str::from_utf8(text).map_err(|_| TimeFault::Unreadable)?;
                return match text.parse::<i64>() {
                    Ok(number) => self.integer(number),
                    Err(_) => self.decimal(text.parse().map_err(|_| TimeFault::Unreadable)?),
                };
            }
        };
        self.wall(moment)
    }

    /// Wall time of a whole number.
    ///
    /// # Errors
    /// When the style is not one of numbers, or outside 1900 to 2200.
    pub fn integer(&mut self, number: i64) -> Result<i64, TimeFault> {
        let moment = match self.style {
            TimeStyle::Epoch(epoch) => Moment::Instant(epoch.micros(number).ok_or(TimeFault::OutOfRange)?),
            TimeStyle::Digits => self.digits(number).ok_or(TimeFault::Unreadable)?,
            TimeStyle::Calendar(_) | TimeStyle::Pattern(_) => return self.text(number.to_string().as_bytes()),
        };
        self.wall(moment)
    }

    /// Wall time of a number with a fraction, as epochs that went through floats have it.
    ///
    /// # Errors
    /// As [`TimeReader::integer`]; not a finite number.
    pub fn decimal(&mut self, number: f64) -> Result<i64, TimeFault> {
        if !number.is_finite() {
            return Err(TimeFault::Unreadable);
        }
        if number.fract() == 0.0 && number.abs() < 9e18 {
            return self.integer(number as i64);
        }
        let TimeStyle::Epoch(epoch) = self.style else { return Err(TimeFault::Unreadable) };
        let micros = number * (1e6 / epoch.per_second() as f64);
        if micros.abs() > 9e18 {
            return Err(TimeFault::OutOfRange);
        }
        self.wall(Moment::Instant(micros.round() as i64))
    }

    /// Wall time of microseconds that a typed column tells: of an instant where it has a zone.
    ///
    /// # Errors
    /// Outside 1900 to 2200.
    pub fn typed(&self, micros: i64, is_instant: bool) -> Result<i64, TimeFault> {
        self.wall(if is_instant { Moment::Instant(micros) } else { Moment::Wall(micros) })
    }

    fn wall(&self, moment: Moment) -> Result<i64, TimeFault> {
        match moment {
            Moment::Wall(micros) => in_range(micros),
            Moment::Instant(micros) => in_range(self.zone.wall_of_utc(micros).ok_or(TimeFault::OutOfRange)?),
        }
    }

    fn day(&mut self, year: i32, month: u32, day: u32) -> Option<i64> {
        if self.last.0 != (year, month, day) {
            let found = Day::from_civil(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)?;
            self.last = ((year, month, day), i64::from(found.0));
        }
        Some(self.last.1)
    }

    #[allow(clippy::inconsistent_digit_grouping)] // grouped as dates and times are
    fn digits(&mut self, number: i64) -> Option<Moment> {
        let (date, clock) = match number {
            1_000_01_01..=9999_12_31 => (number, 0),
            1_000_01_01_00..=9999_12_31_23 => (number / 100, number % 100 * 10_000),
            1_000_01_01_00_00..=9999_12_31_23_59 => (number / 10_000, number % 10_000 * 100),
            1_000_01_01_00_00_00..=9999_12_31_23_59_59 => (number / 1_000_000, number % 1_000_000),
            _ => return None,
        };
        let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let day = self.day((date / 10_000) as i32, (date / 100 % 100) as u32, (date % 100) as u32)?;
        Some(Moment::Wall(day * DAY_MICROS + ((hour * 60 + minute) * 60 + second) * 1_000_000))
    }

    fn calendar(&mut self, text: &[u8], order: DateOrder) -> Option<Moment> {
        let mut rest = Cursor(text);
        let (year, month, day) = rest.date(order)?;
        let day = self.day(year, month, day)?;
        let micros = rest.clock()?;
        let wall = day * DAY_MICROS + micros;
        let offset = rest.offset()?;
        rest.0.is_empty().then_some(match offset {
            None => Moment::Wall(wall),
            Some(seconds) => Moment::Instant(wall - seconds * 1_000_000),
        })
    }
}

fn by_pattern(pattern: &str, text: &[u8]) -> Option<Moment> {
    let parts = jiff::fmt::strtime::parse(pattern, text).ok()?;
    if parts.offset().is_some() {
        return Some(Moment::Instant(parts.to_timestamp().ok()?.as_microsecond()));
    }
    let moment = match parts.hour() {
        Some(_) => parts.to_datetime().ok()?,
        None => parts.to_date().ok()?.to_datetime(jiff::civil::Time::midnight()),
    };
    let day = Day::from_civil(moment.year(), moment.month(), moment.day())?;
    let seconds = (i64::from(moment.hour()) * 60 + i64::from(moment.minute())) * 60 + i64::from(moment.second());
    Some(Moment::Wall(day.start_micros() + seconds * 1_000_000 + i64::from(moment.subsec_nanosecond()) / 1000))
}

/// How a sample of times is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The style that reads most of them.
    pub style: TimeStyle,
    /// How many it reads, in range or not.
    pub readable: usize,
    /// How many of these lie in 1900 to 2200.
    pub in_range: usize,
    /// Whether month before day and day before month read them equally well, and differ.
    pub is_ambiguous: bool,
}

/// The style of non-empty cells; `None` when they are no times at all or there are none.
pub fn detect<S: AsRef<str>>(cells: &[S]) -> Option<Detected> {
    let numbers: Vec<f64> = cells.iter().filter_map(|cell| number_of(cell.as_ref())).collect();
    if !numbers.is_empty() && numbers.len() * 2 >= cells.len() {
        return Some(judge(number_style(&numbers)?, cells, false));
    }
    let (mut month_first, mut day_first, mut dotted, mut year_last) = (0_usize, 0_usize, false, false);
    let mut undecided = 0_usize;
    for cell in cells {
        let mut rest = Cursor(cell.as_ref().trim().as_bytes());
        let Some((first, 1..=2)) = rest.number() else { continue };
        let Some(separator) = rest.take(b"-/. ") else { continue };
        let Some((second, 1..=2)) = rest.number() else { continue };
        dotted |= separator == b'.';
        year_last = true;
        match (first > 12, second > 12) {
            (true, false) => day_first += 1,
            (false, true) => month_first += 1,
            (false, false) if first != second => undecided += 1,
            _ => {}
        }
    }
    let order = match day_first.cmp(&month_first) {
        std::cmp::Ordering::Greater => DateOrder::DayFirst,
        std::cmp::Ordering::Less => DateOrder::MonthFirst,
        std::cmp::Ordering::Equal if !year_last => DateOrder::YearFirst,
        std::cmp::Ordering::Equal if dotted => DateOrder::DayFirst, // nobody writes 12.31.2024
        std::cmp::Ordering::Equal => DateOrder::MonthFirst,
    };
    let is_ambiguous = undecided > 0 && day_first == month_first && !dotted;
    let found = judge(TimeStyle::Calendar(order), cells, is_ambiguous);
    (found.readable > 0).then_some(found)
}

/// How well a style reads cells.
pub fn judge<S: AsRef<str>>(style: TimeStyle, cells: &[S], is_ambiguous: bool) -> Detected {
    let utc = Zone::named("UTC").expect("UTC is a time zone");
    let mut reader = TimeReader::new(style, utc);
    let (mut readable, mut plausible) = (0, 0);
    for cell in cells {
        match reader.text(cell.as_ref().as_bytes()) {
            Ok(_) => {
                readable += 1;
                plausible += 1;
            }
            Err(TimeFault::OutOfRange) => readable += 1,
            Err(TimeFault::Unreadable) => {}
        }
    }
    Detected { style: reader.style, readable, in_range: plausible, is_ambiguous }
}

fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
    if plain { text.parse().ok() } else { None }
}

/// Calendar digits when every number is a date written so, otherwise an epoch by the size of the
/// median; `None` for numbers too small to be one (a day's number, say).
fn number_style(numbers: &[f64]) -> Option<TimeStyle> {
    let mut digits = TimeReader::new(TimeStyle::Digits, Zone::named("UTC").expect("UTC is a time zone"));
    if numbers.iter().all(|&number| digits.decimal(number).is_ok()) {
        return Some(TimeStyle::Digits);
    }
    let mut sizes: Vec<f64> = numbers.iter().map(|number| number.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // From 1973 on, a count of seconds has 9 to 11 digits, and each finer unit three more.
    match sizes[sizes.len() / 2] {
        size if size < 1e8 => None,
        size if size < 1e11 => Some(TimeStyle::Epoch(Epoch::Seconds)),
        size if size < 1e14 => Some(TimeStyle::Epoch(Epoch::Milliseconds)),
        size if size < 1e17 => Some(TimeStyle::Epoch(Epoch::Microseconds)),
        _ => Some(TimeStyle::Epoch(Epoch::Nanoseconds)),
    }
}

/// The unit in which an epoch outside 1900 to 2200 would be a day of 1990 to 2050, and that day.
pub fn better_unit(number: f64) -> Option<(Epoch, Day)> {
    Epoch::ALL.into_iter().find_map(|epoch| {
        let day = (number / epoch.per_second() as f64 / 86_400.0).floor();
        (7_305.0..29_220.0).contains(&day).then_some((epoch, Day(day as i32)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH_FIRST: TimeStyle = TimeStyle::Calendar(DateOrder::MonthFirst);

    fn reader(style: TimeStyle, zone: &str) -> TimeReader {
        TimeReader::new(style, Zone::named(zone).unwrap())
    }

    fn shown(wall: i64) -> String {
        let micros = wall.rem_euclid(DAY_MICROS);
        let seconds = micros / 1_000_000;
        format!(
            "{} {:02}:{:02}:{:02}.{:06}",
            Day::of_wall(wall),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000
        )
    }

    fn read(style: TimeStyle, zone: &str, text: &str) -> String {
        reader(style, zone).text(text.as_bytes()).map_or_else(|fault| format!("{fault:?}"), shown)
    }

    #[test]
    fn the_range_is_1900_to_2200() {
        assert_eq!(Day(FIRST_DAY).to_string(), "1900-01-01");
        assert_eq!(Day(END_DAY).to_string(), "2200-01-01");
        assert_eq!(in_range(Day(END_DAY).start_micros()), Err(TimeFault::OutOfRange));
        assert!(in_range(Day(FIRST_DAY).start_micros()).is_ok());
        assert_eq!(in_range(Day(FIRST_DAY).start_micros() - 1), Err(TimeFault::OutOfRange));
    }

    #[test]
    fn texts_without_an_offset_are_wall_time() {
        for (text, wanted) in [
            ("2024-03-01", "2024-03-01 00:00:00.000000"),
            ("2024-03-01 10:15", "2024-03-01 10:15:00.000000"),
            ("2024-03-01T10:15:30.123456789", "2024-03-01 10:15:30.123456"),
            (" 2024-03-01 10:15:30,5 ", "2024-03-01 10:15:30.500000"),
            ("2024/3/1 9:05", "2024-03-01 09:05:00.000000"),
            ("2024.03.01", "2024-03-01 00:00:00.000000"),
            ("20240301", "2024-03-01 00:00:00.000000"),
            ("20240301T101530", "2024-03-01 10:15:30.000000"),
            ("12/1/2010 8:26", "2010-12-01 08:26:00.000000"),
            ("12/1/10 8:26", "2010-12-01 08:26:00.000000"),
            ("12/1/2010 12:26:01 AM", "2010-12-01 00:26:01.000000"),
            ("12/1/2010 8 pm", "2010-12-01 20:00:00.000000"),
            ("1-Dec-2010", "2010-12-01 00:00:00.000000"),
            ("01 December 2010 08:26", "2010-12-01 08:26:00.000000"),
            ("01/Dec/2010:08:26:00", "2010-12-01 08:26:00.000000"),
            ("Dec 1, 2010", "2010-12-01 00:00:00.000000"),
            ("2024-02-29 24:00", "2024-03-01 00:00:00.000000"),
        ] {
            assert_eq!(read(MONTH_FIRST, "America/New_York", text), wanted, "{text}");
        }
        let day_first = TimeStyle::Calendar(DateOrder::DayFirst);
        assert_eq!(read(day_first.clone(), "UTC", "12/1/2010"), "2010-01-12 00:00:00.000000");
        assert_eq!(read(day_first, "UTC", "31.12.2010"), "2010-12-31 00:00:00.000000");
    }

    #[test]
    fn texts_with_an_offset_are_instants() {
        // 10:15 UTC is 05:15 in New York in winter, 06:15 in summer.
        for text in [
            "2024-03-01T10:15:00Z",
            "2024-03-01 11:15:00+01:00",
            "2024-03-01 08:15-0200",
            "2024-03-01 10:15:00 UTC",
            "Fri, 01 Mar 2024 10:15:00 +0000",
        ] {
            assert_eq!(read(MONTH_FIRST, "America/New_York", text), "2024-03-01 05:15:00.000000", "{text}");
        }
        assert_eq!(read(MONTH_FIRST, "America/New_York", "2024-07-01T10:15Z"), "2024-07-01 06:15:00.000000");
    }

    #[test]
    fn nonsense_is_unreadable_and_far_years_are_out_of_range() {
        for text in [
            "",
            "soon",
            "2024-13-01",
            "2024-02-30",
            "2024-03-01 25:00",
            "2024-03-01 10:60",
            "2024-03-01 10",
            "2024-03-01x",
            "1/2",
            "2024-03-01 10:15+99",
            "13/13/2010",
            "10:15",
            "2024-03-01T",
        ] {
            assert_eq!(read(MONTH_FIRST, "UTC", text), "Unreadable", "{text}");
        }
        for text in ["0001-01-01 00:00:00", "9999-12-31", "1899-12-31 23:59:59", "2200-01-01"] {
            assert_eq!(read(MONTH_FIRST, "UTC", text), "OutOfRange", "{text}");
        }
    }

    #[test]
    fn epochs_of_every_unit_tell_one_instant() {
        // date -u -d @1709288100 is 2024-03-01 10:15:00
        for (unit, text) in [
            (Epoch::Seconds, "1709288100"),
            (Epoch::Seconds, "1709288100.0"),
            (Epoch::Milliseconds, "1709288100000"),
            (Epoch::Microseconds, "1709288100000000"),
            (Epoch::Nanoseconds, "1709288100000000000"),
        ] {
            assert_eq!(read(TimeStyle::Epoch(unit), "UTC", text), "2024-03-01 10:15:00.000000");
            assert_eq!(detect(&[text]).unwrap().style, TimeStyle::Epoch(unit), "{text}");
        }
        assert_eq!(read(TimeStyle::Epoch(Epoch::Seconds), "UTC", "1709288100.25"), "2024-03-01 10:15:00.250000");
        assert_eq!(read(TimeStyle::Epoch(Epoch::Seconds), "UTC", "1709288100000"), "OutOfRange");
        assert_eq!(read(TimeStyle::Epoch(Epoch::Seconds), "UTC", "9223372036854775807"), "OutOfRange");
        assert_eq!(better_unit(1_709_288_100_000.0).unwrap(), (Epoch::Milliseconds, Day(19_783)));
    }

    #[test]
    fn digits_are_dates_when_all_of_them_are() {
        assert_eq!(detect(&["19970101", "19970118"]).unwrap().style, TimeStyle::Digits);
        assert_eq!(detect(&["2018100100", "2018100123"]).unwrap().style, TimeStyle::Digits);
        assert_eq!(read(TimeStyle::Digits, "UTC", "2018100123"), "2018-10-01 23:00:00.000000");
        assert_eq!(read(TimeStyle::Digits, "UTC", "20181001235958"), "2018-10-01 23:59:58.000000");
        assert_eq!(read(TimeStyle::Digits, "UTC", "2018100124"), "Unreadable");
        assert_eq!(detect(&["17", "400"]), None, "day numbers are no times");
        assert_eq!(detect(&["ab", "cd"]), None);
    }

    #[test]
    fn the_order_of_month_and_day_comes_from_the_sample() {
        let style = |cells: &[&str]| {
            let found = detect(cells).unwrap();
            (found.style, found.is_ambiguous)
        };
        assert_eq!(style(&["12/1/2010 8:26", "12/13/2010 8:26"]), (MONTH_FIRST, false));
        assert_eq!(style(&["1/12/2010", "13/12/2010"]), (TimeStyle::Calendar(DateOrder::DayFirst), false));
        assert_eq!(style(&["1/12/2010", "2/12/2010"]), (MONTH_FIRST, true));
        assert_eq!(style(&["1.12.2010"]), (TimeStyle::Calendar(DateOrder::DayFirst), false));
        assert_eq!(style(&["5/5/2010"]), (MONTH_FIRST, false));
        let year_first = TimeStyle::Calendar(DateOrder::YearFirst);
        assert_eq!(style(&["2010-12-01"]), (year_first.clone(), false));
        assert_eq!(read(year_first.clone(), "UTC", "12/1/2010"), "Unreadable", "no sample told the order");
        assert_eq!(read(year_first, "UTC", "1 Dec 2010"), "2010-12-01 00:00:00.000000");
    }

    #[test]
    fn a_pattern_of_the_configuration_is_followed() {
        let pattern = TimeStyle::Pattern("%d.%m.%y %H-%M".into());
        assert_eq!(read(pattern.clone(), "UTC", "01.03.24 10-15"), "2024-03-01 10:15:00.000000");
        assert_eq!(read(pattern, "UTC", "2024-03-01"), "Unreadable");
        assert_eq!(read(TimeStyle::Pattern("%Y%j".into()), "UTC", "2024061"), "2024-03-01 00:00:00.000000");
        let offset = TimeStyle::Pattern("%Y-%m-%d %H:%M %z".into());
        assert_eq!(read(offset, "UTC", "2024-03-01 11:15 +0100"), "2024-03-01 10:15:00.000000");
    }

    #[test]
    fn every_day_reads_as_jiff_does() {
        let mut reader = reader(MONTH_FIRST, "UTC");
        for day in (FIRST_DAY..END_DAY).step_by(17) {
            let text = Day(day).to_string();
            assert_eq!(reader.text(text.as_bytes()), Ok(Day(day).start_micros()), "{text}");
        }
    }
}
