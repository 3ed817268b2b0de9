//! Cut-offs: which rows train, which calibrate and choose, and which judge.
//!
//! With `D` the last day that may be seen and `h` the horizon, the test cut-off is `D − h`, the validation
//! cut-off `D − 2h`, and training cut-offs lie at or before `D − 3h`: no label window overlaps another's
//! role. Where the history is too short for three windows, or a window has too few labels, customers are set
//! aside instead, and the report says so. The model that ships is refitted on cut-offs up to `D − h`.

use serde::{Deserialize, Serialize};

use crate::config::TrainingConfig;
use crate::error::{ExitCode, Explain, Reason};
use crate::time::{Day, Horizon};
use crate::timeline::sample_hash;

/// How the reported figures were kept apart from training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Training, validation and test windows follow one another.
    ThreeWindows,
    /// The test window is later than every other; calibration has customers of its own.
    TwoWindows,
    /// One window serves all; calibration and test have customers of their own.
    OneWindow,
}

/// What a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Fits candidates.
    Train,
    /// Calibrates and chooses.
    Validate,
    /// Judges, once.
    Test,
}

/// The cut-offs of one horizon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// How roles are kept apart.
    pub scheme: Scheme,
    /// Training cut-offs of the judged fit, ascending.
    pub train: Vec<Day>,
    /// Cut-off of calibration and choice; a training cut-off where customers are set aside instead.
    pub validate: Day,
    /// Cut-off of the judgement.
    pub test: Day,
    /// Cut-offs of the shipped fit, ascending.
    pub ship: Vec<Day>,
}

/// A history that is too short.
#[derive(Debug, thiserror::Error)]
#[error("{history_days} days of history before {as_of} are too few for a horizon of {horizon} days")]
pub struct SplitError {
    history_days: i32,
    as_of: Day,
    horizon: Horizon,
    min_history: i32,
    longest: Option<Horizon>,
}

impl Explain for SplitError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::DataRejected
    }

    fn reason(&self) -> Option<Reason> {
        Some(Reason::NotEnoughHistory)
    }

    fn details(&self) -> Vec<String> {
        let needed = self.horizon.days() + self.min_history;
        vec![
            format!(
                "needed: {} days of history and a label window of {}, {needed} days in all",
                self.min_history, self.horizon
            ),
            "History begins with the event that the target is about: sign-ups and visits before it do not count."
                .into(),
            "No bundle was written.".into(),
        ]
    }

    fn hints(&self) -> Vec<String> {
        match self.longest {
            None => vec!["more history is needed before anything can be learned".into()],
            Some(longest) => vec![format!("the longest horizon that these data allow is `horizon_days = {longest}`")],
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("history_days", self.history_days.max(0) as u64), ("horizon_days", self.horizon.days() as u64)]
    }
}

/// Salt of the customers that are set aside.
const FOLD_SALT: u64 = 2;

/// A training cut-off has at least one in so many of the days of history that the newest has,
const LEAST_HISTORY_SHARE: i32 = 4;
/// or a whole year of them.
const MOST_LEAST_HISTORY: i32 = 365;

/// History in days that a training cut-off needs.
fn min_history(horizon: Horizon, training: &TrainingConfig) -> i32 {
    match training.min_history_days {
        0 => (horizon.days() / 4).max(7),
        days => i32::from(days),
    }
}

/// Whether a horizon can be learned at all from so many days of history.
pub fn is_possible(history_days: i32, horizon: Horizon, training: &TrainingConfig) -> bool {
    history_days >= horizon.days() + min_history(horizon, training)
}

/// The longest horizon that so many days of history allow; `None` when they allow none.
pub fn longest_horizon(history_days: i32, training: &TrainingConfig) -> Option<Horizon> {
    let horizons = (1..=730).rev().filter_map(|days| Horizon::new(days).ok());
    horizons.into_iter().find(|&horizon| is_possible(history_days, horizon, training))
}

/// Horizons of the default targets, longest first.
const DEFAULT_HORIZONS: [i64; 6] = [90, 60, 30, 14, 7, 1];

/// The horizon of the default targets: 90 days, or the longest shorter one that so many days of history allow.
pub fn default_horizon(history_days: i32, training: &TrainingConfig) -> Horizon {
    let horizons = DEFAULT_HORIZONS.map(|days| Horizon::new(days).expect("1 to 90"));
    let possible = horizons.into_iter().find(|&horizon| is_possible(history_days, horizon, training));
    possible.unwrap_or(horizons[0]) // refused later, with the days that are missing
}

