//! Arrow columns of a Parquet piece → an [`EventBatch`]: the judgement of [`super::decode`], a column
//! at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, NullArray, RecordBatch,
    StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;

use super::batch::{EventBatch, Ids, Labels, NO_LABEL, order_hash, product_hash};
use super::decode::{
    Decoded, FileLayout, HashedTexts, LabelsBuilder, Newness, Plan, Source, customer, id_hash, is_no_text,
    number_reason, product, units,
};
use super::numbers::{self, NumberFault};
use super::rejects::{Reject, RejectReason, shortened};
use super::schema::{Kind, N_ROLES, Role};
use super::times::{TimeFault, TimeReader};
use crate::time::{DAY_MICROS, Day};

/// In place of a wall time: the cell is empty, is no time, is out of range.
const MISSING: i64 = i64::MIN;
const UNREADABLE: i64 = i64::MIN + 1;
const OUT_OF_RANGE: i64 = i64::MIN + 2;

/// Text of a column, with the rows that are no UTF-8.
struct Text {
    array: StringArray,
    bad: Vec<usize>,
}

/// Numbers of a column, NaN where there is none, with the rows that cannot be used in ascending order.
struct Numbers {
    values: Vec<f64>,
    bad: Vec<(usize, RejectReason)>,
}

/// Decodes one record batch that holds the columns `wanted` (ascending indices of the file's columns).
///
/// # Errors
/// When arrow cannot convert a column that the mapping found convertible.
pub(crate) fn decode(
    plan: &Plan,
    layout: &FileLayout,
    batch: &RecordBatch,
    wanted: &[usize],
    first_row: u64,
) -> Result<Decoded, ArrowError> {
    let n = batch.num_rows();
    let arrays = Role::ALL.map(|role| -> ArrayRef {
        match layout.source(role) {
            Source::Column(at) => {
                let position = wanted.binary_search(at).expect("every mapped column is read");
                Arc::clone(batch.column(position))
            }
            Source::Constant(Some(text)) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, n))),
            Source::Constant(None) | Source::Absent => Arc::new(NullArray::new(n)),
        }
    });
    let array = |role: Role| &arrays[role as usize];
    let numbers_of = |role: Role| -> Result<Option<Numbers>, ArrowError> {
        let is_read = plan.uses(role) || (role == Role::UnitPrice && plan.is_price_times_quantity);
        is_read.then(|| numbers(array(role), plan.decimal_comma[role as usize])).transpose()
    };

    let times = times(array(Role::Ts), |is_number| plan.reader(Role::Ts, is_number))?;
    let received = match plan.uses(Role::ReceivedAt) {
        true => Some(self::times(array(Role::ReceivedAt), |is_number| plan.reader(Role::ReceivedAt, is_number))?),
        false => None,
    };
    let quantity = numbers_of(Role::Quantity)?;
    let (price, value) = match plan.is_price_times_quantity {
        true => (numbers_of(Role::UnitPrice)?, None),
        false => (None, numbers_of(Role::Value)?),
    };
    let customers = text(array(Role::CustomerId))?;
    let mut texts: [Option<Text>; N_ROLES] = [const { None }; N_ROLES];
    for role in Role::ALL {
        let is_label = is_dictionary(array(role).data_type());
        if plan.uses(role) && role.kind() == Kind::Text && role != Role::CustomerId && !is_label {
            texts[role as usize] = Some(text(array(role))?);
        }
    }

    let mut judge = Judge { layout, first_row, bad: vec![None; n] };
    // The last word is the first judgement, so the columns are gone through backwards.
    for role in Role::ALL.into_iter().rev() {
        if let Some(text) = &texts[role as usize] {
            text.bad.iter().for_each(|&row| judge.bad[row] = Some((RejectReason::UnreadableText, role)));
        }
    }
    customers.bad.iter().for_each(|&row| judge.bad[row] = Some((RejectReason::UnreadableText, Role::CustomerId)));
    let mut values = value.as_ref().map_or_else(|| vec![f64::NAN; n], |value| value.values.clone());
    if let Some(quantity) = &quantity {
        for (row, &units_here) in quantity.values.iter().enumerate() {
            if units(units_here).is_none() {
                judge.bad[row] = Some((RejectReason::NonFiniteValue, Role::Quantity));
            }
        }
        if let Some(price) = &price {
            for row in 0..n {
                match product(price.values[row], quantity.values[row]) {
                    Some(money) => values[row] = money,
                    None => judge.bad[row] = Some((RejectReason::NonFiniteValue, Role::UnitPrice)),
                }
            }
        }
    }
    for (role, column) in [(Role::Value, &value), (Role::UnitPrice, &price), (Role::Quantity, &quantity)] {
        for &(row, reason) in column.iter().flat_map(|column| &column.bad) {
            judge.bad[row] = Some((reason, role));
        }
    }

    let mut out = Counts::default();
    let mut keep = vec![false; n];
    let mut names: Vec<Option<&str>> = Vec::with_capacity(n);
    let mut is_plain = true; // until the name of a kept row differs from its cell
    for row in 0..n {
        names.push(None);
        if let Some(fault) = fault_of(times[row], true) {
            out.rejects.push(judge.reject(row, fault, Role::Ts, array(Role::Ts)));
            continue;
        }
        match plan.newness(times[row]) {
            Newness::Future => {
                out.future += 1;
                continue;
            }
            Newness::Settling => {
                out.settling += 1;
                continue;
            }
            Newness::Known => {}
        }
        if let Some(received) = &received {
            if let Some(fault) = fault_of(received[row], false) {
                out.rejects.push(judge.reject(row, fault, Role::ReceivedAt, array(Role::ReceivedAt)));
                continue;
            }
            if received[row] != MISSING && plan.is_future(Day::of_wall(received[row]).0) {
                out.future += 1;
                continue;
            }
        }
        if let Some((reason, role)) = judge.bad[row] {
            out.rejects.push(judge.reject(row, reason, role, array(role)));
            continue;
        }
        let cell = if customers.array.is_null(row) { None } else { Some(customers.array.value(row)) };
        let Some(name) = cell.and_then(customer) else {
            out.anonymous += 1;
            out.anonymous_value += if values[row].is_nan() { 0.0 } else { values[row] };
            continue;
        };
        is_plain &= cell.is_some_and(|cell| cell.len() == name.len());
        names[row] = Some(name);
        keep[row] = true;
    }
    let is_whole = keep.iter().all(|&keep| keep);
    let kept = Kept { mask: (!is_whole).then(|| BooleanArray::from(keep.clone())), keep };

    let integers = match is_plain {
        true => integers(array(Role::CustomerId))?,
        false => None,
    };
    let customer = match integers {
        Some(integers) => Ids::Integers(kept.rows().map(|row| integers.value(row)).collect()),
        None => Ids::Texts(names.iter().flatten().map(Some).collect()),
    };
    let mut unnamed = 0;
    let event = if plan.uses(Role::Event) {
        let labels = labels(array(Role::Event), texts[Role::Event as usize].as_ref(), &kept, true);
        unnamed = labels.codes.iter().filter(|&&code| code == NO_LABEL).count() as u64;
        labels
    } else {
        let mut builder = LabelsBuilder::default();
        let no_units = f64::NAN;
        for row in kept.rows() {
            let units = quantity.as_ref().map_or(no_units, |quantity| quantity.values[row]);
            builder.push(Some(plan.implied_event(values[row], units)));
        }
        builder.finish()
    };
    let label = |role: Role| plan.uses(role).then(|| labels(array(role), texts[role as usize].as_ref(), &kept, false));
    let plain = |role: Role, is_trimmed: bool| -> Result<Option<StringArray>, ArrowError> {
        if !plan.uses(role) {
            return Ok(None);
        }
        match &texts[role as usize] {
            Some(text) => kept.text(&cleaned(&text.array, is_trimmed)).map(Some),
            None => kept.text(&cleaned(&text(array(role))?.array, is_trimmed)).map(Some), // a dictionary
        }
    };
    let (product, order) = (plain(Role::Product, false)?, plain(Role::OrderId, true)?);
    let event_ids = plain(Role::EventId, true)?.map(|ids| (ids.iter().map(|id| id.map_or(0, id_hash)).collect(), ids));
    Ok(Decoded {
        file: layout.index,
        batch: EventBatch {
            customer,
            received: received.map(|days| {
                let day = |row: usize| if days[row] == MISSING { times[row] } else { days[row] };
                kept.rows().map(|row| Day::of_wall(day(row)).0).collect()
            }),
            event,
            category: label(Role::Category),
            channel: label(Role::Channel),
            device: label(Role::Device),
            campaign: label(Role::Campaign),
            value: plan.has_value().then(|| kept.plain(&values)),
            quantity: quantity.map(|quantity| kept.rows().map(|row| quantity.values[row] as f32).collect()),
            product: product.as_ref().map(|texts| texts.iter().map(|text| text.map_or(0, product_hash)).collect()),
            order: order.as_ref().map(|texts| texts.iter().map(|text| text.map_or(0, order_hash)).collect()),
            extras: Vec::new(),
            conditions: Vec::new(),
            time: kept.plain(&times),
        },
        rows: n as u64,
        row_numbers: if plan.keeps_rows { kept.rows().map(|row| first_row + row as u64).collect() } else { Vec::new() },
        event_ids,
        texts: if plan.keeps_texts { HashedTexts { product, order } } else { HashedTexts::default() },
        anonymous: out.anonymous,
        anonymous_value: out.anonymous_value,
        future: out.future,
        settling: out.settling,
        unnamed,
        rejects: out.rejects,
    })
}

