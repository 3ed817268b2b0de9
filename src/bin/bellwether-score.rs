//! `bellwether-score`: bundle + events → one dated partition of predictions → segment memberships.

use std::path::{Path, PathBuf};

use bellwether::cli::{self, AttributeFlags, CommonFlags, ListFlags, MemoryFlags, Terminal};
use bellwether::config::GatesConfig;
use bellwether::error::{Error, ExitCode, FileError};
use bellwether::lists;
use bellwether::pipeline::{self, Days, ExplainOptions, JudgeOptions, RunOptions};
use bellwether::progress::Observer;
use bellwether::report::History;
use bellwether::scores::categories::{self, CategoryManifest, CategoryOptions};
use bellwether::scores::diff::{self, DiffOptions};
use bellwether::scores::explain::TextOptions;
use bellwether::scores::forget::{self, ForgetOptions};
use bellwether::scores::realised::Proof;
use bellwether::scores::{ScoreFormat, ScoreManifest};
use bellwether::segments::{self, SegmentCounts, Segments};
use bellwether::storage::{self, Workplace};
use bellwether::time::Day;
use bellwether::timeline::{StoreState, TimelineStore};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

/// Predicts, every night, what each customer will do, and who is in which segment
#[derive(Parser)]
#[command(name = "bellwether-score", version, propagate_version = true, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", cli::EXIT_CODES))]
struct Cli {
    #[command(flatten)]
    common: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bellwether-score run --bundle models/shop --events data/ --as-of 2026-08-21
  bellwether-score run --bundle models/shop --events data/ --segments segments.toml
  bellwether-score segment --scores scores/ --segments segments.toml --as-of 2026-08-21
  bellwether-score realised --scores scores/ --html realised.html
  bellwether-score diff --scores scores/ --from 2026-08-20 --to 2026-08-21
  bellwether-score explain --customer C1234 --as-of 2026-08-21 --bundle models/shop --events data/";

#[derive(Subcommand)]
enum Command {
    /// Score every known customer and write the partition of a day
    Run(Run),
    /// Evaluate segment criteria over the partition of a day
    Segment(Segment),
    /// Print how old predictions turned out
    Realised(RealisedCommand),
    /// Compare two days: largest movers, who crossed a band, and why
    Diff(Diff),
    /// Explain one customer: history, features, what adds to each prediction, and why it changed
    Explain(ExplainCommand),
    /// Take customers out of every partition, the memberships and the rejects
    Forget(Forget),
    /// Say what a timeline store holds, and whether every byte of it is as it was written
    Store(StoreCommand),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score store --store store/
  bellwether-score store --store store/ --json

All of it is read and compared with its checksums. `run --store` makes it and keeps it.")]
struct StoreCommand {
    /// Folder of the store
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    memory: MemoryFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score run --bundle models/shop --events data/ --as-of 2026-08-21
  bellwether-score run --bundle models/shop --events 'data/*.parquet' --segments segments.toml
  bellwether-score run --bundle models/shop --events data/ --backfill 2026-08-01..2026-08-21
  bellwether-score run --bundle models/shop --events data/ --store store/
  bellwether-score run --bundle s3://shop/models/main --events s3://shop/events/ --out s3://shop/scores

Writes OUT/as_of=DATE/ whole or not at all: part-00000.parquet, then manifest.json. A rerun replaces it.
Where a target is repeated by category, OUT/category_scores/as_of=DATE/ has its scores as a long table
with ranks, and suggested audiences in its manifest.json.
Object stores: s3://bucket/…, gs://bucket/…, az://container/…, set up by environment variables such as
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL (see the README).")]
struct Run {
    /// Folder of the bundles (the one in use is taken), or of one bundle, or its address in an object store
    #[arg(long, short, value_name = "DIR")]
    bundle: PathBuf,
    /// Files, folders, globs or hive partitions of events, in any format that `fit` reads, here or in an object store
    #[arg(long, short, required = true, num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// First day of the predicted windows, such as 2026-08-21 [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Write the partitions of these days, first and last included, as they would have been given then
    ///
    /// Of the folder of the bundles, each day takes the newest one that had not seen it.
    #[arg(long, value_name = "D1..D2", conflicts_with = "as_of")]
    backfill: Option<Days>,
    /// Accept events that end up to DAYS before the scoring date [default: `[gates] max_gap_days`]
    ///
    /// A longer gap usually means a late upload. Days without events count as days without purchases, so a gap that
    /// is not real makes every customer look closer to leaving.
    #[arg(long, value_name = "DAYS")]
    max_gap: Option<u16>,
    /// Settings in TOML whose `[gates]` take the place of the bundle's
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Write the partition although a gate is missed; the manifest says so
    #[arg(long)]
    force: bool,
    /// List of customers who are left alone: customer_id, from, to, here or in an object store [default: `[lists] exclusions`]
    #[arg(long, value_name = "FILE")]
    exclusions: Option<PathBuf>,
    #[command(flatten)]
    lists: ListFlags,
    /// File for Prometheus about this run, written whatever becomes of it
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Folder of the partitions, or its address in an object store
    #[arg(long, short, default_value = "scores", value_name = "DIR")]
    out: PathBuf,
    /// Write every feature as a column, too: criteria over history need them
    #[arg(long)]
    with_features: bool,
    /// Format of the score file; segments are evaluated over Parquet
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ScoreFormat,
    /// Rows of the long table of categories: this many best ones of each customer …
    #[arg(long, value_name = "N", default_value_t = CategoryOptions::default().top)]
    category_top: u16,
    /// … and those that are at least so many times as likely as usual: they are the suggested audience
    #[arg(long, value_name = "LIFT", default_value_t = CategoryOptions::default().lift, value_parser = lift)]
    category_lift: f64,
    /// Segment criteria to evaluate afterwards; implies --with-features
    #[arg(long, value_name = "FILE")]
    segments: Option<PathBuf>,
    /// Folder of the memberships, or its address in an object store
    #[arg(long, default_value = "segments", value_name = "DIR")]
    segments_out: PathBuf,
    /// File for rows that cannot be used [default: rejects.ndjson in the folder of the partitions]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Folder of a timeline store: files that are in it are not read again, new ones are added
    ///
    /// Scores and manifest are those of a run without it, byte for byte. A file of events that has changed or is gone, and
    /// other settings of the reading, have the store built anew. It repeats what the events say: it may be deleted.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    described: AttributeFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score segment --segments segments.toml --as-of 2026-08-21
  bellwether-score segment --scores scores/ --segments segments.toml --as-of 2026-08-21 --out segments/

A criterion is SQL over the columns of the scores; feature columns are there after `run --with-features`:
  [[segment]]
  name = \"likely-to-churn\"
  where = \"churn_percentile >= 80 AND predicted_value_90d > 50\"")]
struct Segment {
    /// Folder of the partitions, or its address in an object store
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Segment criteria
    #[arg(long, value_name = "FILE")]
    segments: PathBuf,
    /// Day of the partition, such as 2026-08-21
    #[arg(long, value_name = "DATE")]
    as_of: Day,
    /// Folder of the memberships, or its address in an object store
    #[arg(long, short, default_value = "segments", value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score realised --scores scores/
  bellwether-score realised --scores scores/ --html realised.html
  bellwether-score realised --scores scores/ --bundle models/shop --events data/

Every run judges the old partitions whose windows have passed; with --events that is done now.")]
struct RealisedCommand {
    /// Folder of the partitions, or its address in an object store
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Events to judge by, for partitions that no run has judged yet
    #[arg(long, short, num_args = 1.., value_name = "PATH", requires = "bundle")]
    events: Vec<String>,
    /// Bundle whose settings say how the events are read
    #[arg(long, short, value_name = "DIR", requires = "events")]
    bundle: Option<PathBuf>,
    /// The first day that must not be seen [default: the day after the last event]
    #[arg(long, value_name = "DATE", requires = "events")]
    as_of: Option<Day>,
    /// Folder of the memberships, for figures by segment
    #[arg(long, default_value = "segments", value_name = "DIR")]
    segments_out: PathBuf,
    /// Page with plots to be written
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    lists: ListFlags,
    #[command(flatten)]
    memory: MemoryFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score diff --scores scores/ --from 2026-08-20 --to 2026-08-21
  bellwether-score diff --from 2026-07-31 --to 2026-08-31 --bundle models/shop/ID --events data/

With the bundle of the earlier day, and events, what the data and what the models have changed are
told apart. Nothing is written.")]
struct Diff {
    /// Folder of the partitions, or its address in an object store
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// The earlier day
    #[arg(long, value_name = "DATE")]
    from: Day,
    /// The later day
    #[arg(long, value_name = "DATE")]
    to: Day,
    /// Column of the movers [default: the churn probability]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// How many of the largest movers
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// Events, to score the later day with the earlier bundle
    #[arg(long, short, num_args = 1.., value_name = "PATH", requires = "bundle")]
    events: Vec<String>,
    /// The bundle that made the earlier partition
    #[arg(long, short, value_name = "DIR", requires = "events")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    described: AttributeFlags,
    #[command(flatten)]
    lists: ListFlags,
    #[command(flatten)]
    memory: MemoryFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score explain --customer C1234 --as-of 2026-08-21
  bellwether-score explain --customer C1234 --as-of 2026-08-21 --bundle models/shop --events data/
  bellwether-score explain --customer C1234 --against 2026-07-21 --bundle models/shop --events data/
  bellwether-score explain --customer C1234 --bundle models/shop --events data/ --store store/

The partitions tell what was predicted when. With --bundle and --events the timeline, the features and
what adds to each prediction are told, too, and with --against why it has changed: by feature, and by
another bundle. The parts add up. Nothing is written, except that a store takes new files of events.")]
struct ExplainCommand {
    /// The customer, as in the events
    #[arg(long, value_name = "ID")]
    customer: String,
    /// The day [default: that of the newest partition]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Another day: why predictions have changed between the two
    #[arg(long, value_name = "DATE")]
    against: Option<Day>,
    /// Folder of the partitions
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Folder of the bundles that made the partitions, or of one bundle
    #[arg(long, short, value_name = "DIR", requires = "events")]
    bundle: Option<PathBuf>,
    /// Events, of which the customer's are kept
    #[arg(long, short, num_args = 1.., value_name = "PATH", requires = "bundle")]
    events: Vec<String>,
    /// Folder of the timeline store that `run --store` keeps: files that are in it are not read again, new ones are added
    #[arg(long, value_name = "DIR", requires = "events")]
    store: Option<PathBuf>,
    /// Score columns to take apart [default: all but those by category]
    #[arg(long, num_args = 1.., value_name = "NAME")]
    column: Vec<String>,
    /// Features of each sum that have a line of their own
    #[arg(long, default_value_t = TextOptions::default().top, value_name = "N")]
    top: usize,
    /// Print every feature of the customer, too; --json always has them
    #[arg(long)]
    features: bool,
    /// List of customers who are left alone: customer_id, from, to [default: `[lists] exclusions`]
    #[arg(long, value_name = "FILE")]
    exclusions: Option<PathBuf>,
    #[command(flatten)]
    described: AttributeFlags,
    #[command(flatten)]
    lists: ListFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score forget --forget forget.csv --scores scores/ --models models/shop
  bellwether-score forget --forget forget.csv --segments-out segments/ --rejects models/shop/rejects.ndjson

Other rows keep their bytes. Bundles that were trained with them are listed; `fit --forget` trains anew.")]
struct Forget {
    /// List of the customers: customer_id
    #[arg(long, value_name = "FILE")]
    forget: PathBuf,
    /// Folder of the partitions, or its address in an object store
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Folder of the memberships, or its address in an object store
    #[arg(long, default_value = "segments", value_name = "DIR")]
    segments_out: PathBuf,
    /// Folders of bundles that are asked whether they were trained with them
    #[arg(long, num_args = 1.., value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Files of rejected rows, beside rejects.ndjson in the folders of partitions and bundles
    #[arg(long, num_args = 1.., value_name = "FILE")]
    rejects: Vec<PathBuf>,
    /// Folder of a timeline store, which is emptied
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    let Cli { common, command } = cli::parse();
    cli::main_with(&common, |terminal| match command {
        Command::Run(run) => {
            let metrics = run.metrics.clone();
            metrics.as_deref().map_or(Ok(()), storage::refuse_remote)?;
            let result = run_scores(run, &common, terminal);
            if let Some(path) = metrics {
                // What went wrong before is told, whatever becomes of the metrics.
                match cli::write_metrics(&path, result.as_ref()) {
                    Err(error) if result.is_ok() => return Err(error.into()),
                    Err(error) => terminal.warn(&format!("{error}: the metrics are not written")),
                    Ok(()) => {}
                }
            }
            result.map(|_| ExitCode::Done)
        }
        Command::Segment(segment) => {
            let segments = Segments::load(&segment.segments)?;
            let threads = rayon::current_num_threads();
            let counts = segments::update(&segments, &segment.scores, &segment.out, segment.as_of, threads, terminal)?;
            terminal.finish();
            let folder = segment.out.join(format!("as_of={}", segment.as_of));
            cli::print(&if common.json { cli::json(&counts) } else { segments_text(&counts, &folder) });
            Ok(ExitCode::Done)
        }
        Command::Realised(realised) => run_realised(realised, &common, terminal),
        Command::Diff(diff) => run_diff(diff, &common, terminal),
        Command::Explain(explain) => run_explain(explain, &common, terminal),
        Command::Forget(forget) => run_forget(forget, &common, terminal),
        Command::Store(store) => {
            let state = StoreState::of(&store.store, &store.memory.budget())?;
            cli::print(&if common.json { cli::json(&state) } else { state.to_text() });
            Ok(ExitCode::Done)
        }
    })
}

/// Scores, prints, and returns the manifest of the last partition.
fn run_scores(run: Run, common: &CommonFlags, terminal: &Terminal) -> Result<ScoreManifest, Error> {
    // A misspelt criterion must be told before an hour of scoring.
    let segments = run.segments.as_deref().map(Segments::load).transpose()?;
    let options = RunOptions {
        bundle: run.bundle,
        events: run.events,
        as_of: run.as_of,
        with_features: run.with_features || segments.is_some(),
        format: run.format,
        max_gap: run.max_gap,
        gates: run.gates.as_deref().map(GatesConfig::load).transpose()?,
        force: run.force,
        lists: run.lists.files(run.exclusions),
        memberships: Some(run.segments_out.clone()),
        out: run.out,
        rejects: run.rejects,
        segments: segments.clone(),
        budget: run.memory.budget(),
        attributes: run.described.attributes,
        categories: CategoryOptions { top: run.category_top, lift: run.category_lift },
        store: run.store,
    };
    if segments.is_some() && run.segments_out.exists() && !run.segments_out.is_dir() {
        // Nor is the end of an hour of scoring the time to find that the memberships have no place.
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(FileError { action: "write memberships into it", path: run.segments_out, source }.into());
    }
    let written = match run.backfill {
        Some(days) => pipeline::backfill(&options, days, terminal)?,
        None => vec![pipeline::run(&options, terminal)?],
    };
    terminal.finish();
    let mut results = Vec::new();
    for (manifest, partition) in written {
        terminal.event(
            "scored",
            &serde_json::json!({
                "as_of": manifest.as_of,
                "bundle_id": manifest.bundle_id,
                "partition": partition,
                "rows": manifest.rows,
                "gates": manifest.gates.verdict,
            }),
        );
        let counts = segments
            .as_ref()
            .map(|segments| {
                let threads = rayon::current_num_threads();
                segments::update(segments, &options.out, &run.segments_out, manifest.as_of, threads, terminal)
            })
            .transpose()?;
        let categories = {
            let folder = categories::folder(Path::new(""), manifest.as_of);
            let scores = Workplace::open(&options.out, |name| Path::new(name).starts_with(&folder))?;
            CategoryManifest::load(scores.folder(), manifest.as_of)?
        };
        if !common.json {
            cli::print(&format!("{}scores: {}", manifest.to_text(), partition.display()));
            if let Some(categories) = categories.as_ref().filter(|categories| !categories.audiences.is_empty()) {
                let folder = categories::folder(&options.out, manifest.as_of);
                cli::print(&format!("\n{}category scores: {}", categories.to_text(), folder.display()));
            }
            if let Some(counts) = &counts {
                let memberships = run.segments_out.join(format!("as_of={}", manifest.as_of));
                cli::print(&format!("\n{}", segments_text(counts, &memberships)));
            }
        }
        results.push(Scored { partition, manifest, categories, segments: counts });
    }
    if common.json {
        let is_many = run.backfill.is_some();
        cli::print(&if is_many { cli::json(&results) } else { cli::json(&results[0]) });
    }
    let manifest = results.pop().expect("a day at least").manifest;
    if segments.is_none() && options.with_features && !common.json {
        let out = cli::shell(&options.out);
        let as_of = manifest.as_of;
        terminal.next(&format!("bellwether-score segment --scores {out} --segments segments.toml --as-of {as_of}"));
    }
    Ok(manifest)
}

fn run_realised(command: RealisedCommand, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    command.html.as_deref().map_or(Ok(()), storage::refuse_remote)?;
    if let Some(bundle) = command.bundle {
        let options = JudgeOptions {
            bundle,
            events: command.events,
            attributes: Vec::new(),
            as_of: command.as_of,
            scores: command.scores.clone(),
            memberships: Some(command.segments_out),
            lists: command.lists.files(None),
            budget: command.memory.budget(),
        };
        pipeline::judge(&options, terminal)?;
        terminal.finish();
    }
    let is_told = |name: &str| name.ends_with("/manifest.json") || name.ends_with("/realised.json");
    let scores = Workplace::open(&command.scores, is_told)?;
    let heard = scores.observer(terminal);
    let Proof { realised, estimates } = Proof::of(scores.folder(), &heard).map_err(|error| scores.explain(error))?;
    let told = History { realised: &realised, estimates: &estimates };
    if let Some(path) = &command.html {
        let page = told.to_html();
        storage::write_atomic(path, |file| std::io::Write::write_all(file, page.as_bytes()))?;
    }
    if common.json {
        let estimates: Vec<_> = estimates
            .iter()
            .map(
                |(as_of, column, estimate)| serde_json::json!({"as_of": as_of, "column": column, "estimate": estimate}),
            )
            .collect();
        cli::print(&cli::json(&serde_json::json!({ "realised": realised, "estimates": estimates })));
    } else {
        cli::print(&told.to_text());
        if let Some(path) = &command.html {
            cli::print(&format!("page: {}", path.display()));
        }
    }
    Ok(ExitCode::Done)
}

fn run_diff(command: Diff, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let sides = [command.from, command.to].map(|day| format!("as_of={day}/"));
    let is_compared = |name: &str| name.ends_with("/manifest.json") || sides.iter().any(|side| name.starts_with(side));
    let scores = Workplace::open(&command.scores, is_compared)?;
    let options = DiffOptions {
        scores: scores.folder().into(),
        from: command.from,
        to: command.to,
        column: command.column,
        top: command.top,
    };
    let rescored = command
        .bundle
        .map(|bundle| {
            let options = JudgeOptions {
                bundle,
                events: command.events,
                attributes: command.described.attributes,
                as_of: Some(command.to),
                scores: command.scores,
                memberships: None,
                lists: command.lists.files(None),
                budget: command.memory.budget(),
            };
            pipeline::rescore(&options, command.to, terminal)
        })
        .transpose()?;
    let diff = diff::diff(&options, rescored.as_ref()).map_err(|error| scores.explain(error))?;
    terminal.finish();
    cli::print(&if common.json { cli::json(&diff) } else { diff.to_text() });
    Ok(ExitCode::Done)
}

fn run_explain(command: ExplainCommand, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let options = ExplainOptions {
        customer: command.customer,
        as_of: command.as_of,
        against: command.against,
        scores: command.scores,
        bundle: command.bundle,
        events: command.events,
        attributes: command.described.attributes,
        lists: command.lists.files(command.exclusions),
        columns: command.column,
        store: command.store,
    };
    let explanation = pipeline::explain(&options, terminal)?;
    terminal.finish();
    let shown = TextOptions { top: command.top, features: command.features };
    cli::print(&if common.json { cli::json(&explanation) } else { explanation.to_text(shown) });
    if options.bundle.is_none() && !common.json {
        terminal.note("the timeline, features and contributions are told with `--bundle` and `--events`");
    }
    Ok(ExitCode::Done)
}

fn run_forget(command: Forget, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let folders = command.models.iter().chain([&command.scores]);
    let rejects = folders.map(|folder| folder.join("rejects.ndjson")).chain(command.rejects.clone());
    let options = ForgetOptions {
        ids: lists::forgotten(&command.forget)?,
        rejects: rejects.collect(),
        scores: command.scores,
        memberships: Some(command.segments_out),
        models: command.models,
    };
    let store = command.store.as_deref().map(TimelineStore::open).transpose()?;
    let forgotten = forget::forget(&options, terminal)?;
    if let Some(store) = store {
        store.clear()?;
        terminal
            .note("the timeline store is emptied: the next run builds it anew, without them when it has the list, too");
    }
    terminal.finish();
    cli::print(&if common.json { cli::json(&forgotten) } else { forgotten.to_text() });
    Ok(ExitCode::Done)
}

/// A lift: below 1 it would be worth to address those who do it less often than usual.
fn lift(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|lift| (1.0..=1e6).contains(lift))
        .ok_or_else(|| format!("`{text}` is no number of 1 or more"))
}

/// The result of `run` as JSON.
#[derive(Serialize)]
struct Scored {
    partition: PathBuf,
    manifest: ScoreManifest,
    categories: Option<CategoryManifest>,
    segments: Option<SegmentCounts>,
}

fn segments_text(counts: &SegmentCounts, folder: &Path) -> String {
    format!("{}segments: {}", counts.to_text(), folder.display())
}
