//! *Beta calibration* draws a curve with three numbers: log odds = a·ln p − b·ln(1 − p) + c with a, b ≥ 0 (Kull, Silva Filho &
//! Flach 2017, "Beyond sigmoids: How to obtain well-calibrated probabilities from binary classifiers with beta calibration",
//! Electronic Journal of Statistics 11(2), 5052-5080). With a = b it is *Platt scaling* of the log odds: a slope and a level
//! (Platt 1999, "Probabilistic Outputs for Support Vector Machines"). Both keep the ranking.

use serde::{Deserialize, Serialize};

use super::check_probabilities;
use crate::math::optimise::maximise;
use crate::models::{FitError, check_classes, check_length};

/// Scores are kept this far from 0 and 1, where their logarithms end.
const MARGIN: f64 = 1e-9;

/// A fitted curve; it rises with the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct SigmoidModel {
    /// Weight of ln p, at least 0.
    pub a: f64,
    /// Weight of −ln(1 − p), at least 0.
    pub b: f64,
    /// Level.
    pub c: f64,
}

/// As read from a file, before it is known to keep the promises above.
#[derive(Deserialize)]
struct Stored {
    a: f64,
    b: f64,
    c: f64,
}

impl TryFrom<Stored> for SigmoidModel {
    type Error = &'static str;

    fn try_from(Stored { a, b, c }: Stored) -> Result<Self, Self::Error> {
        if [a, b, c].iter().all(|number| number.is_finite()) && a >= 0.0 && b >= 0.0 {
            Ok(Self { a, b, c })
        } else {
            Err("a calibration curve that does not rise")
        }
    }
}

/// How many numbers the curve has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sigmoid {
    /// a = b: slope and level.
    Platt,
    /// a, b and c.
    Beta,
}

impl Sigmoid {
    /// The curve with the greatest likelihood of the labels, given probabilities as scores.
    ///
    /// # Errors
    /// Lengths that differ, a score outside 0 to 1, no rows, one class only.
    pub fn fit_rows(self, scores: &[f64], labels: &[bool]) -> Result<SigmoidModel, FitError> {
        check_length("labels", scores.len(), labels.len())?;
        check_probabilities(scores)?;
        check_classes(labels, None)?;
        let terms: Vec<(f64, f64, f64)> = scores
            .iter()
            .zip(labels)
            .map(|(&score, &label)| {
                let (ln_p, ln_q) = logarithms(score);
                (ln_p, -ln_q, f64::from(u8::from(label)))
            })
            .collect();
        // Weights on a log scale are positive; a start at the identity.
        let model = |point: &[f64]| match self {
            Self::Platt => SigmoidModel { a: point[0].exp(), b: point[0].exp(), c: point[1] },
            Self::Beta => SigmoidModel { a: point[0].exp(), b: point[1].exp(), c: point[2] },
        };
        let objective = |point: &[f64], gradient: &mut [f64]| {
            let SigmoidModel { a, b, c } = model(point);
            let (mut value, mut slope_a, mut slope_b, mut slope_c) = (0.0, 0.0, 0.0, 0.0);
            for &(x, y, label) in &terms {
                let z = a * x + b * y + c;
                // ln p of the label: z·label − ln(1 + e^z).
                value += z * label - z.max(0.0) - (-z.abs()).exp().ln_1p();
                let residual = label - 1.0 / (1.0 + (-z).exp());
                slope_a += residual * x * a;
                slope_b += residual * y * b;
                slope_c += residual;
            }
            match self {
                Self::Platt => gradient.copy_from_slice(&[slope_a + slope_b, slope_c]),
                Self::Beta => gradient.copy_from_slice(&[slope_a, slope_b, slope_c]),
            }
            value
        };
        let start = match self {
            Self::Platt => vec![0.0; 2],
            Self::Beta => vec![0.0; 3],
        };
        // The identity is finite for every score, so that a fit always comes back; where the likelihood has no maximum (a
        // score that parts the classes) it is the highest point seen.
        let found = maximise(&objective, terms.len() as f64, std::slice::from_ref(&start));
        let found = found.map_or(start, |fit| fit.params);
        Ok(model(&found))
    }
}

