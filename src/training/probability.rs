//! Absence and presence: members of a blend are fitted to training rows, weighed and calibrated on rows that they have not
//! seen, judged on the test rows, and refitted on all cut-offs up to the newest.

use ndarray::Axis;

use super::boosting::{self, Bins, Lesson};
use super::inputs::{Inputs, Judged};
use super::judge::{Candidate, judge_probability};
use super::material::{Material, Purpose};
use super::pool::{Fold, Pool, blended, folds};
use super::{Trained, TrainingError, categories, foresight_index, recipes};
use crate::bundle::{Cuts, FittedColumn, FittedTarget, ProbabilityModel};
use crate::config::TargetKind;
use crate::labels::Target;
use crate::models::FitError;
use crate::models::blend::{Blend, Member};
use crate::models::boosted::{Binned, BoostedTrees, Objective, Targets};
use crate::models::calibrate::Calibration;
use crate::models::logistic::{LogisticModel, PenalisedLogistic, Solver};
use crate::models::prepare::Preparation;
use crate::models::tree::ReadableTree;
use crate::report::TargetRules;
use crate::split::Split;

/// Penalties that are tried; the one with the least log loss on the validation rows is taken.
pub(super) const PENALTIES: [f64; 3] = [1.0, 30.0, 1000.0];
/// The penalty where none is tried: above this many rows it hardly matters.
pub(super) const PENALTY: f64 = 30.0;
pub(super) const PENALTY_SEARCH_ROWS: usize = 100_000;
/// Fewer positives (or negatives) than this get no model of their own, but the base rate.
pub(super) const LEAST_OF_A_CLASS: usize = 20;
pub(super) fn base_rate(labels: &[bool]) -> f64 {
    let positives = labels.iter().filter(|&&label| label).count();
    (positives as f64 + 0.5) / (labels.len() as f64 + 1.0)
}

pub(super) fn smaller_class(labels: &[bool]) -> usize {
    let positives = labels.iter().filter(|&&label| label).count();
    positives.min(labels.len() - positives)
}

pub(super) fn numbers(labels: &[bool]) -> Vec<f64> {
    labels.iter().map(|&label| f64::from(u8::from(label))).collect()
}

pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    settings: &mut Option<BoostedTrees>,
    trained: &mut Trained,
) -> Result<FittedTarget, TrainingError> {
    let broken = |source| TrainingError::Fit { target: target.name.clone(), source };
    let mut judged = Judged::select(material, target, split)?;
    let mut shipped = Inputs::new(material, target, material.select(target, split, Purpose::Shipped)?);
    if shipped.rows.is_empty() {
        return Err(TrainingError::NoEligibleRows { target: target.name.clone() });
    }
    if !target.per_group {
        refuse_single_class(target, &shipped)?;
    }
    // The judged fit and the shipped one have preparations of their own: the first must not see the test window.
    let is_judged = !judged.train.rows.is_empty();
    if is_judged {
        judged.prepare(&Preparation::fit(judged.train.columns.view()).map_err(broken)?).map_err(broken)?;
    }
    let preparation = Preparation::fit(shipped.columns.view()).map_err(broken)?;
    shipped.prepare(&preparation).map_err(broken)?;
    let judged = is_judged.then_some(&judged);
    let mut cuts = Cuts::default();
    let mut shared = None;
    let columns = if target.per_group {
        let fitted = categories::fit(material, target, split, judged, &shipped, trained)?;
        shared = fitted.shared;
        fitted.columns
    } else {
        let one = Single { material, target, split, name: target.columns().remove(0) };
        vec![one.fit(judged, &shipped, &preparation, settings, &mut cuts, trained)?]
    };
    let foresight = foresight_index(material, target, trained);
    let plan = trained.parameters.plans.len();
    let reference = Some(shipped.reference(material, target)?);
    let (target, preparation) = (target.clone(), Some(preparation));
    Ok(FittedTarget { target, plan, foresight, shared, preparation, columns, cuts, reference })
}

