//! Vocabularies: the strings of the events and the small numbers that stand for them.

use std::ops::Range;

use hashbrown::HashMap;

use super::{NO_CATEGORY, NO_CODE};
use crate::events::{Labels, NO_LABEL};

/// Distinct strings of one column; after [`Vocabulary::sort`] coded in their own order.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    names: Vec<String>,
    codes: HashMap<String, u32>,
}

impl Vocabulary {
    /// Of strings in their own order, each once.
    pub(super) fn of_sorted(names: Vec<String>) -> Self {
        let codes = names.iter().zip(0..).map(|(name, code)| (name.clone(), code)).collect();
        Self { names, codes }
    }

    /// The strings by code.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The code of a string.
    pub fn code(&self, name: &str) -> Option<u32> {
        self.codes.get(name).copied()
    }

    fn intern(&mut self, name: &str) -> u32 {
        if let Some(code) = self.code(name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.to_string());
        self.codes.insert(name.to_string(), code);
        code
    }

    /// Recodes by the strings' own order, so that neither the order of the files nor a name that is never
    /// used decides between events of the same instant. Returned: new code by old code.
    pub(super) fn sort(&mut self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.names[a as usize].cmp(&self.names[b as usize]));
        let mut new_code = vec![0; order.len()];
        for (code, &old) in order.iter().enumerate() {
            new_code[old as usize] = code as u32;
        }
        self.names.sort_unstable();
        for (code, name) in self.names.iter().enumerate() {
            self.codes.insert(name.clone(), code as u32);
        }
        new_code
    }

    /// Codes of a batch's own dictionary.
    pub(super) fn intern_all(&mut self, labels: &Labels) -> Vec<u32> {
        labels.names.iter().map(|name| self.intern(name)).collect()
    }
}

/// The vocabularies of all coded columns.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // each is the column of that name
pub struct Vocabularies {
    pub event: Vocabulary,
    pub category: Vocabulary,
    pub channel: Vocabulary,
    pub device: Vocabulary,
    pub campaign: Vocabulary,
}

/// What the codes of one column of a batch are in a vocabulary.
pub(super) struct Translated<'a> {
    codes: Option<&'a [u32]>,
    /// By code of the batch; the last is of rows without a label.
    to: Vec<u32>,
}

impl<'a> Translated<'a> {
    pub(super) fn new(vocabulary: &mut Vocabulary, labels: Option<&'a Labels>) -> Self {
        let mut to = labels.map(|labels| vocabulary.intern_all(labels)).unwrap_or_default();
        to.push(NO_CATEGORY);
        Self { codes: labels.map(|labels| labels.codes.as_slice()), to }
    }

    /// Of some of the rows.
    pub(super) fn of(&self, rows: Range<usize>) -> TranslatedRows<'_> {
        TranslatedRows { codes: self.codes.map(|codes| &codes[rows]), to: &self.to }
    }
}

/// Codes of some rows in a vocabulary.
#[derive(Clone, Copy)]
pub(super) struct TranslatedRows<'a> {
    codes: Option<&'a [u32]>,
    to: &'a [u32],
}

const _: () = assert!(NO_LABEL == u32::MAX && NO_CATEGORY as u16 == NO_CODE);

impl TranslatedRows<'_> {
    #[inline(always)]
    pub(super) fn wide(&self, row: usize) -> u32 {
        // No label has the highest code of all: cut down to the last there is.
        self.codes.map_or(NO_CATEGORY, |codes| self.to[(codes[row] as usize).min(self.to.len() - 1)])
    }

    /// 16-bit code; the builder has refused vocabularies that do not fit.
    #[inline(always)]
    pub(super) fn narrow(&self, row: usize) -> u16 {
        self.wide(row) as u16 // that of no label becomes the other's
    }
}
