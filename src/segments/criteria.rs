//! `segments.toml`: who belongs where.

use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::error::SegmentsError;
use crate::config::nearest;
use crate::storage;

/// More segments than this make the matrix of overlaps too large to be read by anybody.
pub const MAX_SEGMENTS: usize = 1000;

const KEYS: [&str; 6] = ["name", "where", "otherwise", "priority", "campaign", "duration_days"];

/// Who belongs to a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// Customers for whom a SQL predicate over score and feature columns is true.
    Where(String),
    /// Customers of no other segment.
    Otherwise,
}

impl Serialize for Criterion {
    /// As in `segments.toml`: `where = "…"` or `otherwise = true`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_map(Some(1))?;
        match self {
            Self::Where(predicate) => key.serialize_entry("where", predicate)?,
            Self::Otherwise => key.serialize_entry("otherwise", &true)?,
        }
        key.end()
    }
}

/// One declared segment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Segment {
    /// Its name, unique in the file.
    pub name: String,
    /// Who belongs to it.
    #[serde(flatten)]
    pub criterion: Criterion,
    /// Of several campaigns that a customer qualifies for, the highest priority wins. Recorded, not yet acted on.
    pub priority: Option<i64>,
    /// The campaign that the segment is for. Recorded, not yet acted on.
    pub campaign: Option<String>,
    /// How long the campaign keeps a customer, in days. Recorded, not yet acted on.
    pub duration_days: Option<u32>,
}

impl Segment {
    /// The SQL predicate; `None` for the segment of everyone else.
    pub fn predicate(&self) -> Option<&str> {
        match &self.criterion {
            Criterion::Where(predicate) => Some(predicate),
            Criterion::Otherwise => None,
        }
    }
}

/// The segments of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    segments: Vec<Segment>,
    hash: String,
}

impl Segments {
    /// The segments of a TOML file.
    ///
    /// # Errors
    /// Unreadable file, invalid TOML, unknown key, value of the wrong type, name empty or used twice, no criterion
    /// or two, a second `otherwise`, no segment at all. Predicates are checked by [`Segments::check`].
    pub fn load(path: &Path) -> Result<Self, SegmentsError> {
        let text = storage::read_text(path, "read the segments")?;
        Self::parse(&text, path)
    }

    /// The segments of a text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Segments::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, SegmentsError> {
        let file: toml::Table =
            text.parse().map_err(|source| SegmentsError::Syntax { path: path.into(), source: Box::new(source) })?;
        let reader = Reader { path, place: "top level".into() };
        let mut segments = Vec::new();
        for (key, value) in file {
            if key != "segment" {
                return Err(reader.unknown(&key, &["segment"]));
            }
            let toml::Value::Array(tables) = value else {
                return Err(reader.bad("segment", "written as `[[segment]]`", &value));
            };
            for (number, table) in tables.into_iter().enumerate() {
                let toml::Value::Table(table) = table else {
                    return Err(reader.bad("segment", "written as `[[segment]]`", &table));
                };
                segments.push(Reader::of_segment(path, number, &table).segment(table)?);
            }
        }
        if segments.is_empty() || segments.len() > MAX_SEGMENTS {
            let got = toml::Value::Integer(segments.len() as i64);
            return Err(reader.bad("segment", "there 1 to 1000 times", &got));
        }
        let twice = |first: usize, second: usize, both| SegmentsError::Twice {
            path: path.into(),
            first: first + 1,
            second: second + 1,
            both,
        };
        for (second, segment) in segments.iter().enumerate() {
            if let Some(first) = segments[..second].iter().position(|other| other.name == segment.name) {
                return Err(twice(first, second, format!("both have the name `{}`", segment.name)));
            }
        }
        let mut others = (0..segments.len()).filter(|&index| segments[index].criterion == Criterion::Otherwise);
        if let (Some(first), Some(second)) = (others.next(), others.next()) {
            return Err(twice(first, second, "both have `otherwise = true`, and only one can".into()));
        }
        Ok(Self { segments, hash: blake3::hash(text.as_bytes()).to_hex().to_string() })
    }

    /// The segments in the order of the file.
    pub fn list(&self) -> &[Segment] {
        &self.segments
    }

    /// blake3 of the file's text, 64 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Position of the segment of everyone else.
    pub(super) fn otherwise(&self) -> Option<usize> {
        self.segments.iter().position(|segment| segment.criterion == Criterion::Otherwise)
    }
}

