//! Files and folders that appear whole or not at all, and the one way Parquet is written.
//!
//! A reader sees the old content or the new one, never half of either. Work in progress lies beside its
//! target, `NAME`, under names that tell what they are:
//!
//! | name | what it is | what [`recover`] does when its run has died |
//! |---|---|---|
//! | `.NAME.tmp-PID-N` | a file or folder being built, or one being deleted | removes it |
//! | `.NAME.old-PID-N` | the former folder `NAME`, moved aside a moment before the new one moves in | renames it back when `NAME` is missing, removes it otherwise |
//!
//! On Linux, and on file systems that can do it, the new folder and the former one change places in one step, so that
//! `NAME` is never missing and there is no `.old`.
//!
//! So the rule of recovery is: *a run that was killed has changed nothing, unless its new folder is already in
//! place.* A live run holds an advisory lock on its files in progress; what is locked is left alone, so
//! several runs may share a folder. Where a file system has no locks, leftovers count as dead.
//!
//! Folders in object stores are worked in through a [`Workplace`].

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use crate::error::FileError;

mod exchange;
pub(crate) mod location;
mod lock;
pub(crate) mod remote;
mod workplace;

use exchange::exchange;
pub use location::is_remote;
pub use lock::RunLock;
pub use workplace::{Addressed, Workplace};

/// Tries to put a folder in place while other runs do the same with theirs; each try loses to one of them.
const SWAP_TRIES: usize = 64;

/// Writes a file that appears with all of its content or not at all: a temporary beside it is filled, flushed,
/// synced and renamed over `path`. An existing file is replaced. The parent folder must exist.
///
/// # Errors
/// What `write` or the system says, for instance that the disk is full; then the temporary is gone and a former
/// file is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), FileError> {
    refuse_remote(path)?;
    let parent = parent_of(path);
    recover(&parent)?;
    let (mut temporary, file) = Temporary::create(path, Kind::File)?;
    let mut writer = BufWriter::new(file);
    write(&mut writer).and_then(|()| writer.flush()).map_err(FileError::at("write", path))?;
    writer.get_ref().sync_all().map_err(FileError::at("write", path))?;
    fs::rename(&temporary.path, path).map_err(FileError::at("move the new file to", path))?;
    temporary.done = true;
    sync_folder(&parent).map_err(FileError::at("write the folder", &parent))
}

/// Builds a folder aside and puts it in the place of `target` whole; returns what `build` returns.
///
/// `build` gets an empty folder beside `target`. When it succeeds everything in the folder is synced, the two folders
/// change places, and the former one is removed. Where the system cannot do that in one step, the former is renamed
/// aside and the new one renamed in: between the two, for an instant, there is no `target`, and a run killed just
/// then is undone by the next (see [`recover`], which this calls first). Missing parent folders are created.
///
/// # Errors
/// Those of `build` and of the system; then everything built is removed and the former folder stays.
pub fn replace_folder<T, E: From<FileError>>(target: &Path, build: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    refuse_remote(target)?;
    let parent = parent_of(target);
    fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
    recover(&parent)?;
    if fs::symlink_metadata(target).is_ok_and(|found| found.is_file()) {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(FileError { action: "replace the folder", path: target.into(), source }.into());
    }
    let (mut temporary, lock) = Temporary::create(target, Kind::Folder)?;
    let result = build(&temporary.path)?;
    sync_tree(&temporary.path).map_err(FileError::at("write the folder", target))?;
    swap_in(&temporary.path, target).map_err(FileError::at("replace the folder", target))?;
    temporary.done = true;
    drop(lock);
    Ok(result)
}