impl Split {
    /// The cut-offs for a horizon, given the day of the first event and the day before which all is seen.
    ///
    /// # Errors
    /// When not even one window fits behind the least history.
    pub fn new(first_day: Day, as_of: Day, horizon: Horizon, training: &TrainingConfig) -> Result<Self, SplitError> {
        let h = horizon.days();
        let min_history = min_history(horizon, training);
        let earliest = first_day.plus(min_history);
        let (test, validate, train_last) = (as_of.plus(-h), as_of.plus(-2 * h), as_of.plus(-3 * h));
        if test < earliest {
            let history_days = as_of.since(first_day);
            let longest = longest_horizon(history_days, training);
            return Err(SplitError { history_days, as_of, horizon, min_history, longest });
        }
        let step = |span: i32| match training.slide_days {
            0 => (span / training.cutoffs.max(2) as i32).clamp(7, h.max(7)),
            days => i32::from(days),
        };
        let grid = |last: Day| {
            // Customers at an early cut-off have had little time to show who they are: they are unlike those of the newest.
            let early = match training.min_history_days {
                0 => (last.since(first_day) / LEAST_HISTORY_SHARE).min(MOST_LEAST_HISTORY),
                _ => 0, // as was asked
            };
            let earliest = earliest.max(first_day.plus(early));
            let step = step(last.since(earliest));
            let mut days: Vec<Day> =
                (0..training.cutoffs as i32).map(|i| last.plus(-i * step)).take_while(|&day| day >= earliest).collect();
            days.reverse();
            days
        };
        let ship = grid(test);
        Ok(if train_last >= earliest {
            Self { scheme: Scheme::ThreeWindows, train: grid(train_last), validate, test, ship }
        } else if validate >= earliest {
            let train = grid(validate);
            Self { scheme: Scheme::TwoWindows, train, validate, test, ship }
        } else {
            Self { scheme: Scheme::OneWindow, train: ship.clone(), validate: test, test, ship }
        })
    }

    /// The same history with customers set aside instead of windows.
    pub fn one_window(&self) -> Self {
        Self { scheme: Scheme::OneWindow, train: self.ship.clone(), validate: self.test, ..self.clone() }
    }

    /// Every cut-off with its rows, ascending, each once.
    pub fn cut_offs(&self) -> Vec<Day> {
        let mut days: Vec<Day> =
            self.train.iter().chain(&self.ship).chain([&self.validate, &self.test]).copied().collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    /// What the row of a customer at a cut-off is for, in the judged fit.
    pub fn role(&self, as_of: Day, customer_hash: u64) -> Option<Role> {
        let tenth = sample_hash(customer_hash, FOLD_SALT) % 10;
        let is_train = self.train.contains(&as_of);
        match self.scheme {
            Scheme::ThreeWindows if as_of == self.test => Some(Role::Test),
            Scheme::ThreeWindows if as_of == self.validate => Some(Role::Validate),
            Scheme::ThreeWindows => is_train.then_some(Role::Train),
            Scheme::TwoWindows if as_of == self.test => Some(Role::Test),
            Scheme::TwoWindows if !is_train => None,
            Scheme::TwoWindows => Some(if tenth < 3 { Role::Validate } else { Role::Train }),
            Scheme::OneWindow => match tenth {
                0..=1 => (as_of == self.test).then_some(Role::Test),
                2..=3 => is_train.then_some(Role::Validate),
                _ => is_train.then_some(Role::Train),
            },
        }
    }

    /// Whether a row belongs to the shipped fit.
    pub fn ships(&self, as_of: Day) -> bool {
        self.ship.contains(&as_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn split(history: i32, horizon: i64) -> Result<Split, SplitError> {
        Split::new(Day(0), Day(history), Horizon::new(horizon).unwrap(), &Config::default().training)
    }

    #[test]
    fn no_window_of_one_role_overlaps_another_role() {
        for history in [100, 350, 365, 400, 730, 2000] {
            for horizon in [1i64, 7, 30, 90, 180] {
                let Ok(split) = split(history, horizon) else { continue };
                let h = horizon as i32;
                assert_eq!(split.test, Day(history - h));
                assert!(split.ship.iter().all(|day| day.plus(h) <= Day(history)), "nothing at or after as_of");
                let last_train = *split.train.last().unwrap();
                match split.scheme {
                    Scheme::ThreeWindows => {
                        assert!(last_train.plus(h) <= split.validate && split.validate.plus(h) <= split.test);
                    }
                    Scheme::TwoWindows => assert!(last_train.plus(h) <= split.test),
                    Scheme::OneWindow => {}
                }
            }
        }
    }

    #[test]
    fn a_customer_has_one_role_where_customers_are_set_aside() {
        let split = split(365, 180).unwrap();
        assert_eq!(split.scheme, Scheme::OneWindow);
        for hash in 0..1000 {
            let roles: Vec<Role> = split.cut_offs().iter().filter_map(|&day| split.role(day, hash)).collect();
            assert!(roles.windows(2).all(|pair| pair[0] == pair[1]), "{roles:?}");
        }
    }

    #[test]
    fn short_histories_name_the_longest_horizon() {
        let error = split(100, 90).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::NotEnoughHistory));
        let longest: i64 = 80;
        assert!(error.hints()[0].contains("= 80"), "{:?}", error.hints());
        assert!(split(100, longest).is_ok());
        assert!(split(100, longest + 1).is_err());
        assert_eq!(default_horizon(100, &Config::default().training).days(), 60);
    }
}
