//! Settings: what the user wrote (`raw`), merged over `default.toml`, checked once into [`Config`].

mod declared;
mod eligible;
mod gates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{ExitCode, Explain, FileError};
use crate::storage;
use crate::time::{Horizon, TimeError, Zone};

pub use declared::{Aggregate, DeclaredFeature, conditions};
pub use eligible::{Comparison, Eligible, EligibleError};
pub use gates::GatesConfig;

/// The defaults and the manual, compiled in.
pub const DEFAULT: &str = include_str!("default.toml");

/// Checked settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Time zone in which days begin.
    pub timezone: String,
    /// Currency, as printed.
    pub currency: String,
    /// Declared features.
    pub feature: Vec<DeclaredFeature>,
    /// How events are read.
    pub events: EventsConfig,
    /// What the catalogue covers.
    pub features: FeaturesConfig,
    /// What is known of customers beside their events.
    #[serde(default)]
    pub attributes: AttributesConfig,
    /// Declared targets by name; empty means the defaults.
    pub target: BTreeMap<String, TargetConfig>,
    /// How models are trained.
    pub training: TrainingConfig,
    /// How scores are written.
    pub scores: ScoresConfig,
    /// What must hold before they are.
    #[serde(default)]
    pub gates: GatesConfig,
    /// Lists of customers beside the events.
    #[serde(default)]
    pub lists: ListsConfig,
}

/// Files of customers beside the events; "" is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ListsConfig {
    pub forget: String,
    pub exclusions: String,
    pub id_map: String,
}

/// How events are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // `default.toml` is the manual of each field
pub struct EventsConfig {
    pub order_event: String,
    pub format: String,
    pub delimiter: String,
    pub header: bool,
    pub names: Vec<String>,
    pub time_format: String,
    pub negative_event: String,
    pub max_reject_share: f64,
    pub settle_days: u16,
    pub columns: BTreeMap<String, String>,
}

/// What the catalogue covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FeaturesConfig {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub windows: Vec<u16>,
    pub max_event_types: usize,
    pub max_categories: usize,
    pub max_channels: usize,
    pub max_category_columns: usize,
    pub max_numbers: usize,
    #[serde(default)]
    pub discount: Vec<String>,
    pub session_minutes: u16,
    pub max_contact_points: usize,
    pub max_transitions: usize,
    pub roles: RolesConfig,
}

/// What is known of customers beside their events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // `default.toml` is the manual of each field
pub struct AttributesConfig {
    pub path: String,
    pub customer_id: String,
    pub valid_from: String,
    pub max_values: usize,
}

impl Default for AttributesConfig {
    fn default() -> Self {
        Self { path: String::new(), customer_id: String::new(), valid_from: String::new(), max_values: 20 }
    }
}

/// Names of the events that have a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RolesConfig {
    pub cart: Vec<String>,
    pub begin: Vec<String>,
    pub failure: Vec<String>,
    pub send: Vec<String>,
    pub open: Vec<String>,
    pub click: Vec<String>,
}

/// The question that a target asks of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// No such event: churn.
    Absence,
    /// At least one: propensity.
    Presence,
    /// Sum of `value`.
    Amount,
    /// Number: orders of the order event, rows of any other.
    Count,
}

/// Columns by whose values a target is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// One target for each product group.
    Category,
}

/// One declared target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// What is asked.
    pub kind: TargetKind,
    /// Of which event; the order event when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Repeated for each of the most frequent values of a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// How many of them.
    #[serde(default = "fifty")]
    pub top: usize,
    /// Length of the label window.
    pub horizon_days: Horizon,
    /// Who the target is about, over feature columns at `as_of`; everyone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible: Option<Eligible>,
}

fn fifty() -> usize {
    50
}

/// How models are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TrainingConfig {
    pub slide_days: u16,
    pub cutoffs: usize,
    pub min_history_days: u16,
    /// 0 in bundles that are older than the setting.
    #[serde(default)]
    pub half_life_horizons: f32,
    pub max_rows: usize,
    pub max_rows_per_category: usize,
    pub trials: usize,
    pub budget_seconds: u32,
    pub bootstrap_resamples: usize,
    pub seed: u64,
}

