//! Segments over score partitions that the tests build themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, LargeStringArray, RecordBatch,
    StringArray, UInt8Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use bellwether::error::{Error, ExitCode, Explain, Reason};
use bellwether::segments::{PredicateProblem, SegmentCounts, Segments, SegmentsError, evaluate};
use bellwether::storage::{PartitionWriter, fingerprint};
use bellwether::time::Day;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

const DATE: &str = "2026-08-21";

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// A shop's folders.
struct Shop {
    root: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn scores(&self, date: &str) -> PathBuf {
        self.root.path().join("scores").join(format!("as_of={date}"))
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("segments")
    }

    fn memberships(&self, date: &str) -> PathBuf {
        self.out().join(format!("as_of={date}")).join("memberships.parquet")
    }

    /// One part file for each batch, in row groups of `group_rows`.
    fn write(&self, date: &str, batches: &[RecordBatch], group_rows: usize) {
        let folder = self.scores(date);
        fs::create_dir_all(&folder).unwrap();
        for (number, batch) in batches.iter().enumerate() {
            let file = File::create(folder.join(format!("part-{number:05}.parquet"))).unwrap();
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(batch).unwrap();
            writer.close().unwrap();
        }
        let manifest = serde_json::json!({ "as_of": date, "complete": true });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }

    fn evaluate(&self, toml: &str) -> Result<SegmentCounts, SegmentsError> {
        self.evaluate_at(DATE, toml, 2)
    }

    fn evaluate_at(&self, date: &str, toml: &str, threads: usize) -> Result<SegmentCounts, SegmentsError> {
        evaluate(&segments(toml), &self.scores(date), &self.out(), day(date), threads)
    }

    /// (customer, segment) in the order of the file.
    fn read(&self, date: &str) -> Vec<(String, String)> {
        let file = File::open(self.memberships(date)).unwrap();
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            assert_eq!(batch.num_columns(), 2);
            let (ids, names): (&StringArray, &StringArray) = (column(&batch, "customer_id"), column(&batch, "segment"));
            rows.extend((0..ids.len()).map(|row| (ids.value(row).to_string(), names.value(row).to_string())));
        }
        rows
    }
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> &'a A {
    batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
}

fn segments(toml: &str) -> Segments {
    Segments::parse(toml, Path::new("segments.toml")).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn text<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from_iter((0..N).map(|row| (values[row] != "-").then_some(values[row]))))
}

/// Six customers with every type of score and feature; NaN stands for null.
fn six() -> RecordBatch {
    let number = |values: [f64; 6]| Float64Array::from_iter(values.map(|value| (!value.is_nan()).then_some(value)));
    let dates = |days: [Option<i32>; 6]| Arc::new(Date32Array::from(days.to_vec())) as ArrayRef;
    let (none, today) = (f64::NAN, day(DATE).0);
    let percentiles = [Some(80), Some(50), None, Some(1), None, Some(100)];
    let purchases = [Some(3.0), Some(0.0), Some(1.0), Some(2.0), None, Some(0.0)];
    let holdout = [Some(false), Some(true), Some(false), None, Some(true), Some(false)];
    batch(vec![
        ("customer_id", text(["a", "b", "c", "d", "e", "f"])),
        ("as_of", dates([Some(today); 6])),
        ("status", text(["scored", "scored", "prior_only", "scored", "not_applicable", "excluded"])),
        ("churn_probability_90d", Arc::new(number([0.9, 0.25, none, 0.0, none, 1.0]))),
        ("churn_percentile", Arc::new(UInt8Array::from(percentiles.to_vec()))),
        ("churn_band", text(["high", "low", "-", "low", "-", "high"])),
        ("predicted_value_90d", Arc::new(number([250.0, 10.0, 3.5, none, none, 0.0]))),
        (
            "expected_next_order_date",
            dates([Some(today + 3), Some(today + 30), None, Some(today), Some(today - 1), None]),
        ),
        ("holdout", Arc::new(BooleanArray::from(holdout.to_vec()))),
        ("purchases", Arc::new(Float32Array::from(purchases.to_vec()))),
        ("schema_version", Arc::new(Int32Array::from(vec![1; 6]))),
    ])
}

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

