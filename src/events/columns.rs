//! Arrow columns of a Parquet piece → an [`EventBatch`](super::batch::EventBatch): the judgement of [`super::decode`], a column
//! at a time.
//!
//! Where every row of a batch becomes an event, which the columns tell as a whole, no row is looked at by
//! itself and no value is copied.

mod floats;
mod labels;
mod texts;
mod times;
mod values;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullArray, RecordBatch, StringViewArray};
use arrow::compute::filter;
use arrow::error::ArrowError;

use self::floats::Numbers;
use self::labels::Names;
use self::texts::{Customers, Text};
use self::times::{MISSING, fault_of};
use self::values::{Kept, Values};
use super::batch::{Extra, ExtraValues, Ids, Labels, NO_LABEL, order_hash, product_hash};
use super::decode::{
    Decoded, FileLayout, HashedTexts, LabelsBuilder, Moment, Newness, Plan, Source, id_hash, nothing, product, range,
    units,
};
use super::rejects::{Reject, RejectReason, shortened};
use super::schema::{Kind, N_ROLES, Role};
use crate::time::Day;

pub(crate) use self::texts::sample;
pub(crate) use self::times::micros;

/// Decodes one record batch that holds the columns `wanted` (ascending indices of the file's columns).
///
/// # Errors
/// When arrow cannot convert a column that the mapping found convertible.
pub(crate) fn decode(
    plan: &Plan,
    layout: &FileLayout,
    batch: RecordBatch,
    wanted: &[usize],
    first_row: u64,
) -> Result<Decoded, ArrowError> {
    let n = batch.num_rows();
    let array_of = |source: &Source| -> ArrayRef {
        match source {
            Source::Column(at) => {
                let position = wanted.binary_search(at).expect("every column that is asked for is read");
                Arc::clone(batch.column(position))
            }
            Source::Constant(Some(text)) => Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text, n))),
            Source::Constant(None) | Source::Absent => Arc::new(NullArray::new(n)),
        }
    };
    let arrays = Role::ALL.map(|role| array_of(layout.source(role)));
    let extras: Vec<ArrayRef> = plan.extras.iter().map(|extra| array_of(&layout.extras[extra.at])).collect();
    drop(batch); // so that values can be taken over from the arrays
    let columns = Columns::read(plan, &arrays)?;
    let mut out = nothing(layout.index);
    out.rows = n as u64;
    let kept = columns.judge(plan, layout, &arrays, first_row, &mut out);

    out.texts = columns.hashed_texts(plan, &arrays, &kept)?;
    for (index, (extra, array)) in plan.extras.iter().zip(extras).enumerate() {
        let (values, bad) = if extra.is_number {
            let (numbers, bad) = floats::extra_numbers(&array, extra.decimal_comma)?;
            drop(array);
            (ExtraValues::Numbers(kept.pick(numbers)), bad)
        } else {
            let names = Names::of(&array)?;
            (ExtraValues::Labels(names.labels(&kept, true)), names.bad().to_vec())
        };
        out.batch.extras.push(Extra { name: Arc::clone(&extra.name), values });
        out.extra_faults.extend(kept.positions(&bad).map(|event| (index, event)));
    }
    if plan.keeps_rows {
        out.row_numbers = kept.map(|row| first_row + row as u64);
    }
    drop(arrays);
    columns.finish(plan, &kept, &mut out)?;
    Ok(out)
}

/// The columns of ours, each in the form in which batches keep it.
struct Columns {
    times: Values<i64>,
    received: Option<Values<i64>>,
    customers: Customers,
    bad_customers: Vec<usize>,
    names: [Option<Names>; N_ROLES],
    event_ids: Option<Text>,
    /// Money; that of rows whose price × units overflows is NaN.
    values: Option<Values<f64>>,
    quantities: Option<Values<f64>>,
    /// Unusable numbers by column, in the order in which they are judged.
    bad_numbers: [(Role, Vec<(usize, RejectReason)>); 5],
}

