//! `clv` on opportunities, contracts and covariates, against printed values.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{TRAIN, done, misused, refused};

/// Value of a parameter of a report, and its standard error.
fn parameter(line: &Value, letter: &str) -> (f64, f64) {
    let found = line["parameters"].as_array().unwrap().iter().find(|parameter| parameter["letter"] == letter);
    let found = found.unwrap_or_else(|| panic!("no {letter} in {line}"));
    (found["value"].as_f64().unwrap(), found["standard_error"].as_f64().unwrap())
}

fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: {got}, printed {want}");
}

/// Fader, Hardie & Shang (2010), table 1: supporters by number of gifts (x), year of the last one (t_x) and number of years
/// (n = 6).
#[rustfmt::skip] // a table
const DONATIONS: [[u32; 3]; 22] = [
    [0, 0, 3464], [1, 1, 1091], [1, 2, 277], [1, 3, 129], [1, 4, 78], [1, 5, 119], [1, 6, 129], [2, 2, 613],
    [2, 3, 255], [2, 4, 155], [2, 5, 173], [2, 6, 234], [3, 3, 322], [3, 4, 181], [3, 5, 225], [3, 6, 357],
    [4, 4, 240], [4, 5, 284], [4, 6, 512], [5, 5, 335], [5, 6, 728], [6, 6, 1203],
];

#[test] // Fader, Hardie & Shang (2010), table 3; 12,884.2 gifts of 2002 to 2006 in Hardie's workbook
fn bg_bb_of_a_table_of_opportunities() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows: String = DONATIONS.iter().map(|[x, t_x, custs]| format!("{x},{t_x},6,{custs}\n")).collect();
    fs::write(here.join("gifts.csv"), format!("x,t.x,n.cal,custs\n{rows}")).unwrap();
    let line = "clv --table gifts.csv --model bg-bb --period year --horizon-days 1827 --out foreseen.csv";
    let json = done(TRAIN, here, &format!("{line} --json")).json();
    assert_eq!((&json["customers"], &json["most_opportunities"]), (&11_104.into(), &6.into()));
    near(json["ln_likelihood"].as_f64().unwrap(), -33_225.6, 0.05, "ln L");
    for (letter, printed) in [("alpha", 1.204), ("beta", 0.750), ("gamma", 0.657), ("delta", 2.783)] {
        near(parameter(&json, letter).0, printed, 5.1e-4, letter);
    }
    let mut written = csv::Reader::from_path(here.join("foreseen.csv")).unwrap();
    let names = written.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|held| held == name).unwrap();
    let (acts, customers) = (at("predicted_acts_5p"), at("customers"));
    let total: f64 = written
        .records()
        .map(|row| row.unwrap())
        .map(|row| row[acts].parse::<f64>().unwrap() * row[customers].parse::<f64>().unwrap())
        .sum();
    near(total, 12_884.2, 0.05, "gifts of five years");
    let told = done(TRAIN, here, line).out;
    assert!(told.contains("BG/BB: ln L -33225.58") && told.contains("alpha 1.2035 (± "), "{told}");
}

#[test]
fn bg_bb_of_events_counts_complete_periods() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Customer n comes in the weeks that n, in binary, has a 1 for; all came in the week before.
    let mut events = String::from("customer_id,ts,event\n");
    for n in 0..256u32 {
        events.push_str(&format!("c{n},2024-12-30,purchase\nc{n},2025-01-02,purchase\n"));
        for week in (0..8).filter(|week| n >> week & 1 == 1) {
            let (month, day) = [(1, 6), (1, 13), (1, 20), (1, 27), (2, 3), (2, 10), (2, 17), (2, 24)][week];
            events.push_str(&format!("c{n},2025-{month:02}-{:02},purchase\n", day + n % 3));
        }
    }
    fs::write(here.join("events.csv"), events).unwrap();
    let line = "clv --events events.csv --model bg-bb --period week --as-of 2025-03-03 --holdout-days 14";
    let json = done(TRAIN, here, &format!("{line} --json --memory 256MiB --spill-dir .")).json();
    assert_eq!((&json["customers"], &json["repeat_buyers"]), (&256.into(), &252.into()), "4 came in none of six weeks");
    assert_eq!((&json["acts"], &json["most_opportunities"]), (&(6.0 * 128.0).into(), &6.into()));
    let holdout = &json["holdout"];
    assert_eq!((&holdout["periods"], &holdout["actual_acts"]), (&2.into(), &256.0.into()));
    let expected = holdout["expected_acts"].as_f64().unwrap();
    assert!(expected > 150.0 && expected < 300.0, "half of the weeks were used: {expected}");
    let told = done(TRAIN, here, line).out;
    assert!(told.contains("Holdout of 2 opportunities"), "{told}");
    // The same without a limit of memory.
    assert_eq!(done(TRAIN, here, &format!("{line} --json")).json(), json);
}

