//! Rows that cannot be used.

use std::sync::Arc;

use arrow::array::*;
use bellwether::config::Config;
use bellwether::error::{ExitCode, Explain, Reason};
use bellwether::events::{Events, ReadLimit, RejectReason, check};
use bellwether::time::Day;
use tempfile::TempDir;

use super::{lenient, read, rejects, texts, write, write_parquet};

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
