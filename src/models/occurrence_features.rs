//! What an occurrence model foresees of a customer, as features of other models.
//!
//! # What is honest
//! A row of a cut-off may know nothing of what came after it, and parameters know what they were fitted to. So each
//! training cut-off has parameters of its own, fitted to the histories of everyone that were known there
//! ([`OccurrenceFeatures::of_rows`]). Scoring takes the parameters of the bundle ([`foreseen`]), which
//! were fitted at the `as_of` of the fit: at that day both are the same numbers, later they age as every other
//! parameter of the bundle does. The choice of the model ([`crate::models::btyd::OrdersModel`]) is the caller's; it must not
//! have seen the test window either.

use ndarray::{Array2, Axis};

use super::btyd::{BtydError, OrdersModel};
use super::occurrence::{Expectation, OccurrenceModel, Subject};
use crate::features::{Feature, RowKey, RowRequest, Unit, slug};
use crate::time::{Day, Horizon};
use crate::timeline::{History, SpillError, Timelines};

/// Columns of a subject.
pub const COLUMNS: usize = 4;

/// The columns that a subject gives at a horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct OccurrenceFeatures {
    /// What is counted.
    pub subject: Subject,
    /// The model of the order process.
    pub orders: OrdersModel,
    /// How far is looked ahead.
    pub horizon: Horizon,
}

/// The columns of rows at many cut-offs.
#[derive(Debug)]
pub struct OccurrenceColumns {
    /// Rows × [`COLUMNS`], in the order of the keys; NaN for a customer who has never done it.
    pub values: Array2<f32>,
    /// Cut-offs at which no model could be fitted, and why: their rows are NaN.
    pub unfitted: Vec<(Day, BtydError)>,
}

/// Columns that cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum OccurrenceFeaturesError {
    /// Timelines on disk that cannot be read back.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// A history beyond the range of the model.
    #[error(transparent)]
    Btyd(#[from] BtydError),
}

impl OccurrenceFeatures {
    /// Names, units and definitions of the columns, in their order. `btyd_…` for the order event,
    /// `btyd_<event>_…` for any other, `btyd_<event>_<category>_…` within a category.
    pub fn features(&self) -> Vec<Feature> {
        let Subject { event, is_order, category } = &self.subject;
        let mut prefix = "btyd_".to_string();
        if !is_order || category.is_some() {
            prefix.push_str(&format!("{}_", slug(event)));
        }
        let mut about = format!("`{event}`");
        if let Some(category) = category {
            prefix.push_str(&format!("{}_", slug(category)));
            about.push_str(&format!(" in `{category}`"));
        }
        let days = self.horizon.days();
        let feature = |name: String, unit: Unit, note: String, columns: &[&str]| Feature {
            name,
            unit,
            note: format!("{note}, of the buy-till-you-die model; missing without one so far."),
            family: "btyd".to_string(),
            columns: columns.iter().chain(category.as_ref().map(|_| &"category")).map(ToString::to_string).collect(),
        };
        let times = ["customer_id", "ts", "event"];
        let money = ["customer_id", "ts", "event", "value"];
        vec![
            feature(
                format!("{prefix}alive_probability"),
                Unit::Share,
                format!("Probability that {about} may come again"),
                &times,
            ),
            feature(
                format!("{prefix}none_probability_{days}d"),
                Unit::Share,
                format!("Probability of no {about} in the next {days} days"),
                &times,
            ),
            feature(
                format!("{prefix}expected_count_{days}d"),
                Unit::Count,
                format!("Expected number of {about} in the next {days} days"),
                &times,
            ),
            feature(
                format!("{prefix}expected_value_{days}d"),
                Unit::Money,
                format!("Expected money of {about} in the next {days} days"),
                &money,
            ),
        ]
    }

