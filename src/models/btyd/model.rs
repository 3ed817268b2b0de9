//! What the pipeline uses: a model of orders with a model of spend, fitted, stored and scored with as one.

use std::sync::OnceLock;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::beta_geometric::{BetaGeometric, Known as BetaKnown};
use super::beta_mean::Rules;
use super::discounted::discounted;
use super::nbd::{Known as NbdKnown, Lifetime, Nbd};
use super::spend::{Spend, SpendModel};
use super::{BgNbd, BtydError, Fitted, GgomNbd, Histories, LARGEST, MbgNbd, OrdersProcess, ParetoNbd, Rfm};
use crate::math::Stop;

/// Customers to a chunk of parallel scoring.
const CHUNK: usize = 4096;

/// Which model of the order process to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrdersModel {
    /// [`BgNbd`]: nobody leaves before the first repeat order.
    BgNbd,
    /// [`MbgNbd`]. The default: as fast as BG/NBD, and it knows that most who ordered once have left.
    #[default]
    MbgNbd,
    /// [`ParetoNbd`].
    ParetoNbd,
    /// [`GgomNbd`].
    GgomNbd,
    /// [`BgNbd`] with orders at regular times, every k-th tick.
    BgCnbd(u32),
    /// [`MbgNbd`] with orders at regular times, every k-th tick.
    MbgCnbd(u32),
}

impl OrdersModel {
    /// The name in the literature.
    pub fn name(self) -> String {
        match self {
            Self::BgNbd => "BG/NBD".into(),
            Self::MbgNbd => "MBG/NBD".into(),
            Self::ParetoNbd => "Pareto/NBD".into(),
            Self::GgomNbd => "GGom/NBD".into(),
            Self::BgCnbd(k) => format!("BG/CNBD-{k}"),
            Self::MbgCnbd(k) => format!("MBG/CNBD-{k}"),
        }
    }

    /// Fits the order process alone.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_orders(self, histories: &Histories) -> Result<OrdersFit, BtydError> {
        Ok(match self {
            Self::BgNbd => OrdersFit::BgNbd(BgNbd::fit(histories)?),
            Self::MbgNbd => OrdersFit::MbgNbd(MbgNbd::fit(histories)?),
            Self::ParetoNbd => OrdersFit::ParetoNbd(ParetoNbd::fit(histories)?),
            Self::GgomNbd => OrdersFit::GgomNbd(GgomNbd::fit(histories)?),
            Self::BgCnbd(k) => OrdersFit::BgNbd(BgNbd::fit_regular(k, histories)?),
            Self::MbgCnbd(k) => OrdersFit::MbgNbd(MbgNbd::fit_regular(k, histories)?),
        })
    }

    /// Fits the order process to all customers, and a spend model to those with repeat orders and known money.
    ///
    /// # Errors
    /// When there are no customers, nothing was observed of them, or a likelihood has no maximum even with a prior.
    pub fn fit(self, histories: &Histories, money: &[Spend]) -> Result<BtydModel, BtydError> {
        Ok(BtydModel { orders: self.fit_orders(histories)?, spend: SpendModel::fit(money)? })
    }
}

/// A fitted model of the order process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum OrdersFit {
    /// [`BgNbd`], or BG/CNBD-k.
    BgNbd(Fitted<BgNbd>),
    /// [`MbgNbd`], or MBG/CNBD-k.
    MbgNbd(Fitted<MbgNbd>),
    /// [`ParetoNbd`].
    ParetoNbd(Fitted<ParetoNbd>),
    /// [`GgomNbd`].
    GgomNbd(Fitted<GgomNbd>),
}

/// What there is to tell of a fit, whatever the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitAccount {
    /// The model.
    pub model: String,
    /// Letter, value and standard error of each parameter, in the unit of time of the fit.
    pub parameters: Vec<FittedParameter>,
    /// Log-likelihood in nats.
    pub ln_likelihood: f64,
    /// Iterations of the winning start.
    pub iterations: u64,
    /// Norm of the gradient per customer over the logarithms of the parameters.
    pub gradient_norm: f64,
    /// How the optimiser stopped.
    pub stop: Stop,
    /// Whether a weak prior held the parameters.
    pub shrunk: bool,
    /// Customers fitted on.
    pub customers: u64,
}

