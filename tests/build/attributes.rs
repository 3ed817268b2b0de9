//! What is known of customers beside their events.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::Float64Type;
use bellwether::config::Config;
use bellwether::error::{Error, ExitCode};
use bellwether::lists::ListFiles;
use bellwether::pipeline::{self, BuildOptions, FitOptions, RunOptions};
use bellwether::progress::Observer;
use bellwether::progress::Silent;
use bellwether::timeline::Budget;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::{config, options, read, shop};

/// Rows of 30 customers: 12 live in Graz, 10 in Linz, one in Rome; the table tells of a customer without events, too.
fn events() -> String {
    let rows = (1..=30).flat_map(|customer| {
        let id = if customer % 2 == 0 { format!("{customer}") } else { format!("C{customer}") };
        [format!("{id},2024-01-{customer:02},purchase,{customer}\n"), format!("{id},2024-03-01,view,\n")]
    });
    format!("customer_id,ts,event,value\n{}", rows.collect::<String>())
}

fn id(customer: usize) -> String {
    if customer.is_multiple_of(2) { format!("{customer}.0") } else { format!("C{customer}") }
}

fn attributes() -> String {
    let row = |customer: usize| {
        let city = match customer {
            1..=12 => "Graz",
            13..=22 => "Linz",
            23 => "Rome",
            _ => "",
        };
        let truth = if customer <= 15 { "true" } else { "false" };
        format!("{},{city},{truth},{}.5,2023-05-01\n", id(customer), customer)
    };
    let rows: String = (1..=29).map(row).collect();
    format!("customer_id,city,club member,age,valid_from\n{rows}nobody,Graz,true,1,2023-05-01\n")
}

struct Files {
    root: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { root: tempfile::tempdir().unwrap() };
        files.write("events.csv", &events());
        files
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join(name), text).unwrap();
    }

    fn options(&self, attributes: &str, out: &str) -> BuildOptions {
        let include = config("[features]\ninclude = [\"attribute_*\", \"spend\"]\n");
        let attributes = if attributes.is_empty() { Vec::new() } else { vec![self.path(attributes)] };
        BuildOptions {
            attributes,
            is_double: true,
            ..options(&self.path("events.csv"), &include, Path::new(&self.path(out)), &["2024-03-10"])
        }
    }

    fn build(&self, table: &str) -> Result<RecordBatch, Error> {
        self.write("attributes.csv", table);
        pipeline::build(&self.options("attributes.csv", "f.parquet"), &Silent)?;
        Ok(read(Path::new(&self.path("f.parquet"))))
    }
}

/// Value of a column of a customer.
fn value(table: &RecordBatch, customer: &str, column: &str) -> Option<f64> {
    let ids = table.column(0).as_string::<i32>();
    let row = (0..table.num_rows()).find(|&row| ids.value(row) == customer).unwrap();
    let column = table.column_by_name(column).unwrap_or_else(|| panic!("{column} of {:?}", table.schema()));
    let column = column.as_primitive::<Float64Type>();
    (!column.is_null(row)).then(|| column.value(row))
}

