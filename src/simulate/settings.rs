//! What the shop is like: every number that the simulation is ruled by.

use serde::{Deserialize, Serialize};

use super::error::SimulateError;
use crate::time::Day;

/// A shop to be made up. Deserialising fills in what is left out; [`Simulation::check`] says what is out of range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// People who register, 1 to 1,000,000,000.
    pub customers: u64,
    /// Length of the history, 1 to 3650 days from `start`.
    pub days: u32,
    /// Seeds every random choice: same settings, same bytes.
    pub seed: u64,
    /// First day, from 1970-01-01 to 2199-12-31.
    pub start: Day,
    /// Share of the rows that are received 12 hours to 5 days after they happened (else within 30 seconds).
    pub late_share: f64,
    /// Broken or odd rows that are added, as a share of the sound ones; 0 adds none. Sound rows never change.
    pub dirty_share: f64,
    /// Whether the year and the week have their ups and downs.
    pub seasonality: bool,
    /// Whether weekly mails are sent.
    pub campaigns: bool,
    /// Whether there is a column `event_id`; there always is one when `dirty_share` is above 0.
    pub event_ids: bool,
    /// The people.
    pub population: Population,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            customers: 2_000,
            days: 540,
            seed: 1,
            start: Day(19_723), // 2024-01-01
            late_share: 0.0,
            dirty_share: 0.0,
            seasonality: true,
            campaigns: true,
            event_ids: false,
            population: Population::default(),
        }
    }
}

/// The distributions that people are drawn from. Rates are per day, money has no currency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Population {
    /// People register evenly over this first share of the days.
    pub arrival_share: f64,
    /// Share of people who would ever buy; the rest registers and never does.
    pub buyer_share: f64,
    /// Share of buyers whose first order is placed while registering.
    pub first_order_at_once: f64,
    /// Mean wait for the first order of the other buyers, in days (exponential).
    pub first_order_wait: f64,
    /// BG/NBD: purchase rate ~ Gamma(shape `r`, rate `alpha`).
    pub r: f64,
    /// BG/NBD: rate of the distribution of purchase rates, in days.
    pub alpha: f64,
    /// BG/NBD: chance to leave after a repeat order ~ Beta(`a`, `b`).
    pub a: f64,
    /// BG/NBD: see `a`.
    pub b: f64,
    /// Gamma-Gamma: value of an order ~ Gamma(shape `p`, rate nu).
    pub p: f64,
    /// Gamma-Gamma: nu ~ Gamma(shape `q`, rate `gamma`); above 1, so that spend has a mean.
    pub q: f64,
    /// Gamma-Gamma: see `q`; in money.
    pub gamma: f64,
    /// Dirichlet concentration of category tastes around the shop's shares: small means strong tastes.
    pub taste_concentration: f64,
    /// Mean visits without an order per day, beside 0.3 visits for every order.
    pub visit_rate: f64,
    /// Share of orders that are prepared by a visit 1 to 5 days before.
    pub research_share: f64,
    /// Share of orders of which one line is sent back 3 to 20 days later.
    pub return_share: f64,
    /// Share of people who may be mailed.
    pub consent_share: f64,
    /// Share of them that gets a plain newsletter.
    pub newsletter_share: f64,
    /// Share of them, outside the control group, that gets an uplift campaign.
    pub offer_share: f64,
    /// Share of people in the control group: none of the uplift campaigns is sent to them.
    pub control_share: f64,
    /// Chance to open a mail ~ Beta(`open_a`, `open_b`), a fifth of it after leaving.
    pub open_a: f64,
    /// See `open_a`.
    pub open_b: f64,
    /// Chance to click in an opened mail.
    pub click_share: f64,
    /// Chance that an opened mail of an uplift campaign makes an active buyer place one more order.
    pub open_uplift: f64,
    /// What a click adds to that chance.
    pub click_uplift: f64,
    /// Share of people who play `poker` and `slots`.
    pub player_share: f64,
    /// Mean evenings of play per day, of a player.
    pub play_rate: f64,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            arrival_share: 1.0,
            buyer_share: 0.7,
            first_order_at_once: 0.55,
            first_order_wait: 20.0,
            r: 0.75,
            alpha: 60.0,
            a: 0.8,
            b: 2.5,
            p: 5.0,
            q: 4.0,
            gamma: 40.0,
            taste_concentration: 3.0,
            visit_rate: 0.004,
            research_share: 0.25,
            return_share: 0.08,
            consent_share: 0.6,
            newsletter_share: 0.04,
            offer_share: 0.35,
            control_share: 0.1,
            open_a: 2.0,
            open_b: 6.0,
            click_share: 0.2,
            open_uplift: 0.05,
            click_uplift: 0.2,
            player_share: 0.03,
            play_rate: 0.03,
        }
    }
}

