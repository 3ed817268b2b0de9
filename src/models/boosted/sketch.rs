//! The gradients of many outputs in a few numbers, and how questions are judged by them.
//!
//! A row's gradients g of K outputs become five sums s = R g with random signs R / √5 (Iosipoi & Vakhrushev 2022, "SketchBoost",
//! arXiv:2211.12858, random projections; signs after Achlioptas 2003). Products of gradients, and so the gains
//!
//! ```text
//! gain = |sum of s|^2 / (rows + l2)        of a split = left + right - parent
//! ```
//!
//! are kept in expectation. As in the paper the structure of a tree is found without hessians; leaf values then use them.
//!
//! Four of the sums have 15 bits, two to a word; the fifth has 30 and shares its word with the number of rows.

use super::histogram::{FLUSH_ROWS, FRACTION_BITS, Scale, Sums, counted, uncounted};
use super::split::{Bounds, Criterion};
use crate::models::mix;

/// Numbers that the gradients of a row become.
pub(super) const SKETCH: usize = 5;

/// Bits less that the first four have: sums of 2^16 numbers of 15 bits and a sign fill half a word.
const COARSER: i32 = FRACTION_BITS - 14;

/// Added to the fifth, which must not be negative; it then has 29 bits and this.
const SHIFT: i64 = 1 << (FRACTION_BITS - 1);

/// Added to the rows of a category when categories are sorted.
const CATEGORY_ROWS: f64 = 10.0;

/// A row with its sketch in fixed point: four numbers of 14 bits and a sign, one of 28.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SketchRecord {
    row: u32,
    sums: [i32; SKETCH],
}

/// Sums of sketches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SketchBin {
    sums: [i64; SKETCH],
    rows: i64,
}

impl SketchRecord {
    pub(super) fn new(row: u32, sketch: [f32; SKETCH], scale: Scale) -> Self {
        let sums = std::array::from_fn(|at| {
            let fixed = scale.fixed(sketch[at].into());
            if at + 1 < SKETCH { (fixed + (1 << (COARSER - 1))) >> COARSER } else { (fixed + 1) >> 1 }
        });
        Self { row, sums }
    }

    pub(super) fn row(&self) -> usize {
        self.row as usize
    }
}

impl std::ops::Add for SketchBin {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self { sums: std::array::from_fn(|at| self.sums[at] + other.sums[at]), rows: self.rows + other.rows }
    }
}

impl std::ops::Sub for SketchBin {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self { sums: std::array::from_fn(|at| self.sums[at] - other.sums[at]), rows: self.rows - other.rows }
    }
}

/// Two signed numbers in a word, the first in its upper half; sums stay apart as long as each is within 32 bits.
#[inline]
fn paired(first: i32, second: i32) -> u64 {
    ((i64::from(first) << 32) + i64::from(second)) as u64
}

#[inline]
fn parted(word: u64) -> (i64, i64) {
    let second = i64::from(word as i32);
    ((word as i64 - second) >> 32, second)
}

impl Sums for SketchBin {
    type Record = SketchRecord;
    type Words = [u64; 3];

    #[inline]
    fn row(record: &SketchRecord) -> u32 {
        record.row
    }

    #[inline]
    fn pack(record: &SketchRecord) -> [u64; 3] {
        let [a, b, c, d, e] = record.sums;
        [paired(a, b), paired(c, d), counted((i64::from(e) + SHIFT) as u32)]
    }

    #[inline]
    fn add_words(words: &mut [u64; 3], other: [u64; 3]) {
        for (word, other) in words.iter_mut().zip(other) {
            *word = word.wrapping_add(other);
        }
    }

    #[inline]
    fn unpack(words: [u64; 3]) -> Self {
        let ((a, b), (c, d)) = (parted(words[0]), parted(words[1]));
        let (e, rows) = uncounted(words[2]);
        Self { sums: [a, b, c, d, e - rows * SHIFT], rows }
    }

    #[inline]
    fn rows(self) -> i64 {
        self.rows
    }
}

const _: () = assert!(FLUSH_ROWS << 14 < 1 << 31, "half a word holds the sums");

