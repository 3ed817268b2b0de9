//! A selection changes which columns there are, and nothing of what stands in them.

use super::*;

const PATTERNS: [&str; 9] = [
    "*",
    "spend*",
    "purchases_?d",
    "*_category_*",
    "sessions",
    "order_clumpiness",
    "event[s]*",
    "no such",
    "tenure_days",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..settings() })]

    #[test]
    fn wanted_columns_are_those_of_the_whole_row(
        lines in lines(), as_ofs in as_ofs(),
        include in prop::collection::vec(select(PATTERNS.to_vec()), 1..4),
        exclude in prop::collection::vec(select(PATTERNS[1..].to_vec()), 0..3),
    ) {
        let timelines = timelines(&lines, 16);
        let mut config = config("purchase");
        let whole = Plan::new(&timelines, &config, as_ofs[0]).unwrap();
        config.features.include = include.iter().map(|pattern| (*pattern).to_string()).collect();
        config.features.exclude = exclude.iter().map(|pattern| (*pattern).to_string()).collect();
        let some = Plan::new(&timelines, &config, as_ofs[0]).unwrap();
        let wants = |name: &str| include.iter().any(|p| matches(p, name)) && !exclude.iter().any(|p| matches(p, name));
        let names: Vec<String> = whole.features().into_iter().map(|feature| feature.name).collect();
        let wanted: Vec<usize> = (0..names.len()).filter(|&index| wants(&names[index])).collect();
        let found: Vec<String> = some.features().into_iter().map(|feature| feature.name).collect();
        prop_assert_eq!(&found, &wanted.iter().map(|&index| names[index].clone()).collect::<Vec<String>>());
        let fits = include.iter().chain(&exclude).all(|pattern| names.iter().any(|name| matches(pattern, name)));
        prop_assert_eq!(some.check_selection().is_ok(), fits && !wanted.is_empty());
        if wanted.is_empty() {
            return Ok(());
        }
        let (whole, some) = (bits(&timelines, &whole, &as_ofs), bits(&timelines, &some, &as_ofs));
        prop_assert_eq!(whole.len(), some.len());
        for (key, row) in whole {
            let picked: Vec<u32> = wanted.iter().map(|&index| row[index]).collect();
            prop_assert_eq!(&some[&key], &picked);
        }
    }
}

/// The patterns above, spelt out.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern {
        "*" => true,
        "spend*" => name.starts_with("spend"),
        "purchases_?d" => name.len() == "purchases_7d".len() && name.starts_with("purchases_") && name.ends_with('d'),
        "*_category_*" => name.contains("_category_"),
        "event[s]*" => name.starts_with("events"),
        exact => name == exact,
    }
}

#[test]
fn a_pattern_without_a_feature_names_the_nearest() {
    let lines = [Line { event: "view", ..cases::purchase(0, 0, None, f64::NAN) }, cases::purchase(1, 0, None, 5.0)];
    let timelines = timelines(&lines, 16);
    let check = |include: &[&str], exclude: &[&str]| {
        let mut config = config("purchase");
        config.features.include = include.iter().map(|text| (*text).to_string()).collect();
        config.features.exclude = exclude.iter().map(|text| (*text).to_string()).collect();
        Plan::new(&timelines, &config, MONDAY.plus(7)).unwrap().check_selection()
    };
    assert_eq!(check(&["spend*", "views"], &["spend_7d"]), Ok(()));
    let error = check(&["*"], &["spent_30d*"]).unwrap_err();
    let words = "`[features] exclude` has the pattern \"spent_30d*\", which matches no feature of these data";
    assert_eq!(error.to_string(), words);
    assert_eq!(bellwether::error::Explain::hints(&error)[0], "did you mean `spend_30d`?");
    let error = check(&["spend*"], &["s*"]).unwrap_err();
    assert!(error.to_string().contains("leave none of"), "{error}");
}
