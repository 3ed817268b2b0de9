//! One JSON object a line.

use std::fmt::{self, Write};

use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::delimited::Stretch;

/// What a JSON value is, as far as events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Missing,
    /// Where its text stands.
    Text(usize, usize),
    /// A list, an object, or a number that went beyond 64 bits: its digits are lost.
    Unusable,
}

/// The cells of one object, as text, by column.
#[derive(Debug)]
pub(crate) struct Cells {
    text: String,
    cells: Vec<Cell>,
}

impl Cells {
    /// The text of a cell; `None` when it is absent or null.
    pub fn get(&self, column: usize) -> Option<&[u8]> {
        match self.cells[column] {
            Cell::Missing => None,
            Cell::Text(start, end) => Some(&self.text.as_bytes()[start..end]),
            Cell::Unusable => Some(b"[...]"),
        }
    }

    /// Whether the cell is a list or an object.
    pub fn is_unusable(&self, column: usize) -> bool {
        self.cells[column] == Cell::Unusable
    }
}

/// A row of a stretch.
pub(crate) enum Row<'a> {
    Cells(&'a Cells),
    /// Not a JSON object.
    Malformed(&'a [u8]),
}

/// Calls `each` with the line number and the wanted cells of every row; `columns[i]` is the key of
/// cell `i`, unwanted ones are `None`.
pub(crate) fn rows(stretch: &Stretch, columns: &[Option<&str>], mut each: impl FnMut(u64, Row)) {
    let index: HashMap<&str, usize> =
        columns.iter().enumerate().filter_map(|(at, name)| Some(((*name)?, at))).collect();
    let mut cells = Cells { text: String::new(), cells: vec![Cell::Missing; columns.len()] };
    for (number, line) in (stretch.first_line..).zip(stretch.bytes.split_inclusive(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        cells.text.clear();
        cells.cells.fill(Cell::Missing);
        let mut reader = serde_json::Deserializer::from_slice(line);
        let read = ObjectSeed { index: &index, cells: &mut cells }.deserialize(&mut reader).and_then(|()| reader.end());
        match read {
            Ok(()) => each(number, Row::Cells(&cells)),
            Err(_) => each(number, Row::Malformed(line)),
        }
    }
}

/// Every key of the objects of a stretch, in order of appearance.
pub(crate) fn keys(stretch: &Stretch) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in stretch.bytes.split(|&byte| byte == b'\n') {
        let mut reader = serde_json::Deserializer::from_slice(line);
        let Ok(keys) = (&mut reader).deserialize_map(KeyNames) else { continue };
        for key in keys {
            if !names.contains(&key) {
                names.push(key);
            }
        }
    }
    names
}

struct KeyNames;

impl<'de> Visitor<'de> for KeyNames {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut names = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            names.push(key);
        }
        Ok(names)
    }
}

struct ObjectSeed<'a> {
    index: &'a HashMap<&'a str, usize>,
    cells: &'a mut Cells,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(at) = map.next_key_seed(KeySeed(self.index))? {
            match at {
                Some(at) => {
                    let start = self.cells.text.len();
                    self.cells.cells[at] = match map.next_value_seed(CellSeed(&mut self.cells.text))? {
                        Cell::Text(..) => Cell::Text(start, self.cells.text.len()),
                        other => other,
                    };
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct KeySeed<'a>(&'a HashMap<&'a str, usize>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(key).copied())
    }
}

/// Appends the value's text.
struct CellSeed<'a>(&'a mut String);

impl CellSeed<'_> {
    fn write(self, value: impl fmt::Display) -> Cell {
        let _ = write!(self.0, "{value}"); // to a String: cannot fail
        Cell::Text(0, 0)
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Missing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(self.write(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(self.write(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(self.write(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        // A whole number beyond 64 bits arrives as a float without its last digits.
        if value.abs() >= 9_223_372_036_854_775_808.0 { Ok(Cell::Unusable) } else { Ok(self.write(value)) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        self.0.push_str(value);
        Ok(Cell::Text(0, 0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Unusable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_cells_of_text() {
        let text = "{\"a\":1,\"b\":\"x\\ny\",\"z\":[1]}\n\n{\"b\":null,\"a\":17850.0}\n{\"a\":[1,{}],\"b\":true}\nnot json\n[1]\n{\"a\":1} 2\n{\"a\":123456789012345678901}";
        let stretch = Stretch { bytes: text.into(), first_line: 1 };
        let mut seen = Vec::new();
        rows(&stretch, &[Some("a"), None, Some("b")], |line, row| {
            seen.push(match row {
                Row::Cells(cells) => {
                    let show = |at| cells.get(at).map_or("-".into(), |cell| String::from_utf8_lossy(cell).into_owned());
                    format!("{line}: {}|{}{}", show(0), show(2), if cells.is_unusable(0) { "?" } else { "" })
                }
                Row::Malformed(text) => format!("{line}! {}", String::from_utf8_lossy(text)),
            });
        });
        let wanted =
            ["1: 1|x\ny", "3: 17850|-", "4: [...]|true?", "5! not json", "6! [1]", "7! {\"a\":1} 2", "8: [...]|-?"];
        assert_eq!(seen, wanted);
        assert_eq!(keys(&stretch), ["a", "b", "z"]);
    }
}
