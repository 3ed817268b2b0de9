//! The predicates of segments, over the columns of score partitions.

use std::collections::HashSet;

use arrow::datatypes::Schema;
use datafusion::logical_expr::Expr;

use super::criteria::{Segment, Segments};
use super::error::SegmentsError;
use crate::predicate::{Planner, PredicateProblem};

/// Score columns whose names do not follow from a target (contract §4).
const SCORE_COLUMNS: [&str; 18] = [
    "customer_id",
    "as_of",
    "status",
    "lifecycle_stage",
    "alive_probability",
    "churn_factor",
    "expected_next_order_date",
    "average_days_between_orders",
    "value_tier",
    "top_categories",
    "reasons",
    "value_reasons",
    "holdout",
    "excluded_until",
    "bundle_id",
    "schema_version",
    "churn_band",
    "churn_percentile_in_stage",
];

fn is_score_column(name: &str) -> bool {
    SCORE_COLUMNS.contains(&name)
        || name.contains("_probability_")
        || name.starts_with("predicted_")
        || name.starts_with("value_at_risk_")
        || ["_percentile", "_permille", "_percentile_in_stage", "_band"].iter().any(|end| name.ends_with(end))
}

impl Segments {
    /// Plans every predicate over the columns of a score partition, before anything is scored or read.
    ///
    /// # Errors
    /// Names the first segment, in the order of the file, whose predicate is no SQL expression, names an unknown
    /// column or function, is not boolean, or is no pure function of its row: subqueries, aggregates, window and
    /// volatile functions are refused by name.
    pub fn check(&self, columns: &Schema) -> Result<(), SegmentsError> {
        let planner = planner(columns)?;
        self.list().iter().try_for_each(|segment| plan(&planner, columns, segment).map(|_| ()))
    }
}

fn fault(error: datafusion::error::DataFusionError) -> SegmentsError {
    SegmentsError::Fault(Box::new(error))
}

/// Plans predicates over these columns.
pub(super) fn planner(columns: &Schema) -> Result<Planner, SegmentsError> {
    Planner::new(columns).map_err(fault)
}

/// The checked expression of a segment's predicate; `None` for the segment of everyone else.
pub(super) fn plan(planner: &Planner, columns: &Schema, segment: &Segment) -> Result<Option<Expr>, SegmentsError> {
    let Some(predicate) = segment.predicate() else { return Ok(None) };
    planner.plan(predicate).map_err(fault)?.map(Some).map_err(|problem| SegmentsError::Predicate {
        segment: segment.name.clone(),
        predicate: predicate.to_string(),
        problem: of_scores(problem, columns),
    })
}

/// An unknown column may be a feature that these scores were written without.
fn of_scores(mut problem: PredicateProblem, columns: &Schema) -> PredicateProblem {
    let names = || columns.fields().iter().map(|field| field.name());
    if let PredicateProblem::UnknownColumn { column, needs_features, .. } = &mut problem {
        let wanted = column.to_lowercase();
        let is_typo = names().any(|name| strsim::osa_distance(name, &wanted) <= 2);
        let has_features = names().any(|name| !is_score_column(name));
        *needs_features = !has_features && !is_typo && !is_score_column(&wanted);
    }
    problem
}

/// Positions in `schema` of the columns that evaluation reads: the customer and those that expressions name.
pub(super) fn columns_read(schema: &Schema, expressions: &[Option<Expr>]) -> Vec<usize> {
    let named = expressions.iter().flatten().flat_map(Expr::column_refs).map(|column| column.name.as_str());
    let read: HashSet<&str> = named.chain(["customer_id"]).collect();
    (0..schema.fields().len()).filter(|&index| read.contains(schema.field(index).name().as_str())).collect()
}
