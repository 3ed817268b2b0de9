//! Scores of many rows: eight rows walk a tree side by side, so that they wait for memory together.

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::model::BoostedModel;
use super::tree::{Child, Missing, Question, Tree};

/// Rows that pass through all trees at a time: a hundred columns of them fit a first-level cache.
const ROWS: usize = 64;

/// Rows that walk together.
const ABREAST: usize = 8;

const MISSING_LEFT: u32 = 1 << 31;

/// A split in 16 bytes; a leaf leads to itself.
#[derive(Clone, Copy)]
struct Node {
    threshold: f32,
    /// Column, with [`MISSING_LEFT`].
    feature: u32,
    children: [u32; 2],
}

enum Walk<'a> {
    /// Root and the number of steps after which every row has reached its leaf.
    Fast(u32, usize),
    /// With categories, or with a zero that counts as missing.
    General(&'a Tree),
}

/// A tree among the nodes of all.
struct Route<'a> {
    walk: Walk<'a>,
    /// The node of its first leaf; the others follow in their order.
    first_leaf: u32,
}

/// Trees whose nodes lie side by side. Where a row ends is told as the number of a node.
pub(super) struct Walker<'a> {
    nodes: Vec<Node>,
    routes: Vec<Route<'a>>,
}

/// The largest `f32` up to `threshold`: for a `f32` x, x <= one exactly where x <= the other.
pub(super) fn as_f32(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold { nearest.next_down() } else { nearest }
}

impl<'a> Walker<'a> {
    pub(super) fn new(trees: impl Iterator<Item = &'a Tree>) -> Self {
        let mut walker = Self { nodes: Vec::new(), routes: Vec::new() };
        for tree in trees {
            let route = walker.add(tree);
            walker.routes.push(route);
        }
        walker
    }

    fn add(&mut self, tree: &'a Tree) -> Route<'a> {
        let root = self.nodes.len();
        let mut walk = Walk::Fast(root as u32, tree.depth());
        let is_fast = |split: &super::Split| {
            matches!(split.question, Question::AtMost(_)) && matches!(split.missing, Missing::Left | Missing::Right)
        };
        if !tree.splits().iter().all(is_fast) {
            walk = Walk::General(tree);
        }
        let splits = if matches!(walk, Walk::Fast(..)) { tree.splits() } else { &[] };
        let first_leaf = root + splits.len();
        let place = |child| match child {
            Child::Split(at) => (root + at) as u32,
            Child::Leaf(at) => (first_leaf + at) as u32,
        };
        for split in splits {
            let Question::AtMost(threshold) = split.question else { unreachable!("only numeric questions are fast") };
            let missing = if split.missing == Missing::Left { MISSING_LEFT } else { 0 };
            let feature = split.feature as u32 | missing;
            self.nodes.push(Node { threshold: as_f32(threshold), feature, children: split.children.map(place) });
        }
        for at in 0..tree.leaves().len() {
            let here = (first_leaf + at) as u32;
            self.nodes.push(Node { threshold: 0.0, feature: 0, children: [here; 2] });
        }
        Route { walk, first_leaf: first_leaf as u32 }
    }

    /// Number of trees.
    pub(super) fn trees(&self) -> usize {
        self.routes.len()
    }

    /// One entry for each node: what `of` says of the leaf of a tree, `none` of a split.
    pub(super) fn by_node<T: Clone>(&self, trees: &[&Tree], none: T, of: impl Fn(usize, usize) -> T) -> Vec<T> {
        let mut all = vec![none; self.nodes.len()];
        for (tree, route) in self.routes.iter().enumerate() {
            for leaf in 0..trees[tree].leaves().len() {
                all[route.first_leaf as usize + leaf] = of(tree, leaf);
            }
        }
        all
    }

    /// The node of the leaf of a tree in which each of `rows`, of `width` values, ends.
    pub(super) fn ends(&self, tree: usize, rows: &[f32], width: usize, ends: &mut [u32]) {
        let route = &self.routes[tree];
        match route.walk {
            Walk::General(tree) => {
                for (row, end) in rows.chunks_exact(width).zip(ends) {
                    *end = route.first_leaf + tree.leaf_of(|feature| row[feature].into()) as u32;
                }
            }
            Walk::Fast(root, depth) => {
                let whole = ends.len() / ABREAST * ABREAST;
                let (abreast, rest) = ends.split_at_mut(whole);
                for (rows, ends) in rows.chunks_exact(width * ABREAST).zip(abreast.chunks_exact_mut(ABREAST)) {
                    let mut at = [root; ABREAST];
                    for _ in 0..depth {
                        for lane in 0..ABREAST {
                            at[lane] = self.step(at[lane], &rows[lane * width..(lane + 1) * width]);
                        }
                    }
                    ends.copy_from_slice(&at);
                }
                for (row, end) in rows[whole * width..].chunks_exact(width).zip(rest) {
                    *end = (0..depth).fold(root, |at, _| self.step(at, row));
                }
            }
        }
    }

    #[inline]
    fn step(&self, at: u32, row: &[f32]) -> u32 {
        let node = &self.nodes[at as usize];
        let value = row[(node.feature & !MISSING_LEFT) as usize];
        let right = (value > node.threshold) | (value.is_nan() & (node.feature & MISSING_LEFT == 0));
        node.children[usize::from(right)]
    }
}

impl BoostedModel {
    /// Adds the trees' values to `scores`.
    pub(super) fn add_trees(&self, rows: ArrayView2<f32>, scores: &mut [f64]) {
        let trees: Vec<&Tree> = self.trees().iter().collect();
        let walker = Walker::new(trees.iter().copied());
        let values = walker.by_node(&trees, 0.0, |tree, leaf| trees[tree].leaves()[leaf].value);
        let width = rows.ncols();
        if width == 0 {
            return; // no column, no split: the trees are leaves, and those of our own have been folded into the constant
        }
        scores.par_chunks_mut(ROWS).zip(rows.axis_chunks_iter(Axis(0), ROWS)).for_each(|(scores, rows)| {
            let rows = rows.as_standard_layout();
            let rows = rows.as_slice().expect("a standard layout is contiguous");
            let mut places = [0u32; ROWS];
            let places = &mut places[..scores.len()];
            for tree in 0..walker.trees() {
                walker.ends(tree, rows, width, places);
                scores.iter_mut().zip(&*places).for_each(|(score, &end)| *score += values[end as usize]);
            }
        });
    }
}
