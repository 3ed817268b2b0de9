//! Special functions of positive arguments.
//!
//! AS = Abramowitz & Stegun (1964), *Handbook of Mathematical Functions*.

/// From here on six terms of Stirling's series (AS 6.1.41) are exact to a unit in the last place.
const STIRLING_FROM: f64 = 15.0;

/// A Pochhammer symbol of at most this many factors is multiplied out: it is exact to a few units in the last
/// place and, for factors below [`LARGEST_FACTOR`], cannot overflow.
const MOST_FACTORS: f64 = 16.0;

/// See [`MOST_FACTORS`]: 16 factors of 1e15 make 1e240.
const LARGEST_FACTOR: f64 = 1e15;

/// `ln Γ(z)` for `z > 0`.
pub fn ln_gamma(z: f64) -> f64 {
    statrs::function::gamma::ln_gamma(z)
}

/// `ψ(z) = d ln Γ(z) / dz` for `z > 0`.
pub fn digamma(z: f64) -> f64 {
    statrs::function::gamma::digamma(z)
}

/// `ψ'(z)` for `z > 0`: AS 6.4.6 up to where AS 6.4.12 is exact to rounding.
pub fn trigamma(z: f64) -> f64 {
    let (mut base, mut below) = (z, 0.0);
    while base < STIRLING_FROM {
        below += 1.0 / (base * base);
        base += 1.0;
    }
    let w = 1.0 / (base * base);
    let series = 1.0 / 30.0 - w * (1.0 / 42.0 - w * (1.0 / 30.0 - w * (5.0 / 66.0 - w * (691.0 / 2730.0))));
    below + (1.0 + (0.5 + (1.0 / 6.0 - w * series) / base) / base) / base
}

/// `ln Γ(z + n) − ln Γ(z)` for `z > 0` and `n >= 0`, without the cancellation of the two logarithms: at
/// `z = 20,000` and `n = 0.8` the plain difference keeps 10 digits.
pub fn ln_gamma_ratio(z: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    if n <= MOST_FACTORS && n.fract() == 0.0 && z < LARGEST_FACTOR {
        return (0..n as u32).map(|i| z + f64::from(i)).product::<f64>().ln();
    }
    let mut base = z;
    let mut below = 1.0; // Γ(z + n) / Γ(z) = Γ(z + n + k) / Γ(z + k) · Π (z + i) / (z + n + i)
    while base < STIRLING_FROM {
        below *= base / (base + n);
        base += 1.0;
    }
    let top = base + n;
    (base - 0.5) * (n / base).ln_1p() + n * (top.ln() - 1.0) + stirling_tail(top) - stirling_tail(base) + below.ln()
}

/// What Stirling's formula lacks, AS 6.1.41, for `z >= STIRLING_FROM`.
fn stirling_tail(z: f64) -> f64 {
    let w = 1.0 / (z * z);
    let series = 1.0 / 1260.0 - w * (1.0 / 1680.0 - w * (1.0 / 1188.0 - w * (691.0 / 360_360.0)));
    (1.0 / 12.0 - w * (1.0 / 360.0 - w * series)) / z
}

/// `ln B(a, b)` for positive `a` and `b`.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    ln_gamma(small) - ln_gamma_ratio(large, small)
}

/// `ln (B(a, b + n) / B(a, b))` for positive `a` and `b` and `n >= 0`: a product for a small whole `n`.
pub fn ln_beta_ratio(a: f64, b: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    if n <= MOST_FACTORS && n.fract() == 0.0 {
        let factor = |i: u32| (b + f64::from(i)) / (a + b + f64::from(i));
        return (0..n as u32).map(factor).product::<f64>().ln();
    }
    // Differences over `a`, not over `n`: they stay small where a history is long.
    ln_gamma_ratio(b, a) - ln_gamma_ratio(b + n, a)
}

/// `ln (e^a + e^b)`, without overflow.
pub fn ln_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high; // also where both are, whose difference would be NaN
    }
    high + (low - high).exp().ln_1p()
}

/// `ln (1 + e^x)`, without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^x)`, down to the smallest number there is.
pub fn logistic_of_minus(x: f64) -> f64 {
    if x > 0.0 {
        let small = (-x).exp();
        small / (1.0 + small)
    } else {
        1.0 / (1.0 + x.exp())
    }
}

#[cfg(test)]
#[allow(clippy::excessive_precision)] // all digits of the source
mod tests {
    use super::*;

    /// A few units in the last place of a sum of terms of this size.
    const ROUNDING: f64 = 4e-15;

    fn assert_close(got: f64, want: f64, size: f64, what: &str) {
        assert!((got - want).abs() <= ROUNDING * want.abs().max(size), "{what}: {got:e} is not {want:e}");
    }

