//! `category_scores/as_of=D/`: a long table of the scores by group, and how many customers are worth addressing.
//!
//! A target that is repeated by group (`per = "category"`) has a score column for each group; the long table has a row for
//! a customer and a group instead, in order of target, group and rank, so that the best of a group stand together. It
//! lies beside the partitions, in the same folder, and is replaced together with the one of its day.
//!
//! Not every pair has a row. A customer has one for their [`CategoryOptions::top`] best groups, and one for each group
//! where their score is at least [`CategoryOptions::lift`] times its mean. A share of at most `1 / lift` of the customers
//! can lie so high above a mean of what is never negative (Markov's inequality), so that there are on
//! average at most `top + groups / lift` rows a customer; and every suggested audience is in the table to its last member.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accounts;
use super::manifest::MANIFEST;
use crate::error::FileError;
use crate::report::format;
use crate::storage::seal;
use crate::time::Day;

/// Name of the folder, beside the partitions.
pub const FOLDER: &str = "category_scores";

/// Per cent of the customers who may be contacted, of whom an [`Audience`] tells what is expected.
pub(super) const SHARES: [u8; 6] = [1, 2, 5, 10, 20, 50];

/// Which rows the long table has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CategoryOptions {
    /// Best groups of each customer that have a row in any case.
    pub top: u16,
    /// Scores of at least so many times the mean of the group have one, too; they are the suggested audience.
    pub lift: f64,
}

impl Default for CategoryOptions {
    fn default() -> Self {
        Self { top: 5, lift: 2.0 }
    }
}

/// `manifest.json` of the long table of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoryManifest {
    /// First day of the predicted windows.
    pub as_of: Day,
    /// The bundle that made the predictions.
    pub bundle_id: String,
    /// Version of the meaning of the columns.
    pub schema_version: i32,
    /// Rows of the table.
    pub rows: u64,
    /// [`CategoryOptions::top`] of the run.
    pub top: u16,
    /// [`CategoryOptions::lift`] of the run.
    pub lift: f64,
    /// How many to address, for each group in the order of the score columns.
    pub audiences: Vec<Audience>,
    /// Rows that were taken out by `forget` after they had been written; the audiences are those of before.
    #[serde(default)]
    pub forgotten: u64,
    /// Name and BLAKE3 of the data file.
    pub files: BTreeMap<String, String>,
    /// Always true: the file is written last.
    pub complete: bool,
    /// BLAKE3 of all of the file that stands before it.
    #[serde(default)]
    pub seal: String,
}

/// How many customers to address about a group. Whoever is held out or excluded is in no audience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audience {
    /// Name of the target.
    pub target: String,
    /// The event that it is about.
    pub event: String,
    /// The group, as in the data.
    pub group: String,
    /// Its score column.
    pub column: String,
    /// Whether scores are probabilities; amounts or counts otherwise.
    pub is_probability: bool,
    /// Length of the predicted window in days.
    pub horizon_days: i32,
    /// Customers with a score.
    pub customers: u64,
    /// Those of them who are held out.
    pub held_out: u64,
    /// Those of the others who are excluded.
    pub excluded: u64,
    /// The rest, who may be contacted.
    pub addressable: u64,
    /// Mean score of all customers who have one: the base rate, where scores are probabilities.
    pub base: f64,
    /// Sum of the scores of those who may be contacted: how many of them are expected to do it, or how much.
    pub expected: f64,
    /// As long as one more customer is worth `lift` times the base; `None` of a base that is not above 0.
    pub suggested: Option<Best>,
    /// As few as are expected to make up half of `expected`; `None` when nothing is expected.
    pub half: Option<Best>,
    /// The best 1, 2, 5, 10, 20 and 50 % of those who may be contacted, by per cent.
    pub top_percent: BTreeMap<u8, Best>,
}

/// The customers of the highest scores: those with an `audience_rank` up to `customers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// How many.
    pub customers: u64,
    /// Score of the last of them; `None` of nobody.
    pub least: Option<f64>,
    /// Sum of their scores.
    pub expected: f64,
    /// Mean of their scores: the expected precision, where scores are probabilities.
    pub mean: Option<f64>,
    /// Mean ÷ base.
    pub lift: Option<f64>,
    /// Share of what is expected of everybody who may be contacted.
    pub captured: Option<f64>,
}

impl Best {
    /// The first `customers` of `scores`, which descend.
    pub(super) fn of(scores: &[f64], customers: usize, base: f64, total: f64) -> Self {
        let best = &scores[..customers];
        let expected: f64 = best.iter().sum();
        let mean = (!best.is_empty()).then(|| expected / best.len() as f64);
        Self {
            customers: best.len() as u64,
            least: best.last().copied(),
            expected,
            mean,
            lift: mean.filter(|_| base > 0.0).map(|mean| mean / base),
            captured: (total > 0.0).then(|| expected / total),
        }
    }
}

/// The long table of a day, below the folder of the partitions.
pub fn folder(out: &Path, as_of: Day) -> PathBuf {
    out.join(FOLDER).join(format!("as_of={as_of}"))
}

impl CategoryManifest {
    /// That of a day, below the folder of the partitions; `None` where there is none.
    ///
    /// # Errors
    /// A file that is there and cannot be read or understood, or is not what was written.
    pub fn load(out: &Path, as_of: Day) -> Result<Option<Self>, FileError> {
        Self::of_folder(&folder(out, as_of))
    }

    pub(super) fn of_folder(folder: &Path) -> Result<Option<Self>, FileError> {
        accounts::read_sealed(&folder.join(MANIFEST), |manifest: &Self| &manifest.seal)
    }

    /// Suggested audiences, for a terminal.
    pub fn to_text(&self) -> String {
        const GROUPS: usize = 10;
        let mut table = format::table(&["group", "base", "", "audience", "of", "expected", "of all"]);
        for audience in self.audiences.iter().take(GROUPS) {
            let suggested = audience.suggested.as_ref();
            let (unit, base) = match audience.is_probability {
                true => ("", format::percent(Some(audience.base))),
                false => ("a customer", format::amount(Some(audience.base))),
            };
            table.add_row([
                audience.group.clone(),
                base,
                unit.to_string(),
                suggested.map_or(format::MISSING.into(), |best| format::count(best.customers)),
                format::count(audience.addressable),
                format::amount(suggested.map(|best| best.expected)),
                format::percent(suggested.and_then(|best| best.captured)),
            ]);
        }
        let more = self.audiences.len().saturating_sub(GROUPS);
        let more = if more > 0 { format!("  … {more} more in manifest.json\n") } else { String::new() };
        let lift = self.lift;
        format!(
            "audiences: customers who are at least {lift} times as likely as usual, and what is expected of them\n{}\n{more}",
            table.trim_fmt()
        )
    }

    /// As a file, sealed.
    pub(super) fn sealed(&mut self) -> Vec<u8> {
        seal::sealed(self, |manifest| &mut manifest.seal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_counted_from_the_top() {
        let scores = [0.5, 0.25, 0.25, 0.0];
        let best = Best::of(&scores, 2, 0.25, 1.0);
        let expected = Best {
            customers: 2,
            least: Some(0.25),
            expected: 0.75,
            mean: Some(0.375),
            lift: Some(1.5),
            captured: Some(0.75),
        };
        assert_eq!(best, expected);
        let nobody = Best::of(&scores, 0, 0.0, 0.0);
        assert_eq!((nobody.customers, nobody.expected), (0, 0.0));
        assert_eq!([nobody.least, nobody.mean, nobody.lift, nobody.captured], [None; 4]);
    }
}
