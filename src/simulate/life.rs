//! What somebody does, row by row.

use super::World;
use super::block::Block;
use super::catalogue::{
    CATEGORIES, EMAIL, Event, NONE, NONE_LONG, NONE_WIDE, POKER, PRODUCTS_PER_CATEGORY, Row, SHOP_CATEGORIES, SLOTS,
};
use super::dice::Dice;
use super::people::{OrderDays, Person};
use crate::time::DAY_MICROS;

const SECOND: i64 = 1_000_000;
const HOUR_SECONDS: u32 = 3600;

/// Weight of each hour for the start of a visit; none starts after 23:00, so that an order ends on its day.
const HOURS: [f64; 24] = [
    1.0, 0.5, 0.3, 0.2, 0.2, 0.4, 1.0, 2.0, 3.0, 4.0, 4.5, 4.5, 5.0, 4.5, 4.0, 4.0, 4.5, 5.0, 6.0, 7.0, 7.5, 6.5, 4.5,
    0.0,
];
/// Chance of 1, 2, 3 and 4 lines in an order.
const LINES: [f64; 4] = [0.6, 0.25, 0.1, 0.05];
/// Orders below a unit of money have one line: their cents cannot be split.
const LEAST_CENTS_TO_SPLIT: i64 = 100;
/// No order is worth more cents than this, so that sums stay exact.
const MOST_CENTS: f64 = 1e12;
/// Chance that a line is of the category that the visit is about.
const SAME_CATEGORY: f64 = 0.7;
/// Chance that a visit begins with a login.
const LOGIN: f64 = 0.6;
/// Chance that a visit without an order fills a cart.
const ABANDONED_CART: f64 = 0.12;
/// An offer is acted on within this many days of opening the mail.
const OFFER_DAYS: u32 = 7;
/// Share of the open chance that is left after leaving.
const OPEN_AFTER_LEAVING: f64 = 0.2;
/// How long players keep playing, in days on average.
const PLAYING_DAYS: f64 = 150.0;
/// Chance to win the stake at poker: an edge of 5 % for the house.
pub(super) const POKER_WIN: f64 = 0.475;
/// Chance to win [`SLOTS_PAYOUT`] stakes at slots: an edge of 6 % for the house.
pub(super) const SLOTS_WIN: f64 = 0.094;
/// Stakes won at slots.
pub(super) const SLOTS_PAYOUT: i64 = 9;

/// A visit under way.
struct Visit {
    clock: i64,
    channel: u8,
    device: u8,
    campaign: u16,
}

/// Tells the life of one person into a block.
pub(super) struct Teller<'a> {
    world: &'a World,
    block: &'a mut Block,
    dice: Dice,
    person: Person,
    customer: u32,
    index: u64,
    sequence: u32,
    end: i64,
}

/// What truth keeps of a life, beside the person.
pub(super) struct Told {
    pub person: Person,
    pub left: Option<u32>,
    pub orders: u32,
    pub extra_orders: u32,
}

/// Adds one person's rows to a block, in no order of time.
pub(super) fn tell(world: &World, index: u64, customer: u32, block: &mut Block) -> Told {
    let mut dice = Dice::new(world.settings.seed, 2 * index);
    let person = Person::draw(world, &mut dice);
    let orders = OrderDays::draw(world, &person, &mut dice);
    let end = world.calendar.start.plus(world.calendar.days as i32).start_micros();
    let mut teller = Teller { world, block, dice, person, customer, index, sequence: 0, end };
    let at_registration = orders.days.first() == Some(&teller.person.arrival_day());
    let mut visit = teller.register();
    let extra = teller.mails(&orders);
    let days = merge(&orders.days, &extra, world.calendar.days);
    for (number, &day) in days.iter().enumerate() {
        if number == 0 && at_registration {
            teller.order(&mut visit, number);
        } else {
            teller.order_on(day, number);
        }
    }
    if !at_registration {
        teller.browse(&mut visit, None, 1);
    }
    teller.visits(&orders);
    if teller.person.player {
        teller.plays();
    }
    let extra_orders = (days.len() - orders.days.len()) as u32;
    Told { person: teller.person, left: orders.left, orders: days.len() as u32, extra_orders }
}

