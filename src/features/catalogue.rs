//! The catalogue: every feature's name, unit and definition, generated from what the data hold.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::attributes::Attribute;
use super::contact::Contacts;
use super::inputs::Chosen;
use super::roles::{KindsSeen, Roles};
use super::selection::{Selection, SelectionError};
use super::tally::Tally;
use super::{
    activity, affinity, attributes, cadence, clock, decay, declared, first_order, interest, numbers, pace, purchases,
    recency, response, sequence, sessions, unfinished, windows,
};
use crate::config::{Config, DeclaredFeature, FeaturesConfig};
use crate::time::Day;
use crate::timeline::{SpillError, Timelines};

/// Unit of a feature's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Days, with fractions.
    Days,
    /// The configured currency.
    Money,
    /// A number of things.
    Count,
    /// 0 to 1.
    Share,
    /// A quotient without a unit.
    Ratio,
    /// Whatever the column of the data holds.
    Number,
    /// Minutes, with fractions.
    Minutes,
    /// 0 or 1.
    Flag,
}

impl Unit {
    /// As printed and as written to column metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Money => "money",
            Self::Count => "count",
            Self::Share => "share",
            Self::Ratio => "ratio",
            Self::Number => "number",
            Self::Minutes => "minutes",
            Self::Flag => "flag",
        }
    }
}

/// Declaration of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Column name.
    pub name: String,
    /// Unit of the values.
    pub unit: Unit,
    /// What it tells, at `as_of`; when it is missing.
    pub note: String,
    /// The question that it belongs to; a family is computed whole or not at all.
    pub family: String,
    /// Columns of the events that it is made from.
    pub columns: Vec<String>,
}

/// Collects declarations in the order in which a sweep emits the values.
#[derive(Default)]
pub(super) struct Declarations {
    features: Vec<Feature>,
    family: String,
    columns: Vec<String>,
}

impl Declarations {
    /// Names the family and the source columns of the features that follow.
    pub(super) fn family(&mut self, family: &str, columns: &[&str]) {
        self.family = family.to_string();
        self.columns = columns.iter().map(|column| (*column).to_string()).collect();
    }

    /// Number of features declared so far.
    pub(super) fn len(&self) -> usize {
        self.features.len()
    }

    pub(super) fn add(&mut self, name: impl Into<String>, unit: Unit, note: impl Into<String>) {
        self.features.push(Feature {
            name: name.into(),
            unit,
            note: note.into(),
            family: self.family.clone(),
            columns: self.columns.clone(),
        });
    }
}

/// One kind of event that has columns of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// As in the data.
    pub event: String,
    /// As in column names.
    pub slug: String,
    /// Whether any such event carries money.
    pub has_money: bool,
}

/// One value of a column that has columns of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As in the data.
    pub name: String,
    /// As in column names.
    pub slug: String,
}

/// What the catalogue is generated from: frozen at a day, so that nothing later decides which columns
/// there are. Part of the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Nothing at or after this day was looked at.
    pub frozen_at: Day,
    /// Kinds of events; the order event is the first.
    pub kinds: Vec<Kind>,
    /// Categories, most frequent first.
    pub categories: Vec<Group>,
    /// Channels, most frequent first.
    pub channels: Vec<Group>,
    /// Kind and category that occur together, category after category: indices into `kinds` and `categories`.
    pub pairs: Vec<(u16, u16)>,
    /// Windows in days, ascending.
    pub windows: Vec<u16>,
    /// Usual days between orders of the whole base: the prior of each customer's own.
    pub base_gap_days: f64,
    /// Whether events have times of day, and not dates alone.
    pub has_times: bool,
    /// Days from the first event to `frozen_at`.
    pub history_days: i32,
    /// Minutes without an event after which another session begins.
    pub session_minutes: u16,
    /// What events mean.
    pub roles: Roles,
    /// Contact points and the ways between them.
    pub contacts: Contacts,
    /// Numeric columns of the data that are none of ours.
    pub numbers: Vec<Group>,
    /// The numeric column that is the discount of an order line.
    #[serde(default)]
    pub discount: Option<String>,
    /// What is known of customers beside their events.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    /// What the user added.
    pub declared: Vec<DeclaredFeature>,
    /// Which of the features are wanted.
    pub selection: Selection,
}

