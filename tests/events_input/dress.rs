//! One content in every format, type and layout reads alike.

use std::io::Write;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::Int8Type;
use bellwether::config::Config;
use bellwether::error::{Explain, Reason};
use bellwether::events::batch::{Digits, product_hash};
use bellwether::events::{Events, NO_LABEL, ReadLimit};
use bellwether::time::Day;
use tempfile::TempDir;

use super::{CSV, config, lenient, lines, read, read_with, texts, write, write_parquet};

const LINES: [&str; 3] = [
    "1 2024-03-01+36900 purchase 2.5 1 shoes p1 o1",
    "2 2024-03-01+0 view NaN NaN ski, alpine line\nfeed -",
    "3 2024-03-03+1 return -2.5 -1 shoes p1 o1",
];

#[test]
fn one_content_reads_alike_in_every_dress() {
    let folder = TempDir::new().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(CSV.as_bytes()).unwrap();
    let mut two_members = gzip.finish().unwrap();
    let mut empty_member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    empty_member.write_all(b"\n").unwrap();
    two_members.extend(empty_member.finish().unwrap());
    let ndjson = "{\"customer_id\":1,\"ts\":\"2024-03-01 10:15:00\",\"event\":\"purchase\",\"value\":2.5,\"quantity\":1,\"category\":\"shoes\",\"product\":\"p1\",\"order_id\":\"o1\"}\n\
        {\"customer_id\":2.0,\"ts\":\"2024-03-01\",\"event\":\"view\",\"category\":\"ski, alpine\",\"product\":\"line\\nfeed\",\"value\":null}\n\n\
        {\"customer_id\":null,\"ts\":\"2024-03-02\",\"event\":\"purchase\",\"value\":7,\"quantity\":1}\n\
        {\"order_id\":\"o1\",\"customer_id\":\"3\",\"ts\":\"2024-03-03 00:00:01\",\"event\":\"return\",\"value\":-2.5,\"quantity\":-1,\"category\":\"shoes\",\"product\":\"p1\"}";
    let crlf = format!("\u{feff}{}", CSV.replace('\n', "\r\n").replace("line\r\nfeed", "line\nfeed"));
    for (name, content) in [
        ("a.csv", CSV.as_bytes().to_vec()),
        ("crlf.csv", crlf.into_bytes()),
        ("packed", two_members),
        ("zstd.csv", zstd::encode_all(CSV.as_bytes(), 3).unwrap()),
        (
            "semicolon.csv",
            CSV.replace("ski, alpine", "ski\u{1}alpine").replace(',', ";").replace('\u{1}', ", ").into_bytes(),
        ),
        (
            "tabs.tsv",
            CSV.replace("ski, alpine", "ski\u{1}alpine").replace(',', "\t").replace('\u{1}', ", ").into_bytes(),
        ),
        ("a.ndjson", ndjson.as_bytes().to_vec()),
        ("sniffed", ndjson.as_bytes().to_vec()),
        ("no_final_feed.csv", CSV.trim_end().as_bytes().to_vec()),
    ] {
        let path = write(&folder, name, content);
        let (events, summary) = read(&path, &Config::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(events, LINES, "{name}");
        assert_eq!(
            (summary.rows, summary.used, summary.anonymous_rows, summary.anonymous_value),
            (4, 3, 1, 7.0),
            "{name}"
        );
        assert_eq!(summary.rejected(), 0);
    }
}

#[test]
fn parquet_reads_alike_in_every_type() {
    let folder = TempDir::new().unwrap();
    let micros = [
        Some(1_709_288_100_000_000),
        Some(1_709_251_200_000_000),
        Some(1_709_337_600_000_000),
        Some(1_709_424_001_000_000),
    ];
    let scaled = |divisor: i64| micros.map(|at| at.map(|at: i64| at / divisor)).to_vec();
    let customers: Vec<ArrayRef> = vec![
        texts(&[Some("1"), Some(" 2"), Some(""), Some("3.0")]),
        Arc::new(LargeStringArray::from(vec![Some("1"), Some("2"), None, Some("3")])),
        Arc::new(StringViewArray::from(vec![Some("1"), Some("2"), Some("None"), Some("3")])),
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(3)])),
        Arc::new(UInt16Array::from(vec![Some(1), Some(2), None, Some(3)])),
        Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), Some(f64::NAN), Some(3.0)])),
        Arc::new(
            Decimal128Array::from(vec![Some(100), Some(200), None, Some(300)]).with_precision_and_scale(10, 2).unwrap(),
        ),
        Arc::new(BinaryArray::from(vec![Some(&b"1"[..]), Some(b"2"), None, Some(b"3")])),
        Arc::new(vec![Some("1"), Some("2"), None, Some("3")].into_iter().collect::<DictionaryArray<Int8Type>>()),
    ];
    let times: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(micros.to_vec())),
        Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("+05:00")),
        Arc::new(TimestampMillisecondArray::from(scaled(1000))),
        Arc::new(TimestampSecondArray::from(scaled(1_000_000))),
        Arc::new(TimestampNanosecondArray::from(micros.map(|at| at.map(|at| at * 1000)).to_vec())),
        Arc::new(Int64Array::from(scaled(1000))),
        Arc::new(UInt64Array::from(micros.map(|at| at.map(|at| at as u64)).to_vec())),
        Arc::new(Float64Array::from(micros.map(|at| at.map(|at| at as f64 / 1e6)).to_vec())),
        texts(&[
            Some("2024-03-01T10:15:00Z"),
            Some("2024-03-01"),
            Some("2024-03-02"),
            Some("2024-03-03 01:00:01+01:00"),
        ]),
    ];
    let values: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(2.5), None, Some(7.0), Some(-2.5)])),
        Arc::new(Float32Array::from(vec![Some(2.5), None, Some(7.0), Some(-2.5)])),
        Arc::new(
            Decimal128Array::from(vec![Some(250), None, Some(700), Some(-250)])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        texts(&[Some("2.5"), Some(""), Some("7"), Some("-2.5")]),
    ];
    let events: Vec<ArrayRef> = vec![
        texts(&[Some("purchase"), Some("view"), Some("purchase"), Some("return")]),
        Arc::new(vec!["purchase", "view", "purchase", "return"].into_iter().collect::<DictionaryArray<Int8Type>>()),
    ];
    for at in 0..9 {
        let columns = vec![
            ("customer_id", customers[at].clone()),
            ("ts", times[at].clone()),
            ("event", events[at % 2].clone()),
            ("value", values[at % 4].clone()),
            ("quantity", Arc::new(Int32Array::from(vec![Some(1), None, Some(1), Some(-1)])) as ArrayRef),
            ("category", texts(&[Some("shoes"), Some("ski, alpine"), Some("unseen"), Some("shoes")])),
            ("product", texts(&[Some("p1"), Some("line\nfeed"), None, Some("p1")])),
            ("order_id", texts(&[Some("o1"), Some(" "), None, Some("o1 ")])),
            (
                "tags",
                Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![
                    Some(vec![Some(1)]);
                    4
                ])) as ArrayRef,
            ),
        ];
        let path = write_parquet(&folder, &format!("{at}.parquet"), columns, 3);
        let (events, summary) =
            read(&path, &Config::default()).unwrap_or_else(|error| panic!("{at}: {error} {:?}", error.details()));
        assert_eq!(events, LINES, "variant {at}");
        assert_eq!((summary.rows, summary.anonymous_rows, summary.anonymous_value), (4, 1, 7.0), "variant {at}");
    }
}

