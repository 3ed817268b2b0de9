//! Forgetting customers: their rows leave every partition, the long tables of categories, the memberships and the rejects;
//! other rows keep their bytes.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;

use super::accounts;
use super::categories::{self, CategoryManifest};
use super::columns::{numbers, texts};
use super::manifest::{MANIFEST, ScoreManifest};
use super::partitions::partitions;
use crate::bundle::{Bundle, BundleError};
use crate::config::TargetKind;
use crate::error::{Error, FileError};
use crate::guard::guarded;
use crate::lists::{scrub, scrub_file};
use crate::progress::Observer;
use crate::storage::{self, PartitionWriter, Workplace};
use crate::time::Day;
use crate::timeline::customer_hash;

/// Where customers are to be forgotten.
#[derive(Debug, Clone)]
pub struct ForgetOptions {
    /// Their ids.
    pub ids: HashSet<String>,
    /// Folder of the partitions.
    pub scores: PathBuf,
    /// Folder of the memberships, if there is one.
    pub memberships: Option<PathBuf>,
    /// Files of rejected rows; those that are not there are passed over.
    pub rejects: Vec<PathBuf>,
    /// Folders of bundles, `models/<name>`, that are asked whether they were trained with them.
    pub models: Vec<PathBuf>,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Forgotten {
    /// Ids that were asked for.
    pub customers: usize,
    /// Rows that left the partition of a day.
    pub partitions: BTreeMap<Day, u64>,
    /// Rows that left the long table of categories of a day.
    pub categories: BTreeMap<Day, u64>,
    /// Rows that left the memberships of a day.
    pub memberships: BTreeMap<Day, u64>,
    /// Rejected rows that quoted one of them.
    pub rejects: u64,
    /// Bundles whose fit saw one of them.
    pub trained_with: Vec<TrainedWith>,
    /// Bundles of earlier releases, which do not keep who was in their fit.
    pub unknown: Vec<PathBuf>,
}

/// A bundle whose fit saw customers who are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainedWith {
    /// Where it is.
    pub bundle: PathBuf,
    /// How many of them; one in 2,180 of these was not there after all.
    pub customers: u64,
}

impl Forgotten {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        use std::fmt::Write;
        let sum = |rows: &BTreeMap<Day, u64>| rows.values().sum::<u64>();
        let days = |rows: &BTreeMap<Day, u64>| rows.len();
        let mut text = format!(
            "{} customers forgotten: {} rows of {} partitions, {} of {} long tables, {} memberships of {} days, {} rejected rows\n",
            self.customers,
            sum(&self.partitions),
            days(&self.partitions),
            sum(&self.categories),
            days(&self.categories),
            sum(&self.memberships),
            days(&self.memberships),
            self.rejects
        );
        if self.trained_with.is_empty() {
            text.push_str("no bundle that was asked was trained with them\n");
        } else {
            text.push_str("trained with them, and to be trained anew with `--forget`:\n");
        }
        for bundle in &self.trained_with {
            let _ = writeln!(text, "  {}  ({} of them)", bundle.bundle.display(), bundle.customers);
        }
        for bundle in &self.unknown {
            let _ = writeln!(text, "  {}  (of an earlier release: it does not say)", bundle.display());
        }
        text
    }
}

/// Forgets: each partition is rewritten without the rows and replaced whole, one after another, so that a run that is cut
/// short has forgotten in some and not in others, and can be repeated.
///
/// # Errors
/// Another run in the folder; partitions that cannot be read or written; bundles that are damaged.
pub fn forget(options: &ForgetOptions, observer: &dyn Observer) -> Result<Forgotten, Error> {
    let mut scores = Workplace::lock(&options.scores, |_| true, observer)?;
    let open = |folder: &PathBuf| Workplace::open(folder, |_| true);
    let mut memberships = options.memberships.as_ref().map(open).transpose()?;
    let mut models = options.models.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    // Files in those folders are meant where they are here.
    let here = |path: &PathBuf| {
        let mut folders = options.models.iter().zip(&models).chain(std::iter::once((&options.scores, &scores)));
        let below =
            |(named, folder): (&PathBuf, &Workplace)| Some(folder.folder().join(path.strip_prefix(named).ok()?));
        folders.find_map(below).unwrap_or_else(|| path.clone())
    };
    let local = ForgetOptions {
        ids: options.ids.clone(),
        scores: scores.folder().into(),
        memberships: memberships.as_ref().map(|folder| folder.folder().into()),
        rejects: options.rejects.iter().map(here).collect(),
        models: models.iter().map(|folder| folder.folder().into()).collect(),
    };
    let mut done = forget_here(&local, &scores.observer(observer));
    for folder in models.iter_mut().chain(&mut memberships) {
        if let Ok(forgotten) = &mut done {
            let bundles = forgotten.trained_with.iter_mut().map(|trained| &mut trained.bundle);
            bundles.chain(&mut forgotten.unknown).for_each(|bundle| *bundle = folder.address(bundle));
        }
        done = folder.finish(done, observer);
    }
    scores.finish(done, observer)
}

