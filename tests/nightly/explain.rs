//! One customer explained: what is told is what the score files, the events and the bundle say, and every sum adds up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, FieldRef};
use bellwether::bundle::{Bundle, FittedColumn};
use bellwether::time::Day;
use serde_json::Value;

use super::shop::{SCORE, TRAIN, done, json, numbers, read, run, shop, texts, tree};

/// Sums of some hundred terms of a few units.
const SUM_TOLERANCE: f64 = 1e-9;

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= SUM_TOLERANCE * expected.abs().max(1.0), "{what}: {found} {expected}");
}

fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn sum(parts: &Value) -> f64 {
    parts.as_array().unwrap().iter().map(|part| number(&part["adds"])).sum()
}

fn partition(here: &Path, out: &str, day: Day) -> RecordBatch {
    read(&here.join(format!("{out}/as_of={day}/part-00000.parquet")))
}

fn ids(batch: &RecordBatch) -> Vec<String> {
    texts(batch, "customer_id").into_iter().map(Option::unwrap).collect()
}

/// Predictions of a row by column, as they stand in the file.
fn predictions(batch: &RecordBatch, row: usize) -> BTreeMap<String, Option<f64>> {
    let fields = batch.schema().fields().clone();
    let is_prediction =
        |field: &&FieldRef| field.metadata().contains_key("label") && *field.data_type() == DataType::Float64;
    let columns = fields.iter().filter(is_prediction);
    columns.map(|field| (field.name().clone(), numbers(batch, field.name())[row])).collect()
}

