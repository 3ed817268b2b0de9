//! Which categories.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, bought, as_of, .. } = view;
    if plan.pairs.is_empty() {
        return;
    }
    let with_columns: Vec<&Group> = plan
        .pairs
        .iter()
        .filter(|&&(kind, _)| kind == 0)
        .map(|&(_, category)| &plan.categories[category as usize])
        .collect();
    let lines_with_category = bought.iter().filter(|line| line.category.is_some()).count() as f64;
    let bought_in: Vec<f64> = with_columns.iter().map(|category| in_category(bought, category).len() as f64).collect();
    let is_rare =
        |line: &&&Line| line.category.is_some_and(|name| with_columns.iter().all(|category| category.name != name));
    let different = bought_in.iter().filter(|&&lines| lines > 0.0).count();
    let rare = bought.iter().filter(is_rare).count();
    all.add("categories_bought", (different + usize::from(rare > 0)) as f64);
    let share = |lines: f64| if lines_with_category == 0.0 { f64::NAN } else { lines / lines_with_category };
    all.add("favourite_category_share", share(bought_in.iter().copied().fold(0.0, f64::max)));
    let entropy = |counts: &[f64]| {
        let n: f64 = counts.iter().sum();
        let part = |&count: &f64| if count == 0.0 { 0.0 } else { -count / n * (count / n).ln() };
        if n == 0.0 { f64::NAN } else { counts.iter().map(part).sum() }
    };
    let mut counts = bought_in.clone();
    counts.push(rare as f64);
    all.add_any("order_category_entropy", vec![entropy(&counts)], SUM_ROUNDING);
    let order_event = plan.kinds[0].event.as_str();
    let browsed = |category: &Group| {
        if !in_category(bought, category).is_empty() {
            return 0;
        }
        in_category(known, category).iter().filter(|line| line.event != order_event).count()
    };
    let last = plan.pairs.iter().map(|&(_, category)| category).max().expect("pairs");
    let only_browsed = plan.categories[..=last as usize].iter().filter(|category| browsed(category) > 0).count();
    all.add("categories_browsed_never_bought", only_browsed as f64);
    for category in 0..=last {
        let kinds: Vec<u16> =
            plan.pairs.iter().filter(|(_, other)| *other == category).map(|(kind, _)| *kind).collect();
        if kinds.is_empty() {
            continue;
        }
        let category = &plan.categories[category as usize];
        for &kind in &kinds {
            pair(all, view, kind, category, lines_with_category);
        }
        if kinds.contains(&0) {
            let weight = |line: &&Line| 0.5f64.powf(f64::from(as_of.0 - line.day()) / 90.0);
            let faded: f64 = in_category(bought, category).iter().map(weight).sum();
            let all_faded: f64 = bought.iter().filter(|line| line.category.is_some()).map(weight).sum();
            let share = if lines_with_category == 0.0 { f64::NAN } else { faded / all_faded };
            all.add_any(&format!("order_share_category_{}_decayed_90d", category.slug), vec![share], SMALLEST);
            let lines = in_category(bought, category);
            let latest = view.within(&lines, 90).len() as f64;
            let trend = latest - (view.within(&lines, 180).len() as f64 - latest);
            all.add(format!("{}s_category_{}_trend_90d", view.order(), category.slug), trend);
            if kinds.len() > 1 {
                all.add(format!("browsed_never_bought_category_{}", category.slug), browsed(category) as f64);
            }
        }
    }
    // After all of these, where names collide and are numbered.
    for category in (0..=last).filter(|&category| plan.pairs.iter().any(|(_, other)| *other == category)) {
        let category = &plan.categories[category as usize];
        if plan.kinds.len() > 1 {
            all.add(format!("events_category_{}", category.slug), in_category(known, category).len() as f64);
        }
    }
}

/// What one kind of event does in one category.
fn pair(all: &mut Reference, view: &View, kind: u16, category: &Group, lines_with_category: f64) {
    let View { plan, known, bought, gross, .. } = view;
    let slack = gross * SUM_ROUNDING;
    let (is_order, kind) = (kind == 0, &plan.kinds[kind as usize]);
    let name = format!("{}s_category_{}", kind.slug, category.slug);
    let counted =
        if is_order { in_category(bought, category) } else { in_category(&of_event(known, &kind.event), category) };
    all.add(&name, counted.len() as f64);
    for days in [7, 90] {
        all.add(format!("{name}_{days}d"), view.within(&counted, days).len() as f64);
    }
    if is_order {
        all.add(format!("days_since_last_order_category_{}", category.slug), view.since_last(&counted));
        all.add(format!("order_share_category_{}", category.slug), counted.len() as f64 / lines_with_category);
    }
    if kind.has_money {
        let money = if is_order { "spend".to_string() } else { format!("{}_value", kind.slug) };
        let paid = in_category(&of_event(known, &kind.event), category);
        let name = format!("{money}_category_{}", category.slug);
        all.add_any(&name, vec![sum(&paid)], slack);
        all.add_any(&format!("{name}_7d"), vec![sum(&view.within(&paid, 7))], slack);
    }
}