    /// The columns of training rows: those of each cut-off by a model fitted to what was known of everyone at it. Keys
    /// ascend by partition, as those of a [`crate::features::FeatureTable`] do; `requests` are those of the table.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back, a history beyond the range of the models.
    pub fn of_rows(
        &self,
        timelines: &Timelines,
        requests: &[RowRequest],
        keys: &[RowKey],
    ) -> Result<OccurrenceColumns, OccurrenceFeaturesError> {
        let reader = self.subject.reader(&timelines.vocabularies);
        let as_of = |key: &RowKey| requests[key.request as usize].as_of;
        let histories = timelines.map_keys(
            keys,
            |key| key.partition as usize,
            |part, key| reader.history(part.timeline(key.customer as usize), as_of(key)),
        )?;
        let mut columns =
            OccurrenceColumns { values: Array2::from_elem((keys.len(), COLUMNS), f32::NAN), unfitted: Vec::new() };
        let mut wanted: Vec<u32> = keys.iter().map(|key| key.request).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for request in wanted {
            let day = requests[request as usize].as_of;
            let everyone = self.subject.histories(timelines, day)?;
            let model = match OccurrenceModel::fit(self.orders, &self.subject, &everyone, day) {
                Ok(model) => model,
                Err(source) => {
                    columns.unfitted.push((day, source));
                    continue;
                }
            };
            let rows: Vec<usize> = (0..keys.len()).filter(|&row| keys[row].request == request).collect();
            let of_rows: Vec<Option<History>> = rows.iter().map(|&row| histories[row]).collect();
            let values = foreseen(&model, &of_rows, day, self.horizon)?;
            for (&row, of_row) in rows.iter().zip(values.axis_iter(Axis(0))) {
                columns.values.row_mut(row).assign(&of_row);
            }
        }
        Ok(columns)
    }
}