#[test]
fn dates_in_parquet_are_wall_time_and_instants_are_moved() {
    let folder = TempDir::new().unwrap();
    let vienna = config("timezone = 'Europe/Vienna'");
    let midnight = 1_709_251_200_000_000; // 2024-03-01 00:00
    for (times, wanted) in [
        (Arc::new(Date32Array::from(vec![19_783])) as ArrayRef, "1 2024-03-01+0 purchase NaN NaN - - -"),
        (Arc::new(Date64Array::from(vec![midnight / 1000])), "1 2024-03-01+0 purchase NaN NaN - - -"),
        (Arc::new(TimestampMicrosecondArray::from(vec![midnight])), "1 2024-03-01+0 purchase NaN NaN - - -"),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![midnight]).with_timezone("UTC")),
            "1 2024-03-01+3600 purchase NaN NaN - - -",
        ),
        (Arc::new(Int64Array::from(vec![midnight / 1_000_000])), "1 2024-03-01+3600 purchase NaN NaN - - -"),
        (Arc::new(Int64Array::from(vec![20_240_301])), "1 2024-03-01+0 purchase NaN NaN - - -"),
    ] {
        let path = write_parquet(&folder, "t.parquet", vec![("user_id", texts(&[Some("1")])), ("date", times)], 10);
        assert_eq!(read(&path, &vienna).unwrap().0, [wanted]);
    }
}

