//! Which model of the order process a subject gets: the one that foretells best, in a window before every test window, who
//! will do nothing.
//!
//! One choice serves all that is said of a subject (the alive probability, orders, value, the churn candidate), and the
//! categories of an event share the one of the event. It is made at the validation cut-off of the longest horizon: that
//! window ends where the first test window of any target begins. Where the history is too short for such a window, or too
//! few came or stayed away in it, the BIC of fits to what is known at the test cut-off decides.

use super::TrainingError;
use crate::labels::Target;
use crate::metrics::calibration::log_loss;
use crate::models::btyd::{BtydModel, OrdersModel};
use crate::models::occurrence::{OccurrenceModel, Subject};
use crate::report::Fact;
use crate::split::{Scheme, Split};
use crate::time::{Day, Horizon, Window};
use crate::timeline::{History, SpillError, Timelines};

/// The models that are tried; of equals the first is taken. All are fitted in milliseconds.
const CANDIDATES: [OrdersModel; 3] = [OrdersModel::MbgNbd, OrdersModel::ParetoNbd, OrdersModel::BgNbd];

/// With fewer customers than this who came back in the window, or who did not, its log loss is an accident.
const LEAST_OF_A_CLASS: usize = 20;

/// The model of the order process that was chosen for an event, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdersChoice {
    /// The event.
    pub event: String,
    /// The one that is used for it.
    pub model: OrdersModel,
    /// What the choice rests on.
    pub evidence: Evidence,
    /// Every model that could be fitted, with its log loss or BIC: less is better.
    pub tried: Vec<(OrdersModel, f64)>,
    is_order: bool,
}

/// What a choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Log loss of the probability of nothing in this window, of fits to what was known before it.
    Window(Window),
    /// BIC of fits to what was known at this day.
    Bic(Day),
}

impl OrdersChoice {
    fn is_of(&self, subject: &Subject) -> bool {
        self.event == subject.event && self.is_order == subject.is_order
    }

    fn make(subject: &Subject, timelines: &Timelines, split: &Split, horizon: Horizon) -> Result<Self, TrainingError> {
        let window = match split.scheme {
            Scheme::OneWindow => None,
            _ => Self::by_window(subject, timelines, split.validate, horizon)?,
        };
        let (evidence, tried) = match window {
            Some(tried) => (Evidence::Window(Window::after(split.validate, horizon)), tried),
            None => (Evidence::Bic(split.test), Self::by_bic(subject, timelines, split.test)?),
        };
        let best = tried.iter().min_by(|one, other| one.1.total_cmp(&other.1)); // the first of equals
        let model = best.map_or(OrdersModel::default(), |best| best.0); // where none can be fitted, its own fit will say so
        Ok(Self { event: subject.event.clone(), is_order: subject.is_order, model, evidence, tried })
    }

    /// Log losses; `None` where too few came back in the window, or stayed away.
    fn by_window(
        subject: &Subject,
        timelines: &Timelines,
        day: Day,
        horizon: Horizon,
    ) -> Result<Option<Vec<(OrdersModel, f64)>>, TrainingError> {
        let reader = subject.reader(&timelines.vocabularies);
        let end = day.plus(horizon.days());
        let known: Vec<Vec<(History, bool)>> = timelines.map_parts(|_, part| {
            let of = |customer: usize| {
                let timeline = part.timeline(customer);
                let history = reader.history(timeline, day)?;
                // What was not known by the end of the window cannot tell of it, either.
                let later = reader.history(timeline, end)?;
                Some((history, later.last < day))
            };
            Ok::<_, SpillError>((0..part.customers()).filter_map(of).collect())
        })?;
        let (histories, nothing): (Vec<History>, Vec<bool>) = known.into_iter().flatten().unzip();
        let stayed_away = nothing.iter().filter(|&&nothing| nothing).count();
        if stayed_away.min(nothing.len() - stayed_away) < LEAST_OF_A_CLASS {
            return Ok(None);
        }
        let loss = |orders: OrdersModel| {
            let model = OccurrenceModel::fit(orders, subject, &histories, day).ok()?;
            let expected = model.expect(&histories, day, horizon.days()).ok()?;
            let none: Vec<f64> = expected.iter().map(|expectation| expectation.none.clamp(0.0, 1.0)).collect();
            Some((orders, log_loss(&nothing, &none)?))
        };
        Ok(Some(CANDIDATES.into_iter().filter_map(loss).collect()))
    }

    fn by_bic(subject: &Subject, timelines: &Timelines, day: Day) -> Result<Vec<(OrdersModel, f64)>, TrainingError> {
        let histories = subject.histories(timelines, day)?;
        let bic = |orders: OrdersModel| {
            let BtydModel { orders: fitted, .. } = OccurrenceModel::fit(orders, subject, &histories, day).ok()?.btyd;
            Some((orders, fitted.account().bic(0)))
        };
        Ok(CANDIDATES.into_iter().filter_map(bic).collect())
    }

    /// One line for the report.
    pub fn fact(&self) -> Fact {
        let tried = |name: &str, digits: usize| {
            let one = |(model, value): &(OrdersModel, f64)| format!("{} {value:.digits$}", model.name());
            format!("{name} {}", self.tried.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        let why = match &self.evidence {
            _ if self.tried.is_empty() => "none could be fitted before the test window".to_string(),
            Evidence::Window(window) => {
                format!("{} of no {} in {window}", tried("log loss", 4), self.event)
            }
            Evidence::Bic(day) => format!("{} at {day}", tried("BIC", 1)),
        };
        Fact { name: format!("{} foretold by", self.event), value: format!("{} ({why})", self.model.name()) }
    }
}

/// The choice for the order event, and for every other event that a target is about.
///
/// # Errors
/// Timelines on disk that cannot be read back.
pub(super) fn choose(
    order: &Subject,
    timelines: &Timelines,
    targets: &[Target],
    splits: &[Split],
) -> Result<Vec<OrdersChoice>, TrainingError> {
    let mut choices: Vec<OrdersChoice> = Vec::new();
    let others =
        targets.iter().map(|target| Subject { event: target.event.clone(), is_order: target.is_order, category: None });
    for subject in std::iter::once(order.clone()).chain(others) {
        if choices.iter().any(|choice| choice.is_of(&subject)) {
            continue;
        }
        // The longest horizon of all: no target's test window begins before the one of its split.
        let longest = targets.iter().zip(splits).max_by_key(|(target, _)| target.horizon);
        if let Some((target, split)) = longest {
            choices.push(OrdersChoice::make(&subject, timelines, split, target.horizon)?);
        }
    }
    Ok(choices)
}

/// The model of the order process for a subject.
pub(super) fn orders_model(choices: &[OrdersChoice], subject: &Subject) -> OrdersModel {
    choices.iter().find(|choice| choice.is_of(subject)).map_or(OrdersModel::default(), |choice| choice.model)
}
