//! What became of a run, for Prometheus' text format: a file for the textfile collector of the node exporter.

use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, ExitCode, FileError};
use crate::scores::{ScoreManifest, Verdict};
use crate::storage;

/// Families of samples, in the order in which they are asked for.
#[derive(Default)]
struct Families {
    text: String,
}

impl Families {
    /// One family: name, what it is, and its samples with their labels. Without samples there is none.
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Vec<(&'static str, String)>, f64)>) {
        let mut is_first = true;
        for (labels, value) in samples {
            if std::mem::take(&mut is_first) {
                let _ = write!(self.text, "# HELP bellwether_{name} {help}\n# TYPE bellwether_{name} gauge\n");
            }
            let labels: Vec<String> = labels
                .into_iter()
                .map(|(key, text)| {
                    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    format!("{key}=\"{escaped}\"")
                })
                .collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.text, "bellwether_{name}{labels} {value}");
        }
    }

    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help, [(Vec::new(), value)]);
    }
}

/// Seconds of a day, as Prometheus counts time.
const DAY_SECONDS: f64 = 86_400.0;

fn of_partition(families: &mut Families, manifest: &ScoreManifest) {
    let by = |key: &'static str, name: &str| vec![(key, name.to_string())];
    families.gauge(
        "partition_as_of_timestamp_seconds",
        "Scoring date of the newest partition, at 00:00 UTC.",
        [(by("bundle_id", &manifest.bundle_id), f64::from(manifest.as_of.0) * DAY_SECONDS)],
    );
    let rows = manifest.rows_by_status.iter().map(|(status, &rows)| (by("status", status), rows as f64));
    families.gauge("rows", "Customers scored, by status.", rows);
    families.one("events_known", "Events known at the scoring date.", manifest.known.events as f64);
    families.one("rejected_rows", "Rows of events that could not be used.", manifest.data.rejected() as f64);
    for (name, help, value) in [
        ("expected_churners", "Sum of the churn probabilities.", manifest.expected_churners),
        ("expected_value", "Sum of the predicted value.", manifest.expected_value),
    ] {
        families.gauge(name, help, value.map(|value| (Vec::new(), value)));
    }
    let means = manifest.means.iter().filter_map(|(column, mean)| Some((by("column", column), (*mean)?)));
    families.gauge("prediction_mean", "Mean of a prediction.", means);
    let drift = manifest.drift.columns.iter().filter(|(column, _)| manifest.means.contains_key(*column));
    let drift = drift.flat_map(|(column, drift)| {
        let against = [("training", drift.training), ("last", drift.last)];
        against.into_iter().filter_map(move |(against, psi)| {
            Some((vec![("column", column.clone()), ("against", against.to_string())], psi?))
        })
    });
    families.gauge("prediction_psi", "Population stability index of a prediction.", drift);
    let checks = &manifest.gates.checks;
    let figures = checks.iter().filter_map(|gate| Some((by("gate", &gate.name), gate.figure?)));
    families.gauge("gate_figure", "What a gate measured.", figures);
    let limits = checks.iter().map(|gate| (by("gate", &gate.name), gate.limit));
    families.gauge("gate_limit", "What a gate is held against.", limits);
    let missed =
        checks.iter().map(|gate| (by("gate", &gate.name), f64::from(u8::from(gate.verdict == Verdict::Missed))));
    families.gauge("gate_missed", "1 when a gate was missed and the run forced.", missed);
    type Figure = fn(&crate::scores::realised::RealisedSummary) -> Option<f64>;
    let realised: [(&str, &str, Figure); 5] = [
        ("realised_roc_auc", "ROC AUC of the newest predictions whose window has passed.", |found| found.roc_auc),
        ("realised_brier", "Brier score of the newest predictions whose window has passed.", |found| found.brier),
        ("realised_calibration_ratio", "What happened divided by what was predicted.", |found| found.calibration_ratio),
        ("realised_value_ratio", "What was predicted divided by what happened.", |found| found.value_ratio),
        ("realised_mae", "Mean absolute error of amounts and counts.", |found| found.mae),
    ];
    for (name, help, figure) in realised {
        let samples =
            manifest.realised.iter().filter_map(|(column, found)| Some((by("column", column), figure(found)?)));
        families.gauge(name, help, samples);
    }
}

/// Writes the metrics of a run to `path`, whole or not at all: of the newest partition, or why there is none.
///
/// # Errors
/// A file that cannot be written.
pub fn write_metrics(path: &Path, run: Result<&ScoreManifest, &Error>) -> Result<(), FileError> {
    let mut families = Families::default();
    let code = run.map_or_else(Error::exit_code, |_| ExitCode::Done);
    families.one("run_exit_code", "Exit code of the last run.", f64::from(code as u8));
    match run {
        Ok(manifest) => of_partition(&mut families, manifest),
        Err(error) => {
            let explained = error.explain();
            let reason = explained.reason().map(|reason| (vec![("reason", reason.code().to_string())], 1.0));
            families.gauge("run_refused", "Why the last run wrote no partition.", reason);
            let figures = explained.figures().into_iter().map(|(name, figure)| (vec![("name", name)], figure));
            families.gauge("run_refused_figure", "Figures of missed gates, and their limits.", figures);
        }
    }
    storage::write_atomic(path, |file| std::io::Write::write_all(file, families.text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_families_are_told_once() {
        let mut families = Families::default();
        let samples = [("a\"b\\c\n", 1.5), ("d", 2.0)].map(|(name, value)| (vec![("gate", name.to_string())], value));
        families.gauge("gate_figure", "What a gate measured.", samples);
        families.gauge("nothing", "Never told.", []);
        assert_eq!(
            families.text,
            "# HELP bellwether_gate_figure What a gate measured.\n# TYPE bellwether_gate_figure gauge\n\
             bellwether_gate_figure{gate=\"a\\\"b\\\\c\\n\"} 1.5\nbellwether_gate_figure{gate=\"d\"} 2\n"
        );
    }
}
