pub mod batch;
pub use batch::{EventBatch, Labels, NO_LABEL};
