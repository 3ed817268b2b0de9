//! What the pipeline uses: a model of orders with a model of spend, fitted, stored and scored with as one.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bg_nbd::{BgNbdScorer, Outlook};
use super::spend::{Spend, SpendModel};
use super::{BgNbd, BtydError, Fitted, Histories, LARGEST, OrdersProcess, Rfm};

/// Customers to a chunk of parallel scoring.
const CHUNK: usize = 4096;

/// Which model of the order process to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrdersModel {
    /// [`BgNbd`].
    #[default]
    BgNbd,
}

impl OrdersModel {
    /// Fits the order process to all customers, and a spend model to those with repeat orders and known money.
    ///
    /// # Errors
    /// When there are no customers, nothing was observed of them, or a likelihood has no maximum even with a prior.
    pub fn fit(self, histories: &Histories, money: &[Spend]) -> Result<BtydModel, BtydError> {
        let orders = match self {
            Self::BgNbd => OrdersFit::BgNbd(BgNbd::fit(histories)?),
        };
        Ok(BtydModel { orders, spend: SpendModel::fit(money)? })
    }
}

/// A fitted model of the order process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum OrdersFit {
    /// [`BgNbd`].
    BgNbd(Fitted<BgNbd>),
}

impl OrdersFit {
    /// The model at its parameters.
    pub fn process(&self) -> &dyn OrdersProcess {
        match self {
            Self::BgNbd(fitted) => &fitted.params,
        }
    }

    /// Whether a weak prior held the parameters.
    pub fn shrunk(&self) -> bool {
        match self {
            Self::BgNbd(fitted) => fitted.shrunk,
        }
    }
}

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
    /// Days by which the next order will have come with probability 1/2; `None` beyond
    /// [`super::LONGEST_MEDIAN_DAYS`].
    pub median_days_to_next: Option<f64>,
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
        let orders = match &self.orders {
            OrdersFit::BgNbd(fitted) => OrdersScorer::BgNbd(BgNbdScorer::new(fitted.params, horizon_days + 0.0)),
        };
        Ok(Scorer { orders, spend: self.spend.clone() })
    }
}

/// A model at a horizon. A customer's score depends on nothing but the customer.
pub struct Scorer {
    orders: OrdersScorer,
    spend: Option<SpendModel>,
}

enum OrdersScorer {
    BgNbd(BgNbdScorer),
}

