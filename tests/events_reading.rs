//! What a reading brings and what it leaves alone: ids of every type, columns beside ours, row groups that
//! need not be decoded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema};
use bellwether::config::Config;
use bellwether::error::{ExitCode, Explain};
use bellwether::events::batch::{Digits, order_hash, product_hash};
use bellwether::events::{
    EventBatch, Events, EventsError, ExtraKind, ExtraValues, Ids, NO_LABEL, ReadLimit, ReadSummary,
};
use bellwether::time::Day;
use bellwether::timeline::TimelineBuilder;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use tempfile::TempDir;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("test.toml")).unwrap()
}

fn write(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn parquet(folder: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>, with: WriterPropertiesBuilder) -> String {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let path = folder.path().join(name);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), schema, Some(with.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.display().to_string()
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

fn texts<'a>(cells: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    // An empty text stands for null.
    Arc::new(StringArray::from_iter(cells.into_iter().map(|cell| (!cell.is_empty()).then_some(cell))))
}

fn read(
    specs: &[String],
    config: &Config,
    limit: ReadLimit,
    extras: &[&str],
) -> Result<(Vec<EventBatch>, ReadSummary), EventsError> {
    let events = Events::open(specs, config)?;
    let mut reader = events.reader(limit, None)?.with_extras(extras)?;
    let mut batches = Vec::new();
    while let Some(round) = reader.next_round()? {
        batches.extend(round);
    }
    Ok((batches, reader.finish()?))
}

fn customers(batches: &[EventBatch]) -> Vec<String> {
    let mut digits = Digits::default();
    let of = |batch: &EventBatch| -> Vec<String> {
        (0..batch.len()).map(|row| batch.customer.text(row, &mut digits).to_string()).collect()
    };
    batches.iter().flat_map(of).collect()
}

/// An extra's values as text, `-` where there is none.
fn extra(batches: &[EventBatch], index: usize) -> Vec<String> {
    let of = |batch: &EventBatch| -> Vec<String> {
        match &batch.extras[index].values {
            ExtraValues::Numbers(numbers) => {
                numbers.iter().map(|number| if number.is_nan() { "-".into() } else { number.to_string() }).collect()
            }
            ExtraValues::Labels(labels) => {
                let name = |&code: &u32| if code == NO_LABEL { "-" } else { labels.names[code as usize].as_str() };
                labels.codes.iter().map(name).map(String::from).collect()
            }
        }
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn a_customer_is_the_same_as_an_integer_and_as_text() {
    let folder = TempDir::new().unwrap();
    let dates = || texts(["2024-03-01", "2024-03-02", "2024-03-03"]);
    let integers = parquet(
        &folder,
        "a.parquet",
        vec![
            ("customer_id", Arc::new(Int32Array::from(vec![Some(123), None, Some(-7)])) as ArrayRef),
            ("ts", dates()),
            ("value", Arc::new(Float64Array::from(vec![1.5, 2.0, 3.0]))),
            ("category", Arc::new(Int64Array::from(vec![Some(9), Some(9), None]))),
            ("product", Arc::new(Int64Array::from(vec![Some(55), Some(9), None]))),
            ("order_id", Arc::new(Int64Array::from(vec![Some(8), Some(9), None]))),
        ],
        plain(),
    );
    let written = parquet(
        &folder,
        "b.parquet",
        vec![
            ("customer_id", texts(["123", " 123 ", "-7.0"])),
            ("ts", dates()),
            ("value", texts(["1.5", "2", ""])),
            ("category", texts(["9", "x", ""])),
            ("product", texts(["55", "55", "NaN"])),
            ("order_id", texts(["8", " 8", ""])),
        ],
        plain(),
    );
    let wide = parquet(
        &folder,
        "c.parquet",
        vec![
            ("customer_id", Arc::new(UInt64Array::from(vec![123, u64::MAX])) as ArrayRef),
            ("ts", texts(["2024-03-01", "2024-03-02"])),
            ("value", Arc::new(Int64Array::from(vec![1, 2]))),
            ("category", texts(["9", "9"])),
            ("product", texts(["", ""])),
            ("order_id", texts(["", ""])),
        ],
        plain(),
    );
    let csv = write(
        &folder,
        "d.csv",
        "customer_id,ts,value,category,product,order_id\n123,2024-03-01,1.5,9,55,8\n-7,2024-03-02,,,,\n",
    );
    let (batches, summary) =
        read(&[integers, written, wide, csv], &Config::default(), ReadLimit::default(), &[]).unwrap();
    assert!(matches!(&batches[0].customer, Ids::Integers(ids) if ids == &[123, -7]));
    assert!(batches[1..].iter().all(|batch| matches!(batch.customer, Ids::Texts(_))));
    let wanted = ["123", "-7", "123", "123", "-7", "123", "18446744073709551615", "123", "-7"];
    assert_eq!(customers(&batches), wanted);
    assert_eq!((summary.used, summary.anonymous_rows, summary.anonymous_value), (9, 1, 2.0));
    let values: Vec<f64> = batches.iter().flat_map(|batch| batch.value.clone().unwrap()).collect();
    assert_eq!(values.iter().filter(|value| !value.is_nan()).sum::<f64>(), 1.5 + 3.0 + 3.5 + 3.0 + 1.5);
    let (order, product) = (order_hash("8"), product_hash("55"));
    assert_eq!(batches[0].order, Some(vec![order, 0]));
    assert_eq!(batches[1].order, Some(vec![order, order, 0]));
    assert_eq!(batches[3].order, Some(vec![order, 0]));
    assert_eq!(batches[0].product, Some(vec![product, 0]));
    assert_eq!(batches[1].product, Some(vec![product, product, 0]));
    assert_eq!(batches[3].product, Some(vec![product, 0]));
    assert_eq!(batches[0].category.as_ref().unwrap().names, ["9"]);

    let mut timelines = TimelineBuilder::default();
    timelines.append(&batches).unwrap();
    assert_eq!(timelines.finish().unwrap().customers(), 3);
}

const EXTRAS_CSV: &str = "customer_id,ts,value,weight,gift,shelf,amount_note\n\
    1,2024-03-01,1,2.5,true,A1,x\n\
    2,2024-03-01,1,,False,\" b \",x\n\
    ,2024-03-01,1,bad,true,A1,x\n\
    3,2024-03-02,1,inf,,A1,x\n\
    4,2024-03-09,1,worse,true,A1,x\n\
    5,2024-03-02,1,bad,maybe,NULL,x\n";

#[test]
fn extras_come_when_asked_for_in_every_format() {
    let folder = TempDir::new().unwrap();
    let config = config("[events]\nmax_reject_share = 1.0");
    // Every number of the CSV file below is bad too often to be guessed: more rows make it plain.
    let good: String = (0..200).map(|row| format!("9,2024-03-01,1,{row},false,A1,x\n")).collect();
    let csv = write(&folder, "e.csv", &format!("{EXTRAS_CSV}{good}"));
    let object = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let keys = ["customer_id", "ts", "value", "weight", "gift", "shelf"];
        let bare = |cell: &str| cell.parse::<f64>().is_ok_and(f64::is_finite) || cell == "true";
        let cell = |(key, cell): (&str, &&str)| match cell.trim_matches('"') {
            "" => None,
            cell if bare(cell) && key != "shelf" => Some(format!("\"{key}\":{cell}")),
            cell => Some(format!("\"{key}\":\"{cell}\"")),
        };
        format!("{{{}}}\n", keys.into_iter().zip(&cells).filter_map(cell).collect::<Vec<_>>().join(","))
    };
    let lines = EXTRAS_CSV.lines().skip(1).chain(good.lines());
    let ndjson = write(&folder, "e.ndjson", &lines.map(object).collect::<String>());

    let events = Events::open(std::slice::from_ref(&csv), &config).unwrap();
    let kinds: Vec<(&str, ExtraKind)> = events.extras().iter().map(|extra| (&*extra.name, extra.kind)).collect();
    let wanted = [
        ("weight", ExtraKind::Number),
        ("gift", ExtraKind::Number), // `maybe` is neither true nor false, the others are 1 and 0
        ("shelf", ExtraKind::Text),
        ("amount_note", ExtraKind::Text),
    ];
    assert_eq!(kinds, wanted);

    let limit = ReadLimit { as_of: "2024-03-05".parse().ok(), settle_days: 0 };
    for path in [csv, ndjson] {
        let path = [path];
        let (batches, summary) = read(&path, &config, limit, &["shelf", "weight"]).unwrap();
        let names: Vec<&str> = batches[0].extras.iter().map(|extra| &*extra.name).collect();
        assert_eq!(names, ["shelf", "weight"], "in the order asked for");
        assert_eq!(extra(&batches, 0)[..4], ["A1", "b", "A1", "-"]);
        assert_eq!(extra(&batches, 1)[..5], ["2.5", "-", "-", "-", "0"]);
        assert_eq!(summary.extra_faults.get("weight"), Some(&2), "of events only: `inf` and `bad`");
        assert_eq!((summary.extra_faults.len(), summary.rejected(), summary.used), (1, 0, 204));
        let (batches, summary) = read(&path, &config, limit, &[]).unwrap();
        assert!(batches.iter().all(|batch| batch.extras.is_empty()) && summary.extra_faults.is_empty());
    }
}

#[test]
fn extras_of_parquet_are_typed() {
    let folder = TempDir::new().unwrap();
    let numbers = [Some(1.5), Some(f64::NAN), None, Some(f64::INFINITY), Some(-2.0)];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("customer_id", texts(["1", "2", "", "4", "5"])),
        ("ts", texts(["2024-03-01"; 5])),
        ("weight", Arc::new(Float64Array::from_iter(numbers))),
        ("gift", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None, Some(true)]))),
        ("size", Arc::new(Int16Array::from(vec![1, 2, 3, 4, 5]))),
        ("digits", texts(["1", "2", "3", "4", ""])),
        ("until", Arc::new(Date32Array::from(vec![19_800; 5]))),
        ("list", Arc::new(ListArray::new_null(Arc::new(Field::new("item", DataType::Int32, true)), 5))),
    ];
    let path = [parquet(&folder, "e.parquet", columns, plain())];
    let events = Events::open(&path, &Config::default()).unwrap();
    let kinds: Vec<(&str, ExtraKind)> = events.extras().iter().map(|extra| (&*extra.name, extra.kind)).collect();
    let wanted = [
        ("weight", ExtraKind::Number),
        ("gift", ExtraKind::Bool),
        ("size", ExtraKind::Number),
        ("digits", ExtraKind::Text),
        ("until", ExtraKind::Text),
    ];
    assert_eq!(kinds, wanted);
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    let (batches, summary) = read(&path, &Config::default(), ReadLimit::default(), &names).unwrap();
    assert_eq!(extra(&batches, 0), ["1.5", "-", "-", "-2"]);
    assert_eq!(extra(&batches, 1), ["1", "0", "-", "1"]);
    assert_eq!(extra(&batches, 2), ["1", "2", "4", "5"]);
    assert_eq!(extra(&batches, 3), ["1", "2", "4", "-"]);
    assert_eq!(extra(&batches, 4), ["2024-03-18"; 4]);
    assert_eq!(summary.extra_faults.into_iter().collect::<Vec<_>>(), [("weight".to_string(), 1)], "infinity");
}

