//! The rows that targets are trained on, for those who want to model elsewhere.

use std::fs::File;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Float32Type};
use arrow::record_batch::RecordBatch;
use bellwether::pipeline::{FitOptions, fit};
use bellwether::progress::Silent;
use bellwether::timeline::Budget;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::shop::{LEAN, config, shop};

#[test]
fn every_row_has_features_labels_its_cut_off_and_its_fold() {
    let base = shop();
    let config = config(&format!(
        "{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n\
         [target.value]\nkind = \"amount\"\nhorizon_days = 30\n"
    ));
    let folder = tempfile::tempdir().unwrap();
    let rows_to = folder.path().join("rows");
    let options = FitOptions {
        export_features: Some(rows_to.clone()),
        events: vec![base.events.display().to_string()],
        config,
        as_of: Some(base.as_of),
        out: folder.path().join("models"),
        rejects: None,
        dry_run: false,
        budget: Budget::default(),
        lists: Default::default(),
        attributes: Vec::new(),
    };
    let fitted = fit(options, &Silent).unwrap();
    for target in ["churn", "value"] {
        let file = File::open(rows_to.join(format!("{target}.parquet"))).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
        let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let days: Vec<i32> = all["as_of"].as_primitive::<Date32Type>().values().to_vec();
        let folds = all["fold"].as_string::<i32>();
        let split = &fitted.bundle.manifest.splits[target];
        let report = fitted.bundle.report.targets.iter().find(|report| report.name.contains(target)).unwrap();
        let label = all[format!("label_{}", report.name).as_str()].as_primitive::<Float32Type>();
        let mut tested = 0.0;
        let mut rows = 0;
        for row in 0..all.num_rows() {
            let fold = folds.is_valid(row).then(|| folds.value(row));
            match fold {
                Some("test") => {
                    assert_eq!(days[row], split.test.0);
                    tested += f64::from(label.value(row));
                    rows += 1;
                }
                Some("validate") => assert_eq!(days[row], split.validate.0),
                Some("train") => assert!(split.train.iter().any(|day| day.0 == days[row])),
                _ => {}
            }
            let ships = all["ships"].as_boolean().value(row);
            assert!(ships || fold.is_some(), "no row without a purpose");
            assert_eq!(ships, split.ship.iter().any(|day| day.0 == days[row]));
        }
        // What was judged is what is in the file: rows, and the sum of their labels.
        assert_eq!(rows, report.rows);
        let judged = report.positives.map_or_else(|| report.total.unwrap(), |positives| positives as f64);
        assert!((tested - judged).abs() < 1e-6 * judged, "{tested} {judged}");
        let names: Vec<&str> = all.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        for feature in fitted.bundle.parameters.plans[0].features() {
            assert!(names.contains(&feature.name.as_str()), "{}", feature.name);
        }
        assert!(names.contains(&"btyd_alive_probability"));
    }
}
