//! The long table: a row for a customer and a group, written group by group.

mod standing;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::super::categories::{Audience, Best, CategoryManifest, CategoryOptions, SHARES, folder};
use super::super::manifest::MANIFEST;
use super::super::schema::{SCHEMA_VERSION, field, note};
use super::{BATCH_ROWS, PartitionScores, Place, Table};
use crate::error::FileError;
use crate::labels::Target;
use crate::metrics::ranking::rank_of;
use crate::sink::{FileFormat, Sink};
use crate::storage;
use crate::time::Day;
use standing::{Contact, Standing, sort};

/// What ranking the customers of a group looks at, in order of the partitions.
struct Standings {
    /// Of each partition, row by row: the place in the order of the file.
    positions: Vec<Vec<u32>>,
    contact: Vec<Vec<Contact>>,
    /// Of each partition, group after group: the rank of the group within each row, 1 = highest.
    in_customer: Vec<Vec<u16>>,
}

/// Memory that ranking a group takes; what the system would have to hand out anew for each costs more than what is done in it.
#[derive(Default)]
struct Desk {
    order: Vec<Standing>,
    sorted: Vec<Standing>,
    /// Scores of those who may be contacted, descending.
    free: Vec<f64>,
}

/// One group of a target.
struct Group<'a> {
    target: &'a Target,
    index: usize,
    /// Its score column among those of all targets.
    column: usize,
    /// Name of it.
    name: &'a str,
    /// Mean of the scores.
    base: f64,
}

/// A row of the long table.
struct Row {
    /// Place in the order of the score file.
    position: u32,
    score: f64,
    in_customer: u16,
    in_group: u32,
    in_audience: Option<u32>,
}

/// All rows of a group.
struct Rows {
    rows: Vec<Row>,
    /// Customers with a score.
    customers: u64,
}

fn schema() -> SchemaRef {
    let notes = |unit: &str, text: &str| [("unit", unit.to_string()), ("note", text.to_string())];
    let fields: Vec<Field> = vec![
        field("customer_id", DataType::Utf8, false, &note("as in the events")),
        field("as_of", DataType::Date32, false, &note("history is every event before this day")),
        field("target", DataType::Utf8, false, &note("name of the target, as in the configuration")),
        field("event", DataType::Utf8, false, &note("the event that it is about")),
        field("group", DataType::Utf8, false, &note("the category, as in the data")),
        field("horizon_days", DataType::Int32, false, &notes("days", "length of the window that begins at as_of")),
        field("probability", DataType::Float64, true, &note("that it happens; null for amounts and counts")),
        field("predicted", DataType::Float64, true, &note("expected amount or count; null for probabilities")),
        field(
            "lift",
            DataType::Float64,
            true,
            &note("score ÷ mean score of the group; null where that is not above 0"),
        ),
        field("rank_in_customer", DataType::UInt16, false, &note("1 = the customer's best group of the target")),
        field("rank_in_group", DataType::UInt32, false, &note("1 = highest of all customers; equal scores rank equal")),
        field("percentile_in_group", DataType::UInt8, false, &note("1 to 100, 100 = highest")),
        field("permille_in_group", DataType::UInt16, false, &note("1 to 1000, 1000 = highest")),
        field(
            "audience_rank",
            DataType::UInt32,
            true,
            &note("1, 2, 3 … among those who may be contacted; null for the held out and the excluded"),
        ),
        field("bundle_id", DataType::Utf8, false, &note("the bundle that made the predictions")),
        field("schema_version", DataType::Int32, false, &note("meaning of the columns")),
    ];
    Arc::new(Schema::new(fields))
}