#[test]
fn files_that_disagree_on_an_extra_join() {
    let folder = TempDir::new().unwrap();
    let base = |cell: &str| -> Vec<(&str, ArrayRef)> {
        vec![("customer_id", texts([cell, cell])), ("ts", texts(["2024-03-01", "2024-03-02"]))]
    };
    let mut first = base("1");
    first.push(("weight", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef));
    first.push(("size", Arc::new(Int32Array::from(vec![38, 39])) as ArrayRef));
    let mut second = base("2");
    second.push(("size", texts(["M", "38"])));
    second.push(("weight", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef));
    let paths = [
        parquet(&folder, "a.parquet", first, plain()),
        parquet(&folder, "b.parquet", second, plain()),
        write(&folder, "shop=7/c.csv", "customer_id,ts\n3,2024-03-01\n"),
    ];
    let events = Events::open(&paths, &Config::default()).unwrap();
    let found: Vec<_> = events.extras().iter().map(|extra| (&*extra.name, extra.kind, extra.note.is_some())).collect();
    let wanted =
        [("weight", ExtraKind::Number, false), ("size", ExtraKind::Text, true), ("shop", ExtraKind::Number, false)];
    assert_eq!(found, wanted);
    let note = events.extras()[1].note.clone().unwrap();
    assert!(note.contains("numbers in a.parquet and text in b.parquet"), "{note}");
    let (batches, summary) =
        read(&paths, &Config::default(), ReadLimit::default(), &["weight", "size", "shop"]).unwrap();
    assert_eq!(extra(&batches, 0), ["1", "2", "1", "0", "-"]);
    assert_eq!(extra(&batches, 1), ["38", "39", "M", "38", "-"]);
    assert_eq!(extra(&batches, 2), ["-", "-", "-", "-", "7"]);
    assert!(summary.extra_faults.is_empty());

    let error = read(&paths, &Config::default(), ReadLimit::default(), &["wieght"]).unwrap_err();
    assert_eq!(error.exit_code() as u8, ExitCode::Usage as u8);
    assert!(error.hints().concat().contains("`weight`"), "{:?}", error.hints());
    assert!(read(&paths, &Config::default(), ReadLimit::default(), &["customer_id"]).is_err(), "it is mapped");
}

