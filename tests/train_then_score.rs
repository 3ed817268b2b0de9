//! Fit, then score: what the two jobs promise together, on simulated shops with known truth and on real data.
//!
//! Every figure is computed a second time in the test, from the events themselves or from the score file.

#[path = "common/files.rs"]
mod files;
#[path = "common/tables.rs"]
mod tables;

#[path = "train_then_score/backtest.rs"]
mod backtest;
#[path = "train_then_score/bundles.rs"]
mod bundles;
#[path = "train_then_score/criteria.rs"]
mod criteria;
#[path = "train_then_score/export.rs"]
mod export;
#[path = "train_then_score/leakage.rs"]
mod leakage;
#[path = "train_then_score/reasons.rs"]
mod reasons;
#[path = "train_then_score/recovery.rs"]
mod recovery;
#[path = "train_then_score/rows.rs"]
mod rows;
#[path = "train_then_score/same_bytes.rs"]
mod same_bytes;
#[path = "train_then_score/selection.rs"]
mod selection;
#[path = "train_then_score/shop.rs"]
mod shop;
#[path = "train_then_score/tiny.rs"]
mod tiny;