/// Column names: lower-case ASCII, every other run of characters one `_`.
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in deunicode::deunicode(name).chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let trimmed = slug.trim_matches('_');
    if trimmed.is_empty() { "unnamed".to_string() } else { trimmed.to_string() }
}

/// The first of `name`, `name_2`, `name_3` … that is not taken yet.
fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.clone();
    let mut number = 1;
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{name}_{number}");
    }
    candidate
}

/// Slugs of names in order of frequency; a collision is numbered: `shoes`, `shoes_2`.
pub fn slugs<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Group> {
    let mut taken = BTreeSet::new();
    names.map(|name| Group { name: name.to_string(), slug: unique(slug(name), &mut taken) }).collect()
}

/// Pairs of a kind and a category get columns of their own for the order event and this many others.
const KINDS_WITH_CATEGORIES: usize = 5;

/// Days between orders where nobody has ordered twice.
pub(super) const FALLBACK_GAP_DAYS: f64 = 30.0;

/// Indices of the `most` largest counts above zero; equal counts in order of name.
pub(super) fn most_frequent(counts: &[u64], names: &[String], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|&i| counts[i] > 0).collect();
    order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then_with(|| names[a].cmp(&names[b])));
    order.truncate(most);
    order
}

impl Plan {
    /// What the catalogue covers, from the events known at `frozen_at`.
    ///
    /// # Errors
    /// Timelines on disk that cannot be read back.
    pub fn new(timelines: &Timelines, config: &Config, frozen_at: Day) -> Result<Self, SpillError> {
        let FeaturesConfig { windows, max_event_types, max_categories, max_channels, roles, .. } = &config.features;
        let vocabularies = &timelines.vocabularies;
        let order_event = &config.events.order_event;
        let order_kind = vocabularies.event.code(order_event);
        let tally = Tally::of(timelines, order_kind, frozen_at)?;

        let names = vocabularies.event.names();
        let mut kinds: Vec<usize> = most_frequent(&tally.kinds, names, max_event_types + 1);
        kinds.retain(|&kind| Some(kind as u32) != order_kind);
        kinds.truncate(max_event_types.saturating_sub(1));
        let ordered = std::iter::once(order_event.as_str()).chain(kinds.iter().map(|&kind| names[kind].as_str()));
        let kinds: Vec<Kind> = slugs(ordered)
            .into_iter()
            .map(|group| {
                let code = vocabularies.event.code(&group.name);
                let has_money = code.is_some_and(|code| tally.money[code as usize]);
                Kind { event: group.name, slug: group.slug, has_money }
            })
            .collect();

        let category_names = vocabularies.category.names();
        let categories = most_frequent(&tally.categories, category_names, *max_categories);
        let pair_count = |kind: &Kind, category: usize| {
            let code = vocabularies.event.code(&kind.event)?;
            Some(tally.pairs.count(code as u16, category as u32)).filter(|&count| count > 0)
        };
        let mut with_categories: Vec<(u64, usize)> = kinds
            .iter()
            .enumerate()
            .skip(1)
            .map(|(k, kind)| (categories.iter().filter_map(|&c| pair_count(kind, c)).sum(), k))
            .filter(|(count, _)| *count > 0)
            .collect();
        with_categories.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        with_categories.truncate(KINDS_WITH_CATEGORIES);
        let mut covered: Vec<usize> = with_categories.into_iter().map(|(_, k)| k).chain([0]).collect();
        covered.sort_unstable();
        let pairs = (0..categories.len())
            .flat_map(|c| covered.iter().map(move |&k| (k, c)))
            .filter(|&(k, c)| pair_count(&kinds[k], categories[c]).is_some())
            .map(|(k, c)| (k as u16, c as u16))
            .collect();

        let seen = KindsSeen {
            names,
            counts: &tally.kinds,
            has_money: &tally.money,
            has_campaign: &tally.campaign,
            order: order_kind,
        };
        let channel_names = vocabularies.channel.names();
        let channels = most_frequent(&tally.channels, channel_names, *max_channels);
        let is_seen = |name: &&str| numbers::position(name, &timelines.numbers).is_some_and(|at| tally.numbers[at]);
        let numeric = timelines.numbers.iter().filter(|number| !number.is_text).map(|number| number.name.as_str());
        let Chosen { discount, numbers } = Chosen::new(&config.features, numeric);
        let mut plan = Self {
            frozen_at,
            kinds,
            categories: slugs(categories.iter().map(|&c| category_names[c].as_str())),
            channels: slugs(channels.iter().map(|&c| channel_names[c].as_str())),
            pairs,
            windows: windows.clone(),
            base_gap_days: if tally.gaps == 0 { FALLBACK_GAP_DAYS } else { tally.gap_days as f64 / tally.gaps as f64 },
            has_times: tally.has_times,
            history_days: tally.first_day.map_or(0, |first| frozen_at.since(first)),
            session_minutes: config.features.session_minutes,
            roles: Roles::new(roles, &seen),
            contacts: Contacts::new(timelines, &config.features, order_kind, frozen_at)?,
            numbers: slugs(numbers.into_iter().filter(is_seen)),
            discount: discount.filter(is_seen).map(Into::into),
            attributes: attributes::chosen(&timelines.attributes, &tally.attributes, config.attributes.max_values),
            declared: config.feature.clone(),
            selection: Selection { include: config.features.include.clone(), exclude: config.features.exclude.clone() },
        };
        affinity::limit_columns(&mut plan, config.features.max_category_columns);
        Ok(plan)
    }