/// Reads the values of one table and says where they stand.
struct Reader<'a> {
    path: &'a Path,
    place: String,
}

impl<'a> Reader<'a> {
    fn of_segment(path: &'a Path, number: usize, table: &toml::Table) -> Self {
        let place = match table.get("name") {
            Some(toml::Value::String(name)) if !name.is_empty() => format!("segment `{name}`"),
            _ => format!("segment {}", number + 1),
        };
        Self { path, place }
    }

    fn segment(&self, mut table: toml::Table) -> Result<Segment, SegmentsError> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(self.unknown(key, &KEYS));
        }
        let name = match table.remove("name") {
            Some(toml::Value::String(name))
                if !name.is_empty() && name.trim() == name && !name.contains(char::is_control) =>
            {
                name
            }
            Some(other) => return Err(self.bad("name", "text that neither begins nor ends with a blank", &other)),
            None => return Err(self.missing("name", "given")),
        };
        let predicate = match table.remove("where") {
            None => None,
            Some(toml::Value::String(predicate)) if !predicate.trim().is_empty() => Some(predicate),
            Some(other) => return Err(self.bad("where", "a SQL predicate", &other)),
        };
        let otherwise = match table.remove("otherwise") {
            None => false,
            Some(toml::Value::Boolean(otherwise)) => otherwise,
            Some(other) => return Err(self.bad("otherwise", "true or false", &other)),
        };
        let criterion = match (predicate, otherwise) {
            (Some(predicate), false) => Criterion::Where(predicate),
            (None, true) => Criterion::Otherwise,
            (Some(_), true) => return Err(self.criterion(name, "has both `where` and `otherwise = true`")),
            (None, false) => return Err(self.criterion(name, "has neither `where` nor `otherwise = true`")),
        };
        let priority = match table.remove("priority") {
            None => None,
            Some(toml::Value::Integer(priority)) => Some(priority),
            Some(other) => return Err(self.bad("priority", "a whole number", &other)),
        };
        let campaign = match table.remove("campaign") {
            None => None,
            Some(toml::Value::String(campaign)) if !campaign.trim().is_empty() => Some(campaign),
            Some(other) => return Err(self.bad("campaign", "a name", &other)),
        };
        let duration_days = match table.remove("duration_days") {
            None => None,
            Some(toml::Value::Integer(days)) if (1..=3650).contains(&days) => Some(days as u32),
            Some(other) => return Err(self.bad("duration_days", "1 to 3650", &other)),
        };
        Ok(Segment { name, criterion, priority, campaign, duration_days })
    }

    fn unknown(&self, key: &str, known: &[&str]) -> SegmentsError {
        SegmentsError::UnknownKey {
            path: self.path.into(),
            place: self.place.clone(),
            key: key.into(),
            nearest: nearest(key, known.iter().copied()),
        }
    }

    fn bad(&self, key: &'static str, rule: &'static str, got: &toml::Value) -> SegmentsError {
        SegmentsError::BadValue { path: self.path.into(), place: self.place.clone(), key, rule, got: got.to_string() }
    }

    fn missing(&self, key: &'static str, rule: &'static str) -> SegmentsError {
        SegmentsError::BadValue {
            path: PathBuf::from(self.path),
            place: self.place.clone(),
            key,
            rule,
            got: "nothing".into(),
        }
    }

    fn criterion(&self, segment: String, problem: &'static str) -> SegmentsError {
        SegmentsError::Criterion { path: self.path.into(), segment, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explain;

    fn parse(text: &str) -> Result<Segments, SegmentsError> {
        Segments::parse(text, Path::new("segments.toml"))
    }

    #[test]
    fn every_key_is_read() {
        let segments = parse(
            "[[segment]]\nname = 'skiers'\nwhere = 'a > 1'\npriority = 10\ncampaign = 'winback'\nduration_days = 14\n\
             [[segment]]\nname = 'rest'\notherwise = true\n",
        )
        .unwrap();
        let [skiers, rest] = segments.list() else { panic!("two segments") };
        assert_eq!(skiers.predicate(), Some("a > 1"));
        assert_eq!(
            (skiers.priority, skiers.campaign.as_deref(), skiers.duration_days),
            (Some(10), Some("winback"), Some(14))
        );
        assert_eq!(rest.criterion, Criterion::Otherwise);
        assert_eq!(segments.otherwise(), Some(1));
        assert_eq!(segments.hash().len(), 64);
    }

    #[test]
    fn each_fault_names_its_place() {
        for (text, message) in [
            ("", "segments.toml: top level: `segment` must be there 1 to 1000 times, got 0"),
            ("segment = 3", "segments.toml: top level: `segment` must be written as `[[segment]]`, got 3"),
            ("segment = [3]", "segments.toml: top level: `segment` must be written as `[[segment]]`, got 3"),
            ("[[segmnt]]\nname='a'", "segments.toml: top level: unknown key `segmnt`"),
            ("[[segment]]\nname='a'\nwere='b'", "segments.toml: segment `a`: unknown key `were`"),
            ("[[segment]]\nwhere='b'", "segments.toml: segment 1: `name` must be given, got nothing"),
            (
                "[[segment]]\nname=''\nwhere='b'",
                "segments.toml: segment 1: `name` must be text that neither begins nor ends with a blank, got \"\"",
            ),
            (
                "[[segment]]\nname=' a'\nwhere='b'",
                "segments.toml: segment ` a`: `name` must be text that neither begins nor ends with a blank, got \" a\"",
            ),
            (
                "[[segment]]\nname='a'\nwhere=' '",
                "segments.toml: segment `a`: `where` must be a SQL predicate, got \" \"",
            ),
            (
                "[[segment]]\nname='a'\nwhere=true",
                "segments.toml: segment `a`: `where` must be a SQL predicate, got true",
            ),
            (
                "[[segment]]\nname='a'\notherwise=1",
                "segments.toml: segment `a`: `otherwise` must be true or false, got 1",
            ),
            ("[[segment]]\nname='a'", "segments.toml: segment `a` has neither `where` nor `otherwise = true`"),
            (
                "[[segment]]\nname='a'\notherwise=false",
                "segments.toml: segment `a` has neither `where` nor `otherwise = true`",
            ),
            (
                "[[segment]]\nname='a'\nwhere='b'\notherwise=true",
                "segments.toml: segment `a` has both `where` and `otherwise = true`",
            ),
            (
                "[[segment]]\nname='a'\nwhere='b'\npriority=1.5",
                "segments.toml: segment `a`: `priority` must be a whole number, got 1.5",
            ),
            (
                "[[segment]]\nname='a'\nwhere='b'\ncampaign=''",
                "segments.toml: segment `a`: `campaign` must be a name, got \"\"",
            ),
            (
                "[[segment]]\nname='a'\nwhere='b'\nduration_days=0",
                "segments.toml: segment `a`: `duration_days` must be 1 to 3650, got 0",
            ),
            (
                "[[segment]]\nname='a'\nwhere='b'\n[[segment]]\nname='a'\nwhere='c'",
                "segments.toml: segments 1 and 2 both have the name `a`",
            ),
            (
                "[[segment]]\nname='a'\notherwise=true\n[[segment]]\nname='b'\notherwise=true",
                "segments.toml: segments 1 and 2 both have `otherwise = true`, and only one can",
            ),
            ("[[segment]\n", "segments.toml: not valid TOML"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), message, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        for (key, hint) in [("wher", "did you mean `where`?"), ("priorty", "did you mean `priority`?")] {
            let error = parse(&format!("[[segment]]\nname='a'\n{key}='b'")).unwrap_err();
            assert_eq!(error.hints(), [hint]);
        }
        let error = parse("[[segment]]\nname='a'\nxyz='b'").unwrap_err();
        assert!(error.hints()[0].contains("`duration_days`"));
        let error = parse("[[segments]]\nname='a'").unwrap_err();
        assert_eq!(error.hints(), ["did you mean `segment`?"]);
        assert!(Segments::load(Path::new("no/such.toml")).unwrap_err().to_string().contains("cannot read"));
    }
}
