//! The programs as a user types them: what they print and where, how they end, what they leave behind.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/clv.rs"]
mod clv;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/places.rs"]
mod places;
#[path = "cli/real_data.rs"]
mod real_data;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::assert::OutputAssertExt;
use serde_json::Value;
use tempfile::TempDir;

const TRAIN: &str = env!("CARGO_BIN_EXE_bellwether-train");

const SCORE: &str = env!("CARGO_BIN_EXE_bellwether-score");

/// How a command ended.
#[derive(Debug, PartialEq)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not one JSON value: {error}\n{}", self.out))
    }
}

/// Runs a program in `folder`, with a line split at blanks.
fn run(program: &str, folder: &Path, line: &str) -> Ended {
    let assert = Command::new(program).current_dir(folder).args(line.split_whitespace()).assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ended = Ended { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!ended.out.contains('\x1b') && !ended.err.contains('\x1b'), "colour codes in a pipe: {ended:?}");
    ended
}

fn done(program: &str, folder: &Path, line: &str) -> Ended {
    let ended = run(program, folder, line);
    assert_eq!(ended.code, 0, "{line}\n{}", ended.err);
    ended
}

/// Every file and folder below `folder`, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(tree(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn same_tree(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{what}: other files");
    for (path, bytes) in before {
        assert!(after[path] == *bytes, "{what}: {} changed", path.display());
    }
}

/// A command that must be refused: with this code and reason, in these words, with a hint, as text and as JSON,
/// and with every byte below `folder` as it was.
fn refused(program: &str, folder: &Path, line: &str, code: i32, reason: Option<&str>, words: &[&str]) {
    let before = tree(folder);
    let text = run(program, folder, line);
    assert_eq!(text.code, code, "{line}\n{text:?}");
    assert_eq!(text.out, "", "{line}: nothing but results on stdout");
    let at = text.err.find("error: ").unwrap_or_else(|| panic!("{line}\n{}", text.err));
    let message = &text.err[at..];
    for word in words {
        assert!(message.contains(word), "{line}: no `{word}` in\n{message}");
    }
    assert!(message.contains("\nhint: "), "{line}: no hint in\n{message}");
    let untouched = ["Nothing", "nothing", "No bundle", "No partition", "No memberships"];
    assert!(untouched.iter().any(|word| message.contains(word)), "{line}: what is untouched?\n{message}");
    assert!(message.contains(&format!("(exit code {code}: ")), "{line}\n{message}");

    let json = run(program, folder, &format!("{line} --json --quiet"));
    assert_eq!(json.code, code, "{line} --json");
    let error = json.json();
    assert_eq!(error["exit_code"], code, "{line}");
    assert_eq!(error["reason"].as_str(), reason, "{line}");
    assert!(message.starts_with(&format!("error: {}\n", error["error"].as_str().unwrap())), "{line}");
    assert_ne!(error["hints"].as_array().unwrap().len(), 0, "{line}");
    if code == 3 || code == 5 {
        assert!(reason.is_some() && message.contains(reason.unwrap()), "{line}");
    }
    same_tree(&before, &tree(folder), line);
}

/// A command line that cannot be understood: exit code 2 before anything is done.
fn misused(program: &str, line: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let text = run(program, folder.path(), line);
    assert_eq!((text.code, text.out.as_str()), (2, ""), "{line}\n{}", text.err);
    for word in words {
        assert!(text.err.contains(word), "{line}: no `{word}` in\n{}", text.err);
    }
    assert!(text.err.contains("--help"), "{line}: what to type next?\n{}", text.err);
    let json = run(program, folder.path(), &format!("{line} --json"));
    assert_eq!((json.code, json.json()["exit_code"].as_i64()), (2, Some(2)), "{line} --json");
    assert!(text.err.contains(json.json()["error"].as_str().unwrap()), "{line}\n{}", text.err);
    assert!(tree(folder.path()).is_empty(), "{line}: something was written");
}

/// Day `day` of 2024, whose first is 0.
fn date(day: usize) -> String {
    bellwether::time::Day(19_723 + day as i32).to_string()
}

/// Events of a small shop over the year 2024: `customers` with one to nine orders and gaps of 5 to 44 days.
fn shop(customers: usize) -> String {
    let mut csv = String::from("customer_id,ts,value\n");
    for customer in 0..customers {
        for order in 0..=customer % 9 {
            let day = (customer * 7 + order * (5 + customer % 40)) % 365;
            writeln!(csv, "c{customer},{},{}", date(day), (customer * 13 + order * 7) % 50 + 1).unwrap();
        }
    }
    csv
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// A folder of one's own with `shop.csv`, a bundle in `models` and the partition of 2024-12-31 in `scores`.
fn fitted() -> TempDir {
    static FITTED: OnceLock<TempDir> = OnceLock::new();
    let fitted = FITTED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shop.csv"), shop(300)).unwrap();
        done(TRAIN, folder.path(), "fit --events shop.csv --out models");
        done(SCORE, folder.path(), "run --bundle models --events shop.csv --out scores");
        folder
    });
    let own = tempfile::tempdir().unwrap();
    copy(fitted.path(), own.path());
    own
}

fn bundle(folder: &Path) -> PathBuf {
    let id = fs::read_to_string(folder.join("models/current")).unwrap();
    folder.join("models").join(id.trim())
}
