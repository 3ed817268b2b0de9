//! Standard errors against simulation: an interval of ±1.96 covers the truth in about 95 % of fits.

use bellwether::models::btyd::{BgNbd, Histories, MbgNbd, OrdersModel, OrdersProcess, ParetoNbd, Rfm};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Fits of each model. Of 200 intervals of 95 %, 180 to 198 cover the truth: 95 % ± 3.2 standard deviations, but for
/// the skew of estimates of a few thousand customers.
const FITS: u64 = 200;

/// Customers of each fit.
const CUSTOMERS: u32 = 3000;

#[test]
fn intervals_cover_the_truth() {
    let bg = BgNbd::new([0.8, 30.0, 0.8, 2.4]).unwrap();
    let mbg = MbgNbd::new([0.8, 30.0, 0.8, 2.4]).unwrap();
    let pareto = ParetoNbd::new([0.8, 30.0, 0.9, 120.0]).unwrap();
    let cases: [(OrdersModel, &dyn OrdersProcess, [f64; 4]); 3] = [
        (OrdersModel::BgNbd, &bg, bg.parameters()),
        (OrdersModel::MbgNbd, &mbg, mbg.parameters()),
        (OrdersModel::ParetoNbd, &pareto, pareto.parameters()),
    ];
    for (model, process, truth) in cases {
        let mut covered = [0_u64; 4];
        for seed in 0..FITS {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let customers: Vec<Rfm> =
                (0..CUSTOMERS).map(|i| process.simulate(f64::from(300 + i % 200), &mut random)).collect();
            let account = model.fit_orders(&Histories::new(&customers)).unwrap().account();
            assert!(account.stop.is_maximum() && account.iterations <= 200, "{account:?}");
            for (i, parameter) in account.parameters.iter().enumerate() {
                // Parameters are positive: the interval is of the logarithm.
                let Some(error) = parameter.standard_error else { continue }; // held by the prior: no interval
                let away = (parameter.value / truth[i]).ln().abs() * parameter.value / error;
                covered[i] += u64::from(away < 1.96);
            }
        }
        for (covered, letter) in covered.into_iter().zip(0..) {
            assert!((180..=198).contains(&covered), "{}, parameter {letter}: {covered} of {FITS}", model.name());
        }
    }
}

#[test]
fn a_large_population_needs_no_prior() {
    // Most ordered once and share few histories, who came back have one each: 240,000 customers, 90 histories of the
    // first sort and some 90,000 of the second.
    let truth = [0.6, 80.0, 0.55, 65.0];
    let process = ParetoNbd::new(truth).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let customers: Vec<Rfm> = (0..240_000).map(|i| process.simulate(f64::from(180 + i % 90), &mut random)).collect();
    let histories = Histories::new(&customers);
    for model in [OrdersModel::BgNbd, OrdersModel::MbgNbd, OrdersModel::ParetoNbd] {
        let account = model.fit_orders(&histories).unwrap().account();
        assert!(account.stop.is_maximum() && !account.shrunk, "{account:?}");
        if model == OrdersModel::ParetoNbd {
            for (parameter, truth) in account.parameters.iter().zip(truth) {
                let error = parameter.standard_error.unwrap();
                assert!((parameter.value - truth).abs() < 4.0 * error, "{parameter:?} and {truth}");
            }
        }
    }
}
