//! Two days side by side: every number is found again in the two files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shop::{SCORE, TRAIN, done, numbers, read, run, shop, texts};

fn means(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn movers_crossings_and_parts_are_those_of_the_files() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Another bundle for the later day.
    let (from, to) = (shop.fitted_at(), shop.fitted_at().plus(20));
    let fit = |day| {
        let config = shop.config();
        let line =
            format!("fit --quiet --events {} --config {} --as-of {day} --out models", shop.events(), config.display());
        done(TRAIN, here, &line);
        std::fs::read_to_string(here.join("models/current")).unwrap().trim().to_string()
    };
    let line = |day, bundle: &str, out: &str| {
        let models = shop.models().display().to_string();
        shop.line(day, &format!("--with-features --out {out}")).replace(&models, &format!("models/{bundle}"))
    };
    let old = fit(from);
    done(SCORE, here, &line(from, &old, "scores"));
    done(SCORE, here, &line(to, &old, "same"));
    let new = fit(to);
    done(SCORE, here, &line(to, &new, "scores"));
    assert_ne!(old, new);

    let diff = format!("diff --quiet --scores scores --from {from} --to {to} --top 25");
    let both = format!("{diff} --bundle models/{old} --events {}", shop.events());
    let told = done(SCORE, here, &format!("{both} --json")).json();
    let [before, after] = [from, to].map(|day| read(&here.join(format!("scores/as_of={day}/part-00000.parquet"))));
    let same = read(&here.join(format!("same/as_of={to}/part-00000.parquet")));
    let column = "churn_probability_60d";
    let by_id = |batch| {
        let ids = texts(batch, "customer_id").into_iter().map(Option::unwrap);
        ids.zip(numbers(batch, column)).filter_map(|(id, p)| Some((id, p?))).collect::<BTreeMap<String, f64>>()
    };
    let (was, is, old_is) = (by_id(&before), by_id(&after), by_id(&same));
    let stayed: Vec<&String> = was.keys().filter(|id| is.contains_key(*id)).collect();
    let part = |name: &str| told["columns"][column][name].as_f64().unwrap();
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    close(part("before"), means(was.values().copied()));
    close(part("after"), means(is.values().copied()));
    close(part("data"), means(stayed.iter().map(|id| old_is[*id] - was[*id])));
    close(part("model"), means(stayed.iter().map(|id| is[*id] - old_is[*id])));
    close(part("after") - part("before"), ["data", "model", "drift"].map(part).iter().sum());
    close(part("drift"), part("newcomers") + part("leavers"));
    assert!(part("model") != 0.0 && part("data") != 0.0);
    let count = |name: &str| told[name].as_u64().unwrap() as usize;
    assert_eq!(count("stayed") + count("newcomers"), after.num_rows());
    assert_eq!(count("leavers"), 0);

    let mut ranked = stayed.clone();
    ranked.sort_by(|a, b| (is[*b] - was[*b]).abs().total_cmp(&(is[*a] - was[*a]).abs()));
    let movers = told["movers"].as_array().unwrap();
    assert_eq!(movers.len(), 25);
    for (mover, id) in movers.iter().zip(ranked) {
        let id_of = mover["customer_id"].as_str().unwrap();
        close((is[id_of] - was[id_of]).abs(), (is[id] - was[id]).abs());
        let value = |name: &str| mover[name].as_f64().unwrap();
        close(value("before") + value("data") + value("model"), value("after"));
        close(value("data"), old_is[id_of] - was[id_of]);
    }
    let bands = |batch: &_| {
        let ids = texts(batch, "customer_id").into_iter().map(Option::unwrap);
        ids.zip(texts(batch, "churn_band")).collect::<BTreeMap<String, Option<String>>>()
    };
    let (band_was, band_is) = (bands(&before), bands(&after));
    for crossing in told["bands"]["churn_band"].as_array().unwrap() {
        let is_named = |band: &Option<String>, name: &Value| band.as_deref().unwrap_or("–") == name.as_str().unwrap();
        let crossed = band_was
            .iter()
            .filter(|(id, band)| is_named(band, &crossing["from"]) && is_named(&band_is[*id], &crossing["to"]));
        let mut crossed: Vec<&String> = crossed.map(|(id, _)| id).collect();
        assert_eq!(crossing["customers"].as_u64(), Some(crossed.len() as u64), "{crossing}");
        // Those who moved most are named.
        let size = |id: &String| is.get(id).zip(was.get(id)).map_or(0.0, |(is, was)| (is - was).abs());
        crossed.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        let named = crossing["largest"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
        assert!(named.eq(crossed.iter().take(25).map(|id| id.as_str())), "{crossing}");
    }
    assert!(!told["drifted"].as_array().unwrap().is_empty(), "twenty days move some features");

    // Without events nobody can tell data from model, and that is said; with one bundle nothing is the model's.
    let plain = done(SCORE, here, &format!("{diff} --json")).json();
    assert!(plain["columns"][column]["data"].is_null() && plain["columns"][column]["model"].is_null());
    close(plain["columns"][column]["data_and_model"].as_f64().unwrap(), part("data") + part("model"));
    assert!(done(SCORE, here, &diff).out.contains("data and model are told as one"));
    done(SCORE, here, &line(from, &old, "same"));
    let same = done(SCORE, here, &format!("{} --json", diff.replace("--scores scores", "--scores same"))).json();
    assert_eq!(same["columns"][column]["model"].as_f64(), Some(0.0));

    for (line, words) in [
        (diff.replace(&from.to_string(), "2020-01-01"), "no scores of 2020-01-01"),
        (format!("{diff} --column spend"), "`spend` is not a prediction of both days"),
        (both.replace(&old, &new), "the earlier partition was made by"),
    ] {
        let ended = run(SCORE, here, &line);
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.err);
        assert!(ended.err.contains(words) && ended.err.contains("hint: "), "{line}: {}", ended.err);
    }
}
