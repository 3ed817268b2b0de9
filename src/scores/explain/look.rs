//! A bundle looking at one customer at one day: the row that a run would write, and each prediction taken apart.

use ndarray::ArrayView2;

use super::super::predict::{BasisPlans, Predictor};
use super::super::row::ScoreRow;
use super::super::write::Table;
use super::FeatureValue;
use super::parts::{ColumnChange, ColumnParts, Sides, in_scale};
use super::timeline::TimelineSummary;
use crate::bundle::{Bundle, Contributions, Detail, FittedTarget, Scale, TargetRows};
use crate::error::Error;
use crate::features::{FeatureTable, RowRequest, Sweep};
use crate::labels::Target;
use crate::lists::Exclusions;
use crate::time::Day;
use crate::timeline::{History, Part, Timelines};

/// A score column with what adds to it.
pub(super) struct Explained {
    pub(super) column: String,
    pub(super) prediction: f64,
    /// Of one row.
    pub(super) contributions: Contributions,
}

impl Explained {
    /// The prediction in the scale of its contributions.
    pub(super) fn score(&self) -> f64 {
        in_scale(self.contributions.scale, self.prediction)
    }

    /// What the calibration adds to base and contributions; `None` of amounts and counts, which are their sum.
    pub(super) fn calibration(&self) -> Option<f64> {
        (self.contributions.scale == Scale::LogOdds).then(|| self.score() - self.contributions.scores()[0])
    }
}

/// What a bundle sees and says of one customer.
pub(crate) struct Look {
    /// What they have done.
    pub(crate) timeline: TimelineSummary,
    /// What a run would write of them, with features and without ranks.
    pub(crate) row: ScoreRow,
    /// Every feature of the catalogue.
    pub(crate) features: Vec<FeatureValue>,
    targets: Vec<Target>,
    explained: Vec<Explained>,
}

impl Look {
    /// At the one customer whom the timelines hold; `None` when nothing is known of them at `as_of`. Of the predictions those are
    /// taken apart that `wants` accepts.
    ///
    /// # Errors
    /// A model that refuses the row.
    pub(crate) fn new(
        bundle: &Bundle,
        timelines: &Timelines,
        exclusions: &Exclusions,
        as_of: Day,
        wants: &dyn Fn(&Target, &str) -> bool,
    ) -> Result<Option<Self>, Error> {
        let parameters = &bundle.parameters;
        let mut found: Option<(usize, Part)> = None;
        for index in 0..timelines.parts() {
            let part = timelines.part(index)?;
            if part.customers() > 0 {
                found = Some((index, part));
                break;
            }
        }
        let Some((index, part)) = found else { return Ok(None) };
        let order_event = &bundle.manifest.config.events.order_event;
        let timeline = part.timeline(0);
        let Some(summary) = TimelineSummary::of(timeline, &timelines.vocabularies, order_event, as_of) else {
            return Ok(None);
        };
        let request = RowRequest { as_of, share: 1.0 };
        let basis = BasisPlans::new(parameters);
        let predictor = Predictor::new(parameters, &basis, timelines, exclusions, request, true)?;
        let predictor = predictor.with_reasons(&bundle.manifest.config.currency)?;
        let mut scores = predictor.part(index, &part)?;
        scores.partition = 0; // the only one of the table
        let all: Vec<f64> = scores.predictions.iter().map(|column| column[0]).collect();
        let build = |sweep: &Sweep| FeatureTable::build_part(index, &part, sweep, &[request]);
        let tenure = basis.tenure(&build(&Sweep::new(basis.catalogue(), timelines)));
        let readers: Vec<_> =
            parameters.occurrences.iter().map(|model| model.subject.reader(&timelines.vocabularies)).collect();
        let histories = |model: usize| -> Vec<Option<History>> { vec![readers[model].history(timeline, as_of)] };
        let explain = |fitted: &FittedTarget, rows: ArrayView2<f32>, column: usize, prediction: f64| {
            let rows = TargetRows::new(parameters, fitted, rows, &tenure, &histories, as_of)?;
            let contributions = fitted.contributions(parameters, column, &rows, &histories, Detail::Exact)?;
            let column = fitted.target.columns().swap_remove(column);
            Ok::<Explained, Error>(Explained { column, prediction, contributions })
        };
        let mut explained = Vec::new();
        let mut all = all.into_iter();
        for fitted in &parameters.targets {
            let columns = fitted.target.columns();
            let wanted: Vec<(usize, f64)> = columns
                .iter()
                .enumerate()
                .zip(&mut all)
                .filter(|((_, column), prediction)| !prediction.is_nan() && wants(&fitted.target, column))
                .map(|((place, _), prediction)| (place, prediction))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let table = build(&Sweep::new(&parameters.plans[fitted.plan], timelines));
            for (place, prediction) in wanted {
                explained.push(explain(fitted, table.view(), place, prediction)?);
            }
        }
        let table = Table::new(bundle, vec![scores], predictor.tellers(), true);
        let row = ScoreRow::Batch(table.only_row(as_of));
        let feature = |feature: crate::features::Feature| FeatureValue {
            value: row.number(&feature.name),
            feature: feature.name,
            unit: feature.unit.name().to_string(),
            note: feature.note,
        };
        let features = parameters.catalogue.features().into_iter().map(feature).collect();
        Ok(Some(Self {
            timeline: summary,
            features,
            row,
            targets: parameters.targets.iter().map(|fitted| fitted.target.clone()).collect(),
            explained,
        }))
    }

