//! Amounts and counts: buy-till-you-die expectations, judged beside last period's value.

use super::material::{Material, Purpose, Rows, evaluation};
use super::{Trained, TrainingError, occurrence_index, subject_of};
use crate::bundle::{Cuts, FittedColumn, FittedTarget};
use crate::config::TargetKind;
use crate::labels::{Labeller, Target};
use crate::metrics::{MetricError, evaluate_value};
use crate::models::occurrence::{Expectation, OccurrenceModel, TenurePrior};
use crate::report::{ModelRow, Role as ReportRole, TargetReport};
use crate::split::{Role, Split};
use crate::time::Window;
use crate::timeline::SpillError;

/// What a target of this kind takes from an expectation.
pub(crate) fn quantity(kind: TargetKind) -> fn(&Expectation) -> f64 {
    match kind {
        TargetKind::Amount => |expectation| expectation.value,
        _ => |expectation| expectation.occurrences,
    }
}

/// Labels of the customers who had never done it, as a prior by tenure.
pub(super) fn prior(
    material: &Material,
    target: &Target,
    rows: &Rows,
    column: usize,
    group: Option<usize>,
) -> Result<TenurePrior, SpillError> {
    let histories = material.histories(rows, &subject_of(target, group))?;
    let labels = rows.amounts(column);
    let tenure = material.tenure(rows);
    let newcomers = (0..rows.len()).filter(|&row| histories[row].is_none()).map(|row| (tenure[row], labels[row]));
    // Nobody to learn from: all who are eligible have done it.
    Ok(TenurePrior::fit(newcomers, 0.0))
}

pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    trained: &mut Trained,
) -> Result<FittedTarget, TrainingError> {
    let train = material.select(target, split, Purpose::Judged(Role::Train))?;
    let test = material.select(target, split, Purpose::Judged(Role::Test))?;
    let ship = material.select(target, split, Purpose::Shipped)?;
    if ship.is_empty() {
        return Err(TrainingError::NoEligibleRows { target: target.name.clone() });
    }
    let horizon = target.horizon.days();
    let mut columns = Vec::new();
    let mut cuts = Cuts::default();
    for (column, name) in target.columns().into_iter().enumerate() {
        let group = target.per_group.then_some(column);
        let subject = subject_of(target, group);
        let broken = |source| TrainingError::Occurrences { event: target.event.clone(), source };
        let occurrence = occurrence_index(material, &subject, trained)?;
        columns.push(FittedColumn::Expected { occurrence, prior: prior(material, target, &ship, column, group)? });
        if test.is_empty() {
            trained.warnings.push(format!("{name}: nobody was eligible at the test cut-off, so it was not judged."));
            continue;
        }
        let histories = subject.histories(material.timelines, split.test)?;
        let judged = match OccurrenceModel::fit(trained.orders_model(&subject), &subject, &histories, split.test) {
            Ok(judged) => judged,
            Err(source) => {
                trained
                    .warnings
                    .push(format!("{name}: too little had happened before the test cut-off to judge it ({source})."));
                continue;
            }
        };
        let newcomers = prior(material, target, &train, column, group)?;
        let tenure = material.tenure(&test);
        let of_rows = material.histories(&test, &subject)?;
        let predicted = material
            .expect(&judged, &test, &of_rows, horizon, quantity(target.kind), |row| newcomers.mean(tenure[row]))
            .map_err(broken)?;
        if target.kind == TargetKind::Amount && !target.per_group {
            cuts = Cuts::of_value(&predicted);
        }
        let last = last_period(material, target, split, &test, column)?;
        let report = judge(material, target, split, &test, column, name, &predicted, &last);
        trained.targets.push(report.map_err(|source| TrainingError::Judge { target: target.name.clone(), source })?);
    }
    Ok(FittedTarget { target: target.clone(), plan: trained.parameters.plans.len(), preparation: None, columns, cuts })
}

fn judge(
    material: &Material,
    target: &Target,
    split: &Split,
    test: &Rows,
    column: usize,
    name: String,
    predicted: &[f64],
    last: &[f64],
) -> Result<TargetReport, MetricError> {
    let actual = test.amounts(column);
    let keys = test.hashes();
    let options = material.bootstrap(target);
    let chosen = evaluate_value(&actual, predicted, &keys, &options)?;
    let baseline = evaluate_value(&actual, last, &keys, &options)?;
    Ok(TargetReport {
        name,
        label: target.sentence(target.per_group.then_some(column)),
        kind: target.kind,
        group: target.per_group.then(|| target.name.clone()),
        cut_off: split.test,
        window: Window::after(split.test, target.horizon),
        evaluation: evaluation(split),
        rows: test.len() as u64,
        positives: None,
        total: Some(actual.iter().sum()),
        intervals: chosen.intervals.clone(),
        models: vec![
            ModelRow::new("buy till you die", ReportRole::Chosen, &chosen),
            ModelRow::new("same as last period", ReportRole::Baseline, &baseline),
        ],
        reliability: chosen.reliability,
        deciles: chosen.deciles,
    })
}

/// The label of the window that ended where each row's begins: what a spreadsheet would predict.
pub(super) fn last_period(
    material: &Material,
    target: &Target,
    split: &Split,
    rows: &Rows,
    column: usize,
) -> Result<Vec<f64>, SpillError> {
    let labeller = Labeller::new(target, &material.timelines.vocabularies);
    let before = split.test.plus(-target.horizon.days());
    material.timelines.map_keys(
        &rows.keys,
        |key| key.partition as usize,
        |partition, key| {
            let mut labels = vec![0f32; labeller.width()];
            labeller.label(partition.timeline(key.customer as usize), before, &mut labels);
            f64::from(labels[column])
        },
    )
}
