//! Two days of scores side by side: who moved most, who crossed a band, and what moved them.
//!
//! The change of a column's mean is `data + model + drift`, parts that add up:
//!
//! | part | what it is |
//! |---|---|
//! | `drift` | the population is another one: `newcomers` and `leavers` together |
//! | `newcomers` | customers who are only in the later partition: later mean − later mean of those who stayed |
//! | `leavers` | those who are only in the earlier one: earlier mean of those who stayed − earlier mean |
//! | `data` | those who stayed, by one and the same bundle: what they did, and the days that passed |
//! | `model` | those who stayed, at the later day: the later bundle − the earlier one |
//!
//! With one bundle on both days `model` is 0. With two, `data` and `model` can only be told apart by scoring the later day
//! with the earlier bundle, for which the events are needed; without them the two are told as one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use serde::Serialize;

use super::columns::{numbers, texts};
use super::drift::Distribution;
use super::manifest::{MANIFEST, ScoreManifest};
use super::partitions::partitions;
use super::predict::{BasisPlans, Predictor};
use crate::bundle::Bundle;
use crate::config::TargetKind;
use crate::error::{Error, ExitCode, Explain, FileError};
use crate::features::RowRequest;
use crate::lists::Exclusions;
use crate::report::format;
use crate::time::Day;
use crate::timeline::Timelines;

/// Which days are compared.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Folder of the partitions.
    pub scores: PathBuf,
    /// The earlier day.
    pub from: Day,
    /// The later day.
    pub to: Day,
    /// Column of the movers; the first churn probability when absent.
    pub column: Option<String>,
    /// How many of the largest movers.
    pub top: usize,
}

/// Partitions that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// No partition of a day.
    #[error("{}: no scores of {day}", scores.display())]
    NoPartition {
        /// The folder.
        scores: PathBuf,
        /// The day.
        day: Day,
        /// The days that are there.
        days: Vec<Day>,
    },
    /// The wrong way round.
    #[error("{from} is later than {to}")]
    Backwards {
        /// The earlier day, as it was named.
        from: Day,
        /// The later one.
        to: Day,
    },
    /// The column is not a prediction of both.
    #[error("`{column}` is not a prediction of both days")]
    NoColumn {
        /// The column.
        column: String,
        /// What both predict.
        columns: Vec<String>,
    },
    /// The bundle that is given did not make the earlier partition.
    #[error("the earlier partition was made by {made_by}, not by {given}")]
    OtherBundle {
        /// The bundle of the earlier partition.
        made_by: String,
        /// The bundle that is given.
        given: String,
    },
}

impl Explain for DiffError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was compared.".into()]
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoPartition { days, .. } => match (days.first(), days.last()) {
                (Some(first), Some(last)) => {
                    vec![format!("{} partitions are there, from {first} to {last}", days.len())]
                }
                _ => vec!["`bellwether-score run` writes one".into()],
            },
            Self::Backwards { from, to } => vec![format!("turn them round: `--from {to} --to {from}`")],
            Self::NoColumn { columns, .. } => {
                vec![format!("both have {}", columns.iter().take(5).cloned().collect::<Vec<_>>().join(", "))]
            }
            Self::OtherBundle { made_by, .. } => vec![format!("name it: `--bundle models/NAME/{made_by}`")],
        }
    }
}

/// Two days of scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The earlier day.
    pub from: Day,
    /// The later day.
    pub to: Day,
    /// The bundle of each.
    pub bundles: (String, String),
    /// Customers in both.
    pub stayed: u64,
    /// Customers only in the later one.
    pub newcomers: u64,
    /// Customers only in the earlier one.
    pub leavers: u64,
    /// Each single prediction of both days, and why its mean has changed.
    pub columns: BTreeMap<String, Change>,
    /// Customers by stage, earlier to later; those who stayed in it are left out.
    pub stages: Vec<Crossing>,
    /// The same of each band and tier column.
    pub bands: BTreeMap<String, Vec<Crossing>>,
    /// Column of the movers.
    pub movers_by: String,
    /// The largest movers, largest first.
    pub movers: Vec<Mover>,
    /// Features of both files with the largest population stability index, largest first; empty without features.
    pub drifted: Vec<(String, f64)>,
}

