//! Training: feature rows and labels become fitted targets, judged on a window that nothing else touched.

mod beginnings;
mod boosting;
mod categories;
mod error;
mod expected;
mod export;
mod inputs;
mod judge;
mod material;
mod occurrences;
mod pool;
mod probability;
mod recipes;

pub(crate) use boosting::MOST_TRIALS;
pub use error::TrainingError;
pub(crate) use expected::{INTERVAL_SHARE, quantity};
pub use occurrences::{Evidence, OrdersChoice};

use std::collections::BTreeMap;
use std::path::Path;

use crate::bundle::{FittedTarget, Parameters};
use crate::config::Config;
use crate::features::{Feature, Plan, Plans};
use crate::labels::Target;
use crate::models::boosted::BoostedTrees;
use crate::models::btyd::OrdersModel;
use crate::models::occurrence::{OccurrenceModel, Subject};
use crate::models::occurrence_features::OccurrenceFeaturesError;
use crate::progress::Observer;
use crate::report::{FeatureNote, TargetReport, TargetRules};
use crate::split::{self, Role, Scheme, Split};
use crate::time::{Day, Horizon};
use crate::timeline::{Budget, Timelines};
use crate::{error::Error, split::SplitError};

use beginnings::Beginnings;
use material::{Material, Purpose};

/// What training found.
pub struct Trained {
    /// What scoring needs.
    pub parameters: Parameters,
    /// How each score column was judged.
    pub targets: Vec<TargetReport>,
    /// The cut-offs of each target.
    pub splits: BTreeMap<String, Split>,
    /// The model of the order process of each event that targets are about.
    pub orders: Vec<OrdersChoice>,
    /// The readable tree of each probability that has one.
    pub rules: Vec<TargetRules>,
    /// The catalogue, with the weight of each feature in the first probability model.
    pub features: Vec<FeatureNote>,
    /// What a reader of the report should know.
    pub warnings: Vec<String>,
}

impl Trained {
    /// The model of the order process that was chosen for a subject.
    fn orders_model(&self, subject: &Subject) -> OrdersModel {
        occurrences::orders_model(&self.orders, subject)
    }
}

