//! Stores of a few events: what comes back, what compaction changes (nothing), and what damage is found (any).

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::events::{EventBatch, Ids, Labels};
use crate::time::DAY_MICROS;
use crate::timeline::TimelineBuilder;
use arrow::array::StringViewArray;

/// Customer, day, day of receipt, name of the event, cents.
type Row = (u8, i32, i32, u8, i32);

fn batch(rows: &[Row]) -> EventBatch {
    let mut names: Vec<String> = Vec::new();
    let mut code = |name: u8| {
        let name = format!("event-{name}");
        let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        at as u32
    };
    let codes = rows.iter().map(|row| code(row.3)).collect();
    EventBatch {
        customer: Ids::Texts(StringViewArray::from_iter_values(rows.iter().map(|row| match row.0 % 3 {
            0 => format!("{}", row.0),
            _ => format!("c{}", row.0),
        }))),
        time: rows.iter().map(|row| i64::from(row.1) * DAY_MICROS + i64::from(row.4.rem_euclid(3)) * 1000).collect(),
        received: Some(rows.iter().map(|row| row.1.max(row.2)).collect()),
        event: Labels { codes, names },
        category: None,
        channel: None,
        device: None,
        campaign: None,
        value: Some(rows.iter().map(|row| f64::from(row.4) / 100.0).collect()),
        quantity: None,
        product: None,
        order: None,
        extras: Vec::new(),
        conditions: Vec::new(),
    }
}

fn built(rows: &[Row], budget: &Budget) -> Option<Timelines> {
    let mut builder = TimelineBuilder::within(budget.clone());
    builder.append(&[batch(rows)]).unwrap();
    builder.finish().ok()
}

fn add(store: &mut TimelineStore, rows: &[Row], ids: &[(u128, i32)]) {
    let number = store.files().len() as u32;
    let ledgers = BTreeMap::from([(number, FileLedger::default())]);
    let additions =
        Additions { timelines: built(rows, &Budget::default()), ledgers, ids: ids.to_vec(), unsure: Vec::new() };
    let mut files = store.files().to_vec();
    let path = store.folder.join("..");
    files.push(StoredFile {
        number,
        path: format!("night-{number}.csv"),
        partition: vec![("channel".into(), None)],
        stat: Stat::of(&path).unwrap(),
        is_settled: true,
        fingerprint: crate::events::FileFingerprint { name: "n".into(), bytes: 1, blake3: "0".into(), e_tag: None },
    });
    store.add("the same reading", files, additions, 0, false).unwrap();
}

/// All that timelines tell, as text.
fn told(timelines: &Timelines) -> String {
    let mut text =
        format!("{} {} {} {}\n", timelines.customers(), timelines.events(), timelines.first_day, timelines.last_day);
    let names = timelines.vocabularies.event.names();
    for part in 0..timelines.parts() {
        let part = timelines.part(part).unwrap();
        for customer in 0..part.customers() {
            let timeline = part.timeline(customer);
            text.push_str(&format!("{} {:x}:", part.id(customer), part.hash(customer)));
            for (at, event) in timeline.events.iter().enumerate() {
                let detail = timeline.detail(at);
                text.push_str(&format!(
                    " {} {} {} {}",
                    event.time,
                    event.value,
                    names[usize::from(event.kind)],
                    detail.received
                ));
            }
            text.push('\n');
        }
    }
    format!("{text}{names:?}")
}

fn known(rows: &[Row], as_of: i32, settle_days: u16) -> Vec<Row> {
    let is_known = |row: &&Row| row.1 < as_of - i32::from(settle_days) && row.1.max(row.2) < as_of;
    rows.iter().filter(is_known).copied().collect()
}

