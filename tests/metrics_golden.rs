//! Metrics against other people's implementations: scikit-learn, SciPy, NumPy, pandas, TorchMetrics, kds and Crystalvalue on
//! the shared 40-row fixture, and scikit-learn, SciPy and pandas on 523 rows of our own (`tests/reference/metrics.py`);
//! then properties that hold on any table.

use std::collections::BTreeMap;
use std::path::Path;

use bellwether::metrics::calibration::{
    brier, calibration_ratio, ece, ece_10, ece_right_closed, log_loss, mce, rmsce, spiegelhalter_z,
};
use bellwether::metrics::ranking::{
    Decile, average_precision, decile_table, gain_at, ks, ks_decile, lift_at, percentiles, permilles, roc_auc,
};
use bellwether::metrics::value::{
    decile_errors, gini_normalized, mae, mae_normalized, rmse, rmse_normalized, spearman, top_10_value_share,
    top_share, value_ratio,
};
use bellwether::metrics::{BootstrapOptions, evaluate_binary, evaluate_ranking, evaluate_value};
use proptest::prelude::*;

/// Two double-precision routes to one number of order 1 over a few hundred terms.
const TOLERANCE: f64 = 1e-12;

#[track_caller]
fn close(got: Option<f64>, expected: f64) {
    within(got, expected, TOLERANCE);
}

#[track_caller]
fn within(got: Option<f64>, expected: f64, tolerance: f64) {
    let got = got.expect("defined on the fixture");
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{got} where {expected} was expected");
}

struct Fixture {
    y: Vec<bool>,
    p: Vec<f64>,
    v: Vec<f64>,
    v_hat: Vec<f64>,
}

/// The shared fixture, or `None` (and a line that says so) outside the workspace that has it.
fn shared_fixture() -> Option<Fixture> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/metrics.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return None;
    };
    let table = text.split("```csv\n").nth(1).expect("a csv block").split("```").next().expect("its end");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<BTreeMap<String, f64>> = reader.deserialize().map(|row| row.expect("eight numbers")).collect();
    assert_eq!(rows.len(), 40);
    let column = |name: &str| rows.iter().map(|row| row[name]).collect::<Vec<f64>>();
    let y = column("y").iter().map(|&y| y == 1.0).collect();
    Some(Fixture { y, p: column("p"), v: column("v"), v_hat: column("v_hat") })
}

/// `p2` of the fixture: equal scores rank by ascending id.
fn without_ties(p: &[f64]) -> Vec<f64> {
    p.iter().zip(1..).map(|(p, id)| p - f64::from(id) * 1e-6).collect()
}

#[test]
fn classification_values_of_the_shared_fixture() {
    let Some(Fixture { y, p, .. }) = shared_fixture() else { return };
    close(roc_auc(&y, &p), 0.734_666_666_666_666_7);
    close(average_precision(&y, &p), 0.632_343_358_205_427_2);
    close(brier(&y, &p), 0.218_25);
    close(log_loss(&y, &p), 0.631_661_944_272_824_4);
    close(ks(&y, &p), 0.4);
    close(ece_10(&y, &p), 0.185);
    close(ece(&y, &p, 15), 0.215);
    close(mce(&y, &p, 10), 0.35);
    close(mce(&y, &p, 15), 0.65);
    close(rmsce(&y, &p, 10), 0.215_654_457_960_171_2);
    close(rmsce(&y, &p, 15), 0.257_764_831_451_719_47);
    close(ece_right_closed(&y, &p, 10), 0.18);
    close(calibration_ratio(&y, &p), 0.842_696_629_213_483_3);
    close(spiegelhalter_z(&y, &p), 2.237_982_385_747_384);
    // `lift_quality` of `p2`, which is 2·AUC − 1.
    close(roc_auc(&y, &without_ties(&p)).map(|auc| 2.0 * auc - 1.0), 0.482_666_666_666_666_8);
}

#[test]
fn gain_and_lift_of_the_shared_fixture() {
    let Some(Fixture { y, p, .. }) = shared_fixture() else { return };
    // Equal scores keep row order, so `p` and `p2` must agree.
    for p in [without_ties(&p), p] {
        for (share, gain, lift) in [
            (0.1, 0.2, 2.0),
            (0.2, 0.333_333_333_333_333_3, 1.666_666_666_666_666_5),
            (0.3, 0.466_666_666_666_666_7, 1.555_555_555_555_555_6),
            (0.5, 0.666_666_666_666_666_6, 1.333_333_333_333_333_3),
        ] {
            close(gain_at(&y, &p, share), gain);
            close(lift_at(&y, &p, share), lift);
        }
    }
}

