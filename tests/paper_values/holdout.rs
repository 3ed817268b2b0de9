//! What the models foresee of CDNOW, against what came.

use bellwether::models::btyd::{BtydScore, OrdersModel, Rfm};

use super::golden::{Customer, DAYS_IN_WEEK, assert_near, customers, golden, histories, number, spends};

/// Golden's tolerance of this block: totals were cross-checked with other packages to so many digits.
const HOLDOUT: f64 = 1e-4;

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
fn forecast(model: OrdersModel, customers: &[Customer], weeks: f64) -> Vec<BtydScore> {
    let model = model.fit(&histories(customers), &spends(customers)).unwrap();
    let days: Vec<Rfm> = customers.iter().map(|customer| customer.days).collect();
    let means: Vec<Option<f64>> = customers.iter().map(Customer::mean).collect();
    model.scorer(weeks * DAYS_IN_WEEK).unwrap().score_all(&days, &means).unwrap()
}

const MODELS: [(&str, OrdersModel); 3] =
    [("BG/NBD", OrdersModel::BgNbd), ("MBG/NBD", OrdersModel::MbgNbd), ("Pareto/NBD", OrdersModel::ParetoNbd)];

/// AUC of the alive probability and of the probability of an order, with the sum of the latter.
fn ranks(scores: &[BtydScore], customers: &[Customer]) -> (f64, f64, f64) {
    let came_back: Vec<bool> = customers.iter().map(|customer| customer.orders_later > 0.0).collect();
    let alive: Vec<f64> = scores.iter().map(|score| score.alive_probability).collect();
    let any: Vec<f64> = scores.iter().map(|score| 1.0 - score.no_order_probability).collect();
    (auc(&alive, &came_back), auc(&any, &came_back), any.iter().sum())
}

#[test]
fn the_churn_score_is_the_probability_of_no_order_and_not_the_alive_probability() {
    let Some((folder, golden)) = golden("the_churn_score_is_the_probability_of_no_order") else { return };
    let sample = customers(&folder, "cdnow_sample_cbs.csv");
    for ((name, model), (alive_printed, any_printed)) in
        MODELS.into_iter().zip([(0.316, 0.757), (0.687, 0.760), (0.726, 0.771)])
    {
        let (by_alive, by_any, expected) = ranks(&forecast(model, &sample, 39.0), &sample);
        assert!((by_alive - alive_printed).abs() < 6e-4, "{name}: AUC of P(alive) {by_alive}");
        assert!((by_any - any_printed).abs() < 6e-4, "{name}: AUC of P(an order) {by_any}");
        let want = &golden["holdout_cdnow_sample_39_weeks"]["transactions"][name];
        assert_near(by_alive, number(&want["auc_of_palive"]), HOLDOUT, &format!("{name}: AUC of P(alive)"));
        assert_near(by_any, number(&want["p_active"]["auc"]), HOLDOUT, &format!("{name}: AUC of P(an order)"));
        assert_near(expected, number(&want["p_active"]["expected_active"]), HOLDOUT, &format!("{name}: active"));
    }
}

#[test]
fn cdnow_holdout_as_golden_has_it() {
    let Some((folder, golden)) = golden("cdnow_holdout_as_golden_has_it") else { return };
    let customers = customers(&folder, "cdnow_sample_cbs.csv");
    let n = customers.len() as f64;
    let block = &golden["holdout_cdnow_sample_39_weeks"];
    let summary = |predicted: Vec<f64>, actual: Vec<f64>| {
        let errors = || predicted.iter().zip(&actual).map(|(p, a)| p - a);
        let total: f64 = predicted.iter().sum();
        let mae = errors().map(f64::abs).sum::<f64>() / n;
        let rmse = (errors().map(|e| e * e).sum::<f64>() / n).sqrt();
        [total, mae, rmse]
    };
    for (name, model) in MODELS {
        let scores = forecast(model, &customers, 39.0);
        let want = &block["transactions"][name];
        let expected = scores.iter().map(|score| score.expected_orders).collect();
        let found = summary(expected, customers.iter().map(|c| c.orders_later).collect());
        for (got, key) in found.into_iter().zip(["total_predicted", "mae", "rmse"]) {
            assert_near(got, number(&want[key]), HOLDOUT, &format!("{name}: {key} of orders"));
        }
        let mean_alive = scores.iter().map(|score| score.alive_probability).sum::<f64>() / n;
        assert_near(mean_alive, number(&want["mean_palive"]), HOLDOUT, &format!("{name}: mean P(alive)"));
        if let Some(want) = block["spend"].get(format!("{name} x Gamma-Gamma")) {
            let expected = scores.iter().map(|score| score.expected_value.unwrap()).collect();
            let found = summary(expected, customers.iter().map(|c| c.spend_later).collect());
            for (got, key) in found.into_iter().zip(["total_predicted", "mae", "rmse"]) {
                assert_near(got, number(&want[key]), HOLDOUT, &format!("{name}: {key} of spend"));
            }
        }
        // By orders so far: 0, 1, ... 6, 7 and more.
        let Some(key) = [("BG/NBD", "bgnbd"), ("Pareto/NBD", "pnbd")].into_iter().find(|pair| pair.0 == name) else {
            continue;
        };
        for (group, want) in block["by_calibration_frequency"].as_object().unwrap() {
            let least: f64 = group.trim_end_matches('+').parse().unwrap();
            let inside = |c: &Customer| if group.ends_with('+') { c.days.x() >= least } else { c.days.x() == least };
            let members: Vec<f64> =
                customers.iter().zip(&scores).filter(|(c, _)| inside(c)).map(|(_, s)| s.expected_orders).collect();
            assert_eq!(members.len() as u64, want["n"].as_u64().unwrap());
            let mean = members.iter().sum::<f64>() / members.len() as f64;
            assert_near(mean, number(&want[key.1]), HOLDOUT, &format!("{name}: {group} orders so far"));
        }
    }
}
