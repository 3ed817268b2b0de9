use std::io;

use super::*;
use crate::error::FileError;
use crate::storage::location::Location;

fn bucket(name: &str) -> Bucket {
    Bucket::of(&Location::of(format!("memory://{name}")).unwrap()).unwrap()
}

fn put(bucket: &Bucket, key: &str, content: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    bucket.upload(file.path(), key).unwrap();
}

/// Keys and contents of a bucket.
fn all(bucket: &Bucket) -> BTreeMap<String, String> {
    let read = |object: Object| {
        let (bytes, _) = bucket.read(&object.key).unwrap().unwrap();
        (object.key, String::from_utf8(bytes.to_vec()).unwrap())
    };
    bucket.list("").unwrap().into_iter().map(read).collect()
}

fn write(workplace: &Workplace, name: &str, content: &str) {
    let path = workplace.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, content)| (key.to_string(), content.to_string())).collect()
}

#[test]
fn a_local_folder_is_its_own_workplace() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("scores");
    let mut workplace = Workplace::lock(&named, |_| true, &Silent).unwrap();
    assert_eq!(workplace.folder(), named);
    assert!(!workplace.is_remote());
    assert!(Workplace::lock(&named, |_| true, &Silent).is_err(), "a second run is refused");
    workplace.publish(&Silent).unwrap();
    assert_eq!(workplace.address(&named.join("x")), named.join("x"));
}

#[test]
fn folders_that_lie_deeper_are_folders_too() {
    let bucket = bucket("deeper");
    let named = Path::new("memory://deeper/scores");
    put(&bucket, "scores/groups/as_of=1/part-0.csv", "old rows");
    put(&bucket, "scores/groups/as_of=1/stale.csv", "older rows");
    put(&bucket, "scores/groups/as_of=1/manifest.json", "old");
    put(&bucket, "scores/groups/as_of=2/part-0.csv", "half sent");
    let mut workplace = Workplace::lock(named, |_| true, &Silent).unwrap();
    let here = |workplace: &Workplace, name: &str| fs::read_to_string(workplace.folder().join(name)).ok();
    assert_eq!(here(&workplace, "groups/as_of=1/part-0.csv").as_deref(), Some("old rows"));
    assert_eq!(here(&workplace, "groups/as_of=2/part-0.csv"), None, "what has no manifest is not there");
    fs::remove_dir_all(workplace.folder().join("groups/as_of=1")).unwrap();
    write(&workplace, "groups/as_of=1/part-0.csv", "new rows");
    write(&workplace, "groups/as_of=1/manifest.json", "new");
    workplace.publish(&Silent).unwrap();
    let mut got = all(&bucket);
    got.retain(|key, _| key.contains("/groups/"));
    let want = pairs(&[
        ("scores/groups/as_of=1/manifest.json", "new"),
        ("scores/groups/as_of=1/part-0.csv", "new rows"),
        ("scores/groups/as_of=2/part-0.csv", "half sent"),
    ]);
    assert_eq!(got, want);
}

