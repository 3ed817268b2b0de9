//! Which lines of a day belong to one order.

use hashbrown::HashMap;

/// Up to this many orders a day are searched one by one: nearly every day has one.
const FEW: usize = 16;

/// The distinct order ids of one customer's day, in order of appearance.
#[derive(Debug, Default)]
pub struct OrdersOfDay {
    keys: Vec<u64>,
    index: HashMap<u64, usize>,
}

impl OrdersOfDay {
    /// Begins another day.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.index.clear();
    }

    /// Position of the order of a line, and whether the line begins it.
    pub fn position(&mut self, order: u64) -> (usize, bool) {
        let found = if self.keys.len() <= FEW {
            self.keys.iter().position(|&key| key == order)
        } else {
            if self.index.is_empty() {
                self.index.extend(self.keys.iter().enumerate().map(|(position, &key)| (key, position)));
            }
            self.index.get(&order).copied()
        };
        if let Some(position) = found {
            return (position, false);
        }
        let position = self.keys.len();
        self.keys.push(order);
        if !self.index.is_empty() {
            self.index.insert(order, position);
        }
        (position, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_orders_are_found_alike() {
        let mut orders = OrdersOfDay::default();
        for order in 0..100 {
            assert_eq!(orders.position(order * 7), (order as usize, true));
            assert_eq!(orders.position(order / 2 * 7), ((order / 2) as usize, false));
        }
        orders.clear();
        assert_eq!(orders.position(7), (0, true));
    }
}
