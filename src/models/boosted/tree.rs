//! A fitted tree of raw values, and how a row finds its leaf.

use serde::{Deserialize, Serialize};

use super::cuts::category;

/// Magnitude up to which LightGBM takes a value for zero (`kZeroThreshold`).
const ZERO: f64 = 1e-35f32 as f64;

/// Where a branch leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// To another split, by its index.
    Split(usize),
    /// To a leaf, by its index.
    Leaf(usize),
}

/// The question of a split; a yes leads left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether the value is at most this.
    AtMost(f64),
    /// Whether the category is one of these (ascending). Missing ones are not.
    OneOf(Vec<u32>),
}

/// What counts as missing at a numeric split, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// `NaN` goes left.
    Left,
    /// `NaN` goes right.
    Right,
    /// `NaN` is read as 0; only in models that LightGBM fitted.
    IsZero,
    /// 0 counts as `NaN` does, and both go left; only in models that LightGBM fitted.
    ZeroLeft,
    /// 0 counts as `NaN` does, and both go right; only in models that LightGBM fitted.
    ZeroRight,
}

/// A node with two branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Column, from 0.
    pub feature: usize,
    /// What is asked of it.
    pub question: Question,
    /// What happens where it is missing; without meaning at a question about categories, whose answer is then no.
    pub missing: Missing,
    /// Branches of yes and no.
    pub children: [Child; 2],
    /// By how much the split lowered the loss in its second-order approximation, twice.
    pub gain: f64,
    /// Rows of the fit that came here.
    pub rows: u64,
    /// Sum of their hessians.
    pub hessian: f64,
}

/// The end of a branch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leaf {
    /// What the tree adds to the raw score.
    pub value: f64,
    /// Rows of the fit that came here.
    pub rows: u64,
    /// Sum of their hessians.
    pub hessian: f64,
}

/// A fitted tree. The first split is the root; a tree without splits has one leaf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTree", into = "StoredTree")]
pub struct Tree {
    splits: Vec<Split>,
    leaves: Vec<Leaf>,
}

/// As in files: a list for each property, as LightGBM has it. A child below 0 is leaf -1 - child.
#[derive(Serialize, Deserialize)]
struct StoredTree {
    feature: Vec<usize>,
    question: Vec<Question>,
    missing: Vec<Missing>,
    left: Vec<i64>,
    right: Vec<i64>,
    gain: Vec<f64>,
    rows: Vec<u64>,
    hessian: Vec<f64>,
    leaf_value: Vec<f64>,
    leaf_rows: Vec<u64>,
    leaf_hessian: Vec<f64>,
}

impl From<Tree> for StoredTree {
    fn from(Tree { splits, leaves }: Tree) -> Self {
        let child = |side: usize| splits.iter().map(|split| split.children[side].number()).collect();
        Self {
            feature: splits.iter().map(|split| split.feature).collect(),
            question: splits.iter().map(|split| split.question.clone()).collect(),
            missing: splits.iter().map(|split| split.missing).collect(),
            left: child(0),
            right: child(1),
            gain: splits.iter().map(|split| split.gain).collect(),
            rows: splits.iter().map(|split| split.rows).collect(),
            hessian: splits.iter().map(|split| split.hessian).collect(),
            leaf_value: leaves.iter().map(|leaf| leaf.value).collect(),
            leaf_rows: leaves.iter().map(|leaf| leaf.rows).collect(),
            leaf_hessian: leaves.iter().map(|leaf| leaf.hessian).collect(),
        }
    }
}

impl TryFrom<StoredTree> for Tree {
    type Error = &'static str;

