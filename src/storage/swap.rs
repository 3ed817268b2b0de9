//! A new folder takes the place of the former one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::exchange::exchange;
use super::temporary::sibling;
use super::{ignore_missing, parent_of, remove, sync_folder};

/// Tries to put a folder in place while other runs do the same with theirs; each try loses to one of them.
const SWAP_TRIES: usize = 64;

/// Renames `new` to `target`, moving a former `target` aside and then removing it.
pub(super) fn swap_in(new: &Path, target: &Path) -> io::Result<()> {
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
pub(super) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
pub(super) fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Removes a folder that was moved aside, under a name that is never brought back half removed.
pub(super) fn retire(aside: &Path, target: &Path) -> io::Result<()> {
    let doomed = sibling(target, "tmp");
    ignore_missing(fs::rename(aside, &doomed))?;
    remove(&doomed)
}
