//! A preparation made ready for blocks of rows.
//!
//! Most values of a feature are counts, and most counts are small: what they become is computed once, by the code that prepares any other
//! value, and looked up from then on. A value that is not among them is prepared as ever.

use super::{Preparation, ValueColumn};
use crate::models::blocks::{ABREAST, BLOCK, Sight};

/// Entries of a table: what a missing value becomes, then what 0, 1, 2 … become.
const KNOWN: usize = 128;

/// 2²³: beyond it single precision has whole numbers only, so that adding it rounds to one, which stands in the last bits of the sum.
const WHOLE: f32 = 8_388_608.0;

/// A [`Preparation`] made ready for many blocks of rows.
#[derive(Debug)]
pub struct BlockPreparation<'a> {
    preparation: &'a Preparation,
    /// Of each value column whose logarithm is taken.
    tables: Vec<Option<Box<[f64; KNOWN]>>>,
}

impl<'a> BlockPreparation<'a> {
    pub(super) fn new(preparation: &'a Preparation) -> Self {
        let table = |column: &ValueColumn| {
            column.logarithm.then(|| {
                let of = |place: usize| column.standardised(if place == 0 { f32::NAN } else { (place - 1) as f32 });
                Box::new(std::array::from_fn(of))
            })
        };
        Self { preparation, tables: preparation.values().iter().map(table).collect() }
    }

    /// [`Preparation::apply`] to the rows of a block, on the calling thread: of each [`ABREAST`] rows one column after another, each of
    /// [`Preparation::n_columns`]. The block has no infinity and as many columns as the features of the fit.
    pub fn apply(&self, sight: &Sight, out: &mut Vec<[f64; ABREAST]>) {
        let (n, stretches) = (self.preparation.n_columns(), sight.lanes() / ABREAST);
        out.resize(stretches * n, [0.0; ABREAST]); // every one of them is written below
        let values = self.preparation.values();
        for (place, (column, table)) in values.iter().zip(&self.tables).enumerate() {
            let raw = sight.column(column.feature);
            let out = out.iter_mut().skip(place).step_by(n);
            match table {
                Some(table) => look_up(column, table, raw, out),
                None => {
                    for (raw, out) in raw.chunks_exact(ABREAST).zip(out) {
                        for (out, &raw) in out.iter_mut().zip(raw) {
                            let prepared = (f64::from(raw) - column.mean) / column.deviation;
                            *out = if raw.is_nan() { 0.0 } else { prepared };
                        }
                    }
                }
            }
        }
        for (place, &feature) in (values.len()..).zip(self.preparation.indicators()) {
            for (raw, out) in sight.column(feature).chunks_exact(ABREAST).zip(out.iter_mut().skip(place).step_by(n)) {
                out.iter_mut().zip(raw).for_each(|(out, raw)| *out = f64::from(u8::from(raw.is_nan())));
            }
        }
    }
}

/// Prepares the values of a column by its table, and those that are not in it by the column.
fn look_up<'o>(
    column: &ValueColumn,
    table: &[f64; KNOWN],
    raw: &[f32],
    out: impl Iterator<Item = &'o mut [f64; ABREAST]>,
) {
    let mut places = [0; BLOCK];
    places_of(raw, &mut places);
    for ((places, raw), out) in places.as_chunks::<ABREAST>().0.iter().zip(raw.chunks_exact(ABREAST)).zip(out) {
        out.iter_mut().zip(places).for_each(|(out, &place)| *out = table[usize::from(place) % KNOWN]);
        let mut unknown = u64::from_le_bytes(*places) & u64::from_le_bytes([UNKNOWN; ABREAST]);
        while unknown != 0 {
            let lane = unknown.trailing_zeros() as usize / 8;
            out[lane] = column.standardised(raw[lane]);
            unknown &= unknown - 1;
        }
    }
}

/// The place of what is neither missing nor in a table: the highest bit.
const UNKNOWN: u8 = KNOWN as u8;

/// Finds the place of each value in a table, or [`UNKNOWN`].
fn places_of(raw: &[f32], places: &mut [u8; BLOCK]) {
    for (place, &raw) in places.iter_mut().zip(raw) {
        let rounded = raw + WHOLE;
        let whole = rounded.to_bits().wrapping_sub(WHOLE.to_bits());
        let is_known = (rounded - WHOLE == raw) & (whole < KNOWN as u32 - 1);
        let otherwise = if raw.is_nan() { 0 } else { UNKNOWN };
        *place = if is_known { whole as u8 + 1 } else { otherwise };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_whole_numbers_are_looked_up_and_nothing_else() {
        let known: Vec<f32> = (0..KNOWN as u16 - 1).map(f32::from).chain([f32::NAN, -0.0]).collect();
        for values in known.chunks(BLOCK) {
            let mut places = [9; BLOCK];
            places_of(values, &mut places);
            for (value, place) in values.iter().zip(places) {
                assert_eq!(f32::from(place), if value.is_nan() { 0.0 } else { value + 1.0 }, "{value}");
            }
        }
        let fractions = [0.5, 1.0 + f32::EPSILON, 1e-9, -1e-30, f32::MIN_POSITIVE];
        for value in [KNOWN as f32 - 1.0, -1.0, 8_388_609.0, 3e9, f32::MAX, f32::MIN].into_iter().chain(fractions) {
            let mut places = [9; BLOCK];
            places_of(&[0.0, value], &mut places);
            assert_eq!(places[..3], [1, UNKNOWN, 9], "{value}");
        }
    }
}
