//! What scoring needs of a fit, as it is stored: floats survive a round trip bit for bit.

use serde::{Deserialize, Serialize};

use super::reference::Reference;
use crate::config::ScoresConfig;
use crate::features::Plan;
use crate::labels::Target;
use crate::models::blend::Blend;
use crate::models::boosted::{BoostedModel, ManyModel};
use crate::models::calibrate::Calibration;
use crate::models::interval::Intervals;
use crate::models::logistic::LogisticModel;
use crate::models::occurrence::{OccurrenceModel, TenurePrior};
use crate::models::prepare::Preparation;

/// `parameters.json` of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The catalogue of feature columns, stages and the churn factor: frozen at the bundle's `as_of`. It judges nothing,
    /// so that it may know all of the history, and no target changes it.
    pub catalogue: Plan,
    /// What the features of the targets are generated from, one for each horizon.
    pub plans: Vec<Plan>,
    /// Every target in the order of its columns.
    pub targets: Vec<FittedTarget>,
    /// Occurrence models that targets refer to by index.
    pub occurrences: Vec<OccurrenceModel>,
}

impl Parameters {
    /// Names of the numeric columns of the data that features are made from.
    pub fn numbers(&self) -> Vec<String> {
        let plans = self.plans.iter().chain([&self.catalogue]);
        let mut names: Vec<String> = plans
            .flat_map(|plan| plan.numbers.iter().map(|number| &number.name).chain(&plan.discount).cloned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A target with its models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedTarget {
    /// What is predicted.
    pub target: Target,
    /// Index of the plan whose features it takes.
    pub plan: usize,
    /// Index of the occurrence model whose expectations are columns after those of the plan.
    pub foresight: Option<usize>,
    /// Boosted trees that all columns of a target by category share.
    pub shared: Option<ManyModel>,
    /// All columns as the logistic models take them; none for amounts and counts.
    pub preparation: Option<Preparation>,
    /// One for each score column.
    pub columns: Vec<FittedColumn>,
    /// Where bands (absence) and tiers (amount) begin.
    pub cuts: Cuts,
    /// What predictions are compared with when they are explained; `None` of a bundle of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// The model of one score column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FittedColumn {
    /// A calibrated probability.
    Probability {
        /// Gives the score.
        model: Blend<ProbabilityModel>,
        /// Makes the score a probability.
        calibration: Calibration,
    },
    /// An expected amount or count.
    Expected {
        /// Gives it.
        model: Blend<ExpectedModel>,
        /// Its predictions are multiplied by this.
        level: f64,
        /// Intervals around it, of amounts.
        intervals: Option<Intervals>,
    },
    /// An expected amount or count of one category, by an occurrence model of its own.
    Occurrence {
        /// Index of the occurrence model.
        occurrence: usize,
        /// For customers who have never done it.
        prior: TenurePrior,
    },
}

/// A model of a probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // a few for each score column: size does not matter
pub enum ProbabilityModel {
    /// Penalised logistic regression over prepared columns.
    Logistic(LogisticModel),
    /// Boosted trees over the columns.
    Boosted(BoostedModel),
    /// One output of the boosted trees that the columns of a target share.
    Shared {
        /// Which.
        output: usize,
    },
    /// Buy till you die, as the target's occurrence model foresees it.
    Occurrence {
        /// For customers who have never done it.
        prior: TenurePrior,
    },
    /// The same for everyone: too few labels for more.
    Rate(f64),
}

/// A model of an amount or count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // as above
pub enum ExpectedModel {
    /// Buy till you die, as the target's occurrence model foresees it.
    Occurrence {
        /// For customers who have never done it.
        prior: TenurePrior,
    },
    /// Boosted trees over the columns.
    Boosted(BoostedModel),
    /// Boosted trees that correct what the occurrence model foresees: they add to its logarithm.
    Corrected {
        /// The trees.
        model: BoostedModel,
        /// What is foreseen counts as at least this.
        least: f64,
        /// For customers who have never done it.
        prior: TenurePrior,
    },
    /// Two parts (Cragg 1971, "Some Statistical Models for Limited Dependent Variables", Econometrica 39(5), 829-844): whether there
    /// is anything at all, times how much there is if so.
    TwoPart {
        /// Boosted trees of the probability of more than nothing.
        occurs: BoostedModel,
        /// Boosted trees of the mean of those that are more than nothing, with a logarithmic link.
        amount: BoostedModel,
    },
    /// The same for everyone: too little to learn from.
    Mean(f64),
}

/// Where bands and tiers begin, ascending: fixed by the fit, so that a band keeps its meaning from night to night.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cuts(Vec<f64>);

/// Bands of a probability of absence.
const BANDS: [&str; 3] = ["low", "medium", "high"];
/// Tiers of an amount.
const TIERS: [&str; 4] = ["low", "medium", "high", "top"];

impl Cuts {
    /// Bands of these probabilities: `medium` is the upper half and `high` the upper fifth, unless configured.
    pub fn of_churn(probabilities: &[f64], config: &ScoresConfig) -> Self {
        let or = |configured: f64, share| if configured > 0.0 { configured } else { quantile(probabilities, share) };
        let medium = or(config.churn_band_medium, 0.5);
        Self(vec![medium, or(config.churn_band_high, 0.8).max(medium)])
    }

    /// Tiers of these amounts: `medium` is the upper half, `high` the upper fifth, `top` the upper twentieth.
    pub fn of_value(values: &[f64]) -> Self {
        Self(vec![quantile(values, 0.5), quantile(values, 0.8), quantile(values, 0.95)])
    }

    /// The band of a probability of absence; `None` of a missing one, or where no cuts could be set.
    pub fn band(&self, probability: f64) -> Option<&'static str> {
        self.place(probability).and_then(|place| BANDS.get(place).copied())
    }

    /// The tier of an amount; `None` of a missing one, or where no cuts could be set.
    pub fn tier(&self, value: f64) -> Option<&'static str> {
        self.place(value).and_then(|place| TIERS.get(place).copied())
    }

    fn place(&self, value: f64) -> Option<usize> {
        (!self.0.is_empty() && !value.is_nan()).then(|| self.0.iter().filter(|&&cut| value >= cut).count())
    }
}

/// The value below which `share` of the others lie; 0 of none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let position = (share * sorted.len() as f64) as usize;
    sorted.get(position.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_and_tiers_begin_at_their_cuts() {
        let mut config = crate::config::Config::default().scores;
        config.churn_band_high = 0.9;
        let cuts = Cuts::of_churn(&[0.1, 0.2, 0.3, 0.4], &config);
        assert_eq!([0.29, 0.3, 0.9].map(|p| cuts.band(p).unwrap()), ["low", "medium", "high"]);
        assert_eq!(cuts.band(f64::NAN), None);
        let cuts = Cuts::of_value(&(0..100).map(f64::from).collect::<Vec<_>>());
        assert_eq!([49.0, 50.0, 80.0, 95.0].map(|v| cuts.tier(v).unwrap()), ["low", "medium", "high", "top"]);
        assert_eq!(Cuts::default().tier(5.0), None);
    }
}
