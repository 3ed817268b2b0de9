//! What each feature adds to a prediction, of the very models that made it.
//!
//! A blend is a weighted sum, and so are contributions: of log odds for probabilities, of money or counts for amounts.
//!
//! - Logistic regression: coefficient × distance of the prepared value from its mean over the rows of the fit.
//! - Boosted trees: SHAP values, exact or approximate ([`Detail`]), from the expected score of the rows of the fit.
//! - Buy till you die: Shapley values of what the model sees of a customer, from a reference customer
//!   ([`OccurrenceModel::contributions`](crate::models::occurrence::OccurrenceModel::contributions)); of somebody who has never done it, all of
//!   it is that they have not.
//! - Trees with a logarithmic link add to ln of an amount. In money, feature i adds φ_i (e^s − e^b) / (s − b), with s = b + Σ φ: the
//!   integral of its gradient on the straight way from base to score (Aumann & Shapley 1974; Sundararajan, Taly & Yan 2017, "Axiomatic
//!   Attribution for Deep Networks", eq. 1), which sums to the amount as the logarithms sum to its logarithm.
//! - Trees in two parts: the logarithm of a product is a sum, so that those of both parts add to ln of the amount. What the first adds
//!   to log odds counts there in the proportion of the changes of ln p and of log odds.
//!
//! Base plus contributions is the score of the column: log odds *before* calibration, which is one increasing function for
//! all customers; of an amount the prediction itself.

use ndarray::{Array2, ArrayViewMut1, Axis, s};

use super::parameters::{ExpectedModel, FittedColumn, FittedTarget, Parameters, ProbabilityModel};
use super::rows::TargetRows;
use crate::config::TargetKind;
use crate::error::Error;
use crate::features::Feature;
use crate::models::FitError;
use crate::models::blend::{limited, log_odds, probability_of};
use crate::models::boosted::{BoostedModel, Objective};
use crate::models::btyd::BtydError;
use crate::models::occurrence::{Expectation, OccurrenceModel, TenurePrior};
use crate::models::occurrence_features::OccurrenceFeatures;
use crate::models::occurrence_inputs::{self, INPUTS, Seen};
use crate::timeline::History;
use crate::training::quantity;

use super::apply::{COUNT, NONE, VALUE, foreseen_as};

/// How contributions of trees and of occurrence models are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Exact SHAP values: for one customer, or some.
    Exact,
    /// For millions: the change of the expected score from node to node of a tree (Saabas 2014), and what an occurrence model
    /// says as the contribution of what it foresees; of money that of the count and that of the money of one. The same base and sum.
    Approximate,
}

/// What scores and contributions are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// ln(p / (1 − p)), before calibration.
    LogOdds,
    /// The amount: money.
    Money,
    /// The count.
    Count,
}

impl Scale {
    /// Of a kind of target.
    pub fn of(kind: TargetKind) -> Self {
        match kind {
            TargetKind::Absence | TargetKind::Presence => Self::LogOdds,
            TargetKind::Amount => Self::Money,
            TargetKind::Count => Self::Count,
        }
    }

    /// As printed and as written to column metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogOdds => "log odds",
            Self::Money => "money",
            Self::Count => "count",
        }
    }
}

/// What each source adds to the scores of some customers.
#[derive(Debug, Clone)]
pub struct Contributions {
    /// What the figures are measured in.
    pub scale: Scale,
    /// The columns of the models (features of the plan, then what is foreseen), then what the occurrence model sees and the plan
    /// does not have.
    pub sources: Vec<Feature>,
    /// Rows × sources: the value that each customer has, NaN where missing.
    pub values: Array2<f32>,
    /// Of each source: what is usual among the rows of the fit; `None` where it never is there, or is not known.
    pub usual: Vec<Option<f32>>,
    /// The score of which nothing is known.
    pub base: f64,
    /// Rows × sources. A row's sum, with the base, is its score.
    pub contributions: Array2<f64>,
}

impl Contributions {
    /// Base plus contributions of each row.
    pub fn scores(&self) -> Vec<f64> {
        self.contributions.rows().into_iter().map(|row| self.base + row.sum()).collect()
    }
}

/// Base and contributions of one member.
struct Said {
    base: f64,
    contributions: Array2<f64>,
}

