//! What a crash, a full disk, a folder that cannot be written and a second run leave behind: the old partition or the new.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bellwether::storage::{self, RunLock};

use super::kills::{kills, number};
use super::shop::{Ended, SCORE, command, done, json, run, shop, tree};

/// Names in a folder, and in that of its long tables, that are no partition, and not the rejects.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| !name.starts_with("as_of=")).collect::<Vec<String>>()
    };
    let mut names = [names(folder), names(&folder.join("category_scores"))].concat();
    names.retain(|name| !["rejects.ndjson", "category_scores"].contains(&name.as_str()));
    names.sort();
    names
}

/// Starts `line` and kills it: `after` so long, or, when `in_writing`, so long after it began to write a partition.
/// Whether it was still running.
fn killed(folder: &Path, line: &str, after: Duration, in_writing: bool) -> bool {
    let mut child = command(SCORE, folder, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if in_writing {
        let is_writing = || {
            let entries = fs::read_dir(folder.join("scores")).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(".as_of="))
        };
        while !is_writing() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
    std::thread::sleep(after);
    let is_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    is_running
}

/// After a kill: a partition that is one of the whole ones, byte for byte.
fn whole(folder: &Path, name: &str, possible: &[&BTreeMap<PathBuf, Vec<u8>>], what: &str) -> usize {
    let partition = folder.join("scores").join(name);
    if !partition.exists() {
        // Where a file system cannot exchange folders, the former one may stand aside: the next run brings it back.
        storage::recover(&folder.join("scores")).unwrap();
    }
    let found = tree(&partition);
    let is = possible.iter().position(|possible| **possible == found);
    is.unwrap_or_else(|| panic!("{what}: {name} is neither old nor new: {:?}", found.keys()))
}

#[test]
fn a_run_killed_at_any_moment_leaves_the_old_partition_or_the_new_one() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let name = format!("as_of={day}");
    let lines = ["--out scores", "--out scores --with-features --category-top 1"].map(|more| shop.line(day, more));
    let started = Instant::now();
    let long = here.join("scores/category_scores").join(&name);
    let (wholes, longs): (Vec<_>, Vec<_>) = lines
        .iter()
        .map(|line| {
            done(SCORE, here, line);
            (tree(&here.join("scores").join(&name)), tree(&long))
        })
        .unzip();
    assert_ne!(longs[0], longs[1]);
    let lasts = started.elapsed() / 2; // only decides on when to kill
    assert_ne!(wholes[0], wholes[1]);
    let mut current = 1;
    let (mut interrupted, mut replaced) = (0, 0);
    for kill in 0..kills() {
        let other = 1 - current;
        let in_writing = kill % 2 == 1;
        let most = if in_writing { Duration::from_millis(12) } else { lasts };
        let what = format!("kill {kill}");
        interrupted += u32::from(killed(here, &lines[other], most.mul_f64(number(kill)), in_writing));
        let found = whole(here, &name, &[&wholes[0], &wholes[1]], &what);
        storage::recover(long.parent().unwrap()).unwrap();
        let of_groups = longs.iter().position(|long_of| *long_of == tree(&long));
        let of_groups = of_groups.unwrap_or_else(|| panic!("{what}: the long table is neither old nor new"));
        assert!(of_groups == found || found == current, "{what}: a new partition beside an old long table");
        replaced += u32::from(found != current);
        current = found;
    }
    assert!(interrupted > 0, "no run was caught alive");
    eprintln!("{interrupted} of {} runs were killed alive, {replaced} had replaced the partition", kills());
    // A dead run's lock and leftovers are in nobody's way.
    done(SCORE, here, &lines[1 - current]);
    assert_eq!(whole(here, &name, &[&wholes[1 - current]], "at last"), 0);
    assert!(leftovers(&here.join("scores")).is_empty(), "{:?}", leftovers(&here.join("scores")));
}

/// Whether a file is of a folder that was being written.
fn is_hidden(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

#[test]
fn a_backfill_killed_at_any_moment_leaves_whole_days() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let days: Vec<_> = (0..4).map(|day| shop.fitted_at().plus(day)).collect();
    let (models, events) = (shop.models(), shop.events());
    let line = format!(
        "run --quiet --bundle {} --events {events} --backfill {}..{} --out scores",
        models.display(),
        days[0],
        days[3]
    );
    let started = Instant::now();
    done(SCORE, here, &line);
    let lasts = started.elapsed();
    let whole = tree(&here.join("scores"));
    let mut interrupted = 0;
    for kill in 0..kills() / 4 {
        fs::remove_dir_all(here.join("scores")).unwrap();
        interrupted += u32::from(killed(here, &line, lasts.mul_f64(number(1000 + kill)), false));
        if !here.join("scores").exists() {
            fs::create_dir(here.join("scores")).unwrap();
            continue; // killed before it began
        }
        for (path, bytes) in tree(&here.join("scores")) {
            if path.starts_with(format!("as_of={}", days[0])) || !is_hidden(&path) {
                assert!(whole.get(&path) == Some(&bytes), "kill {kill}: {}", path.display());
            }
        }
        for day in &days {
            let partition = here.join(format!("scores/as_of={day}"));
            assert!(!partition.exists() || partition.join("manifest.json").is_file(), "kill {kill}: {day}");
        }
    }
    assert!(interrupted > 0, "no run was caught alive");
    done(SCORE, here, &line);
    assert!(tree(&here.join("scores")) == whole, "as if nothing had happened");
}

