//! Columns of names: as codes, or as the hashes that timelines keep. A dictionary of the file's is used
//! as it is, so that each of its texts is looked at once.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use hashbrown::HashMap;

use super::texts::{Text, integers, label, text};
use super::values::Kept;
use crate::events::batch::{Digits, Labels, NO_LABEL};
use crate::events::decode::LabelsBuilder;

/// A column of names.
pub(super) enum Names {
    Dictionary { keys: Int32Array, names: StringArray },
    Integers(Int64Array),
    Texts(Text),
}

impl Names {
    pub fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        if is_dictionary(array.data_type()) {
            let dictionary = array.as_dictionary::<Int32Type>();
            return Ok(Self::Dictionary {
                keys: dictionary.keys().clone(),
                names: dictionary.values().as_string().clone(),
            });
        }
        match integers(array)? {
            Some(integers) => Ok(Self::Integers(integers)),
            None => text(array).map(Self::Texts),
        }
    }

    /// Rows whose text is no UTF-8.
    pub fn bad(&self) -> &[usize] {
        match self {
            Self::Texts(text) => &text.bad,
            _ => &[],
        }
    }

    /// Codes of the kept rows; with `is_trimmed`, blanks around names go.
    pub fn labels(&self, kept: &Kept, is_trimmed: bool) -> Labels {
        let mut builder = LabelsBuilder::default();
        let codes = match self {
            Self::Dictionary { keys, names } => by_key(keys, names.len(), kept, NO_LABEL, |key| {
                let name = names.is_valid(key).then(|| names.value(key));
                name.and_then(|name| label(name, is_trimmed)).map_or(NO_LABEL, |name| builder.code(name))
            }),
            Self::Integers(integers) => {
                let mut known: HashMap<i64, u32> = HashMap::new();
                let mut digits = Digits::default();
                kept.map(|row| match integers.is_valid(row) {
                    true => {
                        let number = integers.value(row);
                        *known.entry(number).or_insert_with(|| builder.code(digits.of(number)))
                    }
                    false => NO_LABEL,
                })
            }
            Self::Texts(Text { array, .. }) => kept.map(|row| {
                let name = array.is_valid(row).then(|| array.value(row));
                name.and_then(|name| label(name, is_trimmed)).map_or(NO_LABEL, |name| builder.code(name))
            }),
        };
        builder.finish(codes)
    }

    /// Hashes of the kept rows' texts; `none` where there is none.
    pub fn hashes<T: Copy>(&self, kept: &Kept, is_trimmed: bool, none: T, hash: impl Fn(&str) -> T) -> Vec<T> {
        let hash_of = |cell: Option<&str>| cell.and_then(|cell| label(cell, is_trimmed)).map_or(none, &hash);
        match self {
            Self::Dictionary { keys, names } => {
                by_key(keys, names.len(), kept, none, |key| hash_of(names.is_valid(key).then(|| names.value(key))))
            }
            Self::Integers(integers) => {
                let mut digits = Digits::default();
                kept.map(|row| if integers.is_valid(row) { hash(digits.of(integers.value(row))) } else { none })
            }
            Self::Texts(Text { array, .. }) => kept.map(|row| hash_of(array.is_valid(row).then(|| array.value(row)))),
        }
    }
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(keys, values) if **keys == DataType::Int32 && **values == DataType::Utf8)
}

/// Of each kept row what `of` says of its key, asked once a key in order of appearance; `none` of null.
fn by_key<T: Copy>(keys: &Int32Array, n_keys: usize, kept: &Kept, none: T, mut of: impl FnMut(usize) -> T) -> Vec<T> {
    let mut known = vec![none; n_keys];
    let mut is_known = vec![false; n_keys];
    let mut n_unknown = n_keys;
    // Soon all keys have been met, mostly: the rows are not looked at to the end.
    for row in kept.rows().filter(|&row| keys.is_valid(row)) {
        if n_unknown == 0 {
            break;
        }
        let key = keys.value(row) as usize;
        if !is_known[key] {
            (known[key], is_known[key]) = (of(key), true);
            n_unknown -= 1;
        }
    }
    let values = keys.values();
    match keys.null_count() {
        0 => kept.map(|row| known[values[row] as usize]),
        _ => kept.map(|row| if keys.is_valid(row) { known[values[row] as usize] } else { none }),
    }
}