/// Own order days with extra ones on the next free days; ascending, none at or after `end`.
fn merge(own: &[u32], extra: &[u32], end: u32) -> Vec<u32> {
    let mut days = own.to_vec();
    for &wanted in extra {
        let mut day = wanted;
        let mut place = days.partition_point(|&other| other < day);
        while days.get(place) == Some(&day) {
            place += 1;
            day += 1;
        }
        if day < end {
            days.insert(place, day);
        }
    }
    days
}

impl Teller<'_> {
    fn push(&mut self, row: Row) {
        if row.time < self.end {
            self.block.push(Row { sequence: self.sequence, ..row });
            self.sequence += 1;
        }
    }

    fn row(&self, visit: &Visit, event: Event) -> Row {
        Row {
            time: visit.clock,
            received: visit.clock,
            value: None,
            customer: self.customer,
            owner: self.customer,
            sequence: 0,
            order: NONE_LONG,
            product: NONE_WIDE,
            campaign: visit.campaign,
            event,
            category: NONE,
            channel: visit.channel,
            device: visit.device,
            quantity: 0,
        }
    }

    fn moment(&self, day: u32, second: u32) -> i64 {
        self.world.calendar.start.start_micros() + i64::from(day) * DAY_MICROS + i64::from(second) * SECOND
    }

    fn day_of(&self, clock: i64) -> u32 {
        ((clock - self.world.calendar.start.start_micros()) / DAY_MICROS) as u32
    }

    /// A visit that begins on this day; now and then elsewhere than usual.
    fn visit_on(&mut self, day: u32) -> Visit {
        let second = self.dice.pick(&HOURS) as u32 * HOUR_SECONDS + self.dice.between(0, HOUR_SECONDS - 1);
        let usual = self.dice.chance(0.8);
        let (channel, device) = if usual { (self.person.channel, self.person.device) } else { (0, 1) };
        Visit { clock: self.moment(day, second), channel, device, campaign: NONE_WIDE }
    }

    fn step(&mut self, visit: &mut Visit) {
        visit.clock += i64::from(self.dice.between(10, 100)) * SECOND;
    }

    fn category(&mut self, day: u32) -> usize {
        if !self.world.settings.seasonality {
            return self.dice.pick(&self.person.tastes);
        }
        let month = usize::from(self.world.calendar.month[day as usize]);
        let weights: [f64; SHOP_CATEGORIES] =
            std::array::from_fn(|index| self.person.tastes[index] * CATEGORIES[index].months[month]);
        self.dice.pick(&weights)
    }

    fn product(&mut self, category: usize) -> u16 {
        let rank = self.dice.unit().powi(2) * f64::from(PRODUCTS_PER_CATEGORY); // a few sell most
        category as u16 * PRODUCTS_PER_CATEGORY + rank as u16
    }

    fn see(&mut self, visit: &mut Visit, event: Event, product: u16, quantity: u8) {
        self.step(visit);
        let category = (product / PRODUCTS_PER_CATEGORY) as u8;
        self.push(Row { product, category, quantity, ..self.row(visit, event) });
    }

    fn login(&mut self, visit: &mut Visit) {
        if self.dice.chance(LOGIN) {
            self.push(self.row(visit, Event::Login));
        }
    }

    /// Registration; the visit goes on.
    fn register(&mut self) -> Visit {
        let visit = self.visit_on(self.person.arrival_day());
        self.push(self.row(&visit, Event::Register));
        visit
    }

    /// Looks at one to four products, mostly of one category.
    fn browse(&mut self, visit: &mut Visit, category: Option<usize>, least: u32) {
        let day = self.day_of(visit.clock).min(self.world.calendar.days - 1);
        let category = category.unwrap_or_else(|| self.category(day));
        let mut product = 0;
        for _ in 0..self.dice.between(least, 3) {
            let same = self.dice.chance(SAME_CATEGORY);
            let seen = if same { category } else { self.category(day) };
            product = self.product(seen);
            self.see(visit, Event::View, product, 0);
        }
        if self.dice.chance(ABANDONED_CART) {
            self.see(visit, Event::Cart, product, 1);
        }
    }

    /// An order in a visit of its own.
    fn order_on(&mut self, day: u32, number: usize) {
        let mut visit = self.visit_on(day);
        self.login(&mut visit);
        self.order(&mut visit, number);
    }

    /// Views, carts and the lines of one order at one instant; now and then a visit some days before, or a return.
    fn order(&mut self, visit: &mut Visit, number: usize) {
        let people = &self.world.settings.population;
        let day = self.day_of(visit.clock);
        let main = self.category(day);
        if self.dice.chance(people.research_share) {
            let before = day.saturating_sub(self.dice.between(1, 5));
            if before > self.person.arrival_day() {
                let mut research = self.visit_on(before);
                self.login(&mut research);
                self.browse(&mut research, Some(main), 1);
            }
        }
        let spend = self.dice.gamma(people.p, self.person.spend_rate);
        let cents = (spend * 100.0).round().clamp(1.0, MOST_CENTS) as i64;
        let lines = if cents < LEAST_CENTS_TO_SPLIT { 1 } else { 1 + self.dice.pick(&LINES) };
        let mut basket = [(0_u16, 0_u8); LINES.len()];
        for line in &mut basket[..lines] {
            let same = self.dice.chance(SAME_CATEGORY);
            let category = if same { main } else { self.category(day) };
            let product = self.product(category);
            if self.dice.chance(0.25) {
                let other = self.product(category);
                self.see(visit, Event::View, other, 0);
            }
            self.see(visit, Event::View, product, 0);
            let quantity = 1 + self.dice.pick(&[0.8, 0.15, 0.05]) as u8;
            self.see(visit, Event::Cart, product, quantity);
            *line = (product, quantity);
        }
        self.step(visit);
        let order = self.block.order(self.index, number);
        let values = self.split(cents, lines);
        for (&(product, quantity), &cents) in basket.iter().zip(&values[..lines]) {
            let category = (product / PRODUCTS_PER_CATEGORY) as u8;
            let value = Some(cents as f64 / 100.0);
            self.push(Row { product, category, quantity, order, value, ..self.row(visit, Event::Purchase) });
        }
        if self.dice.chance(people.return_share) {
            let line = self.dice.between(0, lines as u32 - 1) as usize;
            let (product, quantity) = basket[line];
            let category = (product / PRODUCTS_PER_CATEGORY) as u8;
            let value = Some(-(values[line] as f64) / 100.0);
            let later = day + self.dice.between(3, 20);
            let back = self.visit_on(later);
            self.push(Row { product, category, quantity, order, value, ..self.row(&back, Event::Return) });
        }
    }

    /// Cents of each line; their sum is the order's, to the cent.
    fn split(&mut self, cents: i64, lines: usize) -> [i64; LINES.len()] {
        let mut weights = [0.0; LINES.len()];
        for weight in &mut weights[..lines] {
            *weight = 0.3 + 0.7 * self.dice.unit();
        }
        let total: f64 = weights.iter().sum();
        let mut values = [0; LINES.len()];
        let mut left = cents;
        for line in 1..lines {
            values[line] = (cents as f64 * weights[line] / total) as i64;
            left -= values[line];
        }
        values[0] = left;
        values
    }

    /// Visits without an order, after the day of registration.
    fn visits(&mut self, orders: &OrderDays) {
        let last = self.person.last_visit(orders, &mut self.dice);
        let mut time = f64::from(self.person.arrival_day() + 1);
        loop {
            let gap = self.dice.exponential() / self.person.visit_rate;
            match self.world.calendar.advance(time, gap) {
                Some(next) if next <= last => time = next,
                _ => return,
            }
            let mut visit = self.visit_on(time as u32);
            self.login(&mut visit);
            self.browse(&mut visit, None, 1);
        }
    }

    /// Mails sent, opened and clicked. Returns the days of the orders that would not be without them.
    fn mails(&mut self, orders: &OrderDays) -> Vec<u32> {
        let mut extra = Vec::new();
        if !self.world.settings.campaigns || !self.person.consent {
            return extra;
        }
        let people = &self.world.settings.population;
        let arrival = self.person.arrival_day();
        let first = self.world.campaigns.partition_point(|campaign| campaign.day <= arrival);
        for (number, campaign) in self.world.campaigns.iter().enumerate().skip(first) {
            if campaign.offer && self.person.control {
                continue;
            }
            let share = if campaign.offer { people.offer_share } else { people.newsletter_share };
            if !self.dice.chance(share) {
                continue;
            }
            let second = 7 * HOUR_SECONDS + self.dice.between(0, 2 * HOUR_SECONDS);
            let clock = self.moment(campaign.day, second);
            let mut mail = Visit { clock, channel: EMAIL, device: NONE, campaign: number as u16 };
            self.push(self.row(&mail, Event::EmailSend));
            let gone = orders.left.is_some_and(|left| left <= campaign.day);
            let left_over = if gone { OPEN_AFTER_LEAVING } else { 1.0 };
            if !self.dice.chance(self.person.open_chance * left_over) {
                continue;
            }
            let wait = (self.dice.exponential() * 8.0 * f64::from(HOUR_SECONDS)) as i64;
            mail.clock += wait.clamp(60, 3 * 24 * i64::from(HOUR_SECONDS)) * SECOND;
            mail.device = self.person.device;
            self.push(self.row(&mail, Event::EmailOpen));
            let opened = self.day_of(mail.clock);
            let clicked = self.dice.chance(people.click_share);
            if clicked {
                self.step(&mut mail);
                self.push(self.row(&mail, Event::EmailClick));
                let mut visit = Visit { channel: self.person.channel, ..mail };
                self.browse(&mut visit, None, 1);
            }
            let uplift = people.open_uplift + if clicked { people.click_uplift } else { 0.0 };
            if campaign.offer && self.dice.chance(uplift) && orders.active_on(opened) {
                extra.push(opened + self.dice.between(1, OFFER_DAYS));
            }
        }
        extra
    }

    /// Evenings of poker and slots, from the day after registration.
    fn plays(&mut self) {
        let rate = self.dice.exponential() * self.world.settings.population.play_rate;
        let likes_poker = self.dice.beta(2.0, 2.0);
        let stake = (1.0 + 0.6 * self.dice.normal()).exp();
        let last = self.person.arrival + self.dice.exponential() * PLAYING_DAYS;
        let mut time = f64::from(self.person.arrival_day() + 1);
        loop {
            match self.world.calendar.advance(time, self.dice.exponential() / rate) {
                Some(next) if next <= last => time = next,
                _ => return,
            }
            let second = 18 * HOUR_SECONDS + self.dice.between(0, 4 * HOUR_SECONDS);
            let clock = self.moment(time as u32, second);
            let (channel, device) = (self.person.channel, self.person.device);
            let mut visit = Visit { clock, channel, device, campaign: NONE_WIDE };
            for _ in 0..self.dice.between(3, 15) {
                visit.clock += i64::from(self.dice.between(30, 180)) * SECOND;
                let cents = (stake * 100.0 * (0.5 + self.dice.unit())).round().max(1.0) as i64;
                let (category, won) = if self.dice.chance(likes_poker) {
                    (POKER, if self.dice.chance(POKER_WIN) { cents } else { -cents })
                } else {
                    (SLOTS, if self.dice.chance(SLOTS_WIN) { SLOTS_PAYOUT * cents } else { -cents })
                };
                let value = Some(won as f64 / 100.0);
                self.push(Row { category, value, ..self.row(&visit, Event::Play) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_orders_take_the_next_free_day() {
        assert_eq!(merge(&[3, 5, 6], &[5, 1, 9], 10), [1, 3, 5, 6, 7, 9]);
        assert_eq!(merge(&[8, 9], &[8, 12], 10), [8, 9]);
        assert_eq!(merge(&[], &[2, 2], 10), [2, 3]);
    }
}
