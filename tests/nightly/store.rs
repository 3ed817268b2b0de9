//! A run with a timeline store writes what a run without one writes, whatever comes, and whatever becomes of the store.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use bellwether::pipeline::{self, RunOptions};
use bellwether::progress::Silent;
use bellwether::time::{DAY_MICROS, Day};
use bellwether::timeline::Budget;

use super::faults::mounted;
use super::kills::{kills, number};
use super::shop::{Ended, SCORE, command, done, json, numbers, read, run, shop, tree, write};

/// All events of the shop, each with an id, in the order in which they were received.
fn received() -> &'static RecordBatch {
    static ALL: OnceLock<RecordBatch> = OnceLock::new();
    ALL.get_or_init(|| {
        let batches: Vec<RecordBatch> = shop().files.iter().map(|file| read(file)).collect();
        let all = concat_batches(&batches[0].schema(), &batches).unwrap();
        let days = times(&all, "received_at");
        let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
        order.sort_by_key(|&row| days[row as usize]);
        let all = take_record_batch(&all, &UInt32Array::from(order)).unwrap();
        let ids = (0..all.num_rows()).map(|row| format!("e{row}"));
        with(&all, "event_id", Arc::new(StringArray::from_iter_values(ids)))
    })
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn instants(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
}

/// The batch with a column in place of, or beside, the others.
fn with(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = batch.columns().to_vec();
    match fields.iter().position(|field| field.name() == name) {
        Some(at) => {
            fields[at] = Field::new(name, column.data_type().clone(), true);
            columns[at] = column;
        }
        None => {
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn without(batch: &RecordBatch, name: &str) -> RecordBatch {
    let keep: Vec<usize> = (0..batch.num_columns()).filter(|&at| batch.schema().field(at).name() != name).collect();
    batch.project(&keep).unwrap()
}

/// What was received from one day to another.
fn between(from: Day, to: Day) -> RecordBatch {
    let all = received();
    let is_within = |time: &i64| (from.start_micros()..to.start_micros()).contains(time);
    let mask: BooleanArray = times(all, "received_at").iter().map(|time| Some(is_within(time))).collect();
    filter_record_batch(all, &mask).unwrap()
}

/// The first rows of a batch, each cell of `column` set to a text (nothing to `None`).
fn first_with(batch: &RecordBatch, n: usize, column: &str, text: Option<&str>) -> RecordBatch {
    let some = batch.slice(0, n);
    with(&some, column, Arc::new(StringArray::from(vec![text; n])))
}

/// Rows with money of another amount.
fn revalued(batch: &RecordBatch, value: f64) -> RecordBatch {
    with(batch, "value", Arc::new(Float64Array::from(vec![value; batch.num_rows()])))
}

fn joined(batches: &[RecordBatch]) -> RecordBatch {
    let fields: Vec<Field> =
        batches[0].schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batches: Vec<RecordBatch> =
        batches.iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// A folder of event files, a store, and the scores with and without it.
struct Nights {
    folder: tempfile::TempDir,
    has_ids: bool,
}

impl Nights {
    fn new(has_ids: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("events")).unwrap();
        let nights = Self { folder, has_ids };
        nights.add("0000-history", &between(Day(i32::MIN / 2), shop().fitted_at()));
        nights
    }

    fn here(&self) -> &Path {
        self.folder.path()
    }

    fn add(&self, name: &str, batch: &RecordBatch) {
        let batch = if self.has_ids { batch.clone() } else { without(batch, "event_id") };
        write(&self.here().join(format!("events/{name}.parquet")), &batch);
    }

    fn line(&self, day: Day, more: &str) -> String {
        format!("run --bundle {} --events events --as-of {day} --max-gap 9 {more}", shop().models().display())
    }

    /// Runs with the store and without; both must write the same. What the first said on stderr.
    fn same(&self, day: Day, more: &str) -> String {
        let plain = run(SCORE, self.here(), &self.line(day, &format!("--out plain {more}")));
        let stored = run(SCORE, self.here(), &self.line(day, &format!("--out stored --store store {more}")));
        assert_eq!(stored.code, plain.code, "{}\n{}", stored.err, plain.err);
        let (plain, written) = (tree(&self.here().join("plain")), tree(&self.here().join("stored")));
        for (path, bytes) in &plain {
            let is_text = path.extension().is_some_and(|ending| ending == "json" || ending == "ndjson");
            if is_text && written.get(path) != Some(bytes) {
                let other = written.get(path).map(|bytes| String::from_utf8_lossy(bytes));
                panic!("{day} {more}: {}\n{}\n{other:?}", path.display(), String::from_utf8_lossy(bytes));
            }
        }
        assert_eq!(plain.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>(), "{day} {more}");
        assert!(plain == written, "{day} {more}");
        stored.err
    }

    fn state(&self) -> serde_json::Value {
        done(SCORE, self.here(), "store --store store --json").json()
    }
}

#[test]
fn nights_with_a_store_write_what_nights_without_one_write() {
    let first = shop().fitted_at();
    let nights = Nights::new(false);
    let told = nights.same(first, "");
    assert!(told.contains("1 new files"), "{told}");
    let mut late = 0;
    for night in 0..6 {
        let (from, to) = (first.plus(night), first.plus(night + 1));
        nights.add(&format!("{from}"), &between(from, to));
        let told = nights.same(to, "");
        assert!(told.contains("1 new files") && !told.contains("anew"), "{told}");
        late += u32::from(told.contains("of the new rows are late"));
        let told = nights.same(to, "");
        assert!(!told.contains("new files"), "nothing is new: {told}");
    }
    assert!(late > 0, "three of a hundred events arrive later than they happen");
    assert_eq!(nights.state()["files"], 7);
    assert!(nights.state()["segments"].as_u64().unwrap() < 7, "{}", nights.state());
    // Days of the past, of which the store knows more than was known then.
    for days in [0, 2, 5] {
        nights.same(first.plus(days), "");
    }
    let backfill = |more: &str| {
        let days = format!("{}..{}", first.plus(1), first.plus(4));
        nights.line(first, more).replace(&format!("--as-of {first}"), &format!("--backfill {days}"))
    };
    done(SCORE, nights.here(), &backfill("--out filled"));
    done(SCORE, nights.here(), &backfill("--out filled-stored --store store"));
    assert!(tree(&nights.here().join("filled")) == tree(&nights.here().join("filled-stored")));
    // A file that comes twice under two names.
    let events = nights.here().join("events");
    fs::copy(events.join(format!("{first}.parquet")), events.join("again.parquet")).unwrap();
    let told = nights.same(first.plus(6), "");
    assert!(told.contains("again.parquet has the same bytes as"), "{told}");
    // No day at all: up to the last event.
    let no_day = nights.line(first, "--out plain").replace(&format!("--as-of {first}"), "");
    done(SCORE, nights.here(), &no_day);
    done(SCORE, nights.here(), &no_day.replace("--out plain", "--out stored --store store"));
    assert!(tree(&nights.here().join("plain")) == tree(&nights.here().join("stored")));
}

#[test]
fn rows_of_every_fate_are_told_as_without_a_store() {
    let first = shop().fitted_at();
    let nights = Nights::new(true);
    nights.same(first, "");
    // Repeated ids within the night and of the history, with other content; rows without a customer; money that is none.
    let history = between(Day(i32::MIN / 2), first);
    let (from, to) = (first, first.plus(1));
    let night = between(from, to);
    let odd = joined(&[
        night.clone(),
        revalued(&history.slice(history.num_rows() - 3, 3), 7.25),
        revalued(&night.slice(0, 2), 1e9),
        with(
            &first_with(&night, 5, "customer_id", None),
            "event_id",
            Arc::new(StringArray::from(vec![None::<&str>; 5])),
        ),
        revalued(&first_with(&night, 2, "event_id", None), f64::INFINITY),
    ]);
    nights.add("1-odd", &odd);
    let told = nights.same(to, "");
    assert!(told.contains("repeated_event_id: 5 rows") && told.contains("non_finite_value: 2 rows"), "{told}");
    assert!(nights.here().join("stored/rejects.ndjson").is_file());
    // Rows that happen, or arrive, later: planted, they change no byte of the scores.
    let before = tree(&nights.here().join(format!("stored/as_of={to}")));
    let later = between(to, to.plus(3));
    let planted = with(&later.slice(0, 4), "ts", instants(vec![60_000 * DAY_MICROS; 4]));
    let planted = first_with(&planted, 4, "event", Some("a name of the future"));
    let planted = first_with(&planted, 4, "event_id", None);
    nights.add("2-planted", &joined(&[later.clone(), planted]));
    nights.same(to, "");
    let after = tree(&nights.here().join(format!("stored/as_of={to}")));
    let scores = Path::new("part-00000.parquet");
    assert!(before[scores] == after[scores]);
    nights.same(to.plus(1), "");
    nights.same(to.plus(3), "--with-features");
    // Lines of text, of which a day in between knows some: what is wrong with the others is not told then.
    let (day, eve) = (to.plus(1), to.plus(2));
    let header =
        "customer_id,ts,event,value,quantity,product,category,channel,device,campaign,order_id,event_id,received_at";
    let lines = [
        format!("7,{day} 10:00:00,purchase,5.5,1,p,ski,web,phone,,o1,x1,{day} 10:00:00"),
        format!("7,{day} 10:00:00,purchase,5.5,1,p,ski,web,phone,,o1,x1,{eve} 10:00:00"),
        format!(",{day} 11:00:00,purchase,0.1,1,p,ski,web,phone,,o2,x2,{eve} 11:00:00"),
        format!(",{day} 11:00:00,purchase,0.2,1,p,ski,web,phone,,o2,x3,{day} 11:00:00"),
        format!("9,{day} 12:00:00,,,1,p,,web,phone,,o3,x4,"),
        format!("9,{day} 12:00:00,purchase,1e999,1,p,,web,phone,,o3,x5,{eve} 12:00:00"),
        format!("9,{eve} 12:00:00,purchase,much,1,p,,web,phone,,o3,x6,{eve} 12:00:00"),
        format!("9,{day} 12:00:00,purchase,3,1,p,,web,phone,,o3,x7,whenever"),
        "9,some day,purchase,3,1,p,,web,phone,,o3,x8,".to_string(),
        "9,too short".to_string(),
    ];
    let text = lines.iter().fold(format!("{header}\n"), |text, line| text + line + "\n");
    fs::write(nights.here().join("events/2-text.csv"), text).unwrap();
    let told = nights.same(to.plus(1), "");
    let has = |told: &str, words: &str| assert!(told.contains(words), "no `{words}`: {told}");
    has(&told, "unreadable_time: 1 rows");
    has(&told, "malformed_line: 1 rows");
    assert!(!told.contains("unreadable_number"), "{told}");
    let told = nights.same(to.plus(2), "");
    has(&told, "unreadable_time: 2 rows");
    assert!(!told.contains("unreadable_number"), "{told}");
    has(&nights.same(to.plus(3), ""), "unreadable_number: 1 rows");
    // An event that arrives again, having been known earlier: of a day in between, only all files can tell.
    let early = history.slice(history.num_rows() - 6, 6);
    let arrived: Vec<i64> = times(&early, "received_at").iter().map(|time| time - 9 * DAY_MICROS).collect();
    let happened: Vec<i64> = times(&early, "ts").iter().map(|time| time - 9 * DAY_MICROS).collect();
    let early = with(&early, "received_at", instants(arrived));
    nights.add("3-early", &with(&early, "ts", instants(happened)));
    nights.same(to.plus(3), "");
    let told = nights.same(first.plus(-3), "--force");
    assert!(told.contains("in another order than they were known"), "{told}");
    // Too many unusable rows end either run with the same words.
    let spoilt = revalued(&first_with(&history, 4000, "event_id", None), f64::NEG_INFINITY);
    nights.add("4-spoilt", &spoilt);
    let told = nights.same(to.plus(3), "");
    assert!(told.contains("(exit code 3: input data rejected, too_many_rejects)"), "{told}");
    fs::remove_file(nights.here().join("events/4-spoilt.parquet")).unwrap();
    let told = nights.same(to.plus(3), "");
    assert!(told.contains("built anew") && told.contains("4-spoilt.parquet is gone"), "{told}");
}

#[test]
fn late_files_changed_files_and_other_settings_are_told_and_change_no_byte() {
    let first = shop().fitted_at();
    let nights = Nights::new(true);
    let (night, next) = (between(first, first.plus(1)), between(first.plus(1), first.plus(2)));
    nights.add("2-night", &night);
    let day = first.plus(2);
    nights.same(day, "");
    // A file that comes late and has its place before others.
    nights.add("1-late", &next.slice(0, next.num_rows() / 2));
    let told = nights.same(day, "");
    assert!(told.contains("1 new files") && !told.contains("anew"), "{told}");
    // Again; but one of its events has the id of one that is read later, which is the repeated one now.
    let twice = joined(&[next.slice(next.num_rows() / 2, 3), revalued(&night.slice(0, 2), 3.5)]);
    nights.add("1-later", &twice);
    let told = nights.same(day, "");
    assert!(told.contains("built anew") && told.contains("ids of files that come after it"), "{told}");
    // The same bytes at another place are the same events; other bytes at the same place are not.
    let events = nights.here().join("events");
    fs::rename(events.join("2-night.parquet"), events.join("2-nights.parquet")).unwrap();
    let told = nights.same(day, "");
    assert!(!told.contains("new files") && !told.contains("anew"), "{told}");
    nights.add("2-nights", &revalued(&night, 17.0));
    let told = nights.same(day, "");
    assert!(told.contains("built anew") && told.contains("2-nights.parquet is gone or has changed"), "{told}");
    // A copy of a file doubles its events where they have no ids; here they are repeated.
    fs::copy(events.join("2-nights.parquet"), events.join("9-copy.parquet")).unwrap();
    nights.same(day, "--gates lax.toml");
    fs::remove_file(events.join("9-copy.parquet")).unwrap();
    // Lists of customers, and their withdrawal.
    let customer = |row: usize| super::shop::texts(&night, "customer_id")[row].clone().unwrap();
    fs::write(nights.here().join("forget.csv"), format!("customer_id\n{}\n", customer(0))).unwrap();
    let map = format!("alias,customer_id,from\n{},someone else,{}\n", customer(1), first.plus(-30));
    fs::write(nights.here().join("map.csv"), map).unwrap();
    nights.same(day, "");
    for (more, is_anew) in [
        ("--forget forget.csv", true),
        ("--forget forget.csv", false),
        ("--forget forget.csv --id-map map.csv", true),
        ("--forget forget.csv --id-map map.csv --with-features", false),
        ("", true),
    ] {
        let told = nights.same(day, more);
        assert_eq!(told.contains("lists of customers are not those"), is_anew, "{more}: {told}");
        let has = |words: &str| told.contains(words);
        assert_eq!(has("forgotten customers are left out"), more.contains("forget"), "{told}");
        assert_eq!(has("by the id map"), more.contains("map"), "{told}");
    }
    done(SCORE, nights.here(), "forget --forget forget.csv --scores stored --store store");
    assert_eq!(fs::read_dir(nights.here().join("store")).unwrap().count(), 0);
}

#[test]
fn a_store_larger_than_memory_is_read_part_by_part() {
    let first = shop().fitted_at();
    let nights = Nights::new(false);
    nights.add("1-night", &between(first, first.plus(2)));
    let options = |out: &str, store: bool, bytes: Option<u64>| RunOptions {
        as_of: Some(first.plus(2)),
        store: store.then(|| nights.here().join("store")),
        budget: Budget { bytes, folder: None },
        ..RunOptions::new(
            shop().models(),
            vec![nights.here().join("events").display().to_string()],
            nights.here().join(out),
        )
    };
    let small = Some(1 << 20); // less than the events take, so that nothing is kept
    for (out, store, bytes) in [("a", false, None), ("b", true, small), ("c", true, small), ("d", true, None)] {
        pipeline::run(&options(out, store, bytes), &Silent).unwrap();
        assert!(tree(&nights.here().join(out)) == tree(&nights.here().join("a")), "{out}");
    }
}

#[test]
fn a_customer_is_explained_from_a_store_as_from_the_files() {
    let first = shop().fitted_at();
    for has_ids in [false, true] {
        let nights = Nights::new(has_ids);
        let (here, store) = (nights.here(), nights.here().join("store"));
        nights.same(first, "");
        for night in 0..3 {
            nights.add(&format!("{night}"), &between(first.plus(night), first.plus(night + 1)));
        }
        // Files that have rested: of others the store notes the next time that they have, and would not stay as it was.
        for entry in fs::read_dir(here.join("events")).unwrap() {
            let file = fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
        let day = first.plus(3);
        done(SCORE, here, &nights.line(day, "--quiet --out stored"));
        let ids =
            super::shop::texts(&read(&here.join(format!("stored/as_of={day}/part-00000.parquet"))), "customer_id");
        let id = |row: usize| ids[row].clone().unwrap();
        fs::write(here.join("map.csv"), format!("alias,customer_id,from\n{},{},{first}\n", id(5), id(6))).unwrap();
        fs::write(here.join("tastes.csv"), format!("customer_id,size\n{},7\n{},8\n", id(3), id(4))).unwrap();
        let from = format!("--scores stored --bundle {} --events events", shop().models().display());
        let explain = |ask: &str| format!("explain {from} {ask}");
        let same = |ask: &str| {
            let plain = run(SCORE, here, &explain(ask));
            let stored = run(SCORE, here, &explain(&format!("{ask} --store store")));
            assert_eq!((plain.code, &plain.out), (stored.code, &stored.out), "{ask}\n{}", stored.err);
            stored
        };
        let told = same(&format!("--customer {} --json", id(1)));
        let is_new = told.err.contains("3 new files");
        assert!(is_new, "new files are added, as by a run: {}", told.err);
        assert_eq!(nights.state()["files"], 4);
        let before = tree(&store);
        for row in (0..ids.len()).step_by(ids.len() / 6) {
            let told = same(&format!("--customer {} --as-of {day} --features", id(row)));
            assert_eq!(told.code, Some(0), "{}", told.err);
            assert!(!told.err.contains("all events are read"), "{}", told.err);
            same(&format!("--customer {} --as-of {day} --against {first} --json", id(row)));
            // A day of which the store knows more than was known then.
            same(&format!("--customer {} --as-of {} --json", id(row), first.plus(-100)));
        }
        same(&format!("--customer {} --attributes tastes.csv --json", id(3)));
        let told = same("--customer nobody --json");
        assert_eq!(told.code, Some(3), "{}", told.err);
        // Other lists read the events otherwise: the store is for what the nightly run reads.
        let told = same(&format!("--customer {} --id-map map.csv --json", id(5)));
        assert!(told.err.contains("left as it is") && told.err.contains("lists of customers"), "{}", told.err);
        fs::rename(here.join("events/1.parquet"), here.join("1.parquet")).unwrap();
        let told = same(&format!("--customer {} --json", id(2)));
        assert!(told.err.contains("left as it is") && told.err.contains("1.parquet is gone"), "{}", told.err);
        fs::rename(here.join("1.parquet"), here.join("events/1.parquet")).unwrap();
        assert!(tree(&store) == before);
        // No store, one that another process has, and a damaged one.
        let refused = |folder: &str, words: &str| {
            let ended = run(SCORE, here, &explain(&format!("--customer {} --store {folder}", id(2))));
            assert_eq!(ended.code, Some(2), "{}", ended.err);
            assert!(ended.out.is_empty() && ended.err.contains(words), "no `{words}`: {}", ended.err);
        };
        refused("nowhere", "nowhere: no timeline store is there");
        assert!(!here.join("nowhere").exists());
        let lock = bellwether::storage::RunLock::acquire(&store).unwrap();
        refused("store", "another run is writing to store");
        drop(lock);
        let segment = tree(&store).into_keys().find(|name| name.to_string_lossy().starts_with("_segment")).unwrap();
        fs::write(store.join(segment), "").unwrap();
        refused("store", "hint: `rm -r store`");
    }
}

#[test]
fn one_process_at_a_time_uses_a_store() {
    let nights = Nights::new(false);
    let day = shop().fitted_at();
    nights.same(day, "");
    let lock = bellwether::storage::RunLock::acquire(&nights.here().join("store")).unwrap();
    let ended = run(SCORE, nights.here(), &nights.line(day, "--out other --store store"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("another run is writing to store"), "{}", ended.err);
    drop(lock);
    fs::write(nights.here().join("store/_segment-000000.timelines"), "").unwrap();
    let ended = run(SCORE, nights.here(), &nights.line(day, "--out other --store store"));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(
        ended.err.contains("_segment-000000.timelines") && ended.err.contains("hint: `rm -r store`"),
        "{}",
        ended.err
    );
    assert!(!nights.here().join("other").join(format!("as_of={day}")).exists());
    fs::remove_dir_all(nights.here().join("store")).unwrap();
    nights.same(day, "");
}

/// A run with the store, killed so long after it began to write its `segment`-th new segment, or after it began when that is
/// none; whether it was still alive. The first new segment holds the new events, the second one is merged of others.
fn killed(here: &Path, line: &str, after: Duration, segment: u64) -> bool {
    let newest = || {
        let entries = fs::read_dir(here.join("store")).into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("_segment-")?.strip_suffix(".timelines")?.parse::<u64>().ok()
        };
        entries.filter_map(number).max().map_or(0, |number| number + 1)
    };
    let awaited = newest() + segment;
    let mut child = command(SCORE, here, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while segment > 0 && newest() < awaited && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    std::thread::sleep(after);
    let is_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    is_running
}

/// Every night adds a file, and about every second one merges segments. Each is killed a few times before it may end.
#[test]
fn a_run_killed_at_any_moment_loses_and_doubles_nothing() {
    let nights = Nights::new(true);
    let first = shop().fitted_at();
    nights.same(first, "");
    let (mut interrupted, mut committed, mut merging) = (0, 0, 0);
    let mut kill = 0;
    let mut night = 0;
    while kill < kills() / 2 {
        let (from, to) = (first.plus(night), first.plus(night + 1));
        nights.add(&format!("{from}"), &between(from, to));
        let line = nights.line(to, "--quiet --out stored --store store");
        let copy = nights.here().join("copy");
        let copied = |from: &Path, to: &Path| {
            let _ = fs::remove_dir_all(to);
            fs::create_dir(to).unwrap();
            for (path, bytes) in tree(from) {
                fs::write(to.join(path), bytes).unwrap();
            }
        };
        let old = nights.here().join("old");
        copied(&nights.here().join("store"), &copy);
        copied(&copy, &old);
        let started = Instant::now();
        done(SCORE, nights.here(), &line.replace("--store store", "--store copy"));
        let lasts = started.elapsed(); // only decides on when to kill
        let expected = done(SCORE, nights.here(), "store --store copy --json").json();
        let merges = expected["segments"].as_u64() <= nights.state()["segments"].as_u64();
        for _ in 0..6 {
            let segment = if merges { kill % 3 } else { (kill % 3).min(1) };
            let after = if segment > 0 { Duration::from_millis(40) } else { lasts }.mul_f64(number(5000 + kill));
            let was_alive = killed(nights.here(), &line, after, segment);
            interrupted += u32::from(was_alive);
            merging += u32::from(was_alive && segment == 2);
            kill += 1;
            let state = nights.state();
            let is_old = state["files"] == night + 1;
            assert!(is_old || state["files"] == night + 2, "kill {kill}: {state}");
            if !is_old {
                committed += 1;
                for what in ["events", "customers", "first_day", "last_day", "event_ids"] {
                    assert_eq!(state[what], expected[what], "kill {kill}: {what}");
                }
                copied(&old, &nights.here().join("store"));
            }
        }
        nights.same(to, "");
        let state = nights.state();
        for what in ["files", "events", "customers", "first_day", "last_day", "event_ids"] {
            assert_eq!(state[what], expected[what], "after kill {kill}: {what}");
        }
        night += 1;
    }
    assert!(
        interrupted > 0 && merging > 0,
        "{interrupted} runs were caught alive, {merging} of them while they merged"
    );
    eprintln!(
        "{interrupted} of {kill} runs were killed alive over {night} nights, {merging} while they merged segments, \
         {committed} after their commit"
    );
}

/// Files that may not become as large as they must: the same answer of the system as on a full disk.
#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written_stays_what_it_was() {
    let nights = Nights::new(false);
    let first = shop().fitted_at();
    nights.same(first, "");
    let before = tree(&nights.here().join("store"));
    nights.add("1-night", &between(first, first.plus(20)));
    let line = nights.line(first.plus(20), "--out stored --store store");
    let mut failed = 0;
    for blocks in [0, 1, 4, 16] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"{SCORE}\" {line}");
        let ended = Ended::of(Command::new("sh").arg("-c").arg(&script).current_dir(nights.here()).output().unwrap());
        if ended.code == Some(0) {
            break;
        }
        failed += 1;
        assert_eq!(ended.code, Some(2), "{blocks} blocks: {}", ended.err);
        assert!(ended.err.contains("error: ") && !ended.err.contains("panicked"), "{}", ended.err);
        if !ended.err.contains("stored") {
            let after = tree(&nights.here().join("store"));
            assert!(after == before, "{blocks} blocks: {:?}\n{}", after.keys(), ended.err);
        }
    }
    assert!(failed >= 2, "{failed} limits were too small");
    nights.same(first.plus(20), "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_store() {
    let nights = Nights::new(false);
    let here = nights.here();
    let first = shop().fitted_at();
    let old = nights.line(first, "--quiet --out stored --store store");
    done(SCORE, here, &old);
    let size: usize = tree(&here.join("store")).values().map(Vec::len).sum();
    nights.add("1-night", &between(first, first.plus(30)));
    let new = nights.line(first.plus(30), "--quiet --out stored --store store");
    fs::remove_dir_all(here.join("store")).unwrap();
    fs::create_dir(here.join("store")).unwrap();
    fs::rename(here.join("events/1-night.parquet"), here.join("night")).unwrap();
    // Room for the old store and a few pages more.
    let room = size.div_ceil(4096) * 4096 + 5 * 4096;
    let hashes = "(cd store && find . -type f | sort | xargs cksum)";
    let script = format!(
        "mount -t tmpfs -o size={room} tmpfs store\n{SCORE} {old} > told\n{hashes} > before\nmv night events/1-night.parquet\n\
         code=0; {SCORE} {new} 2> told || code=$?\n{hashes} > after\necho $code\n\
         {SCORE} store --store store > state\nmount -o remount,size=64m store\n{SCORE} {new} > told_rw\n\
         {SCORE} store --store store --json > state_rw"
    );
    let Some(ended) = mounted(here, &script) else { return };
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = |name: &str| fs::read_to_string(here.join(name)).unwrap();
    assert_eq!(ended.out, "2\n", "{}", text("told"));
    assert!(text("told").contains("No space left on device") && text("told").contains("make room"), "{}", text("told"));
    assert_eq!(text("before"), text("after"));
    assert!(text("before").lines().count() == 2, "{}", text("before"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text("state_rw")).unwrap()["files"], 2);
}

#[test]
fn the_events_of_a_store_are_those_of_the_files() {
    let nights = Nights::new(false);
    nights.same(shop().fitted_at(), "");
    let file = read(&nights.here().join("events/0000-history.parquet"));
    assert_eq!(nights.state()["events"], file.num_rows());
    assert!(numbers(&file, "value").len() == file.num_rows() && file.schema().field(1).data_type() != &DataType::Null);
    let manifest = json(&nights.here().join(format!("stored/as_of={}/manifest.json", shop().fitted_at())));
    assert_eq!(manifest["data"]["rows"], file.num_rows());
}
