//! What each feature adds to a row's raw score.
//!
//! Exact: SHAP values of each tree, where a feature that is not known sends a row down both branches in proportion to the
//! rows of the fit that went there (path-dependent TreeSHAP: Lundberg, Erion & Lee 2018, arXiv:1802.03888, algorithm 2). Fast: the change
//! of the expected score from node to node, given to the feature that was asked about (Saabas 2014). Both sum to the score;
//! only the first treats features alike whatever their depth.

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;

use super::model::BoostedModel;
use super::tree::{Child, Tree};
use crate::models::FitError;

/// Rows that one task explains.
const TASK_ROWS: usize = 64;

/// Rows that a leaf counts for at least: one that no row of the fit reached still has a share, so that nothing is divided by 0.
const LEAST_ROWS: f64 = 1e-3;

/// A feature on the way from the root, in the paper's terms: `zero` is the share of the rows that would come this far if the
/// feature were unknown, `one` is 1 where this row does, and `weight` that of the subsets of as many features as its place says.
#[derive(Debug, Clone, Copy)]
struct Step {
    feature: usize,
    zero: f64,
    one: f64,
    weight: f64,
}

/// Of each split, the mean of the leaves below by their rows.
pub(super) fn node_means(tree: &Tree) -> Vec<f64> {
    let mut means = vec![0.0; tree.splits().len()];
    for at in (0..means.len()).rev() {
        let children = tree.splits()[at].children;
        let [a, b] = children.map(|child| rows_at(tree, child));
        let [left, right] = children.map(|child| mean_at(tree, &means, child));
        means[at] = (a * left + b * right) / (a + b);
    }
    means
}

fn mean_at(tree: &Tree, means: &[f64], child: Child) -> f64 {
    match child {
        Child::Split(at) => means[at],
        Child::Leaf(at) => tree.leaves()[at].value,
    }
}

fn rows_at(tree: &Tree, child: Child) -> f64 {
    match child {
        Child::Split(at) => (tree.splits()[at].rows as f64).max(LEAST_ROWS),
        Child::Leaf(at) => (tree.leaves()[at].rows as f64).max(LEAST_ROWS),
    }
}

impl BoostedModel {
    /// Exact contributions, n × (p + 1): SHAP values of each column, then the expected raw score of the rows of the fit. A
    /// row's sum is its raw score.
    ///
    /// # Errors
    /// Another width than at fitting, or an infinity.
    pub fn contributions(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        self.explain(rows, |tree, _, row, out| shap(tree, row, out))
    }

    /// Approximate contributions (Saabas), n × (p + 1), of the same shape and sum as [`contributions`](Self::contributions) at about the cost of a
    /// prediction. A feature that is asked about near the root is given less than its due.
    ///
    /// # Errors
    /// As [`contributions`](Self::contributions).
    pub fn approximate_contributions(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        self.explain(rows, saabas)
    }

    /// The expected raw score of the rows of the fit: what contributions start from.
    pub fn expected(&self) -> f64 {
        self.expected_by(&self.trees.iter().map(node_means).collect::<Vec<_>>())
    }

    fn expected_by(&self, means: &[Vec<f64>]) -> f64 {
        let roots = self.trees.iter().zip(means).map(|(tree, means)| mean_at(tree, means, tree.root()));
        roots.fold(self.constant, |sum, mean| sum + mean)
    }

    fn explain(
        &self,
        rows: ArrayView2<f32>,
        add: impl Fn(&Tree, &[f64], ArrayView1<f32>, &mut ArrayViewMut1<f64>) + Sync,
    ) -> Result<Array2<f64>, FitError> {
        self.check(rows)?;
        let means: Vec<Vec<f64>> = self.trees.iter().map(node_means).collect();
        let expected = self.expected_by(&means);
        let mut contributions = Array2::zeros((rows.nrows(), self.columns + 1));
        let tasks = contributions.axis_chunks_iter_mut(Axis(0), TASK_ROWS).into_par_iter();
        tasks.zip(rows.axis_chunks_iter(Axis(0), TASK_ROWS)).for_each(|(mut out, rows)| {
            for (mut out, row) in out.rows_mut().into_iter().zip(rows.rows()) {
                for (tree, means) in self.trees.iter().zip(&means) {
                    add(tree, means, row, &mut out);
                }
                out[self.columns] = expected;
            }
        });
        Ok(contributions)
    }
}