impl Table<'_> {
    /// Puts the long table of the day in the place of the former one, if `beside`, which is done at the same time, succeeds; returns what
    /// it returns. A bundle without groups has none; of another bundle's, which would speak of a day that is scored anew, only
    /// the frame is left.
    pub(in crate::scores) fn replace_categories<T: Send>(
        &self,
        out: &Path,
        as_of: Day,
        format: FileFormat,
        options: CategoryOptions,
        beside: impl FnOnce() -> Result<T, FileError> + Send,
    ) -> Result<T, FileError> {
        let target = folder(out, as_of);
        let has_groups = self.bundle.parameters.targets.iter().any(|fitted| fitted.target.per_group);
        if !has_groups && !target.exists() {
            return beside();
        }
        storage::replace_folder(&target, |temporary| {
            let name = format.file_name();
            let write = || {
                let written = self.write_categories(&temporary.join(name), as_of, format, options)?;
                Ok::<_, FileError>((written, storage::fingerprint(&temporary.join(name))?))
            };
            let (done, written) = rayon::join(beside, write);
            let done = done?;
            let ((rows, audiences), fingerprint) = written?;
            let mut manifest = CategoryManifest {
                as_of,
                bundle_id: self.bundle.manifest.bundle_id.clone(),
                schema_version: SCHEMA_VERSION,
                rows,
                top: options.top,
                lift: options.lift,
                audiences,
                forgotten: 0,
                files: [(name.to_string(), fingerprint)].into(),
                complete: true,
                seal: String::new(),
            };
            let path = temporary.join(MANIFEST);
            std::fs::write(&path, manifest.sealed()).map_err(FileError::at("write", &path))?;
            Ok(done)
        })
    }

    /// Writes all rows and returns how many. Memory: 2 bytes a customer and group, and the ranks of a few
    /// groups a thread.
    fn write_categories(
        &self,
        path: &Path,
        as_of: Day,
        format: FileFormat,
        options: CategoryOptions,
    ) -> Result<(u64, Vec<Audience>), FileError> {
        let schema = schema();
        let metadata = self.metadata(as_of);
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut writer = Sink::create(format, path, &schema, &metadata)?;
        let (mut first, mut written, mut audiences) = (0, 0, Vec::new());
        let at_once = rayon::current_num_threads().max(1);
        for fitted in &self.bundle.parameters.targets {
            let columns = first..first + fitted.columns.len();
            first = columns.end;
            if !fitted.target.per_group {
                continue;
            }
            let standings = self.standings(columns.clone());
            let group = |(index, column): (usize, usize)| {
                let (count, sum) = self.sums[column];
                let base = if count > 0 { sum / count as f64 } else { 0.0 };
                Group { target: &fitted.target, index, column, name: &self.columns[column], base }
            };
            let groups: Vec<Group> = columns.enumerate().map(group).collect();
            let desks: Mutex<Vec<Desk>> = Mutex::default();
            let desks = || desks.lock().unwrap_or_else(PoisonError::into_inner);
            let rank = |groups: &[Group]| -> Vec<(Rows, Audience)> {
                let one = |group: &Group| {
                    let desk = desks().pop();
                    let mut desk = desk.unwrap_or_default();
                    let ranked = self.group(group, &standings, options, &mut desk);
                    desks().push(desk);
                    ranked
                };
                groups.par_iter().map(one).collect()
            };
            // A few groups are ranked in parallel, while the rows of those before them are written in order.
            let mut stretches = groups.chunks(at_once);
            let mut groups = stretches.next().unwrap_or_default();
            let mut ranked = rank(groups);
            while !groups.is_empty() {
                let next = stretches.next().unwrap_or_default();
                let write = || {
                    groups.iter().zip(&ranked).try_for_each(|(group, (rows, _))| {
                        let same = Same::of(group, &self.bundle.manifest.bundle_id, as_of);
                        rows.rows.chunks(at_once * BATCH_ROWS).try_for_each(|stretch| {
                            let batch =
                                |rows_of: &[Row]| self.category_batch(group, rows_of, rows.customers, &same, &schema);
                            let batches: Vec<RecordBatch> = stretch.par_chunks(BATCH_ROWS).map(batch).collect();
                            writer.write_all(&batches)
                        })
                    })
                };
                let (done, ranked_next) = rayon::join(write, || rank(next));
                done?;
                groups = next;
                for (rows, audience) in std::mem::replace(&mut ranked, ranked_next) {
                    written += rows.rows.len() as u64;
                    audiences.push(audience);
                }
            }
        }
        writer.finish()?;
        Ok((written, audiences))
    }

    fn contact(&self, place: Place) -> Contact {
        let (scores, row) = self.scores(place);
        match () {
            () if self.is_held_out(place) => Contact::HeldOut,
            () if scores.excluded_until[row].is_some() => Contact::Excluded,
            () => Contact::Free,
        }
    }

    /// What ranking looks at of the groups of these columns.
    fn standings(&self, columns: Range<usize>) -> Standings {
        let mut positions: Vec<Vec<u32>> = self.partitions.iter().map(|scores| vec![0; scores.hashes.len()]).collect();
        for (position, place) in (0..).zip(&self.order) {
            positions[place.partition as usize][place.row as usize] = position;
        }
        let contact = |scores: &PartitionScores| -> Vec<Contact> {
            let place = |row: usize| Place { partition: scores.partition, row: row as u32 };
            (0..scores.hashes.len()).map(|row| self.contact(place(row))).collect()
        };
        Standings {
            positions,
            contact: self.partitions.par_iter().map(contact).collect(),
            in_customer: self.partitions.par_iter().map(|scores| ranks_in_customer(scores, columns.clone())).collect(),
        }
    }

    /// The rows of a group in order of rank, equal scores in order of the id; and whom to address.
    fn group(
        &self,
        group: &Group,
        standings: &Standings,
        options: CategoryOptions,
        desk: &mut Desk,
    ) -> (Rows, Audience) {
        let Desk { order, sorted, free } = desk;
        order.clear();
        free.clear();
        for (part, scores) in self.partitions.iter().enumerate() {
            let all = &scores.predictions[group.column];
            let in_customer = &standings.in_customer[part][group.index * all.len()..][..all.len()];
            let known = all.iter().zip(&standings.positions[part]).zip(in_customer).zip(&standings.contact[part]);
            let known = known.filter(|(((score, _), _), _)| !score.is_nan());
            order.extend(known.map(|(((&score, &position), &in_customer), &contact)| {
                Standing::new(score, position, in_customer, contact)
            }));
        }
        sort(order, sorted);
        let worthwhile = (group.base > 0.0).then_some(options.lift * group.base);
        let (mut held_out, mut excluded, mut rank) = (0, 0, 1);
        let mut rows = Vec::new();
        for (place, standing) in order.iter().enumerate() {
            let score = standing.score();
            if place > 0 && standing.score() != order[place - 1].score() {
                rank = place as u32 + 1; // places begin at 0, ranks at 1
            }
            let in_audience = match standing.contact() {
                Contact::Free => {
                    free.push(score);
                    Some(free.len() as u32)
                }
                Contact::HeldOut => {
                    held_out += 1;
                    None
                }
                Contact::Excluded => {
                    excluded += 1;
                    None
                }
            };
            let in_customer = standing.in_customer();
            if in_customer <= options.top || worthwhile.is_some_and(|least| score >= least) {
                rows.push(Row { position: standing.position(), score, in_customer, in_group: rank, in_audience });
            }
        }
        let total: f64 = free.iter().sum();
        let best = |customers: usize| Best::of(free, customers, group.base, total);
        let mut sum = 0.0;
        let half = free.iter().position(|score| {
            sum += score;
            sum >= total / 2.0
        });
        let share = |&share: &u8| (share, best((usize::from(share) * free.len()).div_ceil(100)));
        let audience = Audience {
            target: group.target.name.clone(),
            event: group.target.event.clone(),
            group: group.target.groups[group.index].name.clone(),
            column: group.name.to_string(),
            is_probability: group.target.is_probability(),
            horizon_days: group.target.horizon.days(),
            customers: order.len() as u64,
            held_out,
            excluded,
            addressable: free.len() as u64,
            base: group.base,
            expected: total,
            suggested: worthwhile.map(|least| best(free.partition_point(|score| *score >= least))),
            half: half.filter(|_| total > 0.0).map(|last| best(last + 1)),
            top_percent: SHARES.iter().map(share).collect(),
        };
        (Rows { rows, customers: order.len() as u64 }, audience)
    }

    fn category_batch(
        &self,
        group: &Group,
        rows: &[Row],
        customers: u64,
        same: &Same,
        schema: &SchemaRef,
    ) -> RecordBatch {
        let n = rows.len();
        let is_probability = group.target.is_probability();
        let ids = rows.iter().map(|row| self.ids.value(row.position as usize));
        let scores: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.score)));
        let none: ArrayRef = Arc::new(Float64Array::new_null(n));
        let (probability, predicted) = if is_probability { (scores, none) } else { (none, scores) };
        let lift: ArrayRef = match group.base > 0.0 {
            true => Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.score / group.base))),
            false => Arc::new(Float64Array::new_null(n)),
        };
        let share = |row: &Row, parts: u64| rank_of(parts, customers + 1 - u64::from(row.in_group), customers);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(ids)),
            same.as_of.slice(0, n),
            same.target.slice(0, n),
            same.event.slice(0, n),
            same.group.slice(0, n),
            same.horizon.slice(0, n),
            probability,
            predicted,
            lift,
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.in_customer))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.in_group))),
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| share(row, 100) as u8))),
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| share(row, 1000) as u16))),
            Arc::new(rows.iter().map(|row| row.in_audience).collect::<UInt32Array>()),
            same.bundle_id.slice(0, n),
            same.version.slice(0, n),
        ];
        RecordBatch::try_new(Arc::clone(schema), arrays).expect("one array for each field")
    }
}

