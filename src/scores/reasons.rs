//! Why a prediction is what it is: the three things that moved it most, in words.
//!
//! What each feature adds to a prediction comes from the models that made it ([`TargetScorer`], approximate contributions).
//! Features that tell the same (`purchases_30d`, `days_since_last_order`, `churn_factor`) are one reason: their contributions are
//! added, and the one of them that did most in that direction is named; where that is how long the last order is ago, whatever tells it,
//! `days_since_last_order` is.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, ListArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};

use crate::bundle::{FittedTarget, Listener, Parameters, TargetScorer};
use crate::config::TargetKind;
use crate::features::{Feature, Lexicon, Silence, Words};
use crate::models::blocks::{BLOCK, Sight};
use crate::models::occurrence_inputs;

/// Reasons of a prediction.
pub(super) const MOST_REASONS: usize = 3;

/// Effects are told to so many parts of one; less is no reason.
const PARTS: f64 = 1e4;

/// Fields of one reason.
pub(super) fn reason_fields() -> Fields {
    Fields::from(vec![
        Field::new("feature", DataType::Utf8, false),
        Field::new("value", DataType::Float32, true),
        Field::new("effect", DataType::Float64, false),
        Field::new("direction", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
    ])
}

/// The type of a column of reasons.
pub(super) fn reasons_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(reason_fields()), false)))
}

/// The targets that are given reasons, with the names of their columns: `churn` and `value`, so that no other target changes
/// their columns; where none is called so, the first absence (or, without one, presence) and the first amount among those of one
/// column.
pub(super) fn explained_targets(parameters: &Parameters) -> Vec<(usize, &'static str)> {
    let single = |kind: TargetKind| move |fitted: &FittedTarget| fitted.target.kind == kind && !fitted.target.per_group;
    let first = |kind: TargetKind| parameters.targets.iter().position(single(kind));
    let named = |name: &str, kind: TargetKind| {
        parameters.targets.iter().position(|fitted| fitted.target.name == name && single(kind)(fitted))
    };
    let churn = named("churn", TargetKind::Absence).or_else(|| named("churn", TargetKind::Presence));
    let churn = churn.or_else(|| first(TargetKind::Absence)).or_else(|| first(TargetKind::Presence));
    let value = named("value", TargetKind::Amount).or_else(|| first(TargetKind::Amount));
    churn.map(|target| (target, "reasons")).into_iter().chain(value.map(|target| (target, "value_reasons"))).collect()
}

/// One reason: which place of the contributions, its value, and what it adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reason {
    place: u32,
    value: f32,
    effect: f64,
}

/// What long silence is told as.
const SILENCE: &str = "days_since_last_order";

/// No further reason.
const NONE: Reason = Reason { place: u32::MAX, value: f32::NAN, effect: 0.0 };

/// How the predictions of one target are told.
pub(super) struct Teller {
    /// The name of each place.
    names: Vec<String>,
    words: Vec<Words>,
    /// Places that may have a contribution, idea by idea.
    by_idea: Vec<u32>,
    /// Where each idea ends among them.
    ends: Vec<u32>,
}

impl Teller {
    pub(super) fn new(parameters: &Parameters, fitted: &FittedTarget, scorer: &TargetScorer, currency: &str) -> Self {
        let plan = &parameters.plans[fitted.plan];
        let mut features: Vec<Feature> = fitted.model_columns(parameters);
        if let (Some(model), true) = (fitted.foresight, features.len() < scorer.places()) {
            let [_, days, ..] = occurrence_inputs::features(&parameters.occurrences[model].subject);
            features.push(days);
        }
        let lexicon = Lexicon::new(plan, currency);
        let usual = |place: usize| fitted.reference.as_ref().and_then(|known| *known.usual.get(place)?);
        let words: Vec<Words> =
            features.iter().enumerate().map(|(place, feature)| lexicon.words(feature, usual(place))).collect();
        let idea = |place: u32| words[place as usize].idea.as_str();
        let mut by_idea = scorer.told().to_vec();
        by_idea.sort_by_key(|&place| idea(place)); // stable: places of an idea keep their order
        let ends = by_idea.chunk_by(|&a, &b| idea(a) == idea(b)).scan(0, |end, places| {
            *end += places.len() as u32;
            Some(*end)
        });
        let ends = ends.collect();
        Self { names: features.into_iter().map(|feature| feature.name).collect(), words, by_idea, ends }
    }

