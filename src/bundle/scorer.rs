//! The models of one target made ready for many customers: the same predictions as
//! [`FittedColumn::scores`](super::FittedColumn::scores), bit for bit, in one pass over blocks of rows, and with them what each feature adds.
//!
//! Rows are looked at in [`Blocks`], column by column: each is prepared once for all logistic models, asked the questions of all trees, and
//! what they add is read off the leaves in which it ends ([`Forest`]). Contributions are those of [`Detail::Approximate`](super::Detail::Approximate).

mod logistics;
mod members;

use std::ops::Range;

use ndarray::ArrayView2;

use super::apply::{COUNT, NONE, VALUE, foreseen_as};
use super::contributions::{ln_probability, of_both, per_log_odds, place_of};
use super::parameters::{FittedColumn, FittedTarget, Parameters};
use crate::config::TargetKind;
use crate::models::blend::{limited, log_odds, probability_of};
use crate::models::blocks::{ABREAST, BLOCK, Blocks, Sight};
use crate::models::boosted::{Answers, Forest, ManyForest, Objective};
use crate::models::btyd::BtydError;
use crate::models::occurrence::TenurePrior;
use crate::models::occurrence_features;
use crate::models::occurrence_inputs::{self, Seen};
use crate::models::{BlockPreparation, FitError};
use logistics::Logistics;
use members::{Column, OfExpected, OfProbability};

/// The models of one target made ready.
pub struct TargetScorer<'a> {
    fitted: &'a FittedTarget,
    /// Columns that the models see, what is foreseen included.
    width: usize,
    /// First column of what is foreseen.
    foresight: Option<usize>,
    shared: Option<ManyForest<'a>>,
    preparation: Option<BlockPreparation<'a>>,
    logistic: Logistics<'a>,
    columns: Vec<Column<'a>>,
    explained: Option<Explained>,
}

/// What the first column is explained with.
struct Explained {
    /// The place of "days with one" among the contributions: that somebody has never done it is told there.
    never: usize,
    /// What is foreseen of the reference customer, in the places of the columns.
    reference: [f64; occurrence_features::COLUMNS],
    /// Of the members in their order: the raw score that trees and logistic models start from.
    expected: Vec<f64>,
    /// Of each prepared column: the feature that it is of, and its mean.
    sources: Vec<(u32, f64)>,
    /// Places that may have a contribution, ascending.
    places: Vec<u32>,
}

/// What every source adds to the first score column, of one block of rows after another.
pub trait Listener {
    /// Of the rows from number `first` on: their columns, and the contributions of each, and after them those of "days with one" where the
    /// plan does not have it. Only [`TargetScorer::told`] places say anything.
    fn hear(&mut self, first: usize, sight: &Sight, contributions: &[[f64; BLOCK]]);
}

/// What is at hand of a block of rows. Kept from part to part, it saves asking the system for memory.
#[derive(Default)]
pub struct Workbench {
    /// As logistic models take the rows.
    prepared: Vec<[f64; ABREAST]>,
    /// Log odds of each logistic model.
    logistic: Vec<[f64; BLOCK]>,
    /// Log odds, rows × outputs of the shared trees.
    shared: Vec<f64>,
    /// Where the rows end in these.
    leaves: Vec<u32>,
    /// What is answered to the questions of trees.
    answers: Vec<Answers>,
    /// What the trees of a member add to its score.
    changes: Vec<[f64; BLOCK]>,
    /// The same of the first part of a member that has two.
    changes_first: Vec<[f64; BLOCK]>,
    /// By place.
    contributions: Vec<[f64; BLOCK]>,
}

