//! Numbers as files write them.

/// Why a number is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFault {
    /// Not a number.
    Unreadable,
    /// NaN or infinite.
    NonFinite,
}

/// Texts that stand for a missing cell, whatever the column.
const MISSING: [&[u8]; 10] = [b"null", b"NULL", b"Null", b"none", b"None", b"NONE", b"NA", b"N/A", b"<NA>", b"\\N"];

/// Whether a trimmed cell stands for nothing.
pub fn is_missing(cell: &[u8]) -> bool {
    cell.is_empty() || (cell.len() <= 4 && MISSING.contains(&cell))
}

/// The number of a cell: NaN when it is missing.
///
/// `decimal_comma` reads `1.234,56`; otherwise `1,234.56` is understood. A currency sign or blanks
/// around the number are left out.
///
/// # Errors
/// Not a number, or not a finite one.
pub fn number(cell: &[u8], decimal_comma: bool) -> Result<f64, NumberFault> {
    let cell = cell.trim_ascii();
    if is_missing(cell) {
        return Ok(f64::NAN);
    }
    let text = std::str::from_utf8(cell).map_err(|_| NumberFault::Unreadable)?;
    let plain = if decimal_comma && text.contains([',', '.']) { None } else { text.parse::<f64>().ok() };
    let value = match plain {
        Some(value) => value,
        None => written_for_people(text, decimal_comma).ok_or(NumberFault::Unreadable)?,
    };
    if value.is_finite() { Ok(value) } else { Err(NumberFault::NonFinite) }
}

/// Digits with groups of three, a decimal mark, a sign and a currency sign on either side.
fn written_for_people(text: &str, decimal_comma: bool) -> Option<f64> {
    let is_currency =
        |c: char| matches!(c, '$' | '\u{a3}' | '\u{20ac}' | '\u{a5}' | '\u{20bd}' | '\u{20b9}') || c.is_whitespace();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.trim_matches(is_currency);
    let (sign, rest) = match rest.strip_prefix('-') {
        Some(rest) if sign.is_empty() => ("-", rest),
        _ => (sign, rest),
    };
    let (group, mark) = if decimal_comma { ('.', ',') } else { (',', '.') };
    let (whole, fraction) = rest.split_once(mark).unwrap_or((rest, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(group);
    let head = groups.next()?;
    let tail: Vec<&str> = groups.collect();
    let grouped =
        tail.is_empty() || (1..=3).contains(&head.len()) && tail.iter().all(|part| part.len() == 3 && is_digits(part));
    if !grouped || !is_digits(head) || !is_digits(fraction) || (head.is_empty() && fraction.is_empty()) {
        return None;
    }
    format!("{sign}{head}{}.{fraction}", tail.concat()).parse().ok()
}

/// Whether a sample of non-empty cells writes a decimal comma: one of them cannot be read otherwise,
/// and none only with a point.
pub fn has_decimal_comma<S: AsRef<str>>(cells: &[S]) -> bool {
    let only = |comma: bool| {
        cells.iter().any(|cell| {
            let cell = cell.as_ref().as_bytes();
            number(cell, comma).is_ok() && number(cell, !comma).is_err()
        })
    };
    only(true) && !only(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written() {
        for (text, wanted) in [
            ("2.55", 2.55),
            (" -7 ", -7.0),
            ("1e3", 1000.0),
            ("$1,234.50", 1234.5),
            ("-\u{20ac} 3", -3.0),
            ("$-3", -3.0),
            ("12 \u{20ac}", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("12,345,678", 12_345_678.0),
        ] {
            assert_eq!(number(text.as_bytes(), false), Ok(wanted), "{text}");
        }
        for (text, wanted) in [("2,55", 2.55), ("1.234,5", 1234.5), ("1.234", 1234.0), ("-0,5", -0.5), ("7", 7.0)] {
            assert_eq!(number(text.as_bytes(), true), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn missing_is_nan_and_nonsense_is_told() {
        for text in ["", "  ", "null", "None", "NA", "\\N"] {
            assert!(number(text.as_bytes(), false).unwrap().is_nan(), "{text}");
        }
        for text in ["NaN", "nan", "inf", "-Infinity", "1e999"] {
            assert_eq!(number(text.as_bytes(), false), Err(NumberFault::NonFinite), "{text}");
        }
        for text in ["abc", "1.2.3", "1,23", "12,34.5", "--3", "$", "-", "1 2"] {
            assert_eq!(number(text.as_bytes(), false), Err(NumberFault::Unreadable), "{text}");
        }
    }

    #[test]
    fn the_decimal_mark_comes_from_the_sample() {
        assert!(has_decimal_comma(&["12,50", "7"]));
        assert!(!has_decimal_comma(&["12.50", "7"]));
        assert!(!has_decimal_comma(&["1,234"]), "three digits may be a group");
        assert!(!has_decimal_comma(&["12,50", "12.50"]));
    }
}
