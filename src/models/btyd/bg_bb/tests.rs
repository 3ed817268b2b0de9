//! BG/BB against simulation, other routes and its own derivatives.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::fitting::assert_expansion;
use super::*;

#[test]
fn derivatives_agree_with_differences() {
    for history in [(0, 0, 6), (2, 4, 6), (6, 6, 6), (3, 40, 90)] {
        let history = Opportunities::new(history.0, history.1, history.2).unwrap();
        let objective = |point: &[f64]| {
            let p: [Jet<4>; 4] = std::array::from_fn(|i| Jet::exp_of_parameter(i, point[i]));
            let jet = ln_likelihood(p, history);
            let hessian = jet.hessian.iter().map(|row| row.to_vec()).collect();
            Expansion { value: jet.value, gradient: jet.gradient.to_vec(), hessian }
        };
        assert_expansion(&objective, &[vec![0.2, -0.3, -0.4, 1.0], vec![-2.0, 2.0, 1.0, -1.0]]);
    }
}

#[test]
fn the_parameters_that_made_the_data_come_back() {
    let truth = [1.2, 0.75, 0.66, 2.78];
    let model = BgBb::new(truth).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(2010);
    let population: Vec<(Opportunities, f64)> =
        (0..20_000).map(|_| (model.simulate(10, &mut random).unwrap(), 1.0)).collect();
    let fitted = BgBb::fit(&population).unwrap();
    assert!(fitted.stop.is_maximum() && !fitted.shrunk, "{fitted:?}");
    let errors = fitted.standard_errors.unwrap();
    for ((got, want), error) in fitted.params.parameters().into_iter().zip(truth).zip(errors) {
        assert!((got - want).abs() < 4.0 * error && error < 0.2 * want, "{got}, {want}, {error}");
    }
    // What was foreseen is what came.
    let mean = population.iter().map(|(history, _)| f64::from(history.x)).sum::<f64>() / 20_000.0;
    assert!((mean / model.expected_orders_of_new(10).unwrap() - 1.0).abs() < 0.03, "{mean}");
    let none = population.iter().filter(|(history, _)| history.x == 0).count() as f64 / 20_000.0;
    assert!((none - model.count_probability_of_new(10, 0).unwrap()).abs() < 0.02, "{none}");
}

#[test]
fn probabilities_add_up_and_extremes_stay_numbers() {
    for p in [[1.2, 0.75, 0.66, 2.78], [1e-9, 1e9, 1e-6, 1e6], [1e3, 1e-3, 1.0, 1.0], [1e12, 1e-12, 1e12, 1e-12]] {
        let model = BgBb::new(p).unwrap();
        let all: f64 = (0..=40).map(|x| model.count_probability_of_new(40, x).unwrap()).sum();
        assert!((all - 1.0).abs() < 1e-6, "{p:?}: {all}");
        for (x, t_x, n) in [(0, 0, 0), (0, 0, 500), (5, 5, 5), (5, 9, 5000), (1, 1, 20_000)] {
            let history = Opportunities::new(x, t_x, n).unwrap();
            assert!(model.ln_likelihood(history).is_finite(), "{p:?} {history:?}");
            assert!((0.0..=1.0).contains(&model.alive_probability(history)), "{p:?} {history:?}");
            let none = model.no_order_probability(history, 12).unwrap();
            let orders = model.expected_orders(history, 12).unwrap();
            assert!(
                (0.0..=1.0).contains(&none) && (0.0..=12.0).contains(&orders),
                "{p:?} {history:?}: {none} {orders}"
            );
            assert!(orders >= 1.0 - none - 1e-6, "{p:?} {history:?}: {orders} {none}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (x, t_x, n) in [(2, 1, 6), (1, 7, 6), (0, 3, 6), (1, 0, 6), (0, 0, MOST_PERIODS + 1)] {
        assert!(matches!(Opportunities::new(x, t_x, n), Err(BtydError::BadHistory { .. })), "{x} {t_x} {n}");
    }
    let model = BgBb::new([1.0; 4]).unwrap();
    let history = Opportunities::new(1, 2, 3).unwrap();
    assert!(matches!(model.discounted_orders(history, 0.0), Err(BtydError::BadPeriodRate { .. })));
    assert!(matches!(model.expected_orders(history, u32::MAX), Err(BtydError::BadPeriods { .. })));
    assert!(matches!(BgBb::fit(&[]), Err(BtydError::NoCustomers { .. })));
    let silent = [(Opportunities::new(0, 0, 6).unwrap(), 900.0)];
    assert!(BgBb::fit(&silent).unwrap().shrunk);
    let stored = serde_json::to_string(&BgBb::new([0.1 + 0.2, 1.0, 2.0, 3.0]).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<BgBb>(&stored).unwrap().parameters()[0], 0.1 + 0.2);
}
