//! Pareto/NBD and GGom/NBD against high precision, each other and simulation.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::population::assert_derivatives;
use super::super::{GgomNbd, ParetoNbd};
use super::*;

/// Parameters; x, t_x, T and a horizon; ln L, P(alive), expected orders, those of a new customer, P(no order):
/// tests/reference/ggom_nbd.py.
#[allow(clippy::excessive_precision)] // all digits of the source
#[rustfmt::skip] // a customer to two lines
const GGOM_VALUES: [([f64; 5], [f64; 4], [f64; 5]); 20] = [
    ([0.553, 10.578, 0.0002, 0.603, 0.0026], [0.0, 0.0, 38.86, 39.0],
        [-0.538067356143215698, 0.316416840442150227, 0.115164777246511594, 1.25551464742206919, 0.925519437316996712]),
    ([0.553, 10.578, 0.0002, 0.603, 0.0026], [2.0, 30.43, 38.86, 39.0],
        [-9.50619605196817493, 0.872656234748096255, 1.46632068699318034, 1.25551464742206919, 0.404128127265599963]),
    ([0.553, 10.578, 0.0002, 0.603, 0.0026], [1.0, 1.71, 38.86, 0.001],
        [-4.47999978701998765, 0.182340579412777843, 5.727846302995728e-6, 0.0000522771010758290259, 0.999994272301587421]),
    ([0.553, 10.578, 0.0002, 0.603, 0.0026], [26.0, 30.86, 31.0, 520.0],
        [-39.0825554073024295, 0.997983653805350159, 122.354564541174189, 5.70603177035852287, 0.0231089895794102405]),
    ([0.553, 10.578, 0.0002, 0.603, 0.0026], [400.0, 5.0, 6.0, 10.0],
        [891.949828972671945, 1.11649992614884039e-8, 2.35947533788812184e-6, 0.435139217182769674, 0.999999988849666444]),
    ([0.8, 6.0, 0.05, 0.7, 0.4], [0.0, 0.0, 38.86, 39.0],
        [-0.713204552945214403, 0.0587297531051669846, 0.0216280017966892743, 2.01954643918864366, 0.98612331628917921]),
    ([0.8, 6.0, 0.05, 0.7, 0.4], [2.0, 30.43, 38.86, 39.0],
        [-10.3613228402302162, 0.651068466737380674, 0.839175754766408044, 2.01954643918864366, 0.636130219036593354]),
    ([0.8, 6.0, 0.05, 0.7, 0.4], [1.0, 1.71, 38.86, 0.001],
        [-3.82348954810350606, 0.0234892150174945414, 9.4248278076361873e-7, 0.00013332750031595164, 0.999999057546631412]),
    ([0.8, 6.0, 0.05, 0.7, 0.4], [26.0, 30.86, 31.0, 520.0],
        [-36.5093721407916905, 0.994104923291582296, 19.4394829533867025, 2.54503328948161734, 0.0593768877540158424]),
    ([0.8, 6.0, 0.05, 0.7, 0.4], [400.0, 5.0, 6.0, 10.0],
        [1032.81282808610002, 3.7204760816460176e-13, 9.47745596505168992e-11, 0.944872067086082063, 0.999999999999628654]),
    ([1.5, 20.0, 0.3, 2.0, 50.0], [0.0, 0.0, 38.86, 39.0],
        [-0.576506108228790774, 6.58794313105481949e-8, 2.7989315221543802e-9, 0.763229623826935399, 0.999999997381770879]),
    ([1.5, 20.0, 0.3, 2.0, 50.0], [2.0, 30.43, 38.86, 39.0],
        [-18.4577840057051668, 0.00415796581106194507, 0.000412192543336393938, 0.763229623826935399, 0.999633404323598674]),
    ([1.5, 20.0, 0.3, 2.0, 50.0], [1.0, 1.71, 38.86, 0.001],
        [-3.58440477197918411, 3.39887063113673547e-8, 1.44319215325025847e-12, 0.0000749995499576972162, 0.999999999998556851]),
    ([1.5, 20.0, 0.3, 2.0, 50.0], [26.0, 30.86, 31.0, 520.0],
        [-51.303962332806219, 0.916892865251038319, 0.826463186322071146, 0.763229645311366633, 0.569109486243264709]),
    ([1.5, 20.0, 0.3, 2.0, 50.0], [400.0, 5.0, 6.0, 10.0],
        [709.848580194903543, 0.0000429696075260392023, 0.00353626709886119299, 0.626286775910728912, 0.999957216742631968]),
    ([0.3, 2.0, 1.5, 0.05, 0.01], [0.0, 0.0, 38.86, 39.0],
        [-0.365544166324321925, 0.0251143554608333523, 0.00232663742657277916, 1.50969740664854806, 0.998225327020797715]),
    ([0.3, 2.0, 1.5, 0.05, 0.01], [2.0, 30.43, 38.86, 39.0],
        [-11.630501527177285, 0.457824194479024008, 0.325171140578841799, 1.50969740664854806, 0.823410599837060238]),
    ([0.3, 2.0, 1.5, 0.05, 0.01], [1.0, 1.71, 38.86, 0.001],
        [-4.31802422249929384, 0.00960030890747194418, 3.05431560850573796e-7, 0.000149464698032571411, 0.999999694577035147]),
    ([0.3, 2.0, 1.5, 0.05, 0.01], [26.0, 30.86, 31.0, 520.0],
        [-36.4131688437396793, 0.98895465924570687, 10.5088919346109456, 1.59495216663667074, 0.0988797531988438329]),
    ([0.3, 2.0, 1.5, 0.05, 0.01], [400.0, 5.0, 6.0, 10.0],
        [1209.23063831346745, 4.31243849726263966e-21, 1.5180537832355344e-18, 0.84452398613244151, 1.0]),
];