#[test]
fn a_second_run_in_the_same_folder_is_refused() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let line = shop.line(shop.fitted_at(), "--out scores");
    done(SCORE, here, &line);
    let before = tree(&here.join("scores"));
    let lock = RunLock::acquire(&here.join("scores")).unwrap();
    let days = format!("{0}..{0}", shop.fitted_at());
    fs::write(here.join("forget.csv"), "customer_id\n1\n").unwrap();
    for line in [
        line.clone(),
        line.replace("--as-of", "--backfill").replace(&shop.fitted_at().to_string(), &days),
        "forget --forget forget.csv --scores scores".to_string(),
    ] {
        let ended = run(SCORE, here, &line);
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.err);
        for words in ["another run is writing to scores", &format!("process {}", std::process::id()), "hint: wait"] {
            assert!(ended.err.contains(words), "{line}: no `{words}` in {}", ended.err);
        }
    }
    drop(lock);
    assert!(tree(&here.join("scores")) == before);
    // What a run that was killed long ago has left is taken over.
    fs::write(here.join("scores/.lock"), "process 1\n").unwrap();
    done(SCORE, here, &line);
    assert!(tree(&here.join("scores")) == before);
}

/// Files that may not become as large as they must: the same answer of the system as on a full disk.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_written_to_its_end_leaves_the_old_partition() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    done(SCORE, here, &shop.line(day, "--out scores"));
    let before = tree(&here.join("scores"));
    let line = shop.line(day, "--out scores --with-features");
    let mut failed = 0;
    for blocks in [0, 1, 8, 64, 256, 1024] {
        // An ignored signal stays ignored in the program: it sees the error that the system gives instead.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"{SCORE}\" {line}");
        let ended = Ended::of(Command::new("sh").arg("-c").arg(&script).current_dir(here).output().unwrap());
        if ended.code == Some(0) {
            break;
        }
        failed += 1;
        assert_eq!(ended.code, Some(2), "{blocks} blocks: {}", ended.err);
        assert!(ended.err.contains("error: ") && ended.err.contains("hint: "), "{}", ended.err);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        assert!(tree(&here.join("scores")) == before, "{blocks} blocks: {:?}", leftovers(&here.join("scores")));
    }
    assert!(failed >= 3, "{failed} limits were too small");
}

/// In a mount name space of one's own, as root of it; `None` where that is not allowed.
#[cfg(target_os = "linux")]
pub fn mounted(here: &Path, script: &str) -> Option<Ended> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-e", "-c", script]).current_dir(here);
        command.output().ok()
    };
    if !unshare("mount -t tmpfs tmpfs /mnt").is_some_and(|output| output.status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return None;
    }
    unshare(script).map(Ended::of)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_a_read_only_one_leave_the_old_partition() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let day = shop.fitted_at();
    let (small, large) = (shop.line(day, "--out scores"), shop.line(day, "--out scores --with-features"));
    done(SCORE, here, &small);
    let size: usize = tree(&here.join("scores")).values().map(Vec::len).sum();
    done(SCORE, here, &large.replace("--out scores", "--out large"));
    let large_size: usize = tree(&here.join("large")).values().map(Vec::len).sum();
    // Room for the old partition and most of the new one, not all of it.
    let room = size + large_size * 3 / 4;
    fs::remove_dir_all(here.join("scores")).unwrap();
    fs::create_dir(here.join("scores")).unwrap();
    let hashes = "(cd scores && find . -type f | sort | xargs cksum)";
    let script = format!(
        "mount -t tmpfs -o size={room} tmpfs scores\n{SCORE} {small} > told\n{hashes} > before\n\
         code=0; {SCORE} {large} 2> told || code=$?\n{hashes} > after\necho $code; cat told\n\
         mount -o remount,ro scores\ncode=0; {SCORE} {small} 2> told_ro || code=$?\n{hashes} > after_ro\necho $code\n\
         mount -o remount,rw,size=64m scores\n{SCORE} {large} > told_rw\n\
         echo $(ls -A scores scores/category_scores)"
    );
    let Some(ended) = mounted(here, &script) else { return };
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = |name: &str| fs::read_to_string(here.join(name)).unwrap();
    assert!(ended.out.starts_with("2\n"), "{}", ended.out);
    let told = text("told");
    assert!(told.contains("No space left on device") && told.contains("make room on the disk"), "{told}");
    assert!(text("before").lines().count() >= 3, "{}", text("before"));
    assert_eq!(text("before"), text("after"), "full");
    let told = text("told_ro");
    assert!(told.contains("Read-only file system") && told.contains("name another place"), "{told}");
    assert_eq!(text("before"), text("after_ro"), "read-only");
    let names = format!("scores: as_of={day} category_scores scores/category_scores: as_of={day}");
    assert_eq!(ended.out.lines().last(), Some(names.as_str()), "nothing is left over: {}", ended.out);
}

