//! What declared features need of the events: columns beyond ours, and conditions.

use crate::config::{Aggregate, Config, DeclaredFeature, conditions, nearest};
use crate::error::{Error, ExitCode, Explain};
use crate::events::{ColumnKind, Conditions, Events, ExtraKind, Role};

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
        let of_kind =
            |kind: ColumnKind| columns[n_own..].iter().filter(move |column| column.1 == kind).map(|(name, _)| name);
        let mut extras: Vec<String> = match numbers {
            Some(numbers) => of_kind(ColumnKind::Number).filter(|name| numbers.contains(name)).cloned().collect(),
            None => of_kind(ColumnKind::Number).take(config.features.max_numbers).cloned().collect(),
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
