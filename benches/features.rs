//! Events per second from decoded batches to timelines, and from timelines to feature rows.
//!
//! Shops are simulated with a fixed seed and read before anything is timed; sizes are events.

use bellwether::config::Config;
use bellwether::events::{EventBatch, Events, ReadLimit};
use bellwether::features::{FeatureTable, Plan, RowRequest, Sweep};
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use bellwether::timeline::{TimelineBuilder, Timelines};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Customers of shops with about that many events: the default shop has 22 to 23 of each.
const CUSTOMERS: [(&str, u64); 3] = [("10k", 450), ("100k", 4_450), ("1M", 43_900)];

/// Days between the cut-offs of a sweep of several.
const SLIDE_DAYS: i32 = 30;

fn batches(customers: u64) -> Vec<EventBatch> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shop = folder.path().join("shop");
    let settings = Simulation { customers, late_share: 0.01, ..Simulation::default() };
    simulate(&settings, &shop, &|_| ()).expect("a shop");
    let events = Events::open(&[shop.join("events").display().to_string()], &Config::default()).expect("its events");
    let mut reader = events.reader(ReadLimit::default(), None).expect("a reader");
    let mut batches = Vec::new();
    while let Some(round) = reader.next_round().expect("sound files") {
        batches.extend(round);
    }
    batches
}

fn timelines(batches: &[EventBatch]) -> Timelines {
    let mut builder = TimelineBuilder::default();
    for round in batches.chunks(8) {
        builder.append(round).expect("few names");
    }
    builder.finish().expect("events")
}

/// `n` cut-offs that end with the last day.
fn requests(last: Day, n: i32) -> Vec<RowRequest> {
    (0..n).rev().map(|back| RowRequest { as_of: last.plus(1 - back * SLIDE_DAYS), share: 1.0 }).collect()
}

fn features(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("features");
    group.sample_size(10);
    for (size, customers) in CUSTOMERS {
        let batches = batches(customers);
        let built = timelines(&batches);
        group.throughput(Throughput::Elements(built.events() as u64));
        group.bench_function(BenchmarkId::new("timelines", size), |bencher| bencher.iter(|| timelines(&batches)));
        let plan = Plan::new(&built, &Config::default(), built.last_day.plus(1)).expect("in memory");
        let sweep = Sweep::new(&plan, &built);
        eprintln!("{size}: {} events, {} customers, {} features", built.events(), built.customers(), sweep.width());
        for cut_offs in [1, 8] {
            let requests = requests(built.last_day, cut_offs);
            let name = format!("sweep_{cut_offs}_cut_offs");
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| FeatureTable::build(&built, &sweep, &requests).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, features);
criterion_main!(benches);