/// Fits every target to the events before `as_of`. With a folder `rows_to`, the rows of each target are written there, too.
///
/// # Errors
/// Targets that the data cannot answer, a history that is too short, fits that are refused.
pub fn train(
    config: &Config,
    timelines: &Timelines,
    as_of: Day,
    rows_to: Option<&Path>,
    budget: &Budget,
    observer: &dyn Observer,
) -> Result<Trained, Error> {
    let beginnings = Beginnings::of(timelines)?;
    let first_order = beginnings.day(timelines, &config.events.order_event);
    let default_horizon = split::default_horizon(as_of.since(first_order), &config.training);
    let mut warnings = Vec::new();
    if config.target.is_empty() && default_horizon < split::default_horizon(i32::MAX, &config.training) {
        warnings.push(format!("The history is too short for the usual horizon: {default_horizon} days are used."));
    }
    // Fails here, before any work, when a horizon does not fit.
    for target in config.target.values() {
        let first_day = target.event.as_ref().map_or(first_order, |event| beginnings.day(timelines, event));
        Split::new(first_day, as_of, target.horizon_days, &config.training)?;
    }
    if config.target.is_empty() {
        Split::new(first_order, as_of, default_horizon, &config.training)?;
    }
    let catalogue = Plan::new(timelines, config, as_of)?;
    catalogue.check_selection()?;
    let mut plans = Plans::new(config, timelines, as_of);
    let targets = Target::resolve(config, timelines, &mut plans, default_horizon)?;
    for target in targets.iter().filter(|target| target.kind == crate::config::TargetKind::Amount) {
        let kinds = &plans.of(target.horizon)?.kinds;
        if !kinds.iter().any(|kind| kind.event == target.event && kind.has_money) {
            return Err(TrainingError::NoMoney { target: target.name.clone(), event: target.event.clone() }.into());
        }
    }
    let split_of =
        |target: &Target| Split::new(beginnings.day(timelines, &target.event), as_of, target.horizon, &config.training);
    let mut splits: Vec<Split> = targets.iter().map(split_of).collect::<Result<_, SplitError>>()?;

    for target in &targets {
        let about = match target.groups.len() {
            0 => target.sentence(None),
            1 => target.sentence(Some(0)),
            groups => format!("{}, and so for {} categories more", target.sentence(Some(0)), groups - 1),
        };
        observer.note(&format!("target {}: {about}", target.name));
    }
    let roles = catalogue.roles.missed(&config.features.roles, &Config::default().features.roles);
    warnings.extend(roles.into_iter().map(|role| {
        format!("No event but the order event is called as `features.roles.{role}` says: its features are left out.")
    }));
    let order = Subject { event: config.events.order_event.clone(), is_order: true, category: None };
    observer.stage("choosing the model of orders");
    if config.training.budget_seconds > 0 {
        warnings.push(format!(
            "Settings of trees were searched for at most {} seconds a target: another run or machine may find others.",
            config.training.budget_seconds
        ));
    }
    let mut trained = Trained {
        orders: occurrences::choose(&order, timelines, &targets, &splits)?,
        features: catalogue.features().iter().map(|feature| note_of(feature, None)).collect(),
        parameters: Parameters { catalogue, plans: Vec::new(), targets: Vec::new(), occurrences: Vec::new() },
        targets: Vec::new(),
        splits: BTreeMap::new(),
        rules: Vec::new(),
        warnings,
    };
    match OccurrenceModel::fit(trained.orders_model(&order), &order, &order.histories(timelines, as_of)?, as_of) {
        Ok(model) => trained.parameters.occurrences.push(model),
        Err(source) => trained.warnings.push(format!("No alive probability: {source}.")),
    }
    let mut horizons: Vec<Horizon> = targets.iter().map(|target| target.horizon).collect();
    horizons.sort_unstable();
    horizons.dedup();
    let mut fitted: Vec<Option<FittedTarget>> = vec![None; targets.len()];
    // One horizon after another: their rows have little in common, and only one table is in memory at a time.
    for horizon in horizons.into_iter().rev() {
        let plan = plans.of(horizon)?.clone();
        plan.selection.check_any(&plan.everything())?;
        let of_horizon = |index: &usize| targets[*index].horizon == horizon;
        let indices: Vec<usize> = (0..targets.len()).filter(of_horizon).collect();
        let (some_targets, some_splits): (Vec<Target>, Vec<Split>) =
            indices.iter().map(|&index| (targets[index].clone(), splits[index].clone())).unzip();
        observer.stage(&format!("building features for {horizon} days"));
        if budget.bytes.is_some() {
            let bytes = material::bytes_to_train(config, timelines, &plan, &some_targets, &some_splits, as_of)?;
            budget.check_after(
                "rows to learn from (`[training] max_rows` makes them fewer)",
                bytes as f64,
                timelines.held(),
            )?;
        }
        let mut material = Material::build(config, timelines, &plan, &some_targets, &some_splits, as_of)?;
        observer.note(&format!("{} feature rows at {} cut-offs, {horizon} days", material.rows(), material.cut_offs()));
        for &index in &indices {
            look_ahead(&mut material, &targets[index], &mut trained)?;
        }
        if let Some(folder) = rows_to {
            observer.stage("writing training rows");
            for &index in &indices {
                export::export(&material, &targets[index], &splits[index], folder)?;
            }
        }
        // What is found for the first target of a horizon serves the others: they see the same columns of the same rows.
        let mut settings: Option<BoostedTrees> = None;
        for index in indices {
            let target = &targets[index];
            observer.stage(&format!("fitting {}", target.name));
            if let Some(other) = set_aside(&material, target, &splits[index])? {
                trained.warnings.push(format!(
                    "{}: too few labels before the test window, so customers are kept out of training instead.",
                    target.name
                ));
                splits[index] = other;
            }
            let split = &splits[index];
            fitted[index] = Some(if target.is_probability() {
                probability::fit(&material, target, split, &mut settings, &mut trained)?
            } else {
                expected::fit(&material, target, split, &mut settings, &mut trained)?
            });
        }
        trained.parameters.plans.push(plan); // the index that the targets above have noted
    }
    trained.parameters.targets = fitted.into_iter().flatten().collect();
    trained.splits = targets.iter().map(|target| target.name.clone()).zip(splits).collect();
    let columns: Vec<String> = targets.iter().flat_map(Target::columns).collect();
    let place = |name: &String| columns.iter().position(|column| column == name);
    trained.targets.sort_by_key(|report| place(&report.name));
    trained.rules.sort_by_key(|rules| place(&rules.target));
    Ok(trained)
}

