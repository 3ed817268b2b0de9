//! The spend model of a comparison.

use serde::Serialize;

use crate::models::btyd::{SpendModel, WhyCredibility};

/// What orders are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpendLine {
    /// Gamma-Gamma, or credibility.
    pub model: &'static str,
    /// Letters, values and standard errors.
    pub parameters: Vec<(&'static str, f64, Option<f64>)>,
    /// Log-likelihood in nats.
    pub ln_likelihood: f64,
    /// Customers fitted on.
    pub customers: u64,
    /// Expected value of an order of a customer of whom nothing is known.
    pub population_mean: f64,
    /// Why it is not Gamma-Gamma.
    pub because: Option<&'static str>,
}

pub(super) fn spend_line(spend: &SpendModel) -> SpendLine {
    let population_mean = spend.base();
    match spend {
        SpendModel::GammaGamma { fitted, .. } => {
            let errors = |i: usize| fitted.standard_errors.as_ref().map(|errors| errors[i]);
            let parameters = ["p", "q", "gamma"].into_iter().zip(fitted.params.parameters()).enumerate();
            SpendLine {
                model: "Gamma-Gamma",
                parameters: parameters.map(|(i, (letter, value))| (letter, value, errors(i))).collect(),
                ln_likelihood: fitted.ln_likelihood,
                customers: fitted.customers,
                population_mean,
                because: None,
            }
        }
        SpendModel::Credibility { fitted, because } => SpendLine {
            model: "credibility",
            parameters: vec![
                ("mu", fitted.params.population_mean(), None),
                ("k", fitted.params.orders_to_trust(), None),
            ],
            ln_likelihood: fitted.ln_likelihood,
            customers: fitted.customers,
            population_mean,
            because: Some(match because {
                WhyCredibility::NotPositive { .. } => "many customers have a mean value of zero or below",
                WhyCredibility::HeavyTail => "the tail of Gamma-Gamma would be too heavy to have a believable mean",
                WhyCredibility::NoMaximum => "the likelihood of Gamma-Gamma has no maximum",
            }),
        },
    }
}
