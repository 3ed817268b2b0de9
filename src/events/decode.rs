//! Raw cells of a stretch → an [`EventBatch`], with what was left out counted.
//!
//! The order of judgement is the same for every format: the time first, so that a row of the future
//! is nothing but counted; then numbers and text; rows without a customer last.

use arrow::array::{StringArray, StringBuilder};
use hashbrown::HashMap;
use twox_hash::XxHash3_64;

use super::batch::{EventBatch, Labels, NO_LABEL};
use super::numbers::{self, NumberFault};
use super::rejects::{Reject, RejectReason, shortened};
use super::schema::{Kind, N_ROLES, Role};
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
}

impl Plan {
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
    /// Row number of each event, when asked for.
    pub row_numbers: Vec<u64>,
    /// Hash (0: none) and text of each event's id, when there are any.
    pub event_ids: Option<(Vec<u128>, StringArray)>,
    pub anonymous: u64,
    pub anonymous_value: f64,
    pub future: u64,
    pub settling: u64,
    /// Events whose event column is empty.
    pub unnamed: u64,
    pub rejects: Vec<Reject>,
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

/// Codes labels in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct LabelsBuilder {
    labels: Labels,
    index: HashMap<String, u32>,
}

impl LabelsBuilder {
    pub fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.index.get(name) {
            return code;
        }
        let code = self.labels.names.len() as u32;
        self.labels.names.push(name.to_string());
        self.index.insert(name.to_string(), code);
        code
    }

    pub fn push(&mut self, name: Option<&str>) {
        let code = match name {
            Some(name) => self.code(name),
            None => NO_LABEL,
        };
        self.labels.codes.push(code);
    }

    pub fn push_code(&mut self, code: u32) {
        self.labels.codes.push(code);
    }

    pub fn finish(self) -> Labels {
        self.labels
    }
}

/// The cells of one row of a text format.
pub(crate) trait Cells {
    /// The cell of a column; `None` when it is absent.
    fn cell(&self, column: usize) -> Option<&[u8]>;
    /// Whether the cell is no text, number or truth.
    fn is_unusable(&self, column: usize) -> bool;
}

impl Cells for csv::ByteRecord {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        self.get(column)
    }

    fn is_unusable(&self, _: usize) -> bool {
        false
    }
}

impl Cells for super::formats::ndjson::Cells {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        self.get(column)
    }

    fn is_unusable(&self, column: usize) -> bool {
        Self::is_unusable(self, column)
    }
}

/// Decodes the rows of a text format one by one.
pub(crate) struct RowDecoder<'a> {
    plan: &'a Plan,
    layout: &'a FileLayout,
    time: TimeReader,
    received: TimeReader,
    customers: StringBuilder,
    times: Vec<i64>,
    received_days: Vec<i32>,
    events: LabelsBuilder,
    labels: [LabelsBuilder; 4],
    values: Vec<f64>,
    quantities: Vec<f32>,
    products: StringBuilder,
    orders: StringBuilder,
    ids: Vec<u128>,
    id_texts: StringBuilder,
    out: Decoded,
}

/// The label columns beside `event`, in the order of [`RowDecoder::labels`].
pub(crate) const LABEL_ROLES: [Role; 4] = [Role::Category, Role::Channel, Role::Device, Role::Campaign];

/// Why a row ends here.
struct Fault {
    reason: RejectReason,
    role: Role,
}

impl<'a> RowDecoder<'a> {
    pub fn new(plan: &'a Plan, layout: &'a FileLayout) -> Self {
        Self {
            plan,
            layout,
            time: plan.reader(Role::Ts, false),
            received: plan.reader(Role::ReceivedAt, false),
            customers: StringBuilder::new(),
            times: Vec::new(),
            received_days: Vec::new(),
            events: LabelsBuilder::default(),
            labels: Default::default(),
            values: Vec::new(),
            quantities: Vec::new(),
            products: StringBuilder::new(),
            orders: StringBuilder::new(),
            ids: Vec::new(),
            id_texts: StringBuilder::new(),
            out: Decoded {
                file: layout.index,
                batch: no_events(),
                rows: 0,
                row_numbers: Vec::new(),
                event_ids: None,
                anonymous: 0,
                anonymous_value: 0.0,
                future: 0,
                settling: 0,
                unnamed: 0,
                rejects: Vec::new(),
            },
        }
    }

