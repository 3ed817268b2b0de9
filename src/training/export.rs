//! The rows that a target is trained and judged on, as a file: features, what is foreseen, labels, cut-off and fold, for those who want
//! to model elsewhere.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::inputs::Inputs;
use super::material::{Material, Purpose, Rows};
use crate::error::Error;
use crate::features::feature_field;
use crate::labels::Target;
use crate::sink::{FileFormat, Sink};
use crate::split::{Role, Split};
use crate::storage;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Writes `folder/<target>.parquet`, which appears whole or not at all: a row for each customer and cut-off that any fit of
/// the target looks at. `fold` is the part it plays in the judged fit (`train`, `validate`, `test`; null in none), `ships` whether
/// the fit that ships learns from it; labels are called `label_<score column>`.
///
/// # Errors
/// Timelines on disk that cannot be read back, a file that cannot be written.
pub(super) fn export(material: &Material, target: &Target, split: &Split, folder: &Path) -> Result<(), Error> {
    let rows = material.select(target, split, Purpose::Any)?;
    let schema = schema(material, target);
    let config = material.config;
    let metadata = [
        ("bellwether.timezone", config.timezone.as_str()),
        ("bellwether.currency", config.currency.as_str()),
        ("bellwether.label", &target.sentence(None)),
    ];
    let path = folder.join(format!("{}.parquet", target.name));
    storage::replace_file(&path, |path| {
        let mut sink = Sink::create(FileFormat::Parquet, path, &schema, &metadata)?;
        for start in (0..rows.len()).step_by(BATCH_ROWS) {
            let some = rows.range(start..(start + BATCH_ROWS).min(rows.len()));
            sink.write(&batch(material, target, split, some, &schema)?)?;
        }
        sink.finish()?;
        Ok::<(), Error>(())
    })
}

fn schema(material: &Material, target: &Target) -> SchemaRef {
    let note = |field: Field, text: &str| {
        field.with_metadata([("description".to_string(), text.to_string())].into_iter().collect())
    };
    let mut fields = vec![
        Field::new("customer_id", DataType::Utf8, false),
        note(Field::new("as_of", DataType::Date32, false), "the cut-off: history is every event before this day"),
        note(Field::new("fold", DataType::Utf8, true), "train, validate or test: its part in the judged fit"),
        note(Field::new("ships", DataType::Boolean, false), "whether the fit that ships learns from it"),
    ];
    fields.extend(target.columns().iter().enumerate().map(|(index, column)| {
        let label = target.sentence(target.per_group.then_some(index));
        note(Field::new(format!("label_{column}"), DataType::Float32, false), &label)
    }));
    let columns = material.columns_of(target);
    fields.extend(columns.iter().map(|feature| feature_field(feature, material.config, DataType::Float32)));
    Arc::new(Schema::new(fields))
}

fn batch(
    material: &Material,
    target: &Target,
    split: &Split,
    rows: Rows,
    schema: &SchemaRef,
) -> Result<RecordBatch, Error> {
    let days = rows.keys.iter().map(|key| material.as_of(key));
    let fold = |key: &crate::features::RowKey| {
        split.role(material.as_of(key), key.hash).map(|role| match role {
            Role::Train => "train",
            Role::Validate => "validate",
            Role::Test => "test",
        })
    };
    let ships = |key: &crate::features::RowKey| Some(split.ships(material.as_of(key)));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(material.ids(&rows)?)),
        Arc::new(days.map(|day| Some(day.0)).collect::<Date32Array>()),
        Arc::new(rows.keys.iter().map(fold).collect::<StringArray>()),
        Arc::new(rows.keys.iter().map(ships).collect::<BooleanArray>()),
    ];
    for column in rows.table().columns() {
        arrays.push(Arc::new(Float32Array::from(column.to_vec())));
    }
    let inputs = Inputs::new(material, target, rows);
    for column in inputs.columns.columns() {
        let known = column.iter().map(|&value| (!value.is_nan()).then_some(value));
        arrays.push(Arc::new(known.collect::<Float32Array>()));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays).expect("one array for each field"))
}
