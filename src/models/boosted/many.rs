//! Many outputs at once: one tree for all of them in each round, with a leaf value for each.
//!
//! The rows are binned once, and histograms are filled once a round instead of once for each output; trees are
//! found on a [sketch](super::sketch) of the gradients. A label that is `NaN` says that the row is not about that output. With
//! validation rows each output stops at the round where its own loss is least: from then on it has no say in the trees.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bins::Binned;
use super::fit::{Draw, TASK_ROWS};
use super::grow::{Grower, Grown, Limits};
use super::histogram::Scale;
use super::model::BoostedModel;
use super::sketch::{SKETCH, SketchBin, SketchRecord, SketchRules, signs};
use super::tree::Tree;
use super::{BoostedTrees, Objective, Targets, first_infinity};
use crate::models::{FitError, check_length, check_weights};

/// Rows whose derivatives are summed at a time: sums of floats are taken inside such a stretch first, then in their order.
const SUM_ROWS: usize = 2048;

/// Labels of n rows for K outputs.
#[derive(Debug, Clone, Copy)]
pub struct ManyTargets<'a> {
    /// n × K; `NaN` where a row is not about an output.
    pub labels: ArrayView2<'a, f32>,
    /// One for each row, or 1 for all.
    pub weights: Option<&'a [f64]>,
}

impl ManyTargets<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

/// A tree whose leaves have a value for each output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ManyTree {
    tree: Tree,
    /// Leaves × outputs, row by row.
    values: Vec<f64>,
}

/// Fitted trees of several outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredMany")]
pub struct ManyModel {
    objective: Objective,
    columns: usize,
    constants: Vec<f64>,
    rounds: Vec<usize>,
    trees: Vec<ManyTree>,
    validation_losses: Vec<Vec<f64>>,
}

/// As read from a file, before it is checked.
#[derive(Deserialize)]
struct StoredMany {
    objective: Objective,
    columns: usize,
    constants: Vec<f64>,
    rounds: Vec<usize>,
    trees: Vec<ManyTree>,
    validation_losses: Vec<Vec<f64>>,
}

impl TryFrom<StoredMany> for ManyModel {
    type Error = &'static str;

    fn try_from(stored: StoredMany) -> Result<Self, Self::Error> {
        let StoredMany { objective, columns, constants, rounds, trees, validation_losses } = stored;
        let outputs = constants.len();
        let fits = |tree: &ManyTree| {
            tree.values.len() == tree.tree.leaves().len() * outputs
                && tree.tree.splits().iter().all(|split| split.feature < columns)
        };
        if rounds.len() != outputs || rounds.iter().any(|rounds| *rounds > trees.len()) || !trees.iter().all(fits) {
            return Err("trees, columns and outputs do not fit together");
        }
        Ok(Self { objective, columns, constants, rounds, trees, validation_losses })
    }
}

impl ManyModel {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.constants.len()
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Trees that each output uses.
    pub fn rounds(&self) -> &[usize] {
        &self.rounds
    }

    /// For each output the mean validation loss after each round, as [`BoostedModel::validation_losses`]; it ends where
    /// the output had stopped.
    pub fn validation_losses(&self) -> &[Vec<f64>] {
        &self.validation_losses
    }

    /// Raw scores, n × K, of n × p `rows` (`NaN` where missing).
    ///
    /// # Errors
    /// Another width than at fitting, or an infinity.
    pub fn raw(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        if rows.ncols() != self.columns {
            return Err(FitError::WrongWidth { expected: self.columns, got: rows.ncols() });
        }
        first_infinity(rows)?;
        let outputs = self.outputs();
        let mut scores = Array2::zeros((rows.nrows(), outputs));
        let tasks = scores.axis_chunks_iter_mut(Axis(0), 64).into_par_iter();
        tasks.zip(rows.axis_chunks_iter(Axis(0), 64)).for_each(|(mut scores, rows)| {
            for (mut scores, row) in scores.rows_mut().into_iter().zip(rows.rows()) {
                let scores = scores.as_slice_mut().expect("a standard layout is contiguous");
                scores.copy_from_slice(&self.constants);
                for ManyTree { tree, values } in &self.trees {
                    let leaf = tree.leaf_of(|feature| row[feature].into());
                    let values = &values[leaf * outputs..(leaf + 1) * outputs];
                    scores.iter_mut().zip(values).for_each(|(score, value)| *score += value);
                }
            }
        });
        Ok(scores)
    }