#[test]
fn what_is_told_is_what_the_files_the_events_and_the_bundle_say() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at().plus(20);
    done(SCORE, here, &shop.line(day, "--out scores --with-features"));
    let scores = partition(here, "scores", day);
    let ids = ids(&scores);
    let stages = texts(&scores, "lifecycle_stage");
    let bundle = Bundle::load(&shop.models()).unwrap();
    let from = format!("--bundle {} --events {}", shop.models().display(), shop.events());
    let before = tree(here);
    // One of each stage, and one who has never ordered.
    let mut seen = BTreeMap::new();
    for row in 0..ids.len() {
        seen.entry(stages[row].clone().unwrap()).or_insert(row);
    }
    assert!(seen.len() >= 5 && seen.contains_key("registered"), "{seen:?}");
    for &row in seen.values() {
        let id = &ids[row];
        let line = format!("explain --quiet --customer {id} --as-of {day} --column {{}} {from} --json");
        let group = "purchase_probability_shoes_30d";
        let group = if scores.column_by_name(group).is_some() {
            group.to_string()
        } else {
            let schema = scores.schema();
            schema.fields().iter().find(|field| field.metadata().contains_key("group")).unwrap().name().clone()
        };
        let single = "churn_probability_60d predicted_orders_60d predicted_value_60d";
        let told = done(SCORE, here, &line.replace("{}", &format!("{single} {group}"))).json();
        assert_eq!(told["customer_id"].as_str(), Some(id.as_str()));
        assert_eq!(told["notes"].as_array().unwrap().len(), 0, "nothing has changed: {}", told["notes"]);
        for column in ["status", "lifecycle_stage"] {
            assert_eq!(told[column].as_str(), texts(&scores, column)[row].as_deref());
        }
        assert_eq!(told["holdout"].to_string(), texts(&scores, "holdout")[row].clone().unwrap());
        // Every prediction and every feature, bit for bit.
        let expected = predictions(&scores, row);
        let found: BTreeMap<String, Option<f64>> = told["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|prediction| (prediction["column"].as_str().unwrap().to_string(), prediction["value"].as_f64()))
            .collect();
        assert_eq!(found, expected, "{id}");
        let features = told["features"].as_array().unwrap();
        assert!(features.len() > 100);
        for feature in features {
            let name = feature["feature"].as_str().unwrap();
            assert_eq!(feature["value"].as_f64(), numbers(&scores, name)[row], "{id}: {name}");
        }
        let of = |column: &str| {
            let all = told["predictions"].as_array().unwrap();
            all.iter().find(|prediction| prediction["column"] == column).unwrap().clone()
        };
        for (place, column) in [
            ("percentile", "churn_percentile"),
            ("permille", "churn_permille"),
            ("percentile_in_stage", "churn_percentile_in_stage"),
        ] {
            assert_eq!(of("churn_probability_60d")[place].as_f64(), numbers(&scores, column)[row], "{column}");
        }
        for (place, column) in [("low", "predicted_value_low_60d"), ("high", "predicted_value_high_60d")] {
            assert_eq!(of("predicted_value_60d")[place].as_f64(), numbers(&scores, column)[row], "{column}");
        }
        assert_eq!(of("predicted_value_60d")["band"].as_str(), texts(&scores, "value_tier")[row].as_deref());

        // The sums: base, features and calibration are the score, and the score is the prediction.
        let columns = told["contributions"].as_array().unwrap();
        assert_eq!(columns.len(), 3 + usize::from(expected["churn_probability_60d"].is_some()), "{id}");
        for parts in columns {
            let column = parts["column"].as_str().unwrap();
            let prediction = expected[column].unwrap();
            assert_eq!(parts["prediction"].as_f64(), Some(prediction));
            let raw = number(&parts["base"]) + sum(&parts["features"]);
            let calibration = parts["calibration"].as_f64();
            close(raw + calibration.unwrap_or(0.0), number(&parts["score"]), column);
            let targets = bundle.parameters.targets.iter();
            let fitted = targets
                .flat_map(|fitted| fitted.target.columns().into_iter().zip(&fitted.columns))
                .find(|(name, _)| name == column)
                .unwrap()
                .1;
            match fitted {
                FittedColumn::Probability { calibration: by, .. } => {
                    assert_eq!(parts["scale"], "log odds");
                    close(number(&parts["score"]), log_odds(prediction), column);
                    // What the bundle's own calibration makes of the sum is the prediction.
                    close(by.probability(1.0 / (1.0 + (-raw).exp())), prediction, column);
                }
                _ => {
                    assert!(calibration.is_none());
                    close(raw, prediction, column);
                }
            }
            let features = parts["features"].as_array().unwrap();
            let sizes: Vec<f64> = features.iter().map(|part| number(&part["adds"]).abs()).collect();
            assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.iter().all(|size| *size > 0.0));
        }

        // The timeline, counted from the files of events.
        let known = shop.all_events().into_iter().filter(|event| {
            event.customer == *id && event.time < day.start_micros() && event.received < day.start_micros()
        });
        let mut kinds: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        let mut orders = std::collections::BTreeSet::new();
        let mut events = 0;
        for event in known {
            events += 1;
            let kind = kinds.entry(event.event.clone()).or_default();
            kind.0 += 1;
            kind.1 += if event.value.is_nan() { 0.0 } else { event.value };
            if event.event == "purchase" && event.value >= 0.0 {
                orders.insert((Day::of_wall(event.time), event.order.clone()));
            }
        }
        let timeline = &told["timeline"];
        assert_eq!(timeline["events"].as_u64(), Some(events));
        assert_eq!(timeline["orders"].as_u64(), Some(orders.len() as u64));
        assert_eq!(timeline["last_orders"].as_array().unwrap().len(), orders.len().min(5));
        let found: BTreeMap<String, (u64, f64)> = timeline["kinds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| {
                let name = kind["event"].as_str().unwrap().to_string();
                (name, (kind["events"].as_u64().unwrap(), kind["value"].as_f64().unwrap_or(0.0)))
            })
            .collect();
        assert!(found.keys().eq(kinds.keys()));
        for (name, (count, value)) in &kinds {
            assert_eq!(found[name].0, *count, "{name}");
            close(found[name].1, *value, name);
        }
        // The partition alone has the features, too.
        let alone = done(SCORE, here, &format!("explain --quiet --customer {id} --as-of {day} --json")).json();
        for feature in alone["features"].as_array().unwrap() {
            let name = feature["feature"].as_str().unwrap();
            assert_eq!(feature["value"].as_f64(), numbers(&scores, name)[row], "{id}: {name}");
        }
        assert!(alone["features"].as_array().unwrap().len() > 100);
        assert_eq!(alone["predictions"], told["predictions"]);
        let text = done(SCORE, here, &format!("explain --customer {id} --as-of {day} {from} --top 3 --features")).out;
        for words in [id, "last events", "predicted_value_60d = ", " others ", "scores of 1 partitions", "tenure_days"]
        {
            assert!(text.contains(words), "no `{words}` in {text}");
        }
    }
    assert!(tree(here) == before, "nothing is written");
}

