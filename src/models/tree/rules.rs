//! Leaves as sentences.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Node, Question, Split};

/// What a rule asks of one feature: the questions about it on the way to the leaf, taken together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the feature.
    pub feature: String,
    /// Above this.
    pub above: Option<f64>,
    /// At most this.
    pub at_most: Option<f64>,
    /// Whether missing values meet the condition.
    pub missing: bool,
    /// Whether known values can meet it.
    pub known: bool,
    /// Whether any row of the fit missed the feature at one of those questions.
    pub missing_seen: bool,
}

/// A leaf in words: who is in it, and how often it happened to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// All must hold; none means everyone.
    pub conditions: Vec<Condition>,
    /// P(true) in the leaf, as the tree predicts it.
    pub rate: f64,
    /// Rows of the fit in the leaf.
    pub rows: u64,
    /// Positives among them.
    pub positives: u64,
}

/// One rule for each leaf, the highest rate first.
pub(super) fn of(nodes: &[Node], names: &[String]) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut waiting = vec![(0usize, Vec::<(usize, Condition)>::new())];
    while let Some((at, conditions)) = waiting.pop() {
        let node = &nodes[at];
        let Some(split) = &node.split else {
            let conditions = conditions.into_iter().map(|(_, condition)| condition).collect();
            rules.push(Rule { conditions, rate: node.rate, rows: node.rows, positives: node.positives });
            continue;
        };
        waiting.push((split.no, narrowed(&conditions, split, false, names)));
        waiting.push((split.yes, narrowed(&conditions, split, true, names)));
    }
    rules.sort_by(|a, b| b.rate.total_cmp(&a.rate)); // stable: leaves from left to right inside a tie
    rules
}

/// The conditions after one more answer.
fn narrowed(conditions: &[(usize, Condition)], split: &Split, yes: bool, names: &[String]) -> Vec<(usize, Condition)> {
    let mut conditions = conditions.to_vec();
    let place = conditions.iter().position(|(feature, _)| *feature == split.feature).unwrap_or_else(|| {
        let feature = names[split.feature].clone();
        let fresh = Condition { feature, above: None, at_most: None, missing: true, known: true, missing_seen: false };
        conditions.push((split.feature, fresh));
        conditions.len() - 1
    });
    let condition = &mut conditions[place].1;
    condition.missing_seen |= split.missing_rows > 0;
    match split.question {
        Question::IsMissing => {
            condition.missing &= yes;
            condition.known &= !yes;
        }
        Question::AtMost { threshold, missing_is_yes } => {
            condition.missing &= missing_is_yes == yes;
            if yes {
                condition.at_most = Some(condition.at_most.map_or(threshold, |bound| bound.min(threshold)));
            } else {
                condition.above = Some(condition.above.map_or(threshold, |bound| bound.max(threshold)));
            }
        }
    }
    conditions
}

impl fmt::Display for Condition {
    /// `orders <= 2`, `63 < days <= 90`, `(gap > 3 or missing)`, `gap is missing`, `gap is known`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feature = &self.feature;
        if !self.known {
            return write!(f, "{feature} is missing");
        }
        let text = match (self.above, self.at_most) {
            (None, None) => return write!(f, "{feature} is known"),
            (Some(above), None) => format!("{feature} > {above}"),
            (None, Some(at_most)) => format!("{feature} <= {at_most}"),
            (Some(above), Some(at_most)) => format!("{above} < {feature} <= {at_most}"),
        };
        if self.missing && self.missing_seen { write!(f, "({text} or missing)") } else { f.write_str(&text) }
    }
}

impl fmt::Display for Rule {
    /// `days_since_last_order > 63 and orders <= 2 → 81 % (4,210 customers)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.conditions.is_empty() {
            f.write_str("everyone")?;
        }
        for (i, condition) in self.conditions.iter().enumerate() {
            write!(f, "{}{condition}", if i > 0 { " and " } else { "" })?;
        }
        let percent = 100.0 * self.rate;
        // Below 10 % and above 90 % a whole per cent is a large part of what matters.
        let digits = usize::from(!(10.0..=90.0).contains(&percent));
        let noun = if self.rows == 1 { "customer" } else { "customers" };
        write!(f, " → {percent:.digits$} % ({} {noun})", grouped(self.rows))
    }
}

/// 4210 as `4,210`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_sentences() {
        let condition = |feature: &str, above, at_most, missing, known| Condition {
            feature: feature.into(),
            above,
            at_most,
            missing,
            known,
            missing_seen: true,
        };
        let rule = Rule {
            conditions: vec![
                condition("days_since_last_order", Some(63.0), None, false, true),
                condition("orders", None, Some(2.0), false, true),
            ],
            rate: 0.8123,
            rows: 4210,
            positives: 3420,
        };
        assert_eq!(rule.to_string(), "days_since_last_order > 63 and orders <= 2 → 81 % (4,210 customers)");
        let everyone = Rule { conditions: vec![], rate: 0.0123, rows: 1, positives: 0 };
        assert_eq!(everyone.to_string(), "everyone → 1.2 % (1 customer)");
        assert_eq!(condition("gap", Some(1.0), Some(2.5), true, true).to_string(), "(1 < gap <= 2.5 or missing)");
        assert_eq!(condition("gap", None, None, true, false).to_string(), "gap is missing");
        assert_eq!(condition("gap", None, None, false, true).to_string(), "gap is known");
        assert_eq!(["7", "1,000", "12,345,678"], [7, 1000, 12_345_678].map(grouped)[..]);
    }
}