/// A parameter of a fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FittedParameter {
    /// As the paper writes it.
    pub letter: &'static str,
    /// The estimate.
    pub value: f64,
    /// Its standard error; `None` where the data do not determine it.
    pub standard_error: Option<f64>,
    /// Power of the unit of time in it: 1 for a scale, −1 for a rate, 0 for a number.
    pub time_power: i32,
}

/// Evaluates `$of` with `$fitted` bound to the fit of whatever model.
macro_rules! each {
    ($orders:expr, $fitted:ident => $of:expr) => {
        match $orders {
            OrdersFit::BgNbd($fitted) => $of,
            OrdersFit::MbgNbd($fitted) => $of,
            OrdersFit::ParetoNbd($fitted) => $of,
            OrdersFit::GgomNbd($fitted) => $of,
        }
    };
}

impl OrdersFit {
    /// The model at its parameters.
    pub fn process(&self) -> &dyn OrdersProcess {
        each!(self, fitted => &fitted.params)
    }

    /// Whether a weak prior held the parameters.
    pub fn shrunk(&self) -> bool {
        each!(self, fitted => fitted.shrunk)
    }

    /// Which model it is.
    pub fn model(&self) -> OrdersModel {
        match self {
            Self::BgNbd(fitted) if fitted.params.regularity() > 1 => OrdersModel::BgCnbd(fitted.params.regularity()),
            Self::MbgNbd(fitted) if fitted.params.regularity() > 1 => OrdersModel::MbgCnbd(fitted.params.regularity()),
            Self::BgNbd(_) => OrdersModel::BgNbd,
            Self::MbgNbd(_) => OrdersModel::MbgNbd,
            Self::ParetoNbd(_) => OrdersModel::ParetoNbd,
            Self::GgomNbd(_) => OrdersModel::GgomNbd,
        }
    }