impl FittedTarget {
    /// The columns that the models of the target see: features of the plan, then what is foreseen.
    pub fn model_columns(&self, parameters: &Parameters) -> Vec<Feature> {
        let mut columns = parameters.plans[self.plan].features();
        if let Some(model) = self.foresight {
            let model = &parameters.occurrences[model];
            let foresight = OccurrenceFeatures {
                subject: model.subject.clone(),
                orders: model.btyd.orders.model(),
                horizon: self.target.horizon,
            };
            columns.extend(foresight.features());
        }
        columns
    }

    /// What each source adds to a score column of the target, which is number `column`, for `rows` of it. `histories` gives those of any
    /// occurrence model by its index, in the order of the rows; only columns with one of their own ask.
    ///
    /// # Errors
    /// Rows of another width than at the fit, an infinity, a history beyond the range of a model.
    pub fn contributions(
        &self,
        parameters: &Parameters,
        column: usize,
        rows: &TargetRows,
        histories: &dyn Fn(usize) -> Vec<Option<History>>,
        detail: Detail,
    ) -> Result<Contributions, Error> {
        let mut sources = self.model_columns(parameters);
        let mut usual: Vec<Option<f32>> = match &self.reference {
            Some(reference) => reference.usual.clone(),
            None => vec![None; sources.len()],
        };
        let own = match &self.columns[column] {
            FittedColumn::Occurrence { occurrence, .. } => Some((*occurrence, histories(*occurrence))),
            _ => None,
        };
        let (model, seen_of) = match &own {
            Some((model, histories)) => (Some(*model), histories.as_slice()),
            None => (self.foresight, rows.histories.as_slice()),
        };
        let seen: Vec<Option<Seen>> =
            seen_of.iter().map(|history| history.as_ref().map(|history| Seen::of(history, rows.as_of))).collect();
        // A column of its own has another subject than the customers that the target was fitted to.
        let known = self.reference.as_ref().filter(|_| own.is_none()).and_then(|reference| reference.customer);
        let reference = known.unwrap_or(Seen::NEWCOMER);
        let mut values = rows.columns.clone();
        let mut inputs = [0; INPUTS];
        if let Some(model) = model {
            let features = occurrence_inputs::features(&parameters.occurrences[model].subject);
            for (input, feature) in features.into_iter().enumerate() {
                inputs[input] = match sources.iter().position(|source| source.name == feature.name) {
                    Some(place) => place,
                    None => {
                        let of = |seen: &Option<Seen>| seen.map_or(f32::NAN, |seen| seen.values()[input] as f32);
                        let more: Vec<f32> = seen.iter().map(of).collect();
                        values.push_column(ndarray::aview1(&more)).expect("one value for each row");
                        sources.push(feature);
                        usual.push(known.map(|known| known.values()[input] as f32).filter(|value| !value.is_nan()));
                        sources.len() - 1
                    }
                };
            }
        }
        let foreseer = model.map(|model| Foreseer {
            model: &parameters.occurrences[model],
            seen: &seen,
            reference,
            inputs,
            foresight: own.is_none().then_some(rows.view().foresight).flatten(),
            tenure: rows.view().tenure,
            kind: self.target.kind,
            horizon_days: self.target.horizon.days(),
            width: sources.len(),
            detail,
        });
        let explainer = Explainer { fitted: self, rows, width: sources.len(), foreseer, detail };
        let Said { base, contributions } = explainer.column(&self.columns[column])?;
        Ok(Contributions { scale: Scale::of(self.target.kind), sources, values, usual, base, contributions })
    }
}

/// What explains the members of one column.
struct Explainer<'a> {
    fitted: &'a FittedTarget,
    rows: &'a TargetRows,
    /// Number of sources.
    width: usize,
    foreseer: Option<Foreseer<'a>>,
    detail: Detail,
}

