//! Real event data, read as found; the figures are those of each data set's README.

use std::path::PathBuf;

use bellwether::config::Config;
use bellwether::error::Explain;
use bellwether::events::batch::Digits;
use bellwether::events::{CheckReport, Events, EventsError, ExtraValues, ReadLimit, ReadSummary, check};

/// The files below `../shared/datasets`, or `None` with one line when they are not there.
fn dataset(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(name);
    if path.exists() {
        return Some(path.display().to_string());
    }
    eprintln!("skipped: ../shared/datasets/{name} is not here");
    None
}

fn config(text: &str) -> Config {
    Config::parse(text, std::path::Path::new("test.toml")).unwrap()
}

fn read(path: &str, config: &Config) -> Result<ReadSummary, EventsError> {
    let events = Events::open(&[path.to_string()], config)?;
    let mut reader = events.reader(ReadLimit::default(), None)?;
    while reader.next_round()?.is_some() {}
    reader.finish()
}

fn checked(path: &str, config: &Config) -> CheckReport {
    check(&Events::open(&[path.to_string()], config).unwrap(), config).unwrap()
}

fn events(report: &CheckReport) -> Vec<(&str, u64)> {
    report.events.iter().map(|count| (count.name.as_str(), count.rows)).collect()
}

#[test]
fn every_parquet_file_is_read_without_a_configuration() {
    // rows, customers, first and last time, events of customers
    let wanted: [(&str, u64, u64, &str, &str, u64); 11] = [
        ("cdnow/events_full.parquet", 69_659, 23_570, "1997-01-01 00:00:00", "1998-06-30 00:00:00", 0),
        ("cdnow/events_sample.parquet", 6_919, 2_357, "1997-01-01 00:00:00", "1998-06-30 00:00:00", 0),
        ("coffee_vending/events.parquet", 3_636, 1_316, "2024-03-01 10:15:00", "2025-03-23 18:11:00", 89),
        ("complete_journey/events.parquet", 108_691, 2_406, "2016-11-14 05:00:00", "2018-01-01 03:47:38", 0),
        ("grocery_elog/events.parquet", 10_483, 1_525, "2006-01-01 00:00:00", "2007-12-30 00:00:00", 0),
        ("hillstrom/events_nominal_dates.parquet", 116_666, 64_000, "2007-03-01 00:00:00", "2008-03-08 01:00:00", 0),
        ("homegoods_ru/events.parquet", 7_474, 2_451, "2018-10-01 00:00:00", "2020-01-31 15:00:00", 0),
        ("lgsr_grocery_a/events.parquet", 1_214_348, 2_475, "2006-04-10 08:00:00", "2008-07-06 21:00:00", 0),
        ("online_retail/events.parquet", 541_909, 4_372, "2010-12-01 08:26:00", "2011-12-09 12:50:00", 135_080),
        ("relay_foods/events.parquet", 2_891, 757, "2009-01-06 00:00:00", "2010-03-09 00:00:00", 0),
        ("retailrocket_sample/events.parquet", 5_169, 1_092, "2015-05-03 06:54:22", "2015-09-18 02:35:01", 0),
    ];
    for (name, rows, customers, first, last, anonymous) in wanted {
        let Some(path) = dataset(name) else { continue };
        let report = checked(&path, &Config::default());
        let summary = &report.summary;
        assert_eq!((summary.rows, summary.anonymous_rows, summary.rejected()), (rows, anonymous, 0), "{name}");
        assert_eq!(summary.used, rows - anonymous, "{name}");
        assert_eq!(report.customers, customers, "{name}");
        assert_eq!(report.first.as_deref(), Some(first), "{name}");
        assert_eq!(report.last.as_deref(), Some(last), "{name}");
        assert!(report.to_text().contains("can be learned"), "{name}");
    }
}

#[test]
fn complete_journey_keeps_its_events_apart() {
    let Some(path) = dataset("complete_journey/events.parquet") else { return };
    let report = checked(&path, &Config::default());
    assert_eq!(events(&report), [("purchase", 100_000), ("campaign_received", 6_589), ("coupon_redeemed", 2_102)]);
    assert_eq!(report.orders.unwrap().orders, 56_625);
}