const FOUR: &str = "
[[segment]]
name = 'buyers'
where = 'purchases >= 1'
priority = 5
campaign = 'thanks'
duration_days = 14
[[segment]]
name = 'rest'
otherwise = true
[[segment]]
name = 'at risk'
where = 'churn_percentile >= 80'
[[segment]]
name = 'low'
where = \"churn_band = 'low'\"
";

#[test]
fn counts_overlaps_and_the_rest_add_up() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let counts = shop.evaluate(FOUR).unwrap();
    let expected = [
        ("a", "buyers"),
        ("a", "at risk"),
        ("b", "low"),
        ("c", "buyers"),
        ("d", "buyers"),
        ("d", "low"),
        ("e", "rest"),
        ("f", "at risk"),
    ];
    assert_eq!(shop.read(DATE), expected.map(|(id, name)| (id.to_string(), name.to_string())));
    assert_eq!((counts.customers, counts.memberships, counts.in_no_segment), (6, 8, 0));
    assert_eq!(counts.segments.iter().map(|segment| segment.customers).collect::<Vec<_>>(), [3, 1, 2, 2]);
    assert_eq!(counts.overlaps, [[3, 0, 1, 1], [0, 1, 0, 0], [1, 0, 2, 0], [1, 0, 0, 2]]);
    assert_eq!(counts.previous, None);
    assert_eq!(counts.scores_hash, fingerprint(&shop.scores(DATE).join("manifest.json")).unwrap());
    let file = shop.root.path().join("segments.toml");
    fs::write(&file, FOUR).unwrap();
    assert_eq!(counts.segments_hash, fingerprint(&file).unwrap());
    assert_eq!(Segments::load(&file).unwrap(), segments(FOUR));

    let manifest = fs::read(shop.out().join(format!("as_of={DATE}/manifest.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["as_of"], DATE);
    let first = serde_json::json!({
        "name": "buyers", "where": "purchases >= 1", "priority": 5, "campaign": "thanks", "duration_days": 14,
        "customers": 3, "entries": null, "exits": null, "redefined": null,
    });
    assert_eq!(manifest["segments"][0], first);
    assert_eq!(manifest["segments"][1]["otherwise"], true);
    assert_eq!(manifest["overlaps"][0], serde_json::json!([3, 0, 1, 1]));

    let text = counts.to_text();
    assert!(text.starts_with("segments of 2026-08-21: 6 customers\n"), "{text}");
    let row = text.lines().find(|line| line.contains("buyers")).unwrap();
    let cells: Vec<&str> = row.split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells, ["", "buyers", "3", "50.0 %", "", "", "thanks", "5", ""], "{text}");
    assert!(text.contains("no earlier date"));
}

#[test]
fn without_otherwise_the_rest_is_counted() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let counts = shop.evaluate("[[segment]]\nname='it'\nwhere='churn_percentile >= 80'").unwrap();
    assert_eq!((counts.customers, counts.in_no_segment, counts.memberships), (6, 4, 2));
    let counts = shop.evaluate("[[segment]]\nname='all'\notherwise=true").unwrap();
    assert_eq!((counts.in_no_segment, counts.segments[0].customers), (0, 6));
}

#[test]
fn no_customers_are_no_fault() {
    let shop = Shop::new();
    shop.write(DATE, &[six().slice(0, 0)], 2);
    let counts = shop.evaluate(FOUR).unwrap();
    assert_eq!((counts.customers, counts.memberships), (0, 0));
    assert!(shop.read(DATE).is_empty());
    assert!(counts.to_text().contains("0 customers"));
}