impl Columns {
    fn read(plan: &Plan, arrays: &[ArrayRef; N_ROLES]) -> Result<Self, ArrowError> {
        let array = |role: Role| &arrays[role as usize];
        let times_of = |role: Role| times::times(array(role), |is_number| plan.reader(role, is_number));
        let numbers_of = |is_read: bool, role: Role| -> Result<Option<Numbers>, ArrowError> {
            is_read.then(|| floats::numbers(array(role), plan.decimal_comma[role as usize])).transpose()
        };
        let quantity = numbers_of(plan.uses(Role::Quantity), Role::Quantity)?;
        let price = numbers_of(plan.is_price_times_quantity, Role::UnitPrice)?;
        let value = numbers_of(plan.uses(Role::Value) && !plan.is_price_times_quantity, Role::Value)?;
        let (quantities, bad_quantities) = quantity.map(|column| (column.values, column.bad)).unzip();
        let (prices, bad_prices) = price.map(|column| (column.values, column.bad)).unzip();
        let (mut values, bad_values) = value.map(|column| (column.values, column.bad)).unzip();
        let (mut overflown, mut too_many) = (Vec::new(), Vec::new());
        if let Some(quantities) = &quantities {
            let is_too_many = |&row: &usize| units(quantities[row]).is_none();
            let beyond = |row: usize| (row, RejectReason::NonFiniteValue);
            too_many = (0..quantities.len()).filter(is_too_many).map(beyond).collect();
            if let Some(prices) = &prices {
                let money = |(row, (&price, &quantity)): (usize, (&f64, &f64))| {
                    product(price, quantity).unwrap_or_else(|| {
                        overflown.push(beyond(row));
                        f64::NAN
                    })
                };
                let both = prices.iter().zip(quantities.iter());
                values = Some(Values::Made(both.enumerate().map(money).collect()));
            }
        }
        let (customers, bad_customers) = Customers::of(array(Role::CustomerId))?;
        let mut names = [const { None }; N_ROLES];
        for role in Role::ALL {
            if plan.uses(role) && role.kind() == Kind::Text && !matches!(role, Role::CustomerId | Role::EventId) {
                names[role as usize] = Some(Names::of(array(role))?);
            }
        }
        Ok(Self {
            times: times_of(Role::Ts)?,
            received: plan.uses(Role::ReceivedAt).then(|| times_of(Role::ReceivedAt)).transpose()?,
            customers,
            bad_customers,
            names,
            event_ids: plan.uses(Role::EventId).then(|| texts::text(array(Role::EventId))).transpose()?,
            values,
            quantities,
            bad_numbers: [
                (Role::Quantity, bad_quantities.unwrap_or_default()),
                (Role::UnitPrice, bad_prices.unwrap_or_default()),
                (Role::Value, bad_values.unwrap_or_default()),
                (Role::UnitPrice, overflown),
                (Role::Quantity, too_many),
            ],
        })
    }

    /// Unusable rows in the order in which they are judged: numbers, the customer, other text.
    fn faults(&self) -> impl Iterator<Item = (usize, RejectReason, Role)> {
        let numbers =
            self.bad_numbers.iter().flat_map(|(role, bad)| bad.iter().map(|&(row, reason)| (row, reason, *role)));
        let texts = Role::ALL.into_iter().flat_map(|role| {
            let bad: &[usize] = match role {
                Role::CustomerId => &self.bad_customers,
                Role::EventId => self.event_ids.as_ref().map_or(&[], |ids| &ids.bad),
                _ => self.names[role as usize].as_ref().map_or(&[], Names::bad),
            };
            bad.iter().map(move |&row| (row, RejectReason::UnreadableText, role))
        });
        numbers.chain(texts)
    }

