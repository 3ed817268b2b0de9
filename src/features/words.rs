//! Features in words: one sentence for a value, from the definition that the catalogue has, and which features tell the same.
//!
//! "Orders in the last 30 days." with a value of 2 becomes "2 orders in the last 30 days (usual: 1)". How long nobody has heard
//! of a customer is told the same way whatever feature says so: "no order for 63 days; usual gap 21".

use super::catalogue::{Feature, Plan, Unit};

/// How one feature is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// What the feature is about: of features with the same idea one is told.
    pub idea: String,
    shape: Shape,
    /// " (usual: 3)", or nothing.
    usual: String,
    /// Where there is no value.
    missing: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// The number between two texts, times a factor; whole where it is one of days.
    Number { before: String, after: String, factor: f64, is_whole: bool },
    /// What is true of 1.
    Flag(String),
    /// The rhythm of orders: told by the days since the last one and the usual gap, unless the value is a count above 0.
    Rhythm(Option<String>),
}

/// What is known of the orders of one customer; NaN without one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    /// Days since the last order.
    pub days_since_last: f64,
    /// Usual days between two.
    pub usual_gap: f64,
}

/// Longest definition that stands in a sentence; longer ones are told by name.
const LONGEST_CLAUSE: usize = 72;

/// The names that a plan gives to columns, to find what they are about.
#[derive(Debug, Clone)]
pub struct Lexicon<'a> {
    plan: &'a Plan,
    currency: &'a str,
}

impl<'a> Lexicon<'a> {
    /// Of the features of a plan; money is told in `currency`, which may be empty.
    pub fn new(plan: &'a Plan, currency: &'a str) -> Self {
        Self { plan, currency }
    }

    /// How a feature is told; `usual` is a usual value of it.
    pub fn words(&self, feature: &Feature, usual: Option<f32>) -> Words {
        let idea = self.idea(feature);
        let shape = self.shape(feature, &idea);
        let usual = match (&shape, usual) {
            (Shape::Number { factor, is_whole, after, .. }, Some(usual)) => {
                let mut text = " (usual: ".to_string();
                let value = f64::from(usual) * factor;
                push_number(&mut text, if *is_whole { value.round() } else { value });
                text.push_str(if after.starts_with(" %") { " %)" } else { ")" });
                text
            }
            _ => String::new(),
        };
        let clause = clause(&feature.note);
        let missing = match since(&clause) {
            Some(what) => format!("no {} yet", what.trim_start_matches("last ").trim_start_matches("first ")),
            None => format!("{} is not known", feature.name),
        };
        Words { idea, shape, usual, missing }
    }

