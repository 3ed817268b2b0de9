//! Declared features: what a user adds to the catalogue.

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::events::MAX_CONDITIONS;

/// How the matching events of a customer become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// How many; with `value`, how many that have one.
    Count,
    /// Sum of `value`.
    Sum,
    /// Mean of `value`.
    Mean,
    /// Smallest `value`.
    Min,
    /// Largest `value`.
    Max,
    /// Newest `value`.
    Last,
    /// Oldest `value`.
    First,
    /// Number of different values.
    Distinct,
    /// Days from the newest to `as_of`.
    DaysSince,
    /// How many of the newest events satisfy `where`, one after another.
    Streak,
}

impl Aggregate {
    /// Whether it is made of values.
    pub fn needs_value(self) -> bool {
        !matches!(self, Self::Count | Self::DaysSince | Self::Streak)
    }
}

/// `[[feature]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredFeature {
    /// Column name.
    pub name: String,
    /// How events become a number.
    pub agg: Aggregate,
    /// Which events; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Column of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// SQL predicate over the columns of an event.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Only the last days before `as_of`; the whole history when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_days: Option<u16>,
}

/// Each distinct predicate once, in the order of the declarations: its position is its bit.
pub fn conditions(declared: &[DeclaredFeature]) -> Vec<String> {
    let mut conditions: Vec<String> = Vec::new();
    for condition in declared.iter().filter_map(|feature| feature.condition.as_ref()) {
        if !conditions.contains(condition) {
            conditions.push(condition.clone());
        }
    }
    conditions
}

/// Refuses declarations that cannot mean anything, whatever the data.
pub(super) fn check(declared: &[DeclaredFeature]) -> Result<(), ConfigError> {
    let refuse = |feature: &DeclaredFeature, key: &str, rule, got: String| ConfigError::OutOfRange {
        key: format!("feature `{}`: {key}", feature.name),
        rule,
        got,
    };
    let mut names = std::collections::BTreeSet::new();
    for feature in declared {
        let name = &feature.name;
        let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        if !is_plain {
            return Err(refuse(feature, "name", "lower-case letters, digits and `_`", name.clone()));
        }
        if !names.insert(name) {
            return Err(refuse(feature, "name", "declared once", format!("{name} twice")));
        }
        let has = |set: bool| if set { "one".to_string() } else { "none".to_string() };
        if feature.agg.needs_value() && feature.value.is_none() {
            return Err(refuse(feature, "value", "the column that is aggregated", has(false)));
        }
        if matches!(feature.agg, Aggregate::DaysSince | Aggregate::Streak) && feature.value.is_some() {
            return Err(refuse(feature, "value", "left out: this aggregate looks at times alone", has(true)));
        }
        if feature.agg == Aggregate::Streak && feature.condition.is_none() {
            return Err(refuse(feature, "where", "what the events of a streak satisfy", has(false)));
        }
        if feature.window_days == Some(0) {
            return Err(refuse(feature, "window_days", "1 to 65535, or left out", "0".into()));
        }
    }
    let n_conditions = conditions(declared).len();
    if n_conditions > MAX_CONDITIONS {
        return Err(ConfigError::OutOfRange {
            key: "where".into(),
            rule: "at most 64 different predicates in all declared features",
            got: n_conditions.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("shop.toml"))
    }

    #[test]
    fn declarations_survive_a_round_trip() {
        let text = "[[feature]]\nname = 'ski_spend_90d'\nagg = 'sum'\nevent = 'purchase'\nvalue = 'value'\n\
                    where = \"category = 'ski'\"\nwindow_days = 90\n\
                    [[feature]]\nname = 'logins'\nagg = 'count'\nevent = 'login'\n\
                    [[feature]]\nname = 'ski_views'\nagg = 'count'\nwhere = \"category = 'ski'\"\n";
        let config = parse(text).unwrap();
        assert_eq!(config.feature.len(), 3);
        assert_eq!(parse(&config.to_toml()).unwrap(), config);
        assert_eq!(conditions(&config.feature), ["category = 'ski'"]);
    }

    #[test]
    fn what_cannot_mean_anything_is_refused() {
        for (fields, expected) in [
            (
                "name = 'Ski'\nagg = 'count'",
                "`feature `Ski`: name` must be lower-case letters, digits and `_`, got Ski",
            ),
            ("name = 'x'\nagg = 'sum'", "`feature `x`: value` must be the column that is aggregated, got none"),
            ("name = 'x'\nagg = 'days_since'\nvalue = 'value'", "must be left out"),
            ("name = 'x'\nagg = 'streak'\nevent = 'login'", "`feature `x`: where` must be"),
            ("name = 'x'\nagg = 'count'\nwindow_days = 0", "`feature `x`: window_days` must be 1 to 65535"),
            ("name = 'x'\nagg = 'median'\nvalue = 'value'", "unknown variant `median`"),
            ("name = 'x'\nagg = 'count'\nwindow = 3", "unknown field `window`"),
        ] {
            let error = parse(&format!("[[feature]]\n{fields}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = parse("[[feature]]\nname='x'\nagg='count'\n[[feature]]\nname='x'\nagg='count'").unwrap_err();
        assert!(error.to_string().contains("must be declared once, got x twice"), "{error}");
        let many: String =
            (0..65).map(|n| format!("[[feature]]\nname='x{n}'\nagg='count'\nwhere='value > {n}'\n")).collect();
        assert!(parse(&many).unwrap_err().to_string().contains("at most 64"));
    }
}
