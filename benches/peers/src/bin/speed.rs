//! Measures ministore-uring, other logs, and the limits of the machine, alternating within one run, and prints
//! tables with the medians, their ratios, and the targets.
//!
//! The exit code is 1 if a log lost acknowledged records or could not be measured, and 2 if the program itself
//! failed. Whether a target is met is printed and does not change the exit code, because it depends on the machine.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use ministore_peers::speed::{
    bench_case::BenchCase,
    charts, child,
    host::HostInfo,
    phases::Timing,
    plan::{BenchPlan, LARGE_RECORDS, TARGET_RECORDS, TARGET_ROUNDS},
    records::RecordKind,
    results::Results,
    slow_disk::{self, FUSE_VERB, SlowDisk},
    table, targets,
};

/// Measures ministore-uring, other logs, and the limits of the machine. The tables go to standard output, too.
#[derive(Debug, Parser)]
struct SpeedArgs {
    /// 2 rounds of 0.25 s, three numbers of callers, records of 300 B
    #[arg(long, conflicts_with = "targets")]
    quick: bool,
    /// Only what the targets need
    #[arg(long)]
    targets: bool,
    /// Only one caller and its floor, on disks whose syncs are delayed: 50us,1ms
    #[arg(long, value_name = "TIME,…", value_delimiter = ',', value_parser = delay, conflicts_with = "targets")]
    slow_disk: Vec<Duration>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    #[arg(long, value_name = "S", value_parser = seconds)]
    warm_up: Option<Duration>,
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    callers: Vec<u16>,
    /// Sizes of records; json:BYTES serializes them before the clock starts
    #[arg(long, value_name = "BYTES,…", value_delimiter = ',')]
    sizes: Vec<RecordKind>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: Option<u16>,
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_enum)]
    only: Vec<BenchCase>,
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', hide_possible_values = true)]
    also: Vec<BenchCase>,
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', hide_possible_values = true)]
    without: Vec<BenchCase>,
    /// Where the logs live, on a real file system [default: next to this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

impl SpeedArgs {
    fn plan(&self) -> BenchPlan {
        let mut plan = BenchPlan::default();
        if self.quick {
            plan.rounds = 2;
            plan.timing = Timing { window: Duration::from_millis(250), warm_up: Duration::from_millis(100) };
            plan.callers = vec![1, 16, 256];
            plan.kinds = vec![TARGET_RECORDS];
        }
        if self.targets {
            plan.targets_only = true;
            plan.rounds = TARGET_ROUNDS;
            plan.callers = vec![1, 4, 16, 64, 256, 2048];
            plan.kinds = vec![TARGET_RECORDS, LARGE_RECORDS];
        }
        if !self.slow_disk.is_empty() {
            plan.rounds = TARGET_ROUNDS;
            plan.callers = vec![1];
            plan.kinds = vec![TARGET_RECORDS];
            plan.cases = vec![
                BenchCase::Append,
                BenchCase::AppendBlocking,
                BenchCase::FloorDirect,
                BenchCase::FloorBuffered,
            ];
        }
        plan.rounds = self.rounds.map_or(plan.rounds, usize::from);
        plan.in_flight = self.in_flight.map_or(plan.in_flight, usize::from);
        plan.timing.window = self.seconds.unwrap_or(plan.timing.window);
        plan.timing.warm_up = self.warm_up.unwrap_or(plan.timing.warm_up);
        if !self.callers.is_empty() {
            plan.callers = self.callers.iter().copied().map(usize::from).collect();
        }
        if !self.sizes.is_empty() {
            plan.kinds.clone_from(&self.sizes);
        }
        if !self.only.is_empty() {
            plan.cases.clone_from(&self.only);
        }
        plan.cases.extend(&self.also);
        plan.cases.retain(|case| !self.without.contains(case));
        plan
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("must not be 0".into()) } else { Ok(time) }
}