    /// Takes the reasons of rows that will be told one after another.
    pub(super) fn choice(&self, rows: usize) -> Choice<'_> {
        Choice { teller: self, reasons: Vec::with_capacity(rows * MOST_REASONS) }
    }

    /// Adds the reasons of the rows of a block to `reasons`: the ideas that moved a prediction most, the strongest first.
    fn choose(&self, sight: &Sight, contributions: &[[f64; BLOCK]], reasons: &mut Vec<Reason>) {
        let mut best = [[(0.0f64, usize::MAX); MOST_REASONS]; BLOCK];
        let mut from = 0;
        for (idea, &to) in self.ends.iter().enumerate() {
            let places = &self.by_idea[from as usize..to as usize];
            from = to;
            let mut effects = [0.0; BLOCK];
            let effects = &mut effects[..sight.lanes()];
            for &place in places {
                effects.iter_mut().zip(&contributions[place as usize]).for_each(|(sum, more)| *sum += more);
            }
            for (best, &effect) in best.iter_mut().zip(&effects[..sight.rows()]) {
                if effect.abs() > best[MOST_REASONS - 1].0.abs() {
                    best[MOST_REASONS - 1] = (effect, idea);
                    // Of equals the first stays first.
                    for place in (1..MOST_REASONS).rev() {
                        if best[place].0.abs() > best[place - 1].0.abs() {
                            best.swap(place, place - 1);
                        }
                    }
                }
            }
        }
        let one = |(lane, best): (usize, &[(f64, usize); MOST_REASONS])| {
            best.map(|(effect, idea)| {
                let effect = (effect * PARTS).round() / PARTS;
                if idea == usize::MAX || effect == 0.0 {
                    return NONE;
                }
                let from = idea.checked_sub(1).map_or(0, |before| self.ends[before]);
                let places = &self.by_idea[from as usize..self.ends[idea] as usize];
                let mut named = places[0];
                for &place in places {
                    let more = contributions[place as usize][lane] - contributions[named as usize][lane];
                    if more * effect > 0.0 {
                        named = place;
                    }
                }
                let is_column = (named as usize) < sight.width();
                let value = if is_column { sight.column(named as usize)[lane] } else { f32::NAN };
                Reason { place: named, value, effect }
            })
        };
        reasons.extend(best[..sight.rows()].iter().enumerate().flat_map(one));
    }
}

/// Collects the reasons of rows.
pub(super) struct Choice<'a> {
    teller: &'a Teller,
    reasons: Vec<Reason>,
}

impl Choice<'_> {
    /// [`MOST_REASONS`] for each row.
    pub(super) fn into_reasons(self) -> Vec<Reason> {
        self.reasons
    }
}

impl Listener for Choice<'_> {
    fn hear(&mut self, _: usize, sight: &Sight, contributions: &[[f64; BLOCK]]) {
        self.teller.choose(sight, contributions, &mut self.reasons);
    }
}

/// A column of reasons that is being filled.
pub(super) struct ReasonsBuilder<'a> {
    teller: &'a Teller,
    features: StringBuilder,
    values: Vec<Option<f32>>,
    effects: Vec<f64>,
    directions: StringBuilder,
    texts: StringBuilder,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    text: String,
}

impl<'a> ReasonsBuilder<'a> {
    pub(super) fn new(teller: &'a Teller, rows: usize) -> Self {
        let most = rows * MOST_REASONS;
        Self {
            teller,
            features: StringBuilder::with_capacity(most, most * 20),
            values: Vec::with_capacity(most),
            effects: Vec::with_capacity(most),
            directions: StringBuilder::with_capacity(most, most * 6),
            texts: StringBuilder::with_capacity(most, most * 40),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            text: String::new(),
        }
    }

