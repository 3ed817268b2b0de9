//! Training: feature rows and labels become fitted targets, judged on a window that nothing else touched.

mod expected;
mod material;
mod occurrences;
mod probability;

pub(crate) use expected::quantity;
pub use occurrences::{Evidence, OrdersChoice};
pub(crate) use probability::from_expectation;

use crate::bundle::{FittedTarget, Parameters};
use crate::config::Config;
use crate::error::{ExitCode, Explain, Reason};
use crate::features::{Plan, Plans};
use crate::labels::Target;
use crate::models::FitError;
use crate::models::btyd::{BtydError, OrdersModel};
use crate::models::occurrence::{OccurrenceModel, Subject};
use crate::progress::Observer;
use crate::report::{FeatureNote, TargetReport, TargetRules};
use crate::split::{self, Split};
use crate::time::{Day, Horizon};
use crate::timeline::{SpillError, Timelines};
use crate::{error::Error, split::SplitError};

use material::Material;

/// A target that cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// Nobody is eligible at any training cut-off.
    #[error("target `{target}`: no customer is eligible at any training cut-off")]
    NoEligibleRows {
        /// Which target.
        target: String,
    },
    /// Every label is the same.
    #[error("target `{target}`: all {rows} training labels are {label}")]
    SingleClass {
        /// Which target.
        target: String,
        /// Number of labels.
        rows: u64,
        /// What they are.
        label: &'static str,
    },
    /// An amount of an event without money.
    #[error("target `{target}` is an amount, and `{event}` carries no money")]
    NoMoney {
        /// Which target.
        target: String,
        /// Its event.
        event: String,
    },
    /// A model refused the rows.
    #[error("target `{target}` cannot be fitted")]
    Fit {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: FitError,
    },
    /// An occurrence model refused the histories.
    #[error("the occurrences of `{event}` cannot be modelled")]
    Occurrences {
        /// Of which event.
        event: String,
        /// Why.
        #[source]
        source: BtydError,
    },
    /// Timelines on disk cannot be read back.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Figures of the report cannot be computed.
    #[error("target `{target}` cannot be judged")]
    Judge {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: crate::metrics::MetricError,
    },
}

impl Explain for TrainingError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Fit { source, .. } => source.exit_code(),
            Self::Occurrences { source, .. } => source.exit_code(),
            Self::Judge { .. } => ExitCode::Bug,
            Self::Spill(source) => source.exit_code(),
            _ => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::NoEligibleRows { .. } => Some(Reason::NoEligibleRows),
            Self::SingleClass { .. } => Some(Reason::SingleClass),
            Self::NoMoney { .. } => Some(Reason::NoTargetEvent),
            Self::Fit { source, .. } => source.reason(),
            Self::Occurrences { source, .. } => source.reason(),
            Self::Judge { .. } => None,
            Self::Spill(source) => source.reason(),
        }
    }

    fn details(&self) -> Vec<String> {
        let mut details = match self {
            Self::Spill(source) => source.details(),
            _ => Vec::new(),
        };
        details.push("No bundle was written; a former one is untouched.".into());
        details
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEligibleRows { target } => {
                vec![format!("loosen `[target.{target}] eligible`, or take a shorter horizon")]
            }
            Self::SingleClass { target, .. } => {
                vec![format!("another `horizon_days` of `[target.{target}]` may tell customers apart")]
            }
            Self::NoMoney { .. } => vec!["map the column that holds money: `[events.columns] value = \"…\"`".into()],
            Self::Fit { source, .. } => source.hints(),
            Self::Occurrences { source, .. } => source.hints(),
            Self::Judge { .. } => Vec::new(),
            Self::Spill(source) => source.hints(),
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::SingleClass { rows, .. } => vec![("rows", *rows)],
            Self::Fit { source, .. } => source.counts(),
            Self::Occurrences { source, .. } => source.counts(),
            _ => Vec::new(),
        }
    }
}

/// What training found.
pub struct Trained {
    /// What scoring needs.
    pub parameters: Parameters,
    /// How each score column was judged.
    pub targets: Vec<TargetReport>,
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

/// Fits every target to the events before `as_of`.
///
/// # Errors
/// Targets that the data cannot answer, a history that is too short, fits that are refused.
pub fn train(config: &Config, timelines: &Timelines, as_of: Day, observer: &dyn Observer) -> Result<Trained, Error> {
    let default_horizon = split::default_horizon(as_of.since(timelines.first_day), &config.training);
    let mut warnings = Vec::new();
    if config.target.is_empty() && default_horizon < split::default_horizon(i32::MAX, &config.training) {
        warnings.push(format!("The history is too short for the usual horizon: {default_horizon} days are used."));
    }
    let declared = config.target.values().map(|target| target.horizon_days);
    let longest = declared.max().unwrap_or(default_horizon);
    // Fails here, before any work, when the longest horizon does not fit.
    Split::new(timelines.first_day, as_of, longest, &config.training)?;
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
    let splits: Vec<Split> = targets
        .iter()
        .map(|target| Split::new(timelines.first_day, as_of, target.horizon, &config.training))
        .collect::<Result<_, SplitError>>()?;

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
    let features = catalogue.features().into_iter().map(|feature| FeatureNote {
        name: feature.name,
        unit: feature.unit.name().to_string(),
        note: feature.note,
        importance: None,
    });
    let order = Subject { event: config.events.order_event.clone(), is_order: true, category: None };
    observer.stage("choosing the model of orders");
    let mut trained = Trained {
        orders: occurrences::choose(&order, timelines, &targets, &splits)?,
        features: features.collect(),
        parameters: Parameters { catalogue, plans: Vec::new(), targets: Vec::new(), occurrences: Vec::new() },
        targets: Vec::new(),
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
        let material = Material::build(config, timelines, &plan, &some_targets, &some_splits, as_of)?;
        observer.note(&format!("{} feature rows at {} cut-offs, {horizon} days", material.rows(), material.cut_offs()));
        for index in indices {
            let (target, split) = (&targets[index], &splits[index]);
            observer.stage(&format!("fitting {}", target.name));
            fitted[index] = Some(if target.is_probability() {
                probability::fit(&material, target, split, &mut trained)?
            } else {
                expected::fit(&material, target, split, &mut trained)?
            });
        }
        trained.parameters.plans.push(plan); // the index that the targets above have noted
    }
    trained.parameters.targets = fitted.into_iter().flatten().collect();
    let columns: Vec<String> = targets.iter().flat_map(Target::columns).collect();
    let place = |name: &String| columns.iter().position(|column| column == name);
    trained.targets.sort_by_key(|report| place(&report.name));
    trained.rules.sort_by_key(|rules| place(&rules.target));
    Ok(trained)
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