#[test]
fn folders_tell_columns() {
    let folder = TempDir::new().unwrap();
    write(&folder, "category=shoes/day=1/a.csv", "customer_id,ts,value\n1,2024-03-01,1\n");
    write(&folder, "category=__HIVE_DEFAULT_PARTITION__/day=2/b.csv", "value,ts,customer_id\n2,2024-03-02,2\n");
    let one =
        [("customer_id", texts(&[Some("3")])), ("ts", texts(&[Some("2024-03-03")])), ("value", texts(&[Some("3")]))];
    write_parquet(&folder, "category=ski%20alpine/day=3/c.parquet", one.to_vec(), 10);
    write(&folder, "rejects.ndjson", "{}");
    write(&folder, "_SUCCESS", "");
    let spec = folder.path().display().to_string();
    let (events, summary) = read(&spec, &Config::default()).unwrap();
    let wanted = [
        "2 2024-03-02+0 purchase 2 NaN - - -",
        "1 2024-03-01+0 purchase 1 NaN shoes - -",
        "3 2024-03-03+0 purchase 3 NaN ski alpine - -",
    ];
    assert_eq!(events, wanted);
    let names: Vec<&str> = summary.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names[1], "category=shoes/day=1/a.csv");
    let hash = blake3::hash(b"customer_id,ts,value\n1,2024-03-01,1\n").to_hex().to_string();
    assert_eq!(summary.files[1].blake3, hash);
    let glob = format!("{spec}/category=s*/*/*");
    assert_eq!(read(&glob, &Config::default()).unwrap().0, wanted[1..]);
    let twice = [spec.clone(), glob];
    let (again, _) = read_with(&twice, &Config::default(), ReadLimit::default()).unwrap();
    assert_eq!(again, wanted, "each file once");
}

#[test]
fn the_future_is_counted_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let head = "customer_id,ts,value,event_id,received_at,category\n";
    let known = "1,2024-03-01 23:59:59,1,a,2024-03-02,x\n2,2024-02-01,2,b,,y\n";
    let future = "9,2024-03-03 00:00:00,nonsense,a,,z\n8,2024-02-02,7,b,2024-03-03 00:00,w\n";
    let limit = ReadLimit { as_of: "2024-03-03".parse().ok(), settle_days: 0 };
    let plain = write(&folder, "plain.csv", format!("{head}{known}"));
    let planted = write(&folder, "planted.csv", format!("{head}{future}{known}{future}"));
    let (without, _) = read_with(std::slice::from_ref(&plain), &Config::default(), limit).unwrap();
    let (with, summary) = read_with(&[planted], &Config::default(), limit).unwrap();
    assert_eq!(with, without);
    assert_eq!(with.len(), 2);
    assert_eq!((summary.rows, summary.used, summary.future_rows, summary.rejected()), (6, 2, 4, 0));
    assert_eq!(summary.last_time, Some("2024-03-01".parse::<Day>().unwrap().start_micros() + 86_399_000_000));

    let settling = ReadLimit { as_of: "2024-03-03".parse().ok(), settle_days: 2 };
    let (kept, summary) = read_with(std::slice::from_ref(&plain), &Config::default(), settling).unwrap();
    assert_eq!((kept.len(), summary.settling_rows, summary.future_rows), (1, 1, 0));

    let early = ReadLimit { as_of: "2024-01-01".parse().ok(), settle_days: 0 };
    let error = read_with(&[plain], &Config::default(), early).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::NoScoringData));
}

