//! One tree, leaf by leaf: always the leaf whose best question gains most (Shi 2007, best-first).
//!
//! The rows of a leaf are a stretch of one list, in ascending order; a question parts the stretch in two, keeping the order.
//! Of two new leaves only the smaller one's histogram is added up from rows; the other's is the parent's less that.

use std::sync::Mutex;

use rayon::prelude::*;

use super::BoostedTrees;
use super::bins::Binned;
use super::cuts::Coding;
use super::grown::{Grown, Route};
use super::histogram::{Sums, Workspace};
use super::partition::part;
use super::split::{Bounds, Candidate, Criterion, UNBOUNDED, search};
use super::tree::{Child, Leaf, Missing, Question, Split, Tree};

/// Rows whose histograms one task adds up at least: to bring the parts together takes as long as some thousand rows.
const PIECE_ROWS: usize = 32 * 1024;

/// Additions of a row's numbers to a bin that are worth another thread: about a tenth of a millisecond.
const TASK_WORK: usize = 100_000;

/// What it takes to clear, unpack, subtract and judge a bin, in such additions.
const BIN_WORK: usize = 8;

/// Histograms of a leaf: for each group the bins of its features, one after another.
type Histogram<S> = Vec<Vec<S>>;

/// How large a tree may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_leaves: usize,
    pub(super) max_depth: usize,
}

impl Limits {
    pub(super) fn of(settings: &BoostedTrees) -> Self {
        Self { max_leaves: settings.max_leaves, max_depth: settings.max_depth.unwrap_or(usize::MAX) }
    }
}

struct OpenLeaf<S> {
    stretch: std::ops::Range<usize>,
    depth: usize,
    sums: S,
    bounds: Bounds,
    /// Until it is certain that the leaf stays one.
    histogram: Option<Histogram<S>>,
    best: Option<Candidate<S>>,
    /// The split that it hangs from, and on which side.
    parent: Option<(usize, usize)>,
}

/// What stays the same from round to round, and buffers that are used again.
pub(super) struct Grower<'a, S: Sums> {
    binned: &'a Binned,
    /// Features in each group but the last.
    group_size: usize,
    /// For each group: where its features' bins start, and the end.
    starts: Vec<Vec<usize>>,
    spare: Vec<Histogram<S>>,
    workspaces: Mutex<Vec<Workspace<S>>>,
    scratch: Vec<S::Record>,
}

impl<'a, S: Sums> Grower<'a, S> {
    pub(super) fn new(binned: &'a Binned) -> Self {
        let group_size = binned.cut_points.group_size();
        let starts = binned
            .cut_points
            .features
            .chunks(group_size)
            .map(|features| {
                let mut starts = vec![0];
                for feature in features {
                    starts.push(starts[starts.len() - 1] + feature.coding.codes());
                }
                starts
            })
            .collect();
        Self { binned, group_size, starts, spare: Vec::new(), workspaces: Mutex::new(Vec::new()), scratch: Vec::new() }
    }

    /// A tree on the rows of `records`, which it sorts by leaf. Only the features `in_use` are asked about.
    pub(super) fn grow(
        &mut self,
        records: &mut [S::Record],
        in_use: &[bool],
        rules: &impl Criterion<Sums = S>,
        limits: Limits,
    ) -> Grown {
        self.scratch.resize(self.scratch.len().max(records.len()), S::Record::default());
        let sums = sum::<S>(records);
        let mut leaves = vec![OpenLeaf {
            stretch: 0..records.len(),
            depth: 0,
            sums,
            bounds: UNBOUNDED,
            histogram: None,
            best: None,
            parent: None,
        }];
        let (mut splits, mut routes) = (Vec::new(), Vec::new());
        if may_split(&leaves[0], rules, limits) && limits.max_leaves > 1 {
            let mut histogram = self.empty();
            let best = self.examine_root(records, &mut histogram, in_use, rules, sums);
            leaves[0].histogram = Some(histogram);
            leaves[0].best = best;
        }
        while leaves.len() < limits.max_leaves {
            let Some((at, best)) = most_gain(&leaves) else { break };
            let feature = &self.binned.cut_points.features[best.feature];
            let parent = &mut leaves[at];
            let stretch = parent.stretch.clone();
            let rows = &mut records[stretch.clone()];
            part::<S>(&self.binned.columns[best.feature], &best.codes, rows, &mut self.scratch[stretch.clone()]);
            let middle = stretch.start + best.left.rows() as usize;
            let split = splits.len();
            if let Some((above, side)) = parent.parent {
                set_child(&mut splits, &mut routes, above, side, Child::Split(split));
            }
            splits.push(Split {
                feature: feature.column,
                question: question(&feature.coding, &best),
                missing: if best.missing_left { Missing::Left } else { Missing::Right },
                children: [Child::Leaf(at), Child::Leaf(leaves.len())],
                gain: best.gain,
                rows: leaves[at].sums.rows() as u64,
                hessian: rules.weight(leaves[at].sums),
            });
            routes.push(Route { feature: best.feature, left: best.codes, children: splits[split].children });
            let parent = &mut leaves[at];
            let bounds = divided(parent, &best, feature.column, rules);
            let child = |side: usize| OpenLeaf {
                stretch: [stretch.start..middle, middle..stretch.end][side].clone(),
                depth: parent.depth + 1,
                sums: [best.left, parent.sums - best.left][side],
                bounds: bounds[side],
                histogram: None,
                best: None,
                parent: Some((split, side)),
            };
            let mut children = [child(0), child(1)];
            let histogram = parent.histogram.take().expect("a leaf with a question has its histogram");
            let last = leaves.len() + 1 == limits.max_leaves;
            if !last && children.iter().any(|child| may_split(child, rules, limits)) {
                self.examine(records, histogram, &mut children, in_use, rules, limits);
            } else {
                self.spare.push(histogram);
            }
            let [left, right] = children;
            leaves[at] = left;
            leaves.push(right);
        }
        self.spare.extend(leaves.iter_mut().filter_map(|leaf| leaf.histogram.take()));
        let ends = leaves.iter().map(|leaf| Leaf {
            value: rules.value(leaf.sums, leaf.bounds),
            rows: leaf.sums.rows() as u64,
            hessian: rules.weight(leaf.sums),
        });
        let tree = Tree::new(splits, ends.collect()).expect("every split parts one leaf in two");
        Grown {
            tree,
            routes,
            bounds: leaves.iter().map(|leaf| leaf.bounds).collect(),
            stretches: leaves.into_iter().map(|leaf| leaf.stretch).collect(),
        }
    }

