//! One decision tree that a person can read.
//!
//! The tree is grown with linfa-trees on at most [`ReadableTree::max_sample`] rows, chosen by a stable hash of their
//! keys, and copied into nodes of our own. What it predicts is then estimated on *all* rows: a node with k positives
//! among its n rows has the rate
//!
//! ```text
//! rate = (k + m · rate of its parent) / (n + m)        m = 20 rows; at the root k / n, kept inside (0, 1)
//! ```
//!
//! so that small leaves lean on the branch they hang from.
//!
//! Missing values (`NaN`) are taken. For each feature, rows that miss it count as lower than every value, or as higher,
//! whichever end of the sample's values has a share of positives closer to theirs; a split may also part the missing
//! from the known. Where the sample never missed a feature, a missing value follows the branch with more of the
//! sample's rows.

mod grow;
mod rules;

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, ArrayView1, ArrayView2, ArrayViewMut1, Axis, Data, Ix1, Ix2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CHUNK_ROWS, FitError, check_classes, check_length, find_value, mix};

pub use rules::{Condition, Rule};

/// Rows that the parent's rate counts for. At 20, a leaf of 20 rows is half its own and one of 2000 is its own to 1 %.
const PARENT_ROWS: f64 = 20.0;

/// Depth beyond which nobody reads; also bounds the recursion.
const MAX_DEPTH: usize = 12;

/// Settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReadableTree {
    /// Questions on the way to a leaf at most, 0 to 12.
    pub max_depth: usize,
    /// Rows of the sample in a leaf at least, at least 1.
    pub min_leaf_rows: usize,
    /// Rows that the tree is grown on at most, at least 1. linfa-trees sorts and hashes each of their values at each node.
    pub max_sample: usize,
}

impl Default for ReadableTree {
    fn default() -> Self {
        Self { max_depth: 5, min_leaf_rows: 50, max_sample: 20_000 }
    }
}

/// The question of a node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Yes where the feature is at most the threshold, and where it is missing if `missing_is_yes`.
    AtMost {
        /// The threshold.
        threshold: f64,
        /// Where missing values go.
        missing_is_yes: bool,
    },
    /// Yes where the feature is missing.
    IsMissing,
}

/// Question and branches of a node that is no leaf.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Which feature, from 0.
    pub feature: usize,
    /// What is asked about it.
    pub question: Question,
    /// Of all rows at this node, those that miss the feature.
    pub missing_rows: u64,
    /// Index of the node where the answer is yes.
    pub yes: usize,
    /// Index of the node where it is no.
    pub no: usize,
}

/// A node with what all rows of the fit say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// How it is divided; `None` at a leaf.
    pub split: Option<Split>,
    /// Rows that come here.
    pub rows: u64,
    /// Positives among them.
    pub positives: u64,
    /// P(true) here, leaning on the parent; inside (0, 1).
    pub rate: f64,
}

/// A fitted tree: the root is node 0, and parents come before their children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTree")]
pub struct TreeModel {
    features: usize,
    nodes: Vec<Node>,
}

/// As read from a file, before it is known to be a tree.
#[derive(Deserialize)]
struct StoredTree {
    features: usize,
    nodes: Vec<Node>,
}

impl TryFrom<StoredTree> for TreeModel {
    type Error = &'static str;

    fn try_from(StoredTree { features, nodes }: StoredTree) -> Result<Self, Self::Error> {
        // Children after their parents, so that every walk ends.
        let leads_on = |at: usize, split: &Split| {
            split.feature < features && [split.yes, split.no].iter().all(|child| (at + 1..nodes.len()).contains(child))
        };
        if nodes.is_empty() || !nodes.iter().enumerate().all(|(at, node)| node.split.iter().all(|s| leads_on(at, s))) {
            return Err("the nodes are no tree");
        }
        Ok(Self { features, nodes })
    }
}

