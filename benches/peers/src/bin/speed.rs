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

use ministore_peers::speed::{
    bench_case::BenchCase,
    charts, child,
    host::HostInfo,
    plan::{BenchPlan, TARGET_BYTES},
    results::Results,
    table, targets,
};

const USAGE: &str = "\
usage: speed [--quick | --targets] [--rounds N] [--seconds S] [--warm-up S] [--callers N,…] [--sizes BYTES,…]
             [--in-flight N] [--only NAME,…] [--also NAME,…] [--without NAME,…] [--dir DIR]
             [--markdown FILE] [--json FILE] [--svg DIR]

The tables go to standard output, too. DIR of --dir: where the logs live, on a real file system (default: next to this
program). --quick: 2 rounds of 0.25 s, three numbers of callers, records of 300 B. --targets: only what the targets need.
Names: ";

/// The command line.
struct SpeedArgs {
    plan: BenchPlan,
    dir: Option<PathBuf>,
    markdown: Option<PathBuf>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [verb, config, dir] if verb == child::VERB => config
            .to_str()
            .ok_or_else(usage)
            .and_then(|config| child::serve(config, Path::new(dir)))
            .map(|()| true),
        _ => parse(&arguments).and_then(|arguments| run(&arguments)),
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

fn usage() -> io::Error {
    let names: Vec<&str> = BenchCase::ALL.iter().map(|case| case.name()).collect();
    io::Error::new(io::ErrorKind::InvalidInput, format!("{USAGE}{}", names.join(", ")))
}

fn parse(arguments: &[OsString]) -> io::Result<SpeedArgs> {
    let mut parsed =
        SpeedArgs { plan: BenchPlan::default(), dir: None, markdown: None, json: None, svg: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(usage);
        let plan = &mut parsed.plan;
        match argument.to_str() {
            Some("--quick") => quick(plan),
            Some("--targets") => target_plan(plan),
            Some("--rounds") => plan.rounds = number(value()?)?,
            Some("--seconds") => plan.timing.window = seconds(value()?)?,
            Some("--warm-up") => plan.timing.warm_up = seconds(value()?)?,
            Some("--callers") => plan.callers = numbers(value()?)?,
            Some("--sizes") => plan.sizes = numbers(value()?)?,
            Some("--in-flight") => plan.in_flight = number(value()?)?,
            Some("--only") => plan.cases = cases(value()?)?,
            Some("--also") => plan.cases.extend(cases(value()?)?),
            Some("--without") => {
                let without = cases(value()?)?;
                plan.cases.retain(|case| !without.contains(case));
            }
            Some("--dir") => parsed.dir = Some(value()?.into()),
            Some("--markdown") => parsed.markdown = Some(value()?.into()),
            Some("--json") => parsed.json = Some(value()?.into()),
            Some("--svg") => parsed.svg = Some(value()?.into()),
            _ => return Err(usage()),
        }
    }
    let BenchPlan { rounds, in_flight, timing, callers, .. } = &parsed.plan;
    if *rounds == 0 || *in_flight == 0 || timing.window.is_zero() || callers.contains(&0) {
        return Err(usage());
    }
    Ok(parsed)
}

fn quick(plan: &mut BenchPlan) {
    plan.rounds = 2;
    plan.timing.window = Duration::from_millis(250);
    plan.timing.warm_up = Duration::from_millis(100);
    plan.callers = vec![1, 16, 256];
    plan.sizes = vec![TARGET_BYTES];
}

fn target_plan(plan: &mut BenchPlan) {
    plan.targets_only = true;
    plan.callers = vec![1, 16, 256, 2048];
    plan.sizes = vec![TARGET_BYTES];
}

fn number(value: &OsString) -> io::Result<usize> {
    value.to_str().and_then(|text| text.parse().ok()).ok_or_else(usage)
}

fn numbers(value: &OsString) -> io::Result<Vec<usize>> {
    let text = value.to_str().ok_or_else(usage)?;
    text.split(',').map(|number| number.parse().map_err(|_| usage())).collect()
}

fn seconds(value: &OsString) -> io::Result<Duration> {
    let seconds: f64 = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| usage())
}

fn cases(value: &OsString) -> io::Result<Vec<BenchCase>> {
    let text = value.to_str().ok_or_else(usage)?;
    text.split(',').map(|name| BenchCase::from_name(name).ok_or_else(usage)).collect()
}

/// Runs the measurements. Returns whether all succeeded without loss.
fn run(arguments: &SpeedArgs) -> io::Result<bool> {
    let program = std::env::current_exe()?;
    let dir = arguments.dir.as_deref().or_else(|| program.parent()).ok_or_else(usage)?;
    let dir = tempfile::Builder::new().prefix("speed-").tempdir_in(dir)?;
    let host = HostInfo::of(dir.path());
    let results = measure(&arguments.plan, dir.path())?;
    if results.rows().next().is_none() {
        return Err(io::Error::other("nothing was to be measured"));
    }
    let markdown = format!("{}\n{}", head(&arguments.plan, &host), table::markdown(&results));
    writeln!(io::stdout(), "{markdown}")?;
    if let Some(path) = &arguments.markdown {
        fs::write(path, &markdown)?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, json(&arguments.plan, &host, &results))?;
    }
    if let Some(dir) = &arguments.svg {
        for name in charts::write(&results, dir)? {
            writeln!(io::stderr(), "speed: {}", dir.join(name).display())?;
        }
    }
    Ok(results.rows().all(|row| row.errors.is_empty()))
}

fn measure(plan: &BenchPlan, dir: &Path) -> io::Result<Results> {
    let mut results = Results::default();
    for round in 0..plan.rounds {
        let configs = plan.round(round == 0);
        for (index, config) in configs.iter().enumerate() {
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
                configs.len(),
                config.case.name(),
                config.callers,
                table::size(config.record_bytes)
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
