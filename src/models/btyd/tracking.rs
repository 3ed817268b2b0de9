//! Tracking: repeat orders of a whole population day by day, as expected.

use std::collections::HashMap;

use super::OrdersProcess;

/// Expected repeat orders of a population up to each of the `times`, in sum: customers begin at `starts`, each with the
/// number of customers, in the same unit of time. What a tracking plot shows beside the orders that came.
pub fn expected_totals(process: &dyn OrdersProcess, starts: &[(f64, f64)], times: &[f64]) -> Vec<f64> {
    // Customers of equal age expect the same: an age is reckoned once.
    let mut of_age: HashMap<u64, f64> = HashMap::new();
    let mut expected = |age: f64| *of_age.entry(age.to_bits()).or_insert_with(|| process.expected_orders_of_new(age));
    times
        .iter()
        .map(|&time| starts.iter().filter(|start| start.0 < time).map(|&(start, n)| n * expected(time - start)).sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::BgNbd;
    use super::*;

    #[test]
    fn totals_are_sums_over_customers_who_have_begun() {
        let model = BgNbd::new([0.243, 4.414, 0.793, 2.426]).unwrap();
        let got = expected_totals(&model, &[(0.0, 10.0), (5.0, 2.0)], &[0.0, 5.0, 8.0]);
        let of = |age: f64| model.expected_orders_of_new(age);
        assert_eq!(got, [0.0, 10.0 * of(5.0), 10.0 * of(8.0) + 2.0 * of(3.0)]);
    }
}