/// Why the mean of a column has changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Earlier mean.
    pub before: f64,
    /// Later mean.
    pub after: f64,
    /// By another population: those who came and those who went.
    pub drift: f64,
    /// By customers who came.
    pub newcomers: f64,
    /// By customers who went.
    pub leavers: f64,
    /// By what those who stayed did and by the days that passed; `None` when it cannot be told from `model`.
    pub data: Option<f64>,
    /// By another bundle; `None` when it cannot be told from `data`.
    pub model: Option<f64>,
    /// Both together.
    pub data_and_model: f64,
    /// Population stability index of the later values against the earlier ones.
    pub psi: Option<f64>,
}

/// Customers who went from one name to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// Earlier.
    pub from: String,
    /// Later.
    pub to: String,
    /// How many.
    pub customers: u64,
    /// Those of them whose prediction has moved most, largest first; as many as movers are asked for.
    pub largest: Vec<String>,
}

/// One customer who moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mover {
    /// Who.
    pub customer_id: String,
    /// Earlier value.
    pub before: f64,
    /// Later value.
    pub after: f64,
    /// By what they did and by the days that passed.
    pub data: Option<f64>,
    /// By another bundle.
    pub model: Option<f64>,
    /// Earlier and later stage.
    pub stages: (String, String),
}

/// What the earlier bundle says of the later day, by customer.
pub struct Rescored {
    bundle_id: String,
    columns: HashMap<String, HashMap<String, f64>>,
}

impl Rescored {
    /// Scores `as_of` with `bundle`, writing nothing.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back; a model that refuses its rows.
    pub fn new(bundle: &Bundle, timelines: &Timelines, as_of: Day) -> Result<Self, Error> {
        let basis = BasisPlans::new(&bundle.parameters);
        let nobody = Exclusions::default();
        let request = RowRequest { as_of, share: 1.0 };
        let predictor = Predictor::new(&bundle.parameters, &basis, timelines, &nobody, request, false)?;
        let parts = timelines.map_parts(|index, part| predictor.part(index, part))?;
        let names = bundle.parameters.targets.iter().flat_map(|fitted| fitted.target.columns());
        let column = |(index, name): (usize, String)| {
            let values = parts.iter().flat_map(|scores| {
                scores.ids.iter().flatten().map(str::to_string).zip(scores.predictions[index].iter().copied())
            });
            (name, values.collect())
        };
        Ok(Self { bundle_id: bundle.manifest.bundle_id.clone(), columns: names.enumerate().map(column).collect() })
    }
}

/// One partition, as far as it is compared.
struct Side {
    manifest: ScoreManifest,
    file: PathBuf,
    ids: Vec<String>,
}

impl Side {
    fn load(scores: &Path, day: Day) -> Result<Self, Error> {
        let folder = scores.join(format!("as_of={day}"));
        if !folder.join(MANIFEST).is_file() {
            let days = partitions(scores)?.into_iter().map(|(day, _)| day).collect();
            return Err(DiffError::NoPartition { scores: scores.into(), day, days }.into());
        }
        let manifest = ScoreManifest::load(&folder)?;
        let name = manifest.files.keys().find(|name| name.starts_with("part-")).cloned().unwrap_or_default();
        let file = manifest.sound(&folder, &name)?;
        let ids = texts(&file, "customer_id")?.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { manifest, file, ids })
    }
}

