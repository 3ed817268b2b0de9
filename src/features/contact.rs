//! Contact points: what customers do by which channel, and how often the base goes from one to the next.

use serde::{Deserialize, Serialize};

use super::catalogue::slugs;
use super::sweep::is_order_line;
use super::tally::Pairs;
use crate::config::FeaturesConfig;
use crate::time::Day;
use crate::timeline::{Detail, Event, NO_CODE, OrdersOfDay, Partition, SpillError, Timelines, Vocabularies};

/// An event by a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactPoint {
    /// Event, as in the data.
    pub event: String,
    /// Channel, as in the data; none where the events name none.
    pub channel: Option<String>,
    /// As in column names.
    pub slug: String,
}

/// The contact points of the base and the ways between them, known when the plan was frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// Most frequent first; every other is one more, without a name.
    pub points: Vec<ContactPoint>,
    /// How often each followed each: row by row from one point to all, the nameless one last.
    pub transitions: Vec<u64>,
    /// Transitions between named points that have a column: indices into `points`, most frequent first.
    pub columns: Vec<(u16, u16)>,
    /// Whether customers are on more than one device.
    pub has_devices: bool,
}

/// Codes of an event and its channel.
type Pair = (u16, u16);

/// Tells steps from the further lines of an order, which are none of their own.
#[derive(Default)]
struct Steps {
    day: Option<Day>,
    orders: OrdersOfDay,
}

impl Steps {
    fn is_step(&mut self, event: &Event, order: u64, order_kind: Option<u32>) -> bool {
        if Some(u32::from(event.kind)) != order_kind || !is_order_line(event) {
            return true;
        }
        let day = event.day();
        if self.day != Some(day) {
            self.day = Some(day);
            self.orders.clear();
        }
        self.orders.position(order).1
    }
}

/// Calls `visit` with every step that is known at `frozen_at`, and whether it is its customer's first.
fn visit_steps(
    partition: &Partition,
    order_kind: Option<u32>,
    frozen_at: Day,
    mut visit: impl FnMut(&Event, Detail, bool),
) {
    for customer in 0..partition.customers() {
        let mut steps = Steps::default();
        let mut is_first = true;
        let timeline = partition.timeline(customer);
        for index in timeline.known_at(frozen_at) {
            let (event, detail) = (&timeline.events[index], timeline.detail(index));
            if steps.is_step(event, detail.order, order_kind) {
                visit(event, detail, is_first);
                is_first = false;
            }
        }
    }
}

/// How often each event came by each channel, the last of which is none.
struct PairTally {
    pairs: Pairs,
    channels: u32,
    /// Any device.
    device: Option<u16>,
    has_devices: bool,
}

impl PairTally {
    fn new(kinds: usize, channels: usize) -> Self {
        Self { pairs: Pairs::new(kinds, channels + 1), channels: channels as u32, device: None, has_devices: false }
    }

    fn take(&mut self, event: &Event, device: u16) {
        if event.kind != NO_CODE {
            self.pairs.take(event.kind, u32::from(event.channel).min(self.channels));
        }
        if device != NO_CODE {
            self.has_devices |= *self.device.get_or_insert(device) != device;
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.pairs.add(other.pairs);
        self.has_devices |= other.has_devices || self.device.zip(other.device).is_some_and(|(a, b)| a != b);
        self.device = self.device.or(other.device);
        self
    }

    /// Those that occur.
    fn pairs(self) -> Vec<(Pair, u64)> {
        let channel = |code: u32| if code == self.channels { NO_CODE } else { code as u16 };
        self.pairs.counted().into_iter().map(|((kind, code), count)| ((kind, channel(code)), count)).collect()
    }
}

impl Contacts {
    /// Contact points of the events known at `frozen_at`.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub(super) fn new(
        timelines: &Timelines,
        config: &FeaturesConfig,
        order_kind: Option<u32>,
        frozen_at: Day,
    ) -> Result<Self, SpillError> {
        if config.max_contact_points == 0 {
            return Ok(Self::default());
        }
        let of_part = |mut tally: PairTally, partition: &Partition| {
            visit_steps(partition, order_kind, frozen_at, |event, detail, _| tally.take(event, detail.device));
            tally
        };
        let channels = timelines.vocabularies.channel.names().len();
        let empty = || PairTally::new(timelines.vocabularies.event.names().len(), channels);
        let tally = timelines.fold_parts(empty, of_part, PairTally::add)?;
        // Codes are in the order of the names: equal counts stay in that order, those without a channel last.
        let has_devices = tally.has_devices;
        let mut pairs: Vec<(Pair, u64)> = tally.pairs();
        pairs.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
        pairs.truncate(config.max_contact_points);
        let mut contacts = Self { points: named(&pairs, &timelines.vocabularies), has_devices, ..Self::default() };
        if contacts.has_ways() {
            contacts.count_transitions(timelines, order_kind, frozen_at, config.max_transitions)?;
        }
        Ok(contacts)
    }

