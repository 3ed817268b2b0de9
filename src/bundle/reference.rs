//! The customer that others are compared with when a prediction is explained.

use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::models::occurrence_inputs::Seen;

/// What is usual among the rows that a target was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Of each column of the models: the median of its values, `None` where it is always missing.
    pub usual: Vec<Option<f32>>,
    /// Of each column: the share of the rows where it is missing.
    pub missing: Vec<f64>,
    /// A middle customer, as the occurrence model of the target sees them; `None` without a model, or anybody to look at.
    pub customer: Option<Seen>,
}

impl Reference {
    /// Of rows × columns, NaN where missing, and of what an occurrence model sees of the same customers.
    pub fn of(columns: ArrayView2<f32>, seen: &[Seen]) -> Self {
        let one = |column: usize| {
            let mut present: Vec<f32> =
                columns.column(column).iter().copied().filter(|value| !value.is_nan()).collect();
            let missing = 1.0 - present.len() as f64 / columns.nrows().max(1) as f64;
            let middle = present.len() / 2;
            let usual = (!present.is_empty()).then(|| *present.select_nth_unstable_by(middle, f32::total_cmp).1);
            (usual, missing)
        };
        let (usual, missing) = (0..columns.ncols()).into_par_iter().map(one).unzip();
        Self { usual, missing, customer: Seen::middle_of(seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_usual_is_the_median_of_what_is_there() {
        let nan = f32::NAN;
        let columns = array![[5.0, nan, 1.0], [1.0, nan, nan], [3.0, nan, 7.0], [9.0, nan, nan], [-1.0, nan, 2.0]];
        let reference = Reference::of(columns.view(), &[]);
        assert_eq!(reference.usual, [Some(3.0), None, Some(2.0)]);
        assert_eq!(reference.missing, [0.0, 1.0, 0.4]);
        assert_eq!(reference.customer, None);
        let stored = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&stored).unwrap(), reference);
    }
}
