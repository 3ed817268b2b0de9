//! Orders of a simulated customer.

use super::{LARGEST, Rfm};

/// Repeat orders up to a time.
pub(super) struct Orders {
    t: f64,
    x: f64,
    now: f64,
}

impl Orders {
    pub(super) fn new(t: f64) -> Self {
        Self { t, x: 0.0, now: 0.0 }
    }

    /// Another order after a gap; false where it comes too late to be seen, or is one more than a history can hold.
    pub(super) fn add(&mut self, gap: f64) -> bool {
        let next = self.now + gap;
        let seen = next > 0.0 && next < self.t && self.x < LARGEST;
        if seen {
            (self.x, self.now) = (self.x + 1.0, next);
        }
        seen
    }

    pub(super) fn history(&self) -> Rfm {
        Rfm::new(self.x, self.now, self.t).expect("orders lie between the first and now")
    }
}
