//! Power cuts at the block level, under real file systems: a disk that remembers every write and flush is made a file
//! system, journals are written in it, and what a power cut could have left is mounted and recovered. What was
//! acknowledged must be there.

mod args;
mod attack;
mod bench;
mod check;
mod crash;
mod crew;
mod expedite;
mod filesystem;
mod image;
mod line;
mod mark;
mod mounts;
mod promise;
mod random;
mod record;
mod recorder;
mod recording;
mod replay;
mod report;
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

use args::Command;
use attack::Orders;
use expedite::Expedited;
use filesystem::FileSystem;
use ministore_uring::{Backend, JournalOptions};

/// Exit status where something was lost.
const LOST: u8 = 1;

/// Exit status where nothing could be checked.
const NOT_CHECKED: u8 = 2;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            report::say(&format!("{error}\n{}", args::USAGE));
            return NOT_CHECKED.into();
        }
    };
    let outcome = match command {
        Command::Serve { dir, base } => serve(&dir, &base),
        Command::Work(plan) => work(&plan),
        Command::Replay { file_system, file, crash } => replay(file_system, &file, crash),
        Command::Extract { file, crash, image } => {
            replay::extract(&file, crash, &image).map(|()| ExitCode::SUCCESS)
        }
        Command::Attack(options) => attack(options),
    };
    outcome.unwrap_or_else(|error| {
        report::say(&format!("SKIPPED: {error}"));
        NOT_CHECKED.into()
    })
}

fn serve(dir: &Path, base: &Path) -> io::Result<ExitCode> {
    recorder::serve(recording::Recording::load(base)?.base, dir)?;
    Ok(ExitCode::SUCCESS)
}

fn work(plan: &workload::Plan) -> io::Result<ExitCode> {
    Ok(match workload::run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("workload: {error}"));
            LOST.into()
        }
    })
}

/// What every attack and replay begins with. The namespace comes before any thread.
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
    Ok(match replay::replay(file_system, file, crash, uring_runs())? {
        Ok(()) => {
            report::print("nothing is missing")?;
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            report::print(&trouble.to_string())?;
            LOST.into()
        }
    })
}

fn attack(options: args::Attack) -> io::Result<ExitCode> {
    let stop = prepare()?;
    let uring = uring_runs();
    let _expedited = options.expedite.then(Expedited::hold).transpose()?;
    let args::Attack { amount, seed, workers, keep, .. } = options;
    let orders = Orders { seed, amount, workers, keep, uring };
    let mut rows = Vec::new();
    for file_system in options.file_systems {
        if let Some(missing) = file_system.missing() {
            report::say(&format!("SKIPPED: {file_system}: {missing}"));
            continue;
        }
        rows.push((file_system, attack::attack(file_system, &orders, &stop)));
    }
    report::table(&rows, seed, uring)?;
    Ok(report::verdict(&rows, stop.load(Ordering::Relaxed)))
}

/// Whether the kernel lets us have io_uring; says so where not.
fn uring_runs() -> bool {
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
            report::say(&format!("SKIPPED: io_uring: {error}"));
            false
        }
    }
}
