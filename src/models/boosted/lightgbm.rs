//! LightGBM's text format, read and written: a model that was trained in Python is scored here, and ours there.
//!
//! The format is that of versions v3 and v4, as `save_model` writes it. It has no constant: it is in the leaves of the first tree. Thresholds and
//! leaves are written with 17 digits, so they are the same numbers on both sides. What the format has and we have not is refused by
//! name: several classes or outputs, linear leaves, averaged (random forest) trees, a sigmoid of another steepness.

use std::collections::HashMap;
use std::fmt::Write;

use super::Objective;
use super::model::BoostedModel;
use super::tree::{Child, Leaf, Missing, Question, Split, Tree};
use crate::error::{ExitCode, Explain};

/// Why a text is not taken as a LightGBM model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LightGbmError {
    /// It does not start as such a file does.
    #[error("no LightGBM model: the text starts with `{found}`, expected `tree`")]
    NotAModel {
        /// Its first line.
        found: String,
    },
    /// A version of the format that we do not know.
    #[error("LightGBM format `{found}` is not known; v3 and v4 are")]
    UnknownVersion {
        /// The version.
        found: String,
    },
    /// An objective that we do not have.
    #[error("LightGBM objective `{found}` is not known")]
    UnknownObjective {
        /// The objective, with its parameters.
        found: String,
    },
    /// Something that the format allows and our trees do not.
    #[error("{what} cannot be read")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// A line that must be there.
    #[error("{}`{key}` is missing", place(.tree))]
    MissingKey {
        /// The tree, from 0; `None` for the head of the file and its parameters.
        tree: Option<usize>,
        /// What the line should start with.
        key: &'static str,
    },
    /// A value that cannot be understood, or a list of another length than the number of leaves says.
    #[error("{}`{key}` is `{found}`", place(.tree))]
    BadValue {
        /// The tree, from 0; `None` for the head of the file and its parameters.
        tree: Option<usize>,
        /// What the line starts with.
        key: &'static str,
        /// The rest of it.
        found: String,
    },
    /// Nodes that do not hang together as a tree.
    #[error("tree {tree}: the nodes are no tree")]
    NoTree {
        /// The tree, from 0.
        tree: usize,
    },
}

fn place(tree: &Option<usize>) -> String {
    tree.map(|tree| format!("tree {tree}: ")).unwrap_or_default()
}

impl Explain for LightGbmError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::BundleUnusable
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownObjective { .. } => {
                vec![format!("these can be read: {}", KNOWN_OBJECTIVES.join(", "))]
            }
            _ => Vec::new(),
        }
    }
}

const KNOWN_OBJECTIVES: [&str; 8] =
    ["binary", "cross_entropy", "poisson", "tweedie", "gamma", "regression", "regression_l1", "quantile"];

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_ZERO: u8 = 1 << 2;
const MISSING_NAN: u8 = 2 << 2;

/// The lines `key=value` of a part of the file.
struct Lines<'a> {
    tree: Option<usize>,
    values: HashMap<&'a str, &'a str>,
}

impl<'a> Lines<'a> {
    fn of(tree: Option<usize>, text: &'a str) -> Self {
        Self { tree, values: text.lines().filter_map(|line| line.trim_end().split_once('=')).collect() }
    }

