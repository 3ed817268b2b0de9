//! Decoded rows: what every file format becomes before it is coded into timelines.

use arrow::array::StringArray;

/// Code of a missing label.
pub const NO_LABEL: u32 = u32::MAX;

/// One string column of a batch, coded through the batch's own dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// One code a row, an index into `names`, or [`NO_LABEL`].
    pub codes: Vec<u32>,
    /// Each distinct string once; no empty strings.
    pub names: Vec<String>,
}

/// Usable events of one stretch of one file, in file order. Columns that the data lack are `None`.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// Customer of each row; never null, never empty (anonymous rows are counted and left out).
    pub customer: StringArray,
    /// Wall time in microseconds (see [`crate::time`]).
    pub time: Vec<i64>,
    /// Day on which each row was received; the day of `time` where the row does not say.
    pub received: Option<Vec<i32>>,
    /// What happened.
    pub event: Labels,
    /// Product group.
    pub category: Option<Labels>,
    /// Where it happened.
    pub channel: Option<Labels>,
    /// On what device.
    pub device: Option<Labels>,
    /// Which campaign it belongs to.
    pub campaign: Option<Labels>,
    /// Money, signed; NaN where there is none. Always finite otherwise.
    pub value: Option<Vec<f64>>,
    /// Units; NaN where there is none. Always finite otherwise.
    pub quantity: Option<Vec<f32>>,
    /// Product; may be null.
    pub product: Option<StringArray>,
    /// Groups the lines of one order; may be null.
    pub order: Option<StringArray>,
}

impl EventBatch {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }
}
