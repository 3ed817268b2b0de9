//! What each number that a buy-till-you-die model sees of a customer adds to what it foresees.
//!
//! Four numbers go in: days since the last occurrence, days with one, days since the first, and the money of a repeat day. A model
//! of four numbers can be asked about every subset of them, the others as they are of a reference customer: Shapley values
//! (Shapley 1953; Štrumbelj & Kononenko 2010, JMLR 11, eq. 4) are then exact, and sum to the difference from the reference.

use serde::{Deserialize, Serialize};

use super::btyd::{BtydError, Rfm};
use super::occurrence::{Expectation, OccurrenceModel, Subject};
use crate::features::{Feature, Unit, slug};
use crate::time::Day;
use crate::timeline::History;

/// Numbers that go in.
pub const INPUTS: usize = 4;

/// Which customers' money is looked at only where money is foreseen.
const MONEY: usize = 3;

/// What a model sees of a customer who has done it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Days from the last day with an occurrence to `as_of`.
    pub days_since_last: f64,
    /// Days with one, at least 1.
    pub days: f64,
    /// Days from the first one to `as_of`.
    pub days_since_first: f64,
    /// Mean money of the days after the first; `None` without one.
    pub repeat_value: Option<f64>,
}

impl Seen {
    /// Somebody who did it for the first time just now: who a model knows before it has seen anything.
    pub const NEWCOMER: Self = Self { days_since_last: 0.0, days: 1.0, days_since_first: 0.0, repeat_value: None };

    /// Of a history known at `as_of`.
    pub fn of(history: &History, as_of: Day) -> Self {
        Self {
            days_since_last: f64::from(as_of.since(history.last)),
            days: f64::from(history.days),
            days_since_first: history.age(as_of),
            repeat_value: (history.days > 1).then(|| history.repeat_value()),
        }
    }

    /// The inputs in the order of [`features`]; NaN where there is no repeat day.
    pub fn values(&self) -> [f64; INPUTS] {
        [self.days_since_last, self.days, self.days_since_first, self.repeat_value.unwrap_or(f64::NAN)]
    }

