//! Predictions of one partition: the bundle's models applied to the rows of a day.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, StringArray, StringBuilder};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::reasons::{Reason, Teller, explained_targets};
use super::stages::Rhythm;
use crate::bundle::{FittedColumn, Listener, Parameters, TargetScorer, Workbench};
use crate::error::Error;
use crate::features::{Feature, FeatureTable, Plan, RowRequest, Silence, Sweep};
use crate::labels::EligibleRows;
use crate::lists::Exclusions;
use crate::models::blocks::{BLOCK, Blocks, Filling};
use crate::models::occurrence::{Expectation, SubjectReader};
use crate::models::occurrence_features::foreseen;
use crate::time::{Day, Horizon};
use crate::timeline::{CustomerId, History, Partition, Timelines};
use crate::training::quantity;

/// Everything that is predicted of the customers of one partition who are known at `as_of`.
pub(super) struct PartitionScores {
    pub(super) partition: u32,
    /// Stable hashes of the customers, one a row.
    pub(super) hashes: Vec<u64>,
    /// Their ids, as in the input.
    pub(super) ids: StringArray,
    /// One for each score column of each target; NaN where the customer is not eligible.
    pub(super) predictions: Vec<Vec<f64>>,
    pub(super) alive: Vec<f64>,
    pub(super) days_to_next: Vec<f64>,
    pub(super) average_gap: Vec<f64>,
    pub(super) churn_factor: Vec<f64>,
    pub(super) spend: Vec<f64>,
    /// Days since the last order, and the usual gap; NaN without one.
    pub(super) silences: Vec<Silence>,
    /// For each target that is explained, [`MOST_REASONS`](super::reasons::MOST_REASONS) a row.
    pub(super) reasons: Vec<Vec<Reason>>,
    /// Rows × features of the catalogue, when they are to be written.
    pub(super) features: Option<Arc<Array2<f32>>>,
    pub(super) stages: Vec<&'static str>,
    pub(super) statuses: Vec<&'static str>,
    /// The first day on which the customer may be contacted again; `None` when they may be now.
    pub(super) excluded_until: Vec<Option<Day>>,
}

/// Positions of the features that score columns repeat.
struct Positions {
    tenure: usize,
    order_days: usize,
    average_gap: usize,
    last_gap: usize,
    churn_factor: usize,
    days_since_last: usize,
    usual_gap: usize,
    spend: Option<usize>,
}

/// The plans of a bundle, reduced to what scoring looks at beside what its models see.
pub(super) struct BasisPlans {
    catalogue: Plan,
    /// One for each plan of the targets.
    eligible: Vec<Plan>,
}

impl BasisPlans {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let of_catalogue = [
            TENURE_DAYS,
            "order_days",
            "average_days_between_orders",
            "last_days_between_orders",
            "churn_factor",
            "days_since_last_order",
            "usual_gap_days",
            "spend",
        ];
        let eligible = parameters.plans.iter().enumerate().map(|(index, plan)| {
            let targets = parameters.targets.iter().filter(|fitted| fitted.plan == index);
            // A row is never empty: everybody has a first event.
            let names: Vec<&str> =
                targets.flat_map(|fitted| fitted.target.eligible_features()).chain([TENURE_DAYS]).collect();
            plan.only(&names)
        });
        Self { catalogue: parameters.catalogue.only(&of_catalogue), eligible: eligible.collect() }
    }
}

impl BasisPlans {
    /// What the scores repeat of the catalogue.
    pub(super) fn catalogue(&self) -> &Plan {
        &self.catalogue
    }

    /// Days since each customer was first seen, from rows of [`catalogue`](Self::catalogue).
    pub(super) fn tenure(&self, rows: &FeatureTable) -> Vec<f32> {
        let place = self.catalogue.features().iter().position(|feature| feature.name == TENURE_DAYS);
        rows.view().column(place.expect("in every catalogue")).to_vec()
    }
}

const TENURE_DAYS: &str = "tenure_days";

/// What is known of the customers of one part: what scores are made from.
pub(super) struct PartColumns {
    partition: u32,
    hashes: Vec<u64>,
    ids: StringArray,
    basis: Array2<f32>,
    /// One for each plan of the targets.
    plans: Vec<Blocks>,
    /// Of each plan what says who its targets are about.
    eligible: Vec<Array2<f32>>,
    catalogue: Option<Arc<Array2<f32>>>,
    /// Of each occurrence model.
    histories: Vec<Vec<Option<History>>>,
}

/// What occurrence models foresee of the customers of a part: targets share it.
struct Outlook<'a> {
    parameters: &'a Parameters,
    as_of: Day,
    known: Vec<(usize, Horizon, Array2<f32>)>,
}

