//! Coordinates in which the objective is nearly round.
//!
//! L-BFGS needs many passes over columns that say almost the same, as windows of 30, 60 and 90 days do. It is therefore
//! run in u = Lᵀ (w, b), where L Lᵀ is the mean Hessian at the starting point, taken over a sample of rows. With m rows
//! sampled for p columns the Hessian in u has a condition of about ((1 + √(p/m)) / (1 - √(p/m)))², or 2 at m = 32 p,
//! and the first step is nearly Newton's. The objective and its optimum are the same in any coordinates.

use rayon::prelude::*;

use super::pass::{Rows, dot4};
use crate::models::CHUNK_ROWS;

/// Rows sampled per column, and their bounds: enough for a good condition, cheaper than a pass over many rows.
const ROWS_PER_COLUMN: usize = 32;
const MIN_ROWS: usize = 1024;
const MAX_ROWS: usize = 8192;

/// Share added to the diagonal, so that columns that say exactly the same still have a factor.
const RIDGE: f64 = 1e-6;

/// The lower triangular L, row by row, of a positive definite (p + 1) × (p + 1) matrix.
pub(super) struct Factor {
    rows: Vec<Vec<f64>>,
}

impl Factor {
    /// Of the objective's mean Hessian at `point`; every few rows are sampled, at a constant stride.
    pub fn of(rows: &Rows, alpha: f64, point: &[f64]) -> Self {
        let n = rows.labels.len();
        let size = rows.width + 1;
        let wanted = (ROWS_PER_COLUMN * size).clamp(MIN_ROWS, MAX_ROWS);
        let stride = n.div_ceil(wanted);
        let sample: Vec<usize> = (0..n).step_by(stride).collect();
        let parts: Vec<(f64, Vec<Vec<f64>>)> =
            sample.par_chunks(CHUNK_ROWS).map(|sample| hessian(rows, sample, point)).collect();
        let mut total = 0.0;
        let mut matrix = triangle(size);
        for (weight, part) in parts {
            total += weight;
            for (sum, part) in matrix.iter_mut().flatten().zip(part.iter().flatten()) {
                *sum += part;
            }
        }
        // A sample without any weight teaches nothing; the identity is left.
        let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
        matrix.iter_mut().flatten().for_each(|entry| *entry *= scale);
        for (i, row) in matrix.iter_mut().enumerate() {
            if i < rows.width {
                row[i] += alpha / rows.total_weight();
            }
            row[i] = if row[i] > 0.0 { row[i] * (1.0 + RIDGE) } else { 1.0 };
        }
        Self { rows: cholesky(matrix) }
    }

    /// x = L⁻ᵀ u: from the round coordinates to coefficients and intercept.
    pub fn to_point(&self, u: &[f64]) -> Vec<f64> {
        let mut x = u.to_vec();
        for i in (0..x.len()).rev() {
            let row = &self.rows[i];
            x[i] /= row[i];
            let solved = x[i];
            for (entry, l) in x[..i].iter_mut().zip(row) {
                *entry -= solved * l;
            }
        }
        x
    }

    /// u = Lᵀ x: the other way.
    pub fn to_round(&self, x: &[f64]) -> Vec<f64> {
        let mut u = vec![0.0; x.len()];
        for (row, x) in self.rows.iter().zip(x) {
            for (entry, l) in u.iter_mut().zip(row) {
                *entry += l * x;
            }
        }
        u
    }

    /// L⁻¹ g: a gradient in the round coordinates.
    pub fn gradient(&self, g: &[f64]) -> Vec<f64> {
        let mut round: Vec<f64> = Vec::with_capacity(g.len());
        for (row, g) in self.rows.iter().zip(g) {
            let known: f64 = row.iter().zip(&round).map(|(l, r)| l * r).sum();
            round.push((g - known) / row[round.len()]);
        }
        round
    }

