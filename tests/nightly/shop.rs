//! A simulated shop, a bundle fitted to its first 400 days, and the programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

pub use super::files::tree;
pub use super::tables::read;

pub const TRAIN: &str = env!("CARGO_BIN_EXE_bellwether-train");
pub const SCORE: &str = env!("CARGO_BIN_EXE_bellwether-score");

/// Days of history that the bundle has seen.
pub const FITTED: i32 = 400;

/// Horizon of the single targets, and of the categories.
pub const HORIZON: i32 = 60;

const CONFIG: &str = "[features]\nwindows = [7, 30, 90]\nmax_categories = 8\n\
                      [training]\ncutoffs = 3\nbootstrap_resamples = 20\n\
                      [target.churn]\nkind = \"absence\"\nhorizon_days = 60\neligible = \"purchases >= 1\"\n\
                      [target.orders]\nkind = \"count\"\nhorizon_days = 60\n\
                      [target.value]\nkind = \"amount\"\nhorizon_days = 60\n\
                      [target.buys]\nkind = \"presence\"\nper = \"category\"\ntop = 3\nhorizon_days = 30\n";

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }
}

/// A command line, split at blanks, in `folder`.
pub fn command(program: &str, folder: &Path, line: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(line.split_whitespace());
    command
}

pub fn run(program: &str, folder: &Path, line: &str) -> Ended {
    Ended::of(command(program, folder, line).output().unwrap())
}

pub fn done(program: &str, folder: &Path, line: &str) -> Ended {
    let ended = run(program, folder, line);
    assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
    ended
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

pub fn write(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = cast(batch.column_by_name(column).unwrap_or_else(|| panic!("{column}")), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}

pub fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = cast(batch.column_by_name(column).unwrap_or_else(|| panic!("{column}")), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

/// One event as it stands in the files.
#[derive(Debug, Clone)]
pub struct Event {
    pub customer: String,
    pub time: i64,
    pub received: i64,
    pub event: String,
    pub value: f64,
    pub order: Option<String>,
}

pub struct Shop {
    folder: TempDir,
    pub start: Day,
    /// Files of events.
    pub files: Vec<PathBuf>,
}

impl Shop {
    /// The day so many days after the first.
    pub fn day(&self, days: i32) -> Day {
        self.start.plus(days)
    }

    /// The day at which the fit ends.
    pub fn fitted_at(&self) -> Day {
        self.day(FITTED)
    }

    pub fn events(&self) -> String {
        self.folder.path().join("shop/events").display().to_string()
    }

    pub fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    pub fn bundle_id(&self) -> String {
        fs::read_to_string(self.models().join("current")).unwrap().trim().to_string()
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("shop.toml")
    }

    /// `run` over all events up to `day`; more flags follow.
    pub fn line(&self, day: Day, more: &str) -> String {
        format!("run --quiet --bundle {} --events {} --as-of {day} {more}", self.models().display(), self.events())
    }

    /// All events, in no order.
    pub fn all_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for file in &self.files {
            let batch = read(file);
            let (customers, kinds, orders) =
                (texts(&batch, "customer_id"), texts(&batch, "event"), texts(&batch, "order_id"));
            let values = numbers(&batch, "value");
            let [times, received] = ["ts", "received_at"].map(|name| {
                batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().clone()
            });
            for row in 0..batch.num_rows() {
                events.push(Event {
                    customer: customers[row].clone().unwrap(),
                    time: times[row],
                    received: received[row],
                    event: kinds[row].clone().unwrap(),
                    value: values[row].unwrap_or(f64::NAN),
                    order: orders[row].clone(),
                });
            }
        }
        events
    }

    /// A copy of the event files, each changed by `change`, in `folder`.
    pub fn changed(&self, folder: &Path, change: impl Fn(RecordBatch) -> RecordBatch) -> String {
        fs::create_dir_all(folder).unwrap();
        for file in &self.files {
            write(&folder.join(file.file_name().unwrap()), &change(read(file)));
        }
        folder.display().to_string()
    }
}

/// The shop of all tests: 1,500 customers, 840 days, some events late. The simulation is seeded, so that all is fixed.
pub fn shop() -> &'static Shop {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let simulation =
            Simulation { customers: 1_500, days: 840, seed: 11, late_share: 0.03, ..Simulation::default() };
        let simulated = simulate(&simulation, &folder.path().join("shop"), &|_| {}).unwrap();
        let shop = Shop { folder, start: simulation.start, files: simulated.files };
        fs::write(shop.config(), CONFIG).unwrap();
        let line = format!(
            "fit --quiet --events {} --config {} --as-of {} --out {}",
            shop.events(),
            shop.config().display(),
            shop.fitted_at(),
            shop.models().display()
        );
        done(TRAIN, shop.folder.path(), &line);
        shop
    })
}
