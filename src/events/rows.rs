//! Rows of a text format, judged one by one → an [`EventBatch`].

use std::sync::Arc;

use arrow::array::StringViewBuilder;

use super::batch::{EventBatch, Extra, ExtraValues, Ids, Labels, NO_LABEL, order_hash, product_hash};
use super::decode::{
    Decoded, FileLayout, HashedTexts, LABEL_ROLES, LabelsBuilder, Moment, Newness, Plan, PlannedExtra, Source,
    customer, id_hash, is_no_text, nothing, number_reason, product, range, time_reason, units,
};
use super::extras;
use super::numbers;
use super::rejects::{Reject, RejectReason, shortened};
use super::schema::{Kind, N_ROLES, Role};
use super::times::TimeReader;
use crate::time::Day;

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
    customers: StringViewBuilder,
    times: Vec<i64>,
    received_days: Vec<i32>,
    events: Coded,
    labels: [Coded; 4],
    values: Vec<f64>,
    quantities: Vec<f32>,
    products: Vec<u32>,
    orders: Vec<u64>,
    product_texts: StringViewBuilder,
    order_texts: StringViewBuilder,
    ids: Vec<u128>,
    id_texts: StringViewBuilder,
    extras: Vec<ExtraCells>,
    /// Of the row that is being judged, as far as it is known.
    moment: Option<Moment>,
    out: Decoded,
}

/// Names as they come.
#[derive(Default)]
struct Coded {
    codes: Vec<u32>,
    names: LabelsBuilder,
}

impl Coded {
    fn push(&mut self, name: Option<&str>) {
        self.codes.push(name.map_or(NO_LABEL, |name| self.names.code(name)));
    }

    fn finish(self) -> Labels {
        self.names.finish(self.codes)
    }
}

/// The cells of a column that is none of ours.
enum ExtraCells {
    Numbers { values: Vec<f64>, decimal_comma: bool },
    Labels(Coded),
}

impl ExtraCells {
    fn new(extra: &PlannedExtra) -> Self {
        match extra.is_number {
            true => Self::Numbers { values: Vec::new(), decimal_comma: extra.decimal_comma },
            false => Self::Labels(Coded::default()),
        }
    }

    /// Takes a cell; `false` when it cannot be read and is missing for that.
    fn push(&mut self, cell: Option<&[u8]>, is_unusable: bool) -> bool {
        match self {
            Self::Numbers { values, decimal_comma } => {
                let number = if is_unusable { None } else { extras::number(cell.unwrap_or_default(), *decimal_comma) };
                values.push(number.unwrap_or(f64::NAN));
                number.is_some()
            }
            Self::Labels(labels) => {
                let text = std::str::from_utf8(cell.unwrap_or_default()).ok().filter(|_| !is_unusable);
                labels.push(text.filter(|text| !is_no_text(text)).map(str::trim));
                text.is_some()
            }
        }
    }

