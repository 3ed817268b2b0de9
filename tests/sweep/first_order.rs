//! How it began.

use super::*;

pub fn reference(all: &mut Reference, view: &View) {
    let View { plan, bought, .. } = view;
    let begins = bought.iter().map(|line| line.time).min();
    let first: Vec<&&Line> = bought.iter().filter(|line| Some(line.time) == begins).collect();
    // Any of the lines of the first instant may be the first.
    let is = |holds: &dyn Fn(&Line) -> bool| -> Vec<f64> {
        if first.is_empty() { vec![f64::NAN] } else { first.iter().map(|line| f64::from(holds(line))).collect() }
    };
    for category in plan.categories.iter().take(10) {
        let values = is(&|line| line.category == Some(&category.name));
        all.add_any(&format!("first_order_category_{}", category.slug), values, 0.0);
    }
    for channel in plan.channels.iter().take(10) {
        let values = is(&|line| line.channel == Some(&channel.name));
        all.add_any(&format!("first_order_channel_{}", channel.slug), values, 0.0);
    }
}
