//! Which features are wanted: patterns over their names.

use glob::Pattern;
use serde::{Deserialize, Serialize};

use super::catalogue::Feature;
use crate::config::nearest;
use crate::error::{ExitCode, Explain};

/// Names that are wanted, by patterns as of files (`*`, `?`, `[a-z]`); part of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// A feature that none of these matches is left out.
    pub include: Vec<String>,
    /// A feature that one of these matches is left out, too.
    pub exclude: Vec<String>,
}

/// Patterns that do not fit the catalogue.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectionError {
    /// A pattern without a feature.
    #[error("`[features] {key}` has the pattern \"{pattern}\", which matches no feature of these data")]
    NoMatch {
        /// `include` or `exclude`.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// The most similar feature.
        nearest: Option<String>,
    },
    /// The catalogue has a feature of that name.
    #[error("the declared feature `{name}` has the name of a feature that is there anyway")]
    Taken {
        /// The name.
        name: String,
    },
    /// Every feature is left out.
    #[error("`[features] include` and `exclude` leave none of {features} features")]
    NothingLeft {
        /// How many there are.
        features: usize,
    },
}

impl Explain for SelectionError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was fitted and nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        let list = "`bellwether-train features --events …` prints every feature of the data".to_string();
        match self {
            Self::NoMatch { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?"), list],
            Self::Taken { .. } => vec!["give it another name, or take the one that is there".into(), list],
            Self::NoMatch { .. } | Self::NothingLeft { .. } => vec![list],
        }
    }
}

/// Whether a text can be read as a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    Pattern::new(text).is_ok()
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text).expect("checked when the configuration was read")).collect()
}

impl Selection {
    /// Exactly these.
    pub(super) fn only(names: &[&str]) -> Self {
        Self { include: names.iter().map(|name| Pattern::escape(name)).collect(), exclude: Vec::new() }
    }

    /// Whether each of some features is wanted.
    pub(super) fn wants(&self, features: &[Feature]) -> Vec<bool> {
        let (include, exclude) = (patterns(&self.include), patterns(&self.exclude));
        let any = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        features.iter().map(|feature| any(&include, &feature.name) && !any(&exclude, &feature.name)).collect()
    }

    /// # Errors
    /// A pattern that matches none of the features; nothing left of them.
    pub(super) fn check(&self, features: &[Feature]) -> Result<(), SelectionError> {
        for (key, texts) in [("include", &self.include), ("exclude", &self.exclude)] {
            for (text, pattern) in texts.iter().zip(patterns(texts)) {
                if !features.iter().any(|feature| pattern.matches(&feature.name)) {
                    let plain: String = text.chars().filter(|c| !"*?[]!".contains(*c)).collect();
                    let nearest = nearest(&plain, features.iter().map(|feature| feature.name.as_str()));
                    return Err(SelectionError::NoMatch { key, pattern: text.clone(), nearest });
                }
            }
        }
        self.check_any(features)
    }

    /// # Errors
    /// Nothing left of some features.
    pub(crate) fn check_any(&self, features: &[Feature]) -> Result<(), SelectionError> {
        if self.wants(features).contains(&true) {
            Ok(())
        } else {
            Err(SelectionError::NothingLeft { features: features.len() })
        }
    }
}