impl<'a> TargetScorer<'a> {
    /// Of a target of a bundle; `explained` says whether it can be asked what the features add.
    ///
    /// # Errors
    /// A reference customer beyond the range of a model, which a bundle of ours never has.
    pub fn new(parameters: &'a Parameters, fitted: &'a FittedTarget, explained: bool) -> Result<Self, BtydError> {
        let features = parameters.plans[fitted.plan].features();
        let foresight = fitted.foresight.map(|_| features.len());
        let width = features.len() + if foresight.is_some() { occurrence_features::COLUMNS } else { 0 };
        let mut logistic = Logistics(Vec::new());
        let columns: Vec<Column> = fitted.columns.iter().map(|column| Column::of(column, &mut logistic)).collect();
        let explained = match explained.then(|| columns.first()).flatten() {
            Some(Column::Occurrence) | None => None,
            Some(column) => {
                let (mut never, mut reference) = (width, [0.0; occurrence_features::COLUMNS]);
                if let Some(model) = fitted.foresight {
                    let model = &parameters.occurrences[model];
                    let [_, days, ..] = occurrence_inputs::features(&model.subject);
                    never = features.iter().position(|feature| feature.name == days.name).unwrap_or(width);
                    let customer = fitted.reference.as_ref().and_then(|reference| reference.customer);
                    let expected =
                        model.expect_of(&customer.unwrap_or(Seen::NEWCOMER), fitted.target.horizon.days())?;
                    let all = [expected.alive, expected.none, expected.occurrences, expected.value];
                    reference = all.map(|number| f64::from(number as f32)); // as the column is
                }
                let sources = fitted.preparation.iter().flat_map(|preparation| {
                    let values = preparation.values().iter().map(|value| (value.feature as u32, 0.0));
                    let share = |feature: usize| fitted.reference.as_ref().map_or(0.0, |known| known.missing[feature]);
                    values.chain(preparation.indicators().iter().map(move |&feature| (feature as u32, share(feature))))
                });
                let sources: Vec<(u32, f64)> = sources.collect();
                let expected = column.expected(&logistic, &sources);
                let mut places = column.sources(&sources);
                if let Some(first) = foresight {
                    let foreseen = (first..first + occurrence_features::COLUMNS).chain([never]);
                    places.extend(foreseen.map(|place| place as u32));
                    places.sort_unstable();
                    places.dedup();
                }
                Some(Explained { never, reference, expected, sources, places })
            }
        };
        Ok(Self {
            fitted,
            width,
            foresight,
            shared: fitted.shared.as_ref().map(|trees| trees.forest()),
            preparation: fitted.preparation.as_ref().map(|preparation| preparation.for_blocks()),
            logistic,
            columns,
            explained,
        })
    }

    /// Number of contributions of a row: one for each column, and one for "days with one" where the plan does not have it.
    pub fn places(&self) -> usize {
        self.explained.as_ref().map_or(self.width, |explained| self.width.max(explained.never + 1))
    }

    /// The places that may have a contribution, ascending; none where nothing is explained.
    pub fn told(&self) -> &[u32] {
        self.explained.as_ref().map_or(&[], |explained| &explained.places)
    }

