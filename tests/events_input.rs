//! Formats, mappings and limits on small files, and every kind of bad input with its exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Field, Int8Type, Schema};
use bellwether::config::Config;
use bellwether::error::{ExitCode, Explain, Reason};
use bellwether::events::batch::{Digits, order_hash, product_hash};
use bellwether::events::{EventBatch, Events, EventsError, NO_LABEL, ReadLimit, ReadSummary, RejectReason, check};
use bellwether::time::Day;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("test.toml")).unwrap()
}

/// Lenient about rejects, for tests that look at them.
fn lenient(text: &str) -> Config {
    let mut config = config(text);
    config.events.max_reject_share = 1.0;
    config
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Products and orders of these tests: batches keep their hashes only.
const HASHED: [&str; 3] = ["p1", "line\nfeed", "o1"];

/// Events as lines of text: what the batches hold, whatever their boundaries.
fn lines(batches: &[EventBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let label = |labels: &Option<bellwether::events::Labels>, row: usize| match labels {
            Some(labels) if labels.codes[row] != NO_LABEL => labels.names[labels.codes[row] as usize].clone(),
            _ => "-".into(),
        };
        let mut digits = Digits::default();
        let text = |hash: u64, of: &dyn Fn(&str) -> u64| match hash {
            0 => "-",
            hash => HASHED.into_iter().find(|text| of(text) == hash).expect("the hash of a text of these tests"),
        };
        for row in 0..batch.len() {
            let seconds = batch.time[row].rem_euclid(86_400_000_000) / 1_000_000;
            lines.push(format!(
                "{} {}+{seconds} {} {} {} {} {} {}",
                batch.customer.text(row, &mut digits),
                Day::of_wall(batch.time[row]),
                label(&Some(batch.event.clone()), row),
                batch.value.as_ref().map_or(f64::NAN, |values| values[row]),
                batch.quantity.as_ref().map_or(f32::NAN, |values| values[row]),
                label(&batch.category, row),
                text(batch.product.as_ref().map_or(0, |hashes| hashes[row].into()), &|text| product_hash(text).into()),
                text(batch.order.as_ref().map_or(0, |hashes| hashes[row]), &order_hash),
            ));
        }
    }
    lines
}

fn read_with(specs: &[String], config: &Config, limit: ReadLimit) -> Result<(Vec<String>, ReadSummary), EventsError> {
    let events = Events::open(specs, config)?;
    let mut reader = events.reader(limit, None)?;
    let mut batches = Vec::new();
    while let Some(round) = reader.next_round()? {
        assert!(round.iter().all(|batch| !batch.is_empty()));
        batches.extend(round);
    }
    let (done, total) = reader.progress();
    assert!(done <= total && total > 0);
    Ok((lines(&batches), reader.finish()?))
}

fn read(spec: &str, config: &Config) -> Result<(Vec<String>, ReadSummary), EventsError> {
    read_with(&[spec.to_string()], config, ReadLimit::default())
}

fn rejects(summary: &ReadSummary) -> Vec<(RejectReason, u64, u64, Option<&str>, &str)> {
    let count = |count: &'_ bellwether::events::RejectCount| (count.reason, count.rows, count.first.row);
    summary
        .rejects
        .values()
        .map(|one| (count(one).0, count(one).1, count(one).2, one.first.column.as_deref(), one.first.found.as_str()))
        .collect()
}

fn write_parquet(folder: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>, group_rows: usize) -> String {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(1000)
        .build();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.display().to_string()
}

fn texts(cells: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

const CSV: &str = "customer_id,ts,event,value,quantity,category,product,order_id\n\
    1,2024-03-01 10:15:00,purchase,2.5,1,shoes,p1,o1\n\
    2,2024-03-01,view,,,\"ski, alpine\",\"line\nfeed\",\n\
    ,2024-03-02,purchase,7,1,,,\n\
    3,2024-03-03 00:00:01,return,-2.5,-1,shoes,p1,o1\n";

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

const BROKEN: &str = "customer_id,ts,value,quantity,event_id,category\n\
    1,2024-03-01,1,1,a,x\n\
    1,soon,1,1,b,x\n\
    1,,1,1,b2,x\n\
    1,0001-01-01,1,1,c,x\n\
    1,9999-12-31,1,1,d,x\n\
    1,2024-03-01,NaN,1,e,x\n\
    1,2024-03-01,1,inf,f,x\n\
    1,2024-03-01,twelve,1,g,x\n\
    1,2024-03-01,1,1,a,x\n\
    1,2024-03-01\n\
    1,2024-03-01,1,1,h,x,y\n\
    1,2024-03-01,1,1,i,\u{0}\n\
    2,2024-03-01,1,1,,x\n\
    3,2024-03-01,1,1,,x\n";

#[test]
fn rejects_have_reason_place_and_content() {
    let folder = TempDir::new().unwrap();
    let mut content = BROKEN.as_bytes().to_vec();
    content.extend(b"4,2024-03-01,1,1,j,caf\xe9\n");
    let path = write(&folder, "broken.csv", &content);
    let (events, summary) = read(&path, &lenient("")).unwrap();
    assert_eq!(events.len(), 3, "{events:?}");
    let wanted = [
        (RejectReason::UnreadableTime, 2, 3, Some("ts"), "soon"),
        (RejectReason::TimeOutOfRange, 2, 5, Some("ts"), "0001-01-01"),
        (RejectReason::NonFiniteValue, 2, 7, Some("value"), "NaN"),
        (RejectReason::UnreadableNumber, 1, 9, Some("value"), "twelve"),
        (RejectReason::MalformedLine, 3, 11, None, "1,2024-03-01"),
        (RejectReason::RepeatedEventId, 1, 10, Some("event_id"), "a"),
        (RejectReason::UnreadableText, 1, 16, Some("category"), "caf\u{fffd}"),
    ];
    assert_eq!(rejects(&summary), wanted);
    assert_eq!(summary.rows, 15);
}

#[test]
fn rejects_of_parquet_and_ndjson_are_the_same() {
    let folder = TempDir::new().unwrap();
    let columns = vec![
        ("customer_id", texts(&[Some("1"), Some("1"), Some("1"), Some("1"), None])),
        ("ts", texts(&[Some("2024-03-01"), None, Some("9999-12-31"), Some("2024-03-01"), Some("2024-03-01")])),
        (
            "value",
            Arc::new(Float64Array::from(vec![Some(1.0), Some(1.0), Some(1.0), Some(f64::NAN), Some(f64::INFINITY)]))
                as ArrayRef,
        ),
        ("event_id", texts(&[Some("a"), Some("b"), Some("c"), Some("d"), Some("e")])),
    ];
    let (_, summary) = read(&write_parquet(&folder, "e.parquet", columns, 2), &lenient("")).unwrap();
    let wanted = [
        (RejectReason::UnreadableTime, 1, 2, Some("ts"), ""),
        (RejectReason::TimeOutOfRange, 1, 3, Some("ts"), "9999-12-31"),
        (RejectReason::NonFiniteValue, 2, 4, Some("value"), "NaN"),
    ];
    assert_eq!(rejects(&summary), wanted);
    let ndjson = "{\"customer_id\":1,\"ts\":\"2024-03-01\",\"category\":\"x\"}\n{\"customer_id\":[1],\"ts\":\"2024-03-01\"}\n{\"customer_id\":1,\n{\"customer_id\":1,\"ts\":{\"a\":1}}\n";
    let (_, summary) = read(&write(&folder, "e.ndjson", ndjson), &lenient("")).unwrap();
    let wanted = [
        (RejectReason::UnreadableTime, 1, 4, Some("ts"), "[...]"),
        (RejectReason::MalformedLine, 1, 3, None, "{\"customer_id\":1,"),
        (RejectReason::UnreadableText, 1, 2, Some("customer_id"), "[...]"),
    ];
    assert_eq!(rejects(&summary), wanted);
}

#[test]
fn too_many_rejects_stop_the_run_and_are_kept() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "broken.csv", BROKEN);
    let kept = folder.path().join("out/rejects.ndjson");
    let events = Events::open(&[path], &Config::default()).unwrap();
    let mut reader = events.reader(ReadLimit::default(), Some(&kept)).unwrap();
    while reader.next_round().unwrap().is_some() {}
    let error = reader.finish().unwrap_err();
    assert_eq!((error.exit_code(), error.reason()), (ExitCode::DataRejected, Some(Reason::TooManyRejects)));
    assert!(
        error.counts().contains(&("rejected", 11)) && error.counts().contains(&("malformed_line", 3)),
        "{:?}",
        error.counts()
    );
    assert!(error.details().iter().any(|line| line.contains("rejects.ndjson")));
    let text = std::fs::read_to_string(&kept).unwrap();
    let rows: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["row"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
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

/// The error of opening and reading, with the exit code it must have.
#[track_caller]
fn fails(specs: &[String], config: &Config, code: ExitCode) -> EventsError {
    let error = read_with(specs, config, ReadLimit::default()).unwrap_err();
    assert_eq!(error.exit_code() as u8, code as u8, "{error}");
    let text = bellwether::error::Error::from(error).to_text();
    assert!(text.starts_with("error: ") && text.contains("(exit code "), "{text}");
    read_with(specs, config, ReadLimit::default()).unwrap_err()
}

#[test]
fn bad_files_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let default = Config::default();
    let fail = |name: &str, content: &[u8], code| fails(&[write(&folder, name, content)], &default, code);
    let rejected = ExitCode::DataRejected;

    let error = fail("empty.csv", b"", rejected);
    assert_eq!(error.reason(), Some(Reason::EmptyAfterCleaning));
    assert!(error.to_string().contains("empty.csv"));
    assert!(matches!(fail("blank.csv", b"\n\r\n\n", rejected), EventsError::EmptyFile { .. }));
    assert!(matches!(fail("header.csv", b"customer_id,ts\n", rejected), EventsError::NoRows { .. }));
    assert!(matches!(fail("header2.csv", b"customer_id,ts\n\n\n", rejected), EventsError::NoRows { .. }));
    assert!(matches!(fail("x.parquet", b"customer_id,ts\n1,2024-01-01\n", rejected), EventsError::NotParquet { .. }));
    assert!(matches!(fail("book.csv", b"PK\x03\x04rest", rejected), EventsError::ForeignFormat { .. }));
    assert!(matches!(fail("wide.csv", b"\xff\xfec\0u\0", rejected), EventsError::ForeignFormat { .. }));
    assert!(matches!(fail("list.json", b"[{\"a\":1}]", rejected), EventsError::ForeignFormat { .. }));
    assert!(matches!(fail("no_customer.csv", b"a,ts\n1,2024-01-01\n", rejected), EventsError::MissingColumns { .. }));
    assert!(matches!(
        fail("doubled.csv", b"user,user,ts\n1,1,2024-01-01\n", rejected),
        EventsError::DoubledColumn { .. }
    ));
    assert!(matches!(
        fail("two.csv", b"user,client,ts\n1,1,2024-01-01\n", ExitCode::Usage),
        EventsError::Ambiguous { .. }
    ));
    assert!(matches!(fail("when.csv", b"user,ts\n1,soon\n", rejected), EventsError::TimesUnreadable { .. }));
    assert!(matches!(
        fail("year1.csv", b"user,ts\n1,0001-01-01\n2,9999-12-31\n", rejected),
        EventsError::TimesOutOfRange { .. }
    ));
    assert!(matches!(
        fail("anonymous.csv", b"user,ts\n,2024-01-01\n", rejected),
        EventsError::NothingLeft { anonymous: 1, .. }
    ));
    let long = [b"user,ts\n1,2024-01-01\n".to_vec(), vec![b'x'; 17 << 20]].concat();
    assert!(matches!(fail("long.csv", &long, rejected), EventsError::LineTooLong { line: 3, .. }));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(CSV.repeat(1000).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let error = fail("cut.csv.gz", &gzip[..gzip.len() / 2], rejected);
    assert!(matches!(error, EventsError::DamagedText { .. }), "{error:?}");
    let zstd = zstd::encode_all(CSV.repeat(100_000).as_bytes(), 1).unwrap();
    let error = fail("cut.csv.zst", &zstd[..zstd.len() - 5], rejected);
    assert!(matches!(error, EventsError::DamagedText { .. }), "{error:?}");
}

#[test]
fn damaged_parquet_is_refused() {
    let folder = TempDir::new().unwrap();
    let n = 5000;
    let columns = || {
        vec![
            (
                "customer_id",
                Arc::new(StringArray::from_iter_values((0..n).map(|row| format!("c{}", row * 7919 % 5000))))
                    as ArrayRef,
            ),
            (
                "ts",
                Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|row| 1_700_000_000_000_000 + row))),
            ),
        ]
    };
    let path = write_parquet(&folder, "whole.parquet", columns(), 1 << 20);
    assert_eq!(read(&path, &Config::default()).unwrap().1.rows, n as u64);
    let bytes = std::fs::read(&path).unwrap();
    let cut = write(&folder, "cut.parquet", &bytes[..bytes.len() - 100]);
    let error = fails(&[cut], &Config::default(), ExitCode::DataRejected);
    assert!(matches!(&error, EventsError::DamagedParquet { .. }) && std::error::Error::source(&error).is_some());
    let mut spoilt = bytes;
    spoilt[4..2000].fill(0xff);
    let spoilt = write(&folder, "spoilt.parquet", spoilt);
    assert!(matches!(fails(&[spoilt], &Config::default(), ExitCode::DataRejected), EventsError::DamagedParquet { .. }));

    let wrong =
        vec![("customer_id", texts(&[Some("1")])), ("ts", Arc::new(BooleanArray::from(vec![true])) as ArrayRef)];
    let wrong = write_parquet(&folder, "wrong.parquet", wrong, 10);
    assert!(matches!(fails(&[wrong], &Config::default(), ExitCode::DataRejected), EventsError::WrongType { .. }));
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let nested = vec![
        ("customer_id", texts(&[Some("1")])),
        ("ts", texts(&[Some("2024-01-01")])),
        ("value", Arc::new(list) as ArrayRef),
    ];
    let nested = write_parquet(&folder, "nested.parquet", nested, 10);
    assert!(matches!(fails(&[nested], &Config::default(), ExitCode::DataRejected), EventsError::WrongType { .. }));
    let none = vec![("customer_id", texts(&[])), ("ts", texts(&[]))];
    let none = write_parquet(&folder, "none.parquet", none, 10);
    assert!(matches!(fails(&[none], &Config::default(), ExitCode::DataRejected), EventsError::NoRows { .. }));
    // Milliseconds, written as if they were seconds.
    let far = TimestampSecondArray::from(vec![1_709_288_100_000; 3]);
    let far = vec![("customer_id", texts(&[Some("1"); 3])), ("ts", cast_to_millis(far))];
    let far = write_parquet(&folder, "far.parquet", far, 10);
    let error = fails(&[far], &Config::default(), ExitCode::DataRejected);
    assert!(error.hints()[0].contains("2024-03-01"), "{:?}", error.hints());
}