#[test] // Fader & Hardie (2007), table 1 and appendix B: high-end customers, of whom 7 of 12 years are fitted
fn sbg_of_cohorts_and_of_contracts() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let active = [1000, 869, 743, 653, 593, 551, 517, 491];
    let curve: String = active.iter().zip(0..).map(|(active, year)| format!("{year},{active}\n")).collect();
    fs::write(here.join("curve.csv"), format!("period,active\n{curve}")).unwrap();
    let json = done(TRAIN, here, "clv --table curve.csv --model sbg --period year --json").json();
    near(parameter(&json, "alpha").0, 0.668, 5.1e-4, "alpha");
    near(parameter(&json, "beta").0, 3.806, 5.1e-4, "beta");
    near(json["ln_likelihood"].as_f64().unwrap(), -1611.2, 0.05, "ln L");
    assert_eq!((&json["contracts"], &json["cancelled"]), (&1000.into(), &509.0.into()));
    let periods = json["periods"].as_array().unwrap();
    near(periods[7]["observed_survival"].as_f64().unwrap(), 0.491, 1e-12, "seen");
    assert!(periods[12]["observed_survival"].is_null());
    // With 30 digits; 39.4 % were left in table 1.
    near(periods[12]["survival"].as_f64().unwrap(), 0.377_999_071_6, 1e-6, "after 12 years");
    let mut contracts: String = String::from("duration,churned,customers\n7,0,491\n");
    for (year, pair) in active.windows(2).enumerate() {
        contracts.push_str(&format!("{},1,{}\n", year + 1, pair[0] - pair[1]));
    }
    fs::write(here.join("contracts.csv"), contracts).unwrap();
    let same = done(TRAIN, here, "clv --table contracts.csv --model sbg --period year --json").json();
    assert_eq!(same, json);
    let told = done(TRAIN, here, "clv --table curve.csv --model sbg --period year --out periods.csv").out;
    assert!(told.contains("sBG: ln L -1611.158") && told.contains("periods: periods.csv"), "{told}");
    assert_eq!(fs::read_to_string(here.join("periods.csv")).unwrap().lines().count(), 1 + periods.len());
}

fn golden_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if folder.join("btyd.json").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: ../shared/golden is not there");
    None
}

