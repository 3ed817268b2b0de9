//! The demo: a simulated shop from raw events to segments, with nothing to configure.

use std::fmt::Write;
use std::path::Path;

use crate::config::Config;
use crate::error::{Error, FileError};
use crate::pipeline::{self, FitOptions, RunOptions};
use crate::progress::Observer;
use crate::segments::{self, Segments};
use crate::simulate::{Simulation, simulate};
use crate::storage;

/// The criteria of the demo: history and prediction in one predicate.
const SEGMENTS: &str = include_str!("demo_segments.toml");

/// Simulates, fits, scores and segments below `root`; returned: where everything is and what to type next.
///
/// # Errors
/// Folders that cannot be written, or that hold something else.
pub fn demo(root: &Path, customers: u64, observer: &dyn Observer) -> Result<String, Error> {
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
        events: events.clone(),
        config,
        as_of: Some(as_of),
        out: models.clone(),
        rejects: None,
        dry_run: false,
    };
    let fitted = pipeline::fit(options, observer)?;
    let bundle = fitted.folder.as_ref().expect("this was no dry run");

    let segments = Segments::load(&criteria)?;
    let options = RunOptions {
        bundle: models.clone(),
        events,
        as_of: Some(as_of),
        out: root.join("scores"),
        with_features: true,
        rejects: None,
        segments: Some(segments.clone()),
    };
    let (manifest, scores) = pipeline::run(&options, observer)?;
    observer.stage("segmenting");
    let memberships = root.join("segments");
    std::fs::create_dir_all(&memberships).map_err(FileError::at("create the folder", &memberships))?;
    let counts = segments::evaluate(&segments, &scores, &memberships, as_of, rayon::current_num_threads())?;

    let mut text = fitted.bundle.report.to_text();
    let _ = writeln!(text, "\n{}", manifest.to_text());
    let _ = writeln!(text, "{}", counts.to_text());
    let line = |what: &str, path: &Path| format!("  {what:<12} {}\n", path.display());
    text.push_str("Where everything is:\n");
    text.push_str(&line("events", &shop.join("events")));
    text.push_str(&line("truth", &shop.join("truth")));
    text.push_str(&line("bundle", bundle));
    text.push_str(&line("report", &bundle.join("report.html")));
    text.push_str(&line("scores", &scores));
    text.push_str(&line("criteria", &criteria));
    text.push_str(&line("segments", &memberships.join(format!("as_of={as_of}"))));
    let events = shop.join("events");
    let _ = write!(
        text,
        "\nWhat to type next:\n  \
         bellwether-train check --events {0}\n  \
         bellwether-score run --bundle {1} --events {0} --as-of {as_of} --segments {2}\n  \
         bellwether-train fit --events YOUR_EVENTS --out models/shop\n",
        events.display(),
        models.display(),
        criteria.display(),
    );
    Ok(text)
}
