//! Gates: what must hold before a partition is written, each with a figure, a limit and the way to go on.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::drift::{Distributions, Psi};
use super::manifest::{ColumnDrift, Drift};
use super::volume::Volume;
use crate::bundle::Bundle;
use crate::config::GatesConfig;
use crate::error::{ExitCode, Explain, Reason};
use crate::report::{TargetReport, format};
use crate::time::Day;
use crate::timeline::Timelines;

/// How a gate was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figure is within the limit.
    Passed,
    /// It is not.
    Missed,
    /// There is nothing to compare.
    NotApplicable,
}

/// One gate, as the manifest tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Name: the key under `[gates]`, or what it looks at.
    pub name: String,
    /// How it was found.
    pub verdict: Verdict,
    /// What was measured; `None` when the gate does not apply.
    pub figure: Option<f64>,
    /// What the figure is held against.
    pub limit: f64,
    /// In words.
    pub note: String,
}

/// A gate with what is told when it is missed.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) gate: Gate,
    reason: Reason,
    details: Vec<String>,
    hints: Vec<String>,
}

impl Check {
    fn new(name: &str, reason: Reason, limit: f64) -> Self {
        let gate =
            Gate { name: name.into(), verdict: Verdict::NotApplicable, figure: None, limit, note: String::new() };
        Self { gate, reason, details: Vec::new(), hints: Vec::new() }
    }

    fn found(mut self, figure: f64, is_missed: bool, note: String) -> Self {
        self.gate.figure = Some(figure);
        self.gate.verdict = if is_missed { Verdict::Missed } else { Verdict::Passed };
        self.gate.note = note;
        self
    }

    fn without(mut self, why: &str) -> Self {
        self.gate.note = why.into();
        self
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.gate.verdict == Verdict::Missed
    }
}

/// Gates that were missed by a run that was not forced.
#[derive(Debug)]
pub(crate) struct GatesMissed {
    missed: Vec<Check>,
    out: PathBuf,
}

impl GatesMissed {
    /// `None` when all gates are passed.
    pub(crate) fn of(checks: &[Check], out: &Path) -> Option<Self> {
        let missed: Vec<Check> = checks.iter().filter(|check| check.is_missed()).cloned().collect();
        (!missed.is_empty()).then(|| Self { missed, out: out.into() })
    }
}

impl std::fmt::Display for GatesMissed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.missed[..] {
            [one] => f.write_str(&one.gate.note),
            [first, rest @ ..] => write!(
                f,
                "{}; {} more missed",
                first.gate.note,
                if rest.len() == 1 { "one gate".to_string() } else { format!("{} gates", rest.len()) }
            ),
            [] => Ok(()),
        }
    }
}

impl std::error::Error for GatesMissed {}

impl Explain for GatesMissed {
    fn exit_code(&self) -> ExitCode {
        ExitCode::GateMissed
    }

    fn reason(&self) -> Option<Reason> {
        self.missed.first().map(|check| check.reason)
    }

    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, check) in self.missed.iter().enumerate() {
            if index > 0 {
                lines.push(format!("{} ({})", check.gate.note, check.reason.code()));
            }
            let Gate { name, figure, limit, .. } = &check.gate;
            lines.push(format!("`{name}`: {}, limit {}", format::plain(*figure), format::plain(Some(*limit))));
            lines.extend(check.details.iter().cloned());
        }
        lines.push(format!("No partition was written; those in {} are untouched.", self.out.display()));
        lines
    }

    fn hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = self.missed.iter().flat_map(|check| check.hints.iter().cloned()).collect();
        hints.push("to write the partition all the same, use `--force`: the manifest will say so".into());
        hints.dedup();
        hints
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let gap = self.missed.iter().find(|check| check.reason == Reason::NoRecentData);
        gap.and_then(|check| check.gate.figure).map(|gap| ("gap_days", gap.max(0.0) as u64)).into_iter().collect()
    }

    fn figures(&self) -> Vec<(String, f64)> {
        let pair = |check: &Check| {
            let Gate { name, figure, limit, .. } = &check.gate;
            [(name.clone(), figure.unwrap_or(f64::NAN)), (format!("{name}_limit"), *limit)]
        };
        self.missed.iter().flat_map(pair).collect()
    }
}

/// Gates that are known before anything is scored: the age of the bundle and how it was judged, how recent and how many
/// the events are.
pub(crate) fn before_scoring(
    limits: &GatesConfig,
    bundle: &Bundle,
    timelines: &Timelines,
    volume: &Volume,
) -> Vec<Check> {
    vec![
        gap(limits, bundle, volume),
        weeks(limits, timelines, volume),
        age(limits, bundle, volume.as_of),
        baseline(limits, bundle),
    ]
}

