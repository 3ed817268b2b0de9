//! An explanation for a terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table};

use super::{Change, ColumnChange, ColumnParts, Explanation, Prediction, TimelineSummary};
use crate::report::format::{self, MISSING, amount, count, percent};

/// Groups of a customer that are told: the most probable.
const GROUPS: usize = 5;

/// Rows of the history that are told: the newest.
const HISTORY: usize = 12;

/// How much of an explanation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Features of each sum that have a line of their own.
    pub top: usize,
    /// Whether every feature of the catalogue is printed.
    pub features: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { top: 10, features: false }
    }
}

/// A table without lines; numbers in these columns are to the right.
fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = format::table(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_number = right.contains(&index);
        column.set_cell_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

fn value(prediction: Option<f64>, is_probability: bool) -> String {
    if is_probability { percent(prediction) } else { amount(prediction) }
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| MISSING.into())
}

fn adds(number: f64) -> String {
    // What rounds to nothing has no sign.
    let number = if number.abs() < 5e-5 { 0.0 } else { number };
    format!("{number:+.4}")
}

fn whole(number: Option<f64>) -> String {
    number.map_or(MISSING.into(), |number| format!("{number:.0}"))
}

impl Explanation {
    /// For a terminal.
    pub fn to_text(&self, options: TextOptions) -> String {
        let mut told = format!("{} at {}", self.customer_id, self.as_of);
        let _ = write!(told, ", by bundle {}\n  ", self.bundle_id);
        let mut facts = vec![
            format!("status {}", text(self.status.as_ref())),
            format!("stage {}", text(self.lifecycle_stage.as_ref())),
        ];
        if self.holdout == Some(true) {
            facts.push("held out: nobody should contact them".into());
        }
        facts.extend(self.excluded_until.as_ref().map(|until| format!("excluded until {until}")));
        told.push_str(&facts.join(", "));
        told.push('\n');
        for note in &self.notes {
            let _ = writeln!(told, "  {note}");
        }
        if let Some(timeline) = &self.timeline {
            timeline.tell(&mut told);
        }
        self.tell_predictions(&mut told);
        for parts in &self.contributions {
            parts.tell(&mut told, options.top);
        }
        self.tell_history(&mut told);
        if let Some(change) = &self.change {
            change.tell(&mut told, options.top, &|column| self.is_probability(column));
        }
        if options.features {
            let mut rows = table(&["feature", "value", "unit", "what it tells"], &[1]);
            for feature in &self.features {
                rows.add_row([&feature.feature, &amount(feature.value), &feature.unit, &feature.note]);
            }
            let _ = writeln!(told, "\nfeatures:\n{}", rows.trim_fmt());
        }
        told
    }

    fn is_probability(&self, column: &str) -> bool {
        self.predictions.iter().any(|prediction| prediction.column == column && prediction.is_probability)
    }

    fn tell_predictions(&self, told: &mut String) {
        let mut rows = table(&["prediction", "value", "80 % of such", "percentile", "permille", "band"], &[1, 2, 3, 4]);
        let mut groups: Vec<&Prediction> = Vec::new();
        for prediction in &self.predictions {
            if prediction.group.is_some() {
                groups.push(prediction);
                continue;
            }
            let interval = match (prediction.low, prediction.high) {
                (Some(low), Some(high)) => format!("{} to {}", amount(Some(low)), amount(Some(high))),
                _ => String::new(),
            };
            rows.add_row([
                prediction.column.clone(),
                value(prediction.value, prediction.is_probability),
                interval,
                whole(prediction.percentile),
                whole(prediction.permille),
                prediction.band.clone().unwrap_or_default(),
            ]);
        }
        groups.sort_by(|a, b| b.value.unwrap_or(f64::NEG_INFINITY).total_cmp(&a.value.unwrap_or(f64::NEG_INFINITY)));
        for group in groups.iter().take(GROUPS) {
            rows.add_row([group.column.clone(), value(group.value, group.is_probability)]);
        }
        let _ = writeln!(told, "\n{}", rows.trim_fmt());
        if groups.len() > GROUPS {
            let _ = writeln!(told, " … {} more groups, all less", groups.len() - GROUPS);
        }
        for (column, words) in self.reasons.iter().filter(|(_, words)| !words.is_empty()) {
            let _ = writeln!(told, "\n{column}:");
            words.iter().for_each(|reason| _ = writeln!(told, "  {reason}"));
        }
    }

    fn tell_history(&self, told: &mut String) {
        let Some(last) = self.history.last() else { return };
        let columns: Vec<&String> = last.predictions.keys().collect();
        let names = columns.iter().map(|column| column.as_str());
        let header: Vec<&str> = ["as_of", "bundle", "status", "stage"].into_iter().chain(names).collect();
        let mut rows = table(&header, &(4..header.len()).collect::<Vec<usize>>());
        for row in self.history.iter().skip(self.history.len().saturating_sub(HISTORY)) {
            let numbers = columns
                .iter()
                .map(|column| value(row.predictions.get(*column).copied().flatten(), self.is_probability(column)));
            let first = [
                row.as_of.to_string(),
                row.bundle_id.clone(),
                text(row.status.as_ref()),
                text(row.lifecycle_stage.as_ref()),
            ];
            rows.add_row(first.into_iter().chain(numbers).collect::<Vec<String>>());
        }
        let all = self.history.len();
        let newest = if all > HISTORY { format!(", the newest {HISTORY}") } else { String::new() };
        let _ = writeln!(told, "\nscores of {all} partitions{newest}:\n{}", rows.trim_fmt());
    }
}

