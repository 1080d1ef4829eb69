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
mod image;
mod image_tester;
mod marker;
mod mounts;
mod random;
mod record;
mod recorder;
mod recording;
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

use args::Action;
use attack::AttackConfig;
use expedite::ExpeditedRcu;
use filesystem::FileSystem;
use ministore_uring::{Backend, JournalOptions};

/// Exit status if a record was lost.
const LOST: u8 = 1;

/// Exit status if nothing could be checked.
const NOT_CHECKED: u8 = 2;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            report::eprint_line(&format!("{error}\n{}", args::USAGE));
            return NOT_CHECKED.into();
        }
    };
    let outcome = match command {
        Action::Serve { dir, base } => serve(&dir, &base),
        Action::Work(plan) => work(&plan),
        Action::Replay { file_system, file, crash } => replay(file_system, &file, crash),
        Action::Extract { file, crash, image } => {
            replay::extract(&file, crash, &image).map(|()| ExitCode::SUCCESS)
        }
        Action::Attack(options) => attack(options),
    };
    outcome.unwrap_or_else(|error| {
        report::eprint_line(&format!("SKIPPED: {error}"));
        NOT_CHECKED.into()
    })
}

fn serve(dir: &Path, base: &Path) -> io::Result<ExitCode> {
    recorder::serve(recording::Recording::load(base)?.base, dir)?;
    Ok(ExitCode::SUCCESS)
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
    mounts::detach_orphans();
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

fn attack(options: args::AttackArgs) -> io::Result<ExitCode> {
    let stop = prepare()?;
    let uring = is_uring_available();
    let _expedited = options.expedite.then(ExpeditedRcu::enable).transpose()?;
    let args::AttackArgs { run_length, seed, workers, keep, .. } = options;
    let config = AttackConfig { seed, run_length, workers, keep, uring };
    let mut rows = Vec::new();
    for file_system in options.file_systems {
        if let Some(reason) = file_system.unavailable_reason() {
            report::eprint_line(&format!("SKIPPED: {file_system}: {reason}"));
            continue;
        }
        rows.push((file_system, attack::attack(file_system, &config, &stop)));
    }
    report::print_table(&rows, seed, uring)?;
    Ok(report::exit_code(&rows, stop.load(Ordering::Relaxed)))
}

/// Returns `true` if io_uring is available. Prints a `SKIPPED` line if not.
fn is_uring_available() -> bool {
    let path = std::env::temp_dir().join(format!("ministore-powercut-{}-probe", std::process::id()));
    let opened = JournalOptions::new().backend(Backend::Uring).open_blocking(&path);
    let outcome = opened.and_then(|store| store.blocking().close());
    for suffix in ["", ".lock", ".next"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    match outcome {
        Ok(()) => true,
        Err(error) => {
            report::eprint_line(&format!("SKIPPED: io_uring: {error}"));
            false
        }
    }
}
