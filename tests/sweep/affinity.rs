//! Which categories.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, known, bought, gross, .. } = view;
    if plan.pairs.is_empty() {
        return;
    }
    let slack = gross * SUM_ROUNDING;
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
    for &(kind, category) in &plan.pairs {
        let (is_order, kind) = (kind == 0, &plan.kinds[kind as usize]);
        let category = &plan.categories[category as usize];
        let name = format!("{}s_category_{}", kind.slug, category.slug);
        let counted =
            if is_order { in_category(bought, category) } else { in_category(&of_event(known, &kind.event), category) };
        all.add(&name, counted.len() as f64);
        for days in [7, 90] {
            all.add(format!("{name}_{days}d"), view.within(&counted, days).len() as f64);
        }
        if is_order {
            all.add(format!("days_since_last_order_category_{}", category.slug), view.since_last(&counted));
            all.add(format!("order_share_category_{}", category.slug), share(counted.len() as f64));
        }
        if kind.has_money {
            let money = if is_order { "spend".to_string() } else { format!("{}_value", kind.slug) };
            let paid = in_category(&of_event(known, &kind.event), category);
            let name = format!("{money}_category_{}", category.slug);
            all.add_any(&name, vec![sum(&paid)], slack);
            all.add_any(&format!("{name}_7d"), vec![sum(&view.within(&paid, 7))], slack);
        }
    }
}
