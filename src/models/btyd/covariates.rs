//! Static covariates: what is known of a customer from the start (channel, age group) shifts how often they order and how
//! soon they leave.
//!
//! Fader & Hardie (2007), "Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models", note 019:
//! with covariates z of ordering and w of leaving, customer i has alpha_i = alpha e^(−γ z); in Pareto/NBD
//! beta_i = beta e^(−δ w), in BG/NBD a_i = a e^(δ w) and b_i = b e^(δ w), as in CLVTools. A positive γ is more orders; a
//! positive δ leaves sooner in Pareto/NBD, and in BG/NBD differs less from others.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::beta_geometric::BetaGeometricTerms;
use super::fitting::{ENOUGH, Fitted, Prior, Search, search};
use super::nbd::NbdTerms;
use super::pareto_nbd::Pareto;
use super::population::{Row, Terms};
use super::{BgNbd, BtydError, MbgNbd, OrdersProcess, ParetoNbd, Rfm};
use crate::math::{Expansion, Jet};

/// Customers to a chunk; chunks are added in order.
const CHUNK: usize = 256;

/// A customer with what shifts their orders and their leaving.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Orders so far.
    pub history: Rfm,
    /// Covariates of ordering.
    pub orders: Vec<f64>,
    /// Covariates of leaving.
    pub leaving: Vec<f64>,
}

/// How a parameter of a customer depends on covariates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    Common,
    /// Falls by e for each unit of γ z.
    FallsWithOrders,
    /// Falls by e for each unit of δ w.
    FallsWithLeaving,
    /// Rises by e for each unit of δ w.
    RisesWithLeaving,
}

/// A model of four parameters that covariates can shift.
pub trait Linked: OrdersProcess + Copy + std::fmt::Debug + Sized {
    /// Name of the model.
    const NAME: &'static str;
    /// What shifts each parameter.
    const LINKS: [Link; 4];

    /// The model at its parameters.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12.
    fn at(parameters: [f64; 4]) -> Result<Self, BtydError>;

    /// Log-likelihood of one history over the logarithms of the parameters, with derivatives.
    #[doc(hidden)]
    fn expand(point: [f64; 4], history: &Rfm, unit: f64) -> Jet<4>;

    /// Where a fit begins, given the orders of a customer in the unit of time, and the power of time in each parameter.
    #[doc(hidden)]
    fn starts(orders_per_unit: f64) -> (Vec<[f64; 4]>, [i32; 4]);
}

fn expand_terms(terms: &impl Terms<4>, point: [f64; 4], history: &Rfm, unit: f64) -> Jet<4> {
    let p = std::array::from_fn(|i| Jet::exp_of_parameter(i, point[i]));
    let row = Row { x: history.x(), t_x: history.t_x() / unit, t: history.t() / unit, customers: 1.0 };
    terms.of_count(p, row.x) + terms.of_times(p, &row)
}

impl Linked for ParetoNbd {
    const NAME: &'static str = "Pareto/NBD with covariates";
    const LINKS: [Link; 4] = [Link::Common, Link::FallsWithOrders, Link::Common, Link::FallsWithLeaving];

    fn at(parameters: [f64; 4]) -> Result<Self, BtydError> {
        Self::new(parameters)
    }

    fn expand(point: [f64; 4], history: &Rfm, unit: f64) -> Jet<4> {
        expand_terms(&NbdTerms::<Pareto>::default(), point, history, unit)
    }

    fn starts(orders_per_unit: f64) -> (Vec<[f64; 4]>, [i32; 4]) {
        use super::nbd::Lifetime;
        (<Pareto as Lifetime<4>>::starts(orders_per_unit), <Pareto as Lifetime<4>>::POWERS)
    }
}

