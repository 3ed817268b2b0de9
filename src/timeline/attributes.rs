//! What is known of customers beside their events: rows that hold from a time on, kept with the customers.

use std::cmp::Ordering;

use super::customer::{CustomerId, Customers};
use super::growing::Growing;
use super::vocabulary::Vocabulary;
use crate::error::{ExitCode, Explain};
use crate::events::{EventBatch, Extra, ExtraValues, Ids, NO_LABEL};
use crate::features::AttributeKind;
use crate::time::Day;

/// A column of the attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeColumn {
    /// As the file calls it.
    pub name: String,
    /// What it holds.
    pub kind: AttributeKind,
    /// The texts by code; empty for numbers.
    pub texts: Vec<String>,
}

/// Two rows that cannot both hold.
#[derive(Debug, thiserror::Error)]
#[error("the attributes have {rows} rows of customer `{customer}` that differ and hold from the same time on")]
pub struct ConflictingRows {
    customer: String,
    rows: usize,
    valid_from: Option<Day>,
}

impl Explain for ConflictingRows {
    fn exit_code(&self) -> ExitCode {
        ExitCode::DataRejected
    }

    fn details(&self) -> Vec<String> {
        let from = match self.valid_from {
            Some(day) => format!("They are valid from {day}."),
            None => "The table has no `valid_from`, so that every row is taken to have held always.".into(),
        };
        vec![from, "Nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        vec!["keep one row for each customer and time, or add a column `valid_from`".into()]
    }
}

/// Collects rows of attributes.
#[derive(Default)]
pub struct AttributesBuilder {
    /// Customers, and the customer of each row.
    customers: Growing,
    columns: Vec<AttributeColumn>,
    vocabularies: Vec<Vocabulary>,
    valid_from: Vec<i64>,
    values: Vec<f64>,
    has_validity: bool,
}

/// Rows of attributes of one customer after the other, oldest first.
#[derive(Debug, Default)]
pub struct Attributes {
    customers: Growing,
    columns: Vec<AttributeColumn>,
    rows: Rows,
    repeated: u64,
}

#[derive(Debug, Default)]
struct Rows {
    /// Rows of customer `c` are `starts[c]..starts[c + 1]`.
    starts: Vec<usize>,
    valid_from: Vec<i64>,
    /// As many for each row as there are columns.
    values: Vec<f64>,
}

impl Rows {
    fn bytes(&self) -> usize {
        8 * (self.starts.len() + self.valid_from.len() + self.values.len())
    }
}

impl AttributesBuilder {
    /// For columns of these names and kinds. Without validity, rows have always held.
    pub fn new(columns: Vec<(String, AttributeKind)>, has_validity: bool) -> Self {
        let column = |(name, kind)| AttributeColumn { name, kind, texts: Vec::new() };
        let columns: Vec<AttributeColumn> = columns.into_iter().map(column).collect();
        Self { vocabularies: vec![Vocabulary::default(); columns.len()], columns, has_validity, ..Self::default() }
    }

    /// Appends rows, whose extras are the columns and whose time is the one from which they hold.
    pub fn append(&mut self, batch: &EventBatch) {
        let width = self.columns.len();
        for row in 0..batch.len() {
            let id = match &batch.customer {
                Ids::Integers(ids) => CustomerId::of_number(ids[row]),
                Ids::Texts(ids) => CustomerId::of(ids.value(row)),
            };
            let customer = self.customers.customer(id, id.hash());
            self.customers.owners.push(customer);
        }
        self.valid_from.extend_from_slice(&batch.time);
        let start = self.values.len();
        self.values.resize(start + batch.len() * width, f64::NAN);
        let values = &mut self.values[start..];
        for (at, (Extra { values: column, .. }, vocabulary)) in
            batch.extras.iter().zip(&mut self.vocabularies).enumerate()
        {
            let to = values.iter_mut().skip(at).step_by(width);
            match column {
                ExtraValues::Numbers(numbers) => to.zip(numbers).for_each(|(to, number)| *to = *number),
                ExtraValues::Labels(labels) => {
                    let codes = vocabulary.intern_all(labels);
                    for (to, &code) in to.zip(&labels.codes) {
                        *to = if code == NO_LABEL { f64::NAN } else { f64::from(codes[code as usize]) };
                    }
                }
            }
        }
    }

    /// Bytes that the rows so far will take at most while they are put in order: as they came, and as they are kept.
    pub fn bytes_to_finish(&self) -> usize {
        self.customers.bytes() + 2 * 8 * (self.valid_from.len() + self.values.len()) + 4 * self.valid_from.len()
    }

