//! Owns `ministore compare`: whether one measurement differs from another beyond the spread of their rounds.

mod circumstances;
mod comparison;
mod read;
mod rule;
mod told;

use std::path::PathBuf;

use crate::{
    exit::{Code, Failure},
    output,
};

/// Compare two measurements of `bench --json`: what differs beyond the rounds' own spread
///
/// Points are matched by callers, record size, backend and rate. A figure differs where every round of B lies on the
/// same side of every round of A; with fewer than three rounds on either side nothing can be said. Percentiles with fewer than ten appends of a
/// round beyond them, and the maximum, are told and not judged. Where the machine,
/// the file system or the options differ, that is told first. Exit code 1: some figure of B is worse.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore bench --callers 1,64 --rounds 5 --json > before.json
  ministore bench --callers 1,64 --rounds 5 --json > after.json
  ministore compare before.json after.json
  ministore compare --tolerate 5 before.json after.json || echo slower    # in CI")]
pub(crate) struct Args {
    /// What is compared with (-: standard input)
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// What is judged
    #[arg(value_name = "B.json")]
    b: PathBuf,

    /// Differences of the medians up to so many percent do not count
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    tolerate: f64,

    /// The comparison as one JSON object
    #[arg(long)]
    json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=1e6).contains(&percent) => Ok(percent),
        _ => Err("not a number of percent".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let (a, b) = (read::outcome(&args.a)?, read::outcome(&args.b)?);
    let internal = |error| Failure::new(Code::Internal, error);
    let comparison = comparison::compare(&a, &b, args.tolerate / 100.0).map_err(internal)?;
    if comparison.points.is_empty() {
        let (a, b) = (args.a.display(), args.b.display());
        return Err(Failure::new(Code::BadData, format_args!("{b}: no point in common with {a}"))
            .hint("measure both with the same --callers, --record-bytes, --backend and --rate"));
    }
    if args.json {
        output::json(&comparison)?;
    } else {
        output::lines(told::lines(&comparison))?;
    }
    Ok(if comparison.worse { Code::Faults } else { Code::Ok })
}
