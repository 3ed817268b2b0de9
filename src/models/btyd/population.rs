//! The log-likelihood of a population: written once by each model over any [`Number`], summed here with its gradient
//! and Hessian, and climbed.

use rayon::prelude::*;

use super::fitting::{ENOUGH, Fitted, Prior, Search, search};
use super::{BtydError, Histories, Rfm};
use crate::math::{Expansion, Jet, Number};

/// Histories to a chunk: chunks are summed in parallel and added in order, so that the sum has the same bits at any
/// thread count.
const CHUNK: usize = 1024;

/// More distinct histories than these are searched on so many representatives first, and climbed whole from the best
/// point.
const REPRESENTATIVES: usize = 512;

/// Times of one history in the unit of a fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub x: f64,
    pub t_x: f64,
    pub t: f64,
    pub customers: f64,
}

impl Row {
    /// One customer, in the unit of the history.
    pub(super) fn of(history: &Rfm) -> Self {
        Self { x: history.x(), t_x: history.t_x(), t: history.t(), customers: 1.0 }
    }
}

/// The log-likelihood of one history at the parameters `p`, in two parts that are added.
pub(super) trait Terms<const K: usize>: Sync {
    /// What depends on the number of orders alone: the Gamma functions.
    fn of_count<N: Number>(&self, p: [N; K], x: f64) -> N;
    /// What depends on the times.
    fn of_times<N: Number>(&self, p: [N; K], row: &Row) -> N;

    /// [`Self::of_times`] with its derivatives over the parameters. Models that many are fitted with write them out.
    fn times_expanded(&self, p: [f64; K], row: &Row) -> Jet<K> {
        self.of_times(std::array::from_fn(|i| Jet::parameter(i, p[i])), row)
    }

    /// Both.
    fn ln_likelihood(&self, p: [f64; K], history: &Rfm) -> f64 {
        self.of_count(p, history.x()) + self.of_times(p, &Row::of(history))
    }
}

/// `base + softplus(ln_odds)`, where `ln_odds` has a sparse Hessian: the log-likelihood of being alive or having left.
pub(super) fn alive_or_left<const K: usize>(mut base: Jet<K>, ln_odds: &Jet<K>) -> Jet<K> {
    // One exponential for the value and both slopes.
    let small = (-ln_odds.value.abs()).exp();
    let likelier = 1.0 / (1.0 + small);
    let left = if ln_odds.value > 0.0 { likelier } else { small * likelier };
    let both = small * likelier * likelier; // left (1 − left)
    base.value += ln_odds.value.max(0.0) + small.ln_1p();
    for i in 0..K {
        base.gradient[i] += left * ln_odds.gradient[i];
        for j in 0..K {
            base.hessian[i][j] += left * ln_odds.hessian[i][j] + both * ln_odds.gradient[i] * ln_odds.gradient[j];
        }
    }
    base
}

/// Distinct histories, scaled, with the counts at hand.
pub(super) struct Population {
    rows: Vec<Row>,
    /// Distinct x with the number of customers.
    counts: Vec<(f64, f64)>,
}

impl Population {
    /// Times are divided by `unit`.
    pub(super) fn new(histories: &Histories, unit: f64) -> Self {
        let mut counts: Vec<(f64, f64)> = Vec::new();
        let mut rows = Vec::with_capacity(histories.rows().len());
        for &(history, customers) in histories.rows() {
            let (x, t_x, t) = (history.x(), history.t_x() / unit, history.t() / unit);
            rows.push(Row { x, t_x, t, customers });
            match counts.last_mut() {
                Some((held, count)) if *held == x => *count += customers,
                _ => counts.push((x, customers)),
            }
        }
        Self { rows, counts }
    }

    /// The log-likelihood with gradient and Hessian over the logarithms of the parameters.
    pub(super) fn expand<const K: usize>(&self, terms: &impl Terms<K>, point: &[f64]) -> Expansion {
        let p: [f64; K] = std::array::from_fn(|i| point[i].exp());
        let jets = std::array::from_fn(|i| Jet::parameter(i, p[i]));
        let sum = self.sum(|row| terms.times_expanded(p, row), |x| terms.of_count(jets, x));
        let gradient: Vec<f64> = (0..K).map(|i| p[i] * sum.gradient[i]).collect();
        let of_logs = |i: usize, j: usize| p[i] * p[j] * sum.hessian[i][j] + if i == j { gradient[i] } else { 0.0 };
        let hessian = (0..K).map(|i| (0..K).map(|j| of_logs(i, j)).collect()).collect();
        Expansion { value: sum.value, gradient, hessian }
    }

