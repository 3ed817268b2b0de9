//! No number that is none: models without a horizon in continuous time, and those of money, over all that their
//! histories and parameters may be. (Those in continuous time: `scoring/tests.rs`.)

use proptest::prelude::*;

use super::bg_bb::MOST_PERIODS;
use super::covariates::{Linked, WithCovariates};
use super::scoring::tests::{any_history, any_parameters};
use super::*;

/// Costly sums run over every opportunity: most histories are short, a few as long as any.
fn any_count(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..20u32, 4 => 0..500u32, 1 => 0..=20_000u32, 1 => Just(most)]
}

fn any_opportunities() -> impl Strategy<Value = Opportunities> {
    (any_count(MOST_PERIODS), 0.0..=1.0, 0.0..=1.0, 0u8..4).prop_map(|(n, last, often, edge): (u32, f64, f64, u8)| {
        let t_x = match edge {
            0 => n,
            1 => 0,
            _ => (last * f64::from(n)).round() as u32,
        };
        let x = if t_x == 0 { 0 } else { ((often * f64::from(t_x)).round() as u32).max(1) };
        Opportunities::new(x, t_x, n).unwrap()
    })
}

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings(250))]

    #[test]
    fn bg_bb_foresees_numbers(
        [p, q, u, v, _] in any_parameters(),
        history in any_opportunities(),
        periods in any_count(MOST_PERIODS),
        acts in any_count(20_000),
        rate in (-9.2..9.2f64).prop_map(f64::exp),
    ) {
        let model = BgBb::new([p, q, u, v]).unwrap();
        let alive = model.alive_probability(history);
        prop_assert!((0.0..=1.0).contains(&alive), "{alive}");
        let next = model.alive_at_next(history);
        prop_assert!((0.0..=alive).contains(&next), "{next} of {alive}");
        prop_assert!(model.ln_likelihood(history).is_finite());
        let none = model.no_order_probability(history, periods).unwrap();
        prop_assert!((0.0..=1.0).contains(&none), "{none}");
        let left = 1.0 - alive;
        prop_assert!(none >= left * (1.0 - 1e-6) - 1e-15, "{none} and {left} have left");
        let expected = model.expected_orders(history, periods).unwrap();
        prop_assert!((0.0..=f64::from(periods)).contains(&expected), "{expected}");
        // An expected count is at least the probability of any: sums of a million terms, differences of logarithms.
        prop_assert!(expected >= (1.0 - none) * (1.0 - 1e-6) - 1e-6, "{expected}, none {none}");
        let of_new = model.expected_orders_of_new(periods).unwrap();
        prop_assert!((0.0..=f64::from(periods)).contains(&of_new), "{of_new}");
        let count = model.count_probability_of_new(history.counts().2, acts).unwrap();
        prop_assert!((0.0..=1.0 + 1e-6).contains(&count), "{count}");
        let discounted = model.discounted_orders(history, rate).unwrap();
        prop_assert!((0.0..=1.0 / rate * (1.0 + 1e-9)).contains(&discounted), "{discounted} at {rate}");
    }

    #[test]
    fn contracts_are_foreseen_by_numbers(
        [p, q, ..] in any_parameters(),
        renewals in any_count(MOST_PERIODS),
        periods in any_count(MOST_PERIODS),
        rate in (-9.2..9.2f64).prop_map(f64::exp),
    ) {
        let model = ShiftedBetaGeometric::new([p, q]).unwrap();
        for share in [
            model.survival(periods), model.cancels(periods), model.retention(periods),
            model.churn_probability(renewals, periods),
        ] {
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
        let expected = model.expected_renewals(renewals, periods).unwrap();
        prop_assert!((0.0..=f64::from(periods)).contains(&expected), "{expected}");
        let discounted = model.discounted_renewals(renewals, rate).unwrap();
        prop_assert!((0.0..=1.0 / rate * (1.0 + 1e-9)).contains(&discounted), "{discounted} at {rate}");
        let contracts = Contracts { period: periods.max(1), cancelled: f64::from(renewals), renewed: 1.0 };
        prop_assert!(model.ln_likelihood(&[contracts]).is_finite());
    }

    #[test]
    fn covariates_shift_a_model_to_numbers_or_are_refused(
        [p, q, u, v, _] in any_parameters(),
        history in any_history(),
        coefficients in [-30.0..30.0f64, -30.0..30.0],
        covariates in [-10.0..10.0f64, -10.0..10.0],
        horizon in prop_oneof![Just(0.0), 0.0..1000.0, 0.0..=1e6],
    ) {
        fn check<M: Linked>(
            p: [f64; 4], history: &Rfm, [c, d]: [f64; 2], [z, w]: [f64; 2], horizon: f64,
        ) -> Result<(), TestCaseError> {
            let model = WithCovariates::<M>::new(p, vec![c], vec![d]).unwrap();
            let customer = match model.of(&[z], &[w]) {
                Ok(customer) => customer,
                Err(BtydError::BadParameter { found, .. }) => {
                    prop_assert!(!(1e-12..=1e12).contains(&found), "{found}");
                    return Ok(());
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            };
            let alive = customer.alive_probability(history);
            let none = customer.no_order_probability(history, horizon);
            prop_assert!((0.0..=1.0).contains(&alive) && (0.0..=1.0).contains(&none), "{alive}, {none}");
            let expected = customer.expected_orders(history, horizon);
            prop_assert!(expected >= 0.0 && expected.is_finite(), "{expected}");
            prop_assert!(customer.ln_likelihood(history).is_finite());
            // What a fit climbs.
            let jet = M::expand(p.map(f64::ln), history, 1.0);
            let gradient = jet.gradient.iter().all(|slope| slope.is_finite());
            let hessian = jet.hessian.iter().flatten().all(|bend| bend.is_finite());
            prop_assert!(jet.value.is_finite() && gradient && hessian, "{jet:?}");
            Ok(())
        }
        check::<BgNbd>([p, q, u, v], &history, coefficients, covariates, horizon)?;
        check::<MbgNbd>([p, q, u, v], &history, coefficients, covariates, horizon)?;
        check::<ParetoNbd>([p, q, u, v], &history, coefficients, covariates, horizon)?;
    }

    #[test]
    fn money_is_expected_in_numbers(
        [p, q, u, ..] in any_parameters(),
        x in prop_oneof![0u32..5, 0u32..200, 0u32..=20_000],
        mean in prop_oneof![(-27.0..27.0f64).prop_map(f64::exp), Just(0.0), -1e12..0.0f64],
        others in prop::collection::vec((1u32..50, -20.0..25.0f64), 1..60),
    ) {
        let model = GammaGamma::new([p, q, u]).unwrap();
        let x = f64::from(x);
        if let Some(base) = model.population_mean() {
            prop_assert!(base > 0.0 && base.is_finite(), "{base}");
        }
        if let Some(expected) = model.expected_mean(x, mean) {
            prop_assert!(expected > 0.0 && expected.is_finite(), "{expected}");
        }
        if x > 0.0 && mean > 0.0 {
            prop_assert!(model.ln_likelihood(x, mean).is_finite());
        }
        // Any positive money has a spend model, and that a finite mean for any customer.
        let spends: Vec<Spend> =
            others.iter().map(|&(x, ln_mean)| Spend::new(f64::from(x), ln_mean.exp()).unwrap()).collect();
        let spend = SpendModel::fit(&spends).unwrap().expect("there are repeat orders");
        for mean in [None, Some(mean), Some(f64::NAN)] {
            let expected = spend.expected_mean(x, mean);
            prop_assert!(expected.is_finite(), "{expected} by {}", spend.name());
        }
    }
}