fn logarithms(score: f64) -> (f64, f64) {
    let p = score.clamp(MARGIN, 1.0 - MARGIN);
    (p.ln(), (-p).ln_1p())
}

impl SigmoidModel {
    /// The probability of one score, inside [1e-9, 1 − 1e-9] and never falling as the score rises; `NaN` of `NaN`.
    pub fn probability(&self, score: f64) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let (ln_p, ln_q) = logarithms(score);
        let z = self.a * ln_p - self.b * ln_q + self.c;
        (1.0 / (1.0 + (-z).exp())).clamp(MARGIN, 1.0 - MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    /// Scores, and labels whose log odds are those of a curve.
    fn drawn(curve: SigmoidModel, rows: usize) -> (Vec<f64>, Vec<bool>) {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let scores: Vec<f64> = (0..rows).map(|_| random.random_range(0.02..0.98)).collect();
        let labels = scores.iter().map(|&score| random.random_bool(curve.probability(score))).collect();
        (scores, labels)
    }

    #[test]
    fn curves_are_found_again() {
        let platt = SigmoidModel { a: 0.6, b: 0.6, c: -0.5 };
        let (scores, labels) = drawn(platt, 100_000);
        let found = Sigmoid::Platt.fit_rows(&scores, &labels).unwrap();
        // Standard errors of slope and level: about 0.005 and 0.007.
        assert!((found.a - 0.6).abs() < 0.02 && found.a == found.b && (found.c + 0.5).abs() < 0.03, "{found:?}");
        let beta = SigmoidModel { a: 0.4, b: 1.5, c: 0.3 };
        let (scores, labels) = drawn(beta, 200_000);
        let found = Sigmoid::Beta.fit_rows(&scores, &labels).unwrap();
        // Standard errors by the information at the truth: 0.012, 0.021 and 0.025.
        assert!(
            (found.a - 0.4).abs() < 0.04 && (found.b - 1.5).abs() < 0.07 && (found.c - 0.3).abs() < 0.08,
            "{found:?}"
        );
        let likelihood = |curve: SigmoidModel| {
            let of = |(score, label): (&f64, &bool)| {
                let p = curve.probability(*score);
                if *label { p.ln() } else { (-p).ln_1p() }
            };
            scores.iter().zip(&labels).map(of).sum::<f64>()
        };
        assert!(likelihood(found) >= likelihood(beta), "the truth is no better on what was drawn from it");
    }

    // scikit-learn 1.9.1: LogisticRegression(C=inf, tol=1e-14, solver="newton-cholesky").fit(logit(scores), labels)
    #[test]
    fn platt_is_logistic_regression_of_the_log_odds() {
        let scores = [0.1, 0.2, 0.25, 0.4, 0.45, 0.6, 0.7, 0.8, 0.9, 0.3];
        let labels = [false, false, true, false, true, true, false, true, true, false];
        let found = Sigmoid::Platt.fit_rows(&scores, &labels).unwrap();
        let [slope, level] = PLATT;
        assert!((found.a - slope).abs() < 1e-6 && (found.c - level).abs() < 1e-6, "{found:?}");
    }

    const PLATT: [f64; 2] = [1.0495340333994123, 0.17353332389081608];

    #[test]
    fn no_score_is_lost() {
        let parted = Sigmoid::Beta.fit_rows(&[0.1, 0.2, 0.8, 0.9], &[false, false, true, true]).unwrap();
        let ranked: Vec<f64> = [0.0, 0.1, 0.5, 0.9, 1.0].iter().map(|&score| parted.probability(score)).collect();
        assert!(ranked.windows(2).all(|pair| pair[0] <= pair[1]), "{ranked:?}");
        assert!(ranked.iter().all(|p| *p > 0.0 && *p < 1.0));
        assert!(parted.probability(f64::NAN).is_nan());
        assert!(matches!(
            Sigmoid::Platt.fit_rows(&[0.5, 1.5], &[true, false]),
            Err(FitError::NotAProbability { row: 1, .. })
        ));
        assert!(matches!(Sigmoid::Beta.fit_rows(&[0.5], &[true]), Err(FitError::SingleClass { .. })));
    }
}
