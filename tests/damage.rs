//! Files that a disk, a copy or a hand has damaged: every command that reads them ends as the contract says. None panics,
//! and none takes what is no longer what was written for what was.

#[path = "common/files.rs"]
mod files;
#[path = "common/kills.rs"]
mod kills;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use files::tree;
use kills::{kills, number};
use tempfile::TempDir;

const TRAIN: &str = env!("CARGO_BIN_EXE_bellwether-train");
const SCORE: &str = env!("CARGO_BIN_EXE_bellwether-score");

const CONFIG: &str = "[features]\nwindows = [30]\nmax_categories = 3\n\
                      [training]\ncutoffs = 2\nbootstrap_resamples = 10\n\
                      [target.churn]\nkind = \"absence\"\nhorizon_days = 30\neligible = \"purchases >= 1\"\n\
                      [target.value]\nkind = \"amount\"\nhorizon_days = 30\n\
                      [target.buys]\nkind = \"presence\"\nper = \"category\"\ntop = 2\nhorizon_days = 30\n";

const SEGMENTS: &str = "[[segment]]\nname = \"leaving\"\nwhere = \"churn_percentile >= 80\"\n\
                        [[segment]]\nname = \"others\"\notherwise = true\n";

/// Days of history of the fit, and of the second night.
const NIGHTS: [i32; 2] = [200, 232];

