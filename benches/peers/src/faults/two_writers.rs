//! Two processes open the same log for writing.

use std::{io, path::Path};

use super::{
    Context, Fault, SMALL_FILES,
    child_process::{ChildProcess, OpenOutcome},
    integrity::{IntegrityReport, SubmittedRecords},
    report::{Table, words},
    template,
    wire::Command,
};
use crate::log_under_test::LogKind;

/// The number of turns of each process, and of records per turn.
const TURNS: u64 = 10;
const RECORDS: u64 = 5;

pub const FAULT: Fault = Fault {
    id: "two-writers",
    description: |_| {
        format!(
            "A process opens the log and appends; a second one opens it too. Where it may, both append in turns, {TURNS} times \
             {RECORDS} records each, every one acknowledged or not; both close; the log is opened and read."
        )
    },
    requirement: || Ok(()),
    test,
    notes: &[
        "Only ministore-uring and raft-log document that a second process is refused; raft-engine locks its directory (source: \
         `src/file_pipe_log/pipe_builder.rs`, `lock_dir`). The others do not say what happens.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let dir = context.create_dir("two-writers", kind)?;
    let mut submitted = SubmittedRecords::default();
    let mut first = ChildProcess::start(kind, &dir, SMALL_FILES)?.opened(kind)?;
    append_turn(&mut first, 0, 0, &mut submitted);
    let mut second = ChildProcess::start(kind, &dir, SMALL_FILES)?;
    let (open, both) = match second.wait_for_open() {
        OpenOutcome::Opened(_) => ("opened".to_string(), true),
        OpenOutcome::Failed(error) => (format!("refused: {}", words(&error)), false),
        OpenOutcome::Crashed(how) => (format!("broke: {}", words(&how)), false),
    };
    if both {
        table.record_violation(kind, "two-writers: a second process opened the journal");
    }
    for round in 1..TURNS {
        append_turn(&mut first, 0, round, &mut submitted);
        if both {
            append_turn(&mut second, 1, round, &mut submitted);
        }
    }
    first.execute(&Command::Close);
    second.execute(&Command::Close);
    drop((first, second));
    let (report, reading) = read(kind, &dir, &submitted)?;
    if report.as_ref().is_none_or(IntegrityReport::has_violations) {
        table.record_violation(kind, format!("two-writers: {reading}: {report:?}"));
    }
    let count =
        |count: fn(&IntegrityReport) -> u64| report.as_ref().map_or("-".into(), |of| count(of).to_string());
    table.row(
        kind,
        [
            ("second open", open),
            ("acknowledged", submitted.acked.len().to_string()),
            ("acknowledged, missing", count(|report| report.missing)),
            ("invented", count(|report| report.invented)),
            ("reading afterwards", reading),
        ],
    );
    Ok(())
}

fn append_turn(process: &mut ChildProcess, appender: u32, round: u64, submitted: &mut SubmittedRecords) {
    let from = round * RECORDS + 1;
    for number in from..from + RECORDS {
        submitted.all.insert((appender, number));
    }
    let append = Command::Append { appender, from, count: RECORDS, fill_bytes: 0 };
    submitted.add_replies(&process.execute(&append));
}

/// Reads the log. Returns the integrity report if it was readable, and a description.
fn read(
    kind: LogKind,
    dir: &Path,
    submitted: &SubmittedRecords,
) -> io::Result<(Option<IntegrityReport>, String)> {
    let (_process, outcome) = template::open_and_read(kind, dir, SMALL_FILES, submitted)?;
    Ok(match outcome.shortened(words) {
        Ok((message, report)) => {
            (Some(report), message.map_or("read".into(), |message| format!("read, told: {message}")))
        }
        Err(failed) => (None, failed),
    })
}
