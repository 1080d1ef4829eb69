//! `ministore compare`: whether two measurements differ by more than the spread of their rounds.

mod comparison;
mod environment;
mod read;
mod report;
mod verdict;

use std::path::PathBuf;

use crate::{
    exit::{CliError, ExitStatus},
    output,
};

/// Compare two reports of `bench --json` for differences beyond the spread of the rounds
///
/// Points are matched by clients, record size, backend and rate. A figure differs if every round of B is on the same side of
/// every round of A; that needs at least three rounds on both sides. The maximum, and percentiles with fewer than ten appends
/// of a round beyond them, are shown but not judged. Differences of host, file system and options are listed first. Exits with
/// 1 if a figure of B is worse.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore bench -c 1,64 --rounds 5 --json > before.json
  ministore bench -c 1,64 --rounds 5 --json > after.json
  ministore compare before.json after.json
  ministore compare --tolerate 5 before.json after.json || echo slower    # in CI")]
pub(crate) struct Args {
    /// The baseline (-: standard input)
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// The report to judge
    #[arg(value_name = "B.json")]
    b: PathBuf,

    /// Ignore differences of the medians up to this percentage
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    tolerate: f64,

    /// Print the comparison as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=1e6).contains(&percent) => Ok(percent),
        _ => Err("not a percentage".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let (a, b) = (read::report(&args.a)?, read::report(&args.b)?);
    let comparison = comparison::compare(&a, &b, args.tolerate / 100.0);
    if comparison.points.is_empty() {
        let (a, b) = (args.a.display(), args.b.display());
        return Err(CliError::new(ExitStatus::BadData, format_args!("{b}: no point in common with {a}"))
            .hint("measure both with the same --clients, --record-bytes, --backend and --rate"));
    }
    if args.json {
        output::json(&comparison)?;
    } else {
        output::lines(report::lines(&comparison))?;
    }
    Ok(if comparison.worse { ExitStatus::ProblemFound } else { ExitStatus::Ok })
}
