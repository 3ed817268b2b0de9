//! Members of the blends of amounts and counts: how each is fitted to the training rows, and again to others.

use super::boosting::{self, Bins, Lesson};
use super::inputs::{Inputs, Judged};
use super::material::Rows;
use crate::bundle::{ExpectedModel, offset_of};
use crate::config::{TargetKind, TrainingConfig};
use crate::models::FitError;
use crate::models::blend::deviance_of_amounts;
use crate::models::boosted::{Binned, BoostedModel, BoostedTrees, Objective, Targets};
use crate::models::occurrence::TenurePrior;

/// Trees need at least so many rows with an amount above 0 to learn from, and to be judged by; where they ask whether there is any at
/// all, so many without one, too.
pub(super) const LEAST_POSITIVE: usize = 30;
/// Between a Poisson number of orders (1) and gamma amounts (2): the usual middle.
const TWEEDIE_POWER: f64 = 1.5;
/// What is foreseen counts as at least this share of the mean label where trees correct its logarithm.
const LEAST_SHARE: f64 = 1e-3;

/// A member of a blend, before it is fitted.
#[derive(Clone, PartialEq)]
pub(super) enum Recipe {
    Occurrence,
    Boosted(BoostedTrees),
    Corrected(BoostedTrees),
    TwoPart { occurs: BoostedTrees, amount: BoostedTrees },
    Mean,
}

impl Recipe {
    /// The member, fitted to rows; `binned` are the same rows, where trees are among the members.
    pub(super) fn fit(&self, rows: &Inputs, binned: Option<&BinnedRows>) -> Result<ExpectedModel, FitError> {
        Ok(match (self, binned) {
            (Self::Occurrence, _) => ExpectedModel::Occurrence { prior: foreseen_prior(rows, 0) },
            (Self::Mean, _) => ExpectedModel::Mean(mean(&amounts(&rows.rows))),
            (_, Some(binned)) => binned.fit(self, rows.weights(), boosting::fit)?.expect("a recipe with trees"),
            (_, None) => unreachable!("rows are binned where trees are among the members"),
        })
    }
}

/// Grows trees of rows.
type Grow = fn(&BoostedTrees, &Binned, Targets) -> Result<BoostedModel, FitError>;

/// Rows that trees are fitted to, again and again.
pub(super) struct BinnedRows<'a> {
    rows: &'a Inputs,
    labels: Vec<f64>,
    bins: Binned,
    /// Where trees start that correct what is foreseen.
    correction: Option<Correction>,
}

impl<'a> BinnedRows<'a> {
    pub(super) fn of(rows: &'a Inputs) -> Result<Self, FitError> {
        let bins = Binned::fit(rows.columns.view(), &[], BoostedTrees::default().max_bins, rows.weights())?;
        Self::with(rows, bins)
    }

    fn with(rows: &'a Inputs, bins: Binned) -> Result<Self, FitError> {
        let correction = if rows.has_foresight() { Some(Correction::of(rows)?) } else { None };
        Ok(Self { rows, labels: amounts(&rows.rows), bins, correction })
    }

    fn correction(&self) -> &Correction {
        self.correction.as_ref().expect("corrected is what is foreseen")
    }

    /// The member of rows with these weights; `None` of one without trees.
    fn fit(&self, recipe: &Recipe, weights: Option<&[f64]>, grow: Grow) -> Result<Option<ExpectedModel>, FitError> {
        let targets = Targets { weights, ..Targets::of(&self.labels) };
        Ok(match recipe {
            Recipe::Boosted(settings) => Some(ExpectedModel::Boosted(grow(settings, &self.bins, targets)?)),
            Recipe::Corrected(settings) => {
                let Correction { offset, least, prior } = self.correction();
                let model = grow(settings, &self.bins, targets.offset_by(offset))?;
                Some(ExpectedModel::Corrected { model, least: *least, prior: prior.clone() })
            }
            Recipe::TwoPart { occurs, amount } => {
                let parts = Parts::of(&self.labels, weights);
                let occurs = grow(occurs, &self.bins, Targets { weights, ..Targets::of(&parts.happened) })?;
                let amount = grow(amount, &self.bins, targets.weighted(&parts.weights))?;
                Some(ExpectedModel::TwoPart { occurs, amount })
            }
            Recipe::Occurrence | Recipe::Mean => None,
        })
    }

