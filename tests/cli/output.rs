//! What is printed and where, and that the commands that are printed can be typed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{SCORE, TRAIN, done, fitted, misused, refused, same_tree, shop, tree};

#[test]
fn results_go_to_stdout_and_everything_else_to_stderr() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n").unwrap();

    let fit = done(TRAIN, here, "fit --events shop.csv --out new");
    let id = fs::read_to_string(here.join("new/current")).unwrap();
    assert!(fit.out.contains("churn_probability_90d") && fit.out.contains("roc_auc"), "{}", fit.out);
    assert!(fit.out.ends_with(&format!("bundle: new/{0}\nreport: new/{0}/report.html\n", id.trim())), "{}", fit.out);
    assert!(fit.err.contains("columns: ") && fit.err.contains("as named: customer_id, value"), "{}", fit.err);
    assert!(fit.err.contains("target churn: no order in the 90 days from as_of"), "{}", fit.err);
    // What it says to type next works when typed.
    let (_, next) = fit.err.split_once("\nnext:\n  bellwether-score ").unwrap();
    assert_eq!(next, "run --bundle new --events shop.csv --as-of 2024-12-31\n");
    let scored = done(SCORE, here, next);
    assert!(scored.out.ends_with("scores: scores/as_of=2024-12-31\n"), "{}", scored.out);

    let everything = [
        (TRAIN, "fit --events shop.csv --out new"),
        (TRAIN, "fit --events shop.csv --out dry --dry-run"),
        (TRAIN, "check --events shop.csv"),
        (TRAIN, "clv --events shop.csv --model mbg-nbd --model pareto-nbd --out customers.csv"),
        (TRAIN, "simulate --customers 20 --days 40 --out simulated"),
        (SCORE, "run --bundle models --events shop.csv --out scores"),
        (SCORE, "run --bundle models --events shop.csv --out scores --segments segments.toml"),
        (SCORE, "segment --scores scores --segments segments.toml --as-of 2024-12-31"),
    ];
    for (program, line) in everything {
        let loud = done(program, here, line);
        let quiet = done(program, here, &format!("{line} --quiet"));
        assert_eq!(quiet.err, "", "{line} --quiet");
        assert_eq!(quiet.out, loud.out, "{line}: --quiet changes no result");
        assert!(!loud.out.is_empty() && loud.out.ends_with('\n'), "{line}");
        let json = done(program, here, &format!("{line} --json")).json();
        assert!(json.is_object(), "{line} --json");
    }
    assert!(!here.join("dry").join("current").exists(), "a dry run writes no bundle");
    let json = done(SCORE, here, &format!("{} --json", everything[6].1)).json();
    assert_eq!(json["partition"], "scores/as_of=2024-12-31");
    assert_eq!((&json["manifest"]["rows"], &json["segments"]["customers"]), (&300.into(), &300.into()));
    let json = done(TRAIN, here, "fit --events shop.csv --out new --json").json();
    assert_eq!(json["bundle"], format!("new/{}", id.trim()));
}

#[test]
fn fit_prints_and_writes_the_same_at_any_number_of_threads() {
    let folder = fitted();
    let one = done(TRAIN, folder.path(), "fit --events shop.csv --out new --threads 1");
    let bundle = tree(&folder.path().join("new"));
    let two = done(TRAIN, folder.path(), "fit --events shop.csv --out new --threads 2");
    assert_eq!(one.out, two.out);
    same_tree(&bundle, &tree(&folder.path().join("new")), "fit");
}

#[test]
fn the_demo_runs_every_stage_and_its_commands_work_when_typed() {
    let here = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--customers", "400", "--root", "a shop"];
    let demo = Command::new(TRAIN).current_dir(here.path()).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8(demo.stdout).unwrap(), String::from_utf8(demo.stderr).unwrap());
    assert!(demo.status.success(), "{err}");
    for stage in ["simulating", "reading", "building", "fitting churn", "writing the bundle", "scoring", "segmenting"] {
        assert!(err.contains(stage), "no {stage} in\n{err}");
    }
    assert_eq!(err.matches("columns: ").count(), 1, "the mapping once\n{err}");
    let (report, rest) = out.split_once("\nWhere everything is:\n").unwrap();
    for result in ["churn_probability_90d", "by status: ", "everyone-else"] {
        assert!(report.contains(result), "no {result} in\n{report}");
    }
    let (places, next) = rest.split_once("\nWhat to type next:\n").unwrap();
    let mut place = BTreeMap::new();
    for line in places.lines() {
        let (what, path) = line.trim().split_once(' ').unwrap();
        let path = here.path().join(path.trim());
        assert!(path.exists(), "{line}");
        place.insert(what.to_string(), path);
    }
    assert!(place["category_scores"].join("manifest.json").is_file());
    let (scores, segments) = (tree(&place["scores"]), tree(&place["segments"]));

    fs::write(here.path().join("shop.csv"), shop(300)).unwrap();
    let programs = Path::new(TRAIN).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut typed = 0;
    for command in next.lines().map(|line| line.trim().replace("YOUR_EVENTS", "shop.csv")) {
        let ended = Command::new("sh").arg("-c").arg(&command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
        typed += 1;
    }
    assert_eq!(typed, 4);
    same_tree(&scores, &tree(&place["scores"]), "run again");
    same_tree(&segments, &tree(&place["segments"]), "segment again");
    assert!(here.path().join("models/shop/current").is_file());
}

