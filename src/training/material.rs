//! The rows that all targets share: features of sampled customers at every cut-off, and who uses which.

use ndarray::{Array2, ArrayView2, Axis};

use super::subject_of;
use crate::config::Config;
use crate::features::{Feature, FeatureTable, Plan, RowKey, RowRequest, Sweep};
use crate::labels::{EligibleRows, Labeller, Target};
use crate::metrics::BootstrapOptions;
use crate::models::btyd::{BtydError, OrdersModel};
use crate::models::occurrence::{OccurrenceModel, Subject};
use crate::models::occurrence_features::{OccurrenceFeatures, OccurrenceFeaturesError};
use crate::report::Evaluation;
use crate::split::{Role, Scheme, Split};
use crate::time::Day;
use crate::timeline::{History, SpillError, Timelines};

/// What a set of rows is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A role in the judged fit.
    Judged(Role),
    /// The fit that ships.
    Shipped,
    /// Any fit that is judged or ships.
    Any,
    /// Customers as they are at the end of the history; they have no labels yet.
    Now,
}

pub(super) struct Material<'a> {
    pub(super) config: &'a Config,
    pub(super) timelines: &'a Timelines,
    pub(super) as_of: Day,
    catalogue: Vec<Feature>,
    requests: Vec<RowRequest>,
    table: FeatureTable,
    /// What training itself looks at, whatever the models see: the same rows.
    basis: FeatureTable,
    basis_catalogue: Vec<Feature>,
    /// What the occurrence models of subjects foresee of every row, each cut-off by what was known at it.
    foresights: Vec<(OccurrenceFeatures, Array2<f32>)>,
}

/// Features that training looks at beside those that say who is eligible.
const BASIS: [&str; 2] = ["tenure_days", "churn_factor"];

/// Customers at the end of the history: enough to know totals by.
const MOST_NOW: usize = 50_000;

/// Customers of the validation cut-off and of that of the test: enough to tell models and settings apart by, while further ones only
/// take time and memory.
const MOST_JUDGED: usize = 100_000;

/// Share of customers whose rows at `cut_offs` cut-offs stay within `most` rows.
fn share(most: usize, customers: usize, cut_offs: usize) -> f64 {
    (most as f64 / (customers.max(1) * cut_offs.max(1)) as f64).min(1.0)
}

fn most_rows(config: &Config, target: &Target) -> usize {
    if target.per_group { config.training.max_rows_per_category } else { config.training.max_rows }
}

/// Share of customers that a target uses for a purpose.
fn share_of(config: &Config, customers: usize, target: &Target, split: &Split, purpose: Purpose) -> f64 {
    let most = most_rows(config, target);
    match purpose {
        Purpose::Judged(Role::Train) => share(most, customers, split.train.len()),
        Purpose::Judged(Role::Validate | Role::Test) => share(most.min(MOST_JUDGED), customers, 1),
        Purpose::Shipped => share(most, customers, split.ship.len()),
        Purpose::Any => 1.0, // each row is asked for its own purposes
        Purpose::Now => share(MOST_NOW, customers, 1),
    }
}

/// Bytes that training takes for each cell of the rows; 19 to 83 were measured: the rows themselves, those that targets
/// select, what logistic models make of them, and bins.
const CELL_BYTES: usize = 80;

/// Bytes that the targets of one horizon take to be trained, about.
pub(super) fn bytes_to_train(
    config: &Config,
    timelines: &Timelines,
    plan: &Plan,
    targets: &[Target],
    splits: &[Split],
    as_of: Day,
) -> Result<usize, SpillError> {
    let rows = FeatureTable::count(timelines, &requests(config, timelines.customers(), targets, splits, as_of))?;
    Ok(CELL_BYTES * rows * plan.features().len())
}

/// Whose rows the targets ask for, at each of their cut-offs.
fn requests(config: &Config, customers: usize, targets: &[Target], splits: &[Split], as_of: Day) -> Vec<RowRequest> {
    let mut shares: std::collections::BTreeMap<Day, f64> = std::collections::BTreeMap::new();
    for (target, split) in targets.iter().zip(splits) {
        let mut want = |day: Day, purpose| {
            let share = share_of(config, customers, target, split, purpose);
            let wanted = shares.entry(day).or_insert(0.0);
            *wanted = wanted.max(share);
        };
        split.train.iter().for_each(|&day| want(day, Purpose::Judged(Role::Train)));
        split.ship.iter().for_each(|&day| want(day, Purpose::Shipped));
        if !target.is_probability() {
            want(as_of, Purpose::Now);
        }
        want(split.validate, Purpose::Judged(Role::Validate));
        want(split.test, Purpose::Judged(Role::Test));
    }
    shares.into_iter().map(|(as_of, share)| RowRequest { as_of, share }).collect()
}

