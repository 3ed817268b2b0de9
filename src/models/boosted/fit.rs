//! Boosting: round by round, a tree is grown on the derivatives of the loss at the scores so far (Friedman 2001).

use rayon::prelude::*;

use super::bins::Binned;
use super::grow::{Grower, Limits};
use super::grown::Grown;
use super::histogram::{Bin, Record, Scale};
use super::model::BoostedModel;
use super::objective::{Objective, quantile};
use super::split::Rules;
use super::tree::Tree;
use super::{BoostedTrees, Targets};
use crate::models::{FitError, mix};

/// Rows that one task takes at a time.
pub(super) const TASK_ROWS: usize = 8 * 1024;

/// What the random draws of a fit are for; each has a stream of its own.
#[derive(Clone, Copy)]
pub(super) enum Draw {
    Rows = 1,
    Features = 2,
    Signs = 3,
}

pub(super) fn fit(
    settings: &BoostedTrees,
    binned: &Binned,
    targets: Targets,
    validation: Option<(&Binned, Targets)>,
) -> Result<BoostedModel, FitError> {
    let objective = settings.objective;
    settings.check(binned.columns())?;
    objective.check(&targets, binned.rows())?;
    objective.check_varies(&targets)?;
    let constant = objective.constant(&targets);
    if !constant.is_finite() {
        return Err(FitError::Diverged { round: 0 });
    }
    let mut held_out = match validation {
        Some((rows, targets)) => Some(HeldOut::new(objective, binned, rows, targets, constant)?),
        None => None,
    };

    let mut boosting = Boosting::new(settings, binned, targets, constant);
    let mut trees: Vec<Tree> = Vec::new();
    let mut best = 0;
    for round in 0..settings.rounds {
        let grown = boosting.round(round as u64)?;
        if grown.tree.splits().is_empty() && !settings.samples() {
            break; // every further round would see the same
        }
        if let Some(held_out) = &mut held_out {
            held_out.add(&grown);
            let losses = &held_out.losses;
            if losses[round + 1] < losses[best] {
                best = round + 1;
            }
        }
        trees.push(grown.tree);
        if held_out.is_some() && settings.early_stopping_rounds.is_some_and(|patience| round + 1 - best >= patience) {
            break;
        }
    }
    if held_out.is_some() && settings.early_stopping_rounds.is_some() {
        trees.truncate(best);
    }
    Ok(BoostedModel {
        objective,
        columns: binned.columns(),
        constant,
        trees,
        validation_losses: held_out.map(|held_out| held_out.losses).unwrap_or_default(),
    })
}

/// The state between rounds.
struct Boosting<'a> {
    settings: &'a BoostedTrees,
    binned: &'a Binned,
    targets: Targets<'a>,
    /// Rows with a weight.
    rows: Vec<u32>,
    /// Of all rows.
    scores: Vec<f64>,
    /// Weighted gradients and hessians of `rows`.
    derivatives: Vec<[f64; 2]>,
    records: Vec<Record>,
    leaves: Vec<u32>,
    grower: Grower<'a, Bin>,
}

impl<'a> Boosting<'a> {
    fn new(settings: &'a BoostedTrees, binned: &'a Binned, targets: Targets<'a>, constant: f64) -> Self {
        let n = binned.rows();
        let rows: Vec<u32> = (0..n as u32).filter(|row| targets.weight(*row as usize) > 0.0).collect();
        Self {
            settings,
            binned,
            targets,
            scores: (0..n).map(|row| constant + targets.offset_of(row)).collect(),
            derivatives: vec![[0.0; 2]; rows.len()],
            records: Vec::with_capacity(rows.len()),
            leaves: if settings.row_fraction < 1.0 { Vec::new() } else { vec![0; n] },
            rows,
            grower: Grower::new(binned),
        }
    }

