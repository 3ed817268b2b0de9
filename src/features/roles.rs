//! What events mean: which are carts, messages, opens, clicks, failures, whatever they are called.

use serde::{Deserialize, Serialize};

use super::catalogue::slug;
use crate::config::RolesConfig;

/// Steps besides the cart that are watched until an order finishes them.
const MOST_BEGINS: usize = 4;

/// At most this many: the carts and [`MOST_BEGINS`] more.
pub(super) const MOST_UNFINISHED: usize = MOST_BEGINS + 1;

/// Index of a step that begins nothing.
pub(super) const BEGINS_NOTHING: u8 = u8::MAX;

/// Events that an order finishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// As in column names.
    pub slug: String,
    /// As in the data.
    pub events: Vec<String>,
    /// Whether any such event carries money.
    pub has_money: bool,
}

/// Events with a role, as named in the data and known when the plan was frozen. The order event has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Roles {
    /// Carts first, when there are any; then the other beginnings, most frequent first.
    pub begins: Vec<Begin>,
    /// What went wrong for the customer.
    pub failure: Vec<String>,
    /// Messages to the customer.
    pub send: Vec<String>,
    /// Messages opened.
    pub open: Vec<String>,
    /// Messages clicked.
    pub click: Vec<String>,
    /// Opens of the whole base for each of its messages; 0 without a message.
    pub open_rate: f64,
    /// Clicks of the whole base for each of its messages; 0 without a message.
    pub click_rate: f64,
    /// Whether any open or click names its campaign.
    pub responses_name_campaigns: bool,
    /// Whether any order names a campaign.
    pub orders_name_campaigns: bool,
}

/// What is known of each kind of event, by code.
pub(super) struct KindsSeen<'a> {
    pub(super) names: &'a [String],
    pub(super) counts: &'a [u64],
    pub(super) has_money: &'a [bool],
    pub(super) has_campaign: &'a [bool],
    pub(super) order: Option<u32>,
}

impl KindsSeen<'_> {
    /// Codes of the events that are called so.
    fn called(&self, names: &[String]) -> Vec<usize> {
        let wanted: Vec<String> = names.iter().map(|name| slug(name)).collect();
        (0..self.names.len())
            .filter(|&code| self.counts[code] > 0 && Some(code as u32) != self.order)
            .filter(|&code| wanted.contains(&slug(&self.names[code])))
            .collect()
    }

    fn total(&self, codes: &[usize]) -> u64 {
        codes.iter().map(|&code| self.counts[code]).sum()
    }

    fn names_of(&self, codes: &[usize]) -> Vec<String> {
        codes.iter().map(|&code| self.names[code].clone()).collect()
    }

    fn begin(&self, slug: &str, codes: &[usize]) -> Begin {
        Begin {
            slug: slug.to_string(),
            events: self.names_of(codes),
            has_money: codes.iter().any(|&code| self.has_money[code]),
        }
    }

    /// The carts as one, and each other beginning for itself.
    fn begins(&self, config: &RolesConfig) -> Vec<Begin> {
        let carts = self.called(&config.cart);
        let mut others: Vec<(String, Vec<usize>)> = Vec::new();
        for code in self.called(&config.begin).into_iter().filter(|code| !carts.contains(code)) {
            let slug = slug(&self.names[code]);
            match others.iter_mut().find(|(known, _)| *known == slug) {
                Some((_, codes)) => codes.push(code),
                None => others.push((slug, vec![code])),
            }
        }
        others.sort_by(|(a, a_codes), (b, b_codes)| self.total(b_codes).cmp(&self.total(a_codes)).then(a.cmp(b)));
        others.truncate(MOST_BEGINS);
        let carts = (!carts.is_empty()).then(|| self.begin("cart", &carts));
        carts.into_iter().chain(others.iter().map(|(slug, codes)| self.begin(slug, codes))).collect()
    }
}

impl Roles {
    pub(super) fn new(config: &RolesConfig, seen: &KindsSeen) -> Self {
        let [failure, send, open, click] =
            [&config.failure, &config.send, &config.open, &config.click].map(|names| seen.called(names));
        let sent = seen.total(&send);
        let rate = |codes: &[usize]| if sent == 0 { 0.0 } else { seen.total(codes) as f64 / sent as f64 };
        Self {
            begins: seen.begins(config),
            open_rate: rate(&open),
            click_rate: rate(&click),
            responses_name_campaigns: open.iter().chain(&click).any(|&code| seen.has_campaign[code]),
            orders_name_campaigns: seen.order.is_some_and(|order| seen.has_campaign[order as usize]),
            failure: seen.names_of(&failure),
            send: seen.names_of(&send),
            open: seen.names_of(&open),
            click: seen.names_of(&click),
        }
    }