#[test]
fn decile_table_of_the_shared_fixture() {
    let Some(Fixture { y, p, .. }) = shared_fixture() else { return };
    let expected = [
        (3.0, 20.000, 16.000, 2.000),
        (2.0, 33.333, 21.333, 1.667),
        (2.0, 46.667, 26.667, 1.556),
        (1.0, 53.333, 21.333, 1.333),
        (2.0, 66.667, 26.667, 1.333),
        (3.0, 86.667, 42.667, 1.444),
        (1.0, 93.333, 37.333, 1.333),
        (0.0, 93.333, 21.333, 1.167),
        (1.0, 100.000, 16.000, 1.111),
        (0.0, 100.000, 0.000, 1.000),
    ];
    for p in [without_ties(&p), p] {
        let table = decile_table(&y, &p).expect("no NaN");
        assert_eq!(table.len(), 10);
        for (i, (row, (positives, cumulative, ks, lift))) in table.iter().zip(expected).enumerate() {
            assert_eq!((usize::from(row.decile), row.rows, row.actual), (i + 1, 4, positives));
            let half_a_digit = 0.000_5 + 1e-9;
            assert!((100.0 * row.cumulative_share.unwrap() - cumulative).abs() < half_a_digit, "{row:?}");
            assert!((100.0 * row.ks.unwrap() - ks).abs() < half_a_digit, "{row:?}");
            assert!((row.lift.unwrap() - lift).abs() < half_a_digit, "{row:?}");
        }
        close(ks_decile(&table), 32.0 / 75.0); // 42.667 %, not the 0.4 of the scores
    }
}

#[test]
fn value_metrics_of_the_shared_fixture() {
    let Some(Fixture { v, v_hat, .. }) = shared_fixture() else { return };
    close(spearman(&v, &v_hat), 0.874_446_060_287_880_2);
    close(gini_normalized(&v, &v_hat), 0.937_384_619_089_151_9);
    close(mae_normalized(&v, &v_hat), 0.513_997_165_131_112_6);
    close(rmse_normalized(&v, &v_hat), 0.620_231_734_252_388_9);
    close(value_ratio(&v, &v_hat), 0.973_036_531_151_343_4);
    close(top_share(&v, &v_hat, 0.1), 0.277_631_918_046_517_6);
    close(top_10_value_share(&v, &v_hat), 0.277_631_918_046_517_6);
    close(top_share(&v, &v_hat, 0.2), 0.487_299_465_240_641_7);
    let errors: Vec<Option<f64>> = decile_errors(&v, &v_hat).unwrap().iter().map(|row| row.error).collect();
    assert_eq!(errors[..2], [None, None]); // no spend: the reference prints infinity
    let expected = [3.704_164, 4.475_715, 0.320_885, 3.551_607, 0.261_435, 0.353_111, 0.223_203, 0.244_046];
    for (&error, expected) in errors[2..].iter().zip(expected) {
        assert!((error.unwrap() - expected).abs() < 0.5e-6 + 1e-9, "{error:?} {expected}");
    }
    assert_eq!(errors.len(), 10);
}

#[test] // SQL CUME_DIST·100, the convention of the contract
fn rank_convention() {
    assert_eq!(percentiles(&[0.1, 0.2, 0.2, 0.4]), [25, 75, 75, 100]);
    assert_eq!(permilles(&[0.1, 0.2, 0.2, 0.4]), [250, 750, 750, 1000]);
}

