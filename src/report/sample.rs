//! A report of a made-up shop for the tests of the printers: real evaluations of simulated predictions.

use crate::config::TargetKind;
use crate::metrics::{BootstrapOptions, Evaluated, evaluate_binary, evaluate_ranking, evaluate_value};
use crate::time::{Day, Horizon, Window};

use super::{Evaluation, Fact, FeatureNote, ModelRow, Report, Role, TargetReport, TargetRules};

const CUSTOMERS: usize = 2400;
const DAY: Day = Day(20_600);

/// Uniform in [0, 1): the finaliser of SplitMix64.
fn number(stream: usize, i: usize) -> f64 {
    let z = ((stream * 1_000_003 + i) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn keys() -> Vec<u64> {
    (0..CUSTOMERS as u64).collect()
}

fn target(name: &str, label: &str, kind: TargetKind, evaluated: &Evaluated, models: Vec<ModelRow>) -> TargetReport {
    TargetReport {
        name: name.into(),
        label: label.into(),
        kind,
        group: None,
        cut_off: DAY.plus(-90),
        window: Window::after(DAY.plus(-90), Horizon::new(90).unwrap()),
        evaluation: Evaluation::LaterCutOff,
        rows: CUSTOMERS as u64,
        positives: None,
        total: None,
        coverage: None,
        intervals: evaluated.intervals.clone(),
        models,
        reliability: evaluated.reliability.clone(),
        deciles: evaluated.deciles.clone(),
    }
}

/// Outcomes of the true rate, and what a model of that sharpness says.
fn outcomes(stream: usize, base: f64, sharpness: f64) -> (Vec<bool>, Vec<f64>) {
    let rate = |i: usize| {
        let logit = (base / (1.0 - base)).ln() + sharpness * (number(stream, i) - 0.5);
        1.0 / (1.0 + (-logit).exp())
    };
    let y = (0..CUSTOMERS).map(|i| number(stream + 1, i) < rate(i)).collect();
    (y, (0..CUSTOMERS).map(rate).collect())
}

fn churn() -> TargetReport {
    let options = BootstrapOptions::default();
    let (y, p) = outcomes(10, 0.62, 5.0);
    let blurred: Vec<f64> = p.iter().enumerate().map(|(i, p)| 0.7 * p + 0.3 * number(12, i)).collect();
    let factor: Vec<f64> = p.iter().enumerate().map(|(i, p)| 4.0 * p + 3.0 * number(13, i)).collect();
    let chosen = evaluate_binary(&y, &p, &keys(), &options).unwrap();
    let logistic = evaluate_binary(&y, &blurred, &keys(), &options).unwrap();
    let factor = evaluate_ranking(&y, &factor, &keys(), &options).unwrap();
    let models = vec![
        ModelRow::new("boosted", Role::Chosen, &chosen),
        ModelRow::new("logistic", Role::Candidate, &logistic),
        ModelRow::new("churn_factor", Role::Baseline, &factor),
    ];
    let label = "No purchase in the 90 days from the cut-off, among customers with purchases >= 1.";
    let mut target = target("churn_probability_90d", label, TargetKind::Absence, &chosen, models);
    target.positives = Some(y.iter().filter(|&&y| y).count() as u64);
    target
}

fn value() -> TargetReport {
    let options = BootstrapOptions::default();
    let mean: Vec<f64> = (0..CUSTOMERS).map(|i| 180.0 * number(20, i).powi(4)).collect();
    let spend = |i: usize| if number(21, i) < 0.55 { 0.0 } else { 2.2 * mean[i] * -number(22, i).ln() };
    let v: Vec<f64> = (0..CUSTOMERS).map(spend).collect();
    let last: Vec<f64> = mean.iter().enumerate().map(|(i, m)| 3.0 * m * number(23, i)).collect();
    let chosen = evaluate_value(&v, &mean, &keys(), &options).unwrap();
    let same_again = evaluate_value(&v, &last, &keys(), &options).unwrap();
    let models = vec![
        ModelRow::new("two-part boosted × BTYD", Role::Chosen, &chosen),
        ModelRow::new("same as last period", Role::Baseline, &same_again),
    ];
    let label = "Sum of the value of purchases in the 90 days from the cut-off.";
    let mut target = target("predicted_value_90d", label, TargetKind::Amount, &chosen, models);
    target.total = Some(v.iter().sum());
    target.evaluation = Evaluation::HeldOutCustomers;
    target
}

fn category(i: usize, name: &str) -> TargetReport {
    let options = BootstrapOptions::default();
    let base = 0.15 / (i + 1) as f64;
    let (mut y, p) = outcomes(100 + 10 * i, base, 1.0 + 5.0 * number(30, i));
    if name == "gift_cards" {
        y.fill(false);
    }
    let chosen = evaluate_binary(&y, &p, &keys(), &options).unwrap();
    let repeat: Vec<f64> = p.iter().enumerate().map(|(j, p)| p + 0.3 * base * number(31 + i, j)).collect();
    let repeat = evaluate_ranking(&y, &repeat, &keys(), &BootstrapOptions { resamples: 0, ..options }).unwrap();
    let models = vec![
        ModelRow::new("boosted", Role::Chosen, &chosen),
        ModelRow::new("bought it before", Role::Baseline, &repeat),
    ];
    let label = format!("At least one purchase in `{name}` in the 30 days from the cut-off.");
    let column = format!("purchase_probability_{name}_30d");
    let mut target = target(&column, &label, TargetKind::Presence, &chosen, models);
    target.positives = Some(y.iter().filter(|&&y| y).count() as u64);
    target.group = Some("buys".into());
    target
}

/// One of everything that a report may hold.
pub fn report() -> Report {
    let categories = [
        "shoes",
        "ski",
        "handbags",
        "kitchen",
        "toys",
        "books",
        "garden",
        "music",
        "films",
        "games",
        "sports",
        "tools",
        "baby",
        "pets",
        "office",
        "beauty",
        "health",
        "food",
        "drinks",
        "outdoor",
        "jewellery",
        "watches",
        "bikes",
        "gift_cards",
    ];
    let features = [
        ("days_since_last_order", "days", "From the last order to `as_of`.", Some(0.31)),
        ("orders_365d", "orders", "Orders in the last 365 days.", Some(0.17)),
        ("average_days_between_orders", "days", "Mean gap between successive orders.", Some(0.092)),
        ("spend_90d", "EUR", "Sum of `value` of purchases in the last 90 days.", Some(0.055)),
        ("sessions_30d", "", "Visits in the last 30 days.", None),
    ];
    let facts = [("events", "1,284,090"), ("customers", "48,112"), ("history", "2023-01-02 to 2026-05-26")];
    let mut targets = vec![churn(), value()];
    targets.extend(categories.iter().enumerate().map(|(i, name)| category(i, name)));
    Report {
        bundle: "shop/2026-05-27-9f3ac1".into(),
        as_of: DAY,
        currency: "EUR".into(),
        data: facts.map(|(name, value)| Fact { name: name.into(), value: value.into() }).into(),
        targets,
        rules: vec![TargetRules {
            target: "churn_probability_90d".into(),
            rules: vec![
                "days_since_last_order > 74".into(),
                "  orders_365d <= 2: 0.91 (812 customers)".into(),
                "  orders_365d > 2: 0.66 (403 customers)".into(),
                "days_since_last_order <= 74: 0.38 (1,185 customers)".into(),
            ],
        }],
        features: features
            .map(|(name, unit, note, importance)| FeatureNote {
                name: name.into(),
                unit: unit.into(),
                note: note.into(),
                importance,
            })
            .into(),
        warnings: vec!["2.4 % of the rows have no customer; their 31,208 EUR are in no prediction.".into()],
    }
}
