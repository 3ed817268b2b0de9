//! Rows as the models of one target see them: features, what the occurrence model foresees, and labels.

use ndarray::{Array2, Axis, concatenate};

use super::material::{Material, Rows};
use super::{TrainingError, subject_of};
use crate::bundle::{ModelRows, Reference};
use crate::features::RowKey;
use crate::labels::Target;
use crate::models::FitError;
use crate::models::occurrence_inputs::Seen;
use crate::models::prepare::Preparation;
use crate::timeline::{History, SpillError};

/// The rows of one target for one purpose.
pub(super) struct Inputs {
    pub(super) rows: Rows,
    /// Features, and after them what the occurrence model foresees.
    pub(super) columns: Array2<f32>,
    /// The same as logistic models take them.
    pub(super) prepared: Option<Array2<f64>>,
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
        Self { rows, columns, prepared: None, tenure, foresight, kind: target.kind }
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
