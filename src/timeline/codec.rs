//! Blocks of customers and events as bytes: little-endian, a column after the other, as compression likes it.

use super::customer::Customers;
use super::event::{Detail, Event, EventColumns, Shape};
use super::growing::Growing;

/// Bytes that are no block.
#[derive(Debug)]
pub(super) struct Damaged;

pub(super) fn column<T, const N: usize>(
    out: &mut Vec<u8>,
    values: impl Iterator<Item = T>,
    bytes: impl Fn(T) -> [u8; N],
) {
    values.for_each(|value| out.extend_from_slice(&bytes(value)));
}

/// Takes columns off the front.
pub(super) struct Columns<'a>(pub(super) &'a [u8]);

impl<'a> Columns<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (front, rest) = self.0.split_at_checked(n).ok_or(Damaged)?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn next<T, const N: usize>(
        &mut self,
        n: usize,
        value: impl Fn([u8; N]) -> T + 'a,
    ) -> Result<impl ExactSizeIterator<Item = T> + 'a, Damaged> {
        let bytes = self.bytes(n.checked_mul(N).ok_or(Damaged)?)?;
        Ok(bytes.chunks_exact(N).map(move |chunk| value(chunk.try_into().expect("chunks of that size"))))
    }
}

impl Columns<'_> {
    /// Takes off what [`encode_codes_and_details`] has put there, and fills the events of `block` with it.
    pub(super) fn codes_and_details(
        &mut self,
        n: usize,
        shape: Shape,
        block: &mut EventColumns,
    ) -> Result<(), Damaged> {
        let events = &mut block.events;
        fill(events, self.next(n, u32::from_le_bytes)?, |event: &mut Event, category| event.category = category);
        fill(events, self.next(n, u16::from_le_bytes)?, |event, kind| event.kind = kind);
        fill(events, self.next(n, u16::from_le_bytes)?, |event, channel| event.channel = channel);
        if !shape.details {
            return Ok(());
        }
        let details = &mut block.details;
        fill(details, self.next(n, u64::from_le_bytes)?, |detail: &mut Detail, order| detail.order = order);
        fill(details, self.next(n, u32::from_le_bytes)?, |detail, product| detail.product = product);
        fill(details, self.next(n, f32::from_le_bytes)?, |detail, quantity| detail.quantity = quantity);
        fill(details, self.next(n, i32::from_le_bytes)?, |detail, received| detail.received = received);
        fill(details, self.next(n, u16::from_le_bytes)?, |detail, device| detail.device = device);
        fill(details, self.next(n, u16::from_le_bytes)?, |detail, campaign| detail.campaign = campaign);
        Ok(())
    }
}

/// The columns of events that stay as they are, however times and money are laid out.
pub(super) fn encode_codes_and_details(out: &mut Vec<u8>, events: &EventColumns) {
    let of = || events.events.iter();
    column(out, of(), |event| event.category.to_le_bytes());
    column(out, of(), |event| event.kind.to_le_bytes());
    column(out, of(), |event| event.channel.to_le_bytes());
    let of = || events.details.iter();
    column(out, of(), |detail| detail.order.to_le_bytes());
    column(out, of(), |detail| detail.product.to_le_bytes());
    column(out, of(), |detail| detail.quantity.to_le_bytes());
    column(out, of(), |detail| detail.received.to_le_bytes());
    column(out, of(), |detail| detail.device.to_le_bytes());
    column(out, of(), |detail| detail.campaign.to_le_bytes());
}

pub(super) fn encode_customers(customers: &Customers) -> Vec<u8> {
    let mut out = Vec::with_capacity(customers.len() * 24 + customers.text.len());
    column(&mut out, customers.hashes.iter(), |hash| hash.to_le_bytes());
    column(&mut out, customers.numbers.iter(), |number| number.to_le_bytes());
    column(&mut out, customers.ends.iter(), |&end| (end as u64).to_le_bytes());
    out.extend_from_slice(&customers.text);
    out
}

pub(super) fn decode_customers(bytes: &[u8], n: usize) -> Result<Customers, Damaged> {
    let mut columns = Columns(bytes);
    let hashes = columns.next(n, u64::from_le_bytes)?.collect();
    let numbers = columns.next(n, i64::from_le_bytes)?.collect();
    let ends: Vec<usize> = columns.next(n, |bytes| u64::from_le_bytes(bytes) as usize)?.collect();
    let text = columns.bytes(ends.last().copied().unwrap_or(0))?.to_vec();
    if !ends.is_sorted() || !columns.0.is_empty() || std::str::from_utf8(&text).is_err() {
        return Err(Damaged);
    }
    Ok(Customers { hashes, numbers, text, ends })
}

pub(super) fn encode_events(events: &EventColumns, owners: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(owners.len() * (events.shape().event_bytes() + 4));
    column(&mut out, owners.iter(), |owner| owner.to_le_bytes());
    let of = || events.events.iter();
    column(&mut out, of(), |event| event.time.to_le_bytes());
    column(&mut out, of(), |event| event.value.to_le_bytes());
    encode_codes_and_details(&mut out, events);
    column(&mut out, events.numbers.iter(), |number| number.to_le_bytes());
    column(&mut out, events.conditions.iter(), |conditions| conditions.to_le_bytes());
    out
}

