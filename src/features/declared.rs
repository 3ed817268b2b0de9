//! What a user declares: an aggregate over the events that match.
//!
//! Declarations about the same events and values share one stream of them, which grows as the timeline is walked;
//! a row looks back over as much of it as the window holds.

use std::ops::Range;

use super::catalogue::{Declarations, Plan, Unit};
use super::sweep::{Row, Step};
use crate::config::{Aggregate, DeclaredFeature, conditions};
use crate::time::{DAY_MICROS, Day};
use crate::timeline::{Event, NO_CATEGORY, NO_CODE, NumberColumn, Timelines, Vocabularies};

/// Where the values of a stream come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// There are none: events are counted.
    Nothing,
    Value,
    Quantity,
    Category,
    Channel,
    Device,
    Campaign,
    Product,
    Order,
    /// One of the numeric extras.
    Number(usize),
    /// 1 where a condition holds, 0 where it does not.
    Condition(u32),
}

/// Columns of our own that have values.
const COLUMNS: [(&str, Source); 8] = [
    ("value", Source::Value),
    ("quantity", Source::Quantity),
    ("category", Source::Category),
    ("channel", Source::Channel),
    ("device", Source::Device),
    ("campaign", Source::Campaign),
    ("product", Source::Product),
    ("order_id", Source::Order),
];

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    for feature in &plan.declared {
        let unit = match (feature.agg, feature.value.as_deref()) {
            (Aggregate::Count | Aggregate::Distinct | Aggregate::Streak, _) => Unit::Count,
            (Aggregate::DaysSince, _) => Unit::Days,
            (_, Some("value")) => Unit::Money,
            (_, Some("quantity")) => Unit::Count,
            _ => Unit::Number,
        };
        let mut columns = vec!["ts"];
        columns.extend(feature.event.as_ref().map(|_| "event"));
        columns.extend(feature.value.as_deref());
        declarations.family("declared", &columns);
        declarations.add(&feature.name, unit, note(feature));
    }
}

fn note(feature: &DeclaredFeature) -> String {
    let value = feature.value.as_deref().unwrap_or_default();
    let what = match feature.agg {
        Aggregate::Count if feature.value.is_none() => "Number".to_string(),
        Aggregate::Count => format!("Number with a `{value}`"),
        Aggregate::Sum => format!("Sum of `{value}`"),
        Aggregate::Mean => format!("Mean of `{value}`"),
        Aggregate::Min => format!("Smallest `{value}`"),
        Aggregate::Max => format!("Largest `{value}`"),
        Aggregate::Last => format!("Newest `{value}`"),
        Aggregate::First => format!("Oldest `{value}`"),
        Aggregate::Distinct => format!("Number of different `{value}`"),
        Aggregate::DaysSince => "Days since the last".to_string(),
        Aggregate::Streak => "Newest in a row that satisfy the condition".to_string(),
    };
    let events = feature.event.as_ref().map_or("all events".to_string(), |event| format!("`{event}` events"));
    let condition = feature.condition.as_ref().map_or(String::new(), |condition| format!(" where {condition}"));
    let window = feature.window_days.map_or(" to date".to_string(), |days| format!(" in the last {days} days"));
    let missing = match feature.agg {
        Aggregate::Count | Aggregate::Sum | Aggregate::Distinct | Aggregate::Streak => "",
        _ => "; missing without one",
    };
    format!("{what} of {events}{condition}{window}{missing}. Declared in the configuration.")
}

/// Which events a stream is about, and which of their values it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamKey {
    /// Code of the event; `None` for all, [`NO_CODE`] for one that the data lack.
    kind: Option<u16>,
    /// Bit of the condition that events must satisfy.
    condition: Option<u32>,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    stream: usize,
    agg: Aggregate,
    /// Position among the windows of all streams.
    window: usize,
    /// Events are counted, whatever their values.
    counts_all: bool,
}

/// Declarations made ready for the codes of one set of timelines.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    streams: Vec<StreamKey>,
    /// Days of the windows that are asked of the streams, stream after stream, ascending; [`TO_DATE`] is the last.
    windows: Vec<u16>,
    /// Where the windows of each stream are.
    windows_of: Vec<Range<usize>>,
    readings: Vec<Reading>,
    /// Positions of the readings that are not of plain streams.
    of_kept: Vec<usize>,
    /// Streams of each kind of event; but not the plain ones.
    of_kind: Vec<Vec<u16>>,
    /// Streams of events without a name; but not the plain ones.
    of_unnamed: Vec<u16>,
    plain: Plain,
    /// The streams that are not plain: their events are kept.
    kept: Vec<u16>,
}