#[test]
fn the_commands_of_the_readme_work_when_typed() {
    let here = tempfile::tempdir().unwrap();
    done(TRAIN, here.path(), "demo --customers 500 --quiet");
    fs::create_dir(here.path().join("data")).unwrap();
    for entry in fs::read_dir(here.path().join("datasets/demo/events")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, here.path().join("data").join(path.file_name().unwrap())).unwrap();
    }
    let customer = |n: u32| {
        let orders = format!("{n},{},{}.0,{}.0,{}.5", n % 4, n % 4 * (9 + n % 3), 40 + n % 20, 10 + n % 7);
        format!("{orders},{},{}\n", n % 5 % 2, ["web", "shop", "app"][(n % 7 % 3) as usize])
    };
    let table: String = (0..300).map(customer).collect();
    let columns = "customer_id,frequency,recency,T,monetary_value,gender,channel";
    fs::write(here.path().join("rfm.csv"), format!("{columns}\n{table}")).unwrap();
    fs::write(here.path().join("contracts.csv"), "periods,cancelled,customers\n1,1,30\n2,1,20\n3,1,9\n3,0,80\n")
        .unwrap();
    fs::write(here.path().join("forget.csv"), "customer_id\nc00000003\n").unwrap();
    fs::write(here.path().join("attributes.csv"), "customer_id,age,valid_from\nnobody,50,2024-01-01\n").unwrap();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let programs = Path::new(TRAIN).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut typed = 0;
    // Those about object stores are typed in `object_store.rs`, where there is one.
    let is_local = |line: &&str| line.starts_with("bellwether-") && !line.contains("s3://");
    for command in blocks.flat_map(str::lines).filter(is_local) {
        let ended = Command::new("sh").arg("-c").arg(command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
        typed += 1;
    }
    assert!(typed >= 12, "{typed} commands");
    assert!(here.path().join("features.parquet").is_file());
    // What schedules run, on the day that the simulated shop ends: the shell takes it apart as they do.
    let samples = readme.lines().filter_map(|line| line.split_once("bellwether-score run --bundle models/demo"));
    let scheduled: Vec<String> = samples
        .filter(|(before, _)| before.contains("ExecStart=") || before.contains("* * *") || before.contains("exec "))
        .map(|(_, rest)| rest.trim_end_matches('\'').replace("%%F", "%F").replace("\\%F", "%F"))
        .collect();
    assert_eq!(scheduled.len(), 3, "{scheduled:?}");
    for rest in scheduled {
        let dated = rest.replace("$(date +%F)", "2025-06-24");
        assert_ne!(dated, rest, "a day is given");
        let command = format!("bellwether-score run --bundle models/demo{dated}");
        let ended = Command::new("sh").arg("-c").arg(&command).current_dir(here.path()).env("PATH", &path).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{command}\n{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert!(here.path().join("bellwether.prom").is_file());
}

#[test]
fn clv_takes_a_table_and_writes_what_it_foresees_of_each_customer() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut table = String::from("customer_id,frequency,recency,T,monetary_value\n");
    for i in 0..600 {
        let x = if i % 2 == 0 { 0 } else { 1 + i * i % 5 };
        let (age, mean) = (20 + i % 30, if x == 0 { 0 } else { 10 + i * 7 % 40 });
        let recency = if x == 0 { 0 } else { 1 + i * 3 % (age - 1) };
        table.push_str(&format!("\"customer, {i}\",{x},{recency},{age},{mean}\n"));
    }
    fs::write(here.join("rfm.csv"), &table).unwrap();
    let line = "clv --table rfm.csv --unit weeks --horizon-days 70 --out customers.csv";
    let ended = done(TRAIN, here, line);
    for word in ["MBG/NBD", "BG/NBD", "Pareto/NBD", "GGom/NBD", "Gamma-Gamma", "times in weeks"] {
        assert!(ended.out.contains(word), "{word} in {}", ended.out);
    }
    assert!(!ended.out.contains("CNBD"), "a table holds no gaps: {}", ended.out);
    let json = done(TRAIN, here, &format!("{line} --json")).json();
    assert_eq!((&json["customers"], &json["repeat_buyers"]), (&600.into(), &300.into()));
    let bics: Vec<f64> =
        json["models"].as_array().unwrap().iter().map(|model| model["bic"].as_f64().unwrap()).collect();
    assert!(bics.len() == 4 && bics.is_sorted(), "{bics:?}");
    let mut written = csv::Reader::from_path(here.join("customers.csv")).unwrap();
    let names = written.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|held| held == name).unwrap();
    let columns =
        ["alive_probability", "no_order_probability_70d", "predicted_orders_70d", "predicted_value_70d"].map(at);
    let (mut rows, lifetime) = (0, at("discounted_value"));
    for row in written.records() {
        let row = row.unwrap();
        assert_eq!(&row[0], format!("customer, {rows}"), "the customers keep their order");
        let [alive, none, orders, value] = columns.map(|column| row[column].parse::<f64>().unwrap());
        assert!((0.0..=1.0).contains(&alive) && (1.0 - alive..=1.0).contains(&none), "{row:?}");
        // Ten weeks of a lifetime, at ten percent a year off.
        assert!(orders >= 1.0 - none - 1e-12 && value > 0.0, "{row:?}");
        assert!(row[lifetime].parse::<f64>().unwrap() > 0.95 * value, "{row:?}");
        rows += 1;
    }
    assert_eq!(rows, 600);
    // The same bytes at any number of threads.
    let bytes = fs::read(here.join("customers.csv")).unwrap();
    done(TRAIN, here, &format!("{line} --threads 1"));
    assert!(fs::read(here.join("customers.csv")).unwrap() == bytes);

    refused(
        TRAIN,
        here,
        "clv --table rfm.csv --model mbg-cnbd",
        2,
        None,
        &["needs the days between orders", "--events"],
    );
    refused(TRAIN, here, "clv --table rfm.csv --yearly-rate 0", 2, None, &["above 0"]);
    fs::write(here.join("bad.csv"), "frequency,recency,T\n1,9,8\n").unwrap();
    let reason = Some("unreadable_events");
    refused(TRAIN, here, "clv --table bad.csv", 3, reason, &["row 1", "t_x"]);
    fs::write(here.join("bad.csv"), "frequency,recency\n1,9\n").unwrap();
    refused(TRAIN, here, "clv --table bad.csv", 3, reason, &["no column `T`", "frequency, recency"]);
    misused(TRAIN, "clv", &["--events"]);
    misused(TRAIN, "clv --table rfm.csv --events shop.csv", &["cannot be used with"]);
}

