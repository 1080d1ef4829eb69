//! A sync fails once with EIO, and the data that it should have written is dropped, as Linux does.

use std::io;

use ministore_faultfs::{NameDurability, Op, Rule, mounts::temp_dir, recording::KeptWrites};
use rustix::io::Errno;

use super::{
    Context, Fault, ONE_FILE,
    child_process::{ChildEvent, ChildProcess},
    integrity::SubmittedRecords,
    report::{OutcomeCounts, Table, normalized_words},
    template,
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

const BEFORE: u64 = 5;

const AFTER: u64 = 8;

/// The number of runs: the first sync after `BEFORE` fails in the first run, the second one in the second run, ...
const SYNCS: u64 = 4;

#[derive(Default)]
struct FailedSyncCounts {
    first_failure: OutcomeCounts,
    appends: OutcomeCounts,
    later_acked: u64,
    runs_acking_later: u64,
    missing: u64,
    losing: u64,
    invented: u64,
    reopened: OutcomeCounts,
}

pub const FAULT: Fault = Fault {
    id: "failed-sync",
    description: |_| {
        format!(
            "{BEFORE} records are acknowledged; then one sync of a file fails with EIO, and what it was to write is never written \
             (later syncs succeed); {AFTER} appends are tried; then the power is cut, keeping nothing unsynced; the log is opened \
             and read. {SYNCS} runs: the first sync fails, or the second, …"
        )
    },
    requirement: super::mountable,
    test,
    notes: &[
        "ministore-uring documents that after a failed sync nothing more is acknowledged. wal-db documents that it \"does not \
         remember the failure: a later `sync` can return `Ok` although the operating system may have dropped the pages … stop \
         appending and reopen the log\": acknowledgements after the first error are not promised to hold. A panic counts as the end of the process; raft-engine panics on \
         purpose (\"Panic if sync fails, in case of data loss\"). ministore, okaywal, walrus-rust and raft-log do not say what follows.",
        "walrus-rust syncs twice an append: the write itself (`O_SYNC`), whose result it does not look at \
         (`src/wal/storage.rs`, `FdBackend::write`), then `sync_all`.",
    ],
};

fn test(_: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let mut counts = FailedSyncCounts::default();
    for successful_syncs in 0..SYNCS {
        run_with_failed_sync(kind, successful_syncs, &mut counts)?;
    }
    if counts.later_acked > 0 {
        table.record_violation(
            kind,
            format!("failed-sync: {} appends acknowledged after the failure", counts.later_acked),
        );
    }
    if counts.losing + counts.invented > 0 || counts.reopened.summary() != format!("{SYNCS} × read") {
        table.record_violation(
            kind,
            format!("failed-sync: {} missing, {}", counts.missing, counts.reopened.summary()),
        );
    }
    table.row(
        kind,
        [
            ("runs", SYNCS.to_string()),
            ("what the caller saw first", counts.first_failure.summary()),
            ("all appends", counts.appends.summary()),
            ("runs with an acknowledgement after the first error", counts.runs_acking_later.to_string()),
            (
                "runs with acknowledged records missing (most)",
                format!("{} ({})", counts.losing, counts.missing),
            ),
            ("invented", counts.invented.to_string()),
            ("opening and reading", counts.reopened.summary()),
        ],
    );
    Ok(())
}

fn run_with_failed_sync(
    kind: LogKind,
    successful_syncs: u64,
    counts: &mut FailedSyncCounts,
) -> io::Result<()> {
    let mounted = super::mount(NameDurability::WithFile)?;
    let mut process = ChildProcess::start(kind, mounted.path(), ONE_FILE)?.opened(kind)?;
    let mut submitted = SubmittedRecords::default();
    let before = Command::Append { appender: 0, from: 1, count: BEFORE, fill_bytes: 0 };
    submitted.add_replies(&process.execute(&before));
    if submitted.acked.len() as u64 != BEFORE {
        return Err(io::Error::other(format!("{}: no acknowledgements without a fault", kind.name())));
    }
    let rule = mounted.set(Rule::on(Op::Sync).nth(successful_syncs + 1).fails_and_forgets(Errno::IO))?;
    submitted.all.extend((BEFORE + 1..=BEFORE + AFTER).map(|number| (0, number)));
    let events =
        process.execute(&Command::Append { appender: 0, from: BEFORE + 1, count: AFTER, fill_bytes: 0 });
    submitted.add_replies(&events);
    count_outcomes(&events, mounted.fired(rule)? > 0, counts);
    let left = temp_dir()?;
    mounted.power_cut(left.path(), KeptWrites::Nothing)?;
    drop(process);
    let (_process, outcome) = template::open_and_read(kind, left.path(), ONE_FILE, &submitted)?;
    match outcome.into_report() {
        Ok(report) => {
            counts.reopened.add("read");
            counts.losing += u64::from(report.missing > 0);
            counts.missing = counts.missing.max(report.missing);
            counts.invented += report.invented + report.doubled + report.out_of_order;
        }
        Err(failed) => counts.reopened.add(failed),
    }
    Ok(())
}

/// Counts the outcomes that the caller saw, and records the first failure.
fn count_outcomes(events: &[ChildEvent], failed: bool, counts: &mut FailedSyncCounts) {
    let mut first = None;
    let mut acked_after = 0;
    for event in events {
        let (what, failure) = match event {
            ChildEvent::Reply(Reply::Acked(..)) => ("acknowledged", None),
            ChildEvent::Reply(Reply::Refused(_, _, error)) => {
                ("error", Some(format!("error: {}", normalized_words(error))))
            }
            ChildEvent::Reply(Reply::Panicked(panic)) => {
                ("panic", Some(format!("panic: {}", normalized_words(panic))))
            }
            ChildEvent::Reply(_) => continue,
            // The panic was counted already; it ends the process.
            ChildEvent::Exited(_)
                if first.as_ref().is_some_and(|failure: &String| failure.starts_with("panic")) =>
            {
                continue;
            }
            ChildEvent::TimedOut(how) => ("no answer", Some(how.clone())),
            ChildEvent::Exited(how) => {
                ("process gone", Some(format!("process gone: {}", normalized_words(how))))
            }
        };
        counts.appends.add(what);
        acked_after += u64::from(first.is_some() && what == "acknowledged");
        if first.is_none() {
            first = failure;
        }
    }
    counts.first_failure.add(match (first, failed) {
        (Some(first), _) => first,
        (None, true) => "no error: every append was acknowledged".to_string(),
        (None, false) => "there was no such sync".to_string(),
    });
    counts.later_acked += acked_after;
    counts.runs_acking_later += u64::from(acked_after > 0);
}
