//! The output of the program and its exit status.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use ministore_faultfs::mounts;

use crate::{LOST, NOT_CHECKED, attack::AttackStats, filesystem::FileSystem};

/// One file system and the result of its attack.
type ReportRow = (FileSystem, io::Result<AttackStats>);

/// A run shows too little if more than one image in this many cannot be mounted.
const UNMOUNTABLE_ONE_IN: usize = 20;

/// Prints a line to standard error and ignores errors.
pub(crate) fn eprint_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a line of the result to standard output.
pub(crate) fn print_line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Checks that the machine has everything that the tests need.
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

/// Prints one line per file system, then the findings.
pub(crate) fn print_table(rows: &[ReportRow], seed: u64, uring: bool) -> io::Result<()> {
    let workload = if uring { "uring+tokio-uring+blocking" } else { "blocking" };
    print_line(&format!(
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
            Ok(stats) => print_line(&format_row(*file_system, workload, stats))?,
            Err(error) => print_line(&format!("{file_system:<6} could not be checked: {error}"))?,
        }
    }
    for stats in rows.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()) {
        for finding in &stats.findings {
            print_line(finding)?;
        }
    }
    print_line(&format!("seed {seed}; 'too early' and 'no flush' are the losses that the controls must find"))
}

fn format_row(file_system: FileSystem, workload: &str, stats: &AttackStats) -> String {
    let images_per_second = stats.images as f64 / stats.checking.as_secs_f64().max(f64::MIN_POSITIVE);
    format!(
        "{:<6} {:<14} {:>5} {:>8} {:>8} {:>8} {:>7} {:>8} {:>7}K {:>6} {:>7} {:>9} {:>9} {:>8.1}",
        file_system,
        workload,
        stats.recordings,
        stats.records,
        stats.writes,
        stats.flushes,
        stats.points,
        stats.images,
        stats.max_pending_bytes >> 10,
        stats.findings.len(),
        stats.unmountable,
        stats.control_early,
        stats.control_ignored,
        images_per_second
    )
}

/// Returns success only if no record was lost, both controls found losses, and the run completed.
pub(crate) fn exit_code(rows: &[ReportRow], stopped: bool) -> ExitCode {
    let completed: Vec<&AttackStats> = rows.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).collect();
    if completed.iter().any(|stats| !stats.findings.is_empty()) {
        return LOST.into();
    }
    let is_mountable = |stats: &AttackStats| stats.unmountable * UNMOUNTABLE_ONE_IN <= stats.images;
    let is_conclusive = |stats: &&AttackStats| {
        stats.points > 0 && is_mountable(stats) && stats.control_early > 0 && stats.control_ignored > 0
    };
    if stopped || rows.is_empty() || completed.len() < rows.len() || !completed.iter().all(is_conclusive) {
        eprint_line(
            "SKIPPED: verdict: the run was stopped, a file system was not checked, or an expected loss was not found",
        );
        return NOT_CHECKED.into();
    }
    ExitCode::SUCCESS
}
