//! What both programs share: flags, progress, messages, exit codes.

mod terminal;

use std::io::Write;

use clap::Args;

use crate::error::{Error, ExitCode, Explain};

pub use terminal::Terminal;

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct CommonFlags {
    /// Print errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print results, and errors, as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads to work with [default: one for each processor]; results do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

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
    let terminal = Terminal::new(flags.quiet);
    let result = started.and_then(|()| {
        // A panic is a fault of ours: exit code 1, after the message that the panic itself prints.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command(&terminal))).unwrap_or(Ok(ExitCode::Bug))
    });
    terminal.finish();
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            if flags.json {
                print(&format!("{:#}", error.to_json()));
            }
            let _ = std::io::stderr().lock().write_all(error.to_text().as_bytes());
            error.exit_code()
        }
    };
    std::process::ExitCode::from(code as u8)
}
