//! The reference of contact points and the order in which they follow each other.

use super::cases::{features_of, purchase};
use super::response::beginnings;
use super::*;

type Point<'a> = (&'a str, Option<&'a str>);

/// Every line but the further ones of an order, in the order of the timeline.
fn steps<'a>(plan: &Plan, known: &[&'a Line]) -> Vec<&'a Line> {
    let begins = beginnings(plan, known);
    let order_event = &plan.kinds[0].event;
    let is_step =
        |line: &&Line| !line.is_order_line(order_event) || begins.iter().any(|begin| std::ptr::eq(*begin, *line));
    known.iter().copied().filter(is_step).collect()
}

fn point<'a>(line: &'a Line) -> Point<'a> {
    (line.event, line.channel)
}

/// The contact points of a customer's steps: indices into the plan's, or their number.
fn path(plan: &Plan, steps: &[&Line]) -> Vec<usize> {
    let points = &plan.contacts.points;
    let same = |line: &Line| points.iter().position(|p| (p.event.as_str(), p.channel.as_deref()) == point(line));
    steps.iter().map(|line| same(line).unwrap_or(points.len())).collect()
}

pub fn check_plan(plan: &Plan, known: &[&Line], config: &Config) {
    let of_customers: Vec<Vec<&Line>> =
        CUSTOMERS.iter().map(|id| steps(plan, &in_order(&of_customer(known, id)))).collect();
    let mut counts: BTreeMap<Point, usize> = BTreeMap::new();
    of_customers.iter().flatten().for_each(|line| *counts.entry(point(line)).or_default() += 1);
    let mut points: Vec<Point> = counts.keys().copied().collect();
    points.sort_by_key(|point| (std::cmp::Reverse(counts[point]), point.0, point.1.is_none(), point.1));
    points.truncate(config.features.max_contact_points);
    let found: Vec<Point> = plan.contacts.points.iter().map(|p| (p.event.as_str(), p.channel.as_deref())).collect();
    assert_eq!(found, points);
    let names: Vec<String> =
        points.iter().map(|(event, channel)| [*event, channel.unwrap_or_default()].join(" ")).collect();
    let expected: Vec<String> =
        slugs(names.iter().map(|name| name.trim())).into_iter().map(|group| group.slug).collect();
    let found: Vec<&String> = plan.contacts.points.iter().map(|point| &point.slug).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    let devices: BTreeSet<&str> = of_customers.iter().flatten().filter_map(|line| line.device).collect();
    assert_eq!(plan.contacts.has_devices, devices.len() > 1);
    if points.len() < 2 {
        assert!(plan.contacts.transitions.is_empty() && plan.contacts.columns.is_empty());
        return;
    }
    let states = points.len() + 1;
    let mut table = vec![0u64; states * states];
    for steps in &of_customers {
        path(plan, steps).windows(2).for_each(|pair| table[pair[0] * states + pair[1]] += 1);
    }
    assert_eq!(plan.contacts.transitions, table);
    let mut ways: Vec<(u16, u16)> =
        (0..states as u16 - 1).flat_map(|from| (0..states as u16 - 1).map(move |to| (from, to))).collect();
    let seen = |&(from, to): &(u16, u16)| table[usize::from(from) * states + usize::from(to)];
    ways.retain(|way| seen(way) > 0);
    ways.sort_by_key(|way| (std::cmp::Reverse(seen(way)), *way));
    ways.truncate(config.features.max_transitions);
    assert_eq!(plan.contacts.columns, ways);
}

