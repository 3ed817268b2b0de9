//! Declared targets become labels: what happened in `[as_of, as_of + horizon)`.

use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError, Eligible, Per, TargetConfig, TargetKind, nearest};
use crate::error::{ExitCode, Explain, Reason};
use crate::features::{Feature, Group, Plans, RowKey, RowRequest, is_order_line, slug, slugs};
use crate::time::{Day, Horizon, Window};
use crate::timeline::{Event, NO_CATEGORY, OrdersOfDay, Partition, SpillError, Timeline, Timelines, Vocabularies};

/// A target as it is trained and scored; part of the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Name in the configuration.
    pub name: String,
    /// What is asked.
    pub kind: TargetKind,
    /// Of which event.
    pub event: String,
    /// Whether that is the order event: refunds do not count, and lines of one order are one.
    pub is_order: bool,
    /// Length of the label window.
    pub horizon: Horizon,
    /// Who it is about; everyone when `None`.
    pub eligible: Option<Eligible>,
    /// One column for each; none: one column in all.
    pub groups: Vec<Group>,
    /// Whether it is repeated by group.
    pub per_group: bool,
}

/// A target that cannot be learned from these data.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The event never happens.
    #[error("target `{target}` is about the event `{event}`, which never happens before {before}")]
    NoTargetEvent {
        /// Which target.
        target: String,
        /// Its event.
        event: String,
        /// End of the history.
        before: Day,
        /// The most similar event that there is.
        nearest: Option<String>,
        /// What there is.
        events: Vec<String>,
    },
    /// No category column.
    #[error("target `{target}` is repeated by category, and no `{event}` has one")]
    NoCategories {
        /// Which target.
        target: String,
        /// Its event.
        event: String,
    },
    /// `eligible` names no feature.
    #[error("target `{target}`: `eligible` names `{feature}`, which is no feature")]
    UnknownFeature {
        /// Which target.
        target: String,
        /// What it names.
        feature: String,
        /// The most similar feature.
        nearest: Option<String>,
    },
    /// Two targets would write one column.
    #[error("targets `{first}` and `{second}` would both write the column `{column}`")]
    DoubledColumn {
        /// One target.
        first: String,
        /// The other.
        second: String,
        /// Their column.
        column: String,
    },
    /// Timelines on disk cannot be read back.
    #[error(transparent)]
    Spill(#[from] SpillError),
}

impl Explain for TargetError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoTargetEvent { .. } | Self::NoCategories { .. } => ExitCode::DataRejected,
            Self::UnknownFeature { .. } | Self::DoubledColumn { .. } => ExitCode::Usage,
            Self::Spill(error) => error.exit_code(),
        }
    }

    fn reason(&self) -> Option<Reason> {
        matches!(self, Self::NoTargetEvent { .. } | Self::NoCategories { .. }).then_some(Reason::NoTargetEvent)
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::NoTargetEvent { events, .. } => {
                vec![format!("events there are: {}", events.join(", ")), "No bundle was written.".into()]
            }
            Self::Spill(error) => error.details(),
            _ => vec!["No bundle was written.".into()],
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoTargetEvent { nearest: Some(nearest), .. } => {
                vec![format!(
                    "if `{nearest}` is meant, set `[events] order_event = \"{nearest}\"` or the target's `event`"
                )]
            }
            Self::NoTargetEvent { .. } => {
                vec!["set `[events] order_event` or the target's `event` in the configuration".into()]
            }
            Self::UnknownFeature { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownFeature { .. } => {
                vec!["`bellwether-train features --events …` prints every feature of the data".into()]
            }
            Self::NoCategories { .. } => vec!["leave `per` out, or map a column to `category`".into()],
            Self::DoubledColumn { .. } => vec!["rename one of them".into()],
            Self::Spill(error) => error.hints(),
        }
    }
}