/// The columns of customers known at `as_of`, by a model that is there already: rows × [`COLUMNS`], in the order of the
/// histories, NaN where there is none. This is what scoring does with the model of the bundle.
///
/// # Errors
/// A history beyond the range of the model.
pub fn foreseen(
    model: &OccurrenceModel,
    histories: &[Option<History>],
    as_of: Day,
    horizon: Horizon,
) -> Result<Array2<f32>, BtydError> {
    let known: Vec<History> = histories.iter().flatten().copied().collect();
    let mut expected = model.expect(&known, as_of, horizon.days())?.into_iter();
    let mut values = Array2::from_elem((histories.len(), COLUMNS), f32::NAN);
    for (mut row, history) in values.axis_iter_mut(Axis(0)).zip(histories) {
        if let Some(expectation) = history.and_then(|_| expected.next()) {
            let Expectation { alive, none, occurrences, value } = expectation;
            row.assign(&ndarray::arr1(&[alive, none, occurrences, value].map(|number| number as f32)));
        }
    }
    Ok(values)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::events::{EventBatch, Ids, Labels};
    use crate::time::DAY_MICROS;
    use crate::timeline::{Budget, TimelineBuilder};

    const CUT_OFFS: [Day; 2] = [Day(150), Day(210)];

    /// Orders of 160 customers, each of whom comes at a pace of their own until they leave, one in five never again.
    pub(crate) fn orders() -> Vec<(String, i32, f64)> {
        let of = |i: i32| {
            let (first, pace, last) = (i * 7 % 130, 5 + i * 11 % 37, 60 + i * 53 % 300);
            let repeats = if i % 5 == 0 { 0 } else { (last - first).max(0) / pace };
            (0..=repeats).map(move |n| (format!("c{i}"), first + n * pace, f64::from(10 + (i + n) % 9)))
        };
        (0..160).flat_map(of).chain([("late".to_string(), 200, 5.0)]).collect()
    }

    /// Purchases: customer, day, money.
    pub(crate) fn timelines(orders: &[(String, i32, f64)]) -> Timelines {
        let batch = EventBatch {
            customer: Ids::Texts(orders.iter().map(|order| Some(order.0.as_str())).collect()),
            time: orders.iter().map(|order| i64::from(order.1) * DAY_MICROS).collect(),
            received: None,
            event: Labels { names: vec!["purchase".into()], codes: vec![0; orders.len()] },
            category: None,
            channel: None,
            device: None,
            campaign: None,
            value: Some(orders.iter().map(|order| order.2).collect()),
            quantity: None,
            product: None,
            order: None,
            extras: Vec::new(),
            conditions: Vec::new(),
        };
        let mut builder = TimelineBuilder::within(Budget::default());
        builder.append(&[batch]).unwrap();
        builder.finish().unwrap()
    }

    fn columns() -> OccurrenceFeatures {
        let subject = Subject { event: "purchase".into(), is_order: true, category: None };
        OccurrenceFeatures { subject, orders: OrdersModel::ParetoNbd, horizon: Horizon::new(30).unwrap() }
    }

    fn requests() -> Vec<RowRequest> {
        CUT_OFFS.map(|as_of| RowRequest { as_of, share: 1.0 }).to_vec()
    }

    /// Every customer at both cut-offs, by partition.
    fn keys(timelines: &Timelines) -> Vec<RowKey> {
        let of_part = |index: usize| {
            let part = timelines.part(index).unwrap();
            let of = |customer: usize| {
                let hash = part.hash(customer);
                let key = |request| RowKey { hash, partition: index as u32, customer: customer as u32, request };
                [key(0), key(1)]
            };
            (0..part.customers()).flat_map(of).collect::<Vec<_>>()
        };
        (0..timelines.parts()).flat_map(of_part).collect()
    }

    /// By id and cut-off, as bits.
    fn rows(timelines: &Timelines) -> std::collections::BTreeMap<(String, u32), Vec<u32>> {
        let keys = keys(timelines);
        let found = columns().of_rows(timelines, &requests(), &keys).unwrap();
        assert!(found.unfitted.is_empty());
        let one = |(key, row): (&RowKey, ndarray::ArrayView1<f32>)| {
            let id = timelines.part(key.partition as usize).unwrap().id(key.customer as usize).to_string();
            ((id, key.request), row.iter().map(|value| value.to_bits()).collect())
        };
        keys.iter().zip(found.values.axis_iter(Axis(0))).map(one).collect()
    }

    #[test]
    fn each_cut_off_has_parameters_of_its_own() {
        let timelines = timelines(&orders());
        let (columns, found) = (columns(), rows(&timelines));
        let mut fits = Vec::new();
        for (request, day) in CUT_OFFS.into_iter().enumerate() {
            let everyone = columns.subject.histories(&timelines, day).unwrap();
            let model = OccurrenceModel::fit(columns.orders, &columns.subject, &everyone, day).unwrap();
            let expected = model.expect(&everyone, day, 30).unwrap();
            let mut want: Vec<[f32; COLUMNS]> = expected
                .iter()
                .map(|e| [e.alive, e.none, e.occurrences, e.value].map(|number| number as f32))
                .collect();
            let of_cut_off = found.iter().filter(|((_, of), _)| *of == request as u32);
            let bits = of_cut_off.map(|(_, row)| std::array::from_fn(|i| f32::from_bits(row[i])));
            let mut got: Vec<[f32; COLUMNS]> = bits.filter(|row: &[f32; COLUMNS]| !row[0].is_nan()).collect();
            want.sort_by(|one, other| one.partial_cmp(other).unwrap());
            got.sort_by(|one, other| one.partial_cmp(other).unwrap());
            assert_eq!(got, want);
            assert!(want.iter().any(|row| row != &want[0]), "customers differ");
            fits.push(model.btyd.orders);
        }
        assert_ne!(fits[0], fits[1]);
        assert!(found[&("late".to_string(), 0)].iter().all(|&bits| f32::from_bits(bits).is_nan()));
        assert!(found[&("late".to_string(), 1)].iter().all(|&bits| f32::from_bits(bits).is_finite()));
    }

    #[test]
    fn what_comes_later_changes_no_row() {
        let all = orders();
        let now = rows(&timelines(&all));
        let until: Vec<(String, i32, f64)> = all.into_iter().filter(|order| order.1 < CUT_OFFS[0].0).collect();
        let mut then = rows(&timelines(&until));
        then.retain(|(_, request), _| *request == 0);
        assert!(then.len() >= 160);
        for (key, row) in then {
            assert_eq!(now[&key], row, "{key:?}");
        }
    }

    #[test]
    fn where_nothing_was_observed_rows_are_missing_and_the_cut_off_is_told() {
        let timelines = timelines(&[("c0".into(), 200, 1.0), ("c1".into(), 209, 2.0)]);
        let found = columns().of_rows(&timelines, &requests(), &keys(&timelines)).unwrap();
        let days: Vec<Day> = found.unfitted.iter().map(|(day, _)| *day).collect();
        assert_eq!(days, [CUT_OFFS[0]], "nobody had come by the first cut-off");
        assert_eq!(found.values.iter().filter(|value| value.is_finite()).count(), 2 * COLUMNS);
    }

    #[test]
    fn columns_are_declared_with_their_subject_and_horizon() {
        let names = |columns: &OccurrenceFeatures| {
            let features = columns.features();
            assert_eq!(features.len(), COLUMNS);
            features.into_iter().map(|feature| feature.name).collect::<Vec<_>>()
        };
        let mut columns = columns();
        assert_eq!(names(&columns)[..2], ["btyd_alive_probability", "btyd_none_probability_30d"]);
        columns.subject.category = Some("Schuhe & Söckchen".into());
        assert_eq!(names(&columns)[2], "btyd_purchase_schuhe_sockchen_expected_count_30d");
        columns.subject = Subject { event: "play".into(), is_order: false, category: None };
        assert_eq!(names(&columns)[3], "btyd_play_expected_value_30d");
    }
}
