//! Customers live and spend by the laws that the truth file tells.

use std::collections::HashSet;

use bellwether::simulate::{Population, Simulation};
use bellwether::time::Day;

use super::shop::{Customer, STANDARD_ERRORS, assert_mean, assert_share, customers, events, make, orders, truth};

/// Expected repeat orders up to `t` after the first: Fader, Hardie & Lee (2005) eq. (9), Gauss series of 2F1.
fn expected_repeats(people: &Population, t: f64) -> f64 {
    let Population { r, alpha, a, b, .. } = *people;
    let z = t / (alpha + t);
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 0..100_000 {
        let n = f64::from(n);
        term *= (r + n) * (b + n) / ((a + b - 1.0 + n) * (n + 1.0)) * z;
        sum += term;
        if term < 1e-16 * sum {
            break;
        }
    }
    (a + b - 1.0) / (a - 1.0) * (1.0 - (alpha / (alpha + t)).powf(r) * sum)
}

#[test] // mpmath, 30 digits: (a+b-1)/(a-1)*(1-(al/(al+t))**r*hyp2f1(r,b,a+b-1,t/(al+t)))
fn the_closed_form_used_below_is_right() {
    let people = Population { r: 0.75, alpha: 60.0, a: 0.8, b: 2.5, ..Population::default() };
    for (t, expected) in [(100.0, 0.968_258_066_278_097_4), (540.0, 3.176_139_416_501_415)] {
        assert!((expected_repeats(&people, t) / expected - 1.0).abs() < 1e-12, "{t}");
    }
}

