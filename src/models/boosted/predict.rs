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

struct Walker<'a> {
    nodes: Vec<Node>,
    /// Of each node that is a leaf.
    values: Vec<f64>,
    walks: Vec<Walk<'a>>,
}

/// The largest `f32` up to `threshold`: for a `f32` x, x <= one exactly where x <= the other.
fn as_f32(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold { nearest.next_down() } else { nearest }
}

impl<'a> Walker<'a> {
    fn new(trees: &'a [Tree]) -> Self {
        let mut walker = Self { nodes: Vec::new(), values: Vec::new(), walks: Vec::with_capacity(trees.len()) };
        for tree in trees {
            let walk = walker.add(tree);
            walker.walks.push(walk);
        }
        walker
    }

    fn add(&mut self, tree: &'a Tree) -> Walk<'a> {
        let (root, first_leaf) = (self.nodes.len(), self.nodes.len() + tree.splits().len());
        let place = |child| match child {
            Child::Split(at) => (root + at) as u32,
            Child::Leaf(at) => (first_leaf + at) as u32,
        };
        for split in tree.splits() {
            let missing = match split.missing {
                Missing::Left => MISSING_LEFT,
                Missing::Right => 0,
                _ => u32::MAX,
            };
            let (&Question::AtMost(threshold), true) = (&split.question, missing != u32::MAX) else {
                self.nodes.truncate(root);
                self.values.truncate(root);
                return Walk::General(tree);
            };
            let feature = split.feature as u32 | missing;
            self.nodes.push(Node { threshold: as_f32(threshold), feature, children: split.children.map(place) });
            self.values.push(0.0);
        }
        for (at, leaf) in tree.leaves().iter().enumerate() {
            let here = (first_leaf + at) as u32;
            self.nodes.push(Node { threshold: 0.0, feature: 0, children: [here; 2] });
            self.values.push(leaf.value);
        }
        Walk::Fast(root as u32, tree.depth())
    }

    /// Adds the leaves of `rows`, each of `width` values, to their `scores`.
    fn add_scores(&self, rows: &[f32], width: usize, scores: &mut [f64]) {
        for walk in &self.walks {
            match walk {
                Walk::General(tree) => {
                    for (row, score) in rows.chunks_exact(width).zip(scores.iter_mut()) {
                        *score += tree.leaves()[tree.leaf_of(|feature| row[feature].into())].value;
                    }
                }
                Walk::Fast(root, depth) => {
                    let whole = scores.len() / ABREAST * ABREAST;
                    let (abreast, rest) = scores.split_at_mut(whole);
                    let groups = rows.chunks_exact(width * ABREAST).zip(abreast.chunks_exact_mut(ABREAST));
                    for (rows, scores) in groups {
                        let mut at = [*root; ABREAST];
                        for _ in 0..*depth {
                            for lane in 0..ABREAST {
                                at[lane] = self.step(at[lane], &rows[lane * width..(lane + 1) * width]);
                            }
                        }
                        for lane in 0..ABREAST {
                            scores[lane] += self.values[at[lane] as usize];
                        }
                    }
                    for (row, score) in rows[whole * width..].chunks_exact(width).zip(rest) {
                        let mut at = *root;
                        for _ in 0..*depth {
                            at = self.step(at, row);
                        }
                        *score += self.values[at as usize];
                    }
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
        let walker = Walker::new(self.trees());
        let width = rows.ncols();
        if width == 0 {
            return; // no column, no split: the trees are leaves, and those of our own have been folded into the constant
        }
        scores.par_chunks_mut(ROWS).zip(rows.axis_chunks_iter(Axis(0), ROWS)).for_each(|(scores, rows)| {
            let rows = rows.as_standard_layout();
            walker.add_scores(rows.as_slice().expect("a standard layout is contiguous"), width, scores);
        });
    }
}
