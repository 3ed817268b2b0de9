//! Rows per second of boosted trees: binning, fits, predictions and contributions, on rows drawn with a fixed seed.
//!
//! 100 columns, a tenth of the values missing in every fifth; a label that depends on a few columns and their products. A fit is 20 trees of
//! 31 leaves on rows that are binned already, and one of 50 outputs at once.

use bellwether::models::boosted::{Binned, BoostedTrees, ManyTargets, Targets};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: [(&str, usize); 3] = [("5k", 5_000), ("50k", 50_000), ("500k", 500_000)];

const COLUMNS: usize = 100;

/// Rows that are explained: a contribution takes as long as hundreds of predictions.
const EXPLAINED: usize = 1_000;

/// Outputs of the fit of many, and the rows of the largest of them.
const OUTPUTS: usize = 50;
const MANY_ROWS: usize = 50_000;

fn data(rows: usize) -> (Array2<f32>, Vec<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let features = Array2::from_shape_simple_fn((rows, COLUMNS), || random.random::<f32>());
    let labels = features.rows().into_iter().map(|x| {
        let score = 3.0 * x[0] * x[1] + 2.0 * x[2] - x[3] - if x[4] > 0.5 { 2.0 * x[5] } else { 0.0 } - 1.0;
        f64::from(u8::from(random.random::<f32>() < 1.0 / (1.0 + (-score).exp())))
    });
    let labels = labels.collect();
    let mut features = features;
    for column in (0..COLUMNS).step_by(5) {
        features.column_mut(column).iter_mut().filter(|value| **value < 0.1).for_each(|value| *value = f32::NAN);
    }
    (features, labels)
}

fn boosted(criterion: &mut Criterion) {
    let settings = BoostedTrees { rounds: 20, ..BoostedTrees::default() };
    let mut group = criterion.benchmark_group("boosted");
    group.sample_size(10);
    let (features, labels) = data(ROWS[ROWS.len() - 1].1);
    for (size, rows) in ROWS {
        let (features, labels) = (features.slice(s![..rows, ..]), &labels[..rows]);
        let binned = Binned::fit(features, &[], 255, None).expect("bins");
        let model = settings.fit_binned(&binned, Targets::of(labels), None).expect("a fit");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new("bin", size), |bencher| {
            bencher.iter(|| Binned::fit(features, &[], 255, None).expect("bins"));
        });
        group.bench_function(BenchmarkId::new("fit", size), |bencher| {
            bencher.iter(|| settings.fit_binned(&binned, Targets::of(labels), None).expect("a fit"));
        });
        group.bench_function(BenchmarkId::new("predict", size), |bencher| {
            bencher.iter(|| model.predict(features).expect("predictions"));
        });
        if rows <= MANY_ROWS {
            let outputs = Array2::from_shape_fn((rows, OUTPUTS), |(row, output)| {
                f32::from(u8::from(features[[row, output]] * labels[row] as f32 > 0.4))
            });
            let targets = ManyTargets { labels: outputs.view(), weights: None };
            group.bench_function(BenchmarkId::new("fit_50_outputs", size), |bencher| {
                bencher.iter(|| settings.fit_many(&binned, targets, None).expect("a fit"));
            });
        }
        if rows == ROWS[0].1 {
            let some = features.slice(s![..EXPLAINED, ..]);
            group.throughput(Throughput::Elements(EXPLAINED as u64));
            group.bench_function(BenchmarkId::new("contributions", EXPLAINED), |bencher| {
                bencher.iter(|| model.contributions(some).expect("contributions"));
            });
            group.bench_function(BenchmarkId::new("approximate_contributions", EXPLAINED), |bencher| {
                bencher.iter(|| model.approximate_contributions(some).expect("contributions"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, boosted);
criterion_main!(benches);
