//! The models of one target made ready for many customers: the same predictions as
//! [`FittedColumn::scores`](super::FittedColumn::scores), bit for bit, in one pass over blocks of rows, and with them what each feature adds.
//!
//! Rows are looked at in blocks that fit a second-level cache: each is prepared once for all logistic models, walks each tree once, and
//! what it adds is read off the leaves in which it ends ([`Forest`]). Contributions are those of [`Detail::Approximate`](super::Detail::Approximate).

use ndarray::ArrayView2;

use super::apply::{COUNT, NONE, VALUE, foreseen_as};
use super::contributions::{of_both, place_of};
use super::parameters::{ExpectedModel, FittedColumn, FittedTarget, Parameters, ProbabilityModel};
use crate::config::TargetKind;
use crate::models::FitError;
use crate::models::blend::{limited, log_odds, probability_of};
use crate::models::boosted::{Forest, ManyForest, Objective};
use crate::models::btyd::BtydError;
use crate::models::logistic::LogisticModel;
use crate::models::occurrence::TenurePrior;
use crate::models::occurrence_features;
use crate::models::occurrence_inputs::{self, Seen};

/// Rows of a block.
const BLOCK: usize = 64;

/// Rows and models whose products with a column are summed side by side.
const ROWS_ABREAST: usize = 4;
const MODELS_ABREAST: usize = 4;

/// The models of one target made ready.
pub struct TargetScorer<'a> {
    fitted: &'a FittedTarget,
    /// Columns that the models see, what is foreseen included.
    width: usize,
    /// First column of what is foreseen.
    foresight: Option<usize>,
    shared: Option<ManyForest<'a>>,
    logistic: Logistics<'a>,
    columns: Vec<Column<'a>>,
    explained: Option<Explained>,
}