fn gap(limits: &GatesConfig, bundle: &Bundle, volume: &Volume) -> Check {
    let check = Check::new("max_gap_days", Reason::NoRecentData, f64::from(limits.max_gap_days));
    let Some(last) = volume.last_day else { return check.without("there is no event") };
    let gap = volume.gap() - i32::from(bundle.manifest.config.events.settle_days);
    let is_missed = gap > i32::from(limits.max_gap_days);
    let note = match gap {
        ..=0 => format!("the events reach the scoring date: the last is of {last}"),
        1 => "the day before the scoring date has no events".into(),
        gap => format!("the {gap} days before the scoring date have no events"),
    };
    let mut check = check.found(f64::from(gap.max(0)), is_missed, note);
    check.details = vec![
        format!("last event {last}, scoring date {}", volume.as_of),
        "Scored now, these days would look like silence and raise churn for every customer.".into(),
    ];
    check.hints = vec![
        format!("to score the day after the last event, use `--as-of {}`", last.plus(1)),
        format!("if the shop was really closed, use `--max-gap {gap}`"),
    ];
    check
}

fn weeks(limits: &GatesConfig, timelines: &Timelines, volume: &Volume) -> Check {
    let limit = limits.min_volume_ratio;
    let check = Check::new("min_volume_ratio", Reason::VolumeCollapsed, limit);
    let usual = volume.usual(timelines, limit);
    let ratio = |week: &super::volume::Week| week.now as f64 / week.usual;
    let Some(least) = usual.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b))) else {
        return check.without("no event type has come week by week for nine weeks");
    };
    let is_missed = ratio(least) < limit;
    let note = format!(
        "`{}` came on {} customer-days in the last seven days, on {} in a usual week",
        least.event,
        format::count(least.now),
        format::amount(Some(least.usual))
    );
    let mut check = check.found(ratio(least), is_missed, note);
    let collapsed = usual.iter().filter(|week| ratio(week) < limit);
    check.details = collapsed
        .map(|week| format!("`{}`: {:.1} % of a usual week", week.event, 100.0 * ratio(week)))
        .chain(["A feed that has stopped, or is late, makes customers look closer to leaving.".to_string()])
        .collect();
    check.hints = vec!["see that all files of the last days are there, and run again".into()];
    check
}

fn age(limits: &GatesConfig, bundle: &Bundle, as_of: Day) -> Check {
    let check = Check::new("max_age_days", Reason::BundleTooOld, f64::from(limits.max_age_days));
    if limits.max_age_days == 0 {
        return check.without("no limit is set");
    }
    let age = as_of.since(bundle.manifest.as_of);
    let note = format!("the bundle has seen nothing of the last {} days", age.max(0));
    let mut check = check.found(f64::from(age), age > i32::from(limits.max_age_days), note);
    check.hints = vec!["train anew: `bellwether-train fit --events … --out models/NAME`".into()];
    check
}

/// A model that was judged on fewer customers cannot be told from a baseline: a bootstrap of a handful is no interval.
const LEAST_JUDGED: u64 = 100;

/// The shortfall of the worst single-column target: how far its model stayed below the best baseline on the test window,
/// where its interval lies below the baseline, too.
fn baseline(limits: &GatesConfig, bundle: &Bundle) -> Check {
    let check = Check::new("max_below_baseline", Reason::WorseThanBaseline, limits.max_below_baseline);
    let judged = |target: &&TargetReport| target.group.is_none() && target.rows >= LEAST_JUDGED;
    let shortfalls = bundle.report.targets.iter().filter(judged).filter_map(|target| {
        let chosen = target.chosen()?;
        let (value, best) = (chosen.value(target.headline())?, target.best_baseline()?);
        let high = chosen.metric(target.headline())?.high.unwrap_or(value);
        Some((best - value, high < best, target, value, best))
    });
    let Some((shortfall, is_certain, target, value, best)) = shortfalls.max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return check.without("no model was judged beside a baseline on enough customers");
    };
    let is_missed = shortfall > limits.max_below_baseline && is_certain;
    let note = if shortfall > 0.0 {
        format!("the model of `{}` is worse than a baseline", target.name)
    } else {
        "every model is better than its baselines".to_string()
    };
    let mut check = check.found(shortfall.max(0.0), is_missed, note);
    check.details = vec![format!("{} of the model {value:.4}, of the best baseline {best:.4}", target.headline())];
    check.hints = vec!["train anew with more history, or see `report.html` of the bundle for what it lacks".into()];
    check
}