    /// Adds to `predictions`, which has a list for each score column, those of the `rows` of `features`, with what is `foreseen` of them and
    /// their `tenure` in days; what the features add is told to `listener`. Nothing is added to a column that needs histories. The first
    /// of the rows begins a block, and the last one ends it or the features.
    ///
    /// # Errors
    /// Rows of another width than at the fit, or an infinity.
    ///
    /// # Panics
    /// When what is foreseen is missing, or other than a row for each row.
    pub fn score(
        &self,
        features: &Blocks,
        rows: Range<usize>,
        foreseen: Option<ArrayView2<f32>>,
        tenure: &[f32],
        bench: &mut Workbench,
        mut listener: Option<&mut dyn Listener>,
        predictions: &mut [Vec<f64>],
    ) -> Result<(), FitError> {
        let own = self.foresight.unwrap_or(self.width);
        if features.width() != own {
            return Err(FitError::WrongWidth { expected: own, got: features.width() });
        }
        features.check()?;
        let mut more = [[0.0; BLOCK]; occurrence_features::COLUMNS];
        for first in rows.clone().step_by(BLOCK) {
            let of_rows = first - rows.start;
            let more = match self.foresight {
                Some(_) => {
                    let foreseen = foreseen.as_ref().expect("what is foreseen of each row");
                    self.look_ahead(foreseen, of_rows, &mut more)?;
                    more.as_slice()
                }
                None => &[],
            };
            let sight = features.sight(first, more);
            self.prepare(bench, &sight);
            let tenure = &tenure[of_rows..of_rows + sight.rows()];
            for (number, (column, predictions)) in self.columns.iter().zip(&mut *predictions).enumerate() {
                let explained = if number == 0 && listener.is_some() { self.explained.as_ref() } else { None };
                if let Some(explained) = explained {
                    bench.contributions.resize(self.places(), [0.0; BLOCK]);
                    explained.places.iter().for_each(|&place| bench.contributions[place as usize] = [0.0; BLOCK]);
                }
                let mut scores = [0.0; BLOCK];
                match column {
                    Column::Probability(members) => {
                        self.probability(members, bench, &sight, tenure, explained, &mut scores);
                    }
                    Column::Expected(members) => {
                        self.expected(members, bench, &sight, tenure, explained, &mut scores);
                    }
                    Column::Occurrence => continue,
                }
                let scores = &mut scores[..sight.rows()];
                self.finish(number, scores);
                predictions.extend_from_slice(scores);
                if let (Some(_), Some(listener)) = (explained, listener.as_deref_mut()) {
                    listener.hear(of_rows, &sight, &bench.contributions[..self.places()]);
                }
            }
        }
        Ok(())
    }

    /// What is foreseen of the rows from number `first` on, column by column.
    fn look_ahead(
        &self,
        foreseen: &ArrayView2<f32>,
        first: usize,
        more: &mut [[f32; BLOCK]; occurrence_features::COLUMNS],
    ) -> Result<(), FitError> {
        for lane in 0..(foreseen.nrows() - first).min(BLOCK) {
            let row = foreseen.row(first + lane);
            if let Some(column) = row.iter().position(|value| value.is_infinite()) {
                let (row, value) = (first + lane, row[column].into());
                return Err(FitError::NonFinite { row, column: self.width - more.len() + column, value });
            }
            more.iter_mut().zip(row).for_each(|(column, value)| column[lane] = *value);
        }
        Ok(())
    }

    /// What all columns share.
    fn prepare(&self, bench: &mut Workbench, sight: &Sight) {
        if let (Some(preparation), false) = (&self.preparation, self.logistic.0.is_empty()) {
            preparation.apply(sight, &mut bench.prepared);
            self.logistic.log_odds(&bench.prepared, &mut bench.logistic);
        }
        if let (Some(shared), Some(trees)) = (&self.shared, &self.fitted.shared) {
            bench.shared.resize(sight.rows() * trees.outputs(), 0.0);
            shared.raw(sight, &mut bench.shared, &mut bench.leaves, &mut bench.answers);
        }
    }

    /// From the blend's scores to predictions.
    fn finish(&self, column: usize, scores: &mut [f64]) {
        match &self.fitted.columns[column] {
            FittedColumn::Probability { calibration, .. } => {
                scores.iter_mut().for_each(|score| *score = calibration.probability(*score));
            }
            FittedColumn::Expected { level, .. } => scores.iter_mut().for_each(|score| *score *= level),
            FittedColumn::Occurrence { .. } => {}
        }
    }

