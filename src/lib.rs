//! bellwether predicts who will leave, what each customer will spend and what they will buy next.
//!
//! ```text
//!  events ──▶ timelines ──▶ features ──▶ models ──▶ bundle            bellwether-train
//!  (files)    (per customer, (one sweep,  (fit on      (models/NAME/ID)
//!             by hash,       every        train cut-offs,                   │
//!             by time)       cut-off)     judged on the last)               ▼
//!                   │                                              bundle + events ──▶ scores ──▶ segments   bellwether-score
//!                   └── labels (what happened in the window)
//! ```
//!
//! [`pipeline`] is that picture in code: [`pipeline::fit`] and [`pipeline::run`]; [`pipeline::build`] stops at features.
//!
//! # Modules, in the order of the data
//! [`config`] and [`time`] are used everywhere. [`events`] reads files into batches; [`timeline`] codes and sorts
//! them, and keeps them on disk between runs; [`features`] sweeps over timelines; [`labels`] and [`split`] say what is learned and from when;
//! [`training`] fits [`models`] (with [`math`]) and judges them by [`metrics`] in a [`report`]; [`bundle`] stores
//! the fit; [`lists`] says who is forgotten, left alone or goes by another name; [`scores`] writes the nightly partition,
//! watches over drift and judges old partitions later; [`segments`] evaluates criteria over it. [`predicate`]
//! plans SQL conditions, of segments and of declared features. [`storage`] makes
//! files appear whole or not at all, here and in object stores, [`simulate`] makes shops with known truth, [`demo`] runs everything once, [`clv`]
//! compares the buy-till-you-die models.
//! [`error`], [`progress`] and [`cli`] are how all of it talks to people.
//!
//! # Glossary
//! - **as_of**: a day `D`. History is every event before `D` 00:00; everything else is future.
//! - **cut-off**: an `as_of` in the past, at which training pretends to stand.
//! - **horizon**, **label window**: `h` days, `[D, D + h)`, in which the outcome is observed.
//! - **timeline**: one customer's coded events in time order.
//! - **sweep**: one walk over a timeline that emits the features of every cut-off.
//! - **order**: lines of the order event of one day that share an order id, or have none; refunds are no orders.
//! - **role**: what an event means, whatever it is called: a cart, a message, an open, a click, a failure.
//! - **attribute**: what is known of a customer beside the events, from a time on; of a cut-off, the row in force.
//! - **contact point**: an event by a channel; customers step from one to the next.
//! - **recency** of the buy-till-you-die models is `t_x`, first to last order; of RFM it is `days_since_last_order`.
//! - **churn**: no order in the label window.
//! - **holdout**: customers whom nobody should contact; not the test rows of a fit.

pub mod bundle;
pub mod cli;
pub mod clv;
pub mod config;
pub mod demo;
pub mod error;
pub mod events;
pub mod features;
mod guard;
pub mod labels;
pub mod lists;
pub mod math;
pub mod metrics;
pub mod models;
pub mod pipeline;
pub mod predicate;
pub mod progress;
pub mod report;
pub mod scores;
pub mod segments;
pub mod simulate;
mod sink;
pub mod split;
pub mod storage;
pub mod time;
pub mod timeline;
pub mod training;
