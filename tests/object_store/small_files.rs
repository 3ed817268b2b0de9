//! Settings, lists, criteria, features and rejected rows in a store: what is read and written there is what would be here.

use std::fs;

use super::files::tree;
use super::server::{SCORE, Server, TRAIN};
use super::{CONFIG, FIRST, SEGMENTS, json, rows, shop};

/// Two rows of five are unusable.
const BROKEN: &str =
    "customer_id,ts,value\na,2024-01-01,5\nb,some day,5\na,2024-02-01,7\nc,2024-01-09,much\nc,2024-01-10,2\n";

#[test]
fn features_and_rejects_are_written_into_a_store_whatever_becomes_of_the_work() {
    let server = Server::start();
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("broken.csv"), BROKEN).unwrap();
    fs::write(here.path().join("lax.toml"), "[events]\nmax_reject_share = 0.9\n").unwrap();
    fs::create_dir_all(server.object("settings")).unwrap();
    fs::copy(here.path().join("lax.toml"), server.object("settings/lax.toml")).unwrap();
    let build = |config: &str, out: &str, more: &str| {
        let line = format!("build --events broken.csv --config {config} --out {out} {more}");
        server.run(TRAIN, here.path(), &line)
    };
    let local = build("lax.toml", "made/features.csv", "");
    assert_eq!(local.code, Some(0), "{}", local.err);
    let made = tree(&here.path().join("made"));
    assert_eq!(made.len(), 2, "features and rejects: {:?}", made.keys());
    let there = build("s3://shop/settings/lax.toml", "s3://shop/made/features.csv", "");
    assert_eq!(there.code, Some(0), "{}", there.err);
    assert!(tree(&server.object("made")) == made, "{:?}", tree(&server.object("made")).keys());
    assert!(there.out.contains("features: s3://shop/made/features.csv"), "{}", there.out);
    assert!(there.err.contains("kept in s3://shop/made/rejects.ndjson"), "{}", there.err);
    // Each at its own place; nothing on this machine.
    let apart = build("lax.toml", "s3://shop/apart/features.csv", "--rejects s3://shop/bad/rows.ndjson");
    assert_eq!(apart.code, Some(0), "{}", apart.err);
    assert!(fs::read(server.object("apart/features.csv")).unwrap() == made[std::path::Path::new("features.csv")]);
    assert!(fs::read(server.object("bad/rows.ndjson")).unwrap() == made[std::path::Path::new("rejects.ndjson")]);
    assert!(apart.err.contains("kept in s3://shop/bad/rows.ndjson"), "{}", apart.err);
    // Too many: the rejected rows are kept all the same, and no features.
    fs::write(here.path().join("strict.toml"), "").unwrap();
    let refused = build("strict.toml", "s3://shop/none/features.csv", "--rejects s3://shop/worse/rows.ndjson");
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    assert!(refused.err.contains("s3://shop/worse/rows.ndjson"), "{}", refused.err);
    assert!(server.object("worse/rows.ndjson").is_file() && !server.object("none").exists());
    let nothing = build("lax.toml", "s3://shop/dry/features.csv", "--dry-run");
    assert_eq!(nothing.code, Some(0), "{}", nothing.err);
    assert!(!server.object("dry/features.csv").exists());
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 4, "nothing more is written here");
}

#[test]
fn a_night_with_everything_in_a_store_is_a_night_with_everything_here() {
    let shop = shop();
    let (server, here) = (shop.with_bundle(), tempfile::tempdir().unwrap());
    let day = shop.day(FIRST);
    let small = [
        ("shop.toml", CONFIG.to_string()),
        ("gates.toml", "[gates]\nmax_psi = 9.0\n".to_string()),
        ("segments.toml", SEGMENTS.to_string()),
        ("forget.csv", "customer_id\nc00000003\n".to_string()),
        ("map.ndjson", format!("{{\"alias\":\"c00000004\",\"customer_id\":\"c00000005\",\"from\":\"{day}\"}}\n")),
        ("leave.tsv", format!("customer_id\tfrom\tto\nc00000006\t{}\t{}\n", day.plus(-9), day.plus(9))),
    ];
    fs::create_dir_all(server.object("small")).unwrap();
    for (name, text) in &small {
        fs::write(here.path().join(name), text).unwrap();
        fs::write(server.object("small").join(name), text).unwrap();
    }
    let run = |place: &str, out: &str| {
        let more = format!(
            "--gates {place}gates.toml --segments {place}segments.toml --forget {place}forget.csv --id-map {place}map.ndjson \
             --exclusions {place}leave.tsv --out {out}/scores --segments-out {out}/segments --rejects {out}/bad/rows.ndjson"
        );
        server.done(SCORE, here.path(), &shop.run(day, &more))
    };
    run("", "here");
    run("s3://shop/small/", "s3://shop/out");
    let (found, expected) = (server.object("out"), here.path().join("here"));
    let part = format!("scores/as_of={day}/part-00000.parquet");
    assert!(fs::read(found.join(&part)).unwrap() == fs::read(expected.join(&part)).unwrap());
    let manifest = format!("scores/as_of={day}/manifest.json");
    assert_eq!(json(&found.join(&manifest)), json(&expected.join(&manifest)));
    let members = format!("segments/as_of={day}/memberships.parquet");
    assert_eq!(rows(&found.join(&members)), rows(&expected.join(&members)));
    assert!(
        json(&found.join(&manifest))["rows_by_status"]["excluded"].as_u64().is_some_and(|rows| rows == 1),
        "{manifest}"
    );
    // And a fit, with the rows that its targets learn from.
    let fit = |place: &str, out: &str| {
        let line = format!(
            "fit --quiet --events s3://shop/events/ --config {place}shop.toml --forget {place}forget.csv --as-of {day} \
             --out {out}/models --export-features {out}/rows"
        );
        server.done(TRAIN, here.path(), &line)
    };
    fit("", "fitted");
    fit("s3://shop/small/", "s3://shop/fitted");
    assert!(tree(&server.object("fitted/rows")) == tree(&here.path().join("fitted/rows")));
    assert_eq!(tree(&server.object("fitted/rows")).len(), 2, "a file for each target");
    assert!(tree(&server.object("fitted/models")) == tree(&here.path().join("fitted/models")));
}
