//! The report on a terminal: one table per target, models as rows, at most 120 columns.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};

use super::summary::{Group, headline};
use super::{Report, Role, TargetReport, format};

/// Widest line.
pub const WIDTH: usize = 120;
/// Features listed; JSON and HTML have all.
const FEATURES: usize = 15;
/// Rules listed of each target: half of them from either end of the list, which goes from the most likely to the least.
const RULES: usize = 8;
/// A line below the header and nothing else.
const PRESET: &str = "     ──            ";

pub fn print(report: &Report) -> String {
    let mut out = Vec::new();
    out.push(format!("{} as of {}", report.bundle, report.as_of));
    let facts: Vec<String> = report.data.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
    if !facts.is_empty() {
        wrap(&mut out, "  ", &facts.join("; "));
    }
    for warning in super::together(&report.warnings) {
        wrap(&mut out, "", &format!("warning: {warning}"));
    }
    for target in report.single_targets() {
        out.push(String::new());
        single(&mut out, target, &report.currency);
    }
    for group in report.groups() {
        out.push(String::new());
        together(&mut out, &group);
    }
    if report.features.iter().any(|feature| feature.importance.is_some()) {
        out.push(String::new());
        features(&mut out, report);
    }
    for rules in report.rules.iter().filter(|rules| !rules.rules.is_empty()) {
        out.push(String::new());
        wrap(&mut out, "", &format!("{} as rules", rules.target));
        let all = rules.rules.len();
        let hidden = if all > RULES { RULES / 2..all - RULES / 2 } else { all..all };
        for (index, rule) in rules.rules.iter().enumerate() {
            if index == hidden.start {
                out.push(format!("  … {} more in report.html", hidden.len()));
            }
            if hidden.contains(&index) {
                continue;
            }
            let depth = rule.len() - rule.trim_start_matches(' ').len();
            wrap(&mut out, &" ".repeat(2 + depth.min(WIDTH / 2)), rule); // a tree is read by its indentation
        }
    }
    out.push(String::new());
    out.join("\n")
}

fn single(out: &mut Vec<String>, target: &TargetReport, currency: &str) {
    wrap(out, "", &target.name);
    wrap(out, "  ", &target.label);
    let population = format::population(target, currency);
    wrap(out, "  ", &format!("Cut-off {}, window {}: {population}.", target.cut_off, target.window));
    wrap(out, "  ", target.evaluation.sentence());
    let names = target.metric_names();
    let mut header = vec![String::new()];
    header.extend(names.iter().map(|name| break_name(name)));
    let mut table = table(header, 1);
    for row in &target.models {
        let model = match row.role {
            Role::Chosen => format!("> {}\n  ({})", row.model, row.role.word()),
            Role::Candidate => format!("  {}", row.model),
            Role::Baseline => format!("  {}\n  ({})", row.model, row.role.word()),
        };
        let mut cells = vec![model];
        for name in &names {
            let metric = row.metric(name);
            let interval = format::interval(metric).filter(|_| row.role == Role::Chosen);
            let value = format::metric(metric);
            cells.push(interval.map_or(value.clone(), |interval| format!("{value}\n{}", break_interval(&interval))));
        }
        table.add_row(cells);
    }
    push_table(out, table);
    if let Some(intervals) = format::intervals(target) {
        wrap(out, "  ", &intervals);
    }
}

