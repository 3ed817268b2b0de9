//! `[gates]`: limits that a nightly run is held against.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// What must hold before a partition is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // `default.toml` is the manual of each field
pub struct GatesConfig {
    pub max_gap_days: u16,
    pub min_volume_ratio: f64,
    pub max_age_days: u16,
    pub max_below_baseline: f64,
    pub max_psi: f64,
    pub feature_psi: f64,
    pub max_drifted_share: f64,
}

impl Default for GatesConfig {
    /// Those of the manual: what a bundle of an earlier release does not say.
    fn default() -> Self {
        Config::default().gates
    }
}

impl GatesConfig {
    /// Those of a configuration file; what else it says is not looked at.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Config::load(path).map(|config| config.gates)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, share) in [("min_volume_ratio", self.min_volume_ratio), ("max_drifted_share", self.max_drifted_share)]
        {
            if !(0.0..=1.0).contains(&share) {
                let key = format!("gates.{key}");
                return Err(ConfigError::OutOfRange { key, rule: "0 to 1", got: share.to_string() });
            }
        }
        for (key, limit) in [
            ("max_below_baseline", self.max_below_baseline),
            ("max_psi", self.max_psi),
            ("feature_psi", self.feature_psi),
        ] {
            if limit.is_nan() || limit < 0.0 {
                let key = format!("gates.{key}");
                return Err(ConfigError::OutOfRange { key, rule: "0 or more", got: limit.to_string() });
            }
        }
        Ok(())
    }
}