impl<'a> Material<'a> {
    pub(super) fn build(
        config: &'a Config,
        timelines: &'a Timelines,
        plan: &Plan,
        targets: &[Target],
        splits: &[Split],
        as_of: Day,
    ) -> Result<Self, SpillError> {
        let requests = requests(config, timelines.customers(), targets, splits, as_of);
        let build = |plan: &Plan| FeatureTable::build(timelines, &Sweep::new(plan, timelines), &requests);
        let table = build(plan)?;
        let names: Vec<&str> = targets.iter().flat_map(Target::eligible_features).chain(BASIS).collect();
        let basis_plan = plan.only(&names);
        let basis = build(&basis_plan)?;
        let (catalogue, basis_catalogue) = (plan.features(), basis_plan.features());
        let foresights = Vec::new();
        Ok(Self { config, timelines, as_of, catalogue, requests, table, basis, basis_catalogue, foresights })
    }

    pub(super) fn rows(&self) -> usize {
        self.table.keys.len()
    }

    pub(super) fn cut_offs(&self) -> usize {
        self.requests.len()
    }

    /// Eligible rows of a target for a purpose, in the order of the table.
    pub(super) fn select(&self, target: &Target, split: &Split, purpose: Purpose) -> Result<Rows, SpillError> {
        let eligible = EligibleRows::new(target.eligible.as_ref(), &self.basis_catalogue)
            .expect("checked when the target was resolved");
        let wanted = |(index, key): (usize, &RowKey)| {
            let day = self.requests[key.request as usize].as_of;
            let role = || split.role(day, key.hash).map(Purpose::Judged);
            let ships = || split.ships(day).then_some(Purpose::Shipped);
            let is_in = |one: Purpose| {
                let share = share_of(self.config, self.timelines.customers(), target, split, one);
                RowRequest { as_of: day, share }.wants(key.hash)
            };
            let fits = match purpose {
                Purpose::Judged(_) => role() == Some(purpose) && is_in(purpose),
                Purpose::Shipped => split.ships(day) && is_in(purpose),
                Purpose::Any => role().into_iter().chain(ships()).any(is_in),
                Purpose::Now => day == self.as_of && is_in(purpose),
            };
            let row = self.basis.values.row(index);
            (fits && eligible.holds(row.as_slice().expect("rows are contiguous"))).then_some(index)
        };
        let indices: Vec<usize> = self.table.keys.iter().enumerate().filter_map(wanted).collect();
        let keys: Vec<RowKey> = indices.iter().map(|&index| self.table.keys[index]).collect();
        let labeller = Labeller::new(target, &self.timelines.vocabularies);
        let width = labeller.width();
        let labels = labeller.label_rows(self.timelines, &self.requests, &keys)?;
        Ok(Rows { indices, keys, labels, width })
    }

    /// Ids of the customers of a selection.
    pub(super) fn ids(&self, rows: &Rows) -> Result<Vec<String>, SpillError> {
        self.timelines.map_keys(
            &rows.keys,
            |key| key.partition as usize,
            |part, key| part.id(key.customer as usize).to_string(),
        )
    }

    /// Rows × features of a selection.
    pub(super) fn features(&self, rows: &Rows) -> Array2<f32> {
        self.table.values.select(Axis(0), &rows.indices)
    }

    /// Makes what is foreseen of a target's subject known to all its rows. Cut-offs at which no model could be fitted are returned:
    /// their rows are missing.
    pub(super) fn look_ahead(
        &mut self,
        target: &Target,
        orders: OrdersModel,
    ) -> Result<Vec<(Day, BtydError)>, OccurrenceFeaturesError> {
        let features = OccurrenceFeatures { subject: subject_of(target, None), orders, horizon: target.horizon };
        if self.foresights.iter().any(|(known, _)| *known == features) {
            return Ok(Vec::new());
        }
        let columns = features.of_rows(self.timelines, &self.requests, &self.table.keys)?;
        self.foresights.push((features, columns.values));
        Ok(columns.unfitted)
    }

    fn foresight_of(&self, target: &Target) -> Option<&(OccurrenceFeatures, Array2<f32>)> {
        let subject = subject_of(target, None);
        self.foresights.iter().find(|(known, _)| known.subject == subject && known.horizon == target.horizon)
    }

    /// Whether the models of a target see what is foreseen.
    pub(super) fn foreseen(&self, target: &Target) -> bool {
        self.foresight_of(target).is_some()
    }

    /// What the occurrence model of a target's subject foresees of a selection.
    pub(super) fn foresight(&self, rows: &Rows, target: &Target) -> Option<Array2<f32>> {
        self.foresight_of(target).map(|(_, values)| values.select(Axis(0), &rows.indices))
    }

    /// The columns that the models of a target see: features, and what is foreseen.
    pub(super) fn columns_of(&self, target: &Target) -> Vec<Feature> {
        let mut columns = self.catalogue.clone();
        columns.extend(self.foresight_of(target).into_iter().flat_map(|(foresight, _)| foresight.features()));
        columns
    }

