//! What predicates mean, and what is told of those that cannot be meant.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};
use bellwether::error::{Error, ExitCode, Explain};
use bellwether::segments::{PredicateProblem, SegmentsError};

use super::{DATE, Shop, batch, segments, six, text};

/// The customers of [`six`] for whom a predicate is true.
fn members(predicate: &str) -> String {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 100);
    let predicate = toml::Value::String(predicate.to_string());
    let counts = shop.evaluate(&format!("[[segment]]\nname = 'it'\nwhere = {predicate}")).unwrap();
    let members: String = shop.read(DATE).into_iter().map(|(id, _)| id).collect();
    assert_eq!(counts.segments[0].customers, members.len() as u64);
    assert_eq!(counts.in_no_segment, 6 - members.len() as u64);
    members
}

#[test]
fn predicates_mean_what_sql_says() {
    for (predicate, expected) in [
        ("churn_percentile >= 80", "af"),
        ("churn_percentile < 80", "bd"), // null is neither
        ("NOT churn_percentile >= 80", "bd"),
        ("churn_percentile IS NULL", "ce"),
        ("churn_percentile IS NOT NULL AND purchases IS NULL", ""),
        ("churn_percentile >= 80 AND purchases >= 2", "a"),
        ("churn_percentile >= 80 OR purchases >= 2", "adf"),
        ("churn_percentile >= 80 OR purchases >= 0", "abcdf"), // null or true is true
        ("churn_percentile >= 80 AND purchases < 0", ""),      // null and false is false
        ("(churn_percentile >= 80 AND purchases < 0) IS NULL", "e"),
        ("purchases = 0 OR purchases > 2 AND churn_band = 'high'", "abf"), // AND binds before OR
        ("(purchases = 0 OR purchases > 2) AND churn_band = 'high'", "af"),
        ("status LIKE '%\\_only'", "c"),
        ("status LIKE 'sc_red'", "abd"),
        ("status NOT LIKE 'sc%'", "cef"),
        ("status ILIKE 'SCORED'", "abd"),
        ("status IN ('excluded', 'prior_only')", "cf"),
        ("churn_band NOT IN ('low')", "af"), // null is not in the segment
        ("churn_band <> 'low'", "af"),
        ("churn_band IS DISTINCT FROM 'low'", "acef"),
        ("churn_probability_90d BETWEEN 0.25 AND 0.9", "ab"),
        ("holdout", "be"),
        ("NOT holdout", "acf"),
        ("holdout IS NOT TRUE", "acdf"),
        ("as_of = '2026-08-21'", "abcdef"),
        ("as_of >= DATE '2026-08-22'", ""),
        ("expected_next_order_date < as_of + INTERVAL '7 days'", "ade"),
        ("expected_next_order_date BETWEEN as_of AND DATE '2026-09-20'", "abd"),
        ("expected_next_order_date < '2026-08-21'", "e"),
        ("predicted_value_90d * purchases > 3", "ac"),
        ("predicted_value_90d / nullif(purchases, 0) > 3.4", "ac"),
        ("coalesce(purchases, 0) = 0", "bef"),
        ("churn_percentile = '80'", "a"), // text written out becomes what it is compared with
        ("churn_percentile >= 79.5", "af"),
        ("churn_percentile > -1", "abdf"),
        ("churn_percentile = 300", ""),
        ("churn_percentile - 90 < 0", "abd"), // no wrapping round zero
        ("'2026-08-01' < as_of", "abcdef"),
        ("as_of - INTERVAL '30' DAY < '2026-08-01'", "abcdef"),
        ("as_of - expected_next_order_date < 0", "ab"), // days
        ("status || 'x' = 'scoredx'", "abd"),
        ("status ~ '^sc.*d$'", "abd"),
        ("status < churn_band", "f"),
        ("nvl(churn_band, 'none') = 'none'", "ce"),
        ("greatest(purchases, 1) = 1", "bcef"), // nulls are passed over
        ("least(purchases, schema_version) = 0", "bf"),
        ("TRY_CAST(status AS INT) IS NULL", "abcdef"),
        ("arrow_cast(churn_percentile, 'Utf8') = '80'", "a"),
        ("CASE WHEN purchases > 1 THEN churn_band = 'low' ELSE status = 'excluded' END", "df"),
        ("CAST(churn_percentile AS DOUBLE) / 100 >= 0.5", "abf"),
        ("CHURN_PERCENTILE >= 80 and Churn_Band = 'high'", "af"), // names are read as lower-case
        ("\"churn_percentile\" >= 80 -- a comment", "af"),
        ("churn_percentile >=\n  80", "af"),
        ("churn_percentile % 50 = 0", "bf"),
        ("customer_id > 'd'", "ef"),
        ("true", "abcdef"),
        ("false", ""),
        ("NULL > 1", ""),
        ("1 / 2 > 0.4 OR schema_version = 2", ""), // integers divide to integers
    ] {
        assert_eq!(members(predicate), expected, "{predicate}");
    }
}