#[test]
fn faults_of_repeated_events_are_not_told() {
    let folder = TempDir::new().unwrap();
    let mut csv = String::from("customer_id,ts,event_id,weight\n");
    (0..100).for_each(|row| csv.push_str(&format!("1,2024-03-01,{row},{row}\n")));
    csv.push_str("1,2024-03-01,5,bad\n1,2024-03-01,101,bad\n1,2024-03-01,7,1\n");
    let path = [write(&folder, "e.csv", &csv)];
    let config = config("[events]\nmax_reject_share = 1.0");
    let (batches, summary) = read(&path, &config, ReadLimit::default(), &["weight"]).unwrap();
    assert_eq!((summary.used, summary.rejected()), (101, 2));
    assert_eq!(summary.extra_faults.get("weight"), Some(&1));
    assert_eq!(extra(&batches, 0)[99..], ["99", "-"]);
}

/// Overwrites a column's bytes in a row group.
fn damage(path: &str, row_group: usize, column: &str) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let group = reader.metadata().row_group(row_group);
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column).unwrap();
    let (start, length) = chunk.byte_range();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[start as usize..(start + length) as usize].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_column_matters_only_when_it_is_read() {
    let folder = TempDir::new().unwrap();
    let columns = vec![
        ("customer_id", texts(["1", "2"])),
        ("ts", texts(["2024-03-01", "2024-03-02"])),
        ("weight", Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef),
        ("shelf", texts(["a", "b"])),
    ];
    let path = parquet(&folder, "e.parquet", columns, plain());
    damage(&path, 0, "weight");
    let path = [path];
    let (batches, _) = read(&path, &Config::default(), ReadLimit::default(), &["shelf"]).unwrap();
    assert_eq!(extra(&batches, 0), ["a", "b"]);
    let error = read(&path, &Config::default(), ReadLimit::default(), &["weight"]).unwrap_err();
    assert!(matches!(error, EventsError::DamagedParquet { .. }), "{error}");
}

