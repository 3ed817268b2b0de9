//! The comparison as a person reads it.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::{Clv, Contracts, ModelLine, Periods};
use crate::models::btyd::FitAccount;

/// Five significant digits: what printed tables of these models have.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.4e}");
    }
    let places = (4.0 - size.log10().floor()).max(0.0) as usize;
    format!("{value:.places$}")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    for column in 1..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn section(text: &mut String, title: &str, table: &Table) {
    let _ = writeln!(text, "\n{title}");
    for line in table.lines() {
        let _ = writeln!(text, " {}", line.trim_end());
    }
}

const HELD: &str = " held by a prior: these data do not determine the parameters, so they have no standard errors\n";

/// Parameters with their standard errors, two blanks before each.
fn estimates(account: &FitAccount) -> String {
    let one = |parameter: &crate::models::btyd::FittedParameter| {
        let error = parameter.standard_error.map_or("–".to_string(), digits);
        format!("  {} {} (± {error})", parameter.letter, digits(parameter.value))
    };
    account.parameters.iter().map(one).collect()
}

/// A fit of a model that stands alone.
fn alone(text: &mut String, account: &FitAccount, bic: f64) {
    let _ = write!(
        text,
        "\n{}: ln L {:.3}, BIC {bic:.2}, {} iterations, gradient {:.0e}, {}\n{}\n",
        account.model,
        account.ln_likelihood,
        account.iterations,
        account.gradient_norm,
        format!("{:?}", account.stop).to_lowercase(),
        estimates(account),
    );
    if account.shrunk {
        text.push_str(HELD);
    }
}

fn written(text: &mut String, what: &str, path: Option<&std::path::PathBuf>) {
    if let Some(path) = path {
        let _ = writeln!(text, "\n{what}: {}", path.display());
    }
}

fn auc(area: Option<f64>) -> String {
    area.map_or("–".into(), |area| format!("{area:.4}"))
}

impl Periods {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} customers, {} of them acted again, in {} of up to {} opportunities each (a {})",
            self.customers, self.repeat_buyers, self.acts, self.most_opportunities, self.period
        );
        if let Some(end) = self.calibration_end {
            let _ = write!(text, "; fitted on what happened before {end}");
        }
        text.push('\n');
        alone(&mut text, &self.account, self.bic);
        if let Some(holdout) = &self.holdout {
            let _ = writeln!(
                text,
                "\nHoldout of {} opportunities: {:.1} acts foreseen, {} came; MAE {:.4}, RMSE {:.4}; \
                 AUC of an act {}, of alive {}",
                holdout.periods,
                holdout.expected_acts,
                holdout.actual_acts,
                holdout.mae,
                holdout.rmse,
                auc(holdout.roc_auc),
                auc(holdout.roc_auc_of_alive),
            );
        }
        written(&mut text, "customers", self.written.as_ref());
        text
    }
}

/// Rows of the table of contracts that a terminal shows.
const SHOWN: usize = 24;

impl Contracts {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} contracts, {} of them cancelled\n", self.contracts, self.cancelled);
        alone(&mut text, &self.account, self.bic);
        let mut rows = table(&["renewals", "seen", "survival", "leave next", "discounted renewals"]);
        for row in self.periods.iter().take(SHOWN) {
            rows.add_row([
                row.period.to_string(),
                row.observed_survival.map_or("–".into(), |share| format!("{share:.4}")),
                format!("{:.4}", row.survival),
                format!("{:.4}", row.churn_probability),
                format!("{:.3}", row.discounted_renewals),
            ]);
        }
        section(&mut text, &format!("By period (a {})", self.period), &rows);
        written(&mut text, "periods", self.written.as_ref());
        text
    }
}

impl Clv {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} customers, {} of them with repeat orders, {} repeat orders",
            self.customers, self.repeat_buyers, self.repeat_orders
        );
        if let Some(end) = self.calibration_end {
            let _ = write!(text, "; fitted on what happened before {end}");
        }
        if let Some(days) = self.holdout_days {
            let _ = write!(text, ", judged on the {days} days from then on");
        }
        text.push('\n');
        self.fits(&mut text);
        self.holdout(&mut text);
        if let Some(spend) = &self.spend {
            let parameters: Vec<String> = spend
                .parameters
                .iter()
                .map(|(letter, value, error)| match error {
                    Some(error) => format!("{letter} {} (± {})", digits(*value), digits(*error)),
                    None => format!("{letter} {}", digits(*value)),
                })
                .collect();
            let _ = writeln!(
                text,
                "\nSpend: {} over {} customers, {}, ln L {:.3}; an order of a new customer is worth {}",
                spend.model,
                spend.customers,
                parameters.join(", "),
                spend.ln_likelihood,
                digits(spend.population_mean)
            );
            if let Some(because) = spend.because {
                let _ = writeln!(text, " not Gamma-Gamma: {because}");
            }
        }
        for failed in &self.failed {
            let _ = writeln!(text, "\nnot fitted: {}, {}", failed.model, failed.reason);
        }
        written(&mut text, "customers", self.written.as_ref());
        text
    }

    fn fits(&self, text: &mut String) {
        let mut fits = table(&["model", "ln L", "BIC", "iterations", "gradient", "stop"]);
        let mut parameters = String::new();
        let width = self.models.iter().map(|line| line.account.model.len()).max().unwrap_or(0).max(12);
        for ModelLine { account, bic, .. } in &self.models {
            fits.add_row([
                account.model.clone(),
                format!("{:.3}", account.ln_likelihood),
                format!("{bic:.2}"),
                account.iterations.to_string(),
                format!("{:.0e}", account.gradient_norm),
                format!("{:?}{}", account.stop, if account.shrunk { ", held by a prior" } else { "" }).to_lowercase(),
            ]);
            let _ = writeln!(parameters, " {:<width$}{}", account.model, estimates(account));
        }
        section(text, "Fits, the best by BIC first", &fits);
        let _ = write!(text, "\nParameters and standard errors, times in {}\n{parameters}", self.unit.name());
        if self.models.iter().any(|line| line.account.shrunk) {
            text.push_str(HELD);
        }
    }

    fn holdout(&self, text: &mut String) {
        let mut rows = table(&[
            "model",
            "orders",
            "came",
            "error",
            "MAE",
            "RMSE",
            "AUC of an order",
            "AUC of alive",
            "tracking",
            "value",
            "came",
        ]);
        let share = |share: f64| format!("{:.2} %", 100.0 * share);
        let or_nothing = |number: Option<String>| number.unwrap_or_else(|| "–".into());
        let mut any = false;
        for line in &self.models {
            let Some(holdout) = &line.holdout else { continue };
            any = true;
            let error = (holdout.actual_orders > 0.0).then(|| holdout.expected_orders / holdout.actual_orders - 1.0);
            rows.add_row([
                line.account.model.clone(),
                format!("{:.1}", holdout.expected_orders),
                format!("{}", holdout.actual_orders),
                or_nothing(error.map(share)),
                format!("{:.4}", holdout.mae),
                format!("{:.4}", holdout.rmse),
                auc(holdout.roc_auc),
                auc(holdout.roc_auc_of_alive),
                or_nothing(holdout.tracking_error.map(share)),
                or_nothing(holdout.expected_value.map(|value| format!("{value:.0}"))),
                format!("{:.0}", holdout.actual_value),
            ]);
        }
        if any {
            section(text, "Holdout", &rows);
        }
    }
}
