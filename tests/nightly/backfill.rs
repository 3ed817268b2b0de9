//! Days of the past, scored as they would have been then.

use std::fs;

use super::shop::{SCORE, TRAIN, done, json, run, shop, tree};

#[test]
fn backfilled_days_are_those_that_runs_would_have_written() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (first, last) = (shop.fitted_at().plus(3), shop.fitted_at().plus(6));
    let line = format!(
        "run --quiet --bundle {} --events {} --backfill {first}..{last} --with-features --out filled --json",
        shop.models().display(),
        shop.events()
    );
    let told = done(SCORE, here, &line).json();
    assert_eq!(told.as_array().unwrap().len(), 4);
    for days in 3..=6 {
        let day = shop.fitted_at().plus(days);
        done(SCORE, here, &shop.line(day, "--with-features --out single"));
        let [filled, single] = ["filled", "single"].map(|out| here.join(format!("{out}/as_of={day}")));
        let (mut filled_files, mut single_files) = (tree(&filled), tree(&single));
        let manifests = [&mut filled_files, &mut single_files].map(|files| {
            let bytes = files.remove(std::path::Path::new("manifest.json")).unwrap();
            let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            // What was read in one go for all days is more than what a run of the day reads.
            let fields = manifest.as_object_mut().unwrap();
            assert!(fields.remove("data").is_some() && fields.remove("seal").is_some());
            manifest
        });
        assert_eq!(manifests[0], manifests[1], "{day}");
        assert!(filled_files == single_files, "{day}");
        let long = ["filled", "single"].map(|out| tree(&here.join(format!("{out}/category_scores/as_of={day}"))));
        assert!(long[0] == long[1] && long[0].len() == 2, "{day}");
    }
    // The late events of the shop make a difference, so that the days are really those of then.
    let known = |day: i32| {
        json(&here.join(format!("filled/as_of={}/manifest.json", shop.fitted_at().plus(day))))["known"]["events"]
            .clone()
    };
    assert!(known(3).as_u64() < known(6).as_u64());
}

#[test]
fn each_day_takes_the_bundle_of_its_time() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let refit = shop.fitted_at().plus(2);
    for day in [shop.fitted_at(), refit] {
        let line = format!(
            "fit --quiet --events {} --config {} --as-of {day} --out models",
            shop.events(),
            shop.config().display()
        );
        done(TRAIN, here, &line);
    }
    let backfill = |first: i32, last: i32| {
        let (first, last) = (shop.fitted_at().plus(first), shop.fitted_at().plus(last));
        format!("run --quiet --bundle models --events {} --backfill {first}..{last} --out scores", shop.events())
    };
    done(SCORE, here, &backfill(0, 3));
    let made_by = |day: i32| {
        let manifest = here.join(format!("scores/as_of={}/manifest.json", shop.fitted_at().plus(day)));
        json(&manifest)["bundle_id"].as_str().unwrap().to_string()
    };
    let current = fs::read_to_string(here.join("models/current")).unwrap().trim().to_string();
    assert_eq!([made_by(2), made_by(3)], [current.clone(), current.clone()]);
    assert_eq!(made_by(0), made_by(1));
    assert!(made_by(0).starts_with(&shop.fitted_at().to_string()), "{}", made_by(0));

    let ended = run(SCORE, here, &backfill(-1, 3));
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.err.contains("no bundle was fitted by") && ended.err.contains("hint: begin at"), "{}", ended.err);
    for folder in ["scores", "scores/category_scores"] {
        let names = fs::read_dir(here.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let days = names.filter(|name| name.to_string_lossy().starts_with("as_of="));
        assert_eq!(days.count(), 4, "nothing of it was written");
    }
    // A bundle that is named is taken, and the manifest says what that is worth.
    let day = shop.fitted_at().plus(-1);
    let line = format!(
        "run --quiet --bundle models/{current} --events {} --backfill {day}..{day} --out scores",
        shop.events()
    );
    let ended = done(SCORE, here, &line);
    assert!(ended.err.contains("has seen what it predicts here"), "{}", ended.err);
    let warnings = json(&here.join(format!("scores/as_of={day}/manifest.json")))["warnings"].to_string();
    assert!(warnings.contains("these scores prove nothing"), "{warnings}");

    for (days, words) in [
        ("2024-03-05", "no stretch of days"),
        ("2024-03-05..2024-03-01", "is later than"),
        ("2024-03-05..soon", "no date"),
    ] {
        let ended = run(SCORE, here, &format!("run --bundle models --events {} --backfill {days}", shop.events()));
        assert_eq!(ended.code, Some(2), "{days}");
        assert!(ended.err.contains(words), "{days}: {}", ended.err);
    }
}