    fn shape(&self, feature: &Feature, idea: &str) -> Shape {
        let mut clause = clause(&feature.note);
        if let Some((_, days)) = feature.name.rsplit_once("_decayed_") {
            // What lies further back than the half-life counts less than half.
            clause = clause.replace(" to date", &format!(" of late, half-life {} days", days.trim_end_matches('d')));
        }
        let plain = clause.replace('`', "");
        let lower = lower_first(&plain);
        let number = |before: String, after: String, factor: f64| {
            let is_whole = feature.unit == Unit::Days && factor == 1.0;
            Shape::Number { before, after, factor, is_whole }
        };
        if idea == RHYTHM {
            let is_count = feature.unit == Unit::Count && counts(&clause) && feature.family != "btyd";
            return Shape::Rhythm(is_count.then(|| format!(" {lower}")));
        }
        for opening in ["1 when ", "1 where "] {
            if let Some(what) = plain.strip_prefix(opening) {
                return Shape::Flag(what.to_string());
            }
        }
        match feature.name.as_str() {
            "tenure_days" => return number("customer for ".into(), " days".into(), 1.0),
            "usual_gap_days" => return number("usual gap between orders: ".into(), " days".into(), 1.0),
            _ => {}
        }
        if let Some(what) = since(&clause) {
            return number(String::new(), format!(" days since the {what}"), 1.0);
        }
        let money = if self.currency.is_empty() { String::new() } else { format!(" {}", self.currency) };
        if feature.unit == Unit::Money
            && let Some(of) = clause.strip_prefix("Sum of `value` of ")
        {
            let order = format!("`{}`", self.plan.kinds[0].event);
            return match of.strip_prefix(&order) {
                Some(rest) => number("spent ".into(), format!("{money}{}", rest.replace('`', "")), 1.0),
                None => {
                    let (kind, rest) = of.split_once("` ").unwrap_or((of, ""));
                    let rest = rest.strip_prefix("events ").unwrap_or(rest);
                    number(
                        format!("{} worth ", kind.replace('`', "")),
                        format!("{money} {}", rest.replace('`', "")),
                        1.0,
                    )
                }
            };
        }
        if feature.unit == Unit::Share
            && let Some(of) = plain.strip_prefix("Share of ")
            && of.len() <= LONGEST_CLAUSE
        {
            return match of.contains(" in all ") {
                true => number(format!("{lower}: "), " %".to_string(), 100.0),
                false => number(String::new(), format!(" % of {of}"), 100.0),
            };
        }
        if feature.unit == Unit::Count && counts(&clause) {
            return number(String::new(), format!(" {lower}"), 1.0);
        }
        let unit = match feature.unit {
            Unit::Days => " days",
            Unit::Minutes => " minutes",
            Unit::Money => money.as_str(),
            _ => "",
        };
        if plain.len() <= LONGEST_CLAUSE {
            number(format!("{lower}: "), unit.to_string(), 1.0)
        } else {
            number(format!("{} is ", feature.name), unit.to_string(), 1.0)
        }
    }

    /// What a feature is about.
    fn idea(&self, feature: &Feature) -> String {
        let name = feature.name.as_str();
        if let Some((_, of)) = name.split_once("_category_") {
            let known = self.plan.categories.iter().map(|category| category.slug.as_str());
            let is_of = |slug: &&str| of == *slug || of.strip_prefix(*slug).is_some_and(|rest| rest.starts_with('_'));
            let category = known.filter(is_of).max_by_key(|slug| slug.len());
            return format!("category {}", category.unwrap_or(of));
        }
        for opening in ["channel_share_", "first_order_channel_"] {
            if let Some(channel) = name.strip_prefix(opening) {
                return format!("channel {channel}");
            }
        }
        match feature.family.as_str() {
            "declared" | "attributes" => return name.to_string(),
            "numbers" => return feature.columns.last().cloned().unwrap_or_else(|| name.to_string()),
            "response" => return "messages".to_string(),
            "sequence" => return "path".to_string(),
            "clock" => return "times".to_string(),
            "sessions" => return "sessions".to_string(),
            "unfinished" => return "unfinished".to_string(),
            _ => {}
        }
        let order = self.plan.kinds.first().map_or("purchase", |kind| kind.slug.as_str());
        if let Some(foreseen) = name.strip_prefix("btyd_") {
            if ["alive_", "none_", "expected_count_"].iter().any(|what| foreseen.starts_with(what)) {
                return RHYTHM.to_string();
            }
            if foreseen.starts_with("expected_value_") {
                return SPEND.to_string();
            }
            let kinds = self.plan.kinds.iter().filter(|kind| foreseen.starts_with(&format!("{}_", kind.slug)));
            let kind = kinds.max_by_key(|kind| kind.slug.len());
            return kind.map_or_else(|| name.to_string(), |kind| format!("activity {}", kind.slug));
        }
        match name {
            "days_since_last_order" | "churn_factor" | "days_until_expected_order" => return RHYTHM.to_string(),
            "tenure_days" | "days_since_first_order" | "days_from_first_to_last_order" => return "tenure".to_string(),
            "order_days" | "order_lines" | "units" => return "orders".to_string(),
            "lines_per_order" | "units_per_order" => return "basket".to_string(),
            "spend" | "gross_spend" => return SPEND.to_string(),
            "days_since_last_event" => return "activity".to_string(),
            _ => {}
        }
        if feature.family == "cadence" {
            return "gaps".to_string();
        }
        if name.contains("refund") {
            return "refunds".to_string();
        }
        if name.contains("discount") {
            return "discounts".to_string();
        }
        if name.ends_with("_order_value") || name == "order_value_spread" {
            return "order value".to_string();
        }
        let is_of = |what: &str| name == what || name.strip_prefix(what).is_some_and(|rest| rest.starts_with('_'));
        if name == format!("{order}s") {
            return "orders".to_string();
        }
        if is_of(&format!("{order}s")) || is_of("order_lines") {
            return RHYTHM.to_string(); // how often lately
        }
        if is_of("spend") {
            return SPEND.to_string();
        }
        for kind in self.plan.kinds.iter().skip(1) {
            let slug = &kind.slug;
            if is_of(&format!("{slug}s"))
                || is_of(&format!("{slug}_value"))
                || name == format!("days_since_last_{slug}")
            {
                return format!("activity {slug}");
            }
        }
        if is_of("events") || is_of("active_days") || name == "weekend_share" {
            return "activity".to_string();
        }
        name.to_string()
    }
}

