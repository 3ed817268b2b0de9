//! bellwether predicts who will leave, what each customer will spend and what they will buy next.

pub mod config;
pub mod error;
pub mod events;
pub mod features;
pub mod labels;
pub mod split;
pub mod math;
pub mod models;
pub mod metrics;
pub mod report;
pub mod simulate;
pub mod segments;
pub mod storage;
pub mod models;
pub mod time;
pub mod timeline;
