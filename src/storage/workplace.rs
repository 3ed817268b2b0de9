//! Folders that are worked in, wherever they are.
//!
//! The rest of the crate reads and writes folders of this machine. A [`Workplace`] makes one of those of a folder in an
//! object store: what is needed of it is fetched into a private temporary folder, and what has changed there is sent
//! back. Of a local folder it is that folder itself, and nothing is copied.
//!
//! An object store can put one object in the place of another at once, and no more than one. So a folder anywhere below
//! the workplace that holds a `manifest.json` (a partition, a bundle) is replaced in this order: the old manifest goes, the
//! other files come, files of other names go, the new manifest comes. *Its presence means complete*, at every moment,
//! also when the run is killed in between: then the folder has no manifest, and the next run that writes it puts it
//! right. `current`, which names a bundle, comes last of all. Who reads files that another run may be replacing looks
//! at the manifest once more afterwards, as [`Workplace::fetch`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::location::Location;
use super::lock::RunLock;
use super::remote::{Bucket, Object, RemoteLock};
use super::scratch::Scratch;
use crate::error::{Error, ExitCode, Explain, FileError};
use crate::progress::{Observer, Silent};

/// Name of the file whose presence makes a folder complete.
const MANIFEST: &str = "manifest.json";

/// Name of the file that says which folder is in use.
const CURRENT: &str = "current";

/// Tries to read folders while another run replaces them; each try loses to one of its writes.
const FETCH_TRIES: usize = 5;

/// A folder that is worked in.
#[derive(Debug)]
pub struct Workplace {
    folder: PathBuf,
    _lock: Option<RunLock>,
    copy: Option<Copy>,
}

/// The part of a folder in an object store that is on this machine.
#[derive(Debug)]
struct Copy {
    /// As it was named.
    named: PathBuf,
    place: Location,
    bucket: Bucket,
    /// What is there, by its name below the folder.
    listed: BTreeMap<String, Object>,
    /// Names of what is here.
    fetched: BTreeSet<String>,
    lock: Option<RemoteLock>,
    /// Removed last.
    temporary: Scratch,
}

