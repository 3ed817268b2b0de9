//! A bundle is whole and ours, or refused by name; a fit that fails leaves the old one.

use std::fs;
use std::path::{Path, PathBuf};

use bellwether::bundle::{Bundle, BundleError};
use bellwether::error::{Error, ExitCode, Explain};
use bellwether::time::Day;

use super::files::tree;
use super::shop::{LEAN, Row, config, fit, lean, run, shop, write_parquet};

/// A copy of the trial's `models` to be damaged, and the bundle in it.
fn copy(folder: &Path) -> (PathBuf, PathBuf) {
    let base = shop();
    let models = folder.join("models");
    for (path, bytes) in tree(&base.models) {
        let path = models.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let bundle = models.join(base.bundle.file_name().unwrap());
    (models, bundle)
}

/// Refused with exit code 4, naming `name`; told so by `run`, too, which writes nothing.
fn refused(models: &Path, name: &str) -> BundleError {
    let error = Bundle::load(models).map(|_| ()).expect_err(name);
    assert!(error.to_string().contains(name), "`{name}` in: {error}");
    let out = models.parent().unwrap().join("scores");
    let of_run: Error = run(models, &shop().events, Some(shop().as_of), &out).map(|_| ()).expect_err(name);
    assert_eq!(of_run.exit_code(), ExitCode::BundleUnusable, "{of_run}");
    assert!(!of_run.explain().hints().is_empty(), "{of_run}");
    assert!(!out.exists(), "nothing is written");
    error
}

const FILES: [&str; 7] = [
    "manifest.json",
    "parameters.json",
    "report.json",
    "report.html",
    "CARD.md",
    "distributions.json",
    "customers.bloom",
];

#[test]
fn a_damaged_or_missing_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (models, bundle) = copy(folder.path());
    for name in FILES {
        let path = bundle.join(name);
        let sound = fs::read(&path).unwrap();
        // A byte at the start, in the middle, near the end; a digit, where there is one: still valid JSON.
        let digit = sound.iter().rposition(u8::is_ascii_digit);
        let first_digit = sound.iter().position(u8::is_ascii_digit);
        let places = [Some(0), Some(sound.len() / 2), Some(sound.len() - 2), digit, first_digit];
        for place in places.into_iter().flatten() {
            let mut bytes = sound.clone();
            bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
            fs::write(&path, &bytes).unwrap();
            refused(&models, name);
        }
        for length in [0, 1, sound.len() / 2, sound.len() - 1] {
            fs::write(&path, &sound[..length]).unwrap();
            refused(&models, name);
        }
        fs::write(&path, [&sound[..], b"\n"].concat()).unwrap();
        refused(&models, name);
        fs::remove_file(&path).unwrap();
        let error = refused(&models, if name == "manifest.json" { bundle.to_str().unwrap() } else { name });
        if name == "manifest.json" {
            assert!(matches!(error, BundleError::Missing { .. }), "{error:?}");
        }
        fs::write(&path, &sound).unwrap();
    }
    assert!(Bundle::load(&models).is_ok(), "sound again");
}

#[test]
fn every_number_of_the_manifest_is_guarded() {
    // A flipped digit leaves JSON that parses: counts, dates and settings must not pass all the same.
    let folder = tempfile::tempdir().unwrap();
    let (models, bundle) = copy(folder.path());
    let path = bundle.join("manifest.json");
    let sound = fs::read(&path).unwrap();
    let digits: Vec<usize> = (0..sound.len()).filter(|&place| sound[place].is_ascii_digit()).collect();
    assert!(digits.len() > 500);
    for &place in digits.iter().step_by(digits.len() / 200) {
        let mut bytes = sound.clone();
        bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
        fs::write(&path, &bytes).unwrap();
        let error = Bundle::load(&models).map(|_| ()).expect_err("a changed digit");
        assert!(error.to_string().contains("manifest.json"), "{error}");
    }
}

