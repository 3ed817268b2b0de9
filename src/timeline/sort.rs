//! From the order of the files to the order of timelines: customers by hash, each one's events by time.

use std::cmp::Ordering;

use super::build::Growing;
use super::event::{Detail, Event, EventColumns, Timeline};
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
/// `copy` is room for the unsorted events, which serves one partition after another: the sorted ones stay where they
/// grew, so that no fresh memory is asked for.
pub(super) fn sort_timelines(growing: Growing, recode: &Recode, copy: &mut EventColumns) -> Partition {
    let Growing { customers: unsorted, events: mut sorted, mut owners, .. } = growing;
    let n_customers = unsorted.len();
    let mut order: Vec<u32> = (0..n_customers as u32).collect();
    let text = |c: u32| unsorted.id(c as usize).to_string();
    order.sort_unstable_by(|&a, &b| {
        let by_hash = unsorted.hashes[a as usize].cmp(&unsorted.hashes[b as usize]);
        by_hash.then_with(|| text(a).cmp(&text(b)))
    });
    let mut partition = Partition::default();
    let mut place = vec![0u32; n_customers];
    partition.customers.reserve(n_customers, unsorted.text.len());
    for (new, &old) in order.iter().enumerate() {
        place[old as usize] = new as u32;
        partition.customers.push(unsorted.id(old as usize), unsorted.hashes[old as usize]);
    }
    drop(unsorted);
    let mut starts = vec![0usize; n_customers + 1];
    for owner in &mut owners {
        *owner = place[*owner as usize];
        starts[*owner as usize + 1] += 1;
    }
    for c in 0..n_customers {
        starts[c + 1] += starts[c];
    }
    let mut next = starts.clone();
    let mut slots = owners;
    for slot in &mut slots {
        let next = &mut next[*slot as usize];
        *slot = *next as u32;
        *next += 1;
    }
    copy.reset(sorted.shape(), 0);
    copy.extend(sorted.timeline());
    copy.scatter(&slots, &mut sorted, |event| recode.event(event), |detail| recode.detail(detail));
    drop(slots);
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