impl Explainer<'_> {
    fn column(&self, column: &FittedColumn) -> Result<Said, Error> {
        match column {
            FittedColumn::Probability { model, .. } => {
                let members = model.members.iter().map(|member| Ok((member.weight, self.probability(&member.model)?)));
                self.sum(members)
            }
            FittedColumn::Expected { model, level, .. } => {
                let members =
                    model.members.iter().map(|member| Ok((member.weight * level, self.expected(&member.model)?)));
                self.sum(members)
            }
            FittedColumn::Occurrence { prior, .. } => {
                Ok(self.foreseer().said(prior, quantity(self.fitted.target.kind), |amount| amount)?)
            }
        }
    }

    fn sum(&self, members: impl Iterator<Item = Result<(f64, Said), Error>>) -> Result<Said, Error> {
        let mut sum = self.constant(0.0);
        for member in members {
            let (weight, said) = member?;
            sum.base += weight * said.base;
            sum.contributions.scaled_add(weight, &said.contributions);
        }
        Ok(sum)
    }

    fn constant(&self, base: f64) -> Said {
        Said { base, contributions: Array2::zeros((self.rows.columns.nrows(), self.width)) }
    }

    /// # Panics
    /// Without an occurrence model; a target that has none has no member that asks.
    fn foreseer(&self) -> &Foreseer<'_> {
        self.foreseer.as_ref().expect("a member that looks ahead comes with an occurrence model")
    }

    /// In log odds.
    fn probability(&self, member: &ProbabilityModel) -> Result<Said, Error> {
        let mut said = match member {
            ProbabilityModel::Logistic(model) => {
                let prepared = self.rows.view().prepared.expect("a logistic model comes with its preparation");
                let preparation = self.fitted.preparation.as_ref().expect("as above");
                if prepared.ncols() != model.coefficients.len() {
                    let (expected, got) = (model.coefficients.len(), prepared.ncols());
                    return Err(FitError::WrongWidth { expected, got }.into());
                }
                let mut said = self.constant(model.intercept);
                let n_values = preparation.values().len();
                let value_sources = preparation.values().iter().map(|value| (value.feature, 0.0));
                let missing = |&feature: &usize| {
                    let known = self.fitted.reference.as_ref();
                    (feature, known.map_or(0.0, |reference| reference.missing[feature]))
                };
                let sources = value_sources.chain(preparation.indicators().iter().map(missing));
                debug_assert_eq!(n_values + preparation.indicators().len(), model.coefficients.len());
                for ((place, (source, mean)), coefficient) in sources.enumerate().zip(&model.coefficients) {
                    said.base += coefficient * mean;
                    let mut to = said.contributions.column_mut(source);
                    to.zip_mut_with(&prepared.column(place), |to, value| *to += coefficient * (value - mean));
                }
                said
            }
            ProbabilityModel::Boosted(model) => self.trees(model)?,
            ProbabilityModel::Shared { output } => {
                let trees = self.fitted.shared.as_ref().expect("an output comes with the trees that it is of");
                self.trees(&trees.output(*output).expect("checked with the trees"))?
            }
            ProbabilityModel::Occurrence { prior } => {
                let is_absence = self.fitted.target.kind == TargetKind::Absence;
                let probability = |expected: &Expectation| if is_absence { expected.none } else { 1.0 - expected.none };
                self.foreseer().said(prior, probability, |probability| log_odds(foreseen_as(probability)))?
            }
            ProbabilityModel::Rate(rate) => self.constant(log_odds(*rate)),
        };
        let base = limited(said.base);
        for mut row in said.contributions.rows_mut() {
            let score = said.base + row.sum();
            if base != said.base || limited(score) != score {
                scale_to(&mut row, limited(score) - base);
            }
        }
        said.base = base;
        Ok(said)
    }

    /// In money or a count.
    fn expected(&self, member: &ExpectedModel) -> Result<Said, Error> {
        Ok(match member {
            ExpectedModel::Occurrence { prior } => {
                self.foreseer().said(prior, quantity(self.fitted.target.kind), |amount| amount)?
            }
            ExpectedModel::Boosted(model) => in_amounts(self.trees(model)?, model),
            ExpectedModel::Corrected { model, least, prior } => {
                let amount = quantity(self.fitted.target.kind);
                let foreseen = self.foreseer().said(prior, amount, |amount| amount.max(*least).ln())?;
                let mut said = self.trees(model)?;
                said.base += foreseen.base;
                said.contributions += &foreseen.contributions;
                in_amounts(said, model)
            }
            ExpectedModel::TwoPart { occurs, amount } => {
                let first = self.trees(occurs)?;
                let mut said = self.trees(amount)?;
                for (mut row, first_row) in said.contributions.rows_mut().into_iter().zip(first.contributions.rows()) {
                    row.scaled_add(per_log_odds(first.base, first_row.sum()), &first_row);
                }
                said.base += ln_probability(first.base);
                in_amounts(said, amount)
            }
            ExpectedModel::Mean(mean) => self.constant(*mean),
        })
    }

    /// In raw scores.
    fn trees(&self, model: &BoostedModel) -> Result<Said, FitError> {
        let columns = self.rows.columns.view();
        let found = match self.detail {
            Detail::Exact => model.contributions(columns)?,
            Detail::Approximate => model.approximate_contributions(columns)?,
        };
        let mut said = self.constant(model.expected());
        said.contributions.slice_mut(s![.., ..model.columns()]).assign(&found.slice(s![.., ..model.columns()]));
        Ok(said)
    }
}

