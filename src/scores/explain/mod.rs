//! One customer explained: what they have done, what is predicted of them, what adds to it, and why it has changed.
//!
//! Rows of old partitions tell what was predicted when, and the ranks among all customers. A bundle and the events of the
//! one customer tell the rest: the same code that scores everybody predicts again, and every prediction is taken apart.
//!
//! Between two days a prediction changes because of what is known of the customer, or because of another bundle. With the
//! score `s(bundle, day)` of a column,
//!
//! ```text
//! s(later, D2) − s(earlier, D1) = Σ_f [φ_f(earlier, D2) − φ_f(earlier, D1)]     each feature, by the earlier bundle
//!                               + [c(earlier, D2) − c(earlier, D1)]             what calibration makes of it
//!                               + [s(later, D2) − s(earlier, D2)]               the later bundle, at the later day
//! ```
//!
//! where `φ` are the contributions and `c = s − base − Σ φ` is what the calibration adds. Scores are log odds of
//! probabilities, and amounts and counts as they are. The order is that of [`diff`](super::diff): `data` is the sum of the first two.

mod look;
mod parts;
mod text;
mod timeline;

use std::collections::BTreeMap;

use serde::Serialize;

use super::row::ScoreRow;
use super::schema::{Extras, extras};
use crate::labels::Target;
use crate::time::Day;

pub(crate) use look::{Look, Looks};
pub use parts::{ChangeParts, ColumnChange, ColumnParts, FeatureChange, FeaturePart};
pub use text::TextOptions;
pub use timeline::{EventSummary, KindSummary, OrderSummary, TimelineSummary};

/// All that is told of a customer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Who.
    pub customer_id: String,
    /// History is every event before this day.
    pub as_of: Day,
    /// The bundle that the predictions are of.
    pub bundle_id: String,
    /// Whether the partition of the day has a row of the customer.
    pub is_in_partition: bool,
    /// `status` of the row.
    pub status: Option<String>,
    /// `lifecycle_stage` of the row.
    pub lifecycle_stage: Option<String>,
    /// Whether nobody should contact the customer.
    pub holdout: Option<bool>,
    /// The first day on which an excluded customer may be contacted again.
    pub excluded_until: Option<String>,
    /// What the customer has done; `None` without events.
    pub timeline: Option<TimelineSummary>,
    /// Each prediction, in the order of the score columns.
    pub predictions: Vec<Prediction>,
    /// What moved churn and value most, in words, by column of the score file.
    pub reasons: BTreeMap<String, Vec<String>>,
    /// Every feature of the catalogue; without events those of the partition, if it is Parquet and has them.
    pub features: Vec<FeatureValue>,
    /// What adds to the predictions that were asked for; empty without events.
    pub contributions: Vec<ColumnParts>,
    /// Rows of the customer in all partitions up to the later day, oldest first.
    pub history: Vec<HistoryRow>,
    /// Why predictions have changed; `None` when no other day is named.
    pub change: Option<Change>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// One prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Score column.
    pub column: String,
    /// What it says, as a sentence.
    pub label: String,
    /// The group, of a target that is repeated by group.
    pub group: Option<String>,
    /// The prediction; `None` where the customer is not eligible.
    pub value: Option<f64>,
    /// Whether it is a probability; an amount or a count otherwise.
    pub is_probability: bool,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Rank among all customers from 1 to 100, as the partition has it.
    pub percentile: Option<f64>,
    /// From 1 to 1000.
    pub permille: Option<f64>,
    /// From 1 to 100 within the lifecycle stage.
    pub percentile_in_stage: Option<f64>,
    /// Band or tier.
    pub band: Option<String>,
}

/// A feature and its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureValue {
    /// Name.
    pub feature: String,
    /// Value; `None` where it is missing.
    pub value: Option<f64>,
    /// Unit of it.
    pub unit: String,
    /// What it tells.
    pub note: String,
}

