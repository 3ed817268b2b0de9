//! A column as numbers.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::texts::text;
use super::values::Values;
use crate::events::decode::number_reason;
use crate::events::extras;
use crate::events::formats::parquet::cell_type;
use crate::events::numbers::{self, NumberFault};
use crate::events::rejects::RejectReason;
use crate::events::schema::CellType;

/// Numbers of a column, NaN where there is none, with the rows that cannot be used in ascending order.
pub(super) struct Numbers {
    pub values: Values<f64>,
    pub bad: Vec<(usize, RejectReason)>,
}

/// The numbers of a column of ours, in which NaN is a fault.
pub(super) fn numbers(array: &ArrayRef, decimal_comma: bool) -> Result<Numbers, ArrowError> {
    let mut bad = Vec::new();
    let values = match cell_type(array.data_type()) {
        CellType::Text => {
            let text = text(array)?;
            let mut values = Vec::with_capacity(array.len());
            for (row, cell) in text.array.iter().enumerate() {
                values.push(numbers::number(cell.unwrap_or_default().as_bytes(), decimal_comma).unwrap_or_else(
                    |fault| {
                        bad.push((row, number_reason(fault)));
                        f64::NAN
                    },
                ));
            }
            bad.extend(text.bad.iter().map(|&row| (row, RejectReason::UnreadableText)));
            bad.sort_by_key(|&(row, _)| row);
            Values::Made(values)
        }
        CellType::Null => Values::Made(vec![f64::NAN; array.len()]),
        _ => typed(array, |row, _| bad.push((row, number_reason(NumberFault::NonFinite))))?,
    };
    Ok(Numbers { values, bad })
}

/// The numbers of a column that is none of ours, NaN where there is none, with the rows that hold
/// something else than a finite number or nothing.
pub(super) fn extra_numbers(array: &ArrayRef, decimal_comma: bool) -> Result<(Values<f64>, Vec<usize>), ArrowError> {
    let mut bad = Vec::new();
    let values = match cell_type(array.data_type()) {
        CellType::Text => {
            let text = text(array)?;
            bad.extend(&text.bad);
            let number = |(row, cell): (usize, Option<&str>)| {
                let number = cell.map_or(Some(f64::NAN), |cell| extras::number(cell.as_bytes(), decimal_comma));
                number.unwrap_or_else(|| {
                    bad.push(row);
                    f64::NAN
                })
            };
            Values::Made(text.array.iter().enumerate().map(number).collect())
        }
        CellType::Null => Values::Made(vec![f64::NAN; array.len()]),
        _ => typed(array, |row, number| bad.extend((!number.is_nan()).then_some(row)))?,
    };
    bad.sort_unstable();
    Ok((values, bad))
}

/// NaN in place of null and of what is not finite; `tell` is called with the latter.
fn typed(array: &ArrayRef, mut tell: impl FnMut(usize, f64)) -> Result<Values<f64>, ArrowError> {
    let floats = cast(array, &DataType::Float64)?;
    let floats: &Float64Array = floats.as_primitive();
    // Without a branch, so that it is done many numbers at a time.
    if floats.null_count() == 0 && floats.values().iter().fold(true, |all, number| all & number.is_finite()) {
        return Ok(Values::Shared(floats.values().clone()));
    }
    let number = |(row, number): (usize, Option<f64>)| match number {
        Some(number) if number.is_finite() => number,
        Some(number) => {
            tell(row, number);
            f64::NAN
        }
        None => f64::NAN,
    };
    Ok(Values::Made(floats.iter().enumerate().map(number).collect()))
}