    /// ‖L‖ in the Frobenius norm: a gradient is at most this many times as long as in the round coordinates.
    pub fn norm(&self) -> f64 {
        self.rows.iter().flatten().map(|l| l * l).sum::<f64>().sqrt()
    }
}

fn triangle(size: usize) -> Vec<Vec<f64>> {
    (1..=size).map(|length| vec![0.0; length]).collect()
}

/// Σ v p (1 - p) (x, 1)(x, 1)ᵀ over the sampled rows as a lower triangle, and Σ v.
fn hessian(rows: &Rows, sample: &[usize], point: &[f64]) -> (f64, Vec<Vec<f64>>) {
    let width = rows.width;
    let mut matrix = triangle(width + 1);
    let mut total = 0.0;
    let mut scaled = vec![0.0; width + 1];
    for &i in sample {
        let x = &rows.features[i * width..(i + 1) * width];
        let z = dot4([x; 4], &point[..width])[0] + point[width];
        let e = (-z.abs()).exp();
        let weight = rows.weights.map_or(1.0, |weights| weights[i]);
        total += weight;
        let curvature = weight * e / ((1.0 + e) * (1.0 + e));
        for (scaled, x) in scaled.iter_mut().zip(x.iter().chain([&1.0])) {
            *scaled = curvature * x;
        }
        for (row, x) in matrix.iter_mut().zip(x.iter().chain([&1.0])) {
            for (entry, scaled) in row.iter_mut().zip(&scaled) {
                *entry += x * scaled;
            }
        }
    }
    (total, matrix)
}

/// Cholesky's factor, row by row; a pivot lost to rounding keeps its ridge.
fn cholesky(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..matrix.len() {
        let (above, rest) = matrix.split_at_mut(i);
        let row = &mut rest[0];
        let diagonal = row[i];
        for (j, other) in above.iter().enumerate() {
            let known: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - known) / other[j];
        }
        let squares: f64 = row[..i].iter().map(|l| l * l).sum();
        row[i] = (diagonal - squares).max(0.5 * RIDGE * diagonal).sqrt();
    }
    matrix
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test] // Wikipedia, "Cholesky decomposition", the example of the LDL decomposition section
    fn the_textbook_factor() {
        let factor = cholesky(vec![vec![4.0], vec![12.0, 37.0], vec![-16.0, -43.0, 98.0]]);
        assert_eq!(factor, [vec![2.0], vec![6.0, 1.0], vec![-8.0, 5.0, 3.0]]);
    }

    proptest! {
        /// There and back again, the chain rule, and the bound on the gradient, also for the same column twice.
        #[test]
        fn coordinates_are_consistent(
            values in prop::collection::vec(-3.0f64..3.0, 40),
            point in prop::collection::vec(-1.0f64..1.0, 4),
            move_by in prop::collection::vec(-1.0f64..1.0, 4),
        ) {
            let features: Vec<f64> = values.chunks(2).flat_map(|x| [x[0], x[1], x[0]]).collect();
            let labels: Vec<bool> = values.chunks(2).map(|x| x[1] > 0.0).collect();
            let rows = Rows { features: &features, width: 3, labels: &labels, weights: None };
            let factor = Factor::of(&rows, 0.0, &point);
            let back = factor.to_point(&factor.to_round(&point));
            // The ridge bounds the condition by 1e6 · 4, so 10 digits are lost at most.
            prop_assert!(back.iter().zip(&point).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?} {point:?}");
            let gradient = rows.loss(&point).gradient;
            let round = factor.gradient(&gradient);
            let slope: f64 = gradient.iter().zip(&move_by).map(|(g, d)| g * d).sum();
            let round_slope: f64 = round.iter().zip(factor.to_round(&move_by)).map(|(g, d)| g * d).sum();
            prop_assert!((slope - round_slope).abs() < 1e-8 * (1.0 + slope.abs()), "{slope} {round_slope}");
            let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
            prop_assert!(norm(&gradient) <= factor.norm() * norm(&round) * (1.0 + 1e-9) + 1e-12);
        }
    }
}