fn refuse_single_class(target: &Target, shipped: &Inputs) -> Result<(), TrainingError> {
    let labels = shipped.rows.flags(0);
    if smaller_class(&labels) > 0 {
        return Ok(());
    }
    let yes = labels.first() == Some(&true);
    let label = match (target.kind, yes) {
        (TargetKind::Absence, true) => "\"nothing happened\"",
        (TargetKind::Absence, false) => "\"something happened\"",
        (_, true) => "yes",
        (_, false) => "no",
    };
    Err(TrainingError::SingleClass { target: target.name.clone(), rows: labels.len() as u64, label })
}

/// A fitted penalised logistic regression.
pub(super) fn logistic(
    rows: &Inputs,
    labels: &[bool],
    settings: PenalisedLogistic,
    warm: Option<&LogisticModel>,
) -> Result<LogisticModel, FitError> {
    let matrix = rows.prepared.as_ref().expect("prepared for logistic models").view();
    match warm.filter(|warm| warm.coefficients.len() == matrix.ncols()) {
        Some(warm) => settings.fit_from(warm, matrix, labels, rows.weights()),
        None => settings.fit_rows(matrix, labels, rows.weights()),
    }
}

/// The penalty with the least log loss on the validation rows.
pub(super) fn best_penalty(judged: &Judged, column: usize) -> Result<f64, FitError> {
    let labels = judged.train.rows.flags(column);
    if labels.len() > PENALTY_SEARCH_ROWS {
        return Ok(PENALTY);
    }
    let outcomes = judged.validate.rows.flags(column);
    let mut best: Option<(f64, f64)> = None;
    let mut former: Option<LogisticModel> = None;
    for alpha in PENALTIES {
        let settings = PenalisedLogistic { alpha, solver: Solver::Parallel, ..PenalisedLogistic::default() };
        let model = logistic(&judged.train, &labels, settings, former.as_ref())?;
        let validate = judged.validate.prepared.as_ref().expect("prepared with the training rows");
        let scores = model.probabilities(validate.view())?.to_vec();
        let loss = crate::metrics::calibration::log_loss(&outcomes, &scores).unwrap_or(f64::INFINITY);
        if best.is_none_or(|(least, _)| loss < least) {
            best = Some((loss, alpha));
        }
        former = Some(model);
    }
    Ok(best.map_or(PENALTY, |(_, alpha)| alpha))
}

/// The one score column of a target.
struct Single<'a> {
    material: &'a Material<'a>,
    target: &'a Target,
    split: &'a Split,
    name: String,
}

/// What the judged fit has found, for the fit that ships.
struct Found {
    penalty: f64,
    boosted: BoostedTrees,
    weights: Vec<f64>,
    calibration: Calibration,
}

