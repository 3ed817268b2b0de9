//! Events, bundles, scores and memberships in an object store: the real programs against an S3 server in this process.

#[path = "common/files.rs"]
mod files;
#[path = "object_store/kills.rs"]
mod killed;
#[path = "common/kills.rs"]
mod kills;
#[path = "object_store/server.rs"]
mod server;
#[path = "object_store/small_files.rs"]
mod small_files;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use files::tree;
use serde_json::Value;
use server::{Ended, SCORE, Server, TRAIN};
use tempfile::TempDir;

const CONFIG: &str = "[features]\nwindows = [7, 30, 90]\nmax_categories = 4\n\
                      [training]\ncutoffs = 3\nbootstrap_resamples = 20\n\
                      [target.churn]\nkind = \"absence\"\nhorizon_days = 60\neligible = \"purchases >= 1\"\n\
                      [target.value]\nkind = \"amount\"\nhorizon_days = 60\n";

const SEGMENTS: &str = "[[segment]]\nname = \"leaving\"\nwhere = \"churn_percentile >= 80\"\n\
                        [[segment]]\nname = \"others\"\notherwise = true\n";

/// Days of history at the first night.
const FIRST: i32 = 400;

/// A simulated shop on disk, and a bundle and two nights made of it there: what stores must equal byte for byte.
struct Shop {
    folder: TempDir,
    start: Day,
}

impl Shop {
    fn here(&self) -> &Path {
        self.folder.path()
    }

    fn day(&self, days: i32) -> Day {
        self.start.plus(days)
    }

    /// A server whose bucket holds the events.
    fn server(&self) -> Server {
        let server = Server::start();
        copy(&self.here().join("shop/events"), &server.object("events"));
        server
    }

    /// The same, with the bundle.
    fn with_bundle(&self) -> Server {
        let server = self.server();
        copy(&self.here().join("models"), &server.object("models/main"));
        server
    }

    fn run(&self, day: Day, more: &str) -> String {
        format!("run --quiet --bundle s3://shop/models/main --events s3://shop/events/ --as-of {day} {more}")
    }
}

fn shop() -> &'static Shop {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let simulation = Simulation { customers: 400, days: 480, seed: 7, ..Simulation::default() };
        simulate(&simulation, &here.join("shop"), &|_| {}).unwrap();
        fs::write(here.join("shop.toml"), CONFIG).unwrap();
        fs::write(here.join("segments.toml"), SEGMENTS).unwrap();
        let shop = Shop { start: simulation.start, folder };
        let day = shop.day(FIRST);
        let local = |program, line: &str| {
            let ended = Ended::of(
                std::process::Command::new(program)
                    .current_dir(shop.here())
                    .args(line.split_whitespace())
                    .output()
                    .unwrap(),
            );
            assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
        };
        local(TRAIN, &format!("fit --quiet --events shop/events --config shop.toml --as-of {day} --out models"));
        for day in [day, shop.day(FIRST + 61)] {
            let line =
                format!("run --quiet --bundle models --events shop/events --as-of {day} --segments segments.toml");
            local(SCORE, &line);
        }
        shop
    })
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

/// The rows of a Parquet file.
fn rows(path: &Path) -> Vec<arrow::array::RecordBatch> {
    let file = fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let strip = |batch: arrow::array::RecordBatch| {
        let fields = batch.schema().fields().clone();
        arrow::array::RecordBatch::try_new(arrow::datatypes::Schema::new(fields).into(), batch.columns().to_vec())
    };
    reader.build().unwrap().map(|batch| strip(batch.unwrap()).unwrap()).collect()
}

/// A manifest without what tells the place of the events.
fn without_files(path: &Path) -> Value {
    let mut manifest = json(path);
    manifest["data"]["files"] = Value::Null;
    manifest["bundle_hash"] = Value::Null; // of the manifest that tells the place of the events of the fit
    assert!(manifest["seal"].is_string());
    manifest["seal"] = Value::Null;
    manifest
}

