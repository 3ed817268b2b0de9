//! A simulated shop as its files tell it, and comparisons with closed forms.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimestampMicrosecondType, UInt32Type};
use bellwether::simulate::{Population, Simulated, Simulation, simulate};
use bellwether::time::Day;

use super::tables::read;

/// Chosen tolerance: a sound statistic strays further once in 15,000 seeds, and the seeds are fixed.
pub const STANDARD_ERRORS: f64 = 4.0;

pub fn make(settings: &Simulation, out: &Path) -> Simulated {
    simulate(settings, out, &|_| {}).unwrap()
}

pub fn truth(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(folder.join("truth/truth.json")).unwrap()).unwrap()
}

/// One row of the event files.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub customer: Option<String>,
    pub time: i64,
    pub event: String,
    pub value: Option<f64>,
    pub quantity: Option<f64>,
    pub product: Option<String>,
    pub category: Option<String>,
    pub channel: Option<String>,
    pub device: Option<String>,
    pub campaign: Option<String>,
    pub order: Option<String>,
    pub id: Option<String>,
    pub received: i64,
}

impl Event {
    pub fn day(&self) -> Day {
        Day::of_wall(self.time)
    }
}

pub fn events(made: &Simulated) -> Vec<Event> {
    let mut events = Vec::new();
    for file in &made.files {
        let batch = read(file);
        let text = |name: &str| {
            let column = batch.column_by_name(name)?;
            assert_eq!(column.data_type(), &DataType::Utf8, "{name} reads as plain strings");
            Some(column.as_string::<i32>().clone())
        };
        let number = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
        let time = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            assert_eq!(column.data_type().to_string(), "Timestamp(µs, \"UTC\")");
            column.as_primitive::<TimestampMicrosecondType>().clone()
        };
        let names = ["customer_id", "event", "product", "category", "channel", "device", "campaign", "order_id"];
        let columns = names.map(|name| text(name).unwrap());
        let ids = text("event_id");
        let (ts, received) = (time("ts"), time("received_at"));
        let (value, quantity) = (number("value"), number("quantity"));
        for row in 0..batch.num_rows() {
            let label = |column: usize| columns[column].is_valid(row).then(|| columns[column].value(row).to_string());
            events.push(Event {
                customer: label(0),
                time: ts.value(row),
                event: label(1).unwrap(),
                value: value.is_valid(row).then(|| value.value(row)),
                quantity: quantity.is_valid(row).then(|| quantity.value(row)),
                product: label(2),
                category: label(3),
                channel: label(4),
                device: label(5),
                campaign: label(6),
                order: label(7),
                id: ids.as_ref().map(|ids| ids.value(row).to_string()),
                received: received.value(row),
            });
        }
    }
    events
}

/// One row of `truth/customers.parquet`.
pub struct Customer {
    pub id: String,
    pub arrival_day: i32,
    pub buyer: bool,
    pub first_order_time: Option<f64>,
    pub purchase_rate: Option<f64>,
    pub leave_chance: Option<f64>,
    pub leaving_day: Option<i32>,
    pub mean_spend: Option<f64>,
    pub favourites: Vec<String>,
    pub control: bool,
    pub consent: bool,
    pub orders: u32,
    pub extra_orders: u32,
}

pub fn customers(folder: &Path) -> Vec<Customer> {
    let batch = read(&folder.join("truth/customers.parquet"));
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let number = |name: &str, row: usize| {
        let column = column(name).as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let day = |name: &str, row: usize| {
        let column = column(name).as_primitive::<Date32Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let count = |name: &str, row: usize| column(name).as_primitive::<UInt32Type>().value(row);
    (0..batch.num_rows())
        .map(|row| {
            let favourites = column("favourite_categories").as_list::<i32>().value(row);
            Customer {
                id: column("customer_id").as_string::<i32>().value(row).to_string(),
                arrival_day: day("arrival_day", row).unwrap(),
                buyer: column("buyer").as_boolean().value(row),
                first_order_time: number("first_order_time", row),
                purchase_rate: number("purchase_rate", row),
                leave_chance: number("leave_chance", row),
                leaving_day: day("leaving_day", row),
                mean_spend: number("mean_spend", row),
                favourites: favourites.as_string::<i32>().iter().map(|name| name.unwrap().to_string()).collect(),
                control: column("uplift_group").as_string::<i32>().value(row) == "control",
                consent: column("mail_consent").as_boolean().value(row),
                orders: count("orders", row),
                extra_orders: count("extra_orders", row),
            }
        })
        .collect()
}

/// Value of each order and its day, by customer, from the rows.
pub fn orders(events: &[Event]) -> HashMap<&str, BTreeMap<&str, (Day, f64)>> {
    let mut orders: HashMap<&str, BTreeMap<&str, (Day, f64)>> = HashMap::new();
    for event in events.iter().filter(|event| event.event == "purchase") {
        let customer = orders.entry(event.customer.as_deref().unwrap()).or_default();
        let order = customer.entry(event.order.as_deref().unwrap()).or_insert((event.day(), 0.0));
        assert_eq!(order.0, event.day());
        order.1 += event.value.unwrap();
    }
    orders
}

/// Asserts that the mean of independent draws is `expected`.
pub fn assert_mean(what: &str, draws: &[f64], expected: f64) {
    let n = draws.len() as f64;
    assert!(n > 1000.0, "{what}: {n} draws are too few to tell");
    let mean = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    let distance = (mean - expected) / error;
    assert!(distance.abs() < STANDARD_ERRORS, "{what}: {mean} ± {error}, expected {expected}: {distance} errors off");
}

/// Asserts that a share of independent trials is `expected`.
pub fn assert_share(what: &str, hits: usize, trials: usize, expected: f64) {
    assert!(trials > 500, "{what}: {trials} trials are too few to tell");
    let error = (expected * (1.0 - expected) / trials as f64).sqrt();
    let distance = (hits as f64 / trials as f64 - expected) / error;
    assert!(distance.abs() < STANDARD_ERRORS, "{what}: {hits} of {trials}, expected {expected}: {distance} errors off");
}

/// A long history makes many rows a customer, hence many blocks of few customers.
pub fn many_blocks() -> Simulation {
    let population = Population { arrival_share: 0.01, play_rate: 0.1, ..Population::default() };
    Simulation {
        customers: 9_000,
        days: 3_650,
        seed: 7,
        late_share: 0.05,
        dirty_share: 0.01,
        population,
        ..Simulation::default()
    }
}
