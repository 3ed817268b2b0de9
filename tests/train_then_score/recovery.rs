//! Predictions against what happened: a shop whose laws are known, and real customers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use bellwether::bundle::{ExpectedModel, FittedColumn};
use bellwether::metrics::{calibration, ranking, value};
use bellwether::models::btyd::{BgNbd, Histories, Rfm, SpendModel};
use bellwether::simulate::{Population, Simulation};
use bellwether::time::{DAY_MICROS, Day};

use super::shop::{Row, Scores, Trial, config, fit, read, run};

const HORIZON: i32 = 90;

/// Chosen tolerance: a sound statistic strays further once in 15,000 seeds, and the seed is fixed.
const STANDARD_ERRORS: f64 = 4.0;

/// Standard errors of the logarithms of the parameters: the inverse of minus the Hessian of the log-likelihood, by
/// central differences.
fn standard_errors(parameters: [f64; 4], histories: &Histories) -> [f64; 4] {
    const STEP: f64 = 1e-3; // the third derivative leaves 1e-6 of the second, rounding 1e-6 of it, too
    let at = |shift: [f64; 4]| {
        let moved = std::array::from_fn(|i| parameters[i] * shift[i].exp());
        BgNbd::new(moved).unwrap().total_ln_likelihood(histories)
    };
    let shifted = |i: usize, by: f64, j: usize, and: f64| {
        let mut shift = [0.0; 4];
        shift[i] += by;
        shift[j] += and;
        at(shift)
    };
    let mut rows = [[0.0f64; 8]; 4];
    for i in 0..4 {
        for j in 0..4 {
            let corners = shifted(i, STEP, j, STEP) - shifted(i, STEP, j, -STEP) - shifted(i, -STEP, j, STEP)
                + shifted(i, -STEP, j, -STEP);
            rows[i][j] = -corners / (4.0 * STEP * STEP);
        }
        rows[i][4 + i] = 1.0;
    }
    // Gauss-Jordan; a positive definite matrix needs no pivots.
    for i in 0..4 {
        let pivot = rows[i][i];
        assert!(pivot > 0.0, "no maximum");
        rows[i].iter_mut().for_each(|cell| *cell /= pivot);
        let source = rows[i];
        for (other, row) in rows.iter_mut().enumerate() {
            let factor = row[i];
            if other != i {
                row.iter_mut().zip(source).for_each(|(cell, of)| *cell -= factor * of);
            }
        }
    }
    std::array::from_fn(|i| rows[i][4 + i].sqrt())
}

/// Orders of a customer in a stretch of days, and their money.
fn bought(rows: &[Row]) -> BTreeMap<&str, (BTreeSet<i32>, f64)> {
    let mut orders: BTreeMap<&str, (BTreeSet<i32>, f64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.event == "purchase") {
        let (days, money) = orders.entry(&row.customer).or_default();
        days.insert(Day::of_wall(row.time).0);
        *money += row.value.unwrap();
    }
    orders
}

