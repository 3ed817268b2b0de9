//! Customers per second of scoring: feature columns in memory to a data file (models, reasons, ranks, Parquet), and timelines in
//! memory to a whole partition, which is mostly the sweep.
//!
//! Shops are simulated with a fixed seed, the bundle is fitted and the events are read before anything is timed.

use bellwether::config::{Config, GatesConfig};
use bellwether::lists::{Exclusions, ListFiles, Lists};
use bellwether::pipeline::{FitOptions, Reading, fit, read_timelines};
use bellwether::progress::Silent;
use bellwether::scores::categories::CategoryOptions;
use bellwether::scores::{ScoreFormat, ScoreOptions, from_columns, score};
use bellwether::simulate::{Simulation, simulate};
use bellwether::timeline::Budget;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CUSTOMERS: [(&str, u64); 3] = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000)];

/// Customers of the shops that bundles are fitted on, and what their groups are called. Of few customers several fits of boosted trees are
/// averaged, so that the bundle of the smaller shop has more trees to ask.
const FITTED_ON: [(&str, u64); 2] = [("score", 2_000), ("score_by_larger_fit", 20_000)];

fn scoring(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shop = |customers: u64, seed: u64| {
        let path = folder.path().join(format!("shop-{customers}-{seed}"));
        let simulated =
            simulate(&Simulation { customers, seed, ..Simulation::default() }, &path, &|_| ()).expect("a shop");
        (vec![path.join("events").display().to_string()], simulated.last_day.plus(1))
    };
    let shops = CUSTOMERS.map(|(size, customers)| (size, shop(customers, 2)));
    for (name, fitted_on) in FITTED_ON {
        let (events, as_of) = shop(fitted_on, 1);
        let options = FitOptions {
            export_features: None,
            attributes: Vec::new(),
            events,
            config: Config::default(),
            as_of: Some(as_of),
            out: folder.path().join("models").join(name),
            rejects: None,
            dry_run: false,
            budget: Budget::default(),
            lists: ListFiles::default(),
        };
        let bundle = fit(options, &Silent).expect("a fit").bundle;
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        for (size, (events, as_of)) in &shops {
            let rejects = folder.path().join("rejects.ndjson");
            let (lists, budget) = (Lists::default(), Budget::default());
            let reading = Reading {
                as_of: Some(*as_of),
                rejects: Some(&rejects),
                ..Reading::new(events, &bundle.manifest.config, &lists, &budget)
            };
            let (timelines, data) = read_timelines(&reading, &Silent).expect("its events");
            let options = ScoreOptions {
                out: folder.path().join(name).join(size),
                as_of: *as_of,
                with_features: false,
                format: ScoreFormat::Parquet,
                gates: GatesConfig::default(),
                force: false,
                exclusions: Exclusions::default(),
                categories: CategoryOptions::default(),
            };
            group.throughput(Throughput::Elements(timelines.customers() as u64));
            let measured = from_columns(&bundle, &timelines, &options, |write| {
                group.bench_function(BenchmarkId::new("from_columns", size), |bencher| {
                    bencher.iter(|| write().expect("scores"));
                });
            });
            measured.expect("feature columns");
            group.bench_function(BenchmarkId::new("from_timelines", size), |bencher| {
                bencher
                    .iter(|| score(&bundle, &timelines, data.clone(), &options, Vec::new(), &Silent).expect("scores"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, scoring);
criterion_main!(benches);