macro_rules! linked_beta_geometric {
    ($model:ty, $at_zero:literal, $name:literal) => {
        impl Linked for $model {
            const NAME: &'static str = $name;
            const LINKS: [Link; 4] =
                [Link::Common, Link::FallsWithOrders, Link::RisesWithLeaving, Link::RisesWithLeaving];

            fn at(parameters: [f64; 4]) -> Result<Self, BtydError> {
                Self::new(parameters)
            }

            fn expand(point: [f64; 4], history: &Rfm, unit: f64) -> Jet<4> {
                expand_terms(&BetaGeometricTerms::<$at_zero> { k: 1 }, point, history, unit)
            }

            fn starts(orders_per_unit: f64) -> (Vec<[f64; 4]>, [i32; 4]) {
                let recipe = Self::recipe(1);
                ((recipe.starts)(orders_per_unit), recipe.powers)
            }
        }
    };
}
linked_beta_geometric!(BgNbd, false, "BG/NBD with covariates");
linked_beta_geometric!(MbgNbd, true, "MBG/NBD with covariates");

/// A model whose customers differ by covariates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithCovariates<M> {
    base: M,
    parameters: [f64; 4],
    orders: Vec<f64>,
    leaving: Vec<f64>,
}

impl<M: Linked> WithCovariates<M> {
    /// The model of a customer whose covariates are 0, and the coefficients γ of ordering and δ of leaving.
    ///
    /// # Errors
    /// Names the first parameter outside 1e-12 to 1e12, or a coefficient that is not finite.
    pub fn new(parameters: [f64; 4], orders: Vec<f64>, leaving: Vec<f64>) -> Result<Self, BtydError> {
        for &found in orders.iter().chain(&leaving) {
            if !found.is_finite() {
                return Err(BtydError::BadParameter { model: M::NAME, name: "coefficient", rule: "finite", found });
            }
        }
        Ok(Self { base: M::at(parameters)?, parameters, orders, leaving })
    }

    /// The model of a customer whose covariates are 0.
    pub fn base(&self) -> M {
        self.base
    }

    /// Parameters of the base, coefficients of ordering, coefficients of leaving: the order of the standard errors.
    pub fn coefficients(&self) -> ([f64; 4], &[f64], &[f64]) {
        (self.parameters, &self.orders, &self.leaving)
    }

    /// The model of a customer with these covariates: all that is foreseen of them is its.
    ///
    /// # Errors
    /// When there are not as many covariates as coefficients, or they put a parameter outside 1e-12 to 1e12.
    pub fn of(&self, orders: &[f64], leaving: &[f64]) -> Result<M, BtydError> {
        check_width(M::NAME, self.orders.len(), orders.len())?;
        check_width(M::NAME, self.leaving.len(), leaving.len())?;
        let score =
            |coefficients: &[f64], values: &[f64]| coefficients.iter().zip(values).map(|(c, z)| c * z).sum::<f64>();
        let (by_orders, by_leaving) = (score(&self.orders, orders), score(&self.leaving, leaving));
        let mut parameters = self.parameters;
        for (parameter, link) in parameters.iter_mut().zip(M::LINKS) {
            *parameter *= match link {
                Link::Common => 1.0,
                Link::FallsWithOrders => (-by_orders).exp(),
                Link::FallsWithLeaving => (-by_leaving).exp(),
                Link::RisesWithLeaving => by_leaving.exp(),
            };
        }
        M::at(parameters)
    }

    /// Log-likelihood of a population in nats.
    ///
    /// # Errors
    /// As [`Self::of`], for the first customer that it holds for.
    pub fn total_ln_likelihood(&self, customers: &[Described]) -> Result<f64, BtydError> {
        let one = |c: &Described| Ok(self.of(&c.orders, &c.leaving)?.ln_likelihood(&c.history));
        customers.iter().map(one).sum()
    }

