//! Reading.

use std::collections::HashMap;

use super::{CATEGORICAL, DEFAULT_LEFT, LightGbmError, MISSING_NAN, MISSING_ZERO};
use crate::models::boosted::model::BoostedModel;
use crate::models::boosted::objective::Objective;
use crate::models::boosted::tree::{Child, Leaf, Missing, Question, Split, Tree};

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
