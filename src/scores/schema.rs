//! The columns of a score file: name, type, unit, horizon and label sentence, in one place.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::reasons::{explained_targets, reasons_type};
use crate::bundle::{Parameters, Scale};
use crate::config::TargetKind;
use crate::features::{Feature, Unit};
use crate::labels::Target;
use crate::time::Horizon;
use crate::training::INTERVAL_SHARE;

/// Version of the meaning of the columns.
pub const SCHEMA_VERSION: i32 = 1;

/// What a single-column target gives beside its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extras {
    /// Percentile, permille, percentile within the stage, band.
    Churn,
    /// Percentile, permille, tier.
    Value,
    /// Percentile and permille.
    Ranks,
    /// Nothing.
    None,
}

pub(super) fn extras(target: &Target) -> Extras {
    match target.kind {
        _ if target.per_group => Extras::None,
        TargetKind::Absence => Extras::Churn,
        TargetKind::Amount => Extras::Value,
        TargetKind::Presence => Extras::Ranks,
        TargetKind::Count => Extras::None,
    }
}

pub(super) fn field(name: impl Into<String>, data_type: DataType, nullable: bool, notes: &[(&str, String)]) -> Field {
    let notes: HashMap<String, String> = notes.iter().map(|(key, value)| ((*key).to_string(), value.clone())).collect();
    Field::new(name, data_type, nullable).with_metadata(notes)
}

