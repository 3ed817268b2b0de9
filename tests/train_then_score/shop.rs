//! Events in memory, in files, and the trial that most tests look at.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use bellwether::config::Config;
use bellwether::error::Error;
use bellwether::lists::ListFiles;
use bellwether::pipeline::{self, FitOptions, FitResult, RunOptions};
use bellwether::progress::Silent;
use bellwether::scores::ScoreManifest;
use bellwether::simulate::{Population, Simulation, simulate};
use bellwether::time::{DAY_MICROS, Day};
use bellwether::timeline::Budget;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

pub use super::tables::read;

/// One event as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub customer: String,
    pub time: i64,
    pub event: String,
    pub value: Option<f64>,
    pub quantity: Option<f64>,
    pub category: Option<String>,
    pub channel: Option<String>,
    pub campaign: Option<String>,
    pub order: Option<String>,
    pub received: i64,
}

impl Row {
    /// An event of a customer on a day, received at once.
    pub fn new(customer: &str, day: Day, event: &str, value: Option<f64>) -> Self {
        let time = day.start_micros() + 12 * 3_600_000_000;
        Self {
            customer: customer.to_string(),
            time,
            event: event.to_string(),
            value,
            quantity: None,
            category: None,
            channel: None,
            campaign: None,
            order: None,
            received: time,
        }
    }

    /// Whether it may be seen at `as_of`.
    pub fn is_known_at(&self, as_of: Day) -> bool {
        self.time < as_of.start_micros() && self.received < as_of.start_micros()
    }

    /// Days from the event to `as_of`.
    pub fn age(&self, as_of: Day) -> f64 {
        (as_of.start_micros() - self.time) as f64 / DAY_MICROS as f64
    }
}

pub fn read_events(files: &[PathBuf]) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in files {
        let batch = read(file);
        let text = |name: &str| -> Vec<Option<String>> {
            let column = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
            column.as_string::<i32>().iter().map(|cell| cell.map(str::to_string)).collect()
        };
        let number = |name: &str| -> Vec<Option<f64>> {
            batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().iter().collect()
        };
        let time = |name: &str| -> Vec<i64> {
            batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
        };
        let [customer, event, category] = ["customer_id", "event", "category"].map(text);
        let [channel, campaign, order] = ["channel", "campaign", "order_id"].map(text);
        let [value, quantity] = ["value", "quantity"].map(number);
        let [times, received] = ["ts", "received_at"].map(time);
        for row in 0..batch.num_rows() {
            rows.push(Row {
                customer: customer[row].clone().unwrap(),
                time: times[row],
                event: event[row].clone().unwrap(),
                value: value[row],
                quantity: quantity[row],
                category: category[row].clone(),
                channel: channel[row].clone(),
                campaign: campaign[row].clone(),
                order: order[row].clone(),
                received: received[row],
            });
        }
    }
    rows
}

/// Writes events as Parquet; a column in which nothing stands is left out.
pub fn write_parquet(path: &Path, rows: &[Row]) {
    let text =
        |cell: fn(&Row) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(cell).collect::<StringArray>()) };
    let number =
        |cell: fn(&Row) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(cell).collect::<Float64Array>()) };
    let time = |cell: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(cell)).with_timezone("UTC"))
    };
    let columns = [
        ("customer_id", text(|row| Some(&row.customer))),
        ("ts", time(|row| row.time)),
        ("event", text(|row| Some(&row.event))),
        ("value", number(|row| row.value)),
        ("quantity", number(|row| row.quantity)),
        ("category", text(|row| row.category.as_deref())),
        ("channel", text(|row| row.channel.as_deref())),
        ("campaign", text(|row| row.campaign.as_deref())),
        ("order_id", text(|row| row.order.as_deref())),
        ("received_at", time(|row| row.received)),
    ];
    let filled = columns.into_iter().filter(|(_, column)| column.null_count() < rows.len());
    let batch = RecordBatch::try_from_iter(filled).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Writes events as CSV; numbers in the shortest form that reads back as they were.
pub fn write_csv(path: &Path, rows: &[Row]) {
    let time = |micros: i64| jiff::Timestamp::from_microsecond(micros).unwrap().to_string();
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:?}"));
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let mut writer = csv::Writer::from_path(path).unwrap();
    let names = [
        "customer_id",
        "ts",
        "event",
        "value",
        "quantity",
        "category",
        "channel",
        "campaign",
        "order_id",
        "received_at",
    ];
    writer.write_record(names).unwrap();
    for row in rows {
        writer
            .write_record([
                row.customer.clone(),
                time(row.time),
                row.event.clone(),
                number(row.value),
                number(row.quantity),
                text(&row.category),
                text(&row.channel),
                text(&row.campaign),
                text(&row.order),
                time(row.received),
            ])
            .unwrap();
    }
    writer.flush().unwrap();
}

pub fn config(text: &str) -> Config {
    Config::parse(text, Path::new("test.toml")).unwrap()
}

