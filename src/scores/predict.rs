//! Predictions of one partition: the bundle's models applied to the rows of a day.

use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, StringArray, StringBuilder};
use ndarray::{Array2, ArrayView1, Axis, s};

use super::reasons::{Choice, Reason, Teller, explained_targets};
use super::stages::Rhythm;
use crate::bundle::{FittedColumn, FittedTarget, Listener, Parameters, TargetScorer, Workbench};
use crate::error::Error;
use crate::features::{Feature, FeatureTable, Plan, RowRequest, Silence, Sweep, Walker};
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
    rows: PartRows,
    /// One for each plan of the targets.
    plans: Vec<PlanColumns>,
}

/// What is known of the customers of one part beside what models see.
struct PartRows {
    partition: u32,
    hashes: Vec<u64>,
    ids: StringArray,
    basis: Array2<f32>,
    catalogue: Option<Arc<Array2<f32>>>,
    /// Of each occurrence model.
    histories: Vec<Vec<Option<History>>>,
}

/// What the models of the targets of one plan see of some customers.
struct PlanColumns {
    features: Blocks,
    /// What says who the targets are about.
    eligible: Array2<f32>,
}

/// Rows that all models look at while their columns are at hand: in the second-level cache, with hundreds of features.
const AT_HAND: usize = 4 * BLOCK;

/// The scores of a part while its rows are looked at.
struct Scoring<'a> {
    tenure: Vec<f32>,
    /// What occurrence models foresee of the customers: targets share it.
    outlooks: Vec<(usize, Horizon, Array2<f32>)>,
    targets: Vec<OfTarget<'a>>,
    bench: Workbench,
}

