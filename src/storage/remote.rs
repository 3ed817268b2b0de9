//! Objects in S3, Google Cloud Storage and Azure, read and written from threads that wait.
//!
//! Settings come from the environment, under the names that each service's own tools use (`AWS_ACCESS_KEY_ID`,
//! `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on). One store is kept for
//! each bucket, with its connections and credentials.

mod bytes_of;
mod lock;
mod problem;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::limit::LimitStore;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
    WriteMultipart,
};
use tokio::runtime::Runtime;

use super::location::{Location, Service};
use crate::error::FileError;

pub(crate) use bytes_of::{Chunks, Stream};
pub(super) use lock::RemoteLock;
pub(crate) use problem::{Problem, problem_of};

/// Requests that are under way at a time, of one piece of work and of all.
const AT_ONCE: usize = 8;
const MOST_REQUESTS: usize = 32;

/// Bytes of one request: it must end well before its timeout, also on a slow line.
pub(crate) const REQUEST_BYTES: u64 = 8 << 20;

/// Bytes above which a file is sent in parts.
const MULTIPART_BYTES: u64 = 32 << 20;

/// Where all requests run.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let built = builder.worker_threads(2).thread_name("object-store").enable_io().enable_time().build();
        built.expect("two threads can be started")
    })
}

/// What the store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub key: String,
    pub size: u64,
    /// Changes with the content.
    pub e_tag: Option<String>,
    /// What some stores call it instead, in conditions.
    pub version: Option<String>,
}

impl Object {
    /// What a write is refused for that finds something else.
    fn still(&self) -> UpdateVersion {
        UpdateVersion { e_tag: self.e_tag.clone(), version: self.version.clone() }
    }
}

impl From<object_store::ObjectMeta> for Object {
    fn from(meta: object_store::ObjectMeta) -> Self {
        Self { key: meta.location.to_string(), size: meta.size, e_tag: meta.e_tag, version: meta.version }
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    place: Location,
}

/// What became of a conditional write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Written; what the store now calls its content.
    Done(UpdateVersion),
    /// Somebody was there before.
    Refused,
    /// The store cannot write under a condition.
    Unsupported,
}

