//! What a long run tells while it works.

/// Hears of stages, notes and warnings. Nothing that it hears changes a result.
pub trait Observer: Sync {
    /// A new stage of the work begins.
    fn stage(&self, what: &str);
    /// How far the stage is, in any unit.
    fn advance(&self, _done: u64, _total: u64) {}
    /// Something worth knowing: a choice that was made.
    fn note(&self, text: &str);
    /// Something that may need a person.
    fn warn(&self, text: &str);
}

/// Hears nothing.
pub struct Silent;

impl Observer for Silent {
    fn stage(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
