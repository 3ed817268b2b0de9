//! The report as one page: style and plots inside, no script, nothing loaded, readable on a phone and on paper.

use std::fmt::{self, Write};

use crate::config::TargetKind;
use crate::metrics::{Better, METRICS, metric_named};

use super::summary::{Group, headline};
use super::{Report, Role, TargetReport, format, plots};

pub(super) const STYLE: &str = include_str!("style.css");

/// Text that is data, not markup.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

pub fn print(report: &Report) -> String {
    let mut page = String::new();
    write_page(&mut page, report).expect("writing to a string does not fail");
    page
}

fn write_page(page: &mut String, report: &Report) -> fmt::Result {
    let (bundle, as_of) = (Escaped(&report.bundle), report.as_of);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{bundle} – bellwether report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><div><p>bellwether · model report as of {as_of}</p><h1>{bundle}</h1></div></header>\n<main>\n"
    )?;
    if !report.warnings.is_empty() {
        page.push_str("<section class=\"warnings\"><h2>Read this first</h2><ul>");
        for warning in &report.warnings {
            write!(page, "<li>{}</li>", Escaped(warning))?;
        }
        page.push_str("</ul></section>\n");
    }
    if !report.data.is_empty() {
        page.push_str("<section><dl class=\"facts\">");
        for fact in &report.data {
            write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", Escaped(&fact.name), Escaped(&fact.value))?;
        }
        page.push_str("</dl></section>\n");
    }
    for target in report.single_targets() {
        single(page, target, &report.currency)?;
    }
    for group in report.groups() {
        together(page, &group)?;
    }
    features(page, report)?;
    rules(page, report)?;
    glossary(page, report)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn single(page: &mut String, target: &TargetReport, currency: &str) -> fmt::Result {
    let (name, label) = (Escaped(&target.name), Escaped(&target.label));
    write!(page, "<section><h2>{name}</h2><p class=\"label\">{label}</p>")?;
    let population = format::population(target, currency);
    write!(
        page,
        "<p class=\"about\">Cut-off {}, window {}: {}. {}</p>",
        target.cut_off,
        target.window,
        Escaped(&population),
        target.evaluation.sentence()
    )?;
    tiles(page, target)?;
    models(page, target)?;
    if let Some(intervals) = format::intervals(target) {
        write!(page, "<p class=\"about\">{intervals}</p>")?;
    }
    figures(page, target, currency)?;
    decile_table(page, target)?;
    page.push_str("</section>\n");
    Ok(())
}

/// The numbers that most readers want, large.
fn tiles(page: &mut String, target: &TargetReport) -> fmt::Result {
    let Some(chosen) = target.chosen() else { return Ok(()) };
    let shown: &[(&str, &str)] = if target.is_binary() {
        &[
            ("roc_auc", "ROC AUC"),
            ("lift_at_10", "lift of the best tenth"),
            ("calibration_ratio", "actual ÷ predicted"),
            ("brier", "Brier score"),
        ]
    } else {
        &[
            ("gini_normalized", "normalised Gini"),
            ("top_10_value_share", "held by the best tenth"),
            ("value_ratio", "predicted ÷ actual"),
            ("mae_normalized", "mean error ÷ mean"),
        ]
    };
    page.push_str("<div class=\"tiles\">");
    for (name, title) in shown {
        let metric = chosen.metric(name);
        write!(page, "<div class=\"tile\"><span>{title}</span><b>{}</b>", format::metric(metric))?;
        let mut notes = Vec::new();
        notes.extend(format::interval(metric));
        if *name == target.headline() {
            notes.extend(target.best_baseline().map(|best| format!("best baseline {}", format::plain(Some(best)))));
        }
        write!(page, "<small>{}</small></div>", notes.join(" · "))?;
    }
    page.push_str("</div>");
    Ok(())
}

