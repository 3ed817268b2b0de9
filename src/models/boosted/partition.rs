//! The rows of a leaf, parted between its children.

use rayon::prelude::*;

use super::histogram::Sums;
use super::split::CodeSet;

/// Rows that are parted at a time.
const PART_ROWS: usize = 16 * 1024;

/// Parts `records` by their codes of one feature: those with a code in `left` come first; both parts keep their order.
pub(super) fn part<S: Sums>(codes: &[u8], left: &CodeSet, records: &mut [S::Record], scratch: &mut [S::Record]) {
    let table = left.table();
    // Each piece fills its place in the scratch from both ends, then the ends are put together.
    let counts: Vec<usize> = records
        .par_chunks(PART_ROWS)
        .zip(scratch.par_chunks_mut(PART_ROWS))
        .map(|(records, scratch)| {
            let (mut first, mut last) = (0, records.len() - 1);
            for record in records {
                let is_left = table[codes[S::row(record) as usize] as usize];
                scratch[first] = *record;
                scratch[last] = *record;
                first += usize::from(is_left);
                last = last.wrapping_sub(usize::from(!is_left));
            }
            first
        })
        .collect();
    let (mut lefts, mut rights) = records.split_at_mut(counts.iter().sum());
    let mut places = Vec::with_capacity(counts.len());
    for (count, scratch) in counts.iter().zip(scratch.chunks(PART_ROWS)) {
        let (to_left, rest) = lefts.split_at_mut(*count);
        lefts = rest;
        let (to_right, rest) = rights.split_at_mut(scratch.len() - count);
        rights = rest;
        places.push((to_left, to_right, scratch));
    }
    places.into_par_iter().for_each(|(to_left, to_right, scratch)| {
        let (from_left, from_right) = scratch.split_at(to_left.len());
        to_left.copy_from_slice(from_left);
        to_right.iter_mut().zip(from_right.iter().rev()).for_each(|(to, from)| *to = *from);
    });
}
