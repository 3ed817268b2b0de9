//! Text with one row a line, and the stretches of lines that all text formats are read in.
//!
//! Lines are cut off the file one after the other and taken apart in parallel, so this side knows
//! only as much of quoting as it needs not to cut a quoted line feed in two.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use csv::ByteRecord;

use crate::config::EventsConfig;
use crate::events::error::EventsError;

/// Bytes after which a stretch ends with the next row.
const STRETCH_BYTES: usize = 4 << 20;
/// Lines after which a stretch ends with the next row.
const STRETCH_LINES: usize = 65_536;
/// A quoted cell that is still open after so many bytes was never closed.
const OPEN_QUOTE_BYTES: usize = 1 << 20;
/// No line of events is this long: the file is not text, or has no line feeds.
const LINE_BYTES: u64 = 16 << 20;

/// What stands between columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delimiter {
    Byte(u8),
    /// Any run of blanks; no quoting.
    Blanks,
}

/// Whole lines of a text file.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub bytes: Vec<u8>,
    /// Number of the first line, from 1.
    pub first_line: u64,
}

/// A text file, cut into stretches.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    next_line: u64,
    /// Set where quotes may hold line feeds.
    delimiter: Option<u8>,
}

impl Lines {
    pub fn new(reader: Box<dyn BufRead + Send>, path: PathBuf, delimiter: Option<Delimiter>) -> Self {
        let delimiter = match delimiter {
            Some(Delimiter::Byte(byte)) => Some(byte),
            _ => None,
        };
        Self { reader, path, next_line: 1, delimiter }
    }

    /// The next lines; `None` at the end.
    pub fn stretch(&mut self) -> Result<Option<Stretch>, EventsError> {
        self.lines(STRETCH_LINES)
    }

    /// At least one row and about `most` lines; `None` at the end.
    pub fn lines(&mut self, most: usize) -> Result<Option<Stretch>, EventsError> {
        let mut stretch = Stretch { bytes: Vec::new(), first_line: self.next_line };
        let mut quotes = Quotes::default();
        let mut open_since = 0;
        let mut n_lines = 0;
        loop {
            let start = stretch.bytes.len();
            let mut limited = self.reader.by_ref().take(LINE_BYTES);
            let read = limited.read_until(b'\n', &mut stretch.bytes);
            let read = read.map_err(|source| EventsError::of_text(&self.path, self.next_line, source))?;
            if read as u64 == LINE_BYTES {
                return Err(EventsError::LineTooLong {
                    path: self.path.clone(),
                    line: self.next_line,
                    limit: LINE_BYTES,
                });
            }
            if read == 0 {
                return Ok((!stretch.bytes.is_empty()).then_some(stretch));
            }
            if self.next_line == 1 && stretch.bytes.starts_with(b"\xef\xbb\xbf") {
                stretch.bytes.drain(..3);
            }
            self.next_line += 1;
            n_lines += 1;
            if let Some(delimiter) = self.delimiter {
                quotes.line(&stretch.bytes[start..], delimiter);
                if quotes.is_open {
                    if stretch.bytes.len() - open_since < OPEN_QUOTE_BYTES {
                        continue;
                    }
                    quotes.is_open = false; // the row is malformed: go on behind it
                }
                open_since = stretch.bytes.len();
            }
            if n_lines >= most || stretch.bytes.len() >= STRETCH_BYTES {
                return Ok(Some(stretch));
            }
        }
    }
}

/// Whether the text so far ends inside a quoted cell.
#[derive(Debug, Default)]
struct Quotes {
    is_open: bool,
    /// Whether something else than a delimiter or the line's end came after a closing quote.
    is_broken: bool,
}

impl Quotes {
    fn line(&mut self, line: &[u8], delimiter: u8) {
        if !line.contains(&b'"') {
            return;
        }
        let mut at_start = !self.is_open; // quotes open a cell at its start only
        let mut bytes = line.iter().peekable();
        while let Some(&byte) = bytes.next() {
            if self.is_open {
                if byte == b'"' && bytes.next_if(|next| **next == b'"').is_none() {
                    self.is_open = false;
                    self.is_broken |= bytes.peek().is_some_and(|&&next| next != delimiter && !b"\r\n".contains(&next));
                }
            } else if byte == b'"' && at_start {
                self.is_open = true;
            }
            at_start = byte == delimiter && !self.is_open;
        }
    }
}

