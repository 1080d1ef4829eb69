//! A file of the log is missing: the first, a middle one, the last.

use std::io;

use super::{
    Context, Fault, SMALL_FILES,
    integrity::SubmittedRecords,
    log_files,
    report::{Table, words},
    template::{self, ReopenOutcome, WriterExit},
};
use crate::log_under_test::LogKind;

/// The number of times that the log is opened and written: walrus starts a new file each time.
const SESSIONS: u64 = 3;

const RECORDS: u64 = 40;

pub const FAULT: Fault = Fault {
    id: "missing-file",
    description: |_| {
        format!(
            "{SESSIONS} times {RECORDS} acknowledged records, closed each time, in files of 4 KiB where the size can be \
             set (okaywal: one segment; walrus-rust: one file per open); then one file that contains records is removed."
        )
    },
    requirement: || Ok(()),
    test,
    notes: &[
        "ministore-uring documents that the oldest segments may be gone (retention): its records keep their sequence numbers, \
         so a reader sees that the journal does not begin at 1; and that the files alone do not show that the newest \
         groups are missing as a whole. raft-engine and wal-db can delete their own oldest files too.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let dir = context.create_dir("missing-file", kind)?;
    let whole = dir.join("whole");
    for session in 0..SESSIONS {
        template::write(kind, &whole, SMALL_FILES, session * RECORDS + 1, RECORDS, WriterExit::Closed)?;
    }
    let files = log_files::files_with_records(&whole, &template::records(1..=SESSIONS * RECORDS))?;
    if files.is_empty() {
        return Err(io::Error::other(format!("{}: no file holds the records", kind.name())));
    }
    let mut cells = vec![("files with records", files.len().to_string())];
    let last = files.len() - 1;
    for (column, index) in [
        ("first", (last > 0).then_some(0)),
        ("one in the middle", (last > 1).then_some(last / 2)),
        ("last", Some(last)),
    ] {
        let Some(index) = index else {
            cells.push((column, "no such file".to_string()));
            continue;
        };
        let damaged = dir.join(format!("without-{index}"));
        log_files::copy(&whole, &damaged)?;
        std::fs::remove_file(damaged.join(&files[index].name))?;
        let mut submitted = SubmittedRecords::default();
        (1..=SESSIONS * RECORDS).for_each(|number| submitted.add_acked(0, number));
        let (_process, outcome) = template::open_and_read(kind, &damaged, SMALL_FILES, &submitted)?;
        let cell = match outcome {
            ReopenOutcome::Failed(error) => format!("refused: {}", words(&error)),
            ReopenOutcome::Crashed(how) => {
                table.record_violation(kind, format!("missing-file {index}: {how}"));
                format!("broke: {}", words(&how))
            }
            ReopenOutcome::Read(message, report) => {
                // It is documented that retention may delete older segments and that the newest file may have
                // been a new one.
                if report.invented > 0 || (index != 0 && index != last) {
                    table.record_violation(kind, format!("missing-file {index}: {report:?}"));
                }
                let how = if message.is_some() { "opened and told" } else { "opened silently" };
                let held = files[index].places.len();
                format!(
                    "{how}, {} records missing of {held} in the file, {} invented",
                    report.missing, report.invented
                )
            }
        };
        cells.push((column, cell));
    }
    table.row(kind, cells);
    Ok(())
}