/// What today's columns are held against.
pub(super) struct Former<'a> {
    /// Of the bundle.
    pub(super) training: Option<&'a Distributions>,
    /// Of the newest partition before, with the bundle that made it.
    pub(super) last: Option<(&'a Distributions, &'a str)>,
}

/// Drift of every column, and the gates over it.
pub(super) fn drift(
    limits: &GatesConfig,
    sample: &super::drift::Sample,
    former: &Former,
    bundle_id: &str,
) -> (Drift, Vec<Check>) {
    let mut drift = Drift {
        training_as_of: former.training.map(|training| training.as_of),
        last_as_of: former.last.map(|(last, _)| last.as_of),
        columns: Default::default(),
    };
    let mut checks = Vec::new();
    for (index, against) in [former.training, former.last.map(|(last, _)| last)].into_iter().enumerate() {
        let what = ["the fit", "the last partition"][index];
        let [predictions_name, features_name] =
            [["max_psi", "max_drifted_share"], ["max_psi_since_last", "max_drifted_share_since_last"]][index];
        let predictions_check = Check::new(predictions_name, Reason::Drifted, limits.max_psi);
        let features_check = Check::new(features_name, Reason::Drifted, limits.max_drifted_share);
        let Some(against) = against else {
            let why = ["the bundle keeps no distributions", "there is no earlier partition with distributions"][index];
            checks.extend([predictions_check.without(why), features_check.without(why)]);
            continue;
        };
        let (predictions, features) = sample.drift(against);
        for (name, psi) in predictions.iter().chain(&features) {
            let column: &mut ColumnDrift = drift.columns.entry(name.clone()).or_default();
            *(if index == 0 { &mut column.training } else { &mut column.last }) = Some(psi.value);
        }
        let is_other_bundle = index == 1 && former.last.is_some_and(|(_, id)| id != bundle_id);
        checks.push(if is_other_bundle {
            predictions_check.without("the last partition was made by another bundle")
        } else {
            of_predictions(limits, predictions_check, &predictions, what)
        });
        checks.push(of_features(limits, features_check, &features, what));
    }
    (drift, checks)
}

fn of_predictions(
    limits: &GatesConfig,
    check: Check,
    drifted: &std::collections::BTreeMap<String, Psi>,
    what: &str,
) -> Check {
    // One that noise could reach is no drift, however large its index.
    let worst = |is_certain: bool| {
        let some = drifted.iter().filter(|(_, psi)| (psi.value > psi.noise) == is_certain);
        some.max_by(|a, b| a.1.value.total_cmp(&b.1.value))
    };
    let Some((name, psi)) = worst(true).or_else(|| worst(false)) else {
        return check.without("no prediction is in both");
    };
    let by_chance = if psi.value > psi.noise { "" } else { ", not more than by chance" };
    let note = format!("`{name}` has moved most since {what}: PSI {:.3}{by_chance}", psi.value);
    let mut check = check.found(psi.value, psi.is_beyond(limits.max_psi), note);
    check.details = vec!["Either customers have changed or the events have: another feed, unit or currency.".into()];
    check.hints = vec![
        "see `drift` in the manifest of a forced run for the features that moved".into(),
        "if the customers have changed, train anew: `bellwether-train fit`".into(),
    ];
    check
}

fn of_features(
    limits: &GatesConfig,
    check: Check,
    drifted: &std::collections::BTreeMap<String, Psi>,
    what: &str,
) -> Check {
    if drifted.is_empty() {
        return check.without("no feature is in both");
    }
    let mut beyond: Vec<(&String, f64)> = drifted
        .iter()
        .filter(|(_, psi)| psi.is_beyond(limits.feature_psi))
        .map(|(name, psi)| (name, psi.value))
        .collect();
    beyond.sort_by(|a, b| b.1.total_cmp(&a.1));
    let share = beyond.len() as f64 / drifted.len() as f64;
    let limit = limits.feature_psi;
    let note =
        format!("{} of {} features have moved since {what} beyond a PSI of {limit}", beyond.len(), drifted.len());
    let mut check = check.found(share, share > limits.max_drifted_share, note);
    const NAMED: usize = 5;
    let named: Vec<String> = beyond.iter().take(NAMED).map(|(name, psi)| format!("`{name}` {psi:.2}")).collect();
    check.details = vec![format!("most of all {}", named.join(", "))];
    check.hints = vec!["if the customers have changed, train anew: `bellwether-train fit`".into()];
    check
}
