//! Absence and presence: candidates fitted on training rows, calibrated and chosen on validation rows, judged on
//! the test rows, and the chosen one refitted on all cut-offs up to the newest.

use ndarray::{Array1, Array2};

use super::expected::{last_period, prior};
use super::material::{Material, Purpose, Rows, evaluation};
use super::{Trained, TrainingError, occurrence_index, subject_of};
use crate::bundle::{Cuts, FittedColumn, FittedTarget, ProbabilityModel};
use crate::config::TargetKind;
use crate::labels::Target;
use crate::metrics::{BootstrapOptions, Evaluated, MetricError, evaluate_binary, evaluate_ranking};
use crate::models::FitError;
use crate::models::calibrate::{Calibration, CalibrationChoice};
use crate::models::logistic::{LogisticModel, PenalisedLogistic, Solver};
use crate::models::occurrence::{Expectation, OccurrenceModel};
use crate::models::prepare::Preparation;
use crate::models::tree::{ReadableTree, TreeModel};
use crate::report::{ModelRow, Role as ReportRole, TargetReport, TargetRules};
use crate::split::{Role, Split};
use crate::time::Window;
use crate::timeline::SpillError;

/// Penalties that are tried; the one with the least log loss on the validation rows is taken.
const PENALTIES: [f64; 3] = [1.0, 30.0, 1000.0];
/// The penalty where none is tried: above this many rows it hardly matters, and for category columns.
const PENALTY: f64 = 30.0;
const PENALTY_SEARCH_ROWS: usize = 100_000;
/// Mean gradient at which a category's fit ends: they come by the dozen, and calibration follows.
const GROUP_TOLERANCE: f64 = 1e-5;
/// Fewer positives (or negatives) than this get no model of their own, but the base rate.
const LEAST_OF_A_CLASS: usize = 20;

/// The rows of one target, with prepared features.
struct Prepared {
    rows: Rows,
    raw: Array2<f32>,
    matrix: Array2<f64>,
}

impl Prepared {
    fn new(material: &Material, rows: Rows, preparation: &Preparation) -> Result<Self, FitError> {
        let raw = material.features(&rows);
        let matrix = preparation.apply(raw.view())?;
        Ok(Self { rows, raw, matrix })
    }
}

/// Probability of a column's label from an expectation.
pub(crate) fn from_expectation(kind: TargetKind, expectation: &Expectation) -> f64 {
    match kind {
        TargetKind::Absence => expectation.none,
        _ => 1.0 - expectation.none,
    }
}

fn base_rate(labels: &[bool]) -> f64 {
    let positives = labels.iter().filter(|&&label| label).count();
    (positives as f64 + 0.5) / (labels.len() as f64 + 1.0)
}

fn smaller_class(labels: &[bool]) -> usize {
    let positives = labels.iter().filter(|&&label| label).count();
    positives.min(labels.len() - positives)
}

pub(super) fn fit(
    material: &Material,
    target: &Target,
    split: &Split,
    trained: &mut Trained,
) -> Result<FittedTarget, TrainingError> {
    let broken = |source| TrainingError::Fit { target: target.name.clone(), source };
    let train = material.select(target, split, Purpose::Judged(Role::Train))?;
    let validate = material.select(target, split, Purpose::Judged(Role::Validate))?;
    let test = material.select(target, split, Purpose::Judged(Role::Test))?;
    let ship = material.select(target, split, Purpose::Shipped)?;
    if ship.is_empty() {
        return Err(TrainingError::NoEligibleRows { target: target.name.clone() });
    }
    if !target.per_group {
        refuse_single_class(target, &ship)?;
    }

    // The judged fit and the shipped one have preparations of their own: the first must not see the test window.
    let judged_preparation =
        if train.is_empty() { None } else { Some(Preparation::fit(material.features(&train).view()).map_err(broken)?) };
    let judged = match &judged_preparation {
        Some(preparation) => Some([
            Prepared::new(material, train, preparation).map_err(broken)?,
            Prepared::new(material, validate, preparation).map_err(broken)?,
            Prepared::new(material, test, preparation).map_err(broken)?,
        ]),
        None => None,
    };
    let shipped_raw = material.features(&ship);
    let preparation = Preparation::fit(shipped_raw.view()).map_err(broken)?;
    let shipped =
        Prepared { matrix: preparation.apply(shipped_raw.view()).map_err(broken)?, raw: shipped_raw, rows: ship };

    let mut columns = Vec::new();
    let mut warm = Warm::default();
    let mut cuts = Cuts::default();
    for (column, name) in target.columns().into_iter().enumerate() {
        let one = Column { material, target, split, column, name };
        columns.push(one.fit(judged.as_ref(), &shipped, &preparation, &mut warm, &mut cuts, trained)?);
    }
    Ok(FittedTarget {
        target: target.clone(),
        plan: trained.parameters.plans.len(),
        preparation: Some(preparation),
        columns,
        cuts,
    })
}