/// What is known so far of one target.
struct OfTarget<'a> {
    /// Which of the outlooks its models see.
    outlook: Option<usize>,
    is_eligible: Vec<bool>,
    /// One list for each score column.
    predictions: Vec<Vec<f64>>,
    /// Of a target that is explained.
    choice: Option<Choice<'a>>,
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
        let (customers, rows) = self.rows(index, part);
        let (mut scoring, mut walkers) = (self.begin(&rows)?, self.walkers());
        for (number, customers) in customers.chunks(AT_HAND).enumerate() {
            let plans = self.plans(&mut walkers, part, customers);
            self.look(&mut scoring, &plans, 0..customers.len(), number * AT_HAND)?;
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.blocks.extend(plans.into_iter().map(|plan| plan.features.into_columns()));
        }
        self.finish(&rows, scoring)
    }

    /// What is known of the customers of a part, which is number `index`: what scores are made from.
    pub(super) fn columns(&self, index: usize, part: &Partition) -> PartColumns {
        let (customers, rows) = self.rows(index, part);
        PartColumns { rows, plans: self.plans(&mut self.walkers(), part, &customers) }
    }

    /// Scores of customers of whom so much is known.
    pub(super) fn scores(&self, known: &PartColumns) -> Result<PartitionScores, Error> {
        let PartColumns { rows, plans } = known;
        let mut scoring = self.begin(rows)?;
        for first in (0..rows.hashes.len()).step_by(AT_HAND) {
            self.look(&mut scoring, plans, first..(first + AT_HAND).min(rows.hashes.len()), first)?;
        }
        self.finish(rows, scoring)
    }

    /// The customers of a part who are known, and what is known of them beside what models see.
    fn rows(&self, index: usize, part: &Partition) -> (Vec<usize>, PartRows) {
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
        let rows = PartRows {
            partition: index as u32,
            hashes: customers.iter().map(|&customer| part.hash(customer)).collect(),
            ids: ids.finish(),
            catalogue: self.catalogue.as_ref().map(|sweep| Arc::new(build(sweep).values)),
            histories: self.readers.iter().map(histories_of).collect(),
            basis: basis.values,
        };
        (customers, rows)
    }

    /// For each plan who walks for its models, and for what says who its targets are about, where the plan leaves some of that out.
    fn walkers(&self) -> Vec<(Walker<'_>, Option<Walker<'_>>)> {
        let about = self.about.iter().map(|about| match about {
            About::Columns(_) => None,
            About::Sweep(sweep) => Some(sweep.walker()),
        });
        self.sweeps.iter().map(Sweep::walker).zip(about).collect()
    }

    /// What the models of each plan see of some customers of a part.
    fn plans(
        &self,
        walkers: &mut [(Walker, Option<Walker>)],
        part: &Partition,
        customers: &[usize],
    ) -> Vec<PlanColumns> {
        let as_of = [self.request.as_of];
        // Every plan has the same customers in the same order: a row depends on what is known, not on the plan.
        let of_plan = |((sweep, about), (walker, walker_about)): ((&Sweep, &About), &mut (Walker, Option<Walker>))| {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).blocks.pop();
            let mut filling = Filling::of(memory.unwrap_or_default(), customers.len(), sweep.width());
            for &customer in customers {
                let push = |_, row: &[f64]| filling.push(row.iter().map(|&value| value as f32));
                walker.walk(part.timeline(customer), &as_of, push);
            }
            let features = filling.finish();
            let eligible = match (about, walker_about) {
                (About::Sweep(sweep), Some(walker)) => {
                    let mut values = Vec::with_capacity(customers.len() * sweep.width());
                    for &customer in customers {
                        let push = |_, row: &[f64]| values.extend(row.iter().map(|&value| value as f32));
                        walker.walk(part.timeline(customer), &as_of, push);
                    }
                    Array2::from_shape_vec((customers.len(), sweep.width()), values).expect("a row for each customer")
                }
                (About::Columns(places), _) => {
                    let value = |(row, place): (usize, usize)| features.value(row, places[place]);
                    Array2::from_shape_fn((customers.len(), places.len()), value)
                }
                (About::Sweep(_), None) => unreachable!("who is swept for has a walker"),
            };
            PlanColumns { features, eligible }
        };
        self.sweeps.iter().zip(&self.about).zip(walkers).map(of_plan).collect()
    }

    /// Scores of customers of whom nothing has been looked at yet.
    fn begin(&self, known: &PartRows) -> Result<Scoring<'_>, Error> {
        let n = known.hashes.len();
        let mut outlooks: Vec<(usize, Horizon, Array2<f32>)> = Vec::new();
        let mut targets = Vec::with_capacity(self.parameters.targets.len());
        for (target, fitted) in self.parameters.targets.iter().enumerate() {
            let outlook = match fitted.foresight {
                Some(model) => {
                    let horizon = fitted.target.horizon;
                    let place = outlooks.iter().position(|(known, at, _)| (*known, *at) == (model, horizon));
                    if place.is_none() {
                        let (of, histories) = (&self.parameters.occurrences[model], &known.histories[model]);
                        outlooks.push((model, horizon, foreseen(of, histories, self.request.as_of, horizon)?));
                    }
                    Some(place.unwrap_or(outlooks.len() - 1))
                }
                None => None,
            };
            let teller = self.tellers.iter().find(|(explained, _)| *explained == target);
            targets.push(OfTarget {
                outlook,
                is_eligible: Vec::with_capacity(n),
                predictions: fitted.columns.iter().map(|_| Vec::with_capacity(n)).collect(),
                choice: teller.map(|(_, teller)| teller.choice(n)),
            });
        }
        let tenure = known.basis.column(self.positions.tenure).to_vec();
        let bench = self.memory.lock().unwrap_or_else(PoisonError::into_inner).benches.pop();
        Ok(Scoring { tenure, outlooks, targets, bench: bench.unwrap_or_default() })
    }

    /// Shows all models `rows` of the columns of the plans; the first of them is row number `first` of the part.
    fn look(
        &self,
        scoring: &mut Scoring,
        plans: &[PlanColumns],
        rows: Range<usize>,
        first: usize,
    ) -> Result<(), Error> {
        let Scoring { tenure, outlooks, targets, bench } = scoring;
        let of_part = first..first + rows.len();
        for (((fitted, eligible), scorer), of) in
            self.parameters.targets.iter().zip(&self.eligible).zip(&self.scorers).zip(targets)
        {
            let PlanColumns { features, eligible: about } = &plans[fitted.plan];
            let holds = |row: ArrayView1<f32>| eligible.holds(row.as_slice().expect("rows are contiguous"));
            of.is_eligible.extend(about.slice(s![rows.clone(), ..]).axis_iter(Axis(0)).map(holds));
            let foreseen = of.outlook.map(|place| outlooks[place].2.slice(s![of_part.clone(), ..]));
            let listener = of.choice.as_mut().map(|choice| choice as &mut dyn Listener);
            let tenure = &tenure[of_part.clone()];
            scorer.score(features, rows.clone(), foreseen, tenure, bench, listener, &mut of.predictions)?;
        }
        Ok(())
    }

    /// Scores of customers of whom everything has been looked at.
    fn finish(&self, known: &PartRows, scoring: Scoring) -> Result<PartitionScores, Error> {
        let PartRows { partition, hashes, ids, basis, catalogue, histories } = known;
        let Scoring { tenure, targets, bench, .. } = scoring;
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).benches.push(bench);
        let rows = basis.view();
        let mut predictions = Vec::new();
        let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); self.tellers.len()];
        for (target, (fitted, of)) in self.parameters.targets.iter().zip(targets).enumerate() {
            let told = self.tellers.iter().position(|(explained, _)| *explained == target);
            if let (Some(place), Some(choice)) = (told, of.choice) {
                reasons[place] = choice.into_reasons();
            }
            predictions.extend(self.predictions(fitted, of.predictions, &of.is_eligible, &tenure, histories)?);
        }
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

    /// The score columns of a target of whose customers so much is `scored`; NaN of whom it is not about.
    fn predictions(
        &self,
        fitted: &FittedTarget,
        scored: Vec<Vec<f64>>,
        is_eligible: &[bool],
        tenure: &[f32],
        histories: &[Vec<Option<History>>],
    ) -> Result<Vec<Vec<f64>>, Error> {
        let target = &fitted.target;
        let mut predictions = Vec::with_capacity(fitted.columns.len());
        for (column, scored) in fitted.columns.iter().zip(scored) {
            let mut values: Vec<f64> = match column {
                FittedColumn::Occurrence { occurrence, prior } => {
                    let expected = self.expect(*occurrence, &histories[*occurrence], target.horizon.days())?;
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