fn history(x: f64, t_x: f64, t: f64) -> Rfm {
    Rfm::new(x, t_x, t).unwrap()
}

fn sample() -> Histories {
    let customers: Vec<Rfm> = (0..300)
        .map(|i| {
            let (x, t) = (f64::from(i * i % 7), f64::from(50 + i % 90));
            history(x, if x == 0.0 { 0.0 } else { f64::from(i % 50 + 1) }, t)
        })
        .chain([history(0.0, 0.0, 0.0), history(3.0, 70.0, 70.0), history(400.0, 5.0, 90.0)])
        .collect();
    Histories::new(&customers)
}

#[test]
fn derivatives_agree_with_differences() {
    let histories = sample();
    let points = [[-0.6, 0.4, -0.5, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 2.0, 4.0], [-2.0, 2.0, 1.0, -2.0]];
    assert_derivatives(&NbdTerms::<super::super::pareto_nbd::Pareto>(PhantomData), &histories, &points);
    let points = [[-0.6, 0.4, 0.1, -0.5, 0.5], [0.0, 0.0, -3.0, 0.0, -2.0], [1.0, -1.0, 1.5, 1.0, 3.0]];
    assert_derivatives(&NbdTerms::<super::super::ggom_nbd::Gompertz>(PhantomData), &histories, &points);
}

#[test]
fn the_total_is_the_sum_over_customers() {
    let histories = sample();
    let model = ParetoNbd::new([0.6, 40.0, 0.9, 30.0]).unwrap();
    let summed: f64 = histories.rows().iter().map(|(h, count)| count * model.ln_likelihood(h)).sum();
    assert!((model.total_ln_likelihood(&histories) / summed - 1.0).abs() < 1e-13);
}

#[test] // mpmath 1.4.1, 40 digits
fn ggom_agrees_with_high_precision_values() {
    for (p, [x, t_x, t, horizon], [ln_likelihood, alive, orders, of_new, none]) in GGOM_VALUES {
        let model = GgomNbd::new(p).unwrap();
        let customer = history(x, t_x, t);
        for (got, want, what) in [
            (model.ln_likelihood(&customer), ln_likelihood, "ln L"),
            (model.alive_probability(&customer), alive, "alive"),
            (model.expected_orders(&customer, horizon), orders, "orders"),
            (model.expected_orders_of_new(horizon), of_new, "orders of new"),
            (model.no_order_probability(&customer, horizon), none, "no order"),
        ] {
            let near = (got - want).abs() <= (1e-11 * want.abs()).max(1e-15);
            assert!(near, "{p:?}, {customer:?}, {what}: {got:e}, not {want:e}");
        }
    }
}

