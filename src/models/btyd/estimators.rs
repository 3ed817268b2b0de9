//! The models under linfa's contract, for its datasets and tools. Targets are `()`: there is nothing to supervise.

use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix2};

use super::model::OrdersModel;
use super::scoring::{BtydModel, Scorer};
use super::spend::{Spend, SpendModel};
use super::{BtydError, Histories, Rfm};

/// Fits an order process to a table with the columns x, t_x and T, in days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrdersEstimator {
    /// Which model.
    pub model: OrdersModel,
    /// Over how many days orders are predicted.
    pub horizon_days: f64,
}

/// Predicts expected orders of a table with the columns x, t_x and T.
pub struct OrdersPredictor {
    /// The fit; without a spend model.
    pub model: BtydModel,
    scorer: Scorer,
}

impl<D: Data<Elem = f64>, T> Fit<ArrayBase<D, Ix2>, T, BtydError> for OrdersEstimator {
    type Object = OrdersPredictor;

    /// # Errors
    /// When the table has not three columns, a row is no history, or the fit fails.
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<OrdersPredictor, BtydError> {
        let table = dataset.records();
        if table.ncols() != 3 {
            return Err(BtydError::BadColumns {
                model: "a model of orders",
                expected: "x, t_x, T",
                found: table.ncols(),
            });
        }
        let histories: Vec<Rfm> =
            table.rows().into_iter().map(|row| Rfm::new(row[0], row[1], row[2])).collect::<Result<_, _>>()?;
        let model = self.model.fit(&Histories::new(&histories), &[])?;
        let scorer = model.scorer(self.horizon_days)?;
        Ok(OrdersPredictor { model, scorer })
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for OrdersPredictor {
    /// Expected orders in the horizon; NaN for a row that is no history.
    ///
    /// # Panics
    /// When the table has not three columns or the targets another length, as linfa's own estimators do.
    fn predict_inplace(&self, table: &ArrayBase<D, Ix2>, orders: &mut Array1<f64>) {
        assert_eq!(table.ncols(), 3, "the columns are x, t_x and T");
        assert_eq!(table.nrows(), orders.len(), "as many targets as rows");
        for (row, expected) in table.rows().into_iter().zip(orders) {
            let history = Rfm::new(row[0], row[1], row[2]);
            *expected = history.map_or(f64::NAN, |history| self.scorer.score(&history, None).expected_orders);
        }
    }

    fn default_target(&self, table: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(table.nrows())
    }
}

/// Fits a spend model to a table with the columns x and mean value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpendEstimator;

/// Predicts the expected mean value of an order from a table with the columns x and mean value.
#[derive(Debug, Clone, PartialEq)]
pub struct SpendPredictor {
    /// The fit.
    pub model: SpendModel,
}

impl<D: Data<Elem = f64>, T> Fit<ArrayBase<D, Ix2>, T, BtydError> for SpendEstimator {
    type Object = SpendPredictor;

    /// # Errors
    /// When the table has not two columns, a row is no spending, nobody has a repeat order, or the fit fails.
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<SpendPredictor, BtydError> {
        let table = dataset.records();
        if table.ncols() != 2 {
            return Err(BtydError::BadColumns { model: "the spend model", expected: "x, mean", found: table.ncols() });
        }
        let spends: Vec<Spend> =
            table.rows().into_iter().map(|row| Spend::new(row[0], row[1])).collect::<Result<_, _>>()?;
        let model = SpendModel::fit(&spends)?.ok_or(BtydError::NoCustomers { model: "the spend model" })?;
        Ok(SpendPredictor { model })
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for SpendPredictor {
    /// Expected mean value of an order.
    ///
    /// # Panics
    /// When the table has not two columns or the targets another length, as linfa's own estimators do.
    fn predict_inplace(&self, table: &ArrayBase<D, Ix2>, means: &mut Array1<f64>) {
        assert_eq!(table.ncols(), 2, "the columns are x and the mean value");
        assert_eq!(table.nrows(), means.len(), "as many targets as rows");
        for (row, expected) in table.rows().into_iter().zip(means) {
            *expected = self.model.expected_mean(row[0], Some(row[1]));
        }
    }

    fn default_target(&self, table: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(table.nrows())
    }
}

#[cfg(test)]
mod tests {
    use linfa::traits::Predict;
    use ndarray::Array2;

    use super::*;

    #[test]
    fn a_linfa_dataset_is_fitted_and_predicted() {
        let table = Array2::from_shape_fn((300, 3), |(i, j)| {
            let x = i * i % 5;
            [x, if x == 0 { 0 } else { i % 40 + 1 }, 60 + i % 30][j] as f64
        });
        let dataset = DatasetBase::from(table.clone());
        let estimator = OrdersEstimator { model: OrdersModel::BgNbd, horizon_days: 30.0 };
        let fitted = estimator.fit(&dataset).unwrap();
        let predicted: Array1<f64> = fitted.predict(&table);
        let first = Rfm::new(table[[1, 0]], table[[1, 1]], table[[1, 2]]).unwrap();
        assert_eq!(predicted[1], fitted.model.score(&first, None, 30.0).unwrap().expected_orders);
        assert!(predicted.iter().all(|orders| *orders > 0.0));
        let narrow = DatasetBase::from(Array2::<f64>::zeros((3, 2)));
        assert!(matches!(estimator.fit(&narrow), Err(BtydError::BadColumns { found: 2, .. })));
        assert!(matches!(
            estimator.fit(&DatasetBase::from(Array2::from_elem((3, 3), -1.0))),
            Err(BtydError::BadHistory { .. })
        ));
    }

    #[test]
    fn spend_is_fitted_and_predicted() {
        let table = Array2::from_shape_fn((300, 2), |(i, j)| [i % 4, 10 + i * i % 23][j] as f64);
        let fitted = SpendEstimator.fit(&DatasetBase::from(table.clone())).unwrap();
        let predicted: Array1<f64> = fitted.predict(&table);
        assert_eq!(predicted[0], fitted.model.base());
        assert_eq!(predicted[3], fitted.model.expected_mean(3.0, Some(19.0)));
        let nobody = DatasetBase::from(Array2::<f64>::zeros((3, 2)));
        assert!(matches!(SpendEstimator.fit(&nobody), Err(BtydError::NoCustomers { .. })));
    }
}
