//! `bellwether-score`: bundle + events → one dated partition of predictions → segment memberships.

use std::path::PathBuf;

use bellwether::cli::{self, CommonFlags, Terminal};
use bellwether::error::{Error, ExitCode};
use bellwether::pipeline::{self, RunOptions};
use bellwether::segments::{self, Segments};
use bellwether::time::Day;
use clap::{Args, Parser, Subcommand};

/// Predicts, every night, what each customer will do, and who is in which segment
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
  bellwether-score run --bundle models/shop --events data/ --as-of 2026-08-21
  bellwether-score run --bundle models/shop --events data/ --as-of 2026-08-21 --segments segments.toml
  bellwether-score segment --scores scores/ --segments segments.toml --as-of 2026-08-21

Exit codes: 0 done, 1 our bug, 2 wrong usage, 3 data rejected, 4 bundle unusable, 5 quality gate missed";

#[derive(Subcommand)]
enum Command {
    /// Score every known customer and write the partition of a day
    Run(Run),
    /// Evaluate segment criteria over the partition of a day
    Segment(Segment),
}

#[derive(Args)]
struct Run {
    /// Folder of the bundles (the one in use is taken), or of one bundle
    #[arg(long, short, value_name = "DIR")]
    bundle: PathBuf,
    /// Files, folders, globs or hive partitions of events
    #[arg(long, short, required = true, num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// First day of the predicted windows [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Folder of the partitions
    #[arg(long, short, default_value = "scores", value_name = "DIR")]
    out: PathBuf,
    /// Write every feature as a column, too: criteria over history need them
    #[arg(long)]
    with_features: bool,
    /// Segment criteria to evaluate afterwards; implies --with-features
    #[arg(long, value_name = "FILE")]
    segments: Option<PathBuf>,
    /// Folder of the memberships
    #[arg(long, default_value = "segments", value_name = "DIR")]
    segments_out: PathBuf,
    /// File for rows that cannot be used [default: rejects.ndjson in the folder of the partitions]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Args)]
struct Segment {
    /// Folder of the partitions
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Segment criteria
    #[arg(long, value_name = "FILE")]
    segments: PathBuf,
    /// Which partition
    #[arg(long, value_name = "DATE")]
    as_of: Day,
    /// Folder of the memberships
    #[arg(long, short, default_value = "segments", value_name = "DIR")]
    out: PathBuf,
}

fn main() -> std::process::ExitCode {
    let Cli { common, command } = Cli::parse();
    cli::main_with(&common, |terminal| match command {
        Command::Run(run) => run_scores(run, &common, terminal),
        Command::Segment(segment) => {
            let segments = Segments::load(&segment.segments)?;
            let partition = segment.scores.join(format!("as_of={}", segment.as_of));
            let counts =
                segments::evaluate(&segments, &partition, &segment.out, segment.as_of, rayon::current_num_threads())?;
            print_counts(&counts, &common);
            Ok(ExitCode::Done)
        }
    })
}

fn run_scores(run: Run, common: &CommonFlags, terminal: &Terminal) -> Result<ExitCode, Error> {
    // A misspelt criterion must be told before an hour of scoring.
    let segments = run.segments.as_deref().map(Segments::load).transpose()?;
    let options = RunOptions {
        bundle: run.bundle,
        events: run.events,
        as_of: run.as_of,
        with_features: run.with_features || segments.is_some(),
        out: run.out,
        rejects: run.rejects,
        segments: segments.clone(),
    };
    let (manifest, folder) = pipeline::run(&options, terminal)?;
    terminal.finish();
    cli::print(&if common.json {
        cli::json(&manifest)
    } else {
        format!("{}\nscores: {}", manifest.to_text(), folder.display())
    });
    if let Some(segments) = segments {
        let threads = rayon::current_num_threads();
        let counts = segments::evaluate(&segments, &folder, &run.segments_out, manifest.as_of, threads)?;
        print_counts(&counts, common);
    }
    Ok(ExitCode::Done)
}

fn print_counts(counts: &segments::SegmentCounts, common: &CommonFlags) {
    cli::print(&if common.json { cli::json(counts) } else { counts.to_text() });
}
