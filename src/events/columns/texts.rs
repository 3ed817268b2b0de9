//! Text of a column, whatever its type.

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, StringViewArray, StringViewBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;

use crate::events::decode::{customer, is_no_text};
use crate::events::formats::parquet::cell_type;
use crate::events::schema::CellType;
use crate::time::DAY_MICROS;

/// Text of a column, with the rows that are no UTF-8 (null in the array).
pub(super) struct Text {
    pub array: StringViewArray,
    pub bad: Vec<usize>,
}

/// Any column as text: whole floats without a fraction, UUIDs with hyphens.
pub(super) fn text(array: &ArrayRef) -> Result<Text, ArrowError> {
    let mut bad = Vec::new();
    let array = match array.data_type() {
        DataType::Utf8View => array.as_string_view().clone(),
        DataType::Utf8 | DataType::LargeUtf8 => cast(array, &DataType::Utf8View)?.as_string_view().clone(),
        DataType::Null => new_null_array(&DataType::Utf8View, array.len()).as_string_view().clone(),
        DataType::Dictionary(_, values) => return text(&cast(array, values)?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let binary = cast(array, &DataType::LargeBinary)?;
            let mut builder = StringViewBuilder::new();
            for (row, cell) in binary.as_binary::<i64>().iter().enumerate() {
                let cell = cell.map(std::str::from_utf8).transpose();
                bad.extend(cell.is_err().then_some(row));
                builder.append_option(cell.ok().flatten());
            }
            builder.finish()
        }
        DataType::FixedSizeBinary(16) => uuids(array.as_fixed_size_binary()),
        other if other.is_floating() => {
            let floats = cast(array, &DataType::Float64)?;
            // Display of a float is its shortest form that reads back, without an exponent.
            floats.as_primitive::<Float64Type>().iter().map(|number| number.map(|number| format!("{number}"))).collect()
        }
        DataType::Timestamp(unit, Some(_)) => {
            // As an instant: its zone's database is not needed to tell it apart.
            let counts = cast(array, &DataType::Int64)?;
            return text(&cast(&counts, &DataType::Timestamp(*unit, None))?);
        }
        _ => cast(&cast(array, &DataType::Utf8)?, &DataType::Utf8View)?.as_string_view().clone(),
    };
    Ok(Text { array, bad })
}

fn uuids(array: &FixedSizeBinaryArray) -> StringViewArray {
    use std::fmt::Write;
    let shown = |bytes: &[u8]| {
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            let _ = write!(text, "{hyphen}{byte:02x}"); // to a String: cannot fail
        }
        text
    };
    array.iter().map(|cell| cell.map(shown)).collect()
}

/// A column of integers that all fit into 64 bits with a sign.
pub(super) fn integers(array: &ArrayRef) -> Result<Option<Int64Array>, ArrowError> {
    if !array.data_type().is_integer() {
        return Ok(None);
    }
    let integers = cast(array, &DataType::Int64)?; // what does not fit becomes null
    Ok((integers.null_count() == array.null_count()).then(|| integers.as_primitive::<Int64Type>().clone()))
}

/// Customers of a column; null where there is none.
pub(super) enum Customers {
    Integers(Int64Array),
    Texts(StringViewArray),
}

impl Customers {
    /// The customers, and the rows whose text is no UTF-8.
    pub fn of(array: &ArrayRef) -> Result<(Self, Vec<usize>), ArrowError> {
        if let Some(integers) = integers(array)? {
            return Ok((Self::Integers(integers), Vec::new()));
        }
        let Text { array, bad } = text(array)?;
        let is_plain = |cell: &str| is_plain_customer(cell) || customer(cell) == Some(cell);
        let all_plain = match array.null_count() {
            0 => (0..array.len()).all(|row| is_plain(array.value(row))),
            _ => array.iter().flatten().all(is_plain),
        };
        if all_plain {
            return Ok((Self::Texts(array), bad));
        }
        Ok((Self::Texts(array.iter().map(|cell| cell.and_then(customer)).collect()), bad))
    }

    pub fn array(&self) -> &dyn Array {
        match self {
            Self::Integers(ids) => ids,
            Self::Texts(ids) => ids,
        }
    }
}

/// Whether a cell is certainly a customer as it stands: what is missing starts with `n`, `<` or `\`, and
/// only a fraction ends in `.0`.
fn is_plain_customer(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_graphic()
        && last.is_ascii_graphic()
        && !matches!(first, b'n' | b'N' | b'<' | b'\\')
        && !(*last == b'0' && bytes.contains(&b'.'))
}

/// A cell's label; `None` when it stands for nothing.
pub(super) fn label(cell: &str, is_trimmed: bool) -> Option<&str> {
    (!is_no_text(cell)).then(|| if is_trimmed { cell.trim() } else { cell })
}

/// Cells that stand for nothing become null; with `is_trimmed`, blanks around the others go.
pub(super) fn cleaned(array: &StringViewArray, is_trimmed: bool) -> StringViewArray {
    if array.iter().flatten().all(|cell| label(cell, is_trimmed).is_some_and(|label| label.len() == cell.len())) {
        return array.clone();
    }
    array.iter().map(|cell| cell.and_then(|cell| label(cell, is_trimmed))).collect()
}

/// Non-empty cells of a column as text, for detection; times as microseconds since 1970.
pub(crate) fn sample(array: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    let array = match cell_type(array.data_type()) {
        CellType::Other => return Ok(Vec::new()),
        CellType::Time => {
            // Beyond what 64 bits hold, the largest number stands for all that is out of range.
            let per_unit = match array.data_type() {
                DataType::Timestamp(TimeUnit::Second, _) => 1e6,
                DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1e3,
                DataType::Timestamp(TimeUnit::Nanosecond, _) => 1e-3,
                DataType::Date32 => DAY_MICROS as f64,
                _ => 1.0,
            };
            let counts = match array.data_type() {
                DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
                _ => cast(array, &DataType::Int64)?,
            };
            let micros =
                counts.as_primitive::<Int64Type>().iter().flatten().map(|count| (count as f64 * per_unit) as i64);
            return Ok(micros.map(|micros| micros.to_string()).collect());
        }
        _ => text(array)?.array,
    };
    Ok(array.iter().flatten().filter(|cell| !cell.trim().is_empty()).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_plain_customer_is_what_the_full_rule_leaves_alone(cell in "[ nN<\\\\aA0.1\u{a0}-]{0,5}|nan|null|NaT|1\\.00|x0") {
            if is_plain_customer(&cell) {
                proptest::prop_assert_eq!(customer(&cell), Some(cell.as_str()));
            }
        }
    }
}