/// A row of a stretch.
pub(crate) enum Row<'a> {
    Cells(&'a ByteRecord),
    /// Not as many cells as columns, an open quote, or NUL bytes.
    Malformed(&'a [u8]),
}

/// Calls `each` with the line number and the cells of every row.
pub(crate) fn rows(stretch: &Stretch, delimiter: Delimiter, n_columns: usize, mut each: impl FnMut(u64, Row)) {
    match delimiter {
        Delimiter::Blanks => blank_separated(stretch, n_columns, each),
        Delimiter::Byte(byte) => {
            let (mut at, mut line) = (0, stretch.first_line);
            while at < stretch.bytes.len() {
                let (bytes, lines) = quoted(&stretch.bytes[at..], line, byte, n_columns, &mut each);
                at += bytes;
                line += lines;
            }
        }
    }
}

/// Rows up to the end or to a malformed row of several lines, of which only the first is given up.
/// Returns the bytes and lines dealt with.
fn quoted(
    text: &[u8],
    first_line: u64,
    delimiter: u8,
    n_columns: usize,
    each: &mut impl FnMut(u64, Row),
) -> (usize, u64) {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(1 << 16)
        .from_reader(text);
    let mut record = ByteRecord::new();
    let (mut start, mut line) = (0, first_line);
    // Reading from memory cannot fail, and a flexible reader takes any number of cells.
    while let Ok(true) = reader.read_byte_record(&mut record) {
        while matches!(text.get(start), Some(b'\n' | b'\r')) {
            line += u64::from(text[start] == b'\n'); // empty lines are no rows
            start += 1;
        }
        let end = (reader.position().byte() as usize).min(text.len());
        let whole = &text[start..end];
        let n_lines = whole.iter().filter(|&&byte| byte == b'\n').count() as u64;
        // A quote that was never closed may find its end in a later row's opening quote.
        let is_long = whole.split_last().is_some_and(|(_, before)| before.contains(&b'\n'));
        // A quote that was never closed runs to the end, or to a later row's opening quote.
        let is_open = (end == text.len() || is_long) && {
            let mut quotes = Quotes::default();
            quotes.line(whole, delimiter);
            quotes.is_open || (is_long && quotes.is_broken)
        };
        if record.len() != n_columns || is_open || whole.contains(&0) {
            let first_end = whole.iter().position(|&byte| byte == b'\n').map_or(whole.len(), |at| at + 1);
            each(line, Row::Malformed(&whole[..first_end]));
            if first_end < whole.len() {
                return (start + first_end, line + 1 - first_line);
            }
        } else {
            each(line, Row::Cells(&record));
        }
        start = end;
        line += n_lines;
    }
    (text.len(), 0)
}

fn blank_separated(stretch: &Stretch, n_columns: usize, mut each: impl FnMut(u64, Row)) {
    let mut record = ByteRecord::new();
    for (number, line) in (stretch.first_line..).zip(stretch.bytes.split_inclusive(|&byte| byte == b'\n')) {
        record.clear();
        line.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty()).for_each(|cell| record.push_field(cell));
        match record.len() {
            0 => {}
            n if n == n_columns && !line.contains(&0) => each(number, Row::Cells(&record)),
            _ => each(number, Row::Malformed(line)),
        }
    }
}

/// The cells of the first row.
pub(crate) fn first_row(stretch: &Stretch, delimiter: Delimiter) -> Vec<Vec<u8>> {
    match delimiter {
        Delimiter::Byte(byte) => {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .delimiter(byte)
                .from_reader(stretch.bytes.as_slice());
            let mut record = ByteRecord::new();
            let _ = reader.read_byte_record(&mut record); // from memory: cannot fail
            record.iter().map(<[u8]>::to_vec).collect()
        }
        Delimiter::Blanks => {
            let mut lines =
                stretch.bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
            let line = lines.next().unwrap_or_default();
            line.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty()).map(<[u8]>::to_vec).collect()
        }
    }
}

/// What stands between columns: as configured, or the character that the first lines have most alike.
pub(crate) fn delimiter(config: &EventsConfig, ending: &str, first: &Stretch) -> Result<Delimiter, EventsError> {
    match config.delimiter.as_bytes() {
        b"" => {}
        b"whitespace" => return Ok(Delimiter::Blanks),
        b"tab" | b"\\t" => return Ok(Delimiter::Byte(b'\t')),
        &[byte] if !matches!(byte, b'"' | b'\n' | b'\r') => return Ok(Delimiter::Byte(byte)),
        _ => {
            let got = format!("{:?}", config.delimiter);
            return Err(EventsError::BadSetting {
                key: "events.delimiter".into(),
                rule: "one ASCII character, \"whitespace\" or \"\"",
                got,
            });
        }
    }
    if config.format == "tsv" || ending == "tsv" || ending == "tab" {
        return Ok(Delimiter::Byte(b'\t'));
    }
    let mut lines: Vec<&[u8]> = first.bytes.split_inclusive(|&byte| byte == b'\n').take(21).collect();
    if lines.len() > 1 && !lines[lines.len() - 1].ends_with(b"\n") {
        lines.pop();
    }
    let agreement = |byte: u8| {
        let counts: Vec<usize> = lines.iter().map(|line| outside_quotes(line, byte)).collect();
        let header = counts.first().copied().unwrap_or(0);
        let alike = counts.iter().filter(|&&count| count == header).count();
        (header > 0).then_some((alike, header))
    };
    // In this order when they agree equally well.
    let best = [b',', b'\t', b';', b'|']
        .into_iter()
        .rev()
        .filter_map(|byte| Some((agreement(byte)?, byte)))
        .max_by_key(|&(score, _)| score);
    Ok(Delimiter::Byte(best.map_or(b',', |(_, byte)| byte)))
}