impl Target {
    /// Score columns, one for each label.
    pub fn columns(&self) -> Vec<String> {
        let days = self.horizon;
        let probability = matches!(self.kind, TargetKind::Absence | TargetKind::Presence);
        if self.per_group {
            let event = slug(&self.event);
            let column = |group: &Group| match self.kind {
                TargetKind::Presence => format!("{event}_probability_{}_{days}d", group.slug),
                _ if probability => format!("{}_probability_{}_{days}d", self.name, group.slug),
                _ => format!("predicted_{}_{}_{days}d", self.name, group.slug),
            };
            self.groups.iter().map(column).collect()
        } else if probability {
            vec![format!("{}_probability_{days}d", self.name)]
        } else {
            vec![format!("predicted_{}_{days}d", self.name)]
        }
    }

    /// Features that say who it is about.
    pub fn eligible_features(&self) -> impl Iterator<Item = &str> {
        let comparisons = self.eligible.as_ref().map_or(&[][..], Eligible::comparisons);
        comparisons.iter().map(|comparison| comparison.feature.as_str())
    }

    /// Whether scores are probabilities.
    pub fn is_probability(&self) -> bool {
        matches!(self.kind, TargetKind::Absence | TargetKind::Presence)
    }

    /// What the label says, as a sentence; `group` for one of several columns.
    pub fn sentence(&self, group: Option<usize>) -> String {
        let event = if self.is_order { "order" } else { self.event.as_str() };
        let of = group.map(|g| format!(" in category `{}`", self.groups[g].name)).unwrap_or_default();
        let window = format!("in the {} days from as_of", self.horizon);
        match self.kind {
            TargetKind::Absence => format!("no {event}{of} {window}"),
            TargetKind::Presence => format!("at least one {event}{of} {window}"),
            TargetKind::Amount => format!("sum of value of `{}`{of} {window}", self.event),
            TargetKind::Count => format!("number of {event}s{of} {window}"),
        }
    }

    fn default_ones(
        config: &Config,
        horizon: Horizon,
        has_money: bool,
        has_categories: bool,
    ) -> Vec<(String, TargetConfig)> {
        let target = |kind, per, horizon_days, eligible| TargetConfig {
            kind,
            event: None,
            per,
            top: 50,
            horizon_days,
            eligible,
        };
        let buyers = format!("{}s >= 1", slug(&config.events.order_event));
        let buyers: Eligible = buyers.parse().expect("a comparison");
        let month = Horizon::new(30.min(i64::from(horizon.days()))).expect("1 to 30");
        let mut targets = vec![
            ("churn".to_string(), target(TargetKind::Absence, None, horizon, Some(buyers))),
            ("orders".to_string(), target(TargetKind::Count, None, horizon, None)),
        ];
        if has_money {
            targets.push(("value".to_string(), target(TargetKind::Amount, None, horizon, None)));
        }
        if has_categories {
            targets.push(("buys".to_string(), target(TargetKind::Presence, Some(Per::Category), month, None)));
        }
        targets
    }

    /// The configured targets, or churn, orders and value at `default_horizon` and categories at 30 days.
    ///
    /// Groups, and the features that `eligible` may name, are those of the plan of the target's horizon: no other
    /// target has a say in them.
    ///
    /// # Errors
    /// An event that never happens, a rule over an unknown feature, two targets with one column.
    pub fn resolve(
        config: &Config,
        timelines: &Timelines,
        plans: &mut Plans,
        default_horizon: Horizon,
    ) -> Result<Vec<Self>, TargetError> {
        let order_event = &config.events.order_event;
        let declared: Vec<(String, TargetConfig)> = if config.target.is_empty() {
            let plan = plans.of(default_horizon)?;
            let has_categories = !groups(timelines, order_event, 1, plan.frozen_at)?.is_empty();
            Self::default_ones(config, default_horizon, plan.kinds[0].has_money, has_categories)
        } else {
            config.target.iter().map(|(name, target)| (name.clone(), target.clone())).collect()
        };
        let mut targets: Vec<Self> = Vec::new();
        for (name, declared) in declared {
            let event = declared.event.unwrap_or_else(|| order_event.clone());
            let names = timelines.vocabularies.event.names();
            if timelines.vocabularies.event.code(&event).is_none() {
                return Err(TargetError::NoTargetEvent {
                    target: name,
                    nearest: nearest(&event, names.iter().map(String::as_str)),
                    event,
                    before: timelines.last_day.plus(1),
                    events: names.to_vec(),
                });
            }
            let plan = plans.of(declared.horizon_days)?;
            let (features, frozen_at) = (plan.everything(), plan.frozen_at);
            for comparison in declared.eligible.iter().flat_map(Eligible::comparisons) {
                if !features.iter().any(|feature| feature.name == comparison.feature) {
                    let nearest = nearest(&comparison.feature, features.iter().map(|feature| feature.name.as_str()));
                    return Err(TargetError::UnknownFeature {
                        target: name,
                        feature: comparison.feature.clone(),
                        nearest,
                    });
                }
            }
            let groups =
                declared.per.map(|Per::Category| groups(timelines, &event, declared.top, frozen_at)).transpose()?;
            if groups.as_ref().is_some_and(Vec::is_empty) {
                return Err(TargetError::NoCategories { target: name, event });
            }
            targets.push(Self {
                name,
                kind: declared.kind,
                is_order: &event == order_event,
                event,
                horizon: declared.horizon_days,
                eligible: declared.eligible,
                per_group: groups.is_some(),
                groups: groups.unwrap_or_default(),
            });
        }
        let mut columns = std::collections::BTreeMap::new();
        for target in &targets {
            for column in target.columns() {
                if let Some(first) = columns.insert(column.clone(), target.name.clone()) {
                    return Err(TargetError::DoubledColumn { first, second: target.name.clone(), column });
                }
            }
        }
        Ok(targets)
    }
}

