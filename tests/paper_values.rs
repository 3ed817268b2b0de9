//! The models against somebody else's numbers: papers, and high-precision arithmetic.
//!
//! Values quoted here stand on their own. The golden folder, `../shared/golden` beside the project, holds many more;
//! without it those tests say in one line that they skip.

#![allow(clippy::excessive_precision)] // all digits of the source

use std::path::PathBuf;

use bellwether::models::btyd::{
    BgNbd, BtydModel, GammaGamma, Histories, OrdersFit, OrdersModel, OrdersProcess, Rfm, Spend, SpendModel,
};
use serde_json::Value;

/// Golden values are right to all digits printed; plain `f64` reaches 4e-11 (golden README).
const GOLDEN: f64 = 1e-9;

/// Below this a probability or a count is nothing: golden counts an absolute 1e-13 as right.
const NOTHING: f64 = 1e-13;

/// Estimates: the optimum is flat, so that packages agree to 4 to 6 digits (golden README).
const ESTIMATES: f64 = 1e-5;

/// Parameters of the paper's table 2, in weeks.
const PAPER: [f64; 4] = [0.243, 4.414, 0.793, 2.426];

const DAYS_IN_WEEK: f64 = 7.0;

fn rfm(x: f64, t_x: f64, t: f64) -> Rfm {
    Rfm::new(x, t_x, t).unwrap()
}

fn assert_near(got: f64, want: f64, tolerance: f64, what: &str) {
    let near = (got - want).abs() <= (tolerance * want.abs()).max(NOTHING);
    assert!(near, "{what}: {got:e} is not {want:e}");
}

fn golden_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    folder.join("btyd.json").is_file().then_some(folder)
}

/// The golden numbers, or a line that says that a test skips.
fn golden(test: &str) -> Option<(PathBuf, Value)> {
    let Some(folder) = golden_folder() else {
        eprintln!("{test}: skipped, ../shared/golden/btyd.json is not here");
        return None;
    };
    // Python wrote NaN for two correlations of a constant; JSON has no such word.
    let text = std::fs::read_to_string(folder.join("btyd.json")).unwrap().replace(": NaN", ": null");
    Some((folder, serde_json::from_str(&text).unwrap()))
}

/// A number, which golden writes as text where digits matter.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

fn numbers<const N: usize>(object: &Value, names: [&str; N]) -> [f64; N] {
    names.map(|name| number(&object[name]))
}

/// A customer of a golden table: history in days, mean of repeat orders, orders and spend in the holdout.
struct Customer {
    days: Rfm,
    repeat_spend: f64,
    orders_later: f64,
    spend_later: f64,
}

impl Customer {
    fn mean(&self) -> Option<f64> {
        (self.days.x() > 0.0).then(|| self.repeat_spend / self.days.x())
    }
}

fn customers(folder: &std::path::Path, file: &str) -> Vec<Customer> {
    let mut table = csv::Reader::from_path(folder.join("data").join(file)).unwrap();
    let names = table.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|held| held == name).unwrap();
    let columns = ["x", "tx_days", "T_days", "spend_repeat", "x_hold", "spend_hold"].map(at);
    table
        .records()
        .map(|row| {
            let row = row.unwrap();
            let [x, t_x, t, repeat_spend, orders_later, spend_later] =
                columns.map(|column| row[column].parse::<f64>().unwrap());
            Customer { days: rfm(x, t_x, t), repeat_spend, orders_later, spend_later }
        })
        .collect()
}

fn histories(customers: &[Customer]) -> Histories {
    Histories::new(&customers.iter().map(|customer| customer.days).collect::<Vec<_>>())
}

fn spends(customers: &[Customer]) -> Vec<Spend> {
    customers.iter().filter_map(|c| c.mean().map(|mean| Spend::new(c.days.x(), mean).unwrap())).collect()
}

/// Log-likelihood over weeks of one that was reckoned over days: a density by x times.
fn in_weeks(ln_likelihood_in_days: f64, histories: &Histories) -> f64 {
    ln_likelihood_in_days + histories.totals().0 * DAYS_IN_WEEK.ln()
}

// ---- quoted here ---------------------------------------------------------------------------------------------------