#[test]
fn a_time_zone_that_this_machine_lacks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::load(&shop().models).unwrap();
    bundle.manifest.config.timezone = "Europe/Nowhere".into();
    let models = folder.path().join("models");
    let (_, path) = bundle.save(&models).unwrap(); // every hash is right
    let error = refused(&models, "`Europe/Nowhere`");
    assert!(matches!(error, BundleError::NoZone { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(error.hints()[0].contains("time zone database"), "{:?}", error.hints());
}

#[test]
fn what_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (models, bundle) = copy(folder.path());
    let path = bundle.join("manifest.json");
    let sound = fs::read_to_string(&path).unwrap();
    for foreign in ["{}", "[]", "null", "{\"kind\": \"another model\", \"format\": 1}", "{\"kind\": 1}"] {
        fs::write(&path, foreign).unwrap();
        assert!(matches!(refused(&models, "manifest.json"), BundleError::Foreign { .. }), "{foreign}");
    }
    fs::write(&path, "{\"kind\": \"bellwether bundle\", \"format\": 1}").unwrap();
    refused(&models, "manifest.json");
    fs::write(&path, sound.replacen("\"format\": 1", "\"format\": 999", 1)).unwrap();
    let error = refused(&models, "manifest.json");
    assert!(matches!(error, BundleError::Newer { found: 999, .. }), "{error:?}");
    assert!(error.to_string().contains("999"));
}

#[test]
fn current_names_a_bundle_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (models, bundle) = copy(folder.path());
    let id = bundle.file_name().unwrap().to_str().unwrap();
    let current = models.join("current");
    // A sound bundle elsewhere, so that a path would be followed to the end.
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for name in FILES {
        fs::copy(bundle.join(name), elsewhere.join(name)).unwrap();
    }
    let absolute = elsewhere.display().to_string();
    let nested = format!("{id}/../{id}");
    let texts: [&[u8]; 11] = [
        b"2020-01-01-nothing",
        b"../elsewhere",
        absolute.as_bytes(),
        nested.as_bytes(),
        b"",
        b"\n",
        b".",
        b"..",
        b"a\0b",
        b"\xff\xfe\x00",
        b"two\nlines",
    ];
    for text in texts {
        fs::write(&current, text).unwrap();
        let name = if text == b"2020-01-01-nothing" { "2020-01-01-nothing" } else { "current" };
        refused(&models, name);
    }
    fs::remove_file(&current).unwrap();
    refused(&models, models.to_str().unwrap());
    assert!(Bundle::load(&bundle).is_ok(), "a bundle can be named itself");
    refused(&folder.path().join("nowhere"), "nowhere");
    fs::write(&current, format!("{id}\r\n")).unwrap();
    assert!(Bundle::load(&models).is_ok(), "written by an editor elsewhere");
}

#[test]
fn floats_survive_and_a_copy_scores_alike() {
    let base = shop();
    let loaded = Bundle::load(&base.models).unwrap();
    assert_eq!(loaded.parameters, base.fitted.bundle.parameters);
    assert_eq!(loaded.manifest, base.fitted.bundle.manifest);
    assert_eq!(loaded.report, base.fitted.bundle.report);
    let bits = |bundle: &Bundle| {
        let mut floats = Vec::new();
        for model in &bundle.parameters.occurrences {
            floats.extend([model.occurrences_per_day.to_bits(), model.mean_day_value.to_bits()]);
        }
        floats
    };
    assert_eq!(bits(&loaded), bits(&base.fitted.bundle));
    let folder = tempfile::tempdir().unwrap();
    let (saved, path) = loaded.save(folder.path()).unwrap();
    assert_eq!(saved.manifest, base.fitted.bundle.manifest);
    assert!(tree(&path) == tree(&base.bundle));
}

#[test]
fn a_fit_that_fails_leaves_the_old_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let (models, _) = copy(folder.path());
    let before = tree(&models);
    let day = Day(19_800);
    let rows: Vec<Row> = (0..50).map(|n| Row::new(&format!("c{n}"), day.plus(n % 7), "purchase", Some(3.0))).collect();
    let events = folder.path().join("few.parquet");
    write_parquet(&events, &rows);
    let text = format!("{LEAN}[target.churn]\nkind = \"absence\"\nhorizon_days = 90\n");
    fit(&events, &config(&text), None, &models).map(|_| ()).expect_err("a week is no history for 90 days");
    assert!(tree(&models) == before, "refused before anything was fitted");

    // The place of the new bundle is taken by a file: the last step fails.
    let (saved, _) = Bundle::load(&models).unwrap().save(&folder.path().join("probe")).unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join(&saved.manifest.bundle_id), "not a folder").unwrap();
    fs::write(taken.join("current"), "former\n").unwrap();
    let before = tree(&taken);
    let error = Bundle::load(&models).unwrap().save(&taken).map(|_| ()).expect_err("a file is in the way");
    assert!(error.to_string().contains(&saved.manifest.bundle_id), "{error}");
    assert!(tree(&taken) == before);
    assert!(lean().target.contains_key("churn"));
}
