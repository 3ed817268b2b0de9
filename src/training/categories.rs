//! Absence and presence by category: dozens of columns that share rows, features and what the first of them has found.

use super::inputs::{Inputs, Judged};
use super::judge::{Candidate, judge_probability};
use super::material::Material;
use super::probability::{LEAST_OF_A_CLASS, PENALTY, base_rate, best_penalty, logistic, smaller_class};
use super::{Trained, TrainingError};
use crate::bundle::{FittedColumn, ProbabilityModel};
use crate::labels::Target;
use crate::models::FitError;
use crate::models::blend::Blend;
use crate::models::calibrate::{Calibration, CalibrationChoice};
use crate::models::logistic::{LogisticModel, PenalisedLogistic, Solver};
use crate::split::Split;

/// Mean gradient at which a category's fit ends: they come by the dozen, and calibration follows.
const TOLERANCE: f64 = 1e-5;

/// What the columns of one target learn from those before.
#[derive(Default)]
struct Warm {
    /// Where the next judged fit starts from.
    model: Option<LogisticModel>,
    /// The penalty that was best on the validation rows of the most frequent category.
    penalty: Option<f64>,
}

fn settings(alpha: f64) -> PenalisedLogistic {
    PenalisedLogistic { alpha, solver: Solver::Parallel, gradient_tolerance: TOLERANCE, ..PenalisedLogistic::default() }
}

/// The score columns of a target, one for each category.
pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    judged: Option<&Judged>,
    shipped: &Inputs,
    trained: &mut Trained,
) -> Result<Vec<FittedColumn>, TrainingError> {
    let mut warm = Warm::default();
    let names = target.columns();
    let mut columns = Vec::with_capacity(names.len());
    for (column, name) in names.into_iter().enumerate() {
        let broken = |source: FitError| TrainingError::Fit { target: name.clone(), source };
        let labels = shipped.rows.flags(column);
        let enough = |inputs: &Inputs| smaller_class(&inputs.rows.flags(column)) >= LEAST_OF_A_CLASS;
        let judged = judged.filter(|judged| enough(&judged.train) && enough(&judged.validate));
        let mut calibration = Calibration::Identity;
        let mut alpha = PENALTY;
        if let Some(judged) = judged {
            let (penalty, choice) = choose(judged, column, &mut warm).map_err(broken)?;
            let model = warm.model.as_ref().expect("fitted to be calibrated");
            if judged.test.rows.is_empty() {
                trained
                    .warnings
                    .push(format!("{name}: nobody was eligible at the test cut-off, so it was not judged."));
            } else {
                let scores = probabilities(model, &judged.test).map_err(broken)?;
                let scores = scores.into_iter().map(|score| choice.calibration.probability(score)).collect();
                let chosen = Candidate { name: "penalised logistic regression".into(), scores, is_chosen: true };
                let report = judge_probability(material, target, split, &judged.test, column, vec![chosen])?;
                trained.targets.push(report);
            }
            (alpha, calibration) = (penalty, choice.calibration);
        }
        let model = if smaller_class(&labels) < LEAST_OF_A_CLASS {
            trained.warnings.push(format!(
                "{name}: fewer than {LEAST_OF_A_CLASS} of {} training labels differ from the rest, so everyone gets the base rate.",
                labels.len()
            ));
            calibration = Calibration::Identity;
            ProbabilityModel::Rate(base_rate(&labels))
        } else {
            if judged.is_none() {
                trained
                    .warnings
                    .push(format!("{name}: too few labels before the test window to calibrate or judge it."));
            }
            let model = logistic(shipped, &labels, settings(alpha), None, warm.model.as_ref());
            ProbabilityModel::Logistic(model.map_err(broken)?)
        };
        columns.push(FittedColumn::Probability { model: Blend::only(model), calibration });
    }
    Ok(columns)
}

fn probabilities(model: &LogisticModel, inputs: &Inputs) -> Result<Vec<f64>, FitError> {
    Ok(model.probabilities(inputs.prepared.as_ref().expect("prepared for logistic models").view())?.to_vec())
}

/// The judged fit of a column, left in `warm`, with its penalty and its calibration.
fn choose(judged: &Judged, column: usize, warm: &mut Warm) -> Result<(f64, CalibrationChoice), FitError> {
    let penalty = match warm.penalty {
        Some(penalty) => penalty,
        None => best_penalty(judged, column)?,
    };
    warm.penalty = Some(penalty);
    let labels = judged.train.rows.flags(column);
    let model = logistic(&judged.train, &labels, settings(penalty), None, warm.model.as_ref())?;
    let scores = probabilities(&model, &judged.validate)?;
    warm.model = Some(model);
    let (outcomes, keys) = (judged.validate.rows.flags(column), judged.validate.rows.hashes());
    Ok((penalty, Calibration::choose(&scores, &outcomes, &keys, None)?))
}
