//! `bellwether-score`: bundle + events → one dated partition of predictions → segment memberships.

use std::path::{Path, PathBuf};

use bellwether::cli::{self, AttributeFlags, CommonFlags, MemoryFlags, Terminal};
use bellwether::error::{Error, ExitCode, FileError};
use bellwether::pipeline::{self, RunOptions};
use bellwether::scores::ScoreFormat;
use bellwether::scores::ScoreManifest;
use bellwether::segments::{self, SegmentCounts, Segments};
use bellwether::time::Day;
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
  bellwether-score segment --scores scores/ --segments segments.toml --as-of 2026-08-21";

#[derive(Subcommand)]
enum Command {
    /// Score every known customer and write the partition of a day
    Run(Run),
    /// Evaluate segment criteria over the partition of a day
    Segment(Segment),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  bellwether-score run --bundle models/shop --events data/ --as-of 2026-08-21
  bellwether-score run --bundle models/shop --events 'data/*.parquet' --segments segments.toml

Writes OUT/as_of=DATE/ whole or not at all: part-00000.parquet, then manifest.json. A rerun replaces it.")]
struct Run {
    /// Folder of the bundles (the one in use is taken), or of one bundle
    #[arg(long, short, value_name = "DIR")]
    bundle: PathBuf,
    /// Files, folders, globs or hive partitions of events, in any format that `fit` reads
    #[arg(long, short, required = true, num_args = 1.., value_name = "PATH")]
    events: Vec<String>,
    /// First day of the predicted windows, such as 2026-08-21 [default: the day after the last event]
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// Accept events that end up to DAYS before the scoring date
    ///
    /// A longer gap usually means a late upload. Days without events count as days without purchases, so a gap that
    /// is not real makes every customer look closer to leaving.
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    max_gap: u16,
    /// Folder of the partitions
    #[arg(long, short, default_value = "scores", value_name = "DIR")]
    out: PathBuf,
    /// Write every feature as a column, too: criteria over history need them
    #[arg(long)]
    with_features: bool,
    /// Format of the score file; segments are evaluated over Parquet
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ScoreFormat,
    /// Segment criteria to evaluate afterwards; implies --with-features
    #[arg(long, value_name = "FILE")]
    segments: Option<PathBuf>,
    /// Folder of the memberships
    #[arg(long, default_value = "segments", value_name = "DIR")]
    segments_out: PathBuf,
    /// File for rows that cannot be used [default: rejects.ndjson in the folder of the partitions]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
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
    /// Folder of the partitions
    #[arg(long, default_value = "scores", value_name = "DIR")]
    scores: PathBuf,
    /// Segment criteria
    #[arg(long, value_name = "FILE")]
    segments: PathBuf,
    /// Day of the partition, such as 2026-08-21
    #[arg(long, value_name = "DATE")]
    as_of: Day,
    /// Folder of the memberships
    #[arg(long, short, default_value = "segments", value_name = "DIR")]
    out: PathBuf,
}

fn main() -> std::process::ExitCode {
    let Cli { common, command } = cli::parse();
    cli::main_with(&common, |terminal| match command {
        Command::Run(run) => run_scores(run, &common, terminal),
        Command::Segment(segment) => {
            let segments = Segments::load(&segment.segments)?;
            let partition = segment.scores.join(format!("as_of={}", segment.as_of));
            let counts =
                segments::evaluate(&segments, &partition, &segment.out, segment.as_of, rayon::current_num_threads())?;
            let folder = segment.out.join(format!("as_of={}", segment.as_of));
            cli::print(&if common.json { cli::json(&counts) } else { segments_text(&counts, &folder) });
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
        format: run.format,
        max_gap: Some(run.max_gap),
        out: run.out,
        rejects: run.rejects,
        segments: segments.clone(),
        budget: run.memory.budget(),
        attributes: run.described.attributes,
    };
    if segments.is_some() && run.segments_out.exists() && !run.segments_out.is_dir() {
        // Nor is the end of an hour of scoring the time to find that the memberships have no place.
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(FileError { action: "write memberships into it", path: run.segments_out, source }.into());
    }
    let (manifest, folder) = pipeline::run(&options, terminal)?;
    terminal.finish();
    if !common.json {
        cli::print(&format!("{}scores: {}", manifest.to_text(), folder.display()));
    }
    let Some(segments) = segments else {
        if common.json {
            cli::print(&cli::json(&Scored { partition: folder, manifest, segments: None }));
        } else if options.with_features {
            let out = cli::shell(&options.out);
            let as_of = manifest.as_of;
            terminal.next(&format!("bellwether-score segment --scores {out} --segments segments.toml --as-of {as_of}"));
        }
        return Ok(ExitCode::Done);
    };
    let threads = rayon::current_num_threads();
    let counts = segments::evaluate(&segments, &folder, &run.segments_out, manifest.as_of, threads)?;
    let memberships = run.segments_out.join(format!("as_of={}", manifest.as_of));
    cli::print(&if common.json {
        cli::json(&Scored { partition: folder, manifest, segments: Some(counts) })
    } else {
        format!("\n{}", segments_text(&counts, &memberships))
    });
    Ok(ExitCode::Done)
}

/// The result of `run` as JSON.
#[derive(Serialize)]
struct Scored {
    partition: PathBuf,
    manifest: ScoreManifest,
    segments: Option<SegmentCounts>,
}

fn segments_text(counts: &SegmentCounts, folder: &Path) -> String {
    format!("{}segments: {}", counts.to_text(), folder.display())
}
