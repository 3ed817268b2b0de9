//! From an address in an object store to the objects of events.

use std::path::Path;

use super::{EventsError, Found, found, has_event_name, is_mark};
use crate::storage::location::Location;
use crate::storage::remote::{Bucket, Object};

const PATTERN: [char; 3] = ['*', '?', '['];

/// Objects of an address: the object itself, those of a folder, or those that a pattern matches; sorted.
pub(super) fn resolve(spec: &str, place: &Location, skipped: &mut Vec<String>) -> Result<Vec<Found>, EventsError> {
    let bucket = Bucket::of(place)?;
    let key = place.key.as_str();
    let the_object = || -> Result<Option<Vec<Found>>, EventsError> {
        let object = if spec.ends_with('/') { None } else { bucket.find(key)? };
        Ok(object.map(|object| vec![found_object(place, object, folder_of(key))]))
    };
    // A name without an ending is rather that of a folder; to ask for it as an object is a request more.
    let is_named_as_file = key.rsplit('/').next().is_some_and(|name| name.contains('.'));
    if is_named_as_file && let Some(found) = the_object()? {
        return Ok(found);
    }
    if key.contains(PATTERN) {
        return pattern(spec, place, &bucket, skipped);
    }
    let mut left_out = Vec::new();
    let files = below(place, &bucket, key, key, &mut left_out)?;
    if !files.is_empty() {
        skipped.append(&mut left_out);
        return Ok(files);
    }
    if !is_named_as_file && let Some(found) = the_object()? {
        return Ok(found);
    }
    if !left_out.is_empty() {
        return Err(EventsError::NoFiles { path: spec.into(), skipped: left_out });
    }
    let names = bucket.list_level(key)?;
    let wanted = key.rsplit('/').next().unwrap_or(key);
    let nearest = crate::config::nearest(wanted, names.iter().map(String::as_str));
    let nearest = nearest.map(|name| Path::new(spec.trim_end_matches('/')).with_file_name(name));
    Err(EventsError::NotFound { path: spec.into(), nearest })
}

fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// An object, named from the folder `root` on. What a listing leaves out is asked for later.
fn found_object(place: &Location, object: Object, root: &str) -> Found {
    let found = found(&place.address(&object.key), &place.address(root));
    Found { object: object.e_tag.is_some().then_some(object), ..found }
}

/// Events below a folder, named from `root` on.
fn below(
    place: &Location,
    bucket: &Bucket,
    folder: &str,
    root: &str,
    skipped: &mut Vec<String>,
) -> Result<Vec<Found>, EventsError> {
    let mut files = Vec::new();
    for object in bucket.list(folder)? {
        let rest = object.key.strip_prefix(folder).unwrap_or(&object.key).trim_start_matches('/');
        let name = rest.rsplit('/').next().unwrap_or(rest);
        if rest.split('/').any(is_mark) {
            continue;
        }
        if has_event_name(name) {
            files.push(found_object(place, object, root));
        } else {
            skipped.push(place.address(&object.key).display().to_string());
        }
    }
    Ok(files)
}

/// Objects whose keys a pattern matches, and events in the folders that it matches, as a shell would name them.
fn pattern(
    spec: &str,
    place: &Location,
    bucket: &Bucket,
    skipped: &mut Vec<String>,
) -> Result<Vec<Found>, EventsError> {
    let bad = |problem| EventsError::NoMatch { pattern: spec.into(), problem };
    let pattern = glob::Pattern::new(&place.key).map_err(|error| bad(Some(error.to_string())))?;
    let fixed: Vec<&str> = place.key.split('/').take_while(|part| !part.contains(PATTERN)).collect();
    let fixed = fixed.join("/");
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let is_match = |key: &str| pattern.matches_with(key, options);
    let mut files = Vec::new();
    let mut seen_folders = Vec::new();
    for object in bucket.list(&fixed)? {
        if is_match(&object.key) {
            files.push(found_object(place, object, &fixed));
            continue;
        }
        let key = object.key.as_str();
        let ends = key.match_indices('/').map(|(at, _)| &key[..at]);
        let folder = ends.into_iter().find(|folder| folder.len() > fixed.len() && is_match(folder));
        if let Some(folder) = folder.filter(|folder| !seen_folders.iter().any(|seen| seen == folder)) {
            files.extend(below(place, bucket, folder, &fixed, skipped)?);
            seen_folders.push(folder.to_string());
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if files.is_empty() { Err(bad(None)) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::source::{Resolved, resolve};

    fn bucket(name: &str, keys: &[&str]) {
        let bucket = Bucket::of(&Location::of(format!("memory://{name}")).unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x").unwrap();
        for key in keys {
            bucket.upload(file.path(), key).unwrap();
        }
    }

    fn names(spec: &str) -> Result<(Vec<String>, Vec<String>), EventsError> {
        let Resolved { files, skipped, .. } = resolve(&[spec.to_string()])?;
        Ok((files.into_iter().map(|file| file.name).collect(), skipped))
    }

    #[test]
    fn objects_are_found_as_files_are() {
        bucket(
            "found",
            &[
                "shop/b.csv",
                "shop/a/z.parquet",
                "shop/a/part-0",
                "shop/_SUCCESS",
                "shop/_temporary/x.csv",
                "shop/rejects.ndjson",
                "shop/notes.md",
                "shopping/c.csv",
                "only/readme.md",
            ],
        );
        let files = ["a/part-0", "a/z.parquet", "b.csv"].map(String::from).to_vec();
        let skipped = vec!["memory://found/shop/notes.md".to_string()];
        assert_eq!(names("memory://found/shop").unwrap(), (files.clone(), skipped.clone()));
        assert_eq!(names("memory://found/shop/").unwrap(), (files, skipped));
        assert_eq!(names("memory://found/shop/b.csv").unwrap().0, ["b.csv"]);
        assert_eq!(names("memory://found/shop/*.csv").unwrap().0, ["b.csv"], "a star stops at a slash");
        assert_eq!(names("memory://found/*/b.csv").unwrap().0, ["shop/b.csv"]);
        assert_eq!(names("memory://found/sh*/a").unwrap().0, ["shop/a/part-0", "shop/a/z.parquet"]);
        assert!(matches!(names("memory://found/shop/*.tsv"), Err(EventsError::NoMatch { .. })));
        let Err(EventsError::NotFound { nearest, .. }) = names("memory://found/shop/c.csv") else { panic!() };
        assert_eq!(nearest.as_deref(), Some(Path::new("memory://found/shop/b.csv")));
        let only = names("memory://found/only");
        assert!(matches!(only, Err(EventsError::NoFiles { skipped, .. }) if skipped.len() == 1));
    }

    #[test]
    fn partitions_are_read_from_keys_and_objects_are_named_once() {
        bucket("hive", &["events/day=2024-01-01/channel=web/x.csv", "events/day=2024-01-02/channel=app/x.csv"]);
        let specs = ["memory://hive/events", "memory://hive/events/*/*/x.csv"].map(String::from);
        let resolved = resolve(&specs).unwrap();
        assert_eq!((resolved.files.len(), resolved.repeated.len()), (2, 2));
        let partition = [("day", "2024-01-01"), ("channel", "web")];
        let partition = partition.map(|(key, value)| (key.to_string(), Some(value.to_string())));
        assert_eq!(resolved.files[0].partition, partition);
        assert_eq!(resolved.files[0].name, "day=2024-01-01/channel=web/x.csv");
    }
}
