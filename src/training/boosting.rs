//! Settings of boosted trees, found on rows that are later than those they learn from.

use std::time::{Duration, Instant};

use ndarray::ArrayView2;

use crate::config::TrainingConfig;
use crate::models::FitError;
use crate::models::boosted::{Binned, BoostedModel, BoostedTrees, Objective, Targets};

/// Candidates of the search in the order in which they are tried: small trees first, as most customer data want them. The
/// fields: leaves, rows of a leaf at least, share of the features for each tree, penalty on the squares.
const CANDIDATES: [(usize, usize, f64, f64); 8] = [
    (8, 50, 0.5, 5.0),
    (4, 20, 0.5, 1.0),
    (15, 50, 0.5, 5.0),
    (6, 20, 0.25, 1.0),
    (31, 100, 0.3, 10.0),
    (8, 200, 0.25, 20.0),
    (3, 20, 0.5, 1.0),
    (63, 200, 0.3, 10.0),
];

/// As many candidates can be tried.
pub(crate) const MOST_TRIALS: usize = CANDIDATES.len();

const LEARNING_RATE: f64 = 0.05;
const ROW_FRACTION: f64 = 0.8;
const MOST_ROUNDS: usize = 1000;
/// Rounds without a lower loss after which a fit ends.
const PATIENCE: usize = 40;
/// A leaf holds at least this share of the rows of a small table less than its setting asks for.
const LEAST_LEAF_SHARE: f64 = 1.0 / 40.0;
/// The search begins with this many rows and doubles them while it halves the candidates.
const FIRST_RUNG: usize = 20_000;

/// Labels of rows as boosted trees take them, and where their scores start.
#[derive(Clone, Copy)]
pub(super) struct Lesson<'a> {
    pub(super) labels: &'a [f64],
    pub(super) offset: Option<&'a [f64]>,
    pub(super) weights: Option<&'a [f64]>,
}

impl<'a> Lesson<'a> {
    /// Rows that count alike, where scores start from nothing.
    pub(super) fn of(labels: &'a [f64]) -> Self {
        Self { labels, offset: None, weights: None }
    }

    fn targets(&self) -> Targets<'a> {
        Targets { labels: self.labels, weights: self.weights, offset: self.offset }
    }
}

/// Bins of training and validation rows, shared by all fits on them.
pub(super) struct Bins {
    pub(super) train: Binned,
    validate: Binned,
}

impl Bins {
    pub(super) fn new(train: ArrayView2<f32>, validate: ArrayView2<f32>) -> Result<Self, FitError> {
        let bins = BoostedTrees::default().max_bins;
        let train = Binned::fit(train, &[], bins, None)?;
        let validate = train.more(validate)?;
        Ok(Self { train, validate })
    }
}

/// The settings of candidate number `trial`.
fn candidate(trial: usize, objective: Objective, rows: usize, seed: u64) -> BoostedTrees {
    let (max_leaves, min_rows, feature_fraction, l2) = CANDIDATES[trial];
    let most = ((rows as f64 * LEAST_LEAF_SHARE) as usize).max(2);
    BoostedTrees {
        objective,
        rounds: MOST_ROUNDS,
        learning_rate: LEARNING_RATE,
        max_leaves,
        min_rows_per_leaf: min_rows.min(most),
        feature_fraction,
        row_fraction: ROW_FRACTION,
        l2,
        seed,
        early_stopping_rounds: Some(PATIENCE),
        ..BoostedTrees::default()
    }
}