/// The most frequent categories of an event, by rows known at `frozen_at`; equal counts in order of name.
fn groups(timelines: &Timelines, event: &str, top: usize, frozen_at: Day) -> Result<Vec<Group>, SpillError> {
    let names = timelines.vocabularies.category.names();
    let Some(kind) = timelines.vocabularies.event.code(event) else { return Ok(Vec::new()) };
    let count = |mut counts: Vec<u64>, partition: &Partition| {
        for timeline in (0..partition.customers()).map(|customer| partition.timeline(customer)) {
            for event in timeline.known_at(frozen_at).map(|index| &timeline.events[index]) {
                if u32::from(event.kind) == kind && event.category != NO_CATEGORY {
                    counts[event.category as usize] += 1;
                }
            }
        }
        counts
    };
    let add = |mut sums: Vec<u64>, counts: Vec<u64>| {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sums
    };
    let counts = timelines.fold_parts(|| vec![0u64; names.len()], count, add)?;
    let mut order: Vec<usize> = (0..names.len()).filter(|&code| counts[code] > 0).collect();
    order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then_with(|| names[a].cmp(&names[b])));
    order.truncate(top);
    Ok(slugs(order.into_iter().map(|code| names[code].as_str())))
}

/// Buffers of one thread, so that a row allocates nothing.
#[derive(Default)]
struct Scratch {
    sums: Vec<f64>,
    /// One for each label.
    orders: Vec<OrdersOfDay>,
}

/// A target made ready for the codes of one set of timelines.
pub struct Labeller<'a> {
    target: &'a Target,
    kind: Option<u16>,
    /// Position of a category's group, or `u16::MAX`.
    group_of: Vec<u16>,
}

impl<'a> Labeller<'a> {
    /// Labels of `target` for timelines with these vocabularies.
    pub fn new(target: &'a Target, vocabularies: &Vocabularies) -> Self {
        let mut group_of = vec![u16::MAX; vocabularies.category.names().len()];
        for (position, group) in target.groups.iter().enumerate() {
            if let Some(code) = vocabularies.category.code(&group.name) {
                group_of[code as usize] = position as u16;
            }
        }
        Self { target, kind: vocabularies.event.code(&target.event).map(|code| code as u16), group_of }
    }

    /// Number of labels of a row.
    pub fn width(&self) -> usize {
        if self.target.per_group { self.target.groups.len() } else { 1 }
    }

    /// Whether an event is one that the target is about.
    pub fn counts(&self, event: &Event) -> bool {
        Some(event.kind) == self.kind && (!self.target.is_order || is_order_line(event))
    }

    /// Whether money of an event belongs to an amount: refunds do.
    fn pays(&self, event: &Event) -> bool {
        Some(event.kind) == self.kind && !event.value.is_nan()
    }