    /// A middle customer: the median of each input, made one that there can be. `None` of nobody.
    pub fn middle_of(all: &[Self]) -> Option<Self> {
        let median = |value: &dyn Fn(&Self) -> Option<f64>| {
            let mut values: Vec<f64> = all.iter().filter_map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let middle = Self {
            days_since_last: median(&|seen| Some(seen.days_since_last))?,
            days: median(&|seen| Some(seen.days))?,
            days_since_first: median(&|seen| Some(seen.days_since_first))?,
            repeat_value: median(&|seen| seen.repeat_value),
        };
        Some(middle.coherent())
    }

    /// The nearest customer that there can be: as many days between first and last as there are repeats at least, as old as what
    /// was seen at least, and no repeat money without a repeat. One that there is stays as it is.
    fn coherent(self) -> Self {
        let repeats = self.days - 1.0;
        if repeats == 0.0 {
            // The last is the first.
            let age = self.days_since_first.max(self.days_since_last);
            return Self { days_since_last: age, days_since_first: age, repeat_value: None, ..self };
        }
        let between = (self.days_since_first - self.days_since_last).max(repeats);
        Self { days_since_first: self.days_since_last + between, ..self }
    }

    /// This customer with the inputs whose bit in `taken` is set, `other` with the rest.
    fn mixed(&self, other: &Self, taken: usize) -> Self {
        let is_taken = |input: usize| taken >> input & 1 == 1;
        let pick = |input: usize, value: fn(&Self) -> f64| value(if is_taken(input) { self } else { other });
        let mixed = Self {
            days_since_last: pick(0, |seen| seen.days_since_last),
            days: pick(1, |seen| seen.days),
            days_since_first: pick(2, |seen| seen.days_since_first),
            repeat_value: if is_taken(MONEY) { self.repeat_value } else { other.repeat_value },
        };
        mixed.coherent()
    }

    fn rfm(&self) -> Result<Rfm, BtydError> {
        Rfm::new(self.days - 1.0, self.days_since_first - self.days_since_last, self.days_since_first)
    }
}

/// Names, units and definitions of the inputs. Those of orders are features of the catalogue, too.
pub fn features(subject: &Subject) -> [Feature; INPUTS] {
    let Subject { event, is_order, category } = subject;
    let (about, suffix) = match category {
        Some(category) => (format!("`{event}` in `{category}`"), format!("_category_{}", slug(category))),
        None => (format!("`{event}`"), String::new()),
    };
    let plain = *is_order && category.is_none();
    let what = if *is_order { "order".to_string() } else { slug(event) };
    let feature = |name: String, unit: Unit, note: String, with_money: bool| Feature {
        name,
        unit,
        note,
        family: "btyd".to_string(),
        columns: ["customer_id", "ts", "event"]
            .into_iter()
            .chain(with_money.then_some("value"))
            .chain(category.as_ref().map(|_| "category"))
            .map(ToString::to_string)
            .collect(),
    };
    let last = format!("days_since_last_{what}{suffix}");
    let money = if plain { "repeat_order_value".into() } else { format!("repeat_{what}_value{suffix}") };
    [
        feature(last, Unit::Days, format!("From the last {about} to `as_of`; missing without one."), false),
        feature(format!("{what}_days{suffix}"), Unit::Count, format!("Days with {about}, to date."), false),
        feature(
            format!("days_since_first_{what}{suffix}"),
            Unit::Days,
            format!("From the first {about} to `as_of`; missing without one."),
            false,
        ),
        feature(
            money,
            Unit::Money,
            format!("Mean value of the days with {about} after the first; missing without."),
            true,
        ),
    ]
}

impl OccurrenceModel {
    /// What each input adds to `outcome` of one customer, in the order of [`features`], from the `reference` customer. They sum to
    /// `outcome` of the customer minus `outcome` of the reference. Without `money` the fourth is 0 and is not asked about.
    ///
    /// # Errors
    /// A history or horizon beyond the range of the model.
    pub fn contributions(
        &self,
        seen: &Seen,
        reference: &Seen,
        horizon_days: i32,
        money: bool,
        outcome: impl Fn(&Expectation) -> f64,
    ) -> Result<[f64; INPUTS], BtydError> {
        let players = if money { INPUTS } else { MONEY };
        let mut outcomes = [0.0; 1 << INPUTS];
        for (taken, of_subset) in outcomes.iter_mut().enumerate().take(1 << players) {
            *of_subset = outcome(&self.expect_of(&seen.mixed(reference, taken), horizon_days)?);
        }
        let mut contributions = [0.0; INPUTS];
        for (player, contribution) in contributions.iter_mut().enumerate().take(players) {
            let without = (0..1usize << players).filter(|taken| taken >> player & 1 == 0);
            *contribution = without
                .map(|taken| {
                    weight(taken.count_ones() as usize, players) * (outcomes[taken | 1 << player] - outcomes[taken])
                })
                .sum();
        }
        Ok(contributions)
    }

