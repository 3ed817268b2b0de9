//! Values quoted here, which need no folder.

use bellwether::models::btyd::{BgNbd, GammaGamma, OrdersProcess};

use super::golden::{GOLDEN, PAPER, assert_near, rfm};

/// What is asked of one customer: x, t_x, T, t, ln L, P(alive), E[Y(t) | history], E[X(t)].
type Point = (f64, f64, f64, f64, f64, f64, f64, f64);

#[test] // 60 to 120 digits from eqs. (6) to (10) of Fader, Hardie & Lee (2005), at the parameters of its table 2
fn bg_nbd_high_precision_points() {
    let points: [Point; 8] = [
        (0.0, 0.0, 38.86, 39.0, -0.554_713_276_438_158_4, 1.0, 0.195_098_052_011_262_6, 1.196_723_193_320_817),
        (
            2.0,
            30.43,
            38.86,
            39.0,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            1.226_028_174_767_144_4,
            1.196_723_193_320_817,
        ),
        (
            1.0,
            1.71,
            38.86,
            39.0,
            -4.469_093_275_032_588,
            0.212_100_985_377_379_08,
            0.203_186_987_079_754_06,
            1.196_723_193_320_817,
        ),
        (
            2.0,
            30.43,
            38.86,
            1e-6,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            3.766_039_015_141_281e-8,
            5.505_210_502_292_042e-8,
        ),
        (
            2.0,
            30.43,
            38.86,
            1e6,
            -9.458_606_307_066_271,
            0.726_578_570_080_672_9,
            87.328_040_046_510_52,
            53.540_478_253_014_58,
        ),
        (
            26.0,
            30.86,
            31.0,
            52.0,
            -37.726_579_473_394_44,
            0.968_915_649_717_525_1,
            25.758_195_936_483_515,
            1.446_050_595_396_403_7,
        ),
        (500.0, 1.0, 37.0, 10.0, 1_750.053_247_988_936_5, 0.0, 0.0, 0.432_413_362_234_425_57),
        (
            20_000.0,
            1824.5,
            1825.0,
            365.0,
            27_823.148_901_772_034,
            0.990_700_448_948_566_4,
            3_673.349_789_209_773_6,
            4.228_901_214_301_367,
        ),
    ];
    let model = BgNbd::new(PAPER).unwrap();
    for (x, t_x, t, horizon, ln_likelihood, alive, orders, orders_of_new) in points {
        let customer = rfm(x, t_x, t);
        let name = format!("{customer:?}, {horizon}");
        assert_near(model.ln_likelihood(&customer), ln_likelihood, GOLDEN, &name);
        assert_near(model.alive_probability(&customer), alive, GOLDEN, &name);
        assert_near(model.expected_orders(&customer, horizon), orders, GOLDEN, &name);
        assert_near(model.expected_orders_of_new(horizon), orders_of_new, GOLDEN, &name);
    }
}

#[test] // the closed forms divide by a - 1; 60 digits
fn bg_nbd_where_a_is_one() {
    let model = BgNbd::new([0.5, 5.0, 1.0, 2.5]).unwrap();
    let silent = rfm(0.0, 0.0, 38.86);
    assert_near(model.expected_orders_of_new(39.0), 1.885_428_548_461_200_5, GOLDEN, "E[X(39)]");
    assert_near(model.expected_orders(&silent, 39.0), 0.379_755_102_566_743_1, GOLDEN, "E[Y(39) | 0, 0, 38.86]");
}

#[test] // Hardie's spreadsheet for the paper, as printed in the tests of lifetimes, which compare to 3 decimals
fn bg_nbd_expected_orders_of_a_new_customer_as_printed() {
    let model = BgNbd::new([0.242_594_5, 4.413_602, 0.792_922, 2.425_907]).unwrap();
    for (weeks, printed) in
        [(0.1429, 0.0078), (1.0, 0.0532), (3.0, 0.1506), (31.8571, 1.0405), (32.0, 1.0437), (78.0, 1.8576)]
    {
        let got = model.expected_orders_of_new(weeks);
        assert!((got - printed).abs() < 5e-4, "E[X({weeks})] = {got}, printed {printed}");
    }
}

#[test] // 15 digits, from the conditional distribution of the number of orders
fn bg_nbd_probability_of_no_order() {
    let model = BgNbd::new(PAPER).unwrap();
    for (x, t_x, t, want) in [
        (0.0, 0.0, 38.86, 0.855_449_459_216_682), // a package that forgets that x = 0 cannot have left says 0.927
        (2.0, 30.43, 38.86, 0.445_372_862_082_996),
        (26.0, 30.86, 31.0, 0.031_084_353_620_211_6),
    ] {
        assert_near(model.no_order_probability(&rfm(x, t_x, t), 39.0), want, 1e-13, &format!("{x} {t_x} {t}"));
    }
}

#[test] // Fader & Hardie, note 025, at p 6.25, q 3.74, gamma 15.44; 15 digits
fn gamma_gamma_points() {
    let model = GammaGamma::new([6.25, 3.74, 15.44]).unwrap();
    assert_near(model.population_mean().unwrap(), 35.218_978_102_189_8, 1e-13, "population");
    for (x, mean, expected, ln_likelihood) in [
        (2.0, 22.35, 24.663_713_910_761_2, -3.551_316_759_731_7),
        (7.0, 73.74, 71.469_670_896_967_1, -6.054_867_310_722_23),
        (1.0, 0.01, 10.741_101_223_581_8, -35.204_915_502_837_8),
        (1.0, 1e6, 695_227.641_824_249, -49.164_732_372_156_1),
        (20_000.0, 12.5, 12.500_497_989_084_1, -4.076_820_011_395_34),
    ] {
        assert_near(model.expected_mean(x, mean).unwrap(), expected, 1e-13, &format!("E(M | {x}, {mean})"));
        assert_near(model.ln_likelihood(x, mean), ln_likelihood, 1e-12, &format!("ln L of {x}, {mean}"));
    }
}