/// Streams of which counts and sums of money alone are asked: their events are not kept, but summed up looking back over
/// the timeline, all streams at once.
#[derive(Debug, Default)]
struct Plain {
    /// Of each kind of event the slot of its sums; events without a name have the one after all kinds.
    slot_of: Vec<u16>,
    /// Number of slots. The first is of events that nobody asks about, the second of all events together.
    slots: usize,
    /// Whether anybody asks about all events together.
    asks_of_all: bool,
    /// Days of the windows, ascending.
    cuts: Vec<u16>,
    /// What is asked at the end of each window.
    asked: Vec<Vec<Asked>>,
}

/// A number that is read off the sums when the end of a window is passed.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Position among the declared features.
    place: u32,
    /// Position among the numbers of all slots.
    at: u32,
    /// It is divided by what stands before it.
    is_mean: bool,
}

/// Of the events of a slot: how many there are, how many of them have money, and the money. Whole numbers are exact in a
/// double, too.
type Sums = [f64; 3];

impl Plain {
    const OF_NONE: u16 = 0;
    const OF_ALL: u16 = 1;
}

impl Compiled {
    /// `numbers`: names of the numeric extras that the timelines hold.
    pub(super) fn new(plan: &Plan, vocabularies: &Vocabularies, numbers: &[NumberColumn]) -> Self {
        let bits = conditions(&plan.declared);
        let mut compiled = Self::default();
        let mut keys = Vec::with_capacity(plan.declared.len());
        for feature in &plan.declared {
            let bit = feature.condition.as_ref().map(|condition| {
                bits.iter().position(|other| other == condition).expect("collected from the same list") as u32
            });
            let source = match (&feature.value, bit) {
                (_, Some(bit)) if feature.agg == Aggregate::Streak => Source::Condition(bit),
                (None, _) => Source::Nothing,
                (Some(column), _) => {
                    let own = COLUMNS.iter().find(|(name, _)| name == column).map(|(_, source)| *source);
                    own.or_else(|| numbers.iter().position(|number| number.name == *column).map(Source::Number))
                        .expect("checked before the events were read")
                }
            };
            let kind = |event: &String| vocabularies.event.code(event).map_or(NO_CODE, |code| code as u16);
            let key = StreamKey {
                kind: feature.event.as_ref().map(kind),
                condition: bit.filter(|_| feature.agg != Aggregate::Streak),
                source,
            };
            keys.push(key);
            if source != Source::Nothing && !compiled.streams.contains(&key) {
                compiled.streams.push(key);
            }
        }
        let mut read = Vec::with_capacity(keys.len());
        for (feature, key) in plan.declared.iter().zip(keys) {
            // What counts events alone can count those of any stream of theirs.
            let serves = |other: &StreamKey| {
                *other == key
                    || (key.source == Source::Nothing && (other.kind, other.condition) == (key.kind, key.condition))
            };
            let stream = compiled.streams.iter().position(serves).unwrap_or_else(|| {
                compiled.streams.push(key);
                compiled.streams.len() - 1
            });
            let counts_all = key.source == Source::Nothing;
            read.push((stream, feature.agg, feature.window_days.unwrap_or(TO_DATE), counts_all));
        }
        for stream in 0..compiled.streams.len() {
            let mut days: Vec<u16> = read.iter().filter(|read| read.0 == stream).map(|read| read.2).collect();
            days.sort_unstable();
            days.dedup();
            let start = compiled.windows.len();
            compiled.windows.extend(days);
            compiled.windows_of.push(start..compiled.windows.len());
        }
        for (stream, agg, days, counts_all) in read {
            let of_stream = compiled.windows_of[stream].clone();
            let window = compiled.windows[of_stream.clone()].binary_search(&days);
            let window = of_stream.start + window.expect("collected from the same list");
            compiled.readings.push(Reading { stream, agg, window, counts_all });
        }
        compiled.plan_plain(vocabularies.event.names().len());
        compiled.kept =
            (0..compiled.streams.len() as u16).filter(|&stream| !compiled.is_plain(stream.into())).collect();
        let (streams, kept) = (&compiled.streams, &compiled.kept);
        let streams_of = |kind: u16| {
            let is_of = |key: &StreamKey| key.kind.is_none() || (key.kind == Some(kind) && kind != NO_CODE);
            kept.iter().copied().filter(|&stream| is_of(&streams[stream as usize])).collect()
        };
        compiled.of_kind = (0..vocabularies.event.names().len() as u16).map(streams_of).collect();
        compiled.of_unnamed = streams_of(NO_CODE);
        compiled
    }
}

impl Compiled {
    /// Whether of a stream only counts and sums of money are asked.
    fn is_plain(&self, stream: usize) -> bool {
        let StreamKey { condition, source, .. } = self.streams[stream];
        let is_sum = |agg: Aggregate| matches!(agg, Aggregate::Count | Aggregate::Sum | Aggregate::Mean);
        condition.is_none()
            && matches!(source, Source::Nothing | Source::Value)
            && self.readings.iter().filter(|reading| reading.stream == stream).all(|reading| is_sum(reading.agg))
    }

