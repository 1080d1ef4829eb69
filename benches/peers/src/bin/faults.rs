//! Runs the same faults against ministore-uring and six other write-ahead logs, and prints the outcomes.
//!
//! The exit code is 1 only if ministore-uring lost, doubled or invented an acknowledged record, continued after a
//! failed sync, or broke another of its promises; it is 2 if the program itself failed.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use clap::{Parser, builder::PossibleValuesParser};
use ministore_peers::{
    faults::{self, Context, child, report},
    log_under_test::LogKind,
};

/// Set if the program already runs in its own mount namespace.
const PRIVATE: &str = "MINISTORE_PEERS_PRIVATE_MOUNTS";

/// Runs the same faults against ministore-uring and other write-ahead logs, and prints the outcomes.
#[derive(Debug, Parser)]
struct FaultsArgs {
    /// Without --markdown or --json, both are written, to stdout and to stderr
    #[arg(long)]
    markdown: bool,
    #[arg(long)]
    json: bool,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    appenders: u16,
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the logs live: a directory on a real file system
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The logs [default: all]
    #[arg(long, value_name = "LOG", value_parser = PossibleValuesParser::new(LogKind::ALL.map(LogKind::name)))]
    only: Vec<String>,
    /// The faults [default: all]
    #[arg(value_name = "FAULT", value_parser = PossibleValuesParser::new(faults::ALL.map(|fault| fault.id)))]
    faults: Vec<String>,
}

impl FaultsArgs {
    fn kinds(&self) -> Vec<LogKind> {
        let is_chosen =
            |kind: &LogKind| self.only.is_empty() || self.only.iter().any(|name| name == kind.name());
        LogKind::ALL.into_iter().filter(is_chosen).collect()
    }

    fn faults(&self) -> impl Iterator<Item = faults::Fault> {
        let is_chosen =
            |fault: &faults::Fault| self.faults.is_empty() || self.faults.iter().any(|id| id == fault.id);
        faults::ALL.into_iter().filter(is_chosen)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [verb, config] if verb == "child" => child::serve(&config.to_string_lossy()).map(|()| true),
        [verb, rest @ ..] if verb == "faultfs" => ministore_faultfs::run(rest.iter().cloned()).map(|()| true),
        _ => isolate(&arguments).and_then(|()| run(&FaultsArgs::parse())),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // An error is ignored: standard error may be closed.
            writeln!(io::stderr(), "faults: {error}").ok();
            ExitCode::from(2)
        }
    }
}

/// As root, runs the program again in its own mount namespace: its mounts end with it, and no other process keeps
/// them in use.
fn isolate(arguments: &[OsString]) -> io::Result<()> {
    if std::env::var_os(PRIVATE).is_some() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(arguments)
        .env(PRIVATE, "yes")
        .exec();
    writeln!(io::stderr(), "faults: no mount namespace of its own ({error}): continuing without")
}

/// Runs the faults. Returns whether ministore-uring had no violations.
fn run(arguments: &FaultsArgs) -> io::Result<bool> {
    let dir = tempfile::Builder::new().prefix("ministore-peers-").tempdir_in(&arguments.dir)?;
    let context = Context {
        kinds: arguments.kinds(),
        dir: dir.path().to_path_buf(),
        seed: arguments.seed,
        rounds: arguments.rounds,
        appenders: arguments.appenders.into(),
    };
    let versions = report::versions_line(&context.kinds);
    let both = arguments.markdown == arguments.json;
    if arguments.markdown || both {
        writeln!(io::stdout(), "Versions: {versions}.\n")?;
    }
    let mut tables = Vec::new();
    for fault in arguments.faults() {
        let id = fault.id;
        writeln!(io::stderr(), "faults: {id} …")?;
        let started = std::time::Instant::now();
        let table = fault.run(&context)?;
        writeln!(io::stderr(), "faults: {id}: {} s", started.elapsed().as_secs())?;
        if let Some(why) = &table.not_tested {
            writeln!(io::stderr(), "SKIPPED: {id}: {why}")?;
        }
        if arguments.markdown || both {
            writeln!(io::stdout(), "{}", table.markdown())?;
        }
        tables.push(table);
    }
    if arguments.json || both {
        let json = serde_json::json!({
            "versions": versions,
            "seed": context.seed,
            "rounds": context.rounds,
            "appenders": context.appenders,
            "tables": tables,
        });
        if arguments.json && !arguments.markdown {
            writeln!(io::stdout(), "{json:#}")?;
        } else {
            writeln!(io::stderr(), "{json}")?;
        }
    }
    let broken: Vec<&String> = tables.iter().flat_map(|table| &table.ours_broken).collect();
    for what in &broken {
        writeln!(io::stderr(), "BROKEN: ministore-uring: {what}")?;
    }
    if tables.iter().all(|table| table.not_tested.is_some()) {
        return Err(io::Error::other("no fault could be tested here"));
    }
    Ok(broken.is_empty())
}