    /// Counts the rows that become no events; returned are the others.
    fn judge(
        &self,
        plan: &Plan,
        layout: &FileLayout,
        arrays: &[ArrayRef; N_ROLES],
        first_row: u64,
        out: &mut Decoded,
    ) -> Kept {
        let n = self.times.len();
        let is_known =
            |(low, high): (i64, i64)| fault_of(low, true).is_none() && matches!(plan.newness(high), Newness::Known);
        let is_received = |received: &Values<i64>| {
            let fits = |&time: &i64| {
                fault_of(time, false).is_none() && (time == MISSING || !plan.is_future(Day::of_wall(time).0))
            };
            received.iter().all(fits)
        };
        // Any mark of a fault is lower than any time.
        if range(&self.times).is_none_or(is_known)
            && self.received.as_ref().is_none_or(is_received)
            && self.faults().next().is_none()
            && self.customers.array().null_count() == 0
        {
            return Kept::all(n);
        }
        let mut faults: Vec<Option<(RejectReason, Role)>> = Vec::new();
        for (row, reason, role) in self.faults() {
            faults.resize(n, None);
            faults[row].get_or_insert((reason, role));
        }
        let mut reject = |row: usize, reason, role: Role, moment: Option<Moment>| {
            if plan.keeps_moments {
                out.reject_moments.push(moment);
            }
            out.rejects.push(Reject {
                file: layout.name.clone(),
                row: first_row + row as u64,
                reason,
                column: layout.column(role),
                found: shown(&arrays[role as usize], row),
            });
        };
        let mut rows = Vec::with_capacity(n);
        for row in 0..n {
            let time = self.times[row];
            if let Some(reason) = fault_of(time, true) {
                reject(row, reason, Role::Ts, None);
                continue;
            }
            match plan.newness(time) {
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
            let mut moment = Moment::of(time);
            if let Some(received) = &self.received {
                if let Some(reason) = fault_of(received[row], false) {
                    reject(row, reason, Role::ReceivedAt, Some(moment));
                    continue;
                }
                if received[row] != MISSING {
                    moment.received = Day::of_wall(received[row]).0;
                }
                if plan.is_future(moment.received) {
                    out.future += 1;
                    continue;
                }
            }
            if let Some(Some((reason, role))) = faults.get(row) {
                reject(row, *reason, *role, Some(moment));
                continue;
            }
            if self.customers.array().is_null(row) {
                out.anonymous += 1;
                let value = self.values.as_ref().map_or(f64::NAN, |values| values[row]);
                let money = if value.is_nan() { 0.0 } else { value };
                out.anonymous_value.add(money);
                if plan.keeps_moments {
                    out.anonymous_moments.push((moment, money));
                }
                continue;
            }
            rows.push(row as u32);
        }
        Kept::some(n, rows)
    }

    /// Texts that `check` asks for.
    fn hashed_texts(&self, plan: &Plan, arrays: &[ArrayRef; N_ROLES], kept: &Kept) -> Result<HashedTexts, ArrowError> {
        let of = |role: Role, is_trimmed: bool| {
            let is_kept = plan.keeps_texts && plan.uses(role);
            is_kept.then(|| kept_texts(&texts::text(&arrays[role as usize])?.array, kept, is_trimmed)).transpose()
        };
        Ok(HashedTexts { product: of(Role::Product, false)?, order: of(Role::OrderId, true)? })
    }

    /// The batch of the kept rows.
    fn finish(self, plan: &Plan, kept: &Kept, out: &mut Decoded) -> Result<(), ArrowError> {
        let names = |role: Role| self.names[role as usize].as_ref();
        let label = |role: Role, is_trimmed: bool| names(role).map(|names| names.labels(kept, is_trimmed));
        let batch = &mut out.batch;
        batch.event = match label(Role::Event, true) {
            Some(labels) => {
                out.unnamed = labels.codes.iter().filter(|&&code| code == NO_LABEL).count() as u64;
                labels
            }
            None => self.implied_events(plan, kept),
        };
        batch.category = label(Role::Category, false);
        batch.channel = label(Role::Channel, false);
        batch.device = label(Role::Device, false);
        batch.campaign = label(Role::Campaign, false);
        batch.product = names(Role::Product).map(|names| names.hashes(kept, false, 0, product_hash));
        batch.order = names(Role::OrderId).map(|names| names.hashes(kept, true, 0, order_hash));
        if let Some(ids) = &self.event_ids {
            let ids = kept_texts(&ids.array, kept, true)?;
            out.event_ids = Some((ids.iter().map(|id| id.map_or(0, id_hash)).collect(), ids));
        }
        batch.received = self.received.as_ref().map(|received| {
            let moment = |row: usize| if received[row] == MISSING { self.times[row] } else { received[row] };
            kept.map(|row| Day::of_wall(moment(row)).0)
        });
        batch.quantity = self.quantities.as_ref().map(|quantities| kept.map(|row| quantities[row] as f32));
        batch.customer = match self.customers {
            Customers::Integers(ids) => {
                let values = ids.values().clone();
                drop(ids);
                Ids::Integers(kept.pick(Values::Shared(values)))
            }
            Customers::Texts(ids) => Ids::Texts(filtered(&ids, kept)?),
        };
        batch.time = kept.pick(self.times);
        out.times = range(&batch.time);
        if plan.has_value() {
            // Rows without units have no money either where it is their product.
            batch.value = Some(self.values.map_or_else(|| vec![f64::NAN; kept.len()], |values| kept.pick(values)));
        }
        Ok(())
    }

    /// Events of rows in data without an event column.
    fn implied_events(&self, plan: &Plan, kept: &Kept) -> Labels {
        let mut builder = LabelsBuilder::default();
        let number = |column: &Option<Values<f64>>, row: usize| column.as_ref().map_or(f64::NAN, |column| column[row]);
        let mut codes = [None; 2];
        let codes = kept.map(|row| {
            let (value, quantity) = (number(&self.values, row), number(&self.quantities, row));
            let is_negative = value < 0.0 || quantity < 0.0;
            *codes[usize::from(is_negative)].get_or_insert_with(|| builder.code(plan.implied_event(value, quantity)))
        });
        builder.finish(codes)
    }
}

/// Texts of the kept rows, without those that stand for nothing.
fn kept_texts(array: &StringViewArray, kept: &Kept, is_trimmed: bool) -> Result<StringViewArray, ArrowError> {
    filtered(&texts::cleaned(array, is_trimmed), kept)
}

fn filtered(array: &StringViewArray, kept: &Kept) -> Result<StringViewArray, ArrowError> {
    match kept.mask() {
        None => Ok(array.clone()),
        Some(mask) => Ok(filter(array, &mask)?.as_string_view().clone()),
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
