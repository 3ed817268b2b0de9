//! A simulated shop is what its truth file says: counts, laws, and the same bytes wherever it is made.
//!
//! Statistics of seeded data are compared with closed forms. Each tolerance is a number of Monte-Carlo
//! standard errors, computed from the very sample.

#[path = "common/files.rs"]
mod files;
#[path = "common/tables.rs"]
mod tables;

#[path = "simulate/contents.rs"]
mod contents;
#[path = "simulate/laws.rs"]
mod laws;
#[path = "simulate/shop.rs"]
mod shop;
#[path = "simulate/writing.rs"]
mod writing;
