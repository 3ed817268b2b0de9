//! What `check` counts while the events go by.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use twox_hash::XxHash3_64;

use super::{
    CheckReport, CheckedFile, Duplicates, EventCount, Gap, Money, NameCount, Names, Orders, Spelling, TOP, problems,
    targets, wall_text, warnings,
};
use crate::config::Config;
use crate::events::batch::{Digits, Labels, NO_LABEL};
use crate::events::decode::{Decoded, HashedTexts};
use crate::events::open::Events;
use crate::events::schema::Role;
use crate::events::summary::ReadSummary;
use crate::features::uses_of_extras;
use crate::time::Day;
/// Names kept of one column; more are counted without their names.
pub(super) const MOST_NAMES: usize = 50_000;
/// Rows among which duplicates are looked for: eight bytes each are remembered.
const MOST_DUPLICATE_ROWS: u64 = 50_000_000;
/// Gaps listed.
const TOP_GAPS: usize = 5;
/// Bits of a money amount's fraction that the median distinguishes: within 1/128 of the true one.
const MEDIAN_BITS: u32 = 6;

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct NameTally {
    rows: HashMap<String, u64>,
    missing: u64,
    /// Events with names beyond [`MOST_NAMES`].
    pub(super) untold: u64,
}

impl NameTally {
    fn add(&mut self, name: &str, rows: u64) {
        if let Some(count) = self.rows.get_mut(name) {
            *count += rows;
        } else if self.rows.len() < MOST_NAMES {
            self.rows.insert(name.to_string(), rows);
        } else {
            self.untold += rows;
        }
    }

    fn labels(&mut self, labels: &Labels) {
        let mut counts = vec![0; labels.names.len()];
        for &code in &labels.codes {
            match code {
                NO_LABEL => self.missing += 1,
                code => counts[code as usize] += 1,
            }
        }
        labels.names.iter().zip(counts).for_each(|(name, rows)| self.add(name, rows));
    }

    /// The most frequent first, equals by name.
    fn sorted(&self) -> Vec<NameCount> {
        let mut names: Vec<NameCount> =
            self.rows.iter().map(|(name, &rows)| NameCount { name: name.clone(), rows }).collect();
        names.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.name.cmp(&b.name)));
        names
    }

    fn spellings(&self, column: &'static str) -> Vec<Spelling> {
        let mut alike: BTreeMap<String, Vec<NameCount>> = BTreeMap::new();
        for count in self.sorted() {
            let key = count.name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
            alike.entry(key).or_default().push(count);
        }
        alike.into_values().filter(|names| names.len() > 1).map(|names| Spelling { column, names }).collect()
    }
}

/// Everything that is counted while reading.
#[derive(Default)]
pub(super) struct Tally {
    customers: HashMap<u64, u32>,
    days: BTreeMap<i32, u64>,
    events: BTreeMap<String, (u64, f64)>,
    names: BTreeMap<&'static str, NameTally>,
    money: Option<Money>,
    negative: u64,
    /// Amounts by their leading bits, in order of size.
    amounts: BTreeMap<i64, u64>,
    orders: HashSet<u64>,
    customer_orders: HashSet<u64>,
    order_owner: HashMap<u64, u64>,
    conflicting: HashSet<u64>,
    conflicting_example: Option<String>,
    seen: HashSet<u64>,
    duplicates: Option<Duplicates>,
    received_early: u64,
}

/// A step of SplitMix64 over two words: cheap, and every bit of both counts.
fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash.rotate_left(29) ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hash_text(text: &str) -> u64 {
    XxHash3_64::oneshot(text.as_bytes())
}