/// What is asked of one customer: x, t_x, T, t, ln L, P(alive), E[Y(t) | history], E[X(t)].
type Point = (f64, f64, f64, f64, f64, f64, f64, f64);

#[test] // 60 to 120 digits from eqs. (6) to (10) of Fader, Hardie & Lee (2005), at the parameters of its table 2
fn bg_nbd_high_precision_points() {
    let points: [Point; 8] = [
        (0.0, 0.0, 38.86, 39.0, -0.554_713_276_438_158_4, 1.0, 0.195_098_052_011_262_6, 1.196_723_193_320_817),
        (
            2.0,
            30.43,
            38.86,
            39.0,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            1.226_028_174_767_144_4,
            1.196_723_193_320_817,
        ),
        (
            1.0,
            1.71,
            38.86,
            39.0,
            -4.469_093_275_032_588,
            0.212_100_985_377_379_08,
            0.203_186_987_079_754_06,
            1.196_723_193_320_817,
        ),
        (
            2.0,
            30.43,
            38.86,
            1e-6,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            3.766_039_015_141_281e-8,
            5.505_210_502_292_042e-8,
        ),
        (
            2.0,
            30.43,
            38.86,
            1e6,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            87.328_040_046_510_52,
            53.540_478_253_014_58,
        ),
        (
            26.0,
            30.86,
            31.0,
            52.0,
            -37.726_579_473_394_44,
            0.968_915_649_717_525_1,
            25.758_195_936_483_515,
            1.446_050_595_396_403_7,
        ),
        (500.0, 1.0, 37.0, 10.0, 1_750.053_247_988_936_5, 0.0, 0.0, 0.432_413_362_234_425_57),
        (
            20_000.0,
            1824.5,
            1825.0,
            365.0,
            27_823.148_901_772_034,
            0.990_700_448_948_566_4,
            3_673.349_789_209_773_6,
            4.228_901_214_301_367,
        ),
    ];
    let model = BgNbd::new(PAPER).unwrap();
    for (x, t_x, t, horizon, ln_likelihood, alive, orders, orders_of_new) in points {
        let customer = rfm(x, t_x, t);
        let name = format!("{customer:?}, {horizon}");
        assert_near(model.ln_likelihood(&customer), ln_likelihood, GOLDEN, &name);
        assert_near(model.alive_probability(&customer), alive, GOLDEN, &name);
        assert_near(model.expected_orders(&customer, horizon), orders, GOLDEN, &name);
        assert_near(model.expected_orders_of_new(horizon), orders_of_new, GOLDEN, &name);
    }
}

#[test] // the closed forms divide by a - 1; 60 digits
fn bg_nbd_where_a_is_one() {
    let model = BgNbd::new([0.5, 5.0, 1.0, 2.5]).unwrap();
    let silent = rfm(0.0, 0.0, 38.86);
    assert_near(model.expected_orders_of_new(39.0), 1.885_428_548_461_200_5, GOLDEN, "E[X(39)]");
    assert_near(model.expected_orders(&silent, 39.0), 0.379_755_102_566_743_1, GOLDEN, "E[Y(39) | 0, 0, 38.86]");
}

#[test] // Hardie's spreadsheet for the paper, as printed in the tests of lifetimes, which compare to 3 decimals
fn bg_nbd_expected_orders_of_a_new_customer_as_printed() {
    let model = BgNbd::new([0.242_594_5, 4.413_602, 0.792_922, 2.425_907]).unwrap();
    for (weeks, printed) in
        [(0.1429, 0.0078), (1.0, 0.0532), (3.0, 0.1506), (31.8571, 1.0405), (32.0, 1.0437), (78.0, 1.8576)]
    {
        let got = model.expected_orders_of_new(weeks);
        assert!((got - printed).abs() < 5e-4, "E[X({weeks})] = {got}, printed {printed}");
    }
}

#[test] // 15 digits, from the conditional distribution of the number of orders
fn bg_nbd_probability_of_no_order() {
    let model = BgNbd::new(PAPER).unwrap();
    for (x, t_x, t, want) in [
        (0.0, 0.0, 38.86, 0.855_449_459_216_682), // a package that forgets that x = 0 cannot have left says 0.927
        (2.0, 30.43, 38.86, 0.445_372_862_082_996),
        (26.0, 30.86, 31.0, 0.031_084_353_620_211_6),
    ] {
        assert_near(model.no_order_probability(&rfm(x, t_x, t), 39.0), want, 1e-13, &format!("{x} {t_x} {t}"));
    }
}

