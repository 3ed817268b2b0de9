//! What can be wrong with events, told with its facts.

use std::path::{Path, PathBuf};

use super::rejects::RejectCount;
use super::schema::Role;
use crate::error::{ExitCode, Explain, FileError, Reason};
use crate::time::Day;

/// Events that cannot be found, understood or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the words of each message
pub enum EventsError {
    /// A file or folder that the system refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// An address of something that is no object store, as far as is known.
    #[error("`{spec}` is neither on this machine nor in an object store that is known")]
    Remote { spec: String },
    /// Nothing was asked for.
    #[error("no events were named")]
    NoSpecs,
    /// No such file or folder.
    #[error("{}: no such file or folder", path.display())]
    NotFound { path: PathBuf, nearest: Option<PathBuf> },
    /// A pattern that no file matches, or that is none.
    #[error("no file matches `{pattern}`")]
    NoMatch { pattern: String, problem: Option<String> },
    /// A folder that holds no file of events.
    #[error("{}: the folder holds no events", path.display())]
    NoFiles { path: PathBuf, skipped: Vec<String> },
    /// A file of 0 bytes.
    #[error("{}: the file is empty", path.display())]
    EmptyFile { path: PathBuf },
    /// Files without a single row.
    #[error("the events have no rows, only headers")]
    NoRows { files: Vec<PathBuf> },
    /// Something else than events by its first bytes.
    #[error("{}: {kind} cannot be read as events", path.display())]
    ForeignFormat { path: PathBuf, kind: &'static str, hint: &'static str },
    /// The name or the configuration promises Parquet and the bytes are something else.
    #[error("{}: not a Parquet file", path.display())]
    NotParquet { path: PathBuf, starts_with: String },
    /// A Parquet file whose end or pages are damaged.
    #[error("{}: damaged Parquet file", path.display())]
    DamagedParquet {
        path: PathBuf,
        bytes: u64,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream that ends early or is corrupt.
    #[error("{}, about line {line}: cannot read on", path.display())]
    DamagedText {
        path: PathBuf,
        line: u64,
        #[source]
        source: std::io::Error,
    },
    /// A line too long to be one.
    #[error("{}, line {line}: longer than {limit} bytes", path.display())]
    LineTooLong { path: PathBuf, line: u64, limit: u64 },
    /// A setting of `[events]` outside its rule.
    #[error("`{key}` must be {rule}, got {got}")]
    BadSetting { key: String, rule: &'static str, got: String },
    /// A key of `[events.columns]` that is none of our names.
    #[error("`events.columns.{name}` is no column of bellwether's")]
    UnknownRole { name: String, nearest: Option<String> },
    /// A configured column that the first file lacks.
    #[error("{}: no column `{column}`, which `events.columns.{}` asks for", path.display(), role.name())]
    NoSuchColumn { path: PathBuf, role: Role, column: String, nearest: Option<String>, columns: Vec<String> },
    /// Required columns that nothing in the file looks like.
    #[error("{}: found no column for {}", path.display(), role_names(missing))]
    MissingColumns { path: PathBuf, missing: Vec<Role>, columns: Vec<String>, looks_like: Option<&'static str> },
    /// Columns that match one of our names equally well.
    #[error("{}: {} could all be `{}`", path.display(), quoted(columns), role.name())]
    Ambiguous { path: PathBuf, role: Role, columns: Vec<String> },
    /// Two columns of one name, of which one would be used.
    #[error("{}: column `{column}` is there {times} times", path.display())]
    DoubledColumn { path: PathBuf, column: String, times: usize },
    /// A later file without a column that the mapping uses.
    #[error("{}: lacks column `{column}`, which is `{}` in {}", path.display(), role.name(), first.display())]
    LacksColumn { path: PathBuf, column: String, role: Role, first: PathBuf, columns: Vec<String> },
    /// A header-less file with another number of columns than `names`.
    #[error("{}: {found} columns, but `events.names` lists {expected}", path.display())]
    NameCount { path: PathBuf, found: usize, expected: usize },
    /// A column whose type cannot be what it is to be.
    #[error("{}: column `{column}` is {found}, but `{}` needs {expected}", path.display(), role.name())]
    WrongType { path: PathBuf, column: String, role: Role, found: String, expected: &'static str },
    /// Times in no known form.
    #[error("{}: the times in column `{column}` cannot be read", path.display())]
    TimesUnreadable { path: PathBuf, column: String, readable: usize, sampled: usize, examples: Vec<String> },
    /// Times that are no plausible dates as they are read.
    #[error("{}: most times in column `{column}` are outside 1900 to 2200", path.display())]
    TimesOutOfRange {
        path: PathBuf,
        column: String,
        example: String,
        read_as: String,
        better: Option<(String, String)>,
    },
    /// A column beside ours that no file has, or that is mapped to one of ours.
    #[error("no column `{column}` is left to be read beside the mapped ones")]
    NoSuchExtra { column: String, nearest: Option<String>, columns: Vec<String> },
    /// More rows are unusable than allowed.
    #[error("{rejected} of {rows} rows are unusable, more than the {:.4} % allowed", max_share * 100.0)]
    TooManyRejects { rejected: u64, rows: u64, max_share: f64, by_reason: Vec<RejectCount>, kept: Option<PathBuf> },
    /// No usable row of a customer.
    #[error("none of the {rows} rows is left to learn from")]
    NothingLeft { rows: u64, rejected: u64, anonymous: u64, kept: Option<PathBuf> },
    /// Everything happened at or after `as_of`.
    #[error("nothing is known before {as_of}: all {rows} usable rows are later")]
    NothingBefore { as_of: Day, rows: u64, future: u64, settling: u64 },
}

fn role_names(roles: &[Role]) -> String {
    quoted(&roles.iter().map(|role| role.name().to_string()).collect::<Vec<_>>())
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// The lines of a configuration that map `role` to `column`.
fn config_line(role: Role, column: &str) -> String {
    format!("write `{} = {}` under `[events.columns]` in the configuration", role.name(), toml_text(column))
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn columns_line(columns: &[String]) -> String {
    const SHOWN: usize = 60;
    let mut line = format!("the file's columns: {}", quoted(&columns[..columns.len().min(SHOWN)]));
    if columns.len() > SHOWN {
        line.push_str(&format!(" and {} more", columns.len() - SHOWN));
    }
    line
}

fn kept_line(kept: Option<&Path>) -> String {
    match kept {
        Some(path) => format!("the rejected rows are in {}", path.display()),
        None => "the rejected rows were not kept: no rejects file was asked for".into(),
    }
}

impl EventsError {
    /// A text that cannot be read on: the store's fault, if it comes from one and the store says so.
    pub(crate) fn of_text(path: &Path, line: u64, source: std::io::Error) -> Self {
        match crate::storage::remote::problem_of(&source) {
            Some(_) => Self::File(FileError { action: "read", path: path.into(), source }),
            None => Self::DamagedText { path: path.into(), line, source },
        }
    }
}

impl Explain for EventsError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Remote { .. }
            | Self::NoSpecs
            | Self::NotFound { .. }
            | Self::NoMatch { .. }
            | Self::NoFiles { .. }
            | Self::BadSetting { .. }
            | Self::UnknownRole { .. }
            | Self::NoSuchExtra { .. }
            | Self::NoSuchColumn { .. }
            | Self::Ambiguous { .. }
            | Self::NameCount { .. } => ExitCode::Usage,
            Self::EmptyFile { .. }
            | Self::NoRows { .. }
            | Self::ForeignFormat { .. }
            | Self::NotParquet { .. }
            | Self::DamagedParquet { .. }
            | Self::DamagedText { .. }
            | Self::LineTooLong { .. }
            | Self::MissingColumns { .. }
            | Self::DoubledColumn { .. }
            | Self::LacksColumn { .. }
            | Self::WrongType { .. }
            | Self::TimesUnreadable { .. }
            | Self::TimesOutOfRange { .. }
            | Self::TooManyRejects { .. }
            | Self::NothingLeft { .. }
            | Self::NothingBefore { .. } => ExitCode::DataRejected,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::EmptyFile { .. } | Self::NoRows { .. } | Self::NothingLeft { .. } => Some(Reason::EmptyAfterCleaning),
            Self::TooManyRejects { .. } => Some(Reason::TooManyRejects),
            Self::NothingBefore { .. } => Some(Reason::NoScoringData),
            _ => (self.exit_code() == ExitCode::DataRejected).then_some(Reason::UnreadableEvents),
        }
    }

    fn details(&self) -> Vec<String> {
        let mut lines = match self {
            Self::File(error) => return error.details(),
            Self::NoMatch { problem: Some(problem), .. } => vec![problem.clone()],
            Self::NoFiles { skipped, .. } if !skipped.is_empty() => {
                vec![format!("files of other kinds: {}", quoted(skipped))]
            }
            Self::NoRows { files } => files.iter().map(|path| format!("{}: 0 rows", path.display())).collect(),
            Self::NotParquet { starts_with, .. } => {
                vec![format!("a Parquet file starts with `PAR1`, this one with `{starts_with}`")]
            }
            Self::DamagedParquet { bytes, .. } => {
                vec![format!("the file has {bytes} bytes; a Parquet file cut short has lost the index at its end")]
            }
            Self::NoSuchColumn { columns, .. } | Self::LacksColumn { columns, .. } => vec![columns_line(columns)],
            Self::MissingColumns { columns, .. } => vec![columns_line(columns)],
            Self::NoSuchExtra { columns, .. } if columns.is_empty() => vec!["every column is mapped".into()],
            Self::NoSuchExtra { columns, .. } => vec![format!("there are {}", quoted(columns))],
            Self::TimesUnreadable { readable, sampled, examples, .. } => {
                vec![format!("{readable} of the first {sampled} values can be read; found {}", quoted(examples))]
            }
            Self::TimesOutOfRange { example, read_as, .. } => vec![format!("found `{example}`, read as {read_as}")],
            Self::TooManyRejects { rejected, rows, by_reason, kept, .. } => {
                let mut lines = vec![format!("{:.4} % of the rows", *rejected as f64 / (*rows).max(1) as f64 * 100.0)];
                lines.extend(by_reason.iter().map(ToString::to_string));
                lines.push(kept_line(kept.as_deref()));
                lines
            }
            Self::NothingLeft { rejected, anonymous, kept, .. } => {
                let mut lines = vec![format!("{rejected} rows are unusable, {anonymous} have no customer")];
                if *rejected > 0 {
                    lines.push(kept_line(kept.as_deref()));
                }
                lines
            }
            Self::NothingBefore { future, settling, .. } => {
                vec![format!("{future} rows are at or after that day, {settling} in the days left to settle before it")]
            }
            _ => Vec::new(),
        };
        let wrote_rejects =
            matches!(self, Self::TooManyRejects { kept: Some(_), .. } | Self::NothingLeft { kept: Some(_), .. });
        lines.push(if wrote_rejects { "Nothing else was written." } else { "Nothing was written." }.into());
        lines
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Remote { .. } => vec![
                "object stores are named as in `s3://bucket/events/`, `gs://bucket/events/` or `az://container/events/`".into(),
                "copy the files of any other place here first and name the folder: `--events data/`".into(),
            ],
            Self::NoSpecs => vec!["name a file, a folder or a pattern: `--events data/`".into()],
            Self::NotFound { nearest: Some(path), .. } => vec![format!("did you mean `{}`?", path.display())],
            Self::NotFound { .. } => vec!["check the path, and the folder from which it is seen".into()],
            Self::NoMatch { .. } => vec!["quote the pattern, so that the shell leaves it alone: `--events 'data/*.csv'`".into()],
            Self::NoFiles { .. } => vec![
                "events are files that end in parquet, csv, tsv, txt, ndjson or jsonl, also with .gz or .zst".into(),
                "a file of any other name can be named itself, with `format = \"csv\"` under `[events]`".into(),
            ],
            Self::NoRows { .. } => vec!["check what wrote the files: rows begin below the header".into()],
            Self::EmptyFile { .. } => vec!["an upload may have failed; leave the file out or fetch it again".into()],
            Self::ForeignFormat { hint, .. } => vec![(*hint).into()],
            Self::NotParquet { .. } => vec!["if it is text, set `format = \"csv\"` or `\"ndjson\"` under `[events]`".into()],
            Self::DamagedParquet { .. } | Self::DamagedText { .. } => {
                vec!["the file was probably cut short on its way; fetch it again and compare the sizes".into()]
            }
            Self::LineTooLong { .. } => vec!["lines must end with a line feed; check that the file is text".into()],
            Self::UnknownRole { nearest: Some(nearest), .. } | Self::NoSuchExtra { nearest: Some(nearest), .. } => {
                vec![format!("did you mean `{nearest}`?")]
            }
            Self::UnknownRole { .. } => vec![format!("the names are {}", role_names(&Role::ALL))],
            Self::NoSuchColumn { nearest: Some(nearest), role, .. } => vec![config_line(*role, nearest)],
            Self::MissingColumns { missing, looks_like, .. } => {
                let mut hints: Vec<String> =
                    missing.iter().map(|role| format!("write `{} = \"the file's name for it\"` under `[events.columns]` in the configuration", role.name())).collect();
                let looks = looks_like.unwrap_or_default();
                if looks.contains("blanks") {
                    hints.push("if blanks set the columns apart, set `delimiter = \"whitespace\"` under `[events]`".into());
                }
                if looks.contains("data") {
                    hints.push("if the first line is data, set `header = false` and `names = [...]` under `[events]`".into());
                }
                hints
            }
            Self::Ambiguous { role, columns, .. } => {
                columns.iter().map(|column| config_line(*role, column)).chain([format!("or `{} = \"\"` for none of them", role.name())]).collect()
            }
            Self::DoubledColumn { column, .. } => vec![format!("rename one of the columns `{column}` in the file")],
            Self::LacksColumn { .. } => vec!["read files of different layouts in separate runs, or give them the same columns".into()],
            Self::NameCount { .. } => vec!["`names` gives every column of the file in order; unused ones may have any name".into()],
            Self::WrongType { role, .. } => {
                vec![format!("map another column, or `{} = \"\"` for none, under `[events.columns]`", role.name())]
            }
            Self::TimesUnreadable { .. } => vec![
                "say how they are written: `time_format = \"%d.%m.%Y %H:%M\"` under `[events]`, or \"s\", \"ms\", \"us\", \"ns\" for epochs".into(),
                "or map another column: `ts = \"...\"` under `[events.columns]`".into(),
            ],
            Self::TimesOutOfRange { better: Some((unit, date)), .. } => vec![
                format!("read as {unit} the same value is {date}: the unit is probably wrong"),
                "numbers: set `time_format` to \"s\", \"ms\", \"us\" or \"ns\" under `[events]`; typed Parquet times: write the file again".into(),
            ],
            Self::TimesOutOfRange { better: None, .. } => vec![
                "correct the dates in the file, or map another column: `ts = \"...\"` under `[events.columns]`".into(),
            ],
            Self::TooManyRejects { .. } => vec![
                "`bellwether-train check` shows what is wrong with the rows".into(),
                "if that share is acceptable, raise `max_reject_share` under `[events]`".into(),
            ],
            Self::NothingBefore { .. } => vec!["choose a later `--as-of`".into()],
            _ => Vec::new(),
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::EmptyFile { .. } | Self::NoRows { .. } => vec![("rows", 0)],
            Self::TooManyRejects { rejected, rows, by_reason, .. } => {
                let mut counts = vec![("rows", *rows), ("rejected", *rejected)];
                counts.extend(by_reason.iter().map(|count| (count.reason.code(), count.rows)));
                counts
            }
            Self::NothingLeft { rows, rejected, anonymous, .. } => {
                vec![("rows", *rows), ("rejected", *rejected), ("anonymous", *anonymous)]
            }
            Self::NothingBefore { rows, future, settling, .. } => {
                vec![("rows", *rows), ("future", *future), ("settling", *settling)]
            }
            _ => Vec::new(),
        }
    }
}