    /// Whether there is more than one named contact point: else there is no sequence to tell of.
    pub(super) fn has_ways(&self) -> bool {
        self.points.len() > 1
    }

    /// States of the table of transitions: the named points and the nameless one.
    pub(super) fn states(&self) -> usize {
        self.points.len() + 1
    }

    fn count_transitions(
        &mut self,
        timelines: &Timelines,
        order_kind: Option<u32>,
        frozen_at: Day,
        most: usize,
    ) -> Result<(), SpillError> {
        let codes = PointCodes::new(self, &timelines.vocabularies);
        let states = self.states();
        let of_part = |mut counts: Vec<u64>, partition: &Partition| {
            let mut before = 0;
            visit_steps(partition, order_kind, frozen_at, |event, _, is_first| {
                let point = codes.of(event.kind, event.channel);
                if !is_first {
                    counts[before * states + point] += 1;
                }
                before = point;
            });
            counts
        };
        let add = |mut sums: Vec<u64>, counts: Vec<u64>| {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sums
        };
        self.transitions = timelines.fold_parts(|| vec![0; states * states], of_part, add)?;
        let named = self.points.len();
        let mut ways: Vec<(usize, usize)> = (0..named)
            .flat_map(|from| (0..named).map(move |to| (from, to)))
            .filter(|&(from, to)| self.transitions[from * states + to] > 0)
            .collect();
        // Stable: equal counts stay in the order of the points.
        ways.sort_by_key(|&(from, to)| std::cmp::Reverse(self.transitions[from * states + to]));
        ways.truncate(most);
        self.columns = ways.into_iter().map(|(from, to)| (from as u16, to as u16)).collect();
        Ok(())
    }

    /// −ln of the probability of each transition, where each has been seen once more than it was (Laplace's rule).
    pub(super) fn surprises(&self) -> Vec<f64> {
        let states = self.states();
        self.transitions
            .chunks_exact(states)
            .flat_map(|row| {
                let all = row.iter().sum::<u64>() + states as u64;
                row.iter().map(move |&count| -((count + 1) as f64 / all as f64).ln())
            })
            .collect()
    }
}

fn named(pairs: &[(Pair, u64)], vocabularies: &Vocabularies) -> Vec<ContactPoint> {
    let name = |&(kind, channel): &Pair| {
        let channel = (channel != NO_CODE).then(|| vocabularies.channel.names()[channel as usize].clone());
        (vocabularies.event.names()[kind as usize].clone(), channel)
    };
    let names: Vec<(String, Option<String>)> = pairs.iter().map(|(pair, _)| name(pair)).collect();
    let whole: Vec<String> = names
        .iter()
        .map(|(event, channel)| channel.as_ref().map_or(event.clone(), |channel| format!("{event} {channel}")))
        .collect();
    let groups = slugs(whole.iter().map(String::as_str));
    names
        .into_iter()
        .zip(groups)
        .map(|((event, channel), group)| ContactPoint { event, channel, slug: group.slug })
        .collect()
}

/// Contact points by the codes of one set of timelines.
pub(super) struct PointCodes {
    /// Row of the table by code of the event; those without a contact point share the last.
    row_of: Vec<u8>,
    /// Column of the table by code of the channel; those without a contact point share the last but one, and a
    /// missing channel has the last.
    column_of: Vec<u8>,
    columns: usize,
    points: Vec<u8>,
    nameless: u8,
}

impl PointCodes {
    pub(super) fn new(contacts: &Contacts, vocabularies: &Vocabularies) -> Self {
        let mut events: Vec<&str> = contacts.points.iter().map(|point| point.event.as_str()).collect();
        let mut channels: Vec<&str> = contacts.points.iter().filter_map(|point| point.channel.as_deref()).collect();
        for names in [&mut events, &mut channels] {
            names.sort_unstable();
            names.dedup();
        }
        let place = |names: &[&str], name: &str| names.binary_search(&name).unwrap_or(names.len());
        let columns = channels.len() + 2;
        let nameless = contacts.points.len() as u8;
        let mut points = vec![nameless; (events.len() + 1) * columns];
        for (index, point) in contacts.points.iter().enumerate() {
            let column = point.channel.as_ref().map_or(columns - 1, |channel| place(&channels, channel));
            points[place(&events, &point.event) * columns + column] = index as u8;
        }
        let code = |names: &[&str], name: &String| place(names, name) as u8;
        Self {
            row_of: vocabularies.event.names().iter().map(|name| code(&events, name)).collect(),
            column_of: vocabularies.channel.names().iter().map(|name| code(&channels, name)).collect(),
            columns,
            points,
            nameless,
        }
    }

    /// Index into the plan's contact points, or their number: any other.
    pub(super) fn of(&self, kind: u16, channel: u16) -> usize {
        let Some(&row) = self.row_of.get(kind as usize) else { return self.nameless as usize };
        let column = if channel == NO_CODE { self.columns - 1 } else { self.column_of[channel as usize] as usize };
        self.points[row as usize * self.columns + column] as usize
    }
}
