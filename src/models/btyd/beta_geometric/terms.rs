//! The log-likelihood of the family, over numbers that may carry their derivatives.

use super::super::population::{Row, Terms, alive_or_left};
use crate::math::{Jet, Number, ln_beta_ratio, ln_gamma};

/// The terms of one history.
pub(in crate::models::btyd) struct BetaGeometricTerms<const AT_ZERO: bool> {
    pub k: u32,
}

impl<const AT_ZERO: bool> BetaGeometricTerms<AT_ZERO> {
    /// `ln` of the odds of having left after the last order against being alive in stage 0; `None` where nobody can
    /// have left: only a repeat order can be followed by leaving in the models that are not modified.
    pub(super) fn ln_odds_left<N: Number>(&self, [r, alpha, a, b]: [N; 4], row: &Row) -> Option<N> {
        let coins = row.x + f64::from(u8::from(AT_ZERO)); // thrown so far
        if coins == 0.0 {
            return None;
        }
        let shape = r + f64::from(self.k) * row.x;
        Some((a / (b + (coins - 1.0))).ln() + shape * silent(alpha, row))
    }

    /// `ln` of the weight of all stages 0 to k − 1 against stage 0, of those alive after `x` orders and a silence of
    /// this share `y` of alpha + T.
    pub(super) fn ln_stages<N: Number>(&self, r: N, x: f64, y: N) -> N {
        let mut sum = N::constant(0.0); // the weight less 1: Σ (r + k x)_j y^j / j!, inside out
        for j in (1..self.k).rev() {
            let factor = (r + (f64::from(self.k) * x + f64::from(j) - 1.0)) * y * (1.0 / f64::from(j));
            sum = factor * (sum + 1.0);
        }
        sum.ln_1p()
    }
}

/// `ln ((alpha + T) / (alpha + t_x))`.
fn silent<N: Number>(alpha: N, row: &Row) -> N {
    (N::constant(row.t - row.t_x) / (alpha + row.t_x)).ln_1p()
}

impl<const AT_ZERO: bool> Terms<4> for BetaGeometricTerms<AT_ZERO> {
    fn of_count<N: Number>(&self, [r, _, a, b]: [N; 4], x: f64) -> N {
        let coins = x + f64::from(u8::from(AT_ZERO)); // survived by those alive
        // ln (B(a, b + coins) / B(a, b)), with its derivatives
        let value = ln_beta_ratio(a.value(), b.value(), coins);
        let stayed = N::compose([a, b], value, || {
            let both = (a + b).ln_gamma_ratio_slopes(coins);
            let of_b = b.ln_gamma_ratio_slopes(coins);
            ([-both.0, of_b.0 - both.0], [[-both.1, -both.1], [-both.1, of_b.1 - both.1]])
        });
        r.ln_gamma_ratio(f64::from(self.k) * x) + stayed - x * ln_gamma(f64::from(self.k))
    }

    fn of_times<N: Number>(&self, p: [N; 4], row: &Row) -> N {
        let [r, alpha, ..] = p;
        let stages = f64::from(self.k) * row.x;
        let grown = (N::constant(row.t) / alpha).ln_1p();
        let value = -(alpha.ln() * stages) - (r + stages) * grown;
        let ln_odds = self.ln_odds_left(p, row);
        if self.k == 1 {
            return ln_odds.map_or(value, |ln_odds| value + ln_odds.softplus());
        }
        let ln_stages = self.ln_stages(r, row.x, N::constant(row.t - row.t_x) / (alpha + row.t));
        value + ln_stages + ln_odds.map_or(N::constant(0.0), |ln_odds| (ln_odds - ln_stages).softplus())
    }

    /// Written out where k = 1: this is what most of a fit consists of.
    fn times_expanded(&self, p: [f64; 4], row: &Row) -> Jet<4> {
        if self.k > 1 {
            return self.of_times(std::array::from_fn(|i| Jet::parameter(i, p[i])), row);
        }
        let ([r, alpha, a, b], &Row { x, t_x, t, .. }) = (p, row);
        let shape = r + x;
        let (at_zero, at_last, at_end) = (1.0 / alpha, 1.0 / (alpha + t_x), 1.0 / (alpha + t));
        let grown = (t * at_zero).ln_1p();
        let mut base = Jet::<4>::constant(-x * alpha.ln() - shape * grown);
        let by_alpha = at_end - at_zero; // of `grown`
        base.gradient = [-grown, -x * at_zero - shape * by_alpha, 0.0, 0.0];
        base.hessian[0][1] = -by_alpha;
        base.hessian[1][0] = -by_alpha;
        base.hessian[1][1] = x * at_zero * at_zero - shape * (at_zero * at_zero - at_end * at_end);
        let coins = x + f64::from(u8::from(AT_ZERO));
        if coins == 0.0 {
            return base;
        }
        let stays = 1.0 / (b + (coins - 1.0));
        let silent = ((t - t_x) * at_last).ln_1p();
        let by_alpha = at_end - at_last; // of `silent`
        let mut ln_odds = Jet::<4>::constant((a * stays).ln() + shape * silent);
        ln_odds.gradient = [silent, shape * by_alpha, 1.0 / a, -stays];
        ln_odds.hessian[0][1] = by_alpha;
        ln_odds.hessian[1][0] = by_alpha;
        ln_odds.hessian[1][1] = shape * (at_last * at_last - at_end * at_end);
        ln_odds.hessian[2][2] = -1.0 / (a * a);
        ln_odds.hessian[3][3] = stays * stays;
        alive_or_left(base, &ln_odds)
    }
}