/// Compares two days. `rescored` are the predictions of the earlier bundle for the later day.
///
/// # Errors
/// Days the wrong way round; a day without scores; files that cannot be read; a column that is not predicted on both days; a bundle that did not make
/// the earlier partition.
pub fn diff(options: &DiffOptions, rescored: Option<&Rescored>) -> Result<Diff, Error> {
    if options.from > options.to {
        return Err(DiffError::Backwards { from: options.from, to: options.to }.into());
    }
    let (from, to) = (Side::load(&options.scores, options.from)?, Side::load(&options.scores, options.to)?);
    let same_bundle = from.manifest.bundle_id == to.manifest.bundle_id;
    if let Some(rescored) = rescored.filter(|rescored| rescored.bundle_id != from.manifest.bundle_id) {
        let made_by = from.manifest.bundle_id.clone();
        return Err(DiffError::OtherBundle { made_by, given: rescored.bundle_id.clone() }.into());
    }
    // Rows are in order of the id: one walk finds who stayed.
    let mut stayed: Vec<(usize, usize)> = Vec::new();
    let later: HashMap<&str, usize> = to.ids.iter().zip(0..).map(|(id, row)| (id.as_str(), row)).collect();
    for (row, id) in from.ids.iter().enumerate() {
        stayed.extend(later.get(id.as_str()).map(|&to_row| (row, to_row)));
    }
    let single = |side: &Side| -> Vec<String> {
        side.manifest.targets.iter().filter(|target| !target.per_group).flat_map(|target| target.columns()).collect()
    };
    let later_columns = single(&to);
    let both: Vec<String> = single(&from).into_iter().filter(|column| later_columns.contains(column)).collect();
    let churn = || {
        let target = from.manifest.targets.iter().find(|target| target.kind == TargetKind::Absence)?;
        target.columns().into_iter().find(|column| both.contains(column))
    };
    let movers_by = options.column.clone().or_else(churn).or_else(|| both.first().cloned()).unwrap_or_default();
    if !both.contains(&movers_by) {
        return Err(DiffError::NoColumn { column: movers_by, columns: both }.into());
    }
    let (stages_before, stages_after) = (texts(&from.file, "lifecycle_stage")?, texts(&to.file, "lifecycle_stage")?);
    let mut columns = BTreeMap::new();
    let mut movers = Vec::new();
    let mut by_movers = Vec::new();
    for column in &both {
        let (before, after) = (numbers(&from.file, column)?, numbers(&to.file, column)?);
        let again = rescored.and_then(|rescored| rescored.columns.get(column));
        // The earlier bundle at the later day.
        let between = |to_row: usize| match again {
            _ if same_bundle => Some(after[to_row]),
            Some(again) => again.get(&to.ids[to_row]).copied(),
            None => None,
        };
        columns.insert(column.clone(), change(&before, &after, &stayed, &between));
        if *column == movers_by {
            by_movers = moves(&before, &after, &stayed);
            let mut ranked: Vec<&(usize, usize)> =
                stayed.iter().filter(|(row, to_row)| !before[*row].is_nan() && !after[*to_row].is_nan()).collect();
            let size = |(row, to_row): &(usize, usize)| (after[*to_row] - before[*row]).abs();
            ranked.sort_by(|a, b| size(b).total_cmp(&size(a)).then(from.ids[a.0].cmp(&from.ids[b.0])));
            let name = |stages: &[Option<String>], row: usize| stages[row].clone().unwrap_or_default();
            movers.extend(ranked.into_iter().take(options.top).map(|&(row, to_row)| Mover {
                customer_id: from.ids[row].clone(),
                before: before[row],
                after: after[to_row],
                data: between(to_row).map(|value| value - before[row]),
                model: between(to_row).map(|value| after[to_row] - value),
                stages: (name(&stages_before, row), name(&stages_after, to_row)),
            }));
        }
    }
    let mut bands = BTreeMap::new();
    for target in from.manifest.targets.iter().filter(|target| !target.per_group) {
        let column = match target.kind {
            TargetKind::Absence => format!("{}_band", target.name),
            TargetKind::Amount => format!("{}_tier", target.name),
            _ => continue,
        };
        let prediction = &target.columns()[0];
        if both.contains(prediction) {
            let (before, after) = (texts(&from.file, &column)?, texts(&to.file, &column)?);
            let moved = moves(&numbers(&from.file, prediction)?, &numbers(&to.file, prediction)?, &stayed);
            bands.insert(column, crossings((&before, &after), &stayed, &moved, &from.ids, options.top));
        }
    }
    Ok(Diff {
        from: options.from,
        to: options.to,
        stayed: stayed.len() as u64,
        newcomers: (to.ids.len() - stayed.len()) as u64,
        leavers: (from.ids.len() - stayed.len()) as u64,
        columns,
        stages: crossings((&stages_before, &stages_after), &stayed, &by_movers, &from.ids, options.top),
        bands,
        movers_by,
        movers,
        drifted: drifted(&from, &to)?,
        bundles: (from.manifest.bundle_id, to.manifest.bundle_id),
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum) = (0.0, 0.0);
    values.filter(|value| !value.is_nan()).for_each(|value| {
        n += 1.0;
        sum += value;
    });
    if n > 0.0 { sum / n } else { 0.0 }
}

fn change(before: &[f64], after: &[f64], stayed: &[(usize, usize)], between: &dyn Fn(usize) -> Option<f64>) -> Change {
    // Who has a prediction on both days; others come or go, for this column.
    let both: Vec<&(usize, usize)> =
        stayed.iter().filter(|(row, to_row)| !before[*row].is_nan() && !after[*to_row].is_nan()).collect();
    let (all_before, all_after) = (mean(before.iter().copied()), mean(after.iter().copied()));
    let stayed_before = mean(both.iter().map(|(row, _)| before[*row]));
    let stayed_after = mean(both.iter().map(|(_, to_row)| after[*to_row]));
    let middle: Option<Vec<f64>> = both.iter().map(|(_, to_row)| between(*to_row)).collect();
    let middle = middle.map(|values| mean(values.into_iter()));
    let distribution = Distribution::of(before.iter().copied().filter(|value| !value.is_nan()));
    Change {
        before: all_before,
        after: all_after,
        drift: (all_after - stayed_after) + (stayed_before - all_before),
        newcomers: all_after - stayed_after,
        leavers: stayed_before - all_before,
        data: middle.map(|middle| middle - stayed_before),
        model: middle.map(|middle| stayed_after - middle),
        data_and_model: stayed_after - stayed_before,
        psi: distribution.psi(after.iter().copied().filter(|value| !value.is_nan())).map(|psi| psi.value),
    }
}

/// How far a prediction of those who stayed has moved; 0 where it is missing on a day.
fn moves(before: &[f64], after: &[f64], stayed: &[(usize, usize)]) -> Vec<f64> {
    let size = |&(row, to_row): &(usize, usize)| (after[to_row] - before[row]).abs();
    stayed.iter().map(size).map(|size| if size.is_nan() { 0.0 } else { size }).collect()
}

/// Who went from one name to another, of those who stayed. `moved` is the size of each one's move, `ids` those of the earlier
/// rows.
fn crossings(
    (before, after): (&[Option<String>], &[Option<String>]),
    stayed: &[(usize, usize)],
    moved: &[f64],
    ids: &[String],
    top: usize,
) -> Vec<Crossing> {
    let mut found: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (place, &(row, to_row)) in stayed.iter().enumerate() {
        let (from, to) = (before[row].as_deref().unwrap_or("–"), after[to_row].as_deref().unwrap_or("–"));
        if from != to {
            found.entry((from, to)).or_default().push(place);
        }
    }
    let crossing = |((from, to), mut places): ((&str, &str), Vec<usize>)| {
        let customers = places.len() as u64;
        let id = |place: usize| &ids[stayed[place].0];
        places.sort_by(|&a, &b| moved[b].total_cmp(&moved[a]).then_with(|| id(a).cmp(id(b))));
        let largest = places.into_iter().take(top).map(|place| id(place).clone()).collect();
        Crossing { from: from.into(), to: to.into(), customers, largest }
    };
    let mut crossings: Vec<Crossing> = found.into_iter().map(crossing).collect();
    crossings.sort_by_key(|crossing| std::cmp::Reverse(crossing.customers));
    crossings
}

/// Features that are told.
const DRIFTED: usize = 10;

/// Customers who are named for each crossing; JSON has as many as movers.
const NAMED: usize = 5;

fn drifted(from: &Side, to: &Side) -> Result<Vec<(String, f64)>, FileError> {
    if !from.manifest.with_features || !to.manifest.with_features {
        return Ok(Vec::new());
    }
    // The distributions beside the rows are of a sample of the same customers, and enough for an order.
    let of = |side: &Side| super::drift::Distributions::load(side.file.parent().unwrap_or(Path::new(".")));
    let (Some(before), Some(after)) = (of(from)?, of(to)?) else { return Ok(Vec::new()) };
    let mut drifted = Vec::new();
    for (name, distribution) in before.features.iter().filter(|(name, _)| after.features.contains_key(*name)) {
        let Ok(values) = numbers(&to.file, name) else { continue };
        if let Some(psi) = distribution.psi(values.into_iter()).filter(|psi| psi.value > psi.noise) {
            drifted.push((name.clone(), psi.value));
        }
    }
    drifted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    drifted.truncate(DRIFTED);
    Ok(drifted)
}

impl Diff {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "{} → {}: {} customers stayed, {} came, {} went\n",
            self.from,
            self.to,
            format::count(self.stayed),
            format::count(self.newcomers),
            format::count(self.leavers)
        );
        let (before, after) = &self.bundles;
        let _ = match before == after {
            true => writeln!(text, "both by bundle {before}: nothing has changed by the model"),
            false => writeln!(text, "by bundle {before}, then by {after}"),
        };
        let signed = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:+.4}"));
        let width = self.columns.keys().map(|column| column.chars().count()).max().unwrap_or(0).max(4);
        let _ = writeln!(
            text,
            "\n{:<width$}  {:>10}  {:>10}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>7}",
            "mean", "before", "after", "data", "model", "drift", "newcomers", "leavers", "PSI"
        );
        for (column, change) in &self.columns {
            let Change { before, after, drift, newcomers, leavers, data, model, data_and_model, psi } = change;
            let data = data.or(Some(*data_and_model));
            let _ = writeln!(
                text,
                "{column:<width$}  {before:>10.4}  {after:>10.4}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>7}",
                signed(data),
                signed(*model),
                signed(Some(*drift)),
                signed(Some(*newcomers)),
                signed(Some(*leavers)),
                format::plain(*psi)
            );
        }
        if self.columns.values().any(|change| change.model.is_none()) {
            text.push_str(
                "data and model are told as one: `--bundle` of the earlier day and `--events` tell them apart\n",
            );
        }
        for (name, crossings) in std::iter::once(("lifecycle_stage", &self.stages))
            .chain(self.bands.iter().map(|(name, crossings)| (name.as_str(), crossings)))
        {
            let nobody = if crossings.is_empty() { " nobody" } else { "" };
            let _ = writeln!(text, "crossed {name}:{nobody}");
            for Crossing { from, to, customers, largest } in crossings {
                let names = largest.iter().take(NAMED).cloned().collect::<Vec<String>>().join(", ");
                let more = if *customers > NAMED as u64 { ", …" } else { "" };
                let _ = writeln!(text, "  {from} → {to}  {}: {names}{more}", format::count(*customers));
            }
        }
        if !self.drifted.is_empty() {
            let drifted: Vec<String> = self.drifted.iter().map(|(name, psi)| format!("{name} {psi:.2}")).collect();
            let _ = writeln!(text, "features that moved most (PSI): {}", drifted.join(", "));
        }
        let _ = writeln!(text, "\nlargest movers by {}:", self.movers_by);
        let width = self.movers.iter().map(|mover| mover.customer_id.chars().count()).max().unwrap_or(0);
        for mover in &self.movers {
            let (stage, later) = &mover.stages;
            let stages = if stage == later { stage.clone() } else { format!("{stage} → {later}") };
            let model = mover.model.filter(|model| *model != 0.0);
            let model = model.map(|model| format!(" (by the model {model:+.4})")).unwrap_or_default();
            let _ = writeln!(
                text,
                "  {:<width$}  {:>10.4} → {:>10.4}{model}  {stages}",
                mover.customer_id, mover.before, mover.after
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_change_add_up() {
        // Customers 0 to 3 before, 1 to 4 after; 3 has no later prediction.
        let before = [0.2, 0.4, 0.6, 0.8];
        let after = [0.5, 0.9, f64::NAN, 0.1];
        let stayed = [(1, 0), (2, 1), (3, 2)];
        let earlier_bundle = [0.45, 0.7, 0.3];
        let change = change(&before, &after, &stayed, &|row| earlier_bundle.get(row).copied());
        assert!((change.before - 0.5).abs() < 1e-15 && (change.after - 0.5).abs() < 1e-15);
        // By hand: those who stayed went from 0.5 to 0.7, by the earlier bundle to 0.575.
        assert!((change.data.unwrap() - 0.075).abs() < 1e-12, "{change:?}");
        assert!((change.model.unwrap() - 0.125).abs() < 1e-12, "{change:?}");
        assert!((change.newcomers + 0.2).abs() < 1e-12 && change.leavers.abs() < 1e-12, "{change:?}");
        assert!((change.drift + 0.2).abs() < 1e-12, "{change:?}");
        let sum = change.drift + change.data.unwrap() + change.model.unwrap();
        assert!((sum - (change.after - change.before)).abs() < 1e-12);
        let unknown = super::change(&before, &after, &stayed, &|_| None);
        assert_eq!((unknown.data, unknown.model), (None, None));
        assert!((unknown.data_and_model - 0.2).abs() < 1e-12);
    }
}
