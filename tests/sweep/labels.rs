//! Labels and histories: what happened in a window, and the days on which it happened.

use super::*;

pub fn target(kind: TargetKind, event: &str, is_order: bool, horizon: i64, groups: &[&str]) -> Target {
    Target {
        name: "test".into(),
        kind,
        event: event.into(),
        is_order,
        horizon: Horizon::new(horizon).expect("1 to 730"),
        eligible: None,
        groups: groups.iter().map(|name| Group { name: (*name).into(), slug: slug(name) }).collect(),
        per_group: !groups.is_empty(),
    }
}

/// The label of one customer, one category or all, from what happened in `[as_of, as_of + horizon)`.
fn label(target: &Target, lines: &[&Line], as_of: Day, category: Option<&str>) -> f64 {
    let end = as_of.0 + target.horizon.days();
    let inside: Vec<&Line> = lines
        .iter()
        .copied()
        .filter(|line| line.event == target.event && (as_of.0..end).contains(&line.day()))
        .filter(|line| category.is_none() || line.category == category)
        .collect();
    let counted: Vec<&Line> =
        inside.iter().copied().filter(|line| !target.is_order || (line.value.is_nan() || line.value >= 0.0)).collect();
    match target.kind {
        TargetKind::Absence => f64::from(counted.is_empty()),
        TargetKind::Presence => f64::from(!counted.is_empty()),
        TargetKind::Amount => inside.iter().map(|line| line.money()).sum(),
        TargetKind::Count if target.is_order => orders(&counted).len() as f64,
        TargetKind::Count => counted.len() as f64,
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn every_label_is_what_happened_in_its_window(
        lines in lines(), as_ofs in as_ofs(), horizon in select(vec![1i64, 7, 30, 365]),
        event in select(vec!["purchase", "play", "view", "never seen"]), is_order in any::<bool>(),
    ) {
        let timelines = timelines(&lines, 16);
        let plan = Plan::new(&timelines, &config("purchase"), as_ofs[0]).unwrap();
        let requests = requests(&as_ofs);
        let table = FeatureTable::build(&timelines, &Sweep::new(&plan, &timelines), &requests).unwrap();
        for kind in [TargetKind::Absence, TargetKind::Presence, TargetKind::Amount, TargetKind::Count] {
            for groups in [&[][..], &["ski", "not in the data", "wine"], &CATEGORIES] {
                let target = target(kind, event, is_order, horizon, groups);
                let labeller = Labeller::new(&target, &timelines.vocabularies);
                let labels = labeller.label_rows(&timelines, &requests, &table.keys).unwrap();
                prop_assert_eq!(labels.len(), table.keys.len() * groups.len().max(1));
                for (key, labels) in table.keys.iter().zip(labels.chunks_exact(labeller.width())) {
                    let as_of = as_ofs[key.request as usize];
                    let id = id_of(&timelines, key);
                    let own: Vec<&Line> = lines.iter().filter(|line| line.customer == id).collect();
                    let gross: f64 = own.iter().map(|line| line.money().abs()).sum();
                    for (position, &got) in labels.iter().enumerate() {
                        let expected = label(&target, &own, as_of, groups.get(position).copied());
                        let slack = if kind == TargetKind::Amount { gross * SUM_ROUNDING } else { 0.0 };
                        prop_assert!(
                            (f64::from(got) - expected).abs() <= expected.abs() * F32_ROUNDING + slack,
                            "{:?} of {} in {:?} at {}: {} for {}", kind, event, groups.get(position), as_of, got, expected,
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_history_is_the_days_on_which_it_happened(
        lines in lines(), as_ofs in as_ofs(), event in select(vec!["purchase", "play", "view"]), by_order in any::<bool>(),
    ) {
        let timelines = timelines(&lines, 16);
        let code = timelines.vocabularies.event.code(event);
        let counts = |event: &Event| Some(u32::from(event.kind)) == code && !(by_order && event.value < 0.0);
        for id in CUSTOMERS {
            let own: Vec<&Line> = lines.iter().filter(|line| line.customer == id && line.event == event).collect();
            for &as_of in &as_ofs {
                let got = with_timeline(&timelines, id, |timeline| History::of(timeline, as_of, by_order, counts)).flatten();
                let known: Vec<&Line> = own
                    .iter()
                    .copied()
                    .filter(|line| line.is_known_at(as_of) && !(by_order && line.value < 0.0))
                    .collect();
                let days: BTreeSet<i32> = known.iter().map(|line| line.day()).collect();
                let Some(&first) = days.first() else {
                    prop_assert_eq!(got, None);
                    continue;
                };
                let got = got.expect("something happened");
                let sum = |lines: &mut dyn Iterator<Item = &&Line>| lines.map(|line| line.money()).sum::<f64>();
                let occurrences = if by_order { orders(&known).len() } else { known.len() };
                prop_assert_eq!((got.first, got.last), (Day(first), Day(*days.last().expect("not empty"))));
                prop_assert_eq!((got.days, got.occurrences), (days.len() as u32, occurrences as u32));
                let gross: f64 = known.iter().map(|line| line.money().abs()).sum();
                let (value, of_first) =
                    (sum(&mut known.iter()), sum(&mut known.iter().filter(|line| line.day() == first)));
                prop_assert!((got.value - value).abs() <= gross * SUM_ROUNDING);
                prop_assert!((got.first_day_value - of_first).abs() <= gross * SUM_ROUNDING);
                prop_assert_eq!(got.repeats(), days.len() as f64 - 1.0);
                prop_assert_eq!(got.recency(), f64::from(got.last.0 - first));
                prop_assert_eq!(got.age(as_of), f64::from(as_of.0 - first));
                let later = if days.len() < 2 { 0.0 } else { (value - of_first) / (days.len() - 1) as f64 };
                prop_assert!((got.repeat_value() - later).abs() <= gross * SUM_ROUNDING);
            }
        }
    }
}