    /// Predictions, n × K.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn predict(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        let mut scores = self.raw(rows)?;
        scores.par_mapv_inplace(|score| self.objective.prediction(score));
        Ok(scores)
    }

    /// One output as a model of its own, with contributions and all; `None` where there is no such output.
    pub fn output(&self, output: usize) -> Option<BoostedModel> {
        let trees = self.trees[..*self.rounds.get(output)?].iter().map(|ManyTree { tree, values }| {
            let mut tree = tree.clone();
            let values: Vec<f64> = values.iter().skip(output).step_by(self.outputs()).copied().collect();
            tree.set_values(&values);
            tree
        });
        Some(BoostedModel {
            objective: self.objective,
            columns: self.columns,
            constant: self.constants[output],
            trees: trees.collect(),
            validation_losses: self.validation_losses[output].clone(),
        })
    }
}

pub(super) fn fit(
    settings: &BoostedTrees,
    binned: &Binned,
    targets: ManyTargets,
    validation: Option<(&Binned, ManyTargets)>,
) -> Result<ManyModel, FitError> {
    settings.check(binned.columns())?;
    if matches!(settings.objective, Objective::Quantile { .. }) {
        return Err(FitError::ManyUnsupported { what: "the quantile loss" });
    }
    if settings.monotone.iter().any(|direction| *direction != 0) {
        return Err(FitError::ManyUnsupported { what: "a monotone constraint" });
    }
    let constants = constants(settings.objective, binned.rows(), targets, true)?;
    if constants.is_empty() {
        return Err(FitError::BadParameter { name: "labels", rule: "of at least one output", got: 0.0 });
    }
    let mut held_out = match validation {
        Some((rows, targets)) => {
            if !binned.same_cut_points(rows) {
                return Err(FitError::OtherCutPoints);
            }
            check_length("outputs of validation labels", constants.len(), targets.labels.ncols())?;
            self::constants(settings.objective, rows.rows(), targets, false)?;
            Some(Scores::new(settings.objective, rows, targets, &constants))
        }
        None => None,
    };
    let mut scores = Scores::new(settings.objective, binned, targets, &constants);
    let mut progress: Vec<Progress> = vec![Progress::default(); constants.len()];
    if let Some(held_out) = &held_out {
        held_out.watch(&mut progress, settings.early_stopping_rounds);
    }
    let mut grower = Grower::<SketchBin>::new(binned);
    let mut trees: Vec<ManyTree> = Vec::new();
    let counted: Vec<u32> = (0..binned.rows() as u32).filter(|row| targets.weight(*row as usize) > 0.0).collect();
    for round in 0..settings.rounds as u64 {
        let active: Vec<bool> = progress.iter().map(|progress| !progress.stopped).collect();
        if !active.contains(&true) {
            break;
        }
        let rows = settings.drawn(&counted, round);
        let (mut records, scale) = scores.sketch(&rows, &active, settings.stream(Draw::Signs, round));
        if !scale.is_finite() {
            return Err(FitError::Diverged { round: round as usize });
        }
        let rules = SketchRules {
            scale: Scale::of(scale),
            l2: settings.l2,
            min_gain: settings.min_gain,
            min_rows: settings.min_rows_per_leaf as i64,
        };
        let in_use = settings.features_in_use(binned.cut_points.features.len(), round);
        let limits = Limits::of(settings);
        let mut records: Vec<SketchRecord> =
            records.drain(..).map(|(row, sketch)| SketchRecord::new(row, sketch, rules.scale)).collect();
        let grown = grower.grow(&mut records, &in_use, &rules, limits);
        if grown.tree.splits().is_empty() && !settings.samples() {
            break;
        }
        let values = scores.leaf_values(settings, &grown, &records, &active);
        scores.add(&grown, &values);
        if let Some(held_out) = &mut held_out {
            held_out.add(&grown, &values);
            held_out.watch(&mut progress, settings.early_stopping_rounds);
        }
        trees.push(ManyTree { tree: grown.tree, values });
    }
    let stops = settings.early_stopping_rounds.is_some() && held_out.is_some();
    let rounds: Vec<usize> = progress.iter().map(|progress| if stops { progress.best } else { trees.len() }).collect();
    trees.truncate(rounds.iter().copied().max().unwrap_or(0));
    for (round, tree) in trees.iter_mut().enumerate() {
        for values in tree.values.chunks_mut(constants.len()) {
            values.iter_mut().zip(&rounds).filter(|(_, rounds)| **rounds <= round).for_each(|(value, _)| *value = 0.0);
        }
    }
    Ok(ManyModel {
        objective: settings.objective,
        columns: binned.columns(),
        constants,
        rounds,
        trees,
        validation_losses: progress.into_iter().map(|progress| progress.losses).collect(),
    })
}

