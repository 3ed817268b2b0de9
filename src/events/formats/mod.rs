//! File formats and packings, told by their first bytes.

pub(crate) mod delimited;
pub(crate) mod ndjson;
pub(crate) mod parquet;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::error::EventsError;
use super::input::Input;
use super::source::{EventFile, Found};
use crate::config::EventsConfig;
use crate::error::FileError;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Text with one row a line and a character between columns: CSV, TSV and the like.
    Delimited,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// The format that a file's ending promises.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "parquet" | "pq" | "parq" => Some(Self::Parquet),
            "csv" | "tsv" | "tab" | "txt" => Some(Self::Delimited),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Delimited => "delimited text",
            Self::Ndjson => "NDJSON",
        })
    }
}

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all (Parquet packs its own pages).
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// First bytes of things that are sent by mistake, what they are and what to do.
const FOREIGN: [(&[u8], &str, &str); 11] = [
    (b"PK\x03\x04", "an Excel workbook or zip archive", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"BZh", "a bzip2 file", "unpack it, or pack it with gzip or zstd"),
    (b"\xfd7zXZ", "an xz file", "unpack it, or pack it with gzip or zstd"),
    (b"Obj\x01", "an Avro file", "write Parquet or NDJSON instead"),
    (b"ORC", "an ORC file", "write Parquet instead"),
    (b"ARROW1", "an Arrow IPC file", "write Parquet instead"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV or Parquet"),
    (b"\xff\xfe", "UTF-16 text", "convert it: `iconv -f UTF-16 -t UTF-8`"),
    (b"\xfe\xff", "UTF-16 text", "convert it: `iconv -f UTF-16 -t UTF-8`"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
];

/// Looks at a file's first bytes.
pub(crate) fn identify(found: Found, config: &EventsConfig) -> Result<EventFile, EventsError> {
    let path = &found.path;
    let (input, size, e_tag) = Input::find(path, found.object.clone())?;
    if size == 0 {
        return Err(EventsError::EmptyFile { path: path.clone() });
    }
    let mut head = [0; 16];
    let n = fill(&mut input.stream()?, &mut head).map_err(FileError::at("read", path))?;
    let compression = match &head[..n] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    };
    let mut text = unpacked(&input, path, compression, &Arc::default())?;
    let mut start = [0; 1024];
    let n = fill(&mut text, &mut start).map_err(|source| EventsError::of_text(path, 1, source))?;
    let start = &start[..n];
    if start.is_empty() {
        return Err(EventsError::EmptyFile { path: path.clone() });
    }
    let is_parquet = start.starts_with(b"PAR1");
    if is_parquet && compression != Compression::None {
        let hint = "unpack it: Parquet compresses its own pages";
        return Err(EventsError::ForeignFormat { path: path.clone(), kind: "a packed Parquet file", hint });
    }
    if let Some((_, kind, hint)) = FOREIGN.into_iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Err(EventsError::ForeignFormat { path: path.clone(), kind, hint });
    }
    let first = start.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(start.trim_ascii_start()).first();
    let by_bytes = match first {
        _ if is_parquet => Format::Parquet,
        Some(b'{') => Format::Ndjson,
        _ => Format::Delimited,
    };
    let format = match config.format.as_str() {
        "parquet" => Format::Parquet,
        "csv" | "tsv" => Format::Delimited,
        "ndjson" => Format::Ndjson,
        "" if is_parquet => Format::Parquet,
        "" => Format::of_ending(&ending(path)).unwrap_or(by_bytes),
        got => {
            let rule = "\"parquet\", \"csv\", \"tsv\", \"ndjson\" or \"\"";
            return Err(EventsError::BadSetting { key: "events.format".into(), rule, got: format!("{got:?}") });
        }
    };
    match format {
        Format::Parquet if !is_parquet => {
            let starts_with = String::from_utf8_lossy(&start[..start.len().min(12)]).escape_debug().to_string();
            return Err(EventsError::NotParquet { path: path.clone(), starts_with });
        }
        Format::Delimited | Format::Ndjson if is_parquet => {
            let hint = "remove `format` under `[events]`, or set it to \"parquet\"";
            return Err(EventsError::ForeignFormat { path: path.clone(), kind: "a Parquet file read as text", hint });
        }
        Format::Ndjson if first == Some(&b'[') => {
            let hint = "write one object a line: `jq -c '.[]' file.json > file.ndjson`";
            return Err(EventsError::ForeignFormat { path: path.clone(), kind: "a JSON array", hint });
        }
        _ => {}
    }
    Ok(EventFile { path: found.path, name: found.name, size, e_tag, format, compression, partition: found.partition })
}

/// A file's ending in lower case, below that of its packing.
pub(crate) fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let bare = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    bare.rsplit_once('.').map(|(_, ending)| ending.to_string()).unwrap_or_default()
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(read) => n += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Counts the bytes taken from the disk.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Bytes in one read from the disk, and of unpacked text.
const BUFFER: usize = 1 << 18;

/// The unpacked bytes of a file; `bytes` counts those read from the disk.
pub(crate) fn unpacked(
    input: &Input,
    path: &Path,
    compression: Compression,
    bytes: &Arc<AtomicU64>,
) -> Result<Box<dyn BufRead + Send>, EventsError> {
    let raw = BufReader::with_capacity(BUFFER, Counted { inner: input.stream()?, bytes: Arc::clone(bytes) });
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(raw))),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(FileError::at("unpack", path))?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
    })
}