/// The same in folders of this machine.
fn forget_here(options: &ForgetOptions, observer: &dyn Observer) -> Result<Forgotten, Error> {
    storage::recover(&options.scores)?;
    let mut forgotten = Forgotten { customers: options.ids.len(), ..Forgotten::default() };
    // Bundles first: when one cannot be read, nothing is changed.
    for folder in &options.models {
        for bundle in bundles(folder)? {
            let loaded = Bundle::load(&bundle)?;
            match loaded.customers {
                None => forgotten.unknown.push(bundle),
                Some(filter) => {
                    let customers = options.ids.iter().filter(|id| filter.may_hold(customer_hash(id))).count() as u64;
                    if customers > 0 {
                        forgotten.trained_with.push(TrainedWith { bundle, customers });
                    }
                }
            }
        }
    }
    for (day, path) in partitions(&options.scores)? {
        observer.stage(&format!("forgetting in {}", path.display()));
        let rows = forget_scores(&path, &options.ids)?;
        if rows > 0 {
            forgotten.partitions.insert(day, rows);
        }
    }
    let categories = options.scores.join(categories::FOLDER);
    storage::recover(&categories)?;
    for (day, path) in partitions(&categories)? {
        let rows = forget_categories(&path, &options.ids)?;
        if rows > 0 {
            forgotten.categories.insert(day, rows);
        }
    }
    if let Some(folder) = &options.memberships {
        storage::recover(folder)?;
        for (day, path) in partitions(folder)? {
            let rows = forget_memberships(&path, &options.ids)?;
            if rows > 0 {
                forgotten.memberships.insert(day, rows);
            }
        }
    }
    for path in options.rejects.iter().filter(|path| path.is_file() || storage::is_remote(path)) {
        forgotten.rejects += scrub_file(path, &options.ids)?;
    }
    Ok(forgotten)
}