/// The table of `tests/reference/metrics.py`, from the same generator.
fn own_fixture() -> Fixture {
    let mut state: u64 = 20_260_822;
    let mut draw = |parts: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) * parts) >> 31
    };
    let mut fixture = Fixture { y: vec![], p: vec![], v: vec![], v_hat: vec![] };
    for _ in 0..523 {
        let p = draw(98) + 1;
        let y = draw(100) < 15 + p / 2;
        let (spends, cents, noise) = (draw(2), draw(20_000), draw(8_000));
        let v = if spends == 1 { cents } else { 0 };
        let v_hat = (v * 4 + noise * 5) / 100;
        fixture.y.push(y);
        fixture.p.push(p as f64 / 100.0);
        fixture.v.push(v as f64 / 100.0);
        fixture.v_hat.push(v_hat as f64 / 10.0);
    }
    assert_eq!(fixture.y.iter().filter(|&&y| y).count(), 215);
    close(Some(fixture.p.iter().sum()), 255.5);
    close(Some(fixture.v.iter().sum()), 25_202.44);
    close(Some(fixture.v_hat.iter().sum()), 20_815.6);
    fixture
}

#[test] // scikit-learn 1.9.1, SciPy 1.17.1, NumPy 2.4.6, pandas 3.1.1
fn classification_values_of_our_own_fixture() {
    let Fixture { y, p, .. } = own_fixture();
    close(roc_auc(&y, &p), 0.661_273_029_296_285_2);
    close(average_precision(&y, &p), 0.549_215_322_503_596_8);
    close(brier(&y, &p), 0.248_572_466_539_196_93);
    close(log_loss(&y, &p), 0.728_082_349_800_990_8);
    close(ks(&y, &p), 0.260_495_318_634_853_53);
    close(calibration_ratio(&y, &p), 0.841_487_279_843_444_2);
    close(spiegelhalter_z(&y, &p), 9.469_149_635_901_564);
    close(ece_10(&y, &p), 0.137_820_267_686_424_44);
    close(mce(&y, &p, 10), 0.301_904_761_904_761_9);
    close(rmsce(&y, &p, 10), 0.168_258_923_393_842_07);
    close(ece_right_closed(&y, &p, 10), 0.141_147_227_533_460_8);
    close(ece(&y, &p, 15), 0.141_147_227_533_460_82);
    close(mce(&y, &p, 15), 0.348_064_516_129_032_2);
    close(rmsce(&y, &p, 15), 0.172_653_766_889_974_05);
    close(ece_right_closed(&y, &p, 15), 0.143_441_682_600_382_43);
    for (share, gain, lift) in [
        (0.1, 0.148_837_209_302_325_58, 1.496_958_855_098_39),
        (0.2, 0.288_372_093_023_255_84, 1.450_178_890_876_565_2),
        (0.3, 0.409_302_325_581_395_34, 1.372_212_283_840_190_7),
        (0.5, 0.637_209_302_325_581_4, 1.276_860_019_602_601_6),
    ] {
        close(gain_at(&y, &p, share), gain);
        close(lift_at(&y, &p, share), lift);
    }
}

#[test]
fn decile_table_of_our_own_fixture() {
    let Fixture { y, p, .. } = own_fixture();
    // rows, positives, mean score, cumulative % of positives, KS in %, lift
    let expected = [
        (53, 32, 0.933_018_867_924_528_4, 14.883_720_930_232_558, 8.065_539_112_050_74, 1.468_714_348_398_420_2),
        (52, 31, 0.820_576_923_076_923_2, 29.302_325_581_395_348, 15.665_961_945_031_711, 1.459_534_883_720_930_3),
        (52, 26, 0.720_384_615_384_615_5, 41.395_348_837_209_305, 19.317_426_759_287_226, 1.378_966_079_099_392_7),
        (53, 25, 0.608_113_207_547_169_8, 53.023_255_813_953_49, 21.854_424_645_122_32, 1.320_531_561_461_794),
        (52, 24, 0.520_384_615_384_615_4, 64.186_046_511_627_91, 23.926_306_251_887_645, 1.281_271_081_129_060_9),
        (52, 17, 0.442_692_307_692_307_66, 72.093_023_255_813_95, 20.469_646_632_437_325, 1.200_785_068_878_684_5),
        (53, 23, 0.359_056_603_773_584_95, 82.790_697_674_418_61, 21.427_061_310_782_243, 1.179_823_838_793_486),
        (52, 15, 0.254_807_692_307_692_4, 89.767_441_860_465_11, 16.390_818_483_841_74, 1.120_486_207_470_722),
        (52, 15, 0.162_307_692_307_692_32, 96.744_186_046_511_63, 11.354_575_656_901_233, 1.074_250_728_287_166_7),
        (52, 7, 0.055_576_923_076_923_065, 100.0, 0.0, 1.0),
    ];
    let table = decile_table(&y, &p).unwrap();
    assert_eq!(table.len(), 10);
    for (row, (rows, positives, mean, cumulative, ks, lift)) in table.iter().zip(expected) {
        assert_eq!((row.rows, row.actual), (rows, f64::from(positives)));
        close(Some(row.mean_predicted), mean);
        close(row.cumulative_share.map(|share| 100.0 * share), cumulative);
        close(row.ks.map(|ks| 100.0 * ks), ks);
        close(row.lift, lift);
    }
}

