//! Tests by kind: what a fit does, and what a fitted model tells and is written as.

mod fits;
mod inputs;
mod many;
mod models;

use ndarray::{Array1, Array2};

use super::*;
use crate::models::mix;

const OBJECTIVES: [Objective; 6] = [
    Objective::Logistic,
    Objective::Poisson,
    Objective::Tweedie { power: 1.4 },
    Objective::Gamma,
    Objective::Squared,
    Objective::Quantile { alpha: 0.8 },
];

/// A number in (0, 1) for each key.
fn uniform(key: u64) -> f64 {
    (mix(key) >> 11) as f64 / (1u64 << 53) as f64 + 2f64.powi(-54)
}

/// Five columns: two that matter, one of few values, one often missing, one of noise.
fn rows(n: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, 5), |(row, column)| {
        let u = uniform((row * 8 + column) as u64);
        match column {
            2 => (u * 4.0).floor() as f32,
            3 if uniform((row * 8 + 7) as u64) < 0.3 => f32::NAN,
            _ => u as f32,
        }
    })
}

/// The mean of a row's label.
fn mean_of(row: ndarray::ArrayView1<f32>) -> f64 {
    let missing = if row[3].is_nan() { 0.8 } else { 0.0 };
    (1.5 * f64::from(row[0]) - f64::from(row[1]) + 0.4 * f64::from(row[2]) + missing - 1.0).exp()
}

fn labels(objective: Objective, rows: &Array2<f32>) -> Vec<f64> {
    let label = |(at, row): (usize, ndarray::ArrayView1<f32>)| {
        let (mean, u) = (mean_of(row), uniform(1_000_003 * at as u64 + 5));
        match objective {
            Objective::Logistic => f64::from(u8::from(u < mean / (1.0 + mean))),
            Objective::Poisson => (-(u.ln()) * mean * 1.3).floor(),
            Objective::Tweedie { .. } if u < 0.4 => 0.0,
            Objective::Tweedie { .. } => mean * (u - 0.4),
            Objective::Gamma => -u.ln() * mean,
            Objective::Squared | Objective::Quantile { .. } => mean + 2.0 * (u - 0.5),
        }
    };
    rows.rows().into_iter().enumerate().map(label).collect()
}

fn settings(objective: Objective) -> BoostedTrees {
    BoostedTrees { objective, rounds: 40, ..Default::default() }
}

fn mean_loss(objective: Objective, scores: &Array1<f64>, labels: &[f64]) -> f64 {
    scores.iter().zip(labels).map(|(score, label)| objective.loss(*score, *label)).sum::<f64>() / labels.len() as f64
}
