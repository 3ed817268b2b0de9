//! From the order of the files to the order of timelines: customers by hash, each one's events by time.

use std::cmp::Ordering;

use super::event::{Detail, Event, EventColumns, Timeline};
use super::growing::Growing;
use super::{NO_CATEGORY, NO_CODE, Partition};

/// New codes by old code, after the vocabularies have been sorted.
pub(super) struct Recode {
    pub(super) kind: Vec<u32>,
    pub(super) category: Vec<u32>,
    pub(super) channel: Vec<u32>,
    pub(super) device: Vec<u32>,
    pub(super) campaign: Vec<u32>,
}

fn narrow(to: &[u32], code: u16) -> u16 {
    if code == NO_CODE { NO_CODE } else { to[code as usize] as u16 }
}

impl Recode {
    fn event(&self, event: &Event) -> Event {
        let category = match event.category {
            NO_CATEGORY => NO_CATEGORY,
            code => self.category[code as usize],
        };
        Event {
            kind: narrow(&self.kind, event.kind),
            channel: narrow(&self.channel, event.channel),
            category,
            ..*event
        }
    }

    fn detail(&self, detail: &Detail) -> Detail {
        Detail {
            device: narrow(&self.device, detail.device),
            campaign: narrow(&self.campaign, detail.campaign),
            ..*detail
        }
    }
}

/// Every column takes part, so that the order of a timeline does not depend on the order of the files.
fn in_order(timeline: &Timeline, a: usize, b: usize) -> Ordering {
    let (x, y) = (&timeline.events[a], &timeline.events[b]);
    x.time.cmp(&y.time).then_with(|| {
        let (dx, dy) = (timeline.detail(a), timeline.detail(b));
        let numbers = || {
            let pairs = timeline.numbers(a).iter().zip(timeline.numbers(b));
            pairs.map(|(x, y)| x.total_cmp(y)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        (x.kind, dx.order, x.category, dx.product, x.channel, dx.device, dx.campaign, dx.received)
            .cmp(&(y.kind, dy.order, y.category, dy.product, y.channel, dy.device, dy.campaign, dy.received))
            .then_with(|| x.value.total_cmp(&y.value))
            .then_with(|| dx.quantity.total_cmp(&dy.quantity))
            .then_with(|| timeline.conditions(a).cmp(&timeline.conditions(b)))
            .then_with(numbers)
    })
}

/// Sorts customers by hash and each one's events by time, so that the order of the files decides nothing.
///
/// `room` takes the sorted events and becomes theirs; where the unsorted ones grew is room for those of the next
/// partition, so that hardly any fresh memory is asked for and no event is moved twice.
pub(super) fn sort_timelines(growing: Growing, recode: &Recode, room: &mut EventColumns) -> Partition {
    let Growing { customers: unsorted, events, mut owners, table } = growing;
    drop(table);
    let n_customers = unsorted.len();
    let mut order: Vec<(u64, u32)> = unsorted.hashes.iter().copied().zip(0..).collect();
    let text = |c: u32| unsorted.id(c as usize).to_string();
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| text(a.1).cmp(&text(b.1))));
    let mut partition = Partition::default();
    let mut place = vec![0u32; n_customers];
    partition.customers.reserve(n_customers, unsorted.text.len());
    for (new, &(hash, old)) in order.iter().enumerate() {
        place[old as usize] = new as u32;
        partition.customers.push(unsorted.id(old as usize), hash);
    }
    drop(unsorted);
    let mut counts = vec![0u32; n_customers];
    for owner in &mut owners {
        *owner = place[*owner as usize];
        counts[*owner as usize] += 1;
    }
    let mut starts = Vec::with_capacity(n_customers + 1);
    let mut next = counts; // of each customer the place of the next event
    let mut start = 0;
    for next in &mut next {
        starts.push(start as usize);
        start += std::mem::replace(next, start);
    }
    starts.push(start as usize);
    let mut slots = owners;
    // Before any event is moved: a place that is known by then need not be waited for.
    for slot in &mut slots {
        let next = &mut next[*slot as usize];
        *slot = *next;
        *next += 1;
    }
    let mut sorted = std::mem::take(room);
    sorted.reset(events.shape(), events.len());
    events.scatter(&slots, &mut sorted, |event| recode.event(event), |detail| recode.detail(detail));
    drop(slots);
    *room = events;
    let mut sorter = Sorter::default();
    for c in 0..n_customers {
        sorter.sort(&mut sorted, starts[c]..starts[c + 1]);
    }
    partition.starts = starts;
    partition.events = sorted;
    partition
}

/// Sorts stretches of events; its buffers serve one customer after another.
#[derive(Default)]
pub(super) struct Sorter {
    order: Vec<u32>,
    copy: EventColumns,
}

impl Sorter {
    pub(super) fn sort(&mut self, columns: &mut EventColumns, range: std::ops::Range<usize>) {
        let is_before = |pair: &[Event]| pair[0].time < pair[1].time;
        if columns.events[range.clone()].windows(2).all(is_before) {
            return; // files are mostly in order of time
        }
        let timeline = columns.slice(range.clone());
        self.order.clear();
        self.order.extend(0..timeline.len() as u32);
        // Stable, because it makes use of stretches that are in order, as those of one file are.
        self.order.sort_by(|&a, &b| in_order(&timeline, a as usize, b as usize));
        if self.order.is_sorted() {
            return;
        }
        self.copy.reset(columns.shape(), 0);
        self.copy.extend(timeline);
        for (to, &from) in self.order.iter().enumerate() {
            columns.put(range.start + to, &self.copy, from as usize);
        }
    }
}
