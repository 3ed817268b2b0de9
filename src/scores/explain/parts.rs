//! A prediction, and the change of a prediction, as sums.

use std::cmp::Ordering;

use serde::Serialize;

use super::look::Explained;
use crate::bundle::Scale;

/// A prediction as a sum: `base`, what each feature adds, and what the calibration adds make `score`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnParts {
    /// Score column.
    pub column: String,
    /// What the sum is measured in: `log odds` of a probability, `money` or `count`.
    pub scale: &'static str,
    /// As it is predicted.
    pub prediction: f64,
    /// The same in the scale.
    pub score: f64,
    /// The score of somebody of whom nothing is known.
    pub base: f64,
    /// Features that add anything, the largest first.
    pub features: Vec<FeaturePart>,
    /// What the calibration adds; `None` of amounts and counts, which have none.
    pub calibration: Option<f64>,
}

/// What a feature adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeaturePart {
    /// Its name.
    pub feature: String,
    /// The customer's value; `None` where it is missing.
    pub value: Option<f64>,
    /// What is usual, where the bundle knows.
    pub usual: Option<f64>,
    /// Unit of the values.
    pub unit: &'static str,
    /// What it tells.
    pub note: String,
    /// What it adds, in the scale of the column.
    pub adds: f64,
}

/// The change of a prediction as a sum: what each feature, the calibration, the other bundle and other events have changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnChange {
    /// Score column.
    pub column: String,
    /// What the sum is measured in; `None` where nothing but the two predictions is known.
    pub scale: Option<&'static str>,
    /// Earlier prediction; `None` where the customer was not eligible, or not known.
    pub before: Option<f64>,
    /// Later one.
    pub after: Option<f64>,
    /// The parts; `None` without events, and where a prediction is missing.
    pub parts: Option<ChangeParts>,
}

/// The parts of a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeParts {
    /// Earlier score, in the scale of the column.
    pub score_before: f64,
    /// Later score.
    pub score_after: f64,
    /// Features that have changed anything, the largest first.
    pub features: Vec<FeatureChange>,
    /// What the calibration makes of it; `None` of amounts and counts.
    pub calibration: Option<f64>,
    /// The other bundle; `None` when there is none.
    pub model: Option<f64>,
    /// Events, or lists, that are no longer what they were when the partitions were written; `None` where they are.
    pub restated: Option<f64>,
}

/// What a feature has changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureChange {
    /// Its name.
    pub feature: String,
    /// Earlier value.
    pub before: Option<f64>,
    /// Later value.
    pub after: Option<f64>,
    /// Unit of the values.
    pub unit: &'static str,
    /// What it has changed, in the scale of the column.
    pub adds: f64,
}

/// A prediction in the scale of its contributions.
pub(super) fn in_scale(scale: Scale, prediction: f64) -> f64 {
    match scale {
        Scale::LogOdds => prediction.ln() - (-prediction).ln_1p(),
        Scale::Money | Scale::Count => prediction,
    }
}

fn known(value: f32) -> Option<f64> {
    (!value.is_nan()).then(|| f64::from(value))
}

/// The largest first, equal ones by name.
fn by_size(a: (f64, &str), b: (f64, &str)) -> Ordering {
    b.0.abs().total_cmp(&a.0.abs()).then_with(|| a.1.cmp(b.1))
}

impl ColumnParts {
    /// Of an explained column.
    pub(super) fn of(explained: &Explained) -> Self {
        let found = &explained.contributions;
        let part = |(place, source): (usize, &crate::features::Feature)| FeaturePart {
            feature: source.name.clone(),
            value: known(found.values[[0, place]]),
            usual: found.usual[place].and_then(known),
            unit: source.unit.name(),
            note: source.note.clone(),
            adds: found.contributions[[0, place]],
        };
        let mut features: Vec<FeaturePart> =
            found.sources.iter().enumerate().map(part).filter(|part| part.adds != 0.0).collect();
        features.sort_by(|a, b| by_size((a.adds, &a.feature), (b.adds, &b.feature)));
        Self {
            column: explained.column.clone(),
            scale: found.scale.name(),
            prediction: explained.prediction,
            score: explained.score(),
            base: found.base,
            features,
            calibration: explained.calibration(),
        }
    }
}

/// One column on two days, as it was written then and as it is found now.
pub(super) struct Sides<'a> {
    /// The earlier bundle at the earlier day.
    pub(super) before: &'a Explained,
    /// The earlier bundle at the later day.
    pub(super) between: &'a Explained,
    /// The later bundle at the later day; `None` when it is the same.
    pub(super) after: Option<&'a Explained>,
    /// What the partitions say, where they do.
    pub(super) written: (Option<f64>, Option<f64>),
}

impl ColumnChange {
    /// Two predictions of which nothing else is known.
    pub(super) fn plain(column: &str, before: Option<f64>, after: Option<f64>) -> Self {
        Self { column: column.to_string(), scale: None, before, after, parts: None }
    }

    /// The change between two days.
    pub(super) fn of(sides: &Sides) -> Self {
        let Sides { before, between, after, written } = sides;
        let last = after.unwrap_or(between);
        let scale = before.contributions.scale;
        let (was, is) = (&before.contributions, &between.contributions);
        let one = |(place, source): (usize, &crate::features::Feature)| FeatureChange {
            feature: source.name.clone(),
            before: known(was.values[[0, place]]),
            after: known(is.values[[0, place]]),
            unit: source.unit.name(),
            adds: is.contributions[[0, place]] - was.contributions[[0, place]],
        };
        let mut features: Vec<FeatureChange> =
            was.sources.iter().enumerate().map(one).filter(|change| change.adds != 0.0).collect();
        features.sort_by(|a, b| by_size((a.adds, &a.feature), (b.adds, &b.feature)));
        let (first, second) = (written.0.unwrap_or(before.prediction), written.1.unwrap_or(last.prediction));
        let (score_before, score_after) = (in_scale(scale, first), in_scale(scale, second));
        let restated = (score_after - last.score()) - (score_before - before.score());
        let calibration = between.calibration().zip(before.calibration()).map(|(is, was)| is - was);
        Self {
            column: before.column.clone(),
            scale: Some(scale.name()),
            before: Some(first),
            after: Some(second),
            parts: Some(ChangeParts {
                score_before,
                score_after,
                features,
                calibration,
                model: after.map(|after| after.score() - between.score()),
                restated: (restated != 0.0).then_some(restated),
            }),
        }
    }
}
