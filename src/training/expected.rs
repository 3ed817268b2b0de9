//! Amounts and counts: what the buy-till-you-die model foresees, boosted trees, trees that correct the first, and trees of whether and
//! how much; a blend of them is weighed and given intervals on rows that they have not seen, judged on the test rows, and refitted on all cut-offs.
//!
//! Trees rank better; buy-till-you-die models know that a cohort ages. Trees that start from what is foreseen keep its level where
//! they have learned nothing better. How much *all* will spend is a forecast of its own, of which no past window tells how it
//! should be weighed: there, the blend and what is foreseen have an equal say (Bates & Granger 1969; Clemen 1989, "Combining
//! forecasts: A review", on how hard equal weights are to beat).

use super::inputs::{Inputs, Judged};
use super::judge::{Candidate, judge_amount};
use super::material::{Material, Purpose, Rows};
use super::pool::{Fold, folds};
use super::recipes::{BinnedRows, Fitted, Recipe};
use super::{Trained, TrainingError, foresight_index, occurrence_index, subject_of};
use crate::bundle::{Cuts, ExpectedModel, FittedColumn, FittedTarget};
use crate::config::TargetKind;
use crate::labels::Target;
use crate::models::FitError;
use crate::models::blend::{Blend, Member, weights_of_amounts};
use crate::models::boosted::BoostedTrees;
use crate::models::interval::Intervals;
use crate::models::occurrence::{Expectation, OccurrenceModel, TenurePrior};
use crate::split::Split;
use crate::timeline::SpillError;

/// Share of customers that intervals of amounts hold.
pub(crate) const INTERVAL_SHARE: f64 = 0.8;
/// What a target of this kind takes from an expectation.
pub(crate) fn quantity(kind: TargetKind) -> fn(&Expectation) -> f64 {
    match kind {
        TargetKind::Amount => |expectation| expectation.value,
        _ => |expectation| expectation.occurrences,
    }
}

pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    settings: &mut Option<BoostedTrees>,
    trained: &mut Trained,
) -> Result<FittedTarget, TrainingError> {
    let judged = Judged::select(material, target, split)?;
    let shipped = Inputs::new(material, target, material.select(target, split, Purpose::Shipped)?);
    if shipped.rows.is_empty() {
        return Err(TrainingError::NoEligibleRows { target: target.name.clone() });
    }
    let mut cuts = Cuts::default();
    let columns = if target.per_group {
        by_category(material, target, split, &judged, &shipped, trained)?
    } else {
        let single = Single { material, target, split, name: target.columns().remove(0) };
        vec![single.fit(&judged, &shipped, settings, &mut cuts, trained)?]
    };
    let foresight = foresight_index(material, target, trained);
    let plan = trained.parameters.plans.len();
    let reference = Some(shipped.reference(material, target)?);
    let target = target.clone();
    Ok(FittedTarget { target, plan, foresight, shared: None, preparation: None, columns, cuts, reference })
}

/// The one score column of a target.
struct Single<'a> {
    material: &'a Material<'a>,
    target: &'a Target,
    split: &'a Split,
    name: String,
}

/// Predictions of rows, by fits that have not learned from them.
struct Unseen {
    /// One list for each member of a blend.
    members: Vec<Vec<f64>>,
    actual: Vec<f64>,
}

impl Unseen {
    /// Training rows, each predicted by fits to other customers; none where those are too few to learn from.
    fn of_folds(train: &Inputs, fitted: &[(Recipe, ExpectedModel)], binned: &BinnedRows) -> Result<Self, FitError> {
        let (hashes, outcomes) = (train.rows.hashes(), train.rows.amounts(0));
        let mut unseen = Self { members: vec![Vec::new(); fitted.len()], actual: Vec::new() };
        for Fold { inside, outside } in folds(&hashes).filter(|fold| !fold.inside.is_empty()) {
            let Some(models) = binned.fit_some(fitted, &outside)? else { continue };
            let some = train.some(&inside);
            for (model, unseen) in models.iter().zip(&mut unseen.members) {
                unseen.extend(model.scores(&some.view())?);
            }
            unseen.actual.extend(inside.iter().map(|&row| outcomes[row]));
        }
        Ok(unseen)
    }

    /// What a blend says of the rows; `foreseen` is the place of the buy-till-you-die model.
    fn at_level(&self, weights: &[f64], foreseen: Option<usize>) -> Vec<f64> {
        let predicted = combined(&self.members, weights);
        let level = level(&predicted, foreseen.map(|place| &self.members[place][..]));
        predicted.into_iter().map(|value| value * level).collect()
    }
}