fn refuse_single_class(target: &Target, rows: &Rows) -> Result<(), TrainingError> {
    let labels = rows.flags(0);
    if smaller_class(&labels) > 0 {
        return Ok(());
    }
    let yes = labels.first() == Some(&true);
    let label = match (target.kind, yes) {
        (TargetKind::Absence, true) => "\"nothing happened\"",
        (TargetKind::Absence, false) => "\"something happened\"",
        (_, true) => "yes",
        (_, false) => "no",
    };
    Err(TrainingError::SingleClass { target: target.name.clone(), rows: labels.len() as u64, label })
}

/// A fitted candidate.
enum Candidate {
    Logistic { model: LogisticModel, alpha: f64 },
    Tree(TreeModel),
    Occurrence { validate: Vec<f64>, test: Vec<f64> },
}

impl Candidate {
    fn name(&self) -> &'static str {
        match self {
            Self::Logistic { .. } => "penalised logistic regression",
            Self::Tree(_) => "decision tree",
            Self::Occurrence { .. } => "buy till you die",
        }
    }

    fn scores(&self, rows: &Prepared, role: Role) -> Result<Array1<f64>, FitError> {
        match self {
            Self::Logistic { model, .. } => model.probabilities(rows.matrix.view()),
            Self::Tree(model) => model.probabilities(rows.raw.view()),
            Self::Occurrence { test, .. } if role == Role::Test => Ok(test.clone().into()),
            Self::Occurrence { validate, .. } => Ok(validate.clone().into()),
        }
    }
}

/// What the columns of one target learn from those before.
#[derive(Default)]
struct Warm {
    /// Where the next fit starts from.
    model: Option<LogisticModel>,
    /// The penalty that was best on the validation rows.
    alpha: Option<f64>,
}

/// One score column of a target.
struct Column<'a> {
    material: &'a Material<'a>,
    target: &'a Target,
    split: &'a Split,
    column: usize,
    name: String,
}