impl Workplace {
    /// A folder to be read. Of one in an object store, the complete folders below it are there, with the files whose
    /// names below it are `wanted`, such as `as_of=2026-08-21/part-00000.parquet`, and the wanted files beside them.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn open(named: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, FileError> {
        let mut workplace = Self::unlocked(named)?;
        workplace.fetch(wanted)?;
        Ok(workplace)
    }

    /// The same of a folder that no other run may write into at the same time.
    ///
    /// # Errors
    /// Another run does; a folder that cannot be written.
    pub fn lock(named: &Path, wanted: impl Fn(&str) -> bool, observer: &dyn Observer) -> Result<Self, Error> {
        let Some(place) = Location::of(named) else {
            let _lock = Some(RunLock::acquire(named)?);
            return Ok(Self { folder: named.into(), _lock, copy: None });
        };
        let lock = RemoteLock::acquire(&Bucket::of(&place)?, &place.key, observer)?;
        let mut workplace = Self::unlocked(named)?; // listed when nobody else writes any more
        if let Some(copy) = &mut workplace.copy {
            copy.lock = Some(lock);
        }
        workplace.fetch(wanted)?;
        Ok(workplace)
    }

    fn unlocked(named: &Path) -> Result<Self, FileError> {
        let mut workplace = Self::to_write(named)?;
        if let Some(copy) = &mut workplace.copy {
            copy.list()?;
        }
        Ok(workplace)
    }

    /// A folder to be written, of which nothing is read.
    ///
    /// # Errors
    /// Settings of a store that make no sense; no room for files on their way there.
    pub fn to_write(named: &Path) -> Result<Self, FileError> {
        let Some(place) = Location::of(named) else {
            return Ok(Self { folder: named.into(), _lock: None, copy: None });
        };
        let bucket = Bucket::of(&place)?;
        let temporary = Scratch::new()?;
        let folder = temporary.path().to_path_buf();
        let (listed, fetched) = (BTreeMap::new(), BTreeSet::new());
        let copy = Copy { named: named.into(), place, bucket, listed, fetched, lock: None, temporary };
        Ok(Self { folder, _lock: None, copy: Some(copy) })
    }

    /// The folder on this machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it stands for one in an object store.
    pub fn is_remote(&self) -> bool {
        self.copy.is_some()
    }

    /// Fetches more files of the complete folders, and files beside them. Of a local folder all files are there.
    ///
    /// Files of one folder are of one writing: when another run replaces the folder meanwhile, they are fetched again.
    ///
    /// # Errors
    /// A store that cannot be read, or that is being written all the time.
    pub fn fetch(&mut self, wanted: impl Fn(&str) -> bool) -> Result<(), FileError> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        for _ in 0..FETCH_TRIES {
            let changed = copy.fetch(&wanted)?;
            if !changed {
                return Ok(());
            }
            copy.forget_all()?;
            copy.list()?;
        }
        let source = std::io::Error::other("another run is replacing it again and again");
        Err(FileError { action: "read", path: copy.named.clone(), source })
    }

    /// Whether a file of this name below the folder is complete in the store; `false` of a local folder.
    pub fn is_listed(&self, name: &str) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.listed.contains_key(name))
    }

    /// Sends what has changed: new folders, whole, with the manifest last; then single files; `current` last of all. Of a
    /// local folder everything is in its place already. What is sent once is not sent again.
    ///
    /// # Errors
    /// A store that cannot be written; another run that writes there, or has taken over the lock. A folder that is half
    /// sent has no manifest.
    pub fn publish(&mut self, observer: &dyn Observer) -> Result<(), Error> {
        self.publish_what(true, observer)
    }

    /// What the work gives, after everything that has changed is sent. If it has failed, nothing is but the single files,
    /// such as rejected rows.
    ///
    /// # Errors
    /// That of the work, told with addresses; those of [`Workplace::publish`].
    pub fn finish<T>(&mut self, done: Result<T, Error>, observer: &dyn Observer) -> Result<T, Error> {
        match done {
            Ok(done) => self.publish(observer).map(|()| done),
            Err(error) => {
                let error = self.explain(error);
                if let Err(other) = self.publish_what(false, observer) {
                    observer.warn(&format!("{other}: rejected rows are not kept"));
                }
                Err(error)
            }
        }
    }

    fn publish_what(&mut self, with_folders: bool, observer: &dyn Observer) -> Result<(), Error> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        let mut files = entries(&self.folder)?.1;
        let folders = if with_folders { complete(&self.folder)? } else { Vec::new() };
        if !copy.has_new(&folders, &files)? {
            return Ok(());
        }
        let is_locked = copy.lock.is_some();
        if !is_locked {
            copy.lock = Some(RemoteLock::acquire(&copy.bucket, &copy.place.key, observer)?);
        }
        observer.stage(&format!("writing to {}", copy.named.display()));
        for folder in folders {
            copy.publish_folder(&folder)?;
        }
        files.sort_by_key(|name| (name == CURRENT, name.clone()));
        for name in files {
            copy.send_if_new(&name)?;
        }
        if !is_locked {
            copy.lock = None;
        }
        Ok(())
    }

    /// Where a file or folder below this one is, for a person: its address in the store.
    pub fn address(&self, path: &Path) -> PathBuf {
        match (&self.copy, path.strip_prefix(&self.folder)) {
            (Some(copy), Ok(below)) if below == Path::new("") => copy.named.clone(),
            (Some(copy), Ok(below)) => copy.named.join(below),
            _ => path.into(),
        }
    }

    /// An observer that hears of addresses instead of files here.
    pub fn observer<'a>(&self, inner: &'a dyn Observer) -> Addressed<'a> {
        Addressed { names: self.named().into_iter().collect(), inner }
    }

    /// The folder here and its address, when it is a copy.
    fn named(&self) -> Option<(String, String)> {
        let address = |copy: &Copy| copy.named.display().to_string().trim_end_matches('/').to_string();
        self.copy.as_ref().map(|copy| (self.folder.display().to_string(), address(copy)))
    }

    /// An error that tells addresses instead of files here.
    pub fn explain(&self, error: Error) -> Error {
        if self.copy.is_none() {
            return error;
        }
        let names = self.observer(&Silent);
        let text = names.tell(&error.to_string());
        let tell = |lines: Vec<String>| lines.iter().map(|line| names.tell(line)).collect();
        let (details, hints) = (tell(error.explain().details()), tell(error.explain().hints()));
        AddressedError { text, details, hints, error }.into()
    }
}

