//! Rows per second from Parquet files to decoded columns (the parquet crate alone) and to event batches.
//!
//! `cargo bench --bench reading` writes files of three sizes with integer and with text ids and reads them;
//! `cargo bench --bench reading -- FILE…` reads these files instead. Each line is the fastest of a few
//! readings; CPU seconds (user, system) are told where `/proc` has them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, types::Int8Type};
use bellwether::config::Config;
use bellwether::events::{Events, ReadLimit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Rows of the files that are written when none is named.
const SIZES: [(&str, usize); 3] = [("10k", 10_000), ("1M", 1_000_000), ("10M", 10_000_000)];
/// Rows of a row group, and of a batch of the parquet crate.
const GROUP_ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 1 << 17;
/// Readings of each file.
const REPEATS: usize = 3;
/// Ticks of `/proc/self/stat` in a second, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

const EVENTS: [&str; 6] = ["purchase", "view", "cart", "support", "login", "email_open"];
const CATEGORIES: usize = 30;

fn dictionary(keys: Vec<i8>, names: Vec<String>) -> ArrayRef {
    Arc::new(DictionaryArray::<Int8Type>::new(Int8Array::from(keys), Arc::new(StringArray::from(names))))
}

/// One row group of a shop's log: times ascend, customers repeat, most events have no money.
fn group(first_row: usize, rows: usize, has_text_ids: bool, random: &mut ChaCha8Rng) -> RecordBatch {
    let customers: Vec<i64> = (0..rows).map(|_| random.random_range(0..(first_row + rows) as i64 / 20 + 1)).collect();
    let customer: ArrayRef = match has_text_ids {
        true => Arc::new(StringArray::from_iter_values(customers.iter().map(|id| format!("C{id:015}")))),
        false => Arc::new(Int64Array::from(customers)),
    };
    let times = (0..rows as i64).map(|row| 1_577_836_800_000_000 + (first_row as i64 + row) * 2_000_000);
    let events: Vec<i8> = (0..rows).map(|_| random.random_range(0..EVENTS.len() as i8)).collect();
    let money = |&event: &i8| if event == 0 { f64::from(random.random_range(100_u32..20_000)) / 100.0 } else { 0.0 };
    let values: Vec<f64> = events.iter().map(money).collect();
    let categories = (0..rows).map(|_| random.random_range(0..CATEGORIES as i8)).collect();
    RecordBatch::try_from_iter([
        ("customer_id", customer),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times)) as ArrayRef),
        ("event_type", dictionary(events, EVENTS.map(String::from).to_vec())),
        ("value", Arc::new(Float64Array::from(values))),
        ("category", dictionary(categories, (0..CATEGORIES).map(|at| format!("category_{at:02}")).collect())),
    ])
    .expect("columns of one length")
}

fn written(folder: &Path, name: &str, rows: usize, has_text_ids: bool) -> PathBuf {
    let path = folder.join(format!("{}_{name}.parquet", if has_text_ids { "text" } else { "integer" }));
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).set_max_row_group_row_count(Some(GROUP_ROWS));
    let schema = group(0, 1, has_text_ids, &mut random).schema();
    let file = File::create(&path).expect("a temporary file");
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties.build())).expect("a writer");
    for first_row in (0..rows).step_by(GROUP_ROWS) {
        let batch = group(first_row, GROUP_ROWS.min(rows - first_row), has_text_ids, &mut random);
        writer.write(&batch).expect("a row group");
    }
    writer.close().expect("a footer");
    path
}

/// All columns, row groups side by side: what the parquet crate takes for them.
fn decode(path: &Path) -> usize {
    let open = || File::open(path).expect("the file");
    let metadata = ArrowReaderMetadata::load(&open(), ArrowReaderOptions::new()).expect("a footer");
    (0..metadata.metadata().num_row_groups())
        .into_par_iter()
        .map(|row_group| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open(), metadata.clone());
            let builder = builder.with_row_groups(vec![row_group]).with_batch_size(BATCH_ROWS);
            builder.build().expect("a reader").map(|batch| batch.expect("sound pages").num_rows()).sum::<usize>()
        })
        .sum()
}

fn read(path: &Path) -> usize {
    let events = Events::open(&[path.display().to_string()], &Config::default()).expect("events");
    let mut reader = events.reader(ReadLimit::default(), None).expect("a reader");
    let mut rows = 0;
    while let Some(round) = reader.next_round().expect("sound files") {
        rows += round.iter().map(|batch| batch.len()).sum::<usize>();
    }
    rows
}

/// User and system seconds of this process so far.
fn cpu_seconds() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? / TICKS, ticks()? / TICKS))
}

fn report(name: &str, what: &str, run: impl Fn() -> usize) {
    let best = (0..REPEATS).map(|_| {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let rows = run();
        let spent = cpu.zip(cpu_seconds()).map(|(before, after)| (after.0 - before.0, after.1 - before.1));
        (start.elapsed().as_secs_f64(), spent, rows)
    });
    let best = best.min_by(|a, b| a.0.total_cmp(&b.0)).expect("at least one reading");
    let cpu = best.1.map(|(user, system)| format!(", CPU {user:.2} + {system:.2} s")).unwrap_or_default();
    eprintln!("{name:<24} {what:<12} {:>6.1} M rows/s, {:.3} s{cpu}", best.2 as f64 / best.0 / 1e6, best.0);
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files: Vec<PathBuf> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).map(Into::into).collect();
    if files.is_empty() {
        for (name, rows) in SIZES {
            files.extend([false, true].map(|has_text_ids| written(folder.path(), name, rows, has_text_ids)));
        }
    }
    for path in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        report(&name, "decode only", || decode(path));
        report(&name, "event reader", || read(path));
    }
}
