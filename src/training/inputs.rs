//! Rows as the models of one target see them: features, what the occurrence model foresees, and labels.

use ndarray::{Array2, Axis, concatenate};

use super::material::{Material, Rows};
use super::{TrainingError, subject_of};
use crate::bundle::{ModelRows, Reference};
use crate::features::RowKey;
use crate::labels::Target;
use crate::models::FitError;
use crate::models::boosted::Targets;
use crate::models::occurrence_inputs::Seen;
use crate::models::prepare::Preparation;
use crate::time::Day;
use crate::timeline::{History, SpillError};

/// The rows of one target for one purpose.
pub(super) struct Inputs {
    pub(super) rows: Rows,
    /// Features, and after them what the occurrence model foresees.
    pub(super) columns: Array2<f32>,
    /// The same as logistic models take them.
    pub(super) prepared: Option<Array2<f64>>,
    weights: Option<Vec<f64>>,
    tenure: Vec<f32>,
    foresight: Option<usize>,
    kind: crate::config::TargetKind,
}

impl Inputs {
    pub(super) fn new(material: &Material, target: &Target, rows: Rows) -> Self {
        let features = material.features(&rows);
        let tenure = material.tenure(&rows);
        let width = features.ncols();
        let (columns, foresight) = match material.foresight(&rows, target) {
            Some(foreseen) => {
                let columns = concatenate(Axis(1), &[features.view(), foreseen.view()]).expect("one row for each row");
                (columns, Some(width))
            }
            None => (features, None),
        };
        let half_life = f64::from(material.config.training.half_life_horizons) * f64::from(target.horizon.days());
        let days: Vec<Day> = rows.keys.iter().map(|key| material.as_of(key)).collect();
        // Preferences change more slowly than habits, and a group has few who want it: there every cut-off is needed.
        let weights = if target.per_group { None } else { weights_by_age(&days, half_life) };
        Self { rows, columns, prepared: None, weights, tenure, foresight, kind: target.kind }
    }

    /// What each row counts in a fit; `None` where all count alike.
    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Labels with these weights, as trees take them.
    pub(super) fn targets<'a>(&'a self, labels: &'a [f64]) -> Targets<'a> {
        Targets { weights: self.weights(), ..Targets::of(labels) }
    }

    /// Some of these weights.
    pub(super) fn weights_of(&self, rows: &[usize]) -> Option<Vec<f64>> {
        self.weights().map(|weights| rows.iter().map(|&row| weights[row]).collect())
    }

    /// The same for fits that are handed all rows: 0 of all others.
    pub(super) fn weights_at(&self, rows: &[usize]) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows.len()];
        rows.iter().for_each(|&row| weights[row] = self.weights().map_or(1.0, |all| all[row]));
        weights
    }

    /// Some of the rows, as models that are no logistic ones see them.
    pub(super) fn some(&self, rows: &[usize]) -> SomeRows<'_> {
        let tenure = rows.iter().map(|&row| self.tenure[row]).collect();
        SomeRows { columns: self.columns.select(Axis(0), rows), tenure, of: self }
    }

    /// With what logistic models look at.
    pub(super) fn prepare(&mut self, preparation: &Preparation) -> Result<(), FitError> {
        self.prepared = Some(preparation.apply(self.columns.view())?);
        Ok(())
    }

    pub(super) fn view(&self) -> ModelRows<'_> {
        ModelRows {
            columns: self.columns.view(),
            prepared: self.prepared.as_ref().map(|prepared| prepared.view()),
            shared: None,
            foresight: self.foresight,
            tenure: &self.tenure,
            kind: self.kind,
        }
    }

    /// What predictions of the target are compared with.
    pub(super) fn reference(&self, material: &Material, target: &Target) -> Result<Reference, SpillError> {
        let mut seen: Vec<Seen> = Vec::new();
        if self.has_foresight() {
            let histories = material.histories(&self.rows, &subject_of(target, None))?;
            let of =
                |(history, key): (&Option<History>, &RowKey)| Some(Seen::of(history.as_ref()?, material.as_of(key)));
            seen.extend(histories.iter().zip(&self.rows.keys).filter_map(of));
        }
        Ok(Reference::of(self.columns.view(), &seen))
    }

    /// Whether the occurrence model has a say.
    pub(super) fn has_foresight(&self) -> bool {
        self.foresight.is_some()
    }
}

/// Some rows of [`Inputs`].
pub(super) struct SomeRows<'a> {
    columns: Array2<f32>,
    tenure: Vec<f32>,
    of: &'a Inputs,
}

impl SomeRows<'_> {
    pub(super) fn view(&self) -> ModelRows<'_> {
        ModelRows { columns: self.columns.view(), prepared: None, tenure: &self.tenure, ..self.of.view() }
    }
}

/// Weights that halve with every `half_life` days between a row's cut-off and the newest, 1 in the mean, so that penalties
/// keep their meaning: what customers do changes, and what they did lately says most about what they will do next.
/// `None` where all rows count alike: one cut-off, or a half-life of 0.
fn weights_by_age(cut_offs: &[Day], half_life: f64) -> Option<Vec<f64>> {
    let newest = *cut_offs.iter().max()?;
    if half_life <= 0.0 || cut_offs.iter().all(|&day| day == newest) {
        return None;
    }
    let mut weights: Vec<f64> =
        cut_offs.iter().map(|day| (-f64::from(newest.since(*day)) / half_life).exp2()).collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.iter_mut().for_each(|weight| *weight /= mean);
    Some(weights)
}

/// The rows of the judged fit.
pub(super) struct Judged {
    pub(super) train: Inputs,
    pub(super) validate: Inputs,
    pub(super) test: Inputs,
}

impl Judged {
    pub(super) fn select(
        material: &Material,
        target: &Target,
        split: &crate::split::Split,
    ) -> Result<Self, TrainingError> {
        use super::material::Purpose;
        use crate::split::Role;
        let of = |role| Ok::<_, TrainingError>(material.select(target, split, Purpose::Judged(role))?);
        let inputs = |rows| Inputs::new(material, target, rows);
        Ok(Self {
            train: inputs(of(Role::Train)?),
            validate: inputs(of(Role::Validate)?),
            test: inputs(of(Role::Test)?),
        })
    }

    pub(super) fn prepare(&mut self, preparation: &Preparation) -> Result<(), FitError> {
        [&mut self.train, &mut self.validate, &mut self.test]
            .into_iter()
            .try_for_each(|inputs| inputs.prepare(preparation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_halve_with_every_half_life_and_are_one_in_the_mean() {
        let days = [Day(100), Day(70), Day(40), Day(100)];
        let weights = weights_by_age(&days, 30.0).unwrap();
        for (got, want) in weights.iter().zip([1.0, 0.5, 0.25, 1.0]) {
            assert!((got - want / (2.75 / 4.0)).abs() < 1e-15, "{weights:?}");
        }
        assert_eq!(weights_by_age(&days, 0.0), None);
        assert_eq!(weights_by_age(&[Day(7); 3], 30.0), None);
        assert_eq!(weights_by_age(&[], 30.0), None);
    }
}
