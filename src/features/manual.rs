//! The catalogue for people: of a plan, or of an example that stands for all plans.

use comfy_table::{Table, presets};

use super::attributes::{Attribute, AttributeKind};
use super::catalogue::{Feature, Group, Kind, Plan};
use super::contact::{ContactPoint, Contacts};
use super::roles::{Begin, Roles};
use super::selection::Selection;
use crate::config::Config;
use crate::time::Day;

/// The plan of a shop whose kinds of events, categories and channels are placeholders.
pub fn example(config: &Config) -> Plan {
    let placeholder = |name: &str| Group { name: name.to_string(), slug: name.to_string() };
    let point = |slug: &str| ContactPoint { event: slug.to_string(), channel: None, slug: slug.to_string() };
    let order = &config.events.order_event;
    Plan {
        frozen_at: Day(0),
        kinds: vec![
            Kind { event: order.clone(), slug: super::slug(order), has_money: true },
            Kind { event: "<kind>".into(), slug: "<kind>".into(), has_money: true },
        ],
        categories: vec![placeholder("<category>")],
        channels: vec![placeholder("<channel>")],
        pairs: vec![(0, 0), (1, 0)],
        windows: config.features.windows.clone(),
        base_gap_days: super::catalogue::FALLBACK_GAP_DAYS,
        has_times: true,
        history_days: i32::MAX,
        session_minutes: config.features.session_minutes,
        roles: Roles {
            begins: vec![Begin { slug: "cart".into(), events: vec!["cart".into()], has_money: true }],
            failure: vec!["<failure>".into()],
            send: vec!["<send>".into()],
            open: vec!["<open>".into()],
            click: vec!["<click>".into()],
            responses_name_campaigns: true,
            orders_name_campaigns: true,
            ..Roles::default()
        },
        contacts: Contacts {
            points: vec![point("<contact_point>"), point("<other_contact_point>")],
            transitions: vec![1; 9],
            columns: vec![(0, 1)],
            has_devices: true,
        },
        numbers: vec![placeholder("<number>")],
        discount: Some("discount".into()),
        attributes: vec![
            Attribute {
                column: "<attribute>".into(),
                slug: "<attribute>".into(),
                kind: AttributeKind::Number,
                values: vec![],
            },
            Attribute {
                column: "<attribute>".into(),
                slug: "<attribute>".into(),
                kind: AttributeKind::Text,
                values: vec![placeholder("<value>")],
            },
        ],
        declared: config.feature.clone(),
        selection: Selection { include: vec!["*".into()], exclude: Vec::new() },
    }
}

/// A table of features: name, unit, family, source columns and definition.
pub fn table(features: &[Feature]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["feature", "unit", "family", "from", "definition"]);
    for feature in features {
        let row =
            [&feature.name, feature.unit.name(), &feature.family, &feature.columns.join(", "), feature.note.as_str()];
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim_end().to_string());
    lines.chain([String::new(), format!("{} features", features.len())]).collect::<Vec<String>>().join("\n")
}