    /// Fits to some of the rows, for the others; `None` where they are too few to learn from.
    pub(super) fn fit_some(
        &self,
        recipes: &[(Recipe, ExpectedModel)],
        some: &[usize],
    ) -> Result<Option<Vec<ExpectedModel>>, FitError> {
        let positive = some.iter().filter(|&&row| self.labels[row] > 0.0).count();
        let has_parts = recipes.iter().any(|(recipe, _)| matches!(recipe, Recipe::TwoPart { .. }));
        if positive < LEAST_POSITIVE || (has_parts && positive == some.len()) {
            return Ok(None);
        }
        let weights = self.rows.weights_at(some);
        let of = |(recipe, known): &(Recipe, ExpectedModel)| {
            let fitted =
                self.fit(recipe, Some(&weights), |settings, bins, targets| settings.fit_binned(bins, targets, None));
            Ok(fitted?.unwrap_or_else(|| known.clone()))
        };
        recipes.iter().map(of).collect::<Result<_, _>>().map(Some)
    }
}

/// Where trees that correct what is foreseen start.
struct Correction {
    offset: Vec<f64>,
    least: f64,
    prior: TenurePrior,
}

impl Correction {
    fn of(rows: &Inputs) -> Result<Self, FitError> {
        let prior = foreseen_prior(rows, 0);
        let least = LEAST_SHARE * mean(&amounts(&rows.rows));
        let offset = Self::offset(rows, least, &prior)?;
        Ok(Self { offset, least, prior })
    }

    fn offset(rows: &Inputs, least: f64, prior: &TenurePrior) -> Result<Vec<f64>, FitError> {
        let foreseen = ExpectedModel::Occurrence { prior: prior.clone() }.scores(&rows.view())?;
        Ok(offset_of(&foreseen, least))
    }
}

/// What two parts learn from: whether there is anything, and how much of the rows that have something.
struct Parts {
    happened: Vec<f64>,
    /// 0 of the rows without anything.
    weights: Vec<f64>,
}

impl Parts {
    fn of(labels: &[f64], weights: Option<&[f64]>) -> Self {
        let happened: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label > 0.0))).collect();
        let of = |(row, happened): (usize, &f64)| happened * weights.map_or(1.0, |weights| weights[row]);
        Self { weights: happened.iter().enumerate().map(of).collect(), happened }
    }
}

/// Trees in two parts that stop where their validation losses are least.
fn two_parts(
    settings: impl Fn(Objective) -> BoostedTrees,
    bins: &Bins,
    train: Lesson,
    validate: Lesson,
) -> Result<(Recipe, ExpectedModel), FitError> {
    let (learned, found) = (Parts::of(train.labels, train.weights), Parts::of(validate.labels, None));
    let (occurs, first) = boosting::settle(
        settings(Objective::Logistic),
        bins,
        Lesson { labels: &learned.happened, ..train },
        Lesson { labels: &found.happened, ..validate },
    )?;
    let (amount, second) = boosting::settle(
        settings(Objective::Gamma),
        bins,
        Lesson { weights: Some(&learned.weights), ..train },
        Lesson { weights: Some(&found.weights), ..validate },
    )?;
    Ok((Recipe::TwoPart { occurs, amount }, ExpectedModel::TwoPart { occurs: first, amount: second }))
}

/// The members of a blend, fitted to the training rows.
pub(super) struct Fitted<'a> {
    /// The first is the one to take where none can be weighed.
    pub(super) members: Vec<(Recipe, ExpectedModel)>,
    /// Trees that others have bettered on the validation rows, which have learned the same from the same rows.
    pub(super) bettered: Option<ExpectedModel>,
    /// Those rows, where trees are among the members.
    pub(super) binned: Option<BinnedRows<'a>>,
}

