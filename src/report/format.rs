//! How numbers are written, alike in text and HTML.

use crate::metrics::{MetricValue, Unit, metric_named};

use super::TargetReport;

/// What stands where there is no number.
pub const MISSING: &str = "–";

/// With separators: 1,234,567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Decimals that show four digits of a number of this size, and none beyond a thousand.
fn decimals(size: f64) -> usize {
    match size.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    }
}

fn fixed(number: f64, decimals: usize) -> String {
    if number.abs() >= 1e9 {
        return format!("{number:.2e}");
    }
    let text = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = count(whole.parse().expect("digits of a number below 1e9"));
    let sign = if number < 0.0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A table without lines, numbers to the right of the first and third column.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(header);
    for column in (0..header.len()).filter(|column| ![0, 2].contains(column)) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table
}

/// An amount or a mean with about four digits.
pub fn amount(number: Option<f64>) -> String {
    number.filter(|number| number.is_finite()).map_or(MISSING.into(), |number| fixed(number, decimals(number)))
}

/// A plain number with three decimals.
pub fn plain(number: Option<f64>) -> String {
    number.filter(|number| number.is_finite()).map_or(MISSING.into(), |number| fixed(number, 3))
}

/// A share as per cent: one decimal, two below 1 %.
pub fn percent(share: Option<f64>) -> String {
    match share.filter(|share| share.is_finite()) {
        None => MISSING.into(),
        Some(share) if share != 0.0 && share.abs() < 0.01 => format!("{:.2} %", 100.0 * share),
        Some(share) => format!("{:.1} %", 100.0 * share),
    }
}

fn metric_decimals(metric: &MetricValue) -> usize {
    match metric_named(&metric.name).map(|metric| metric.unit) {
        Some(Unit::Target) => decimals(metric.value.unwrap_or(0.0)),
        _ => 3,
    }
}

/// The value of a metric.
pub fn metric(metric: Option<&MetricValue>) -> String {
    let written = metric.and_then(|metric| {
        let value = metric.value.filter(|value| value.is_finite())?;
        Some(fixed(value, metric_decimals(metric)))
    });
    written.unwrap_or(MISSING.into())
}

/// Its interval, with as many decimals as the value; `None` when there is none.
pub fn interval(metric: Option<&MetricValue>) -> Option<String> {
    let metric = metric?;
    let (low, high) = (metric.low.filter(|end| end.is_finite())?, metric.high.filter(|end| end.is_finite())?);
    let decimals = metric_decimals(metric);
    let dash = if low < 0.0 || high < 0.0 { " to " } else { "–" };
    Some(format!("{}{dash}{}", fixed(low, decimals), fixed(high, decimals)))
}

/// "1,234 customers, 456 with the outcome (37.0 %)".
pub fn population(target: &TargetReport, currency: &str) -> String {
    let mut text = format!("{} customers", count(target.rows));
    if let Some(positives) = target.positives {
        let share = (target.rows > 0).then(|| positives as f64 / target.rows as f64);
        text += &format!(", {} with the outcome ({})", count(positives), percent(share));
    }
    if let Some(total) = target.total {
        let unit = if target.kind == crate::config::TargetKind::Amount { currency } else { "" };
        text += format!(", total {} {unit}", amount(Some(total))).trim_end();
        if let Some(coverage) = target.coverage {
            text += &format!(", {} of them inside their interval", percent(Some(coverage)));
        }
    }
    text
}

/// What the intervals are; `None` when there are none.
pub fn intervals(target: &TargetReport) -> Option<String> {
    let made = target.intervals.as_ref()?;
    let level = 100.0 * made.level;
    let fewer = if made.resamples < made.requested {
        format!(", {} wanted but the table is large", count(made.requested))
    } else {
        String::new()
    };
    Some(format!(
        "Intervals: {level} %, percentile bootstrap, {} resamples of {} customers{fewer}.",
        count(made.resamples),
        count(made.customers)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_four_digits_and_missing_ones_a_dash() {
        let numbers = [Some(0.12345), Some(12.345), Some(-123.45), Some(1_234_567.8), Some(-0.0001), None];
        assert_eq!(numbers.map(amount), ["0.123", "12.35", "-123.5", "1,234,568", "0.000", "–"]);
        assert_eq!(amount(Some(3e15)), "3.00e15");
        assert_eq!([Some(f64::NAN), Some(f64::INFINITY)].map(plain), ["–", "–"]);
        assert_eq!([Some(0.256), Some(0.00256), Some(0.0), None].map(percent), ["25.6 %", "0.26 %", "0.0 %", "–"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn intervals_say_when_a_large_table_got_fewer_resamples() {
        let mut target = super::super::sample::report().targets.swap_remove(0);
        target.intervals =
            Some(crate::metrics::Intervals { level: 0.9, resamples: 50, requested: 200, customers: 1_000_000 });
        let expected = "Intervals: 90 %, percentile bootstrap, 50 resamples of 1,000,000 customers, 200 wanted but the table is large.";
        assert_eq!(intervals(&target).unwrap(), expected);
        target.intervals = None;
        assert_eq!(intervals(&target), None);
    }

    #[test]
    fn an_interval_has_the_decimals_of_its_value() {
        let value = |name: &str, value, low, high| MetricValue { name: name.into(), value, low, high };
        let mae = value("mae", Some(99.96), Some(98.0), Some(101.234));
        assert_eq!(interval(Some(&mae)).unwrap(), "98.00–101.23");
        let spearman = value("spearman", Some(0.01), Some(-0.02), Some(0.04));
        assert_eq!(interval(Some(&spearman)).unwrap(), "-0.020 to 0.040");
        assert_eq!(interval(Some(&value("mae", Some(1.0), None, None))), None);
        assert_eq!(metric(Some(&value("mae", None, None, None))), MISSING);
        assert_eq!(metric(None), MISSING);
    }
}
