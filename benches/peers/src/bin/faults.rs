//! Runs the same faults against ministore-uring and five other write-ahead logs, and prints the outcomes.
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

use ministore_peers::{
    faults::{self, Context, child, report},
    log_under_test::{LogKind, Settings},
};

const USAGE: &str = "\
usage: faults [--markdown | --json] [--rounds N] [--appenders N] [--seed N] [--dir DIR] [--only CONTESTANT]... [FAULT]...

Without --markdown or --json, both are written, to stdout and to stderr. DIR is where the logs live (a directory on a
real file system; default: the temporary directory). Faults: ";

/// Set if the program already runs in its own mount namespace.
const PRIVATE: &str = "MINISTORE_PEERS_PRIVATE_MOUNTS";

struct FaultsArgs {
    markdown: bool,
    json: bool,
    rounds: u64,
    appenders: usize,
    seed: u64,
    dir: PathBuf,
    kinds: Vec<LogKind>,
    faults: Vec<faults::Fault>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.first().and_then(|first| first.to_str()) {
        Some("child") => serve(&arguments).map(|()| true),
        _ => isolate(&arguments).and_then(|()| parse(&arguments)).and_then(|arguments| run(&arguments)),
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

/// `child CONTESTANT DIR SEGMENT_BYTES`
fn serve(arguments: &[OsString]) -> io::Result<()> {
    let text = |index: usize| arguments.get(index).and_then(|argument| argument.to_str());
    let kind = text(1).and_then(LogKind::from_name).ok_or_else(|| invalid("no such log"))?;
    let dir = PathBuf::from(arguments.get(2).ok_or_else(|| invalid("no directory"))?);
    let segment_bytes = text(3).and_then(|bytes| bytes.parse().ok()).ok_or_else(|| invalid("no size"))?;
    child::serve(kind, &dir, Settings { segment_bytes })
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
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

fn parse(arguments: &[OsString]) -> io::Result<FaultsArgs> {
    let mut parsed = FaultsArgs {
        markdown: false,
        json: false,
        rounds: 100,
        appenders: 4,
        seed: 1,
        dir: std::env::temp_dir(),
        kinds: Vec::new(),
        faults: Vec::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().and_then(|value| value.to_str()).ok_or_else(|| invalid(usage()));
        match argument.to_str() {
            Some("--markdown") => parsed.markdown = true,
            Some("--json") => parsed.json = true,
            Some("--rounds") => parsed.rounds = value()?.parse().map_err(|_| invalid(usage()))?,
            Some("--appenders") => parsed.appenders = value()?.parse().map_err(|_| invalid(usage()))?,
            Some("--seed") => parsed.seed = value()?.parse().map_err(|_| invalid(usage()))?,
            Some("--dir") => parsed.dir = PathBuf::from(value()?),
            Some("--only") => {
                parsed.kinds.push(LogKind::from_name(value()?).ok_or_else(|| invalid(usage()))?)
            }
            Some(name) => {
                let fault = faults::ALL.into_iter().find(|(id, _)| *id == name);
                parsed.faults.push(fault.ok_or_else(|| invalid(usage()))?);
            }
            None => return Err(invalid(usage())),
        }
    }
    if parsed.kinds.is_empty() {
        parsed.kinds = LogKind::ALL.to_vec();
    }
    if parsed.faults.is_empty() {
        parsed.faults = faults::ALL.to_vec();
    }
    if parsed.rounds == 0 || parsed.appenders == 0 {
        return Err(invalid(
            "--rounds and --appenders must be at least 1: a run that tried nothing shows nothing",
        ));
    }
    Ok(parsed)
}

fn usage() -> String {
    let faults: Vec<&str> = faults::ALL.iter().map(|(id, _)| *id).collect();
    let kinds: Vec<&str> = LogKind::ALL.iter().map(|kind| kind.name()).collect();
    format!("{USAGE}{}\nContestants: {}", faults.join(", "), kinds.join(", "))
}

/// Runs the faults. Returns whether ministore-uring had no violations.
fn run(arguments: &FaultsArgs) -> io::Result<bool> {
    let dir = tempfile::Builder::new().prefix("ministore-peers-").tempdir_in(&arguments.dir)?;
    let context = Context {
        kinds: arguments.kinds.clone(),
        dir: dir.path().to_path_buf(),
        seed: arguments.seed,
        rounds: arguments.rounds,
        appenders: arguments.appenders,
    };
    let versions = report::versions_line(&context.kinds);
    let both = arguments.markdown == arguments.json;
    if arguments.markdown || both {
        writeln!(io::stdout(), "Versions: {versions}.\n")?;
    }
    let mut tables = Vec::new();
    for (id, fault) in &arguments.faults {
        writeln!(io::stderr(), "faults: {id} …")?;
        let started = std::time::Instant::now();
        let table = fault(&context)?;
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
