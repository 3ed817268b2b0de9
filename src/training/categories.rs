//! Absence and presence by category: dozens of columns that share rows, features, boosted trees and what the first of them has
//! found. Each column is a blend of its own of logistic regression and its output of the trees.

use ndarray::{Array2, Axis};

use super::boosting;
use super::inputs::{Inputs, Judged};
use super::judge::{Candidate, judge_probability};
use super::material::Material;
use super::pool::blended;
use super::probability::{LEAST_OF_A_CLASS, PENALTY, base_rate, best_penalty, logistic, smaller_class};
use super::{Trained, TrainingError};
use crate::bundle::{FittedColumn, ProbabilityModel};
use crate::labels::Target;
use crate::models::FitError;
use crate::models::blend::{Blend, Member, weights_of_probabilities};
use crate::models::boosted::{Binned, BoostedTrees, ManyModel, ManyTargets};
use crate::models::calibrate::{Calibration, CalibrationChoice};
use crate::models::logistic::{LogisticModel, PenalisedLogistic, Solver};
use crate::split::Split;

/// Mean gradient at which a category's fit ends: they come by the dozen, and calibration follows.
const TOLERANCE: f64 = 1e-5;

/// The score columns of a target by category.
pub(super) struct Categories {
    pub(super) columns: Vec<FittedColumn>,
    /// The trees that they share.
    pub(super) shared: Option<ManyModel>,
}

/// What the columns of one target learn from those before.
#[derive(Default)]
struct Warm {
    /// Where the next judged fit starts from.
    model: Option<LogisticModel>,
    /// The penalty that was best on the validation rows of the most frequent category.
    penalty: Option<f64>,
}

/// How one column is to be fitted.
struct Found {
    penalty: f64,
    /// Of the logistic regression and of the trees.
    weights: Vec<f64>,
    calibration: Calibration,
}

fn settings(alpha: f64) -> PenalisedLogistic {
    PenalisedLogistic { alpha, solver: Solver::Parallel, gradient_tolerance: TOLERANCE, ..PenalisedLogistic::default() }
}

fn has_both_classes(inputs: &Inputs, column: usize) -> bool {
    smaller_class(&inputs.rows.flags(column)) >= LEAST_OF_A_CLASS
}

/// Trees of the judged fit, and what they say of the rows that it has not learned from.
struct JudgedTrees {
    settings: BoostedTrees,
    rounds: Vec<usize>,
    /// Columns of the target that have an output, in the order of the outputs.
    outputs: Vec<usize>,
    validate: Array2<f64>,
    test: Array2<f64>,
}

impl JudgedTrees {
    fn fit(judged: &Judged, columns: usize, seed: u64) -> Result<Option<Self>, FitError> {
        let Judged { train, validate, test } = judged;
        let is_learnable = |&column: &usize| has_both_classes(train, column) && has_both_classes(validate, column);
        let outputs: Vec<usize> = (0..columns).filter(is_learnable).collect();
        if outputs.is_empty() {
            return Ok(None);
        }
        let labels = |inputs: &Inputs| inputs.rows.table().select(Axis(1), &outputs);
        let settings = boosting::shared(train.rows.len(), seed);
        let binned = Binned::fit(train.columns.view(), &[], settings.max_bins, None)?;
        let others = binned.more(validate.columns.view())?;
        let (lesson, check) = (labels(train), labels(validate));
        let targets = ManyTargets { labels: lesson.view(), weights: train.weights() };
        let check = ManyTargets { labels: check.view(), weights: None };
        let trees = settings.fit_many(&binned, targets, Some((&others, check)))?;
        let rounds = trees.rounds().to_vec();
        let (validate, test) = (trees.predict(validate.columns.view())?, trees.predict(test.columns.view())?);
        Ok(Some(Self { settings, rounds, outputs, validate, test }))
    }

    fn output(&self, column: usize) -> Option<usize> {
        self.outputs.iter().position(|&of| of == column)
    }

    /// The trees that ship.
    fn ship(&self, shipped: &Inputs) -> Result<ManyModel, FitError> {
        let rounds = self.rounds.iter().copied().max().unwrap_or(0);
        let settings = BoostedTrees { rounds, early_stopping_rounds: None, ..self.settings.clone() };
        let binned = Binned::fit(shipped.columns.view(), &[], settings.max_bins, None)?;
        let labels = shipped.rows.table().select(Axis(1), &self.outputs);
        let targets = ManyTargets { labels: labels.view(), weights: shipped.weights() };
        settings.fit_many(&binned, targets, None)?.limited_to(&self.rounds)
    }
}

