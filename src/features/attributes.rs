//! What is known of a customer beside the events, at `as_of`?

use serde::{Deserialize, Serialize};

use super::catalogue::{Declarations, Group, Plan, Unit, most_frequent, slugs};
use super::sweep::Row;
use crate::timeline::AttributeColumn;

/// A text that fewer customers have is rare: it is counted together with the others.
const FEWEST_CUSTOMERS: u64 = 10;

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeKind {
    /// A number, which is a feature as it is.
    Number,
    /// True or false, which is a feature as it is: 1 or 0.
    Flag,
    /// Text, of which each frequent value is a feature.
    Text,
}

/// An attribute that has features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// As the file calls it.
    pub column: String,
    /// As in column names.
    pub slug: String,
    /// What it holds.
    pub kind: AttributeKind,
    /// Texts that have a column each, most frequent first.
    pub values: Vec<Group>,
}

/// The attributes of some timelines; `counts` tells how many customers have each text. A column of texts that are all
/// rare, such as names, is left out.
pub(super) fn chosen(columns: &[AttributeColumn], counts: &[Vec<u64>], most: usize) -> Vec<Attribute> {
    let named = slugs(columns.iter().map(|column| column.name.as_str()));
    let attribute = |((column, group), counts): ((&AttributeColumn, Group), &Vec<u64>)| {
        let frequent = |count: &u64| if *count < FEWEST_CUSTOMERS { 0 } else { *count };
        let counts: Vec<u64> = counts.iter().map(frequent).collect();
        let values = most_frequent(&counts, &column.texts, most);
        Attribute {
            column: group.name,
            slug: group.slug,
            kind: column.kind,
            values: slugs(values.into_iter().map(|code| column.texts[code].as_str())),
        }
    };
    let attributes = columns.iter().zip(named).zip(counts).map(attribute);
    attributes.filter(|attribute| attribute.kind != AttributeKind::Text || !attribute.values.is_empty()).collect()
}

pub(super) fn declare(plan: &Plan, declarations: &mut Declarations) {
    for Attribute { column, slug, kind, values } in &plan.attributes {
        declarations.family("attributes", &[&format!("attributes.{column}")]);
        let name = format!("attribute_{slug}");
        match kind {
            AttributeKind::Number => {
                let note = format!("`{column}` of the customer, as known at `as_of`; missing without one.");
                declarations.add(name, Unit::Number, note);
            }
            AttributeKind::Flag => {
                let note =
                    format!("1 where `{column}` of the customer is true, as known at `as_of`; missing without one.");
                declarations.add(name, Unit::Flag, note);
            }
            AttributeKind::Text => {
                for value in values {
                    let note = format!("1 where `{column}` of the customer is `{}`, as known at `as_of`.", value.name);
                    declarations.add(format!("{name}_{}", value.slug), Unit::Flag, note);
                }
                let note = format!("1 where `{column}` of the customer is a rare value, as known at `as_of`.");
                declarations.add(format!("{name}_other"), Unit::Flag, note);
                let note = format!("1 where no `{column}` of the customer is known at `as_of`.");
                declarations.add(format!("{name}_missing"), Unit::Flag, note);
            }
        }
    }
}

/// Index of a text that has no column.
const RARE: u16 = u16::MAX;

/// Where the timelines keep an attribute, and what its codes mean.
struct Column {
    /// `None` where these data lack it.
    position: Option<usize>,
    /// Number of texts with columns; `None` for a number.
    texts: Option<usize>,
    /// Index among the texts with columns by code.
    of_code: Vec<u16>,
}

/// The plan's attributes made ready for the codes of one set of timelines.
#[derive(Default)]
pub(super) struct Columns(Vec<Column>);

impl Columns {
    pub(super) fn new(plan: &Plan, columns: &[AttributeColumn]) -> Self {
        let of = |attribute: &Attribute| {
            let is_text = attribute.kind == AttributeKind::Text;
            let is_it = |column: &AttributeColumn| {
                column.name == attribute.column && (column.kind == AttributeKind::Text) == is_text
            };
            let position = columns.iter().position(is_it);
            let index = |text: &String| {
                let index = attribute.values.iter().position(|value| value.name == *text);
                index.map_or(RARE, |index| index as u16)
            };
            let of_code = position.map(|at| columns[at].texts.iter().map(index).collect()).unwrap_or_default();
            Column { position, texts: is_text.then_some(attribute.values.len()), of_code }
        };
        Self(plan.attributes.iter().map(of).collect())
    }
}

/// Nothing is kept of the events.
#[derive(Default)]
pub(super) struct State;

impl State {
    /// `known` is the row in force, a number or a code for each column of the timelines; NaN where there is none.
    pub(super) fn emit(&self, columns: &Columns, known: Option<&[f64]>, row: &mut Row) {
        for column in &columns.0 {
            let value = known.zip(column.position).map_or(f64::NAN, |(known, at)| known[at]);
            let Some(texts) = column.texts else {
                row.push(value);
                continue;
            };
            let index = if value.is_nan() { None } else { Some(column.of_code[value as usize]) };
            for text in 0..texts as u16 {
                row.push(f64::from(u8::from(index == Some(text))));
            }
            row.push(f64::from(u8::from(index == Some(RARE))));
            row.push(f64::from(u8::from(index.is_none())));
        }
    }
}