/// Fills a file that appears with all of its content or not at all, as [`write_atomic`] does; `build` is given the
/// path of the temporary.
///
/// # Errors
/// Those of `build` and of the system; then the temporary is gone and a former file is untouched.
pub fn replace_file<T, E: From<FileError>>(target: &Path, build: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    refuse_remote(target)?;
    let parent = parent_of(target);
    fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
    recover(&parent)?;
    if fs::symlink_metadata(target).is_ok_and(|found| found.is_dir()) {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(FileError { action: "replace the file", path: target.into(), source }.into());
    }
    let (mut temporary, file) = Temporary::create(target, Kind::File)?;
    let result = build(&temporary.path)?;
    file.sync_all().map_err(FileError::at("write", target))?;
    fs::rename(&temporary.path, target).map_err(FileError::at("move the new file to", target))?;
    temporary.done = true;
    sync_folder(&parent).map_err(FileError::at("write", target))?;
    Ok(result)
}

/// A file that is being written beside its target, and takes its place when it is done; dropped before that, it is gone.
/// A killed run's is cleared by [`recover`].
#[derive(Debug)]
pub(crate) struct PendingFile {
    temporary: Temporary,
    file: File,
    target: PathBuf,
}

impl PendingFile {
    /// An empty one beside `target`, whose folder is created when it is missing.
    pub(crate) fn create(target: &Path) -> Result<Self, FileError> {
        refuse_remote(target)?;
        let parent = parent_of(target);
        fs::create_dir_all(&parent).map_err(FileError::at("create the folder", &parent))?;
        recover(&parent)?;
        let (temporary, file) = Temporary::create(target, Kind::File)?;
        Ok(Self { temporary, file, target: target.into() })
    }

    /// Puts what was written in the place of the target.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary.path, &self.target)?;
        self.temporary.done = true;
        sync_folder(&parent_of(&self.target))
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Clears `parent` of what killed runs left there, by the rule in the module's docs. A missing folder is fine.
///
/// # Errors
/// When the folder cannot be read or a leftover neither removed nor renamed.
pub fn recover(parent: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::at("read the folder", parent))?,
    };
    let mut leftovers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("read the folder", parent))?;
        if let Some(leftover) = Leftover::parse(&entry.file_name()) {
            leftovers.push((entry.path(), leftover));
        }
    }
    // Several former folders of one name can only come of outside meddling; the newest returns.
    let changed = |path: &Path| fs::symlink_metadata(path).and_then(|found| found.modified()).ok();
    leftovers.sort_by_cached_key(|(path, _)| (std::cmp::Reverse(changed(path)), path.clone()));
    for (path, leftover) in leftovers {
        let _lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // another run was quicker
            Err(_) => None,
            Ok(file) => match file.try_lock() {
                Err(TryLockError::WouldBlock) => continue, // its run lives
                Ok(()) | Err(TryLockError::Error(_)) => Some(file),
            },
        };
        let target = parent.join(&leftover.name);
        if leftover.is_old && fs::symlink_metadata(&target).is_err() {
            match ignore_missing(fs::rename(&path, &target)) {
                Err(_) if fs::symlink_metadata(&target).is_ok() => {} // a run was quicker to put its own there
                renamed => renamed.map_err(FileError::at("bring back", &target))?,
            }
        } else if leftover.is_old {
            retire(&path, &target).map_err(FileError::at("remove the leftover", &path))?;
        } else {
            remove(&path).map_err(FileError::at("remove the leftover", &path))?;
        }
    }
    Ok(())
}