    /// One more tree; the scores follow it.
    fn round(&mut self, round: u64) -> Result<Grown, FitError> {
        let largest = self.differentiate();
        if !largest.iter().all(|largest| largest.is_finite()) {
            return Err(FitError::Diverged { round: round as usize });
        }
        let scales = largest.map(Scale::of);
        self.draw_records(round, scales);
        let in_use = self.settings.features_in_use(self.binned.cut_points.features.len(), round);
        let settings = self.settings;
        let rules = Rules {
            objective: settings.objective,
            l1: settings.l1,
            l2: settings.l2,
            min_gain: settings.min_gain,
            min_rows: settings.min_rows_per_leaf as i64,
            min_hessian: settings.min_hessian_per_leaf,
            gradients: scales[0],
            hessians: scales[1],
            monotone: if settings.monotone.iter().all(|direction| *direction == 0) { &[] } else { &settings.monotone },
        };
        let limits = Limits::of(settings);
        let mut grown = self.grower.grow(&mut self.records, &in_use, &rules, limits);
        if let Objective::Quantile { alpha } = settings.objective {
            self.renew(&mut grown, alpha);
        }
        if grown.tree.splits().is_empty() {
            grown.tree.scale(0.0); // the constant is the best already
        }
        grown.tree.scale(settings.learning_rate);
        self.add(&grown);
        Ok(grown)
    }

    /// Fills the derivatives; returns their largest magnitudes.
    fn differentiate(&mut self) -> [f64; 2] {
        let (objective, targets, scores) = (self.settings.objective, self.targets, &self.scores);
        let tasks = self.derivatives.par_chunks_mut(TASK_ROWS).zip(self.rows.par_chunks(TASK_ROWS));
        let largest = tasks.map(|(derivatives, rows)| {
            let mut largest = [0.0f64; 2];
            for (derivatives, row) in derivatives.iter_mut().zip(rows) {
                let row = *row as usize;
                let (gradient, hessian) = objective.derivatives(scores[row], targets.labels[row]);
                let weight = targets.weight(row);
                *derivatives = [weight * gradient, weight * hessian];
                for (largest, derivative) in largest.iter_mut().zip(derivatives) {
                    // Not f64::max, which would pass over a NaN.
                    *largest = if derivative.abs() <= *largest { *largest } else { derivative.abs() };
                }
            }
            largest
        });
        let worse = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        largest.reduce(|| [0.0; 2], |a, b| [worse(a[0], b[0]), worse(a[1], b[1])])
    }

    /// The rows of this round with their derivatives in fixed point.
    fn draw_records(&mut self, round: u64, [gradients, hessians]: [Scale; 2]) {
        let record = |row: &u32, [gradient, hessian]: &[f64; 2]| Record {
            row: *row,
            gradient: gradients.fixed(*gradient),
            hessian: hessians.fixed(*hessian) as u32,
        };
        if self.settings.row_fraction >= 1.0 {
            let all = self.rows.par_iter().zip(&self.derivatives).with_min_len(TASK_ROWS);
            all.map(|(row, derivatives)| record(row, derivatives)).collect_into_vec(&mut self.records);
            return;
        }
        let drawn = self.settings.draw(round);
        let pairs = self.rows.iter().zip(&self.derivatives);
        let drawn = pairs.filter(|(row, _)| drawn(**row));
        self.records.clear();
        self.records.extend(drawn.map(|(row, derivatives)| record(row, derivatives)));
    }

    /// Gives each leaf the quantile of what its rows lack.
    fn renew(&self, grown: &mut Grown, alpha: f64) {
        let values: Vec<f64> = grown
            .stretches
            .par_iter()
            .zip(&grown.bounds)
            .map(|(stretch, bounds)| {
                let rows = self.records[stretch.clone()].iter().map(|record| record.row as usize);
                let lacking = rows.map(|row| (self.targets.labels[row] - self.scores[row], self.targets.weight(row)));
                let lacking: Vec<_> = lacking.collect();
                if lacking.is_empty() { 0.0 } else { quantile(lacking, alpha).clamp(bounds[0], bounds[1]) }
            })
            .collect();
        grown.tree.set_values(&values);
    }

    fn add(&mut self, grown: &Grown) {
        let (tree, binned) = (&grown.tree, self.binned);
        if self.settings.row_fraction < 1.0 {
            add_leaves(grown, binned, &mut self.scores);
            return;
        }
        for (leaf, stretch) in grown.stretches.iter().enumerate() {
            for record in &self.records[stretch.clone()] {
                self.leaves[record.row as usize] = leaf as u32;
            }
        }
        let tasks = self.scores.par_chunks_mut(TASK_ROWS).zip(self.leaves.par_chunks(TASK_ROWS));
        tasks.for_each(|(scores, leaves)| {
            for (score, leaf) in scores.iter_mut().zip(leaves) {
                *score += tree.leaves()[*leaf as usize].value;
            }
        });
    }
}