    fn empty(&mut self) -> Histogram<S> {
        let new = || self.starts.iter().map(|starts| vec![S::default(); starts[starts.len() - 1]]).collect();
        self.spare.pop().unwrap_or_else(new)
    }

    /// Fills the root's histogram and finds its best question.
    fn examine_root(
        &self,
        records: &[S::Record],
        histogram: &mut Histogram<S>,
        in_use: &[bool],
        rules: &impl Criterion<Sums = S>,
        sums: S,
    ) -> Option<Candidate<S>> {
        let pieces = self.pieces(records.len());
        let found = histogram.par_iter_mut().enumerate().map(|(group, bins)| {
            if !self.group_in_use(group, in_use) {
                return None;
            }
            self.add(group, records, pieces, bins);
            self.search(group, bins, in_use, rules, sums, UNBOUNDED)
        });
        best_of(found.collect())
    }

    /// Histograms and best questions of both children of a leaf, from its rows and its histogram.
    fn examine(
        &mut self,
        records: &[S::Record],
        mut parent: Histogram<S>,
        children: &mut [OpenLeaf<S>; 2],
        in_use: &[bool],
        rules: &impl Criterion<Sums = S>,
        limits: Limits,
    ) {
        let few = usize::from(children[1].stretch.len() < children[0].stretch.len());
        let mut smaller = self.empty();
        let rows = &records[children[few].stretch.clone()];
        let pieces = self.pieces(rows.len());
        let wanted = [&children[few], &children[1 - few]].map(|child| may_split(child, rules, limits));
        let least = self.least_groups(rows.len());
        let found = smaller.par_iter_mut().zip(&mut parent).enumerate().with_min_len(least).map(
            |(group, (smaller, larger))| {
                if !self.group_in_use(group, in_use) {
                    return [None, None];
                }
                self.add(group, rows, pieces, smaller);
                for (larger, smaller) in larger.iter_mut().zip(smaller.iter()) {
                    *larger = *larger - *smaller;
                }
                let search =
                    |child: &OpenLeaf<S>, bins: &[S]| self.search(group, bins, in_use, rules, child.sums, child.bounds);
                [
                    if wanted[0] { search(&children[few], smaller) } else { None },
                    if wanted[1] { search(&children[1 - few], larger) } else { None },
                ]
            },
        );
        let found: Vec<[Option<Candidate<S>>; 2]> = found.collect();
        for (side, (at, histogram)) in [(few, smaller), (1 - few, parent)].into_iter().enumerate() {
            children[at].best = best_of(found.iter().map(|found| found[side]).collect());
            if children[at].best.is_some() {
                children[at].histogram = Some(histogram);
            } else {
                self.spare.push(histogram);
            }
        }
    }

    /// Into how many pieces the rows are divided, so that there is work for all threads where there are few groups.
    fn pieces(&self, rows: usize) -> usize {
        let wanted = (2 * rayon::current_num_threads()).div_ceil(self.starts.len());
        wanted.min(rows / PIECE_ROWS).max(1)
    }

    /// Groups that a task takes at least: a small leaf is not worth waking another thread.
    fn least_groups(&self, rows: usize) -> usize {
        let bins: usize = self.starts.iter().map(|starts| starts[starts.len() - 1]).sum();
        let additions = rows * self.binned.cut_points.features.len() + BIN_WORK * bins;
        if additions < TASK_WORK { self.starts.len() } else { 1 }
    }

