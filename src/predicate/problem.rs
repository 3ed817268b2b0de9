//! What can be wrong with a predicate, and how it is shown.

/// What is wrong with a predicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredicateProblem {
    /// Not an expression of SQL.
    #[error("not a valid SQL predicate: {message}")]
    Syntax {
        /// What was expected and found.
        message: String,
        /// Line and column, both from 1, where known.
        at: Option<(usize, usize)>,
    },
    /// No such column.
    #[error("unknown column `{column}`")]
    UnknownColumn {
        /// The column as written.
        column: String,
        /// The most similar column.
        nearest: Option<String>,
        /// Whether it may be a feature, and no feature is among the columns.
        needs_features: bool,
        /// Whether it was written between double quotes, as text in other languages is.
        is_quoted: bool,
    },
    /// No such function.
    #[error("unknown function `{function}`")]
    UnknownFunction {
        /// The function as written.
        function: String,
        /// The functions there are.
        known: Vec<String>,
    },
    /// The predicate's value is not true or false.
    #[error("a predicate must be true or false, and this one is {found}")]
    NotBoolean {
        /// Type of its value.
        found: String,
    },
    /// Something that looks beyond its row.
    #[error("{what} is not allowed: a predicate must be a pure function of its row")]
    NotPure {
        /// What, with its name.
        what: String,
    },
    /// More than can be planned.
    #[error("a predicate has at most {limit} {rule}")]
    TooLarge {
        /// Of what.
        rule: &'static str,
        /// How many.
        limit: usize,
    },
    /// Types or expressions that do not fit.
    #[error("cannot be evaluated: {message}")]
    Unfit {
        /// What does not fit.
        message: String,
    },
}

impl PredicateProblem {
    /// What to type instead, literals in backticks.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownColumn { column, nearest, needs_features, is_quoted } => {
                let mut hints = Vec::new();
                hints.extend(nearest.iter().map(|nearest| format!("did you mean `{nearest}`?")));
                if *is_quoted {
                    hints.push(format!("text stands between single quotes: `'{column}'`"));
                }
                if *needs_features {
                    hints.push(
                        "if it is a feature, run `bellwether-score run … --with-features`: these scores hold none"
                            .into(),
                    );
                }
                hints
            }
            Self::UnknownFunction { known, .. } => vec![format!("the functions are {}", known.join(", "))],
            Self::NotBoolean { .. } => vec!["compare it with something, as in `churn_percentile >= 80`".into()],
            Self::NotPure { .. } => vec![
                "ranks and counts are columns of the scores (`churn_percentile`, `value_percentile`, …); \
                 the date is the column `as_of`"
                    .into(),
            ],
            Self::TooLarge { .. } => vec!["write long lists as `column IN ('a', 'b', …)`".into()],
            Self::Syntax { .. } | Self::Unfit { .. } => Vec::new(),
        }
    }
}

/// The predicate, and below the line at fault a caret where its fault is known.
pub(crate) fn show(predicate: &str, problem: &PredicateProblem) -> Vec<String> {
    let at = match problem {
        PredicateProblem::Syntax { at, .. } => *at,
        _ => None,
    };
    let mut shown = Vec::new();
    for (number, line) in predicate.lines().enumerate() {
        let prefix = if number == 0 { "where: " } else { "       " };
        shown.push(format!("{prefix}{line}"));
        if let Some((_, column)) = at.filter(|(at_line, _)| *at_line == number + 1) {
            shown.push(format!("       {}^", " ".repeat(column.saturating_sub(1))));
        }
    }
    shown
}