/// Parquet has no seconds: the writer keeps them as milliseconds.
fn cast_to_millis(seconds: TimestampSecondArray) -> ArrayRef {
    let millis = seconds.values().iter().map(|second| second * 1000);
    Arc::new(TimestampMillisecondArray::from_iter_values(millis))
}

#[test]
fn specs_that_lead_nowhere_are_wrong_usage() {
    let folder = TempDir::new().unwrap();
    let default = Config::default();
    let real = write(&folder, "events.csv", CSV);
    let usage = |spec: &str| fails(&[spec.to_string()], &default, ExitCode::Usage);
    let error = usage(&real.replace("events.csv", "event.csv"));
    assert!(error.hints()[0].contains("events.csv"), "{:?}", error.hints());
    assert!(matches!(usage("hdfs://bucket/events"), EventsError::Remote { .. }));
    assert!(matches!(usage(&format!("{}/*.parquet", folder.path().display())), EventsError::NoMatch { .. }));
    std::fs::create_dir(folder.path().join("nothing")).unwrap();
    assert!(matches!(usage(folder.path().join("nothing").to_str().unwrap()), EventsError::NoFiles { .. }));
    assert!(matches!(fails(&[], &default, ExitCode::Usage), EventsError::NoSpecs));
    for text in [
        "[events]\nformat = 'excel'",
        "[events]\ndelimiter = 'comma'",
        "[events]\nheader = false",
        "[events]\nnames = ['a']",
        "[events.columns]\ncustomer = 'customer_id'",
        "[events.columns]\ncustomer_id = 'CustomerId'",
        "[events]\nheader = false\nnames = ['customer_id', 'ts']",
    ] {
        fails(std::slice::from_ref(&real), &config(text), ExitCode::Usage);
    }
    let events = Events::open(std::slice::from_ref(&real), &default).unwrap();
    let unwritable = PathBuf::from(&real).join("rejects.ndjson"); // below a file
    let error = events.reader(ReadLimit::default(), Some(&unwritable)).err().unwrap();
    assert_eq!(error.exit_code() as u8, ExitCode::Usage as u8, "{error}");
    let error = events.reader(ReadLimit::default(), Some(folder.path())).err().unwrap();
    assert_eq!(error.exit_code() as u8, ExitCode::Usage as u8, "{error}");
}

