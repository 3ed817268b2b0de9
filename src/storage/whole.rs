//! Small files that are read whole, wherever they are: lists, settings, criteria.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::location::Location;
use super::remote::Bucket;
use crate::error::FileError;

/// The bytes of a file on this machine, or of an object in a store; `action` tells what they are read for, as in
/// "read the list".
///
/// # Errors
/// What the system or the store says.
pub(crate) fn read_whole(path: &Path, action: &'static str) -> Result<Bytes, FileError> {
    let Some(place) = Location::of(path) else {
        return fs::read(path).map(Bytes::from).map_err(FileError::at(action, path));
    };
    let bucket = Bucket::of(&place)?;
    if !place.key.is_empty() {
        if let Some((bytes, _)) = bucket.read(&place.key)? {
            return Ok(bytes);
        }
        bucket.find(&place.key)?; // tells when it is the bucket that is missing
    }
    Err(FileError { action, path: path.into(), source: io::ErrorKind::NotFound.into() })
}

/// The same of a text.
///
/// # Errors
/// As [`read_whole`]; bytes that are no UTF-8.
pub(crate) fn read_text(path: &Path, action: &'static str) -> Result<String, FileError> {
    let bytes = read_whole(path, action)?;
    String::from_utf8(bytes.into()).map_err(|error| FileError {
        action,
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_and_what_is_not_there_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let told = |path: &Path| read_text(path, "read the configuration").unwrap_err();
        assert_eq!(told(&path).source.kind(), io::ErrorKind::NotFound);
        fs::write(&path, b"a = \"\xff\"").unwrap();
        assert_eq!(told(&path).to_string(), format!("{}: cannot read the configuration", path.display()));
        assert!(told(&path).source.to_string().contains("invalid utf-8"), "{}", told(&path).source);
        fs::write(&path, "a = 1").unwrap();
        assert_eq!(read_text(&path, "read").unwrap(), "a = 1");

        let place = Location::of("memory://whole/lists").unwrap();
        let bucket = Bucket::of(&place).unwrap();
        bucket.upload(&path, "lists/a.toml").unwrap();
        assert_eq!(read_text(Path::new("memory://whole/lists/a.toml"), "read").unwrap(), "a = 1");
        for missing in ["memory://whole/lists/b.toml", "memory://whole", "memory://whole/lists"] {
            let error = told(Path::new(missing));
            assert_eq!((error.path.as_path(), error.source.kind()), (Path::new(missing), io::ErrorKind::NotFound));
        }
    }
}
