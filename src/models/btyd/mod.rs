//! Buy till you die: how often customers order, whether they still do, and what an order is worth.
//!
//! Histories ([`Rfm`]) are days; so are horizons and the scale parameters. Each model is a file (source, parameters,
//! fit, predict, tests) that implements [`OrdersProcess`]; [`OrdersModel`] is the choice among them, and with
//! [`SpendModel`] it makes the [`BtydModel`] that the pipeline fits, stores and scores with.
//!
//! A churn score is [`OrdersProcess::no_order_probability`], not the alive probability: BG/NBD holds every customer
//! without a repeat order for alive, and on CDNOW its alive probability ranks worse than chance (AUC 0.316 against
//! 0.757, `tests/paper_values.rs`).

mod beta_mean;
pub mod bg_nbd;
pub mod credibility;
mod error;
mod estimators;
mod fitting;
pub mod gamma_gamma;
mod history;
mod model;
mod spend;

pub use bg_nbd::BgNbd;
pub use credibility::Credibility;
pub use error::BtydError;
pub use estimators::{OrdersEstimator, OrdersPredictor, SpendEstimator, SpendPredictor};
pub use fitting::Fitted;
pub use gamma_gamma::GammaGamma;
pub use history::{Histories, LARGEST, Rfm};
pub use model::{BtydModel, BtydScore, OrdersFit, OrdersModel, Scorer};
pub use spend::{Spend, SpendModel, WhyCredibility};

/// The longest time to the next order that is reported, in days: ten years. Beyond it a median is no forecast.
pub const LONGEST_MEDIAN_DAYS: f64 = 3652.5;

/// A model of the order process at given parameters. Times are in the unit of the parameters: days after a fit.
pub trait OrdersProcess {
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

    /// Time from `T` by which the next order will have come with probability 1/2; `None` where that time is longer
    /// than [`LONGEST_MEDIAN_DAYS`] or never comes.
    fn median_to_next_order(&self, history: &Rfm) -> Option<f64>;
}

/// Checks one parameter of a model: between 1e-12 and 1e12, the range in which every formula here stays finite.
fn checked_parameter(model: &'static str, name: &'static str, value: f64) -> Result<f64, BtydError> {
    if (1e-12..=1e12).contains(&value) {
        return Ok(value);
    }
    Err(BtydError::BadParameter { model, name, rule: "1e-12 to 1e12", found: value })
}
