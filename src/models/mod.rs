//! Models.

pub mod btyd;
