//! Gauss rules: a Legendre table for panels, and rules for the mean under a Beta distribution.

/// Positive nodes and their weights of the 16-point Gauss-Legendre rule on [-1, 1]: Abramowitz & Stegun (1964),
/// table 25.4, recomputed with 40 digits.
#[allow(clippy::excessive_precision)] // all digits of the source
pub const LEGENDRE_16: [Node; 8] = [
    (0.095_012_509_837_637_440_19, 0.189_450_610_455_068_496_3),
    (0.281_603_550_779_258_913_2, 0.182_603_415_044_923_588_9),
    (0.458_016_777_657_227_386_3, 0.169_156_519_395_002_538_2),
    (0.617_876_244_402_643_748_4, 0.149_595_988_816_576_732_1),
    (0.755_404_408_355_003_033_9, 0.124_628_971_255_533_872_1),
    (0.865_631_202_387_831_743_9, 0.095_158_511_682_492_784_81),
    (0.944_575_023_073_232_576_1, 0.062_253_523_938_647_892_86),
    (0.989_400_934_991_649_932_6, 0.027_152_459_411_754_094_85),
];

/// Positive nodes and their weights of the 8-point rule on [-1, 1], from the same table.
#[allow(clippy::excessive_precision)] // all digits of the source
pub const LEGENDRE_8: [Node; 4] = [
    (0.183_434_642_495_649_804_9, 0.362_683_783_378_361_982_9),
    (0.525_532_409_916_328_985_8, 0.313_706_645_877_887_287_3),
    (0.796_666_477_413_626_739_6, 0.222_381_034_453_374_470_5),
    (0.960_289_856_497_536_231_7, 0.101_228_536_290_376_259_2),
];

/// A node and its weight.
pub type Node = (f64, f64);

/// The 16 nodes and weights of Gauss-Legendre quadrature over `[from, to]`: exact for polynomials up to degree 31.
pub fn legendre(from: f64, to: f64) -> impl Iterator<Item = Node> {
    let (centre, half) = (0.5 * (from + to), 0.5 * (to - from));
    LEGENDRE_16
        .into_iter()
        .flat_map(move |(node, weight)| [(centre - half * node, half * weight), (centre + half * node, half * weight)])
}

/// Nodes in (0, 1) and weights, which sum to 1, of the `n`-point Gauss rule for the mean of a function of
/// `p ~ Beta(a, b)`: exact for polynomials up to degree `2 n - 1`. `None` if the eigenvalues did not settle.
///
/// Golub & Welsch (1969), "Calculation of Gauss Quadrature Rules", Mathematics of Computation 23, 221-230. The
/// recurrence is written in canonical moments (Dette & Studden 1997, section 1.3), which are ratios of sums of
/// positive numbers: nothing cancels where `b` is large and all nodes crowd at 0.
pub fn beta_rule(a: f64, b: f64, n: usize) -> Option<Vec<Node>> {
    // ζ_1 = p_1, ζ_j = (1 - p_{j-1}) p_j; the diagonal is ζ_{2k} + ζ_{2k+1}, its neighbour √(ζ_{2k-1} ζ_{2k}).
    let zeta = |j: usize| -> f64 {
        let k = (j / 2) as f64;
        match j {
            0 => 0.0,
            1 => a / (a + b),
            // p_2k = k / (a + b + 2k - 1) after 1 - p_{2k-1} = (b + k - 1) / (a + b + 2k - 2)
            j if j % 2 == 0 => (b + k - 1.0) / (a + b + 2.0 * k - 2.0) * (k / (a + b + 2.0 * k - 1.0)),
            // p_{2k+1} = (a + k) / (a + b + 2k) after 1 - p_2k = (a + b + k - 1) / (a + b + 2k - 1)
            _ => (a + b + k - 1.0) / (a + b + 2.0 * k - 1.0) * ((a + k) / (a + b + 2.0 * k)),
        }
    };
    let diagonal = (0..n).map(|k| zeta(2 * k) + zeta(2 * k + 1)).collect();
    let beside = (1..n).map(|k| (zeta(2 * k - 1) * zeta(2 * k)).sqrt()).collect();
    tridiagonal_eigen(diagonal, beside)
}

/// No eigenvalue of a matrix of these sizes takes more than a few steps; the limit is there for NaN.
const MOST_QL_STEPS: usize = 60;

