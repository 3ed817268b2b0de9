//! Draws of one customer: a ChaCha8 stream of their own, so that nobody's life depends on who is simulated when.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, Exp1, Gamma, StandardNormal};

/// Random numbers of one stream.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// Stream `stream` of `seed`. A customer has two: what they do, and what happens to the rows about it.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Even over [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Even over `low..=high`.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high)
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        self.0.sample(Exp1)
    }

    /// Normal with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }

    /// Gamma with this shape and rate; both positive and within the checked bounds of the settings.
    pub fn gamma(&mut self, shape: f64, rate: f64) -> f64 {
        Gamma::new(shape, 1.0).expect("checked by Simulation::check").sample(&mut self.0) / rate
    }

    /// Beta; both parameters positive and within the checked bounds of the settings.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        Beta::new(a, b).expect("checked by Simulation::check").sample(&mut self.0)
    }

    /// An index, by weight; the last one where all weights vanish.
    pub fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }
}
