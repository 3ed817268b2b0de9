//! The rows of one target, made from features and histories: the one way from what is known of customers to what models see.

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use super::apply::ModelRows;
use super::parameters::{FittedTarget, Parameters};
use crate::config::TargetKind;
use crate::error::Error;
use crate::models::occurrence_features::foreseen;
use crate::time::Day;
use crate::timeline::History;

/// Rows of one target at one day.
#[derive(Debug)]
pub struct TargetRows {
    /// Features of the target's plan, and after them what the occurrence model foresees; NaN = missing.
    pub columns: Array2<f32>,
    /// What the customers have done of the target's subject; empty where nothing is foreseen.
    pub histories: Vec<Option<History>>,
    /// The first day of the predicted window.
    pub as_of: Day,
    prepared: Option<Array2<f64>>,
    shared: Option<Array2<f64>>,
    foresight: Option<usize>,
    tenure: Vec<f32>,
    kind: TargetKind,
}

impl TargetRows {
    /// From rows × `features` of the target's plan, the `tenure` in days of each customer, and the histories of any occurrence
    /// model, by its index, in the order of the rows.
    ///
    /// # Errors
    /// Features of another width than at the fit, an infinity, a history beyond the range of a model.
    pub fn new(
        parameters: &Parameters,
        fitted: &FittedTarget,
        features: ArrayView2<f32>,
        tenure: &[f32],
        histories: &dyn Fn(usize) -> Vec<Option<History>>,
        as_of: Day,
    ) -> Result<Self, Error> {
        let (columns, histories) = match fitted.foresight {
            Some(model) => {
                let histories = histories(model);
                let foreseen = foreseen(&parameters.occurrences[model], &histories, as_of, fitted.target.horizon)?;
                let columns = concatenate(Axis(1), &[features.view(), foreseen.view()]).expect("one row for each row");
                (columns, histories)
            }
            None => (features.to_owned(), Vec::new()),
        };
        let prepared = fitted.preparation.as_ref().map(|preparation| preparation.apply(columns.view())).transpose()?;
        let shared = fitted.shared.as_ref().map(|trees| trees.raw(columns.view())).transpose()?;
        Ok(Self {
            columns,
            histories,
            as_of,
            prepared,
            shared,
            foresight: fitted.foresight.map(|_| features.ncols()),
            tenure: tenure.to_vec(),
            kind: fitted.target.kind,
        })
    }

    /// As the models take them.
    pub fn view(&self) -> ModelRows<'_> {
        ModelRows {
            columns: self.columns.view(),
            prepared: self.prepared.as_ref().map(|prepared| prepared.view()),
            shared: self.shared.as_ref().map(|shared| shared.view()),
            foresight: self.foresight,
            tenure: &self.tenure,
            kind: self.kind,
        }
    }
}