/// Raw scores as what is predicted of them: see the module.
fn in_amounts(said: Said, model: &BoostedModel) -> Said {
    let Said { base, mut contributions } = said;
    let amount = model.objective().prediction(base);
    for mut row in contributions.axis_iter_mut(Axis(0)) {
        let change = row.sum();
        let difference = match model.objective() {
            Objective::Poisson | Objective::Tweedie { .. } | Objective::Gamma => amount * change.exp_m1(),
            other => other.prediction(base + change) - amount,
        };
        scale_to(&mut row, difference);
    }
    Said { base: amount, contributions }
}

/// ln of the probability of log odds.
pub(super) fn ln_probability(log_odds: f64) -> f64 {
    -(-log_odds).exp().ln_1p()
}

/// What a contribution to log odds counts in the logarithm of the probability, of all that change them so much from `base`.
pub(super) fn per_log_odds(base: f64, change: f64) -> f64 {
    if change == 0.0 {
        return 1.0 - probability_of(base); // the derivative
    }
    (ln_probability(base + change) - ln_probability(base)) / change
}

/// Scales contributions so that they sum to `sum`. Where they cancel out, so does what they sum to: they keep their size.
fn scale_to(row: &mut ArrayViewMut1<f64>, sum: f64) {
    let now = row.sum();
    if now != 0.0 {
        row.mapv_inplace(|contribution| contribution * (sum / now));
    }
}

/// What explains an occurrence model.
struct Foreseer<'a> {
    model: &'a OccurrenceModel,
    /// Of each row; `None` of somebody who has never done it.
    seen: &'a [Option<Seen>],
    reference: Seen,
    /// The source of each input.
    inputs: [usize; INPUTS],
    /// The first source of what is foreseen; `None` where models do not see it.
    foresight: Option<usize>,
    tenure: &'a [f32],
    kind: TargetKind,
    horizon_days: i32,
    width: usize,
    detail: Detail,
}

impl Foreseer<'_> {
    /// What the inputs add to `scale` of `outcome`.
    fn said(
        &self,
        prior: &TenurePrior,
        outcome: impl Fn(&Expectation) -> f64,
        scale: impl Fn(f64) -> f64,
    ) -> Result<Said, BtydError> {
        // What is foreseen is a column of single precision, as every feature is.
        let is_column = self.foresight.is_some();
        let rounded = |outcome: f64| if is_column { f64::from(outcome as f32) } else { outcome };
        let of = |expectation: &Expectation| scale(rounded(outcome(expectation)));
        let reference = self.model.expect_of(&self.reference, self.horizon_days)?;
        let amounts = |expected: &Expectation| [rounded(expected.occurrences), rounded(expected.value)];
        let base = of(&reference);
        let mut contributions = Array2::zeros((self.seen.len(), self.width));
        let [_, days, ..] = self.inputs;
        for (row, seen) in self.seen.iter().enumerate() {
            let Some(seen) = seen else {
                // That there is no day with one says all.
                contributions[[row, days]] = scale(prior.mean(self.tenure[row])) - base;
                continue;
            };
            match (self.detail, self.foresight) {
                (Detail::Approximate, Some(first)) => {
                    let expected = self.model.expect_of(seen, self.horizon_days)?;
                    let change = of(&expected) - base;
                    if self.kind == TargetKind::Amount {
                        let [of_count, of_money] = of_both(change, amounts(&expected), amounts(&reference));
                        contributions[[row, first + COUNT]] = of_count;
                        contributions[[row, first + VALUE]] = of_money;
                    } else {
                        contributions[[row, first + place_of(self.kind)]] = change;
                    }
                }
                _ => {
                    let money = self.kind == TargetKind::Amount;
                    let found = self.model.contributions(seen, &self.reference, self.horizon_days, money, of)?;
                    for (input, contribution) in self.inputs.into_iter().zip(found) {
                        contributions[[row, input]] += contribution;
                    }
                }
            }
        }
        Ok(Said { base, contributions })
    }
}