#[test] // Fader & Hardie, note 025, at p 6.25, q 3.74, gamma 15.44; 15 digits
fn gamma_gamma_points() {
    let model = GammaGamma::new([6.25, 3.74, 15.44]).unwrap();
    assert_near(model.population_mean().unwrap(), 35.218_978_102_189_8, 1e-13, "population");
    for (x, mean, expected, ln_likelihood) in [
        (2.0, 22.35, 24.663_713_910_761_2, -3.551_316_759_731_7),
        (7.0, 73.74, 71.469_670_896_967_1, -6.054_867_310_722_23),
        (1.0, 0.01, 10.741_101_223_581_8, -35.204_915_502_837_8),
        (1.0, 1e6, 695_227.641_824_249, -49.164_732_372_156_1),
        (20_000.0, 12.5, 12.500_497_989_084_1, -4.076_820_011_395_34),
    ] {
        assert_near(model.expected_mean(x, mean).unwrap(), expected, 1e-13, &format!("E(M | {x}, {mean})"));
        assert_near(model.ln_likelihood(x, mean), ln_likelihood, 1e-12, &format!("ln L of {x}, {mean}"));
    }
}

// ---- the golden folder ---------------------------------------------------------------------------------------------

/// x, t_x, T and t of the customers of the block `points`. The block names them and leaves the four numbers out: they
/// were solved from its own ln L, P(alive) and E[X(t)], 50 digits; x, t_x and T come out as these round numbers from
/// all six parameter sets alike, within 1e-14 (3e-10 at T of a million).
const POINTS: [(&str, [f64; 4]); 24] = [
    ("never_repeat", [0.0, 0.0, 38.86, 39.0]),
    ("first_buy_today", [0.0, 0.0, 0.0, 39.0]),
    ("hardie_sheet", [2.0, 30.43, 38.86, 39.0]),
    ("one_early", [1.0, 1.71, 38.86, 39.0]),
    ("recency_equals_T", [3.0, 38.86, 38.86, 39.0]),
    ("horizon_zero", [2.0, 30.43, 38.86, 0.0]),
    ("horizon_tiny", [2.0, 30.43, 38.86, 1e-6]),
    ("horizon_long", [2.0, 30.43, 38.86, 5200.0]),
    ("horizon_huge", [2.0, 30.43, 38.86, 1e6]),
    ("walkthrough_26", [26.0, 30.86, 31.0, 52.0]),
    ("x132", [132.0, 200.0, 200.0, 10.0]),
    ("x133", [133.0, 200.0, 200.0, 10.0]),
    ("clvtools_221", [221.0, 103.42857, 103.57143, 52.0]),
    ("clvtools_254", [254.0, 97.14286, 97.28571, 52.0]),
    ("clvtools_161", [161.0, 94.71429, 98.0, 52.0]),
    ("x400_burst", [400.0, 5.0, 6.0, 10.0]),
    ("x500_then_gone", [500.0, 1.0, 37.0, 10.0]),
    ("x1000_then_gone", [1000.0, 10.0, 100.0, 39.0]),
    ("x1000_active", [1000.0, 99.9, 100.0, 39.0]),
    ("x5000_active", [5000.0, 999.9, 1000.0, 365.0]),
    ("x20000_active", [20_000.0, 1824.5, 1825.0, 365.0]),
    ("T_million_silent", [0.0, 0.0, 1e6, 39.0]),
    ("T_million_one", [1.0, 0.1, 1e6, 39.0]),
    ("T_million_active", [5.0, 999_990.0, 1e6, 39.0]),
];