/// Weights of the members of a blend. A few windows cannot tell them apart for certain: half-way to equal weights.
fn weights_of(unseen: &[Unseen]) -> Result<Vec<f64>, FitError> {
    let members = (0..unseen[0].members.len())
        .map(|member| unseen.iter().flat_map(|rows| rows.members[member].iter().copied()).collect())
        .collect::<Vec<Vec<f64>>>();
    let actual: Vec<f64> = unseen.iter().flat_map(|rows| rows.actual.iter().map(|amount| amount.max(0.0))).collect();
    let equal = 1.0 / members.len() as f64;
    Ok(weights_of_amounts(&members, &actual)?.into_iter().map(|weight| (weight + equal) / 2.0).collect())
}

/// Intervals around what a blend says.
fn intervals_of(unseen: &[Unseen], weights: &[f64], foreseen: Option<usize>) -> Result<Intervals, FitError> {
    let predicted: Vec<f64> = unseen.iter().flat_map(|rows| rows.at_level(weights, foreseen)).collect();
    let actual: Vec<f64> = unseen.iter().flat_map(|rows| rows.actual.iter().copied()).collect();
    Intervals::fit(&predicted, &actual, INTERVAL_SHARE)
}

impl Single<'_> {
    fn broken(&self, source: FitError) -> TrainingError {
        TrainingError::Fit { target: self.name.clone(), source }
    }

    fn fit(
        &self,
        judged: &Judged,
        shipped: &Inputs,
        settings: &mut Option<BoostedTrees>,
        cuts: &mut Cuts,
        trained: &mut Trained,
    ) -> Result<FittedColumn, TrainingError> {
        let broken = |source| self.broken(source);
        let Judged { train, validate, test } = judged;
        let training = &self.material.config.training;
        let Fitted { members: fitted, bettered, binned } =
            Fitted::of(self.target.kind, judged, settings, training).map_err(broken)?;
        let has_both = !train.rows.is_empty() && !validate.rows.is_empty();
        let (mut weights, mut intervals) = (vec![0.0; fitted.len()], None);
        weights[0] = 1.0;
        if has_both {
            let of = |inputs: &Inputs| -> Result<Unseen, TrainingError> {
                let members = fitted.iter().map(|(_, model)| model.scores(&inputs.view()).map_err(broken));
                Ok(Unseen { members: members.collect::<Result<_, _>>()?, actual: inputs.rows.amounts(0) })
            };
            let foreseen = fitted.iter().position(|(recipe, _)| *recipe == Recipe::Occurrence);
            let mut unseen = vec![of(validate)?];
            if let Some(binned) = &binned {
                unseen.push(Unseen::of_folds(train, &fitted, binned).map_err(broken)?);
            }
            weights = weights_of(&unseen).map_err(broken)?;
            let is_amount = self.target.kind == TargetKind::Amount;
            if is_amount {
                *cuts = Cuts::of_value(&unseen[0].at_level(&weights, foreseen));
            }
            if test.rows.is_empty() {
                trained
                    .warnings
                    .push(format!("{}: nobody was eligible at the test cut-off, so it was not judged.", self.name));
            } else {
                let tested = of(test)?;
                let predicted = tested.at_level(&weights, foreseen);
                let mut candidates =
                    vec![Candidate { name: describe(&fitted, &weights), scores: predicted.clone(), is_chosen: true }];
                for ((_, model), scores) in fitted.iter().zip(&tested.members) {
                    candidates.push(Candidate { name: model.name().into(), scores: scores.clone(), is_chosen: false });
                }
                if let Some(model) = bettered {
                    let scores = model.scores(&test.view()).map_err(broken)?;
                    candidates.push(Candidate { name: model.name().into(), scores, is_chosen: false });
                }
                let mut report = judge_amount(self.material, self.target, self.split, test, 0, candidates)?;
                if is_amount && let Ok(judged) = intervals_of(&unseen, &weights, foreseen) {
                    report.coverage = Some(judged.coverage(&predicted, &tested.actual));
                }
                trained.targets.push(report);
                // What ships has seen the test window, too; so have its weights and its intervals.
                unseen.push(tested);
                weights = weights_of(&unseen).map_err(broken)?;
            }
            if is_amount {
                intervals = intervals_of(&unseen, &weights, foreseen).ok(); // refused where nothing is expected
            }
        } else {
            trained
                .warnings
                .push(format!("{}: too little had happened before the test cut-off to judge it.", self.name));
        }
        let counted = fitted.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
        let bins = binned.map(|_| BinnedRows::of(shipped)).transpose().map_err(broken)?;
        let members =
            counted.map(|((recipe, _), &weight)| Ok(Member { weight, model: recipe.fit(shipped, bins.as_ref())? }));
        let members: Vec<Member<ExpectedModel>> = members.collect::<Result<_, _>>().map_err(broken)?;
        let level = self.level_now(&members, trained)?;
        if is_without_intervals(self.target, &intervals) {
            trained.warnings.push(format!("{}: too little is known for intervals.", self.name));
        }
        Ok(FittedColumn::Expected { model: Blend { members }, level, intervals })
    }

    /// The level of the blend that ships, at the end of the history.
    fn level_now(&self, members: &[Member<ExpectedModel>], trained: &mut Trained) -> Result<f64, TrainingError> {
        let now = self.material.select(self.target, self.split, Purpose::Now)?;
        let now = Inputs::new(self.material, self.target, now);
        let mut foreseen = None;
        let mut predicted = vec![0.0; now.rows.len()];
        for Member { weight, model } in members {
            let scores = model.scores(&now.view()).map_err(|source| self.broken(source))?;
            predicted.iter_mut().zip(&scores).for_each(|(sum, score)| *sum += weight * score);
            if matches!(model, ExpectedModel::Occurrence { .. }) {
                foreseen = Some(scores);
            }
        }
        let level = level(&predicted, foreseen.as_deref());
        if !(1.0 / MOST_LEVEL..=MOST_LEVEL).contains(&level) {
            trained.warnings.push(format!(
                "{}: trees and the buy-till-you-die model disagree on the total: {:.2} times what the blend expects is taken.",
                self.name, level
            ));
        }
        Ok(level)
    }
}

