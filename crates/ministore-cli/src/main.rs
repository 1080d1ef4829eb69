//! The command-line program `ministore`: appends JSON lines to a journal, reads them, and inspects, checks, repairs and
//! measures journals.
//!
//! This file only connects arguments to subcommands and their results to exit codes.

mod args;
mod backup;
mod bench;
#[cfg(test)]
mod command_lines;
mod compare;
mod completions;
mod doctor;
mod exit;
mod get;
mod hint;
mod host;
mod ingest;
mod input;
mod inspect;
mod json;
mod latency;
mod lines;
mod man;
mod output;
mod output_file;
mod ownership;
mod paths;
mod printable;
mod quarantine;
mod reader;
mod repair;
mod replay;
mod restore;
mod salvage;
mod serve;
mod signals;
mod store;
mod style;
mod suggest;
mod transfer;
mod units;
mod verify;

use std::{env, ffi::OsString, io, process::ExitCode};

use clap::{Parser, error::ErrorKind};

use args::{Cli, Command};
use exit::{CliError, EventFormat, ExitStatus, LogFormat};
use printable::printable;
use transfer::{export, import};

fn main() -> ExitCode {
    let raw: Vec<OsString> = env::args_os().collect();
    // Errors of the argument parser obey --color and --json, too.
    args::early_color(&raw).apply();
    exit::set_json(args::early_json(&raw));
    exit::set_format(args::early_log_format(&raw));
    let cli = match Cli::try_parse_from(&raw) {
        Ok(cli) => cli,
        Err(error) => return usage(&with_printable_names(error, &raw), &raw),
    };
    cli.color().apply();
    exit::set_json(cli.command.wants_json());
    exit::set_quiet(cli.quiet);
    exit::set_format(cli.log_format);
    // Standard output is for data.
    let log = tracing_subscriber::fmt().with_max_level(cli.log_level()).with_writer(io::stderr);
    log.event_format(EventFormat).init();
    let checked = cli.command.journal().map_or(Ok(()), ownership::check_standard_outputs);
    match checked.and_then(|()| signals::ignore_file_size_signal()).and_then(|()| run(cli.command)) {
        Ok(status) => status.into(),
        Err(error) => error.print().into(),
    }
}

fn run(command: Command) -> Result<ExitStatus, CliError> {
    match command {
        Command::Ingest(args) => ingest::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Tail(args) => replay::tail(args),
        Command::Get(args) => get::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Compare(args) => compare::run(&args),
    }
}

/// Returns the same error with [`printable`] arguments: the parser quotes them as they are.
fn with_printable_names(error: clap::Error, raw: &[OsString]) -> clap::Error {
    let text = |arg: &OsString| printable(&arg.to_string_lossy()).into_owned();
    match raw.iter().any(|arg| arg.to_string_lossy().contains(printable::is_unprintable)) {
        true => Cli::try_parse_from(raw.iter().map(text)).err().unwrap_or(error),
        false => error,
    }
}

/// Reports an error of the argument parser, which also returns help and version texts as errors.
fn usage(error: &clap::Error, raw: &[OsString]) -> ExitCode {
    if error.kind() == ErrorKind::UnknownArgument && args::is_ingest_with_listen(raw) {
        let error = CliError::new(ExitStatus::Usage, "ingest reads files and standard input, not sockets");
        return error.hint("use ministore serve JOURNAL --listen ADDR").print().into();
    }
    if !error.use_stderr() {
        return match error.print() {
            Err(error) => CliError::output(error).print().into(),
            Ok(()) => ExitStatus::Ok.into(),
        };
    }
    if exit::is_json() || args::early_log_format(raw) == LogFormat::Json {
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let words: Vec<_> = message.split_whitespace().collect();
        return CliError::new(ExitStatus::Usage, words.join(" ")).print().into();
    }
    exit::usage(error);
    ExitStatus::Usage.into()
}
