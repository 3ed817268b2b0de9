//! The choice of a spend model by what the money is like.

use serde::{Deserialize, Serialize};

use super::{BtydError, Credibility, Fitted, GammaGamma};

/// The largest mean value, either way: squares and products of it stay finite.
const LARGEST_MEAN: f64 = 1e12;

/// Up to this share of customers with a mean of zero or below, Gamma-Gamma is fitted on the others: a free gift or a
/// full return now and then, not a business of signed money.
const FEW_NOT_POSITIVE: f64 = 0.01;

/// Gamma-Gamma's population mean lies in the tail where `q` is near 1; past so many observed means it is not believed.
const BELIEVABLE_MEAN: f64 = 2.0;

/// Repeat orders of one customer and their mean value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spend {
    x: f64,
    mean: f64,
}

impl Spend {
    /// `x` repeat order-days of this mean value in money, signed.
    ///
    /// # Errors
    /// Unless `x` is a whole number up to [`super::LARGEST`] and the mean lies within ±1e12.
    pub fn new(x: f64, mean: f64) -> Result<Self, BtydError> {
        let broken = if !(0.0..=super::LARGEST).contains(&x) || x.fract() != 0.0 {
            Some("`x` is a whole number of 0 to 10,000,000")
        } else if !(-LARGEST_MEAN..=LARGEST_MEAN).contains(&mean) {
            Some("the mean is finite and within 1e12 of 0")
        } else {
            None
        };
        match broken {
            None => Ok(Self { x, mean: mean + 0.0 }),
            Some(rule) => Err(BtydError::BadSpend { x, mean, rule }),
        }
    }

    /// Repeat order-days.
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Mean value of one of them.
    pub fn mean(&self) -> f64 {
        self.mean
    }
}

/// Why the money was not modelled by Gamma-Gamma.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyCredibility {
    /// So many of the customers with repeat orders have a mean of zero or below.
    NotPositive {
        /// How many.
        customers: u64,
    },
    /// The tail is so heavy that the fitted population mean is infinite or unbelievable.
    HeavyTail,
    /// The likelihood of Gamma-Gamma has no maximum.
    NoMaximum,
}

/// A fitted spend model; the name says which, and if it is the fallback, why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum SpendModel {
    /// Positive money.
    GammaGamma {
        /// The fit.
        fitted: Fitted<GammaGamma>,
        /// The population mean, in money.
        base: f64,
    },
    /// Signed or zero money, or money that Gamma-Gamma cannot take.
    Credibility {
        /// The fit.
        fitted: Fitted<Credibility>,
        /// Why.
        because: WhyCredibility,
    },
}