/// Names of the folders and files in a folder, in order, but for those that begin with a point.
fn entries(folder: &Path) -> Result<(Vec<String>, Vec<String>), FileError> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
        let entry = entry.map_err(FileError::at("read the folder", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            if entry.path().is_dir() { folders.push(name) } else { files.push(name) }
        }
    }
    folders.sort();
    files.sort();
    Ok((folders, files))
}

/// Names of the folders below one that hold a manifest, those that lie deeper first: who finds a partition complete finds
/// complete what belongs to it.
fn complete(folder: &Path) -> Result<Vec<String>, FileError> {
    let mut found = Vec::new();
    let mut open = entries(folder)?.0;
    while let Some(name) = open.pop() {
        let (folders, files) = entries(&folder.join(&name))?;
        open.extend(folders.iter().map(|below| format!("{name}/{below}")));
        if files.iter().any(|file| file == MANIFEST) {
            found.push(name);
        }
    }
    found.sort_by_key(|name| (std::cmp::Reverse(name.matches('/').count()), name.clone()));
    Ok(found)
}

/// What a file is marked with that is the same here and there. Everything that is written has a later time.
const SAME: SystemTime = SystemTime::UNIX_EPOCH;

fn is_new(path: &Path) -> Result<bool, FileError> {
    let changed = fs::metadata(path).and_then(|found| found.modified()).map_err(FileError::at("read", path))?;
    Ok(changed != SAME)
}

fn mark_same(path: &Path) -> Result<(), FileError> {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|file| file.set_modified(SAME)).map_err(FileError::at("write", path))
}

