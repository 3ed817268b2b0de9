//! The score table: ranks over all customers, rows in order of the id, written batch by batch.

mod categories;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, LargeStringArray, ListArray,
    RecordBatch, StringArray, StructArray, UInt8Array, UInt16Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use rayon::prelude::*;

use super::predict::PartitionScores;
use super::realised::Estimate;
use super::reasons::{MOST_REASONS, ReasonsBuilder, Teller};
use super::schema::{
    Extras, SCHEMA_VERSION, at_risk, category_fields, category_target, extras, is_column_of_its_own, schema,
    value_at_risk,
};
use crate::bundle::{Bundle, FittedColumn, FittedTarget};
use crate::error::FileError;
use crate::features::Feature;
use crate::metrics::ranking::{percentiles, percentiles_and_permilles};
use crate::sink::{FileFormat, Sink};
use crate::time::Day;
use crate::timeline::sample_fraction;

/// Rows of a batch: bounds the memory of feature columns.
const BATCH_ROWS: usize = 8192;

/// Entries of `top_categories`.
const TOP_CATEGORIES: usize = 5;

/// Where a row's figures are.
#[derive(Clone, Copy)]
struct Place {
    partition: u32,
    row: u32,
}

/// Ranks of one single-column target, in the order of the file.
struct Ranks {
    percentile: Vec<u8>,
    permille: Vec<u16>,
    in_stage: Vec<u8>,
}

/// All scores, in the order of the file.
pub(super) struct Table<'a> {
    bundle: &'a Bundle,
    partitions: Vec<PartitionScores>,
    order: Vec<Place>,
    /// Their ids: all of them may take more than the 2 GiB that short offsets reach.
    ids: LargeStringArray,
    /// Name of each prediction column.
    columns: Vec<String>,
    /// Of each, how many rows have it, and their sum; sums run by partition, in order.
    sums: Vec<(u64, f64)>,
    /// How the targets that are explained are told.
    tellers: &'a [(usize, Teller)],
    with_features: bool,
}

/// The salt of the hold-out as a number.
fn salt(text: &str) -> u64 {
    crate::timeline::customer_hash(text)
}

/// The first bytes of a text as a number: texts whose numbers differ are ordered as these are. Most comparisons of a sort need no more
/// than it, and it lies beside what is sorted.
fn opening(text: &str) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    let n = text.len().min(bytes.len());
    bytes[..n].copy_from_slice(&text.as_bytes()[..n]);
    u128::from_be_bytes(bytes)
}

fn missing<T>(rank: T) -> Option<T>
where
    T: PartialEq + Default,
{
    (rank != T::default()).then_some(rank) // 0 = not ranked
}

/// An array in which NaN is missing.
fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    let values: Vec<f64> = values.collect();
    let known = BooleanBuffer::collect_bool(values.len(), |row| !values[row].is_nan());
    let known = Some(NullBuffer::new(known)).filter(|known| known.null_count() > 0);
    Arc::new(Float64Array::new(values.into(), known))
}