    /// What adds to each prediction that was wanted.
    pub(crate) fn parts(&self) -> Vec<ColumnParts> {
        self.explained.iter().map(ColumnParts::of).collect()
    }

    /// Prediction columns whose value is not that of a row which was written before.
    pub(crate) fn differs_from(&self, row: &ScoreRow) -> Vec<String> {
        let columns = self.targets.iter().flat_map(Target::columns);
        columns.filter(|column| self.row.number(column) != row.number(column)).collect()
    }
}

/// What was seen of a customer on two days.
pub(crate) struct Looks {
    /// The earlier bundle at the earlier day; `None` when nothing was known of the customer, or there is one day only.
    pub(crate) before: Option<Look>,
    /// The earlier bundle at the later day.
    pub(crate) between: Option<Look>,
    /// The later bundle at the later day, when it is another one.
    pub(crate) after: Option<Option<Look>>,
}

fn explained<'a>(look: Option<&'a Look>, column: &str) -> Option<&'a Explained> {
    look?.explained.iter().find(|explained| explained.column == column)
}

impl Looks {
    /// What the bundle of the later day sees there.
    pub(crate) fn last(&self) -> Option<&Look> {
        self.after.as_ref().unwrap_or(&self.between).as_ref()
    }

    /// The change of a column. `written` are the rows of the partitions of both days, which stand above what is found now.
    pub(crate) fn change(&self, column: &str, written: (Option<&ScoreRow>, Option<&ScoreRow>)) -> ColumnChange {
        let number = |row: Option<&ScoreRow>| row.and_then(|row| row.number(column));
        let written = (number(written.0), number(written.1));
        let after = self.after.as_ref().map(|after| explained(after.as_ref(), column));
        match (explained(self.before.as_ref(), column), explained(self.between.as_ref(), column), after) {
            (Some(before), Some(between), None) => ColumnChange::of(&Sides { before, between, after: None, written }),
            (Some(before), Some(between), Some(Some(after))) => {
                ColumnChange::of(&Sides { before, between, after: Some(after), written })
            }
            _ => {
                let now = |look: Option<&Look>| number(look.map(|look| &look.row));
                let (before, after) = (now(self.before.as_ref()), now(self.last()));
                ColumnChange::plain(column, written.0.or(before), written.1.or(after))
            }
        }
    }
}