impl<'a> Fitted<'a> {
    /// Settings of trees are searched for unless they are known.
    pub(super) fn of(
        kind: TargetKind,
        judged: &'a Judged,
        settings: &mut Option<BoostedTrees>,
        training: &TrainingConfig,
    ) -> Result<Self, FitError> {
        let Judged { train, validate, .. } = judged;
        let mut members = Vec::new();
        if train.has_foresight() {
            members.push((Recipe::Occurrence, Recipe::Occurrence.fit(train, None)?));
        }
        let (mut binned, mut bettered) = (None, None);
        if positives(&train.rows).min(positives(&validate.rows)) >= LEAST_POSITIVE {
            let objective = match kind {
                TargetKind::Amount => Objective::Tweedie { power: TWEEDIE_POWER },
                _ => Objective::Poisson,
            };
            let bins = Bins::new(train.columns.view(), validate.columns.view())?;
            let (labels, outcomes) = (amounts(&train.rows), amounts(&validate.rows));
            let lesson = Lesson { weights: train.weights(), ..Lesson::of(&labels) };
            let check = Lesson::of(&outcomes);
            if settings.is_none() {
                *settings = Some(boosting::search(&bins, lesson, check, &train.rows.hashes(), objective, training)?);
            }
            let known = |objective| boosting::for_objective(settings.as_ref().expect("found above"), objective);
            let (plain, model) = boosting::settle(known(objective), &bins, lesson, check)?;
            let mut trees = (Recipe::Boosted(plain), ExpectedModel::Boosted(model));
            let nothing = |labels: &[f64]| labels.iter().filter(|&&label| label == 0.0).count();
            if kind == TargetKind::Amount && nothing(&labels).min(nothing(&outcomes)) >= LEAST_POSITIVE {
                let mut other = two_parts(known, &bins, lesson, check)?;
                let loss = |(_, model): &(Recipe, ExpectedModel)| -> Result<f64, FitError> {
                    Ok(deviance_of_amounts(&model.scores(&validate.view())?, &outcomes))
                };
                if loss(&other)? < loss(&trees)? {
                    std::mem::swap(&mut trees, &mut other);
                }
                bettered = Some(other.1);
            }
            members.push(trees);
            if train.has_foresight() {
                let Correction { offset, least, prior } = Correction::of(train)?;
                let lesson = Lesson { offset: Some(&offset), ..lesson };
                let offset = Correction::offset(validate, least, &prior)?;
                let check = Lesson { offset: Some(&offset), ..check };
                let (corrected, model) = boosting::settle(known(objective), &bins, lesson, check)?;
                members.push((Recipe::Corrected(corrected), ExpectedModel::Corrected { model, least, prior }));
            }
            binned = Some(BinnedRows::with(train, bins.train)?);
        }
        if members.is_empty() {
            members.push((Recipe::Mean, Recipe::Mean.fit(train, None)?));
        }
        Ok(Self { members, bettered, binned })
    }
}

/// Labels of the customers of whom nothing is foreseen, as a prior by tenure.
pub(super) fn foreseen_prior(inputs: &Inputs, column: usize) -> TenurePrior {
    let view = inputs.view();
    let first = view.foresight.expect("asked where something is foreseen");
    let labels = inputs.rows.amounts(column);
    let newcomers = (0..labels.len()).filter(|&row| view.columns[[row, first]].is_nan());
    // Nobody to learn from: all who are eligible have done it.
    TenurePrior::fit(newcomers.map(|row| (view.tenure[row], labels[row])), 0.0)
}

/// Labels as the models take them: who returned more than they bought was worth nothing.
pub(super) fn amounts(rows: &Rows) -> Vec<f64> {
    rows.amounts(0).into_iter().map(|amount| amount.max(0.0)).collect()
}

pub(super) fn positives(rows: &Rows) -> usize {
    rows.amounts(0).into_iter().filter(|&amount| amount > 0.0).count()
}

fn mean(labels: &[f64]) -> f64 {
    labels.iter().sum::<f64>() / labels.len().max(1) as f64
}
