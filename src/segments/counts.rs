//! What came of an evaluation: counts, movements and overlaps, for people and for programs.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use super::criteria::{Segment, Segments};
use crate::time::Day;

/// Overlaps printed at most; the manifest has all.
const PRINTED_OVERLAPS: usize = 10;

/// Counts of one date's segments; the content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentCounts {
    /// The date of the scores.
    pub as_of: Day,
    /// Customers in the score partition.
    pub customers: u64,
    /// Customers without any segment; 0 where one catches everyone else.
    pub in_no_segment: u64,
    /// Rows of `memberships.parquet`.
    pub memberships: u64,
    /// In the order of `segments.toml`.
    pub segments: Vec<SegmentCount>,
    /// Customers in both of two segments, rows and columns in the order of `segments`; symmetric, with each
    /// segment's own count on the diagonal.
    pub overlaps: Vec<Vec<u64>>,
    /// The newest complete earlier date in the same folder, with which entries and exits are counted.
    pub previous: Option<Previous>,
    /// blake3 of `segments.toml`.
    pub segments_hash: String,
    /// blake3 of the score partition's `manifest.json`.
    pub scores_hash: String,
}

/// Count of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentCount {
    /// As declared.
    #[serde(flatten)]
    pub segment: Segment,
    /// Customers in it.
    pub customers: u64,
    /// Customers in it who were not on the previous date; missing when there is none or it lacks the segment.
    pub entries: Option<u64>,
    /// Customers who were in it on the previous date and are no longer.
    pub exits: Option<u64>,
    /// Whether its criterion differs from the previous date's, so that entries and exits tell of that, too.
    pub redefined: Option<bool>,
}

/// An earlier date of the same folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previous {
    /// Which.
    pub as_of: Day,
    /// Its segments that are declared no longer.
    pub dropped: Vec<String>,
}

/// What a former manifest is read for.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) complete: bool,
    pub(super) as_of: Day,
    pub(super) segments: Vec<ManifestSegment>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ManifestSegment {
    pub(super) name: String,
    #[serde(rename = "where")]
    pub(super) predicate: Option<String>,
}

impl SegmentCounts {
    /// Nothing counted yet.
    pub(super) fn empty(segments: &Segments, as_of: Day, scores_hash: String) -> Self {
        let count = |segment: &Segment| SegmentCount {
            segment: segment.clone(),
            customers: 0,
            entries: None,
            exits: None,
            redefined: None,
        };
        let n = segments.list().len();
        Self {
            as_of,
            customers: 0,
            in_no_segment: 0,
            memberships: 0,
            segments: segments.list().iter().map(count).collect(),
            overlaps: vec![vec![0; n]; n],
            previous: None,
            segments_hash: segments.hash().to_string(),
            scores_hash,
        }
    }

    /// As written to `manifest.json`.
    pub(super) fn to_manifest(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Written<'a> {
            format: u32,
            complete: bool,
            #[serde(flatten)]
            counts: &'a SegmentCounts,
        }
        let mut json = serde_json::to_vec_pretty(&Written { format: 1, complete: true, counts: self })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Tables for a terminal: a row for each segment, then the largest overlaps.
    pub fn to_text(&self) -> String {
        let share = |count: u64| match self.customers {
            0 => String::new(),
            customers => format!("{:.1} %", 100.0 * count as f64 / customers as f64),
        };
        let number = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
        let mut table = plain_table(&["segment", "customers", "share", "entries", "exits", "campaign", "priority"]);
        for count in &self.segments {
            let segment = &count.segment;
            table.add_row(vec![
                segment.name.clone(),
                count.customers.to_string(),
                share(count.customers),
                number(count.entries),
                number(count.exits),
                segment.campaign.clone().unwrap_or_default(),
                segment.priority.map(|priority| priority.to_string()).unwrap_or_default(),
            ]);
        }
        let none = self.in_no_segment;
        table.add_row(vec!["(no segment)".to_string(), none.to_string(), share(none)]);
        align(&mut table, &[1, 2, 3, 4, 6]);
        let mut text = format!("segments of {}: {} customers\n{table}\n", self.as_of, self.customers);
        match &self.previous {
            Some(previous) => {
                let _ = writeln!(text, "Entries and exits are since {}.", previous.as_of);
                let redefined: Vec<&str> = self
                    .segments
                    .iter()
                    .filter(|count| count.redefined == Some(true))
                    .map(|count| count.segment.name.as_str())
                    .collect();
                if !redefined.is_empty() {
                    let _ = writeln!(text, "Criteria that differ from then: {}.", redefined.join(", "));
                }
                if !previous.dropped.is_empty() {
                    let _ = writeln!(text, "Segments that are no longer declared: {}.", previous.dropped.join(", "));
                }
            }
            None => text.push_str("There is no earlier date to count entries and exits from.\n"),
        }
        let mut pairs = Vec::new();
        for (first, row) in self.overlaps.iter().enumerate() {
            pairs.extend(row.iter().enumerate().skip(first + 1).map(|(second, &both)| (both, first, second)));
        }
        pairs.retain(|&(both, _, _)| both > 0);
        pairs.sort_by_key(|&(both, first, second)| (std::cmp::Reverse(both), first, second));
        if !pairs.is_empty() {
            let mut table = plain_table(&["in both", "and", "customers"]);
            for &(both, first, second) in pairs.iter().take(PRINTED_OVERLAPS) {
                let name = |position: usize| self.segments[position].segment.name.clone();
                table.add_row(vec![name(first), name(second), both.to_string()]);
            }
            align(&mut table, &[2]);
            let _ = writeln!(text, "{table}");
            if pairs.len() > PRINTED_OVERLAPS {
                let _ = writeln!(text, "{} smaller overlaps are in `manifest.json`.", pairs.len() - PRINTED_OVERLAPS);
            }
        }
        text
    }
}

fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    table
}

fn align(table: &mut Table, right: &[usize]) {
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
