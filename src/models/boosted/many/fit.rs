//! Boosting of many outputs.

use rayon::prelude::*;

use super::scores::{Progress, Scores};
use super::{ManyModel, ManyTargets, ManyTree};
use crate::models::boosted::bins::Binned;
use crate::models::boosted::fit::Draw;
use crate::models::boosted::grow::{Grower, Limits};
use crate::models::boosted::histogram::Scale;
use crate::models::boosted::sketch::{SketchBin, SketchRecord, SketchRules};
use crate::models::boosted::{BoostedTrees, Objective, Targets};
use crate::models::{FitError, check_length, check_weights};

pub(in crate::models::boosted) fn fit(
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
    let mut progress = Progress::default();
    if let Some(held_out) = &held_out {
        progress.note(held_out.losses());
    }
    let mut grower = Grower::<SketchBin>::new(binned);
    let mut trees: Vec<ManyTree> = Vec::new();
    let counted: Vec<u32> = (0..binned.rows() as u32).filter(|row| targets.weight(*row as usize) > 0.0).collect();
    for round in 0..settings.rounds as u64 {
        let rows = settings.drawn(&counted, round);
        let (mut records, scale) = scores.sketch(&rows, settings.stream(Draw::Signs, round));
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
        let values = scores.leaf_values(settings, &grown, &records);
        scores.add(&grown, &values);
        if let Some(held_out) = &mut held_out {
            held_out.add(&grown, &values);
            progress.note(held_out.losses());
        }
        trees.push(ManyTree { tree: grown.tree, values });
        let patience = settings.early_stopping_rounds.filter(|_| held_out.is_some());
        if patience.is_some_and(|patience| progress.rounds_without_gain() >= patience) {
            break;
        }
    }
    let stops = settings.early_stopping_rounds.is_some() && held_out.is_some();
    let outputs = 0..constants.len();
    let rounds: Vec<usize> =
        outputs.clone().map(|output| if stops { progress.best(output) } else { trees.len() }).collect();
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
        validation_losses: outputs.map(|output| progress.of(output)).collect(),
    })
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
    // Of several faults the first output's is told, whichever thread was faster.
    let all: Vec<Result<f64, FitError>> = (0..targets.labels.ncols()).into_par_iter().map(of_output).collect();
    all.into_iter().collect()
}