    fn get(&self, key: &'static str) -> Result<&'a str, LightGbmError> {
        self.values.get(key).copied().ok_or(LightGbmError::MissingKey { tree: self.tree, key })
    }

    fn bad(&self, key: &'static str) -> LightGbmError {
        let found = self.values.get(key).copied().unwrap_or_default().to_string();
        LightGbmError::BadValue { tree: self.tree, key, found }
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, LightGbmError> {
        self.get(key)?.parse().map_err(|_| self.bad(key))
    }

    fn list<T: std::str::FromStr>(&self, key: &'static str, length: usize) -> Result<Vec<T>, LightGbmError> {
        let list: Result<Vec<T>, _> = self.get(key)?.split_whitespace().map(str::parse).collect();
        list.ok().filter(|list| list.len() == length).ok_or_else(|| self.bad(key))
    }
}

impl BoostedModel {
    /// The model in a text that LightGBM wrote. Its predictions are LightGBM's for all rows of `f32`.
    ///
    /// # Errors
    /// What is wrong with the text, by name.
    pub fn from_lightgbm(text: &str) -> Result<Self, LightGbmError> {
        let first = text.lines().next().unwrap_or_default().trim_end();
        if first != "tree" {
            return Err(LightGbmError::NotAModel { found: first.chars().take(40).collect() });
        }
        let (text, parameters) = text.split_once("end of trees").unwrap_or((text, ""));
        let mut parts = text.split("\nTree=");
        let head_text = parts.next().unwrap_or_default();
        let head = Lines::of(None, head_text);
        let version = head.get("version")?;
        if !matches!(version, "v3" | "v4") {
            return Err(LightGbmError::UnknownVersion { found: version.into() });
        }
        if head.number::<usize>("num_tree_per_iteration")? != 1 || head.number::<usize>("num_class")? != 1 {
            return Err(LightGbmError::Unsupported { what: "a model of several classes or outputs" });
        }
        if head_text.lines().any(|line| line.trim_end() == "average_output") {
            return Err(LightGbmError::Unsupported { what: "a random forest, whose trees are averaged," });
        }
        let objective = objective(head.get("objective")?, parameters)?;
        let columns = head.number::<usize>("max_feature_idx")? + 1;
        let trees = parts.enumerate().map(|(at, text)| tree(at, text, columns)).collect::<Result<_, _>>()?;
        Ok(Self { objective, columns, constant: 0.0, trees, validation_losses: Vec::new() })
    }

    /// The model as a text that LightGBM reads, with the columns' `names`; LightGBM's raw scores are then ours without offsets. Blanks in names
    /// become `_`, which is all that the format needs.
    ///
    /// # Errors
    /// [`FitError::WrongWidth`](crate::models::FitError::WrongWidth) when there is not one name for each column.
    pub fn to_lightgbm(&self, names: &[String]) -> Result<String, crate::models::FitError> {
        if names.len() != self.columns {
            return Err(crate::models::FitError::WrongWidth { expected: self.columns, got: names.len() });
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

fn objective(found: &str, parameters: &str) -> Result<Objective, LightGbmError> {
    let parameter = |key: &'static str, name: &'static str| {
        let lines =
            parameters.lines().filter_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']')?.split_once(": "));
        let value = lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value);
        let value = value.ok_or(LightGbmError::MissingKey { tree: None, key })?;
        value.parse().map_err(|_| LightGbmError::BadValue { tree: None, key, found: value.into() })
    };
    match found.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["binary", "sigmoid:1"] | ["cross_entropy"] => Ok(Objective::Logistic),
        ["binary", ..] => Err(LightGbmError::Unsupported { what: "a logistic objective whose `sigmoid` is not 1" }),
        ["poisson"] => Ok(Objective::Poisson),
        ["tweedie"] => Ok(Objective::Tweedie { power: parameter("tweedie_variance_power", "tweedie_variance_power")? }),
        ["gamma"] => Ok(Objective::Gamma),
        ["regression"] => Ok(Objective::Squared),
        ["regression_l1"] => Ok(Objective::Quantile { alpha: 0.5 }),
        ["quantile"] => Ok(Objective::Quantile { alpha: parameter("alpha", "alpha")? }),
        _ => Err(LightGbmError::UnknownObjective { found: found.into() }),
    }
}

fn tree(at: usize, text: &str, columns: usize) -> Result<Tree, LightGbmError> {
    let lines = Lines::of(Some(at), text);
    let leaves: usize = lines.number("num_leaves")?;
    if lines.values.get("is_linear").is_some_and(|linear| *linear != "0") {
        return Err(LightGbmError::Unsupported { what: "a model with linear leaves" });
    }
    let values: Vec<f64> = lines.list("leaf_value", leaves)?;
    let no_tree = |_| LightGbmError::NoTree { tree: at };
    if leaves <= 1 {
        let leaf = |value: &f64| Leaf { value: *value, rows: 0, hessian: 0.0 };
        return Tree::new(Vec::new(), values.iter().map(leaf).collect()).map_err(no_tree);
    }
    let n = leaves - 1;
    let features: Vec<usize> = lines.list("split_feature", n)?;
    if features.iter().any(|feature| *feature >= columns) {
        return Err(lines.bad("split_feature"));
    }
    let thresholds: Vec<f64> = lines.list("threshold", n)?;
    let kinds: Vec<u8> = lines.list("decision_type", n)?;
    let gains: Vec<f64> = lines.list("split_gain", n)?;
    let children: [Vec<i64>; 2] = [lines.list("left_child", n)?, lines.list("right_child", n)?];
    let rows: Vec<u64> = lines.list("internal_count", n)?;
    let leaf_rows: Vec<u64> = lines.list("leaf_count", leaves)?;
    // Files of some older releases have no weights; nothing but an export needs them.
    let weights = |key, length| match lines.values.contains_key(key) {
        true => lines.list::<f64>(key, length),
        false => Ok(vec![0.0; length]),
    };
    let (hessians, leaf_hessians) = (weights("internal_weight", n)?, weights("leaf_weight", leaves)?);
    let n_sets: usize = lines.number("num_cat")?;
    let sets = if n_sets == 0 { Vec::new() } else { sets(&lines, n_sets)? };
    let split = |at: usize| {
        let question = if kinds[at] & CATEGORICAL == 0 {
            if thresholds[at].is_nan() {
                return Err(lines.bad("threshold"));
            }
            Question::AtMost(thresholds[at])
        } else {
            let set = sets.get(thresholds[at] as usize).ok_or_else(|| lines.bad("threshold"))?;
            Question::OneOf(set.clone())
        };
        let missing = match (kinds[at] & (MISSING_ZERO | MISSING_NAN), kinds[at] & DEFAULT_LEFT != 0) {
            _ if kinds[at] & CATEGORICAL != 0 => Missing::Right,
            (0, _) => Missing::IsZero,
            (MISSING_ZERO, true) => Missing::ZeroLeft,
            (MISSING_ZERO, false) => Missing::ZeroRight,
            (MISSING_NAN, true) => Missing::Left,
            (MISSING_NAN, false) => Missing::Right,
            _ => return Err(lines.bad("decision_type")),
        };
        Ok(Split {
            feature: features[at],
            question,
            missing,
            children: [Child::of(children[0][at]), Child::of(children[1][at])],
            gain: gains[at],
            rows: rows[at],
            hessian: hessians[at],
        })
    };
    let splits = (0..n).map(split).collect::<Result<_, _>>()?;
    let leaf = |at: usize| Leaf { value: values[at], rows: leaf_rows[at], hessian: leaf_hessians[at] };
    Tree::new(splits, (0..leaves).map(leaf).collect()).map_err(no_tree)
}

/// Sets of categories, one bit each.
fn sets(lines: &Lines, n: usize) -> Result<Vec<Vec<u32>>, LightGbmError> {
    let boundaries: Vec<usize> = lines.list("cat_boundaries", n + 1)?;
    let words: Vec<u32> = lines.list("cat_threshold", boundaries[n])?;
    let set = |pair: &[usize]| {
        let words = words.get(pair[0]..pair[1]).ok_or_else(|| lines.bad("cat_boundaries"))?;
        let bits = (0..words.len() as u32 * 32).filter(|bit| words[(bit / 32) as usize] >> (bit % 32) & 1 == 1);
        Ok(bits.collect())
    };
    boundaries.windows(2).map(set).collect()
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
    let means = super::contributions::node_means(tree);
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
