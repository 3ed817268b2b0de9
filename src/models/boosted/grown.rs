//! A tree that has just been grown, still in codes.

use super::bins::Binned;
use super::split::{Bounds, CodeSet};
use super::tree::{Child, Tree};

/// A question about codes, for rows that are binned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) feature: usize,
    pub(super) left: CodeSet,
    pub(super) children: [Child; 2],
}

/// A grown tree, with what is needed to go on.
pub(super) struct Grown {
    pub(super) tree: Tree,
    pub(super) routes: Vec<Route>,
    /// Bounds of the values of the leaves.
    pub(super) bounds: Vec<Bounds>,
    /// Where each leaf's rows are in the list.
    pub(super) stretches: Vec<std::ops::Range<usize>>,
}

impl Grown {
    /// The leaf of a row of the same cut points.
    pub(super) fn leaf_of(&self, binned: &Binned, row: usize) -> usize {
        let mut at = self.tree.root();
        loop {
            match at {
                Child::Leaf(leaf) => return leaf,
                Child::Split(split) => {
                    let route = &self.routes[split];
                    let is_left = route.left.contains(binned.columns[route.feature][row]);
                    at = route.children[usize::from(!is_left)];
                }
            }
        }
    }
}