    /// A line that is no row.
    pub fn malformed(&mut self, row: u64, line: &[u8]) {
        self.out.rows += 1;
        self.reject(row, RejectReason::MalformedLine, None, line);
    }

    fn reject(&mut self, row: u64, reason: RejectReason, column: Option<String>, found: &[u8]) {
        self.out.rejects.push(Reject { file: self.layout.name.clone(), row, reason, column, found: shortened(found) });
    }

    /// One row.
    pub fn row(&mut self, row: u64, cells: &impl Cells) {
        self.out.rows += 1;
        if let Err(Fault { reason, role }) = self.judge(row, cells) {
            let found = self.cell(cells, role).unwrap_or_default().to_vec();
            self.reject(row, reason, self.layout.column(role), &found);
        }
    }

    fn cell<'c>(&self, cells: &'c impl Cells, role: Role) -> Option<&'c [u8]>
    where
        'a: 'c,
    {
        match self.layout.source(role) {
            Source::Absent => None,
            Source::Column(at) => cells.cell(*at),
            Source::Constant(text) => text.as_deref().map(str::as_bytes),
        }
    }

    /// Text of a cell; `None` when it stands for nothing.
    fn text<'c>(&self, cells: &'c impl Cells, role: Role) -> Result<Option<&'c str>, Fault>
    where
        'a: 'c,
    {
        let fault = Fault { reason: RejectReason::UnreadableText, role };
        if let Source::Column(at) = self.layout.source(role)
            && cells.is_unusable(*at)
        {
            return Err(fault);
        }
        let Some(cell) = self.cell(cells, role) else { return Ok(None) };
        let text = std::str::from_utf8(cell).map_err(|_| fault)?;
        Ok((!is_no_text(text)).then_some(text))
    }

    fn number(&self, cells: &impl Cells, role: Role) -> Result<f64, Fault> {
        let cell = self.cell(cells, role).unwrap_or_default();
        numbers::number(cell, self.plan.decimal_comma[role as usize])
            .map_err(|fault| Fault { reason: number_reason(fault), role })
    }

    fn judge(&mut self, row: u64, cells: &impl Cells) -> Result<(), Fault> {
        let plan = self.plan;
        let cell = self.cell(cells, Role::Ts).unwrap_or_default();
        let time = self.time.text(cell).map_err(|fault| Fault { reason: time_reason(fault), role: Role::Ts })?;
        // A row whose own time is too new is left out before anything else of it is looked at.
        match plan.newness(time) {
            Newness::Future => {
                self.out.future += 1;
                return Ok(());
            }
            Newness::Settling => {
                self.out.settling += 1;
                return Ok(());
            }
            Newness::Known => {}
        }
        let mut received = Day::of_wall(time).0;
        if plan.uses(Role::ReceivedAt) {
            let cell = self.cell(cells, Role::ReceivedAt).unwrap_or_default().trim_ascii();
            if !numbers::is_missing(cell) {
                let at = self.received.text(cell);
                let at = at.map_err(|fault| Fault { reason: time_reason(fault), role: Role::ReceivedAt })?;
                received = Day::of_wall(at).0;
            }
            if plan.is_future(received) {
                self.out.future += 1;
                return Ok(());
            }
        }
        let quantity = if plan.uses(Role::Quantity) { self.number(cells, Role::Quantity)? } else { f64::NAN };
        let value = if plan.is_price_times_quantity {
            product(self.number(cells, Role::UnitPrice)?, quantity)
                .ok_or(Fault { reason: RejectReason::NonFiniteValue, role: Role::UnitPrice })?
        } else if plan.uses(Role::Value) {
            self.number(cells, Role::Value)?
        } else {
            f64::NAN
        };
        let units = units(quantity).ok_or(Fault { reason: RejectReason::NonFiniteValue, role: Role::Quantity })?;
        let customer_cell = self.text(cells, Role::CustomerId)?;
        let mut texts: [Option<&str>; N_ROLES] = [None; N_ROLES];
        for role in Role::ALL {
            if plan.uses(role) && role.kind() == Kind::Text && role != Role::CustomerId {
                texts[role as usize] = self.text(cells, role)?;
            }
        }
        let Some(customer) = customer_cell.and_then(customer) else {
            self.out.anonymous += 1;
            self.out.anonymous_value += if value.is_nan() { 0.0 } else { value };
            return Ok(());
        };

        let text = |role: Role| texts[role as usize];
        self.customers.append_value(customer);
        self.times.push(time);
        self.values.push(value);
        self.quantities.push(units);
        if plan.uses(Role::ReceivedAt) {
            self.received_days.push(received);
        }
        if plan.uses(Role::Event) {
            self.out.unnamed += u64::from(text(Role::Event).is_none());
            self.events.push(text(Role::Event).map(str::trim));
        } else {
            self.events.push(Some(plan.implied_event(value, quantity)));
        }
        for (builder, role) in self.labels.iter_mut().zip(LABEL_ROLES) {
            if plan.uses(role) {
                builder.push(text(role));
            }
        }
        if plan.uses(Role::Product) {
            self.products.append_option(text(Role::Product));
        }
        if plan.uses(Role::OrderId) {
            self.orders.append_option(text(Role::OrderId).map(str::trim));
        }
        if plan.uses(Role::EventId) {
            let id = text(Role::EventId).map(str::trim);
            self.ids.push(id.map_or(0, id_hash));
            self.id_texts.append_option(id);
        }
        if plan.keeps_rows {
            self.out.row_numbers.push(row);
        }
        Ok(())
    }

    pub fn finish(mut self) -> Decoded {
        let plan = self.plan;
        let [category, channel, device, campaign] = self.labels.map(LabelsBuilder::finish);
        self.out.batch = EventBatch {
            customer: self.customers.finish(),
            time: self.times,
            received: plan.uses(Role::ReceivedAt).then_some(self.received_days),
            event: self.events.finish(),
            category: plan.uses(Role::Category).then_some(category),
            channel: plan.uses(Role::Channel).then_some(channel),
            device: plan.uses(Role::Device).then_some(device),
            campaign: plan.uses(Role::Campaign).then_some(campaign),
            value: plan.has_value().then_some(self.values),
            quantity: plan.uses(Role::Quantity).then_some(self.quantities),
            product: plan.uses(Role::Product).then(|| self.products.finish()),
            order: plan.uses(Role::OrderId).then(|| self.orders.finish()),
        };
        self.out.event_ids = plan.uses(Role::EventId).then(|| (self.ids, self.id_texts.finish()));
        self.out
    }
}

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

