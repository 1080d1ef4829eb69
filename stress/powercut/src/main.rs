//! Power cuts at the block level under real file systems. A disk that records every write and flush holds a file
//! system, and a workload writes journals in it. The images that a power cut could have left are mounted and recovered,
//! and must contain every acknowledged record.

mod acked_state;
mod args;
mod attack;
mod check;
mod crash;
mod expedite;
mod filesystem;
mod image_tester;
mod marker;
mod record;
mod replay;
mod report;
mod test_record;
mod workers;
mod workload;

use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use args::{Action, AttackArgs, CommandLine};
use clap::Parser;
use expedite::ExpeditedRcu;
use filesystem::FileSystem;
use ministore_faultfs::mounts;
use ministore_uring::{Backend, JournalOptions, MiniStoreError};

/// Exit status if a record was lost.
const LOST: u8 = 1;

/// Exit status if nothing could be checked.
const NOT_CHECKED: u8 = 2;

fn main() -> ExitCode {
    let CommandLine { action, attack } = CommandLine::parse();
    let outcome = match action {
        None => run_attacks(&attack),
        Some(Action::Serve { args }) => ministore_faultfs::run(args.into_iter()).map(|()| ExitCode::SUCCESS),
        Some(Action::Work { plan }) => work(&plan),
        Some(Action::Replay { file_system, recording, crash }) => {
            replay(file_system, &recording, crash.crash())
        }
        Some(Action::Extract { recording, crash, image }) => {
            replay::extract(&recording, crash.crash(), &image).map(|()| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        report::eprint_line(&format!("SKIPPED: {error}"));
        NOT_CHECKED.into()
    })
}

fn work(plan: &workload::WorkloadPlan) -> io::Result<ExitCode> {
    Ok(match workload::run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::eprint_line(&format!("workload: {error}"));
            LOST.into()
        }
    })
}

/// Prepares an attack or a replay. The namespace must be entered before any thread starts.
fn prepare() -> io::Result<Arc<AtomicBool>> {
    report::check_machine().map_err(io::Error::other)?;
    mounts::enter_private_namespace()?;
    mounts::remove_orphans();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn replay(file_system: FileSystem, file: &Path, crash: crash::Crash) -> io::Result<ExitCode> {
    prepare()?;
    Ok(match replay::replay(file_system, file, crash, is_uring_available())? {
        Ok(()) => {
            report::print_line("no record is missing")?;
            ExitCode::SUCCESS
        }
        Err(finding) => {
            report::print_line(&finding.to_string())?;
            LOST.into()
        }
    })
}

fn run_attacks(args: &AttackArgs) -> io::Result<ExitCode> {
    let stop = prepare()?;
    let uring = is_uring_available();
    let _expedited = args.expedite.then(ExpeditedRcu::enable).transpose()?;
    let mut rows = Vec::new();
    for &file_system in &args.fs {
        if let Some(reason) = file_system.unavailable_reason() {
            report::eprint_line(&format!("SKIPPED: {file_system}: {reason}"));
            continue;
        }
        rows.push((file_system, attack::attack(file_system, args, uring, &stop)));
    }
    report::print_table(&rows, args.seed, uring)?;
    Ok(report::exit_code(&rows, stop.load(Ordering::Relaxed)))
}

/// Returns `true` if io_uring is available. Prints a `SKIPPED` line if not.
fn is_uring_available() -> bool {
    let outcome = tempfile::tempdir().map_err(MiniStoreError::from).and_then(|dir| {
        let options = JournalOptions::new().backend(Backend::Uring);
        options.open_blocking(dir.path().join("probe"))?.blocking().close()
    });
    match outcome {
        Ok(()) => true,
        Err(error) => {
            report::eprint_line(&format!("SKIPPED: io_uring: {error}"));
            false
        }
    }
}