/// The bundles of `models/<name>`, or the one that is named.
fn bundles(folder: &Path) -> Result<Vec<PathBuf>, BundleError> {
    if folder.join(MANIFEST).is_file() {
        return Ok(vec![folder.into()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
        let path = entry.map_err(FileError::at("read the folder", folder))?.path();
        let is_leftover = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'));
        if path.join(MANIFEST).is_file() && !is_leftover {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() { Err(BundleError::Missing { path: folder.into() }) } else { Ok(found) }
}

/// Names of the files of a folder, in order; the manifest is none of them: it is written last.
fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
        let entry = entry.map_err(FileError::at("read the folder", folder))?;
        if let Some(name) = entry.file_name().to_str().filter(|name| *name != MANIFEST) {
            names.push(name.to_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Rows of a file that belong to one of the ids.
fn count_rows(path: &Path, ids: &HashSet<String>) -> Result<u64, FileError> {
    Ok(texts(path, "customer_id")?.iter().flatten().filter(|id| ids.contains(*id)).count() as u64)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    std::fs::write(path, bytes).map_err(FileError::at("write", path))
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::copy(from, to).map(drop).map_err(FileError::at("write", to))
}

fn forget_scores(folder: &Path, ids: &HashSet<String>) -> Result<u64, FileError> {
    let mut manifest = ScoreManifest::load(folder)?;
    let names = names(folder)?;
    let data: Vec<&String> = names.iter().filter(|name| name.starts_with("part-")).collect();
    let mut rows = 0;
    for name in &data {
        rows += count_rows(&manifest.sound(folder, name)?, ids)?;
    }
    let mut quoted = false;
    for count in manifest.data.rejects.values_mut() {
        quoted |= scrub(&mut count.first, ids);
    }
    if rows == 0 && !quoted {
        return Ok(0);
    }
    storage::replace_folder(folder, |temporary| {
        for name in &names {
            let (from, to) = (folder.join(name), temporary.join(name));
            if data.contains(&name) { without(&from, &to, ids)? } else { copy(&from, &to)? }
        }
        if rows > 0 {
            for name in &data {
                manifest.files.insert((*name).clone(), storage::fingerprint(&temporary.join(name))?);
            }
            let files: Vec<PathBuf> = data.iter().map(|name| temporary.join(name)).collect();
            recount(&mut manifest, &files)?;
            manifest.forgotten += rows;
        }
        write(&temporary.join(MANIFEST), &manifest.sealed())
    })?;
    Ok(rows)
}

/// The long table of a day. Ranks and audiences stay those of the run; the manifest says how many rows have gone.
fn forget_categories(folder: &Path, ids: &HashSet<String>) -> Result<u64, FileError> {
    let Some(mut manifest) = CategoryManifest::of_folder(folder)? else { return Ok(0) };
    let names: Vec<String> = manifest.files.keys().cloned().collect();
    let mut rows = 0;
    for name in &names {
        rows += count_rows(&accounts::sound(folder, name, &manifest.files)?, ids)?;
    }
    if rows == 0 {
        return Ok(0);
    }
    storage::replace_folder(folder, |temporary| {
        for name in &names {
            without(&folder.join(name), &temporary.join(name), ids)?;
            manifest.files.insert(name.clone(), storage::fingerprint(&temporary.join(name))?);
        }
        manifest.rows -= rows;
        manifest.forgotten += rows;
        write(&temporary.join(MANIFEST), &manifest.sealed())
    })?;
    Ok(rows)
}

/// Counts, means and sums of what is left.
fn recount(manifest: &mut ScoreManifest, files: &[PathBuf]) -> Result<(), FileError> {
    let all_texts = |column: &str| -> Result<Vec<Option<String>>, FileError> {
        Ok(files.iter().map(|path| texts(path, column)).collect::<Result<Vec<_>, _>>()?.concat())
    };
    let counted = |column: &str| -> Result<BTreeMap<String, u64>, FileError> {
        let mut counts = BTreeMap::new();
        all_texts(column)?.into_iter().flatten().for_each(|name| *counts.entry(name).or_insert(0) += 1);
        Ok(counts)
    };
    manifest.rows_by_status = counted("status")?;
    manifest.rows_by_stage = counted("lifecycle_stage")?;
    manifest.rows = manifest.rows_by_status.values().sum();
    for (column, total) in &mut manifest.totals {
        let values = files.iter().map(|path| numbers(path, column)).collect::<Result<Vec<_>, _>>()?.concat();
        let known: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        *total = known.iter().sum();
        let mean = (!known.is_empty()).then(|| *total / known.len() as f64);
        manifest.means.insert(column.clone(), mean);
    }
    let total = |kind: TargetKind| {
        let first = manifest.targets.iter().find(|target| target.kind == kind && !target.per_group)?;
        manifest.totals.get(first.columns().first()?).copied()
    };
    (manifest.expected_churners, manifest.expected_value) = (total(TargetKind::Absence), total(TargetKind::Amount));
    Ok(())
}

/// Memberships: every Parquet file with a `customer_id`. Counts of segments stay those of the evaluation; the manifest says
/// how many rows have gone.
fn forget_memberships(folder: &Path, ids: &HashSet<String>) -> Result<u64, FileError> {
    let names = names(folder)?;
    let mut rows = 0;
    for name in names.iter().filter(|name| name.ends_with(".parquet")) {
        rows += count_rows(&folder.join(name), ids)?;
    }
    if rows == 0 {
        return Ok(0);
    }
    let path = folder.join(MANIFEST);
    let mut manifest: Option<serde_json::Value> = accounts::read(&path)?;
    if let Some(manifest) = manifest.as_mut().and_then(serde_json::Value::as_object_mut) {
        let before = manifest.get("forgotten_rows").and_then(serde_json::Value::as_u64).unwrap_or(0);
        manifest.insert("forgotten_rows".into(), (before + rows).into());
    }
    storage::replace_folder(folder, |temporary| {
        for name in &names {
            let (from, to) = (folder.join(name), temporary.join(name));
            if name.ends_with(".parquet") { without(&from, &to, ids)? } else { copy(&from, &to)? }
        }
        let Some(manifest) = &manifest else { return Ok(()) };
        let mut json = serde_json::to_vec_pretty(manifest).expect("JSON has a JSON form");
        json.push(b'\n');
        write(&temporary.join(MANIFEST), &json)
    })?;
    Ok(rows)
}

/// A copy of a file without the rows of the ids.
fn without(from: &Path, to: &Path, ids: &HashSet<String>) -> Result<(), FileError> {
    match from.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => guarded(|| without_parquet(from, to, ids), |why| FileError::damaged(from, why)),
        Some("csv") => without_csv(from, to, ids),
        _ => without_ndjson(from, to, ids),
    }
}

fn without_parquet(from: &Path, to: &Path, ids: &HashSet<String>) -> Result<(), FileError> {
    let failed = |source: io::Error| FileError { action: "read", path: from.into(), source };
    let file = File::open(from).map_err(failed)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.into()))?;
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let pairs: Vec<(&str, &str)> = metadata
        .iter()
        .filter(|pair| pair.key != ARROW_SCHEMA) // the writer makes it anew
        .filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)))
        .collect();
    // The file's own metadata are in the schema, too, where they would be written a second time.
    let schema = Arc::new(Schema::new(builder.schema().fields().clone()));
    let mut writer = PartitionWriter::create(to, Arc::clone(&schema), &pairs)?;
    for batch in builder.build().map_err(|error| failed(error.into()))? {
        let batch = batch.map_err(|error| failed(io::Error::other(error)))?;
        let customers = batch.column_by_name("customer_id").expect("counted by it before");
        let customers = cast(customers, &DataType::Utf8).map_err(|error| failed(io::Error::other(error)))?;
        let keep: BooleanArray =
            customers.as_string::<i32>().iter().map(|id| Some(id.is_none_or(|id| !ids.contains(id)))).collect();
        let batch = filter_record_batch(&batch, &keep)
            .and_then(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()))
            .map_err(|error| failed(io::Error::other(error)))?;
        writer.write(&batch)?;
    }
    writer.finish().map(drop)
}