/// The blake3 hash of a file's bytes, 64 lower-case hexadecimal digits, read in small pieces.
///
/// # Errors
/// When the file cannot be read.
pub fn fingerprint(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::at("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(FileError::at("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Writes one Parquet file whose bytes depend on schema, metadata and rows alone, however the rows come in
/// batches. Columns are encoded side by side.
///
/// zstd level 3; [`PartitionWriter::GROUP_ROWS`] rows a row group, which bounds the memory of writer and reader:
/// one row group of encoded columns. It writes in place: put it into a folder of [`replace_folder`].
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// # use bellwether::storage::PartitionWriter;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("part-00000.parquet");
/// let column = Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", column)])?;
/// let mut writer = PartitionWriter::create(&path, batch.schema(), &[("made_by", "an example")])?;
/// writer.write(&batch)?;
/// assert_eq!(writer.finish()?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PartitionWriter {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Columns of the row group that is being written, and its rows so far.
    columns: Vec<ArrowColumnWriter>,
    group_rows: usize,
    whole: BatchCoalescer,
    rows: u64,
}

impl PartitionWriter {
    /// Rows of a row group.
    pub const GROUP_ROWS: usize = 8 * Self::BATCH_ROWS;
    /// Pages end at batches, so batches have one size whatever the caller's have.
    const BATCH_ROWS: usize = 8192;

    /// A writer of an empty file with key-value metadata; metadata of columns belong into `schema`.
    ///
    /// # Errors
    /// When the file cannot be created or a column has a type that Parquet lacks.
    pub fn create(path: &Path, schema: SchemaRef, metadata: &[(&str, &str)]) -> Result<Self, FileError> {
        let level = ZstdLevel::try_new(3).map_err(|error| at(path)(error))?;
        let pairs = metadata.iter().map(|&(key, value)| KeyValue::new(key.to_string(), value.to_string())).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(Self::GROUP_ROWS))
            .set_key_value_metadata(Some(pairs));
        for field in schema.fields() {
            // Hardly two predictions are equal: a dictionary of them is built only to be given up.
            if field.data_type() == &DataType::Float64 {
                properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
            }
        }
        let file = File::create(path).map_err(FileError::at("create", path))?;
        let (file, groups) = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties.build()))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|error| at(path)(error))?;
        Ok(Self {
            path: path.into(),
            file,
            groups,
            columns: Vec::new(),
            group_rows: 0,
            whole: BatchCoalescer::new(Arc::clone(&schema), Self::BATCH_ROWS),
            schema,
            rows: 0,
        })
    }

    /// Adds rows; the batch must have the writer's schema.
    ///
    /// # Errors
    /// When the system cannot write, or the schema differs.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.rows += batch.num_rows() as u64;
        self.whole.push_batch(batch.clone()).map_err(|error| at(&self.path)(error.into()))?;
        self.pass_on()
    }

    /// Writes what is left and the footer, syncs, and returns the number of rows.
    ///
    /// # Errors
    /// When the system cannot write.
    pub fn finish(mut self) -> Result<u64, FileError> {
        self.whole.finish_buffered_batch().map_err(|error| at(&self.path)(error.into()))?;
        self.pass_on()?;
        self.close_group().map_err(at(&self.path))?;
        let file = self.file.into_inner().map_err(at(&self.path))?;
        file.sync_all().map_err(FileError::at("write", &self.path))?;
        Ok(self.rows)
    }

    fn pass_on(&mut self) -> Result<(), FileError> {
        while let Some(batch) = self.whole.next_completed_batch() {
            self.encode(&batch).map_err(at(&self.path))?;
        }
        Ok(())
    }

    /// Encodes a batch, its columns side by side.
    fn encode(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            self.columns = self.groups.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        let mut rest = self.columns.as_mut_slice();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in self.schema.fields().iter().zip(batch.columns()) {
            let leaves = compute_leaves(field, array)?;
            let (writers, after) = rest.split_at_mut(leaves.len());
            columns.push((writers, leaves));
            rest = after;
        }
        columns.into_par_iter().try_for_each(|(writers, leaves)| {
            writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
        })?;
        self.group_rows += batch.num_rows();
        if self.group_rows >= Self::GROUP_ROWS { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let columns = std::mem::take(&mut self.columns);
        if columns.is_empty() {
            return Ok(());
        }
        self.group_rows = 0;
        let chunks = columns.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }
}

/// Keeps the kind of the system's answer (a full disk, say) that parquet wraps.
fn at(path: &Path) -> impl FnOnce(ParquetError) -> FileError {
    let path = path.to_path_buf();
    move |error| {
        let source = match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(system) => *system,
                Err(other) => io::Error::other(other),
            },
            other => io::Error::other(other),
        };
        FileError { action: "write", path, source }
    }
}

/// Refuses an address in an object store: what writes files knows those of this machine, and a [`Workplace`] stands
/// before it where both are meant. Also to be asked before a long work whose result could not be written.
pub(crate) fn refuse_remote(path: &Path) -> Result<(), FileError> {
    if !is_remote(path) {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::Unsupported, "it is an address in an object store");
    Err(FileError { action: "write", path: path.into(), source })
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
}

