//! A simulated shop is what its truth file says: counts, laws, and the same bytes wherever it is made.
//!
//! Statistics of seeded data are compared with closed forms. Each tolerance is a number of Monte-Carlo
//! standard errors, computed from the very sample.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimestampMicrosecondType, UInt32Type};
use bellwether::error::Explain;
use bellwether::simulate::{Population, SimulateError, Simulated, Simulation, simulate};
use bellwether::time::{DAY_MICROS, Day};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Chosen tolerance: a sound statistic strays further once in 15,000 seeds, and the seeds are fixed.
const STANDARD_ERRORS: f64 = 4.0;

fn make(settings: &Simulation, out: &Path) -> Simulated {
    simulate(settings, out, &|_| {}).unwrap()
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn truth(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(folder.join("truth/truth.json")).unwrap()).unwrap()
}

/// Every file under a folder, by its path within.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, base: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                found.insert(path.strip_prefix(base).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// One row of the event files.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    customer: Option<String>,
    time: i64,
    event: String,
    value: Option<f64>,
    quantity: Option<f64>,
    product: Option<String>,
    category: Option<String>,
    channel: Option<String>,
    device: Option<String>,
    campaign: Option<String>,
    order: Option<String>,
    id: Option<String>,
    received: i64,
}

impl Event {
    fn day(&self) -> Day {
        Day::of_wall(self.time)
    }
}

