//! The nightly run as an operator meets it: kills, full disks, gates, later proof, lists of customers, logs.
//!
//! The real programs run over a simulated shop. Figures are computed a second time from the events.

#[path = "common/files.rs"]
mod files;
#[path = "common/kills.rs"]
mod kills;
#[path = "common/tables.rs"]
mod tables;

#[path = "nightly/backfill.rs"]
mod backfill;
#[path = "nightly/categories.rs"]
mod categories;
#[path = "nightly/diff.rs"]
mod diff;
#[path = "nightly/explain.rs"]
mod explain;
#[path = "nightly/faults.rs"]
mod faults;
#[path = "nightly/gates.rs"]
mod gates;
#[path = "nightly/lists.rs"]
mod lists;
#[path = "nightly/operators.rs"]
mod operators;
#[path = "nightly/proof.rs"]
mod proof;
#[path = "nightly/shop.rs"]
mod shop;
#[path = "nightly/store.rs"]
mod store;
