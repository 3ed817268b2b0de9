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

/// The models that are tried; of equals the first is taken. BG/NBD is not among them, though it now and then has a hair's
/// breadth less log loss: the alive probability that scores carry would be 1 of everybody who came once.
const CANDIDATES: [OrdersModel; 2] = [OrdersModel::MbgNbd, OrdersModel::ParetoNbd];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::models::occurrence_features::tests::{orders, timelines};

    const AS_OF: Day = Day(300);

    fn subject() -> Subject {
        Subject { event: "purchase".into(), is_order: true, category: None }
    }

    fn choice(orders: &[(String, i32, f64)], horizon: i64) -> OrdersChoice {
        let (horizon, timelines) = (Horizon::new(horizon).unwrap(), timelines(orders));
        let split = Split::new(Day(0), AS_OF, horizon, &Config::default().training).unwrap();
        OrdersChoice::make(&subject(), &timelines, &split, horizon).unwrap()
    }

    /// An order of everybody on this day.
    fn planted(day: i32) -> Vec<(String, i32, f64)> {
        let mut all = orders();
        all.retain(|order| order.1 < AS_OF.0);
        let more: Vec<_> = all.iter().map(|order| (order.0.clone(), day, 1.0)).collect();
        all.extend(more);
        all
    }

    #[test]
    fn a_window_decides_that_ends_before_the_test_window() {
        let mut all = orders();
        all.retain(|order| order.1 < AS_OF.0);
        let found = choice(&all, 60);
        let window = Window::after(AS_OF.plus(-120), Horizon::new(60).unwrap());
        assert_eq!((found.evidence, found.tried.len()), (Evidence::Window(window), CANDIDATES.len()));
        let least = found.tried.iter().map(|tried| tried.1).fold(f64::INFINITY, f64::min);
        assert!(found.tried.contains(&(found.model, least)), "{found:?}");
        // The test window begins 60 days before the end.
        assert_eq!(choice(&planted(240), 60), found, "what happens in the test window is not seen");
        assert_ne!(choice(&planted(239), 60).tried, found.tried, "what happens before it is");
        let fact = found.fact();
        assert_eq!(fact.name, "purchase foretold by");
        assert!(fact.value.starts_with(&found.model.name()) && fact.value.contains("log loss MBG/NBD 0."), "{fact:?}");
    }

    #[test]
    fn without_a_window_the_likelihood_decides() {
        let mut all = orders();
        all.retain(|order| order.1 < AS_OF.0);
        let found = choice(&all, 180); // no two windows of 180 days
        assert_eq!((found.evidence, found.tried.len()), (Evidence::Bic(AS_OF.plus(-180)), CANDIDATES.len()));
        assert_eq!(choice(&planted(120), 180), found);
        assert_ne!(choice(&planted(119), 180).tried, found.tried);
        // Too few came back in the window.
        let few: Vec<_> = (0..30).map(|i| (format!("c{i}"), i, 1.0)).chain([("c1".to_string(), 200, 1.0)]).collect();
        assert_eq!(choice(&few, 60).evidence, Evidence::Bic(AS_OF.plus(-60)));
    }

    #[test]
    fn where_nobody_has_done_it_the_default_stands_and_is_told() {
        let late = [("c1".to_string(), 290, 1.0)];
        let found = choice(&late, 60);
        assert_eq!((found.model, found.tried.len()), (OrdersModel::default(), 0));
        assert!(found.fact().value.contains("none could be fitted"));
        let other = Subject { category: Some("ski".into()), ..subject() };
        assert_eq!(
            orders_model(&[found], &other),
            OrdersModel::default(),
            "categories share the choice of their event"
        );
    }
}