#[test]
fn numbers_and_truths_are_features_and_so_is_each_frequent_text() {
    let files = Files::new();
    let table = files.build(&attributes()).unwrap();
    let schema = table.schema();
    let names: Vec<&str> = schema.fields().iter().skip(2).map(|field| field.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "spend",
            "attribute_city_graz",
            "attribute_city_linz",
            "attribute_city_other",
            "attribute_city_missing",
            "attribute_club_member",
            "attribute_age"
        ]
    );
    assert_eq!(table.num_rows(), 30, "a customer without events has no row");
    let city = |customer: &str| {
        ["graz", "linz", "other", "missing"].map(|of| value(&table, customer, &format!("attribute_city_{of}")).unwrap())
    };
    assert_eq!(city("C1"), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(city("14"), [0.0, 1.0, 0.0, 0.0], "`14.0` is `14`");
    assert_eq!(city("C23"), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(city("24"), [0.0, 0.0, 0.0, 1.0], "an empty cell");
    assert_eq!(city("30"), [0.0, 0.0, 0.0, 1.0], "no row");
    assert_eq!(value(&table, "C15", "attribute_club_member"), Some(1.0));
    assert_eq!(value(&table, "16", "attribute_club_member"), Some(0.0));
    assert_eq!(value(&table, "30", "attribute_club_member"), None);
    assert_eq!(value(&table, "C7", "attribute_age"), Some(7.5));
    let field = schema.field_with_name("attribute_age").unwrap();
    assert_eq!(field.metadata()["columns"], "attributes.age");
    assert_eq!(field.metadata()["family"], "attributes");
}

#[test]
fn the_row_in_force_before_as_of_counts_and_those_after_change_no_byte() {
    let files = Files::new();
    let before = attributes() + "C1,Linz,false,40,2024-02-01\nC1,Rome,true,50,2024-03-09 23:59:59\n";
    let table = files.build(&before).unwrap();
    assert_eq!(value(&table, "C1", "attribute_age"), Some(50.0));
    assert_eq!(value(&table, "C1", "attribute_city_other"), Some(1.0));
    let bytes = fs::read(files.path("f.parquet")).unwrap();
    let planted = "C1,Graz,true,60,2024-03-10\n30,Wien,true,7,2024-03-10 00:00:00\nnew,Wien,false,8,2024-04-01\n\
                   C1,Wien,true,61,2024-03-10\n";
    files.build(&format!("{before}{planted}")).unwrap();
    assert!(fs::read(files.path("f.parquet")).unwrap() == bytes, "planted at and after as_of");
    let little = Budget { bytes: Some(5_000), folder: None };
    let on_disk = BuildOptions { budget: little, ..files.options("attributes.csv", "disk.parquet") };
    assert!(pipeline::build(&on_disk, &Silent).unwrap().is_spilled);
    assert!(fs::read(files.path("disk.parquet")).unwrap() == bytes, "on disk");
    // Two cut-offs: each sees its own row.
    let two = BuildOptions {
        as_ofs: vec!["2024-02-15".parse().unwrap(), "2024-03-10".parse().unwrap()],
        ..files.options("attributes.csv", "two.parquet")
    };
    pipeline::build(&two, &Silent).unwrap();
    let both = read(Path::new(&files.path("two.parquet")));
    let ids = both.column(0).as_string::<i32>();
    let ages = both.column_by_name("attribute_age").unwrap().as_primitive::<Float64Type>();
    let of_first: Vec<f64> =
        (0..both.num_rows()).filter(|&row| ids.value(row) == "C1").map(|row| ages.value(row)).collect();
    assert_eq!(of_first, [40.0, 50.0]);
}

/// Remembers what it was told.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<String>>);

impl Observer for Told {
    fn stage(&self, _: &str) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }

    fn warn(&self, text: &str) {
        self.note(text);
    }
}

#[test]
fn what_cannot_be_known_or_used_is_told() {
    let files = Files::new();
    let always = attributes().replace(",valid_from\n", "\n").replace(",2023-05-01\n", "\n");
    files.write("attributes.csv", &format!("{always}C1,Graz,true,1.5\n,Graz,true,3\n"));
    let told = Told::default();
    pipeline::build(&files.options("attributes.csv", "f.parquet"), &told).unwrap();
    let told = told.0.into_inner().unwrap().join("\n");
    for wanted in [
        "there is no `valid_from`: rows are taken to have held always",
        "1 rows say what another says",
        "1 rows have no customer",
        "1 customers with attributes have no event before as_of: they get no row",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }

    let refused = |table: &str, code: ExitCode, wanted: &str| {
        let error = files.build(table).unwrap_err();
        assert_eq!(error.exit_code(), code, "{}", error.to_text());
        assert!(error.to_text().contains(wanted), "{}", error.to_text());
    };
    let conflict = "2 rows of customer `C1` that differ and hold from the same time on";
    refused(&format!("{always}C1,Linz,true,1.5\n"), ExitCode::DataRejected, conflict);
    refused(&format!("{}C1,Linz,true,1,2023-05-01\n", attributes()), ExitCode::DataRejected, conflict);
    refused("who,city\nC1,Graz\n", ExitCode::DataRejected, "customer_id");
    let unreadable: String = (0..20).map(|row| format!("X{row},Graz,true,1,soon\n")).collect();
    refused(&(attributes() + &unreadable), ExitCode::DataRejected, "unusable");
    let kept = fs::read_to_string(files.path("rejects-attributes.ndjson")).unwrap();
    assert_eq!(kept.lines().count(), 20);
    let missing = files.options("no such table.csv", "f.parquet");
    let error = pipeline::build(&missing, &Silent).unwrap_err();
    assert!(error.to_text().contains("no such table.csv"), "{}", error.to_text());
}