#[test]
fn scores_come_as_csv_and_ndjson_with_the_same_names_and_values() {
    let here = fitted();
    let run = |format: &str| {
        done(SCORE, here.path(), &format!("run --bundle models --events shop.csv --out {format} --format {format}"));
        let partition = here.path().join(format).join("as_of=2024-12-31");
        assert!(fs::read_to_string(partition.join("manifest.json")).unwrap().contains("\"complete\": true"));
        partition.join(format!("part-00000.{format}"))
    };
    let parquet = fs::File::open(run("parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap();
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let column = batches[0].column_by_name("churn_probability_90d").unwrap();
    let churn = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(column).value(0);

    let csv = fs::read_to_string(run("csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap().split(',').collect::<Vec<_>>(), names);
    let place = names.iter().position(|name| name == "churn_probability_90d").unwrap();
    let first: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(first[place].parse::<f64>().unwrap(), churn, "bit for bit");
    assert_eq!(lines.count() + 1, rows);

    let ndjson = fs::read_to_string(run("ndjson")).unwrap();
    let first: Value = serde_json::from_str(ndjson.lines().next().unwrap()).unwrap();
    assert_eq!(first["churn_probability_90d"].as_f64().unwrap(), churn);
    assert!(first.as_object().unwrap().keys().all(|name| names.contains(name)));
    assert_eq!(ndjson.lines().count(), rows);
}
