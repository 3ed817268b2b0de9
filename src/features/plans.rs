//! One plan for each horizon: the judged fit of a target must not know what will be frequent in its test window.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::catalogue::Plan;
use crate::config::Config;
use crate::time::{Day, Horizon};
use crate::timeline::{SpillError, Timelines};

/// Plans by horizon, made when they are first asked for.
pub struct Plans<'a> {
    config: &'a Config,
    timelines: &'a Timelines,
    as_of: Day,
    by_horizon: BTreeMap<Horizon, Plan>,
}

impl<'a> Plans<'a> {
    /// Plans of targets that are judged before `as_of`.
    pub fn new(config: &'a Config, timelines: &'a Timelines, as_of: Day) -> Self {
        Self { config, timelines, as_of, by_horizon: BTreeMap::new() }
    }

    /// The plan of a horizon: frozen where its test window begins.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn of(&mut self, horizon: Horizon) -> Result<&Plan, SpillError> {
        let frozen_at = self.as_of.plus(-horizon.days());
        match self.by_horizon.entry(horizon) {
            Entry::Occupied(plan) => Ok(plan.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Plan::new(self.timelines, self.config, frozen_at)?)),
        }
    }
}
