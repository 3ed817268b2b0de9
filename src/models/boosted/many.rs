//! Many outputs at once: one tree for all of them in each round, with a leaf value for each.
//!
//! The rows are binned once, and histograms are filled once a round instead of once for each output; trees are
//! found on a [sketch](super::sketch) of the gradients. A label that is `NaN` says that the row is not about that output. With
//! validation rows and early stopping, the fit ends when the sum of the outputs' losses falls no further, and each output uses the trees
//! up to the round where its own loss was least.

mod fit;
mod scores;

use ndarray::{Array2, ArrayView2, Axis, aview1};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::forest::{Answers, Ends, Grove};
use super::model::BoostedModel;
use super::predict::Walker;
use super::tree::Tree;
use super::{Objective, first_infinity};
use crate::models::FitError;
use crate::models::blocks::Sight;

pub(super) use fit::fit;

/// Labels of n rows for K outputs.
#[derive(Debug, Clone, Copy)]
pub struct ManyTargets<'a> {
    /// n × K; `NaN` where a row is not about an output.
    pub labels: ArrayView2<'a, f32>,
    /// One for each row, or 1 for all.
    pub weights: Option<&'a [f64]>,
}

impl ManyTargets<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

/// A tree whose leaves have a value for each output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ManyTree {
    tree: Tree,
    /// Leaves × outputs, row by row.
    values: Vec<f64>,
}

/// Fitted trees of several outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredMany")]
pub struct ManyModel {
    objective: Objective,
    columns: usize,
    constants: Vec<f64>,
    rounds: Vec<usize>,
    trees: Vec<ManyTree>,
    validation_losses: Vec<Vec<f64>>,
}

/// As read from a file, before it is checked.
#[derive(Deserialize)]
struct StoredMany {
    objective: Objective,
    columns: usize,
    constants: Vec<f64>,
    rounds: Vec<usize>,
    trees: Vec<ManyTree>,
    validation_losses: Vec<Vec<f64>>,
}

impl TryFrom<StoredMany> for ManyModel {
    type Error = &'static str;

    fn try_from(stored: StoredMany) -> Result<Self, Self::Error> {
        let StoredMany { objective, columns, constants, rounds, trees, validation_losses } = stored;
        let outputs = constants.len();
        let fits = |tree: &ManyTree| {
            tree.values.len() == tree.tree.leaves().len() * outputs
                && tree.tree.splits().iter().all(|split| split.feature < columns)
        };
        if rounds.len() != outputs || rounds.iter().any(|rounds| *rounds > trees.len()) || !trees.iter().all(fits) {
            return Err("trees, columns and outputs do not fit together");
        }
        Ok(Self { objective, columns, constants, rounds, trees, validation_losses })
    }
}

/// Outputs whose scores are summed side by side, in registers from tree to tree.
const TOGETHER: usize = 8;

/// The trees of a model of many outputs made ready for many rows, block by block on the calling thread.
#[derive(Debug)]
pub struct ManyForest<'a> {
    model: &'a ManyModel,
    grove: Grove<'a>,
    /// Where the leaves of each tree begin among those of all.
    starts: Vec<u32>,
    /// The leaves of all trees, each tree's from left to right, with the values of the first [`TOGETHER`] outputs; then all leaves with
    /// those of the next outputs; 0 beyond the last output.
    values: Vec<[f64; TOGETHER]>,
}

/// Rows that pass through all trees at a time.
const ROWS: usize = 64;

impl<'a> ManyForest<'a> {
    fn new(model: &'a ManyModel) -> Self {
        let grove = Grove::new(model.trees.iter().map(|tree| &tree.tree));
        let (outputs, mut starts, mut leaves) = (model.outputs(), Vec::new(), Vec::new());
        for (number, tree) in model.trees.iter().enumerate() {
            starts.push(leaves.len() as u32);
            leaves.extend(grove.leaves(number).iter().map(|leaf| &tree.values[leaf * outputs..][..outputs]));
        }
        let of_outputs = |first: usize| {
            let value = move |leaf: &&[f64], place: usize| leaf.get(first + place).copied().unwrap_or(0.0);
            leaves.iter().map(move |leaf| std::array::from_fn(|place| value(leaf, place)))
        };
        let values = (0..outputs).step_by(TOGETHER).flat_map(of_outputs).collect();
        Self { model, grove, starts, values }
    }

