//! The region that customers can be in, and the scorer beside the model.

use proptest::prelude::*;

use super::super::spend::Spend;
use super::super::{BgNbd, Credibility, Fitted, GgomNbd, MbgNbd, ParetoNbd};
use super::*;

fn model(parameters: [f64; 4], spend: Option<SpendModel>) -> BtydModel {
    BtydModel { orders: OrdersFit::BgNbd(at(BgNbd::new(parameters).unwrap())), spend }
}

fn at<P>(params: P) -> Fitted<P> {
    Fitted {
        params,
        ln_likelihood: -1.0,
        iterations: 1,
        gradient_norm: 0.0,
        stop: crate::math::Stop::Converged,
        shrunk: false,
        customers: 1,
        standard_errors: None,
    }
}

/// Every model at the same five parameters, or as many of them as it has.
fn models([p, q, u, v, w]: [f64; 5]) -> Vec<BtydModel> {
    [
        OrdersFit::BgNbd(at(BgNbd::new([p, q, u, v]).unwrap())),
        OrdersFit::MbgNbd(at(MbgNbd::new([p, q, u, v]).unwrap())),
        OrdersFit::MbgNbd(at(MbgNbd::regular(3, [p, q, u, v]).unwrap())),
        OrdersFit::BgNbd(at(BgNbd::regular(2, [p, q, u, v]).unwrap())),
        OrdersFit::ParetoNbd(at(ParetoNbd::new([p, q, u, v]).unwrap())),
        OrdersFit::GgomNbd(at(GgomNbd::new([p, q, w, u, v]).unwrap())),
    ]
    .map(|orders| BtydModel { orders, spend: Some(casino()) })
    .into()
}

fn casino() -> SpendModel {
    let spends = [Spend::new(1.0, -20.0).unwrap(), Spend::new(4.0, 30.0).unwrap()];
    let fitted = Credibility::fit(&spends).unwrap();
    SpendModel::Credibility { fitted, because: super::super::WhyCredibility::NotPositive { customers: 1 } }
}

/// A history anywhere in the region customers can be in: x to 20,000, T to a million.
pub(in crate::models::btyd) fn any_history() -> impl Strategy<Value = Rfm> {
    let x = prop_oneof![0u32..5, 0u32..200, 0u32..=20_000];
    let t = prop_oneof![Just(0.0), 0.0..10.0, 0.0..2000.0, 0.0..=1e6];
    (x, t, 0.0..=1.0, any::<bool>()).prop_map(|(x, t, share, to_the_end)| {
        let t_x = if to_the_end { t } else { share * t };
        if x == 0 || t_x == 0.0 { Rfm::new(0.0, 0.0, t).unwrap() } else { Rfm::new(f64::from(x), t_x, t).unwrap() }
    })
}

pub(in crate::models::btyd) fn any_parameters() -> impl Strategy<Value = [f64; 5]> {
    let powers = |range: f64| {
        [-range..range, -range..range, -range..range, -range..range, -range..range].prop_map(|p| p.map(f64::exp))
    };
    prop_oneof![
        Just([0.243, 30.9, 0.793, 2.426, 0.001]),
        Just([2.0, 0.05, 0.05, 50.0, 0.1]),
        Just([0.5, 10.0, 1.0, 12.0, 1.0]),
        powers(8.0),
        powers(27.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_customer_gets_a_score_that_is_no_number(
        parameters in any_parameters(),
        history in any_history(),
        horizon in prop_oneof![Just(0.0), 0.0..1.0, 0.0..1000.0, 0.0..=1e6],
        mean in prop_oneof![Just(None), (-1e9..1e9f64).prop_map(Some)],
        count in prop_oneof![0u32..4, 0u32..2000],
    ) {
        for model in models(parameters) {
            let name = model.orders.model().name();
            let score = model.score(&history, mean, horizon).unwrap();
            prop_assert!((0.0..=1.0).contains(&score.alive_probability), "{name}: {score:?}");
            prop_assert!((0.0..=1.0).contains(&score.no_order_probability), "{name}: {score:?}");
            let left = 1.0 - score.alive_probability;
            prop_assert!(score.no_order_probability >= left - 1e-15, "{name}: {score:?}");
            prop_assert!(score.expected_orders >= 0.0 && score.expected_orders.is_finite(), "{name}: {score:?}");
            // An expected count is at least the probability of any.
            let any = 1.0 - score.no_order_probability;
            prop_assert!(score.expected_orders >= any * (1.0 - 1e-9) - 1e-12, "{name}: {score:?}");
            prop_assert!(score.expected_value.is_some_and(f64::is_finite), "{name}: {score:?}");
            let process = model.orders.process();
            if let Some(days) = process.median_to_next_order(&history) {
                prop_assert!((0.0..=super::super::LONGEST_MEDIAN_DAYS).contains(&days), "{name}: {days}");
            }
            prop_assert!(process.ln_likelihood(&history).is_finite(), "{name}");
            let new = process.expected_orders_of_new(horizon);
            prop_assert!(new >= 0.0 && new.is_finite(), "{name}: {new}");
            let later = process.alive_probability_after(&history, horizon);
            prop_assert!((0.0..=score.alive_probability * (1.0 + 1e-9)).contains(&later), "{name}: {later} {score:?}");
            let of_new = process.count_probability_of_new(horizon, count);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&of_new), "{name}, {count}: {of_new}");
            let known = process.count_probability(&history, horizon, count);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&known), "{name}, {count}: {known}");
        }
    }

    #[test]
    fn a_longer_horizon_never_foresees_less(
        parameters in any_parameters(), history in any_history(), horizon in 0.0..2000.0, more in 1.0..3.0,
    ) {
        for model in models(parameters) {
            let near = model.score(&history, None, horizon).unwrap();
            let far = model.score(&history, None, horizon * more).unwrap();
            let name = model.orders.model().name();
            prop_assert!(far.expected_orders >= near.expected_orders * (1.0 - 1e-9), "{name}: {near:?} {far:?}");
            prop_assert!(far.no_order_probability <= near.no_order_probability + 1e-12, "{name}: {near:?} {far:?}");
        }
    }
}

