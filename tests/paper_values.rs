//! The models against somebody else's numbers: papers, other packages, and high-precision arithmetic.
//!
//! Values quoted in the tests stand on their own. The golden folder, `../shared/golden` beside the project, holds many
//! more; without it those tests say in one line that they skip.

#![allow(clippy::excessive_precision)] // all digits of the source

#[path = "paper_values/covariates.rs"]
mod covariates;
#[path = "paper_values/coverage.rs"]
mod coverage;
#[path = "paper_values/discrete.rs"]
mod discrete;
#[path = "paper_values/fits.rs"]
mod fits;
#[path = "paper_values/golden.rs"]
mod golden;
#[path = "paper_values/holdout.rs"]
mod holdout;
#[path = "paper_values/points.rs"]
mod points;
#[path = "paper_values/quoted.rs"]
mod quoted;
