//! What the shop sells and how its rows are coded.

/// Everything that can happen, in the order of [`EVENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Event {
    Register,
    Login,
    View,
    Cart,
    Purchase,
    Return,
    EmailSend,
    EmailOpen,
    EmailClick,
    Play,
}

/// Names of [`Event`].
pub(super) const EVENTS: [&str; 10] =
    ["register", "login", "view", "cart", "purchase", "return", "email_send", "email_open", "email_click", "play"];

/// A product group.
pub(super) struct Category {
    pub name: &'static str,
    /// Share of the shop's order lines without seasons; 0 for games, which are played and not bought.
    pub share: f64,
    /// Weight by month with seasons, January first.
    pub months: [f64; 12],
}

const EVEN: [f64; 12] = [1.0; 12];

/// Product groups; [`SHOP_CATEGORIES`] of them are sold, the rest are games.
#[rustfmt::skip]
pub(super) const CATEGORIES: [Category; 12] = [
    Category { name: "shoes", share: 0.16, months: [0.8, 0.8, 1.2, 1.3, 1.1, 0.9, 0.8, 0.9, 1.3, 1.2, 0.9, 0.8] },
    Category { name: "ski", share: 0.07, months: [2.4, 1.8, 0.8, 0.3, 0.1, 0.1, 0.1, 0.2, 0.5, 1.2, 2.0, 2.5] },
    Category { name: "handbags", share: 0.09, months: EVEN },
    Category { name: "books", share: 0.13, months: EVEN },
    Category { name: "garden", share: 0.09, months: [0.2, 0.4, 1.2, 2.2, 2.4, 1.8, 1.2, 0.9, 0.8, 0.5, 0.2, 0.2] },
    Category { name: "toys", share: 0.10, months: [0.6, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9, 1.1, 1.9, 2.2] },
    Category { name: "sports", share: 0.09, months: [1.3, 1.0, 1.0, 1.1, 1.2, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.7] },
    Category { name: "electronics", share: 0.12, months: [0.9, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0, 1.0, 1.5, 1.4] },
    Category { name: "home", share: 0.08, months: EVEN },
    Category { name: "beauty", share: 0.07, months: EVEN },
    Category { name: "poker", share: 0.0, months: EVEN },
    Category { name: "slots", share: 0.0, months: EVEN },
];

/// How many of [`CATEGORIES`] are sold.
pub(super) const SHOP_CATEGORIES: usize = 10;
/// Code of poker.
pub(super) const POKER: u8 = 10;
/// Code of slot machines.
pub(super) const SLOTS: u8 = 11;

/// Products of each sold category.
pub(super) const PRODUCTS_PER_CATEGORY: u16 = 40;

/// Where things happen; mails have a channel of their own.
pub(super) const CHANNELS: [&str; 4] = ["web", "app", "marketplace", "email"];
/// Code of mails.
pub(super) const EMAIL: u8 = 3;
/// On what.
pub(super) const DEVICES: [&str; 3] = ["desktop", "mobile", "tablet"];

/// Code of a missing label.
pub(super) const NONE: u8 = u8::MAX;
/// Code of a missing product, campaign.
pub(super) const NONE_WIDE: u16 = u16::MAX;
/// Code of a missing customer, order.
pub(super) const NONE_LONG: u32 = u32::MAX;

/// Name of a product code.
pub(super) fn product_name(code: u16) -> String {
    let category = &CATEGORIES[usize::from(code / PRODUCTS_PER_CATEGORY)];
    format!("{}-{:02}", category.name, code % PRODUCTS_PER_CATEGORY + 1)
}

/// Name of a customer.
pub(super) fn customer_name(index: u64) -> String {
    format!("c{index:08}")
}

/// One row before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Microseconds since 1970, UTC.
    pub time: i64,
    /// Money; `None` where there is none.
    pub value: Option<f64>,
    /// When the shop's systems had it, in microseconds since 1970, UTC.
    pub received: i64,
    /// Index into the block's names, or [`NONE_LONG`].
    pub customer: u32,
    /// Whose life it is from, whatever `customer` says: index of the person in the block.
    pub owner: u32,
    /// Number of the row among the owner's; the two make the `event_id`.
    pub sequence: u32,
    /// Index into the block's orders, or [`NONE_LONG`].
    pub order: u32,
    pub product: u16,
    pub campaign: u16,
    pub event: Event,
    pub category: u8,
    pub channel: u8,
    pub device: u8,
    /// Units; 0 where there are none.
    pub quantity: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_only_games_are_unsold() {
        let total: f64 = CATEGORIES.iter().map(|category| category.share).sum();
        assert!((total - 1.0).abs() < 1e-12);
        assert!(CATEGORIES[..SHOP_CATEGORIES].iter().all(|category| category.share > 0.0));
        assert_eq!(CATEGORIES[usize::from(POKER)].name, "poker");
        assert_eq!(CATEGORIES[usize::from(SLOTS)].name, "slots");
        assert_eq!(EVENTS[Event::Play as usize], "play");
        assert_eq!(EVENTS[Event::Purchase as usize], "purchase");
    }
}