#[test]
fn the_five_criteria_of_the_contract_run() {
    let shop = Shop::new();
    let number = |values: [f32; 5]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
    let days = Float32Array::from(vec![None, Some(10.0), Some(10.0), Some(61.0), Some(61.0)]);
    let columns = batch(vec![
        ("customer_id", text(["c1", "c2", "c3", "c4", "c5"])),
        ("churn_percentile", Arc::new(UInt8Array::from(vec![1, 2, 3, 95, 5]))),
        ("predicted_value_90d", Arc::new(Float64Array::from(vec![1.0, 2.0, 201.0, 4.0, 5.0]))),
        ("tenure_days", number([6.0, 400.0, 400.0, 400.0, 400.0])),
        ("purchases", number([0.0, 9.0, 9.0, 9.0, 9.0])),
        ("views_category_handbags", number([3.0, 0.0, 0.0, 0.0, 0.0])),
        ("spend", number([0.0, 501.0, 90.0, 80.0, 400.0])),
        ("campaign_responses", number([0.0, 0.0, 0.0, 1.0, 2.0])),
        ("plays_poker_7d", number([0.0, 0.0, 4.0, 0.0, 0.0])),
        ("net_poker_7d", number([0.0, 0.0, -35.0, 0.0, 0.0])),
        ("purchases_category_ski", number([0.0, 1.0, 1.0, 2.0, 3.0])),
        ("spend_percentile", Arc::new(UInt8Array::from(vec![1, 70, 50, 40, 91]))),
        ("days_since_last_order", Arc::new(days)),
    ]);
    shop.write(DATE, &[columns], 100);
    shop.evaluate(
        r#"
        [[segment]]
        name = "1"
        where = "tenure_days < 7 AND purchases = 0 AND views_category_handbags > 0"
        [[segment]]
        name = "2"
        where = "spend > 500 AND campaign_responses = 0"
        [[segment]]
        name = "3"
        where = "plays_poker_7d > 0 AND net_poker_7d < 0 AND predicted_value_90d > 200"
        [[segment]]
        name = "4"
        where = "churn_percentile >= 80 AND purchases_category_ski >= 2"
        [[segment]]
        name = "5"
        where = "spend_percentile > 90 AND days_since_last_order > 60"
        "#,
    )
    .unwrap();
    assert_eq!(shop.read(DATE), ["1", "2", "3", "4", "5"].map(|n| (format!("c{n}"), n.to_string())));
}

fn problem(predicate: &str) -> (PredicateProblem, SegmentsError) {
    let predicate = toml::Value::String(predicate.to_string());
    let toml = format!("[[segment]]\nname='ok'\nwhere='true'\n[[segment]]\nname='bad'\nwhere={predicate}");
    let error = segments(&toml).check(&six().schema()).expect_err("a bad predicate");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.to_string().starts_with("segment `bad`: "), "{error}");
    // The same over a partition, before anything is written.
    let shop = Shop::new();
    shop.write(DATE, &[six()], 100);
    assert_eq!(shop.evaluate(&toml).unwrap_err().to_string(), error.to_string());
    assert!(!shop.out().exists());
    let SegmentsError::Predicate { problem, .. } = &error else { panic!("{error:?}") };
    (problem.clone(), error)
}

#[test]
fn a_misspelt_column_names_the_nearest() {
    let (found, error) = problem("chrun_percentile >= 80");
    assert_eq!(error.to_string(), "segment `bad`: unknown column `chrun_percentile`");
    assert_eq!(error.hints(), ["did you mean `churn_percentile`?"]);
    assert!(matches!(found, PredicateProblem::UnknownColumn { needs_features: false, .. }));
    let (_, error) = problem("\"Churn_Percentile\" >= 80");
    assert!(error.hints().contains(&"did you mean `churn_percentile`?".to_string()), "{:?}", error.hints());
    let (_, error) = problem("status = \"scored\"");
    assert!(error.hints().contains(&"text stands between single quotes: `'scored'`".to_string()));
    let (_, error) = problem("t.status = 'scored'");
    assert!(error.to_string().contains("status"), "{error}");
}

