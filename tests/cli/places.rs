//! Bundles, folders and criteria that cannot be used, and runs that are killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{SCORE, TRAIN, bundle, done, fitted, refused, shop, tree};

#[test]
fn a_bundle_that_cannot_be_trusted_is_refused_by_name() {
    let score = "run --bundle models --events shop.csv --out scores";
    let damaged = |name: &str, damage: &dyn Fn(Vec<u8>) -> Vec<u8>, words: &[&str]| {
        let folder = fitted();
        let path = bundle(folder.path()).join(name);
        fs::write(&path, damage(fs::read(&path).unwrap())).unwrap();
        refused(SCORE, folder.path(), score, 4, None, words);
    };
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "no {from}");
            text.replacen(from, to, 1).into_bytes()
        }
    };
    damaged("parameters.json", &|bytes| [bytes, b" ".to_vec()].concat(), &["parameters.json: damaged", "again"]);
    damaged("parameters.json", &|bytes| bytes[..bytes.len() / 2].to_vec(), &["parameters.json: damaged"]);
    damaged("report.json", &|_| Vec::new(), &["report.json: damaged"]);
    damaged("manifest.json", &|bytes| bytes[..100].to_vec(), &["manifest.json: cannot be understood"]);
    damaged("manifest.json", &replace("\"format\": 1", "\"format\": 99"), &["format 99", "up to 1", "release"]);
    damaged("manifest.json", &replace("bellwether bundle", "another thing"), &["not a bellwether bundle"]);
    damaged("manifest.json", &replace("\"customers\": 300", "\"customers\": 301"), &["manifest.json: damaged"]);

    let folder = fitted();
    fs::remove_file(bundle(folder.path()).join("parameters.json")).unwrap();
    refused(SCORE, folder.path(), score, 4, None, &["parameters.json: cannot read"]);
    fs::write(folder.path().join("models/current"), "2024-12-31-gone\n").unwrap();
    refused(SCORE, folder.path(), score, 4, None, &["2024-12-31-gone: no bundle", "bellwether-train fit"]);
    let line = "run --bundle nowhere --events shop.csv --out scores";
    refused(SCORE, folder.path(), line, 4, None, &["nowhere: no bundle", "bellwether-train fit"]);
}

#[test]
fn events_that_stop_too_early_are_not_scored() {
    let folder = fitted();
    let here = folder.path();
    let line = "run --bundle models --events shop.csv --out scores --as-of 2025-01-03";
    let words = ["the 3 days before the scoring date", "last event 2024-12-30", "--as-of 2024-12-31", "--max-gap 3"];
    refused(SCORE, here, line, 5, Some("no_recent_data"), &words);
    refused(SCORE, here, &format!("{line} --max-gap 2"), 5, Some("no_recent_data"), &words);
    let ended = done(SCORE, here, &format!("{line} --max-gap 3"));
    assert!(ended.err.contains("warning: The events stop 3 days before as_of"), "{}", ended.err);
    assert!(here.join("scores/as_of=2025-01-03/manifest.json").is_file());
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("file"), "in the way").unwrap();
    fs::write(here.join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n").unwrap();
    let words = ["file", "because: ", "a file is where a folder is needed"];
    for (program, line) in [
        (TRAIN, "fit --events shop.csv --out file"),
        (TRAIN, "fit --events shop.csv --out file/models"),
        (SCORE, "run --bundle models --events shop.csv --out file"),
        (SCORE, "run --bundle models --events shop.csv --out scores --segments segments.toml --segments-out file"),
    ] {
        refused(program, here, line, 2, None, &words);
    }
    let line = "simulate --customers 10 --days 30 --out file";
    refused(TRAIN, here, line, 2, None, &["file: is no folder", "name a new or empty folder"]);
    let line = "segment --scores scores --segments nowhere.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &["nowhere.toml: cannot read the segments", "check the path"]);
    fs::create_dir(here.join("folder")).unwrap();
    let line = "run --bundle models --events shop.csv --out scores --rejects folder";
    refused(SCORE, here, line, 2, None, &["folder: cannot write the rejects file"]);
}

/// Devices are written to, never replaced or removed; a link stands for them, so that a fault would cost only the link.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_a_device_stays_a_device() {
    use std::os::unix::fs::symlink;
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("some.csv"), shop(300) + "c1,2024-05-05,NaN\n").unwrap();
    symlink("/dev/full", here.join("full")).unwrap();
    symlink("/dev/null", here.join("null")).unwrap();
    let line = "run --bundle models --events some.csv --out scores --rejects full";
    refused(SCORE, here, line, 2, None, &["full: cannot write the rejects file", "No space left", "make room"]);
    for events in ["some.csv", "shop.csv"] {
        done(SCORE, here, &format!("run --bundle models --events {events} --out scores --rejects null"));
    }
    for name in ["full", "null"] {
        let link = fs::symlink_metadata(here.join(name)).unwrap();
        assert!(link.is_symlink(), "{name} was replaced");
    }
}