    #[test] // mpmath 1.4.1, 50 digits: loggamma(z)
    fn ln_gamma_agrees_with_high_precision_values() {
        for (z, want) in [
            (1e-8, 18.420680738180208884),
            (0.003, 5.8074187347259782039),
            (0.05, 2.9688792010517307685),
            (0.2426, 1.3197854750907921933),
            (0.5, 0.57236494292470008707),
            (0.793, 0.15887133028636516265),
            (1.5, -0.12078223763524522235),
            (2.426, 0.23400811688731622641),
            (3.5, 1.2009736023470742248),
            (10.25, 13.368023671476046295),
            (100.5, 361.43554046777762156),
            (5000.25, 37584.755595232891915),
            (20000.25, 178068.19411684677869),
            (1e7, 151180949.36947391394),
        ] {
            assert_close(ln_gamma(z), want, 1.0, &format!("ln_gamma({z})"));
        }
    }

    #[test] // mpmath: psi(0, z)
    fn digamma_agrees_with_high_precision_values() {
        for (z, want) in [
            (1e-8, -100000000.57721564636),
            (0.003, -333.90562498540746037),
            (0.2426, -4.358361853222514235),
            (0.793, -0.98121430974438738344),
            (2.426, 0.66620791496879625827),
            (10.25, 2.2777047906867239693),
            (100.5, 4.6051743525818452119),
            (20000.25, 9.9034750525621716653),
        ] {
            assert_close(digamma(z), want, 1.0, &format!("digamma({z})"));
        }
    }

    #[test] // mpmath: psi(1, z)
    fn trigamma_agrees_with_high_precision_values() {
        for (z, want) in [
            (1e-8, 10000000000000001.645),
            (0.003, 111112.74886194769005),
            (0.2426, 18.198210324240314736),
            (0.793, 2.3308658512679494398),
            (2.426, 0.50847184848025801516),
            (14.99, 0.068985766621386454464),
            (15.01, 0.068890754521990004736),
            (100.5, 0.0099999166695831027116),
            (20000.25, 0.000050000624997395540365),
        ] {
            assert_close(trigamma(z), want, 1e-6, &format!("trigamma({z})"));
        }
    }

    #[test] // mpmath: loggamma(z + n) - loggamma(z)
    fn ln_gamma_ratio_does_not_cancel() {
        for (z, n, want) in [
            (0.2426, 1.0, -1.4163412824721872544),
            (0.2426, 16.0, 27.246343807118404272),
            (0.2426, 17.0, 30.033981227559702945),
            (0.2426, 20000.0, 178066.80104565766795),
            (0.003, 2.5, -5.5206241887833840485),
            (1e-6, 0.003, -8.0084250961044070809),
            (20000.25, 0.793, 7.8534714378955337368),
            (2.426, 0.793, 0.67044061888006850552),
            (1e7, 0.003, 0.048354286803324957893),
            (14.99, 1000.5, 5987.1687397764464351),
            (1e9, 1e-3, 0.020723265836446911587),
            (0.5, 1e7, 151180956.85615678399),
        ] {
            assert_close(ln_gamma_ratio(z, n), want, 1.0, &format!("ln_gamma_ratio({z}, {n})"));
        }
    }

    #[test] // mpmath: log(beta(a, b)) and log(beta(a, b + n) / beta(a, b))
    fn beta_functions_agree_with_high_precision_values() {
        for (a, b, n, want, want_ratio) in [
            (0.793, 2.426, 2.0, -0.51156928859370334287, -0.49103167503508617378),
            (0.793, 2.426, 26.0, -0.51156928859370334287, -1.981094304260589451),
            (0.793, 2.426, 20000.0, -0.51156928859370334287, -7.1831170920903381134),
            (0.003, 0.01, 5.0, 6.0714583706169424612, -0.26856561482122102434),
            (0.003, 0.01, 5000.0, 6.0714583706169424612, -0.28959092235589503457),
            (0.05, 50.0, 400.0, 2.7737544742111784878, -0.11028485692936889022),
            (1222.8, 9043.8, 7.0, -3751.290679365076593, -0.88743883366546623167),
            (1222.8, 9043.8, 133.0, -3751.290679365076593, -16.752037086930084003),
        ] {
            let (size, name) = (f64::max(a, 1.0), format!("({a}, {b}, {n})"));
            assert_close(ln_beta(a, b), want, size, &name);
            assert_close(ln_beta_ratio(a, b, n), want_ratio, size, &name);
        }
    }

    #[test]
    fn logarithms_of_sums_do_not_overflow() {
        assert_eq!(ln_add_exp(1e4, 0.0), 1e4);
        assert_eq!(ln_add_exp(-1e4, -1e4), -1e4 + std::f64::consts::LN_2);
        assert_eq!(ln_add_exp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(softplus(1e4), 1e4);
        assert_eq!(softplus(-1e4), 0.0);
        assert_close(softplus(0.0), std::f64::consts::LN_2, 1.0, "softplus");
        assert_eq!(logistic_of_minus(1e4), 0.0);
        assert_eq!(logistic_of_minus(-1e4), 1.0);
        assert!(logistic_of_minus(740.0) > 0.0); // 1 / (1 + e^x) would be 0 from 710 on
    }
}
