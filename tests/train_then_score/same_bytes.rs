//! The same inputs give the same bytes: at any number of threads, again, and in other files.

use std::fs;
use std::path::Path;

use super::files::tree;
use super::shop::{fit, lean, run, shop, write_csv, write_parquet};

/// Fits and scores into `folder` on so many threads.
fn on_threads(threads: usize, events: &Path, folder: &Path) {
    let as_of = shop().as_of;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        fit(events, &lean(), Some(as_of), &folder.join("models")).unwrap();
        run(&folder.join("models"), events, Some(as_of), &folder.join("scores")).unwrap();
    });
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let base = shop();
    let expected = (tree(&base.models), tree(&base.folder.path().join("scores")));
    assert_eq!(expected.0.len(), 8, "manifest, parameters, report twice, card, population, customers and `current`");
    assert_eq!(expected.1.len(), 5, "rows, manifest, distributions; rows by category with their manifest");
    // The trial itself was made on as many threads as the machine has.
    // 2 again: over what 1 left there, replaced by the same, nothing beside it.
    let folder = tempfile::tempdir().unwrap();
    for threads in [1, 2, 7] {
        on_threads(threads, &base.events, folder.path());
        for (name, expected) in [("models", &expected.0), ("scores", &expected.1)] {
            let found = tree(&folder.path().join(name));
            assert!(found.keys().eq(expected.keys()), "{threads} threads, {name}: {:?}", found.keys());
            for (path, bytes) in &found {
                assert!(*bytes == expected[path], "{threads} threads: {}", path.display());
            }
        }
    }
}

#[test]
fn rows_give_the_same_scores_however_they_are_filed() {
    let base = shop();
    let part = |partition: &Path| fs::read(partition.join("part-00000.parquet")).unwrap();
    let expected = part(&base.partition);
    let folder = tempfile::tempdir().unwrap();

    let several = folder.path().join("several");
    fs::create_dir(&several).unwrap();
    for (number, rows) in base.known.chunks(base.known.len() / 3 + 1).enumerate() {
        write_parquet(&several.join(format!("part-{number}.parquet")), rows);
    }
    let csv = folder.path().join("events.csv");
    write_csv(&csv, &base.known);
    let backwards = folder.path().join("backwards.parquet");
    let rows: Vec<_> = base.known.iter().rev().cloned().collect();
    write_parquet(&backwards, &rows);
    for events in [&several, &csv, &backwards] {
        let scores = folder.path().join("scores").join(events.file_name().unwrap());
        let (_, partition) = run(&base.models, events, Some(base.as_of), &scores).unwrap();
        assert!(part(&partition) == expected, "scored from {}", events.display());
    }
    // The fit, too: from several files and from text.
    for events in [&several, &csv] {
        let models = folder.path().join("models").join(events.file_name().unwrap());
        let fitted = fit(events, &lean(), Some(base.as_of), &models).unwrap();
        let parameters = fs::read(fitted.folder.unwrap().join("parameters.json")).unwrap();
        assert!(parameters == fs::read(base.bundle.join("parameters.json")).unwrap(), "fitted to {}", events.display());
    }
}
