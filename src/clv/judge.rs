//! How a model did in the holdout.

use serde::Serialize;

use super::population::{Later, Population};
use super::{ModelLine, TimeUnit};
use crate::metrics::ranking::roc_auc;
use crate::models::btyd::tracking::expected_totals;
use crate::models::btyd::{BtydError, BtydModel, OrdersFit, SpendModel};

/// Orders and money of the holdout, foreseen and come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holdout {
    /// Expected orders of all customers.
    pub expected_orders: f64,
    /// Orders that came.
    pub actual_orders: f64,
    /// Mean absolute error of the orders of a customer.
    pub mae: f64,
    /// Root of the mean squared error of it.
    pub rmse: f64,
    /// Chance that one who came back had a lower probability of no order than one who did not; `None` where all did, or
    /// nobody.
    pub roc_auc: Option<f64>,
    /// The same with the probability of being alive: no churn score.
    pub roc_auc_of_alive: Option<f64>,
    /// Mean distance of the curves of expected and actual repeat orders, week by week from the first order of all to the
    /// end of the holdout, as a share of all that came.
    pub tracking_error: Option<f64>,
    /// Expected money of all customers, where orders have a value.
    pub expected_value: Option<f64>,
    /// Money that came.
    pub actual_value: f64,
}

/// The line of a model: the account of its fit in `unit`, and the holdout.
pub(super) fn line(orders: &OrdersFit, population: &Population, unit: TimeUnit) -> Result<ModelLine, BtydError> {
    let sample = &population.calibration;
    let histories = sample.histories();
    let account = orders.account().in_units(unit.days(), histories.totals().0); // a density by so many times
    // k is chosen, too.
    let bic = account.bic(u32::from(account.model.contains("CNBD")));
    let holdout = match &population.holdout {
        Some(later) => Some(judge(orders, population, later)?),
        None => None,
    };
    Ok(ModelLine { account, bic, holdout })
}

fn judge(orders: &OrdersFit, population: &Population, later: &Later) -> Result<Holdout, BtydError> {
    let sample = &population.calibration;
    let model = BtydModel { orders: orders.clone(), spend: SpendModel::fit(&sample.spends()?)? };
    let scores = model.scorer(f64::from(later.days))?.score_all(&sample.rfms, &sample.means)?;
    let n = scores.len() as f64;
    let errors = || scores.iter().zip(&later.orders).map(|(score, actual)| score.expected_orders - actual);
    let came_back: Vec<bool> = later.orders.iter().map(|&orders| orders > 0.0).collect();
    let any: Vec<f64> = scores.iter().map(|score| -score.no_order_probability).collect();
    let alive: Vec<f64> = scores.iter().map(|score| score.alive_probability).collect();
    let expected_value: Option<Vec<f64>> = scores.iter().map(|score| score.expected_value).collect();
    Ok(Holdout {
        expected_orders: scores.iter().map(|score| score.expected_orders).sum(),
        actual_orders: later.orders.iter().sum(),
        mae: errors().map(f64::abs).sum::<f64>() / n,
        rmse: (errors().map(|error| error * error).sum::<f64>() / n).sqrt(),
        roc_auc: roc_auc(&came_back, &any),
        roc_auc_of_alive: roc_auc(&came_back, &alive),
        tracking_error: tracking_error(orders, later),
        expected_value: expected_value.map(|values| values.iter().sum()),
        actual_value: later.values.iter().sum(),
    })
}

fn tracking_error(orders: &OrdersFit, later: &Later) -> Option<f64> {
    let &(_, total) = later.by_week.last()?;
    if total == 0.0 {
        return None;
    }
    let mut sorted = later.starts.clone();
    sorted.sort_by(f64::total_cmp);
    let starts: Vec<(f64, f64)> = sorted.chunk_by(|one, other| one == other).map(|c| (c[0], c.len() as f64)).collect();
    let weeks: Vec<f64> = later.by_week.iter().map(|&(day, _)| day).collect();
    let expected = expected_totals(orders.process(), &starts, &weeks);
    let away = expected.iter().zip(&later.by_week).map(|(expected, (_, actual))| (expected - actual).abs());
    Some(away.sum::<f64>() / weeks.len() as f64 / total)
}