pub fn reference(all: &mut Reference, view: &View) {
    let (plan, known, as_of) = (view.plan, in_order(view.known), view.as_of);
    let contacts = &plan.contacts;
    if contacts.points.len() < 2 {
        return;
    }
    let steps = steps(plan, &known);
    let path = path(plan, &steps);
    let days = |micros: i64| micros as f64 / DAY_MICROS as f64;
    let share = |count: usize, all: usize| if all == 0 { f64::NAN } else { count as f64 / all as f64 };
    let transitions: Vec<(usize, usize)> = path.windows(2).map(|pair| (pair[0], pair[1])).collect();

    let used: BTreeSet<usize> = path.iter().copied().collect();
    let first_use = |point: &usize| steps[path.iter().position(|used| used == point).expect("used")].time;
    let newest = used.iter().map(first_use).max().expect("a step");
    all.add("contact_points", used.len() as f64);
    all.add("days_since_newest_contact_point", days(as_of.start_micros() - newest));
    all.add("loop_share", share(transitions.iter().filter(|(from, to)| from == to).count(), transitions.len()));
    let returns = path.windows(3).filter(|three| three[0] == three[2] && three[0] != three[1]).count();
    all.add("back_and_forth_share", share(returns, path.windows(3).count()));
    for (index, point) in contacts.points.iter().enumerate().take(8) {
        all.add(format!("last_step_{}", point.slug), if path.last() == Some(&index) { 1.0 } else { 0.0 });
    }
    for &(from, to) in &contacts.columns {
        let (from, to) = (usize::from(from), usize::from(to));
        let name = format!("transition_share_{}_to_{}", contacts.points[from].slug, contacts.points[to].slug);
        all.add(name, share(transitions.iter().filter(|&&way| way == (from, to)).count(), transitions.len()));
    }
    let states = contacts.points.len() + 1;
    let surprise = |&(from, to): &(usize, usize)| {
        let row = &contacts.transitions[from * states..(from + 1) * states];
        let seen = row.iter().map(|count| count + 1).sum::<u64>() as f64;
        (seen / (row[to] + 1) as f64).ln()
    };
    let surprises: Vec<f64> = transitions.iter().map(surprise).collect();
    let latest = mean(&surprises[surprises.len().saturating_sub(20)..]);
    all.add_any("path_surprise", vec![latest], SUM_ROUNDING);
    let gross: f64 = surprises.iter().sum();
    all.add_any("path_surprise_change", vec![latest - mean(&surprises)], (1.0 + gross) * SUM_ROUNDING);

    let mut switches = |column: &str, of: &dyn Fn(&Line) -> Option<&'static str>| {
        let with: Vec<&Line> = steps.iter().copied().filter(|line| of(line).is_some()).collect();
        let changes: Vec<&[&Line]> = with.windows(2).filter(|pair| of(pair[0]) != of(pair[1])).collect();
        all.add(format!("{column}_switches"), changes.len() as f64);
        all.add(format!("{column}_switch_share"), share(changes.len(), with.windows(2).count()));
        let took: Vec<f64> = changes.iter().map(|pair| days(pair[1].time - pair[0].time)).collect();
        let longest = largest(&took).max(0.0);
        all.add_any(&format!("average_days_to_switch_{column}"), vec![mean(&took)], longest * SUM_ROUNDING);
    };
    if plan.channels.len() > 1 {
        switches("channel", &|line| line.channel);
    }
    if contacts.has_devices {
        switches("device", &|line| line.device);
    }
}

#[test] // by hand: view web, view web, view app, view web, an order of two lines by app, view web
fn a_path_by_hand() {
    let line = |event, offset, channel| Line { event, channel: Some(channel), ..purchase(offset, 0, None, 1.0) };
    let lines = [
        Line { device: Some("desk"), ..line("view", 0, "web") },
        line("view", 1, "web"),
        Line { device: Some("phone"), ..line("view", 2, "app") },
        line("view", 3, "web"),
        line("purchase", 5, "app"),
        Line { value: 7.0, ..line("purchase", 5, "app") }, // a line of the same order: no step
        line("view", 9, "web"),
    ];
    let row = features_of(&lines, MONDAY.plus(10));
    let ln = |p: f64| -p.ln();
    // From `view web` (4 states): once to itself, once to `view app`, once to the order, never elsewhere, and each
    // once more: 2/7. From the other two: once to `view web`, 2/5.
    let surprise = (3.0 * ln(2.0 / 7.0) + 2.0 * ln(2.0 / 5.0)) / 5.0;
    let expected = [
        ("contact_points", 3.0),
        ("days_since_newest_contact_point", 5.0),
        ("loop_share", 0.2),
        ("back_and_forth_share", 0.5), // web, app, web; then web, order, web; of four
        ("last_step_view_web", 1.0),
        ("last_step_purchase_app", 0.0),
        ("transition_share_view_web_to_view_web", 0.2),
        ("transition_share_view_app_to_view_web", 0.2),
        ("path_surprise", surprise),
        ("path_surprise_change", 0.0),
        ("channel_switches", 4.0),
        ("channel_switch_share", 0.8),
        ("average_days_to_switch_channel", 2.0), // 1, 1, 2 and 4 days
        ("device_switches", 1.0),
        ("device_switch_share", 1.0),
        ("average_days_to_switch_device", 2.0),
    ];
    for (name, expected) in expected {
        assert_eq!(row[name], expected as f32, "{name}");
    }
}