#[test]
fn bg_nbd_all_golden_points() {
    let Some((_, golden)) = golden("bg_nbd_all_golden_points") else { return };
    let sets = golden["points"]["bgnbd"].as_object().unwrap();
    assert_eq!(sets.len(), 6);
    let mut checked = 0;
    for (set, content) in sets {
        let model = BgNbd::new(numbers(&content["params"], ["r", "alpha", "a", "b"])).unwrap();
        assert_eq!(content["customers"].as_object().unwrap().len(), POINTS.len());
        for (name, [x, t_x, t, horizon]) in POINTS {
            let customer = rfm(x, t_x, t);
            let values = &content["customers"][name]["values"];
            let what = |quantity: &str| format!("{set}, {name}, {quantity}");
            let want = |quantity: &str| number(&values[quantity]);
            assert_near(model.ln_likelihood(&customer), want("ll"), GOLDEN, &what("ll"));
            assert_near(model.alive_probability(&customer), want("palive"), GOLDEN, &what("palive"));
            assert_near(model.expected_orders(&customer, horizon), want("cexpect"), GOLDEN, &what("cexpect"));
            assert_near(model.expected_orders_of_new(horizon), want("expect"), GOLDEN, &what("expect"));
            // The fast way that the nightly job goes.
            let stored = at_parameters(model).score(&customer, None, horizon).unwrap();
            assert_near(stored.expected_orders, want("cexpect"), GOLDEN, &what("cexpect of the scorer"));
            checked += 1;
        }
    }
    assert_eq!(checked, 144);
}

/// A model that was not fitted, by way of its stored form.
fn at_parameters(model: BgNbd) -> BtydModel {
    let stored = serde_json::json!({
        "orders": {
            "model": "bg_nbd", "params": model, "ln_likelihood": -1.0, "iterations": 0, "gradient_norm": 0.0,
            "stop": "converged", "shrunk": false, "customers": 1,
        },
        "spend": null,
    });
    serde_json::from_value(stored).unwrap()
}

#[test]
fn gamma_gamma_all_golden_points() {
    let Some((_, golden)) = golden("gamma_gamma_all_golden_points") else { return };
    let block = &golden["more"]["gamma_gamma"];
    let model = GammaGamma::new([6.25, 3.74, 15.44]).unwrap();
    let mut checked = 0;
    for (key, values) in block["points x,zbar -> E(M|x,zbar), log-likelihood"].as_object().unwrap() {
        let (x, mean) = key.split_once(',').unwrap();
        let (x, mean): (f64, f64) = (x.parse().unwrap(), mean.parse().unwrap());
        assert_near(model.expected_mean(x, mean).unwrap(), number(&values[0]), 1e-13, key);
        if x > 0.0 {
            assert_near(model.ln_likelihood(x, mean), number(&values[1]), 1e-12, key);
        }
        checked += 1;
    }
    assert_eq!(checked, 9);
    let block = &golden["more"]["gamma_gamma_q_near_1"];
    let model = GammaGamma::new([2.0, 1.2, 10.0]).unwrap();
    assert_near(model.population_mean().unwrap(), number(&block["E(M|0)"]), 1e-13, "q near 1");
    assert_near(model.expected_mean(1.0, 30.0).unwrap(), number(&block["E(M|1,30)"]), 1e-13, "q near 1");
}

#[test]
fn fits_reach_the_golden_maxima() {
    let Some((folder, golden)) = golden("fits_reach_the_golden_maxima") else { return };
    for (block, file) in [("cdnow_sample", "cdnow_sample_cbs.csv"), ("cdnow_master", "cdnow_master_cbs.csv")] {
        let customers = customers(&folder, file);
        let histories = histories(&customers);
        let want = &golden["mle"][block]["bgnbd"];
        assert_eq!(histories.customers(), golden["data"][block]["customers"].as_u64().unwrap());
        assert_eq!(histories.repeat_buyers(), golden["data"][block]["repeat_buyers"].as_u64().unwrap());
        if let Some(unique) = want["unique_rows"].as_u64() {
            assert_eq!(histories.rows().len() as u64, unique);
        }
        let fitted = BgNbd::fit(&histories).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk && fitted.iterations <= 200, "{fitted:?}");
        let likelihood = in_weeks(fitted.ln_likelihood, &histories);
        assert_near(likelihood, number(&want["log_likelihood"]), GOLDEN, &format!("{block}: BG/NBD ln L"));
        let [r, alpha, a, b] = fitted.params.parameters();
        let letters = ["r", "alpha", "a", "b"];
        for ((got, want), name) in
            [r, alpha / DAYS_IN_WEEK, a, b].into_iter().zip(numbers(&want["params"], letters)).zip(letters)
        {
            assert_near(got, want, ESTIMATES, &format!("{block}: BG/NBD {name}"));
        }

        let want = &golden["mle"][block]["gg"];
        let fitted = GammaGamma::fit(&spends(&customers)).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk && fitted.iterations <= 200, "{fitted:?}");
        assert_eq!(fitted.customers, want["n"].as_u64().unwrap());
        assert_near(fitted.ln_likelihood, number(&want["log_likelihood"]), GOLDEN, &format!("{block}: GG ln L"));
        let letters = ["p", "q", "gamma"];
        for ((got, want), name) in
            fitted.params.parameters().into_iter().zip(numbers(&want["params"], letters)).zip(letters)
        {
            assert_near(got, want, ESTIMATES, &format!("{block}: GG {name}"));
        }
    }
}

