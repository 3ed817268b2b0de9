//! The family against simulation, other routes and its own derivatives.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::population::assert_derivatives;
use super::*;

fn history(x: f64, t_x: f64, t: f64) -> Rfm {
    Rfm::new(x, t_x, t).unwrap()
}

fn sample() -> Histories {
    let customers: Vec<Rfm> = (0..400)
        .map(|i| {
            let (x, t) = (f64::from(i * i % 7), f64::from(50 + i % 90));
            history(x, if x == 0.0 { 0.0 } else { f64::from(i % 50 + 1) }, t)
        })
        .collect();
    Histories::new(&customers)
}

#[test]
fn derivatives_agree_with_differences() {
    let histories = sample();
    let points = [[-1.4, 0.4, -0.2, 0.9], [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, -3.0, -2.5], [-3.0, 2.0, 3.0, 4.0]];
    for k in [1, 2, 5] {
        assert_derivatives(&BetaGeometricTerms::<false> { k }, &histories, &points);
        assert_derivatives(&BetaGeometricTerms::<true> { k }, &histories, &points);
    }
}

#[test]
fn the_total_is_the_sum_over_customers() {
    let histories = sample();
    let model = MbgNbd::new([0.6, 40.0, 0.9, 3.0]).unwrap();
    let summed: f64 = histories.rows().iter().map(|(h, count)| count * model.ln_likelihood(h)).sum();
    assert!((model.total_ln_likelihood(&histories) / summed - 1.0).abs() < 1e-13);
    let regular = MbgNbd::regular(3, [0.6, 40.0, 0.9, 3.0]).unwrap();
    let more = regular.total_ln_likelihood(&sample().with_ln_gaps(5.0)) - regular.total_ln_likelihood(&histories);
    assert!((more - 10.0).abs() < 1e-9, "(k - 1) times the sum of ln gaps, not {more}");
}