/// A folder with events, settings, lists, a bundle, a store, two nights of scores and of memberships.
struct Shop {
    folder: TempDir,
    days: [Day; 2],
    whole: BTreeMap<PathBuf, Vec<u8>>,
}

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let simulation = Simulation { customers: 150, days: 240, seed: 5, ..Simulation::default() };
        simulate(&simulation, &here.join("shop"), &|_| {}).unwrap();
        let days = NIGHTS.map(|days| simulation.start.plus(days));
        fs::write(here.join("shop.toml"), CONFIG).unwrap();
        fs::write(here.join("segments.toml"), SEGMENTS).unwrap();
        fs::write(here.join("forget.csv"), "customer_id\nc00000003\nc00000009\n").unwrap();
        let away = format!("customer_id\tfrom\tto\nc00000006\t{}\t{}\n", days[0], days[1].plus(9));
        fs::write(here.join("away.tsv"), away).unwrap();
        fs::write(here.join("map.ndjson"), "{\"alias\":\"c00000001\",\"customer_id\":\"c00000002\"}\n").unwrap();
        let mut shop = Self { folder, days, whole: BTreeMap::new() };
        let fit = format!("fit --quiet --events shop/events --config shop.toml --as-of {} --out models", days[0]);
        assert_eq!(shop.ends(TRAIN, &fit).0, 0);
        for day in days {
            assert_eq!(shop.ends(SCORE, &shop.run(day, "--store store --segments segments.toml")).0, 0);
        }
        shop.whole = tree(shop.here());
        shop
    }

    fn here(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, day: Day, more: &str) -> String {
        format!("run --quiet --bundle models --events shop/events --max-gap 9 --as-of {day} {more}")
    }

    /// Exit code and what was said on stderr. No command may panic, die of a signal or call it a fault of its own.
    fn ends(&self, program: &str, line: &str) -> (i32, String) {
        let output = Command::new(program).current_dir(self.here()).args(line.split_whitespace()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or_else(|| panic!("{line}: {}\n{err}", output.status));
        assert!(![1, 101].contains(&code) && !err.contains("panicked"), "{line}: code {code}\n{err}");
        if code != 0 {
            assert!(err.contains("error: "), "{line}: code {code} and no word of why\n{err}");
        }
        (code, err)
    }

    /// Puts everything back as it was.
    fn restore(&self) {
        let now = tree(self.here());
        for path in now.keys().filter(|path| !self.whole.contains_key(*path)) {
            fs::remove_file(self.here().join(path)).unwrap();
        }
        for (path, bytes) in self.whole.iter().filter(|(path, bytes)| now.get(*path) != Some(bytes)) {
            let path = self.here().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Files below a folder, or the file of that name.
    fn below(&self, name: &str) -> Vec<PathBuf> {
        let found: Vec<PathBuf> = self.whole.keys().filter(|path| path.starts_with(name)).cloned().collect();
        assert!(!found.is_empty(), "{name}");
        found
    }

    /// Damages each file so many times, each time in another way, and looks at how commands end.
    fn damage(&self, what: &[PathBuf], times: u64, salt: u64, check: impl Fn(&Path, &str)) {
        let mut draw = 100_000 * salt;
        for path in what {
            let bytes = &self.whole[path];
            for time in 0..times {
                let mut damaged = bytes.clone();
                let mut at = |n: usize| {
                    draw += 1;
                    ((number(draw) * n as f64) as usize).min(n.saturating_sub(1))
                };
                let how = match (time + salt) % 4 {
                    0 => {
                        damaged.truncate(at(bytes.len()));
                        format!("cut after {} of {} bytes", damaged.len(), bytes.len())
                    }
                    1 => {
                        let (place, bit) = (at(bytes.len()), at(8));
                        damaged[place] ^= 1 << bit;
                        format!("bit {bit} of byte {place} of {}", bytes.len())
                    }
                    2 => {
                        let (place, value) = (at(bytes.len()), at(256));
                        damaged[place] = if damaged[place] == value as u8 { !damaged[place] } else { value as u8 };
                        format!("byte {place} of {} became {value}", bytes.len())
                    }
                    _ => {
                        // A block of the disk that was never written.
                        let place = at(bytes.len());
                        let end = (place + 64).min(bytes.len());
                        damaged[place..end].fill(0);
                        if damaged == *bytes {
                            damaged.pop();
                        }
                        format!("bytes {place} to {end} of {} are zero", bytes.len())
                    }
                };
                fs::write(self.here().join(path), &damaged).unwrap();
                check(path, &format!("{}: {how}", path.display()));
                self.restore();
            }
        }
    }
}

/// Damages to each file: two, and more when `BELLWETHER_KILLS` says so.
fn times() -> u64 {
    kills() / 20
}

/// A code that a command may end with.
fn is_one_of(codes: &[i32], (code, err): (i32, String), what: &str) {
    assert!(codes.contains(&code), "{what}: code {code}, not one of {codes:?}\n{err}");
}

#[test]
fn nothing_that_is_damaged_is_taken_for_what_was_written_and_nothing_panics() {
    let shop = Shop::new();
    let [first, second] = shop.days;
    let times = times();

    // Every byte of a bundle counts.
    let bundle: Vec<PathBuf> = shop.below("models").into_iter().filter(|path| path.components().count() > 2).collect();
    assert!(bundle.len() >= 6, "{bundle:?}");
    let run = shop.run(second, "--out other");
    shop.damage(&bundle, times, 1, |_, how| is_one_of(&[4], shop.ends(SCORE, &run), how));
    shop.damage(&shop.below("models/current"), times, 2, |_, how| is_one_of(&[0, 4], shop.ends(SCORE, &run), how));

    // And of a store: a look at it finds any damage, a run never uses it.
    let plain = {
        is_one_of(&[0], shop.ends(SCORE, &run), "undamaged");
        let plain = fs::read(shop.here().join(format!("other/as_of={second}/part-00000.parquet"))).unwrap();
        shop.restore();
        plain
    };
    let stored = format!("{run} --store store");
    shop.damage(&shop.below("store"), 3 * times, 3, |_, how| {
        is_one_of(&[2], shop.ends(SCORE, "store --store store"), how);
        let (code, err) = shop.ends(SCORE, &stored);
        is_one_of(&[0, 2], (code, err), how);
        if code == 0 {
            let scores = fs::read(shop.here().join(format!("other/as_of={second}/part-00000.parquet"))).unwrap();
            assert!(scores == plain, "{how}");
        }
    });

    // Partitions: what reads them says which file it was, or passes over it with a warning; the next night comes.
    let explain = format!("explain --customer c00000005 --as-of {first}");
    let diff = format!("diff --from {first} --to {second}");
    let segment = format!("segment --segments segments.toml --as-of {second} --out again");
    shop.damage(&shop.below("scores"), times, 4, |path, how| {
        for line in [explain.as_str(), &diff, &segment, "realised", "forget --forget forget.csv"] {
            is_one_of(&[0, 2, 3], shop.ends(SCORE, line), &format!("{how}: {line}"));
            if line.starts_with("forget") {
                shop.restore();
            }
        }
        let (code, err) = shop.ends(SCORE, &shop.run(second, "--with-features"));
        assert_eq!(code, 0, "{how}: {err}");
        if !path.starts_with("scores/category_scores") && path.starts_with(format!("scores/as_of={second}")) {
            let again = fs::read(shop.here().join(path)).ok();
            assert!(path.ends_with("realised.json") || again.as_ref() == Some(&shop.whole[path]), "{how}");
        }
    });

    // Memberships of a former date.
    let night = shop.run(second.plus(1), "--segments segments.toml");
    shop.damage(&shop.below("segments"), times, 5, |_, how| {
        is_one_of(&[0, 2, 3], shop.ends(SCORE, &night), how);
        is_one_of(&[0, 2, 3], shop.ends(SCORE, "forget --forget forget.csv"), how);
    });

    // What people write.
    let listed =
        format!("{run} --forget forget.csv --exclusions away.tsv --id-map map.ndjson --segments segments.toml");
    for (name, codes) in [
        ("forget.csv", &[0, 2, 3][..]),
        ("away.tsv", &[0, 2, 3]),
        ("map.ndjson", &[0, 2, 3]),
        ("segments.toml", &[0, 2]),
    ] {
        let listed = listed.clone() + " --segments-out again";
        shop.damage(&shop.below(name), 2 * times, 6, |_, how| is_one_of(codes, shop.ends(SCORE, &listed), how));
    }
    let build = format!("build --quiet --events shop/events --config shop.toml --as-of {first} --out features.csv");
    shop.damage(&shop.below("shop.toml"), 4 * times, 7, |_, how| is_one_of(&[0, 2], shop.ends(TRAIN, &build), how));
    let events = shop.below("shop/events");
    shop.damage(&events[..2.min(events.len())], 2 * times, 8, |_, how| {
        is_one_of(&[0, 2, 3], shop.ends(TRAIN, &build), how);
        is_one_of(&[0, 2, 3], shop.ends(TRAIN, "check --quiet --events shop/events"), how);
    });
}
