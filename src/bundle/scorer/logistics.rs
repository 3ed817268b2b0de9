//! Logistic models of the same prepared columns, asked together.

use crate::models::blocks::{ABREAST, BLOCK};
use crate::models::logistic::LogisticModel;

/// Logistic models of the same prepared columns.
pub(super) struct Logistics<'a>(pub(super) Vec<&'a LogisticModel>);

impl Logistics<'_> {
    /// Log odds of the rows of a block that is prepared ([`crate::models::BlockPreparation::apply`]), model after model. Each sum runs over the
    /// columns in their order, as that of one model does.
    pub(super) fn log_odds(&self, prepared: &[[f64; ABREAST]], out: &mut Vec<[f64; BLOCK]>) {
        out.clear();
        out.resize(self.0.len(), [0.0; BLOCK]);
        let Some(columns) = self.0.first().map(|model| model.coefficients.len()).filter(|columns| *columns > 0) else {
            return out.iter_mut().zip(&self.0).for_each(|(out, model)| out.fill(model.intercept));
        };
        // A stretch of rows stays in the first-level cache for all models.
        for (stretch, prepared) in prepared.chunks_exact(columns).enumerate() {
            for (out, model) in out.iter_mut().zip(&self.0) {
                let mut sums = [0.0; ABREAST];
                for (values, coefficient) in prepared.iter().zip(&model.coefficients) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * coefficient);
                }
                let out = &mut out[stretch * ABREAST..][..ABREAST];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum + model.intercept);
            }
        }
    }
}
