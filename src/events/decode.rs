//! What decoding needs and gives: raw cells of a stretch → an [`EventBatch`], the rest counted.
//!
//! [`super::rows`] decodes text row by row, [`super::columns`] Parquet column by column.
//!
//! The order of judgement is the same for every format: the time first, so that a row of the future
//! is nothing but counted; then numbers and text; rows without a customer last.

use std::sync::Arc;

use arrow::array::{AsArray, StringViewArray};
use hashbrown::HashMap;
use twox_hash::XxHash3_64;

use super::batch::{EventBatch, ExtraValues, Ids, Labels, NO_LABEL};
use super::exact::ExactSum;
use super::numbers::{self, NumberFault};
use super::rejects::{Reject, RejectReason};
use super::schema::{N_ROLES, Role};
use super::times::{DateOrder, TimeFault, TimeReader, TimeStyle};
use crate::time::{Day, Zone};

/// Where a role's cells come from in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Absent,
    Column(usize),
    /// The same in every row: told by a folder's name.
    Constant(Option<String>),
}

/// One file, as the decoders see it.
#[derive(Debug, Clone)]
pub(crate) struct FileLayout {
    pub index: usize,
    pub name: String,
    pub columns: Vec<String>,
    pub sources: [Source; N_ROLES],
    /// Of the columns that are none of ours, in the order of [`super::open::Events::extras`].
    pub extras: Vec<Source>,
}

impl FileLayout {
    pub fn source(&self, role: Role) -> &Source {
        &self.sources[role as usize]
    }

    /// The file's name of a role's column, for messages.
    pub fn column(&self, role: Role) -> Option<String> {
        match self.source(role) {
            Source::Column(at) => Some(self.columns[*at].clone()),
            Source::Constant(_) | Source::Absent => Some(role.name().to_string()),
        }
    }
}

/// How the times of a role are written, where the format does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TimeStyles {
    pub text: Option<TimeStyle>,
    pub number: Option<TimeStyle>,
}

/// A column that is none of ours, as the decoders see it.
#[derive(Debug, Clone)]
pub(crate) struct PlannedExtra {
    /// Its index in [`super::open::Events::extras`].
    pub at: usize,
    pub name: Arc<str>,
    /// Whether it is kept as numbers; otherwise as labels.
    pub is_number: bool,
    pub decimal_comma: bool,
}

/// What every decoder needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Roles that the batches carry.
    pub used: [bool; N_ROLES],
    pub is_price_times_quantity: bool,
    pub order_event: String,
    pub negative_event: String,
    pub zone: Zone,
    pub times: TimeStyles,
    pub received: TimeStyles,
    pub decimal_comma: [bool; N_ROLES],
    pub as_of: Option<Day>,
    pub settle_days: u16,
    /// Whether the row numbers of used events are needed.
    pub keeps_rows: bool,
    /// The columns beside ours that the batches carry.
    pub extras: Vec<PlannedExtra>,
    /// Whether the texts behind the hashes of products and orders are needed.
    pub keeps_texts: bool,
    /// Whether the days of rows that become no events are needed.
    pub keeps_moments: bool,
    /// Rows of a Parquet file that one thread decodes at a time, and that a round holds for each thread.
    pub piece_rows: usize,
}

/// When a row happened and was received; together they tell from which day on it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub day: i32,
    pub received: i32,
}

impl Moment {
    /// Of a row that happened at a wall time and does not say when it was received.
    pub fn of(time: i64) -> Self {
        let day = Day::of_wall(time).0;
        Self { day, received: day }
    }

    /// The first day at which the row is known, when so many days before it are left to settle.
    pub fn known_from(self, settle_days: u16) -> i32 {
        self.received.max(self.day + i32::from(settle_days)) + 1
    }
}