impl SpendModel {
    /// The model that suits the money of the customers with repeat orders; `None` where there are none.
    ///
    /// # Errors
    /// When neither model has a maximum.
    pub fn fit(spends: &[Spend]) -> Result<Option<Self>, BtydError> {
        let buyers: Vec<Spend> = spends.iter().filter(|spend| spend.x > 0.0).copied().collect();
        if buyers.is_empty() {
            return Ok(None);
        }
        let not_positive = buyers.iter().filter(|spend| spend.mean <= 0.0).count();
        let because = if not_positive as f64 > FEW_NOT_POSITIVE * buyers.len() as f64 {
            WhyCredibility::NotPositive { customers: not_positive as u64 }
        } else {
            match GammaGamma::fit(&buyers) {
                Ok(fitted) => {
                    let observed = buyers.iter().map(Spend::mean).sum::<f64>() / buyers.len() as f64;
                    match fitted.params.population_mean().filter(|base| *base <= BELIEVABLE_MEAN * observed) {
                        Some(base) => return Ok(Some(Self::GammaGamma { fitted, base })),
                        None => WhyCredibility::HeavyTail,
                    }
                }
                Err(BtydError::NoMaximum { .. } | BtydError::BadParameter { .. }) => WhyCredibility::NoMaximum,
                Err(other) => return Err(other),
            }
        };
        Ok(Some(Self::Credibility { fitted: Credibility::fit(&buyers)?, because }))
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GammaGamma { .. } => "gamma_gamma",
            Self::Credibility { .. } => "credibility",
        }
    }

    /// Mean value of an order of a customer nothing is known of.
    pub fn base(&self) -> f64 {
        match self {
            Self::GammaGamma { base, .. } => *base,
            Self::Credibility { fitted, .. } => fitted.params.population_mean(),
        }
    }

    /// Whether a weak prior held the parameters.
    pub fn shrunk(&self) -> bool {
        match self {
            Self::GammaGamma { fitted, .. } => fitted.shrunk,
            Self::Credibility { fitted, .. } => fitted.shrunk,
        }
    }

    /// Expected mean value of an order of a customer with `x` repeat orders of this mean; [`SpendModel::base`] where
    /// either is missing (`x = 0`, a mean that is not finite).
    pub fn expected_mean(&self, x: f64, mean: Option<f64>) -> f64 {
        let Some(mean) = mean.filter(|mean| mean.is_finite() && x > 0.0) else { return self.base() };
        match self {
            // A base exists, so q > 1 and so does the mean of every customer.
            Self::GammaGamma { fitted, base } => fitted.params.expected_mean(x, mean).unwrap_or(*base),
            Self::Credibility { fitted, .. } => fitted.params.expected_mean(x, mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spends(mean: impl Fn(u32) -> f64) -> Vec<Spend> {
        (0..400).map(|i| Spend::new(f64::from(i % 6), mean(i)).unwrap()).collect()
    }

    #[test]
    fn the_money_chooses_the_model() {
        let positive = SpendModel::fit(&spends(|i| f64::from(10 + i * i % 37))).unwrap().unwrap();
        assert_eq!(positive.name(), "gamma_gamma");
        let casino = SpendModel::fit(&spends(|i| f64::from(i * i % 37) - 20.0)).unwrap().unwrap();
        assert!(matches!(
            casino,
            SpendModel::Credibility { because: WhyCredibility::NotPositive { customers: 1.. }, .. }
        ));
        // A Pareto tail of index 0.5 has no mean.
        let wild = SpendModel::fit(&spends(|i| (400.0 / (400.5 - f64::from(i))).powi(2))).unwrap().unwrap();
        assert!(matches!(wild, SpendModel::Credibility { because: WhyCredibility::HeavyTail, .. }), "{wild:?}");
        let equal = SpendModel::fit(&spends(|_| 9.99)).unwrap().unwrap();
        assert!(matches!(equal, SpendModel::Credibility { because: WhyCredibility::NoMaximum, .. }), "{equal:?}");
        assert!((equal.base() - 9.99).abs() < 1e-9);
        assert_eq!(SpendModel::fit(&[]).unwrap(), None);
        assert_eq!(SpendModel::fit(&[Spend::new(0.0, 9.0).unwrap()]).unwrap(), None);
        for model in [positive, casino, wild] {
            let stored = serde_json::to_string(&model).unwrap();
            assert_eq!(serde_json::from_str::<SpendModel>(&stored).unwrap(), model);
            assert_eq!(model.expected_mean(0.0, Some(1e9)), model.base());
            assert_eq!(model.expected_mean(3.0, None), model.base());
            assert_eq!(model.expected_mean(3.0, Some(f64::NAN)), model.base());
            assert!(model.expected_mean(1e7, Some(50.0)) > 0.99 * 50.0);
        }
    }

    #[test]
    fn one_gift_among_many_does_not_change_the_model() {
        let mut money = spends(|i| f64::from(10 + i * i % 37));
        money.push(Spend::new(2.0, 0.0).unwrap());
        let model = SpendModel::fit(&money).unwrap().unwrap();
        assert_eq!(model.name(), "gamma_gamma");
        assert!(model.expected_mean(2.0, Some(0.0)) > 0.0 && model.expected_mean(2.0, Some(-5.0)) > 0.0);
    }

    #[test]
    fn money_beyond_reason_is_refused_by_rule() {
        for (x, mean) in [(1.0, f64::NAN), (1.0, f64::INFINITY), (-1.0, 5.0), (0.5, 5.0), (1.0, -1e13)] {
            assert!(matches!(Spend::new(x, mean), Err(BtydError::BadSpend { .. })), "{x} {mean}");
        }
    }
}