    /// Roles that were configured, other than by default, and that no event has.
    pub(crate) fn missed(&self, config: &RolesConfig, default: &RolesConfig) -> Vec<&'static str> {
        let begins: Vec<String> = self.begins.iter().flat_map(|begin| begin.events.iter().cloned()).collect();
        [
            ("cart", &config.cart, &default.cart, &begins),
            ("begin", &config.begin, &default.begin, &begins),
            ("failure", &config.failure, &default.failure, &self.failure),
            ("send", &config.send, &default.send, &self.send),
            ("open", &config.open, &default.open, &self.open),
            ("click", &config.click, &default.click, &self.click),
        ]
        .into_iter()
        .filter(|(_, names, default, _)| !names.is_empty() && names != default)
        .filter(|(_, names, _, events)| !events.iter().any(|event| names.iter().any(|name| slug(name) == slug(event))))
        .map(|(role, ..)| role)
        .collect()
    }
}

/// The roles of one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RoleSet(u8);

impl RoleSet {
    pub(super) const FAILURE: Self = Self(1);
    pub(super) const SEND: Self = Self(2);
    pub(super) const OPEN: Self = Self(4);
    pub(super) const CLICK: Self = Self(8);
    /// What a customer does upon a message.
    pub(super) const RESPONSE: Self = Self(Self::OPEN.0 | Self::CLICK.0);
    /// Any contact by message.
    pub(super) const MESSAGE: Self = Self(Self::SEND.0 | Self::RESPONSE.0);

    /// Whether the event has any of these roles.
    pub(super) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }
}

/// The roles of each kind of event, by the codes of one set of timelines.
pub(super) struct RoleCodes {
    roles: Vec<RoleSet>,
    begins: Vec<u8>,
}

impl RoleCodes {
    pub(super) fn new(roles: &Roles, names: &[String]) -> Self {
        let listed = [
            (&roles.failure, RoleSet::FAILURE),
            (&roles.send, RoleSet::SEND),
            (&roles.open, RoleSet::OPEN),
            (&roles.click, RoleSet::CLICK),
        ];
        let of_name = |name: &String| {
            RoleSet(listed.iter().filter(|(events, _)| events.contains(name)).map(|(_, role)| role.0).sum())
        };
        let begin_of = |name: &String| {
            let begin = roles.begins.iter().position(|begin| begin.events.contains(name));
            begin.map_or(BEGINS_NOTHING, |index| index as u8)
        };
        Self { roles: names.iter().map(of_name).collect(), begins: names.iter().map(begin_of).collect() }
    }

    /// Roles and beginning of a kind; an event without a name has none.
    pub(super) fn of(&self, kind: u16) -> (RoleSet, u8) {
        let kind = kind as usize;
        match self.roles.get(kind) {
            Some(&roles) => (roles, self.begins[kind]),
            None => (RoleSet::default(), BEGINS_NOTHING),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn roles(config: &RolesConfig, names: &[&str]) -> Roles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let counts: Vec<u64> = (1..=names.len() as u64).collect();
        let no = vec![false; names.len()];
        let order = names.iter().position(|name| name == "purchase").map(|code| code as u32);
        Roles::new(config, &KindsSeen { names: &names, counts: &counts, has_money: &no, has_campaign: &no, order })
    }

    #[test]
    fn names_match_whatever_their_case_and_signs_and_the_order_event_has_no_role() {
        let mut config = Config::default().features.roles;
        config.cart.push("purchase".into());
        let roles = roles(&config, &["Add-to Cart", "EMAIL SENT", "Trial", "checkout", "purchase", "trial"]);
        assert_eq!(roles.send, ["EMAIL SENT"]);
        let begins: Vec<(&str, &[String])> =
            roles.begins.iter().map(|begin| (begin.slug.as_str(), begin.events.as_slice())).collect();
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<String>>();
        let (cart, trial, checkout) = (of(&["Add-to Cart"]), of(&["Trial", "trial"]), of(&["checkout"]));
        assert_eq!(begins, [("cart", &cart[..]), ("trial", &trial[..]), ("checkout", &checkout[..])]);
    }

    #[test]
    fn a_configured_role_that_no_event_has_is_missed_and_a_default_one_is_not() {
        let default = Config::default().features.roles;
        let mut config = default.clone();
        config.cart = vec!["Warenkorb".into()];
        config.begin = vec!["purchase".into()];
        config.open = vec!["GELESEN".into()];
        config.click = Vec::new();
        let roles = roles(&config, &["cart", "gelesen", "purchase"]);
        assert_eq!(roles.missed(&config, &default), ["cart", "begin"]);
    }
}