const DAY_MICROS: i64 = 86_400_000_000;

/// Times of ten row groups of ten rows, in microseconds: day 19_800 and on, five days a group, half a day a row.
fn moments() -> Vec<Option<i64>> {
    (0..100).map(|row| Some(19_800 * DAY_MICROS + row * DAY_MICROS / 2)).collect()
}

fn timed(folder: &TempDir, name: &str, ts: ArrayRef, statistics: EnabledStatistics) -> String {
    let rows = ts.len();
    let columns = vec![
        ("customer_id", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef),
        ("ts", ts),
        ("value", Arc::new(Float64Array::from(vec![1.0; rows]))),
    ];
    parquet(folder, name, columns, plain().set_max_row_group_row_count(Some(10)).set_statistics_enabled(statistics))
}

#[test]
fn without_fingerprints_the_same_is_read() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "shop.csv", "customer_id,ts,value\na,2026-01-01,1\nb,2026-01-02,2\n");
    let config = Config::default();
    let summary = |is_with: bool| {
        let events = Events::open(std::slice::from_ref(&path), &config).unwrap();
        let reader = events.reader(ReadLimit::default(), None).unwrap();
        let mut reader = if is_with { reader } else { reader.without_fingerprints() };
        while reader.next_round().unwrap().is_some() {}
        reader.finish().unwrap()
    };
    let (with, without) = (summary(true), summary(false));
    assert_eq!((with.files.len(), without.files.len()), (1, 0));
    assert_eq!(account(&with), account(&without));
}