/// What all rows of a group have in common, [`BATCH_ROWS`] times.
struct Same {
    as_of: ArrayRef,
    target: ArrayRef,
    event: ArrayRef,
    group: ArrayRef,
    horizon: ArrayRef,
    bundle_id: ArrayRef,
    version: ArrayRef,
}

impl Same {
    fn of(group: &Group, bundle_id: &str, as_of: Day) -> Self {
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; BATCH_ROWS])) };
        let number = |number: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![number; BATCH_ROWS])) };
        let target = group.target;
        Self {
            as_of: Arc::new(Date32Array::from(vec![as_of.0; BATCH_ROWS])),
            target: text(&target.name),
            event: text(&target.event),
            group: text(&target.groups[group.index].name),
            horizon: number(target.horizon.days()),
            bundle_id: text(bundle_id),
            version: number(SCHEMA_VERSION),
        }
    }
}

/// Ranks of the columns within each row, 1 = highest, equal ones in order of the columns: columns × rows.
fn ranks_in_customer(scores: &PartitionScores, columns: Range<usize>) -> Vec<u16> {
    let (rows, columns) = (scores.hashes.len(), &scores.predictions[columns]);
    let mut ranks = vec![0; rows * columns.len()];
    let mut order: Vec<(i64, u16)> = Vec::with_capacity(columns.len());
    for row in 0..rows {
        order.clear();
        order.extend((0..).zip(columns).map(|(group, column)| (!total_key(column[row]), group)));
        order.sort_unstable();
        order.iter().zip(1..).for_each(|(&(_, group), rank)| ranks[usize::from(group) * rows + row] = rank);
    }
    ranks
}

/// Maps numbers to integers in the order of [`f64::total_cmp`].
fn total_key(number: f64) -> i64 {
    let bits = number.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_keys_are_in_total_order() {
        let numbers = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1e-300, 1.0, f64::INFINITY, f64::NAN];
        assert!(numbers.map(total_key).is_sorted_by(|a, b| a < b));
    }
}