#[test]
fn entries_and_exits_are_since_the_newest_complete_date() {
    let shop = Shop::new();
    let run = |date: &str, customers: &[(&str, f64)], toml: &str| {
        let ids = StringArray::from_iter_values(customers.iter().map(|(id, _)| id));
        let values = Float64Array::from_iter_values(customers.iter().map(|(_, value)| *value));
        let columns = vec![("customer_id", Arc::new(ids) as _), ("predicted_value_90d", Arc::new(values) as _)];
        shop.write(date, &[batch(columns)], 2);
        shop.evaluate_at(date, toml, 2).unwrap()
    };
    let then = "
        [[segment]]\nname='dear'\nwhere='predicted_value_90d >= 10'
        [[segment]]\nname='gone'\nwhere='true'
        [[segment]]\nname='rest'\nwhere='predicted_value_90d < 5'\n";
    let now = "
        [[segment]]\nname='rest'\nwhere='predicted_value_90d < 6'
        [[segment]]\nname='fresh'\nwhere='true'
        [[segment]]\nname='dear'\nwhere='predicted_value_90d >= 10'\n";
    run("2026-08-01", &[("z", 99.0)], then);
    run("2026-08-10", &[("b", 10.0), ("c", 1.0), ("d", 20.0), ("e", 1.0), ("x", 1.0), ("y", 30.0)], then);
    // A date in between that is not complete does not count, nor do later ones.
    run("2026-08-15", &[("z", 99.0)], then);
    fs::remove_file(shop.out().join("as_of=2026-08-15/manifest.json")).unwrap();
    run("2026-09-01", &[("z", 99.0)], then);
    // b stays dear; c moves from rest to dear; d leaves dear; e stays in rest; a is new and dear; x and y are gone.
    let today = [("a", 11.0), ("b", 12.0), ("c", 13.0), ("d", 7.0), ("e", 2.0), ("f", 8.0)];
    let counts = run(DATE, &today, now);
    let previous = counts.previous.as_ref().unwrap();
    assert_eq!((previous.as_of, previous.dropped.as_slice()), (day("2026-08-10"), &["gone".to_string()][..]));
    let moved = |name: &str| {
        let count = counts.segments.iter().find(|count| count.segment.name == name).unwrap();
        (count.customers, count.entries, count.exits, count.redefined)
    };
    assert_eq!(moved("dear"), (3, Some(2), Some(2), Some(false)));
    assert_eq!(moved("rest"), (1, Some(0), Some(2), Some(true)));
    assert_eq!(moved("fresh"), (6, None, None, None));
    let text = counts.to_text();
    for line in ["Entries and exits are since 2026-08-10.", "differ from then: rest.", "no longer declared: gone."] {
        assert!(text.contains(line), "{text}");
    }
    // A rerun of the same date compares with the same previous one, not with itself.
    assert_eq!(run(DATE, &today, now), counts);
}

#[test]
fn a_damaged_former_date_is_not_passed_over() {
    let shop = Shop::new();
    let former = "2026-08-20";
    shop.write(former, &[six()], 2);
    shop.evaluate_at(former, FOUR, 1).unwrap();
    shop.write(DATE, &[six()], 2);
    let manifest = shop.out().join(format!("as_of={former}/manifest.json"));
    let (good, parquet) = (fs::read_to_string(&manifest).unwrap(), fs::read(shop.memberships(former)).unwrap());
    let damage = |path: &Path, content: &[u8]| {
        fs::write(path, content).unwrap();
        let error = shop.evaluate(FOUR).expect_err("damaged");
        let expected = (ExitCode::DataRejected, Some(Reason::NoScoringData));
        assert_eq!((error.exit_code(), error.reason()), expected, "{error}");
        assert!(error.hints()[0].contains("as_of=2026-08-20"), "{:?}", error.hints());
        assert!(!shop.memberships(DATE).exists());
    };
    damage(&manifest, b"{\"complete\": tr");
    damage(&manifest, good.replace("2026-08-20", "2026-08-19").as_bytes());
    damage(&manifest, good.replace("buyers", "others").as_bytes());
    fs::write(&manifest, &good).unwrap();
    damage(&shop.memberships(former), &parquet[..parquet.len() / 2]);
    fs::write(shop.memberships(former), &parquet).unwrap();
    shop.evaluate(FOUR).unwrap();
}

