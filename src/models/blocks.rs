//! Rows in blocks, column by column: what is done to every row alike is done to several of them at once.

use ndarray::ArrayView2;

use super::FitError;

/// Rows of a block.
pub const BLOCK: usize = 64;

/// Rows that are worked on side by side; a block that is not full is worked on up to a multiple of it.
pub const ABREAST: usize = 8;

/// Rows whose values are compared together.
const NARROWED: usize = 16;

/// Rows that are turned around together: a cache line of each column.
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
        let mut filling = Filling::of(Vec::new(), rows.nrows(), rows.ncols());
        rows.rows().into_iter().for_each(|row| filling.push(row.iter().copied()));
        filling.finish()
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

    /// The value of a row in a column.
    pub(crate) fn value(&self, row: usize, column: usize) -> f32 {
        self.columns[row / BLOCK * self.width + column][row % BLOCK]
    }

    /// What stands in the block that begins with row number `first`, a multiple of [`BLOCK`]; `more` are columns after its own.
    pub fn sight<'a>(&'a self, first: usize, more: &'a [[f32; BLOCK]]) -> Sight<'a> {
        let columns = &self.columns[first / BLOCK * self.width..][..self.width];
        Sight { columns, more, rows: (self.rows - first).min(BLOCK) }
    }
}

/// Blocks that are filled row by row: a row is turned into columns while it is at hand.
pub(crate) struct Filling {
    blocks: Blocks,
    /// The last [`TURNED`] rows, one after another.
    open: Vec<f32>,
}

impl Filling {
    /// For so many rows of so many columns, in memory that is there already, whatever it holds.
    pub(crate) fn of(mut columns: Vec<[f32; BLOCK]>, rows: usize, width: usize) -> Self {
        columns.resize(rows.div_ceil(BLOCK) * width, [0.0; BLOCK]);
        Self { blocks: Blocks { rows: 0, width, columns, infinite: None }, open: vec![0.0; TURNED * width] }
    }

    /// Adds a row of as many values as there are columns.
    pub(crate) fn push(&mut self, row: impl Iterator<Item = f32>) {
        let Blocks { rows, width, infinite, .. } = &mut self.blocks;
        let at = *rows % TURNED;
        let open = &mut self.open[at * *width..][..*width];
        open.iter_mut().zip(row).for_each(|(to, value)| *to = value);
        let is_infinite = open.iter().fold(false, |any, value| any | value.is_infinite());
        if is_infinite && infinite.is_none() {
            let mut cells = open.iter().enumerate().map(|(column, &value)| (*rows, column, value));
            *infinite = cells.find(|(_, _, value)| value.is_infinite());
        }
        *rows += 1;
        if at + 1 == TURNED {
            self.turn();
        }
    }

    /// The blocks of all rows so far.
    ///
    /// # Panics
    /// When there are other than as many rows as were told.
    pub(crate) fn finish(mut self) -> Blocks {
        let (rows, width) = (self.blocks.rows, self.blocks.width);
        assert_eq!(self.blocks.columns.len(), rows.div_ceil(BLOCK) * width, "as many rows as were told");
        if !rows.is_multiple_of(TURNED) {
            self.open[rows % TURNED * width..].fill(0.0);
            self.turn();
        }
        if !rows.is_multiple_of(BLOCK) {
            let unused = rows.next_multiple_of(TURNED) % BLOCK;
            if unused > 0 {
                self.blocks.columns[rows / BLOCK * width..].iter_mut().for_each(|column| column[unused..].fill(0.0));
            }
        }
        self.blocks
    }

    /// Puts the open rows into the columns.
    fn turn(&mut self) {
        let Blocks { rows, width, columns, .. } = &mut self.blocks;
        let (first, width) = ((*rows - 1) / TURNED * TURNED, *width);
        let columns = &mut columns[first / BLOCK * width..][..width];
        // A few columns of all rows, four rows at a time: a cache line of a column is filled while it is at hand.
        for (number, columns) in columns.chunks_mut(TURNED).enumerate() {
            let from = number * TURNED;
            for (quarter, rows) in self.open.chunks_exact(4 * width).enumerate() {
                let lane = first % BLOCK + 4 * quarter;
                let [a, b, c, d] = std::array::from_fn(|row| &rows[row * width + from..][..columns.len()]);
                for ((((column, a), b), c), d) in columns.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    column[lane..lane + 4].copy_from_slice(&[*a, *b, *c, *d]);
                }
            }
        }
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
        &self.whole_column(place)[..self.lanes()]
    }

    /// Sets all bits of the rows whose values in a column are so, and none of the others.
    #[inline(always)]
    pub(super) fn compare(&self, place: usize, answers: &mut [u8; BLOCK], is_so: impl Fn(f32) -> bool) {
        let columns = self.whole_column(place).as_chunks::<NARROWED>().0;
        for (answers, values) in answers.as_chunks_mut::<NARROWED>().0.iter_mut().zip(columns) {
            // All bits as wide as the numbers first: the other way round only four of them are narrowed at a time.
            let wide: [i32; NARROWED] = std::array::from_fn(|row| -i32::from(is_so(values[row])));
            *answers = std::array::from_fn(|row| wide[row] as u8);
        }
    }

    /// A column with what stands beyond the last row.
    #[inline]
    pub(super) fn whole_column(&self, place: usize) -> &'a [f32; BLOCK] {
        match self.columns.get(place) {
            Some(column) => column,
            None => &self.more[place - self.columns.len()],
        }
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
        let mut filling = Filling::of(large.into_columns(), 70, 3);
        rows.rows().into_iter().for_each(|row| filling.push(row.iter().copied()));
        let (again, fresh) = (filling.finish(), Blocks::of(rows.view()));
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