#[test]
fn buying_and_leaving_follow_bg_nbd() {
    let folder = tempfile::tempdir().unwrap();
    for seasonality in [false, true] {
        let out = folder.path().join("shop");
        // `campaigns` without uplift orders: off. Few visits, since they do not matter here.
        let population =
            Population { visit_rate: 0.0, research_share: 0.0, player_share: 0.0, ..Population::default() };
        let settings = Simulation {
            customers: 60_000,
            seed: 3,
            seasonality,
            campaigns: false,
            population: population.clone(),
            ..Simulation::default()
        };
        make(&settings, &out);
        let season = truth(&out)["season"].clone();
        let factor = |day: i32| {
            let day = settings.start.plus(day);
            if !seasonality {
                return 1.0;
            }
            season["month_factors"][day.civil().1 as usize - 1].as_f64().unwrap()
                * season["weekday_factors_from_monday"][day.weekday()].as_f64().unwrap()
        };
        let mut business = vec![0.0];
        for day in 0..settings.days as i32 {
            business.push(business[day as usize] + factor(day));
        }
        let elapsed = |time: f64| {
            let day = time as usize;
            business[settings.days as usize] - business[day] - (time - day as f64) * factor(day as i32)
        };
        let customers = customers(&out);
        let buyers: Vec<&Customer> = customers.iter().filter(|customer| customer.buyer).collect();
        assert_share("never buying", customers.len() - buyers.len(), customers.len(), 1.0 - population.buyer_share);
        let rates: Vec<f64> = buyers.iter().map(|customer| customer.purchase_rate.unwrap()).collect();
        assert_mean("lambda", &rates, population.r / population.alpha);
        let squares: Vec<f64> = rates.iter().map(|rate| rate * rate).collect();
        assert_mean("lambda squared", &squares, population.r * (population.r + 1.0) / population.alpha.powi(2));
        let chances: Vec<f64> = buyers.iter().map(|customer| customer.leave_chance.unwrap()).collect();
        assert_mean("leaving", &chances, population.a / (population.a + population.b));
        let (mut repeats, mut none, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for customer in buyers {
            let Some(first) = customer.first_order_time else {
                assert_eq!(customer.orders, 0);
                continue;
            };
            let t = elapsed(first);
            let x = f64::from(customer.orders) - 1.0;
            // Differences from the expectation given t, whose mean is 0.
            repeats.push(x - expected_repeats(&population, t));
            let nothing = (population.alpha / (population.alpha + t)).powf(population.r);
            none.push(f64::from(u8::from(x == 0.0)) - nothing);
            // Given p, leaving has the chance p at each repeat order: a martingale.
            left.push(f64::from(u8::from(customer.leaving_day.is_some())) - customer.leave_chance.unwrap() * x);
        }
        assert_mean("repeat orders", &repeats, 0.0);
        assert_mean("customers without repeat orders", &none, 0.0);
        assert_mean("customers who left", &left, 0.0);
    }
}

#[test]
fn spend_follows_gamma_gamma() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    // q = 9 gives the product below a variance, without which it would have no standard error.
    let population = Population { p: 4.0, q: 9.0, gamma: 100.0, buyer_share: 1.0, ..Population::default() };
    let settings = Simulation { customers: 12_000, seed: 9, population, ..Simulation::default() };
    let made = make(&settings, &out);
    let events = events(&made);
    let orders = orders(&events);
    let Population { p, q, gamma, .. } = settings.population;
    let mean = p * gamma / (q - 1.0);
    let (mut first, mut products, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for customer in customers(&out) {
        let Some(own) = orders.get(customer.id.as_str()) else { continue };
        let mut values: Vec<(Day, f64)> = own.values().copied().collect();
        values.sort_by_key(|&(day, _)| day);
        first.push(values[0].1);
        ratios.push(values[0].1 / customer.mean_spend.unwrap());
        if let [(_, one), (_, two), ..] = values[..] {
            products.push((one - mean) * (two - mean));
        }
    }
    assert_mean("value of an order", &first, mean);
    assert_mean("value of an order against the customer's mean", &ratios, 1.0);
    // Two orders of a customer share nu alone: their covariance is that of p / nu.
    assert_mean("covariance of two orders", &products, (p * gamma).powi(2) / ((q - 1.0).powi(2) * (q - 2.0)));
    let truth = truth(&out);
    assert!((truth["expected"]["mean_order_value"].as_f64().unwrap() - mean).abs() < 1e-12);
}

#[test]
fn an_offer_lifts_orders_by_what_the_truth_says() {
    /// Opened within 3 days, ordered within 7 more, and put off by a few days where days are taken.
    const WINDOW: i32 = 14;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let population = Population {
        control_share: 0.5,
        consent_share: 1.0,
        offer_share: 1.0,
        visit_rate: 0.0,
        buyer_share: 1.0,
        player_share: 0.0,
        ..Population::default()
    };
    let settings = Simulation { customers: 25_000, seed: 4, population, ..Simulation::default() };
    let made = make(&settings, &out);
    let truth = truth(&out);
    let end = settings.start.plus(settings.days as i32);
    let offers: Vec<Day> = truth["campaigns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|campaign| campaign["uplift"] == true)
        .map(|campaign| campaign["day"].as_str().unwrap().parse::<Day>().unwrap())
        .filter(|day| day.plus(WINDOW) <= end)
        .collect();
    let events = events(&made);
    let orders = orders(&events);
    // Orders in the windows and number of windows of each customer: treated, control.
    let mut groups = [Vec::new(), Vec::new()];
    for customer in customers(&out) {
        let Some(first) = customer.first_order_time else { continue };
        let first = settings.start.plus(first as i32);
        let days: HashSet<Day> = orders[customer.id.as_str()].values().map(|&(day, _)| day).collect();
        let (mut ordered, mut windows) = (0.0, 0.0);
        for &offer in &offers {
            // Being active through the window is no effect of the offer: nobody leaves after an extra order.
            if first < offer && customer.leaving_day.is_none_or(|left| offer.plus(WINDOW).0 < left) {
                windows += 1.0;
                ordered += (0..WINDOW).filter(|&day| days.contains(&offer.plus(day))).count() as f64;
            }
        }
        assert!(!customer.control || customer.extra_orders == 0);
        groups[usize::from(customer.control)].push((ordered, windows));
    }
    // Ratio of means with its linearised variance (Cochran 1977, eq. 2.39); customers are independent.
    let [treated, control] = groups.map(|group| {
        let windows: f64 = group.iter().map(|(_, windows)| windows).sum();
        let rate = group.iter().map(|(ordered, _)| ordered).sum::<f64>() / windows;
        let squares: f64 = group.iter().map(|(ordered, windows)| (ordered - rate * windows).powi(2)).sum();
        (rate, squares / windows.powi(2))
    });
    let (lift, error) = (treated.0 - control.0, (treated.1 + control.1).sqrt());
    let expected = truth["expected"]["extra_orders_per_offer_sent_to_an_active_buyer"].as_f64().unwrap();
    assert!((expected - 2.0 / 8.0 * (0.05 + 0.2 * 0.2)).abs() < 1e-12);
    assert!(lift > STANDARD_ERRORS * error, "{lift} ± {error} is a lift beyond doubt");
    assert!((lift - expected).abs() < STANDARD_ERRORS * error, "{lift} ± {error}, expected {expected}");
}

#[test]
fn games_pay_at_their_odds() {
    let folder = tempfile::tempdir().unwrap();
    let population = Population { player_share: 1.0, play_rate: 0.1, ..Population::default() };
    let settings = Simulation { customers: 400, seed: 2, population, ..Simulation::default() };
    let made = make(&settings, &folder.path().join("shop"));
    let events = events(&made);
    for (game, chance) in [("poker", 0.475), ("slots", 0.094)] {
        let plays: Vec<f64> =
            events.iter().filter(|e| e.category.as_deref() == Some(game)).map(|e| e.value.unwrap()).collect();
        assert_share(game, plays.iter().filter(|&&value| value > 0.0).count(), plays.len(), chance);
    }
}
