//! Features: what a timeline tells at `as_of`, one file for each question asked of it.
//!
//! A feature is declared once in the [catalogue](Plan::features); a [`Sweep`] emits the values in the same
//! order. Training and scoring run the same code, and a row depends on nothing but the events that are
//! known at its `as_of`.

mod activity;
mod affinity;
mod attributes;
mod boundaries;
mod cadence;
mod catalogue;
mod clock;
mod codes;
mod contact;
mod decay;
mod declared;
mod export;
mod first_order;
mod inputs;
mod interest;
pub mod manual;
mod moments;
mod numbers;
mod pace;
mod plans;
mod purchases;
mod recency;
mod response;
mod roles;
mod selection;
mod sequence;
mod sessions;
mod sweep;
mod table;
mod tables;
mod tally;
mod unfinished;
mod windows;
mod words;

pub use attributes::{Attribute, AttributeKind};
pub use catalogue::{Feature, Group, Kind, Plan, Unit, slug, slugs};
pub use contact::{ContactPoint, Contacts};
pub(crate) use declared::unheard_events;
pub(crate) use export::{ExportOptions, export, export_bytes, feature_field};
pub use inputs::{DeclaredError, ExtraUse};
pub(crate) use inputs::{Inputs, uses_of_extras};
pub use plans::Plans;
pub use roles::{Begin, Roles};
pub(crate) use selection::is_pattern;
pub use selection::{Selection, SelectionError};
pub(crate) use sweep::is_order_line;
pub use sweep::{Sweep, Walker};
pub use table::{FeatureTable, RowKey, RowRequest};
pub use words::{Lexicon, Silence, Words};