    /// What is foreseen of each row, or nothing of somebody who has never done it.
    fn foreseen<'b>(&self, sight: &Sight<'b>, place: usize) -> impl Iterator<Item = Option<f64>> + use<'b> {
        let first = self.foresight.expect("a member that looks ahead comes with what is foreseen");
        sight.column(first + place).iter().map(|&value| Some(f64::from(value)).filter(|value| !value.is_nan()))
    }

    fn foreseen_probability(&self, none: Option<f64>, prior: &TenurePrior, tenure: f32) -> f64 {
        let is_absence = self.fitted.target.kind == TargetKind::Absence;
        let probability = none.map(|none| if is_absence { none } else { 1.0 - none });
        foreseen_as(probability.unwrap_or_else(|| prior.mean(tenure)))
    }

    /// Probabilities of the block's rows.
    fn probability(
        &self,
        members: &[(f64, OfProbability)],
        bench: &mut Workbench,
        sight: &Sight,
        tenure: &[f32],
        explained: Option<&Explained>,
        scores: &mut [f64; BLOCK],
    ) {
        let n = sight.rows();
        let mut member_scores = [0.0; BLOCK];
        for (number, (weight, member)) in members.iter().enumerate() {
            // Log odds, or a probability of a member that is one.
            let is_probability = matches!(member, OfProbability::Occurrence(_) | OfProbability::Rate(_));
            match member {
                OfProbability::Logistic(place) => member_scores = bench.logistic[*place],
                OfProbability::Trees(trees) => {
                    trees.raw(sight, &mut member_scores, explained.map(|_| &mut bench.changes), &mut bench.answers);
                }
                OfProbability::Shared(output) => {
                    let outputs = bench.shared.len() / n;
                    let own = bench.shared.iter().skip(*output).step_by(outputs);
                    member_scores.iter_mut().zip(own).for_each(|(to, score)| *to = *score);
                }
                OfProbability::Occurrence(prior) => {
                    for ((to, none), &tenure) in member_scores.iter_mut().zip(self.foreseen(sight, NONE)).zip(tenure) {
                        *to = self.foreseen_probability(none, prior, tenure);
                    }
                }
                OfProbability::Rate(rate) => member_scores.fill(*rate),
            }
            let member_scores = &member_scores[..n];
            if members.len() == 1 {
                let of = |&score: &f64| if is_probability { score } else { probability_of(score) };
                scores.iter_mut().zip(member_scores).for_each(|(to, score)| *to = of(score));
            } else {
                let of = |&score: &f64| limited(if is_probability { log_odds(score) } else { score });
                scores.iter_mut().zip(member_scores).for_each(|(sum, score)| *sum += weight * of(score));
            }
            let Some(explained) = explained else { continue };
            let contributions = &mut bench.contributions;
            match member {
                OfProbability::Logistic(place) => {
                    let factors =
                        factors(member_scores, |_, score| weight * limiting(explained.expected[number], score));
                    let model = self.logistic.0[*place];
                    let columns = explained.sources.len();
                    for (place, (&(source, mean), coefficient)) in
                        explained.sources.iter().zip(&model.coefficients).enumerate()
                    {
                        let out = contributions[source as usize].chunks_exact_mut(ABREAST);
                        let prepared = bench.prepared.iter().skip(place).step_by(columns);
                        for ((out, values), factors) in out.zip(prepared).zip(factors.chunks_exact(ABREAST)) {
                            for ((out, value), factor) in out.iter_mut().zip(values).zip(factors) {
                                *out += factor * (coefficient * (value - mean));
                            }
                        }
                    }
                }
                OfProbability::Trees(trees) => {
                    let factors =
                        factors(member_scores, |_, score| weight * limiting(explained.expected[number], score));
                    add_changes(trees, &bench.changes, &factors, sight.lanes(), contributions);
                }
                OfProbability::Occurrence(_) => {
                    let is_absence = self.fitted.target.kind == TargetKind::Absence;
                    let none = explained.reference[NONE];
                    let reference = log_odds(foreseen_as(if is_absence { none } else { 1.0 - none }));
                    for (lane, (score, foreseen)) in member_scores.iter().zip(self.foreseen(sight, NONE)).enumerate() {
                        let place = match foreseen {
                            Some(_) => self.width - occurrence_features::COLUMNS + NONE,
                            None => explained.never,
                        };
                        contributions[place][lane] += weight * (log_odds(*score) - reference);
                    }
                }
                // Trees of many columns belong to targets by category, whose columns are not explained every night.
                OfProbability::Shared(_) | OfProbability::Rate(_) => {}
            }
        }
        if members.len() > 1 {
            scores[..n].iter_mut().for_each(|score| *score = probability_of(*score));
        }
    }

    /// Amounts of the block's rows before their level.
    fn expected(
        &self,
        members: &[(f64, OfExpected)],
        bench: &mut Workbench,
        sight: &Sight,
        tenure: &[f32],
        explained: Option<&Explained>,
        scores: &mut [f64; BLOCK],
    ) {
        let n = sight.rows();
        let level = match &self.fitted.columns[0] {
            FittedColumn::Expected { level, .. } => *level,
            _ => 1.0, // of another column, which is not explained
        };
        let (mut member_scores, mut foreseen, mut odds) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        for (number, (weight, member)) in members.iter().enumerate() {
            if let OfExpected::Occurrence(prior) | OfExpected::Corrected { prior, .. } = member {
                let known = self.foreseen(sight, place_of(self.fitted.target.kind));
                for ((to, known), &tenure) in foreseen.iter_mut().zip(known).zip(tenure) {
                    *to = known.unwrap_or_else(|| prior.mean(tenure));
                }
            }
            // Raw scores first, where there are any.
            match member {
                OfExpected::Occurrence(_) => member_scores = foreseen,
                OfExpected::Mean(mean) => member_scores.fill(*mean),
                OfExpected::Trees(trees) | OfExpected::Corrected { trees, .. } => {
                    trees.raw(sight, &mut member_scores, explained.map(|_| &mut bench.changes), &mut bench.answers);
                }
                OfExpected::TwoPart { occurs, amount } => {
                    occurs.raw(sight, &mut odds, explained.map(|_| &mut bench.changes_first), &mut bench.answers);
                    amount.raw(sight, &mut member_scores, explained.map(|_| &mut bench.changes), &mut bench.answers);
                }
            }
            if let Some(explained) = explained {
                let contributions = &mut bench.contributions;
                let raw = &member_scores[..n];
                let factor = weight * level;
                match member {
                    OfExpected::Occurrence(_) => {
                        let reference = explained.reference[place_of(self.fitted.target.kind)];
                        for (lane, foreseen) in foreseen[..n].iter().enumerate() {
                            self.add_foreseen(factor * (foreseen - reference), sight, lane, explained, contributions);
                        }
                    }
                    OfExpected::Trees(trees) => {
                        let base = explained.expected[number];
                        let factors = factors(raw, |_, raw| factor * per_log(trees, base, raw - base));
                        add_changes(trees, &bench.changes, &factors, sight.lanes(), contributions);
                    }
                    OfExpected::Corrected { trees, least, .. } => {
                        let reference = explained.reference[place_of(self.fitted.target.kind)].max(*least).ln();
                        let expected = explained.expected[number];
                        let beyond = factors(&foreseen[..n], |_, foreseen| foreseen.max(*least).ln() - reference);
                        let factors = factors(raw, |lane, raw| {
                            factor * per_log(trees, expected + reference, raw - expected + beyond[lane])
                        });
                        add_changes(trees, &bench.changes, &factors, sight.lanes(), contributions);
                        for lane in 0..n {
                            self.add_foreseen(factors[lane] * beyond[lane], sight, lane, explained, contributions);
                        }
                    }
                    OfExpected::TwoPart { occurs, amount } => {
                        let (base, base_odds) = (explained.expected[number], occurs.model().expected());
                        let of_amount = factors(raw, |lane, raw| {
                            factor * per_log(amount, base, raw + ln_probability(odds[lane]) - base)
                        });
                        let of_odds = factors(&odds[..n], |lane, odds| {
                            of_amount[lane] * per_log_odds(base_odds, odds - base_odds)
                        });
                        add_changes(amount, &bench.changes, &of_amount, sight.lanes(), contributions);
                        add_changes(occurs, &bench.changes_first, &of_odds, sight.lanes(), contributions);
                    }
                    OfExpected::Mean(_) => {}
                }
            }
            let member_scores = &mut member_scores[..n];
            match member {
                OfExpected::Trees(trees) => {
                    let objective = trees.model().objective();
                    member_scores.iter_mut().for_each(|score| *score = objective.prediction(*score));
                }
                OfExpected::Corrected { trees, least, .. } => {
                    let objective = trees.model().objective();
                    for (score, foreseen) in member_scores.iter_mut().zip(&foreseen) {
                        *score = objective.prediction(*score + foreseen.max(*least).ln());
                    }
                }
                OfExpected::TwoPart { occurs, amount } => {
                    let (occurs, amount) = (occurs.model().objective(), amount.model().objective());
                    for (score, odds) in member_scores.iter_mut().zip(&odds) {
                        *score = occurs.prediction(*odds) * amount.prediction(*score);
                    }
                }
                OfExpected::Occurrence(_) | OfExpected::Mean(_) => {}
            }
            if members.len() == 1 {
                scores[..n].copy_from_slice(member_scores);
            } else {
                scores.iter_mut().zip(&*member_scores).for_each(|(sum, score)| *sum += weight * score);
            }
        }
    }

    /// Adds a change of what is foreseen of a row where it is told.
    fn add_foreseen(
        &self,
        change: f64,
        sight: &Sight,
        lane: usize,
        explained: &Explained,
        contributions: &mut [[f64; BLOCK]],
    ) {
        let first = self.width - occurrence_features::COLUMNS;
        let kind = self.fitted.target.kind;
        let value = f64::from(sight.column(first + place_of(kind))[lane]);
        if value.is_nan() {
            contributions[explained.never][lane] += change;
        } else if kind == TargetKind::Amount {
            let now = [f64::from(sight.column(first + COUNT)[lane]), value];
            let before = [explained.reference[COUNT], explained.reference[VALUE]];
            let [of_count, of_money] = of_both(change, now, before);
            contributions[first + COUNT][lane] += of_count;
            contributions[first + VALUE][lane] += of_money;
        } else {
            contributions[first + place_of(kind)][lane] += change;
        }
    }
}