fn models(page: &mut String, target: &TargetReport) -> fmt::Result {
    let names = target.metric_names();
    page.push_str("<div class=\"scroll\"><table><thead><tr><th>model</th>");
    for name in &names {
        write!(page, "<th>{}</th>", Escaped(name).to_string().replace('_', "_<wbr>"))?;
    }
    page.push_str("</tr></thead><tbody>");
    let best: Vec<Option<f64>> = names.iter().map(|name| best_value(target, name)).collect();
    for row in &target.models {
        let class = if row.role == Role::Chosen { " class=\"chosen\"" } else { "" };
        write!(page, "<tr{class}><td>{}<small>{}</small></td>", Escaped(&row.model), row.role.word())?;
        for (name, best) in names.iter().zip(&best) {
            let metric = row.metric(name);
            let class = if best.is_some() && row.value(name) == *best { " class=\"best\"" } else { "" };
            write!(page, "<td{class}>{}", format::metric(metric))?;
            if let Some(interval) = format::interval(metric) {
                write!(page, "<small>{interval}</small>")?;
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    Ok(())
}

/// The best value of a metric among the models, when there are several to compare.
fn best_value(target: &TargetReport, name: &str) -> Option<f64> {
    let values: Vec<f64> = target.models.iter().filter_map(|row| row.value(name)).collect();
    if values.len() < 2 {
        return None;
    }
    let loss = |value: f64| match metric_named(name).map(|metric| metric.better) {
        Some(Better::Higher) => -value,
        Some(Better::Lower) => value,
        Some(Better::NearOne) => (value - 1.0).abs(),
        None => 0.0,
    };
    metric_named(name)?;
    values.into_iter().min_by(|&a, &b| loss(a).total_cmp(&loss(b)))
}

fn figures(page: &mut String, target: &TargetReport, currency: &str) -> fmt::Result {
    const GUESS: &str = "Dashes: customers taken at random.";
    let unit = if target.kind == TargetKind::Amount { currency } else { "" };
    let (held, mean) = match target.kind {
        TargetKind::Absence | TargetKind::Presence => ("customers with the outcome", "rate of the outcome"),
        TargetKind::Amount => ("value", "mean value"),
        TargetKind::Count => ("events", "mean number"),
    };
    let actual_and_predicted = format!(
        "<span class=\"key\" style=\"background:var(--main)\"></span> actual \
         <span class=\"key\" style=\"background:var(--other)\"></span> predicted {}",
        Escaped(unit)
    );
    let plots = [
        (
            plots::reliability(&target.reliability),
            "Reliability",
            "Groups of equal size with 95 % intervals. Dashes: predictions come true.".to_string(),
        ),
        (plots::gains(&target.deciles, held), "Gains", GUESS.into()),
        (plots::deciles(&target.deciles, mean, target.is_binary()), "Deciles", actual_and_predicted),
    ];
    if plots.iter().all(|(plot, ..)| plot.is_none()) {
        return Ok(());
    }
    page.push_str("<div class=\"plots\">");
    for (plot, title, note) in plots {
        if let Some(plot) = plot {
            write!(page, "<figure>{plot}<figcaption><b>{title}.</b> {note}</figcaption></figure>")?;
        }
    }
    page.push_str("</div>");
    Ok(())
}

fn decile_table(page: &mut String, target: &TargetReport) -> fmt::Result {
    if target.deciles.is_empty() {
        return Ok(());
    }
    let binary = target.is_binary();
    let mean = |number: f64| if binary { format::percent(Some(number)) } else { format::amount(Some(number)) };
    page.push_str(
        "<details><summary>Decile table</summary><div class=\"scroll\"><table><thead><tr><th>decile</th><th>customers</th>\
         <th>actual</th><th>actual mean</th><th>predicted mean</th><th>share of total so far</th><th>lift so far</th>",
    );
    page.push_str(if binary { "<th>KS</th></tr></thead><tbody>" } else { "</tr></thead><tbody>" });
    for row in &target.deciles {
        let actual = if binary { format::count(row.actual as u64) } else { format::amount(Some(row.actual)) };
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{actual}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            row.decile,
            format::count(row.rows),
            mean(row.mean_actual),
            mean(row.mean_predicted),
            format::percent(row.cumulative_share),
            format::plain(row.lift),
        )?;
        if binary {
            write!(page, "<td>{}</td>", format::percent(row.ks))?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div></details>");
    Ok(())
}

fn together(page: &mut String, group: &Group<'_>) -> fmt::Result {
    let first = group.members[0];
    let name = first.headline();
    let count = group.members.len();
    write!(
        page,
        "<section><h2>{}</h2><p class=\"label\">{count} targets, one for each category.</p>",
        Escaped(group.name)
    )?;
    if group.members.iter().all(|target| (target.window, target.evaluation) == (first.window, first.evaluation)) {
        let sentence = first.evaluation.sentence();
        write!(page, "<p class=\"about\">Cut-off {}, window {}. {sentence}</p>", first.cut_off, first.window)?;
    }
    if let Some(spread) = group.spread() {
        let mut tiles = vec![
            (format!("mean {name}"), format::plain(Some(spread.mean)), format!("over {} targets", spread.defined)),
            (format!("median {name}"), format::plain(Some(spread.median)), String::new()),
            ("lowest and highest".into(), interval_of(spread.ends), String::new()),
        ];
        if spread.better.1 > 0 {
            let (better, all) = spread.better;
            tiles.push(("better than every baseline".into(), format!("{better} of {all}"), format!("by {name}")));
        }
        page.push_str("<div class=\"tiles\">");
        for (title, value, note) in tiles {
            write!(page, "<div class=\"tile\"><span>{title}</span><b>{value}</b><small>{note}</small></div>")?;
        }
        page.push_str("</div>");
    }
    group_table(page, group)?;
    if let Some(intervals) = format::intervals(first) {
        write!(page, "<p class=\"about\">{intervals}</p>")?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn interval_of((low, high): (f64, f64)) -> String {
    format!("{} – {}", format::plain(Some(low)), format::plain(Some(high)))
}

fn group_table(page: &mut String, group: &Group<'_>) -> fmt::Result {
    let first = group.members[0];
    let name = first.headline();
    let shown: [&str; 3] = if first.is_binary() {
        ["average_precision", "lift_at_10", "calibration_ratio"]
    } else {
        ["spearman", "mae_normalized", "value_ratio"]
    };
    let counted = if first.is_binary() { "positives" } else { "total" };
    write!(
        page,
        "<div class=\"scroll\"><table><thead><tr><th>target</th><th>model</th><th>customers</th><th>{counted}</th>\
         <th>{name}</th><th>best baseline</th>"
    )?;
    for metric in shown {
        write!(page, "<th>{}</th>", metric.replace('_', "_<wbr>"))?;
    }
    page.push_str("</tr></thead><tbody>");
    // From guessing to perfect.
    let (guess, perfect) = if first.is_binary() { (0.5, 1.0) } else { (0.0, 1.0) };
    for target in &group.members {
        let chosen = target.chosen();
        let counted = target.positives.map_or_else(|| format::amount(target.total), format::count);
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{counted}</td>",
            Escaped(&target.name),
            Escaped(chosen.map_or(format::MISSING, |row| &row.model)),
            format::count(target.rows),
        )?;
        let width = headline(target).map_or(0.0, |value| 70.0 * ((value - guess) / (perfect - guess)).clamp(0.0, 1.0));
        let metric = chosen.and_then(|row| row.metric(name));
        write!(
            page,
            "<td>{}<span class=\"track\"><span class=\"bar\" style=\"width:{width:.0}px\"></span></span>",
            format::metric(metric)
        )?;
        if let Some(interval) = format::interval(metric) {
            write!(page, "<small>{interval}</small>")?;
        }
        write!(page, "</td><td>{}</td>", format::plain(target.best_baseline()))?;
        for name in shown {
            write!(page, "<td>{}</td>", format::metric(chosen.and_then(|row| row.metric(name))))?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    Ok(())
}

fn features(page: &mut String, report: &Report) -> fmt::Result {
    let ranked = report.features_by_importance();
    let Some(first) = ranked.first() else { return Ok(()) };
    let highest = first.importance.filter(|&importance| importance > 0.0);
    page.push_str(
        "<section><h2>Features</h2><p class=\"about\">Importance: share of the models’ total gain.</p><div class=\"scroll\"><table>\
         <thead><tr><th>feature</th><th>importance</th><th>unit</th><th style=\"text-align:left\">definition</th></tr></thead><tbody>",
    );
    for feature in ranked {
        let width =
            feature.importance.zip(highest).map_or(0.0, |(share, highest)| 70.0 * (share / highest).clamp(0.0, 1.0));
        let unit = if feature.unit.is_empty() { format::MISSING } else { &feature.unit };
        write!(
            page,
            "<tr><td>{}</td><td>{}<span class=\"track\"><span class=\"bar\" style=\"width:{width:.0}px\"></span></span></td>\
             <td>{}</td><td class=\"text\">{}</td></tr>",
            Escaped(&feature.name),
            format::percent(feature.importance),
            Escaped(unit),
            Escaped(&feature.note),
        )?;
    }
    page.push_str("</tbody></table></div></section>\n");
    Ok(())
}

fn rules(page: &mut String, report: &Report) -> fmt::Result {
    let trees: Vec<_> = report.rules.iter().filter(|rules| !rules.rules.is_empty()).collect();
    if trees.is_empty() {
        return Ok(());
    }
    page.push_str("<section><h2>In words</h2><p class=\"about\">The small tree of each target, as rules.</p>");
    for tree in trees {
        write!(page, "<h3>{}</h3><pre>", Escaped(&tree.target))?;
        for rule in &tree.rules {
            writeln!(page, "{}", Escaped(rule))?;
        }
        page.push_str("</pre>");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// What each metric on the page means.
fn glossary(page: &mut String, report: &Report) -> fmt::Result {
    let used: Vec<String> = report.targets.iter().flat_map(TargetReport::metric_names).collect();
    let used: Vec<_> = METRICS.iter().filter(|metric| used.iter().any(|name| name == metric.name)).collect();
    if used.is_empty() {
        return Ok(());
    }
    page.push_str("<section><h2>What the numbers mean</h2><dl class=\"glossary\">");
    for metric in used {
        let better = match metric.better {
            Better::Higher => "Higher is better.",
            Better::Lower => "Lower is better.",
            Better::NearOne => "Closer to 1 is better.",
        };
        write!(page, "<dt>{}</dt><dd>{} {better}</dd>", metric.name, metric.note)?;
    }
    page.push_str("</dl></section>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Report, sample};

    #[test]
    fn names_are_escaped_wherever_they_appear() {
        let evil = "<script>alert('x')</script>&\"";
        let mut report = sample::report();
        report.bundle = evil.into();
        report.currency = evil.into();
        report.data[0].name = evil.into();
        report.data[0].value = evil.into();
        report.warnings[0] = evil.into();
        report.rules[0].target = evil.into();
        report.rules[0].rules[0] = evil.into();
        let feature = &mut report.features[0];
        (feature.name, feature.unit, feature.note) = (evil.into(), evil.into(), evil.into());
        for target in &mut report.targets {
            (target.name, target.label) = (evil.into(), evil.into());
            target.group = target.group.as_ref().map(|_| evil.into());
            target.models[0].model = evil.into();
            let mut metric = target.models[0].metrics[0].clone();
            metric.name = evil.into();
            target.models[0].metrics.push(metric);
        }
        let page = report.to_html();
        assert!(!page.contains("<script") && !page.contains("alert('x')"), "not escaped");
        assert!(page.matches("&lt;script&gt;").count() > 10);
    }

    #[test]
    fn the_page_stands_alone_and_is_well_formed() {
        let page = sample::report().to_html();
        for outside in ["http", "src=", "href=", "url(", "@import", "<script", "<link", "NaN", "inf"] {
            assert!(!page.contains(outside), "{outside}");
        }
        for tag in ["section", "table", "tr", "td", "th", "div", "details", "figure", "svg", "dl", "p", "small", "span"]
        {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert!(opened > 0 && opened == page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert_eq!(page.matches("<svg").count(), 3 + 2); // no reliability for amounts
    }

    #[test]
    fn every_target_of_a_group_has_its_row() {
        let report = sample::report();
        let page = report.to_html();
        for target in &report.targets {
            assert!(page.contains(&target.name), "{}", target.name);
        }
    }

    #[test]
    fn json_survives_the_round_trip_and_keeps_missing_numbers() {
        let report = sample::report();
        let json = report.to_json();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let gift_cards = value["targets"].as_array().unwrap().last().unwrap();
        assert!(gift_cards["models"][0]["metrics"][0]["value"].is_null());
        assert_eq!(value["as_of"], report.as_of.to_string());
    }

    #[test]
    fn numbers_that_cannot_be_drawn_leave_the_plot_out() {
        let mut report = sample::report();
        for target in &mut report.targets {
            target.deciles.iter_mut().for_each(|row| row.mean_actual = f64::INFINITY);
            target.deciles.iter_mut().for_each(|row| row.cumulative_share = None);
            target.reliability.clear();
        }
        assert_eq!(report.to_html().matches("<svg").count(), 0);
    }

    /// `BELLWETHER_SAMPLE_REPORT=report.html cargo test --lib sample_page` writes the page, to be looked at.
    #[test]
    fn a_sample_page_can_be_written() {
        let page = sample::report().to_html();
        assert!(page.ends_with("</html>\n"));
        if let Some(path) = std::env::var_os("BELLWETHER_SAMPLE_REPORT") {
            std::fs::write(&path, &page).unwrap();
            std::fs::write(std::path::Path::new(&path).with_extension("txt"), sample::report().to_text()).unwrap();
        }
    }
}
