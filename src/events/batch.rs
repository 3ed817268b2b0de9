//! Decoded rows: what every file format becomes before it is coded into timelines.

use std::sync::Arc;

use arrow::array::{Array, StringViewArray};

/// Code of a missing label.
pub const NO_LABEL: u32 = u32::MAX;

/// One string column of a batch, coded through the batch's own dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// One code a row, an index into `names`, or [`NO_LABEL`].
    pub codes: Vec<u32>,
    /// Each distinct string once, in order of appearance; no empty strings.
    pub names: Vec<String>,
}

/// The customer of each row. An integer is the customer whose text is its decimal digits: `123` in one
/// file and `"123"` in another are the same.
#[derive(Debug, Clone)]
pub enum Ids {
    /// Of files that keep them as integers of at most 64 bits with a sign.
    Integers(Vec<i64>),
    /// Of all others; never null, never empty.
    Texts(StringViewArray),
}

impl Ids {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(ids) => ids.len(),
            Self::Texts(ids) => ids.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of a row's id; `digits` is where that of an integer is written.
    pub fn text<'a>(&'a self, row: usize, digits: &'a mut Digits) -> &'a str {
        match self {
            Self::Integers(ids) => digits.of(ids[row]),
            Self::Texts(ids) => ids.value(row),
        }
    }
}

/// Characters of the longest 64-bit integer, which is the lowest.
const MOST_DIGITS: usize = 20;

/// Room for the decimal text of an integer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digits([u8; MOST_DIGITS]);

impl Digits {
    /// The decimal text of a number.
    pub fn of(&mut self, number: i64) -> &str {
        let mut start = MOST_DIGITS;
        let mut rest = number.unsigned_abs();
        loop {
            start -= 1;
            self.0[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            start -= 1;
            self.0[start] = b'-';
        }
        std::str::from_utf8(&self.0[start..]).expect("digits are ASCII")
    }
}

/// A column that is none of ours, asked for by name.
#[derive(Debug, Clone)]
pub struct Extra {
    /// As the files call it.
    pub name: Arc<str>,
    /// One value a row.
    pub values: ExtraValues,
}

/// The values of an [`Extra`].
#[derive(Debug, Clone)]
pub enum ExtraValues {
    /// Finite numbers, NaN where there is none; 1 and 0 for true and false.
    Numbers(Vec<f64>),
    /// Text.
    Labels(Labels),
}

/// Usable events of one stretch of one file, in file order. Columns that the data lack are `None`.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// Customer of each row (anonymous rows are counted and left out).
    pub customer: Ids,
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
    /// [`product_hash`] of the product; 0 where there is none.
    pub product: Option<Vec<u32>>,
    /// [`order_hash`] of what groups the lines of one order; 0 where there is none.
    pub order: Option<Vec<u64>>,
    /// The other columns that the reading asked for, in that order.
    pub extras: Vec<Extra>,
    /// Of each declared condition, whether it holds of each row; at most 64.
    pub conditions: Vec<Vec<bool>>,
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

    /// Bytes that the rows take; names count for nothing.
    pub fn bytes(&self) -> usize {
        let columns = |wide: usize, narrow: usize| (8 * wide + 4 * narrow) * self.len();
        let labels = [&self.category, &self.channel, &self.device, &self.campaign];
        let wide = 1 + usize::from(self.value.is_some()) + usize::from(self.order.is_some());
        let narrow = 1
            + labels.into_iter().filter(|labels| labels.is_some()).count()
            + usize::from(self.received.is_some())
            + usize::from(self.quantity.is_some())
            + usize::from(self.product.is_some());
        let extra = |extra: &Extra| match &extra.values {
            ExtraValues::Numbers(_) => columns(1, 0),
            ExtraValues::Labels(_) => columns(0, 1),
        };
        let ids = match &self.customer {
            Ids::Integers(_) => columns(1, 0),
            Ids::Texts(ids) => ids.get_array_memory_size(),
        };
        columns(wide, narrow) + ids + self.extras.iter().map(extra).sum::<usize>() + self.conditions.len() * self.len()
    }
}

/// Stable hash (XXH3, 64 bits) of an order's text, never 0; integers are hashed as their decimal text.
pub fn order_hash(order: &str) -> u64 {
    twox_hash::XxHash3_64::oneshot(order.as_bytes()).max(1)
}

/// The low half of the same hash of a product's text, never 0.
pub fn product_hash(product: &str) -> u32 {
    (order_hash(product) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        let mut digits = Digits::default();
        for number in [0, 1, -1, 9, 10, 99, 100, -100, i64::from(u32::MAX), i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(digits.of(number), number.to_string());
        }
    }
}
