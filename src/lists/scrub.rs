//! Rows that were rejected may quote a line of the files, ids and all: those of the forgotten are taken out.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use crate::error::FileError;
use crate::events::Reject;
use crate::storage;

/// What stands where a forgotten customer's line was quoted.
const FORGOTTEN: &str = "(forgotten)";

/// Whether a text names one of the ids, as a whole word.
fn names_one(text: &str, ids: &HashSet<String>) -> bool {
    let is_between = |c: char| c.is_whitespace() || c.is_control() || ",;|\"'{}[]:\\".contains(c);
    if text.split(is_between).any(|word| ids.contains(word)) {
        return true;
    }
    // Ids of several words, and those with signs that usually stand between them.
    ids.iter().filter(|id| id.contains(is_between)).any(|id| text.contains(id.as_str()))
}

/// Takes a forgotten id out of one reject; whether there was any.
pub(crate) fn scrub(reject: &mut Reject, ids: &HashSet<String>) -> bool {
    let is_named = reject.found != FORGOTTEN && names_one(&reject.found, ids);
    if is_named {
        reject.found = FORGOTTEN.to_string();
    }
    is_named
}

/// Rewrites a file of rejects without the ids; how many rows named one. Other rows keep their bytes; without any the file
/// is not touched.
///
/// # Errors
/// A file that cannot be read or written.
pub fn scrub_file(path: &Path, ids: &HashSet<String>) -> Result<u64, FileError> {
    let text = std::fs::read_to_string(path).map_err(FileError::at("read the rejects of", path))?;
    let mut scrubbed = 0;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match serde_json::from_str::<Reject>(line) {
            Ok(mut reject) => {
                if scrub(&mut reject, ids) {
                    scrubbed += 1;
                    kept.push_str(&serde_json::to_string(&reject).expect("our own types have JSON forms"));
                    kept.push('\n');
                } else {
                    kept.push_str(line);
                }
            }
            // Not one of our lines: better gone than kept when it names somebody.
            Err(_) if names_one(line, ids) => scrubbed += 1,
            Err(_) => kept.push_str(line),
        }
    }
    if scrubbed > 0 {
        storage::write_atomic(path, |file| file.write_all(kept.as_bytes()))?;
    }
    Ok(scrubbed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_names_the_forgotten_is_taken_out_and_others_keep_their_bytes() {
        let ids: HashSet<String> = ["c12", "Ann Lee", "7"].map(String::from).into();
        for (text, is_named) in [
            ("c12,2026-03-01,x,9", true),
            ("{\"customer_id\": \"c12\", \"ts\"", true),
            ("xc12,c123,c-12", false),
            ("row of Ann Lee;3", true),
            ("Ann;Lee", false),
            ("{\"customer\":7,", true),
            ("77,17.7", false),
        ] {
            assert_eq!(names_one(text, &ids), is_named, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.ndjson");
        let line = |row: u32, found: &str| {
            format!(
                "{{\"file\":\"a.csv\",\"row\":{row},\"reason\":\"malformed_line\",\"column\":null,\"found\":\"{found}\"}}\n"
            )
        };
        let others = [line(1, "c1,x"), line(3, "c9,c123")];
        std::fs::write(&path, [&others[0], &line(2, "c12,broken"), &others[1]].map(String::as_str).concat()).unwrap();
        assert_eq!(scrub_file(&path, &ids).unwrap(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, [&others[0], &line(2, "(forgotten)"), &others[1]].map(String::as_str).concat());
        assert_eq!(scrub_file(&path, &ids).unwrap(), 0);
    }
}