/// Removed on drop unless `done`, so that errors and panics leave nothing behind.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    done: bool,
}

impl Temporary {
    /// A new, locked file or folder beside `target`. The lock lasts as long as the returned handle.
    fn create(target: &Path, kind: Kind) -> Result<(Self, File), FileError> {
        let create = |path: &Path| match kind {
            Kind::File => OpenOptions::new().write(true).create_new(true).open(path),
            Kind::Folder => fs::create_dir(path).and_then(|()| match File::open(path) {
                // Not yet locked, it looked dead to another run's `recover`; the next one has another number.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::ErrorKind::AlreadyExists.into()),
                opened => opened,
            }),
        };
        let failed = FileError::at("create a temporary beside", target);
        loop {
            let path = sibling(target, "tmp");
            match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // of a dead run with our number
                Err(error) => return Err(failed(error)),
                Ok(handle) => {
                    let temporary = Self { path, done: false };
                    let _ = handle.lock(); // refused where there are no locks
                    // Before it was locked, it may have looked dead to another run's `recover`.
                    if fs::symlink_metadata(&temporary.path).is_ok() {
                        return Ok((temporary, handle));
                    }
                }
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            let _ = remove(&self.path); // what cannot be removed now is a leftover for `recover`
        }
    }
}

/// `.NAME.tmp-PID-N` or `.NAME.old-PID-N`, new with every call.
fn sibling(target: &Path, what: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or(OsStr::new("folder")));
    name.push(format!(".{what}-{}-{count}", std::process::id()));
    parent_of(target).join(name)
}

struct Leftover {
    name: String,
    is_old: bool,
}

impl Leftover {
    fn parse(file_name: &OsStr) -> Option<Self> {
        let (name, suffix) = file_name.to_str()?.strip_prefix('.')?.rsplit_once('.')?;
        let (what, numbers) = suffix.split_once('-')?;
        let (process, count) = numbers.split_once('-')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let ours = !name.is_empty() && matches!(what, "tmp" | "old") && is_number(process) && is_number(count);
        ours.then(|| Self { name: name.to_string(), is_old: what == "old" })
    }
}

/// Renames `new` to `target`, moving a former `target` aside and then removing it.
fn swap_in(new: &Path, target: &Path) -> io::Result<()> {
    let parent = parent_of(target);
    for _ in 0..SWAP_TRIES {
        match exchange(new, target) {
            Ok(true) => {
                sync_folder(&parent)?;
                let _ = remove(new); // the former folder now; a leftover goes with the next run
                return Ok(());
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // there is no former one
            Err(error) => return Err(error),
        }
        let former = match lock_folder(target)? {
            None => None,
            Some(lock) => {
                let aside = sibling(target, "old");
                fs::rename(target, &aside)?;
                Some((aside, lock))
            }
        };
        let moved = fs::rename(new, target);
        let overtaken = moved.is_err() && fs::symlink_metadata(target).is_ok();
        if let (Err(_), false, Some((aside, _))) = (&moved, overtaken, &former) {
            fs::rename(aside, target)?;
        }
        if overtaken {
            if let Some((aside, _)) = &former {
                retire(aside, target)?;
            }
            continue; // another run put its folder there between our renames: replace that one
        }
        moved?;
        sync_folder(&parent)?;
        if let Some((aside, _)) = &former {
            let _ = retire(aside, target); // the new folder is in place; a leftover goes with the next run
        }
        return Ok(());
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy))
}