    /// What is expected of a customer of whom so much is seen.
    ///
    /// # Errors
    /// A history or horizon beyond the range of the model.
    pub fn expect_of(&self, seen: &Seen, horizon_days: i32) -> Result<Expectation, BtydError> {
        Ok(self.expectation(&*self.scorer(horizon_days)?, &seen.rfm()?, seen.repeat_value))
    }
}

/// |S|! (n − |S| − 1)! / n!.
fn weight(subset: usize, players: usize) -> f64 {
    let factorial = |n: usize| (1..=n).product::<usize>() as f64;
    factorial(subset) * factorial(players - subset - 1) / factorial(players)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::btyd::OrdersModel;
    use crate::models::occurrence_features::tests::{orders, timelines};

    const AS_OF: Day = Day(300);

    fn model(orders_model: OrdersModel) -> (OccurrenceModel, Vec<History>) {
        let mut all = orders();
        all.retain(|order| order.1 < AS_OF.0);
        let subject = Subject { event: "purchase".into(), is_order: true, category: None };
        let histories = subject.histories(&timelines(&all), AS_OF).unwrap();
        (OccurrenceModel::fit(orders_model, &subject, &histories, AS_OF).unwrap(), histories)
    }

    #[test]
    fn what_the_inputs_add_is_the_difference_from_the_reference() {
        for orders_model in [OrdersModel::ParetoNbd, OrdersModel::MbgNbd] {
            let (model, histories) = model(orders_model);
            let all: Vec<Seen> = histories.iter().map(|history| Seen::of(history, AS_OF)).collect();
            let middle = Seen::middle_of(&all).unwrap();
            assert_eq!(middle, middle.coherent());
            for reference in [Seen::NEWCOMER, middle] {
                for (history, seen) in histories.iter().zip(&all) {
                    assert_eq!(*seen, seen.coherent(), "who there is stays who they are");
                    let expected = model.expect(&[*history], AS_OF, 90).unwrap()[0];
                    assert_eq!(expected, model.expect_of(seen, 90).unwrap());
                    let value = |expectation: &Expectation| expectation.value;
                    let of_value = model.contributions(seen, &reference, 90, true, value).unwrap();
                    let base = model.expect_of(&reference, 90).unwrap();
                    // Sums of sixteen numbers of at most a few hundred.
                    assert!((of_value.iter().sum::<f64>() - (expected.value - base.value)).abs() < 1e-9);
                    let none = model.contributions(seen, &reference, 90, false, |e| e.none).unwrap();
                    assert!(
                        (none.iter().sum::<f64>() - (expected.none - base.none)).abs() < 1e-12 && none[MONEY] == 0.0
                    );
                }
            }
        }
    }

    #[test] // Shapley (1953): the mean over all orders of arrival
    fn weights_are_those_of_all_orders_of_arrival() {
        let (model, histories) = model(OrdersModel::ParetoNbd);
        let seen = Seen::of(histories.iter().max_by_key(|history| history.days).unwrap(), AS_OF);
        let at = |taken: usize| model.expect_of(&seen.mixed(&Seen::NEWCOMER, taken), 60).unwrap().value;
        let mut want = [0.0; INPUTS];
        let mut orders = 0.0;
        for a in 0..4 {
            for b in (0..4).filter(|b| *b != a) {
                for c in (0..4).filter(|c| *c != a && *c != b) {
                    let mut taken = 0;
                    for player in [a, b, c, 6 - a - b - c] {
                        let before = at(taken);
                        taken |= 1 << player;
                        want[player] += at(taken) - before;
                    }
                    orders += 1.0;
                }
            }
        }
        let got = model.contributions(&seen, &Seen::NEWCOMER, 60, true, |e| e.value).unwrap();
        for (got, want) in got.iter().zip(want) {
            assert!((got - want / orders).abs() < 1e-9, "{got} {want}");
        }
    }

    #[test]
    fn longer_silence_speaks_for_leaving() {
        let (model, _) = model(OrdersModel::ParetoNbd);
        let reference = Seen { days_since_last: 20.0, days: 6.0, days_since_first: 170.0, repeat_value: Some(9.0) };
        let silent = Seen { days_since_last: 90.0, ..reference };
        let [recency, ..] = model.contributions(&silent, &reference, 30, false, |e| e.none).unwrap();
        assert!(recency > 0.0, "{recency}");
    }

    #[test]
    fn inputs_of_orders_are_called_as_in_the_catalogue() {
        let subject = Subject { event: "kauf".into(), is_order: true, category: None };
        let names = features(&subject).map(|feature| feature.name);
        assert_eq!(names, ["days_since_last_order", "order_days", "days_since_first_order", "repeat_order_value"]);
        let of = Subject { event: "Log in".into(), is_order: false, category: Some("Web Shop".into()) };
        assert_eq!(features(&of)[3].name, "repeat_log_in_value_category_web_shop");
    }
}
