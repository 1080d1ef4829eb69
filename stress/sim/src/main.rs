//! Runs random seeds for some minutes, or one seed, and prints the totals. If a guarantee is violated, it prints the command
//! that repeats the run and exits with 1.

#![allow(clippy::print_stdout, reason = "a program")]

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use clap::Parser;
use ministore_sim::{Failure, Lie, RunStats, run};

/// The number of operations that are printed before a failure.
const TRACE_LINES: usize = 150;

/// Random runs of a journal on a simulated disk.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long random seeds are run
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    minutes: f64,
    /// How many seeds are run; without this and --minutes one run
    #[arg(long, value_name = "N", default_value_t = 0)]
    runs: u64,
    /// The first seed [default: the time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// What the disk lies about
    #[arg(long, value_name = "NAME")]
    lie: Option<Lie>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
