//! Row groups of Parquet files that need not be decoded, because their statistics say that no row of
//! theirs is known yet.

use arrow::datatypes::DataType;
use parquet::file::statistics::Statistics;

use super::columns::micros;
use super::decode::{FileLayout, Newness, Plan, Source};
use super::formats::parquet::ParquetFile;
use super::schema::Role;
use super::times::in_range;
use crate::time::DAY_MICROS;

/// No zone's offset goes beyond 26 hours, so two of its offsets differ by less than this.
const MOST_OFFSET_CHANGE: i64 = 2 * 26 * 3_600_000_000;

/// What the times of a row group say of all its rows alike, as [`Plan::newness`] says it of each; `None`
/// when they do not, when some row has no usable time, or when there are no statistics to tell.
pub(crate) fn newness(plan: &Plan, layout: &FileLayout, parquet: &ParquetFile, row_group: usize) -> Option<Newness> {
    plan.as_of?;
    let Source::Column(at) = *layout.source(Role::Ts) else { return None };
    let (low, high) = wall_times(plan, parquet, row_group, at)?;
    // A time out of range is a fault and not of the future.
    let (low, high) = (plan.newness(in_range(low).ok()?), plan.newness(in_range(high).ok()?));
    (low == high && low != Newness::Known).then_some(low)
}

/// Wall times between which all of a row group lie, when none is missing.
fn wall_times(plan: &Plan, parquet: &ParquetFile, row_group: usize, at: usize) -> Option<(i64, i64)> {
    let (kind, statistics) = parquet.statistics(row_group, at)?;
    if statistics.null_count_opt() != Some(0) {
        return None;
    }
    // Integers are never cut short: a bound that is not exact lies further out, which is as good here.
    let (low, high) = match statistics {
        Statistics::Int32(bounds) => (i64::from(*bounds.min_opt()?), i64::from(*bounds.max_opt()?)),
        Statistics::Int64(bounds) => (*bounds.min_opt()?, *bounds.max_opt()?),
        _ => return None, // the 96 bits of old writers have no order that writers agree on
    };
    let mut reader = plan.reader(Role::Ts, kind.is_integer());
    let is_instant = matches!(kind, DataType::Timestamp(_, Some(_))) || kind.is_integer();
    // Wall time goes back where a zone's offset falls: an earlier instant may have the later wall time.
    let margin = if is_instant && !reader.zone().is_utc() { MOST_OFFSET_CHANGE } else { 0 };
    let mut wall = |count: i64| match kind {
        DataType::Timestamp(unit, zone) => reader.typed(micros(count, *unit)?, zone.is_some()).ok(),
        DataType::Date32 => reader.typed(count.checked_mul(DAY_MICROS)?, false).ok(),
        kind if kind.is_signed_integer() && reader.is_count() => reader.integer(count).ok(),
        _ => None,
    };
    Some((wall(low)? - margin, wall(high)? + margin))
}
