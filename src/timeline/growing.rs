//! One partition while it grows: whose events have come so far, in the order of the files.

use hashbrown::HashTable;

use super::customer::{CustomerId, Customers, NO_NUMBER};
use super::event::EventColumns;

/// Customers and events of one partition, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Growing {
    pub(super) customers: Customers,
    pub(super) events: EventColumns,
    /// Customer of each event.
    pub(super) owners: Vec<u32>,
    /// Positions of the customers by their hash: small enough, without the hashes, for a core's own cache.
    pub(super) table: HashTable<u32>,
}

/// The hash by which the table of one partition goes. It tells entries apart by its highest bits before it looks at them,
/// and finds their place by its lowest: of a partition's customers the highest bits are the same, and so they take some
/// from below.
#[inline]
fn in_table(hash: u64) -> u64 {
    hash ^ hash << 40
}

impl Growing {
    /// Position of a customer, who is new or known.
    #[inline]
    pub(super) fn customer(&mut self, id: CustomerId, hash: u64) -> u32 {
        if let Some(customer) = self.known(id, hash) {
            return customer;
        }
        let customer = self.customers.len() as u32;
        self.customers.push(id, hash);
        let hashes = &self.customers.hashes;
        self.table.insert_unique(in_table(hash), customer, |&customer| in_table(hashes[customer as usize]));
        customer
    }

    /// Position of a customer who is known.
    #[inline]
    pub(super) fn known(&self, id: CustomerId, hash: u64) -> Option<u32> {
        let Customers { numbers, hashes, .. } = &self.customers;
        let found = match id {
            CustomerId::Number(number) => self.table.find(in_table(hash), |&c| numbers[c as usize] == number),
            CustomerId::Text(text) => self.table.find(in_table(hash), |&c| {
                let c = c as usize;
                hashes[c] == hash && numbers[c] == NO_NUMBER && self.customers.is_text(c, text)
            }),
        };
        found.copied()
    }

    /// Walks over the table in its own order, which the processor foresees: those who are looked up next are at hand then.
    pub(super) fn fetch(&self) {
        let seen = self.table.iter().fold(0, |seen, &customer| seen | customer);
        std::hint::black_box(self.customers.numbers.iter().fold(i64::from(seen), |seen, &number| seen | number));
    }

    pub(super) fn bytes(&self) -> usize {
        self.customers.capacity_bytes()
            + self.events.capacity_bytes()
            + 4 * self.owners.capacity()
            + self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::partition_of;

    #[test]
    fn the_highest_bits_tell_the_customers_of_a_partition_apart() {
        let hashes = (0..100_000).map(|number| CustomerId::of_number(number).hash());
        let tags: std::collections::BTreeSet<u64> =
            hashes.filter(|&hash| partition_of(hash) == 77).map(|hash| in_table(hash) >> 57).collect();
        assert!(tags.len() > 100, "{} of 128 for 391 customers or so", tags.len());
    }

    #[test]
    fn a_number_is_no_text_of_the_same_hash() {
        let mut growing = Growing::default();
        let (number, text) = (CustomerId::of_number(7), CustomerId::of("seven"));
        let hash = number.hash();
        assert_eq!((growing.known(number, hash), growing.customer(text, hash)), (None, 0));
        assert_eq!((growing.known(number, hash), growing.customer(number, hash)), (None, 1));
        assert_eq!((growing.known(number, hash), growing.known(text, hash)), (Some(1), Some(0)));
    }
}
