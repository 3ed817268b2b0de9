//! `check`: what the events hold, what is wrong with them, what can be learned from them.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use twox_hash::XxHash3_64;

use super::batch::{EventBatch, Labels, NO_LABEL};
use super::decode::Decoded;
use super::error::EventsError;
use super::formats::{Compression, Format};
use super::open::Events;
use super::reader::{ReadLimit, ReadSummary};
use super::schema::Role;
use crate::config::{Config, Per, TargetKind};
use crate::time::{DAY_MICROS, Day};

/// Names kept of one column; more are counted without their names.
const MOST_NAMES: usize = 50_000;
/// Rows among which duplicates are looked for: eight bytes each are remembered.
const MOST_DUPLICATE_ROWS: u64 = 50_000_000;
/// Listed of anything that may be long.
const TOP: usize = 10;
/// Gaps listed.
const TOP_GAPS: usize = 5;
/// Bits of a money amount's fraction that the median distinguishes: within 1/128 of the true one.
const MEDIAN_BITS: u32 = 6;

/// A file, as the report lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedFile {
    /// Its name.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// How its rows are written.
    pub format: Format,
    /// How its bytes are packed.
    pub compression: Compression,
}

/// Events of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventCount {
    /// What happened; empty where the event column is.
    pub name: String,
    /// How often.
    pub rows: u64,
    /// Sum of its money; `None` without a value column.
    pub value: Option<f64>,
}

/// A value of a column and its number of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameCount {
    /// The value.
    pub name: String,
    /// Events that have it.
    pub rows: u64,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// Our name of the column.
    pub column: &'static str,
    /// Different values; of more than 50,000, only these are told apart.
    pub distinct: usize,
    /// Events without one.
    pub missing: u64,
    /// The most frequent ten.
    pub top: Vec<NameCount>,
}

/// Values of one column that differ only in case or blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spelling {
    /// Our name of the column.
    pub column: &'static str,
    /// The ways in which it is written, the most frequent first.
    pub names: Vec<NameCount>,
}

/// The money of all events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Money {
    /// Events with money.
    pub rows: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest amount.
    pub min: f64,
    /// The middle amount, within 1 %.
    pub median_approximate: f64,
    /// The largest amount.
    pub max: f64,
    /// Share of the amounts below zero, 0 to 1.
    pub negative_share: f64,
}

/// Orders: events of `order_event` with the same `order_id`, or of the same customer and day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Orders {
    /// How many.
    pub orders: u64,
    /// Customers who have one.
    pub customers: u64,
    /// Orders for each of these customers.
    pub per_customer: f64,
    /// Share of these customers with more than one, 0 to 1.
    pub repeat_share: f64,
    /// Order ids that belong to several customers.
    pub conflicting: u64,
    /// One of these ids.
    pub conflicting_example: Option<String>,
}

/// Days in a row without any event, between the first and the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First day without.
    pub first: Day,
    /// Last day without.
    pub last: Day,
    /// How many.
    pub days: i32,
}

/// Events that equal an earlier one in every mapped column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// How many repeat an earlier one.
    pub rows: u64,
    /// File and row of the first that does.
    pub first: Option<(String, u64)>,
    /// Events that were compared.
    pub compared: u64,
}

/// Whether a target can be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetCheck {
    /// Its name in the configuration.
    pub name: String,
    /// Its horizon there.
    pub horizon_days: i32,
    /// The longest horizon of which the history holds two windows; 0: none.
    pub longest_horizon_days: i32,
    /// Why it cannot be learned as configured; `None` when it can.
    pub obstacle: Option<String>,
}

/// What the events hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The files.
    pub files: Vec<CheckedFile>,
    /// Which column is which.
    pub mapping: Vec<String>,
    /// What became of the rows.
    pub summary: ReadSummary,
    /// Different customers.
    pub customers: u64,
    /// Wall time of the first event.
    pub first: Option<String>,
    /// Of the last.
    pub last: Option<String>,
    /// Days from the first to the last, both counted.
    pub history_days: i32,
    /// Events by kind, the most frequent first.
    pub events: Vec<EventCount>,
    /// The label columns and the products.
    pub names: Vec<Names>,
    /// The money; `None` without any.
    pub money: Option<Money>,
    /// The orders; `None` without any.
    pub orders: Option<Orders>,
    /// The five longest gaps.
    pub gaps: Vec<Gap>,
    /// Repeated rows.
    pub duplicates: Duplicates,
    /// Values that are probably one.
    pub spellings: Vec<Spelling>,
    /// What can be learned.
    pub targets: Vec<TargetCheck>,
    /// What a person should look at.
    pub warnings: Vec<String>,
    /// What would stop a run.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// What would stop `fit`: too many unusable rows, no event left, no order, nothing to learn.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Reads all events and reports on them. Too many unusable rows are a problem of the report here,