/// Eigenvalues of a symmetric tridiagonal matrix with the squared first component of each eigenvector, ascending:
/// the implicit QL algorithm, `imtql2` of Martin, Reinsch & Wilkinson (1968), Numerische Mathematik 12, 377-383.
fn tridiagonal_eigen(mut diagonal: Vec<f64>, mut beside: Vec<f64>) -> Option<Vec<Node>> {
    let n = diagonal.len();
    beside.push(0.0);
    let mut first = vec![0.0; n];
    if let Some(corner) = first.first_mut() {
        *corner = 1.0;
    }
    for low in 0..n {
        let mut steps = 0;
        loop {
            // The first neighbour that is nothing beside its diagonal splits the matrix.
            let split = (low..n - 1)
                .find(|&m| beside[m].abs() <= f64::EPSILON * (diagonal[m].abs() + diagonal[m + 1].abs()))
                .unwrap_or(n - 1);
            if split == low {
                break;
            }
            steps += 1;
            if steps > MOST_QL_STEPS {
                return None;
            }
            let slope = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
            let shift = slope + slope.hypot(1.0).copysign(slope);
            let mut g = diagonal[split] - diagonal[low] + beside[low] / shift;
            let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
            let mut split_early = false;
            for i in (low..split).rev() {
                let (f, e) = (sine * beside[i], cosine * beside[i]);
                let radius = f.hypot(g);
                beside[i + 1] = radius;
                if radius == 0.0 {
                    diagonal[i + 1] -= carried;
                    beside[split] = 0.0;
                    split_early = true;
                    break;
                }
                (sine, cosine) = (f / radius, g / radius);
                g = diagonal[i + 1] - carried;
                let turned = (diagonal[i] - g) * sine + 2.0 * cosine * e;
                carried = sine * turned;
                diagonal[i + 1] = g + carried;
                g = cosine * turned - e;
                (first[i + 1], first[i]) =
                    (sine * first[i] + cosine * first[i + 1], cosine * first[i] - sine * first[i + 1]);
            }
            if !split_early {
                diagonal[low] -= carried;
                beside[low] = g;
                beside[split] = 0.0;
            }
        }
    }
    let mut nodes: Vec<Node> = diagonal.into_iter().zip(first.into_iter().map(|z| z * z)).collect();
    nodes.sort_by(|one, other| one.0.total_cmp(&other.0));
    nodes.iter().all(|&(node, weight)| node.is_finite() && weight.is_finite()).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen terms, each rounded once or twice.
    const ROUNDING: f64 = 1e-14;

    #[test]
    fn legendre_is_exact_for_polynomials_up_to_degree_31() {
        for degree in 0..=31 {
            let got: f64 = legendre(0.0, 2.0).map(|(x, w)| w * x.powi(degree)).sum();
            let want = 2f64.powi(degree + 1) / f64::from(degree + 1);
            assert!((got / want - 1.0).abs() < ROUNDING, "degree {degree}: {got} is not {want}");
        }
        for degree in (0..=14).step_by(2) {
            let got: f64 = LEGENDRE_8.iter().map(|(x, w)| 2.0 * w * x.powi(degree)).sum();
            let want = 2.0 / f64::from(degree + 1);
            assert!((got / want - 1.0).abs() < ROUNDING, "8 nodes, degree {degree}: {got} is not {want}");
        }
        // and not beyond: a table of another order would be caught
        let got: f64 = legendre(-1.0, 1.0).map(|(x, w)| w * x.powi(32)).sum();
        assert!((got - 2.0 / 33.0).abs() > 1e-11);
    }

    #[test]
    fn the_beta_rule_is_exact_for_moments_up_to_its_degree() {
        for (a, b) in [(0.793, 2.426), (1.0, 1.0), (0.003, 0.01), (0.05, 450.0), (2.0, 20_000.5), (1222.8, 9043.8)] {
            for n in [1, 2, 3, 8, 16, 32] {
                let rule = beta_rule(a, b, n).unwrap();
                assert_eq!(rule.len(), n);
                let mut want = 1.0; // E p^k = Π (a + i) / (a + b + i)
                for k in 0..2 * n {
                    let got: f64 = rule.iter().map(|&(p, w)| w * p.powi(k as i32)).sum();
                    // A node's relative error counts k times.
                    let tolerance = ROUNDING * (10.0 + 10.0 * k as f64);
                    assert!(
                        (got / want - 1.0).abs() < tolerance,
                        "Beta({a}, {b}), n {n}, p^{k}: {got:e}, not {want:e}"
                    );
                    want *= (a + k as f64) / (a + b + k as f64);
                }
            }
        }
    }

    #[test] // Beta(1, 1) on (0, 1) is the Legendre rule: the two-point nodes are 1/2 ± 1/√12
    fn the_beta_rule_of_the_flat_density_is_legendre() {
        let rule = beta_rule(1.0, 1.0, 16).unwrap();
        let mut table: Vec<Node> = legendre(0.0, 1.0).collect();
        table.sort_by(|one, other| one.0.total_cmp(&other.0));
        for (got, want) in rule.into_iter().zip(table) {
            assert!((got.0 - want.0).abs() < ROUNDING && (got.1 - want.1).abs() < ROUNDING, "{got:?} {want:?}");
        }
    }

    #[test]
    fn a_rule_of_nonsense_is_none() {
        assert!(beta_rule(f64::NAN, 1.0, 4).is_none());
    }
}
