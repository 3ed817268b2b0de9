//! Models in discrete time: BG/BB and the shifted-beta-geometric.

use bellwether::models::btyd::{BgBb, Contracts, Opportunities, ShiftedBetaGeometric};

use super::golden::{ESTIMATES, GOLDEN, assert_near, golden, number, numbers};

const LETTERS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

fn history(key: &str) -> Opportunities {
    let parts: Vec<u32> = key.split(',').map(|part| part.parse().unwrap()).collect();
    Opportunities::new(parts[0], parts[1], parts[2]).unwrap()
}

#[test]
fn bg_bb_golden_points() {
    let Some((_, golden)) = golden("bg_bb_golden_points") else { return };
    let block = &golden["bgbb"]["points"];
    let model = BgBb::new(numbers(&block["params"], LETTERS)).unwrap();
    let mut checked = 0;
    for (key, want) in block["values"].as_object().unwrap() {
        let customer = history(key);
        for (got, name) in [
            (model.ln_likelihood(customer), "ll"),
            (model.alive_probability(customer), "palive_at_n"),
            (model.alive_at_next(customer), "palive_at_n_plus_1"),
            (model.expected_orders(customer, 5).unwrap(), "cexpect_5"),
            (model.discounted_orders(customer, 0.1).unwrap(), "dert_d10"),
        ] {
            let want = number(&want[name]);
            assert!((got / want - 1.0).abs() < GOLDEN, "{key}, {name}: {got:e}, not {want:e}");
        }
        checked += 1;
    }
    assert!(checked >= 28, "{checked}");
    for (x, want) in block["pmf_n6"].as_array().unwrap().iter().enumerate() {
        let got = model.count_probability_of_new(6, x as u32).unwrap();
        assert_near(got, number(want), GOLDEN, &format!("P(X(6) = {x})"));
    }
    for (n, want) in block["expect_n"].as_object().unwrap() {
        let got = model.expected_orders_of_new(n.parse().unwrap()).unwrap();
        assert_near(got, number(want), GOLDEN, &format!("E[X({n})]"));
    }
}

#[test] // Fader, Hardie & Shang (2010): table 3, and the totals of Hardie's workbook
fn bg_bb_on_the_donations() {
    let Some((_, golden)) = golden("bg_bb_on_the_donations") else { return };
    let population: Vec<(Opportunities, f64)> = golden["data"]["donations"]["rows x,tx,n,count"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let [x, t_x, n, count] = [0, 1, 2, 3].map(|i| row[i].as_u64().unwrap() as u32);
            (Opportunities::new(x, t_x, n).unwrap(), f64::from(count))
        })
        .collect();
    let fitted = BgBb::fit(&population).unwrap();
    let want = &golden["mle"]["donations"]["bgbb"];
    assert!(fitted.stop.is_maximum() && !fitted.shrunk && fitted.customers == want["n"].as_u64().unwrap());
    assert_near(fitted.ln_likelihood, number(&want["log_likelihood"]), GOLDEN, "ln L");
    let errors = fitted.standard_errors.clone().unwrap();
    for (i, printed) in [1.204, 0.750, 0.657, 2.783].into_iter().enumerate() {
        let got = fitted.params.parameters()[i];
        assert!((got - printed).abs() < 5.1e-4, "{}: {got}, printed {printed}", LETTERS[i]);
        assert_near(got, number(&want["params"][LETTERS[i]]), ESTIMATES, LETTERS[i]);
        assert_near(errors[i], number(&want["standard_errors"][LETTERS[i]]), ESTIMATES, LETTERS[i]);
    }
    assert!((fitted.ln_likelihood - -33_225.6).abs() < 0.05);
    let aggregate = &golden["bgbb"]["aggregate_at_mle"];
    let total: f64 =
        population.iter().map(|&(customer, n)| n * fitted.params.expected_orders(customer, 5).unwrap()).sum();
    assert_near(total, number(&aggregate["total_expected_2002_2006"]), 1e-7, "expected 2002 to 2006");
    for (x, want) in aggregate["in_sample"].as_array().unwrap().iter().enumerate() {
        let got = 11_104.0 * fitted.params.count_probability_of_new(6, x as u32).unwrap();
        assert_near(got, number(want), 1e-7, &format!("customers with {x} donations"));
    }
}

#[test] // Fader & Hardie (2007), table 1: seven years to fit, twelve to foresee
fn shifted_beta_geometric_retention() {
    let Some((_, golden)) = golden("shifted_beta_geometric_retention") else { return };
    for (key, printed, printed_likelihood) in
        [("sbg_high_end", [0.668, 3.806], -1611.2), ("sbg_regular", [0.704, 1.182], -1680.3)]
    {
        let want = &golden["mle"]["sbg"][key];
        let survivors: Vec<f64> =
            want["survival_pct_table1"].as_array().unwrap().iter().map(|share| 10.0 * number(share)).collect();
        let mut population: Vec<Contracts> = (1..=7)
            .map(|year| {
                let cancelled = (survivors[year - 1] - survivors[year]).round();
                Contracts { period: year as u32, cancelled, renewed: 0.0 }
            })
            .collect();
        population[6].renewed = survivors[7].round();
        let fitted = ShiftedBetaGeometric::fit(&population).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk && fitted.customers == 1000, "{fitted:?}");
        assert_near(fitted.ln_likelihood, number(&want["log_likelihood"]), GOLDEN, key);
        assert!((fitted.ln_likelihood - printed_likelihood).abs() < 0.05);
        let errors = fitted.standard_errors.clone().unwrap();
        for (i, letter) in ["alpha", "beta"].into_iter().enumerate() {
            let got = fitted.params.parameters()[i];
            assert!((got - printed[i]).abs() < 5.1e-4, "{key}, {letter}: {got}, printed {}", printed[i]);
            assert_near(got, number(&want["params"][letter]), ESTIMATES, letter);
            assert_near(errors[i], number(&want["standard_errors"][letter]), ESTIMATES, letter);
        }
        for (year, survival) in want["projected_survival_pct"].as_array().unwrap().iter().enumerate() {
            assert_near(100.0 * fitted.params.survival(year as u32), number(survival), 1e-8, key);
        }
        for (year, retention) in want["retention"].as_array().unwrap().iter().enumerate() {
            assert_near(fitted.params.retention(year as u32 + 1), number(retention), 1e-8, key);
        }
    }
}