#[test]
fn the_same_future_is_left_out_of_parquet() {
    let folder = TempDir::new().unwrap();
    let columns = vec![
        ("customer_id", texts(&[Some("9"), Some("1"), Some("8"), Some("2")])),
        ("ts", texts(&[Some("2024-03-03"), Some("2024-03-01"), Some("2024-02-02"), Some("2024-02-01")])),
        ("value", texts(&[Some("nonsense"), Some("1"), Some("7"), Some("2")])),
        ("event_id", texts(&[Some("a"), Some("a"), Some("b"), Some("b")])),
        ("received_at", texts(&[None, None, Some("2024-03-03T00:00"), Some("2024-02-03")])),
        ("category", texts(&[Some("z"), Some("x"), Some("w"), Some("y")])),
    ];
    let path = write_parquet(&folder, "e.parquet", columns, 100);
    let limit = ReadLimit { as_of: "2024-03-03".parse().ok(), settle_days: 0 };
    let events = Events::open(&[path], &Config::default()).unwrap();
    let mut reader = events.reader(limit, None).unwrap();
    let batch = reader.next_round().unwrap().unwrap().remove(0);
    assert_eq!(batch.category.as_ref().unwrap().names, ["x", "y"], "labels of the future are not seen");
    assert_eq!(batch.received, Some(vec![19_783, 19_756]), "the day of the event where it is not told");
    assert!(reader.next_round().unwrap().is_none());
    let summary = reader.finish().unwrap();
    assert_eq!((summary.used, summary.future_rows, summary.rejected()), (2, 2, 0));
}

#[test]
fn batches_do_not_depend_on_threads() {
    let folder = TempDir::new().unwrap();
    let n = 150_000;
    let mut csv = String::from("customer_id,ts,value,category,event_id\n");
    let (mut customers, mut times, mut values, mut categories) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..n {
        let (customer, second, value, category) =
            (row % 977, row * 37, (row % 100) as f64 / 7.0, format!("c{}", row % 13));
        let name = if row % 50 == 0 { String::new() } else { format!("customer-{customer}") };
        let time = if row % 1000 == 999 { "?".into() } else { (1_700_000_000 + second).to_string() };
        csv.push_str(&format!("{name},{time},{value},{category},{}\n", row / 3 * 3 + (row % 3).min(1)));
        customers.push(name);
        times.push((1_700_000_000 + second) as i64);
        values.push(value);
        categories.push(category);
    }
    let csv = write(&folder, "many.csv", csv);
    let parquet = write_parquet(
        &folder,
        "many.parquet",
        vec![
            ("customer_id", Arc::new(StringArray::from(customers)) as ArrayRef),
            ("ts", Arc::new(Int64Array::from(times))),
            ("value", Arc::new(Float64Array::from(values))),
            ("category", Arc::new(StringArray::from(categories))),
        ],
        100_000,
    );
    for path in [csv, parquet] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let events = Events::open(std::slice::from_ref(&path), &lenient("")).unwrap();
                let kept = folder.path().join(format!("rejects-{threads}.ndjson"));
                let mut reader = events.reader(ReadLimit::default(), Some(&kept)).unwrap();
                let mut batches = Vec::new();
                while let Some(round) = reader.next_round().unwrap() {
                    batches.extend(round);
                }
                let summary = reader.finish().unwrap();
                let shape: Vec<_> =
                    batches.iter().map(|batch| (batch.len(), batch.category.clone().unwrap().names)).collect();
                let text = summary.rejects_file.as_ref().map(|path| std::fs::read(path).unwrap());
                (lines(&batches), shape, serde_json::to_string(&summary).unwrap(), text)
            })
        };
        let one = run(1);
        assert!(one.0.len() > 75_000);
        for threads in [2, 7] {
            assert!(run(threads) == one, "{path} with {threads} threads");
        }
    }
}

