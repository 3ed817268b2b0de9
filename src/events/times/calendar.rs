//! The parts of a date and a time of day, as text has them.

use super::DateOrder;

/// What is left of a text.
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl Cursor<'_> {
    /// The next run of digits: its value and length; at most 14.
    pub fn number(&mut self) -> Option<(i64, usize)> {
        let n = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if n == 0 || n > 14 {
            return None;
        }
        let value = self.0[..n].iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
        self.0 = &self.0[n..];
        Some((value, n))
    }

    fn small(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
        let (value, n) = self.number()?;
        digits.contains(&n).then_some(value)
    }

    pub fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let first = *self.0.first()?;
        wanted.contains(&first).then(|| {
            self.0 = &self.0[1..];
            first
        })
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// A month's English name, in full or by its first three letters.
    fn month_name(&mut self) -> Option<u32> {
        const NAMES: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let n = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let word = &self.0[..n];
        let month = NAMES.iter().position(|name| {
            n >= 3
                && n <= name.len()
                && (n == 3 || n == name.len() || word.eq_ignore_ascii_case(b"sept"))
                && name.as_bytes()[..n].eq_ignore_ascii_case(word)
        })?;
        self.0 = &self.0[n..];
        Some(month as u32 + 1)
    }

    pub fn date(&mut self, order: DateOrder) -> Option<(i32, u32, u32)> {
        const SEPARATORS: &[u8] = b"-/.";
        if self.0.first()?.is_ascii_alphabetic() {
            return self.date_of_words();
        }
        let (first, digits) = self.number()?;
        match digits {
            4 => {
                let separator = self.take(SEPARATORS)?;
                let month = self.small(1..=2)?;
                self.take(&[separator])?;
                Some((first as i32, month as u32, self.small(1..=2)? as u32))
            }
            8 => Some(((first / 10_000) as i32, (first / 100 % 100) as u32, (first % 100) as u32)),
            1 | 2 => {
                let separator = self.take(b"-/. ")?;
                if self.0.first()?.is_ascii_alphabetic() {
                    let month = self.month_name()?;
                    self.take(&[separator])?;
                    return Some((self.year()?, month, first as u32));
                }
                let second = self.small(1..=2)?;
                self.take(&[separator])?;
                let year = self.year()?;
                match order {
                    DateOrder::YearFirst => None,
                    DateOrder::MonthFirst => Some((year, first as u32, second as u32)),
                    DateOrder::DayFirst => Some((year, second as u32, first as u32)),
                }
            }
            _ => None,
        }
    }

    /// `Mar 1, 2024`, or `Fri, 1 Mar 2024` as in mail.
    fn date_of_words(&mut self) -> Option<(i32, u32, u32)> {
        if let Some(month) = self.month_name() {
            self.take(b". ");
            self.blanks();
            let day = self.small(1..=2)?;
            self.take(b",");
            self.blanks();
            return Some((self.small(4..=4)? as i32, month, day as u32));
        }
        let word = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        self.0 = &self.0[word..];
        self.take(b",")?;
        self.blanks();
        let day = self.small(1..=2)?;
        self.blanks();
        let month = self.month_name()?;
        self.blanks();
        Some((self.small(4..=4)? as i32, month, day as u32))
    }

    /// Four digits, or two: 69 to 99 are of the last century, as in POSIX.
    fn year(&mut self) -> Option<i32> {
        let (year, digits) = self.number()?;
        match digits {
            4 => Some(year as i32),
            2 if year >= 69 => Some(1900 + year as i32),
            2 => Some(2000 + year as i32),
            _ => None,
        }
    }

    /// Microseconds since midnight; none written is midnight.
    pub fn clock(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        self.take(b"Tt :")?;
        self.blanks();
        let (hour, digits) = self.number()?;
        let (mut hour, mut minute, mut second) = match digits {
            1 | 2 => (hour, 0, 0),
            4 => (hour / 100, hour % 100, 0),
            6 => (hour / 10_000, hour / 100 % 100, hour % 100),
            _ => return None,
        };
        let mut fraction = 0;
        let mut has_minute = digits > 2;
        if digits <= 2 && self.take(b":").is_some() {
            minute = self.small(2..=2)?;
            has_minute = true;
            if self.take(b":").is_some() {
                second = self.small(2..=2)?;
            }
        }
        if has_minute && self.take(b".,").is_some() {
            let n = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if n == 0 {
                return None;
            }
            for place in 0..6 {
                fraction = fraction * 10 + if place < n { i64::from(self.0[place] - b'0') } else { 0 };
            }
            self.0 = &self.0[n..];
        }
        self.blanks();
        if self.0.len() >= 2 && self.0[1].eq_ignore_ascii_case(&b'm') {
            let half = self.take(b"aApP")?;
            self.0 = &self.0[1..];
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if half.eq_ignore_ascii_case(&b'p') { 12 } else { 0 };
        } else if !has_minute {
            return None;
        }
        let ends_day = hour == 24 && minute == 0 && second == 0 && fraction == 0;
        if (hour > 23 && !ends_day) || minute > 59 || second > 59 {
            return None;
        }
        Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
    }

    /// Seconds east of Greenwich, when told; `None` outside when it is nonsense.
    pub fn offset(&mut self) -> Option<Option<i64>> {
        self.blanks();
        if self.0.is_empty() {
            return Some(None);
        }
        for name in [&b"UTC"[..], b"GMT", b"Z"] {
            if self.0.len() >= name.len() && self.0[..name.len()].eq_ignore_ascii_case(name) {
                self.0 = &self.0[name.len()..];
                return Some(Some(0));
            }
        }
        let sign = if self.take(b"+-")? == b'-' { -1 } else { 1 };
        let (number, digits) = self.number()?;
        let (hours, minutes) = match digits {
            2 if self.take(b":").is_some() => (number, self.small(2..=2)?),
            2 => (number, 0),
            4 => (number / 100, number % 100),
            _ => return None,
        };
        (hours <= 18 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes) * 60))
    }
}