/// How an output does on the validation rows.
#[derive(Debug, Clone, Default)]
struct Progress {
    losses: Vec<f64>,
    best: usize,
    stopped: bool,
}

/// The targets of one output as those of a single model, without the rows that are not about it.
fn single(targets: ManyTargets, output: usize) -> (Vec<f64>, Vec<f64>) {
    let column = targets.labels.column(output);
    let weights = column.iter().enumerate().map(|(row, y)| if y.is_nan() { 0.0 } else { targets.weight(row) });
    (column.iter().map(|y| f64::from(*y)).collect(), weights.collect())
}

/// Checks labels and weights; the best constant of each output, for which its labels must vary.
fn constants(objective: Objective, rows: usize, targets: ManyTargets, must_vary: bool) -> Result<Vec<f64>, FitError> {
    check_length("labels", rows, targets.labels.nrows())?;
    if let Some(weights) = targets.weights {
        check_length("weights", rows, weights.len())?;
        check_weights(weights)?;
    }
    let of_output = |output: usize| {
        let (labels, weights) = single(targets, output);
        let targets = Targets::of(&labels).weighted(&weights);
        objective.check(&targets, rows)?;
        if !must_vary {
            return Ok(0.0);
        }
        objective.check_varies(&targets)?;
        let constant = objective.constant(&targets);
        if constant.is_finite() { Ok(constant) } else { Err(FitError::Diverged { round: 0 }) }
    };
    let of_output = |output| of_output(output).map_err(|source| FitError::Output { output, source: Box::new(source) });
    (0..targets.labels.ncols()).into_par_iter().map(of_output).collect()
}

/// Rows with the scores of all outputs so far.
struct Scores<'a, 'b> {
    objective: Objective,
    binned: &'a Binned,
    targets: ManyTargets<'b>,
    outputs: usize,
    /// Row by row. Of 32 bits: an error of 1e-7 of a score changes no tree that deserves to be kept, and the model's own
    /// scores are of 64.
    scores: Vec<f32>,
}

impl<'a, 'b> Scores<'a, 'b> {
    fn new(objective: Objective, binned: &'a Binned, targets: ManyTargets<'b>, constants: &[f64]) -> Self {
        let start: Vec<f32> = constants.iter().map(|constant| *constant as f32).collect();
        let mut scores = vec![0.0; binned.rows() * constants.len()];
        scores.par_chunks_mut(constants.len().max(1)).for_each(|scores| scores.copy_from_slice(&start));
        Self { objective, binned, targets, outputs: constants.len(), scores }
    }

    fn of_row(&self, row: usize) -> &[f32] {
        &self.scores[row * self.outputs..(row + 1) * self.outputs]
    }

    /// The sketches of `rows`, and the largest magnitude in them. Outputs that are not `active` have no part in it.
    fn sketch(&self, rows: &[u32], active: &[bool], stream: u64) -> (Vec<(u32, [f32; SKETCH])>, f64) {
        let nothing = [0.0; SKETCH];
        let signs: Vec<[f32; SKETCH]> =
            (0..self.outputs).map(|output| if active[output] { signs(stream, output) } else { nothing }).collect();
        let sketches: Vec<(u32, [f32; SKETCH])> = rows
            .par_iter()
            .with_min_len(SUM_ROWS)
            .map(|row| {
                let at = *row as usize;
                let weight = self.targets.weight(at) as f32;
                let mut sums = nothing;
                for ((score, label), signs) in self.of_row(at).iter().zip(self.targets.labels.row(at)).zip(&signs) {
                    let gradient = gradient(self.objective, *score, *label);
                    sums.iter_mut().zip(signs).for_each(|(sum, sign)| *sum += gradient * sign);
                }
                (*row, sums.map(|sum| weight * sum))
            })
            .collect();
        let largest = sketches.par_iter().map(|(_, sums)| {
            sums.iter().fold(0.0f32, |largest, sum| if sum.abs() <= largest { largest } else { sum.abs() })
        });
        let largest = largest.reduce(|| 0.0, |a, b| if a.is_nan() || a > b { a } else { b });
        (sketches, largest.into())
    }

