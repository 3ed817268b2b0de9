//! Customers per second of fitting and scoring the buy-till-you-die models, on simulated customers.
//!
//! Customers are drawn with a fixed seed from Pareto/NBD near CDNOW's, over times of a thousandth of a day, so that
//! nearly every history is a distinct one; the fit of the scored models is not timed.

use bellwether::models::btyd::{GammaGamma, Histories, OrdersModel, OrdersProcess, ParetoNbd, Rfm, Spend};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const CUSTOMERS: [(&str, u32); 3] = [("2k", 2_000), ("24k", 24_000), ("1M", 1_000_000)];

/// Customers that the scored models are fitted on.
const FITTED_ON: usize = 24_000;

const MODELS: [(&str, OrdersModel); 3] =
    [("bg_nbd", OrdersModel::BgNbd), ("mbg_nbd", OrdersModel::MbgNbd), ("pareto_nbd", OrdersModel::ParetoNbd)];

/// Models that are scored with, beside those.
const DEARER: [(&str, OrdersModel); 3] = [
    ("ggom_nbd", OrdersModel::GgomNbd),
    ("bg_cnbd_2", OrdersModel::BgCnbd(2)),
    ("mbg_cnbd_3", OrdersModel::MbgCnbd(3)),
];

fn customers(n: u32) -> (Vec<Rfm>, Vec<Option<f64>>) {
    let model = ParetoNbd::new([0.6, 80.0, 0.55, 65.0]).expect("parameters");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let histories: Vec<Rfm> = (0..n).map(|i| model.simulate(f64::from(180 + i % 90), &mut random)).collect();
    let mean = |(history, i): (&Rfm, u32)| (history.x() > 0.0).then(|| f64::from(5 + i % 97));
    let means = histories.iter().zip(0..).map(mean).collect();
    (histories, means)
}

fn spends(histories: &[Rfm], means: &[Option<f64>]) -> Vec<Spend> {
    let known = histories.iter().zip(means).filter_map(|(history, mean)| Some((history.x(), (*mean)?)));
    known.map(|(x, mean)| Spend::new(x, mean).expect("a spend")).collect()
}

fn fitting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit");
    group.sample_size(10);
    for (size, n) in CUSTOMERS {
        let (histories, means) = customers(n);
        let spends = spends(&histories, &means);
        group.throughput(Throughput::Elements(u64::from(n)));
        for (name, model) in MODELS {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| model.fit_orders(&Histories::new(&histories)).expect("a fit"));
            });
        }
        group.bench_function(BenchmarkId::new("gamma_gamma", size), |bencher| {
            bencher.iter(|| GammaGamma::fit(&spends).expect("a fit"));
        });
    }
    group.finish();
}

fn scoring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    group.sample_size(10);
    let (histories, means) = customers(1_000_000);
    let few = &histories[..FITTED_ON];
    // As if the gaps between the orders of a customer were equal.
    let of_gaps = |history: &Rfm| history.x() * (history.t_x() / history.x()).ln();
    let ln_gaps = few.iter().filter(|history| history.x() > 0.0).map(of_gaps).sum();
    let known = Histories::new(few).with_ln_gaps(ln_gaps);
    for (name, model) in MODELS.into_iter().chain(DEARER) {
        let fitted = model.fit(&known, &spends(few, &means[..FITTED_ON])).expect("a fit");
        let scorer = fitted.scorer(90.0).expect("a horizon");
        for (size, n) in CUSTOMERS {
            let n = n as usize;
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| scorer.score_all(&histories[..n], &means[..n]).expect("scores"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fitting, scoring);
criterion_main!(benches);