#[test]
fn raw_online_retail_is_read_without_a_configuration() {
    let Some(path) = dataset("online_retail/online_retail_raw_first_50k.csv.gz") else { return };
    let events = Events::open(std::slice::from_ref(&path), &Config::default()).unwrap();
    let mapping = events.mapping().to_string();
    for line in ["`CustomerID`", "`InvoiceDate`", "`UnitPrice` \u{d7} `Quantity`", "`InvoiceNo`", "`StockCode`"] {
        assert!(mapping.contains(line), "{line} in\n{mapping}");
    }
    // Batches keep the hashes of orders only; a column that is mapped to nothing is read as it stands.
    let unmapped = Events::open(&[path], &config("[events.columns]\norder_id = ''\n")).unwrap();
    let mut reader = unmapped.reader(ReadLimit::default(), None).unwrap().with_extras(&["InvoiceNo"]).unwrap();
    let mut digits = Digits::default();
    let (mut customers, mut returns, mut n) = (std::collections::BTreeSet::new(), 0, 0);
    while let Some(round) = reader.next_round().unwrap() {
        for batch in round {
            let ExtraValues::Numbers(invoices) = &batch.extras[0].values else { panic!("mostly numbers") };
            let values = batch.value.as_ref().unwrap();
            for row in 0..batch.len() {
                n += 1;
                customers.insert(batch.customer.text(row, &mut digits).to_string());
                let event = batch.event.names[batch.event.codes[row] as usize].as_str();
                assert_eq!(event == "return", values[row] < 0.0 || batch.quantity.as_ref().unwrap()[row] < 0.0);
                let is_cancelled = invoices[row].is_nan(); // `C536379` is no number
                assert_eq!(event == "return", is_cancelled, "with a customer, negative units are cancelled invoices");
                returns += usize::from(event == "return");
            }
        }
    }
    let summary = reader.finish().unwrap();
    assert_eq!((summary.rows, summary.anonymous_rows, summary.rejected()), (50_000, 17_881, 0));
    assert_eq!((summary.used, n), (32_119, 32_119));
    assert!(returns > 500, "{returns}");
    assert_eq!(summary.extra_faults.get("InvoiceNo"), Some(&(returns as u64)));
    assert!(customers.contains("17850") && customers.iter().all(|name| name.parse::<u32>().is_ok()));
    assert_eq!(summary.first_time, Some(1_291_191_960_000_000), "2010-12-01 08:26:00");
}

#[test]
fn raw_coffee_sales_are_read_without_a_configuration() {
    let Some(path) = dataset("coffee_vending/coffee_original.csv") else { return };
    let report = checked(&path, &Config::default());
    assert_eq!((report.summary.rows, report.summary.anonymous_rows, report.summary.rejected()), (3_636, 89, 0));
    assert_eq!(report.customers, 1_316);
    assert_eq!(report.first.as_deref(), Some("2024-03-01 10:15:00"));
    assert_eq!(report.last.as_deref(), Some("2025-03-23 18:11:00"));
    let cortado = report.spellings.iter().find(|spelling| spelling.names.iter().any(|count| count.name == "Cortado"));
    assert!(cortado.is_some_and(|spelling| spelling.names.len() > 1), "{:?}", report.spellings);
    assert!(report.problems().is_empty(), "{:?}", report.problems());
}

const CDNOW: &str = "[events]\nformat = 'csv'\ndelimiter = 'whitespace'\nheader = false\n\
    names = ['customer_id', 'sample_id', 'date', 'cds', 'dollars']\n[events.columns]\nquantity = 'cds'\n";

#[test]
fn raw_cdnow_is_read_with_names() {
    let Some(path) = dataset("cdnow/CDNOW_sample.txt") else { return };
    let report = checked(&path, &config(CDNOW));
    assert_eq!((report.summary.rows, report.summary.used, report.customers), (6_919, 6_919, 2_357));
    assert_eq!(report.first.as_deref(), Some("1997-01-01 00:00:00"));
    assert_eq!(report.last.as_deref(), Some("1998-06-30 00:00:00"));
    assert_eq!(report.orders.as_ref().unwrap().orders, 6_696, "customer-days");
    assert!((report.orders.as_ref().unwrap().repeat_share - 0.483).abs() < 0.0005);
    // Without names there is no telling, and the error says what to write.
    let error = Events::open(&[path], &Config::default()).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("whitespace")), "{:?}", error.hints());
}

#[test]
fn raw_homegoods_are_read_with_cyrillic_names() {
    let Some(path) = dataset("homegoods_ru/homegoods_original.csv") else { return };
    let report = checked(&path, &config("timezone = 'Europe/Moscow'\ncurrency = 'RUB'\n"));
    assert_eq!((report.summary.rows, report.summary.used, report.customers), (7_474, 7_474, 2_451));
    assert_eq!(report.first.as_deref(), Some("2018-10-01 00:00:00"));
    assert_eq!(report.last.as_deref(), Some("2020-01-31 15:00:00"));
    let orders = report.orders.as_ref().unwrap();
    assert_eq!(orders.conflicting, 29);
    assert_eq!(report.money.as_ref().unwrap().max, 675_000.0);
}

#[test]
fn a_master_file_with_another_header_says_what_is_missing() {
    let Some(path) = dataset("cdnow/CDNOW_master.txt.gz") else { return };
    let error = read(&path, &Config::default()).unwrap_err();
    assert!(matches!(error, EventsError::MissingColumns { .. }), "{error}");
}
