//! A backtest is what `fit` would have said at each day.

use bellwether::pipeline::{BacktestOptions, FitOptions, backtest};
use bellwether::progress::Silent;
use bellwether::report::Role;
use bellwether::timeline::Budget;

use super::shop::{LEAN, config, fit, shop};

#[test]
fn every_trial_is_the_fit_of_its_day_and_no_file_is_left() {
    let base = shop();
    let config = config(&format!(
        "{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n"
    ));
    let folder = tempfile::tempdir().unwrap();
    let options = BacktestOptions {
        fit: FitOptions {
            export_features: None,
            events: vec![base.events.display().to_string()],
            config: config.clone(),
            as_of: Some(base.as_of),
            out: folder.path().join("models"),
            rejects: None,
            dry_run: false,
            budget: Budget::default(),
            lists: Default::default(),
            attributes: Vec::new(),
        },
        cutoffs: 9,
        step_days: 150,
    };
    let found = backtest(&options, &Silent).unwrap();
    assert!(!folder.path().join("models/current").exists(), "nothing is shipped");
    let mut days: Vec<_> = found.rows.iter().map(|row| row.as_of).collect();
    days.dedup();
    assert!(days.len() >= 2, "{days:?}");
    assert_eq!(
        found.too_early,
        [base.as_of.plus(-150 * days.len() as i32)],
        "one day is told, and none before is tried"
    );
    for (trial, &day) in days.iter().enumerate() {
        assert_eq!(day, base.as_of.plus(-150 * trial as i32));
        let fitted = fit(&base.events, &config, Some(day), &folder.path().join("alone")).unwrap();
        let [target] = &fitted.bundle.report.targets[..] else { panic!("one target") };
        let rows: Vec<_> = found.rows.iter().filter(|row| row.as_of == day).collect();
        assert_eq!(rows.len(), target.models.len());
        assert_eq!(rows.iter().filter(|row| row.role == Role::Chosen).count(), 1);
        for (row, model) in rows.iter().zip(&target.models) {
            assert_eq!((&row.model, row.role, &row.metrics), (&model.model, model.role, &model.metrics));
            assert_eq!((row.cut_off, row.customers), (day.plus(-30), target.rows));
        }
    }
    let text = found.to_text();
    for day in days {
        assert!(text.contains(&day.plus(-30).to_string()), "{text}");
    }
    assert!(text.contains("churn_probability_30d") && text.contains("too short"), "{text}");
}