#[test]
fn the_manifest_knows_the_files_beside_it() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let day = shop.fitted_at();
    done(SCORE, folder.path(), &shop.line(day, "--out scores"));
    let partition = folder.path().join(format!("scores/as_of={day}"));
    let manifest = json(&partition.join("manifest.json"));
    assert_eq!(manifest["complete"], true);
    let files = manifest["files"].as_object().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["distributions.json", "part-00000.parquet"]);
    for (name, hash) in files {
        assert_eq!(hash.as_str().unwrap(), storage::fingerprint(&partition.join(name)).unwrap());
    }
}

#[test]
fn what_is_not_as_it_was_written_is_compared_with_nothing_and_judged_by_nobody() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let days = [0, 1, 70].map(|days| shop.fitted_at().plus(days));
    for day in &days[..2] {
        done(SCORE, here, &shop.line(*day, "--out scores"));
    }
    let compare = || run(SCORE, here, &format!("diff --scores scores --from {} --to {}", days[0], days[1]));
    assert_eq!(compare().code, Some(0));
    // Each of them can still be read: nothing but the hash tells that it was changed.
    type Change = fn(&mut Vec<u8>);
    let digit: Change = |bytes| {
        const KEY: &[u8] = b"\"rows\": ";
        let place = bytes.windows(KEY.len()).position(|window| window == KEY).expect("a number of rows") + KEY.len();
        bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
    };
    // Readers find their way by the end of the file, and never look at its first byte.
    let first: Change = |bytes| bytes[0] ^= 0x20;
    for (name, change) in [("manifest.json", digit), ("part-00000.parquet", first)] {
        let path = here.join(format!("scores/as_of={}/{name}", days[1]));
        let written = fs::read(&path).unwrap();
        let mut bytes = written.clone();
        change(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let refused = compare();
        assert_eq!(refused.code, Some(2), "{name}: {}", refused.err);
        assert!(refused.err.contains(name), "{}", refused.err);
        // The night goes on, and says of whom it knows nothing.
        let ended = done(SCORE, here, &shop.line(days[2], "--out scores"));
        assert!(ended.err.contains("warning: ") && ended.err.contains(name), "{name}: {}", ended.err);
        assert!(!here.join(format!("scores/as_of={}/realised.json", days[1])).exists(), "{name}");
        fs::write(&path, written).unwrap();
        fs::remove_dir_all(here.join(format!("scores/as_of={}", days[2]))).unwrap();
    }
}

#[test]
fn old_partitions_that_are_damaged_are_named_and_stop_nobody() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let days = [0, 1, 70].map(|days| shop.fitted_at().plus(days));
    done(SCORE, here, &shop.line(days[0], "--out scores"));
    done(SCORE, here, &shop.line(days[1], "--out scores"));
    let sound = tree(&here.join("scores"));
    for name in ["manifest.json", "distributions.json", "part-00000.parquet", "realised.json"] {
        let path = here.join(format!("scores/as_of={}/{name}", days[1]));
        for length in [0, 1, 1000] {
            let bytes = fs::read(&path).unwrap_or_default();
            fs::write(&path, &bytes[..length.min(bytes.len() / 2)]).unwrap();
            let ended = done(SCORE, here, &shop.line(days[2], "--out scores"));
            assert!(ended.err.contains("warning: ") && ended.err.contains(name), "{name}, {length}: {}", ended.err);
            assert!(here.join(format!("scores/as_of={}/manifest.json", days[2])).is_file());
            assert!(!ended.err.contains("panicked"), "{}", ended.err);
            fs::remove_dir_all(here.join("scores")).unwrap();
            for (path, bytes) in &sound {
                let path = here.join("scores").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }
}
