//! The long table: a row for a customer and a group, written group by group.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::super::categories::{Audience, Best, CategoryManifest, CategoryOptions, SHARES, folder};
use super::super::manifest::MANIFEST;
use super::super::schema::{SCHEMA_VERSION, field, note};
use super::{BATCH_ROWS, Place, Table};
use crate::error::FileError;
use crate::labels::Target;
use crate::metrics::order::Order;
use crate::metrics::ranking::rank_of;
use crate::sink::{FileFormat, Sink};
use crate::storage;
use crate::time::Day;

/// Whether a customer may be contacted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contact {
    Free,
    HeldOut,
    Excluded,
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
    /// Puts the long table of the day in the place of the former one. A bundle without groups has none; of another
    /// bundle's, which would speak of a day that is scored anew, only the frame is left.
    pub(in crate::scores) fn replace_categories(
        &self,
        out: &Path,
        as_of: Day,
        format: FileFormat,
        options: CategoryOptions,
    ) -> Result<(), FileError> {
        let target = folder(out, as_of);
        let has_groups = self.bundle.parameters.targets.iter().any(|fitted| fitted.target.per_group);
        if !has_groups && !target.exists() {
            return Ok(());
        }
        storage::replace_folder(&target, |temporary| {
            let name = format.file_name();
            let (rows, audiences) = self.write_categories(&temporary.join(name), as_of, format, options)?;
            let manifest = CategoryManifest {
                as_of,
                bundle_id: self.bundle.manifest.bundle_id.clone(),
                schema_version: SCHEMA_VERSION,
                rows,
                top: options.top,
                lift: options.lift,
                audiences,
                forgotten: 0,
                files: [(name.to_string(), storage::fingerprint(&temporary.join(name))?)].into(),
                complete: true,
            };
            let path = temporary.join(MANIFEST);
            std::fs::write(&path, manifest.to_json()).map_err(FileError::at("write", &path))
        })
    }

    /// Writes all rows and returns how many. Memory: 2 bytes a customer and group, and the ranks of one
    /// group a thread.
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
        let sums = self.sums();
        let contact: Vec<Contact> = self.order.par_iter().map(|&place| self.contact(place)).collect();
        let (mut first, mut written, mut audiences) = (0, 0, Vec::new());
        let at_once = rayon::current_num_threads().max(1);
        for fitted in &self.bundle.parameters.targets {
            let columns = first..first + fitted.columns.len();
            first = columns.end;
            if !fitted.target.per_group {
                continue;
            }
            let in_customer = self.ranks_in_customer(columns.clone());
            let group = |(index, column): (usize, usize)| {
                let (count, sum) = sums[column];
                let base = if count > 0 { sum / count as f64 } else { 0.0 };
                Group { target: &fitted.target, index, column, name: &self.columns[column], base }
            };
            let groups: Vec<Group> = columns.enumerate().map(group).collect();
            // A few groups are ranked in parallel, and their rows written in order.
            for groups in groups.chunks(at_once) {
                let ranked: Vec<(Rows, Audience)> =
                    groups.par_iter().map(|group| self.group(group, &in_customer, &contact, options)).collect();
                for (group, (rows, audience)) in groups.iter().zip(ranked) {
                    for stretch in rows.rows.chunks(at_once * BATCH_ROWS) {
                        let batch =
                            |rows_of: &[Row]| self.category_batch(group, rows_of, rows.customers, &schema, as_of);
                        let batches: Vec<RecordBatch> = stretch.par_chunks(BATCH_ROWS).map(batch).collect();
                        batches.iter().try_for_each(|batch| writer.write(batch))?;
                    }
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

    /// Ranks of the columns within each row, 1 = highest, equal ones in order of the columns: rows × columns of each
    /// partition.
    fn ranks_in_customer(&self, columns: Range<usize>) -> Vec<Vec<u16>> {
        let width = columns.len();
        let of_part = |part: usize| {
            let scores = &self.partitions[part];
            let mut ranks = vec![0u16; scores.hashes.len() * width];
            let mut order: Vec<u16> = Vec::with_capacity(width);
            for (row, ranks) in ranks.chunks_exact_mut(width).enumerate() {
                let score = |group: u16| scores.predictions[columns.start + usize::from(group)][row];
                order.clear();
                order.extend(0..width as u16);
                order.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
                order.iter().zip(1..).for_each(|(&group, rank)| ranks[usize::from(group)] = rank);
            }
            ranks
        };
        (0..self.partitions.len()).into_par_iter().map(of_part).collect()
    }

    /// The rows of a group in order of rank, equal scores in order of the id; and whom to address.
    fn group(
        &self,
        group: &Group,
        in_customer: &[Vec<u16>],
        contact: &[Contact],
        options: CategoryOptions,
    ) -> (Rows, Audience) {
        let all = self.gather(|scores| &scores.predictions[group.column]);
        let (positions, scores): (Vec<u32>, Vec<f64>) = (0..).zip(all).filter(|(_, score)| !score.is_nan()).unzip();
        let order = Order::descending(&scores).expect("NaN was left out");
        let width = group.target.groups.len();
        let worthwhile = (group.base > 0.0).then_some(options.lift * group.base);
        let (mut held_out, mut excluded, mut rank) = (0, 0, 1);
        let mut free: Vec<f64> = Vec::new();
        let mut rows = Vec::new();
        for (place, (&index, &is_last)) in (0u32..).zip(order.rows.iter().zip(&order.last_of_tie)) {
            let (position, score) = (positions[index as usize], scores[index as usize]);
            let in_audience = match contact[position as usize] {
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
            let Place { partition, row } = self.order[position as usize];
            let in_customer = in_customer[partition as usize][row as usize * width + group.index];
            if in_customer <= options.top || worthwhile.is_some_and(|least| score >= least) {
                rows.push(Row { position, score, in_customer, in_group: rank, in_audience });
            }
            if is_last {
                rank = place + 2; // places begin at 0, ranks at 1
            }
        }
        let total: f64 = free.iter().sum();
        let best = |customers: usize| Best::of(&free, customers, group.base, total);
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
            customers: scores.len() as u64,
            held_out,
            excluded,
            addressable: free.len() as u64,
            base: group.base,
            expected: total,
            suggested: worthwhile.map(|least| best(free.partition_point(|score| *score >= least))),
            half: half.filter(|_| total > 0.0).map(|last| best(last + 1)),
            top_percent: SHARES.iter().map(share).collect(),
        };
        (Rows { rows, customers: scores.len() as u64 }, audience)
    }

    fn category_batch(
        &self,
        group: &Group,
        rows: &[Row],
        customers: u64,
        schema: &SchemaRef,
        as_of: Day,
    ) -> RecordBatch {
        let n = rows.len();
        let target = group.target;
        let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; n])) };
        let ids = rows.iter().map(|row| {
            let (scores, index) = self.scores(self.order[row.position as usize]);
            Some(scores.ids.value(index))
        });
        let score = |is_wanted: bool| -> ArrayRef {
            Arc::new(rows.iter().map(|row| is_wanted.then_some(row.score)).collect::<Float64Array>())
        };
        let is_known = group.base > 0.0;
        let lift = rows.iter().map(|row| is_known.then(|| row.score / group.base));
        let share = |row: &Row, parts: u64| rank_of(parts, customers + 1 - u64::from(row.in_group), customers);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<StringArray>()),
            Arc::new(Date32Array::from(vec![as_of.0; n])),
            same(&target.name),
            same(&target.event),
            same(&target.groups[group.index].name),
            Arc::new(Int32Array::from(vec![target.horizon.days(); n])),
            score(target.is_probability()),
            score(!target.is_probability()),
            Arc::new(lift.collect::<Float64Array>()),
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.in_customer))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.in_group))),
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| share(row, 100) as u8))),
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| share(row, 1000) as u16))),
            Arc::new(rows.iter().map(|row| row.in_audience).collect::<UInt32Array>()),
            same(&self.bundle.manifest.bundle_id),
            Arc::new(Int32Array::from(vec![SCHEMA_VERSION; n])),
        ];
        RecordBatch::try_new(Arc::clone(schema), arrays).expect("one array for each field")
    }
}