#[test]
fn later_files_must_have_the_mapped_columns() {
    let folder = TempDir::new().unwrap();
    let first = write(&folder, "a.csv", "customer_id,ts,value\n1,2024-03-01,1\n");
    let other = write(&folder, "b.csv", "customer_id,ts,amount\n1,2024-03-01,1\n");
    let error = fails(&[first.clone(), other], &Config::default(), ExitCode::DataRejected);
    assert!(error.to_string().contains("b.csv: lacks column `value`"), "{error}");
    // Another order, another type and another way of writing the time are fine.
    let columns = vec![
        ("value", Arc::new(Int32Array::from(vec![4])) as ArrayRef),
        ("customer_id", Arc::new(Int64Array::from(vec![5])) as ArrayRef),
        ("ts", Arc::new(Int64Array::from(vec![1_709_288_100_000])) as ArrayRef),
    ];
    let second = write_parquet(&folder, "c.parquet", columns, 10);
    let header_only = write(&folder, "d.csv", "ts,value,customer_id\n");
    let (events, _) = read_with(&[header_only, first, second], &Config::default(), ReadLimit::default()).unwrap();
    assert_eq!(events, ["1 2024-03-01+0 purchase 1 NaN - - -", "5 2024-03-01+36900 purchase 4 NaN - - -"]);
}

