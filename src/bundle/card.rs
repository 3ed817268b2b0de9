//! `CARD.md`: what a bundle is, on one page for people.

use std::fmt::Write;

use super::Manifest;
use crate::report::Report;

/// The card of a bundle, in Markdown.
pub(super) fn card(manifest: &Manifest, report: &Report) -> String {
    let mut card = String::new();
    let _ = writeln!(card, "# Bundle {}\n", manifest.bundle_id);
    let _ = writeln!(
        card,
        "Fitted to {} events of {} customers before {} ({}), by bellwether {}.\n",
        manifest.data.used, manifest.customers, manifest.as_of, manifest.config.timezone, manifest.bellwether_version
    );
    let _ = writeln!(card, "## What it predicts\n");
    for column in &manifest.columns {
        let _ = writeln!(card, "- `{}`: {}", column.column, column.label);
    }
    let _ = writeln!(
        card,
        "\n## How well\n\nFigures on data that the judged fit never saw; `report.html` has all of them.\n"
    );
    let _ =
        writeln!(card, "| column | model | measure | value | best baseline | customers |\n|---|---|---|---|---|---|");
    let figure = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    for target in &report.targets {
        let chosen = target.chosen();
        let _ = writeln!(
            card,
            "| `{}` | {} | {} | {} | {} | {} |",
            target.name,
            chosen.map_or("–", |model| model.model.as_str()),
            target.headline(),
            figure(chosen.and_then(|model| model.value(target.headline()))),
            figure(target.best_baseline()),
            target.rows
        );
    }
    if !manifest.warnings.is_empty() {
        let _ = writeln!(card, "\n## Warnings\n");
        for warning in &manifest.warnings {
            let _ = writeln!(card, "- {warning}");
        }
    }
    let _ = writeln!(card, "\n## What it must not be used for\n");
    let _ = writeln!(
        card,
        "Probabilities say what customers do when they are treated as they were; they do not say what a campaign changes.\n\
         They hold for the population and the seasons that the events cover. Scores of customers with little history lean \
         on the average of similar newcomers."
    );
    card
}
