//! SIGKILL at random times under load, on one log.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    Context, Fault,
    child_process::{ChildEvent, ChildProcess, REPLY_TIMEOUT},
    integrity::{IntegrityReport, SubmittedRecords},
    report::{OutcomeCounts, Table, normalized_words},
    template,
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

/// The longest load before the kill, counted from its first acknowledgement.
const MAX_LOAD_MS: u64 = 60;

/// Small enough for several files in every run.
const SEGMENT_BYTES: u64 = 256 << 10;

/// One log over all rounds.
struct KillRun {
    kind: LogKind,
    dirs: Vec<PathBuf>,
    submitted: SubmittedRecords,
    next: Vec<u64>,
    acked: u64,
    kills: u64,
    worst: IntegrityReport,
    broken: OutcomeCounts,
}

pub const FAULT: Fault = Fault {
    id: "killed",
    description: |context| {
        format!(
            "{} callers append at once, each its own records, to one log; SIGKILL at a random moment up to \
             {MAX_LOAD_MS} ms after the first acknowledgement; the log is opened again and read, and the load continues: \
             {} kills, seed {}. A log that cannot be opened or read any more is kept aside and a new one started.",
            context.appenders, context.rounds, context.seed
        )
    },
    requirement: || Ok(()),
    test,
    notes: &["wal-db-strict documents that it may refuse a log that several callers were appending to; \
         `TruncateTail` is then the way to open it."],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let mut run = KillRun {
        kind,
        dirs: vec![context.create_dir("killed", kind)?],
        submitted: SubmittedRecords::default(),
        next: vec![1; context.appenders],
        acked: 0,
        kills: 0,
        worst: IntegrityReport::default(),
        broken: OutcomeCounts::default(),
    };
    let mut random = Rng::with_seed(context.seed);
    for _ in 0..context.rounds {
        run.round(Duration::from_micros(random.u64(..MAX_LOAD_MS * 1000)))?;
    }
    run.check()?;
    if run.worst.has_violations() || run.broken.summary() != "-" {
        table.record_violation(kind, format!("killed: {:?}, {}", run.worst, run.broken.summary()));
    }
    let worst = run.worst;
    table.row(
        kind,
        [
            ("kills", run.kills.to_string()),
            ("records acknowledged", run.acked.to_string()),
            ("acknowledged, missing", worst.missing.to_string()),
            ("doubled", worst.doubled.to_string()),
            ("out of order", worst.out_of_order.to_string()),
            ("invented", worst.invented.to_string()),
            ("reopening or reading failed", run.broken.summary()),
        ],
    );
    Ok(())
}

impl KillRun {
    fn dir(&self) -> PathBuf {
        self.dirs.last().cloned().unwrap_or_default()
    }

    /// Checks the log that the previous kill left, then applies load and kills the process.
    fn round(&mut self, load: Duration) -> io::Result<()> {
        let Some(mut process) = self.check()? else { return Ok(()) };
        process.send(&Command::Load { from: self.next.clone() });
        let mut deadline = None;
        loop {
            let left =
                deadline.map_or(REPLY_TIMEOUT, |at: Instant| at.saturating_duration_since(Instant::now()));
            match process.next(left) {
                ChildEvent::Reply(reply) => {
                    deadline.get_or_insert_with(|| Instant::now() + load);
                    self.record_reply(&reply);
                    if left.is_zero() {
                        break;
                    }
                }
                ChildEvent::TimedOut(_) if deadline.is_some() => break,
                ChildEvent::TimedOut(how) => {
                    self.broken.add(format!("under load: {how}"));
                    break;
                }
                ChildEvent::Exited(how) => {
                    self.broken.add(format!("ended under load: {}", normalized_words(&how)));
                    break;
                }
            }
        }
        for reply in process.kill() {
            self.record_reply(&reply);
        }
        self.kills += 1;
        // The append that each appender had in flight may have succeeded or not, and is not repeated.
        for (appender, next) in (0_u32..).zip(&mut self.next) {
            self.submitted.all.insert((appender, *next));
            *next += 1;
        }
        Ok(())
    }

    fn record_reply(&mut self, reply: &Reply) {
        self.submitted.add_reply(reply);
        match reply {
            Reply::Acked(appender, number) => {
                self.next[*appender as usize] = number + 1;
                self.acked += 1;
            }
            Reply::Refused(appender, number, error) => {
                self.next[*appender as usize] = number + 1;
                self.broken.add(format!("append failed: {}", normalized_words(error)));
            }
            Reply::Panicked(panic) => self.broken.add(format!("panic: {}", normalized_words(panic))),
            _ => {}
        }
    }

    /// Opens and reads the log. Returns nothing, and starts a new log, if that fails.
    fn check(&mut self) -> io::Result<Option<ChildProcess>> {
        let (process, outcome) =
            template::open_and_read(self.kind, &self.dir(), SEGMENT_BYTES, &self.submitted)?;
        let failed = match outcome.into_report() {
            Ok(report) => {
                self.add(&report);
                return Ok(Some(process));
            }
            Err(failed) => failed,
        };
        self.broken.add(failed);
        self.submitted = SubmittedRecords::default();
        self.next.fill(1);
        let broken_dir = self.dir();
        let fresh = broken_dir.with_file_name(format!("{}-{}", self.kind.name(), self.dirs.len()));
        super::remove(&fresh)?;
        std::fs::create_dir_all(&fresh)?;
        self.dirs.push(fresh);
        Ok(None)
    }

    /// A violation stays in the log, so only the largest number counts.
    fn add(&mut self, seen: &IntegrityReport) {
        let worst = &mut self.worst;
        worst.missing = worst.missing.max(seen.missing);
        worst.doubled = worst.doubled.max(seen.doubled);
        worst.out_of_order = worst.out_of_order.max(seen.out_of_order);
        worst.invented = worst.invented.max(seen.invented);
    }
}
