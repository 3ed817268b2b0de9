//! From what the user named to the files of events.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::EventsError;
use super::formats::{Compression, Format};
use crate::error::FileError;
use crate::storage::location::Location;
use crate::storage::remote::Object;

mod remote;

/// One file of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFile {
    /// Where it is: a path, or the address of an object.
    pub path: PathBuf,
    /// Its name in reports: below the folder that was named, or the bare file name.
    pub name: String,
    /// Bytes on disk.
    pub size: u64,
    /// What its object store calls the present content; `None` of a file of this machine.
    pub e_tag: Option<String>,
    /// How its rows are written.
    pub format: Format,
    /// How its bytes are packed.
    pub compression: Compression,
    /// Columns that its folders tell (`channel=web/`); `None` where the folder says that there is no value.
    pub partition: Vec<(String, Option<String>)>,
}

/// A file before its first bytes are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub path: PathBuf,
    pub name: String,
    pub partition: Vec<(String, Option<String>)>,
    /// What the listing of its store tells of it.
    pub object: Option<Object>,
}

/// What the specs of `--events` stand for.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub files: Vec<Found>,
    /// Files in folders that are left out because of their names.
    pub skipped: Vec<String>,
    /// Files that were named more than once.
    pub repeated: Vec<String>,
}

/// Files of the specs, in the order of the specs and sorted within each; each file once.
pub(crate) fn resolve(specs: &[String]) -> Result<Resolved, EventsError> {
    if specs.is_empty() {
        return Err(EventsError::NoSpecs);
    }
    let mut resolved = Resolved::default();
    let mut seen = BTreeSet::new();
    for spec in specs {
        for found in resolve_one(spec, &mut resolved.skipped)? {
            let identity = match Location::of(&found.path) {
                Some(place) => place.address(&place.key),
                None => std::fs::canonicalize(&found.path).map_err(FileError::at("find", &found.path))?,
            };
            if seen.insert(identity) {
                resolved.files.push(found);
            } else {
                resolved.repeated.push(found.path.display().to_string());
            }
        }
    }
    Ok(resolved)
}

fn resolve_one(spec: &str, skipped: &mut Vec<String>) -> Result<Vec<Found>, EventsError> {
    if let Some(place) = Location::of(spec) {
        return remote::resolve(spec, &place, skipped);
    }
    let local = match spec.split_once("://") {
        Some(("file", path)) => path,
        Some(_) => return Err(EventsError::Remote { spec: spec.into() }),
        None => spec,
    };
    let path = Path::new(local);
    if path.is_dir() {
        return folder(path, skipped);
    }
    if path.exists() {
        return Ok(vec![found(path, path.parent().unwrap_or(Path::new("")))]);
    }
    if local.contains(['*', '?', '[']) {
        return pattern(local, skipped);
    }
    Err(EventsError::NotFound { path: path.into(), nearest: nearest(path) })
}

fn folder(path: &Path, skipped: &mut Vec<String>) -> Result<Vec<Found>, EventsError> {
    let mut files = Vec::new();
    let mut left_out = Vec::new();
    walk(path, path, &mut files, &mut left_out)?;
    if files.is_empty() {
        return Err(EventsError::NoFiles { path: path.into(), skipped: left_out });
    }
    skipped.append(&mut left_out);
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<Found>, skipped: &mut Vec<String>) -> Result<(), EventsError> {
    let at = |error| FileError::at("list the folder", folder)(error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        entries.push(entry.map_err(at)?.path());
    }
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_mark(&name) {
            continue;
        }
        // A link to a folder is not followed: it may lead back to where we come from.
        let is_link = path.symlink_metadata().map_err(at)?.file_type().is_symlink();
        if path.is_dir() {
            if is_link {
                skipped.push(path.display().to_string());
            } else {
                walk(root, &path, files, skipped)?;
            }
        } else if has_event_name(&name) {
            files.push(found(&path, root));
        } else {
            skipped.push(path.display().to_string());
        }
    }
    Ok(())
}

fn pattern(spec: &str, skipped: &mut Vec<String>) -> Result<Vec<Found>, EventsError> {
    let bad = |problem| EventsError::NoMatch { pattern: spec.into(), problem };
    let paths = glob::glob(spec).map_err(|error| bad(Some(error.to_string())))?;
    let fixed: PathBuf = Path::new(spec)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let mut matched = Vec::new();
    for path in paths {
        matched.push(path.map_err(|error| FileError {
            action: "list",
            path: error.path().into(),
            source: error.into(),
        })?);
    }
    matched.sort();
    let mut files = Vec::new();
    for path in matched {
        if path.is_dir() {
            walk(&fixed, &path, &mut files, skipped)?;
        } else {
            files.push(found(&path, &fixed));
        }
    }
    if files.is_empty() { Err(bad(None)) } else { Ok(files) }
}

