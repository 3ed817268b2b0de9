//! The same bytes wherever a shop is made; what cannot be made leaves everything as it was.

use std::fs;
use std::path::Path;

use bellwether::error::Explain;
use bellwether::simulate::{SimulateError, Simulation, simulate};

use super::files::tree;
use super::shop::{make, many_blocks};

#[test]
fn the_bytes_are_the_same_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let made = [1, 2, 7].map(|threads| {
        let out = folder.path().join(format!("threads-{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let made = pool.install(|| make(&many_blocks(), &out));
        (made, tree(&out))
    });
    assert!(made[0].0.files.len() >= 7, "{} blocks are too few to tell", made[0].0.files.len());
    for (other, bytes) in &made[1..] {
        assert_eq!(other.events, made[0].0.events);
        assert_eq!(bytes.keys().collect::<Vec<_>>(), made[0].1.keys().collect::<Vec<_>>());
        for (name, content) in bytes {
            assert!(content == &made[0].1[name], "{} differs", name.display());
        }
    }
}

#[test]
fn the_seed_decides_and_a_rerun_replaces_the_folder_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let settings = |seed| Simulation { customers: 300, seed, ..Simulation::default() };
    make(&settings(1), &out);
    let first = tree(&out);
    fs::write(out.join("events/part-00001.parquet"), "left over").unwrap();
    make(&settings(1), &out);
    assert!(tree(&out) == first, "the same seed gives the same bytes, and nothing else is left");
    make(&settings(2), &out);
    let other = tree(&out);
    assert_ne!(other[Path::new("events/part-00000.parquet")], first[Path::new("events/part-00000.parquet")]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["shop"], "no temporary folder is left");
}

#[test]
fn progress_ends_at_every_customer() {
    let folder = tempfile::tempdir().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let settings = Simulation { customers: 3_000, ..many_blocks() };
    let made = simulate(&settings, &folder.path().join("shop"), &|done| seen.lock().unwrap().push(done)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), made.files.len());
    assert_eq!(seen.iter().max(), Some(&3_000));
}

#[test]
fn the_smallest_shop_is_a_shop() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(&Simulation { customers: 1, days: 1, ..Simulation::default() }, &folder.path().join("a/b/shop"));
    assert!(made.events >= 1);
    assert_eq!((made.customers, made.files.len()), (1, 1));
    assert_eq!((made.first_day, made.last_day), ("2024-01-01".parse().unwrap(), "2024-01-01".parse().unwrap()));
}

#[test]
fn a_folder_of_something_else_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Simulation { customers: 10, ..Simulation::default() };
    let refused = |out: &Path| simulate(&settings, out, &|_| {}).unwrap_err();

    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = refused(folder.path());
    let SimulateError::NotASimulation { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(found, "thesis.txt");
    assert!(!error.hints().is_empty());
    assert_eq!(tree(folder.path()).len(), 1, "nothing was added");

    // A truth file of another kind makes no simulation.
    fs::create_dir(folder.path().join("truth")).unwrap();
    fs::write(folder.path().join("truth/truth.json"), r#"{"made_by": "hand"}"#).unwrap();
    assert!(matches!(refused(folder.path()), SimulateError::NotASimulation { .. }));

    let file = folder.path().join("thesis.txt");
    assert!(matches!(refused(&file), SimulateError::NotAFolder { .. }));
    let error = refused(&file.join("below"));
    assert!(matches!(error, SimulateError::File(_)), "{error:?}");
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "years of work");
    assert!(simulate(&settings, Path::new(""), &|_| {}).is_err());

    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    make(&settings, &empty);
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("shop");
    let error = simulate(&Simulation { days: 0, ..Simulation::default() }, &out, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "`days` must be 1 to 3650, got 0");
    assert!(!out.exists());
}