/// Which of what is foreseen a member for this kind of target is.
pub(super) fn place_of(kind: TargetKind) -> usize {
    match kind {
        TargetKind::Absence | TargetKind::Presence => NONE,
        TargetKind::Count => COUNT,
        TargetKind::Amount => VALUE,
    }
}

/// A change of foreseen money as that of the count and that of the money of one: the logarithm of a product is a sum. What is
/// foreseen and the reference are a count and money each; without logarithms all of it is the money's.
pub(super) fn of_both(change: f64, [count, value]: [f64; 2], [count_before, value_before]: [f64; 2]) -> [f64; 2] {
    let logarithm = (value / value_before).ln();
    let of_count = change * (count / count_before).ln() / logarithm;
    if value > 0.0 && value_before > 0.0 && logarithm != 0.0 && of_count.is_finite() {
        [of_count, change - of_count]
    } else {
        [0.0, change]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Listener, TargetScorer, Workbench};
    use crate::config::Config;
    use crate::features::{FeatureTable, RowRequest, Sweep};
    use crate::models::blend::{Blend, Member, probability_of};
    use crate::models::blocks::{BLOCK, Blocks, Sight};
    use crate::models::boosted::{BoostedTrees, Targets};
    use crate::models::occurrence_features::tests::{orders, timelines};
    use crate::progress::Silent;
    use crate::time::Day;
    use crate::timeline::{Budget, Timelines};
    use crate::training::train;

    const AS_OF: Day = Day(300);

    fn trained() -> (Parameters, Timelines) {
        let mut all = orders();
        all.retain(|order| order.1 < AS_OF.0);
        let timelines = timelines(&all);
        let text = "[features]\nwindows = [7, 30]\n[training]\ncutoffs = 2\nbootstrap_resamples = 2\ntrials = 1\n\
                    [target.churn]\nkind = \"absence\"\nhorizon_days = 40\n\
                    [target.orders]\nkind = \"count\"\nhorizon_days = 40\n\
                    [target.value]\nkind = \"amount\"\nhorizon_days = 40\n";
        let config = Config::parse(text, std::path::Path::new("test.toml")).unwrap();
        (train(&config, &timelines, AS_OF, None, &Budget::default(), &Silent).unwrap().parameters, timelines)
    }

    /// Looks at the rows of every customer, part by part.
    fn each_part(
        parameters: &Parameters,
        fitted: &FittedTarget,
        timelines: &Timelines,
        mut look: impl FnMut(TargetRows, &dyn Fn(usize) -> Vec<Option<History>>),
    ) {
        let sweep = Sweep::new(&parameters.plans[fitted.plan], timelines);
        let requests = [RowRequest { as_of: AS_OF, share: 1.0 }];
        for index in 0..timelines.parts() {
            let part = timelines.part(index).unwrap();
            let table = FeatureTable::build_part(index, &part, &sweep, &requests);
            let histories = |model: usize| {
                let reader = parameters.occurrences[model].subject.reader(&timelines.vocabularies);
                let of = |customer: u32| reader.history(part.timeline(customer as usize), AS_OF);
                table.keys.iter().map(|key| of(key.customer)).collect()
            };
            let tenure = vec![40.0; table.keys.len()];
            look(TargetRows::new(parameters, fitted, table.view(), &tenure, &histories, AS_OF).unwrap(), &histories);
        }
    }

    /// Base plus contributions against the score itself; the largest contribution that was seen.
    fn check(parameters: &Parameters, fitted: &FittedTarget, timelines: &Timelines, detail: Detail) -> f64 {
        let mut largest: f64 = 0.0;
        each_part(parameters, fitted, timelines, |rows, histories| {
            let found = fitted.contributions(parameters, 0, &rows, histories, detail).unwrap();
            assert_eq!(found.sources.len(), found.values.ncols());
            assert_eq!(found.sources.len(), found.usual.len());
            let want: Vec<f64> = match &fitted.columns[0] {
                FittedColumn::Probability { model, .. } => {
                    model.scores(&rows.view()).unwrap().into_iter().map(log_odds).collect()
                }
                column => column.scores(&rows.view()).unwrap().unwrap(),
            };
            if detail == Detail::Approximate {
                hold(parameters, fitted, &rows, &found);
            }
            for (got, want) in found.scores().into_iter().zip(want) {
                // Sums of some hundred numbers; a probability of 1 − 1e-3 knows its log odds to 1e-12.
                assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{detail:?}: {got} {want}");
            }
            largest = found.contributions.iter().fold(largest, |largest, one| largest.max(one.abs()));
        });
        largest
    }

    /// What is heard of rows.
    #[derive(Default)]
    struct Heard(Vec<Vec<f64>>);

    impl Listener for Heard {
        fn hear(&mut self, first: usize, sight: &Sight, contributions: &[[f64; BLOCK]]) {
            assert_eq!(first % BLOCK, 0);
            assert!(first <= self.0.len());
            let of = |lane: usize| contributions.iter().map(|of_place| of_place[lane]).collect();
            self.0.extend((0..sight.rows()).map(of));
        }
    }

    /// The scorer of every night against the models one by one: predictions bit for bit, contributions but for the order of sums.
    fn hold(parameters: &Parameters, fitted: &FittedTarget, rows: &TargetRows, found: &Contributions) {
        let scorer = TargetScorer::new(parameters, fitted, true).unwrap();
        let own = rows.view().foresight.unwrap();
        let (features, foreseen) = rows.columns.view().split_at(Axis(1), own);
        let features = Blocks::of(features);
        let (mut heard, mut bench) = (Heard::default(), Workbench::default());
        let tenure = rows.view().tenure;
        let n = features.rows();
        let mut predictions = vec![Vec::new(); fitted.columns.len()];
        // In two goes, the first of whole blocks.
        for rows in [0..n / BLOCK * BLOCK, n / BLOCK * BLOCK..n] {
            let (foreseen, tenure) = (foreseen.slice(s![rows.clone(), ..]), &tenure[rows.clone()]);
            let listener = Some(&mut heard as &mut dyn Listener);
            scorer.score(&features, rows, Some(foreseen), tenure, &mut bench, listener, &mut predictions).unwrap();
        }
        let want = fitted.columns[0].scores(&rows.view()).unwrap().unwrap();
        assert_eq!(predictions[0], want, "the same bits");
        predictions[0].clear();
        scorer.score(&features, 0..n, Some(foreseen), tenure, &mut bench, None, &mut predictions).unwrap();
        assert_eq!(predictions[0], want);
        assert_eq!(heard.0.len(), want.len());
        for (row, heard) in heard.0.iter().enumerate() {
            let mut want = found.contributions.row(row).to_vec();
            want.resize(heard.len(), 0.0);
            for (source, (got, want)) in heard.iter().zip(want).enumerate() {
                assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "row {row}, source {source}: {got} {want}");
                assert!(*got == 0.0 || scorer.told().contains(&(source as u32)), "source {source}");
            }
        }
    }

    #[test]
    fn they_sum_to_the_score_of_the_models_that_were_used() {
        let (parameters, timelines) = trained();
        for fitted in &parameters.targets {
            for detail in [Detail::Exact, Detail::Approximate] {
                assert!(check(&parameters, fitted, &timelines, detail) > 0.01, "{}", fitted.target.name);
                // As of an earlier release.
                let former = FittedTarget { reference: None, ..fitted.clone() };
                check(&parameters, &former, &timelines, detail);
            }
        }
    }

    #[test]
    fn they_sum_for_every_member_alone_and_for_all_together() {
        let (parameters, timelines) = trained();
        for fitted in &parameters.targets {
            let (mut columns, mut tenure) = (Vec::new(), 0);
            each_part(&parameters, fitted, &timelines, |rows, _| {
                tenure += rows.columns.nrows();
                columns.extend(rows.columns.iter().copied());
            });
            let columns = Array2::from_shape_vec((tenure, columns.len() / tenure), columns).unwrap();
            let labels: Vec<f64> = (0..tenure).map(|row| f64::from(u8::from(row % 3 == 0))).collect();
            let trees = |objective| {
                let settings = BoostedTrees { objective, rounds: 15, min_rows_per_leaf: 5, ..BoostedTrees::default() };
                settings.fit_rows(columns.view(), Targets::of(&labels), None).unwrap()
            };
            let prior = TenurePrior::fit([(40.0, 0.4)].into_iter(), 0.5);
            let of_probability = [
                ProbabilityModel::Boosted(trees(Objective::Logistic)),
                ProbabilityModel::Occurrence { prior: prior.clone() },
                ProbabilityModel::Rate(0.3),
            ];
            let poisson = trees(Objective::Poisson);
            let of_amount = [
                ExpectedModel::Boosted(poisson.clone()),
                ExpectedModel::Occurrence { prior: prior.clone() },
                ExpectedModel::Corrected { model: poisson.clone(), least: 0.05, prior },
                ExpectedModel::TwoPart { occurs: trees(Objective::Logistic), amount: poisson },
                ExpectedModel::Mean(3.0),
            ];
            let blends: Vec<FittedColumn> = match &fitted.columns[0] {
                FittedColumn::Probability { model, calibration } => {
                    let of = |members: Vec<Member<ProbabilityModel>>| FittedColumn::Probability {
                        model: Blend { members },
                        calibration: calibration.clone(),
                    };
                    let known = model.members.iter().map(|member| member.model.clone());
                    let all: Vec<ProbabilityModel> = of_probability.into_iter().chain(known).collect();
                    let weight = 1.0 / all.len() as f64;
                    let together = all.iter().map(|model| Member { weight, model: model.clone() }).collect();
                    let alone = all.iter().map(|model| of(vec![Member { weight: 1.0, model: model.clone() }]));
                    alone.chain([of(together)]).collect()
                }
                _ => {
                    let of = |members: Vec<Member<ExpectedModel>>| FittedColumn::Expected {
                        model: Blend { members },
                        level: 1.2,
                        intervals: None,
                    };
                    let together = of_amount.iter().map(|model| Member { weight: 0.2, model: model.clone() }).collect();
                    let alone = of_amount.iter().map(|model| of(vec![Member { weight: 1.0, model: model.clone() }]));
                    alone.chain([of(together)]).collect()
                }
            };
            for column in blends {
                let fitted = FittedTarget { columns: vec![column], ..fitted.clone() };
                for detail in [Detail::Exact, Detail::Approximate] {
                    check(&parameters, &fitted, &timelines, detail);
                }
            }
        }
    }

    #[test]
    fn inputs_that_models_do_not_see_are_sources_of_their_own() {
        let (mut parameters, timelines) = trained();
        let churn = parameters.targets[0].clone();
        let model = churn.foresight.unwrap();
        parameters.occurrences[model].subject.is_order = false;
        let column = match &churn.columns[0] {
            FittedColumn::Probability { calibration, .. } => FittedColumn::Probability {
                model: Blend::only(ProbabilityModel::Occurrence { prior: TenurePrior::fit(std::iter::empty(), 0.5) }),
                calibration: calibration.clone(),
            },
            _ => unreachable!(),
        };
        let fitted = FittedTarget { columns: vec![column], ..churn };
        each_part(&parameters, &fitted, &timelines, |rows, histories| {
            let found = fitted.contributions(&parameters, 0, &rows, histories, Detail::Exact).unwrap();
            let names: Vec<&str> = found.sources.iter().rev().take(4).map(|source| source.name.as_str()).collect();
            let own =
                ["repeat_purchase_value", "days_since_first_purchase", "purchase_days", "days_since_last_purchase"];
            // The kind's own recency is a feature of the catalogue where there is more than the order event.
            assert_eq!(names, own);
            let place = |name: &str| found.sources.iter().position(|source| source.name == name).unwrap();
            let last = place("days_since_last_purchase");
            for row in 0..found.values.nrows() {
                let Some(history) = rows.histories[row] else { continue };
                assert_eq!(f64::from(found.values[[row, last]]), f64::from(AS_OF.since(history.last)));
                // Nothing else speaks.
                let elsewhere: f64 =
                    (0..place("repeat_purchase_value") - 3).map(|s| found.contributions[[row, s]]).sum();
                assert_eq!(elsewhere, 0.0);
            }
            assert!(found.scores().iter().all(|score| probability_of(*score) > 0.0));
        });
    }
}
