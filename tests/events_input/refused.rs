//! Files and names that lead nowhere.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::*;
use bellwether::config::Config;
use bellwether::error::{ExitCode, Explain, Reason};
use bellwether::events::{Events, EventsError, ReadLimit};
use tempfile::TempDir;

use super::{CSV, cast_to_millis, config, read, read_with, texts, write, write_parquet};

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