    /// The log-likelihood alone.
    pub(super) fn value<const K: usize>(&self, terms: &impl Terms<K>, p: [f64; K]) -> f64 {
        self.sum(|row| terms.of_times(p, row), |x| terms.of_count(p, x))
    }

    fn sum<N: Number + Send>(&self, of_times: impl Fn(&Row) -> N + Sync, of_count: impl Fn(f64) -> N) -> N {
        let chunk = |rows: &[Row]| rows.iter().fold(N::constant(0.0), |sum, row| sum + of_times(row) * row.customers);
        let parts: Vec<N> = self.rows.par_chunks(CHUNK).map(chunk).collect();
        let times = parts.into_iter().fold(N::constant(0.0), |sum, part| sum + part);
        self.counts.iter().fold(times, |sum, &(x, customers)| sum + of_count(x) * customers)
    }
}

/// How a model of orders in continuous time is fitted.
pub(super) struct Recipe<const K: usize> {
    pub model: &'static str,
    /// Power of time in each parameter: 1 for a scale, -1 for a rate, 0 for a number.
    pub powers: [i32; K],
    /// Where climbs begin, given the repeat orders of a customer in the unit of time, in which the mean customer has
    /// been observed for 1. The first is the centre of the prior.
    pub starts: fn(orders_per_unit: f64) -> Vec<[f64; K]>,
    /// Order-like events to an order: k of the Erlang-k models.
    pub regularity: u32,
}

impl<const K: usize> Recipe<K> {
    /// The maximum-likelihood model of a population, in its unit of time.
    ///
    /// # Errors
    /// When there are no customers, all ordered first on the last day, the gaps between orders are needed and not
    /// known, or no maximum was found even with the prior.
    pub(super) fn fit<P>(
        &self,
        terms: &impl Terms<K>,
        histories: &Histories,
        make: impl FnOnce([f64; K]) -> Result<P, BtydError>,
    ) -> Result<Fitted<P>, BtydError> {
        let model = self.model;
        let customers = histories.customers();
        let (orders, days) = histories.totals();
        if customers == 0 {
            return Err(BtydError::NoCustomers { model });
        }
        if days == 0.0 {
            return Err(BtydError::NoTime { model, customers });
        }
        let ln_gaps = match (self.regularity, histories.ln_gaps()) {
            (1, _) => 0.0,
            (_, Some(sum)) => sum,
            (_, None) => return Err(BtydError::NoGaps { model }),
        };
        let unit = days / customers as f64; // so that all logarithms are of the order of 1
        let orders_per_unit = (orders + 0.5) / customers as f64; // half an order keeps it above 0
        let starts: Vec<Vec<f64>> =
            (self.starts)(orders_per_unit).iter().map(|start| start.iter().map(|p| p.ln()).collect()).collect();
        let task = Search {
            model,
            customers,
            enough: histories.repeat_buyers() >= ENOUGH,
            prior: Prior { centre: starts[0].clone(), deviation: 1.5 },
            starts,
        };
        let whole = Population::new(histories, unit);
        let few = (histories.rows().len() > REPRESENTATIVES)
            .then(|| Population::new(&histories.represented(REPRESENTATIVES), unit));
        let found = search(
            &task,
            &|point| whole.expand(terms, point),
            few.as_ref().map(|few| move |point: &[f64]| few.expand(terms, point)),
        )?;
        let scale = |i: usize| unit.powi(self.powers[i]);
        let params: [f64; K] = std::array::from_fn(|i| found.fit.params[i].exp() * scale(i));
        // A density over times measured in another unit.
        let k = f64::from(self.regularity);
        let ln_likelihood = found.fit.ln_likelihood + (k - 1.0) * ln_gaps - k * orders * unit.ln();
        Ok(found.fitted(make(params)?, &params, ln_likelihood, customers))
    }
}

/// Panics unless derivatives agree with differences, over logarithms of parameters in units of 70 days.
#[cfg(test)]
pub(super) fn assert_derivatives<const K: usize>(terms: &impl Terms<K>, histories: &Histories, points: &[[f64; K]]) {
    let population = Population::new(histories, 70.0);
    let objective = |point: &[f64]| population.expand(terms, point);
    super::fitting::assert_expansion(&objective, &points.iter().map(|point| point.to_vec()).collect::<Vec<_>>());
    for point in points {
        // The plain value takes other paths than the one that carries derivatives.
        let (plain, carried) = (population.value(terms, point.map(f64::exp)), objective(point).value);
        assert!((plain / carried - 1.0).abs() < 1e-13, "{point:?}: {plain} and {carried}");
    }
}
