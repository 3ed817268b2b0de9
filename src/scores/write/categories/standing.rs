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

const DIGITS: usize = 8;
const VALUES: usize = 256;

/// Below so many, comparing is faster than counting.
const FEW: usize = 2048;

/// Sorts standings, digit by digit of their keys from the last to the first. `sorted` is memory for as many, whatever it holds.
pub(super) fn sort(standings: &mut Vec<Standing>, sorted: &mut Vec<Standing>) {
    if standings.len() < FEW {
        return standings.sort_unstable();
    }
    let digit = |standing: &Standing, digit: usize| (standing.key >> (8 * digit)) as usize % VALUES;
    let mut counts = [[0usize; VALUES]; DIGITS];
    for standing in standings.iter() {
        counts.iter_mut().enumerate().for_each(|(place, counts)| counts[digit(standing, place)] += 1);
    }
    sorted.resize(standings.len(), Standing::default());
    for (place, counts) in counts.iter().enumerate() {
        if counts.contains(&standings.len()) {
            continue; // all have the same
        }
        let mut next = [0; VALUES];
        counts.iter().zip(&mut next).fold(0, |first, (count, next)| {
            *next = first;
            first + count
        });
        for standing in standings.iter() {
            let next = &mut next[digit(standing, place)];
            sorted[*next] = *standing;
            *next += 1;
        }
        std::mem::swap(standings, sorted);
    }
    standings.chunk_by_mut(|a, b| a.key == b.key).filter(|equal| equal.len() > 1).for_each(<[_]>::sort_unstable);
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