    /// The next row: its reasons, or null where nothing was predicted.
    pub(super) fn push(&mut self, reasons: Option<&[Reason]>, silence: Silence) {
        self.valid.push(reasons.is_some());
        let before = self.effects.len();
        for reason in reasons.into_iter().flatten().filter(|reason| reason.place != NONE.place) {
            let place = reason.place as usize;
            self.text.clear();
            let words = &self.teller.words[place];
            words.tell(reason.value, silence, &mut self.text);
            let (name, value) = match words.is_of_silence(reason.value) {
                true => (SILENCE, silence.days_since_last as f32),
                false => (self.teller.names[place].as_str(), reason.value),
            };
            self.features.append_value(name);
            self.values.push((!value.is_nan()).then_some(value));
            self.effects.push(reason.effect);
            self.directions.append_value(if reason.effect > 0.0 { "raises" } else { "lowers" });
            self.texts.append_value(&self.text);
        }
        self.lengths.push(self.effects.len() - before);
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let entries = StructArray::new(
            reason_fields(),
            vec![
                Arc::new(self.features.finish()),
                Arc::new(Float32Array::from(self.values)),
                Arc::new(Float64Array::from(self.effects)),
                Arc::new(self.directions.finish()),
                Arc::new(self.texts.finish()),
            ],
            None,
        );
        let item = Arc::new(Field::new("item", DataType::Struct(reason_fields()), false));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Arc::new(ListArray::new(item, offsets, Arc::new(entries), Some(self.valid.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::features::{Plan, Unit};
    use crate::models::blocks::Blocks;
    use crate::models::occurrence_features::tests::{orders, timelines};
    use crate::time::Day;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float32Type;
    use ndarray::Array2;

    fn feature(name: &str, family: &str, unit: Unit, note: &str) -> Feature {
        Feature { name: name.into(), unit, note: note.into(), family: family.into(), columns: Vec::new() }
    }

    /// Two features about silence, two about spend, two that stand alone.
    fn teller() -> Teller {
        let plan = Plan::new(&timelines(&orders()), &Config::default(), Day(300)).unwrap();
        let features = [
            feature("spend", "purchases", Unit::Money, "Sum of `value` of `purchase` to date, refunds deducted."),
            feature("days_since_last_order", "recency", Unit::Days, "From the last order to `as_of`."),
            feature("tenure_days", "recency", Unit::Days, "From the first event of any kind to `as_of`."),
            feature("churn_factor", "cadence", Unit::Ratio, "Days since the last order ÷ `usual_gap_days`."),
            feature("spend_30d", "windows", Unit::Money, "Sum of `value` of `purchase` in the last 30 days."),
            feature("ski_visits", "declared", Unit::Count, "Visits."),
        ];
        let lexicon = Lexicon::new(&plan, "EUR");
        let words: Vec<Words> = features.iter().map(|feature| lexicon.words(feature, None)).collect();
        Teller {
            names: features.iter().map(|feature| feature.name.clone()).collect(),
            words,
            by_idea: vec![5, 1, 3, 0, 4, 2],
            ends: vec![1, 3, 5, 6],
        }
    }

    const COLUMNS: [f32; 6] = [50.0, 63.0, 400.0, 3.0, 0.0, f32::NAN];

    /// What is chosen of one row among others.
    fn chosen_of(teller: &Teller, contributions: &[f64; 6]) -> [Reason; MOST_REASONS] {
        let rows = Array2::from_shape_fn((3, 6), |(row, column)| if row == 1 { COLUMNS[column] } else { -1.0 });
        let blocks = Blocks::of(rows.view());
        let of_place = |place: usize| std::array::from_fn(|lane| if lane == 1 { contributions[place] } else { 5.0 });
        let all: Vec<[f64; BLOCK]> = (0..6).map(of_place).collect();
        let mut choice = teller.choice(3);
        choice.hear(0, &blocks.sight(0, &[]), &all);
        let reasons = choice.into_reasons();
        assert_eq!(reasons.len(), 3 * MOST_REASONS);
        [3, 4, 5].map(|place| reasons[place])
    }

    #[test]
    fn what_tells_the_same_is_one_reason_and_the_strongest_come_first() {
        let teller = teller();
        // Silence 0.9, spend -1.1 + 0.25, tenure 0.3, visits -0.31.
        let chosen = chosen_of(&teller, &[-1.1, 0.4, 0.3, 0.5, 0.25, -0.31]);
        let told = chosen.map(|reason| (reason.place, reason.effect));
        assert_eq!(told, [(3, 0.9), (0, -0.85), (5, -0.31)]);
        // Of a direction the feature that did most, and what cancels out is no reason.
        let chosen = chosen_of(&teller, &[0.2, 0.4, 0.0, -0.4, -0.1, 0.00004]);
        assert_eq!(chosen[0], Reason { place: 0, value: 50.0, effect: 0.1 });
        assert!(chosen[1..].iter().all(|reason| reason.place == NONE.place), "{chosen:?}");
        assert!(chosen_of(&teller, &[0.0; 6]).iter().all(|reason| reason.place == NONE.place));
    }

    #[test]
    fn a_column_of_reasons_has_a_list_for_whoever_is_predicted() {
        let teller = teller();
        let mut builder = ReasonsBuilder::new(&teller, 3);
        let silence = Silence { days_since_last: 63.0, usual_gap: 21.0 };
        let chosen = chosen_of(&teller, &[-1.1, 0.4, 0.0, 0.5, 0.25, -0.31]);
        builder.push(Some(&chosen), silence);
        builder.push(None, silence);
        builder.push(Some(&[NONE; MOST_REASONS]), silence);
        let column = builder.finish();
        assert_eq!(*column.data_type(), reasons_type());
        let lists = column.as_list::<i32>();
        assert_eq!([0, 1, 2].map(|row| lists.is_valid(row)), [true, false, true]);
        assert_eq!([0, 1, 2].map(|row| lists.value_length(row)), [3, 0, 0]);
        let entries = lists.value(0);
        let entries = entries.as_struct();
        let texts = |name: &str| -> Vec<String> {
            entries.column_by_name(name).unwrap().as_string::<i32>().iter().map(|text| text.unwrap().into()).collect()
        };
        assert_eq!(texts("feature"), ["days_since_last_order", "spend", "ski_visits"]);
        assert_eq!(texts("direction"), ["raises", "lowers", "lowers"]);
        let sentences = ["no order for 63 days; usual gap 21", "spent 50 EUR to date", "ski_visits is not known"];
        assert_eq!(texts("text"), sentences);
        let values = entries.column_by_name("value").unwrap();
        assert_eq!((values.is_valid(1), values.is_valid(2)), (true, false));
        assert_eq!(values.as_primitive::<Float32Type>().value(0), 63.0);
    }
}