impl Copy {
    fn key(&self, name: &str) -> String {
        if self.place.key.is_empty() { name.into() } else { format!("{}/{name}", self.place.key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn list(&mut self) -> Result<(), FileError> {
        let start = if self.place.key.is_empty() { 0 } else { self.place.key.len() + 1 };
        let objects = self.bucket.list(&self.place.key)?;
        let named = objects.into_iter().filter_map(|object| Some((object.key.get(start..)?.to_string(), object)));
        self.listed = named.collect();
        Ok(())
    }

    /// Removes what was fetched of folders: it may be of different writings.
    fn forget_all(&mut self) -> Result<(), FileError> {
        for name in std::mem::take(&mut self.fetched) {
            let path = self.path(&name);
            super::ignore_missing(fs::remove_file(&path)).map_err(FileError::at("remove", &path))?;
        }
        Ok(())
    }

    /// Fetches what is wanted and not here; whether another run has changed something of it meanwhile.
    fn fetch(&mut self, wanted: &dyn Fn(&str) -> bool) -> Result<bool, FileError> {
        let manifest_of = |name: &str| name.rsplit_once('/').map(|(folder, _)| format!("{folder}/{MANIFEST}"));
        let missing: Vec<&String> = self
            .listed
            .keys()
            .filter(|name| !name.split('/').any(|part| part.starts_with('.')) && !self.fetched.contains(*name))
            .filter(|name| wanted(name))
            // What has no manifest is not there.
            .filter(|name| manifest_of(name).is_none_or(|manifest| self.listed.contains_key(&manifest)))
            .collect();
        let manifests: BTreeSet<String> = missing.iter().filter_map(|name| manifest_of(name)).collect();
        let all: BTreeSet<&String> =
            missing.iter().copied().chain(manifests.iter().filter(|name| !self.fetched.contains(*name))).collect();
        let mut objects = Vec::new();
        for name in &all {
            let path = self.path(name);
            let parent = path.parent().unwrap_or(self.temporary.path());
            fs::create_dir_all(parent).map_err(FileError::at("create the folder", parent))?;
            objects.push((&self.listed[*name], path));
        }
        if let Err(error) = self.bucket.download(&objects) {
            let is_change = super::remote::problem_of(&error.source).is_some_and(|problem| problem.is_change());
            return if is_change && self.lock.is_none() { Ok(true) } else { Err(error) };
        }
        for (_, path) in &objects {
            mark_same(path)?;
        }
        let all: Vec<String> = all.into_iter().cloned().collect();
        // With the lock nobody else writes. Without it, a folder whose manifest is still the same was not touched
        // before the last of its files came.
        if self.lock.is_none() {
            for manifest in &manifests {
                let now = self.bucket.find(&self.key(manifest))?;
                let same = |now: &Object| {
                    let then = &self.listed[manifest];
                    now.size == then.size && (then.e_tag.is_none() || now.e_tag == then.e_tag)
                };
                if !now.as_ref().is_some_and(same) {
                    self.fetched.extend(all);
                    return Ok(true);
                }
            }
        }
        self.fetched.extend(all);
        Ok(false)
    }

    /// Whether something is here that is not there.
    fn has_new(&self, folders: &[String], files: &[String]) -> Result<bool, FileError> {
        for file in files {
            if is_new(&self.path(file))? {
                return Ok(true);
            }
        }
        for folder in folders {
            let folder = self.path(folder);
            for file in entries(&folder)?.1 {
                if is_new(&folder.join(file))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn check_lock(&self) -> Result<(), Error> {
        self.lock.as_ref().map_or(Ok(()), RemoteLock::check)
    }

    fn send_if_new(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        if is_new(&path)? {
            self.check_lock()?;
            self.bucket.upload(&path, &self.key(name))?;
            mark_same(&path)?;
        }
        Ok(())
    }

    fn publish_folder(&mut self, folder: &str) -> Result<(), Error> {
        let (_, files) = entries(&self.path(folder))?;
        let manifest = format!("{folder}/{MANIFEST}");
        let names: Vec<String> =
            files.iter().filter(|name| *name != MANIFEST).map(|name| format!("{folder}/{name}")).collect();
        if !is_new(&self.path(&manifest))? {
            return names.iter().try_for_each(|name| self.send_if_new(name)); // something beside it, in its place
        }
        self.check_lock()?;
        // Also what a killed run has left, which may be none of what was listed.
        let there: Vec<String> = self.bucket.list(&self.key(folder))?.into_iter().map(|object| object.key).collect();
        let old_manifest = self.key(&manifest);
        if there.contains(&old_manifest) {
            self.bucket.delete(std::slice::from_ref(&old_manifest))?;
        }
        for name in &names {
            self.check_lock()?;
            self.bucket.upload(&self.path(name), &self.key(name))?;
            mark_same(&self.path(name))?;
        }
        let ours: BTreeSet<String> = names.iter().map(|name| self.key(name)).collect();
        let stale: Vec<String> = there.into_iter().filter(|key| *key != old_manifest && !ours.contains(key)).collect();
        self.bucket.delete(&stale)?;
        self.check_lock()?;
        self.bucket.upload(&self.path(&manifest), &old_manifest)?;
        mark_same(&self.path(&manifest))?;
        Ok(())
    }
}

/// Passes on what it hears, with the addresses of a [`Workplace`] instead of its files here.
pub struct Addressed<'a> {
    /// Folders here, and their addresses.
    names: Vec<(String, String)>,
    inner: &'a dyn Observer,
}

impl Addressed<'_> {
    /// With the addresses of another workplace, too.
    #[must_use]
    pub fn and(mut self, other: &Workplace) -> Self {
        self.names.extend(other.named());
        self
    }

    fn tell(&self, text: &str) -> String {
        self.names.iter().fold(text.to_string(), |text, (from, to)| text.replace(from, to))
    }
}

impl Observer for Addressed<'_> {
    fn stage(&self, what: &str) {
        self.inner.stage(&self.tell(what));
    }

    fn advance(&self, done: u64, total: u64) {
        self.inner.advance(done, total);
    }

    fn note(&self, text: &str) {
        self.inner.note(&self.tell(text));
    }

    fn warn(&self, text: &str) {
        self.inner.warn(&self.tell(text));
    }
}

/// An error about files here that tells their addresses.
#[derive(Debug)]
struct AddressedError {
    text: String,
    details: Vec<String>,
    hints: Vec<String>,
    error: Error,
}

impl std::fmt::Display for AddressedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for AddressedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.explain().source()
    }
}

impl Explain for AddressedError {
    fn exit_code(&self) -> ExitCode {
        self.error.exit_code()
    }

    fn reason(&self) -> Option<crate::error::Reason> {
        self.error.explain().reason()
    }

    fn details(&self) -> Vec<String> {
        self.details.clone()
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.error.explain().counts()
    }

    fn figures(&self) -> Vec<(String, f64)> {
        self.error.explain().figures()
    }
}

#[cfg(test)]
mod tests;
