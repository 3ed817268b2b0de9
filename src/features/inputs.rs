//! What declared features need of the events: columns beyond ours, and conditions.

use serde::Serialize;

use super::catalogue::slug;
use crate::config::{Aggregate, Config, DeclaredFeature, FeaturesConfig, conditions, nearest};
use crate::error::{Error, ExitCode, Explain};
use crate::events::{ColumnKind, Conditions, Events, ExtraColumn, ExtraKind, Role};

/// A declared feature that these events cannot give.
#[derive(Debug, thiserror::Error)]
pub enum DeclaredError {
    /// No such column.
    #[error("declared feature `{feature}`: the events have no column `{column}`")]
    UnknownColumn {
        /// Which feature.
        feature: String,
        /// Its `value`.
        column: String,
        /// The most similar column.
        nearest: Option<String>,
        /// What there is.
        columns: Vec<String>,
    },
    /// Text where numbers are aggregated.
    #[error("declared feature `{feature}`: the column `{column}` holds text, which has no {aggregate}")]
    NotNumeric {
        /// Which feature.
        feature: String,
        /// Its `value`.
        column: String,
        /// What was asked for.
        aggregate: &'static str,
    },
}

impl Explain for DeclaredError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Self::UnknownColumn { columns, .. } = self {
            lines.push(format!("columns of the events: {}", columns.join(", ")));
        }
        lines.push("Nothing was read and nothing was written.".into());
        lines
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownColumn { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownColumn { .. } => vec!["map it in `[events.columns]` if the file calls it otherwise".into()],
            Self::NotNumeric { .. } => vec!["`agg = \"distinct\"` and `agg = \"count\"` take text".into()],
        }
    }
}

/// Columns to ask a reading for, and conditions to mark its batches with.
pub(crate) struct Inputs {
    /// Columns beyond ours, by the name that the files give them.
    pub(crate) extras: Vec<String>,
    pub(crate) conditions: Conditions,
}

/// Our columns that a declaration may name, beside `ts` and `event`, which are always there.
const COLUMNS: [(&str, Role, ColumnKind); 9] = [
    ("value", Role::Value, ColumnKind::Number),
    ("quantity", Role::Quantity, ColumnKind::Number),
    ("category", Role::Category, ColumnKind::Text),
    ("channel", Role::Channel, ColumnKind::Text),
    ("device", Role::Device, ColumnKind::Text),
    ("campaign", Role::Campaign, ColumnKind::Text),
    ("received_at", Role::ReceivedAt, ColumnKind::Day),
    ("product", Role::Product, ColumnKind::Text),
    ("order_id", Role::OrderId, ColumnKind::Text),
];

/// Of these only hashes are kept: they can be told apart and counted, and not compared with text.
const HASHED: [&str; 2] = ["product", "order_id"];

impl Inputs {
    /// What the configuration needs of these events. Numbers are those of `numbers` that the events have, or, without
    /// it, the first of the data.
    ///
    /// # Errors
    /// A column that is not there, text to be summed, a predicate that cannot be planned.
    pub(crate) fn new(config: &Config, events: &Events, numbers: Option<&[String]>) -> Result<Self, Error> {
        let mapping = events.mapping();
        let mut columns: Vec<(String, ColumnKind)> =
            vec![("ts".into(), ColumnKind::Time), ("event".into(), ColumnKind::Text)];
        columns.extend(
            COLUMNS.iter().filter(|(_, role, _)| mapping.has(*role)).map(|(name, _, kind)| ((*name).into(), *kind)),
        );
        let n_own = columns.len();
        for extra in events.extras() {
            // One of ours hides a column of the file that has its name.
            if !columns.iter().any(|(name, _)| **name == *extra.name) {
                let kind = if extra.kind == ExtraKind::Text { ColumnKind::Text } else { ColumnKind::Number };
                columns.push((extra.name.to_string(), kind));
            }
        }
        let comparable: Vec<(String, ColumnKind)> =
            columns.iter().filter(|(name, _)| !HASHED.contains(&name.as_str())).cloned().collect();
        let conditions = Conditions::new(&conditions(&config.feature), &comparable)?;
        let mut wanted: Vec<&str> = conditions.columns().collect();
        for feature in &config.feature {
            if let Some(column) = &feature.value {
                check(feature, column, &columns)?;
                wanted.push(column);
            }
        }
        let of_kind = columns[n_own..].iter().filter(|column| column.1 == ColumnKind::Number);
        let of_kind = of_kind.map(|(name, _)| name.as_str());
        let mut extras: Vec<String> = match numbers {
            Some(numbers) => {
                of_kind.filter(|name| numbers.iter().any(|number| number == name)).map(Into::into).collect()
            }
            None => Chosen::new(&config.features, of_kind).names().map(Into::into).collect(),
        };
        let declared = columns[n_own..].iter().map(|(name, _)| name).filter(|name| wanted.contains(&name.as_str()));
        for name in declared {
            if !extras.contains(name) {
                extras.push(name.clone());
            }
        }
        Ok(Self { extras, conditions })
    }
}