impl Split {
    /// The next node of a row.
    fn next(&self, value: f32) -> usize {
        let yes = match self.question {
            Question::IsMissing => value.is_nan(),
            Question::AtMost { missing_is_yes, .. } if value.is_nan() => missing_is_yes,
            Question::AtMost { threshold, .. } => f64::from(value) <= threshold,
        };
        if yes { self.yes } else { self.no }
    }
}

impl ReadableTree {
    /// The tree of n × p `features` (`NaN` where missing), n `labels` and n `keys`, by whose hash rows are sampled.
    ///
    /// # Errors
    /// Bad settings, lengths that differ, an infinity, no rows, no columns, one class only.
    pub fn fit_rows(&self, features: ArrayView2<f32>, labels: &[bool], keys: &[u64]) -> Result<TreeModel, FitError> {
        self.check()?;
        check_length("labels", features.nrows(), labels.len())?;
        check_length("keys", features.nrows(), keys.len())?;
        check_classes(labels, None)?;
        if features.ncols() == 0 {
            return Err(FitError::NoUsableFeatures { features: 0 });
        }
        if let Some((row, column, value)) = find_value(features, f32::is_infinite) {
            return Err(FitError::NonFinite { row, column, value: value.into() });
        }
        let sample = self.sample(keys);
        let splits = grow::grow(self, features.select(Axis(0), &sample).view(), &grow::pick(labels, &sample))?;
        let mut model = TreeModel {
            features: features.ncols(),
            nodes: splits.into_iter().map(|split| Node { split, rows: 0, positives: 0, rate: 0.0 }).collect(),
        };
        model.count(features, labels);
        model.estimate();
        Ok(model)
    }

    /// The rows with the least hashes of their keys, in order.
    fn sample(&self, keys: &[u64]) -> Vec<usize> {
        let mut rows: Vec<(u64, usize)> = keys.iter().enumerate().map(|(row, key)| (mix(*key), row)).collect();
        if rows.len() > self.max_sample {
            rows.select_nth_unstable(self.max_sample);
            rows.truncate(self.max_sample);
        }
        let mut rows: Vec<usize> = rows.into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable();
        rows
    }

    fn check(&self) -> Result<(), FitError> {
        let require = |ok, name, rule, got: usize| {
            if ok { Ok(()) } else { Err(FitError::BadParameter { name, rule, got: got as f64 }) }
        };
        require(self.max_depth <= MAX_DEPTH, "max_depth", "0 to 12", self.max_depth)?;
        require(self.min_leaf_rows > 0, "min_leaf_rows", "at least 1", self.min_leaf_rows)?;
        require(self.max_sample > 0, "max_sample", "at least 1", self.max_sample)
    }
}

impl TreeModel {
    /// The nodes; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of leaves.
    pub fn n_leaves(&self) -> usize {
        self.nodes.iter().filter(|node| node.split.is_none()).count()
    }

    /// P(true) of each row of n × p `features`, `NaN` where missing.
    ///
    /// # Errors
    /// Another width than at fitting, or an infinity.
    pub fn probabilities(&self, features: ArrayView2<f32>) -> Result<Array1<f64>, FitError> {
        if features.ncols() != self.features {
            return Err(FitError::WrongWidth { expected: self.features, got: features.ncols() });
        }
        if let Some((row, column, value)) = find_value(features, f32::is_infinite) {
            return Err(FitError::NonFinite { row, column, value: value.into() });
        }
        let mut probabilities = Array1::zeros(features.nrows());
        self.fill(features, probabilities.view_mut());
        Ok(probabilities)
    }

    /// One readable rule for each leaf, the highest rate first; `names` are those of the features.
    ///
    /// # Errors
    /// [`FitError::WrongWidth`] when there is not one name for each feature.
    pub fn rules(&self, names: &[String]) -> Result<Vec<Rule>, FitError> {
        if names.len() != self.features {
            return Err(FitError::WrongWidth { expected: self.features, got: names.len() });
        }
        Ok(rules::of(&self.nodes, names))
    }