impl Outlook<'_> {
    fn foreseen(
        &mut self,
        model: usize,
        horizon: Horizon,
        histories: &[Option<History>],
    ) -> Result<ArrayView2<'_, f32>, Error> {
        let place = match self.known.iter().position(|(known, at, _)| (*known, *at) == (model, horizon)) {
            Some(place) => place,
            None => {
                let values = foreseen(&self.parameters.occurrences[model], histories, self.as_of, horizon)?;
                self.known.push((model, horizon, values));
                self.known.len() - 1
            }
        };
        Ok(self.known[place].2.view())
    }
}

/// Where the features come from that say who the targets of a plan are about.
enum About<'a> {
    /// They are features of the plan: their places.
    Columns(Vec<usize>),
    /// The plan leaves some of them out.
    Sweep(Box<Sweep<'a>>),
}

impl<'a> About<'a> {
    fn of(plan: &Plan, eligible: &'a Plan, timelines: &'a Timelines) -> Self {
        let features = plan.features();
        let place = |feature: &Feature| features.iter().position(|known| known.name == feature.name);
        match eligible.features().iter().map(place).collect() {
            Some(places) => Self::Columns(places),
            None => Self::Sweep(Box::new(Sweep::new(eligible, timelines))),
        }
    }
}

/// A bundle's models made ready for one set of timelines and one day.
pub(super) struct Predictor<'a> {
    parameters: &'a Parameters,
    /// What the scores repeat of the catalogue.
    basis: Sweep<'a>,
    /// What the models of each plan see.
    sweeps: Vec<Sweep<'a>>,
    /// What says who the targets of each plan are about.
    about: Vec<About<'a>>,
    /// What is written beside the scores.
    catalogue: Option<Sweep<'a>>,
    request: RowRequest,
    exclusions: &'a Exclusions,
    positions: Positions,
    eligible: Vec<EligibleRows<'a>>,
    readers: Vec<SubjectReader>,
    order_model: Option<usize>,
    /// One for each target.
    scorers: Vec<TargetScorer<'a>>,
    /// Of each target that is explained.
    tellers: Vec<(usize, Teller)>,
    memory: Mutex<Memory>,
}

/// Memory that parts have used and further parts will use again: as much as is in use at a time.
#[derive(Default)]
struct Memory {
    blocks: Vec<Vec<[f32; BLOCK]>>,
    benches: Vec<Workbench>,
}

impl<'a> Predictor<'a> {
    pub(super) fn new(
        parameters: &'a Parameters,
        basis: &'a BasisPlans,
        timelines: &'a Timelines,
        exclusions: &'a Exclusions,
        request: RowRequest,
        with_features: bool,
    ) -> Result<Self, Error> {
        let features = basis.catalogue.features();
        let position = |name: &str| features.iter().position(|feature| feature.name == name);
        let needed = |name: &str| position(name).expect("in every catalogue");
        let eligible = parameters
            .targets
            .iter()
            .map(|fitted| EligibleRows::new(fitted.target.eligible.as_ref(), &basis.eligible[fitted.plan].features()));
        let order_model =
            parameters.occurrences.iter().position(|model| model.subject.is_order && model.subject.category.is_none());
        Ok(Self {
            parameters,
            basis: Sweep::new(&basis.catalogue, timelines),
            sweeps: parameters.plans.iter().map(|plan| Sweep::new(plan, timelines)).collect(),
            about: parameters
                .plans
                .iter()
                .zip(&basis.eligible)
                .map(|(plan, of)| About::of(plan, of, timelines))
                .collect(),
            catalogue: with_features.then(|| Sweep::new(&parameters.catalogue, timelines)),
            request,
            exclusions,
            positions: Positions {
                tenure: needed(TENURE_DAYS),
                order_days: needed("order_days"),
                average_gap: needed("average_days_between_orders"),
                last_gap: needed("last_days_between_orders"),
                churn_factor: needed("churn_factor"),
                days_since_last: needed("days_since_last_order"),
                usual_gap: needed("usual_gap_days"),
                spend: position("spend"),
            },
            eligible: eligible.collect::<Result<_, _>>()?,
            readers: parameters.occurrences.iter().map(|model| model.subject.reader(&timelines.vocabularies)).collect(),
            order_model,
            scorers: parameters
                .targets
                .iter()
                .map(|fitted| TargetScorer::new(parameters, fitted, false))
                .collect::<Result<_, _>>()?,
            tellers: Vec::new(),
            memory: Mutex::default(),
        })
    }

    /// The same, which tells why, too; money in `currency`.
    pub(super) fn with_reasons(mut self, currency: &str) -> Result<Self, Error> {
        for (target, _) in explained_targets(self.parameters) {
            let fitted = &self.parameters.targets[target];
            self.scorers[target] = TargetScorer::new(self.parameters, fitted, true)?;
            let teller = Teller::new(self.parameters, fitted, &self.scorers[target], currency);
            self.tellers.push((target, teller));
        }
        Ok(self)
    }