#[test]
fn a_bundle_and_nights_in_a_store_are_those_on_disk_byte_for_byte() {
    let shop = shop();
    let (server, here) = (shop.server(), shop.here());
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["shop.toml", "segments.toml"] {
        fs::copy(here.join(name), elsewhere.path().join(name)).unwrap();
    }
    let there = elsewhere.path();

    let fit = "fit --quiet --events s3://shop/events/*.parquet --config shop.toml --out s3://shop/models/main --as-of";
    let fitted = server.done(TRAIN, there, &format!("{fit} {}", shop.day(FIRST)));
    let id = fs::read_to_string(here.join("models/current")).unwrap();
    assert_eq!(fs::read_to_string(server.object("models/main/current")).unwrap(), id);
    let id = id.trim();
    assert!(fitted.out.contains(&format!("bundle: s3://shop/models/main/{id}\n")), "{}", fitted.out);
    for (name, bytes) in tree(&here.join("models").join(id)) {
        let stored = server.object(&format!("models/main/{id}")).join(&name);
        if name != Path::new("manifest.json") {
            assert!(fs::read(&stored).unwrap() == bytes, "{}", name.display());
        }
    }
    let requests = server.requests();
    let place = |what: &str| requests.iter().rposition(|request| request.contains(what)).unwrap();
    let bundle = format!("PUT /shop/models/main/{id}");
    assert!(place(&format!("{bundle}/parameters.json")) < place(&format!("{bundle}/manifest.json")), "{requests:#?}");
    assert!(place(&format!("{bundle}/manifest.json")) < place("PUT /shop/models/main/current"), "{requests:#?}");

    // Two nights: the second judges the first, measures drift against it and counts who came and went.
    for day in [shop.day(FIRST), shop.day(FIRST + 61)] {
        let more = "--segments segments.toml --out s3://shop/scores --segments-out s3://shop/segments/";
        let ended = server.done(SCORE, there, &shop.run(day, more));
        assert!(ended.out.contains(&format!("scores: s3://shop/scores/as_of={day}\n")), "{}", ended.out);
    }
    for kind in ["scores", "segments"] {
        let (local, stored) = (tree(&here.join(kind)), tree(&server.object(kind)));
        assert_eq!(local.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
        for (name, bytes) in local {
            if name.ends_with("manifest.json") && kind == "scores" {
                let path = Path::new("scores").join(&name);
                assert_eq!(without_files(&here.join(&path)), without_files(&server.object("").join(&path)));
            } else if name.ends_with("memberships.parquet") {
                // Their metadata quote the hash of the scores' manifest, which tells the place of the events.
                let path = Path::new(kind).join(&name);
                assert_eq!(rows(&here.join(&path)), rows(&server.object("").join(&path)));
            } else if !name.ends_with("manifest.json") {
                assert!(bytes == stored[&name], "{kind}/{}", name.display());
            }
        }
    }
    let day = shop.day(FIRST + 61);
    let [local, stored] = [here.join("segments"), server.object("segments")]
        .map(|folder| json(&folder.join(format!("as_of={day}/manifest.json")))["segments"].clone());
    assert_eq!(local, stored, "entries and exits too");
    assert!(server.object(&format!("scores/as_of={}/realised.json", shop.day(FIRST))).is_file());
    assert_eq!(fs::read_dir(there).unwrap().count(), 2, "nothing is written here");
    let file = &json(&server.object(&format!("scores/as_of={day}/manifest.json")))["data"]["files"][0];
    assert!(file["e_tag"].is_string() && file["blake3"].is_null(), "{file}");

    // A rerun: the same bytes, and nothing beside them.
    let before = tree(&server.object("scores"));
    server.requests();
    let more = "--segments segments.toml --out s3://shop/scores --segments-out s3://shop/segments/";
    server.done(SCORE, there, &shop.run(day, more));
    assert!(tree(&server.object("scores")) == before);
    let requests = server.requests();
    let at = |what: &str| requests.iter().position(|request| request.starts_with(what)).expect(what);
    let partition = format!("/shop/scores/as_of={day}");
    let part = at(&format!("PUT {partition}/part-00000.parquet"));
    assert!(at("POST /shop") < part, "the old manifest is removed first: {requests:#?}");
    assert!(part < at(&format!("PUT {partition}/manifest.json")), "{requests:#?}");
    let judged = format!("GET /shop/scores/as_of={}/part-00000.parquet", shop.day(FIRST));
    assert!(!requests.iter().any(|request| request.starts_with(&judged)), "rows are fetched where they are needed");

    // The other commands.
    let ended = server.done(SCORE, there, "realised --scores s3://shop/scores");
    assert!(ended.out.contains("churn_probability_60d"), "{}", ended.out);
    let ended =
        server.done(SCORE, there, &format!("diff --scores s3://shop/scores --from {} --to {day}", shop.day(FIRST)));
    assert!(ended.out.contains("largest movers"), "{}", ended.out);
    let explained = format!("segment --scores s3://shop/scores --segments segments.toml --as-of {day} --out segments");
    server.done(SCORE, there, &explained);
    let name = format!("segments/as_of={day}/memberships.parquet");
    assert_eq!(rows(&there.join(&name)), rows(&here.join(&name)), "a local folder beside a store");
    let missing =
        server.run(SCORE, there, "segment --scores s3://shop/scores --segments segments.toml --as-of 2030-01-01");
    assert_eq!(missing.code, Some(2), "{}", missing.err);
    assert!(missing.err.contains("s3://shop/scores/as_of=2030-01-01"), "{}", missing.err);
    assert!(missing.err.contains(&day.to_string()), "the newest day is named: {}", missing.err);
    let explain = format!("explain --customer c00000003 --scores s3://shop/scores --as-of {day}");
    let explained = server.done(SCORE, there, &explain).out;
    assert!(explained.contains("c00000003"), "{explained}");
    let kept = "run --bundle s3://shop/models/main --events s3://shop/events/ --store kept";
    let kept = server.run(SCORE, there, kept);
    assert_eq!(kept.code, Some(2), "{}", kept.err);
    assert!(kept.err.contains("leave `--store` out"), "{}", kept.err);
    assert!(!there.join("kept").exists());

    // Forgetting: the customer's rows leave, and other bytes stay.
    fs::write(there.join("forget.csv"), "customer_id\nc00000003\n").unwrap();
    let forget = "forget --forget forget.csv --scores s3://shop/scores --segments-out s3://shop/segments \
                  --models s3://shop/models/main --json";
    let forgotten: Value = serde_json::from_str(&server.done(SCORE, there, forget).out).unwrap();
    assert_eq!(forgotten["partitions"][&day.to_string()], 1, "{forgotten}");
    let trained = forgotten["trained_with"][0]["bundle"].as_str().unwrap();
    assert_eq!(trained, format!("s3://shop/models/main/{id}"));
    let again: Value = serde_json::from_str(&server.done(SCORE, there, forget).out).unwrap();
    assert_eq!(again["partitions"], serde_json::json!({}), "{again}");
}

/// Any listing, packing and format that is read from disk is read from a store.
#[test]
fn text_and_partitions_of_folders_are_read_from_a_store() {
    let server = Server::start();
    let here = tempfile::tempdir().unwrap();
    let mut plain = String::from("customer_id,ts,value\n");
    for n in 0..40_000 {
        plain.push_str(&format!(
            "customer-{},2024-{:02}-{:02} 10:00:00,{}.5\n",
            n % 900,
            n % 12 + 1,
            n % 28 + 1,
            n % 70
        ));
    }
    for folder in [here.path().join("events"), server.object("events")] {
        let web = folder.join("channel=web");
        fs::create_dir_all(&web).unwrap();
        fs::create_dir_all(folder.join("channel=app")).unwrap();
        fs::write(web.join("a.csv"), &plain).unwrap(); // longer than the first request
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain.as_bytes()).unwrap();
        fs::write(folder.join("channel=app/b.csv.gz"), packed.finish().unwrap()).unwrap();
        fs::write(folder.join("_SUCCESS"), "").unwrap();
    }
    let check = |events: &str| {
        let ended = server.done(TRAIN, here.path(), &format!("check --quiet --json --events {events}"));
        let mut told: Value = serde_json::from_str(&ended.out).unwrap();
        told["summary"]["files"] = Value::Null; // known by their bytes here, and by what the store calls them there
        told
    };
    let local = check("events");
    assert_eq!(local, check("s3://shop/events"));
    assert_eq!(local, check("s3://shop/events/*/*.csv*"));
    assert_eq!(local["summary"]["rows"], 80_000, "{local}");
}