#[derive(Default)]
struct Counts {
    anonymous: u64,
    anonymous_value: f64,
    future: u64,
    settling: u64,
    rejects: Vec<Reject>,
}

struct Judge<'a> {
    layout: &'a FileLayout,
    first_row: u64,
    bad: Vec<Option<(RejectReason, Role)>>,
}

impl Judge<'_> {
    fn reject(&self, row: usize, reason: RejectReason, role: Role, array: &ArrayRef) -> Reject {
        Reject {
            file: self.layout.name.clone(),
            row: self.first_row + row as u64,
            reason,
            column: self.layout.column(role),
            found: shown(array, row),
        }
    }
}

/// A cell as messages show it.
fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    // Integers of an extreme date do not convert; the type's own number does.
    let text = arrow::util::display::array_value_to_string(array, row);
    shortened(text.unwrap_or_else(|_| format!("a {} that cannot be shown", array.data_type())).as_bytes())
}

fn fault_of(time: i64, is_required: bool) -> Option<RejectReason> {
    match time {
        MISSING if is_required => Some(RejectReason::UnreadableTime),
        UNREADABLE => Some(RejectReason::UnreadableTime),
        OUT_OF_RANGE => Some(RejectReason::TimeOutOfRange),
        _ => None,
    }
}

/// The rows of a batch that become events.
struct Kept {
    keep: Vec<bool>,
    /// `None` when it is all of them.
    mask: Option<BooleanArray>,
}