#[test]
fn partitions_that_cannot_be_trusted_are_refused() {
    let shop = Shop::new();
    shop.write("2026-08-19", &[six()], 2);
    let error = shop.evaluate(FOUR).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert_eq!(error.hints(), ["the newest complete scores are of `--as-of 2026-08-19`"]);

    let refused = |shop: &Shop, words: &str| {
        let error = shop.evaluate(FOUR).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((error.exit_code(), error.reason()), (ExitCode::DataRejected, Some(Reason::NoScoringData)));
        assert!(!shop.out().join(format!("as_of={DATE}")).exists());
    };
    let manifest = shop.scores(DATE).join("manifest.json");
    shop.write(DATE, &[six()], 2);
    fs::remove_file(&manifest).unwrap();
    refused(&shop, "has no `manifest.json`: it is not complete");
    for (content, words) in [
        ("{", "unreadable `manifest.json`"),
        ("{\"as_of\": \"2026-08-21\"}", "is not complete"),
        ("{\"as_of\": \"2026-08-21\", \"complete\": false}", "is not complete"),
        ("{\"as_of\": \"2026-08-20\", \"complete\": true}", "is of \"2026-08-20\", not of 2026-08-21"),
        ("{\"complete\": true}", "is of null"),
    ] {
        fs::write(&manifest, content).unwrap();
        refused(&shop, words);
    }

    let with = |batches: &[RecordBatch], words: &str| {
        let shop = Shop::new();
        shop.write(DATE, batches, 2);
        refused(&shop, words);
    };
    with(&[], "has no file `part-*.parquet`");
    with(&[six().slice(3, 3), six().slice(0, 3)], "not sorted by `customer_id`: `a` comes after `f`");
    with(&[six(), six().slice(5, 1)], "has customer `f` twice");
    with(&[six(), six().project(&[0, 1]).unwrap()], "different columns");
    with(&[six().project(&[1, 2]).unwrap()], "has no column `customer_id`");
    with(&[batch(vec![("customer_id", Arc::new(Int32Array::from(vec![1])))])], "of type Int32, not text");
    let rest = six();
    let mut columns = rest.columns().to_vec();
    columns[0] = text(["a", "b", "-", "d", "e", "f"]);
    with(&[RecordBatch::try_new(rest.schema(), columns).unwrap()], "rows without a `customer_id`");
}

#[test]
fn damaged_parts_are_refused_and_nothing_is_written() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    let path = shop.scores(DATE).join("part-00000.parquet");
    let good = fs::read(&path).unwrap();
    let refused = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let error = shop.evaluate(FOUR).unwrap_err();
        assert!(matches!(error, SegmentsError::Damaged { .. }), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::DataRejected);
        assert!(!shop.out().join(format!("as_of={DATE}")).exists());
    };
    for end in [0, 10, good.len() / 2, good.len() - 1] {
        refused(&good[..end]);
    }
    // Pages overwritten before an intact footer.
    let footer = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()) as usize;
    let mut pages = good.clone();
    pages[4..good.len() - 8 - footer].fill(0xff);
    refused(&pages);
}

#[test]
fn only_the_columns_of_predicates_are_read() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 6);
    let path = shop.scores(DATE).join("part-00000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let footer = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    for column in footer.metadata().row_group(0).columns() {
        if !["customer_id", "churn_percentile"].contains(&column.column_descr().name()) {
            let (start, length) = column.byte_range();
            bytes[start as usize..(start + length) as usize].fill(0xff);
        }
    }
    fs::write(&path, bytes).unwrap();
    let counts = shop.evaluate("[[segment]]\nname='it'\nwhere='churn_percentile >= 80'").unwrap();
    assert_eq!(counts.segments[0].customers, 2);
    let error = shop.evaluate("[[segment]]\nname='it'\nwhere='holdout'").unwrap_err();
    assert!(matches!(error, SegmentsError::Damaged { .. }), "{error:?}");
    assert_eq!(shop.read(DATE).len(), 2, "the former memberships stay");
}