    /// Every feature that is wanted, in the order of a row.
    pub fn features(&self) -> Vec<Feature> {
        let all = self.everything();
        let wanted = self.selection.wants(&all);
        all.into_iter().zip(wanted).filter_map(|(feature, is_wanted)| is_wanted.then_some(feature)).collect()
    }

    /// Every feature, wanted or not, in the order in which a sweep emits them.
    pub fn everything(&self) -> Vec<Feature> {
        let mut declarations = Declarations::default();
        recency::declare(self, &mut declarations);
        purchases::declare(self, &mut declarations);
        cadence::declare(self, &mut declarations);
        first_order::declare(self, &mut declarations);
        activity::declare(self, &mut declarations);
        windows::declare(self, &mut declarations);
        pace::declare(self, &mut declarations);
        decay::declare(self, &mut declarations);
        clock::declare(self, &mut declarations);
        sessions::declare(self, &mut declarations);
        affinity::declare(self, &mut declarations);
        interest::declare(self, &mut declarations);
        unfinished::declare(self, &mut declarations);
        response::declare(self, &mut declarations);
        sequence::declare(self, &mut declarations);
        numbers::declare(self, &mut declarations);
        attributes::declare(self, &mut declarations);
        declared::declare(self, &mut declarations);
        let mut features = declarations.features;
        // An event that is called `event` would give a second column `events`.
        let mut taken = BTreeSet::new();
        for feature in &mut features {
            feature.name = unique(std::mem::take(&mut feature.name), &mut taken);
        }
        features
    }

    /// The same plan with these features alone; names that it does not have are left out.
    pub fn only(&self, names: &[&str]) -> Self {
        Self { selection: Selection::only(names), ..self.clone() }
    }

    /// # Errors
    /// A pattern of the selection that matches no feature; nothing left; a declared feature whose name is taken.
    pub fn check_selection(&self) -> Result<(), SelectionError> {
        let everything = self.everything();
        let is_there =
            |name: &str| everything.iter().any(|feature| feature.name == name && feature.family == "declared");
        if let Some(taken) = self.declared.iter().find(|declared| !is_there(&declared.name)) {
            return Err(SelectionError::Taken { name: taken.name.clone() });
        }
        self.selection.check(&everything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_ascii_and_collisions_are_numbered() {
        let groups = slugs(["Schuhe & Söckchen", "schuhe soeckchen", "SCHUHE/SÖCKCHEN", "Обувь", "!!"].into_iter());
        let slugs: Vec<&str> = groups.iter().map(|group| group.slug.as_str()).collect();
        assert_eq!(slugs, ["schuhe_sockchen", "schuhe_soeckchen", "schuhe_sockchen_2", "obuv", "unnamed"]);
    }
}