#[test]
fn value_metrics_of_our_own_fixture() {
    let Fixture { v, v_hat, .. } = own_fixture();
    close(spearman(&v, &v_hat), 0.825_931_813_425_453_4);
    close(mae(&v, &v_hat), 31.805_277_246_653_92);
    close(rmse(&v, &v_hat), 40.628_393_089_658_38);
    close(mae_normalized(&v, &v_hat), 0.660_021_807_412_298_2);
    close(rmse_normalized(&v, &v_hat), 0.843_118_745_085_449_5);
    close(value_ratio(&v, &v_hat), 0.825_935_901_444_463_3);
    close(gini_normalized(&v, &v_hat), 0.939_627_740_756_066_6);
    close(top_share(&v, &v_hat, 0.1), 0.350_962_446_493_276);
    close(top_share(&v, &v_hat, 0.2), 0.632_531_215_231_541);
    let expected = [
        (53, 0.210_943_396_226_415_1, 3.622_641_509_433_962, 16.173_524_150_268_335),
        (52, 2.024_423_076_923_077_3, 11.8, 4.828_821_126_626_768),
        (52, 5.633_269_230_769_231, 19.276_923_076_923_076, 2.421_977_946_949_783),
        (52, 8.845_384_615_384_615, 25.205_769_230_769_23, 1.849_595_617_010_175),
        (54, 9.505_370_370_370_372, 31.155_555_555_555_56, 2.277_679_284_614_934_7),
        (51, 11.463_333_333_333_333, 36.307_843_137_254_906, 2.167_302_396_387_459_6),
        (52, 45.089_230_769_230_774, 43.030_769_230_769_24, 0.045_653_064_009_826_61),
        (52, 93.810_769_230_769_22, 56.790_384_615_384_625, 0.394_628_302_474_703_43),
        (52, 135.692_5, 74.251_923_076_923_08, 0.452_792_725_633_892_2),
        (53, 168.988_113_207_547_16, 96.433_962_264_150_92, 0.429_344_701_034_012_73),
    ];
    let table = decile_errors(&v, &v_hat).unwrap();
    assert_eq!(table.len(), 10);
    for (row, (rows, mean_actual, mean_predicted, error)) in table.iter().zip(expected) {
        assert_eq!(row.rows, rows);
        close(Some(row.mean_actual), mean_actual);
        close(Some(row.mean_predicted), mean_predicted);
        close(row.error, error);
    }
}

#[test] // scipy.stats.rankdata(method="max") in integers
fn ranks_of_our_own_fixture() {
    let Fixture { p, .. } = own_fixture();
    let (percentile, permille) = (percentiles(&p), permilles(&p));
    assert_eq!(percentile[..12], [13, 37, 4, 8, 99, 33, 62, 96, 5, 38, 68, 37]);
    assert_eq!(permille[..12], [125, 370, 37, 79, 981, 324, 620, 958, 41, 379, 679, 370]);
    assert_eq!(percentile.iter().map(|&rank| u32::from(rank)).sum::<u32>(), 26_715);
    assert_eq!(permille.iter().map(|&rank| u32::from(rank)).sum::<u32>(), 264_980);
}

