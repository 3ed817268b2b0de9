//! Values of a column, without a copy where nothing had to be changed or left out.

use std::ops::Deref;

use arrow::array::BooleanArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::ArrowNativeType;

/// Values that were computed, or those of an Arrow column as they are.
pub(super) enum Values<T: ArrowNativeType> {
    Made(Vec<T>),
    Shared(ScalarBuffer<T>),
}

impl<T: ArrowNativeType> Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Made(values) => values,
            Self::Shared(values) => values,
        }
    }
}

impl<T: ArrowNativeType> Values<T> {
    /// The values alone; copied only if the column is still in use elsewhere.
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Made(values) => values,
            Self::Shared(values) => {
                values.into_inner().into_vec().unwrap_or_else(|shared| shared.typed_data::<T>().to_vec())
            }
        }
    }
}

/// The rows of a batch that become events.
pub(super) struct Kept {
    /// Rows of the batch.
    n: usize,
    /// Those that are kept, ascending; `None` when all are.
    rows: Option<Vec<u32>>,
}

impl Kept {
    pub fn all(n: usize) -> Self {
        Self { n, rows: None }
    }

    pub fn some(n: usize, rows: Vec<u32>) -> Self {
        Self { n, rows: (rows.len() < n).then_some(rows) }
    }

    pub fn len(&self) -> usize {
        self.rows.as_ref().map_or(self.n, Vec::len)
    }

    /// The mask that `filter` takes; `None` when all are kept.
    pub fn mask(&self) -> Option<BooleanArray> {
        self.rows.as_ref().map(|rows| {
            let mut mask = vec![false; self.n];
            rows.iter().for_each(|&row| mask[row as usize] = true);
            BooleanArray::from(mask)
        })
    }

    /// The kept rows, ascending.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        let all = if self.rows.is_none() { 0..self.n } else { 0..0 };
        all.chain(self.rows.iter().flatten().map(|&row| row as usize))
    }

    /// `of` each kept row, in order.
    pub fn map<T>(&self, mut of: impl FnMut(usize) -> T) -> Vec<T> {
        match &self.rows {
            None => (0..self.n).map(of).collect(),
            Some(rows) => rows.iter().map(|&row| of(row as usize)).collect(),
        }
    }

    /// The places that the kept ones of `rows` have among the kept.
    pub fn positions<'a>(&'a self, rows: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        rows.iter().filter_map(|&row| match &self.rows {
            None => Some(row),
            Some(kept) => kept.binary_search(&(row as u32)).ok(),
        })
    }

    /// The values of the kept rows.
    pub fn pick<T: ArrowNativeType>(&self, values: Values<T>) -> Vec<T> {
        match &self.rows {
            None => values.into_vec(),
            Some(_) => self.map(|row| values[row]),
        }
    }
}
