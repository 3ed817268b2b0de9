use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entry = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(entry).collect();
    names.sort();
    names
}

fn folder_with(path: &Path, content: &str) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("data"), content).unwrap();
}

fn data(path: &Path) -> String {
    fs::read_to_string(path.join("data")).unwrap()
}

fn build(content: &str) -> impl FnOnce(&Path) -> Result<(), FileError> {
    move |folder| {
        fs::create_dir(folder.join("inner")).unwrap();
        write_atomic(&folder.join("inner/more"), |out| out.write_all(b"more"))?;
        write_atomic(&folder.join("data"), |out| out.write_all(content.as_bytes()))
    }
}

#[test]
fn a_full_disk_leaves_the_former_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    write_atomic(&path, |out| out.write_all(b"old")).unwrap();
    let error = write_atomic(&path, |out| {
        out.write_all(&[0; 100_000])?; // past the buffer, so that some of it is on disk
        Err(io::ErrorKind::StorageFull.into())
    })
    .unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().ends_with("manifest.json: cannot write"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["manifest.json"]);
    write_atomic(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["manifest.json"]);
}

#[test]
fn a_failed_or_panicking_build_leaves_the_former_folder() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("as_of=2026-08-21");
    replace_folder(&target, build("old")).unwrap();
    let error = replace_folder(&target, |folder| -> Result<(), FileError> {
        folder_with(folder, "half");
        Err(FileError { action: "write", path: folder.into(), source: io::ErrorKind::StorageFull.into() })
    });
    assert_eq!(error.unwrap_err().source.kind(), io::ErrorKind::StorageFull);
    let panicked = std::panic::catch_unwind(|| {
        replace_folder(&target, |folder| -> Result<(), FileError> {
            folder_with(folder, "half");
            std::panic::resume_unwind(Box::new("a fault"))
        })
    });
    assert!(panicked.is_err());
    assert_eq!(data(&target), "old");
    assert_eq!(names(parent.path()), ["as_of=2026-08-21"]);
    replace_folder(&target, build("new")).unwrap();
    assert_eq!(data(&target), "new");
    assert_eq!(names(parent.path()), ["as_of=2026-08-21"]);
    assert_eq!(names(&target), ["data", "inner"]);
}

/// Each state that a run killed between two steps of [`replace_folder`] leaves behind.
#[test]
fn every_crash_point_is_recovered() {
    for (found, kept) in [
        (&[("x", "old"), (".x.tmp-1-0", "half")][..], Some("old")), // killed while building
        (&[(".x.tmp-1-0", "half")], None),                          // the same, the first time ever
        (&[(".x.old-1-1", "old"), (".x.tmp-1-0", "new")], Some("old")), // between the renames
        (&[("x", "new"), (".x.old-1-1", "old")], Some("new")),      // before the former one was removed
        (&[("x", "new"), (".x.tmp-1-2", "part of old")], Some("new")), // while it was being removed
    ] {
        for by_next_run in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            for (name, content) in found {
                folder_with(&parent.path().join(name), content);
            }
            let target = parent.path().join("x");
            if by_next_run {
                replace_folder(&parent.path().join("y"), |folder| -> Result<(), FileError> {
                    assert_eq!(target.exists().then(|| data(&target)).as_deref(), kept, "{found:?}");
                    folder_with(folder, "other");
                    Ok(())
                })
                .unwrap();
                fs::remove_dir_all(parent.path().join("y")).unwrap();
            } else {
                recover(parent.path()).unwrap();
            }
            assert_eq!(target.exists().then(|| data(&target)).as_deref(), kept, "{found:?}");
            assert_eq!(names(parent.path()), kept.map(|_| "x").into_iter().collect::<Vec<_>>(), "{found:?}");
        }
    }
}

#[test]
fn a_live_run_and_foreign_files_are_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    for name in [".x.tmp-1-0", ".x.old-1-1"] {
        folder_with(&parent.path().join(name), "live");
    }
    for name in [".x.tmp", ".x.tmp-1", ".x.tmp-a-b", "x.tmp-1-0", "..tmp-1-0", ".gitignore"] {
        fs::write(parent.path().join(name), "foreign").unwrap();
    }
    let before = names(parent.path());
    let locks = [".x.tmp-1-0", ".x.old-1-1"].map(|name| {
        let folder = File::open(parent.path().join(name)).unwrap();
        folder.lock().unwrap();
        folder
    });
    recover(parent.path()).unwrap();
    assert_eq!(names(parent.path()), before);
    drop(locks);
    recover(parent.path()).unwrap();
    assert_eq!(data(&parent.path().join("x")), "live");
    assert_eq!(names(parent.path()).len(), before.len() - 1);
}

#[test]
fn runs_that_race_for_one_folder_leave_one_whole_result() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("x");
    std::thread::scope(|scope| {
        for run in 0..4 {
            let target = &target;
            scope.spawn(move || {
                for _ in 0..20 {
                    replace_folder(target, build(&run.to_string())).unwrap();
                }
            });
        }
    });
    recover(parent.path()).unwrap();
    assert_eq!(names(parent.path()), ["x"]);
    assert_eq!(names(&target), ["data", "inner"]);
    assert!(["0", "1", "2", "3"].contains(&data(&target).as_str()));
}

#[test]
fn what_cannot_be_written_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    assert!(replace_folder(&file, build("new")).unwrap_err().to_string().contains("file: cannot replace"));
    assert!(replace_folder(&file.join("x"), build("new")).is_err());
    assert!(write_atomic(&folder.path().join("missing/x"), |_| Ok(())).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"no folder");
    assert_eq!(names(folder.path()), ["file"]);

    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let mut permissions = fs::metadata(&closed).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&closed, permissions).unwrap();
    if File::create(closed.join("probe")).is_ok() {
        return; // root may write everywhere
    }
    let error = write_atomic(&closed.join("x"), |_| Ok(())).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
    let error = replace_folder(&closed.join("x"), build("new")).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
    assert!(names(&closed).is_empty());
}

#[test]
fn fingerprints_are_blake3() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc");
    fs::write(&path, "abc").unwrap();
    // https://github.com/BLAKE3-team/BLAKE3 `b3sum` of the three bytes "abc".
    assert_eq!(fingerprint(&path).unwrap(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    assert!(fingerprint(&folder.path().join("none")).is_err());
}