#[test]
fn a_shop_of_known_laws_is_recovered_and_its_future_foreseen() {
    let population = Population::default();
    let simulation = Simulation {
        customers: 3_000,
        days: 540 + HORIZON as u32,
        seed: 11,
        seasonality: false,
        campaigns: false,
        population: population.clone(),
        ..Simulation::default()
    };
    let text = "[features]\nwindows = [7, 30, 90]\nmax_categories = 3\n[training]\ncutoffs = 3\nbootstrap_resamples = 10\n\
                [target.churn]\nkind = \"absence\"\nhorizon_days = 90\neligible = \"purchases >= 1\"\n\
                [target.orders]\nkind = \"count\"\nhorizon_days = 90\n\
                [target.value]\nkind = \"amount\"\nhorizon_days = 90\n";
    let trial = Trial::new(&simulation, 540, &config(text));
    let as_of = trial.as_of;

    // The shipped model of orders against the law.
    let known = bought(&trial.known);
    let histories: Vec<Rfm> = known
        .values()
        .map(|(days, _)| {
            let (first, last) = (*days.first().unwrap(), *days.last().unwrap());
            Rfm::new(days.len() as f64 - 1.0, f64::from(last - first), f64::from(as_of.0 - first)).unwrap()
        })
        .collect();
    let model = &trial.fitted.bundle.parameters.occurrences[0];
    let shipped = model.btyd.orders.account();
    assert!(shipped.customers == known.len() as u64 && !shipped.shrunk, "{shipped:?}");
    // The law of the shop is that of BG/NBD: nobody leaves before the first repeat order.
    let fitted = BgNbd::fit(&Histories::new(&histories)).unwrap();
    assert!(!fitted.shrunk, "{fitted:?}");
    let found = fitted.params.parameters();
    let errors = standard_errors(found, &Histories::new(&histories));
    let truth = [population.r, population.alpha, population.a, population.b];
    for ((name, truth), (found, error)) in ["r", "alpha", "a", "b"].iter().zip(truth).zip(found.iter().zip(errors)) {
        let strays = (found / truth).ln() / error;
        assert!(error < 0.5, "{name}: a standard error of {error} tells nothing");
        assert!(strays.abs() < STANDARD_ERRORS, "{name}: {found}, truth {truth}, {strays} standard errors");
    }

    // The shipped model of spend: its mean strays no more than the mean of so many customers' means.
    let Some(SpendModel::GammaGamma { base, .. }) = &model.btyd.spend else { panic!("{:?}", model.btyd.spend) };
    let mut first_days: BTreeMap<&str, f64> = BTreeMap::new();
    for row in trial.known.iter().filter(|row| row.event == "purchase") {
        if Day::of_wall(row.time).0 == *known[row.customer.as_str()].0.first().unwrap() {
            *first_days.entry(&row.customer).or_default() += row.value.unwrap();
        }
    }
    let means: Vec<f64> = known
        .iter()
        .filter(|(_, (days, _))| days.len() > 1)
        .map(|(id, (days, money))| (money - first_days[id]) / (days.len() - 1) as f64)
        .collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let deviation = (means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let truth = population.p * population.gamma / (population.q - 1.0);
    assert!((base - truth).abs() < STANDARD_ERRORS * deviation / n.sqrt(), "{base}, truth {truth}");

    // What happened afterwards to those who were scored.
    let future = bought(&trial.future);
    let ids = trial.scores.ids();
    let churn = trial.scores.numbers("churn_probability_90d");
    let factor = trial.scores.numbers("churn_factor");
    let buyers: Vec<usize> = (0..ids.len()).filter(|&row| churn[row].is_some()).collect();
    let outcomes: Vec<bool> = buyers.iter().map(|&row| !future.contains_key(ids[row])).collect();
    let of = |column: &[Option<f64>]| -> Vec<f64> { buyers.iter().map(|&row| column[row].unwrap()).collect() };
    let (churn, factor) = (of(&churn), of(&factor));
    let (auc, baseline) = (ranking::roc_auc(&outcomes, &churn).unwrap(), ranking::roc_auc(&outcomes, &factor).unwrap());
    assert!(auc > baseline && auc > 0.7, "{auc}, churn factor {baseline}");
    // The window that is foreseen and the one that calibrated are a sample each, so twice the variance of one.
    let expected: f64 = churn.iter().sum();
    let happened = outcomes.iter().filter(|&&left| left).count() as f64;
    let error = (2.0 * churn.iter().map(|p| p * (1.0 - p)).sum::<f64>()).sqrt();
    assert!(
        (expected - happened).abs() < STANDARD_ERRORS * error,
        "{expected} expected, {happened} happened, ±{error}"
    );
    let ratio = calibration::calibration_ratio(&outcomes, &churn).unwrap();
    assert!((0.93..1.07).contains(&ratio), "{ratio}"); // the same in shares: 4 errors are 7 % of the churners

    // About 800 orders whose variance is about twice a Poisson's: a standard error of 5 %; money strays more still.
    let total = |column: &str| -> f64 { trial.scores.numbers(column).into_iter().flatten().sum() };
    let of_known =
        |what: fn(&(BTreeSet<i32>, f64)) -> f64| -> f64 { ids.iter().filter_map(|id| future.get(id)).map(what).sum() };
    two_parts_are_tried(&trial);
    for (column, happened) in [
        ("predicted_orders_90d", of_known(|(days, _)| days.len() as f64)),
        ("predicted_value_90d", of_known(|(_, money)| *money)),
    ] {
        let expected = total(column);
        assert!(happened > 500.0);
        assert!((expected / happened - 1.0).abs() < 0.15, "{column}: {expected} expected, {happened} happened");
    }
}

/// Whether there is anything, times how much: judged by itself, and a member of the blend or trees in one part are.
fn two_parts_are_tried(trial: &Trial) {
    let parameters = &trial.fitted.bundle.parameters;
    let value = parameters.targets.iter().find(|fitted| fitted.target.name == "value").unwrap();
    let FittedColumn::Expected { model, .. } = &value.columns[0] else { panic!("an amount") };
    let is = |of: fn(&ExpectedModel) -> bool| model.members.iter().any(|member| of(&member.model));
    let one_part = is(|model| matches!(model, ExpectedModel::Boosted(_)));
    let two_parts = is(|model| matches!(model, ExpectedModel::TwoPart { .. }));
    assert!(one_part != two_parts, "those that do better alone");
    let report = trial.fitted.bundle.report.targets.iter().find(|target| target.name == "predicted_value_90d").unwrap();
    let of = |name: &str, metric: &str| {
        let row = report.models.iter().find(|row| row.model == name).unwrap_or_else(|| panic!("no row of {name}"));
        row.metrics.iter().find(|value| value.name == metric).and_then(|value| value.value).unwrap()
    };
    let name = "boosted trees in two parts";
    // As above: a standard error of 5 % of the orders, and more of money.
    assert!((of(name, "value_ratio") - 1.0).abs() < 0.15, "{}", of(name, "value_ratio"));
    let (gini, baseline) = (of(name, "gini_normalized"), of("same as last period", "gini_normalized"));
    assert!(gini > baseline, "{gini}, baseline {baseline}");
}

#[test]
fn cdnow_is_foreseen_half_a_year_ahead() {
    let events = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/cdnow/events_full.parquet");
    if !events.exists() {
        eprintln!("skipped: ../shared/datasets/cdnow/events_full.parquet is not here");
        return;
    }
    let as_of: Day = "1998-01-01".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let text = "[training]\ncutoffs = 3\nbootstrap_resamples = 10\n\
                [target.churn]\nkind = \"absence\"\nhorizon_days = 180\neligible = \"purchases >= 1\"\n\
                [target.value]\nkind = \"amount\"\nhorizon_days = 180\n";
    fit(&events, &config(text), Some(as_of), &models).unwrap();
    let (manifest, partition) = run(&models, &events, Some(as_of), &folder.path().join("scores")).unwrap();
    assert_eq!(manifest.rows, 23_570); // all of them came in the first quarter of 1997
    let scores = Scores::read(&partition);

    let batch = read(&events);
    let column = |name: &str, as_type: &DataType| cast(batch.column_by_name(name).unwrap(), as_type).unwrap();
    let customers = column("customer_id", &DataType::Utf8);
    let values = column("value", &DataType::Float64);
    let times = column("ts", &DataType::Timestamp(TimeUnit::Microsecond, None));
    let (customers, values) = (customers.as_string::<i32>(), values.as_primitive::<Float64Type>());
    let window = as_of.start_micros()..as_of.start_micros() + 180 * DAY_MICROS;
    let mut spent: BTreeMap<&str, f64> = BTreeMap::new();
    for (row, time) in times.as_primitive::<TimestampMicrosecondType>().values().iter().enumerate() {
        if window.contains(time) {
            *spent.entry(customers.value(row)).or_default() += values.value(row);
        }
    }
    let ids = scores.ids();
    let actual: Vec<f64> = ids.iter().map(|id| spent.get(id).copied().unwrap_or(0.0)).collect();
    let left: Vec<bool> = ids.iter().map(|id| !spent.contains_key(id)).collect();
    let all = |name: &str| -> Vec<f64> { scores.numbers(name).into_iter().map(Option::unwrap).collect() };
    let auc = ranking::roc_auc(&left, &all("churn_probability_180d")).unwrap();
    assert!(auc >= 0.80, "{auc}");
    let predicted = all("predicted_value_180d");
    let ratio = value::value_ratio(&actual, &predicted).unwrap();
    let sums = (predicted.iter().sum::<f64>(), actual.iter().sum::<f64>());
    assert!((sums.0 / sums.1 - ratio).abs() < 1e-9 || (sums.1 / sums.0 - ratio).abs() < 1e-9);
    assert!((sums.0 / sums.1 - 1.0).abs() < 0.10, "{sums:?}");
}
