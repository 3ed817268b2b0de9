//! Who somebody is, and when they order: the part of a life that has a closed form.
//!
//! BG/NBD as in Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing Science 24(2),
//! 275-284, section 3: a customer places orders at the rate lambda after the first one and leaves after a
//! repeat order with the chance p_leave. Spend as in Fader & Hardie (2013), "The Gamma-Gamma Model of
//! Monetary Value", <http://www.brucehardie.com/notes/025/>, section 2.

use super::World;
use super::catalogue::{CATEGORIES, SHOP_CATEGORIES};
use super::dice::Dice;

/// Visits per day at most: a rate from the far tail must not fill the disk.
const MOST_VISITS_PER_DAY: f64 = 2.0;
/// Visits that each order of a buyer brings along, beside those of its own session.
const VISITS_PER_ORDER: f64 = 0.3;
/// Shape of the distribution of visit rates: uneven, as they are.
const VISIT_SHAPE: f64 = 0.8;
/// Visits per day of somebody who never buys, on average, while the interest lasts.
const VISIT_RATE_OF_LOOKERS: f64 = 0.03;
/// How long that interest lasts, in days on average.
const INTEREST_DAYS_OF_LOOKERS: f64 = 40.0;
/// How long visits go on after leaving, in days on average.
const FADING_DAYS: f64 = 10.0;

/// One person, as drawn from the population.
pub(super) struct Person {
    /// Days since the start, with fraction.
    pub arrival: f64,
    /// Whether they would ever buy.
    pub buyer: bool,
    /// Days since the start, with fraction; `None` when never or after the end.
    pub first_order: Option<f64>,
    /// Orders per business day after the first one.
    pub rate: f64,
    /// Chance to leave after each repeat order.
    pub leave_chance: f64,
    /// Rate nu of the Gamma distribution of the value of an order.
    pub spend_rate: f64,
    /// Shares of the sold categories, without seasons.
    pub tastes: [f64; SHOP_CATEGORIES],
    /// Gets none of the uplift campaigns.
    pub control: bool,
    /// May be mailed.
    pub consent: bool,
    /// Chance to open a mail.
    pub open_chance: f64,
    /// Usual channel and device.
    pub channel: u8,
    /// See `channel`.
    pub device: u8,
    /// Visits per business day.
    pub visit_rate: f64,
    /// Plays for money.
    pub player: bool,
}

impl Person {
    /// One draw from the population.
    pub fn draw(world: &World, dice: &mut Dice) -> Self {
        let people = &world.settings.population;
        let days = f64::from(world.calendar.days);
        let arrival = dice.unit() * days * people.arrival_share;
        let buyer = dice.chance(people.buyer_share);
        let at_once = dice.chance(people.first_order_at_once);
        let wait = if at_once { 0.0 } else { dice.exponential() * people.first_order_wait };
        let first_order = Some(arrival + wait).filter(|&time| buyer && time < days);
        let rate = dice.gamma(people.r, people.alpha);
        let leave_chance = dice.beta(people.a, people.b);
        let spend_rate = dice.gamma(people.q, people.gamma);
        let mut tastes = [0.0; SHOP_CATEGORIES];
        for (taste, category) in tastes.iter_mut().zip(&CATEGORIES) {
            *taste = dice.gamma(people.taste_concentration * category.share, 1.0);
        }
        let total: f64 = tastes.iter().sum();
        if total > 0.0 {
            tastes.iter_mut().for_each(|taste| *taste /= total);
        } else {
            tastes = std::array::from_fn(|index| CATEGORIES[index].share); // every draw underflowed
        }
        let control = dice.chance(people.control_share);
        let consent = dice.chance(people.consent_share);
        let open_chance = dice.beta(people.open_a, people.open_b);
        let channel = dice.pick(&[0.6, 0.3, 0.1]) as u8;
        let device = if channel == 1 { 1 + dice.pick(&[0.85, 0.15]) } else { dice.pick(&[0.5, 0.4, 0.1]) } as u8;
        let visit_rate = if buyer {
            dice.gamma(VISIT_SHAPE, VISIT_SHAPE) * people.visit_rate + VISITS_PER_ORDER * rate
        } else {
            dice.gamma(VISIT_SHAPE, VISIT_SHAPE) * VISIT_RATE_OF_LOOKERS
        };
        let visit_rate = visit_rate.min(MOST_VISITS_PER_DAY);
        let player = dice.chance(people.player_share);
        Self {
            arrival,
            buyer,
            first_order,
            rate,
            leave_chance,
            spend_rate,
            tastes,
            control,
            consent,
            open_chance,
            channel,
            device,
            visit_rate,
            player,
        }
    }

    /// Day of registration, from 0.
    pub fn arrival_day(&self) -> u32 {
        self.arrival as u32
    }

    /// Mean value of their orders: p / nu.
    pub fn mean_spend(&self, world: &World) -> f64 {
        world.settings.population.p / self.spend_rate
    }

    /// When visits end, in days since the start.
    pub fn last_visit(&self, orders: &OrderDays, dice: &mut Dice) -> f64 {
        match (self.buyer, orders.left) {
            (true, None) => f64::INFINITY,
            (true, Some(day)) => f64::from(day) + dice.exponential() * FADING_DAYS,
            (false, _) => self.arrival + dice.exponential() * INTEREST_DAYS_OF_LOOKERS,
        }
    }
}

/// The days on which somebody orders of their own accord.
pub(super) struct OrderDays {
    /// Ascending, no day twice, the first order first.
    pub days: Vec<u32>,
    /// The day of the order after which they left; `None` when they had not left by the end.
    pub left: Option<u32>,
}

impl OrderDays {
    /// One draw of the BG/NBD process in business time. An order that would share its day with the one
    /// before is placed on the day after, so that days with an order are orders.
    pub fn draw(world: &World, person: &Person, dice: &mut Dice) -> Self {
        let mut orders = Self { days: Vec::new(), left: None };
        let Some(mut time) = person.first_order else { return orders };
        let mut day = time as u32;
        orders.days.push(day);
        while let Some(next) = world.calendar.advance(time, dice.exponential() / person.rate) {
            time = next;
            day = (time as u32).max(day + 1);
            if day >= world.calendar.days {
                break;
            }
            orders.days.push(day);
            if dice.chance(person.leave_chance) {
                orders.left = Some(day);
                break;
            }
        }
        orders
    }

    /// Whether a buyer who has ordered has not left before this day.
    pub fn active_on(&self, day: u32) -> bool {
        self.days.first().is_some_and(|&first| first <= day) && self.left.is_none_or(|left| day < left)
    }
}
