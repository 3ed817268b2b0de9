//! What is foreseen of each customer, as CSV.

use rayon::prelude::*;

use super::covariates::DescribedFit;
use super::population::Sample;
use super::{ClvModel, ClvOptions};
use crate::error::Error;
use crate::models::btyd::{BtydError, BtydModel, BtydScore, SpendModel};

/// The model that foresees: the one with the least BIC.
pub(super) enum Best {
    /// One of all customers alike.
    Plain(ClvModel),
    /// One with covariates, which come from a table: all that is known is what it was fitted to.
    Described(Box<DescribedFit>),
}

/// Scores of one customer with their discounted orders, and money.
type Foreseen = (BtydScore, f64, Option<f64>);

/// What is foreseen of each customer by a model fitted to all of the sample; times in the unit asked for.
pub(super) fn foreseen(best: &Best, sample: &Sample, options: &ClvOptions) -> Result<String, Error> {
    let horizon = f64::from(options.horizon_days);
    // The continuous rate of a day that makes the yearly one.
    let rate = options.yearly_rate.ln_1p() / 365.25;
    let spend = SpendModel::fit(&sample.spends()?)?;
    match best {
        Best::Plain(model) => {
            let scorer = BtydModel { orders: model.fit(sample)?, spend }.scorer(horizon)?;
            table(sample, options, |i| {
                let (history, mean) = (&sample.rfms[i], sample.means[i]);
                let (orders, value) = scorer.lifetime(history, mean, rate)?;
                Ok((scorer.score(history, mean), orders, value))
            })
        }
        Best::Described(fitted) => {
            let covariates = sample.covariates.as_ref().expect("the model was fitted with them");
            table(sample, options, |i| {
                let history = &sample.rfms[i];
                let process = fitted.of(covariates, i)?;
                let worth = spend.as_ref().map(|spend| spend.expected_mean(history.x(), sample.means[i]));
                let expected_orders = process.expected_orders(history, horizon);
                let orders = process.discounted_orders(history, rate)?;
                let score = BtydScore {
                    alive_probability: process.alive_probability(history),
                    no_order_probability: process.no_order_probability(history, horizon),
                    expected_orders,
                    expected_value: worth.map(|worth| worth * expected_orders),
                };
                Ok((score, orders, worth.map(|worth| worth * orders)))
            })
        }
    }
}

fn table(
    sample: &Sample,
    options: &ClvOptions,
    of: impl Fn(usize) -> Result<Foreseen, BtydError> + Sync,
) -> Result<String, Error> {
    let (unit, horizon) = (options.unit.days(), options.horizon_days);
    let mut text = format!(
        "customer_id,frequency,recency,T,monetary_value,alive_probability,no_order_probability_{horizon}d,\
         predicted_orders_{horizon}d,predicted_value_{horizon}d,discounted_orders,discounted_value\n"
    );
    let row = |i: usize| -> Result<String, BtydError> {
        let (history, (score, orders, value)) = (&sample.rfms[i], of(i)?);
        Ok(format!(
            "{},{},{},{},{},{},{},{},{},{},{}\n",
            quoted(&sample.ids[i]),
            history.x(),
            history.t_x() / unit,
            history.t() / unit,
            or_nothing(sample.means[i]),
            score.alive_probability,
            score.no_order_probability,
            score.expected_orders,
            or_nothing(score.expected_value),
            orders,
            or_nothing(value),
        ))
    };
    let rows: Vec<String> = (0..sample.ids.len()).into_par_iter().map(row).collect::<Result<_, BtydError>>()?;
    text.extend(rows);
    Ok(text)
}

/// A number as CSV takes it; nothing where there is none.
pub(super) fn or_nothing(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// An id as CSV takes it.
pub(super) fn quoted(id: &str) -> String {
    if id.contains([',', '"', '\n', '\r']) { format!("\"{}\"", id.replace('"', "\"\"")) } else { id.to_string() }
}