#[test]
fn a_change_is_the_sum_of_features_calibration_and_model() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let days = [shop.fitted_at(), shop.fitted_at().plus(20)];
    // The former bundle and a new one, of other settings, in one folder: the partition says which it was.
    let old = shop.bundle_id();
    for (path, bytes) in tree(&shop.models().join(&old)) {
        fs::create_dir_all(here.join("models").join(&old)).unwrap();
        fs::write(here.join("models").join(&old).join(path), bytes).unwrap();
    }
    let config = fs::read_to_string(shop.config()).unwrap() + "[events]\nsettle_days = 1\n";
    fs::write(here.join("new.toml"), config).unwrap();
    let fit = format!("fit --quiet --events {} --config new.toml --as-of {} --out models", shop.events(), days[1]);
    done(TRAIN, here, &fit);
    let new = fs::read_to_string(here.join("models/current")).unwrap().trim().to_string();
    let score = |day: Day, bundle: &str, out: &str| {
        let line = shop.line(day, &format!("--out {out} --force"));
        done(SCORE, here, &line.replace(&shop.models().display().to_string(), &format!("models/{bundle}")));
    };
    score(days[0], &old, "scores");
    score(days[1], &new, "scores");
    score(days[1], &old, "old");
    score(days[0], &new, "new");
    score(days[1], &new, "new");
    let files =
        [("scores", 0), ("old", 1), ("scores", 1), ("new", 0)].map(|(out, day)| partition(here, out, days[day]));
    let columns = ["churn_probability_60d", "predicted_orders_60d", "predicted_value_60d"];
    let scored = texts(&files[0], "status").iter().position(|status| status.as_deref() == Some("scored")).unwrap();
    let customers: Vec<String> = ids(&files[0]).into_iter().skip(scored).step_by(97).take(6).collect();
    let in_scale = |column: &str, prediction: f64| {
        if column.contains("probability") { log_odds(prediction) } else { prediction }
    };
    let value = |file: usize, column: &str, id: &str| {
        let row = ids(&files[file]).iter().position(|other| other == id).unwrap();
        numbers(&files[file], column)[row].map(|prediction| in_scale(column, prediction))
    };
    let explain = |id: &str, as_of: Day, against: Day, scores: &str, more: &str| {
        let line = format!(
            "explain --quiet --customer {id} --as-of {as_of} --against {against} --scores {scores} --bundle models \
             --events {} --json {more}",
            shop.events()
        );
        done(SCORE, here, &line).json()
    };
    let (mut whole, mut changed) = (0, 0);
    for id in &customers {
        let told = explain(id, days[1], days[0], "scores", "");
        assert!(told["notes"].as_array().unwrap().is_empty(), "{}", told["notes"]);
        let change = &told["change"];
        assert_eq!([change["bundles"][0].as_str(), change["bundles"][1].as_str()], [Some(&*old), Some(&*new)]);
        assert_eq!(told["bundle_id"].as_str(), Some(&*new));
        assert_eq!(told["history"].as_array().unwrap().len(), 2);
        // Asked from the other end, the same change.
        let reverse = explain(id, days[0], days[1], "scores", "");
        assert_eq!(reverse["change"], *change);
        assert_eq!(reverse["bundle_id"].as_str(), Some(&*old));
        for (place, column) in columns.iter().enumerate() {
            let told = &change["columns"][place];
            assert_eq!(told["column"].as_str(), Some(*column));
            let (Some(was), Some(between), Some(is)) =
                (value(0, column, id), value(1, column, id), value(2, column, id))
            else {
                assert!(told["parts"].is_null(), "{told}");
                continue;
            };
            whole += 1;
            let parts = &told["parts"];
            close(number(&parts["score_before"]), was, column);
            close(number(&parts["score_after"]), is, column);
            let by_features = sum(&parts["features"]) + parts["calibration"].as_f64().unwrap_or(0.0);
            close(by_features, between - was, &format!("{id}: {column} by features"));
            close(number(&parts["model"]), is - between, &format!("{id}: {column} by the model"));
            assert!(parts["restated"].is_null());
            close(by_features + number(&parts["model"]), is - was, &format!("{id}: {column}"));
            changed += u32::from(number(&parts["model"]) != 0.0 && by_features != 0.0);
        }
        // By one bundle nothing is the model's. It leaves days to settle, so that each day is read for itself.
        let told = explain(id, days[1], days[0], "new", "--column churn_probability_60d predicted_value_60d");
        assert!(told["notes"].as_array().unwrap().is_empty(), "{}", told["notes"]);
        for column in told["change"]["columns"].as_array().unwrap() {
            let name = column["column"].as_str().unwrap();
            if let (Some(was), Some(is)) = (value(3, name, id), value(2, name, id)) {
                let parts = &column["parts"];
                assert!(parts["model"].is_null() && parts["restated"].is_null(), "{parts}");
                close(sum(&parts["features"]) + parts["calibration"].as_f64().unwrap_or(0.0), is - was, name);
            }
        }
    }
    assert!(whole >= 12 && changed >= 12, "{whole} {changed}");

    // A partition that says something else than the events do now: that is told, and is a part of the sum.
    let id = &customers[0];
    let fewer = shop.changed(&here.join("fewer"), |batch| {
        // Their orders alone.
        let (ids, kinds) = (texts(&batch, "customer_id"), texts(&batch, "event"));
        let is_kept = |row: usize| ids[row].as_ref() != Some(id) || kinds[row].as_deref() == Some("purchase");
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_kept(row))).collect();
        filter_record_batch(&batch, &keep).unwrap()
    });
    let line = format!(
        "explain --quiet --customer {id} --as-of {} --against {} --bundle models --events {fewer} --json",
        days[1], days[0],
    );
    let told = done(SCORE, here, &line).json();
    assert!(told["notes"][0].as_str().unwrap().contains("are not those of the partition"), "{}", told["notes"]);
    let value_change = &told["change"]["columns"][2];
    let parts = &value_change["parts"];
    assert!(number(&parts["restated"]) != 0.0);
    let all = sum(&parts["features"]) + number(&parts["model"]) + number(&parts["restated"]);
    close(all, value(2, columns[2], id).unwrap() - value(0, columns[2], id).unwrap(), "with what is restated");
    let text = done(SCORE, here, &line.replace("--json", "")).out;
    for words in ["model: bundle", "events are no longer those of then", "as a sum of log odds", &new] {
        assert!(text.contains(words), "no `{words}` in {text}");
    }

    // Without a bundle the two predictions stand side by side.
    let line = format!("explain --quiet --customer {id} --as-of {} --against {}", days[1], days[0]);
    let told = done(SCORE, here, &format!("{line} --json")).json();
    assert!(told["change"]["columns"][0]["parts"].is_null() && told["timeline"].is_null());
    close(in_scale(columns[0], number(&told["change"]["columns"][0]["after"])), value(2, columns[0], id).unwrap(), id);
    assert!(done(SCORE, here, &line).out.contains("is told with `--bundle` and `--events`"));
    // A bundle that is elsewhere is asked for by name.
    let ended = run(SCORE, here, &format!("{line} --bundle {} --events {}", shop.models().display(), shop.events()));
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.err.contains(&new) && ended.err.contains("hint: name the folder"), "{}", ended.err);
}