impl Single<'_> {
    fn broken(&self, source: FitError) -> TrainingError {
        TrainingError::Fit { target: self.name.clone(), source }
    }

    fn fit(
        &self,
        judged: Option<&Judged>,
        shipped: &Inputs,
        preparation: &Preparation,
        settings: &mut Option<BoostedTrees>,
        cuts: &mut Cuts,
        trained: &mut Trained,
    ) -> Result<FittedColumn, TrainingError> {
        let labels = shipped.rows.flags(0);
        let enough = |inputs: &Inputs| smaller_class(&inputs.rows.flags(0)) >= LEAST_OF_A_CLASS;
        let judged = judged.filter(|judged| enough(&judged.train) && enough(&judged.validate));
        let found = match judged {
            Some(judged) => Some(self.judged(judged, settings, cuts, trained)?),
            None => None,
        };
        let uncalibrated = |model| FittedColumn::Probability { model, calibration: Calibration::Identity };
        if smaller_class(&labels) < LEAST_OF_A_CLASS {
            trained.warnings.push(format!(
                "{}: fewer than {LEAST_OF_A_CLASS} of {} training labels differ from the rest, so everyone gets the base rate.",
                self.name,
                labels.len()
            ));
            return Ok(uncalibrated(Blend::only(ProbabilityModel::Rate(base_rate(&labels)))));
        }
        self.tell_rules(shipped, &labels, trained)?;
        let Some(found) = found else {
            trained
                .warnings
                .push(format!("{}: too few labels before the test window to calibrate or judge it.", self.name));
            let settings = PenalisedLogistic { alpha: PENALTY, ..PenalisedLogistic::default() };
            let model = logistic(shipped, &labels, settings, None).map_err(|source| self.broken(source))?;
            self.weigh_by_coefficients(&model, preparation, trained);
            return Ok(uncalibrated(if shipped.has_foresight() {
                // Nothing tells them apart: the one that learns from labels and the one that needs none have an equal say.
                let prior = recipes::foreseen_prior(shipped, 0);
                let members = [ProbabilityModel::Logistic(model), ProbabilityModel::Occurrence { prior }];
                Blend { members: members.into_iter().map(|model| Member { weight: 0.5, model }).collect() }
            } else {
                Blend::only(ProbabilityModel::Logistic(model))
            }));
        };
        let fitted = self.members(shipped, &labels, &found).map_err(|source| self.broken(source))?;
        for member in &fitted {
            match &member.model {
                ProbabilityModel::Boosted(model) => self.weigh_by_gain(model, trained),
                ProbabilityModel::Logistic(model) if found.weights[BOOSTED] == 0.0 => {
                    self.weigh_by_coefficients(model, preparation, trained);
                }
                _ => {}
            }
        }
        Ok(FittedColumn::Probability { model: Blend { members: fitted }, calibration: found.calibration })
    }

    /// The members that have a weight, fitted to all that ships.
    fn members(
        &self,
        shipped: &Inputs,
        labels: &[bool],
        found: &Found,
    ) -> Result<Vec<Member<ProbabilityModel>>, FitError> {
        let mut members = Vec::new();
        for (member, &weight) in found.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let model = match member {
                LOGISTIC => {
                    let settings = PenalisedLogistic { alpha: found.penalty, ..PenalisedLogistic::default() };
                    ProbabilityModel::Logistic(logistic(shipped, labels, settings, None)?)
                }
                BOOSTED => {
                    let labels = numbers(labels);
                    let model = boosting::fit_rows(&found.boosted, shipped.columns.view(), shipped.targets(&labels))?;
                    ProbabilityModel::Boosted(model)
                }
                _ => ProbabilityModel::Occurrence { prior: recipes::foreseen_prior(shipped, 0) },
            };
            members.push(Member { weight, model });
        }
        Ok(members)
    }

    /// Fits, weighs, calibrates and judges; nothing of it sees the test window.
    fn judged(
        &self,
        judged: &Judged,
        settings: &mut Option<BoostedTrees>,
        cuts: &mut Cuts,
        trained: &mut Trained,
    ) -> Result<Found, TrainingError> {
        let broken = |source| self.broken(source);
        let Judged { train, validate, test } = judged;
        let (labels, outcomes) = (train.rows.flags(0), validate.rows.flags(0));
        let penalty = best_penalty(judged, 0).map_err(broken)?;
        let alpha_settings = PenalisedLogistic { alpha: penalty, ..PenalisedLogistic::default() };
        let linear = logistic(train, &labels, alpha_settings, None).map_err(broken)?;
        let (lesson, check) = (numbers(&labels), numbers(&outcomes));
        let bins = Bins::new(train.columns.view(), validate.columns.view()).map_err(broken)?;
        let lesson = Lesson { weights: train.weights(), ..Lesson::of(&lesson) };
        let check = Lesson::of(&check);
        let training = &self.material.config.training;
        if settings.is_none() {
            let hashes = train.rows.hashes();
            let found = boosting::search(&bins, lesson, check, &hashes, Objective::Logistic, training);
            *settings = Some(found.map_err(broken)?);
        }
        let known = settings.as_ref().expect("found above");
        let known = boosting::for_objective(known, Objective::Logistic);
        let (boosted, trees) = boosting::settle(known, &bins, lesson, check).map_err(broken)?;
        let mut members = vec![ProbabilityModel::Logistic(linear), ProbabilityModel::Boosted(trees)];
        if train.has_foresight() {
            members.push(ProbabilityModel::Occurrence { prior: recipes::foreseen_prior(train, 0) });
        }

        let of = |inputs: &Inputs| -> Result<Vec<Vec<f64>>, TrainingError> {
            members.iter().map(|member| member.scores(&inputs.view()).map_err(broken)).collect()
        };
        let mut pool = Pool::default();
        let validated = of(validate)?;
        pool.add(validated.clone(), &outcomes, &validate.rows.hashes(), &validate.rows.windows());
        self.add_folds(train, &labels, &bins.train, &alpha_settings, &boosted, members.get(FORESEEN), &mut pool)
            .map_err(broken)?;
        let mut weights = pool.weights().map_err(broken)?;
        let choice = pool.calibration(&weights).map_err(broken)?;
        if self.target.kind == TargetKind::Absence {
            let calibrated = |score: f64| choice.calibration.probability(score);
            let probabilities: Vec<f64> = blended(&validated, &weights).into_iter().map(calibrated).collect();
            *cuts = Cuts::of_churn(&probabilities, &self.material.config.scores);
        }
        let mut calibration = choice.calibration.clone();
        if test.rows.is_empty() {
            trained
                .warnings
                .push(format!("{}: nobody was eligible at the test cut-off, so it was not judged.", self.name));
        } else {
            let tested = of(test)?;
            let calibrated = |score: f64| choice.calibration.probability(score);
            let scores: Vec<f64> = blended(&tested, &weights).into_iter().map(calibrated).collect();
            let mut candidates =
                vec![Candidate { name: describe(&members, &weights, choice.kind.name()), scores, is_chosen: true }];
            for (member, scores) in members.iter().zip(&tested) {
                candidates.push(Candidate { name: member.name().into(), scores: scores.clone(), is_chosen: false });
            }
            candidates.push(self.readable(train, test, &labels).map_err(broken)?);
            let report = judge_probability(self.material, self.target, self.split, test, 0, candidates)?;
            trained.targets.push(report);
            // What ships has seen the test window, too; so have its weights and its calibration.
            let outcomes = test.rows.flags(0);
            pool.add(tested, &outcomes, &test.rows.hashes(), &test.rows.windows());
            weights = pool.weights().map_err(broken)?;
            calibration = pool.calibration(&weights).map_err(broken)?.calibration;
        }
        Ok(Found { penalty, boosted, weights, calibration })
    }

    /// Adds training rows, each predicted by fits to other customers.
    fn add_folds(
        &self,
        train: &Inputs,
        labels: &[bool],
        bins: &Binned,
        alpha_settings: &PenalisedLogistic,
        boosted: &BoostedTrees,
        foreseen: Option<&ProbabilityModel>,
        pool: &mut Pool,
    ) -> Result<(), FitError> {
        let (hashes, windows) = (train.rows.hashes(), train.rows.windows());
        let foreseen = foreseen.map(|model| model.scores(&train.view())).transpose()?;
        let (lesson, prepared) = (numbers(labels), train.prepared.as_ref().expect("prepared for logistic models"));
        for Fold { inside, outside } in folds(&hashes) {
            let of = |rows: &[usize]| -> Vec<bool> { rows.iter().map(|&row| labels[row]).collect() };
            let others = of(&outside);
            if inside.is_empty() || smaller_class(&others) < LEAST_OF_A_CLASS / 2 {
                continue; // too few to learn from: the other rows of the pool decide
            }
            let weights = train.weights_of(&outside);
            let matrix = prepared.select(Axis(0), &outside);
            let linear = alpha_settings.fit_rows(matrix.view(), &others, weights.as_deref())?;
            let linear = linear.probabilities(prepared.select(Axis(0), &inside).view())?.to_vec();
            let weights = train.weights_at(&outside);
            let trees = boosted.fit_binned(bins, Targets::of(&lesson).weighted(&weights), None)?;
            let trees = trees.predict(train.columns.select(Axis(0), &inside).view())?.to_vec();
            let mut members = vec![linear, trees];
            members.extend(foreseen.as_ref().map(|all| inside.iter().map(|&row| all[row]).collect::<Vec<f64>>()));
            let keys: Vec<u64> = inside.iter().map(|&row| hashes[row]).collect();
            let windows: Vec<u32> = inside.iter().map(|&row| windows[row]).collect();
            pool.add(members, &of(&inside), &keys, &windows);
        }
        Ok(())
    }

    /// The tree that a person can read, as a candidate: what its simplicity costs.
    fn readable(&self, train: &Inputs, test: &Inputs, labels: &[bool]) -> Result<Candidate, FitError> {
        let tree = ReadableTree::default().fit_rows(train.columns.view(), labels, &train.rows.hashes())?;
        let scores = tree.probabilities(test.columns.view())?.to_vec();
        Ok(Candidate { name: "decision tree".into(), scores, is_chosen: false })
    }

    fn tell_rules(&self, shipped: &Inputs, labels: &[bool], trained: &mut Trained) -> Result<(), TrainingError> {
        let broken = |source| self.broken(source);
        let tree = ReadableTree::default().fit_rows(shipped.columns.view(), labels, &shipped.rows.hashes());
        let names: Vec<String> =
            self.material.columns_of(self.target).into_iter().map(|feature| feature.name).collect();
        let rules = tree.map_err(broken)?.rules(&names).map_err(broken)?;
        let rules = rules.iter().map(ToString::to_string).collect();
        trained.rules.push(TargetRules { target: self.name.clone(), rules });
        Ok(())
    }

    /// Share of each column in the gain of the first boosted trees.
    fn weigh_by_gain(&self, model: &crate::models::boosted::BoostedModel, trained: &mut Trained) {
        let gains: Vec<f64> = model.importance().iter().map(|column| column.gain).collect();
        let all: f64 = gains.iter().sum();
        if all > 0.0 {
            self.weigh(gains.iter().map(|gain| gain / all).enumerate(), trained);
        }
    }

    /// Share of each column in the sum of the magnitudes of the coefficients, which are of standardised columns.
    fn weigh_by_coefficients(&self, model: &LogisticModel, preparation: &Preparation, trained: &mut Trained) {
        let values = preparation.values().iter().map(|value| value.feature);
        let columns = values.chain(preparation.indicators().iter().copied());
        let mut weights = std::collections::BTreeMap::new();
        for (column, coefficient) in columns.zip(&model.coefficients) {
            *weights.entry(column).or_insert(0.0) += coefficient.abs();
        }
        let all: f64 = weights.values().sum();
        if all > 0.0 {
            self.weigh(weights.into_iter().map(|(column, weight)| (column, weight / all)), trained);
        }
    }

    /// Notes the shares of the first target that has any.
    fn weigh(&self, shares: impl Iterator<Item = (usize, f64)>, trained: &mut Trained) {
        if trained.features.iter().any(|feature| feature.importance.is_some()) {
            return;
        }
        let columns = self.material.columns_of(self.target);
        for (column, share) in shares {
            let name = &columns[column].name;
            match trained.features.iter_mut().find(|feature| feature.name == *name) {
                Some(feature) => feature.importance = Some(share),
                None => trained.features.push(super::note_of(&columns[column], Some(share))),
            }
        }
    }
}

/// Members in the order of their weights.
const LOGISTIC: usize = 0;
const BOOSTED: usize = 1;
const FORESEEN: usize = 2;

/// "0.70 boosted trees + 0.30 buy till you die, as it is".
fn describe(members: &[ProbabilityModel], weights: &[f64], calibration: &str) -> String {
    let named: Vec<String> = members
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0.0)
        .map(|(member, weight)| format!("{weight:.2} {}", member.name()))
        .collect();
    let calibrated = if calibration == "as it is" { String::new() } else { format!(", {calibration}-calibrated") };
    format!("{}{calibrated}", named.join(" + "))
}
