//! The files hold what the truth file counts, and tell sensible stories.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bellwether::simulate::Simulation;
use bellwether::time::{DAY_MICROS, Day};

use super::shop::{Event, assert_share, customers, events, make, many_blocks, orders, truth};
use super::tables::read;

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