/// How scores are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ScoresConfig {
    pub churn_band_medium: f64,
    pub churn_band_high: f64,
    pub holdout_share: f64,
    pub holdout_salt: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML.
    #[error("{}: not valid TOML", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that nothing reads.
    #[error("{}: unknown key `{key}`", path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key with its tables.
        key: String,
        /// The most similar known key.
        nearest: Option<String>,
    },
    /// A value of the wrong type or form.
    #[error("{}: {message}", path.display())]
    BadValue {
        /// Which file.
        path: PathBuf,
        /// Key, rule and value.
        message: String,
    },
    /// A value outside its range.
    #[error("`{key}` must be {rule}, got {got}")]
    OutOfRange {
        /// The key with its tables.
        key: String,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        got: String,
    },
    /// The time zone is unknown.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl Explain for ConfigError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was read or written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownKey { .. } => {
                vec!["`bellwether-train fit --print-config` prints every key with its default".into()]
            }
            Self::Time(error) => error.hints(),
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::parse("", Path::new("default.toml")).expect("the compiled-in defaults are valid")
    }
}

impl Config {
    /// Settings of a file over the defaults.
    ///
    /// # Errors
    /// Unreadable file, invalid TOML, unknown key, value of the wrong type or out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = storage::read_text(path, "read the configuration")?;
        Self::parse(&text, path)
    }

    /// Settings of a text over the defaults; `path` is for messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let user: toml::Table =
            text.parse().map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })?;
        let mut merged: toml::Table = DEFAULT.parse().expect("the compiled-in defaults are valid TOML");
        merge(&mut merged, user, "", path)?;
        let config: Self = merged.try_into().map_err(|error: toml::de::Error| ConfigError::BadValue {
            path: path.into(),
            message: error.message().to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let range = |ok: bool, key: &str, rule, got: String| {
            if ok { Ok(()) } else { Err(ConfigError::OutOfRange { key: key.into(), rule, got }) }
        };
        Zone::named(&self.timezone)?;
        range(!self.events.order_event.is_empty(), "events.order_event", "a name", "\"\"".into())?;
        let share = self.events.max_reject_share;
        range((0.0..=1.0).contains(&share), "events.max_reject_share", "0 to 1", share.to_string())?;
        for (key, patterns) in
            [("features.include", &self.features.include), ("features.exclude", &self.features.exclude)]
        {
            if let Some(bad) = patterns.iter().find(|pattern| !crate::features::is_pattern(pattern)) {
                range(false, key, "patterns such as \"spend_*\"", format!("{bad:?}"))?;
            }
        }
        range(!self.features.include.is_empty(), "features.include", "one pattern at least", "[]".into())?;
        let windows = &self.features.windows;
        let ascending = windows.windows(2).all(|pair| pair[0] < pair[1]);
        let windows_ok = ascending && windows.first().is_some_and(|&first| first > 0) && windows.len() <= 16;
        range(windows_ok, "features.windows", "1 to 16 ascending numbers of days", format!("{windows:?}"))?;
        let minutes = self.features.session_minutes;
        range((1..=1440).contains(&minutes), "features.session_minutes", "1 to 1440", minutes.to_string())?;
        let points = self.features.max_contact_points;
        range(points <= 100, "features.max_contact_points", "0 to 100", points.to_string())?;
        let RolesConfig { cart, begin, failure, send, open, click } = &self.features.roles;
        let roles =
            [("cart", cart), ("begin", begin), ("failure", failure), ("send", send), ("open", open), ("click", click)];
        for (role, names) in roles {
            let named = names.iter().all(|name| name.contains(char::is_alphanumeric));
            range(named, &format!("features.roles.{role}"), "names of events", format!("{names:?}"))?;
        }
        range(
            (1..=60).contains(&self.training.cutoffs),
            "training.cutoffs",
            "1 to 60",
            self.training.cutoffs.to_string(),
        )?;
        let half_life = self.training.half_life_horizons;
        let is_usual = half_life == 0.0 || (0.01..=1000.0).contains(&half_life);
        range(is_usual, "training.half_life_horizons", "0, or 0.01 to 1000", half_life.to_string())?;
        let trials = self.training.trials;
        let most = crate::training::MOST_TRIALS;
        range((1..=most).contains(&trials), "training.trials", "1 to 8", trials.to_string())?;
        for (key, rows) in [
            ("training.max_rows", self.training.max_rows),
            ("training.max_rows_per_category", self.training.max_rows_per_category),
        ] {
            range(rows >= 1000, key, "at least 1000", rows.to_string())?;
        }
        let scores = &self.scores;
        for (key, share) in [
            ("scores.churn_band_medium", scores.churn_band_medium),
            ("scores.churn_band_high", scores.churn_band_high),
            ("scores.holdout_share", scores.holdout_share),
        ] {
            range((0.0..=1.0).contains(&share), key, "0 to 1", share.to_string())?;
        }
        self.gates.check()?;
        declared::check(&self.feature)?;
        for (name, target) in &self.target {
            let plain =
                !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
            range(plain, &format!("target.{name}"), "a name of lower-case letters, digits and `_`", name.clone())?;
            range(
                (1..=1000).contains(&target.top),
                &format!("target.{name}.top"),
                "1 to 1000",
                target.top.to_string(),
            )?;
        }
        Ok(())
    }

    /// The configured time zone.
    pub fn zone(&self) -> Zone {
        Zone::named(&self.timezone).expect("checked on loading")
    }

    /// As TOML, the form in which a bundle keeps it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a checked configuration is representable")
    }
}

