//! Customers as the buy-till-you-die models see them: three numbers each.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::BtydError;

/// The largest count and the longest time, in days, that a history may hold: beyond any customer, and small enough
/// for every formula to stay finite.
pub const LARGEST: f64 = 1e7;

/// One customer's orders up to `as_of`, in the convention of the package lifetimes: `x` and `t_x` leave the first
/// order out, orders of one day are one order, times are days since the first order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rfm {
    x: f64,
    t_x: f64,
    t: f64,
}

impl Rfm {
    /// `x` repeat order-days, the last of them `t_x` days after the first order, which was `t` days before `as_of`.
    ///
    /// # Errors
    /// Unless `x` is a whole number, `0 <= t_x <= t`, all are at most [`LARGEST`], and `t_x` is 0 exactly where `x` is.
    pub fn new(x: f64, t_x: f64, t: f64) -> Result<Self, BtydError> {
        let broken = if !(0.0..=LARGEST).contains(&x) || x.fract() != 0.0 {
            Some("`x` is a whole number of 0 to 10,000,000")
        } else if !(0.0..=LARGEST).contains(&t) {
            Some("`T` is 0 to 10,000,000 days")
        } else if !(0.0..=t).contains(&t_x) {
            Some("`t_x` is 0 to `T` days")
        } else if (x == 0.0) != (t_x == 0.0) {
            Some("`t_x` is 0 exactly where `x` is 0")
        } else {
            None
        };
        match broken {
            // + 0.0 makes one zero of the two, which the grouping below would tell apart.
            None => Ok(Self { x: x + 0.0, t_x: t_x + 0.0, t: t + 0.0 }),
            Some(rule) => Err(BtydError::BadHistory { x, t_x, t, rule }),
        }
    }

    /// Repeat order-days.
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Days from the first to the last order.
    pub fn t_x(&self) -> f64 {
        self.t_x
    }

    /// Days from the first order to `as_of`.
    pub fn t(&self) -> f64 {
        self.t
    }

    /// Order of histories: by x, then t_x, then T. The bits of non-negative floats sort as the floats do.
    fn key(&self) -> (u64, u64, u64) {
        (self.x.to_bits(), self.t_x.to_bits(), self.t.to_bits())
    }
}

/// Repeat orders up to which a history that stands for others stands for those of its own number alone.
const FEW_ORDERS: f64 = 16.0;

/// The distinct histories of a population with the number of customers that share each: what a likelihood is summed
/// over. CDNOW's 23,570 customers are 8,685 of them.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    rows: Vec<(Rfm, f64)>,
    customers: u64,
    ln_gaps: Option<f64>,
}

impl Histories {
    /// Groups the customers; the result does not depend on their order.
    pub fn new(customers: &[Rfm]) -> Self {
        let mut sorted = customers.to_vec();
        sorted.par_sort_unstable_by_key(Rfm::key); // equal keys are equal histories, so any order is this order
        let mut rows: Vec<(Rfm, f64)> = Vec::new();
        for history in sorted {
            match rows.last_mut() {
                Some((held, count)) if *held == history => *count += 1.0,
                _ => rows.push((history, 1.0)),
            }
        }
        Self { rows, customers: customers.len() as u64, ln_gaps: None }
    }

    /// Distinct histories with their counts, ordered by x, t_x and T.
    pub fn rows(&self) -> &[(Rfm, f64)] {
        &self.rows
    }

    /// Number of customers.
    pub fn customers(&self) -> u64 {
        self.customers
    }

    /// Number of customers with a repeat order.
    pub fn repeat_buyers(&self) -> u64 {
        self.rows.iter().filter(|(history, _)| history.x > 0.0).map(|&(_, count)| count as u64).sum()
    }

    /// Repeat orders and customer-days observed, each summed over all customers.
    pub fn totals(&self) -> (f64, f64) {
        let total = |value: fn(&Rfm) -> f64| self.rows.iter().map(|(history, count)| count * value(history)).sum();
        (total(Rfm::x), total(Rfm::t))
    }

