//! Sums of derivatives by bin, in whole numbers.
//!
//! Additions of whole numbers may be reordered, so the sums (and with them the trees) are the same bits however the rows
//! are dealt out to threads, and a child's histogram is exactly its parent's less its sibling's. A round's derivatives
//! become fixed-point numbers of [`FRACTION_BITS`] bits, scaled by a power of two that the largest of them just fits; this
//! is finer than the 24 bits of a `f32`, however heavy their tail.
//!
//! While rows are added, a bin is two words: the gradients, and the hessians packed with the number of rows
//!
//! ```text
//! word 0:  sum of gradients (signed)
//! word 1:  sum of hessians << COUNT_BITS  |  rows
//! ```
//!
//! After [`FLUSH_ROWS`] rows word 1 could be full: it is unpacked into the three sums of a [`Bin`], which hold 2^32 rows.

use super::bins::{BLOCK, CODES, LINE, Line};

/// Bits of a derivative in fixed point, without the sign.
pub(super) const FRACTION_BITS: i32 = 30;

/// Bits of word 1 that count rows: [`FLUSH_ROWS`] just fits.
const COUNT_BITS: u32 = 17;

/// Rows after which the packed sums are unpacked: 2^16 hessians below 2^30 sum to less than 2^46, and 46 + 17 < 64.
pub(super) const FLUSH_ROWS: usize = 1 << 16;

/// Sums over rows that a histogram is made of: how a row's numbers are packed into words, and unpacked again.
pub(super) trait Sums:
    Copy + Default + Send + Sync + PartialEq + std::ops::Add<Output = Self> + std::ops::Sub<Output = Self>
{
    /// A row in a leaf with its numbers in fixed point.
    type Record: Copy + Default + Send + Sync;
    /// Words that a bin has while rows are added.
    type Words: Copy + Default + Send + Sync;

    fn row(record: &Self::Record) -> u32;
    fn pack(record: &Self::Record) -> Self::Words;
    /// Adds word by word.
    fn add_words(words: &mut Self::Words, other: Self::Words);
    /// The sums in the words of at most [`FLUSH_ROWS`] rows.
    fn unpack(words: Self::Words) -> Self;
    fn rows(self) -> i64;
}

/// A row with its derivatives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Record {
    pub(super) row: u32,
    pub(super) gradient: i32,
    pub(super) hessian: u32,
}

/// Sums of derivatives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) gradient: i64,
    pub(super) hessian: i64,
    pub(super) rows: i64,
}

impl std::ops::Add for Bin {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }
}

impl std::ops::Sub for Bin {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }
}

impl Sums for Bin {
    type Record = Record;
    type Words = [u64; 2];

    #[inline]
    fn row(record: &Record) -> u32 {
        record.row
    }

    #[inline]
    fn pack(record: &Record) -> [u64; 2] {
        [i64::from(record.gradient) as u64, counted(record.hessian)]
    }

    #[inline]
    fn add_words(words: &mut [u64; 2], other: [u64; 2]) {
        *words = [words[0].wrapping_add(other[0]), words[1].wrapping_add(other[1])];
    }

    #[inline]
    fn unpack(words: [u64; 2]) -> Self {
        let (hessian, rows) = uncounted(words[1]);
        Self { gradient: words[0] as i64, hessian, rows }
    }

    #[inline]
    fn rows(self) -> i64 {
        self.rows
    }
}

/// A number below 2^30, and one row.
#[inline]
pub(super) fn counted(number: u32) -> u64 {
    u64::from(number) << COUNT_BITS | 1
}

/// The sum of the numbers, and how many they are.
#[inline]
pub(super) fn uncounted(word: u64) -> (i64, i64) {
    ((word >> COUNT_BITS) as i64, (word & ((1 << COUNT_BITS) - 1)) as i64)
}

/// Fixed point: a derivative d is the whole number nearest to d · `factor`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    factor: f64,
    inverse: f64,
}

impl Scale {
    /// The scale of numbers up to `largest` in magnitude.
    pub(super) fn of(largest: f64) -> Self {
        if largest <= 0.0 {
            return Self { factor: 1.0, inverse: 1.0 };
        }
        // The least power of two above `largest`. Beyond these exponents a factor or its inverse would be no normal number.
        let exponent = (largest.log2().floor() as i32 + 1).clamp(-900, 900);
        Self { factor: 2f64.powi(FRACTION_BITS - exponent), inverse: 2f64.powi(exponent - FRACTION_BITS) }
    }

    /// The whole number; ties go away from 0. Never beyond 30 bits: what rounds up to 2^30 is 2^30 - 1.
    #[inline]
    pub(super) fn fixed(self, value: f64) -> i32 {
        const LARGEST: f64 = ((1i64 << FRACTION_BITS) - 1) as f64;
        let scaled = value * self.factor;
        (scaled + 0.5f64.copysign(scaled)).clamp(-LARGEST, LARGEST) as i32
    }

    #[inline]
    pub(super) fn real(self, sum: i64) -> f64 {
        sum as f64 * self.inverse
    }
}

