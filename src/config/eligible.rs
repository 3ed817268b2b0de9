//! Who a target is about: comparisons of feature columns with numbers, joined by AND.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a feature is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

const OPERATORS: [(&str, Operator); 7] = [
    // Two-character signs first: `<` also begins `<=`.
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!=", Operator::NotEqual),
    ("<>", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
];

/// `feature operator number`; false where the feature is missing, as in SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Feature column.
    pub feature: String,
    operator: Operator,
    number: f64,
}

impl Comparison {
    /// Whether a feature's value meets it.
    pub fn holds(&self, value: f32) -> bool {
        let (value, number) = (f64::from(value), self.number);
        match self.operator {
            Operator::Less => value < number,
            Operator::LessOrEqual => value <= number,
            Operator::Greater => value > number,
            Operator::GreaterOrEqual => value >= number,
            Operator::Equal => value == number,
            Operator::NotEqual => !value.is_nan() && value != number,
        }
    }
}

/// Comparisons that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Eligible {
    text: String,
    comparisons: Vec<Comparison>,
}

/// A rule that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`eligible` must be comparisons such as \"purchases >= 1 AND tenure_days >= 30\", got `{part}`")]
pub struct EligibleError {
    part: String,
}

impl Eligible {
    /// What must hold.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }
}

impl FromStr for Eligible {
    type Err = EligibleError;

    fn from_str(text: &str) -> Result<Self, EligibleError> {
        let mut comparisons = Vec::new();
        let words: Vec<&str> = text.split_whitespace().collect();
        for part in words.split(|word| word.eq_ignore_ascii_case("and")) {
            let part = part.join(" ");
            let bad = || EligibleError { part: part.clone() };
            let (sign, operator) = OPERATORS.into_iter().find(|(sign, _)| part.contains(sign)).ok_or_else(bad)?;
            let (feature, number) = part.split_once(sign).ok_or_else(bad)?;
            let feature = feature.trim();
            let number: f64 = number.trim().parse().map_err(|_| bad())?;
            if feature.is_empty() || feature.contains(char::is_whitespace) || !number.is_finite() {
                return Err(bad());
            }
            comparisons.push(Comparison { feature: feature.to_string(), operator, number });
        }
        Ok(Self { text: text.to_string(), comparisons })
    }
}

impl fmt::Display for Eligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Eligible {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Eligible {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_hold_as_in_sql() {
        let rule: Eligible = "purchases >= 2 and tenure_days<30".parse().unwrap();
        let [purchases, tenure] = rule.comparisons() else { panic!("two comparisons") };
        assert!(purchases.holds(2.0) && !purchases.holds(1.0) && !purchases.holds(f32::NAN));
        assert!(tenure.holds(29.5) && !tenure.holds(30.0));
        let differs: Eligible = "views != 3".parse().unwrap();
        assert!(!differs.comparisons()[0].holds(f32::NAN), "missing is not different");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "purchases", "purchases >=", ">= 1", "purchases >= one", "a b > 1", "x > 1 AND", "x > inf"] {
            assert!(text.parse::<Eligible>().is_err(), "{text}");
        }
    }
}