impl TimelineSummary {
    fn tell(&self, told: &mut String) {
        let _ = writeln!(
            told,
            "\n{} events in {} days, {} to {}; {} orders",
            count(self.events),
            self.tenure_days,
            self.first,
            self.last,
            count(self.orders)
        );
        let mut rows = table(&["event", "events", "first", "last", "value"], &[1, 4]);
        for kind in &self.kinds {
            rows.add_row([
                text(kind.event.as_ref()),
                count(kind.events),
                kind.first.to_string(),
                kind.last.to_string(),
                amount(kind.value),
            ]);
        }
        let _ = writeln!(told, "{}", rows.trim_fmt());
        if !self.last_orders.is_empty() {
            let mut rows = table(&["last orders", "lines", "value", "categories"], &[1, 2]);
            for order in &self.last_orders {
                rows.add_row([
                    order.day.to_string(),
                    count(order.lines),
                    amount(order.value),
                    order.categories.join(", "),
                ]);
            }
            let _ = writeln!(told, "\n{}", rows.trim_fmt());
        }
        let mut rows = table(&["last events", "event", "category", "channel", "value"], &[4]);
        for event in &self.last_events {
            rows.add_row([
                event.time.clone(),
                text(event.event.as_ref()),
                event.category.clone().unwrap_or_default(),
                event.channel.clone().unwrap_or_default(),
                event.value.map_or_else(String::new, |value| amount(Some(value))),
            ]);
        }
        let _ = writeln!(told, "\n{}", rows.trim_fmt());
    }
}

impl ColumnParts {
    fn tell(&self, told: &mut String, top: usize) {
        let is_probability = self.calibration.is_some();
        let shown = value(Some(self.prediction), is_probability);
        let _ = writeln!(told, "\n{} = {shown}, as a sum of {}:", self.column, self.scale);
        let mut rows = table(&["feature", "value", "usual", "adds"], &[1, 2, 3]);
        let mut line = |name: &str, value: String, usual: String, number: f64| {
            rows.add_row([name.to_string(), value, usual, adds(number)]);
        };
        line("everybody", String::new(), String::new(), self.base);
        for part in self.features.iter().take(top) {
            line(&part.feature, amount(part.value), amount(part.usual), part.adds);
        }
        let rest = self.features.get(top..).unwrap_or_default();
        if !rest.is_empty() {
            let others = format!("{} others", rest.len());
            line(&others, String::new(), String::new(), rest.iter().map(|part| part.adds).sum());
        }
        if let Some(calibration) = self.calibration {
            line("calibration", String::new(), String::new(), calibration);
        }
        line("sum", String::new(), String::new(), self.score);
        let _ = writeln!(told, "{}", rows.trim_fmt());
    }
}

impl Change {
    fn tell(&self, told: &mut String, top: usize, is_probability: &dyn Fn(&str) -> bool) {
        let (before, after) = &self.bundles;
        let bundles = match before == after {
            true => format!("both by bundle {before}"),
            false => format!("by bundle {before}, then by {after}"),
        };
        let _ = writeln!(told, "\n{} → {}, {bundles}:", self.from, self.to);
        for column in &self.columns {
            column.tell(told, top, after, is_probability(&column.column));
        }
    }
}

impl ColumnChange {
    fn tell(&self, told: &mut String, top: usize, bundle: &str, is_probability: bool) {
        let shown = |prediction: Option<f64>| value(prediction, is_probability);
        let _ = write!(told, "\n{} {} → {}", self.column, shown(self.before), shown(self.after));
        let Some(parts) = &self.parts else {
            let why = match (self.before, self.after) {
                (Some(_), Some(_)) => "what has changed it is told with `--bundle` and `--events`",
                _ => "there is no prediction on both days",
            };
            let _ = writeln!(told, ": {why}");
            return;
        };
        let scale = self.scale.unwrap_or_default();
        let _ = writeln!(told, ", as a sum of {scale}:");
        let mut rows = table(&["feature", "before", "after", "adds"], &[1, 2, 3]);
        let mut line = |name: &str, before: String, after: String, number: f64| {
            rows.add_row([name.to_string(), before, after, adds(number)]);
        };
        for change in parts.features.iter().take(top) {
            line(&change.feature, amount(change.before), amount(change.after), change.adds);
        }
        let rest = parts.features.get(top..).unwrap_or_default();
        if !rest.is_empty() {
            let others = format!("{} others", rest.len());
            line(&others, String::new(), String::new(), rest.iter().map(|change| change.adds).sum());
        }
        if let Some(calibration) = parts.calibration {
            line("calibration", String::new(), String::new(), calibration);
        }
        if let Some(model) = parts.model {
            line(&format!("model: bundle {bundle}"), String::new(), String::new(), model);
        }
        if let Some(restated) = parts.restated {
            line("events are no longer those of then", String::new(), String::new(), restated);
        }
        let change = parts.score_after - parts.score_before;
        line("sum", format!("{:.4}", parts.score_before), format!("{:.4}", parts.score_after), change);
        let _ = writeln!(told, "{}", rows.trim_fmt());
    }
}
