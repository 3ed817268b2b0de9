//! What was taken off the price of an order.

use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use bellwether::config::Config;
use bellwether::events::{Events, check};
use bellwether::pipeline::{self, BuildOptions};
use bellwether::progress::Silent;

use super::{config, options, read};

/// Two orders of one customer, the first of two lines; a refund; another customer without a discount.
const EVENTS: &str = "customer_id,ts,event,value,order_id,Discount Amount,score\n\
    a,2024-01-01,purchase,10,1,2,7\na,2024-01-01,purchase,20,1,-3,\na,2024-01-05,purchase,5,2,,\n\
    a,2024-01-06,purchase,-5,2,9,\na,2024-01-07,view,,,50,\nb,2024-01-02,purchase,4,3,0,\nc,2024-01-02,view,,,,8\n";

#[test]
fn the_discount_is_summed_shared_and_averaged_over_orders() {
    let root = tempfile::tempdir().unwrap();
    let events = root.path().join("events.csv");
    fs::write(&events, EVENTS).unwrap();
    let out = root.path().join("f.parquet");
    let build = |config: &Config| {
        let build = BuildOptions {
            is_double: true,
            ..options(&events.display().to_string(), config, Path::new(&out), &["2024-02-01"])
        };
        pipeline::build(&build, &Silent).unwrap();
        read(&out)
    };
    let table = build(&Config::default());
    let ids = table.column(0).as_string::<i32>();
    let of = |customer: &str, column: &str| {
        let row = (0..table.num_rows()).find(|&row| ids.value(row) == customer).unwrap();
        let column = table.column_by_name(column).unwrap().as_primitive::<Float64Type>();
        (!column.is_null(row)).then(|| column.value(row))
    };
    let columns = ["discount", "discounted_line_share", "average_order_discount", "discount_share"];
    assert_eq!(columns.map(|column| of("a", column)), [Some(5.0), Some(2.0 / 3.0), Some(2.5), Some(5.0 / 40.0)]);
    assert_eq!(columns.map(|column| of("b", column)), [Some(0.0), Some(0.0), Some(0.0), Some(0.0)]);
    assert_eq!(columns.map(|column| of("c", column)), [Some(0.0), None, None, None]);
    let names = |table: &arrow::array::RecordBatch| -> Vec<String> {
        table.schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    assert!(names(&table).contains(&"mean_score".to_string()));
    assert!(!names(&table).contains(&"mean_discount_amount".to_string()), "it is a discount, and no mere number");
    let without = names(&build(&config("[features]\ndiscount = []\n")));
    assert!(!without.contains(&"discount".to_string()) && without.contains(&"mean_discount_amount".to_string()));

    let open = Events::open(&[events.display().to_string()], &Config::default()).unwrap();
    let text = check::check(&open, &Config::default()).unwrap().to_text();
    let line = |column: &str| text.lines().find(|line| line.trim_start().starts_with(column)).unwrap_or_default();
    assert!(line("Discount Amount").contains("discount of orders"), "{text}");
    assert!(line("score").contains("count, mean, smallest, largest"), "{text}");
}