enum Column<'a> {
    Probability(Vec<(f64, OfProbability<'a>)>),
    Expected(Vec<(f64, OfExpected<'a>)>),
    /// Needs histories: not scored here.
    Occurrence,
}

enum OfProbability<'a> {
    /// The place of the model among all logistic ones.
    Logistic(usize),
    Trees(Box<Forest<'a>>),
    Shared(usize),
    Occurrence(&'a TenurePrior),
    Rate(f64),
}

enum OfExpected<'a> {
    Occurrence(&'a TenurePrior),
    Trees(Box<Forest<'a>>),
    Corrected { trees: Box<Forest<'a>>, least: f64, prior: &'a TenurePrior },
    Mean(f64),
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
}

/// Predictions of rows.
pub struct TargetScores {
    /// One list for each score column; empty of a column that needs histories.
    pub predictions: Vec<Vec<f64>>,
}

/// What every source adds to the first score column, of one row after another.
pub trait Listener {
    /// Of row number `row`: its columns, and the contribution of each, and after them that of "days with one" where the plan
    /// does not have it.
    fn hear(&mut self, row: usize, columns: &[f32], contributions: &[f64]);
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
        let mut logistic = Vec::new();
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
                Some(Explained { never, reference, expected, sources })
            }
        };
        Ok(Self {
            fitted,
            width,
            foresight,
            shared: fitted.shared.as_ref().map(|trees| trees.forest()),
            logistic: Logistics::new(logistic),
            columns,
            explained,
        })
    }

    /// Number of contributions of a row: one for each column, and one for "days with one" where the plan does not have it.
    pub fn places(&self) -> usize {
        self.explained.as_ref().map_or(self.width, |explained| self.width.max(explained.never + 1))
    }

    /// Predictions of rows × `features`, with what is `foreseen` of them and their `tenure` in days; what the features add is told
    /// to `listener`.
    ///
    /// # Errors
    /// Rows of another width than at the fit, or an infinity.
    ///
    /// # Panics
    /// When what is foreseen is missing, or other than a row for each row.
    pub fn score(
        &self,
        features: ArrayView2<f32>,
        foreseen: Option<ArrayView2<f32>>,
        tenure: &[f32],
        mut listener: Option<&mut dyn Listener>,
    ) -> Result<TargetScores, FitError> {
        let own = self.foresight.unwrap_or(self.width);
        if features.ncols() != own {
            return Err(FitError::WrongWidth { expected: own, got: features.ncols() });
        }
        let n = features.nrows();
        let mut predictions: Vec<Vec<f64>> = self.columns.iter().map(|_| Vec::new()).collect();
        for (column, predictions) in self.columns.iter().zip(&mut predictions) {
            if !matches!(column, Column::Occurrence) {
                predictions.reserve_exact(n);
            }
        }
        let mut block = Block::default();
        for start in (0..n).step_by(BLOCK) {
            let rows = (n - start).min(BLOCK);
            block.rows.clear();
            for row in start..start + rows {
                match features.row(row).to_slice() {
                    Some(row) => block.rows.extend_from_slice(row),
                    None => block.rows.extend(features.row(row)),
                }
                if self.foresight.is_some() {
                    let foreseen = foreseen.as_ref().expect("what is foreseen of each row");
                    block.rows.extend(foreseen.row(row));
                }
            }
            if let Some(place) = block.rows.iter().position(|value| value.is_infinite()) {
                let (row, column) = (start + place / self.width, place % self.width);
                return Err(FitError::NonFinite { row, column, value: block.rows[place].into() });
            }
            self.prepare(&mut block, rows);
            let tenure = &tenure[start..start + rows];
            for (number, (column, predictions)) in self.columns.iter().zip(&mut predictions).enumerate() {
                let explained = if number == 0 && listener.is_some() { self.explained.as_ref() } else { None };
                block.scores.clear();
                block.scores.resize(rows, 0.0);
                block.contributions.clear();
                if explained.is_some() {
                    block.contributions.resize(rows * self.places(), 0.0);
                }
                match column {
                    Column::Probability(members) => self.probability(members, &mut block, tenure, explained),
                    Column::Expected(members) => self.expected(members, &mut block, tenure, explained),
                    Column::Occurrence => continue,
                }
                self.finish(number, &mut block.scores);
                predictions.extend_from_slice(&block.scores);
                if let (Some(_), Some(listener)) = (explained, listener.as_deref_mut()) {
                    let columns = block.rows.chunks_exact(self.width);
                    for (row, (columns, contributions)) in
                        columns.zip(block.contributions.chunks_exact(self.places())).enumerate()
                    {
                        listener.hear(start + row, columns, contributions);
                    }
                }
            }
        }
        Ok(TargetScores { predictions })
    }

    /// What all columns share.
    fn prepare(&self, block: &mut Block, rows: usize) {
        if let (Some(preparation), true) = (&self.fitted.preparation, !self.logistic.models.is_empty()) {
            block.prepared.resize(rows * preparation.n_columns(), 0.0);
            preparation.apply_rows(&block.rows, &mut block.prepared);
            self.logistic.log_odds(&block.prepared, rows, &mut block.logistic);
        }
        if let Some(shared) = &self.shared {
            let outputs = self.fitted.shared.as_ref().map_or(0, |trees| trees.outputs());
            block.shared.resize(rows * outputs, 0.0);
            shared.raw(&block.rows, &mut block.shared);
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

    /// What is foreseen of a row, or nothing of somebody who has never done it.
    fn foreseen(&self, row: &[f32], place: usize) -> Option<f64> {
        let first = self.foresight.expect("a member that looks ahead comes with what is foreseen");
        Some(f64::from(row[first + place])).filter(|value| !value.is_nan())
    }

    fn foreseen_probability(&self, row: &[f32], prior: &TenurePrior, tenure: f32) -> f64 {
        let is_absence = self.fitted.target.kind == TargetKind::Absence;
        let probability = self.foreseen(row, NONE).map(|none| if is_absence { none } else { 1.0 - none });
        foreseen_as(probability.unwrap_or_else(|| prior.mean(tenure)))
    }

    fn foreseen_quantity(&self, row: &[f32], prior: &TenurePrior, tenure: f32) -> f64 {
        self.foreseen(row, place_of(self.fitted.target.kind)).unwrap_or_else(|| prior.mean(tenure))
    }

    /// Probabilities of the block's rows, left in its scores.
    fn probability(
        &self,
        members: &[(f64, OfProbability)],
        block: &mut Block,
        tenure: &[f32],
        explained: Option<&Explained>,
    ) {
        let n = tenure.len();
        let places = self.places();
        for (number, (weight, member)) in members.iter().enumerate() {
            block.member.clear();
            // Log odds, or a probability of a member that is one.
            let is_probability = matches!(member, OfProbability::Occurrence(_) | OfProbability::Rate(_));
            match member {
                OfProbability::Logistic(place) => {
                    let scores = block.logistic.iter().skip(*place).step_by(self.logistic.models.len());
                    block.member.extend(scores);
                }
                OfProbability::Trees(trees) => {
                    block.member.resize(n, 0.0);
                    trees.raw(&block.rows, &mut block.member, explained.map(|_| &mut block.ends));
                }
                OfProbability::Shared(output) => {
                    let outputs = block.shared.len() / n;
                    block.member.extend(block.shared.iter().skip(*output).step_by(outputs));
                }
                OfProbability::Occurrence(prior) => {
                    let rows = block.rows.chunks_exact(self.width).zip(tenure);
                    block.member.extend(rows.map(|(row, tenure)| self.foreseen_probability(row, prior, *tenure)));
                }
                OfProbability::Rate(rate) => block.member.resize(n, *rate),
            }
            if members.len() == 1 {
                let of = |&score: &f64| if is_probability { score } else { probability_of(score) };
                block.scores.iter_mut().zip(&block.member).for_each(|(to, score)| *to = of(score));
            } else {
                let of = |&score: &f64| limited(if is_probability { log_odds(score) } else { score });
                block.scores.iter_mut().zip(&block.member).for_each(|(sum, score)| *sum += weight * of(score));
            }
            let Some(explained) = explained else { continue };
            for row in 0..n {
                let out = &mut block.contributions[row * places..(row + 1) * places];
                let score = block.member[row];
                match member {
                    OfProbability::Logistic(place) => {
                        let width = explained.sources.len();
                        let prepared = &block.prepared[row * width..(row + 1) * width];
                        let factor = weight * limiting(explained.expected[number], score);
                        let sources = explained.sources.iter().zip(&self.logistic.models[*place].coefficients);
                        for (&value, (&(source, mean), coefficient)) in prepared.iter().zip(sources) {
                            out[source as usize] += factor * (coefficient * (value - mean));
                        }
                    }
                    OfProbability::Trees(trees) => {
                        let factor = weight * limiting(explained.expected[number], score);
                        trees.add_changes(&block.ends, n, row, factor, out);
                    }
                    OfProbability::Occurrence(_) => {
                        let columns = &block.rows[row * self.width..(row + 1) * self.width];
                        let is_absence = self.fitted.target.kind == TargetKind::Absence;
                        let none = explained.reference[NONE];
                        let reference = log_odds(foreseen_as(if is_absence { none } else { 1.0 - none }));
                        let place = match self.foreseen(columns, NONE) {
                            Some(_) => self.width - occurrence_features::COLUMNS + NONE,
                            None => explained.never,
                        };
                        out[place] += weight * (log_odds(score) - reference);
                    }
                    // Trees of many columns belong to targets by category, whose columns are not explained every night.
                    OfProbability::Shared(_) | OfProbability::Rate(_) => {}
                }
            }
        }
        if members.len() > 1 {
            block.scores.iter_mut().for_each(|score| *score = probability_of(*score));
        }
    }

    /// Amounts of the block's rows before their level, left in its scores.
    fn expected(
        &self,
        members: &[(f64, OfExpected)],
        block: &mut Block,
        tenure: &[f32],
        explained: Option<&Explained>,
    ) {
        let n = tenure.len();
        let places = self.places();
        let level = match &self.fitted.columns[0] {
            FittedColumn::Expected { level, .. } => *level,
            _ => 1.0, // of another column, which is not explained
        };
        for (number, (weight, member)) in members.iter().enumerate() {
            block.member.clear();
            block.member.resize(n, 0.0);
            block.foreseen.clear();
            if let OfExpected::Occurrence(prior) | OfExpected::Corrected { prior, .. } = member {
                let rows = block.rows.chunks_exact(self.width).zip(tenure);
                block.foreseen.extend(rows.map(|(row, tenure)| self.foreseen_quantity(row, prior, *tenure)));
            }
            // Raw scores first, where there are any.
            match member {
                OfExpected::Occurrence(_) => block.member.copy_from_slice(&block.foreseen),
                OfExpected::Mean(mean) => block.member.fill(*mean),
                OfExpected::Trees(trees) | OfExpected::Corrected { trees, .. } => {
                    trees.raw(&block.rows, &mut block.member, explained.map(|_| &mut block.ends));
                }
            }
            if let Some(explained) = explained {
                for row in 0..n {
                    let out = &mut block.contributions[row * places..(row + 1) * places];
                    let columns = &block.rows[row * self.width..(row + 1) * self.width];
                    let factor = weight * level;
                    let raw = block.member[row];
                    match member {
                        OfExpected::Occurrence(_) => {
                            let reference = explained.reference[place_of(self.fitted.target.kind)];
                            let change = factor * (block.foreseen[row] - reference);
                            self.add_foreseen(change, columns, explained, out);
                        }
                        OfExpected::Trees(trees) => {
                            let base = explained.expected[number];
                            let factor = factor * per_log(trees, base, raw - base);
                            trees.add_changes(&block.ends, n, row, factor, out);
                        }
                        OfExpected::Corrected { trees, least, .. } => {
                            let reference = explained.reference[place_of(self.fitted.target.kind)].max(*least).ln();
                            let foreseen = block.foreseen[row].max(*least).ln() - reference;
                            let expected = explained.expected[number];
                            let factor = factor * per_log(trees, expected + reference, raw - expected + foreseen);
                            trees.add_changes(&block.ends, n, row, factor, out);
                            self.add_foreseen(factor * foreseen, columns, explained, out);
                        }
                        OfExpected::Mean(_) => {}
                    }
                }
            }
            match member {
                OfExpected::Trees(trees) => {
                    let objective = trees.model().objective();
                    block.member.iter_mut().for_each(|score| *score = objective.prediction(*score));
                }
                OfExpected::Corrected { trees, least, .. } => {
                    let objective = trees.model().objective();
                    for (score, foreseen) in block.member.iter_mut().zip(&block.foreseen) {
                        *score = objective.prediction(*score + foreseen.max(*least).ln());
                    }
                }
                OfExpected::Occurrence(_) | OfExpected::Mean(_) => {}
            }
            if members.len() == 1 {
                block.scores.copy_from_slice(&block.member);
            } else {
                block.scores.iter_mut().zip(&block.member).for_each(|(sum, score)| *sum += weight * score);
            }
        }
    }

    /// Adds a change of what is foreseen where it is told.
    fn add_foreseen(&self, change: f64, columns: &[f32], explained: &Explained, out: &mut [f64]) {
        let first = self.width - occurrence_features::COLUMNS;
        let kind = self.fitted.target.kind;
        match self.foreseen(columns, place_of(kind)) {
            None => out[explained.never] += change,
            Some(value) if kind == TargetKind::Amount => {
                let now = [f64::from(columns[first + COUNT]), value];
                let before = [explained.reference[COUNT], explained.reference[VALUE]];
                let [of_count, of_money] = of_both(change, now, before);
                out[first + COUNT] += of_count;
                out[first + VALUE] += of_money;
            }
            Some(_) => out[first + place_of(kind)] += change,
        }
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

impl<'a> Column<'a> {
    fn of(column: &'a FittedColumn, logistic: &mut Vec<&'a LogisticModel>) -> Self {
        match column {
            FittedColumn::Probability { model, .. } => {
                let members = model.members.iter().map(|member| {
                    let of = match &member.model {
                        ProbabilityModel::Logistic(model) => {
                            logistic.push(model);
                            OfProbability::Logistic(logistic.len() - 1)
                        }
                        ProbabilityModel::Boosted(model) => OfProbability::Trees(Box::new(model.forest())),
                        ProbabilityModel::Shared { output } => OfProbability::Shared(*output),
                        ProbabilityModel::Occurrence { prior } => OfProbability::Occurrence(prior),
                        ProbabilityModel::Rate(rate) => OfProbability::Rate(*rate),
                    };
                    (member.weight, of)
                });
                Self::Probability(members.collect())
            }
            FittedColumn::Expected { model, .. } => {
                let members = model.members.iter().map(|member| {
                    let of = match &member.model {
                        ExpectedModel::Occurrence { prior } => OfExpected::Occurrence(prior),
                        ExpectedModel::Boosted(model) => OfExpected::Trees(Box::new(model.forest())),
                        ExpectedModel::Corrected { model, least, prior } => {
                            OfExpected::Corrected { trees: Box::new(model.forest()), least: *least, prior }
                        }
                        ExpectedModel::Mean(mean) => OfExpected::Mean(*mean),
                    };
                    (member.weight, of)
                });
                Self::Expected(members.collect())
            }
            FittedColumn::Occurrence { .. } => Self::Occurrence,
        }
    }

    /// Of each member the raw score where nothing is known; `sources` have the mean of each prepared column.
    fn expected(&self, logistic: &[&LogisticModel], sources: &[(u32, f64)]) -> Vec<f64> {
        match self {
            Self::Probability(members) => {
                let of = |member: &OfProbability| match member {
                    OfProbability::Trees(trees) => trees.model().expected(),
                    OfProbability::Logistic(place) => {
                        let model = logistic[*place];
                        let products = sources.iter().zip(&model.coefficients).map(|((_, mean), c)| c * mean);
                        products.fold(model.intercept, |sum, product| sum + product)
                    }
                    _ => 0.0,
                };
                members.iter().map(|(_, member)| of(member)).collect()
            }
            Self::Expected(members) => {
                let of = |member: &OfExpected| match member {
                    OfExpected::Trees(trees) | OfExpected::Corrected { trees, .. } => trees.model().expected(),
                    _ => 0.0,
                };
                members.iter().map(|(_, member)| of(member)).collect()
            }
            Self::Occurrence => Vec::new(),
        }
    }
}

/// What is at hand of a block of rows.
#[derive(Default)]
struct Block {
    /// Columns, row by row.
    rows: Vec<f32>,
    /// As logistic models take them.
    prepared: Vec<f64>,
    /// Log odds, rows × logistic models.
    logistic: Vec<f64>,
    /// Log odds, rows × outputs of the shared trees.
    shared: Vec<f64>,
    scores: Vec<f64>,
    /// Of the member that is being asked.
    member: Vec<f64>,
    foreseen: Vec<f64>,
    ends: Vec<u32>,
    /// Rows × places.
    contributions: Vec<f64>,
}

/// Logistic models of the same prepared columns.
struct Logistics<'a> {
    models: Vec<&'a LogisticModel>,
    /// Column after column, of each block of models side by side: coefficients, 0 beyond the last model.
    coefficients: Vec<Vec<[f64; MODELS_ABREAST]>>,
}

impl<'a> Logistics<'a> {
    fn new(models: Vec<&'a LogisticModel>) -> Self {
        let coefficients = models.chunks(MODELS_ABREAST).map(|models| {
            let columns = models[0].coefficients.len();
            let of = |column: usize| {
                std::array::from_fn(|model| models.get(model).map_or(0.0, |model| model.coefficients[column]))
            };
            (0..columns).map(of).collect()
        });
        Self { coefficients: coefficients.collect(), models }
    }

    /// Log odds of `rows` prepared rows, rows × models. Each sum runs over the columns in their order, as that of one model does.
    fn log_odds(&self, prepared: &[f64], rows: usize, out: &mut Vec<f64>) {
        let models = self.models.len();
        out.clear();
        out.resize(rows * models, 0.0);
        for (group, coefficients) in self.coefficients.iter().enumerate() {
            let width = coefficients.len();
            let mut start = 0;
            while start < rows {
                let mut sums = [[0.0f64; MODELS_ABREAST]; ROWS_ABREAST];
                let abreast = (rows - start).min(ROWS_ABREAST);
                if abreast == ROWS_ABREAST {
                    let row = |row: usize| &prepared[(start + row) * width..(start + row + 1) * width];
                    let lanes: [&[f64]; ROWS_ABREAST] = std::array::from_fn(row);
                    for (column, coefficients) in coefficients.iter().enumerate() {
                        for (sums, lane) in sums.iter_mut().zip(lanes) {
                            let value = lane[column];
                            sums.iter_mut()
                                .zip(coefficients)
                                .for_each(|(sum, coefficient)| *sum += value * coefficient);
                        }
                    }
                } else {
                    for (row, sums) in sums.iter_mut().enumerate().take(abreast) {
                        let row = &prepared[(start + row) * width..(start + row + 1) * width];
                        for (value, coefficients) in row.iter().zip(coefficients) {
                            sums.iter_mut()
                                .zip(coefficients)
                                .for_each(|(sum, coefficient)| *sum += value * coefficient);
                        }
                    }
                }
                for (row, sums) in sums.iter().enumerate().take(abreast) {
                    let first = group * MODELS_ABREAST;
                    for (model, sum) in (first..models).zip(sums) {
                        out[(start + row) * models + model] = sum + self.models[model].intercept;
                    }
                }
                start += abreast;
            }
        }
    }
}