/// What `of` says of each row's number and raw score; 0 beyond the last row.
fn factors(raw: &[f64], of: impl Fn(usize, f64) -> f64) -> [f64; BLOCK] {
    let mut factors = [0.0; BLOCK];
    factors.iter_mut().zip(raw).enumerate().for_each(|(lane, (factor, raw))| *factor = of(lane, *raw));
    factors
}

/// Adds what the trees of a member change, times the factor of each row.
fn add_changes(
    trees: &Forest,
    changes: &[[f64; BLOCK]],
    factors: &[f64; BLOCK],
    lanes: usize,
    contributions: &mut [[f64; BLOCK]],
) {
    for (&column, changes) in trees.columns().iter().zip(changes) {
        let out = &mut contributions[column as usize][..lanes];
        out.iter_mut().zip(changes).zip(factors).for_each(|((out, change), factor)| *out += factor * change);
    }
}

/// What a contribution to a score counts in a blend, which limits log odds: 1 but for the extreme.
fn limiting(base: f64, score: f64) -> f64 {
    if (limited(base) == base && limited(score) == score) || score == base {
        return 1.0;
    }
    (limited(score) - limited(base)) / (score - base)
}

/// What a contribution to the logarithm counts in the amount: see [`Contributions`](super::Contributions).
fn per_log(trees: &Forest, base: f64, change: f64) -> f64 {
    let objective = trees.model().objective();
    let amount = objective.prediction(base);
    match objective {
        Objective::Poisson | Objective::Tweedie { .. } | Objective::Gamma if change == 0.0 => amount,
        Objective::Poisson | Objective::Tweedie { .. } | Objective::Gamma => amount * change.exp_m1() / change,
        _ if change == 0.0 => 0.0,
        other => (other.prediction(base + change) - amount) / change,
    }
}