impl<'a> Table<'a> {
    pub(super) fn new(
        bundle: &'a Bundle,
        partitions: Vec<PartitionScores>,
        tellers: &'a [(usize, Teller)],
        with_features: bool,
    ) -> Self {
        let of_part = |scores: &PartitionScores| -> Vec<(u128, Place)> {
            let place = |row: usize| Place { partition: scores.partition, row: row as u32 };
            (0..scores.hashes.len()).map(|row| (opening(scores.ids.value(row)), place(row))).collect()
        };
        let mut order: Vec<(u128, Place)> = partitions.par_iter().flat_map_iter(of_part).collect();
        let columns: Vec<String> =
            bundle.parameters.targets.iter().flat_map(|fitted| fitted.target.columns()).collect();
        let id = |place: &Place| partitions[place.partition as usize].ids.value(place.row as usize);
        order.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| id(&a.1).cmp(id(&b.1))));
        let order: Vec<Place> = order.into_iter().map(|(_, place)| place).collect();
        let ids = LargeStringArray::from_iter_values(order.iter().map(id));
        let add = |column: usize| {
            let known =
                partitions.iter().flat_map(|scores| &scores.predictions[column]).filter(|value| !value.is_nan());
            known.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value))
        };
        let sums = (0..columns.len()).into_par_iter().map(add).collect();
        Self { bundle, partitions, order, ids, columns, sums, tellers, with_features }
    }

    pub(super) fn parts(&self) -> &[PartitionScores] {
        &self.partitions
    }

    /// Expected figures of each probability that stands alone.
    pub(super) fn estimates(&self) -> BTreeMap<String, Estimate> {
        let mut first = 0;
        let mut estimates = BTreeMap::new();
        for fitted in &self.bundle.parameters.targets {
            let column = first;
            first += fitted.columns.len();
            if fitted.target.is_probability() && !fitted.target.per_group {
                let known: Vec<f64> =
                    self.partitions.iter().flat_map(|scores| scores.predictions[column].iter().copied()).collect();
                estimates.extend(Estimate::of(&known).map(|estimate| (self.columns[column].clone(), estimate)));
            }
        }
        estimates
    }

    pub(super) fn rows(&self) -> usize {
        self.order.len()
    }

    fn scores(&self, place: Place) -> (&PartitionScores, usize) {
        (&self.partitions[place.partition as usize], place.row as usize)
    }

    /// A column of each partition.
    fn column<'t, T>(&'t self, column: impl Fn(&'t PartitionScores) -> &'t [T]) -> Vec<&'t [T]> {
        self.partitions.iter().map(column).collect()
    }

    /// The values of a column at some places.
    fn pick<'t, T: Copy + 't>(
        &'t self,
        places: &'t [Place],
        column: impl Fn(&'t PartitionScores) -> &'t [T],
    ) -> impl Iterator<Item = T> {
        let of_parts = self.column(column);
        places.iter().map(move |place| of_parts[place.partition as usize][place.row as usize])
    }

    /// A column in the order of the file.
    fn gather<'t, T: Copy + Send + Sync + 't>(&'t self, column: impl Fn(&'t PartitionScores) -> &'t [T]) -> Vec<T> {
        let of_parts = self.column(column);
        self.order.par_iter().map(|place| of_parts[place.partition as usize][place.row as usize]).collect()
    }

    pub(super) fn count_by(&self, column: impl Fn(&PartitionScores) -> &Vec<&'static str>) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for name in self.partitions.iter().flat_map(column) {
            *counts.entry(*name).or_insert(0) += 1;
        }
        counts.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    }

    pub(super) fn totals(&self) -> BTreeMap<String, f64> {
        self.columns.iter().cloned().zip(self.sums.iter().map(|(_, sum)| *sum)).collect()
    }

    pub(super) fn means(&self) -> BTreeMap<String, Option<f64>> {
        let mean = |&(count, sum): &(u64, f64)| (count > 0).then(|| sum / count as f64);
        self.columns.iter().cloned().zip(self.sums.iter().map(mean)).collect()
    }

    fn ranks(&self, column: usize) -> Ranks {
        let values = self.gather(|scores| &scores.predictions[column]);
        let stages = self.gather(|scores| &scores.stages);
        let mut in_stage = vec![0u8; values.len()];
        // A handful: whichever comes first is looked for first.
        let mut rows_of: Vec<(&str, Vec<usize>)> = Vec::new();
        for (row, &stage) in stages.iter().enumerate() {
            match rows_of.iter_mut().find(|(name, _)| *name == stage) {
                Some((_, rows)) => rows.push(row),
                None => rows_of.push((stage, vec![row])),
            }
        }
        for (_, rows) in rows_of {
            let of_stage: Vec<f64> = rows.iter().map(|&row| values[row]).collect();
            for (row, rank) in rows.into_iter().zip(percentiles(&of_stage)) {
                in_stage[row] = rank;
            }
        }
        let (percentile, permille) = percentiles_and_permilles(&values);
        Ranks { percentile, permille, in_stage }
    }

    /// Key-value metadata of a file of scores.
    fn metadata(&self, as_of: Day) -> [(&'static str, String); 5] {
        let config = &self.bundle.manifest.config;
        [
            ("bellwether.as_of", as_of.to_string()),
            ("bellwether.bundle_id", self.bundle.manifest.bundle_id.clone()),
            ("bellwether.schema_version", SCHEMA_VERSION.to_string()),
            ("bellwether.currency", config.currency.clone()),
            ("bellwether.timezone", config.timezone.clone()),
        ]
    }

    /// Whether nobody should contact the customer of a row.
    fn is_held_out(&self, place: Place) -> bool {
        let (scores, row) = self.scores(place);
        let config = &self.bundle.manifest.config.scores;
        sample_fraction(scores.hashes[row], salt(&config.holdout_salt)) < config.holdout_share
    }

    /// Writes all rows; memory beyond the table: two batches a thread, and the row group that is being written.
    pub(super) fn write(&self, path: &Path, format: FileFormat, as_of: Day) -> Result<(), FileError> {
        let parameters = &self.bundle.parameters;
        let features = if self.with_features { parameters.catalogue.features() } else { Vec::new() };
        let config = &self.bundle.manifest.config;
        let schema = schema(parameters, &config.currency, &features);
        let metadata = self.metadata(as_of);
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut writer = Sink::create(format, path, &schema, &metadata)?;
        let ranks = self.all_ranks();
        let spend_percentile = if features.iter().any(|feature| feature.name == "spend") {
            // Customers who never ordered have spent nothing; they are not the lowest spenders but none.
            let spend = self.gather(|scores| &scores.spend);
            let ordered = self.gather(|scores| &scores.churn_factor);
            let ranked: Vec<f64> = spend
                .iter()
                .zip(&ordered)
                .map(|(&spend, factor)| if factor.is_nan() { f64::NAN } else { spend })
                .collect();
            percentiles(&ranked)
        } else {
            Vec::new()
        };
        let starts: Vec<usize> = (0..self.rows()).step_by(BATCH_ROWS).collect();
        let build = |starts: &[usize]| -> Vec<RecordBatch> {
            let one = |&start: &usize| {
                let rows = start..(start + BATCH_ROWS).min(self.rows());
                self.batch(rows, &schema, &ranks, &spend_percentile, as_of, &features)
            };
            starts.par_iter().map(one).collect()
        };
        // A few batches are built in parallel, while those before them are written in order.
        let mut stretches = starts.chunks(rayon::current_num_threads().max(1));
        let mut batches = stretches.next().map_or_else(Vec::new, &build);
        while !batches.is_empty() {
            let next = stretches.next().unwrap_or_default();
            let (written, built) = rayon::join(|| writer.write_all(&batches), || build(next));
            written?;
            batches = built;
        }
        writer.finish()
    }

    /// The row of the only customer, with features when they are kept. Ranks are those among one, and say nothing.
    pub(super) fn only_row(&self, as_of: Day) -> RecordBatch {
        let parameters = &self.bundle.parameters;
        let features = if self.with_features { parameters.catalogue.features() } else { Vec::new() };
        let schema = schema(parameters, &self.bundle.manifest.config.currency, &features);
        self.batch(0..1, &schema, &self.all_ranks(), &[1], as_of, &features)
    }

    /// Ranks of each target that has any.
    fn all_ranks(&self) -> Vec<Option<Ranks>> {
        let mut first = 0;
        let of_target = |fitted: &FittedTarget| {
            let column = first;
            first += fitted.columns.len();
            (extras(&fitted.target) != Extras::None).then_some(column)
        };
        let ranked: Vec<Option<usize>> = self.bundle.parameters.targets.iter().map(of_target).collect();
        ranked.into_par_iter().map(|column| column.map(|column| self.ranks(column))).collect()
    }

    fn batch(
        &self,
        rows: std::ops::Range<usize>,
        schema: &SchemaRef,
        ranks: &[Option<Ranks>],
        spend_percentile: &[u8],
        as_of: Day,
        features: &[Feature],
    ) -> RecordBatch {
        let n = rows.len();
        let places = &self.order[rows.clone()];
        let known = |value: f64| (!value.is_nan()).then_some(value);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.clone().map(|row| self.ids.value(row)))),
            Arc::new(Date32Array::from(vec![as_of.0; n])),
            Arc::new(StringArray::from_iter_values(self.pick(places, |scores| &scores.statuses))),
            Arc::new(StringArray::from_iter_values(self.pick(places, |scores| &scores.stages))),
        ];
        let targets = &self.bundle.parameters.targets;
        let mut first = 0;
        let mut by_group: Vec<ArrayRef> = Vec::new();
        let category_target = category_target(&self.bundle.parameters);
        let mut top_categories = None;
        for (target, (fitted, ranks)) in targets.iter().zip(ranks).enumerate() {
            let columns = first..first + fitted.columns.len();
            first = columns.end;
            let before = by_group.len();
            for column in columns.clone() {
                let array = numbers(self.pick(places, |scores| &scores.predictions[column]));
                if fitted.target.per_group { by_group.push(array) } else { arrays.push(array) }
            }
            if category_target == Some(target) {
                top_categories = Some(self.top_categories(target, &by_group[before..]));
            }
            let Some(ranks) = ranks else { continue };
            let kind = extras(&fitted.target);
            if kind == Extras::Value {
                let intervals = match &fitted.columns[0] {
                    FittedColumn::Expected { intervals, .. } => intervals.as_ref(),
                    _ => None,
                };
                let around = |value: f64| intervals.map(|intervals| intervals.around(value));
                let ends: Vec<Option<(f64, f64)>> =
                    self.pick(places, |scores| &scores.predictions[columns.start]).map(around).collect();
                arrays.push(numbers(ends.iter().map(|ends| ends.map_or(f64::NAN, |(low, _)| low))));
                arrays.push(numbers(ends.iter().map(|ends| ends.map_or(f64::NAN, |(_, high)| high))));
            }
            arrays.push(Arc::new(
                ranks.percentile[rows.clone()].iter().map(|&rank| missing(rank)).collect::<UInt8Array>(),
            ));
            arrays.push(Arc::new(
                ranks.permille[rows.clone()].iter().map(|&rank| missing(rank)).collect::<UInt16Array>(),
            ));
            if kind == Extras::Churn {
                arrays.push(Arc::new(
                    ranks.in_stage[rows.clone()].iter().map(|&rank| missing(rank)).collect::<UInt8Array>(),
                ));
            }
            if kind == Extras::Churn || kind == Extras::Value {
                let name = |value: f64| match kind {
                    Extras::Churn => fitted.cuts.band(value),
                    _ => fitted.cuts.tier(value),
                };
                let values = self.pick(places, |scores| &scores.predictions[columns.start]);
                arrays.push(Arc::new(values.map(name).collect::<StringArray>()));
            }
        }
        arrays.push(numbers(self.pick(places, |scores| &scores.alive)));
        let next = |days: f64| known(days).map(|days| as_of.plus(days.floor() as i32).0);
        let days_to_next = self.pick(places, |scores| &scores.days_to_next);
        arrays.push(Arc::new(days_to_next.map(next).collect::<Date32Array>()));
        arrays.push(numbers(self.pick(places, |scores| &scores.average_gap)));
        arrays.push(numbers(self.pick(places, |scores| &scores.churn_factor)));
        if let Some((churn, value)) = at_risk(&self.bundle.parameters) {
            let first = |target: usize| targets[..target].iter().map(|fitted| fitted.columns.len()).sum::<usize>();
            let (churn, value) = (first(churn), first(value));
            let values = self.pick(places, |scores| &scores.predictions[value]);
            let both = self.pick(places, |scores| &scores.predictions[churn]).zip(values);
            arrays.push(numbers(both.map(|(churn, value)| value_at_risk(churn, value))));
        }
        arrays.append(&mut by_group);
        arrays.extend(top_categories);
        for (place, (target, teller)) in self.tellers.iter().enumerate() {
            let column: usize = targets[..*target].iter().map(|fitted| fitted.columns.len()).sum();
            arrays.push(self.reasons(place, teller, column, places));
        }
        let held_out = places.iter().map(|&place| Some(self.is_held_out(place)));
        arrays.push(Arc::new(held_out.collect::<BooleanArray>()));
        let until = self.pick(places, |scores| &scores.excluded_until).map(|day| day.map(|day| day.0));
        arrays.push(Arc::new(until.collect::<Date32Array>()));
        arrays.push(Arc::new(StringArray::from(vec![self.bundle.manifest.bundle_id.as_str(); n])));
        arrays.push(Arc::new(Int32Array::from(vec![SCHEMA_VERSION; n])));
        if !features.is_empty() {
            let mut columns: Vec<Vec<f32>> = vec![Vec::with_capacity(n); features.len()];
            for &place in places {
                let (scores, row) = self.scores(place);
                let values = scores.features.as_ref().expect("kept when they are to be written").row(row);
                columns.iter_mut().zip(values).for_each(|(column, &value)| column.push(value));
            }
            let columns = columns.into_iter().zip(features).filter(|(_, feature)| is_column_of_its_own(feature));
            arrays.extend(columns.map(|(column, _)| {
                let array: Float32Array = column.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect();
                Arc::new(array) as ArrayRef
            }));
            if !spend_percentile.is_empty() {
                arrays.push(Arc::new(spend_percentile[rows].iter().map(|&rank| missing(rank)).collect::<UInt8Array>()));
            }
        }
        RecordBatch::try_new(schema.clone(), arrays).expect("one array for each field")
    }

    /// Why the prediction of a column is what it is; null where the customer is not eligible.
    fn reasons(&self, place: usize, teller: &Teller, column: usize, places: &[Place]) -> ArrayRef {
        let mut builder = ReasonsBuilder::new(teller, places.len());
        for &row_place in places {
            let (scores, row) = self.scores(row_place);
            let reasons = &scores.reasons[place][row * MOST_REASONS..(row + 1) * MOST_REASONS];
            builder.push((!scores.predictions[column][row].is_nan()).then_some(reasons), scores.silences[row]);
        }
        builder.finish()
    }

    /// The most probable categories of each row, whose probabilities are `columns`, group after group; null where the customer is not
    /// eligible.
    fn top_categories(&self, target: usize, columns: &[ArrayRef]) -> ArrayRef {
        let groups = &self.bundle.parameters.targets[target].target.groups;
        let columns: Vec<&[f64]> =
            columns.iter().map(|column| column.as_primitive::<Float64Type>().values().as_ref()).collect();
        let n = columns.first().map_or(0, |column| column.len());
        let (mut names, mut probabilities) = (Vec::new(), Vec::new());
        let (mut lengths, mut valid) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for row in 0..n {
            let mut best = [(0, f64::NAN); TOP_CATEGORIES];
            let mut found = 0;
            for (group, column) in columns.iter().enumerate() {
                let probability = column[row];
                let is_before = |other: f64| probability.total_cmp(&other).is_gt(); // of equals the first stays first
                if probability.is_nan() || (found == TOP_CATEGORIES && !is_before(best[found - 1].1)) {
                    continue;
                }
                found = TOP_CATEGORIES.min(found + 1);
                let mut place = found - 1;
                while place > 0 && is_before(best[place - 1].1) {
                    best[place] = best[place - 1];
                    place -= 1;
                }
                best[place] = (group, probability);
            }
            valid.push(found > 0);
            lengths.push(found);
            for &(group, probability) in &best[..found] {
                names.push(groups[group].name.as_str());
                probabilities.push(probability);
            }
        }
        let entries = StructArray::new(
            category_fields(),
            vec![Arc::new(StringArray::from(names)), Arc::new(Float64Array::from(probabilities))],
            None,
        );
        let item = Arc::new(Field::new("item", DataType::Struct(category_fields()), false));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(entries), Some(valid.into())))
    }
}
