//! Owns `ministore bench`: how fast this machine makes appends durable.

mod callers;
mod distribution;
mod intervals;
mod report;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    directory::OwnDirectory,
    exit::{Code, Failure},
    signals::Interrupts,
    store::{self, WriteArgs},
};
use callers::Load;
use report::Report;

/// Measure durable appends on a disk: the rate, and how long each one took
///
/// Every caller appends a record, waits until it is durable, and appends the next one (a closed loop). The
/// journal is made in a fresh directory inside DIR, which is removed afterwards; put DIR on the disk that matters.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore bench --callers 1 --dir /var/lib
  ministore bench --callers 256 --seconds 30 --hgrm latency.hgrm    # for HdrHistogram's plotter
  ministore bench --seconds 60 --hlog stages.hlog    # for HdrHistogram's log processor")]
pub(crate) struct Args {
    /// How many callers append at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    callers: u32,

    /// For how long, in seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// The size of a record as JSON, in bytes
    #[arg(long, value_name = "B", default_value_t = 300, value_parser = clap::value_parser!(u32).range(16..=1 << 24))]
    record_bytes: u32,

    /// The directory to measure in
    #[arg(long, value_name = "D", default_value = ".")]
    dir: PathBuf,

    #[command(flatten)]
    write: WriteArgs,

    /// Write the distribution of the latencies (microseconds) to FILE, as HdrHistogram prints it
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,

    /// Write what each stage of the commits took, a second at a time, to FILE, as HdrHistogram's interval log
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0".to_owned()),
    }
}

/// As many archived segments as the journal needs to rotate: a long run must not fill the disk.
const SEGMENTS_KEPT: usize = 2;

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let interrupts = Interrupts::listen(|| {})?;
    let directory = OwnDirectory::create_in(&args.dir, "bench")?;
    let journal = directory.path().join("journal.jsonl");
    let store = store::open(args.write.options().max_segments(SEGMENTS_KEPT), &journal)?;

    let begun = Instant::now();
    let load = Load { callers: args.callers, record: record(args.record_bytes), until: begun + args.seconds };
    let run = || callers::run(&store, &load, &interrupts).map_err(|error| Failure::store(&journal, &error));
    let ran = match &args.hlog {
        Some(file) => intervals::log_while(&store, file, run),
        None => run(),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let closed = store.blocking().close().map_err(|error| Failure::store(&journal, &error));
    let latency = ran?;
    closed?;
    directory.remove()?;

    let report = Report { args, seconds, stats: store.stats(), latency };
    if args.json {
        report.print_json()?
    } else {
        report.print()?
    }
    if let Some(file) = &args.hgrm {
        distribution::write_file(&report.latency, file)?;
    }
    Ok(interrupts.raised().unwrap_or(Code::Ok))
}

/// One JSON object of so many bytes.
fn record(bytes: u32) -> Bytes {
    const FRAME: &str = "{\"event\":\"\"}";
    let filler = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(FRAME.len());
    format!("{{\"event\":\"{}\"}}", "x".repeat(filler)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_size_asked_for_and_is_json() {
        for bytes in [16, 300] {
            let record = record(bytes);
            assert_eq!(record.len(), bytes as usize);
            assert!(serde_json::from_slice::<serde_json::Value>(&record).is_ok());
        }
    }

    #[test]
    fn no_time_at_all_is_refused() {
        assert!(["0", "-1", "x", "inf"].map(seconds).iter().all(Result::is_err));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
    }
}