    /// The rows in order.
    ///
    /// # Errors
    /// Rows of one customer that differ and hold from the same time on.
    pub fn finish(mut self) -> Result<Attributes, ConflictingRows> {
        let width = self.columns.len();
        for (at, (column, vocabulary)) in self.columns.iter_mut().zip(&mut self.vocabularies).enumerate() {
            if column.kind == AttributeKind::Text {
                let new_code = vocabulary.sort();
                let codes = self.values.iter_mut().skip(at).step_by(width).filter(|code| !code.is_nan());
                codes.for_each(|code| *code = f64::from(new_code[*code as usize]));
                column.texts = vocabulary.names().to_vec();
            }
        }
        let owners = std::mem::take(&mut self.customers.owners);
        let row = |row: u32| &self.values[row as usize * width..(row as usize + 1) * width];
        let by_time = |a: u32, b: u32| {
            let key = |row: u32| (owners[row as usize], self.valid_from[row as usize]);
            key(a).cmp(&key(b))
        };
        let by_values = |a: u32, b: u32| {
            let pairs = row(a).iter().zip(row(b)).map(|(a, b)| a.total_cmp(b));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let mut order: Vec<u32> = (0..owners.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| by_time(a, b).then_with(|| by_values(a, b)));
        let n_rows = order.len();
        order.dedup_by(|a, b| by_time(*a, *b).is_eq() && by_values(*a, *b).is_eq());
        let repeated = (n_rows - order.len()) as u64;
        let same: Vec<&[u32]> = order.chunk_by(|&a, &b| by_time(a, b).is_eq()).filter(|same| same.len() > 1).collect();
        // By id, so that the order of the rows does not decide who is told of.
        let id = |rows: &&&[u32]| self.customers.customers.id(owners[rows[0] as usize] as usize).to_string();
        if let Some(rows) = same.iter().min_by_key(id) {
            let valid_from = self.has_validity.then(|| Day::of_wall(self.valid_from[rows[0] as usize]));
            return Err(ConflictingRows { customer: id(&rows), rows: rows.len(), valid_from });
        }
        let mut rows = Rows { starts: vec![0; self.customers.customers.len() + 1], ..Rows::default() };
        for &from in &order {
            rows.starts[owners[from as usize] as usize + 1] += 1;
            rows.valid_from.push(self.valid_from[from as usize]);
            rows.values.extend_from_slice(row(from));
        }
        for c in 1..rows.starts.len() {
            rows.starts[c] += rows.starts[c - 1];
        }
        Ok(Attributes { customers: self.customers, columns: self.columns, rows, repeated })
    }
}

/// Rows of attributes of the customers of a partition.
#[derive(Debug, Default)]
pub(super) struct AttributesOfPart(Rows);

/// Rows of one customer, oldest first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AttributesOfCustomer<'a> {
    valid_from: &'a [i64],
    values: &'a [f64],
}

impl Attributes {
    /// The columns.
    pub fn columns(&self) -> &[AttributeColumn] {
        &self.columns
    }

    /// Customers with a row.
    pub fn customers(&self) -> usize {
        self.customers.customers.len()
    }

    /// Rows that say the same as another of the same customer and time.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Bytes that the rows and ids take.
    pub(crate) fn bytes(&self) -> usize {
        self.customers.bytes() + self.rows.bytes()
    }

    /// The rows of some customers, in their order, and how many of these have any.
    pub(super) fn of(&self, customers: &Customers) -> (AttributesOfPart, usize) {
        let width = self.columns.len();
        let mut rows = Rows { starts: Vec::with_capacity(customers.len() + 1), ..Rows::default() };
        rows.starts.push(0);
        let mut found = 0;
        for customer in 0..customers.len() {
            if let Some(known) = self.customers.known(customers.id(customer), customers.hashes[customer]) {
                let from = self.rows.starts[known as usize]..self.rows.starts[known as usize + 1];
                rows.valid_from.extend_from_slice(&self.rows.valid_from[from.clone()]);
                rows.values.extend_from_slice(&self.rows.values[from.start * width..from.end * width]);
                found += 1;
            }
            rows.starts.push(rows.valid_from.len());
        }
        (AttributesOfPart(rows), found)
    }
}

impl AttributesOfPart {
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    pub(super) fn of(&self, customer: usize) -> AttributesOfCustomer<'_> {
        let Rows { starts, valid_from, values } = &self.0;
        let Some((&start, &end)) = starts.get(customer).zip(starts.get(customer + 1)) else {
            return AttributesOfCustomer::default();
        };
        let width = values.len().checked_div(valid_from.len()).unwrap_or(0);
        AttributesOfCustomer { valid_from: &valid_from[start..end], values: &values[start * width..end * width] }
    }
}

impl<'a> AttributesOfCustomer<'a> {
    /// The row in force at the start of `as_of`.
    pub(super) fn at(self, as_of: Day) -> Option<&'a [f64]> {
        let width = self.values.len().checked_div(self.valid_from.len())?;
        let known = self.valid_from.partition_point(|&from| from < as_of.start_micros());
        let row = known.checked_sub(1)?;
        Some(&self.values[row * width..(row + 1) * width])
    }
}
