//! Blocks of a segment as bytes: customers with the numbers of their events; the columns of their events.
//!
//! Little-endian. Doubles, and times as differences, are laid out a byte position after the other: the high bytes are
//! nearly all alike, which is what compression likes.

use crate::timeline::Partition;
use crate::timeline::codec::{
    Columns, Damaged, column, decode_customers, encode_codes_and_details, encode_customers, fill,
};
use crate::timeline::customer::Customers;
use crate::timeline::event::{Event, EventColumns, Shape};

/// Bytes of a value that is laid out by byte position.
const WIDTH: usize = 8;

fn planes(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = [u8; WIDTH]>) {
    let (n, start) = (values.len(), out.len());
    out.resize(start + WIDTH * n, 0);
    let mut rest = &mut out[start..];
    let planes: [&mut [u8]; WIDTH] = std::array::from_fn(|_| {
        let (plane, after) = std::mem::take(&mut rest).split_at_mut(n);
        rest = after;
        plane
    });
    for (at, value) in values.enumerate() {
        for byte in 0..WIDTH {
            planes[byte][at] = value[byte];
        }
    }
}

fn from_planes<'a>(columns: &mut Columns<'a>, n: usize) -> Result<impl Iterator<Item = [u8; WIDTH]> + 'a, Damaged> {
    let bytes = columns.bytes(n.checked_mul(WIDTH).ok_or(Damaged)?)?;
    let planes: [&[u8]; WIDTH] = std::array::from_fn(|byte| &bytes[byte * n..(byte + 1) * n]);
    Ok((0..n).map(move |at| std::array::from_fn(|byte| planes[byte][at])))
}

/// A partition's customers, and how many events each has.
pub(super) fn encode_owners(partition: &Partition) -> Vec<u8> {
    let mut out = Vec::new();
    column(&mut out, partition.starts.windows(2), |pair| ((pair[1] - pair[0]) as u32).to_le_bytes());
    out.extend(encode_customers(&partition.customers));
    out
}

/// The customers, and where the events of each start.
pub(super) fn decode_owners(bytes: &[u8], n: usize, n_events: usize) -> Result<(Customers, Vec<usize>), Damaged> {
    let mut columns = Columns(bytes);
    let mut starts = Vec::with_capacity(n + 1);
    starts.push(0usize);
    for count in columns.next(n, u32::from_le_bytes)? {
        starts.push(starts[starts.len() - 1] + count as usize);
    }
    let customers = decode_customers(columns.0, n)?;
    if starts[n] == n_events { Ok((customers, starts)) } else { Err(Damaged) }
}

/// A partition's events, a column after the other.
pub(super) fn encode_events(events: &EventColumns) -> Vec<u8> {
    let mut out = Vec::with_capacity(events.len() * events.shape().event_bytes());
    let of = || events.events.iter();
    let mut last = 0i64;
    let differences = of().map(|event| {
        let difference = event.time.wrapping_sub(last);
        last = event.time;
        difference.to_le_bytes()
    });
    planes(&mut out, differences);
    planes(&mut out, of().map(|event| event.value.to_le_bytes()));
    encode_codes_and_details(&mut out, events);
    planes(&mut out, events.numbers.iter().map(|number| number.to_le_bytes()));
    column(&mut out, events.conditions.iter(), |conditions| conditions.to_le_bytes());
    out
}

/// Fills `block` with `n` events.
pub(super) fn decode_events(bytes: &[u8], n: usize, shape: Shape, block: &mut EventColumns) -> Result<(), Damaged> {
    let mut columns = Columns(bytes);
    block.reset(shape, n);
    let mut time = 0i64;
    let times = from_planes(&mut columns, n)?.map(|bytes| {
        time = time.wrapping_add(i64::from_le_bytes(bytes));
        time
    });
    fill(&mut block.events, times, |event: &mut Event, time| event.time = time);
    let values = from_planes(&mut columns, n)?.map(f64::from_le_bytes);
    fill(&mut block.events, values, |event, value| event.value = value);
    columns.codes_and_details(n, shape, block)?;
    let numbers = from_planes(&mut columns, n.saturating_mul(shape.numbers))?.map(f64::from_le_bytes);
    fill(&mut block.numbers, numbers, |to, number| *to = number);
    if shape.conditions {
        fill(&mut block.conditions, columns.next(n, u64::from_le_bytes)?, |to, conditions| *to = conditions);
    }
    if columns.0.is_empty() { Ok(()) } else { Err(Damaged) }
}