fn together(out: &mut Vec<String>, group: &Group<'_>) {
    let first = group.members[0];
    let name = first.headline();
    wrap(out, "", &format!("{}: {} targets like {}", group.name, group.members.len(), first.name));
    let same_window = group.members.iter().all(|target| target.window == first.window);
    if same_window {
        wrap(out, "  ", &format!("Cut-off {}, window {}.", first.cut_off, first.window));
    }
    let same_evaluation = group.members.iter().all(|target| target.evaluation == first.evaluation);
    if same_evaluation {
        wrap(out, "  ", first.evaluation.sentence());
    }
    let Some(spread) = group.spread() else {
        wrap(out, "  ", &format!("{name} is undefined for all of them."));
        return;
    };
    let mut line = format!(
        "{name}: mean {}, median {}, from {} to {}",
        format::plain(Some(spread.mean)),
        format::plain(Some(spread.median)),
        format::plain(Some(spread.ends.0)),
        format::plain(Some(spread.ends.1)),
    );
    if spread.better.1 > 0 {
        line += &format!("; {} of {} rank better than every baseline", spread.better.0, spread.better.1);
    }
    if spread.defined < group.members.len() {
        line += &format!("; undefined for {}", group.members.len() - spread.defined);
    }
    wrap(out, "  ", &format!("{line}."));
    let second = if first.is_binary() { "calibration_ratio" } else { "value_ratio" };
    let counted = if first.is_binary() { "positives" } else { "total" };
    let (name, second_name) = (break_name(name), break_name(second));
    let header = ["", "model", "customers", counted, &name, "interval", "best\nbaseline", &second_name];
    let mut table = table(header.map(String::from).to_vec(), 2);
    let (best, worst, between) = group.ends();
    for target in best {
        table.add_row(group_row(target, second));
    }
    if between > 0 {
        table.add_row(vec![format!("… {between} between …")]);
    }
    for target in worst {
        table.add_row(group_row(target, second));
    }
    push_table(out, table);
}

fn group_row(target: &TargetReport, second: &str) -> Vec<String> {
    let chosen = target.chosen();
    let metric = chosen.and_then(|row| row.metric(target.headline()));
    let counted = target.positives.map_or_else(|| format::amount(target.total), format::count);
    vec![
        target.name.clone(),
        chosen.map_or(format::MISSING.into(), |row| row.model.clone()),
        format::count(target.rows),
        counted,
        format::plain(headline(target)),
        format::interval(metric).unwrap_or(format::MISSING.into()),
        format::plain(target.best_baseline()),
        format::plain(chosen.and_then(|row| row.value(second))),
    ]
}

fn features(out: &mut Vec<String>, report: &Report) {
    let ranked = report.features_by_importance();
    let shown = ranked.len().min(FEATURES);
    let title = if shown < ranked.len() {
        format!("Features: the first {shown} of {} by importance", ranked.len())
    } else {
        "Features by importance".into()
    };
    out.push(title);
    let mut table = table(["", "importance", "unit", "definition"].map(String::from).to_vec(), 4);
    table.column_mut(1).expect("four columns").set_cell_alignment(CellAlignment::Right);
    for feature in &ranked[..shown] {
        let unit = if feature.unit.is_empty() { format::MISSING } else { &feature.unit };
        table.add_row([&feature.name, &format::percent(feature.importance), unit, &feature.note]);
    }
    push_table(out, table);
}