#[test]
fn misspelt_and_missing_columns_of_criteria_are_told_before_anything_is_scored() {
    let folder = fitted();
    let here = folder.path();
    let criteria = |file: &str, predicate: &str| {
        let text = format!("[[segment]]\nname = \"leaving\"\nwhere = \"{predicate}\"\n");
        fs::write(here.join(file), text).unwrap();
    };
    criteria("misspelt.toml", "churn_percentle >= 80");
    criteria("history.toml", "churn_percentile >= 80 AND purchases >= 2");
    let words = ["segment `leaving`", "unknown column `churn_percentle`", "did you mean `churn_percentile`?"];
    // Events that do not exist, and still the criterion is what is told: nothing was read before.
    let line =
        "run --bundle models --events nowhere.csv --out new --segments misspelt.toml --segments-out new/segments";
    refused(SCORE, here, line, 2, None, &words);
    let line = "segment --scores scores --segments misspelt.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &words);

    let line = "segment --scores scores --segments history.toml --as-of 2024-12-31";
    refused(SCORE, here, line, 2, None, &["unknown column `purchases`", "--with-features"]);
    let line = "segment --scores scores --segments history.toml --as-of 2024-12-30";
    refused(SCORE, here, line, 2, None, &["no scores of this date", "--as-of 2024-12-31"]);

    // The hint works.
    done(SCORE, here, "run --bundle models --events shop.csv --out scores --with-features");
    let ended = done(SCORE, here, "segment --scores scores --segments history.toml --as-of 2024-12-31");
    assert!(
        ended.out.contains("leaving") && ended.out.ends_with("segments: segments/as_of=2024-12-31\n"),
        "{}",
        ended.out
    );
}

/// A run killed while it writes: the old partition stays, and the next run clears up.
#[cfg(unix)]
#[test]
fn a_killed_run_changes_nothing_and_the_next_one_clears_up() {
    let folder = fitted();
    let here = folder.path();
    fs::write(here.join("large.csv"), shop(12_000)).unwrap();
    let with_features = "run --bundle models --events large.csv --with-features --quiet";
    done(SCORE, here, &format!("{with_features} --out undisturbed"));
    let old = tree(&here.join("scores"));
    let leftovers = || {
        let entries = fs::read_dir(here.join("scores")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".as_of=2024-12-31.tmp-")).count()
    };
    let mut caught = 0;
    for _ in 0..20 {
        let arguments = format!("{with_features} --out scores");
        let mut child = Command::new(SCORE)
            .current_dir(here)
            .args(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while leftovers() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        caught = leftovers();
        if caught > 0 {
            break;
        }
        copy_back(&old, &here.join("scores")); // it was too quick to be caught
    }
    assert!(caught > 0, "no run was caught while writing");
    let part = here.join("scores/as_of=2024-12-31");
    let of_old = |path: &Path| old.get(path).cloned();
    for (path, bytes) in tree(&part) {
        assert!(of_old(&path) == Some(bytes), "{} changed", path.display());
    }
    assert!(part.join("manifest.json").is_file());

    done(SCORE, here, &format!("{with_features} --out scores"));
    assert_eq!(leftovers(), 0, "the killed run's leftovers are cleared");
    let (again, undisturbed) = (tree(&part), tree(&here.join("undisturbed/as_of=2024-12-31")));
    assert!(again.values().eq(undisturbed.values()), "as if nothing had happened");
    assert!(!again.values().eq(old.range(part..).skip(1).map(|(_, bytes)| bytes)), "and not the old one");
}

#[cfg(unix)]
fn copy_back(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
    for (path, bytes) in files {
        if path.extension().is_some_and(|extension| extension == "parquet" || extension == "json") {
            fs::write(path, bytes).unwrap();
        } else {
            fs::create_dir_all(path).unwrap();
        }
    }
}

#[test]
fn segments_of_another_format_are_refused_before_anything_is_scored() {
    let here = fitted();
    fs::write(here.path().join("segments.toml"), "[[segment]]\nname = \"all\"\nwhere = \"churn_percentile >= 1\"\n")
        .unwrap();
    let output = assert_cmd::Command::new(SCORE)
        .current_dir(here.path())
        .args("run --bundle models --events shop.csv --out other --format csv --segments segments.toml".split(' '))
        .assert()
        .code(2);
    let told = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(told.contains("segments are evaluated over Parquet scores") && told.contains("hint: "), "{told}");
    assert!(!here.path().join("other").exists());
}
