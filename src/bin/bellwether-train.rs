//! `bellwether-train`: events → features → labels → models → a bundle.

use std::path::PathBuf;

use bellwether::bundle::Bundle;
use bellwether::cli::{self, AttributeFlags, CommonFlags, ListFlags, MemoryFlags, Terminal};
use bellwether::clv::{self, ClvModel, ClvOptions, ClvSource, Covariates, EventsSource, Period, TimeUnit};
use bellwether::config::{Config, DEFAULT};
use bellwether::demo;
use bellwether::error::{Error, ExitCode};
use bellwether::events::{Events, check};
use bellwether::features::manual;
use bellwether::pipeline::{self, BacktestOptions, BuildOptions, FitOptions};
use bellwether::progress::Observer;
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use clap::{Args, Parser, Subcommand};

/// Learns from customer events who will leave, what each customer will spend and what they will buy next
#[derive(Parser)]
#[command(name = "bellwether-train", version, propagate_version = true, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", cli::EXIT_CODES))]
struct Cli {
    #[command(flatten)]
    common: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bellwether-train demo                                 a simulated shop, start to end
  bellwether-train check --events shop.csv.gz           what the data hold
  bellwether-train fit --events 'data/*.parquet' --out models/shop
  bellwether-train fit --events data/ --config shop.toml --as-of 2026-08-21";

#[derive(Subcommand)]
enum Command {
    /// Fit every target, judge it on a window that nothing else touched, and write a bundle
    Fit(Fit),
    /// Print what the data hold, what is wrong with them and what can be learned
    Check(Check),
    /// Fit at several earlier days, each with what was known then, and print how every model did
    Backtest(BacktestOf),
    /// Print the catalogue of features: name, unit, family, source columns, definition
    Features(FeaturesOf),
    /// Write feature tables alone, for any model and any tool
    Build(Build),
    /// Fit the buy-till-you-die models to repeat orders, and compare them
    Clv(Clv),
    /// Simulate a shop whose truth is known
    Simulate(Simulate),
    /// Simulate a shop, fit, score, segment, and say where everything is
    Demo(Demo),
}

#[derive(Args)]
struct Source {
    /// Files, folders, globs or hive partitions of events, here or in an object store: Parquet, CSV, TSV, NDJSON, each
    /// plain, gzip or zstd
    #[arg(long, short, required_unless_present = "print_config", num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// Settings in TOML; only what differs from the defaults
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn config(&self) -> Result<Config, Error> {
        Ok(match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        })
    }
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train fit --events shop.parquet
  bellwether-train fit --events data/ --config shop.toml --as-of 2026-08-21 --out models/shop
  bellwether-train fit --print-config > shop.toml

With object stores, such as --events 's3://shop/events/*.parquet' --out s3://shop/models/main, credentials come
from environment variables: AWS_ACCESS_KEY_ID and so on (see the README).
Writes OUT/<bundle id>/ with report.html, CARD.md and the models, and OUT/current, which names it.
Without a config: churn, orders and value at 90 days, categories at 30; less if history is short.")]
struct Fit {
    #[command(flatten)]
    source: Source,
    /// The first day that must not be seen, such as 2026-08-21 [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Folder of the bundles, or its address in an object store
    #[arg(long, short, default_value = "models/default", value_name = "DIR")]
    out: PathBuf,
    /// File for rows that cannot be used [default: rejects.ndjson in the folder of the bundles]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    lists: ListFlags,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    described: AttributeFlags,
    /// Settings of boosted trees that are tried [default: `[training] trials`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    trials: Option<u8>,
    /// Time for each search of settings, such as 60s; results then depend on the machine, and the bundle says so
    #[arg(long, value_name = "TIME", value_parser = cli::seconds)]
    budget: Option<u32>,
    /// Folder for the rows that each target is trained and judged on: features, labels, cut-off, fold
    #[arg(long, value_name = "DIR")]
    export_features: Option<PathBuf>,
    /// Do all the work and write no bundle
    #[arg(long)]
    dry_run: bool,
    /// Print every setting with its value, and what it means, and stop
    #[arg(long)]
    print_config: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train backtest --events shop.parquet
  bellwether-train backtest --events data/ --config shop.toml --as-of 2026-08-21 --cutoffs 6 --step-days 60

Each trial is a whole fit that sees nothing from its day on, judged on the window before that day. > marks what
`fit` would have shipped. Nothing is written but the file of rejects.")]
struct BacktestOf {
    #[command(flatten)]
    source: Source,
    /// The first day that the newest trial must not see [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Trials
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    cutoffs: u8,
    /// Days from one trial back to the one before
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    step_days: u16,
    /// File for rows that cannot be used
    #[arg(long, default_value = "rejects.ndjson", value_name = "FILE")]
    rejects: PathBuf,
    #[command(flatten)]
    lists: ListFlags,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    described: AttributeFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train check --events shop.csv.gz
  bellwether-train check --events 'data/*.parquet' --config shop.toml --json

Exit code 3 when `fit` would refuse the data. Nothing is written.")]
struct Check {
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train features                             the manual, with <kind>, <category>, <channel>
  bellwether-train features --events shop.parquet --config shop.toml
  bellwether-train features --bundle models/shop --json

With events: what `fit` would compute from them, `[features] include` and `exclude` applied. Nothing is written.")]
struct FeaturesOf {
    /// Files, folders, globs or hive partitions of events, whose features are printed
    #[arg(long, short, num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// Settings in TOML; only what differs from the defaults
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The first day that must not be seen [default: the day after the last event]
    #[arg(long, value_name = "DATE", requires = "events")]
    as_of: Option<Day>,
    /// `models/NAME` or one bundle in it, whose features are printed
    #[arg(long, short, value_name = "DIR", conflicts_with_all = ["events", "config", "as_of"])]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    described: AttributeFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train build --events shop.parquet --as-of 2026-08-21 --out features.parquet
  bellwether-train build --events data/ --config shop.toml --as-of 2026-06-01,2026-07-01,2026-08-01 --out training.parquet
  bellwether-train build --events data/ --memory 1GiB --out features.csv

A row for each customer known at each date: customer_id, as_of and the features, missing ones null. Which columns
there are is decided by what was known at the first date. FILE ends in .parquet, .csv or .ndjson and appears whole or
not at all; Parquet columns carry unit and definition. Rows are in order of a stable hash of the customer, then date.")]
struct Build {
    #[command(flatten)]
    source: Source,
    /// First days that must not be seen, one table of rows for each [default: the day after the last event]
    #[arg(long, value_name = "DATE", value_delimiter = ',')]
    as_of: Vec<Day>,
    /// File of the features
    #[arg(long, short, default_value = "features.parquet", value_name = "FILE")]
    out: PathBuf,
    /// Write doubles instead of single-precision floats
    #[arg(long)]
    double: bool,
    /// File for rows that cannot be used [default: rejects.ndjson beside the file of the features]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryFlags,
    #[command(flatten)]
    described: AttributeFlags,
    /// Do all the work and write no features
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train clv --events shop.parquet --as-of 2026-08-21
  bellwether-train clv --events 'data/*.csv' --holdout-days 90 --unit weeks --out customers.csv
  bellwether-train clv --table rfm.csv --unit weeks --model mbg-nbd --model pareto-nbd
  bellwether-train clv --table rfm.csv --covariates gender,channel
  bellwether-train clv --events gifts.csv --model bg-bb --period month
  bellwether-train clv --table contracts.csv --model sbg --period year

Fits on what happened before the holdout, judges in it; OUT holds what the best model, fitted on all,
foresees of each customer. A churn score is the probability of no order, not that of being alive.
Covariates are columns of the table: numbers, or up to 20 words, one column for each but the first.
For bg-bb a table holds whole numbers of opportunities: frequency, recency, T, and customers, their number.
For sbg it holds contracts, `periods,cancelled` (1 if it ended then, 0 if it lasts), or cohorts,
`cohort,period,active` with period 0, 1, 2 and so on.")]
struct Clv {
    /// Files, folders, globs or hive partitions of events, here or in an object store: Parquet, CSV, TSV, NDJSON, each
    /// plain, gzip or zstd
    #[arg(long, short, required_unless_present = "table", conflicts_with = "table", num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// CSV of customers instead: customer_id, frequency, recency, T, monetary_value
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "as_of", "holdout_days", "rejects", "memory"])]
    table: Option<PathBuf>,
    /// Settings in TOML; only what differs from the defaults
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The first day that must not be seen, such as 2026-08-21 [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Last days before as_of to judge in, 0 for none [default: a third of the time seen, at most 365]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=3650))]
    holdout_days: Option<u16>,
    /// A model to fit; several times for several [default: all but bg-bb and sbg, which stand alone]
    #[arg(long, value_enum, value_name = "MODEL")]
    model: Vec<ClvModel>,
    /// Columns of the table that may shift how often customers order and how soon they leave
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "table", conflicts_with_all = ["events", "order_covariates", "leave_covariates"])]
    covariates: Vec<String>,
    /// Columns that may shift how often they order alone
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "table", conflicts_with = "events")]
    order_covariates: Vec<String>,
    /// Columns that may shift how soon they leave alone
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "table", conflicts_with = "events")]
    leave_covariates: Vec<String>,
    /// Period of bg-bb and sbg: week, month, year, or a number of days
    #[arg(long, default_value = "month", value_name = "PERIOD")]
    period: Period,
    /// Unit of the times of a table, and of printed parameters
    #[arg(long, value_enum, default_value = "days", value_name = "UNIT")]
    unit: TimeUnit,
    /// Days to look ahead for each customer
    #[arg(long, default_value_t = 365, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    horizon_days: u16,
    /// Discount rate of a year, of lifetime value
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    yearly_rate: f64,
    /// CSV file for what is foreseen of each customer
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for rows that cannot be used
    #[arg(long, default_value = "rejects.ndjson", value_name = "FILE")]
    rejects: PathBuf,
    #[command(flatten)]
    memory: MemoryFlags,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train simulate --customers 20000 --days 540 --seed 1 --out datasets/demo
  bellwether-train simulate --customers 500000 --late-share 0.02 --dirty-share 0.005 --out datasets/big

