//! How the customers of a group stand: sorted by score, with all that is asked of each of them at hand.

use crate::metrics::order::{ascending_key, of_ascending_key};

/// Whether a customer may be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Contact {
    Free,
    HeldOut,
    Excluded,
}

/// A score of a group with what ranking asks about its customer. The order is that of the ranks: descending by score, equal ones by the
/// place in the order of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    /// Of the score, inverted.
    key: u64,
    /// Place in the order of the file, rank within the row, and [`Contact`], from the highest bits down.
    of_customer: u64,
}

impl Standing {
    pub(super) fn new(score: f64, position: u32, in_customer: u16, contact: Contact) -> Self {
        let of_customer = u64::from(position) << 32 | u64::from(in_customer) << 16 | contact as u64;
        Self { key: !ascending_key(score), of_customer }
    }

    pub(super) fn score(self) -> f64 {
        of_ascending_key(!self.key)
    }

    /// Place in the order of the file.
    pub(super) fn position(self) -> u32 {
        (self.of_customer >> 32) as u32
    }

    /// Rank of the group within the row.
    pub(super) fn in_customer(self) -> u16 {
        (self.of_customer >> 16) as u16
    }

    pub(super) fn contact(self) -> Contact {
        match self.of_customer as u16 {
            0 => Contact::Free,
            1 => Contact::HeldOut,
            _ => Contact::Excluded,
        }
    }
}

/// Standings of a bucket, about.
const OF_BUCKET: usize = 16;

/// Buckets at most: what is counted of them stays in the second-level cache.
const MOST_BUCKETS: usize = 1 << 16;

/// Sorts standings. They are dealt out to buckets by the first bits of what tells the keys apart, and each bucket is sorted where it
/// fits the cache. `sorted` is memory for as many, whatever it holds.
pub(super) fn sort(standings: &mut Vec<Standing>, sorted: &mut Vec<Standing>) {
    let keys = standings.iter().map(|standing| standing.key);
    let (least, greatest) = keys.fold((u64::MAX, 0), |(least, greatest), key| (least.min(key), greatest.max(key)));
    let buckets = (standings.len() / OF_BUCKET).next_power_of_two().min(MOST_BUCKETS);
    if buckets == 1 || least == greatest {
        return standings.sort_unstable();
    }
    let shift = (64 - (greatest - least).leading_zeros()).saturating_sub(buckets.trailing_zeros());
    let bucket = |standing: &Standing| ((standing.key - least) >> shift) as usize;
    let mut ends = vec![0u32; buckets + 1];
    standings.iter().for_each(|standing| ends[bucket(standing) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    sorted.resize(standings.len(), Standing::default());
    for standing in standings.iter() {
        let place = &mut ends[bucket(standing)];
        sorted[*place as usize] = *standing;
        *place += 1;
    }
    // Each has moved to the end of its bucket by now.
    let mut first = 0;
    for &end in &ends[..buckets] {
        sorted[first..end as usize].sort_unstable();
        first = end as usize;
    }
    std::mem::swap(standings, sorted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_descend_by_score_and_keep_what_they_were_given() {
        let of = |score: f64, position: u32| Standing::new(score, position, 7, Contact::HeldOut);
        let mut standings = vec![of(0.25, 3), of(0.5, 9), of(-1.0, 0), of(0.25, 1), of(0.0, 2)];
        sort(&mut standings, &mut Vec::new());
        let found: Vec<(f64, u32)> = standings.iter().map(|one| (one.score(), one.position())).collect();
        assert_eq!(found, [(0.5, 9), (0.25, 1), (0.25, 3), (0.0, 2), (-1.0, 0)]);
        for contact in [Contact::Free, Contact::HeldOut, Contact::Excluded] {
            let standing = Standing::new(0.1, u32::MAX, u16::MAX, contact);
            assert_eq!((standing.position(), standing.in_customer()), (u32::MAX, u16::MAX));
            assert_eq!((standing.contact(), standing.score()), (contact, 0.1));
        }
    }

    #[test]
    fn many_are_sorted_as_few_are() {
        // Ties, signs, and numbers of which most digits are the same.
        let scores: [&dyn Fn(u32) -> f64; 4] = [
            &|n| f64::from(n * 7919 % 4001).sqrt() / 64.0,
            &|n| f64::from(n % 3) - 1.0,
            &|n| (f64::from(n % 2003) - 1000.0) * 1e150,
            &|_| 0.25,
        ];
        let mut sorted = vec![Standing::new(9.0, 9, 9, Contact::Free); 20_000];
        for score in scores {
            let mut standings: Vec<Standing> = (0..10_000u32)
                .map(|n| Standing::new(score(n), n.wrapping_mul(2_654_435_761), n as u16, Contact::Free))
                .collect();
            let mut expected = standings.clone();
            expected.sort();
            sort(&mut standings, &mut sorted);
            assert_eq!(standings, expected);
        }
    }
}