/// Everything of a summary but the files.
fn account(summary: &ReadSummary) -> serde_json::Value {
    let mut account = serde_json::to_value(summary).unwrap();
    account.as_object_mut().unwrap().remove("files");
    account
}

#[test]
fn statistics_change_nothing_but_the_time_it_takes() {
    let (folder, other_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut with_null = moments();
    with_null[77] = None;
    let mut out_of_range = moments();
    out_of_range[88] = Some(2_932_896 * DAY_MICROS); // 9999-12-31
    out_of_range[99] = Some(i64::MAX);
    let seconds = |micros: &i64| micros / 1_000_000;
    let values = || moments().into_iter().flatten();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("micros", Arc::new(TimestampMicrosecondArray::from(moments()))),
        ("nanos", Arc::new(TimestampNanosecondArray::from_iter_values(values().map(|micros| micros * 1000)))),
        ("millis", Arc::new(TimestampMillisecondArray::from_iter_values(values().map(|micros| micros / 1000)))),
        ("instants", Arc::new(TimestampMicrosecondArray::from(moments()).with_timezone("UTC"))),
        ("dates", Arc::new(Date32Array::from_iter_values(values().map(|micros| (micros / DAY_MICROS) as i32)))),
        ("dates64", Arc::new(Date64Array::from_iter_values(values().map(|micros| micros / DAY_MICROS * 86_400_000)))),
        ("epochs", Arc::new(Int64Array::from_iter_values(values().map(|micros| seconds(&micros))))),
        ("unsigned", Arc::new(UInt64Array::from_iter_values(values().map(|micros| seconds(&micros) as u64)))),
        ("texts", Arc::new(StringArray::from_iter_values(values().map(|micros| Day::of_wall(micros).to_string())))),
        ("with_null", Arc::new(TimestampMicrosecondArray::from(with_null))),
        ("out_of_range", Arc::new(TimestampMicrosecondArray::from(out_of_range))),
    ];
    let lenient = "[events]\nmax_reject_share = 1.0";
    let configs = [config(lenient), config(&format!("timezone = 'America/Havana'\n{lenient}"))];
    let mut n_future = 0;
    for (name, ts) in columns {
        let told = timed(&folder, &format!("{name}.parquet"), Arc::clone(&ts), EnabledStatistics::Chunk);
        let untold = timed(&other_folder, &format!("{name}.parquet"), ts, EnabledStatistics::None);
        for config in &configs {
            for (days, settle_days) in [(1, 0), (20, 0), (25, 0), (26, 7), (30, 30), (48, 5), (60, 3), (75, 12)] {
                let limit = ReadLimit { as_of: Some(Day(19_800 + days)), settle_days };
                let of = |path: &String| read(std::slice::from_ref(path), config, limit, &[]);
                match (of(&told), of(&untold)) {
                    (Ok((with, a)), Ok((without, b))) => {
                        assert_eq!(account(&a), account(&b), "{name}, {limit:?}");
                        assert_eq!(customers(&with), customers(&without), "{name}, {limit:?}");
                        n_future += a.future_rows;
                    }
                    (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "{name}, {limit:?}"),
                    (a, b) => panic!("{name}, {limit:?}: {:?} and {:?}", a.err(), b.err()),
                }
            }
        }
    }
    assert!(n_future > 1000);
}

#[test]
fn a_row_group_of_the_future_is_not_decoded() {
    let folder = TempDir::new().unwrap();
    let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(moments()));
    let limit = |days: i32, settle_days| ReadLimit { as_of: Some(Day(19_800 + days)), settle_days };
    let path = timed(&folder, "e.parquet", Arc::clone(&ts), EnabledStatistics::Chunk);
    damage(&path, 7, "value"); // days 35 to 39
    let read_until = |path: &String, limit| read(std::slice::from_ref(path), &Config::default(), limit, &[]);
    let (_, summary) = read_until(&path, limit(35, 0)).unwrap();
    assert_eq!((summary.rows, summary.used, summary.future_rows), (100, 70, 30));
    let (_, summary) = read_until(&path, limit(42, 10)).unwrap();
    assert_eq!((summary.rows, summary.used, summary.future_rows, summary.settling_rows), (100, 64, 16, 20));
    assert!(read_until(&path, limit(36, 0)).is_err(), "a day of it is wanted");
    let untold = timed(&folder, "none.parquet", ts, EnabledStatistics::None);
    damage(&untold, 7, "value");
    assert!(read_until(&untold, limit(35, 0)).is_err(), "nothing tells that it is of the future");
}

