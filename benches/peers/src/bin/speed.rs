//! Measures ministore-uring, other logs, and what the machine can do at best, in turn within one run, and prints tables
//! with the medians, their ratios, and the targets.
//!
//! Ends with exit code 1 where a log lost what it had acknowledged or gave no figures; with 2 where the program itself could
//! not do its work. Whether a target is met is told, and changes nothing: that depends on the machine.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use ministore_peers::speed::{
    child,
    entrant::Entrant,
    machine::Machine,
    pictures,
    plan::{Plan, TARGET_BYTES},
    results::Results,
    table, targets,
};

const USAGE: &str = "\
usage: speed [--quick | --targets] [--rounds N] [--seconds S] [--warm-up S] [--callers N,…] [--sizes BYTES,…]
             [--in-flight N] [--only NAME,…] [--also NAME,…] [--without NAME,…] [--dir DIR]
             [--markdown FILE] [--json FILE] [--svg DIR]

The tables go to standard output, too. DIR of --dir: where the logs live, on a real file system (default: beside this
program). --quick: 2 rounds of 0.25 s, three numbers of callers, records of 300 B. --targets: only what the targets need.
Names: ";

/// What was asked for.
struct Arguments {
    plan: Plan,
    dir: Option<PathBuf>,
    markdown: Option<PathBuf>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [verb, cell, dir] if verb == child::VERB => {
            cell.to_str().ok_or_else(usage).and_then(|cell| child::serve(cell, Path::new(dir))).map(|()| true)
        }
        _ => parse(&arguments).and_then(|arguments| run(&arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            writeln!(io::stderr(), "speed: {error}").ok();
            ExitCode::from(2)
        }
    }
}

fn usage() -> io::Error {
    let names: Vec<&str> = Entrant::ALL.iter().map(|entrant| entrant.name()).collect();
    io::Error::new(io::ErrorKind::InvalidInput, format!("{USAGE}{}", names.join(", ")))
}

fn parse(arguments: &[OsString]) -> io::Result<Arguments> {
    let mut parsed = Arguments { plan: Plan::default(), dir: None, markdown: None, json: None, svg: None };
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
            Some("--only") => plan.entrants = entrants(value()?)?,
            Some("--also") => plan.entrants.extend(entrants(value()?)?),
            Some("--without") => {
                let without = entrants(value()?)?;
                plan.entrants.retain(|entrant| !without.contains(entrant));
            }
            Some("--dir") => parsed.dir = Some(value()?.into()),
            Some("--markdown") => parsed.markdown = Some(value()?.into()),
            Some("--json") => parsed.json = Some(value()?.into()),
            Some("--svg") => parsed.svg = Some(value()?.into()),
            _ => return Err(usage()),
        }
    }
    let Plan { rounds, in_flight, timing, callers, .. } = &parsed.plan;
    if *rounds == 0 || *in_flight == 0 || timing.window.is_zero() || callers.contains(&0) {
        return Err(usage());
    }
    Ok(parsed)
}

fn quick(plan: &mut Plan) {
    plan.rounds = 2;
    plan.timing.window = Duration::from_millis(250);
    plan.timing.warm_up = Duration::from_millis(100);
    plan.callers = vec![1, 16, 256];
    plan.sizes = vec![TARGET_BYTES];
}

fn target_plan(plan: &mut Plan) {
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

fn entrants(value: &OsString) -> io::Result<Vec<Entrant>> {
    let text = value.to_str().ok_or_else(usage)?;
    text.split(',').map(|name| Entrant::named(name).ok_or_else(usage)).collect()
}

/// Whether everybody gave figures, and lost nothing.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let beside = std::env::current_exe()?;
    let dir = arguments.dir.as_deref().or_else(|| beside.parent()).ok_or_else(usage)?;
    let dir = tempfile::Builder::new().prefix("speed-").tempdir_in(dir)?;
    let machine = Machine::of(dir.path());
    let results = measure(&arguments.plan, dir.path())?;
    if results.rows().next().is_none() {
        return Err(io::Error::other("nothing was to be measured"));
    }
    let markdown = format!("{}\n{}", head(&arguments.plan, &machine), table::markdown(&results));
    writeln!(io::stdout(), "{markdown}")?;
    if let Some(path) = &arguments.markdown {
        fs::write(path, &markdown)?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, json(&arguments.plan, &machine, &results))?;
    }
    if let Some(dir) = &arguments.svg {
        for name in pictures::write(&results, dir)? {
            writeln!(io::stderr(), "speed: {}", dir.join(name).display())?;
        }
    }
    Ok(results.rows().all(|row| row.refusals.is_empty()))
}

fn measure(plan: &Plan, dir: &Path) -> io::Result<Results> {
    let mut results = Results::default();
    for round in 0..plan.rounds {
        let cells = plan.round(round == 0);
        for (index, cell) in cells.iter().enumerate() {
            let outcome = child::measure(cell, dir);
            let told = match &outcome {
                Ok(figures) => {
                    let rate = targets::grouped(figures.records_per_second);
                    format!("{rate} records/s, p50 {} µs", targets::grouped(figures.p50_us))
                }
                Err(refusal) => format!("NO FIGURES: {}", refusal.0),
            };
            writeln!(
                io::stderr(),
                "round {}/{}, {}/{}: {}, {} callers, {}: {told}",
                round + 1,
                plan.rounds,
                index + 1,
                cells.len(),
                cell.entrant.name(),
                cell.callers,
                table::size(cell.record_bytes)
            )?;
            results.add(cell, outcome);
        }
    }
    Ok(results)
}

fn versions_of(entrants: &[Entrant]) -> Vec<String> {
    let mut versions: Vec<String> = entrants.iter().filter_map(|entrant| entrant.version()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn head(plan: &Plan, machine: &Machine) -> String {
    let versions = versions_of(&plan.entrants).join(", ");
    format!(
        "Machine: {}.\nVersions: {versions}.\nMedians of {} rounds, each {} s after {} s of warm-up. submit and append_json: 2 \
         tasks with {} calls in flight each.",
        machine.sentence(),
        plan.rounds,
        plan.timing.window.as_secs_f64(),
        plan.timing.warm_up.as_secs_f64(),
        plan.in_flight
    )
}

fn json(plan: &Plan, machine: &Machine, results: &Results) -> String {
    let rows: Vec<_> = results.rows().collect();
    let report = serde_json::json!({
        "machine": machine,
        "versions": versions_of(&plan.entrants),
        "rounds": plan.rounds,
        "timing": plan.timing,
        "in_flight_per_task": plan.in_flight,
        "targets": targets::judge(results),
        "rows": rows,
    });
    format!("{report:#}\n")
}