fn delay(text: &str) -> Result<Duration, String> {
    let parse = |number: &str| number.parse().map_err(|error| format!("{error}"));
    match (text.strip_suffix("us"), text.strip_suffix("ms")) {
        (Some(micros), _) => parse(micros).map(Duration::from_micros),
        (_, Some(millis)) => parse(millis).map(Duration::from_millis),
        _ => Err("expected a number of microseconds or milliseconds, as in 300us or 1ms".into()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [verb, config, dir] if verb == child::VERB => config
            .to_str()
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
            .and_then(|config| child::serve(config, Path::new(dir)))
            .map(|()| true),
        [verb, rest @ ..] if verb == FUSE_VERB => ministore_faultfs::run(rest.iter().cloned()).map(|()| true),
        _ => {
            let arguments = SpeedArgs::parse();
            if arguments.slow_disk.is_empty() { run(&arguments) } else { run_on_slow_disks(&arguments) }
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // An error is ignored: standard error may be closed.
            writeln!(io::stderr(), "speed: {error}").ok();
            ExitCode::from(2)
        }
    }
}

/// Runs the measurements. Returns whether all succeeded without loss.
fn run(arguments: &SpeedArgs) -> io::Result<bool> {
    let program = std::env::current_exe()?;
    let dir = arguments.dir.as_deref().or_else(|| program.parent()).unwrap_or(Path::new("."));
    let dir = tempfile::Builder::new().prefix("speed-").tempdir_in(dir)?;
    let host = HostInfo::of(dir.path());
    let plan = arguments.plan();
    let results = measure(&plan, dir.path())?;
    if results.rows().next().is_none() {
        return Err(io::Error::other("nothing was to be measured"));
    }
    let markdown = format!("{}\n{}", head(&plan, &host), table::markdown(&results));
    writeln!(io::stdout(), "{markdown}")?;
    if let Some(path) = &arguments.markdown {
        fs::write(path, &markdown)?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, json(&plan, &host, &results))?;
    }
    if let Some(dir) = &arguments.svg {
        for name in charts::write(&results, dir)? {
            writeln!(io::stderr(), "speed: {}", dir.join(name).display())?;
        }
    }
    Ok(results.rows().all(|row| row.errors.is_empty()))
}

/// Measures one caller on each slow disk. Returns whether all measurements succeeded.
fn run_on_slow_disks(arguments: &SpeedArgs) -> io::Result<bool> {
    ministore_faultfs::mounts::enter_private_namespace()?;
    let plan = arguments.plan();
    let (mut lines, mut succeeded) = (String::new(), true);
    for &delay in &arguments.slow_disk {
        let disk = match SlowDisk::create(delay) {
            Ok(disk) => disk,
            Err(error) => {
                writeln!(io::stderr(), "SKIPPED: a disk with syncs of {delay:?}: {error}")?;
                continue;
            }
        };
        let results = measure(&plan, disk.path())?;
        succeeded &= results.rows().all(|row| row.errors.is_empty());
        lines.extend(slow_disk::table_line(delay, &results));
    }
    if lines.is_empty() {
        return Err(io::Error::other("no slow disk was measured"));
    }
    let host = HostInfo::of(&std::env::temp_dir());
    let markdown = format!("{}\n\n{}{lines}", head(&plan, &host), slow_disk::TABLE_HEAD);
    writeln!(io::stdout(), "{markdown}")?;
    if let Some(path) = &arguments.markdown {
        fs::write(path, &markdown)?;
    }
    Ok(succeeded)
}

fn measure(plan: &BenchPlan, dir: &Path) -> io::Result<Results> {
    let mut results = Results::default();
    for round in 0..plan.rounds {
        let mut configs = plan.round(round == 0);
        let count = configs.len();
        for (index, config) in configs.iter_mut().enumerate() {
            config.write_bytes = results.write_bytes_of(config);
            let outcome = child::measure(config, dir);
            let sent = match &outcome {
                Ok(measurement) => {
                    let rate = targets::grouped(measurement.records_per_second);
                    format!("{rate} records/s, p50 {} µs", targets::grouped(measurement.p50_us))
                }
                Err(error) => format!("NO FIGURES: {}", error.0),
            };
            writeln!(
                io::stderr(),
                "round {}/{}, {}/{}: {}, {} callers, {}: {sent}",
                round + 1,
                plan.rounds,
                index + 1,
                count,
                config.case.name(),
                config.callers,
                config.records
            )?;
            results.add(config, outcome);
        }
    }
    Ok(results)
}

fn versions_of(cases: &[BenchCase]) -> Vec<String> {
    let mut versions: Vec<String> = cases.iter().filter_map(|case| case.version()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn head(plan: &BenchPlan, host: &HostInfo) -> String {
    let versions = versions_of(&plan.cases).join(", ");
    format!(
        "Machine: {}.\nVersions: {versions}.\nMedians of {} rounds, each {} s after {} s of warm-up. submit and append_json: 2 \
         tasks with {} calls in flight each.",
        host.sentence(),
        plan.rounds,
        plan.timing.window.as_secs_f64(),
        plan.timing.warm_up.as_secs_f64(),
        plan.in_flight
    )
}

fn json(plan: &BenchPlan, host: &HostInfo, results: &Results) -> String {
    let rows: Vec<_> = results.rows().collect();
    let report = serde_json::json!({
        "machine": host,
        "versions": versions_of(&plan.cases),
        "rounds": plan.rounds,
        "timing": plan.timing,
        "in_flight_per_task": plan.in_flight,
        "targets": targets::evaluate(results),
        "rows": rows,
    });
    format!("{report:#}\n")
}
