//! Business time: the year and the week speed a shop up and slow it down.
//!
//! Orders and visits are Poisson in *business days*, of which a calendar day holds `factor(day)`; with
//! seasonality off a business day is a day. So a customer of rate lambda places orders at the rate
//! lambda * factor(day), and every formula in business days stays exact.

use crate::time::Day;

/// Business days of a calendar day by month, January first; their mean is 1.
pub(super) const MONTH_FACTORS: [f64; 12] = [0.85, 0.8, 0.9, 0.95, 1.0, 0.95, 0.85, 0.85, 0.95, 1.05, 1.35, 1.5];
/// The same by day of the week, Monday first; their mean is 1.
pub(super) const WEEKDAY_FACTORS: [f64; 7] = [0.95, 0.95, 0.95, 1.0, 1.0, 1.1, 1.05];

/// The days of a simulation, numbered from 0.
pub(super) struct Calendar {
    pub start: Day,
    pub days: u32,
    /// Month of each day, 0 = January.
    pub month: Vec<u8>,
    factor: Vec<f64>,
    /// Business days before each day, and at the end.
    elapsed: Vec<f64>,
}

impl Calendar {
    pub fn new(start: Day, days: u32, seasonality: bool) -> Self {
        let mut calendar = Self { start, days, month: Vec::new(), factor: Vec::new(), elapsed: vec![0.0] };
        let mut elapsed = 0.0;
        for index in 0..days as i32 {
            let day = start.plus(index);
            let month = day.civil().1 as usize - 1;
            let factor = if seasonality { MONTH_FACTORS[month] * WEEKDAY_FACTORS[day.weekday()] } else { 1.0 };
            elapsed += factor;
            calendar.month.push(month as u8);
            calendar.factor.push(factor);
            calendar.elapsed.push(elapsed);
        }
        calendar
    }

    /// The time that lies `gap` business days after `from` (days since the start); `None` beyond the end.
    pub fn advance(&self, from: f64, gap: f64) -> Option<f64> {
        let target = self.business_days(from)? + gap;
        let end = self.elapsed[self.days as usize];
        if target.is_nan() || target >= end {
            return None;
        }
        let day = self.elapsed.partition_point(|&before| before <= target) - 1;
        let time = day as f64 + (target - self.elapsed[day]) / self.factor[day];
        Some(time.max(from)) // rounding must not run backwards
    }

    /// Business days from the start to `time` (days since the start); `None` beyond the end.
    pub fn business_days(&self, time: f64) -> Option<f64> {
        let day = time as usize;
        let factor = self.factor.get(day)?;
        Some(self.elapsed[day] + (time - day as f64) * factor)
    }
}

/// One weekly mailing.
pub(super) struct Campaign {
    pub name: String,
    /// Day on which it is sent, from 0.
    pub day: u32,
    /// Whether it lifts orders; the control group gets none of these.
    pub offer: bool,
}

/// Weeks between two uplift campaigns; the others are plain newsletters.
pub(super) const WEEKS_PER_OFFER: usize = 4;

/// One campaign each Monday; every fourth is an offer.
pub(super) fn campaigns(start: Day, days: u32) -> Vec<Campaign> {
    let first_monday = (7 - start.weekday() as u32) % 7;
    (first_monday..days)
        .step_by(7)
        .enumerate()
        .map(|(week, day)| {
            let offer = week % WEEKS_PER_OFFER == WEEKS_PER_OFFER - 1;
            let kind = if offer { "offer" } else { "newsletter" };
            Campaign { name: format!("{}-{kind}", start.plus(day as i32)), day, offer }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_mean_one() {
        assert!((MONTH_FACTORS.iter().sum::<f64>() - 12.0).abs() < 1e-12);
        assert!((WEEKDAY_FACTORS.iter().sum::<f64>() - 7.0).abs() < 1e-12);
    }

    #[test]
    fn without_seasons_business_time_is_time() {
        let calendar = Calendar::new(Day(19_723), 100, false);
        assert!((calendar.advance(3.25, 10.5).unwrap() - 13.75).abs() < 1e-12);
        assert_eq!(calendar.advance(3.25, 96.75), None);
        assert_eq!(calendar.advance(3.25, f64::INFINITY), None);
        assert_eq!(calendar.advance(100.0, 0.0), None);
    }

    #[test]
    fn seasons_stretch_time_by_the_factor_of_the_day() {
        let calendar = Calendar::new(Day(19_723), 366, true); // 2024-01-01 is a Monday in January
        assert!((calendar.advance(0.0, 0.85 * 0.95 / 2.0).unwrap() - 0.5).abs() < 1e-12);
        for (from, gap) in [(0.0, 200.0), (12.5, 0.001), (300.1, 50.0)] {
            let to = calendar.advance(from, gap).unwrap();
            let business = calendar.business_days(to).unwrap() - calendar.business_days(from).unwrap();
            assert!((business - gap).abs() < 1e-9, "{from} {gap}");
        }
    }

    #[test]
    fn campaigns_are_sent_on_mondays() {
        let start: Day = "2024-01-03".parse().unwrap();
        let campaigns = campaigns(start, 60);
        assert_eq!(campaigns[0].name, "2024-01-08-newsletter");
        assert_eq!(campaigns[3].name, "2024-01-29-offer");
        assert!(campaigns.iter().all(|campaign| start.plus(campaign.day as i32).weekday() == 0));
    }
}
