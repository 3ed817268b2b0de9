//! A stretch of customers: generated on one thread, written as one part file.

use std::collections::BTreeMap;

use arrow::array::{ArrayBuilder, StringBuilder};

use super::World;
use super::catalogue::{EVENTS, Event, Row, customer_name};
use super::dirt::{self, DIRT};
use super::life::{self, Told};

/// Rows of a stretch of customers, sorted by time when complete.
pub(super) struct Block {
    /// Number of the first customer.
    pub first: u64,
    pub rows: Vec<Row>,
    /// Customer ids that rows point into: everybody's in order, then odd ones.
    pub names: StringBuilder,
    /// Order ids that rows point into.
    pub orders: StringBuilder,
    /// One entry a customer.
    pub told: Vec<Told>,
    pub counts: Counts,
}

impl Block {
    /// The lives of customers `first..first + customers`.
    pub fn simulate(world: &World, first: u64, customers: u32) -> Self {
        let mut block = Self {
            first,
            rows: Vec::new(),
            names: StringBuilder::new(),
            orders: StringBuilder::new(),
            told: Vec::with_capacity(customers as usize),
            counts: Counts::default(),
        };
        for customer in 0..customers {
            block.name(&customer_name(first + u64::from(customer)));
        }
        for customer in 0..customers {
            let index = first + u64::from(customer);
            let start = block.rows.len();
            let told = life::tell(world, index, customer, &mut block);
            block.counts.add_person(&told);
            block.told.push(told);
            dirt::soil(world, index, &mut block, start);
        }
        block.counts.rows = block.rows.len() as u64;
        // Stable: rows of one instant, such as the lines of an order, keep the order in which they were told.
        block.rows.sort_by_key(|row| row.time);
        block
    }

    /// Adds a sound row.
    pub fn push(&mut self, row: Row) {
        self.counts.add_row(&row);
        self.rows.push(row);
    }

    /// Index of a new customer id.
    pub fn name(&mut self, name: &str) -> u32 {
        self.names.append_value(name);
        self.names.len() as u32 - 1
    }

    /// Index of a new order id.
    pub fn order(&mut self, index: u64, number: usize) -> u32 {
        use std::fmt::Write;
        // Writing into a builder cannot fail; `append_value` ends the string.
        let _ = write!(self.orders, "o{index:08}-{}", number + 1);
        self.orders.append_value("");
        self.orders.len() as u32 - 1
    }
}

/// What was made, in numbers that add up exactly in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub rows: u64,
    pub sound_rows: u64,
    pub by_event: [u64; EVENTS.len()],
    /// Sums of `value` in cents.
    pub cents_by_event: [i64; EVENTS.len()],
    pub late_rows: u64,
    pub dirty: [u64; DIRT.len()],
    pub customers: u64,
    pub never_buyers: u64,
    pub customers_with_orders: u64,
    pub left: u64,
    pub control: u64,
    pub consent: u64,
    pub players: u64,
    pub orders: u64,
    pub extra_orders: u64,
    /// First and last time of a sound row.
    pub span: Option<(i64, i64)>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            rows: 0,
            sound_rows: 0,
            by_event: [0; EVENTS.len()],
            cents_by_event: [0; EVENTS.len()],
            late_rows: 0,
            dirty: [0; DIRT.len()],
            customers: 0,
            never_buyers: 0,
            customers_with_orders: 0,
            left: 0,
            control: 0,
            consent: 0,
            players: 0,
            orders: 0,
            extra_orders: 0,
            span: None,
        }
    }
}

impl Counts {
    fn add_row(&mut self, row: &Row) {
        self.sound_rows += 1;
        self.by_event[row.event as usize] += 1;
        if let Some(value) = row.value {
            self.cents_by_event[row.event as usize] += (value * 100.0).round() as i64;
        }
        let (first, last) = self.span.unwrap_or((row.time, row.time));
        self.span = Some((first.min(row.time), last.max(row.time)));
    }

    fn add_person(&mut self, told: &Told) {
        self.customers += 1;
        self.never_buyers += u64::from(!told.person.buyer);
        self.customers_with_orders += u64::from(told.orders > 0);
        self.left += u64::from(told.left.is_some());
        self.control += u64::from(told.person.control);
        self.consent += u64::from(told.person.consent);
        self.players += u64::from(told.person.player);
        self.orders += u64::from(told.orders);
        self.extra_orders += u64::from(told.extra_orders);
    }

    /// Adds those of another block.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sound_rows += other.sound_rows;
        for event in 0..EVENTS.len() {
            self.by_event[event] += other.by_event[event];
            self.cents_by_event[event] += other.cents_by_event[event];
        }
        self.late_rows += other.late_rows;
        for kind in 0..DIRT.len() {
            self.dirty[kind] += other.dirty[kind];
        }
        self.customers += other.customers;
        self.never_buyers += other.never_buyers;
        self.customers_with_orders += other.customers_with_orders;
        self.left += other.left;
        self.control += other.control;
        self.consent += other.consent;
        self.players += other.players;
        self.orders += other.orders;
        self.extra_orders += other.extra_orders;
        self.span = match (self.span, other.span) {
            (Some(own), Some(theirs)) => Some((own.0.min(theirs.0), own.1.max(theirs.1))),
            (own, theirs) => own.or(theirs),
        };
    }

    /// As written to `truth.json`; money in units.
    pub fn to_json(&self) -> serde_json::Value {
        let events: BTreeMap<_, _> = EVENTS.iter().zip(self.by_event).collect();
        let values: BTreeMap<_, _> = [Event::Purchase, Event::Return, Event::Play]
            .map(|event| (EVENTS[event as usize], self.cents_by_event[event as usize] as f64 / 100.0))
            .into();
        let dirty: BTreeMap<_, _> = DIRT.iter().map(|(name, _)| name).zip(self.dirty).collect();
        serde_json::json!({
            "rows": self.rows,
            "sound_rows": self.sound_rows,
            "sound_rows_by_event": events,
            "sound_value_by_event": values,
            "late_sound_rows": self.late_rows,
            "dirty_rows": self.rows - self.sound_rows,
            "dirty_rows_by_kind": dirty,
            "customers": self.customers,
            "never_buyers": self.never_buyers,
            "customers_with_orders": self.customers_with_orders,
            "customers_who_left": self.left,
            "control_customers": self.control,
            "consenting_customers": self.consent,
            "players": self.players,
            "orders": self.orders,
            "extra_orders": self.extra_orders,
        })
    }
}
