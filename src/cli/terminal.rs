//! Stages, notes and warnings on stderr; bars on a terminal only.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::LogFormat;
use crate::error::Error;
use crate::progress::Observer;

/// Tells a person at a terminal, or a log file, what is being done.
pub struct Terminal {
    quiet: bool,
    log: LogFormat,
    bar: Option<ProgressBar>,
    /// Notes and warnings are told once, though several stages may come to them.
    told: Mutex<BTreeSet<String>>,
}

impl Terminal {
    /// Silent but for warnings when `quiet`.
    pub fn new(quiet: bool, log: LogFormat) -> Self {
        let is_seen = !quiet && log == LogFormat::Text && std::io::stderr().is_terminal();
        let bar = is_seen.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent:>3} % {elapsed}");
            let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { quiet, log, bar, told: Mutex::default() }
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

    /// A line of the log: for people as it is, or as JSON with what it is.
    fn tell(&self, level: &str, event: &str, text: &str, for_people: &str) {
        match self.log {
            LogFormat::Text => self.line(for_people),
            LogFormat::Json => {
                let line = serde_json::json!({ "level": level, "event": event, "message": text });
                self.line(&line.to_string());
            }
        }
    }

    /// What was done, with its facts: a line of a JSON log, and nothing for people, who see the result.
    pub fn event(&self, event: &str, facts: &serde_json::Value) {
        if self.log == LogFormat::Json && !self.quiet {
            let mut line = serde_json::json!({ "level": "info", "event": event });
            if let (Some(line), Some(facts)) = (line.as_object_mut(), facts.as_object()) {
                line.extend(facts.clone());
            }
            self.line(&line.to_string());
        }
    }

    /// Why the command ends.
    pub fn error(&self, error: &Error) {
        match self.log {
            LogFormat::Text => {
                let _ = std::io::stderr().lock().write_all(error.to_text().as_bytes());
            }
            LogFormat::Json => {
                let mut line = serde_json::json!({ "level": "error", "event": "error" });
                if let (Some(line), Some(facts)) = (line.as_object_mut(), error.to_json().as_object()) {
                    line.extend(facts.clone());
                }
                self.line(&line.to_string());
            }
        }
    }

    fn is_new(&self, text: &str) -> bool {
        self.told.lock().is_ok_and(|mut told| told.insert(text.to_string()))
    }

    /// Says what to type next, after the result.
    pub fn next(&self, command: &str) {
        if !self.quiet {
            self.tell("info", "next", command, &format!("\nnext:\n  {command}"));
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
            None if !self.quiet => self.tell("info", "stage", what, &format!("{what} …")),
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
            self.tell("info", "note", text, text);
        }
    }

    fn warn(&self, text: &str) {
        if self.is_new(text) {
            self.tell("warning", "warning", text, &format!("warning: {text}"));
        }
    }
}