    /// Parameters, errors and how the fit went.
    pub fn account(&self) -> FitAccount {
        let powers: &[i32] = match self {
            Self::BgNbd(_) | Self::MbgNbd(_) => &[0, 1, 0, 0],
            Self::ParetoNbd(_) => &super::pareto_nbd::Pareto::POWERS,
            Self::GgomNbd(_) => &super::ggom_nbd::Gompertz::POWERS,
        };
        let letters: &[&'static str] = match self {
            Self::BgNbd(_) | Self::MbgNbd(_) => &BgNbd::LETTERS,
            Self::ParetoNbd(_) => &ParetoNbd::LETTERS,
            Self::GgomNbd(_) => &GgomNbd::LETTERS,
        };
        each!(self, fitted => FitAccount {
            model: self.model().name(),
            parameters: fitted
                .params
                .parameters()
                .iter()
                .enumerate()
                .map(|(i, &value)| FittedParameter {
                    letter: letters[i],
                    value,
                    standard_error: fitted.standard_errors.as_ref().map(|errors| errors[i]),
                    time_power: powers[i],
                })
                .collect(),
            ln_likelihood: fitted.ln_likelihood,
            iterations: fitted.iterations,
            gradient_norm: fitted.gradient_norm,
            stop: fitted.stop,
            shrunk: fitted.shrunk,
            customers: fitted.customers,
        })
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
            OrdersFit::ParetoNbd(fitted) => Box::new(NbdScorer { model: fitted.params, horizon }),
            OrdersFit::GgomNbd(fitted) => Box::new(NbdScorer { model: fitted.params, horizon }),
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

struct BetaGeometricScorer<const AT_ZERO: bool> {
    model: BetaGeometric<AT_ZERO>,
    horizon: f64,
    /// Gauss rules by `x`, made when first asked for; customers with more orders are integrated one by one.
    rules: Box<[OnceLock<Box<Rules>>]>,
}

impl<const AT_ZERO: bool> BetaGeometricScorer<AT_ZERO> {
    /// Rules are kept for customers with fewer repeat orders than this.
    const RULES: usize = 512;

    fn new(model: BetaGeometric<AT_ZERO>, horizon: f64) -> Self {
        Self { model, horizon, rules: (0..Self::RULES).map(|_| OnceLock::new()).collect() }
    }

    /// The rules of customers with as many orders, where there are any.
    fn rules(&self, history: &Rfm, known: &BetaKnown) -> Option<&Rules> {
        if self.model.regularity() > 1 {
            return None;
        }
        let rules = self.rules.get(history.x() as usize)?;
        Some(rules.get_or_init(|| Box::new(Rules::new(self.model.parameters()[2], known.b, known.shape))))
    }
}

impl<const AT_ZERO: bool> OrdersScorer for BetaGeometricScorer<AT_ZERO> {
    fn outlook(&self, history: &Rfm) -> Outlook {
        let known = self.model.at_t(history);
        let alive = known.alive;
        let share = self.model.share_with_order(history, &known, self.horizon);
        let expected_orders = match self.rules(history, &known) {
            _ if alive == 0.0 => 0.0,
            Some(rules) => alive * rules.mean(self.horizon / known.scale),
            None => self.model.expected_orders(history, self.horizon),
        };
        Outlook { alive, no_order: 1.0 - alive * share, expected_orders }
    }

    fn discounted(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError> {
        let known = self.model.at_t(history);
        match self.rules(history, &known) {
            Some(rules) => Ok(known.alive * discounted(|days| rules.mean(days / known.scale), rate)?),
            None => self.model.discounted_orders(history, rate),
        }
    }

    fn median(&self, history: &Rfm) -> Option<f64> {
        self.model.median_to_next_order(history)
    }
}

struct NbdScorer<L: Lifetime<K>, const K: usize> {
    model: Nbd<L, K>,
    horizon: f64,
}

impl<L: Lifetime<K>, const K: usize> OrdersScorer for NbdScorer<L, K> {
    fn outlook(&self, history: &Rfm) -> Outlook {
        let known: NbdKnown<L> = self.model.at_t(history);
        if known.alive == 0.0 {
            return Outlook { alive: 0.0, no_order: 1.0, expected_orders: 0.0 };
        }
        let (share, orders) = known.outlook(self.horizon);
        Outlook { alive: known.alive, no_order: 1.0 - known.alive * share, expected_orders: known.alive * orders }
    }

    fn discounted(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError> {
        self.model.discounted_orders(history, rate)
    }

    fn median(&self, history: &Rfm) -> Option<f64> {
        self.model.median_to_next_order(history)
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Credibility;
    use super::*;

    fn model(parameters: [f64; 4], spend: Option<SpendModel>) -> BtydModel {
        BtydModel { orders: OrdersFit::BgNbd(at(BgNbd::new(parameters).unwrap())), spend }
    }

    fn at<P>(params: P) -> Fitted<P> {
        Fitted {
            params,
            ln_likelihood: -1.0,
            iterations: 1,
            gradient_norm: 0.0,
            stop: crate::math::Stop::Converged,
            shrunk: false,
            customers: 1,
            standard_errors: None,
        }
    }

    /// Every model at the same five parameters, or as many of them as it has.
    fn models([p, q, u, v, w]: [f64; 5]) -> Vec<BtydModel> {
        [
            OrdersFit::BgNbd(at(BgNbd::new([p, q, u, v]).unwrap())),
            OrdersFit::MbgNbd(at(MbgNbd::new([p, q, u, v]).unwrap())),
            OrdersFit::MbgNbd(at(MbgNbd::regular(3, [p, q, u, v]).unwrap())),
            OrdersFit::BgNbd(at(BgNbd::regular(2, [p, q, u, v]).unwrap())),
            OrdersFit::ParetoNbd(at(ParetoNbd::new([p, q, u, v]).unwrap())),
            OrdersFit::GgomNbd(at(GgomNbd::new([p, q, w, u, v]).unwrap())),
        ]
        .map(|orders| BtydModel { orders, spend: Some(casino()) })
        .into()
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

    fn any_parameters() -> impl Strategy<Value = [f64; 5]> {
        let powers = |range: f64| {
            [-range..range, -range..range, -range..range, -range..range, -range..range].prop_map(|p| p.map(f64::exp))
        };
        prop_oneof![
            Just([0.243, 30.9, 0.793, 2.426, 0.001]),
            Just([2.0, 0.05, 0.05, 50.0, 0.1]),
            Just([0.5, 10.0, 1.0, 12.0, 1.0]),
            powers(8.0),
            powers(27.0),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_customer_gets_a_score_that_is_no_number(
            parameters in any_parameters(),
            history in any_history(),
            horizon in prop_oneof![Just(0.0), 0.0..1.0, 0.0..1000.0, 0.0..=1e6],
            mean in prop_oneof![Just(None), (-1e9..1e9f64).prop_map(Some)],
            count in prop_oneof![0u32..4, 0u32..2000],
        ) {
            for model in models(parameters) {
                let name = model.orders.model().name();
                let score = model.score(&history, mean, horizon).unwrap();
                prop_assert!((0.0..=1.0).contains(&score.alive_probability), "{name}: {score:?}");
                prop_assert!((0.0..=1.0).contains(&score.no_order_probability), "{name}: {score:?}");
                let left = 1.0 - score.alive_probability;
                prop_assert!(score.no_order_probability >= left - 1e-15, "{name}: {score:?}");
                prop_assert!(score.expected_orders >= 0.0 && score.expected_orders.is_finite(), "{name}: {score:?}");
                // An expected count is at least the probability of any.
                let any = 1.0 - score.no_order_probability;
                prop_assert!(score.expected_orders >= any * (1.0 - 1e-9) - 1e-12, "{name}: {score:?}");
                prop_assert!(score.expected_value.is_some_and(f64::is_finite), "{name}: {score:?}");
                let process = model.orders.process();
                if let Some(days) = process.median_to_next_order(&history) {
                    prop_assert!((0.0..=super::super::LONGEST_MEDIAN_DAYS).contains(&days), "{name}: {days}");
                }
                prop_assert!(process.ln_likelihood(&history).is_finite(), "{name}");
                let new = process.expected_orders_of_new(horizon);
                prop_assert!(new >= 0.0 && new.is_finite(), "{name}: {new}");
                let later = process.alive_probability_after(&history, horizon);
                prop_assert!((0.0..=score.alive_probability * (1.0 + 1e-9)).contains(&later), "{name}: {later} {score:?}");
                let of_new = process.count_probability_of_new(horizon, count);
                prop_assert!((0.0..=1.0 + 1e-9).contains(&of_new), "{name}, {count}: {of_new}");
                let known = process.count_probability(&history, horizon, count);
                prop_assert!((0.0..=1.0 + 1e-9).contains(&known), "{name}, {count}: {known}");
            }
        }

        #[test]
        fn a_longer_horizon_never_foresees_less(
            parameters in any_parameters(), history in any_history(), horizon in 0.0..2000.0, more in 1.0..3.0,
        ) {
            for model in models(parameters) {
                let near = model.score(&history, None, horizon).unwrap();
                let far = model.score(&history, None, horizon * more).unwrap();
                let name = model.orders.model().name();
                prop_assert!(far.expected_orders >= near.expected_orders * (1.0 - 1e-9), "{name}: {near:?} {far:?}");
                prop_assert!(far.no_order_probability <= near.no_order_probability + 1e-12, "{name}: {near:?} {far:?}");
            }
        }
    }

    #[test]
    fn the_scorer_and_the_model_tell_the_same() {
        for parameters in
            [[0.243, 4.414, 0.793, 2.426, 0.01], [2.0, 0.05, 0.05, 50.0, 2.0], [0.25, 4.0, 0.003, 0.01, 0.1]]
        {
            for model in models(parameters) {
                for horizon in [0.0, 1e-6, 7.0, 90.0, 1e6] {
                    let scorer = model.scorer(horizon).unwrap();
                    for (x, t_x, t) in
                        [(0.0, 0.0, 0.0), (0.0, 0.0, 38.9), (2.0, 30.4, 38.9), (511.0, 90.0, 100.0), (6e3, 99.0, 99.0)]
                    {
                        let customer = Rfm::new(x, t_x, t).unwrap();
                        let (got, process) = (scorer.score(&customer, None), model.orders.process());
                        assert_eq!(got.alive_probability, process.alive_probability(&customer));
                        assert_eq!(got.no_order_probability, process.no_order_probability(&customer, horizon));
                        if horizon == 90.0 && t < 50.0 {
                            let (orders, value) = scorer.lifetime(&customer, None, 0.001).unwrap();
                            let want = process.discounted_orders(&customer, 0.001).unwrap();
                            assert!((orders - want).abs() <= 1e-10 * want && value.is_some(), "{customer:?}: {orders}");
                        }
                        assert_eq!(scorer.median_days_to_next(&customer), process.median_to_next_order(&customer));
                        let want = process.expected_orders(&customer, horizon);
                        assert!((got.expected_orders - want).abs() <= 6e-11 * want, "{customer:?} {horizon}: {got:?}");
                    }
                }
            }
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
