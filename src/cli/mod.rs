//! What both programs share: flags, progress, messages, exit codes.

mod metrics;
mod terminal;

use std::io::Write;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::{Args, Parser, ValueEnum};

use crate::error::{Error, ExitCode, Explain};
use crate::guard;
use crate::lists::ListFiles;
use crate::timeline::Budget;

pub use metrics::write_metrics;
pub use terminal::Terminal;

/// How progress, notes, warnings and errors are written on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, without a time: whoever collects the lines knows it.
    Json,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct CommonFlags {
    /// Print the result, warnings and errors, but no progress and no notes
    #[arg(long, short, global = true, help_heading = COMMON)]
    pub quiet: bool,
    /// Print the result, or the error, as one JSON object on stdout
    #[arg(long, global = true, help_heading = COMMON)]
    pub json: bool,
    /// How progress, notes, warnings and errors are written on stderr
    #[arg(long, global = true, help_heading = COMMON, value_enum, default_value_t, value_name = "FORMAT")]
    pub log: LogFormat,
    /// Threads to work with [default: one for each processor]; results do not depend on it
    #[arg(long, global = true, help_heading = COMMON, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

const COMMON: &str = "Options of every command";

/// Flags of the commands that hold timelines.
#[derive(Debug, Clone, Args)]
pub struct MemoryFlags {
    /// Memory to stay within, such as 1GiB; timelines that do not fit are put aside on disk [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<ByteSize>,
    /// Folder for what is put aside, in a file that no crash leaves behind [default: the system's temporary folder]
    #[arg(long, value_name = "DIR", requires = "memory")]
    pub spill_dir: Option<PathBuf>,
}

/// What is known of customers beside their events.
#[derive(Debug, Clone, clap::Args)]
pub struct AttributeFlags {
    /// Files of what is known of customers beside their events: customer_id, any columns, optionally valid_from
    /// [default: `[attributes] path` of the settings]
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub attributes: Vec<String>,
}

impl MemoryFlags {
    /// What timelines may take.
    pub fn budget(&self) -> Budget {
        Budget { bytes: self.memory.map(|size| size.as_u64()), folder: self.spill_dir.clone() }
    }
}

/// Flags of the commands that read events of customers who may go by other names, or are to be forgotten.
#[derive(Debug, Clone, Args)]
pub struct ListFlags {
    /// List of customers whose events are not read: customer_id [default: `[lists] forget`]
    #[arg(long, value_name = "FILE")]
    pub forget: Option<PathBuf>,
    /// List of other names: alias, customer_id, from [default: `[lists] id_map`]
    #[arg(long, value_name = "FILE")]
    pub id_map: Option<PathBuf>,
}

impl ListFlags {
    /// The lists that are named.
    pub fn files(self, exclusions: Option<PathBuf>) -> ListFiles {
        ListFiles { forget: self.forget, exclusions, id_map: self.id_map }
    }
}

/// Whole seconds of a span such as `60s` or `5m`.
///
/// # Errors
/// What is no span of at least a second.
pub fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no time; write it as `60s` or `5m`");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    u32::try_from(span.as_secs()).ok().filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| format!("`{text}` is no size; write it as `1GiB` or `800MB`"))?;
    if size < Budget::LEAST {
        return Err(format!("decoding alone takes more than that; give at least {}", Budget::LEAST.display().iec()));
    }
    Ok(size)
}

/// The last lines of every help text.
pub const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 a fault of bellwether   2 wrong usage   3 data rejected
  4 bundle unusable   5 quality gate missed";

#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} threads")]
struct ThreadsError {
    threads: u16,
    #[source]
    source: rayon::ThreadPoolBuildError,
}

impl Explain for ThreadsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the command stopped where it should not")]
struct Fault;

impl Explain for Fault {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Bug
    }

    fn hints(&self) -> Vec<String> {
        vec!["report the command and the lines above; a former bundle or partition is untouched".into()]
    }
}

/// What was typed. Help, or a mistake, ends the program here: with exit code 2, and as JSON too if that was asked for.
pub fn parse<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default();
            let message = first.strip_prefix("error: ").unwrap_or(first);
            let details: Vec<&str> = lines.filter(|line| !line.starts_with("For more information")).collect();
            print(&json(&serde_json::json!({
                "error": message,
                "causes": [],
                "exit_code": ExitCode::Usage as u8,
                "reason": null,
                "counts": {},
                "figures": {},
                "details": details,
                "hints": ["`--help` shows every flag, and examples"],
            })));
        }
        error.exit()
    })
}

/// A path, or a pattern, as a shell takes it.
pub fn shell(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Prints a result on stdout. A reader that has gone away is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// A result as JSON.
pub fn json(result: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(result).expect("our own results have JSON forms")
}

/// Runs a command with its threads and turns what became of it into an exit code.
pub fn main_with(
    flags: &CommonFlags,
    command: impl FnOnce(&Terminal) -> Result<ExitCode, Error>,
) -> std::process::ExitCode {
    let started = match flags.threads {
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .map_err(|source| Error::from(ThreadsError { threads, source })),
        None => Ok(()),
    };
    let terminal = Terminal::new(flags.quiet, flags.log);
    guard::keep_silent();
    let result = started.and_then(|()| {
        // A panic prints where it happened; what is left is to say so as every other error does.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command(&terminal)))
            .unwrap_or_else(|_| Err(Fault.into()))
    });
    terminal.finish();
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            if flags.json {
                print(&format!("{:#}", error.to_json()));
            }
            terminal.error(&error);
            error.exit_code()
        }
    };
    std::process::ExitCode::from(code as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell("data/as_of=2026-08-21/a.csv"), "data/as_of=2026-08-21/a.csv");
        assert_eq!(shell("my shop/*.csv"), "'my shop/*.csv'");
        assert_eq!(shell("it's"), r"'it'\''s'");
    }
}