/// The default targets with fewer categories, windows and resamples: the same code in a fraction of the time.
pub fn lean() -> Config {
    config(&format!("{LEAN}{TARGETS}"))
}

pub const LEAN: &str = "[features]\nwindows = [7, 30, 90]\nmax_categories = 12\n\
                        [training]\ncutoffs = 3\nbootstrap_resamples = 10\n";

pub const TARGETS: &str = "[target.churn]\nkind = \"absence\"\nhorizon_days = 90\neligible = \"purchases >= 1\"\n\
                           [target.orders]\nkind = \"count\"\nhorizon_days = 90\n\
                           [target.value]\nkind = \"amount\"\nhorizon_days = 90\n\
                           [target.buys]\nkind = \"presence\"\nper = \"category\"\ntop = 7\nhorizon_days = 30\n";

pub fn fit(events: &Path, config: &Config, as_of: Option<Day>, out: &Path) -> Result<FitResult, Error> {
    let options = FitOptions {
        export_features: None,
        attributes: Vec::new(),
        events: vec![events.display().to_string()],
        config: config.clone(),
        as_of,
        out: out.to_path_buf(),
        rejects: None,
        dry_run: false,
        budget: Budget::default(),
        lists: ListFiles::default(),
    };
    pipeline::fit(options, &Silent)
}

pub fn run(bundle: &Path, events: &Path, as_of: Option<Day>, out: &Path) -> Result<(ScoreManifest, PathBuf), Error> {
    let options = RunOptions {
        as_of,
        with_features: true,
        // Days far from the last event are scored by many tests; gates have tests of their own.
        max_gap: Some(u16::MAX),
        force: true,
        ..RunOptions::new(bundle.to_path_buf(), vec![events.display().to_string()], out.to_path_buf())
    };
    pipeline::run(&options, &Silent)
}

/// A fit and the scores of the day at which it ends.
pub struct Trial {
    pub folder: TempDir,
    pub as_of: Day,
    pub events: PathBuf,
    /// What may be seen at `as_of`, and nothing else: these are in `events`.
    pub known: Vec<Row>,
    /// What was left out.
    pub future: Vec<Row>,
    pub models: PathBuf,
    pub bundle: PathBuf,
    pub fitted: FitResult,
    pub partition: PathBuf,
    pub manifest: ScoreManifest,
    pub scores: Scores,
}

impl Trial {
    pub fn new(simulation: &Simulation, history_days: i32, config: &Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulated = simulate(simulation, &folder.path().join("shop"), &|_| {}).unwrap();
        let as_of = simulation.start.plus(history_days);
        let (known, future): (Vec<Row>, Vec<Row>) =
            read_events(&simulated.files).into_iter().partition(|row| row.is_known_at(as_of));
        let events = folder.path().join("events.parquet");
        write_parquet(&events, &known);
        let models = folder.path().join("models");
        let fitted = fit(&events, config, Some(as_of), &models).unwrap();
        let bundle = fitted.folder.clone().unwrap();
        let (manifest, partition) = run(&models, &events, Some(as_of), &folder.path().join("scores")).unwrap();
        let scores = Scores::read(&partition);
        Self { folder, as_of, events, known, future, models, bundle, fitted, partition, manifest, scores }
    }
}

/// The shop of most tests: 450 days of history, late events, many players, orders that are worth something.
pub fn shop() -> &'static Trial {
    static SHOP: OnceLock<Trial> = OnceLock::new();
    SHOP.get_or_init(|| {
        let population = Population { gamma: 200.0, player_share: 0.3, play_rate: 0.1, ..Population::default() };
        let simulation =
            Simulation { customers: 1_800, days: 480, seed: 3, late_share: 0.05, population, ..Simulation::default() };
        Trial::new(&simulation, 450, &lean())
    })
}

/// A score file.
pub struct Scores {
    pub batch: RecordBatch,
}

impl Scores {
    pub fn read(partition: &Path) -> Self {
        Self { batch: read(&partition.join("part-00000.parquet")) }
    }

    pub fn column(&self, name: &str) -> &ArrayRef {
        self.batch.column_by_name(name).unwrap_or_else(|| panic!("no column `{name}`"))
    }

    pub fn ids(&self) -> Vec<&str> {
        self.text("customer_id").into_iter().map(Option::unwrap).collect()
    }

    pub fn text(&self, name: &str) -> Vec<Option<&str>> {
        self.column(name).as_string::<i32>().iter().collect()
    }

    pub fn numbers(&self, name: &str) -> Vec<Option<f64>> {
        let column = cast(self.column(name), &DataType::Float64).unwrap();
        column.as_primitive::<Float64Type>().iter().collect()
    }

    pub fn percentiles(&self, name: &str) -> Vec<Option<u8>> {
        self.column(name).as_any().downcast_ref::<UInt8Array>().unwrap().iter().collect()
    }

    /// A prediction by customer.
    pub fn by_customer(&self, name: &str) -> BTreeMap<String, Option<f64>> {
        self.ids().into_iter().map(str::to_string).zip(self.numbers(name)).collect()
    }
}