#[test]
fn the_scorer_and_the_model_tell_the_same() {
    for parameters in [[0.243, 4.414, 0.793, 2.426, 0.01], [2.0, 0.05, 0.05, 50.0, 2.0], [0.25, 4.0, 0.003, 0.01, 0.1]]
    {
        for model in models(parameters) {
            for horizon in [0.0, 1e-6, 7.0, 90.0, 1e6] {
                let scorer = model.scorer(horizon).unwrap();
                for (x, t_x, t) in
                    [(0.0, 0.0, 0.0), (0.0, 0.0, 38.9), (2.0, 30.4, 38.9), (511.0, 90.0, 100.0), (6e3, 99.0, 99.0)]
                {
                    let customer = Rfm::new(x, t_x, t).unwrap();
                    let (got, process) = (scorer.score(&customer, None), model.orders.process());
                    let (alive, none) =
                        (process.alive_probability(&customer), process.no_order_probability(&customer, horizon));
                    assert!((got.alive_probability - alive).abs() <= 1e-11 * alive, "{customer:?} {horizon}: {got:?}");
                    // Both are what one lacks.
                    assert!((got.no_order_probability - none).abs() <= 1e-13, "{customer:?} {horizon}: {got:?}");
                    if horizon == 90.0 && t < 50.0 {
                        let (orders, value) = scorer.lifetime(&customer, None, 0.001).unwrap();
                        let want = process.discounted_orders(&customer, 0.001).unwrap();
                        assert!((orders - want).abs() <= 1e-10 * want && value.is_some(), "{customer:?}: {orders}");
                    }
                    assert_eq!(scorer.median_days_to_next(&customer), process.median_to_next_order(&customer));
                    let want = process.expected_orders(&customer, horizon);
                    assert!((got.expected_orders - want).abs() <= 6e-11 * want, "{customer:?} {horizon}: {got:?}");
                }
            }
        }
    }
}

#[test]
fn many_are_scored_as_one_is() {
    let model = model([0.243, 30.9, 0.793, 2.426], Some(casino()));
    let histories: Vec<Rfm> = (0..10_000u32)
        .map(|i| Rfm::new(f64::from(i % 9), if i % 9 == 0 { 0.0 } else { f64::from(i % 200 + 1) }, 300.0).unwrap())
        .collect();
    let means: Vec<Option<f64>> = (0..10_000).map(|i| (i % 3 > 0).then_some(f64::from(i % 50))).collect();
    let scorer = model.scorer(90.0).unwrap();
    let scores = scorer.score_all(&histories, &means).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one_thread.install(|| scorer.score_all(&histories, &means).unwrap()), scores);
    for i in [0, 1, 17, 9_999] {
        assert_eq!(scores[i], model.score(&histories[i], means[i], 90.0).unwrap());
    }
    assert!(matches!(scorer.score_all(&histories, &[]), Err(BtydError::UnequalLengths { .. })));
}

#[test]
fn a_model_is_stored_bit_for_bit() {
    let stored = serde_json::to_string(&model([0.1 + 0.2, 30.9, 0.793, 2.426], Some(casino()))).unwrap();
    let loaded: BtydModel = serde_json::from_str(&stored).unwrap();
    assert_eq!(serde_json::to_string(&loaded).unwrap(), stored);
    assert!(loaded.scorer(f64::NAN).is_err() && loaded.scorer(-1.0).is_err() && loaded.scorer(1e8).is_err());
}

/// A lifetime that ends for nearly all within a few days of one age: found by the test of the whole region.
#[test]
fn a_sudden_end_for_all_is_integrated_one_by_one() {
    let parameters = [1.0, 18_982_263.607, 140_556.554_83, 371_943_151.545_9, 0.001_196_335_813];
    let customer = Rfm::new(0.0, 0.0, 0.0).unwrap();
    for model in models(parameters) {
        let score = model.score(&customer, None, 0.341_010_828_884_746_4).unwrap();
        let any = 1.0 - score.no_order_probability;
        assert!(score.expected_orders >= any * (1.0 - 1e-9) - 1e-12, "{}: {score:?}", model.orders.model().name());
    }
}
