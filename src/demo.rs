//! The demo: a simulated shop from raw events to segments, with nothing to configure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::shell;
use crate::config::Config;
use crate::error::{Error, FileError};
use crate::lists::ListFiles;
use crate::pipeline::{self, FitOptions, RunOptions};
use crate::progress::Observer;
use crate::report::Report;
use crate::scores::{ScoreManifest, categories};
use crate::segments::{self, SegmentCounts, Segments};
use crate::simulate::{Simulation, simulate};
use crate::storage;
use crate::timeline::Budget;

/// The criteria of the demo: history and prediction in one predicate.
const SEGMENTS: &str = include_str!("demo_segments.toml");

/// What the demo did.
#[derive(Debug, Serialize)]
pub struct Demo {
    /// What every file is.
    pub places: BTreeMap<&'static str, PathBuf>,
    /// Commands that work when typed.
    pub next: Vec<String>,
    /// How good the models are.
    pub report: Report,
    /// What was scored.
    pub scores: ScoreManifest,
    /// Who is in which segment.
    pub segments: SegmentCounts,
}

impl Demo {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}", self.report.to_text(), self.scores.to_text(), self.segments.to_text());
        text.push_str("\nWhere everything is:\n");
        for (what, path) in &self.places {
            let _ = writeln!(text, "  {what:<15} {}", path.display());
        }
        text.push_str("\nWhat to type next:\n");
        for command in &self.next {
            let _ = writeln!(text, "  {command}");
        }
        text
    }
}

/// Simulates, fits, scores and segments below `root`.
///
/// # Errors
/// Folders that cannot be written, or that hold something else.
pub fn demo(root: &Path, customers: u64, observer: &dyn Observer) -> Result<Demo, Error> {
    let shop = root.join("datasets/demo");
    observer.stage("simulating a shop");
    let simulation = Simulation { customers, late_share: 0.01, dirty_share: 0.001, ..Simulation::default() };
    let simulated = simulate(&simulation, &shop, &|done| observer.advance(done, customers))?;
    let criteria = shop.join("segments.toml");
    storage::write_atomic(&criteria, |file| std::io::Write::write_all(file, SEGMENTS.as_bytes()))?;
    let events = vec![shop.join("events").display().to_string()];

    let config = Config { currency: "EUR".to_string(), ..Config::default() };
    // Rows that the simulation received after its last day would move the day of scoring.
    let as_of = simulated.last_day.plus(1);
    let models = root.join("models/demo");
    let options = FitOptions {
        export_features: None,
        attributes: Vec::new(),
        events: events.clone(),
        config,
        as_of: Some(as_of),
        out: models.clone(),
        rejects: None,
        dry_run: false,
        budget: Budget::default(),
        lists: ListFiles::default(),
    };
    let fitted = pipeline::fit(options, observer)?;
    let bundle = fitted.folder.as_ref().expect("this was no dry run");

    let segments = Segments::load(&criteria)?;
    let options = RunOptions {
        as_of: Some(as_of),
        with_features: true,
        segments: Some(segments.clone()),
        ..RunOptions::new(models.clone(), events, root.join("scores"))
    };
    let (manifest, scores) = pipeline::run(&options, observer)?;
    observer.stage("segmenting");
    let memberships = root.join("segments");
    std::fs::create_dir_all(&memberships).map_err(FileError::at("create the folder", &memberships))?;
    let counts = segments::evaluate(&segments, &scores, &memberships, as_of, rayon::current_num_threads())?;

    let categories = categories::folder(&root.join("scores"), as_of);
    let mut places = BTreeMap::from([
        ("events", shop.join("events")),
        ("truth", shop.join("truth")),
        ("bundle", bundle.clone()),
        ("report", bundle.join("report.html")),
        ("scores", scores),
        ("criteria", criteria.clone()),
        ("segments", memberships.join(format!("as_of={as_of}"))),
    ]);
    if categories.is_dir() {
        places.insert("category_scores", categories); // a long table with a row for a customer and a category
    }
    let events = shell(shop.join("events"));
    let (models, criteria) = (shell(&models), shell(&criteria));
    let (out, segments_out) = (shell(root.join("scores")), shell(&memberships));
    let next = vec![
        format!("bellwether-train check --events {events}"),
        format!(
            "bellwether-score run --bundle {models} --events {events} --as-of {as_of} --segments {criteria} --out {out} --segments-out {segments_out}"
        ),
        format!("bellwether-score segment --scores {out} --segments {criteria} --as-of {as_of} --out {segments_out}"),
        "bellwether-train fit --events YOUR_EVENTS --out models/shop".to_string(),
    ];
    Ok(Demo { places, next, report: fitted.bundle.report, scores: manifest, segments: counts })
}