#[test]
fn dates_that_tell_no_order_are_warned_about() {
    let folder = TempDir::new().unwrap();
    let mut csv = String::from("user,date\n");
    for row in 0..3000 {
        csv.push_str(&format!("{row},{}/2/2024\n", row % 12 + 1));
    }
    let path = write(&folder, "ambiguous.csv", &csv);
    let events = Events::open(&[path], &Config::default()).unwrap();
    assert!(events.mapping().warnings.iter().any(|warning| warning.contains("time_format")), "{}", events.mapping());
    csv.push_str("1,13/2/2024\n"); // far behind the sample
    let path = write(&folder, "decided.csv", csv);
    let events = Events::open(std::slice::from_ref(&path), &Config::default()).unwrap();
    assert!(events.mapping().warnings.is_empty(), "{}", events.mapping());
    assert!(events.mapping().to_string().contains("day before month"));
    assert!(read(&path, &Config::default()).unwrap().0[1].contains("2024-02-02"));
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

#[test]
fn check_reports_instead_of_stopping() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "broken.csv", BROKEN);
    let report = check(&Events::open(&[path], &Config::default()).unwrap(), &Config::default()).unwrap();
    assert!(report.problems()[0].contains("11 of 14 rows"), "{:?}", report.problems());
    let text = report.to_text();
    assert!(text.contains("malformed_line") && text.contains("problem: "), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["summary"]["rejects"]["malformed_line"]["rows"], 3);

    let mut csv = String::from("customer_id,ts,event,value,category,order_id\n");
    for day in 1..=250 {
        if (100..110).contains(&day) || day == 50 {
            continue;
        }
        let date = "2024-01-01".parse::<Day>().unwrap().plus(day - 1);
        csv.push_str(&format!(
            "c{},{date},purchase,{day},{},o{}\n",
            day % 10,
            if day % 2 == 0 { "Shoes" } else { "shoes " },
            day / 2
        ));
    }
    csv.push_str("c1,2024-01-01,purchase,1,shoes ,o0\n,2024-01-01,purchase,5,,\nc1,2024-01-02,view,,,\n");
    let path = write(&folder, "shop.csv", csv);
    let report = check(&Events::open(&[path], &Config::default()).unwrap(), &Config::default()).unwrap();
    assert!(report.problems().is_empty(), "{:?}", report.problems());
    assert_eq!((report.customers, report.history_days, report.summary.anonymous_rows), (10, 250, 1));
    assert_eq!((report.duplicates.rows, report.duplicates.first.clone()), (1, Some(("shop.csv".into(), 241))));
    let gaps: Vec<(String, i32)> = report.gaps.iter().map(|gap| (gap.first.to_string(), gap.days)).collect();
    assert_eq!(gaps, [("2024-04-09".to_string(), 10), ("2024-02-19".to_string(), 1)]);
    assert_eq!(report.spellings.len(), 1);
    let money = report.money.as_ref().unwrap();
    let sum: i32 = (1..=250).filter(|day| !((100..110).contains(day) || *day == 50)).sum::<i32>() + 1;
    assert_eq!((money.rows, money.sum, money.min, money.max), (240, f64::from(sum), 1.0, 250.0));
    let orders = report.orders.as_ref().unwrap();
    assert!(orders.conflicting > 100, "neighbouring days share an id and have different customers");
    // 250 days: 200 and a quarter of it fit, 201 does not (50 + 201).
    assert!(
        report.targets.iter().all(|target| target.longest_horizon_days == 200 && target.obstacle.is_none()),
        "{:?}",
        report.targets
    );
}