/// Levels beyond this, or below its inverse, are told.
const MOST_LEVEL: f64 = 1.25;

/// The factor that brings the total half-way (on a log scale) from the blend to what is foreseen.
fn level(predicted: &[f64], foreseen: Option<&[f64]>) -> f64 {
    let (blend, foreseen) = (predicted.iter().sum::<f64>(), foreseen.map_or(0.0, |all| all.iter().sum::<f64>()));
    if blend > 0.0 && foreseen > 0.0 { (foreseen / blend).sqrt() } else { 1.0 }
}

fn is_without_intervals(target: &Target, intervals: &Option<Intervals>) -> bool {
    target.kind == TargetKind::Amount && intervals.is_none()
}

fn combined(members: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let rows = members.first().map_or(0, Vec::len);
    let counted: Vec<(&Vec<f64>, f64)> =
        members.iter().zip(weights).filter(|(_, weight)| **weight > 0.0).map(|(m, &w)| (m, w)).collect();
    (0..rows).map(|row| counted.iter().map(|(member, weight)| weight * member[row]).sum()).collect()
}

/// "0.70 boosted trees + 0.30 buy till you die".
fn describe(fitted: &[(Recipe, ExpectedModel)], weights: &[f64]) -> String {
    let counted = fitted.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    let named: Vec<String> = counted.map(|((_, model), weight)| format!("{weight:.2} {}", model.name())).collect();
    named.join(" + ")
}

/// One occurrence model for each category.
fn by_category(
    material: &Material,
    target: &Target,
    split: &Split,
    judged: &Judged,
    shipped: &Inputs,
    trained: &mut Trained,
) -> Result<Vec<FittedColumn>, TrainingError> {
    let horizon = target.horizon.days();
    let Judged { train, test, .. } = judged;
    let mut columns = Vec::new();
    for (column, name) in target.columns().into_iter().enumerate() {
        let subject = subject_of(target, Some(column));
        let broken = |source| TrainingError::Occurrences { event: target.event.clone(), source };
        let occurrence = occurrence_index(material, &subject, trained)?;
        let prior = category_prior(material, target, &shipped.rows, column)?;
        columns.push(FittedColumn::Occurrence { occurrence, prior });
        if test.rows.is_empty() {
            trained.warnings.push(format!("{name}: nobody was eligible at the test cut-off, so it was not judged."));
            continue;
        }
        let histories = subject.histories(material.timelines, split.test)?;
        let orders = trained.orders_model(&subject);
        let judged = match OccurrenceModel::fit(orders, &subject, &histories, split.test) {
            Ok(judged) => judged,
            Err(source) => {
                trained
                    .warnings
                    .push(format!("{name}: too little had happened before the test cut-off to judge it ({source})."));
                continue;
            }
        };
        let newcomers = category_prior(material, target, &train.rows, column)?;
        let tenure = material.tenure(&test.rows);
        let of_rows = material.histories(&test.rows, &subject)?;
        let newcomer = |row: usize| newcomers.mean(tenure[row]);
        let scores = material.expect(&judged, &test.rows, &of_rows, horizon, quantity(target.kind), newcomer);
        let chosen = Candidate { name: "buy till you die".into(), scores: scores.map_err(broken)?, is_chosen: true };
        trained.targets.push(judge_amount(material, target, split, test, column, vec![chosen])?);
    }
    Ok(columns)
}

/// Labels of the customers who had never bought in a category, as a prior by tenure.
fn category_prior(material: &Material, target: &Target, rows: &Rows, column: usize) -> Result<TenurePrior, SpillError> {
    let histories = material.histories(rows, &subject_of(target, Some(column)))?;
    let labels = rows.amounts(column);
    let tenure = material.tenure(rows);
    let newcomers = (0..rows.len()).filter(|&row| histories[row].is_none()).map(|row| (tenure[row], labels[row]));
    Ok(TenurePrior::fit(newcomers, 0.0))
}