fn events(made: &Simulated) -> Vec<Event> {
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
struct Customer {
    id: String,
    arrival_day: i32,
    buyer: bool,
    first_order_time: Option<f64>,
    purchase_rate: Option<f64>,
    leave_chance: Option<f64>,
    leaving_day: Option<i32>,
    mean_spend: Option<f64>,
    favourites: Vec<String>,
    control: bool,
    consent: bool,
    orders: u32,
    extra_orders: u32,
}

fn customers(folder: &Path) -> Vec<Customer> {
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
fn orders(events: &[Event]) -> HashMap<&str, BTreeMap<&str, (Day, f64)>> {
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
fn assert_mean(what: &str, draws: &[f64], expected: f64) {
    let n = draws.len() as f64;
    assert!(n > 1000.0, "{what}: {n} draws are too few to tell");
    let mean = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    let distance = (mean - expected) / error;
    assert!(distance.abs() < STANDARD_ERRORS, "{what}: {mean} ± {error}, expected {expected}: {distance} errors off");
}

/// Asserts that a share of independent trials is `expected`.
fn assert_share(what: &str, hits: usize, trials: usize, expected: f64) {
    assert!(trials > 500, "{what}: {trials} trials are too few to tell");
    let error = (expected * (1.0 - expected) / trials as f64).sqrt();
    let distance = (hits as f64 / trials as f64 - expected) / error;
    assert!(distance.abs() < STANDARD_ERRORS, "{what}: {hits} of {trials}, expected {expected}: {distance} errors off");
}

/// Expected repeat orders up to `t` after the first: Fader, Hardie & Lee (2005) eq. (9), Gauss series of 2F1.
fn expected_repeats(people: &Population, t: f64) -> f64 {
    let Population { r, alpha, a, b, .. } = *people;
    let z = t / (alpha + t);
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 0..100_000 {
        let n = f64::from(n);
        term *= (r + n) * (b + n) / ((a + b - 1.0 + n) * (n + 1.0)) * z;
        sum += term;
        if term < 1e-16 * sum {
            break;
        }
    }
    (a + b - 1.0) / (a - 1.0) * (1.0 - (alpha / (alpha + t)).powf(r) * sum)
}

#[test] // mpmath, 30 digits: (a+b-1)/(a-1)*(1-(al/(al+t))**r*hyp2f1(r,b,a+b-1,t/(al+t)))
fn the_closed_form_used_below_is_right() {
    let people = Population { r: 0.75, alpha: 60.0, a: 0.8, b: 2.5, ..Population::default() };
    for (t, expected) in [(100.0, 0.968_258_066_278_097_4), (540.0, 3.176_139_416_501_415)] {
        assert!((expected_repeats(&people, t) / expected - 1.0).abs() < 1e-12, "{t}");
    }
}

/// A long history makes many rows a customer, hence many blocks of few customers.
fn many_blocks() -> Simulation {
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

#[test]
fn the_bytes_are_the_same_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let made = [1, 2, 7].map(|threads| {
        let out = folder.path().join(format!("threads-{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let made = pool.install(|| make(&many_blocks(), &out));
        (made, files(&out))
    });
    assert!(made[0].0.files.len() >= 7, "{} blocks are too few to tell", made[0].0.files.len());
    for (other, bytes) in &made[1..] {
        assert_eq!(other.events, made[0].0.events);
        assert_eq!(bytes.keys().collect::<Vec<_>>(), made[0].1.keys().collect::<Vec<_>>());
        for (name, content) in bytes {
            assert!(content == &made[0].1[name], "{} differs", name.display());
        }
    }
}

#[test]
fn the_seed_decides_and_a_rerun_replaces_the_folder_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let settings = |seed| Simulation { customers: 300, seed, ..Simulation::default() };
    make(&settings(1), &out);
    let first = files(&out);
    fs::write(out.join("events/part-00001.parquet"), "left over").unwrap();
    make(&settings(1), &out);
    assert!(files(&out) == first, "the same seed gives the same bytes, and nothing else is left");
    make(&settings(2), &out);
    let other = files(&out);
    assert_ne!(other[Path::new("events/part-00000.parquet")], first[Path::new("events/part-00000.parquet")]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["shop"], "no temporary folder is left");
}

#[test]
fn progress_ends_at_every_customer() {
    let folder = tempfile::tempdir().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let settings = Simulation { customers: 3_000, ..many_blocks() };
    let made = simulate(&settings, &folder.path().join("shop"), &|done| seen.lock().unwrap().push(done)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), made.files.len());
    assert_eq!(seen.iter().max(), Some(&3_000));
}

#[test]
fn the_truth_file_counts_what_is_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let settings =
        Simulation { customers: 6_000, seed: 11, late_share: 0.1, dirty_share: 0.05, ..Simulation::default() };
    let made = make(&settings, &out);
    let truth = truth(&out);
    let counts = &truth["counts"];
    let events = events(&made);
    let customers = customers(&out);
    let ids: HashSet<&str> = customers.iter().map(|customer| customer.id.as_str()).collect();
    assert_eq!(customers.len(), 6_000);
    assert_eq!(ids.len(), 6_000);
    assert_eq!(truth["settings"], serde_json::to_value(&settings).unwrap());
    assert_eq!(truth["event_files"], made.files.len());
    assert_eq!((made.events, made.customers), (events.len() as u64, 6_000));
    assert_eq!(counts["rows"], events.len());

    // Each dirty row shows its kind; what is left over is sound. The odd days as python's
    // `(date(1, 1, 1) - date(1970, 1, 1)).days` and `(date(9999, 12, 31) - date(1970, 1, 1)).days`.
    let mut dirty: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut sound = Vec::new();
    let last = settings.start.plus(settings.days as i32).start_micros();
    for event in &events {
        let repeated = !seen.insert(event.id.clone().unwrap());
        let kind = match (event.customer.as_deref(), event.value) {
            (None, _) => "null_customer",
            (Some(""), _) => "empty_customer",
            (Some(id), _) if !ids.contains(id) => "odd_unicode_customer",
            (_, Some(value)) if value.is_nan() => "nan_value",
            (_, Some(value)) if value == f64::INFINITY => "positive_infinite_value",
            (_, Some(value)) if value == f64::NEG_INFINITY => "negative_infinite_value",
            _ if event.day() == Day(-719_162) => "year_0001",
            _ if event.day() == Day(2_932_896) => "year_9999",
            _ if repeated => "repeated_event_id",
            _ => {
                assert!(settings.start.start_micros() <= event.time && event.time < last);
                sound.push(event.clone());
                continue;
            }
        };
        *dirty.entry(kind).or_default() += 1;
    }
    assert_eq!(counts["dirty_rows_by_kind"], serde_json::to_value(&dirty).unwrap());
    assert_eq!(counts["dirty_rows"], dirty.values().sum::<u64>());
    assert_eq!(made.dirty_events, dirty.values().sum::<u64>());
    assert_share("dirty rows", made.dirty_events as usize, sound.len(), 0.05);

    assert_eq!(counts["sound_rows"], sound.len());
    let mut by_event: BTreeMap<&str, u64> = BTreeMap::new();
    let mut cents: BTreeMap<&str, i64> = BTreeMap::new();
    for event in &sound {
        *by_event.entry(&event.event).or_default() += 1;
        if let Some(value) = event.value {
            *cents.entry(&event.event).or_default() += (value * 100.0).round() as i64;
        }
    }
    assert_eq!(counts["sound_rows_by_event"], serde_json::to_value(&by_event).unwrap());
    assert_eq!(by_event["register"], 6_000);
    for (event, cents) in cents {
        assert_eq!(counts["sound_value_by_event"][event].as_f64().unwrap(), cents as f64 / 100.0, "{event}");
    }

    let late: Vec<&Event> = sound.iter().filter(|event| event.received - event.time > 60_000_000).collect();
    assert_eq!(counts["late_sound_rows"], late.len());
    assert_share("late rows", late.len(), sound.len(), 0.1);
    assert!(sound.iter().all(|event| event.received > event.time));
    assert!(late.iter().all(|event| event.received - event.time <= 5 * DAY_MICROS));

    let orders = orders(&sound);
    assert_eq!(counts["orders"], orders.values().map(BTreeMap::len).sum::<usize>());
    assert_eq!(made.orders, counts["orders"].as_u64().unwrap());
    assert_eq!(counts["customers_with_orders"], orders.len());
    let mut truths = [0_usize; 5];
    for customer in &customers {
        let own = orders.get(customer.id.as_str()).map_or(0, BTreeMap::len);
        assert_eq!(customer.orders as usize, own, "{}", customer.id);
        truths[0] += usize::from(!customer.buyer);
        truths[1] += usize::from(customer.leaving_day.is_some());
        truths[2] += usize::from(customer.control);
        truths[3] += usize::from(customer.consent);
        truths[4] += customer.extra_orders as usize;
    }
    let names = ["never_buyers", "customers_who_left", "control_customers", "consenting_customers", "extra_orders"];
    for (name, count) in names.into_iter().zip(truths) {
        assert_eq!(counts[name], count, "{name}");
        assert!(count > 0, "{name}");
    }
    let days: BTreeSet<Day> = sound.iter().map(Event::day).collect();
    assert_eq!((made.first_day, made.last_day), (*days.first().unwrap(), *days.last().unwrap()));
    assert_eq!(truth["first_day"], made.first_day.to_string());
    assert_eq!(truth["last_day"], made.last_day.to_string());
}

#[test]
fn each_file_is_sorted_by_time_and_the_folder_of_events_holds_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let made = make(&Simulation { customers: 2_500, ..many_blocks() }, &out);
    for (number, file) in made.files.iter().enumerate() {
        assert!(file.ends_with(format!("events/part-{number:05}.parquet")));
        let times = cast(read(file).column_by_name("ts").unwrap(), &DataType::Int64).unwrap();
        let times = times.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        assert!(times.is_sorted());
    }
    assert_eq!(fs::read_dir(out.join("events")).unwrap().count(), made.files.len());
}

#[test]
fn dirt_and_lateness_leave_the_sound_rows_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let clean = Simulation { customers: 400, event_ids: true, ..Simulation::default() };
    let dirty = Simulation { dirty_share: 0.3, late_share: 0.3, ..clean.clone() };
    let clean = events(&make(&clean, &folder.path().join("clean")));
    let dirty = events(&make(&dirty, &folder.path().join("dirty")));
    let mut by_id: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &dirty {
        by_id.entry(event.id.as_deref().unwrap()).or_default().push(event);
    }
    assert!(dirty.len() > clean.len() * 5 / 4);
    for event in &clean {
        for same in &by_id[event.id.as_deref().unwrap()] {
            assert_eq!(&Event { received: event.received, ..(*same).clone() }, event);
        }
    }
}

