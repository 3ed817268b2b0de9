//! Little, odd and unlearnable data: the right error, or sensible scores; never half a bundle.

use std::path::PathBuf;

use bellwether::config::Config;
use bellwether::error::{Error, ExitCode, Reason};
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use tempfile::TempDir;

use super::files::tree;
use super::shop::{LEAN, Row, Scores, config, fit, read_events, run, write_parquet};

const FIRST: Day = Day(19_723); // 2024-01-01

const CHURN: &str = "[target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n";

struct Shop {
    folder: TempDir,
    events: PathBuf,
}

impl Shop {
    fn new(rows: &[Row]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("events.parquet");
        write_parquet(&events, rows);
        Self { folder, events }
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// Fits, scores, and checks what holds of every score file.
    fn scores(&self, config: &Config, as_of: Day) -> Scores {
        let fitted = fit(&self.events, config, Some(as_of), &self.models()).map_err(|e| e.to_text()).unwrap();
        let out = self.folder.path().join("scores");
        let (manifest, partition) =
            run(&self.models(), &self.events, Some(as_of), &out).map_err(|e| e.to_text()).unwrap();
        let scores = Scores::read(&partition);
        assert_eq!(manifest.rows as usize, scores.batch.num_rows());
        for note in &fitted.bundle.manifest.columns {
            for value in scores.numbers(&note.column).into_iter().flatten() {
                assert!(value.is_finite(), "{}: {value}", note.column);
                assert!(
                    !note.column.contains("probability") || (0.0..=1.0).contains(&value),
                    "{}: {value}",
                    note.column
                );
                assert!(!note.column.starts_with("predicted_orders") || value >= 0.0, "{}: {value}", note.column);
            }
        }
        scores
    }

    /// Refused for a reason; nothing is written, not even a folder, and a bundle that was there stays.
    fn refuses(&self, config: &Config, as_of: Day, reason: Reason) -> Error {
        let error = fit(&self.events, config, Some(as_of), &self.models()).map(|_| ()).expect_err("refused");
        assert_eq!(error.exit_code(), ExitCode::DataRejected, "{}", error.to_text());
        assert_eq!(error.explain().reason(), Some(reason), "{}", error.to_text());
        assert!(!error.explain().hints().is_empty(), "{}", error.to_text());
        assert!(!self.models().exists() || tree(&self.models()).is_empty(), "{:?}", tree(&self.models()).keys());
        let former = self.folder.path().join("former");
        std::fs::create_dir_all(former.join("old")).unwrap();
        std::fs::write(former.join("current"), "old\n").unwrap();
        std::fs::write(former.join("old/manifest.json"), "{}").unwrap();
        let before = tree(&former);
        assert!(fit(&self.events, config, Some(as_of), &former).is_err());
        assert!(tree(&former) == before, "a former bundle is untouched");
        error
    }
}

fn simulated(customers: u64) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let simulation = Simulation { customers, days: 300, seed: 5, ..Simulation::default() };
    let made = simulate(&simulation, &folder.path().join("shop"), &|_| {}).unwrap();
    Shop::new(&read_events(&made.files))
}

/// `customers` customers with an order every `gap` days for `days` days.
fn regular(customers: i32, gap: i32, days: i32, value: Option<f64>) -> Vec<Row> {
    let of = |n: i32| (0..days).step_by(gap as usize).map(move |day| (n, day));
    (0..customers)
        .flat_map(of)
        .map(|(n, day)| Row::new(&format!("c{n:04}"), FIRST.plus(day), "purchase", value))
        .collect()
}

/// Customers who differ: some every week, some who stop, some once.
fn mixed(value: impl Fn(i32) -> Option<f64>) -> Vec<Row> {
    let mut rows = Vec::new();
    for n in 0..240 {
        let (gap, last) = match n % 4 {
            0 => (9 + n % 5, 200),
            1 => (25 + n % 7, 200),
            2 => (14, 40 + n / 2),
            _ => (400, 200),
        };
        for day in ((n % 30)..last).step_by(gap as usize) {
            rows.push(Row::new(&format!("c{n:04}"), FIRST.plus(day), "purchase", value(n)));
        }
    }
    rows
}

#[test]
fn twenty_customers_are_enough_for_an_answer() {
    let shop = simulated(20);
    let scores = shop.scores(&config(LEAN), FIRST.plus(300));
    assert!(scores.batch.num_rows() <= 20);
}

#[test]
fn two_hundred_customers_are_enough_for_an_answer() {
    let shop = simulated(200);
    let scores = shop.scores(&config(LEAN), FIRST.plus(300));
    let churn: Vec<f64> = scores.numbers("churn_probability_90d").into_iter().flatten().collect();
    assert!(churn.len() > 50);
}

