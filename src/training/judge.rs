//! The judgement: predictions of the test rows against what came true, beside baselines.

use super::TrainingError;
use super::inputs::Inputs;
use super::material::{Material, evaluation};
use crate::config::TargetKind;
use crate::labels::{Labeller, Target};
use crate::metrics::{BootstrapOptions, Evaluated, evaluate_binary, evaluate_ranking, evaluate_value};
use crate::report::{ModelRow, Role as ReportRole, TargetReport};
use crate::split::Split;
use crate::time::Window;
use crate::timeline::SpillError;

/// Predictions of the test rows by one model.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) scores: Vec<f64>,
    pub(super) is_chosen: bool,
}

impl Candidate {
    fn role(&self) -> ReportRole {
        if self.is_chosen { ReportRole::Chosen } else { ReportRole::Candidate }
    }
}

/// How the probabilities of one column did; one of the candidates is the chosen one.
pub(super) fn judge_probability(
    material: &Material,
    target: &Target,
    split: &Split,
    test: &Inputs,
    column: usize,
    candidates: Vec<Candidate>,
) -> Result<TargetReport, TrainingError> {
    let name = target.columns().swap_remove(column);
    let unjudged = |source| TrainingError::Judge { target: name.clone(), source };
    let labels = test.rows.flags(column);
    let keys = test.rows.hashes();
    let options = material.bootstrap(target);
    // Dozens of columns, and models that were not chosen: the interval of the chosen one is enough.
    let mut models = Vec::new();
    let mut chosen: Option<Evaluated> = None;
    for candidate in &candidates {
        let resamples = if candidate.is_chosen || !target.per_group { options.resamples } else { 0 };
        let options = BootstrapOptions { resamples, ..options };
        let evaluated = evaluate_binary(&labels, &candidate.scores, &keys, &options).map_err(unjudged)?;
        models.push(ModelRow::new(&candidate.name, candidate.role(), &evaluated));
        if candidate.is_chosen {
            chosen = Some(evaluated);
        }
    }
    let chosen = chosen.expect("one of the candidates is chosen");
    let (baseline, scores) = baseline(material, target, split, test, column)?;
    let resamples = if target.per_group { 0 } else { options.resamples };
    let evaluated = evaluate_ranking(&labels, &scores, &keys, &BootstrapOptions { resamples, ..options });
    models.push(ModelRow::new(baseline, ReportRole::Baseline, &evaluated.map_err(unjudged)?));
    Ok(TargetReport {
        positives: Some(labels.iter().filter(|&&label| label).count() as u64),
        total: None,
        ..report(target, split, test, column, name, models, chosen)
    })
}

/// How the expected amounts or counts of one column did; one of the candidates is the chosen one.
pub(super) fn judge_amount(
    material: &Material,
    target: &Target,
    split: &Split,
    test: &Inputs,
    column: usize,
    candidates: Vec<Candidate>,
) -> Result<TargetReport, TrainingError> {
    let name = target.columns().swap_remove(column);
    let unjudged = |source| TrainingError::Judge { target: name.clone(), source };
    let actual = test.rows.amounts(column);
    let keys = test.rows.hashes();
    let options = material.bootstrap(target);
    let mut models = Vec::new();
    let mut chosen: Option<Evaluated> = None;
    for candidate in &candidates {
        let evaluated = evaluate_value(&actual, &candidate.scores, &keys, &options).map_err(unjudged)?;
        models.push(ModelRow::new(&candidate.name, candidate.role(), &evaluated));
        if candidate.is_chosen {
            chosen = Some(evaluated);
        }
    }
    let chosen = chosen.expect("one of the candidates is chosen");
    let last = last_period(material, target, split, test, column)?;
    let baseline = evaluate_value(&actual, &last, &keys, &options).map_err(unjudged)?;
    models.push(ModelRow::new("same as last period", ReportRole::Baseline, &baseline));
    Ok(TargetReport {
        positives: None,
        total: Some(actual.iter().sum()),
        ..report(target, split, test, column, name, models, chosen)
    })
}

fn report(
    target: &Target,
    split: &Split,
    test: &Inputs,
    column: usize,
    name: String,
    models: Vec<ModelRow>,
    chosen: Evaluated,
) -> TargetReport {
    TargetReport {
        name,
        label: target.sentence(target.per_group.then_some(column)),
        kind: target.kind,
        group: target.per_group.then(|| target.name.clone()),
        cut_off: split.test,
        window: Window::after(split.test, target.horizon),
        evaluation: evaluation(split),
        rows: test.rows.len() as u64,
        positives: None,
        total: None,
        coverage: None,
        intervals: chosen.intervals,
        models,
        reliability: chosen.reliability,
        deciles: chosen.deciles,
    }
}

/// The churn factor for absence of orders, what happened last period for all else.
fn baseline(
    material: &Material,
    target: &Target,
    split: &Split,
    test: &Inputs,
    column: usize,
) -> Result<(&'static str, Vec<f64>), SpillError> {
    Ok(if target.is_order && target.kind == TargetKind::Absence && !target.per_group {
        // Without an order there is none; such customers come last.
        let last = f64::from(f32::MAX);
        let factors = material.churn_factor(&test.rows).into_iter().map(f64::from);
        ("churn factor", factors.map(|factor| if factor.is_nan() { last } else { factor }).collect())
    } else {
        ("same as last period", last_period(material, target, split, test, column)?)
    })
}

/// The label of the window that ended where each row's begins: what a spreadsheet would predict.
fn last_period(
    material: &Material,
    target: &Target,
    split: &Split,
    test: &Inputs,
    column: usize,
) -> Result<Vec<f64>, SpillError> {
    let labeller = Labeller::new(target, &material.timelines.vocabularies);
    let before = split.test.plus(-target.horizon.days());
    material.timelines.map_keys(
        &test.rows.keys,
        |key| key.partition as usize,
        |partition, key| {
            let mut labels = vec![0f32; labeller.width()];
            labeller.label(partition.timeline(key.customer as usize), before, &mut labels);
            f64::from(labels[column])
        },
    )
}