/// Which of the numeric columns that are none of ours have features, and as what.
pub(super) struct Chosen<'a> {
    /// What was taken off the price of an order line.
    pub(super) discount: Option<&'a str>,
    /// Those with features of their own.
    pub(super) numbers: Vec<&'a str>,
}

impl<'a> Chosen<'a> {
    /// From all numeric columns, in the order of the file.
    pub(super) fn new(config: &FeaturesConfig, columns: impl Iterator<Item = &'a str>) -> Self {
        let discounts: Vec<String> = config.discount.iter().map(|name| slug(name)).collect();
        let mut numbers: Vec<&str> = columns.collect();
        let discount = numbers.iter().position(|name| discounts.contains(&slug(name)));
        let discount = discount.map(|at| numbers.remove(at));
        numbers.truncate(config.max_numbers);
        Self { discount, numbers }
    }

    fn names(self) -> impl Iterator<Item = &'a str> {
        self.numbers.into_iter().chain(self.discount)
    }
}

/// What becomes of a column that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraUse {
    /// As the files call it.
    pub column: String,
    /// What it holds.
    pub kind: ExtraKind,
    /// Features that are built from it, in words.
    pub used_for: &'static str,
}

/// What becomes of the columns that are none of ours.
pub(crate) fn uses_of_extras(config: &Config, events: &Events) -> Vec<ExtraUse> {
    let is_number = |kind: ExtraKind| kind != ExtraKind::Text;
    let numbers = events.extras().iter().filter(|extra| is_number(extra.kind)).map(|extra| &*extra.name);
    let chosen = Chosen::new(&config.features, numbers);
    let is_declared = |name: &str| config.feature.iter().any(|feature| feature.value.as_deref() == Some(name));
    let used_for = |name: &str, kind: ExtraKind| match kind {
        _ if chosen.discount == Some(name) => "discount of orders",
        _ if chosen.numbers.contains(&name) => "count, mean, smallest, largest, last, change, days since",
        _ if is_declared(name) => "declared features",
        ExtraKind::Text => "conditions and declared features only",
        _ => "declared features only: `max_numbers` are taken",
    };
    let of = |extra: &ExtraColumn| ExtraUse {
        column: extra.name.to_string(),
        kind: extra.kind,
        used_for: used_for(&extra.name, extra.kind),
    };
    events.extras().iter().map(of).collect()
}

fn check(feature: &DeclaredFeature, column: &str, columns: &[(String, ColumnKind)]) -> Result<(), DeclaredError> {
    let valued = || columns.iter().filter(|(_, kind)| matches!(kind, ColumnKind::Number | ColumnKind::Text));
    let Some((_, kind)) = valued().find(|(name, _)| name == column && name != "event") else {
        return Err(DeclaredError::UnknownColumn {
            feature: feature.name.clone(),
            column: column.to_string(),
            nearest: nearest(column, valued().map(|(name, _)| name.as_str())),
            columns: valued().map(|(name, _)| name.clone()).filter(|name| name != "event").collect(),
        });
    };
    let aggregate = match feature.agg {
        Aggregate::Sum => "sum",
        Aggregate::Mean => "mean",
        Aggregate::Min | Aggregate::Max => "smallest or largest number",
        Aggregate::Last | Aggregate::First => "newest or oldest number",
        Aggregate::Count | Aggregate::Distinct | Aggregate::DaysSince | Aggregate::Streak => return Ok(()),
    };
    if *kind == ColumnKind::Text {
        return Err(DeclaredError::NotNumeric { feature: feature.name.clone(), column: column.to_string(), aggregate });
    }
    Ok(())
}