#[test]
fn a_bundle_learns_from_attributes_and_says_when_they_are_not_given() {
    let root = tempfile::tempdir().unwrap();
    let events = shop(root.path(), 500);
    let all = bellwether::events::Events::open(std::slice::from_ref(&events), &Config::default()).unwrap();
    let mut reader = all.reader(Default::default(), None).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    while let Some(batches) = reader.next_round().unwrap() {
        for batch in batches {
            let mut digits = bellwether::events::Digits::default();
            ids.extend((0..batch.len()).map(|row| batch.customer.text(row, &mut digits).to_string()));
        }
    }
    let mut table = String::from("customer_id,region,valid_from\n");
    for (index, id) in ids.iter().enumerate() {
        table.push_str(&format!("{id},{},2023-01-01\n", ["north", "south"][index % 2]));
    }
    let path = root.path().join("attributes.csv");
    fs::write(&path, &table).unwrap();
    let lean = config(&format!(
        "[features]\nwindows = [7, 30, 90]\nmax_categories = 5\n[attributes]\npath = {:?}\n[training]\ncutoffs = 2\n\
         bootstrap_resamples = 10\n[target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n",
        path.display().to_string()
    ));
    let as_of = Some("2024-07-01".parse().unwrap());
    let fit = |name: &str| {
        let fit = FitOptions {
            export_features: None,
            attributes: Vec::new(),
            events: vec![events.clone()],
            config: lean.clone(),
            as_of,
            out: root.path().join(name),
            rejects: None,
            dry_run: false,
            budget: Budget::default(),
            lists: ListFiles::default(),
        };
        pipeline::fit(fit, &Silent).unwrap().bundle
    };
    let run = |name: &str| {
        let run = RunOptions {
            as_of,
            with_features: true,
            ..RunOptions::new(root.path().join(name), vec![events.clone()], root.path().join(format!("{name}-scores")))
        };
        let told = Told::default();
        let (_, scores) = pipeline::run(&run, &told).unwrap();
        (read(&scores.join("part-00000.parquet")), told.0.into_inner().unwrap().join("\n"))
    };
    let bundle = fit("first");
    assert!(bundle.manifest.features.iter().any(|feature| feature.name == "attribute_region_north"));
    let (scores, told) = run("first");
    assert!(!told.contains("is missing"), "{told}");
    let north = scores.column_by_name("attribute_region_north").unwrap();
    assert_eq!(north.null_count(), 0);

    // What holds from the day of the scores on was not known to the fit, nor to the scores.
    let planted = ids.iter().map(|id| format!("{id},moon,2024-07-01\n")).collect::<String>();
    fs::write(&path, table.clone() + &planted).unwrap();
    let again = fit("again");
    assert_eq!(bundle.manifest.features, again.manifest.features);
    assert!(bundle.parameters == again.parameters, "planted attributes changed the models");
    assert_eq!(run("first").0, scores);

    // A bundle whose table is gone is an error; one that is given another table, a warning.
    fs::write(&path, "customer_id,other\nC1,x\n").unwrap();
    let (without, told) = run("first");
    assert!(told.contains("attribute `region`, which is not given"), "{told}");
    assert_eq!(without.num_rows(), scores.num_rows());
    fs::remove_file(&path).unwrap();
    let missing =
        pipeline::catalogue(std::slice::from_ref(&events), &[], &lean, as_of, &Budget::default(), &Silent).unwrap_err();
    assert!(missing.to_text().contains("attributes.csv"), "{}", missing.to_text());
}

#[test]
fn attributes_that_the_budget_does_not_hold_are_refused_with_one_that_does() {
    const ROWS: i64 = 40_000;
    let files = Files::new();
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let number: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| (row % 7) as f64)));
    let names: Vec<String> = (0..140).map(|column| format!("number {column}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), Arc::clone(&number)));
    let table = RecordBatch::try_from_iter(std::iter::once(("customer_id", id)).chain(columns)).unwrap();
    let file = File::create(files.path("wide.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    let within = |mebibytes: u64| {
        let budget = Budget { bytes: Some(mebibytes << 20), folder: None };
        pipeline::build(&BuildOptions { budget, ..files.options("wide.parquet", "f.parquet") }, &Silent)
    };
    let error = within(256).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.to_string().starts_with("the attributes take "), "{error}");
    assert!(!Path::new(&files.path("f.parquet")).exists());
    let hint = error.explain().hints().remove(0);
    let advised = hint.strip_prefix("give `--memory ").and_then(|hint| hint.strip_suffix("MiB` or more"));
    assert!(within(advised.expect("a size").parse().unwrap()).is_ok(), "{hint}");
}
