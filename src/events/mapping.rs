//! Which column of the files is which of ours: as configured, otherwise by name and content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::schema::Role;
use super::times::Detected;

/// A role's column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// The files' name for it.
    pub column: String,
    /// Whether the configuration names it.
    pub is_configured: bool,
    /// How its times or numbers are written, where that had to be found out.
    pub style: Option<String>,
}

/// How the columns of the files become ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mapping {
    /// Roles that have a column; `unit_price` only where it makes the value.
    pub columns: BTreeMap<Role, Mapped>,
    /// Whether `value` is `unit_price` × `quantity`.
    pub value_is_price_times_quantity: bool,
    /// Every row's event where there is no event column.
    pub implied_event: Option<String>,
    /// That of rows with negative money or units, where it differs.
    pub negative_event: Option<String>,
    /// Time zone of times without an offset.
    pub timezone: String,
    /// Columns that nothing reads.
    pub unused: Vec<String>,
    /// What a person should look at.
    pub warnings: Vec<String>,
    #[serde(skip)]
    pub(crate) time_styles: BTreeMap<Role, Detected>,
    #[serde(skip)]
    pub(crate) decimal_comma: BTreeSet<Role>,
}

impl Mapping {
    /// Whether batches carry that role.
    pub fn has(&self, role: Role) -> bool {
        match role {
            Role::Value => self.columns.contains_key(&role) || self.value_is_price_times_quantity,
            role => self.columns.contains_key(&role),
        }
    }

    /// The mapping as a person reads it, one line a column.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for role in Role::ALL {
            let text = match self.columns.get(&role) {
                Some(_) if role == Role::UnitPrice => continue,
                Some(mapped) => {
                    let style = mapped.style.as_ref().map(|style| format!(", {style}")).unwrap_or_default();
                    let how = if mapped.is_configured { ", as configured" } else { "" };
                    let zone = if role == Role::Ts { format!(", in {}", self.timezone) } else { String::new() };
                    format!("`{}`{style}{zone}{how}", mapped.column)
                }
                None if role == Role::Value && self.value_is_price_times_quantity => {
                    let column = |role| self.columns.get(&role).map_or("", |mapped: &Mapped| mapped.column.as_str());
                    format!("`{}` \u{d7} `{}`", column(Role::UnitPrice), column(Role::Quantity))
                }
                None if role == Role::Event => {
                    let implied = self.implied_event.as_deref().unwrap_or_default();
                    match &self.negative_event {
                        Some(negative) => {
                            format!("none: every row is `{implied}`, with negative money or units `{negative}`")
                        }
                        None => format!("none: every row is `{implied}`"),
                    }
                }
                None => continue,
            };
            lines.push(format!("{:<12} {text}", role.name()));
        }
        if !self.unused.is_empty() {
            lines.push(format!("{:<12} {}", "not used", self.unused.join(", ")));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }

    /// The mapping as a paragraph of few lines: columns that already have our names are only listed.
    pub fn note(&self) -> String {
        const WIDTH: usize = 100;
        let mut parts = Vec::new();
        let mut named = Vec::new();
        for line in self.lines() {
            match line.split_once(' ').map(|(role, text)| (role, text.trim_start())) {
                Some(("warning:", _)) | None => {}
                Some((role, text)) if text == format!("`{role}`") => named.push(role.to_string()),
                Some(("not", text)) => parts.push(format!("not used: {}", text.trim_start_matches("used").trim())),
                Some((role, text)) => parts.push(format!("{role} = {text}")),
            }
        }
        if !named.is_empty() {
            parts.push(format!("as named: {}", named.join(", ")));
        }
        let mut text = String::from("columns:");
        let mut used = text.len();
        for part in parts {
            let width = part.chars().count() + 2;
            if used + width > WIDTH && used > "columns:".len() {
                text.push_str("\n        ");
                used = "columns:".len();
            }
            text.push_str(&format!(" {part};"));
            used += width;
        }
        text.pop();
        text
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
