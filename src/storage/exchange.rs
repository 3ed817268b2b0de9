//! Two folders that change places in one step, where the system can do that.

use std::io;
use std::path::Path;

/// Whether `a` and `b` have changed places. `false`: the system, or the file system, cannot do that, and nothing has
/// changed.
///
/// # Errors
/// Any other answer of the system, for instance that one of them is not there.
#[cfg(target_os = "linux")]
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        // An old kernel; a file system that does not know the flag.
        Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_changes_places_and_what_is_not_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, none] = ["a", "b", "none"].map(|name| folder.path().join(name));
        std::fs::create_dir(&a).unwrap();
        std::fs::write(&b, "a file").unwrap();
        if exchange(&a, &b).unwrap() {
            assert!(a.is_file() && b.is_dir());
        }
        assert_eq!(exchange(&a, &none).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
