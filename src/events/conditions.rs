//! Declared conditions: which events of a batch satisfy an SQL predicate over their own columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, DictionaryArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, UInt32Type};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::batch::{EventBatch, ExtraValues, Labels, NO_LABEL};
use crate::error::{ExitCode, Explain};
use crate::predicate::{Planner, PredicateProblem, show};

/// Conditions that one reading can mark: a bit each.
pub const MAX_CONDITIONS: usize = 64;

/// What a column of an event holds, as a predicate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers; true and false are 1 and 0.
    Number,
    /// Text.
    Text,
    /// An instant, as wall time.
    Time,
    /// A day.
    Day,
}

impl ColumnKind {
    fn data_type(self) -> DataType {
        match self {
            Self::Number => DataType::Float64,
            Self::Text => DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8)),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Day => DataType::Date32,
        }
    }
}

/// A condition that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// A predicate that cannot be planned over the columns of the events.
    #[error("`where` of the declared features: {problem}")]
    Predicate {
        /// As written.
        predicate: String,
        /// What is wrong with it.
        problem: PredicateProblem,
        /// What there is.
        columns: Vec<String>,
    },
    /// A predicate that failed on some event.
    #[error("`where = \"{predicate}\"` fails on some event")]
    Evaluation {
        /// As written.
        predicate: String,
        /// What failed.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A fault of bellwether's own.
    #[error("conditions cannot be planned")]
    Fault(#[source] Box<DataFusionError>),
}

impl Explain for ConditionError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Predicate { .. } => ExitCode::Usage,
            Self::Evaluation { .. } => ExitCode::DataRejected,
            Self::Fault(_) => ExitCode::Bug,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::Predicate { predicate, problem, columns } => {
                let mut lines = show(predicate, problem);
                lines.push(format!("columns of the events: {}", columns.join(", ")));
                lines.push("Nothing was read and nothing was written.".into());
                lines
            }
            _ => vec!["Nothing was written.".into()],
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Predicate { problem, .. } => problem.hints(),
            Self::Evaluation { .. } => {
                vec!["to divide safely, use `nullif(divisor, 0)`; to convert safely, `try_cast(… AS …)`".into()]
            }
            Self::Fault(_) => Vec::new(),
        }
    }
}

/// Planned predicates, ready to mark batches.
pub struct Conditions {
    schema: SchemaRef,
    predicates: Vec<(String, Arc<dyn PhysicalExpr>)>,
    /// Positions in `schema` of the columns that any predicate reads.
    read: Vec<usize>,
}

impl Conditions {
    /// Plans `predicates` over `columns`.
    ///
    /// # Errors
    /// A predicate that is no SQL, names no column, is not boolean or is no pure function of its event.
    pub fn new(predicates: &[String], columns: &[(String, ColumnKind)]) -> Result<Self, ConditionError> {
        let fault = |error| ConditionError::Fault(Box::new(error));
        let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let planner = Planner::new(&schema).map_err(fault)?;
        let planned_over = DFSchema::try_from(schema.as_ref().clone()).map_err(fault)?;
        let mut planned = Vec::with_capacity(predicates.len());
        let mut read: Vec<usize> = Vec::new();
        for predicate in predicates {
            let expression = planner.plan(predicate).map_err(fault)?.map_err(|problem| ConditionError::Predicate {
                predicate: predicate.clone(),
                problem,
                columns: columns.iter().map(|(name, _)| name.clone()).collect(),
            })?;
            let physical = planner.physical(expression, &planned_over).map_err(fault)?;
            read.extend(collect_columns(&physical).iter().map(|column| column.index()));
            planned.push((predicate.clone(), physical));
        }
        read.sort_unstable();
        read.dedup();
        Ok(Self { schema, predicates: planned, read })
    }

    /// Whether there is nothing to mark.
    pub fn is_empty(&self) -> bool {
        self.predicates.is_empty()
    }

    /// The predicates, as written.
    pub(crate) fn predicates(&self) -> impl Iterator<Item = &str> {
        self.predicates.iter().map(|(predicate, _)| predicate.as_str())
    }

    /// Names of the columns that predicates read.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.read.iter().map(|&index| self.schema.field(index).name().as_str())
    }

    /// Fills in which conditions hold of each event; unknown (null) counts as no.
    ///
    /// # Errors
    /// A predicate that fails on some event, as a division by zero does.
    pub fn mark(&self, batch: &mut EventBatch) -> Result<(), ConditionError> {
        if self.is_empty() {
            return Ok(());
        }
        let n = batch.len();
        let fields = self.schema.fields().iter().enumerate();
        let arrays: Vec<ArrayRef> = fields
            .map(|(index, field)| {
                let array = if self.read.contains(&index) { column(batch, field.name()) } else { None };
                array.unwrap_or_else(|| arrow::array::new_null_array(field.data_type(), n))
            })
            .collect();
        let fault = |error| ConditionError::Fault(Box::new(error));
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|error| fault(DataFusionError::from(error)))?;
        batch.conditions.clear();
        for (predicate, expression) in &self.predicates {
            let holds = expression.evaluate(&rows).and_then(|value| value.into_array(n)).map_err(|source| {
                ConditionError::Evaluation { predicate: predicate.clone(), source: Box::new(source) }
            })?;
            let holds = holds.as_boolean();
            batch.conditions.push((0..n).map(|row| holds.is_valid(row) && holds.value(row)).collect());
        }
        Ok(())
    }
}

fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(values.map(|value| (!value.is_nan()).then_some(value)).collect::<Float64Array>())
}

fn texts(labels: &Labels) -> ArrayRef {
    let codes: UInt32Array = labels.codes.iter().map(|&code| (code != NO_LABEL).then_some(code)).collect();
    let names = Arc::new(StringArray::from_iter_values(&labels.names));
    Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, names).expect("codes are indices of names"))
}

/// A column of a batch by the name that a predicate gives it; `None` where this file lacks it.
fn column(batch: &EventBatch, name: &str) -> Option<ArrayRef> {
    let labels = |labels: &Option<Labels>| labels.as_ref().map(texts);
    match name {
        "ts" => Some(Arc::new(TimestampMicrosecondArray::from(batch.time.clone()))),
        "received_at" => batch.received.as_ref().map(|days| Arc::new(Date32Array::from(days.clone())) as ArrayRef),
        "event" => Some(texts(&batch.event)),
        "value" => batch.value.as_ref().map(|values| numbers(values.iter().copied())),
        "quantity" => batch.quantity.as_ref().map(|units| numbers(units.iter().map(|&units| f64::from(units)))),
        "category" => labels(&batch.category),
        "channel" => labels(&batch.channel),
        "device" => labels(&batch.device),
        "campaign" => labels(&batch.campaign),
        _ => batch.extras.iter().find(|extra| &*extra.name == name).map(|extra| match &extra.values {
            ExtraValues::Numbers(values) => numbers(values.iter().copied()),
            ExtraValues::Labels(labels) => texts(labels),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Extra, Ids};

    fn batch() -> EventBatch {
        let labels = |codes: &[u32], names: &[&str]| Labels {
            codes: codes.to_vec(),
            names: names.iter().map(ToString::to_string).collect(),
        };
        EventBatch {
            customer: Ids::Integers(vec![1, 2, 3]),
            time: vec![0, 86_400_000_000, 5],
            received: None,
            event: labels(&[0, 1, 0], &["purchase", "view"]),
            category: Some(labels(&[NO_LABEL, 0, 0], &["ski"])),
            channel: None,
            device: None,
            campaign: None,
            value: Some(vec![10.0, f64::NAN, -3.0]),
            quantity: None,
            product: None,
            order: None,
            extras: vec![
                Extra { name: "Score".into(), values: ExtraValues::Numbers(vec![f64::NAN, 0.0, 2.0]) },
                Extra { name: "browser".into(), values: ExtraValues::Labels(labels(&[0, 1, 1], &["a", "b"])) },
            ],
            conditions: Vec::new(),
        }
    }

    fn columns() -> Vec<(String, ColumnKind)> {
        let column = |name: &str, kind| (name.to_string(), kind);
        vec![
            column("ts", ColumnKind::Time),
            column("event", ColumnKind::Text),
            column("value", ColumnKind::Number),
            column("category", ColumnKind::Text),
            column("channel", ColumnKind::Text),
            column("Score", ColumnKind::Number),
            column("browser", ColumnKind::Text),
        ]
    }

    #[test]
    fn conditions_hold_of_the_events_that_satisfy_them() {
        let cases = [
            ("event = 'purchase' AND value > 0", [true, false, false]),
            ("category = 'ski'", [false, true, true]),
            ("category IS NULL", [true, false, false]),
            ("channel IN ('web', 'app')", [false, false, false]),
            ("\"Score\" >= 0", [false, true, true]),
            ("browser LIKE 'b%' OR value = 10", [true, true, true]),
            ("ts >= TIMESTAMP '1970-01-02'", [false, true, false]),
        ];
        let predicates: Vec<String> = cases.iter().map(|(predicate, _)| predicate.to_string()).collect();
        let conditions = Conditions::new(&predicates, &columns()).unwrap();
        let mut batch = batch();
        conditions.mark(&mut batch).unwrap();
        for ((predicate, expected), holds) in cases.iter().zip(&batch.conditions) {
            assert_eq!(holds, expected, "{predicate}");
        }
    }

    #[test]
    fn what_cannot_be_planned_is_named_with_the_columns_there_are() {
        for (predicate, expected) in [
            ("categroy = 'ski'", "unknown column `categroy`"),
            ("value >", "not a valid SQL predicate"),
            ("value + 1", "must be true or false"),
            ("value > random()", "random"),
        ] {
            let error = Conditions::new(&[predicate.to_string()], &columns()).err().expect("an error");
            assert!(error.to_string().contains(expected), "{predicate}: {error}");
            assert_eq!(error.exit_code(), ExitCode::Usage);
            assert!(error.details().iter().any(|line| line.contains("columns of the events: ts, event")));
        }
        let error = Conditions::new(&["categroy = 'ski'".to_string()], &columns()).err().expect("an error");
        assert_eq!(error.hints(), ["did you mean `category`?"]);
    }

    #[test]
    fn a_failure_on_some_event_names_the_predicate() {
        let conditions = Conditions::new(&["CAST(browser AS INT) = 1".to_string()], &columns()).unwrap();
        let error = conditions.mark(&mut batch()).expect_err("letters are no number");
        assert_eq!(error.exit_code(), ExitCode::DataRejected);
        assert!(error.to_string().contains("CAST(browser AS INT) = 1"));
    }
}
