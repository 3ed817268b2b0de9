//! Stages, notes and warnings on stderr; bars on a terminal only.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Observer;

/// Tells a person at a terminal, or a log file, what is being done.
pub struct Terminal {
    quiet: bool,
    bar: Option<ProgressBar>,
    /// Notes and warnings are told once, though several stages may come to them.
    told: Mutex<BTreeSet<String>>,
}

impl Terminal {
    /// Silent but for warnings when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent:>3} % {elapsed}");
            let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { quiet, bar, told: Mutex::default() }
    }

    fn line(&self, text: &str) {
        let write = || {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn is_new(&self, text: &str) -> bool {
        self.told.lock().is_ok_and(|mut told| told.insert(text.to_string()))
    }

    /// Says what to type next, after the result.
    pub fn next(&self, command: &str) {
        if !self.quiet {
            self.line(&format!("\nnext:\n  {command}"));
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Terminal {
    fn stage(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(0);
                bar.set_position(0);
                bar.set_message(what.to_string());
            }
            None if !self.quiet => self.line(&format!("{what} …")),
            None => {}
        }
    }

    fn advance(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet && self.is_new(text) {
            self.line(text);
        }
    }

    fn warn(&self, text: &str) {
        if self.is_new(text) {
            self.line(&format!("warning: {text}"));
        }
    }
}