    /// The leaf of a row.
    fn leaf(&self, row: ArrayView1<f32>) -> usize {
        let mut at = 0;
        while let Some(split) = &self.nodes[at].split {
            at = split.next(row[split.feature]);
        }
        at
    }

    fn fill(&self, features: ArrayView2<f32>, mut out: ArrayViewMut1<f64>) {
        let chunks = features.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter();
        out.axis_chunks_iter_mut(Axis(0), CHUNK_ROWS).into_par_iter().zip(chunks).for_each(|(mut out, rows)| {
            for (probability, row) in out.iter_mut().zip(rows.rows()) {
                *probability = self.nodes[self.leaf(row)].rate;
            }
        });
    }

    /// Counts all rows at all nodes.
    fn count(&mut self, features: ArrayView2<f32>, labels: &[bool]) {
        let counts: Vec<Vec<[u64; 3]>> = features
            .axis_chunks_iter(Axis(0), CHUNK_ROWS)
            .into_par_iter()
            .zip(labels.par_chunks(CHUNK_ROWS))
            .map(|(rows, labels)| {
                let mut counts = vec![[0u64; 3]; self.nodes.len()];
                for (row, label) in rows.rows().into_iter().zip(labels) {
                    let mut at = 0;
                    loop {
                        counts[at][0] += 1;
                        counts[at][1] += u64::from(*label);
                        let Some(split) = &self.nodes[at].split else { break };
                        counts[at][2] += u64::from(row[split.feature].is_nan());
                        at = split.next(row[split.feature]);
                    }
                }
                counts
            })
            .collect();
        for counts in counts {
            for (node, [rows, positives, missing]) in self.nodes.iter_mut().zip(counts) {
                node.rows += rows;
                node.positives += positives;
                if let Some(split) = &mut node.split {
                    split.missing_rows += missing;
                }
            }
        }
    }

    /// The rates, from the root down.
    fn estimate(&mut self) {
        let root = &mut self.nodes[0];
        root.rate = root.positives as f64 / root.rows as f64; // inside (0, 1): both classes are there
        for at in 0..self.nodes.len() {
            let Some(split) = self.nodes[at].split else { continue };
            let parent = self.nodes[at].rate;
            for child in [split.yes, split.no] {
                let node = &mut self.nodes[child];
                node.rate = (node.positives as f64 + PARENT_ROWS * parent) / (node.rows as f64 + PARENT_ROWS);
            }
        }
    }
}

impl<D: Data<Elem = f32>, L: Data<Elem = bool>> Fit<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>, FitError> for ReadableTree {
    type Object = TreeModel;

    /// As [`fit_rows`](ReadableTree::fit_rows) with the row numbers as keys. Data sets with weights are refused.
    fn fit(&self, data: &DatasetBase<ArrayBase<D, Ix2>, ArrayBase<L, Ix1>>) -> Result<TreeModel, FitError> {
        if data.weights().is_some() {
            return Err(FitError::WeightsUnsupported { estimator: "the readable tree" });
        }
        let keys: Vec<u64> = (0..data.records().nrows() as u64).collect();
        self.fit_rows(data.records().view(), &data.targets().to_vec(), &keys)
    }
}

impl<D: Data<Elem = f32>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for TreeModel {
    /// P(true) of each row.
    ///
    /// # Panics
    /// When the width or the number of rows differs, as linfa's own models do.
    fn predict_inplace(&self, features: &ArrayBase<D, Ix2>, probabilities: &mut Array1<f64>) {
        assert_eq!(features.ncols(), self.features, "columns at fitting and now");
        assert_eq!(features.nrows(), probabilities.len(), "rows and targets");
        self.fill(features.view(), probabilities.view_mut());
    }

    fn default_target(&self, features: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(features.nrows())
    }
}

#[cfg(test)]
mod tests;