#[test]
fn pieces_of_a_long_row_group_join_without_a_seam() {
    let folder = TempDir::new().unwrap();
    let n = 1_100_000_i64;
    let columns = vec![
        ("customer_id", Arc::new(Int64Array::from_iter_values((0..n).map(|row| row * 7 % 1000))) as ArrayRef),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|row| 1_700_000_000_000_000 + row)))),
        (
            "category",
            Arc::new(StringArray::from_iter((0..n).map(|row| (row % 5 > 0).then(|| format!("c{}", row % 3))))),
        ),
        ("product", Arc::new(StringArray::from_iter_values((0..n).map(|row| format!("unique-{row}"))))),
    ];
    let path = write_parquet(&folder, "long.parquet", columns, 1 << 21);
    let events = Events::open(&[path], &Config::default()).unwrap();
    let mut reader = events.reader(ReadLimit::default(), None).unwrap();
    let mut row = 0;
    while let Some(round) = reader.next_round().unwrap() {
        for batch in round {
            let category = batch.category.as_ref().unwrap();
            for at in 0..batch.len() {
                assert_eq!(batch.time[at], 1_700_000_000_000_000 + row);
                assert_eq!(batch.customer.text(at, &mut Digits::default()), (row * 7 % 1000).to_string());
                assert_eq!(batch.product.as_ref().unwrap()[at], product_hash(&format!("unique-{row}")));
                let wanted = (row % 5 > 0).then(|| format!("c{}", row % 3));
                let found =
                    (category.codes[at] != NO_LABEL).then(|| category.names[category.codes[at] as usize].clone());
                assert_eq!(found, wanted);
                row += 1;
            }
        }
    }
    assert_eq!(row, n);
}

#[test]
fn a_configured_time_format_is_about_the_event() {
    let folder = TempDir::new().unwrap();
    let content = "user,when,received_at\n1,01.03.24 10h15,2024-03-02T00:00:00Z\n2,02.03.24 00h00,\n";
    let path = write(&folder, "two.csv", content);
    let config = config("[events]\ntime_format = '%d.%m.%y %Hh%M'\n[events.columns]\nts = 'when'");
    let events = Events::open(&[path], &config).unwrap();
    let mut reader = events.reader(ReadLimit::default(), None).unwrap();
    let batch = reader.next_round().unwrap().unwrap().remove(0);
    assert_eq!(batch.time, [1_709_288_100_000_000, 1_709_337_600_000_000]);
    assert_eq!(batch.received, Some(vec![19_784, 19_784]));
}

#[test]
fn one_row_is_enough_and_negative_rows_are_returns() {
    let folder = TempDir::new().unwrap();
    let path =
        write(&folder, "one.csv", "CustomerID;InvoiceDate;UnitPrice;Quantity\n17850.0;1.3.2024 8:26;\"1.234,50\";-2\n");
    let (events, summary) = read(&path, &Config::default()).unwrap();
    assert_eq!(events, ["17850 2024-03-01+30360 return -2469 -2 - - -"]);
    assert_eq!(summary.used, 1);
    assert_eq!(
        read(&path, &config("[events]\nnegative_event = ''\norder_event = 'sale'")).unwrap().0[0].split(' ').nth(2),
        Some("sale")
    );
}
