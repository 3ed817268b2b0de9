//! Rows as codes: each value of a feature is one byte, the number of its bin. Code 0 is "missing".
//!
//! The codes of up to 64 features of a row are one cache line: so histograms are filled, where each row of a leaf is looked at for
//! all its features. They are kept by column as well, where many rows are asked for one feature.

use std::sync::Arc;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::cuts::{Coding, categories_of, category, cuts_of, sample};
use super::first_infinity;
use crate::models::{FitError, check_length, check_weights};

/// Codes in a line.
pub(super) const LINE: usize = 64;

/// Features whose histograms are filled together.
pub(super) const BLOCK: usize = 8;

/// The codes of a row for a group of features, a cache line on most processors. Places without a feature are 0.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [[u8; BLOCK]; LINE / BLOCK]);

/// Codes that a byte has.
pub(super) const CODES: usize = 256;

/// The code of a missing value, and of a category that has no code of its own.
pub(super) const MISSING: u8 = 0;

/// Rows that are encoded at a time: their values and codes stay in the first-level cache.
const ENCODE_ROWS: usize = 64;

/// Rows that a task encodes.
const TASK_ROWS: usize = 64 * ENCODE_ROWS;

/// A feature that has codes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BinnedFeature {
    /// Its column.
    pub(super) column: usize,
    pub(super) coding: Coding,
}

#[derive(Debug, PartialEq)]
pub(super) struct CutPoints {
    pub(super) columns: usize,
    pub(super) features: Vec<BinnedFeature>,
}

impl CutPoints {
    /// Features in each group but the last: as equal as may be, so that groups are equal work.
    pub(super) fn group_size(&self) -> usize {
        let groups = self.features.len().div_ceil(LINE).max(1);
        self.features.len().div_ceil(groups).max(1)
    }
}

/// Rows as codes, with the cut points that made them.
#[derive(Debug, Clone)]
pub struct Binned {
    pub(super) cut_points: Arc<CutPoints>,
    rows: usize,
    /// For each group of features, the codes of each row.
    pub(super) groups: Vec<Vec<Line>>,
    /// For each feature, the codes of each row.
    pub(super) columns: Vec<Vec<u8>>,
}

impl Binned {
    /// Cut points of n × p `rows` (`NaN` where missing) and the rows' codes. The columns `categorical` hold categories, as
    /// whole numbers of at least 0; what is negative there counts as missing. Rows whose weight is 0 take no part in finding the cut points.
    /// A numeric feature has at most `max_bins` bins of values, 2 to 255.
    ///
    /// # Errors
    /// An infinity, `max_bins` or `categorical` out of range, bad weights, no rows, or no feature that varies.
    pub fn fit(
        rows: ArrayView2<f32>,
        categorical: &[usize],
        max_bins: u16,
        weights: Option<&[f64]>,
    ) -> Result<Self, FitError> {
        if !(2..=255).contains(&max_bins) {
            return Err(FitError::BadParameter { name: "max_bins", rule: "2 to 255", got: max_bins.into() });
        }
        if let Some(column) = categorical.iter().find(|column| **column >= rows.ncols()) {
            let rule = "columns of the rows";
            return Err(FitError::BadParameter { name: "categorical", rule, got: *column as f64 });
        }
        if let Some(weights) = weights {
            check_length("weights", rows.nrows(), weights.len())?;
            check_weights(weights)?;
        }
        check_rows(rows)?;
        let sample = sample(rows.nrows(), weights);
        if sample.is_empty() {
            return Err(FitError::NoRows);
        }
        let features: Vec<BinnedFeature> = (0..rows.ncols())
            .into_par_iter()
            .filter_map(|column| {
                let values = rows.column(column);
                let coding = if categorical.contains(&column) {
                    categories_of(values, &sample, max_bins.into())
                } else {
                    cuts_of(values, &sample, max_bins.into())
                };
                coding.map(|coding| BinnedFeature { column, coding })
            })
            .collect();
        if features.is_empty() {
            return Err(FitError::NoUsableFeatures { features: rows.ncols() });
        }
        Ok(Self::encode(Arc::new(CutPoints { columns: rows.ncols(), features }), rows))
    }

