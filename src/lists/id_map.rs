//! Customers who go by another name.

use std::path::Path;

use arrow::array::StringViewBuilder;
use hashbrown::{HashMap, HashSet};

use super::{ALLOCATION_BYTES, ListError, table, text_bytes};
use crate::events::{Digits, EventBatch, Ids};
use crate::time::Zone;

/// Which events of an alias are whose.
#[derive(Debug, Clone, Default)]
pub struct IdMap {
    /// Wall time from which an alias is a customer's, and the customer; ascending.
    owners: HashMap<String, Vec<(i64, String)>>,
}

impl IdMap {
    /// Reads `alias`, `customer_id`, `from`. Without `from` all events of the alias are the customer's.
    pub(super) fn read(path: &Path, zone: &Zone) -> Result<Self, ListError> {
        let mut owners: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for row in table::read(path, ["alias", "customer_id"], ["from"])? {
            let from = row.time(2, zone)?.unwrap_or(i64::MIN);
            let (alias, customer) = (row.needed(0)?.to_string(), row.needed(1)?.to_string());
            owners.entry(alias).or_default().push((from, customer));
        }
        owners.values_mut().for_each(|owners| owners.sort());
        let map = Self { owners };
        let mut aliases: Vec<&String> = map.owners.keys().collect();
        aliases.sort();
        match aliases.into_iter().find(|alias| map.leads_to_itself(alias)) {
            Some(alias) => Err(ListError::Circle { path: path.into(), alias: alias.clone() }),
            None => Ok(map),
        }
    }

    fn leads_to_itself(&self, alias: &str) -> bool {
        let mut seen = HashSet::new();
        let mut next: Vec<&str> = vec![alias];
        while let Some(id) = next.pop() {
            for (_, customer) in self.owners.get(id).into_iter().flatten() {
                if customer == alias {
                    return true;
                }
                if seen.insert(customer.as_str()) {
                    next.push(customer);
                }
            }
        }
        false
    }

    /// Whose each alias is and from when on, in one order.
    pub(super) fn entries(&self) -> Vec<(&String, &Vec<(i64, String)>)> {
        let mut entries: Vec<_> = self.owners.iter().collect();
        entries.sort();
        entries
    }

    /// Bytes that the list takes.
    pub(super) fn bytes(&self) -> usize {
        let of_owners = |owners: &Vec<(i64, String)>| {
            let texts: usize = owners.iter().map(|(_, customer)| text_bytes(customer)).sum();
            size_of::<(i64, String)>() * owners.capacity() + ALLOCATION_BYTES + texts
        };
        let each = |(alias, owners)| text_bytes(alias) + of_owners(owners);
        self.owners.allocation_size() + self.owners.iter().map(each).sum::<usize>()
    }

    /// The customer of an event of `id` at a wall time.
    pub fn customer<'a>(&'a self, id: &'a str, time: i64) -> &'a str {
        let mut id = id;
        // An alias may lead to another one; none leads back.
        while let Some(owners) = self.owners.get(id) {
            match owners.iter().rev().find(|(from, _)| *from <= time) {
                Some((_, customer)) => id = customer,
                None => break,
            }
        }
        id
    }

    /// Gives the events of a batch to their customers; how many changed hands, each of which is noted.
    pub(super) fn apply(&self, batch: &mut EventBatch, mut note: impl FnMut(usize)) -> u64 {
        if self.owners.is_empty() {
            return 0;
        }
        let mut digits = Digits::default();
        let mut mapped = 0;
        let mut ids = StringViewBuilder::with_capacity(batch.len());
        for (row, &time) in batch.time.iter().enumerate() {
            let id = batch.customer.text(row, &mut digits);
            let customer = self.customer(id, time);
            if customer != id {
                mapped += 1;
                note(row);
            }
            ids.append_value(customer);
        }
        if mapped > 0 {
            batch.customer = Ids::Texts(ids.finish());
        }
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Day;

    fn read(text: &str) -> Result<IdMap, ListError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases.ndjson");
        std::fs::write(&path, text).unwrap();
        IdMap::read(&path, &Zone::named("Europe/Vienna").unwrap())
    }

    #[test]
    fn an_event_is_of_whoever_has_the_alias_then() {
        let map = read(
            "{\"alias\": \"cookie\", \"customer_id\": \"ann\"}\n\
             {\"alias\": 12, \"customer_id\": \"bob\", \"from\": \"2026-03-01\"}\n\n\
             {\"alias\": 12, \"customer_id\": \"cookie\", \"from\": \"2026-04-01T12:00:00+02:00\"}\n",
        )
        .unwrap();
        let day = |text: &str| text.parse::<Day>().unwrap().start_micros();
        let noon = day("2026-04-01") + 12 * 3_600_000_000; // in Vienna's summer time
        assert_eq!(map.customer("cookie", 0), "ann");
        assert_eq!(map.customer("12", day("2026-03-01") - 1), "12");
        assert_eq!(map.customer("12", day("2026-03-01")), "bob");
        assert_eq!(map.customer("12", noon - 1), "bob");
        assert_eq!(map.customer("12", noon), "ann", "by way of another alias");
        assert_eq!(map.customer("ann", noon), "ann");
    }

    #[test]
    fn circles_are_refused() {
        let error = read("{\"alias\": \"a\", \"customer_id\": \"b\"}\n{\"alias\": \"b\", \"customer_id\": \"a\"}\n");
        assert!(error.unwrap_err().to_string().contains("`a` is an alias of itself"));
    }
}