/// Of each leaf, what the questions on the way to it change, summed by column in the order in which they are first asked about: the
/// contributions of [`saabas`], known before any row.
pub(super) fn ways(tree: &Tree) -> Vec<Vec<(u32, f64)>> {
    let means = node_means(tree);
    let mut ways = vec![Vec::new(); tree.leaves().len()];
    let mut open = vec![(tree.root(), Vec::<(u32, f64)>::new())];
    while let Some((at, way)) = open.pop() {
        match at {
            Child::Leaf(leaf) => ways[leaf] = way,
            Child::Split(split) => {
                let node = &tree.splits()[split];
                for child in node.children {
                    let mut way = way.clone();
                    let change = mean_at(tree, &means, child) - mean_at(tree, &means, at);
                    match way.iter_mut().find(|(column, _)| *column == node.feature as u32) {
                        Some((_, sum)) => *sum += change,
                        None => way.push((node.feature as u32, change)),
                    }
                    open.push((child, way));
                }
            }
        }
    }
    ways
}

fn saabas(tree: &Tree, means: &[f64], row: ArrayView1<f32>, out: &mut ArrayViewMut1<f64>) {
    let mut at = tree.root();
    while let Child::Split(split) = at {
        let node = &tree.splits()[split];
        let next = node.children[usize::from(!node.is_left(row[node.feature].into()))];
        out[node.feature] += mean_at(tree, means, next) - mean_at(tree, means, at);
        at = next;
    }
}

fn shap(tree: &Tree, row: ArrayView1<f32>, out: &mut ArrayViewMut1<f64>) {
    // The path starts with a step of no feature, whose place in the answer is never written.
    let start = Step { feature: usize::MAX, zero: 1.0, one: 1.0, weight: 0.0 };
    walk(tree, tree.root(), row, &[], start, out);
}

/// RECURSE. `step` leads to the node `at` from the end of `path`.
fn walk(tree: &Tree, at: Child, row: ArrayView1<f32>, path: &[Step], step: Step, out: &mut ArrayViewMut1<f64>) {
    let mut path = extended(path, step);
    let split = match at {
        Child::Leaf(leaf) => {
            let value = tree.leaves()[leaf].value;
            for place in 1..path.len() {
                let step = path[place];
                out[step.feature] += unwound_sum(&path, place) * (step.one - step.zero) * value;
            }
            return;
        }
        Child::Split(split) => &tree.splits()[split],
    };
    let taken = usize::from(!split.is_left(row[split.feature].into()));
    let (mut zero, mut one) = (1.0, 1.0);
    if let Some(place) = path.iter().position(|step| step.feature == split.feature) {
        // Asked about before: both answers together are one step.
        (zero, one) = (path[place].zero, path[place].one);
        unwind(&mut path, place);
    }
    let total: f64 = split.children.iter().map(|child| rows_at(tree, *child)).sum();
    for (side, child) in split.children.into_iter().enumerate() {
        let zero = zero * rows_at(tree, child) / total;
        let one = if side == taken { one } else { 0.0 };
        walk(tree, child, row, &path, Step { feature: split.feature, zero, one, weight: 0.0 }, out);
    }
}

/// EXTEND: the path with one more step.
fn extended(path: &[Step], step: Step) -> Vec<Step> {
    let last = path.len();
    let mut longer = Vec::with_capacity(last + 1);
    longer.extend_from_slice(path);
    longer.push(Step { weight: if last == 0 { 1.0 } else { 0.0 }, ..step });
    for place in (0..last).rev() {
        longer[place + 1].weight += step.one * longer[place].weight * (place + 1) as f64 / (last + 1) as f64;
        longer[place].weight *= step.zero * (last - place) as f64 / (last + 1) as f64;
    }
    longer
}

/// UNWIND: takes a step out again, as if it had never been there.
fn unwind(path: &mut Vec<Step>, place: usize) {
    let last = path.len() - 1;
    let Step { zero, one, .. } = path[place];
    let mut next = path[last].weight;
    for at in (0..last).rev() {
        if one != 0.0 {
            let weight = path[at].weight;
            path[at].weight = next * (last + 1) as f64 / ((at + 1) as f64 * one);
            next = weight - path[at].weight * zero * (last - at) as f64 / (last + 1) as f64;
        } else {
            path[at].weight *= (last + 1) as f64 / (zero * (last - at) as f64);
        }
    }
    for at in place..last {
        path[at] = Step { weight: path[at].weight, ..path[at + 1] };
    }
    path.pop();
}

/// The sum of the weights that [`unwind`] would leave.
fn unwound_sum(path: &[Step], place: usize) -> f64 {
    let last = path.len() - 1;
    let Step { zero, one, .. } = path[place];
    let (mut next, mut total) = (path[last].weight, 0.0);
    for at in (0..last).rev() {
        if one != 0.0 {
            let weight = next * (last + 1) as f64 / ((at + 1) as f64 * one);
            total += weight;
            next = path[at].weight - weight * zero * (last - at) as f64 / (last + 1) as f64;
        } else {
            total += path[at].weight * (last + 1) as f64 / (zero * (last - at) as f64);
        }
    }
    total
}
