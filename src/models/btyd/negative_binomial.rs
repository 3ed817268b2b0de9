//! Ticks of a Poisson process whose rate is Gamma-distributed.

use crate::math::{ln_gamma, ln_gamma_ratio};

/// The number of ticks in a time of `u` scales at rates Gamma(`shape`).
#[derive(Debug, Clone, Copy)]
pub(super) struct NegativeBinomial {
    pub shape: f64,
    pub u: f64,
}

impl NegativeBinomial {
    /// `ln P(n ticks)`; −∞ where there is no time for any.
    pub(super) fn ln_probability(&self, n: u64) -> f64 {
        if self.u == 0.0 {
            return if n == 0 { 0.0 } else { f64::NEG_INFINITY };
        }
        let count = n as f64;
        // ln (u / (1 + u)), with the digits that are left where u is large
        let ln_share = -(1.0 / self.u).ln_1p();
        ln_gamma_ratio(self.shape, count) - ln_gamma(count + 1.0) + count * ln_share - self.shape * self.u.ln_1p()
    }

    /// P(`from` <= ticks < `to`).
    pub(super) fn between(&self, from: u64, to: u64) -> f64 {
        (from..to).map(|n| self.ln_probability(n).exp()).sum()
    }

    /// P(n ticks) for `from` <= n < `to`, by ratios of neighbours from the likeliest of them on.
    pub(super) fn probabilities(&self, from: u64, to: u64) -> Vec<f64> {
        let mut probabilities = vec![0.0; (to - from) as usize];
        if self.u == 0.0 || probabilities.is_empty() {
            return (from..to).map(|n| if n == 0 { 1.0 } else { 0.0 }).collect();
        }
        let share = self.u / (1.0 + self.u);
        let ratio = |n: f64| share * (self.shape + n) / (n + 1.0); // P(n + 1) / P(n)
        let mode = ((self.shape - 1.0) * self.u).clamp(from as f64, to as f64 - 1.0) as u64;
        let peak = self.ln_probability(mode).exp();
        let place = (mode - from) as usize;
        probabilities[place] = peak;
        for i in place + 1..probabilities.len() {
            probabilities[i] = probabilities[i - 1] * ratio((from + i as u64 - 1) as f64);
        }
        for i in (0..place).rev() {
            probabilities[i] = probabilities[i + 1] / ratio((from + i as u64) as f64);
        }
        probabilities
    }

    /// P(ticks >= `n`): beyond the mean the sum of what is there, before it one less the sum of what is not, each from
    /// `n` on, by ratios of neighbours. (The incomplete Beta function of statrs loses digits where `shape` is large.)
    pub(super) fn at_least(&self, n: u64) -> f64 {
        if n == 0 {
            return 1.0;
        }
        if self.u == 0.0 {
            return 0.0;
        }
        let share = self.u / (1.0 + self.u);
        let ratio = |m: f64| share * (self.shape + m) / (m + 1.0); // P(m + 1) / P(m), which falls or rises towards `share`
        let slowest = ratio(n as f64).max(share);
        let mut sum = 0.0;
        if n as f64 > self.shape * self.u && 1.0 - slowest > SLOW {
            let (mut term, mut m) = (self.ln_probability(n).exp(), n as f64);
            while term > (NOTHING * sum).max(f64::MIN_POSITIVE) {
                sum += term;
                term *= ratio(m);
                m += 1.0;
            }
            return sum;
        }
        let (mut term, mut m) = (self.ln_probability(n - 1).exp(), n as f64 - 1.0);
        while term > (NOTHING * sum).max(f64::MIN_POSITIVE) {
            sum += term;
            if m == 0.0 {
                break;
            }
            m -= 1.0;
            term /= ratio(m);
        }
        (1.0 - sum).max(0.0)
    }
}

/// A term of less than this share of the sum adds nothing, nor do its successors; below the smallest normal number
/// products do not fall any more.
const NOTHING: f64 = 1e-18;

/// Neighbours that fall by less than this make sums of more than 40,000 terms; the sum on the other side is then right to
/// 1e-16 absolutely, if not relatively.
const SLOW: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // mpmath 1.4.1, 60 digits: one less the sum of the probabilities below n
    fn tails_agree_with_high_precision_values() {
        for (shape, u, n, want) in [
            (0.243, 8.835523, 1, 0.42621364315718846),
            (0.243, 8.835523, 30, 0.0038985286947784879),
            (0.243, 8.835523, 500, 7.0415223795582867e-26),
            (2.243, 0.01, 3, 4.9466427364628702e-6),
            (1e11, 1e-12, 2, 0.0046788401604851872),
            (16692.243, 2.1e-07, 3, 7.1612181032868847e-9),
            (500.0, 0.2, 90, 0.83081087616533208),
            (500.0, 0.2, 140, 0.00035357771361026828),
            (0.05, 1000.0, 20, 0.15708954582064182),
        ] {
            let got = NegativeBinomial { shape, u }.at_least(n);
            assert!((got / want - 1.0).abs() < 1e-11, "{shape}, {u}, {n}: {got:e}, not {want:e}");
        }
    }

    #[test]
    fn probabilities_sum_to_one() {
        for (shape, u) in [(0.243, 8.8), (2.5, 0.01), (1e9, 1e-8), (40.0, 3.0)] {
            let ticks = NegativeBinomial { shape, u };
            for n in [1, 2, 7, 100] {
                let all = ticks.between(0, n) + ticks.at_least(n);
                assert!((all - 1.0).abs() < 1e-13, "{shape}, {u}, {n}: {all}");
                for (one, m) in ticks.probabilities(n, n + 300).into_iter().zip(n..) {
                    let want = ticks.ln_probability(m).exp();
                    assert!((one - want).abs() <= 1e-11 * want + 1e-300, "{shape}, {u}, {m}: {one:e}, not {want:e}");
                }
            }
        }
        assert_eq!(NegativeBinomial { shape: 1.0, u: 0.0 }.at_least(1), 0.0);
    }
}
