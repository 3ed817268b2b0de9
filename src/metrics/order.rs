//! Rows in the order of a score: sorted once, read by every metric.

use rayon::slice::ParallelSliceMut;

/// Rows by descending score. Equal scores keep row order, the tie rule of every row-wise table here.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Row at each position, best score first.
    pub rows: Vec<u32>,
    /// Whether the next position has another score (true at the last).
    pub last_of_tie: Vec<bool>,
}

impl Order {
    /// `None` when a score is NaN. -0.0 and 0.0 are equal, infinities are allowed.
    ///
    /// # Panics
    /// Beyond 2^32 rows.
    pub fn descending(scores: &[f64]) -> Option<Self> {
        let mut keyed = Vec::with_capacity(scores.len());
        for (row, &score) in scores.iter().enumerate() {
            if score.is_nan() {
                return None;
            }
            keyed.push((!ascending_key(score), row32(row)));
        }
        keyed.par_sort_unstable(); // the row is part of the key, so the order is total
        let last_of_tie = ends(&keyed);
        Some(Self { rows: keyed.into_iter().map(|(_, row)| row).collect(), last_of_tie })
    }

    /// Values of rows, in this order.
    pub fn arrange<T: Copy>(&self, values: &[T]) -> Vec<T> {
        self.rows.iter().map(|&row| values[row as usize]).collect()
    }
}

/// Dense group number of each row: equal keys share one, numbered in ascending order; and how many there are.
pub(crate) fn groups(keys: impl Iterator<Item = u64>) -> (Vec<u32>, usize) {
    let mut keyed: Vec<(u64, u32)> = keys.enumerate().map(|(row, key)| (key, row32(row))).collect();
    keyed.par_sort_unstable();
    let last = ends(&keyed);
    let mut group_of = vec![0; keyed.len()];
    let mut group = 0;
    for (&(_, row), last) in keyed.iter().zip(last) {
        group_of[row as usize] = group;
        group += u32::from(last);
    }
    (group_of, group as usize)
}

/// Maps numbers to integers of the same order. Equal numbers get equal keys.
pub(crate) fn ascending_key(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits(); // -0.0 + 0.0 is 0.0
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The number of a key of [`ascending_key`].
pub(crate) fn of_ascending_key(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

fn ends(keyed: &[(u64, u32)]) -> Vec<bool> {
    let mut last: Vec<bool> = keyed.windows(2).map(|pair| pair[0].0 != pair[1].0).collect();
    last.extend(keyed.last().map(|_| true));
    last
}

fn row32(row: usize) -> u32 {
    u32::try_from(row).expect("metrics take at most 2^32 rows")
}

/// A sum whose error does not grow with the number of terms: Neumaier (1974), "Rundungsfehleranalyse einiger
/// Verfahren zur Summation endlicher Summen", ZAMM 54, 39-51, algorithm IV. Millions of small losses are added here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// Adds one term.
    #[inline]
    pub fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        let (large, small) = if self.sum.abs() >= term.abs() { (self.sum, term) } else { (term, self.sum) };
        self.lost += (large - sum) + small;
        self.sum = sum;
    }

    /// The sum so far.
    #[inline]
    pub fn get(self) -> f64 {
        self.sum + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_keep_row_order_and_zeros_are_equal() {
        let order = Order::descending(&[0.0, 2.0, -0.0, f64::INFINITY, -1.0, 2.0]).unwrap();
        assert_eq!(order.rows, [3, 1, 5, 0, 2, 4]);
        assert_eq!(order.last_of_tie, [true, false, true, false, true, true]);
        assert!(Order::descending(&[1.0, f64::NAN]).is_none());
        assert!(Order::descending(&[]).unwrap().last_of_tie.is_empty());
    }

    #[test]
    fn keys_ascend_with_their_numbers_and_give_them_back() {
        let numbers = [f64::NEG_INFINITY, -2.0, -f64::MIN_POSITIVE, -5e-324, 0.0, 5e-324, 0.1, 1.0, f64::INFINITY];
        let keys = numbers.map(ascending_key);
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(keys.map(of_ascending_key), numbers);
        assert_eq!(of_ascending_key(ascending_key(-0.0)).to_bits(), 0);
    }

    #[test]
    fn groups_are_numbered_in_order_of_their_key() {
        assert_eq!(groups([7, 3, 7, 9].into_iter()), (vec![1, 0, 1, 2], 3));
        assert_eq!(groups(std::iter::empty()), (vec![], 0));
    }

    #[test]
    fn the_sum_keeps_what_plain_addition_loses() {
        let mut sum = Sum::default();
        [1.0, 1e100, 1.0, -1e100].into_iter().for_each(|term| sum.add(term));
        assert_eq!(sum.get(), 2.0); // Neumaier's own example; plain addition gives 0
    }
}
