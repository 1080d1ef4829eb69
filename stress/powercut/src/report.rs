//! What is printed, and the exit status.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use crate::{LOST, NOT_CHECKED, attack::Tally, filesystem::FileSystem, mounts};

/// One file system and what came of it.
type Row = (FileSystem, io::Result<Tally>);

/// Where more than one image in so many cannot be mounted, the run shows too little.
const UNMOUNTABLE_ONE_IN: usize = 20;

/// To a person, on stderr. Where even that fails there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The result, on stdout.
pub(crate) fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Why nothing can be tested on this machine, if so.
pub(crate) fn check_machine() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("power cuts: needs root (mounts, loop devices)".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(device).exists() {
            return Err(format!("power cuts: needs {device}"));
        }
    }
    let losetup = mounts::run(std::process::Command::new("losetup").arg("--version"));
    losetup.map(drop).map_err(|error| format!("power cuts: needs losetup: {error}"))
}

/// One line a file system, troubles below.
pub(crate) fn table(rows: &[Row], seed: u64, uring: bool) -> io::Result<()> {
    let workload = if uring { "uring+blocking" } else { "blocking" };
    print(&format!(
        "{:<6} {:<14} {:>5} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8} {:>6} {:>7} {:>9} {:>9} {:>8}",
        "fs",
        "workload",
        "runs",
        "records",
        "writes",
        "flushes",
        "points",
        "images",
        "pending",
        "lost",
        "fs torn",
        "too early",
        "no flush",
        "images/s"
    ))?;
    for (file_system, outcome) in rows {
        match outcome {
            Ok(tally) => print(&row(*file_system, workload, tally))?,
            Err(error) => print(&format!("{file_system:<6} could not be checked: {error}"))?,
        }
    }
    for tally in rows.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()) {
        for trouble in &tally.troubles {
            print(trouble)?;
        }
    }
    print(&format!("seed {seed}; 'too early' and 'no flush' are losses that had to be found"))
}

fn row(file_system: FileSystem, workload: &str, tally: &Tally) -> String {
    let images_per_second = tally.images as f64 / tally.checking.as_secs_f64().max(f64::MIN_POSITIVE);
    format!(
        "{:<6} {:<14} {:>5} {:>8} {:>8} {:>8} {:>7} {:>8} {:>7}K {:>6} {:>7} {:>9} {:>9} {:>8.1}",
        file_system,
        workload,
        tally.recordings,
        tally.records,
        tally.writes,
        tally.flushes,
        tally.moments,
        tally.images,
        tally.pending_bytes_max >> 10,
        tally.troubles.len(),
        tally.unmountable,
        tally.control_early,
        tally.control_ignored,
        images_per_second
    )
}

/// Nothing lost counts only where losses are found that must be there, and where the run came to its end.
pub(crate) fn verdict(rows: &[Row], stopped: bool) -> ExitCode {
    let tallies: Vec<&Tally> = rows.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).collect();
    if tallies.iter().any(|tally| !tally.troubles.is_empty()) {
        return LOST.into();
    }
    let mounted = |tally: &Tally| tally.unmountable * UNMOUNTABLE_ONE_IN <= tally.images;
    let checked = |tally: &&Tally| {
        tally.moments > 0 && mounted(tally) && tally.control_early > 0 && tally.control_ignored > 0
    };
    if stopped || rows.is_empty() || tallies.len() < rows.len() || !tallies.iter().all(checked) {
        say(
            "SKIPPED: the verdict: the run was stopped, a file system was not checked, or an expected loss was not found",
        );
        return NOT_CHECKED.into();
    }
    ExitCode::SUCCESS
}