    /// About `n` histories that stand for all: of each run of neighbours the one in the middle of its customers, with
    /// the customers of the run. A run is an `n`th of the customers, whether they share a history or each has their
    /// own, and never joins customers of [`FEW_ORDERS`] or fewer with others: who ordered once is not who came back.
    pub(super) fn represented(&self, n: usize) -> Self {
        let share = self.customers as f64 / n.max(1) as f64;
        let mut rows = Vec::with_capacity(n + FEW_ORDERS as usize + 1);
        let mut run = 0..0;
        let mut customers = 0.0;
        for (i, (history, count)) in self.rows.iter().enumerate() {
            let next = self.rows.get(i + 1).map(|(next, _)| next);
            run.end = i + 1;
            customers += count;
            let changes = next.is_none_or(|next| next.x != history.x && history.x <= FEW_ORDERS);
            if changes || customers >= share {
                let mut passed = 0.0;
                let middle = self.rows[run.clone()].iter().find(|(_, count)| {
                    passed += count;
                    2.0 * passed >= customers
                });
                rows.extend(middle.map(|&(history, _)| (history, customers)));
                (run, customers) = (i + 1..i + 1, 0.0);
            }
        }
        Self { rows, ..*self }
    }

    /// With the sum over all customers of the logarithms of the days between two neighbouring orders, which the
    /// likelihood of the regular (CNBD-k) models contains.
    #[must_use]
    pub fn with_ln_gaps(self, ln_gaps: f64) -> Self {
        Self { ln_gaps: Some(ln_gaps), ..self }
    }

    /// What [`Self::with_ln_gaps`] was told.
    pub fn ln_gaps(&self) -> Option<f64> {
        self.ln_gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_histories_are_refused_by_rule() {
        for (x, t_x, t) in [
            (-1.0, 0.0, 1.0),
            (1.5, 1.0, 2.0),
            (f64::NAN, 1.0, 2.0),
            (1.0, f64::NAN, 2.0),
            (1.0, 1.0, f64::INFINITY),
            (1.0, 3.0, 2.0),
            (0.0, 1.0, 2.0),
            (1.0, 0.0, 2.0),
            (1e8, 1.0, 2.0),
            (0.0, 0.0, -1.0),
        ] {
            assert!(matches!(Rfm::new(x, t_x, t), Err(BtydError::BadHistory { .. })), "{x} {t_x} {t}");
        }
        assert!(Rfm::new(0.0, 0.0, 0.0).is_ok() && Rfm::new(3.0, 5.0, 5.0).is_ok());
    }

    #[test]
    fn histories_that_stand_for_all_keep_who_ordered_once_apart() {
        // 9,000 customers of one order share 9 histories; 1,000 who came back have one each.
        let once = (0..9_000).map(|i| Rfm::new(0.0, 0.0, f64::from(180 + i % 9)).unwrap());
        let again = (0..1_000).map(|i| Rfm::new(f64::from(1 + i % 3), 1.0 + f64::from(i) / 7.0, 200.0).unwrap());
        let all = Histories::new(&once.chain(again).collect::<Vec<_>>());
        let few = all.represented(50);
        assert!(few.rows().len() <= 50 + 4 && few.customers() == 10_000, "{}", few.rows().len());
        for orders in 0..4 {
            let of = |histories: &Histories| {
                let rows = histories.rows().iter().filter(|(history, _)| history.x() == f64::from(orders));
                rows.map(|(_, count)| count).sum::<f64>()
            };
            assert_eq!(of(&few), of(&all), "{orders} repeat orders");
        }
        // Every history that so many share that they are a run is there as itself.
        assert_eq!(few.rows()[..9], all.rows()[..9]);
    }

    #[test]
    fn equal_histories_are_counted_whatever_their_order() {
        let history = |x, t_x, t| Rfm::new(x, t_x, t).unwrap();
        let customers =
            [history(0.0, 0.0, 9.0), history(2.0, 4.0, 9.0), history(0.0, -0.0, 9.0), history(2.0, 4.0, 8.0)];
        let grouped = Histories::new(&customers);
        assert_eq!(grouped.rows(), [(customers[0], 2.0), (customers[3], 1.0), (customers[1], 1.0)]);
        assert_eq!((grouped.customers(), grouped.repeat_buyers(), grouped.totals()), (4, 2, (4.0, 35.0)));
        let mut turned = customers;
        turned.reverse();
        assert_eq!(Histories::new(&turned).rows(), grouped.rows());
    }
}
