//! The command-line program `ministore`: NDJSON into a journal and out of it, and tools that look at, check,
//! mend and measure journals.
//!
//! This file owns nothing but the way from the arguments to a subcommand and from its outcome to an exit code.

mod args;
mod bench;
mod compare;
mod completions;
mod directory;
mod doctor;
mod exit;
mod get;
mod hint;
mod ingest;
mod inspect;
mod json;
mod latency;
mod machine;
mod man;
mod nearby;
mod output;
mod repair;
mod replay;
mod salvage;
mod signals;
mod store;
mod style;
mod transfer;
mod units;
mod verify;

use std::{io, process::ExitCode};

use clap::Parser;

use args::{Cli, Command};
use exit::{Code, Failure};
use style::Paint;
use transfer::{export, import};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log_to_stderr(cli.verbose);
    match run(cli.command) {
        Ok(code) => code.into(),
        Err(failure) => failure.tell().into(),
    }
}

fn run(command: Command) -> Result<Code, Failure> {
    match command {
        Command::Ingest(args) => ingest::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Compare(args) => compare::run(&args),
    }
}

/// Help and version are answers, not errors, though the parser hands them over as such.
fn usage(error: &clap::Error) -> ExitCode {
    let told = error.print();
    match (error.use_stderr(), told) {
        (true, _) => Code::Usage.into(),
        (false, Err(error)) => Failure::output(error).tell().into(),
        (false, Ok(())) => Code::Ok.into(),
    }
}

/// Standard output belongs to data: what the engine has to say goes to standard error.
fn log_to_stderr(verbose: bool) {
    let level = if verbose { tracing::Level::INFO } else { tracing::Level::WARN };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(Paint::of_stderr().is_on())
        .with_target(false)
        .without_time()
        .compact()
        .init();
}
