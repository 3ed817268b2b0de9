//! Sums that do not depend on the order of their terms, so that money read file by file, or day by day, adds up to the
//! same bits.

use serde::{Deserialize, Serialize};

/// The exact sum of doubles: what rounding would lose is kept in further doubles, none of which overlap (Shewchuk 1997,
/// "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", section 2).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub(crate) struct ExactSum {
    /// Ascending in magnitude.
    parts: Vec<f64>,
}

/// Bits, because JSON has no infinity: a sum beyond all doubles must come back, too.
impl From<Vec<u64>> for ExactSum {
    fn from(bits: Vec<u64>) -> Self {
        Self { parts: bits.into_iter().map(f64::from_bits).collect() }
    }
}

impl From<ExactSum> for Vec<u64> {
    fn from(sum: ExactSum) -> Self {
        sum.parts.into_iter().map(f64::to_bits).collect()
    }
}

impl ExactSum {
    pub(crate) fn add(&mut self, term: f64) {
        let mut term = term;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let mut part = self.parts[at];
            if term.abs() < part.abs() {
                std::mem::swap(&mut term, &mut part);
            }
            let sum = term + part;
            let lost = part - (sum - term);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
            term = sum;
        }
        self.parts.truncate(kept);
        self.parts.push(term);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|&part| self.add(part));
    }

    /// The double that is nearest to the exact sum.
    pub(crate) fn value(&self) -> f64 {
        let mut parts = self.parts.iter().rev().copied();
        let mut sum = parts.next().unwrap_or(0.0) + 0.0; // of nothing but negative zeros it is zero, too
        let mut lost = 0.0;
        for part in parts.by_ref() {
            let before = sum;
            sum = before + part;
            lost = part - (sum - before);
            if lost != 0.0 {
                break;
            }
        }
        // Halfway between two doubles, what comes after decides.
        if let Some(next) = parts.next()
            && ((lost < 0.0 && next < 0.0) || (lost > 0.0 && next > 0.0))
        {
            let twice = lost * 2.0;
            let rounded = sum + twice;
            if twice == rounded - sum {
                return rounded;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(terms: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|&term| sum.add(term));
        sum
    }

    #[test]
    fn sums_are_those_of_exact_arithmetic() {
        // The values of Python's math.fsum (3.11).
        let cases: [(&[f64], f64); 6] = [
            (&[], 0.0),
            (&[0.1; 10], 1.0),
            (&[1e308, 1.0, -1e308], 1.0),
            (&[1e16, 1.0, 1e-16], 1.000_000_000_000_000_2e16),
            (&[9_007_199_254_740_992.0, -0.5, -5.551_115_123_125_783e-17], 9_007_199_254_740_991.0),
            (&[1e100, 1.0, -1e100, 1e-100, 1e50, -1.0, -1e50], 1e-100),
        ];
        for (terms, expected) in cases {
            assert_eq!(sum(terms).value(), expected, "{terms:?}");
        }
    }

    proptest! {
        #[test]
        fn grouping_and_order_change_no_bit(
            terms in prop::collection::vec((-1_000_000_000i64..1_000_000_000, -30i32..30), 0..60),
            cut in 0usize..60,
        ) {
            let terms: Vec<f64> = terms.into_iter().map(|(m, e)| m as f64 * f64::from(e).exp2()).collect();
            // Every term is a multiple of 2^-30 below 2^60: whole numbers of 128 bits hold the sum.
            let whole: i128 = terms.iter().map(|term| (term * 30f64.exp2()) as i128).sum();
            let expected = whole as f64 * (-30f64).exp2();
            prop_assert_eq!(sum(&terms).value().to_bits(), expected.to_bits());
            let (front, back) = terms.split_at(cut.min(terms.len()));
            let mut merged = sum(back);
            merged.merge(&sum(front));
            prop_assert_eq!(merged.value().to_bits(), expected.to_bits());
            let back = serde_json::to_string(&merged).unwrap();
            prop_assert_eq!(serde_json::from_str::<ExactSum>(&back).unwrap(), merged);
        }
    }
}
