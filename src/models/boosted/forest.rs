//! Trees made ready for blocks of rows: every question of a tree is asked of all rows of a block at once.
//!
//! The leaves of a tree, from left to right, are the bits of a word. A row begins with all of them; each question that it answers
//! with no takes away the leaves on the side of yes, whether the row would have come to that question or not, and the first leaf that is left is the
//! one in which it ends (Lucchese et al. 2015, "QuickScorer: A Fast Algorithm to Rank Documents with Additive Ensembles of
//! Regression Trees", SIGIR, section 3). A small tree is done with sooner that way than by following each row from one
//! question to the next: nothing waits for an answer.
//!
//! Trees of one model ask much the same. What those of a byte of leaves ask is asked once for all of them; what it leaves
//! to do for a tree are a few operations on bytes, sixteen rows at a time.

use std::cmp::Ordering;
use std::ops::{BitAndAssign, Not, Range};

use super::model::BoostedModel;
use super::predict::as_f32;
use super::tree::{Child, Missing, Question, Tree};
use crate::models::blocks::{ABREAST, BLOCK, Sight};

/// Leaves of a tree that are the bits of a byte; a table of such a tree is a cache line. Most trees are as small.
const SMALL: usize = 8;
/// Leaves of a tree whose answers are kept in words of 32 bits.
const NARROW: usize = 32;
/// Leaves of a tree whose answers are kept in words of 64 bits.
const WIDE: usize = 64;

/// Of the rows of a block: all bits where the answer to a question is no.
pub type Answers = [u8; BLOCK];

/// A question about a number.
#[derive(Debug, Clone, Copy)]
struct Asked {
    threshold: f32,
    column: u32,
    /// The leaves on the side of yes.
    yes: u64,
}

/// A question that small trees share.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shared {
    is_strict: bool,
    column: u32,
    threshold: f32,
}

impl Shared {
    /// Those to which a missing value says yes come first; of each sort, those about a column stand together.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = (self.is_strict, self.column).cmp(&(other.is_strict, other.column));
        by_place.then(self.threshold.total_cmp(&other.threshold))
    }
}

/// How the leaf of a row is found.
#[derive(Debug)]
enum Way<'a> {
    /// By what is answered to the questions of all small trees: which of [`Grove::small`] are its own.
    Small(Range<usize>),
    /// By all of its questions: those to which a missing value says yes, then those to which it says no.
    Asked { lenient: Range<usize>, strict: Range<usize> },
    /// With categories, with a zero that counts as missing, or of more leaves than a word has bits: by following the row. The
    /// places of its leaves from left to right.
    Followed(&'a Tree, Vec<u32>),
}

/// Trees whose leaves are numbered from left to right.
#[derive(Debug)]
pub(super) struct Grove<'a> {
    /// The questions of small trees, each once, in their order.
    shared: Vec<Shared>,
    /// Small tree after small tree: which questions it asks, and the leaves on the side of yes.
    small: Vec<(u32, u8)>,
    asked: Vec<Asked>,
    ways: Vec<Way<'a>>,
    /// Of each tree the leaves from left to right.
    leaves: Vec<Vec<usize>>,
}

/// A word of leaves.
trait Leaves: Copy + BitAndAssign + Not<Output = Self> {
    const ALL: Self;
    const NONE: Self;
    fn of(leaves: u64) -> Self;
    /// The number of the first; there always is one.
    fn first(self) -> u32;
}

impl Leaves for u32 {
    const ALL: Self = Self::MAX;
    const NONE: Self = 0;
    #[inline]
    fn of(leaves: u64) -> Self {
        leaves as Self
    }
    #[inline]
    fn first(self) -> u32 {
        let word = self | 1 << 31; // one that cannot be 0 asks for no branch
        let first = word & word.wrapping_neg();
        // A power of two in single precision is its exponent. Several are found at once that way, which counting zeros is not.
        (((first as i32 as f32).to_bits() >> 23) & 0xff) - 127
    }
}

