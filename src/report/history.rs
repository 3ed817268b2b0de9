//! How predictions turned out, day after day, as text and as a page.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::scores::realised::{Estimate, Outcome, Realised, RealisedColumn};
use crate::time::Day;

use super::format;
use super::html::{Escaped, STYLE};
use super::plots;

/// What is known of the partitions of a folder.
pub struct History<'a> {
    /// Those whose windows have passed, oldest first.
    pub realised: &'a [Realised],
    /// Estimates of those whose windows have not: day and column.
    pub estimates: &'a [(Day, String, Estimate)],
}

/// Rows of a table on a terminal, at most.
const ROWS: usize = 30;

impl History<'_> {
    /// Columns with their days, oldest first; those of single categories last.
    fn columns(&self) -> Vec<(&str, Vec<(Day, &RealisedColumn)>)> {
        let mut columns: Vec<(&str, Vec<(Day, &RealisedColumn)>)> = Vec::new();
        for realised in self.realised {
            for column in &realised.columns {
                match columns.iter_mut().find(|(name, _)| *name == column.column) {
                    Some((_, days)) => days.push((realised.as_of, column)),
                    None => columns.push((&column.column, vec![(realised.as_of, column)])),
                }
            }
        }
        // Nobody is told apart by stage where a column is one of many.
        columns.sort_by_key(|(_, days)| days.iter().all(|(_, column)| column.stages.is_empty()));
        columns
    }

    /// For a terminal: for each column a line a day, then its stages and segments on the newest day.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, days) in self.columns() {
            let newest = days.last().expect("a column has a day").1;
            let _ = writeln!(text, "{name}: {}", newest.label);
            let metrics = metrics_of(newest);
            let _ = write!(text, "  {:<26}  {:>9}  {:>12}  {:>12}", "as_of", "rows", "actual", "predicted");
            metrics.iter().for_each(|(_, title)| text.push_str(&format!("  {title:>11}")));
            text.push('\n');
            for (day, column) in days.iter().skip(days.len().saturating_sub(ROWS)) {
                line(&mut text, &day.to_string(), &column.all, column.baseline_roc_auc, &metrics);
            }
            for (what, slices) in [("stage", &newest.stages), ("segment", &newest.segments)] {
                for (slice, outcome) in slices {
                    line(&mut text, &format!("  {what} {slice}"), outcome, None, &metrics);
                }
            }
            if newest.stages.is_empty() && newest.segments.is_empty() {
                text.push('\n');
                continue;
            }
            let lifts: Vec<String> = newest.deciles.iter().map(|decile| format::plain(decile.lift)).collect();
            let _ = writeln!(text, "  lift of the best 10 %, 20 %, … 100 %: {}\n", lifts.join(", "));
        }
        if self.realised.is_empty() {
            text.push_str("No window of any partition has passed and been judged yet.\n");
        }
        if !self.estimates.is_empty() {
            text.push_str(
                "Estimates, not proof: what the probabilities say about themselves until their windows have passed.\n",
            );
        }
        for (day, column, estimate) in self.estimates.iter().rev().take(ROWS) {
            let _ = writeln!(
                text,
                "  {day}  {column}: {} rows, {} expected, ROC AUC about {}, Brier about {}",
                format::count(estimate.rows),
                format::amount(Some(estimate.expected_positives)),
                format::plain(estimate.estimated_roc_auc),
                format::plain(Some(estimate.estimated_brier))
            );
        }
        text
    }

    /// A page of its own, with a plot of each figure over the days, and of calibration, gains and deciles on the newest.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        self.page(&mut page).expect("writing to a string does not fail");
        page
    }

    fn page(&self, page: &mut String) -> fmt::Result {
        write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>bellwether – how predictions turned out</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header><div><p>bellwether · realised</p><h1>How predictions turned out</h1></div></header>\n<main>\n"
        )?;
        for (name, days) in self.columns() {
            let newest = days.last().expect("a column has a day").1;
            write!(
                page,
                "<section><h2>{}</h2><p class=\"label\">{}</p><p class=\"about\">{} partitions, the newest with the window \
                 {}.</p><div class=\"plots\">",
                Escaped(name),
                Escaped(&newest.label),
                days.len(),
                newest.window
            )?;
            for (metric, title) in metrics_of(newest) {
                let of = |column: &RealisedColumn| match metric {
                    "baseline" => column.baseline_roc_auc,
                    metric => column.all.value(metric),
                };
                let points: Vec<(Day, f64)> =
                    days.iter().filter_map(|(day, column)| Some((*day, of(column)?))).collect();
                if let Some(svg) = plots::over_days(&points, title) {
                    write!(page, "<figure>{svg}<figcaption>{title} by day of prediction</figcaption></figure>")?;
                }
            }
            let held = "share of the outcome";
            let is_share = !newest.reliability.is_empty();
            let shown = [
                (plots::reliability(&newest.reliability), "Calibration on the newest day"),
                (plots::gains(&newest.deciles, held), "Gains on the newest day"),
                (plots::deciles(&newest.deciles, "mean", is_share), "Deciles on the newest day"),
            ];
            for (svg, caption) in shown {
                if let Some(svg) = svg {
                    write!(page, "<figure>{svg}<figcaption>{caption}</figcaption></figure>")?;
                }
            }
            page.push_str("</div>");
            self.table(page, newest)?;
            page.push_str("</section>\n");
        }
        if !self.estimates.is_empty() {
            page.push_str(
                "<section><h2>Estimates</h2><p class=\"about\">Not proof: what the probabilities say about themselves until \
                 their windows have passed.</p><div class=\"scroll\"><table><tr><th>as_of</th><th>column</th><th>rows</th>\
                 <th>expected</th><th>ROC AUC, about</th><th>Brier, about</th></tr>",
            );
            for (day, column, estimate) in self.estimates {
                write!(
                    page,
                    "<tr><td>{day}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    Escaped(column),
                    format::count(estimate.rows),
                    format::amount(Some(estimate.expected_positives)),
                    format::plain(estimate.estimated_roc_auc),
                    format::plain(Some(estimate.estimated_brier))
                )?;
            }
            page.push_str("</table></div></section>\n");
        }
        page.push_str("</main>\n</body>\n</html>\n");
        Ok(())
    }

    /// Everybody, stages and segments on the newest day.
    fn table(&self, page: &mut String, newest: &RealisedColumn) -> fmt::Result {
        let metrics = metrics_of(newest);
        page.push_str("<div class=\"scroll\"><table><tr><th>who</th><th>rows</th><th>actual</th><th>predicted</th>");
        for (_, title) in &metrics {
            write!(page, "<th>{title}</th>")?;
        }
        page.push_str("</tr>");
        let slices = |what: &'static str, slices: &BTreeMap<String, Outcome>| {
            slices.iter().map(|(name, outcome)| (format!("{what} {name}"), outcome.clone(), None)).collect::<Vec<_>>()
        };
        let mut rows = vec![("everybody".to_string(), newest.all.clone(), newest.baseline_roc_auc)];
        rows.extend(slices("stage", &newest.stages));
        rows.extend(slices("segment", &newest.segments));
        for (who, outcome, baseline) in rows {
            write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                Escaped(&who),
                format::count(outcome.rows),
                format::amount(Some(outcome.actual)),
                format::amount(Some(outcome.predicted))
            )?;
            for (metric, _) in &metrics {
                write!(page, "<td>{}</td>", figure(&outcome, baseline, metric))?;
            }
            page.push_str("</tr>");
        }
        page.push_str("</table></div>");
        Ok(())
    }
}