#[test]
fn a_report_takes_the_same_numbers_from_one_pass() {
    let Fixture { y, p, v, v_hat } = own_fixture();
    let keys: Vec<u64> = (0..523).collect();
    let options = BootstrapOptions::default();
    let binary = evaluate_binary(&y, &p, &keys, &options).unwrap();
    let expected: [Option<f64>; 8] = [
        roc_auc(&y, &p),
        average_precision(&y, &p),
        ks(&y, &p),
        lift_at(&y, &p, 0.1),
        log_loss(&y, &p),
        brier(&y, &p),
        ece_10(&y, &p),
        calibration_ratio(&y, &p),
    ];
    for (metric, expected) in binary.metrics.iter().zip(expected) {
        within(metric.value, expected.unwrap(), 1e-14); // summed in another order
    }
    let ranking = evaluate_ranking(&y, &p, &keys, &options).unwrap();
    assert_eq!(ranking.metrics, binary.metrics[..4]); // the same draws, the same bits
    let value = evaluate_value(&v, &v_hat, &keys, &options).unwrap();
    let by_name = |name: &str| value.metrics.iter().find(|metric| metric.name == name).unwrap().value;
    assert_eq!(by_name("gini_normalized"), gini_normalized(&v, &v_hat));
    assert_eq!(by_name("top_10_value_share"), top_share(&v, &v_hat, 0.1));
    let total: f64 = value.deciles.iter().map(|row: &Decile| row.actual).sum();
    close(Some(total), 25_202.44);
}

#[test] // NumPy: 20,000 resamples of customers with copied rows (tests/reference/metrics.py)
fn intervals_are_those_of_copied_rows() {
    let Fixture { y, p, v, v_hat } = own_fixture();
    let keys: Vec<u64> = (0..523).map(|row| row % 400).collect(); // 123 customers have two rows
    let options = BootstrapOptions { resamples: 20_000, ..Default::default() };
    let binary = evaluate_binary(&y, &p, &keys, &options).unwrap();
    let value = evaluate_value(&v, &v_hat, &keys, &options).unwrap();
    for (name, low, high, deviation) in [
        ("roc_auc", 0.614_09, 0.707_37, 0.023_71),
        ("brier", 0.227_05, 0.270_2, 0.010_98),
        ("calibration_ratio", 0.756_54, 0.929_58, 0.044_13),
        ("spearman", 0.788_12, 0.857_18, 0.017_61),
        ("value_ratio", 0.777_83, 0.883_84, 0.026_97),
    ] {
        let metric = binary.metrics.iter().chain(&value.metrics).find(|metric| metric.name == name).unwrap();
        // A 2.5 % point of 20,000 normal values has a standard error of sqrt(0.025·0.975/20000)/0.0584 = 0.019 standard
        // deviations, the difference of two of them 0.027: four of those.
        let tolerance = 0.11 * deviation;
        assert!((metric.low.unwrap() - low).abs() < tolerance, "{metric:?}");
        assert!((metric.high.unwrap() - high).abs() < tolerance, "{metric:?}");
    }
}

/// Labels and scores of few distinct values, so that ties abound.
fn labelled() -> impl Strategy<Value = Vec<(bool, u8)>> {
    prop::collection::vec((any::<bool>(), 0u8..=20), 1..60)
}

fn split(rows: &[(bool, u8)]) -> (Vec<bool>, Vec<f64>) {
    rows.iter().map(|&(label, score)| (label, f64::from(score) / 20.0)).unzip()
}

