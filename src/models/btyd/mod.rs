//! Buy till you die: how often customers order, whether they still do, and what an order is worth.
//!
//! | model | customers who | file |
//! |---|---|---|
//! | BG/NBD, MBG/NBD | leave at an order (the modified one: at the first, too) | [`beta_geometric`] |
//! | BG/CNBD-k, MBG/CNBD-k | the same, ordering at regular times | [`beta_geometric`], with an exact expectation |
//! | Pareto/NBD | leave at any time | [`pareto_nbd`] on [`nbd`] |
//! | GGom/NBD | leave at any time, the older the sooner | [`ggom_nbd`] on [`nbd`] |
//! | any of the first and Pareto/NBD | differ by what is known of them from the start | [`covariates`] |
//! | BG/BB | may act once at each of n opportunities | [`bg_bb`] |
//! | sBG | have a contract to renew | [`sbg`] |
//! | Gamma-Gamma, credibility | spend | [`gamma_gamma`], [`credibility`] |
//!
//! Histories ([`Rfm`]) are days; so are horizons and the scale parameters. Each model is a file (source, parameters,
//! fit, predict, tests); those of orders in continuous time implement [`OrdersProcess`]; [`OrdersModel`] is the choice
//! among them, and with [`SpendModel`] it makes the [`BtydModel`] that the pipeline fits, stores and scores with.
//! Likelihoods are written once over numbers that carry their derivatives, climbed by Newton's method over the distinct
//! histories, and give standard errors from the Hessian.
//!
//! **A churn score is [`OrdersProcess::no_order_probability`], not the alive probability**: BG/NBD holds every customer
//! without a repeat order for alive, and on CDNOW its alive probability ranks worse than chance (AUC 0.316 against
//! 0.757; MBG/NBD 0.687 and 0.760, Pareto/NBD 0.726 and 0.771: `tests/paper_values/holdout.rs`). That is why MBG/NBD is
//! the default of [`OrdersModel`].

pub mod beta_geometric;
mod beta_mean;
pub mod bg_bb;
pub mod covariates;
pub mod credibility;
mod discounted;
mod error;
mod estimators;
mod fitting;
pub mod gamma_gamma;
pub mod ggom_nbd;
mod history;
mod model;
pub mod nbd;
mod negative_binomial;
pub mod pareto_nbd;
mod peaked;
mod population;
mod power_integral;
#[cfg(test)]
mod region;
mod renewal;
pub mod sbg;
mod scoring;
mod simulated;
mod spend;
pub mod tracking;

use rand::RngCore;

pub use beta_geometric::{BgNbd, MbgNbd};
pub use bg_bb::{BgBb, Opportunities};
pub use credibility::Credibility;
pub use error::BtydError;
pub use estimators::{OrdersEstimator, OrdersPredictor, SpendEstimator, SpendPredictor};
pub use fitting::Fitted;
pub use gamma_gamma::GammaGamma;
pub use ggom_nbd::GgomNbd;
pub use history::{Histories, LARGEST, Rfm};
pub use model::{FitAccount, FittedParameter, OrdersFit, OrdersModel};
pub use pareto_nbd::ParetoNbd;
pub use sbg::{Contracts, ShiftedBetaGeometric};
pub use scoring::{BtydModel, BtydScore, Scorer};
pub use spend::{Spend, SpendModel, WhyCredibility};

/// The longest time to the next order that is reported, in days: ten years. Beyond it a median is no forecast.
pub const LONGEST_MEDIAN_DAYS: f64 = 3652.5;

/// A model of the order process at given parameters. Times are in the unit of the parameters: days after a fit.
pub trait OrdersProcess: Send + Sync {
    /// Log-likelihood of one history, in nats; complete but for the constant ln x! that the papers leave out.
    fn ln_likelihood(&self, history: &Rfm) -> f64;

    /// Probability of still being a customer at `T`.
    fn alive_probability(&self, history: &Rfm) -> f64;

    /// Probability of no order in `(T, T + horizon]`.
    fn no_order_probability(&self, history: &Rfm, horizon: f64) -> f64;

    /// Expected orders in `(T, T + horizon]`.
    fn expected_orders(&self, history: &Rfm, horizon: f64) -> f64;

    /// Expected repeat orders of a customer nothing is known of, in `(0, horizon]` after the first order.
    fn expected_orders_of_new(&self, horizon: f64) -> f64;

    /// Probability of still being a customer at `T + horizon`.
    fn alive_probability_after(&self, history: &Rfm, horizon: f64) -> f64;

    /// Probability of exactly `n` orders in `(T, T + horizon]`.
    fn count_probability(&self, history: &Rfm, horizon: f64, n: u32) -> f64;

    /// Probability of exactly `n` repeat orders of a customer nothing is known of, P(X(t) = n).
    fn count_probability_of_new(&self, horizon: f64, n: u32) -> f64;

    /// Time from `T` by which the next order will have come with probability 1/2; `None` where that time is longer
    /// than [`LONGEST_MEDIAN_DAYS`] or never comes.
    fn median_to_next_order(&self, history: &Rfm) -> Option<f64>;

    /// Orders from `T` on, each discounted at the continuous `rate` per unit of time: DERT of Fader, Hardie & Lee
    /// (2005), Journal of Marketing Research 42(4), 415-430. Times the expected mean value of an order it is the
    /// discounted expected residual lifetime value.
    ///
    /// # Errors
    /// When the rate is not above 0 and finite: without discount the sum may be infinite.
    fn discounted_orders(&self, history: &Rfm, rate: f64) -> Result<f64, BtydError> {
        discounted::discounted(|horizon| self.expected_orders(history, horizon), rate)
    }

    /// The history of a customer of the model, observed for `t` from the first order on.
    fn simulate(&self, t: f64, random: &mut dyn RngCore) -> Rfm;
}

/// The day at which `share`, the probability of an order until then, reaches 1/2; `None` beyond
/// [`LONGEST_MEDIAN_DAYS`].
fn median_by_bisection(share: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut early, mut late) = (0.0, LONGEST_MEDIAN_DAYS);
    if share(late) < 0.5 {
        return None;
    }
    while late - early > 1e-12 * late {
        let middle = 0.5 * (early + late);
        if middle == early || middle == late {
            break;
        }
        if share(middle) < 0.5 { early = middle } else { late = middle }
    }
    Some(late)
}

/// Checks one parameter of a model: between 1e-12 and 1e12, the range in which every formula here stays finite.
fn checked_parameter(model: &'static str, name: &'static str, value: f64) -> Result<f64, BtydError> {
    if (1e-12..=1e12).contains(&value) {
        return Ok(value);
    }
    Err(BtydError::BadParameter { model, name, rule: "1e-12 to 1e12", found: value })
}