#[test]
fn a_thousand_segments_are_counted() {
    let shop = Shop::new();
    let toml: String = (0..1000)
        .map(|n| format!("[[segment]]\nname='{n}'\nwhere='schema_version BETWEEN {n} AND {n} + 70'\n"))
        .collect();
    let numbered = |shift: i32| {
        let ids = StringArray::from_iter_values((0..1000).map(|row| format!("{row:04}")));
        let numbers = Int32Array::from_iter_values((0..1000).map(|row| row + shift));
        batch(vec![("customer_id", Arc::new(ids)), ("schema_version", Arc::new(numbers))])
    };
    shop.write("2026-08-20", &[numbered(3)], 300);
    shop.evaluate_at("2026-08-20", &toml, 2).unwrap();
    shop.write(DATE, &[numbered(0)], 300);
    let counts = shop.evaluate(&toml).unwrap();
    // Yesterday customer r had r + 3: segment n loses r = n - 3.. and gains as many at its end.
    for (n, count) in counts.segments.iter().enumerate() {
        let (today, before) = (n..(n + 71).min(1000), n.saturating_sub(3)..(n + 68).min(1000));
        let entries = today.clone().filter(|row| !before.contains(row)).count() as u64;
        let exits = before.clone().filter(|row| !today.contains(row)).count() as u64;
        let found = (count.customers, count.entries, count.exits);
        assert_eq!(found, (today.len() as u64, Some(entries), Some(exits)), "{n}");
    }
    assert_eq!(counts.overlaps[900][910], 61);
    assert!(counts.to_text().contains("smaller overlaps are in `manifest.json`"));
    let error = Segments::parse(&(toml + "[[segment]]\nname='x'\nwhere='true'"), Path::new("s.toml")).unwrap_err();
    assert!(error.to_string().ends_with("must be there 1 to 1000 times, got 1001"), "{error}");
}

#[test]
fn other_text_types_and_odd_paths_are_read() {
    let shop = Shop { root: tempfile::Builder::new().prefix("a shop, 100 % ü#?").tempdir().unwrap() };
    let ids = Arc::new(LargeStringArray::from(vec!["a", "b"])) as ArrayRef;
    let values = Arc::new(Float64Array::from(vec![1.0, 20.0])) as ArrayRef;
    shop.write(DATE, &[batch(vec![("customer_id", ids), ("predicted_value_90d", values)])], 1);
    shop.evaluate("[[segment]]\nname='dear'\nwhere='predicted_value_90d > 10'").unwrap();
    assert_eq!(shop.read(DATE), [("b".to_string(), "dear".to_string())]);
}

