//! A disk becomes full, and then has space again.

use std::{fs, io, path::Path, process};

use ministore_faultfs::mounts::{LoopDevice, Mount, run as run_tool, temp_dir};
use tempfile::TempDir;

use super::{
    Context, Fault,
    child_process::{ChildEvent, ChildProcess},
    integrity::{IntegrityReport, SubmittedRecords},
    report::{OutcomeCounts, Table, words},
    template,
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

const DISK_BYTES: u64 = 16 << 20;

/// The size of the file that is deleted later.
const BALLAST_BYTES: u64 = 6 << 20;

/// The size of the records, and their largest number: more than the disk can store.
const FILL_BYTES: usize = 16 << 10;
const MAX_RECORDS: u64 = DISK_BYTES / FILL_BYTES as u64 + 64;

/// The number of appends after the first failed one, and after space was freed.
const APPENDS_AFTER: u64 = 8;

/// A segment size of which several files fit on the disk.
const SEGMENT_BYTES: u64 = 2 << 20;

struct LoopDisk {
    // They are dropped in this order.
    _mount: Mount,
    _device: LoopDevice,
    mount_point: TempDir,
}

impl LoopDisk {
    fn create() -> io::Result<Self> {
        let (device, _) = LoopDevice::in_memory(DISK_BYTES)?;
        let mut mkfs = process::Command::new("mkfs.ext4");
        run_tool(mkfs.args(["-q", "-F", "-m", "0", "-O", "^has_journal"]).arg(device.path()))?;
        let mount_point = temp_dir()?;
        Ok(Self {
            _mount: Mount::new(&device, mount_point.path(), "ext4", c"")?,
            _device: device,
            mount_point,
        })
    }
}

pub const FAULT: Fault = Fault {
    id: "disk-full",
    description: |_| {
        format!(
            "An ext4 of {} MiB on a loop device, {} MiB of it used by another file; records of {} KiB until one append fails; \
             {APPENDS_AFTER} more are tried; the other file is deleted and {APPENDS_AFTER} more are tried; the log is closed, opened \
             again and read.",
            DISK_BYTES >> 20,
            BALLAST_BYTES >> 20,
            FILL_BYTES >> 10
        )
    },
    requirement: small_disk_available,
    test,
    notes: &[
        "okaywal's file is a growing one here, as in all of these tests; walrus-rust's is sparse. What happens when the disk is \
         full is documented by ministore-uring only (\"a full disk fails the appends that did not fit, loses nothing \
         acknowledged, and the store works again once there is space\"); wal-db documents that a failed write leaves a gap at \
         which the log ends.",
    ],
};

fn test(_: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let disk = LoopDisk::create()?;
    let cells = fill_and_free(kind, disk.mount_point.path(), table)?;
    table.row(kind, cells);
    Ok(())
}

fn small_disk_available() -> Result<(), String> {
    LoopDisk::create().map(drop).map_err(|error| format!("no small disk can be made and mounted: {error}"))
}

#[derive(Default)]
struct AppendPhase {
    outcomes: OutcomeCounts,
    acked: u64,
    first_error: Option<String>,
}

fn append_records(
    process: &mut ChildProcess,
    submitted: &mut SubmittedRecords,
    from: u64,
    count: u64,
    until_error: bool,
) -> AppendPhase {
    let mut phase = AppendPhase::default();
    let mut number = from;
    while number < from + count {
        submitted.all.insert((0, number));
        let command = Command::Append { appender: 0, from: number, count: 1, fill_bytes: FILL_BYTES };
        let events = process.execute(&command);
        submitted.add_replies(&events);
        for event in events {
            let error = match event {
                ChildEvent::Reply(Reply::Acked(..)) => {
                    phase.acked += 1;
                    phase.outcomes.add("acknowledged");
                    continue;
                }
                ChildEvent::Reply(Reply::Refused(_, _, error)) => {
                    phase.outcomes.add("error");
                    words(&error)
                }
                ChildEvent::Reply(Reply::Panicked(panic)) => {
                    phase.outcomes.add("panic");
                    format!("panic: {}", words(&panic))
                }
                ChildEvent::Reply(_) => continue,
                ChildEvent::TimedOut(how) => {
                    phase.outcomes.add(how.as_str());
                    phase.first_error.get_or_insert(how);
                    return phase;
                }
                ChildEvent::Exited(how) => {
                    phase.outcomes.add("process gone");
                    phase.first_error.get_or_insert(words(&how));
                    return phase;
                }
            };
            phase.first_error.get_or_insert(error);
        }
        number += 1;
        if until_error && phase.first_error.is_some() {
            break;
        }
    }
    phase
}

fn fill_and_free(
    kind: LogKind,
    mount_point: &Path,
    table: &mut Table,
) -> io::Result<[(&'static str, String); 9]> {
    let ballast = mount_point.join("ballast");
    fs::write(&ballast, vec![1; usize::try_from(BALLAST_BYTES).map_err(io::Error::other)?])?;
    let log = mount_point.join("log");
    fs::create_dir(&log)?;
    let mut submitted = SubmittedRecords::default();
    let mut process = ChildProcess::start(kind, &log, SEGMENT_BYTES)?.opened(kind)?;
    let filling = append_records(&mut process, &mut submitted, 1, MAX_RECORDS, true);
    let full = append_records(&mut process, &mut submitted, 10_001, APPENDS_AFTER, false);
    fs::remove_file(&ballast)?;
    let freed = append_records(&mut process, &mut submitted, 20_001, APPENDS_AFTER, false);
    let close = match process.execute(&Command::Close).pop() {
        None => "closed".to_string(),
        Some(ChildEvent::TimedOut(how)) => how,
        Some(ChildEvent::Exited(_)) => "process gone".to_string(),
        Some(ChildEvent::Reply(other)) => words(&format!("{other:?}")),
    };
    drop(process);
    if filling.first_error.is_none() {
        table.record_violation(kind, "disk-full: no append failed");
    }
    if freed.acked != APPENDS_AFTER {
        table.record_violation(kind, format!("disk-full: after room was made: {}", freed.outcomes.summary()));
    }
    let (report, reopened, after) = reopen(kind, &log, &mut submitted)?;
    if report.as_ref().is_none_or(IntegrityReport::has_violations) {
        table.record_violation(kind, format!("disk-full: {reopened}: {report:?}"));
    }
    let count =
        |count: fn(&IntegrityReport) -> u64| report.as_ref().map_or("-".into(), |of| count(of).to_string());
    Ok([
        ("acknowledged until the first error", filling.acked.to_string()),
        ("the first error", filling.first_error.unwrap_or("none: all were acknowledged".to_string())),
        ("appends while full", full.outcomes.summary()),
        ("appends after room was made", freed.outcomes.summary()),
        ("close", close),
        ("opened again", reopened),
        ("acknowledged, missing", count(|report| report.missing)),
        ("invented", count(|report| report.invented)),
        ("appends after reopening", after),
    ])
}

/// Opens the log again. Returns the integrity report if it was readable, a description, and the outcomes of more
/// appends.
fn reopen(
    kind: LogKind,
    log: &Path,
    submitted: &mut SubmittedRecords,
) -> io::Result<(Option<IntegrityReport>, String, String)> {
    let (mut process, outcome) = template::open_and_read(kind, log, SEGMENT_BYTES, submitted)?;
    let (report, reopened) = match outcome.shortened(words) {
        Ok((_, report)) => {
            let there = report.rejected_but_stored;
            (Some(report), format!("read ({there} refused records there)"))
        }
        Err(failed) => (None, failed),
    };
    let after = match report {
        Some(_) => append_records(&mut process, submitted, 30_001, APPENDS_AFTER, false).outcomes.summary(),
        None => "-".to_string(),
    };
    Ok((report, reopened, after))
}