#[test]
fn by_the_median_half_have_ordered() {
    let model = BgNbd::new([0.243, 4.414, 0.793, 2.426]).unwrap();
    let regular = MbgNbd::regular(3, [0.8, 2.0, 0.8, 2.4]).unwrap();
    let customer = history(9.0, 36.0, 38.0);
    let median = regular.median_to_next_order(&customer).unwrap();
    assert!((regular.no_order_probability(&customer, median) - 0.5).abs() < 1e-9, "{median}");
    for (x, t_x, t) in [(2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (132.0, 200.0, 200.0), (0.0, 0.0, 10.0)] {
        let customer = history(x, t_x, t);
        let median = model.median_to_next_order(&customer).unwrap();
        let none = model.no_order_probability(&customer, median);
        assert!((none - 0.5).abs() < 1e-13, "{customer:?}: {none} at {median}");
    }
    assert_eq!(model.median_to_next_order(&history(1.0, 1.71, 38.86)), None); // alive with 0.21
    assert_eq!(model.median_to_next_order(&history(0.0, 0.0, 1e4)), None); // alive, but beyond the range
}

/// Customers of a model, observed for 180 to 360 days.
fn simulated(model: &impl OrdersProcess, n: u32) -> Histories {
    let mut random = ChaCha8Rng::seed_from_u64(2005);
    let customers: Vec<Rfm> = (0..n).map(|i| model.simulate(f64::from(180 + i % 181), &mut random)).collect();
    Histories::new(&customers)
}

#[test]
fn the_parameters_that_made_the_data_come_back() {
    let truth = [0.6, 20.0, 0.8, 2.4];
    let histories = simulated(&MbgNbd::new(truth).unwrap(), 40_000);
    let fitted = MbgNbd::fit(&histories).unwrap();
    assert!(fitted.stop.is_maximum() && !fitted.shrunk, "{fitted:?}");
    let errors = fitted.standard_errors.clone().unwrap();
    for ((got, true_value), error) in fitted.params.parameters().into_iter().zip(truth).zip(errors) {
        assert!((got - true_value).abs() < 4.0 * error && error < 0.1 * true_value, "{fitted:?}");
    }
    let total = fitted.params.total_ln_likelihood(&histories);
    assert!((total / fitted.ln_likelihood - 1.0).abs() < 1e-12, "{total} {fitted:?}");
    // No other parameters are more likely, the true ones among them.
    assert!(total > MbgNbd::new(truth).unwrap().total_ln_likelihood(&histories));
}

/// Everything that is foreseen of a new customer, against 400,000 simulated ones.
#[test]
fn what_is_foreseen_is_what_comes() {
    let p = [0.8, 6.0, 0.7, 2.0];
    let models: [&dyn OrdersProcess; 4] = [
        &BgNbd::new(p).unwrap(),
        &MbgNbd::new(p).unwrap(),
        &BgNbd::regular(3, p).unwrap(),
        &MbgNbd::regular(2, p).unwrap(),
    ];
    for model in models {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let n = 400_000;
        let orders: Vec<f64> = (0..n).map(|_| model.simulate(60.0, &mut random).x()).collect();
        let mean = orders.iter().sum::<f64>() / f64::from(n);
        let want = model.expected_orders_of_new(60.0);
        // Five standard errors of a mean whose deviation is about twice itself.
        assert!((mean / want - 1.0).abs() < 0.02, "{mean}, foreseen {want}");
        let mut total = 0.0;
        for count in 0..200 {
            let probability = model.count_probability_of_new(60.0, count);
            let seen = orders.iter().filter(|&&x| x == f64::from(count)).count() as f64 / f64::from(n);
            assert!((seen - probability).abs() < 5.0 * (probability / f64::from(n)).sqrt() + 1e-5, "{count}");
            total += f64::from(count) * probability;
        }
        assert!((total / want - 1.0).abs() < 1e-3, "{total}, foreseen {want}");
    }
}

/// Orders of regular customers by two routes: roots of unity, and the sum over the probabilities of counts.
#[test]
fn regular_orders_are_the_mean_of_their_counts() {
    for k in [2, 3, 6] {
        let model = MbgNbd::regular(k, [0.9, 1.2, 0.6, 3.0]).unwrap();
        for (x, t_x, t, horizon) in
            [(0.0, 0.0, 4.0, 1.0), (3.0, 9.0, 11.0, 6.0), (12.0, 30.0, 30.5, 0.01), (7.0, 20.0, 21.0, 30.0)]
        {
            let customer = history(x, t_x, t);
            let counts = (1..4000).map(|n| f64::from(n) * model.count_probability(&customer, horizon, n as u32));
            let (want, got) = (counts.sum::<f64>(), model.expected_orders(&customer, horizon));
            assert!((got / want - 1.0).abs() < 1e-9, "k {k}, {customer:?}, {horizon}: {got:e}, not {want:e}");
            let none = model.count_probability(&customer, horizon, 0);
            assert!((none - model.no_order_probability(&customer, horizon)).abs() < 1e-12, "k {k}, {customer:?}");
        }
    }
    // One stage to an order is the plain model.
    let (plain, regular) = (
        MbgNbd::new([0.9, 1.2, 0.6, 3.0]).unwrap(),
        super::super::renewal::Renewal { k: 1, stage: 0, shape: 2.9, u: 3.0 },
    );
    let want = mean_orders(plain.a, 4.0, 2.9, 3.0);
    assert!((regular.mean_orders(plain.a, 4.0) / want - 1.0).abs() < 1e-11);
}

#[test]
fn data_that_carry_no_maximum_are_shrunk_and_say_so() {
    let silent: Vec<Rfm> = (0..1000).map(|i| history(0.0, 0.0, f64::from(1 + i % 300))).collect();
    let three = vec![history(2.0, 30.0, 90.0), history(0.0, 0.0, 40.0), history(1.0, 3.0, 60.0)];
    let same = vec![history(4.0, 90.0, 100.0); 500];
    let steady = vec![history(30.0, 100.0, 100.0); 500];
    for (name, customers) in [("silent", silent), ("three", three), ("same", same), ("steady", steady)] {
        let fitted = BgNbd::fit(&Histories::new(&customers)).unwrap();
        assert!(fitted.shrunk && fitted.stop.is_maximum(), "{name}: {fitted:?}");
        let (orders, none) = (
            fitted.params.expected_orders(&customers[0], 90.0),
            fitted.params.no_order_probability(&customers[0], 90.0),
        );
        assert!(orders.is_finite() && none <= 1.0 && fitted.standard_errors.is_none(), "{name}: {fitted:?}");
    }
}

#[test]
fn nobody_and_no_time_are_errors_by_name() {
    assert!(matches!(BgNbd::fit(&Histories::default()), Err(BtydError::NoCustomers { .. })));
    let today = Histories::new(&[history(0.0, 0.0, 0.0); 9]);
    assert!(matches!(BgNbd::fit(&today), Err(BtydError::NoTime { customers: 9, .. })));
}

#[test]
fn parameters_are_stored_bit_for_bit_and_checked_on_the_way_in() {
    let model = BgNbd::new([0.1 + 0.2, 4.413_602_019_013_504, 0.792_922_017_225_597_6, 1e-12]).unwrap();
    let stored = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<BgNbd>(&stored).unwrap(), model);
    assert!(serde_json::from_str::<BgNbd>(r#"{"r":-1.0,"alpha":1.0,"a":1.0,"b":1.0}"#).is_err());
    assert!(matches!(BgNbd::new([1.0, f64::NAN, 1.0, 1.0]), Err(BtydError::BadParameter { name: "alpha", .. })));
}

#[test]
fn regularity_needs_gaps_and_a_sensible_k() {
    let histories = sample();
    assert!(matches!(MbgNbd::fit_regular(2, &histories), Err(BtydError::NoGaps { .. })));
    assert!(MbgNbd::fit_regular(2, &sample().with_ln_gaps(100.0)).is_ok());
    assert!(matches!(MbgNbd::fit_regular(0, &histories), Err(BtydError::BadParameter { name: "k", .. })));
    assert!(matches!(BgNbd::regular(13, [1.0; 4]), Err(BtydError::BadParameter { name: "k", .. })));
    let stored = serde_json::to_string(&MbgNbd::regular(2, [1.0; 4]).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<MbgNbd>(&stored).unwrap().regularity(), 2);
}