/// The score columns of a target, one for each category.
pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    judged: Option<&Judged>,
    shipped: &Inputs,
    trained: &mut Trained,
) -> Result<Categories, TrainingError> {
    let of_target = |source: FitError| TrainingError::Fit { target: target.name.clone(), source };
    let names = target.columns();
    let trees = match judged {
        Some(judged) => JudgedTrees::fit(judged, names.len(), material.config.training.seed).map_err(of_target)?,
        None => None,
    };
    let mut warm = Warm::default();
    let mut columns = Vec::with_capacity(names.len());
    for (column, name) in names.into_iter().enumerate() {
        let broken = |source: FitError| TrainingError::Fit { target: name.clone(), source };
        let labels = shipped.rows.flags(column);
        let enough = |judged: &&Judged| [&judged.train, &judged.validate].iter().all(|of| has_both_classes(of, column));
        let mut found = Found { penalty: PENALTY, weights: vec![1.0, 0.0], calibration: Calibration::Identity };
        let judged = judged.filter(enough);
        if let Some(judged) = judged {
            let output = trees.as_ref().and_then(|trees| Some((trees, trees.output(column)?)));
            let choice = choose(judged, column, output, &mut warm, &mut found).map_err(broken)?;
            if judged.test.rows.is_empty() {
                trained
                    .warnings
                    .push(format!("{name}: nobody was eligible at the test cut-off, so it was not judged."));
            } else {
                let model = warm.model.as_ref().expect("fitted to be calibrated");
                let linear = probabilities(model, &judged.test).map_err(broken)?;
                let boosted = output.map(|(trees, output)| trees.test.column(output).to_vec());
                let members: Vec<Vec<f64>> = std::iter::once(linear).chain(boosted).collect();
                let calibrated = |score: f64| choice.calibration.probability(score);
                let scores = blended(&members, &found.weights).into_iter().map(calibrated).collect();
                let chosen = Candidate { name: describe(&found.weights), scores, is_chosen: true };
                let report = judge_probability(material, target, split, &judged.test, column, vec![chosen])?;
                trained.targets.push(report);
            }
            found.calibration = choice.calibration;
        }
        if smaller_class(&labels) < LEAST_OF_A_CLASS {
            trained.warnings.push(format!(
                "{name}: fewer than {LEAST_OF_A_CLASS} of {} training labels differ from the rest, so everyone gets the base rate.",
                labels.len()
            ));
            let rate = Blend::only(ProbabilityModel::Rate(base_rate(&labels)));
            columns.push(FittedColumn::Probability { model: rate, calibration: Calibration::Identity });
            continue;
        }
        if judged.is_none() {
            trained.warnings.push(format!("{name}: too few labels before the test window to calibrate or judge it."));
        }
        let mut members = Vec::new();
        if found.weights[0] > 0.0 {
            let model = logistic(shipped, &labels, settings(found.penalty), warm.model.as_ref());
            let model = ProbabilityModel::Logistic(model.map_err(broken)?);
            members.push(Member { weight: found.weights[0], model });
        }
        let output = trees.as_ref().and_then(|trees| trees.output(column));
        if let (Some(&weight), Some(output)) = (found.weights.get(1).filter(|weight| **weight > 0.0), output) {
            members.push(Member { weight, model: ProbabilityModel::Shared { output } });
        }
        columns.push(FittedColumn::Probability { model: Blend { members }, calibration: found.calibration });
    }
    let shared = trees.map(|trees| trees.ship(shipped)).transpose().map_err(of_target)?;
    Ok(Categories { columns, shared })
}

fn describe(weights: &[f64]) -> String {
    match weights {
        [linear, boosted] if *boosted > 0.0 => {
            format!("{linear:.2} penalised logistic regression + {boosted:.2} boosted trees of all categories")
        }
        _ => "penalised logistic regression".into(),
    }
}

fn probabilities(model: &LogisticModel, inputs: &Inputs) -> Result<Vec<f64>, FitError> {
    Ok(model.probabilities(inputs.prepared.as_ref().expect("prepared for logistic models").view())?.to_vec())
}

/// The judged logistic regression of a column is left in `warm`, penalty and weights in `found`.
fn choose(
    judged: &Judged,
    column: usize,
    trees: Option<(&JudgedTrees, usize)>,
    warm: &mut Warm,
    found: &mut Found,
) -> Result<CalibrationChoice, FitError> {
    let penalty = match warm.penalty {
        Some(penalty) => penalty,
        None => best_penalty(judged, column)?,
    };
    warm.penalty = Some(penalty);
    found.penalty = penalty;
    let labels = judged.train.rows.flags(column);
    let model = logistic(&judged.train, &labels, settings(penalty), warm.model.as_ref())?;
    let linear = probabilities(&model, &judged.validate)?;
    warm.model = Some(model);
    let boosted = trees.map(|(trees, output)| trees.validate.column(output).to_vec());
    let members: Vec<Vec<f64>> = std::iter::once(linear).chain(boosted).collect();
    let (outcomes, keys) = (judged.validate.rows.flags(column), judged.validate.rows.hashes());
    // One window, and few positives in it: half-way to equal weights.
    let equal = 1.0 / members.len() as f64;
    let weights = weights_of_probabilities(&members, &outcomes)?;
    found.weights = weights.into_iter().map(|weight| (weight + equal) / 2.0).collect();
    Calibration::choose(&blended(&members, &found.weights), &outcomes, &keys, None)
}
