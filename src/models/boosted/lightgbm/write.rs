//! Writing.

use std::fmt::Write;

use super::{CATEGORICAL, DEFAULT_LEFT, MISSING_NAN, MISSING_ZERO};
use crate::models::FitError;
use crate::models::boosted::contributions::node_means;
use crate::models::boosted::model::BoostedModel;
use crate::models::boosted::objective::Objective;
use crate::models::boosted::tree::{Leaf, Missing, Question, Split, Tree};

impl BoostedModel {
    /// The model as a text that LightGBM reads, with the columns' `names`; LightGBM's raw scores are then ours without offsets. Blanks in names
    /// become `_`, which is all that the format needs.
    ///
    /// # Errors
    /// [`FitError::WrongWidth`] when there is not one name for each column.
    pub fn to_lightgbm(&self, names: &[String]) -> Result<String, FitError> {
        if names.len() != self.columns {
            return Err(FitError::WrongWidth { expected: self.columns, got: names.len() });
        }
        // The constant goes to the leaves of the first tree; where there is none, it is the only leaf of one.
        let mut trees = self.trees.clone();
        match trees.first_mut() {
            Some(first) => first.add_to_leaves(self.constant),
            None => {
                let leaf = Leaf { value: self.constant, rows: 0, hessian: 0.0 };
                trees.push(Tree::new(Vec::new(), vec![leaf]).expect("one leaf is a tree"));
            }
        }
        let texts: Vec<String> = trees.iter().enumerate().map(|(at, tree)| tree_text(at, tree)).collect();
        let sizes: Vec<usize> = texts.iter().map(String::len).collect();
        let names: Vec<String> =
            names.iter().map(|name| name.split_whitespace().collect::<Vec<_>>().join("_")).collect();
        let (objective, parameters) = match self.objective {
            Objective::Logistic => ("binary sigmoid:1", String::new()),
            Objective::Poisson => ("poisson", String::new()),
            Objective::Tweedie { power } => ("tweedie", format!("[tweedie_variance_power: {power}]\n")),
            Objective::Gamma => ("gamma", String::new()),
            Objective::Squared => ("regression", String::new()),
            Objective::Quantile { alpha } => ("quantile", format!("[alpha: {alpha}]\n")),
        };
        Ok(format!(
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\n\
             objective={objective}\nfeature_names={}\nfeature_infos={}\ntree_sizes={}\n\n{}end of trees\n\n\
             parameters:\n[boosting: gbdt]\n[objective: {}]\n{parameters}end of parameters\n",
            self.columns - 1,
            names.join(" "),
            self.feature_infos().join(" "),
            joined(&sizes),
            texts.concat(),
            objective.split(' ').next().unwrap_or(objective),
        ))
    }

    /// The range of each column, or its categories, as far as the trees tell; `none` where they do not ask about it.
    fn feature_infos(&self) -> Vec<String> {
        let mut infos = vec!["none".to_string(); self.columns];
        let mut known: Vec<Vec<u32>> = vec![Vec::new(); self.columns];
        for split in self.trees.iter().flat_map(Tree::splits) {
            match &split.question {
                Question::AtMost(_) => infos[split.feature] = "[-1e+308:1e+308]".into(),
                Question::OneOf(categories) => known[split.feature].extend(categories),
            }
        }
        for (info, mut categories) in infos.iter_mut().zip(known).filter(|(_, categories)| !categories.is_empty()) {
            categories.sort_unstable();
            categories.dedup();
            *info = categories.iter().map(u32::to_string).collect::<Vec<_>>().join(":");
        }
        infos
    }
}

fn joined<T: std::fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn tree_text(at: usize, tree: &Tree) -> String {
    let (splits, leaves) = (tree.splits(), tree.leaves());
    let mut boundaries = vec![0];
    let mut words: Vec<u32> = Vec::new();
    let mut thresholds = Vec::new();
    for split in splits {
        match &split.question {
            Question::AtMost(threshold) => thresholds.push(threshold.to_string()),
            Question::OneOf(categories) => {
                thresholds.push((boundaries.len() - 1).to_string());
                let start = words.len();
                words.resize(start + categories.last().map_or(1, |last| *last as usize / 32 + 1), 0);
                categories.iter().for_each(|c| words[start + *c as usize / 32] |= 1 << (c % 32));
                boundaries.push(words.len());
            }
        }
    }
    let kind = |split: &Split| {
        let missing = match split.missing {
            Missing::Left => MISSING_NAN | DEFAULT_LEFT,
            Missing::Right => MISSING_NAN,
            Missing::IsZero => 0,
            Missing::ZeroLeft => MISSING_ZERO | DEFAULT_LEFT,
            Missing::ZeroRight => MISSING_ZERO,
        };
        if matches!(split.question, Question::OneOf(_)) { CATEGORICAL | MISSING_NAN } else { missing }
    };
    let means = node_means(tree);
    let mut text = format!("Tree={at}\nnum_leaves={}\nnum_cat={}\n", leaves.len(), boundaries.len() - 1);
    let mut line = |key: &str, values: String| writeln!(text, "{key}={values}").expect("a string takes all");
    let of_splits = |value: &dyn Fn(&Split) -> String| splits.iter().map(value).collect::<Vec<_>>().join(" ");
    let of_leaves = |value: &dyn Fn(&Leaf) -> String| leaves.iter().map(value).collect::<Vec<_>>().join(" ");
    line("split_feature", of_splits(&|split| split.feature.to_string()));
    line("split_gain", of_splits(&|split| split.gain.to_string()));
    line("threshold", thresholds.join(" "));
    line("decision_type", of_splits(&|split| kind(split).to_string()));
    line("left_child", of_splits(&|split| split.children[0].number().to_string()));
    line("right_child", of_splits(&|split| split.children[1].number().to_string()));
    line("leaf_value", of_leaves(&|leaf| leaf.value.to_string()));
    line("leaf_weight", of_leaves(&|leaf| leaf.hessian.to_string()));
    line("leaf_count", of_leaves(&|leaf| leaf.rows.to_string()));
    line("internal_value", joined(&means));
    line("internal_weight", of_splits(&|split| split.hessian.to_string()));
    line("internal_count", of_splits(&|split| split.rows.to_string()));
    if boundaries.len() > 1 {
        line("cat_boundaries", joined(&boundaries));
        line("cat_threshold", joined(&words));
    }
    line("is_linear", "0".into());
    line("shrinkage", "1".into());
    text + "\n\n"
}
