//! One pass over the rows: value and gradient of the logistic loss together.

use rayon::prelude::*;

use crate::models::CHUNK_ROWS;

/// Labelled rows, row-major, as the solvers read them.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// n × `width` features.
    pub features: &'a [f64],
    pub width: usize,
    pub labels: &'a [bool],
    /// One for each row; absent means 1.
    pub weights: Option<&'a [f64]>,
}

/// Loss and gradient at one point.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    /// Σ weight · log loss, in nats.
    pub value: f64,
    /// Its gradient: coefficients, then intercept.
    pub gradient: Vec<f64>,
    /// Whether every row with a weight lies strictly on its label's side.
    pub separated: bool,
}

impl Rows<'_> {
    /// Number of rows, or the sum of their weights.
    pub fn total_weight(&self) -> f64 {
        self.weights.map_or(self.labels.len() as f64, |weights| weights.iter().sum())
    }

    /// Σ w_i · ln(1 + exp(-y_i z_i)) with y_i = ±1, z_i = x_i · `point[..width]` + `point[width]`, and its gradient.
    ///
    /// Chunks of a fixed number of rows are summed in parallel and added in their order.
    pub fn loss(&self, point: &[f64]) -> Loss {
        let chunks: Vec<Loss> = (0..self.labels.len().div_ceil(CHUNK_ROWS))
            .into_par_iter()
            .map(|chunk| {
                let start = chunk * CHUNK_ROWS;
                let end = (start + CHUNK_ROWS).min(self.labels.len());
                self.part(start, end, point)
            })
            .collect();
        let mut total = Loss { value: 0.0, gradient: vec![0.0; self.width + 1], separated: true };
        for chunk in chunks {
            total.value += chunk.value;
            total.separated &= chunk.separated;
            for (sum, part) in total.gradient.iter_mut().zip(&chunk.gradient) {
                *sum += part;
            }
        }
        total
    }

    /// The same over rows `start..end`. Four rows at a time, so that coefficients and gradient are loaded once for them.
    fn part(&self, start: usize, end: usize, point: &[f64]) -> Loss {
        let (coefficients, intercept) = (&point[..self.width], point[self.width]);
        let mut loss = Loss { value: 0.0, gradient: vec![0.0; self.width + 1], separated: true };
        let row = |i: usize| &self.features[i * self.width..(i + 1) * self.width];
        let mut i = start;
        while i + 4 <= end {
            let rows = [row(i), row(i + 1), row(i + 2), row(i + 3)];
            let products = dot4(rows, coefficients);
            let residuals: [f64; 4] = std::array::from_fn(|k| self.residual(i + k, products[k] + intercept, &mut loss));
            let [a, b, c, d] = rows;
            let [ra, rb, rc, rd] = residuals;
            for ((((g, a), b), c), d) in loss.gradient[..self.width].iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *g += (ra * a + rb * b) + (rc * c + rd * d);
            }
            i += 4;
        }
        while i < end {
            let rows = [row(i); 4];
            let residual = self.residual(i, dot4(rows, coefficients)[0] + intercept, &mut loss);
            for (g, x) in loss.gradient[..self.width].iter_mut().zip(rows[0]) {
                *g += residual * x;
            }
            i += 1;
        }
        loss
    }

    /// Adds row `i` with the linear predictor `z` to the value and to the intercept's gradient; returns d loss / d z.
    #[inline]
    fn residual(&self, i: usize, z: f64, loss: &mut Loss) -> f64 {
        let weight = self.weights.map_or(1.0, |weights| weights[i]);
        let margin = if self.labels[i] { z } else { -z };
        // exp of a number of at most 0: neither overflows for margins of any size.
        let e = (-margin.abs()).exp();
        loss.value += weight * ((-margin).max(0.0) + e.ln_1p());
        loss.separated &= margin > 0.0 || weight == 0.0;
        let wrong = if margin > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
        let residual = if self.labels[i] { -weight * wrong } else { weight * wrong };
        loss.gradient[self.width] += residual;
        residual
    }
}