#[test]
fn leftovers_of_a_killed_run_are_undone_by_the_next() {
    let shop = Shop::new();
    shop.write(DATE, &[six()], 2);
    for date in ["2026-08-19", "2026-08-20"] {
        shop.write(date, &[six()], 2);
        shop.evaluate_at(date, FOUR, 1).unwrap();
    }
    let clean = shop.evaluate(FOUR).unwrap();
    let names = || -> BTreeSet<String> {
        fs::read_dir(shop.out()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = names();
    let at = |name: &str| shop.out().join(name);
    // Killed between the renames while replacing yesterday: yesterday must return before it is compared with.
    fs::rename(at("as_of=2026-08-20"), at(".as_of=2026-08-20.old-1-1")).unwrap();
    fs::create_dir(at(".as_of=2026-08-20.tmp-1-0")).unwrap();
    // Killed while today was being built.
    fs::create_dir(at(".as_of=2026-08-21.tmp-1-3")).unwrap();
    fs::write(at(".as_of=2026-08-21.tmp-1-3/memberships.parquet"), "half").unwrap();
    assert_eq!(shop.evaluate(FOUR).unwrap(), clean);
    assert_eq!(clean.previous.as_ref().unwrap().as_of, day("2026-08-20"));
    assert_eq!(names(), before);
}

/// Customers `start` and following, whose columns are simple functions of their number.
fn many(start: usize, rows: usize, columns: usize) -> RecordBatch {
    let range = || start..start + rows;
    let ids = StringArray::from_iter_values(range().map(|row| format!("customer-{row:08}")));
    let percentile = UInt8Array::from_iter(range().map(|row| (row % 11 != 0).then_some((row * 7919 % 100) as u8 + 1)));
    let mut all: Vec<(String, ArrayRef)> =
        vec![("customer_id".into(), Arc::new(ids)), ("churn_percentile".into(), Arc::new(percentile))];
    for column in 0..columns.saturating_sub(2) {
        let value = |row: usize| (row.wrapping_mul(2_654_435_761).wrapping_add(column * 40_503) >> 7) % 1000;
        all.push(if column % 4 == 0 {
            let values = range().map(|row| (value(row) > 50).then(|| value(row) as f64 / 999.0 + row as f64 * 1e-9));
            (format!("score_{column}"), Arc::new(Float64Array::from_iter(values)))
        } else {
            let values = range().map(|row| (value(row) % 40) as f32);
            (format!("feature_{column}"), Arc::new(Float32Array::from_iter_values(values)))
        });
    }
    RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn twenty() -> String {
    let mut toml = String::new();
    for number in 0..19 {
        let (score, feature) = (number / 4 * 4, number / 4 * 4 + 1 + number % 3);
        let (cut, count, percentile) = (40 + number, 10 + number, 99 - number / 2);
        toml += &format!(
            "[[segment]]\nname = 'segment {number}'\nwhere = '''
             score_{score} >= 0.{cut} AND feature_{feature} >= {count} OR churn_percentile > {percentile}'''\n"
        );
    }
    toml + "[[segment]]\nname = 'rest'\notherwise = true\n"
}

#[test]
fn bytes_are_the_same_at_any_number_of_threads() {
    let mut files: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for threads in [1, 2, 7, 0] {
        // A former date, too, so that entries and exits are compared.
        let shop = Shop::new();
        shop.write("2026-08-20", &[many(500, 20_000, 24)], 3000);
        shop.write(DATE, &[many(0, 9_000, 24), many(9_000, 1, 24), many(9_001, 14_000, 24)], 1234);
        for date in ["2026-08-20", DATE] {
            shop.evaluate_at(date, &twenty(), threads).unwrap();
        }
        let manifest = shop.out().join(format!("as_of={DATE}/manifest.json"));
        files.push((fs::read(shop.memberships(DATE)).unwrap(), fs::read(manifest).unwrap()));
    }
    assert!(files[0].0.len() > 10_000);
    assert!(files.iter().all(|other| other == &files[0]));
    // Nor do memberships depend on how the scores are cut into files and row groups.
    let shop = Shop::new();
    shop.write(DATE, &[many(0, 23_001, 24)], 100_000);
    shop.evaluate(&twenty()).unwrap();
    assert!(fs::read(shop.memberships(DATE)).unwrap() == files[0].0);
}

/// Names of the segments of each customer, by plain loops over the columns.
fn plain(batch: &RecordBatch) -> BTreeMap<String, Vec<&'static str>> {
    let (ids, percentile): (&StringArray, &UInt8Array) =
        (column(batch, "customer_id"), column(batch, "churn_percentile"));
    let (score_0, score_4): (&Float64Array, &Float64Array) = (column(batch, "score_0"), column(batch, "score_4"));
    let (feature_1, feature_2): (&Float32Array, &Float32Array) =
        (column(batch, "feature_1"), column(batch, "feature_2"));
    let mut all = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let mut names = Vec::new();
        if percentile.is_valid(row) && percentile.value(row) > 90 {
            names.push("one");
        }
        if score_0.is_valid(row) && score_0.value(row) >= 0.5 && feature_1.value(row) >= 20.0 {
            names.push("two");
        }
        if (1.0..=3.0).contains(&feature_2.value(row)) || score_4.is_null(row) {
            names.push("three");
        }
        if names.is_empty() {
            names.push("rest");
        }
        all.insert(ids.value(row).to_string(), names);
    }
    all
}

#[test]
fn memberships_and_movements_agree_with_plain_loops() {
    let shop = Shop::new();
    let (then, now) = (many(500, 20_000, 24), many(0, 23_000, 24));
    // Yesterday's customer n had the columns of customer n + 500, so that many move.
    let mut columns = then.columns().to_vec();
    columns[0] = Arc::new(StringArray::from_iter_values((300..20_300).map(|row| format!("customer-{row:08}"))));
    let then = RecordBatch::try_new(then.schema(), columns).unwrap();
    let toml = "
        [[segment]]\nname='one'\nwhere='churn_percentile > 90'
        [[segment]]\nname='two'\nwhere='score_0 >= 0.5 AND NOT feature_1 < 20'
        [[segment]]\nname='three'\nwhere='feature_2 IN (1, 2, 3) OR score_4 IS NULL'
        [[segment]]\nname='rest'\notherwise=true\n";
    shop.write("2026-08-20", std::slice::from_ref(&then), 3000);
    shop.write(DATE, std::slice::from_ref(&now), 3000);
    shop.evaluate_at("2026-08-20", toml, 3).unwrap();
    let counts = shop.evaluate_at(DATE, toml, 3).unwrap();

    let (then, now) = (plain(&then), plain(&now));
    let expected: Vec<(String, String)> =
        now.iter().flat_map(|(id, names)| names.iter().map(|name| (id.clone(), name.to_string()))).collect();
    assert!(shop.read(DATE) == expected);
    let has = |all: &BTreeMap<String, Vec<&str>>, id: &str, name: &str| {
        all.get(id).is_some_and(|names| names.contains(&name))
    };
    let ids: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    for (position, count) in counts.segments.iter().enumerate() {
        let name = count.segment.name.as_str();
        let tally = |test: &dyn Fn(&str) -> bool| ids.iter().filter(|id| test(id)).count() as u64;
        assert_eq!(count.customers, tally(&|id| has(&now, id, name)));
        assert_eq!(count.entries, Some(tally(&|id| has(&now, id, name) && !has(&then, id, name))));
        assert_eq!(count.exits, Some(tally(&|id| !has(&now, id, name) && has(&then, id, name))));
        assert!(count.entries > Some(100) && count.exits > Some(100), "{count:?}");
        for (other, second) in counts.segments.iter().enumerate() {
            let both = tally(&|id| has(&now, id, name) && has(&now, id, &second.segment.name));
            assert_eq!(counts.overlaps[position][other], both, "{name} and {}", second.segment.name);
        }
    }
}

const CHILD: &str = "BELLWETHER_TEST_SHOP";

/// Runs in a process of its own, whose peak of memory is then that of the evaluation.
#[test]
#[ignore = "started by `a_million_customers_need_bounded_memory`"]
fn child_evaluates() {
    let root = PathBuf::from(std::env::var_os(CHILD).expect("the folder of a shop"));
    let scores = root.join("scores").join(format!("as_of={DATE}"));
    let started = std::time::Instant::now();
    let counts = evaluate(&segments(&twenty()), &scores, &root.join("segments"), day(DATE), 2).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    eprintln!("RESULT {} {} {seconds} {}", counts.customers, counts.memberships, peak.unwrap_or("0"));
}

#[test]
fn a_million_customers_need_bounded_memory() {
    let mut peaks = Vec::new();
    for rows in [250_000, 1_000_000] {
        let shop = Shop::new();
        shop.write(DATE, &[], 1); // the manifest
        let path = shop.scores(DATE).join("part-00000.parquet");
        let step = 50_000;
        let mut writer = PartitionWriter::create(&path, many(0, 1, 100).schema(), &[]).unwrap();
        for start in (0..rows).step_by(step) {
            writer.write(&many(start, step, 100)).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), rows as u64);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_evaluates", "--ignored", "--nocapture"])
            .env(CHILD, shop.root.path())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stderr);
        let result = printed.lines().find_map(|line| line.split_once("RESULT ")).unwrap_or_else(|| panic!("{printed}"));
        let numbers: Vec<f64> = result.1.split(' ').map(|number| number.parse().unwrap()).collect();
        let [customers, memberships, seconds, peak] = numbers[..] else { panic!("{printed}") };
        assert_eq!(customers as usize, rows);
        eprintln!(
            "{rows} customers x 100 columns x 20 segments: {memberships} memberships in {seconds:.2} s, \
             {:.0} customers/s, peak {:.0} MB",
            customers / seconds,
            peak / 1024.0
        );
        peaks.push(peak / 1024.0);
    }
    // Four times the customers. Ids and memberships of the other 750,000 alone would be more than this.
    assert!(peaks[1] < peaks[0] + 40.0, "{peaks:?} MB");
}