fn add_leaves(grown: &Grown, binned: &Binned, scores: &mut [f64]) {
    scores.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, scores)| {
        for (place, score) in scores.iter_mut().enumerate() {
            *score += grown.tree.leaves()[grown.leaf_of(binned, task * TASK_ROWS + place)].value;
        }
    });
}

/// Validation rows with their scores so far.
struct HeldOut<'a> {
    objective: Objective,
    binned: &'a Binned,
    targets: Targets<'a>,
    weight: f64,
    scores: Vec<f64>,
    losses: Vec<f64>,
}

impl<'a> HeldOut<'a> {
    fn new(
        objective: Objective,
        training: &Binned,
        binned: &'a Binned,
        targets: Targets<'a>,
        constant: f64,
    ) -> Result<Self, FitError> {
        if !training.same_cut_points(binned) {
            return Err(FitError::OtherCutPoints);
        }
        objective.check(&targets, binned.rows())?;
        let weight = (0..binned.rows()).map(|row| targets.weight(row)).sum();
        if weight <= 0.0 {
            return Err(FitError::NoRows);
        }
        let scores = (0..binned.rows()).map(|row| constant + targets.offset_of(row)).collect();
        let mut new = Self { objective, binned, targets, weight, scores, losses: Vec::new() };
        new.losses.push(new.loss());
        Ok(new)
    }

    fn add(&mut self, grown: &Grown) {
        add_leaves(grown, self.binned, &mut self.scores);
        self.losses.push(self.loss());
    }

    /// Mean loss; chunks are summed first, then in their order.
    fn loss(&self) -> f64 {
        let sums = self.scores.par_chunks(TASK_ROWS).enumerate().map(|(task, scores)| {
            let losses = scores.iter().enumerate().map(|(place, score)| {
                let row = task * TASK_ROWS + place;
                let weight = self.targets.weight(row);
                if weight > 0.0 { weight * self.objective.loss(*score, self.targets.labels[row]) } else { 0.0 }
            });
            losses.sum::<f64>()
        });
        sums.collect::<Vec<_>>().into_iter().sum::<f64>() / self.weight
    }
}

impl BoostedTrees {
    pub(super) fn samples(&self) -> bool {
        self.row_fraction < 1.0 || self.feature_fraction < 1.0
    }

    /// The key of the draws of one kind in one round.
    pub(super) fn stream(&self, draw: Draw, round: u64) -> u64 {
        mix(mix(mix(self.seed) ^ draw as u64) ^ round)
    }

    /// Whether a row is drawn in a round, where not all are.
    fn draw(&self, round: u64) -> impl Fn(u32) -> bool + Sync {
        let stream = self.stream(Draw::Rows, round);
        let limit = (self.row_fraction * 2f64.powi(64)) as u64;
        move |row| mix(stream ^ u64::from(row)) < limit
    }

    /// Those of `rows` that are drawn in a round.
    pub(super) fn drawn(&self, rows: &[u32], round: u64) -> Vec<u32> {
        if self.row_fraction >= 1.0 {
            return rows.to_vec();
        }
        let drawn = self.draw(round);
        rows.iter().copied().filter(|row| drawn(*row)).collect()
    }

    /// Which of `n` features with codes may be asked about in a round.
    pub(super) fn features_in_use(&self, n: usize, round: u64) -> Vec<bool> {
        let wanted = ((self.feature_fraction * n as f64).ceil() as usize).clamp(1, n);
        let stream = self.stream(Draw::Features, round);
        let mut order: Vec<usize> = (0..n).collect();
        if wanted < n {
            order.sort_by_key(|feature| (mix(stream ^ *feature as u64), *feature));
        }
        let mut in_use = vec![false; n];
        order[..wanted].iter().for_each(|feature| in_use[*feature] = true);
        in_use
    }
}