impl Tally {
    pub(super) fn take(&mut self, part: &Decoded, events: &Events, order_event: &str) {
        let batch = &part.batch;
        let mut digits = Digits::default();
        let mut rows: Vec<u64> = (0..batch.len()).map(|row| hash_text(batch.customer.text(row, &mut digits))).collect();
        self.orders(part, &rows, order_event);
        for &customer in &rows {
            self.customers.entry(customer).or_insert(0);
        }
        for &time in &batch.time {
            *self.days.entry(Day::of_wall(time).0).or_insert(0) += 1;
        }
        for (&received, &time) in batch.received.iter().flatten().zip(&batch.time) {
            self.received_early += u64::from(received < Day::of_wall(time).0);
        }
        for (&code, row) in batch.event.codes.iter().zip(0..) {
            let name = if code == NO_LABEL { "" } else { &batch.event.names[code as usize] };
            if !self.events.contains_key(name) {
                self.events.insert(name.to_string(), (0, 0.0));
            }
            let count = self.events.get_mut(name).expect("just inserted");
            let money = batch.value.as_ref().map_or(f64::NAN, |values| values[row]);
            count.0 += 1;
            count.1 += if money.is_nan() { 0.0 } else { money };
        }
        for &money in batch.value.iter().flatten().filter(|money| !money.is_nan()) {
            self.amount(money);
        }
        let labels = [
            ("category", &batch.category),
            ("channel", &batch.channel),
            ("device", &batch.device),
            ("campaign", &batch.campaign),
        ];
        for (column, labels) in labels {
            if let Some(labels) = labels {
                self.names.entry(column).or_default().labels(labels);
            }
        }
        self.names.entry("event").or_default().labels(&batch.event);
        if let Some(products) = &part.texts.product {
            let tally = self.names.entry("product").or_default();
            for product in products {
                match product {
                    Some(product) => tally.add(product, 1),
                    None => tally.missing += 1,
                }
            }
        }
        row_hashes(part, &mut rows);
        let duplicates = self.duplicates.get_or_insert(Duplicates { rows: 0, first: None, compared: 0 });
        for (at, hash) in rows.into_iter().enumerate() {
            if duplicates.compared == MOST_DUPLICATE_ROWS {
                break;
            }
            duplicates.compared += 1;
            if !self.seen.insert(hash) {
                duplicates.rows += 1;
                duplicates.first.get_or_insert_with(|| (events.layouts[part.file].name.clone(), part.row_numbers[at]));
            }
        }
    }

    fn orders(&mut self, part: &Decoded, customers: &[u64], order_event: &str) {
        let batch = &part.batch;
        for row in 0..batch.len() {
            let customer = customers[row];
            let id = part.texts.order.as_ref().filter(|orders| arrow::array::Array::is_valid(*orders, row));
            let id = id.map(|orders| orders.value(row));
            if let Some(id) = id {
                let order = hash_text(id);
                if *self.order_owner.entry(order).or_insert(customer) != customer && self.conflicting.insert(order) {
                    self.conflicting_example.get_or_insert_with(|| id.to_string());
                }
            }
            let code = batch.event.codes[row];
            if code == NO_LABEL || batch.event.names[code as usize] != order_event {
                continue;
            }
            let order = match id {
                Some(id) => hash_text(id),
                None => mix(customer, Day::of_wall(batch.time[row]).0 as u64),
            };
            self.orders.insert(order);
            if self.customer_orders.insert(mix(customer, order)) {
                *self.customers.entry(customer).or_insert(0) += 1;
            }
        }
    }

    fn amount(&mut self, money: f64) {
        let bits = (money.abs().to_bits() >> (52 - MEDIAN_BITS)) as i64;
        *self.amounts.entry(if money < 0.0 { -bits } else { bits }).or_insert(0) += 1;
        self.negative += u64::from(money < 0.0);
        let all = self.money.get_or_insert(Money {
            rows: 0,
            sum: 0.0,
            min: money,
            median_approximate: 0.0,
            max: money,
            negative_share: 0.0,
        });
        all.rows += 1;
        all.sum += money;
        all.min = all.min.min(money);
        all.max = all.max.max(money);
    }

    /// The middle of the bucket that holds the middle amount (the lower one of two).
    fn median(&self) -> f64 {
        let n: u64 = self.amounts.values().sum();
        let mut before = 0;
        for (&key, &rows) in &self.amounts {
            before += rows;
            if 2 * before >= n {
                let edge = |bits: u64| f64::from_bits(bits << (52 - MEDIAN_BITS));
                let bits = key.unsigned_abs();
                let middle = if bits == 0 { 0.0 } else { (edge(bits) + edge(bits + 1)) / 2.0 };
                return if key < 0 { -middle } else { middle };
            }
        }
        0.0
    }