fn row() -> impl Strategy<Value = Row> {
    (0u8..12, 0i32..20, 0i32..24, 0u8..6, -300i32..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_tells_at_any_day_what_its_files_tell(
        nights in prop::collection::vec(prop::collection::vec(row(), 1..25), 1..6),
        as_of in 0i32..26,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("store");
        let small = Budget { bytes: Some(1), folder: None };
        let mut all = Vec::new();
        for (night, rows) in nights.iter().enumerate() {
            let mut store = TimelineStore::open(&folder).unwrap();
            add(&mut store, rows, &[]);
            if night % 2 == 1 {
                store.compact(0, &small).unwrap();
            }
            all.extend_from_slice(rows);
        }
        let store = TimelineStore::open(&folder).unwrap();
        let whole = told(&built(&all, &Budget::default()).unwrap());
        let at = built(&known(&all, as_of, 0), &Budget::default()).map(|timelines| told(&timelines));
        for budget in [Budget::default(), small] {
            let is_in_memory = budget.bytes.is_none();
            let loaded = store.timelines(None, None, &budget).unwrap();
            prop_assert_eq!(loaded.is_spilled(), !is_in_memory);
            prop_assert_eq!(told(&loaded), whole.clone());
            let known_at = Some(KnownAt { as_of: Day(as_of), settle_days: 0 });
            match store.timelines(known_at, None, &budget) {
                Ok(loaded) => prop_assert_eq!(Some(told(&loaded)), at.clone()),
                Err(TimelineError::Empty) => prop_assert_eq!(None, at.clone()),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Three nights, so that there are two segments.
fn small_store(folder: &Path) {
    let mut store = TimelineStore::open(folder).unwrap();
    let rows: Vec<Row> = (0..30).map(|n| (n % 7, i32::from(n), i32::from(n), n % 4, i32::from(n) * 11)).collect();
    let ids: Vec<(u128, i32)> = (0..40u128).map(|n| ((n * 0x9E37_79B9_7F4A_7C15_9E37) << 40, n as i32)).collect();
    add(&mut store, &rows, &ids);
    add(&mut store, &rows[..3], &ids[..1]);
    assert_eq!(store.segments.len(), 2);
}

fn verified(folder: &Path) -> Result<StoreState, Error> {
    StoreState::of(folder, &Budget::default())
}

#[test]
fn a_changed_byte_anywhere_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    small_store(&store);
    assert_eq!(verified(&store).unwrap().events, 33);
    let names: Vec<PathBuf> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for path in names {
        let whole = fs::read(&path).unwrap();
        let mut tried = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let error = verified(&store).expect_err(&format!("byte {at} of {}", path.display()));
            assert_eq!(error.exit_code(), crate::error::ExitCode::Usage);
            let text = error.to_text();
            assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "byte {at}: {text}");
            assert!(text.contains("hint: `rm -r "), "byte {at}: {text}");
            tried += 1;
        }
        assert!(tried > 500, "{} has only {tried} bytes", path.display());
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = verified(&store).expect_err(&format!("{length} bytes of {}", path.display()));
            assert!(error.to_text().contains("hint: `rm -r "), "{length} bytes: {}", error.to_text());
        }
        fs::write(&path, [&whole[..], b"\n"].concat()).unwrap();
        verified(&store).expect_err("a byte too many");
        fs::write(&path, &whole).unwrap();
        verified(&store).unwrap();
    }
}

#[test]
fn other_folders_and_formats_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    fs::write(store.join("letters.txt"), "dear").unwrap();
    let error = TimelineStore::open(&store).unwrap_err().to_text();
    assert!(error.contains("is no timeline store") && error.contains("letters.txt"), "{error}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
    fs::remove_file(store.join("letters.txt")).unwrap();
    small_store(&store);
    let manifest = store.join(manifest::NAME);
    let newer = fs::read_to_string(&manifest).unwrap().replace("\"format\": 2", "\"format\": 3");
    fs::write(&manifest, newer).unwrap();
    let error = TimelineStore::open(&store).unwrap_err().to_text();
    assert!(error.contains("format 3; this release reads format 2"), "{error}");
}

#[test]
fn what_no_manifest_names_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    small_store(&store);
    let before = told(&TimelineStore::open(&store).unwrap().timelines(None, None, &Budget::default()).unwrap());
    for name in ["_segment-000077.timelines", "._store.json.tmp-4194305-0"] {
        fs::write(store.join(name), "half of").unwrap();
    }
    let opened = TimelineStore::open(&store).unwrap();
    assert_eq!(told(&opened.timelines(None, None, &Budget::default()).unwrap()), before);
    drop(opened);
    assert_eq!(fs::read_dir(&store).unwrap().count(), 3);
    // A first run that was killed before it had a manifest.
    fs::remove_file(store.join(manifest::NAME)).unwrap();
    assert!(TimelineStore::open(&store).unwrap().files().is_empty());
}

#[test]
fn ids_are_found_in_every_segment_and_survive_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = TimelineStore::open(&folder.path().join("store")).unwrap();
    let id = |n: u128| (n * 0x9E37_79B9_7F4A_7C15_9E37) << 40 | n;
    for night in 0..5u128 {
        let ids: Vec<(u128, i32)> = (night * 50..night * 50 + 50).rev().map(|n| (id(n), n as i32)).collect();
        add(&mut store, &[(1, 2, 2, 1, 5)], &ids);
        store.compact(0, &Budget::default()).unwrap();
        assert!(store.segments.len() < 4, "{} segments", store.segments.len());
        let mut asked: Vec<u128> = (0..300).map(id).collect();
        asked.sort_unstable();
        let found = store.find_ids(&asked).unwrap();
        let expected: BTreeMap<u128, i32> = (0..night * 50 + 50).map(|n| (id(n), n as i32)).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(store.ledgers().len(), 5);
}

#[test]
fn there_are_few_segments_and_a_base_is_seldom_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = TimelineStore::open(&folder.path().join("store")).unwrap();
    let rows: Vec<Row> = (0..4000).map(|n| ((n % 251) as u8, n % 300, n % 300, 1, n)).collect();
    add(&mut store, &rows, &[]);
    let base = store.segments[0].path.clone();
    let mut most = 0;
    for night in 0..60 {
        add(&mut store, &rows[night..night + 10], &[]);
        store.compact(0, &Budget::default()).unwrap();
        most = most.max(store.segments.len());
    }
    assert_eq!(store.segments[0].path, base, "600 events are no reason to rewrite 4000");
    assert!(most <= 5, "{most} segments");
}