/// A table whose first `texts` columns share the room that the others, numbers on one line each, leave.
fn table(header: Vec<String>, texts: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(PRESET).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16 - 1);
    table.set_header(header);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((1, 0));
        if i >= texts {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

fn push_table(out: &mut Vec<String>, mut table: Table) {
    if table.lines().any(|line| line.chars().count() >= WIDTH) {
        for column in table.column_iter_mut() {
            column.remove_constraint(); // enormous numbers wrap rather than leave the screen
        }
    }
    out.extend(table.lines().map(|line| format!(" {}", line.trim_end()).trim_end().to_string()));
}

/// Widest name, value or interval on one line: `calibration_`.
const NARROW: usize = 12;

/// `average_precision` on two lines, so that a table of eight metrics fits.
fn break_name(name: &str) -> String {
    let mut lines = vec![String::new()];
    for part in name.split_inclusive('_') {
        let letters: Vec<char> = part.chars().collect();
        for piece in letters.chunks(NARROW) {
            let line = lines.last_mut().expect("never empty");
            if !line.is_empty() && line.chars().count() + piece.len() > NARROW {
                lines.push(piece.iter().collect());
            } else {
                line.extend(piece);
            }
        }
    }
    lines.join("\n")
}

/// A wide interval on two lines.
fn break_interval(interval: &str) -> String {
    if interval.chars().count() <= NARROW {
        interval.into()
    } else {
        interval.replacen('–', "–\n", 1).replacen(" to ", " to\n", 1)
    }
}

/// Adds `text` in lines of at most [`WIDTH`] columns, each behind `indent`. A word longer than a line is cut.
fn wrap(out: &mut Vec<String>, indent: &str, text: &str) {
    let room = WIDTH - indent.len();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(room) {
            if used > 0 && used + 1 + piece.len() > room {
                out.push(format!("{indent}{line}"));
                (line, used) = (String::new(), 0);
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.extend(piece);
            used += piece.len();
        }
    }
    out.push(format!("{indent}{line}"));
}

#[cfg(test)]
mod tests {
    use super::super::{TargetRules, sample};
    use super::*;

    #[test]
    fn every_line_fits_even_with_long_names() {
        let mut report = sample::report();
        report.targets[0].models[1].model = "a_model_with_a_name_that_is_much_longer_than_anybody_would_like".into();
        for metric in &mut report.targets[1].models[0].metrics {
            metric.value = metric.value.map(|value| -1e8 * value);
            metric.low = Some(-987_654_321.0);
            metric.high = Some(987_654_321.0);
        }
        report.targets[5].name = "y".repeat(150);
        report.targets[5].models[0].model = "z".repeat(150);
        report.targets[1].name = "x".repeat(300);
        report.warnings.push("long ".repeat(80));
        for line in report.to_text().lines() {
            assert!(line.chars().count() <= WIDTH, "{}: {line}", line.chars().count());
        }
    }

    #[test]
    fn the_chosen_model_is_marked_and_missing_numbers_stay_missing() {
        let text = sample::report().to_text();
        assert!(text.contains("> boosted ") && text.contains("\n    (chosen)"), "{text}");
        let baseline = text.lines().find(|line| line.contains("  churn_factor")).unwrap();
        assert_eq!(baseline.matches('–').count(), 4, "{baseline}"); // no probability, so no calibration
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert!(text.contains("the history is too short for a later one"));
        assert!(text.contains("… 13 between …"), "{text}");
        assert!(text.contains("Intervals: 95 %, percentile bootstrap, 200 resamples of 2,400 customers."));
    }

    #[test]
    fn long_lists_are_cut_and_warnings_of_many_columns_are_one() {
        let mut report = sample::report();
        report.warnings = ["a_30d", "b_30d", "c_30d"].map(|column| format!("{column}: too few labels.")).to_vec();
        let rules = (0..11).map(|rule| format!("purchases > {rule} → 50 %")).collect();
        report.rules = vec![TargetRules { target: "churn".into(), rules }];
        let text = report.to_text();
        assert_eq!(text.matches("too few labels").count(), 1);
        assert!(text.contains("warning: a_30d and 2 columns more: too few labels."), "{text}");
        assert!(text.contains("purchases > 3 →") && text.contains("purchases > 7 →"), "{text}");
        assert!(!text.contains("purchases > 4 →") && !text.contains("purchases > 6 →"), "{text}");
        assert!(text.contains("  … 3 more in report.html"), "{text}");
    }

    #[test]
    fn an_empty_report_is_still_a_text() {
        let report = Report { targets: vec![], rules: vec![], features: vec![], data: vec![], ..sample::report() };
        assert!(report.to_text().starts_with("shop/"));
    }

    #[test]
    fn long_metric_names_take_two_lines() {
        assert_eq!(break_name("average_precision"), "average_\nprecision");
        assert_eq!(break_name("top_10_value_share"), "top_10_\nvalue_share");
        assert_eq!(break_name("pneumonoultramicroscopic_x"), "pneumonoultr\namicroscopic\n_x");
        assert_eq!(break_name("lift_at_10"), "lift_at_10");
    }
}
