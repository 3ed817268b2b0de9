//! Who a customer is: the id as it is written, and the stable hash that decides on the partition.

/// An id: a whole number or any other text. `123` in one file and `"123"` in another are one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerId<'a> {
    /// Written as [`i64`] would be: no sign but a minus, no leading zeros.
    Number(i64),
    /// Anything else.
    Text(&'a str),
}

impl<'a> CustomerId<'a> {
    /// The customer that a text names.
    pub fn of(text: &'a str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        let is_number = matches!(digits, [b'1'..=b'9', ..] if digits.len() <= 19) || text == "0";
        if !is_number {
            return Self::Text(text);
        }
        match text.parse::<i64>() {
            Ok(number) if number != NO_NUMBER => Self::Number(number),
            _ => Self::Text(text),
        }
    }

    /// The customer that a number names.
    #[inline]
    pub fn of_number(number: i64) -> Self {
        if number == NO_NUMBER { Self::Text(NO_NUMBER_TEXT) } else { Self::Number(number) }
    }

    /// Stable hash: XXH3 of a text; the finaliser of SplitMix64 (Steele, Lea & Flood 2014) of a number, which maps
    /// different numbers to different hashes.
    #[inline(always)]
    pub fn hash(self) -> u64 {
        match self {
            Self::Number(number) => super::sample_hash(number as u64, NUMBER_SALT),
            Self::Text(text) => twox_hash::XxHash3_64::oneshot(text.as_bytes()),
        }
    }
}

impl std::fmt::Display for CustomerId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Marks a customer whose id is no number; as an id it counts as text.
pub(super) const NO_NUMBER: i64 = i64::MIN;

const NO_NUMBER_TEXT: &str = "-9223372036854775808";

/// Tells the hash of number 0 from 0.
const NUMBER_SALT: u64 = 0x5851_F42D_4C95_7F2D;

/// Stable hash of a customer id.
pub fn customer_hash(id: &str) -> u64 {
    CustomerId::of(id).hash()
}

/// Customers of one partition: ids as in the input, and their hashes.
#[derive(Debug, Default)]
pub(super) struct Customers {
    pub(super) hashes: Vec<u64>,
    /// The id where it is a number, or [`NO_NUMBER`].
    pub(super) numbers: Vec<i64>,
    pub(super) text: Vec<u8>,
    /// Where the text of each id ends; a number has none.
    pub(super) ends: Vec<usize>,
}

impl Customers {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    fn text(&self, customer: usize) -> &[u8] {
        let start = if customer == 0 { 0 } else { self.ends[customer - 1] };
        &self.text[start..self.ends[customer]]
    }

    pub(super) fn id(&self, customer: usize) -> CustomerId<'_> {
        match self.numbers[customer] {
            NO_NUMBER => {
                let text = std::str::from_utf8(self.text(customer));
                CustomerId::Text(text.expect("ids come from Arrow strings"))
            }
            number => CustomerId::Number(number),
        }
    }

    /// Whether a customer without a number is called so.
    pub(super) fn is_text(&self, customer: usize, text: &str) -> bool {
        self.text(customer) == text.as_bytes()
    }

    pub(super) fn push(&mut self, id: CustomerId, hash: u64) {
        self.hashes.push(hash);
        match id {
            CustomerId::Number(number) => self.numbers.push(number),
            CustomerId::Text(text) => {
                self.numbers.push(NO_NUMBER);
                self.text.extend_from_slice(text.as_bytes());
            }
        }
        self.ends.push(self.text.len());
    }

    /// Makes room for more customers, whose texts are so long together.
    pub(super) fn reserve(&mut self, customers: usize, text: usize) {
        self.hashes.reserve(customers);
        self.numbers.reserve(customers);
        self.ends.reserve(customers);
        self.text.reserve(text);
    }

    /// Appends a stretch of others.
    pub(super) fn extend(&mut self, from: &Self, stretch: std::ops::Range<usize>) {
        let text_from = if stretch.start == 0 { 0 } else { from.ends[stretch.start - 1] };
        let text_to = if stretch.is_empty() { text_from } else { from.ends[stretch.end - 1] };
        let at = self.text.len();
        self.hashes.extend_from_slice(&from.hashes[stretch.clone()]);
        self.numbers.extend_from_slice(&from.numbers[stretch.clone()]);
        self.text.extend_from_slice(&from.text[text_from..text_to]);
        self.ends.extend(from.ends[stretch].iter().map(|end| end - text_from + at));
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        8 * (self.hashes.capacity() + self.numbers.capacity() + self.ends.capacity()) + self.text.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_is_written_as_one() {
        for number in ["0", "7", "-1", "123456", "9223372036854775807", "-9223372036854775807"] {
            assert_eq!(CustomerId::of(number), CustomerId::Number(number.parse().unwrap()));
            assert_eq!(customer_hash(number), CustomerId::of_number(number.parse().unwrap()).hash());
        }
        let texts =
            ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "C1", "9223372036854775808", "-9223372036854775808"];
        for text in texts {
            assert_eq!(CustomerId::of(text), CustomerId::Text(text));
        }
    }

    #[test]
    fn the_number_that_marks_texts_is_a_text() {
        assert_eq!(CustomerId::of_number(i64::MIN), CustomerId::of("-9223372036854775808"));
        assert_eq!(CustomerId::of_number(i64::MIN).to_string(), i64::MIN.to_string());
        assert_eq!(CustomerId::of_number(-12).to_string(), "-12");
    }

    #[test]
    fn partitions_of_successive_numbers_are_even() {
        let mut counts = [0u32; 256];
        (0..256_000).for_each(|number| counts[(CustomerId::of_number(number).hash() >> 56) as usize] += 1);
        // 1,000 expected, standard deviation 32: six of them leave room for 256 draws.
        assert!(counts.iter().all(|&count| (810..1190).contains(&count)), "{counts:?}");
    }
}