/// How long since the last order, against how long it usually takes.
const RHYTHM: &str = "rhythm";
const SPEND: &str = "spend";

impl Words {
    /// Whether the sentence for a value is how long the last order is ago, whatever the feature.
    pub fn is_of_silence(&self, value: f32) -> bool {
        match &self.shape {
            Shape::Rhythm(Some(_)) => value.is_nan() || value <= 0.0,
            Shape::Rhythm(None) => true,
            _ => false,
        }
    }

    /// Appends the sentence for a value, NaN where missing, of a customer whose last order is so long ago.
    pub fn tell(&self, value: f32, silence: Silence, text: &mut String) {
        let number = f64::from(value);
        match &self.shape {
            _ if self.is_of_silence(value) => silence.tell(text),
            Shape::Rhythm(count) => {
                push_number(text, number);
                text.push_str(count.as_deref().unwrap_or_default());
            }
            _ if value.is_nan() => text.push_str(&self.missing),
            Shape::Flag(what) => {
                text.push_str(if value >= 0.5 { "" } else { "not so: " });
                text.push_str(what);
            }
            Shape::Number { before, after, factor, is_whole } => {
                let number = number * factor;
                text.push_str(before);
                push_number(text, if *is_whole { number.round() } else { number });
                text.push_str(after);
                text.push_str(&self.usual);
            }
        }
    }
}

impl Silence {
    fn tell(self, text: &mut String) {
        let Self { days_since_last, usual_gap } = self;
        if days_since_last.is_nan() {
            text.push_str("no order yet");
            return;
        }
        let days = days_since_last.round();
        let unit = if days == 1.0 { " day" } else { " days" };
        if days_since_last > usual_gap {
            text.push_str("no order for ");
            push_number(text, days);
            text.push_str(unit);
        } else {
            text.push_str("last order ");
            push_number(text, days);
            text.push_str(unit);
            text.push_str(" ago");
        }
        if !usual_gap.is_nan() {
            text.push_str("; usual gap ");
            push_number(text, usual_gap.round().max(1.0));
        }
    }
}

/// A definition up to its first stop.
fn clause(note: &str) -> String {
    let end = note.find([';', ':', '(']).unwrap_or(note.len());
    let end = note[..end].find(". ").unwrap_or(end);
    let end = note[..end].find(", ").unwrap_or(end);
    note[..end].trim_end_matches(['.', ' ']).to_string()
}

/// "last `view`" of "From the last `view` to `as_of`", without signs.
fn since(clause: &str) -> Option<String> {
    let what = clause.strip_prefix("From the ")?.strip_suffix(" to `as_of`")?;
    Some(what.replace('`', ""))
}