/// The sign of an output in each sum of a round's sketch, divided by √5.
pub(super) fn signs(stream: u64, output: usize) -> [f32; SKETCH] {
    let bits = mix(stream ^ output as u64);
    let size = 1.0 / (SKETCH as f32).sqrt();
    std::array::from_fn(|at| if bits >> at & 1 == 1 { size } else { -size })
}

/// How sketches are judged.
pub(super) struct SketchRules {
    pub(super) scale: Scale,
    pub(super) l2: f64,
    pub(super) min_gain: f64,
    pub(super) min_rows: i64,
}

impl SketchRules {
    #[inline]
    fn real(&self, sums: SketchBin) -> [f64; SKETCH] {
        std::array::from_fn(|at| {
            let coarser = if at + 1 < SKETCH { 1 << COARSER } else { 2 };
            self.scale.real(sums.sums[at]) * f64::from(coarser)
        })
    }

    #[inline]
    fn gain(&self, sums: SketchBin, smoothing: f64) -> f64 {
        let squares: f64 = self.real(sums).iter().map(|sum| sum * sum).sum();
        squares / (sums.rows as f64 + self.l2 + smoothing)
    }
}

impl Criterion for SketchRules {
    type Sums = SketchBin;

    #[inline]
    fn sides(&self, left: SketchBin, right: SketchBin, smoothing: f64, _: Bounds, _: i8) -> Option<f64> {
        let enough = left.rows >= self.min_rows && right.rows >= self.min_rows;
        enough.then(|| self.gain(left, smoothing) + self.gain(right, smoothing))
    }

    fn parent(&self, total: SketchBin, _: Bounds) -> f64 {
        self.gain(total, 0.0)
    }

    /// By the first of the sums: it is a mixture of all outputs, another one in each round.
    fn order(&self, category: SketchBin) -> f64 {
        self.real(category)[0] / (category.rows as f64 + CATEGORY_ROWS)
    }

    fn weight(&self, sums: SketchBin) -> f64 {
        sums.rows as f64
    }

    /// Of no output in particular: the values are found afterwards.
    fn value(&self, _: SketchBin, _: Bounds) -> f64 {
        0.0
    }

    fn min_rows(&self) -> i64 {
        self.min_rows
    }

    fn min_gain(&self) -> f64 {
        self.min_gain
    }

    fn direction(&self, _: usize) -> i8 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sketches_are_the_same_packed_and_not_up_to_the_flush() {
        let scale = Scale::of(1.0);
        for rows in [1, 1000, FLUSH_ROWS] {
            for sign in [1.0f32, -1.0] {
                let record = SketchRecord::new(7, [sign, -sign, sign, 0.25 * sign, -sign], scale);
                let mut words = [0; 3];
                (0..rows).for_each(|_| SketchBin::add_words(&mut words, SketchBin::pack(&record)));
                let sums = SketchBin::unpack(words);
                assert_eq!(sums.rows, rows as i64);
                for (sum, number) in sums.sums.iter().zip(record.sums) {
                    assert_eq!(*sum, rows as i64 * i64::from(number));
                }
                let rules = SketchRules { scale, l2: 0.0, min_gain: 0.0, min_rows: 1 };
                let real = rules.real(sums);
                for (real, value) in real.iter().zip([1.0, -1.0, 1.0, 0.25, -1.0]) {
                    let expected = rows as f64 * value * f64::from(sign);
                    assert!((real - expected).abs() < 1e-4 * expected.abs(), "{real} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_gain_of_a_sketch_is_that_of_all_outputs_in_the_mean() {
        let gradients: Vec<f64> = (0..40).map(|output| ((output * 7 % 11) as f64 - 5.0) / 6.0).collect();
        let exact: f64 = gradients.iter().map(|gradient| gradient * gradient).sum();
        let draws = 4000;
        let sketched: f64 = (0..draws)
            .map(|draw| {
                let mut sums = [0.0f64; SKETCH];
                for (output, gradient) in gradients.iter().enumerate() {
                    let signs = signs(mix(draw), output);
                    sums.iter_mut().zip(signs).for_each(|(sum, sign)| *sum += gradient * f64::from(sign));
                }
                sums.iter().map(|sum| sum * sum).sum::<f64>()
            })
            .sum();
        // The variance of a draw is at most 2/5 of the square: four standard errors of 4000 are 4 %.
        assert!((sketched / draws as f64 / exact - 1.0).abs() < 0.04);
    }
}
