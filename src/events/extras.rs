//! Columns that are none of ours: which there are, and what they hold over all files.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::decode::{FileLayout, Source};
use super::mapping::Mapping;
use super::numbers;
use super::schema::{CellType, Column};
use super::source::EventFile;

/// What a column that is none of ours holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraKind {
    /// Numbers.
    Number,
    /// True and false, kept as the numbers 1 and 0.
    Bool,
    /// Text; times and dates, too, as text.
    Text,
}

impl ExtraKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Bool => "true and false",
            Self::Text => "text",
        }
    }
}

/// A column that is none of ours, and can be asked for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraColumn {
    /// As the files call it.
    pub name: Arc<str>,
    /// What it holds over all files: the first cells of text files tell, the type does elsewhere.
    pub kind: ExtraKind,
    /// Told where files do not agree on what it holds.
    pub note: Option<String>,
    #[serde(skip)]
    pub(crate) decimal_comma: bool,
}

/// A file and its columns, as far as they have been looked at.
pub(crate) struct Seen<'a> {
    pub file: &'a EventFile,
    pub columns: &'a [Column],
    /// Whether the format tells the types.
    pub is_typed: bool,
    /// Whether rows leave out columns that they do not fill.
    pub is_sparse: bool,
}

/// A column is taken to hold numbers when so many tenths of its first cells do.
const NUMBER_TENTHS: usize = 9;

/// The number of a cell, NaN where it is missing; `None` when it is neither missing nor a finite number.
pub(crate) fn number(cell: &[u8], decimal_comma: bool) -> Option<f64> {
    let cell = cell.trim_ascii();
    match cell {
        _ if cell.eq_ignore_ascii_case(b"true") => Some(1.0),
        _ if cell.eq_ignore_ascii_case(b"false") => Some(0.0),
        _ if cell.eq_ignore_ascii_case(b"nan") => Some(f64::NAN),
        _ => numbers::number(cell, decimal_comma).ok(),
    }
}

/// What the cells of an untyped column are; `None` without any.
fn guessed(cells: &[String]) -> Option<ExtraKind> {
    if cells.is_empty() {
        return None;
    }
    let is_truth = |cell: &String| cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false");
    if cells.iter().all(is_truth) {
        return Some(ExtraKind::Bool);
    }
    let comma = numbers::has_decimal_comma(cells);
    let n_numbers = cells.iter().filter(|cell| number(cell.as_bytes(), comma).is_some()).count();
    Some(if n_numbers * 10 >= cells.len() * NUMBER_TENTHS { ExtraKind::Number } else { ExtraKind::Text })
}

/// What a column holds that is found under one name in several files.
#[derive(Default)]
struct Joined {
    kind: Option<ExtraKind>,
    /// The file that told.
    told_by: String,
    is_guessed: bool,
    decimal_comma: bool,
    note: Option<String>,
}

impl Joined {
    fn add(&mut self, name: &str, file: &EventFile, column: &Column, is_typed: bool) {
        let told = match column.cell_type {
            CellType::Integer | CellType::Decimal => Some(ExtraKind::Number),
            CellType::Bool => Some(ExtraKind::Bool),
            CellType::Text if is_typed => Some(ExtraKind::Text),
            // Of files that do not tell, the first with cells decides for all.
            CellType::Text if self.is_guessed => None,
            CellType::Text => {
                let guess = guessed(&column.cells);
                self.is_guessed = guess.is_some();
                self.decimal_comma = numbers::has_decimal_comma(&column.cells);
                guess
            }
            CellType::Time => Some(ExtraKind::Text),
            CellType::Null | CellType::Other => None,
        };
        let Some(told) = told else { return };
        self.kind = Some(match self.kind {
            None => {
                self.told_by = file.name.clone();
                told
            }
            Some(known) if known == told => known,
            Some(ExtraKind::Number | ExtraKind::Bool) if told != ExtraKind::Text => ExtraKind::Number,
            Some(known) => {
                self.note.get_or_insert_with(|| {
                    format!(
                        "`{name}` holds {} in {} and {} in {}: it is read as text",
                        known.name(),
                        self.told_by,
                        told.name(),
                        file.name
                    )
                });
                ExtraKind::Text
            }
        });
    }
}