    /// One feature of the basis, of a selection.
    fn of_basis(&self, rows: &Rows, name: &str) -> Vec<f32> {
        let found = self.basis_catalogue.iter().position(|feature| feature.name == name);
        let feature = found.expect("in every catalogue");
        rows.indices.iter().map(|&index| self.basis.values[[index, feature]]).collect()
    }

    /// Days since each row's customer was first seen.
    pub(super) fn tenure(&self, rows: &Rows) -> Vec<f32> {
        self.of_basis(rows, "tenure_days")
    }

    /// Days since each row's customer last ordered ÷ its usual gap; NaN without an order.
    pub(super) fn churn_factor(&self, rows: &Rows) -> Vec<f32> {
        self.of_basis(rows, "churn_factor")
    }

    pub(super) fn as_of(&self, key: &RowKey) -> Day {
        self.requests[key.request as usize].as_of
    }

    /// What each row's customer had done of a subject.
    pub(super) fn histories(&self, rows: &Rows, subject: &Subject) -> Result<Vec<Option<History>>, SpillError> {
        let reader = subject.reader(&self.timelines.vocabularies);
        self.timelines.map_keys(
            &rows.keys,
            |key| key.partition as usize,
            |partition, key| reader.history(partition.timeline(key.customer as usize), self.as_of(key)),
        )
    }

    /// What a subject's model expects of each row, given its history; `otherwise` (by row) of customers without a history.
    pub(super) fn expect(
        &self,
        model: &OccurrenceModel,
        rows: &Rows,
        histories: &[Option<History>],
        horizon_days: i32,
        value: impl Fn(&crate::models::occurrence::Expectation) -> f64,
        otherwise: impl Fn(usize) -> f64,
    ) -> Result<Vec<f64>, BtydError> {
        let mut result: Vec<f64> = (0..rows.len()).map(otherwise).collect();
        let mut cut_offs: Vec<u32> = rows.keys.iter().map(|key| key.request).collect();
        cut_offs.sort_unstable();
        cut_offs.dedup();
        for request in cut_offs {
            let of_request = |&(index, history): &(usize, &Option<History>)| {
                (rows.keys[index].request == request).then_some(())?;
                history.map(|history| (index, history))
            };
            let (indices, known): (Vec<usize>, Vec<History>) =
                histories.iter().enumerate().filter_map(|pair| of_request(&pair)).unzip();
            let as_of = self.requests[request as usize].as_of;
            let expectations = model.expect(&known, as_of, horizon_days)?;
            for (index, expectation) in indices.into_iter().zip(&expectations) {
                result[index] = value(expectation);
            }
        }
        Ok(result)
    }

    pub(super) fn bootstrap(&self, target: &Target) -> BootstrapOptions {
        let resamples = self.config.training.bootstrap_resamples;
        // Dozens of category columns share one table of the report: fewer resamples each.
        let resamples = if target.per_group { resamples.min(50) } else { resamples };
        BootstrapOptions { resamples, seed: self.config.training.seed, ..BootstrapOptions::default() }
    }
}

pub(super) fn evaluation(split: &Split) -> Evaluation {
    match split.scheme {
        Scheme::ThreeWindows | Scheme::TwoWindows => Evaluation::LaterCutOff,
        Scheme::OneWindow => Evaluation::HeldOutCustomers,
    }
}

/// A selection of rows with its labels.
pub(super) struct Rows {
    indices: Vec<usize>,
    pub(super) keys: Vec<RowKey>,
    labels: Vec<f32>,
    width: usize,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Some of them, one after another.
    pub(super) fn range(&self, some: std::ops::Range<usize>) -> Self {
        Self {
            indices: self.indices[some.clone()].to_vec(),
            keys: self.keys[some.clone()].to_vec(),
            labels: self.labels[some.start * self.width..some.end * self.width].to_vec(),
            width: self.width,
        }
    }

    /// Customers, as keys of folds and resamples.
    pub(super) fn hashes(&self) -> Vec<u64> {
        self.keys.iter().map(|key| key.hash).collect()
    }

    /// Labels of one column that are 0 or 1.
    pub(super) fn flags(&self, column: usize) -> Vec<bool> {
        self.labels.iter().skip(column).step_by(self.width).map(|&label| label > 0.5).collect()
    }

    /// Rows × columns of labels.
    pub(super) fn table(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.len(), self.width), &self.labels).expect("one label for each row and column")
    }

    /// Window of each row, as a number.
    pub(super) fn windows(&self) -> Vec<u32> {
        self.keys.iter().map(|key| key.request).collect()
    }

    /// Labels of one column.
    pub(super) fn amounts(&self, column: usize) -> Vec<f64> {
        self.labels.iter().skip(column).step_by(self.width).map(|&label| f64::from(label)).collect()
    }
}
