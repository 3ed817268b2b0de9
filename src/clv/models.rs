//! The models that can be asked for.

use clap::ValueEnum;

use super::population::Sample;
use crate::models::btyd::{BtydError, OrdersFit, OrdersModel};

/// A model that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClvModel {
    /// BG/NBD: nobody leaves before the first repeat order
    BgNbd,
    /// MBG/NBD: some leave after the first order
    MbgNbd,
    /// BG/CNBD-k: BG/NBD with orders at regular times; needs events
    BgCnbd,
    /// MBG/CNBD-k: MBG/NBD with orders at regular times; needs events
    MbgCnbd,
    /// Pareto/NBD: customers leave at any time
    ParetoNbd,
    /// GGom/NBD: the older a customer, the sooner they leave
    GgomNbd,
    /// BG/BB: one chance to act in each period
    BgBb,
    /// Shifted beta-geometric: contracts, one chance to cancel a period; needs a table, and to be alone
    Sbg,
}

/// The k that are tried for orders at regular times; BTYDplus looks no further either.
const REGULARITIES: [u32; 5] = [2, 3, 4, 5, 6];

impl ClvModel {
    /// Whether it is one of orders in continuous time, which are fitted unless told otherwise and compared by BIC.
    pub(super) fn is_continuous(self) -> bool {
        !matches!(self, Self::BgBb | Self::Sbg)
    }

    /// Whether covariates can shift its parameters.
    pub(super) fn takes_covariates(self) -> bool {
        matches!(self, Self::BgNbd | Self::MbgNbd | Self::ParetoNbd)
    }

    /// Fits it to orders in continuous time; of the regular models the k of the highest likelihood.
    pub(super) fn fit(self, sample: &Sample) -> Result<OrdersFit, BtydError> {
        let histories = sample.histories();
        let best_of = |model: fn(u32) -> OrdersModel| {
            let fits = REGULARITIES.iter().map(|&k| model(k).fit_orders(&histories));
            let mut best: Option<OrdersFit> = None;
            for fit in fits {
                let fit = fit?;
                let better = best.as_ref().is_none_or(|b| fit.account().ln_likelihood > b.account().ln_likelihood);
                if better {
                    best = Some(fit);
                }
            }
            Ok(best.expect("some k is tried"))
        };
        match self {
            Self::BgNbd => OrdersModel::BgNbd.fit_orders(&histories),
            Self::MbgNbd => OrdersModel::MbgNbd.fit_orders(&histories),
            Self::ParetoNbd => OrdersModel::ParetoNbd.fit_orders(&histories),
            Self::GgomNbd => OrdersModel::GgomNbd.fit_orders(&histories),
            Self::BgCnbd => best_of(OrdersModel::BgCnbd),
            Self::MbgCnbd => best_of(OrdersModel::MbgCnbd),
            Self::BgBb | Self::Sbg => unreachable!("fitted to periods, not to times"),
        }
    }

    /// The name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Self::BgNbd => "BG/NBD",
            Self::MbgNbd => "MBG/NBD",
            Self::BgCnbd => "BG/CNBD-k",
            Self::MbgCnbd => "MBG/CNBD-k",
            Self::ParetoNbd => "Pareto/NBD",
            Self::GgomNbd => "GGom/NBD",
            Self::BgBb => "BG/BB",
            Self::Sbg => "sBG",
        }
    }

    pub(super) fn needs_gaps(self) -> bool {
        matches!(self, Self::BgCnbd | Self::MbgCnbd)
    }
}
