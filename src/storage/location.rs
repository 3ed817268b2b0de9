//! Addresses in object stores, as they are written where a path may stand.

use std::path::{Path, PathBuf};

/// Which service an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    /// Amazon S3 and everything that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// The memory of this process, for tests.
    #[cfg(test)]
    Memory,
}

/// The schemes of addresses and what they belong to.
const SCHEMES: &[(&str, Service)] = &[
    ("s3", Service::S3),
    ("s3a", Service::S3),
    ("gs", Service::Google),
    ("az", Service::Azure),
    ("azure", Service::Azure),
    ("abfs", Service::Azure),
    ("abfss", Service::Azure),
    #[cfg(test)]
    ("memory", Service::Memory),
];

/// An object, or a folder of objects, in a bucket (which Azure calls a container).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub service: Service,
    /// `s3://shop`: what names the store.
    pub bucket: String,
    /// The way from the bucket on, without slashes at its ends; empty for the bucket itself.
    pub key: String,
}

impl Location {
    /// The address that a path is; `None` for one of this machine. Keys are taken as they are written: `%20` is no blank.
    pub fn of(path: impl AsRef<Path>) -> Option<Self> {
        let text = path.as_ref().to_str()?;
        let (scheme, rest) = text.split_once("://")?;
        let lower = scheme.to_ascii_lowercase();
        let (name, service) = *SCHEMES.iter().find(|(name, _)| *name == lower)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self { service, bucket: format!("{name}://{bucket}"), key: key.trim_matches('/').into() })
    }

    /// The address of another key of the same bucket.
    pub fn address(&self, key: &str) -> PathBuf {
        PathBuf::from(if key.is_empty() { self.bucket.clone() } else { format!("{}/{key}", self.bucket) })
    }
}

/// Whether a path is an address in an object store.
pub fn is_remote(path: impl AsRef<Path>) -> bool {
    Location::of(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        let parsed = |text: &str| Location::of(text).map(|found| (found.service, found.bucket, found.key));
        let found = |service, bucket: &str, key: &str| Some((service, bucket.to_string(), key.to_string()));
        assert_eq!(parsed("s3://shop/events/a b.csv"), found(Service::S3, "s3://shop", "events/a b.csv"));
        assert_eq!(parsed("S3://shop"), found(Service::S3, "s3://shop", ""));
        assert_eq!(parsed("s3a://shop/events/"), found(Service::S3, "s3a://shop", "events"));
        assert_eq!(parsed("gs://shop/day=2026-01-01"), found(Service::Google, "gs://shop", "day=2026-01-01"));
        assert_eq!(parsed("az://shop/x"), found(Service::Azure, "az://shop", "x"));
        let account = "abfss://shop@account.dfs.core.windows.net";
        assert_eq!(parsed(&format!("{account}/scores/")), found(Service::Azure, account, "scores"));
        for local in ["scores", "/scores", "s3:/shop/events", "s3/shop", "file:///data", "https://shop/events", ""] {
            assert_eq!(parsed(local), None, "{local}");
        }
    }

    #[test]
    fn paths_below_an_address_are_addresses() {
        let out = Path::new("s3://shop/scores/");
        let part = out.join("as_of=2026-08-21").join("part-00000.parquet");
        let location = Location::of(&part).unwrap();
        assert_eq!(location.key, "scores/as_of=2026-08-21/part-00000.parquet");
        assert_eq!(location.address(&location.key), Path::new("s3://shop/scores/as_of=2026-08-21/part-00000.parquet"));
        assert_eq!(location.address(""), Path::new("s3://shop"));
        assert_eq!(Location::of(part.parent().unwrap()).unwrap().key, "scores/as_of=2026-08-21");
    }
}
