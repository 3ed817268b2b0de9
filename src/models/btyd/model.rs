//! The choice among the models of orders, and the account of a fit, whatever the model.

use serde::{Deserialize, Serialize};

use super::nbd::Lifetime;
use super::scoring::BtydModel;
use super::spend::{Spend, SpendModel};
use super::{BgNbd, BtydError, Fitted, GgomNbd, Histories, MbgNbd, OrdersProcess, ParetoNbd};
use crate::math::Stop;

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

impl FitAccount {
    /// Of a fit with these parameters: letter, value and power of time, in the order of the standard errors.
    pub fn new<P>(model: String, fitted: &Fitted<P>, parameters: Vec<(String, f64, i32)>) -> Self {
        let error = |i: usize| fitted.standard_errors.as_ref().map(|errors| errors[i]);
        let named = |(i, (letter, value, time_power)): (usize, (String, f64, i32))| FittedParameter {
            letter,
            value,
            standard_error: error(i),
            time_power,
        };
        Self {
            model,
            parameters: parameters.into_iter().enumerate().map(named).collect(),
            ln_likelihood: fitted.ln_likelihood,
            iterations: fitted.iterations,
            gradient_norm: fitted.gradient_norm,
            stop: fitted.stop,
            shrunk: fitted.shrunk,
            customers: fitted.customers,
        }
    }

    /// The same with times in units of `days` days, given the repeat orders that the likelihood is a density of.
    pub fn in_units(mut self, days: f64, orders: f64) -> Self {
        for parameter in &mut self.parameters {
            let scale = days.powi(parameter.time_power);
            parameter.value /= scale;
            parameter.standard_error = parameter.standard_error.map(|error| error / scale);
        }
        self.ln_likelihood += orders * days.ln();
        self
    }

    /// Bayesian information criterion, with so many choices made beside the parameters: the lower the better.
    pub fn bic(&self, choices: u32) -> f64 {
        let free = self.parameters.len() as f64 + f64::from(choices);
        free * (self.customers as f64).ln() - 2.0 * self.ln_likelihood
    }
}

/// A parameter of a fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FittedParameter {
    /// As the paper writes it; a coefficient as CLVTools does, `trans.NAME` of ordering and `life.NAME` of leaving.
    pub letter: String,
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
        let named = |values: &[f64]| {
            let one = |(i, &value): (usize, &f64)| (letters[i].to_string(), value, powers[i]);
            values.iter().enumerate().map(one).collect()
        };
        each!(self, fitted => FitAccount::new(self.model().name(), fitted, named(&fitted.params.parameters())))
    }
}
