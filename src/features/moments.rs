//! Mean and spread of values as they pass.

/// By Welford (1962), Technometrics 4(3), 419-420: sums of squares would lose the spread of values that hardly differ.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub(super) n: u64,
    /// NaN before the first value.
    pub(super) mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0, mean: f64::NAN, squares: 0.0 }
    }
}

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.n += 1;
        if self.n == 1 {
            self.mean = value;
        }
        let from_mean = value - self.mean;
        self.mean += from_mean / self.n as f64;
        self.squares += from_mean * (value - self.mean);
    }

    /// Standard deviation of a sample: divided by n − 1; NaN below two.
    pub(super) fn deviation(&self) -> f64 {
        if self.n < 2 { f64::NAN } else { (self.squares / (self.n - 1) as f64).sqrt() }
    }

    /// Standard deviation of a population: divided by n; NaN without a value.
    pub(super) fn population_deviation(&self) -> f64 {
        (self.squares / self.n as f64).sqrt()
    }
}
