//! Feature tables: the rows of many customers and cut-offs, filled in parallel over partitions.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::sweep::Sweep;
use crate::time::Day;
use crate::timeline::{Part, Partition, SpillError, Timeline, Timelines, sample_fraction};

/// Salt of the sample of customers that training looks at.
const SAMPLE_SALT: u64 = 1;

/// Which rows are wanted: one cut-off, and the share of customers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowRequest {
    /// Features as known at the start of this day.
    pub as_of: Day,
    /// Share of customers, by a stable hash: 1 is everyone, and a smaller share is part of a larger one.
    pub share: f64,
}

impl RowRequest {
    pub(crate) fn wants(&self, hash: u64) -> bool {
        self.share >= 1.0 || sample_fraction(hash, SAMPLE_SALT) < self.share
    }
}

/// Whose row, and of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowKey {
    /// Stable hash of the customer.
    pub hash: u64,
    /// Partition of the customer.
    pub partition: u32,
    /// Customer within the partition.
    pub customer: u32,
    /// Index of the request.
    pub request: u32,
}

/// Rows by partition, customer and cut-off; columns in the order of the catalogue; NaN = missing.
#[derive(Debug)]
pub struct FeatureTable {
    /// One for each row.
    pub keys: Vec<RowKey>,
    /// Rows × features.
    pub values: Array2<f32>,
}

fn is_known_at(timeline: Timeline, as_of: Day) -> bool {
    timeline.known_at(as_of).next().is_some()
}

impl FeatureTable {
    /// One row for each customer known at a requested cut-off and in its share.
    ///
    /// `requests` ascend by day, each day once. Memory: 4 bytes × rows × features.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn build(timelines: &Timelines, sweep: &Sweep, requests: &[RowRequest]) -> Result<Self, SpillError> {
        let width = sweep.width();
        let mut keys: Vec<RowKey> = Vec::new();
        let mut values: Vec<f32> = Vec::new();
        for stretch in timelines.stretches() {
            let parts: Vec<Part> =
                stretch.clone().into_par_iter().map(|part| timelines.part(part)).collect::<Result<_, _>>()?;
            let new_keys: Vec<Vec<RowKey>> =
                parts.par_iter().zip(stretch).map(|(part, index)| keys_of(index, part, requests)).collect();
            let start = values.len();
            let wanted = new_keys.iter().map(Vec::len).sum::<usize>() * width;
            if start == 0 {
                values = vec![0.0; wanted]; // pages of zeros, first touched by the threads below
            } else {
                values.resize(start + wanted, 0.0);
            }
            let mut rest = &mut values[start..];
            let mut blocks = Vec::with_capacity(new_keys.len());
            for keys in &new_keys {
                let (block, after) = rest.split_at_mut(keys.len() * width);
                blocks.push(block);
                rest = after;
            }
            parts.par_iter().zip(&new_keys).zip(blocks).for_each(|((part, keys), block)| {
                fill(part, sweep, requests, keys, block);
            });
            keys.extend(new_keys.into_iter().flatten());
        }
        let values = Array2::from_shape_vec((keys.len(), width), values).expect("one slot for each value");
        Ok(Self { keys, values })
    }

    /// Number of rows of [`FeatureTable::build`].
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn count(timelines: &Timelines, requests: &[RowRequest]) -> Result<usize, SpillError> {
        let of_part = |rows: usize, part: &Partition| rows + keys_of(0, part, requests).len();
        timelines.fold_parts(|| 0, of_part, |a, b| a + b)
    }

    /// The same of one part, on the calling thread. `index` is the number of the part.
    pub fn build_part(index: usize, part: &Partition, sweep: &Sweep, requests: &[RowRequest]) -> Self {
        let keys = keys_of(index, part, requests);
        let mut values = vec![0.0; keys.len() * sweep.width()];
        fill(part, sweep, requests, &keys, &mut values);
        let values = Array2::from_shape_vec((keys.len(), sweep.width()), values).expect("one slot for each value");
        Self { keys, values }
    }

    /// Rows × features.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }
}

fn keys_of(index: usize, partition: &Partition, requests: &[RowRequest]) -> Vec<RowKey> {
    let mut keys = Vec::new();
    for customer in 0..partition.customers() {
        let hash = partition.hash(customer);
        for (request, wanted) in requests.iter().enumerate() {
            if wanted.wants(hash) && is_known_at(partition.timeline(customer), wanted.as_of) {
                keys.push(RowKey { hash, partition: index as u32, customer: customer as u32, request: request as u32 });
            }
        }
    }
    keys
}

fn fill(partition: &Partition, sweep: &Sweep, requests: &[RowRequest], keys: &[RowKey], block: &mut [f32]) {
    let width = sweep.width();
    let mut walker = sweep.walker();
    let mut rows = block.chunks_exact_mut(width);
    let mut as_ofs: Vec<Day> = Vec::with_capacity(requests.len());
    for keys in keys.chunk_by(|a, b| a.customer == b.customer) {
        as_ofs.clear();
        as_ofs.extend(keys.iter().map(|key| requests[key.request as usize].as_of));
        let customer = keys[0].customer as usize;
        walker.walk(partition.timeline(customer), &as_ofs, |_, values| {
            let row = rows.next().expect("a row for each key");
            row.iter_mut().zip(values).for_each(|(to, &value)| *to = value as f32);
        });
    }
}