#[test]
fn customers_who_are_all_alike_are_a_single_class() {
    let rows = regular(100, 10, 200, Some(20.0));
    let error = Shop::new(&rows).refuses(&config(&format!("{LEAN}{CHURN}")), FIRST.plus(200), Reason::SingleClass);
    assert!(error.to_string().contains("churn"), "{error}");
    // What is not a class can be foreseen of them: 3 orders in 30 days, the same for everybody.
    let text = format!("{LEAN}[target.orders]\nkind = \"count\"\nhorizon_days = 30\n");
    let scores = Shop::new(&rows).scores(&config(&text), FIRST.plus(200));
    let orders: Vec<f64> = scores.numbers("predicted_orders_30d").into_iter().flatten().collect();
    assert!(orders.iter().all(|each| *each == orders[0]));
    assert!((2.0..4.0).contains(&orders[0]), "{}", orders[0]);
}

#[test]
fn nobody_who_buys_twice_is_a_single_class_of_churners() {
    let rows: Vec<Row> =
        (0..300).map(|n| Row::new(&format!("c{n:04}"), FIRST.plus(n % 170), "purchase", Some(20.0))).collect();
    let shop = Shop::new(&rows);
    let error = shop.refuses(&config(&format!("{LEAN}{CHURN}")), FIRST.plus(200), Reason::SingleClass);
    assert!(error.explain().counts()[0].1 > 0);
    // Orders and value have an answer all the same: hardly any.
    let text = format!(
        "{LEAN}[target.orders]\nkind = \"count\"\nhorizon_days = 30\n[target.value]\nkind = \"amount\"\nhorizon_days = 30\n"
    );
    let scores = shop.scores(&config(&text), FIRST.plus(200));
    let total: f64 = scores.numbers("predicted_orders_30d").into_iter().flatten().sum();
    assert!((0.0..15.0).contains(&total), "{total}");
}

#[test]
fn everybody_who_left_is_a_single_class() {
    let rows = regular(150, 5, 60, Some(20.0));
    let text = format!("{LEAN}slide_days = 7\n{CHURN}");
    Shop::new(&rows).refuses(&config(&text), FIRST.plus(130), Reason::SingleClass);
}

#[test]
fn too_short_a_history_names_the_longest_horizon() {
    let rows = mixed(|_| Some(10.0));
    let shop = Shop::new(&rows);
    let text = |days: i32| format!("{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = {days}\n");
    let error = shop.refuses(&config(&text(190)), FIRST.plus(200), Reason::NotEnoughHistory);
    let hint = error.explain().hints().join("\n");
    assert!(hint.contains("horizon_days = 160"), "{hint}");
    assert!(error.to_string().contains("190") && error.to_string().contains("200"), "{error}");
    shop.scores(&config(&text(160)), FIRST.plus(200));
}

#[test]
fn without_money_and_without_categories_the_defaults_are_churn_and_orders() {
    let shop = Shop::new(&mixed(|_| None));
    let scores = shop.scores(&config(LEAN), FIRST.plus(200));
    let names: Vec<&str> = scores.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("churn_probability_")));
    assert!(names.iter().any(|name| name.starts_with("predicted_orders_")));
    for absent in ["value", "spend", "top_categories", "purchase_probability"] {
        assert!(!names.iter().any(|name| name.contains(absent)), "{absent}: {names:?}");
    }
    let text = format!("{LEAN}[target.value]\nkind = \"amount\"\nhorizon_days = 30\n");
    Shop::new(&mixed(|_| None)).refuses(&config(&text), FIRST.plus(200), Reason::NoTargetEvent);
    let text = format!("{LEAN}[target.buys]\nkind = \"presence\"\nper = \"category\"\nhorizon_days = 30\n");
    Shop::new(&mixed(|_| None)).refuses(&config(&text), FIRST.plus(200), Reason::NoTargetEvent);
}

#[test]
fn money_that_is_always_zero_is_no_money() {
    let shop = Shop::new(&mixed(|_| Some(0.0)));
    let scores = shop.scores(&config(LEAN), FIRST.plus(200));
    assert!(scores.batch.column_by_name("predicted_value_60d").is_none());
    let text = format!("{LEAN}[target.value]\nkind = \"amount\"\nhorizon_days = 30\n");
    Shop::new(&mixed(|_| Some(0.0))).refuses(&config(&text), FIRST.plus(200), Reason::NoTargetEvent);
}

#[test]
fn an_event_that_never_happens_is_told_with_those_that_do() {
    let text = format!("{LEAN}[target.cancels]\nkind = \"presence\"\nevent = \"purchases\"\nhorizon_days = 30\n");
    let error = Shop::new(&mixed(|_| Some(10.0))).refuses(&config(&text), FIRST.plus(200), Reason::NoTargetEvent);
    assert!(error.to_string().contains("`purchases`"), "{error}");
    assert!(error.to_text().contains("`purchase`") || error.to_text().contains("\"purchase\""), "{}", error.to_text());
}

#[test]
fn a_day_before_the_first_event_has_nothing_to_learn_from() {
    let shop = Shop::new(&mixed(|_| Some(10.0)));
    let error = shop.refuses(&config(LEAN), FIRST, Reason::NoScoringData);
    assert!(error.to_string().contains(&FIRST.to_string()), "{error}");
    shop.refuses(&config(LEAN), FIRST.plus(-4000), Reason::NoScoringData);
    // The job of the night is told the same, and leaves former partitions.
    shop.scores(&config(LEAN), FIRST.plus(200));
    let out = shop.folder.path().join("scores");
    let before = tree(&out);
    let error = run(&shop.models(), &shop.events, Some(FIRST), &out).map(|_| ()).expect_err("nothing to score");
    assert_eq!(error.exit_code(), ExitCode::DataRejected);
    assert_eq!(error.explain().reason(), Some(Reason::NoScoringData));
    assert!(tree(&out) == before);
}