#[test]
fn a_feature_without_features_says_how_to_get_them() {
    let asks = |schema: &Schema, predicate: &str| {
        let error = segments(&format!("[[segment]]\nname='s'\nwhere='{predicate}'")).check(schema).unwrap_err();
        error.hints().iter().any(|line| line.contains("--with-features"))
    };
    let score = |name: &str| Field::new(name, DataType::Float64, true);
    let scores = Schema::new(
        ["customer_id", "churn_percentile", "predicted_value_90d", "value_tier", "purchase_probability_shoes_30d"]
            .map(score)
            .to_vec(),
    );
    assert!(asks(&scores, "purchases_category_ski >= 2"));
    assert!(!asks(&scores, "churn_percentil >= 2"), "a typing error");
    assert!(!asks(&scores, "purchase_probability_hats_30d >= 0.2"), "no feature");
    let mut fields = scores.fields().to_vec();
    fields.push(Arc::new(score("purchases")));
    assert!(!asks(&Schema::new(fields), "purchases_category_ski >= 2"), "the features are there");
}

#[test]
fn syntax_errors_show_their_place() {
    for (predicate, place) in [
        ("churn_percentile >= ", Some((1, 21))),
        ("churn_percentile >=\n>= 80", Some((2, 1))),
        ("churn_percentile >= 80 ANDD holdout", Some((1, 24))),
        ("status = 'scored", Some((1, 10))),
        ("(holdout", Some((1, 9))),
        ("true; DROP TABLE x", Some((1, 5))),
        ("true) OR (true", Some((1, 5))),
    ] {
        let (found, error) = problem(predicate);
        let PredicateProblem::Syntax { at, message } = found else { panic!("{predicate}: {found:?}") };
        assert_eq!(at, place, "{predicate}: {message}");
        assert!(!message.contains("Line:"), "{message}");
        let (details, (line, column)) = (error.details(), place.unwrap());
        let caret = details.iter().position(|line| line.ends_with('^')).expect("a caret");
        assert_eq!(details[caret].len(), "where: ".len() + column, "{details:?}");
        assert!(details[caret - 1].ends_with(predicate.lines().nth(line - 1).unwrap()));
    }
    for predicate in ["holdout AS member", "SELECT 1", "CREATE TABLE x"] {
        let (found, _) = problem(predicate);
        assert!(matches!(found, PredicateProblem::Syntax { .. }), "{predicate}: {found:?}");
    }
    let text = Error::from(problem("churn_percentile >= ").1).to_text();
    let caret = format!("  where: churn_percentile >= \n  {}^\n", " ".repeat(27));
    assert!(text.contains(&caret), "{text}");
    assert!(text.contains("No memberships were written."));
}

#[test]
fn only_pure_functions_of_the_row_are_allowed() {
    for (predicate, name) in [
        ("churn_percentile > (SELECT 1)", "a subquery"),
        ("EXISTS (SELECT 1)", "a subquery"),
        ("customer_id IN (SELECT customer_id FROM x)", "a subquery"),
        ("avg(churn_percentile) > 3", "the aggregate function `avg`"),
        ("count(*) > 3", "the aggregate function `count`"),
        ("churn_percentile > MAX(purchases)", "the aggregate function `max`"),
        ("row_number() OVER (ORDER BY purchases) < 3", "the window function `row_number`"),
        ("sum(purchases) OVER () > 3", "the window function `sum`"),
        ("random() < 0.5", "the function `random`"),
        ("as_of < now()", "the function `now`"),
        ("as_of < CURRENT_DATE", "the function `current_date`"),
        ("as_of < current_timestamp", "the function `current_timestamp`"),
        ("uuid() = 'x'", "the function `uuid`"),
        ("input_file_name() = 'x'", "the function `input_file_name`"),
        ("purchases > coalesce(nullif(random(), 0), 1)", "the function `random`"),
        ("churn_percentile > $1", "the placeholder `$1`"),
    ] {
        let (found, error) = problem(predicate);
        let PredicateProblem::NotPure { what } = &found else { panic!("{predicate}: {found:?}") };
        assert!(what.starts_with(name), "{predicate}: {what}");
        assert!(error.to_string().contains("must be a pure function of its row"));
        assert_eq!(error.hints().len(), 1);
    }
    let (found, error) = problem("frobnicate(purchases) > 1");
    assert!(matches!(found, PredicateProblem::UnknownFunction { ref function, .. } if function == "frobnicate"));
    assert!(error.hints()[0].contains("`coalesce`") && !error.hints()[0].contains("`input_file_name`"));
}