impl Plan {
    /// What decoding depends on beside the files, as one text.
    pub fn of_reading(&self) -> String {
        let mut text = format!(
            "{:?} {} {:?} {:?} {:?} {:?} {:?} {}",
            self.used,
            self.is_price_times_quantity,
            self.order_event,
            self.negative_event,
            self.times,
            self.received,
            self.decimal_comma,
            self.settle_days
        );
        for PlannedExtra { at: _, name, is_number, decimal_comma } in &self.extras {
            text.push_str(&format!(" {name:?} {is_number} {decimal_comma}"));
        }
        text
    }

    pub fn uses(&self, role: Role) -> bool {
        self.used[role as usize]
    }

    pub fn has_value(&self) -> bool {
        self.uses(Role::Value) || self.is_price_times_quantity
    }

    /// A reader of a time role's text or numbers. Columns of a class that had no cell to learn from
    /// are read as dates.
    pub fn reader(&self, role: Role, is_number: bool) -> TimeReader {
        let styles = if role == Role::Ts { &self.times } else { &self.received };
        let style = if is_number { &styles.number } else { &styles.text };
        TimeReader::new(style.clone().unwrap_or(TimeStyle::Calendar(DateOrder::YearFirst)), self.zone.clone())
    }

    /// Whether an event is too new to be known, by its own time.
    pub fn newness(&self, time: i64) -> Newness {
        let Some(as_of) = self.as_of else { return Newness::Known };
        let day = Day::of_wall(time);
        if day >= as_of {
            Newness::Future
        } else if day >= as_of.plus(-i32::from(self.settle_days)) {
            Newness::Settling
        } else {
            Newness::Known
        }
    }

    /// Whether an event that was received on that day was not yet known.
    pub fn is_future(&self, received: i32) -> bool {
        self.as_of.is_some_and(|as_of| received >= as_of.0)
    }

    /// The event of a row in data without an event column.
    pub fn implied_event(&self, value: f64, quantity: f64) -> &str {
        if !self.negative_event.is_empty() && (value < 0.0 || quantity < 0.0) {
            &self.negative_event
        } else {
            &self.order_event
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newness {
    Known,
    Future,
    Settling,
}

/// A stretch, decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub file: usize,
    pub batch: EventBatch,
    /// Rows read, used or not.
    pub rows: u64,
    /// The first and the last time of the events; `None` without any.
    pub times: Option<(i64, i64)>,
    /// Row number of each event, when asked for.
    pub row_numbers: Vec<u64>,
    /// Hash (0: none) and text of each event's id, when there are any.
    pub event_ids: Option<(Vec<u128>, StringViewArray)>,
    /// Products and orders as texts, when asked for.
    pub texts: HashedTexts,
    pub anonymous: u64,
    pub anonymous_value: ExactSum,
    pub future: u64,
    pub settling: u64,
    /// Events whose event column is empty.
    pub unnamed: u64,
    pub rejects: Vec<Reject>,
    /// Of each reject, when asked for; `None` where the time is what is wrong with it.
    pub reject_moments: Vec<Option<Moment>>,
    /// When each anonymous row happened, and its money, when asked for.
    pub anonymous_moments: Vec<(Moment, f64)>,
    /// Index in [`Plan::extras`] and event of each cell that is missing because it cannot be read.
    pub extra_faults: Vec<(usize, usize)>,
}

/// Texts of which batches keep the hashes only; may be null.
#[derive(Debug, Default)]
pub(crate) struct HashedTexts {
    pub product: Option<StringViewArray>,
    pub order: Option<StringViewArray>,
}

/// 128 bits of an event id; never 0.
pub(crate) fn id_hash(id: &str) -> u128 {
    let high = XxHash3_64::oneshot_with_seed(1, id.as_bytes());
    let low = XxHash3_64::oneshot_with_seed(2, id.as_bytes());
    ((u128::from(high) << 64) | u128::from(low)).max(1)
}

/// The customer of a trimmed cell: `17850.0` is `17850`; `None` when there is none.
pub(crate) fn customer(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    if numbers::is_missing(cell.as_bytes()) || cell.eq_ignore_ascii_case("nan") || cell.eq_ignore_ascii_case("nat") {
        return None;
    }
    Some(without_zero_fraction(cell))
}

/// A whole number without the `.0` that a detour through floats left behind.
fn without_zero_fraction(text: &str) -> &str {
    if !text.ends_with('0') {
        return text;
    }
    match text.split_once('.') {
        Some((whole, zeros)) => {
            let digits = whole.strip_prefix('-').unwrap_or(whole);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_canonical = digits == "0" || !digits.starts_with('0');
            if is_number && is_canonical && zeros.bytes().all(|byte| byte == b'0') { whole } else { text }
        }
        None => text,
    }
}

/// Whether a cell of a text column stands for nothing.
pub(crate) fn is_no_text(cell: &str) -> bool {
    if cell.len() > 4 && !cell.starts_with(char::is_whitespace) {
        return false;
    }
    matches!(cell.trim(), "" | "null" | "NULL" | "NaN" | "nan" | "None" | "<NA>" | "\\N")
}

/// Gives codes to names in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct LabelsBuilder {
    names: Vec<String>,
    index: HashMap<String, u32>,
}

impl LabelsBuilder {
    pub fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.index.get(name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.to_string());
        self.index.insert(name.to_string(), code);
        code
    }