proptest! {
    #[test]
    fn roc_auc_is_its_definition_over_pairs(rows in labelled()) {
        let (y, s) = split(&rows);
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (i, _) in y.iter().enumerate().filter(|(_, y)| **y) {
            for (j, _) in y.iter().enumerate().filter(|(_, y)| !**y) {
                wins += if s[i] > s[j] { 1.0 } else if s[i] == s[j] { 0.5 } else { 0.0 };
                pairs += 1.0;
            }
        }
        prop_assert_eq!(roc_auc(&y, &s), (pairs > 0.0).then(|| wins / pairs)); // both exact up to one division
    }

    #[test]
    fn ks_and_average_precision_are_their_definitions_over_thresholds(rows in labelled()) {
        let (y, s) = split(&rows);
        let count = |label: bool, from: f64| y.iter().zip(&s).filter(|&(&y, &s)| y == label && s >= from).count() as f64;
        let (positives, negatives) = (count(true, 0.0), count(false, 0.0));
        prop_assume!(positives > 0.0 && negatives > 0.0);
        let (mut gap, mut precision, mut recall) = (0.0f64, 0.0, 0.0);
        for threshold in (0..=20).rev().map(|step| f64::from(step) / 20.0) {
            let (tp, fp) = (count(true, threshold), count(false, threshold));
            gap = gap.max((tp / positives - fp / negatives).abs());
            if tp + fp > 0.0 {
                precision += (tp / positives - recall) * tp / (tp + fp);
                recall = tp / positives;
            }
        }
        within(ks(&y, &s), gap, 1e-14);
        within(average_precision(&y, &s), precision, 1e-13);
    }

    #[test]
    fn ranking_metrics_depend_on_the_order_of_scores_alone(rows in labelled(), turn in 0usize..60) {
        let (y, s) = split(&rows);
        let stretched: Vec<f64> = s.iter().map(|s| (5.0 * s).exp() - 100.0).collect();
        prop_assert_eq!(roc_auc(&y, &s), roc_auc(&y, &stretched));
        prop_assert_eq!(average_precision(&y, &s), average_precision(&y, &stretched));
        prop_assert_eq!(ks(&y, &s), ks(&y, &stretched));
        prop_assert_eq!(decile_table(&y, &s).unwrap().iter().map(|row| row.actual).collect::<Vec<_>>(),
                        decile_table(&y, &stretched).unwrap().iter().map(|row| row.actual).collect::<Vec<_>>());
        // The order of the rows does not matter to pairwise metrics, and turning the scores round mirrors the AUC.
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        let (y2, s2) = split(&turned);
        prop_assert_eq!(roc_auc(&y, &s), roc_auc(&y2, &s2));
        prop_assert_eq!(ks(&y, &s), ks(&y2, &s2));
        let negated: Vec<f64> = s.iter().map(|s| -s).collect();
        if let Some(auc) = roc_auc(&y, &s) {
            within(roc_auc(&y, &negated), 1.0 - auc, 1e-15);
        }
    }

    #[test]
    fn ranks_are_their_definition(scores in prop::collection::vec(prop_oneof![4 => (-9i8..9).prop_map(f64::from), 1 => Just(f64::NAN)], 0..300)) {
        let n = scores.iter().filter(|score| !score.is_nan()).count();
        let (percentile, permille) = (percentiles(&scores), permilles(&scores));
        for (row, score) in scores.iter().enumerate() {
            let not_above = scores.iter().filter(|other| *other <= score).count();
            let expected = |parts: usize| if score.is_nan() { 0 } else { (parts * not_above).div_ceil(n).max(1) };
            prop_assert_eq!(usize::from(percentile[row]), expected(100));
            prop_assert_eq!(usize::from(permille[row]), expected(1000));
        }
    }

    #[test]
    fn calibration_errors_are_ordered_and_the_binned_never_exceed_the_plain(rows in labelled()) {
        let (y, p) = split(&rows);
        let (mean, root, worst) = (ece_10(&y, &p).unwrap(), rmsce(&y, &p, 10).unwrap(), mce(&y, &p, 10).unwrap());
        prop_assert!(mean <= root + 1e-12 && root <= worst + 1e-12);
        prop_assert!(root * root <= brier(&y, &p).unwrap() + 1e-12); // Jensen, bin by bin
    }

    #[test]
    fn value_metrics_keep_their_bounds_and_units(
        rows in prop::collection::vec((0u16..50, 0u16..50), 10..80), scale in 1u8..100
    ) {
        let (v, v_hat): (Vec<f64>, Vec<f64>) = rows.iter().map(|&(v, p)| (f64::from(v), f64::from(p))).unzip();
        prop_assume!(v.iter().sum::<f64>() > 0.0);
        let scaled: Vec<f64> = v.iter().map(|v| v * f64::from(scale)).collect();
        if let Some(gini) = gini_normalized(&v, &v_hat) {
            prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&gini));
            within(gini_normalized(&scaled, &v_hat), gini, 1e-10); // currency does not matter
        }
        prop_assert_eq!(spearman(&v, &v_hat), spearman(&scaled, &v_hat));
        prop_assert!(mae(&v, &v_hat).unwrap() <= rmse(&v, &v_hat).unwrap() + 1e-12);
        let (tenth, fifth) = (top_share(&v, &v_hat, 0.1).unwrap(), top_share(&v, &v_hat, 0.2).unwrap());
        prop_assert!(tenth <= fifth + 1e-15 && fifth <= 1.0 + 1e-15);
        prop_assert!(tenth <= top_share(&v, &v, 0.1).unwrap() + 1e-15); // nothing beats knowing the answer
        let counted: u64 = decile_errors(&v, &v_hat).unwrap().iter().map(|row| row.rows).sum();
        prop_assert_eq!(counted, v.len() as u64);
    }
}
