//! `ministore bench`: measures durable appends.

mod arrivals;
mod clients;
mod distribution;
mod observer;
mod page;
mod plan;
mod recorder;
pub(crate) mod report;
mod round;
mod summary;
mod sweep;

use std::{path::PathBuf, time::Duration};

use ministore_uring::{Backend, SyncMode};

use crate::{
    exit::{CliError, ExitStatus},
    output,
    output_file::OutputFile,
    paths,
    signals::SignalHandler,
    store, units,
};
use observer::IntervalLog;
use plan::ClientCounts;
use sweep::Sweep;

/// Measure the rate and latency of durable appends on a disk
///
/// Every client appends a record, waits until it is durable, and appends the next one (closed loop). With --rate, appends are
/// due at fixed times, however slow the disk is (open loop), and their latency counts from when they were due, so that waiting
/// during a stall is included. Lists make a sweep: every combination is measured once per round. The journals are created in a
/// temporary directory inside DIR; choose DIR on the disk to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore bench -c 1 --dir /var/lib
  ministore bench -c 1,16,256 --rounds 5 --json > before.json    # for ministore compare
  ministore bench -c 1..=1024 --record-bytes 300,4KiB --rounds 3 -o bench.html
  ministore bench --rate 5000 -d 60s    # open loop: is the rate met, and at which latency?
  ministore bench -c 256 -d 30s --hgrm latency.hgrm    # for HdrHistogram's plotter
  ministore bench -d 1m --hlog stages.hlog    # for HdrHistogram's log processor

How to get meaningful results: docs/how-to/benchmark.md.")]
pub(crate) struct Args {
    /// Number of concurrent clients: a number, a list, or a doubling range (1..=1024). With --rate: the maximum number of
    /// appends in flight [default: 64, with --rate 1024]
    #[arg(long, short, value_name = "N", value_parser = plan::clients)]
    clients: Option<ClientCounts>,

    /// Open loop with this many appends per second, evenly spaced: a number or a list
    #[arg(long, short, value_name = "R", value_delimiter = ',', value_parser = plan::rate)]
    rate: Vec<f64>,

    /// How long each point is measured
    #[arg(long, short, value_name = "TIME", default_value = "5s", value_parser = plan::duration)]
    duration: Duration,

    /// How long the load runs before the measurement starts
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = plan::warm_up)]
    warm_up: Duration,

    /// How often each point is measured; reports median, minimum and maximum. `compare` needs at least 3
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// The size of a record (JSON): a size or a list
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "300", value_parser = plan::record_bytes)]
    record_bytes: Vec<u32>,

    /// The directory to measure in
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// The I/O interface for writes: one or a list
    #[arg(long, value_parser = store::backend_parser(), value_delimiter = ',', default_value = "auto")]
    backend: Vec<Backend>,

    /// How commits are made durable
    #[arg(long, value_parser = store::sync_mode_parser(), default_value = "auto")]
    sync_mode: SyncMode,

    /// Do not preallocate segments
    #[arg(long)]
    no_preallocate: bool,

    /// Never spin for a commit: less processor time, higher latency
    #[arg(long)]
    no_spin: bool,

    /// Delay commits this long to collect larger groups (500us, 2ms, …)
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = units::parse_duration)]
    commit_delay: Duration,

    /// Start a new segment when the current one reaches this size. Two rotated segments are kept
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = units::parse_size)]
    max_segment_bytes: u64,

    /// Write the latency distribution (microseconds) to FILE in the format of HdrHistogram. With several points, one file
    /// per point: FILE.16x300-auto.hgrm
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,

    /// Write the latency of each commit stage per interval to FILE as an HdrHistogram interval log. With several points, the
    /// tags begin with the point: 16x300-auto/…
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// Write a page with charts and tables to FILE, a self-contained HTML file
    #[arg(long, short = 'o', value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The default number of clients of a closed loop, and the maximum in flight of an open loop.
const CLIENTS: [u32; 2] = [64, 1024];

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let clients = match &args.clients {
        Some(ClientCounts(clients)) => clients.clone(),
        None => vec![CLIENTS[usize::from(!args.rate.is_empty())]],
    };
    let settings = plan::settings(&clients, &args.record_bytes, &args.backend, &args.rate)
        .map_err(|message| CliError::new(ExitStatus::Usage, message))?;
    let page_file = args.report.as_deref().map(OutputFile::create).transpose()?;
    let signals = SignalHandler::listen(|| {})?;
    let mut log = args.hlog.as_deref().map(IntervalLog::create).transpose()?;
    let directory = paths::temporary_directory_in(&args.dir, "bench").map_err(|error| {
        let failure = CliError::file(&args.dir, "create a directory in it", &error);
        if args.dir.is_dir() { failure } else { failure.hint("name an existing directory") }
    })?;
    let mut sweep = Sweep::new(args, settings);
    sweep.run(directory.path(), log.as_mut(), &signals)?;
    let (report, latencies) = sweep.report(directory.path())?;
    directory.close().map_err(|error| CliError::file(&args.dir, "remove the temporary directory", &error))?;

    if let (Some(path), Some(log)) = (&args.hlog, log) {
        log.finish(path)?;
    }
    if let Some(path) = &args.hgrm {
        let several = latencies.len() > 1;
        for (setting, latency) in &latencies {
            let path = if several { distribution::path_of(path, &setting.name()) } else { path.clone() };
            distribution::write_file(latency, &path)?;
        }
    }
    if let (Some(path), Some(file)) = (&args.report, page_file) {
        let page = page::render(&report).map_err(|error| CliError::new(ExitStatus::Internal, error))?;
        file.write(page.as_bytes()).map_err(|error| CliError::create(path, &error))?;
        file.persist()?;
    }
    if args.json {
        output::json(&report)?;
    } else {
        summary::print(&report)?;
    }
    Ok(signals.received().unwrap_or(ExitStatus::Ok))
}