    fn try_from(stored: StoredTree) -> Result<Self, Self::Error> {
        let n = stored.feature.len();
        let lengths = [
            stored.question.len(),
            stored.missing.len(),
            stored.left.len(),
            stored.right.len(),
            stored.gain.len(),
            stored.rows.len(),
            stored.hessian.len(),
        ];
        let leaves = stored.leaf_value.len();
        if lengths.iter().any(|length| *length != n)
            || stored.leaf_rows.len() != leaves
            || stored.leaf_hessian.len() != leaves
        {
            return Err("the lists of a tree differ in length");
        }
        let splits = (0..n)
            .map(|at| Split {
                feature: stored.feature[at],
                question: stored.question[at].clone(),
                missing: stored.missing[at],
                children: [Child::of(stored.left[at]), Child::of(stored.right[at])],
                gain: stored.gain[at],
                rows: stored.rows[at],
                hessian: stored.hessian[at],
            })
            .collect();
        let leaf =
            |at| Leaf { value: stored.leaf_value[at], rows: stored.leaf_rows[at], hessian: stored.leaf_hessian[at] };
        Self::new(splits, (0..leaves).map(leaf).collect())
    }
}

impl Child {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Split(at) => at as i64,
            Self::Leaf(at) => -1 - at as i64,
        }
    }

    pub(super) fn of(number: i64) -> Self {
        if number < 0 { Self::Leaf((-1 - number) as usize) } else { Self::Split(number as usize) }
    }
}

impl Split {
    /// Whether a row goes left.
    pub(super) fn is_left(&self, value: f64) -> bool {
        let threshold = match &self.question {
            Question::OneOf(categories) => {
                return category(value).is_some_and(|category| categories.binary_search(&category).is_ok());
            }
            Question::AtMost(threshold) => *threshold,
        };
        let is_zero = value.abs() <= ZERO;
        match self.missing {
            Missing::Left => value.is_nan() || value <= threshold,
            Missing::Right => value <= threshold,
            Missing::IsZero => (if value.is_nan() { 0.0 } else { value }) <= threshold,
            Missing::ZeroLeft => value.is_nan() || is_zero || value <= threshold,
            Missing::ZeroRight => !is_zero && value <= threshold,
        }
    }
}

impl Tree {
    /// Only what is a tree: every split and leaf is the child of one split, and comes after it.
    pub(super) fn new(splits: Vec<Split>, leaves: Vec<Leaf>) -> Result<Self, &'static str> {
        const NO_TREE: &str = "the nodes are no tree";
        if leaves.len() != splits.len() + 1 {
            return Err(NO_TREE);
        }
        let (mut split_seen, mut leaf_seen) = (vec![false; splits.len()], vec![false; leaves.len()]);
        for (at, split) in splits.iter().enumerate() {
            for child in split.children {
                let seen = match child {
                    Child::Split(child) if child <= at => return Err(NO_TREE),
                    Child::Split(child) => split_seen.get_mut(child),
                    Child::Leaf(child) => leaf_seen.get_mut(child),
                };
                match seen {
                    Some(seen) if !*seen => *seen = true,
                    _ => return Err(NO_TREE),
                }
            }
        }
        Ok(Self { splits, leaves })
    }

    /// The splits; the first is the root.
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// The leaves.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub(super) fn root(&self) -> Child {
        if self.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) }
    }

    /// The leaf of a row whose columns are given by `value`.
    pub(super) fn leaf_of(&self, value: impl Fn(usize) -> f64) -> usize {
        let mut at = self.root();
        loop {
            match at {
                Child::Leaf(leaf) => return leaf,
                Child::Split(split) => {
                    let split = &self.splits[split];
                    at = split.children[usize::from(!split.is_left(value(split.feature)))];
                }
            }
        }
    }

    /// Questions on the longest way to a leaf.
    pub(super) fn depth(&self) -> usize {
        let mut depths = vec![0; self.splits.len()];
        let mut deepest = 0;
        for (at, split) in self.splits.iter().enumerate() {
            let depth = depths[at] + 1;
            deepest = deepest.max(depth);
            for child in split.children {
                if let Child::Split(child) = child {
                    depths[child] = depth;
                }
            }
        }
        deepest
    }

    pub(super) fn add_to_leaves(&mut self, constant: f64) {
        self.leaves.iter_mut().for_each(|leaf| leaf.value += constant);
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.leaves.iter_mut().for_each(|leaf| leaf.value *= factor);
    }

    /// Gives the leaves other values.
    pub(super) fn set_values(&mut self, values: &[f64]) {
        self.leaves.iter_mut().zip(values).for_each(|(leaf, value)| leaf.value = *value);
    }
}
