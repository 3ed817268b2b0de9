//! Lifecycle stages: where a customer stands in the rhythm that is usual for them.

/// Multiples of the usual gap since the last order at which a stage ends.
const ACTIVE: f64 = 1.0;
const COOLING: f64 = 2.0;
const AT_RISK: f64 = 3.0;

/// What a stage depends on, all at `as_of`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// Days with an order.
    pub(super) order_days: f64,
    /// Days since the last order ÷ usual gap; NaN without an order.
    pub(super) churn_factor: f64,
    /// Mean gap in days; NaN below two days with an order.
    pub(super) average_gap: f64,
    /// The last gap in days; NaN below two days with an order.
    pub(super) last_gap: f64,
    /// Usual gap of the whole base in days.
    pub(super) base_gap: f64,
}

impl Rhythm {
    /// The stage, as in the score file. It may go backwards.
    pub(super) fn stage(self) -> &'static str {
        if self.order_days < 1.0 {
            return "registered";
        }
        match self.churn_factor {
            factor if factor > AT_RISK => "lapsed",
            factor if factor > COOLING => "at_risk",
            factor if factor > ACTIVE => "cooling",
            _ if self.order_days < 2.0 => "new",
            _ if self.was_lapsed() => "returned",
            _ => "active",
        }
    }

    /// Whether the last gap was a lapse by the rhythm before it.
    fn was_lapsed(self) -> bool {
        let gaps = self.order_days - 1.0;
        let usual_before = (self.average_gap * gaps - self.last_gap + self.base_gap) / gaps;
        self.last_gap > AT_RISK * usual_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_the_customers_own_rhythm() {
        let regular = Rhythm { order_days: 5.0, churn_factor: 0.5, average_gap: 30.0, last_gap: 30.0, base_gap: 30.0 };
        assert_eq!(regular.stage(), "active");
        assert_eq!(Rhythm { churn_factor: 1.5, ..regular }.stage(), "cooling");
        assert_eq!(Rhythm { churn_factor: 2.5, ..regular }.stage(), "at_risk");
        assert_eq!(Rhythm { churn_factor: 3.5, ..regular }.stage(), "lapsed");
        assert_eq!(Rhythm { order_days: 0.0, churn_factor: f64::NAN, ..regular }.stage(), "registered");
        let once = Rhythm { order_days: 1.0, average_gap: f64::NAN, last_gap: f64::NAN, ..regular };
        assert_eq!(once.stage(), "new");
        // Gaps of 30, 30, 30 and then 120 days: 120 > 3 × (90 + 30) / 4.
        let back = Rhythm { average_gap: 52.5, last_gap: 120.0, ..regular };
        assert_eq!(back.stage(), "returned");
    }
}
