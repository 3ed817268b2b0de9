//! Features that are left out leave the models and the columns, and nothing else of a score.

use bellwether::error::ExitCode;

use super::shop::{LEAN, Scores, config, fit, run, shop};

#[test]
fn stages_eligibility_and_the_churn_factor_do_not_depend_on_the_selection() {
    let base = shop();
    let selected = LEAN.replace(
        "[features]\n",
        "[features]\ninclude = [\"views*\", \"spend_90d\"]\nexclude = [\"views_category_*\"]\n",
    );
    let config = config(&format!(
        "{selected}[target.churn]\nkind = \"absence\"\nhorizon_days = 90\neligible = \"purchases >= 1\"\n\
         [target.orders]\nkind = \"count\"\nhorizon_days = 90\n"
    ));
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let fitted = fit(&base.events, &config, Some(base.as_of), &models).unwrap();
    let is_wanted = |name: &&str| *name == "spend_90d" || name.starts_with("views") && !name.contains("_category_");
    let of_base = &base.fitted.bundle.manifest.features;
    let wanted: Vec<&str> = of_base.iter().map(|feature| feature.name.as_str()).filter(is_wanted).collect();
    assert_eq!(wanted, ["views", "views_7d", "views_30d", "spend_90d", "views_90d"]);
    let features = &fitted.bundle.manifest.features;
    assert_eq!(features.iter().map(|feature| feature.name.as_str()).collect::<Vec<&str>>(), wanted);
    let told = fitted.bundle.report.features.iter().map(|feature| feature.name.as_str());
    assert_eq!(told.filter(|name| !name.starts_with("btyd_")).collect::<Vec<&str>>(), wanted);

    let (_, partition) = run(&models, &base.events, Some(base.as_of), &folder.path().join("scores")).unwrap();
    let scores = Scores::read(&partition);
    let names: Vec<&str> = scores.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let left_out = of_base.iter().map(|feature| feature.name.as_str()).filter(|name| !is_wanted(name));
    let scored = ["average_days_between_orders", "churn_factor"];
    for name in left_out.filter(|name| !scored.contains(name)) {
        assert!(!names.contains(&name), "{name}");
    }
    for name in wanted.into_iter().chain(scored) {
        assert_eq!(scores.numbers(name), base.scores.numbers(name), "{name}");
    }
    assert_eq!(scores.text("lifecycle_stage"), base.scores.text("lifecycle_stage"));
    let churn = scores.numbers("churn_probability_90d");
    let purchases = base.scores.numbers("purchases");
    assert_eq!(churn.len(), purchases.len());
    for (churn, purchases) in churn.iter().zip(&purchases) {
        assert_eq!(churn.is_some(), purchases.unwrap() >= 1.0);
    }
    let baseline = |fitted: &bellwether::pipeline::FitResult| {
        let churn = fitted.bundle.report.targets.iter().find(|report| report.name == "churn_probability_90d");
        churn.and_then(|report| report.best_baseline())
    };
    assert_eq!(baseline(&fitted), baseline(&base.fitted));
    assert!(baseline(&fitted).is_some());
}

#[test]
fn a_pattern_that_matches_nothing_stops_the_fit() {
    let base = shop();
    let misspelt = LEAN.replace("[features]\n", "[features]\nexclude = [\"veiws_*\"]\n");
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let error = fit(&base.events, &config(&misspelt), Some(base.as_of), &models).err().unwrap();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(error.to_text().contains("\"veiws_*\"") && error.to_text().contains("did you mean `views"), "{error}");
    assert!(!models.join("current").exists());
}