#[test]
fn a_rule_that_nobody_meets_is_named() {
    let text =
        format!("{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1000\"\n");
    let error = Shop::new(&mixed(|_| Some(10.0))).refuses(&config(&text), FIRST.plus(200), Reason::NoEligibleRows);
    assert!(error.to_string().contains("churn"), "{error}");
}

#[test]
fn one_customer_and_one_event_are_refused_or_answered() {
    for rows in [vec![Row::new("only", FIRST, "purchase", Some(5.0))], regular(1, 7, 200, Some(5.0))] {
        let shop = Shop::new(&rows);
        for text in [LEAN.to_string(), format!("{LEAN}{CHURN}")] {
            let as_of = Some(FIRST.plus(200));
            if let Err(error) = fit(&shop.events, &config(&text), as_of, &shop.models()) {
                assert_eq!(error.exit_code(), ExitCode::DataRejected, "{}", error.to_text());
                assert!(error.explain().reason().is_some(), "{}", error.to_text());
                assert!(tree(&shop.models()).is_empty());
            }
        }
    }
}

#[test]
fn every_purchase_on_the_last_day_is_no_time_to_observe() {
    let rows: Vec<Row> = (0..60)
        .flat_map(|n| {
            let id = format!("c{n:03}");
            [Row::new(&id, FIRST.plus(n % 50), "view", None), Row::new(&id, FIRST.plus(199), "purchase", Some(9.0))]
        })
        .collect();
    let shop = Shop::new(&rows);
    if let Err(error) = fit(&shop.events, &config(LEAN), Some(FIRST.plus(200)), &shop.models()) {
        assert_eq!(error.exit_code(), ExitCode::DataRejected, "{}", error.to_text());
        assert!(error.explain().reason().is_some(), "{}", error.to_text());
        assert!(tree(&shop.models()).is_empty());
    }
}

#[test]
fn sign_ups_of_years_before_the_first_order_move_no_cut_off() {
    let orders = mixed(|_| Some(10.0));
    let text = format!("{LEAN}{CHURN}");
    let as_of = FIRST.plus(200);
    let splits = |rows: &[Row]| {
        let shop = Shop::new(rows);
        let fitted = fit(&shop.events, &config(&text), Some(as_of), &shop.models()).map_err(|e| e.to_text()).unwrap();
        let judged = fitted.bundle.report.targets.iter().any(|report| report.name == "churn_probability_30d");
        assert!(judged, "{:?}", fitted.bundle.manifest.warnings);
        fitted.bundle.manifest.splits["churn"].clone()
    };
    let plain = splits(&orders);
    assert!(plain.cut_offs().iter().all(|day| *day > FIRST));
    let sign_ups = (0..240).map(|n| Row::new(&format!("c{n:04}"), FIRST.plus(-3000 + n), "sign-up", None));
    let with_sign_ups: Vec<Row> = orders.iter().cloned().chain(sign_ups).collect();
    assert_eq!(splits(&with_sign_ups), plain);
    // Neither does the one order of a clock that was wrong.
    let skewed = [Row::new("c0003", FIRST.plus(-9000), "purchase", Some(10.0))];
    let with_skewed: Vec<Row> = orders.into_iter().chain(skewed).collect();
    assert_eq!(splits(&with_skewed), plain);
}

#[test]
fn where_only_the_newest_window_has_both_classes_customers_are_set_aside() {
    // Everybody buys once; who buys again does so in the last 40 days.
    let mut rows: Vec<Row> =
        (0..400).map(|n| Row::new(&format!("c{n:04}"), FIRST.plus(n % 150), "purchase", Some(20.0))).collect();
    rows.extend(
        (0..400)
            .filter(|n| n % 3 == 0)
            .map(|n| Row::new(&format!("c{n:04}"), FIRST.plus(165 + n % 34), "purchase", Some(20.0))),
    );
    let shop = Shop::new(&rows);
    let text = format!("{LEAN}{CHURN}");
    let as_of = FIRST.plus(200);
    let fitted = fit(&shop.events, &config(&text), Some(as_of), &shop.models()).map_err(|e| e.to_text()).unwrap();
    let manifest = &fitted.bundle.manifest;
    assert_eq!(manifest.splits["churn"].scheme, bellwether::split::Scheme::OneWindow);
    assert!(
        manifest.warnings.iter().any(|text| text.contains("kept out of training instead")),
        "{:?}",
        manifest.warnings
    );
    let report = fitted.bundle.report.targets.iter().find(|report| report.name == "churn_probability_30d");
    assert!(report.is_some(), "judged all the same: {:?}", manifest.warnings);
    shop.scores(&config(&text), as_of);
}
