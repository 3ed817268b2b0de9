//! The members of blends, made ready for many rows.

use super::logistics::Logistics;
use crate::bundle::contributions::ln_probability;
use crate::bundle::parameters::{ExpectedModel, FittedColumn, ProbabilityModel};
use crate::models::boosted::Forest;
use crate::models::occurrence::TenurePrior;

/// The model of a score column: weights and members of its blend.
pub(super) enum Column<'a> {
    Probability(Vec<(f64, OfProbability<'a>)>),
    Expected(Vec<(f64, OfExpected<'a>)>),
    /// Needs histories: not scored here.
    Occurrence,
}

pub(super) enum OfProbability<'a> {
    /// The place of the model among all logistic ones.
    Logistic(usize),
    Trees(Box<Forest<'a>>),
    Shared(usize),
    Occurrence(&'a TenurePrior),
    Rate(f64),
}

pub(super) enum OfExpected<'a> {
    Occurrence(&'a TenurePrior),
    Trees(Box<Forest<'a>>),
    Corrected { trees: Box<Forest<'a>>, least: f64, prior: &'a TenurePrior },
    TwoPart { occurs: Box<Forest<'a>>, amount: Box<Forest<'a>> },
    Mean(f64),
}

impl<'a> Column<'a> {
    pub(super) fn of(column: &'a FittedColumn, logistic: &mut Logistics<'a>) -> Self {
        match column {
            FittedColumn::Probability { model, .. } => {
                let members = model.members.iter().map(|member| {
                    let of = match &member.model {
                        ProbabilityModel::Logistic(model) => {
                            logistic.0.push(model);
                            OfProbability::Logistic(logistic.0.len() - 1)
                        }
                        ProbabilityModel::Boosted(model) => OfProbability::Trees(Box::new(model.forest())),
                        ProbabilityModel::Shared { output } => OfProbability::Shared(*output),
                        ProbabilityModel::Occurrence { prior } => OfProbability::Occurrence(prior),
                        ProbabilityModel::Rate(rate) => OfProbability::Rate(*rate),
                    };
                    (member.weight, of)
                });
                Self::Probability(members.collect())
            }
            FittedColumn::Expected { model, .. } => {
                let members = model.members.iter().map(|member| {
                    let of = match &member.model {
                        ExpectedModel::Occurrence { prior } => OfExpected::Occurrence(prior),
                        ExpectedModel::Boosted(model) => OfExpected::Trees(Box::new(model.forest())),
                        ExpectedModel::Corrected { model, least, prior } => {
                            OfExpected::Corrected { trees: Box::new(model.forest()), least: *least, prior }
                        }
                        ExpectedModel::TwoPart { occurs, amount } => {
                            OfExpected::TwoPart { occurs: Box::new(occurs.forest()), amount: Box::new(amount.forest()) }
                        }
                        ExpectedModel::Mean(mean) => OfExpected::Mean(*mean),
                    };
                    (member.weight, of)
                });
                Self::Expected(members.collect())
            }
            FittedColumn::Occurrence { .. } => Self::Occurrence,
        }
    }

    /// Of each member the raw score where nothing is known; `sources` have the mean of each prepared column.
    pub(super) fn expected(&self, logistic: &Logistics, sources: &[(u32, f64)]) -> Vec<f64> {
        match self {
            Self::Probability(members) => {
                let of = |member: &OfProbability| match member {
                    OfProbability::Trees(trees) => trees.model().expected(),
                    OfProbability::Logistic(place) => {
                        let model = logistic.0[*place];
                        let products = sources.iter().zip(&model.coefficients).map(|((_, mean), c)| c * mean);
                        products.fold(model.intercept, |sum, product| sum + product)
                    }
                    _ => 0.0,
                };
                members.iter().map(|(_, member)| of(member)).collect()
            }
            Self::Expected(members) => {
                let of = |member: &OfExpected| match member {
                    OfExpected::Trees(trees) | OfExpected::Corrected { trees, .. } => trees.model().expected(),
                    OfExpected::TwoPart { occurs, amount } => {
                        ln_probability(occurs.model().expected()) + amount.model().expected()
                    }
                    OfExpected::Occurrence(_) | OfExpected::Mean(_) => 0.0,
                };
                members.iter().map(|(_, member)| of(member)).collect()
            }
            Self::Occurrence => Vec::new(),
        }
    }

    /// The columns of the models that may add anything to a score, those of what is foreseen left out.
    pub(super) fn sources(&self, sources: &[(u32, f64)]) -> Vec<u32> {
        let mut all: Vec<u32> = match self {
            Self::Probability(members) => {
                let of = |member: &OfProbability| match member {
                    OfProbability::Trees(trees) => trees.columns().to_vec(),
                    OfProbability::Logistic(_) => sources.iter().map(|(source, _)| *source).collect(),
                    OfProbability::Shared(_) | OfProbability::Occurrence(_) | OfProbability::Rate(_) => Vec::new(),
                };
                members.iter().flat_map(|(_, member)| of(member)).collect()
            }
            Self::Expected(members) => {
                let of = |member: &OfExpected| match member {
                    OfExpected::Trees(trees) | OfExpected::Corrected { trees, .. } => trees.columns().to_vec(),
                    OfExpected::TwoPart { occurs, amount } => [occurs.columns(), amount.columns()].concat(),
                    OfExpected::Occurrence(_) | OfExpected::Mean(_) => Vec::new(),
                };
                members.iter().flat_map(|(_, member)| of(member)).collect()
            }
            Self::Occurrence => Vec::new(),
        };
        all.sort_unstable();
        all.dedup();
        all
    }
}