impl Bucket {
    /// The bucket of an address.
    ///
    /// # Errors
    /// Settings in the environment that make no sense.
    pub fn of(place: &Location) -> Result<Self, FileError> {
        static STORES: OnceLock<Mutex<HashMap<String, Arc<dyn ObjectStore>>>> = OnceLock::new();
        let mut stores = STORES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&place.bucket) {
            return Ok(Self { store: Arc::clone(store), place: place.clone() });
        }
        let store = connect(place).map_err(|error| failed("use the object store", place.address(""), error))?;
        let store: Arc<dyn ObjectStore> = Arc::new(LimitStore::new(store, MOST_REQUESTS));
        stores.insert(place.bucket.clone(), Arc::clone(&store));
        Ok(Self { store, place: place.clone() })
    }

    /// The address of a key.
    pub fn address(&self, key: &str) -> PathBuf {
        self.place.address(key)
    }

    fn run<T>(
        &self,
        action: &'static str,
        key: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, FileError> {
        runtime().block_on(work).map_err(|error| failed(action, self.address(key), error))
    }

    fn key(&self, action: &'static str, key: &str) -> Result<Key, FileError> {
        Key::parse(key).map_err(|error| failed(action, self.address(key), error.into()))
    }

    /// What is known of an object; `None` when there is none.
    pub fn find(&self, key: &str) -> Result<Option<Object>, FileError> {
        if key.is_empty() {
            return Ok(None); // the bucket is a folder
        }
        let path = self.key("find", key)?;
        match runtime().block_on(self.store.head(&path)) {
            Ok(meta) => Ok(Some(meta.into())),
            // An answer to HEAD has no body: listing tells a missing key from a missing bucket, and wrong credentials from
            // missing rights.
            Err(object_store::Error::NotFound { .. }) => self.list_level(key).map(|_| None),
            Err(
                error @ (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }),
            ) => {
                self.list_level(key)?;
                Err(failed("read", self.address(key), error))
            }
            Err(error) => Err(failed("read", self.address(key), error)),
        }
    }

    /// All objects below a folder, by key.
    pub fn list(&self, folder: &str) -> Result<Vec<Object>, FileError> {
        let prefix = self.key("list", folder)?;
        let prefix = (!folder.is_empty()).then_some(&prefix);
        let listed = self.store.list(prefix).map_ok(Object::from).try_collect::<Vec<_>>();
        let mut objects = self.run("list", folder, listed)?;
        objects.retain(|object| !object.key.ends_with('/')); // marks of folders that some tools leave
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// Names of what is right below the folder that holds `key`.
    pub fn list_level(&self, key: &str) -> Result<Vec<String>, FileError> {
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let prefix = self.key("list", folder)?;
        let prefix = (!folder.is_empty()).then_some(&prefix);
        let listed = self.run("list", folder, self.store.list_with_delimiter(prefix))?;
        let folders = listed.common_prefixes.into_iter();
        let paths = folders.chain(listed.objects.into_iter().map(|object| object.location));
        let mut names: Vec<String> = paths.filter_map(|path| path.filename().map(str::to_string)).collect();
        names.sort();
        Ok(names)
    }

    /// Bytes of an object in several ranges, each whole. Neighbours come in one request, long ones in several at a time.
    ///
    /// # Errors
    /// Also when the object is no longer the one that `object` was: then nothing fits together.
    pub fn ranges(&self, object: &Object, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, FileError> {
        runtime().block_on(self.ranges_now(object, ranges))
    }

    async fn ranges_now(&self, object: &Object, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, FileError> {
        let path = self.key("read", &object.key)?;
        let path = &path;
        let fetch = |range: Range<u64>| async move {
            let cuts: Vec<u64> = (range.start..range.end).step_by(REQUEST_BYTES as usize).collect();
            let piece = |start| self.range(path, object, start..(start + REQUEST_BYTES).min(range.end));
            let pieces = stream::iter(cuts.into_iter().map(piece)).buffered(AT_ONCE);
            let mut pieces: Vec<Bytes> = pieces.try_collect().await?;
            Ok(if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() })
        };
        let all = object_store::coalesce_ranges(ranges, fetch, object_store::OBJECT_STORE_COALESCE_DEFAULT);
        all.await.map_err(|error| failed("read", self.address(&object.key), error))
    }

    /// One range in one request.
    async fn one_range(&self, object: &Object, range: Range<u64>) -> Result<Bytes, FileError> {
        let path = self.key("read", &object.key)?;
        let fetched = self.range(&path, object, range).await;
        fetched.map_err(|error| failed("read", self.address(&object.key), error))
    }

    async fn range(&self, path: &Key, object: &Object, range: Range<u64>) -> object_store::Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: object.e_tag.clone(),
            ..GetOptions::default()
        };
        self.store.get_opts(path, options).await?.bytes().await
    }

    /// The bytes of a small object and what the store calls them; `None` when there is none.
    pub fn read(&self, key: &str) -> Result<Option<(Bytes, Object)>, FileError> {
        let path = self.key("read", key)?;
        let work = async {
            match self.store.get(&path).await {
                Ok(found) => {
                    let object = found.meta.clone().into();
                    Ok(Some((found.bytes().await?, object)))
                }
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run("read", key, work)
    }

    /// Fetches objects into files, several at a time. The folders of the files must exist.
    pub fn download(&self, objects: &[(&Object, PathBuf)]) -> Result<(), FileError> {
        let fetch = |(object, to): &(&Object, PathBuf)| {
            let (object, to) = ((*object).clone(), to.clone());
            async move {
                let done = self.fetch(&object, &to).await;
                done.map_err(|error| match error {
                    Fetch::Store(error) => failed("read", self.address(&object.key), error),
                    Fetch::File(error) => FileError::at("write", &to)(error),
                })
            }
        };
        runtime().block_on(stream::iter(objects.iter().map(fetch)).buffer_unordered(AT_ONCE).try_collect())
    }

    async fn fetch(&self, object: &Object, to: &Path) -> Result<(), Fetch> {
        use std::io::Write;
        let path = Key::parse(&object.key).map_err(|error| Fetch::Store(error.into()))?;
        let mut file = std::fs::File::create(to).map_err(Fetch::File)?;
        let cuts = (0..object.size).step_by(REQUEST_BYTES as usize);
        let pieces = cuts.map(|start| self.range(&path, object, start..(start + REQUEST_BYTES).min(object.size)));
        let mut pieces = stream::iter(pieces).buffered(AT_ONCE);
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece.map_err(Fetch::Store)?).map_err(Fetch::File)?;
        }
        Ok(())
    }

    /// Sends a file; the object appears whole or not at all.
    pub fn upload(&self, from: &Path, key: &str) -> Result<(), FileError> {
        use std::io::Read;
        let path = self.key("write", key)?;
        let read = |error| FileError::at("read", from)(error);
        let mut file = std::fs::File::open(from).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        if size <= MULTIPART_BYTES {
            let mut bytes = Vec::with_capacity(size as usize);
            file.read_to_end(&mut bytes).map_err(read)?;
            return self.run("write", key, self.store.put(&path, bytes.into())).map(drop);
        }
        let upload = self.run("write", key, self.store.put_multipart(&path))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, REQUEST_BYTES as usize);
        let mut buffer = vec![0; REQUEST_BYTES as usize];
        loop {
            let n = match file.read(&mut buffer) {
                Ok(n) => n,
                Err(error) => {
                    let _ = runtime().block_on(upload.abort()); // the cause is told
                    return Err(read(error));
                }
            };
            if n == 0 {
                return self.run("write", key, upload.finish()).map(drop);
            }
            // Requests in flight are bounded, and with them the memory. Their tasks belong to the runtime.
            self.run("write", key, async {
                upload.wait_for_capacity(AT_ONCE).await?;
                upload.write(&buffer[..n]);
                Ok(())
            })?;
        }
    }

    /// Writes a small object under a condition: it must not be there yet, or be the one that is named.
    pub(super) fn put_if(&self, key: &str, content: &str, is_still: Option<UpdateVersion>) -> Result<Put, FileError> {
        runtime().block_on(self.put_if_now(key, content, is_still))
    }

    async fn put_if_now(&self, key: &str, content: &str, is_still: Option<UpdateVersion>) -> Result<Put, FileError> {
        let mode = match is_still {
            None => PutMode::Create,
            Some(version) => PutMode::Update(version),
        };
        let path = self.key("write", key)?;
        let payload = PutPayload::from(content.as_bytes().to_vec());
        match self.store.put_opts(&path, payload, PutOptions::from(mode)).await {
            Ok(put) => Ok(Put::Done(put.into())),
            Err(error) if is_refusal(&error) => Ok(Put::Refused),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                Ok(Put::Unsupported)
            }
            Err(error) => Err(failed("write", self.address(key), error)),
        }
    }

    /// Removes objects; those that are not there are no error.
    pub fn delete(&self, keys: &[String]) -> Result<(), FileError> {
        for key in keys {
            let path = self.key("remove", key)?;
            match runtime().block_on(self.store.delete(&path)) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("remove", self.address(key), error)),
            }
        }
        Ok(())
    }
}