impl Kept {
    fn rows(&self) -> impl Iterator<Item = usize> {
        self.keep.iter().enumerate().filter_map(|(row, &keep)| keep.then_some(row))
    }

    fn text(&self, array: &StringArray) -> Result<StringArray, ArrowError> {
        match &self.mask {
            None => Ok(array.clone()),
            Some(mask) => Ok(arrow::compute::filter(array, mask)?.as_string::<i32>().clone()),
        }
    }

    fn plain<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match self.mask {
            None => values.to_vec(),
            Some(_) => self.rows().map(|row| values[row]).collect(),
        }
    }
}

/// Cells that stand for nothing become null; with `is_trimmed`, blanks around the others go.
fn cleaned(array: &StringArray, is_trimmed: bool) -> StringArray {
    let is_clean = |cell: &str| !is_no_text(cell) && (!is_trimmed || cell.trim().len() == cell.len());
    if array.iter().flatten().all(is_clean) {
        return array.clone();
    }
    let clean = |cell: &str| -> Option<String> {
        (!is_no_text(cell)).then(|| if is_trimmed { cell.trim().to_string() } else { cell.to_string() })
    };
    array.iter().map(|cell| cell.and_then(clean)).collect()
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(keys, values) if **keys == DataType::Int32 && **values == DataType::Utf8)
}

/// Labels of the kept rows: through the file's own dictionary where it has one.
fn labels(array: &ArrayRef, text: Option<&Text>, kept: &Kept, is_trimmed: bool) -> Labels {
    let mut builder = LabelsBuilder::default();
    let clean = |cell: &str| -> Option<String> {
        (!is_no_text(cell)).then(|| if is_trimmed { cell.trim().to_string() } else { cell.to_string() })
    };
    if let Some(text) = text {
        for row in kept.rows() {
            let cell = (!text.array.is_null(row)).then(|| text.array.value(row)).filter(|cell| !is_no_text(cell));
            builder.push(cell.map(|cell| if is_trimmed { cell.trim() } else { cell }));
        }
        return builder.finish();
    }
    const UNSEEN: u32 = NO_LABEL - 1;
    let dictionary = array.as_dictionary::<Int32Type>();
    let names = dictionary.values().as_string::<i32>();
    let keys = dictionary.keys();
    let mut codes = vec![UNSEEN; names.len()];
    for row in kept.rows() {
        if keys.is_null(row) {
            builder.push_code(NO_LABEL);
            continue;
        }
        let key = keys.value(row) as usize;
        if codes[key] == UNSEEN {
            let name = if names.is_null(key) { None } else { clean(names.value(key)) };
            codes[key] = name.map_or(NO_LABEL, |name| builder.code(&name));
        }
        builder.push_code(codes[key]);
    }
    builder.finish()
}