/// Four dot products with the same vector, each summed over four lanes.
#[inline]
pub(super) fn dot4(rows: [&[f64]; 4], vector: &[f64]) -> [f64; 4] {
    let mut sums = [[0.0f64; 4]; 4];
    let (blocks, tail) = vector.as_chunks::<4>();
    let cut: [(&[[f64; 4]], &[f64]); 4] = rows.map(|row| row.as_chunks::<4>());
    for (j, v) in blocks.iter().enumerate() {
        for k in 0..4 {
            let x = &cut[k].0[j];
            for lane in 0..4 {
                sums[k][lane] += x[lane] * v[lane];
            }
        }
    }
    std::array::from_fn(|k| {
        let mut sum = (sums[k][0] + sums[k][1]) + (sums[k][2] + sums[k][3]);
        for (x, v) in cut[k].1.iter().zip(tail) {
            sum += x * v;
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The gradient against central differences, at random points, with and without weights.
        #[test]
        fn gradient_is_the_slope_of_the_value(
            width in 1usize..9,
            seed in prop::collection::vec((-2.0f64..2.0, any::<bool>(), 0.0f64..3.0), 1..40),
            point in prop::collection::vec(-1.5f64..1.5, 10),
            weighted in any::<bool>(),
        ) {
            let rows = seed.len();
            let features: Vec<f64> =
                (0..rows * width).map(|i| seed[i % rows].0 * (1.0 + (i as f64 * 0.7).sin())).collect();
            let labels: Vec<bool> = seed.iter().map(|row| row.1).collect();
            let weights: Vec<f64> = seed.iter().map(|row| row.2).collect();
            let data = Rows { features: &features, width, labels: &labels, weights: weighted.then_some(&weights[..]) };
            let point = &point[..=width];
            let at = data.loss(point);
            for j in 0..=width {
                let step = 1e-5;
                let mut moved = point.to_vec();
                moved[j] += step;
                let up = data.loss(&moved).value;
                moved[j] -= 2.0 * step;
                let slope = (up - data.loss(&moved).value) / (2.0 * step);
                // Central differences: h² f'''/6 ~ 1e-10 · Σ|x|³ and rounding of the value ε · f / h ~ 1e-10 here.
                prop_assert!((slope - at.gradient[j]).abs() < 1e-6 * (1.0 + at.gradient[j].abs()), "{j}: {slope} {}", at.gradient[j]);
            }
        }

        /// The blocked sum against the plain formula.
        #[test]
        fn value_is_the_plain_sum(rows in prop::collection::vec((-5.0f64..5.0, -5.0f64..5.0, any::<bool>()), 1..30)) {
            let features: Vec<f64> = rows.iter().flat_map(|row| [row.0, row.1]).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.2).collect();
            let data = Rows { features: &features, width: 2, labels: &labels, weights: None };
            let got = data.loss(&[0.4, -1.1, 0.2]).value;
            let expected: f64 = rows
                .iter()
                .map(|(a, b, label)| {
                    let p = 1.0 / (1.0 + (-(0.4 * a - 1.1 * b + 0.2)).exp());
                    -if *label { p.ln() } else { (1.0 - p).ln() }
                })
                .sum();
            prop_assert!((got - expected).abs() < 1e-9 * (1.0 + expected), "{got} {expected}");
        }
    }

    #[test]
    fn huge_margins_neither_overflow_nor_turn_into_nan() {
        let data = Rows { features: &[1e6, -1e6], width: 1, labels: &[false, true], weights: None };
        let loss = data.loss(&[1e6, 0.0]);
        assert_eq!(loss.value, 2e12);
        assert_eq!(loss.gradient, [2e6, 0.0]);
        assert!(!loss.separated);
        assert!(data.loss(&[-1.0, 0.0]).separated);
    }
}