/// Why an object has not come into its file.
enum Fetch {
    Store(object_store::Error),
    File(io::Error),
}

/// Whether a condition was not met. Of a condition on an object that has gone, S3 says that it is not found.
fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error::{AlreadyExists, NotFound, Precondition};
    match error {
        AlreadyExists { .. } | Precondition { .. } => true,
        NotFound { .. } => !problem::is_missing_bucket(&error.to_string()),
        _ => false,
    }
}

fn failed(action: &'static str, path: PathBuf, error: object_store::Error) -> FileError {
    let service = Location::of(&path).map_or(Service::S3, |place| place.service);
    FileError { action, path, source: io::Error::other(Problem::new(service, &error)) }
}

/// A client for a bucket, set up from the environment.
fn connect(place: &Location) -> object_store::Result<Arc<dyn ObjectStore>> {
    // A nightly job rides out a minute of trouble; a wrong address is told within seconds.
    let retry = RetryConfig { max_retries: 6, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() };
    Ok(match place.service {
        Service::S3 => {
            let builder = AmazonS3Builder::from_env().with_url(&place.bucket).with_retry(retry);
            let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            // Who writes `http://` has decided that the line is safe.
            let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
            Arc::new(if is_plain { builder.with_allow_http(true) } else { builder }.build()?)
        }
        Service::Google => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(&place.bucket).with_retry(retry).build()?)
        }
        Service::Azure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(&place.bucket).with_retry(retry).build()?)
        }
        #[cfg(test)]
        Service::Memory => Arc::new(object_store::memory::InMemory::new()),
    })
}

#[cfg(test)]
mod tests;