/// Of a Parquet object, the columns that are asked for and the index are fetched, and nothing else.
#[test]
fn columns_that_nobody_asks_for_are_not_fetched() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;
    let server = Server::start();
    let here = tempfile::tempdir().unwrap();
    let n = 200_000_i64;
    let noise = |n: i64| n.wrapping_mul(0x5851_F42D_4C95_7F2D) ^ (n >> 3);
    let day = 86_400_000_000;
    let columns: [(&str, ArrayRef); 4] = [
        ("customer_id", Arc::new(Int64Array::from_iter_values((0..n).map(|n| n % 999)))),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|n| 19_000 * day + n % 300 * day)))),
        ("value", Arc::new(Int64Array::from_iter_values((0..n).map(|n| n % 50)))),
        (
            "remark",
            Arc::new(StringArray::from_iter_values((0..n).map(|n| format!("{:x}{:x}", noise(n), noise(n + 1))))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    fs::create_dir_all(server.object("events")).unwrap();
    let path = server.object("events/a.parquet");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    assert!(size > 4 << 20, "{size}");
    server.done(TRAIN, here.path(), "build --quiet --events s3://shop/events/a.parquet --out features.parquet");
    let fetched: u64 = server
        .requests()
        .iter()
        .filter_map(|request| request.strip_prefix("GET /shop/events/a.parquet bytes=")?.split_once('-'))
        .map(|(first, last)| last.parse::<u64>().unwrap().min(size - 1) + 1 - first.parse::<u64>().unwrap())
        .sum();
    assert!(fetched > 0 && fetched < size * 3 / 4, "{fetched} of {size} bytes");
}

#[test]
fn what_a_store_refuses_is_told_with_what_to_type_next() {
    let server = Server::start();
    let here = tempfile::tempdir().unwrap();
    fs::create_dir_all(server.object("events")).unwrap();
    fs::write(server.object("events/a.csv"), "customer_id,ts\na,2024-01-01\n").unwrap();
    let check = |events: &str| format!("check --events {events}");
    let told = |ended: Ended, what: &[&str]| {
        assert_eq!(ended.code, Some(2), "{ended:?}");
        for what in what {
            assert!(ended.err.contains(what), "{what}\n{}", ended.err);
        }
    };
    told(
        server.run(TRAIN, here.path(), &check("s3://shop/event/a.csv")),
        &["s3://shop/event/a.csv: no such file or folder"],
    );
    told(server.run(TRAIN, here.path(), &check("s3://shop/events/b.csv")), &["did you mean `s3://shop/events/a.csv`?"]);
    told(
        server.run(TRAIN, here.path(), &check("s3://shopp/events/")),
        &["s3://shopp/events: cannot list", "the bucket does not exist", "AWS_ENDPOINT_URL"],
    );
    let with = |name: &str, value: &str| {
        let mut command = server.command(TRAIN, here.path(), &check("s3://shop/events/"));
        Ended::of(command.env(name, value).output().unwrap())
    };
    let refused = ["the credentials are refused", "check `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"];
    told(with("AWS_ACCESS_KEY_ID", "another"), &refused);
    told(with("AWS_SECRET_ACCESS_KEY", "another"), &refused);
    told(with("AWS_SKIP_SIGNATURE", "true"), &["access is denied"]);
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let no_answer = format!("no answer from http://{closed}");
    told(with("AWS_ENDPOINT_URL", &format!("http://{closed}")), &[no_answer.as_str(), "refused", "AWS_ENDPOINT_URL"]);
    let mut none = server.command(TRAIN, here.path(), &check("s3://shop/events/"));
    none.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let none = none.env("AWS_METADATA_ENDPOINT", format!("http://{closed}")).output().unwrap();
    told(Ended::of(none), &["no credentials are set", "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"]);

    // Where no address can stand, no folder of that name appears.
    for line in [
        "simulate --customers 5 --days 30 --out s3://shop/demo",
        "clv --events s3://shop/events --out s3://shop/clv.csv",
        "clv --events s3://shop/events --rejects s3://shop/rejects.ndjson",
    ] {
        let ended = server.run(TRAIN, here.path(), line);
        assert_eq!(ended.code, Some(2), "{line}\n{}", ended.err);
        assert!(ended.err.contains("name a file on this machine"), "{line}\n{}", ended.err);
    }
    for line in [
        "run --bundle models --events s3://shop/events --metrics s3://shop/metrics.prom",
        "realised --scores s3://shop/scores --html s3://shop/page.html",
    ] {
        let ended = server.run(SCORE, here.path(), line);
        assert_eq!(ended.code, Some(2), "{line}\n{}", ended.err);
        assert!(ended.err.contains("name a file on this machine"), "{line}\n{}", ended.err);
    }
    // A small file that is not there, a bucket that is not there, and addresses that name no file.
    for (line, words) in [
        ("fit --events s3://shop/events --config s3://shop/c.toml", "s3://shop/c.toml: cannot read the configuration"),
        ("fit --events s3://shop/events --config s3://shopp/c.toml", "the bucket does not exist"),
        ("fit --events s3://shop/events --forget s3://shop/forget.csv", "s3://shop/forget.csv: cannot read the list"),
        ("build --events s3://shop/events --out s3://shop/.csv/.f.csv", "take another name"),
        ("build --events s3://shop/events --out f.csv --rejects s3://shop", "name another file"),
    ] {
        told(server.run(TRAIN, here.path(), line), &[words, "\nhint: "]);
    }
    let bundle = server.run(SCORE, here.path(), "run --bundle s3://shop/models/none --events s3://shop/events/");
    assert_eq!(bundle.code, Some(4), "{}", bundle.err);
    assert!(bundle.err.contains("s3://shop/models/none: no bundle"), "{}", bundle.err);
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

/// A run on another machine that shows signs of life keeps others out; one that shows none does not.
#[test]
fn a_lock_of_another_machine_is_respected_while_it_lives() {
    let shop = shop();
    let (server, here) = (shop.with_bundle(), tempfile::tempdir().unwrap());
    fs::create_dir_all(server.object("scores")).unwrap();
    let lock = server.object("scores/.lock");
    fs::write(&lock, "process 7 on elsewhere\n").unwrap();
    let run = shop.run(shop.day(FIRST), "--out s3://shop/scores");
    let mut command = server.command(SCORE, here.path(), &run);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(20));
    fs::write(&lock, "process 7 on elsewhere\nsign of life 1\n").unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("another run is writing to s3://shop/scores"), "{}", ended.err);
    assert!(ended.err.contains("process 7 on elsewhere"), "{}", ended.err);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "process 7 on elsewhere\nsign of life 1\n", "it is left alone");
}

/// The commands of the README about object stores, word for word.
#[test]
fn the_commands_of_the_readme_work_when_typed() {
    let server = Server::start();
    let here = tempfile::tempdir().unwrap();
    let simulation = Simulation { customers: 300, ..Simulation::default() };
    simulate(&simulation, &here.path().join("demo"), &|_| {}).unwrap();
    copy(&here.path().join("demo/events"), &server.object("events"));
    fs::create_dir_all(here.path().join("datasets/demo")).unwrap();
    fs::write(here.path().join("datasets/demo/segments.toml"), SEGMENTS).unwrap();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let path =
        format!("{}:{}", Path::new(TRAIN).parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let lines = readme.lines().filter(|line| line.starts_with("bellwether-") && line.contains("s3://"));
    let mut typed = 0;
    for line in lines {
        let mut shell = server.command("sh", here.path(), "-c");
        let ended = Ended::of(shell.arg(line).env("PATH", &path).output().unwrap());
        assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
        typed += 1;
    }
    assert!(typed >= 3, "{typed} commands");
    assert!(server.object("scores/as_of=2025-06-24/manifest.json").is_file());
}
