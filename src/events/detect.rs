//! Finding the mapping: what the configuration says, then names and content.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::EventsError;
use super::mapping::{Mapped, Mapping};
use super::numbers;
use super::schema::{CellType, Column, Kind, Role, normalised};
use super::times::{self, Detected, Epoch, TimeStyle};
use crate::config::{EventsConfig, nearest};
use crate::time::Day;

/// Finds the mapping of a file with those columns.
pub(crate) fn detect(
    columns: &[Column],
    config: &EventsConfig,
    timezone: &str,
    path: &Path,
) -> Result<Mapping, EventsError> {
    let mut finder =
        Finder { columns, config, path, chosen: BTreeMap::new(), none: BTreeSet::new(), unlikely: Vec::new() };
    finder.configured()?;
    for role in [Role::CustomerId, Role::Ts, Role::Event] {
        finder.search(role)?;
    }
    // A configured price says how the value is made.
    let price_is_wanted = finder.chosen.contains_key(&Role::UnitPrice) && !finder.chosen.contains_key(&Role::Value);
    if !price_is_wanted {
        finder.search(Role::Value)?;
    }
    finder.search(Role::Quantity)?;
    if !finder.has(Role::Value) && !finder.none.contains(&Role::Value) {
        finder.search(Role::UnitPrice)?;
    }
    for role in [
        Role::Product,
        Role::Category,
        Role::Channel,
        Role::Device,
        Role::Campaign,
        Role::OrderId,
        Role::EventId,
        Role::ReceivedAt,
    ] {
        finder.search(role)?;
    }
    finder.finish(timezone)
}

struct Chosen {
    at: usize,
    is_configured: bool,
}

struct Finder<'a> {
    columns: &'a [Column],
    config: &'a EventsConfig,
    path: &'a Path,
    chosen: BTreeMap<Role, Chosen>,
    /// Roles that the configuration rules out.
    none: BTreeSet<Role>,
    /// Columns of a fitting name whose content does not fit.
    unlikely: Vec<(Role, usize)>,
}

