//! The comparison as a person reads it.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::{Clv, ModelLine};

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
        if let Some(path) = &self.written {
            let _ = writeln!(text, "\ncustomers: {}", path.display());
        }
        text
    }

    fn fits(&self, text: &mut String) {
        let mut fits = table(&["model", "ln L", "BIC", "iterations", "gradient", "stop"]);
        let mut parameters = String::new();
        for ModelLine { account, bic, .. } in &self.models {
            fits.add_row([
                account.model.clone(),
                format!("{:.3}", account.ln_likelihood),
                format!("{bic:.2}"),
                account.iterations.to_string(),
                format!("{:.0e}", account.gradient_norm),
                format!("{:?}{}", account.stop, if account.shrunk { ", held by a prior" } else { "" }).to_lowercase(),
            ]);
            let _ = write!(parameters, " {:<12}", account.model);
            for parameter in &account.parameters {
                let error = parameter.standard_error.map_or("–".to_string(), digits);
                let _ = write!(parameters, "  {} {} (± {error})", parameter.letter, digits(parameter.value));
            }
            parameters.push('\n');
        }
        section(text, "Fits, the best by BIC first", &fits);
        let _ = write!(text, "\nParameters and standard errors, times in {}\n{parameters}", self.unit.name());
        if self.models.iter().any(|line| line.account.shrunk) {
            text.push_str(
                " held by a prior: these data do not determine the parameters, so they have no standard errors\n",
            );
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
                or_nothing(holdout.roc_auc.map(|auc| format!("{auc:.4}"))),
                or_nothing(holdout.roc_auc_of_alive.map(|auc| format!("{auc:.4}"))),
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
