//! Libraries that meet damaged bytes with a panic where an error is meant.
//!
//! Parquet's pages have no checksums that readers rely on, and what a flipped bit makes of a length or an index runs into assertions of the
//! library that decodes them. A file is not a fault of ours, so such panics are turned into errors where files are read.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Whether this thread is reading what may be damaged.
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// What `read` returns; or what `damaged` makes of the words of the panic with which it ended. Nothing that `read` has changed
/// may be used after that.
pub(crate) fn guarded<T, E>(read: impl FnOnce() -> Result<T, E>, damaged: impl FnOnce(String) -> E) -> Result<T, E> {
    let was_reading = IS_READING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    IS_READING.set(was_reading);
    result.unwrap_or_else(|panic| Err(damaged(words(&*panic))))
}

/// Has the programs keep silent about panics that become errors.
pub(crate) fn keep_silent() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !IS_READING.get() {
            tell(panic);
        }
    }));
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_string());
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it cannot be decoded".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_and_all_else_stays_what_it_is() {
        let told = |read: fn() -> Result<u8, String>| guarded(read, |words| format!("damaged: {words}"));
        assert_eq!(told(|| Ok(7)), Ok(7));
        assert_eq!(told(|| Err("no file".into())), Err("no file".into()));
        assert_eq!(told(|| panic::resume_unwind(Box::new("an index"))), Err("damaged: an index".into()));
        assert_eq!(told(|| panic::resume_unwind(Box::new(7))), Err("damaged: it cannot be decoded".into()));
        let nested = guarded(|| told(|| panic::resume_unwind(Box::new(String::from("inner")))), |words| words);
        assert_eq!(nested, Err("damaged: inner".into()));
        assert!(!IS_READING.get());
    }
}