#[test]
fn who_is_not_known_or_forgotten_is_not_told_and_other_names_are() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let days = [0, 1, 2].map(|days| shop.fitted_at().plus(days));
    for (day, format) in days.iter().zip(["parquet", "csv", "ndjson"]) {
        done(SCORE, here, &shop.line(*day, &format!("--out scores --format {format}")));
    }
    let first = partition(here, "scores", days[0]);
    let id = &ids(&first)[7];
    // Rows of any format, and the newest day when none is named.
    let told = done(SCORE, here, &format!("explain --quiet --customer {id} --json")).json();
    assert_eq!(told["as_of"].as_str(), Some(days[2].to_string().as_str()));
    let history = told["history"].as_array().unwrap();
    assert_eq!(history.len(), 3);
    let churn = |row: &Value| row["predictions"]["churn_probability_60d"].as_f64();
    assert_eq!(churn(&history[0]), numbers(&first, "churn_probability_60d")[7]);
    let mut of_day = BTreeMap::new();
    for (day, row) in days.iter().zip(history) {
        let line = format!(
            "explain --quiet --customer {id} --as-of {day} --bundle {} --events {} --json",
            shop.models().display(),
            shop.events()
        );
        let again = done(SCORE, here, &line).json();
        assert!(again["notes"].as_array().unwrap().is_empty(), "{}", again["notes"]);
        let columns = again["predictions"].as_array().unwrap();
        let column = columns.iter().find(|one| one["column"] == "churn_probability_60d").unwrap();
        assert_eq!(column["value"].as_f64(), churn(row), "{day}");
        assert_eq!(column["percentile"].as_f64(), row["percentiles"]["churn_probability_60d"].as_f64(), "{day}");
        // The words of the file, whatever its format, are those of the bundle.
        let alone = done(SCORE, here, &format!("explain --quiet --customer {id} --as-of {day} --json")).json();
        assert_eq!(alone["reasons"], again["reasons"], "{day}");
        assert!(!alone["reasons"]["value_reasons"].as_array().unwrap().is_empty(), "{day}: {}", alone["reasons"]);
        of_day.insert(day.to_string(), again);
    }

    // Another name, from a day on.
    fs::write(here.join("map.csv"), format!("alias,customer_id,from\nold-card,{id},{}\n", days[1])).unwrap();
    let named = |name: &str, day: Day| {
        format!(
            "explain --quiet --customer {name} --as-of {day} --id-map map.csv --bundle {} --events {} --json",
            shop.models().display(),
            shop.events()
        )
    };
    let told = done(SCORE, here, &named("old-card", days[2])).json();
    assert_eq!(told["customer_id"].as_str(), Some(id.as_str()));
    assert!(told["notes"][0].as_str().unwrap().contains("is a name of"), "{}", told["notes"]);
    assert_eq!(told["predictions"], of_day[&days[2].to_string()]["predictions"]);
    let ended = run(SCORE, here, &named("old-card", days[1]));
    assert_eq!(ended.code, Some(3), "it was nobody's name before: {}", ended.out);

    // Nobody of that name: what was searched is told, and no other customer.
    let from = format!("--bundle {} --events {}", shop.models().display(), shop.events());
    for (more, rows) in [("", false), (from.as_str(), true)] {
        let ended = run(SCORE, here, &format!("explain --quiet --customer nobody --as-of {} {more} --json", days[2]));
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        let told = ended.json();
        assert_eq!(told["reason"].as_str(), Some("no_scoring_data"));
        assert_eq!(told["counts"]["partitions"].as_u64(), Some(3));
        assert_eq!(told["counts"]["rows"].as_u64().is_some_and(|rows| rows > 1000), rows);
        assert!(!told.to_string().contains(id.as_str()));
    }
    // Somebody of whom nothing was known yet.
    done(SCORE, here, &shop.line(days[0].plus(60), "--out scores"));
    let known = ids(&first);
    let last = partition(here, "scores", days[0].plus(60));
    let newcomer = ids(&last).into_iter().find(|id| !known.contains(id)).expect("somebody comes in two months");
    let ended = run(SCORE, here, &format!("explain --quiet --customer {newcomer} --as-of {}", days[0]));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("hint: the customer is known from"), "{}", ended.err);

    // The forgotten are not told, whether they have left the files yet or not.
    fs::write(here.join("forget.csv"), format!("customer_id\n{id}\n")).unwrap();
    for more in ["", from.as_str()] {
        let line = format!("explain --quiet --customer {id} --as-of {} --forget forget.csv {more}", days[2]);
        let ended = run(SCORE, here, &line);
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        assert!(ended.out.is_empty() && ended.err.contains("those who are to be forgotten"), "{}", ended.err);
    }
    done(SCORE, here, "forget --forget forget.csv --scores scores");
    let ended = run(SCORE, here, &format!("explain --quiet --customer {id} --as-of {}", days[2]));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.out.is_empty(), "{}", ended.out);

    let other = &ids(&first)[8];
    // A damaged partition is passed over, unless it is the one that is asked about.
    let path = here.join(format!("scores/as_of={}/part-00000.csv", days[1]));
    let sound = fs::read(&path).unwrap();
    let header = sound.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, [&sound[..header], b"\xff\xfe\n", &sound[header..]].concat()).unwrap();
    let ended = done(SCORE, here, &format!("explain --quiet --customer {other} --as-of {} --json", days[2]));
    assert!(ended.err.contains("this partition is passed over"), "{}", ended.err);
    assert_eq!(ended.json()["history"].as_array().unwrap().len(), 2);
    let ended = run(SCORE, here, &format!("explain --quiet --customer {other} --as-of {}", days[1]));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("part-00000.csv"), "{}", ended.err);
    fs::write(&path, sound).unwrap();
    let ask = format!("explain --quiet --customer {other}");
    for (line, words) in [
        (format!("{ask} --as-of 2020-01-01"), "no scores of 2020-01-01"),
        (format!("{ask} --scores nowhere"), "no partition, and no day is named"),
        (format!("{ask} --as-of {0} --against {0}", days[1]), "both days are"),
        (format!("{ask} --column churn_probability_90d"), "did you mean `churn_probability_60d`?"),
        (format!("{ask} --bundle models"), "--events"),
    ] {
        let ended = run(SCORE, here, &line);
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.err);
        assert!(ended.err.contains(words), "{line}: {}", ended.err);
    }
    // Any day can be explained from events; there are no ranks then, and that is said.
    let day = days[2].plus(5);
    let told = done(SCORE, here, &format!("{ask} --as-of {day} {from} --json")).json();
    assert!(told["notes"][0].as_str().unwrap().contains("ranks are not known"), "{}", told["notes"]);
    assert_eq!(told["is_in_partition"], false);
    done(SCORE, here, &shop.line(day, "--out later"));
    let later = partition(here, "later", day);
    let row = ids(&later).iter().position(|id| id == other).unwrap();
    let expected = predictions(&later, row);
    for prediction in told["predictions"].as_array().unwrap() {
        assert_eq!(prediction["value"].as_f64(), expected[prediction["column"].as_str().unwrap()]);
        assert!(prediction["percentile"].is_null());
    }
    assert_eq!(json(&here.join(format!("later/as_of={day}/manifest.json")))["bundle_id"], told["bundle_id"]);
}