impl Leaves for u64 {
    const ALL: Self = Self::MAX;
    const NONE: Self = 0;
    #[inline]
    fn of(leaves: u64) -> Self {
        leaves
    }
    #[inline]
    fn first(self) -> u32 {
        (self | 1 << 63).trailing_zeros()
    }
}

/// Bits `from` to `to`.
fn bits(from: usize, to: usize) -> u64 {
    let below = |n: usize| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
    below(to) & !below(from)
}

/// Of each split of a tree: its first leaf from left to right, and that after the leaves on its side of yes; and the place of each leaf.
fn spans(tree: &Tree) -> (Vec<(usize, usize)>, Vec<usize>) {
    let splits = tree.splits();
    let mut counts = vec![0; splits.len()];
    for at in (0..splits.len()).rev() {
        let count = |child| if let Child::Split(child) = child { counts[child] } else { 1 };
        counts[at] = splits[at].children.into_iter().map(count).sum();
    }
    let mut spans = vec![(0, 0); splits.len()];
    let mut places = vec![0; tree.leaves().len()];
    for at in 0..splits.len() {
        let [yes, no] = splits[at].children;
        let first = spans[at].0;
        let after = first + if let Child::Split(child) = yes { counts[child] } else { 1 };
        spans[at].1 = after;
        for (child, first) in [(yes, first), (no, after)] {
            match child {
                Child::Split(child) => spans[child].0 = first,
                Child::Leaf(leaf) => places[leaf] = first,
            }
        }
    }
    (spans, places)
}

impl<'a> Grove<'a> {
    pub(super) fn new(trees: impl Iterator<Item = &'a Tree>) -> Self {
        let mut grove =
            Self { shared: Vec::new(), small: Vec::new(), asked: Vec::new(), ways: Vec::new(), leaves: Vec::new() };
        // Of each question of the small trees.
        let mut questions = Vec::new();
        for tree in trees {
            let (spans, places) = spans(tree);
            let mut leaves = vec![0; places.len()];
            places.iter().enumerate().for_each(|(leaf, &place)| leaves[place] = leaf);
            let is_number = |split: &super::Split| {
                matches!(split.question, Question::AtMost(_)) && matches!(split.missing, Missing::Left | Missing::Right)
            };
            let asked = tree.splits().iter().zip(&spans).map(|(split, &(first, after))| {
                let Question::AtMost(threshold) = split.question else { unreachable!("a number") };
                let asked =
                    Asked { threshold: as_f32(threshold), column: split.feature as u32, yes: bits(first, after) };
                (asked, split.missing == Missing::Right)
            });
            let is_of_numbers = tree.splits().iter().all(is_number);
            let way = if is_of_numbers && leaves.len() <= SMALL {
                let start = questions.len();
                questions.extend(asked.map(|(Asked { threshold, column, yes }, is_strict)| {
                    (Shared { is_strict, column, threshold }, yes as u8)
                }));
                Way::Small(start..questions.len())
            } else if is_of_numbers && leaves.len() <= WIDE {
                let start = grove.asked.len();
                let mut strict = Vec::new();
                for (asked, is_strict) in asked {
                    if is_strict { strict.push(asked) } else { grove.asked.push(asked) }
                }
                let middle = grove.asked.len();
                grove.asked.append(&mut strict);
                Way::Asked { lenient: start..middle, strict: middle..grove.asked.len() }
            } else {
                Way::Followed(tree, places.iter().map(|&place| place as u32).collect())
            };
            grove.ways.push(way);
            grove.leaves.push(leaves);
        }
        grove.shared = questions.iter().map(|(question, _)| *question).collect();
        grove.shared.sort_unstable_by(Shared::cmp);
        grove.shared.dedup();
        let place = |question: &Shared| grove.shared.binary_search_by(|known| known.cmp(question));
        let small = questions.iter().map(|(question, yes)| (place(question).expect("one of all") as u32, *yes));
        grove.small = small.collect();
        grove
    }