impl Column<'_> {
    fn broken(&self, source: FitError) -> TrainingError {
        TrainingError::Fit { target: self.name.clone(), source }
    }

    fn group(&self) -> Option<usize> {
        self.target.per_group.then_some(self.column)
    }

    fn fit(
        &self,
        judged: Option<&[Prepared; 3]>,
        shipped: &Prepared,
        preparation: &Preparation,
        warm: &mut Warm,
        cuts: &mut Cuts,
        trained: &mut Trained,
    ) -> Result<FittedColumn, TrainingError> {
        let choice = match judged {
            Some([train, validate, test]) if self.can_choose(train, validate) => {
                Some(self.choose(train, validate, test, warm, cuts, trained)?)
            }
            _ => None,
        };
        let labels = shipped.rows.flags(self.column);
        if smaller_class(&labels) < LEAST_OF_A_CLASS {
            trained.warnings.push(format!(
                "{}: fewer than {LEAST_OF_A_CLASS} of {} training labels differ from the rest, so everyone gets the base rate.",
                self.name,
                labels.len()
            ));
            let rate = ProbabilityModel::Rate(base_rate(&labels));
            return Ok(FittedColumn::Probability { model: rate, calibration: Calibration::Identity });
        }
        let Some(choice) = choice else {
            trained
                .warnings
                .push(format!("{}: too few labels before the test window to calibrate or judge it.", self.name));
            let model = ProbabilityModel::Logistic(self.logistic(shipped, &labels, PENALTY, Solver::Auto, None)?);
            return Ok(FittedColumn::Probability { model, calibration: Calibration::Identity });
        };
        let tree = if self.target.per_group { None } else { Some(self.tree(shipped, &labels)?) };
        if let Some(tree) = &tree {
            let names: Vec<String> = self.material.catalogue().iter().map(|feature| feature.name.clone()).collect();
            let rules = tree.rules(&names).map_err(|source| self.broken(source))?;
            trained.rules.push(TargetRules {
                target: self.name.clone(),
                rules: rules.iter().map(ToString::to_string).collect(),
            });
        }
        let model = match choice.chosen {
            Candidate::Logistic { alpha, .. } => {
                let solver = if self.target.per_group { Solver::Parallel } else { Solver::Auto };
                let model = self.logistic(shipped, &labels, alpha, solver, warm.model.as_ref())?;
                if !self.target.per_group {
                    self.weigh_features(&model, preparation, trained);
                }
                ProbabilityModel::Logistic(model)
            }
            Candidate::Tree(_) => ProbabilityModel::Tree(tree.expect("a tree is a candidate only where one is fitted")),
            Candidate::Occurrence { .. } => {
                let occurrence = occurrence_index(self.material, &subject_of(self.target, self.group()), trained)?;
                let prior = prior(self.material, self.target, &shipped.rows, self.column, self.group())?;
                ProbabilityModel::Occurrence { occurrence, prior }
            }
        };
        Ok(FittedColumn::Probability { model, calibration: choice.calibration.calibration })
    }

    fn can_choose(&self, train: &Prepared, validate: &Prepared) -> bool {
        let enough = |rows: &Prepared| smaller_class(&rows.rows.flags(self.column)) >= LEAST_OF_A_CLASS;
        enough(train) && enough(validate)
    }

    fn logistic(
        &self,
        rows: &Prepared,
        labels: &[bool],
        alpha: f64,
        solver: Solver,
        warm: Option<&LogisticModel>,
    ) -> Result<LogisticModel, TrainingError> {
        let mut settings = PenalisedLogistic { alpha, solver, ..PenalisedLogistic::default() };
        if self.target.per_group {
            settings.gradient_tolerance = GROUP_TOLERANCE;
        }
        let matrix = rows.matrix.view();
        let model = match warm.filter(|warm| warm.coefficients.len() == matrix.ncols()) {
            Some(warm) => settings.fit_from(warm, matrix, labels, None),
            None => settings.fit_rows(matrix, labels, None),
        };
        model.map_err(|source| self.broken(source))
    }

    fn tree(&self, rows: &Prepared, labels: &[bool]) -> Result<TreeModel, TrainingError> {
        ReadableTree::default()
            .fit_rows(rows.raw.view(), labels, &rows.rows.hashes())
            .map_err(|source| self.broken(source))
    }

    /// The logistic candidate; its penalty is the one with the least log loss on the validation rows.
    fn best_logistic(
        &self,
        train: &Prepared,
        validate: &Prepared,
        warm: &mut Warm,
    ) -> Result<Candidate, TrainingError> {
        let labels = train.rows.flags(self.column);
        if let Some(alpha) = warm.alpha {
            let model = self.logistic(train, &labels, alpha, Solver::Parallel, warm.model.as_ref())?;
            warm.model = Some(model.clone());
            return Ok(Candidate::Logistic { model, alpha });
        }
        if labels.len() > PENALTY_SEARCH_ROWS {
            let model = self.logistic(train, &labels, PENALTY, Solver::Auto, None)?;
            return Ok(Candidate::Logistic { model, alpha: PENALTY });
        }
        let outcomes = validate.rows.flags(self.column);
        let mut best: Option<(f64, f64)> = None;
        let mut former: Option<LogisticModel> = None;
        for alpha in PENALTIES {
            let model = self.logistic(train, &labels, alpha, Solver::Parallel, former.as_ref())?;
            let scores = model.probabilities(validate.matrix.view()).map_err(|source| self.broken(source))?;
            let loss = crate::metrics::calibration::log_loss(&outcomes, &scores.to_vec()).unwrap_or(f64::INFINITY);
            if best.is_none_or(|(least, _)| loss < least) {
                best = Some((loss, alpha));
            }
            former = Some(model);
        }
        let alpha = best.map_or(PENALTY, |(_, alpha)| alpha);
        if self.target.per_group {
            // What the most frequent category has found serves the others, too.
            warm.alpha = Some(alpha);
        }
        let solver = if self.target.per_group { Solver::Parallel } else { Solver::Auto };
        let model = self.logistic(train, &labels, alpha, solver, None)?;
        Ok(Candidate::Logistic { model, alpha })
    }

    /// The buy-till-you-die candidate: fitted to all that was known at each cut-off, without labels.
    fn occurrence(
        &self,
        train: &Prepared,
        validate: &Prepared,
        test: &Prepared,
        trained: &mut Trained,
    ) -> Result<Option<Candidate>, TrainingError> {
        let subject = subject_of(self.target, self.group());
        let newcomers = prior(self.material, self.target, &train.rows, self.column, self.group())?;
        let orders = trained.orders_model(&subject);
        let at = |day, rows: &Rows| {
            let everyone = subject.histories(self.material.timelines, day)?;
            let of_rows = self.material.histories(rows, &subject)?;
            let tenure = self.material.tenure(rows);
            let probability =
                |expectation: &Expectation| from_expectation(self.target.kind, expectation).clamp(0.0, 1.0);
            let horizon = self.target.horizon.days();
            let scores = OccurrenceModel::fit(orders, &subject, &everyone, day).and_then(|model| {
                let newcomer = |row: usize| newcomers.mean(tenure[row]).clamp(0.0, 1.0);
                self.material.expect(&model, rows, &of_rows, horizon, probability, newcomer)
            });
            Ok::<_, TrainingError>(scores)
        };
        let scores = (at(self.split.validate, &validate.rows)?, at(self.split.test, &test.rows)?);
        match scores {
            (Ok(validate), Ok(test)) => Ok(Some(Candidate::Occurrence { validate, test })),
            (Err(source), _) | (_, Err(source)) => {
                trained.warnings.push(format!("{}: no buy-till-you-die candidate ({source}).", self.name));
                Ok(None)
            }
        }
    }

    fn choose(
        &self,
        train: &Prepared,
        validate: &Prepared,
        test: &Prepared,
        warm: &mut Warm,
        cuts: &mut Cuts,
        trained: &mut Trained,
    ) -> Result<Choice, TrainingError> {
        let mut candidates = vec![self.best_logistic(train, validate, warm)?];
        if !self.target.per_group {
            candidates.push(Candidate::Tree(self.tree(train, &train.rows.flags(self.column))?));
            candidates.extend(self.occurrence(train, validate, test, trained)?);
        }
        let outcomes = validate.rows.flags(self.column);
        let keys = validate.rows.hashes();
        let mut calibrated = Vec::new();
        for candidate in candidates {
            let scores = candidate.scores(validate, Role::Validate).map_err(|source| self.broken(source))?;
            let scores: Vec<f64> = scores.to_vec();
            let calibration = Calibration::choose(&scores, &outcomes, &keys).map_err(|source| self.broken(source))?;
            calibrated.push((candidate, calibration));
        }
        let loss = |calibration: &CalibrationChoice| {
            calibration
                .isotonic_log_loss
                .map_or(calibration.identity_log_loss, |loss| loss.min(calibration.identity_log_loss))
        };
        // The first of equals: simpler models come first.
        let mut best = 0;
        for (index, (_, calibration)) in calibrated.iter().enumerate() {
            if loss(calibration) < loss(&calibrated[best].1) {
                best = index;
            }
        }
        if self.target.kind == TargetKind::Absence && !self.target.per_group {
            let (candidate, calibration) = &calibrated[best];
            let scores = candidate.scores(validate, Role::Validate).map_err(|source| self.broken(source))?;
            let probabilities: Vec<f64> =
                scores.iter().map(|&score| calibration.calibration.probability(score)).collect();
            *cuts = Cuts::of_churn(&probabilities, &self.material.config.scores);
        }
        if test.rows.is_empty() {
            trained
                .warnings
                .push(format!("{}: nobody was eligible at the test cut-off, so it was not judged.", self.name));
        } else {
            let report = self.judge(test, &calibrated, best)?;
            trained.targets.push(report);
        }
        let (chosen, calibration) = calibrated.swap_remove(best);
        Ok(Choice { chosen, calibration })
    }

    fn judge(
        &self,
        test: &Prepared,
        candidates: &[(Candidate, CalibrationChoice)],
        best: usize,
    ) -> Result<TargetReport, TrainingError> {
        let labels = test.rows.flags(self.column);
        let keys = test.rows.hashes();
        let options = self.material.bootstrap(self.target);
        let unjudged = |source: MetricError| TrainingError::Judge { target: self.name.clone(), source };
        let mut models = Vec::new();
        let mut chosen: Option<Evaluated> = None;
        for (index, (candidate, calibration)) in candidates.iter().enumerate() {
            let scores = candidate.scores(test, Role::Test).map_err(|source| self.broken(source))?;
            let probabilities: Vec<f64> =
                scores.iter().map(|&score| calibration.calibration.probability(score)).collect();
            let evaluated = evaluate_binary(&labels, &probabilities, &keys, &options).map_err(unjudged)?;
            let role = if index == best { ReportRole::Chosen } else { ReportRole::Candidate };
            models.push(ModelRow::new(candidate.name(), role, &evaluated));
            if index == best {
                chosen = Some(evaluated);
            }
        }
        let chosen = chosen.expect("the best is one of the candidates");
        let (baseline, scores) = self.baseline(test)?;
        // Dozens of columns: the interval of the chosen model is enough.
        let resamples = if self.target.per_group { 0 } else { options.resamples };
        let options = BootstrapOptions { resamples, ..options };
        let evaluated = evaluate_ranking(&labels, &scores, &keys, &options).map_err(unjudged)?;
        models.push(ModelRow::new(baseline, ReportRole::Baseline, &evaluated));
        models.sort_by_key(|model| match model.role {
            ReportRole::Chosen => 0,
            ReportRole::Candidate => 1,
            ReportRole::Baseline => 2,
        });
        Ok(TargetReport {
            name: self.name.clone(),
            label: self.target.sentence(self.group()),
            kind: self.target.kind,
            group: self.target.per_group.then(|| self.target.name.clone()),
            cut_off: self.split.test,
            window: Window::after(self.split.test, self.target.horizon),
            evaluation: evaluation(self.split),
            rows: labels.len() as u64,
            positives: Some(labels.iter().filter(|&&label| label).count() as u64),
            total: None,
            intervals: chosen.intervals.clone(),
            models,
            reliability: chosen.reliability,
            deciles: chosen.deciles,
        })
    }

    /// Weight of each feature in the first probability model: the largest coefficient of its standardised columns.
    fn weigh_features(&self, model: &LogisticModel, preparation: &Preparation, trained: &mut Trained) {
        if trained.features.iter().any(|feature| feature.importance.is_some()) {
            return;
        }
        let features = self.material.catalogue();
        let values = preparation.values().iter().map(|value| value.feature);
        let columns = values.chain(preparation.indicators().iter().copied());
        let mut weights: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
        for (feature, coefficient) in columns.zip(&model.coefficients) {
            let weight = weights.entry(features[feature].name.as_str()).or_default();
            *weight = weight.max(coefficient.abs());
        }
        for feature in &mut trained.features {
            feature.importance = weights.get(feature.name.as_str()).copied();
        }
    }

    /// The churn factor for absence of orders, what happened last period for all else.
    fn baseline(&self, test: &Prepared) -> Result<(&'static str, Vec<f64>), SpillError> {
        Ok(if self.target.is_order && self.target.kind == TargetKind::Absence && !self.target.per_group {
            // Without an order there is none; such customers come last.
            let last = f64::from(f32::MAX);
            let factors = self.material.churn_factor(&test.rows).into_iter().map(f64::from);
            ("churn factor", factors.map(|factor| if factor.is_nan() { last } else { factor }).collect())
        } else {
            ("same as last period", last_period(self.material, self.target, self.split, &test.rows, self.column)?)
        })
    }
}

struct Choice {
    chosen: Candidate,
    calibration: CalibrationChoice,
}
