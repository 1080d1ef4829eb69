//! Runs random seeds for some minutes, or one seed, and prints the totals. If a guarantee is violated, it prints the command
//! that repeats the run and exits with 1.

#![allow(clippy::print_stdout, reason = "a program")]

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use ministore_sim::{Failure, Lie, RunStats, run};

/// The number of operations that are printed before a failure.
const TRACE_LINES: usize = 150;

struct Arguments {
    minutes: f64,
    runs: u64,
    seed: Option<u64>,
    lie: Option<Lie>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => {
            println!("{text}\n\nusage: ministore-sim [--minutes N] [--runs N] [--seed S] [--lie NAME]");
            return ExitCode::from(2);
        }
    };
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let first = arguments.seed.unwrap_or(clock.as_nanos() as u64 % 1_000_000_000 * 1000);
    let runs = if arguments.seed.is_some() && arguments.minutes == 0.0 {
        arguments.runs.max(1)
    } else {
        arguments.runs
    };
    let started = Instant::now();
    let mut total = RunStats::default();
    for seed in first.. {
        match run(seed, arguments.lie) {
            Ok(stats) => total += stats,
            Err(failure) => {
                print!("{}", total.report(started.elapsed().as_secs_f64()));
                report(&failure, arguments.lie);
                return ExitCode::FAILURE;
            }
        }
        let is_over = started.elapsed() >= Duration::from_secs_f64(arguments.minutes * 60.0);
        if (runs > 0 && total.runs >= runs) || (runs == 0 && is_over) {
            break;
        }
    }
    println!("seeds {first} to {}", first + total.runs - 1);
    print!("{}", total.report(started.elapsed().as_secs_f64()));
    ExitCode::SUCCESS
}

fn report(failure: &Failure, lie: Option<Lie>) {
    println!("\nseed {}: {}", failure.seed, failure.what);
    let trace = ministore_sim::trace(failure.seed, lie);
    for line in &trace[trace.len().saturating_sub(TRACE_LINES)..] {
        println!("    {line}");
    }
    let lie = lie.map_or_else(String::new, |lie| format!(" --lie {lie:?}"));
    println!("\nrepeat: cargo run --release -p ministore-sim -- --seed {}{lie}", failure.seed);
}

fn parse(mut values: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { minutes: 0.0, runs: 0, seed: None, lie: None };
    while let Some(name) = values.next() {
        let value = values.next().ok_or_else(|| format!("{name}: a value is missing"))?;
        let invalid = || format!("{name}: invalid value {value}");
        match name.as_str() {
            "--minutes" => arguments.minutes = value.parse().map_err(|_| invalid())?,
            "--runs" => arguments.runs = value.parse().map_err(|_| invalid())?,
            "--seed" => arguments.seed = Some(value.parse().map_err(|_| invalid())?),
            "--lie" => {
                let lie = Lie::ALL.into_iter().find(|lie| format!("{lie:?}") == value);
                arguments.lie = Some(lie.ok_or_else(invalid)?);
            }
            _ => return Err(format!("{name}: unknown")),
        }
    }
    Ok(arguments)
}