    /// Asks the rows of a block what all small trees ask. `answers` is memory, whatever it holds.
    pub(super) fn ask(&self, sight: &Sight, answers: &mut Vec<Answers>) {
        answers.resize(self.shared.len(), [0; BLOCK]); // every one of them is written below
        for (&Shared { is_strict, column, threshold }, answers) in self.shared.iter().zip(answers) {
            // A missing value is greater than nothing, and at most nothing.
            match is_strict {
                false => sight.compare(column as usize, answers, |value| value > threshold),
                #[allow(clippy::neg_cmp_op_on_partial_ord)] // it is what sends a missing value to the side of no
                true => sight.compare(column as usize, answers, |value| !(value <= threshold)),
            }
        }
    }

    /// A table of what `of` says of each leaf of a tree, from left to right.
    fn table(&self, tree: usize, of: impl Fn(usize) -> f64) -> impl Iterator<Item = f64> {
        let leaves = &self.leaves[tree];
        let beyond = self.entries(tree) - leaves.len();
        leaves.iter().map(move |&leaf| of(leaf)).chain(std::iter::repeat_n(0.0, beyond))
    }

    /// Number of entries of the tables of a tree.
    fn entries(&self, tree: usize) -> usize {
        match self.leaves[tree].len() {
            leaves @ ..=WIDE => leaves.next_power_of_two().max(SMALL),
            leaves => leaves,
        }
    }

    /// The leaves of a tree from left to right.
    pub(super) fn leaves(&self, tree: usize) -> &[usize] {
        &self.leaves[tree]
    }

    /// Where the rows of a block end in a tree, as places from left to right; `answers` are those to [`ask`](Self::ask).
    pub(super) fn ends(&self, tree: usize, sight: &Sight, answers: &[Answers], ends: &mut Ends) {
        let leaves = self.leaves[tree].len();
        match &self.ways[tree] {
            Way::Small(questions) => ends_of_small(&self.small[questions.clone()], answers, &mut ends.near),
            Way::Asked { lenient, strict } => {
                let (lenient, strict) = (&self.asked[lenient.clone()], &self.asked[strict.clone()]);
                let near = &mut ends.near;
                match (leaves <= NARROW, sight.lanes() == BLOCK) {
                    (true, true) => ends_of::<u32, AT_ONCE>(lenient, strict, sight, near),
                    (true, false) => ends_of::<u32, ABREAST>(lenient, strict, sight, near),
                    (false, true) => ends_of::<u64, AT_ONCE>(lenient, strict, sight, near),
                    (false, false) => ends_of::<u64, ABREAST>(lenient, strict, sight, near),
                }
            }
            Way::Followed(tree, places) => {
                for lane in 0..sight.rows() {
                    let end = places[tree.leaf_of(|column| sight.column(column)[lane].into())];
                    // A row that ends in a far leaf is told there alone.
                    ends.near[lane] = end as u8;
                    ends.far[lane] = end;
                }
            }
        }
        ends.are_far = leaves > WIDE;
    }
}

/// Where the rows of a block end in a tree.
pub(super) struct Ends {
    /// Places of the leaves of a tree that has at most [`WIDE`].
    near: [u8; BLOCK],
    /// Those of a larger one.
    far: [u32; BLOCK],
    /// Which of them tell it.
    are_far: bool,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { near: [0; BLOCK], far: [0; BLOCK], are_far: false }
    }

    /// Row by row.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        let of = |(&near, &far): (&u8, &u32)| if self.are_far { far } else { near.into() };
        self.near.iter().zip(&self.far).map(of)
    }
}