#[test] // Bemmaor & Glady (2012), section 2: b to 0 with beta / b held
fn ggom_without_ageing_is_pareto() {
    let pareto = ParetoNbd::new([0.553, 10.578, 0.606, 11.669]).unwrap();
    let b = 1e-9;
    let ggom = GgomNbd::new([0.553, 10.578, b, 0.606, 11.669 * b]).unwrap();
    for (x, t_x, t) in [(0.0, 0.0, 38.86), (2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (400.0, 5.0, 6.0)] {
        let customer = history(x, t_x, t);
        for (one, other) in [
            (ggom.ln_likelihood(&customer), pareto.ln_likelihood(&customer)),
            (ggom.alive_probability(&customer), pareto.alive_probability(&customer)),
            (ggom.expected_orders(&customer, 39.0), pareto.expected_orders(&customer, 39.0)),
            (ggom.no_order_probability(&customer, 39.0), pareto.no_order_probability(&customer, 39.0)),
            (ggom.count_probability(&customer, 39.0, 3), pareto.count_probability(&customer, 39.0, 3)),
        ] {
            // The difference is of the order of b times the time.
            assert!((one / other - 1.0).abs() < 1e-6, "{customer:?}: {one} {other}");
        }
    }
}

#[test]
fn by_the_median_half_have_ordered() {
    let pareto = ParetoNbd::new([0.553, 10.578, 0.606, 11.669]).unwrap();
    let ggom = GgomNbd::new([0.8, 6.0, 0.05, 0.7, 0.4]).unwrap();
    let models: [&dyn OrdersProcess; 2] = [&pareto, &ggom];
    for model in models {
        let mut found = 0;
        for (x, t_x, t) in [(2.0, 30.43, 38.86), (26.0, 30.86, 31.0), (132.0, 200.0, 200.0), (9.0, 38.0, 39.0)] {
            let customer = history(x, t_x, t);
            let Some(median) = model.median_to_next_order(&customer) else { continue };
            let none = model.no_order_probability(&customer, median);
            assert!((none - 0.5).abs() < 1e-10, "{customer:?}: {none} at {median}");
            found += 1;
        }
        assert!(found >= 3);
        assert_eq!(model.median_to_next_order(&history(1.0, 1.71, 38.86)), None); // hardly alive
    }
    assert_eq!(pareto.median_to_next_order(&history(0.0, 0.0, 0.0)), None); // never half
}

/// Everything that is foreseen of a new customer, against 400,000 simulated ones.
#[test]
fn what_is_foreseen_is_what_comes() {
    let pareto = ParetoNbd::new([0.8, 6.0, 0.7, 15.0]).unwrap();
    let ggom = GgomNbd::new([0.8, 6.0, 0.05, 0.7, 0.4]).unwrap();
    let models: [&dyn OrdersProcess; 2] = [&pareto, &ggom];
    for model in models {
        let mut random = ChaCha8Rng::seed_from_u64(1987);
        let n = 400_000;
        let orders: Vec<f64> = (0..n).map(|_| model.simulate(60.0, &mut random).x()).collect();
        let mean = orders.iter().sum::<f64>() / f64::from(n);
        let want = model.expected_orders_of_new(60.0);
        // Five standard errors of a mean whose deviation is about twice itself.
        assert!((mean / want - 1.0).abs() < 0.02, "{mean}, foreseen {want}");
        let mut total = 0.0;
        for count in 0..300 {
            let probability = model.count_probability_of_new(60.0, count);
            let seen = orders.iter().filter(|&&x| x == f64::from(count)).count() as f64 / f64::from(n);
            assert!((seen - probability).abs() < 5.0 * (probability / f64::from(n)).sqrt() + 1e-5, "{count}");
            total += f64::from(count) * probability;
        }
        assert!((total / want - 1.0).abs() < 1e-3, "{total}, foreseen {want}");
    }
}

#[test]
fn data_that_carry_no_maximum_are_shrunk_and_say_so() {
    let silent: Vec<Rfm> = (0..1000).map(|i| history(0.0, 0.0, f64::from(1 + i % 300))).collect();
    let three = vec![history(2.0, 30.0, 90.0), history(0.0, 0.0, 40.0), history(1.0, 3.0, 60.0)];
    let same = vec![history(4.0, 90.0, 100.0); 500];
    for (name, customers) in [("silent", silent), ("three", three), ("same", same)] {
        let histories = Histories::new(&customers);
        let pareto = ParetoNbd::fit(&histories).unwrap();
        assert!(pareto.shrunk && pareto.stop.is_maximum(), "{name}: {pareto:?}");
        let ggom = GgomNbd::fit(&histories).unwrap();
        assert!(ggom.shrunk && ggom.stop.is_maximum(), "{name}: {ggom:?}");
    }
    assert!(matches!(ParetoNbd::fit(&Histories::default()), Err(BtydError::NoCustomers { .. })));
    let today = Histories::new(&[history(0.0, 0.0, 0.0); 9]);
    assert!(matches!(GgomNbd::fit(&today), Err(BtydError::NoTime { customers: 9, .. })));
}

#[test]
fn parameters_are_stored_bit_for_bit_and_checked_on_the_way_in() {
    let model = ParetoNbd::new([0.1 + 0.2, 4.413_602_019_013_504, 0.792_922_017_225_597_6, 1e-12]).unwrap();
    let stored = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<ParetoNbd>(&stored).unwrap(), model);
    for damaged in [
        r#"{"r":-1.0,"alpha":1.0,"s":1.0,"beta":1.0}"#,
        r#"{"r":1.0,"alpha":1.0,"s":1.0}"#,
        r#"{"r":1.0,"alpha":1.0,"s":1.0,"beta":1.0,"b":1.0}"#,
    ] {
        assert!(serde_json::from_str::<ParetoNbd>(damaged).is_err(), "{damaged}");
    }
}
