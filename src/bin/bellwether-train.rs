//! `bellwether-train`: events → features → labels → models → a bundle.

use std::path::PathBuf;

use bellwether::cli::{self, CommonFlags, Terminal};
use bellwether::config::Config;
use bellwether::demo;
use bellwether::error::{Error, ExitCode};
use bellwether::events::{Events, check};
use bellwether::pipeline::{self, FitOptions};
use bellwether::simulate::{Simulation, simulate};
use bellwether::time::Day;
use clap::{Args, Parser, Subcommand};

/// Learns from customer events who will leave, what each customer will spend and what they will buy next
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bellwether-train demo                                     everything at once, on a simulated shop
  bellwether-train check --events shop.csv.gz               what the data hold, and what can be learned
  bellwether-train fit --events 'data/*.parquet' --out models/shop
  bellwether-train fit --events data/ --config shop.toml --as-of 2026-08-21

Exit codes: 0 done, 1 our bug, 2 wrong usage, 3 data rejected, 4 bundle unusable, 5 quality gate missed";

#[derive(Subcommand)]
enum Command {
    /// Fit every target, judge it on a window that nothing else touched, and write a bundle
    Fit(Fit),
    /// Print what the data hold, what is wrong with them and what can be learned
    Check(Check),
    /// Simulate a shop whose truth is known
    Simulate(Simulate),
    /// Simulate a shop, fit, score, segment, and say where everything is
    Demo(Demo),
}

#[derive(Args)]
struct Source {
    /// Files, folders, globs or hive partitions of events: Parquet, CSV, TSV, NDJSON, each plain, gzip or zstd
    #[arg(long, short, required = true, num_args = 1.., value_name = "PATH")]
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
  bellwether-train fit --events data/ --print-config > shop.toml")]
struct Fit {
    #[command(flatten)]
    source: Source,
    /// The first day that must not be seen, such as 2026-08-21 [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Folder of the bundles
    #[arg(long, short, default_value = "models/default", value_name = "DIR")]
    out: PathBuf,
    /// File for rows that cannot be used [default: rejects.ndjson in the folder of the bundles]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Do all the work and write no bundle
    #[arg(long)]
    dry_run: bool,
    /// Print every setting with its value and stop
    #[arg(long)]
    print_config: bool,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-train simulate --customers 20000 --days 540 --seed 1 --out datasets/demo
  bellwether-train simulate --customers 500000 --days 540 --seed 1 --late-share 0.02 --dirty-share 0.005 --out datasets/big")]
struct Simulate {
    /// Customers
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    customers: u64,
    /// Days
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
struct Demo {
    /// Customers of the simulated shop
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    customers: u64,
    /// Folder for `datasets/demo`, `models/demo`, `scores` and `segments`
    #[arg(long, default_value = ".", value_name = "DIR")]
    root: PathBuf,
}

fn main() -> std::process::ExitCode {
    let Cli { common, command } = Cli::parse();
    cli::main_with(&common, |terminal| match command {
        Command::Fit(fit) => run_fit(fit, &common, terminal),
        Command::Check(check) => run_check(&check, &common),
        Command::Simulate(simulate) => run_simulate(&simulate, &common, terminal),
        Command::Demo(settings) => {
            cli::print(&demo::demo(&settings.root, settings.customers, terminal)?);
            Ok(ExitCode::Done)
        }
    })
}

fn run_fit(fit: Fit, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    let config = fit.source.config()?;
    if fit.print_config {
        cli::print(&config.to_toml());
        return Ok(ExitCode::Done);
    }
    let options = FitOptions {
        events: fit.source.events,
        config,
        as_of: fit.as_of,
        out: fit.out,
        rejects: fit.rejects,
        dry_run: fit.dry_run,
    };
    let result = pipeline::fit(options, terminal)?;
    terminal.finish();
    let report = &result.bundle.report;
    cli::print(&if common.json { report.to_json() } else { report.to_text() });
    if let Some(folder) = &result.folder
        && !common.json
    {
        cli::print(&format!("bundle: {}\nreport: {}", folder.display(), folder.join("report.html").display()));
    }
    Ok(ExitCode::Done)
}

fn run_check(check: &Check, common: &CommonFlags) -> Result<ExitCode, Error> {
    let config = check.source.config()?;
    let events = Events::open(&check.source.events, &config)?;
    let report = check::check(&events, &config)?;
    cli::print(&if common.json { cli::json(&report) } else { report.to_text() });
    Ok(if report.problems().is_empty() { ExitCode::Done } else { ExitCode::DataRejected })
}

fn run_simulate(settings: &Simulate, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    use bellwether::progress::Observer;
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
    Ok(ExitCode::Done)
}
