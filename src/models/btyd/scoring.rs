//! What the pipeline scores with: a model of orders with a model of spend, stored as one, and at a horizon many customers
//! at a time.
//!
//! What customers share is computed once for a horizon: Gauss rules and Chebyshev series by the number of orders, each
//! checked against the integral that it stands for when it is made. A customer's score depends on nothing but the customer.

mod beta_geometric;
mod nbd;
#[cfg(test)]
pub(super) mod tests;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::model::OrdersFit;
use super::spend::SpendModel;
use super::{BtydError, LARGEST, Rfm};
use beta_geometric::BetaGeometricScorer;
use nbd::NbdScorer;

/// Customers to a chunk of parallel scoring.
const CHUNK: usize = 4096;

/// What is computed once for all customers of one number of repeat orders is kept for fewer than these; others are
/// integrated one by one.
const KEPT: usize = 512;

/// Orders and spend together. Serialises bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BtydModel {
    /// How often.
    pub orders: OrdersFit,
    /// For how much; `None` where no customer had a repeat order of known value.
    pub spend: Option<SpendModel>,
}

/// What is foreseen of one customer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BtydScore {
    /// Probability of still being a customer at `as_of`. No churn score: see the module.
    pub alive_probability: f64,
    /// Probability of no order in the horizon.
    pub no_order_probability: f64,
    /// Expected orders in the horizon.
    pub expected_orders: f64,
    /// Expected money in the horizon; `None` without a spend model.
    pub expected_value: Option<f64>,
}

impl BtydModel {
    /// What is foreseen of one customer; `mean_value` is the mean of their repeat orders, `None` where unknown.
    ///
    /// # Errors
    /// When the horizon is not 0 to 10,000,000 days.
    pub fn score(&self, history: &Rfm, mean_value: Option<f64>, horizon_days: f64) -> Result<BtydScore, BtydError> {
        Ok(self.scorer(horizon_days)?.score(history, mean_value))
    }

    /// The model at a horizon, for many customers.
    ///
    /// # Errors
    /// When the horizon is not 0 to 10,000,000 days.
    pub fn scorer(&self, horizon_days: f64) -> Result<Scorer, BtydError> {
        if !(0.0..=LARGEST).contains(&horizon_days) {
            return Err(BtydError::BadHorizon { days: horizon_days });
        }
        let horizon = horizon_days + 0.0;
        let orders: Box<dyn OrdersScorer> = match &self.orders {
            OrdersFit::BgNbd(fitted) => Box::new(BetaGeometricScorer::new(fitted.params, horizon)),
            OrdersFit::MbgNbd(fitted) => Box::new(BetaGeometricScorer::new(fitted.params, horizon)),
            OrdersFit::ParetoNbd(fitted) => Box::new(NbdScorer::new(fitted.params, horizon)),
            OrdersFit::GgomNbd(fitted) => Box::new(NbdScorer::new(fitted.params, horizon)),
        };
        Ok(Scorer { orders, spend: self.spend.clone() })
    }
}

/// What a horizon asks of one history.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outlook {
    alive: f64,
    no_order: f64,
    expected_orders: f64,
}

/// A model of orders at a horizon, with what many customers share at hand.
trait OrdersScorer: Send + Sync {
    fn outlook(&self, history: &Rfm) -> Outlook;
    fn discounted(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError>;
    fn median(&self, history: &Rfm) -> Option<f64>;
}

/// A model at a horizon. A customer's score depends on nothing but the customer.
pub struct Scorer {
    orders: Box<dyn OrdersScorer>,
    spend: Option<SpendModel>,
}

impl Scorer {
    /// What is foreseen of one customer.
    pub fn score(&self, history: &Rfm, mean_value: Option<f64>) -> BtydScore {
        let Outlook { alive, no_order, expected_orders } = self.orders.outlook(history);
        BtydScore {
            alive_probability: alive,
            no_order_probability: no_order,
            expected_orders,
            expected_value: self
                .spend
                .as_ref()
                .map(|spend| expected_orders * spend.expected_mean(history.x(), mean_value)),
        }
    }

    /// Orders from now on, discounted at a continuous `rate` a day, and their money, where there is a spend model: the
    /// discounted expected residual lifetime value.
    ///
    /// # Errors
    /// When the rate is not above 0 and finite.
    pub fn lifetime(&self, history: &Rfm, mean_value: Option<f64>, rate: f64) -> Result<(f64, Option<f64>), BtydError> {
        let orders = self.orders.discounted(history, rate)?;
        let value = self.spend.as_ref().map(|spend| orders * spend.expected_mean(history.x(), mean_value));
        Ok((orders, value))
    }

    /// Days by which the next order will have come with probability 1/2; `None` beyond
    /// [`super::LONGEST_MEDIAN_DAYS`].
    pub fn median_days_to_next(&self, history: &Rfm) -> Option<f64> {
        self.orders.median(history)
    }

    /// What is foreseen of each customer, in their order, in parallel on rayon's current pool.
    ///
    /// # Errors
    /// When there are not as many mean values as histories.
    pub fn score_all(&self, histories: &[Rfm], mean_values: &[Option<f64>]) -> Result<Vec<BtydScore>, BtydError> {
        if histories.len() != mean_values.len() {
            return Err(BtydError::UnequalLengths { histories: histories.len(), values: mean_values.len() });
        }
        let mut scores = vec![BtydScore::default(); histories.len()];
        scores.par_chunks_mut(CHUNK).zip(histories.par_chunks(CHUNK)).zip(mean_values.par_chunks(CHUNK)).for_each(
            |((scores, histories), means)| {
                for ((score, history), mean) in scores.iter_mut().zip(histories).zip(means) {
                    *score = self.score(history, *mean);
                }
            },
        );
        Ok(scores)
    }
}