/// Where rows end by the questions of a small tree and the leaves on the side of yes.
fn ends_of_small(questions: &[(u32, u8)], answers: &[Answers], ends: &mut [u8; BLOCK]) {
    let mut left = [u8::MAX; BLOCK];
    for &(question, yes) in questions {
        left.iter_mut().zip(&answers[question as usize]).for_each(|(left, no)| *left &= !(no & yes));
    }
    ends.iter_mut().zip(left).for_each(|(end, left)| *end = first_of(left));
}

/// The number of the first bit; there always is one.
#[inline(always)]
fn first_of(bits: u8) -> u8 {
    let first = bits & bits.wrapping_neg();
    (first & 0b1010_1010).min(1) | (first & 0b1100_1100).min(2) | (first & 0b1111_0000).min(4)
}

/// Rows of a full block that are asked at once: their words stay in registers from question to question.
const AT_ONCE: usize = 32;

fn ends_of<L: Leaves, const ROWS: usize>(lenient: &[Asked], strict: &[Asked], sight: &Sight, ends: &mut [u8; BLOCK]) {
    let stretches = ends.as_chunks_mut::<ROWS>().0.iter_mut().take(sight.lanes() / ROWS);
    for (stretch, ends) in stretches.enumerate() {
        let column = |column: u32| &sight.whole_column(column as usize).as_chunks::<ROWS>().0[stretch];
        let mut left = [L::ALL; ROWS];
        // A missing value is greater than nothing, and at most nothing.
        for &Asked { threshold, column: of, yes } in lenient {
            take_away(L::of(yes), column(of), &mut left, |value| value > threshold);
        }
        for &Asked { threshold, column: of, yes } in strict {
            #[allow(clippy::neg_cmp_op_on_partial_ord)] // it is what sends a missing value to the side of no
            take_away(L::of(yes), column(of), &mut left, |value| !(value <= threshold));
        }
        ends.iter_mut().zip(left).for_each(|(end, left)| *end = left.first() as u8);
    }
}

#[inline(always)]
fn take_away<L: Leaves, const ROWS: usize>(
    yes: L,
    column: &[f32; ROWS],
    left: &mut [L; ROWS],
    is_no: impl Fn(f32) -> bool,
) {
    for (left, &value) in left.iter_mut().zip(column) {
        let taken = if is_no(value) { yes } else { L::NONE };
        *left &= !taken;
    }
}

/// Adds to each sum what stands in a table of a tree for the leaf in which a row ends.
fn add(table: &[f64], ends: &Ends, sums: &mut [f64; BLOCK]) {
    match table.len() {
        SMALL => add_near::<SMALL>(table, &ends.near, sums),
        16 => add_near::<16>(table, &ends.near, sums),
        NARROW => add_near::<NARROW>(table, &ends.near, sums),
        WIDE => add_near::<WIDE>(table, &ends.near, sums),
        entries => sums.iter_mut().zip(&ends.far).for_each(|(sum, &end)| *sum += table[end as usize % entries]),
    }
}

fn add_near<const ENTRIES: usize>(table: &[f64], ends: &[u8; BLOCK], sums: &mut [f64; BLOCK]) {
    let table = <&[f64; ENTRIES]>::try_from(table).expect("a table of so many entries");
    for (sums, ends) in sums.as_chunks_mut::<ABREAST>().0.iter_mut().zip(ends.as_chunks::<ABREAST>().0) {
        let ends = u64::from_le_bytes(*ends); // one load for all of them
        let found: [f64; ABREAST] = std::array::from_fn(|lane| table[(ends >> (8 * lane)) as u8 as usize % ENTRIES]);
        sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
}

/// The trees of a model made ready for many rows, block by block on the calling thread.
#[derive(Debug)]
pub struct Forest<'a> {
    model: &'a BoostedModel,
    grove: Grove<'a>,
    /// Tree after tree: what its leaves add to the score.
    values: Vec<f64>,
    /// Columns that any tree asks about.
    columns: Vec<u32>,
    /// Tree after tree, of each of its columns: the place of the column in `columns`. Where they end for each tree.
    changed: Vec<u32>,
    ends: Vec<usize>,
    /// Column after column of each tree: by how much the questions about it on the way to a leaf change the expected score.
    changes: Vec<f64>,
}