/// Wall times, or one of the marks above.
fn times(array: &ArrayRef, reader: impl Fn(bool) -> TimeReader) -> Result<Vec<i64>, ArrowError> {
    let mark = |time: Result<i64, TimeFault>| match time {
        Ok(time) => time,
        Err(TimeFault::Unreadable) => UNREADABLE,
        Err(TimeFault::OutOfRange) => OUT_OF_RANGE,
    };
    Ok(match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            let (reader, is_instant) = (reader(false), zone.is_some());
            let micros = |count: i64| match unit {
                TimeUnit::Second => count.checked_mul(1_000_000),
                TimeUnit::Millisecond => count.checked_mul(1_000),
                TimeUnit::Microsecond => Some(count),
                TimeUnit::Nanosecond => Some(count.div_euclid(1_000)),
            };
            let counts = cast(array, &DataType::Int64)?;
            let wall = |count: i64| {
                mark(micros(count).ok_or(TimeFault::OutOfRange).and_then(|micros| reader.typed(micros, is_instant)))
            };
            counts.as_primitive::<Int64Type>().iter().map(|count| count.map_or(MISSING, wall)).collect()
        }
        DataType::Date32 => {
            let reader = reader(false);
            let days = cast(array, &DataType::Int32)?;
            let wall = |day: i32| mark(reader.typed(i64::from(day) * DAY_MICROS, false));
            days.as_primitive::<Int32Type>().iter().map(|day| day.map_or(MISSING, wall)).collect()
        }
        DataType::Date64 => {
            let reader = reader(false);
            let millis = cast(array, &DataType::Int64)?;
            let wall = |millis: i64| {
                mark(
                    millis
                        .checked_mul(1000)
                        .ok_or(TimeFault::OutOfRange)
                        .and_then(|micros| reader.typed(micros, false)),
                )
            };
            millis.as_primitive::<Int64Type>().iter().map(|count| count.map_or(MISSING, wall)).collect()
        }
        DataType::UInt64 => {
            let mut reader = reader(true);
            let wide = array.as_primitive::<arrow::datatypes::UInt64Type>();
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
        other
            if other.is_floating()
                || matches!(super::formats::parquet::cell_type(other), super::schema::CellType::Decimal) =>
        {
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
    })
}

fn numbers(array: &ArrayRef, decimal_comma: bool) -> Result<Numbers, ArrowError> {
    use super::schema::CellType;
    let mut bad = Vec::new();
    let values = match super::formats::parquet::cell_type(array.data_type()) {
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
            values
        }
        CellType::Null => vec![f64::NAN; array.len()],
        _ => {
            let floats = cast(array, &DataType::Float64)?;
            let floats: &Float64Array = floats.as_primitive();
            let mut values = Vec::with_capacity(array.len());
            for (row, &number) in floats.values().iter().enumerate() {
                let is_there = !floats.is_null(row);
                if is_there && !number.is_finite() {
                    bad.push((row, number_reason(NumberFault::NonFinite)));
                }
                values.push(if is_there && number.is_finite() { number } else { f64::NAN });
            }
            values
        }
    };
    Ok(Numbers { values, bad })
}

/// A column of integers that all fit into 64 bits with a sign.
fn integers(array: &ArrayRef) -> Result<Option<Int64Array>, ArrowError> {
    if !array.data_type().is_integer() {
        return Ok(None);
    }
    let integers = cast(array, &DataType::Int64)?; // what does not fit becomes null
    Ok((integers.null_count() == array.null_count()).then(|| integers.as_primitive::<Int64Type>().clone()))
}

/// Any column as text: whole floats without a fraction, UUIDs with hyphens.
fn text(array: &ArrayRef) -> Result<Text, ArrowError> {
    let mut bad = Vec::new();
    let array = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().clone(),
        DataType::Null => StringArray::new_null(array.len()),
        DataType::Dictionary(_, values) => return text(&cast(array, values)?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let binary = cast(array, &DataType::LargeBinary)?;
            let mut builder = StringBuilder::new();
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
        _ => cast(array, &DataType::Utf8)?.as_string::<i32>().clone(),
    };
    Ok(Text { array, bad })
}

fn uuids(array: &FixedSizeBinaryArray) -> StringArray {
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

/// Non-empty cells of a column as text, for detection; times as microseconds since 1970.
pub(crate) fn sample(array: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    use super::schema::CellType;
    let array = match super::formats::parquet::cell_type(array.data_type()) {
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
