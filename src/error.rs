//! How every failure is told: what happened, where, what was left untouched, what to type next.
//!
//! Each module has its own error type that keeps the facts as fields and implements [`Explain`];
//! [`Error`] carries any of them to the programs, which print it and exit with its code.

use std::fmt;

/// The public list of exit codes of both programs (contract §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All work done.
    Done = 0,
    /// A fault of bellwether's own.
    Bug = 1,
    /// Wrong usage: flags, configuration, unwritable paths.
    Usage = 2,
    /// The input data were rejected.
    DataRejected = 3,
    /// The bundle is damaged, foreign or newer than this release.
    BundleUnusable = 4,
    /// A quality gate was missed.
    GateMissed = 5,
}

/// Machine-readable cause under exit codes 3 and 5 (contract §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Fewer positive labels than anything can be learned from.
    NotEnoughPositives,
    /// Fewer customers than anything can be learned from.
    NotEnoughPopulation,
    /// No customer meets the `eligible` rule of a target.
    NoEligibleRows,
    /// Nothing is known before the scoring date.
    NoScoringData,
    /// The history is shorter than the horizon needs.
    NotEnoughHistory,
    /// The events stop before `as_of`.
    NoRecentData,
    /// The event that a target is about never happens.
    NoTargetEvent,
    /// No customer at all.
    NoPopulation,
    /// Every row was rejected or left out.
    EmptyAfterCleaning,
    /// Every label is the same.
    SingleClass,
    /// Every feature is constant or missing.
    NoUsableFeatures,
    /// A usual event type hardly comes any more.
    VolumeCollapsed,
    /// Features or predictions are distributed otherwise than they were.
    Drifted,
    /// The bundle has not seen the last months.
    BundleTooOld,
    /// A model is worse than a baseline.
    WorseThanBaseline,
    /// More rows are unusable than `max_reject_share` allows.
    TooManyRejects,
    /// The files, or their columns, cannot be understood.
    UnreadableEvents,
    /// A list of customers cannot be understood.
    UnreadableList,
}

impl Reason {
    /// The code as printed and as written to JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotEnoughPositives => "not_enough_positives",
            Self::NotEnoughPopulation => "not_enough_population",
            Self::NoEligibleRows => "no_eligible_rows",
            Self::NoScoringData => "no_scoring_data",
            Self::NotEnoughHistory => "not_enough_history",
            Self::NoRecentData => "no_recent_data",
            Self::NoTargetEvent => "no_target_event",
            Self::NoPopulation => "no_population",
            Self::EmptyAfterCleaning => "empty_after_cleaning",
            Self::SingleClass => "single_class",
            Self::NoUsableFeatures => "no_usable_features",
            Self::VolumeCollapsed => "volume_collapsed",
            Self::Drifted => "drifted",
            Self::BundleTooOld => "bundle_too_old",
            Self::WorseThanBaseline => "worse_than_baseline",
            Self::TooManyRejects => "too_many_rejects",
            Self::UnreadableEvents => "unreadable_events",
            Self::UnreadableList => "unreadable_list",
        }
    }
}

/// An error that can be acted on. `Display` is the one-line summary, without a full stop.
pub trait Explain: std::error::Error + Send + Sync + 'static {
    /// The exit code of a program that ends with this error.
    fn exit_code(&self) -> ExitCode;
    /// The reason code under exit codes 3 and 5.
    fn reason(&self) -> Option<Reason> {
        None
    }
    /// Lines below the summary: where, with which figures, what was left untouched.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }
    /// What to type next, literals in backticks; each is printed after `hint: `.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
    /// Counts that belong to the reason code, for JSON.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
    /// Measured figures and their limits, for JSON.
    fn figures(&self) -> Vec<(String, f64)> {
        Vec::new()
    }
}

/// Any error of the crate.
pub struct Error(Box<dyn Explain>);

impl Error {
    /// The explained error inside.
    pub fn explain(&self) -> &dyn Explain {
        &*self.0
    }

    /// The exit code of a program that ends with this error.
    pub fn exit_code(&self) -> ExitCode {
        self.0.exit_code()
    }

    fn causes(&self) -> impl Iterator<Item = &dyn std::error::Error> {
        std::iter::successors(self.0.source(), |cause| cause.source())
    }