#[test]
fn batches_do_not_depend_on_threads_or_on_the_cut_of_row_groups() {
    const ROWS: usize = 1_100_000; // more than a piece, most of it known
    let folder = TempDir::new().unwrap();
    let columns = || -> Vec<(&'static str, ArrayRef)> {
        let ids = (0..ROWS).map(|row| (row % 7 > 0).then(|| format!("customer-{}", row * 7919 % 50_021)));
        let categories = (0..ROWS).map(|row| (row % 5 > 0).then(|| format!("c{}", row % 13)));
        let times = (0..ROWS as i64).map(|row| 1_700_000_000_000_000 + row * 500_000);
        vec![
            ("customer_id", Arc::new(StringArray::from_iter(ids))),
            ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
            ("value", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| (row % 100) as f64 / 7.0)))),
            ("category", Arc::new(StringArray::from_iter(categories))),
        ]
    };
    let long = parquet(&folder, "long.parquet", columns(), plain().set_max_row_group_row_count(Some(1 << 21)));
    let short = parquet(&folder, "short.parquet", columns(), plain().set_max_row_group_row_count(Some(99_999)));
    let on = |path: &String, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let limit = ReadLimit { as_of: Some(Day::of_wall(1_700_000_000_000_000 + 600_000_000_000)), settle_days: 0 };
        pool.install(|| read(std::slice::from_ref(path), &Config::default(), limit, &[])).unwrap()
    };
    let shape = |(batches, summary): &(Vec<EventBatch>, ReadSummary)| {
        let sizes: Vec<_> = batches.iter().map(|batch| (batch.len(), batch.category.clone().unwrap().names)).collect();
        (sizes, serde_json::to_string(summary).unwrap())
    };
    let one = on(&long, 1);
    assert!(one.1.future_rows > 50_000 && one.1.anonymous_rows == one.1.judged().div_ceil(7));
    for threads in [2, 5] {
        let many = on(&long, threads);
        assert_eq!(shape(&many), shape(&one), "{threads} threads");
        assert!(customers(&many.0) == customers(&one.0), "{threads} threads");
    }
    let cut = on(&short, 2);
    assert!(customers(&cut.0) == customers(&one.0));
    let known = |(_, summary): &(Vec<EventBatch>, ReadSummary)| (summary.used, summary.future_rows, summary.last_time);
    assert_eq!(known(&cut), known(&one));

    // Small pieces, as with little memory: small batches, of the same rows.
    let limit = ReadLimit { as_of: Some(Day::of_wall(1_700_000_000_000_000 + 600_000_000_000)), settle_days: 0 };
    let events = Events::open(std::slice::from_ref(&long), &Config::default()).unwrap();
    let mut reader = events.reader(limit, None).unwrap().in_pieces_of(1 << 16);
    let mut batches = Vec::new();
    while let Some(round) = reader.next_round().unwrap() {
        assert!(round.iter().map(EventBatch::len).sum::<usize>() <= rayon::current_num_threads() << 16);
        batches.extend(round);
    }
    assert!(customers(&batches) == customers(&one.0));
    let values = |batches: &[EventBatch]| -> Vec<f64> {
        batches.iter().flat_map(|batch| batch.value.clone().unwrap()).collect()
    };
    assert!(values(&batches) == values(&one.0));
    assert_eq!(serde_json::to_string(&reader.finish().unwrap()).unwrap(), serde_json::to_string(&one.1).unwrap());
}

#[test]
fn accounts_of_earlier_versions_load() {
    let folder = TempDir::new().unwrap();
    let path = PathBuf::from(write(&folder, "e.csv", "customer_id,ts\n1,2024-03-01\n"));
    let (_, summary) = read(&[path.display().to_string()], &Config::default(), ReadLimit::default(), &[]).unwrap();
    let text = serde_json::to_string(&summary).unwrap();
    assert!(!text.contains("extra_faults"), "{text}");
    assert_eq!(serde_json::from_str::<ReadSummary>(&text).unwrap(), summary);
}