/// not an error.
///
/// Remembers eight to sixteen bytes for each event, customer and order.
///
/// # Errors
/// Files that cannot be read on.
pub fn check(events: &Events, config: &Config) -> Result<CheckReport, EventsError> {
    let mut reader = events.reader_keeping(ReadLimit::default(), None, true)?;
    let mut tally = Tally::default();
    while let Some(round) = reader.next_decoded()? {
        for part in &round {
            tally.take(part, events, &config.events.order_event);
        }
    }
    let summary = reader.summary()?;
    Ok(tally.report(events, config, summary))
}

/// Counts by name.
#[derive(Debug, Default)]
struct NameTally {
    rows: HashMap<String, u64>,
    missing: u64,
    /// Events with names beyond [`MOST_NAMES`].
    untold: u64,
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
struct Tally {
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
    fn take(&mut self, part: &Decoded, events: &Events, order_event: &str) {
        let batch = &part.batch;
        let mut rows: Vec<u64> = batch.customer.iter().map(|name| hash_text(name.unwrap_or_default())).collect();
        self.orders(batch, &rows, order_event);
        for &customer in &rows {
            self.customers.entry(customer).or_insert(0);
        }
        for &time in &batch.time {
            *self.days.entry(Day::of_wall(time).0).or_insert(0) += 1;
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
        if let Some(products) = &batch.product {
            let tally = self.names.entry("product").or_default();
            for product in products {
                match product {
                    Some(product) => tally.add(product, 1),
                    None => tally.missing += 1,
                }
            }
        }
        row_hashes(batch, &mut rows);
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

    fn orders(&mut self, batch: &EventBatch, customers: &[u64], order_event: &str) {
        for row in 0..batch.len() {
            let customer = customers[row];
            let id = batch.order.as_ref().filter(|orders| arrow::array::Array::is_valid(*orders, row));
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

    fn report(mut self, events: &Events, config: &Config, summary: ReadSummary) -> CheckReport {
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
fn row_hashes(batch: &EventBatch, rows: &mut [u64]) {
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
    for texts in [&batch.product, &batch.order].into_iter().flatten() {
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

/// The longest horizon of which a history holds a training and a test window, after the days that
/// the first cut-off needs.
fn longest_horizon(history_days: i32, min_history_days: u16) -> i32 {
    let needs = |horizon: i32| {
        let before = if min_history_days > 0 { i32::from(min_history_days) } else { (horizon / 4).max(7) };
        before + 2 * horizon
    };
    (1..=730).rev().find(|&horizon| needs(horizon) <= history_days).unwrap_or(0)
}

fn targets(
    config: &Config,
    events: &[EventCount],
    has_value: bool,
    names: &[Names],
    history_days: i32,
) -> Vec<TargetCheck> {
    let longest = longest_horizon(history_days, config.training.min_history_days);
    let n_categories = names.iter().find(|names| names.column == "category").map_or(0, |names| names.distinct);
    let mut wanted: Vec<(String, TargetKind, String, bool, i32)> = Vec::new();
    let order_event = &config.events.order_event;
    for (name, target) in &config.target {
        let event = target.event.clone().unwrap_or_else(|| order_event.clone());
        wanted.push((name.clone(), target.kind, event, target.per == Some(Per::Category), target.horizon_days.days()));
    }
    if wanted.is_empty() {
        for (name, kind) in
            [("churn", TargetKind::Absence), ("orders", TargetKind::Count), ("value", TargetKind::Amount)]
        {
            wanted.push((name.into(), kind, order_event.clone(), false, 90));
        }
        wanted.push(("categories".into(), TargetKind::Presence, order_event.clone(), true, 30));
    }
    let check = |(name, kind, event, is_per_category, horizon_days): (String, TargetKind, String, bool, i32)| {
        let found = events.iter().find(|count| count.name == event);
        let obstacle = if found.is_none() {
            Some(format!("there is no event `{event}`"))
        } else if kind == TargetKind::Amount && !has_value {
            Some("there is no value column".into())
        } else if kind == TargetKind::Amount && found.is_some_and(|count| count.value == Some(0.0)) {
            Some(format!("the events `{event}` bring no money"))
        } else if is_per_category && n_categories == 0 {
            Some("there are no categories".into())
        } else if horizon_days > longest {
            Some(format!("the history of {history_days} days holds no two windows of {horizon_days} days"))
        } else {
            None
        };
        TargetCheck { name, horizon_days, longest_horizon_days: longest, obstacle }
    };
    wanted.into_iter().map(check).collect()
}

fn problems(report: &CheckReport, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let (summary, max_share) = (&report.summary, config.events.max_reject_share);
    if summary.reject_share() > max_share {
        problems.push(format!(
            "{} of {} rows are unusable ({:.4} %), more than the {:.4} % that `max_reject_share` allows",
            summary.rejected(),
            summary.judged(),
            summary.reject_share() * 100.0,
            max_share * 100.0
        ));
    }
    if summary.used == 0 {
        problems.push("no usable event of a customer is left".into());
        return problems;
    }
    let order_event = &config.events.order_event;
    if !report.events.iter().any(|count| count.name == *order_event) {
        let names: Vec<String> = report.events.iter().take(TOP).map(|count| format!("`{}`", count.name)).collect();
        problems.push(format!(
            "there is no event `{order_event}`, only {}: set `order_event` under `[events]`",
            names.join(", ")
        ));
    }
    if report.targets.iter().all(|target| target.obstacle.is_some()) {
        problems.push("no target can be learned as configured".into());
    }
    problems
}

fn warnings(report: &CheckReport, names: &BTreeMap<&'static str, NameTally>) -> Vec<String> {
    let mut warnings = Vec::new();
    let summary = &report.summary;
    if summary.unnamed_rows > 0 {
        warnings.push(format!("{} events have no name: their event column is empty", summary.unnamed_rows));
    }
    if let Some(count) = summary.rejects.get(&super::rejects::RejectReason::UnreadableText) {
        warnings.push(format!(
            "{} rows hold text that is not UTF-8; if the file is in another code, convert it, for instance with `iconv -f WINDOWS-1252 -t UTF-8`",
            count.rows
        ));
    }
    for spelling in &report.spellings {
        let ways: Vec<String> =
            spelling.names.iter().map(|count| format!("`{}` ({})", count.name, count.rows)).collect();
        warnings.push(format!("{}: written in {} ways: {}", spelling.column, ways.len(), ways.join(", ")));
    }
    for (column, _) in names.iter().filter(|(_, tally)| tally.untold > 0) {
        warnings.push(format!("{column}: only the first {MOST_NAMES} different values are told apart"));
    }
    if let Some(orders) = report.orders.as_ref().filter(|orders| orders.conflicting > 0) {
        let example = orders.conflicting_example.as_deref().unwrap_or_default();
        warnings
            .push(format!("{} order ids belong to several customers, for instance `{example}`", orders.conflicting));
    }
    if report.duplicates.rows > 0 {
        warnings.push(format!(
            "{} events equal an earlier one in every mapped column; they are kept",
            report.duplicates.rows
        ));
    }
    if let (Some(first), Some(last)) = (summary.first_time, summary.last_time)
        && last < 60 * DAY_MICROS
        && first >= 0
    {
        warnings.push("all times lie in the first weeks of 1970: the unit of the time column is probably wrong".into());
    }
    warnings
}

/// `2024-03-01 10:15:00`.
fn wall_text(wall: i64) -> String {
    let seconds = wall.rem_euclid(DAY_MICROS) / 1_000_000;
    format!("{} {:02}:{:02}:{:02}", Day::of_wall(wall), seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_windows_and_a_start_must_fit() {
        assert_eq!(longest_horizon(2 * 90 + 22, 0), 90, "a quarter of 90, rounded down");
        assert_eq!(longest_horizon(2 * 90 + 21, 0), 89);
        assert_eq!(longest_horizon(9, 0), 1);
        assert_eq!(longest_horizon(8, 0), 0);
        assert_eq!(longest_horizon(100, 60), 20);
        assert_eq!(longest_horizon(i32::MAX, 0), 730);
    }

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