/// Rows whose codes are fetched together. Rows of a leaf lie far apart: fetched in a loop that does nothing else, many cache lines are
/// on their way at the same time, and each is fetched once for all its features.
const BATCH_ROWS: usize = 512;

/// Memory for the histograms of a group of features while rows are added. All sums are 0 between uses.
pub(super) struct Workspace<S: Sums> {
    /// The packed sums of eight features at a time: with two words they take two thirds of a first-level cache of 48 KiB.
    packed: Vec<[[S::Words; CODES]; BLOCK]>,
    codes: Vec<Line>,
    words: Vec<S::Words>,
}

impl<S: Sums> Workspace<S> {
    pub(super) fn new() -> Self {
        let zero = S::Words::default();
        Self {
            packed: vec![[[zero; CODES]; BLOCK]; LINE / BLOCK],
            codes: vec![Line::default(); BATCH_ROWS],
            words: vec![zero; BATCH_ROWS],
        }
    }

    /// Adds `records` to the histograms of a group's features, which lie in `bins` one after another; `starts` tells where.
    pub(super) fn add_records(&mut self, lines: &[Line], records: &[S::Record], starts: &[usize], bins: &mut [S]) {
        for records in records.chunks(FLUSH_ROWS) {
            for records in records.chunks(BATCH_ROWS) {
                self.add_batch(lines, records, (starts.len() - 1).div_ceil(BLOCK));
            }
            self.flush(starts, bins);
        }
    }

    fn add_batch(&mut self, lines: &[Line], records: &[S::Record], blocks: usize) {
        for ((codes, words), record) in self.codes.iter_mut().zip(&mut self.words).zip(records) {
            *codes = lines[S::row(record) as usize];
            *words = S::pack(record);
        }
        for (block, packed) in self.packed[..blocks].iter_mut().enumerate() {
            for (codes, words) in self.codes[..records.len()].iter().zip(&self.words) {
                let codes = codes.0[block];
                for lane in 0..BLOCK {
                    S::add_words(&mut packed[lane][codes[lane] as usize], *words);
                }
            }
        }
    }

    /// Moves the packed sums of the features to their bins.
    fn flush(&mut self, starts: &[usize], bins: &mut [S]) {
        let zero = S::Words::default();
        for (feature, range) in starts.windows(2).enumerate() {
            let packed = &mut self.packed[feature / BLOCK][feature % BLOCK];
            for (bin, words) in bins[range[0]..range[1]].iter_mut().zip(packed) {
                *bin = *bin + S::unpack(*words);
                *words = zero;
            }
        }
        for feature in starts.len() - 1..LINE {
            self.packed[feature / BLOCK][feature % BLOCK][0] = zero; // places without a feature have code 0 in all rows
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_sums_hold_at_the_edge_and_beyond() {
        let scale = Scale::of(1.0);
        assert_eq!(scale.fixed(1.0), 1 << 29);
        let largest = (1 << FRACTION_BITS) - 1;
        assert_eq!(
            Scale::of(0.999_999_999_999).fixed(0.999_999_999_999),
            largest,
            "what rounds up to 2^30 stays below"
        );
        // All rows in one bin with the largest derivatives, one flush exactly, one row less, one more, and many.
        for rows in [FLUSH_ROWS - 1, FLUSH_ROWS, FLUSH_ROWS + 1, 3 * FLUSH_ROWS + 5] {
            let mut line = Line::default();
            line.0[0][..2].copy_from_slice(&[255, 1]);
            let lines = vec![line; rows];
            let mut workspace = Workspace::<Bin>::new();
            for sign in [1, -1] {
                let record = |row| Record { row, gradient: sign * largest, hessian: largest as u32 };
                let records: Vec<Record> = (0..rows as u32).map(record).collect();
                let mut bins = vec![Bin::default(); 258];
                workspace.add_records(&lines, &records, &[0, 256, 258], &mut bins);
                let total = rows as i64 * i64::from(largest);
                let expected = Bin { gradient: i64::from(sign) * total, hessian: total, rows: rows as i64 };
                assert_eq!((bins[255], bins[257]), (expected, expected), "{rows} rows");
                assert!(bins[..255].iter().chain(&bins[256..257]).all(|bin| *bin == Bin::default()));
            }
        }
    }

    #[test]
    fn scales_fit_numbers_of_any_size() {
        for largest in [5e-324, 1e-300, 1e-30, 0.25, 1.0, 3.0, 1e30, 1e300, f64::MAX] {
            let scale = Scale::of(largest);
            let fixed = scale.fixed(largest);
            assert!(fixed < 1 << FRACTION_BITS);
            if (1e-250..1e250).contains(&largest) {
                assert!(fixed >= 1 << (FRACTION_BITS - 1));
                assert!((scale.real(fixed.into()) / largest - 1.0).abs() < 2f64.powi(-FRACTION_BITS));
            }
            assert_eq!(scale.fixed(-largest), -fixed);
        }
        assert_eq!(Scale::of(0.0).fixed(0.0), 0);
    }
}