    fn finish(self) -> ExtraValues {
        match self {
            Self::Numbers { values, .. } => ExtraValues::Numbers(values),
            Self::Labels(labels) => ExtraValues::Labels(labels.finish()),
        }
    }
}

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
            customers: StringViewBuilder::new(),
            times: Vec::new(),
            received_days: Vec::new(),
            events: Coded::default(),
            labels: Default::default(),
            values: Vec::new(),
            quantities: Vec::new(),
            products: Vec::new(),
            orders: Vec::new(),
            product_texts: StringViewBuilder::new(),
            order_texts: StringViewBuilder::new(),
            ids: Vec::new(),
            id_texts: StringViewBuilder::new(),
            extras: plan.extras.iter().map(ExtraCells::new).collect(),
            moment: None,
            out: nothing(layout.index),
        }
    }

    /// A line that is no row.
    pub fn malformed(&mut self, row: u64, line: &[u8]) {
        self.out.rows += 1;
        self.moment = None;
        self.reject(row, RejectReason::MalformedLine, None, line);
    }

    fn reject(&mut self, row: u64, reason: RejectReason, column: Option<String>, found: &[u8]) {
        self.out.rejects.push(Reject { file: self.layout.name.clone(), row, reason, column, found: shortened(found) });
        if self.plan.keeps_moments {
            self.out.reject_moments.push(self.moment);
        }
    }

    /// One row.
    pub fn row(&mut self, row: u64, cells: &impl Cells) {
        self.out.rows += 1;
        self.moment = None;
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
        let mut moment = Moment::of(time);
        self.moment = Some(moment);
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
        if plan.uses(Role::ReceivedAt) {
            let cell = self.cell(cells, Role::ReceivedAt).unwrap_or_default().trim_ascii();
            if !numbers::is_missing(cell) {
                let at = self.received.text(cell);
                let at = at.map_err(|fault| Fault { reason: time_reason(fault), role: Role::ReceivedAt })?;
                moment.received = Day::of_wall(at).0;
                self.moment = Some(moment);
            }
            if plan.is_future(moment.received) {
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
            let money = if value.is_nan() { 0.0 } else { value };
            self.out.anonymous_value.add(money);
            if plan.keeps_moments {
                self.out.anonymous_moments.push((moment, money));
            }
            return Ok(());
        };

        let text = |role: Role| texts[role as usize];
        self.customers.append_value(customer);
        self.times.push(time);
        self.values.push(value);
        self.quantities.push(units);
        if plan.uses(Role::ReceivedAt) {
            self.received_days.push(moment.received);
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
            let product = text(Role::Product);
            self.products.push(product.map_or(0, product_hash));
            if plan.keeps_texts {
                self.product_texts.append_option(product);
            }
        }
        if plan.uses(Role::OrderId) {
            let order = text(Role::OrderId).map(str::trim);
            self.orders.push(order.map_or(0, order_hash));
            if plan.keeps_texts {
                self.order_texts.append_option(order);
            }
        }
        if plan.uses(Role::EventId) {
            let id = text(Role::EventId).map(str::trim);
            self.ids.push(id.map_or(0, id_hash));
            self.id_texts.append_option(id);
        }
        let event = self.times.len() - 1;
        for (index, (extra, column)) in plan.extras.iter().zip(&mut self.extras).enumerate() {
            let (cell, is_unusable) = match &self.layout.extras[extra.at] {
                Source::Absent => (None, false),
                Source::Column(at) => (cells.cell(*at), cells.is_unusable(*at)),
                Source::Constant(text) => (text.as_deref().map(str::as_bytes), false),
            };
            if !column.push(cell, is_unusable) {
                self.out.extra_faults.push((index, event));
            }
        }
        if plan.keeps_rows {
            self.out.row_numbers.push(row);
        }
        Ok(())
    }

    pub fn finish(mut self) -> Decoded {
        let plan = self.plan;
        let [category, channel, device, campaign] = self.labels.map(Coded::finish);
        self.out.times = range(&self.times);
        self.out.batch = EventBatch {
            customer: Ids::Texts(self.customers.finish()),
            time: self.times,
            received: plan.uses(Role::ReceivedAt).then_some(self.received_days),
            event: self.events.finish(),
            category: plan.uses(Role::Category).then_some(category),
            channel: plan.uses(Role::Channel).then_some(channel),
            device: plan.uses(Role::Device).then_some(device),
            campaign: plan.uses(Role::Campaign).then_some(campaign),
            value: plan.has_value().then_some(self.values),
            quantity: plan.uses(Role::Quantity).then_some(self.quantities),
            product: plan.uses(Role::Product).then_some(self.products),
            order: plan.uses(Role::OrderId).then_some(self.orders),
            extras: plan
                .extras
                .iter()
                .zip(self.extras)
                .map(|(extra, cells)| Extra { name: Arc::clone(&extra.name), values: cells.finish() })
                .collect(),
            conditions: Vec::new(),
        };
        if plan.keeps_texts {
            self.out.texts = HashedTexts {
                product: plan.uses(Role::Product).then(|| self.product_texts.finish()),
                order: plan.uses(Role::OrderId).then(|| self.order_texts.finish()),
            };
        }
        self.out.event_ids = plan.uses(Role::EventId).then(|| (self.ids, self.id_texts.finish()));
        self.out
    }
}