    fn group_in_use(&self, group: usize, in_use: &[bool]) -> bool {
        in_use[group * self.group_size..].iter().take(self.group_size).any(|in_use| *in_use)
    }

    /// Replaces `bins` by the sums over `records`.
    fn add(&self, group: usize, records: &[S::Record], pieces: usize, bins: &mut [S]) {
        bins.fill(S::default());
        if pieces == 1 {
            return self.add_piece(group, records, bins);
        }
        let parts = records.par_chunks(records.len().div_ceil(pieces)).map(|records| {
            let mut bins = vec![S::default(); bins.len()];
            self.add_piece(group, records, &mut bins);
            bins
        });
        for part in parts.collect::<Vec<_>>() {
            bins.iter_mut().zip(part).for_each(|(bin, part)| *bin = *bin + part);
        }
    }

    fn add_piece(&self, group: usize, records: &[S::Record], bins: &mut [S]) {
        let spare = self.workspaces.lock().expect("no task panics").pop();
        let mut workspace = spare.unwrap_or_else(Workspace::new);
        workspace.add_records(&self.binned.groups[group], records, &self.starts[group], bins);
        self.workspaces.lock().expect("no task panics").push(workspace);
    }

    /// The best question about the features of a group; of equally good ones that about the first.
    fn search(
        &self,
        group: usize,
        bins: &[S],
        in_use: &[bool],
        rules: &impl Criterion<Sums = S>,
        sums: S,
        bounds: Bounds,
    ) -> Option<Candidate<S>> {
        let mut best = None;
        for (place, range) in self.starts[group].windows(2).enumerate() {
            let feature = group * self.group_size + place;
            if in_use[feature] {
                let binned = &self.binned.cut_points.features[feature];
                let bins = &bins[range[0]..range[1]];
                search(rules, feature, binned, bins, sums, bounds, &mut best);
            }
        }
        best
    }
}

fn sum<S: Sums>(records: &[S::Record]) -> S {
    let add = |sums: S, record: &S::Record| sums + S::unpack(S::pack(record));
    records
        .par_chunks(PIECE_ROWS)
        .map(|records| records.iter().fold(S::default(), add))
        .reduce(S::default, |a, b| a + b)
}

fn may_split<S: Sums>(leaf: &OpenLeaf<S>, rules: &impl Criterion<Sums = S>, limits: Limits) -> bool {
    leaf.depth < limits.max_depth && leaf.sums.rows() >= 2 * rules.min_rows()
}

/// The leaf whose question gains most, the first of equals.
fn most_gain<S: Sums>(leaves: &[OpenLeaf<S>]) -> Option<(usize, Candidate<S>)> {
    let mut most: Option<(usize, Candidate<S>)> = None;
    for (at, leaf) in leaves.iter().enumerate() {
        if let Some(best) = leaf.best
            && most.is_none_or(|(_, most)| best.gain > most.gain)
        {
            most = Some((at, best));
        }
    }
    most
}

fn best_of<S: Sums>(found: Vec<Option<Candidate<S>>>) -> Option<Candidate<S>> {
    let mut best: Option<Candidate<S>> = None;
    for candidate in found.into_iter().flatten() {
        if best.is_none_or(|best| candidate.sides > best.sides) {
            best = Some(candidate);
        }
    }
    best
}

fn set_child(splits: &mut [Split], routes: &mut [Route], at: usize, side: usize, child: Child) {
    splits[at].children[side] = child;
    routes[at].children[side] = child;
}

/// The question in values instead of codes.
fn question<S>(coding: &Coding, best: &Candidate<S>) -> Question {
    match (coding, best.last) {
        // Behind the last cut there is nothing: the question is whether there is a value.
        (Coding::Cuts(cuts), Some(last)) => {
            Question::AtMost(cuts.get(usize::from(last) - 1).map_or(f32::MAX, |cut| *cut).into())
        }
        (Coding::Categories(categories), _) => {
            let chosen = categories.iter().enumerate().filter(|(place, _)| best.codes.contains(*place as u8 + 1));
            Question::OneOf(chosen.map(|(_, category)| *category).collect())
        }
        (Coding::Cuts(_), None) => unreachable!("a question about numbers has a last code"),
    }
}

/// Bounds of the children: below a split that must rise, no leaf on the left may exceed the middle, and none on the right fall below it.
fn divided<S: Sums>(
    parent: &OpenLeaf<S>,
    best: &Candidate<S>,
    column: usize,
    rules: &impl Criterion<Sums = S>,
) -> [Bounds; 2] {
    let bounds = parent.bounds;
    let direction = rules.direction(column);
    let values = [best.left, parent.sums - best.left].map(|sums| rules.value(sums, bounds));
    let middle = (values[0] + values[1]) / 2.0;
    let (low, high) = ([bounds[0], middle], [middle, bounds[1]]);
    match direction {
        0 => [bounds, bounds],
        1.. => [low, high],
        _ => [high, low],
    }
}