fn outside_quotes(line: &[u8], wanted: u8) -> usize {
    let mut is_open = false;
    line.iter()
        .filter(|&&byte| {
            is_open ^= byte == b'"';
            !is_open && byte == wanted
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, delimiter: Delimiter, n_columns: usize) -> Vec<String> {
        in_steps(text, delimiter, n_columns, 2)
    }

    fn in_steps(text: &str, delimiter: Delimiter, n_columns: usize, step: usize) -> Vec<String> {
        let mut lines =
            Lines::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), "x.csv".into(), Some(delimiter));
        let mut seen = Vec::new();
        while let Some(stretch) = lines.lines(step).unwrap() {
            rows(&stretch, delimiter, n_columns, |line, row| {
                seen.push(match row {
                    Row::Cells(cells) => {
                        let cells: Vec<_> =
                            cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
                        format!("{line}: {}", cells.join("|"))
                    }
                    Row::Malformed(text) => format!("{line}! {}", String::from_utf8_lossy(text).trim_end()),
                });
            });
        }
        seen
    }

    #[test]
    fn rows_keep_their_line_numbers() {
        let text = "\u{feff}a,b\r\n\r\n1,\"x\ny\"\r\n2,\"q\"\"z\"\n\n3,4";
        assert_eq!(all(text, Delimiter::Byte(b','), 2), ["1: a|b", "3: 1|x\ny", "5: 2|q\"z", "7: 3|4"]);
    }

    #[test]
    fn a_malformed_line_costs_itself_only() {
        let text = "a,b\n1,2,3\n4\n5,6\n7,\"open\n8,9\n10,\"11\"\n12,1\u{0}3\n14,15\n";
        let wanted =
            ["1: a|b", "2! 1,2,3", "3! 4", "4: 5|6", "5! 7,\"open", "6: 8|9", "7: 10|11", "8! 12,1\u{0}3", "9: 14|15"];
        assert_eq!(all(text, Delimiter::Byte(b','), 2), wanted);
        let open_to_the_end = "1,2\n3,\"4\n5,6\n7,8\n";
        assert_eq!(all(open_to_the_end, Delimiter::Byte(b','), 2), ["1: 1|2", "2! 3,\"4", "3: 5|6", "4: 7|8"]);
        assert_eq!(all("1,2\n3,5\" pipe\n4,6\n", Delimiter::Byte(b','), 2), ["1: 1|2", "2: 3|5\" pipe", "3: 4|6"]);
    }

    #[test]
    fn blanks_separate_without_quotes() {
        let text = " 00004 0001\r\n\n5 \"6\n7\n";
        assert_eq!(all(text, Delimiter::Blanks, 2), ["1: 00004|0001", "3: 5|\"6", "4! 7"]);
    }

    #[test]
    fn a_quote_that_stays_open_does_not_swallow_the_file() {
        let mut text = String::from("1,\"2\n");
        for row in 0..300_000 {
            text.push_str(&format!("{row},{row}\n"));
        }
        let seen = in_steps(&text, Delimiter::Byte(b','), 2, 10_000);
        assert_eq!(seen.len(), 300_001);
        assert_eq!((seen[0].as_str(), seen[300_000].as_str()), ("1! 1,\"2", "300001: 299999|299999"));
    }

    proptest::proptest! {
        #[test]
        fn what_a_csv_writer_writes_is_read_back(
            records in proptest::collection::vec(proptest::collection::vec("[a,\"\n\r x]{0,6}", 3), 1..20),
            step in 1_usize..5,
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            records.iter().for_each(|record| writer.write_record(record).unwrap());
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let mut lines = Lines::new(Box::new(std::io::Cursor::new(text.into_bytes())), "x.csv".into(), Some(Delimiter::Byte(b',')));
            let mut seen: Vec<Vec<String>> = Vec::new();
            while let Some(stretch) = lines.lines(step).unwrap() {
                rows(&stretch, Delimiter::Byte(b','), 3, |_, row| {
                    let Row::Cells(cells) = row else { panic!("malformed in {stretch:?}") };
                    seen.push(cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect());
                });
            }
            proptest::prop_assert_eq!(seen, records);
        }
    }

    #[test]
    fn the_delimiter_is_found() {
        let config = crate::config::Config::default().events;
        let found = |text: &str| delimiter(&config, "csv", &Stretch { bytes: text.into(), first_line: 1 }).unwrap();
        assert_eq!(found("a,b,c\n1,2,3\n"), Delimiter::Byte(b','));
        assert_eq!(found("a;b;c\n1,5;2,5;3,5\n1;2;3\n"), Delimiter::Byte(b';'));
        assert_eq!(found("a\tb\n\"1\t2\"\t2\n"), Delimiter::Byte(b'\t'));
        assert_eq!(found("a|b\n1,2|3\n"), Delimiter::Byte(b'|'));
        assert_eq!(found("alone\n1\n"), Delimiter::Byte(b','));
        let bad = EventsConfig { delimiter: "ab".into(), ..config.clone() };
        assert!(delimiter(&bad, "csv", &Stretch { bytes: Vec::new(), first_line: 1 }).is_err());
    }
}