    /// The maximum-likelihood model of a population, in its unit of time. The standard errors are those of the four
    /// parameters, then of the coefficients of ordering, then of those of leaving.
    ///
    /// # Errors
    /// When there are no customers, all ordered first on the last day, customers have different numbers of covariates or
    /// one that is not finite, or no maximum was found even with the prior.
    pub fn fit(customers: &[Described]) -> Result<Fitted<Self>, BtydError> {
        let model = M::NAME;
        let Some(first) = customers.first() else { return Err(BtydError::NoCustomers { model }) };
        let (of_orders, of_leaving) = (first.orders.len(), first.leaving.len());
        let dimensions = 4 + of_orders + of_leaving;
        // Covariates are divided by their largest size, so that every coordinate of the search is of the order of 1.
        let mut sizes = vec![0.0_f64; of_orders + of_leaving];
        for customer in customers {
            check_width(model, of_orders, customer.orders.len())?;
            check_width(model, of_leaving, customer.leaving.len())?;
            for (size, &found) in sizes.iter_mut().zip(customer.orders.iter().chain(&customer.leaving)) {
                if !found.is_finite() {
                    return Err(BtydError::BadParameter { model, name: "covariate", rule: "finite", found });
                }
                *size = size.max(found.abs());
            }
        }
        let sizes: Vec<f64> = sizes.into_iter().map(|size| if size > 0.0 { size } else { 1.0 }).collect();
        let n = customers.len() as f64;
        let days: f64 = customers.iter().map(|customer| customer.history.t()).sum();
        let orders: f64 = customers.iter().map(|customer| customer.history.x()).sum();
        let repeat_buyers = customers.iter().filter(|customer| customer.history.x() > 0.0).count() as u64;
        if days == 0.0 {
            return Err(BtydError::NoTime { model, customers: customers.len() as u64 });
        }
        let unit = days / n;
        let (starts, powers) = M::starts((orders + 0.5) / n);
        let whole = |start: &[f64; 4]| -> Vec<f64> {
            start.iter().map(|p| p.ln()).chain(std::iter::repeat_n(0.0, dimensions - 4)).collect()
        };
        let starts: Vec<Vec<f64>> = starts.iter().map(whole).collect();
        let task = Search {
            model,
            customers: customers.len() as u64,
            enough: repeat_buyers >= ENOUGH,
            prior: Prior { centre: starts[0].clone(), deviation: 1.5 },
            starts,
        };
        // How the logarithm of each parameter of a customer moves with each coordinate.
        let slopes = |customer: &Described| -> [Vec<f64>; 4] {
            std::array::from_fn(|k| {
                let (sign, from, values) = match M::LINKS[k] {
                    Link::Common => (0.0, 4, &[][..]),
                    Link::FallsWithOrders => (-1.0, 4, &customer.orders[..]),
                    Link::FallsWithLeaving => (-1.0, 4 + of_orders, &customer.leaving[..]),
                    Link::RisesWithLeaving => (1.0, 4 + of_orders, &customer.leaving[..]),
                };
                let mut slopes = vec![0.0; dimensions];
                slopes[k] = 1.0;
                for (i, value) in values.iter().enumerate() {
                    slopes[from + i] = sign * value / sizes[from + i - 4];
                }
                slopes
            })
        };
        let add = |mut sum: Expansion, more: &Expansion| {
            sum.value += more.value;
            for i in 0..dimensions {
                sum.gradient[i] += more.gradient[i];
                for j in 0..dimensions {
                    sum.hessian[i][j] += more.hessian[i][j];
                }
            }
            sum
        };
        let of_one = |point: &[f64], customer: &Described| {
            let slopes = slopes(customer);
            let own: [f64; 4] = std::array::from_fn(|k| point.iter().zip(&slopes[k]).map(|(x, s)| x * s).sum());
            let jet = M::expand(own, &customer.history, unit);
            let mut expansion = Expansion::zero(dimensions);
            expansion.value = jet.value;
            for i in 0..dimensions {
                expansion.gradient[i] = (0..4).map(|k| jet.gradient[k] * slopes[k][i]).sum();
                let bent: [f64; 4] = std::array::from_fn(|l| (0..4).map(|k| jet.hessian[k][l] * slopes[k][i]).sum());
                for j in 0..dimensions {
                    expansion.hessian[i][j] = (0..4).map(|l| bent[l] * slopes[l][j]).sum();
                }
            }
            expansion
        };
        let objective = |point: &[f64]| {
            let chunk = |customers: &[Described]| {
                customers.iter().fold(Expansion::zero(dimensions), |sum, customer| add(sum, &of_one(point, customer)))
            };
            let parts: Vec<Expansion> = customers.par_chunks(CHUNK).map(chunk).collect();
            parts.iter().fold(Expansion::zero(dimensions), add)
        };
        let found = search(&task, &objective, None::<fn(&[f64]) -> Expansion>)?;
        let point = &found.fit.params;
        let parameters: [f64; 4] = std::array::from_fn(|i| point[i].exp() * unit.powi(powers[i]));
        let coefficients: Vec<f64> = point[4..].iter().zip(&sizes).map(|(x, size)| x / size).collect();
        let fitted = Self::new(parameters, coefficients[..of_orders].to_vec(), coefficients[of_orders..].to_vec())?;
        // Deviations of logarithms times these are those of what is reported.
        let scales: Vec<f64> = parameters.into_iter().chain(sizes.iter().map(|size| 1.0 / size)).collect();
        let ln_likelihood = found.fit.ln_likelihood - orders * unit.ln();
        Ok(found.fitted(fitted, &scales, ln_likelihood, customers.len() as u64))
    }
}

