//! A column as wall times.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, UInt64Type};
use arrow::error::ArrowError;

use super::texts::text;
use super::values::Values;
use crate::events::decode::range;
use crate::events::formats::parquet::cell_type;
use crate::events::numbers;
use crate::events::rejects::RejectReason;
use crate::events::schema::CellType;
use crate::events::times::{TimeFault, TimeReader, in_range};
use crate::time::DAY_MICROS;

/// In place of a wall time: the cell is empty, is no time, is out of range.
pub(super) const MISSING: i64 = i64::MIN;
const UNREADABLE: i64 = i64::MIN + 1;
const OUT_OF_RANGE: i64 = i64::MIN + 2;

/// What is wrong with a time.
pub(super) fn fault_of(time: i64, is_required: bool) -> Option<RejectReason> {
    match time {
        MISSING if is_required => Some(RejectReason::UnreadableTime),
        UNREADABLE => Some(RejectReason::UnreadableTime),
        OUT_OF_RANGE => Some(RejectReason::TimeOutOfRange),
        _ => None,
    }
}

/// Microseconds of a count in `unit`; `None` beyond 64 bits.
pub(crate) fn micros(count: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => count.checked_mul(1_000_000),
        TimeUnit::Millisecond => count.checked_mul(1_000),
        TimeUnit::Microsecond => Some(count),
        TimeUnit::Nanosecond => Some(count.div_euclid(1_000)),
    }
}

fn mark(time: Result<i64, TimeFault>) -> i64 {
    match time {
        Ok(time) => time,
        Err(TimeFault::Unreadable) => UNREADABLE,
        Err(TimeFault::OutOfRange) => OUT_OF_RANGE,
    }
}

/// Wall times, or one of the marks above.
pub(super) fn times(array: &ArrayRef, reader: impl Fn(bool) -> TimeReader) -> Result<Values<i64>, ArrowError> {
    Ok(Values::Made(match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            let (reader, is_instant) = (reader(false), zone.is_some());
            let counts = cast(array, &DataType::Int64)?;
            let counts = counts.as_primitive::<Int64Type>();
            let is_wall = *unit == TimeUnit::Microsecond && (!is_instant || reader.zone().is_utc());
            if is_wall
                && counts.null_count() == 0
                && range(counts.values()).is_none_or(|(low, high)| in_range(low).is_ok() && in_range(high).is_ok())
            {
                return Ok(Values::Shared(counts.values().clone()));
            }
            let wall = |count: i64| {
                mark(
                    micros(count, *unit)
                        .ok_or(TimeFault::OutOfRange)
                        .and_then(|micros| reader.typed(micros, is_instant)),
                )
            };
            counts.iter().map(|count| count.map_or(MISSING, wall)).collect()
        }
        DataType::Date32 => {
            let reader = reader(false);
            let days = cast(array, &DataType::Int32)?;
            let start = |day: i32| i64::from(day).checked_mul(DAY_MICROS).ok_or(TimeFault::OutOfRange);
            let wall = |day: i32| mark(start(day).and_then(|micros| reader.typed(micros, false)));
            days.as_primitive::<Int32Type>().iter().map(|day| day.map_or(MISSING, wall)).collect()
        }
        DataType::Date64 => {
            let reader = reader(false);
            let millis = cast(array, &DataType::Int64)?;
            let wall = |count: i64| {
                mark(
                    micros(count, TimeUnit::Millisecond)
                        .ok_or(TimeFault::OutOfRange)
                        .and_then(|micros| reader.typed(micros, false)),
                )
            };
            millis.as_primitive::<Int64Type>().iter().map(|count| count.map_or(MISSING, wall)).collect()
        }
        DataType::UInt64 => {
            let mut reader = reader(true);
            let wide = array.as_primitive::<UInt64Type>();
            let mut wall = |count: u64| {
                mark(i64::try_from(count).map_err(|_| TimeFault::OutOfRange).and_then(|count| reader.integer(count)))
            };
            wide.iter().map(|count| count.map_or(MISSING, &mut wall)).collect()
        }
        other if other.is_integer() => {
            let mut reader = reader(true);
            let counts = cast(array, &DataType::Int64)?;
            counts
                .as_primitive::<Int64Type>()
                .iter()
                .map(|count| count.map_or(MISSING, |count| mark(reader.integer(count))))
                .collect()
        }
        other if other.is_floating() || matches!(cell_type(other), CellType::Decimal) => {
            let mut reader = reader(true);
            let counts = cast(array, &DataType::Float64)?;
            let mut wall = |count: f64| if count.is_nan() { MISSING } else { mark(reader.decimal(count)) };
            counts.as_primitive::<Float64Type>().iter().map(|count| count.map_or(MISSING, &mut wall)).collect()
        }
        _ => {
            let mut reader = reader(false);
            let text = text(array)?;
            let mut wall = |cell: &str| {
                if numbers::is_missing(cell.trim().as_bytes()) { MISSING } else { mark(reader.text(cell.as_bytes())) }
            };
            let mut times: Vec<i64> = text.array.iter().map(|cell| cell.map_or(MISSING, &mut wall)).collect();
            text.bad.iter().for_each(|&row| times[row] = UNREADABLE);
            times
        }
    }))
}