#[test]
fn every_kind_of_dirt_is_as_likely() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let made = make(&Simulation { customers: 6_000, dirty_share: 1.0, ..Simulation::default() }, &out);
    let kinds = truth(&out)["counts"]["dirty_rows_by_kind"].clone();
    assert_eq!(made.dirty_events * 2, made.events);
    for (kind, rows) in kinds.as_object().unwrap() {
        assert_share(kind, rows.as_u64().unwrap() as usize, made.dirty_events as usize, 1.0 / 9.0);
    }
}

#[test]
fn a_clean_shop_tells_sensible_stories() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let made = make(&Simulation { customers: 4_000, seed: 5, ..Simulation::default() }, &out);
    let events = events(&made);
    assert!(events.iter().all(|event| event.id.is_none()), "no column of event ids unless asked for");
    let truth = truth(&out);
    let offers: HashSet<&str> = truth["campaigns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|campaign| campaign["uplift"] == true)
        .map(|campaign| campaign["name"].as_str().unwrap())
        .collect();
    let mut lives: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &events {
        lives.entry(event.customer.as_deref().unwrap()).or_default().push(event);
    }
    let categories = ["shoes", "ski", "handbags", "books", "garden", "toys", "sports", "electronics", "home", "beauty"];
    let mut sold = BTreeSet::new();
    let mut favourite_lines = 0;
    let mut lines = 0;
    for customer in &customers(&out) {
        let life = &lives[customer.id.as_str()];
        assert_eq!(life[0].event, "register", "{}", customer.id);
        assert_eq!(life[0].day(), Day(customer.arrival_day));
        assert_eq!(life.iter().filter(|event| event.event == "register").count(), 1);
        if !customer.buyer {
            assert!(life.iter().all(|event| event.event != "purchase" && event.event != "return"));
        }
        let offered = life.iter().any(|event| event.campaign.as_deref().is_some_and(|name| offers.contains(name)));
        assert!(!(offered && (customer.control || !customer.consent)), "{} gets no offers", customer.id);
        let mut order_days = HashSet::new();
        let mut order_times: HashMap<&str, i64> = HashMap::new();
        for (place, event) in life.iter().enumerate() {
            let before = |name: &str| {
                life[..place].iter().any(|other| {
                    other.event == name && other.product == event.product && event.time - other.time < 3_600_000_000
                })
            };
            let category = event.category.as_deref();
            match event.event.as_str() {
                "purchase" => {
                    assert!(before("view") && before("cart"), "{event:?}");
                    assert!(event.value.unwrap() > 0.0 && event.quantity.unwrap() >= 1.0);
                    let order = event.order.as_deref().unwrap();
                    assert_eq!(*order_times.entry(order).or_insert(event.time), event.time, "lines share an instant");
                    order_days.insert(event.day());
                    sold.insert(category.unwrap());
                    assert!(event.product.as_deref().unwrap().starts_with(category.unwrap()));
                    lines += 1;
                    favourite_lines +=
                        usize::from(customer.favourites.iter().any(|name| Some(name.as_str()) == category));
                }
                "return" => {
                    let line = life[..place].iter().find(|other| {
                        other.event == "purchase"
                            && (&other.order, &other.product, &other.quantity)
                                == (&event.order, &event.product, &event.quantity)
                            && other.value == event.value.map(|value| -value)
                    });
                    let days = event.day().since(line.expect("a return of a line").day());
                    assert!((3..=20).contains(&days));
                }
                "play" => {
                    assert!(["poker", "slots"].contains(&category.unwrap()));
                    assert!(event.value.unwrap() != 0.0);
                }
                "email_send" | "email_open" | "email_click" => {
                    assert_eq!(event.channel.as_deref(), Some("email"));
                    assert!(event.campaign.is_some() && customer.consent);
                }
                "view" | "cart" => assert!(categories.contains(&category.unwrap()) && event.value.is_none()),
                "register" | "login" => assert!(event.value.is_none()),
                other => panic!("unknown event {other}"),
            }
        }
        assert_eq!(order_days.len(), order_times.len(), "days with an order are orders");
        assert_eq!(order_days.len(), customer.orders as usize);
        let mailed: BTreeSet<_> =
            life.iter().filter(|event| event.event == "email_send").map(|e| &e.campaign).collect();
        assert!(life.iter().filter(|event| event.event == "email_open").all(|event| mailed.contains(&event.campaign)));
    }
    assert_eq!(sold.into_iter().collect::<Vec<_>>().len(), categories.len());
    assert!(favourite_lines * 10 > lines * 6, "the three favourites of ten make {favourite_lines} of {lines} lines");
    let per_customer = made.events as f64 / made.customers as f64;
    assert!((15.0..30.0).contains(&per_customer), "about twenty events a customer, got {per_customer}");
}

