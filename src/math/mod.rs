//! Fronts over the numerical libraries: special functions, quadrature and the optimiser.
//!
//! What a library gives to full precision is passed through. What is written here is what the models
//! need and no library in the tree has: differences of `ln Γ` that do not cancel, Gauss rules for a Beta
//! weight, Chebyshev series, numbers that carry their derivatives, and optimisers that always end and always say how.

pub mod chebyshev;
pub mod jet;
pub mod newton;
pub mod optimise;
pub mod quadrature;
pub mod special;

pub use jet::{Jet, Number};
pub use newton::Expansion;
pub use optimise::{Fit, Stop, maximise};
pub use special::{digamma, ln_add_exp, ln_beta, ln_beta_ratio, ln_gamma, ln_gamma_ratio, softplus, trigamma};
