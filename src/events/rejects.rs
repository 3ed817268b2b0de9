//! Rows that cannot be used: counted by reason, each kept with what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::EventsError;
use crate::error::FileError;
use crate::storage::PendingFile;

/// Why a row cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The time is missing or no time.
    UnreadableTime,
    /// The time is before 1900 or from 2200 on.
    TimeOutOfRange,
    /// Money or units are NaN or infinite.
    NonFiniteValue,
    /// Money or units are no number.
    UnreadableNumber,
    /// The line has another number of columns than the header, is no JSON object, or holds NUL bytes.
    MalformedLine,
    /// An earlier row has the same `event_id`.
    RepeatedEventId,
    /// Text that is not UTF-8, or a list or structure where text belongs.
    UnreadableText,
}

impl RejectReason {
    /// The code as printed and as written to JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnreadableTime => "unreadable_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::NonFiniteValue => "non_finite_value",
            Self::UnreadableNumber => "unreadable_number",
            Self::MalformedLine => "malformed_line",
            Self::RepeatedEventId => "repeated_event_id",
            Self::UnreadableText => "unreadable_text",
        }
    }
}

/// A rejected row, as it stands in the rejects file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The file's name.
    pub file: String,
    /// Data row of a Parquet file, line of a text file; from 1.
    pub row: u64,
    /// Why.
    pub reason: RejectReason,
    /// The file's column, when one is to blame.
    pub column: Option<String>,
    /// What stands there, cut to 200 characters.
    pub found: String,
}

/// Rejects of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectCount {
    /// Why.
    pub reason: RejectReason,
    /// How many rows.
    pub rows: u64,
    /// The first of them in the order of reading.
    pub first: Reject,
}

impl fmt::Display for RejectCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reject { file, row, column, found, .. } = &self.first;
        write!(f, "{}: {} rows, the first in {file}, row {row}", self.reason.code(), self.rows)?;
        if let Some(column) = column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": `{found}`")
    }
}

/// At most 200 characters of what was found, on one line.
pub(crate) fn shortened(found: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&found[..found.len().min(4 * MOST)]);
    let text = text.trim_end_matches(['\r', '\n']);
    let mut short: String = text
        .chars()
        .take(MOST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if text.chars().count() > MOST {
        short.push('\u{2026}');
    }
    short
}

/// Counts by reason, and the file that keeps the rows.
#[derive(Debug)]
pub(crate) struct Rejects {
    by_reason: BTreeMap<RejectReason, RejectCount>,
    file: Option<(PathBuf, BufWriter<Output>)>,
}

/// Where rejects go while reading.
#[derive(Debug)]
enum Output {
    /// Beside the file that it becomes.
    Aside(PendingFile),
    /// A device or a pipe, such as `/dev/null`: neither replaced nor removed.
    Device(std::fs::File),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Aside(file) => file.write(bytes),
            Self::Device(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Aside(file) => file.flush(),
            Self::Device(file) => file.flush(),
        }
    }
}

impl Rejects {
    /// Keeps rejects in `path`, when given: a temporary file beside it until [`Rejects::close`].
    pub fn open(path: Option<&Path>) -> Result<Self, EventsError> {
        let file = match path {
            None => None,
            Some(path) if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
                let device = std::fs::OpenOptions::new().write(true).open(path);
                let device = device.map_err(FileError::at("write the rejects file", path))?;
                Some((path.to_path_buf(), BufWriter::new(Output::Device(device))))
            }
            Some(path) => {
                if path.is_dir() {
                    let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
                    return Err(FileError { action: "write the rejects file", path: path.into(), source }.into());
                }
                let file = PendingFile::create(path)?;
                Some((path.to_path_buf(), BufWriter::new(Output::Aside(file))))
            }
        };
        Ok(Self { by_reason: BTreeMap::new(), file })
    }

    pub fn add(&mut self, reject: Reject) -> Result<(), EventsError> {
        if let Some((path, file)) = &mut self.file {
            let write = serde_json::to_writer(&mut *file, &reject).map_err(std::io::Error::from);
            write.and_then(|()| file.write_all(b"\n")).map_err(FileError::at("write the rejects file", &*path))?;
        }
        match self.by_reason.get_mut(&reject.reason) {
            Some(count) => count.rows += 1,
            None => {
                let count = RejectCount { reason: reject.reason, rows: 1, first: reject };
                self.by_reason.insert(count.reason, count);
            }
        }
        Ok(())
    }

    /// The counts, and where the rows are kept. Without rejects there is no file: that of an earlier
    /// run, which would be taken for this one's, is removed.
    pub fn close(self) -> Result<(BTreeMap<RejectReason, RejectCount>, Option<PathBuf>), EventsError> {
        let Some((path, file)) = self.file else { return Ok((self.by_reason, None)) };
        if self.by_reason.is_empty() {
            if path.is_file() {
                std::fs::remove_file(&path).map_err(FileError::at("remove the rejects of an earlier run", &path))?;
            }
            return Ok((self.by_reason, None));
        }
        let write = FileError::at("write the rejects file", &path);
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        let kept = file.and_then(|file| match file {
            Output::Aside(file) => file.finish(),
            Output::Device(_) => Ok(()), // everything was flushed
        });
        kept.map_err(write)?;
        Ok((self.by_reason, Some(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(row: u64) -> Reject {
        Reject {
            file: "a.csv".into(),
            row,
            reason: RejectReason::UnreadableTime,
            column: Some("ts".into()),
            found: "soon".into(),
        }
    }

    #[test]
    fn rejects_appear_whole_when_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/rejects.ndjson");
        let mut rejects = Rejects::open(Some(&path)).unwrap();
        rejects.add(reject(3)).unwrap();
        rejects.add(reject(5)).unwrap();
        assert!(!path.exists());
        let (counts, kept) = rejects.close().unwrap();
        assert_eq!(kept.as_deref(), Some(path.as_path()));
        assert_eq!(counts[&RejectReason::UnreadableTime].rows, 2);
        assert_eq!(counts[&RejectReason::UnreadableTime].first.row, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = r#"{"file":"a.csv","row":3,"reason":"unreadable_time","column":"ts","found":"soon"}"#;
        assert_eq!(text.lines().next(), Some(line));
        assert_eq!(text.lines().count(), 2);

        let (_, kept) = Rejects::open(Some(&path)).unwrap().close().unwrap();
        assert_eq!(kept, None);
        assert!(!path.exists(), "no rejects, no file");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0, "no temporary file stays");
    }

    #[test]
    fn what_was_found_is_cut_and_stays_on_one_line() {
        assert_eq!(shortened(b"a\tb\0c\r\n"), "a\\tb\\u{0}c");
        assert_eq!(shortened(&[b'x'; 300]).chars().count(), 201);
        assert_eq!(shortened("\u{e9}".repeat(300).as_bytes()).chars().count(), 201);
    }
}