Writes OUT/events/ (Parquet), OUT/customers.csv and OUT/truth/, what nobody can know of a real shop.")]
struct Simulate {
    /// Number of customers
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    customers: u64,
    /// Number of days
    #[arg(long, default_value_t = 540, value_name = "N")]
    days: u32,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// First day
    #[arg(long, default_value = "2024-01-01", value_name = "DATE")]
    start: Day,
    /// Share of rows that arrive days late
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    late_share: f64,
    /// Share of rows that are broken in known ways
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    dirty_share: f64,
    /// Folder of the shop
    #[arg(long, short, default_value = "datasets/demo", value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train demo
  bellwether-train demo --root /var/tmp/bellwether --customers 3000

Prints the report, the scores, the segments, where everything is and what to type next.")]
struct Demo {
    /// Customers of the simulated shop
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    customers: u64,
    /// Folder for `datasets/demo`, `models/demo`, `scores` and `segments`
    #[arg(long, default_value = ".", value_name = "DIR")]
    root: PathBuf,
}

fn main() -> std::process::ExitCode {
    let Cli { common, command } = cli::parse();
    cli::main_with(&common, |terminal| match command {
        Command::Fit(fit) => run_fit(fit, &common, terminal),
        Command::Backtest(of) => run_backtest(of, &common, terminal),
        Command::Check(check) => run_check(&check, &common, terminal),
        Command::Features(of) => run_features(&of, &common, terminal),
        Command::Build(build) => run_build(build, &common, terminal),
        Command::Clv(clv) => run_clv(clv, &common, terminal),
        Command::Simulate(simulate) => run_simulate(&simulate, &common, terminal),
        Command::Demo(settings) => {
            let done = demo::demo(&settings.root, settings.customers, terminal)?;
            terminal.finish();
            cli::print(&if common.json { cli::json(&done) } else { done.to_text() });
            Ok(ExitCode::Done)
        }
    })
}

fn run_fit(fit: Fit, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let mut config = fit.source.config()?;
    if let Some(trials) = fit.trials {
        config.training.trials = usize::from(trials);
    }
    if let Some(budget) = fit.budget {
        config.training.budget_seconds = budget;
    }
    if fit.print_config {
        // Without a config the defaults are the manual, with a comment on each setting.
        cli::print(&if config != Config::default() { config.to_toml() } else { DEFAULT.to_string() });
        return Ok(ExitCode::Done);
    }
    let events: Vec<String> = fit.source.events.iter().map(cli::shell).collect();
    let options = FitOptions {
        export_features: fit.export_features,
        events: fit.source.events,
        config,
        as_of: fit.as_of,
        out: fit.out,
        rejects: fit.rejects,
        dry_run: fit.dry_run,
        budget: fit.memory.budget(),
        lists: fit.lists.files(None),
        attributes: fit.described.attributes,
    };
    let models = cli::shell(&options.out);
    let result = pipeline::fit(options, terminal)?;
    terminal.finish();
    let report = &result.bundle.report;
    if common.json {
        cli::print(&cli::json(&serde_json::json!({ "bundle": result.folder, "report": report })));
        return Ok(ExitCode::Done);
    }
    cli::print(&report.to_text());
    let Some(folder) = &result.folder else {
        terminal.note("no bundle was written: --dry-run");
        return Ok(ExitCode::Done);
    };
    cli::print(&format!("\nbundle: {}\nreport: {}", folder.display(), folder.join("report.html").display()));
    terminal.next(&format!(
        "bellwether-score run --bundle {models} --events {} --as-of {}",
        events.join(" "),
        result.bundle.manifest.as_of
    ));
    Ok(ExitCode::Done)
}

fn run_backtest(of: BacktestOf, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let fit = FitOptions {
        export_features: None,
        config: of.source.config()?,
        events: of.source.events,
        as_of: of.as_of,
        out: PathBuf::new(), // nothing is written
        rejects: Some(of.rejects),
        dry_run: true,
        budget: of.memory.budget(),
        lists: of.lists.files(None),
        attributes: of.described.attributes,
    };
    let options = BacktestOptions { fit, cutoffs: usize::from(of.cutoffs), step_days: of.step_days };
    let done = pipeline::backtest(&options, terminal)?;
    terminal.finish();
    cli::print(&if common.json { cli::json(&done) } else { done.to_text() });
    Ok(ExitCode::Done)
}

fn run_check(check: &Check, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let config = check.source.config()?;
    let events = Events::open(&check.source.events, &config)?;
    terminal.stage("reading events");
    let report = check::check(&events, &config)?;
    terminal.finish();
    cli::print(&if common.json { cli::json(&report) } else { report.to_text() });
    if !report.problems().is_empty() {
        terminal.note("`fit` would refuse these data (exit code 3)");
        return Ok(ExitCode::DataRejected);
    }
    let events: Vec<String> = check.source.events.iter().map(cli::shell).collect();
    let config = check.source.config.as_ref().map(|path| format!(" --config {}", cli::shell(path))).unwrap_or_default();
    terminal.next(&format!("bellwether-train fit --events {}{config}", events.join(" ")));
    Ok(ExitCode::Done)
}

fn run_features(of: &FeaturesOf, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let config = match &of.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let features = match &of.bundle {
        Some(bundle) => Bundle::load(bundle)?.parameters.catalogue.features(),
        None if of.events.is_empty() => manual::example(&config).features(),
        None => {
            pipeline::catalogue(&of.events, &of.described.attributes, &config, of.as_of, &of.memory.budget(), terminal)?
        }
    };
    terminal.finish();
    cli::print(&if common.json { cli::json(&features) } else { manual::table(&features) });
    Ok(ExitCode::Done)
}

fn run_build(build: Build, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let options = BuildOptions {
        config: build.source.config()?,
        events: build.source.events,
        as_ofs: build.as_of,
        out: build.out,
        is_double: build.double,
        rejects: build.rejects,
        dry_run: build.dry_run,
        budget: build.memory.budget(),
        attributes: build.described.attributes,
    };
    let built = pipeline::build(&options, terminal)?;
    terminal.finish();
    cli::print(&if common.json { cli::json(&built) } else { built.to_text() });
    if build.dry_run {
        terminal.note("no features were written: --dry-run");
    }
    Ok(ExitCode::Done)
}

fn run_clv(asked: Clv, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let source = match asked.table {
        Some(table) => ClvSource::Table(table),
        None => {
            let source = Source { events: asked.events, config: asked.config };
            ClvSource::Events(EventsSource {
                config: Box::new(source.config()?),
                events: source.events,
                as_of: asked.as_of,
                holdout_days: asked.holdout_days,
                rejects: asked.rejects,
                budget: asked.memory.budget(),
            })
        }
    };
    let of_both = asked.covariates;
    let covariates = Covariates {
        of_orders: of_both.iter().cloned().chain(asked.order_covariates).collect(),
        of_leaving: of_both.iter().cloned().chain(asked.leave_covariates).collect(),
    };
    let options = ClvOptions {
        source,
        models: asked.model,
        covariates,
        unit: asked.unit,
        period: asked.period,
        horizon_days: asked.horizon_days,
        yearly_rate: asked.yearly_rate,
        out: asked.out,
    };
    let compared = clv::compare(&options, terminal)?;
    terminal.finish();
    cli::print(&if common.json { cli::json(&compared) } else { compared.to_text() });
    Ok(ExitCode::Done)
}

fn run_simulate(settings: &Simulate, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let simulation = Simulation {
        customers: settings.customers,
        days: settings.days,
        seed: settings.seed,
        start: settings.start,
        late_share: settings.late_share,
        dirty_share: settings.dirty_share,
        ..Simulation::default()
    };
    terminal.stage("simulating a shop");
    let simulated = simulate(&simulation, &settings.out, &|done| terminal.advance(done, settings.customers))?;
    terminal.finish();
    cli::print(&if common.json {
        cli::json(&simulated)
    } else {
        format!(
            "{} events and {} orders of {} customers, {} to {}: {}",
            simulated.events,
            simulated.orders,
            simulated.customers,
            simulated.first_day,
            simulated.last_day,
            simulated.folder.display()
        )
    });
    let events = cli::shell(simulated.folder.join("events"));
    terminal.next(&format!("bellwether-train check --events {events}"));
    Ok(ExitCode::Done)
}