    /// How the predictions of the targets that are explained are told.
    pub(super) fn tellers(&self) -> &[(usize, Teller)] {
        &self.tellers
    }

    /// Scores of the customers of a part, which is number `index`.
    pub(super) fn part(&self, index: usize, part: &Partition) -> Result<PartitionScores, Error> {
        let known = self.columns(index, part);
        let scores = self.scores(&known);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.blocks.extend(known.plans.into_iter().map(Blocks::into_columns));
        scores
    }

    /// What is known of the customers of a part, which is number `index`: what scores are made from.
    pub(super) fn columns(&self, index: usize, part: &Partition) -> PartColumns {
        let build = |sweep: &Sweep| FeatureTable::build_part(index, part, sweep, &[self.request]);
        let basis = build(&self.basis);
        let customers: Vec<usize> = basis.keys.iter().map(|key| key.customer as usize).collect();
        let histories_of = |reader: &SubjectReader| -> Vec<Option<History>> {
            let of = |&customer: &usize| reader.history(part.timeline(customer), self.request.as_of);
            customers.iter().map(of).collect()
        };
        let mut ids = StringBuilder::with_capacity(customers.len(), 8 * customers.len());
        for &customer in &customers {
            match part.id(customer) {
                CustomerId::Text(text) => ids.append_value(text),
                number => {
                    let _ = write!(ids, "{number}"); // into memory, which has no errors
                    ids.append_value("");
                }
            }
        }
        // Every plan has the same customers in the same order: a row depends on what is known, not on the plan.
        let of_plan = |(sweep, about): (&Sweep, &About)| {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).blocks.pop();
            let mut filling = Filling::of(memory.unwrap_or_default(), customers.len(), sweep.width());
            let mut walker = sweep.walker();
            for &customer in &customers {
                let push = |_, row: &[f64]| filling.push(row.iter().map(|&value| value as f32));
                walker.walk(part.timeline(customer), &[self.request.as_of], push);
            }
            let blocks = filling.finish();
            let eligible = match about {
                About::Columns(places) => Array2::from_shape_fn((customers.len(), places.len()), |(row, place)| {
                    blocks.value(row, places[place])
                }),
                About::Sweep(sweep) => build(sweep).values,
            };
            (blocks, eligible)
        };
        let (plans, eligible) = self.sweeps.iter().zip(&self.about).map(of_plan).unzip();
        PartColumns {
            partition: index as u32,
            hashes: customers.iter().map(|&customer| part.hash(customer)).collect(),
            ids: ids.finish(),
            plans,
            eligible,
            catalogue: self.catalogue.as_ref().map(|sweep| Arc::new(build(sweep).values)),
            histories: self.readers.iter().map(histories_of).collect(),
            basis: basis.values,
        }
    }

    /// Scores of customers of whom so much is known.
    pub(super) fn scores(&self, known: &PartColumns) -> Result<PartitionScores, Error> {
        let PartColumns { partition, hashes, ids, basis, plans, eligible: about, catalogue, histories } = known;
        let rows = basis.view();
        let tenure: Vec<f32> = rows.column(self.positions.tenure).to_vec();
        let mut outlook = Outlook { parameters: self.parameters, as_of: self.request.as_of, known: Vec::new() };
        let bench = self.memory.lock().unwrap_or_else(PoisonError::into_inner).benches.pop();
        let (mut predictions, mut bench) = (Vec::new(), bench.unwrap_or_default());
        let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); self.tellers.len()];
        for (target, (fitted, eligible)) in self.parameters.targets.iter().zip(&self.eligible).enumerate() {
            let holds = |row: ArrayView1<f32>| eligible.holds(row.as_slice().expect("rows are contiguous"));
            let is_eligible: Vec<bool> = about[fitted.plan].axis_iter(Axis(0)).map(holds).collect();
            let rows = &plans[fitted.plan];
            let told = self.tellers.iter().position(|(explained, _)| *explained == target);
            let reasons = told.map(|place| &mut reasons[place]);
            let found =
                self.target(target, &is_eligible, rows, &tenure, histories, &mut outlook, &mut bench, reasons)?;
            predictions.extend(found);
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).benches.push(bench);
        let column = |index: usize| rows.column(index).iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        let positions = &self.positions;
        let order_days = column(positions.order_days);
        let (average_gap, last_gap) = (column(positions.average_gap), column(positions.last_gap));
        let churn_factor = column(positions.churn_factor);
        let gaps = column(positions.days_since_last).into_iter().zip(column(positions.usual_gap));
        let silences = gaps.map(|(days_since_last, usual_gap)| Silence { days_since_last, usual_gap }).collect();
        let (alive, days_to_next) = match self.order_model {
            Some(model) => {
                let histories = &histories[model];
                let known: Vec<History> = histories.iter().flatten().copied().collect();
                let expected = self.expect(model, histories, 1)?;
                let alive = expected.iter().map(|e| e.as_ref().map_or(f64::NAN, |e| e.alive)).collect();
                let mut next = self.parameters.occurrences[model].days_to_next(&known, self.request.as_of)?.into_iter();
                let of_one = |history: &Option<History>| history.and_then(|_| next.next().flatten());
                (alive, histories.iter().map(of_one).map(|days| days.unwrap_or(f64::NAN)).collect())
            }
            None => (vec![f64::NAN; ids.len()], vec![f64::NAN; ids.len()]),
        };
        let row_is_about = |row: usize| predictions.iter().any(|column: &Vec<f64>| !column[row].is_nan());
        let until = |id: &str| {
            if self.exclusions.is_empty() { None } else { self.exclusions.until(id, self.request.as_of) }
        };
        let excluded_until: Vec<Option<Day>> = ids.iter().flatten().map(until).collect();
        let status = |row: usize| match () {
            () if excluded_until[row].is_some() => "excluded",
            () if !row_is_about(row) => "not_applicable",
            // Nothing was ever ordered, or the customer was first seen in the last day: a prior speaks.
            () if order_days[row] < 1.0 || tenure[row] < 1.0 => "prior_only",
            () => "scored",
        };
        let stage = |row: usize| {
            let rhythm = Rhythm {
                order_days: order_days[row],
                churn_factor: churn_factor[row],
                average_gap: average_gap[row],
                last_gap: last_gap[row],
                base_gap: self.parameters.catalogue.base_gap_days,
            };
            rhythm.stage()
        };
        Ok(PartitionScores {
            partition: *partition,
            hashes: hashes.clone(),
            stages: (0..ids.len()).map(stage).collect(),
            statuses: (0..ids.len()).map(status).collect(),
            ids: ids.clone(),
            excluded_until,
            spend: positions.spend.map_or_else(Vec::new, column),
            silences,
            reasons,
            alive,
            days_to_next,
            average_gap,
            churn_factor,
            predictions,
            features: catalogue.clone(),
        })
    }

    fn expect(
        &self,
        model: usize,
        histories: &[Option<History>],
        horizon: i32,
    ) -> Result<Vec<Option<Expectation>>, Error> {
        let known: Vec<History> = histories.iter().flatten().copied().collect();
        let mut expected = self.parameters.occurrences[model].expect(&known, self.request.as_of, horizon)?.into_iter();
        Ok(histories.iter().map(|history| history.and_then(|_| expected.next())).collect())
    }

    fn target(
        &self,
        target: usize,
        is_eligible: &[bool],
        rows: &Blocks,
        tenure: &[f32],
        histories: &[Vec<Option<History>>],
        outlook: &mut Outlook,
        bench: &mut Workbench,
        reasons: Option<&mut Vec<Reason>>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let (fitted, scorer) = (&self.parameters.targets[target], &self.scorers[target]);
        let teller = self.tellers.iter().find(|(explained, _)| *explained == target).map(|(_, teller)| teller);
        let target = &fitted.target;
        let horizon = target.horizon.days();
        let foreseen = match fitted.foresight {
            Some(model) => Some(outlook.foreseen(model, target.horizon, &histories[model])?),
            None => None,
        };
        let mut choice = teller.map(|teller| teller.choice(rows.rows()));
        let listener = choice.as_mut().map(|choice| choice as &mut dyn Listener);
        let scores = scorer.score(rows, foreseen, tenure, bench, listener)?;
        if let (Some(reasons), Some(choice)) = (reasons, choice) {
            *reasons = choice.into_reasons();
        }
        let mut predictions = Vec::with_capacity(fitted.columns.len());
        for (column, scored) in fitted.columns.iter().zip(scores.predictions) {
            let mut values: Vec<f64> = match column {
                FittedColumn::Occurrence { occurrence, prior } => {
                    let expected = self.expect(*occurrence, &histories[*occurrence], horizon)?;
                    let quantity = quantity(target.kind);
                    let one = |(row, expected): (usize, &Option<Expectation>)| {
                        expected.as_ref().map_or_else(|| prior.mean(tenure[row]), quantity)
                    };
                    expected.iter().enumerate().map(one).collect()
                }
                _ => scored,
            };
            for (value, &is_eligible) in values.iter_mut().zip(is_eligible) {
                if !is_eligible {
                    *value = f64::NAN;
                }
            }
            predictions.push(values);
        }
        Ok(predictions)
    }
}