    /// Finds slots for the streams that are plain, and the places of what is asked of them.
    fn plan_plain(&mut self, kinds: usize) {
        let mut plain = Plain { slot_of: vec![Plain::OF_NONE; kinds + 1], slots: 2, ..Plain::default() };
        let mut slot_of_stream = vec![None; self.streams.len()];
        for stream in (0..self.streams.len()).filter(|&stream| self.is_plain(stream)) {
            let mut fresh = || {
                plain.slots += 1;
                plain.slots as u16 - 1
            };
            let slot = match self.streams[stream].kind {
                None => {
                    plain.asks_of_all = true;
                    Plain::OF_ALL
                }
                Some(NO_CODE) => fresh(), // it never happens
                Some(kind) => {
                    let slot = &mut plain.slot_of[kind as usize];
                    if *slot == Plain::OF_NONE {
                        *slot = fresh();
                    }
                    *slot
                }
            };
            slot_of_stream[stream] = Some(slot as usize);
            plain.cuts.extend(&self.windows[self.windows_of[stream].clone()]);
        }
        plain.cuts.sort_unstable();
        plain.cuts.dedup();
        plain.asked = vec![Vec::new(); plain.cuts.len()];
        for (place, reading) in self.readings.iter().enumerate() {
            let Some(slot) = slot_of_stream[reading.stream] else {
                self.of_kept.push(place);
                continue;
            };
            let cut = plain.cuts.binary_search(&self.windows[reading.window]);
            let sum = match reading.agg {
                Aggregate::Count if reading.counts_all => 0,
                Aggregate::Count => 1,
                _ => 2, // the mean is divided by what stands before
            };
            plain.asked[cut.expect("collected from the same list")].push(Asked {
                place: place as u32,
                at: (size_of::<Sums>() / size_of::<f64>() * slot + sum) as u32,
                is_mean: reading.agg == Aggregate::Mean,
            });
        }
        self.plain = plain;
    }

    /// Whether any event is kept.
    pub(super) fn keeps_events(&self) -> bool {
        !self.kept.is_empty()
    }
}

/// Stands for a window that reaches back to the first event.
const TO_DATE: u16 = u16::MAX;

/// Times and values of the events of one stream, oldest first; NaN where there is no value.
type Stream = Vec<(i64, f64)>;

/// What the events of a window of a stream come to.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    events: usize,
    /// Events with a value.
    values: u64,
    sum: f64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    streams: Vec<Stream>,
    /// Where the windows of all streams begin at `as_of`.
    starts: Vec<i64>,
    /// Where the windows of plain streams begin at `as_of`.
    plain_starts: Vec<i64>,
    /// Of the events looked back over so far, by slot.
    slots: Vec<Sums>,
    as_of: Option<Day>,
    /// Windows of all streams, filled by looking back from `as_of`.
    windows: Vec<Window>,
    /// Of the values of a window, when different ones are counted.
    distinct: Vec<u64>,
}

/// Each window is what has been seen when its end is passed, newest events first.
fn look_back(stream: &Stream, starts: &[i64], windows: &mut [Window]) {
    let mut events = stream.iter().rev().copied().peekable();
    let mut so_far = Window::default();
    for (&start, window) in starts.iter().zip(windows) {
        while let Some((_, value)) = events.next_if(|&(time, _)| time >= start) {
            so_far.events += 1;
            if !value.is_nan() {
                so_far.values += 1;
                so_far.sum += value;
            }
        }
        *window = so_far;
    }
}

fn code(code: u16) -> f64 {
    if code == NO_CODE { f64::NAN } else { f64::from(code) }
}

impl State {
    pub(super) fn reset(&mut self, compiled: &Compiled) {
        self.streams.resize_with(compiled.streams.len(), Stream::default);
        self.windows.resize(compiled.windows.len(), Window::default());
        self.streams.iter_mut().for_each(Vec::clear);
    }

    #[inline]
    pub(super) fn observe(&mut self, compiled: &Compiled, step: &Step) {
        let streams = compiled.of_kind.get(step.event.kind as usize).unwrap_or(&compiled.of_unnamed);
        for &index in streams {
            let key = &compiled.streams[index as usize];
            if key.condition.is_some_and(|bit| step.conditions() >> bit & 1 == 0) {
                continue;
            }
            let value = match key.source {
                Source::Nothing => f64::NAN,
                Source::Value => step.event.value,
                Source::Quantity => f64::from(step.quantity()),
                Source::Category if step.event.category == NO_CATEGORY => f64::NAN,
                Source::Category => f64::from(step.event.category),
                Source::Channel => code(step.event.channel),
                Source::Device => code(step.device()),
                Source::Campaign => code(step.campaign()),
                Source::Product if step.product() == 0 => f64::NAN,
                Source::Product => f64::from(step.product()),
                Source::Order if step.order() == 0 => f64::NAN,
                Source::Order => (step.order() >> 11) as f64, // as many bits as a double holds
                Source::Number(number) => step.numbers()[number],
                Source::Condition(bit) => (step.conditions() >> bit & 1) as f64,
            };
            self.streams[index as usize].push((step.event.time, value));
        }
    }

