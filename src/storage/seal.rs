//! Seals of JSON files: the last field is the hash of all that stands before it, so that a flipped bit or a changed number
//! is found before anybody acts on it.

use serde::Serialize;

/// How the last field begins.
const KEY: &[u8] = b"  \"seal\": \"";

/// What is not as it was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its seal is {expected:?}, but what it says has {found}")]
pub(crate) struct Broken {
    /// Hash of what stands there.
    pub(crate) found: String,
    /// The hash that it should have.
    pub(crate) expected: String,
}

/// A value as a file, sealed; `seal` is its last field, which gets the hash.
pub(crate) fn sealed<T: Serialize>(value: &mut T, seal: impl Fn(&mut T) -> &mut String) -> Vec<u8> {
    seal(value).clear();
    let unsealed = json(value);
    let (content, _) = split(&unsealed).expect("`seal` is the last field");
    *seal(value) = hash(content);
    json(value)
}

/// Nothing, or why a file is not what was sealed with `seal`, the value of its last field.
pub(crate) fn check(bytes: &[u8], seal: &str) -> Result<(), Broken> {
    let (content, tail) = split(bytes).unwrap_or((bytes, b""));
    let found = hash(content);
    if found == seal && tail == format!("  \"seal\": \"{seal}\"\n}}\n").as_bytes() {
        return Ok(());
    }
    Err(Broken { found, expected: seal.into() })
}

/// A value as a file of JSON, for people to read, too.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own types have JSON forms");
    bytes.push(b'\n');
    bytes
}

/// BLAKE3 in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// A file's bytes before its seal, and from there on.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = bytes.windows(KEY.len()).rposition(|window| window == KEY)?;
    Some(bytes.split_at(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Account {
        rows: u64,
        name: String,
        #[serde(default)]
        seal: String,
    }

    #[test]
    fn no_bit_of_a_sealed_file_can_be_flipped() {
        let mut account = Account { rows: 12, name: "  \"seal\": \"".into(), seal: "of another".into() };
        let bytes = sealed(&mut account, |account| &mut account.seal);
        assert_eq!(check(&bytes, &account.seal), Ok(()));
        assert_eq!(sealed(&mut account, |account| &mut account.seal), bytes, "the same again");
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(read) = serde_json::from_slice::<Account>(&flipped) else { continue };
            let broken = check(&flipped, &read.seal).unwrap_err();
            assert_eq!(broken.expected, read.seal, "bit {bit}");
        }
        assert!(check(b"{\n  \"rows\": 12\n}\n", "").is_err(), "no seal");
    }
}