impl Scorer {
    /// What is foreseen of one customer.
    pub fn score(&self, history: &Rfm, mean_value: Option<f64>) -> BtydScore {
        let OrdersScorer::BgNbd(orders) = &self.orders;
        let Outlook { alive, no_order, expected_orders, median_to_next } = orders.outlook(history);
        BtydScore {
            alive_probability: alive,
            no_order_probability: no_order,
            expected_orders,
            expected_value: self
                .spend
                .as_ref()
                .map(|spend| expected_orders * spend.expected_mean(history.x(), mean_value)),
            median_days_to_next: median_to_next,
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Credibility;
    use super::*;

    fn model(parameters: [f64; 4], spend: Option<SpendModel>) -> BtydModel {
        let params = BgNbd::new(parameters).unwrap();
        let fitted = Fitted {
            params,
            ln_likelihood: -1.0,
            iterations: 1,
            gradient_norm: 0.0,
            stop: crate::math::Stop::Converged,
            shrunk: false,
            customers: 1,
        };
        BtydModel { orders: OrdersFit::BgNbd(fitted), spend }
    }

    fn casino() -> SpendModel {
        let spends = [Spend::new(1.0, -20.0).unwrap(), Spend::new(4.0, 30.0).unwrap()];
        let fitted = Credibility::fit(&spends).unwrap();
        SpendModel::Credibility { fitted, because: super::super::WhyCredibility::NotPositive { customers: 1 } }
    }

    /// A history anywhere in the region customers can be in: x to 20,000, T to a million.
    fn any_history() -> impl Strategy<Value = Rfm> {
        let x = prop_oneof![0u32..5, 0u32..200, 0u32..=20_000];
        let t = prop_oneof![Just(0.0), 0.0..10.0, 0.0..2000.0, 0.0..=1e6];
        (x, t, 0.0..=1.0, any::<bool>()).prop_map(|(x, t, share, to_the_end)| {
            let t_x = if to_the_end { t } else { share * t };
            if x == 0 || t_x == 0.0 { Rfm::new(0.0, 0.0, t).unwrap() } else { Rfm::new(f64::from(x), t_x, t).unwrap() }
        })
    }

    fn any_parameters() -> impl Strategy<Value = [f64; 4]> {
        prop_oneof![
            Just([0.243, 30.9, 0.793, 2.426]),
            Just([2.0, 0.05, 0.05, 50.0]),
            [-8.0..8.0, -8.0..8.0, -8.0..8.0, -8.0..8.0f64].prop_map(|powers| powers.map(f64::exp)),
            [-27.0..27.0, -27.0..27.0, -27.0..27.0, -27.0..27.0f64].prop_map(|powers| powers.map(f64::exp)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_customer_gets_a_score_that_is_no_number(
            parameters in any_parameters(),
            history in any_history(),
            horizon in prop_oneof![Just(0.0), 0.0..1.0, 0.0..1000.0, 0.0..=1e6],
            mean in prop_oneof![Just(None), (-1e9..1e9f64).prop_map(Some)],
        ) {
            let model = model(parameters, Some(casino()));
            let score = model.score(&history, mean, horizon).unwrap();
            prop_assert!((0.0..=1.0).contains(&score.alive_probability), "{score:?}");
            prop_assert!((0.0..=1.0).contains(&score.no_order_probability), "{score:?}");
            prop_assert!(score.no_order_probability >= 1.0 - score.alive_probability - 1e-15, "{score:?}");
            prop_assert!(score.expected_orders >= 0.0 && score.expected_orders.is_finite(), "{score:?}");
            // An expected count is at least the probability of any.
            let any = 1.0 - score.no_order_probability;
            prop_assert!(score.expected_orders >= any * (1.0 - 1e-9) - 1e-15, "{score:?}");
            prop_assert!(score.expected_value.is_some_and(f64::is_finite), "{score:?}");
            if let Some(days) = score.median_days_to_next {
                prop_assert!((0.0..=super::super::LONGEST_MEDIAN_DAYS).contains(&days), "{score:?}");
            }
            let process = model.orders.process();
            prop_assert!(process.ln_likelihood(&history).is_finite());
            let new = process.expected_orders_of_new(horizon);
            prop_assert!(new >= 0.0 && new.is_finite(), "{new}");
        }

        #[test]
        fn a_longer_horizon_never_foresees_less(
            parameters in any_parameters(), history in any_history(), horizon in 0.0..2000.0, more in 1.0..3.0,
        ) {
            let model = model(parameters, None);
            let near = model.score(&history, None, horizon).unwrap();
            let far = model.score(&history, None, horizon * more).unwrap();
            prop_assert!(far.expected_orders >= near.expected_orders * (1.0 - 1e-9), "{near:?} {far:?}");
            prop_assert!(far.no_order_probability <= near.no_order_probability + 1e-15, "{near:?} {far:?}");
            prop_assert_eq!(near.expected_value, None);
        }
    }

    #[test]
    fn many_are_scored_as_one_is() {
        let model = model([0.243, 30.9, 0.793, 2.426], Some(casino()));
        let histories: Vec<Rfm> = (0..10_000u32)
            .map(|i| Rfm::new(f64::from(i % 9), if i % 9 == 0 { 0.0 } else { f64::from(i % 200 + 1) }, 300.0).unwrap())
            .collect();
        let means: Vec<Option<f64>> = (0..10_000).map(|i| (i % 3 > 0).then_some(f64::from(i % 50))).collect();
        let scorer = model.scorer(90.0).unwrap();
        let scores = scorer.score_all(&histories, &means).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one_thread.install(|| scorer.score_all(&histories, &means).unwrap()), scores);
        for i in [0, 1, 17, 9_999] {
            assert_eq!(scores[i], model.score(&histories[i], means[i], 90.0).unwrap());
        }
        assert!(matches!(scorer.score_all(&histories, &[]), Err(BtydError::UnequalLengths { .. })));
    }

    #[test]
    fn a_model_is_stored_bit_for_bit() {
        let stored = serde_json::to_string(&model([0.1 + 0.2, 30.9, 0.793, 2.426], Some(casino()))).unwrap();
        let loaded: BtydModel = serde_json::from_str(&stored).unwrap();
        assert_eq!(serde_json::to_string(&loaded).unwrap(), stored);
        assert!(loaded.scorer(f64::NAN).is_err() && loaded.scorer(-1.0).is_err() && loaded.scorer(1e8).is_err());
    }
}