/// Opens and locks the folder that `target` names once the lock is held; `None` when there is none.
fn lock_folder(target: &Path) -> io::Result<Option<File>> {
    loop {
        let file = match File::open(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let _ = file.lock(); // refused where there are no locks
        match fs::metadata(target) {
            Ok(named) if is_same(&file.metadata()?, &named) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {} // replaced while we waited
        }
    }
}

#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Removes a folder that was moved aside, under a name that is never brought back half removed.
fn retire(aside: &Path, target: &Path) -> io::Result<()> {
    let doomed = sibling(target, "tmp");
    ignore_missing(fs::rename(aside, &doomed))?;
    remove(&doomed)
}

fn remove(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    ignore_missing(if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) })
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Makes renames in a folder lasting, where the system can do so.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entry = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(entry).collect();
        names.sort();
        names
    }

    fn folder_with(path: &Path, content: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("data"), content).unwrap();
    }

    fn data(path: &Path) -> String {
        fs::read_to_string(path.join("data")).unwrap()
    }

    fn build(content: &str) -> impl FnOnce(&Path) -> Result<(), FileError> {
        move |folder| {
            fs::create_dir(folder.join("inner")).unwrap();
            write_atomic(&folder.join("inner/more"), |out| out.write_all(b"more"))?;
            write_atomic(&folder.join("data"), |out| out.write_all(content.as_bytes()))
        }
    }

    #[test]
    fn a_full_disk_leaves_the_former_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        write_atomic(&path, |out| out.write_all(b"old")).unwrap();
        let error = write_atomic(&path, |out| {
            out.write_all(&[0; 100_000])?; // past the buffer, so that some of it is on disk
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().ends_with("manifest.json: cannot write"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["manifest.json"]);
        write_atomic(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["manifest.json"]);
    }

    #[test]
    fn a_failed_or_panicking_build_leaves_the_former_folder() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("as_of=2026-08-21");
        replace_folder(&target, build("old")).unwrap();
        let error = replace_folder(&target, |folder| -> Result<(), FileError> {
            folder_with(folder, "half");
            Err(FileError { action: "write", path: folder.into(), source: io::ErrorKind::StorageFull.into() })
        });
        assert_eq!(error.unwrap_err().source.kind(), io::ErrorKind::StorageFull);
        let panicked = std::panic::catch_unwind(|| {
            replace_folder(&target, |folder| -> Result<(), FileError> {
                folder_with(folder, "half");
                std::panic::resume_unwind(Box::new("a fault"))
            })
        });
        assert!(panicked.is_err());
        assert_eq!(data(&target), "old");
        assert_eq!(names(parent.path()), ["as_of=2026-08-21"]);
        replace_folder(&target, build("new")).unwrap();
        assert_eq!(data(&target), "new");
        assert_eq!(names(parent.path()), ["as_of=2026-08-21"]);
        assert_eq!(names(&target), ["data", "inner"]);
    }

    /// Each state that a run killed between two steps of [`replace_folder`] leaves behind.
    #[test]
    fn every_crash_point_is_recovered() {
        for (found, kept) in [
            (&[("x", "old"), (".x.tmp-1-0", "half")][..], Some("old")), // killed while building
            (&[(".x.tmp-1-0", "half")], None),                          // the same, the first time ever
            (&[(".x.old-1-1", "old"), (".x.tmp-1-0", "new")], Some("old")), // between the renames
            (&[("x", "new"), (".x.old-1-1", "old")], Some("new")),      // before the former one was removed
            (&[("x", "new"), (".x.tmp-1-2", "part of old")], Some("new")), // while it was being removed
        ] {
            for by_next_run in [false, true] {
                let parent = tempfile::tempdir().unwrap();
                for (name, content) in found {
                    folder_with(&parent.path().join(name), content);
                }
                let target = parent.path().join("x");
                if by_next_run {
                    replace_folder(&parent.path().join("y"), |folder| -> Result<(), FileError> {
                        assert_eq!(target.exists().then(|| data(&target)).as_deref(), kept, "{found:?}");
                        folder_with(folder, "other");
                        Ok(())
                    })
                    .unwrap();
                    fs::remove_dir_all(parent.path().join("y")).unwrap();
                } else {
                    recover(parent.path()).unwrap();
                }
                assert_eq!(target.exists().then(|| data(&target)).as_deref(), kept, "{found:?}");
                assert_eq!(names(parent.path()), kept.map(|_| "x").into_iter().collect::<Vec<_>>(), "{found:?}");
            }
        }
    }

    #[test]
    fn a_live_run_and_foreign_files_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        for name in [".x.tmp-1-0", ".x.old-1-1"] {
            folder_with(&parent.path().join(name), "live");
        }
        for name in [".x.tmp", ".x.tmp-1", ".x.tmp-a-b", "x.tmp-1-0", "..tmp-1-0", ".gitignore"] {
            fs::write(parent.path().join(name), "foreign").unwrap();
        }
        let before = names(parent.path());
        let locks = [".x.tmp-1-0", ".x.old-1-1"].map(|name| {
            let folder = File::open(parent.path().join(name)).unwrap();
            folder.lock().unwrap();
            folder
        });
        recover(parent.path()).unwrap();
        assert_eq!(names(parent.path()), before);
        drop(locks);
        recover(parent.path()).unwrap();
        assert_eq!(data(&parent.path().join("x")), "live");
        assert_eq!(names(parent.path()).len(), before.len() - 1);
    }

    #[test]
    fn runs_that_race_for_one_folder_leave_one_whole_result() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("x");
        std::thread::scope(|scope| {
            for run in 0..4 {
                let target = &target;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace_folder(target, build(&run.to_string())).unwrap();
                    }
                });
            }
        });
        recover(parent.path()).unwrap();
        assert_eq!(names(parent.path()), ["x"]);
        assert_eq!(names(&target), ["data", "inner"]);
        assert!(["0", "1", "2", "3"].contains(&data(&target).as_str()));
    }

    #[test]
    fn what_cannot_be_written_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "no folder").unwrap();
        assert!(replace_folder(&file, build("new")).unwrap_err().to_string().contains("file: cannot replace"));
        assert!(replace_folder(&file.join("x"), build("new")).is_err());
        assert!(write_atomic(&folder.path().join("missing/x"), |_| Ok(())).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"no folder");
        assert_eq!(names(folder.path()), ["file"]);

        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        let mut permissions = fs::metadata(&closed).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&closed, permissions).unwrap();
        if File::create(closed.join("probe")).is_ok() {
            return; // root may write everywhere
        }
        let error = write_atomic(&closed.join("x"), |_| Ok(())).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
        let error = replace_folder(&closed.join("x"), build("new")).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
        assert!(names(&closed).is_empty());
    }

    #[test]
    fn fingerprints_are_blake3() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        // https://github.com/BLAKE3-team/BLAKE3 `b3sum` of the three bytes "abc".
        assert_eq!(fingerprint(&path).unwrap(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert!(fingerprint(&folder.path().join("none")).is_err());
    }

    #[test]
    fn parquet_bytes_do_not_depend_on_batches() {
        use arrow::array::{ArrayRef, Float64Array, StringArray};
        let folder = tempfile::tempdir().unwrap();
        let rows = 100_000;
        let ids = StringArray::from_iter_values((0..rows).map(|row| format!("customer-{row:07}")));
        let scores = Float64Array::from_iter((0..rows).map(|row| (row % 7 != 0).then_some(f64::from(row).sqrt())));
        let columns = [("customer_id", Arc::new(ids) as ArrayRef), ("score", Arc::new(scores) as ArrayRef)];
        let all = RecordBatch::try_from_iter(columns).unwrap();
        let files = [1000, 8192, 70_000, 100_000].map(|size| {
            let path = folder.path().join(format!("{size}.parquet"));
            let metadata = [("as_of", "2026-08-21"), ("bundle_id", "b")];
            let mut writer = PartitionWriter::create(&path, all.schema(), &metadata).unwrap();
            for start in (0..all.num_rows()).step_by(size) {
                writer.write(&all.slice(start, size.min(all.num_rows() - start))).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), 100_000);
            fs::read(path).unwrap()
        });
        assert!(files.iter().all(|file| file == &files[0]));

        let file = File::open(folder.path().join("1000.parquet")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(pairs.contains(&KeyValue::new("as_of".to_string(), "2026-08-21".to_string())));
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(arrow::compute::concat_batches(&all.schema(), &read).unwrap(), all);
    }
}
