//! Two processes open the same log for writing.

use std::{io, path::Path};

use super::{
    Context, SMALL_FILES,
    child_process::{ChildEvent, ChildProcess, OpenOutcome},
    integrity::{IntegrityReport, SubmittedRecords},
    report::{Table, words},
    template::{self, ReopenOutcome},
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

/// The number of turns of each process, and of records per turn.
const TURNS: u64 = 10;
const RECORDS: u64 = 5;

/// Lets two processes write every log.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "two-writers",
        format!(
            "A process opens the log and appends; a second one opens it too. Where it may, both append in turns, {TURNS} times \
             {RECORDS} records each, every one acknowledged or not; both close; the log is opened and read."
        ),
        &["second open", "acknowledged", "acknowledged, missing", "invented", "reading afterwards"],
    );
    for &kind in &context.kinds {
        let dir = context.create_dir("two-writers", kind)?;
        let mut submitted = SubmittedRecords::default();
        let mut first = ChildProcess::start(kind, &dir, SMALL_FILES)?;
        let opened = first.wait_for_open();
        if !matches!(opened, OpenOutcome::Opened(_)) {
            return Err(io::Error::other(format!("{}: does not open: {opened:?}", kind.name())));
        }
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
        let count = |count: fn(&IntegrityReport) -> u64| {
            report.as_ref().map_or("-".into(), |of| count(of).to_string())
        };
        table.row(
            kind,
            vec![
                open,
                submitted.acked.len().to_string(),
                count(|report| report.missing),
                count(|report| report.invented),
                reading,
            ],
        );
    }
    table.notes.push(
        "Only ministore-uring documents that a second process is refused; raft-engine locks its directory (source: \
         `src/file_pipe_log/pipe_builder.rs`, `lock_dir`). The others do not say what happens."
            .to_string(),
    );
    Ok(table)
}

fn append_turn(process: &mut ChildProcess, appender: u32, round: u64, submitted: &mut SubmittedRecords) {
    let from = round * RECORDS + 1;
    for number in from..from + RECORDS {
        submitted.all.insert((appender, number));
    }
    for event in process.execute(&Command::Append { appender, from, count: RECORDS, fill_bytes: 0 }) {
        match event {
            ChildEvent::Reply(Reply::Acked(appender, number)) => submitted.add_acked(appender, number),
            ChildEvent::Reply(Reply::Refused(appender, number, _)) => {
                submitted.add_rejected(appender, number)
            }
            _ => {}
        }
    }
}

/// Reads the log. Returns the integrity report if it was readable, and a description.
fn read(
    kind: LogKind,
    dir: &Path,
    submitted: &SubmittedRecords,
) -> io::Result<(Option<IntegrityReport>, String)> {
    let (_process, outcome) = template::open_and_read(kind, dir, SMALL_FILES, submitted)?;
    Ok(match outcome {
        ReopenOutcome::Read(message, report) => {
            (Some(report), message.map_or("read".into(), |message| format!("read, told: {message}")))
        }
        ReopenOutcome::Failed(error) => (None, format!("refused: {}", words(&error))),
        ReopenOutcome::Crashed(how) => (None, format!("broke: {}", words(&how))),
    })
}