/// Settings whose validation loss is least among the first `trials` candidates, by successive halving (Jamieson & Talwalkar
/// 2016, AISTATS): all start on a share of the customers, the better half goes on with twice as many.
///
/// `hashes` tell the customers of the training rows apart. The rounds are still to be found ([`settle`]).
pub(super) fn search(
    bins: &Bins,
    train: Lesson,
    validate: Lesson,
    hashes: &[u64],
    objective: Objective,
    training: &TrainingConfig,
) -> Result<BoostedTrees, FitError> {
    let (trials, seed) = (training.trials, training.seed);
    let rows = train.labels.len();
    // The one place that looks at a clock, and only where it was asked to: the bundle says so.
    let budget = (training.budget_seconds > 0).then(|| Duration::from_secs(training.budget_seconds.into()));
    let started = Instant::now();
    let is_over = || budget.is_some_and(|budget| started.elapsed() >= budget);
    let mut left: Vec<usize> = (0..trials.clamp(1, MOST_TRIALS)).collect();
    let mut share = (FIRST_RUNG as f64 / rows as f64).min(1.0);
    while left.len() > 1 {
        let weights: Option<Vec<f64>> = (share < 1.0).then(|| {
            let wanted = |&hash: &u64| crate::timeline::sample_fraction(hash, RUNG_SALT) < share;
            let of = |(row, hash)| if wanted(hash) { train.weights.map_or(1.0, |weights| weights[row]) } else { 0.0 };
            hashes.iter().enumerate().map(of).collect()
        });
        let mut losses: Vec<(f64, usize)> = Vec::with_capacity(left.len());
        for &trial in &left {
            if is_over() && !losses.is_empty() {
                break;
            }
            let settings = candidate(trial, objective, (rows as f64 * share) as usize, seed);
            let fitted = settings.fit_binned(
                &bins.train,
                Targets { weights: weights.as_deref().or(train.weights), ..train.targets() },
                Some((&bins.validate, validate.targets())),
            );
            // A share of the customers may be too few to learn anything from: the others decide.
            let Ok(model) = fitted else { continue };
            let least = model.validation_losses().iter().copied().fold(f64::INFINITY, f64::min);
            losses.push((least, trial));
        }
        losses.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let is_last = share >= 1.0 || losses.is_empty() || is_over();
        left = match losses.is_empty() {
            true => vec![left[0]],
            false => losses.into_iter().map(|(_, trial)| trial).take(left.len().div_ceil(2)).collect(),
        };
        if is_last {
            left.truncate(1);
        }
        share = (share * 2.0).min(1.0);
    }
    Ok(candidate(left[0], objective, rows, seed))
}

/// Salt of the customers of each rung.
const RUNG_SALT: u64 = 3;

/// Of few rows so many fits with other seeds are averaged, as long as they see no more than [`BAGGED_ROWS`] in all.
const MOST_BAGS: usize = 5;
const BAGGED_ROWS: usize = 80_000;

fn bags(rows: usize) -> usize {
    (BAGGED_ROWS / rows.max(1)).clamp(1, MOST_BAGS)
}

/// The model of settings whose rounds are known: the mean of several fits where rows are few.
pub(super) fn fit(settings: &BoostedTrees, bins: &Binned, targets: Targets) -> Result<BoostedModel, FitError> {
    let of = |bag: usize| {
        let seed = settings.seed.wrapping_add(bag as u64);
        BoostedTrees { seed, ..settings.clone() }.fit_binned(bins, targets, None)
    };
    Ok(BoostedModel::mean_of((0..bags(bins.rows())).map(of).collect::<Result<_, _>>()?))
}

/// The same for rows that no other fit shares.
pub(super) fn fit_rows(
    settings: &BoostedTrees,
    rows: ArrayView2<f32>,
    targets: Targets,
) -> Result<BoostedModel, FitError> {
    let bins = Binned::fit(rows, &[], settings.max_bins, targets.weights)?;
    fit(settings, &bins, targets)
}

/// A fit to all training rows that stops where the validation loss is least, and settings with so many rounds and no
/// stop, for fits that have no such rows.
pub(super) fn settle(
    settings: BoostedTrees,
    bins: &Bins,
    train: Lesson,
    validate: Lesson,
) -> Result<(BoostedTrees, BoostedModel), FitError> {
    let model = settings.fit_binned(&bins.train, train.targets(), Some((&bins.validate, validate.targets())))?;
    let settings = BoostedTrees { rounds: model.trees().len(), early_stopping_rounds: None, ..settings };
    let model = if bags(bins.train.rows()) > 1 { fit(&settings, &bins.train, train.targets())? } else { model };
    Ok((settings, model))
}

/// The same settings for another objective.
pub(super) fn for_objective(settings: &BoostedTrees, objective: Objective) -> BoostedTrees {
    BoostedTrees { objective, rounds: MOST_ROUNDS, early_stopping_rounds: Some(PATIENCE), ..settings.clone() }
}

/// Settings of trees that many outputs share: each sees only a part of every tree's say, so that trees may be larger.
pub(super) fn shared(rows: usize, seed: u64) -> BoostedTrees {
    BoostedTrees {
        max_leaves: SHARED_LEAVES,
        rounds: SHARED_ROUNDS,
        learning_rate: SHARED_RATE,
        ..candidate(0, Objective::Logistic, rows, seed)
    }
}

const SHARED_LEAVES: usize = 16;
const SHARED_ROUNDS: usize = 150;
const SHARED_RATE: f64 = 0.1;