#[test] // CLVTools 0.12.1, polished to the optimum: 600 customers of a clothes shop, Gender and Channel on both processes
fn covariates_as_in_clvtools() {
    let Some(golden) = golden_folder() else { return };
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Golden is in weeks.
    let table = fs::read_to_string(golden.join("data/apparel_cbs.csv")).unwrap();
    let in_weeks = |channel: &dyn Fn(&str) -> String| -> String {
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let weeks = |cell: &str| cell.parse::<f64>().unwrap() / 7.0;
            let (t_x, t) = (weeks(cells[2]), weeks(cells[3]));
            format!("{},{},{t_x},{t},{},{}\n", cells[0], cells[1], cells[4], channel(cells[5]))
        };
        let header = "customer_id,frequency,recency,T,Gender,Channel\n".to_string();
        table.lines().skip(1).map(row).fold(header, |text, row| text + &row)
    };
    fs::write(here.join("apparel.csv"), in_weeks(&|channel| channel.to_string())).unwrap();
    // Python wrote NaN, which JSON does not know.
    let numbers = fs::read_to_string(golden.join("btyd.json")).unwrap().replace(": NaN", ": null");
    let values: Value = serde_json::from_str(&numbers).unwrap();
    let want = &values["covariates"]["pnbd_static_apparel"]["pnbd_static"];
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let asked = "--unit weeks --covariates Gender,Channel --model pareto-nbd";
    let line = format!("clv --table apparel.csv {asked} --horizon-days 1450 --out out.csv");
    let json = done(TRAIN, here, &format!("{line} --json")).json();
    let models = json["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["Pareto/NBD with covariates", "Pareto/NBD"], "the least BIC first");
    let likelihood = number(&want["log_likelihood"]);
    near(models[0]["ln_likelihood"].as_f64().unwrap(), likelihood, 1e-9 * likelihood.abs(), "ln L");
    for (letter, value) in want["params"].as_object().unwrap() {
        let (got, error) = parameter(&models[0], letter);
        near(got, number(value), 1e-5 * number(value).abs(), letter);
        let want = number(&want["standard_errors"][letter]);
        near(error, want, 1e-4 * want, &format!("error of {letter}"));
    }
    // What is foreseen of a customer is CLVTools' within what its estimates are off.
    let mut written = csv::Reader::from_path(here.join("out.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = written.records().map(Result::unwrap).collect();
    let points = values["covariates"]["pnbd_static_apparel"]["points_at_clvtools_estimates"].as_object().unwrap();
    for (id, want) in points {
        let row = rows.iter().find(|row| &row[0] == id).unwrap();
        near(row[5].parse().unwrap(), number(&want["palive"]), 1e-3, "alive");
        let expected = number(&want["cexpect_1450_days"]);
        near(row[7].parse().unwrap(), expected, 2e-3 * expected, "orders");
    }
    assert!(points.len() >= 5);
    // Words are as good as numbers.
    let worded = in_weeks(&|channel| if channel == "1" { "web".into() } else { "shop".into() });
    fs::write(here.join("words.csv"), worded).unwrap();
    let json = done(TRAIN, here, &format!("clv --table words.csv {asked} --json")).json();
    near(parameter(&json["models"][0], "life.Channel.web").0, number(&want["params"]["life.Channel"]), 1e-4, "words");
}

#[test]
fn what_cannot_be_compared_or_described_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let row = |i: u32| format!("{},{},{},{},same\n", i % 3, i % 3 * 4, 30 + i % 9, ["a", "b", ""][(i % 3) as usize]);
    let rows: String = (0..60).map(row).collect();
    fs::write(here.join("rfm.csv"), format!("frequency,recency,T,kind,shop\n{rows}")).unwrap();
    fs::write(here.join("events.csv"), "customer_id,ts\n1,2025-01-01\n").unwrap();
    let alone = &["BG/BB", "stand beside", "--model bg-bb"];
    refused(TRAIN, here, "clv --table rfm.csv --model bg-bb --model mbg-nbd", 2, None, alone);
    refused(TRAIN, here, "clv --events events.csv --model sbg", 2, None, &["table of contracts", "--table"]);
    let unreadable = Some("unreadable_events");
    refused(TRAIN, here, "clv --table rfm.csv --model sbg", 3, unreadable, &["no column `period`"]);
    refused(TRAIN, here, "clv --table rfm.csv --covariates kind", 3, unreadable, &["`kind`", "row 3 is empty"]);
    refused(TRAIN, here, "clv --table rfm.csv --covariates shop", 3, unreadable, &["`shop`", "same for all"]);
    refused(TRAIN, here, "clv --table rfm.csv --covariates colour", 3, unreadable, &["no column `colour`"]);
    let fixed = "clv --table rfm.csv --order-covariates T --model ggom-nbd";
    refused(TRAIN, here, fixed, 2, None, &["GGom/NBD takes no covariates", "pareto-nbd"]);
    misused(TRAIN, "clv --events events.csv --covariates kind", &["cannot be used with"]);
    misused(TRAIN, "clv --covariates kind", &["--table"]);
    misused(TRAIN, "clv --table rfm.csv --covariates kind --leave-covariates kind", &["cannot be used with"]);
    misused(TRAIN, "clv --table rfm.csv --model bg-bb --period fortnight", &["week", "month"]);
}