    /// Leaves × outputs: Newton steps times the learning rate.
    fn leaf_values(
        &self,
        settings: &BoostedTrees,
        grown: &Grown,
        records: &[SketchRecord],
        active: &[bool],
    ) -> Vec<f64> {
        let stretches: Vec<(usize, &[SketchRecord])> = grown
            .stretches
            .iter()
            .enumerate()
            .flat_map(|(leaf, stretch)| records[stretch.clone()].chunks(SUM_ROWS).map(move |part| (leaf, part)))
            .collect();
        let parts: Vec<(usize, Vec<[f64; 2]>)> = stretches
            .into_par_iter()
            .map(|(leaf, records)| {
                let mut sums = vec![[0.0f64; 2]; self.outputs];
                for record in records {
                    let row = record.row();
                    let weight = self.targets.weight(row);
                    let labels = self.targets.labels.row(row);
                    for ((sums, score), label) in sums.iter_mut().zip(self.of_row(row)).zip(labels) {
                        let [gradient, hessian] = derivatives(self.objective, *score, *label);
                        sums[0] += weight * f64::from(gradient);
                        sums[1] += weight * f64::from(hessian);
                    }
                }
                (leaf, sums)
            })
            .collect();
        let mut totals = vec![[0.0f64; 2]; grown.tree.leaves().len() * self.outputs];
        for (leaf, sums) in parts {
            let totals = &mut totals[leaf * self.outputs..(leaf + 1) * self.outputs];
            totals.iter_mut().zip(sums).for_each(|(total, sum)| {
                total[0] += sum[0];
                total[1] += sum[1];
            });
        }
        let value = |(at, [gradient, hessian]): (usize, &[f64; 2])| {
            let shrunk = (gradient.abs() - settings.l1).max(0.0).copysign(*gradient);
            let step = -shrunk / (hessian + settings.l2);
            // The trees are not its own: a leaf may well have too few rows that are about this output.
            let known = *hessian >= settings.min_hessian_per_leaf && step.is_finite() && active[at % self.outputs];
            if known { settings.learning_rate * settings.objective.damped(step) } else { 0.0 }
        };
        totals.iter().enumerate().map(value).collect()
    }

    fn add(&mut self, grown: &Grown, values: &[f64]) {
        let (binned, outputs) = (self.binned, self.outputs);
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        self.scores.par_chunks_mut(outputs * SUM_ROWS).enumerate().for_each(|(task, scores)| {
            for (place, scores) in scores.chunks_mut(outputs).enumerate() {
                let leaf = grown.leaf_of(binned, task * SUM_ROWS + place);
                let values = &values[leaf * outputs..(leaf + 1) * outputs];
                scores.iter_mut().zip(values).for_each(|(score, value)| *score += value);
            }
        });
    }

    /// Mean loss of each output; `NaN` where no row is about it.
    fn losses(&self) -> Vec<f64> {
        let parts: Vec<Vec<[f64; 2]>> = (0..self.binned.rows().div_ceil(TASK_ROWS))
            .into_par_iter()
            .map(|task| {
                let mut sums = vec![[0.0; 2]; self.outputs];
                for row in task * TASK_ROWS..((task + 1) * TASK_ROWS).min(self.binned.rows()) {
                    let weight = self.targets.weight(row);
                    if weight <= 0.0 {
                        continue;
                    }
                    let labels = self.targets.labels.row(row);
                    for ((sums, score), label) in sums.iter_mut().zip(self.of_row(row)).zip(labels) {
                        if !label.is_nan() {
                            sums[0] += weight * self.objective.loss((*score).into(), (*label).into());
                            sums[1] += weight;
                        }
                    }
                }
                sums
            })
            .collect();
        let mut totals = vec![[0.0; 2]; self.outputs];
        for part in parts {
            totals.iter_mut().zip(part).for_each(|(total, part)| {
                total[0] += part[0];
                total[1] += part[1];
            });
        }
        totals.into_iter().map(|[loss, weight]| loss / weight).collect()
    }

    /// Notes the losses of the outputs that have not stopped.
    fn watch(&self, progress: &mut [Progress], patience: Option<usize>) {
        for (progress, loss) in progress.iter_mut().zip(self.losses()) {
            if progress.stopped {
                continue;
            }
            progress.losses.push(loss);
            let round = progress.losses.len() - 1;
            // Where nothing can be measured, nothing is a reason to stop.
            if loss < progress.losses[progress.best] || loss.is_nan() {
                progress.best = round;
            }
            progress.stopped = patience.is_some_and(|patience| round - progress.best >= patience);
        }
    }
}

#[inline]
fn derivatives(objective: Objective, score: f32, label: f32) -> [f32; 2] {
    if label.is_nan() {
        return [0.0; 2];
    }
    if objective == Objective::Logistic {
        let p = 1.0 / (1.0 + (-score).exp()); // hundreds of outputs: 32 bits are enough and faster
        return [p - label, p * (1.0 - p)];
    }
    let (gradient, hessian) = objective.derivatives(score.into(), label.into());
    [gradient as f32, hessian as f32]
}

#[inline]
fn gradient(objective: Objective, score: f32, label: f32) -> f32 {
    derivatives(objective, score, label)[0]
}
