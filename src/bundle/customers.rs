//! Whether a customer was in the events of a fit, without keeping anybody's id: a Bloom filter of the stable hashes.
//!
//! Bloom (1970), "Space/time trade-offs in hash coding with allowable errors", CACM 13(7); positions by double hashing,
//! Kirsch & Mitzenmacher (2006). With 16 bits a customer and 11 positions, 1 of 2,180 others is taken for a customer
//! (`(1 − e^(−11/16))^11`), and no customer is ever missed.

use crate::timeline::{SpillError, Timelines, sample_hash};

/// Name of the file.
pub(super) const FILE: &str = "customers.bloom";

const BITS_A_CUSTOMER: u64 = 16;
const POSITIONS: u64 = 11;

/// Tells the second hash from every other use of [`sample_hash`].
const SALT: u64 = 0x6265_6c6c;

/// The customers of a fit, as a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerFilter {
    words: Vec<u64>,
}

impl CustomerFilter {
    /// Of all customers of the timelines.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn of(timelines: &Timelines) -> Result<Self, SpillError> {
        let hashes = timelines.map_parts(|_, part| {
            Ok::<Vec<u64>, SpillError>((0..part.customers()).map(|customer| part.hash(customer)).collect())
        })?;
        Ok(Self::of_hashes(hashes.into_iter().flatten(), timelines.customers() as u64))
    }

    fn of_hashes(hashes: impl Iterator<Item = u64>, customers: u64) -> Self {
        let mut filter = Self { words: vec![0; (customers * BITS_A_CUSTOMER).div_ceil(64).max(1) as usize] };
        for hash in hashes {
            for bit in filter.bits(hash) {
                filter.words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        filter
    }

    fn bits(&self, hash: u64) -> impl Iterator<Item = u64> + use<> {
        let bits = self.words.len() as u64 * 64;
        let step = sample_hash(hash, SALT) | 1;
        (0..POSITIONS).map(move |i| hash.wrapping_add(i.wrapping_mul(step)) % bits)
    }

    /// Whether a customer of this stable hash was there: never wrong when it says no.
    pub fn may_hold(&self, hash: u64) -> bool {
        self.bits(hash).all(|bit| self.words[(bit / 64) as usize] >> (bit % 64) & 1 == 1)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: Vec<u64> =
            bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("chunks of eight"))).collect();
        (!words.is_empty() && bytes.len().is_multiple_of(8)).then_some(Self { words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::customer_hash;

    #[test]
    fn everybody_who_was_there_is_found_and_hardly_anybody_else() {
        let hash = |n: u32| customer_hash(&format!("c{n}"));
        let filter = CustomerFilter::of_hashes((0..20_000).map(hash), 20_000);
        assert!((0..20_000).all(|n| filter.may_hold(hash(n))));
        // 200,000 strangers at 1 of 2,180: 92 expected, standard deviation 10.
        let strangers = (20_000..220_000).filter(|&n| filter.may_hold(hash(n))).count();
        assert!((40..150).contains(&strangers), "{strangers}");
        assert_eq!(CustomerFilter::from_bytes(&filter.to_bytes()), Some(filter));
        assert_eq!(CustomerFilter::from_bytes(&[1, 2, 3]), None);
        assert_eq!(CustomerFilter::from_bytes(&[]), None);
    }
}
