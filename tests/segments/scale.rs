//! Many segments, many customers, any number of threads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int32Array, StringArray};
use bellwether::segments::{Segments, SegmentsError, evaluate};
use bellwether::storage::PartitionWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{DATE, Shop, batch, day, many, segments, six};

#[test]
fn only_the_columns_of_predicates_are_read() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 6);
    let path = shop.scores(DATE).join("part-00000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let footer = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    for column in footer.metadata().row_group(0).columns() {
        if !["customer_id", "churn_percentile"].contains(&column.column_descr().name()) {
            let (start, length) = column.byte_range();
            bytes[start as usize..(start + length) as usize].fill(0xff);
        }
    }
    fs::write(&path, bytes).unwrap();
    let counts = shop.evaluate("[[segment]]\nname='it'\nwhere='churn_percentile >= 80'").unwrap();
    assert_eq!(counts.segments[0].customers, 2);
    let error = shop.evaluate("[[segment]]\nname='it'\nwhere='holdout'").unwrap_err();
    assert!(matches!(error, SegmentsError::Damaged { .. }), "{error:?}");
    assert_eq!(shop.read(DATE).len(), 2, "the former memberships stay");
}

#[test]
fn a_thousand_segments_are_counted() {
    let shop = Shop::new();
    let toml: String = (0..1000)
        .map(|n| format!("[[segment]]\nname='{n}'\nwhere='schema_version BETWEEN {n} AND {n} + 70'\n"))
        .collect();
    let numbered = |shift: i32| {
        let ids = StringArray::from_iter_values((0..1000).map(|row| format!("{row:04}")));
        let numbers = Int32Array::from_iter_values((0..1000).map(|row| row + shift));
        batch(vec![("customer_id", Arc::new(ids)), ("schema_version", Arc::new(numbers))])
    };
    shop.write("2026-08-20", &[numbered(3)], 300);
    shop.evaluate_at("2026-08-20", &toml, 2).unwrap();
    shop.write(DATE, &[numbered(0)], 300);
    let counts = shop.evaluate(&toml).unwrap();
    // Yesterday customer r had r + 3: segment n loses r = n - 3.. and gains as many at its end.
    for (n, count) in counts.segments.iter().enumerate() {
        let (today, before) = (n..(n + 71).min(1000), n.saturating_sub(3)..(n + 68).min(1000));
        let entries = today.clone().filter(|row| !before.contains(row)).count() as u64;
        let exits = before.clone().filter(|row| !today.contains(row)).count() as u64;
        let found = (count.customers, count.entries, count.exits);
        assert_eq!(found, (today.len() as u64, Some(entries), Some(exits)), "{n}");
    }
    assert_eq!(counts.overlaps[900][910], 61);
    assert!(counts.to_text().contains("smaller overlaps are in `manifest.json`"));
    let error = Segments::parse(&(toml + "[[segment]]\nname='x'\nwhere='true'"), Path::new("s.toml")).unwrap_err();
    assert!(error.to_string().ends_with("must be there 1 to 1000 times, got 1001"), "{error}");
}

fn twenty() -> String {
    let mut toml = String::new();
    for number in 0..19 {
        let (score, feature) = (number / 4 * 4, number / 4 * 4 + 1 + number % 3);
        let (cut, count, percentile) = (40 + number, 10 + number, 99 - number / 2);
        toml += &format!(
            "[[segment]]\nname = 'segment {number}'\nwhere = '''
             score_{score} >= 0.{cut} AND feature_{feature} >= {count} OR churn_percentile > {percentile}'''\n"
        );
    }
    toml + "[[segment]]\nname = 'rest'\notherwise = true\n"
}

#[test]
fn bytes_are_the_same_at_any_number_of_threads() {
    let mut files: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for threads in [1, 2, 7, 0] {
        // A former date, too, so that entries and exits are compared.
        let shop = Shop::new();
        shop.write("2026-08-20", &[many(500, 20_000, 24)], 3000);
        shop.write(DATE, &[many(0, 9_000, 24), many(9_000, 1, 24), many(9_001, 14_000, 24)], 1234);
        for date in ["2026-08-20", DATE] {
            shop.evaluate_at(date, &twenty(), threads).unwrap();
        }
        let manifest = shop.out().join(format!("as_of={DATE}/manifest.json"));
        files.push((fs::read(shop.memberships(DATE)).unwrap(), fs::read(manifest).unwrap()));
    }
    assert!(files[0].0.len() > 10_000);
    assert!(files.iter().all(|other| other == &files[0]));
    // Nor do memberships depend on how the scores are cut into files and row groups.
    let shop = Shop::new();
    shop.write(DATE, &[many(0, 23_001, 24)], 100_000);
    shop.evaluate(&twenty()).unwrap();
    assert!(fs::read(shop.memberships(DATE)).unwrap() == files[0].0);
}

const CHILD: &str = "BELLWETHER_TEST_SHOP";

/// Runs in a process of its own, whose peak of memory is then that of the evaluation.
#[test]
#[ignore = "started by `a_million_customers_need_bounded_memory`"]
fn child_evaluates() {
    let root = PathBuf::from(std::env::var_os(CHILD).expect("the folder of a shop"));
    let scores = root.join("scores").join(format!("as_of={DATE}"));
    let started = std::time::Instant::now();
    let counts = evaluate(&segments(&twenty()), &scores, &root.join("segments"), day(DATE), 2).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    eprintln!("RESULT {} {} {seconds} {}", counts.customers, counts.memberships, peak.unwrap_or("0"));
}

#[test]
fn a_million_customers_need_bounded_memory() {
    let mut peaks = Vec::new();
    for rows in [250_000, 1_000_000] {
        let shop = Shop::new();
        shop.write(DATE, &[], 1); // the manifest
        let path = shop.scores(DATE).join("part-00000.parquet");
        let step = 50_000;
        let mut writer = PartitionWriter::create(&path, many(0, 1, 100).schema(), &[]).unwrap();
        for start in (0..rows).step_by(step) {
            writer.write(&many(start, step, 100)).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), rows as u64);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scale::child_evaluates", "--ignored", "--nocapture"])
            .env(CHILD, shop.root.path())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stderr);
        let result = printed.lines().find_map(|line| line.split_once("RESULT ")).unwrap_or_else(|| panic!("{printed}"));
        let numbers: Vec<f64> = result.1.split(' ').map(|number| number.parse().unwrap()).collect();
        let [customers, memberships, seconds, peak] = numbers[..] else { panic!("{printed}") };
        assert_eq!(customers as usize, rows);
        eprintln!(
            "{rows} customers x 100 columns x 20 segments: {memberships} memberships in {seconds:.2} s, \
             {:.0} customers/s, peak {:.0} MB",
            customers / seconds,
            peak / 1024.0
        );
        peaks.push(peak / 1024.0);
    }
    // Four times the customers. Ids and memberships of the other 750,000 alone would be more than this.
    assert!(peaks[1] < peaks[0] + 40.0, "{peaks:?} MB");
}