    pub(super) fn report(mut self, events: &Events, config: &Config, summary: ReadSummary) -> CheckReport {
        let median = self.median();
        let money = self.money.take().map(|money| Money {
            median_approximate: median.clamp(money.min, money.max),
            negative_share: self.negative as f64 / money.rows as f64,
            ..money
        });
        let with_orders = self.customers.values().filter(|&&orders| orders > 0).count() as u64;
        let orders = (with_orders > 0).then(|| Orders {
            orders: self.orders.len() as u64,
            customers: with_orders,
            per_customer: self.customer_orders.len() as f64 / with_orders as f64,
            repeat_share: self.customers.values().filter(|&&orders| orders > 1).count() as f64 / with_orders as f64,
            conflicting: self.conflicting.len() as u64,
            conflicting_example: self.conflicting_example.clone(),
        });
        let history_days = match (self.days.first_key_value(), self.days.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        };
        let has_value = events.mapping().has(Role::Value);
        let mut counts: Vec<EventCount> = std::mem::take(&mut self.events)
            .into_iter()
            .map(|(name, (rows, value))| EventCount { name, rows, value: has_value.then_some(value) })
            .collect();
        counts.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.name.cmp(&b.name)));
        let names: Vec<Names> = self
            .names
            .iter()
            .filter(|(column, _)| **column != "event")
            .map(|(&column, tally)| {
                let mut top = tally.sorted();
                let distinct = top.len();
                top.truncate(TOP);
                Names { column, distinct, missing: tally.missing, top }
            })
            .collect();
        let spellings = self.names.iter().flat_map(|(&column, tally)| tally.spellings(column)).collect();
        let targets = targets(config, &counts, has_value, &names, history_days);
        let mut report = CheckReport {
            files: events
                .files()
                .iter()
                .map(|file| CheckedFile {
                    name: file.name.clone(),
                    bytes: file.size,
                    format: file.format,
                    compression: file.compression,
                })
                .collect(),
            mapping: events.mapping().lines(),
            extras: uses_of_extras(config, events),
            customers: self.customers.len() as u64,
            first: summary.first_time.map(wall_text),
            last: summary.last_time.map(wall_text),
            history_days,
            events: counts,
            names,
            money,
            orders,
            gaps: gaps(&self.days),
            duplicates: self.duplicates.take().unwrap_or(Duplicates { rows: 0, first: None, compared: 0 }),
            received_early: self.received_early,
            spellings,
            targets,
            warnings: events.mapping().warnings.clone(),
            problems: Vec::new(),
            summary,
        };
        report.problems = problems(&report, config);
        let warnings = warnings(&report, &self.names);
        report.warnings.extend(warnings);
        report
    }
}

/// Turns hashes of customers into hashes of whole rows.
fn row_hashes(part: &Decoded, rows: &mut [u64]) {
    let batch = &part.batch;
    let mut add = |column: &mut dyn FnMut(usize) -> u64| {
        for (row, hash) in rows.iter_mut().enumerate() {
            *hash = mix(*hash, column(row));
        }
    };
    add(&mut |row| batch.time[row] as u64);
    let labels = [
        Some(&batch.event),
        batch.category.as_ref(),
        batch.channel.as_ref(),
        batch.device.as_ref(),
        batch.campaign.as_ref(),
    ];
    for labels in labels.into_iter().flatten() {
        let hashes: Vec<u64> = labels.names.iter().map(|name| hash_text(name)).collect();
        add(&mut |row| hashes.get(labels.codes[row] as usize).copied().unwrap_or(0));
    }
    let HashedTexts { product, order } = &part.texts;
    for texts in [product, order].into_iter().flatten() {
        add(&mut |row| if arrow::array::Array::is_null(texts, row) { 0 } else { hash_text(texts.value(row)) });
    }
    if let Some(values) = &batch.value {
        add(&mut |row| values[row].to_bits());
    }
    if let Some(quantities) = &batch.quantity {
        add(&mut |row| u64::from(quantities[row].to_bits()));
    }
    if let Some(days) = &batch.received {
        add(&mut |row| days[row] as u64);
    }
}

/// The longest runs of days without events, the longest first.
fn gaps(days: &BTreeMap<i32, u64>) -> Vec<Gap> {
    let days: Vec<i32> = days.keys().copied().collect();
    let mut gaps: Vec<Gap> = days
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 1)
        .map(|pair| Gap { first: Day(pair[0] + 1), last: Day(pair[1] - 1), days: pair[1] - pair[0] - 1 })
        .collect();
    gaps.sort_by(|a, b| b.days.cmp(&a.days).then_with(|| a.first.cmp(&b.first)));
    gaps.truncate(TOP_GAPS);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_the_days_between() {
        let days: BTreeMap<i32, u64> = [1, 2, 5, 6, 20].into_iter().map(|day| (day, 1)).collect();
        let wanted = [Gap { first: Day(7), last: Day(19), days: 13 }, Gap { first: Day(3), last: Day(4), days: 2 }];
        assert_eq!(gaps(&days), wanted);
        assert!(gaps(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn the_median_is_within_one_percent() {
        let mut tally = Tally::default();
        for amount in 1..=999 {
            tally.amount(f64::from(amount) - 100.5);
        }
        assert!((tally.median() / 399.5 - 1.0).abs() < 1.0 / 128.0, "{}", tally.median());
    }

    #[test]
    fn spellings_differ_in_case_and_blanks() {
        let mut tally = NameTally::default();
        for (name, rows) in [("Cortado", 5), ("cortado ", 2), ("Cor tado", 1), ("Latte", 9)] {
            tally.add(name, rows);
        }
        let spellings = tally.spellings("product");
        let [Spelling { names, .. }] = spellings.as_slice() else { panic!("one group: {spellings:?}") };
        assert_eq!(names.iter().map(|count| count.rows).collect::<Vec<_>>(), [5, 2, 1]);
    }
}
