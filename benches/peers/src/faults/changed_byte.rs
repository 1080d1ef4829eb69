//! One bit changed in acknowledged data.

use std::{io, path::Path};

use super::{
    Context, Fault, ONE_FILE,
    integrity::SubmittedRecords,
    log_files,
    report::{OutcomeCounts, Table, normalized_words},
    template::{self, ReopenOutcome, WriterExit},
};
use crate::log_under_test::LogKind;

const RECORDS: u64 = 24;

#[derive(Default)]
struct ChangedByteCounts {
    rejected: u64,
    reported: u64,
    silent: u64,
    unharmed: u64,
    broke: OutcomeCounts,
    invented: u64,
    missing_silent: u64,
    missing_reported: u64,
    error_messages: OutcomeCounts,
}

pub const FAULT: Fault = Fault {
    id: "changed-byte",
    description: |context| {
        format!(
            "{RECORDS} acknowledged records, the writer killed; then one bit of one byte is changed (a different bit at \
             each place), in every k-th byte from the start of the file to the beginning of the last record, k chosen for \
             about {} places. Each time the log is opened and read.",
            places(context)
        )
    },
    requirement: || Ok(()),
    test,
    notes: &[
        "ministore documents no checksum. wal-db documents that by default it cuts \"together with every intact record after\" \
         the damage, and that `OpenPolicy::Strict` refuses. What walrus-rust's recovery does with damage is not documented.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let dir = context.create_dir("changed-byte", kind)?;
    let (whole, changed) = (dir.join("whole"), dir.join("changed"));
    template::write(kind, &whole, ONE_FILE, 1, RECORDS, WriterExit::Killed)?;
    let files = log_files::files_with_records(&whole, &template::records(1..=RECORDS))?;
    let file = files.last().ok_or_else(|| io::Error::other("no file holds the records"))?;
    let end = file.places.last().map_or(0, |place| place.start);
    let step = (end / places(context)).max(1);
    let mut counts = ChangedByteCounts::default();
    let mut tried = 0;
    for offset in (0..end).step_by(usize::try_from(step).map_err(io::Error::other)?) {
        super::remove(&changed)?;
        log_files::copy(&whole, &changed)?;
        let path = changed.join(&file.name);
        let byte = log_files::byte_at(&path, offset)? ^ (1 << (tried % 8));
        log_files::overwrite(&path, offset, &[byte])?;
        check_copy(kind, &changed, offset, &mut counts, table)?;
        tried += 1;
    }
    table.row(
        kind,
        [
            ("places", tried.to_string()),
            ("refused", counts.rejected.to_string()),
            (
                "opened, told, records missing (most)",
                format!("{} ({})", counts.reported, counts.missing_reported),
            ),
            (
                "opened silently, records missing (most)",
                format!("{} ({})", counts.silent, counts.missing_silent),
            ),
            ("invented records returned", counts.invented.to_string()),
            ("nothing lost", counts.unharmed.to_string()),
            ("broke", counts.broke.summary()),
            ("refused with", counts.error_messages.summary()),
        ],
    );
    Ok(())
}

fn places(context: &Context) -> u64 {
    (context.rounds * 3).clamp(20, 400)
}

fn check_copy(
    kind: LogKind,
    dir: &Path,
    offset: u64,
    counts: &mut ChangedByteCounts,
    table: &mut Table,
) -> io::Result<()> {
    let mut submitted = SubmittedRecords::default();
    (1..=RECORDS).for_each(|number| submitted.add_acked(0, number));
    let (_process, outcome) = template::open_and_read(kind, dir, ONE_FILE, &submitted)?;
    match outcome {
        ReopenOutcome::Failed(error) => {
            counts.rejected += 1;
            counts.error_messages.add(normalized_words(&error));
        }
        ReopenOutcome::Crashed(how) => {
            counts.broke.add(normalized_words(&how));
            table.record_violation(kind, format!("changed-byte at {offset}: {how}"));
        }
        ReopenOutcome::Read(message, report) => {
            counts.invented += report.invented;
            if report.invented > 0 || report.missing > 0 {
                table.record_violation(
                    kind,
                    format!("changed-byte at {offset}: told {message:?}, {report:?}"),
                );
            }
            match (report.missing, message) {
                (0, _) => counts.unharmed += 1,
                (missing, Some(_)) => {
                    counts.reported += 1;
                    counts.missing_reported = counts.missing_reported.max(missing);
                }
                (missing, None) => {
                    counts.silent += 1;
                    counts.missing_silent = counts.missing_silent.max(missing);
                }
            }
        }
    }
    Ok(())
}