/// The reasons of a row, as the score file gives them.
pub(crate) fn reasons(row: &ScoreRow) -> BTreeMap<String, Vec<String>> {
    let columns = ["reasons", "value_reasons"];
    columns.into_iter().filter_map(|column| Some((column.to_string(), row.reasons(column)?))).collect()
}

/// The features of a row of a partition that was written with them: they stand after everything else.
pub(crate) fn features(row: &ScoreRow) -> Vec<FeatureValue> {
    let ScoreRow::Batch(batch) = row else { return Vec::new() };
    let schema = batch.schema();
    let fields = schema.fields().iter().skip_while(|field| field.name() != "schema_version").skip(1);
    let note = |field: &arrow::datatypes::Field, key: &str| field.metadata().get(key).cloned().unwrap_or_default();
    let feature = |field: &std::sync::Arc<arrow::datatypes::Field>| FeatureValue {
        feature: field.name().clone(),
        value: row.number(field.name()),
        unit: note(field, "unit"),
        note: note(field, "note"),
    };
    fields.map(feature).collect()
}

/// A row of an earlier partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Day of the partition.
    pub as_of: Day,
    /// The bundle that made it.
    pub bundle_id: String,
    /// `status`.
    pub status: Option<String>,
    /// `lifecycle_stage`.
    pub lifecycle_stage: Option<String>,
    /// Predictions that stand alone, by column.
    pub predictions: BTreeMap<String, Option<f64>>,
    /// Their percentiles.
    pub percentiles: BTreeMap<String, Option<f64>>,
}

/// Why predictions have changed between two days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The earlier day.
    pub from: Day,
    /// The later day.
    pub to: Day,
    /// The bundle of each.
    pub bundles: (String, String),
    /// Each prediction of both days.
    pub columns: Vec<ColumnChange>,
}

/// The predictions of a row, with their ranks when the row is of a partition.
pub(crate) fn predictions(targets: &[&Target], row: &ScoreRow, ranks: Option<&ScoreRow>) -> Vec<Prediction> {
    let mut predictions = Vec::new();
    for target in targets {
        let kind = extras(target);
        let rank = |what: &str| ranks.filter(|_| kind != Extras::None)?.number(&format!("{}_{what}", target.name));
        let end = |which: &str| {
            let column = format!("predicted_{}_{which}_{}d", target.name, target.horizon);
            (kind == Extras::Value).then(|| row.number(&column)).flatten()
        };
        let band = match kind {
            Extras::Churn => row.text(&format!("{}_band", target.name)),
            Extras::Value => row.text(&format!("{}_tier", target.name)),
            _ => None,
        };
        for (index, column) in target.columns().into_iter().enumerate() {
            let group = target.per_group.then_some(index);
            predictions.push(Prediction {
                label: target.sentence(group),
                group: group.map(|group| target.groups[group].name.clone()),
                value: row.number(&column),
                is_probability: target.is_probability(),
                low: end("low"),
                high: end("high"),
                percentile: rank("percentile"),
                permille: rank("permille"),
                percentile_in_stage: rank("percentile_in_stage"),
                band: band.clone(),
                column,
            });
        }
    }
    predictions
}

impl HistoryRow {
    /// That of a partition with these targets.
    pub(crate) fn new(as_of: Day, bundle_id: &str, targets: &[Target], row: &ScoreRow) -> Self {
        let single = || targets.iter().filter(|target| !target.per_group);
        let ranked = single().filter(|target| extras(target) != Extras::None);
        let column = |target: &Target| target.columns().swap_remove(0);
        Self {
            as_of,
            bundle_id: bundle_id.to_string(),
            status: row.text("status"),
            lifecycle_stage: row.text("lifecycle_stage"),
            predictions: single().map(|target| (column(target), row.number(&column(target)))).collect(),
            percentiles: ranked
                .map(|target| (column(target), row.number(&format!("{}_percentile", target.name))))
                .collect(),
        }
    }
}