/// Whether a definition is a number of things, which a number can stand before.
fn counts(clause: &str) -> bool {
    const THINGS: [&str; 8] =
        ["Orders ", "Order lines ", "Events ", "Days ", "Messages ", "Different ", "Units ", "Sessions "];
    let is_kind = || {
        clause
            .strip_prefix('`')
            .and_then(|rest| rest.split_once("` "))
            .is_some_and(|(_, rest)| rest.starts_with("events"))
    };
    THINGS.iter().any(|things| clause.starts_with(things)) || is_kind()
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// Numbers below this are told as whole ones, to the digit.
const WHOLE: f64 = 1e15;

/// At most two decimals, none from a hundred on, and none that are 0.
fn push_number(text: &mut String, value: f64) {
    use std::fmt::Write;
    let size = value.abs();
    if size >= 100.0 || size.fract() == 0.0 {
        // Whole numbers are written as such: to the digit, floats take many times as long.
        let _ = match size < WHOLE {
            true => write!(text, "{}", value.round() as i64),
            false => write!(text, "{value:.0}"),
        };
        return;
    }
    let hundredths = (size * 100.0).round() as u32;
    if hundredths == 0 {
        text.push('0');
        return;
    }
    if value < 0.0 {
        text.push('-');
    }
    let _ = match (hundredths / 100, hundredths % 100) {
        (whole, 0) => write!(text, "{whole}"),
        (whole, rest) if rest % 10 == 0 => write!(text, "{whole}.{}", rest / 10),
        (whole, rest) => write!(text, "{whole}.{rest:02}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::models::occurrence_features::tests::{orders, timelines};
    use crate::time::Day;

    const KNOWN: Silence = Silence { days_since_last: 63.4, usual_gap: 21.2 };

    /// A plan with a kind, a category and a channel beside orders.
    fn plan() -> Plan {
        let mut plan = Plan::new(&timelines(&orders()), &Config::default(), Day(300)).unwrap();
        let group = |name: &str, slug: &str| crate::features::Group { name: name.into(), slug: slug.into() };
        let kind =
            |event: &str, has_money| crate::features::Kind { event: event.into(), slug: event.into(), has_money };
        plan.kinds.extend([kind("view", false), kind("play", true)]);
        plan.categories = vec![group("Ski", "ski"), group("Ski boots", "ski_boots")];
        plan.channels = vec![group("web", "web"), group("app", "app")];
        plan.pairs = vec![(0, 0), (1, 0), (0, 1), (1, 1)];
        plan
    }

    fn told(name: &str, value: f32, usual: Option<f32>) -> (String, String) {
        let plan = plan();
        let features = plan.everything();
        let feature = features.iter().find(|feature| feature.name == name).unwrap_or_else(|| panic!("{name}"));
        let words = Lexicon::new(&plan, "EUR").words(feature, usual);
        let mut text = String::new();
        words.tell(value, KNOWN, &mut text);
        (words.idea, text)
    }

    #[test]
    fn the_usual_families_are_told_as_people_would() {
        let cases = [
            ("days_since_last_order", 63.4, Some(30.0), "rhythm", "no order for 63 days; usual gap 21"),
            ("churn_factor", 3.0, Some(1.0), "rhythm", "no order for 63 days; usual gap 21"),
            ("purchases_30d", 0.0, Some(1.0), "rhythm", "no order for 63 days; usual gap 21"),
            ("purchases_90d", 2.0, Some(1.0), "rhythm", "2 orders in the last 90 days"),
            ("purchases", 14.0, Some(3.0), "orders", "14 orders to date (usual: 3)"),
            ("spend", 1234.4, Some(200.0), "spend", "spent 1234 EUR to date (usual: 200)"),
            ("spend_30d", 12.345, Some(40.0), "spend", "spent 12.35 EUR in the last 30 days (usual: 40)"),
            ("tenure_days", 400.2, Some(250.0), "tenure", "customer for 400 days (usual: 250)"),
            ("views_30d", 3.0, Some(1.5), "activity view", "3 view events in the last 30 days (usual: 1.5)"),
            ("days_since_last_view", 40.0, Some(12.0), "activity view", "40 days since the last view (usual: 12)"),
            ("days_since_last_view", f32::NAN, Some(12.0), "activity view", "no view yet"),
            ("play_value_7d", -20.0, Some(0.0), "activity play", "play worth -20 EUR in the last 7 days (usual: 0)"),
            ("average_order_value", 54.2, Some(30.0), "order value", "mean value of an order: 54.2 EUR (usual: 30)"),
            ("average_days_between_orders", 9.6, None, "gaps", "mean gap between days with an order: 10 days"),
            (
                "channel_share_web",
                0.254,
                Some(0.5),
                "channel web",
                "25.4 % of all events that came by channel web (usual: 50 %)",
            ),
            (
                "purchases_category_ski",
                2.0,
                Some(0.0),
                "category ski",
                "2 order lines in category Ski to date (usual: 0)",
            ),
            (
                "views_category_ski_boots_7d",
                0.0,
                None,
                "category ski_boots",
                "0 view events in category Ski boots in the last 7 days",
            ),
            ("first_order_category_ski", 1.0, Some(0.0), "category ski", "the first order line was in category Ski"),
            (
                "first_order_channel_web",
                0.0,
                Some(0.0),
                "channel web",
                "not so: the first order line came by channel web",
            ),
            ("events_decayed_30d", 7.46, Some(2.7), "activity", "7.46 events of late, half-life 30 days (usual: 2.7)"),
            ("spend_decayed_90d", 20.0, None, "spend", "spent 20 EUR of late, half-life 90 days"),
            (
                "order_share_category_ski",
                0.5,
                Some(0.0),
                "category ski",
                "share of category Ski in all order lines with a category: 50 % (usual: 0 %)",
            ),
            ("median_days_between_orders", f32::NAN, None, "gaps", "median_days_between_orders is not known"),
        ];
        for (name, value, usual, idea, text) in cases {
            assert_eq!(told(name, value, usual), (idea.to_string(), text.to_string()), "{name}");
        }
    }

    #[test]
    fn rhythm_is_told_for_early_late_and_never() {
        let told = |days_since_last, usual_gap| {
            let mut text = String::new();
            Silence { days_since_last, usual_gap }.tell(&mut text);
            text
        };
        assert_eq!(told(1.2, 14.0), "last order 1 day ago; usual gap 14");
        assert_eq!(told(0.2, 0.3), "last order 0 days ago; usual gap 1");
        assert_eq!(told(90.0, f64::NAN), "last order 90 days ago");
        assert_eq!(told(f64::NAN, f64::NAN), "no order yet");
    }

    #[test]
    fn every_feature_of_the_catalogue_has_a_sentence_and_few_tell_the_same() {
        let plan = plan();
        let lexicon = Lexicon::new(&plan, "");
        let mut ideas = std::collections::BTreeSet::new();
        for feature in plan.everything() {
            let words = lexicon.words(&feature, Some(1.0));
            for value in [0.0, 1.0, 2.5, -3.0, 1e30, f32::NAN] {
                let mut text = String::new();
                words.tell(value, KNOWN, &mut text);
                assert!(text.len() > 3 && !text.contains('`') && !text.contains("NaN"), "{}: {text}", feature.name);
            }
            ideas.insert(words.idea);
        }
        assert!((8..60).contains(&ideas.len()), "{ideas:?}");
    }

    #[test]
    fn numbers_are_short() {
        let told = |value| {
            let mut text = String::new();
            push_number(&mut text, value);
            text
        };
        let cases = [0.0, -0.0, 0.004, 0.1, -0.25, 3.0, 99.999, 100.4, 1e6, -1234.6, 20.07];
        assert_eq!(cases.map(told), ["0", "0", "0", "0.1", "-0.25", "3", "100", "100", "1000000", "-1235", "20.07"]);
    }
}
