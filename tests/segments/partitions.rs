//! Partitions that are damaged, odd, or left by a killed run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, LargeStringArray, RecordBatch};
use bellwether::error::{ExitCode, Explain, Reason};
use bellwether::segments::SegmentsError;

use super::{DATE, FOUR, Shop, batch, day, six, text};

#[test]
fn a_damaged_former_date_is_not_passed_over() {
    let shop = Shop::new();
    let former = "2026-08-20";
    shop.write(former, &[six()], 2);
    shop.evaluate_at(former, FOUR, 1).unwrap();
    shop.write(DATE, &[six()], 2);
    let manifest = shop.out().join(format!("as_of={former}/manifest.json"));
    let (good, parquet) = (fs::read_to_string(&manifest).unwrap(), fs::read(shop.memberships(former)).unwrap());
    let damage = |path: &Path, content: &[u8]| {
        fs::write(path, content).unwrap();
        let error = shop.evaluate(FOUR).expect_err("damaged");
        let expected = (ExitCode::DataRejected, Some(Reason::NoScoringData));
        assert_eq!((error.exit_code(), error.reason()), expected, "{error}");
        assert!(error.hints()[0].contains("as_of=2026-08-20"), "{:?}", error.hints());
        assert!(!shop.memberships(DATE).exists());
    };
    damage(&manifest, b"{\"complete\": tr");
    damage(&manifest, good.replace("2026-08-20", "2026-08-19").as_bytes());
    damage(&manifest, good.replace("buyers", "others").as_bytes());
    fs::write(&manifest, &good).unwrap();
    damage(&shop.memberships(former), &parquet[..parquet.len() / 2]);
    fs::write(shop.memberships(former), &parquet).unwrap();
    shop.evaluate(FOUR).unwrap();
}

#[test]
fn partitions_that_cannot_be_trusted_are_refused() {
    let shop = Shop::new();
    shop.write("2026-08-19", &[six()], 2);
    let error = shop.evaluate(FOUR).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert_eq!(error.hints(), ["the newest complete scores are of `--as-of 2026-08-19`"]);

    let refused = |shop: &Shop, words: &str| {
        let error = shop.evaluate(FOUR).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((error.exit_code(), error.reason()), (ExitCode::DataRejected, Some(Reason::NoScoringData)));
        assert!(!shop.out().join(format!("as_of={DATE}")).exists());
    };
    let manifest = shop.scores(DATE).join("manifest.json");
    shop.write(DATE, &[six()], 2);
    fs::remove_file(&manifest).unwrap();
    refused(&shop, "has no `manifest.json`: it is not complete");
    for (content, words) in [
        ("{", "unreadable `manifest.json`"),
        ("{\"as_of\": \"2026-08-21\"}", "is not complete"),
        ("{\"as_of\": \"2026-08-21\", \"complete\": false}", "is not complete"),
        ("{\"as_of\": \"2026-08-20\", \"complete\": true}", "is of \"2026-08-20\", not of 2026-08-21"),
        ("{\"complete\": true}", "is of null"),
    ] {
        fs::write(&manifest, content).unwrap();
        refused(&shop, words);
    }

    let with = |batches: &[RecordBatch], words: &str| {
        let shop = Shop::new();
        shop.write(DATE, batches, 2);
        refused(&shop, words);
    };
    with(&[], "has no file `part-*.parquet`");
    with(&[six().slice(3, 3), six().slice(0, 3)], "not sorted by `customer_id`: `a` comes after `f`");
    with(&[six(), six().slice(5, 1)], "has customer `f` twice");
    with(&[six(), six().project(&[0, 1]).unwrap()], "different columns");
    with(&[six().project(&[1, 2]).unwrap()], "has no column `customer_id`");
    with(&[batch(vec![("customer_id", Arc::new(Int32Array::from(vec![1])))])], "of type Int32, not text");
    let rest = six();
    let mut columns = rest.columns().to_vec();
    columns[0] = text(["a", "b", "-", "d", "e", "f"]);
    with(&[RecordBatch::try_new(rest.schema(), columns).unwrap()], "rows without a `customer_id`");
}

#[test]
fn damaged_parts_are_refused_and_nothing_is_written() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let path = shop.scores(DATE).join("part-00000.parquet");
    let good = fs::read(&path).unwrap();
    let refused = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let error = shop.evaluate(FOUR).unwrap_err();
        assert!(matches!(error, SegmentsError::Damaged { .. }), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::DataRejected);
        assert!(!shop.out().join(format!("as_of={DATE}")).exists());
    };
    for end in [0, 10, good.len() / 2, good.len() - 1] {
        refused(&good[..end]);
    }
    // Pages overwritten before an intact footer.
    let footer = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()) as usize;
    let mut pages = good.clone();
    pages[4..good.len() - 8 - footer].fill(0xff);
    refused(&pages);
}

#[test]
fn other_text_types_and_odd_paths_are_read() {
    let shop = Shop { root: tempfile::Builder::new().prefix("a shop, 100 % ü#?").tempdir().unwrap() };
    let ids = Arc::new(LargeStringArray::from(vec!["a", "b"])) as ArrayRef;
    let values = Arc::new(Float64Array::from(vec![1.0, 20.0])) as ArrayRef;
    shop.write(DATE, &[batch(vec![("customer_id", ids), ("predicted_value_90d", values)])], 1);
    shop.evaluate("[[segment]]\nname='dear'\nwhere='predicted_value_90d > 10'").unwrap();
    assert_eq!(shop.read(DATE), [("b".to_string(), "dear".to_string())]);
}

#[test]
fn leftovers_of_a_killed_run_are_undone_by_the_next() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    for date in ["2026-08-19", "2026-08-20"] {
        shop.write(date, &[six()], 2);
        shop.evaluate_at(date, FOUR, 1).unwrap();
    }
    let clean = shop.evaluate(FOUR).unwrap();
    let names = || -> BTreeSet<String> {
        fs::read_dir(shop.out()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = names();
    let at = |name: &str| shop.out().join(name);
    // Killed between the renames while replacing yesterday: yesterday must return before it is compared with.
    fs::rename(at("as_of=2026-08-20"), at(".as_of=2026-08-20.old-1-1")).unwrap();
    fs::create_dir(at(".as_of=2026-08-20.tmp-1-0")).unwrap();
    // Killed while today was being built.
    fs::create_dir(at(".as_of=2026-08-21.tmp-1-3")).unwrap();
    fs::write(at(".as_of=2026-08-21.tmp-1-3/memberships.parquet"), "half").unwrap();
    assert_eq!(shop.evaluate(FOUR).unwrap(), clean);
    assert_eq!(clean.previous.as_ref().unwrap().as_of, day("2026-08-20"));
    assert_eq!(names(), before);
}