impl<'a> Forest<'a> {
    fn new(model: &'a BoostedModel) -> Self {
        let grove = Grove::new(model.trees().iter());
        let mut columns: Vec<u32> =
            model.trees().iter().flat_map(Tree::splits).map(|split| split.feature as u32).collect();
        columns.sort_unstable();
        columns.dedup();
        let (mut values, mut changed, mut ends, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, tree) in model.trees().iter().enumerate() {
            values.extend(grove.table(number, |leaf| tree.leaves()[leaf].value));
            let ways = super::contributions::ways(tree);
            let mut own: Vec<u32> = tree.splits().iter().map(|split| split.feature as u32).collect();
            own.sort_unstable();
            own.dedup();
            for column in own {
                changed.push(columns.binary_search(&column).expect("a column of a tree is one of all") as u32);
                let change = |leaf: usize| ways[leaf].iter().find(|(of, _)| *of == column).map_or(0.0, |way| way.1);
                changes.extend(grove.table(number, change));
            }
            ends.push(changed.len());
        }
        Self { model, grove, values, columns, changed, ends, changes }
    }

    /// The model.
    pub fn model(&self) -> &'a BoostedModel {
        self.model
    }

    /// The columns that trees ask about, ascending.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Raw scores of the rows of a block. With `changes`, which gets one entry for each of [`columns`](Self::columns): the approximate
    /// contributions of that column. `answers` is memory, whatever it holds.
    ///
    /// # Panics
    /// When the block has fewer columns than the model.
    pub fn raw(
        &self,
        sight: &Sight,
        scores: &mut [f64; BLOCK],
        mut changes: Option<&mut Vec<[f64; BLOCK]>>,
        answers: &mut Vec<Answers>,
    ) {
        assert!(self.model.columns <= sight.width(), "a block of all columns");
        scores.fill(self.model.constant);
        if let Some(changes) = &mut changes {
            changes.clear();
            changes.resize(self.columns.len(), [0.0; BLOCK]);
        }
        if self.model.columns == 0 {
            return; // no column, no split: the trees are leaves, and those of our own have been folded into the constant
        }
        self.grove.ask(sight, answers);
        let mut ends = Ends::new();
        let (mut values, mut tables) = (self.values.as_slice(), self.changes.as_slice());
        let mut first = 0;
        for (tree, &last) in self.ends.iter().enumerate() {
            let entries = self.grove.entries(tree);
            self.grove.ends(tree, sight, answers, &mut ends);
            let (of_tree, rest) = values.split_at(entries);
            values = rest;
            add(of_tree, &ends, scores);
            let columns = &self.changed[first..last];
            first = last;
            let (of_tree, rest) = tables.split_at(columns.len() * entries);
            tables = rest;
            let Some(changes) = changes.as_deref_mut() else { continue };
            for (&column, table) in columns.iter().zip(of_tree.chunks_exact(entries)) {
                add(table, &ends, &mut changes[column as usize]);
            }
        }
    }
}

impl BoostedModel {
    /// The trees made ready for many rows.
    pub fn forest(&self) -> Forest<'_> {
        Forest::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_leaf_is_the_lowest_bit() {
        for bit in 0..32 {
            assert_eq!((1u32 << bit).first(), bit);
            assert_eq!((u32::MAX << bit).first(), bit);
            assert_eq!((0x9000_0001u32.rotate_left(bit)).first(), 0x9000_0001u32.rotate_left(bit).trailing_zeros());
        }
        for bit in 0..64 {
            assert_eq!((u64::MAX << bit).first(), bit);
        }
        for bits in 1..=u8::MAX {
            assert_eq!(u32::from(first_of(bits)), bits.trailing_zeros());
        }
    }
}
