//! Rows in blocks, column by column: what is done to every row alike is done to several of them at once.

use ndarray::ArrayView2;

use super::FitError;

/// Rows of a block.
pub const BLOCK: usize = 64;

/// Rows that are worked on side by side; a block that is not full is worked on up to a multiple of it.
pub const ABREAST: usize = 8;

/// Columns that are turned around together: a cache line of each row.
const TURNED: usize = 16;

/// Rows × columns of single precision, NaN where missing, in blocks of [`BLOCK`] rows whose columns lie one after another.
#[derive(Debug, Clone)]
pub struct Blocks {
    rows: usize,
    width: usize,
    /// Block after block, each of `width` columns; 0 beyond the last row.
    columns: Vec<[f32; BLOCK]>,
    /// Row, column and value of an infinity, if there is one.
    infinite: Option<(usize, usize, f32)>,
}

impl Blocks {
    /// The same numbers as in `rows`.
    pub fn of(rows: ArrayView2<f32>) -> Self {
        Self::of_in(Vec::new(), rows)
    }

    /// The same in memory that is there already, whatever it holds.
    pub(crate) fn of_in(mut columns: Vec<[f32; BLOCK]>, rows: ArrayView2<f32>) -> Self {
        let (n, width) = rows.dim();
        columns.resize(n.div_ceil(BLOCK) * width, [0.0; BLOCK]);
        let mut infinite = None;
        for first in (0..n).step_by(BLOCK) {
            let block = &mut columns[first / BLOCK * width..][..width];
            if n - first < BLOCK {
                block.fill([0.0; BLOCK]);
            }
            // A few columns of all rows at a time: both sides of what is turned around stay in the first-level cache.
            for (number, some) in block.chunks_mut(TURNED).enumerate() {
                let from = number * TURNED;
                for lane in 0..(n - first).min(BLOCK) {
                    let row = rows.row(first + lane);
                    match row.to_slice() {
                        Some(row) => {
                            some.iter_mut().zip(&row[from..]).for_each(|(column, value)| column[lane] = *value)
                        }
                        None => {
                            some.iter_mut().zip(row.iter().skip(from)).for_each(|(column, value)| column[lane] = *value)
                        }
                    }
                }
            }
            if infinite.is_none()
                && let Some(column) = block.iter().position(|column| column.iter().any(|value| value.is_infinite()))
            {
                let lane = block[column].iter().position(|value| value.is_infinite()).expect("seen just now");
                infinite = Some((first + lane, column, block[column][lane]));
            }
        }
        Self { rows: n, width, columns, infinite }
    }

    /// The memory.
    pub(crate) fn into_columns(self) -> Vec<[f32; BLOCK]> {
        self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// # Errors
    /// An infinity.
    pub fn check(&self) -> Result<(), FitError> {
        match self.infinite {
            Some((row, column, value)) => Err(FitError::NonFinite { row, column, value: value.into() }),
            None => Ok(()),
        }
    }

    /// What stands in the block that begins with row number `first`, a multiple of [`BLOCK`]; `more` are columns after its own.
    pub fn sight<'a>(&'a self, first: usize, more: &'a [[f32; BLOCK]]) -> Sight<'a> {
        let columns = &self.columns[first / BLOCK * self.width..][..self.width];
        Sight { columns, more, rows: (self.rows - first).min(BLOCK) }
    }
}

/// The columns of one block.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    columns: &'a [[f32; BLOCK]],
    more: &'a [[f32; BLOCK]],
    rows: usize,
}

impl<'a> Sight<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of rows that are worked on: [`rows`](Self::rows) up to a multiple of [`ABREAST`].
    pub fn lanes(&self) -> usize {
        self.rows.next_multiple_of(ABREAST)
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len() + self.more.len()
    }

    /// A column: [`lanes`](Self::lanes) values.
    #[inline]
    pub fn column(&self, place: usize) -> &'a [f32] {
        let column = match self.columns.get(place) {
            Some(column) => column,
            None => &self.more[place - self.columns.len()],
        };
        &column[..self.lanes()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};

    #[test]
    fn blocks_hold_what_the_rows_hold() {
        for n in [0, 1, 63, 64, 65, 200] {
            let wide = Array2::from_shape_fn((n, 70), |(row, column)| (row * 100 + column) as f32);
            for rows in [wide.view(), wide.slice(s![.., ..;2])] {
                let blocks = Blocks::of(rows);
                assert_eq!((blocks.rows(), blocks.width()), rows.dim());
                assert!(blocks.check().is_ok());
                let more = [[7.0; BLOCK]];
                for row in 0..n {
                    let sight = blocks.sight(row / BLOCK * BLOCK, &more);
                    assert_eq!(sight.width(), rows.ncols() + 1);
                    assert!(sight.rows() <= sight.lanes() && sight.lanes() < sight.rows() + ABREAST);
                    let got = (0..rows.ncols()).map(|column| sight.column(column)[row % BLOCK]);
                    assert!(got.eq(rows.row(row).iter().copied()), "row {row} of {n}");
                    assert_eq!(sight.column(rows.ncols())[row % BLOCK], 7.0);
                }
            }
        }
    }

    #[test]
    fn memory_that_was_used_before_leaves_no_trace() {
        let large = Blocks::of(Array2::from_elem((130, 5), f32::NAN).view());
        let rows = Array2::from_shape_fn((70, 3), |(row, column)| (row + column) as f32);
        let (again, fresh) = (Blocks::of_in(large.into_columns(), rows.view()), Blocks::of(rows.view()));
        assert_eq!((again.rows, again.width, again.columns), (fresh.rows, fresh.width, fresh.columns));
    }

    #[test]
    fn an_infinity_is_named_by_its_cell() {
        let mut rows = Array2::<f32>::zeros((130, 3));
        rows[[70, 2]] = f32::NEG_INFINITY;
        rows[[3, 1]] = f32::NAN;
        let error = Blocks::of(rows.view()).check().unwrap_err();
        assert_eq!(error.to_string(), "row 70, column 2: -inf is no finite number");
    }
}