/// Distribution parameters beyond these bounds leave the range in which draws are numbers.
const PARAMETER_BOUNDS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

impl Simulation {
    /// Nothing, or the first setting that cannot be simulated.
    ///
    /// # Errors
    /// [`SimulateError::OutOfRange`] with key, rule and value.
    pub fn check(&self) -> Result<(), SimulateError> {
        let range = |ok: bool, key: &str, rule, got: String| {
            if ok { Ok(()) } else { Err(SimulateError::OutOfRange { key: key.to_string(), rule, got }) }
        };
        range(
            (1..=1_000_000_000).contains(&self.customers),
            "customers",
            "1 to 1000000000",
            self.customers.to_string(),
        )?;
        range((1..=3650).contains(&self.days), "days", "1 to 3650", self.days.to_string())?;
        let starts = 0..=84_005; // 2199-12-31
        range(starts.contains(&self.start.0), "start", "1970-01-01 to 2199-12-31", self.start.to_string())?;

        let people = &self.population;
        for (key, share) in [
            ("late_share", self.late_share),
            ("dirty_share", self.dirty_share),
            ("population.buyer_share", people.buyer_share),
            ("population.first_order_at_once", people.first_order_at_once),
            ("population.research_share", people.research_share),
            ("population.return_share", people.return_share),
            ("population.consent_share", people.consent_share),
            ("population.newsletter_share", people.newsletter_share),
            ("population.offer_share", people.offer_share),
            ("population.control_share", people.control_share),
            ("population.click_share", people.click_share),
            ("population.open_uplift", people.open_uplift),
            ("population.click_uplift", people.click_uplift),
            ("population.player_share", people.player_share),
        ] {
            range((0.0..=1.0).contains(&share), key, "0 to 1", share.to_string())?;
        }
        let uplift = people.open_uplift + people.click_uplift;
        range(uplift <= 1.0, "population.click_uplift", "at most 1 together with `open_uplift`", uplift.to_string())?;
        let arrival = people.arrival_share;
        let rule = "above 0, at most 1";
        range(arrival > 0.0 && arrival <= 1.0, "population.arrival_share", rule, arrival.to_string())?;
        for (key, rate) in [("population.visit_rate", people.visit_rate), ("population.play_rate", people.play_rate)] {
            range((0.0..=1.0).contains(&rate), key, "0 to 1 per day", rate.to_string())?;
        }
        for (key, parameter) in [
            ("population.first_order_wait", people.first_order_wait),
            ("population.r", people.r),
            ("population.alpha", people.alpha),
            ("population.a", people.a),
            ("population.b", people.b),
            ("population.p", people.p),
            ("population.q", people.q),
            ("population.gamma", people.gamma),
            ("population.taste_concentration", people.taste_concentration),
            ("population.open_a", people.open_a),
            ("population.open_b", people.open_b),
        ] {
            range(PARAMETER_BOUNDS.contains(&parameter), key, "0.001 to 1000000", parameter.to_string())?;
        }
        range(people.q > 1.0, "population.q", "above 1", people.q.to_string())
    }

    /// Whether the files have the column `event_id`.
    pub fn has_event_ids(&self) -> bool {
        self.event_ids || self.dirty_share > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings: Simulation = serde_json::from_str(r#"{"customers": 7, "population": {"r": 0.5}}"#).unwrap();
        assert_eq!(settings.start.to_string(), "2024-01-01");
        assert_eq!((settings.customers, settings.days, settings.population.r), (7, 540, 0.5));
        assert!(serde_json::from_str::<Simulation>(r#"{"customer": 7}"#).is_err());
        assert!(settings.check().is_ok());
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let message = |change: &dyn Fn(&mut Simulation)| {
            let mut settings = Simulation::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert_eq!(message(&|s| s.customers = 0), "`customers` must be 1 to 1000000000, got 0");
        assert_eq!(message(&|s| s.days = 3651), "`days` must be 1 to 3650, got 3651");
        assert_eq!(message(&|s| s.late_share = f64::NAN), "`late_share` must be 0 to 1, got NaN");
        assert_eq!(message(&|s| s.dirty_share = -0.1), "`dirty_share` must be 0 to 1, got -0.1");
        assert_eq!(message(&|s| s.population.q = 1.0), "`population.q` must be above 1, got 1");
        assert_eq!(message(&|s| s.population.alpha = 0.0), "`population.alpha` must be 0.001 to 1000000, got 0");
        let message = message(&|s| s.start = Day(84_006));
        assert_eq!(message, "`start` must be 1970-01-01 to 2199-12-31, got 2200-01-01");
    }
}
