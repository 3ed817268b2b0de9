//! Scores of many outputs, what follows from them for the next tree, and how well they do.

use rayon::prelude::*;

use super::ManyTargets;
use crate::models::boosted::bins::Binned;
use crate::models::boosted::fit::TASK_ROWS;
use crate::models::boosted::grown::Grown;
use crate::models::boosted::sketch::{SKETCH, SketchRecord, signs};
use crate::models::boosted::{BoostedTrees, Objective};

/// Rows whose derivatives are summed at a time: sums of floats are taken inside such a stretch first, then in their order.
const SUM_ROWS: usize = 2048;

/// Validation losses round by round, the first before any tree.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// For each round those of the outputs; `NaN` where no row is about an output.
    losses: Vec<Vec<f64>>,
    /// Their sums.
    totals: Vec<f64>,
}

impl Progress {
    pub(super) fn note(&mut self, losses: Vec<f64>) {
        self.totals.push(losses.iter().filter(|loss| !loss.is_nan()).sum());
        self.losses.push(losses);
    }

    /// Rounds since the sum of the losses was least. One output alone is no reason to stop: the trees are found for all, and
    /// may pass over an output for many rounds before its turn comes.
    pub(super) fn rounds_without_gain(&self) -> usize {
        self.totals.len() - 1 - least(&self.totals)
    }

    /// The best number of rounds of each output; where nothing was measured, that of the sum.
    pub(super) fn best(&self, output: usize) -> usize {
        let losses = self.of(output);
        if losses[0].is_nan() { least(&self.totals) } else { least(&losses) }
    }

    /// The losses of an output; none without validation rows.
    pub(super) fn of(&self, output: usize) -> Vec<f64> {
        self.losses.iter().map(|losses| losses[output]).collect()
    }
}

/// The place of the first of the least.
fn least(losses: &[f64]) -> usize {
    (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap_or(0)
}

/// Rows with the scores of all outputs so far.
pub(super) struct Scores<'a, 'b> {
    objective: Objective,
    binned: &'a Binned,
    targets: ManyTargets<'b>,
    outputs: usize,
    /// Row by row. Of 32 bits: an error of 1e-7 of a score changes no tree that deserves to be kept, and the model's own
    /// scores are of 64.
    scores: Vec<f32>,
}

impl<'a, 'b> Scores<'a, 'b> {
    pub(super) fn new(objective: Objective, binned: &'a Binned, targets: ManyTargets<'b>, constants: &[f64]) -> Self {
        let start: Vec<f32> = constants.iter().map(|constant| *constant as f32).collect();
        let mut scores = vec![0.0; binned.rows() * constants.len()];
        scores.par_chunks_mut(constants.len().max(1)).for_each(|scores| scores.copy_from_slice(&start));
        Self { objective, binned, targets, outputs: constants.len(), scores }
    }

    fn of_row(&self, row: usize) -> &[f32] {
        &self.scores[row * self.outputs..(row + 1) * self.outputs]
    }

    /// The sketches of `rows`, and the largest magnitude in them.
    pub(super) fn sketch(&self, rows: &[u32], stream: u64) -> (Vec<(u32, [f32; SKETCH])>, f64) {
        let nothing = [0.0; SKETCH];
        let signs: Vec<[f32; SKETCH]> = (0..self.outputs).map(|output| signs(stream, output)).collect();
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
    pub(super) fn leaf_values(&self, settings: &BoostedTrees, grown: &Grown, records: &[SketchRecord]) -> Vec<f64> {
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
        let value = |[gradient, hessian]: &[f64; 2]| {
            let shrunk = (gradient.abs() - settings.l1).max(0.0).copysign(*gradient);
            let step = -shrunk / (hessian + settings.l2);
            // The trees are not its own: a leaf may well have too few rows that are about this output.
            let known = *hessian >= settings.min_hessian_per_leaf && step.is_finite();
            if known { settings.learning_rate * settings.objective.damped(step) } else { 0.0 }
        };
        totals.iter().map(value).collect()
    }

    pub(super) fn add(&mut self, grown: &Grown, values: &[f64]) {
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
    pub(super) fn losses(&self) -> Vec<f64> {
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