/// The columns of all files that are mapped to none of ours, in the order of the files; each file's layout
/// learns where it has them. Not among them: columns of lists and structures, without a name, or of a name
/// that a file has twice.
pub(crate) fn find(seen: &[Seen], layouts: &mut [FileLayout], mapping: &Mapping) -> Vec<ExtraColumn> {
    let mapped: BTreeSet<&str> = mapping.columns.values().map(|mapped| mapped.column.as_str()).collect();
    let mut names: Vec<&str> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut unusable: BTreeSet<&str> = BTreeSet::new();
    for file in seen {
        let mut here = BTreeSet::new();
        let keys = file.file.partition.iter().map(|(key, _)| key.as_str());
        for name in file.columns.iter().map(|column| column.name.as_str()) {
            if !here.insert(name) || name.trim().is_empty() {
                unusable.insert(name);
            }
        }
        unusable.extend(
            file.columns.iter().filter(|column| column.cell_type == CellType::Other).map(|column| column.name.as_str()),
        );
        for name in file.columns.iter().map(|column| column.name.as_str()).chain(keys) {
            if !mapped.contains(name) && known.insert(name) {
                names.push(name);
            }
        }
    }
    names.retain(|name| !unusable.contains(name));
    names.into_iter().map(|name| joined(name, seen, layouts)).collect()
}

fn joined(name: &str, seen: &[Seen], layouts: &mut [FileLayout]) -> ExtraColumn {
    let mut joined = Joined::default();
    for (Seen { file, columns, is_typed, is_sparse }, layout) in seen.iter().zip(layouts) {
        let partition = file.partition.iter().find(|(key, _)| key == name);
        let source = match (columns.iter().position(|column| column.name == name), partition) {
            (Some(at), _) => {
                joined.add(name, file, &columns[at], *is_typed);
                Source::Column(at)
            }
            (None, Some((_, value))) => {
                let column = Column {
                    name: name.into(),
                    cell_type: CellType::Text,
                    type_name: "told by the folder".into(),
                    cells: value.iter().cloned().collect(),
                };
                joined.add(name, file, &column, false);
                Source::Constant(value.clone())
            }
            // Later objects may have what the first leave out.
            (None, None) if *is_sparse => {
                layout.columns.push(name.into());
                Source::Column(layout.columns.len() - 1)
            }
            (None, None) => Source::Absent,
        };
        layout.extras.push(source);
    }
    ExtraColumn {
        name: name.into(),
        kind: joined.kind.unwrap_or(ExtraKind::Number), // no file has a value: all are missing either way
        note: joined.note,
        decimal_comma: joined.decimal_comma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cells: &[&str]) -> Option<ExtraKind> {
        guessed(&cells.iter().map(|cell| (*cell).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn cells_tell_what_a_column_holds() {
        assert_eq!(kind(&[]), None);
        assert_eq!(kind(&["true", "False"]), Some(ExtraKind::Bool));
        assert_eq!(kind(&["true", "2"]), Some(ExtraKind::Number));
        assert_eq!(kind(&["1", "2,50", "3"]), Some(ExtraKind::Number), "a decimal comma");
        assert_eq!(kind(&["38", "39", "40", "M"]), Some(ExtraKind::Text));
        assert_eq!(kind(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "?"]), Some(ExtraKind::Number));
    }

    #[test]
    fn a_number_is_finite_or_missing() {
        for (cell, wanted) in [("2.5", 2.5), ("TRUE", 1.0), (" false ", 0.0), ("1,234", 1234.0)] {
            assert_eq!(number(cell.as_bytes(), false), Some(wanted), "{cell}");
        }
        for cell in ["", "NA", "NaN", "null"] {
            assert!(number(cell.as_bytes(), false).unwrap().is_nan(), "{cell}");
        }
        for cell in ["inf", "1e999", "M", "1,2"] {
            assert_eq!(number(cell.as_bytes(), false), None, "{cell}");
        }
    }
}