#[test]
fn a_predicate_is_true_or_false() {
    for (predicate, found) in [
        ("churn_percentile", "of type UInt8"),
        ("churn_probability_90d + 1", "of type Float64"),
        ("'yes'", "of type Utf8"),
        ("NULL", "always null"),
    ] {
        let (problem, error) = problem(predicate);
        assert_eq!(problem, PredicateProblem::NotBoolean { found: found.into() }, "{predicate}");
        assert!(error.to_string().ends_with(found), "{error}");
    }
}

#[test]
fn kinds_of_values_are_not_compared_with_each_other() {
    for (predicate, message) in [
        ("status >= 5", "`status` is text and `5` is a number"),
        ("NOT (holdout OR churn_band = 3)", "`churn_band` is text and `3` is a number"),
        ("customer_id IN (5, 6)", "`customer_id` is text and `5` is a number"),
        ("status BETWEEN as_of AND 'x'", "`status` is text and `as_of` is a date"),
        ("as_of = 5", "`as_of` is a date and `5` is a number"),
        ("holdout = 1", "`holdout` is true or false and `1` is a number"),
        ("CASE WHEN churn_band < 2 THEN true END", "`churn_band` is text and `2` is a number"),
        ("status + 1 > 2", ""),
        ("churn_percentile AND holdout", ""),
        ("-status = 'x'", ""),
        ("1 / 0 = 1", "Divide by zero error"),
        ("CAST('x' AS INT) = 1", "Cast error: Cannot cast string 'x' to value of Int32 type"),
        ("churn_percentile >= 'eighty'", ""),
        ("as_of >= 'yesterday'", ""),
        ("purchases LIKE holdout", ""),
    ] {
        let (problem, _) = problem(predicate);
        let PredicateProblem::Unfit { message: found } = &problem else { panic!("{predicate}: {problem:?}") };
        assert!(if message.is_empty() { !found.is_empty() } else { found == message }, "{predicate}: {found}");
    }
}

#[test]
fn long_predicates_are_planned_or_refused_never_a_crash() {
    let repeated = |term: &str, by: &str, times: usize| vec![term; times].join(by);
    assert_eq!(members(&repeated("purchases = 3", " OR ", 190)), "a");
    let ids: Vec<String> = (0..5000).map(|n| format!("'{n}'")).collect();
    assert_eq!(members(&format!("customer_id IN ({}, 'b')", ids.join(", "))), "b");
    assert_eq!(members(&format!("{}holdout{}", "(".repeat(20), ")".repeat(20))), "be");
    for predicate in [
        repeated("purchases = 3", " OR ", 201),
        repeated("purchases = 3", " AND ", 4000),
        format!("{} > 1", repeated("1", "+", 32_000)),
        format!("{} > 1", repeated("1", "+", 1_000_000)),
        format!("{}holdout{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("{}holdout", "NOT ".repeat(16_000)),
        format!("{}1 > 1", "- ".repeat(30_000)),
        format!("{}true{}", "CASE WHEN ".repeat(3000), " THEN true END".repeat(3000)),
        format!("{}1{} > 1", "coalesce(".repeat(5000), ")".repeat(5000)),
        format!("purchases{} > 1", "::float".repeat(9000)),
    ] {
        let (found, _) = problem(&predicate);
        let refused = matches!(found, PredicateProblem::TooLarge { .. } | PredicateProblem::Syntax { .. });
        assert!(refused, "{}…: {found:?}", &predicate[..40]);
    }
}

#[test]
fn a_predicate_that_fails_on_a_row_is_named() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let toml = "[[segment]]\nname='ok'\nwhere='holdout'\n
        [[segment]]\nname='bad'\nwhere='10 / (schema_version - 1) > 2'";
    let error = shop.evaluate(toml).unwrap_err();
    assert_eq!(error.to_string(), "segment `bad`: the predicate fails on some row");
    assert!(matches!(error, SegmentsError::Evaluation { .. }));
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.hints()[0].contains("nullif"));
    assert!(Error::from(error).to_text().contains("because: "), "the engine's own words");
    assert_eq!(fs::read_dir(shop.out()).unwrap().count(), 0, "nothing half-written");
}
