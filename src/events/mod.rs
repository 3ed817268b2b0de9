//! Events in: files of any of the known formats → batches of usable events, and an account of the rest.
//!
//! ```text
//!  source ──▶ formats ──▶ open (schema, mapping) ──▶ reader ──▶ decode / columns ──▶ EventBatch
//!  (specs)    (bytes)     (columns, once)            (rounds)   (rows, in parallel)  rejects
//! ```
//! No row is dropped in silence: each becomes an event, or is counted as anonymous, as future, as
//! settling, or as a reject with its reason.

pub mod batch;
pub mod check;
mod columns;
mod conditions;
pub(crate) mod decode;
mod detect;
pub mod error;
mod exact;
pub mod extras;
mod fingerprints;
pub mod formats;
mod input;
pub(crate) mod ledger;
pub mod mapping;
mod numbers;
mod open;
pub mod reader;
pub mod rejects;
mod rows;
pub mod schema;
mod skips;
pub mod source;
mod stretches;
mod summary;
pub mod times;

pub use batch::{Digits, EventBatch, Extra, ExtraValues, Ids, Labels, NO_LABEL};
pub use check::{CheckReport, check};
pub use conditions::{ColumnKind, ConditionError, Conditions, MAX_CONDITIONS};
pub use error::EventsError;
pub use extras::{ExtraColumn, ExtraKind};
pub use fingerprints::FileFingerprint;
pub use formats::{Compression, Format};
pub use mapping::{Mapped, Mapping};
pub use open::Events;
pub use reader::{EventReader, ReadLimit};
pub use rejects::{Reject, RejectCount, RejectReason};
pub use schema::Role;
pub use source::EventFile;
pub use summary::ReadSummary;