    /// Sums up the windows of plain streams: each is what has been seen when its end is passed, newest events first. What is
    /// asked of it goes to its place.
    fn look_back_plainly(&mut self, plain: &Plain, events: &[Event], places: &mut [f64]) {
        self.slots.clear();
        self.slots.resize(plain.slots, Sums::default());
        let slots = self.slots.as_mut_slice();
        let unnamed = plain.slot_of.len().saturating_sub(1);
        let mut rest = events;
        for (&start, asked) in self.plain_starts.iter().zip(&plain.asked) {
            while let Some((event, before)) = rest.split_last()
                && event.time >= start
            {
                let slot = plain.slot_of[(event.kind as usize).min(unnamed)];
                let (value, has_value) = if event.value.is_nan() { (0.0, 0.0) } else { (event.value, 1.0) };
                // A sum that begins with 0 is never -0, so that + 0 changes nothing.
                let mut add = |slot: u16| {
                    let [events, values, sum] = &mut slots[slot as usize];
                    *events += 1.0;
                    *values += has_value;
                    *sum += value;
                };
                add(slot);
                if plain.asks_of_all {
                    add(Plain::OF_ALL);
                }
                rest = before;
            }
            let sums = slots.as_flattened();
            for &Asked { place, at, is_mean } in asked {
                let sum = sums[at as usize];
                places[place as usize] = if is_mean { sum / sums[at as usize - 1] } else { sum }; // 0/0 = missing
            }
        }
    }

    /// `events` are those that are known at `as_of`, oldest first.
    pub(super) fn emit(&mut self, compiled: &Compiled, as_of: Day, events: &[Event], row: &mut Row) {
        if self.as_of.replace(as_of) != Some(as_of) {
            let start = |&days: &u16| match days {
                TO_DATE => i64::MIN,
                days => as_of.plus(-i32::from(days)).start_micros(),
            };
            self.starts = compiled.windows.iter().map(start).collect();
            self.plain_starts = compiled.plain.cuts.iter().map(start).collect();
        }
        let places = row.places(compiled.readings.len());
        self.look_back_plainly(&compiled.plain, events, places);
        for &kept in &compiled.kept {
            let windows = compiled.windows_of[kept as usize].clone();
            look_back(&self.streams[kept as usize], &self.starts[windows.clone()], &mut self.windows[windows]);
        }
        for &place in &compiled.of_kept {
            let reading = &compiled.readings[place];
            let window = self.windows[reading.window];
            let stream = || {
                let stream = &self.streams[reading.stream];
                &stream[stream.len() - window.events..]
            };
            let known = || stream().iter().map(|&(_, value)| value).filter(|value| !value.is_nan());
            places[place] = match reading.agg {
                Aggregate::Count if reading.counts_all => window.events as f64,
                Aggregate::Count => window.values as f64,
                Aggregate::Sum => window.sum,
                Aggregate::Mean => window.sum / window.values as f64, // 0/0 = missing
                Aggregate::Min => known().fold(f64::NAN, f64::min),
                Aggregate::Max => known().fold(f64::NAN, f64::max),
                Aggregate::Last => known().next_back().unwrap_or(f64::NAN),
                Aggregate::First => known().next().unwrap_or(f64::NAN),
                Aggregate::Distinct => {
                    self.distinct.clear();
                    self.distinct.extend(known().map(f64::to_bits));
                    self.distinct.sort_unstable();
                    self.distinct.dedup();
                    self.distinct.len() as f64
                }
                Aggregate::DaysSince => stream()
                    .last()
                    .map_or(f64::NAN, |&(time, _)| (as_of.start_micros() - time) as f64 / DAY_MICROS as f64),
                Aggregate::Streak => stream().iter().rev().take_while(|(_, holds)| *holds == 1.0).count() as f64,
            };
        }
    }
}

/// Declared features about events that never happen: 0 or missing for everyone.
pub(crate) fn unheard_events(declared: &[DeclaredFeature], timelines: &Timelines) -> Vec<(String, String)> {
    let unheard = |feature: &DeclaredFeature| {
        let event = feature.event.as_ref()?;
        timelines.vocabularies.event.code(event).is_none().then(|| (feature.name.clone(), event.clone()))
    };
    declared.iter().filter_map(unheard).collect()
}