#[test]
fn buying_and_leaving_follow_bg_nbd() {
    let folder = tempfile::tempdir().unwrap();
    for seasonality in [false, true] {
        let out = folder.path().join("shop");
        // `campaigns` without uplift orders: off. Few visits, since they do not matter here.
        let population =
            Population { visit_rate: 0.0, research_share: 0.0, player_share: 0.0, ..Population::default() };
        let settings = Simulation {
            customers: 60_000,
            seed: 3,
            seasonality,
            campaigns: false,
            population: population.clone(),
            ..Simulation::default()
        };
        make(&settings, &out);
        let season = truth(&out)["season"].clone();
        let factor = |day: i32| {
            let day = settings.start.plus(day);
            if !seasonality {
                return 1.0;
            }
            season["month_factors"][day.civil().1 as usize - 1].as_f64().unwrap()
                * season["weekday_factors_from_monday"][day.weekday()].as_f64().unwrap()
        };
        let mut business = vec![0.0];
        for day in 0..settings.days as i32 {
            business.push(business[day as usize] + factor(day));
        }
        let elapsed = |time: f64| {
            let day = time as usize;
            business[settings.days as usize] - business[day] - (time - day as f64) * factor(day as i32)
        };
        let customers = customers(&out);
        let buyers: Vec<&Customer> = customers.iter().filter(|customer| customer.buyer).collect();
        assert_share("never buying", customers.len() - buyers.len(), customers.len(), 1.0 - population.buyer_share);
        let rates: Vec<f64> = buyers.iter().map(|customer| customer.purchase_rate.unwrap()).collect();
        assert_mean("lambda", &rates, population.r / population.alpha);
        let squares: Vec<f64> = rates.iter().map(|rate| rate * rate).collect();
        assert_mean("lambda squared", &squares, population.r * (population.r + 1.0) / population.alpha.powi(2));
        let chances: Vec<f64> = buyers.iter().map(|customer| customer.leave_chance.unwrap()).collect();
        assert_mean("leaving", &chances, population.a / (population.a + population.b));
        let (mut repeats, mut none, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for customer in buyers {
            let Some(first) = customer.first_order_time else {
                assert_eq!(customer.orders, 0);
                continue;
            };
            let t = elapsed(first);
            let x = f64::from(customer.orders) - 1.0;
            // Differences from the expectation given t, whose mean is 0.
            repeats.push(x - expected_repeats(&population, t));
            let nothing = (population.alpha / (population.alpha + t)).powf(population.r);
            none.push(f64::from(u8::from(x == 0.0)) - nothing);
            // Given p, leaving has the chance p at each repeat order: a martingale.
            left.push(f64::from(u8::from(customer.leaving_day.is_some())) - customer.leave_chance.unwrap() * x);
        }
        assert_mean("repeat orders", &repeats, 0.0);
        assert_mean("customers without repeat orders", &none, 0.0);
        assert_mean("customers who left", &left, 0.0);
    }
}

#[test]
fn spend_follows_gamma_gamma() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    // q = 9 gives the product below a variance, without which it would have no standard error.
    let population = Population { p: 4.0, q: 9.0, gamma: 100.0, buyer_share: 1.0, ..Population::default() };
    let settings = Simulation { customers: 12_000, seed: 9, population, ..Simulation::default() };
    let made = make(&settings, &out);
    let events = events(&made);
    let orders = orders(&events);
    let Population { p, q, gamma, .. } = settings.population;
    let mean = p * gamma / (q - 1.0);
    let (mut first, mut products, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for customer in customers(&out) {
        let Some(own) = orders.get(customer.id.as_str()) else { continue };
        let mut values: Vec<(Day, f64)> = own.values().copied().collect();
        values.sort_by_key(|&(day, _)| day);
        first.push(values[0].1);
        ratios.push(values[0].1 / customer.mean_spend.unwrap());
        if let [(_, one), (_, two), ..] = values[..] {
            products.push((one - mean) * (two - mean));
        }
    }
    assert_mean("value of an order", &first, mean);
    assert_mean("value of an order against the customer's mean", &ratios, 1.0);
    // Two orders of a customer share nu alone: their covariance is that of p / nu.
    assert_mean("covariance of two orders", &products, (p * gamma).powi(2) / ((q - 1.0).powi(2) * (q - 2.0)));
    let truth = truth(&out);
    assert!((truth["expected"]["mean_order_value"].as_f64().unwrap() - mean).abs() < 1e-12);
}

#[test]
fn an_offer_lifts_orders_by_what_the_truth_says() {
    /// Opened within 3 days, ordered within 7 more, and put off by a few days where days are taken.
    const WINDOW: i32 = 14;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let population = Population {
        control_share: 0.5,
        consent_share: 1.0,
        offer_share: 1.0,
        visit_rate: 0.0,
        buyer_share: 1.0,
        player_share: 0.0,
        ..Population::default()
    };
    let settings = Simulation { customers: 25_000, seed: 4, population, ..Simulation::default() };
    let made = make(&settings, &out);
    let truth = truth(&out);
    let end = settings.start.plus(settings.days as i32);
    let offers: Vec<Day> = truth["campaigns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|campaign| campaign["uplift"] == true)
        .map(|campaign| campaign["day"].as_str().unwrap().parse::<Day>().unwrap())
        .filter(|day| day.plus(WINDOW) <= end)
        .collect();
    let events = events(&made);
    let orders = orders(&events);
    // Orders in the windows and number of windows of each customer: treated, control.
    let mut groups = [Vec::new(), Vec::new()];
    for customer in customers(&out) {
        let Some(first) = customer.first_order_time else { continue };
        let first = settings.start.plus(first as i32);
        let days: HashSet<Day> = orders[customer.id.as_str()].values().map(|&(day, _)| day).collect();
        let (mut ordered, mut windows) = (0.0, 0.0);
        for &offer in &offers {
            // Being active through the window is no effect of the offer: nobody leaves after an extra order.
            if first < offer && customer.leaving_day.is_none_or(|left| offer.plus(WINDOW).0 < left) {
                windows += 1.0;
                ordered += (0..WINDOW).filter(|&day| days.contains(&offer.plus(day))).count() as f64;
            }
        }
        assert!(!customer.control || customer.extra_orders == 0);
        groups[usize::from(customer.control)].push((ordered, windows));
    }
    // Ratio of means with its linearised variance (Cochran 1977, eq. 2.39); customers are independent.
    let [treated, control] = groups.map(|group| {
        let windows: f64 = group.iter().map(|(_, windows)| windows).sum();
        let rate = group.iter().map(|(ordered, _)| ordered).sum::<f64>() / windows;
        let squares: f64 = group.iter().map(|(ordered, windows)| (ordered - rate * windows).powi(2)).sum();
        (rate, squares / windows.powi(2))
    });
    let (lift, error) = (treated.0 - control.0, (treated.1 + control.1).sqrt());
    let expected = truth["expected"]["extra_orders_per_offer_sent_to_an_active_buyer"].as_f64().unwrap();
    assert!((expected - 2.0 / 8.0 * (0.05 + 0.2 * 0.2)).abs() < 1e-12);
    assert!(lift > STANDARD_ERRORS * error, "{lift} ± {error} is a lift beyond doubt");
    assert!((lift - expected).abs() < STANDARD_ERRORS * error, "{lift} ± {error}, expected {expected}");
}

#[test]
fn games_pay_at_their_odds() {
    let folder = tempfile::tempdir().unwrap();
    let population = Population { player_share: 1.0, play_rate: 0.1, ..Population::default() };
    let settings = Simulation { customers: 400, seed: 2, population, ..Simulation::default() };
    let made = make(&settings, &folder.path().join("shop"));
    let events = events(&made);
    for (game, chance) in [("poker", 0.475), ("slots", 0.094)] {
        let plays: Vec<f64> =
            events.iter().filter(|e| e.category.as_deref() == Some(game)).map(|e| e.value.unwrap()).collect();
        assert_share(game, plays.iter().filter(|&&value| value > 0.0).count(), plays.len(), chance);
    }
}

#[test]
fn switches_switch() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let quiet = Simulation { customers: 3_000, campaigns: false, seasonality: false, ..Simulation::default() };
    let events = events(&make(&quiet, &out));
    assert!(events.iter().all(|event| event.campaign.is_none() && !event.event.starts_with("email")));
    let truth = truth(&out);
    assert_eq!(truth["counts"]["extra_orders"], 0);
    assert!(truth["season"].is_null());
    assert_eq!(truth["campaigns"].as_array().unwrap().len(), 0);
}

#[test]
fn the_smallest_shop_is_a_shop() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(&Simulation { customers: 1, days: 1, ..Simulation::default() }, &folder.path().join("a/b/shop"));
    assert!(made.events >= 1);
    assert_eq!((made.customers, made.files.len()), (1, 1));
    assert_eq!((made.first_day, made.last_day), ("2024-01-01".parse().unwrap(), "2024-01-01".parse().unwrap()));
}

#[test]
fn a_folder_of_something_else_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Simulation { customers: 10, ..Simulation::default() };
    let refused = |out: &Path| simulate(&settings, out, &|_| {}).unwrap_err();

    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = refused(folder.path());
    let SimulateError::NotASimulation { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(found, "thesis.txt");
    assert!(!error.hints().is_empty());
    assert_eq!(files(folder.path()).len(), 1, "nothing was added");

    // A truth file of another kind makes no simulation.
    fs::create_dir(folder.path().join("truth")).unwrap();
    fs::write(folder.path().join("truth/truth.json"), r#"{"made_by": "hand"}"#).unwrap();
    assert!(matches!(refused(folder.path()), SimulateError::NotASimulation { .. }));

    let file = folder.path().join("thesis.txt");
    assert!(matches!(refused(&file), SimulateError::NotAFolder { .. }));
    let error = refused(&file.join("below"));
    assert!(matches!(error, SimulateError::File(_)), "{error:?}");
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "years of work");
    assert!(simulate(&settings, Path::new(""), &|_| {}).is_err());

    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    make(&settings, &empty);
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let error = simulate(&Simulation { days: 0, ..Simulation::default() }, &out, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "`days` must be 1 to 3650, got 0");
    assert!(!out.exists());
}