fn check_width(model: &'static str, expected: usize, found: usize) -> Result<(), BtydError> {
    if expected == found { Ok(()) } else { Err(BtydError::BadCovariates { model, expected, found }) }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_coefficients_that_made_the_data_come_back() {
        let truth = WithCovariates::<ParetoNbd>::new([1.0, 20.0, 0.8, 60.0], vec![0.5], vec![-0.4, 0.01]).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(19);
        let customers: Vec<Described> = (0..8000)
            .map(|i| {
                let (orders, leaving) =
                    (vec![f64::from(i % 2)], vec![f64::from(i % 3 % 2), random.random::<f64>() * 90.0]);
                let history = truth.of(&orders, &leaving).unwrap().simulate(365.0, &mut random);
                Described { history, orders, leaving }
            })
            .collect();
        let fitted = WithCovariates::<ParetoNbd>::fit(&customers).unwrap();
        assert!(fitted.stop.is_maximum() && !fitted.shrunk, "{fitted:?}");
        let errors = fitted.standard_errors.clone().unwrap();
        let (base, orders, leaving) = fitted.params.coefficients();
        let found = base.iter().chain(orders).chain(leaving);
        for ((got, want), error) in found.zip([1.0, 20.0, 0.8, 60.0, 0.5, -0.4, 0.01]).zip(errors) {
            assert!((got - want).abs() < 4.0 * error && error > 0.0, "{got}, {want}, {error}");
        }
        let total = fitted.params.total_ln_likelihood(&customers).unwrap();
        assert!((total / fitted.ln_likelihood - 1.0).abs() < 1e-12, "{total} {fitted:?}");
        assert!(total > truth.total_ln_likelihood(&customers).unwrap());
    }

    #[test]
    fn covariates_that_do_not_fit_together_are_refused() {
        let one = |orders: Vec<f64>| Described { history: Rfm::new(1.0, 2.0, 9.0).unwrap(), orders, leaving: vec![] };
        let fit = |customers: &[Described]| WithCovariates::<BgNbd>::fit(customers);
        assert!(matches!(fit(&[]), Err(BtydError::NoCustomers { .. })));
        let uneven = fit(&[one(vec![1.0]), one(vec![1.0, 2.0])]);
        assert!(matches!(uneven, Err(BtydError::BadCovariates { expected: 1, found: 2, .. })));
        assert!(matches!(fit(&[one(vec![f64::NAN])]), Err(BtydError::BadParameter { name: "covariate", .. })));
        assert!(fit(&[one(vec![0.0]), one(vec![1.0])]).unwrap().shrunk); // too few to know
    }
}
