//! A set of small codes that is emptied at the cost of what it holds.

/// Distinct codes of one customer.
#[derive(Default)]
pub(super) struct CodeSet {
    /// By code; grows to the largest that was ever added.
    holds: Vec<bool>,
    members: Vec<u16>,
}

impl CodeSet {
    pub(super) fn clear(&mut self) {
        for code in self.members.drain(..) {
            self.holds[code as usize] = false;
        }
    }

    pub(super) fn add(&mut self, code: u16) {
        let index = code as usize;
        if index >= self.holds.len() {
            self.holds.resize(index + 1, false);
        }
        if !self.holds[index] {
            self.holds[index] = true;
            self.members.push(code);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}