    /// Labels of these codes.
    pub fn finish(self, codes: Vec<u32>) -> Labels {
        Labels { codes, names: self.names }
    }
}

/// The label columns beside `event`, in the order in which decoders keep them.
pub(crate) const LABEL_ROLES: [Role; 4] = [Role::Category, Role::Channel, Role::Device, Role::Campaign];

pub(crate) fn time_reason(fault: TimeFault) -> RejectReason {
    match fault {
        TimeFault::Unreadable => RejectReason::UnreadableTime,
        TimeFault::OutOfRange => RejectReason::TimeOutOfRange,
    }
}

pub(crate) fn number_reason(fault: NumberFault) -> RejectReason {
    match fault {
        NumberFault::Unreadable => RejectReason::UnreadableNumber,
        NumberFault::NonFinite => RejectReason::NonFiniteValue,
    }
}

/// Price × units, NaN where one is missing; `None` when it overflows.
pub(crate) fn product(price: f64, quantity: f64) -> Option<f64> {
    let value = price * quantity;
    if value.is_infinite() { None } else { Some(value) }
}

/// Units as batches carry them; `None` when they overflow.
pub(crate) fn units(quantity: f64) -> Option<f32> {
    let units = quantity as f32;
    if units.is_infinite() { None } else { Some(units) }
}

/// The lowest and the highest of the times; `None` without any.
pub(crate) fn range(times: &[i64]) -> Option<(i64, i64)> {
    let first = *times.first()?;
    Some(times.iter().fold((first, first), |(low, high), &time| (low.min(time), high.max(time))))
}

/// The account of a stretch of which nothing has been read yet.
pub(crate) fn nothing(file: usize) -> Decoded {
    Decoded {
        file,
        batch: no_events(),
        rows: 0,
        times: None,
        row_numbers: Vec::new(),
        event_ids: None,
        texts: HashedTexts::default(),
        anonymous: 0,
        anonymous_value: ExactSum::default(),
        future: 0,
        settling: 0,
        unnamed: 0,
        rejects: Vec::new(),
        reject_moments: Vec::new(),
        anonymous_moments: Vec::new(),
        extra_faults: Vec::new(),
    }
}

fn no_events() -> EventBatch {
    EventBatch {
        customer: Ids::Integers(Vec::new()),
        time: Vec::new(),
        received: None,
        event: Labels::default(),
        category: None,
        channel: None,
        device: None,
        campaign: None,
        value: None,
        quantity: None,
        product: None,
        order: None,
        extras: Vec::new(),
        conditions: Vec::new(),
    }
}