fn note_of(feature: &Feature, importance: Option<f64>) -> FeatureNote {
    let unit = feature.unit.name().to_string();
    FeatureNote { name: feature.name.clone(), unit, note: feature.note.clone(), importance }
}

/// The cut-offs that set customers aside, where one of the windows that follow one another has too few labels to learn from or to
/// choose by: what few know of all cut-offs says more than nothing of the newest.
fn set_aside(material: &Material, target: &Target, split: &Split) -> Result<Option<Split>, TrainingError> {
    if target.per_group || split.scheme == Scheme::OneWindow {
        return Ok(None);
    }
    let labels = |split: &Split, role| -> Result<usize, TrainingError> {
        let rows = material.select(target, split, Purpose::Judged(role))?;
        Ok(if target.is_probability() { probability::smaller_class(&rows.flags(0)) } else { recipes::positives(&rows) })
    };
    let least = if target.is_probability() { probability::LEAST_OF_A_CLASS } else { recipes::LEAST_POSITIVE };
    let is_enough = |split: &Split| -> Result<bool, TrainingError> {
        Ok(labels(split, Role::Train)? >= least && labels(split, Role::Validate)? >= least)
    };
    if is_enough(split)? {
        return Ok(None);
    }
    let other = split.one_window();
    Ok(if is_enough(&other)? { Some(other) } else { None })
}

/// Lets the models of a target see what its occurrence model foresees, where that can be fitted.
fn look_ahead(material: &mut Material, target: &Target, trained: &mut Trained) -> Result<(), TrainingError> {
    let subject = subject_of(target, None);
    match occurrence_index(material, &subject, trained) {
        Ok(_) => {}
        Err(TrainingError::Occurrences { source, .. }) => {
            trained
                .warnings
                .push(format!("{}: nothing is foreseen by a buy-till-you-die model ({source}).", target.name));
            return Ok(());
        }
        Err(other) => return Err(other),
    }
    let orders = trained.orders_model(&subject);
    let unfitted = material.look_ahead(target, orders).map_err(|error| match error {
        OccurrenceFeaturesError::Spill(source) => TrainingError::Spill(source),
        OccurrenceFeaturesError::Btyd(source) => TrainingError::Occurrences { event: target.event.clone(), source },
    })?;
    for (day, source) in unfitted {
        trained.warnings.push(format!("{}: nothing is foreseen at the cut-off {day} ({source}).", target.name));
    }
    Ok(())
}

/// Index of the occurrence model whose expectations the models of a target see.
fn foresight_index(material: &Material, target: &Target, trained: &mut Trained) -> Option<usize> {
    material.foreseen(target).then(|| {
        let index = occurrence_index(material, &subject_of(target, None), trained);
        index.expect("fitted before anything was foreseen")
    })
}

/// Index of a subject's shipped model, fitted now if it is the first to need it.
fn occurrence_index(material: &Material, subject: &Subject, trained: &mut Trained) -> Result<usize, TrainingError> {
    if let Some(index) = trained.parameters.occurrences.iter().position(|model| model.subject == *subject) {
        return Ok(index);
    }
    let histories = subject.histories(material.timelines, material.as_of)?;
    let model = OccurrenceModel::fit(trained.orders_model(subject), subject, &histories, material.as_of)
        .map_err(|source| TrainingError::Occurrences { event: subject.event.clone(), source })?;
    trained.parameters.occurrences.push(model);
    Ok(trained.parameters.occurrences.len() - 1)
}

/// The subject of one column of a target.
fn subject_of(target: &Target, group: Option<usize>) -> Subject {
    Subject {
        event: target.event.clone(),
        is_order: target.is_order,
        category: group.map(|group| target.groups[group].name.clone()),
    }
}