/// Which figures are told of a column, with their titles.
fn metrics_of(column: &RealisedColumn) -> Vec<(&'static str, &'static str)> {
    let is_value = column.all.metrics.iter().any(|metric| metric.name == "value_ratio");
    if is_value {
        return vec![
            ("value_ratio", "value ratio"),
            ("mae", "MAE"),
            ("gini_normalized", "Gini"),
            ("spearman", "Spearman"),
        ];
    }
    let mut metrics = vec![("roc_auc", "ROC AUC")];
    if column.baseline_roc_auc.is_some() {
        metrics.push(("baseline", "baseline"));
    }
    metrics.extend([("brier", "Brier"), ("calibration_ratio", "calibration"), ("lift_at_10", "lift at 10")]);
    metrics
}

fn figure(outcome: &Outcome, baseline: Option<f64>, metric: &str) -> String {
    match metric {
        "baseline" => format::plain(baseline),
        "mae" => format::amount(outcome.value(metric)),
        metric => format::plain(outcome.value(metric)),
    }
}

fn line(text: &mut String, who: &str, outcome: &Outcome, baseline: Option<f64>, metrics: &[(&str, &str)]) {
    let _ = write!(
        text,
        "  {who:<26}  {:>9}  {:>12}  {:>12}",
        format::count(outcome.rows),
        format::amount(Some(outcome.actual)),
        format::amount(Some(outcome.predicted))
    );
    metrics.iter().for_each(|(metric, _)| text.push_str(&format!("  {:>11}", figure(outcome, baseline, metric))));
    text.push('\n');
}