/// Keeps the events for which `keep` holds.
pub(crate) fn retain(decoded: &mut Decoded, keep: &[bool]) {
    decoded.batch.retain(keep);
    decoded.times = range(&decoded.batch.time);
    if !decoded.row_numbers.is_empty() {
        plain(&mut decoded.row_numbers, keep);
    }
    if !decoded.extra_faults.is_empty() {
        let place: Vec<usize> =
            keep.iter().scan(0, |kept, &keep| Some(std::mem::replace(kept, *kept + usize::from(keep)))).collect();
        decoded.extra_faults.retain(|&(_, event)| keep[event]);
        decoded.extra_faults.iter_mut().for_each(|(_, event)| *event = place[*event]);
    }
    let HashedTexts { product, order } = &mut decoded.texts;
    for texts in [product, order].into_iter().flatten() {
        *texts = kept(texts, keep);
    }
    if let Some((ids, texts)) = &mut decoded.event_ids {
        plain(ids, keep);
        *texts = kept(texts, keep);
    }
}

fn kept(texts: &StringViewArray, keep: &[bool]) -> StringViewArray {
    let mask = arrow::array::BooleanArray::from(keep.to_vec());
    let kept = arrow::compute::filter(texts, &mask).expect("the mask is as long as the array");
    kept.as_string_view().clone()
}

fn plain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    values.retain(|_| *flags.next().expect("the mask is as long as the column"));
}

impl EventBatch {
    /// When an event happened and was received.
    pub(crate) fn moment(&self, event: usize) -> Moment {
        let of_time = Moment::of(self.time[event]);
        Moment { received: self.received.as_ref().map_or(of_time.received, |received| received[event]), ..of_time }
    }

    /// Keeps the events for which `keep` holds.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let batch = self;
        fn labels(labels: &mut Labels, keep: &[bool]) {
            plain(&mut labels.codes, keep);
            // Names of which no event is left must not be seen.
            let mut builder = LabelsBuilder::default();
            let recode =
                |&code: &u32| if code == NO_LABEL { NO_LABEL } else { builder.code(&labels.names[code as usize]) };
            let codes = labels.codes.iter().map(recode).collect();
            *labels = builder.finish(codes);
        }
        match &mut batch.customer {
            Ids::Integers(ids) => plain(ids, keep),
            Ids::Texts(ids) => {
                *ids = kept(ids, keep);
            }
        }
        for extra in &mut batch.extras {
            match &mut extra.values {
                ExtraValues::Numbers(numbers) => plain(numbers, keep),
                ExtraValues::Labels(column) => labels(column, keep),
            }
        }
        if let Some(products) = &mut batch.product {
            plain(products, keep);
        }
        if let Some(orders) = &mut batch.order {
            plain(orders, keep);
        }
        plain(&mut batch.time, keep);
        labels(&mut batch.event, keep);
        for column in
            [&mut batch.category, &mut batch.channel, &mut batch.device, &mut batch.campaign].into_iter().flatten()
        {
            labels(column, keep);
        }
        if let Some(values) = &mut batch.value {
            plain(values, keep);
        }
        if let Some(values) = &mut batch.quantity {
            plain(values, keep);
        }
        if let Some(values) = &mut batch.received {
            plain(values, keep);
        }
        for holds in &mut batch.conditions {
            plain(holds, keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_lose_the_fraction_of_floats_only() {
        for (cell, wanted) in [
            ("17850.0", Some("17850")),
            (" 17850 ", Some("17850")),
            ("17850.50", Some("17850.50")),
            ("00004", Some("00004")),
            ("00004.0", Some("00004.0")),
            ("0.0", Some("0")),
            ("-3.00", Some("-3")),
            ("v1.0", Some("v1.0")),
            ("1.2.0", Some("1.2.0")),
            ("Nancy", Some("Nancy")),
            ("nan", None),
            ("NaN", None),
            ("None", None),
            ("", None),
            ("null", None),
        ] {
            assert_eq!(customer(cell), wanted, "{cell}");
        }
    }
}
