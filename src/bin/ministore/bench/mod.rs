//! Owns `ministore bench`: how fast this machine makes appends durable.

mod callers;
mod distribution;
mod observer;
pub(crate) mod outcome;
mod pace;
mod page;
mod plan;
mod recorder;
mod round;
mod summary;
mod sweep;

use std::{path::PathBuf, time::Duration};

use crate::{
    directory::OwnDirectory,
    exit::{Code, Failure},
    output,
    signals::Interrupts,
    store::{BackendName, SyncModeName},
    units,
};
use distribution::failure;
use observer::Log;
use plan::Callers;
use sweep::Sweep;

/// Measure durable appends on a disk: the rate, and how long each one took
///
/// Every caller appends a record, waits until it is durable, and appends the next one (a closed loop). With --rate
/// appends are due at fixed times instead, however slow the disk is at that moment (an open loop), and their latency
/// counts from when they were due: what waited behind a stall is told, too. Lists make a sweep: every combination is
/// measured once a round. The journals are made in a fresh directory inside DIR, which is removed afterwards; put DIR
/// on the disk that matters.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore bench --callers 1 --dir /var/lib
  ministore bench --callers 1,16,256 --rounds 5 --json > before.json    # for ministore compare
  ministore bench --callers 1..=1024 --record-bytes 300,4096 --rounds 3 --report bench.html
  ministore bench --rate 5000 --seconds 60    # open loop: is the rate kept, and at which latency?
  ministore bench --callers 256 --seconds 30 --hgrm latency.hgrm    # for HdrHistogram's plotter
  ministore bench --seconds 60 --hlog stages.hlog    # for HdrHistogram's log processor

How to measure a disk honestly: docs/benchmarking.md.")]
pub(crate) struct Args {
    /// How many callers append at the same time: a number, a list, or a range that doubles (1..=1024). With --rate:
    /// how many appends may be in flight [default: 64, with --rate 1024]
    #[arg(long, value_name = "N", value_parser = plan::callers)]
    callers: Option<Callers>,

    /// An open loop: so many appends a second are due, evenly; a number or a list
    #[arg(long, value_name = "R", value_delimiter = ',', value_parser = plan::rate)]
    rate: Vec<f64>,

    /// For how long each point is measured, in seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// For how long the load runs before that without being counted, in seconds
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = warm_up)]
    warm_up: Duration,

    /// How often each point is measured. Told are the median, the least and the greatest; `compare` wants 3 at least
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// The size of a record as JSON, in bytes: a number or a list
    #[arg(long, value_name = "B", value_delimiter = ',', default_value = "300", value_parser = clap::value_parser!(u32).range(16..=1 << 24))]
    record_bytes: Vec<u32>,

    /// The directory to measure in
    #[arg(long, value_name = "D", default_value = ".")]
    dir: PathBuf,

    /// What carries the writes to the disk: one or a list
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    backend: Vec<BackendName>,

    /// How commits are made durable
    #[arg(long, value_enum, default_value_t = SyncModeName::Auto)]
    sync_mode: SyncModeName,

    /// Do not write the file ahead of its records (for copy-on-write file systems, tiny disks, `tail -f`)
    #[arg(long)]
    no_write_ahead: bool,

    /// Wait so long for more appends before a group is committed: 500us, 2ms
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = plan::delay)]
    commit_delay: Duration,

    /// Rotate the journal when a segment has this size. Two segments are kept, whatever is written
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = units::parse_size)]
    segment_bytes: u64,

    /// Write the distribution of the latencies (microseconds) to FILE, as HdrHistogram prints it. Of several points each
    /// has a file of its own: FILE.16x300-auto.hgrm
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,

    /// Write what each stage of the commits took, interval by interval, to FILE, as HdrHistogram's interval log. Of
    /// several points the tags begin with the point: 16x300-auto/committed
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// Write a page with pictures and figures to FILE: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

/// How many callers there are unless told: of a closed loop, and at most of an open one.
const CALLERS: [u32; 2] = [64, 1024];

fn seconds(text: &str) -> Result<Duration, String> {
    match warm_up(text) {
        Ok(duration) if duration.is_zero() => Err("must be more than 0".to_owned()),
        other => other,
    }
}

fn warm_up(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(1_000_000) => Ok(duration),
        _ => Err("not a number of seconds from 0 to a million".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let callers = match &args.callers {
        Some(Callers(callers)) => callers.clone(),
        None => vec![CALLERS[usize::from(!args.rate.is_empty())]],
    };
    let settings = plan::settings(&callers, &args.record_bytes, &args.backend, &args.rate)
        .map_err(|message| Failure::new(Code::Usage, message))?;
    if let Some(path) = &args.report {
        page::check(path).map_err(|error| failure(path, &error))?;
    }
    let interrupts = Interrupts::listen(|| {})?;
    let mut log = match &args.hlog {
        Some(path) => Some((path, Log::create(path).map_err(|error| failure(path, &error))?)),
        None => None,
    };
    let directory = OwnDirectory::create_in(&args.dir, "bench")?;
    let mut sweep = Sweep::new(args, settings);
    let log_only = log.as_mut().map(|(_, log)| log);
    sweep.run(directory.path(), log_only, &interrupts)?;
    let (outcome, latencies) = sweep.outcome(directory.path());
    directory.remove()?;

    if let Some((path, log)) = log {
        log.finish().map_err(|error| failure(path, &error))?;
    }
    if let Some(path) = &args.hgrm {
        let several = latencies.len() > 1;
        for (setting, latency) in &latencies {
            let path = if several { distribution::path_of(path, &setting.name()) } else { path.clone() };
            distribution::write_file(latency, &path)?;
        }
    }
    if let Some(path) = &args.report {
        let page = page::render(&outcome).map_err(|error| Failure::new(Code::Internal, error))?;
        page::write(path, &page).map_err(|error| failure(path, &error))?;
    }
    if args.json {
        output::json(&outcome)?;
    } else {
        summary::print(&outcome)?;
    }
    Ok(interrupts.raised().unwrap_or(Code::Ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_at_all_is_refused_but_for_the_warm_up() {
        assert!(["0", "-1", "x", "inf", "NaN", "1e300"].map(seconds).iter().all(Result::is_err));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(warm_up("0"), Ok(Duration::ZERO));
    }
}