    /// Raw scores of the rows of a block, row by row. `leaves` and `answers` are memory, whatever they hold.
    ///
    /// # Panics
    /// When the block has fewer columns than the model, or `scores` is of other rows.
    pub fn raw(&self, sight: &Sight, scores: &mut [f64], leaves: &mut Vec<u32>, answers: &mut Vec<Answers>) {
        let (outputs, rows, trees) = (self.model.outputs(), sight.rows(), self.starts.len());
        assert!(
            self.model.columns <= sight.width() && scores.len() == rows * outputs,
            "a block of all columns and rows"
        );
        scores.chunks_exact_mut(outputs).for_each(|scores| scores.copy_from_slice(&self.model.constants));
        if self.model.columns == 0 || trees == 0 {
            return; // no column, no split, and nothing learned beyond the constants
        }
        leaves.resize(rows * trees, 0);
        self.grove.ask(sight, answers);
        let mut ends = Ends::new();
        for (number, start) in self.starts.iter().enumerate() {
            self.grove.ends(number, sight, answers, &mut ends);
            let of_tree = leaves.iter_mut().skip(number).step_by(trees);
            of_tree.zip(ends.places()).for_each(|(leaf, end)| *leaf = start + end);
        }
        let all = self.values.len() / outputs.div_ceil(TOGETHER);
        for (values, first) in self.values.chunks_exact(all).zip((0..outputs).step_by(TOGETHER)) {
            let together = (outputs - first).min(TOGETHER);
            for (scores, leaves) in scores.chunks_exact_mut(outputs).zip(leaves.chunks_exact(trees)) {
                let scores = &mut scores[first..first + together];
                let mut sums = [0.0; TOGETHER];
                sums[..together].copy_from_slice(scores);
                for &leaf in leaves {
                    sums.iter_mut().zip(&values[leaf as usize]).for_each(|(sum, value)| *sum += value);
                }
                scores.copy_from_slice(&sums[..together]);
            }
        }
    }
}

impl ManyModel {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.constants.len()
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Trees that each output uses.
    pub fn rounds(&self) -> &[usize] {
        &self.rounds
    }

    /// The same with no more than so many rounds of each output.
    ///
    /// # Errors
    /// Other than one number for each output.
    pub fn limited_to(mut self, rounds: &[usize]) -> Result<Self, FitError> {
        crate::models::check_length("rounds of the outputs", self.outputs(), rounds.len())?;
        let outputs = self.outputs();
        for (known, most) in self.rounds.iter_mut().zip(rounds) {
            *known = (*known).min(*most);
        }
        self.trees.truncate(self.rounds.iter().copied().max().unwrap_or(0));
        for (round, tree) in self.trees.iter_mut().enumerate() {
            for (place, value) in tree.values.iter_mut().enumerate() {
                if round >= self.rounds[place % outputs] {
                    *value = 0.0;
                }
            }
        }
        Ok(self)
    }

    /// For each output the mean validation loss after each round, as [`BoostedModel::validation_losses`], also of
    /// the rounds that it does not use.
    pub fn validation_losses(&self) -> &[Vec<f64>] {
        &self.validation_losses
    }

    /// Raw scores, n × K, of n × p `rows` (`NaN` where missing).
    ///
    /// # Errors
    /// Another width than at fitting, or an infinity.
    pub fn raw(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        if rows.ncols() != self.columns {
            return Err(FitError::WrongWidth { expected: self.columns, got: rows.ncols() });
        }
        first_infinity(rows)?;
        let (width, outputs) = (self.columns, self.outputs());
        let mut scores = Array2::zeros((rows.nrows(), outputs));
        let trees: Vec<&Tree> = self.trees.iter().map(|tree| &tree.tree).collect();
        let walker = Walker::new(trees.iter().copied());
        let starts = walker.by_node(&trees, (0, 0), |tree, leaf| (tree as u32, (leaf * outputs) as u32));
        let tasks = scores.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter();
        tasks.zip(rows.axis_chunks_iter(Axis(0), ROWS)).for_each(|(mut scores, rows)| {
            scores.rows_mut().into_iter().for_each(|mut scores| scores.assign(&aview1(&self.constants)));
            if width == 0 {
                return; // no column, no split, and nothing learned beyond the constants
            }
            let rows = rows.as_standard_layout();
            let rows = rows.as_slice().expect("a standard layout is contiguous");
            let scores = scores.as_slice_mut().expect("whole rows of a standard layout are contiguous");
            let mut ends = [0u32; ROWS];
            let ends = &mut ends[..rows.len() / width];
            for tree in 0..walker.trees() {
                walker.ends(tree, rows, width, ends);
                for (scores, &end) in scores.chunks_exact_mut(outputs).zip(&*ends) {
                    let (tree, start) = starts[end as usize];
                    let values = &self.trees[tree as usize].values[start as usize..][..outputs];
                    scores.iter_mut().zip(values).for_each(|(score, value)| *score += value);
                }
            }
        });
        Ok(scores)
    }

    /// The trees made ready for many rows.
    pub fn forest(&self) -> ManyForest<'_> {
        ManyForest::new(self)
    }

    /// What the outputs' scores are.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Predictions, n × K.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn predict(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>, FitError> {
        let mut scores = self.raw(rows)?;
        scores.par_mapv_inplace(|score| self.objective.prediction(score));
        Ok(scores)
    }

    /// One output as a model of its own, with contributions and all; `None` where there is no such output.
    pub fn output(&self, output: usize) -> Option<BoostedModel> {
        let trees = self.trees[..*self.rounds.get(output)?].iter().map(|ManyTree { tree, values }| {
            let mut tree = tree.clone();
            let values: Vec<f64> = values.iter().skip(output).step_by(self.outputs()).copied().collect();
            tree.set_values(&values);
            tree
        });
        Some(BoostedModel {
            objective: self.objective,
            columns: self.columns,
            constant: self.constants[output],
            trees: trees.collect(),
            validation_losses: self.validation_losses[output].clone(),
        })
    }
}