    /// Codes of further rows by the same cut points.
    ///
    /// # Errors
    /// Another width, or an infinity.
    pub fn more(&self, rows: ArrayView2<f32>) -> Result<Self, FitError> {
        if rows.ncols() != self.cut_points.columns {
            return Err(FitError::WrongWidth { expected: self.cut_points.columns, got: rows.ncols() });
        }
        check_rows(rows)?;
        Ok(Self::encode(Arc::clone(&self.cut_points), rows))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns that the rows had.
    pub fn columns(&self) -> usize {
        self.cut_points.columns
    }

    /// The columns that vary, ascending; the others are in no tree.
    pub fn usable(&self) -> Vec<usize> {
        self.cut_points.features.iter().map(|feature| feature.column).collect()
    }

    /// The ascending upper ends of all bins but the last of a numeric column; `None` where it is categorical or does not vary.
    pub fn cuts(&self, column: usize) -> Option<&[f32]> {
        match &self.cut_points.features.iter().find(|feature| feature.column == column)?.coding {
            Coding::Cuts(cuts) => Some(cuts),
            Coding::Categories(_) => None,
        }
    }

    pub(super) fn same_cut_points(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cut_points, &other.cut_points) || self.cut_points == other.cut_points
    }

    fn encode(cut_points: Arc<CutPoints>, rows: ArrayView2<f32>) -> Self {
        let (mut groups, mut columns) = (Vec::new(), Vec::new());
        for features in cut_points.features.chunks(cut_points.group_size()) {
            let searches: Vec<Search> = features.iter().map(|feature| Search::new(&feature.coding)).collect();
            let mut lines = vec![Line::default(); rows.nrows()];
            let mut of_group = vec![vec![MISSING; rows.nrows()]; features.len()];
            let mut tasks: Vec<(&mut [Line], Vec<&mut [u8]>)> =
                lines.chunks_mut(TASK_ROWS).map(|lines| (lines, Vec::with_capacity(features.len()))).collect();
            for column in &mut of_group {
                tasks.iter_mut().zip(column.chunks_mut(TASK_ROWS)).for_each(|(task, column)| task.1.push(column));
            }
            tasks.into_par_iter().enumerate().for_each(|(task, (lines, mut columns))| {
                let mut values = [[0.0; ENCODE_ROWS]; LINE];
                for (piece, lines) in lines.chunks_mut(ENCODE_ROWS).enumerate() {
                    let start = piece * ENCODE_ROWS;
                    for at in 0..lines.len() {
                        let row = rows.row(task * TASK_ROWS + start + at);
                        for (values, feature) in values.iter_mut().zip(features) {
                            values[at] = row[feature.column];
                        }
                    }
                    for (place, (column, search)) in columns.iter_mut().zip(&searches).enumerate() {
                        let codes = &mut column[start..start + lines.len()];
                        search.codes(&values[place], codes);
                        for (line, code) in lines.iter_mut().zip(codes) {
                            line.0[place / BLOCK][place % BLOCK] = *code;
                        }
                    }
                }
            });
            groups.push(lines);
            columns.extend(of_group);
        }
        Self { cut_points, rows: rows.nrows(), groups, columns }
    }
}

/// Cuts that are compared with a value at the same time.
const STRIDE: usize = 16;

/// Looks up codes.
enum Search<'a> {
    /// Cuts in strides, filled up with infinity, and the last cut of each stride.
    Cuts(Box<([[f32; STRIDE]; STRIDE], [f32; STRIDE])>),
    Categories(&'a [u32]),
}

impl<'a> Search<'a> {
    fn new(coding: &'a Coding) -> Self {
        match coding {
            Coding::Cuts(cuts) => {
                let mut strides = [[f32::INFINITY; STRIDE]; STRIDE];
                strides.as_flattened_mut()[..cuts.len()].copy_from_slice(cuts);
                Self::Cuts(Box::new((strides, strides.map(|stride| stride[STRIDE - 1]))))
            }
            Coding::Categories(categories) => Self::Categories(categories),
        }
    }

    fn codes(&self, values: &[f32], codes: &mut [u8]) {
        match self {
            Self::Cuts(cuts) => {
                let (strides, ends) = &**cuts;
                for (code, value) in codes.iter_mut().zip(values) {
                    // Counting needs no branch, which would be guessed wrongly every other time.
                    let stride = count_below(ends, *value);
                    let below = STRIDE * stride + count_below(&strides[stride % STRIDE], *value);
                    *code = if value.is_nan() { MISSING } else { below as u8 + 1 };
                }
            }
            Self::Categories(categories) => {
                for (code, value) in codes.iter_mut().zip(values) {
                    let place = category((*value).into()).and_then(|category| categories.binary_search(&category).ok());
                    *code = place.map_or(MISSING, |place| place as u8 + 1);
                }
            }
        }
    }
}

#[inline]
fn count_below(cuts: &[f32; STRIDE], value: f32) -> usize {
    cuts.iter().map(|cut| i32::from(*cut < value)).sum::<i32>() as usize
}

fn check_rows(rows: ArrayView2<f32>) -> Result<(), FitError> {
    if rows.nrows() > u32::MAX as usize {
        let rule = "fewer than 2^32";
        return Err(FitError::BadParameter { name: "rows", rule, got: rows.nrows() as f64 });
    }
    first_infinity(rows)
}