#[test] // Fader, Hardie & Lee (2005), table 2; Fader & Hardie (2013), note 025: printed digits
fn the_cdnow_sample_gives_what_the_papers_print() {
    let Some(folder) = golden_folder() else {
        eprintln!("the_cdnow_sample_gives_what_the_papers_print: skipped, ../shared/golden is not here");
        return;
    };
    let customers = customers(&folder, "cdnow_sample_cbs.csv");
    let histories = histories(&customers);
    let BtydModel { orders: OrdersFit::BgNbd(orders), spend } =
        OrdersModel::BgNbd.fit(&histories, &spends(&customers)).unwrap();
    let [r, alpha, a, b] = orders.params.parameters();
    for (got, printed) in [r, alpha / DAYS_IN_WEEK, a, b].into_iter().zip(PAPER) {
        assert!((got - printed).abs() < 5.1e-4, "{got}, printed {printed}");
    }
    assert!((in_weeks(orders.ln_likelihood, &histories) - -9582.4).abs() < 0.05);
    let Some(SpendModel::GammaGamma { fitted, .. }) = spend else { panic!("{spend:?}") };
    for (got, printed) in fitted.params.parameters().into_iter().zip([6.25, 3.74, 15.44]) {
        assert!((got - printed).abs() < 5.1e-3, "{got}, printed {printed}");
    }
    assert!((fitted.ln_likelihood - -4055.9177).abs() < 5e-5);
    // The paper's parameters, rounded as printed, are a little below the maximum of -9582.4292.
    let paper = BgNbd::new([PAPER[0], PAPER[1] * DAYS_IN_WEEK, PAPER[2], PAPER[3]]).unwrap();
    let likelihood = in_weeks(paper.total_ln_likelihood(&histories), &histories);
    assert!((-9582.4312..-9582.4292).contains(&likelihood), "{likelihood}");
}

/// Area under the ROC curve of a score for `hit`, ties counted half (Mann-Whitney).
fn auc(scores: &[f64], hit: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]));
    let (mut ranks, mut hits, mut start) = (0.0, 0.0, 0);
    while start < order.len() {
        let tied = order[start..].iter().take_while(|&&i| scores[i] == scores[order[start]]).count();
        let rank = start as f64 + 0.5 * (tied as f64 + 1.0);
        let among = order[start..start + tied].iter().filter(|&&i| hit[i]).count() as f64;
        (ranks, hits, start) = (ranks + among * rank, hits + among, start + tied);
    }
    (ranks - hits * (hits + 1.0) / 2.0) / (hits * (scores.len() as f64 - hits))
}

/// Predictions of a fit on CDNOW over its own holdout.
fn forecast(customers: &[Customer], weeks: f64) -> Vec<bellwether::models::btyd::BtydScore> {
    let model = OrdersModel::BgNbd.fit(&histories(customers), &spends(customers)).unwrap();
    let days: Vec<Rfm> = customers.iter().map(|customer| customer.days).collect();
    let means: Vec<Option<f64>> = customers.iter().map(Customer::mean).collect();
    model.scorer(weeks * DAYS_IN_WEEK).unwrap().score_all(&days, &means).unwrap()
}

