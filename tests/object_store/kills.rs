//! Runs that are killed while they replace a partition in a store.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;

use super::files::tree;
use super::kills::{kills, number};
use super::server::{Hang, SCORE};
use super::{FIRST, shop};

/// Killed in the middle of a replacement, a run leaves a partition without a manifest; the next one repairs it, at once.
#[test]
fn a_run_that_is_killed_while_it_sends_leaves_nothing_that_looks_complete() {
    let shop = shop();
    let (server, here) = (shop.with_bundle(), tempfile::tempdir().unwrap());
    fs::copy(shop.here().join("segments.toml"), here.path().join("segments.toml")).unwrap();
    let day = shop.day(FIRST);
    let run = shop.run(day, "--out s3://shop/scores --with-features");
    server.done(SCORE, here.path(), &run);
    let whole = tree(&server.object("scores"));
    let partition = format!("scores/as_of={day}");
    let manifest = server.object(&format!("{partition}/manifest.json"));
    // What a run of another format has left.
    let stale = server.object(&format!("{partition}/part-00000.csv"));
    fs::write(&stale, "stale").unwrap();

    let kill_at = |method: Method, path: &str| {
        server.hang(Some(Hang { method, path: path.into() }));
        let mut command = server.command(SCORE, here.path(), &run);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !server.is_hanging() {
            assert!(started.elapsed() < Duration::from_secs(300) && child.try_wait().unwrap().is_none(), "{path}");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        server.hang(None);
    };
    kill_at(Method::POST, "/shop"); // what is to be removed is told in the body
    assert!(manifest.is_file(), "nothing is changed yet");
    assert!(server.object("scores/.lock").is_file());

    kill_at(Method::PUT, &format!("{partition}/manifest.json"));
    assert!(!manifest.exists() && server.object(&format!("{partition}/part-00000.parquet")).is_file());
    assert!(!stale.exists(), "files of other names go before the manifest comes");
    let segment = format!("segment --scores s3://shop/scores --segments segments.toml --as-of {day}");
    let ended = server.run(SCORE, here.path(), &segment);
    assert_eq!(ended.code, Some(2), "what is not complete is not there: {}", ended.err);

    // The dead run's lock is no hindrance.
    let started = Instant::now();
    server.done(SCORE, here.path(), &run);
    assert!(started.elapsed() < Duration::from_secs(55), "it was not waited for");
    assert!(tree(&server.object("scores")) == whole);
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Killed at random moments, half of them while objects are sent: what has a manifest is the old partition or the new one,
/// whole. Another run puts right what has none, and removes what the dead ones have left on this machine.
#[test]
fn a_run_killed_at_any_moment_leaves_no_half_partition_and_the_next_one_clears_up() {
    let shop = shop();
    let (server, here, temporary) = (shop.with_bundle(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let day = shop.day(FIRST);
    let lines = ["", "--with-features"].map(|more| shop.run(day, &format!("--out s3://shop/scores {more}")));
    let command = |line: &str| -> Command {
        let mut command = server.command(SCORE, here.path(), line);
        command.env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let done = |line: &str| assert_eq!(command(line).status().unwrap().code(), Some(0), "{line}");
    // The lock is no part of a partition, nor is what the server is still receiving.
    let partition = || {
        let mut found = tree(&server.object(&format!("scores/as_of={day}")));
        found.retain(|name, _| !name.to_string_lossy().starts_with('.'));
        found
    };
    let started = Instant::now();
    let wholes = [0, 1].map(|line| {
        done(&lines[line]);
        partition()
    });
    let lasts = started.elapsed() / 2; // only decides on when to kill
    assert!(wholes[0] != wholes[1]);
    assert!(names(temporary.path()).is_empty(), "a run that has ended leaves nothing: {:?}", names(temporary.path()));
    let mut current = Some(1);
    let (mut interrupted, mut replaced, mut without, mut left) = (0, 0, 0, 0);
    for kill in 0..kills() / 2 {
        let line = &lines[current.map_or(kill as usize % 2, |current| 1 - current)];
        let in_sending = kill % 2 == 1;
        server.requests();
        let mut child = command(line).spawn().unwrap();
        // The old manifest goes first.
        while in_sending && !server.has_seen("POST /shop") && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(if in_sending { Duration::from_millis(30) } else { lasts }.mul_f64(number(9000 + kill)));
        interrupted += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(50)); // what has been sent arrives
        let found = partition();
        let is = wholes.iter().position(|whole| *whole == found);
        assert!(is.is_some() || !found.contains_key(Path::new("manifest.json")), "kill {kill}: {:?}", found.keys());
        replaced += u32::from(is.is_some() && is != current);
        without += u32::from(is.is_none());
        current = is;
        let names = names(temporary.path());
        assert!(names.len() <= 2, "kill {kill}: dead runs were not cleared up: {names:?}");
        left += names.len();
    }
    assert!(interrupted > 0 && left > 0, "{interrupted} runs were caught alive and left {left} folders");
    eprintln!(
        "{interrupted} of {} runs were killed alive, {replaced} had replaced the partition, {without} left none, {left} folders",
        kills() / 2
    );
    let last = current.map_or(0, |current| 1 - current);
    done(&lines[last]);
    assert!(partition() == wholes[last]);
    assert!(names(temporary.path()).is_empty(), "{:?}", names(temporary.path()));
    assert!(!server.object("scores/.lock").exists());
}
