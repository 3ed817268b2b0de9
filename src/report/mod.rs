//! What a bundle is worth, in one struct with three printers: text for a terminal, JSON, and a page that needs nothing else.
//!
//! Each number has its window, its count, its interval and baselines beside it. A number that is missing stays missing to the
//! last cell: "–" in text and HTML, `null` in JSON.

pub(crate) mod format;
mod history;
mod html;
mod plots;
mod summary;
mod text;

use serde::{Deserialize, Serialize};

pub use history::History;

use crate::config::TargetKind;
use crate::metrics::{Decile, Evaluated, Intervals, MetricValue, ReliabilityBin};
use crate::time::{Day, Window};

/// Warnings that say the same of several columns (`COLUMN: what`), told as one.
pub fn together(warnings: &[String]) -> Vec<String> {
    let mut told: Vec<(Vec<&str>, &str)> = Vec::new();
    for warning in warnings {
        let (column, what) = match warning.split_once(": ") {
            Some((column, what)) if !column.contains(' ') => (Some(column), what),
            _ => (None, warning.as_str()),
        };
        match told.iter_mut().find(|(columns, said)| !columns.is_empty() && *said == what) {
            Some((columns, _)) if column.is_some() => columns.extend(column),
            _ => told.push((column.into_iter().collect(), what)),
        }
    }
    let line = |(columns, what): (Vec<&str>, &str)| match columns[..] {
        [] => what.to_string(),
        [one] => format!("{one}: {what}"),
        [one, other] => format!("{one} and {other}: {what}"),
        [first, ref rest @ ..] => format!("{first} and {} columns more: {what}", rest.len()),
    };
    told.into_iter().map(line).collect()
}

/// Everything that is known of a bundle's quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which bundle.
    pub bundle: String,
    /// First day that training did not see.
    pub as_of: Day,
    /// Unit of amounts, as printed; may be empty.
    pub currency: String,
    /// What was read, in the order of printing.
    pub data: Vec<Fact>,
    /// One for each score column.
    pub targets: Vec<TargetReport>,
    /// The readable tree of each target that has one.
    pub rules: Vec<TargetRules>,
    /// The features that the models see.
    pub features: Vec<FeatureNote>,
    /// What a reader must know before the first number.
    pub warnings: Vec<String>,
}

/// One line about the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// "events", "customers".
    pub name: String,
    /// As printed.
    pub value: String,
}

/// Rules that a person can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRules {
    /// Column of the target.
    pub target: String,
    /// One rule a line.
    pub rules: Vec<String>,
}

/// A feature and what it contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureNote {
    /// Column.
    pub name: String,
    /// Unit; may be empty.
    pub unit: String,
    /// Definition.
    pub note: String,
    /// Share of the models' total gain, 0 to 1; `None` when no model tells.
    pub importance: Option<f64>,
}

/// How the models of one score column did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Column, such as `churn_probability_90d`.
    pub name: String,
    /// The label in one sentence.
    pub label: String,
    /// What is asked of the window.
    pub kind: TargetKind,
    /// Declared target that this is one of many of (`per = "category"`); groups are summarised together.
    pub group: Option<String>,
    /// First day after the history that the judged predictions saw.
    pub cut_off: Day,
    /// Days in which the outcome was observed.
    pub window: Window,
    /// On whom the figures were found.
    pub evaluation: Evaluation,
    /// Customers judged.
    pub rows: u64,
    /// Customers with the outcome (absence, presence).
    pub positives: Option<u64>,
    /// Sum of the outcome (amount, count).
    pub total: Option<f64>,
    /// Share of the customers judged whose outcome lay within their 80 % interval (amount).
    #[serde(default)]
    pub coverage: Option<f64>,
    /// What stands behind the intervals; `None` when there are none.
    pub intervals: Option<Intervals>,
    /// Chosen, candidates, baselines, in the order of printing.
    pub models: Vec<ModelRow>,
    /// Reliability diagram of the chosen model; empty for amounts and counts.
    pub reliability: Vec<ReliabilityBin>,
    /// Decile table of the chosen model, best first.
    pub deciles: Vec<Decile>,
}

/// On whom figures were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluation {
    /// At a cut-off later than every training label window.
    LaterCutOff,
    /// On customers kept out of training, at its cut-offs: the history is too short for a later one.
    HeldOutCustomers,
}

impl Evaluation {
    /// What a reader may conclude, in a sentence or two.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::LaterCutOff => {
                "Judged at a cut-off later than every training window, which took no part in fitting, tuning, calibration or choice."
            }
            Self::HeldOutCustomers => {
                "Judged on customers kept out of training, in the same period: the history is too short for a later one. \
                 What changes with time is not tested, so expect less on new days."
            }
        }
    }
}

/// Part that a model plays in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// In the bundle.
    Chosen,
    /// Fitted and not chosen.
    Candidate,
    /// What must be beaten.
    Baseline,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Candidate => "candidate",
            Self::Baseline => "baseline",
        }
    }
}

/// One model of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// Name.
    pub model: String,
    /// Its part.
    pub role: Role,
    /// Its metrics; a metric that does not apply may be absent.
    pub metrics: Vec<MetricValue>,
}

impl ModelRow {
    /// The row of an evaluated model.
    pub fn new(model: impl Into<String>, role: Role, evaluated: &Evaluated) -> Self {
        Self { model: model.into(), role, metrics: evaluated.metrics.clone() }
    }

    /// A metric by name.
    pub fn metric(&self, name: &str) -> Option<&MetricValue> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The value of a metric by name, where it is defined.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.metric(name)?.value.filter(|value| value.is_finite())
    }
}

impl TargetReport {
    /// The model in the bundle.
    pub fn chosen(&self) -> Option<&ModelRow> {
        self.models.iter().find(|model| model.role == Role::Chosen)
    }

    /// The metric that ranks targets of this kind: `roc_auc`, or `gini_normalized` for amounts and counts.
    pub fn headline(&self) -> &'static str {
        if self.is_binary() { "roc_auc" } else { "gini_normalized" }
    }

    /// Whether the outcome is yes or no.
    pub fn is_binary(&self) -> bool {
        matches!(self.kind, TargetKind::Absence | TargetKind::Presence)
    }

    /// The best headline value of a baseline.
    pub fn best_baseline(&self) -> Option<f64> {
        let baselines = self.models.iter().filter(|model| model.role == Role::Baseline);
        baselines.filter_map(|model| model.value(self.headline())).max_by(f64::total_cmp)
    }

    /// Names of the metrics that any model has, in the order of the catalogue; unknown ones last, as they came.
    fn metric_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for metric in self.models.iter().flat_map(|model| &model.metrics) {
            if !names.contains(&metric.name) {
                names.push(metric.name.clone());
            }
        }
        let place = |name: &String| crate::metrics::METRICS.iter().position(|metric| metric.name == *name);
        names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
        names
    }
}

impl Report {
    /// Features with the largest importance first, those without one last.
    pub fn features_by_importance(&self) -> Vec<&FeatureNote> {
        let mut features: Vec<&FeatureNote> = self.features.iter().collect();
        let importance = |feature: &FeatureNote| feature.importance.unwrap_or(f64::NEG_INFINITY);
        features.sort_by(|a, b| importance(b).total_cmp(&importance(a)));
        features
    }

    /// For a terminal: at most 120 columns, no colour.
    pub fn to_text(&self) -> String {
        text::print(self)
    }

    /// Everything, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has text keys")
    }

    /// A page of its own: style and plots inside, no script, nothing loaded from elsewhere.
    pub fn to_html(&self) -> String {
        html::print(self)
    }
}

#[cfg(test)]
mod sample;