/// Key under which the arrow schema stands in the metadata of a Parquet file.
const ARROW_SCHEMA: &str = "ARROW:schema";

fn without_csv(from: &Path, to: &Path, ids: &HashSet<String>) -> Result<(), FileError> {
    let failed = |source: io::Error| FileError { action: "read", path: from.into(), source };
    let text = std::fs::read(from).map_err(failed)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_slice());
    let header = reader.headers().map_err(|error| failed(error.into()))?;
    let Some(column) = header.iter().position(|name| name == "customer_id") else {
        return Err(failed(io::Error::other("it has no column `customer_id`")));
    };
    let mut record = csv::StringRecord::new();
    let mut kept = Vec::with_capacity(text.len());
    let mut start = reader.position().byte() as usize;
    kept.extend_from_slice(&text[..start]);
    while reader.read_record(&mut record).map_err(|error| failed(error.into()))? {
        let end = reader.position().byte() as usize;
        if !ids.contains(&record[column]) {
            kept.extend_from_slice(&text[start..end]); // as it stands there
        }
        start = end;
    }
    write(to, &kept)
}

fn without_ndjson(from: &Path, to: &Path, ids: &HashSet<String>) -> Result<(), FileError> {
    let failed = |source: io::Error| FileError { action: "read", path: from.into(), source };
    let text = std::fs::read_to_string(from).map_err(failed)?;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let row: serde_json::Value = serde_json::from_str(line).map_err(|error| failed(error.into()))?;
        if row["customer_id"].as_str().is_none_or(|id| !ids.contains(id)) {
            kept.push_str(line);
        }
    }
    write(to, kept.as_bytes())
}