fn no_events() -> EventBatch {
    EventBatch {
        customer: StringArray::from(Vec::<&str>::new()),
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
    }
}

/// Keeps the events for which `keep` holds.
pub(crate) fn retain(decoded: &mut Decoded, keep: &[bool]) {
    let mask = arrow::array::BooleanArray::from(keep.to_vec());
    let text = |array: &StringArray| {
        let kept = arrow::compute::filter(array, &mask).expect("the mask is as long as the array");
        arrow::array::AsArray::as_string::<i32>(&kept).clone()
    };
    fn plain<T>(values: &mut Vec<T>, keep: &[bool]) {
        let mut flags = keep.iter();
        values.retain(|_| *flags.next().expect("the mask is as long as the column"));
    }
    fn labels(labels: &mut Labels, keep: &[bool]) {
        plain(&mut labels.codes, keep);
        // Names of which no event is left must not be seen.
        let mut builder = LabelsBuilder::default();
        for code in &labels.codes {
            builder.push((*code != NO_LABEL).then(|| labels.names[*code as usize].as_str()));
        }
        *labels = builder.finish();
    }
    let batch = &mut decoded.batch;
    batch.customer = text(&batch.customer);
    batch.product = batch.product.as_ref().map(text);
    batch.order = batch.order.as_ref().map(text);
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
    if !decoded.row_numbers.is_empty() {
        plain(&mut decoded.row_numbers, keep);
    }
    if let Some((ids, texts)) = &mut decoded.event_ids {
        plain(ids, keep);
        *texts = text(texts);
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
