//! What happens to rows on their way: some arrive late, some are broken.

use super::World;
use super::block::Block;
use super::catalogue::{NONE_LONG, Row, customer_name};
use super::dice::Dice;
use crate::time::{DAY_MICROS, Day};

/// A way to be broken or odd. Each dirty row is an extra copy of a sound row with one thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Dirt {
    NullCustomer,
    EmptyCustomer,
    NanValue,
    PositiveInfiniteValue,
    NegativeInfiniteValue,
    Year0001,
    Year9999,
    RepeatedEventId,
    OddUnicodeCustomer,
}

const KINDS: [Dirt; 9] = [
    Dirt::NullCustomer,
    Dirt::EmptyCustomer,
    Dirt::NanValue,
    Dirt::PositiveInfiniteValue,
    Dirt::NegativeInfiniteValue,
    Dirt::Year0001,
    Dirt::Year9999,
    Dirt::RepeatedEventId,
    Dirt::OddUnicodeCustomer,
];

/// Name of each kind in `truth.json`, with what it is.
pub(super) const DIRT: [(&str, &str); KINDS.len()] = [
    ("null_customer", "`customer_id` is null: anonymous"),
    ("empty_customer", "`customer_id` is empty: anonymous"),
    ("nan_value", "`value` is NaN, not null"),
    ("positive_infinite_value", "`value` is +inf"),
    ("negative_infinite_value", "`value` is -inf"),
    ("year_0001", "`ts` is 0001-01-01 12:00"),
    ("year_9999", "`ts` is 9999-12-31 12:00"),
    ("repeated_event_id", "an exact copy, `event_id` and all"),
    ("odd_unicode_customer", "a usable row of somebody whose `customer_id` is unusual Unicode"),
];

/// Prefixes of unusual ids: umlauts, Han, an emoji, a zero-width space, right-to-left marks, a combining accent.
const ODD: [&str; 6] = ["Zoë-", "顧客-", "🛒-", "a\u{200b}b-", "\u{202e}kart-", "e\u{301}-"];

const YEAR_0001: Day = Day(-719_162); // 0001-01-01
const YEAR_9999_END: Day = Day(2_932_896); // 9999-12-31

const SECOND: i64 = 1_000_000;
/// Rows that are not late are received within this many seconds.
pub(super) const PROMPT_SECONDS: u32 = 30;
/// Late rows are received this many seconds after they happened at least,
const LEAST_LATE_SECONDS: u32 = 12 * 3600;
/// and at most.
const MOST_LATE_SECONDS: u32 = 5 * 24 * 3600;

/// Sets when a customer's rows (from `first` on) were received, and adds dirty ones. Its draws have a
/// stream of their own, so that the sound rows are the same with and without dirt.
pub(super) fn soil(world: &World, index: u64, block: &mut Block, first: usize) {
    let settings = &world.settings;
    let mut dice = Dice::new(settings.seed, 2 * index + 1);
    let sound = block.rows.len();
    let mut sequence = (sound - first) as u32;
    for place in first..sound {
        let late = settings.late_share > 0.0 && dice.chance(settings.late_share);
        let delay =
            if late { dice.between(LEAST_LATE_SECONDS, MOST_LATE_SECONDS) } else { dice.between(1, PROMPT_SECONDS) };
        block.counts.late_rows += u64::from(late);
        let row = &mut block.rows[place];
        row.received = row.time + i64::from(delay) * SECOND;
        if settings.dirty_share > 0.0 && dice.chance(settings.dirty_share) {
            let row = *row;
            let kind = KINDS[dice.between(0, KINDS.len() as u32 - 1) as usize];
            let mut dirty = Row { sequence, ..row };
            match kind {
                Dirt::NullCustomer => dirty.customer = NONE_LONG,
                Dirt::EmptyCustomer => dirty.customer = block.name(""),
                Dirt::NanValue => dirty.value = Some(f64::NAN),
                Dirt::PositiveInfiniteValue => dirty.value = Some(f64::INFINITY),
                Dirt::NegativeInfiniteValue => dirty.value = Some(f64::NEG_INFINITY),
                Dirt::Year0001 => dirty.time = YEAR_0001.start_micros() + DAY_MICROS / 2,
                Dirt::Year9999 => dirty.time = YEAR_9999_END.start_micros() + DAY_MICROS / 2,
                Dirt::RepeatedEventId => dirty.sequence = row.sequence,
                Dirt::OddUnicodeCustomer => {
                    let prefix = ODD[dice.between(0, ODD.len() as u32 - 1) as usize];
                    dirty.customer = block.name(&format!("{prefix}{}", customer_name(index)));
                }
            }
            sequence += u32::from(kind != Dirt::RepeatedEventId);
            block.counts.dirty[kind as usize] += 1;
            block.rows.push(dirty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_as_they_are_named() {
        assert!(KINDS.iter().enumerate().all(|(number, &kind)| kind as usize == number));
        assert_eq!(DIRT[Dirt::OddUnicodeCustomer as usize].0, "odd_unicode_customer");
        assert_eq!(DIRT[Dirt::Year9999 as usize].0, "year_9999");
    }

    #[test]
    fn the_odd_years_are_those() {
        assert_eq!(Day::from_civil(1, 1, 1), Some(YEAR_0001));
        assert_eq!(Day::from_civil(9999, 12, 31), Some(YEAR_9999_END));
    }
}