#[test]
fn the_churn_score_is_the_probability_of_no_order_and_not_the_alive_probability() {
    let Some((folder, golden)) = golden("the_churn_score_is_the_probability_of_no_order") else { return };
    let customers = customers(&folder, "cdnow_sample_cbs.csv");
    let scores = forecast(&customers, 39.0);
    let came_back: Vec<bool> = customers.iter().map(|customer| customer.orders_later > 0.0).collect();
    let alive: Vec<f64> = scores.iter().map(|score| score.alive_probability).collect();
    let any: Vec<f64> = scores.iter().map(|score| 1.0 - score.no_order_probability).collect();
    let by_alive = auc(&alive, &came_back);
    let by_any = auc(&any, &came_back);
    assert!((by_alive - 0.316).abs() < 5e-4, "AUC of P(alive): {by_alive}");
    assert!((by_any - 0.757).abs() < 5e-4, "AUC of P(an order): {by_any}");
    let want = &golden["holdout_cdnow_sample_39_weeks"]["transactions"]["BG/NBD"];
    assert_near(by_alive, number(&want["auc_of_palive"]), 1e-4, "AUC of P(alive)");
    assert_near(by_any, number(&want["p_active"]["auc"]), 1e-4, "AUC of P(an order)");
    assert_near(any.iter().sum(), number(&want["p_active"]["expected_active"]), 1e-4, "expected active");
}

#[test]
fn cdnow_holdout_as_golden_has_it() {
    let Some((folder, golden)) = golden("cdnow_holdout_as_golden_has_it") else { return };
    let customers = customers(&folder, "cdnow_sample_cbs.csv");
    let scores = forecast(&customers, 39.0);
    let n = customers.len() as f64;
    let block = &golden["holdout_cdnow_sample_39_weeks"];
    let orders = &block["transactions"]["BG/NBD"];
    let spend = &block["spend"]["BG/NBD x Gamma-Gamma"];
    let summary = |predicted: Vec<f64>, actual: Vec<f64>| {
        let errors = || predicted.iter().zip(&actual).map(|(p, a)| p - a);
        let total: f64 = predicted.iter().sum();
        let mae = errors().map(f64::abs).sum::<f64>() / n;
        let rmse = (errors().map(|e| e * e).sum::<f64>() / n).sqrt();
        (total, mae, rmse)
    };
    let expected = scores.iter().map(|score| score.expected_orders).collect();
    let (total, mae, rmse) = summary(expected, customers.iter().map(|c| c.orders_later).collect());
    assert_near(total, number(&orders["total_predicted"]), 1e-4, "orders");
    assert_near(mae, number(&orders["mae"]), 1e-4, "MAE of orders");
    assert_near(rmse, number(&orders["rmse"]), 1e-4, "RMSE of orders");
    let mean_alive = scores.iter().map(|score| score.alive_probability).sum::<f64>() / n;
    assert_near(mean_alive, number(&orders["mean_palive"]), 1e-4, "mean P(alive)");
    let expected = scores.iter().map(|score| score.expected_value.unwrap()).collect();
    let (total, mae, rmse) = summary(expected, customers.iter().map(|c| c.spend_later).collect());
    assert_near(total, number(&spend["total_predicted"]), 1e-4, "spend");
    assert_near(mae, number(&spend["mae"]), 1e-4, "MAE of spend");
    assert_near(rmse, number(&spend["rmse"]), 1e-4, "RMSE of spend");
    // By orders so far: 0, 1, ... 6, 7 and more.
    for (group, want) in golden["holdout_cdnow_sample_39_weeks"]["by_calibration_frequency"].as_object().unwrap() {
        let least: f64 = group.trim_end_matches('+').parse().unwrap();
        let inside = |c: &Customer| if group.ends_with('+') { c.days.x() >= least } else { c.days.x() == least };
        let members: Vec<f64> =
            customers.iter().zip(&scores).filter(|(c, _)| inside(c)).map(|(_, s)| s.expected_orders).collect();
        assert_eq!(members.len() as u64, want["n"].as_u64().unwrap());
        let mean = members.iter().sum::<f64>() / members.len() as f64;
        assert_near(mean, number(&want["bgnbd"]), 1e-4, &format!("{group} orders so far"));
    }
}