    /// Labels of one customer at `as_of`, from its whole timeline: 1 and 0 for absence and presence.
    pub fn label(&self, timeline: Timeline, as_of: Day, labels: &mut [f32]) {
        self.label_with(&mut Scratch::default(), timeline, as_of, labels);
    }

    fn label_with(&self, scratch: &mut Scratch, timeline: Timeline, as_of: Day, labels: &mut [f32]) {
        let Scratch { sums, orders } = scratch;
        sums.clear();
        sums.resize(labels.len(), 0.0);
        let window = Window::after(as_of, self.target.horizon);
        let start = timeline.before(window.start);
        let inside = timeline.events[start..].iter().take_while(|event| window.holds(event.time));
        let group = |event: &Event| {
            if !self.target.per_group {
                return Some(0);
            }
            let group = *self.group_of.get(event.category as usize)?;
            (group != u16::MAX).then_some(group as usize)
        };
        match self.target.kind {
            TargetKind::Absence | TargetKind::Presence => {
                inside.filter(|event| self.counts(event)).filter_map(group).for_each(|g| sums[g] = 1.0);
                if self.target.kind == TargetKind::Absence {
                    sums.iter_mut().for_each(|sum| *sum = 1.0 - *sum);
                }
            }
            TargetKind::Amount => {
                inside.filter(|event| self.pays(event)).for_each(|event| {
                    if let Some(g) = group(event) {
                        sums[g] += event.value;
                    }
                });
            }
            TargetKind::Count => {
                orders.resize_with(labels.len(), OrdersOfDay::default);
                orders.iter_mut().for_each(OrdersOfDay::clear);
                let mut last_day = None;
                for (index, event) in (start..).zip(inside).filter(|(_, event)| self.counts(event)) {
                    let day = event.day();
                    if last_day.replace(day).is_some_and(|last| last != day) {
                        orders.iter_mut().for_each(OrdersOfDay::clear);
                    }
                    if let Some(g) = group(event)
                        && (!self.target.is_order || orders[g].position(timeline.detail(index).order).1)
                    {
                        sums[g] += 1.0;
                    }
                }
            }
        }
        labels.iter_mut().zip(sums).for_each(|(label, sum)| *label = *sum as f32);
    }

    /// Labels of the rows of a feature table, rows × [`Labeller::width`].
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn label_rows(
        &self,
        timelines: &Timelines,
        requests: &[RowRequest],
        keys: &[RowKey],
    ) -> Result<Vec<f32>, SpillError> {
        let width = self.width();
        let by_part: Vec<&[RowKey]> = keys.chunk_by(|a, b| a.partition == b.partition).collect();
        let labels = timelines.map_keys(
            &by_part,
            |keys| keys[0].partition as usize,
            |partition, keys| {
                let mut scratch = Scratch::default();
                let mut labels = vec![0f32; keys.len() * width];
                for (labels, key) in labels.chunks_exact_mut(width).zip(*keys) {
                    let as_of = requests[key.request as usize].as_of;
                    self.label_with(&mut scratch, partition.timeline(key.customer as usize), as_of, labels);
                }
                labels
            },
        )?;
        Ok(labels.concat())
    }
}

/// Positions in a feature row of the comparisons of a rule.
pub struct EligibleRows<'a> {
    comparisons: Vec<(usize, &'a crate::config::Comparison)>,
}

impl<'a> EligibleRows<'a> {
    /// # Errors
    /// The first comparison that names no feature.
    pub fn new(rule: Option<&'a Eligible>, features: &[Feature]) -> Result<Self, ConfigError> {
        let position = |comparison: &'a crate::config::Comparison| {
            let found = features.iter().position(|feature| feature.name == comparison.feature);
            found.map(|index| (index, comparison)).ok_or_else(|| ConfigError::OutOfRange {
                key: "eligible".into(),
                rule: "comparisons of features",
                got: comparison.feature.clone(),
            })
        };
        let comparisons = rule.map_or(&[][..], Eligible::comparisons).iter().map(position);
        Ok(Self { comparisons: comparisons.collect::<Result<_, _>>()? })
    }

    /// Whether a row is one that the target is about.
    pub fn holds(&self, row: &[f32]) -> bool {
        self.comparisons.iter().all(|(index, comparison)| comparison.holds(row[*index]))
    }
}
