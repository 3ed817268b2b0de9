//! The golden folder, and what every test of these models needs.

use std::path::PathBuf;

use bellwether::models::btyd::{Histories, Rfm, Spend};
use serde_json::Value;

/// Golden values are right to all digits printed; plain `f64` reaches 4e-11 (golden README).
pub const GOLDEN: f64 = 1e-9;

/// Below this a probability or a count is nothing: golden counts an absolute 1e-13 as right.
pub const NOTHING: f64 = 1e-13;

/// Estimates: the optimum is flat, so that packages agree to 4 to 6 digits (golden README).
pub const ESTIMATES: f64 = 1e-5;

/// Parameters of the paper's table 2, in weeks.
pub const PAPER: [f64; 4] = [0.243, 4.414, 0.793, 2.426];

pub const DAYS_IN_WEEK: f64 = 7.0;

pub fn rfm(x: f64, t_x: f64, t: f64) -> Rfm {
    Rfm::new(x, t_x, t).unwrap()
}

pub fn assert_near(got: f64, want: f64, tolerance: f64, what: &str) {
    let near = (got - want).abs() <= (tolerance * want.abs()).max(NOTHING);
    assert!(near, "{what}: {got:e} is not {want:e}");
}

pub fn golden_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    folder.join("btyd.json").is_file().then_some(folder)
}

/// The golden numbers, or a line that says that a test skips.
pub fn golden(test: &str) -> Option<(PathBuf, Value)> {
    let Some(folder) = golden_folder() else {
        eprintln!("{test}: skipped, ../shared/golden/btyd.json is not here");
        return None;
    };
    // Python wrote NaN for two correlations of a constant; JSON has no such word.
    let text = std::fs::read_to_string(folder.join("btyd.json")).unwrap().replace(": NaN", ": null");
    Some((folder, serde_json::from_str(&text).unwrap()))
}

/// A number, which golden writes as text where digits matter.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

pub fn numbers<const N: usize>(object: &Value, names: [&str; N]) -> [f64; N] {
    names.map(|name| number(&object[name]))
}

/// A customer of a golden table: history in days, mean of repeat orders, orders and spend in the holdout.
pub struct Customer {
    pub days: Rfm,
    pub repeat_spend: f64,
    pub orders_later: f64,
    pub spend_later: f64,
}

impl Customer {
    pub fn mean(&self) -> Option<f64> {
        (self.days.x() > 0.0).then(|| self.repeat_spend / self.days.x())
    }
}

pub fn customers(folder: &std::path::Path, file: &str) -> Vec<Customer> {
    let mut table = csv::Reader::from_path(folder.join("data").join(file)).unwrap();
    let names = table.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|held| held == name).unwrap();
    let columns = ["x", "tx_days", "T_days", "spend_repeat", "x_hold", "spend_hold"].map(at);
    table
        .records()
        .map(|row| {
            let row = row.unwrap();
            let [x, t_x, t, repeat_spend, orders_later, spend_later] =
                columns.map(|column| row[column].parse::<f64>().unwrap());
            Customer { days: rfm(x, t_x, t), repeat_spend, orders_later, spend_later }
        })
        .collect()
}

pub fn histories(customers: &[Customer]) -> Histories {
    Histories::new(&customers.iter().map(|customer| customer.days).collect::<Vec<_>>())
}

pub fn spends(customers: &[Customer]) -> Vec<Spend> {
    customers.iter().filter_map(|c| c.mean().map(|mean| Spend::new(c.days.x(), mean).unwrap())).collect()
}

/// Log-likelihood over weeks of one that was reckoned over days: a density by x times.
pub fn in_weeks(ln_likelihood_in_days: f64, histories: &Histories) -> f64 {
    ln_likelihood_in_days + histories.totals().0 * DAYS_IN_WEEK.ln()
}
