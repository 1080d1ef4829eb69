//! A disk that is full, and then is not.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Context,
    judge::{Handed, Judgement},
    report::{Table, Tally, words},
    served::{Event, Opening, Served},
    template::{self, Fate},
    wire::{Order, Said},
};
use crate::contestant::{Kind, Settings};

/// How large the disk is.
const DISK_BYTES: u64 = 16 << 20;

/// What takes the room that is freed later.
const BALLAST_BYTES: u64 = 6 << 20;

/// How large the records are, and how many are handed over at most: more than the disk holds.
const FILL_BYTES: usize = 16 << 10;
const RECORDS_MAX: u64 = DISK_BYTES / FILL_BYTES as u64 + 64;

/// How many appends are tried after the first that failed, and after room was made.
const AFTERWARDS: u64 = 8;

/// Files of a size that several fit on the disk.
const SETTINGS: Settings = Settings { segment_bytes: 2 << 20 };

/// A small ext4 in a file, mounted; unmounted when dropped.
struct Disk {
    mounted: PathBuf,
}

impl Disk {
    fn make(dir: &Path) -> io::Result<Self> {
        let image = dir.join("disk.img");
        let mounted = dir.join("mounted");
        fs::create_dir_all(&mounted)?;
        fs::File::create(&image)?.set_len(DISK_BYTES)?;
        called(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-O", "^has_journal"]).arg(&image))?;
        called(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        Ok(Self { mounted })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing better is to be done: the mount namespace ends with the program.
        called(Command::new("umount").arg("--lazy").arg(&self.mounted)).ok();
    }
}

/// Runs a system tool.
fn called(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_program().display().to_string();
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Fills a disk under every contestant.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "disk-full",
        format!(
            "An ext4 of {} MiB on a loop device, {} MiB of it taken by another file; records of {} KiB until one append fails; \
             {AFTERWARDS} more are tried; the other file is deleted and {AFTERWARDS} more are tried; the log is closed, opened \
             again and read.",
            DISK_BYTES >> 20,
            BALLAST_BYTES >> 20,
            FILL_BYTES >> 10
        ),
        &[
            "acknowledged until the first error",
            "the first error",
            "appends while full",
            "appends after room was made",
            "close",
            "opened again",
            "acknowledged, missing",
            "invented",
            "appends after reopening",
        ],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("disk-full", kind)?;
        let disk = match Disk::make(&dir) {
            Ok(disk) => disk,
            Err(error) => {
                table.not_tested = Some(format!("no small disk can be made and mounted: {error}"));
                return Ok(table);
            }
        };
        let cells = fill(kind, &disk.mounted, &mut table)?;
        table.row(kind, cells);
    }
    table.notes.push(
        "okaywal's file is a growing one here, as in all of these tests; walrus-rust's is sparse. What happens when the disk is \
         full is documented by ministore-uring only (\"a full disk fails the appends that did not fit, loses nothing \
         acknowledged, and the store works again once there is room\"); wal-db documents that a failed write leaves a gap at \
         which the log ends."
            .to_string(),
    );
    Ok(table)
}

/// What a stretch of appends came to.
#[derive(Default)]
struct Stretch {
    outcomes: Tally,
    acked: u64,
    first_error: Option<String>,
}

fn appends(served: &mut Served, handed: &mut Handed, from: u64, count: u64, until_error: bool) -> Stretch {
    let mut stretch = Stretch::default();
    let mut number = from;
    while number < from + count {
        handed.over.insert((0, number));
        let order = Order::Append { appender: 0, from: number, count: 1, fill_bytes: FILL_BYTES };
        for event in served.carry_out(&order) {
            let error = match event {
                Event::Said(Said::Acked(appender, number)) => {
                    handed.ack(appender, number);
                    stretch.acked += 1;
                    stretch.outcomes.add("acknowledged");
                    continue;
                }
                Event::Said(Said::Refused(appender, number, error)) => {
                    handed.refuse(appender, number);
                    stretch.outcomes.add("error");
                    words(&error)
                }
                Event::Said(Said::Panicked(panic)) => {
                    stretch.outcomes.add("panic");
                    format!("panic: {}", words(&panic))
                }
                Event::Said(_) => continue,
                Event::Silent(how) => {
                    stretch.outcomes.add(how.as_str());
                    stretch.first_error.get_or_insert(how);
                    return stretch;
                }
                Event::Ended(how) => {
                    stretch.outcomes.add("process gone");
                    stretch.first_error.get_or_insert(words(&how));
                    return stretch;
                }
            };
            stretch.first_error.get_or_insert(error);
        }
        number += 1;
        if until_error && stretch.first_error.is_some() {
            break;
        }
    }
    stretch
}

fn fill(kind: Kind, mounted: &Path, table: &mut Table) -> io::Result<Vec<String>> {
    let ballast = mounted.join("ballast");
    fs::write(&ballast, vec![1; usize::try_from(BALLAST_BYTES).map_err(io::Error::other)?])?;
    let log = mounted.join("log");
    fs::create_dir(&log)?;
    let mut handed = Handed::default();
    let mut served = Served::start(kind, &log, SETTINGS)?;
    let opening = served.opened();
    if !matches!(opening, Opening::Open(_)) {
        return Err(io::Error::other(format!("{}: does not open: {opening:?}", kind.name())));
    }
    let filling = appends(&mut served, &mut handed, 1, RECORDS_MAX, true);
    let full = appends(&mut served, &mut handed, 10_001, AFTERWARDS, false);
    fs::remove_file(&ballast)?;
    let freed = appends(&mut served, &mut handed, 20_001, AFTERWARDS, false);
    let close = match served.carry_out(&Order::Close).pop() {
        None => "closed".to_string(),
        Some(Event::Silent(how)) => how,
        Some(Event::Ended(_)) => "process gone".to_string(),
        Some(Event::Said(other)) => words(&format!("{other:?}")),
    };
    drop(served);
    if filling.first_error.is_none() {
        table.blame(kind, "disk-full: no append failed");
    }
    if freed.acked != AFTERWARDS {
        table.blame(kind, format!("disk-full: after room was made: {}", freed.outcomes.told()));
    }
    let (judgement, reopened, after) = reopen(kind, &log, &mut handed)?;
    if judgement.as_ref().is_none_or(Judgement::is_broken) {
        table.blame(kind, format!("disk-full: {reopened}: {judgement:?}"));
    }
    let count =
        |count: fn(&Judgement) -> u64| judgement.as_ref().map_or("-".into(), |of| count(of).to_string());
    Ok(vec![
        filling.acked.to_string(),
        filling.first_error.unwrap_or("none: all were acknowledged".to_string()),
        full.outcomes.told(),
        freed.outcomes.told(),
        close,
        reopened,
        count(|judgement| judgement.missing),
        count(|judgement| judgement.invented),
        after,
    ])
}

/// What was given back, where it could be read, how that went, and what became of more appends.
fn reopen(kind: Kind, log: &Path, handed: &mut Handed) -> io::Result<(Option<Judgement>, String, String)> {
    let (mut served, fate) = template::open_and_read(kind, log, SETTINGS, handed)?;
    let (judgement, reopened) = match fate {
        Fate::Read(_, judgement) => {
            let there = judgement.refused_yet_there;
            (Some(judgement), format!("read ({there} refused records there)"))
        }
        Fate::Refused(error) => (None, format!("refused: {}", words(&error))),
        Fate::Broke(how) => (None, format!("broke: {}", words(&how))),
    };
    let after = match judgement {
        Some(_) => appends(&mut served, handed, 30_001, AFTERWARDS, false).outcomes.told(),
        None => "-".to_string(),
    };
    Ok((judgement, reopened, after))
}