/// Hashes of event ids, and the day from which each is known.
pub(super) fn encode_ids(ids: &[(u128, i32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 * ids.len());
    column(&mut out, ids.iter(), |(id, _)| id.to_le_bytes());
    column(&mut out, ids.iter(), |(_, known_from)| known_from.to_le_bytes());
    out
}

/// As they were encoded.
pub(super) fn decode_ids(bytes: &[u8], n: usize) -> Result<Vec<(u128, i32)>, Damaged> {
    let mut columns = Columns(bytes);
    let ids: Vec<u128> = columns.next(n, u128::from_le_bytes)?.collect();
    let known_from = columns.next(n, i32::from_le_bytes)?;
    let ids = ids.into_iter().zip(known_from).collect();
    if columns.0.is_empty() { Ok(ids) } else { Err(Damaged) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::customer::CustomerId;
    use crate::timeline::event::Detail;

    fn columns(shape: Shape, rows: &[(i64, u64, u32, u16)]) -> EventColumns {
        let mut events = EventColumns::default();
        events.reset(shape, rows.len());
        for (at, &(time, bits, wide, narrow)) in rows.iter().enumerate() {
            let value = f64::from_bits(bits);
            events.events[at] = Event { time, value, category: wide, kind: narrow, channel: !narrow };
            if shape.details {
                events.details[at] = Detail {
                    order: bits.rotate_left(9),
                    product: !wide,
                    quantity: f32::from_bits(wide),
                    received: wide as i32,
                    device: narrow.rotate_left(3),
                    campaign: narrow,
                };
            }
            for column in 0..shape.numbers {
                events.numbers[at * shape.numbers + column] = f64::from_bits(bits.rotate_left(column as u32));
            }
            if shape.conditions {
                events.conditions[at] = bits ^ 5;
            }
        }
        events
    }

    proptest! {
        #[test]
        fn blocks_come_back_bit_for_bit_and_cut_ones_are_refused(
            rows in prop::collection::vec(any::<(i64, u64, u32, u16)>(), 0..40),
            (details, numbers, conditions) in (any::<bool>(), 0usize..3, any::<bool>()),
        ) {
            let shape = Shape { details, numbers, conditions };
            let events = columns(shape, &rows);
            let bytes = encode_events(&events);
            prop_assert_eq!(bytes.len(), rows.len() * shape.event_bytes());
            let mut back = EventColumns::default();
            decode_events(&bytes, rows.len(), shape, &mut back).ok().unwrap();
            prop_assert_eq!(encode_events(&back), bytes.clone());
            for (at, event) in events.events.iter().enumerate() {
                prop_assert_eq!(event.time, back.events[at].time);
                prop_assert_eq!(event.value.to_bits(), back.events[at].value.to_bits());
            }
            for n in 0..bytes.len() {
                prop_assert!(decode_events(&bytes[..n], rows.len(), shape, &mut back).is_err(), "cut after {}", n);
            }
        }

        #[test]
        fn owners_come_back_and_cut_ones_are_refused(
            owners in prop::collection::vec((".{0,6}", 0usize..5, any::<u64>()), 0..12),
        ) {
            let mut partition = Partition { starts: vec![0], ..Partition::default() };
            for (id, n, hash) in &owners {
                partition.customers.push(CustomerId::of(id), *hash);
                partition.starts.push(partition.starts[partition.starts.len() - 1] + n);
            }
            let n_events = partition.starts[owners.len()];
            let bytes = encode_owners(&partition);
            let (back, starts) = decode_owners(&bytes, owners.len(), n_events).ok().unwrap();
            prop_assert_eq!(&starts, &partition.starts);
            for (customer, (id, _, hash)) in owners.iter().enumerate() {
                prop_assert_eq!(back.id(customer), CustomerId::of(id));
                prop_assert_eq!(back.hashes[customer], *hash);
            }
            prop_assert!(decode_owners(&bytes, owners.len(), n_events + 1).is_err());
            for n in 0..bytes.len() {
                prop_assert!(decode_owners(&bytes[..n], owners.len(), n_events).is_err(), "cut after {}", n);
            }
        }

        #[test]
        fn ids_come_back(ids in prop::collection::vec(any::<(u128, i32)>(), 0..20)) {
            let bytes = encode_ids(&ids);
            prop_assert_eq!(decode_ids(&bytes, ids.len()).ok().unwrap(), ids.clone());
            for n in 0..bytes.len() {
                prop_assert!(decode_ids(&bytes[..n], ids.len()).is_err(), "cut after {}", n);
            }
        }
    }
}
