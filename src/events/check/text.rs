//! The `check` report as a person reads it.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::CheckReport;

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header);
    }
    table
}

/// Digits in groups of three.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn money(amount: f64) -> String {
    let cents = (amount.abs() * 100.0).round();
    if cents >= 1e18 {
        return format!("{amount:e}");
    }
    let cents = cents as u64;
    format!("{}{}.{:02}", if amount < 0.0 { "-" } else { "" }, count(cents / 100), cents % 100)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn section(text: &mut String, title: &str, table: &Table) {
    let _ = writeln!(text, "{title}"); // to a String: cannot fail
    for line in table.lines() {
        let _ = writeln!(text, " {}", line.trim_end());
    }
    text.push('\n');
}

fn right(table: &mut Table, columns: &[usize]) {
    for &column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

impl CheckReport {
    /// The whole report as text, in sections.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut files = table(&[]);
        for file in &self.files {
            files.add_row([
                file.name.clone(),
                format!("{} bytes", count(file.bytes)),
                file.format.to_string(),
                file.compression.to_string(),
            ]);
        }
        right(&mut files, &[1]);
        section(&mut text, "Files", &files);
        let mut mapping = table(&[]);
        let is_told_below = |line: &str| line.starts_with("warning: ") || line.starts_with("not used");
        for line in self.mapping.iter().filter(|line| !is_told_below(line)) {
            let (role, column) = line.split_at(line.len().min(12));
            mapping.add_row([role.trim_end(), column.trim_start()]);
        }
        section(&mut text, "Columns", &mapping);
        if !self.extras.is_empty() {
            let mut extras = table(&["column", "holds", "features"]);
            for extra in &self.extras {
                extras.add_row([extra.column.as_str(), extra.kind.name(), extra.used_for]);
            }
            section(&mut text, "Other columns", &extras);
        }
        section(&mut text, "Rows", &self.rows_table());
        if !self.summary.rejects.is_empty() {
            let mut rejects = table(&["reason", "rows", "first in", "row", "column", "found"]);
            for rejected in self.summary.rejects.values() {
                let first = &rejected.first;
                rejects.add_row([
                    rejected.reason.code().to_string(),
                    count(rejected.rows),
                    first.file.clone(),
                    first.row.to_string(),
                    first.column.clone().unwrap_or_default(),
                    first.found.clone(),
                ]);
            }
            right(&mut rejects, &[1, 3]);
            section(&mut text, "Unusable rows", &rejects);
        }
        let mut events = table(&["event", "rows", "money"]);
        for event in &self.events {
            events.add_row([event.name.clone(), count(event.rows), event.value.map(money).unwrap_or_default()]);
        }
        right(&mut events, &[1, 2]);
        section(&mut text, "Events", &events);
        self.money_and_orders(&mut text);
        for names in &self.names {
            let mut top = table(&[]);
            for name in &names.top {
                top.add_row([name.name.clone(), count(name.rows)]);
            }
            right(&mut top, &[1]);
            let title = format!(
                "{}: {} different, {} events without",
                names.column,
                count(names.distinct as u64),
                count(names.missing)
            );
            section(&mut text, &title, &top);
        }
        if !self.gaps.is_empty() {
            let mut gaps = table(&["from", "to", "days"]);
            for gap in &self.gaps {
                gaps.add_row([gap.first.to_string(), gap.last.to_string(), gap.days.to_string()]);
            }
            right(&mut gaps, &[2]);
            section(&mut text, "Longest gaps without any event", &gaps);
        }
        let mut targets = table(&["target", "horizon", "longest possible", "can be learned"]);
        for target in &self.targets {
            targets.add_row([
                target.name.clone(),
                format!("{} days", target.horizon_days),
                format!("{} days", target.longest_horizon_days),
                target.obstacle.as_ref().map_or("yes".into(), |obstacle| format!("no: {obstacle}")),
            ]);
        }
        section(&mut text, "Targets", &targets);
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "problem: {problem}");
        }
        text
    }

    fn rows_table(&self) -> Table {
        let summary = &self.summary;
        let mut rows = table(&[]);
        rows.add_row(["rows".into(), count(summary.rows), String::new()]);
        rows.add_row(["usable events".into(), count(summary.used), String::new()]);
        let share = summary.anonymous_rows as f64 / summary.rows.max(1) as f64;
        let anonymous = format!("{}, worth {}", percent(share), money(summary.anonymous_value));
        rows.add_row(["without a customer".into(), count(summary.anonymous_rows), anonymous]);
        rows.add_row(["unusable".into(), count(summary.rejected()), percent(summary.reject_share())]);
        let duplicates = &self.duplicates;
        let first =
            duplicates.first.as_ref().map(|(file, row)| format!("the first in {file}, row {row}")).unwrap_or_default();
        rows.add_row(["repeats of another".into(), count(duplicates.rows), first]);
        rows.add_row(["customers".into(), count(self.customers), String::new()]);
        let times = match (&self.first, &self.last) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => String::new(),
        };
        rows.add_row(["days".into(), count(self.history_days.max(0) as u64), times]);
        right(&mut rows, &[1]);
        rows
    }

    fn money_and_orders(&self, text: &mut String) {
        let mut rows = table(&[]);
        if let Some(all) = &self.money {
            for (name, value) in [
                ("sum", money(all.sum)),
                ("smallest", money(all.min)),
                ("median, within 1 %", money(all.median_approximate)),
                ("largest", money(all.max)),
                ("negative", percent(all.negative_share)),
            ] {
                rows.add_row([name.to_string(), value]);
            }
            right(&mut rows, &[1]);
            section(text, &format!("Money of {} events", count(all.rows)), &rows);
        }
        if let Some(orders) = &self.orders {
            let mut rows = table(&[]);
            rows.add_row(["orders".to_string(), count(orders.orders)]);
            rows.add_row(["customers with orders".to_string(), count(orders.customers)]);
            rows.add_row(["orders for each".to_string(), format!("{:.3}", orders.per_customer)]);
            rows.add_row(["with more than one".to_string(), percent(orders.repeat_share)]);
            rows.add_row(["ids of several customers".to_string(), count(orders.conflicting)]);
            right(&mut rows, &[1]);
            section(text, "Orders", &rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(money(-1234.5), "-1,234.50");
        assert_eq!(money(0.25), "0.25");
        assert_eq!(money(1.999), "2.00");
    }
}