#[test]
fn new_folders_replace_old_ones_and_single_files_their_like() {
    let bucket = bucket("replace");
    let named = Path::new("memory://replace/scores/");
    put(&bucket, "scores/as_of=1/part-0.parquet", "old rows");
    put(&bucket, "scores/as_of=1/part-1.parquet", "more old rows");
    put(&bucket, "scores/as_of=1/manifest.json", "old");
    put(&bucket, "scores/as_of=2/part-0.parquet", "half sent");
    put(&bucket, "scores/rejects.ndjson", "old rejects");
    put(&bucket, "other", "x");
    let mut workplace = Workplace::lock(named, |name| !name.contains("part-"), &Silent).unwrap();
    let here = |workplace: &Workplace, name: &str| fs::read_to_string(workplace.folder().join(name)).ok();
    assert_eq!(here(&workplace, "as_of=1/manifest.json").as_deref(), Some("old"));
    assert_eq!(here(&workplace, "as_of=1/part-0.parquet"), None, "not wanted yet");
    assert!(!workplace.folder().join("as_of=2").exists(), "what has no manifest is not there");
    workplace.fetch(|name| name == "as_of=1/part-0.parquet").unwrap();
    assert_eq!(here(&workplace, "as_of=1/part-0.parquet").as_deref(), Some("old rows"));
    let before = all(&bucket);
    workplace.publish(&Silent).unwrap();
    assert_eq!(all(&bucket), before, "nothing has changed");

    write(&workplace, "as_of=1/realised.json", "judged"); // beside old rows
    write(&workplace, "as_of=2/part-0.parquet", "new rows");
    write(&workplace, "as_of=2/manifest.json", "new");
    write(&workplace, "current", "as_of=2");
    write(&workplace, ".hidden", "x");
    workplace.publish(&Silent).unwrap();
    drop(workplace);
    let mut wanted = pairs(&[
        ("other", "x"),
        ("scores/as_of=1/manifest.json", "old"),
        ("scores/as_of=1/part-0.parquet", "old rows"),
        ("scores/as_of=1/part-1.parquet", "more old rows"),
        ("scores/as_of=1/realised.json", "judged"),
        ("scores/as_of=2/manifest.json", "new"),
        ("scores/as_of=2/part-0.parquet", "new rows"),
        ("scores/current", "as_of=2"),
        ("scores/rejects.ndjson", "old rejects"),
    ]);
    assert_eq!(all(&bucket), wanted);

    // The first folder anew, with fewer files: the lock is taken for the time of writing.
    let mut workplace = Workplace::open(named, |_| false).unwrap();
    write(&workplace, "as_of=1/part-0.parquet", "new rows");
    write(&workplace, "as_of=1/manifest.json", "new");
    workplace.publish(&Silent).unwrap();
    wanted.remove("scores/as_of=1/part-1.parquet");
    wanted.remove("scores/as_of=1/realised.json");
    wanted.insert("scores/as_of=1/manifest.json".into(), "new".into());
    wanted.insert("scores/as_of=1/part-0.parquet".into(), "new rows".into());
    assert_eq!(all(&bucket), wanted);
}

#[test]
fn work_that_fails_leaves_the_rejects_and_tells_addresses() {
    let bucket = bucket("failed");
    let named = Path::new("memory://failed/scores");
    let mut workplace = Workplace::open(named, |_| true).unwrap();
    write(&workplace, "rejects.ndjson", "a row");
    write(&workplace, "as_of=1/manifest.json", "new");
    let path = workplace.folder().join("as_of=1/part-0.parquet");
    let failed = FileError::at("write", &path)(io::ErrorKind::StorageFull.into());
    let error = workplace.finish(Err::<(), Error>(failed.into()), &Silent).unwrap_err();
    assert_eq!(error.to_string(), "memory://failed/scores/as_of=1/part-0.parquet: cannot write");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.to_text().contains("make room on the disk"), "{}", error.to_text());
    assert_eq!(all(&bucket), pairs(&[("scores/rejects.ndjson", "a row")]));
    assert_eq!(workplace.address(&path), named.join("as_of=1/part-0.parquet"));
}

#[test]
fn a_folder_that_is_replaced_while_it_is_read_is_read_again() {
    let bucket = bucket("reader");
    let named = Path::new("memory://reader");
    put(&bucket, "as_of=1/manifest.json", "old");
    put(&bucket, "as_of=1/part-0.parquet", "old rows");
    let mut workplace = Workplace::open(named, |_| false).unwrap();
    // Listed before, read after: the manifest that was listed is no more.
    put(&bucket, "as_of=1/part-0.parquet", "new rows");
    put(&bucket, "as_of=1/manifest.json", "new");
    workplace.fetch(|_| true).unwrap();
    let here = |name: &str| fs::read_to_string(workplace.folder().join(name)).unwrap();
    assert_eq!((here("as_of=1/manifest.json"), here("as_of=1/part-0.parquet")), ("new".into(), "new rows".into()));
    // In the middle of a replacement there is nothing.
    bucket.delete(&["as_of=1/manifest.json".to_string()]).unwrap();
    let workplace = Workplace::open(named, |_| true).unwrap();
    assert!(!workplace.folder().join("as_of=1").exists());
}