impl Finder<'_> {
    fn has(&self, role: Role) -> bool {
        self.chosen.contains_key(&role)
    }

    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Takes what the configuration says.
    fn configured(&mut self) -> Result<(), EventsError> {
        for (name, column) in &self.config.columns {
            let role = Role::named(name).ok_or_else(|| EventsError::UnknownRole {
                name: name.clone(),
                nearest: nearest(name, Role::ALL.iter().map(|role| role.name())),
            })?;
            if column.is_empty() {
                self.none.insert(role);
                continue;
            }
            let at = self.position(column).ok_or_else(|| EventsError::NoSuchColumn {
                path: self.path.into(),
                role,
                column: column.clone(),
                nearest: nearest(column, self.columns.iter().map(|column| column.name.as_str())),
                columns: self.names(),
            })?;
            self.only_one(at)?;
            self.check_type(role, at)?;
            self.chosen.insert(role, Chosen { at, is_configured: true });
        }
        Ok(())
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    fn only_one(&self, at: usize) -> Result<(), EventsError> {
        let name = &self.columns[at].name;
        let times = self.columns.iter().filter(|column| column.name == *name).count();
        if times == 1 {
            return Ok(());
        }
        Err(EventsError::DoubledColumn { path: self.path.into(), column: name.clone(), times })
    }

    /// Whether a column of the role's own name, or a configured one, can be what it is said to be.
    fn check_type(&self, role: Role, at: usize) -> Result<(), EventsError> {
        let column = &self.columns[at];
        let wrong = |found: String| EventsError::WrongType {
            path: self.path.into(),
            column: column.name.clone(),
            role,
            found,
            expected: role.expected(),
        };
        if !column.cell_type.can_be(role.kind()) {
            return Err(wrong(format!("of type {}", column.type_name)));
        }
        if role.kind() == Kind::Number && !self.is_likely(role, at) {
            let examples: Vec<String> = column.cells.iter().take(3).map(|cell| format!("`{cell}`")).collect();
            return Err(wrong(format!("text such as {}", examples.join(", "))));
        }
        Ok(())
    }

    /// Whether the content of a column fits a role.
    fn is_likely(&self, role: Role, at: usize) -> bool {
        let column = &self.columns[at];
        if !column.cell_type.can_be(role.kind()) {
            return false;
        }
        match role.kind() {
            Kind::Text => true,
            Kind::Number => {
                let comma = numbers::has_decimal_comma(&column.cells);
                let fits = |cell: &&String| {
                    !matches!(numbers::number(cell.as_bytes(), comma), Err(numbers::NumberFault::Unreadable))
                };
                column.cell_type != CellType::Text || column.cells.iter().filter(fits).count() * 2 >= column.cells.len()
            }
            Kind::Time => match self.time_style(role, column) {
                Some(found) => found.readable * 2 >= column.cells.len(),
                None => column.cells.is_empty() || column.cell_type == CellType::Time,
            },
        }
    }

    /// How a column writes its times; `None` when it is typed, empty or no times.
    fn time_style(&self, role: Role, column: &Column) -> Option<Detected> {
        if column.cell_type == CellType::Time || column.cells.is_empty() {
            return None;
        }
        match configured_style(&self.config.time_format) {
            Some(style) => {
                let found = times::judge(style, &column.cells, false);
                // `time_format` is about `ts`; the time of receipt may be written by another system.
                let is_its_own = role == Role::ReceivedAt && found.readable * 2 < column.cells.len();
                if is_its_own { times::detect(&column.cells) } else { Some(found) }
            }
            None => times::detect(&column.cells),
        }
    }

    /// Looks for a role's column among those that are free.
    fn search(&mut self, role: Role) -> Result<(), EventsError> {
        if self.has(role) || self.none.contains(&role) {
            return Ok(());
        }
        let taken: BTreeSet<usize> = self.chosen.values().map(|chosen| chosen.at).collect();
        for (rank, tier) in role.synonyms().iter().enumerate() {
            let mut matching = Vec::new();
            for (at, column) in self.columns.iter().enumerate() {
                if taken.contains(&at) || !tier.contains(&normalised(&column.name).as_str()) {
                    continue;
                }
                if self.is_likely(role, at) {
                    matching.push(at);
                } else if rank == 0 && role.kind() != Kind::Time {
                    self.check_type(role, at)?;
                } else {
                    self.unlikely.push((role, at));
                }
            }
            match *matching.as_slice() {
                [] => {}
                [at] => {
                    self.chosen.insert(role, Chosen { at, is_configured: false });
                    return Ok(());
                }
                [first, ..] => {
                    self.only_one(first)?;
                    let columns = matching.iter().map(|&at| self.columns[at].name.clone()).collect();
                    return Err(EventsError::Ambiguous { path: self.path.into(), role, columns });
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, timezone: &str) -> Result<Mapping, EventsError> {
        let mut warnings = Vec::new();
        let mut is_product = false;
        if let Some(price) = self.chosen.remove(&Role::UnitPrice) {
            if self.has(Role::Value) || self.none.contains(&Role::Value) {
                if price.is_configured {
                    warnings.push(format!(
                        "`{}` is not used: the value has a column of its own",
                        self.columns[price.at].name
                    ));
                }
            } else if self.has(Role::Quantity) {
                is_product = true;
                self.chosen.insert(Role::UnitPrice, price);
            } else {
                // One unit a row.
                self.chosen.insert(Role::Value, price);
            }
        }
        self.times_must_be_found()?;
        let missing: Vec<Role> = [Role::CustomerId, Role::Ts].into_iter().filter(|&role| !self.has(role)).collect();
        if !missing.is_empty() {
            return Err(EventsError::MissingColumns {
                path: self.path.into(),
                missing,
                columns: self.names(),
                looks_like: self.header_looks_like(),
            });
        }
        for (role, at) in &self.unlikely {
            if !self.chosen.values().any(|chosen| chosen.at == *at) {
                let column = &self.columns[*at];
                let example = column.cells.first().map(|cell| format!(", for instance `{cell}`")).unwrap_or_default();
                warnings.push(format!(
                    "`{}` is not taken as `{}`: it does not hold {}{example}",
                    column.name,
                    role.name(),
                    role.expected()
                ));
            }
        }
        let mut mapping = Mapping {
            columns: BTreeMap::new(),
            value_is_price_times_quantity: is_product,
            implied_event: None,
            negative_event: None,
            timezone: timezone.into(),
            unused: Vec::new(),
            warnings,
            time_styles: BTreeMap::new(),
            decimal_comma: BTreeSet::new(),
        };
        if !self.has(Role::Event) {
            mapping.implied_event = Some(self.config.order_event.clone());
            let has_sign = self.has(Role::Value) || self.has(Role::Quantity);
            mapping.negative_event =
                (has_sign && !self.config.negative_event.is_empty()).then(|| self.config.negative_event.clone());
        }
        for (&role, chosen) in &self.chosen {
            let column = &self.columns[chosen.at];
            let mut style = None;
            if role.kind() == Kind::Time {
                if let Some(found) = self.time_style(role, column) {
                    style = Some(found.style.to_string());
                    mapping.time_styles.insert(role, found);
                }
            } else if role.kind() == Kind::Number
                && column.cell_type == CellType::Text
                && numbers::has_decimal_comma(&column.cells)
            {
                style = Some("with a decimal comma".into());
                mapping.decimal_comma.insert(role);
            }
            mapping
                .columns
                .insert(role, Mapped { column: column.name.clone(), is_configured: chosen.is_configured, style });
        }
        let used: BTreeSet<usize> = self.chosen.values().map(|chosen| chosen.at).collect();
        mapping.unused = self
            .columns
            .iter()
            .enumerate()
            .filter(|(at, _)| !used.contains(at))
            .map(|(_, column)| column.name.clone())
            .collect();
        Ok(mapping)
    }

    /// Times that are there but cannot be read are another matter than a missing column.
    fn times_must_be_found(&self) -> Result<(), EventsError> {
        let at = match self.chosen.get(&Role::Ts) {
            Some(chosen) => chosen.at,
            None => match self.unlikely.iter().find(|(role, _)| *role == Role::Ts) {
                Some((_, at)) => *at,
                None => return Ok(()),
            },
        };
        self.check_times(Role::Ts, at)?;
        match self.chosen.get(&Role::ReceivedAt) {
            Some(chosen) => self.check_times(Role::ReceivedAt, chosen.at),
            None => Ok(()),
        }
    }

    fn check_times(&self, role: Role, at: usize) -> Result<(), EventsError> {
        let column = &self.columns[at];
        if !column.cell_type.can_be(Kind::Time) {
            return self.check_type(role, at);
        }
        if column.cells.is_empty() {
            return Ok(());
        }
        let found = match column.cell_type {
            CellType::Time => {
                let style = TimeStyle::Epoch(Epoch::Microseconds);
                let plausible = column.cells.iter().filter(|cell| is_plausible(cell)).count();
                Detected { style, readable: column.cells.len(), in_range: plausible, is_ambiguous: false }
            }
            _ => self.time_style(role, column).unwrap_or(Detected {
                style: TimeStyle::Digits,
                readable: 0,
                in_range: 0,
                is_ambiguous: false,
            }),
        };
        if found.readable * 2 < column.cells.len() {
            return Err(EventsError::TimesUnreadable {
                path: self.path.into(),
                column: column.name.clone(),
                readable: found.readable,
                sampled: column.cells.len(),
                examples: column.cells.iter().take(3).cloned().collect(),
            });
        }
        if found.in_range * 2 >= found.readable {
            return Ok(());
        }
        let example = column.cells.iter().find(|cell| !in_range_as(&found.style, cell)).cloned().unwrap_or_default();
        let number = example.parse::<f64>().ok();
        let better = number.and_then(|number| {
            if column.cell_type == CellType::Time {
                // The column's unit is in its type: seconds were meant where it says milliseconds, or the like.
                let (factor, words) = [
                    (1e-3, "a thousandth of it"),
                    (1e-6, "a millionth of it"),
                    (1e-9, "a billionth of it"),
                    (1e3, "a thousand times it"),
                    (1e6, "a million times it"),
                ]
                .into_iter()
                .find(|(factor, _)| matches!(times::better_unit(number * factor), Some((Epoch::Microseconds, _))))?;
                Some((words.to_string(), times::better_unit(number * factor)?.1.to_string()))
            } else {
                times::better_unit(number).map(|(epoch, day)| (epoch.name().to_string(), day.to_string()))
            }
        });
        let read_as = match column.cell_type {
            CellType::Time => format!("the type says, {}", year_of(number.unwrap_or_default())),
            _ => found.style.to_string(),
        };
        Err(EventsError::TimesOutOfRange {
            path: self.path.into(),
            column: column.name.clone(),
            example,
            read_as,
            better,
        })
    }

    /// What kind of first line this is, when it does not seem to be a header.
    fn header_looks_like(&self) -> Option<&'static str> {
        let is_data = |name: &str| {
            name.trim().parse::<f64>().is_ok() || times::detect(&[name]).is_some_and(|found| found.in_range > 0)
        };
        match self.columns {
            [only] if only.name.split_whitespace().count() > 1 => {
                Some(if only.name.split_whitespace().any(is_data) { "blanks, data" } else { "blanks" })
            }
            columns if columns.iter().any(|column| is_data(&column.name)) => Some("data"),
            _ => None,
        }
    }
}

fn is_plausible(micros: &str) -> bool {
    micros.parse().is_ok_and(|micros| times::in_range(micros).is_ok())
}

fn in_range_as(style: &TimeStyle, cell: &str) -> bool {
    times::judge(style.clone(), &[cell], false).in_range == 1
}

fn year_of(micros: f64) -> String {
    let days = micros / crate::time::DAY_MICROS as f64;
    if days.abs() < 700_000.0 {
        Day(days.floor() as i32).to_string()
    } else {
        format!("about the year {:.0}", 1970.0 + days / 365.2425)
    }
}

/// The style of `time_format`; `None` when it is to be found out.
pub(crate) fn configured_style(format: &str) -> Option<TimeStyle> {
    Some(match format {
        "" => return None,
        "s" => TimeStyle::Epoch(Epoch::Seconds),
        "ms" => TimeStyle::Epoch(Epoch::Milliseconds),
        "us" => TimeStyle::Epoch(Epoch::Microseconds),
        "ns" => TimeStyle::Epoch(Epoch::Nanoseconds),
        pattern => TimeStyle::Pattern(pattern.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::Explain;

    fn columns(described: &[(&str, &[&str])]) -> Vec<Column> {
        described
            .iter()
            .map(|(name, cells)| Column {
                name: name.to_string(),
                cell_type: CellType::Text,
                type_name: "text".into(),
                cells: cells.iter().map(ToString::to_string).collect(),
            })
            .collect()
    }

    fn config(text: &str) -> EventsConfig {
        Config::parse(text, Path::new("shop.toml")).unwrap().events
    }

    fn found(described: &[(&str, &[&str])], text: &str) -> Result<Vec<String>, EventsError> {
        let mapping = detect(&columns(described), &config(text), "UTC", Path::new("events.csv"))?;
        let mut shown: Vec<String> =
            mapping.columns.iter().map(|(role, mapped)| format!("{}={}", role.name(), mapped.column)).collect();
        if mapping.value_is_price_times_quantity {
            shown.push("product".into());
        }
        Ok(shown)
    }

    const DAY: &[&str] = &["2024-03-01"];

    #[test]
    fn a_better_name_wins_over_a_worse_one() {
        let coffee: &[(&str, &[&str])] = &[
            ("date", &["2024/3/1"]),
            ("datetime", &["2024/3/1 10:15"]),
            ("cash_type", &["card"]),
            ("card", &["ANON-1"]),
            ("money", &["38.7"]),
            ("coffee_name", &["Latte"]),
        ];
        assert_eq!(
            found(coffee, "").unwrap(),
            ["customer_id=card", "ts=datetime", "value=money", "product=coffee_name"]
        );
    }

    #[test]
    fn price_and_quantity_make_the_value_unless_there_is_one() {
        let retail: &[(&str, &[&str])] = &[
            ("InvoiceNo", &["1"]),
            ("Quantity", &["6"]),
            ("InvoiceDate", DAY),
            ("UnitPrice", &["2.5"]),
            ("CustomerID", &["17850.0"]),
        ];
        let wanted = [
            "customer_id=CustomerID",
            "ts=InvoiceDate",
            "unit_price=UnitPrice",
            "quantity=Quantity",
            "order_id=InvoiceNo",
            "product",
        ];
        assert_eq!(found(retail, "").unwrap(), wanted);
        let total: &[(&str, &[&str])] =
            &[("user", &["1"]), ("date", DAY), ("price", &["1"]), ("qty", &["2"]), ("total", &["2"])];
        assert_eq!(found(total, "").unwrap(), ["customer_id=user", "ts=date", "value=total", "quantity=qty"]);
        let wanted = ["customer_id=user", "ts=date", "unit_price=price", "quantity=qty", "product"];
        assert_eq!(found(total, "[events.columns]\nunit_price = 'price'").unwrap(), wanted);
        assert_eq!(
            found(total, "[events.columns]\nvalue = ''").unwrap(),
            ["customer_id=user", "ts=date", "quantity=qty"]
        );
        let price_alone: &[(&str, &[&str])] = &[("user", &["1"]), ("date", DAY), ("price", &["1"])];
        assert_eq!(found(price_alone, "").unwrap(), ["customer_id=user", "ts=date", "value=price"]);
    }

    #[test]
    fn two_equal_matches_are_an_error_with_the_lines_to_write() {
        let described: &[(&str, &[&str])] = &[("user_id", &["1"]), ("Client ID", &["2"]), ("ts", DAY)];
        let error = found(described, "").unwrap_err();
        assert_eq!(error.to_string(), "events.csv: `user_id` and `Client ID` could all be `customer_id`");
        assert!(error.hints()[1].contains("`customer_id = \"Client ID\"`"), "{:?}", error.hints());
        assert_eq!(
            found(described, "[events.columns]\ncustomer_id = 'user_id'").unwrap(),
            ["customer_id=user_id", "ts=ts"]
        );
        let doubled: &[(&str, &[&str])] = &[("user_id", &["1"]), ("user_id", &["2"]), ("ts", DAY)];
        assert!(matches!(found(doubled, ""), Err(EventsError::DoubledColumn { times: 2, .. })));
    }

    #[test]
    fn missing_columns_list_what_there_is() {
        let error = found(&[("a", &["1"]), ("ts", DAY)], "").unwrap_err();
        assert!(matches!(&error, EventsError::MissingColumns { missing, .. } if *missing == [Role::CustomerId]));
        assert!(error.details()[0].contains("`a` and `ts`"), "{:?}", error.details());
        let error = found(&[(" 00004 0001 19970101  2   29.33", &[])], "").unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("whitespace")));
        let error = found(&[("17850", &[]), ("2024-01-01", &[])], "").unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("header = false")));
    }

    #[test]
    fn content_decides_where_names_do_not() {
        let described: &[(&str, &[&str])] =
            &[("user", &["1"]), ("date", DAY), ("time", &["10:15"]), ("amount", &["cash"])];
        assert_eq!(found(described, "").unwrap(), ["customer_id=user", "ts=date"]);
        let described: &[(&str, &[&str])] = &[("user", &["1"]), ("date", DAY), ("value", &["cash"])];
        assert!(matches!(found(described, ""), Err(EventsError::WrongType { .. })));
        let error = found(&[("user", &["1"]), ("ts", &["soon", "later"])], "").unwrap_err();
        assert!(matches!(&error, EventsError::TimesUnreadable { readable: 0, .. }), "{error}");
    }

    #[test]
    fn a_wrong_unit_is_named() {
        let described: &[(&str, &[&str])] = &[("user", &["1"]), ("ts", &["1709288100000"])];
        assert!(found(described, "").is_ok());
        let error = found(described, "[events]\ntime_format = 's'").unwrap_err();
        assert!(matches!(error, EventsError::TimesOutOfRange { .. }));
        assert!(
            error.hints()[0].contains("milliseconds") && error.hints()[0].contains("2024-03-01"),
            "{:?}",
            error.hints()
        );
    }

    #[test]
    fn configured_names_must_exist() {
        let described: &[(&str, &[&str])] = &[("CustomerID", &["1"]), ("ts", DAY)];
        let error = found(described, "[events.columns]\ncustomer_id = 'CustomerId'").unwrap_err();
        assert!(
            matches!(&error, EventsError::NoSuchColumn { nearest: Some(name), .. } if name == "CustomerID"),
            "{error}"
        );
        let error = found(described, "[events.columns]\ncustomer = 'CustomerID'").unwrap_err();
        assert!(
            matches!(&error, EventsError::UnknownRole { nearest: Some(name), .. } if name == "customer_id"),
            "{error}"
        );
    }
}