/// Events of a block that is being read.
pub(super) struct Rows<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) n: usize,
    /// Columns of the block.
    pub(super) stored: Shape,
    /// Columns of all blocks together: later ones may have more.
    pub(super) wanted: Shape,
}

impl Rows<'_> {
    /// Appends the events of the customers that `to` gives a position. `block` is room for all of them.
    pub(super) fn append_to(
        &self,
        growing: &mut Growing,
        to: &[Option<u32>],
        block: &mut EventColumns,
    ) -> Result<(), Damaged> {
        let n = self.n;
        let mut columns = Columns(self.bytes);
        let owners: Vec<u32> = columns.next(n, u32::from_le_bytes)?.collect();
        block.reset(self.stored, n);
        fill(&mut block.events, columns.next(n, i64::from_le_bytes)?, |event: &mut Event, time| event.time = time);
        fill(&mut block.events, columns.next(n, f64::from_le_bytes)?, |event, value| event.value = value);
        columns.codes_and_details(n, self.stored, block)?;
        let n_numbers = n * self.stored.numbers;
        fill(&mut block.numbers, columns.next(n_numbers, f64::from_le_bytes)?, |to, number| *to = number);
        if self.stored.conditions {
            fill(&mut block.conditions, columns.next(n, u64::from_le_bytes)?, |to, conditions| *to = conditions);
        }
        if !columns.0.is_empty() {
            return Err(Damaged);
        }
        block.widen(self.wanted);
        growing.events.n_numbers = self.wanted.numbers;
        // Whole stretches of events at once: mostly all of them.
        let mut start = 0;
        while start < n {
            let owner = |row: usize| to.get(owners[row] as usize).copied().ok_or(Damaged);
            let is_wanted = owner(start)?.is_some();
            let mut end = start;
            while end < n {
                match owner(end)? {
                    Some(customer) if is_wanted => growing.owners.push(customer),
                    None if !is_wanted => {}
                    _ => break,
                }
                end += 1;
            }
            if is_wanted {
                growing.events.extend(block.slice(start..end));
            }
            start = end;
        }
        Ok(())
    }
}

pub(super) fn fill<T, V>(to: &mut [T], values: impl Iterator<Item = V>, put: impl Fn(&mut T, V)) {
    to.iter_mut().zip(values).for_each(|(to, value)| put(to, value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::customer::{CustomerId, NO_NUMBER};

    fn customers() -> Customers {
        let mut customers = Customers::default();
        for (index, id) in ["Ada", "17", "", "Grüße", "-9223372036854775808"].into_iter().enumerate() {
            customers.push(CustomerId::of(id), index as u64 * 31);
        }
        customers
    }

    #[test]
    fn customers_come_back() {
        let bytes = encode_customers(&customers());
        let back = decode_customers(&bytes, 5).unwrap();
        let ids: Vec<String> = (0..5).map(|c| back.id(c).to_string()).collect();
        assert_eq!(ids, ["Ada", "17", "", "Grüße", "-9223372036854775808"]);
        assert_eq!(back.hashes, [0, 31, 62, 93, 124]);
        assert_eq!(back.numbers, [NO_NUMBER, 17, NO_NUMBER, NO_NUMBER, NO_NUMBER]);
        for n in 0..bytes.len() {
            assert!(decode_customers(&bytes[..n], 5).is_err(), "cut after {n} bytes");
        }
    }

    #[test]
    fn events_come_back_of_the_wanted_customers_only() {
        let shape = Shape { details: true, numbers: 2, conditions: true };
        let mut events = EventColumns::default();
        events.reset(shape, 4);
        for row in 0..4u16 {
            let at = usize::from(row);
            events.events[at] =
                Event { time: i64::from(row) - 2, value: f64::from(row) / 3.0, kind: row, ..Event::default() };
            events.details[at].order = u64::MAX - u64::from(row);
            events.details[at].quantity = f32::from(row);
            events.numbers[2 * at + 1] = -f64::from(row);
            events.conditions[at] = 1 << row;
        }
        let bytes = encode_events(&events, &[0, 1, 0, 2]);
        let rows = Rows { bytes: &bytes, n: 4, stored: shape, wanted: shape };
        let mut growing = Growing::default();
        rows.append_to(&mut growing, &[Some(5), None, Some(3)], &mut EventColumns::default()).unwrap();
        assert_eq!(growing.owners, [5, 5, 3]);
        assert_eq!(growing.events.len(), 3);
        for (at, from) in [(0, 0), (1, 2), (2, 3)] {
            assert_eq!(growing.events.events[at], events.events[from]);
            assert_eq!(growing.events.details[at].order, events.details[from].order);
            assert_eq!(growing.events.numbers[2 * at + 1], events.numbers[2 * from + 1]);
            assert_eq!(growing.events.conditions[at], events.conditions[from]);
        }
        for n in 0..bytes.len() {
            let cut = Rows { bytes: &bytes[..n], n: 4, stored: shape, wanted: shape };
            let appended = cut.append_to(&mut Growing::default(), &[Some(0); 3], &mut EventColumns::default());
            assert!(appended.is_err(), "cut after {n} bytes");
        }
    }
}