/// Names of events: a known ending, or none at all as some cluster tools write them.
fn has_event_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    let bare = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| lower.strip_suffix(end)).unwrap_or(&lower);
    match bare.rsplit_once('.') {
        None => true,
        Some((_, ending)) => Format::of_ending(ending).is_some(),
    }
}

/// Marks of other programs, and what we once wrote ourselves.
fn is_mark(name: &str) -> bool {
    name.starts_with(['.', '_']) || name.starts_with("rejects")
}

fn found(path: &Path, root: &Path) -> Found {
    let name = path.strip_prefix(root).unwrap_or(path);
    Found { path: path.into(), name: name.display().to_string(), partition: partition(path), object: None }
}

/// `key=value` folders on the way to a file, outermost first.
fn partition(path: &Path) -> Vec<(String, Option<String>)> {
    let folders = path.parent().into_iter().flat_map(Path::components);
    folders
        .filter_map(|part| {
            let text = part.as_os_str().to_string_lossy();
            let (key, value) = text.split_once('=')?;
            if key.is_empty() {
                return None;
            }
            let value = unescaped(value);
            let is_null = value == "__HIVE_DEFAULT_PARTITION__" || value.is_empty();
            Some((unescaped(key), (!is_null).then_some(value)))
        })
        .collect()
}

/// Hive writes characters that no folder may have as `%3A`.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_string())
}

/// The most similar name beside a path that is not there.
fn nearest(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    crate::config::nearest(&wanted, names.iter().map(String::as_str)).map(|name| parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, name: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }

    fn names(spec: &str) -> Result<(Vec<String>, Vec<String>), EventsError> {
        let resolved = resolve(&[spec.to_string()])?;
        Ok((resolved.files.into_iter().map(|file| file.name).collect(), resolved.skipped))
    }

    #[test]
    fn a_folder_gives_its_event_files_sorted() {
        let root = tempfile::tempdir().unwrap();
        for name in
            ["b.csv", "a/z.parquet", "a/part-0", "_SUCCESS", ".hidden.csv", "rejects.ndjson", "notes.md", "c.ndjson.gz"]
        {
            touch(root.path(), name);
        }
        let (files, skipped) = names(root.path().to_str().unwrap()).unwrap();
        assert_eq!(files, ["a/part-0", "a/z.parquet", "b.csv", "c.ndjson.gz"]);
        assert_eq!(skipped, [root.path().join("notes.md").display().to_string()]);
    }

    #[test]
    fn patterns_and_repeats() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "2024/b.csv");
        touch(root.path(), "2024/a.csv");
        touch(root.path(), "2025/a.csv");
        let spec = format!("{}/*/a.csv", root.path().display());
        assert_eq!(names(&spec).unwrap().0, ["2024/a.csv", "2025/a.csv"]);
        let resolved = resolve(&[root.path().display().to_string(), spec]).unwrap();
        assert_eq!((resolved.files.len(), resolved.repeated.len()), (3, 2));
        let none = format!("{}/*.parquet", root.path().display());
        assert!(matches!(resolve(&[none]), Err(EventsError::NoMatch { .. })));
    }

    #[test]
    fn partitions_are_read_from_folders() {
        let found = partition(Path::new("data/day=2024-01-01/channel=a%2Fb/c=__HIVE_DEFAULT_PARTITION__/x=1.csv"));
        let wanted = [("day", Some("2024-01-01")), ("channel", Some("a/b")), ("c", None)];
        let wanted: Vec<_> =
            wanted.into_iter().map(|(key, value)| (key.to_string(), value.map(String::from))).collect();
        assert_eq!(found, wanted);
        assert_eq!(unescaped("100%"), "100%");
        assert_eq!(unescaped("%zz%4"), "%zz%4");
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "events.parquet");
        let spec = root.path().join("event.parquet");
        let Err(EventsError::NotFound { nearest, .. }) = names(spec.to_str().unwrap()) else { panic!("not found") };
        assert_eq!(nearest, Some(root.path().join("events.parquet")));
        assert!(matches!(names("hdfs://shop/events"), Err(EventsError::Remote { .. })));
        assert!(matches!(resolve(&[]), Err(EventsError::NoSpecs)));
        touch(root.path(), "empty/readme.md");
        let empty = root.path().join("empty");
        assert!(
            matches!(names(empty.to_str().unwrap()), Err(EventsError::NoFiles { skipped, .. }) if skipped.len() == 1)
        );
    }
}