pub(super) fn note(text: &str) -> [(&'static str, String); 1] {
    [("note", text.to_string())]
}

/// Fields of one entry of `top_categories`.
pub(super) fn category_fields() -> Fields {
    Fields::from(vec![
        Field::new("category", DataType::Utf8, false),
        Field::new("probability", DataType::Float64, false),
    ])
}

/// The target whose groups fill `top_categories`: the first presence target by group.
pub(super) fn category_target(parameters: &Parameters) -> Option<usize> {
    parameters.targets.iter().position(|fitted| fitted.target.per_group && fitted.target.kind == TargetKind::Presence)
}

/// The share of customers that is kept counts as at least this where it divides: two models that disagree on the last few
/// per cent would otherwise put any sum at risk.
pub(super) const LEAST_KEPT: f64 = 0.05;

/// Value at risk of a probability of absence and an expected value; NaN of NaN.
pub(super) fn value_at_risk(churn: f64, value: f64) -> f64 {
    churn * value / (1.0 - churn).max(LEAST_KEPT)
}

/// The targets whose product is the value at risk: the first absence of orders, and the amount of orders in the same days.
pub(super) fn at_risk(parameters: &Parameters) -> Option<(usize, usize)> {
    let targets = &parameters.targets;
    let find = |kind: TargetKind, horizon: Option<Horizon>| {
        targets.iter().position(|fitted| {
            let target = &fitted.target;
            target.kind == kind
                && target.is_order
                && !target.per_group
                && horizon.is_none_or(|horizon| horizon == target.horizon)
        })
    };
    let churn = find(TargetKind::Absence, None)?;
    let value = find(TargetKind::Amount, Some(targets[churn].target.horizon))?;
    Some((churn, value))
}

/// Features that stand among the scores of every file.
const SCORED_FEATURES: [&str; 2] = ["average_days_between_orders", "churn_factor"];

/// Whether a feature needs a column beside the scores: no name stands twice in a file.
pub(super) fn is_column_of_its_own(feature: &Feature) -> bool {
    !SCORED_FEATURES.contains(&feature.name.as_str())
}

/// The schema of a score file, `features` included when there are any.
pub(super) fn schema(parameters: &Parameters, currency: &str, features: &[Feature]) -> SchemaRef {
    let money = || if currency.is_empty() { "money".to_string() } else { currency.to_string() };
    let mut fields = vec![
        field("customer_id", DataType::Utf8, false, &note("as in the events")),
        field("as_of", DataType::Date32, false, &note("history is every event before this day")),
        field("status", DataType::Utf8, false, &note("scored, prior_only, not_applicable or excluded")),
        field(
            "lifecycle_stage",
            DataType::Utf8,
            false,
            &note("registered, new, active, cooling, at_risk, lapsed or returned; may go backwards"),
        ),
    ];
    let groups_last =
        |by_group: bool| parameters.targets.iter().filter(move |fitted| fitted.target.per_group == by_group);
    for fitted in groups_last(false) {
        let target = &fitted.target;
        prediction_fields(target, &money(), &mut fields);
        let name = &target.name;
        let about = |what: &str| note(&format!("{what} of `{}`", target.columns()[0]));
        let kind = extras(target);
        if kind == Extras::Value {
            let share = INTERVAL_SHARE * 100.0;
            for (end, which) in [("low", "lower"), ("high", "upper")] {
                let notes = [
                    ("unit", money()),
                    ("horizon_days", target.horizon.to_string()),
                    ("note", format!("{which} end of the {share:.0} % interval of `{}`", target.columns()[0])),
                ];
                let column = format!("predicted_{name}_{end}_{}d", target.horizon);
                fields.push(field(column, DataType::Float64, true, &notes));
            }
        }
        if kind != Extras::None {
            fields.push(field(
                format!("{name}_percentile"),
                DataType::UInt8,
                true,
                &about("1 to 100, 100 = highest, rank"),
            ));
            fields.push(field(
                format!("{name}_permille"),
                DataType::UInt16,
                true,
                &about("1 to 1000, 1000 = highest, rank"),
            ));
        }
        if kind == Extras::Churn {
            let what = about("1 to 100 within lifecycle_stage, rank");
            fields.push(field(format!("{name}_percentile_in_stage"), DataType::UInt8, true, &what));
            fields.push(field(
                format!("{name}_band"),
                DataType::Utf8,
                true,
                &about("low, medium or high: cuts fixed by the bundle,"),
            ));
        }
        if kind == Extras::Value {
            let what = about("low, medium, high or top: cuts fixed by the bundle,");
            fields.push(field(format!("{name}_tier"), DataType::Utf8, true, &what));
        }
    }
    let alive =
        "buy-till-you-die probability of being a customer at as_of; no churn score: it is 1 for every one-time buyer";
    fields.push(field("alive_probability", DataType::Float64, true, &note(alive)));
    fields.push(field(
        "expected_next_order_date",
        DataType::Date32,
        true,
        &note("median; null beyond the model's range"),
    ));
    let gap = [("unit", "days".to_string()), ("note", "null with one order".to_string())];
    fields.push(field("average_days_between_orders", DataType::Float64, true, &gap));
    fields.push(field("churn_factor", DataType::Float64, true, &note("days since last order ÷ own usual gap")));
    if let Some((churn, value)) = at_risk(parameters) {
        let (churn, value) = (&parameters.targets[churn].target, &parameters.targets[value].target);
        let what = format!(
            "`{churn}` × the value if kept: `{value}` ÷ (1 − `{churn}`), which counts as at least {LEAST_KEPT}",
            churn = churn.columns()[0],
            value = value.columns()[0],
        );
        let notes = [("unit", money()), ("horizon_days", value.horizon.to_string()), ("note", what)];
        fields.push(field(format!("value_at_risk_{}d", value.horizon), DataType::Float64, true, &notes));
    }
    for fitted in groups_last(true) {
        prediction_fields(&fitted.target, &money(), &mut fields);
    }
    if category_target(parameters).is_some() {
        let item = Arc::new(Field::new("item", DataType::Struct(category_fields()), false));
        fields.push(field("top_categories", DataType::List(item), true, &note("the five most probable")));
    }
    for (target, name) in explained_targets(parameters) {
        let target = &parameters.targets[target].target;
        let scale = match Scale::of(target.kind) {
            Scale::Money => money(),
            other => other.name().to_string(),
        };
        let what = format!(
            "the three things that moved `{}` most, the strongest first; features that tell the same are one",
            target.columns()[0]
        );
        let notes = [
            ("note", what),
            ("unit", format!("`effect`: {scale}; `value`: that of the feature")),
            ("method", "approximate contributions of the models that predicted (Saabas 2014 in trees)".to_string()),
            ("label", target.sentence(None)),
        ];
        fields.push(field(name, reasons_type(), true, &notes));
    }
    fields.push(field("holdout", DataType::Boolean, false, &note("nobody in it should be contacted")));
    let until = "the first day on which an excluded customer may be contacted again; null when they may be at as_of";
    fields.push(field("excluded_until", DataType::Date32, true, &note(until)));
    fields.push(field("bundle_id", DataType::Utf8, false, &note("the bundle that made the predictions")));
    fields.push(field("schema_version", DataType::Int32, false, &note("meaning of the columns")));
    for feature in features.iter().filter(|feature| is_column_of_its_own(feature)) {
        let unit = if feature.unit == Unit::Money { money() } else { feature.unit.name().to_string() };
        let notes = [("unit", unit), ("note", feature.note.clone())];
        fields.push(field(feature.name.clone(), DataType::Float32, true, &notes));
    }
    if features.iter().any(|feature| feature.name == "spend") {
        let what = "1 to 100, 100 = highest, rank of `spend` among customers with an order";
        fields.push(field("spend_percentile", DataType::UInt8, true, &note(what)));
    }
    Arc::new(Schema::new(fields))
}

fn prediction_fields(target: &Target, money: &str, fields: &mut Vec<Field>) {
    let unit = match target.kind {
        TargetKind::Absence | TargetKind::Presence => "probability",
        TargetKind::Amount => money,
        TargetKind::Count => "count",
    };
    for (index, column) in target.columns().into_iter().enumerate() {
        let group = target.per_group.then_some(index);
        let mut notes = vec![
            ("unit", unit.to_string()),
            ("horizon_days", target.horizon.to_string()),
            ("label", target.sentence(group)),
            ("event", target.event.clone()),
        ];
        if let Some(group) = group {
            notes.push(("group", target.groups[group].name.clone()));
        }
        fields.push(field(column, DataType::Float64, true, &notes));
    }
}