    /// The JSON object printed under `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let counts: serde_json::Map<_, _> =
            self.0.counts().into_iter().map(|(name, count)| (name.to_string(), count.into())).collect();
        let figures: serde_json::Map<_, _> =
            self.0.figures().into_iter().map(|(name, figure)| (name, figure.into())).collect();
        let causes: Vec<String> = self.causes().map(ToString::to_string).collect();
        serde_json::json!({
            "error": self.0.to_string(),
            "causes": causes,
            "exit_code": self.exit_code() as u8,
            "reason": self.0.reason().map(Reason::code),
            "counts": counts,
            "figures": figures,
            "details": self.0.details(),
            "hints": self.0.hints(),
        })
    }

    /// The whole message for a person, several lines.
    pub fn to_text(&self) -> String {
        use fmt::Write;
        let mut text = format!("error: {}\n", self.0);
        for cause in self.causes() {
            let _ = writeln!(text, "  because: {cause}");
        }
        for line in self.0.details() {
            let _ = writeln!(text, "  {line}");
        }
        let hints = self.0.hints();
        if !hints.is_empty() {
            text.push('\n');
        }
        for hint in hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        let meaning = match self.exit_code() {
            ExitCode::Done => "done",
            ExitCode::Bug => "a fault of bellwether itself; please report it",
            ExitCode::Usage => "wrong usage",
            ExitCode::DataRejected => "input data rejected",
            ExitCode::BundleUnusable => "bundle unusable",
            ExitCode::GateMissed => "quality gate missed",
        };
        let reason = self.0.reason().map(|reason| format!(", {}", reason.code())).unwrap_or_default();
        let _ = writeln!(text, "(exit code {}: {meaning}{reason})", self.exit_code() as u8);
        text
    }
}

impl<E: Explain> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}", path.display())]
pub struct FileError {
    /// What was tried, as a verb phrase: "read", "create the folder".
    pub action: &'static str,
    /// Where.
    pub path: std::path::PathBuf,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

impl FileError {
    /// For `map_err`: names the action and the path beside the system's answer.
    pub fn at(action: &'static str, path: impl Into<std::path::PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }

    /// A file that was read and is not what was written.
    pub(crate) fn damaged(
        path: impl Into<std::path::PathBuf>,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        Self { action: "read", path: path.into(), source }
    }

    /// The day of the partition of scores that the file is a part of.
    fn partition(&self) -> Option<&str> {
        let folder = self.path.parent()?.file_name()?.to_str()?;
        let is_scores = self.path.file_name()?.to_str().is_some_and(|name| !name.starts_with("memberships"));
        folder.strip_prefix("as_of=").filter(|_| is_scores)
    }
}

impl Explain for FileError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing half-written was left behind.".into()]
    }

    fn hints(&self) -> Vec<String> {
        use std::io::ErrorKind;
        if let Some(problem) = crate::storage::remote::problem_of(&self.source) {
            return problem.hints();
        }
        let is_damaged = matches!(
            self.source.kind(),
            ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::Other
        );
        if let Some(day) = self.partition().filter(|_| is_damaged && self.action == "read") {
            return vec![format!("the partition is damaged; `bellwether-score run --as-of {day}` writes it again")];
        }
        let hint = match self.source.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                "a file is where a folder is needed: name another folder"
            }
            ErrorKind::IsADirectory => "a folder is where a file is needed: name another file",
            ErrorKind::Unsupported if crate::storage::is_remote(&self.path) => {
                "name a file on this machine; of what is written, bundles, scores, memberships, features and rejected rows \
                 may be in an object store"
            }
            ErrorKind::NotFound if crate::storage::is_remote(&self.path) => {
                "check the address: a store compares it letter by letter"
            }
            ErrorKind::InvalidFilename => "take another name: one that begins with a point is for work in progress",
            ErrorKind::NotFound => "check the path, and the folder from which it is seen",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "name another place, or have the rights to this one granted"
            }
            ErrorKind::FileTooLarge => "have the limit on the size of files raised (`ulimit -f`)",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "make room on the disk, or name a place on another one"
            }
            _ => return Vec::new(),
        };
        vec![hint.into()]
    }
}