/// Tables whose keys the user chooses.
const OPEN_TABLES: [&str; 2] = ["target", "events.columns"];

fn merge(base: &mut toml::Table, user: toml::Table, prefix: &str, path: &Path) -> Result<(), ConfigError> {
    for (key, value) in user {
        let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(known)), toml::Value::Table(inner)) if !OPEN_TABLES.contains(&full.as_str()) => {
                merge(known, inner, &full, path)?;
            }
            (Some(known), value) => *known = coerce(known, value),
            (None, _) => {
                let nearest = nearest(&key, base.keys().map(String::as_str));
                let nearest =
                    nearest.map(|name| if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") });
                return Err(ConfigError::UnknownKey { path: path.into(), key: full, nearest });
            }
        }
    }
    Ok(())
}

/// `max_reject_share = 0` means 0.0.
fn coerce(known: &toml::Value, value: toml::Value) -> toml::Value {
    match (known, value) {
        (toml::Value::Float(_), toml::Value::Integer(number)) => toml::Value::Float(number as f64),
        (_, value) => value,
    }
}

/// The known name most similar to `name`, when it is similar at all.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("shop.toml"))
    }

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let config = Config::default();
        assert_eq!(parse(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = parse("[events]\norder_evnt = 'sale'").unwrap_err();
        assert_eq!(error.to_string(), "shop.toml: unknown key `events.order_evnt`");
        assert_eq!(error.hints(), ["did you mean `events.order_event`?"]);
    }

    #[test]
    fn values_out_of_range_say_key_rule_and_value() {
        let error = parse("[target.churn]\nkind = 'absence'\nhorizon_days = 0").unwrap_err();
        assert!(error.to_string().contains("`horizon_days` must be 1 to 730, got 0"), "{error}");
        let error = parse("[events]\nmax_reject_share = 7").unwrap_err();
        assert_eq!(error.to_string(), "`events.max_reject_share` must be 0 to 1, got 7");
        assert!(parse("timezone = 'Mars/Olympus'").is_err());
    }

    #[test]
    fn a_role_is_a_list_of_names_that_replaces_the_default() {
        let config = parse("[features.roles]\ncart = ['Warenkorb']\nclick = []").unwrap();
        assert_eq!(config.features.roles.cart, ["Warenkorb"]);
        assert!(config.features.roles.click.is_empty());
        assert_eq!(config.features.roles.open, Config::default().features.roles.open);
        let error = parse("[features.roles]\nopened = ['read']").unwrap_err();
        assert_eq!(error.to_string(), "shop.toml: unknown key `features.roles.opened`");
        assert_eq!(error.hints(), ["did you mean `features.roles.open`?"]);
        let error = parse("[features.roles]\nsend = ['']").unwrap_err();
        assert_eq!(error.to_string(), "`features.roles.send` must be names of events, got [\"\"]");
    }

    #[test]
    fn a_target_is_read_with_its_rule() {
        let config = parse("[target.churn]\nkind='absence'\nhorizon_days=90\neligible='purchases >= 1'").unwrap();
        let target = &config.target["churn"];
        assert_eq!(target.kind, TargetKind::Absence);
        assert_eq!(target.eligible.as_ref().unwrap().to_string(), "purchases >= 1");
    }
}
